/* init.c -- values a weight may start from.
 *
 * Every initialiser fills a block of doubles, each number from its position (row, column) in a
 * stream that only the seed and the weight's name decide, and hands it to sq_weight_set. So a
 * weight starts the same in either precision, whatever else is added or drawn. */
#include "cells/init.h"
#include "cells/cells_impl.h"
#include "core/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A weight being filled, seen as a matrix. */
typedef struct filling {
    sq_params *params;
    sq_weight weight;
    const char *who;    /* "init_uniform" */
    int64_t rows, cols; /* fan_in and fan_out: a vector is one row, leading axes are rows */
    double *values;     /* NULL until begin */
} filling;

typedef double number_fn(sq_random r, uint64_t row, uint64_t col);

static bool fail(const filling *f, sq_status status, const char *sentence)
{
    return sq_params_post(f->params, status, "%s: weight %s: %s", f->who,
                          sq_weight_name(f->params, f->weight), sentence);
}

/* Finds the weight. False when it is unknown (posted) or the params have failed before. */
static bool find(filling *f, sq_params *p, sq_weight w, const char *who)
{
    *f = (filling){ .params = p, .weight = w, .who = who, .rows = 1, .cols = 1 };
    if (sq_params_status(p)) return false;
    if (sq_weight_offset(p, w) < 0)
        return sq_params_post(p, SQ_EWEIGHT, "%s: there is no weight with id %d", who,
                              (int)w.id);
    sq_shape s = sq_weight_shape(p, w);
    for (int32_t i = 0; i + 1 < s.rank; i++) f->rows *= s.dim[i];
    f->cols = s.rank > 0 ? s.dim[s.rank - 1] : 1;
    return true;
}

static bool begin(filling *f)
{
    size_t n = (size_t)sq_shape_size(sq_weight_shape(f->params, f->weight));
    if (n < SIZE_MAX / sizeof(double)) f->values = calloc(n + 1, sizeof(double));
    return f->values || fail(f, SQ_ENOMEM, "out of memory for its first values");
}

static sq_status end(filling *f)
{
    if (f->values && !sq_params_status(f->params))
        sq_weight_set_f64(f->params, f->weight, f->values);
    free(f->values);
    return sq_params_status(f->params);
}

/* The weight's own stream: keyed by a 64-bit FNV-1a hash of its name (Fowler, Noll, Vo). */
static sq_random stream_of(const filling *f, uint64_t seed)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (const char *c = sq_weight_name(f->params, f->weight); *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
    return sq_random_stream(seed, 0, 0, hash);
}

sq_status sq_init_zeros(sq_params *p, sq_weight w) { return sq_init_constant(p, w, 0); }

sq_status sq_init_constant(sq_params *p, sq_weight w, double value)
{
    filling f;
    if (find(&f, p, w, "init_constant") && begin(&f)) {
        for (int64_t i = 0; i < f.rows * f.cols; i++) f.values[i] = value;
    }
    return end(&f);
}

/* ---- Independent numbers ---------------------------------------------------------------- */

/* Uniform in [-1, 1). */
static double symmetric(sq_random r, uint64_t row, uint64_t col)
{
    return 2 * sq_random_uniform(r, row, col) - 1;
}

static double as_given(const filling *f, double scale) { return (void)f, scale; }
static double of_hidden(const filling *f, double n) { return (void)f, 1 / sqrt(n); }
static double of_fan_in(const filling *f, double gain)
{
    return gain * sqrt(2 / (double)f->rows);
}

static double of_both_fans(const filling *f, double gain)
{
    return gain * sqrt(6 / ((double)f->rows + (double)f->cols));
}

/* Every element = scale(x) * number(row, column), x being what the caller gave. */
typedef struct law {
    const char *name;
    number_fn *number;
    double (*scale)(const filling *f, double x);
} law;

