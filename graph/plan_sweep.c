/* plan_sweep.c -- the reverse run: blocks of steps from the last; in each, what was sunk, the loop
 * backwards, what was hoisted, then the weight gradients of the block.
 *
 * The gradient G_t of a state after step t has up to five sources, in this order: what was seeded at
 * its handle, what arrived at the output when the output is that state (kept apart: it is the
 * immediate gradient), what step t + 1 sends back (it crosses the border), what was sunk (added up
 * in scratch of its own), and what the loop of its own step does with it. The first that comes sets,
 * or adds to what is there: all of it is known beforehand, so threads need not tell each other.
 *
 * The order is that of steps, whatever block a step is in. So a block may be reversed in pieces: its
 * weight gradients are one chain of sums that the next piece goes on with (kernel law (c)). */
#include "graph/plan_run_impl.h"

#include <string.h>

/* ---- What has been seeded ------------------------------------------------------------------ */

static bool seeded(const sqi_worker *w, int32_t slot, int64_t step)
{
    const sqi_sorted *s = w->r->sorted;
    return s ? s->there[slot][step] : sqi_wake_marked(w->r->wake, slot, step, SQI_SEEDED);
}

static char *seed_at(const sqi_worker *w, int32_t slot, int64_t step)
{
    const sqi_run_of *r = w->r;
    if (!seeded(w, slot, step)) return NULL;
    if (!r->sorted) return sqi_wake_at(r->u, r->lane, slot, step);
    size_t unit = sqi_unit_bytes(r->u, sqi_slot_value(r->p, slot));
    sqi_place window = { r->sorted->window[slot], unit, SQI_OF_BLOCK, 0 };
    return sqi_at_step(w, &window, step);
}

static bool output_is(const sqi_run_of *r, int32_t k)
{
    return r->p->output >= 0 && r->p->values[r->p->output].state == k;
}

/* The seed of the output at a step, where the output is state k; or NULL. */
static char *output_seed(const sqi_worker *w, int32_t k, int64_t step, sqi_window at)
{
    const sqi_run_of *r = w->r;
    char *seed = output_is(r, k) ? seed_at(w, sqi_slot_output(r->p), step) : NULL;
    return seed ? seed + sqi_row_offset(w, r->p->output, at.row) : NULL;
}

/* Whether step t sends something back into entering state k. */
static bool crosses(const sqi_run_of *r, int32_t k)
{
    return r->back->crossed[k] && !r->immediate;
}

/* Rows of the gradient of state k as it enters step `step` (as it leaves the one before), and how
 * many elements they have. */
static char *state_grad(const sqi_worker *w, int32_t k, int64_t step, int64_t row)
{
    return sqi_at_step(w, &w->r->grad[w->r->p->enters[k]], step) +
           sqi_row_offset(w, w->r->p->leaves[k], row);
}

static int64_t state_size(const sqi_worker *w, int32_t k, int64_t rows)
{
    return w->r->p->values[w->r->p->leaves[k]].size / w->r->p->batch * rows;
}

/* Something is there already when step at.step begins to send back into state k. */
static bool has_content(const sqi_worker *w, int32_t k, int64_t step)
{
    return step > w->r->u->span.low && seeded(w, k, step - 1);
}

/* Before the first op that writes into entering state k: whether it adds. What the output sent is
 * put there first. */
static bool open_entering(const sqi_worker *w, int32_t k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    char *y = at.step > r->u->span.low ? output_seed(w, k, at.step - 1, at) : NULL;
    bool there = has_content(w, k, at.step);
    if (!y) return there;
    char *g = state_grad(w, k, at.step, at.row);
    int64_t n = state_size(w, k, at.n_rows);
    if (there) r->arith->axpy(n, 1, y, g);
    else memcpy(g, y, (size_t)n * r->real);
    return true;
}

/* What the steps after at.step send into state k is there; nothing was sent to the last step, nor to
 * rows that end here. */
