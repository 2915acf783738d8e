/* tape_impl.h -- nodes, segments, the tape: the picture and the invariants.
 *
 *     tape   root | live[0] live[1] ... live[n-1]        ordinals of live segments consecutive
 *                              |
 *     segment   nodes     0: none  1: import h  2: use W  3: matmul(1,2)  4: tanh(3) ...
 *               operands  [1,2, 3, ...]           indices in the same segment, always smaller
 *               arena     values, attributes, names, kept gradients
 *
 * Invariants (sq_tape_check verifies them):
 *   - A node's operands are earlier nodes of its own segment. The past enters only by imports.
 *   - An import's source lives in an older live segment or the root, is no import itself, and
 *     has the import's shape and address. A cut turns an import whose source dies into a
 *     constant.
 *   - A use refers to a weight of the tape's params; its segment holds a reference to the
 *     version of the weights whose memory it points to.
 *   - NEEDS is set when some leaf, unfrozen weight or marked variable reached the node as it
 *     was recorded; gradients flow only there. A cut leaves it: states of the window keep
 *     theirs.
 *   - A view shares memory only within its own segment and with the root.
 *   - A gradient slot is meaningful only when its stamp is that of the current sweep (of the
 *     last zeroing for leaves). KEEP gradients live in the segment's arena, others in scratch
 *     memory that is reused for every segment; those of the step that holds the loss in the
 *     tail.
 *   - A segment with a span holds many steps: one node stands for all of them, its parts
 *     (states, outputs, named values of single steps) are nodes made when someone asks for
 *     them, after it.
 *   - A dead node stands for nothing any more: it was only traced, or its step was cut out of a
 *     span. Nothing refers to it, and its handles are stale.
 *   - While a step is traced, operations are recorded with their shapes but without a value.
 * A gradient reaching an import is added straight to its source's: no copy, and T steps that
 * slice one [T,B,I] input cost O(T), not O(T^2). */
#ifndef SQ_CORE_TAPE_IMPL_H
#define SQ_CORE_TAPE_IMPL_H

#include "core/arena_impl.h"
#include "core/error_impl.h"
#include "core/kernels/kernels.h"
#include "core/op.h"
#include "core/params_impl.h"
#include "core/pool_impl.h"
#include "core/shape_impl.h"
#include "core/tape.h"

enum { SQI_INDEX_BITS = 24, SQI_MAX_INDEX = (1 << SQI_INDEX_BITS) - 1 };

enum {
    SQI_NEEDS = 1,  /* a leaf, an unfrozen weight or a marked variable reaches it */
    SQI_KEEP = 2,   /* its gradient stays readable: leaf, state, named, marked */
    SQI_STATE = 4,  /* a state of an unroll: an immediate sweep stops here */
    SQI_USED = 8,   /* an operand of something */
    SQI_DEAD = 16,  /* stands for nothing any more: handles to it are stale */
    SQI_ASKED = 32, /* named or marked: its gradient may be read after any sweep */
    SQI_SUMMED = 64 /* its gradient was summed up over rows that are equal: not to be read */
};

/* Two lanes of gradients: the user's sweeps, and probes that must not disturb them. */
enum { SQI_LANE_USER, SQI_LANE_PROBE, SQI_N_LANES };

typedef struct sqi_slot {
    void *at;
    uint64_t stamp;
    bool owned; /* `at` lies in the segment's arena, not in scratch memory */
} sqi_slot;

typedef struct sqi_node {
    const sq_op *op;
    const sq_attr *attr;
    void *value;
    sq_shape shape;
    uint32_t first; /* operands[first .. first + n) */
    int32_t n;
    uint32_t flags;
    sqi_slot grad[SQI_N_LANES];
    const char *name;
    uint64_t source;   /* import: id of the node it stands for; use: weight id */
    uint64_t version;  /* use: number of the version */
    uint64_t imported; /* id of the newest import of this node, or 0 */
    uint64_t listed;   /* number of the ledger that lists it as a state */
} sqi_node;

/* The inside of a segment that holds many steps: whoever recorded it (graph/plan) knows how to
 * reverse it. Its parts are told by a slot, its own numbering, and a step counted from the
 * segment's first; SQI_ALL_STEPS is the whole of a slot, [steps,...]. */
