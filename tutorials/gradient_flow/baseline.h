/* baseline.h -- forecasts that need no network: what a network has to beat.
 *
 * A network's error means little alone. Beside that of "as last year" it shows whether anything
 * was learned, beside that of a linear model whether the network was worth its trouble. */
#ifndef BASELINE_H
#define BASELINE_H

#include "series.h"

enum { N_BASELINES = 3, LONG_LAG = 11 };

typedef struct baseline {
    char name[48];
    double rmse;
} baseline;

/* Root mean squared error of n guesses. */
double rmse(const double *truth, const double *guess, int64_t n);

/* The three baselines on values n_train, n_train+1, ... of s. AR(2) is fitted to the first
 * n_train values; the other two have nothing to fit. */
void baselines(const series *s, int64_t n_train, baseline out[N_BASELINES]);

#endif