static void open_leaving(const sqi_worker *w, int32_t k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    bool reached = crosses(r, k) && at.step + 1 < r->last;
    int64_t sent = reached ? sqi_rows_at(r, at, at.step + 1) : 0;
    at.row += sent;
    at.n_rows -= sent;
    if (at.n_rows <= 0) return;
    int64_t n = state_size(w, k, at.n_rows);
    char *g = state_grad(w, k, at.step + 1, at.row), *y = output_seed(w, k, at.step, at);
    bool there = seeded(w, k, at.step);
    if (y && there) r->arith->axpy(n, 1, y, g);
    else if (y) memcpy(g, y, (size_t)n * r->real);
    else if (!there) memset(g, 0, (size_t)n * r->real);
}

/* At the start of step at.step's reversal: the total gradient of state k is complete but for what
 * the loop of its own step does. */
static void settle_leaving(const sqi_worker *w, int32_t k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    int32_t v = r->p->leaves[k];
    open_leaving(w, k, at);
    if (!r->sinks || !r->back->sunk[k]) return;
    const char *sunk = sqi_at_step(w, &r->sunk[v], at.step) + sqi_row_offset(w, v, at.row);
    r->arith->axpy(state_size(w, k, at.n_rows), 1, sunk, state_grad(w, k, at.step + 1, at.row));
}

/* ---- Tasks in reverse ---------------------------------------------------------------------- */

/* The gradient of an entering state: what its first writer, a product, finds there. */
static void aim_entering(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_out *o)
{
    bool there = has_content(w, k->crosses, at.step);
    char *y = at.step > w->r->u->span.low ? output_seed(w, k->crosses, at.step - 1, at) : NULL;
    if (there && y) {
        if (sqi_is_mine(w)) w->r->arith->axpy(state_size(w, k->crosses, at.n_rows), 1, y, o->c);
        sqi_meet_split(w);
    }
    o->from = there ? o->c : y;
}

/* Where the gradient of a product's left goes, what is there before, and what it is a product of. */
static void lay_product(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l)
{
    const sqi_run_of *r = w->r;
    const int32_t *root = r->back->root;
    int64_t width = k->packed.panels.width[0];
    size_t row = sqi_row_offset(w, k->target, at.row);
    const sqi_place *place =
        &w->grad[k->target < r->back->n_roots ? root[k->target] : k->target];
    l->out[0] = (sqi_out){ .c_row = width, .from_row = width };
    sqi_aim(w, &l->out[0].c, place, at.step, row);
    if (!k->sets && !k->first) sqi_aim(w, &l->out[0].from, place, at.step, row);
    for (int32_t i = 0; i < k->n; i++) {
        size_t offset = sqi_row_offset(w, k->v[i], at.row);
        sqi_aim(w, &l->a[i], &w->grad[root[k->v[i]]], at.step, offset);
        l->a_row[i] = k->packed.panels.depth[i];
    }
    sqi_lay_panels(w, k, at, l);
}

static void reverse_product(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l)
{
    sqi_laid here;
    if (!l) {
        here = sqi_laid_in_passing(w);
        lay_product(w, k, at, &here);
        l = &here;
    }
    if (!l->out[0].c || l->product.m == 0) return;
    if (k->first) aim_entering(w, k, at, &l->out[0]);
    w->r->arith->product(&l->product);
    if (w->found)
        sqi_look(w, k->v[0], k->rows * l->out[0].c_row, sqi_looked_at(k, at), l->out[0].c);
}

static void reverse_call_step(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    sq_call c = sqi_call_of(w, k->v[0], at);
    int32_t u = r->p->operands[r->p->values[k->v[0]].first + k->target];
    const sqi_place *from = &w->grad[r->back->root[k->v[0]]], *to = &w->grad[r->back->root[u]];
    if (!to->base) return;
    bool zero = k->sets;
    if (k->first) zero = !open_entering(w, k->crosses, at);
    c.gy = sqi_at_step(w, from, at.step) + sqi_row_offset(w, k->v[0], at.row);
    w->c[k->target] = sqi_at_step(w, to, at.step) + sqi_row_offset(w, u, at.row);
    c.gx = w->c;
    if (zero) memset(w->c[k->target], 0, (size_t)sq_shape_size(c.xs[k->target]) * r->real);
    c.op->vjp(&c, k->target);
    if (r->p->values[u].kind != SQI_OUTER)
        sqi_look(w, k->v[0], sq_shape_size(c.xs[k->target]), sqi_whole_step(at.step),
                 w->c[k->target]);
}

