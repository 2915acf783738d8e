/* plan_budget.c -- an unroll that keeps a few states and the saved values of one stretch of steps.
 *
 *     one block of memory   KEPT arrays of a stretch -> <- snapshots | present | carry | scratch
 *                           '------------ the area ------------'
 *
 * The area is dealt out anew for every stretch: where many states are kept, fewer steps are saved. A
 * schedule (checkpoint.h) says what is next: run on without saving, which is to run pieces of a stretch
 * one over the other; keep the states; go back to kept ones; run a stretch, reverse it. The gradient of
 * the states is carried from piece to piece. What is run again are the same kernels over the same
 * numbers, and every sum of the reverse run goes on where the piece before left it, so the bits are
 * those of an unroll that keeps everything. Where a sum cannot go on like that (sqi_divisible),
 * stretches end where blocks end.
 *
 * The forward run stops where the loss is taken, the last stretch saved: the first sweep begins at
 * once. Later ones, and those after something was read from a dropped step, begin with the initial
 * states. An unroll for inference is the same without a schedule. */
#include "graph/plan_run_impl.h"
#include "graph/unroll_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Schedules ----------------------------------------------------------------------------- */

/* The schedules made last for a plan. An unroll looks its own up at every sweep. */
struct sqi_timetable {
    struct sqi_timetable *next;
    sq_checkpoint_problem problem;
    sq_checkpoint_schedule *schedule;
    double seconds;
};

static void free_timetables(sqi_plan *p)
{
    for (struct sqi_timetable *x = p->timetables, *next; x; x = next) {
        next = x->next;
        sq_checkpoint_free(x->schedule);
        free(x);
    }
    p->timetables = NULL;
}

static bool same_problem(const sq_checkpoint_problem *a, const sq_checkpoint_problem *b)
{
    return a->steps == b->steps && a->snapshot_bytes == b->snapshot_bytes &&
           a->tape_bytes == b->tape_bytes && a->budget == b->budget && a->every == b->every &&
           a->policy == b->policy;
}

/* Puts a timetable in front and drops the oldest beyond a few. */
static void remember(sqi_plan *p, struct sqi_timetable *x)
{
    enum { MOST = 8 };
    int32_t n = 0;
    x->next = p->timetables;
    p->timetables = x;
    p->free_timetables = free_timetables;
    for (struct sqi_timetable **at = &p->timetables; *at;) {
        struct sqi_timetable *old = *at;
        if (++n <= MOST) {
            at = &old->next;
            continue;
        }
        *at = old->next;
        sq_checkpoint_free(old->schedule);
        free(old);
    }
}

/* The schedule of a problem that can be solved; NULL after posting. */
static struct sqi_timetable *timetable(sq_tape *t, sqi_plan *p, const sq_checkpoint_problem *q)
{
    for (struct sqi_timetable *x = p->timetables; x; x = x->next)
        if (same_problem(&x->problem, q)) return x;
    struct sqi_timetable *x = calloc(1, sizeof *x);
    if (x) x->schedule = sqi_timed_schedule(q, &x->seconds);
    if (!x || !x->schedule) {
        free(x);
        sq_post(t, SQ_ENOMEM, "out of memory for a schedule of %lld steps",
                (long long)q->steps);
        return NULL;
    }
    x->problem = *q;
    remember(p, x);
    return x;
}

/* ---- Sizes --------------------------------------------------------------------------------- */

static bool is_kept(const sqi_value *v) { return sqi_is_operation(v) && v->room == SQI_KEPT; }

