/* random.h -- random numbers that are a function, not a sequence.
 *
 * A number is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011) of a key and a counter. The key mixes tape seed, run serial, absolute step
 * and the ordinal of the random operation within its step; the counter is (row, column). So the
 * same number comes out whoever asks, in whatever order, on however many threads, and again when
 * a dropped step is recorded anew. */
#ifndef SQ_CORE_RANDOM_H
#define SQ_CORE_RANDOM_H

#include "export.h"

SQ_BEGIN_DECLS

/* The raw generator: 4 x 32 random bits for a counter and a key. Matches the published vectors. */
SQ_API void sq_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stream of numbers indexed by (row, column). Plain value; copy it freely. */
typedef struct sq_random {
    uint32_t key[2];
} sq_random;

/* The stream of one random operation. Any of the numbers may be 0; streams of different
 * arguments are independent for all practical purposes. */
SQ_API sq_random sq_random_stream(uint64_t seed, uint64_t serial, uint64_t step,
                                  uint64_t ordinal);

/* 64 random bits at (row, col). */
SQ_API uint64_t sq_random_bits(sq_random r, uint64_t row, uint64_t col);

/* Uniform in [0,1), 53 bits. */
SQ_API double sq_random_uniform(sq_random r, uint64_t row, uint64_t col);

/* Normal with mean 0 and variance 1 (Box-Muller on one Philox block). */
SQ_API double sq_random_normal(sq_random r, uint64_t row, uint64_t col);

SQ_END_DECLS

#endif
