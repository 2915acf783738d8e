/* plan_impl.h -- the step program: what a traced step becomes, and the words for it.
 *
 *     trace  ->  values  ->  tasks of three phases  ->  run over blocks of steps
 *                             HOIST   from x and weights only: many steps at once, before
 *                             LOOP    what the next step needs: step after step
 *                             SINK    the rest: many steps at once, after
 *
 * A value is one result of one step. What does not depend on time (weights, what comes from
 * outside, what is computed from these alone, random numbers of every step aside) is FIXED: it stays on the tape as ordinary nodes and
 * enters the span as operands, so the generic sweep differentiates it.
 *
 * Where a value lies is its room:
 *     TILE     within one fused pass over a tile, nowhere else
 *     STEP     scratch of one step            BLOCK    scratch of one block of steps
 *     KEPT     [steps,...] in the segment     OUTSIDE  an operand of the span
 * A state k has one KEPT array [steps + 1,...], the initial state first: the value that enters
 * step t lies at t, the one that leaves it at t + 1. Gradients have rooms of their own; those of
 * states are KEPT, so that every total stays readable.
 *
 * Under a budget (plan_budget.c) KEPT arrays hold one stretch of steps at a time, and KEPT gradients
 * one block of them.
 *
 * A block of steps is the unit of hoisting, sinking and of weight gradients (kernel law (c)): its
 * borders depend on the sizes of the cell, T and B only. */
#ifndef SQ_GRAPH_PLAN_IMPL_H
#define SQ_GRAPH_PLAN_IMPL_H

#include "core/tape_impl.h"
#include "graph/checkpoint.h"
#include "graph/plan.h"
#include "ops/map_impl.h"

enum {
    SQI_TILE_BYTES = 1024,
    SQI_ONE_CHAIN = 1024, /* rows; sqi_grad_product cuts more of them into several chains */
    SQI_WEIGHTS_IN_CACHE = 2 << 20, /* bytes of weights that stay in cache from step to step */
    SQI_COLUMNS_PAY =
        1 << 20, /* bytes of weights of a loop over one row that are worth meetings */
    SQI_NO_VALUE = -1
};

typedef enum sqi_phase { SQI_FIXED, SQI_HOIST, SQI_LOOP, SQI_SINK, SQI_N_PHASES } sqi_phase;

typedef enum sqi_room {
    SQI_NOWHERE,
    SQI_TILE,
    SQI_STEP,
    SQI_BLOCK,
    SQI_KEPT,
    SQI_OUTSIDE
} sqi_room;

typedef enum sqi_kind {
    SQI_UNUSED,  /* dead, or folded into another value */
    SQI_OUTER,   /* FIXED: an operand of the span */
    SQI_X,       /* the input of the step */
    SQI_ENTERS,  /* a state as it enters the step */
    SQI_MAP,     /* an elementwise op that a chain can run */
    SQI_PRODUCT, /* from + bias + sum over terms of left * right */
    SQI_CALL,    /* any other op, called as the tape would */
    SQI_SPREAD   /* only a gradient: that of a vector used in every row, before it is summed */
} sqi_kind;

/* left * right, or left * right^T; right is FIXED. */
typedef struct sqi_term {
    int32_t left, right;
    bool transposed;
} sqi_term;

typedef struct sqi_value {
    sqi_kind kind;
    sqi_phase phase;
    sqi_room room;
    bool needs;     /* a gradient flows to it */
    bool by_row;    /* its first axis is the batch */
    bool of_weight; /* OUTER: a weight itself */
    bool of_rows;   /* PRODUCT of x alone, whose rows repeat (plan_gather.c) */
    int32_t state;  /* ENTERS: which; of the value that leaves as state k: k; else -1 */
    bool
        lookout; /* under a watch it is looked at: who reads it may hide that it is not finite */
    int32_t uses;    /* operands and results it stands for */
    int32_t operand; /* OUTER: which operand of the span */
    const sq_op *op; /* MAP, CALL */
    const sq_attr *attr;
    int32_t first, n;   /* MAP, CALL: operands, in sqi_plan.operands; PRODUCT: terms */
    int32_t from, bias; /* PRODUCT */
    const char *name;
    sq_shape shape;
    int64_t size;
} sqi_value;

