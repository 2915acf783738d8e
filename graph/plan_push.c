/* plan_push.c -- forward mode through an unroll that ran as a plan.
 *
 * Step after step: what the step computed is computed again (moment.c), and the tangents of x_t, of
 * the states that enter and of what comes from outside are taken through its trace by the jvp of every
 * op. Somebody may have moved a part: a state or a named value takes that along on its way, what
 * is added to an output is seen at the outputs alone, as in an eager unroll. */
#include "core/tangent_impl.h"
#include "graph/moment_impl.h"

#include <string.h>

/* A part that somebody holds: a node of the span's segment. */
typedef struct part {
    uint32_t node;
    int32_t slot;
    int64_t step; /* or SQI_ALL_STEPS */
    bool moved;   /* from outside */
    char *tangent;
} part;

typedef struct push {
    sq_tape *t;
    sqi_planned *u;
    const sqi_plan *p;
    const sqi_arith *arith;
    part *parts;
    uint32_t n_parts;
    uint32_t *named; /* nodes of the output and of the named values */
    int32_t n_named;
    char **state; /* [n_states] the tangent that enters, or NULL */
    char **room;  /* [n_states] where it lies */
    sqi_arena memory;
    sqi_moment m;
    char **dx; /* [m.n] tangents of the step, or NULL */
} push;

static void *take(push *f, size_t n, size_t size)
{
    void *at =
        n < SIZE_MAX / 2 / size ? sqi_arena_alloc(&f->memory, &f->t->pool, n * size) : NULL;
    if (!at) return sq_post(f->t, SQ_ENOMEM, "out of memory for tangents"), NULL;
    return n ? memset(at, 0, n * size) : at;
}

static int64_t slot_size(const push *f, int32_t slot)
{
    return f->p->values[sqi_slot_value(f->p, slot)].size;
}

static uint32_t slot_node(const push *f, int32_t slot)
{
    return sqi_trace_node(f->p, sqi_slot_value(f->p, slot));
}

static sqi_node *span_operand(const push *f, int32_t k)
{
    const sqi_segment *s = f->u->home;
    return &s->nodes[s->operands[s->nodes[f->u->span.node].first + (uint32_t)k]];
}

/* ---- Parts -------------------------------------------------------------------------------- */

/* The parts, each with room for its tangent. */
static bool find_parts(push *f, sqi_arena *memory)
{
    sqi_segment *s = f->u->home;
    f->parts = take(f, s->n_nodes, sizeof *f->parts);
    for (uint32_t i = f->u->span.node + 1; f->parts && i < s->n_nodes; i++) {
        sqi_node *n = &s->nodes[i];
        if (n->op != &sqi_op_part || n->flags & SQI_DEAD) continue;
        part p = { .node = i, .slot = (int32_t)n->source, .step = sqi_part_step(n) };
        p.moved = sqi_tangent_of(f->t, n) != NULL;
        p.tangent = sqi_tangent_open(f->t, memory, n);
        if (!p.tangent) return false;
        f->parts[f->n_parts++] = p;
    }
    return f->parts != NULL;
}

static bool anything_moves(const push *f)
{
    const sqi_node *all = &f->u->home->nodes[f->u->span.node];
    for (int32_t k = 0; k < all->n; k++)
        if (sqi_tangent_of(f->t, span_operand(f, k))) return true;
    for (uint32_t i = 0; i < f->n_parts; i++)
        if (f->parts[i].moved) return true;
    return false;
}

/* Where a part has its tangent of this step; NULL: it is of another. */
static char *part_at(const push *f, const part *p)
{
    if (p->step != SQI_ALL_STEPS) return p->step == f->m.step ? p->tangent : NULL;
    return p->tangent +
           (size_t)(f->m.step * slot_size(f, p->slot)) * sq_dtype_size(f->t->dtype);
}

