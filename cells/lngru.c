/* lngru.c -- the layer-normalised GRU, in the form of Ba, Kiros & Hinton 2016: the reset gate
 * acts after the recurrent product, so that the product can be normalised before it is gated. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

enum { R, Z, N, N_GATES };

static const double eps = 1e-5;

/* LN(v W) * gain */
static sq_var normed(sq_tape *t, sq_var v, sq_weight W, sq_weight gain)
{
    return sq_mul(sq_layer_norm(sq_matmul(v, sq_use(t, W)), eps), sq_use(t, gain));
}

/* LN(x W_k) * gx_k + b_k */
static sq_var from_input(sq_tape *t, const sq_lngru *w, sq_var x, int k)
{
    return sq_add(normed(t, x, w->W[k], w->gx[k]), sq_use(t, w->b[k]));
}

/* LN(h U_k) * gh_k */
static sq_var from_state(sq_tape *t, const sq_lngru *w, sq_var h, int k)
{
    return normed(t, h, w->U[k], w->gh[k]);
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lngru *w = self;
    sq_var h = *state;
    sq_var r = sq_name(sq_sigmoid(sq_add(from_input(t, w, x, R), from_state(t, w, h, R))), "r");
    sq_var z = sq_name(sq_sigmoid(sq_add(from_input(t, w, x, Z), from_state(t, w, h, Z))), "z");
    /* n = tanh(LN(x W_n) * gx_n + b_n + r * (LN(h U_n) * gh_n + d_n)) */
    sq_var s = sq_mul(r, sq_add(from_state(t, w, h, N), sq_use(t, w->d_n)));
    sq_var n = sq_name(sq_tanh(sq_add(from_input(t, w, x, N), s)), "n");
    n = sqi_dropped(n, w->drop.rate, w->drop.mask);
    /* h' = n + z * (h - n) */
    return *state = sq_add(n, sq_mul(z, sq_sub(h, n)));
}

sq_status sq_lngru_init(sq_lngru *w, sq_params *p, const char *prefix, int64_t in,
                        int64_t hidden, uint64_t seed)
{
    static const char gains[2][N_GATES][5] = { { "gx_r", "gx_z", "gx_n" },
                                               { "gh_r", "gh_z", "gh_n" } };
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_lngru){ .width = { hidden } };
    for (int k = 0; k < N_GATES; k++) {
        sqi_cell_gate(
            &to, "rzn" [k], in, hidden, (sqi_gate_weights) { &w->W[k], &w->b[k], &w->U[k] });
        w->gx[k] = sqi_cell_weight(&to, gains[0][k], sq_vec(hidden));
        w->gh[k] = sqi_cell_weight(&to, gains[1][k], sq_vec(hidden));
        (void)sq_init_constant(p, w->gx[k], 1);
        (void)sq_init_constant(p, w->gh[k], 1);
    }
    w->d_n = sqi_cell_weight(&to, "d_n", sq_vec(hidden));
    return sq_params_status(p);
}

sq_cell sq_lngru_cell(const sq_lngru *w)
{
    static const char *const names[] = { "h" };
    return (sq_cell){ "lngru", 1, w->width, names, step, w };
}
