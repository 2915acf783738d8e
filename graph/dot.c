/* dot.c -- one walk over the live segments, a cluster for each step.
 *
 * An import is not drawn: its edges begin at the source. A source outside the steps asked for is
 * declared where an edge first needs it; Graphviz takes a second declaration for the same node. */
#include "core/norm_impl.h"
#include "core/tape_impl.h"
#include "graph/dot.h"
#include "graph/report_impl.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct drawing {
    const sq_tape *t;
    sqi_sink out;
    int64_t first, last;
    bool all; /* what belongs to no step, too */
} drawing;

static bool is_part(const sqi_node *n)
{
    return n->op == &sqi_op_part && sqi_part_step(n) != SQI_ALL_STEPS;
}

static bool is_span(const sqi_node *n)
{
    return n->op == &sqi_op_span || (n->op == &sqi_op_part && !is_part(n));
}

/* ---- Numbers on edges ------------------------------------------------------------------------ */

/* Finds the gradient of the last sweep, NULL for zeros; false where none was kept. */
static bool gradient(const sq_tape *t, const sqi_segment *s, const sqi_node *n, const void **at)
{
    const sqi_slot *slot = &n->grad[SQI_LANE_USER];
    bool touched = slot->stamp == t->sweep[SQI_LANE_USER], kept = true;
    *at = NULL;
    if (!t->swept || !(n->flags & SQI_NEEDS) || n->op == &sqi_op_use) return false;
    if (n->op == &sqi_op_leaf) {
        if (slot->stamp == t->zeroing) *at = slot->at;
        return !t->grads_invalid;
    }
    if (n->op == &sqi_op_part) {
        *at = s->span->grad(s->span, t, SQI_LANE_USER, (int32_t)n->source, sqi_part_step(n),
                            &kept);
        return kept;
    }
    bool marked = n->flags & SQI_KEEP && !(n->flags & SQI_SUMMED);
    if (s->ordinal != t->tail_ordinal && (!marked || (touched && !slot->owned))) return false;
    if (touched) *at = slot->at;
    return true;
}

static void put_size(drawing *d, const sqi_node *n, const void *x, const char *name)
{
    int64_t size = sq_shape_size(n->shape);
    double v = 0;
    if (size == 1 && x) d->t->kern->of[d->t->dtype].to_f64(1, x, &v);
    else if (x) v = sqi_norm(d->t->kern, d->t->dtype, size, x);
    sqi_putf(&d->out, size == 1 ? "%s " : "|%s| ", name);
    sqi_put_number(&d->out, v);
}

static void put_numbers(drawing *d, const sqi_segment *s, const sqi_node *n, const char *label)
{
    const void *grad;
    if (n->op == &sqi_op_span) return; /* stands for many values */
    sqi_putf(&d->out, "%s=\"", label);
    if (n->value) put_size(d, n, n->value, "y");
    if (gradient(d->t, s, n, &grad)) {
        if (n->value) sqi_put(&d->out, "\\n");
        put_size(d, n, grad, "dL/dy");
    }
    sqi_put(&d->out, "\"");
}

/* ---- Nodes and edges ------------------------------------------------------------------------- */

static void put_id(drawing *d, uint64_t id)
{
    sqi_putf(&d->out, "n%" PRIu64 "_%" PRIu32, sqi_ordinal(id), sqi_index(id));
}

static const char *look(const sqi_node *n)
{
    if (n->op == &sqi_op_use) return "shape=box3d, fillcolor=\"#e6dcef\"";
    if (n->op == &sqi_op_constant) return "shape=box, fillcolor=\"#eeeeea\"";
    if (n->op == &sqi_op_leaf) return "shape=box, fillcolor=\"#dceee6\"";
    if (n->flags & SQI_STATE)
        return "shape=box, style=\"rounded,filled,bold\", fillcolor=\"#f6e3cf\"";
    return "shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\"";
}

static void put_node(drawing *d, const sqi_segment *s, uint32_t index)
{
    const sqi_node *n = &s->nodes[index];
    char shape[SQ_SHAPE_TEXT];
    sqi_put(&d->out, "    ");
    put_id(d, sqi_id(s->ordinal, index));
    sqi_put(&d->out, " [label=\"");
    if (n->op == &sqi_op_span) sqi_putf(&d->out, "%" PRId64 " steps as a plan", s->span->steps);
    else if (is_span(n)) sqi_put(&d->out, "of all steps");
    else if (n->op != &sqi_op_part && n->op != &sqi_op_use)
        sqi_put_name(&d->out, n->op->name, SQI_DOT);
    if (n->name && *n->name) {
        if (n->op != &sqi_op_part && n->op != &sqi_op_use) sqi_put(&d->out, "\\n");
        sqi_put_name(&d->out, n->name, SQI_DOT);
    }
    if (n->op != &sqi_op_span) sqi_putf(&d->out, "\\n%s", sq_shape_text(n->shape, shape));
    sqi_putf(&d->out, "\", %s];\n", look(n));
}

