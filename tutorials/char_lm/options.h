/* options.h -- what the command line asked for, and what a save remembers of it.
 *
 * Defaults and limits stand in options.c, one row per option; whoever reads this struct may
 * rely on every number being in its range. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum command { TRAIN = 1, SAMPLE = 2 } command;

/* What --cell can choose, and how it is spelt there. */
enum {
    CELL_RNN,
    CELL_GRU,
    CELL_LSTM,
    CELL_MGU,
    CELL_PEEPHOLE,
    CELL_LNLSTM,
    CELL_LNGRU,
    CELL_CIFG,
    N_CELLS
};
extern const char *const cell_names[N_CELLS];

typedef struct options {
    command command;
    const char *path; /* FILE of train, SAVE of sample */

    /* the model */
    int64_t cell; /* CELL_... */
    int64_t hidden, layers;
    int64_t embed; /* width of the embedding; 0: one-hot */

    /* training */
    int64_t k1, k2, batch;
    int64_t updates, epochs; /* epochs, where given, become updates */
    double rate, clip, dropout;
    int64_t budget;   /* bytes of recorded steps; 0: all are kept */
    int64_t validate; /* updates between validations; 0: a quarter of all */
    const char *save, *resume;

    /* sampling */
    double temperature;
    int64_t length;
    const char *prime; /* NULL: a new line */

    int64_t seed, threads;
    bool quiet, help;
    uint64_t given; /* bit i: row i of the table was on the command line */
} options;

/* Reads the command line; dies with status 2 on anything it does not understand. */
options options_read(int argc, char **argv);

/* Turns epochs, where given, into updates, `pass` >= 1 of them each; dies when that is too many. */
void options_settle_updates(options *o, int64_t pass);

/* What --help prints. */
void options_help(void);

/* False for the name "none", which means: no such file. */
bool options_wants_file(const char *path);

/* The options that a save holds, as text: row i = 0, 1, ... of them; false after the last. */
typedef struct setting {
    const char *name; /* "hidden" */
    char value[32];   /* "128" */
} setting;
bool options_setting(const options *o, int i, setting *out);

/* Takes a setting from the save at `path`, unless the command line says otherwise. Dies when the
 * value makes no sense, or when the command line asks for another where only one can be. */
void options_adopt(options *o, const char *name, const char *value, const char *path);

#endif
