/* ledger_reach.c -- which loss reaches how far back: |dL_i/dh_k| for every loss and every step.
 *
 * Every loss is swept from. Where the states are those of a plan these sweeps only bring what the unroll
 * is sent, and many losses go back through it together (plan_fan.c); elsewhere each goes all the way by
 * itself. */
#include "core/norm_impl.h"
#include "graph/ledger_impl.h"

#include <stdio.h>
#include <stdlib.h>

bool sqi_reach_count(sq_ledger *l, const sqi_subject *s)
{
    char what[32];
    for (int64_t i = 0; i < s->options.n_losses; i++) {
        (void)snprintf(what, sizeof what, "loss %lld", (long long)i);
        const sqi_node *n = sqi_node_of(s->t, s->options.losses[i], what);
        if (!n) return false;
        l->n_losses += sq_shape_size(n->shape);
    }
    size_t row = (size_t)l->steps * (size_t)l->n_states;
    if (row && (size_t)l->n_losses > SIZE_MAX / 16 / row)
        return sq_post(s->t, SQ_ENOMEM, "out of memory for %lld losses",
                       (long long)l->n_losses);
    l->reach = sqi_ledger_take(s->t, (size_t)l->n_losses * row, sizeof *l->reach);
    return l->reach != NULL;
}

/* ---- Together ------------------------------------------------------------------------------ */

/* Fills in rows of the table as losses go back. */
typedef struct filler {
    sqi_fan_look look; /* first: what is shown gradients */
    sq_ledger *l;
    const sq_tape *t;
    int64_t first; /* step of the unroll that the ledger's first entry is */
} filler;

static void see_state(sqi_fan_look *look, int64_t loss, int32_t k, int64_t step,
                      const void *grad)
{
    const filler *f = (const filler *)look;
    const sq_ledger *l = f->l;
    if (step < f->first || step - f->first >= l->steps) return;
    int64_t i = (step - f->first) * l->n_states + k;
    l->reach[loss * l->steps * l->n_states + i] =
        sqi_norm(f->t->kern, f->t->dtype, (int64_t)(l->first[i + 1] - l->first[i]), grad);
}

/* The unroll whose states the ledger has, from step *first on, if losses can go back through it
 * together; or NULL. */
static sqi_planned *planned_of(const sq_ledger *l, const sqi_subject *s, int64_t *first)
{
    int64_t n = l->steps * l->n_states;
    const sqi_segment *g = n ? sqi_segment_find(s->t, sqi_ordinal(s->states[0].id)) : NULL;
    if (!g || !g->span || g->span->reverse != sqi_plan_reverse) return NULL;
    sqi_planned *u = (sqi_planned *)g->span;
    *first = sqi_part_step(sqi_node_find(s->t, s->states[0].id));
    bool all = !u->shrunk && u->plan->n_states == l->n_states;
    for (int64_t i = 0; all && i < n; i++) {
        const sqi_node *state = sqi_node_find(s->t, s->states[i].id);
        all = sqi_ordinal(s->states[i].id) == g->ordinal && state->op == &sqi_op_part &&
              (int64_t)state->source == i % l->n_states &&
              sqi_part_step(state) == *first + i / l->n_states;
    }
    return all ? u : NULL;
}

/* NULL where every loss has a sweep, or after posting. */
static sqi_fan *open_fan(const sq_ledger *l, const sqi_subject *s, filler *f)
{
    sqi_planned *u = s->options.far_steps ? NULL : planned_of(l, s, &f->first);
    int64_t copies = u ? sqi_fan_copies(u) : 0;
    if (copies > l->n_losses) copies = l->n_losses;
    return copies > 1 ? sqi_fan_open(s->t, u, copies, &f->look) : NULL;
}

/* ---- One after the other ------------------------------------------------------------------- */

static bool sweep_element(sq_ledger *l, const sqi_subject *s, sq_var loss, const double *seed,
                          int64_t row, sqi_fan *fan)
{
    sqi_parts *parts = l->weights ? sqi_by_step_far(l->weights) : NULL;
    sq_status status = sqi_probe_from(loss, seed, parts);
    if (parts) sqi_by_step_swept(l->weights);
    if (status || fan) return !status && sqi_fan_swept(fan, row);
    sqi_read_states(l, s, SQI_LANE_PROBE, l->reach + row * l->steps * l->n_states, NULL);
    return true;
}

/* Element by element: the seed is a unit vector. */
static bool sweep_loss(sq_ledger *l, const sqi_subject *s, sq_var loss, int64_t *row,
                       sqi_fan *fan)
{
    int64_t n = sq_shape_size(sqi_node_find(s->t, loss.id)->shape);
    double *seed = sqi_ledger_take(s->t, (size_t)n, sizeof *seed);
    bool ok = seed != NULL;
    for (int64_t i = 0; ok && i < n; i++) {
        seed[i] = 1;
        ok = sweep_element(l, s, loss, seed, (*row)++, fan);
        seed[i] = 0;
    }
    free(seed);
    return ok;
}

bool sqi_reach_fill(sq_ledger *l, const sqi_subject *s)
{
    filler f = { .look = { see_state }, .l = l, .t = s->t };
    sqi_fan *fan = open_fan(l, s, &f);
    int64_t row = 0;
    for (int64_t i = 0; i < s->options.n_losses && !s->t->error.status; i++)
        if (!sweep_loss(l, s, s->options.losses[i], &row, fan)) break;
    sqi_fan_close(fan);
    return !s->t->error.status;
}
