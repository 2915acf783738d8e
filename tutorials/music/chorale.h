/* chorale.h -- small chorales made by rules: something to learn from that belongs to nobody.
 *
 * It is not music that anybody composed, and does not pretend to be. What the rules are stands in
 * chorale.c, and a listener hears them: chords and voices are right, and go nowhere. */
#ifndef CHORALE_H
#define CHORALE_H

#include "roll.h"

/* Songs n[0], n[1], n[2] of the three parts, a function of the seed. */
corpus chorales(const int64_t n[N_PARTS], uint64_t seed);

/* Chorale number `which` of that seed, added to an empty song. */
void chorale(song *into, uint64_t seed, uint64_t which);

#endif
