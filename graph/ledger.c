/* ledger.c -- total and immediate gradients of every state, by two sweeps in the probe lane.
 *
 * The total is an ordinary sweep. For the immediate one, what a later step sends back into a
 * declared state is dropped on its way, so each state is left with what its own step does to the
 * loss. The sweep for totals also brings what is told of gates and, where norms will do, of
 * weights. All leave the user's gradients alone, unless the ledger is asked to be the sweep of the
 * training as well: then totals are read from that. */
#include "core/norm_impl.h"
#include "graph/ledger_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* States of one step after the other, each with a gradient. */
static bool check_states(sq_tape *t, const sq_var *states, int64_t steps, int32_t n_states)
{
    int64_t before = -1, step = -1;
    for (int64_t i = 0; i < steps * n_states; i++) {
        const sqi_node *s = sqi_node_of(t, states[i], "a state");
        if (!s) return false;
        if (i % n_states == 0) before = step;
        step = sqi_step_of(sqi_segment_find(t, sqi_ordinal(states[i].id)), s);
        if (step <= before)
            return sq_post(
                t, SQ_EVALUE,
                "state %d of entry %lld does not lie in a later step than those before it",
                (int)(i % n_states), (long long)(i / n_states));
        if (!(s->flags & SQI_NEEDS))
            return sq_post(t, SQ_EGRAD,
                           "no leaf and no weight reaches the states: mark the initial "
                           "one with sq_keep_grad before its first use");
    }
    return true;
}

void *sqi_ledger_take(sq_tape *t, size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) sq_post(t, SQ_ENOMEM, "out of memory for %zu numbers", n);
    return p;
}

/* Room for the norms, and for the values when asked. */
static bool make_room(sq_ledger *l, const sqi_subject *s)
{
    size_t n = (size_t)l->steps * (size_t)l->n_states, total = 0;
    l->first = sqi_ledger_take(s->t, n + 1, sizeof *l->first);
    for (size_t i = 0; l->first && i < n; i++) {
        l->first[i] = total;
        total += (size_t)sq_shape_size(sqi_node_find(s->t, s->states[i].id)->shape);
        l->first[i + 1] = total;
    }
    for (int kind = 0; kind < SQI_N_KINDS && !s->t->error.status; kind++) {
        l->norm[kind] = sqi_ledger_take(s->t, n, sizeof(double));
        if (s->options.values && l->norm[kind])
            l->value[kind] = sqi_ledger_take(s->t, total, sizeof(double));
    }
    return !s->t->error.status;
}

/* Widths, and the names that the unroll or, where it has none, variables have; the states are those
 * of step 0. */
static bool label_states(sq_ledger *l, const sqi_subject *s)
{
    l->label = sqi_ledger_take(s->t, (size_t)l->n_states, sizeof *l->label);
    for (int32_t k = 0; l->label && k < l->n_states; k++) {
        const sqi_node *n = l->steps ? sqi_node_find(s->t, s->states[k].id) : NULL;
        const char *name = sq_unrolled_state_name(s->u, k);
        if (!*name && n && n->name) name = n->name;
        if (n) l->label[k].width = n->shape.rank ? n->shape.dim[n->shape.rank - 1] : 1;
        (void)snprintf(l->label[k].name, sizeof l->label[k].name, "%s", name);
    }
    return l->label != NULL;
}

/* Which steps of the tape belong to which entry: the steps of an unroll follow each other; by hand,
 * and where the steps of a cell begin steps themselves, the last state of an entry tells. */
static bool find_entries(sq_ledger *l, const sqi_subject *s)
{
    sqi_entries *e = &l->entries;
    sqi_inside in = s->u ? sqi_unrolled_inside(s->u) : (sqi_inside){ .nested = true };
    if (in.nested && !l->n_states) return true;
    e->last = sqi_ledger_take(s->t, (size_t)l->steps, sizeof *e->last);
    if (!e->last) return false;
    for (int64_t i = 0; i < l->steps; i++) {
        if (!in.nested) e->last[i] = in.first + i;
        for (int32_t k = 0; in.nested && k < l->n_states; k++) {
            sq_var v = s->states[i * l->n_states + k];
            const sqi_segment *g = sqi_segment_find(s->t, sqi_ordinal(v.id));
            int64_t step = sqi_step_of(g, sqi_node_find(s->t, v.id));
            if (!k || step > e->last[i]) e->last[i] = step;
        }
    }
    e->n = l->steps;
    e->first = s->u ? in.first : e->n ? e->last[0] : 0;
    return true;
}

