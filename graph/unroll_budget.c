/* unroll_budget.c -- an eager unroll as a span that keeps a few states and one stretch of steps.
 *
 * The way forward: step 0 is measured, the schedule is made for steps of its size, and followed up
 * to the turn. The schedule's block lies in one piece; steps lie in segments beside the line. When
 * a later step turns out larger, the rest is run without keeping anything and the schedule is
 * made for the largest; the sweep then begins with the way forward. For inference there is no
 * schedule, only the way forward.
 * Outputs and the last states are results: they lie in the home segment, as does all that somebody
 * asks for. The value of a dropped step is run again from the nearest snapshot when it is read. */
#include "core/backward_impl.h"
#include "graph/unroll_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *sqi_budget_take(sqi_budget *b, size_t n, size_t size)
{
    sq_tape *t = b->tape;
    bool fits = !size || n <= SIZE_MAX / 4 / size;
    void *at = fits ? sqi_arena_alloc(&b->again.home->arena, &t->pool, n * size) : NULL;
    if (!at)
        return sq_post(t, SQ_ENOMEM, "out of memory for %zu times %zu bytes", n, size), NULL;
    return memset(at, 0, n * size);
}

/* ---- What was asked for ------------------------------------------------------------------- */

sqi_asked *sqi_asked_of(sqi_budget *b, int32_t slot, int64_t step, bool make)
{
    sqi_slot_of *s = &b->slot[slot];
    if (step == b->span.steps - 1) return &s->last;
    if (!s->step && make) s->step = sqi_budget_take(b, (size_t)b->span.steps, sizeof *s->step);
    if (!s->step) return NULL;
    if (!s->step[step] && make) s->step[step] = sqi_budget_take(b, 1, sizeof **s->step);
    return s->step[step];
}

static bool all_are_stored(const sqi_budget *b)
{
    sq_outputs how = b->options.outputs;
    return b->has_output && (how == SQ_OUTPUTS_ALL || how == SQ_OUTPUTS_SUM);
}

/* The value of what is stored by itself. */
static bool store(sqi_budget *b, int32_t slot, int64_t step, const void *value)
{
    size_t bytes = b->slot[slot].bytes;
    sqi_asked *a = sqi_asked_of(b, slot, step, true);
    if (a && !a->value) a->value = sqi_budget_take(b, 1, bytes);
    if (!a || !a->value) return false;
    if (bytes) memcpy(a->value, value, bytes);
    return true;
}

/* What step `at` leaves behind for good. */
static bool store_results(sqi_budget *b, const sqi_aside_step *step, int64_t at)
{
    int32_t output = b->n_states;
    size_t bytes = b->slot[output].bytes;
    const sqi_node *nodes = step->s->nodes;
    bool last = at == b->span.steps - 1;
    if (b->whole) return true;
    if (all_are_stored(b) && !b->outputs)
        b->outputs = sqi_budget_take(b, (size_t)b->span.steps, bytes);
    if (all_are_stored(b) && !b->outputs) return false;
    if (all_are_stored(b) && bytes)
        memcpy(b->outputs + (size_t)at * bytes, nodes[step->output].value, bytes);
    for (int32_t k = 0; last && k < b->n_states; k++)
        if (!store(b, k, at, nodes[step->leave[k]].value)) return false;
    bool wanted = last && b->has_output && b->options.outputs == SQ_OUTPUTS_LAST;
    return !wanted || store(b, output, at, nodes[step->output].value);
}

/* ---- The schedule ------------------------------------------------------------------------- */

static size_t fixed_bytes(const sqi_budget *b)
{
    sqi_step_sizes holder = { .nodes = (uint32_t)b->n_states + 1 };
    return 3 * b->states_bytes + SQI_ALIGN + sqi_step_bytes(&holder) - sqi_chunk_bytes(0) +
           sqi_chunk_bytes(b->sizes.scratch);
}

int64_t sqi_every_of(const sq_unroll_options *o, int64_t steps)
{
    return o->every == SQ_EVERY_SQRT ? (int64_t)ceil(sqrt((double)steps)) : o->every;
}

