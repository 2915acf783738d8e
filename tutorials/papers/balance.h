/* balance.h -- influence balancing: where a window that is too short points the wrong way. */
#ifndef BALANCE_H
#define BALANCE_H

#include <stdbool.h>
#include <stdint.h>

enum { N_WINDOWS = 6 };

typedef struct balanced {
    int64_t window;
    double theta, seconds; /* after the last update, all of them */
} balanced;

/* Gradient descent with rate 1e-4, so many updates, once for each window. */
void balance(int64_t updates, bool quiet, balanced out[N_WINDOWS]);

#endif
