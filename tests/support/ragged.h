/* ragged.h -- a small ragged batch, and numbers for it: x, initial states, and weights of a loss. */
#ifndef SQT_RAGGED_H
#define SQT_RAGGED_H

#include "tests/support/every_cell.h"

enum { T = 9, B = 5, I = 3, H = 4, STATES = 3 };
static const int32_t lengths[B] = { 4, 9, 0, 1, 6 };

typedef struct data {
    double x[T * B * I], r[T * B * H], q[STATES][B * H], s0[STATES][B * H];
} data;

static inline void draw(data *d)
{
    fill(d->x, COUNT(d->x), 1, -1, 1);
    fill(d->r, COUNT(d->r), 2, -1, 1);
    fill(d->q[0], STATES * B * H, 3, -1, 1);
    fill(d->s0[0], STATES * B * H, 4, -1, 1);
}

static inline void draw_flags(int32_t *f, uint64_t seed, int of)
{
    rng r = { seed };
    for (int i = 0; i < T * B; i++) f[i] = rng_below(&r, of) == 0 ? 3 : 0;
}

/* An LSTM, and what tests of one cell need. */
typedef struct one {
    sq_params *p;
    every_cell c;
    data d;
} one;

static inline void one_new(one *o)
{
    draw(&o->d);
    o->p = sq_params_new(SQ_F64);
    every_cell_new(&o->c, o->p, 3, I, H, 7);
}

static inline void one_free(one *o) { sq_params_free(o->p); }

#endif