/* Room of a run of so many steps: the two directions take turns. back NULL: forward only. */
static size_t scratch_bytes(const sqi_planned *u, const sqi_back *back, int64_t steps,
                            int64_t *sizes)
{
    const sqi_plan *p = u->plan;
    const sqi_stretches *b = u->stretch;
    size_t forward = 0, reverse = 0;
    for (int32_t v = 0; v < p->n_values; v++) {
        forward += sqi_aligned(sqi_forward_room(p, v, steps));
        if (back) reverse += sqi_aligned(sqi_reverse_room(p, back, v, steps));
    }
    if (back) {
        int64_t units = sqi_units(u, steps);
        reverse += sqi_sorted_room(u, back, units) +
                   (size_t)b->threads * sqi_aligned(sqi_packed_bytes(u, back, units, sizes));
    }
    return forward > reverse ? forward : reverse;
}

/* KEPT arrays of so many steps; where they begin in the area is written to u->kept unless it is
 * only counted. */
static size_t lay_arrays(sqi_planned *u, int64_t steps, bool count)
{
    const sqi_plan *p = u->plan;
    size_t used = 0;
    for (int32_t v = 0; v < p->n_values; v++) {
        if (!is_kept(&p->values[v])) continue;
        if (!count) u->kept[v] = u->stretch->area + used;
        used +=
            sqi_aligned(sqi_value_bytes(p, v) * ((size_t)steps + (p->values[v].state >= 0)));
    }
    return used;
}

/* What one step more takes in the arrays; and the most that arrays take beyond that, whatever their
 * length: the states that enter, and ends of lines. */
static size_t step_bytes(const sqi_planned *u)
{
    size_t bytes = 0;
    for (int32_t v = 0; v < u->plan->n_values; v++)
        if (is_kept(&u->plan->values[v])) bytes += sqi_value_bytes(u->plan, v);
    return bytes;
}

static size_t edge_bytes(const sqi_planned *u)
{
    size_t bytes = u->stretch->states;
    for (int32_t v = 0; v < u->plan->n_values; v++)
        if (is_kept(&u->plan->values[v])) bytes += SQI_ALIGN;
    return bytes;
}

/* ---- Fitting a budget ---------------------------------------------------------------------- */

/* What is taken beside snapshots and saved steps when so many steps are run at once. */
static int64_t fixed_bytes(const sqi_planned *u, const sqi_back *back, int64_t piece)
{
    const sqi_stretches *b = u->stretch;
    size_t scratch = scratch_bytes(u, back, piece, b->sizes);
    return (int64_t)(SQI_EXACT_HEAD + SQI_ALIGN + 2 * b->states + edge_bytes(u) + scratch);
}

static sq_checkpoint_problem problem_of(const sqi_planned *u, const sq_unroll_options *o,
                                        int64_t fixed)
{
    const sqi_stretches *b = u->stretch;
    int64_t T = u->span.steps, every = sqi_every_of(o, T);
    if (every > T) every = T;
    return (sq_checkpoint_problem){
        .steps = (T + b->unit - 1) / b->unit,
        .snapshot_bytes = (int64_t)b->states,
        .tape_bytes = b->unit * (int64_t)step_bytes(u),
        .budget = o->budget_bytes - fixed,
        .every = every > 0 ? (every + b->unit - 1) / b->unit : 0,
        .policy = o->policy,
    };
}

static bool too_small(sq_tape *t, const sqi_planned *u, const sq_unroll_options *o,
                      const sq_checkpoint_problem *q)
{
    int64_t least = o->budget_bytes - q->budget + sq_checkpoint_least(q),
            unit = u->stretch->unit;
    char what[48] = "one step takes";
    t->doing = "unroll";
    if (unit > 1) snprintf(what, sizeof what, "%lld steps, run at once, take", (long long)unit);
    return sq_post(t, SQ_ERANGE, "a budget of %lld bytes is too small: %s %lld bytes",
                   (long long)o->budget_bytes, what, (long long)least);
}

/* How many steps are run at once: those of a block, fewer where their scratch would take more than a
 * quarter of the budget. False after posting that there is no way. */
