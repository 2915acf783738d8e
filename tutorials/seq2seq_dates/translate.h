/* translate.h -- one date from near: what the network would write, how sure it is, where it looks. */
#ifndef TRANSLATE_H
#define TRANSLATE_H

#include "model.h"
#include "options.h"

/* Prints the beams and the map of the first; draws it into o->svg. */
void translate(const model *m, const options *o, const char *text);

#endif