void sqi_read_states(const sq_ledger *l, const sqi_subject *s, int lane, double *norm,
                     double *values)
{
    const sqi_arith *arith = &s->t->kern->of[s->t->dtype];
    for (int64_t i = 0; i < l->steps * l->n_states; i++) {
        const void *g = sqi_swept_grad(s->states[i], lane);
        int64_t n = (int64_t)(l->first[i + 1] - l->first[i]);
        if (!g) continue; /* zeros, which the arrays hold already */
        norm[i] = sqi_norm(s->t->kern, s->t->dtype, n, g);
        if (values) arith->to_f64(n, g, values + l->first[i]);
    }
}

/* ---- The sweeps ---------------------------------------------------------------------------- */

/* Whether the totals, and norms of weights, can be read from the training's own sweep. */
static bool rides_on_backward(const sqi_subject *s)
{
    const sq_ledger_options *o = &s->options;
    bool keeps = s->u && !sq_unroll_memory(s->u).budgeted;
    return o->backward && keeps && !o->gates && !o->far_steps && !o->contribution;
}

/* sq_backward; *told: nothing is left to be found out about totals. */
static bool sweep_backward(sq_ledger *l, const sqi_subject *s, bool *told)
{
    sqi_parts *parts =
        l->weights && rides_on_backward(s) ? sqi_by_step_first(l->weights) : NULL;
    sq_status status = parts ? sqi_backward_parts(s->loss, parts) : sq_backward(s->loss);
    if (parts) sqi_by_step_swept(l->weights);
    *told = rides_on_backward(s) && !(parts && parts->missed);
    if (*told) sqi_read_states(l, s, SQI_LANE_USER, l->norm[SQI_TOTAL], l->value[SQI_TOTAL]);
    return !status;
}

static bool sweep_total(sq_ledger *l, const sqi_subject *s)
{
    bool told = false;
    if (s->options.backward && (!sweep_backward(l, s, &told) || told)) return told;
    sqi_parts *parts = l->weights ? sqi_by_step_first(l->weights) : NULL;
    bool ok =
        s->options.gates ? sqi_gates_sweep(l, s, parts) : !sqi_probe_from(s->loss, NULL, parts);
    if (!ok) return false;
    if (parts) sqi_by_step_swept(l->weights);
    sqi_read_states(l, s, SQI_LANE_PROBE, l->norm[SQI_TOTAL], l->value[SQI_TOTAL]);
    return !s->options.gates || sqi_gates_read(l, s);
}

static bool sweep_immediate(sq_ledger *l, const sqi_subject *s)
{
    if (sqi_probe(s->loss, true)) return false;
    sqi_read_states(l, s, SQI_LANE_PROBE, l->norm[SQI_IMMEDIATE], l->value[SQI_IMMEDIATE]);
    return true;
}

/* ---- A ledger ------------------------------------------------------------------------------ */

static bool check_options(sq_tape *t, const sq_ledger_options *o)
{
    bool weights = o->weights || o->contribution;
    if (o->far_steps < 0 || o->n_losses < 0 || (o->n_losses && !o->losses))
        return sq_post(t, SQ_ERANGE, "cannot look at %lld losses and %lld steps back",
                       (long long)o->n_losses, (long long)o->far_steps);
    return !o->far_steps || weights ||
           sq_post(t, SQ_EVALUE, "far_steps is about weights: ask for weights, too");
}