static double seconds(void)
{
    struct timespec now = { .tv_sec = 0 };
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

sq_checkpoint_schedule *sqi_timed_schedule(const sq_checkpoint_problem *p, double *took)
{
    double start = seconds();
    sq_checkpoint_schedule *s = sq_checkpoint_new(p);
    *took += seconds() - start;
    return s;
}

/* Room for what the schedule keeps. Snapshots come one by one: there are fewest of them when the
 * longest stretch is taped. */
static bool make_block(sqi_budget *b, const sq_checkpoint_cost *cost)
{
    sq_tape *t = b->tape;
    size_t states = b->states_bytes, n = (size_t)b->n_states;
    size_t bytes = 3 * states + SQI_ALIGN;
    b->block = aligned_alloc(SQI_ALIGN, bytes);
    if (!b->block)
        return sq_post(t, SQ_ENOMEM, "out of memory for states of %zu bytes", states);
    t->array_bytes += bytes;
    b->block_bytes = bytes;
    b->held_values = b->block;
    b->held_grads = b->held_values + states;
    b->carry = b->held_grads + states;
    b->taped = sqi_budget_take(b, (size_t)cost->stretch, sizeof *b->taped);
    uint32_t *leave = sqi_budget_take(b, (size_t)cost->stretch, n * sizeof *leave);
    b->snapshot = sqi_budget_take(b, (size_t)cost->snapshots, sizeof *b->snapshot);
    if (!b->taped || !leave || !b->snapshot) return false;
    b->n_snapshots = cost->snapshots;
    for (int64_t i = 0; i < cost->stretch; i++) b->taped[i].leave = leave + (size_t)i * n;
    b->holder = sqi_aside_stand(b, b->held_values, b->again.home->step);
    return b->holder != NULL;
}

/* Room for one step, or for the first as it was measured. */
static bool suffices(sqi_budget *b, size_t fixed, const sq_checkpoint_problem *p)
{
    int64_t least = (int64_t)fixed + sq_checkpoint_least(p);
    if (least < b->memory.peak_bytes) least = b->memory.peak_bytes;
    b->tape->doing = "unroll";
    return p->every || b->options.budget_bytes >= least ||
           sq_post(b->tape, SQ_ERANGE,
                   "a budget of %lld bytes is too small: one step takes %lld bytes",
                   (long long)b->options.budget_bytes, (long long)least);
}

/* For inference there is nothing to come back for. */
static bool make_schedule(sqi_budget *b)
{
    sq_tape *t = b->tape;
    if (t->inference) return make_block(b, &(sq_checkpoint_cost){ .stretch = 0 });
    size_t fixed = fixed_bytes(b);
    sq_checkpoint_problem p = { .steps = b->span.steps,
                                .snapshot_bytes = (int64_t)(b->states_bytes + SQI_ALIGN),
                                .tape_bytes = (int64_t)sqi_step_bytes(&b->sizes),
                                .budget = b->options.budget_bytes - (int64_t)fixed,
                                .every = sqi_every_of(&b->options, b->span.steps),
                                .policy = b->options.policy };
    if (!suffices(b, fixed, &p)) return false;
    b->schedule = sqi_timed_schedule(&p, &b->memory.schedule_seconds);
    if (!b->schedule) return sq_post(t, SQ_ENOMEM, "out of memory for a schedule");
    b->memory.predicted = sq_checkpoint_predicted(b->schedule);
    sq_checkpoint_cost cost = b->memory.predicted;
    b->memory.predicted.peak_bytes += (int64_t)fixed;
    return make_block(b, &cost);
}

static void drop_stretch(sqi_budget *b)
{
    while (b->n_taped) sqi_aside_drop(b, &b->taped[--b->n_taped]);
}

/* Everything that is not the home segment's. */
static void drop_schedule(sqi_budget *b)
{
    sq_tape *t = b->tape;
    drop_stretch(b);
    sqi_drop_snapshots(b);
    if (b->holder) sqi_aside_close(t, b->holder);
    sq_checkpoint_free(b->schedule);
    free(b->block);
    t->array_bytes -= b->block_bytes;
    b->holder = NULL;
    b->schedule = NULL;
    b->block = NULL;
    b->block_bytes = 0;
    b->turned = false;
}

static void release(sqi_span *span, sq_tape *t)
{
    sqi_budget *b = (sqi_budget *)span;
    drop_schedule(b);
    sqi_rerun_free(t, &b->again);
    t->array_bytes -= b->print_room * sizeof *b->print;
    free(b->print);
    b->print = NULL;
    b->print_room = b->n_print = 0;
}

/* ---- Its actions -------------------------------------------------------------------------- */

/* A step whose states are copied into the holder. */
static bool pass(sqi_budget *b)
{
    bool ok = sqi_aside_run(b, &b->loose) && store_results(b, &b->loose, b->at - 1);
    if (ok) {
        sqi_save_states(b, b->held_values);
        sqi_present(b, b->holder, b->at);
    }
    sqi_aside_drop(b, &b->loose);
    return ok;
}

static bool tape(sqi_budget *b)
{
    sqi_aside_step *to = &b->taped[b->n_taped];
    if (!sqi_aside_run(b, to)) return false;
    b->n_taped++;
    return store_results(b, to, b->at - 1);
}

/* A snapshot at that step; with 0, a place that is free. */
static sqi_snapshot *snapshot_at(const sqi_budget *b, int64_t step)
{
    for (int64_t i = 0; i < b->n_snapshots; i++)
        if (b->snapshot[i].step == step) return &b->snapshot[i];
    return NULL;
}

static void drop_snapshot(sqi_budget *b, sqi_snapshot *s)
{
    if (!s->step) return;
    free(s->values);
    b->tape->array_bytes -= b->states_bytes + SQI_ALIGN;
    b->held -= b->states_bytes + SQI_ALIGN;
    *s = (sqi_snapshot){ .step = 0 };
}

void sqi_drop_snapshots(sqi_budget *b)
{
    for (int64_t i = 0; i < b->n_snapshots; i++) drop_snapshot(b, &b->snapshot[i]);
}

static void restore(sqi_budget *b, const sq_checkpoint_action *a)
{
    sqi_snapshot *s = a->from ? snapshot_at(b, a->from) : NULL;
    if (s && b->states_bytes) memcpy(b->held_values, s->values, b->states_bytes);
    if (s && a->last) drop_snapshot(b, s);
    sqi_present(b, a->from ? b->holder : NULL, a->from);
}

/* The initial states are always there. */
static bool snap(sqi_budget *b, int64_t at)
{
    sqi_snapshot *s = at ? snapshot_at(b, 0) : NULL;
    if (!s) return true;
    size_t bytes = b->states_bytes + SQI_ALIGN;
    s->values = aligned_alloc(SQI_ALIGN, bytes);
    if (!s->values) return sq_post(b->tape, SQ_ENOMEM, "out of memory for a snapshot");
    b->tape->array_bytes += bytes;
    b->held += bytes;
    s->step = at;
    sqi_save_states(b, s->values);
    return true;
}

bool sqi_budget_act(sqi_budget *b, sq_checkpoint_action a)
{
    bool known = b->whole;
    switch (a.kind) {
    case SQ_RESTORE: restore(b, &a); break;
    case SQ_SNAPSHOT: return snap(b, a.from);
    case SQ_TURN: b->turned = true; break;
    case SQ_ADVANCE:
        while (b->at < a.to && (known || !b->grown))
            if (!pass(b)) return false;
        break;
    case SQ_TAPE:
        while (b->at < a.to && (known || !b->grown))
            if (!tape(b)) return false;
        break;
    case SQ_REVERSE:
    case SQ_DONE: break;
    }
    return true;
}

/* ---- The way forward ---------------------------------------------------------------------- */

/* The slot of a name, or -1. */
static int32_t find_called(const sqi_slot_of *slot, int32_t n, const char *name)
{
    while (n-- > 0)
        if (slot[n].called && strcmp(slot[n].called, name) == 0) return n;
    return -1;
}

/* Names of the measured step: of several values the last, in slots after the output; but one of a
 * state is that of its slot, for what is sent to either is sent to both. */
static bool find_names(sqi_budget *b)
{
    const sqi_segment *s = b->loose.s;
    int32_t n = b->n_states + 1, room = n;
    for (uint32_t i = 1; i < s->n_nodes; i++) room += s->nodes[i].n && s->nodes[i].name;
    sqi_slot_of *slot = sqi_budget_take(b, (size_t)room, sizeof *slot);
    if (!slot) return false;
    memcpy(slot, b->slot, (size_t)n * sizeof *slot);
    b->slot = slot;
    for (uint32_t i = s->n_nodes; i-- > 1;) {
        const sqi_node *v = &s->nodes[i];
        if (!v->n || !v->name || find_called(slot, n, v->name) >= 0) continue;
        char *name = sqi_budget_take(b, strlen(v->name) + 1, 1);
        if (!name) return false;
        strcpy(name, v->name);
        int32_t k = 0;
        while (k < b->n_states && b->loose.leave[k] != i) k++;
        if (k < b->n_states) slot[k].called = name;
        else
            slot[n++] = (sqi_slot_of){ .name = name,
                                       .called = name,
                                       .needs = v->flags & SQI_NEEDS,
                                       .shape = v->shape,
                                       .bytes = sqi_bytes(b->tape, &v->shape) };
    }
    b->n_slots = n;
    return true;
}

/* Its memory came in pieces of any size: it goes back to the system. */
static void drop_measured(sqi_budget *b)
{
    if (b->loose.s) sqi_arena_free(&b->loose.s->arena, &b->tape->pool);
    sqi_aside_drop(b, &b->loose);
}

/* Runs step 0 to learn what a step is. Where its memory came in pieces that are no larger than a
 * step's is to be, its states are the first to be held; else it is run again. */
static bool measure(sqi_budget *b)
{
    if (!sqi_aside_run(b, &b->loose)) return false;
    b->told = true;
    b->grown = false;
    bool serves = b->loose.held <= sqi_step_bytes(&b->sizes) || b->tape->inference;
    bool ok = store_results(b, &b->loose, 0) && find_names(b);
    if (!serves) drop_measured(b);
    ok = ok && make_schedule(b);
    if (ok && serves) sqi_save_states(b, b->held_values);
    drop_measured(b);
    if (ok) sqi_present(b, serves ? b->holder : NULL, serves);
    return ok;
}

/* To the end without keeping anything. */
static bool pass_on(sqi_budget *b)
{
    while (b->at < b->span.steps)
        if (!pass(b)) return false;
    return true;
}

/* From a larger step than the schedule was made for. */
static bool start_over(sqi_budget *b)
{
    sqi_save_states(b, b->held_values);
    sqi_present(b, b->holder, b->at);
    drop_stretch(b);
    if (!pass_on(b)) return false;
    drop_schedule(b);
    b->grown = false;
    return make_schedule(b);
}

/* The first way forward. What step 0 left when it was measured serves unless it is to be taped. */
static bool forward(sqi_budget *b)
{
    if (!measure(b)) return false;
    if (b->tape->inference) return pass_on(b);
    sq_checkpoint_action a = sq_checkpoint_next(b->schedule);
    if (a.kind != SQ_ADVANCE) sqi_present(b, NULL, 0);
    for (;; a = sq_checkpoint_next(b->schedule)) {
        if (!sqi_budget_act(b, a)) return false;
        if (b->grown) return start_over(b);
        if (b->turned) return true;
    }
}

/* ---- As a span ---------------------------------------------------------------------------- */

static bool take_states(sqi_budget *b, const sq_var *state0)
{
    int32_t n = b->n_states;
    b->slot = sqi_budget_take(b, (size_t)n + 1, sizeof *b->slot);
    b->state0 = sqi_budget_take(b, 2 * (size_t)n, sizeof *b->state0);
    b->carried = sqi_budget_take(b, (size_t)n, sizeof *b->carried);
    b->loose.leave = sqi_budget_take(b, (size_t)n, sizeof *b->loose.leave);
    if (!b->slot || !b->state0 || !b->carried || !b->loose.leave) return false;
    b->state = b->state0 + n;
    for (int32_t k = 0; k < n; k++) {
        sq_shape shape = sq_mat(b->batch, b->cell.width[k]);
        b->state0[k] = state0[k];
        b->slot[k] = (sqi_slot_of){
            .name = b->cell.state_names ? b->cell.state_names[k] : NULL,
            .shape = shape,
            .needs = true,
            .bytes = sqi_bytes(b->tape, &shape),
        };
    }
    b->states_bytes = (size_t)(sqi_state_at(b, (char *)b, n) - (char *)b);
    sqi_present(b, NULL, 0);
    return true;
}

/* Everything that home imports or uses is an operand: what is derived goes through here. */
static bool record_span(sqi_budget *b)
{
    sq_tape *t = b->tape;
    const sqi_segment *home = b->again.home;
    uint32_t *operands = sqi_budget_take(b, home->n_nodes, sizeof *operands);
    int32_t n = 0;
    for (uint32_t i = 1; operands && i < home->n_nodes; i++)
        if (!(home->nodes[i].flags & SQI_DEAD)) operands[n++] = i;
    return operands && sqi_span_record(t, &b->span, NULL, operands, n);
}

static void *value_of(sqi_span *span, sq_tape *t, int32_t slot, int64_t step);

sqi_budget *sqi_budget_unroll(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                              int64_t steps, int64_t batch, const sq_unroll_options *options)
{
    sqi_budget *b = sqi_tape_alloc(t, sizeof *b);
    if (!b) return NULL;
    *b = (sqi_budget){ .tape = t,
                       .cell = *cell,
                       .options = *options,
                       .x = x,
                       .batch = batch,
                       .n_states = cell->n_states,
                       .n_slots = cell->n_states + 1,
                       .again = { .home = t->current, .run = t->chance, .seed = t->seed } };
    b->again.run.taken = 0;
    b->memory.budgeted = !t->inference;
    b->span = (sqi_span){ .steps = steps,
                          .seed = sqi_budget_seed,
                          .grad = sqi_budget_grad,
                          .reached = sqi_budget_reached,
                          .reverse = sqi_budget_reverse,
                          .push = sqi_budget_push,
                          .value = value_of,
                          .release = release,
                          .unkept = "unroll with options.state_grads, or mark it with "
                                    "sq_keep_grad before the sweep" };
    sqi_rerun_begin(t, &b->again);
    bool ok = take_states(b, state0) && forward(b);
    sqi_rerun_end(t, &b->again);
    b->whole = true;
    b->ran_before = b->ran;
    b->ran = 0;
    if (ok && record_span(b)) return b;
    release(&b->span, t);
    return NULL;
}

/* ---- Parts -------------------------------------------------------------------------------- */

/* A value that is there already. */
static void *ready_value(sqi_budget *b, int32_t slot, int64_t step)
{
    if (slot == b->n_states && b->outputs)
        return b->outputs + (size_t)(step == SQI_ALL_STEPS ? 0 : step) * b->slot[slot].bytes;
    const sqi_asked *a = step < 0 ? NULL : sqi_asked_of(b, slot, step, false);
    return a ? a->value : NULL;
}

/* Runs from the present states to the end of a step, two steps at a time alive. */
static bool run_to(sqi_budget *b, int64_t end, sqi_aside_step *step)
{
    sqi_aside_step before = { .leave = step[1].leave };
    while (b->at < end) {
        sqi_aside_step now = { .leave = step[0].leave };
        if (!sqi_aside_run(b, &now)) break;
        sqi_aside_drop(b, &before);
        step[0].leave = before.leave;
        before = now;
    }
    if (b->at < end) sqi_aside_drop(b, &before);
    step[1] = before;
    return b->at == end;
}

/* The nearest snapshot before a step; NULL: the initial states. */
static const sqi_snapshot *nearest(const sqi_budget *b, int64_t step)
{
    const sqi_snapshot *best = NULL;
    for (int64_t i = 0; i < b->n_snapshots; i++) {
        const sqi_snapshot *s = &b->snapshot[i];
        if (s->step && s->step <= step && (!best || s->step > best->step)) best = s;
    }
    return best;
}

static bool run_for_value(sqi_budget *b, int32_t slot, int64_t step)
{
    size_t n = (size_t)b->n_states + 1;
    uint32_t *leave = sqi_budget_take(b, 2 * n, sizeof *leave);
    sqi_aside_step steps[2] = { { .leave = leave }, { .leave = leave + n } };
    const sqi_snapshot *from = nearest(b, step);
    int64_t ran = b->ran;
    sqi_segment *stand = NULL;
    if (!leave) return false;
    if (from) {
        stand = sqi_aside_stand(b, from->values, b->again.home->step);
        if (!stand) return false;
    }
    sqi_present(b, stand, stand ? from->step : 0);
    bool ok = run_to(b, step + 1, steps);
    uint32_t i = ok ? sqi_slot_node(b, &steps[1], slot) : 0;
    ok = ok && store(b, slot, step, steps[1].s->nodes[i].value);
    sqi_aside_drop(b, &steps[1]);
    if (stand) sqi_aside_close(b->tape, stand);
    b->ran = ran;
    return ok;
}

/* The steps that are run for it lie beside the budget; it is the reader who wants them. */
static void *value_of(sqi_span *span, sq_tape *t, int32_t slot, int64_t step)
{
    sqi_budget *b = (sqi_budget *)span;
    int64_t at = b->at, peak = b->memory.peak_bytes;
    if (ready_value(b, slot, step)) return ready_value(b, slot, step);
    sqi_rerun_begin(t, &b->again);
    bool ok = run_for_value(b, slot, step);
    sqi_rerun_end(t, &b->again);
    b->at = at;
    b->memory.peak_bytes = peak;
    return ok ? ready_value(b, slot, step) : NULL;
}

sq_var sqi_budget_part(sqi_budget *b, int32_t slot, int64_t step)
{
    sq_tape *t = b->tape;
    bool all = step == SQI_ALL_STEPS, state = slot < b->n_states;
    sq_shape shape = b->slot[slot].shape;
    uint64_t home = b->again.home->ordinal;
    if (t->error.status || (slot == b->n_states && !b->has_output)) return sqi_none(t);
    sqi_asked *a = all ? NULL : sqi_asked_of(b, slot, step, true);
    if (all ? !sqi_span_stack(t, b->span.steps, &shape) : !a) return sqi_none(t);
    if (a && a->id) return (sq_var){ t, a->id };
    uint32_t flags = (b->slot[slot].needs ? SQI_NEEDS : 0) | (state ? SQI_STATE : SQI_KEEP);
    sq_var v = sqi_span_part(t, home, slot, step, shape, ready_value(b, slot, step),
                             b->slot[slot].name, flags);
    if (a) a->id = v.id;
    return v;
}

sq_var sqi_budget_named(sqi_budget *b, const char *name, int64_t step)
{
    int32_t slot = b->n_print == 1 ? find_called(b->slot, b->n_slots, name) : -1;
    if (slot < 0) return sqi_none(b->tape);
    sq_var v = sqi_budget_part(b, slot, step);
    return slot < b->n_states && sqi_index(v.id) ? sq_keep_grad(v) : v;
}

sq_unrolled_memory sqi_budget_memory(const sqi_budget *b)
{
    sq_unrolled_memory m = b->memory;
    m.extra_steps = b->ran_before + b->ran - b->span.steps;
    m.beside_bytes = (int64_t)b->again.home->arena.used;
    return m;
}
