/* The packed products of kernels.h, every table that this processor runs, in both precisions.
 *
 * Values are compared with plain loops in double within the bound of a sum of so many rounded
 * terms; operands lie between pages that must not be touched. Where the order of summation is
 * promised, the left operand is 1, -1 or 2: its products are exact, fused or not, so that plain
 * sums in the promised order must give the same bits. */
#define _DEFAULT_SOURCE
#include "tests/support/panels.h"

/* ---- A packed product with its operands -------------------------------------------------- */

typedef struct task {
    const sqi_arith *k;
    sq_dtype d;
    int64_t m, depth[SUMS], width[PARTS], a_row[SUMS];
    const void *a[SUMS];
    block a_block[SUMS], b[SUMS][PARTS], c[PARTS], from[PARTS], data;
    int32_t *pick[PARTS];
    sqi_out out[PARTS];
    sqi_panels panels;
    sqi_panel_product p;
} task;

/* Packs every B from rows, from columns, or from neither's being contiguous. */
static void task_pack(task *t, rng *r)
{
    sqi_panels *b = &t->panels;
    t->data = block_of(t->k->panels_bytes(b), true);
    b->data = t->data.x;
    for (int32_t s = 0; s < b->n_sums; s++)
        for (int32_t p = 0; p < b->n_parts; p++) {
            int64_t rows = b->depth[s], cols = b->width[p], gap = rng_below(r, 3);
            int64_t row = cols + gap, col = 1, n = rows ? (rows - 1) * row + cols : 0;
            int layout = rng_below(r, 4);
            if (layout == 1) row = 1, col = rows + gap, n = (cols - 1) * col + rows;
            if (layout == 2) row *= 2, col = 2, n = rows ? (rows - 1) * row + 2 * cols - 1 : 0;
            block x = block_new(t->d, n, r);
            for (int64_t k = 0; k < rows; k++)
                for (int64_t j = 0; j < cols; j++)
                    put(t->d, x.x, k * row + j * col, get(t->d, t->b[s][p].x, k * cols + j));
            t->k->pack(b, s, p, x.x, row, col);
            block_free(&x);
        }
}

enum { FROM_NULL, FROM_BIAS, FROM_C, FROM_OTHER, FROM_PICKED, N_FROM };

static void task_out(task *t, int32_t p, int kind, rng *r)
{
    sqi_out *o = &t->out[p];
    o->c_row = t->width[p] + rng_below(r, 3);
    t->c[p] = block_new(t->d, t->m ? (t->m - 1) * o->c_row + t->width[p] : 0, r);
    o->c = t->c[p].x;
    if (kind == FROM_C) o->from = o->c, o->from_row = o->c_row;
    if (kind == FROM_BIAS) t->from[p] = block_new(t->d, t->width[p], r);
    if (kind == FROM_OTHER) {
        o->from_row = t->width[p] + rng_below(r, 3);
        t->from[p] = block_new(t->d, t->m ? (t->m - 1) * o->from_row + t->width[p] : 0, r);
    }
    if (kind == FROM_PICKED) { /* rows of a table of three, or of one */
        int rows = 1 + 2 * rng_below(r, 2);
        o->from_row = t->width[p] + rng_below(r, 3);
        t->from[p] = block_new(t->d, (rows - 1) * o->from_row + t->width[p], r);
        t->pick[p] = malloc(((size_t)t->m + 1) * sizeof *t->pick[p]);
        for (int64_t i = 0; i < t->m; i++) t->pick[p][i] = rng_below(r, rows);
        o->pick = t->pick[p];
    }
    if (t->from[p].x) o->from = t->from[p].x;
}

