/* panel_plain_tmpl.h -- the plain C packed products: the reference, and the body where no
 * vector set is. Included once per `real`.
 *
 * A panel is a strip of one part's columns, padded with zeros; its rows k of all sums follow
 * one another. Strips of a result are summed on the stack, k outside, columns inside. */

static int64_t OF_REAL(panels)(int32_t n_parts, const int64_t *width)
{
    return pieces(n_parts, width, STRIP);
}

static size_t OF_REAL(panels_bytes)(const sqi_panels *b)
{
    int64_t n = OF_REAL(panels)(b->n_parts, b->width) * STRIP * total(b->n_sums, b->depth);
    return (size_t)n * sizeof(real);
}

static void OF_REAL(pack)(const sqi_panels *b, int32_t sum, int32_t part, const void *x,
                          int64_t row, int64_t col)
{
    const real *from = x;
    int64_t rows = total(b->n_sums, b->depth), width = b->width[part];
    real *panel = (real *)b->data;
    panel += (OF_REAL(panels)(part, b->width) * rows + total(sum, b->depth)) * STRIP;
    for (int64_t at = 0; at < width; at += STRIP, panel += rows * STRIP)
        for (int64_t k = 0; k < b->depth[sum]; k++)
            for (int64_t j = 0; j < STRIP; j++)
                panel[k * STRIP + j] = at + j < width ? from[k * row + (at + j) * col] : 0;
}

/* The product of row i with one panel. */
static void OF_REAL(sum_row)(const sqi_panel_product *p, int64_t i, const real *b, real *sum)
{
    for (int32_t s = 0; s < p->b->n_sums; s++) {
        const real *a = (const real *)p->a[s] + i * p->a_row[s];
        for (int64_t k = 0; k < p->b->depth[s]; k++, b += STRIP)
            for (int j = 0; j < STRIP; j++) sum[j] += a[k] * b[j];
    }
}

static void OF_REAL(sum_row_by_two)(const sqi_panel_product *p, int64_t i, const real *b,
                                    real *sum)
{
    real chain[2][STRIP] = { { 0 } };
    for (int32_t s = 0; s < p->b->n_sums; s++) {
        const real *a = (const real *)p->a[s] + i * p->a_row[s];
        for (int64_t k = 0; k < p->b->depth[s]; k++, b += STRIP)
            for (int j = 0; j < STRIP; j++) chain[k % 2][j] += a[k] * b[j];
    }
    for (int j = 0; j < STRIP; j++) sum[j] = chain[0][j] + chain[1][j];
}

static void OF_REAL(product)(const sqi_panel_product *p)
{
    int64_t size = total(p->b->n_sums, p->b->depth) * STRIP;
    for (int64_t panel = p->first; panel < p->last; panel++) {
        piece s = piece_at(p->b->width, STRIP, panel);
        const sqi_out *o = &p->out[s.part];
        const real *b = (const real *)p->b->data + panel * size;
        for (int64_t i = 0; i < p->m; i++) {
            real sum[STRIP] = { 0 }, *c = (real *)o->c + i * o->c_row + s.at;
            (p->single ? OF_REAL(sum_row_by_two) : OF_REAL(sum_row))(p, i, b, sum);
            int64_t at = o->pick ? o->pick[i] : i;
            if (o->from)
                for (int64_t j = 0; j < s.width; j++)
                    sum[j] += ((const real *)o->from)[at * o->from_row + s.at + j];
            for (int64_t j = 0; j < s.width; j++) c[j] = sum[j];
        }
    }
}

/* Rows ks of one strip of gradients, padded with zeros; adds their sum. */
static void OF_REAL(copy_strip)(const sqi_grad_product *p, piece s, k_range ks, real *g)
{
    real sum[STRIP] = { 0 }, *sums = p->sums[s.part];
    for (int64_t j = 0; p->resume && sums && j < s.width; j++) sum[j] = sums[s.at + j];
    for (int64_t k = ks.from; k < ks.to; k++, g += STRIP) {
        const real *x = (const real *)p->g[s.part] + k * p->g_row[s.part] + s.at;
        for (int64_t j = 0; j < STRIP; j++) g[j] = j < s.width ? x[j] : 0;
        for (int j = 0; j < STRIP; j++) sum[j] += g[j];
    }
    for (int64_t j = 0; sums && j < s.width; j++)
        sums[s.at + j] = p->resume ? sum[j] : sums[s.at + j] + sum[j];
}

/* The rows of one matrix of weight gradients. */
static void OF_REAL(grad_rows)(const sqi_grad_product *p, int32_t left, piece s, k_range ks,
                               const real *g)
{
    int64_t a_row = p->a_row[left], n = p->n[s.part];
    const real *a = (const real *)p->a[left] + ks.from * a_row;
    real *c = p->c[(int64_t)left * p->n_parts + s.part];
    for (int64_t i = 0; c && i < p->m[left]; i++) {
        real sum[STRIP] = { 0 }, *to = c + i * n + s.at;
        for (int64_t j = 0; p->resume && j < s.width; j++) sum[j] = to[j];
        for (int64_t k = 0; k < ks.to - ks.from; k++)
            for (int j = 0; j < STRIP; j++) sum[j] += a[k * a_row + i] * g[k * STRIP + j];
        for (int64_t j = 0; j < s.width; j++) to[j] = p->resume ? sum[j] : to[j] + sum[j];
    }
}

static size_t OF_REAL(grad_scratch)(const sqi_grad_product *p)
{
    (void)p;
    return 0;
}

static void OF_REAL(grad_product)(const sqi_grad_product *p)
{
    real g[GRAD_BLOCK * STRIP];
    for (int64_t block = 0; block < k_blocks(p->k, GRAD_BLOCK); block++) {
        k_range ks = k_block(p->k, GRAD_BLOCK, block);
        for (int64_t panel = p->first; panel < p->last; panel++) {
            piece s = piece_at(p->n, STRIP, panel);
            OF_REAL(copy_strip)(p, s, ks, g);
            for (int32_t left = 0; left < p->n_left; left++)
                OF_REAL(grad_rows)(p, left, s, ks, g);
        }
    }
}
