/* stream_world.h -- a training that can be interrupted, in memory: what it is fed, saved, loaded and compared.
 *
 * An LSTM with dropout between an embedding and a readout (dropout on both, drawn between steps), learned
 * initial states, rows that restart, Adam with a schedule. It is fed in pieces of any length; between any
 * two of them a new tape, new params, a new optimizer and a new stream may take its place. */
#ifndef SQT_STREAM_WORLD_H
#define SQT_STREAM_WORLD_H

#include "tests/support/every_cell.h"
#include "tests/support/support.h"

enum { B = 2, E = 3, H = 4, V = 5, LONG = 64, CALLS = 9, WIDE = 160 };

/* How a stream is made and fed. */
typedef struct setting {
    sq_dtype dtype;
    sq_tbptt_options o;
    int64_t width;    /* 0: H */
    int steps[CALLS]; /* fed by each call; -1: the stream ends, -2: states are given */
    const struct any_cell_kind *kind; /* NULL: an LSTM */
    uint64_t seed;
    bool restarts, learned, dropped;
    bool threaded; /* after every interruption on another number of threads */
} setting;

/* All that a program has. Filled in place. */
typedef struct world {
    const setting *how;
    sq_params *params;
    sq_weight embedding, readout, h0;
    any_cell cell;
    sq_dropped dropped;
    sq_optim *optim;
    sq_tape *tape;
    sq_tbptt *stream;
    int inputs, losses; /* callbacks so far */
    int lives;          /* worlds before this one */
    bool stubborn;      /* callbacks refuse */
    bool meddling;      /* one of them changes weights */
    double told;        /* the loss of the last update since the last interruption */
} world;

/* Calls that feed, end and give states, as the seed says; and with random windows of k1 and k2. */
setting world_setting(uint64_t seed);
void world_draws_windows(setting *how);

/* seed of the weights: that of a resumed world does not matter. `lives` were before this one. */
void world_of(world *w, const setting *how, uint64_t seed, int lives);
void world_new(world *w, const setting *how, uint64_t seed); /* the first */
void world_free(world *w);

/* One call of the driver. */
void world_act(const world *w, int call);

sq_bundle *world_save(const world *w);
void world_load(world *w, sq_bundle *b);

/* Another process, as far as memory tells. */
void world_interrupt(world *w);

/* Weights, counts, losses and states in the same bits. */
void world_expect_same(const world *a, const world *b, const char *what);

#endif
