/* plan_run_impl.h -- running tasks: where everything lies now, and the workers that run them. */
#ifndef SQ_GRAPH_PLAN_RUN_IMPL_H
#define SQ_GRAPH_PLAN_RUN_IMPL_H

#include "graph/plan_impl.h"

#include <string.h>

/* The step that an array begins with: the unroll's first, that of the KEPT arrays, the block's. */
typedef enum sqi_origin { SQI_OF_ALL, SQI_OF_STRETCH, SQI_OF_BLOCK, SQI_N_ORIGINS } sqi_origin;

/* Step t of an array lies `unit` times begin(t - lag) - begin(origin) behind its base, where begin
 * counts steps or, where rows are left out that have ended, rows (sqi_units_before). base NULL: not wanted. */
typedef struct sqi_place {
    char *base;
    size_t unit;
    sqi_origin origin;
    int32_t lag; /* 1: what enters a step has left the one before; else 0 */
} sqi_place;

/* What a thread under watch found first: a step, and a value of it or whose derivative it was. */
typedef struct sqi_find {
    bool any;
    int64_t step;
    int32_t v;
} sqi_find;

/* One direction of one unroll: set up once, then run over one range of steps after the other. */
typedef struct sqi_run_of {
    sq_tape *t;
    const sqi_planned *u;
    sqi_plan *p;
    const sqi_arith *arith;
    size_t real;      /* bytes of an element */
    sqi_place *value; /* [n_values] */
    sqi_arena scratch;
    struct sqi_worker *workers;
    int32_t n_workers;
    int64_t from, to; /* the steps of this run */
    char *room;       /* under a budget: memory for what is as large as the steps */

    sqi_watch *watch; /* or NULL */

    /* Where the rows of x repeat (plan_gather.c), [n_values] or NULL. Of x: the rows that differ; of a
     * product of it: theirs; in reverse, of gradients of such products: sums over equal rows. */
    char **table;
    bool multiplied; /* forward: the products are there */
    char *row_grads; /* reverse: room for gradients of the rows; NULL: each row has its own */

    const sqi_back *back; /* reverse: the rest */
    int lane;
    sqi_wake *wake;
    void *const *gx;
    sqi_place *grad, *sunk; /* [n_values]; sunk: the same as the SINK sees it */
    int32_t *tap;           /* [n_values] slot of a named value */
    bool immediate, sinks;
    int64_t last;    /* the sweep begins before this step */
    char **partials; /* [n_defers] under a budget: sums of blocks that are not run at once */
    double *norms;   /* under watch: [last - low][n_states] of states' gradients */
    bool divided;    /* the steps of this run are not all of their block */
    bool copies;     /* plan_fan.c: windows count copies of one step, which is this one: */
    int64_t step;
    struct sqi_sorted *sorted;   /* plan_rows.c, or NULL: every row takes part in every step */
    struct sqi_run_parts *parts; /* plan_parts.c, or NULL */
} sqi_run_of;

/* A pointer that moves on by so many bytes from step to step of the LOOP. */
typedef struct sqi_mover {
    void *pointer;
    ptrdiff_t by;
} sqi_mover;

/* An op of a pass that is laid out: called with `at`, it adds or sets. */
typedef struct sqi_laid_op {
    void (*add)(const sqi_run *r), (*set)(const sqi_run *r);
    const sqi_run *at;
    const bool *adds;
} sqi_laid_op;

/* A task of the LOOP laid out for a step; the next step finds every pointer moved (plan_loop.c). */
typedef struct sqi_laid {
    sqi_panel_product product;
    const void **a;
    int64_t *a_row;
    sqi_out *out;
    int64_t n;        /* CHAIN: elements of its one tile; 0: it is not laid out */
    sqi_laid_op *ops; /* of the tile, all that are wanted in every step */
    int32_t n_ops;    /* 0: steps want different ops, or what they write is looked at */
} sqi_laid;

