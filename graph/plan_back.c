/* plan_back.c -- the reverse program: the tasks of the step, backwards, each with the derivative of
 * what it does.
 *
 *     z = from + bias + sum a_i W_i     d from = dz      d a_i += dz W_i^T
 *                                       d bias += column sums of dz,  d W_i += a_i^T dz: deferred
 *                                       to the end of a block of steps
 *
 * A gradient that merely passes an addition shares the memory of what it comes from (its root). The
 * first contribution to a gradient sets it, the others add. What is written into the gradient of an
 * entering state crosses a step border: an immediate sweep leaves it out, and all that leads only
 * there (of an LSTM everything but h -> c). */
#include "graph/plan_chain_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

typedef struct builder {
    sq_tape *t;
    sqi_plan *p;
    sqi_back *b;
    bool *reached;  /* a gradient arrives at it */
    int32_t *count; /* contributions to it */
    int32_t *task;  /* access so far: phase * 2^20 + task of the forward program, or -1 */
    bool *touched;  /* a contribution has been made, as the program is written */
    bool *entered;  /* [n_states] the same for entering states */
    bool
        *inner; /* by root: it leads to a state that leaves, to x or outside, not only across */
    sqi_phase phase; /* of the task at work */
} builder;

static const sqi_value *val(const builder *b, int32_t v) { return &b->p->values[v]; }

static int32_t operand(const builder *b, const sqi_value *w, int32_t k)
{
    return b->p->operands[w->first + k];
}

static const sqi_term *term(const builder *b, int32_t v, int32_t i)
{
    return &b->p->terms[val(b, v)->first + i];
}

/* Whether what arrives at w goes on to its operands. */
static bool passes(const builder *b, int32_t v)
{
    const sqi_value *w = val(b, v);
    return b->reached[v] && w->needs && w->op != &sqi_op_detach;
}

/* Of an addition, or of what a product adds to: gradient of u = gradient of v. */
static bool is_copy(const builder *b, int32_t v, int32_t u)
{
    const sqi_value *w = val(b, v);
    bool adds =
        w->kind == SQI_PRODUCT ? u == w->from : w->kind == SQI_MAP && w->op == &sq_op_add;
    return adds && sq_shape_equal(w->shape, val(b, u)->shape);
}

/* ---- Who gets a gradient ------------------------------------------------------------------- */

/* From an entering state it goes on to what left the step before. */
static void arrive(builder *b, int32_t v)
{
    const sqi_value *w = val(b, v);
    if (b->reached[v]) return;
    b->reached[v] = true;
    if (w->kind == SQI_ENTERS) arrive(b, b->p->leaves[w->state]);
    if (!sqi_is_operation(w) || !passes(b, v)) return;
    for (int32_t k = 0; k < w->n; k++) {
        int32_t u = w->kind == SQI_PRODUCT ? term(b, v, k)->left : operand(b, w, k);
        if (val(b, u)->needs) arrive(b, u);
    }
    if (w->kind == SQI_PRODUCT && w->from >= 0 && val(b, w->from)->needs) arrive(b, w->from);
}

static bool is_seeded(const builder *b, int32_t v)
{
    return val(b, v)->state >= 0 || v == b->p->output || b->b->tapped[v];
}

/* What is named and asked for counts where a gradient arrives. */
static void find_reached(builder *b)
{
    const sqi_plan *p = b->p;
    for (int32_t slot = 0; slot < sqi_n_slots(p); slot++)
        if (b->b->arrives[slot]) arrive(b, sqi_slot_value(p, slot));
    for (int32_t j = 0; j < p->n_named; j++) {
        int32_t v = p->named[j];
        b->b->tapped[v] = b->b->asked[j] && b->reached[v] && val(b, v)->state < 0;
    }
}

