/* ragged.h -- a small ragged batch, and numbers for it: x, initial states, and weights of a loss. */
#ifndef SQT_RAGGED_H
#define SQT_RAGGED_H

#include "tests/support/one_cell.h"

/* Outputs are H wide; states at most W, in arrays of W columns of which some are not used. */
enum { T = 9, B = 5, I = 3, H = 4, W = 6, STATES = ANY_CELL_STATES };
static const int32_t lengths[B] = { 4, 9, 0, 1, 6 };

typedef struct data {
    double x[T * B * I], r[T * B * H], q[STATES][B * W], s0[STATES][B * W];
} data;

static inline void draw(data *d)
{
    fill(d->x, COUNT(d->x), 1, -1, 1);
    fill(d->r, COUNT(d->r), 2, -1, 1);
    fill(d->q[0], STATES * B * W, 3, -1, 1);
    fill(d->s0[0], STATES * B * W, 4, -1, 1);
}

static inline void draw_flags(int32_t *f, uint64_t seed, int of)
{
    rng r = { seed };
    for (int i = 0; i < T * B; i++) f[i] = rng_below(&r, of) == 0 ? 3 : 0;
}

/* A state out of an array of W columns, and into one. */
static inline sq_var narrow(const sq_cell *c, int k, sq_var v)
{
    return sq_slice(v, 1, 0, c->width[k]);
}

static inline sq_var wide(sq_var v) { return sq_pad(v, 1, 0, W - sq_shape_of(v).dim[1]); }

/* An LSTM, and what tests of one cell need. */
typedef struct one {
    sq_params *p;
    one_cell c;
    data d;
} one;

static inline void one_new(one *o)
{
    draw(&o->d);
    o->p = sq_params_new(SQ_F64);
    one_cell_new(&o->c, o->p, 3, I, H, 7);
}

static inline void one_free(one *o) { sq_params_free(o->p); }

#endif
