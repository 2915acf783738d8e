/* test.h -- new sequences of the lengths that were trained, and of longer ones. */
#ifndef TEST_H
#define TEST_H

#include "model.h"
#include "options.h"

/* Prints a table by length; writes o->csv. */
void test(const model *m, const options *o);

#endif