static bool check(const sqi_subject *s, int64_t steps, int32_t n_states)
{
    const sqi_node *n = sqi_node_of(s->t, s->loss, "the loss");
    char text[SQ_SHAPE_TEXT];
    if (!n || !check_options(s->t, &s->options)) return false;
    if (!check_states(s->t, s->states, steps, n_states)) return false;
    return sq_shape_size(n->shape) == 1 ||
           sq_post(s->t, SQ_ESHAPE, "the loss has shape %s, it must be one number",
                   sq_shape_text(n->shape, text));
}

static bool fill(sq_ledger *l, const sqi_subject *s)
{
    bool weights = s->options.weights || s->options.contribution;
    bool ok = make_room(l, s) && label_states(l, s) && find_entries(l, s) &&
              sqi_reach_count(l, s) && (!weights || sqi_by_step_new(l, s)) &&
              sweep_total(l, s) && sweep_immediate(l, s) &&
              (!weights || sqi_by_step_collect(l, s)) && sqi_reach_fill(l, s);
    if (ok && weights) sqi_by_step_finish(l->weights);
    return ok;
}

static sq_ledger *ledger_new(const sqi_subject *s, int64_t steps, int32_t n_states)
{
    if (!check(s, steps, n_states)) return NULL;
    sq_ledger *l = sqi_ledger_take(s->t, 1, sizeof *l);
    if (!l) return NULL;
    l->steps = steps;
    l->n_states = n_states;
    sqi_list_states(s->t, s->states, steps * n_states);
    if (fill(l, s)) return l;
    sq_ledger_free(l);
    return NULL;
}

sq_ledger *sq_ledger_of_states(const sq_var *states, int64_t steps, int32_t n_states,
                               sq_var loss, const sq_ledger_options *options)
{
    sqi_subject s = { .t = loss.tape, .states = states, .loss = loss };
    if (options) s.options = *options;
    if (!sqi_begin(s.t, "ledger") || !sqi_has_gradients(s.t)) return NULL;
    bool sane = steps >= 0 && n_states >= 0 && (states || !steps || !n_states) &&
                (!n_states || steps <= INT32_MAX / n_states);
    if (!sane)
        return sq_post(s.t, SQ_ERANGE, "cannot keep %lld steps of %d states", (long long)steps,
                       (int)n_states),
               NULL;
    return ledger_new(&s, steps, n_states);
}

sq_ledger *sq_ledger_new(const sq_unrolled *u, sq_var loss, const sq_ledger_options *options)
{
    sqi_subject s = { .t = sq_unrolled_tape(u), .u = u, .loss = loss };
    if (options) s.options = *options;
    if (!u || !sqi_begin(s.t, "ledger") || !sqi_has_gradients(s.t)) return NULL;
    int64_t steps = sq_unrolled_steps(u);
    int32_t n = sq_unrolled_n_states(u);
    sq_var *states = sqi_ledger_take(s.t, (size_t)steps * (size_t)n, sizeof *states);
    if (!states) return NULL;
    for (int64_t i = 0; i < steps * n; i++)
        states[i] = sq_unrolled_state(u, i / n, (int32_t)(i % n));
    s.states = states;
    sq_ledger *l = ledger_new(&s, steps, n);
    free(states);
    return l;
}

void sq_ledger_free(sq_ledger *l)
{
    if (!l) return;
    for (int kind = 0; kind < SQI_N_KINDS; kind++) {
        free(l->norm[kind]);
        free(l->value[kind]);
    }
    free(l->first);
    free(l->label);
    free(l->entries.last);
    free(l->reach);
    sqi_by_step_free(l->weights);
    sqi_gates_free(&l->gates);
    free(l);
}

/* ---- Reading it ---------------------------------------------------------------------------- */

int64_t sq_ledger_steps(const sq_ledger *l) { return l ? l->steps : 0; }
int32_t sq_ledger_n_states(const sq_ledger *l) { return l ? l->n_states : 0; }

const char *sq_ledger_state_name(const sq_ledger *l, int32_t state)
{
    return l && state >= 0 && state < l->n_states ? l->label[state].name : "";
}

int64_t sq_ledger_width(const sq_ledger *l, int32_t state)
{
    return l && state >= 0 && state < l->n_states ? l->label[state].width : 0;
}

