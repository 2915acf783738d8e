/* options.h -- what the command lines asked for; defaults and limits in options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct train_options {
    const char *data; /* NULL: the chorales that the program makes */
    const char *cell_name, *save, *csv;
    int cell; /* CELL_LSTM, CELL_GRU */
    int64_t hidden, epochs, batch, seed;
    double dropout, rate, clip;
    bool quiet, help;
} train_options;

typedef struct sample_options {
    const char *model, *data, *svg, *midi, *csv;
    int64_t song, prime, length, seed;
    double temperature, speed;
    bool ascii, quiet, help;
} sample_options;

typedef struct chorales_options {
    const char *out;
    int64_t train, valid, test, seed;
    bool help;
} chorales_options;

enum { CELL_LSTM, CELL_GRU };
extern const char *const cell_names[]; /* ended by NULL */

/* Read argv[2 ..]; die with status 2 on what they do not understand. */
train_options train_options_read(int argc, char **argv);
sample_options sample_options_read(int argc, char **argv);
chorales_options chorales_options_read(int argc, char **argv);
void options_help(void);

#endif
