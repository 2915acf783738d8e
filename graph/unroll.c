/* unroll.c -- the for loop over time, with the bookkeeping done right.
 *
 * The first step is recorded without arithmetic. When nothing in it needed a value it is a trace,
 * and a plan runs all steps; otherwise it has become an ordinary step, and the others follow.
 * Eagerly every step is a step of the tape. The step's output is handed out as a view of what the cell
 * returned: gradients that losses outside send to output t arrive at the view, the recurrence
 * goes past it, so the view's gradient is the immediate one and the state's own the total.
 * Slices of the input are views too, and gradients of views add straight into what they view, so
 * T steps cost O(T). */
#include "core/backward_impl.h"
#include "core/tape_impl.h"
#include "core/watch_impl.h"
#include "graph/moment_impl.h"
#include "graph/unroll_impl.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

struct sq_unrolled {
    sq_tape *tape;
    sq_cell cell; /* a copy: the caller's may go */
    int64_t steps;
    sq_var outputs;
    const char *why;      /* it ran eagerly */
    sqi_planned *planned; /* NULL: eagerly */
    sqi_budget *budget;   /* eagerly, without keeping the steps */
    sqi_segment *home;    /* of step 0, or of all */
    bool nested;          /* its steps begin steps themselves */
    int32_t flags;        /* columns behind those of x */
    const bool *takes;    /* [T,batch] which rows take their step, as they ran; NULL: all */
    int64_t batch;
    uint64_t first; /* ordinal of step 0 */
    sq_var *output; /* eagerly: [T] */
    sq_var *state; /* [T+1][n_states], initial states first; planned or under a budget: those */
    int32_t n_states;
};

/* ---- Before the first step ----------------------------------------------------------------- */

static bool has_value(sq_var v) { return v.tape && sqi_index(v.id); }

/* x and the given states belong here: found out before anything is recorded. */
static bool operands_are_ours(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0)
{
    if (has_value(x) && !sqi_node_of(t, x, "the input")) return false;
    for (int32_t k = 0; state0 && k < cell->n_states; k++) {
        char what[32];
        snprintf(what, sizeof what, "initial state %d", (int)k);
        if (has_value(state0[k]) && !sqi_node_of(t, state0[k], what)) return false;
    }
    return true;
}

static bool cell_is_sane(sq_tape *t, const sq_cell *cell)
{
    if (!cell || !cell->step || cell->n_states < 0 || (cell->n_states && !cell->width))
        return sq_post(t, SQ_EVALUE, "the cell has no step function or no widths");
    return true;
}

/* T and B from x, the states and the options. */
static bool find_sizes(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                       const sq_unroll_options *o, int64_t *steps, int64_t *batch)
{
    *steps = o->steps;
    *batch = o->batch;
    for (int32_t k = cell->n_states - 1; state0 && k >= 0; k--) {
        sq_shape s = has_value(state0[k]) ? sq_shape_of(state0[k]) : sq_scalar();
        if (s.rank == 2) *batch = s.dim[0];
    }
    if (has_value(x)) {
        sq_shape s = sq_shape_of(x);
        char text[SQ_SHAPE_TEXT];
        if (t->error.status) return false;
        if (!sqi_begin(t, "unroll") || s.rank != 3)
            return sq_post(t, SQ_ESHAPE, "the input has shape %s; a sequence is [T,B,I]",
                           sq_shape_text(s, text));
        *steps = s.dim[0];
        *batch = s.dim[1];
    }
    if (*steps < 0 || *batch < 0 || *steps > INT32_MAX)
        return sq_post(t, SQ_ERANGE, "cannot take %lld steps of %lld rows", (long long)*steps,
                       (long long)*batch);
    return !t->error.status;
}

static bool options_exist(sq_tape *t, const sq_unroll_options *o)
{
    if ((unsigned)o->outputs > SQ_OUTPUTS_NONE)
        return sq_post(t, SQ_EVALUE, "there is no form %d of outputs", (int)o->outputs);
    return (unsigned)o->mode <= SQ_PLAN ||
           sq_post(t, SQ_EVALUE, "there is no mode %d", (int)o->mode);
}

bool sqi_unroll_sizes(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                      const sq_unroll_options *o, int64_t *steps, int64_t *batch)
{
    return cell_is_sane(t, cell) && options_exist(t, o) &&
           operands_are_ours(t, cell, x, state0) &&
           find_sizes(t, cell, x, state0, o, steps, batch);
}

