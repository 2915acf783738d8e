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
 * directly, and the identity above has that third term. The ledger holds both for every step and
 * every state, as norms and, if asked, as values; what every step does to every weight; which loss
 * reaches how far back; and what gates look like over time.
 * It observes: weight gradients, leaf gradients and what sq_grad_* reads stay as they were, unless it
 * is asked to be the training's sweep as well (`backward`). */
#ifndef SQ_GRAPH_LEDGER_H
#define SQ_GRAPH_LEDGER_H

#include "unroll.h"

SQ_BEGIN_DECLS

/* The gradients of one loss, by step. */
typedef struct sq_ledger sq_ledger;

/* What to look at besides the norms of states; all-zero is the default. */
typedef struct sq_ledger_options {
    bool values;       /* the gradients of states themselves, not only their norms */
    bool weights;      /* every step's contribution to every weight: norms */
    bool contribution; /* and values: T times the weights, in double */
    int64_t far_steps; /* > 0: the share of dL/dW that comes from more than so many steps back,
                           * and every contribution's cosine with it; needs `weights` */
    bool gates;        /* statistics of every value that the cell named */
    bool
        backward; /* in the place of sq_backward(loss): weights and leaves accumulate as by it */
    const sq_var *losses; /* with n_losses > 0: which loss reaches how far back, one row each */
    int64_t n_losses;
} sq_ledger_options;

/* The gradients of loss with respect to every state of an unroll. Freed by sq_ledger_free.
 * Fails: NULL, posted on the tape: SQ_ESHAPE loss is not a scalar, SQ_EVAR, SQ_ENOMEM, SQ_ERANGE
 * negative numbers of losses or steps, SQ_EVALUE far_steps without weights, SQ_EGRAD a tape for
 * inference.
 * Cost: two reverse sweeps without weight gradients, about a third of a training step together; see
 * the options' readers for theirs. With `backward` the first of them is sq_backward itself, bit for
 * bit, and of the second only what lies within steps is left: of an unroll that keeps its steps, and
 * where neither gates, far_steps nor `contribution` need sweeps of their own. */
SQ_API sq_ledger *sq_ledger_new(const sq_unrolled *u, sq_var loss,
                                const sq_ledger_options *options);

/* The same for a loop written by hand: states[i * n_states + k] is state k after step i, each
 * recorded in a step of its own; list all the states of the recurrence, for the immediate gradient
 * stops only at states it knows. Record losses that look at several steps after sq_end_step.
 * Fails also: SQ_EVALUE when the states do not lie in steps one after the other. */
SQ_API sq_ledger *sq_ledger_of_states(const sq_var *states, int64_t steps, int32_t n_states,
                                      sq_var loss, const sq_ledger_options *options);
SQ_API void sq_ledger_free(sq_ledger *l);

/* T; how many states. */
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

/* |total| of one unit over the batch, and of one row over the units; the cosine of total and
 * immediate. NaN out of range, and without `values`; a cosine with nothing is 0. */
SQ_API double sq_ledger_unit(const sq_ledger *l, int64_t step, int32_t state, int64_t unit);
SQ_API double sq_ledger_row(const sq_ledger *l, int64_t step, int32_t state, int64_t row);
SQ_API double sq_ledger_cosine(const sq_ledger *l, int64_t step, int32_t state);

/* ---- Weights by step ----------------------------------------------------------------------
 *
 *     dL/dW = sum_t dL/dW|_(t)        the textbook formula: what W does through its use in step t
 *
 * What is used outside the ledger's steps (a readout over all outputs) counts at step T, "outside".
 * All need `weights`; NaN otherwise, out of range, and for a weight that is not used or is frozen.
 *
 * For a product x_t W the part is A^T G, A the [B,K] left operand and G the [B,N] gradient of the
 * result, and |A^T G|^2 = <A A^T, G G^T>, which needs two B x B matrices instead of one of W's size.
 * A plan takes that where nothing but norms is asked for, B (K + N) < K N, and W is used once in the
 * step; A A^T serves all gates. It costs B^2 (sum of K + sum of N) multiplications a step and no
 * sweep of its own. Where rows of A^T G cancel it is the less exact: sqrt(eps) |A| |G| at worst.
 * Elsewhere, and eagerly, the part itself is made. */

SQ_API int64_t sq_ledger_n_weights(const sq_ledger *l); /* of the params; 0 without `weights` */

