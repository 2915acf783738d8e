/* clip.c -- the norm of all weight gradients, the two ways of limiting them, and noise on them.
 *
 * Everything walks the flat gradient block weight by weight, leaving frozen weights out. A
 * gradient that is not finite is never clipped: scaling by limit / inf would hide the fault. */
#include "core/optim.h"

#include "core/norm_impl.h"
#include "core/tape_impl.h"

#include <inttypes.h>
#include <math.h>

#define SQI_TMPL "core/clip_tmpl.h"
#include "core/both_tmpl.h"

static const struct {
    int64_t (*first_bad)(const void *grads, int64_t n);
    void (*multiply)(void *grads, int64_t n, double factor);
    void (*limit_each)(void *grads, int64_t n, double limit);
    void (*add_noise)(void *grads, int64_t n, double sigma, sq_random stream);
    double epsilon;
} loops[] = {
    [SQ_F32] = { first_bad_f32, multiply_f32, limit_each_f32, add_noise_f32, 0x1p-23 },
    [SQ_F64] = { first_bad_f64, multiply_f64, limit_each_f64, add_noise_f64, 0x1p-52 },
};

/* Where the gradient of weight w starts, and its size: 0 when w is frozen. */
static char *slice(const sq_tape *t, void *grads, sq_weight w, int64_t *n)
{
    const sq_params *p = sq_tape_params(t);
    *n = sq_weight_frozen(p, w) ? 0 : sq_shape_size(sq_weight_shape(p, w));
    return (char *)grads + (size_t)sq_weight_offset(p, w) * sq_dtype_size(sq_tape_dtype(t));
}

/* |g| = |(|g_1|, |g_2|, ...)|, a NaN among them being NaN. */
static double norm_of(const sq_tape *t, void *grads)
{
    double norm = 0;
    for (int32_t id = 1; id <= sq_params_count(sq_tape_params(t)); id++) {
        int64_t n;
        const char *g = slice(t, grads, (sq_weight){ id }, &n);
        double part = sqi_norm(t->kern, t->dtype, n, g);
        norm = isnan(norm + part) ? (double)NAN : hypot(norm, part);
    }
    return norm;
}

/* Posts the first weight whose gradient is not finite; true when there is none. */
static bool all_finite(sq_tape *t, void *grads)
{
    const sq_params *p = sq_tape_params(t);
    for (int32_t id = 1; id <= sq_params_count(p); id++) {
        int64_t n;
        const char *g = slice(t, grads, (sq_weight){ id }, &n);
        int64_t bad = loops[sq_tape_dtype(t)].first_bad(g, n);
        if (bad >= 0)
            return sq_post(t, SQ_ENONFINITE,
                           "the gradient of weight \"%s\" is not finite at element %" PRId64,
                           sq_weight_name(p, (sq_weight){ id }), bad);
    }
    return true;
}

/* The gradients, after checking the limit; NULL after posting. */
static void *begin(sq_tape *t, const char *name, double limit)
{
    if (!sqi_begin(t, name)) return NULL;
    if (!(limit >= 0)) sq_post(t, SQ_EVALUE, "the limit is %g, it must not be negative", limit);
    void *grads = sq_grads(t);
    sqi_begin(t, name); /* sq_grads speaks under its own name */
    return grads;
}

double sq_grads_norm(sq_tape *t)
{
    void *grads = sq_grads(t);
    return grads ? norm_of(t, grads) : (double)NAN;
}

/* The factor is a few roundings smaller than limit / |g|, so that |g| <= limit holds for the
 * rounded gradients too. */
sq_status sq_clip_norm(sq_tape *t, double limit, double *norm)
{
    void *grads = begin(t, "clip_norm", limit);
    double before = grads ? norm_of(t, grads) : (double)NAN;
    if (norm) *norm = before;
    if (!grads) return sq_tape_status(t);
    if (!isfinite(before)) {
        if (all_finite(t, grads))
            sq_post(t, SQ_ENONFINITE, "the norm of the gradients is not finite");
        return sq_tape_status(t);
    }
    if (before <= limit) return SQ_OK;
    double factor = limit / before * (1.0 - 4.0 * loops[sq_tape_dtype(t)].epsilon);
    for (int32_t id = 1; id <= sq_params_count(sq_tape_params(t)); id++) {
        int64_t n;
        char *g = slice(t, grads, (sq_weight){ id }, &n);
        loops[sq_tape_dtype(t)].multiply(g, n, factor);
    }
    return SQ_OK;
}

sq_status sq_clip_value(sq_tape *t, double limit)
{
    void *grads = begin(t, "clip_value", limit);
    if (!grads || !all_finite(t, grads)) return sq_tape_status(t);
    for (int32_t id = 1; id <= sq_params_count(sq_tape_params(t)); id++) {
        int64_t n;
        char *g = slice(t, grads, (sq_weight){ id }, &n);
        loops[sq_tape_dtype(t)].limit_each(g, n, limit);
    }
    return SQ_OK;
}

/* No run has the last serial of all: what a tape draws for its steps is independent of this. */
sq_status sq_grads_add_noise(sq_tape *t, double eta, double gamma, int64_t update)
{
    if (!sqi_begin(t, "grads_add_noise")) return sq_tape_status(t);
    if (!(eta >= 0 && isfinite(eta)) || !isfinite(gamma) || update < 0)
        sq_post(t, SQ_EVALUE,
                "eta is %g, gamma %g, the update %" PRId64
                ": they must be finite, eta and the update not negative",
                eta, gamma, update);
    char *grads = sq_grads(t);
    if (!grads) return sq_tape_status(t);
    double sigma = sqrt(eta / pow(1 + (double)update, gamma));
    for (int32_t id = 1; id <= sq_params_count(sq_tape_params(t)); id++) {
        int64_t n;
        char *g = slice(t, grads, (sq_weight){ id }, &n);
        sq_random stream =
            sq_random_stream(t->seed, UINT64_MAX, (uint64_t)update, (uint64_t)id);
        loops[sq_tape_dtype(t)].add_noise(g, n, sigma, stream);
    }
    return SQ_OK;
}
