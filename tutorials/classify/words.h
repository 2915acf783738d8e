/* words.h -- three classes that bags of letters cannot tell apart, from the bundled text. */
#ifndef WORDS_H
#define WORDS_H

#include "data.h"

/* The different words of four letters and more, in the order in which they first occur, in small letters:
 * "written" as they are, "backwards", and "shuffled" at random, the same words in all three, so that
 * all have the same letters and lengths. The third form of a word is neither of the other two;
 * words that read the same backwards are left out. */
void words_read(data *d);

#endif
