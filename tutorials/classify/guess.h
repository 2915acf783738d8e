/* guess.h -- which class a piece is taken for, and by which of its characters.
 *
 *     lead = z_first - z_second       the scores of the likeliest class and of the next
 *     gradient_t = |d lead / d x_t|   what a small change of character t would do
 *     without_t = lead without it     of the same two classes, for the piece with character t left out */
#ifndef GUESS_H
#define GUESS_H

#include "model.h"

typedef struct guess {
    const piece *of;
    int32_t first, second;
    double p, lead;             /* p: softmax of the scores, of the first */
    double *gradient, *without; /* [n], per byte */
} guess;

/* Of every piece; gradients and leads without of the first `heat` ones, the others have NULL. The
 * caller frees by guesses_free. */
guess *guesses_of(const model *m, const pieces *s, int64_t heat);
void guesses_free(guess *g, int64_t n);

#endif
