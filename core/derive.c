/* derive.c -- the recorded reverse sweep: derivatives as variables, to be differentiated again.
 *
 * First a walk forward over the live segments marks what depends on some x. Then a walk back
 * from y, as in backward.c, except that each op's gradient is *recorded* by its adjoint instead
 * of being added to memory. What is recorded lands in the current segment; the walk covers only
 * the nodes that were there before. An import passes its gradient on to its source; for a
 * weight the gradients of all its uses are summed. Steps recorded before an update are derived
 * through the weights that were really used. */
#include "core/tape_impl.h"

#include <stdio.h>
#include <string.h>

/* What the walk knows of one segment: which nodes depend on an x, and their gradients so
 * far. */
typedef struct sheet {
    sqi_segment *s;
    uint32_t n; /* nodes 1..n-1 are walked */
    bool *reach;
    sq_var *g;
} sheet;

typedef struct walk {
    sq_tape *t;
    sheet *sheets; /* the root, then live segments up to y's */
    uint32_t n_sheets;
    const sq_var *x;
    int32_t n_x;
    sqi_arena memory;
} walk;

static void *take(walk *w, size_t bytes)
{
    void *block = sqi_arena_alloc(&w->memory, &w->t->pool, bytes);
    if (!block) return sq_post(w->t, SQ_ENOMEM, "out of memory for %zu bytes", bytes), NULL;
    return memset(block, 0, bytes);
}

static sheet *sheet_of(const walk *w, uint64_t ordinal)
{
    if (ordinal == w->t->root->ordinal) return &w->sheets[0];
    uint64_t i = ordinal - w->t->live[0]->ordinal + 1;
    return i < w->n_sheets ? &w->sheets[i] : NULL;
}

static bool lay_sheets(walk *w, sq_var y)
{
    sq_tape *t = w->t;
    uint64_t last = sqi_ordinal(y.id);
    w->n_sheets = last == t->root->ordinal ? 1 : (uint32_t)(last - t->live[0]->ordinal) + 2;
    w->sheets = take(w, w->n_sheets * sizeof *w->sheets);
    for (uint32_t i = 0; w->sheets && i < w->n_sheets; i++) {
        sheet *h = &w->sheets[i];
        h->s = i ? t->live[i - 1] : t->root;
        h->n = h->s->ordinal == last ? sqi_index(y.id) + 1 : h->s->n_nodes;
        h->reach = take(w, h->n * sizeof *h->reach);
        h->g = take(w, h->n * sizeof *h->g);
        if (!h->reach || !h->g) return false;
    }
    return w->sheets != NULL;
}

/* Marks the x themselves; of weights, every use. */
static bool mark_targets(walk *w)
{
    int32_t n_weights = w->t->params ? sq_params_count(w->t->params) : 0;
    bool *wanted = take(w, (size_t)n_weights + 1);
    for (int32_t k = 0; wanted && k < w->n_x; k++) {
        const sqi_node *x = sqi_node_find(w->t, w->x[k].id);
        sheet *h = sheet_of(w, sqi_ordinal(w->x[k].id));
        if (x->op == &sqi_op_use) wanted[x->source] = true;
        else if (h && sqi_index(w->x[k].id) < h->n) h->reach[sqi_index(w->x[k].id)] = true;
    }
    for (uint32_t j = 0; wanted && j < w->n_sheets; j++)
        for (uint32_t i = 1; i < w->sheets[j].n; i++) {
            const sqi_node *n = &w->sheets[j].s->nodes[i];
            if (n->op == &sqi_op_use && wanted[n->source]) w->sheets[j].reach[i] = true;
        }
    return wanted != NULL;
}

/* Whether some x reaches part i of a span through the inside of the span: from what the span
 * takes from outside, or from another part of a step that is no later. */
static bool through_span(const walk *w, const sheet *h, uint32_t i)
{
    int64_t at = sqi_part_step(&h->s->nodes[i]);
    bool reach = h->reach[h->s->span->node];
    for (int32_t k = 0; k < w->n_x && !reach; k++) {
        const sqi_node *x = sqi_node_find(w->t, w->x[k].id);
        if (sqi_ordinal(w->x[k].id) != h->s->ordinal || sqi_index(w->x[k].id) == i) continue;
        reach = x->op == &sqi_op_part && (at == SQI_ALL_STEPS || sqi_part_step(x) <= at);
    }
    return reach;
}

