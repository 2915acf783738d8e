/* watch_impl.h -- looking for numbers that are not finite, and telling where the first came from.
 *
 *     found    a value as it is recorded: remembered, and told when its step is complete, for only
 *              then do gates have names;  a gradient during a sweep: told at once
 *     scene    one recorded step with all its values: the tape's own, or (graph/plan_watch.c)
 *              computed again from the states that a plan keeps
 *     norms    of the states or their gradients, step after step, towards the present one: their
 *              growth is part of every sentence, and what the thresholds look at
 *
 * A watch is shared by the segments that were recorded under it and goes with the last of them. */
#ifndef SQ_CORE_WATCH_IMPL_H
#define SQ_CORE_WATCH_IMPL_H

#include "core/tape_impl.h"

/* Norms of neighbouring steps, the present one last. */
typedef struct sqi_series {
    double *norm;        /* [n][n_states] */
    int64_t n, room, at; /* at: the present step */
    uint64_t sweep;      /* that they belong to */
} sqi_series;

enum { SQI_OF_VALUES, SQI_OF_GRADIENTS, SQI_N_SERIES };

struct sqi_watch {
    int64_t refs;
    sq_watch ask;
    int64_t first, steps; /* of an unroll; steps 0: a loop by hand */
    int32_t n_states;     /* by hand 1: all that later steps take from one */
    char **name;          /* [n_states] of an unroll */
    uint64_t found;       /* id of a value that is to be told, or 0 */
    sqi_series series[SQI_N_SERIES];
};

typedef struct sqi_scene {
    sqi_watch *w;
    const sqi_segment *s;
    int64_t step;           /* counted as the sentence counts */
    void *const *value;     /* [n], or NULL: those of the nodes */
    uint32_t n;             /* nodes [1, n) matter */
    const uint32_t *leaves; /* [n_states], or NULL */
    const uint32_t *enters; /* [n_states], or NULL */
    uint32_t x;             /* 0: not known */
} sqi_scene;

/* Norms of neighbouring steps, the nearest first: those of step j lie at at[j * stride], `of`
 * of them. */
typedef struct sqi_norms {
    const double *at;
    int64_t stride, n;
    int32_t of;
} sqi_norms;

static inline sqi_watch *sqi_watch_share(sqi_watch *w)
{
    if (w) w->refs++;
    return w;
}
void sqi_watch_drop(sqi_watch *w);

/* An unroll begins: a watch of its own, if it asks for one or the tape has one. *outer is for the
 * end. False after posting. */
bool sqi_watch_begin(sq_tape *t, const sq_watch *ask, int64_t steps, int32_t n_states,
                     const char *const *names, sqi_watch **outer);
void sqi_watch_end(sq_tape *t, sqi_watch *outer);

/* Looks at a value of the current segment that has just been computed. */
void sqi_watch_value(sq_tape *t, const sqi_node *n);

/* The current segment is a complete step that left these states (or NULL). False after posting. */
bool sqi_watch_step(sq_tape *t, const sq_var *state, const uint32_t *leaves);

/* Tells what was found; false after posting, now or earlier. */
bool sqi_watch_tell(sq_tape *t);
static inline bool sqi_watch_settle(sq_tape *t)
{
    return t->watch && t->watch->found ? sqi_watch_tell(t) : !t->error.status;
}
void sqi_watch_forget(sq_tape *t);

/* Looks at what node i of a watched segment sent to its operand k. False after posting. */
bool sqi_watch_gradient(sq_tape *t, sqi_segment *g, uint32_t i, int32_t k);

/* The gradients of the segment's states are complete. */
void sqi_watch_states(sq_tape *t, sqi_segment *g);

/* Looks at the gradients of all weights. */
void sqi_watch_weights(sq_tape *t, const sqi_watch *w);

/* Looks at the norms of a step's states' gradients, the first of `norms`. False after posting. */
bool sqi_watch_norms(sq_tape *t, const sqi_watch *w, int64_t step, const sqi_norms *norms);

/* Posts: the value of node i is not finite. Norms are those of states. */
void sqi_watch_tell_value(sq_tape *t, const sqi_scene *s, uint32_t i, const sqi_norms *norms);

/* Posts: what node i sent to its operand k is not finite; or, k < 0, what arrived at i. `g` of the
 * shape of either, or NULL. Norms are those of gradients. */
void sqi_watch_tell_gradient(sq_tape *t, const sqi_scene *s, uint32_t i, int32_t k,
                             const void *g, const sqi_norms *norms);

/* Whether all numbers of a value are finite. */
bool sqi_all_finite(const sq_tape *t, const sq_shape *shape, const void *value);

#endif
