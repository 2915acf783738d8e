/* sunspots.h -- the yearly sunspot numbers, scaled, with a line drawn through them.
 *
 * What lies before n_train may be learned from, what lies behind it is only ever forecast. The
 * scale is measured on the training years alone. */
#ifndef SUNSPOTS_H
#define SUNSPOTS_H

#include <stdbool.h>
#include <stdint.h>

enum { HELD_OUT = 50 };

typedef struct sunspots {
    int64_t n, n_train;
    int64_t first_year;
    double mean, deviation; /* of the training years */
    float *z;               /* (value - mean) / deviation */
} sunspots;

/* Reads the bundled file; dies with a sentence when it is missing or damaged. */
sunspots sunspots_read(void);
void sunspots_free(sunspots *s);

/* Root mean squared error, in sunspots, of HELD_OUT scaled forecasts of the held-out years. */
double sunspots_rmse(const sunspots *s, const float *guess);

/* Forecasts that need no network: "same as last year", and
 *     z_t = a z_(t-1) + b z_(t-2),   a and b by least squares on the training years. */
void guess_last_year(const sunspots *s, float *guess);
void guess_ar2(const sunspots *s, float *guess);

#endif
