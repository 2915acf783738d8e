/* arith_tmpl.h -- moves, sums and conversions; included once per `real`.
 *
 * A move is split into the axes that y keeps and those it sums over (stride 0 in y). Without
 * summed axes it is a copy: three outer loops around a row. With them, columns of y are summed
 * a strip at a time, so that the compiler vectorises across the strip. Each column has its own
 * eight partial sums, the s-th element of the sum going to partial s mod 8; after every BLOCK
 * elements they are emptied into a total in double: long sums of floats stay accurate. The
 * structure of a sum depends on its length alone. */

/* ---- Copies ------------------------------------------------------------------------------ */

static void OF_REAL(copy_row)(int64_t n, const real *restrict x, int64_t xs, real *restrict y,
                              int64_t ys)
{
    if (ys == 1 && xs == 1)
        for (int64_t i = 0; i < n; i++) y[i] = x[i];
    else if (ys == 1 && xs == 0)
        for (int64_t i = 0; i < n; i++) y[i] = x[0];
    else
        for (int64_t i = 0; i < n; i++) y[i * ys] = x[i * xs];
}

static void OF_REAL(add_row)(int64_t n, const real *restrict x, int64_t xs, real *restrict y,
                             int64_t ys)
{
    if (ys == 1 && xs == 1)
        for (int64_t i = 0; i < n; i++) y[i] += x[i];
    else if (ys == 1 && xs == 0)
        for (int64_t i = 0; i < n; i++) y[i] += x[0];
    else
        for (int64_t i = 0; i < n; i++) y[i * ys] += x[i * xs];
}

static void OF_REAL(copy_box)(const axis *b, const real *x, real *y, bool add)
{
    for (int64_t i = 0; i < b[0].dim; i++)
        for (int64_t j = 0; j < b[1].dim; j++)
            for (int64_t k = 0; k < b[2].dim; k++) {
                const real *from = x + i * b[0].x + j * b[1].x + k * b[2].x;
                real *to = y + i * b[0].y + j * b[1].y + k * b[2].y;
                (add ? OF_REAL(add_row) : OF_REAL(copy_row))(b[3].dim, from, b[3].x, to,
                                                             b[3].y);
            }
}

/* ---- Sums -------------------------------------------------------------------------------- */

/* Adds n rows of `width` columns to the partial sums, row s to partial (at + s) mod 8. */
static void OF_REAL(sum_rows)(int64_t n, const real *x, int64_t row, int64_t col, int64_t width,
                              int64_t at, real part[8][STRIP])
{
    if (col == 1 && width == STRIP)
        for (int64_t s = at; s < at + n; s++, x += row)
            for (int j = 0; j < STRIP; j++) part[s & 7][j] += x[j];
    else
        for (int64_t s = at; s < at + n; s++, x += row)
            for (int64_t j = 0; j < width; j++) part[s & 7][j] += x[j * col];
}

static void OF_REAL(empty)(int64_t width, real part[8][STRIP], double total[STRIP])
{
    for (int64_t j = 0; j < width; j++) total[j] += (double)SUM8(part, [j]);
    memset(part, 0, 8 * sizeof part[0]);
}

/* y[j*ys] += the sum over all of `b` at columns j < width of x. */
static void OF_REAL(sum_strip)(const axis *b, const real *x, int64_t xs, int64_t width, real *y,
                               int64_t ys)
{
    real part[8][STRIP] = { { 0 } };
    double total[STRIP] = { 0 };
    int64_t at = 0;
    for (int64_t i = 0; i < b[0].dim; i++)
        for (int64_t j = 0; j < b[1].dim; j++)
            for (int64_t k = 0; k < b[2].dim; k++) {
                const real *from = x + i * b[0].x + j * b[1].x + k * b[2].x;
                for (int64_t left = b[3].dim, n; left; left -= n, from += n * b[3].x) {
                    n = left < BLOCK - at ? left : BLOCK - at;
                    OF_REAL(sum_rows)(n, from, b[3].x, xs, width, at, part);
                    at = (at + n) % BLOCK;
                    if (!at) OF_REAL(empty)(width, part, total);
                }
            }
    OF_REAL(empty)(width, part, total);
    for (int64_t j = 0; j < width; j++) y[j * ys] += (real)total[j];
}

