/* cut.c -- truncation: forgetting steps from the front.
 *
 *     before   root | 0 1 2 3 4         keep 2        after   root | 3 4
 *                         ^ h2 ----import----> 3                     ^ h2, now a constant of 3
 *
 * A kept import whose source dies keeps a copy of the value and becomes a constant; nothing
 * else moves, for views share memory only within their own segment and with the root. So the
 * gradients of a cut tape are those of a run that started from these constants, bit for bit. A
 * border inside a span leaves the segment in place and forgets its first steps. Everything that
 * can fail happens before anything is forgotten. */
#include "core/tape_impl.h"

#include <stdio.h>
#include <string.h>

/* Where the cut falls: before a segment, or inside its span. */
typedef struct border {
    uint64_t kept; /* ordinal of the first segment to keep; UINT64_MAX to keep none */
    int64_t low;   /* the first step of its span to keep; 0: all of them */
} border;

static border border_of(const sq_tape *t, int64_t keep)
{
    int64_t steps = 0;
    for (uint32_t i = t->n_live; keep && i-- > 0;) {
        const sqi_segment *s = t->live[i];
        steps += sqi_steps_left(s);
        if (steps >= keep)
            return (border){ s->ordinal, s->span ? s->span->low + steps - keep : 0 };
    }
    return (border){ keep ? 0 : UINT64_MAX, 0 };
}

static bool dies(const sq_tape *t, uint64_t id, border b)
{
    uint64_t o = sqi_ordinal(id);
    if (o == t->root->ordinal || o > b.kept) return false;
    return o < b.kept || sqi_span_loses(sqi_node_find(t, id), b.low);
}

/* Copies the values of imports that lose their source into the segment's own arena. */
static bool adopt(sq_tape *t, sqi_segment *s, border b)
{
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        sqi_node *n = &s->nodes[i];
        if (n->op != &sqi_op_import || !dies(t, n->source, b)) continue;
        const sqi_node *source = sqi_node_find(t, n->source);
        size_t bytes = sqi_bytes(t, &n->shape),
               name = source->name ? strlen(source->name) + 1 : 0;
        char *copy = sqi_arena_alloc(&s->arena, &t->pool, bytes + name);
        if (!copy)
            return sq_post(t, SQ_ENOMEM, "out of memory for %zu bytes of imports", bytes);
        memcpy(copy, n->value, bytes);
        if (name) n->name = memcpy(copy + bytes, source->name, name);
        n->value = copy;
        n->op = &sqi_op_constant;
        n->flags &= SQI_USED;
        n->source = 0;
    }
    return true;
}

/* Rewrites carried variables of dying steps as constants of the current segment. */
static bool carry_over(sq_tape *t, sq_var *carry, int32_t n, border b)
{
    for (int32_t k = 0; k < n; k++) {
        if (!dies(t, carry[k].id, b)) continue;
        if (!sqi_value_ready(t, carry[k].id, sqi_node_find(t, carry[k].id))) return false;
        sq_var c = sqi_constant_copy(t, sqi_node_find(t, carry[k].id));
        if (t->error.status) return false;
        carry[k] = c;
    }
    return true;
}

static bool check_carried(sq_tape *t, const sq_var *carry, int32_t n)
{
    for (int32_t k = 0; k < n; k++) {
        char what[48];
        snprintf(what, sizeof what, "carried variable %d", (int)k + 1);
        if (!sqi_node_of(t, carry[k], what)) return false;
    }
    return true;
}

static void forget(sq_tape *t, border b)
{
    uint32_t n = 0;
    while (n < t->n_live && t->live[n]->ordinal < b.kept) sqi_segment_release(t, t->live[n++]);
    t->n_live -= n;
    if (n && t->n_live) memmove(t->live, t->live + n, t->n_live * sizeof *t->live);
    if (b.low) sqi_span_cut(t->live[0], b.low);
}

