/* show.h -- a piano roll to look at, and as a table. */
#ifndef SHOW_H
#define SHOW_H

#include "roll.h"

/* The first `given` frames of a song were given, the others drawn. */
void show_terminal(const song *s, int64_t given, bool ascii);
void show_svg(const song *s, int64_t given, const char *path);

/* frame,from,notes: `17,drawn,60 64 67`. */
void show_csv(const song *s, int64_t given, const char *path);

#endif
