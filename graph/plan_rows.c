/* plan_rows.c -- rows that end: no work is done on what follows a row's last step.
 *
 *     the caller's rows   0 ######        sorted by length   2 ##########     active(t), rows that
 *                         1 ###                              0 ######         take part in step t,
 *                         2 ##########                       1 ###            never grows
 *
 * Rows are independent and lie longest first, so the rows of a step are 0 .. active(t) - 1, and the
 * arrays of a run hold these alone, step after step: step t begins before[t] rows behind step 0.
 * Many steps at once, hoisted, sunk, or added up to a weight gradient, are one product still, of
 * sum active(t) rows. A state's array begins with all initial rows; only there the rows that enter a
 * step are not all that left the one before, so for weight gradients they are copied closer.
 *
 * The step itself hands the states of a row past its end on, and gives out 0 (by masks, which are
 * part of it): what is left out is known without running it, bit for bit. Towards the outside all is
 * in the caller's order: parts are copies, seeds are sorted before a sweep and gradients put back after
 * it. What was sent to a row after its end is added up on the way back to its last step, the latest
 * first, as the masks would. */
#include "graph/plan_run_impl.h"

#include <string.h>

/* ---- Which plans, which rows --------------------------------------------------------------- */

/* An operand from outside that has rows of its own is in the caller's order. */
static bool has_rows(const sqi_plan *p, const sqi_value *v, int32_t operand)
{
    const sqi_value *x = &p->values[operand];
    return p->batch > 1 && x->kind == SQI_OUTER && x->shape.rank == v->shape.rank &&
           x->shape.dim[0] == p->batch;
}

bool sqi_plan_shrinks(const sqi_plan *p)
{
    bool rowwise = p->output < 0 || p->values[p->output].by_row;
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < p->tasks[phase].n; i++)
            rowwise = rowwise && p->tasks[phase].at[i].sharable;
    for (int32_t i = 0; i < p->n_values; i++) {
        const sqi_value *v = &p->values[i];
        for (int32_t k = 0; v->kind == SQI_MAP && k < v->n; k++)
            rowwise = rowwise && !has_rows(p, v, p->operands[v->first + k]);
    }
    return rowwise;
}

/* Longest first; of equal ones the caller's first. */
static void sort_rows(sqi_shrunk *g, const int32_t *lengths, int64_t steps)
{
    int64_t n = 0;
    g->steps = 0;
    for (int64_t b = 0; b < g->batch; b++)
        if (lengths[b] > g->steps) g->steps = lengths[b];
    memset(g->before, 0, (size_t)(steps + 1) * sizeof *g->before);
    for (int64_t b = 0; b < g->batch; b++) g->before[lengths[b]]++;
    for (int64_t l = steps; l >= 0; l--) { /* where rows of a length begin */
        int64_t rows = g->before[l];
        g->before[l] = n;
        n += rows;
    }
    for (int64_t b = 0; b < g->batch; b++) {
        int64_t row = g->before[lengths[b]]++;
        g->order[row] = (int32_t)b;
        g->length[row] = lengths[b];
    }
}

static void count_rows(sqi_shrunk *g, int64_t steps)
{
    int64_t active = g->batch, sum = 0;
    for (int64_t t = 0; t < steps; t++) {
        while (active && g->length[active - 1] <= t) active--;
        g->before[t] = sum;
        sum += active;
    }
    g->before[steps] = g->before[steps + 1] = sum;
    g->before[-1] = -g->batch;
}

/* Blocks of nearly as many rows each. */
static void cut_blocks(sqi_shrunk *g, int64_t rows)
{
    int64_t all = g->before[g->steps], n = (all + rows - 1) / rows, block = 0, first = 0;
    for (int64_t t = 0; t < g->steps; t++) {
        if (t > first && g->before[t] * n >= (block + 1) * all) {
            first = t;
            while (g->before[t] * n >= (block + 1) * all) block++;
        }
        g->begin[t] = (int32_t)first;
        int64_t here = g->before[t + 1] - g->before[first], steps = t + 1 - first;
        if (here > g->most_rows) g->most_rows = here;
        if (steps > g->most_steps) g->most_steps = steps;
    }
}

