/* The packed products of kernels.h, every table that this processor runs, in both precisions.
 *
 * Values are compared with plain loops in double within the bound of a sum of so many rounded
 * terms; operands lie between pages that must not be touched. Where the order of summation is
 * promised, the left operand is 1, -1 or 2: its products are exact, fused or not, so that plain
 * sums in the promised order must give the same bits. */
#define _DEFAULT_SOURCE
#include "core/kernels/kernels.h"
#include "tests/support/support.h"

#include <sys/mman.h>

enum { PAGE = 4096, SUMS = 4, PARTS = 5 };

static const char *const isa_names[] = {
#define SQI_ROW(name) #name,
    SQI_ISAS(SQI_ROW)
#undef SQI_ROW
};

/* The tables in turn: for (int i = 0; (k = next_table(&i));) */
static const sq_kernels *next_table(int *i)
{
    while (*i < COUNT(isa_names)) {
        const sq_kernels *k = sqi_kernels_named(isa_names[(*i)++]);
        if (k) return k;
    }
    return NULL;
}

#define FOR_TABLES(k)                                 \
    for (int i__ = 0, once__ = 1; once__; once__ = 0) \
        for (const sq_kernels *k; (k = next_table(&i__));)

/* ---- Arrays of either precision ---------------------------------------------------------- */

static double get(sq_dtype d, const void *x, int64_t i)
{
    return d == SQ_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void put(sq_dtype d, void *x, int64_t i, double v)
{
    if (d == SQ_F32) ((float *)x)[i] = (float)v;
    else ((double *)x)[i] = v;
}

static void *at(sq_dtype d, const void *x, int64_t i)
{
    return (char *)(uintptr_t)x + i * (int64_t)sq_dtype_size(d);
}

static double unit(sq_dtype d) { return d == SQ_F32 ? 0x1p-24 : 0x1p-53; }

/* n elements with an untouchable page on either side: against the one behind them or, with
 * `front`, against the one before; and what they were at first. */
typedef struct block {
    char *pages;
    size_t size, bytes;
    void *x, *before;
} block;

static block block_of(size_t bytes, bool front)
{
    block b = { .bytes = bytes };
    size_t inside = (bytes + PAGE) / PAGE * PAGE;
    b.size = inside + 2 * PAGE;
    b.pages = mmap(NULL, b.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(b.pages != MAP_FAILED);
    cr_assert(mprotect(b.pages + PAGE, inside, PROT_READ | PROT_WRITE) == 0);
    memset(b.pages + PAGE, 0x5A, inside);
    b.x = b.pages + PAGE + (front ? 0 : inside - bytes);
    return b;
}

static block block_new(sq_dtype d, int64_t n, rng *r)
{
    block b = block_of((size_t)n * sq_dtype_size(d), rng_below(r, 2) == 0);
    for (int64_t i = 0; i < n; i++) put(d, b.x, i, rng_in(r, -1, 1));
    b.before = malloc(b.bytes + 1);
    memcpy(b.before, b.x, b.bytes);
    return b;
}

static void block_restore(block *b) { memcpy(b->x, b->before, b->bytes); }

/* What lies in the block's pages beside its bytes is as it was. */
static bool block_sound(const block *b)
{
    if (!b->pages) return true;
    for (char *p = b->pages + PAGE; p < b->pages + b->size - PAGE; p++) {
        bool inside = p >= (char *)b->x && p < (char *)b->x + b->bytes;
        if (!inside && *p != 0x5A) return false;
    }
    return true;
}

static void block_free(block *b)
{
    if (!b->pages) return;
    cr_expect(block_sound(b), "bytes beside an operand were written");
    munmap(b->pages, b->size);
    free(b->before);
}

static void exact_products(sq_dtype d, block *b, rng *r)
{
    static const double factors[] = { 1, -1, 2 };
    for (int64_t i = 0; i < (int64_t)(b->bytes / sq_dtype_size(d)); i++)
        put(d, b->x, i, factors[rng_below(r, 3)]);
}

static int64_t pick(rng *r, const int64_t *from, int n) { return from[rng_below(r, n)]; }

static const int64_t widths[] = { 1, 7, 16, 31, 32, 33, 64, 100 };
static const int64_t depths[] = { 0, 1, 3, 17, 64, 300 };

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
                expect_right(k, t, "in four chains");
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

/* Element (i,j) of part p by sums in the promised order: one chain, or four. */
#define ORDERED(real)                                                            \
    static double ordered_##real(const task *t, int p, int64_t i, int64_t j)     \
    {                                                                            \
        real chain[4] = { 0 };                                                   \
        for (int s = 0; s < t->panels.n_sums; s++)                               \
            for (int64_t k = 0; k < t->depth[s]; k++) {                          \
                real a = ((const real *)t->a[s])[i * t->a_row[s] + k];           \
                chain[t->p.single ? k % 4 : 0] +=                                \
                    a * ((const real *)t->b[s][p].x)[k * t->width[p] + j];       \
            }                                                                    \
        real sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);                \
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

/* ---- Weight gradients -------------------------------------------------------------------- */

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