/* to += what moves the slot's parts in this step. */
static void add_moved(const push *f, int32_t slot, char *to)
{
    for (uint32_t i = 0; i < f->n_parts; i++) {
        const part *p = &f->parts[i];
        char *at = p->moved && p->slot == slot ? part_at(f, p) : NULL;
        if (at) f->arith->axpy(slot_size(f, slot), 1, at, to);
    }
}

static bool is_moved(const push *f, int32_t slot)
{
    for (uint32_t i = 0; i < f->n_parts; i++)
        if (f->parts[i].moved && f->parts[i].slot == slot && part_at(f, &f->parts[i]))
            return true;
    return false;
}

/* ---- One step ----------------------------------------------------------------------------- */

static char *open(push *f, uint32_t i)
{
    if (!f->dx[i])
        f->dx[i] = sqi_moment_take(&f->m, (size_t)sq_shape_size(f->m.s->nodes[i].shape),
                                   sq_dtype_size(f->t->dtype));
    return f->dx[i];
}

static bool push_node(push *f, uint32_t i)
{
    sqi_moment *m = &f->m;
    const sqi_node *n = &m->s->nodes[i];
    const void **x = sqi_moment_take(m, 2 * (size_t)n->n, sizeof *x), **dx = x + n->n;
    sq_shape *xs = sqi_moment_take(m, (size_t)n->n, sizeof *xs);
    bool any = false;
    if (!x || !xs) return false;
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t in = m->s->operands[n->first + (uint32_t)k];
        x[k] = m->value[in];
        xs[k] = m->s->nodes[in].shape;
        dx[k] = f->dx[in];
        any |= dx[k] != NULL;
    }
    if (!any) return true;
    if (!n->op->jvp)
        return sq_post(f->t, SQ_EGRAD, "%s has no jvp: it cannot be differentiated forward",
                       n->op->name);
    sq_call c = { .op = n->op,
                  .n = n->n,
                  .dtype = f->t->dtype,
                  .xs = xs,
                  .ys = n->shape,
                  .attr = m->attr[i],
                  .x = x,
                  .y = m->value[i],
                  .dx = dx,
                  .dy = open(f, i),
                  .kern = f->t->kern };
    for (int32_t k = 0; c.dy && k < n->n; k++)
        if (dx[k]) n->op->jvp(&c, k);
    return c.dy != NULL;
}

/* What is added from outside to the states and named values that node i is. */
static bool take_moved(push *f, uint32_t i)
{
    for (int32_t slot = 0; slot < sqi_n_slots(f->p); slot++) {
        bool here = slot != sqi_slot_output(f->p) && slot_node(f, slot) == i;
        if (!here || !is_moved(f, slot)) continue;
        if (!open(f, i)) return false;
        add_moved(f, slot, f->dx[i]);
    }
    return true;
}

/* The tangents of what enters the step. */
static bool enter(push *f)
{
    sqi_moment *m = &f->m;
    f->dx = sqi_moment_take(m, m->n, sizeof *f->dx);
    if (!f->dx) return false;
    for (uint32_t i = 1; i < m->n; i++) {
        const sqi_node *n = &m->s->nodes[i];
        const void *fixed = n->flags & SQI_DEAD ? NULL : sqi_tangent_of(f->t, n);
        if (!fixed || !m->wanted[i]) continue;
        if (!open(f, i)) return false;
        f->arith->axpy(sq_shape_size(n->shape), 1, fixed, f->dx[i]);
    }
    for (int32_t k = 0; k < m->n_states; k++) f->dx[m->enters[k]] = f->state[k];
    const void *xs = m->x ? sqi_tangent_of(f->t, span_operand(f, 0)) : NULL;
    if (!xs) return true;
    if (!open(f, m->x)) return false;
    int64_t size = sq_shape_size(m->s->nodes[m->x].shape);
    const char *at = (const char *)xs + (size_t)(m->step * size) * sq_dtype_size(f->t->dtype);
    f->arith->axpy(size, 1, at, f->dx[m->x]);
    return true;
}

/* A named value that leaves as a state. */
static bool is_state(const sqi_plan *p, int32_t slot)
{
    return p->values[sqi_slot_value(p, slot)].state >= 0;
}

