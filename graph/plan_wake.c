/* plan_wake.c -- what a sweep brings to a span and leaves there: seeds and gradients by slot.
 *
 * A slot is a state, the output, or a named value; a part is one step of a slot. What arrives from
 * outside is added to the part's place in the slot's pages, which is zeroed at its first touch.
 * Pages are made when they are first needed and stay with the segment: one for all steps, which a
 * sweep then works in, or, where an unroll does not keep all steps, small ones for what was sent or
 * asked for. */
#include "graph/plan_impl.h"

#include <string.h>

static void *home_zeroed(sq_tape *t, sqi_planned *u, size_t n, size_t size)
{
    void *block = sqi_planned_take(t, u, n, size, false);
    return block ? memset(block, 0, n * size) : NULL;
}

static size_t slot_bytes(const sqi_planned *u, int32_t slot)
{
    return sqi_value_bytes(u->plan, sqi_slot_value(u->plan, slot));
}

/* Whether the gradients of all steps of a slot lie behind each other. */
static bool is_whole(const sqi_planned *u, int32_t slot)
{
    const sqi_stretches *b = u->stretch;
    int32_t output = sqi_slot_output(u->plan);
    return !b || (slot < output ? b->state_grads : slot == output && b->outputs);
}

/* The page table of a slot; false after posting. */
static bool pages_open(sq_tape *t, sqi_planned *u, int lane, int32_t slot)
{
    enum { PAGE_BYTES = 4096 };
    sqi_pages *g = &u->wake[lane].grad[slot];
    int64_t bytes = (int64_t)slot_bytes(u, slot);
    if (g->page) return true;
    g->n = u->span.steps + (slot < u->plan->n_states);
    g->run = is_whole(u, slot) ? g->n : bytes && bytes < PAGE_BYTES ? PAGE_BYTES / bytes : 1;
    g->page = home_zeroed(t, u, (size_t)((g->n + g->run - 1) / g->run), sizeof *g->page);
    return g->page != NULL;
}

static int64_t index_of(const sqi_planned *u, int32_t slot, int64_t step)
{
    return step + (slot < u->plan->n_states);
}

/* The page that holds a part; false after posting. */
static bool part_open(sq_tape *t, sqi_planned *u, int lane, int32_t slot, int64_t step)
{
    if (!pages_open(t, u, lane, slot)) return false;
    sqi_pages *g = &u->wake[lane].grad[slot];
    int64_t p = index_of(u, slot, step) / g->run;
    int64_t left = g->n - p * g->run, n = left < g->run ? left : g->run;
    bool exact = u->stretch && g->run == g->n;
    if (!g->page[p]) g->page[p] = sqi_planned_take(t, u, (size_t)n, slot_bytes(u, slot), exact);
    return g->page[p] != NULL;
}

char *sqi_wake_at(const sqi_planned *u, int lane, int32_t slot, int64_t step)
{
    const sqi_pages *g = &u->wake[lane].grad[slot];
    int64_t i = index_of(u, slot, step);
    int64_t p = g->run == g->n ? 0 : i / g->run;
    char *page = g->page ? g->page[p] : NULL;
    return page ? page + (size_t)(i - p * g->run) * slot_bytes(u, slot) : NULL;
}

/* Arrays of a lane, and a new sweep's clean start; false after posting. */
static bool wake_open(sq_tape *t, sqi_planned *u, int lane)
{
    sqi_wake *w = &u->wake[lane];
    size_t n = (size_t)sqi_n_slots(u->plan), named = (size_t)u->plan->n_named;
    if (!w->grad) {
        w->grad = home_zeroed(t, u, n, sizeof *w->grad);
        w->marks = home_zeroed(t, u, n, sizeof *w->marks);
        w->any = home_zeroed(t, u, n, 1);
        w->tapped = home_zeroed(t, u, named, 1);
        w->arrives = home_zeroed(t, u, n, 1);
        if (!w->grad || !w->marks || !w->any || !w->tapped || !w->arrives)
            return w->grad = NULL, false;
    }
    if (w->stamp == t->sweep[lane]) return true;
    for (size_t i = 0; i < n; i++)
        if (w->any[i]) memset(w->marks[i], 0, (size_t)u->span.steps);
    memset(w->any, 0, n);
    memcpy(w->tapped, u->tapped, named);
    w->top = SQI_NO_STEP;
    w->stamp = t->sweep[lane];
    return true;
}

static bool marks_open(sq_tape *t, sqi_planned *u, int lane, int32_t slot)
{
    sqi_wake *w = &u->wake[lane];
    if (!w->marks[slot]) w->marks[slot] = home_zeroed(t, u, (size_t)u->span.steps, 1);
    w->any[slot] |= w->marks[slot] != NULL;
    return w->marks[slot] != NULL;
}

static void seed_step(sqi_planned *u, int lane, int32_t slot, int64_t step, bool zero)
{
    sqi_wake *w = &u->wake[lane];
    if (zero && !sqi_wake_marked(w, slot, step, SQI_SEEDED))
        memset(sqi_wake_at(u, lane, slot, step), 0, slot_bytes(u, slot));
    w->marks[slot][step] |= SQI_SEEDED;
    if (step > w->top) w->top = step;
}

