/* train.h -- learning from songs, and how well others are foretold. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"

/* o->epochs passes over the first part; the weights that foretold the second one best are kept. *best
 * is that epoch, counted from 1. Dies with the tape's sentence. */
void train(model *m, const corpus *c, const train_options *o, int64_t *best);

/* -ln p of every song's frames but the first, given those before: the sum of all of them; each[i], where
 * wanted, that of song i. */
double score(const model *m, const songs *s, int64_t rows, double *each);

#endif