static task *task_new(const sq_kernels *k, sq_dtype d, int64_t m, int n_sums, int n_parts,
                      int64_t depth, rng *r)
{
    task *t = calloc(1, sizeof *t);
    t->k = &k->of[d], t->d = d, t->m = m;
    t->panels = (sqi_panels){ n_sums, n_parts, t->depth, t->width, NULL };
    for (int p = 0; p < n_parts; p++) t->width[p] = pick(r, widths, COUNT(widths));
    for (int s = 0; s < n_sums; s++) {
        t->depth[s] = rng_below(r, 3) ? depth : pick(r, depths, COUNT(depths));
        t->a_row[s] = t->depth[s] + rng_below(r, 3);
        t->a_block[s] = block_new(d, m ? (m - 1) * t->a_row[s] + t->depth[s] : 0, r);
        t->a[s] = t->a_block[s].x;
        for (int p = 0; p < n_parts; p++)
            t->b[s][p] = block_new(d, t->depth[s] * t->width[p], r);
    }
    for (int32_t p = 0; p < n_parts; p++) task_out(t, p, rng_below(r, N_FROM), r);
    task_pack(t, r);
    t->p = (sqi_panel_product){ &t->panels, m, false, t->a, t->a_row, t->out, 0, 0 };
    t->p.last = t->k->panels(n_parts, t->width);
    return t;
}

static void task_free(task *t)
{
    for (int s = 0; s < SUMS; s++) {
        block_free(&t->a_block[s]);
        for (int p = 0; p < PARTS; p++) block_free(&t->b[s][p]);
    }
    for (int p = 0; p < PARTS; p++) {
        block_free(&t->c[p]);
        block_free(&t->from[p]);
        free(t->pick[p]);
    }
    block_free(&t->data);
    free(t);
}

static void task_run(task *t)
{
    for (int p = 0; p < t->panels.n_parts; p++) block_restore(&t->c[p]);
    t->k->product(&t->p);
}

/* What is added to element (i,j) of part p. */
static double from_of(const task *t, int p, int64_t i, int64_t j)
{
    const sqi_out *o = &t->out[p];
    if (!o->from) return 0;
    if (o->pick) i = o->pick[i];
    return get(t->d, o->from == o->c ? t->c[p].before : o->from, i * o->from_row + j);
}

/* Element (i,j) of part p, in double; *size = the sum of the sizes of its terms. */
static double reference(const task *t, int p, int64_t i, int64_t j, double *size)
{
    double sum = from_of(t, p, i, j);
    *size = fabs(sum);
    for (int s = 0; s < t->panels.n_sums; s++)
        for (int64_t k = 0; k < t->depth[s]; k++) {
            double x = get(t->d, t->a[s], i * t->a_row[s] + k) *
                       get(t->d, t->b[s][p].x, k * t->width[p] + j);
            sum += x;
            *size += fabs(x);
        }
    return sum;
}

/* Compares all parts; between its rows C must keep what it held. */
static bool task_right(const task *t)
{
    double terms = 4, size;
    for (int s = 0; s < t->panels.n_sums; s++) terms += (double)t->depth[s];
    for (int p = 0; p < t->panels.n_parts; p++)
        for (int64_t e = 0; e < (int64_t)(t->c[p].bytes / sq_dtype_size(t->d)); e++) {
            int64_t i = e / t->out[p].c_row, j = e % t->out[p].c_row;
            double got = get(t->d, t->c[p].x, e);
            double want = j < t->width[p] ? reference(t, p, i, j, &size)
                                          : (size = 0, get(t->d, t->c[p].before, e));
            if (!(fabs(got - want) <= terms * 2 * unit(t->d) * size)) return false;
        }
    return true;
}

static void expect_right(const sq_kernels *k, task *t, const char *what)
{
    task_run(t);
    cr_expect(task_right(t), "%s %s %s: m %lld, depth %lld.. (%d), width %lld.. (%d)", k->name,
              sq_dtype_name(t->d), what, (long long)t->m, (long long)t->depth[0],
              (int)t->panels.n_sums, (long long)t->width[0], (int)t->panels.n_parts);
}

Test(product, against_double)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++) {
        rng r = { 1 };
        for (int64_t m = 0; m <= 33; m++)
            for (int i = 0; i < 2; i++) {
                task *t = task_new(k, (sq_dtype)d, m, 1 + rng_below(&r, SUMS),
                                   1 + rng_below(&r, PARTS), pick(&r, depths, 5), &r);
                expect_right(k, t, "in one chain");
                t->p.single = true;
                expect_right(k, t, "in two chains");
                task_free(t);
            }
    }
}

