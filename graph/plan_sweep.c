/* plan_sweep.c -- the reverse run: blocks of steps from the last; in each, what was sunk, the loop
 * backwards, what was hoisted, then the weight gradients of the block.
 *
 * The gradient G_t of a state after step t has up to four sources: what was seeded at its handle,
 * what arrived at the output when the output is that state (kept apart: it is the immediate
 * gradient), what step t + 1 sends back (it crosses the border), and what its own step does with
 * it. The first that comes sets, or adds to what is there: all of it is known beforehand, so
 * threads need not tell each other. */
#include "graph/plan_run_impl.h"

#include <string.h>

/* ---- What has been seeded ------------------------------------------------------------------ */

static bool seeded(const sqi_worker *w, int32_t slot, int64_t step)
{
    const unsigned char *s = w->r->wake->seeded[slot];
    return s && s[step];
}

static bool output_is(const sqi_run_of *r, int32_t k)
{
    return r->p->output >= 0 && r->p->values[r->p->output].state == k;
}

/* The seed of the output at a step, where the output is state k; or NULL. */
static char *output_seed(const sqi_worker *w, int32_t k, int64_t step, sqi_window at)
{
    const sqi_run_of *r = w->r;
    int32_t slot = sqi_slot_output(r->p), v = r->p->output;
    if (!output_is(r, k) || !seeded(w, slot, step)) return NULL;
    return r->wake->grad[slot] + (size_t)step * sqi_value_bytes(r->p, v) +
           sqi_row_offset(w, v, at.row);
}

/* Whether step t sends something back into entering state k. */
static bool crosses(const sqi_run_of *r, int32_t k)
{
    return r->back->crossed[k] && !r->immediate;
}

/* Rows of the gradient of state k as it enters step `step` (as it leaves the one before). */
static char *state_grad(const sqi_worker *w, int32_t k, sqi_window at, int64_t *n)
{
    int32_t v = w->r->p->leaves[k];
    *n = w->r->p->values[v].size / w->r->p->batch * at.n_rows;
    return sqi_at_step(w, &w->r->grad[w->r->p->enters[k]], at.step) +
           sqi_row_offset(w, v, at.row);
}

/* Something is there already when step at.step begins to send back into state k. */
static bool has_content(const sqi_worker *w, int32_t k, int64_t step)
{
    const sqi_run_of *r = w->r;
    if (step <= r->u->span.low) return false;
    return seeded(w, k, step - 1) || (r->sinks && r->back->sunk[k] && step > w->first);
}

/* Before the first op that writes into entering state k: whether it adds. What the output sent is
 * put there first. */
static bool open_entering(const sqi_worker *w, int32_t k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    int64_t n;
    char *g = state_grad(w, k, at, &n);
    char *y = at.step > r->u->span.low ? output_seed(w, k, at.step - 1, at) : NULL;
    bool there = has_content(w, k, at.step);
    if (y && there) r->arith->axpy(n, 1, y, g);
    else if (y) memcpy(g, y, (size_t)n * r->real);
    return y || there;
}

/* At the start of step at.step's reversal: the total gradient of state k is complete but for what
 * its own step does. */
static void settle_leaving(const sqi_worker *w, int32_t k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    if (crosses(r, k) && at.step + 1 < r->last) return; /* the step after has done it */
    sqi_window next = { at.step + 1, 1, at.row, at.n_rows };
    int64_t n;
    char *g = state_grad(w, k, next, &n), *y = output_seed(w, k, at.step, at);
    bool there = seeded(w, k, at.step) || (r->sinks && r->back->sunk[k]);
    if (y && there) r->arith->axpy(n, 1, y, g);
    else if (y) memcpy(g, y, (size_t)n * r->real);
    else if (!there) memset(g, 0, (size_t)n * r->real);
}

/* ---- Tasks in reverse ---------------------------------------------------------------------- */

/* Where the gradient of a product's left goes, and what is there before. */
static sqi_out left_out(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    int64_t width = k->packed.panels.width[0], n;
    sqi_out o = { .c_row = width, .from_row = width };
    const sqi_place *place =
        &r->grad[k->target < r->back->n_roots ? r->back->root[k->target] : k->target];
    if (!place->base) return o;
    char *c = sqi_at_step(w, place, at.step) + sqi_row_offset(w, k->target, at.row);
    o.c = c;
    o.from = k->sets ? NULL : c;
    if (!k->first) return o;
    bool there = has_content(w, k->crosses, at.step);
    char *y = at.step > r->u->span.low ? output_seed(w, k->crosses, at.step - 1, at) : NULL;
    state_grad(w, k->crosses, at, &n);
    if (there && y) r->arith->axpy(n, 1, y, c);
    o.from = there ? c : y;
    return o;
}