enum { SQI_ALL_STEPS = -1 };
struct sqi_tangents;
typedef struct sqi_span {
    int64_t steps;
    int64_t low;   /* steps before it were cut */
    uint32_t node; /* stands for all of it; its operands are what it takes from outside */
    /* Where a sweep adds what arrives at a part, which is marked as reached: zeroed at its
     * first touch in the lane's sweep, unless all of it is about to be written (not `zero`).
     * NULL after posting. */
    void *(*seed)(struct sqi_span *span, sq_tape *t, int lane, int32_t slot, int64_t step,
                  bool zero);
    /* The part's gradient after the lane's last sweep, NULL for zeros; *kept = false when it
     * was not kept. */
    const void *(*grad)(const struct sqi_span *span, const sq_tape *t, int lane, int32_t slot,
                        int64_t step, bool *kept);
    /* Whether the lane's present sweep reached a part. */
    bool (*reached)(const struct sqi_span *span, const sq_tape *t, int lane);
    /* Adds to gx[k] what flows to operand k of the node, where it is not NULL; with
     * `immediate`, without what a step sends to the states of the step before. False after
     * posting. */
    bool (*reverse)(struct sqi_span *span, sq_tape *t, int lane, bool immediate,
                    void *const *gx);
    /* Of a span that runs steps again (rerun.c); NULL elsewhere. The value of a part that was made
     * without one, in memory of the segment; NULL after posting. What goes with the segment. Why
     * a gradient was not kept. */
    void *(*value)(struct sqi_span *span, sq_tape *t, int32_t slot, int64_t step);
    void (*release)(struct sqi_span *span, sq_tape *t);
    const char *unkept;
    /* Forward mode: from the tangents of the node's operands and of parts (core/tangent_impl.h) to
     * those of all its parts. False after posting. */
    bool (*push)(struct sqi_span *span, sq_tape *t, struct sqi_tangents *tangents);
} sqi_span;

typedef struct sqi_watch sqi_watch;

typedef struct sqi_segment {
    uint64_t ordinal;
    int64_t step;   /* -1: root, or between steps */
    sqi_span *span; /* NULL: one step, or none */
    sqi_arena arena;
    sqi_node *nodes; /* nodes[0] is "no value" */
    uint32_t n_nodes, node_room;
    uint32_t *operands;
    uint32_t n_operands, operand_room;
    sqi_version **versions; /* references held */
    uint32_t n_versions, version_room;
    uint64_t oldest_import; /* smallest ordinal imported from outside the root */
    sqi_watch *watch;       /* what is looked for in it, or NULL; a reference (watch.c) */
    const uint32_t
        *leaves; /* watched: the nodes that leave as the states of an unroll, or NULL */
    struct sqi_segment *next_free;
} sqi_segment;

/* From `ordinal` on, segments are steps `step`, step + 1, ...: for telling which step a dead
 * handle belonged to. Only the newest few are remembered. */
typedef struct sqi_landmark {
    uint64_t ordinal;
    int64_t step;
    int64_t span; /* that segment alone holds so many steps; 0: one step each */
    bool between; /* one segment after `step`, not a step */
} sqi_landmark;

enum { SQI_N_LANDMARKS = 64 };

typedef struct sqi_use {
    uint64_t id, version;
} sqi_use;

/* Where random numbers are drawn (draw.c). */
typedef struct sqi_chance {
    uint64_t serial; /* of the run */
    int64_t first;   /* the run's first step */
    uint64_t taken;  /* streams taken in the current step */
    bool unrolling;  /* within sq_unroll */
} sqi_chance;

/* An outside value, and the node of home that stands in for it once it is cut. */
typedef struct sqi_alias {
    uint64_t id;
    uint32_t index;
    uint32_t needs; /* SQI_NEEDS or 0 */
} sqi_alias;

/* How a span's steps are run again: what is as it was, and what is put aside meanwhile. */
typedef struct sqi_rerun {
    sqi_segment *home;
    sqi_chance run;
    uint64_t seed;
    sqi_alias *alias; /* by id */
    uint32_t n_alias, alias_room;

    struct sqi_rerun *outer;
    sqi_segment *current;
    const char *doing;
    sqi_chance now;
    uint64_t seed_now;
    sqi_watch *watch;
    bool tracing;
} sqi_rerun;

struct sq_tape {
    sq_dtype dtype;
    const sq_kernels *kern;
    sq_params *params;
    sqi_error error;
    const char *doing; /* the operation at work, for messages */
    bool deriving;     /* weights of older versions may be used again */
    bool inference;    /* values only: nothing is swept, older steps are forgotten */
    int32_t holding;   /* > 0: an unroll whose steps begin steps themselves needs them all */
    bool tracing;      /* operations of this step are recorded without arithmetic */
    const sqi_segment
        *spaced;          /* operations recorded there leave room behind them (interpose.c) */
    const char *untraced; /* why the last tracing ended early, or NULL */
    sqi_watch *watch;     /* what is looked for in all that is recorded now, or NULL */
    int32_t naming; /* so many operands, past the segment's last, are known to a message */

