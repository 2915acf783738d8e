/* plan_tasks.c -- merging, fusing, ordering, and where values lie.
 *
 * Within a phase, whatever can be computed is taken in this order: products, and with each all
 * others of the same left operands (merged: one task); single calls; then as many elementwise
 * operations of one size as can follow each other (fused: one chain). */
#include "graph/plan_chain_impl.h"
#include "graph/plan_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

typedef struct order {
    sq_tape *t;
    sqi_plan *p;
    bool *done;
    int32_t *task; /* [n_values] which task of its phase computes it */
} order;

/* ---- Products ------------------------------------------------------------------------------ */

static bool product_ready(const order *o, const sqi_value *v)
{
    for (int32_t i = 0; i < v->n; i++)
        if (!o->done[o->p->terms[v->first + i].left]) return false;
    return v->from < 0 || o->done[v->from];
}

static bool same_lefts(const sqi_plan *p, const sqi_value *a, const sqi_value *b)
{
    bool same = a->n == b->n && a->by_row == b->by_row && a->of_rows == b->of_rows;
    for (int32_t i = 0; same && i < a->n; i++)
        same = p->terms[a->first + i].left == p->terms[b->first + i].left;
    return same;
}

/* Columns of a right operand as it is multiplied. */
static int64_t term_depth(const sqi_plan *p, const sqi_term *m)
{
    return p->values[m->right].shape.dim[m->transposed ? 1 : 0];
}

bool sqi_pack_room(sq_tape *t, sqi_plan *p, sqi_packed *k, int32_t n_sums, int32_t n_parts)
{
    size_t n = (size_t)n_sums * (size_t)n_parts;
    k->depth = sqi_plan_take(t, p, (size_t)n_sums, sizeof *k->depth);
    k->width = sqi_plan_take(t, p, (size_t)n_parts, sizeof *k->width);
    k->right = sqi_plan_take(t, p, n, sizeof *k->right);
    k->transposed = sqi_plan_take(t, p, n, sizeof *k->transposed);
    k->panels = (sqi_panels){ n_sums, n_parts, k->depth, k->width, NULL };
    return k->depth && k->width && k->right && k->transposed;
}

bool sqi_pack_finish(sq_tape *t, sqi_plan *p, sqi_packed *k)
{
    const sqi_arith *a = &p->kern->of[p->dtype];
    k->panels.data = sqi_plan_take(t, p, a->panels_bytes(&k->panels), 1);
    k->n_panels = a->panels(k->panels.n_parts, k->panels.width);
    k->of_weights = true;
    for (int32_t i = 0; i < k->panels.n_sums * k->panels.n_parts; i++)
        k->of_weights = k->of_weights && p->values[k->right[i]].of_weight;
    return k->panels.data != NULL;
}

static bool pack_forward(sq_tape *t, sqi_plan *p, sqi_task *k)
{
    sqi_packed *w = &k->packed;
    if (!sqi_pack_room(t, p, w, k->n_lefts, k->n)) return false;
    for (int32_t s = 0; s < k->n_lefts; s++)
        for (int32_t i = 0; i < k->n; i++) {
            const sqi_term *m = &p->terms[p->values[k->v[i]].first + s];
            w->depth[s] = term_depth(p, m);
            w->width[i] = p->values[k->v[i]].shape.dim[p->values[k->v[i]].shape.rank - 1];
            w->right[s * k->n + i] = m->right;
            w->transposed[s * k->n + i] = m->transposed;
        }
    return sqi_pack_finish(t, p, w);
}

static bool emit_product(order *o, sqi_tasks *to, int32_t first, sqi_phase phase)
{
    sqi_plan *p = o->p;
    const sqi_value *lead = &p->values[first];
    sqi_task k = { .kind = SQI_DO_PRODUCT, .n_lefts = lead->n, .crosses = SQI_NO_VALUE };
    k.v = sqi_plan_take(o->t, p, (size_t)p->n_values, sizeof *k.v);
    k.lefts = sqi_plan_take(o->t, p, (size_t)lead->n, sizeof *k.lefts);
    if (!k.v || !k.lefts) return false;
    for (int32_t i = 0; i < lead->n; i++) k.lefts[i] = p->terms[lead->first + i].left;
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *w = &p->values[v];
        if (w->kind != SQI_PRODUCT || w->phase != phase || o->done[v]) continue;
        if (!product_ready(o, w) || !same_lefts(p, lead, w)) continue;
        k.v[k.n++] = v;
    }
    for (int32_t i = 0; i < k.n; i++) o->done[k.v[i]] = true, o->task[k.v[i]] = to->n;
    k.rows = 1;
    for (int32_t i = lead->by_row; i + 1 < lead->shape.rank; i++) k.rows *= lead->shape.dim[i];
    k.sharable = lead->by_row;
    k.of_rows = lead->of_rows;
    return pack_forward(o->t, p, &k) && sqi_task_push(o->t, p, to, &k);
}

/* ---- Calls --------------------------------------------------------------------------------- */