static void reverse_product(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    int64_t rows = k->sharable ? at.n_rows : 1;
    w->out[0] = left_out(w, k, at);
    if (!w->out[0].c) return;
    for (int32_t i = 0; i < k->n; i++) {
        int32_t g = r->back->root[k->v[i]];
        w->a[i] = sqi_at_step(w, &r->grad[g], at.step) + sqi_row_offset(w, k->v[i], at.row);
        w->a_row[i] = k->packed.panels.depth[i];
    }
    r->arith->product(&(sqi_panel_product){ .b = &k->packed.panels,
                                            .m = at.n_steps * rows * k->rows,
                                            .single = r->p->values[k->v[0]].phase == SQI_LOOP &&
                                                      r->p->batch * k->rows == 1,
                                            .a = w->a,
                                            .a_row = w->a_row,
                                            .out = w->out,
                                            .last = k->packed.n_panels });
}

static void reverse_call_step(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    sq_call c = sqi_call_of(w, k->v[0], at);
    int32_t u = r->p->operands[r->p->values[k->v[0]].first + k->target];
    const sqi_place *from = &r->grad[r->back->root[k->v[0]]], *to = &r->grad[r->back->root[u]];
    if (!to->base) return;
    bool zero = k->sets;
    if (k->first) zero = !open_entering(w, k->crosses, at);
    c.gy = sqi_at_step(w, from, at.step) + sqi_row_offset(w, k->v[0], at.row);
    w->c[k->target] = sqi_at_step(w, to, at.step) + sqi_row_offset(w, u, at.row);
    c.gx = w->c;
    if (zero) memset(w->c[k->target], 0, (size_t)sq_shape_size(c.xs[k->target]) * r->real);
    c.op->vjp(&c, k->target);
}

static void reverse_call(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    sqi_window one = { at.step, 1, at.row, at.n_rows };
    for (; one.step < at.step + at.n_steps; one.step++) reverse_call_step(w, k, one);
}

static void reverse_chain(const sqi_worker *w, const sqi_task *k, sqi_window at, bool cross)
{
    for (int32_t i = 0; cross && i < k->chain.n_micros; i++) {
        const sqi_micro *m = &k->chain.micros[i];
        if (m->first) w->adds[m->crosses] = open_entering(w, m->crosses, at);
    }
    sqi_run_chain(w, k, at, cross, w->adds);
}

static void reverse_tasks(const sqi_worker *w, const sqi_tasks *tasks, sqi_window at)
{
    bool cross = !w->r->immediate || at.step == 0;
    for (int32_t i = 0; i < tasks->n; i++) {
        const sqi_task *k = &tasks->at[i];
        if (k->crosses >= 0 && !cross) continue;
        if (k->kind == SQI_DO_PRODUCT) reverse_product(w, k, at);
        else if (k->kind == SQI_DO_CHAIN) reverse_chain(w, k, at, cross);
        else reverse_call(w, k, at);
    }
}

/* ---- Phases -------------------------------------------------------------------------------- */

/* The gradient of a value begins with what was seeded at its handle, or sent to it as the output. */
static void begin_value(const sqi_worker *w, int32_t v, int64_t step)
{
    const sqi_run_of *r = w->r;
    size_t bytes = sqi_value_bytes(r->p, v);
    char *g = sqi_at_step(w, &r->grad[v], step);
    int32_t slot = sqi_slot_output(r->p);
    const char *y = v == r->p->output && seeded(w, slot, step)
                        ? r->wake->grad[slot] + (size_t)step * bytes
                        : NULL;
    if (r->back->tapped[v]) {
        if (!seeded(w, r->tap[v], step)) memset(g, 0, bytes);
        if (y) r->arith->axpy(r->p->values[v].size, 1, y, g);
    } else if (!y) {
        memset(g, 0, bytes);
    } else if (y != g) {
        memcpy(g, y, bytes);
    }
}

/* Before what was sunk sends into the states it read: clears what is not there yet. */
static void begin_sunk(const sqi_worker *w, int32_t k, int64_t step)
{
    const sqi_run_of *r = w->r;
    bool crossed = crosses(r, k) && step + 1 == w->last && w->last < r->last;
    sqi_window next = { step + 1, 1, 0, r->p->batch };
    int64_t n;
    char *g = state_grad(w, k, next, &n);
    if (!seeded(w, k, step) && !crossed) memset(g, 0, (size_t)n * r->real);
}

static void begin_block(const sqi_worker *w)
{
    const sqi_run_of *r = w->r;
    sqi_window at = sqi_share_steps(w, false);
    for (int64_t s = at.step; s < at.step + at.n_steps; s++) {
        for (int32_t i = 0; i < r->back->n_begun; i++) begin_value(w, r->back->begun[i], s);
        for (int32_t k = 0; r->sinks && k < r->p->n_states; k++)
            if (r->back->sunk[k]) begin_sunk(w, k, s);
    }
    if (r->back->n_begun || r->sinks) sqi_workers_meet(w->others);
}