    sqi_segment *root, *current;
    sqi_segment **live;
    uint32_t n_live, live_room;
    uint64_t next_ordinal;
    int64_t next_step;
    sqi_landmark landmarks[SQI_N_LANDMARKS];
    uint64_t n_landmarks; /* ever pushed; the newest SQI_N_LANDMARKS are kept */

    sqi_segment **aside; /* steps beside the line (rerun.c), by ordinal */
    uint32_t n_aside, aside_room;
    uint64_t asides;  /* ever opened */
    sqi_rerun *rerun; /* at work, or NULL */

    sqi_segment *free_segments;
    size_t hints[3]; /* arena hints of root, steps, and what lies between steps */
    sqi_pool pool;
    sqi_arena scratch;
    sqi_arena tail; /* gradients of the step that holds the loss: kept until the next sweep */
    uint64_t tail_ordinal; /* that step's segment, or 0 */
    size_t array_bytes;    /* allocated outside the pool */

    uint64_t sweep[SQI_N_LANES]; /* stamp of the last sweep */
    uint64_t ledgers;            /* taken so far */
    bool swept;                  /* since the last reset, by the user */
    uint64_t zeroing;            /* stamp of the last sq_zero_grads */
    void *grads;                 /* flat weight gradients */
    int64_t n_grads;
    bool grads_invalid;
    struct sqi_parts *parts; /* of the probe at work: where gradients of weights go, or NULL */

    sqi_use *uses; /* by weight id: the newest use */
    uint32_t use_room;
    sq_shape *call_shapes; /* operands of the call being made */
    const void **call_x;
    void **call_gx;
    uint32_t shape_room, x_room, gx_room;

    int32_t threads;        /* that plans run on */
    sqi_workers *workers;   /* NULL until they are needed */
    struct sqi_plan *plans; /* graph/plan's cache, and how to free it */
    void (*free_plans)(sq_tape *t);

    uint64_t seed, runs; /* runs: the newest that is counted */
    sqi_chance chance;
};

/* Nodes that are not operations. */
extern const sq_op sqi_op_constant, sqi_op_leaf, sqi_op_import, sqi_op_use, sqi_op_detach;
extern const sq_op sqi_op_span; /* all steps of a span */
extern const sq_op sqi_op_part; /* a part of a span: source is its slot, version its step */
extern const sq_op sqi_op_accumulate;
extern const sq_attr sqi_no_attr;

static inline uint64_t sqi_id(uint64_t ordinal, uint32_t index)
{
    return ordinal << SQI_INDEX_BITS | index;
}
static inline uint64_t sqi_ordinal(uint64_t id) { return id >> SQI_INDEX_BITS; }
static inline uint32_t sqi_index(uint64_t id) { return (uint32_t)(id & SQI_MAX_INDEX); }

static inline size_t sqi_bytes(const sq_tape *t, const sq_shape *s)
{
    return (size_t)sqi_shape_size(s) * sq_dtype_size(t->dtype);
}

/* A part's step, counted from its segment's first, or SQI_ALL_STEPS. */
static inline int64_t sqi_part_step(const sqi_node *part) { return (int64_t)part->version; }

/* The last step a segment holds; -1 outside steps. */
static inline int64_t sqi_last_step(const sqi_segment *s)
{
    return s->span ? s->step + s->span->steps - 1 : s->step;
}

/* The step a node of the segment belongs to: of a part its own, of what is taken from all steps
 * the last one. */
static inline int64_t sqi_step_of(const sqi_segment *s, const sqi_node *n)
{
    bool one = n->op == &sqi_op_part && sqi_part_step(n) != SQI_ALL_STEPS;
    return one ? s->step + sqi_part_step(n) : sqi_last_step(s);
}

/* How many steps of a segment are not cut. */
static inline int64_t sqi_steps_left(const sqi_segment *s)
{
    return s->span ? s->span->steps - s->span->low : s->step >= 0;
}

/* The live segment of that ordinal, or NULL. */
sqi_segment *sqi_segment_find(const sq_tape *t, uint64_t ordinal);

