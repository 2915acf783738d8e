/* plan_pieces.c -- whether a block of steps may be reversed in pieces with the same bits: what is added
 * to a weight or an outside value must be one chain of sums, which the next piece goes on with. */
#include "graph/plan_impl.h"

/* Which outside value a task's op m adds to by itself, or -1. */
static int32_t adds_outside(const sqi_plan *p, const sqi_task *k, int32_t m)
{
    int32_t to = k->kind == SQI_DO_CALL    ? p->operands[p->values[k->v[0]].first + k->target]
                 : k->kind == SQI_DO_CHAIN ? k->chain.streams[k->chain.micros[m].out].value
                                           : k->target;
    return p->values[to].kind == SQI_OUTER ? to : SQI_NO_VALUE;
}

/* Two tasks that add to one outside value do so block by block: first the one, then the other. */
int32_t sqi_plan_adders(const sqi_plan *p, const sqi_back *b, int32_t outer)
{
    int32_t adders = 0;
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < b->tasks[phase].n; i++) {
            const sqi_task *k = &b->tasks[phase].at[i];
            bool adds = false;
            int32_t n = k->kind == SQI_DO_CHAIN ? k->chain.n_micros : 1;
            for (int32_t m = 0; m < n; m++) adds |= adds_outside(p, k, m) == outer;
            adders += adds;
        }
    return adders;
}

bool sqi_divisible(const sqi_planned *u, const sqi_back *b)
{
    const sqi_plan *p = u->plan;
    int64_t units = u->shrunk ? u->shrunk->most_rows : u->block;
    for (int32_t d = 0; d < b->n_defers; d++)
        if (b->defers[d].rows / (u->shrunk ? p->batch : 1) * units > SQI_ONE_CHAIN)
            return false;
    for (int32_t j = 0; j < p->n_outer; j++)
        if (sqi_plan_adders(p, b, p->outer[j]) > 1) return false;
    return true;
}
