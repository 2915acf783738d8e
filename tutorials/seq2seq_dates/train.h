/* train.h -- learning from generated dates. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"
#include "options.h"

/* A tape as the options want it; dies when there is none. */
sq_tape *tape_new(const model *m, const options *o, bool inference);

/* Returns the seconds it took. */
double train(model *m, const options *o);

/* Prints the first o->examples dates of the training, and what should be written. */
void train_examples(const options *o);

#endif
