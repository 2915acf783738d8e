/* record.c -- how a node comes onto the tape (handle.c resolves the handles it is told).
 *
 * sq_apply checks the operands, imports those that live in another segment, asks the op for the
 * shape of its result, takes memory (or a view of operand 0's), computes, and pushes the node.
 * An import is made once per segment and source; a weight imported into a step becomes a use of
 * that step, so that every step's share of dL/dW has an entry of its own. */
#include "core/tape_impl.h"
#include "core/watch_impl.h"

#include <stdio.h>
#include <string.h>

const sq_attr sqi_no_attr = { .n_ids = 0 };

const sq_op sqi_op_constant = { .name = "constant", .formula = "a number or an input" };
const sq_op sqi_op_leaf = { .name = "leaf", .formula = "an input with a gradient" };
const sq_op sqi_op_import = { .name = "import", .formula = "a value of an earlier segment" };
const sq_op sqi_op_use = { .name = "use", .formula = "a weight" };

/* ---- Nodes ------------------------------------------------------------------------------- */

/* Room for the next node of the current segment, all of it cleared but the shape. The node
 * counts when n_nodes does. NULL after posting. */
static sqi_node *reserve(sq_tape *t, const sq_op *op)
{
    static const sqi_slot untouched = { .stamp = 0 };
    sqi_segment *s = t->current;
    if (s->n_nodes == SQI_MAX_INDEX) {
        sq_post(t, SQ_ERANGE, "more than %d operations in one step: begin steps more often",
                SQI_MAX_INDEX);
        return NULL;
    }
    if (!sqi_grow(t, &s->nodes, &s->node_room, (uint64_t)s->n_nodes + 1, sizeof *s->nodes))
        return NULL;
    sqi_node *n = &s->nodes[s->n_nodes];
    n->op = op;
    n->attr = &sqi_no_attr;
    n->value = NULL;
    n->first = n->flags = 0;
    n->n = 0;
    for (int lane = 0; lane < SQI_N_LANES; lane++) n->grad[lane] = untouched;
    n->name = NULL;
    n->source = n->version = n->imported = n->listed = 0;
    return n;
}

uint32_t sqi_push(sq_tape *t, const sqi_node *n)
{
    sqi_node *to = reserve(t, n->op);
    if (!to) return 0;
    *to = *n;
    if (!n->attr) to->attr = &sqi_no_attr;
    return t->current->n_nodes++;
}

static sq_var var_at(sq_tape *t, uint32_t index)
{
    return (sq_var){ t, index ? sqi_id(t->current->ordinal, index) : 0 };
}

sqi_version *sqi_version_held(const sqi_segment *s, uint64_t number)
{
    for (uint32_t i = s->n_versions; i-- > 0;)
        if (s->versions[i]->number == number) return s->versions[i];
    return NULL;
}

/* Holds a reference to a version of the weights for as long as the segment lives. */
static bool hold_version(sq_tape *t, sqi_version *v)
{
    sqi_segment *s = t->current;
    if (sqi_version_held(s, v->number)) return true;
    if (!sqi_grow(t, &s->versions, &s->version_room, (uint64_t)s->n_versions + 1,
                  sizeof *s->versions))
        return false;
    s->versions[s->n_versions++] = sqi_version_share(v);
    return true;
}

/* The use of a known weight in the current segment: made once per segment and version. */
static uint32_t use(sq_tape *t, sq_weight w, sqi_version *v)
{
    uint32_t before = t->use_room;
    if (!sqi_grow(t, &t->uses, &t->use_room, (uint64_t)w.id + 1, sizeof *t->uses)) return 0;
    if (t->use_room > before)
        memset(t->uses + before, 0, (t->use_room - before) * sizeof *t->uses);
    sqi_use *u = &t->uses[w.id];
    if (u->version == v->number && sqi_ordinal(u->id) == t->current->ordinal)
        return sqi_index(u->id);
    if (!hold_version(t, v) || (!t->inference && !sqi_grads_ready(t))) return 0;
    const sqi_weight_entry *e = sqi_weight_entry_of(t->params, w);
    sqi_node *n = reserve(t, &sqi_op_use);
    if (!n) return 0;
    n->value = (char *)v->data + (size_t)e->offset * sq_dtype_size(t->dtype);
    n->name = e->name;
    n->shape = e->shape;
    n->source = (uint64_t)w.id;
    n->version = v->number;
    n->flags = e->frozen ? 0 : SQI_NEEDS | SQI_KEEP;
    *u = (sqi_use){ sqi_id(t->current->ordinal, t->current->n_nodes), v->number };
    return t->current->n_nodes++;
}