static void mark_reach(walk *w, sheet *h)
{
    for (uint32_t i = 1; i < h->n; i++) {
        const sqi_node *n = &h->s->nodes[i];
        bool reach = h->reach[i];
        if (n->flags & SQI_DEAD) continue;
        if (n->op == &sqi_op_part) reach |= through_span(w, h, i);
        if (n->op == &sqi_op_import)
            reach |= sheet_of(w, sqi_ordinal(n->source))->reach[sqi_index(n->source)];
        for (int32_t k = 0; k < n->n && n->op != &sqi_op_detach; k++)
            reach |= h->reach[h->s->operands[n->first + (uint32_t)k]];
        h->reach[i] = reach;
    }
}

/* What a user would call node i: imports are known by their source. */
static sq_var handle(const walk *w, const sheet *h, uint32_t i)
{
    const sqi_node *n = &h->s->nodes[i];
    return (sq_var){ w->t, n->op == &sqi_op_import ? n->source : sqi_id(h->s->ordinal, i) };
}

/* ---- accumulate: y = a + b, of one shape: the only arithmetic core owns ------------------ */

static bool same_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                       sq_shape *out)
{
    (void)n, (void)attr;
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (!sq_shape_equal(in[0], in[1]))
        return sq_post(t, SQ_ESHAPE, "a gradient of shape %s meets one of %s",
                       sq_shape_text(in[0], a), sq_shape_text(in[1], b));
    *out = in[0];
    return true;
}

static void add_into(const sq_call *c, const void *x, void *y)
{
    c->kern->of[c->dtype].axpy(sq_shape_size(c->ys), 1, x, y);
}

static void accumulate_forward(const sq_call *c)
{
    if (sq_shape_size(c->ys))
        memcpy(c->y, c->x[0], (size_t)sq_shape_size(c->ys) * sq_dtype_size(c->dtype));
    add_into(c, c->x[1], c->y);
}

static void accumulate_vjp(const sq_call *c, int32_t k) { add_into(c, c->gy, c->gx[k]); }
static void accumulate_jvp(const sq_call *c, int32_t k) { add_into(c, c->dx[k], c->dy); }

static sq_var accumulate_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                                 int32_t k)
{
    (void)x, (void)y, (void)attr, (void)k;
    return gy;
}

const sq_op sqi_op_accumulate = {
    .name = "accumulate",
    .formula = "y = a + b",
    .arity = 2,
    .flags = SQ_ROWWISE,
    .shape = same_shape,
    .forward = accumulate_forward,
    .vjp = accumulate_vjp,
    .jvp = accumulate_jvp,
    .adjoint = accumulate_adjoint,
};

static void add_to(sq_var *sum, sq_var g)
{
    *sum =
        sqi_index(sum->id) ? sq_apply(&sqi_op_accumulate, (sq_var[]){ *sum, g }, 2, NULL) : g;
}

/* ---- The walk back ----------------------------------------------------------------------- */

/* Records the gradients that node i sends to its operands. */
static bool derive_node(walk *w, sheet *h, uint32_t i)
{
    const sqi_node n = h->s->nodes[i]; /* a copy: recording may move the nodes */
    if (!n.op->adjoint)
        return sq_post(w->t, SQ_EGRAD, "%s cannot be differentiated again: it has no adjoint",
                       n.op->name);
    sq_var *x = take(w, (size_t)n.n * sizeof *x);
    if (!x) return false;
    for (int32_t k = 0; k < n.n; k++)
        x[k] = handle(w, h, h->s->operands[n.first + (uint32_t)k]);
    for (int32_t k = 0; k < n.n; k++) {
        uint32_t o = h->s->operands[n.first + (uint32_t)k];
        if (!h->reach[o]) continue;
        sq_var g = n.op->adjoint(x, handle(w, h, i), h->g[i], n.attr, k);
        if (w->t->error.status) return false;
        if (sqi_index(g.id)) add_to(&h->g[o], g);
    }
    return !w->t->error.status;
}

