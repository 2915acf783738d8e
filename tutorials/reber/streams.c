/* streams.c -- coins are a function of row and step, so a stream is the same however it is cut into
 * pieces and however many others run beside it. */
#include "streams.h"

#include "../common/say.h"

#include <stdlib.h>

streams streams_new(int64_t rows, uint64_t seed)
{
    return (streams){ rows, 0, sq_random_stream(seed, 0, 0, 0),
                      take((size_t)rows, sizeof(place)) };
}

void streams_free(streams *s) { free(s->at); }

void streams_next(streams *s, int64_t steps, int32_t *symbols, uint32_t *legal, bool *agreement)
{
    for (int64_t t = 0; t < steps; t++, s->steps++)
        for (int64_t row = 0; row < s->rows; row++) {
            int64_t i = t * s->rows + row;
            bool coin = sq_random_word(s->coins, (uint64_t)row, (uint64_t)s->steps) & 1;
            symbols[i] = grammar_walk(&s->at[row], coin);
            if (legal) legal[i] = grammar_legal(s->at[row]);
            if (agreement) agreement[i] = grammar_at_agreement(s->at[row]);
        }
}