static bool find_problem(sq_tape *t, sqi_planned *u, const sq_unroll_options *o,
                         const sqi_back *back, sq_checkpoint_problem *q)
{
    sqi_stretches *b = u->stretch;
    for (b->piece = u->block;; b->piece = (b->piece + 1) / 2) {
        int64_t fixed = fixed_bytes(u, back, b->piece);
        *q = problem_of(u, o, fixed);
        bool solvable = q->every || q->budget >= sq_checkpoint_least(q);
        bool large = !q->every && fixed > o->budget_bytes / 4;
        bool smallest = b->piece == 1 || b->unit > 1;
        if (solvable && (!large || smallest)) return true;
        if (smallest) return too_small(t, u, o, q);
    }
}

/* Whether a block can be reversed in pieces; asked of the program that keeps the gradients of all
 * named values, for it has all the sums that any other has. */
static bool find_unit(sq_tape *t, sqi_planned *u)
{
    sqi_plan *p = u->plan;
    bool *all = sqi_planned_take(t, u, (size_t)p->n_named, 1, false);
    if (!all) return false;
    memset(all, 1, (size_t)p->n_named);
    const sqi_back *back = sqi_plan_back(t, p, all, NULL);
    if (back) u->stretch->unit = sqi_divisible(u, back) ? 1 : u->block;
    return back != NULL;
}

static bool fit(sq_tape *t, sqi_planned *u, const sq_unroll_options *o, const sqi_back *back)
{
    sqi_stretches *b = u->stretch;
    if (!find_unit(t, u) || !find_problem(t, u, o, back, &b->problem)) return false;
    struct sqi_timetable *x = timetable(t, u->plan, &b->problem);
    if (!x) return false;
    b->seconds = x->seconds;
    b->predicted = sq_checkpoint_predicted(x->schedule);
    b->predicted.extra_steps *= b->unit;
    b->predicted.stretch *= b->unit;
    b->n_snapshots = b->predicted.snapshots;
    if (b->predicted.stretch < b->piece) b->piece = b->predicted.stretch;
    b->area_bytes = (size_t)b->predicted.peak_bytes + edge_bytes(u);
    return true;
}

/* ---- Memory -------------------------------------------------------------------------------- */

/* What is kept beside the budget: outputs as asked for, the last states, sums of weights. */
static bool make_beside(sq_tape *t, sqi_planned *u, const sqi_back *back, sq_outputs how)
{
    sqi_stretches *b = u->stretch;
    const sqi_plan *p = u->plan;
    size_t T = (size_t)u->span.steps;
    size_t bytes = p->output < 0 ? 0 : sqi_value_bytes(p, p->output);
    bool all = how == SQ_OUTPUTS_ALL || how == SQ_OUTPUTS_SUM;
    bool divides = back && b->unit == 1 && (u->block > 1 || u->shrunk);
    size_t partials = divides ? sqi_partial_bytes(p, back) : 0;
    if (p->output >= 0 && all) b->outputs = sqi_planned_take(t, u, T, bytes, true);
    b->last_output = sqi_planned_take(t, u, 1, bytes, false);
    b->last = sqi_planned_take(t, u, 1, b->states, false);
    b->snapshot = sqi_planned_take(t, u, (size_t)b->n_snapshots, sizeof *b->snapshot, false);
    if (partials) b->partials = sqi_planned_take(t, u, 1, partials, true);
    b->partial_bytes = partials;
    return !t->error.status;
}

static bool make_sizes(sq_tape *t, sqi_planned *u, const sqi_back *back)
{
    u->stretch->sizes = sqi_planned_take(t, u, sqi_defer_width(back), sizeof(int64_t), false);
    return u->stretch->sizes != NULL;
}

