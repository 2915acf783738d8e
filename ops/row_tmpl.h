/* row_tmpl.h -- the bodies of row_kernels.c, included once per precision: `real` is the number,
 * F(name) the name with its suffix. No include guard: it is a template.
 *
 * Exponentials are taken after subtracting the row's largest element m, so nothing overflows:
 *     ln sum e^x = m + ln sum e^(x-m)
 * A NaN anywhere in a row makes the row's maximum NaN, and with it everything that follows. */

/* The larger; a NaN wins. */
static inline real F(top)(real a, real b) { return b > a || b != b ? b : a; }

static inline real F(row_max)(int64_t n, const real *x, int64_t s)
{
    real m[LANES];
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) m[l] = x[0];
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) m[l] = F(top)(m[l], x[(i + l) * s]);
    for (; i < n; i++) m[0] = F(top)(m[0], x[i * s]);
    for (int l = 1; l < LANES; l++) m[0] = F(top)(m[0], m[l]);
    return m[0];
}

static inline real F(row_sum_exp)(int64_t n, const real *x, int64_t s, real m)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, EXP(x[i * s] - m));
    FOLD_LANES(acc);
    return acc[0];
}

static inline real F(row_sum)(int64_t n, const real *x, int64_t s)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, x[i * s]);
    FOLD_LANES(acc);
    return acc[0];
}

static inline real F(row_dot)(int64_t n, const real *x, const real *y, int64_t s)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, x[i * s] * y[i * s]);
    FOLD_LANES(acc);
    return acc[0];
}

/* ---- softmax ---------------------------------------------------------------------------- */

static inline void F(softmax_row)(int64_t n, const real *x, real *y, int64_t s)
{
    real m = F(row_max)(n, x, s);
    for (int64_t i = 0; i < n; i++) y[i * s] = EXP(x[i * s] - m);
    real sum = F(row_sum)(n, y, s);
    for (int64_t i = 0; i < n; i++) y[i * s] /= sum;
}

static void F(softmax)(sqi_rows r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_ROW(r, F(softmax_row)(r.n, x + at, y + at, s));
}

static inline void F(softmax_diff_row)(int64_t n, const real *y, const real *v, real *out,
                                       int64_t s)
{
    real d = F(row_dot)(n, y, v, s);
    for (int64_t i = 0; i < n; i++) out[i * s] += y[i * s] * (v[i * s] - d);
}

static void F(softmax_diff)(sqi_rows r, const void *vy, const void *vv, void *vout)
{
    const real *y = vy, *v = vv;
    real *out = vout;
    EACH_ROW(r, F(softmax_diff_row)(r.n, y + at, v + at, out + at, s));
}

/* ---- layer norm -------------------------------------------------------------------------- */

/* s; *mean is set. */
static inline real F(norm_scale)(int64_t n, const real *x, real eps, real *mean)
{
    real acc[LANES] = { 0 }, m = F(row_sum)(n, x, 1) / (real)n;
    EACH_LANE(n, acc, (x[i] - m) * (x[i] - m));
    FOLD_LANES(acc);
    *mean = m;
    return 1 / SQRT(acc[0] / (real)n + eps);
}

static inline void F(norm_row)(int64_t n, const real *x, real *y, real eps)
{
    real m, scale = F(norm_scale)(n, x, eps, &m);
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * scale;
}

static void F(norm)(sqi_rows r, double eps, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    for (int64_t row = 0; row < r.outer; row++, x += r.n, y += r.n)
        F(norm_row)(r.n, x, y, (real)eps);
}

static inline void F(norm_diff_row)(int64_t n, real scale, const real *y, const real *v,
                                    real *out)
{
    real m = F(row_sum)(n, v, 1) / (real)n, d = F(row_dot)(n, y, v, 1) / (real)n;
    for (int64_t i = 0; i < n; i++) out[i] += scale * (v[i] - m - y[i] * d);
}

static void F(norm_diff)(sqi_rows r, double eps, const void *vx, const void *vy, const void *vv,
                         void *vout)
{
    const real *x = vx, *y = vy, *v = vv;
    real *out = vout, m;
    for (int64_t row = 0; row < r.outer; row++, x += r.n, y += r.n, v += r.n, out += r.n)
        F(norm_diff_row)(r.n, F(norm_scale)(r.n, x, (real)eps, &m), y, v, out);
}

/* ---- log softmax ------------------------------------------------------------------------ */

static inline void F(log_softmax_row)(int64_t n, const real *x, real *y, int64_t s)
{
    real m = F(row_max)(n, x, s), log_sum = LOG(F(row_sum_exp)(n, x, s, m));
    for (int64_t i = 0; i < n; i++) y[i * s] = (x[i * s] - m) - log_sum;
}

static void F(log_softmax)(sqi_rows r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_ROW(r, F(log_softmax_row)(r.n, x + at, y + at, s));
}

