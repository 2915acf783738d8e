/* unroll_impl.h -- an eager unroll that does not keep its steps: its record, and who does what.
 *
 *     unroll_aside    one step, called aside (core/rerun.c), and the states between two steps
 *     unroll_budget   what it takes, the schedule, the way forward, parts and their values
 *     unroll_back     the sweep: stretch after stretch, as the schedule says
 *     unroll_push     forward mode
 *
 * A *slot* names what others may ask of a step: states 0 .. n-1, the output n, named values after
 * it. What somebody asked for has an entry by slot and step; only it has memory of its own.
 *
 *     step         0     1     2     3     4     5
 *     states    0     1     2     3     4     5     6
 *     at 3: a snapshot, or the holder: constants whose values are the present states. The steps of a
 *     stretch import from it and from each other; its gradients are carried to the stretch before. */
#ifndef SQ_GRAPH_UNROLL_IMPL_H
#define SQ_GRAPH_UNROLL_IMPL_H

#include "core/tape_impl.h"
#include "graph/unroll.h"

/* x_i, cut from the sequence; no value stays none. */
sq_var sqi_input_at(sq_var x, int64_t i);

/* T and B, as an unroll of this cell over x finds them; false after posting. */
bool sqi_unroll_sizes(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                      const sq_unroll_options *o, int64_t *steps, int64_t *batch);

/* State k is [B,width]; else false, after posting by the name `who`. */
bool sqi_check_state(sq_tape *t, const char *who, const sq_cell *cell, int32_t k, sq_var v,
                     int64_t batch);

/* Closes a step whose cell left `state` and *y: states get gradients and nodes of their own, *y
 * becomes the output that is handed out. first: nodes before it brought x and the states in. */
bool sqi_step_close(sq_tape *t, const sq_cell *cell, sq_var *state, sq_var *y, int64_t batch,
                    uint32_t first);

/* A step recorded aside. */
typedef struct sqi_aside_step {
    sqi_segment *s;
    uint32_t output; /* its node, or 0 */
    uint32_t *leave; /* [n_states] nodes of the states */
    size_t held;     /* bytes of its memory that are counted */
} sqi_aside_step;

/* From step `from` on, steps record what has this print. */
typedef struct sqi_print {
    int64_t from;
    uint64_t print;
} sqi_print;

/* What somebody asked of one step. */
typedef struct sqi_asked {
    uint64_t id; /* of the part, 0: not yet */
    char *value;
    char *grad[SQI_N_LANES];
    uint64_t stamp[SQI_N_LANES]; /* of the sweep that wrote grad */
} sqi_asked;

typedef struct sqi_slot_of {
    const char *name;   /* of a state or a named value */
    const char *called; /* what every step names it, or NULL */
    sq_shape shape;
    size_t bytes;
    bool needs;       /* a gradient flows to it */
    sqi_asked last;   /* of the last step */
    sqi_asked **step; /* [steps] of the others, or NULL: nothing was asked for */
} sqi_slot_of;

/* Somebody who looks at steps while they are there; false after posting. */
typedef struct sqi_visit {
    bool (*step)(struct sqi_visit *v, const sqi_aside_step *step, int64_t i);
} sqi_visit;

/* Sizes of the largest step. */
typedef struct sqi_step_sizes {
    size_t arena;   /* values, attributes and kept gradients */
    size_t scratch; /* other gradients, during a sweep */
    uint32_t nodes, operands;
} sqi_step_sizes;

/* States between two steps; those before step 0 need none. */
typedef struct sqi_snapshot {
    int64_t step; /* 0: free */
    char *values;
} sqi_snapshot;

typedef struct sqi_budget {
    sqi_span span; /* first: a span is one of these */
    sqi_rerun again;
    sq_tape *tape;
    sq_cell cell;
    sq_unroll_options options;
    sq_var x, *state0, *state; /* state [n_states]: the present ones */
    int64_t batch, at;         /* at: before which step they stand */

    sqi_slot_of *slot;
    int32_t n_states, n_slots;
    bool has_output, told; /* the first step has told what a step is */
    bool whole;            /* every step has run once */
    sqi_step_sizes sizes;
    bool grown; /* a step was larger than those before it */
    sqi_print *print;
    uint32_t n_print, print_room;

    char *block; /* the holder's values and gradients, carried gradients */
    size_t block_bytes, states_bytes;
    char *held_values, *held_grads, *carry;
    sqi_snapshot *snapshot;
    int64_t n_snapshots;
    bool *carried; /* [n_states] the later stretch sent something */
    sqi_segment *holder;
    sqi_aside_step *taped, loose; /* the stretch; a step outside it */
    int64_t n_taped;
    sq_checkpoint_schedule *schedule;
    bool turned; /* it stands at SQ_TURN */

    char *outputs, *outputs_grad[SQI_N_LANES];
    uint64_t outputs_stamp[SQI_N_LANES];
    uint64_t stamp[SQI_N_LANES]; /* of the lane's last sweep that reached it */
    int64_t top[SQI_N_LANES];    /* the highest step it reached */

    sqi_visit *visit; /* sees what is swept, its gradients being there, or NULL */
    sq_unrolled_memory memory;
    size_t held;             /* counted now */
    int64_t ran, ran_before; /* steps in the last sweep, and in the unroll */
} sqi_budget;