/* Products of one task send one contribution to each of their lefts. */
static void count_task(builder *b, const sqi_task *k)
{
    for (int32_t i = 0; i < k->n; i++) {
        const sqi_value *w = val(b, k->v[i]);
        if (!passes(b, k->v[i])) continue;
        for (int32_t j = 0; j < w->n && w->kind != SQI_PRODUCT; j++)
            b->count[operand(b, w, j)]++;
        if (w->kind == SQI_PRODUCT && w->from >= 0) b->count[w->from]++;
    }
    for (int32_t s = 0; s < k->n_lefts; s++) b->count[k->lefts[s]]++;
}

/* u shares v's gradient memory when it is a copy of it and nothing else is added. */
static void share(builder *b, int32_t v, int32_t u)
{
    const sqi_value *w = val(b, u);
    if (is_copy(b, v, u) && w->needs && sqi_is_operation(w) && b->count[u] == 1 &&
        !is_seeded(b, u))
        b->b->root[u] = b->b->root[v];
}

static void share_task(builder *b, const sqi_task *k)
{
    for (int32_t i = k->n; i-- > 0;) {
        int32_t v = k->v[i];
        const sqi_value *w = val(b, v);
        if (!passes(b, v)) continue;
        for (int32_t j = 0; j < w->n && w->kind == SQI_MAP; j++) share(b, v, operand(b, w, j));
        if (w->kind == SQI_PRODUCT && w->from >= 0) share(b, v, w->from);
    }
}

/* Of weights it is known that an immediate sweep has no use for their gradients. */
static bool ends_inside(const builder *b, int32_t u)
{
    const sqi_value *w = val(b, u);
    bool outside = w->kind == SQI_X || (w->kind == SQI_OUTER && !w->of_weight);
    return w->needs && (outside || (w->kind != SQI_ENTERS && w->state >= 0));
}

static bool leads_inside(const builder *b, int32_t v)
{
    const sqi_value *w = val(b, v);
    bool inner = ends_inside(b, v), product = w->kind == SQI_PRODUCT;
    if (!sqi_is_operation(w) || !passes(b, v)) return inner;
    for (int32_t k = 0; k < w->n; k++) {
        int32_t u = product ? term(b, v, k)->left : operand(b, w, k);
        inner = inner || b->inner[b->b->root[u]];
        inner = inner || (product && b->inner[term(b, v, k)->right]);
    }
    if (product && w->from >= 0) inner = inner || b->inner[b->b->root[w->from]];
    if (product && w->bias >= 0) inner = inner || b->inner[w->bias];
    return inner;
}

static void find_inner(builder *b)
{
    for (bool more = true; more;) {
        more = false;
        for (int32_t v = 0; v < b->p->n_values; v++) {
            bool *inner = &b->inner[b->b->root[v]];
            if (*inner || !leads_inside(b, v)) continue;
            *inner = more = true;
        }
    }
}

/* ---- Where gradients lie ------------------------------------------------------------------- */

/* Task `task` touches the gradient of v; `memory`: not only tile by tile. */
static void touch(builder *b, int32_t v, int32_t task, bool memory)
{
    int32_t r = b->b->root[v], at = (int32_t)b->phase << 20 | task;
    sqi_room need = SQI_TILE;
    if (!sqi_is_operation(val(b, v))) return;
    bool same_phase = b->task[r] < 0 || b->task[r] >> 20 == (int32_t)b->phase;
    bool same_task = b->task[r] < 0 || b->task[r] == at;
    if (memory || !same_task) need = SQI_STEP;
    if (!same_phase || (need == SQI_STEP && b->phase != SQI_LOOP)) need = SQI_BLOCK;
    if (need > b->b->room[r]) b->b->room[r] = need;
    b->task[r] = at;
}

static bool defers_something(const builder *b, int32_t v)
{
    const sqi_value *w = val(b, v);
    bool any = w->bias >= 0 && val(b, w->bias)->needs;
    for (int32_t i = 0; i < w->n; i++) any = any || val(b, term(b, v, i)->right)->needs;
    return any;
}

