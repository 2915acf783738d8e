/* flags.h -- a command line from a table: one row per option says its name, what it holds, where
 * it goes, what is allowed and what --help prints.
 *
 * Numbers are taken whole or not at all: "16x", nothing, and what overflows are refused. */
#ifndef FLAGS_H
#define FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum flag_kind { FLAG_TEXT, FLAG_COUNT, FLAG_REAL, FLAG_SWITCH } flag_kind;

/* A table of these ends with a row of zeros. */
typedef struct flag {
    const char *name, *argument; /* "--steps", "N"; a switch has no argument */
    flag_kind kind;              /* const char *, int64_t, double, bool */
    size_t at;                   /* offset of the place in the struct that is filled in */
    double lo, hi;               /* of numbers: the smallest and largest value allowed */
    const char *help;
} flag;

/* Reads argv[first ..] into a struct that holds the defaults, "--name value" or "--name=value"; dies
 * with status 2 on anything the table does not know. */
void flags_read(const flag *table, void *into, int argc, char **argv, int first);

/* The number of `text` among the choices, ended by NULL; dies with status 2 where it is none of them:
 * `--cell is lstm or gru, not "x"`. */
int flags_choice(const char *name, const char *text, const char *const *choices);

/* What --help prints about a table: two spaces, the name, what it says. */
void flags_help(const flag *table);

#endif
