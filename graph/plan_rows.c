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

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- Which plans, which rows --------------------------------------------------------------- */

/* An operand from outside that has rows of its own is in the caller's order, and so is its gradient. */
static bool has_rows(const sqi_plan *p, const sqi_value *v, int32_t operand)
{
    const sqi_value *x = &p->values[operand];
    return (p->batch > 1 || x->needs) && x->kind == SQI_OUTER &&
           x->shape.rank == v->shape.rank && x->shape.dim[0] == p->batch;
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

/* The most rows that some weight's or vector's gradient sums up for one row of the batch. */
static int64_t chain_rows(const sqi_plan *p)
{
    int64_t rows = 1;
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < p->tasks[phase].n; i++)
            rows = most(rows, p->tasks[phase].at[i].rows);
    for (int32_t i = 0; i < p->n_values; i++) {
        const sqi_value *v = &p->values[i];
        for (int32_t k = 0; v->kind == SQI_MAP && k < v->n; k++) {
            const sqi_value *x = &p->values[p->operands[v->first + k]];
            if (x->kind == SQI_OUTER && x->needs)
                rows = most(rows, v->size / p->batch / x->size);
        }
    }
    return rows;
}

/* Of so many steps each. */
static void cut_evenly(sqi_shrunk *g, int64_t steps)
{
    for (int64_t t = 0; t < g->steps; t++) g->begin[t] = (int32_t)(t / steps * steps);
}

/* Of nearly as many rows each. */
static void cut_blocks(sqi_shrunk *g, int64_t rows)
{
    int64_t all = g->before[g->steps], n = (all + rows - 1) / rows, block = 0, first = 0;
    for (int64_t t = 0; t < g->steps; t++) {
        if (t > first && g->before[t] * n >= (block + 1) * all) {
            first = t;
            while (g->before[t] * n >= (block + 1) * all) block++;
        }
        g->begin[t] = (int32_t)first;
    }
}

