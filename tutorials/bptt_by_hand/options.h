/* options.h -- what the command line asked for: the numbers of the networks, and where to write. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "chain.h"

#include <stdbool.h>

typedef struct options {
    int n; /* networks: one, or both */
    problem network[2];
    mistake wrong;
    const char *dot, *html; /* NULL: none */
    bool plain, help;
} options;

/* Dies with status 2 on anything it does not understand. */
options options_read(int argc, char **argv);
void options_help(void);

#endif