void *sqi_wake_seed(sqi_span *span, sq_tape *t, int lane, int32_t slot, int64_t step, bool zero)
{
    sqi_planned *u = (sqi_planned *)span;
    bool all = step == SQI_ALL_STEPS;
    int64_t first = all ? 0 : step;
    if (!wake_open(t, u, lane) || !part_open(t, u, lane, slot, first) ||
        !marks_open(t, u, lane, slot))
        return NULL;
    for (int64_t i = first; i < (all ? span->steps : step + 1); i++)
        seed_step(u, lane, slot, i, zero);
    return sqi_wake_at(u, lane, slot, first);
}

/* Whether the last sweep kept the gradient of a part. */
static bool was_kept(const sqi_planned *u, const sqi_wake *w, int32_t slot, int64_t step)
{
    int32_t output = sqi_slot_output(u->plan);
    if (slot > output && !w->tapped[slot - output - 1]) return false;
    return slot == output || is_whole(u, slot) ||
           sqi_wake_marked(w, slot, step, SQI_SEEDED | SQI_WANTED);
}

const void *sqi_wake_grad(const sqi_span *span, const sq_tape *t, int lane, int32_t slot,
                          int64_t step, bool *kept)
{
    const sqi_planned *u = (const sqi_planned *)span;
    const sqi_wake *w = &u->wake[lane];
    int32_t output = sqi_slot_output(u->plan);
    *kept = true;
    if (!w->grad || w->stamp != t->sweep[lane]) return NULL;
    *kept = was_kept(u, w, slot, step);
    if (!*kept || step > w->top) return NULL;
    if (slot == output && !w->any[slot]) return NULL;
    if (slot > output && !w->arrives[slot]) return NULL;
    if (step == SQI_ALL_STEPS) {
        for (int64_t s = 0; s < span->steps; s++)
            if (!sqi_wake_marked(w, slot, s, SQI_SEEDED))
                memset(sqi_wake_at(u, lane, slot, s), 0, slot_bytes(u, slot));
        return sqi_wake_at(u, lane, slot, 0);
    }
    if (slot == output && !sqi_wake_marked(w, slot, step, SQI_SEEDED)) return NULL;
    return sqi_wake_at(u, lane, slot, step);
}

bool sqi_wake_reached(const sqi_span *span, const sq_tape *t, int lane)
{
    const sqi_planned *u = (const sqi_planned *)span;
    const sqi_wake *w = &u->wake[lane];
    return w->grad && w->stamp == t->sweep[lane] && w->top >= span->low;
}

sqi_back *sqi_wake_back(sq_tape *t, sqi_planned *u, int lane)
{
    sqi_wake *w = &u->wake[lane];
    sqi_back *b = sqi_plan_back(t, u->plan, w->tapped, w->any);
    if (b) memcpy(w->arrives, b->arrives, (size_t)sqi_n_slots(u->plan));
    return b;
}

/* Where all steps are kept, a sweep works in the slot's own array. */
static bool works_in(const sqi_planned *u, int lane, int32_t slot)
{
    const sqi_plan *p = u->plan;
    int32_t v = sqi_slot_value(p, slot), j = slot - p->n_states - 1;
    if (u->stretch) return slot < p->n_states && u->stretch->state_grads;
    return slot < p->n_states ||
           (j < 0 ? v >= 0 && p->values[v].state < 0 : u->wake[lane].tapped[j]);
}

/* Whether the gradient of a part is asked for: of a named value by taking its handle, of a state by
 * a mark or a ledger. */
static bool is_wanted(const sq_tape *t, const sqi_planned *u, int lane, const sqi_node *n)
{
    if (n->op != &sqi_op_part || n->flags & SQI_DEAD) return false;
    if ((int32_t)n->source > sqi_slot_output(u->plan)) return true;
    bool listed = lane == SQI_LANE_PROBE && n->listed && n->listed == t->ledgers;
    return (int32_t)n->source < u->plan->n_states && (n->flags & SQI_KEEP || listed);
}

bool sqi_wake_ready(sq_tape *t, sqi_planned *u, int lane)
{
    for (int32_t slot = 0; slot < sqi_n_slots(u->plan); slot++)
        if (works_in(u, lane, slot) && !part_open(t, u, lane, slot, 0)) return false;
    for (uint32_t i = u->span.node + 1; u->stretch && i < u->home->n_nodes; i++) {
        const sqi_node *n = &u->home->nodes[i];
        int32_t slot = (int32_t)n->source;
        int64_t step = sqi_part_step(n);
        if (!is_wanted(t, u, lane, n)) continue;
        if (!part_open(t, u, lane, slot, step) || !marks_open(t, u, lane, slot)) return false;
        u->wake[lane].marks[slot][step] |= SQI_WANTED;
    }
    return true;
}
