/* backward.c -- the reverse sweep.
 *
 * Walk the tape from the newest node to the oldest. A node whose gradient was never touched is
 * skipped: nothing below it reaches the loss through that node. Gradients are zeroed at their
 * first touch in a sweep, told by a stamp, so nothing is cleared that is not used. A gradient
 * that stays readable lies in its segment's arena; the others share scratch memory that is
 * given back after every segment, so a sweep needs one segment's gradients at a time, however
 * long the tape. The gradients inside a span are the span's affair. */
#include "core/backward_impl.h"
#include "core/tape_impl.h"
#include "core/watch_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct sweep {
    sq_tape *t;
    int lane;
    bool immediate;
    int64_t first;           /* steps before it are not entered */
    sqi_watch *watch, *seen; /* the segment's, and the last one met */
    uint32_t at;             /* the node at work */
} sweep;

/* ---- Where gradients lie ----------------------------------------------------------------- */

bool sqi_grads_ready(sq_tape *t)
{
    int64_t need = t->params ? sq_params_size(t->params) : 0;
    if (t->grads && need <= t->n_grads) return true;
    size_t size = sq_dtype_size(t->dtype);
    void *g = realloc(t->grads, (size_t)(need ? need : 1) * size);
    if (!g)
        return sq_post(t, SQ_ENOMEM, "out of memory for the gradients of %lld weights",
                       (long long)need);
    memset((char *)g + (size_t)t->n_grads * size, 0, (size_t)(need - t->n_grads) * size);
    t->grads = g;
    t->n_grads = need;
    return true;
}

/* What a node of segment g sends to a weight. In a probe there is a place for it only when somebody
 * collects the parts; a span hands in those of its own steps. */
static void *weight_grad(const sweep *s, const sqi_segment *g, const sqi_node *use)
{
    sq_tape *t = s->t;
    sqi_parts *p = t->parts;
    sq_weight w = { (int32_t)use->source };
    size_t offset = (size_t)sqi_weight_entry_of(t->params, w)->offset;
    void *flat = s->lane == SQI_LANE_USER ? t->grads : p ? p->whole : NULL;
    if (flat) return (char *)flat + offset * sq_dtype_size(t->dtype);
    bool inside = g->span && s->at <= g->span->node;
    return p && !inside ? p->open(p, t, w, sqi_last_step(g)) : NULL;
}

/* Leaves accumulate over sweeps in the user's lane: their stamp is the last zeroing. */
static uint64_t stamp_of(const sq_tape *t, const sqi_node *n, int lane)
{
    return n->op == &sqi_op_leaf && lane == SQI_LANE_USER ? t->zeroing : t->sweep[lane];
}

/* A state that the sweep's ledger lists, or that an unroll declared. */
static bool is_state(const sq_tape *t, const sqi_node *n)
{
    return n->flags & SQI_STATE || (n->listed && n->listed == t->ledgers);
}

/* The slot's memory, zeroed if this is its first touch; NULL after posting. */
static void *slot_open(sweep *s, sqi_segment *g, sqi_node *n)
{
    sq_tape *t = s->t;
    sqi_slot *slot = &n->grad[s->lane];
    uint64_t stamp = stamp_of(t, n, s->lane);
    if (slot->stamp == stamp && slot->at) return slot->at;
    bool keep = n->flags & SQI_KEEP || (s->lane == SQI_LANE_PROBE && is_state(t, n));
    size_t bytes = sqi_bytes(t, &n->shape);
    if (!keep || !slot->owned) {
        bool tail = s->lane == SQI_LANE_USER && g->ordinal == t->tail_ordinal;
        sqi_arena *home = tail ? &t->tail : &t->scratch;
        slot->at = sqi_arena_alloc(keep ? &g->arena : home, &t->pool, bytes);
        slot->owned = keep && slot->at;
        if (!slot->at)
            return sq_post(t, SQ_ENOMEM, "out of memory for a gradient of %zu bytes", bytes),
                   NULL;
    }
    memset(slot->at, 0, bytes);
    slot->stamp = stamp;
    return slot->at;
}

