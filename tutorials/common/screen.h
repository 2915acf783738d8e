/* screen.h -- which characters pictures on standard output are made of.
 *
 * A picture of blocks is for eyes at a terminal that has them. A file, a pipe or another character
 * set gets ASCII, which every program can read; so does who asks for it (--ascii). */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>

/* Whether pictures on standard output are to be ASCII: asked for, no terminal, or no UTF-8. */
bool screen_ascii(bool asked);

/* Whether the locale's characters are UTF-8, wherever the output goes. */
bool screen_utf8(void);

/* Whether standard output is a terminal that shows colours, and nobody objects (NO_COLOR). */
bool screen_colour(void);

#endif
