/* ledger.c -- total and immediate gradients of every state, by two sweeps in the probe lane.
 *
 * The total is an ordinary sweep. For the immediate one, what a later step sends back into a
 * declared state is dropped on its way, so each state is left with what its own step does to the
 * loss. Both leave the user's gradients alone. */
#include "core/backward_impl.h"
#include "core/norm_impl.h"
#include "core/tape_impl.h"
#include "graph/ledger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOTAL, IMMEDIATE, N_KINDS };

/* What a report says of a state; longer names are cut off. */
typedef struct state_label {
    char name[32];
    int64_t width;
} state_label;

struct sq_ledger {
    int64_t steps;
    int32_t n_states;
    double *norm[N_KINDS];  /* [T][n_states] */
    double *value[N_KINDS]; /* all values behind each other, or NULL */
    size_t *first;          /* [T][n_states]: where a state's values begin */
    state_label *label;     /* [n_states] */
};

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

static void *zeroed(sq_tape *t, size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) sq_post(t, SQ_ENOMEM, "out of memory for %zu numbers", n);
    return p;
}

/* Room for the norms, and for the values when asked. */
static bool make_room(sq_ledger *l, sq_tape *t, const sq_var *states, bool values)
{
    size_t n = (size_t)l->steps * (size_t)l->n_states, total = 0;
    l->first = zeroed(t, n, sizeof *l->first);
    for (size_t i = 0; l->first && i < n; i++) {
        l->first[i] = total;
        total += (size_t)sq_shape_size(sqi_node_find(t, states[i].id)->shape);
    }
    for (int kind = 0; kind < N_KINDS && !t->error.status; kind++) {
        l->norm[kind] = zeroed(t, n, sizeof(double));
        if (values && l->norm[kind]) l->value[kind] = zeroed(t, total, sizeof(double));
    }
    return !t->error.status;
}

/* Widths, and the names of variables where they have one; the states are those of step 0. */
static bool label_states(sq_ledger *l, sq_tape *t, const sq_var *states)
{
    l->label = zeroed(t, (size_t)l->n_states, sizeof *l->label);
    for (int32_t k = 0; l->label && l->steps > 0 && k < l->n_states; k++) {
        const sqi_node *n = sqi_node_find(t, states[k].id);
        l->label[k].width = n->shape.rank ? n->shape.dim[n->shape.rank - 1] : 1;
        (void)snprintf(l->label[k].name, sizeof l->label[k].name, "%s", n->name ? n->name : "");
    }
    return l->label != NULL;
}

/* One sweep, and what it left at every state. */
static bool take_gradients(sq_ledger *l, sq_tape *t, const sq_var *states, sq_var loss,
                           int kind)
{
    if (sqi_probe(loss, kind == IMMEDIATE)) return false;
    const sqi_arith *arith = &t->kern->of[t->dtype];
    for (int64_t i = 0; i < l->steps * l->n_states; i++) {
        const void *g = sqi_probe_grad(states[i]);
        int64_t n = sq_shape_size(sqi_node_find(t, states[i].id)->shape);
        if (!g) continue; /* zeros, which the arrays hold already */
        l->norm[kind][i] = sqi_norm(t->kern, t->dtype, n, g);
        if (l->value[kind]) arith->to_f64(n, g, l->value[kind] + l->first[i]);
    }
    return true;
}

static sq_ledger *ledger_new(sq_tape *t, const sq_var *states, int64_t steps, int32_t n_states,
                             sq_var loss, const sq_ledger_options *options)
{
    const sqi_node *n = sqi_node_of(t, loss, "the loss");
    char text[SQ_SHAPE_TEXT];
    if (!n || !check_states(t, states, steps, n_states)) return NULL;
    if (sq_shape_size(n->shape) != 1)
        return sq_post(t, SQ_ESHAPE, "the loss has shape %s, it must be one number",
                       sq_shape_text(n->shape, text)),
               NULL;
    sq_ledger *l = zeroed(t, 1, sizeof *l);
    if (!l) return NULL;
    l->steps = steps;
    l->n_states = n_states;
    sqi_list_states(t, states, steps * n_states);
    bool ok = make_room(l, t, states, options && options->values) &&
              label_states(l, t, states) &&
              take_gradients(l, t, states, loss, TOTAL) &&
              take_gradients(l, t, states, loss, IMMEDIATE);
    if (ok) return l;
    sq_ledger_free(l);
    return NULL;
}

sq_ledger *sq_ledger_of_states(const sq_var *states, int64_t steps, int32_t n_states,
                               sq_var loss, const sq_ledger_options *options)
{
    sq_tape *t = loss.tape;
    if (!sqi_begin(t, "ledger")) return NULL;
    bool sane = steps >= 0 && n_states >= 0 && (states || !steps || !n_states) &&
                (!n_states || steps <= INT32_MAX / n_states);
    if (!sane)
        return sq_post(t, SQ_ERANGE, "cannot keep %lld steps of %d states", (long long)steps,
                       (int)n_states),
               NULL;
    return ledger_new(t, states, steps, n_states, loss, options);
}

sq_ledger *sq_ledger_new(const sq_unrolled *u, sq_var loss, const sq_ledger_options *options)
{
    if (!u || !sqi_begin(sq_unrolled_tape(u), "ledger")) return NULL;
    sq_tape *t = sq_unrolled_tape(u);
    int64_t steps = sq_unrolled_steps(u);
    int32_t n = sq_unrolled_n_states(u);
    sq_var *states = zeroed(t, (size_t)steps * (size_t)n, sizeof *states);
    if (!states) return NULL;
    for (int64_t i = 0; i < steps * n; i++)
        states[i] = sq_unrolled_state(u, i / n, (int32_t)(i % n));
    sq_ledger *l = ledger_new(t, states, steps, n, loss, options);
    for (int32_t k = 0; l && k < n; k++) {
        const char *name = sq_unrolled_state_name(u, k);
        if (name && *name) (void)snprintf(l->label[k].name, sizeof l->label[k].name, "%s", name);
    }
    free(states);
    return l;
}

void sq_ledger_free(sq_ledger *l)
{
    if (!l) return;
    for (int kind = 0; kind < N_KINDS; kind++) {
        free(l->norm[kind]);
        free(l->value[kind]);
    }
    free(l->first);
    free(l->label);
    free(l);
}

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
    return norm(l, step, state, TOTAL);
}

double sq_ledger_immediate(const sq_ledger *l, int64_t step, int32_t state)
{
    return norm(l, step, state, IMMEDIATE);
}

const double *sq_ledger_total_values(const sq_ledger *l, int64_t step, int32_t state)
{
    return values(l, step, state, TOTAL);
}

const double *sq_ledger_immediate_values(const sq_ledger *l, int64_t step, int32_t state)
{
    return values(l, step, state, IMMEDIATE);
}
