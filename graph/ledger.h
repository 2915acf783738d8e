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

typedef struct sq_ledger_options {
    bool values; /* keep the gradients themselves, not only their norms */
} sq_ledger_options;

/* The gradients of loss with respect to every state of an unroll. Freed by sq_ledger_free.
 * Fails: NULL, posted on the tape: SQ_ESHAPE loss is not a scalar, SQ_EVAR, SQ_ENOMEM.
 * Cost: two reverse sweeps without weight gradients. */
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

/* |dL/dh_t| and |dl_t/dh_t|, Euclidean over batch and width. NaN out of range. */
SQ_API double sq_ledger_total(const sq_ledger *l, int64_t step, int32_t state);
SQ_API double sq_ledger_immediate(const sq_ledger *l, int64_t step, int32_t state);

/* The values, row-major [B,H], in double; NULL unless asked for. Owned by the ledger. */
SQ_API const double *sq_ledger_total_values(const sq_ledger *l, int64_t step, int32_t state);
SQ_API const double *sq_ledger_immediate_values(const sq_ledger *l, int64_t step,
                                                int32_t state);

SQ_END_DECLS

#endif