/* ---- Fused passes --------------------------------------------------------------------------- */

/* One array that a pass runs along. */
typedef struct sqi_stream {
    int32_t value;
    bool gradient;
    int32_t tile;     /* number of the tile buffer it lies in, or -1 */
    int64_t period;   /* > 0: a FIXED vector, repeated */
    int32_t first, n; /* patches: the pointers of ops that follow it */
} sqi_stream;

/* A pointer in the run of one op. */
typedef enum sqi_field {
    SQI_FIELD_X,
    SQI_FIELD_Y = SQI_MAP_OPERANDS,
    SQI_FIELD_OUT,
    SQI_FIELD_IN
} sqi_field;
typedef struct sqi_patch {
    int32_t micro;
    int32_t field; /* SQI_FIELD_X + k for operand k */
} sqi_patch;

/* One op kernel applied to streams. */
typedef struct sqi_micro {
    void (*run)(const sqi_run *r);
    void (*add)(const sqi_run *r), (*set)(const sqi_run *r); /* reverse: either way */
    int32_t x[SQI_MAP_OPERANDS], y, out, in;                 /* streams, or -1 */
    const double *p;
    int32_t of;      /* the value whose op it is */
    bool lookout;    /* under a watch, what it writes is looked at */
    int32_t crosses; /* reverse: the state whose entering gradient it writes, or -1 */
    bool first;      /* it is the first writer of that gradient */
    bool inner;      /* reverse: an immediate sweep needs what it writes */
} sqi_micro;

typedef struct sqi_chain {
    int64_t size; /* elements of one step */
    int32_t n_streams, n_micros, n_tiles;
    sqi_stream *streams;
    sqi_micro *micros;
    int64_t period; /* tiles do not cross its multiples; 0: none */
    int32_t *opens,
        n_opens; /* reverse: entering states whose gradient it is the first to write */
    sqi_patch *patches;
    int32_t n_patches, first_run, first_patch; /* among those of all chains of its direction */
} sqi_chain;

/* How many ops and patches the chains of one direction have. */
typedef struct sqi_chain_sizes {
    int32_t runs, patches;
} sqi_chain_sizes;

/* ---- Tasks ---------------------------------------------------------------------------------- */

/* The packed right operands of a product, and what they were packed from. */
typedef struct sqi_packed {
    sqi_panels panels;
    int64_t *depth, *width; /* the panels' own, to be filled in */
    int32_t *right;         /* [n_sums][n_parts] FIXED values */
    bool *transposed;       /* [n_sums][n_parts] */
    int64_t n_panels;
    uint64_t version; /* of the weights; 0: nothing packed, or not of weights alone */
    bool of_weights;
} sqi_packed;

typedef enum sqi_task_kind { SQI_DO_PRODUCT, SQI_DO_CHAIN, SQI_DO_CALL } sqi_task_kind;

/* Forward PRODUCT: values v[n] (parts) from lefts[n_lefts]. Reverse PRODUCT: the gradient of left
 * `target` from the gradients of v[n]. CALL: v[0]. */
typedef struct sqi_task {
    sqi_task_kind kind;
    sqi_chain chain;
    int32_t *v, n;
    int32_t *lefts, n_lefts;
    int64_t rows; /* PRODUCT: rows of left per row of the batch */
    sqi_packed packed;
    int32_t target;  /* reverse PRODUCT: whose gradient; CALL: which operand's */
    bool sharable;   /* may be run on some rows of the batch */
    bool of_rows;    /* PRODUCT: of x alone, whose rows repeat; reverse: towards it */
    bool sets;       /* reverse: it is the first contribution to the target's gradient */
    int32_t crosses; /* as in sqi_micro */
    bool first, inner;
} sqi_task;