/* The node an id names, or NULL when it is stale or was never made. */
static inline sqi_node *sqi_node_find(const sq_tape *t, uint64_t id)
{
    uint64_t o = sqi_ordinal(id);
    uint32_t i = sqi_index(id);
    const sqi_segment *s = o == t->current->ordinal ? t->current : sqi_segment_find(t, o);
    return s && i && i < s->n_nodes && !(s->nodes[i].flags & SQI_DEAD) ? &s->nodes[i] : NULL;
}

/* The node itself, or the source it was imported from. */
sqi_node *sqi_node_source(const sq_tape *t, sqi_node *n);

/* The node of a variable handed in by a user, with everything checked; NULL after posting.
 * `what` begins the sentence: "operand 2", "the loss". */
sqi_node *sqi_node_of(sq_tape *t, sq_var v, const char *what);

/* Opens a segment (step >= 0: a step) and makes it current; false after posting. */
bool sqi_segment_open(sq_tape *t, int64_t step);

/* A segment off the tape, recycled or new; NULL after posting. */
sqi_segment *sqi_segment_take(sq_tape *t);

/* Returns a segment's memory to the tape. */
void sqi_segment_release(sq_tape *t, sqi_segment *s);

/* Memory of the current segment; NULL after posting. */
void *sqi_tape_alloc(sq_tape *t, size_t bytes);

/* Makes room for `need` elements in an array that grows by doubling; false after posting. */
bool sqi_grow_to(sq_tape *t, void *array, uint32_t *room, uint64_t need, size_t element);
static inline bool sqi_grow(sq_tape *t, void *array, uint32_t *room, uint64_t need,
                            size_t element)
{
    return need <= *room || sqi_grow_to(t, array, room, need, element);
}

/* Brings an outside value into the current segment before it is used; false after posting. */
bool sqi_import(sq_tape *t, sq_var v);

/* interpose.c: puts the newest operation, which is computed from v and from what was recorded before v,
 * directly behind v: what used v now uses it. Returns it in its new place; where that cannot be,
 * because there is no room or v has no gradient, it stays where it is, used by nobody yet. */
sq_var sqi_interpose(sq_tape *t, sq_var v, sq_var newest);

/* Appends a node to the current segment; its index, or 0 after posting. */
uint32_t sqi_push(sq_tape *t, const sqi_node *n);

/* Sets n->value: a view of operand 0 where that is possible, otherwise fresh memory with the
 * result computed into it. t->call_shapes and t->call_x hold the operands; x0 is the first
 * one's node. False after posting. */
bool sqi_node_compute(sq_tape *t, sqi_node *n, const sqi_node *x0);

/* A value copied into a constant of the current segment; no value after posting. */
sq_var sqi_constant_copy(sq_tape *t, const sqi_node *n);

/* Allocates the flat gradients if needed; false after posting. */
bool sqi_grads_ready(sq_tape *t);

/* The version of that number which the segment holds, or NULL. */
sqi_version *sqi_version_held(const sqi_segment *s, uint64_t number);

/* sq_cut at the border of a segment: forgets what lies before the live segment of that ordinal, so
 * that what was recorded between steps, just before the first one kept, is kept too. Carried
 * variables must be live. */
sq_status sqi_cut_before(sq_tape *t, uint64_t ordinal, sq_var *carry, int32_t n);

/* Of a tape for inference: forgets what the newest step did not reach for. False after posting. */
bool sqi_forget_older(sq_tape *t);

/* False after posting that a tape for inference has no gradients. */
bool sqi_has_gradients(sq_tape *t);

/* ---- Tracing (trace.c) ---- */

/* From here on the operations of the current step are recorded without arithmetic: values are
 * NULL. A function that cannot do without computes what was put off and ends the tracing. */
void sqi_trace_begin(sq_tape *t);

/* Ends the tracing for the reason `why` ("reads a value"): computes all that was put off, so
 * that the step is an ordinary one. Does nothing when nothing is traced. False after
 * posting. */
bool sqi_trace_compute(sq_tape *t, const char *why);

/* Ends the tracing. NULL: nothing needed a value, the nodes of the step are a trace. Otherwise
 * why it is an ordinary step. */
const char *sqi_trace_end(sq_tape *t);

/* Computes one traced node of the current segment whose operands have values; false after
 * posting. */
bool sqi_trace_compute_node(sq_tape *t, uint32_t i);

/* ---- Random numbers (draw.c) ---- */

