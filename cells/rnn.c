/* rnn.c -- the simple recurrent network of Elman (1990): one product with the input, one with
 * the state, a squashing function. Every gradient dh_t/dh_(t-1) = U diag(act') is repeated at
 * each step, which is why it vanishes or explodes with the powers of U. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

typedef sq_var activation_fn(sq_var x);
static activation_fn *const activations[] = {
    [SQ_RNN_TANH] = sq_tanh,
    [SQ_RNN_RELU] = sq_relu,
    [SQ_RNN_SIGMOID] = sq_sigmoid,
};

/* h' = act(x W + b + h U) */
static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_rnn *w = self;
    sq_var a =
        sq_add(sq_affine(x, sq_use(t, w->W), sq_use(t, w->b)), sq_matmul(*h, sq_use(t, w->U)));
    return *h = activations[w->activation](a);
}

sq_status sq_rnn_init(sq_rnn *w, sq_params *p, const char *prefix, int64_t in, int64_t hidden,
                      sq_rnn_activation activation, uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_rnn){ .activation = SQ_RNN_TANH, .width = { hidden } };
    if ((unsigned)activation > SQ_RNN_SIGMOID) {
        sq_params_post(p, SQ_EVALUE, "rnn: there is no activation %d", (int)activation);
        return sq_params_status(p);
    }
    w->activation = activation;
    w->W = sqi_cell_weight(&to, "W", sq_mat(in, hidden));
    w->b = sqi_cell_weight(&to, "b", sq_vec(hidden));
    w->U = sqi_cell_weight(&to, "U", sq_mat(hidden, hidden));
    return sq_params_status(p);
}

sq_status sq_irnn_init(sq_rnn *w, sq_params *p, const char *prefix, int64_t in, int64_t hidden,
                       double gain, uint64_t seed)
{
    if (sq_rnn_init(w, p, prefix, in, hidden, SQ_RNN_RELU, seed)) return sq_params_status(p);
    (void)sq_init_normal(p, w->W, 0.001, seed);
    (void)sq_init_zeros(p, w->b);
    return sq_init_identity(p, w->U, gain);
}

sq_cell sq_rnn_cell(const sq_rnn *w)
{
    static const char *const names[] = { "h" };
    return (sq_cell){ "rnn", 1, w->width, names, step, w };
}