typedef struct sqi_loop {
    sqi_laid *laid; /* [tasks of the LOOP] */
    sqi_mover *movers;
    int32_t n_movers;
    int laying; /* 1, -1: pointers that are set are noted as movers, to the next step or the one before */
} sqi_loop;

/* One thread of it, within a block. Its arrays are as long as any task needs. */
typedef struct sqi_worker {
    const sqi_run_of *r;
    sqi_workers *others;
    int32_t i, n;
    int64_t first, last;           /* steps of the block */
    int64_t origin[SQI_N_ORIGINS]; /* as sqi_units_before counts */
    const sqi_place *grad;         /* the run's, or what the SINK sees */
    char *tiles;
    const void **a; /* operands of a product or call */
    int64_t *a_row;
    sqi_out *out;
    void **c; /* destinations */
    sq_shape *shapes;
    sq_attr *drawn; /* of a call that takes random numbers */
    void *packed;   /* reverse: left operands of weight gradients, or NULL */
    sqi_run *runs;  /* of every op of every chain; pointers that never move are set */
    void **patches; /* addresses of the others */
    char **at;      /* streams of a chain */
    sqi_loop *loop;
    bool split; /* in a loop whose products are split by columns; all meet after every task */
    sqi_find *found; /* under watch for what is not finite, or NULL */
    bool *adds;      /* [n_states] reverse: the first writer of a state's gradient adds */
} sqi_worker;

/* What a task is run over: steps, and rows of the batch in each, as far as they take part. With
 * several steps all rows. */
typedef struct sqi_window {
    int64_t step, n_steps, row, n_rows;
} sqi_window;

/* Where a step begins in an array of all steps: how many units lie before it. */
static inline int64_t sqi_units_before(const sqi_planned *u, int64_t step)
{
    return u->shrunk ? u->shrunk->before[step] : step;
}

/* Units of so many steps, at most; and of those that are run at once. */
static inline int64_t sqi_units(const sqi_planned *u, int64_t steps)
{
    return u->shrunk ? steps * u->plan->batch : steps;
}

static inline int64_t sqi_block_units(const sqi_planned *u)
{
    return u->stretch  ? sqi_units(u, u->stretch->piece)
           : u->shrunk ? u->shrunk->most_rows
                       : u->block;
}

static inline char *sqi_at_step(const sqi_worker *w, const sqi_place *p, int64_t step)
{
    if (!p->base || !p->unit) return p->base;
    int64_t n = sqi_units_before(w->r->u, step - p->lag) - w->origin[p->origin];
    return p->base + (ptrdiff_t)p->unit * n;
}

/* In a loop that is being laid out the pointer moves by so many bytes from step to step. */
static inline void sqi_follow(const sqi_worker *w, void *pointer, size_t by)
{
    if (w->loop->laying)
        w->loop->movers[w->loop->n_movers++] =
            (sqi_mover){ pointer, w->loop->laying * (ptrdiff_t)by };
}

/* Points a pointer at a step of p, so many bytes behind its begin; it follows the steps. */
static inline void sqi_aim(const sqi_worker *w, void *pointer, const sqi_place *p, int64_t step,
                           size_t offset)
{
    char *at = sqi_at_step(w, p, step);
    if (at) at += offset;
    memcpy(pointer, &at, sizeof at);
    if (at && p->unit) sqi_follow(w, pointer, p->unit);
}

/* Rows of the window that take part in one of its steps. */
static inline int64_t sqi_rows_at(const sqi_run_of *r, sqi_window at, int64_t step)
{
    if (!r->u->shrunk) return at.n_rows;
    int64_t left = sqi_active(r->u->shrunk, step) - at.row;
    return left < 0 ? 0 : left < at.n_rows ? left : at.n_rows;
}

/* And in all of them together. */
static inline int64_t sqi_rows_in(const sqi_run_of *r, sqi_window at)
{
    int64_t n = 0;
    for (int64_t s = at.step; s < at.step + at.n_steps; s++) n += sqi_rows_at(r, at, s);
    return n;
}