static void touch_task(builder *b, const sqi_task *k, int32_t task)
{
    bool memory = k->kind != SQI_DO_CHAIN;
    for (int32_t i = 0; i < k->n; i++) {
        int32_t v = k->v[i];
        const sqi_value *w = val(b, v);
        if (!passes(b, v)) continue;
        touch(b, v, task, memory);
        if (w->kind == SQI_PRODUCT && w->from >= 0 && val(b, w->from)->needs)
            touch(b, w->from, task, true);
        for (int32_t j = 0; j < w->n; j++) {
            int32_t u = w->kind == SQI_PRODUCT ? term(b, v, j)->left : operand(b, w, j);
            if (val(b, u)->needs) touch(b, u, task, memory);
        }
        if (w->kind == SQI_PRODUCT && defers_something(b, v) &&
            b->b->room[b->b->root[v]] < SQI_BLOCK)
            b->b->room[b->b->root[v]] = SQI_BLOCK;
    }
}

/* What is seeded from outside lies in the wake; an output that other values use, too, has its
 * total elsewhere, for the wake keeps the immediate gradient. */
static void find_rooms(builder *b)
{
    const sqi_plan *p = b->p;
    for (int32_t v = 0; v < p->n_values; v++) {
        if (!b->reached[v] || !is_seeded(b, v)) continue;
        bool own = v == p->output && b->count[v] && !b->b->tapped[v] && val(b, v)->state < 0;
        b->b->room[v] = own ? SQI_BLOCK : SQI_KEPT;
        b->touched[v] = true;
        if (val(b, v)->state < 0) b->b->begun[b->b->n_begun++] = v;
    }
}

/* ---- Writing the program ------------------------------------------------------------------- */

/* Notes a contribution to u: true when it is the first, which sets. */
static bool is_first(builder *b, int32_t u, int32_t *crosses, bool *first)
{
    const sqi_value *w = val(b, u);
    *crosses = SQI_NO_VALUE;
    *first = false;
    if (w->kind == SQI_ENTERS) {
        *crosses = w->state;
        *first = !b->entered[w->state];
        b->entered[w->state] = b->b->crossed[w->state] = true;
        return false;
    }
    if (w->kind == SQI_X || w->kind == SQI_OUTER) return false;
    if (b->phase == SQI_SINK && w->state >= 0) b->b->sunk[w->state] = true;
    bool sets = !b->touched[b->b->root[u]];
    b->touched[b->b->root[u]] = true;
    return sets;
}

static int32_t gradient(builder *b, sqi_chain *c, int32_t v)
{
    int32_t r = b->b->root[v];
    return sqi_chain_stream(b->p, c, r, true, b->b->room[r] == SQI_TILE);
}

static bool push_defer(builder *b, const sqi_defer *d)
{
    sqi_back *k = b->b;
    if (k->n_defers == k->defer_room) {
        int32_t room = k->defer_room ? 2 * k->defer_room : 8;
        sqi_defer *grown = sqi_plan_take(b->t, b->p, (size_t)room, sizeof *grown);
        if (!grown) return false;
        if (k->n_defers) memcpy(grown, k->defers, (size_t)k->n_defers * sizeof *grown);
        k->defers = grown;
        k->defer_room = room;
    }
    k->defers[k->n_defers++] = *d;
    return true;
}

static bool defer_room(builder *b, sqi_defer *d, int32_t n_lefts, int32_t n_parts)
{
    size_t l = (size_t)n_lefts, n = (size_t)n_parts;
    *d = (sqi_defer){ .n_lefts = n_lefts, .n_parts = n_parts };
    d->lefts = sqi_plan_take(b->t, b->p, l, sizeof *d->lefts);
    d->parts = sqi_plan_take(b->t, b->p, n, sizeof *d->parts);
    d->to = sqi_plan_take(b->t, b->p, l * n, sizeof *d->to);
    d->sums = sqi_plan_take(b->t, b->p, n, sizeof *d->sums);
    if (!d->lefts || !d->parts || !d->to || !d->sums) return false;
    for (size_t i = 0; i < l * n; i++) d->to[i] = SQI_NO_VALUE;
    for (size_t i = 0; i < n; i++) d->sums[i] = SQI_NO_VALUE;
    return true;
}