static uint32_t import(sq_tape *t, sq_var v, sqi_node *n, uint32_t needs);

/* An outside value that a step beside the line uses is imported into its home too, so that a cut
 * finds it there. Once home is complete, it knows all that its steps use. */
static bool import_home(sq_tape *t, sq_var v, sqi_node *n)
{
    sqi_rerun *r = t->rerun;
    bool outside = r && t->current != r->home && sqi_ordinal(v.id) < SQI_ASIDE;
    if (!outside || r->home->span || sqi_alias_find(r, v.id)) return true;
    sqi_segment *current = t->current;
    t->current = r->home;
    uint32_t i = import(t, v, n, 0);
    t->current = current;
    return i && sqi_alias_add(t, r, (sqi_alias){ v.id, i, n->flags & SQI_NEEDS });
}

/* The index in the current segment that stands for a checked node; 0 after posting. needs:
 * SQI_NEEDS where a gradient was wanted before a cut took the value. */
static uint32_t import(sq_tape *t, sq_var v, sqi_node *n, uint32_t needs)
{
    bool of_now = t->deriving || t->rerun || n->version == sq_params_version(t->params);
    if (n->op == &sqi_op_use && !of_now) {
        sq_post(t, SQ_EWEIGHT, "weight %s was taken before the update; call sq_use again",
                n->name);
        return 0;
    }
    if (sqi_ordinal(v.id) == t->current->ordinal) return sqi_index(v.id);
    if (sqi_ordinal(n->imported) == t->current->ordinal) return sqi_index(n->imported);
    if (!import_home(t, v, n)) return 0;
    if (n->op == &sqi_op_use) {
        const sqi_segment *home = sqi_segment_find(t, sqi_ordinal(v.id));
        return use(t, (sq_weight){ (int32_t)n->source }, sqi_version_held(home, n->version));
    }
    uint64_t ordinal = sqi_ordinal(v.id);
    sqi_node *to = reserve(t, &sqi_op_import);
    if (!to) return 0;
    to->value = n->value;
    to->shape = n->shape;
    to->source = v.id;
    to->flags = (n->flags & SQI_NEEDS) | needs;
    n->imported = sqi_id(t->current->ordinal, t->current->n_nodes);
    n->flags |= SQI_KEEP | SQI_USED;
    if (ordinal != t->root->ordinal && ordinal < t->current->oldest_import)
        t->current->oldest_import = ordinal;
    return t->current->n_nodes++;
}

/* ---- Operations -------------------------------------------------------------------------- */

static void *copy_into_tape(sq_tape *t, const void *from, size_t bytes)
{
    void *to = sqi_tape_alloc(t, bytes);
    if (to && bytes) memcpy(to, from, bytes);
    return to;
}

/* The tape's own copy of the attributes, arrays included; NULL after posting. */
static const sq_attr *attr_copy(sq_tape *t, const sq_attr *a)
{
    sq_attr *c = copy_into_tape(t, a, sizeof *a);
    size_t bytes = (size_t)a->n_ids * sizeof *a->ids;
    if (c && a->ids && !(c->ids = copy_into_tape(t, a->ids, bytes))) return NULL;
    if (c && a->mask && !(c->mask = copy_into_tape(t, a->mask, bytes))) return NULL;
    if (c && a->user && !(c->user = copy_into_tape(t, a->user, a->user_size))) return NULL;
    return c;
}

/* Posts what is wrong with operand k. */
static bool post_operand(sq_tape *t, sq_var v, int32_t k)
{
    char what[32];
    snprintf(what, sizeof what, "operand %d", (int)k + 1);
    sqi_node_of(t, v, what);
    return false;
}