static bool make_block(sq_tape *t, sqi_planned *u, const sqi_back *back)
{
    sqi_stretches *b = u->stretch;
    b->scratch_bytes = scratch_bytes(u, back, b->piece, b->sizes);
    b->area_bytes = sqi_aligned(b->area_bytes);
    size_t bytes = b->area_bytes + 2 * b->states + b->scratch_bytes;
    b->area = sqi_arena_exact(&u->home->arena, &t->pool, bytes);
    b->bytes = bytes + SQI_EXACT_HEAD;
    b->predicted.peak_bytes = (int64_t)b->bytes;
    if (!b->area)
        return sq_post(t, SQ_ENOMEM, "out of memory for a budget of %zu bytes", bytes);
    b->present = b->area + b->area_bytes;
    b->carry = b->present + b->states;
    b->scratch = b->carry + b->states;
    return true;
}

bool sqi_stretch_make(sq_tape *t, sqi_planned *u, const sq_unroll_options *o)
{
    const sqi_plan *p = u->plan;
    const sqi_back *back = NULL;
    sqi_stretches *b = u->stretch = sqi_planned_take(t, u, 1, sizeof *b, false);
    if (!b) return false;
    *b = (sqi_stretches){ .records = !t->inference, .unit = 1, .state_grads = o->state_grads };
    for (int32_t k = 0; k < p->n_states; k++)
        b->states += sqi_aligned(sqi_value_bytes(p, p->leaves[k]));
    b->piece = u->block;
    b->threads = t->threads;
    b->area_bytes = lay_arrays(u, b->piece, true);
    if (b->records) {
        back = sqi_plan_back(t, u->plan, u->tapped, NULL);
        if (!back || !make_sizes(t, u, back) || !fit(t, u, o, back)) return false;
    }
    return make_block(t, u, back) && make_beside(t, u, back, o->outputs);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Forward and reverse runs over the memory of one unroll. */
typedef struct walk {
    sq_tape *t;
    sqi_planned *u;
    sqi_stretches *b;
    sqi_run_of forward, reverse;
    bool recording; /* for the first time: what was asked for is put aside */
    int64_t low, last;
    int64_t *count; /* of steps run */
} walk;

static void walk_begin(walk *w, sq_tape *t, sqi_planned *u, int64_t *count)
{
    sqi_planned_bind(u);
    *w = (walk){ .t = t, .u = u, .b = u->stretch, .last = u->span.steps, .count = count };
    w->forward = sqi_run_new(t, u);
    w->forward.room = w->b->scratch;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }

static size_t state_bytes(const sqi_plan *p, int32_t k)
{
    return sqi_value_bytes(p, p->leaves[k]);
}

char *sqi_stretch_present(const sqi_planned *u, int32_t k)
{
    char *at = u->stretch->present;
    for (int32_t j = 0; j < k; j++) at += sqi_aligned(state_bytes(u->plan, j));
    return at;
}

/* Copies the value of a slot at a step, which the arrays hold. */
static void copy_value(const sqi_planned *u, int32_t slot, int64_t step, char *to)
{
    int32_t v = sqi_slot_value(u->plan, slot);
    size_t bytes = sqi_value_bytes(u->plan, v);
    size_t i = (size_t)(step - u->stretch->origin) + (u->plan->values[v].state >= 0);
    if (u->shrunk) sqi_shrunk_value(u, slot, step, to);
    else if (bytes) memcpy(to, u->kept[v] + i * bytes, bytes);
}

/* Puts aside what was asked for of the steps from .. b->at - 1. */
static void put_aside(const walk *w, int64_t from)
{
    const sqi_plan *p = w->u->plan;
    sqi_stretches *b = w->b;
    int32_t slot = sqi_slot_output(p);
    bool end = b->at == w->u->span.steps;
    char *last = b->last;
    for (int32_t k = 0; end && k < p->n_states; k++) {
        copy_value(w->u, k, b->at - 1, last);
        last += sqi_aligned(state_bytes(p, k));
    }
    if (p->output < 0) return;
    size_t bytes = sqi_value_bytes(p, p->output);
    for (int64_t s = from; b->outputs && s < b->at; s++)
        copy_value(w->u, slot, s, b->outputs + (size_t)s * bytes);
    if (end) copy_value(w->u, slot, b->at - 1, b->last_output);
}

/* Copies the present states into the arrays' begin, or those that enter `step` out of them. */
static void copy_states(const walk *w, int64_t step, bool out)
{
    for (int32_t k = 0; k < w->u->plan->n_states; k++) {
        size_t bytes = state_bytes(w->u->plan, k);
        char *here = w->u->kept[w->u->plan->leaves[k]] + (size_t)(step - w->b->origin) * bytes;
        char *present = sqi_stretch_present(w->u, k);
        if (w->u->shrunk) sqi_shrunk_states(w->u, k, step, out, present);
        else memcpy(out ? present : here, out ? here : present, bytes);
    }
}

/* Bytes that snapshots leave to the arrays: they lie at the end of the area, the first last. */
static size_t free_bytes(const sqi_stretches *b)
{
    int64_t n = b->n_snapshots;
    while (n > 0 && b->snapshot[n - 1] == SQI_NO_STEP) n--;
    return b->area_bytes - (size_t)n * b->states;
}

/* Runs steps b->at .. to - 1: what they save takes the place of all that was saved before. */
static void run(walk *w, int64_t to)
{
    sqi_stretches *b = w->b;
    size_t used = lay_arrays(w->u, to - b->at, false);
    assert(used <= free_bytes(b));
    (void)used;
    b->origin = b->at;
    copy_states(w, b->at, false);
    sqi_run_arrays(&w->forward);
    if (w->reverse.value) sqi_run_arrays(&w->reverse);
    b->at = to;
    sqi_forward_steps(&w->forward, b->origin, to);
    copy_states(w, to, true);
    *w->count += to - b->origin;
    if (w->recording) put_aside(w, b->origin);
}

/* So many steps at once as have room beside the snapshots: one at least, since the stretch that
 * follows has as many of them beside it. */
static int64_t piece_beside(const walk *w)
{
    size_t bytes = free_bytes(w->b), edge = edge_bytes(w->u), step = step_bytes(w->u);
    int64_t n = bytes > edge && step ? (int64_t)((bytes - edge) / step) : 1;
    return greatest(1, least(n, w->b->piece));
}

static void advance(walk *w, int64_t to)
{
    int64_t n = piece_beside(w);
    while (w->b->at < to) run(w, least(w->b->at + n, to));
}

static char *snapshot_at(const sqi_stretches *b, int64_t i)
{
    return b->area + b->area_bytes - (size_t)(i + 1) * b->states;
}

/* Goes back to the states that enter `step`: the initial ones, or those of a snapshot. */
static void restore(const walk *w, int64_t step)
{
    sqi_stretches *b = w->b;
    const sqi_planned *u = w->u;
    char *to = b->present;
    b->origin = b->at = step;
    for (int32_t k = 0; step == 0 && k < u->plan->n_states; k++) {
        if (u->shrunk) sqi_shrunk_initial(u, k, to);
        else memcpy(to, sqi_planned_operand(u, u->first_state + k), state_bytes(u->plan, k));
        to += sqi_aligned(state_bytes(u->plan, k));
    }
    for (int64_t i = 0; step && i < b->n_snapshots; i++)
        if (b->snapshot[i] == step) memcpy(b->present, snapshot_at(b, i), b->states);
}

/* Keeps the present states. The arrays may reach into their place. */
static void snapshot(const walk *w)
{
    sqi_stretches *b = w->b;
    int64_t i = 0;
    while (i < b->n_snapshots && b->snapshot[i] != SQI_NO_STEP) i++;
    assert(i < b->n_snapshots);
    b->snapshot[i] = b->origin = b->at;
    memcpy(snapshot_at(b, i), b->present, b->states);
}

static void release(const sqi_stretches *b, int64_t step)
{
    for (int64_t i = 0; i < b->n_snapshots; i++)
        if (b->snapshot[i] == step) b->snapshot[i] = SQI_NO_STEP;
}

/* ---- Reverse ------------------------------------------------------------------------------- */

static sqi_wake *wake_of(const walk *w) { return w->reverse.wake; }

/* The gradient of state k as it leaves step `step`, in a window that begins at step `first`. */
static char *window_at(const walk *w, int32_t k, int64_t first, int64_t step)
{
    const sqi_place *g = &w->reverse.grad[w->u->plan->leaves[k]];
    return g->base + (ptrdiff_t)g->unit * (step - first);
}

/* Brings what was seeded, and what the piece before sent back, to the window of steps first ..
 * end - 1; the state that enters `first` is part of it. */
static void open_piece(const walk *w, int64_t first, int64_t end)
{
    char *carry = w->b->carry;
    for (int32_t k = 0; k < w->u->plan->n_states; k++) {
        size_t bytes = state_bytes(w->u->plan, k);
        bool carried = end < w->reverse.last;
        for (int64_t s = greatest(first - 1, w->low); s < end - carried; s++)
            if (sqi_wake_marked(wake_of(w), k, s, SQI_SEEDED))
                memcpy(window_at(w, k, first, s), sqi_wake_at(w->u, w->reverse.lane, k, s),
                       bytes);
        if (carried) memcpy(window_at(w, k, first, end - 1), carry, bytes);
        carry += sqi_aligned(bytes);
    }
}

/* Takes the gradients that were asked for out of the window. */
static void keep_grads(const walk *w, int32_t slot, const char *from, int64_t first,
                       int64_t end)
{
    bool all = slot < w->u->plan->n_states && w->b->state_grads;
    size_t bytes = sqi_value_bytes(w->u->plan, sqi_slot_value(w->u->plan, slot));
    for (int64_t s = first; s < end && (all || wake_of(w)->marks[slot]); s++, from += bytes)
        if (all || sqi_wake_marked(wake_of(w), slot, s, SQI_SEEDED | SQI_WANTED))
            memcpy(sqi_wake_at(w->u, w->reverse.lane, slot, s), from, bytes);
}

static void close_piece(const walk *w, int64_t first, int64_t end)
{
    const sqi_plan *p = w->u->plan;
    char *carry = w->b->carry;
    for (int32_t k = 0; k < p->n_states; k++) {
        size_t bytes = state_bytes(p, k);
        memcpy(carry, window_at(w, k, first, first - 1), bytes);
        keep_grads(w, k, window_at(w, k, first, first), first, end);
        carry += sqi_aligned(bytes);
    }
    for (int32_t j = 0; j < p->n_named; j++) {
        if (!w->reverse.back->tapped[p->named[j]]) continue;
        const char *at = w->reverse.grad[p->named[j]].base;
        keep_grads(w, sqi_slot_named(p, j), at, first, end);
        for (int64_t s = first; w->b->look && s < end;
             s++, at += sqi_value_bytes(p, p->named[j]))
            w->b->look->see(w->b->look, j, s, at);
    }
}

/* Reverses what the sweep sees of the stretch from .. to - 1, which is saved, block by block. */
static void reverse(walk *w, int64_t from, int64_t to)
{
    int64_t low = greatest(from, w->low);
    bool apart = w->u->shrunk != NULL; /* then the run itself brings in and takes out */
    int64_t piece = sqi_parts_single(&w->reverse) ? 1 : w->b->piece;
    assert(w->b->origin <= low && w->b->at >= least(to, w->last));
    for (int64_t end = least(to, w->last), first; end > low; end = first) {
        first = greatest(greatest(low, end - piece), sqi_block_begin(w->u, end - 1));
        if (!apart) open_piece(w, first, end);
        sqi_reverse_steps(&w->reverse, first, end);
        if (!apart) close_piece(w, first, end);
    }
}

/* ---- Following a schedule ------------------------------------------------------------------ */

static void act(walk *w, sq_checkpoint_action a)
{
    int64_t from = a.from * w->b->unit, to = least(a.to * w->b->unit, w->last);
    bool seen = from < w->last; /* by a sweep that begins before step `last` */
    if (w->t->error.status) return;
    if (a.kind == SQ_ADVANCE && seen) advance(w, to);
    if (a.kind == SQ_SNAPSHOT && seen) snapshot(w);
    if (a.kind == SQ_RESTORE && seen) restore(w, from);
    if (a.kind == SQ_RESTORE && a.last) release(w->b, from);
    if (a.kind == SQ_TAPE && seen) run(w, to);
    if (a.kind == SQ_REVERSE && seen) reverse(w, from, to);
}

/* From the initial states to where the loss is taken. */
static void go_forward(walk *w, sq_checkpoint_schedule *s)
{
    sq_checkpoint_again(s);
    for (int64_t i = 0; i < w->b->n_snapshots; i++) w->b->snapshot[i] = SQI_NO_STEP;
    restore(w, 0);
    for (sq_checkpoint_action a; (a = sq_checkpoint_next(s)).kind != SQ_TURN;) act(w, a);
}

/* To the same place, where everything is as the forward run left it. */
static void skip_forward(sq_checkpoint_schedule *s)
{
    sq_checkpoint_again(s);
    while (sq_checkpoint_next(s).kind != SQ_TURN) continue;
}

bool sqi_stretch_forward(sq_tape *t, sqi_planned *u)
{
    walk w;
    sqi_stretches *b = u->stretch;
    walk_begin(&w, t, u, &b->recorded);
    w.recording = true;
    struct sqi_timetable *x = b->records ? timetable(t, u->plan, &b->problem) : NULL;
    bool ok = (x || !b->records) && sqi_forward_open(&w.forward);
    if (ok && x) go_forward(&w, x->schedule);
    if (ok && !x) restore(&w, 0), advance(&w, w.last);
    b->turned = ok;
    sqi_run_close(&w.forward);
    return !t->error.status;
}

/* A sweep needs the schedule unless the arrays hold all its steps. */
static void sweep(walk *w, sq_checkpoint_schedule *s)
{
    sqi_stretches *b = w->b;
    if (b->origin <= w->low && b->at >= w->last) {
        reverse(w, w->low, w->last);
        return;
    }
    if (b->turned) skip_forward(s);
    else go_forward(w, s);
    b->turned = false;
    for (sq_checkpoint_action a; (a = sq_checkpoint_next(s)).kind != SQ_DONE;) {
        act(w, a);
        if (a.kind == SQ_REVERSE && a.from * b->unit <= w->low) break;
    }
}

/* A reverse run out of the budget's scratch; where gradients of named values are asked for and take
 * more, out of memory of its own. */
static bool reverse_open(walk *w, int lane, bool immediate, void *const *gx)
{
    sqi_run_of *r = &w->reverse;
    sqi_stretches *b = w->b;
    *r = sqi_run_new(w->t, w->u);
    r->wake = &w->u->wake[lane];
    r->lane = lane;
    r->gx = gx;
    r->immediate = immediate;
    r->back = sqi_wake_back(w->t, w->u, lane);
    if (!r->back || !sqi_wake_ready(w->t, w->u, lane)) return false;
    int64_t *sizes = sqi_run_take(r, sqi_defer_width(r->back), sizeof *sizes);
    if (!sizes) return false;
    size_t bytes = scratch_bytes(w->u, r->back, b->piece, sizes);
    r->room = bytes <= b->scratch_bytes ? b->scratch : NULL;
    bytes = b->partials ? sqi_partial_bytes(w->u->plan, r->back) : 0;
    char *partials = bytes <= b->partial_bytes ? b->partials : sqi_run_take(r, 1, bytes);
    return sqi_reverse_open(r) && (!bytes || (partials && sqi_reverse_divide(r, partials)));
}

bool sqi_stretch_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx)
{
    sqi_planned *u = (sqi_planned *)span;
    walk w;
    if (!u->stretch->records)
        return sq_post(t, SQ_EGRAD, "the unroll kept values only: it cannot be swept");
    u->stretch->swept = 0;
    walk_begin(&w, t, u, &u->stretch->swept);
    struct sqi_timetable *x = timetable(t, u->plan, &u->stretch->problem);
    bool ok = x && reverse_open(&w, lane, immediate, gx) && sqi_forward_open(&w.forward);
    w.low = span->low;
    w.last = w.reverse.last;
    if (ok) sweep(&w, x->schedule);
    if (ok) sqi_reverse_end(&w.reverse);
    sqi_run_close(&w.reverse);
    sqi_run_close(&w.forward);
    return !t->error.status;
}

