/* Weight gradients as sums over many rows (kernels.h), every table that this processor runs, in both
 * precisions: against plain loops in double, and in the promised order bit by bit. */
#define _DEFAULT_SOURCE
#include "tests/support/panels.h"

enum { LEFTS = 3 };

/* Rows of every operand may come in falling order, by a negative stride. */
typedef struct grad {
    const sqi_arith *k;
    sq_dtype d;
    int64_t a_row[LEFTS], m[LEFTS], g_row[PARTS], n[PARTS];
    const void *a[LEFTS], *g[PARTS];
    block a_block[LEFTS], g_block[PARTS], c_block[LEFTS * PARTS], sum_block[PARTS];
    void *c[LEFTS * PARTS], *sums[PARTS];
    sqi_grad_product p;
} grad;

static const void *rows_new(sq_dtype d, int64_t k, int64_t n, block *b, int64_t *row, rng *r)
{
    int64_t stride = n + rng_below(r, 3);
    *b = block_new(d, k ? (k - 1) * stride + n : 0, r);
    *row = rng_below(r, 2) ? stride : -stride;
    return *row < 0 && k ? at(d, b->x, (k - 1) * stride) : b->x;
}

/* With `wide`, operands for which copying the left ones pays. */
static grad *grad_new(const sq_kernels *k, sq_dtype d, int64_t depth, int n_left, int n_parts,
                      bool wide, rng *r)
{
    grad *t = calloc(1, sizeof *t);
    t->k = &k->of[d], t->d = d;
    for (int a = 0; a < n_left; a++) {
        t->m[a] = rng_below(r, 2) ? 1 + rng_below(r, 14) : pick(r, widths, COUNT(widths));
        if (wide) t->m[a] += 256;
        t->a[a] = rows_new(d, depth, t->m[a], &t->a_block[a], &t->a_row[a], r);
    }
    for (int p = 0; p < n_parts; p++) {
        t->n[p] = pick(r, widths, COUNT(widths)) + (wide ? 64 : 0);
        t->g[p] = rows_new(d, depth, t->n[p], &t->g_block[p], &t->g_row[p], r);
        t->sum_block[p] = block_new(d, t->n[p], r);
        t->sums[p] = rng_below(r, 4) ? t->sum_block[p].x : NULL;
    }
    for (int e = 0; e < n_left * n_parts; e++) {
        t->c_block[e] = block_new(d, t->m[e / n_parts] * t->n[e % n_parts], r);
        t->c[e] = rng_below(r, 4) ? t->c_block[e].x : NULL;
    }
    t->p = (sqi_grad_product){ .k = depth,
                               .n_left = n_left,
                               .n_parts = n_parts,
                               .a = t->a,
                               .a_row = t->a_row,
                               .m = t->m,
                               .g = t->g,
                               .g_row = t->g_row,
                               .n = t->n,
                               .c = t->c,
                               .sums = t->sums,
                               .last = t->k->panels(n_parts, t->n) };
    return t;
}

static void grad_free(grad *t)
{
    for (int a = 0; a < LEFTS; a++) block_free(&t->a_block[a]);
    for (int p = 0; p < PARTS; p++) {
        block_free(&t->g_block[p]);
        block_free(&t->sum_block[p]);
    }
    for (int e = 0; e < LEFTS * PARTS; e++) block_free(&t->c_block[e]);
    free(t);
}

static void grad_run(grad *t)
{
    for (int p = 0; p < t->p.n_parts; p++) block_restore(&t->sum_block[p]);
    for (int e = 0; e < t->p.n_left * t->p.n_parts; e++) block_restore(&t->c_block[e]);
    t->k->grad_product(&t->p);
}

/* Row k of operand x, element i; `left` < 0 stands for a row of ones. */
static double left_of(const grad *t, int left, int64_t k, int64_t i)
{
    return left < 0 ? 1 : get(t->d, t->a[left], k * t->a_row[left] + i);
}

/* `got` holds what it should: m x n sums over k, or just what it held. */
static bool grad_matrix_right(const grad *t, const block *got, int left, int p, bool wanted)
{
    int64_t m = left < 0 ? 1 : t->m[left], n = t->n[p];
    if (!wanted) return memcmp(got->x, got->before, got->bytes) == 0;
    for (int64_t e = 0; e < m * n; e++) {
        double sum = get(t->d, got->before, e), size = fabs(sum);
        for (int64_t k = 0; k < t->p.k; k++) {
            double x = left_of(t, left, k, e / n) * get(t->d, t->g[p], k * t->g_row[p] + e % n);
            sum += x;
            size += fabs(x);
        }
        double bound = (double)(t->p.k + 4) * 2 * unit(t->d) * size;
        if (!(fabs(get(t->d, got->x, e) - sum) <= bound)) return false;
    }
    return true;
}

