/* ledger_gates.c -- statistics of every value that a cell named, step by step.
 *
 * Eagerly the values and, after a sweep, the gradients of named nodes lie on the tape; a plan keeps
 * the values of what is named, and the gradients of what a sweep finds tapped. For the ledger's sweep
 * all of it is, and afterwards what was tapped before: where gradients lie decides how they round,
 * and looking must not change what the next sweep gives. Under a byte budget values are seen while the
 * steps are run once more, gradients while they are swept. */
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
    const void *value;
    int64_t size;
    double gradient;   /* its norm */
    const bool *takes; /* which of its rows count, NULL: all */
    int64_t width;     /* of a row */
} sample;

/* A whole value of a step: rows that sit it out do not count. What has not as many rows as the batch
 * has none. */
static sample sample_of(const sqi_gates *g, int64_t step, const sq_op *op,
                        const sq_shape *shape, const void *value)
{
    sample s = { .op = op, .value = value, .size = sqi_shape_size(shape) };
    if (!g->takes || !shape->rank || !g->batch || shape->dim[0] != g->batch) return s;
    s.takes = g->takes + step * g->batch;
    s.width = s.size / g->batch;
    return s;
}

/* ---- Statistics ---------------------------------------------------------------------------- */

static bool saturates(const sq_op *op, double y)
{
    return op == &sq_op_tanh ? fabs(y) > .95 : y < .05 || y > .95;
}

