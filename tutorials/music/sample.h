/* sample.h -- the beginning of a song, and how the network goes on. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "model.h"

/* The first o->prime frames of a song (all, where it has fewer), and o->length drawn ones. *given is how many
 * were given. */
song sample(const model *m, const song *from, const sample_options *o, int64_t *given);

#endif
