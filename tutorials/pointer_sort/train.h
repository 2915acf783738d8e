/* train.h -- learning to sort. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"
#include "options.h"

/* What a stream of random numbers is for. */
enum { DRAW_TRAINING = 1, DRAW_TEST };

/* A tape as the options want it; dies when there is none. */
sq_tape *tape_new(const model *m, const options *o, bool inference);

/* Returns the seconds it took. */
double train(model *m, const options *o);

#endif