/* Room for a call of n operands. */
static bool make_room(sq_tape *t, uint64_t n)
{
    sqi_segment *s = t->current;
    return sqi_grow(t, &s->operands, &s->operand_room, s->n_operands + n,
                    sizeof *s->operands) &&
           sqi_grow(t, &t->call_shapes, &t->shape_room, n, sizeof *t->call_shapes) &&
           sqi_grow(t, &t->call_x, &t->x_room, n, sizeof *t->call_x) &&
           sqi_grow(t, &t->call_gx, &t->gx_room, n, sizeof *t->call_gx);
}

/* Checks and imports the operands; lays their indices behind the segment's last operand, and
 * their shapes and values out for the call. *flags gathers those of all. */
static bool gather_operands(sq_tape *t, const sq_var *x, int32_t n, uint32_t *flags)
{
    sqi_segment *s = t->current;
    if (!make_room(t, (uint64_t)n)) return false;
    for (int32_t k = 0; k < n; k++)
        if (x[k].tape && x[k].tape != t)
            return sq_post(t, SQ_EVAR, "operands belong to two tapes");
    for (int32_t k = 0; k < n; k++) {
        sq_var v = x[k];
        uint32_t needs = 0;
        sqi_node *o = v.tape ? sqi_node_find(t, v.id) : NULL;
        if (!o && v.tape) o = sqi_stand_in(t, &v, &needs);
        if (!o) return post_operand(t, v, k);
        if (!o->value && o->op == &sqi_op_part) {
            if (!sqi_value_ready(t, v.id, o)) return false;
            k = -1; /* steps were run for it, with the tape's room for calls: begin again */
            continue;
        }
        uint32_t i = import(t, v, o, needs);
        if (!i) return false;
        o = &s->nodes[i];
        s->operands[s->n_operands + (uint32_t)k] = i;
        t->call_shapes[k] = o->shape;
        t->call_x[k] = o->value;
        o->flags |= SQI_USED;
        *flags |= o->flags;
    }
    return true;
}

static bool find_shape(sq_tape *t, const sq_op *op, int32_t n, const sq_attr *attr,
                       sq_shape *out)
{
    t->naming = n;
    bool ok = op->shape(t, n, t->call_shapes, attr, out) && !t->error.status;
    char text[SQ_SHAPE_TEXT];
    if (ok && !sqi_shape_valid(out))
        ok = sq_post(t, SQ_ESHAPE, "the result is too large: %s", sq_shape_text(*out, text));
    t->naming = 0;
    return ok;
}

/* Where the result lies in operand 0, or -1. Only memory that lives as long as this segment is
 * shared: its own, or the root's. A pointer read from a step stays valid until its step is
 * cut. */
static int64_t view_of(const sq_tape *t, const sqi_node *node, const sqi_node *x)
{
    bool lasts = x->op != &sqi_op_import || sqi_ordinal(x->source) == t->root->ordinal;
    if (!lasts || !(node->op->flags & SQ_VIEW)) return -1;
    return node->op->view(t->call_shapes, node->attr);
}

bool sqi_node_compute(sq_tape *t, sqi_node *node, const sqi_node *x0)
{
    int64_t at = view_of(t, node, x0);
    if (at >= 0) {
        node->value = (char *)x0->value + (size_t)at * sq_dtype_size(t->dtype);
        return true;
    }
    node->value = sqi_tape_alloc(t, sqi_bytes(t, &node->shape));
    if (!node->value) return false;
    node->op->forward(&(sq_call){ .op = node->op,
                                  .n = node->n,
                                  .dtype = t->dtype,
                                  .xs = t->call_shapes,
                                  .ys = node->shape,
                                  .attr = node->attr,
                                  .x = t->call_x,
                                  .y = node->value,
                                  .kern = t->kern });
    if (t->watch) sqi_watch_value(t, node);
    return true;
}

/* A node that stands for nothing, in whose place an operation may be put. */
static bool leave_room(sq_tape *t)
{
    sqi_node c = { .op = &sqi_op_constant, .shape = sq_vec(0), .flags = SQI_DEAD };
    c.value = sqi_tape_alloc(t, 0);
    return c.value && sqi_push(t, &c);
}