/* A FIXED vector that every row uses: its gradient row by row, summed at the end of the block. */
static int32_t spread(builder *b, int32_t v, int32_t u)
{
    sqi_value s = { .kind = SQI_SPREAD,
                    .phase = b->phase,
                    .needs = true,
                    .by_row = val(b, v)->by_row,
                    .shape = val(b, v)->shape,
                    .from = SQI_NO_VALUE,
                    .bias = SQI_NO_VALUE };
    sqi_defer d;
    int32_t made = sqi_plan_value(b->t, b->p, s);
    if (made < 0 || !defer_room(b, &d, 0, 1)) return SQI_NO_VALUE;
    d.parts[0] = (sqi_array){ made, true };
    d.sums[0] = u;
    d.rows = val(b, made)->size / val(b, u)->size;
    return push_defer(b, &d) ? made : SQI_NO_VALUE;
}

/* The contribution of value v to its operand k. */
static bool write_micro(builder *b, sqi_chain *c, int32_t v, int32_t k)
{
    const sqi_value *w = val(b, v);
    int32_t u = operand(b, w, k), out = u;
    bool vector = val(b, u)->kind == SQI_OUTER && val(b, u)->size != c->size, sets = true;
    const sqi_map_kernel *f = sqi_map_kernel_of(w->op, b->p->kern->isa, b->p->dtype);
    if (!vector && b->b->root[u] == b->b->root[v] && u != v) return true;
    if (vector) {
        out = spread(b, v, u);
        if (out < 0) return false;
    }
    sqi_micro *m = sqi_chain_op(b->p, c, v, sqi_map_reads(w->op, k));
    if (!vector) sets = is_first(b, u, &m->crosses, &m->first);
    if (val(b, u)->kind == SQI_OUTER && !vector && b->phase != SQI_LOOP)
        b->b->alone[b->phase] = true;
    m->run = sets ? f->set[k] : f->chain[k];
    m->add = f->chain[k];
    m->set = f->set[k];
    m->inner = b->inner[b->b->root[u]];
    m->in = gradient(b, c, v);
    m->out = vector ? sqi_chain_stream(b->p, c, out, true, false) : gradient(b, c, out);
    return true;
}

static bool push_chain(builder *b, sqi_task *r)
{
    return sqi_chain_finish(b->t, b->p, &r->chain, &b->b->sizes) &&
           sqi_task_push(b->t, b->p, &b->b->tasks[b->phase], r);
}

static bool write_chain(builder *b, const sqi_task *k)
{
    sqi_task r = {
        .kind = SQI_DO_CHAIN, .sharable = k->sharable, .crosses = SQI_NO_VALUE, .inner = true
    };
    r.chain.size = k->chain.size;
    if (!sqi_chain_room(b->t, b->p, &r.chain, k->n * SQI_MAP_OPERANDS)) return false;
    for (int32_t i = k->n; i-- > 0;) {
        int32_t v = k->v[i];
        if (!passes(b, v)) continue;
        for (int32_t j = 0; j < val(b, v)->n; j++)
            if (val(b, operand(b, val(b, v), j))->needs && !write_micro(b, &r.chain, v, j))
                return false;
    }
    return !r.chain.n_micros || push_chain(b, &r);
}

