/* model.c -- read this file to learn how a ragged batch goes through a cell.
 *
 * The keys of a frame are 88 independent coins given the past. Chords are not independent, so this
 * is the simplest model there is, the field's baseline (Boulanger-Lewandowski et al. 2012): what
 * the keys have to do with each other it knows from the frames before only. */
#include "model.h"

#include "../common/flags.h"
#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The network ------------------------------------------------------------------------- */

model *model_new(int cell_kind, int64_t hidden, double dropout, uint64_t seed)
{
    model *m = take(1, sizeof *m);
    m->params = sq_params_new(SQ_F32);
    if (!m->params) die("out of memory");
    m->cell_kind = cell_kind;
    m->hidden = hidden;
    if (cell_kind == CELL_LSTM) {
        sq_lstm_init(&m->weights.lstm, m->params, "lstm", KEYS, hidden, seed);
        m->cell = sq_lstm_cell(&m->weights.lstm);
    } else {
        sq_gru_init(&m->weights.gru, m->params, "gru", KEYS, hidden, SQ_RESET_AFTER, seed);
        m->cell = sq_gru_cell(&m->weights.gru);
    }
    m->dropped = (sq_dropped){ .cell = m->cell, .output = dropout };
    m->V = sq_params_add(m->params, "readout.V", sq_mat(hidden, KEYS));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(KEYS));
    sq_init_uniform_hidden(m->params, m->V, hidden, seed);
    sq_init_constant(m->params, m->a, -3); /* a key is down in about one frame of twenty */
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));
    return m;
}

void model_free(model *m)
{
    sq_params_free(m->params);
    free(m);
}

sq_var model_scores(const model *m, sq_tape *t, sq_var h)
{
    return sq_affine(h, sq_use(t, m->V), sq_use(t, m->a));
}

void model_save(const model *m, const char *path)
{
    sq_bundle *b = sq_bundle_new();
    if (!b) die("out of memory");
    int64_t hidden = m->hidden;
    sq_bundle_set_text(b, "program", PROGRAM);
    sq_bundle_set_text(b, "cell", cell_names[m->cell_kind]);
    sq_bundle_add_i64(b, "hidden", sq_scalar(), &hidden);
    sq_bundle_add_params(b, "model", m->params);
    if (sq_bundle_save(b, path)) die("%s", sq_bundle_message(b));
    sq_bundle_free(b);
}

model *model_load(const char *path)
{
    int64_t hidden = 0;
    sq_bundle *b = sq_bundle_load(path);
    if (!b) die("out of memory");
    if (sq_bundle_status(b)) die("%s", sq_bundle_message(b));
    const char *program = sq_bundle_text(b, "program"), *cell = sq_bundle_text(b, "cell");
    if (!program || strcmp(program, PROGRAM) != 0 || !cell)
        die("%s was not written by " PROGRAM, path);
    int kind = strcmp(cell, cell_names[CELL_GRU]) ? CELL_LSTM : CELL_GRU;
    sq_bundle_get_i64(b, "hidden", 1, &hidden);
    if (!sq_bundle_status(b) && (hidden < 1 || hidden > 4096))
        die("%s is damaged: a hidden state of %lld", path, (long long)hidden);
    model *m = model_new(kind, hidden, 0, 0);
    sq_bundle_get_params(b, "model", m->params);
    if (sq_bundle_status(b)) die("%s", sq_bundle_message(b));
    sq_bundle_free(b);
    return m;
}

/* ---- A ragged batch ---------------------------------------------------------------------- */

batch batch_new(int64_t rows, int64_t longest)
{
    size_t n = (size_t)(rows * longest);
    batch b = { .now = take(n * KEYS, sizeof *b.now),
                .next = take(n * KEYS, sizeof *b.next),
                .lengths = take((size_t)rows, sizeof *b.lengths),
                .mask = take(n, sizeof *b.mask) };
    return b;
}

void batch_free(batch *b)
{
    free(b->now);
    free(b->next);
    free(b->lengths);
    free(b->mask);
}

static void put_frame(float *into, const frame *f)
{
    for (int k = 0; k < KEYS; k++) into[k] = f->down[k];
}

void batch_fill(batch *b, song *const *from, int64_t rows)
{
    b->rows = rows;
    b->steps = 0;
    for (int64_t r = 0; r < rows; r++) {
        b->lengths[r] = (int32_t)from[r]->n - 1;
        if (b->lengths[r] > b->steps) b->steps = b->lengths[r];
    }
    size_t n = (size_t)(b->steps * rows) * KEYS;
    memset(b->now, 0, n * sizeof *b->now);
    memset(b->next, 0, n * sizeof *b->next);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t t = 0; t + 1 < from[r]->n; t++) {
            put_frame(b->now + (t * rows + r) * KEYS, &from[r]->frame[t]);
            put_frame(b->next + (t * rows + r) * KEYS, &from[r]->frame[t + 1]);
        }
    sq_length_mask(b->lengths, b->steps, rows, b->mask);
}

sq_var batch_nll(const batch *b, const model *m, sq_tape *t, bool dropout, sq_reduction how)
{
    sq_shape shape = sq_shape3(b->steps, b->rows, KEYS);
    sq_cell training = sq_dropout_cell(&m->dropped);
    sq_unroll_options options = { .lengths = b->lengths };
    const sq_unrolled *u = sq_unroll(t, dropout ? &training : &m->cell,
                                     sq_input(t, shape, b->now), NULL, &options);
    sq_var z = model_scores(m, t, sq_unrolled_outputs(u));
    return sq_bernoulli_nll(z, sq_input(t, shape, b->next), b->mask, how);
}
