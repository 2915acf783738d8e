/* plan_watch.c -- watching a plan run: what is looked at, and who was it.
 *
 * A run looks at what it has just written, while it lies in the nearest cache: never at memory that
 * nobody wrote yet. Not at everything: where a number that is not finite goes into a sum, a
 * difference, a product, what comes out is not finite either, so looking there is enough. What a
 * sigmoid or a maximum might swallow is looked at before. In reverse, derivatives are products: the
 * gradients that leave a pass are looked at.
 * Each thread remembers its first step. That step is then computed again from the states it began
 * with, op by op as it was written, to name the operation; in reverse, from the gradients that the
 * run left at its states. */
#include "core/watch_impl.h"
#include "graph/moment_impl.h"
#include "graph/plan_run_impl.h"
#include "ops/ops_impl.h"

#include <math.h>
#include <string.h>

/* ---- What is looked at --------------------------------------------------------------------- */

/* What is not finite in an operand is not finite in the result. */
static bool hands_on(const sqi_value *v)
{
    static const sq_op *const ops[] = { &sq_op_add, &sq_op_sub, &sq_op_mul, &sq_op_neg };
    bool does = v->kind == SQI_PRODUCT;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) does |= v->op == ops[i];
    return does;
}

void sqi_plan_mark_lookouts(sqi_plan *p)
{
    for (int32_t v = 0; v < p->n_values; v++) p->values[v].lookout = true;
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *x = &p->values[v];
        if (!sqi_is_operation(x) || !hands_on(x)) continue;
        for (int32_t k = 0; k < x->n; k++)
            p->values[x->kind == SQI_PRODUCT ? p->terms[x->first + k].left
                                             : p->operands[x->first + k]]
                .lookout = false;
        if (x->kind == SQI_PRODUCT && x->from >= 0) p->values[x->from].lookout = false;
    }
}

void sqi_chain_mark_lookouts(const sqi_plan *p, sqi_chain *c)
{
    for (int32_t i = 0; i < c->n_micros; i++) {
        sqi_micro *m = &c->micros[i];
        m->lookout = m->out < 0 ? p->values[m->of].lookout : c->streams[m->out].tile < 0;
        for (int32_t j = i + 1; j < c->n_micros && m->out >= 0; j++)
            m->lookout = m->lookout && c->micros[j].out != m->out;
    }
}

void sqi_note(const sqi_worker *w, int32_t v, int64_t step)
{
    sqi_find *f = w->found;
    bool before = w->r->back ? step > f->step : step < f->step;
    if (!f->any || before) *f = (sqi_find){ true, step, v };
}

void sqi_look(const sqi_worker *w, int32_t v, int64_t n, sqi_window at, const char *written)
{
    const sqi_run_of *r = w->r;
    if (!w->found || r->arith->finite(sqi_rows_in(r, at) * n, written)) return;
    for (int64_t s = at.step; s < at.step + at.n_steps; s++) {
        int64_t here = sqi_rows_at(r, at, s) * n;
        if (!r->arith->finite(here, written)) sqi_note(w, v, s);
        written += (size_t)here * r->real;
    }
}

/* ---- A run under watch --------------------------------------------------------------------- */

/* Of all steps of a sweep. They are written as it goes where a threshold wants them, or where the
 * gradients do not stay. */
static bool make_norms(sqi_run_of *r)
{
    size_t n = r->last > r->u->span.low ? (size_t)(r->last - r->u->span.low) : 0;
    n *= (size_t)r->p->n_states;
    r->norms = sqi_run_take(r, n, sizeof *r->norms);
    for (size_t i = 0; r->norms && i < n; i++) r->norms[i] = 0;
    return r->norms != NULL;
}

bool sqi_watch_open(sqi_run_of *r)
{
    const sqi_watch *w = r->watch;
    if (!w) return true;
    sqi_find *found = sqi_run_take(r, (size_t)r->n_workers, sizeof *found);
    if (!found) return false;
    memset(found, 0, (size_t)r->n_workers * sizeof *found);
    for (int32_t i = 0; i < r->n_workers; i++)
        r->workers[i].found = w->ask.nonfinite ? &found[i] : NULL;
    bool thresholds = w->ask.limit > 0 || w->ask.growth > 0;
    bool all_along = thresholds || r->u->stretch || r->u->shrunk;
    return !r->back || !all_along || make_norms(r);
}

