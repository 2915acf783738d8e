/* flow.c -- where does a gradient die on its way back through time?
 *
 * The window is long and the loss looks at its last step only, so whatever reaches an early
 * state has come all the way back through the recurrence:
 *
 *     dL/dh_t = (dh_(t+1)/dh_t)^T ... (dh_T/dh_(T-1))^T dL/dh_T
 *
 * A ledger holds that total gradient for every step and state, and beside it the immediate one,
 * which here is zero everywhere but at the last step. */
#include "flow.h"

#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* (y_T - z_(T+1))^2 over one window of T values that starts at z. */
const sq_unrolled *flow_record(model *m, const lesson *l, int64_t steps, sq_var *loss)
{
    const double *z = l->z + l->s->n - 1 - steps;
    sq_tape_reset(m->tape);
    const sq_unrolled *u = model_unroll(m, z, steps, 1, SQ_OUTPUTS_LAST);
    *loss = sq_mse(model_forecast(m, u), sq_input(m->tape, sq_mat(1, 1), z + steps));
    return u;
}

static void copy_ledger(flow *f, const sq_ledger *ledger, int k)
{
    f->total[k] = take((size_t)f->steps, sizeof(double));
    f->immediate[k] = take((size_t)f->steps, sizeof(double));
    for (int64_t t = 0; t < f->steps; t++) {
        f->total[k][t] = sq_ledger_total(ledger, t, k);
        f->immediate[k][t] = sq_ledger_immediate(ledger, t, k);
    }
}

flow flow_of(model *m, const lesson *l, int64_t steps, const char *title, const char *moment)
{
    flow f = { .moment = moment, .steps = steps, .first = l->s->n - 1 - steps };
    snprintf(f.title, sizeof f.title, "%s", title);

    sq_var loss;
    const sq_unrolled *u = flow_record(m, l, steps, &loss);
    sq_ledger *ledger = sq_ledger_new(u, loss, NULL);
    if (!ledger) die("%s", sq_message(m->tape));

    f.n_states = sq_unrolled_n_states(u);
    for (int k = 0; k < f.n_states; k++) {
        snprintf(f.state[k], sizeof f.state[k], "%s", sq_unrolled_state_name(u, k));
        copy_ledger(&f, ledger, k);
    }
    sq_ledger_free(ledger);
    return f;
}

void flow_free(flow *f)
{
    for (int k = 0; k < f->n_states; k++) {
        free(f->total[k]);
        free(f->immediate[k]);
    }
}

double flow_total(const flow *f, int state, int64_t back)
{
    return f->total[state][f->steps - 1 - back];
}

int64_t flow_reach(const flow *f, int state, double share)
{
    double least = share * flow_total(f, state, 0);
    for (int64_t back = f->steps - 1; back >= 0; back--)
        if (flow_total(f, state, back) >= least) return back + 1 < f->steps ? back + 1 : -1;
    return 0;
}

double flow_decay(const flow *f, int state)
{
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (int64_t back = 0; back < f->steps; back++) {
        double v = log(flow_total(f, state, back)), b = (double)back;
        if (!isfinite(v)) break;
        n++, x += b, y += v, xx += b * b, xy += b * v;
    }
    return n < 2 ? 1 : exp((n * xy - x * y) / (n * xx - x * x));
}