/* ---- unroll_rows.c ---- */

/* An unroll of ragged rows; tape, o, memory, steps and batch are set before. */
typedef struct sqi_ragged {
    sq_tape *tape;
    const sq_unroll_options *o;
    sqi_arena *memory; /* lives as long as this */
    int64_t steps, batch;
    float *
        taken; /* [T,B] 1 where a row takes a step, else 0, in the order of time; NULL: all do */
    int32_t columns; /* of flags, behind x */
    int32_t *ids;    /* [T*B] which row of x [T*B,..] is run in place of each; NULL: itself */
} sqi_ragged;

/* Puts a masked cell and its input in place of what the caller gave, where that is needed; initial: the
 * states that rows begin from. False after posting. */
bool sqi_ragged_begin(sqi_ragged *r, sq_cell *cell, sq_var *x, const sq_var *initial);

/* A masked cell that is called after sq_unroll has returned moves to the current segment. False
 * after posting. */
bool sqi_ragged_settle(sq_tape *t, sq_cell *cell);

/* Whether all outputs are needed for the last. */
bool sqi_ragged_keep_outputs(const sqi_ragged *r);

/* Which rows take which step, as they ran, for as long as the current segment; NULL: all do, or after
 * posting. */
const bool *sqi_ragged_takes(const sqi_ragged *r);

/* What is handed out of the outputs as they were run. */
sq_var sqi_ragged_outputs(const sqi_ragged *r, sq_var outputs);

/* ---- unroll_aside.c ---- */

/* Runs step b->at aside from the present states, which then are those it leaves. False after
 * posting; then nothing is open. */
bool sqi_aside_run(sqi_budget *b, sqi_aside_step *to);

/* Ends its memory; does nothing when it is not open. */
void sqi_aside_drop(sqi_budget *b, sqi_aside_step *step);

/* A segment of constants, the states that lie at `values`; NULL after posting. */
sqi_segment *sqi_aside_stand(sqi_budget *b, char *values, int64_t step);

/* The present states are now those constants; or the initial ones. */
void sqi_present(sqi_budget *b, const sqi_segment *stand, int64_t at);

/* Copies the present states out. */
void sqi_save_states(const sqi_budget *b, char *to);

/* Where state k lies among all. */
char *sqi_state_at(const sqi_budget *b, char *states, int32_t k);

/* The node of a slot in a step; 0: none. */
uint32_t sqi_slot_node(const sqi_budget *b, const sqi_aside_step *step, int32_t slot);

/* Bytes of a segment of such a step, of its array of nodes and operands too. */
size_t sqi_step_bytes(const sqi_step_sizes *sizes);

/* Runs all steps once more, from the first, two of them alive at a time, and shows them; what the
 * budget knows of itself stays as it was. */
bool sqi_budget_walk(sqi_budget *b, sqi_visit *v);

/* Counts what is held, for the peak. */
void sqi_count_held(sqi_budget *b, sqi_aside_step *step);

/* ---- unroll_budget.c ---- */

/* Steps between snapshots as they were asked for, SQ_EVERY_SQRT as a number; 0: by the budget. */
int64_t sqi_every_of(const sq_unroll_options *o, int64_t steps);

/* sq_checkpoint_new; the seconds that it took are added. */
sq_checkpoint_schedule *sqi_timed_schedule(const sq_checkpoint_problem *p, double *took);

/* Runs all steps into the current segment, which is the first step and has nothing in it; NULL after
 * posting. */
sqi_budget *sqi_budget_unroll(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                              int64_t steps, int64_t batch, const sq_unroll_options *options);

/* A variable for what a slot is at a step; SQI_ALL_STEPS: of the outputs, all. */
sq_var sqi_budget_part(sqi_budget *b, int32_t slot, int64_t step);

/* The same of what every step calls so, its gradient kept; no value where there is no such thing. */
sq_var sqi_budget_named(sqi_budget *b, const char *name, int64_t step);

sq_unrolled_memory sqi_budget_memory(const sqi_budget *b);

/* One action of the schedule, other than a reversal. False after posting. */
bool sqi_budget_act(sqi_budget *b, sq_checkpoint_action a);

void sqi_drop_snapshots(sqi_budget *b);

/* What was asked of a slot at a step; NULL: nothing, or after posting when it was to be made. */
sqi_asked *sqi_asked_of(sqi_budget *b, int32_t slot, int64_t step, bool make);

/* Memory of the home segment, zeroed; NULL after posting. */
void *sqi_budget_take(sqi_budget *b, size_t n, size_t size);

/* ---- unroll_back.c ---- */

void *sqi_budget_seed(sqi_span *span, sq_tape *t, int lane, int32_t slot, int64_t step,
                      bool zero);
const void *sqi_budget_grad(const sqi_span *span, const sq_tape *t, int lane, int32_t slot,
                            int64_t step, bool *kept);
bool sqi_budget_reached(const sqi_span *span, const sq_tape *t, int lane);
bool sqi_budget_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx);

/* ---- unroll_push.c ---- */

bool sqi_budget_push(sqi_span *span, sq_tape *t, struct sqi_tangents *tangents);

#endif
