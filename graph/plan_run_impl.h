/* plan_run_impl.h -- running tasks: where everything lies now, and the workers that run them. */
#ifndef SQ_GRAPH_PLAN_RUN_IMPL_H
#define SQ_GRAPH_PLAN_RUN_IMPL_H

#include "graph/plan_impl.h"

/* Step t of an array lies at base + t * step; scratch of a block counts from the block's first
 * step. base NULL: not wanted. */
typedef struct sqi_place {
    char *base;
    size_t step;
    bool of_block;
} sqi_place;

/* One direction of one unroll. */
typedef struct sqi_run_of {
    sq_tape *t;
    const sqi_planned *u;
    sqi_plan *p;
    const sqi_arith *arith;
    size_t real;             /* bytes of an element */
    sqi_place *value, *grad; /* [n_values] */
    sqi_arena scratch;

    const sqi_back *back; /* reverse: the rest */
    sqi_wake *wake;
    void *const *gx;
    int32_t *tap; /* [n_values] slot of a named value */
    bool immediate, sinks;
    int64_t last; /* steps [span.low, last) are run */
} sqi_run_of;

/* One thread of it, within a block. Its arrays are as long as any task needs. */
typedef struct sqi_worker {
    const sqi_run_of *r;
    sqi_workers *others;
    int32_t i, n;
    int64_t first, last; /* steps of the block */
    char *tiles;
    const void **a; /* operands of a product or call */
    int64_t *a_row;
    sqi_out *out;
    void **c; /* destinations */
    sq_shape *shapes;
    sqi_run *runs;  /* of every op of every chain; pointers that never move are set */
    void **patches; /* addresses of the others */
    char **at;      /* streams of a chain */
    void *packed;   /* reverse: left operands of weight gradients, or NULL */
    bool *adds;     /* [n_states] reverse: the first writer of a state's gradient adds */
} sqi_worker;

/* What a task is run over: steps, and rows of the batch in each. With several steps all rows. */
typedef struct sqi_window {
    int64_t step, n_steps, row, n_rows;
} sqi_window;

static inline char *sqi_at_step(const sqi_worker *w, const sqi_place *p, int64_t step)
{
    return p->base ? p->base + (size_t)(step - (p->of_block ? w->first : 0)) * p->step : NULL;
}

/* Byte offset of a row of the batch in value v. */
static inline size_t sqi_row_offset(const sqi_worker *w, int32_t v, int64_t row)
{
    const sqi_value *x = &w->r->p->values[v];
    return x->by_row && row ? (size_t)(x->size / w->r->p->batch * row) * w->r->real : 0;
}

/* Memory of a run, given back at its end; NULL after posting. */
void *sqi_run_take(sqi_run_of *r, size_t n, size_t size);

/* Memory of the worker's own; NULL after posting. */
bool sqi_worker_init(sqi_run_of *r, sqi_worker *w, int32_t i);

/* Packs the right operands of a product unless they are packed already. */
void sqi_pack(const sqi_run_of *r, sqi_task *k);

/* Runs one elementwise pass. In reverse, ops that cross a step border run only with `cross`, and
 * adds[k] tells whether the first that writes into entering state k's gradient adds to it. */
void sqi_run_chain(const sqi_worker *w, const sqi_task *k, sqi_window at, bool cross,
                   const bool *adds);

/* Where values lie, but for scratch; false after posting. */
bool sqi_run_places(sqi_run_of *r);

/* How many of the tape's threads so many steps are worth. */
int32_t sqi_run_threads(const sqi_run_of *r, int64_t steps);

/* Steps of the block that fall to this worker, and rows of the batch. */
sqi_window sqi_share_steps(const sqi_worker *w, bool alone);
sqi_window sqi_share_rows(const sqi_worker *w, bool alone);

/* Fills in the call of value v over a window, values only; its shapes have the window's rows. */
sq_call sqi_call_of(const sqi_worker *w, int32_t v, sqi_window at);

#endif