/* Where the norms of a step lie. */
static double *norms_at(const sqi_run_of *r, int64_t step)
{
    return r->norms + (step - r->u->span.low) * r->p->n_states;
}

void sqi_note_past(const sqi_run_of *r, int32_t k, int64_t step, double squared)
{
    if (r->norms && step >= r->u->span.low && step < r->last) norms_at(r, step)[k] += squared;
}

static void note_step(const sqi_worker *w, int64_t step)
{
    const sqi_run_of *r = w->r;
    int64_t units = sqi_units_before(r->u, step + 1) - sqi_units_before(r->u, step);
    for (int32_t k = 0; k < r->p->n_states; k++) {
        int32_t v = r->p->leaves[k];
        int64_t n = (int64_t)(sqi_unit_bytes(r->u, v) / r->real) * units;
        double *norm = &norms_at(r, step)[k];
        *norm = sqrt(*norm + r->arith->sumsq(n, sqi_at_step(w, &r->grad[v], step)));
    }
}

void sqi_note_norms(const sqi_worker *w)
{
    sqi_window at = sqi_share_steps(w, false);
    for (int64_t s = at.step; s < at.step + at.n_steps; s++) note_step(w, s);
}

/* The first step that any thread noted. */
static sqi_find first_find(const sqi_run_of *r)
{
    sqi_find first = { .any = false };
    for (int32_t i = 0; i < r->n_workers; i++) {
        const sqi_find *f = r->workers[i].found;
        if (!f || !f->any) continue;
        bool before = r->back ? f->step > first.step : f->step < first.step;
        if (!first.any || before) first = *f;
    }
    return first;
}

/* ---- The step once more -------------------------------------------------------------------- */

/* The node of the trace that a value stands for: where it is a part of a sum, the sum's. */
static uint32_t node_of(const sqi_plan *p, int32_t v)
{
    for (int32_t i = 0; i < p->n_nodes && v >= p->n_nodes; i++)
        if (p->values[i].kind == SQI_PRODUCT && p->values[i].from == v) return (uint32_t)i;
    return sqi_trace_node(p, v);
}

/* All that the step computes. */
static bool open_moment(sqi_moment *m, const sqi_run_of *r, int64_t step)
{
    const sqi_plan *p = r->p;
    sqi_planned *u = (sqi_planned *)(uintptr_t)r->u;
    sqi_arena memory = { .newest = NULL };
    uint32_t *all = sqi_arena_alloc(&memory, &r->t->pool, (size_t)p->n_nodes * sizeof *all);
    int32_t n = 0;
    for (int32_t i = 0; all && i < p->n_nodes; i++)
        if (p->values[i].op && u->home->nodes[i].flags & SQI_DEAD) all[n++] = (uint32_t)i;
    bool ok = all ? sqi_moment_planned(m, r->t, u, step, all, n)
                  : sq_post(r->t, SQ_ENOMEM, "out of memory for step %lld", (long long)step);
    sqi_arena_clear(&memory, &r->t->pool);
    return ok;
}

static sqi_scene scene_of(const sqi_run_of *r, const sqi_moment *m)
{
    return (sqi_scene){ .w = r->watch,
                        .s = m->s,
                        .step = m->step,
                        .value = m->value,
                        .n = m->n,
                        .leaves = m->leaves,
                        .enters = m->enters,
                        .x = m->x };
}

/* The first operation of the step whose result is not finite; 0: none. */
static uint32_t first_bad(const sqi_moment *m)
{
    for (uint32_t i = 1; i < m->n; i++)
        if (!sqi_moment_starts(m, i) && m->value[i] &&
            !sqi_all_finite(m->t, &m->s->nodes[i].shape, m->value[i]))
            return i;
    return 0;
}