/* Steps descend: what is added to outside values is one sum over all of them. */
static void reverse_call(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    sqi_window one = { at.step + at.n_steps, 1, at.row, at.n_rows };
    while (one.step-- > at.step)
        for (int64_t done = 0; done < sqi_rows_at(w->r, one, one.step);) {
            sqi_window piece = sqi_call_rows(w, k->v[0], one, done);
            reverse_call_step(w, k, piece);
            done += piece.n_rows;
        }
}

static void reverse_chain(const sqi_worker *w, const sqi_task *k, sqi_window at, bool cross,
                          const sqi_laid *l)
{
    sqi_window one = { at.step + at.n_steps, 1, at.row, at.n_rows };
    for (int32_t i = 0; cross && i < k->chain.n_opens; i++) {
        int32_t state = k->chain.opens[i];
        w->adds[state] = open_entering(w, state, at);
    }
    if (l && l->n_ops) sqi_run_laid(l);
    else if (l && l->n) sqi_chain_ops(w, &k->chain, at.step, l->n, cross, w->adds);
    else
        while (one.step-- > at.step) sqi_run_chain(w, k, one, cross, w->adds);
}

/* `laid`, or NULL: how the tasks lie for the window. */
static void reverse_tasks(const sqi_worker *w, const sqi_tasks *tasks, sqi_window at,
                          sqi_laid *laid)
{
    bool cross = !w->r->immediate || at.step == 0;
    for (int32_t i = 0; i < tasks->n; i++) {
        const sqi_task *k = &tasks->at[i];
        sqi_laid *l = laid ? &laid[i] : NULL;
        if ((!cross && !k->inner) || (k->of_rows && w->r->row_grads)) continue;
        if (k->kind == SQI_DO_PRODUCT) reverse_product(w, k, at, l);
        else if (k->kind == SQI_DO_CHAIN && sqi_is_mine(w)) reverse_chain(w, k, at, cross, l);
        else if (sqi_is_mine(w)) reverse_call(w, k, at);
        sqi_meet_split(w);
    }
}

void sqi_reverse_tasks(const sqi_worker *w, sqi_phase phase, sqi_window at)
{
    reverse_tasks(w, &w->r->back->tasks[phase], at, NULL);
}

/* ---- Phases -------------------------------------------------------------------------------- */

/* The gradient of a value begins with what was seeded at its handle, or sent to it as the output. */
static void begin_value(const sqi_worker *w, int32_t v, int64_t step)
{
    const sqi_run_of *r = w->r;
    int64_t units = sqi_units_before(r->u, step + 1) - sqi_units_before(r->u, step);
    size_t bytes = (size_t)units * sqi_unit_bytes(r->u, v);
    char *g = sqi_at_step(w, &r->grad[v], step);
    const char *y = v == r->p->output ? seed_at(w, sqi_slot_output(r->p), step) : NULL;
    const char *own = r->back->tapped[v] ? seed_at(w, r->tap[v], step) : NULL;
    const char *first = own ? own : y;
    if (!first) memset(g, 0, bytes);
    else if (first != g) memcpy(g, first, bytes);
    if (own && y) r->arith->axpy((int64_t)(bytes / r->real), 1, y, g);
}

static void begin_sunk(const sqi_worker *w, int32_t v, int64_t step)
{
    const sqi_planned *u = w->r->u;
    int64_t units = sqi_units_before(u, step + 1) - sqi_units_before(u, step);
    memset(sqi_at_step(w, &w->r->sunk[v], step), 0, (size_t)units * sqi_unit_bytes(u, v));
}

