/* panel_vector_tmpl.h -- packed products in vector extensions; included once per `real`.
 *
 * Two vectors make a panel; a last panel of one vector is that narrow. Panels are the outer
 * loop and blocks of rows the inner one, so that a panel is read from memory once and from
 * cache for all rows. Nothing outside the operands is read or written: parts of vectors at
 * ragged edges go through the stack. */
#include "core/kernels/vector_tmpl.h"
#include "core/kernels/panel_tile_tmpl.h"

#define tile OF_REAL(tile)
#define target OF_REAL(target)

static int64_t OF_REAL(panels)(int32_t n_parts, const int64_t *width)
{
    return (pieces(n_parts, width, VL) + 1) / 2;
}

static size_t OF_REAL(panels_bytes)(const sqi_panels *b)
{
    int64_t n = pieces(b->n_parts, b->width, VL) * VL * total(b->n_sums, b->depth);
    return (size_t)n * sizeof(real);
}

/* ---- Packing ----------------------------------------------------------------------------- */

/* Vector i of the grid, from row k on, in a panel that is *width elements wide. */
static real *OF_REAL(packed_vector)(const sqi_panels *b, int64_t n_vectors, int64_t i,
                                    int64_t k, int64_t *width)
{
    int64_t rows = total(b->n_sums, b->depth);
    *width = i % 2 == 0 && i + 1 == n_vectors ? VL : 2 * VL;
    return (real *)b->data + i / 2 * rows * 2 * VL + k * *width + i % 2 * VL;
}

/* y[k][0..VL) = `lanes` elements of row k, or of column k where a row is not contiguous. */
static void OF_REAL(pack_rows)(int64_t n, const real *x, int64_t row, int64_t lanes, real *y,
                               int64_t width)
{
    for (int64_t k = 0; k < n; k++)
        *(vec *)(y + k * width) = OF_REAL(load_lanes)(x + k * row, lanes);
}

/* The same from columns, which are contiguous: VL x VL elements at a time are transposed. */
static void OF_REAL(pack_columns)(int64_t n, const real *x, int64_t col, int64_t lanes, real *y,
                                  int64_t width)
{
    for (int64_t k = 0; k < n; k += VL) {
        int64_t here = n - k < VL ? n - k : VL;
        vec v[VL] = { { 0 } };
        for (int64_t j = 0; j < lanes; j++) v[j] = OF_REAL(load_lanes)(x + j * col + k, here);
        OF_REAL(transpose)(v);
        for (int64_t i = 0; i < here; i++) *(vec *)(y + (k + i) * width) = v[i];
    }
}

static void OF_REAL(pack_elements)(int64_t n, const real *x, int64_t row, int64_t col,
                                   int64_t lanes, real *y, int64_t width)
{
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = 0; j < VL; j++)
            y[k * width + j] = j < lanes ? x[k * row + j * col] : 0;
}

/* A few rows of all panels at a time, or whole columns: long pieces of what is read. */
static void OF_REAL(pack)(const sqi_panels *b, int32_t sum, int32_t part, const void *from,
                          int64_t row, int64_t col)
{
    int64_t before = pieces(part, b->width, VL), k0 = total(sum, b->depth);
    int64_t n_vectors = pieces(b->n_parts, b->width, VL), depth = b->depth[sum];
    int64_t rows = col == 1 ? PACK_ROWS : depth;
    for (int64_t k = 0; k < depth; k += rows)
        for (int64_t j = 0, i = before, width; j < b->width[part]; j += VL, i++) {
            const real *x = (const real *)from + k * row + j * col;
            real *y = OF_REAL(packed_vector)(b, n_vectors, i, k0 + k, &width);
            int64_t lanes = b->width[part] - j < VL ? b->width[part] - j : VL;
            int64_t n = depth - k < rows ? depth - k : rows;
            if (col == 1) OF_REAL(pack_rows)(n, x, row, lanes, y, width);
            else if (row == 1) OF_REAL(pack_columns)(n, x, col, lanes, y, width);
            else OF_REAL(pack_elements)(n, x, row, col, lanes, y, width);
        }
}

