/* options.h -- what the command line asked for.
 *
 * Defaults and limits stand in options.c, one row per option; whoever reads this struct may
 * rely on every number being in its range, and on no more threads than shards. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* Windows in one update, over all shards. */
enum { BATCH = 128 };

typedef struct options {
    int64_t threads; /* that compute gradients, the main thread included */
    int64_t shards;  /* parts of the batch; results depend on them, not on the threads */
    int64_t updates; /* of the weights */
    int64_t seed;
    bool quiet;
    bool help;
} options;

/* Reads the command line; dies with status 2 on anything it does not understand. */
options options_read(int argc, char **argv);

/* What --help prints. */
void options_help(void);

#endif
