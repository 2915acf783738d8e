/* panel_tile_tmpl.h -- the tiles of packed products, in vector extensions; included once per
 * `real` by panel_vector_tmpl.h.
 *
 *        NV vectors of NV/2 panels     The sums of a tile stay in registers, started at zero.
 *       +-------------------------+    Elements of A are broadcast one by one from where they
 *   MR  |          tile           |    lie. Each vector has a destination of its own, which is
 *       +-------------------------+    fetched ahead for writing and added at the end.
 *
 * Which tile computes an element changes nothing in its sum. */

/* Where one vector of a tile goes: c = from + sum; from and pick may be NULL. */
typedef struct OF_REAL(target) {
    real *c;
    int64_t c_row;
    const real *from;
    int64_t from_row, left; /* columns from here to the end of its part */
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
    const char *ahead;   /* of the next panel, whose bytes are fetched by these tiles */
    int64_t ahead_step;  /* bytes per k */
    bool whole;          /* all vectors lie within one part */
    bool packed, resume; /* weight gradients: A lies tile by tile; sums start at what C holds */
    const OF_REAL(target) * to; /* one for each vector */
} OF_REAL(tile);

#define INLINE static inline __attribute__((always_inline))

/* sum(i,j) += sum_k A(i,k) B(k,j), A(i,k) = a[i*row + k*step], for k a multiple of `turns`, so many
 * of which make one turn of the loop; the fence keeps compilers from mixing one k with the
 * next, which takes more registers than there are. Rows are addressed from every third one, so that few
 * registers hold all of them. With `far` the rows are contiguous and steps long: A is fetched
 * ahead. With `fetch` so is what lies at *ahead. */
INLINE void OF_REAL(multiply)(int64_t k, const real *a, int64_t row, int64_t step,
                              const real *b, int64_t panel, const int mr, const int nv,
                              const int turns, const bool far, const bool fetch,
                              const char **ahead, int64_t ahead_step, vec *sum)
{
    const int width = nv == 1 ? VL : 2 * VL;
    const real *at[MAX_ROWS / 3], *bs[MAX_VECTORS / 2];
    UNROLL
    for (int i = 0; i < mr; i += 3) at[i / 3] = a + i * row;
    UNROLL
    for (int j = 0; j < nv; j += 2) bs[j / 2] = b + j / 2 * panel;
    for (; k > 0; k -= turns) {
        UNROLL
        for (int u = 0; u < turns; u++) {
            if (turns > 1 || fetch) atomic_signal_fence(memory_order_seq_cst);
            vec v[MAX_VECTORS];
            UNROLL
            for (int j = 0; j < nv; j++)
                v[j] = *(const vec *)(bs[j / 2] + u * width + j % 2 * VL);
            UNROLL
            for (int i = 0; i < mr; i++) {
                real x = at[i / 3][i % 3 * row + u * step];
                UNROLL
                for (int j = 0; j < nv; j++) sum[i * nv + j] += x * v[j];
            }
            if (far) {
                __builtin_prefetch(at[0] + AHEAD * step);
                __builtin_prefetch(at[0] + mr - 1 + AHEAD * step);
            }
        }
        if (fetch) {
            __builtin_prefetch(*ahead, 0, 2);
            *ahead += ahead_step;
        }
        UNROLL
        for (int i = 0; i < mr; i += 3) at[i / 3] += turns * step;
        UNROLL
        for (int j = 0; j < nv; j += 2) bs[j / 2] += turns * width;
    }
}

/* Fetches for writing what the tile will be stored to: vectors of one part by the line. */
INLINE void OF_REAL(fetch)(const OF_REAL(tile) * t, int64_t row, const int mr, const int nv)
{
    UNROLL
    for (int j = 0; j < nv; j++) {
        if (t->whole && j % LINE_VECTORS) continue;
        const OF_REAL(target) *to = &t->to[j];
        const real *c = to->c + row * to->c_row;
        UNROLL
        for (int i = 0; i < mr; i++) __builtin_prefetch(c + i * to->c_row, 1);
    }
}