static void begin_block(const sqi_worker *w)
{
    const sqi_run_of *r = w->r;
    sqi_window at = sqi_share_steps(w, false);
    for (int64_t s = at.step; s < at.step + at.n_steps; s++) {
        for (int32_t i = 0; i < r->back->n_begun; i++) begin_value(w, r->back->begun[i], s);
        for (int32_t k = 0; r->sinks && k < r->p->n_states; k++)
            if (r->back->sunk[k]) begin_sunk(w, r->p->leaves[k], s);
    }
    if (r->back->n_begun || r->sinks) sqi_workers_meet(w->others);
}

static void over_steps(sqi_worker *w, sqi_phase phase)
{
    const sqi_back *b = w->r->back;
    sqi_window at = sqi_share_steps(w, b->alone[phase]);
    if (!b->tasks[phase].n) return;
    w->grad = phase == SQI_SINK ? w->r->sunk : w->r->grad;
    if (at.n_steps) sqi_reverse_tasks(w, phase, at);
    sqi_workers_meet(w->others);
}

static void over_rows(sqi_worker *w)
{
    const sqi_back *b = w->r->back;
    w->grad = w->r->grad;
    const sqi_tasks *loop = &b->tasks[SQI_LOOP];
    w->split = sqi_loop_splits(w, loop);
    sqi_window at = sqi_share_rows(w, b->alone[SQI_LOOP]);
    at.step = w->last - 1;
    sqi_laid *laid = sqi_loop_lay(w, loop, at, -1, lay_product);
    for (int64_t s = w->last - 1; s >= w->first; s--) {
        sqi_window one = { s, 1, at.row, sqi_rows_at(w->r, at, s) };
        int32_t states = one.n_rows && sqi_is_mine(w) ? w->r->p->n_states : 0;
        for (int32_t k = 0; k < states; k++) settle_leaving(w, k, one);
        sqi_meet_split(w);
        if (one.n_rows) reverse_tasks(w, loop, one, laid);
        if (laid) sqi_loop_move(w);
    }
    w->split = false;
    sqi_workers_meet(w->others);
}

/* ---- Weight gradients ---------------------------------------------------------------------- */

/* The last of so many rows: those of the block, or those of x that differ. */
static const void *last_row(const sqi_worker *w, sqi_array a, int64_t width, int64_t rows,
                            bool of_rows)
{
    const sqi_run_of *r = w->r;
    const sqi_place *p = &(a.gradient ? r->grad : r->value)[a.value];
    const sqi_value *v = &r->p->values[a.value];
    bool gaps = r->sorted && v->kind == SQI_ENTERS && !a.gradient;
    sqi_place dense = { gaps ? r->sorted->entered[v->state] : NULL, p->unit, SQI_OF_BLOCK, 0 };
    const char *first =
        of_rows ? r->table[a.value] : sqi_at_step(w, gaps ? &dense : p, w->first);
    return first + (size_t)((rows - 1) * width) * r->real;
}

static int64_t last_dim(const sqi_value *v) { return v->shape.dim[v->shape.rank - 1]; }

/* Where a defer adds: part i of left s, or with s = n_lefts the column sums of part i. */
static int32_t target_of(const sqi_defer *d, int32_t s, int32_t i)
{
    return s < d->n_lefts ? d->to[s * d->n_parts + i] : d->sums[i];
}

/* Lays the destinations out at w->c: the gradients themselves, or their partial sums. False when
 * none is wanted. */
static bool find_targets(const sqi_worker *w, int32_t number)
{
    const sqi_run_of *r = w->r;
    const sqi_defer *d = &r->back->defers[number];
    char *partial = r->divided && !d->of_rows ? r->partials[number] : NULL;
    bool wanted = false;
    for (int32_t s = 0; s <= d->n_lefts; s++)
        for (int32_t i = 0; i < d->n_parts; i++) {
            int32_t to = target_of(d, s, i);
            char *at = to < 0 ? NULL : r->grad[to].base;
            w->c[s * d->n_parts + i] = at && partial ? partial : at;
            if (to >= 0 && partial) partial += sqi_aligned(sqi_value_bytes(r->p, to));
            wanted |= at != NULL;
        }
    return wanted;
}

