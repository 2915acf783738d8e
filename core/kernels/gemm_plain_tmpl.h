/* gemm_plain_tmpl.h -- the plain C product: the reference, and the body where no vector set is.
 *
 * A strip of a row of C is summed on the stack, k outside, columns inside, so that the compiler
 * vectorises over columns and every element is one chain over k. Included once per `real`. */

enum { OF_REAL(STRIP) = 64 };

static void OF_REAL(strip)(const sqi_gemm *g, int64_t i, int64_t j, int64_t width, k_range ks,
                           bool add)
{
    const real *a = (const real *)g->a + i * g->a_row, *b = (const real *)g->b + j * g->b_col;
    real *c = (real *)g->c + i * g->c_row + j, sum[OF_REAL(STRIP)] = { 0 };
    for (int64_t k = ks.from; k < ks.to; k++) {
        const real x = a[k * g->a_col], *row = b + k * g->b_row;
        if (g->b_col == 1)
            for (int64_t s = 0; s < width; s++) sum[s] += x * row[s];
        else
            for (int64_t s = 0; s < width; s++) sum[s] += x * row[s * g->b_col];
    }
    for (int64_t s = 0; s < width; s++) c[s] = add ? c[s] + sum[s] : sum[s];
}

static void OF_REAL(gemm)(const sqi_gemm *g)
{
    int64_t blocks = g->k > 0 ? k_blocks(g->k) : !g->add; /* K = 0 sets C to the empty sum */
    for (int64_t p = 0; p < blocks; p++) {
        k_range ks = g->k > 0 ? k_block(g->k, p) : (k_range){ 0, 0 };
        for (int64_t j = 0; j < g->n; j += OF_REAL(STRIP)) {
            int64_t left = g->n - j, width = left < OF_REAL(STRIP) ? left : OF_REAL(STRIP);
            for (int64_t i = 0; i < g->m; i++)
                OF_REAL(strip)(g, i, j, width, ks, g->add || p > 0);
        }
    }
}