/* Writes the tangents of the parts of one slot. */
static bool leave_slot(push *f, int32_t slot)
{
    int64_t size = slot_size(f, slot);
    char *sum = sqi_moment_take(&f->m, (size_t)size, sq_dtype_size(f->t->dtype));
    const char *own = f->dx[slot_node(f, slot)];
    if (!sum) return false;
    if (own) f->arith->axpy(size, 1, own, sum);
    if (slot == sqi_slot_output(f->p)) add_moved(f, slot, sum);
    if (slot > sqi_slot_output(f->p) && f->u->shrunk && !is_state(f->p, slot))
        sqi_shrunk_clear(f->u, slot, f->m.step, sum);
    for (uint32_t i = 0; i < f->n_parts; i++) {
        char *at = f->parts[i].slot == slot ? part_at(f, &f->parts[i]) : NULL;
        if (at && size) memcpy(at, sum, (size_t)size * sq_dtype_size(f->t->dtype));
    }
    return true;
}

static bool leave(push *f)
{
    for (int32_t slot = 0; slot < sqi_n_slots(f->p); slot++)
        if (sqi_slot_value(f->p, slot) >= 0 && !leave_slot(f, slot)) return false;
    for (int32_t k = 0; k < f->p->n_states; k++) {
        const char *own = f->dx[f->m.leaves[k]];
        size_t bytes = sqi_value_bytes(f->p, f->p->leaves[k]);
        f->state[k] = own ? f->room[k] : NULL;
        if (own && bytes) memcpy(f->state[k], own, bytes);
    }
    return true;
}

static bool one_step(push *f, int64_t step)
{
    sqi_moment *m = &f->m;
    bool ok = sqi_moment_planned(m, f->t, f->u, step, f->named, f->n_named) && enter(f);
    for (uint32_t i = 1; ok && i < m->n; i++) {
        if (!m->wanted[i]) continue;
        if (m->s->nodes[i].flags & SQI_DEAD && !sqi_moment_starts(m, i)) ok = push_node(f, i);
        if (ok) ok = take_moved(f, i);
    }
    ok = ok && leave(f);
    sqi_moment_close(m);
    return ok;
}

/* ---- All steps ---------------------------------------------------------------------------- */

/* Room for the states' tangents, and those of the initial states: what a cut took moves nothing. */
static bool begin(push *f)
{
    const sqi_plan *p = f->p;
    f->state = take(f, (size_t)p->n_states, sizeof *f->state);
    f->named = take(f, (size_t)p->n_named + 1, sizeof *f->named);
    f->room = take(f, (size_t)p->n_states, sizeof *f->room);
    for (int32_t k = 0; f->room && k < p->n_states; k++)
        f->room[k] = take(f, sqi_value_bytes(p, p->leaves[k]), 1);
    if (f->t->error.status) return false;
    for (int32_t slot = p->n_states; slot < sqi_n_slots(p); slot++)
        if (sqi_slot_value(p, slot) >= 0) f->named[f->n_named++] = slot_node(f, slot);
    for (int32_t k = 0; !f->u->span.low && k < p->n_states; k++) {
        const void *dx = sqi_tangent_of(f->t, span_operand(f, f->u->first_state + k));
        if (!dx) continue;
        f->state[k] = f->room[k];
        f->arith->axpy(p->values[p->leaves[k]].size, 1, dx, f->state[k]);
    }
    return true;
}

bool sqi_plan_push(sqi_span *span, sq_tape *t, sqi_tangents *tangents)
{
    sqi_planned *u = (sqi_planned *)span;
    push f = { .t = t, .u = u, .p = u->plan, .arith = &t->kern->of[t->dtype] };
    bool ok = find_parts(&f, sqi_tangents_kept(tangents)) && (!anything_moves(&f) || begin(&f));
    if (ok && f.state)
        for (int64_t step = span->low; ok && step < span->steps; step++)
            ok = one_step(&f, step);
    sqi_arena_clear(&f.memory, &t->pool);
    return ok;
}
