/* The tables of kernels.h, every one that this processor runs, in both precisions.
 *
 * Products are compared with plain loops in long double, within the bound of a sum of K rounded
 * terms; operands lie between pages that must not be touched. Where laws promise bits, bits are
 * compared: a product's row alone and among others, a sum in any layout, any table. */
#define _DEFAULT_SOURCE
#include "tests/support/tables.h"

#include <sys/mman.h>

enum { PAGE = 4096 };

/* n elements with an untouchable page on either side: against the one behind them or, with
 * `front`, against the one before. */
typedef struct block {
    char *pages;
    size_t size;
    void *x;
} block;

static block block_new(sq_dtype d, int64_t n, bool front)
{
    block b = { 0 };
    size_t bytes = (size_t)n * sq_dtype_size(d), inside = (bytes + PAGE) / PAGE * PAGE;
    b.size = inside + 2 * PAGE;
    b.pages = mmap(NULL, b.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(b.pages != MAP_FAILED);
    cr_assert(mprotect(b.pages + PAGE, inside, PROT_READ | PROT_WRITE) == 0);
    b.x = b.pages + PAGE + (front ? 0 : inside - bytes);
    return b;
}

static void block_free(block b) { munmap(b.pages, b.size); }

static void randomise(sq_dtype d, void *x, int64_t n, rng *r)
{
    for (int64_t i = 0; i < n; i++) put(d, x, i, rng_in(r, -1, 1));
}

/* ---- Products: values -------------------------------------------------------------------- */

/* A product whose operands lie alone in their pages, row-major or transposed, with gaps. */
typedef struct product {
    sqi_gemm g;
    block a, b, c;
    int64_t n_c;
} product;

static product product_new(sq_dtype d, int64_t m, int64_t n, int64_t k, int layout, int64_t gap,
                           bool front, rng *r)
{
    bool ta = layout & 1, tb = layout & 2;
    product p = { .g = { .m = m, .n = n, .k = k, .c_row = n + gap } };
    int64_t a_row = (ta ? m : k) + gap, b_row = (tb ? k : n) + gap;
    int64_t n_a = m && k ? (ta ? k - 1 : m - 1) * a_row + (ta ? m : k) : 0;
    int64_t n_b = n && k ? (tb ? n - 1 : k - 1) * b_row + (tb ? k : n) : 0;
    p.n_c = m && n ? (m - 1) * p.g.c_row + n : 0;
    p.a = block_new(d, n_a, front);
    p.b = block_new(d, n_b, front);
    p.c = block_new(d, p.n_c, front);
    randomise(d, p.a.x, n_a, r);
    randomise(d, p.b.x, n_b, r);
    randomise(d, p.c.x, p.n_c, r);
    p.g.a = p.a.x, p.g.b = p.b.x, p.g.c = p.c.x;
    p.g.a_row = ta ? 1 : a_row, p.g.a_col = ta ? a_row : 1;
    p.g.b_row = tb ? 1 : b_row, p.g.b_col = tb ? b_row : 1;
    return p;
}

static void product_free(product *p)
{
    block_free(p->a);
    block_free(p->b);
    block_free(p->c);
}

/* Row by row against long double; between the rows C must keep what it held. */
static bool product_right(sq_dtype d, const product *p, const void *before)
{
    const sqi_gemm *g = &p->g;
    for (int64_t e = 0; e < p->n_c; e++) {
        int64_t i = e / g->c_row, j = e % g->c_row;
        double old = get(d, before, e), got = get(d, g->c, e);
        if (j >= g->n) {
            if (got != old) return false;
            continue;
        }
        long double sum = g->add ? old : 0, size = g->add ? fabs(old) : 0;
        for (int64_t k = 0; k < g->k; k++) {
            long double x = get(d, g->a, i * g->a_row + k * g->a_col);
            x *= get(d, g->b, k * g->b_row + j * g->b_col);
            sum += x;
            size += fabsl(x);
        }
        if (!(fabsl(got - sum) <= (long double)((double)(g->k + 2) * unit(d)) * size))
            return false;
    }
    return true;
}

static void expect_product(const sq_kernels *k, sq_dtype d, const int64_t size[3], int layout,
                           rng *r)
{
    for (int add = 0; add < 2; add++) {
        bool front = rng_below(r, 2) == 0;
        product p =
            product_new(d, size[0], size[1], size[2], layout, rng_below(r, 3), front, r);
        void *before = malloc((size_t)p.n_c * 8 + 1);
        memcpy(before, p.g.c, (size_t)p.n_c * sq_dtype_size(d));
        p.g.add = add;
        k->of[d].gemm(&p.g);
        cr_expect(product_right(d, &p, before), "%s %s: %lld x %lld x %lld, layout %d, add %d",
                  k->name, sq_dtype_name(d), (long long)size[0], (long long)size[1],
                  (long long)size[2], layout, add);
        free(before);
        product_free(&p);
    }
}

Test(gemm, against_long_double)
{
    static const int64_t ks[] = { 1, 2, 7, 16, 17, 33, 64, 100 };
    rng r = { 1 };
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int layout = 0; layout < 4; layout++)
            for (int64_t m = 1; m <= 30; m += m < 14 ? 1 : 5)
                for (int64_t n = 1; n <= 140; n += 1 + n / 4) {
                    int64_t size[] = { m, n, ks[rng_below(&r, COUNT(ks))] };
                    expect_product(k, (sq_dtype)d, size, layout, &r);
                }
}

