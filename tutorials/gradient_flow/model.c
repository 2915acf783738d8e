/* model.c -- from weights to a forecast, in public calls only.
 *
 * The cells come ready-made with the library; one of your own needs a function like the three
 * below and a row in both tables. The model knows nothing of training. */
#include "model.h"

#include "../common/say.h"

#include <stdlib.h>

static void make_rnn(model *m, int64_t hidden, uint64_t seed)
{
    sq_rnn_init(&m->weights.rnn, m->params, "rnn", 1, hidden, SQ_RNN_TANH, seed);
    m->cell = sq_rnn_cell(&m->weights.rnn);
}

static void make_gru(model *m, int64_t hidden, uint64_t seed)
{
    sq_gru_init(&m->weights.gru, m->params, "gru", 1, hidden, SQ_RESET_AFTER, seed);
    m->cell = sq_gru_cell(&m->weights.gru);
}

static void make_lstm(model *m, int64_t hidden, uint64_t seed)
{
    sq_lstm_init(&m->weights.lstm, m->params, "lstm", 1, hidden, seed);
    m->cell = sq_lstm_cell(&m->weights.lstm);
}

const cell_kind cell_kinds[N_KINDS] = { { "rnn", "RNN" },
                                        { "gru", "GRU" },
                                        { "lstm", "LSTM" } };

static void (*const make[N_KINDS])(model *, int64_t, uint64_t) = { make_rnn, make_gru,
                                                                   make_lstm };

model *model_new(int kind, int64_t hidden, uint64_t seed)
{
    model *m = take(1, sizeof *m);
    m->params = sq_params_new(SQ_F64);
    if (!m->params) die("out of memory");
    make[kind](m, hidden, seed);
    m->V = sq_params_add(m->params, "readout.V", sq_mat(hidden, 1));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(1));
    sq_init_uniform_hidden(m->params, m->V, hidden, seed);
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));

    m->tape = sq_tape_new(SQ_F64, m->params);
    if (!m->tape) die("out of memory");
    return m;
}

void model_free(model *m)
{
    sq_tape_free(m->tape);
    sq_params_free(m->params);
    free(m);
}

const sq_unrolled *model_unroll(model *m, const double *z, int64_t steps, int64_t batch,
                                sq_outputs outputs)
{
    sq_unroll_options options = { .outputs = outputs };
    sq_var x = sq_input(m->tape, sq_shape3(steps, batch, 1), z);
    const sq_unrolled *u = sq_unroll(m->tape, &m->cell, x, NULL, &options);
    if (!u) die("%s", sq_message(m->tape));
    return u;
}

sq_var model_forecast(model *m, const sq_unrolled *u)
{
    return sq_affine(sq_unrolled_outputs(u), sq_use(m->tape, m->V), sq_use(m->tape, m->a));
}