/* The gradient of what a product adds to, where it has memory of its own: a chain of one op. */
static bool write_from(builder *b, int32_t v)
{
    const sqi_value *w = val(b, v);
    int32_t u = w->from;
    if (u < 0 || !val(b, u)->needs || b->b->root[u] == b->b->root[v]) return true;
    sqi_task r = {
        .kind = SQI_DO_CHAIN, .sharable = w->by_row, .crosses = SQI_NO_VALUE, .inner = true
    };
    const sqi_map_kernel *f = sqi_map_kernel_of(&sq_op_add, b->p->kern->isa, b->p->dtype);
    r.chain.size = w->size;
    if (!sqi_chain_room(b->t, b->p, &r.chain, 1)) return false;
    sqi_micro *m = &r.chain.micros[r.chain.n_micros++];
    *m = (sqi_micro){ .add = f->chain[0], .set = f->set[0], .of = v, .crosses = SQI_NO_VALUE };
    m->run = is_first(b, u, &m->crosses, &m->first) ? m->set : m->add;
    m->inner = b->inner[b->b->root[u]];
    m->in = gradient(b, &r.chain, v);
    m->out = gradient(b, &r.chain, u);
    m->x[0] = m->x[1] = m->x[2] = m->y = -1; /* the derivative of a sum reads nothing */
    return push_chain(b, &r);
}

/* d left_s += sum over the products of the task, dz W^T. */
static bool write_left(builder *b, const sqi_task *k, const int32_t *v, int32_t n, int32_t s)
{
    sqi_task r = { .kind = SQI_DO_PRODUCT,
                   .n = n,
                   .rows = k->rows,
                   .sharable = k->sharable,
                   .of_rows = k->of_rows };
    const sqi_value *left = val(b, k->lefts[s]);
    if (!left->needs) return true;
    r.v = sqi_plan_take(b->t, b->p, (size_t)n, sizeof *r.v);
    if (!r.v || !sqi_pack_room(b->t, b->p, &r.packed, n, 1)) return false;
    r.packed.width[0] = left->shape.dim[left->shape.rank - 1];
    for (int32_t i = 0; i < n; i++) {
        const sq_shape *z = &val(b, v[i])->shape;
        r.v[i] = v[i];
        r.packed.depth[i] = z->dim[z->rank - 1];
        r.packed.right[i] = term(b, v[i], s)->right;
        r.packed.transposed[i] = !term(b, v[i], s)->transposed;
    }
    r.target = k->lefts[s];
    r.sets = is_first(b, r.target, &r.crosses, &r.first);
    r.inner = b->inner[b->b->root[r.target]];
    return sqi_pack_finish(b->t, b->p, &r.packed) &&
           sqi_task_push(b->t, b->p, &b->b->tasks[b->phase], &r);
}

static bool same_parts(const sqi_defer *a, const sqi_defer *b)
{
    bool same = a->n_parts == b->n_parts && a->n_lefts && b->n_lefts && a->rows == b->rows;
    for (int32_t i = 0; same && i < a->n_parts; i++)
        same = a->parts[i].value == b->parts[i].value &&
               a->parts[i].gradient == b->parts[i].gradient;
    return same;
}

/* No weight takes from two parts: threads share the parts out. */
static bool distinct(const sqi_defer *d)
{
    int32_t n = d->n_parts;
    for (int32_t i = 0; i < d->n_lefts * n; i++)
        for (int32_t j = 0; j < i; j++)
            if (d->to[i] >= 0 && d->to[i] == d->to[j] && i % n != j % n) return false;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++)
            if (d->sums[i] >= 0 && d->sums[i] == d->sums[j]) return false;
    return true;
}