/* The same for a single column: the partials are eight independent chains. */
static inline void OF_REAL(sum_terms)(int64_t n, const real *x, int64_t row, int64_t at,
                                      real p[8])
{
    int64_t s = 0;
    for (; s < n && (at + s) % 8 != 0; s++) p[(at + s) & 7] += x[s * row];
    if (row == 1)
        for (; s + 8 <= n; s += 8)
            for (int q = 0; q < 8; q++) p[q] += x[s + q];
    for (; s < n; s++) p[(at + s) & 7] += x[s * row];
}

static void OF_REAL(sum_column)(const axis *b, const real *x, real *y)
{
    real p[8] = { 0 };
    double total = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < b[0].dim; i++)
        for (int64_t j = 0; j < b[1].dim; j++)
            for (int64_t k = 0; k < b[2].dim; k++) {
                const real *from = x + i * b[0].x + j * b[1].x + k * b[2].x;
                for (int64_t left = b[3].dim, n; left; left -= n, from += n * b[3].x) {
                    n = left < BLOCK - at ? left : BLOCK - at;
                    OF_REAL(sum_terms)(n, from, b[3].x, at, p);
                    at = (at + n) % BLOCK;
                    if (at) continue;
                    total += (double)SUM8(p, );
                    memset(p, 0, sizeof p);
                }
            }
    *y += (real)(total + (double)SUM8(p, ));
}

static void OF_REAL(sum_box)(const axis *k, const axis *s, const real *x, real *y)
{
    int64_t n = k[3].dim, strip = s[3].x == 1 ? 1 : STRIP;
    for (int64_t h = 0; h < k[0].dim; h++)
        for (int64_t i = 0; i < k[1].dim; i++)
            for (int64_t j = 0; j < k[2].dim; j++)
                for (int64_t c = 0; c < n; c += strip) {
                    const real *from = x + h * k[0].x + i * k[1].x + j * k[2].x + c * k[3].x;
                    real *to = y + h * k[0].y + i * k[1].y + j * k[2].y + c * k[3].y;
                    int64_t width = n - c < strip ? n - c : strip;
                    if (width == 1) OF_REAL(sum_column)(s, from, to);
                    else OF_REAL(sum_strip)(s, from, k[3].x, width, to, k[3].y);
                }
}

static void OF_REAL(move)(const sqi_move *m)
{
    axes kept = { 0 }, summed = { 0 };
    if (split(m, &kept, &summed) == 0) return;
    bool sums = summed.n > 0;
    pad(&kept);
    pad(&summed);
    if (sums) OF_REAL(sum_box)(kept.at, summed.at, m->x, m->y);
    else OF_REAL(copy_box)(kept.at, m->x, m->y, m->add);
}

/* ---- Straight lines ---------------------------------------------------------------------- */

static void OF_REAL(fill)(int64_t n, void *y, double value)
{
    real *to = y, v = (real)value;
    for (int64_t i = 0; i < n; i++) to[i] = v;
}

static void OF_REAL(axpy)(int64_t n, double alpha, const void *x, void *y)
{
    const real *restrict from = x;
    real *restrict to = y, a = (real)alpha;
    for (int64_t i = 0; i < n; i++) to[i] += a * from[i];
}

static double OF_REAL(sumsq)(int64_t n, const void *x)
{
    const real *from = x;
    double p[8] = { 0 };
    int64_t s = 0;
    for (; s + 8 <= n; s += 8)
        for (int q = 0; q < 8; q++) p[q] += (double)from[s + q] * (double)from[s + q];
    for (; s < n; s++) p[s & 7] += (double)from[s] * (double)from[s];
    return SUM8(p, );
}

static bool OF_REAL(finite)(int64_t n, const void *x)
{
    const real *from = x;
    const OF_REAL(bits) all = OF_REAL(exponent);
    OF_REAL(bits) most = 0;
    for (int64_t i = 0; i < n; i++) {
        OF_REAL(bits) b;
        memcpy(&b, from + i, sizeof b);
        b &= all;
        most = b > most ? b : most;
    }
    return most != all;
}

#define CONVERT(name, from_type, to_type, x_type, y_type)         \
    static void OF_REAL(name)(int64_t n, x_type x, y_type y)      \
    {                                                             \
        const from_type *restrict from = x;                       \
        to_type *restrict to = y;                                 \
        for (int64_t i = 0; i < n; i++) to[i] = (to_type)from[i]; \
    }
CONVERT(from_f32, float, real, const float *, void *)
CONVERT(from_f64, double, real, const double *, void *)
CONVERT(to_f32, real, float, const void *, float *)
CONVERT(to_f64, real, double, const void *, double *)
#undef CONVERT
