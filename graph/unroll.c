/* unroll.c -- the for loop over time, with the bookkeeping done right.
 *
 * Every step is a step of the tape. The step's output is handed out as a view of what the cell
 * returned: gradients that losses outside send to output t arrive at the view, the recurrence
 * goes past it, so the view's gradient is the immediate one and the state's own the total.
 * Slices of the input are views too, and gradients of views add straight into what they view, so
 * T steps cost O(T). */
#include "core/backward_impl.h"
#include "core/tape_impl.h"
#include "graph/unroll.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

struct sq_unrolled {
    sq_tape *tape;
    sq_cell cell; /* a copy: the caller's may go */
    int64_t steps;
    sq_var outputs;
    sq_var *output; /* [T] */
    sq_var *state;  /* [T+1][n_states], initial states first */
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

static const char *state_name(const sq_cell *cell, int32_t k)
{
    return cell->state_names && cell->state_names[k] ? cell->state_names[k] : "";
}

/* State k must be [B,width]. */
static bool check_state(sq_tape *t, const sq_cell *cell, int32_t k, sq_var v, int64_t batch)
{
    sq_shape want = sq_mat(batch, cell->width[k]), got = sq_shape_of(v);
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (!sqi_begin(t, "unroll")) return false;
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
 * twice, would mix the gradients of two steps or two states. */
static sq_var own_node(sq_tape *t, const sq_var *state, int32_t k)
{
    bool shared = sqi_ordinal(state[k].id) != t->current->ordinal;
    for (int32_t i = 0; i < k; i++) shared |= state[i].id == state[k].id;
    return shared ? sq_reshape(state[k], sq_shape_of(state[k])) : state[k];
}

static bool initial_states(sq_unrolled *u, const sq_var *state0, int64_t batch)
{
    for (int32_t k = 0; k < u->n_states; k++) {
        bool given = state0 && has_value(state0[k]);
        u->state[k] = given ? state0[k] : sq_zeros(u->tape, sq_mat(batch, u->cell.width[k]));
        if (!check_state(u->tape, &u->cell, k, u->state[k], batch)) return false;
        u->state[k] = with_gradient(u->tape, u->state[k]);
    }
    return !u->tape->error.status;
}

/* ---- The steps ----------------------------------------------------------------------------- */

static sq_var input_at(sq_var x, int64_t i)
{
    if (!has_value(x)) return x;
    sq_shape s = sq_shape_of(x);
    return sq_reshape(sq_slice(x, 0, i, 1), sq_mat(s.dim[1], s.dim[2]));
}

static bool one_step(sq_unrolled *u, sq_var x, int64_t i, int64_t batch)
{
    sq_tape *t = u->tape;
    sq_var *state = u->state + (i + 1) * u->n_states;
    for (int32_t k = 0; k < u->n_states; k++) state[k] = state[k - u->n_states];
    sq_begin_step(t);
    sq_var y = u->cell.step(t, u->cell.self, input_at(x, i), state);
    if (t->error.status) return false;
    bool settled = false; /* whether y has been found among the states */
    for (int32_t k = 0; k < u->n_states; k++) {
        if (!check_state(t, &u->cell, k, state[k], batch)) return false;
        bool is_output = !settled && state[k].id == y.id;
        state[k] = with_gradient(t, own_node(t, state, k));
        sqi_declare_state(state[k]);
        if (is_output) y = state[k];
        settled |= is_output;
    }
    u->output[i] = has_value(y) ? sq_keep_grad(sq_reshape(y, sq_shape_of(y))) : y;
    return !t->error.status;
}

static sq_var gather_outputs(const sq_unrolled *u, sq_outputs how)
{
    sq_tape *t = u->tape;
    int32_t n = (int32_t)u->steps;
    switch (how) {
    case SQ_OUTPUTS_ALL: return n ? sq_stack(u->output, n) : sq_zeros(t, sq_vec(0));
    case SQ_OUTPUTS_LAST: return n ? u->output[n - 1] : sqi_none(t);
    case SQ_OUTPUTS_SUM: return n ? sq_sum_axis(sq_stack(u->output, n), 0) : sq_constant(t, 0);
    case SQ_OUTPUTS_NONE: break;
    }
    return sqi_none(t);
}

/* ---- The record of an unroll --------------------------------------------------------------- */

static size_t record_bytes(const sq_cell *cell, int64_t steps)
{
    size_t vars = (size_t)steps + ((size_t)steps + 1) * (size_t)cell->n_states;
    return sizeof(sq_unrolled) + vars * sizeof(sq_var);
}

/* Lays the arrays of a record behind it, in `bytes` of memory. */
static sq_unrolled *lay_out(void *memory, const sq_cell *cell, sq_tape *t, int64_t steps)
{
    sq_unrolled *u = memory;
    *u = (sq_unrolled){ .tape = t, .cell = *cell, .steps = steps, .n_states = cell->n_states };
    u->output = (sq_var *)(void *)(u + 1);
    u->state = u->output + steps;
    return u;
}

static bool all_steps(sq_unrolled *u, sq_var x, const sq_var *state0, int64_t batch)
{
    if (!initial_states(u, state0, batch)) return false;
    for (int64_t i = 0; i < u->steps; i++)
        if (!one_step(u, x, i, batch)) return false;
    sq_end_step(u->tape);
    return !u->tape->error.status;
}

/* Steps are recorded with the record in memory of its own; at the end it moves to the segment
 * after the last step, so that it lives as long as that one. */
static sq_unrolled *unroll(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                           const sq_unroll_options *o, sqi_arena *memory)
{
    int64_t steps, batch;
    if (!cell_is_sane(t, cell) || !operands_are_ours(t, cell, x, state0) ||
        !find_sizes(t, cell, x, state0, o, &steps, &batch))
        return NULL;
    size_t bytes = record_bytes(cell, steps);
    void *draft = sqi_arena_alloc(memory, &t->pool, bytes);
    if (!draft)
        return sq_post(t, SQ_ENOMEM, "out of memory for %lld steps", (long long)steps), NULL;
    sq_unrolled *u = lay_out(draft, cell, t, steps);
    if (!all_steps(u, x, state0, batch)) return NULL;
    sq_unrolled *kept = sqi_tape_alloc(t, bytes);
    if (!kept) return NULL;
    memcpy(kept, u, bytes);
    lay_out(kept, cell, t, steps);
    kept->outputs = gather_outputs(kept, o->outputs);
    return t->error.status ? NULL : kept;
}

const sq_unrolled *sq_unroll(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                             const sq_unroll_options *options)
{
    static const sq_unroll_options defaults = { .outputs = SQ_OUTPUTS_ALL };
    sqi_arena memory = { .newest = NULL };
    if (!sqi_begin(t, "unroll")) return NULL;
    const sq_unrolled *u = unroll(t, cell, x, state0, options ? options : &defaults, &memory);
    sqi_arena_clear(&memory, &t->pool);
    return u;
}

/* ---- Reading it ---------------------------------------------------------------------------- */

static sq_var nothing(const sq_unrolled *u) { return sqi_none(u ? u->tape : NULL); }

sq_var sq_unrolled_outputs(const sq_unrolled *u) { return u ? u->outputs : nothing(u); }

sq_var sq_unrolled_output(const sq_unrolled *u, int64_t i)
{
    return u && i >= 0 && i < u->steps ? u->output[i] : nothing(u);
}

sq_var sq_unrolled_state(const sq_unrolled *u, int64_t i, int32_t k)
{
    bool there = u && i >= -1 && i < u->steps && k >= 0 && k < u->n_states;
    return there ? u->state[(i + 1) * u->n_states + k] : nothing(u);
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
