/* model.c -- the network, in public calls only.
 *
 * The cells come ready-made with the library; one of your own needs two functions and a row in
 * the table below. Dropout is a cell around a cell (sq_dropout_cell): it goes between the layers
 * and before the readout, never into the recurrence (Zaremba, Sutskever, Vinyals 2014). */
#include "model.h"

#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- The cells --------------------------------------------------------------------------- */

typedef union any_weights {
    sq_rnn rnn;
    sq_gru gru;
    sq_lstm lstm;
    sq_mgu mgu;
    sq_peephole peephole;
    sq_lnlstm lnlstm;
    sq_lngru lngru;
    sq_cifg cifg;
} any_weights;

struct layer {
    any_weights weights;
    sq_dropped dropped; /* the cell, with what is dropped behind it */
};

static void make_rnn(layer *l, sq_params *p, const char *name, int64_t in, int64_t hidden,
                     uint64_t seed)
{
    sq_rnn_init(&l->weights.rnn, p, name, in, hidden, SQ_RNN_TANH, seed);
    l->dropped.cell = sq_rnn_cell(&l->weights.rnn);
}

static void make_gru(layer *l, sq_params *p, const char *name, int64_t in, int64_t hidden,
                     uint64_t seed)
{
    sq_gru_init(&l->weights.gru, p, name, in, hidden, SQ_RESET_AFTER, seed);
    l->dropped.cell = sq_gru_cell(&l->weights.gru);
}

/* Without the head start that a forget gate usually gets, b_f = 1: characters depend on the
 * nearest past first. A megabyte of Shakespeare, 2000 updates: 4 % less loss. */
static void make_lstm(layer *l, sq_params *p, const char *name, int64_t in, int64_t hidden,
                      uint64_t seed)
{
    sq_lstm_init(&l->weights.lstm, p, name, in, hidden, seed);
    sq_lstm_set_forget_bias(&l->weights.lstm, p, 0);
    l->dropped.cell = sq_lstm_cell(&l->weights.lstm);
}

#define MAKE(kind)                                                                \
    static void make_##kind(layer *l, sq_params *p, const char *name, int64_t in, \
                            int64_t hidden, uint64_t seed)                        \
    {                                                                             \
        sq_##kind##_init(&l->weights.kind, p, name, in, hidden, seed);            \
        l->dropped.cell = sq_##kind##_cell(&l->weights.kind);                     \
    }
MAKE(mgu)
MAKE(peephole)
MAKE(lnlstm)
MAKE(lngru)
MAKE(cifg)

static void (*const make[N_CELLS])(layer *, sq_params *, const char *, int64_t, int64_t,
                                   uint64_t) = {
    [CELL_RNN] = make_rnn,     [CELL_GRU] = make_gru,           [CELL_LSTM] = make_lstm,
    [CELL_MGU] = make_mgu,     [CELL_PEEPHOLE] = make_peephole, [CELL_LNLSTM] = make_lnlstm,
    [CELL_LNGRU] = make_lngru, [CELL_CIFG] = make_cifg
};

/* ---- The model --------------------------------------------------------------------------- */

static void make_layers(model *m, const options *o)
{
    sq_cell *plain = take((size_t)o->layers, sizeof *plain),
            *with_dropout = take((size_t)o->layers, sizeof *with_dropout);
    m->layers = take((size_t)o->layers, sizeof *m->layers);
    int64_t width = m->n_in;
    for (int64_t i = 0; i < o->layers; i++) {
        char name[32];
        layer *l = &m->layers[i];
        snprintf(name, sizeof name, "layer%lld", (long long)i);
        make[o->cell](l, m->params, name, width, o->hidden, (uint64_t)o->seed);
        l->dropped.output = o->dropout;
        plain[i] = l->dropped.cell;
        with_dropout[i] = sq_dropout_cell(&l->dropped);
        width = o->hidden;
    }
    m->stack = sq_stack_new(plain, (int32_t)o->layers);
    m->stack_dropped = sq_stack_new(with_dropout, (int32_t)o->layers);
    if (!m->stack || !m->stack_dropped) die("out of memory");
    m->cell = sq_stack_cell(m->stack);
    m->dropped = sq_stack_cell(m->stack_dropped);
    free(plain);
    free(with_dropout);
}

model *model_new(const options *o, int64_t n_chars)
{
    uint64_t seed = (uint64_t)o->seed;
    model *m = take(1, sizeof *m);
    m->n_chars = n_chars;
    m->n_in = o->embed ? o->embed : n_chars;
    m->params = sq_params_new(SQ_F32);
    if (!m->params) die("out of memory");
    if (o->embed) {
        m->E = sq_params_add(m->params, "embedding.E", sq_mat(n_chars, o->embed));
        sq_init_normal(m->params, m->E, 1, seed);
    }
    make_layers(m, o);
    m->V = sq_params_add(m->params, "readout.V", sq_mat(o->hidden, n_chars));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(n_chars));
    sq_init_uniform_hidden(m->params, m->V, o->hidden, seed);
    sq_init_uniform_hidden(m->params, m->a, o->hidden, seed);
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));
    return m;
}

void model_free(model *m)
{
    sq_stack_free(m->stack);
    sq_stack_free(m->stack_dropped);
    sq_params_free(m->params);
    free(m->layers);
    free(m);
}

sq_tape *model_tape(const model *m, const options *o, bool inference)
{
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    if (!t) die("out of memory");
    sq_tape_set_threads(t, (int32_t)o->threads);
    sq_tape_set_seed(t, (uint64_t)o->seed);
    sq_tape_set_inference(t, inference);
    return t;
}

sq_var model_input(const model *m, sq_tape *t, const int32_t *ids, int64_t steps, int64_t batch)
{
    int64_t n = steps * batch;
    sq_var x = m->E.id ? sq_gather(sq_use(t, m->E), ids, n) : sq_one_hot(t, ids, n, m->n_chars);
    return sq_reshape(x, sq_shape3(steps, batch, m->n_in));
}

sq_var model_scores(const model *m, sq_tape *t, sq_var h)
{
    return sq_affine(h, sq_use(t, m->V), sq_use(t, m->a));
}
