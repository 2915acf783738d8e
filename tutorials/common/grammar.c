/* grammar.c -- eleven states, at most two ways out of each.
 *
 *      0 -B-> 1 -T|P-> 2 -B-> [ 3 ... 8 ] -E-> 9 -as in 1-> 10 -E-> 0
 *
 *     inner:  3 -T-> 4    4 -S-> 4    4 -X-> 6    6 -X-> 5    6 -S-> 8
 *             3 -P-> 5    5 -T-> 5    5 -V-> 7    7 -P-> 6    7 -V-> 8 */
#include "grammar.h"

#include <string.h>

static const char letters[] = "BTSXPVE";

enum { START, FORK, ENTER, AGREE = 9 };

static const struct {
    char letter[2]; /* the second is 0 where there is one way only */
    int to[2];
} machine[] = {
    { "B", { 1 } },     { "TP", { 2, 2 } }, { "B", { 3 } },     { "TP", { 4, 5 } },
    { "SX", { 4, 6 } }, { "TV", { 5, 7 } }, { "XS", { 5, 8 } }, { "PV", { 6, 8 } },
    { "E", { 9 } },     { "", { 10, 10 } }, { "E", { 0 } },
};

char grammar_letter(int symbol) { return letters[symbol]; }

int grammar_symbol(char letter)
{
    const char *at = letter ? strchr(letters, letter) : NULL;
    return at ? (int)(at - letters) : -1;
}

/* The symbol of way i out of a place; -1 where there is no such way. */
static int way(place p, int i)
{
    if (p.state == AGREE) return i ? -1 : p.outer;
    return machine[p.state].letter[i] ? grammar_symbol(machine[p.state].letter[i]) : -1;
}

uint32_t grammar_legal(place p)
{
    int second = way(p, 1);
    return 1u << way(p, 0) | (second < 0 ? 0 : 1u << second);
}

bool grammar_at_agreement(place p) { return p.state == AGREE; }

static void go(place *p, int i)
{
    if (p->state == FORK) p->outer = way(*p, i);
    p->state = machine[p->state].to[i];
    if (p->state == START) p->outer = 0;
}

bool grammar_read(place *p, int symbol)
{
    for (int i = 0; i < 2; i++)
        if (symbol >= 0 && way(*p, i) == symbol) {
            go(p, i);
            return true;
        }
    return false;
}

int grammar_walk(place *p, bool coin)
{
    int i = coin && way(*p, 1) >= 0, symbol = way(*p, i);
    go(p, i);
    return symbol;
}