Test(gemm, long_sums_in_blocks)
{
    static const int64_t sizes[][3] = { { 3, 37, 511 },  { 5, 37, 512 },   { 13, 37, 513 },
                                        { 2, 70, 1025 }, { 14, 21, 2049 }, { 71, 50, 600 } };
    rng r = { 2 };
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int layout = 0; layout < 4; layout++)
            for (int s = 0; s < COUNT(sizes); s++)
                expect_product(k, (sq_dtype)d, sizes[s], layout, &r);
}

Test(gemm, empty_products)
{
    static const int64_t sizes[][3] = {
        { 0, 5, 3 }, { 5, 0, 3 }, { 5, 19, 0 }, { 0, 0, 0 }, { 1, 1, 0 }
    };
    rng r = { 3 };
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int layout = 0; layout < 4; layout++)
            for (int s = 0; s < COUNT(sizes); s++)
                expect_product(k, (sq_dtype)d, sizes[s], layout, &r);
}

/* A row of x, of stride 0, stands for many equal rows. */
Test(gemm, repeated_row_of_a)
{
    float a[5] = { 1, 2, 3, 4, 5 }, b[10] = { 1, -1, 1, -1, 1, -1, 1, -1, 1, -1 }, c[14];
    sqi_gemm g = { 7, 2, 5, a, 0, 1, b, 2, 1, c, 2, false };
    FOR_TABLES(k)
    {
        k->of[SQ_F32].gemm(&g);
        for (int i = 0; i < 14; i++)
            cr_expect(c[i] == (i % 2 ? -15.0f : 15.0f), "%s %d", k->name, i);
    }
}

/* Infinities and NaNs reach exactly the elements that mathematics says. */
Test(gemm, padding_does_not_leak)
{
    FOR_TABLES(k)
    for (int layout = 0; layout < 4; layout += 2) {
        rng r = { 4 };
        product p = product_new(SQ_F32, 5, 19, 21, layout, 0, true, &r);
        ((float *)p.a.x)[2 * p.g.a_row + 4] = NAN;
        k->of[SQ_F32].gemm(&p.g);
        for (int64_t e = 0; e < p.n_c; e++)
            cr_expect(isnan(((float *)p.g.c)[e]) == (e / p.g.c_row == 2), "%s %lld", k->name,
                      (long long)e);
        product_free(&p);
    }
}

/* ---- Products: law (b), the bits --------------------------------------------------------- */