/* Vectors that do not all lie within one part, one after the other. */
static __attribute__((noinline)) void OF_REAL(store_vectors)(const OF_REAL(tile) * t,
                                                             int64_t row, const int mr,
                                                             const int nv, const vec *sum)
{
    for (int j = 0; j < nv; j++) {
        const OF_REAL(target) *to = &t->to[j];
        int64_t lanes = to->left < VL ? to->left : VL;
        for (int64_t i = row; i < row + mr; i++) {
            vec s = sum[(i - row) * nv + j];
            int64_t at = to->pick ? to->pick[i] : i;
            if (to->from) s += OF_REAL(load_lanes)(to->from + at * to->from_row, lanes);
            OF_REAL(store_lanes)(to->c + i * to->c_row, s, lanes);
        }
    }
}

INLINE void OF_REAL(store)(const OF_REAL(tile) * t, int64_t row, const int mr, const int nv,
                           const vec *sum)
{
    const OF_REAL(target) to = t->to[0];
    vec s[MAX_SUMS];
    if (!t->whole) {
        vec copy[MAX_SUMS]; /* for the sums stay in registers only without an address */
        UNROLL
        for (int i = 0; i < mr * nv; i++) copy[i] = sum[i];
        OF_REAL(store_vectors)(t, row, mr, nv, copy);
        return;
    }
    UNROLL
    for (int i = 0; i < mr * nv; i++) s[i] = sum[i];
    if (to.from && to.pick) {
        UNROLL
        for (int i = 0; i < mr; i++) {
            const real *from = to.from + to.pick[row + i] * to.from_row;
            UNROLL
            for (int j = 0; j < nv; j++) s[i * nv + j] += *(const vec *)(from + j * VL);
        }
    } else if (to.from) {
        const real *from = to.from + row * to.from_row;
        UNROLL
        for (int i = 0; i < mr; i++) UNROLL
        for (int j = 0; j < nv; j++)
            s[i * nv + j] += *(const vec *)(from + i * to.from_row + j * VL);
    }
    real *c = to.c + row * to.c_row;
    UNROLL
    for (int i = 0; i < mr; i++) UNROLL
    for (int j = 0; j < nv; j++) *(vec *)(c + i * to.c_row + j * VL) = s[i * nv + j];
}

/* ---- A tile of a product ----------------------------------------------------------------- */