static bool grad_right(const grad *t)
{
    bool right = true;
    for (int p = 0; p < t->p.n_parts; p++) {
        right &= grad_matrix_right(t, &t->sum_block[p], -1, p, t->sums[p] != NULL);
        for (int left = 0; left < t->p.n_left; left++) {
            int e = left * t->p.n_parts + p;
            right &= grad_matrix_right(t, &t->c_block[e], left, p, t->c[e] != NULL);
        }
    }
    return right;
}

Test(grad_product, against_double)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++) {
        rng r = { 4 };
        for (int i = 0; i < 120; i++) {
            grad *t = grad_new(k, (sq_dtype)d, depths[i % 6], 1 + i % LEFTS, 1 + i % PARTS,
                               false, &r);
            grad_run(t);
            cr_expect(grad_right(t), "%s %s K %lld, %d left operands, %d parts", k->name,
                      sq_dtype_name((sq_dtype)d), (long long)t->p.k, t->p.n_left, t->p.n_parts);
            grad_free(t);
        }
    }
}

/* Element (i,j) of left times part p, in blocks of 1024 rows at most: c + chain + chain ... */
#define ORDERED_GRAD(real)                                                       \
    static double ordered_grad_##real(const grad *t, int left, int p, int64_t e, \
                                      const void *before)                        \
    {                                                                            \
        int64_t n = (t->p.k + 1023) / 1024, from = 0;                            \
        real c = ((const real *)before)[e];                                      \
        for (int64_t b = 0; b < n; b++) {                                        \
            int64_t to = from + t->p.k / n + (b < t->p.k % n);                   \
            real sum = 0;                                                        \
            for (int64_t k = from; k < to; k++)                                  \
                sum += (real)left_of(t, left, k, e / t->n[p]) *                  \
                       ((const real *)t->g[p])[k * t->g_row[p] + e % t->n[p]];   \
            c += sum;                                                            \
            from = to;                                                           \
        }                                                                        \
        return (double)c;                                                        \
    }
ORDERED_GRAD(float)
ORDERED_GRAD(double)

static bool grad_ordered(const grad *t, const block *got, int left, int p, bool wanted)
{
    int64_t m = left < 0 ? 1 : t->m[left];
    for (int64_t e = 0; wanted && e < m * t->n[p]; e++) {
        double want = t->d == SQ_F32 ? ordered_grad_float(t, left, p, e, got->before)
                                     : ordered_grad_double(t, left, p, e, got->before);
        if (get(t->d, got->x, e) != want) return false;
    }
    return true;
}

Test(grad_product, law_b_order_of_summation)
{
    static const int64_t long_depths[] = { 1, 63, 1024, 1025, 2051 };
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 20; i++) {
            rng r = { (uint64_t)(300 + i) };
            grad *t = grad_new(k, (sq_dtype)d, long_depths[i % 5], 1, 1 + i % PARTS, false, &r);
            exact_products((sq_dtype)d, &t->a_block[0], &r);
            grad_run(t);
            for (int p = 0; p < t->p.n_parts; p++) {
                cr_expect(grad_ordered(t, &t->c_block[p], 0, p, t->c[p] != NULL),
                          "%s %d K %lld", k->name, d, (long long)t->p.k);
                cr_expect(grad_ordered(t, &t->sum_block[p], -1, p, t->sums[p] != NULL),
                          "%s %d K %lld: sums", k->name, d, (long long)t->p.k);
            }
            grad_free(t);
        }
}

/* Columns i .. i + m - 1 of the left operand alone, panels in two ranges: the same bits. */
static void expect_columns_same(const sq_kernels *k, grad *t, int64_t i, int64_t m,
                                int64_t split, void *const *whole)
{
    int n_parts = t->p.n_parts;
    sqi_grad_product part = t->p;
    const void *a = at(t->d, t->a[0], i);
    void *c[PARTS], *none[PARTS] = { 0 };
    for (int p = 0; p < n_parts; p++) {
        block_restore(&t->c_block[p]);
        c[p] = t->c[p] ? at(t->d, t->c[p], i * t->n[p]) : NULL;
    }
    part.a = &a, part.m = &m, part.c = c, part.sums = none, part.first = split;
    t->k->grad_product(&part);
    part.first = 0, part.last = split;
    t->k->grad_product(&part);
    for (int p = 0; p < n_parts; p++) {
        size_t bytes = (size_t)(m * t->n[p]) * sq_dtype_size(t->d);
        const void *got = at(t->d, t->c_block[p].x, i * t->n[p]);
        cr_expect(memcmp(got, at(t->d, whole[p], i * t->n[p]), bytes) == 0,
                  "%s %s columns %lld+%lld, panels split at %lld", k->name, sq_dtype_name(t->d),
                  (long long)i, (long long)m, (long long)split);
    }
}