/* Rows from..from+m and columns col..col+n of p, computed alone, equal those of whole. */
static bool part_same(const sq_kernels *k, sq_dtype d, const product *p, const int64_t part[4],
                      const void *before, const void *whole)
{
    sqi_gemm g = p->g;
    int64_t shift = part[0] * g.c_row + part[2];
    size_t row = (size_t)part[3] * sq_dtype_size(d);
    memcpy(p->c.x, before, (size_t)p->n_c * sq_dtype_size(d));
    g.m = part[1], g.n = part[3];
    g.a = at(d, p->a.x, part[0] * g.a_row);
    g.b = at(d, p->b.x, part[2] * g.b_col);
    g.c = at(d, p->c.x, shift);
    k->of[d].gemm(&g);
    for (int64_t i = 0; i < g.m; i++) {
        size_t e = (size_t)(shift + i * g.c_row) * sq_dtype_size(d);
        if (memcmp((char *)p->c.x + e, (const char *)whole + e, row) != 0) return false;
    }
    return true;
}

static void expect_parts_same(const sq_kernels *k, sq_dtype d, int layout, bool add,
                              int64_t n_k)
{
    rng r = { 5 };
    product p = product_new(d, 80, 153, n_k, layout, 1, false, &r);
    size_t bytes = (size_t)p.n_c * sq_dtype_size(d);
    void *before = malloc(bytes), *whole = malloc(bytes);
    memcpy(before, p.c.x, bytes);
    p.g.add = add;
    k->of[d].gemm(&p.g);
    memcpy(whole, p.c.x, bytes);
    for (int64_t m = 1; m <= 80; m += m < 40 ? 1 : 5) {
        int64_t n = 1 + 2 * rng_below(&r, 77);
        int64_t part[] = { rng_below(&r, (int)(81 - m)), m, rng_below(&r, (int)(154 - n)), n };
        cr_expect(part_same(k, d, &p, part, before, whole),
                  "%s %s layout %d add %d: rows %lld+%lld, columns %lld+%lld, K = %lld",
                  k->name, sq_dtype_name(d), layout, add, (long long)part[0], (long long)m,
                  (long long)part[2], (long long)n, (long long)n_k);
    }
    free(before);
    free(whole);
    product_free(&p);
}

Test(gemm, law_b_bits_do_not_depend_on_neighbours)
{
    static const int64_t ks[] = { 1, 13, 64, 700 };
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int layout = 0; layout < 4; layout++)
            for (int i = 0; i < COUNT(ks); i++)
                expect_parts_same(k, (sq_dtype)d, layout, i % 2, ks[i]);
}

/* C = (C + first block) + second block, whatever is in C: K = 700 is summed as 350 and 350. */
Test(gemm, law_b_a_sum_can_be_continued_at_a_block_border)
{
    FOR_TABLES(k)
    {
        rng r = { 6 };
        product p = product_new(SQ_F32, 9, 33, 700, 0, 0, false, &r), q = p;
        float *once = calloc(9 * 33, sizeof *once);
        q.g.k = 350;
        k->of[SQ_F32].gemm(&q.g);
        q.g.a = (const float *)q.g.a + 350;
        q.g.b = (const float *)q.g.b + 350 * q.g.b_row;
        q.g.add = true;
        k->of[SQ_F32].gemm(&q.g);
        p.g.c = once;
        k->of[SQ_F32].gemm(&p.g);
        EXPECT_SAME_BITS(once, q.g.c, 9 * 33 * sizeof *once, k->name);
        free(once);
        product_free(&p);
    }
}

Test(gemm, bits_do_not_depend_on_layout)
{
    enum { M = 21, N = 45, K = 83 };
    static float a[M * K], at_[K * M], b[K * N], bt[N * K], c[4][M * N];
    rng r = { 7 };
    randomise(SQ_F32, a, M * K, &r);
    randomise(SQ_F32, b, K * N, &r);
    for (int i = 0; i < M * K; i++) at_[i % K * M + i / K] = a[i];
    for (int i = 0; i < K * N; i++) bt[i % N * K + i / N] = b[i];
    FOR_TABLES(k)
    {
        for (int l = 0; l < 4; l++) {
            sqi_gemm g = { M,
                           N,
                           K,
                           l & 1 ? at_ : a,
                           l & 1 ? 1 : K,
                           l & 1 ? M : 1,
                           l & 2 ? bt : b,
                           l & 2 ? 1 : N,
                           l & 2 ? K : 1,
                           c[l],
                           N,
                           false };
            k->of[SQ_F32].gemm(&g);
            EXPECT_SAME_BITS(c[0], c[l], sizeof c[0], k->name);
        }
    }
}

