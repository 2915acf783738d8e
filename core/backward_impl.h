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

/* Where the weight gradients of a probe go: told apart by step, or all together. Steps are those of
 * the tape, -1 outside; a sweep tells them from the newest to the oldest, and between them of what
 * lies outside. */
typedef struct sqi_parts {
    void *whole; /* not NULL: a flat block that every use adds to, as in sq_backward */
    /* Memory to add to what a step sends to a weight; NULL after posting. */
    void *(*open)(struct sqi_parts *p, sq_tape *t, sq_weight w, int64_t step);
    /* Whether the norm of that part will do, provided that it is told at once and whole. */
    bool (*by_norm)(const struct sqi_parts *p, sq_weight w, int64_t step);
    void (*norm)(struct sqi_parts *p, sq_weight w, int64_t step, double norm);
    bool missed; /* sqi_backward_parts: some could not be told beside the sums */
} sqi_parts;

/* A probe of any variable: dL/dy = seed, in double, or ones. parts may be NULL. */
sq_status sqi_probe_from(sq_var y, const double *seed, sqi_parts *parts);

/* sq_backward(loss), to the last bit, and beside it the parts of weights: by norms where a plan can,
 * made a second time elsewhere. Where neither can be done `missed` is set. */
sq_status sqi_backward_parts(sq_var loss, sqi_parts *parts);

/* The gradient of v in a lane's last sweep; NULL stands for zeros. v must be a state (in the user's
 * lane one that an unroll declared), or what a name or sq_keep_grad keeps the gradient of. */
const void *sqi_swept_grad(sq_var v, int lane);

#endif
