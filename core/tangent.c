/* tangent.c -- the forward sweep.
 *
 * Walk the tape from the oldest variable that moves to the newest one asked for; a node none of
 * whose operands moves is skipped. A tangent lies where a probe's gradient of its node would, told
 * by the same stamp, so a sweep leaves the user's gradients alone and every later probe starts
 * afresh. Tangents that a later segment imports are kept to the end; the others share memory that is
 * given back after every segment. */
#include "core/tangent.h"
#include "core/tangent_impl.h"

#include <string.h>

typedef struct sqi_tangents {
    sq_tape *t;
    const sq_var *x, *y;
    double *const *dy;
    int32_t n, m;
    void **weight; /* [n] of x that are weights: the tangent of all uses, else NULL */
    sqi_arena kept, scratch;
} sweep;

/* ---- Where tangents lie ------------------------------------------------------------------- */

const void *sqi_tangent_of(const sq_tape *t, const sqi_node *n)
{
    if (n->op == &sqi_op_import) n = sqi_node_find(t, n->source);
    const sqi_slot *slot = &n->grad[SQI_LANE_PROBE];
    return slot->stamp == t->sweep[SQI_LANE_PROBE] ? slot->at : NULL;
}

static void *take(sq_tape *t, sqi_arena *memory, size_t bytes)
{
    void *at = sqi_arena_alloc(memory, &t->pool, bytes);
    if (!at) sq_post(t, SQ_ENOMEM, "out of memory for a tangent of %zu bytes", bytes);
    return at;
}

void *sqi_tangent_open(sq_tape *t, sqi_arena *memory, sqi_node *n)
{
    sqi_slot *slot = &n->grad[SQI_LANE_PROBE];
    uint64_t stamp = t->sweep[SQI_LANE_PROBE];
    if (slot->stamp == stamp && slot->at) return slot->at;
    size_t bytes = sqi_bytes(t, &n->shape);
    if (!slot->owned) slot->at = take(t, memory, bytes);
    if (!slot->at) return NULL;
    slot->stamp = stamp;
    return memset(slot->at, 0, bytes);
}

/* ---- What moves --------------------------------------------------------------------------- */

/* to += dx, converted. */
static bool add_in(sweep *s, const sqi_node *n, const double *dx, void *to)
{
    const sqi_arith *arith = &s->t->kern->of[s->t->dtype];
    int64_t size = sq_shape_size(n->shape);
    void *in = to ? take(s->t, &s->scratch, sqi_bytes(s->t, &n->shape)) : NULL;
    if (!in) return false;
    if (size) arith->from_f64(size, dx, in);
    arith->axpy(size, 1, in, to);
    sqi_arena_clear(&s->scratch, &s->t->pool);
    return true;
}

/* The array that all uses of a weight move along. */
static void *weight_tangent(sweep *s, const sqi_node *use, int32_t i)
{
    for (int32_t j = 0; j < i; j++)
        if (s->weight[j] && sqi_node_find(s->t, s->x[j].id)->source == use->source)
            return s->weight[j];
    size_t bytes = sqi_bytes(s->t, &use->shape);
    s->weight[i] = take(s->t, &s->kept, bytes);
    return s->weight[i] ? memset(s->weight[i], 0, bytes) : NULL;
}

static bool plant(sweep *s, const double *const *dx)
{
    size_t bytes = (size_t)s->n * sizeof *s->weight;
    s->weight = take(s->t, &s->kept, bytes);
    if (!s->weight) return false;
    if (bytes) memset(s->weight, 0, bytes);
    for (int32_t i = 0; i < s->n; i++) {
        sqi_node *n = sqi_node_find(s->t, s->x[i].id);
        void *to = n->op == &sqi_op_use ? weight_tangent(s, n, i)
                                        : sqi_tangent_open(s->t, &s->kept, n);
        if (!add_in(s, n, dx[i], to)) return false;
    }
    return true;
}

/* A use of a weight that moves. */
static void move_use(const sweep *s, sqi_node *use)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (!s->weight[i] || sqi_node_find(s->t, s->x[i].id)->source != use->source) continue;
        use->grad[SQI_LANE_PROBE] =
            (sqi_slot){ .at = s->weight[i], .stamp = s->t->sweep[SQI_LANE_PROBE] };
        return;
    }
}

/* ---- The sweep ---------------------------------------------------------------------------- */

/* Whether an operand moves; fills in the call's operands, their tangents among them. */
static bool gather(sweep *s, const sqi_segment *g, const sqi_node *n, const void **dx)
{
    sq_tape *t = s->t;
    bool any = false;
    for (int32_t k = 0; k < n->n; k++) {
        const sqi_node *x = &g->nodes[g->operands[n->first + (uint32_t)k]];
        t->call_x[k] = x->value;
        t->call_shapes[k] = x->shape;
        dx[k] = sqi_tangent_of(t, x);
        any |= dx[k] != NULL;
    }
    return any;
}

/* Whether anything comes down to a node from its operands. */
static bool moves(const sqi_node *n)
{
    return n->n && n->op != &sqi_op_detach && !(n->flags & SQI_DEAD);
}