/* ---- Moves ------------------------------------------------------------------------------- */

static void naive_move(sq_dtype d, const sqi_move *m)
{
    for (int64_t e = 0, n = m->dim[0] * m->dim[1] * m->dim[2] * m->dim[3]; e < n; e++) {
        int64_t y = 0, x = 0;
        for (int64_t i = 3, rest = e; i >= 0; rest /= m->dim[i--])
            y += rest % m->dim[i] * m->y_stride[i], x += rest % m->dim[i] * m->x_stride[i];
        put(d, m->y, y, (m->add ? get(d, m->y, y) : 0) + get(d, m->x, x));
    }
}

/* Strides of a dense or gapped array whose axes lie in a random order; some repeat. */
static int64_t random_strides(const int64_t dim[4], int64_t stride[4], int zeros, rng *r)
{
    int order[4] = { 0, 1, 2, 3 };
    int64_t size = 1;
    for (int i = 3; rng_below(r, 2) && i > 0; i--) {
        int j = rng_below(r, i + 1), o = order[i];
        order[i] = order[j];
        order[j] = o;
    }
    for (int i = 3; i >= 0; i--) {
        bool zero = zeros && rng_below(r, zeros) == 0;
        stride[order[i]] = zero ? 0 : size;
        if (!zero) size = size * dim[order[i]] + (rng_below(r, 4) == 0);
    }
    return size;
}

typedef struct box {
    sqi_move m;
    int64_t n_y, n_x;
    bool sums;
} box;

static box random_box(bool add, rng *r)
{
    static const int longest[] = { 3, 5, 20, 70 };
    box b = { .m.add = add };
    for (int i = 0; i < 4; i++)
        b.m.dim[i] = rng_below(r, 3) ? 1 + rng_below(r, longest[rng_below(r, 1 + i)]) : 1;
    if (rng_below(r, 40) == 0) b.m.dim[rng_below(r, 4)] = 0;
    b.n_y = random_strides(b.m.dim, b.m.y_stride, add ? 3 : 0, r);
    b.n_x = random_strides(b.m.dim, b.m.x_stride, 5, r);
    for (int i = 0; i < 4; i++) b.sums |= b.m.y_stride[i] == 0 && b.m.dim[i] > 1;
    return b;
}

/* Copies agree in every bit; sums within the bound of a sum of so many terms below 1. */
static void expect_move(const sq_kernels *k, sq_dtype d, box b, rng *r)
{
    block x = block_new(d, b.n_x, rng_below(r, 2)), y = block_new(d, b.n_y, rng_below(r, 2));
    double *want = malloc((size_t)b.n_y * sizeof *want + 1);
    randomise(d, x.x, b.n_x, r);
    randomise(d, y.x, b.n_y, r);
    for (int64_t i = 0; i < b.n_y; i++) want[i] = get(d, y.x, i);
    double *from = malloc((size_t)b.n_x * sizeof *from + 1);
    for (int64_t i = 0; i < b.n_x; i++) from[i] = get(d, x.x, i);
    sqi_move wide = b.m;
    wide.x = from, wide.y = want;
    naive_move(SQ_F64, &wide);
    b.m.x = x.x, b.m.y = y.x;
    k->of[d].move(&b.m);
    double terms = 1 + (double)(b.m.dim[0] * b.m.dim[1] * b.m.dim[2] * b.m.dim[3]);
    double tol = b.sums ? terms * terms * unit(d) : 0;
    bool right = true;
    for (int64_t i = 0; i < b.n_y; i++) {
        double w = d == SQ_F32 && !b.sums ? (double)(float)want[i] : want[i];
        right = right && fabs(get(d, y.x, i) - w) <= tol;
    }
    const int64_t *n = b.m.dim, *s = b.m.y_stride, *t = b.m.x_stride;
    cr_expect(right,
              "%s %s add %d: [%lld,%lld,%lld,%lld] y %lld %lld %lld %lld x %lld %lld %lld %lld",
              k->name, sq_dtype_name(d), b.m.add, (long long)n[0], (long long)n[1],
              (long long)n[2], (long long)n[3], (long long)s[0], (long long)s[1],
              (long long)s[2], (long long)s[3], (long long)t[0], (long long)t[1],
              (long long)t[2], (long long)t[3]);
    free(want);
    free(from);
    block_free(x);
    block_free(y);
}

