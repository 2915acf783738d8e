/* plan_values.c -- from the trace to values in normal form.
 *
 * First every traced operation becomes a value of a phase. Then each sum that contains products,
 * however its additions were nested, is brought into one form:
 *
 *     z = sum_i x_i W_i + sum_j h_j U_j + sum_m b_m + rest
 *       ->  zx = (b_1 + b_2 + ...) + sum_i x_i W_i       hoisted, where the x_i do not depend on
 *           z  = zx + sum_j h_j U_j  (+ rest)            the states
 *
 * so eight separate matmuls and four affines are the same program. */
#include "graph/plan_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

/* ---- Room ---------------------------------------------------------------------------------- */

/* Appends room for one element to an array in the plan's memory; false after posting. */
static bool extend(sq_tape *t, sqi_plan *p, void *array, int32_t n, int32_t *room, size_t size)
{
    if (n < *room) return true;
    int32_t wish = *room ? 2 * *room : 64;
    void *old, *grown = sqi_plan_take(t, p, (size_t)wish, size);
    if (!grown) return false;
    memcpy(&old, array, sizeof old);
    if (n) memcpy(grown, old, (size_t)n * size);
    memcpy(array, &grown, sizeof grown);
    *room = wish;
    return true;
}

int32_t sqi_plan_value(sq_tape *t, sqi_plan *p, sqi_value v)
{
    if (!extend(t, p, &p->values, p->n_values, &p->value_room, sizeof v)) return SQI_NO_VALUE;
    v.state = SQI_NO_VALUE;
    v.size = sq_shape_size(v.shape);
    p->values[p->n_values] = v;
    return p->n_values++;
}

static bool push_operand(sq_tape *t, sqi_plan *p, int32_t v)
{
    if (!extend(t, p, &p->operands, p->n_operands, &p->operand_room, sizeof v)) return false;
    p->operands[p->n_operands++] = v;
    return true;
}

static bool push_term(sq_tape *t, sqi_plan *p, sqi_term term)
{
    if (!extend(t, p, &p->terms, p->n_terms, &p->term_room, sizeof term)) return false;
    p->terms[p->n_terms++] = term;
    return true;
}

/* ---- Reading nodes ------------------------------------------------------------------------- */

/* The plan's own copy of the attributes; NULL after posting. */
static const sq_attr *copy_attr(sq_tape *t, sqi_plan *p, const sq_attr *a)
{
    sq_attr *c = sqi_plan_take(t, p, 1, sizeof *c);
    void *user = c && a->user ? sqi_plan_take(t, p, a->user_size, 1) : NULL;
    if (!c || (a->user && !user)) return NULL;
    *c = *a;
    if (user) memcpy(user, a->user, a->user_size);
    c->user = user;
    return c;
}

static const char *copy_name(sq_tape *t, sqi_plan *p, const char *name)
{
    char *c = sqi_plan_take(t, p, strlen(name) + 1, 1);
    return c ? strcpy(c, name) : NULL;
}

/* An operation of the step; false after posting. */
static bool read_operation(sq_tape *t, sqi_plan *p, const sqi_segment *s, const sqi_node *n,
                           sqi_value *v)
{
    v->op = n->op;
    v->kind = SQI_CALL;
    v->first = p->n_operands;
    v->n = n->n;
    v->attr = copy_attr(t, p, n->attr);
    if (!v->attr) return false;
    if (n->op->flags & SQ_RANDOM && n->attr->draw.when == SQ_PER_STEP) v->phase = SQI_HOIST;
    for (int32_t k = 0; k < n->n; k++) {
        int32_t x = (int32_t)s->operands[n->first + (uint32_t)k];
        if (p->values[x].phase > v->phase) v->phase = p->values[x].phase;
        if (!push_operand(t, p, x)) return false;
    }
    return !n->name || (v->name = copy_name(t, p, n->name));
}

