/* options.h -- the command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <seqgrad/seqgrad.h>

typedef struct options {
    const char *file, *out, *from, *from_prefix, *to, *to_prefix, *cell_name, *store_name;
    sq_layout_cell cell;
    sq_stored store;
    bool help;
} options;

/* Dies with status 2 for what makes no sense. */
options options_read(int argc, char **argv);

void options_help(void);

#endif
