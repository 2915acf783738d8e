/* panel_tile_tmpl.h -- the tiles of packed products, in vector extensions; included once per
 * `real` by panel_vector_tmpl.h.
 *
 *        NV vectors of NV/2 panels     The sums of a tile stay in registers, started at zero.
 *       +-------------------------+    Elements of A are broadcast one by one from where they
 *   MR  |          tile           |    lie. Each vector has a destination of its own, which is
 *       +-------------------------+    fetched ahead for writing and added at the end.
 *
 * Which tile computes an element changes nothing in its sum. */

/* Where one vector of a tile goes: c = from + sum, in `lanes` columns; from and pick may be NULL. */
typedef struct OF_REAL(target) {
    real *c;
    int64_t c_row;
    const real *from;
    int64_t from_row, lanes;
    const int32_t *pick;
} OF_REAL(target);

/* Rows `row` and following of A times the panels at b, which lie `panel` elements apart; A has
 * n_sums matrices of depth[s] columns. */
typedef struct OF_REAL(tile) {
    int64_t n_sums, row;
    const int64_t *depth, *a_row;
    const void *const *a;
    const real *b;
    int64_t panel;
    const char
        *ahead; /* what the next panel's tiles will read: a piece of it is fetched here */
    int64_t ahead_step;  /* bytes of the piece per k */
    bool packed, resume; /* weight gradients: A lies tile by tile; sums start at what C holds */
    OF_REAL(target) to[MAX_VECTORS];
} OF_REAL(tile);

#define INLINE static inline __attribute__((always_inline))

/* sum(i,j) += sum_k A(i,k) B(k,j), A(i,k) = a[i*row + k*step]. Rows are addressed from every
 * third one, so that few registers hold all of them. With `far` the rows are contiguous and
 * steps long: A is fetched ahead. With `fetch` so is what lies at `ahead`. */
INLINE void OF_REAL(multiply)(int64_t k, const real *a, int64_t row, int64_t step,
                              const real *b, int64_t panel, const int mr, const int nv,
                              const bool far, const bool fetch, const char *ahead,
                              int64_t ahead_step, vec *sum)
{
    const real *at[MAX_ROWS / 3], *bs[MAX_VECTORS / 2];
    UNROLL
    for (int i = 0; i < mr; i += 3) at[i / 3] = a + i * row;
    UNROLL
    for (int j = 0; j < nv; j += 2) bs[j / 2] = b + j / 2 * panel;
    for (; k > 0; k--) {
        vec v[MAX_VECTORS];
        UNROLL
        for (int j = 0; j < nv; j++) v[j] = *(const vec *)(bs[j / 2] + j % 2 * VL);
        UNROLL
        for (int i = 0; i < mr; i++) {
            real x = at[i / 3][i % 3 * row];
            UNROLL
            for (int j = 0; j < nv; j++) sum[i * nv + j] += x * v[j];
        }
        if (far) {
            __builtin_prefetch(at[0] + AHEAD * step);
            __builtin_prefetch(at[0] + mr - 1 + AHEAD * step);
        }
        if (fetch) {
            __builtin_prefetch(ahead, 0, 2);
            ahead += ahead_step;
        }
        UNROLL
        for (int i = 0; i < mr; i += 3) at[i / 3] += step;
        UNROLL
        for (int j = 0; j < nv; j += 2) bs[j / 2] += nv == 1 ? VL : 2 * VL;
    }
}

static APART void OF_REAL(store_edge)(const OF_REAL(target) * to, int64_t row, const int mr,
                                      const vec *sum)
{
    for (int64_t i = 0; i < mr; i++) {
        vec s = sum[i];
        int64_t at = to->pick ? to->pick[row + i] : row + i;
        if (to->from) s += OF_REAL(load_lanes)(to->from + at * to->from_row, to->lanes);
        OF_REAL(store_lanes)(to->c + (row + i) * to->c_row, s, to->lanes);
    }
}