static bool read_nodes(sq_tape *t, sqi_plan *p, const sqi_trace *r)
{
    const sqi_segment *s = t->current;
    p->n_nodes = (int32_t)s->n_nodes;
    for (uint32_t i = 0; i < s->n_nodes; i++) {
        const sqi_node *n = &s->nodes[i];
        sqi_value v = { .kind = SQI_UNUSED,
                        .shape = n->shape,
                        .needs = n->flags & SQI_NEEDS,
                        .of_weight = n->op == &sqi_op_use,
                        .from = SQI_NO_VALUE,
                        .bias = SQI_NO_VALUE };
        if (i && i == r->x) v.kind = SQI_X, v.phase = SQI_HOIST;
        for (int32_t k = 0; k < r->n_states; k++)
            if (i == r->enters[k]) v.kind = SQI_ENTERS, v.phase = SQI_LOOP;
        if (i >= r->first && n->n && !read_operation(t, p, s, n, &v)) return false;
        v.by_row = v.phase != SQI_FIXED && v.shape.rank && v.shape.dim[0] == p->batch;
        if (sqi_plan_value(t, p, v) < 0) return false;
    }
    return true;
}

/* A copy of value v in another phase; SQI_NO_VALUE after posting. */
static int32_t copy_value(sq_tape *t, sqi_plan *p, int32_t v, sqi_phase phase)
{
    sq_attr shape = sqi_shape_attr(p->values[v].shape);
    sqi_value c = { .kind = SQI_CALL,
                    .phase = phase,
                    .needs = p->values[v].needs,
                    .op = &sq_op_reshape,
                    .attr = copy_attr(t, p, &shape),
                    .first = p->n_operands,
                    .n = 1,
                    .shape = p->values[v].shape,
                    .from = SQI_NO_VALUE,
                    .bias = SQI_NO_VALUE };
    return c.attr && push_operand(t, p, v) ? sqi_plan_value(t, p, c) : SQI_NO_VALUE;
}

/* What is computed from a value of the loop is computed in the loop. */
static void spread_phases(sqi_plan *p)
{
    for (int32_t i = 0; i < p->n_values; i++) {
        sqi_value *v = &p->values[i];
        for (int32_t k = 0; v->op && k < v->n; k++)
            if (p->values[p->operands[v->first + k]].phase == SQI_LOOP) v->phase = SQI_LOOP;
        v->by_row = v->phase != SQI_FIXED && v->shape.rank && v->shape.dim[0] == p->batch;
    }
}

/* Who enters, who leaves. What leaves as a state is computed in the loop even where it does not
 * depend on the states. A state that no gradient flows from is a copy, with a gradient of its own;
 * an output that does not depend on time is copied, too. */
static bool read_ends(sq_tape *t, sqi_plan *p, const sqi_trace *r)
{
    size_t n = (size_t)r->n_states;
    p->x = r->x ? (int32_t)r->x : SQI_NO_VALUE;
    p->output = r->output ? (int32_t)r->output : SQI_NO_VALUE;
    p->enters = sqi_plan_take(t, p, n, sizeof *p->enters);
    p->leaves = sqi_plan_take(t, p, n, sizeof *p->leaves);
    if (!p->enters || !p->leaves) return false;
    for (int32_t k = 0; k < r->n_states; k++) {
        int32_t in = p->enters[k] = (int32_t)r->enters[k];
        int32_t out = p->leaves[k] = (int32_t)r->leaves[k];
        if (!p->values[out].needs) {
            bool is_output = out == p->output;
            p->leaves[k] = out = copy_value(t, p, out, SQI_LOOP);
            if (out < 0) return false;
            if (is_output) p->output = out;
        }
        p->values[in].state = p->values[out].state = k;
        p->values[in].needs = p->values[out].needs = true;
        p->values[out].phase = SQI_LOOP;
    }
    spread_phases(p);
    if (p->output >= 0 && p->values[p->output].phase == SQI_FIXED)
        p->output = copy_value(t, p, p->output, SQI_SINK);
    return !t->error.status;
}

/* ---- Phases -------------------------------------------------------------------------------- */