static double element(const sq_tape *t, const void *x, int64_t i)
{
    return t->dtype == SQ_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static bool counts(const sample *s, int64_t i) { return !s->takes || s->takes[i / s->width]; }

static sq_gate_statistics statistics(const sq_tape *t, const sample *s)
{
    double sum = 0, squares = 0;
    int64_t saturated = 0, n = 0;
    bool known = s->op == &sq_op_tanh || s->op == &sq_op_sigmoid, broken = false;
    for (int64_t i = 0; i < s->size; i++) {
        if (!counts(s, i)) continue;
        double y = element(t, s->value, i);
        sum += y;
        saturated += known && saturates(s->op, y);
        broken |= isnan(y);
        n++;
    }
    double mean = sum / (double)n; /* NaN of none */
    for (int64_t i = 0; i < s->size; i++) {
        if (!counts(s, i)) continue;
        double d = element(t, s->value, i) - mean;
        squares += d * d;
    }
    double share = known && !broken ? (double)saturated / (double)n : (double)NAN;
    return (sq_gate_statistics){ .mean = n ? mean : (double)NAN,
                                 .deviation = n ? sqrt(squares / (double)n) : (double)NAN,
                                 .saturated = n ? share : (double)NAN,
                                 .gradient = s->gradient };
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

/* Before steps are gone through once more. */
static void count_anew(const sqi_gates *g)
{
    for (int32_t i = 0; i < g->n; i++) g->gate[i].entry = NO_ENTRY;
}

/* Without a value of that name in any step. */
static bool make(sq_ledger *l, sq_tape *t, const char *name, int32_t of_name, int64_t entry)
{
    sqi_gates *g = &l->gates;
    const sq_gate_statistics none = { (double)NAN, (double)NAN, (double)NAN, (double)NAN };
    if (g->n == g->room) {
        int32_t room = g->room ? 2 * g->room : 16;
        sqi_gate *grown = realloc(g->gate, (size_t)room * sizeof *grown);
        if (!grown) return sq_post(t, SQ_ENOMEM, "out of memory for %d gates", (int)room);
        g->gate = grown;
        g->room = room;
    }
    sqi_gate *made = &g->gate[g->n];
    *made = (sqi_gate){ .of_name = of_name, .entry = entry, .seen = 1 };
    (void)snprintf(made->name, sizeof made->name, "%s", name);
    (void)snprintf(made->told, sizeof made->told, of_name ? "%s (%d)" : "%s", made->name,
                   (int)of_name + 1);
    made->of = sqi_ledger_take(t, (size_t)l->steps, sizeof *made->of);
    for (int64_t i = 0; made->of && i < l->steps; i++) made->of[i] = none;
    g->n += made->of != NULL;
    return made->of != NULL;
}

/* Where the next value of a name in an entry is told; at its first sight it becomes a gate. NULL after
 * posting. */
static sq_gate_statistics *place(sq_ledger *l, sq_tape *t, const char *name, int64_t entry)
{
    int32_t of_name = count(&l->gates, name, entry), gate = find(&l->gates, name, of_name);
    if (gate < 0 && make(l, t, name, of_name, entry)) gate = l->gates.n - 1;
    return gate < 0 ? NULL : &l->gates.gate[gate].of[entry];
}

static bool put(sq_ledger *l, sq_tape *t, const char *name, int64_t entry, const sample *s)
{
    sq_gate_statistics *at = place(l, t, name, entry);
    if (at) *at = statistics(t, s);
    return at != NULL;
}

/* 0 where nothing flowed. */
static double norm_of(const sq_tape *t, int64_t size, const void *gradient)
{
    return gradient ? sqi_norm(t->kern, t->dtype, size, gradient) : 0;
}

/* ---- Eagerly ------------------------------------------------------------------------------- */

static bool is_gate(const sqi_node *n)
{
    return n->n && n->name && *n->name && !(n->flags & SQI_DEAD);
}

static bool put_step(sq_ledger *l, sq_tape *t, const sqi_segment *g, int64_t entry)
{
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        const sqi_node *n = &g->nodes[i];
        const sqi_slot *slot = &n->grad[SQI_LANE_PROBE];
        bool swept = slot->stamp == t->sweep[SQI_LANE_PROBE] && slot->owned;
        if (!is_gate(n)) continue;
        sample x = sample_of(&l->gates, entry, n->op, &n->shape, n->value);
        x.gradient = norm_of(t, x.size, swept ? slot->at : NULL);
        if (!put(l, t, n->name, entry, &x)) return false;
    }
    return true;
}

static bool put_steps(sq_ledger *l, sq_tape *t)
{
    for (uint32_t j = 0; j < t->n_live; j++) {
        const sqi_segment *g = t->live[j];
        int64_t entry = g->step < 0 ? l->entries.n : sqi_entry_of(&l->entries, g->step);
        if (entry == l->entries.n) continue;
        if (g->span)
            return sq_post(t, SQ_EVALUE,
                           "a step among the states is a plan's or under a budget: for gates "
                           "take the ledger of the unroll itself");
        if (!put_step(l, t, g, entry)) return false;
    }
    return true;
}

/* ---- Eagerly, under a budget --------------------------------------------------------------- */

typedef struct looker {
    sqi_visit visit; /* first: what is shown the steps */
    sq_ledger *l;
    sq_tape *t;
} looker;

static bool see_values(sqi_visit *visit, const sqi_aside_step *step, int64_t i)
{
    const looker *x = (const looker *)visit;
    for (int32_t k = 0; k < x->l->n_states; k++) {
        const sqi_node *n = &step->s->nodes[step->leave[k]];
        sample of = sample_of(&x->l->gates, i, n->op, &n->shape, n->value);
        x->l->gates.state[i * x->l->n_states + k] = statistics(x->t, &of);
    }
    return put_step(x->l, x->t, step->s, i);
}

static bool see_gradients(sqi_visit *visit, const sqi_aside_step *step, int64_t i)
{
    const looker *x = (const looker *)visit;
    for (uint32_t j = 1; j < step->s->n_nodes; j++) {
        const sqi_node *n = &step->s->nodes[j];
        const sqi_slot *slot = &n->grad[SQI_LANE_PROBE];
        bool swept = slot->stamp == x->t->sweep[SQI_LANE_PROBE];
        sq_gate_statistics *at = is_gate(n) ? place(x->l, x->t, n->name, i) : NULL;
        if (at) at->gradient = norm_of(x->t, sq_shape_size(n->shape), swept ? slot->at : NULL);
    }
    return !x->t->error.status;
}

static bool sweep_again(sq_ledger *l, const sqi_subject *s, sqi_budget *b, sqi_parts *parts)
{
    looker values = { { see_values }, l, s->t }, gradients = { { see_gradients }, l, s->t };
    size_t n = (size_t)l->steps * (size_t)l->n_states;
    l->gates.state = sqi_ledger_take(s->t, n, sizeof *l->gates.state);
    if (!l->gates.state || !sqi_budget_walk(b, &values.visit)) return false;
    count_anew(&l->gates);
    b->visit = &gradients.visit;
    sq_status status = sqi_probe_from(s->loss, NULL, parts);
    b->visit = NULL;
    return !status;
}

/* ---- As a plan ----------------------------------------------------------------------------- */

/* Value of a slot after a step, told by `s`; false after posting. Of steps that are dropped, and where
 * rows that ended are left out, it is brought to `room`. */
static bool take_value(const sqi_gates *g, sq_tape *t, sqi_planned *u, int32_t slot,
                       int64_t step, char *room, sample *s)
{
    const sqi_value *x = &u->plan->values[sqi_slot_value(u->plan, slot)];
    *s = sample_of(g, step, x->op, &x->shape, room);
    if (x->state >= 0) slot = x->state;
    if (u->stretch) return sqi_stretch_read(u, t, slot, step, room);
    if (u->shrunk) sqi_shrunk_value(u, slot, step, room);
    else s->value = sqi_planned_value(t, u, slot, step);
    return s->value != NULL;
}

/* Room for a value; NULL after posting. */
static char *room_of(sq_tape *t, const sqi_planned *u)
{
    size_t most = 1;
    for (int32_t slot = 0; (u->stretch || u->shrunk) && slot < sqi_n_slots(u->plan); slot++) {
        int32_t v = sqi_slot_value(u->plan, slot);
        size_t bytes = v < 0 ? 0 : sqi_value_bytes(u->plan, v);
        if (bytes > most) most = bytes;
    }
    return sqi_ledger_take(t, most, 1);
}

/* What is named; of steps that are dropped the gradients are seen elsewhere. */
static bool put_planned(sq_ledger *l, sq_tape *t, sqi_planned *u, char *room)
{
    for (int64_t i = 0; i < l->steps; i++)
        for (int32_t j = 0; j < u->plan->n_named; j++) {
            const sqi_value *x = &u->plan->values[u->plan->named[j]];
            int32_t slot = x->state >= 0 ? x->state : sqi_slot_named(u->plan, j);
            const void *g = NULL;
            bool kept;
            sample s;
            if (!take_value(&l->gates, t, u, sqi_slot_named(u->plan, j), i, room, &s))
                return false;
            if (!u->stretch) g = sqi_wake_grad(&u->span, t, SQI_LANE_PROBE, slot, i, &kept);
            s.gradient = norm_of(t, x->size, g);
            if (!put(l, t, x->name, i, &s)) return false;
        }
    return true;
}

/* ---- As a plan, under a budget ------------------------------------------------------------- */

typedef struct plan_looker {
    sqi_named_look look; /* first: what is shown gradients */
    sq_ledger *l;
    const sq_tape *t;
    const sqi_planned *u;
} plan_looker;

/* What is told of named value j. */
static sq_gate_statistics *place_of(const sq_ledger *l, const sqi_plan *p, int32_t j,
                                    int64_t step)
{
    const char *name = p->values[p->named[j]].name;
    int32_t of_name = 0;
    for (int32_t i = 0; i < j; i++)
        of_name += strncmp(p->values[p->named[i]].name, name, SQI_LABEL - 1) == 0;
    return &l->gates.gate[find(&l->gates, name, of_name)].of[step];
}

static void see_gradient(sqi_named_look *look, int32_t j, int64_t step, const void *grad)
{
    const plan_looker *x = (const plan_looker *)look;
    int64_t size = x->u->plan->values[x->u->plan->named[j]].size;
    place_of(x->l, x->u->plan, j, step)->gradient = norm_of(x->t, size, grad);
}

/* Of a named value that is a state the gradient is the total. */
static void tell_states(const sq_ledger *l, const sqi_plan *p)
{
    for (int32_t j = 0; j < p->n_named; j++) {
        int32_t state = p->values[p->named[j]].state;
        for (int64_t i = 0; state >= 0 && i < l->steps; i++)
            place_of(l, p, j, i)->gradient = l->norm[SQI_TOTAL][i * l->n_states + state];
    }
}

/* ---- Around the sweep ---------------------------------------------------------------------- */

static sqi_planned *planned_of(const sqi_subject *s)
{
    return s->u ? sqi_unrolled_inside(s->u).planned : NULL;
}

/* With everything tapped that is named. */
static bool sweep_planned(const sqi_subject *s, sqi_planned *u, sqi_parts *parts)
{
    size_t n = (size_t)u->plan->n_named;
    bool *before = sqi_ledger_take(s->t, n, sizeof *before);
    if (!before) return false;
    if (n) memcpy(before, u->tapped, n * sizeof *before);
    for (size_t j = 0; j < n; j++) u->tapped[j] = true;
    sq_status status = sqi_probe_from(s->loss, NULL, parts);
    if (n) memcpy(u->tapped, before, n * sizeof *before);
    free(before);
    return !status;
}

static bool sweep_stretches(sq_ledger *l, const sqi_subject *s, sqi_planned *u,
                            sqi_parts *parts)
{
    plan_looker x = { { see_gradient, room_of(s->t, u) }, l, s->t, u };
    bool ok = x.look.room && put_planned(l, s->t, u, x.look.room);
    u->stretch->look = &x.look;
    ok = ok && sweep_planned(s, u, parts);
    u->stretch->look = NULL;
    free(x.look.room);
    return ok;
}

bool sqi_gates_sweep(sq_ledger *l, const sqi_subject *s, sqi_parts *parts)
{
    sqi_inside in = s->u ? sqi_unrolled_inside(s->u) : (sqi_inside){ .planned = NULL };
    sqi_planned *u = in.planned;
    l->gates.takes = in.takes;
    l->gates.batch = in.batch;
    if (in.budget) return sweep_again(l, s, in.budget, parts);
    if (u && u->stretch) return sweep_stretches(l, s, u, parts);
    return u ? sweep_planned(s, u, parts) : !sqi_probe_from(s->loss, NULL, parts);
}

/* State k after step i, without its gradient; false after posting. */
static bool state_of(const sq_ledger *l, const sqi_subject *s, int64_t i, int32_t k, char *room,
                     sq_gate_statistics *to)
{
    sqi_planned *u = planned_of(s);
    const sqi_node *n = sqi_node_find(s->t, s->states[i * l->n_states + k].id);
    sample x = sample_of(&l->gates, i, n->op, &n->shape, n->value);
    if (u && !take_value(&l->gates, s->t, u, k, i, room, &x)) return false;
    *to = l->gates.state ? l->gates.state[i * l->n_states + k] : statistics(s->t, &x);
    return true;
}

/* States by their names where no value has taken them; their gradients are the totals. */
static bool put_states(sq_ledger *l, const sqi_subject *s, char *room)
{
    int32_t named = l->gates.n;
    for (int64_t i = 0; i < l->steps * l->n_states; i++) {
        int32_t k = (int32_t)(i % l->n_states), gate = find(&l->gates, l->label[k].name, 0);
        bool taken = gate >= 0 && gate < named;
        if (taken || !*l->label[k].name) continue;
        sq_gate_statistics *at = place(l, s->t, l->label[k].name, i / l->n_states);
        if (!at || !state_of(l, s, i / l->n_states, k, room, at)) return false;
        at->gradient = l->norm[SQI_TOTAL][i];
    }
    return true;
}

bool sqi_gates_read(sq_ledger *l, const sqi_subject *s)
{
    sqi_planned *u = planned_of(s);
    char *room = u ? room_of(s->t, u) : NULL;
    bool ok = room || !u;
    if (ok && u && u->stretch) tell_states(l, u->plan);
    else if (ok && u) ok = put_planned(l, s->t, u, room);
    else if (ok && !l->gates.state) ok = put_steps(l, s->t);
    count_anew(&l->gates);
    ok = ok && put_states(l, s, room);
    l->gates.takes = NULL; /* it goes with the tape */
    free(room);
    return ok;
}

void sqi_gates_free(sqi_gates *g)
{
    for (int32_t i = 0; i < g->n; i++) free(g->gate[i].of);
    free(g->gate);
    free(g->state);
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
    return there ? l->gates.gate[gate].of[step]
                 : (sq_gate_statistics){ (double)NAN, (double)NAN, (double)NAN, (double)NAN };
}
