/* random_tmpl.h -- the mask loop for one precision: `real` and T(name) are given. */

/* n elements under the words, from element `from` on. */
static void T(apply)(const sqi_masking *m, int64_t n, const uint32_t *restrict word,
                     int64_t from)
{
    const real *restrict x = (const real *)m->x + from;
    real *restrict y = (real *)m->y + from;
    const real high = m->below ? 0 : (real)m->scale, low = m->below ? (real)m->scale : 0;
    const uint32_t threshold = m->threshold;
    if (m->other) {
        const real *restrict other = (const real *)m->other + from;
        for (int64_t i = 0; i < n; i++) y[i] = word[i] >= threshold ? x[i] : other[i];
    } else if (m->add) {
        for (int64_t i = 0; i < n; i++) y[i] += x[i] * (word[i] >= threshold ? high : low);
    } else {
        for (int64_t i = 0; i < n; i++) y[i] = x[i] * (word[i] >= threshold ? high : low);
    }
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
            (m, least(WORDS * n, m->cols - WORDS * at.block), word + WORDS * used, from);
            used += n;
            at.block += n;
            if (at.block == blocks) at.row++, at.block = 0;
        }
    }
}
