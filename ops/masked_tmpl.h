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

/* ---- Softmax: what is not there has probability 0 ------------------------------------------ */

static inline real F(masked_max_of)(int64_t n, const real *x, int64_t s, const int32_t *m,
                                    int64_t ms)
{
    real top[LANES];
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) top[l] = -(real)INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            top[l] = F(top)(top[l], m[(i + l) * ms] ? x[(i + l) * s] : -(real)INFINITY);
    for (; i < n; i++) top[0] = F(top)(top[0], m[i * ms] ? x[i * s] : -(real)INFINITY);
    for (int l = 1; l < LANES; l++) top[0] = F(top)(top[0], top[l]);
    return top[0];
}

/* e^(x - most) where it is there, else 0. */
static inline real F(masked_exp)(real x, int32_t there, real most)
{
    real e = EXP((there ? x : most) - most);
    return there ? e : 0;
}

static inline void F(masked_softmax_row)(int64_t n, const real *x, real *y, int64_t s,
                                         const int32_t *m, int64_t ms)
{
    real most = F(masked_max_of)(n, x, s, m, ms);
    for (int64_t i = 0; i < n; i++) y[i * s] = F(masked_exp)(x[i * s], m[i * ms], most);
    real sum = F(row_sum)(n, y, s);
    for (int64_t i = 0; i < n; i++) y[i * s] /= sum;
}

static void F(masked_softmax)(const sqi_masked *r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_MASKED(r, F(masked_softmax_row)(r->n, x + at, y + at, s, m, ms));
}

static inline void F(masked_softmax_diff_row)(int64_t n, const real *y, const real *v,
                                              real *out, int64_t s, const int32_t *m,
                                              int64_t ms)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, m[i * ms] ? y[i * s] * v[i * s] : 0);
    FOLD_LANES(acc);
    for (int64_t i = 0; i < n; i++)
        out[i * s] += m[i * ms] ? y[i * s] * (v[i * s] - acc[0]) : 0;
}

static void F(masked_softmax_diff)(const sqi_masked *r, const void *vy, const void *vv,
                                   void *vout)
{
    const real *y = vy, *v = vv;
    real *out = vout;
    EACH_MASKED(r, F(masked_softmax_diff_row)(r->n, y + at, v + at, out + at, s, m, ms));
}

static inline void F(masked_log_row)(int64_t n, real none, const real *x, real *y, int64_t s,
                                     const int32_t *m, int64_t ms)
{
    real most = F(masked_max_of)(n, x, s, m, ms), acc[LANES] = { 0 };
    EACH_LANE(n, acc, F(masked_exp)(x[i * s], m[i * ms], most));
    FOLD_LANES(acc);
    real log_sum = LOG(acc[0]);
    for (int64_t i = 0; i < n; i++) y[i * s] = m[i * ms] ? (x[i * s] - most) - log_sum : none;
}

static void F(masked_log_softmax)(const sqi_masked *r, double none, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_MASKED(r, F(masked_log_row)(r->n, (real)none, x + at, y + at, s, m, ms));
}

static inline void F(masked_log_vjp_row)(int64_t n, const real *y, const real *gy, real *gx,
                                         int64_t s, const int32_t *m, int64_t ms)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, m[i * ms] ? gy[i * s] : 0);
    FOLD_LANES(acc);
    for (int64_t i = 0; i < n; i++)
        gx[i * s] += m[i * ms] ? gy[i * s] - EXP(y[i * s]) * acc[0] : 0;
}

static void F(masked_log_softmax_vjp)(const sqi_masked *r, const void *vy, const void *vgy,
                                      void *vgx)
{
    const real *y = vy, *gy = vgy;
    real *gx = vgx;
    EACH_MASKED(r, F(masked_log_vjp_row)(r->n, y + at, gy + at, gx + at, s, m, ms));
}

static inline void F(masked_log_jvp_row)(int64_t n, const real *y, const real *dx, real *dy,
                                         int64_t s, const int32_t *m, int64_t ms)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, m[i * ms] ? EXP(y[i * s]) * dx[i * s] : 0);
    FOLD_LANES(acc);
    for (int64_t i = 0; i < n; i++) dy[i * s] += m[i * ms] ? dx[i * s] - acc[0] : 0;
}

static void F(masked_log_softmax_jvp)(const sqi_masked *r, const void *vy, const void *vdx,
                                      void *vdy)
{
    const real *y = vy, *dx = vdx;
    real *dy = vdy;
    EACH_MASKED(r, F(masked_log_jvp_row)(r->n, y + at, dx + at, dy + at, s, m, ms));
}

/* ---- The largest of what is there; ties share ---------------------------------------------- */

/* 1 / the number of elements tied for `most`. */
static inline real F(masked_share)(int64_t n, const real *x, int64_t s, const int32_t *m,
                                   int64_t ms, real most)
{
    int64_t ties = 0;
    for (int64_t i = 0; i < n; i++) ties += m[i * ms] && F(is_top)(x[i * s], most);
    return 1 / (real)ties;
}

static inline void F(masked_share_row)(int64_t n, const real *x, real *y, int64_t s,
                                       const int32_t *m, int64_t ms)
{
    real most = F(masked_max_of)(n, x, s, m, ms);
    real share = F(masked_share)(n, x, s, m, ms, most);
    for (int64_t i = 0; i < n; i++)
        y[i * s] = m[i * ms] && F(is_top)(x[i * s], most) ? share : 0;
}

static inline void F(masked_max_vjp_row)(int64_t n, const real *x, real gy, real *gx, int64_t s,
                                         const int32_t *m, int64_t ms)
{
    real most = F(masked_max_of)(n, x, s, m, ms);
    real g = gy * F(masked_share)(n, x, s, m, ms, most);
    for (int64_t i = 0; i < n; i++)
        if (m[i * ms] && F(is_top)(x[i * s], most)) gx[i * s] += g;
}

static inline real F(masked_max_jvp_row)(int64_t n, const real *x, const real *dx, int64_t s,
                                         const int32_t *m, int64_t ms)
{
    real most = F(masked_max_of)(n, x, s, m, ms), sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (m[i * ms] && F(is_top)(x[i * s], most)) sum += dx[i * s];
    return sum * F(masked_share)(n, x, s, m, ms, most);
}

static void F(masked_max)(const sqi_masked *r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_MASKED(r, y[row] = F(masked_max_of)(r->n, x + at, s, m, ms));
}

static void F(masked_max_share)(const sqi_masked *r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_MASKED(r, F(masked_share_row)(r->n, x + at, y + at, s, m, ms));
}

static void F(masked_max_vjp)(const sqi_masked *r, const void *vx, const void *vgy, void *vgx)
{
    const real *x = vx, *gy = vgy;
    real *gx = vgx;
    EACH_MASKED(r, F(masked_max_vjp_row)(r->n, x + at, gy[row], gx + at, s, m, ms));
}

static void F(masked_max_jvp)(const sqi_masked *r, const void *vx, const void *vdx, void *vdy)
{
    const real *x = vx, *dx = vdx;
    real *dy = vdy;
    EACH_MASKED(r, dy[row] += F(masked_max_jvp_row)(r->n, x + at, dx + at, s, m, ms));
}