/* |dL/dW|_(t)|, Frobenius, 0 <= t <= T. */
SQ_API double sq_ledger_weight(const sq_ledger *l, int64_t step, sq_weight w);

/* |dL/dW| itself. Needs the sum, which norms do not give: NaN unless far_steps > 0 or
 * `contribution`. */
SQ_API double sq_ledger_weight_total(const sq_ledger *l, sq_weight w);

/* The part itself, of W's shape, in double; NULL unless `contribution`. */
SQ_API const double *sq_ledger_weight_values(const sq_ledger *l, int64_t step, sq_weight w);

/* cos(dL/dW|_(t), dL/dW): does step t pull the way all together do; 0 with nothing. And the share
 * of dL/dW that a truncation to far_steps steps would lose:
 *     | sum over losses L_s, and steps t < s - far_steps, of dL_s/dW|_(t) |  /  |dL/dW|
 * with the losses of the options, whose sum L should be; s is the last step whose weights L_s reaches.
 * Without any, L counts as one at the last step. Both need far_steps > 0, which costs a sweep with
 * weight gradients for the total, one for the parts, whose products are made step by step, and one
 * like it for every loss. */
SQ_API double sq_ledger_weight_cosine(const sq_ledger *l, int64_t step, sq_weight w);
SQ_API double sq_ledger_weight_far(const sq_ledger *l, sq_weight w);

/* The identity, checked: |sum of the parts - dL/dW| / |dL/dW|, the largest over all weights, dL/dW
 * being summed by a sweep of its own as sq_backward sums it; needs `contribution`, NaN without. About
 * 1e-15 in double, 1e-7 in single precision. */
SQ_API double sq_ledger_identity(const sq_ledger *l);

/* ---- Which loss reaches how far back ------------------------------------------------------
 *
 * |dL_i/dh_k| for the losses given in the options, which may be recorded in any step or after all. A
 * variable of several elements stands for as many losses, in their order: sq_ledger_n_losses counts
 * them. NaN out of range.
 *
 * Every loss is swept from. Where the states are those of an unroll whose plan keeps all steps and rows,
 * these sweeps end at the unroll, and losses go back through it together, 48 rows of gradients at a time
 * or 4 losses: they multiply the weights at once, read one set of saved values, and nothing is made but
 * gradients of states. Threads take losses each. The T losses of an LSTM, one a step, in float on one
 * thread, take 1/2.0 of the time of as many sweeps at T = 500, H = 128, B = 1, 1/2.5 at H = 256, and
 * 1/1.1 at T = 100, H = 256, B = 32, where a sweep has rows enough (tests/bench/bench_ledger.c).
 * Elsewhere every loss goes back by itself, at the cost of a sweep without weight gradients: eagerly,
 * under a budget, where rows that ended are left out, and with far_steps. */
SQ_API int64_t sq_ledger_n_losses(const sq_ledger *l);
SQ_API double sq_ledger_reach(const sq_ledger *l, int64_t loss, int64_t step, int32_t state);

/* ---- Gates --------------------------------------------------------------------------------
 *
 * Every value that steps gave a name (sq_name), in the order in which they were recorded, then the
 * states by theirs. Of several of one name in a step each counts, "f", "f (2)" and so on in the
 * order in which they were recorded: those of a stack are its layers. A plan leaves out what does not
 * vary with time. Under a byte budget the steps are run once more for the values. A row that sits a step
 * out (unroll.h) does not count: what was made of it there is thrown away. The gradient of a state is
 * its total, though, with what flows on to earlier steps of such rows. A value is saturated where
 * |y| > .95 if it is a tanh, where y < .05 or y > .95 if it is a sigmoid; for others, and for what is
 * computed from them, that means nothing. All NaN out of range and in a step without a value of that
 * name. */
typedef struct sq_gate_statistics {
    double mean, deviation; /* over the rows that take the step, and units; NaN of none */
    double saturated;       /* share of the elements, 0 to 1; NaN where it means nothing */
    double gradient;        /* |dL/dy|, total */
} sq_gate_statistics;

/* How many; the name of one, "" out of range; what it looked like in step 0 <= t < T. 0 without `gates`. */
SQ_API int32_t sq_ledger_n_gates(const sq_ledger *l);
SQ_API const char *sq_ledger_gate_name(const sq_ledger *l, int32_t gate);
SQ_API sq_gate_statistics sq_ledger_gate(const sq_ledger *l, int64_t step, int32_t gate);

SQ_END_DECLS

#endif
