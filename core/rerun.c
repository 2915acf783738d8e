/* rerun.c -- steps recorded beside the line of time, used, and dropped.
 *
 *     live     root | ... | home: a span of T steps | ...      ordinals as ever
 *     aside    [step 17] [step 18] [step 19]                   ordinals from SQI_ASIDE on
 *
 * Under a byte budget a span does not hold what its steps recorded: it calls them again. Such a step
 * is recorded by the same functions into a segment of its own beside the line; it imports from
 * live segments and from others beside it, a sweep may run through it, and it is released when its
 * span says so. For the time of the call the tape is as it was at the first: the step's number, the
 * place of its random numbers and the version of the weights, which home holds. Outside values
 * are known to home by imports; when a cut has taken the value itself, home's copy stands in for
 * it.
 * What would move time or sweep has no place in such a step. */
#include "core/tape_impl.h"
#include "core/watch_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- Segments beside the line ------------------------------------------------------------- */

sqi_segment *sqi_aside_find(const sq_tape *t, uint64_t ordinal)
{
    uint32_t low = 0, high = t->n_aside;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->aside[middle]->ordinal < ordinal) low = middle + 1;
        else high = middle;
    }
    return low < t->n_aside && t->aside[low]->ordinal == ordinal ? t->aside[low] : NULL;
}

sqi_segment *sqi_aside_open(sq_tape *t, int64_t step, size_t hint)
{
    uint64_t need = (uint64_t)t->n_aside + 1;
    if (!sqi_grow(t, &t->aside, &t->aside_room, need, sizeof(sqi_segment *))) return NULL;
    sqi_segment *s = sqi_segment_take(t);
    if (!s) return NULL;
    s->ordinal = SQI_ASIDE + t->asides++;
    s->step = step;
    s->oldest_import = UINT64_MAX;
    s->arena.hint = hint;
    s->watch = sqi_watch_share(t->watch);
    t->chance = t->rerun->run;
    t->current = t->aside[t->n_aside++] = s;
    return s;
}

void sqi_aside_close(sq_tape *t, sqi_segment *s)
{
    uint32_t i = t->n_aside;
    while (t->aside[i - 1] != s) i--;
    memmove(t->aside + i - 1, t->aside + i, (t->n_aside - i) * sizeof *t->aside);
    t->n_aside--;
    if (t->current == s) t->current = t->rerun->home;
    sqi_segment_release(t, s);
}

/* ---- Going back and returning ------------------------------------------------------------- */

void sqi_rerun_begin(sq_tape *t, sqi_rerun *r)
{
    r->outer = t->rerun;
    r->current = t->current;
    r->doing = t->doing;
    r->tracing = t->tracing;
    r->now = t->chance;
    r->seed_now = t->seed;
    r->watch = t->watch;
    t->watch = r->home->watch;
    t->rerun = r;
    t->tracing = false;
    t->seed = r->seed;
}

void sqi_rerun_end(sq_tape *t, sqi_rerun *r)
{
    t->rerun = r->outer;
    t->current = r->current;
    t->doing = r->doing;
    t->tracing = r->tracing;
    t->chance = r->now;
    t->seed = r->seed_now;
    t->watch = r->watch;
}

bool sqi_in_line(sq_tape *t)
{
    return !t->rerun ||
           sq_post(t, SQ_EVALUE,
                   "has no place inside a step of an unroll that does not keep its "
                   "steps: one under a byte budget, or for inference");
}

/* ---- What comes from outside -------------------------------------------------------------- */

/* Where an outside value stands among the aliases, or would. */
static uint32_t alias_place(const sqi_rerun *r, uint64_t id)
{
    uint32_t low = 0, high = r->n_alias;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->alias[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low;
}

sqi_alias *sqi_alias_find(const sqi_rerun *r, uint64_t id)
{
    uint32_t i = alias_place(r, id);
    return i < r->n_alias && r->alias[i].id == id ? &r->alias[i] : NULL;
}

bool sqi_alias_add(sq_tape *t, sqi_rerun *r, sqi_alias a)
{
    uint32_t i = alias_place(r, a.id);
    uint64_t need = (uint64_t)r->n_alias + 1;
    if (!sqi_grow(t, &r->alias, &r->alias_room, need, sizeof *r->alias)) return false;
    memmove(r->alias + i + 1, r->alias + i, (r->n_alias - i) * sizeof *r->alias);
    r->alias[i] = a;
    r->n_alias++;
    return true;
}

sqi_node *sqi_stand_in(const sq_tape *t, sq_var *v, uint32_t *needs)
{
    const sqi_alias *a = t->rerun ? sqi_alias_find(t->rerun, v->id) : NULL;
    if (!a) return NULL;
    v->id = sqi_id(t->rerun->home->ordinal, a->index);
    *needs = a->needs;
    return sqi_node_find(t, v->id);
}

void sqi_rerun_free(sq_tape *t, sqi_rerun *r)
{
    free(r->alias);
    t->array_bytes -= r->alias_room * sizeof *r->alias;
    r->alias = NULL;
    r->n_alias = r->alias_room = 0;
}

/* ---- A step that was recorded in line after all ------------------------------------------- */

void sqi_segment_bury(sq_tape *t, sqi_segment *s)
{
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        sqi_node *n = &s->nodes[i];
        sqi_node *source = n->op == &sqi_op_import ? sqi_node_find(t, n->source) : NULL;
        if (source) source->imported = 0;
        if (n->op == &sqi_op_use) t->uses[n->source].version = 0, t->uses[n->source].id = 0;
        *n = (sqi_node){ .op = &sqi_op_constant, .attr = &sqi_no_attr, .flags = SQI_DEAD };
    }
    s->oldest_import = UINT64_MAX;
    s->leaves = NULL;
    sqi_arena_free(&s->arena, &t->pool);
}