/* kept: for what another segment imports. */
static bool push_node(sweep *s, const sqi_segment *g, sqi_node *n, sqi_arena *kept,
                      sqi_arena *scratch)
{
    sq_tape *t = s->t;
    const void **dx = take(t, scratch, (size_t)n->n * sizeof *dx);
    if (!dx) return false;
    if (!gather(s, g, n, dx)) return true;
    if (!n->op->jvp)
        return sq_post(t, SQ_EGRAD, "%s has no jvp: it cannot be differentiated forward",
                       n->op->name);
    sq_call c = { .op = n->op,
                  .n = n->n,
                  .dtype = t->dtype,
                  .xs = t->call_shapes,
                  .ys = n->shape,
                  .attr = n->attr,
                  .x = t->call_x,
                  .y = n->value,
                  .dx = dx,
                  .dy = sqi_tangent_open(t, n->imported ? kept : scratch, n),
                  .kern = t->kern };
    for (int32_t k = 0; c.dy && k < n->n; k++)
        if (dx[k]) n->op->jvp(&c, k);
    return c.dy != NULL;
}

sqi_arena *sqi_tangents_kept(sqi_tangents *s) { return &s->kept; }

bool sqi_tangents_aside(sqi_tangents *s, const sqi_segment *g, sqi_arena *memory)
{
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        sqi_node *n = &g->nodes[i];
        if (n->op == &sqi_op_use) move_use(s, n);
        if (moves(n) && !push_node(s, g, n, memory, memory)) return false;
    }
    return true;
}

/* What was asked for in this segment. */
static void read_out(const sweep *s, const sqi_segment *g)
{
    for (int32_t j = 0; j < s->m; j++) {
        if (sqi_ordinal(s->y[j].id) != g->ordinal) continue;
        const sqi_node *n = &g->nodes[sqi_index(s->y[j].id)];
        int64_t size = sq_shape_size(n->shape);
        const void *dy = sqi_tangent_of(s->t, n);
        if (dy && size) s->t->kern->of[s->t->dtype].to_f64(size, dy, s->dy[j]);
        else if (size) memset(s->dy[j], 0, (size_t)size * sizeof **s->dy);
    }
}

static bool push_segment(sweep *s, sqi_segment *g)
{
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        sqi_node *n = &g->nodes[i];
        bool span = g->span && i == g->span->node;
        if (n->op == &sqi_op_use) move_use(s, n);
        if (span && !g->span->push(g->span, s->t, s)) return false;
        if (!span && moves(n) && !push_node(s, g, n, &s->kept, &s->scratch)) return false;
    }
    read_out(s, g);
    sqi_arena_clear(&s->scratch, &s->t->pool);
    return true;
}

static void run(sweep *s, const double *const *dx)
{
    sq_tape *t = s->t;
    uint64_t first = UINT64_MAX, last = 0;
    t->sweep[SQI_LANE_PROBE]++;
    if (!plant(s, dx)) return;
    for (int32_t i = 0; i < s->n; i++) {
        uint64_t o = s->weight[i] ? 0 : sqi_ordinal(s->x[i].id);
        if (o < first) first = o;
    }
    for (int32_t j = 0; j < s->m; j++)
        if (sqi_ordinal(s->y[j].id) > last) last = sqi_ordinal(s->y[j].id);
    bool ok = push_segment(s, t->root); /* what y reads there, and all that is before `first` */
    for (uint32_t i = 0; ok && i < t->n_live && t->live[i]->ordinal <= last; i++) {
        if (t->live[i]->ordinal >= first) ok = push_segment(s, t->live[i]);
        else read_out(s, t->live[i]);
    }
}

/* Every variable is this tape's and has its array. */
static bool check(sq_tape *t, const sq_var *v, const void *arrays, int32_t n, const char *one)
{
    const double *const *at = arrays;
    if (n < 0 || (n && (!v || !at)))
        return sq_post(t, SQ_EVALUE, "there are no arrays for %d variables", (int)n);
    for (int32_t i = 0; i < n; i++) {
        const sqi_node *x = sqi_node_of(t, v[i], one);
        if (!x) return false;
        if (!at[i] && sq_shape_size(x->shape))
            return sq_post(t, SQ_EVALUE, "the array for %s %d is NULL", one, (int)i);
    }
    return true;
}

sq_status sq_jvp(const sq_var *x, const double *const *dx, int32_t n, const sq_var *y,
                 double *const *dy, int32_t m)
{
    sq_tape *t = x && n > 0 ? x[0].tape : y && m > 0 ? y[0].tape : NULL;
    if (!sqi_begin(t, "jvp")) return t ? t->error.status : SQ_EVAR;
    sweep s = { .t = t, .x = x, .y = y, .dy = dy, .n = n, .m = m };
    if (sqi_has_gradients(t) && sqi_in_line(t) && sqi_trace_compute(t, "sweeps") &&
        check(t, x, dx, n, "x") && check(t, y, dy, m, "y"))
        run(&s, dx);
    sqi_arena_clear(&s.scratch, &t->pool);
    sqi_arena_clear(&s.kept, &t->pool);
    t->doing = NULL;
    return t->error.status;
}
