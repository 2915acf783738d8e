/* test.h -- the paper's test: streams of unseen symbols, up to the first mistake. */
#ifndef TEST_H
#define TEST_H

#include "model.h"
#include "options.h"

/* A prediction is right when all seven outputs are within 0.49 of what they should be: 1 for the
 * symbols that may come next, 0 for the others. */
typedef struct result {
    double seconds;    /* of training */
    double mean_until; /* symbols up to the first mistake, mean over the streams */
    int64_t perfect;   /* streams without any mistake */
    double right;      /* share of right predictions, all streams to their end */
    double agreement;  /* share of strings whose second symbol comes back above the other one */
    int64_t n_norms;   /* |c| after 1, 2, 5, 10, 20, ... symbols: mean over the streams */
    double *at, *norm; /* [n_norms] */
} result;

/* o->streams streams of o->test symbols. Dies with the tape's sentence. */
result test(const model *m, const options *o, const char *title);
void result_free(result *r);

#endif