static inline void F(log_softmax_vjp_row)(int64_t n, const real *y, const real *gy, real *gx,
                                          int64_t s)
{
    real g = F(row_sum)(n, gy, s);
    for (int64_t i = 0; i < n; i++) gx[i * s] += gy[i * s] - EXP(y[i * s]) * g;
}

static void F(log_softmax_vjp)(sqi_rows r, const void *vy, const void *vgy, void *vgx)
{
    const real *y = vy, *gy = vgy;
    real *gx = vgx;
    EACH_ROW(r, F(log_softmax_vjp_row)(r.n, y + at, gy + at, gx + at, s));
}

static inline void F(log_softmax_jvp_row)(int64_t n, const real *y, const real *dx, real *dy,
                                          int64_t s)
{
    real acc[LANES] = { 0 };
    EACH_LANE(n, acc, EXP(y[i * s]) * dx[i * s]);
    FOLD_LANES(acc);
    for (int64_t i = 0; i < n; i++) dy[i * s] += dx[i * s] - acc[0];
}

static void F(log_softmax_jvp)(sqi_rows r, const void *vy, const void *vdx, void *vdy)
{
    const real *y = vy, *dx = vdx;
    real *dy = vdy;
    EACH_ROW(r, F(log_softmax_jvp_row)(r.n, y + at, dx + at, dy + at, s));
}

/* ---- max: elements equal to the largest share its derivative equally --------------------- */

static inline bool F(is_top)(real x, real m) { return x == m || x != x; }

static inline real F(row_share)(int64_t n, const real *x, int64_t s, real m)
{
    int64_t ties = 0;
    for (int64_t i = 0; i < n; i++) ties += F(is_top)(x[i * s], m);
    return 1 / (real)ties;
}

static inline void F(max_share_row)(int64_t n, const real *x, real *y, int64_t s)
{
    real m = F(row_max)(n, x, s), share = F(row_share)(n, x, s, m);
    for (int64_t i = 0; i < n; i++) y[i * s] = F(is_top)(x[i * s], m) ? share : 0;
}

static inline void F(max_vjp_row)(int64_t n, const real *x, real gy, real *gx, int64_t s)
{
    real m = F(row_max)(n, x, s), g = gy * F(row_share)(n, x, s, m);
    for (int64_t i = 0; i < n; i++)
        if (F(is_top)(x[i * s], m)) gx[i * s] += g;
}

static inline real F(max_jvp_row)(int64_t n, const real *x, const real *dx, int64_t s)
{
    real m = F(row_max)(n, x, s), sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (F(is_top)(x[i * s], m)) sum += dx[i * s];
    return sum * F(row_share)(n, x, s, m);
}

static void F(max)(sqi_rows r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_ROW(r, y[row] = F(row_max)(r.n, x + at, s));
}

static void F(max_share)(sqi_rows r, const void *vx, void *vy)
{
    const real *x = vx;
    real *y = vy;
    EACH_ROW(r, F(max_share_row)(r.n, x + at, y + at, s));
}

static void F(max_vjp)(sqi_rows r, const void *vx, const void *vgy, void *vgx)
{
    const real *x = vx, *gy = vgy;
    real *gx = vgx;
    EACH_ROW(r, F(max_vjp_row)(r.n, x + at, gy[row], gx + at, s));
}

static void F(max_jvp)(sqi_rows r, const void *vx, const void *vdx, void *vdy)
{
    const real *x = vx, *dx = vdx;
    real *dy = vdy;
    EACH_ROW(r, dy[row] += F(max_jvp_row)(r.n, x + at, dx + at, s));
}

/* ---- Cross-entropy: rows' losses are added up in double --------------------------------- */

static double F(cross_entropy)(const sqi_labels *l, const void *vx)
{
    const real *x = vx;
    double sum = 0;
    for (int64_t r = 0; r < l->rows; r++, x += l->classes) {
        if (l->mask && !l->mask[r]) continue;
        real m = F(row_max)(l->classes, x, 1);
        real log_sum = LOG(F(row_sum_exp)(l->classes, x, 1, m));
        sum += (double)(log_sum - (x[l->ids[r]] - m));
    }
    return sum;
}

static void F(cross_entropy_vjp)(const sqi_labels *l, double scale, const void *vx, void *vgx)
{
    const real *x = vx;
    real *gx = vgx, g = (real)scale;
    for (int64_t r = 0; r < l->rows; r++, x += l->classes, gx += l->classes) {
        if (l->mask && !l->mask[r]) continue;
        real m = F(row_max)(l->classes, x, 1);
        real log_sum = LOG(F(row_sum_exp)(l->classes, x, 1, m));
        for (int64_t i = 0; i < l->classes; i++) gx[i] += g * EXP((x[i] - m) - log_sum);
        gx[l->ids[r]] -= g;
    }
}