/* ---- The product ------------------------------------------------------------------------- */

/* Rows from .. from + m - 1 of t's panels, in tiles of nearly equal height: all tiles of one height
 * at once. With `next` they fetch the panel that begins there, each a part of it. */
static void OF_REAL(run_rows)(tile *t, int64_t from, int64_t m, int64_t nv,
                              OF_REAL(runner) * run, const real *next)
{
    if (m == 0) return;
    int64_t tall = MAX_SUMS / nv < MAX_ROWS ? MAX_SUMS / nv : MAX_ROWS;
    int64_t n = (m + tall - 1) / tall, height = m / n, taller = m % n;
    t->row = from;
    t->whole = t->to[0].left >= nv * VL;
    t->ahead = (const char *)next;
    t->ahead_step = 2 * SQ_VECTOR_BYTES / n;
    if (taller) run(t, taller, height + 1, nv);
    t->row += taller * (height + 1);
    if (next) t->ahead += taller * (t->panel / (2 * VL)) * t->ahead_step;
    run(t, n - taller, height, nv);
}

/* Few rows take several panels at once, to have enough independent sums. */
static int64_t OF_REAL(take)(int64_t m, int64_t left)
{
    int64_t nv = MAX_VECTORS;
    while (nv > 2 && m * nv > MAX_SUMS) nv /= 2;
    while (nv > left) nv /= 2;
    return nv;
}

/* The piece after s, which is not the last. */
static inline __attribute__((always_inline)) void OF_REAL(next_piece)(const int64_t *width,
                                                                      piece *s)
{
    s->at += VL;
    while (s->at >= width[s->part]) s->at = 0, s->part++;
}

/* Where vector s of the grid goes. */
static inline __attribute__((always_inline)) target OF_REAL(target_of)(
    const sqi_panel_product *p, piece s)
{
    const sqi_out *o = &p->out[s.part];
    const real *from = o->from ? (const real *)o->from + s.at : NULL;
    int64_t left = p->b->width[s.part] - s.at;
    return (target){ (real *)o->c + s.at, o->c_row, from, o->from_row, left, o->pick };
}

/* The last of m rows take two panels at once where tiles of nearly equal height would be too low to
 * have enough independent sums. With 32-byte vectors 8 rows are 5, and 3 of these. */
static int64_t OF_REAL(low_rows)(int64_t m)
{
    int64_t n = (m + MAX_ROWS - 1) / MAX_ROWS;
    return n > 1 && 2 * (m / n) < ENOUGH_SUMS ? MAX_SUMS / 4 : 0;
}

/* Rows from .. from + m - 1 of all wanted panels. */
static void OF_REAL(product_rows)(const sqi_panel_product *p, int64_t from, int64_t m)
{
    const sqi_panels *b = p->b;
    int64_t n_vectors = pieces(b->n_parts, b->width, VL), start = 2 * p->first, nv;
    int64_t end = 2 * p->last < n_vectors ? 2 * p->last : n_vectors;
    int64_t low = OF_REAL(low_rows)(m), high = m - low;
    if (start >= end) return;
    piece s = piece_at(b->width, VL, start);
    bool far = OF_REAL(panels_bytes)(b) > NEAR_BYTES;
    target to[MAX_VECTORS];
    tile t = { .n_sums = b->n_sums, .depth = b->depth, .a_row = p->a_row, .a = p->a };
    t.panel = total(b->n_sums, b->depth) * 2 * VL;
    for (int64_t i = start; i < end; i += nv) {
        nv = OF_REAL(take)(low ? low : m, end - i);
        for (int64_t j = 0; j < nv; j++) {
            if (i + j > start) OF_REAL(next_piece)(b->width, &s);
            to[j] = OF_REAL(target_of)(p, s);
        }
        int64_t at_once = low ? 2 : nv;
        for (int64_t j = 0; j < nv; j += at_once) {
            int64_t wide = nv - j < at_once ? nv - j : at_once;
            t.to = to + j;
            t.b = (const real *)b->data + (i + j) / 2 * t.panel;
            bool fetch = far && wide == 2 && i + j + 4 <= end; /* there is a next one, of two */
            OF_REAL(run_rows)
            (&t, from, high, wide, fetch ? OF_REAL(run_fetch_tile) : OF_REAL(run_tile),
             fetch ? t.b + t.panel : NULL);
        }
        t.to = to;
        t.b = (const real *)b->data + i / 2 * t.panel;
        OF_REAL(run_rows)(&t, from + high, low, nv, OF_REAL(run_tile), NULL);
    }
}

