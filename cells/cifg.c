/* cifg.c -- the LSTM whose input and forget gates are coupled (Greff et al. 2017).
 *
 * What is forgotten is what is replaced: c' is a weighted mean of c and g, so the memory stays
 * within the bounds of tanh, at three quarters of the LSTM's weights. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

enum { F, G, O, N_GATES };

/* x W_k + b_k + h U_k */
static sq_var gate(sq_tape *t, const sq_cifg *w, sq_var x, sq_var h, int k)
{
    return sqi_gate_sum(t, x, w->W[k], w->b[k], h, w->U[k]);
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_cifg *w = self;
    sq_var h = state[0], c = state[1];
    sq_var f = sq_name(sq_sigmoid(gate(t, w, x, h, F)), "f");
    sq_var g = sq_name(sq_tanh(gate(t, w, x, h, G)), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    sq_var o = sq_name(sq_sigmoid(gate(t, w, x, h, O)), "o");
    /* c' = g + f * (c - g)   =   f * c + (1 - f) * g,      h' = o * tanh(c') */
    state[1] = sq_add(g, sq_mul(f, sq_sub(c, g)));
    return state[0] = sq_mul(o, sq_tanh(state[1]));
}

sq_status sq_cifg_init(sq_cifg *w, sq_params *p, const char *prefix, int64_t in, int64_t hidden,
                       uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_cifg){ .width = { hidden, hidden } };
    for (int k = 0; k < N_GATES; k++)
        sqi_cell_gate(
            &to, "fgo" [k], in, hidden, (sqi_gate_weights) { &w->W[k], &w->b[k], &w->U[k] });
    return sq_init_constant(p, w->b[F], 1);
}

sq_cell sq_cifg_cell(const sq_cifg *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "cifg", 2, w->width, names, step, w };
}
