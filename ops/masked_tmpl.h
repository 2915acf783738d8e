/* masked_tmpl.h -- rows under a mask, included once per precision after row_tmpl.h.
 *
 * m[i*ms] says whether x[i*s] is there. What is not there is replaced before anything is computed
 * from it, so that a NaN in it goes nowhere and the loops still vectorise. */

/* ---- Choosing ---------------------------------------------------------------------------- */

/* One entry for the whole row copies it. */
static inline void F(choose_row)(int64_t n, const int32_t *m, int64_t ms, const real *a,
                                 const real *b, real *y, int64_t s)
{
    if (ms == 0) {
        const real *from = *m ? a : b;
        for (int64_t i = 0; i < n; i++) y[i * s] = from[i * s];
    } else {
        for (int64_t i = 0; i < n; i++) y[i * s] = m[i * ms] ? a[i * s] : b[i * s];
    }
}

static inline void F(pass_row)(int64_t n, const int32_t *m, int64_t ms, bool chosen,
                               const real *x, real *y, int64_t s)
{
    if (ms == 0) {
        for (int64_t i = 0; i < n && (*m != 0) == chosen; i++) y[i * s] += x[i * s];
    } else {
        for (int64_t i = 0; i < n; i++) y[i * s] += (m[i * ms] != 0) == chosen ? x[i * s] : 0;
    }
}

static void F(choose)(const sqi_masked *r, const void *va, const void *vb, void *vy)
{
    const real *a = va, *b = vb;
    real *y = vy;
    EACH_MASKED(r, F(choose_row)(r->n, m, ms, a + at, b + at, y + at, s));
}

static void F(pass)(const sqi_masked *r, bool chosen, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_MASKED(r, F(pass_row)(r->n, m, ms, chosen, x + at, y + at, s));
}