static const law uniform = { "init_uniform", symmetric, as_given };
static const law uniform_hidden = { "init_uniform_hidden", symmetric, of_hidden };
static const law normal = { "init_normal", sq_random_normal, as_given };
static const law glorot = { "init_glorot", symmetric, of_both_fans };
static const law he = { "init_he", sq_random_normal, of_fan_in };

/* A weight without elements takes any scale: those that divide by its sizes are infinite. */
static sq_status draw(const law *l, sq_params *p, sq_weight w, double x, uint64_t seed)
{
    filling f;
    if (!find(&f, p, w, l->name)) return sq_params_status(p);
    sq_random r = stream_of(&f, seed);
    double scale = l->scale(&f, x);
    bool sane = f.rows * f.cols == 0 || (isfinite(scale) && scale >= 0);
    if (!sane) fail(&f, SQ_EVALUE, "a bound or deviation must be finite and not negative");
    if (sane && begin(&f)) {
        for (int64_t i = 0; i < f.rows; i++)
            for (int64_t j = 0; j < f.cols; j++)
                f.values[i * f.cols + j] = scale * l->number(r, (uint64_t)i, (uint64_t)j);
    }
    return end(&f);
}

sq_status sq_init_uniform(sq_params *p, sq_weight w, double bound, uint64_t seed)
{
    return draw(&uniform, p, w, bound, seed);
}

sq_status sq_init_uniform_hidden(sq_params *p, sq_weight w, int64_t hidden, uint64_t seed)
{
    return draw(&uniform_hidden, p, w, (double)hidden, seed);
}

sq_status sq_init_normal(sq_params *p, sq_weight w, double deviation, uint64_t seed)
{
    return draw(&normal, p, w, deviation, seed);
}

sq_status sq_init_glorot(sq_params *p, sq_weight w, double gain, uint64_t seed)
{
    return draw(&glorot, p, w, gain, seed);
}

sq_status sq_init_he(sq_params *p, sq_weight w, uint64_t seed)
{
    return draw(&he, p, w, 1, seed);
}

/* ---- Matrices only ---------------------------------------------------------------------- */

static bool find_matrix(filling *f, sq_params *p, sq_weight w, double gain, const char *who)
{
    if (!find(f, p, w, who)) return false;
    if (sq_weight_shape(p, w).rank != 2) return fail(f, SQ_ESHAPE, "needs a matrix");
    return isfinite(gain) || fail(f, SQ_EVALUE, "the gain must be finite");
}

sq_status sq_init_identity(sq_params *p, sq_weight w, double gain)
{
    filling f;
    if (find_matrix(&f, p, w, gain, "init_identity") && begin(&f)) {
        for (int64_t i = 0; i < f.rows && i < f.cols; i++) f.values[i * f.cols + i] = gain;
    }
    return end(&f);
}

static double dot(int64_t n, const double *x, const double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* Reflects y across the plane normal to v:  y -= 2 v (v . y) / (v . v);  v = 0 does nothing. */
static void reflect(int64_t n, const double *v, double *y)
{
    double vv = dot(n, v, v), scale = vv > 0 ? 2 * dot(n, v, y) / vv : 0;
    for (int64_t i = 0; i < n; i++) y[i] -= scale * v[i];
}

/* Q of A = Q R by Householder reflections, for k vectors of length n >= k that lie one after
 * the other in a: v_j = x + sign(x_1) |x| e_1, with x the rest of vector j, makes
 * H_j x = -sign(x_1) |x| e_1 = R_jj e_1, and Q's vector j is H_1 ... H_k e_j. Multiplied by the
 * sign of R_jj it does not depend on how the reflections were chosen, and Q is uniformly
 * distributed (Mezzadri 2007). a is overwritten by the v_j. */
static void orthonormal(int64_t n, int64_t k, double *a, double *q)
{
    for (int64_t j = 0; j < k; j++) {
        double *v = a + j * n + j;
        double sign = v[0] < 0 ? -1 : 1;
        v[0] += sign * sqrt(dot(n - j, v, v));
        for (int64_t i = j + 1; i < k; i++) reflect(n - j, v, a + i * n + j);
        q[j * n + j] = -sign;
    }
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = j; i >= 0; i--) reflect(n - i, a + i * n + i, q + j * n + i);
}