static void measure_blocks(sqi_shrunk *g)
{
    for (int64_t t = 0; t < g->steps; t++) {
        g->most_rows = most(g->most_rows, g->before[t + 1] - g->before[g->begin[t]]);
        g->most_steps = most(g->most_steps, t + 1 - g->begin[t]);
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
    bool one_chain = chain_rows(u->plan) * (rows + g->batch) <= SQI_ONE_CHAIN;
    if (one_chain) cut_blocks(g, rows);
    else cut_evenly(g, u->block);
    measure_blocks(g);
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

void sqi_shrunk_initial(const sqi_planned *u, int32_t k, char *to)
{
    const sqi_shrunk *g = u->shrunk;
    size_t row = sqi_unit_bytes(u, u->plan->leaves[k]);
    const char *from = sqi_planned_operand(u, u->first_state + k);
    for (int64_t r = 0; row && r < g->batch; r++)
        memcpy(to + (size_t)r * row, from + (size_t)g->order[r] * row, row);
}

bool sqi_shrunk_enter(sq_tape *t, sqi_planned *u)
{
    const sqi_plan *p = u->plan;
    sqi_shrunk *g = u->shrunk;
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

char *sqi_shrunk_at(const sqi_planned *u, int32_t v, int64_t step, int64_t row)
{
    const int64_t *before = u->shrunk->before;
    int64_t origin = u->stretch ? u->stretch->origin : 0;
    size_t first = u->plan->values[v].state >= 0 ? sqi_value_bytes(u->plan, v) : 0;
    return u->kept[v] + first +
           (ptrdiff_t)sqi_unit_bytes(u, v) * (before[step] - before[origin] + row);
}

/* What the arrays hold of a row's state after a step; what ended before a stretch is among the
 * present states. */
static const char *state_row(const sqi_planned *u, int32_t k, int64_t step, int64_t row)
{
    const sqi_stretches *b = u->stretch;
    int64_t ended = u->shrunk->length[row] - 1, last = step < ended ? step : ended;
    if (!b || last >= b->origin - 1) return sqi_shrunk_at(u, u->plan->leaves[k], last, row);
    return sqi_stretch_present(u, k) + (size_t)row * sqi_unit_bytes(u, u->plan->leaves[k]);
}

void sqi_shrunk_value(const sqi_planned *u, int32_t slot, int64_t step, char *to)
{
    const sqi_shrunk *g = u->shrunk;
    int32_t v = sqi_slot_value(u->plan, slot);
    size_t row = sqi_unit_bytes(u, v);
    for (int64_t r = 0; row && r < g->batch; r++) {
        char *at = to + (size_t)g->order[r] * row;
        if (slot < u->plan->n_states) memcpy(at, state_row(u, slot, step, r), row);
        else if (step < g->length[r]) memcpy(at, sqi_shrunk_at(u, v, step, r), row);
        else memset(at, 0, row);
    }
}

void sqi_shrunk_states(const sqi_planned *u, int32_t k, int64_t step, bool out, char *present)
{
    const sqi_shrunk *g = u->shrunk;
    size_t row = sqi_unit_bytes(u, u->plan->leaves[k]);
    for (int64_t r = 0; r < g->batch && g->length[r] >= u->stretch->origin; r++) {
        char *here = sqi_shrunk_at(u, u->plan->leaves[k], least(step, g->length[r]) - 1, r);
        memcpy(out ? present : here, out ? here : present, row);
        present += row;
    }
}

void sqi_shrunk_clear(const sqi_planned *u, int32_t slot, int64_t step, char *rows)
{
    const sqi_shrunk *g = u->shrunk;
    size_t row = sqi_unit_bytes(u, sqi_slot_value(u->plan, slot));
    for (int64_t r = sqi_active(g, step); r < g->batch; r++)
        memset(rows + (size_t)g->order[r] * row, 0, row);
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

/* What a sweep has of a slot in its windows beside a state's gradients: sorted seeds, or nothing. */
static bool has_window(const sqi_plan *p, const sqi_back *b, int32_t slot)
{
    int32_t v = sqi_slot_value(p, slot);
    return slot == p->n_states ? v >= 0 : slot > p->n_states && b->tapped[v];
}

/* Whether some weight gradient needs the states k that enter the steps of a block. */
static bool needs_entered(const sqi_plan *p, const sqi_back *b, int32_t k)
{
    bool any = false;
    for (int32_t d = 0; d < b->n_defers; d++) {
        const sqi_defer *x = &b->defers[d];
        for (int32_t i = 0; i < x->n_lefts; i++) any |= x->lefts[i].value == p->enters[k];
        for (int32_t i = 0; i < x->n_parts; i++)
            any |= !x->parts[i].gradient && x->parts[i].value == p->enters[k];
    }
    return any;
}

/* Bytes of the rows of a value in a window of so many, with a step's before them. */
static size_t window_bytes(const sqi_planned *u, int32_t v, int64_t units)
{
    return sqi_value_bytes(u->plan, v) + (size_t)units * sqi_unit_bytes(u, v);
}

size_t sqi_sorted_room(const sqi_planned *u, const sqi_back *b, int64_t units)
{
    const sqi_plan *p = u->plan;
    size_t bytes = 0;
    if (!u->shrunk) return 0;
    for (int32_t k = 0; k < p->n_states; k++)
        if (needs_entered(p, b, k)) bytes += sqi_aligned(window_bytes(u, p->enters[k], units));
    for (int32_t slot = p->n_states; slot < sqi_n_slots(p); slot++)
        if (has_window(p, b, slot))
            bytes += sqi_aligned(window_bytes(u, sqi_slot_value(p, slot), units));
    return bytes + (p->x < 0 ? 0 : sqi_aligned(window_bytes(u, p->x, units)));
}

/* Which steps have something in them before the sweep comes there. */
static bool open_there(sqi_run_of *r, int32_t slot)
{
    const sqi_shrunk *g = r->u->shrunk;
    bool *there = sqi_run_take(r, (size_t)r->u->span.steps, sizeof *there), later = false;
    for (int64_t s = r->u->span.steps; there && s-- > 0;) {
        bool ends = slot < r->p->n_states && later && !r->immediate && s < g->steps &&
                    sqi_active(g, s + 1) < sqi_active(g, s);
        there[s] = is_seeded(r, slot, s) || ends;
        later |= is_seeded(r, slot, s);
    }
    r->sorted->there[slot] = there;
    return there != NULL;
}

static bool open_state(sqi_run_of *r, int32_t k)
{
    sqi_sorted *s = r->sorted;
    size_t bytes = sqi_value_bytes(r->p, r->p->leaves[k]);
    int64_t units = sqi_block_units(r->u);
    bool entered = needs_entered(r->p, r->back, k);
    s->window[k] = NULL;
    s->tail[k] = sqi_run_take(r, 1, bytes);
    s->carry[k] = sqi_run_take(r, 1, bytes);
    s->entered[k] =
        entered ? sqi_run_room(r, window_bytes(r->u, r->p->enters[k], units)) : NULL;
    if (!s->tail[k] || !s->carry[k] || (entered && !s->entered[k])) return false;
    memset(s->tail[k], 0, bytes);
    return open_there(r, k);
}

static bool open_window(sqi_run_of *r, int32_t slot)
{
    int32_t v = sqi_slot_value(r->p, slot);
    r->sorted->window[slot] = NULL;
    if (!has_window(r->p, r->back, slot)) return true;
    char *at = sqi_run_room(r, window_bytes(r->u, v, sqi_block_units(r->u)));
    if (at) r->sorted->window[slot] = at + sqi_value_bytes(r->p, v);
    return at && open_there(r, slot);
}

bool sqi_sorted_open(sqi_run_of *r)
{
    size_t slots = (size_t)sqi_n_slots(r->p), states = (size_t)r->p->n_states;
    if (!r->u->shrunk) return true;
    sqi_sorted *s = r->sorted = sqi_run_take(r, 1, sizeof *s);
    if (!s) return false;
    s->x = NULL;
    s->window = sqi_run_take(r, slots, sizeof *s->window);
    s->there = sqi_run_take(r, slots, sizeof *s->there);
    s->tail = sqi_run_take(r, states, sizeof *s->tail);
    s->carry = sqi_run_take(r, states, sizeof *s->carry);
    s->entered = sqi_run_take(r, states, sizeof *s->entered);
    if (r->t->error.status) return false;
    for (int32_t slot = 0; slot < (int32_t)slots; slot++)
        if (!(slot < r->p->n_states ? open_state : open_window)(r, slot)) return false;
    if (r->p->x < 0 || !r->gx[0]) return true;
    s->x = sqi_run_room(r, window_bytes(r->u, r->p->x, sqi_block_units(r->u)));
    return s->x != NULL;
}

/* ---- Sweeps: in and out -------------------------------------------------------------------- */

/* A worker's rows: all steps of these are brought in, and taken out, by the same. */
typedef struct share {
    const sqi_worker *w;
    const sqi_run_of *r;
    const sqi_shrunk *g;
    int64_t from, to;
} share;

static share share_of(const sqi_worker *w)
{
    int64_t rows = w->r->p->batch;
    int32_t n = w->r->norms ? 1 : w->n; /* one adds up the norms of all rows */
    share h = { w, w->r, w->r->u->shrunk, rows * w->i / n, rows * (w->i + 1) / n };
    if (w->i >= n) h.from = h.to = 0;
    return h;
}

/* Where a step's rows of a slot lie in the window, and one row as the caller has it: NULL where its
 * gradient is neither given nor asked for. */
static char *sorted_at(const share *h, int32_t slot, int64_t step, int64_t row)
{
    const sqi_run_of *r = h->r;
    int32_t v = sqi_slot_value(r->p, slot);
    char *base = slot < r->p->n_states ? r->grad[v].base : r->sorted->window[slot];
    int64_t n = h->g->before[step] - h->g->before[h->w->first] + row;
    return base + (ptrdiff_t)sqi_unit_bytes(r->u, v) * n;
}

static char *given_at(const share *h, int32_t slot, int64_t step, int64_t row)
{
    char *step_at = sqi_wake_at(h->r->u, h->r->lane, slot, step);
    size_t unit = sqi_unit_bytes(h->r->u, sqi_slot_value(h->r->p, slot));
    return step_at ? step_at + (size_t)h->g->order[row] * unit : NULL;
}

static size_t slot_row(const share *h, int32_t slot)
{
    return sqi_unit_bytes(h->r->u, sqi_slot_value(h->r->p, slot));
}

static void add(const sqi_run_of *r, size_t bytes, const char *x, char *y)
{
    r->arith->axpy((int64_t)(bytes / r->real), 1, x, y);
}

/* Rows past their end at a step: what was sent to them joins their tail. */
static void fold_step(const share *h, int32_t k, int64_t step)
{
    size_t bytes = slot_row(h, k);
    for (int64_t i = most(h->from, sqi_active(h->g, step)); i < h->to; i++) {
        char *tail = h->r->sorted->tail[k] + (size_t)i * bytes,
             *given = given_at(h, k, step, i);
        if (h->r->immediate) memset(tail, 0, bytes);
        if (is_seeded(h->r, k, step)) add(h->r, bytes, given, tail);
        if (given) memcpy(given, tail, bytes);
        if (h->r->norms)
            sqi_note_past(h->r, k, step,
                          h->r->arith->sumsq((int64_t)(bytes / h->r->real), tail));
    }
}

/* A row of a step: what was seeded, and its tail where it ends there. */
static void seed_row(const share *h, int32_t k, int64_t step, int64_t row)
{
    size_t bytes = slot_row(h, k);
    char *to = sorted_at(h, k, step, row);
    bool ends = row >= sqi_active(h->g, step + 1) && !h->r->immediate;
    if (is_seeded(h->r, k, step)) memcpy(to, given_at(h, k, step, row), bytes);
    else memset(to, 0, bytes);
    if (ends) add(h->r, bytes, h->r->sorted->tail[k] + (size_t)row * bytes, to);
}

/* The gradients of state k that are there before the block is run: those that enter its first step, and
 * those of its last step as the block after it left them. */
static void state_in(const share *h, int32_t k)
{
    const sqi_run_of *r = h->r;
    const sqi_worker *w = h->w;
    size_t bytes = slot_row(h, k);
    bool carried = w->last < r->last;
    for (int64_t s = w->last - 1; s >= most(w->first - 1, r->u->span.low); s--) {
        int64_t to = least(h->to, sqi_active(h->g, s));
        bool is_carried = carried && s == w->last - 1;
        for (int64_t i = h->from; is_carried && i < to; i++)
            memcpy(sorted_at(h, k, s, i), r->sorted->carry[k] + (size_t)i * bytes, bytes);
        if (is_carried) continue;
        for (int64_t i = h->from; r->sorted->there[k][s] && i < to; i++) seed_row(h, k, s, i);
        fold_step(h, k, s);
    }
}

static void window_in(const share *h, int32_t slot)
{
    size_t bytes = slot_row(h, slot);
    int64_t first = most(h->w->first - 1, h->r->u->span.low);
    for (int64_t s = first; s < h->w->last; s++) {
        int64_t to = h->r->sorted->there[slot][s] ? least(h->to, sqi_active(h->g, s)) : 0;
        for (int64_t i = h->from; i < to; i++)
            memcpy(sorted_at(h, slot, s, i), given_at(h, slot, s, i), bytes);
    }
}

/* The gradients of a slot as they were asked for, and what the block before is to go on with. */
static void state_out(const share *h, int32_t k)
{
    const sqi_worker *w = h->w;
    size_t bytes = slot_row(h, k);
    for (int64_t s = w->first; s < w->last; s++) {
        int64_t to = least(h->to, sqi_active(h->g, s));
        for (int64_t i = h->from; i < to && given_at(h, k, s, i); i++)
            memcpy(given_at(h, k, s, i), sorted_at(h, k, s, i), bytes);
    }
    for (int64_t i = h->from; i < least(h->to, sqi_active(h->g, w->first - 1)); i++)
        memcpy(h->r->sorted->carry[k] + (size_t)i * bytes, sorted_at(h, k, w->first - 1, i),
               bytes);
}

/* What is named has no gradient in rows past their end, but for what somebody sent there. */
static void window_out(const share *h, int32_t slot, int64_t step)
{
    size_t bytes = slot_row(h, slot);
    for (int64_t i = h->from; i < h->to && given_at(h, slot, step, i); i++) {
        if (i < sqi_active(h->g, step))
            memcpy(given_at(h, slot, step, i), sorted_at(h, slot, step, i), bytes);
        else if (!is_seeded(h->r, slot, step)) memset(given_at(h, slot, step, i), 0, bytes);
    }
}

/* A named value whose gradient is asked for. */
static bool is_tapped(const sqi_run_of *r, int32_t slot)
{
    return slot > sqi_slot_output(r->p) && r->sorted->window[slot];
}

/* The gradient of the input, in or out. */
static void move_x(const share *h, bool out)
{
    const sqi_run_of *r = h->r;
    size_t bytes = r->sorted->x ? sqi_unit_bytes(r->u, r->p->x) : 0;
    for (int64_t s = h->w->first; bytes && s < h->w->last; s++)
        for (int64_t i = h->from; i < least(h->to, sqi_active(h->g, s)); i++) {
            char *given = (char *)r->gx[0] + (size_t)(s * h->g->batch + h->g->order[i]) * bytes;
            int64_t at = h->g->before[s] - h->g->before[h->w->first] + i;
            char *sorted = r->sorted->x + (size_t)at * bytes;
            memcpy(out ? given : sorted, out ? sorted : given, bytes);
        }
}

void sqi_sorted_begin(sqi_run_of *r)
{
    sqi_worker all = { .r = r, .n = 1 };
    if (!r->sorted) return;
    share h = share_of(&all);
    for (int32_t slot = 0; slot < sqi_n_slots(r->p); slot++)
        for (int64_t s = r->wake->top; s >= most(r->last, r->u->span.low); s--)
            if (slot < r->p->n_states) fold_step(&h, slot, s);
            else if (is_tapped(r, slot)) window_out(&h, slot, s);
    sqi_sorted_show(r, most(r->last, r->u->span.low), r->wake->top + 1);
}

void sqi_sorted_in(const sqi_worker *w)
{
    share h = share_of(w);
    for (int32_t slot = 0; slot < sqi_n_slots(w->r->p); slot++)
        if (slot < w->r->p->n_states) state_in(&h, slot);
        else if (w->r->sorted->window[slot]) window_in(&h, slot);
    move_x(&h, false);
    sqi_workers_meet(w->others);
}

/* Copies the states that enter the block's steps behind each other. */
static void copy_entered(const sqi_worker *w, int32_t k)
{
    const sqi_run_of *r = w->r;
    const sqi_shrunk *g = r->u->shrunk;
    size_t row = sqi_unit_bytes(r->u, r->p->enters[k]);
    sqi_window at = sqi_share_steps(w, false);
    for (int64_t s = at.step; row && s < at.step + at.n_steps; s++)
        memcpy(r->sorted->entered[k] + (size_t)(g->before[s] - g->before[w->first]) * row,
               sqi_at_step(w, &r->value[r->p->enters[k]], s), (size_t)sqi_active(g, s) * row);
}

void sqi_sorted_out(const sqi_worker *w)
{
    share h = share_of(w);
    for (int32_t slot = 0; slot < sqi_n_slots(w->r->p); slot++)
        if (slot < w->r->p->n_states) state_out(&h, slot);
        else if (is_tapped(w->r, slot))
            for (int64_t s = w->first; s < w->last; s++) window_out(&h, slot, s);
    move_x(&h, true);
    for (int32_t k = 0; k < w->r->p->n_states; k++)
        if (w->r->sorted->entered[k]) copy_entered(w, k);
    sqi_workers_meet(w->others);
}

const char *sqi_sorted_grad(const sqi_run_of *r, int32_t slot, int64_t step, char *to)
{
    const char *given = sqi_wake_at(r->u, r->lane, slot, step);
    const sqi_shrunk *g = r->u->shrunk;
    share h = { r->workers, r, g, 0, g->batch };
    size_t row = slot_row(&h, slot);
    if (given) return given;
    memset(to, 0, sqi_value_bytes(r->p, sqi_slot_value(r->p, slot)));
    for (int64_t i = 0; i < sqi_active(g, step); i++)
        memcpy(to + (size_t)g->order[i] * row, sorted_at(&h, slot, step, i), row);
    return to;
}

void sqi_sorted_show(const sqi_run_of *r, int64_t from, int64_t to)
{
    sqi_named_look *l = r->sorted && r->u->stretch ? r->u->stretch->look : NULL;
    for (int32_t j = 0; l && j < r->p->n_named; j++) {
        int32_t slot = sqi_slot_named(r->p, j);
        for (int64_t s = from; is_tapped(r, slot) && s < to; s++)
            l->see(l, j, s, sqi_sorted_grad(r, slot, s, l->room));
    }
}

/* Rows that take part in no step pass on what was sent to them after the first. */
void sqi_sorted_initial(const sqi_run_of *r, int32_t k, void *to)
{
    const sqi_shrunk *g = r->u->shrunk;
    size_t row = sqi_unit_bytes(r->u, r->p->leaves[k]);
    for (int64_t i = 0; i < g->batch; i++) {
        bool ran = i < sqi_active(g, 0) && r->last > 0;
        const char *from = ran ? r->sorted->carry[k] : r->sorted->tail[k];
        if (ran ? r->back->crossed[k] : i >= sqi_active(g, 0))
            add(r, row, from + (size_t)i * row, (char *)to + (size_t)g->order[i] * row);
    }
}