/* Puts a worker at the steps first to last - 1, which are run together. */
static inline void sqi_enter_block(sqi_worker *w, int64_t first, int64_t last)
{
    w->first = first;
    w->last = last;
    w->origin[SQI_OF_BLOCK] = sqi_units_before(w->r->u, first);
}

/* The block that holds a step. */
int64_t sqi_block_begin(const sqi_planned *u, int64_t step);
int64_t sqi_block_end(const sqi_planned *u, int64_t step);

/* Byte offset of a row of the batch in value v. */
static inline size_t sqi_row_offset(const sqi_worker *w, int32_t v, int64_t row)
{
    const sqi_value *x = &w->r->p->values[v];
    return x->by_row && row ? (size_t)(x->size / w->r->p->batch * row) * w->r->real : 0;
}

/* A run in either direction, to be opened. */
sqi_run_of sqi_run_new(sq_tape *t, const sqi_planned *u);

/* Memory of a run, given back at its end; NULL after posting. */
void *sqi_run_take(sqi_run_of *r, size_t n, size_t size);
void sqi_run_close(sqi_run_of *r);

/* The same for values and gradients, so many bytes of which a block of steps needs: under a budget
 * out of its scratch. */
void *sqi_run_room(sqi_run_of *r, size_t bytes);

/* Makes the workers that so many steps at once are worth; packs the right operands of products. */
bool sqi_run_workers(sqi_run_of *r, int64_t steps);

/* Runs a job over steps from .. to - 1. */
void sqi_run_steps(sqi_run_of *r, sqi_job *job, int64_t from, int64_t to);

/* A forward run. Under a budget the states that enter `from` lie at the KEPT arrays' origin. */
bool sqi_forward_open(sqi_run_of *r);
void sqi_forward_steps(sqi_run_of *r, int64_t from, int64_t to);

/* A reverse run; wake, lane, gx and immediate are set. Under a budget one call takes steps of one
 * block, and the calls go backwards. */
bool sqi_reverse_open(sqi_run_of *r);
void sqi_reverse_steps(sqi_run_of *r, int64_t from, int64_t to);

/* The tasks of one phase in reverse, over a window. */
void sqi_reverse_tasks(const sqi_worker *w, sqi_phase phase, sqi_window at);

/* Gives memory to sums of weight gradients (sqi_partial_bytes of it): blocks may come in pieces. */
bool sqi_reverse_divide(sqi_run_of *r, char *partials);

/* The weight gradients of the steps w->first to w->last - 1 of one deferred product. */
void sqi_run_defer(const sqi_worker *w, int32_t number);

/* The weight gradients of the rows that differ: deferred products of x, at the end of a sweep. */
void sqi_run_defer_rows(const sqi_worker *w, int32_t number);

/* plan_gather.c. Opened when places are known; both are false after posting and do nothing where no
 * row repeats. */
bool sqi_rows_open(sqi_run_of *r);
bool sqi_rows_open_reverse(sqi_run_of *r);

/* Forward: the products of the rows that differ, once; the rows of a window, picked from them: by
 * a product that adds to value v, or copied for others. */
void sqi_rows_multiply(const sqi_worker *w);
void sqi_rows_add_to(const sqi_worker *w, int32_t v, sqi_window at, sqi_out *out);
void sqi_rows_copy(const sqi_worker *w, const sqi_task *k, sqi_window at);

/* Reverse: adds the gradients of a block to the sums; what follows from them at the end. */
void sqi_rows_add(const sqi_worker *w);
void sqi_rows_end(const sqi_worker *w);

/* ---- plan_rows.c ---- */

/* What a reverse run over rows that end has beside the rest. A window holds the sorted rows of a
 * block's steps, and before them those of the step before the block. */
typedef struct sqi_sorted {
    char *
        *window;  /* [n_slots] seeds, and gradients of named values, or NULL; NULL for states */
    bool **there; /* [n_slots][steps] something is there before the sweep comes to a step */
    char **tail;  /* [n_states] what was sent to rows past their end */
    char **carry; /* [n_states] gradients of the states that entered the block before */
    char *
        *entered; /* [n_states] the states that enter a block's steps, without gaps; or NULL */
    char *x;      /* gradients of the input, or NULL */
} sqi_sorted;

