/* backward_impl.h -- sweeps for those who observe (graph/ledger). */
#ifndef SQ_CORE_BACKWARD_IMPL_H
#define SQ_CORE_BACKWARD_IMPL_H

#include "core/tape.h"

/* sq_backward, but steps of the tape before `first` are not entered, as if they had been cut;
 * what was recorded between steps takes part wherever it lies. Gradients of states before `first`
 * mean nothing afterwards. */
sq_status sqi_backward_window(sq_var loss, int64_t first);

/* Declares v the state of a recurrence, for good: the states of an unroll. */
void sqi_declare_state(sq_var v);

/* Lists states for the probes that follow, until the next list. All must be live. */
void sqi_list_states(sq_tape *t, const sq_var *states, int64_t n);

/* A reverse sweep in the probe lane: weights and leaves accumulate nothing, the user's gradients
 * stay as they are. With `immediate`, what a later *step* sends back into a state, declared or
 * listed, is dropped, so that each state receives what its own step does to the loss. */
sq_status sqi_probe(sq_var loss, bool immediate);

/* The gradient of v in the last probe; NULL stands for zeros. v must be a state. */
const void *sqi_probe_grad(sq_var v);

#endif
