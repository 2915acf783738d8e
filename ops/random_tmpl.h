/* random_tmpl.h -- the mask loop for one precision: `real` and T(name) are given. */

/* n elements under the words. */
static void T(apply)(const sqi_masking *m, int64_t n, const uint32_t *restrict word,
                     const real *restrict x, real *restrict y)
{
    const real scale = (real)m->scale;
    const uint32_t threshold = m->threshold;
    if (m->add)
        for (int64_t i = 0; i < n; i++) y[i] += x[i] * (word[i] >= threshold ? scale : (real)0);
    else
        for (int64_t i = 0; i < n; i++) y[i] = x[i] * (word[i] >= threshold ? scale : (real)0);
}

static void T(mask)(const sqi_masking *m)
{
    const int64_t blocks = (m->cols + WORDS - 1) / WORDS;
    place at = { 0, 0 };
    while (blocks && at.row < m->rows) {
        counters counter;
        uint32_t word[WORDS * LANES];
        count(m, blocks, at, &counter);
        generate(m->stream, &counter, word);
        for (int64_t used = 0; used < LANES && at.row < m->rows;) {
            int64_t n = least(LANES - used, blocks - at.block);
            int64_t from = at.row * m->cols + WORDS * at.block;
            T(apply)
            (m, least(WORDS * n, m->cols - WORDS * at.block), word + WORDS * used,
             (const real *)m->x + from, (real *)m->y + from);
            used += n;
            at.block += n;
            if (at.block == blocks) at.row++, at.block = 0;
        }
    }
}