static const char *state_name(const sq_cell *cell, int32_t k)
{
    return cell->state_names && cell->state_names[k] ? cell->state_names[k] : "";
}

bool sqi_check_state(sq_tape *t, const char *who, const sq_cell *cell, int32_t k, sq_var v,
                     int64_t batch)
{
    sq_shape want = sq_mat(batch, cell->width[k]), got = sq_shape_of(v);
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (!sqi_begin(t, who)) return false;
    return sq_shape_equal(want, got) ||
           sq_post(t, SQ_ESHAPE, "state %d \"%s\" of cell %s has shape %s, not %s", (int)k,
                   state_name(cell, k), cell->name ? cell->name : "", sq_shape_text(got, a),
                   sq_shape_text(want, b));
}

/* The state itself when a gradient flows to it; otherwise a view of it that keeps one, so that
 * gradients of states exist even where every weight is frozen. */
static sq_var with_gradient(sq_tape *t, sq_var v)
{
    const sqi_node *n = sqi_node_find(t, v.id);
    return n && n->flags & SQI_NEEDS ? v : sq_keep_grad(sq_reshape(v, sq_shape_of(v)));
}

/* A node of this step for state k alone: one that the cell passes on unchanged, or gives out
 * twice, would mix the gradients of two steps or two states. Nodes before `first` brought the
 * states in. */
static sq_var own_node(sq_tape *t, const sq_var *state, int32_t k, uint32_t first)
{
    bool shared =
        sqi_ordinal(state[k].id) != t->current->ordinal || sqi_index(state[k].id) < first;
    for (int32_t i = 0; i < k; i++) shared |= state[i].id == state[k].id;
    return shared ? sq_reshape(state[k], sq_shape_of(state[k])) : state[k];
}

static bool initial_states(sq_unrolled *u, const sq_var *state0, int64_t batch)
{
    for (int32_t k = 0; k < u->n_states; k++) {
        bool given = state0 && has_value(state0[k]);
        u->state[k] = given ? state0[k] : sq_zeros(u->tape, sq_mat(batch, u->cell.width[k]));
        if (!sqi_check_state(u->tape, "unroll", &u->cell, k, u->state[k], batch)) return false;
        u->state[k] = with_gradient(u->tape, u->state[k]);
    }
    return !u->tape->error.status;
}

/* ---- The steps ----------------------------------------------------------------------------- */

sq_var sqi_input_at(sq_var x, int64_t i)
{
    if (!has_value(x)) return x;
    sq_shape s = sq_shape_of(x);
    return sq_reshape(sq_slice(x, 0, i, 1), sq_mat(s.dim[1], s.dim[2]));
}

bool sqi_step_close(sq_tape *t, const sq_cell *cell, sq_var *state, sq_var *y, int64_t batch,
                    uint32_t first)
{
    bool settled = false; /* whether y has been found among the states */
    if (t->error.status) return false;
    for (int32_t k = 0; k < cell->n_states; k++) {
        if (!sqi_check_state(t, "unroll", cell, k, state[k], batch)) return false;
        bool is_output = !settled && state[k].id == y->id;
        state[k] = with_gradient(t, own_node(t, state, k, first));
        sqi_declare_state(state[k]);
        if (is_output) *y = state[k];
        settled |= is_output;
    }
    if (has_value(*y)) *y = sq_keep_grad(sq_reshape(*y, sq_shape_of(*y)));
    return !t->error.status;
}

static bool finish_step(sq_unrolled *u, sq_var y, int64_t i, int64_t batch, uint32_t first)
{
    sq_var *state = u->state + (i + 1) * u->n_states;
    bool ok = sqi_step_close(u->tape, &u->cell, state, &y, batch, first);
    u->output[i] = y;
    return ok && sqi_watch_step(u->tape, state, NULL);
}

static bool one_step(sq_unrolled *u, sq_var x, int64_t i, int64_t batch)
{
    sq_tape *t = u->tape;
    sq_var *state = u->state + (i + 1) * u->n_states;
    for (int32_t k = 0; k < u->n_states; k++) state[k] = state[k - u->n_states];
    sq_begin_step(t);
    x = sqi_input_at(x, i);
    uint32_t first = t->current->n_nodes;
    sq_var y = u->cell.step(t, u->cell.self, x, state);
    return finish_step(u, y, i, batch, first);
}

