/* bag.h -- what can be guessed without reading in order: naive Bayes over single bytes, or over pairs of
 * neighbours. */
#ifndef BAG_H
#define BAG_H

#include "data.h"

/* guess[i] of every piece scored, from the pieces counted:
 *     the class c with the largest  ln P(c) + sum over the parts u of the piece of ln P(u | c)
 *     P(u | c) = (n(u,c) + 1) / (N(c) + V)
 * V is the number of different parts among all that were counted, and one more for any other. `width` 1 takes
 * bytes, 2 pairs of them. Of equal classes the first. */
void bag_guess(const data *d, const pieces *counted, const pieces *scored, int width,
               int32_t *guess);

#endif