static void over_steps(const sqi_worker *w, sqi_phase phase)
{
    const sqi_back *b = w->r->back;
    sqi_window at = sqi_share_steps(w, b->alone[phase]);
    if (!b->tasks[phase].n) return;
    if (at.n_steps) reverse_tasks(w, &b->tasks[phase], at);
    sqi_workers_meet(w->others);
}

static void over_rows(const sqi_worker *w)
{
    const sqi_back *b = w->r->back;
    sqi_window at = sqi_share_rows(w, b->alone[SQI_LOOP]);
    for (at.step = w->last - 1; at.n_rows && at.step >= w->first; at.step--) {
        for (int32_t k = 0; k < w->r->p->n_states; k++) settle_leaving(w, k, at);
        reverse_tasks(w, &b->tasks[SQI_LOOP], at);
    }
    sqi_workers_meet(w->others);
}

/* ---- Weight gradients ---------------------------------------------------------------------- */

static const void *last_row(const sqi_worker *w, sqi_array a, int64_t width, int64_t rows)
{
    const sqi_run_of *r = w->r;
    const sqi_place *p = &(a.gradient ? r->grad : r->value)[a.value];
    return sqi_at_step(w, p, w->first) + (size_t)((rows - 1) * width) * r->real;
}

static int64_t last_dim(const sqi_value *v) { return v->shape.dim[v->shape.rank - 1]; }

/* The gradients of weights that a block of so many rows brings: sizes and destinations. */
static sqi_grad_product grads_of(const sqi_worker *w, const sqi_defer *d, int64_t rows)
{
    const sqi_run_of *r = w->r;
    const sqi_value *values = r->p->values;
    int32_t l = d->n_lefts, n = d->n_parts;
    int64_t *m = w->a_row + l, *g_row = m + l, *width = g_row + n;
    void **c = w->c, **sums = w->c + l * n;
    for (int32_t i = 0; i < n; i++) {
        bool vector = !l && d->sums[i] >= 0;
        width[i] = vector ? values[d->sums[i]].size : last_dim(&values[d->parts[i].value]);
        g_row[i] = -width[i];
        sums[i] = d->sums[i] < 0 ? NULL : r->grad[d->sums[i]].base;
    }
    for (int32_t s = 0; s < l; s++) {
        m[s] = last_dim(&values[d->lefts[s].value]);
        w->a_row[s] = -m[s];
        for (int32_t i = 0; i < n; i++) {
            int32_t to = d->to[s * n + i];
            c[s * n + i] = to < 0 ? NULL : r->grad[to].base;
        }
    }
    int64_t panels = r->arith->panels(n, width);
    return (sqi_grad_product){ .k = rows,
                               .n_left = l,
                               .n_parts = n,
                               .a = w->a,
                               .a_row = w->a_row,
                               .m = m,
                               .g = w->a + l,
                               .g_row = g_row,
                               .n = width,
                               .c = c,
                               .sums = sums,
                               .first = panels * w->i / w->n,
                               .last = panels * (w->i + 1) / w->n };
}

static bool any(void *const *at, int32_t n)
{
    bool found = false;
    for (int32_t i = 0; i < n; i++) found |= at[i] != NULL;
    return found;
}

/* One block's share of the gradients of weights: rows from the last to the first. */
static void run_defer(const sqi_worker *w, const sqi_defer *d)
{
    int32_t l = d->n_lefts, n = d->n_parts;
    int64_t rows = (w->last - w->first) * d->rows;
    sqi_grad_product p = grads_of(w, d, rows);
    if (rows == 0 || !any(w->c, (l + 1) * n)) return;
    for (int32_t i = 0; i < n; i++) w->a[l + i] = last_row(w, d->parts[i], p.n[i], rows);
    for (int32_t s = 0; s < l; s++) w->a[s] = last_row(w, d->lefts[s], p.m[s], rows);
    if (w->r->arith->grad_scratch(&p)) p.scratch = w->packed;
    w->r->arith->grad_product(&p);
}

/* Room for the left operands of any block's weight gradients. */
static bool make_packed(sqi_run_of *r, sqi_worker *w)
{
    size_t most = 0;
    for (int32_t i = 0; i < r->back->n_defers; i++) {
        const sqi_defer *d = &r->back->defers[i];
        sqi_grad_product p = grads_of(w, d, r->u->block * d->rows);
        size_t bytes = r->arith->grad_scratch(&p);
        if (bytes > most) most = bytes;
    }
    if (most) w->packed = sqi_run_take(r, most, 1);
    return !most || w->packed;
}

