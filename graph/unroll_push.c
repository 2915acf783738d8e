/* unroll_push.c -- forward mode through an eager unroll that does not keep its steps.
 *
 * The steps are called once more, from the first, two of them alive at a time, and each takes its
 * tangents with it. What somebody holds of a step is a part, which outlives it: a part that moves
 * moves its node, and in the end takes over all that came down to that. */
#include "core/tangent_impl.h"
#include "graph/unroll_impl.h"

#include <string.h>

typedef struct push {
    sqi_budget *b;
    sq_tape *t;
    sqi_tangents *tangents;
    sqi_arena memory[2]; /* of a step and the one before */
    uint32_t *all;       /* nodes that stand for the outputs of all steps */
    uint32_t n_all;
} push;

static sqi_node *part_of(const push *f, int32_t slot, int64_t step)
{
    const sqi_asked *a = sqi_asked_of(f->b, slot, step, false);
    return a && a->id ? sqi_node_find(f->t, a->id) : NULL;
}

/* to += dx, of n numbers. */
static void add(const push *f, int64_t n, const void *dx, void *to)
{
    if (dx && to) f->t->kern->of[f->t->dtype].axpy(n, 1, dx, to);
}

/* What was moved from outside moves within the step. */
static bool enter(push *f, const sqi_aside_step *step, int64_t i)
{
    for (int32_t slot = 0; slot < f->b->n_slots; slot++) {
        const sqi_node *part = part_of(f, slot, i);
        const void *dx = part ? sqi_tangent_of(f->t, part) : NULL;
        if (!dx) continue;
        sqi_node *n = &step->s->nodes[sqi_slot_node(f->b, step, slot)];
        void *to = sqi_tangent_open(f->t, &f->memory[i % 2], n);
        if (!to) return false;
        add(f, sq_shape_size(n->shape), dx, to);
    }
    return true;
}

static bool leave(push *f, const sqi_aside_step *step, int64_t i)
{
    for (int32_t slot = 0; slot < f->b->n_slots; slot++) {
        sqi_node *part = part_of(f, slot, i);
        if (!part) continue;
        const void *dx = sqi_tangent_of(f->t, &step->s->nodes[sqi_slot_node(f->b, step, slot)]);
        void *to = dx ? sqi_tangent_open(f->t, sqi_tangents_kept(f->tangents), part) : NULL;
        if (dx && !to) return false;
        size_t bytes = f->b->slot[slot].bytes;
        if (dx && bytes) memcpy(to, dx, bytes);
    }
    return true;
}

/* The output's tangent goes into that of all outputs. */
static bool leave_outputs(push *f, const sqi_aside_step *step, int64_t i)
{
    const sqi_slot_of *slot = &f->b->slot[f->b->n_states];
    const void *dx = step->output ? sqi_tangent_of(f->t, &step->s->nodes[step->output]) : NULL;
    for (uint32_t j = 0; dx && j < f->n_all; j++) {
        sqi_node *n = &f->b->again.home->nodes[f->all[j]];
        char *to = sqi_tangent_of(f->t, n)
                       ? n->grad[SQI_LANE_PROBE].at
                       : sqi_tangent_open(f->t, sqi_tangents_kept(f->tangents), n);
        if (!to) return false;
        add(f, sq_shape_size(slot->shape), dx, to + (size_t)i * slot->bytes);
    }
    return true;
}

static bool one_step(push *f, sqi_aside_step *now, int64_t i)
{
    sqi_arena *memory = &f->memory[i % 2];
    sqi_arena_clear(memory, &f->t->pool);
    if (!sqi_aside_run(f->b, now)) return false;
    return i < f->b->span.low ||
           (enter(f, now, i) && sqi_tangents_aside(f->tangents, now->s, memory) &&
            leave(f, now, i) && leave_outputs(f, now, i));
}

/* To the end of the sweep; NULL after posting. */
static uint32_t *take(push *f, size_t n)
{
    void *at =
        sqi_arena_alloc(sqi_tangents_kept(f->tangents), &f->t->pool, n * sizeof(uint32_t));
    if (!at) sq_post(f->t, SQ_ENOMEM, "out of memory for the nodes of a step");
    return at;
}

static bool find_all(push *f)
{
    const sqi_segment *home = f->b->again.home;
    f->all = take(f, home->n_nodes);
    for (uint32_t i = f->b->span.node + 1; f->all && i < home->n_nodes; i++) {
        const sqi_node *n = &home->nodes[i];
        if (n->op == &sqi_op_part && sqi_part_step(n) == SQI_ALL_STEPS) f->all[f->n_all++] = i;
    }
    return f->all != NULL;
}

/* What a cut took moves nothing. */
static bool all_steps(push *f)
{
    size_t n = (size_t)f->b->n_states + 1;
    uint32_t *leaves = take(f, 2 * n);
    if (!leaves || !find_all(f)) return false;
    sqi_aside_step steps[2] = { { .leave = leaves }, { .leave = leaves + n } };
    bool ok = true;
    for (int64_t i = 0; ok && i < f->b->span.steps; i++) {
        sqi_aside_drop(f->b, &steps[i % 2]);
        ok = one_step(f, &steps[i % 2], i);
    }
    for (int i = 0; i < 2; i++) sqi_aside_drop(f->b, &steps[i]);
    return ok;
}

bool sqi_budget_push(sqi_span *span, sq_tape *t, sqi_tangents *tangents)
{
    sqi_budget *b = (sqi_budget *)span;
    push f = { .b = b, .t = t, .tangents = tangents };
    int64_t at = b->at, ran = b->ran, peak = b->memory.peak_bytes;
    sqi_rerun_begin(t, &b->again);
    sqi_present(b, NULL, 0);
    bool ok = all_steps(&f);
    sqi_rerun_end(t, &b->again);
    for (int i = 0; i < 2; i++) sqi_arena_clear(&f.memory[i], &t->pool);
    b->at = at, b->ran = ran, b->memory.peak_bytes = peak;
    return ok;
}