/* Marks what v is computed from, v included. */
static void reach(const sqi_plan *p, bool *mark, int32_t v)
{
    const sqi_value *w = &p->values[v];
    if (mark[v]) return;
    mark[v] = true;
    if (w->phase == SQI_FIXED || !sqi_is_operation(w)) return;
    for (int32_t k = 0; k < w->n; k++) reach(p, mark, p->operands[w->first + k]);
}

/* What reads an entering state stays in the loop: its gradient crosses to the step before. */
static bool reads_state(const sqi_plan *p, const sqi_value *v)
{
    for (int32_t k = 0; k < v->n; k++)
        if (p->values[p->operands[v->first + k]].kind == SQI_ENTERS) return true;
    return false;
}

/* Drops what nobody asks for; sinks what no state needs. */
static bool find_phases(sq_tape *t, sqi_plan *p)
{
    bool *state = sqi_plan_take(t, p, (size_t)p->n_values, 1);
    bool *live = sqi_plan_take(t, p, (size_t)p->n_values, 1);
    p->named = sqi_plan_take(t, p, (size_t)p->n_values, sizeof *p->named);
    if (!state || !live || !p->named) return false;
    for (int32_t k = 0; k < p->n_states; k++) reach(p, state, p->leaves[k]);
    for (int32_t v = 0; v < p->n_values; v++)
        if (sqi_is_operation(&p->values[v]) && reads_state(p, &p->values[v]))
            reach(p, state, v);
    for (int32_t v = 0; v < p->n_values; v++) {
        sqi_value *w = &p->values[v];
        if (w->phase == SQI_LOOP && sqi_is_operation(w) && !state[v]) w->phase = SQI_SINK;
        bool named = w->name && sqi_is_operation(w) && w->phase != SQI_FIXED;
        if (named) p->named[p->n_named++] = v;
        if (w->state >= 0 || v == p->output || named) reach(p, live, v);
    }
    for (int32_t v = 0; v < p->n_values; v++) {
        sqi_value *w = &p->values[v];
        bool fixed = w->phase == SQI_FIXED;
        if (!live[v] || fixed) w->kind = live[v] && fixed ? SQI_OUTER : SQI_UNUSED;
    }
    return true;
}

/* How often each value is an operand or a result. */
static void count_uses(sqi_plan *p)
{
    for (int32_t v = 0; v < p->n_values; v++) p->values[v].uses = 0;
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *w = &p->values[v];
        if (!sqi_is_operation(w)) continue;
        for (int32_t k = 0; k < w->n; k++) p->values[p->operands[w->first + k]].uses++;
    }
    for (int32_t k = 0; k < p->n_states; k++) p->values[p->leaves[k]].uses++;
    for (int32_t j = 0; j < p->n_named; j++) p->values[p->named[j]].uses++;
    if (p->output >= 0) p->values[p->output].uses++;
}

/* ---- Sums of products ---------------------------------------------------------------------- */

static bool has_product(const sqi_plan *p, const sqi_value *v)
{
    const sq_op *op = v->op;
    if (v->kind != SQI_CALL || v->phase == SQI_FIXED) return false;
    if (op != &sq_op_matmul && op != &sq_op_affine && op != &sq_op_matmul_nt) return false;
    const int32_t *in = p->operands + v->first;
    return p->values[in[0]].phase != SQI_FIXED && p->values[in[1]].kind == SQI_OUTER &&
           (v->n < 3 || p->values[in[2]].kind == SQI_OUTER);
}

/* A FIXED vector as long as a row, repeated in every row. */
static bool is_row_vector(const sqi_value *v, sq_shape s)
{
    int64_t width = s.rank ? s.dim[s.rank - 1] : 0;
    return v->kind == SQI_OUTER && s.rank >= 2 && v->size == width &&
           (v->shape.rank == 1 || (v->shape.rank == 2 && s.dim[0] != 1)) &&
           v->shape.dim[v->shape.rank - 1] == width;
}

