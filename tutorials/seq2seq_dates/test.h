/* test.h -- dates that no training has seen. */
#ifndef TEST_H
#define TEST_H

#include "model.h"
#include "options.h"

typedef struct result {
    int64_t n;
    char (*texts)[TEXT_MAX], (*truth)[TEXT_MAX]; /* [n] */
    char (*greedy)[TEXT_MAX], (*beam)[TEXT_MAX]; /* what was written */
    int *form;
} result;

/* Translates o->test of the held-out days, each in one form, greedily and by beam search. */
result test(const model *m, const options *o);
void result_free(result *r);

/* Symbols of a row as text: those before the end; every `stride`-th number is of the row. */
void read_symbols(const int32_t *ids, int64_t n, int64_t stride, char text[TEXT_MAX]);

#endif
