/* rows.h -- the table of the program: what is tried, and what was published about it. */
#ifndef ROWS_H
#define ROWS_H

#include "model.h"

typedef struct row {
    const char *name, *title;
    const task *task; /* NULL: influence balancing (balance.h) */
    int64_t size;     /* T, as the paper counts it */
    cell_kind cell;
    int64_t hidden, batch, updates; /* at most so many updates */
    int64_t every, seeds;           /* a check after every so many; trainings */
    sq_optim_kind optim;
    double rate;
    int64_t halve;     /* > 0: the rate is halved after every so many updates */
    double clip;       /* > 0: of the gradient's norm; < 0: of each element */
    double chrono;     /* > 0: gates that remember for up to so many steps at first */
    int64_t tests;     /* solved: at most one of 2560 such sequences wrong, */
    int64_t test_size; /* of this size (0: the same); */
    bool
        by_loss; /* or: test loss below 0.9 of 10 ln 8 / (T + 20), that of copying without memory */
    bool whole; /* goes on to the last update after it is solved */
    int64_t quick_size, quick_updates;
    bool resized;                        /* not of the size that the paper has */
    double published;                    /* sequences until solved; 0: not told */
    const char *paper, *differs, *numpy; /* "": nothing quoted */
} row;

extern const row rows[];

/* The row of a name; NULL where there is none. */
const row *row_named(const char *name);

#endif
