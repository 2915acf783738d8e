/* model.c -- the network, and a cell written as a user writes one.
 *
 * Hochreiter and Schmidhuber 1997; x is [B,7], h and c are [B,H], * is elementwise:
 *
 *     i = sigmoid(x W_i + b_i + h U_i)       g = tanh(x W_g + b_g + h U_g)
 *     o = sigmoid(x W_o + b_o + h U_o)
 *     c' = c + i * g                         h' = o * tanh(c')
 *
 * Nothing ever takes away from c but g itself. The library's LSTM is the same with c' = f * c + i * g.
 * (The paper squashes g to [-2,2] and shares the gates of two memory cells; here all but f is
 * as in the library's cell, so that f is the only difference.) */
#include "model.h"

#include "../common/grammar.h"
#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>

const char *const model_titles[N_KINDS] = { "LSTM", "LSTM of 1997" };

/* ---- The cell of 1997 -------------------------------------------------------------------- */

enum { I, G, O, N_GATES };

static sq_var gate(sq_tape *t, const lstm97 *w, sq_var x, sq_var h, int k)
{
    return sq_add(sq_affine(x, sq_use(t, w->W[k]), sq_use(t, w->b[k])),
                  sq_matmul(h, sq_use(t, w->U[k])));
}

static sq_var lstm97_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const lstm97 *w = self;
    sq_var h = state[0], c = state[1];
    sq_var i = sq_sigmoid(gate(t, w, x, h, I));
    sq_var g = sq_tanh(gate(t, w, x, h, G));
    sq_var o = sq_sigmoid(gate(t, w, x, h, O));
    state[1] = sq_add(c, sq_mul(i, g));
    return state[0] = sq_mul(o, sq_tanh(state[1]));
}

static void lstm97_init(lstm97 *w, sq_params *p, int64_t hidden, uint64_t seed)
{
    static const char *const names[N_GATES] = { "i", "g", "o" };
    *w = (lstm97){ .width = { hidden, hidden } };
    for (int k = 0; k < N_GATES; k++) {
        char name[16];
        snprintf(name, sizeof name, "lstm.W_%s", names[k]);
        w->W[k] = sq_params_add(p, name, sq_mat(N_SYMBOLS, hidden));
        snprintf(name, sizeof name, "lstm.b_%s", names[k]);
        w->b[k] = sq_params_add(p, name, sq_vec(hidden));
        snprintf(name, sizeof name, "lstm.U_%s", names[k]);
        w->U[k] = sq_params_add(p, name, sq_mat(hidden, hidden));
        sq_init_uniform_hidden(p, w->W[k], hidden, seed);
        sq_init_uniform_hidden(p, w->b[k], hidden, seed);
        sq_init_uniform_hidden(p, w->U[k], hidden, seed);
    }
}

static sq_cell lstm97_cell(const lstm97 *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "lstm97", 2, w->width, names, lstm97_step, w };
}

/* ---- The network ------------------------------------------------------------------------- */

/* -1/2, -1, -3/2, -2 (times sign) for the four quarters of the cells. */
static void stagger(sq_params *p, sq_weight b, int64_t hidden, double sign)
{
    double *v = take((size_t)hidden, sizeof *v);
    for (int64_t k = 0; k < hidden; k++) v[k] = sign * .5 * (double)(1 + 4 * k / hidden);
    sq_weight_set(p, b, v);
    free(v);
}

/* All weights uniform in [-0.2,0.2]; gates that begin half shut, and forget gates that begin open, each
 * to another degree, so that cells come into use one after the other. */
static void init_as_in_paper(model *m, model_kind kind, int64_t hidden, uint64_t seed)
{
    sq_params *p = m->params;
    for (int32_t id = 1; id <= sq_params_count(p); id++)
        sq_init_uniform(p, (sq_weight){ id }, .2, seed);
    if (kind == WITH_FORGET_GATE) {
        const sq_weight *b = m->weights.lstm.b; /* i f g o */
        stagger(p, b[0], hidden, -1);
        stagger(p, b[1], hidden, 1);
        stagger(p, b[3], hidden, -1);
    } else {
        stagger(p, m->weights.lstm97.b[I], hidden, -1);
        stagger(p, m->weights.lstm97.b[O], hidden, -1);
    }
}

model *model_new(model_kind kind, int64_t hidden, uint64_t seed, bool as_in_paper)
{
    model *m = take(1, sizeof *m);
    m->params = sq_params_new(SQ_F32);
    if (!m->params) die("out of memory");
    if (kind == WITH_FORGET_GATE) {
        sq_lstm_init(&m->weights.lstm, m->params, "lstm", N_SYMBOLS, hidden, seed);
        m->cell = sq_lstm_cell(&m->weights.lstm);
    } else {
        lstm97_init(&m->weights.lstm97, m->params, hidden, seed);
        m->cell = lstm97_cell(&m->weights.lstm97);
    }
    m->V = sq_params_add(m->params, "readout.V", sq_mat(hidden, N_SYMBOLS));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(N_SYMBOLS));
    sq_init_uniform_hidden(m->params, m->V, hidden, seed);
    if (as_in_paper) init_as_in_paper(m, kind, hidden, seed);
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));
    return m;
}

void model_free(model *m)
{
    sq_params_free(m->params);
    free(m);
}

sq_var model_input(sq_tape *t, const int32_t *symbols, int64_t steps, int64_t rows)
{
    return sq_reshape(sq_one_hot(t, symbols, steps * rows, N_SYMBOLS),
                      sq_shape3(steps, rows, N_SYMBOLS));
}

sq_var model_scores(const model *m, sq_tape *t, sq_var h)
{
    return sq_affine(h, sq_use(t, m->V), sq_use(t, m->a));
}

bool all_right(const float *z, uint32_t legal)
{
    static const float margin = .0400053f; /* ln(.51 / .49): where sigmoid is .51 */
    for (int k = 0; k < N_SYMBOLS; k++)
        if ((legal >> k & 1 ? z[k] : -z[k]) <= margin) return false;
    return true;
}
