/* sample.c -- one frame in, 88 coins tossed, and back in they go.
 *
 * The tape is one for inference: it forgets every step as soon as the next has begun. */
#include "sample.h"

#include "../common/say.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_STATES = 2 };

/* Reads a frame; scores of the next one. */
static void see(const model *m, sq_tape *t, sq_var *state, const frame *f, double *z)
{
    float x[KEYS];
    for (int k = 0; k < KEYS; k++) x[k] = f->down[k];
    sq_begin_step(t);
    sq_var h = m->cell.step(t, m->cell.self, sq_input(t, sq_mat(1, KEYS), x), state);
    if (sq_copy_f64(model_scores(m, t, h), z)) die("%s", sq_message(t));
}

song sample(const model *m, const song *from, const sample_options *o, int64_t *given)
{
    song s = { 0 };
    double z[KEYS];
    sq_var state[MAX_STATES];
    sq_random coins = sq_random_stream((uint64_t)o->seed, 0, 0, 0);
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    sq_tape_set_inference(t, true);
    for (int k = 0; k < m->cell.n_states; k++) state[k] = sq_zeros(t, sq_mat(1, m->hidden));
    *given = from->n < o->prime ? from->n : o->prime;
    for (int64_t i = 0; i < *given + o->length; i++) {
        frame *f = song_add(&s);
        if (i < *given) *f = from->frame[i];
        for (int k = 0; i >= *given && k < KEYS; k++) {
            double p = 1 / (1 + exp(-z[k] / o->temperature));
            f->down[k] = sq_random_uniform(coins, (uint64_t)i, (uint64_t)k) < p;
        }
        see(m, t, state, f, z);
    }
    sq_tape_free(t);
    return s;
}
