/* lstm97.c -- long short-term memory as it was in 1997 (Hochreiter & Schmidhuber), without a
 * forget gate.
 *
 * c' = c + i * g carries the memory unchanged for ever, so dc_t/dc_(t-1) along that path is
 * exactly 1: the constant error carousel. Nothing takes the memory back but a g of the other
 * sign, so on endless input it grows without bound; the forget gate was added for that. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "ops/ops.h"

enum { I, G, O, N_GATES };

/* x W_k + b_k + h U_k */
static sq_var gate(sq_tape *t, const sq_lstm97 *w, sq_var x, sq_var h, int k)
{
    return sqi_gate_sum(t, x, w->W[k], w->b[k], h, w->U[k]);
}

/* 2 a sigmoid(v) - a: the logistic curve stretched to [-a, a]. */
static sq_var squashed(sq_var v, double a)
{
    return sq_add_scalar(sq_mul_scalar(sq_sigmoid(v), 2 * a), -a);
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lstm97 *w = self;
    sq_var h = state[0], c = state[1];
    sq_var i = sq_name(sq_sigmoid(gate(t, w, x, h, I)), "i");
    sq_var g = sq_name(squashed(gate(t, w, x, h, G), 2), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    sq_var o = sq_name(sq_sigmoid(gate(t, w, x, h, O)), "o");
    /* c' = c + i * g,      h' = o * (2 sigmoid(c') - 1) */
    state[1] = sq_add(c, sq_mul(i, g));
    return state[0] = sq_mul(o, squashed(state[1], 1));
}

sq_status sq_lstm97_init(sq_lstm97 *w, sq_params *p, const char *prefix, int64_t in,
                         int64_t hidden, uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_lstm97){ .width = { hidden, hidden } };
    for (int k = 0; k < N_GATES; k++)
        sqi_cell_gate(
            &to, "igo" [k], in, hidden, (sqi_gate_weights) { &w->W[k], &w->b[k], &w->U[k] });
    return sq_params_status(p);
}

sq_cell sq_lstm97_cell(const sq_lstm97 *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "lstm97", 2, w->width, names, step, w };
}
