/* options.h -- what the command line asked for.
 *
 * Defaults and limits stand in options.c, one row per option; whoever reads this struct may
 * rely on every number being in its range. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct options {
    const char *data;   /* CSV file with the series */
    const char *column; /* its name or number from 1; NULL: the last one */
    const char *cell;   /* rnn, gru, lstm or all */
    const char *csv;    /* where the gradients go; "none": nowhere */
    const char *html;   /* where the page goes; "none": nowhere */
    const char *report; /* where the library's page about one network goes; "none": nowhere */
    int64_t hidden;     /* H */
    int64_t steps;      /* length of the window whose gradients are shown */
    int64_t window;     /* length of the training windows */
    int64_t updates;    /* of the weights, per training */
    int64_t seed;
    int64_t seeds;                  /* trainings per cell, with seeds seed, seed+1, ... */
    double rate;                    /* the highest learning rate */
    bool jacobian, lyapunov, gates; /* look inside, before training and after */
    bool terminal;                  /* what --report shows, in the terminal */
    bool npy;                       /* and its tables as arrays */
    bool ascii;                     /* pictures in the terminal without other characters */
    bool validate; /* leave the held-out values out altogether: to choose settings by */
    bool quiet;
    bool help;
} options;

/* Reads the command line; dies with status 2 on anything it does not understand. */
options options_read(int argc, char **argv);

/* True when --cell asks for the cell called so there. */
bool wants_cell(const options *o, const char *cell);

/* Whether one network is to be looked at in depth: --report, --terminal. */
bool wants_depth(const options *o);

/* What --help prints. */
void options_help(void);

#endif
