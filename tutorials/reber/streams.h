/* streams.h -- several endless streams of symbols side by side, one per row of a batch. */
#ifndef STREAMS_H
#define STREAMS_H

#include "../common/grammar.h"

#include <seqgrad/seqgrad.h>

typedef struct streams {
    int64_t rows;
    int64_t steps; /* made so far */
    sq_random coins;
    place *at; /* [rows] */
} streams;

/* Each row has coins of its own, a function of the seed. */
streams streams_new(int64_t rows, uint64_t seed);
void streams_free(streams *s);

/* The next `steps` symbols of every row, [steps * rows], and after each of them which symbols may
 * follow and whether the one that follows is the one that has to agree. NULL leaves out. */
void streams_next(streams *s, int64_t steps, int32_t *symbols, uint32_t *legal,
                  bool *agreement);

#endif
