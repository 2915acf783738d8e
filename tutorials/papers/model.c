/* model.c -- ragged sequences need nothing but their lengths: the unroll gives each row's last output,
 * and the loss leaves out what lies behind it. */
#include "model.h"

#include "../common/say.h"

#include <stdlib.h>
#include <string.h>

const char *const cell_names[N_CELLS] = { "lstm", "lstm97", "peephole", "cifg", "gru", "rnn" };

cell_kind cell_named(const char *name)
{
    int k = 0;
    while (k < N_CELLS && strcmp(cell_names[k], name) != 0) k++;
    return (cell_kind)k;
}

/* ---- Making ------------------------------------------------------------------------------ */

/* The gates that keep and that write, where the cell has them. */
typedef struct gates {
    sq_weight keep, write;
} gates;

static gates cell_new(model *m, cell_kind kind, int64_t hidden, uint64_t seed)
{
    sq_params *p = m->params;
    int64_t in = m->inputs;
    switch (kind) {
    case LSTM:
        sq_lstm_init(&m->weights.lstm, p, "cell", in, hidden, seed);
        m->cell = sq_lstm_cell(&m->weights.lstm);
        return (gates){ m->weights.lstm.b[1], m->weights.lstm.b[0] };
    case LSTM97:
        sq_lstm97_init(&m->weights.lstm97, p, "cell", in, hidden, seed);
        m->cell = sq_lstm97_cell(&m->weights.lstm97);
        return (gates){ { 0 }, m->weights.lstm97.b[0] };
    case PEEPHOLE:
        sq_peephole_init(&m->weights.peephole, p, "cell", in, hidden, seed);
        m->cell = sq_peephole_cell(&m->weights.peephole);
        return (gates){ m->weights.peephole.b[1], m->weights.peephole.b[0] };
    case CIFG:
        sq_cifg_init(&m->weights.cifg, p, "cell", in, hidden, seed);
        m->cell = sq_cifg_cell(&m->weights.cifg);
        return (gates){ m->weights.cifg.b[0], { 0 } };
    case GRU:
        sq_gru_init(&m->weights.gru, p, "cell", in, hidden, SQ_RESET_AFTER, seed);
        m->cell = sq_gru_cell(&m->weights.gru);
        return (gates){ m->weights.gru.b[1], { 0 } };
    default:
        sq_rnn_init(&m->weights.rnn, p, "cell", in, hidden, SQ_RNN_TANH, seed);
        m->cell = sq_rnn_cell(&m->weights.rnn);
        return (gates){ { 0 }, { 0 } };
    }
}

model *model_new(cell_kind kind, const task *k, int64_t size, int64_t hidden, double chrono,
                 uint64_t seed)
{
    model *m = take(1, sizeof *m);
    m->inputs = k->inputs(size);
    m->outputs = k->outputs(size);
    m->params = sq_params_new(SQ_F32);
    if (!m->params) die("out of memory");
    gates g = cell_new(m, kind, hidden, seed);
    if (chrono > 0 && (g.keep.id || g.write.id))
        sq_init_chrono(m->params, g.keep, g.write, chrono, seed);
    m->V = sq_params_add(m->params, "readout.V", sq_mat(hidden, m->outputs));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(m->outputs));
    sq_init_uniform_hidden(m->params, m->V, hidden, seed);
    if (k->shortcut)
        m->S = sq_params_add(m->params, "readout.S", sq_mat(m->inputs, m->outputs));
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));
    return m;
}

void model_free(model *m)
{
    sq_params_free(m->params);
    free(m);
}

/* ---- Running ----------------------------------------------------------------------------- */

static sq_var inputs(const model *m, sq_tape *t, const batch *b)
{
    sq_shape shape = sq_shape3(b->steps, b->rows, m->inputs);
    if (b->x) return sq_input(t, shape, b->x);
    return sq_reshape(sq_one_hot(t, b->symbol, b->steps * b->rows, m->inputs), shape);
}

sq_var model_scores(const model *m, sq_tape *t, const batch *b)
{
    sq_unroll_options o = { .outputs = b->asked == 1 ? SQ_OUTPUTS_LAST : SQ_OUTPUTS_ALL,
                            .lengths = b->lengths };
    sq_var x = inputs(m, t, b);
    sq_var h = sq_unrolled_outputs(sq_unroll(t, &m->cell, x, NULL, &o));
    sq_var z = sq_affine(h, sq_use(t, m->V), sq_use(t, m->a));
    if (m->S.id) z = sq_add(z, sq_matmul(x, sq_use(t, m->S)));
    return sq_reshape(z, sq_shape3(b->asked, b->rows, m->outputs));
}

/* Yes or no to every symbol, at every step that is asked. */
static sq_var questions(sq_tape *t, const batch *b, sq_var z, int64_t outputs)
{
    int64_t n = b->asked * b->rows;
    float *wanted = take((size_t)(n * outputs), sizeof *wanted);
    for (int64_t i = 0; i < n * outputs; i++)
        wanted[i] = (float)(b->set[i / outputs] >> i % outputs & 1);
    sq_var w = sq_input(t, sq_shape3(b->asked, b->rows, outputs), wanted);
    free(wanted);
    return sq_masked_mean(sq_bce_logits(z, w, SQ_ROWS), b->there, sq_mat(b->asked, b->rows));
}

sq_var model_loss(const model *m, sq_tape *t, judgement judge, const batch *b, sq_var z)
{
    switch (judge) {
    case NEAR: return sq_mse(z, sq_input(t, sq_shape3(b->asked, b->rows, 1), b->value));
    case SIDES: return questions(t, b, z, m->outputs);
    default: return sq_cross_entropy(z, b->label, b->there, SQ_MEAN);
    }
}