/* ---- Values of dropped steps --------------------------------------------------------------- */

void *sqi_stretch_kept(const sqi_planned *u, int32_t slot, int64_t step)
{
    const sqi_stretches *b = u->stretch;
    const sqi_plan *p = u->plan;
    bool last = step == u->span.steps - 1;
    size_t bytes = sqi_value_bytes(p, sqi_slot_value(p, slot));
    char *state = b->last;
    if (slot == sqi_slot_output(p))
        return b->outputs ? b->outputs + (size_t)(step == SQI_ALL_STEPS ? 0 : step) * bytes
               : last     ? b->last_output
                          : NULL;
    if (slot > p->n_states || !last) return NULL;
    for (int32_t k = 0; k < slot; k++) state += sqi_aligned(state_bytes(p, k));
    return state;
}

/* Runs from the nearest states before it until the arrays hold `step`. */
static void reach(walk *w, int64_t step)
{
    sqi_stretches *b = w->b;
    int64_t start = b->at <= step ? b->at : 0;
    for (int64_t i = 0; i < b->n_snapshots; i++)
        if (b->snapshot[i] <= step && b->snapshot[i] > start) start = b->snapshot[i];
    if (start != b->at) restore(w, start);
    b->turned = false;
    int64_t n = piece_beside(w);
    while (b->at <= step) run(w, least(b->at + n, w->u->span.steps));
}