/* Weight gradients at the end of a block: C[left][part] += left^T part. Arrays are values
 * (gradient = false) or their gradients. */
typedef struct sqi_array {
    int32_t value;
    bool gradient;
} sqi_array;

typedef struct sqi_defer {
    sqi_array *lefts, *parts;
    int32_t n_lefts, n_parts;
    int64_t rows;  /* of one step */
    int32_t *to;   /* [n_lefts][n_parts] OUTER values, or -1 */
    int32_t *sums; /* [n_parts] OUTER values that take column sums, or -1 */
    bool of_rows;  /* of x, whose rows repeat: taken once, at the end of a sweep */
} sqi_defer;

typedef struct sqi_tasks {
    sqi_task *at;
    int32_t n, room;
} sqi_tasks;

/* The reverse program. Which named gradients are kept decides where they lie, and what no gradient
 * arrives at is left out, so there may be several of a plan. */
typedef struct sqi_back {
    struct sqi_back *next;
    bool *asked;    /* [n_named] of which named values the gradient is asked for */
    bool *arrives;  /* [n_slots] a gradient arrives there */
    bool *tapped;   /* [n_values] asked for, and one arrives */
    int32_t *root;  /* [n_values] the value whose gradient memory it shares */
    sqi_room *room; /* [n_values] of gradients */
    sqi_tasks tasks[SQI_N_PHASES];
    sqi_defer *defers;
    int32_t n_defers, defer_room;
    int32_t n_roots,
        n_made;    /* root and room are told for values below n_roots; from there to n_made
                                its own were made */
    bool *crossed; /* [n_states] something writes the gradient of the entering state */
    bool *sunk; /* [n_states] the SINK writes the gradient of the leaving state: to scratch of
                      its own, which the loop adds */
    sqi_chain_sizes sizes;
    bool alone[SQI_N_PHASES];
    int32_t *begun, n_begun; /* values whose gradient begins with what was seeded */
} sqi_back;

typedef struct sqi_plan {
    struct sqi_plan *next;
    sqi_arena arena;      /* its memory, from the tape's pool */
    unsigned char *print; /* the fingerprint */
    size_t print_bytes;
    sq_dtype dtype;
    const sq_kernels *kern;

    int64_t batch;
    int32_t n_states;
    sqi_value *values; /* [0, n_nodes): by index in the trace; then new ones */
    int32_t n_values, value_room, n_nodes;
    int32_t *operands, n_operands, operand_room;
    sqi_term *terms;
    int32_t n_terms, term_room;

    int32_t x;               /* its value, or -1 */
    bool x_repeats;          /* x is multiplied by its distinct rows (plan_gather.c) */
    int32_t *enters;         /* [n_states] */
    int32_t *leaves;         /* [n_states] */
    int32_t output;          /* or -1 */
    int32_t *outer, n_outer; /* OUTER values by operand; x and states come before them */
    int32_t (*pairs)[2], *made, n_pairs; /* OUTER values made by adding two others */
    int32_t *named, n_named;             /* values that bear a name */

    sqi_tasks tasks[SQI_N_PHASES];
    sqi_chain_sizes sizes;
    sqi_back *backs;
    bool *
        closure; /* [n_slots][n_slots] what is sent to the one arrives at the other; NULL: not yet */
    struct sqi_timetable *timetables; /* plan_budget.c's schedules, and how to free them */
    void (*free_timetables)(struct sqi_plan *p);
    bool alone[SQI_N_PHASES]; /* not to be dealt out to threads */
    int64_t weight_bytes;     /* right operands of all products */
    int64_t flops;            /* of the products of one step, forward */
} sqi_plan;

static inline bool sqi_is_operation(const sqi_value *v)
{
    return v->kind == SQI_MAP || v->kind == SQI_PRODUCT || v->kind == SQI_CALL;
}

/* Memory of the plan; NULL after posting. Zeroed. */
void *sqi_plan_take(sq_tape *t, sqi_plan *p, size_t n, size_t size);

