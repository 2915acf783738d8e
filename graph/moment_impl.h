/* moment_impl.h -- one recorded step of an unroll, with all its values, to be differentiated alone.
 *
 *     state k of step t-1 -- enters[k] --.
 *     x_t                 -- x ----------+-- nodes of the step -- leaves[k] -- state k of step t
 *
 * An eager step is all there; under a byte budget it is run again beside the line. Of a planned one
 * the tape keeps the trace (which op, of what) and the states; what lies between is computed again
 * from these, op by op, with the weights and the random numbers of the run. */
#ifndef SQ_GRAPH_MOMENT_IMPL_H
#define SQ_GRAPH_MOMENT_IMPL_H

#include "graph/plan_impl.h"
#include "graph/unroll_impl.h"

/* What an unroll knows of itself; unroll.c. */
typedef struct sqi_inside {
    sqi_planned *planned; /* NULL: eagerly */
    sqi_budget *budget;   /* eagerly, its steps not kept */
    bool nested;          /* its steps begin steps themselves */
    int64_t first;        /* the tape's step that its first one is */
    int64_t flags;        /* columns of its input behind x (unroll_rows.c) */
    const bool *takes; /* [T,batch] whether a row takes the step, as they ran; NULL: all do */
    int64_t batch;
} sqi_inside;
sqi_inside sqi_unrolled_inside(const sq_unrolled *u);

typedef struct sqi_moment {
    sq_tape *t;
    const sqi_segment *s;
    const sqi_planned *planned;
    int64_t step; /* of the unroll */
    int64_t batch;
    int32_t n_states;
    uint32_t n;                /* nodes [1, n) of the segment may matter */
    void **value;              /* [n] */
    const sq_attr **attr;      /* [n] */
    bool *wanted;              /* [n] on the way to a state that leaves, or asked for */
    uint32_t *enters, *leaves; /* [n_states]; enters[k] = 0: the step does not read state k */
    uint32_t x;                /* 0: none */
    int64_t flags;             /* columns behind those of x */
    sqi_arena memory;
    sqi_budget *budget; /* whose step it is, run again from the states of `stand` */
    sqi_aside_step again;
    sqi_segment *stand;
} sqi_moment;

/* Opens a step of an unroll, both whose states must be live; false after posting. Close it either
 * way. */
bool sqi_moment_open(sqi_moment *m, const sq_unrolled *u, int64_t step);

/* The same for a planned unroll, when nodes beside the states are wanted. */
bool sqi_moment_planned(sqi_moment *m, sq_tape *t, sqi_planned *u, int64_t step,
                        const uint32_t *more, int32_t n_more);
void sqi_moment_close(sqi_moment *m);

/* The node of the trace that a value of the plan stands for. */
uint32_t sqi_trace_node(const sqi_plan *p, int32_t value);

/* Memory that goes with the moment; NULL after posting. */
void *sqi_moment_take(sqi_moment *m, size_t n, size_t size);

/* Whether nodes enter the step from outside, or end what moves: their operands are no business of
 * the step. */
static inline bool sqi_moment_starts(const sqi_moment *m, uint32_t i)
{
    bool starts = i == m->x || !m->s->nodes[i].n || m->s->nodes[i].op == &sqi_op_detach;
    for (int32_t k = 0; !starts && k < m->n_states; k++) starts = m->enters[k] == i;
    return starts;
}

/* pull.c: takes n directions g[n,S] of the states that leave, of one row of the batch, back through the
 * step: gh[n,S] = g dh_t/dh_(t-1) and, unless gx is NULL, gx[n,I] = g dh_t/dx_t. False after
 * posting. */
bool sqi_moment_pull(sqi_moment *m, int64_t row, int64_t n, const double *g, double *gh,
                     double *gx);

/* Numbers of all states of a row, and of x_t. */
int64_t sqi_moment_size(const sqi_moment *m);
int64_t sqi_moment_input(const sqi_moment *m);

#endif
