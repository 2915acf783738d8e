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

enum { SQI_CHECKPOINT_MOST = 1000 }; /* the most blocks that the program is run for */

/* The blocks of a sequence: all of one length, the first shorter when it is no multiple. */
static inline int64_t sqi_checkpoint_blocks(int64_t steps, int64_t block)
{
    return steps / block + (steps % block != 0);
}

/* The same problem with a block in the place of a step; a block's bytes are within 63 bits. */
static inline sq_checkpoint_problem sqi_checkpoint_over(const sq_checkpoint_problem *p,
                                                        int64_t block)
{
    sq_checkpoint_problem q = *p;
    q.steps = sqi_checkpoint_blocks(p->steps, block);
    q.tape_bytes = block * p->tape_bytes;
    return q;
}

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

/* The tree of least cost over blocks of so many steps, 1 .. SQI_CHECKPOINT_MOST of them, for a budget
 * of one block at least, as its splits y in blocks, in the order node, rest, first part; 0 for a leaf.
 * `extra` is the cost of some schedule, in blocks, which bounds the search; `cost` takes that of this
 * one, in steps, 62 bits at most. NULL when out of memory; the caller frees it. Cost: checkpoint.h. */
uint16_t *sqi_checkpoint_best(const sq_checkpoint_problem *p, int64_t block, int64_t extra,
                              sq_checkpoint_cost *cost);

#endif