INLINE void OF_REAL(fetch)(const OF_REAL(tile) * t, const int mr, const int nv)
{
    UNROLL
    for (int j = 0; j < nv; j++) {
        const real *c = t->to[j].c + t->row * t->to[j].c_row;
        UNROLL
        for (int i = 0; i < mr; i++) __builtin_prefetch(c + i * t->to[j].c_row, 1);
    }
}

INLINE void OF_REAL(store)(const OF_REAL(tile) * t, const int mr, const int nv, const vec *sum)
{
    UNROLL
    for (int j = 0; j < nv; j++) {
        const OF_REAL(target) *to = &t->to[j];
        vec s[MAX_ROWS]; /* a copy, for the sums stay in registers only without an address */
        UNROLL
        for (int i = 0; i < mr; i++) s[i] = sum[i * nv + j];
        if (to->lanes < VL) {
            OF_REAL(store_edge)(to, t->row, mr, s);
            continue;
        }
        real *c = to->c + t->row * to->c_row;
        const real *from = to->from;
        if (to->pick) {
            UNROLL
            for (int i = 0; i < mr; i++)
                s[i] += *(const vec *)(from + to->pick[t->row + i] * to->from_row);
        } else if (from) {
            from += t->row * to->from_row;
            UNROLL
            for (int i = 0; i < mr; i++) s[i] += *(const vec *)(from + i * to->from_row);
        }
        UNROLL
        for (int i = 0; i < mr; i++) *(vec *)(c + i * to->c_row) = s[i];
    }
}

/* ---- A tile of a product ----------------------------------------------------------------- */

INLINE void OF_REAL(run)(const OF_REAL(tile) * t, const int mr, const int nv, const bool fetch)
{
    vec sum[MAX_SUMS];
    const real *b = t->b;
    const char *ahead = t->ahead;
    UNROLL
    for (int i = 0; i < mr * nv; i++) sum[i] = (vec){ 0 };
    OF_REAL(fetch)(t, mr, nv);
    for (int64_t s = 0; s < t->n_sums; s++) {
        const real *a = (const real *)t->a[s] + t->row * t->a_row[s];
        OF_REAL(multiply)
        (t->depth[s], a, t->a_row[s], 1, b, t->panel, mr, nv, false, fetch, ahead,
         t->ahead_step, sum);
        b += t->depth[s] * (nv == 1 ? VL : 2 * VL);
        ahead += t->depth[s] * t->ahead_step;
    }
    OF_REAL(store)(t, mr, nv, sum);
}

/* One row in two chains, even and odd k of each sum, times nv vectors at b. */
INLINE void OF_REAL(run_single)(const sqi_panel_product *p, int64_t row, const real *b,
                                int64_t panel, const int nv, vec *out)
{
    const int width = nv == 1 ? VL : 2 * VL;
    vec sum[2 * SINGLE_VECTORS];
    UNROLL
    for (int i = 0; i < 2 * nv; i++) sum[i] = (vec){ 0 };
    for (int64_t s = 0; s < p->b->n_sums; s++) {
        const real *a = (const real *)p->a[s] + row * p->a_row[s];
        int64_t k = p->b->depth[s];
        for (; k >= 2; k -= 2, a += 2, b += 2 * width) UNROLL
        for (int c = 0; c < 2; c++) OF_REAL(multiply)
        (1, a + c, 0, 1, b + c * width, panel, 1, nv, false, false, NULL, 0, sum + c * nv);
        if (k) OF_REAL(multiply)
        (1, a, 0, 1, b, panel, 1, nv, false, false, NULL, 0, sum);
        b += k * width;
    }
    UNROLL
    for (int j = 0; j < nv; j++) out[j] = sum[j] + sum[nv + j];
}

/* ---- A tile of weight gradients ---------------------------------------------------------- */

static inline APART vec OF_REAL(load_edge)(const real *x, int64_t lanes)
{
    return OF_REAL(load_lanes)(x, lanes);
}

INLINE void OF_REAL(load)(const OF_REAL(tile) * t, const int mr, const int nv, vec *sum)
{
    UNROLL
    for (int j = 0; j < nv; j++) {
        const OF_REAL(target) *to = &t->to[j];
        const real *c = to->c + t->row * to->c_row;
        UNROLL
        for (int i = 0; i < mr; i++)
            sum[i * nv + j] = OF_REAL(load_edge)(c + i * to->c_row, to->lanes);
    }
}

