/* heat.h -- which characters mattered: under the text, in a picture, as a table. */
#ifndef HEAT_H
#define HEAT_H

#include "guess.h"

/* At most so many of its characters, as a terminal can show them. */
void heat_text(const piece *p, int most);

/* The piece, and under every character a bar as high as its gradient beside the largest of the piece; in
 * ASCII or in blocks. */
void heat_terminal(const guess *g, bool ascii);

/* The first n guesses. */
void heat_svg(const model *m, const guess *g, int64_t n, const char *path);

/* piece,at,byte,gradient,lead,without: a line per byte. */
void heat_csv(const guess *g, int64_t n, const char *path);

#endif
