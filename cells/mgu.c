/* mgu.c -- the minimal gated unit (Zhou et al. 2016): one gate does the work of the GRU's two.
 *
 * The same f decides how much of the old state the candidate sees and how much of it is
 * replaced: 2 products with the state per step, where a GRU has 3 and an LSTM 4. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "ops/ops.h"

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_mgu *w = self;
    /* f = sigmoid(x W + b + h U) */
    sq_var f = sq_sigmoid(
        sq_add(sq_affine(x, sq_use(t, w->W), sq_use(t, w->b)), sq_matmul(*h, sq_use(t, w->U))));
    f = sq_name(f, "f");
    /* c = tanh(x V + d + (f * h) R) */
    sq_var c = sq_tanh(sq_add(sq_affine(x, sq_use(t, w->V), sq_use(t, w->d)),
                              sq_matmul(sq_mul(f, *h), sq_use(t, w->R))));
    c = sqi_dropped(sq_name(c, "c"), w->drop.rate, w->drop.mask);
    /* h' = h + f * (c - h) */
    return *h = sq_add(*h, sq_mul(f, sq_sub(c, *h)));
}

sq_status sq_mgu_init(sq_mgu *w, sq_params *p, const char *prefix, int64_t in, int64_t hidden,
                      uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_mgu){ .width = { hidden } };
    w->W = sqi_cell_weight(&to, "W", sq_mat(in, hidden));
    w->U = sqi_cell_weight(&to, "U", sq_mat(hidden, hidden));
    w->b = sqi_cell_weight(&to, "b", sq_vec(hidden));
    w->V = sqi_cell_weight(&to, "V", sq_mat(in, hidden));
    w->R = sqi_cell_weight(&to, "R", sq_mat(hidden, hidden));
    w->d = sqi_cell_weight(&to, "d", sq_vec(hidden));
    return sq_params_status(p);
}

sq_cell sq_mgu_cell(const sq_mgu *w)
{
    static const char *const names[] = { "h" };
    return (sq_cell){ "mgu", 1, w->width, names, step, w };
}
