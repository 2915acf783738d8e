/* ledger_gates.c -- statistics of every value that a cell named, step by step.
 *
 * Eagerly the values and, after a sweep, the gradients of named nodes lie on the tape; a plan keeps
 * the values of what is named, and the gradients of what a sweep finds tapped. For the ledger's sweep
 * all of it is, and afterwards what was tapped before: where gradients lie decides how they round,
 * and looking must not change what the next sweep gives. */
#include "core/norm_impl.h"
#include "graph/ledger_impl.h"
#include "ops/ops_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_ENTRY = -1 };

/* One value of one step. */
typedef struct sample {
    const sq_op *op; /* that it is the result of */
    const void *value, *gradient;
    int64_t size, gradient_size;
} sample;

/* ---- Statistics ---------------------------------------------------------------------------- */

static bool saturates(const sq_op *op, double y)
{
    return op == &sq_op_tanh ? fabs(y) > .95 : y < .05 || y > .95;
}

static double element(const sq_tape *t, const void *x, int64_t i)
{
    return t->dtype == SQ_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static sq_gate_statistics statistics(const sq_tape *t, const sample *s)
{
    double sum = 0, squares = 0, n = (double)s->size;
    int64_t saturated = 0;
    bool known = s->size && (s->op == &sq_op_tanh || s->op == &sq_op_sigmoid), broken = false;
    for (int64_t i = 0; i < s->size; i++) {
        double y = element(t, s->value, i);
        sum += y;
        saturated += known && saturates(s->op, y);
        broken |= isnan(y);
    }
    double mean = s->size ? sum / n : (double)NAN;
    for (int64_t i = 0; i < s->size; i++) {
        double d = element(t, s->value, i) - mean;
        squares += d * d;
    }
    return (sq_gate_statistics){
        .mean = mean,
        .deviation = s->size ? sqrt(squares / n) : (double)NAN,
        .saturated = known && !broken ? (double)saturated / n : (double)NAN,
        .gradient = s->gradient ? sqi_norm(t->kern, t->dtype, s->gradient_size, s->gradient) : 0
    };
}

/* ---- Which gates there are ----------------------------------------------------------------- */

static int32_t find(const sqi_gates *g, const char *name, int32_t of_name)
{
    for (int32_t i = 0; i < g->n; i++)
        if (g->gate[i].of_name == of_name && strncmp(g->gate[i].name, name, SQI_LABEL - 1) == 0)
            return i;
    return -1;
}

/* How many values of that name an entry had before this one. */
static int32_t count(sqi_gates *g, const char *name, int64_t entry)
{
    int32_t first = find(g, name, 0);
    sqi_gate *at = first < 0 ? NULL : &g->gate[first];
    if (!at) return 0;
    if (at->entry != entry) at->seen = 0;
    at->entry = entry;
    return at->seen++;
}

/* Before the steps are gone through once more. */
static void count_anew(const sqi_gates *g)
{
    for (int32_t i = 0; i < g->n; i++) g->gate[i].entry = NO_ENTRY;
}

/* The gate of the value of that name which is looked at next in an entry, made at its first sight;
 * false after posting. */
static bool make(sq_ledger *l, sq_tape *t, const char *name, int64_t entry)
{
    sqi_gates *g = &l->gates;
    if (!name || !*name) return true;
    int32_t of_name = count(g, name, entry);
    if (find(g, name, of_name) >= 0) return true;
    if (g->n == g->room) {
        int32_t room = g->room ? 2 * g->room : 16;
        sqi_gate *grown = realloc(g->gate, (size_t)room * sizeof *grown);
        if (!grown) return sq_post(t, SQ_ENOMEM, "out of memory for %d gates", (int)room);
        g->gate = grown;
        g->room = room;
    }
    sqi_gate *made = &g->gate[g->n++];
    *made = (sqi_gate){ .of_name = of_name, .entry = entry, .seen = 1 };
    (void)snprintf(made->name, sizeof made->name, "%s", name);
    (void)snprintf(made->told, sizeof made->told, of_name ? "%s (%d)" : "%s", made->name,
                   (int)of_name + 1);
    return true;
}

/* What is missing in a step has no statistics. */
static bool make_statistics(sq_ledger *l, sq_tape *t)
{
    const sq_gate_statistics none = { (double)NAN, (double)NAN, (double)NAN, (double)NAN };
    size_t n = (size_t)l->steps * (size_t)l->gates.n;
    l->gates.of = sqi_ledger_take(t, n, sizeof *l->gates.of);
    for (size_t i = 0; l->gates.of && i < n; i++) l->gates.of[i] = none;
    return l->gates.of != NULL;
}

static void put(sq_ledger *l, const sq_tape *t, const char *name, int64_t entry,
                const sample *s)
{
    int32_t gate = name && *name ? find(&l->gates, name, count(&l->gates, name, entry)) : -1;
    if (gate >= 0) l->gates.of[entry * l->gates.n + gate] = statistics(t, s);
}

/* ---- Eagerly ------------------------------------------------------------------------------- */

static sample of_node(sq_tape *t, const sqi_segment *g, uint32_t i)
{
    const sqi_node *n = &g->nodes[i];
    sq_var v = { t, sqi_id(g->ordinal, i) };
    int64_t size = sq_shape_size(n->shape);
    return (sample){ n->op, n->value, sqi_swept_grad(v, SQI_LANE_PROBE), size, size };
}

static bool is_gate(const sqi_node *n) { return n->n && n->name && !(n->flags & SQI_DEAD); }

/* The segment's entry, or -1. */
static int64_t entry_of(const sq_ledger *l, const sqi_segment *g)
{
    int64_t entry = g->step < 0 ? l->entries.n : sqi_entry_of(&l->entries, g->step);
    return entry == l->entries.n ? -1 : entry;
}

static bool find_eager(sq_ledger *l, sq_tape *t)
{
    for (uint32_t j = 0; j < t->n_live; j++) {
        const sqi_segment *g = t->live[j];
        int64_t entry = entry_of(l, g);
        bool inside = entry >= 0;
        if (inside && g->span)
            return sq_post(t, SQ_EVALUE,
                           "a step among the states is a plan's or under a budget: for gates "
                           "take the ledger of the unroll itself");
        for (uint32_t i = 1; inside && i < g->n_nodes; i++)
            if (is_gate(&g->nodes[i]) && !make(l, t, g->nodes[i].name, entry)) return false;
    }
    return true;
}

/* Whether one of the first n gates, which are values, bears a state's name. */
static bool is_taken(const sq_ledger *l, const char *name, int32_t n)
{
    int32_t gate = find(&l->gates, name, 0);
    return gate >= 0 && gate < n;
}

/* States by the unroll's names where no value has taken them. */
static void put_states(sq_ledger *l, const sqi_subject *s, int32_t first)
{
    for (int64_t i = 0; i < l->steps * l->n_states; i++) {
        const char *name = l->label[i % l->n_states].name;
        const sqi_segment *g = sqi_segment_find(s->t, sqi_ordinal(s->states[i].id));
        if (is_taken(l, name, first)) continue;
        sample x = of_node(s->t, g, sqi_index(s->states[i].id));
        if (g->span) {
            const sqi_planned *u = (const sqi_planned *)g->span;
            x.op = u->plan->values[u->plan->leaves[i % l->n_states]].op;
        }
        put(l, s->t, name, i / l->n_states, &x);
    }
}

static void read_eager(sq_ledger *l, sq_tape *t)
{
    for (uint32_t j = 0; j < t->n_live; j++) {
        const sqi_segment *g = t->live[j];
        int64_t entry = entry_of(l, g);
        for (uint32_t i = 1; entry >= 0 && i < g->n_nodes; i++) {
            if (!is_gate(&g->nodes[i])) continue;
            sample x = of_node(t, g, i);
            put(l, t, g->nodes[i].name, entry, &x);
        }
    }
}

/* ---- As a plan ----------------------------------------------------------------------------- */

/* Of a value that rows no longer have, those of the others. */
static sample of_part(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step)
{
    int32_t v = sqi_slot_value(u->plan, slot);
    const sqi_value *x = &u->plan->values[v];
    bool kept;
    int32_t from = x->state >= 0 ? x->state : slot;
    const void *g = sqi_wake_grad(&u->span, t, SQI_LANE_PROBE, from, step, &kept);
    if (!u->shrunk || x->state >= 0)
        return (sample){ x->op, sqi_planned_value(t, u, from, step), g, x->size, x->size };
    int64_t rows = sqi_active(u->shrunk, step);
    return (sample){ x->op, sqi_shrunk_at(u, v, step, 0), g, x->size / u->plan->batch * rows,
                     x->size };
}

static void read_planned(sq_ledger *l, sq_tape *t, sqi_planned *u)
{
    for (int64_t i = 0; i < l->steps; i++)
        for (int32_t j = 0; j < u->plan->n_named; j++) {
            sample x = of_part(t, u, sqi_slot_named(u->plan, j), i);
            if (x.value) put(l, t, u->plan->values[u->plan->named[j]].name, i, &x);
        }
}

static bool find_planned(sq_ledger *l, sq_tape *t, const sqi_planned *u)
{
    for (int32_t j = 0; j < u->plan->n_named; j++)
        if (!make(l, t, u->plan->values[u->plan->named[j]].name, 0)) return false;
    return true;
}

/* ---- Around the sweep ---------------------------------------------------------------------- */

static sqi_planned *planned_of(const sqi_subject *s)
{
    return s->u ? sqi_unrolled_inside(s->u).planned : NULL;
}

bool sqi_gates_check(const sqi_subject *s)
{
    sqi_planned *u = planned_of(s);
    bool budget = s->u && (sqi_unrolled_inside(s->u).budget || (u && u->stretch));
    return !budget || sq_post(s->t, SQ_EVALUE,
                              "the values of gates are not kept under a budget: unroll without "
                              "one to look at them");
}

bool sqi_gates_sweep(const sqi_subject *s, sqi_parts *parts)
{
    sqi_planned *u = planned_of(s);
    size_t n = u ? (size_t)u->plan->n_named : 0;
    bool *before = sqi_ledger_take(s->t, n, sizeof *before);
    if (!before) return false;
    if (n) memcpy(before, u->tapped, n * sizeof *before);
    for (size_t j = 0; j < n; j++) u->tapped[j] = true;
    sq_status status = sqi_probe_from(s->loss, NULL, parts);
    if (n) memcpy(u->tapped, before, n * sizeof *before);
    free(before);
    return !status;
}

bool sqi_gates_read(sq_ledger *l, const sqi_subject *s)
{
    sqi_planned *u = planned_of(s);
    if (!(u ? find_planned(l, s->t, u) : find_eager(l, s->t))) return false;
    int32_t named = l->gates.n;
    for (int32_t k = 0; k < l->n_states; k++)
        if (!is_taken(l, l->label[k].name, named) && !make(l, s->t, l->label[k].name, 0))
            return false;
    if (!make_statistics(l, s->t)) return false;
    count_anew(&l->gates);
    if (u) read_planned(l, s->t, u);
    else read_eager(l, s->t);
    put_states(l, s, named);
    return true;
}

void sqi_gates_free(sqi_gates *g)
{
    free(g->gate);
    free(g->of);
}

/* ---- Reading ------------------------------------------------------------------------------- */

int32_t sq_ledger_n_gates(const sq_ledger *l) { return l ? l->gates.n : 0; }

const char *sq_ledger_gate_name(const sq_ledger *l, int32_t gate)
{
    return l && gate >= 0 && gate < l->gates.n ? l->gates.gate[gate].told : "";
}

sq_gate_statistics sq_ledger_gate(const sq_ledger *l, int64_t step, int32_t gate)
{
    bool there = l && step >= 0 && step < l->steps && gate >= 0 && gate < l->gates.n;
    return there ? l->gates.of[step * l->gates.n + gate]
                 : (sq_gate_statistics){ (double)NAN, (double)NAN, (double)NAN, (double)NAN };
}
