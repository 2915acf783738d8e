/* clockwork.c -- the clockwork RNN (Koutnik, Greff, Gomez & Schmidhuber 2014).
 *
 * The units are shared out to modules, each with a period. A module moves at the steps that its
 * period divides and keeps its state at all others; it sees itself and the slower ones. Which
 * step it is must not be asked, for that would be control flow: every module counts the steps
 * since it last moved, in a state that is as ordinary as h. The counts are small whole numbers,
 * so they are exact, and a row that is reset starts its clock anew. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "ops/ops.h"

#include <stdio.h>

enum { LONGEST = 1 << 22 }; /* up to here halves are exact in single precision */

/* Module k's units:  count_k > 1/2 ? h_k : tanh(x W_k + b_k + [h_k .. h_g] U_k). Counts are
 * compared halfway between whole numbers, where the choice has a derivative: 0. */
static sq_var moved(sq_tape *t, const sq_clockwork *w, sq_var x, sq_var h, sq_var wait,
                    int32_t k)
{
    int64_t hidden = w->width[0], n = hidden / w->modules, start = k * n;
    sq_var slower = sq_slice(h, 1, start, hidden - start);
    sq_var next = sq_tanh(sqi_gate_sum(t, x, w->W[k], w->b[k], slower, w->U[k]));
    return sq_select(sq_slice(wait, 1, k, 1), sq_slice(h, 1, start, n), next);
}

/* count_k + 1, or 0 when that reaches the period. */
static sq_var counted(sq_tape *t, sq_var count, int64_t k, int64_t period)
{
    sq_var next = sq_add_scalar(sq_slice(count, 1, k, 1), 1);
    return sq_select(sq_rsub_scalar(next, (double)period - .5), next, sq_constant(t, 0));
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_clockwork *w = self;
    sq_var h[SQ_CLOCKWORK_MODULES], count[SQ_CLOCKWORK_MODULES];
    sq_var wait = sq_add_scalar(state[1], -.5);
    for (int32_t k = 0; k < w->modules; k++) {
        h[k] = moved(t, w, x, state[0], wait, k);
        count[k] = counted(t, state[1], k, w->period[k]);
    }
    state[1] = sq_concat(count, w->modules, 1);
    return state[0] = sq_concat(h, w->modules, 1);
}

/* False when there can be no such clockwork (posted). */
static bool sane(sq_params *p, int64_t hidden, const int64_t *period, int32_t n)
{
    if (n < 1 || n > SQ_CLOCKWORK_MODULES)
        return sq_params_post(p, SQ_EVALUE, "clockwork: %d modules are not 1 to %d", (int)n,
                              SQ_CLOCKWORK_MODULES);
    for (int32_t k = 0; k < n; k++)
        if (period[k] < (k ? period[k - 1] : 1) || period[k] > LONGEST)
            return sq_params_post(p, SQ_EVALUE,
                                  "clockwork: period %lld of module %d: periods are 1 to %d "
                                  "and do not fall",
                                  (long long)period[k], (int)k, LONGEST);
    return hidden % n == 0 ||
           sq_params_post(p, SQ_ESHAPE,
                          "clockwork: %lld units cannot be shared out evenly to %d modules",
                          (long long)hidden, (int)n);
}

sq_status sq_clockwork_init(sq_clockwork *w, sq_params *p, const char *prefix, int64_t in,
                            int64_t hidden, const int64_t *periods, int32_t n, uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_clockwork){ .modules = 1, .period = { 1 }, .width = { hidden, 1 } };
    if (!sane(p, hidden, periods, n)) return sq_params_status(p);
    w->modules = n;
    w->width[1] = n;
    for (int32_t k = 0; k < n; k++) {
        char name[16];
        int64_t units = hidden / n;
        w->period[k] = periods[k];
        (void)snprintf(name, sizeof name, "W_%d", (int)k);
        w->W[k] = sqi_cell_weight(&to, name, sq_mat(in, units));
        name[0] = 'b';
        w->b[k] = sqi_cell_weight(&to, name, sq_vec(units));
        name[0] = 'U';
        w->U[k] = sqi_cell_weight(&to, name, sq_mat(hidden - k * units, units));
    }
    return sq_params_status(p);
}

sq_cell sq_clockwork_cell(const sq_clockwork *w)
{
    static const char *const names[] = { "h", "count" };
    return (sq_cell){ "clockwork", 2, w->width, names, step, w };
}