Test(move, random_boxes)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++) {
        rng r = { 8 };
        for (int i = 0; i < 1500; i++) expect_move(k, (sq_dtype)d, random_box(i % 2, &r), &r);
    }
}

/* The same 1463 x 21 numbers summed over their rows, lying by rows, by columns, with gaps, in
 * groups of seven rows with gaps between, one column alone, in every table: the same bits, of
 * eight partial sums that are emptied into a sum in double after every 512 rows. */
Test(move, sums_depend_on_length_only)
{
    enum { GROUPS = 209, ROWS = GROUPS * 7, COLS = 21 };
    static float by_row[ROWS * COLS], by_col[COLS * ROWS], gaps[ROWS * 100];
    static float row_groups[GROUPS * 150], col_groups[COLS * GROUPS * 9];
    float want[COLS];
    rng r = { 9 };
    randomise(SQ_F32, by_row, ROWS * COLS, &r);
    for (int i = 0; i < ROWS * COLS; i++) {
        int row = i / COLS, col = i % COLS;
        by_col[col * ROWS + row] = gaps[row * 100 + col] = by_row[i];
        row_groups[row / 7 * 150 + row % 7 * COLS + col] = by_row[i];
        col_groups[col * GROUPS * 9 + row / 7 * 9 + row % 7] = by_row[i];
    }
    for (int j = 0; j < COLS; j++) {
        double total = 0;
        for (int from = 0; from < ROWS; from += 512) {
            float p[8] = { 0 };
            for (int s = from; s < from + 512 && s < ROWS; s++)
                p[s % 8] += by_row[s * COLS + j];
            total +=
                (double)(((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7])));
        }
        want[j] = (float)total;
    }
    const sqi_move layouts[] = {
        { { 1, 1, ROWS, COLS }, NULL, { 0, 0, 0, 1 }, by_row, { 0, 0, COLS, 1 }, true },
        { { 1, 1, COLS, ROWS }, NULL, { 0, 0, 1, 0 }, by_col, { 0, 0, ROWS, 1 }, true },
        { { 1, 7, GROUPS, COLS },
          NULL,
          { 0, 0, 0, 1 },
          by_row,
          { 0, GROUPS * COLS, COLS, 1 },
          true },
        { { GROUPS, COLS, 1, 7 }, NULL, { 0, 1, 0, 0 }, gaps, { 700, 1, 0, 100 }, true },
        { { 1, GROUPS, 7, COLS }, NULL, { 0, 0, 0, 1 }, row_groups, { 0, 150, COLS, 1 }, true },
        { { ROWS, 1, 1, 1 }, NULL, { 0, 0, 0, 0 }, gaps, { 100, 0, 0, 0 }, true },
        { { GROUPS, COLS, 1, 7 },
          NULL,
          { 0, 1, 0, 0 },
          col_groups,
          { 9, GROUPS * 9, 0, 1 },
          true },
        { { ROWS, 1, 1, 100 }, NULL, { 0, 0, 0, 1 }, gaps, { 100, 0, 0, 1 }, true },
    };
    FOR_TABLES(k)
    for (int i = 0; i < COUNT(layouts); i++) {
        float y[100] = { 0 };
        sqi_move m = layouts[i];
        m.y = y;
        k->of[SQ_F32].move(&m);
        cr_expect(memcmp(y, want, i == 5 ? sizeof *y : sizeof want) == 0, "%s layout %d",
                  k->name, i);
    }
}