/* The leaves of a sum: terms of products, vectors, and the rest. */
typedef struct sum {
    sqi_term *terms;
    int32_t *vectors, *rest, *parts; /* parts: values that dissolve in it */
    int32_t n_terms, n_vectors, n_rest, n_parts;
    bool pays; /* hoisting */
} sum;

/* Whether term i is taken ahead of the phase that the sum is in. */
static bool goes_ahead(const sqi_plan *p, const sum *s, int32_t i)
{
    int32_t left = s->terms[i].left;
    return p->values[left].phase == SQI_HOIST && (s->pays || (p->x_repeats && left == p->x));
}

static bool sum_room(sq_tape *t, sqi_plan *p, sum *s)
{
    size_t n = (size_t)p->n_nodes * 2;
    s->terms = sqi_plan_take(t, p, n, sizeof *s->terms);
    s->vectors = sqi_plan_take(t, p, n, sizeof *s->vectors);
    s->rest = sqi_plan_take(t, p, n, sizeof *s->rest);
    s->parts = sqi_plan_take(t, p, n, sizeof *s->parts);
    return s->terms && s->vectors && s->rest && s->parts;
}

static bool dissolves(const sqi_value *v, const sqi_value *root)
{
    return v->uses == 1 && !v->name && v->state < 0 && sq_shape_equal(v->shape, root->shape) &&
           (v->phase == root->phase || v->phase == SQI_HOIST) && v->needs <= root->needs;
}

static void collect(const sqi_plan *p, int32_t v, int32_t root, sum *s)
{
    const sqi_value *w = &p->values[v], *r = &p->values[root];
    const int32_t *in = p->operands + w->first;
    bool ours = v == root || dissolves(w, r);
    if (ours && has_product(p, w)) {
        s->terms[s->n_terms++] = (sqi_term){ in[0], in[1], w->op == &sq_op_matmul_nt };
        if (w->n == 3) s->vectors[s->n_vectors++] = in[2];
        s->parts[s->n_parts++] = v;
    } else if (ours && w->op == &sq_op_add && sqi_is_operation(w)) {
        s->parts[s->n_parts++] = v;
        collect(p, in[0], root, s);
        collect(p, in[1], root, s);
    } else if (is_row_vector(w, r->shape)) {
        s->vectors[s->n_vectors++] = v;
    } else {
        s->rest[s->n_rest++] = v;
    }
}

/* The sum of the vectors as one FIXED value. */
static int32_t add_vectors(sq_tape *t, sqi_plan *p, const sum *s)
{
    int32_t all = s->n_vectors ? s->vectors[0] : SQI_NO_VALUE;
    for (int32_t i = 1; i < s->n_vectors; i++) {
        int32_t other = s->vectors[i];
        sqi_value v = { .kind = SQI_OUTER, .from = SQI_NO_VALUE, .bias = SQI_NO_VALUE };
        sq_shape_broadcast(p->values[all].shape, p->values[other].shape, &v.shape);
        v.needs = p->values[all].needs || p->values[other].needs;
        int32_t made = sqi_plan_value(t, p, v);
        if (made < 0) return SQI_NO_VALUE;
        p->pairs[p->n_pairs][0] = all;
        p->pairs[p->n_pairs][1] = other;
        p->made[p->n_pairs++] = made;
        all = made;
    }
    return all;
}

/* Makes v the product of the terms that go ahead (or do not, or all: `which`). */
enum { HOISTED, NOT_HOISTED, ALL_TERMS };
static bool set_product(sq_tape *t, sqi_plan *p, int32_t v, const sum *s, int which)
{
    int32_t first = p->n_terms;
    for (int32_t i = 0; i < s->n_terms; i++) {
        if (which != ALL_TERMS && goes_ahead(p, s, i) != (which == HOISTED)) continue;
        if (!push_term(t, p, s->terms[i])) return false;
    }
    p->values[v].kind = SQI_PRODUCT;
    p->values[v].op = NULL;
    p->values[v].first = first;
    p->values[v].n = p->n_terms - first;
    return true;
}

