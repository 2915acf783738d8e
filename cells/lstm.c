/* lstm.c -- long short-term memory (Hochreiter & Schmidhuber 1997) with the forget gate of
 * Gers, Schmidhuber and Cummins (2000).
 *
 * The idea is the line c' = f * c + i * g: the memory c is carried by a product with f alone,
 * so dc_t/dc_(t-1) along that path is diag(f), which can stay near 1 for as long as the gate
 * says. A forget bias of 1 starts training with open gates (Jozefowicz et al. 2015). */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

enum { I, F, G, O, N_GATES };

/* x W_k + b_k + h U_k: what gate k sees before it is squashed. */
static sq_var gate(sq_tape *t, const sq_lstm *w, sq_var x, sq_var h, int k)
{
    return sq_add(sq_affine(x, sq_use(t, w->W[k]), sq_use(t, w->b[k])),
                  sq_matmul(h, sq_use(t, w->U[k])));
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lstm *w = self;
    sq_var h = state[0], c = state[1];
    /* i = sigmoid(x W_i + b_i + h U_i), and so on; g, the candidate, is squashed by tanh. */
    sq_var i = sq_name(sq_sigmoid(gate(t, w, x, h, I)), "i");
    sq_var f = sq_name(sq_sigmoid(gate(t, w, x, h, F)), "f");
    sq_var g = sq_name(sq_tanh(gate(t, w, x, h, G)), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    sq_var o = sq_name(sq_sigmoid(gate(t, w, x, h, O)), "o");
    /* c' = f * c + i * g,   h' = o * tanh(c') */
    state[1] = sq_add(sq_mul(f, c), sq_mul(i, g));
    return state[0] = sq_mul(o, sq_tanh(state[1]));
}

sq_status sq_lstm_init(sq_lstm *w, sq_params *p, const char *prefix, int64_t in, int64_t hidden,
                       uint64_t seed)
{
    static const char names[N_GATES][3][4] = { { "W_i", "b_i", "U_i" },
                                               { "W_f", "b_f", "U_f" },
                                               { "W_g", "b_g", "U_g" },
                                               { "W_o", "b_o", "U_o" } };
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_lstm){ .width = { hidden, hidden } };
    for (int k = 0; k < N_GATES; k++) {
        w->W[k] = sqi_cell_weight(&to, names[k][0], sq_mat(in, hidden));
        w->b[k] = sqi_cell_weight(&to, names[k][1], sq_vec(hidden));
        w->U[k] = sqi_cell_weight(&to, names[k][2], sq_mat(hidden, hidden));
    }
    return sq_lstm_set_forget_bias(w, p, 1);
}

sq_status sq_lstm_set_forget_bias(const sq_lstm *w, sq_params *p, double bias)
{
    return sq_init_constant(p, w->b[F], bias);
}

sq_cell sq_lstm_cell(const sq_lstm *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "lstm", 2, w->width, names, step, w };
}