/* Four million times 0.1, and as many numbers from 0 to 1: eight running sums in float would be
 * wrong in the fourth digit; emptied every 512 terms they are bound to 64 roundings and a few,
 * whether the sum is one run, one column, or one of many columns. */
Test(move, long_sums_stay_accurate)
{
    enum { N = 1 << 22, COLS = 19 };
    float *x = malloc(N * sizeof *x);
    const sqi_move layouts[] = {
        { { 1, 1, 1, N }, NULL, { 0 }, x, { 0, 0, 0, 1 }, true },
        { { 1, 1, 2, N / 2 }, NULL, { 0 }, x, { 0, 0, 1, 2 }, true },
        { { 1, 1, N / 1024, 1024 }, NULL, { 0 }, x, { 0, 0, 1, N / 1024 }, true },
        { { 1, 1, N, COLS }, NULL, { 0, 0, 0, 1 }, x, { 0, 0, 1, 0 }, true },
    };
    for (int kind = 0; kind < 2; kind++) {
        rng r = { 10 };
        long double sum = 0;
        for (int i = 0; i < N; i++) sum += x[i] = kind ? (float)rng_in(&r, 0, 1) : 0.1f;
        FOR_TABLES(k)
        for (int i = 0; i < COUNT(layouts); i++) {
            float y[COLS] = { 0 };
            sqi_move m = layouts[i];
            m.y = y;
            k->of[SQ_F32].move(&m);
            for (int j = 0; j < (i == 3 ? COLS : 1); j++) {
                double error = (double)fabsl((y[j] - sum) / sum);
                cr_expect(error <= (64 + 5) * 0x1p-24, "%s layout %d: %g", k->name, i, error);
            }
        }
    }
    free(x);
}

/* ---- Straight lines ---------------------------------------------------------------------- */

Test(lines, fill_and_axpy)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int64_t n = 0; n < 70; n++) {
            rng r = { 11 };
            block x = block_new((sq_dtype)d, n, n % 2), y = block_new((sq_dtype)d, n, n % 3);
            randomise((sq_dtype)d, x.x, n, &r);
            k->of[d].fill(n, y.x, 0.3);
            k->of[d].axpy(n, -0.7, x.x, y.x);
            for (int64_t i = 0; i < n; i++) {
                double v = get((sq_dtype)d, x.x, i);
                volatile float p = (float)-0.7 * (float)v, s = (float)0.3 + p;
                volatile double q = -0.7 * v, t = 0.3 + q;
                double want = d == SQ_F32 ? (double)s : t;
                cr_expect(get((sq_dtype)d, y.x, i) == want, "%s %d: %lld of %lld", k->name, d,
                          (long long)i, (long long)n);
            }
            block_free(x);
            block_free(y);
        }
}

Test(lines, sum_of_squares)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int64_t n = 0; n < 1000; n += 1 + n / 3) {
            rng r = { 12 };
            block x = block_new((sq_dtype)d, n, n % 2);
            randomise((sq_dtype)d, x.x, n, &r);
            long double want = 0;
            for (int64_t i = 0; i < n; i++) {
                long double v = get((sq_dtype)d, x.x, i);
                want += v * v;
            }
            double got = k->of[d].sumsq(n, x.x);
            cr_expect(fabsl(got - want) <= 1e-14L * want, "%s %d %lld", k->name, d,
                      (long long)n);
            block_free(x);
        }
}

/* Too large for float, squared: the sum must run in double. */
Test(lines, sum_of_squares_does_not_overflow)
{
    float x[3] = { 1e30f, -2e30f, 2e30f };
    FOR_TABLES(k)
    cr_expect(fabs(k->of[SQ_F32].sumsq(3, x) / 9e60 - 1) < 1e-6, "%s", k->name);
}