static int32_t like(sq_tape *t, sqi_plan *p, int32_t v, sqi_kind kind, sqi_phase phase)
{
    const sqi_value *w = &p->values[v];
    return sqi_plan_value(t, p,
                          (sqi_value){ .kind = kind,
                                       .phase = phase,
                                       .needs = w->needs,
                                       .by_row = w->by_row,
                                       .attr = &sqi_no_attr,
                                       .shape = w->shape,
                                       .from = SQI_NO_VALUE,
                                       .bias = SQI_NO_VALUE });
}

/* v = product + rest, by additions; the last of them is v itself. */
static bool add_rest(sq_tape *t, sqi_plan *p, int32_t v, int32_t product, const int32_t *rest,
                     int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t to = i + 1 < n ? like(t, p, v, SQI_MAP, p->values[v].phase) : v;
        int32_t first = p->n_operands;
        if (to < 0 || !push_operand(t, p, product) || !push_operand(t, p, rest[i]))
            return false;
        sqi_value *w = &p->values[to];
        w->kind = SQI_CALL; /* until it is known whether a chain can run it */
        w->op = &sq_op_add;
        w->attr = &sqi_no_attr;
        w->first = first;
        w->n = 2;
        product = to;
    }
    return true;
}

/* Where a step has rows enough for a product of its own and the weights stay in cache, hoisting
 * would only write and read its result once more. */
static bool hoisting_pays(const sqi_plan *p)
{
    enum { ROWS_ENOUGH = 12 };
    return p->batch < ROWS_ENOUGH || p->weight_bytes > SQI_WEIGHTS_IN_CACHE;
}

/* Rewrites the sum whose root is v. */
static bool rewrite(sq_tape *t, sqi_plan *p, int32_t v, sum *s)
{
    int32_t hoisted = 0, from = SQI_NO_VALUE, n_rest = s->n_rest;
    sqi_phase phase = p->values[v].phase;
    s->pays = phase == SQI_LOOP && hoisting_pays(p);
    for (int32_t i = 0; i < s->n_terms; i++)
        hoisted += phase != SQI_HOIST && goes_ahead(p, s, i);
    if (hoisted == s->n_terms && !n_rest) hoisted = 0; /* a state that is all of it */
    int32_t bias = add_vectors(t, p, s);
    if (s->n_vectors && bias < 0) return false;
    for (int32_t i = 0; i < s->n_parts; i++) p->values[s->parts[i]].kind = SQI_UNUSED;

    if (hoisted) {
        from = like(t, p, v, SQI_PRODUCT, SQI_HOIST);
        if (from < 0 || !set_product(t, p, from, s, HOISTED)) return false;
        p->values[from].bias = bias;
        bias = SQI_NO_VALUE;
    } else if (bias < 0 && n_rest &&
               sq_shape_equal(p->values[s->rest[n_rest - 1]].shape, p->values[v].shape) &&
               p->values[s->rest[n_rest - 1]].phase != SQI_FIXED) {
        from = s->rest[--n_rest];
    }
    int32_t product = v;
    if (hoisted == s->n_terms) product = from; /* no term is left for the loop */
    else if (n_rest) product = like(t, p, v, SQI_PRODUCT, p->values[v].phase);
    if (product < 0) return false;
    if (product != from) {
        if (!set_product(t, p, product, s, hoisted ? NOT_HOISTED : ALL_TERMS)) return false;
        p->values[product].from = from;
        p->values[product].bias = bias;
    }
    return add_rest(t, p, v, product, s->rest, n_rest);
}