static void job(void *context, sqi_workers *others, int32_t i, int32_t n)
{
    sqi_worker *w = (sqi_worker *)context + i;
    const sqi_run_of *r = w->r;
    int64_t block = r->u->block, low = r->u->span.low;
    w->others = others;
    w->n = n;
    for (w->last = r->last; w->last > low; w->last = w->first) {
        w->first = (w->last - 1) / block * block;
        if (w->first < low) w->first = low;
        begin_block(w);
        if (r->sinks) over_steps(w, SQI_SINK);
        over_rows(w);
        over_steps(w, SQI_HOIST);
        for (int32_t d = 0; d < r->back->n_defers; d++) {
            run_defer(w, &r->back->defers[d]); /* two of them may add to one weight */
            sqi_workers_meet(w->others);
        }
    }
}

/* ---- All of it ----------------------------------------------------------------------------- */

/* Where gradients lie: in the wake, at the operands' sources, in scratch. */
static bool find_places(sqi_run_of *r)
{
    const sqi_plan *p = r->p;
    const sqi_back *b = r->back;
    size_t n = (size_t)p->n_values;
    r->grad = sqi_run_take(r, n, sizeof *r->grad);
    r->tap = sqi_run_take(r, n, sizeof *r->tap);
    if (!r->grad || !r->tap) return false;
    for (int32_t j = 0; j < p->n_named; j++) r->tap[p->named[j]] = sqi_slot_named(p, j);
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *x = &p->values[v];
        sqi_room room = x->kind == SQI_SPREAD ? SQI_BLOCK
                        : v < b->n_roots      ? b->room[v]
                                              : SQI_NOWHERE;
        sqi_place *at = &r->grad[v];
        *at = (sqi_place){ .step = sqi_value_bytes(p, v) };
        if (x->kind == SQI_X) at->base = r->gx[0];
        else if (x->kind == SQI_OUTER) {
            at->base = x->room == SQI_OUTSIDE ? r->gx[r->u->first_outer + x->operand] : NULL;
            at->step = 0;
        } else if (x->kind == SQI_ENTERS) at->base = r->wake->grad[x->state];
        else if (x->state >= 0) at->base = r->wake->grad[x->state] + at->step;
        else if (room == SQI_KEPT)
            at->base = r->wake->grad[b->tapped[v] ? r->tap[v] : sqi_slot_output(p)];
        else if (room == SQI_STEP || room == SQI_BLOCK) {
            at->of_block = room == SQI_BLOCK;
            at->base = sqi_run_take(r, at->of_block ? (size_t)r->u->block : 1, at->step);
            if (!at->of_block) at->step = 0;
            if (!at->base) return false;
        }
    }
    return true;
}

static bool run_reverse(sqi_run_of *r)
{
    int32_t n = sqi_run_threads(r, r->last - r->u->span.low);
    sqi_worker *workers = sqi_run_take(r, (size_t)n, sizeof *workers);
    if (!workers || !sqi_run_places(r) || !find_places(r)) return false;
    for (int32_t i = 0; i < n; i++) {
        if (!sqi_worker_init(r, &workers[i], i) || !make_packed(r, &workers[i])) return false;
        workers[i].adds = sqi_run_take(r, (size_t)r->p->n_states + 1, 1);
        if (!workers[i].adds) return false;
    }
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < r->back->tasks[phase].n; i++) {
            sqi_task *k = &r->back->tasks[phase].at[i];
            if (k->kind == SQI_DO_PRODUCT) sqi_pack(r, k);
        }
    r->sinks = r->back->tasks[SQI_SINK].n > 0;
    sqi_workers_run(&r->t->workers, n, job, workers);
    return true;
}

/* What reached the initial states goes to whoever gave them. */
static void to_initial_states(const sqi_run_of *r)
{
    for (int32_t k = 0; k < r->p->n_states && r->u->span.low == 0; k++) {
        void *to = r->gx[r->u->first_state + k];
        if (to && r->back->crossed[k])
            r->arith->axpy(r->p->values[r->p->leaves[k]].size, 1, r->wake->grad[k], to);
    }
}

bool sqi_plan_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx)
{
    sqi_planned *u = (sqi_planned *)span;
    sqi_run_of r = { .t = t,
                     .u = u,
                     .p = u->plan,
                     .arith = &t->kern->of[t->dtype],
                     .real = sq_dtype_size(t->dtype),
                     .wake = &u->wake[lane],
                     .gx = gx,
                     .immediate = immediate };
    sqi_planned_bind(u);
    r.last = r.wake->top + 1;
    r.back = sqi_plan_back(t, u->plan, r.wake->tapped);
    bool ok = r.back && sqi_wake_ready(t, u, lane) && run_reverse(&r);
    if (ok) to_initial_states(&r);
    sqi_arena_clear(&r.scratch, &t->pool);
    return ok;
}