/* Where the columns of a part from `at` on go in one row, and what is added to them. */
typedef struct OF_REAL(row_out) {
    real *c;
    const real *from;
} OF_REAL(row_out);

static inline __attribute__((always_inline)) OF_REAL(row_out)
    OF_REAL(row_of)(const sqi_out *o, int64_t row, int64_t at)
{
    const real *from = o->from;
    if (from) from += (o->pick ? o->pick[row] : row) * o->from_row + at;
    return (OF_REAL(row_out)){ (real *)o->c + row * o->c_row + at, from };
}

/* Vectors that do not all lie within one part. */
static __attribute__((noinline)) void OF_REAL(store_pieces)(const sqi_panel_product *p,
                                                            int64_t row, piece s, int64_t nv,
                                                            const vec *sum)
{
    for (int64_t j = 0; j < nv; j++) {
        if (j) OF_REAL(next_piece)(p->b->width, &s);
        int64_t left = p->b->width[s.part] - s.at, lanes = left < VL ? left : VL;
        OF_REAL(row_out) y = OF_REAL(row_of)(&p->out[s.part], row, s.at);
        vec v = sum[j];
        if (y.from) v += OF_REAL(load_lanes)(y.from, lanes);
        OF_REAL(store_lanes)(y.c, v, lanes);
    }
}

/* nv vectors of a row from piece s on, which is a part's column s.at; all of them within the part, or
 * piece by piece. */
static inline __attribute__((always_inline)) void OF_REAL(single_tile)(
    const sqi_panel_product *p, int64_t row, const real *b, int64_t panel, const int nv,
    piece s)
{
    vec sum[SINGLE_VECTORS];
    OF_REAL(run_single)(p, row, b, panel, nv, sum);
    if (p->b->width[s.part] - s.at < nv * VL) {
        vec out
            [SINGLE_VECTORS]; /* a copy, for the sums stay in registers only without an address */
        UNROLL
        for (int j = 0; j < nv; j++) out[j] = sum[j];
        OF_REAL(store_pieces)(p, row, s, nv, out);
        return;
    }
    OF_REAL(row_out) y = OF_REAL(row_of)(&p->out[s.part], row, s.at);
    if (y.from) UNROLL
    for (int j = 0; j < nv; j++) sum[j] += *(const vec *)(y.from + j * VL);
    UNROLL
    for (int j = 0; j < nv; j++) *(vec *)(y.c + j * VL) = sum[j];
}

/* The same column, counted from the part that it is in; behind the last part there is none. */
static inline piece OF_REAL(settle)(const sqi_panels *b, piece s)
{
    for (; s.part < b->n_parts; s.part++) {
        int64_t padded = (b->width[s.part] + VL - 1) / VL * VL;
        if (s.at < padded) break;
        s.at -= padded;
    }
    return s;
}

/* A row in two chains. It is the only one of its batch: nothing is set up that is not needed. How many
 * vectors there are is counted where four of them do not lie within a part. */
static void OF_REAL(product_single)(const sqi_panel_product *p, int64_t row)
{
    const sqi_panels *b = p->b;
    int64_t panel = total(b->n_sums, b->depth) * 2 * VL, end = 2 * p->last, nv;
    bool counted = false;
    piece s = OF_REAL(settle)(b, (piece){ 0, 2 * p->first * VL, 0 });
    for (int64_t i = 2 * p->first; i < end && s.part < b->n_parts; i += nv) {
        const real *x = (const real *)b->data + i / 2 * panel;
        bool within = b->width[s.part] - s.at >= 4 * VL && end - i >= 4;
        if (!within && !counted) {
            int64_t all = pieces(b->n_parts, b->width, VL);
            end = end < all ? end : all;
            counted = true;
        }
        nv = within ? 4 : end - i < 2 ? 1 : end - i < 4 ? 2 : 4;
        if (nv == 4) OF_REAL(single_tile)(p, row, x, panel, 4, s);
        else if (nv == 2) OF_REAL(single_tile)(p, row, x, panel, 2, s);
        else OF_REAL(single_tile)(p, row, x, panel, 1, s);
        s.at += nv * VL;
        s = OF_REAL(settle)(b, s);
    }
}