/* ---- The first step, as a trace ------------------------------------------------------------ */

/* While tracing: a value that the step merely hands on is copied, so that it is the step's. */
static sq_var own_value(sq_tape *t, sq_var v, uint32_t first)
{
    if (!t->tracing || !has_value(v)) return v;
    bool ours = sqi_ordinal(v.id) == t->current->ordinal && sqi_index(v.id) >= first &&
                t->current->nodes[sqi_index(v.id)].n;
    return ours ? v : sq_reshape(v, sq_shape_of(v));
}

static uint32_t operand_of(const sqi_segment *s, uint32_t i)
{
    return s->operands[s->nodes[i].first];
}

/* Room for the indices of a trace behind each other. */
typedef struct first_step {
    sqi_trace trace;
    uint32_t *enters, *leaves, *initial;
} first_step;

static bool first_step_room(sq_tape *t, first_step *f, int32_t n, sqi_arena *memory)
{
    uint32_t *at = sqi_arena_alloc(memory, &t->pool, 3 * ((size_t)n + 1) * sizeof *at);
    if (!at) return sq_post(t, SQ_ENOMEM, "out of memory for a trace");
    f->trace.enters = f->enters = at;
    f->trace.leaves = f->leaves = at + n + 1;
    f->trace.initial = f->initial = at + 2 * (n + 1);
    return true;
}

/* Brings x and the states into the step. */
static sq_var enter(sq_unrolled *u, sq_var x, first_step *f)
{
    sq_tape *t = u->tape;
    sq_var *state = u->state + u->n_states;
    x = sqi_input_at(x, 0);
    for (int32_t k = 0; k < u->n_states; k++)
        state[k] = sq_reshape(u->state[k], sq_shape_of(u->state[k]));
    if (t->error.status) return x;
    f->trace.x = has_value(x) ? sqi_index(x.id) : 0;
    if (f->trace.x)
        f->trace.sequence = operand_of(t->current, operand_of(t->current, f->trace.x));
    for (int32_t k = 0; k < u->n_states; k++) {
        f->enters[k] = sqi_index(state[k].id);
        f->initial[k] = operand_of(t->current, f->enters[k]);
    }
    f->trace.first = t->current->n_nodes;
    return x;
}

/* Calls the cell without arithmetic. Sets why when it needed some after all, and then finishes
 * the step. */
static bool trace_step(sq_unrolled *u, sq_var x, int64_t batch, bool eager, first_step *f)
{
    sq_tape *t = u->tape;
    sq_var *state = u->state + u->n_states;
    sq_begin_step(t);
    if (t->error.status) return false;
    u->home = t->current;
    t->holding++;
    if (!eager) sqi_trace_begin(t);
    x = enter(u, x, f);
    sq_var y = t->error.status ? sqi_none(t) : u->cell.step(t, u->cell.self, x, state);
    bool settled = false;
    for (int32_t k = 0; t->tracing && k < u->n_states && !t->error.status; k++) {
        if (!sqi_check_state(t, "unroll", &u->cell, k, state[k], batch)) break;
        bool is_output = !settled && state[k].id == y.id;
        settled |= is_output;
        state[k] = own_value(t, own_node(t, state, k, f->trace.first), f->trace.first);
        f->leaves[k] = sqi_index(state[k].id);
        if (is_output) y = state[k];
    }
    y = own_value(t, y, f->trace.first);
    f->trace.output = has_value(y) ? sqi_index(y.id) : 0;
    f->trace.batch = batch;
    f->trace.n_states = u->n_states;
    u->why = eager ? "SQ_EAGER was asked for" : sqi_trace_end(t);
    return u->why ? finish_step(u, y, 0, batch, f->trace.first) : !t->error.status;
}

static bool cannot_plan(const sq_unrolled *u)
{
    return sqi_begin(u->tape, "unroll") &&
           sq_post(u->tape, SQ_EVALUE, "the cell %s cannot be planned: its step %s",
                   u->cell.name ? u->cell.name : "", u->why);
}

/* ---- All steps ----------------------------------------------------------------------------- */

static sq_var all_outputs(const sq_unrolled *u)
{
    if (!u->steps) return sq_zeros(u->tape, sq_vec(0));
    if (u->budget)
        return u->budget->has_output ? sqi_budget_part(u->budget, u->n_states, SQI_ALL_STEPS)
                                     : sqi_none(NULL);
    if (!u->planned) return sq_stack(u->output, (int32_t)u->steps);
    if (u->planned->plan->output < 0) return sqi_none(NULL); /* as an eager stack of nothing */
    return sqi_planned_part(u->tape, u->planned, sqi_slot_output(u->planned->plan),
                            SQI_ALL_STEPS);
}

