/* numbers.c -- the true order is found by counting, for each number, how many come before it. */
#include "numbers.h"

#include "../common/say.h"

#include <stdlib.h>
#include <string.h>

numbers numbers_new(int64_t rows, int64_t places)
{
    size_t n = (size_t)(rows * places);
    return (numbers){ .rows = rows,
                      .places = places,
                      .lengths = take((size_t)rows, sizeof(int32_t)),
                      .x = take(n, sizeof(float)),
                      .order = take(n, sizeof(int32_t)),
                      .wanted = take(n, sizeof(int32_t)),
                      .there = take(n, sizeof(int32_t)) };
}

void numbers_free(numbers *n)
{
    free(n->lengths);
    free(n->x);
    free(n->order);
    free(n->wanted);
    free(n->there);
}

/* How many of a row come before place s; of equals the first does. */
static int64_t rank_of(const numbers *n, int64_t row, int64_t s)
{
    int64_t before = 0;
    float x = n->x[s * n->rows + row];
    for (int64_t k = 0; k < n->lengths[row]; k++) {
        float other = n->x[k * n->rows + row];
        before += other < x || (other == x && k < s);
    }
    return before;
}

void numbers_settle(numbers *n)
{
    n->places = 0;
    for (int64_t r = 0; r < n->rows; r++)
        if (n->lengths[r] > n->places) n->places = n->lengths[r];
    size_t size = (size_t)(n->rows * n->places) * sizeof(int32_t);
    memset(n->order, 0, size);
    memset(n->wanted, 0, size);
    memset(n->there, 0, size);
    for (int64_t r = 0; r < n->rows; r++)
        for (int64_t s = 0; s < n->lengths[r]; s++) {
            n->order[rank_of(n, r, s) * n->rows + r] = (int32_t)s;
            n->wanted[s * n->rows + r] = 1;
            n->there[r * n->places + s] = 1;
        }
}

void numbers_draw(numbers *n, sq_random random, int64_t shortest, int64_t longest)
{
    uint64_t lengths = (uint64_t)(longest - shortest + 1);
    for (int64_t r = 0; r < n->rows; r++) {
        n->lengths[r] =
            (int32_t)(shortest + (int64_t)(sq_random_bits(random, (uint64_t)r, 0) % lengths));
        for (int64_t s = 0; s < longest; s++) {
            bool there = s < n->lengths[r];
            double u = sq_random_uniform(random, (uint64_t)r, (uint64_t)s + 1);
            n->x[s * n->rows + r] = there ? (float)(int)(u * (1 << 24)) / (1 << 24) : 0;
        }
    }
    numbers_settle(n);
}
