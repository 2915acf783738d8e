/* validate.c -- sq_tape_check: every invariant of tape_impl.h, one function each. */
#include "core/tape_impl.h"

#include <stdint.h>
#include <stdio.h>

typedef struct report {
    char *buf;
    size_t n;
} report;

static bool broken(report *r, const sqi_segment *s, uint32_t i, const char *what)
{
    if (r->buf && r->n)
        snprintf(r->buf, r->n, "segment %llu, node %u: %s", (unsigned long long)s->ordinal, i,
                 what);
    return false;
}

static bool check_operands(report *r, const sqi_segment *s, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    bool needs = false;
    if ((uint64_t)n->first + (uint64_t)n->n > s->n_operands)
        return broken(r, s, i, "operands past the end");
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t o = s->operands[n->first + (uint32_t)k];
        if (o < 1 || o >= i) return broken(r, s, i, "an operand is not an earlier node");
        if (s->nodes[o].flags & SQI_DEAD) return broken(r, s, i, "an operand is dead");
        needs |= s->nodes[o].flags & SQI_NEEDS;
    }
    if (needs && !(n->flags & SQI_NEEDS) && n->op != &sqi_op_detach)
        return broken(r, s, i, "an operand wants a gradient, the node does not");
    return true;
}

static bool check_import(report *r, const sq_tape *t, const sqi_segment *s, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    if (n->op != &sqi_op_import) return true;
    const sqi_node *source = sqi_node_find(t, n->source);
    if (!source) return broken(r, s, i, "an import's source is gone");
    if (sqi_ordinal(n->source) >= s->ordinal)
        return broken(r, s, i, "an import comes from the future");
    if (source->op == &sqi_op_import || source->op == &sqi_op_use)
        return broken(r, s, i, "an import of an import or of a use");
    if (source->value != n->value || !sq_shape_equal(source->shape, n->shape))
        return broken(r, s, i, "an import differs from its source");
    if ((source->flags & SQI_NEEDS) != (n->flags & SQI_NEEDS))
        return broken(r, s, i, "an import and its source disagree about gradients");
    if (!(source->flags & SQI_KEEP))
        return broken(r, s, i, "the gradient of an import's source is not kept");
    if (sqi_ordinal(n->source) != t->root->ordinal && sqi_ordinal(n->source) < s->oldest_import)
        return broken(r, s, i, "an import is older than the segment's oldest");
    return true;
}

static bool check_use(report *r, const sq_tape *t, const sqi_segment *s, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    if (n->op != &sqi_op_use) return true;
    sq_weight w = { (int32_t)n->source };
    if (!t->params || !sqi_weight_known(t->params, w))
        return broken(r, s, i, "a use of an unknown weight");
    const sqi_version *v = sqi_version_held(s, n->version);
    if (!v) return broken(r, s, i, "a use whose version is not held");
    size_t offset = (size_t)sq_weight_offset(t->params, w) * sq_dtype_size(t->dtype);
    return (const char *)v->data + offset == n->value ||
           broken(r, s, i, "a use points outside its version");
}

static bool in_arena(const sqi_segment *s, const void *at)
{
    for (const sqi_chunk *c = s->arena.newest; c; c = c->next) {
        uintptr_t from = (uintptr_t)c->data;
        if ((uintptr_t)at >= from && (uintptr_t)at <= from + c->used) return true;
    }
    return false;
}

/* A value lies in its segment's arena, or is a view of an operand that lasts as long. */
static bool check_memory(report *r, const sq_tape *t, const sqi_segment *s, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    if (n->grad[SQI_LANE_USER].owned && !in_arena(s, n->grad[SQI_LANE_USER].at))
        return broken(r, s, i, "a kept gradient lies outside its segment");
    if (n->op == &sqi_op_import || n->op == &sqi_op_use || in_arena(s, n->value)) return true;
    if (!n->n || !(n->op->flags & SQ_VIEW))
        return broken(r, s, i, "a value outside its segment");
    const sqi_node *x = &s->nodes[s->operands[n->first]];
    if (x->op == &sqi_op_import && sqi_ordinal(x->source) != t->root->ordinal)
        return broken(r, s, i, "a view shares memory with another step");
    size_t at = (size_t)n->op->view(&x->shape, n->attr) * sq_dtype_size(t->dtype);
    return (const char *)x->value + at == n->value ||
           broken(r, s, i, "a view has lost its operand");
}

