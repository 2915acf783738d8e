/* not_yet.c -- stands in for what the plan will bring, so that its tests link before it lands. */
#include "graph/plan.h"

#include "core/tape_impl.h"

#include <string.h>

__attribute__((weak)) sq_mode sq_unroll_mode(const sq_unrolled *u)
{
    return u ? SQ_EAGER : SQ_AUTO;
}

__attribute__((weak)) sq_var sq_unrolled_named(const sq_unrolled *u, int64_t i, const char *name)
{
    sq_tape *t = sq_unrolled_tape(u);
    sq_var y = sq_unrolled_state(u, i, 0);
    sqi_segment *s = t ? sqi_segment_find(t, sqi_ordinal(y.id)) : NULL;
    for (uint32_t k = s ? s->n_nodes : 0; k > 1; k--)
        if (s->nodes[k - 1].name && strcmp(s->nodes[k - 1].name, name) == 0)
            return (sq_var){ t, sqi_id(s->ordinal, k - 1) };
    return sqi_none(t);
}

__attribute__((weak)) size_t sq_plan_explain(const sq_unrolled *u, char *buf, size_t n)
{
    (void)u;
    if (n) *buf = 0;
    return 0;
}

__attribute__((weak)) void sq_tape_set_threads(sq_tape *t, int32_t n) { (void)t, (void)n; }
__attribute__((weak)) int32_t sq_tape_threads(const sq_tape *t) { return t ? 1 : 0; }
