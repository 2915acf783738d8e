/* options.h -- what the command line of the training asked for; defaults and limits in options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct options {
    int64_t hidden, batch, k1, k2, updates; /* of a training */
    double rate, clip;
    int64_t test, streams; /* symbols of a test, and how many streams it has */
    int64_t seed, seeds;   /* trainings per cell, with seeds seed, seed + 1, ... */
    const char *csv, *svg;
    bool adam, full, quiet, help;
} options;

/* Reads argv[first ..]; dies with status 2 on what it does not understand. */
options options_read(int argc, char **argv, int first);
void options_help(void);

#endif