/* The kept segment's import of that source, or 0. */
static uint64_t import_of(const sqi_segment *s, uint64_t source)
{
    for (uint32_t i = 1; i < s->n_nodes; i++)
        if (s->nodes[i].op == &sqi_op_import && s->nodes[i].source == source)
            return sqi_id(s->ordinal, i);
    return 0;
}

/* Steps beside the line (rerun.c) do not copy what dies: home, which imports the same, does, and
 * stands in for it. */
static void lean_on_home(const sq_tape *t, border b)
{
    for (uint32_t i = 0; i < t->n_aside; i++)
        for (uint32_t j = 1; j < t->aside[i]->n_nodes; j++) {
            sqi_node *n = &t->aside[i]->nodes[j];
            bool loses = n->op == &sqi_op_import && sqi_ordinal(n->source) < SQI_ASIDE &&
                         dies(t, n->source, b);
            uint64_t at = 0;
            for (uint32_t k = 0; loses && k < t->n_live && !at; k++)
                if (t->live[k]->ordinal >= b.kept && t->live[k]->span)
                    at = import_of(t->live[k], n->source);
            if (at) n->source = at;
        }
}

/* What was adopted lies elsewhere now. */
static void look_again(const sq_tape *t)
{
    for (uint32_t i = 0; i < t->n_aside; i++)
        for (uint32_t j = 1; j < t->aside[i]->n_nodes; j++) {
            sqi_node *n = &t->aside[i]->nodes[j];
            const sqi_node *source =
                n->op == &sqi_op_import ? sqi_node_find(t, n->source) : NULL;
            if (source) n->value = source->value;
        }
}

/* Everything that can fail, then the cut. */
static sq_status cut_at(sq_tape *t, border b, sq_var *carry, int32_t n)
{
    if (b.kept == UINT64_MAX) {
        b.kept = t->next_ordinal;
        if (!sqi_segment_open(t, -1)) return t->error.status;
    }
    if (!carry_over(t, carry, n, b)) return t->error.status;
    lean_on_home(t, b);
    for (uint32_t i = 0; i < t->n_live; i++) {
        sqi_segment *s = t->live[i];
        if (s->ordinal < b.kept || s->oldest_import >= b.kept + (b.low > 0)) continue;
        if (!adopt(t, s, b)) return t->error.status;
        s->oldest_import = b.kept;
    }
    look_again(t);
    forget(t, b);
    return SQ_OK;
}

sq_status sq_cut(sq_tape *t, int64_t keep_steps, sq_var *carry, int32_t n)
{
    if (!sqi_begin(t, "cut")) return sq_tape_status(t);
    if (keep_steps < 0) sq_post(t, SQ_ERANGE, "cannot keep %lld steps", (long long)keep_steps);
    else if (n && !carry)
        sq_post(t, SQ_EVALUE, "the array of %d carried variables is NULL", (int)n);
    if (t->error.status || !sqi_in_line(t) || !sqi_trace_compute(t, "cuts the tape") ||
        !check_carried(t, carry, n) || !t->n_live)
        return t->error.status;
    return cut_at(t, border_of(t, keep_steps), carry, n);
}

sq_status sqi_cut_before(sq_tape *t, uint64_t ordinal, sq_var *carry, int32_t n)
{
    return cut_at(t, (border){ .kept = ordinal }, carry, n);
}

/* What the newest step did not reach back for goes. Its own imports from there keep their values,
 * like those of any cut. */
bool sqi_forget_older(sq_tape *t)
{
    uint32_t i = t->n_live;
    while (i > 0 && t->live[i - 1]->step < 0) i--;
    if (!i) return true;
    const sqi_segment *newest = t->live[i - 1];
    uint64_t reached = newest->oldest_import;
    uint64_t kept = reached < newest->ordinal ? reached : newest->ordinal;
    return kept <= t->live[0]->ordinal || cut_at(t, (border){ .kept = kept }, NULL, 0) == SQ_OK;
}