/* Columns of a tall matrix or rows of a wide one: the fewer. a has room for a and q above. */
static void fill_orthonormal(filling *f, double *a, double gain, uint64_t seed)
{
    sq_random r = stream_of(f, seed);
    bool wide = f->cols > f->rows;
    int64_t n = wide ? f->cols : f->rows, k = wide ? f->rows : f->cols;
    double *q = a + n * k;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < n; i++)
            a[j * n + i] = wide ? sq_random_normal(r, (uint64_t)j, (uint64_t)i)
                                : sq_random_normal(r, (uint64_t)i, (uint64_t)j);
    orthonormal(n, k, a, q);
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < n; i++)
            f->values[wide ? j * n + i : i * k + j] = gain * q[j * n + i];
}

sq_status sq_init_orthogonal(sq_params *p, sq_weight w, double gain, uint64_t seed)
{
    filling f;
    if (find_matrix(&f, p, w, gain, "init_orthogonal") && begin(&f)) {
        size_t n = (size_t)f.rows * (size_t)f.cols;
        double *room = NULL;
        if (n < SIZE_MAX / (2 * sizeof *room)) room = calloc(2 * n + 1, sizeof *room);
        if (room) fill_orthonormal(&f, room, gain, seed);
        else fail(&f, SQ_ENOMEM, "out of memory for its first values");
        free(room);
    }
    return end(&f);
}

/* ---- Times to remember ------------------------------------------------------------------- */

/* w = sign ln u, the u being those of the seed and the weight `of`. */
static sq_status fill_chrono(sq_params *p, sq_weight w, sq_weight of, double sign,
                             double longest, uint64_t seed)
{
    filling f, named;
    if (find(&named, p, of, "init_chrono") && find(&f, p, w, "init_chrono") && begin(&f)) {
        sq_random r = stream_of(&named, seed);
        for (int64_t i = 0; i < f.rows * f.cols; i++) {
            double u = sq_random_uniform(r, (uint64_t)(i / f.cols), (uint64_t)(i % f.cols));
            f.values[i] = sign * log(1 + (longest - 2) * u);
        }
        return end(&f);
    }
    return sq_params_status(p);
}

sq_status sq_init_chrono(sq_params *p, sq_weight keep, sq_weight write, double longest,
                         uint64_t seed)
{
    sq_weight of = keep.id ? keep : write;
    sq_shape a = sq_weight_shape(p, of), b = sq_weight_shape(p, write);
    filling f, other;
    if (!find(&f, p, of, "init_chrono") || (write.id && !find(&other, p, write, "init_chrono")))
        return sq_params_status(p);
    if (!(longest >= 2) || !isfinite(longest))
        fail(&f, SQ_EVALUE, "the longest time must be finite and at least 2 steps");
    else if (write.id && !sq_shape_equal(a, b))
        fail(&f, SQ_ESHAPE, "the two biases differ in shape");
    if (keep.id) (void)fill_chrono(p, keep, of, 1, longest, seed);
    if (write.id) (void)fill_chrono(p, write, of, -1, longest, seed);
    return sq_params_status(p);
}

/* ---- For the cells ---------------------------------------------------------------------- */

sq_weight sqi_cell_weight(const sqi_cell_weights *to, const char *name, sq_shape shape)
{
    const char *prefix = to->prefix ? to->prefix : "";
    size_t n = strlen(prefix) + strlen(name) + 2;
    char *full = malloc(n);
    if (!full) {
        sq_params_post(to->params, SQ_ENOMEM, "%s: out of memory", name);
        return (sq_weight){ 0 };
    }
    (void)snprintf(full, n, "%s%s%s", prefix, *prefix ? "." : "", name);
    sq_weight w = sq_params_add(to->params, full, shape);
    free(full);
    if (w.id) sq_init_uniform_hidden(to->params, w, to->hidden, to->seed);
    return w;
}