Test(product, long_sums_and_many_rows)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++) {
        rng r = { 2 };
        static const int64_t rows[] = { 1, 5, 14, 239, 240, 241, 503 };
        for (int i = 0; i < COUNT(rows); i++) {
            task *t = task_new(k, (sq_dtype)d, rows[i], 1 + i % 2, 1 + i % 3,
                               rows[i] > 20 ? 17 : 300, &r);
            expect_right(k, t, "large");
            task_free(t);
        }
    }
}

/* A wide enough grid of narrow parts: vectors of eight destinations in one tile. */
Test(product, many_parts)
{
    static const int64_t width[] = { 1, 40, 3, 16, 0, 17, 2, 1, 8, 33, 1, 1 };
    FOR_TABLES(k)
    for (int64_t m = 1; m <= 13; m++) {
        float a[13][5], b[5 * 40], c[COUNT(width)][13 * 40];
        const void *as = a;
        int64_t depth = 5, a_row = 5, n = 0;
        sqi_out out[COUNT(width)];
        sqi_panels panels = { 1, COUNT(width), &depth, width, NULL };
        for (int i = 0; i < 13 * 5; i++) a[i / 5][i % 5] = (float)(i % 7 - 3);
        panels.data = aligned_alloc(64, k->of[SQ_F32].panels_bytes(&panels) / 64 * 64 + 64);
        for (int p = 0; p < COUNT(width); p++) {
            for (int i = 0; i < 5 * 40; i++) b[i] = (float)((i + p) % 11 - 5);
            k->of[SQ_F32].pack(&panels, 0, p, b, width[p], 1);
            out[p] = (sqi_out){ c[p], width[p], NULL, 0, NULL };
        }
        int64_t last = k->of[SQ_F32].panels(COUNT(width), width);
        k->of[SQ_F32].product(
            &(sqi_panel_product){ &panels, m, false, &as, &a_row, out, 0, last });
        for (int p = 0; p < COUNT(width); p++)
            for (int64_t e = 0; e < m * width[p]; e++) {
                int64_t i = e / width[p], j = e % width[p], want = 0;
                for (int64_t s = 0; s < 5; s++)
                    want += (i * 5 + s) % 7 * ((s * width[p] + j + p) % 11 - 5) -
                            3 * ((s * width[p] + j + p) % 11 - 5);
                n += (int64_t)c[p][e] != want;
            }
        cr_expect(n == 0, "%s: %lld rows: %lld elements wrong", k->name, (long long)m,
                  (long long)n);
        free(panels.data);
    }
}

Test(product, layouts_pack_the_same)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 20; i++) {
            rng r = { (uint64_t)(100 + i) }, again = r;
            task *t = task_new(k, (sq_dtype)d, 1, 1 + i % SUMS, 1 + i % PARTS, 17, &r);
            task *u = task_new(k, (sq_dtype)d, 1, 1 + i % SUMS, 1 + i % PARTS, 17, &again);
            block first = t->data;
            for (int seed = 0; seed < 4; seed++) {
                rng other = { (uint64_t)seed };
                block_free(&u->data);
                task_pack(u, &other);
                EXPECT_SAME_BITS(first.x, u->data.x, first.bytes, k->name);
            }
            task_free(t);
            task_free(u);
        }
}

/* ---- Law (b) of products ----------------------------------------------------------------- */

/* Element (i,j) of part p by sums in the promised order: one chain, or two. */
#define ORDERED(real)                                                            \
    static double ordered_##real(const task *t, int p, int64_t i, int64_t j)     \
    {                                                                            \
        real chain[2] = { 0 };                                                   \
        for (int s = 0; s < t->panels.n_sums; s++)                               \
            for (int64_t k = 0; k < t->depth[s]; k++) {                          \
                real a = ((const real *)t->a[s])[i * t->a_row[s] + k];           \
                chain[t->p.single ? k % 2 : 0] +=                                \
                    a * ((const real *)t->b[s][p].x)[k * t->width[p] + j];       \
            }                                                                    \
        real sum = chain[0] + chain[1];                                          \
        return (double)(t->out[p].from ? sum + (real)from_of(t, p, i, j) : sum); \
    }
