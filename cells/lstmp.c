/* lstmp.c -- the LSTM with a recurrent projection (Sak, Senior & Beaufays 2014).
 *
 * The memory c is wide, but what is shown of it, to the next step and to the outside, is a
 * narrower linear image: the recurrent products then have P instead of H rows. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

enum { I, F, G, O, N_GATES };

/* x W_k + b_k + h U_k */
static sq_var gate(sq_tape *t, const sq_lstmp *w, sq_var x, sq_var h, int k)
{
    return sqi_gate_sum(t, x, w->W[k], w->b[k], h, w->U[k]);
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lstmp *w = self;
    sq_var h = state[0], c = state[1];
    sq_var i = sq_name(sq_sigmoid(gate(t, w, x, h, I)), "i");
    sq_var f = sq_name(sq_sigmoid(gate(t, w, x, h, F)), "f");
    sq_var g = sq_name(sq_tanh(gate(t, w, x, h, G)), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    sq_var o = sq_name(sq_sigmoid(gate(t, w, x, h, O)), "o");
    /* c' = f * c + i * g,      h' = (o * tanh(c')) R */
    state[1] = sq_add(sq_mul(f, c), sq_mul(i, g));
    return state[0] = sq_matmul(sq_mul(o, sq_tanh(state[1])), sq_use(t, w->R));
}

sq_status sq_lstmp_init(sq_lstmp *w, sq_params *p, const char *prefix, int64_t in,
                        int64_t hidden, int64_t projected, uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_lstmp){ .width = { projected, hidden } };
    for (int k = 0; k < N_GATES; k++)
        sqi_cell_gate(
            &to, "ifgo" [k], in, projected,
            (sqi_gate_weights) { &w->W[k], &w->b[k], &w->U[k] });
    w->R = sqi_cell_weight(&to, "R", sq_mat(hidden, projected));
    return sq_init_constant(p, w->b[F], 1);
}

sq_cell sq_lstmp_cell(const sq_lstmp *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "lstmp", 2, w->width, names, step, w };
}