static void OF_REAL(product)(const sqi_panel_product *p)
{
    for (int64_t i = 0; p->single && i < p->m; i++) OF_REAL(product_single)(p, i);
    if (p->single) return;
    /* Whole tiles, in blocks of nearly as many. */
    int64_t tiles = (p->m + MAX_ROWS - 1) / MAX_ROWS, most = ROWS_AT_ONCE / MAX_ROWS;
    for (int64_t i = 0; i < k_blocks(tiles, most); i++) {
        k_range r = k_block(tiles, most, i);
        int64_t from = r.from * MAX_ROWS, to = r.to * MAX_ROWS < p->m ? r.to * MAX_ROWS : p->m;
        OF_REAL(product_rows)(p, from, to - from);
    }
}

/* ---- Weight gradients -------------------------------------------------------------------- */

/* One vector of the gradients: a piece of the columns of a part. */
typedef struct OF_REAL(source) {
    const real *g;
    int64_t g_row, lanes;
} OF_REAL(source);

/* y = n rows of the sources side by side; sum += them, one chain a column. */
static inline __attribute__((always_inline)) void OF_REAL(copy_rows)(
    int64_t n, const OF_REAL(source) * from, const int nv, const bool whole, real *y, vec *sum)
{
    const real *g[2] = { from[0].g, from[nv - 1].g };
    vec s[2] = { sum[0], sum[nv - 1] };
    for (; n > 0; n--, y += nv * VL) UNROLL
    for (int j = 0; j < nv; j++) {
        vec v = OF_REAL(load_lanes)(g[j], whole ? VL : from[j].lanes);
        __builtin_prefetch(g[j] + AHEAD * from[j].g_row);
        *(vec *)(y + j * VL) = v;
        s[j] += v;
        g[j] += from[j].g_row;
    }
    for (int j = 0; j < nv; j++) sum[j] = s[j];
}

/* Copies rows ks of nv vectors from vector i on into the panel, and adds up their columns. */
static void OF_REAL(copy_panel)(const sqi_grad_product *p, k_range ks, int64_t i, int64_t nv,
                                real *panel)
{
    OF_REAL(source) from[2];
    vec sum[2] = { { 0 }, { 0 } };
    int64_t n = ks.to - ks.from;
    for (int64_t j = 0; j < nv; j++) {
        piece s = piece_at(p->n, VL, i + j);
        int64_t g_row = p->g_row[s.part];
        const real *g = (const real *)p->g[s.part] + ks.from * g_row + s.at;
        from[j] = (OF_REAL(source)){ g, g_row, s.width };
        if (p->resume && p->sums[s.part])
            sum[j] = OF_REAL(load_lanes)((const real *)p->sums[s.part] + s.at, s.width);
    }
    if (nv == 1) OF_REAL(copy_rows)(n, from, 1, false, panel, sum);
    else if (from[0].lanes < VL || from[1].lanes < VL)
        OF_REAL(copy_rows)(n, from, 2, false, panel, sum);
    else OF_REAL(copy_rows)(n, from, 2, true, panel, sum);
    for (int64_t j = 0; j < nv; j++) {
        piece s = piece_at(p->n, VL, i + j);
        real *y = p->sums[s.part];
        if (!y) continue;
        if (!p->resume) sum[j] += OF_REAL(load_lanes)(y + s.at, s.width);
        OF_REAL(store_lanes)(y + s.at, sum[j], s.width);
    }
}