bool sqi_shrunk_make(sq_tape *t, sqi_planned *u, const int32_t *lengths, int64_t rows)
{
    size_t steps = (size_t)u->span.steps, batch = (size_t)u->plan->batch;
    sqi_shrunk *g = sqi_planned_take(t, u, 1, sizeof *g, false);
    if (!g) return false;
    *g = (sqi_shrunk){ .batch = u->plan->batch };
    g->before = sqi_planned_take(t, u, steps + 3, sizeof *g->before, false);
    g->order = sqi_planned_take(t, u, batch, sizeof *g->order, false);
    g->length = sqi_planned_take(t, u, batch, sizeof *g->length, false);
    g->begin = sqi_planned_take(t, u, steps, sizeof *g->begin, false);
    if (!g->before || !g->order || !g->length || !g->begin) return false;
    g->before++;
    sort_rows(g, lengths, u->span.steps);
    count_rows(g, u->span.steps);
    cut_blocks(g, rows);
    u->shrunk = g;
    return true;
}

int64_t sqi_block_begin(const sqi_planned *u, int64_t step)
{
    const sqi_shrunk *g = u->shrunk;
    return !g ? step / u->block * u->block : step < g->steps ? g->begin[step] : step;
}

int64_t sqi_block_end(const sqi_planned *u, int64_t step)
{
    const sqi_shrunk *g = u->shrunk;
    int64_t end = step + 1;
    if (!g) return sqi_block_begin(u, step) + u->block;
    while (end < g->steps && g->begin[end] == g->begin[step]) end++;
    return end;
}

/* ---- Values -------------------------------------------------------------------------------- */

size_t sqi_kept_bytes(const sqi_planned *u, int32_t v)
{
    const sqi_shrunk *g = u->shrunk;
    size_t first = u->plan->values[v].state >= 0 ? sqi_value_bytes(u->plan, v) : 0;
    int64_t units = g ? g->before[g->steps] : u->span.steps;
    return first + sqi_unit_bytes(u, v) * (size_t)units;
}

bool sqi_shrunk_enter(sq_tape *t, sqi_planned *u)
{
    const sqi_plan *p = u->plan;
    sqi_shrunk *g = u->shrunk;
    for (int32_t k = 0; k < p->n_states; k++) {
        size_t row = sqi_unit_bytes(u, p->leaves[k]);
        const char *from = sqi_planned_operand(u, u->first_state + k);
        for (int64_t r = 0; row && r < g->batch; r++)
            memcpy(u->kept[p->leaves[k]] + (size_t)r * row, from + (size_t)g->order[r] * row,
                   row);
    }
    if (p->x < 0) return true;
    size_t row = sqi_unit_bytes(u, p->x);
    const char *from = sqi_planned_operand(u, 0);
    g->x = sqi_planned_take(t, u, (size_t)g->before[g->steps], row, false);
    if (!g->x) return false;
    for (int64_t s = 0; row && s < g->steps; s++, from += (size_t)g->batch * row)
        for (int64_t r = 0; r < sqi_active(g, s); r++)
            memcpy(g->x + (size_t)(g->before[s] + r) * row, from + (size_t)g->order[r] * row,
                   row);
    u->x = g->x;
    return true;
}

void sqi_shrunk_value(const sqi_planned *u, int32_t slot, int64_t step, char *to)
{
    const sqi_plan *p = u->plan;
    const sqi_shrunk *g = u->shrunk;
    int32_t v = sqi_slot_value(p, slot);
    size_t row = sqi_unit_bytes(u, v);
    const char *kept = u->kept[v] + (p->values[v].state >= 0 ? sqi_value_bytes(p, v) : 0);
    for (int64_t r = 0; row && r < g->batch; r++) {
        int64_t last = step < g->length[r] ? step : g->length[r] - 1;
        char *at = to + (size_t)g->order[r] * row;
        if (last < step && slot >= p->n_states) memset(at, 0, row);
        else memcpy(at, kept + (ptrdiff_t)row * (g->before[last] + r), row);
    }
}

