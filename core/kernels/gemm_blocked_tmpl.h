/* gemm_blocked_tmpl.h -- the blocked product in vector extensions; included once per `real`.
 *
 *         NV vectors                   C is cut into tiles of up to MR rows by NV vectors;
 *       +-----------+                  their sums stay in registers. A is not packed: its
 *   MR  |   tile    | += A(rows, k)    elements are broadcast one by one. A panel of B, NV
 *       +-----------+    * B(k, panel) vectors wide, is read where it lies or copied to the
 *                                      stack, there transposed and padded with zeros.
 *
 * Which tile computes an element changes nothing in its sum. Nothing outside the operands is
 * read or written: a panel's ragged right edge is copied, its padded lanes are never stored. */

#include "core/kernels/vector_tmpl.h"

#define tile OF_REAL(tile)

/* One tile's work: C (=, or += with add) sum over k of A(i,k) B(k,j) in `lanes` columns. */
typedef struct tile {
    int64_t k, a_row, a_col, b_row, c_row, lanes;
    const real *a, *b;
    real *c;
    bool add;
} tile;

/* ---- The tiles --------------------------------------------------------------------------- */

/* Rows are addressed from every third one, so that few registers hold all of them. */
static inline __attribute__((always_inline)) void OF_REAL(multiply)(const tile *t, const int mr,
                                                                    const int nv, vec *sum)
{
    int64_t stride = t->a_row, step = t->a_col, b_row = t->b_row;
    const real *a[MAX_ROWS / 3], *b = t->b;
    UNROLL
    for (int i = 0; i < mr; i += 3) a[i / 3] = t->a + i * stride;
    for (int64_t k = t->k; k > 0; k--, b += b_row) {
        vec row[MAX_VECTORS];
        UNROLL
        for (int j = 0; j < nv; j++) row[j] = *(const vec *)(b + j * VL);
        UNROLL
        for (int i = 0; i < mr; i++) {
            real x = a[i / 3][i % 3 * stride];
            UNROLL
            for (int j = 0; j < nv; j++) sum[i * nv + j] += x * row[j];
        }
        UNROLL
        for (int i = 0; i < mr; i += 3) a[i / 3] += step;
    }
}

static void OF_REAL(store_edge)(const tile *t, const int mr, const vec *sum)
{
    for (int i = 0; i < mr; i++) {
        real line[VL], *c = t->c + i * t->c_row;
        *(vec *)line = sum[i];
        for (int64_t j = 0; j < t->lanes; j++) c[j] = t->add ? c[j] + line[j] : line[j];
    }
}

static inline __attribute__((always_inline)) void OF_REAL(run)(const tile *t, const int mr,
                                                               const int nv)
{
    vec sum[MAX_SUMS];
    UNROLL
    for (int i = 0; i < mr * nv; i++) sum[i] = (vec){ 0 };
    UNROLL
    for (int e = 0; e < mr * nv; e++)
        __builtin_prefetch(t->c + e / nv * t->c_row + e % nv * VL, 1);
    OF_REAL(multiply)(t, mr, nv, sum);
    if (t->lanes < nv * VL) {
        vec edge[MAX_ROWS]; /* a copy, for the sums stay in registers only without an address */
        UNROLL
        for (int i = 0; i < mr; i++) edge[i] = sum[i * nv];
        OF_REAL(store_edge)(t, mr, edge);
        return;
    }
    UNROLL
    for (int e = 0; e < mr * nv; e++) {
        vec *c = (vec *)(t->c + e / nv * t->c_row + e % nv * VL), s = sum[e];
        if (t->add) s += *c;
        *c = s;
    }
}