Test(lines, conversions)
{
    FOR_TABLES(k)
    for (int64_t n = 0; n < 70; n++) {
        rng r = { 13 };
        block f = block_new(SQ_F32, n, n % 2), g = block_new(SQ_F32, n, n % 3);
        block u = block_new(SQ_F64, n, n % 2), v = block_new(SQ_F64, n, n % 3);
        randomise(SQ_F64, u.x, n, &r);
        k->of[SQ_F32].from_f64(n, u.x, f.x); /* double u -> float f, rounded */
        k->of[SQ_F32].to_f64(n, f.x, v.x);
        k->of[SQ_F32].to_f32(n, f.x, g.x);
        for (int64_t i = 0; i < n; i++) {
            double want = (double)(float)get(SQ_F64, u.x, i);
            cr_expect(get(SQ_F32, f.x, i) == want && get(SQ_F64, v.x, i) == want);
        }
        cr_expect(n == 0 || memcmp(f.x, g.x, (size_t)n * sizeof(float)) == 0, "%s", k->name);
        k->of[SQ_F32].from_f32(n, f.x, g.x);
        cr_expect(n == 0 || memcmp(f.x, g.x, (size_t)n * sizeof(float)) == 0, "%s", k->name);
        k->of[SQ_F64].to_f64(n, u.x, v.x);
        cr_expect(n == 0 || memcmp(u.x, v.x, (size_t)n * sizeof(double)) == 0, "%s", k->name);
        k->of[SQ_F64].from_f64(n, u.x, v.x);
        cr_expect(n == 0 || memcmp(u.x, v.x, (size_t)n * sizeof(double)) == 0, "%s", k->name);
        k->of[SQ_F64].from_f32(n, f.x, v.x);
        k->of[SQ_F64].to_f32(n, u.x, g.x);
        for (int64_t i = 0; i < n; i++)
            cr_expect(get(SQ_F64, v.x, i) == get(SQ_F32, f.x, i) &&
                      get(SQ_F32, g.x, i) == get(SQ_F32, f.x, i));
        block_free(f);
        block_free(g);
        block_free(u);
        block_free(v);
    }
}

/* Arithmetic without products is the same bits in every table, and NULL is fine for nothing. */
Test(lines, nothing_and_equal_tables)
{
    enum { N = 203 };
    float x[N], y[3][N];
    int tables = 0;
    FOR_TABLES(k)
    {
        rng r = { 14 };
        sqi_move none = { { 3, 0, 2, 1 }, NULL, { 0 }, NULL, { 0 }, true };
        k->of[SQ_F32].move(&none);
        k->of[SQ_F32].fill(0, NULL, 1);
        cr_expect(k->of[SQ_F64].sumsq(0, NULL) == 0);
        randomise(SQ_F32, x, N, &r);
        k->of[SQ_F32].fill(N, y[tables], 1.1);
        k->of[SQ_F32].axpy(N, 0.9, x, y[tables]);
        sqi_move sum = { { 1, 1, 1, N }, y[tables], { 0 }, x, { 0, 0, 0, 1 }, true };
        k->of[SQ_F32].move(&sum);
        EXPECT_SAME_BITS(y[0], y[tables], sizeof y[0], k->name);
        tables++;
    }
}

/* Wherever it stands, and for whatever length; numbers at the ends of the range are finite. */
Test(kernels, finite)
{
    enum { MOST = 70 };
    const double bad[] = { (double)INFINITY, -(double)INFINITY, (double)NAN, -(double)NAN };
    double x[MOST];
    FOR_TABLES(k)
    {
        for (int d = SQ_F32; d <= SQ_F64; d++)
            for (int n = 0; n <= MOST; n++) {
                for (int i = 0; i < n; i++)
                    put((sq_dtype)d, x, i, i % 3 ? 0 : d == SQ_F32 ? -3.4028234e38 : 1.7e308);
                cr_expect(k->of[d].finite(n, x) == true, "%s, %d numbers", k->name, n);
                for (int i = 0; i < n; i++) {
                    double was = get((sq_dtype)d, x, i);
                    put((sq_dtype)d, x, i, bad[i % COUNT(bad)]);
                    cr_expect(k->of[d].finite(n, x) == false, "%s: %d of %d", k->name, i, n);
                    put((sq_dtype)d, x, i, was);
                }
            }
    }
}