/* ---- Shares -------------------------------------------------------------------------------- */

/* The first step of the block behind which the i-th of n equal shares of its rows begins. */
static int64_t step_border(const sqi_worker *w, int32_t i)
{
    const int64_t *before = w->r->u->shrunk->before;
    int64_t step = w->first, want = (before[w->last] - before[step]) * i / w->n;
    while (step < w->last && before[step] - before[w->first] < want) step++;
    return i == w->n ? w->last : step;
}

sqi_window sqi_share_shrunk_steps(const sqi_worker *w)
{
    int64_t from = step_border(w, w->i), to = step_border(w, w->i + 1);
    return (sqi_window){ from, to - from, 0, w->r->p->batch };
}

/* The same for rows, each of which takes part in some steps of the block. */
static int64_t row_border(const sqi_worker *w, int32_t i)
{
    const sqi_shrunk *g = w->r->u->shrunk;
    int64_t row = 0, sum = 0, want = (g->before[w->last] - g->before[w->first]) * i / w->n;
    for (; sum < want; row++)
        sum += (g->length[row] < w->last ? g->length[row] : w->last) - w->first;
    return row;
}

sqi_window sqi_share_shrunk_rows(const sqi_worker *w)
{
    int64_t from = row_border(w, w->i), to = row_border(w, w->i + 1);
    return (sqi_window){ w->first, 1, from, to - from };
}

/* ---- Sweeps: room -------------------------------------------------------------------------- */

static bool is_seeded(const sqi_run_of *r, int32_t slot, int64_t step)
{
    return sqi_wake_marked(r->wake, slot, step, SQI_SEEDED);
}

/* Rows of a slot at a step, sorted. */
static char *sorted_at(const sqi_run_of *r, int32_t slot, int64_t step, int64_t row)
{
    const sqi_plan *p = r->p;
    int32_t v = sqi_slot_value(p, slot);
    size_t first = slot < p->n_states ? sqi_value_bytes(p, v) : 0;
    return r->sorted->seed[slot] + first +
           (size_t)(sqi_units_before(r->u, step) + row) * sqi_unit_bytes(r->u, v);
}

/* One row of a slot at a step, as the caller has it. */
static char *given_at(const sqi_run_of *r, int32_t slot, int64_t step, int64_t row)
{
    size_t unit = sqi_unit_bytes(r->u, sqi_slot_value(r->p, slot));
    return sqi_wake_at(r->u, r->lane, slot, step) + (size_t)r->u->shrunk->order[row] * unit;
}

/* Whether rows that end with a step have been sent something after it. */
static bool carries(const sqi_run_of *r, int64_t step, bool later)
{
    const sqi_shrunk *g = r->u->shrunk;
    return later && !r->immediate && sqi_active(g, step + 1) < sqi_active(g, step);
}

static bool open_slot(sqi_run_of *r, int32_t slot)
{
    const sqi_shrunk *g = r->u->shrunk;
    const sqi_plan *p = r->p;
    int32_t v = sqi_slot_value(p, slot);
    bool state = slot < p->n_states, later = false;
    bool needed = state || (slot == p->n_states ? v >= 0 : r->back->tapped[v]);
    r->sorted->seed[slot] = NULL;
    r->sorted->there[slot] = NULL;
    if (!needed) return true;
    size_t bytes = (size_t)g->before[g->steps] * sqi_unit_bytes(r->u, v);
    char *seed = sqi_run_take(r, 1, bytes + (state ? sqi_value_bytes(p, v) : 0));
    bool *there = sqi_run_take(r, (size_t)r->u->span.steps, sizeof *there);
    if (!seed || !there) return false;
    for (int64_t s = r->u->span.steps; s-- > 0;) {
        there[s] = is_seeded(r, slot, s) || (state && s < g->steps && carries(r, s, later));
        later |= is_seeded(r, slot, s);
    }
    r->sorted->seed[slot] = seed;
    r->sorted->there[slot] = there;
    return true;
}

