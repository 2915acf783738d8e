/* show.h -- the chain rule on the blackboard: formula, numbers, sum. */
#ifndef SHOW_H
#define SHOW_H

#include "chain.h"
#include "paper.h"

/* All of it, in the order of the computation; counts what differs on the paper. */
void show(paper *p, const problem *q, const chain *hand, const chain *tape);

#endif