static bool operands_ready(const order *o, const sqi_value *v)
{
    for (int32_t k = 0; k < v->n; k++)
        if (!o->done[o->p->operands[v->first + k]]) return false;
    return true;
}

/* Ops that keep rows apart as long as they work along another axis, attr->k[0], than the rows'; and a
 * reshape where operand and result have rows. */
static bool keeps_rows(const sqi_plan *p, const sqi_value *v)
{
    static const sq_op *const along[] = { &sq_op_pad, &sq_op_concat, &sq_op_softmax,
                                          &sq_op_log_softmax, &sq_op_sum_axis };
    bool keeps = v->op == &sq_op_reshape;
    for (size_t i = 0; i < sizeof along / sizeof *along; i++)
        keeps |= v->op == along[i] &&
                 sqi_axis(p->values[p->operands[v->first]].shape, v->attr->k[0]) > 0;
    for (int32_t k = 0; k < v->n; k++) keeps &= p->values[p->operands[v->first + k]].by_row;
    return keeps && v->by_row;
}

/* Rows may be dealt out when row b of the result comes from row b of what has rows. What comes
 * from outside must be the same for all rows: of a [B,..] it is not known whether it is. All of
 * the right operand of a product belongs to every row. */
static bool call_sharable(const sqi_plan *p, const sqi_value *v)
{
    bool product =
        v->op == &sq_op_matmul || v->op == &sq_op_matmul_nt || v->op == &sq_op_affine;
    bool sharable = v->by_row && v->shape.rank >= 2 && v->op->flags & SQ_ROWWISE;
    if (keeps_rows(p, v)) return true;
    for (int32_t k = 0; k < v->n; k++) {
        const sqi_value *x = &p->values[p->operands[v->first + k]];
        bool same_rank = x->shape.rank == v->shape.rank;
        bool has_rows = same_rank && x->shape.dim[0] == p->batch;
        if (x->kind == SQI_OUTER) sharable = sharable && !x->needs && !has_rows;
        else sharable = sharable && x->by_row && same_rank && !(product && k);
    }
    return sharable;
}

static bool emit_call(order *o, sqi_tasks *to, int32_t v)
{
    sqi_task k = { .kind = SQI_DO_CALL, .n = 1, .crosses = SQI_NO_VALUE };
    k.v = sqi_plan_take(o->t, o->p, 1, sizeof *k.v);
    if (!k.v) return false;
    k.v[0] = v;
    k.sharable = call_sharable(o->p, &o->p->values[v]);
    o->done[v] = true;
    o->task[v] = to->n;
    return sqi_task_push(o->t, o->p, to, &k);
}

/* ---- Chains -------------------------------------------------------------------------------- */

static bool emit_chain(order *o, sqi_tasks *to, int32_t first, sqi_phase phase)
{
    sqi_plan *p = o->p;
    sqi_task k = { .kind = SQI_DO_CHAIN, .crosses = SQI_NO_VALUE };
    k.v = sqi_plan_take(o->t, p, (size_t)p->n_values, sizeof *k.v);
    if (!k.v) return false;
    k.sharable = p->values[first].by_row;
    k.chain.size = p->values[first].size;
    for (int32_t before = -1; before < k.n;) {
        before = k.n;
        for (int32_t v = 0; v < p->n_values; v++) {
            const sqi_value *w = &p->values[v];
            bool fits = w->kind == SQI_MAP && w->phase == phase && !o->done[v] &&
                        w->size == k.chain.size && w->by_row == k.sharable;
            if (!fits || !operands_ready(o, w)) continue;
            k.v[k.n++] = v;
            o->done[v] = true;
            o->task[v] = to->n;
        }
    }
    return sqi_task_push(o->t, p, to, &k);
}

/* ---- Order --------------------------------------------------------------------------------- */

/* Emits the next task of the phase; *progress = false when nothing is left. */
static bool next_task(order *o, sqi_phase phase, bool *progress)
{
    static const sqi_kind kinds[] = { SQI_PRODUCT, SQI_CALL, SQI_MAP };
    sqi_plan *p = o->p;
    sqi_tasks *to = &p->tasks[phase];
    for (int i = 0; i < 3; i++)
        for (int32_t v = 0; v < p->n_values; v++) {
            const sqi_value *w = &p->values[v];
            if (w->kind != kinds[i] || w->phase != phase || o->done[v]) continue;
            if (w->kind == SQI_PRODUCT ? !product_ready(o, w) : !operands_ready(o, w)) continue;
            return w->kind == SQI_PRODUCT ? emit_product(o, to, v, phase)
                   : w->kind == SQI_CALL  ? emit_call(o, to, v)
                                          : emit_chain(o, to, v, phase);
        }
    *progress = false;
    return true;
}

bool sqi_task_push(sq_tape *t, sqi_plan *p, sqi_tasks *to, const sqi_task *k)
{
    if (to->n == to->room) {
        int32_t room = to->room ? 2 * to->room : 8;
        sqi_task *grown = sqi_plan_take(t, p, (size_t)room, sizeof *grown);
        if (!grown) return false;
        if (to->n) memcpy(grown, to->at, (size_t)to->n * sizeof *grown);
        to->at = grown;
        to->room = room;
    }
    to->at[to->n++] = *k;
    return true;
}