/* The same for what is no operation: imports, uses, leaves, parts, marked constants. */
static void *outer_grad(sweep *s, sqi_segment *g, sqi_node *n)
{
    sq_tape *t = s->t;
    const sqi_segment *from = g;
    if (n->op == &sqi_op_import) {
        uint64_t source = n->source;
        n = sqi_node_find(t, source);
        if (s->immediate && g->step >= 0 && is_state(t, n)) return NULL;
        if (!(n->flags & SQI_NEEDS)) return NULL; /* it stands in for what was cut */
        g = sqi_segment_find(t, sqi_ordinal(source));
    }
    if (n->op == &sqi_op_use) return weight_grad(s, from, n);
    if (n->op == &sqi_op_leaf && s->lane != SQI_LANE_USER && !is_state(t, n)) return NULL;
    if (n->op == &sqi_op_part)
        return g->span->seed(g->span, t, s->lane, (int32_t)n->source, sqi_part_step(n), true);
    return slot_open(s, g, n);
}

/* Where node i of segment g adds its gradient, or NULL when none is wanted (or after
 * posting). */
static inline void *grad_at(sweep *s, sqi_segment *g, uint32_t i)
{
    sqi_node *n = &g->nodes[i];
    if (!(n->flags & SQI_NEEDS)) return NULL;
    return n->n ? slot_open(s, g, n) : outer_grad(s, g, n);
}

/* ---- The sweep --------------------------------------------------------------------------- */

/* sq_backward with parts: what operand k, a weight, takes from a step is made once more, apart. A
 * span tells of what lies before it. */
static void tell_part(const sweep *s, const sqi_segment *g, const sq_call *c, int32_t k,
                      const sqi_node *x)
{
    sq_tape *t = s->t;
    if (x->op == &sqi_op_import) x = sqi_node_find(t, x->source);
    if (!x || x->op != &sqi_op_use || (g->span && s->at <= g->span->node)) return;
    t->call_gx[k] =
        t->parts->open(t->parts, t, (sq_weight){ (int32_t)x->source }, sqi_last_step(g));
    if (t->call_gx[k]) c->op->vjp(c, k);
}

static void reverse_node(sweep *s, sqi_segment *g, uint32_t i)
{
    sq_tape *t = s->t;
    sqi_node *n = &g->nodes[i];
    const uint32_t *in = g->operands + n->first;
    for (int32_t k = 0; k < n->n; k++) {
        const sqi_node *x = &g->nodes[in[k]];
        t->call_x[k] = x->value;
        t->call_shapes[k] = x->shape;
    }
    sq_call c = { .op = n->op,
                  .n = n->n,
                  .dtype = t->dtype,
                  .xs = t->call_shapes,
                  .ys = n->shape,
                  .attr = n->attr,
                  .x = t->call_x,
                  .y = n->value,
                  .gx = t->call_gx,
                  .gy = n->grad[s->lane].at,
                  .kern = t->kern };
    for (int32_t k = 0; k < n->n; k++) {
        t->call_gx[k] = grad_at(s, g, in[k]);
        if (!t->call_gx[k]) continue;
        n->op->vjp(&c, k);
        if (s->watch && !sqi_watch_gradient(t, g, i, k)) return;
        if (t->parts && s->lane == SQI_LANE_USER) tell_part(s, g, &c, k, &g->nodes[in[k]]);
    }
}

/* What arrived at the parts of a span, on to what the span took from outside. */
static void reverse_span(sweep *s, sqi_segment *g)
{
    sq_tape *t = s->t;
    const sqi_node *n = &g->nodes[g->span->node];
    if (!g->span->reached(g->span, t, s->lane)) return;
    for (int32_t k = 0; k < n->n; k++)
        t->call_gx[k] = grad_at(s, g, g->operands[n->first + (uint32_t)k]);
    if (t->error.status) return;
    bool ok = g->span->reverse(g->span, t, s->lane, s->immediate, t->call_gx);
    assert(ok || t->error.status);
    (void)ok;
}

static bool reverse_segment(sweep *s, sqi_segment *g, uint32_t from)
{
    s->watch = s->lane == SQI_LANE_USER ? g->watch : NULL;
    if (s->watch) s->seen = s->watch;
    for (uint32_t i = from; i >= 1 && !s->t->error.status; i--) {
        const sqi_node *n = &g->nodes[i];
        bool reached = n->flags & SQI_NEEDS && n->grad[s->lane].stamp == s->t->sweep[s->lane];
        s->at = i;
        if (g->span && i == g->span->node) reverse_span(s, g);
        if (!reached || !n->n || n->op == &sqi_op_detach) continue;
        if (n->op->vjp) reverse_node(s, g, i);
        else sq_post(s->t, SQ_EGRAD, "%s has no vjp: it cannot be differentiated", n->op->name);
    }
    if (s->watch && !s->t->error.status) sqi_watch_states(s->t, g);
    sqi_arena_clear(&s->t->scratch, &s->t->pool);
    return !s->t->error.status;
}

