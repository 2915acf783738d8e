/* plan_wake.c -- what a sweep brings to a span and leaves there: seeds and gradients by slot.
 *
 * A slot is a state, the output, or a named value; a part is one step of a slot. What arrives from
 * outside is added to the part's place in the slot's array, which is zeroed at its first touch.
 * Arrays are made when they are first needed and stay with the segment. */
#include "graph/plan_impl.h"

#include <string.h>

static void *home_alloc(sq_tape *t, sqi_planned *u, size_t n, size_t size)
{
    void *block = n < SIZE_MAX / 2 / (size ? size : 1)
                      ? sqi_arena_alloc(&u->home->arena, &t->pool, n * size)
                      : NULL;
    if (!block) return sq_post(t, SQ_ENOMEM, "out of memory for the gradients of a plan"), NULL;
    return block;
}

static void *home_zeroed(sq_tape *t, sqi_planned *u, size_t n, size_t size)
{
    void *block = home_alloc(t, u, n, size);
    return block ? memset(block, 0, n * size) : NULL;
}

static size_t slot_bytes(const sqi_planned *u, int32_t slot)
{
    return sqi_value_bytes(u->plan, sqi_slot_value(u->plan, slot));
}

/* Arrays of a lane, and a new sweep's clean start; false after posting. */
static bool wake_open(sq_tape *t, sqi_planned *u, int lane)
{
    sqi_wake *w = &u->wake[lane];
    size_t n = (size_t)sqi_n_slots(u->plan), named = (size_t)u->plan->n_named;
    if (!w->grad) {
        w->grad = home_zeroed(t, u, n, sizeof *w->grad);
        w->seeded = home_zeroed(t, u, n, sizeof *w->seeded);
        w->any = home_zeroed(t, u, n, 1);
        w->tapped = home_zeroed(t, u, named, 1);
        if (!w->grad || !w->seeded || !w->any || !w->tapped) return w->grad = NULL, false;
    }
    if (w->stamp == t->sweep[lane]) return true;
    for (size_t i = 0; i < n; i++)
        if (w->any[i]) memset(w->seeded[i], 0, (size_t)u->span.steps);
    memset(w->any, 0, n);
    memcpy(w->tapped, u->tapped, named);
    w->top = SQI_NO_STEP;
    w->stamp = t->sweep[lane];
    return true;
}

static bool slot_open(sq_tape *t, sqi_planned *u, int lane, int32_t slot)
{
    sqi_wake *w = &u->wake[lane];
    size_t steps = (size_t)u->span.steps + (slot < u->plan->n_states);
    if (!w->grad[slot]) w->grad[slot] = home_alloc(t, u, steps, slot_bytes(u, slot));
    return w->grad[slot] != NULL;
}

static char *part_at(const sqi_planned *u, int lane, int32_t slot, int64_t step)
{
    size_t index = (size_t)step + (slot < u->plan->n_states);
    return u->wake[lane].grad[slot] + index * slot_bytes(u, slot);
}

static void seed_step(sqi_planned *u, int lane, int32_t slot, int64_t step, bool zero)
{
    sqi_wake *w = &u->wake[lane];
    if (zero && !w->seeded[slot][step])
        memset(part_at(u, lane, slot, step), 0, slot_bytes(u, slot));
    w->seeded[slot][step] = 1;
    if (step > w->top) w->top = step;
}

void *sqi_wake_seed(sqi_span *span, sq_tape *t, int lane, int32_t slot, int64_t step, bool zero)
{
    sqi_planned *u = (sqi_planned *)span;
    sqi_wake *w = &u->wake[lane];
    if (!wake_open(t, u, lane) || !slot_open(t, u, lane, slot)) return NULL;
    if (!w->seeded[slot]) w->seeded[slot] = home_zeroed(t, u, (size_t)span->steps, 1);
    if (!w->seeded[slot]) return NULL;
    w->any[slot] = true;
    bool all = step == SQI_ALL_STEPS;
    for (int64_t i = all ? 0 : step; i < (all ? span->steps : step + 1); i++)
        seed_step(u, lane, slot, i, zero);
    return part_at(u, lane, slot, all ? 0 : step);
}

const void *sqi_wake_grad(const sqi_span *span, const sq_tape *t, int lane, int32_t slot,
                          int64_t step, bool *kept)
{
    const sqi_planned *u = (const sqi_planned *)span;
    const sqi_wake *w = &u->wake[lane];
    int32_t output = sqi_slot_output(u->plan);
    *kept = true;
    if (!w->grad || w->stamp != t->sweep[lane]) return NULL;
    if (slot > output) *kept = w->tapped[slot - output - 1];
    if (!*kept || !w->grad[slot] || step > w->top) return NULL;
    if (slot == output && !w->any[slot]) return NULL;
    if (step == SQI_ALL_STEPS) {
        for (int64_t s = 0; s < span->steps; s++)
            if (!w->seeded[slot][s]) memset(part_at(u, lane, slot, s), 0, slot_bytes(u, slot));
        return part_at(u, lane, slot, 0);
    }
    if (slot == output && !w->seeded[slot][step]) return NULL;
    return part_at(u, lane, slot, step);
}

bool sqi_wake_reached(const sqi_span *span, const sq_tape *t, int lane)
{
    const sqi_planned *u = (const sqi_planned *)span;
    const sqi_wake *w = &u->wake[lane];
    return w->grad && w->stamp == t->sweep[lane] && w->top >= span->low;
}

bool sqi_wake_ready(sq_tape *t, sqi_planned *u, int lane)
{
    const sqi_plan *p = u->plan;
    for (int32_t slot = 0; slot < sqi_n_slots(p); slot++) {
        int32_t v = sqi_slot_value(p, slot), j = slot - p->n_states - 1;
        bool wanted = slot < p->n_states ||
                      (j < 0 ? v >= 0 && p->values[v].state < 0 : u->wake[lane].tapped[j]);
        if (wanted && !slot_open(t, u, lane, slot)) return false;
    }
    return true;
}