static double F(cross_entropy_jvp)(const sqi_labels *l, const void *vx, const void *vdx)
{
    const real *x = vx, *dx = vdx;
    double sum = 0;
    for (int64_t r = 0; r < l->rows; r++, x += l->classes, dx += l->classes) {
        if (l->mask && !l->mask[r]) continue;
        real m = F(row_max)(l->classes, x, 1), acc[LANES] = { 0 };
        real log_sum = LOG(F(row_sum_exp)(l->classes, x, 1, m));
        EACH_LANE(l->classes, acc, EXP((x[i] - m) - log_sum) * dx[i]);
        FOLD_LANES(acc);
        sum += (double)(acc[0] - dx[l->ids[r]]);
    }
    return sum;
}

/* ---- Losses element by element: products and sums in double ------------------------------ */

static double F(bce)(int64_t n, const void *vz, const void *vt)
{
    const real *z = vz, *t = vt;
    double acc[LANES] = { 0 };
    EACH_LANE(n, acc,
              (double)F(top)(z[i], 0) - (double)t[i] * (double)z[i] +
                  (double)LOG1P(EXP(-FABS(z[i]))));
    FOLD_LANES(acc);
    return acc[0];
}

static void F(bce_vjp)(int64_t n, double scale, const void *vz, const void *vt, void *vgz)
{
    const real *z = vz, *t = vt;
    real *gz = vgz, g = (real)scale;
    for (int64_t i = 0; i < n; i++) gz[i] += g * (SIGMOID(z[i]) - t[i]);
}

static double F(bce_jvp)(int64_t n, const void *vz, const void *vt, const void *vdz)
{
    const real *z = vz, *t = vt, *dz = vdz;
    double acc[LANES] = { 0 };
    EACH_LANE(n, acc, ((double)SIGMOID(z[i]) - (double)t[i]) * (double)dz[i]);
    FOLD_LANES(acc);
    return acc[0];
}

static double F(square_diff)(int64_t n, const void *va, const void *vb)
{
    const real *a = va, *b = vb;
    double acc[LANES] = { 0 };
    EACH_LANE(n, acc, square((double)a[i] - (double)b[i]));
    FOLD_LANES(acc);
    return acc[0];
}

static void F(diff_vjp)(int64_t n, double scale, const void *va, const void *vb, void *vga)
{
    const real *a = va, *b = vb;
    real *ga = vga, g = (real)scale;
    for (int64_t i = 0; i < n; i++) ga[i] += g * (a[i] - b[i]);
}

static double F(diff_jvp)(int64_t n, const void *va, const void *vb, const void *vda)
{
    const real *a = va, *b = vb, *da = vda;
    double acc[LANES] = { 0 };
    EACH_LANE(n, acc, ((double)a[i] - (double)b[i]) * (double)da[i]);
    FOLD_LANES(acc);
    return acc[0];
}

static double F(dot)(int64_t n, const void *va, const void *vb)
{
    const real *a = va, *b = vb;
    double acc[LANES] = { 0 };
    EACH_LANE(n, acc, (double)a[i] * (double)b[i]);
    FOLD_LANES(acc);
    return acc[0];
}

/* The lanes of EACH_LANE in registers: as many vectors as they fill. */
typedef real F(part) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real))));

static inline real F(dense_dot)(int64_t n, const real *x, const real *y)
{
    enum { WIDTH = VECTOR_BYTES / sizeof(real), PARTS = LANES / WIDTH };
    F(part) sum[PARTS];
    real acc[LANES];
    int64_t i = 0;
    UNROLL
    for (int p = 0; p < PARTS; p++) sum[p] = (F(part)){ 0 };
    for (; i + LANES <= n; i += LANES) {
        UNROLL
        for (int p = 0; p < PARTS; p++)
            sum[p] +=
                *(const F(part) *)(x + i + p * WIDTH) * *(const F(part) *)(y + i + p * WIDTH);
    }
    UNROLL
    for (int p = 0; p < PARTS; p++) *(F(part) *)(acc + p * WIDTH) = sum[p];
    for (int64_t lane = 0; i < n; i++, lane++) acc[lane] += x[i] * y[i];
    UNROLL
    for (int half = LANES / 2; half > 0; half /= 2) {
        UNROLL
        for (int lane = 0; lane < half; lane++) acc[lane] += acc[lane + half];
    }
    return acc[0];
}

static void F(dots)(int64_t rows, int64_t n, const void *va, const void *vb, void *vy, bool add)
{
    const real *a = va, *b = vb;
    real *y = vy;
    for (int64_t r = 0; r < rows; r++, b += n) {
        real sum = F(dense_dot)(n, a, b);
        y[r] = add ? y[r] + sum : sum;
    }
}
