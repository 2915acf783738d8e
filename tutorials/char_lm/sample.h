/* sample.h -- the model writes. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "model.h"
#include "text.h"

/* Dies unless every character of --prime is known. */
void sample_check(const options *o, const vocabulary *known);

/* Writes what o->prime says and then o->length characters to stdout, each drawn from
 *     P(c) ~ exp(z_c / temperature),    temperature 0: the likeliest
 * Returns seconds per character, prime included; 0 for none. */
double sample(const model *m, const options *o, const vocabulary *known);

#endif
