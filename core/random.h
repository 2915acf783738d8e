/* random.h -- random numbers that are a function, not a sequence.
 *
 * A number is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011) of a key and a counter. The key mixes four coordinates, the counter is (row,
 * column). So the same number comes out whoever asks, in whatever order, on however many threads,
 * eagerly or as a plan, and again when a dropped step is recorded anew. On a tape they are
 *
 *     seed     sq_tape_set_seed
 *     serial   of the run: every sq_unroll and every sq_tape_reset begins one (sq_tape_set_run);
 *              of an unroll within a step of another, a number drawn in that step
 *     step     counted from the first of the run; between steps, that of the next + 2^63; for what
 *              is drawn once per sequence, 2^64 - 1
 *     ordinal  how many streams were taken in this step before, as the step is written
 *     row      of the batch: the first index of what has at least two; else 0
 *     column   the place within the row
 *
 * Noise on gradients (optim.h) has the serial 2^64 - 1, which no run is given. */
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

/* 32 of them: word col % 4 of the block at (row, col / 4), so that one block serves four columns.
 * The masks of sq_dropout are made of these. */
SQ_API uint32_t sq_random_word(sq_random r, uint64_t row, uint64_t col);

/* Uniform in [0,1), 53 bits. */
SQ_API double sq_random_uniform(sq_random r, uint64_t row, uint64_t col);

/* Normal with mean 0 and variance 1 (Box-Muller on one Philox block). */
SQ_API double sq_random_normal(sq_random r, uint64_t row, uint64_t col);

SQ_END_DECLS

#endif