/* Columns of the parts, and of the lefts behind them. */
static void defer_widths(const sqi_plan *p, const sqi_defer *d, int64_t *width)
{
    for (int32_t i = 0; i < d->n_parts; i++) {
        bool vector = !d->n_lefts && d->sums[i] >= 0;
        width[i] =
            vector ? p->values[d->sums[i]].size : last_dim(&p->values[d->parts[i].value]);
    }
    for (int32_t s = 0; s < d->n_lefts; s++)
        width[d->n_parts + s] = last_dim(&p->values[d->lefts[s].value]);
}

/* The product of so many rows; where they lie is told by the caller. */
static sqi_grad_product product_of(const sqi_plan *p, const sqi_defer *d, int64_t rows,
                                   int64_t *width)
{
    defer_widths(p, d, width);
    return (sqi_grad_product){ .k = rows,
                               .n_left = d->n_lefts,
                               .n_parts = d->n_parts,
                               .m = width + d->n_parts,
                               .n = width,
                               .last = p->kern->of[p->dtype].panels(d->n_parts, width) };
}

/* A share of the gradients of weights: rows from the last to the first. */
static void run_defer(const sqi_worker *w, int32_t number, int64_t rows, bool of_rows)
{
    const sqi_run_of *r = w->r;
    const sqi_defer *d = &r->back->defers[number];
    int32_t l = d->n_lefts, n = d->n_parts;
    int64_t *a_row = w->a_row, *g_row = a_row + l, *width = g_row + n;
    if (rows == 0 || !find_targets(w, number)) return;
    sqi_grad_product p = product_of(r->p, d, rows, width);
    for (int32_t i = 0; i < n; i++) {
        w->a[l + i] = last_row(w, d->parts[i], p.n[i], rows, of_rows);
        g_row[i] = -p.n[i];
    }
    for (int32_t s = 0; s < l; s++) {
        w->a[s] = last_row(w, d->lefts[s], p.m[s], rows, of_rows);
        a_row[s] = -p.m[s];
    }
    p.a = w->a;
    p.a_row = a_row;
    p.g = w->a + l;
    p.g_row = g_row;
    p.c = w->c;
    p.sums = w->c + l * n;
    p.resume = r->divided && !of_rows;
    p.first = p.last * w->i / w->n;
    p.last = p.last * (w->i + 1) / w->n;
    if (!of_rows && r->arith->grad_scratch(&p)) p.scratch = w->packed;
    r->arith->grad_product(&p);
}

void sqi_run_defer(const sqi_worker *w, int32_t number)
{
    int64_t rows = 0;
    for (int64_t s = w->first; s < w->last; s++)
        rows += sqi_defer_rows(w->r->u, &w->r->back->defers[number], s);
    run_defer(w, number, rows, false);
}

void sqi_run_defer_rows(const sqi_worker *w, int32_t number)
{
    run_defer(w, number, w->r->u->rows->n, true);
}

int64_t sqi_defer_rows(const sqi_planned *u, const sqi_defer *d, int64_t step)
{
    return u->shrunk ? d->rows / u->plan->batch * sqi_active(u->shrunk, step) : d->rows;
}

size_t sqi_defer_width(const sqi_back *b)
{
    size_t most = 0;
    for (int32_t j = 0; j < b->n_defers; j++) {
        size_t n = (size_t)b->defers[j].n_lefts + (size_t)b->defers[j].n_parts;
        if (n > most) most = n;
    }
    return most;
}