/* The node of a live id and its segment; NULL when it is gone. */
static const sqi_node *find(const drawing *d, uint64_t id, const sqi_segment **s)
{
    *s = sqi_segment_find(d->t, sqi_ordinal(id));
    return *s ? sqi_node_find(d->t, id) : NULL;
}

static bool shown_step(const drawing *d, int64_t step)
{
    return step < 0 ? d->all : step >= d->first && step <= d->last;
}

/* From operand `from` of the same segment, or from what it was imported from, to `to`. Between steps
 * that stand side by side both ends may be at one height; Graphviz has room there for an xlabel only, a
 * label makes it give up. */
static void put_edge(drawing *d, const sqi_segment *s, uint32_t from, uint32_t to)
{
    uint64_t id =
        s->nodes[from].op == &sqi_op_import ? s->nodes[from].source : sqi_id(s->ordinal, from);
    const sqi_segment *home;
    const sqi_node *n = find(d, id, &home);
    if (!n) return;
    if (home != s && !shown_step(d, sqi_step_of(home, n))) put_node(d, home, sqi_index(id));
    sqi_put(&d->out, "    ");
    put_id(d, id);
    sqi_put(&d->out, " -> ");
    put_id(d, sqi_id(s->ordinal, to));
    sqi_put(&d->out, " [");
    bool level = home != s && home->step >= 0 && s->step >= 0;
    put_numbers(d, home, n, level ? "xlabel" : "label");
    if (home != s) sqi_put(&d->out, " style=bold");
    if (level) sqi_put(&d->out, ", constraint=false");
    sqi_put(&d->out, "];\n");
}

static void put_edges(drawing *d, const sqi_segment *s)
{
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        const sqi_node *n = &s->nodes[i];
        if ((n->flags & SQI_DEAD) || n->op == &sqi_op_import ||
            !shown_step(d, sqi_step_of(s, n)))
            continue;
        for (int32_t k = 0; k < n->n; k++)
            put_edge(d, s, s->operands[n->first + (uint32_t)k], i);
        if (n->op == &sqi_op_part && s->span) put_edge(d, s, s->span->node, i);
    }
}

/* Nodes of the segment that belong to a step: those of a span lie in many. */
static void put_cluster(drawing *d, const sqi_segment *s, int64_t step, const char *title)
{
    sqi_putf(&d->out, "  subgraph cluster_%" PRIu64 "_%" PRId64 " {\n    label=\"", s->ordinal,
             step + 1);
    if (title) sqi_put(&d->out, title);
    else sqi_putf(&d->out, "step %" PRId64, step);
    sqi_put(&d->out, "\";\n");
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        const sqi_node *n = &s->nodes[i];
        bool mine = s->span ? is_part(n) && sqi_step_of(s, n) == step : true;
        if (mine && !(n->flags & SQI_DEAD) && n->op != &sqi_op_import) put_node(d, s, i);
    }
    sqi_put(&d->out, "  }\n");
}

static void put_segment(drawing *d, const sqi_segment *s)
{
    if (s->step < 0) {
        if (d->all)
            put_cluster(d, s, -1, s == d->t->root ? "before the first step" : "between steps");
        return;
    }
    for (uint32_t i = 1; s->span && i < s->n_nodes; i++) {
        const sqi_node *n = &s->nodes[i];
        if (!is_part(n) && n->op != &sqi_op_import && !(n->flags & SQI_DEAD)) put_node(d, s, i);
    }
    int64_t from = s->span ? s->step + s->span->low : s->step, last = sqi_last_step(s);
    if (from < d->first) from = d->first;
    for (int64_t step = from; step <= last && step <= d->last; step++)
        put_cluster(d, s, step, NULL);
}

size_t sq_dot(const sq_tape *t, int64_t first, int64_t steps, char *buf, size_t n)
{
    drawing d = { t, { buf, buf ? n : 0, 0 }, first, 0, steps < 0 };
    if (!t) return sqi_put_end(&d.out);
    d.last = steps < 0 || first > INT64_MAX - steps ? INT64_MAX : first + steps - 1;
    sqi_put(
        &d.out,
        "digraph tape {\n  rankdir=BT;\n  fontname=\"Helvetica\"; color=\"#b8bec4\"; style=rounded;\n"
        "  node [fontname=\"Helvetica\", fontsize=11, style=filled, color=\"#59626b\"];\n"
        "  edge [fontname=\"Helvetica\", fontsize=9, color=\"#59626b\", fontcolor=\"#59626b\"];\n");
    put_segment(&d, t->root);
    for (uint32_t i = 0; i < t->n_live; i++) put_segment(&d, t->live[i]);
    if (d.all) put_edges(&d, t->root);
    for (uint32_t i = 0; i < t->n_live; i++) put_edges(&d, t->live[i]);
    sqi_put(&d.out, "}\n");
    return sqi_put_end(&d.out);
}
