/* score.c -- one pass over a part of the text, keeping nothing but the state.
 *
 * The pass is sequential by nature, a single row; but only the recurrence has to go step by step.
 * What surrounds it, the input product and the readout, is done for a window of characters at
 * once. Where one window ends and the next begins makes no difference: the state goes on. */
#include "score.h"

#include "stop.h"

#include "../common/say.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW = 1000 };

/* The sum of the losses of ids[1 .. n] after ids[0 .. n-1]; carries the state on. */
static double score_window(const model *m, sq_tape *t, const int32_t *ids, int64_t n,
                           sq_var *state)
{
    sq_var x = model_input(m, t, ids, n, 1);
    const sq_unrolled *u = sq_unroll(t, &m->cell, x, state, NULL);
    sq_var z = model_scores(m, t, sq_unrolled_outputs(u));
    double sum = sq_item(sq_cross_entropy(z, ids + 1, NULL, SQ_SUM));
    sq_unrolled_last(u, state);
    if (sq_cut(t, 0, state, m->cell.n_states)) die("validation: %s", sq_message(t));
    return sum;
}

double score_text(const model *m, const options *o, const text *s, int64_t at, int64_t n)
{
    sq_tape *t = model_tape(m, o, true);
    sq_var *state = take((size_t)m->cell.n_states, sizeof *state);
    int32_t ids[WINDOW + 1];
    double sum = 0;
    for (int64_t i = 0; i < n - 1 && !stop_signal(); i += WINDOW) {
        int64_t steps = n - 1 - i < WINDOW ? n - 1 - i : WINDOW;
        text_part(s, at + i, steps + 1, ids);
        sum += score_window(m, t, ids, steps, state);
    }
    free(state);
    sq_tape_free(t);
    return stop_signal() ? nan("") : sum / (double)(n - 1);
}
