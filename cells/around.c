/* around.c -- dropout and zoneout as cells around a cell: each has the states of the cell within,
 * and a step that calls the step within. */
#include "cells/around.h"
#include "cells/cells_impl.h"
#include "core/tape_impl.h"
#include "ops/ops.h"

/* The cell within, under another step. */
static sq_cell wrapped(sq_cell cell, sq_step_fn *step, const void *self)
{
    cell.step = step;
    cell.self = self;
    return cell;
}

static sq_var dropout_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_dropped *d = self;
    /* y, h' = f(x * m_in, h * m_rec),     y * m_out */
    x = sqi_dropped(x, d->input, d->mask);
    if (d->cell.n_states > 0) state[0] = sqi_dropped(state[0], d->recurrent, d->mask);
    return sqi_dropped(d->cell.step(t, d->cell.self, x, state), d->output, d->mask);
}

sq_cell sq_dropout_cell(const sq_dropped *d) { return wrapped(d->cell, dropout_step, d); }

/* m * s + (1 - m) * next, or its mean */
static sq_var zoned(const sq_zoned *z, sq_var s, sq_var next, double rate)
{
    return rate == 0 ? next : sq_zoneout(s, next, rate, !z->expected);
}

static sq_var zoneout_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_zoned *z = self;
    sq_var old[SQ_ZONEOUT_STATES];
    int32_t n = z->cell.n_states;
    if (n < 0 || n > SQ_ZONEOUT_STATES) {
        if (sqi_begin(t, "zoneout"))
            sq_post(t, SQ_EVALUE, "a cell of %d states; it goes around cells of up to %d",
                    (int)n, SQ_ZONEOUT_STATES);
        return (sq_var){ 0 };
    }
    for (int32_t k = 0; k < n; k++) old[k] = state[k];
    sq_var y = z->cell.step(t, z->cell.self, x, state);
    int32_t shown = 0; /* the state that is the output, or n */
    while (shown < n && (!y.id || y.id != state[shown].id)) shown++;
    for (int32_t k = 0; k < n; k++)
        state[k] = zoned(z, old[k], state[k], k ? z->others : z->first);
    return shown < n ? state[shown] : y;
}

sq_cell sq_zoneout_cell(const sq_zoned *z) { return wrapped(z->cell, zoneout_step, z); }
