/* grammar.h -- the embedded Reber grammar, as a machine that walks from symbol to symbol.
 *
 *     B ( T inner T | P inner P ) E                       two symbols of the outer string agree,
 *     inner = B ( T S* X ... | P T* V ... ) E             whatever lies between them
 *
 * A continual stream is one such string after another, with nothing that marks where they meet
 * (Gers, Schmidhuber, Cummins 2000). Wherever the machine branches, each of the two ways has
 * probability 1/2. */
#ifndef GRAMMAR_H
#define GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

enum { N_SYMBOLS = 7 };

/* The letter of symbol 0 .. 6, and its number; -1 for what is none. */
char grammar_letter(int symbol);
int grammar_symbol(char letter);

/* Where in the grammar a reader is. All-zero: before a string. */
typedef struct place {
    int state;
    int outer; /* the symbol that has to come back: T or P */
} place;

/* The symbols that may come next, a bit each: one or two of them. */
uint32_t grammar_legal(place p);

/* True where the next symbol is the one that has to agree with the second of the string. */
bool grammar_at_agreement(place p);

/* Reads a symbol; false, and stays, where it is not legal. After the last of a string the place is
 * all-zero again. */
bool grammar_read(place *p, int symbol);

/* Reads and returns one of the legal symbols: where there are two, the coin says which. */
int grammar_walk(place *p, bool coin);

#endif
