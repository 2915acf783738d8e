/* options.h -- what the command line asked for; defaults and limits in options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <seqgrad/seqgrad.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct options {
    int64_t hidden, updates, batch; /* hidden, updates: 0 where not said */
    double rate, sampling;
    int64_t test, beam, examples, seed, threads;
    const char *attention; /* NULL where not said */
    const char *input, *save, *load, *csv, *svg;
    sq_attention_kind kind;
    bool ascii, quiet, help;
} options;

/* Dies with status 2 on what it does not understand. */
options options_read(int argc, char **argv);
void options_help(void);

/* The name of an attention, and the attention of a name, -1 for none. */
const char *attention_name(sq_attention_kind kind);
int attention_kind(const char *name);

/* Takes over how a saved network is built, {hidden, kind}; dies where the command line says another. */
void options_adopt(options *o, int64_t hidden, sq_attention_kind kind);

/* Where nobody said anything. */
void options_settle(options *o);

#endif
