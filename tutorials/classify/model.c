/* model.c -- read this file to learn how pieces of different lengths become one batch.
 *
 * Lengths go into the unroll: a row stops at its end, the backward direction begins there, and what
 * lies behind a row's end is never looked at. */
#include "model.h"

#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The network ------------------------------------------------------------------------- */

static void make_way(model *m, int k, uint64_t seed)
{
    static const char *const names[2] = { "forward", "backward" };
    cell_weights *w = &m->weights[k];
    if (m->size.cell == CELL_LSTM)
        sq_lstm_init(&w->lstm, m->params, names[k], m->size.embed, m->size.hidden, seed);
    else
        sq_gru_init(&w->gru, m->params, names[k], m->size.embed, m->size.hidden, SQ_RESET_AFTER,
                    seed);
    m->way[k] = (sq_dropped){ .cell = m->size.cell == CELL_LSTM ? sq_lstm_cell(&w->lstm)
                                                                : sq_gru_cell(&w->gru),
                              .input = m->size.dropout,
                              .output = m->size.dropout };
}

static void make_weights(model *m, uint64_t seed)
{
    bool both = m->size.direction == BOTH_DIRECTIONS;
    int64_t width = m->size.hidden * (both ? 2 : 1);
    m->params = sq_params_new(SQ_F32);
    if (!m->params) die("out of memory");
    m->E = sq_params_add(m->params, "embedding.E", sq_mat(m->n_chars, m->size.embed));
    sq_init_normal(m->params, m->E, 1, seed);
    make_way(m, 0, seed);
    if (both) make_way(m, 1, seed);
    m->V = sq_params_add(m->params, "readout.V", sq_mat(width, m->n_classes));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(m->n_classes));
    sq_init_uniform_hidden(m->params, m->V, width, seed);
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));
}

static char *copied(const char *text)
{
    char *copy = take(strlen(text) + 1, 1);
    return strcpy(copy, text);
}

model *model_new(const data *d, const model_sizes *size, uint64_t seed)
{
    const pieces *t = &d->part[TRAIN];
    model *m = take(1, sizeof *m);
    m->size = *size;
    m->n_chars = 1;
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t k = 0; k < t->piece[i].n; k++) {
            int32_t *number = &m->number[(unsigned char)t->piece[i].text[k]];
            if (!*number) *number = m->n_chars++;
        }
    m->n_classes = d->n_classes;
    for (int32_t k = 0; k < d->n_classes; k++) m->name[k] = copied(d->name[k]);
    make_weights(m, seed);
    return m;
}

void model_free(model *m)
{
    for (int32_t k = 0; k < m->n_classes; k++) free(m->name[k]);
    sq_params_free(m->params);
    free(m);
}

sq_var model_input(const model *m, sq_tape *t, const batch *b)
{
    sq_var x = sq_gather(sq_use(t, m->E), b->ids, b->steps * b->rows);
    return sq_reshape(x, sq_shape3(b->steps, b->rows, m->size.embed));
}

sq_var model_scores(const model *m, sq_tape *t, const batch *b, sq_var x, bool dropout)
{
    bool both = m->size.direction == BOTH_DIRECTIONS, last = m->size.pool == POOL_LAST;
    sq_cell way[2];
    for (int k = 0; k < (both ? 2 : 1); k++)
        way[k] = dropout ? sq_dropout_cell(&m->way[k]) : m->way[k].cell;
    sq_unroll_options options = { .lengths = b->lengths,
                                  .outputs = last ? SQ_OUTPUTS_LAST : SQ_OUTPUTS_ALL };
    sq_var p = both ? sq_bidirectional(t, &way[0], &way[1], x, NULL, NULL, &options).outputs
                    : sq_unrolled_outputs(sq_unroll(t, &way[0], x, NULL, &options));
    if (!last) p = sq_masked_mean_axis(p, 0, b->mask, sq_shape3(b->steps, b->rows, 1));
    return sq_affine(p, sq_use(t, m->V), sq_use(t, m->a));
}

/* ---- A ragged batch ---------------------------------------------------------------------- */

batch batch_new(int64_t rows, int64_t longest)
{
    size_t n = (size_t)(rows * longest);
    return (batch){ .ids = take(n, sizeof(int32_t)),
                    .lengths = take((size_t)rows, sizeof(int32_t)),
                    .label = take((size_t)rows, sizeof(int32_t)),
                    .mask = take(n, sizeof(int32_t)) };
}