/* What of a segment lies in the sweep's window. */
static bool reverse_in_window(sweep *s, sqi_segment *g)
{
    if (g->step >= 0 && sqi_last_step(g) < s->first) return true;
    int64_t low = g->span ? g->span->low : 0;
    if (g->span && g->step + low < s->first) g->span->low = s->first - g->step;
    bool ok = reverse_segment(s, g, g->n_nodes - 1);
    if (g->span) g->span->low = low;
    return ok;
}

/* Writes the seed, or ones. */
static void write_seed(const sq_tape *t, int64_t size, const float *f, const double *d,
                       void *to)
{
    const sqi_arith *k = &t->kern->of[t->dtype];
    if (f) k->from_f32(size, f, to);
    else if (d) k->from_f64(size, d, to);
    else k->fill(size, to, 1);
}

/* dL/dy = seed, or ones, where the sweep begins; leaves and weights accumulate, so there it is
 * added. */
static bool plant(sweep *s, sqi_segment *g, uint32_t i, const float *f, const double *d)
{
    sq_tape *t = s->t;
    sqi_node *n = &g->nodes[i];
    int64_t size = sq_shape_size(n->shape);
    bool fresh = n->op != &sqi_op_leaf && n->op != &sqi_op_use;
    if (!fresh && t->parts) t->parts->missed = true;
    void *at = n->op == &sqi_op_part ? g->span->seed(g->span, t, s->lane, (int32_t)n->source,
                                                     sqi_part_step(n), false)
                                     : grad_at(s, g, i);
    void *seed = fresh || !at ? at : sqi_arena_alloc(&t->scratch, &t->pool, (size_t)size * 8);
    if (at && !seed) sq_post(t, SQ_ENOMEM, "out of memory for the seed");
    if (!seed) return !t->error.status;
    write_seed(t, size, f, d, seed);
    if (!fresh) t->kern->of[t->dtype].axpy(size, 1, seed, at);
    return true;
}

static sq_status run(sweep *s, sq_var y, const float *f, const double *d)
{
    sq_tape *t = s->t;
    uint64_t from = sqi_ordinal(y.id);
    t->sweep[s->lane]++;
    sqi_segment *g = sqi_segment_find(t, from);
    if (s->lane == SQI_LANE_USER) {
        sqi_arena_clear(&t->tail, &t->pool);
        t->tail_ordinal = g->step >= 0 ? from : 0;
        t->swept = true;
    }
    bool ok =
        g->nodes[sqi_index(y.id)].flags & SQI_NEEDS ? plant(s, g, sqi_index(y.id), f, d) : true;
    if (ok && g != t->root) {
        ok = reverse_segment(s, g, sqi_index(y.id));
        for (uint64_t o = from; ok && o-- > t->live[0]->ordinal;) {
            ok = reverse_in_window(s, sqi_segment_find(t, o));
        }
        if (ok) reverse_segment(s, t->root, t->root->n_nodes - 1);
    } else if (ok) {
        reverse_segment(s, g, sqi_index(y.id));
    }
    if (s->seen && !t->error.status) sqi_watch_weights(t, s->seen);
    sqi_arena_clear(&t->scratch, &t->pool);
    if (t->error.status && s->lane == SQI_LANE_USER) t->grads_invalid = true;
    t->doing = NULL;
    return t->error.status;
}

bool sqi_reverse_aside(sq_tape *t, int lane, bool immediate, sqi_segment *g)
{
    return reverse_segment(&(sweep){ .t = t, .lane = lane, .immediate = immediate }, g,
                           g->n_nodes - 1);
}

void *sqi_grad_open(sq_tape *t, int lane, sqi_segment *g, sqi_node *n)
{
    return slot_open(&(sweep){ .t = t, .lane = lane }, g, n);
}

