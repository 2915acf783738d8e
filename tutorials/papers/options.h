/* options.h -- what the command line asked for; defaults and limits in options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "rows.h"

typedef struct options {
    int64_t size, hidden, batch, updates, seeds; /* 0: as the row has it */
    double rate;                                 /* 0: as the row has it */
    double chrono;                               /* -1: as the row has it */
    const char *cell;                            /* "": as the row has it */
    int64_t seed, threads, count;
    const char *csv, *svg;
    bool quick, whole, quiet, help;
} options;

/* Reads argv[first ..] after the names; dies with status 2 on what it does not understand. */
options options_read(int argc, char **argv, int first);
void options_help(void);

/* A row with what the command line changes about it. */
row row_with(const row *r, const options *o);

#endif