/* The node of a span stands where the span says; its parts come after it and are not cut. */
static bool check_span(report *r, const sqi_segment *s, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    const sqi_span *p = s->span;
    if (n->op == &sqi_op_span && (!p || p->node != i))
        return broken(r, s, i, "a span's node that is not its segment's");
    if (n->op != &sqi_op_part) return true;
    if (!p || i <= p->node) return broken(r, s, i, "a part before its span");
    int64_t step = sqi_part_step(n);
    if (step < SQI_ALL_STEPS || step >= p->steps) return broken(r, s, i, "a part of no step");
    return !sqi_span_loses(n, p->low) || broken(r, s, i, "a part of a step that was cut");
}

/* Of an operation that is traced, or was when the tape failed, the value is still missing. */
static bool put_off(const sq_tape *t, const sqi_segment *s, const sqi_node *n)
{
    return !n->value && n->n > 0 && s == t->current && (t->tracing || t->error.status);
}

/* Of a part whose span runs steps again, it comes when someone reads it. */
static bool on_demand(const sqi_segment *s, const sqi_node *n)
{
    return !n->value && n->op == &sqi_op_part && s->span && s->span->value;
}

static bool check_node(report *r, const sq_tape *t, const sqi_segment *s, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    if (n->flags & SQI_DEAD) return true;
    bool later = put_off(t, s, n) || on_demand(s, n);
    if (!n->op || !n->attr || (!n->value && !later))
        return broken(r, s, i, "no op, attributes or value");
    if (!sq_shape_valid(n->shape)) return broken(r, s, i, "an impossible shape");
    if (n->n && n->op->shape && !n->op->forward)
        return broken(r, s, i, "an op without a forward");
    if (n->grad[SQI_LANE_USER].owned && !(n->flags & SQI_KEEP))
        return broken(r, s, i, "a kept gradient is not marked");
    return check_operands(r, s, i) && check_import(r, t, s, i) && check_use(r, t, s, i) &&
           check_span(r, s, i) && (n->op == &sqi_op_span || later || check_memory(r, t, s, i));
}

static bool check_segment(report *r, const sq_tape *t, const sqi_segment *s)
{
    if (s->n_nodes < 1 || s->n_nodes > s->node_room)
        return broken(r, s, 0, "a wrong count of nodes");
    size_t used = 0;
    for (const sqi_chunk *c = s->arena.newest; c; c = c->next) {
        if (c->used > c->size) return broken(r, s, 0, "a chunk is overfull");
        if (c->class_index < SQI_N_CLASSES) used += c->used; /* exact ones are not counted */
    }
    if (used != s->arena.used) return broken(r, s, 0, "the arena's sum is wrong");
    const sqi_span *p = s->span;
    if (p && (s->step < 0 || p->low < 0 || p->low >= p->steps || p->node < 1 ||
              p->node >= s->n_nodes || s->nodes[p->node].op != &sqi_op_span))
        return broken(r, s, 0, "an impossible span");
    for (uint32_t i = 1; i < s->n_nodes; i++)
        if (!check_node(r, t, s, i)) return false;
    return true;
}

bool sq_tape_check(const sq_tape *t, char *buf, size_t n)
{
    report r = { buf, n };
    if (buf && n) buf[0] = 0;
    if (!t) return false;
    if (!check_segment(&r, t, t->root)) return false;
    int64_t step = -1;
    for (uint32_t i = 0; i < t->n_live; i++) {
        const sqi_segment *s = t->live[i];
        if (s->ordinal != t->live[0]->ordinal + i)
            return broken(&r, s, 0, "ordinals are not consecutive");
        if (s->step >= 0 && s->step <= step) return broken(&r, s, 0, "steps do not rise");
        if (s->step >= 0) step = sqi_last_step(s);
        if (!check_segment(&r, t, s)) return false;
    }
    const sqi_segment *newest = t->n_live ? t->live[t->n_live - 1] : t->root;
    return t->current == newest ||
           broken(&r, newest, 0, "the current segment is not the newest");
}
