/* checkpoint_impl.h -- what the parts of a schedule share.
 *
 * A schedule is a binary tree. A node is a piece of time whose first states are at hand, beside
 * `held` snapshots, its own among them. A leaf is saved and reversed at once. Any other is split:
 * run y steps on, treat the rest (under one more snapshot, at its beginning, unless the rest is a
 * leaf), come back, treat the first y steps. A step is run again once for every split that has it
 * on the left, so the cost of a tree is the sum over its leaves of length * lefts. */
#ifndef SQ_GRAPH_CHECKPOINT_IMPL_H
#define SQ_GRAPH_CHECKPOINT_IMPL_H

#include "graph/checkpoint.h"

enum { SQI_CHECKPOINT_EXACT = 1000 }; /* the longest T that the program is run for */

/* The longest stretch that can be saved beside `held` snapshots, T at most. */
static inline int64_t sqi_checkpoint_stretch(const sq_checkpoint_problem *p, int64_t held)
{
    int64_t room = p->budget - held * p->snapshot_bytes;
    return room / p->steps >= p->tape_bytes ? p->steps : room / p->tape_bytes;
}

/* The most snapshots that can be held beside a stretch of `length`, T - 1 at most. */
static inline int64_t sqi_checkpoint_held(const sq_checkpoint_problem *p, int64_t length)
{
    int64_t room = p->budget - length * p->tape_bytes;
    return room / p->steps >= p->snapshot_bytes ? p->steps - 1 : room / p->snapshot_bytes;
}

/* The tree of least cost for 1 <= T <= SQI_CHECKPOINT_EXACT and a budget of one step at least, as
 * its splits y in the order node, rest, first part; 0 for a leaf. `cost` brings the cost of some
 * schedule, which bounds the search, and takes that of this one. NULL when out of memory; the
 * caller frees it. Cost: checkpoint.h. */
uint16_t *sqi_checkpoint_best(const sq_checkpoint_problem *p, sq_checkpoint_cost *cost);

#endif