static bool find_order(order *o)
{
    for (int32_t v = 0; v < o->p->n_values; v++) {
        sqi_kind kind = o->p->values[v].kind;
        o->done[v] = kind == SQI_OUTER || kind == SQI_X || kind == SQI_ENTERS;
    }
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (bool progress = true; progress;)
            if (!next_task(o, (sqi_phase)phase, &progress)) return false;
    return true;
}

/* ---- Rooms --------------------------------------------------------------------------------- */

static void keep(sqi_plan *p, int32_t v)
{
    if (sqi_is_operation(&p->values[v])) p->values[v].room = SQI_KEPT;
}

/* What the reverse sweep reads. */
static void keep_for_reverse(sqi_plan *p, int32_t i)
{
    const sqi_value *v = &p->values[i];
    if (!sqi_is_operation(v) || !v->needs) return;
    const int32_t *in = p->operands + v->first;
    for (int32_t k = 0; k < v->n; k++) {
        if (v->kind == SQI_PRODUCT) {
            const sqi_term *m = &p->terms[v->first + k];
            if (p->values[m->right].needs) keep(p, m->left);
        } else if (v->kind == SQI_CALL && v->op->flags & SQ_LINEAR) {
            continue;
        } else if (v->kind == SQI_CALL) {
            keep(p, in[k]);
            keep(p, i);
        } else if (p->values[in[k]].needs) {
            uint32_t reads = sqi_map_reads(v->op, k);
            for (int32_t j = 0; j < v->n; j++)
                if (reads >> j & 1) keep(p, in[j]);
            if (reads & SQI_READS_Y) keep(p, i);
        }
    }
}

/* A value that task `task` of `phase` reads must lie where that task finds it. */
static void read_by(const order *o, int32_t v, sqi_phase phase, int32_t task)
{
    sqi_value *w = &o->p->values[v];
    if (!sqi_is_operation(w) || w->room == SQI_KEPT) return;
    bool same_phase = w->phase == phase;
    bool same_task = same_phase && o->task[v] == task && w->kind == SQI_MAP;
    sqi_room need = same_task                         ? SQI_TILE
                    : same_phase && phase == SQI_LOOP ? SQI_STEP
                                                      : SQI_BLOCK;
    if (need > w->room) w->room = need;
}

static void find_rooms(order *o)
{
    sqi_plan *p = o->p;
    for (int32_t k = 0; k < p->n_states; k++) keep(p, p->leaves[k]);
    for (int32_t j = 0; j < p->n_named; j++) keep(p, p->named[j]);
    if (p->output >= 0) keep(p, p->output);
    for (int32_t v = 0; v < p->n_values; v++) keep_for_reverse(p, v);
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *w = &p->values[v];
        if (!sqi_is_operation(w)) continue;
        for (int32_t k = 0; k < w->n; k++)
            read_by(o,
                    w->kind == SQI_PRODUCT ? p->terms[w->first + k].left
                                           : p->operands[w->first + k],
                    w->phase, o->task[v]);
        /* a product picks its rows itself where they repeat */
        if (w->kind == SQI_PRODUCT && w->from >= 0 && !p->values[w->from].of_rows)
            read_by(o, w->from, w->phase, o->task[v]);
    }
    for (int32_t v = 0; v < p->n_values; v++) /* what nobody reads must lie somewhere, too */
        if (sqi_is_operation(&p->values[v]) && !p->values[v].room && !p->values[v].of_rows)
            p->values[v].room = p->values[v].kind == SQI_MAP ? SQI_TILE : SQI_BLOCK;
}

/* A phase is for one thread when one of its tasks cannot be dealt out by rows. */
static void find_alone(sqi_plan *p)
{
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < p->tasks[phase].n; i++)
            p->alone[phase] |= !p->tasks[phase].at[i].sharable;
    p->alone[SQI_LOOP] |= p->batch == 1;
}

static void count_work(sqi_plan *p)
{
    for (int32_t i = 0; i < p->n_values; i++) {
        const sqi_value *v = &p->values[i];
        for (int32_t k = 0; v->kind == SQI_PRODUCT && !v->of_rows && k < v->n; k++) {
            const sqi_term *m = &p->terms[v->first + k];
            p->flops += 2 * v->size * term_depth(p, m);
        }
    }
}

bool sqi_plan_order(sq_tape *t, sqi_plan *p)
{
    size_t n = (size_t)p->n_values;
    order o = { t, p, sqi_plan_take(t, p, n, 1), sqi_plan_take(t, p, n, sizeof *o.task) };
    if (!o.done || !o.task || !find_order(&o)) return false;
    find_rooms(&o);
    find_alone(p);
    count_work(p);
    sqi_plan_mark_lookouts(p);
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < p->tasks[phase].n; i++) {
            sqi_task *k = &p->tasks[phase].at[i];
            if (k->kind == SQI_DO_CHAIN && !sqi_chain_forward(t, p, k)) return false;
        }
    return true;
}