/* Norms of the states that the steps before left, as far as they are at hand. */
static sqi_norms norms_before(sqi_moment *m, const sqi_run_of *r)
{
    enum { MOST = 1000 };
    int64_t origin = r->u->stretch ? r->u->stretch->origin : 0, n = m->step - origin;
    int32_t of = r->p->n_states;
    if (n > MOST) n = MOST;
    double *to = sqi_moment_take(m, (size_t)(n * of), sizeof *to);
    for (int64_t j = 0; to && j < n; j++)
        for (int32_t k = 0; k < of; k++) {
            int32_t leaf = r->p->leaves[k];
            size_t bytes = sqi_value_bytes(r->p, leaf);
            char *copy = r->u->shrunk ? sqi_moment_take(m, 1, bytes) : NULL;
            if (r->u->shrunk && !copy) return (sqi_norms){ .at = NULL };
            if (copy) sqi_shrunk_value(r->u, k, m->step - 1 - j, copy);
            const char *at = r->u->kept[leaf] + (size_t)(m->step - j - origin) * bytes;
            to[j * of + k] = sqrt(r->arith->sumsq(r->p->values[leaf].size, copy ? copy : at));
        }
    return (sqi_norms){ to, of, to ? n : 0, of };
}

void sqi_watch_forward(sqi_run_of *r)
{
    sqi_find f = r->watch ? first_find(r) : (sqi_find){ .any = false };
    sqi_moment m = { .t = NULL };
    if (!f.any || r->t->error.status) return;
    if (open_moment(&m, r, f.step)) {
        sqi_scene s = scene_of(r, &m);
        sqi_norms norms = norms_before(&m, r);
        uint32_t i = first_bad(&m);
        sqi_watch_tell_value(r->t, &s, i ? i : node_of(r->p, f.v), &norms);
    }
    sqi_moment_close(&m);
}

/* ---- The step once more, backwards --------------------------------------------------------- */

typedef struct rewind {
    const sqi_run_of *r;
    sqi_moment *m;
    sqi_scene scene;
    sqi_norms norms;
    void **g; /* [n] gradients by node */
} rewind;

/* The gradient of state k after a step. */
static const char *total_of(const rewind *b, int32_t k, int64_t step)
{
    const sqi_run_of *r = b->r;
    int32_t v = r->p->leaves[k];
    if (!r->sorted) return sqi_at_step(r->workers, &r->grad[v], step);
    char *copy = sqi_moment_take(b->m, 1, sqi_value_bytes(r->p, v));
    return copy ? sqi_sorted_grad(r, k, step, copy) : NULL;
}

/* The gradient of a value as the run left it; `whole`: with what its own step sent. NULL: none. */
static const char *left_behind(const rewind *b, uint32_t i, bool *whole)
{
    const sqi_run_of *r = b->r;
    const sqi_plan *p = r->p;
    int64_t step = b->m->step;
    *whole = true;
    for (int32_t k = 0; k < p->n_states; k++)
        if (b->m->leaves[k] == i) return total_of(b, k, step);
    for (int32_t slot = p->n_states; slot < sqi_n_slots(p); slot++) {
        int32_t v = sqi_slot_value(p, slot);
        if (v < 0 || sqi_trace_node(p, v) != i || p->values[v].state >= 0) continue;
        if (!sqi_wake_marked(r->wake, slot, step, SQI_SEEDED)) continue;
        *whole = r->back->room[v] == SQI_KEPT && !r->u->stretch;
        return sqi_wake_at(r->u, r->lane, slot, step);
    }
    return NULL;
}

/* What arrives at node i altogether. False when it was told: what came from outside is bad. */
static bool arrive(const rewind *b, uint32_t i)
{
    const sq_shape *shape = &b->m->s->nodes[i].shape;
    sq_tape *t = b->r->t;
    bool whole;
    const char *left = left_behind(b, i, &whole);
    if (!left) return true;
    if (!sqi_all_finite(t, shape, left)) {
        sqi_watch_tell_gradient(t, &b->scene, i, -1, left, &b->norms);
        return false;
    }
    size_t bytes = sqi_bytes(t, shape);
    if (b->g[i] && !whole) b->r->arith->axpy(sqi_shape_size(shape), 1, left, b->g[i]);
    else if (b->g[i] || (b->g[i] = sqi_moment_take(b->m, 1, bytes)))
        memcpy(b->g[i], left, bytes);
    return b->g[i] != NULL;
}