/* Joins d to a deferred product of the same gradients: they are read once for both. */
static bool join(builder *b, sqi_defer *a, const sqi_defer *d)
{
    sqi_defer all;
    if (!defer_room(b, &all, a->n_lefts + d->n_lefts, a->n_parts)) return false;
    all.rows = a->rows;
    size_t na = (size_t)a->n_lefts, nd = (size_t)d->n_lefts, n = (size_t)a->n_parts;
    memcpy(all.lefts, a->lefts, na * sizeof *all.lefts);
    memcpy(all.lefts + na, d->lefts, nd * sizeof *all.lefts);
    memcpy(all.parts, a->parts, n * sizeof *all.parts);
    memcpy(all.to, a->to, na * n * sizeof *all.to);
    memcpy(all.to + na * n, d->to, nd * n * sizeof *all.to);
    for (size_t i = 0; i < n; i++) all.sums[i] = a->sums[i] >= 0 ? a->sums[i] : d->sums[i];
    if (!distinct(&all)) return push_defer(b, d);
    *a = all;
    return true;
}

static bool add_defer(builder *b, const sqi_defer *d)
{
    for (int32_t i = 0; i < b->b->n_defers && !d->of_rows; i++) {
        sqi_defer *a = &b->b->defers[i];
        bool sums_clash = a->of_rows;
        for (int32_t j = 0; j < d->n_parts && j < a->n_parts; j++)
            sums_clash |= a->sums[j] >= 0 && d->sums[j] >= 0;
        if (same_parts(a, d) && !sums_clash) return join(b, a, d);
    }
    return push_defer(b, d);
}

/* Leaves out lefts that no weight is multiplied with: their values may not have been kept. */
static void drop_lefts(sqi_defer *d)
{
    int32_t n = d->n_parts, kept = 0;
    for (int32_t s = 0; s < d->n_lefts; s++) {
        bool wanted = false;
        for (int32_t i = 0; i < n; i++) wanted |= d->to[s * n + i] >= 0;
        if (!wanted) continue;
        d->lefts[kept] = d->lefts[s];
        memmove(d->to + kept++ * n, d->to + s * n, (size_t)n * sizeof *d->to);
    }
    d->n_lefts = kept;
}

/* d W = (left^T)(dz), or (dz^T)(left) where W was used transposed; d b = column sums of dz. */
static bool write_weights(builder *b, const sqi_task *k, const int32_t *v, int32_t n)
{
    sqi_defer d, e;
    bool any = false;
    if (!defer_room(b, &d, k->n_lefts, n)) return false;
    d.rows = k->sharable ? k->rows * b->p->batch : k->rows;
    d.of_rows = k->of_rows;
    for (int32_t s = 0; s < k->n_lefts; s++) d.lefts[s] = (sqi_array){ k->lefts[s], false };
    for (int32_t i = 0; i < n; i++) {
        int32_t bias = val(b, v[i])->bias;
        d.parts[i] = (sqi_array){ b->b->root[v[i]], true };
        if (bias >= 0 && val(b, bias)->needs) d.sums[i] = bias, any = true;
        for (int32_t s = 0; s < k->n_lefts; s++) {
            const sqi_term *m = term(b, v[i], s);
            if (!val(b, m->right)->needs) continue;
            if (!m->transposed) {
                d.to[s * n + i] = m->right;
                any = true;
                continue;
            }
            if (!defer_room(b, &e, 1, 1)) return false;
            e.lefts[0] = d.parts[i];
            e.parts[0] = d.lefts[s];
            e.to[0] = m->right;
            e.rows = d.rows;
            e.of_rows = d.of_rows;
            if (!push_defer(b, &e)) return false;
        }
    }
    drop_lefts(&d);
    return !any || add_defer(b, &d);
}

/* All products at once, or one after the other when two share a weight. */
static bool write_all_weights(builder *b, const sqi_task *k, const int32_t *v, int32_t n)
{
    bool shared = false;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++) {
            const sqi_value *x = val(b, v[i]), *y = val(b, v[j]);
            shared |= x->bias >= 0 && x->bias == y->bias;
            for (int32_t s = 0; s < k->n_lefts; s++)
                for (int32_t r = 0; r < k->n_lefts; r++)
                    shared |= term(b, v[i], s)->right == term(b, v[j], r)->right;
        }
    if (!shared) return write_weights(b, k, v, n);
    for (int32_t i = 0; i < n; i++)
        if (!write_weights(b, k, v + i, 1)) return false;
    return true;
}