size_t sqi_packed_bytes(const sqi_planned *u, const sqi_back *b, int64_t units, int64_t *sizes)
{
    const sqi_plan *p = u->plan;
    size_t most = 0;
    for (int32_t j = 0; j < b->n_defers; j++) {
        int64_t rows = b->defers[j].rows / (u->shrunk ? p->batch : 1) * units;
        sqi_grad_product q = product_of(p, &b->defers[j], rows, sizes);
        size_t bytes = p->kern->of[p->dtype].grad_scratch(&q);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* The block that holds a step, or what the sweep sees of it. */
static int64_t block_begin(const sqi_run_of *r, int64_t step)
{
    int64_t first = sqi_block_begin(r->u, step), low = r->u->span.low;
    if (sqi_parts_single(r)) return step;
    return first < low ? low : first;
}

static void job(void *context, sqi_workers *others, int32_t i, int32_t n)
{
    sqi_worker *w = (sqi_worker *)context + i;
    const sqi_run_of *r = w->r;
    w->others = others;
    w->n = n;
    for (int64_t end = r->to; end > r->from; end = w->first) {
        int64_t first = block_begin(r, end - 1);
        sqi_enter_block(w, first < r->from ? r->from : first, end);
        if (r->sorted) sqi_sorted_in(w);
        begin_block(w);
        if (r->sinks) over_steps(w, SQI_SINK);
        over_rows(w);
        if (r->norms) sqi_note_norms(w);
        over_steps(w, SQI_HOIST);
        if (r->sorted) sqi_sorted_out(w);
        if (r->table) sqi_rows_add(w);
        if (r->parts) sqi_parts_block(w);
        for (int32_t d = 0; !sqi_parts_apart(r) && d < r->back->n_defers; d++) {
            if (r->back->defers[d].of_rows) continue;
            sqi_run_defer(w, d); /* two of them may add to one weight */
            sqi_workers_meet(w->others);
        }
    }
    if (r->table && r->from == r->u->span.low) sqi_rows_end(w);
}

/* ---- Where gradients lie ------------------------------------------------------------------- */

static sqi_room room_of(const sqi_plan *p, const sqi_back *b, int32_t v)
{
    if (v >= b->n_roots) return v < b->n_made ? SQI_BLOCK : SQI_NOWHERE;
    return p->values[v].kind == SQI_SPREAD ? SQI_NOWHERE : b->room[v];
}

static bool leaves_as_state(const sqi_value *x)
{
    return x->state >= 0 && x->kind != SQI_ENTERS;
}

/* Of a state the gradient entering the block's first step lies before the others. */
size_t sqi_reverse_room(const sqi_plan *p, const sqi_back *b, int32_t v, int64_t steps)
{
    const sqi_value *x = &p->values[v];
    size_t bytes = sqi_value_bytes(p, v), all = (size_t)steps * bytes;
    sqi_room room = room_of(p, b, v);
    if (x->kind == SQI_X || x->kind == SQI_OUTER || x->kind == SQI_ENTERS) return 0;
    if (leaves_as_state(x)) return sqi_aligned(all + bytes) + (b->sunk[x->state] ? all : 0);
    return room == SQI_STEP ? bytes : room == SQI_BLOCK || room == SQI_KEPT ? all : 0;
}

/* The gradients of a state, and what the SINK sees of them. */
static bool place_state(sqi_run_of *r, int32_t v)
{
    int32_t k = r->p->values[v].state, in = r->p->enters[k];
    const sqi_stretches *b = r->u->stretch;
    size_t bytes = sqi_value_bytes(r->p, v), unit = sqi_unit_bytes(r->u, v);
    size_t units = (size_t)sqi_block_units(r->u);
    bool apart = b || r->sorted;
    char *g = apart ? sqi_run_room(r, units * unit + bytes)
                    : sqi_wake_at(r->u, r->lane, k, SQI_NO_STEP);
    if (!g) return false;
    r->grad[v] = (sqi_place){ g + bytes, unit, apart ? SQI_OF_BLOCK : SQI_OF_ALL, 0 };
    r->grad[in] = r->grad[v];
    r->grad[in].lag = 1;
    r->sunk[v] = r->sunk[in] = r->grad[v];
    if (!r->back->sunk[k]) return true;
    r->sunk[v] = (sqi_place){ sqi_run_room(r, units * unit), unit, SQI_OF_BLOCK, 0 };
    return r->sunk[v].base != NULL;
}

/* Of a KEPT gradient. */
static int32_t slot_of(const sqi_run_of *r, int32_t v)
{
    return r->back->tapped[v] ? r->tap[v] : sqi_slot_output(r->p);
}

static bool place_value(sqi_run_of *r, int32_t v)
{
    const sqi_plan *p = r->p;
    const sqi_value *x = &p->values[v];
    const sqi_stretches *b = r->u->stretch;
    sqi_room room = room_of(p, r->back, v);
    sqi_place *at = &r->grad[v];
    *at = (sqi_place){ .unit = sqi_unit_bytes(r->u, v) };
    if (x->kind == SQI_X && r->sorted)
        *at = (sqi_place){ r->sorted->x, at->unit, SQI_OF_BLOCK, 0 };
    else if (x->kind == SQI_X) at->base = r->gx[0];
    else if (x->kind == SQI_OUTER) {
        at->unit = 0;
        if (x->room == SQI_OUTSIDE) at->base = r->gx[r->u->first_outer + x->operand];
    } else if (room == SQI_KEPT && r->sorted)
        *at = (sqi_place){ r->sorted->window[slot_of(r, v)], at->unit, SQI_OF_BLOCK, 0 };
    else if (room == SQI_KEPT && !b) at->base = sqi_wake_at(r->u, r->lane, slot_of(r, v), 0);
    else if (room == SQI_STEP || room == SQI_BLOCK || room == SQI_KEPT) {
        size_t units = (size_t)sqi_block_units(r->u);
        at->origin = SQI_OF_BLOCK;
        at->base = sqi_run_room(r, room == SQI_STEP ? sqi_value_bytes(p, v) : units * at->unit);
        if (room == SQI_STEP) at->unit = 0;
        if (!at->base) return false;
    }
    r->sunk[v] = *at;
    return true;
}

/* Where gradients lie: in the wake, at the operands' sources, in scratch. */
static bool find_places(sqi_run_of *r)
{
    const sqi_plan *p = r->p;
    size_t n = (size_t)p->n_values;
    r->grad = sqi_run_take(r, n, sizeof *r->grad);
    r->sunk = sqi_run_take(r, n, sizeof *r->sunk);
    r->tap = sqi_run_take(r, n, sizeof *r->tap);
    if (!r->grad || !r->sunk || !r->tap) return false;
    for (int32_t j = 0; j < p->n_named; j++) r->tap[p->named[j]] = sqi_slot_named(p, j);
    for (int32_t v = 0; v < p->n_values; v++)
        if (p->values[v].state < 0 && !place_value(r, v)) return false;
    for (int32_t k = 0; k < p->n_states; k++)
        if (!place_state(r, p->leaves[k])) return false;
    return true;
}

/* ---- Pieces of a block --------------------------------------------------------------------- */

size_t sqi_partial_bytes(const sqi_plan *p, const sqi_back *b)
{
    size_t bytes = 0;
    for (int32_t j = 0; j < b->n_defers; j++)
        for (int32_t s = 0; !b->defers[j].of_rows && s <= b->defers[j].n_lefts; s++)
            for (int32_t i = 0; i < b->defers[j].n_parts; i++) {
                int32_t to = target_of(&b->defers[j], s, i);
                if (to >= 0) bytes += sqi_aligned(sqi_value_bytes(p, to));
            }
    return bytes;
}

/* Adds the finished sums of a block to the gradients. */
static void add_partials(const sqi_run_of *r)
{
    const sqi_worker *w = r->workers;
    for (int32_t j = 0; j < r->back->n_defers; j++) {
        const sqi_defer *d = &r->back->defers[j];
        if (d->of_rows || !find_targets(w, j)) continue;
        for (int32_t s = 0; s <= d->n_lefts; s++)
            for (int32_t i = 0; i < d->n_parts; i++) {
                int32_t to = target_of(d, s, i);
                const void *sum = w->c[s * d->n_parts + i];
                if (sum) r->arith->axpy(r->p->values[to].size, 1, sum, r->grad[to].base);
            }
    }
}

bool sqi_reverse_divide(sqi_run_of *r, char *at)
{
    r->partials = sqi_run_take(r, (size_t)r->back->n_defers, sizeof *r->partials);
    for (int32_t j = 0; r->partials && j < r->back->n_defers; j++) {
        sqi_back one = { .defers = &r->back->defers[j], .n_defers = 1 };
        r->partials[j] = at;
        at += sqi_partial_bytes(r->p, &one);
    }
    return r->partials != NULL;
}

/* ---- All of it ----------------------------------------------------------------------------- */

/* Room for copies of left operands: of every worker, or as many as a budget counts. */
static bool make_packed(sqi_run_of *r)
{
    const sqi_stretches *b = r->u->stretch;
    size_t n = sqi_defer_width(r->back);
    int64_t *sizes = sqi_run_take(r, n, sizeof *sizes);
    if (!sizes) return false;
    size_t bytes = sqi_packed_bytes(r->u, r->back, sqi_block_units(r->u), sizes);
    for (int32_t i = 0; bytes && i < r->n_workers && (!b || i < b->threads); i++) {
        r->workers[i].packed = sqi_run_room(r, bytes);
        if (!r->workers[i].packed) return false;
    }
    return true;
}

bool sqi_reverse_open(sqi_run_of *r)
{
    const sqi_stretches *b = r->u->stretch;
    const sqi_shrunk *g = r->u->shrunk;
    r->last = r->wake->top + 1;
    if (g && r->last > g->steps) r->last = g->steps;
    if (r->lane != SQI_LANE_USER) r->watch = NULL;
    r->sinks = r->back->tasks[SQI_SINK].n > 0;
    bool ok = sqi_parts_open(r) && sqi_run_places(r) && sqi_sorted_open(r) && find_places(r) &&
              sqi_rows_open_reverse(r) &&
              sqi_run_workers(r, b ? b->piece : r->last - r->u->span.low) && make_packed(r) &&
              sqi_parts_ready(r) && sqi_watch_open(r);
    if (ok) sqi_sorted_begin(r);
    return ok;
}

void sqi_reverse_steps(sqi_run_of *r, int64_t from, int64_t to)
{
    const sqi_stretches *b = r->u->stretch;
    for (int32_t i = 0; i < r->n_workers; i++)
        r->workers[i].origin[SQI_OF_STRETCH] = b ? sqi_units_before(r->u, b->origin) : 0;
    int64_t end = b ? sqi_block_end(r->u, from) : to;
    bool begins = to == (end < r->last ? end : r->last), ends = from == block_begin(r, from);
    r->divided = b && r->partials && !r->parts && !(begins && ends);
    if (r->divided && begins) memset(r->partials[0], 0, sqi_partial_bytes(r->p, r->back));
    sqi_run_steps(r, job, from, to);
    sqi_sorted_show(r, from, to);
    sqi_watch_reverse(r, from, to);
    if (r->divided && ends) add_partials(r);
}

bool sqi_plan_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx)
{
    sqi_planned *u = (sqi_planned *)span;
    sqi_run_of r = sqi_run_new(t, u);
    sqi_planned_bind(u);
    r.wake = &u->wake[lane];
    r.lane = lane;
    r.gx = gx;
    r.immediate = immediate;
    r.back = sqi_wake_back(t, u, lane);
    bool ok = r.back && sqi_wake_ready(t, u, lane) && sqi_reverse_open(&r);
    if (ok) sqi_reverse_steps(&r, span->low, r.last);
    if (ok) sqi_reverse_end(&r);
    sqi_run_close(&r);
    return !t->error.status;
}

/* What reached the initial states goes to whoever gave them. */
void sqi_reverse_end(const sqi_run_of *r)
{
    for (int32_t k = 0; k < r->p->n_states && r->u->span.low == 0; k++) {
        void *to = r->gx[r->u->first_state + k];
        int32_t v = r->p->leaves[k];
        if (to && r->sorted) sqi_sorted_initial(r, k, to);
        else if (to && r->back->crossed[k])
            r->arith->axpy(r->p->values[v].size, 1, r->grad[v].base - sqi_value_bytes(r->p, v),
                           to);
    }
}