ORDERED(float)
ORDERED(double)

static bool task_ordered(const task *t)
{
    for (int p = 0; p < t->panels.n_parts; p++)
        for (int64_t i = 0; i < t->m; i++)
            for (int64_t j = 0; j < t->width[p]; j++) {
                double want =
                    t->d == SQ_F32 ? ordered_float(t, p, i, j) : ordered_double(t, p, i, j);
                if (get(t->d, t->c[p].x, i * t->out[p].c_row + j) != want) return false;
            }
    return true;
}

Test(product, law_b_order_of_summation)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++) {
        rng r = { 3 };
        for (int64_t m = 1; m <= 26; m++)
            for (int single = 0; single < 2; single++) {
                task *t = task_new(k, (sq_dtype)d, m, 1 + rng_below(&r, SUMS),
                                   1 + rng_below(&r, PARTS), pick(&r, depths, 5), &r);
                for (int s = 0; s < t->panels.n_sums; s++)
                    exact_products((sq_dtype)d, &t->a_block[s], &r);
                t->p.single = single;
                task_run(t);
                cr_expect(task_ordered(t), "%s %s m %lld single %d", k->name,
                          sq_dtype_name((sq_dtype)d), (long long)m, single);
                task_free(t);
            }
    }
}

/* Rows i .. i + m - 1 of the task alone, their panels in two ranges, equal those of `whole`. */
static bool rows_same(task *t, int64_t i, int64_t m, int64_t split, void *const *whole)
{
    sqi_panel_product part = t->p;
    const void *a[SUMS];
    sqi_out out[PARTS];
    bool same = true;
    for (int s = 0; s < t->panels.n_sums; s++) a[s] = at(t->d, t->a[s], i * t->a_row[s]);
    for (int p = 0; p < t->panels.n_parts; p++) {
        block_restore(&t->c[p]);
        out[p] = t->out[p];
        out[p].c = at(t->d, out[p].c, i * out[p].c_row);
        if (out[p].pick) out[p].pick += i;
        else if (out[p].from) out[p].from = at(t->d, out[p].from, i * out[p].from_row);
    }
    part.m = m, part.a = a, part.out = out, part.first = split;
    t->k->product(&part);
    part.first = 0, part.last = split;
    t->k->product(&part);
    for (int p = 0; p < t->panels.n_parts; p++)
        for (int64_t e = i; e < i + m; e++) {
            const void *got = at(t->d, t->out[p].c, e * t->out[p].c_row);
            const void *want = at(t->d, whole[p], e * t->out[p].c_row);
            same &= memcmp(got, want, (size_t)t->width[p] * sq_dtype_size(t->d)) == 0;
        }
    return same;
}

Test(product, law_b_bits_do_not_depend_on_neighbours)
{
    FOR_TABLES(k)
    for (int d = 0; d < 2; d++)
        for (int n = 0; n < 12; n++) {
            rng r = { (uint64_t)(200 + n) };
            void *whole[PARTS] = { 0 };
            task *t = task_new(k, (sq_dtype)d, 33, 1 + n % SUMS, 1 + n % PARTS,
                               n < 10 ? 64 : 300, &r);
            t->p.single = n % 3 == 0;
            task_run(t);
            for (int p = 0; p < t->panels.n_parts; p++) {
                whole[p] = malloc(t->c[p].bytes);
                memcpy(whole[p], t->c[p].x, t->c[p].bytes);
            }
            for (int64_t m = 1; m <= 33; m++) {
                int64_t i = rng_below(&r, (int)(34 - m));
                int64_t split = rng_below(&r, (int)t->p.last + 1);
                cr_expect(rows_same(t, i, m, split, whole),
                          "%s %s rows %lld+%lld, panels split at %lld", k->name,
                          sq_dtype_name((sq_dtype)d), (long long)i, (long long)m,
                          (long long)split);
            }
            for (int p = 0; p < PARTS; p++) free(whole[p]);
            task_free(t);
        }
}