/* Sends what arrived at node i on to its operand k; false when it is bad, and told, or no memory. */
static bool send(const rewind *b, uint32_t i, int32_t k, sq_call *c)
{
    const sqi_segment *s = b->m->s;
    uint32_t in = s->operands[s->nodes[i].first + (uint32_t)k];
    const sq_shape *shape = &s->nodes[in].shape;
    if (!b->r->p->values[in].needs || b->r->p->values[in].kind == SQI_OUTER) return true;
    if (!b->g[in]) b->g[in] = sqi_moment_take(b->m, 1, sqi_bytes(b->r->t, shape));
    if (!b->g[in]) return false;
    void **gx = b->r->t->call_gx;
    gx[k] = b->g[in];
    c->gx = gx;
    c->op->vjp(c, k);
    if (sqi_all_finite(b->r->t, shape, b->g[in])) return true;
    sqi_watch_tell_gradient(b->r->t, &b->scene, i, k, b->g[in], &b->norms);
    return false;
}

/* False when there is nothing more to be looked for. */
static bool reverse_node(const rewind *b, uint32_t i)
{
    const sqi_moment *m = b->m;
    const sqi_node *n = &m->s->nodes[i];
    sq_tape *t = b->r->t;
    if (sqi_moment_starts(m, i) || !m->value[i]) return true;
    if (!arrive(b, i)) return false;
    if (!b->g[i] || !n->op->vjp) return true;
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t in = m->s->operands[n->first + (uint32_t)k];
        t->call_x[k] = m->value[in];
        t->call_shapes[k] = m->s->nodes[in].shape;
    }
    sq_call c = { .op = n->op,
                  .n = n->n,
                  .dtype = t->dtype,
                  .xs = t->call_shapes,
                  .ys = n->shape,
                  .attr = m->attr[i],
                  .x = t->call_x,
                  .y = m->value[i],
                  .gy = b->g[i],
                  .kern = t->kern };
    for (int32_t k = 0; k < n->n; k++)
        if (!send(b, i, k, &c)) return false;
    return true;
}

static bool norms_after(sqi_run_of *r, int64_t step)
{
    if (r->norms) return true;
    if (!make_norms(r)) return false;
    for (int64_t s = step; s < r->last; s++) note_step(r->workers, s);
    return true;
}

/* Nothing in the step was bad, but what it added to: what others sent to the states before it. */
static void tell_before(const rewind *b)
{
    const sqi_run_of *r = b->r;
    const sqi_plan *p = r->p;
    sqi_scene before = b->scene;
    before.step--;
    for (int32_t k = 0; k < p->n_states; k++) {
        const sqi_value *v = &p->values[p->leaves[k]];
        const char *g = before.step < r->u->span.low ? NULL : total_of(b, k, before.step);
        if (!g || sqi_all_finite(r->t, &v->shape, g)) continue;
        sqi_watch_tell_gradient(r->t, &before, b->m->leaves[k], -1, g, NULL);
    }
}

static void tell_reverse(sqi_run_of *r, const sqi_find *f)
{
    sqi_moment m = { .t = NULL };
    if (norms_after(r, f->step) && open_moment(&m, r, f->step)) {
        int64_t later = r->last - 1 - f->step;
        rewind b = { .r = r,
                     .m = &m,
                     .scene = scene_of(r, &m),
                     .norms = { later ? norms_at(r, f->step + 1) : NULL, r->p->n_states, later,
                                r->p->n_states },
                     .g = sqi_moment_take(&m, m.n, sizeof *b.g) };
        bool going = b.g != NULL;
        for (uint32_t i = m.n; going && --i;) going = reverse_node(&b, i);
        if (!r->t->error.status) tell_before(&b);
        if (!r->t->error.status)
            sqi_watch_tell_gradient(r->t, &b.scene, node_of(r->p, f->v), 0, NULL, &b.norms);
    }
    sqi_moment_close(&m);
}

void sqi_watch_reverse(sqi_run_of *r, int64_t from, int64_t to)
{
    if (!r->watch) return;
    sqi_find f = first_find(r);
    for (int64_t s = to; s-- > from && r->norms && !(f.any && f.step == s);) {
        sqi_norms norms = { norms_at(r, s), r->p->n_states, r->last - s, r->p->n_states };
        if (!sqi_watch_norms(r->t, r->watch, s, &norms)) return;
    }
    if (f.any) tell_reverse(r, &f);
}
