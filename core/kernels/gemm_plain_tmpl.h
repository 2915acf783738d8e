/* gemm_plain_tmpl.h -- the plain C product: the reference, and the body where no vector set is.
 *
 * C is computed in strips of a few columns. A strip of a row is summed on the stack, k outside,
 * columns inside, so that the compiler vectorises over columns and every element is one chain
 * over k. A strip of B whose rows are not contiguous, or that is narrower than the others, is
 * first copied to the stack, padded with zeros. Included once per `real`. */

/* C[i, j..j+width) from rows of a strip that lie b_row elements apart. */
static void OF_REAL(strip_row)(const sqi_gemm *g, int64_t i, int64_t j, int64_t width,
                               k_range ks, const real *b, int64_t b_row, bool add)
{
    const real *a = (const real *)g->a + i * g->a_row + ks.from * g->a_col;
    real *c = (real *)g->c + i * g->c_row + j, sum[STRIP] = { 0 };
    for (int64_t k = ks.from; k < ks.to; k++, a += g->a_col, b += b_row)
        for (int s = 0; s < STRIP; s++) sum[s] += *a * b[s];
    for (int64_t s = 0; s < width; s++) c[s] = add ? c[s] + sum[s] : sum[s];
}

static void OF_REAL(strip)(const sqi_gemm *g, int64_t j, int64_t width, k_range ks, bool add)
{
    real copy[K_BLOCK * STRIP];
    const real *b = (const real *)g->b + ks.from * g->b_row + j * g->b_col;
    int64_t b_row = g->b_row;
    if (g->b_col != 1 || width < STRIP) {
        for (int64_t k = 0; k < ks.to - ks.from; k++)
            for (int64_t s = 0; s < STRIP; s++)
                copy[k * STRIP + s] = s < width ? b[k * b_row + s * g->b_col] : 0;
        b = copy;
        b_row = STRIP;
    }
    for (int64_t i = 0; i < g->m; i++) OF_REAL(strip_row)(g, i, j, width, ks, b, b_row, add);
}

static void OF_REAL(gemm)(const sqi_gemm *g)
{
    int64_t blocks =
        g->k > 0 ? k_blocks(g->k, K_BLOCK) : !g->add; /* K = 0 sets C to the empty sum */
    for (int64_t p = 0; p < blocks; p++) {
        k_range ks = g->k > 0 ? k_block(g->k, K_BLOCK, p) : (k_range){ 0, 0 };
        for (int64_t j = 0; j < g->n; j += STRIP) {
            int64_t left = g->n - j, width = left < STRIP ? left : STRIP;
            OF_REAL(strip)(g, j, width, ks, g->add || p > 0);
        }
    }
}
