/* gru.c -- the gated recurrent unit (Cho et al. 2014), in the three forms that are called so.
 *
 * They differ in where the reset gate acts: on the state before the recurrent product (the
 * paper's first version), on the product after it (cuDNN, PyTorch, oneDNN), which then needs
 * a bias d_n of its own inside the gate, or between two products (as
 * Flux documents its GRUv3, whose code resets before). The update h' = n + z * (h - n) is a weighted
 * mean of the candidate n and the old state: z near 1 keeps the state and its gradient. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "ops/ops.h"

enum { R, Z, N, N_GATES };

/* x W_k + b_k */
static sq_var from_input(sq_tape *t, const sq_gru *w, sq_var x, int k)
{
    return sq_affine(x, sq_use(t, w->W[k]), sq_use(t, w->b[k]));
}

/* h U_k */
static sq_var from_state(sq_tape *t, const sq_gru *w, sq_var h, int k)
{
    return sq_matmul(h, sq_use(t, w->U[k]));
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_gru *w = self;
    sq_var h = *state, s;
    /* r = sigmoid(x W_r + b_r + h U_r),   z = sigmoid(x W_z + b_z + h U_z) */
    sq_var r = sq_name(sq_sigmoid(sq_add(from_input(t, w, x, R), from_state(t, w, h, R))), "r");
    sq_var z = sq_name(sq_sigmoid(sq_add(from_input(t, w, x, Z), from_state(t, w, h, Z))), "z");
    /* n = tanh(x W_n + b_n + s) with s = (r * h) U_n, or (r * (h U_n)) V_n, or
     * r * (h U_n + d_n) */
    if (w->reset == SQ_RESET_BEFORE) s = from_state(t, w, sq_mul(r, h), N);
    else if (w->reset == SQ_RESET_BETWEEN)
        s = sq_matmul(sq_mul(r, from_state(t, w, h, N)), sq_use(t, w->V_n));
    else s = sq_mul(r, sq_affine(h, sq_use(t, w->U[N]), sq_use(t, w->d_n)));
    sq_var n = sq_name(sq_tanh(sq_add(from_input(t, w, x, N), s)), "n");
    n = sqi_dropped(n, w->drop.rate, w->drop.mask);
    /* h' = n + z * (h - n) */
    return *state = sq_add(n, sq_mul(z, sq_sub(h, n)));
}

sq_status sq_gru_init(sq_gru *w, sq_params *p, const char *prefix, int64_t in, int64_t hidden,
                      sq_gru_reset reset, uint64_t seed)
{
    static const char names[N_GATES][3][4] = { { "W_r", "b_r", "U_r" },
                                               { "W_z", "b_z", "U_z" },
                                               { "W_n", "b_n", "U_n" } };
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_gru){ .reset = SQ_RESET_AFTER, .width = { hidden } };
    if (reset != SQ_RESET_AFTER && reset != SQ_RESET_BEFORE && reset != SQ_RESET_BETWEEN) {
        sq_params_post(p, SQ_EVALUE, "gru: there is no reset form %d", (int)reset);
        return sq_params_status(p);
    }
    w->reset = reset;
    for (int k = 0; k < N_GATES; k++) {
        w->W[k] = sqi_cell_weight(&to, names[k][0], sq_mat(in, hidden));
        w->b[k] = sqi_cell_weight(&to, names[k][1], sq_vec(hidden));
        w->U[k] = sqi_cell_weight(&to, names[k][2], sq_mat(hidden, hidden));
    }
    if (reset == SQ_RESET_AFTER) w->d_n = sqi_cell_weight(&to, "d_n", sq_vec(hidden));
    if (reset == SQ_RESET_BETWEEN) w->V_n = sqi_cell_weight(&to, "V_n", sq_mat(hidden, hidden));
    return sq_params_status(p);
}

sq_cell sq_gru_cell(const sq_gru *w)
{
    static const char *const names[] = { "h" };
    return (sq_cell){ "gru", 1, w->width, names, step, w };
}