static sq_var gather_outputs(const sq_unrolled *u, sq_outputs how)
{
    sq_tape *t = u->tape;
    switch (how) {
    case SQ_OUTPUTS_ALL: return all_outputs(u);
    case SQ_OUTPUTS_LAST: return sq_unrolled_output(u, u->steps - 1);
    case SQ_OUTPUTS_SUM: return u->steps ? sq_sum_axis(all_outputs(u), 0) : sq_constant(t, 0);
    case SQ_OUTPUTS_NONE: break;
    }
    return sqi_none(t);
}

static bool has_budget(const sq_unroll_options *o) { return o->budget_bytes || o->every; }

static bool budget_is_sane(sq_tape *t, const sq_unroll_options *o)
{
    if (o->budget_bytes > 0 && o->every)
        return sq_post(t, SQ_EVALUE, "budget_bytes and every exclude each other");
    if (o->policy != SQ_MIXED && o->policy != SQ_REVOLVE)
        return sq_post(t, SQ_EVALUE, "there is no policy %d", (int)o->policy);
    if (o->budget_bytes < 0)
        return sq_post(t, SQ_ERANGE, "budget_bytes is %lld: it cannot be negative",
                       (long long)o->budget_bytes);
    return o->every >= SQ_EVERY_SQRT ||
           sq_post(t, SQ_ERANGE,
                   "every is %lld: it must be a number of steps, 0 or SQ_EVERY_SQRT",
                   (long long)o->every);
}

static bool forgets_steps(const sq_unrolled *u, const sq_unroll_options *o)
{
    return u->tape->inference ? u->steps > 1 : has_budget(o);
}

/* The place of all steps, which are then run without a trace. */
static bool begin_without_trace(sq_unrolled *u)
{
    sq_begin_step(u->tape);
    u->home = u->tape->current;
    u->why = "SQ_EAGER was asked for";
    return !u->tape->error.status;
}

/* Runs the steps without keeping them. The first, if it was recorded, gives its place to all. A
 * cell whose step begins steps itself cannot be run so: for inference it keeps them after all. */
static bool without_keeping(sq_unrolled *u, sq_var x, int64_t batch, const sq_unroll_options *o)
{
    sq_tape *t = u->tape;
    if (t->current != u->home) {
        if (t->inference) return true;
        return sqi_begin(t, "unroll") &&
               sq_post(t, SQ_EVALUE, "a cell that begins steps itself cannot have a budget");
    }
    sqi_segment_bury(t, u->home);
    if (!sqi_ragged_settle(t, &u->cell)) return false;
    u->budget = sqi_budget_unroll(t, &u->cell, x, u->state, u->steps, batch, o);
    return u->budget != NULL;
}

/* Bytes of a record with the outputs and states of so many steps behind it. */
static size_t record_bytes(const sq_cell *cell, int64_t steps)
{
    size_t vars = (size_t)steps + ((size_t)steps + 1) * (size_t)cell->n_states;
    return sizeof(sq_unrolled) + vars * sizeof(sq_var);
}

static void lay_out(sq_unrolled *u, int64_t steps)
{
    u->output = (sq_var *)(void *)(u + 1);
    u->state = u->output + steps;
}

/* Begins with a record of one step; one that keeps a variable of every step grows before the second.
 * NULL after posting. */
static sq_unrolled *grow_record(const sq_unrolled *u, sqi_arena *memory)
{
    sq_tape *t = u->tape;
    sq_unrolled *all = sqi_arena_alloc(memory, &t->pool, record_bytes(&u->cell, u->steps));
    if (!all)
        return sq_post(t, SQ_ENOMEM, "out of memory for %lld steps", (long long)u->steps), NULL;
    *all = *u;
    lay_out(all, u->steps);
    all->output[0] = u->output[0];
    memcpy(all->state, u->state, 2 * (size_t)u->n_states * sizeof *u->state);
    return all;
}