Test(grad_product, law_b_bits_do_not_depend_on_neighbours)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int n = 0; n < 10; n++) {
            rng r = { (uint64_t)(400 + n) };
            void *whole[PARTS] = { 0 };
            grad *t = grad_new(k, (sq_dtype)d, n < 9 ? 64 : 1100, 1, 1 + n % PARTS, false, &r);
            grad_run(t);
            for (int p = 0; p < t->p.n_parts; p++) {
                whole[p] = malloc(t->c_block[p].bytes);
                memcpy(whole[p], t->c_block[p].x, t->c_block[p].bytes);
            }
            for (int64_t m = 1; m <= t->m[0]; m += 1 + m / 3)
                expect_columns_same(k, t, rng_below(&r, (int)(t->m[0] - m) + 1), m,
                                    rng_below(&r, (int)t->p.last + 1), whole);
            for (int p = 0; p < PARTS; p++) free(whole[p]);
            grad_free(t);
        }
}

static void *grad_results(const grad *t)
{
    size_t bytes = 0;
    for (int p = 0; p < t->p.n_parts; p++) bytes += t->sum_block[p].bytes;
    for (int e = 0; e < t->p.n_left * t->p.n_parts; e++) bytes += t->c_block[e].bytes;
    char *all = malloc(bytes + 1), *to = all;
    for (int p = 0; p < t->p.n_parts; p++, to += t->sum_block[p - 1].bytes)
        memcpy(to, t->sum_block[p].x, t->sum_block[p].bytes);
    for (int e = 0; e < t->p.n_left * t->p.n_parts; e++, to += t->c_block[e - 1].bytes)
        memcpy(to, t->c_block[e].x, t->c_block[e].bytes);
    return all;
}

static void expect_results(const grad *t, const char *want, const char *what)
{
    for (int p = 0; p < t->p.n_parts; want += t->sum_block[p++].bytes)
        cr_expect(memcmp(t->sum_block[p].x, want, t->sum_block[p].bytes) == 0, "%s: sum %d",
                  what, p);
    for (int e = 0; e < t->p.n_left * t->p.n_parts; want += t->c_block[e++].bytes)
        cr_expect(memcmp(t->c_block[e].x, want, t->c_block[e].bytes) == 0, "%s: product %d",
                  what, e);
}

Test(grad_product, copied_left_operands_change_no_bit)
{
    static const int64_t some[] = { 1, 15, 300, 1100 };
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < COUNT(some); i++) {
            rng r = { (uint64_t)(500 + i) };
            grad *t = grad_new(k, (sq_dtype)d, some[i], 2, PARTS, true, &r);
            size_t bytes = t->k->grad_scratch(&t->p);
            bool copies = bytes > 0, vectors = k->isa != SQI_ISA_base;
            cr_expect(copies == vectors, "%s", k->name);
            grad_run(t);
            char *want = grad_results(t);
            block scratch = block_of(bytes, true);
            t->p.scratch = bytes ? scratch.x : NULL;
            grad_run(t);
            expect_results(t, want, k->name);
            block_free(&scratch);
            free(want);
            grad_free(t);
        }
}

/* Into zeros: pieces of K one after the other give the bits of one chain. */
Test(grad_product, pieces_of_a_chain_resume_it)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 12; i++) {
            rng r = { (uint64_t)(600 + i) };
            grad *t = grad_new(k, (sq_dtype)d, i < 10 ? 1000 : 2500, 1 + i % LEFTS,
                               1 + i % PARTS, false, &r);
            for (int p = 0; p < t->p.n_parts; p++)
                memset(t->sum_block[p].before, 0, t->sum_block[p].bytes);
            for (int e = 0; e < t->p.n_left * t->p.n_parts; e++)
                memset(t->c_block[e].before, 0, t->c_block[e].bytes);
            int64_t whole = t->p.k;
            t->p.resume = i >= 10; /* a chain longer than a block of K is one only so */
            grad_run(t);
            char *want = grad_results(t);
            t->p.k = 0;
            grad_run(t); /* back to zeros */
            t->p.resume = true;
            const void *const a[LEFTS] = { t->a[0], t->a[1], t->a[2] };
            for (int64_t from = 0; from < whole; from += t->p.k) {
                int64_t left = whole - from;
                t->p.k = 1 + rng_below(&r, 400);
                if (t->p.k > left) t->p.k = left;
                for (int l = 0; l < t->p.n_left; l++)
                    t->a[l] = at(t->d, a[l], from * t->a_row[l]);
                const void *g[PARTS];
                for (int p = 0; p < t->p.n_parts; p++)
                    g[p] = at(t->d, t->g[p], from * t->g_row[p]);
                sqi_grad_product piece = t->p;
                piece.g = g;
                t->k->grad_product(&piece);
            }
            expect_results(t, want, k->name);
            free(want);
            grad_free(t);
        }
}