void batch_free(batch *b)
{
    free(b->ids);
    free(b->lengths);
    free(b->label);
    free(b->mask);
}

void batch_fill(batch *b, const model *m, const piece *const *from, int64_t rows)
{
    b->rows = rows;
    b->steps = 0;
    for (int64_t r = 0; r < rows; r++) {
        b->lengths[r] = (int32_t)from[r]->n;
        b->label[r] = from[r]->label;
        if (from[r]->n > b->steps) b->steps = from[r]->n;
    }
    memset(b->ids, 0, (size_t)(b->steps * rows) * sizeof *b->ids);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < from[r]->n; i++)
            b->ids[i * rows + r] = m->number[(unsigned char)from[r]->text[i]];
    sq_length_mask(b->lengths, b->steps, rows, b->mask);
}

/* ---- Files ------------------------------------------------------------------------------- */

enum { CELL, DIRECTION, POOL, HIDDEN, EMBED, PIECE, CLASSES, N_SIZES };

static void class_key(int32_t k, char key[32]) { snprintf(key, 32, "class.%d", (int)k); }

void model_save(const model *m, const char *path)
{
    const model_sizes *s = &m->size;
    int64_t chars[256], n = 0;
    int64_t sizes[N_SIZES] = { s->cell,  s->direction, s->pool,     s->hidden,
                               s->embed, s->piece,     m->n_classes };
    for (int32_t id = 1; id < m->n_chars; id++)
        for (int c = 0; c < 256; c++)
            if (m->number[c] == id) chars[n++] = c;
    sq_bundle *b = sq_bundle_new();
    if (!b) die("out of memory");
    sq_bundle_set_text(b, "program", PROGRAM);
    for (int32_t k = 0; k < m->n_classes; k++) {
        char key[32];
        class_key(k, key);
        sq_bundle_set_text(b, key, m->name[k]);
    }
    sq_bundle_add_i64(b, "sizes", sq_vec(N_SIZES), sizes);
    sq_bundle_add_i64(b, "characters", sq_vec(n), chars);
    sq_bundle_add_params(b, "model", m->params);
    if (sq_bundle_save(b, path)) die("%s", sq_bundle_message(b));
    sq_bundle_free(b);
}

static void check(sq_bundle *b)
{
    if (sq_bundle_status(b)) die("%s", sq_bundle_message(b));
}

static void read_sizes(sq_bundle *b, model *m, const char *path)
{
    static const int64_t least[N_SIZES] = { 0, 0, 0, 1, 1, 2, 2 },
                         most[N_SIZES] = { 1, 1, 1, 4096, 4096, 1000, MAX_CLASSES };
    int64_t s[N_SIZES] = { 0 };
    sq_bundle_get_i64(b, "sizes", N_SIZES, s);
    check(b);
    for (int i = 0; i < N_SIZES; i++)
        if (s[i] < least[i] || s[i] > most[i])
            die("%s is damaged: its size %d is %lld", path, i, (long long)s[i]);
    m->size = (model_sizes){ .cell = (int)s[CELL],
                             .direction = (int)s[DIRECTION],
                             .pool = (int)s[POOL],
                             .hidden = s[HIDDEN],
                             .embed = s[EMBED],
                             .piece = s[PIECE] };
    m->n_classes = (int32_t)s[CLASSES];
}

model *model_load(const char *path)
{
    int64_t chars[256];
    model *m = take(1, sizeof *m);
    sq_bundle *b = sq_bundle_load(path);
    if (!b) die("out of memory");
    check(b);
    const char *program = sq_bundle_text(b, "program");
    if (!program || strcmp(program, PROGRAM) != 0) die("%s was not written by " PROGRAM, path);
    read_sizes(b, m, path);
    const sq_tensor *found = sq_bundle_find(b, "characters");
    int64_t n = found ? found->count : 0;
    if (n < 1 || n > 256) die("%s is damaged: it has no list of characters", path);
    sq_bundle_get_i64(b, "characters", n, chars);
    check(b);
    for (int64_t i = 0; i < n; i++) m->number[chars[i] & 255] = (int32_t)i + 1;
    m->n_chars = (int32_t)n + 1;
    for (int32_t k = 0; k < m->n_classes; k++) {
        char key[32];
        class_key(k, key);
        const char *name = sq_bundle_text(b, key);
        m->name[k] = copied(name ? name : "?");
    }
    make_weights(m, 0);
    sq_bundle_get_params(b, "model", m->params);
    check(b);
    sq_bundle_free(b);
    return m;
}
