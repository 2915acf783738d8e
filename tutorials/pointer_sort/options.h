/* options.h -- what the command line asked for; defaults and limits in options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { INPUT_MAX = 64 }; /* numbers of --input */

typedef struct options {
    int64_t hidden, updates; /* 0 where not said */
    int64_t batch, shortest, longest, test, seed, threads;
    int64_t trained[2]; /* shortest and longest of the training, which may be another's */
    double rate;
    const char *chosen; /* NULL where not said */
    const char *input, *save, *load, *csv, *svg;
    bool once; /* of `chosen` */
    bool ascii, quiet, help;
    int64_t n_numbers; /* of `input` */
    float number[INPUT_MAX];
} options;

/* Dies with status 2 on what it does not understand. */
options options_read(int argc, char **argv);
void options_help(void);

/* "masked" or "free". */
const char *options_chosen(const options *o);

/* Takes over how a saved network is built and trained; dies where the command line says otherwise. */
void options_adopt(options *o, int64_t hidden, const char *chosen);

/* Where nobody said anything. */
void options_settle(options *o);

#endif
