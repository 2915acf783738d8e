/* series.h -- one column of a CSV file as numbers, and its scale.
 *
 * Networks learn best from numbers around 0 of size 1. The scale that makes them so is measured
 * on the training part alone: the held-out part must not leak into it. */
#ifndef SERIES_H
#define SERIES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct series {
    const char *file;
    char *name;       /* of the column; "column 2" in a file without a header */
    bool dated;       /* the first column is called "year" */
    const char *unit; /* "year" then, "step" otherwise */
    int64_t n;
    double *value;
    int64_t *label; /* the year, or 1, 2, ... */
} series;

/* Reads a column, by name or by number from 1; NULL is the last. Dies with the line and the
 * column of the first thing that is not a finite number. */
series series_read(const char *file, const char *column);
void series_free(series *s);

/* z = (value - mean) / deviation, measured on the first n values only. */
typedef struct scale {
    double mean, deviation;
} scale;
scale scale_of(const series *s, int64_t n);

#endif
