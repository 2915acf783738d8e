/* show.h -- one sequence from near. */
#ifndef SHOW_H
#define SHOW_H

#include "model.h"
#include "options.h"

/* Sorts o->number, or a new sequence of the longest trained length: prints it, and a map of where the
 * network points, with what probability; draws the map into o->svg. */
void show(const model *m, const options *o);

#endif
