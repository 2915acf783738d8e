/* numbers.h -- sequences of numbers in [0,1), several lengths side by side, and their order. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <seqgrad/seqgrad.h>

#include <stdint.h>

/* Row r has lengths[r] numbers, the others of its `places` are padding. Arrays of numbers and of their order
 * are [places,rows]: order[i][r] is the place of the i-th smallest number, 0 behind the end. */
typedef struct numbers {
    int64_t rows, places;
    int32_t *lengths;
    float *x;
    int32_t *order;
    int32_t *wanted; /* [places,rows]: 1 where there is an i-th smallest */
    int32_t *there;  /* [rows,places]: 1 where there is a number */
} numbers;

/* Room for `rows` sequences of at most `places` numbers. */
numbers numbers_new(int64_t rows, int64_t places);
void numbers_free(numbers *n);

/* Lengths uniform from shortest to longest, numbers uniform in [0,1): a function of the stream. */
void numbers_draw(numbers *n, sq_random random, int64_t shortest, int64_t longest);

/* When lengths and x are there: order, wanted, there, and no more places than the longest needs. */
void numbers_settle(numbers *n);

#endif
