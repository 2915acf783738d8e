/* sunspots.c -- "1700,5" per line under a header, and what can be forecast without a network.
 *
 * The file is one that comes with the tutorials, so its reader is short: tutorial gradient_flow
 * has one for files of any making. */
#include "sunspots.h"

#include "../common/say.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLED "tutorials/data/sunspots_yearly.csv"

enum { MOST_YEARS = 1000 };

/* Where the build found the data; a program that was moved looks below the present folder. */
static FILE *open_bundled(void)
{
    FILE *file = NULL;
#ifdef SEQGRAD_DATA
    file = fopen(SEQGRAD_DATA "/sunspots_yearly.csv", "r");
#endif
    if (!file) file = fopen(BUNDLED, "r");
    if (!file) die("cannot read %s: %s", BUNDLED, strerror(errno));
    return file;
}

static void measure_and_scale(sunspots *s, const double *value)
{
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < s->n_train; t++) sum += value[t];
    s->mean = sum / (double)s->n_train;
    for (int64_t t = 0; t < s->n_train; t++)
        squares += (value[t] - s->mean) * (value[t] - s->mean);
    s->deviation = sqrt(squares / (double)s->n_train);
    for (int64_t t = 0; t < s->n; t++) s->z[t] = (float)((value[t] - s->mean) / s->deviation);
}

sunspots sunspots_read(void)
{
    sunspots s = { .z = take(MOST_YEARS, sizeof *s.z) };
    double *value = take(MOST_YEARS, sizeof *value);
    char line[128];
    FILE *file = open_bundled();
    for (int64_t row = 0; fgets(line, sizeof line, file); row++) {
        int year, end = 0;
        if (row == 0) continue;
        bool fine = s.n < MOST_YEARS &&
                    sscanf(line, "%d,%lf %n", &year, &value[s.n], &end) == 2 && !line[end];
        if (!fine) die("%s: line %lld is damaged", BUNDLED, (long long)row + 1);
        if (s.n++ == 0) s.first_year = year;
    }
    fclose(file);
    if (s.n < 3 * HELD_OUT) die("%s is damaged: it has %lld years", BUNDLED, (long long)s.n);
    s.n_train = s.n - HELD_OUT;
    measure_and_scale(&s, value);
    free(value);
    return s;
}

void sunspots_free(sunspots *s) { free(s->z); }

double sunspots_rmse(const sunspots *s, const float *guess)
{
    double sum = 0;
    for (int64_t i = 0; i < HELD_OUT; i++) {
        double error = (double)guess[i] - (double)s->z[s->n_train + i];
        sum += error * error;
    }
    return s->deviation * sqrt(sum / HELD_OUT);
}

void guess_last_year(const sunspots *s, float *guess)
{
    memcpy(guess, s->z + s->n_train - 1, HELD_OUT * sizeof *guess);
}

/* The normal equations  | p q | |a|   | u |
 *                       | q r | |b| = | v |   of rows (z_(t-1), z_(t-2)). */
void guess_ar2(const sunspots *s, float *guess)
{
    double p = 0, q = 0, r = 0, u = 0, v = 0;
    for (int64_t t = 2; t < s->n_train; t++) {
        double z = (double)s->z[t], z1 = (double)s->z[t - 1], z2 = (double)s->z[t - 2];
        p += z1 * z1, q += z1 * z2, r += z2 * z2, u += z1 * z, v += z2 * z;
    }
    double a = (u * r - v * q) / (p * r - q * q), b = (v * p - u * q) / (p * r - q * q);
    for (int64_t i = 0; i < HELD_OUT; i++) {
        const float *z = s->z + s->n_train + i;
        guess[i] = (float)(a * (double)z[-1] + b * (double)z[-2]);
    }
}