static bool write_product(builder *b, const sqi_task *k)
{
    int32_t n = 0, *v = sqi_plan_take(b->t, b->p, (size_t)k->n, sizeof *v);
    if (!v) return false;
    for (int32_t i = 0; i < k->n; i++)
        if (passes(b, k->v[i])) v[n++] = k->v[i];
    if (!n) return true;
    for (int32_t s = 0; s < k->n_lefts; s++)
        if (!write_left(b, k, v, n, s)) return false;
    for (int32_t i = 0; i < n; i++)
        if (!write_from(b, v[i])) return false;
    int32_t deferred = 0; /* gradients of the others may not outlive their step */
    for (int32_t i = 0; i < n; i++)
        if (defers_something(b, v[i])) v[deferred++] = v[i];
    return !deferred || write_all_weights(b, k, v, deferred);
}

static bool write_call(builder *b, const sqi_task *k)
{
    int32_t v = k->v[0];
    const sqi_value *w = val(b, v);
    if (!passes(b, v)) return true;
    if (!w->op->vjp)
        return sq_post(b->t, SQ_EGRAD, "%s has no vjp: it cannot be differentiated",
                       w->op->name);
    for (int32_t j = 0; j < w->n; j++) {
        sqi_task r = { .kind = SQI_DO_CALL, .v = k->v, .n = 1, .sharable = k->sharable };
        int32_t u = operand(b, w, j);
        if (!val(b, u)->needs) continue;
        if (val(b, u)->kind == SQI_OUTER) b->b->alone[b->phase] = true;
        r.target = j;
        r.sets = is_first(b, u, &r.crosses, &r.first);
        r.inner = b->inner[b->b->root[u]];
        if (!sqi_task_push(b->t, b->p, &b->b->tasks[b->phase], &r)) return false;
    }
    return true;
}

/* ---- All of it ----------------------------------------------------------------------------- */

static void each_task(builder *b, void (*visit)(builder *, const sqi_task *))
{
    for (int phase = SQI_SINK; phase >= SQI_HOIST; phase--)
        for (int32_t i = b->p->tasks[phase].n; i-- > 0;) {
            b->phase = (sqi_phase)phase;
            visit(b, &b->p->tasks[phase].at[i]);
        }
}

static bool write_tasks(builder *b)
{
    static bool (*const write[])(builder *,
                                 const sqi_task *) = { [SQI_DO_PRODUCT] = write_product,
                                                       [SQI_DO_CHAIN] = write_chain,
                                                       [SQI_DO_CALL] = write_call };
    for (int phase = SQI_SINK; phase >= SQI_HOIST; phase--) {
        b->phase = (sqi_phase)phase;
        b->b->alone[phase] = b->p->alone[phase];
        for (int32_t i = b->p->tasks[phase].n; i-- > 0;) {
            const sqi_task *k = &b->p->tasks[phase].at[i];
            if (!write[k->kind](b, k)) return false;
        }
    }
    return true;
}

