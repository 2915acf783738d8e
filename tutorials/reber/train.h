/* train.h -- learning from endless streams by truncated backpropagation through time. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"
#include "options.h"

/* No string's end is told to the network: its state is carried on from string to string. */
void train(model *m, const options *o, uint64_t seed, const char *title);

#endif