/* Runs them; *record moves when it has to grow. */
static bool all_steps(sq_unrolled **record, sq_var x, int64_t batch, const sq_unroll_options *o,
                      sqi_arena *memory)
{
    sq_unrolled *u = *record;
    sq_mode mode = o->mode;
    first_step f = { .trace = { .batch = batch } };
    if (!u->steps) u->why = "there are no steps";
    else if (!first_step_room(u->tape, &f, u->n_states, memory)) return false;
    else if (mode == SQ_EAGER && has_budget(o) && !u->tape->inference) {
        if (!begin_without_trace(u)) return false;
    } else if (!trace_step(u, x, batch, mode == SQ_EAGER || !batch, &f)) return false;
    if (u->steps) u->first = u->tape->current->ordinal;
    u->nested = u->steps && u->tape->current != u->home;
    if (!u->why) u->planned = sqi_plan_unroll(u->tape, &f.trace, u->steps, o);
    else if (mode == SQ_PLAN && u->steps && batch) return cannot_plan(u);
    if (u->why && u->steps && forgets_steps(u, o) && !without_keeping(u, x, batch, o))
        return false;
    bool grows = u->why && !u->budget && u->steps > 1;
    if (grows && !(u = *record = grow_record(u, memory))) return false;
    for (int64_t i = 1; u->why && !u->budget && i < u->steps; i++)
        if (!one_step(u, x, i, batch)) return false;
    sq_end_step(u->tape);
    return !u->tape->error.status;
}

/* ---- The record of an unroll --------------------------------------------------------------- */

/* Steps are recorded with the record in memory of its own; at the end it moves to the segment
 * after the last step, so that it lives as long as that one. */
static sq_unrolled *keep_record(const sq_unrolled *u)
{
    bool lean = u->planned || u->budget;
    int64_t steps = lean ? 0 : u->steps;
    size_t bytes = record_bytes(&u->cell, steps), head = sizeof *u;
    sq_unrolled *kept = sqi_tape_alloc(u->tape, bytes);
    if (!kept) return NULL;
    *kept = *u;
    lay_out(kept, steps);
    const void *from = lean ? (const void *)u->state : (const void *)u->output;
    memcpy(kept->output, from, bytes - head);
    return kept;
}

static sq_unrolled *unroll(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                           const sq_unroll_options *o, sqi_arena *memory)
{
    int64_t steps, batch;
    if (!sqi_unroll_sizes(t, cell, x, state0, o, &steps, &batch) || !budget_is_sane(t, o))
        return NULL;
    sq_unrolled *u = sqi_arena_alloc(memory, &t->pool, record_bytes(cell, 1));
    if (!u) return sq_post(t, SQ_ENOMEM, "out of memory for an unroll"), NULL;
    *u = (sq_unrolled){
        .tape = t, .cell = *cell, .steps = steps, .batch = batch, .n_states = cell->n_states
    };
    lay_out(u, steps > 0);
    sqi_ragged rows = { .tape = t, .o = o, .memory = memory, .steps = steps, .batch = batch };
    sq_unroll_options inner = *o;
    if (!initial_states(u, state0, batch) || !sqi_ragged_begin(&rows, &u->cell, &x, u->state))
        return NULL;
    u->flags = rows.columns;
    if (sqi_ragged_keep_outputs(&rows)) inner.outputs = SQ_OUTPUTS_ALL;
    sqi_watch *outer;
    sq_watch watch = { o->watch_nonfinite, o->watch_limit, o->watch_growth, o->watch_steps };
    if (!sqi_watch_begin(t, &watch, steps, cell->n_states, cell->state_names, &outer))
        return NULL;
    bool ok = all_steps(&u, x, batch, &inner, memory);
    sqi_watch_end(t, outer);
    if (!ok) return NULL;
    u->cell = *cell;
    sq_unrolled *kept = keep_record(u);
    if (kept) kept->takes = sqi_ragged_takes(&rows);
    if (kept) kept->outputs = sqi_ragged_outputs(&rows, gather_outputs(kept, inner.outputs));
    return t->error.status ? NULL : kept;
}

const sq_unrolled *sq_unroll(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                             const sq_unroll_options *options)
{
    static const sq_unroll_options defaults = { .outputs = SQ_OUTPUTS_ALL };
    sqi_arena memory = { .newest = NULL };
    if (!sqi_begin(t, "unroll") || !sqi_trace_compute(t, "unrolls a cell")) return NULL;
    const char *outer = t->untraced; /* of the cell whose step this may be */
    int32_t holding = t->holding;
    sqi_chance before = sqi_run_begin(t);
    const sq_unrolled *u = unroll(t, cell, x, state0, options ? options : &defaults, &memory);
    sqi_run_end(t, &before);
    t->holding = holding;
    if (t->error.status) t->tracing = false;
    t->untraced = outer;
    sqi_arena_clear(&memory, &t->pool);
    return u;
}

