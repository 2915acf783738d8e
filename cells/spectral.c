/* spectral.c -- the largest |eigenvalue| of a matrix, and scaling by it.
 *
 * Gelfand's formula, rho(A) = lim |A^k|^(1/k), with k = 2^m: squaring m times reaches a k so
 * large that whatever |A^k| has beside rho^k, eigenvalues of one size, complex pairs, crooked
 * eigenvectors, is gone. Every square is brought to norm 1 first, and the logarithms of the
 * norms are summed:   ln rho = sum over m of ln |B_m| / 2^m,   B_(m+1) = (B_m / |B_m|)^2. The
 * products are the library's own, on a tape that keeps nothing. */
#include "cells/init.h"
#include "ops/ops.h"

#include <math.h>
#include <stdlib.h>

enum { SQUARES = 50 };

/* The spectral radius of a [n,n], 0 for a power that vanishes; NaN after an error of the tape. */
static double radius_of(sq_tape *t, sq_var a)
{
    double sum = 0;
    for (int m = 0; m < SQUARES; m++) {
        double norm = sq_norm(a);
        if (norm == 0) return 0;
        sum += ldexp(log(norm), -m);
        sq_begin_step(t);
        sq_var b = sq_mul_scalar(a, 1 / norm);
        a = sq_matmul(b, b);
    }
    return sq_ok(a) ? exp(sum) : (double)NAN;
}

static sq_status fail(sq_params *p, sq_weight w, sq_status status, const char *sentence)
{
    sq_params_post(p, status, "init_spectral_radius: weight %s: %s", sq_weight_name(p, w),
                   sentence);
    return status;
}

static sq_status scale(sq_params *p, sq_weight w, double radius, double *values)
{
    sq_shape s = sq_weight_shape(p, w);
    sq_status status = sq_weight_get_f64(p, w, values);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    if (status || !t) {
        sq_tape_free(t);
        return fail(p, w, SQ_ENOMEM, "out of memory");
    }
    sq_tape_set_inference(t, true);
    double old = radius_of(t, sq_input_f64(t, s, values));
    status = sq_tape_status(t);
    sq_tape_free(t);
    if (status) return fail(p, w, status, "out of memory");
    if (!(old > 0) || !isfinite(radius / old))
        return fail(p, w, SQ_EVALUE, "its eigenvalues are all 0, or not finite");
    for (int64_t i = 0; i < sq_shape_size(s); i++) values[i] *= radius / old;
    return sq_weight_set_f64(p, w, values);
}

sq_status sq_init_spectral_radius(sq_params *p, sq_weight w, double radius)
{
    if (sq_params_status(p)) return sq_params_status(p);
    sq_shape s = sq_weight_shape(p, w);
    if (sq_weight_offset(p, w) < 0) {
        sq_params_post(p, SQ_EWEIGHT, "init_spectral_radius: there is no weight with id %d",
                       (int)w.id);
        return SQ_EWEIGHT;
    }
    if (s.rank != 2 || s.dim[0] != s.dim[1])
        return fail(p, w, SQ_ESHAPE, "needs a square matrix");
    if (!(radius >= 0) || !isfinite(radius))
        return fail(p, w, SQ_EVALUE, "the radius must be finite and not negative");
    size_t n = (size_t)sq_shape_size(s);
    if (n == 0) return SQ_OK;
    double *values = n < SIZE_MAX / sizeof *values ? malloc(n * sizeof *values) : NULL;
    sq_status status =
        values ? scale(p, w, radius, values) : fail(p, w, SQ_ENOMEM, "out of memory");
    free(values);
    return status;
}
