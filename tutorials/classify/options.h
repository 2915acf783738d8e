/* options.h -- what the command lines asked for; defaults and limits in options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_CLASSES = 12 };
enum { CELL_LSTM, CELL_GRU };
enum { BOTH_DIRECTIONS, FORWARD };
enum { POOL_LAST, POOL_MEAN };
enum { LOSS_ENTROPY, LOSS_HINGE };
extern const char *const cell_names[],
    *const direction_names[], *const pool_names[], *const loss_names[]; /* ended by NULL */

typedef struct train_options {
    const char *file[MAX_CLASSES]; /* one per class; none: words of the bundled text */
    int32_t n_files;
    const char *cell_name, *direction_name, *pool_name, *loss_name, *save, *csv;
    int cell, direction, pool, loss;
    int64_t piece, hidden, embed, epochs, batch, seed;
    double dropout, rate, clip;
    bool quiet, help;
} train_options;

typedef struct guess_options {
    const char *file, *text, *model, *svg, *csv;
    int64_t heat;
    bool ascii, help;
} guess_options;

/* Read argv[2 ..], files first; die with status 2 on what they do not understand. */
train_options train_options_read(int argc, char **argv);
guess_options guess_options_read(int argc, char **argv);
void options_help(void);

#endif