/* Here the rows of a tile are columns of the left operand, and k its rows. Packed, each tile's
 * mr columns lie together, row after row. */
INLINE void OF_REAL(run_grad)(const OF_REAL(tile) * t, const int mr, const int nv)
{
    vec sum[MAX_SUMS];
    const real *a = (const real *)t->a[0] + t->row * (t->packed ? t->depth[0] : 1);
    UNROLL
    for (int i = 0; i < mr * nv; i++) sum[i] = (vec){ 0 };
    if (t->resume) OF_REAL(load)(t, mr, nv, sum);
    else OF_REAL(fetch)(t, mr, nv);
    OF_REAL(multiply)
    (t->depth[0], a, 1, t->packed ? mr : t->a_row[0], t->b, t->panel, mr, nv, true, false, NULL,
     0, sum);
    OF_REAL(store)(t, mr, nv, sum);
}

/* Copies n rows of mr columns behind each other. */
INLINE void OF_REAL(pack_tile)(int64_t n, const real *x, int64_t row, real *y, const int mr)
{
    for (; n > 0; n--, x += row, y += mr) memcpy(y, x, (size_t)mr * sizeof *y);
}

/* ---- All of them ------------------------------------------------------------------------- */

#define DEFINE(mr, nv)                                            \
    static void OF_REAL(run_##mr##x##nv)(const OF_REAL(tile) * t) \
    {                                                             \
        OF_REAL(run)(t, mr, nv, false);                           \
    }
TILES(DEFINE)
#undef DEFINE
#define DEFINE(mr, nv)                                                  \
    static void OF_REAL(run_fetch_##mr##x##nv)(const OF_REAL(tile) * t) \
    {                                                                   \
        OF_REAL(run)(t, mr, nv, true);                                  \
    }
TALL_TILES(DEFINE, 2)
#undef DEFINE
#define DEFINE(mr, nv)                                                 \
    static void OF_REAL(run_grad_##mr##x##nv)(const OF_REAL(tile) * t) \
    {                                                                  \
        OF_REAL(run_grad)(t, mr, nv);                                  \
    }
TALL_TILES(DEFINE, 1)
TALL_TILES(DEFINE, 2)
#undef DEFINE

/* Runs a tile of so many rows and vectors. */
typedef void OF_REAL(runner)(const OF_REAL(tile) * t, int64_t mr, int64_t nv);

static void OF_REAL(run_tile)(const OF_REAL(tile) * t, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [nv][mr] = OF_REAL(run_##mr##x##nv),
    static void (*const table[MAX_VECTORS + 1][MAX_ROWS + 1])(
        const OF_REAL(tile) *) = { TILES(ENTRY) };
#undef ENTRY
    table[nv][mr](t);
}

static void OF_REAL(run_fetch_tile)(const OF_REAL(tile) * t, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [mr] = OF_REAL(run_fetch_##mr##x##nv),
    static void (*const table[MAX_ROWS + 1])(const OF_REAL(tile) *) = { TALL_TILES(ENTRY, 2) };
#undef ENTRY
    (void)nv;
    table[mr](t);
}

static void OF_REAL(run_grad_tile)(const OF_REAL(tile) * t, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [nv][mr] = OF_REAL(run_grad_##mr##x##nv),
    static void (*const table[3][MAX_ROWS + 1])(
        const OF_REAL(tile) *) = { TALL_TILES(ENTRY, 1) TALL_TILES(ENTRY, 2) };
#undef ENTRY
    table[nv][mr](t);
}

static void OF_REAL(pack_tile_of)(int64_t n, const real *x, int64_t row, real *y, int64_t mr)
{
#define ENTRY(mr, nv) \
    case mr: OF_REAL(pack_tile)(n, x, row, y, mr); break;
    switch (mr) {
        TALL_TILES(ENTRY, 1)
    }
#undef ENTRY
}
#undef INLINE
