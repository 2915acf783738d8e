/* interpose.c -- an operation put in behind one that is already recorded, before all that use it.
 *
 * Whoever will want that sets t->spaced: then every operation leaves room behind it, a node that
 * stands for nothing,
 *
 *     a   .   v   .   f(v)   .   s(v)            s is put in the place behind v,
 *     a   .   v   s   f(s)   .                   f computes from it, and what s is, all f see
 *
 * so that the order of nodes still is an order of computing, and no handle that somebody holds comes
 * to stand for something else. What f had for a value stays: s must differ from v only where nobody
 * looks. */
#include "core/tape_impl.h"

/* Room behind v, and no operand of s that comes after it. */
static bool fits(const sqi_segment *g, uint32_t v, uint32_t s)
{
    if (v + 1 >= s || !(g->nodes[v + 1].flags & SQI_DEAD)) return false;
    for (int32_t k = 0; k < g->nodes[s].n; k++)
        if (g->operands[g->nodes[s].first + (uint32_t)k] > v) return false;
    return true;
}

sq_var sqi_interpose(sq_tape *t, sq_var v, sq_var newest)
{
    sqi_segment *g = t->current;
    uint32_t i = sqi_index(v.id), s = sqi_index(newest.id);
    if (t->error.status || sqi_ordinal(v.id) != g->ordinal ||
        !(g->nodes[i].flags & SQI_NEEDS) || !fits(g, i, s))
        return newest;
    g->nodes[i + 1] = g->nodes[s];
    g->n_nodes--;
    for (uint32_t j = i + 2; j < g->n_nodes; j++)
        for (int32_t k = 0; k < g->nodes[j].n; k++) {
            uint32_t *x = &g->operands[g->nodes[j].first + (uint32_t)k];
            if (*x == i) *x = i + 1;
        }
    return (sq_var){ t, sqi_id(g->ordinal, i + 1) };
}
