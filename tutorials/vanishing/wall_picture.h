/* wall_picture.h -- the error as a map, with the two descents on it, and a cut through the
 * wall. */
#ifndef WALL_PICTURE_H
#define WALL_PICTURE_H

#include "surface.h"

/* `s` tells the steepest point, which is marked. Writes the SVG file; dies when it cannot. */
void wall_picture(const surface *s, const descent *unclipped, const descent *clipped,
                  const char *path);

#endif