static sq_var record(sq_tape *t, const sq_op *op, const sq_var *x, int32_t n,
                     const sq_attr *attr)
{
    sqi_segment *s = t->current;
    uint32_t flags = 0;
    if (n < 1 || (op->arity >= 0 && n != op->arity)) {
        sq_post(t, SQ_EVALUE, "takes %d operands, not %d", (int)op->arity, (int)n);
        return sqi_none(t);
    }
    sqi_node *node = gather_operands(t, x, n, &flags) ? reserve(t, op) : NULL;
    if (!node || !find_shape(t, op, n, attr ? attr : &sqi_no_attr, &node->shape))
        return sqi_none(t);
    node->first = s->n_operands;
    node->n = n;
    node->flags = op == &sqi_op_detach ? 0 : flags & SQI_NEEDS;
    if (attr) node->attr = attr_copy(t, attr);
    if (!node->attr) return sqi_none(t);
    if (!t->tracing && !sqi_node_compute(t, node, &s->nodes[s->operands[node->first]]))
        return sqi_none(t);
    s->n_operands += (uint32_t)n;
    uint32_t made = s->n_nodes++;
    return t->spaced != s || leave_room(t) ? var_at(t, made) : sqi_none(t);
}

bool sqi_import(sq_tape *t, sq_var v)
{
    uint32_t flags = 0;
    return gather_operands(t, &v, 1, &flags);
}

static sq_var record_random(sq_tape *t, const sq_op *op, const sq_var *x, int32_t n,
                            const sq_attr *attr)
{
    sq_attr drawn = attr ? *attr : sqi_no_attr;
    sqi_draw(t, &drawn.draw);
    return record(t, op, x, n, &drawn);
}

sq_var sq_apply(const sq_op *op, const sq_var *x, int32_t n, const sq_attr *attr)
{
    sq_tape *t = NULL;
    for (int32_t k = 0; k < n && !t; k++) t = x[k].tape;
    if (!op || !sqi_begin(t, op->name)) return sqi_none(t);
    bool picks = attr && (attr->ids || attr->mask);
    if (picks && !sqi_trace_compute(t, "takes ids or labels")) return sqi_none(t);
    if (op->shape && op->forward)
        return (op->flags & SQ_RANDOM ? record_random : record)(t, op, x, n, attr);
    sq_post(t, SQ_EVALUE, "the op has no shape rule or no forward");
    return sqi_none(t);
}

/* ---- Values in --------------------------------------------------------------------------- */

/* Memory for a new value of that shape and a node over it; value NULL after posting. */
static sqi_node fresh(sq_tape *t, const char *name, const sq_op *op, sq_shape shape)
{
    sqi_node n = { .op = op, .shape = shape };
    if (!sqi_begin(t, name)) return n;
    char text[SQ_SHAPE_TEXT];
    if (sq_shape_valid(shape)) n.value = sqi_tape_alloc(t, sqi_bytes(t, &shape));
    else sq_post(t, SQ_ESHAPE, "%s is no possible shape", sq_shape_text(shape, text));
    return n;
}

static sq_var put(sq_tape *t, const char *name, const sq_op *op, sq_shape shape, const float *f,
                  const double *d)
{
    if (!t || !sqi_trace_compute(t, "takes numbers from outside")) return sqi_none(t);
    sqi_node n = fresh(t, name, op, shape);
    if (!n.value) return sqi_none(t);
    int64_t size = sq_shape_size(shape);
    if (size && !f && !d) {
        sq_post(t, SQ_EVALUE, "the array of values is NULL");
        return sqi_none(t);
    }
    const sqi_arith *k = &t->kern->of[t->dtype];
    if (size && f) k->from_f32(size, f, n.value);
    if (size && d) k->from_f64(size, d, n.value);
    if (op == &sqi_op_leaf) n.flags = SQI_NEEDS | SQI_KEEP;
    return var_at(t, sqi_push(t, &n));
}

sq_var sq_input_f32(sq_tape *t, sq_shape shape, const float *values)
{
    return put(t, "input", &sqi_op_constant, shape, values, NULL);
}

sq_var sq_input_f64(sq_tape *t, sq_shape shape, const double *values)
{
    return put(t, "input", &sqi_op_constant, shape, NULL, values);
}

sq_var sq_leaf_f32(sq_tape *t, sq_shape shape, const float *values)
{
    return put(t, "leaf", &sqi_op_leaf, shape, values, NULL);
}

sq_var sq_leaf_f64(sq_tape *t, sq_shape shape, const double *values)
{
    return put(t, "leaf", &sqi_op_leaf, shape, NULL, values);
}