static sq_status backward(sq_var y, const float *f, const double *d, int64_t first)
{
    sq_tape *t = y.tape;
    if (!sqi_begin(t, "backward")) return t ? t->error.status : SQ_EVAR;
    if (!sqi_has_gradients(t) || !sqi_in_line(t) || !sqi_trace_compute(t, "sweeps") ||
        !sqi_watch_settle(t))
        return t->error.status;
    const sqi_node *n = sqi_node_of(t, y, "the loss");
    if (!n) return t->error.status;
    char text[SQ_SHAPE_TEXT];
    if (!f && !d && sq_shape_size(n->shape) != 1) {
        sq_post(t, SQ_ESHAPE,
                "the loss has shape %s, it must be one number; sq_backward_from takes any",
                sq_shape_text(n->shape, text));
        return t->error.status;
    }
    return run(&(sweep){ .t = t, .lane = SQI_LANE_USER, .first = first }, y, f, d);
}

sq_status sq_backward(sq_var loss) { return backward(loss, NULL, NULL, 0); }

sq_status sqi_backward_window(sq_var loss, int64_t first)
{
    return backward(loss, NULL, NULL, first);
}

static sq_status backward_from(sq_var y, const float *f, const double *d)
{
    static const double nothing[1] = { 0 };
    if (!f && !d && sqi_begin(y.tape, "backward_from")) {
        const sqi_node *n = sqi_node_of(y.tape, y, "the variable");
        if (n && sq_shape_size(n->shape)) sq_post(y.tape, SQ_EVALUE, "the seed is NULL");
        d = nothing;
    }
    return backward(y, f, d, 0);
}

sq_status sq_backward_from_f32(sq_var y, const float *seed)
{
    return backward_from(y, seed, NULL);
}
sq_status sq_backward_from_f64(sq_var y, const double *seed)
{
    return backward_from(y, NULL, seed);
}

void sq_zero_grads(sq_tape *t)
{
    if (!t) return;
    if (t->grads) memset(t->grads, 0, (size_t)t->n_grads * sq_dtype_size(t->dtype));
    t->zeroing++;
    t->grads_invalid = false;
}

/* ---- Probes ------------------------------------------------------------------------------ */

void sqi_declare_state(sq_var v)
{
    sqi_node *n = v.tape ? sqi_node_find(v.tape, v.id) : NULL;
    if (n) n->flags |= SQI_STATE | SQI_KEEP;
}

void sqi_list_states(sq_tape *t, const sq_var *states, int64_t n)
{
    sqi_trace_compute(t, "sweeps");
    t->ledgers++;
    for (int64_t i = 0; i < n; i++) sqi_node_find(t, states[i].id)->listed = t->ledgers;
}

sq_status sqi_probe(sq_var loss, bool immediate)
{
    sq_tape *t = loss.tape;
    assert(t && sqi_node_find(t, loss.id));
    if (!sqi_has_gradients(t)) return t->error.status;
    return run(&(sweep){ .t = t, .lane = SQI_LANE_PROBE, .immediate = immediate }, loss, NULL,
               NULL);
}

sq_status sqi_probe_from(sq_var y, const double *seed, sqi_parts *parts)
{
    sq_tape *t = y.tape;
    assert(t && sqi_node_find(t, y.id));
    if (!sqi_has_gradients(t)) return t->error.status;
    t->parts = parts;
    run(&(sweep){ .t = t, .lane = SQI_LANE_PROBE }, y, NULL, seed);
    t->parts = NULL;
    return t->error.status;
}

sq_status sqi_backward_parts(sq_var loss, sqi_parts *parts)
{
    sq_tape *t = loss.tape;
    assert(t);
    t->parts = parts;
    sq_status status = backward(loss, NULL, NULL, 0);
    t->parts = NULL;
    return status;
}

const void *sqi_swept_grad(sq_var v, int lane)
{
    const sqi_node *n = sqi_node_find(v.tape, v.id);
    const sqi_slot *slot = &n->grad[lane];
    if (n->op == &sqi_op_part) {
        const sqi_span *span = sqi_segment_find(v.tape, sqi_ordinal(v.id))->span;
        bool kept;
        return span->grad(span, v.tape, lane, (int32_t)n->source, sqi_part_step(n), &kept);
    }
    return slot->stamp == v.tape->sweep[lane] && slot->owned ? slot->at : NULL;
}