/* ---- The stages ----------------------------------------------------------------------------- */

/* What the trace is, told by unroll.c: indices of nodes in the current segment. */
typedef struct sqi_trace {
    int64_t batch;
    int32_t n_states;
    uint32_t first;          /* nodes before it bring x and the states in */
    uint32_t x, output;      /* 0: none */
    uint32_t sequence;       /* the import that x is cut from */
    const uint32_t *initial; /* [n_states] the imports that enter */
    const uint32_t *enters;  /* [n_states] */
    const uint32_t *leaves;
    const struct sqi_source *repeats; /* NULL: the rows of x are not known to repeat often */
} sqi_trace;

/* plan_find.c: the plan of a trace, from the tape's cache or built anew; NULL after posting. */
sqi_plan *sqi_plan_of(sq_tape *t, const sqi_trace *trace);

/* A new value; its number, or SQI_NO_VALUE after posting. */
int32_t sqi_plan_value(sq_tape *t, sqi_plan *p, sqi_value v);

/* plan_values.c: reads the trace; products and their sums are brought into normal form. */
bool sqi_plan_read(sq_tape *t, sqi_plan *p, const sqi_trace *trace);

/* plan_tasks.c: merges, fuses, orders, and decides where values lie. */
bool sqi_plan_order(sq_tape *t, sqi_plan *p);

/* plan_watch.c: what a run under watch looks at. */
void sqi_plan_mark_lookouts(sqi_plan *p);
void sqi_chain_mark_lookouts(const sqi_plan *p, sqi_chain *c);

/* plan_back.c: the reverse program that keeps the gradients of tapped named values where something is
 * sent to the slots that are given, or, by NULL, to all; built at its first need. */
sqi_back *sqi_plan_back(sq_tape *t, sqi_plan *p, const bool *tapped, const bool *sent);

/* plan_pieces.c: how many tasks add to an outside value by themselves. */
int32_t sqi_plan_adders(const sqi_plan *p, const sqi_back *b, int32_t outer);

/* ---- Rows that repeat ----------------------------------------------------------------------- */

/* Row i of x, all steps behind each other, is row ids[i] of a table of so many rows. */
typedef struct sqi_source {
    const int32_t *ids;
    int64_t n, rows;
} sqi_source;

/* The rows of x that differ from each other, numbered as they come. */
typedef struct sqi_distinct {
    int64_t of;     /* rows of the table */
    int64_t n;      /* of them that occur */
    int32_t *row;   /* [steps * batch] the number of each row of x */
    int64_t *first; /* [n] where it occurs first */
} sqi_distinct;

/* Where the rows of the input come from, when they repeat often enough: told from sizes alone. */
bool sqi_rows_source(const sq_tape *t, const sqi_trace *trace, int64_t steps, sqi_source *s);

/* ---- One unroll ----------------------------------------------------------------------------- */

enum { SQI_NO_STEP = -1 };

/* Rows that end at different steps (plan_rows.c), sorted by length, the longest first: rows 0 to
 * sqi_active - 1 take part in a step. */
typedef struct sqi_shrunk {
    int64_t batch;
    int64_t steps;   /* that any row takes part in */
    int64_t *before; /* [-1 .. T + 1] rows of all steps before one; before[-1] = -batch */
    int32_t *order;  /* [batch] the caller's number of each row */
    int32_t *length; /* [batch] how many steps it takes part in */
    int32_t *begin;  /* [steps] where the step's block begins */
    int64_t most_rows, most_steps; /* of a block */
    char *x;                       /* the input, sorted */
} sqi_shrunk;

static inline int64_t sqi_active(const sqi_shrunk *g, int64_t step)
{
    return g->before[step + 1] - g->before[step];
}

/* The gradients of a slot by index, which is the step; of a state the step + 1, that of the initial
 * state first. Pages of `run` of them are made when something of theirs is needed: one page of all,
 * or, under a budget, small ones. */