sq_var sq_full(sq_tape *t, sq_shape shape, double value)
{
    sqi_node n = fresh(t, "full", &sqi_op_constant, shape);
    if (!n.value) return sqi_none(t);
    t->kern->of[t->dtype].fill(sq_shape_size(shape), n.value, value);
    return var_at(t, sqi_push(t, &n));
}

sq_var sq_zeros(sq_tape *t, sq_shape shape) { return sq_full(t, shape, 0); }
sq_var sq_constant(sq_tape *t, double value) { return sq_full(t, sq_scalar(), value); }

sq_var sqi_constant_copy(sq_tape *t, const sqi_node *n)
{
    sqi_node c = { .op = &sqi_op_constant, .shape = n->shape };
    const char *name = n->name;
    c.value = copy_into_tape(t, n->value, sqi_bytes(t, &n->shape));
    if (c.value && name) c.name = copy_into_tape(t, name, strlen(name) + 1);
    if (!c.value || (name && !c.name)) return sqi_none(t);
    return var_at(t, sqi_push(t, &c));
}

sq_var sq_use(sq_tape *t, sq_weight w)
{
    if (!sqi_begin(t, "use")) return sqi_none(t);
    if (!t->params) {
        sq_post(t, SQ_EWEIGHT, "the tape was made without params");
    } else if (!sqi_weight_known(t->params, w)) {
        sq_post(t, SQ_EWEIGHT, "the params have no weight %d", (int)w.id);
    } else {
        bool again = t->rerun && t->rerun->home->n_versions;
        return var_at(
            t, use(t, w, again ? t->rerun->home->versions[0] : sqi_params_current(t->params)));
    }
    return sqi_none(t);
}

static bool detach_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                         sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

static void detach_forward(const sq_call *c)
{
    size_t bytes = (size_t)sq_shape_size(c->ys) * sq_dtype_size(c->dtype);
    if (bytes) memcpy(c->y, c->x[0], bytes);
}

static int64_t detach_view(const sq_shape *in, const sq_attr *attr)
{
    (void)in, (void)attr;
    return 0;
}

const sq_op sqi_op_detach = {
    .name = "detach",
    .formula = "y = x, no gradient",
    .arity = 1,
    .flags = SQ_ROWWISE | SQ_VIEW,
    .shape = detach_shape,
    .forward = detach_forward,
    .view = detach_view,
};

sq_var sq_detach(sq_var v) { return sq_apply(&sqi_op_detach, &v, 1, NULL); }

/* ---- Marks ------------------------------------------------------------------------------- */

sq_var sq_name(sq_var v, const char *name)
{
    sq_tape *t = v.tape;
    if (!sqi_begin(t, "name")) return v;
    sqi_node *n = sqi_node_of(t, v, "the variable");
    if (!n) return sqi_none(t);
    if (!name || !*name) {
        sq_post(t, SQ_EVALUE, "the name is empty");
        return sqi_none(t);
    }
    sqi_segment *home = sqi_segment_find(t, sqi_ordinal(v.id));
    char *copy = sqi_arena_alloc(&home->arena, &t->pool, strlen(name) + 1);
    if (!copy) {
        sq_post(t, SQ_ENOMEM, "out of memory for the name \"%.100s\"", name);
        return sqi_none(t);
    }
    n->name = strcpy(copy, name);
    n->flags |= SQI_KEEP | SQI_ASKED;
    return v;
}

sq_var sq_keep_grad(sq_var v)
{
    sq_tape *t = v.tape;
    if (!sqi_begin(t, "keep_grad")) return v;
    sqi_node *n = sqi_node_of(t, v, "the variable");
    if (!n) return sqi_none(t);
    bool planned =
        (n->name && n->flags & SQI_NEEDS) || sqi_ordinal(v.id) != t->current->ordinal;
    if (!planned && !sqi_trace_compute(t, "marks what has no name")) return sqi_none(t);
    bool of_constants = !(n->flags & SQI_NEEDS) && n->op != &sqi_op_use;
    if (of_constants && n->flags & SQI_USED) {
        sq_post(t, SQ_EGRAD,
                "the variable comes from constants and was used before it was marked");
        return sqi_none(t);
    }
    n->flags |= SQI_KEEP | SQI_ASKED | (of_constants ? SQI_NEEDS : 0);
    return v;
}
