/* triangle.h -- the terms (t,k) as a table: t down, k across, nothing where k > t. */
#ifndef TRIANGLE_H
#define TRIANGLE_H

#include "chain.h"
#include "paper.h"

/* The terms of one weight with t - k < window; the others are struck out. Row and column sums stand
 * beside. With two units the norms of the terms, without sums, which norms do not have. */
void triangle(const paper *p, const problem *q, const chain *c, int weight, int window);

#endif