/* Steps and rows of the block that fall to this worker. */
sqi_window sqi_share_shrunk_steps(const sqi_worker *w);
sqi_window sqi_share_shrunk_rows(const sqi_worker *w);

/* What it takes of the room of a block of so many units. */
size_t sqi_sorted_room(const sqi_planned *u, const sqi_back *b, int64_t units);

/* Memory for it; false after posting. When gradients have their places, sqi_sorted_begin looks at steps
 * that no row takes part in. Both do nothing where all rows take part. */
bool sqi_sorted_open(sqi_run_of *r);
void sqi_sorted_begin(sqi_run_of *r);

/* Brings a block's seeds and input gradients into the rows' order, and takes out what was asked for.
 * Workers meet at the end. */
void sqi_sorted_in(const sqi_worker *w);
void sqi_sorted_out(const sqi_worker *w);

/* The gradient of a slot after a step of the block that was run last, in the caller's order, where
 * `to` is room for it. Of a state's rows past their end it is known only where it was asked for. */
const char *sqi_sorted_grad(const sqi_run_of *r, int32_t slot, int64_t step, char *to);

/* Under a budget: shows those of named values to who looks at them. */
void sqi_sorted_show(const sqi_run_of *r, int64_t from, int64_t to);

/* Adds what reached the initial state k to where it goes. */
void sqi_sorted_initial(const sqi_run_of *r, int32_t k, void *to);

/* plan_parts.c: where a probe collects the parts of weights, r->gx is replaced so that they stay
 * apart, and sqi_parts_block takes the place of the deferred products of a block, which has one step
 * only if sqi_parts_single. Opened before gradients are placed, made ready once there are workers;
 * both are false after posting and do nothing elsewhere. */
bool sqi_parts_open(sqi_run_of *r);
bool sqi_parts_ready(sqi_run_of *r);
bool sqi_parts_single(const sqi_run_of *r);
bool sqi_parts_apart(const sqi_run_of *r); /* in the place of the sums, not beside them */
void sqi_parts_block(sqi_worker *w);

/* Adds what reached the initial states to where it goes. */
void sqi_reverse_end(const sqi_run_of *r);

/* What value v takes of a block's room of so many steps, forward, and in reverse under a budget. */
size_t sqi_forward_room(const sqi_plan *p, int32_t v, int64_t steps);
size_t sqi_reverse_room(const sqi_plan *p, const sqi_back *b, int32_t v, int64_t steps);

/* What each worker takes for copies of left operands where the weight gradients of so many units are
 * added up at once; sizes: sqi_defer_width of room. */
size_t sqi_packed_bytes(const sqi_planned *u, const sqi_back *b, int64_t units, int64_t *sizes);

/* Rows of a deferred product in a step. */
int64_t sqi_defer_rows(const sqi_planned *u, const sqi_defer *d, int64_t step);
size_t sqi_defer_width(const sqi_back *b);

/* Bytes of all partial sums of weight gradients. */
size_t sqi_partial_bytes(const sqi_plan *p, const sqi_back *b);

/* Runs one elementwise pass. In reverse, without `cross` only what an immediate sweep needs is run, and
 * adds[k] tells whether the first that writes into entering state k's gradient adds to it. */
void sqi_run_chain(const sqi_worker *w, const sqi_task *k, sqi_window at, bool cross,
                   const bool *adds);

/* The elements that a step of the window has of a pass, if they make one tile; else 0. And that tile:
 * where it lies in a step, its ops. */
int64_t sqi_chain_tile(const sqi_worker *w, const sqi_task *k, sqi_window at);
void sqi_chain_lay(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l);
void sqi_chain_ops(const sqi_worker *w, const sqi_chain *c, int64_t step, int64_t n, bool cross,
                   const bool *adds);

