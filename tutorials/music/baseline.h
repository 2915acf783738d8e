/* baseline.h -- forecasts that need no network, in NLL per frame like the network's.
 *
 * All count in "train", frames that have one before them, with half a count more on either side:
 * p = (n + 1/2) / (N + 1).
 *     frequency   p(k is down), each key its own
 *     repeat      p(k is down | it was down before, or it was not): two numbers, all keys alike
 *     chain       the same two numbers for each key */
#ifndef BASELINE_H
#define BASELINE_H

#include "roll.h"

typedef enum baseline {
    BASELINE_FREQUENCY,
    BASELINE_REPEAT,
    BASELINE_CHAIN,
    N_BASELINES
} baseline;

extern const char *const baseline_titles[N_BASELINES];

/* The sum over keys, the mean over frames. */
double baseline_nll(baseline which, const songs *counted, const songs *scored);

#endif
