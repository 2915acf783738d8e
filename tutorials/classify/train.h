/* train.h -- learning from pieces, and guessing others. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"

/* The epoch whose weights were kept, counted from 1, and the share of VALID that they guessed right. */
typedef struct best_epoch {
    int64_t epoch;
    double share;
} best_epoch;

/* o->epochs passes over TRAIN; the weights that guessed VALID best are kept (of equally good ones those with
 * the smaller loss). Dies with the tape's sentence. */
best_epoch train(model *m, const data *d, const train_options *o);

/* guess[i] of every piece, and the mean cross entropy, which is returned. */
double guess_all(const model *m, const pieces *s, int32_t *guess);

/* The place of the largest of n scores. */
int32_t best_of(const float *z, int32_t n);

/* How many guesses are right. */
int64_t count_right(const pieces *s, const int32_t *guess);

#endif
