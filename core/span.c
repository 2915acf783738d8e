/* span.c -- a segment that holds many steps at once.
 *
 *     nodes   imports, uses, constants | traced: dead | span | part part part ...
 *                          operands ----------------------^      made when asked for
 *
 * One node stands for all the steps; the tape sees what it takes from outside (its operands)
 * and, step by step, what others ask of it (its parts). What lies between only the span itself
 * knows: sweeps give it the gradients of its parts and let it add to those of its operands. A
 * cut inside moves its lower bound and kills the parts before it; a part that holds all steps
 * stays, as what stacks them after the last step would. */
#include "core/tape_impl.h"

#include <assert.h>
#include <string.h>

const sq_op sqi_op_span = { .name = "span", .formula = "many steps of a plan" };
const sq_op sqi_op_part = { .name = "part", .formula = "a value of one step of a plan" };

/* What was only traced stands for nothing any more. */
static void bury_trace(const sqi_segment *s, const bool *keep)
{
    for (uint32_t i = 1; i < s->n_nodes; i++)
        if (s->nodes[i].n > 0 && !(keep && keep[i])) s->nodes[i].flags = SQI_DEAD;
}

bool sqi_span_record(sq_tape *t, sqi_span *span, const bool *keep, const uint32_t *operands,
                     int32_t n)
{
    sqi_segment *s = t->current;
    assert(s->step >= 0 && !s->span && !t->tracing && span->steps >= 1);
    uint64_t need = (uint64_t)s->n_operands + (uint64_t)n;
    if (!sqi_grow(t, &t->call_gx, &t->gx_room, (uint64_t)n, sizeof *t->call_gx) ||
        !sqi_grow(t, &s->operands, &s->operand_room, need, sizeof *s->operands))
        return false;
    sqi_node node = { .op = &sqi_op_span, .value = span, .first = s->n_operands, .n = n };
    bury_trace(s, keep);
    for (int32_t k = 0; k < n; k++) {
        s->operands[s->n_operands++] = operands[k];
        s->nodes[operands[k]].flags |= SQI_USED;
        node.flags |= s->nodes[operands[k]].flags & SQI_NEEDS;
    }
    span->node = sqi_push(t, &node);
    if (!span->node) return false;
    span->low = 0;
    s->span = span;
    sqi_landmark_span(t, s, span->steps);
    t->next_step = s->step + span->steps;
    return true;
}

/* ---- Parts ------------------------------------------------------------------------------- */

bool sqi_span_loses(const sqi_node *n, int64_t low)
{
    return n->op == &sqi_op_part && sqi_part_step(n) != SQI_ALL_STEPS && sqi_part_step(n) < low;
}

bool sqi_span_stack(sq_tape *t, int64_t steps, sq_shape *s)
{
    char text[SQ_SHAPE_TEXT];
    if (s->rank == SQ_MAX_RANK)
        return sq_post(t, SQ_ESHAPE, "outputs of shape %s cannot be stacked: rank %d at most",
                       sq_shape_text(*s, text), SQ_MAX_RANK - 1);
    for (int32_t i = s->rank++; i > 0; i--) s->dim[i] = s->dim[i - 1];
    s->dim[0] = steps;
    return true;
}

sq_var sqi_span_part(sq_tape *t, uint64_t ordinal, int32_t slot, int64_t step, sq_shape shape,
                     void *value, const char *name, uint32_t flags)
{
    if (t->error.status) return sqi_none(t);
    sqi_segment *s = sqi_segment_find(t, ordinal), *current = t->current;
    if (!s) return (sq_var){ t, sqi_id(ordinal, 1) }; /* stale, like all of the segment */
    assert(s->span && step >= SQI_ALL_STEPS && step < s->span->steps);
    sqi_node n = { .op = &sqi_op_part,
                   .value = value,
                   .name = name,
                   .shape = shape,
                   .source = (uint64_t)slot,
                   .version = (uint64_t)step,
                   .flags = flags };
    if (sqi_span_loses(&n, s->span->low)) n.flags = SQI_DEAD;
    t->current = s;
    uint32_t i = sqi_push(t, &n);
    t->current = current;
    return (sq_var){ t, i ? sqi_id(ordinal, i) : 0 };
}

bool sqi_value_ready(sq_tape *t, uint64_t id, sqi_node *n)
{
    if (n->value || n->op != &sqi_op_part) return true;
    sqi_span *span = sqi_segment_find(t, sqi_ordinal(id))->span;
    void *value = span->value(span, t, (int32_t)n->source, sqi_part_step(n));
    n = sqi_node_find(t, id);
    n->value = value;
    return value != NULL;
}

/* ---- Cuts -------------------------------------------------------------------------------- */

/* A dying part that later nodes of its own segment use becomes a constant for them. */
static void settle_users(const sqi_segment *s, int64_t low)
{
    for (uint32_t i = s->span->node + 1; i < s->n_nodes; i++) {
        const sqi_node *user = &s->nodes[i];
        for (int32_t k = 0; k < user->n; k++) {
            sqi_node *n = &s->nodes[s->operands[user->first + (uint32_t)k]];
            if (!sqi_span_loses(n, low)) continue;
            n->op = &sqi_op_constant;
            n->flags = SQI_USED;
            n->source = n->version = 0;
        }
    }
}

void sqi_span_cut(sqi_segment *s, int64_t low)
{
    settle_users(s, low);
    for (uint32_t i = s->span->node + 1; i < s->n_nodes; i++)
        if (sqi_span_loses(&s->nodes[i], low)) s->nodes[i].flags = SQI_DEAD;
    s->span->low = low;
}