/* A copy of the entering states that some weight gradient needs. */
static bool open_entered(sqi_run_of *r, sqi_array a)
{
    const sqi_value *v = &r->p->values[a.value];
    if (a.gradient || v->kind != SQI_ENTERS || r->sorted->entered[v->state]) return true;
    size_t bytes = (size_t)r->u->shrunk->most_rows * sqi_unit_bytes(r->u, a.value);
    r->sorted->entered[v->state] = sqi_run_take(r, 1, bytes);
    return r->sorted->entered[v->state] != NULL;
}

bool sqi_sorted_open(sqi_run_of *r)
{
    size_t slots = (size_t)sqi_n_slots(r->p), states = (size_t)r->p->n_states;
    const sqi_shrunk *g = r->u->shrunk;
    if (!g) return true;
    sqi_sorted *s = r->sorted = sqi_run_take(r, 1, sizeof *s);
    if (!s) return false;
    s->seed = sqi_run_take(r, slots, sizeof *s->seed);
    s->there = sqi_run_take(r, slots, sizeof *s->there);
    s->entered = sqi_run_take(r, states, sizeof *s->entered);
    s->x = NULL;
    if (!s->seed || !s->there || !s->entered) return false;
    for (int32_t slot = 0; slot < (int32_t)slots; slot++)
        if (!open_slot(r, slot)) return false;
    memset(s->entered, 0, states * sizeof *s->entered);
    for (int32_t d = 0; d < r->back->n_defers; d++) {
        const sqi_defer *k = &r->back->defers[d];
        for (int32_t i = 0; i < k->n_lefts; i++)
            if (!open_entered(r, k->lefts[i])) return false;
        for (int32_t i = 0; i < k->n_parts; i++)
            if (!open_entered(r, k->parts[i])) return false;
    }
    if (r->p->x < 0 || !r->gx[0]) return true;
    s->x = sqi_run_take(r, (size_t)g->before[g->steps], sqi_unit_bytes(r->u, r->p->x));
    return s->x != NULL;
}

/* ---- Sweeps: in and out -------------------------------------------------------------------- */

/* A worker's rows of all steps. */
typedef struct share {
    const sqi_run_of *r;
    int64_t from, to;
} share;

static void add(const sqi_run_of *r, size_t bytes, const char *x, char *y)
{
    r->arith->axpy((int64_t)(bytes / r->real), 1, x, y);
}

/* The seeds of a state: what came after a row's end goes back, from step to step, to its last. */
static void state_in(const share *h, int32_t k)
{
    const sqi_run_of *r = h->r;
    const sqi_shrunk *g = r->u->shrunk;
    size_t row = sqi_unit_bytes(r->u, r->p->leaves[k]);
    bool later = false;
    for (int64_t s = r->wake->top; s >= r->u->span.low; s--) {
        bool seeded = is_seeded(r, k, s), sends = later && !r->immediate;
        int64_t active = sqi_active(g, s), go_on = s < g->steps ? sqi_active(g, s + 1) : 0;
        for (int64_t i = h->from; i < h->to; i++) {
            char *given = given_at(r, k, s, i), *to = given;
            if (i < active && !r->sorted->there[k][s]) continue;
            if (i < active) to = sorted_at(r, k, s, i);
            if (!seeded) memset(to, 0, row);
            else if (to != given) memcpy(to, given, row);
            if (sends && i >= go_on) add(r, row, given_at(r, k, s + 1, i), to);
        }
        later |= seeded;
    }
}

static void slot_in(const share *h, int32_t slot)
{
    const sqi_run_of *r = h->r;
    size_t row = sqi_unit_bytes(r->u, sqi_slot_value(r->p, slot));
    for (int64_t s = r->u->span.low; s < r->last; s++)
        for (int64_t i = h->from; r->sorted->there[slot][s] && i < h->to; i++)
            if (i < sqi_active(r->u->shrunk, s))
                memcpy(sorted_at(r, slot, s, i), given_at(r, slot, s, i), row);
}