typedef struct sqi_pages {
    char **page;
    int64_t run, n; /* n: how many indices there are in all */
} sqi_pages;

enum {
    SQI_SEEDED = 1, /* something was sent to it from outside the span */
    SQI_WANTED = 2  /* under a budget: its gradient is asked for */
};

/* What one lane's sweep left behind. Slots: states, then the output, then named values. */
typedef struct sqi_wake {
    uint64_t stamp;
    int64_t top;           /* the highest step that was seeded, or SQI_NO_STEP */
    sqi_pages *grad;       /* [n_slots] */
    unsigned char **marks; /* [n_slots] [steps] or NULL */
    bool *any;             /* [n_slots] something was marked */
    bool *tapped;          /* [n_named] whose gradients are kept */
    bool *arrives;         /* [n_slots] the sweep came there; else a gradient is 0 */
} sqi_wake;

typedef struct sqi_planned {
    sqi_span span; /* first: a span is one of these */
    sqi_plan *plan;
    sqi_segment *home;
    int64_t block;      /* steps of a block */
    sqi_shrunk *shrunk; /* NULL: every row takes part in every step */
    uint64_t version;   /* of the weights, counted from 1 */
    uint64_t seed;      /* of random numbers, and the run they belong to */
    sqi_chance run;
    void *x, **outer;                 /* where the operands' values lie; outer: [n_outer] */
    int32_t first_state, first_outer; /* among the operands of the span; x is 0 */
    char **kept;                      /* [n_values] arrays of KEPT values */
    sqi_distinct *rows;               /* of x, where the plan multiplies them; or NULL */
    sqi_wake wake[SQI_N_LANES];
    bool *tapped; /* [n_named] somebody asked for its handle */
    uint64_t **
        *handles; /* [n_slots] pages of ids of parts, 0: not yet; after the last step: all */
    struct sqi_stretches *stretch; /* NULL: every step is kept */
    struct sqi_fan *fan;           /* while losses are collected that go back together */
    size_t beside;                 /* bytes of gradients, handles and values made later */
} sqi_planned;

/* Somebody who looks at the gradients of named values while they are there. In `room`, for a step of the
 * largest, they are brought into the caller's order where rows end. */
typedef struct sqi_named_look {
    void (*see)(struct sqi_named_look *l, int32_t named, int64_t step, const void *grad);
    char *room;
} sqi_named_look;

/* What an unroll keeps that does not keep all steps. */
typedef struct sqi_stretches {
    sq_checkpoint_problem problem; /* in units of `unit` steps */
    bool records;                  /* not for inference */
    int64_t unit;
    int64_t piece;      /* steps run at once */
    int64_t origin, at; /* the arrays hold steps origin .. at - 1; `present` enters step `at` */
    bool turned;        /* the schedule stands where the forward run left it */
    int64_t n_snapshots, *snapshot; /* which step each holds, or SQI_NO_STEP */
    size_t states;                  /* bytes of the states of one step, each aligned */
    char *area, *present, *carry, *scratch;
    size_t area_bytes, scratch_bytes;
    int32_t threads; /* whose scratch is counted */
    int64_t *sizes;  /* room for the widths of a deferred product */
    char *partials;  /* sums of weight gradients of an unfinished block; NULL: not needed */
    size_t partial_bytes;
    char *last;                  /* the states after the last step */
    char *outputs, *last_output; /* asked for, or NULL */
    bool state_grads;
    sqi_named_look *look;    /* of what is tapped and no state, or NULL */
    int64_t recorded, swept; /* steps run at first, and by the last sweep */
    size_t bytes;            /* all that the budget is for */
    sq_checkpoint_cost predicted;
    double seconds; /* of scheduling */
} sqi_stretches;

static inline int32_t sqi_slot_output(const sqi_plan *p) { return p->n_states; }
static inline int32_t sqi_slot_named(const sqi_plan *p, int32_t j)
{
    return p->n_states + 1 + j;
}
static inline int32_t sqi_n_slots(const sqi_plan *p) { return p->n_states + 1 + p->n_named; }

