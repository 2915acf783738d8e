/* learn.h -- one training of one row. */
#ifndef LEARN_H
#define LEARN_H

#include "rows.h"

typedef struct result {
    bool solved;
    int64_t weights, updates, sequences; /* until solved, or all of them */
    int64_t wrong, tests;                /* of the last test */
    int64_t reach;                       /* sequences of it before the first wrong one */
    double loss, seconds, per_update;    /* of that test; in all; training alone, per update */
} result;

/* Trains until solved or until r->updates; with r->whole all of these in any case. Dies with the library's sentence. */
result learn(const row *r, uint64_t seed, int32_t threads, bool quiet);

/* The loss of copying by naming blanks, and then any of eight symbols ten times. */
double without_memory(const row *r);

/* Median of a number of values, which are sorted. */
double median(double *v, int64_t n);

#endif
