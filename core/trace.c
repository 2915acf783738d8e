/* trace.c -- recording a step without its arithmetic, and doing the arithmetic after all.
 *
 * A traced operation is a node like any other, with its shape and its operands, whose value is
 * NULL and whose memory is not taken. Operands precede their node, so computing in order is
 * computing as it would have been: the same calls, views and bits. A function that reads a
 * value, or that would make the step depend on more than its states and its input, calls
 * sqi_trace_compute first and goes on as if nothing had been put off. */
#include "core/tape_impl.h"

#include <assert.h>

void sqi_trace_begin(sq_tape *t)
{
    assert(!t->tracing);
    t->tracing = true;
    t->untraced = NULL;
}

bool sqi_trace_compute_node(sq_tape *t, uint32_t i)
{
    const sqi_segment *s = t->current;
    sqi_node *n = &s->nodes[i];
    const uint32_t *in = s->operands + n->first;
    const char *doing = t->doing;
    assert(n->n > 0 && !n->value);
    t->doing = n->op->name;
    for (int32_t k = 0; k < n->n; k++) {
        t->call_shapes[k] = s->nodes[in[k]].shape;
        t->call_x[k] = s->nodes[in[k]].value;
        assert(t->call_x[k]);
    }
    bool ok = sqi_node_compute(t, n, &s->nodes[in[0]]);
    t->doing = doing;
    return ok;
}

bool sqi_trace_compute(sq_tape *t, const char *why)
{
    if (!t->tracing) return true;
    t->tracing = false;
    t->untraced = why;
    for (uint32_t i = 1; i < t->current->n_nodes && !t->error.status; i++)
        if (!t->current->nodes[i].value) sqi_trace_compute_node(t, i);
    return !t->error.status;
}

const char *sqi_trace_end(sq_tape *t)
{
    t->tracing = false;
    return t->untraced;
}