/* The value of a slot. */
static inline int32_t sqi_slot_value(const sqi_plan *p, int32_t slot)
{
    return slot < p->n_states    ? p->leaves[slot]
           : slot == p->n_states ? p->output
                                 : p->named[slot - p->n_states - 1];
}

static inline size_t sqi_value_bytes(const sqi_plan *p, int32_t v)
{
    return (size_t)p->values[v].size * sq_dtype_size(p->dtype);
}

/* Bytes as memory of a run is dealt out. */
static inline size_t sqi_aligned(size_t bytes)
{
    return (bytes + SQI_ALIGN - 1) / SQI_ALIGN * SQI_ALIGN;
}

/* plan_span.c: records the span of a traced step and runs it forward; NULL after posting. With lengths
 * the step is that of a masked cell, which hands on the states of rows that have ended and gives
 * out 0: these may be left out. */
sqi_planned *sqi_plan_unroll(sq_tape *t, const sqi_trace *trace, int64_t steps,
                             const sq_unroll_options *o);

/* plan_gather.c: numbers the rows, in memory of the segment; NULL after posting. */
sqi_distinct *sqi_rows_number(sq_tape *t, sqi_planned *u, const sqi_source *s);

/* Memory of the segment that holds the span; `exact`: for what is large, without spare room. NULL
 * after posting. */
void *sqi_planned_take(sq_tape *t, sqi_planned *u, size_t n, size_t size, bool exact);

/* Where the value of operand k of the span lies. */
void *sqi_planned_operand(const sqi_planned *u, int32_t k);

/* plan_pieces.c: whether blocks can be reversed in pieces with the same bits. */
bool sqi_divisible(const sqi_planned *u, const sqi_back *b);

/* Looks up where the operands lie: a cut moves those whose source dies. */
void sqi_planned_bind(sqi_planned *u);

/* A variable for a part (SQI_ALL_STEPS: [steps,...]); no value after posting. */
sq_var sqi_planned_part(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step);

/* The slot of the last value that bears the name, or -1. */
int32_t sqi_planned_named(const sqi_planned *u, const char *name);

/* Where the value of a part lies; a copy where rows are sorted; NULL when it was dropped, or after
 * posting. */
void *sqi_planned_value(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step);

/* ---- plan_rows.c ---- */

/* Whether steps may be run on some of their rows. */
bool sqi_plan_shrinks(const sqi_plan *p);

/* Sorts the rows by length, in blocks of about so many rows or, where such a block could not be
 * reversed in pieces, of u->block steps; false after posting. */
bool sqi_shrunk_make(sq_tape *t, sqi_planned *u, const int32_t *lengths, int64_t rows);

/* Brings the input into the rows' order, false after posting; and initial state k. */
bool sqi_shrunk_enter(sq_tape *t, sqi_planned *u);
void sqi_shrunk_initial(const sqi_planned *u, int32_t k, char *to);

/* Under a budget: state k of all rows, as it enters `step`, moves out of the arrays or into them. One
 * that has ended by then is as it was; one that ended before the arrays begin has no place there. */
void sqi_shrunk_states(const sqi_planned *u, int32_t k, int64_t step, bool out, char *present);

/* Sets rows that have ended, in the caller's order, to 0. */
void sqi_shrunk_clear(const sqi_planned *u, int32_t slot, int64_t step, char *rows);

/* Where a row of a KEPT array lies. */
char *sqi_shrunk_at(const sqi_planned *u, int32_t v, int64_t step, int64_t row);

/* Writes the value of a slot after a step for all rows in the caller's order: where a row has
 * ended, its state as it was, or 0. */
void sqi_shrunk_value(const sqi_planned *u, int32_t slot, int64_t step, char *to);