static bool build(builder *b)
{
    sq_tape *t = b->t;
    sqi_plan *p = b->p;
    size_t n = (size_t)p->n_values, states = (size_t)p->n_states;
    b->reached = sqi_plan_take(t, p, n, 1);
    b->touched = sqi_plan_take(t, p, n, 1);
    b->count = sqi_plan_take(t, p, n, sizeof *b->count);
    b->task = sqi_plan_take(t, p, n, sizeof *b->task);
    b->entered = sqi_plan_take(t, p, states, 1);
    b->inner = sqi_plan_take(t, p, n, 1);
    b->b->root = sqi_plan_take(t, p, n, sizeof *b->b->root);
    b->b->room = sqi_plan_take(t, p, n, sizeof *b->b->room);
    b->b->begun = sqi_plan_take(t, p, n, sizeof *b->b->begun);
    b->b->crossed = sqi_plan_take(t, p, states, 1);
    b->b->sunk = sqi_plan_take(t, p, states, 1);
    if (!b->reached || !b->touched || !b->count || !b->task || !b->entered || !b->inner ||
        !b->b->root || !b->b->room || !b->b->begun || !b->b->crossed || !b->b->sunk)
        return false;
    for (int32_t v = 0; v < p->n_values; v++) b->b->root[v] = v, b->task[v] = -1;
    find_reached(b);
    each_task(b, count_task);
    each_task(b, share_task);
    find_inner(b);
    find_rooms(b);
    for (int phase = SQI_SINK; phase >= SQI_HOIST; phase--)
        for (int32_t i = p->tasks[phase].n; i-- > 0;) {
            b->phase = (sqi_phase)phase;
            touch_task(b, &p->tasks[phase].at[i], i);
        }
    b->b->n_roots = p->n_values;
    bool ok = write_tasks(b);
    b->b->n_made = p->n_values;
    return ok;
}

/* Slot by slot, where what is sent to it arrives. */
static bool find_closure(sq_tape *t, sqi_plan *p)
{
    int32_t n = sqi_n_slots(p);
    builder b = { .t = t, .p = p };
    bool *all = sqi_plan_take(t, p, (size_t)n * (size_t)n, 1);
    b.reached = sqi_plan_take(t, p, (size_t)p->n_values, 1);
    if (!all || !b.reached) return false;
    for (int32_t i = 0; i < n; i++) {
        int32_t v = sqi_slot_value(p, i);
        memset(b.reached, 0, (size_t)p->n_values);
        if (v >= 0) arrive(&b, v);
        for (int32_t j = 0; j < n; j++) {
            int32_t u = sqi_slot_value(p, j);
            all[i * n + j] = u >= 0 && b.reached[u];
        }
    }
    p->closure = all;
    return true;
}

static bool arrives_at(const sqi_plan *p, const bool *sent, int32_t slot)
{
    int32_t n = sqi_n_slots(p);
    bool any = false;
    for (int32_t i = 0; i < n; i++) any |= (!sent || sent[i]) && p->closure[i * n + slot];
    return any;
}

static bool is_same(const sqi_plan *p, const sqi_back *b, const bool *tapped, const bool *sent)
{
    if (p->n_named && memcmp(b->asked, tapped, (size_t)p->n_named) != 0) return false;
    for (int32_t i = 0; i < sqi_n_slots(p); i++)
        if (b->arrives[i] != arrives_at(p, sent, i)) return false;
    return true;
}

sqi_back *sqi_plan_back(sq_tape *t, sqi_plan *p, const bool *tapped, const bool *sent)
{
    if (!p->closure && !find_closure(t, p)) return NULL;
    for (sqi_back *b = p->backs; b; b = b->next)
        if (is_same(p, b, tapped, sent)) return b;
    builder b = { .t = t, .p = p, .b = sqi_plan_take(t, p, 1, sizeof *b.b) };
    if (!b.b) return NULL;
    b.b->asked = sqi_plan_take(t, p, (size_t)p->n_named, 1);
    b.b->arrives = sqi_plan_take(t, p, (size_t)sqi_n_slots(p), 1);
    b.b->tapped = sqi_plan_take(t, p, (size_t)p->n_values, 1);
    if (!b.b->asked || !b.b->arrives || !b.b->tapped) return NULL;
    if (p->n_named) memcpy(b.b->asked, tapped, (size_t)p->n_named);
    for (int32_t i = 0; i < sqi_n_slots(p); i++) b.b->arrives[i] = arrives_at(p, sent, i);
    if (!build(&b)) return NULL;
    b.b->next = p->backs;
    p->backs = b.b;
    return b.b;
}