/* Fills in a product of the window whose operands and destinations are laid out: the panels, and how
 * many rows, 0 where none takes part. */
void sqi_lay_panels(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l);

/* What a task is looked at over: of one that is not dealt out all counts as one row. */
sqi_window sqi_looked_at(const sqi_task *k, sqi_window at);

/* ---- plan_loop.c ---- */

/* Tells a product of the window what it takes and where it goes, in arrays of l. */
typedef void sqi_lay(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l);

/* Memory for a loop over the tasks; false after posting. */
bool sqi_loop_make(sqi_run_of *r, sqi_worker *w, const sqi_tasks *tasks);

/* Lays the tasks out for the window's step, from which the loop goes to the next (1) or to the one
 * before (-1). NULL: the steps differ, each is to be laid out by itself. */
sqi_laid *sqi_loop_lay(const sqi_worker *w, const sqi_tasks *tasks, sqi_window at,
                       int direction, sqi_lay *lay);

/* Runs the tile of a pass that is laid out with its ops. */
static inline void sqi_run_laid(const sqi_laid *l)
{
    for (const sqi_laid_op *o = l->ops, *end = o + l->n_ops; o < end; o++)
        (*o->adds ? o->add : o->set)(o->at);
}

/* For a product that is run at once: the worker's own arrays. */
static inline sqi_laid sqi_laid_in_passing(const sqi_worker *w)
{
    return (sqi_laid){ .a = w->a, .a_row = w->a_row, .out = w->out };
}

/* Whether the workers share the columns of the loop's products: there is a single row, and weights
 * enough of it. */
bool sqi_loop_splits(const sqi_worker *w, const sqi_tasks *tasks);

/* The first of them does by itself what is no product; then all meet. */
static inline bool sqi_is_mine(const sqi_worker *w) { return !w->split || w->i == 0; }
static inline void sqi_meet_split(const sqi_worker *w)
{
    if (w->split) sqi_workers_meet(w->others);
}

/* On to that step. */
void sqi_loop_move(const sqi_worker *w);

/* ---- plan_watch.c ---- */

/* Makes room for what workers find; does nothing without a watch. False after posting. */
bool sqi_watch_open(sqi_run_of *r);

/* Notes that value v is not finite at a step. */
void sqi_note(const sqi_worker *w, int32_t v, int64_t step);

/* One step, in which something is taken as a single row. */
static inline sqi_window sqi_whole_step(int64_t step) { return (sqi_window){ step, 1, 0, 1 }; }

/* Looks at what was just written, n numbers of each row of the window's steps. */
void sqi_look(const sqi_worker *w, int32_t v, int64_t n, sqi_window at, const char *written);

/* Rows past their end have so much, squared, of the norm of state k's gradient at a step. */
void sqi_note_past(const sqi_run_of *r, int32_t k, int64_t step, double squared);

/* The norms of the states' gradients of this worker's steps of the block, which are complete. */
void sqi_note_norms(const sqi_worker *w);

/* Post what was found in a run, the first of it; in reverse over steps from .. to - 1. */
void sqi_watch_forward(sqi_run_of *r);
void sqi_watch_reverse(sqi_run_of *r, int64_t from, int64_t to);

/* Looks up where KEPT arrays lie after they have moved. */
void sqi_run_arrays(sqi_run_of *r);

/* Where values lie, but for scratch; false after posting. */
bool sqi_run_places(sqi_run_of *r);

/* Steps of the block that fall to this worker, and rows of the batch. */
sqi_window sqi_share_steps(const sqi_worker *w, bool alone);
sqi_window sqi_share_rows(const sqi_worker *w, bool alone);

/* The rows of a step that a call takes at once, `done` of the window's having been taken. */
sqi_window sqi_call_rows(const sqi_worker *w, int32_t v, sqi_window at, int64_t done);

/* Fills in the call of value v over a window, values only; its shapes have the window's rows. */
sq_call sqi_call_of(const sqi_worker *w, int32_t v, sqi_window at);

#endif