/* Bytes of a step of value v, or of a row where rows are left out; and of a KEPT array. */
static inline size_t sqi_unit_bytes(const sqi_planned *u, int32_t v)
{
    return sqi_value_bytes(u->plan, v) / (size_t)(u->shrunk ? u->plan->batch : 1);
}
size_t sqi_kept_bytes(const sqi_planned *u, int32_t v);

/* plan_wake.c: the sqi_span functions. */
void *sqi_wake_seed(sqi_span *span, sq_tape *t, int lane, int32_t slot, int64_t step,
                    bool zero);
const void *sqi_wake_grad(const sqi_span *span, const sq_tape *t, int lane, int32_t slot,
                          int64_t step, bool *kept);
bool sqi_wake_reached(const sqi_span *span, const sq_tape *t, int lane);

/* The reverse program for what was sent to the span; NULL after posting. */
sqi_back *sqi_wake_back(sq_tape *t, sqi_planned *u, int lane);

/* Makes every array that a reverse run writes; false after posting. */
bool sqi_wake_ready(sq_tape *t, sqi_planned *u, int lane);

/* Where the gradient of a part lies; NULL where there is no page. */
char *sqi_wake_at(const sqi_planned *u, int lane, int32_t slot, int64_t step);

static inline bool sqi_wake_marked(const sqi_wake *w, int32_t slot, int64_t step, int mark)
{
    return w->marks[slot] && w->marks[slot][step] & mark;
}

/* plan_run.c, plan_sweep.c */
bool sqi_plan_forward(sq_tape *t, sqi_planned *u);
bool sqi_plan_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx);

/* plan_fan.c: the losses of many sweeps go back through an unroll together, one that keeps all steps
 * and rows. While it is open, sweeps in the probe lane end at the unroll. */
typedef struct sqi_fan sqi_fan;

/* Somebody who is shown dL/dh_s of every loss: state k of all rows after step s, the total. It may be
 * called on several threads, for one loss always on the same. */
typedef struct sqi_fan_look {
    void (*see)(struct sqi_fan_look *l, int64_t loss, int32_t k, int64_t step,
                const void *grad);
} sqi_fan_look;

/* How many losses are best taken back at once. */
int64_t sqi_fan_copies(const sqi_planned *u);

/* NULL after posting. */
sqi_fan *sqi_fan_open(sq_tape *t, sqi_planned *u, int64_t copies, sqi_fan_look *look);

/* After a sweep: what it brought belongs to the loss of that number. When there are enough of them they
 * go back. False after posting. */
bool sqi_fan_swept(sqi_fan *f, int64_t loss);

/* The rest goes back; sweeps are what they were. False after posting. */
bool sqi_fan_close(sqi_fan *f);

/* plan_budget.c: the same for an unroll that does not keep all steps. sqi_stretch_make lays out its
 * memory; false after posting: the budget is too small, no memory. */
bool sqi_stretch_make(sq_tape *t, sqi_planned *u, const sq_unroll_options *o);
bool sqi_stretch_forward(sq_tape *t, sqi_planned *u);
bool sqi_stretch_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx);

/* The value of a part, where it is kept; otherwise NULL: sqi_stretch_value runs the steps up to it
 * again and keeps it, sqi_stretch_read writes it elsewhere; false after posting. */
void *sqi_stretch_kept(const sqi_planned *u, int32_t slot, int64_t step);
bool sqi_stretch_read(sqi_planned *u, sq_tape *t, int32_t slot, int64_t step, void *to);
void *sqi_stretch_value(sqi_span *span, sq_tape *t, int32_t slot, int64_t step);

/* Where the states lie that enter the next step to be run. */
char *sqi_stretch_present(const sqi_planned *u, int32_t k);

sq_unrolled_memory sqi_planned_memory(const sqi_planned *u);

/* plan_push.c: forward mode, as sqi_span has it. */
bool sqi_plan_push(sqi_span *span, sq_tape *t, struct sqi_tangents *tangents);

/* plan_explain.c: as sq_plan_explain. */
size_t sqi_plan_explain(const sqi_planned *u, char *buf, size_t n);

#endif