/* An unroll begins: a run of its own. What it returns is for the end of it. Within a step of another
 * unroll the serial is a number drawn there, so that the step draws the same when it is recorded
 * again. Recording a step of an unroll again means to set t->chance to what it was, with nothing
 * taken. */
sqi_chance sqi_run_begin(sq_tape *t);
void sqi_run_end(sq_tape *t, const sqi_chance *before);

/* Fills in the stream of an op that is recorded now; a made one is left. */
void sqi_draw(sq_tape *t, sq_draw *d);

/* The stream of a recorded draw at a step of the run. */
sq_random sqi_draw_at(uint64_t seed, const sqi_chance *run, const sq_draw *d, int64_t step);

/* ---- Spans (span.c) ---- */

/* Turns the traced current step into a segment of span->steps steps: nodes with index in `keep`
 * (imports, uses and computed ones) stay, the other traced ones die, and a node is pushed that
 * stands for the span, with `operands` (n of them) as operands. Time moves on to the last of
 * the steps. The span's memory is the segment's. False after posting. */
bool sqi_span_record(sq_tape *t, sqi_span *span, const bool *keep, const uint32_t *operands,
                     int32_t n);

/* A variable for a part, made at the first time of asking (the caller remembers it). flags:
 * NEEDS, KEEP, STATE. Of a step that was cut it is stale, as an eager step's would be. No value
 * after posting. */
sq_var sqi_span_part(sq_tape *t, uint64_t ordinal, int32_t slot, int64_t step, sq_shape shape,
                     void *value, const char *name, uint32_t flags);

/* Puts [steps] in front of the shape of a value, for the part of all steps. False after posting. */
bool sqi_span_stack(sq_tape *t, int64_t steps, sq_shape *s);

/* Whether a cut that keeps the steps of its span from `low` on forgets the node. */
bool sqi_span_loses(const sqi_node *n, int64_t low);

/* Forgets the steps of the segment's span before `low`, and their parts. */
void sqi_span_cut(sqi_segment *s, int64_t low);

/* For cuts of many steps at once to be told by dead handles: the segment holds `steps` of
 * them. */
void sqi_landmark_span(sq_tape *t, const sqi_segment *s, int64_t steps);

/* ---- Within a sweep that is under way (backward.c) ---- */

/* Reverses a segment beside the line. False after posting. */
bool sqi_reverse_aside(sq_tape *t, int lane, bool immediate, sqi_segment *g);

/* Where the lane's sweep adds what arrives at an operation or a constant, zeroed at its first
 * touch; NULL after posting. */
void *sqi_grad_open(sq_tape *t, int lane, sqi_segment *g, sqi_node *n);

/* ---- Steps beside the line (rerun.c) ---- */

#define SQI_ASIDE (UINT64_C(1) << (63 - SQI_INDEX_BITS))

sqi_segment *sqi_aside_find(const sq_tape *t, uint64_t ordinal);

/* Opens one for a step of the rerun at work and makes it current; NULL after posting. `hint`: the
 * bytes it will use. */
sqi_segment *sqi_aside_open(sq_tape *t, int64_t step, size_t hint);
void sqi_aside_close(sq_tape *t, sqi_segment *s);

/* From here to its end steps are recorded as r says. */
void sqi_rerun_begin(sq_tape *t, sqi_rerun *r);
void sqi_rerun_end(sq_tape *t, sqi_rerun *r);
void sqi_rerun_free(sq_tape *t, sqi_rerun *r);

/* Posts, and is false, inside a step that is run aside: for what would move time, or sweep. */
bool sqi_in_line(sq_tape *t);

sqi_alias *sqi_alias_find(const sqi_rerun *r, uint64_t id);
bool sqi_alias_add(sq_tape *t, sqi_rerun *r, sqi_alias a);

/* The node that stands in for a value that was cut, v then being its variable; else NULL. */
sqi_node *sqi_stand_in(const sq_tape *t, sq_var *v, uint32_t *needs);

/* Makes the segment as if nothing had been recorded into it, except that handles are dead. */
void sqi_segment_bury(sq_tape *t, sqi_segment *s);

/* Sees to it that a live node has its value: false after posting. */
bool sqi_value_ready(sq_tape *t, uint64_t id, sqi_node *n);

/* Starts a public function: false when the tape is NULL or failed; names it for messages. */
static inline bool sqi_begin(sq_tape *t, const char *name)
{
    if (!t || t->error.status) return false;
    t->doing = name;
    t->naming = 0;
    return true;
}
static inline sq_var sqi_none(sq_tape *t) { return (sq_var){ t, 0 }; }

#endif