#define DEFINE(mr, nv) \
    static void OF_REAL(run_##mr##x##nv)(const tile *t) { OF_REAL(run)(t, mr, nv); }
TILES(DEFINE)
#undef DEFINE

static void OF_REAL(run_tile)(const tile *t, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [nv][mr] = OF_REAL(run_##mr##x##nv),
    static void (*const table[MAX_VECTORS + 1][MAX_ROWS + 1])(const tile *) = { TILES(ENTRY) };
#undef ENTRY
    table[nv][mr](t);
}

/* ---- Panels of B ------------------------------------------------------------------------- */

/* panel[k][0..VL) = up to VL columns of B whose elements lie contiguous along k. */
static void OF_REAL(pack_columns)(int64_t n_k, const real *b, int64_t b_col, int64_t lanes,
                                  real *panel, int64_t width)
{
    int64_t k = 0;
    for (; k + VL <= n_k && lanes == VL; k += VL) { /* all in registers */
        vec v[VL];
        UNROLL
        for (int j = 0; j < VL; j++) v[j] = *(const vec *)(b + j * b_col + k);
        OF_REAL(transpose)(v);
        UNROLL
        for (int i = 0; i < VL; i++) *(vec *)(panel + (k + i) * width) = v[i];
    }
    for (; k + VL <= n_k; k += VL) {
        vec v[VL];
        for (int64_t j = 0; j < VL; j++)
            v[j] = j < lanes ? *(const vec *)(b + j * b_col + k) : (vec){ 0 };
        OF_REAL(transpose)(v);
        for (int i = 0; i < VL; i++) *(vec *)(panel + (k + i) * width) = v[i];
    }
    for (; k < n_k; k++)
        for (int64_t j = 0; j < VL; j++)
            panel[k * width + j] = j < lanes ? b[j * b_col + k] : 0;
}

/* Copies t's panel of B, nv vectors wide, and points t to the copy. */
static void OF_REAL(pack)(const sqi_gemm *g, int64_t nv, real *panel, tile *t)
{
    const real *b = t->b;
    int64_t width = nv * VL;
    if (g->b_row == 1)
        for (int64_t j = 0; j < width; j += VL) {
            int64_t lanes = t->lanes - j < VL ? t->lanes - j : VL;
            OF_REAL(pack_columns)(t->k, b + j * g->b_col, g->b_col, lanes, panel + j, width);
        }
    else
        for (int64_t k = 0; k < t->k; k++)
            for (int64_t j = 0; j < width; j++)
                panel[k * width + j] = j < t->lanes ? b[k * g->b_row + j] : 0;
    t->b = panel;
    t->b_row = width;
}

/* ---- The product ------------------------------------------------------------------------- */

/* All rows of one panel of columns, in tiles of nearly equal height. */
static void OF_REAL(panel_rows)(const sqi_gemm *g, tile *t, int64_t nv)
{
    int64_t tall = MAX_SUMS / nv < MAX_ROWS ? MAX_SUMS / nv : MAX_ROWS;
    if (g->m <= tall) {
        OF_REAL(run_tile)(t, g->m, nv);
        return;
    }
    int64_t n = (g->m + tall - 1) / tall, height = g->m / n, taller = g->m % n;
    for (int64_t i = 0; i < n; i++) {
        int64_t mr = height + (i < taller);
        OF_REAL(run_tile)(t, mr, nv);
        t->a += mr * g->a_row;
        t->c += mr * g->c_row;
    }
}

/* A panel is copied when its rows are not contiguous, or when so many rows of A meet it that
 * reading it from one place pays. */
static bool OF_REAL(copies)(const sqi_gemm *g) { return g->b_col != 1 || g->m > DIRECT_ROWS; }

/* Few rows want wide tiles, to have enough independent sums; rows that just fill one tile of
 * two vectors want that, for then B is read once; a copied panel has two at most, to fit the
 * stack. At the right edge, what is left decides. */
static int64_t OF_REAL(panel_vectors)(const sqi_gemm *g, int64_t left)
{
    int64_t nv = g->m > MAX_ROWS ? MANY_ROWS_VECTORS : MAX_VECTORS;
    if (OF_REAL(copies)(g)) nv = 2;
    while (nv > 2 && g->m <= MAX_ROWS && nv * g->m > MAX_SUMS) nv /= 2;
    while (nv > 1 && nv * VL > left) nv /= 2;
    return nv;
}

static void OF_REAL(multiply_block)(const sqi_gemm *g, k_range ks, bool add)
{
    _Alignas(SQ_VECTOR_BYTES) real panel[K_BLOCK * 2 * VL];
    const real *a = (const real *)g->a + ks.from * g->a_col;
    const real *b = (const real *)g->b + ks.from * g->b_row;
    tile t = { .k = ks.to - ks.from, .a_row = g->a_row, .a_col = g->a_col, .c_row = g->c_row };
    t.add = add;
    for (int64_t j = 0, nv; j < g->n; j += nv * VL) {
        nv = OF_REAL(panel_vectors)(g, g->n - j);
        t.lanes = nv * VL < g->n - j ? nv * VL : g->n - j;
        t.a = a;
        t.b = b + j * g->b_col;
        t.b_row = g->b_row;
        t.c = (real *)g->c + j;
        if (OF_REAL(copies)(g) || t.lanes < nv * VL) OF_REAL(pack)(g, nv, panel, &t);
        OF_REAL(panel_rows)(g, &t, nv);
    }
}

static void OF_REAL(gemm)(const sqi_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    for (int64_t i = 0; g->k == 0 && !g->add && i < g->m; i++)
        memset((real *)g->c + i * g->c_row, 0, (size_t)g->n * sizeof(real));
    for (int64_t p = 0; p < k_blocks(g->k, K_BLOCK); p++)
        OF_REAL(multiply_block)(g, k_block(g->k, K_BLOCK, p), g->add || p > 0);
}

#undef tile