/* The gradients of a slot; what follows a row's end is there, or is 0. */
static void slot_out(const share *h, int32_t slot)
{
    const sqi_run_of *r = h->r;
    size_t row = sqi_unit_bytes(r->u, sqi_slot_value(r->p, slot));
    for (int64_t s = r->u->span.low; s <= r->wake->top; s++)
        for (int64_t i = h->from; i < h->to; i++) {
            bool ended = i >= sqi_active(r->u->shrunk, s);
            if (!ended) memcpy(given_at(r, slot, s, i), sorted_at(r, slot, s, i), row);
            else if (slot >= r->p->n_states && !is_seeded(r, slot, s))
                memset(given_at(r, slot, s, i), 0, row);
        }
}

/* The gradient of the input, in or out. */
static void move_x(const share *h, bool out)
{
    const sqi_run_of *r = h->r;
    const sqi_shrunk *g = r->u->shrunk;
    size_t row = r->sorted->x ? sqi_unit_bytes(r->u, r->p->x) : 0;
    for (int64_t s = r->u->span.low; row && s < r->last; s++)
        for (int64_t i = h->from; i < h->to && i < sqi_active(g, s); i++) {
            char *given = (char *)r->gx[0] + (size_t)(s * g->batch + g->order[i]) * row;
            char *sorted = r->sorted->x + (size_t)(g->before[s] + i) * row;
            memcpy(out ? given : sorted, out ? sorted : given, row);
        }
}

static share share_of(const sqi_worker *w, int32_t i, int32_t n)
{
    int64_t rows = w->r->p->batch;
    return (share){ w->r, rows * i / n, rows * (i + 1) / n };
}

static void in_job(void *context, sqi_workers *others, int32_t i, int32_t n)
{
    const sqi_worker *w = context;
    share h = share_of(w, i, n);
    (void)others;
    for (int32_t slot = 0; slot < sqi_n_slots(w->r->p); slot++) {
        if (!w->r->sorted->seed[slot]) continue;
        if (slot < w->r->p->n_states) state_in(&h, slot);
        else slot_in(&h, slot);
    }
    move_x(&h, false);
}

static void out_job(void *context, sqi_workers *others, int32_t i, int32_t n)
{
    const sqi_worker *w = context;
    share h = share_of(w, i, n);
    (void)others;
    for (int32_t slot = 0; slot < sqi_n_slots(w->r->p); slot++)
        if (w->r->sorted->seed[slot] && slot != sqi_slot_output(w->r->p)) slot_out(&h, slot);
    move_x(&h, true);
}

void sqi_sorted_in(sqi_run_of *r)
{
    if (r->sorted) sqi_workers_run(&r->t->workers, r->n_workers, in_job, r->workers);
}

void sqi_sorted_out(sqi_run_of *r)
{
    if (r->sorted) sqi_workers_run(&r->t->workers, r->n_workers, out_job, r->workers);
}

/* Rows that take part in no step pass on what was sent to them after the first. */
void sqi_sorted_initial(const sqi_run_of *r, int32_t k, void *to)
{
    const sqi_shrunk *g = r->u->shrunk;
    size_t row = sqi_unit_bytes(r->u, r->p->leaves[k]);
    int64_t active = sqi_active(g, 0);
    for (int64_t i = 0; i < g->batch; i++) {
        const char *from = i < active ? r->sorted->seed[k] + (size_t)i * row
                                      : given_at(r, k, 0, i);
        if (i >= active || r->back->crossed[k])
            add(r, row, from, (char *)to + (size_t)g->order[i] * row);
    }
}

void sqi_sorted_entered(const sqi_worker *w)
{
    const sqi_run_of *r = w->r;
    const sqi_shrunk *g = r->u->shrunk;
    sqi_window at = sqi_share_steps(w, false);
    for (int32_t k = 0; k < r->p->n_states; k++) {
        size_t row = sqi_unit_bytes(r->u, r->p->enters[k]);
        char *to = r->sorted->entered[k];
        for (int64_t s = at.step; to && row && s < at.step + at.n_steps; s++)
            memcpy(to + (size_t)(g->before[s] - g->before[w->first]) * row,
                   sqi_at_step(w, &r->value[r->p->enters[k]], s),
                   (size_t)sqi_active(g, s) * row);
    }
    sqi_workers_meet(w->others);
}