bool sqi_stretch_read(sqi_planned *u, sq_tape *t, int32_t slot, int64_t step, void *to)
{
    walk w;
    int64_t steps = 0;
    bool there = u->stretch->origin <= step && step < u->stretch->at;
    walk_begin(&w, t, u, &steps);
    bool ok = there || sqi_forward_open(&w.forward);
    if (ok && !there) reach(&w, step);
    sqi_run_close(&w.forward);
    if (ok) copy_value(u, slot, step, to);
    return ok;
}

void *sqi_stretch_value(sqi_span *span, sq_tape *t, int32_t slot, int64_t step)
{
    sqi_planned *u = (sqi_planned *)span;
    size_t bytes = sqi_value_bytes(u->plan, sqi_slot_value(u->plan, slot));
    void *value = sqi_planned_take(t, u, 1, bytes, false);
    return value && sqi_stretch_read(u, t, slot, step, value) ? value : NULL;
}

/* ---- Telling ------------------------------------------------------------------------------- */

sq_unrolled_memory sqi_planned_memory(const sqi_planned *u)
{
    const sqi_stretches *b = u->stretch;
    if (!b || !b->records) return (sq_unrolled_memory){ .budgeted = false };
    return (sq_unrolled_memory){ .budgeted = true,
                                 .predicted = b->predicted,
                                 .extra_steps = b->recorded + b->swept - u->span.steps,
                                 .peak_bytes = (int64_t)b->bytes,
                                 .beside_bytes = (int64_t)u->beside,
                                 .schedule_seconds = b->seconds };
}
