/* score.h -- how well the model foretells a part of the text. */
#ifndef SCORE_H
#define SCORE_H

#include "model.h"
#include "text.h"

/* The mean of -ln P(next), in nats, over all characters but the first of text[at, at + n), read
 * once from the state zero. n >= 2. Not a number when a signal came on the way. */
double score_text(const model *m, const options *o, const text *s, int64_t at, int64_t n);

#endif
