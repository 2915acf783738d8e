/* clip_tmpl.h -- what clipping and noise do to n gradients, for one precision.
 *
 * Compiled twice by clip.c through both_tmpl.h. Factors and limits are double in both, so that
 * a float gradient is rounded once. */

/* Index of the first element that is infinite or NaN, or -1. */
static int64_t OF_REAL(first_bad)(const void *grads, int64_t n)
{
    const real *g = grads;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(g[i])) return i;
    return -1;
}

static void OF_REAL(multiply)(void *grads, int64_t n, double factor)
{
    real *g = grads;
    for (int64_t i = 0; i < n; i++) g[i] = (real)((double)g[i] * factor);
}

static void OF_REAL(limit_each)(void *grads, int64_t n, double limit)
{
    real *g = grads;
    for (int64_t i = 0; i < n; i++)
        if (fabs((double)g[i]) > limit) g[i] = (real)copysign(limit, (double)g[i]);
}

static void OF_REAL(add_noise)(void *grads, int64_t n, double sigma, sq_random stream)
{
    real *g = grads;
    for (int64_t i = 0; i < n; i++)
        g[i] = (real)((double)g[i] + sigma * sq_random_normal(stream, 0, (uint64_t)i));
}