/* All columns of one left operand times nv vectors of the gradients, from vector i on. A vector
 * that nobody wants is stored nowhere, no lane of it. */
static void OF_REAL(grad_left)(const sqi_grad_product *p, k_range ks, int64_t i, int64_t nv,
                               int32_t left, const real *panel)
{
    int64_t n = ks.to - ks.from, wanted = 0;
    real nowhere[VL];
    target to[2];
    const void *a = p->scratch ? (const real *)p->scratch + total(left, p->m) * n
                               : (const real *)p->a[left] + ks.from * p->a_row[left];
    tile t = { .n_sums = 1,
               .depth = &n,
               .a_row = p->a_row + left,
               .a = &a,
               .b = panel,
               .packed = p->scratch != NULL,
               .to = to,
               .resume = p->resume };
    for (int64_t j = 0; j < nv; j++) {
        piece s = piece_at(p->n, VL, i + j);
        real *c = p->c[(int64_t)left * p->n_parts + s.part];
        to[j] = (target){ nowhere, 0, NULL, 0, 0, NULL };
        if (!c) continue;
        const real *from = p->resume ? NULL : c + s.at;
        to[j] =
            (target){ c + s.at, p->n[s.part], from, p->n[s.part], p->n[s.part] - s.at, NULL };
        wanted++;
    }
    if (wanted && p->m[left] > 0)
        OF_REAL(run_rows)(&t, 0, p->m[left], nv, OF_REAL(run_grad_tile), NULL);
}

/* Rows ks of a left operand, cut into the tiles of run_rows. */
static void OF_REAL(pack_left)(const sqi_grad_product *p, k_range ks, int32_t left)
{
    int64_t n = ks.to - ks.from, m = p->m[left], row = p->a_row[left];
    int64_t tiles = (m + MAX_ROWS - 1) / MAX_ROWS;
    real *y = (real *)p->scratch + total(left, p->m) * n;
    for (int64_t k = 0; k < n; k += PACK_ROWS) {
        int64_t rows = n - k < PACK_ROWS ? n - k : PACK_ROWS, at = 0;
        const real *x = (const real *)p->a[left] + (ks.from + k) * row;
        for (int64_t i = 0, mr; i < tiles; i++, at += mr) {
            mr = m / tiles + (i < m % tiles);
            OF_REAL(pack_tile_of)(rows, x + at, row, y + at * n + k * mr, mr);
        }
    }
}

/* Copying pays where rows lie so far apart that their lines crowd into few sets of the cache, and
 * are read for many panels. */
static size_t OF_REAL(grad_scratch)(const sqi_grad_product *p)
{
    bool far = false;
    for (int32_t left = 0; left < p->n_left; left++)
        far |= p->m[left] * (int64_t)sizeof(real) >= FAR_BYTES;
    if (!far || p->last - p->first < MANY_PANELS || p->k == 0) return 0;
    return (size_t)(total(p->n_left, p->m) * k_block(p->k, GRAD_BLOCK, 0).to) * sizeof(real);
}

/* One copy of a panel of gradients serves all left operands. */
static void OF_REAL(grad_product)(const sqi_grad_product *p)
{
    _Alignas(SQ_VECTOR_BYTES) real panel[GRAD_BLOCK * 2 * VL];
    int64_t n_vectors = pieces(p->n_parts, p->n, VL);
    int64_t end = 2 * p->last < n_vectors ? 2 * p->last : n_vectors;
    for (int64_t block = 0; block < k_blocks(p->k, GRAD_BLOCK); block++) {
        k_range ks = k_block(p->k, GRAD_BLOCK, block);
        for (int32_t left = 0; p->scratch && left < p->n_left; left++)
            OF_REAL(pack_left)(p, ks, left);
        for (int64_t i = 2 * p->first; i < end; i += 2) {
            int64_t nv = end - i < 2 ? 1 : 2;
            OF_REAL(copy_panel)(p, ks, i, nv, panel);
            for (int32_t left = 0; left < p->n_left; left++)
                OF_REAL(grad_left)(p, ks, i, nv, left, panel);
        }
    }
}

#undef tile
#undef target