/* ---- Reading it ---------------------------------------------------------------------------- */

static sq_var nothing(const sq_unrolled *u) { return sqi_none(u ? u->tape : NULL); }

sq_var sq_unrolled_outputs(const sq_unrolled *u) { return u ? u->outputs : nothing(u); }

sq_var sq_unrolled_output(const sq_unrolled *u, int64_t i)
{
    if (!u || i < 0 || i >= u->steps) return nothing(u);
    if (u->budget) return sqi_budget_part(u->budget, u->n_states, i);
    if (!u->planned) return u->output[i];
    int32_t slot = sqi_slot_output(u->planned->plan);
    return u->planned->plan->output < 0 ? nothing(u)
                                        : sqi_planned_part(u->tape, u->planned, slot, i);
}

sq_var sq_unrolled_state(const sq_unrolled *u, int64_t i, int32_t k)
{
    bool there = u && i >= -1 && i < u->steps && k >= 0 && k < u->n_states;
    if (!there) return nothing(u);
    if (u->planned && i >= 0) return sqi_planned_part(u->tape, u->planned, k, i);
    if (u->budget && i >= 0) return sqi_budget_part(u->budget, k, i);
    return u->state[(i + 1) * u->n_states + k];
}

/* The last operation of a step that bears the name. */
static sq_var named_node(const sq_unrolled *u, int64_t i, const char *name)
{
    uint64_t ordinal = u->first + (uint64_t)i;
    const sqi_segment *s = sqi_segment_find(u->tape, ordinal);
    for (uint32_t j = s ? s->n_nodes : 1; j-- > 1;)
        if (s->nodes[j].n && s->nodes[j].name && strcmp(s->nodes[j].name, name) == 0)
            return (sq_var){ u->tape, sqi_id(ordinal, j) };
    return nothing(u);
}

sq_var sq_unrolled_named(const sq_unrolled *u, int64_t i, const char *name)
{
    if (!u || i < 0 || i >= u->steps || !name) return nothing(u);
    if (u->budget) return sqi_budget_named(u->budget, name, i);
    if (!u->planned) return named_node(u, i, name);
    int32_t slot = sqi_planned_named(u->planned, name);
    return slot < 0 ? nothing(u) : sqi_planned_part(u->tape, u->planned, slot, i);
}

sq_mode sq_unroll_mode(const sq_unrolled *u)
{
    return !u ? SQ_AUTO : u->planned ? SQ_PLAN : SQ_EAGER;
}

sq_unrolled_memory sq_unroll_memory(const sq_unrolled *u)
{
    if (u && u->planned) return sqi_planned_memory(u->planned);
    return u && u->budget ? sqi_budget_memory(u->budget)
                          : (sq_unrolled_memory){ .budgeted = false };
}

void sq_unrolled_last(const sq_unrolled *u, sq_var *states)
{
    for (int32_t k = 0; u && k < u->n_states; k++)
        states[k] = sq_unrolled_state(u, u->steps - 1, k);
}

int64_t sq_unrolled_steps(const sq_unrolled *u) { return u ? u->steps : 0; }
int32_t sq_unrolled_n_states(const sq_unrolled *u) { return u ? u->n_states : 0; }
sq_tape *sq_unrolled_tape(const sq_unrolled *u) { return u ? u->tape : NULL; }

const char *sq_unrolled_state_name(const sq_unrolled *u, int32_t k)
{
    return u && k >= 0 && k < u->n_states ? state_name(&u->cell, k) : "";
}

size_t sq_plan_explain(const sq_unrolled *u, char *buf, size_t n)
{
    if (n && buf) buf[0] = '\0';
    if (!u) return 0;
    if (u->planned) return sqi_plan_explain(u->planned, buf, n);
    int length = snprintf(buf, n, "eager: %s\n", u->why);
    return length < 0 ? 0 : (size_t)length;
}

sqi_inside sqi_unrolled_inside(const sq_unrolled *u)
{
    return (sqi_inside){ u->planned, u->budget, u->nested, u->steps ? u->home->step : 0,
                         u->flags,   u->takes,  u->batch };
}