/* Sums from their last addition on, so that the largest comes first. */
static bool find_sums(sq_tape *t, sqi_plan *p)
{
    sum s = { .n_terms = 0 };
    p->pairs = sqi_plan_take(t, p, (size_t)p->n_nodes, sizeof *p->pairs);
    p->made = sqi_plan_take(t, p, (size_t)p->n_nodes, sizeof *p->made);
    if (!p->pairs || !p->made || !sum_room(t, p, &s)) return false;
    for (int32_t v = 0; v < p->n_values; v++)
        if (has_product(p, &p->values[v]))
            p->weight_bytes += (int64_t)sqi_value_bytes(p, p->operands[p->values[v].first + 1]);
    for (int32_t v = p->n_values - 1; v > 0; v--) {
        const sqi_value *w = &p->values[v];
        bool addition = sqi_is_operation(w) && w->op == &sq_op_add;
        if (w->phase == SQI_FIXED || (!addition && !has_product(p, w))) continue;
        s.n_terms = s.n_vectors = s.n_rest = s.n_parts = 0;
        collect(p, v, v, &s);
        if (s.n_terms && !rewrite(t, p, v, &s)) return false;
    }
    return true;
}

/* Products of x alone, whose rows repeat. */
static void find_rows(sqi_plan *p)
{
    bool any = false;
    for (int32_t i = 0; p->x_repeats && i < p->n_values; i++) {
        sqi_value *v = &p->values[i];
        if (v->kind != SQI_PRODUCT || v->phase != SQI_HOIST || v->from >= 0) continue;
        v->of_rows = true;
        for (int32_t k = 0; k < v->n; k++) v->of_rows &= p->terms[v->first + k].left == p->x;
        any |= v->of_rows;
    }
    p->x_repeats = any;
}

/* ---- What a chain can run ------------------------------------------------------------------ */

/* An operand as long as the result, or FIXED and repeated along it. */
static bool flows(const sqi_value *v, const sqi_value *x)
{
    if (sq_shape_equal(v->shape, x->shape)) return true;
    if (x->kind != SQI_OUTER || x->size < 1) return false;
    int32_t skip = x->shape.rank;
    while (skip > 0 && x->shape.dim[x->shape.rank - skip] == 1) skip--; /* leading ones */
    for (int32_t i = 1; i <= skip; i++)
        if (x->shape.dim[x->shape.rank - i] != v->shape.dim[v->shape.rank - i]) return false;
    return true;
}

static void find_maps(sqi_plan *p)
{
    for (int32_t i = 0; i < p->n_values; i++) {
        sqi_value *v = &p->values[i];
        if (v->kind != SQI_CALL) continue;
        bool all = sqi_map_kernel_of(v->op, p->kern->isa, p->dtype) != NULL;
        for (int32_t k = 0; k < v->n; k++)
            all = all && flows(v, &p->values[p->operands[v->first + k]]);
        if (all && v->size) v->kind = SQI_MAP;
    }
}

/* The operands of the span: FIXED values that something still uses. */
static bool find_outer(sq_tape *t, sqi_plan *p)
{
    bool *used = sqi_plan_take(t, p, (size_t)p->n_values, 1);
    p->outer = sqi_plan_take(t, p, (size_t)p->n_values, sizeof *p->outer);
    if (!used || !p->outer) return false;
    for (int32_t i = 0; i < p->n_values; i++) {
        const sqi_value *v = &p->values[i];
        for (int32_t k = 0; sqi_is_operation(v) && k < v->n; k++) {
            if (v->kind == SQI_PRODUCT) used[p->terms[v->first + k].right] = true;
            else used[p->operands[v->first + k]] = true;
        }
        if (v->kind == SQI_PRODUCT && v->bias >= 0) used[v->bias] = true;
    }
    for (int32_t i = 0; i < p->n_values; i++) {
        sqi_value *v = &p->values[i];
        if (v->kind != SQI_OUTER || !used[i]) continue;
        v->room = SQI_OUTSIDE;
        v->operand = p->n_outer;
        p->outer[p->n_outer++] = i;
    }
    return true;
}

bool sqi_plan_read(sq_tape *t, sqi_plan *p, const sqi_trace *r)
{
    p->batch = r->batch;
    p->n_states = r->n_states;
    p->x_repeats = r->repeats != NULL;
    if (!read_nodes(t, p, r) || !read_ends(t, p, r) || !find_phases(t, p)) return false;
    count_uses(p);
    if (!find_sums(t, p)) return false;
    find_rows(p);
    find_maps(p);
    return find_outer(t, p);
}
