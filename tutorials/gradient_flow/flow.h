/* flow.h -- the gradient of one loss, followed back through time.
 *
 * A flow is a copy of numbers: it outlives the model and the tape they came from. `back` counts
 * steps from the one that carries the loss: 0 is that step itself. */
#ifndef FLOW_H
#define FLOW_H

#include "train.h"

enum { MAX_STATES = 2 };

/* |dL/dh_t| for the steps 0..steps-1 of one window; the loss is on the last step only. */
typedef struct flow {
    char title[24];       /* "LSTM" */
    const char *moment;   /* "trained" or "initial": when it was measured */
    int64_t steps, first; /* first: index in the series of step 0 */
    int n_states;
    char state[MAX_STATES][8]; /* "h", "c" */
    double *total[MAX_STATES], *immediate[MAX_STATES];
} flow;

/* Records the window that ends just before the series' last value, and the squared error of the
 * forecast of that value. */
const sq_unrolled *flow_record(model *m, const lesson *l, int64_t steps, sq_var *loss);

/* Follows the gradient through the window that ends just before the series' last value, which
 * is the target. */
flow flow_of(model *m, const lesson *l, int64_t steps, const char *title, const char *moment);
void flow_free(flow *f);

/* |dL/dh| `back` steps before the last. */
double flow_total(const flow *f, int state, int64_t back);

/* How far back until the total gradient falls below `share` of its value at the last step and
 * stays there; -1 when it never does in this window. */
int64_t flow_reach(const flow *f, int state, double share);

/* The mean factor per step back, by least squares of log|dL/dh| over the steps; 1 keeps all. */
double flow_decay(const flow *f, int state);

#endif
