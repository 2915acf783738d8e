/* ledger.h -- gradients over time.
 *
 * For L = sum_t l_t and a state h_t there are two derivatives, and confusing them is the oldest
 * mistake in this field:
 *     total       dL/dh_t    everything h_t does to the loss, at its own step and at all later ones
 *     immediate   dl_t/dh_t  what it does at its own step only, through no later step
 *     total_t  =  immediate_t + (dh_(t+1)/dh_t)^T total_(t+1)
 * "Its own step" includes the way through what else that step computes: for the c of an LSTM the
 * way through h, for a lower layer the way through the layers above. Any use inside a later step
 * counts as recurrence; where an output reads the state that comes in, l_(t+1) depends on h_t
 * directly, and the identity above has that third term. The ledger holds both for every step and every state, as norms and, if asked, as values.
 * It observes: weight gradients, leaf gradients and what sq_grad_* reads stay as they were. */
#ifndef SQ_GRAPH_LEDGER_H
#define SQ_GRAPH_LEDGER_H

#include "unroll.h"

SQ_BEGIN_DECLS

typedef struct sq_ledger sq_ledger;

/* What to look at besides the norms of states; all-zero is the default. */
typedef struct sq_ledger_options {
    bool values;  /* keep the gradients of states themselves, not only their norms */
    bool weights; /* every step's contribution to every weight: norms */
    bool
        contribution; /* weights, and the contributions themselves: T times the weights in double */
    int64_t
        far_steps; /* > 0: also the share of dL/dW that comes from more than so many steps back,
                        * and the cosine of every contribution with the total; needs `weights` */
    bool gates;    /* statistics of every value that the cell named */
    const sq_var *losses; /* with n_losses > 0: which loss reaches how far back, one row each */
    int64_t n_losses;
} sq_ledger_options;

/* The gradients of loss with respect to every state of an unroll. Freed by sq_ledger_free.
 * Fails: NULL, posted on the tape: SQ_ESHAPE loss is not a scalar, SQ_EVAR, SQ_ENOMEM.
 * Cost: two reverse sweeps without weight gradients; see the options' readers for theirs. */
SQ_API sq_ledger *sq_ledger_new(const sq_unrolled *u, sq_var loss,
                                const sq_ledger_options *options);

/* The same for a loop written by hand: states[i * n_states + k] is state k after step i, each
 * recorded in a step of its own; list all the states of the recurrence, for the immediate gradient
 * stops only at states it knows. Record losses that look at several steps after sq_end_step.
 * Fails also: SQ_EVALUE when the states do not lie in steps one after the other. */
SQ_API sq_ledger *sq_ledger_of_states(const sq_var *states, int64_t steps, int32_t n_states,
                                      sq_var loss, const sq_ledger_options *options);
SQ_API void sq_ledger_free(sq_ledger *l);

SQ_API int64_t sq_ledger_steps(const sq_ledger *l);
SQ_API int32_t sq_ledger_n_states(const sq_ledger *l);

/* What the cell, or sq_name, calls a state, "" where nobody did; its width, the last size of its
 * shape (1 of a scalar). "", 0 out of range. */
SQ_API const char *sq_ledger_state_name(const sq_ledger *l, int32_t state);
SQ_API int64_t sq_ledger_width(const sq_ledger *l, int32_t state);

/* |dL/dh_t| and |dl_t/dh_t|, Euclidean over batch and width. NaN out of range. */
SQ_API double sq_ledger_total(const sq_ledger *l, int64_t step, int32_t state);
SQ_API double sq_ledger_immediate(const sq_ledger *l, int64_t step, int32_t state);

/* The values, row-major [B,H], in double; NULL unless asked for. Owned by the ledger. */
SQ_API const double *sq_ledger_total_values(const sq_ledger *l, int64_t step, int32_t state);
SQ_API const double *sq_ledger_immediate_values(const sq_ledger *l, int64_t step,
                                                int32_t state);

/* |total| and |immediate| of one unit over the batch, and of one row over the units; the cosine of
 * the two. NaN out of range, and without `values`; a cosine with nothing is 0. */
SQ_API double sq_ledger_unit(const sq_ledger *l, int64_t step, int32_t state, int64_t unit);
SQ_API double sq_ledger_row(const sq_ledger *l, int64_t step, int32_t state, int64_t row);
SQ_API double sq_ledger_cosine(const sq_ledger *l, int64_t step, int32_t state);

/* ---- Weights by step ----------------------------------------------------------------------
 *
 *     dL/dW = sum_t dL/dW|_(t)        the textbook formula: what W does through its use in step t
 *
 * For a product x_t W the part is A^T G, A the [B,in] left operand and G the gradient of the
 * result, and |A^T G|^2 = <A A^T, G G^T>, which needs two B x B matrices instead of one of W's
 * size: taken where that is cheaper and W is used once in the step. What is used after the last
 * step (a readout over all outputs) counts at step T, "outside". All need `weights`; NaN
 * otherwise, out of range, and for a weight that is not used. */

SQ_API int64_t sq_ledger_n_weights(const sq_ledger *l); /* of the params */

/* |dL/dW|_(t)|, Frobenius; |dL/dW| itself. */
SQ_API double sq_ledger_weight(const sq_ledger *l, int64_t step, sq_weight w);
SQ_API double sq_ledger_weight_total(const sq_ledger *l, sq_weight w);

/* The part itself, of W's shape, in double; NULL unless `contribution`. */
SQ_API const double *sq_ledger_weight_values(const sq_ledger *l, int64_t step, sq_weight w);

/* cos(dL/dW|_(t), dL/dW): does step t pull the way all together do. And |sum of the parts of the
 * loss that reach W through more than far_steps steps| / |dL/dW|, where a loss at step s reaches
 * W at t through s - t. Both need far_steps > 0; one more sweep, and a product per step and
 * weight. */
SQ_API double sq_ledger_weight_cosine(const sq_ledger *l, int64_t step, sq_weight w);
SQ_API double sq_ledger_weight_far(const sq_ledger *l, sq_weight w);

/* The identity, checked: |sum of the parts - dL/dW| / |dL/dW|, the largest over all weights; needs
 * `contribution`. About 1e-15 in double. */
SQ_API double sq_ledger_identity(const sq_ledger *l);

/* ---- Which loss reaches how far back ------------------------------------------------------
 *
 * |dL_i/dh_k| for the losses given in the options, L_i being a scalar of any step. One sweep for
 * each; sweeps are shared where the losses are elements of one variable. */
SQ_API int64_t sq_ledger_n_losses(const sq_ledger *l);
SQ_API double sq_ledger_reach(const sq_ledger *l, int64_t loss, int64_t step, int32_t state);

/* ---- Gates --------------------------------------------------------------------------------
 *
 * Every value the cell gave a name (sq_name), states by their names too, step by step. A value is
 * saturated where |y| > .95 if it is a tanh, where y < .05 or y > .95 if it is a sigmoid; of
 * others, and of what is computed from them, nothing is. */
typedef struct sq_gate_statistics {
    double mean, deviation; /* over rows and units */
    double saturated;       /* share of the elements, 0 to 1; NaN where it means nothing */
    double gradient;        /* |dL/dy|, total */
} sq_gate_statistics;

SQ_API int32_t sq_ledger_n_gates(const sq_ledger *l);
SQ_API const char *sq_ledger_gate_name(const sq_ledger *l, int32_t gate);
SQ_API sq_gate_statistics sq_ledger_gate(const sq_ledger *l, int64_t step, int32_t gate);

SQ_END_DECLS

#endif