/* n tiles of mr rows, one under the other. */
INLINE void OF_REAL(run)(const OF_REAL(tile) * t, int64_t n, const int mr, const int nv,
                         const bool fetch)
{
    const int width = nv == 1 ? VL : 2 * VL;
    const int turns = fetch ? 1 : TURNS; /* with more there are not registers enough to fetch */
    const char *ahead = t->ahead;
    for (int64_t row = t->row; n > 0; n--, row += mr) {
        vec sum[MAX_SUMS];
        const real *b = t->b;
        UNROLL
        for (int i = 0; i < mr * nv; i++) sum[i] = (vec){ 0 };
        OF_REAL(fetch)(t, row, mr, nv);
        for (int64_t s = 0; s < t->n_sums; s++) {
            int64_t k = t->depth[s], a_row = t->a_row[s];
            const real *a = (const real *)t->a[s] + row * a_row;
            if (k % turns) {
                OF_REAL(multiply)
                (1, a, a_row, 1, b, t->panel, mr, nv, 1, false, false, NULL, 0, sum);
                a++, b += width, k--;
            }
            OF_REAL(multiply)
            (k, a, a_row, 1, b, t->panel, mr, nv, turns, false, fetch, &ahead, t->ahead_step,
             sum);
            b += k * width;
        }
        OF_REAL(store)(t, row, mr, nv, sum);
    }
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
        (1, a + c, 0, 1, b + c * width, panel, 1, nv, 1, false, false, NULL, 0, sum + c * nv);
        if (k) OF_REAL(multiply)
        (1, a, 0, 1, b, panel, 1, nv, 1, false, false, NULL, 0, sum);
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

INLINE void OF_REAL(load)(const OF_REAL(tile) * t, int64_t row, const int mr, const int nv,
                          vec *sum)
{
    UNROLL
    for (int j = 0; j < nv; j++) {
        const OF_REAL(target) *to = &t->to[j];
        const real *c = to->c + row * to->c_row;
        int64_t lanes = to->left < VL ? to->left : VL;
        UNROLL
        for (int i = 0; i < mr; i++)
            sum[i * nv + j] = OF_REAL(load_edge)(c + i * to->c_row, lanes);
    }
}

/* Here the rows of a tile are columns of the left operand, and k its rows. Packed, each tile's
 * mr columns lie together, row after row. */
INLINE void OF_REAL(run_grad)(const OF_REAL(tile) * t, int64_t n, const int mr, const int nv)
{
    for (int64_t row = t->row; n > 0; n--, row += mr) {
        vec sum[MAX_SUMS];
        const real *a = (const real *)t->a[0] + row * (t->packed ? t->depth[0] : 1);
        UNROLL
        for (int i = 0; i < mr * nv; i++) sum[i] = (vec){ 0 };
        if (t->resume) OF_REAL(load)(t, row, mr, nv, sum);
        else OF_REAL(fetch)(t, row, mr, nv);
        OF_REAL(multiply)
        (t->depth[0], a, 1, t->packed ? mr : t->a_row[0], t->b, t->panel, mr, nv, 1, true,
         false, NULL, 0, sum);
        OF_REAL(store)(t, row, mr, nv, sum);
    }
}

/* Copies n rows of mr columns behind each other. */
INLINE void OF_REAL(pack_tile)(int64_t n, const real *x, int64_t row, real *y, const int mr)
{
    for (; n > 0; n--, x += row, y += mr) memcpy(y, x, (size_t)mr * sizeof *y);
}

/* ---- All of them ------------------------------------------------------------------------- */

#define DEFINE(mr, nv)                                                       \
    static void OF_REAL(run_##mr##x##nv)(const OF_REAL(tile) * t, int64_t n) \
    {                                                                        \
        OF_REAL(run)(t, n, mr, nv, false);                                   \
    }
TILES(DEFINE)
#undef DEFINE
#define DEFINE(mr, nv)                                                             \
    static void OF_REAL(run_fetch_##mr##x##nv)(const OF_REAL(tile) * t, int64_t n) \
    {                                                                              \
        OF_REAL(run)(t, n, mr, nv, true);                                          \
    }
TALL_TILES(DEFINE, 2)
#undef DEFINE
#define DEFINE(mr, nv)                                                            \
    static void OF_REAL(run_grad_##mr##x##nv)(const OF_REAL(tile) * t, int64_t n) \
    {                                                                             \
        OF_REAL(run_grad)(t, n, mr, nv);                                          \
    }
TALL_TILES(DEFINE, 1)
TALL_TILES(DEFINE, 2)
#undef DEFINE

/* Runs n tiles of so many rows and vectors. */
typedef void OF_REAL(runner)(const OF_REAL(tile) * t, int64_t n, int64_t mr, int64_t nv);

static void OF_REAL(run_tile)(const OF_REAL(tile) * t, int64_t n, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [nv][mr] = OF_REAL(run_##mr##x##nv),
    static void (*const table[MAX_VECTORS + 1][MAX_ROWS + 1])(const OF_REAL(tile) *,
                                                              int64_t) = { TILES(ENTRY) };
#undef ENTRY
    table[nv][mr](t, n);
}

static void OF_REAL(run_fetch_tile)(const OF_REAL(tile) * t, int64_t n, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [mr] = OF_REAL(run_fetch_##mr##x##nv),
    static void (*const table[MAX_ROWS + 1])(const OF_REAL(tile) *,
                                             int64_t) = { TALL_TILES(ENTRY, 2) };
#undef ENTRY
    (void)nv;
    table[mr](t, n);
}

static void OF_REAL(run_grad_tile)(const OF_REAL(tile) * t, int64_t n, int64_t mr, int64_t nv)
{
#define ENTRY(mr, nv) [nv][mr] = OF_REAL(run_grad_##mr##x##nv),
    static void (*const table[3][MAX_ROWS + 1])(
        const OF_REAL(tile) *, int64_t) = { TALL_TILES(ENTRY, 1) TALL_TILES(ENTRY, 2) };
#undef ENTRY
    table[nv][mr](t, n);
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