/* Where (step, state) lies, or -1. */
static int64_t position(const sq_ledger *l, int64_t step, int32_t state)
{
    bool there = l && step >= 0 && step < l->steps && state >= 0 && state < l->n_states;
    return there ? step * l->n_states + state : -1;
}

static double norm(const sq_ledger *l, int64_t step, int32_t state, int kind)
{
    int64_t i = position(l, step, state);
    return i < 0 ? (double)NAN : l->norm[kind][i];
}

static const double *values(const sq_ledger *l, int64_t step, int32_t state, int kind)
{
    int64_t i = position(l, step, state);
    return i < 0 || !l->value[kind] ? NULL : l->value[kind] + l->first[i];
}

double sq_ledger_total(const sq_ledger *l, int64_t step, int32_t state)
{
    return norm(l, step, state, SQI_TOTAL);
}

double sq_ledger_immediate(const sq_ledger *l, int64_t step, int32_t state)
{
    return norm(l, step, state, SQI_IMMEDIATE);
}

const double *sq_ledger_total_values(const sq_ledger *l, int64_t step, int32_t state)
{
    return values(l, step, state, SQI_TOTAL);
}

const double *sq_ledger_immediate_values(const sq_ledger *l, int64_t step, int32_t state)
{
    return values(l, step, state, SQI_IMMEDIATE);
}

/* |total| of every stride-th number from `from` on, n of them; NaN where that is out of range. */
static double part_norm(const sq_ledger *l, int64_t step, int32_t state, int64_t from,
                        int64_t stride, int64_t n)
{
    const double *v = values(l, step, state, SQI_TOTAL);
    double largest = 0, sum = 0;
    if (!v) return (double)NAN;
    for (int64_t i = 0; i < n; i++) {
        double x = fabs(v[from + i * stride]);
        if (isnan(x)) return x;
        largest = x > largest ? x : largest;
    }
    if (largest == 0 || isinf(largest)) return largest;
    for (int64_t i = 0; i < n; i++) {
        double x = v[from + i * stride] / largest;
        sum += x * x;
    }
    return largest * sqrt(sum);
}

/* Rows of a state: numbers by width. */
static int64_t rows_of(const sq_ledger *l, int64_t step, int32_t state)
{
    int64_t i = position(l, step, state), width = sq_ledger_width(l, state);
    return i < 0 || !width ? 0 : (int64_t)(l->first[i + 1] - l->first[i]) / width;
}

double sq_ledger_unit(const sq_ledger *l, int64_t step, int32_t state, int64_t unit)
{
    int64_t width = sq_ledger_width(l, state);
    if (unit < 0 || unit >= width) return (double)NAN;
    return part_norm(l, step, state, unit, width, rows_of(l, step, state));
}

double sq_ledger_row(const sq_ledger *l, int64_t step, int32_t state, int64_t row)
{
    int64_t width = sq_ledger_width(l, state);
    if (row < 0 || row >= rows_of(l, step, state)) return (double)NAN;
    return part_norm(l, step, state, row * width, 1, width);
}

double sq_ledger_cosine(const sq_ledger *l, int64_t step, int32_t state)
{
    const double *a = values(l, step, state, SQI_TOTAL);
    const double *b = values(l, step, state, SQI_IMMEDIATE);
    double na = norm(l, step, state, SQI_TOTAL), nb = norm(l, step, state, SQI_IMMEDIATE);
    int64_t i = position(l, step, state);
    double sum = 0;
    if (!a || !b) return (double)NAN;
    if (na == 0 || nb == 0) return 0;
    for (size_t j = 0; j < l->first[i + 1] - l->first[i]; j++) sum += (a[j] / na) * (b[j] / nb);
    return sum;
}

int64_t sq_ledger_n_losses(const sq_ledger *l) { return l ? l->n_losses : 0; }

double sq_ledger_reach(const sq_ledger *l, int64_t loss, int64_t step, int32_t state)
{
    int64_t i = position(l, step, state);
    if (i < 0 || loss < 0 || loss >= l->n_losses) return (double)NAN;
    return l->reach[loss * l->steps * l->n_states + i];
}