static bool walk_back(walk *w, sheet *h)
{
    for (uint32_t i = h->n - 1; i >= 1; i--) {
        const sqi_node *n = &h->s->nodes[i];
        if (!h->reach[i] || !sqi_index(h->g[i].id)) continue;
        if (n->op == &sqi_op_import) {
            sheet *from = sheet_of(w, sqi_ordinal(n->source));
            add_to(&from->g[sqi_index(n->source)], h->g[i]);
        } else if (n->op == &sqi_op_part && through_span(w, h, i)) {
            w->t->doing = "derive";
            return sq_post(w->t, SQ_EGRAD, "the way leads through %s to derive through it",
                           h->s->span->value
                               ? "an unroll under a budget: keep all its steps, eagerly,"
                               : "a plan: unroll with mode = SQ_EAGER");
        } else if (n->n && n->op != &sqi_op_detach && !derive_node(w, h, i)) {
            return false;
        }
        if (w->t->error.status) return false;
    }
    return true;
}

/* The sum over the uses of a weight. */
static sq_var collect_uses(walk *w, uint64_t weight)
{
    sq_var sum = sqi_none(w->t);
    for (uint32_t j = 0; j < w->n_sheets; j++) {
        const sheet *h = &w->sheets[j];
        for (uint32_t i = 1; i < h->n; i++) {
            const sqi_node *n = &h->s->nodes[i];
            bool mine = n->op == &sqi_op_use && n->source == weight;
            if (mine && sqi_index(h->g[i].id)) add_to(&sum, h->g[i]);
        }
    }
    return sum;
}

/* The gradient of x[k]: its node's, or that of all uses of a weight, or zeros. */
static sq_var collect(walk *w, int32_t k)
{
    const sqi_node *x = sqi_node_find(w->t, w->x[k].id);
    const sheet *h = sheet_of(w, sqi_ordinal(w->x[k].id));
    uint32_t i = sqi_index(w->x[k].id);
    sq_shape shape = x->shape;
    sq_var g = x->op == &sqi_op_use ? collect_uses(w, x->source)
               : h && i < h->n      ? h->g[i]
                                    : sqi_none(w->t);
    return sqi_index(g.id) ? g : sq_zeros(w->t, shape);
}

static bool derive(walk *w, sq_var y, sq_var *gx)
{
    sq_tape *t = w->t;
    const sqi_node *n = sqi_node_find(t, y.id);
    if (!lay_sheets(w, y) || !mark_targets(w)) return false;
    for (uint32_t i = 0; i < w->n_sheets; i++) mark_reach(w, &w->sheets[i]);
    sheet *last = sheet_of(w, sqi_ordinal(y.id));
    last->g[sqi_index(y.id)] = sq_full(t, n->shape, 1);
    for (uint32_t i = w->n_sheets; i-- > 0;)
        if (t->error.status || !walk_back(w, &w->sheets[i])) return false;
    for (int32_t k = 0; k < w->n_x; k++) gx[k] = collect(w, k);
    return !t->error.status;
}

sq_status sq_derive(sq_var y, const sq_var *x, sq_var *gx, int32_t n)
{
    sq_tape *t = y.tape;
    if (!sqi_begin(t, "derive")) return t ? t->error.status : SQ_EVAR;
    if (!sqi_has_gradients(t) || !sqi_in_line(t) || !sqi_trace_compute(t, "derives"))
        return t->error.status;
    if (!sqi_node_of(t, y, "y")) return t->error.status;
    if (n < 0 || (n && (!x || !gx))) {
        sq_post(t, SQ_EVALUE, "%d variables, and an array that is NULL", (int)n);
        return t->error.status;
    }
    for (int32_t k = 0; k < n; k++) {
        char what[32];
        snprintf(what, sizeof what, "x[%d]", (int)k);
        if (!sqi_node_of(t, x[k], what)) return t->error.status;
    }
    walk w = { .t = t, .x = x, .n_x = n };
    t->deriving = true;
    if (!derive(&w, y, gx))
        for (int32_t k = 0; k < n; k++) gx[k] = sqi_none(t);
    t->deriving = false;
    sqi_arena_clear(&w.memory, &t->pool);
    return t->error.status;
}
