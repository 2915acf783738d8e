/* plan_find.c -- the plan of a trace: found again by its fingerprint, or built.
 *
 * The fingerprint is everything the rewrite depends on, written behind each other as bytes: ops,
 * attributes, shapes, which operand comes from where, names, which weights, whether gradients
 * flow. Addresses of values, T and random streams are not in it, so training finds its plan in
 * microseconds. */
#include "graph/plan_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- Memory -------------------------------------------------------------------------------- */

void *sqi_plan_take(sq_tape *t, sqi_plan *p, size_t n, size_t size)
{
    size_t bytes = (n ? n : 1) * size;
    void *block = n < SIZE_MAX / 2 / (size ? size : 1)
                      ? sqi_arena_alloc(&p->arena, &t->pool, bytes)
                      : NULL;
    if (!block) return sq_post(t, SQ_ENOMEM, "out of memory for a plan"), NULL;
    return memset(block, 0, bytes);
}

static void plan_free(sq_tape *t, sqi_plan *p)
{
    if (p->free_timetables) p->free_timetables(p);
    sqi_arena_clear(&p->arena, &t->pool);
    free(p);
}

static void free_plans(sq_tape *t)
{
    for (sqi_plan *p = t->plans, *next; p; p = next) {
        next = p->next;
        plan_free(t, p);
    }
    t->plans = NULL;
}

static sqi_plan *plan_new(sq_tape *t)
{
    sqi_plan *p = calloc(1, sizeof *p);
    if (!p) return sq_post(t, SQ_ENOMEM, "out of memory for a plan"), NULL;
    p->dtype = t->dtype;
    p->kern = t->kern;
    return p;
}

/* ---- The fingerprint ----------------------------------------------------------------------- */

typedef struct writer {
    unsigned char *to;          /* NULL: nothing is written */
    const unsigned char *known; /* NULL, or a fingerprint of known_bytes to compare with */
    size_t known_bytes;
    size_t n;
    bool same;
} writer;

static void put(writer *w, const void *from, size_t bytes)
{
    if (w->to && bytes) memcpy(w->to + w->n, from, bytes);
    if (w->known)
        w->same = w->same && bytes <= w->known_bytes - w->n &&
                  (!bytes || memcmp(w->known + w->n, from, bytes) == 0);
    w->n += bytes;
}

static void put_number(writer *w, int64_t x) { put(w, &x, sizeof x); }

/* All entries of a shape count: those from its rank on are 0. */
static void put_shape(writer *w, sq_shape s)
{
    put_number(w, s.rank);
    put(w, s.dim, sizeof s.dim);
}

/* What brings x and the states in is told by the trace; other early nodes by kind. */
static void put_operand(writer *w, const sqi_segment *s, const sqi_trace *r, uint32_t i)
{
    put_number(w, i);
    if (i >= r->first) return;
    put(w, &s->nodes[i].op, sizeof s->nodes[i].op);
    put_shape(w, s->nodes[i].shape);
}

/* What every node has, in numbers of equal size: nothing lies between them. */
typedef struct node_print {
    uint64_t op, needs, source, rank, name, user_size, when, ordinal, n;
    int64_t dim[SQ_MAX_RANK], k[6];
    double p[3];
} node_print;

static void put_node(writer *w, const sqi_segment *s, const sqi_trace *r, uint32_t i)
{
    const sqi_node *n = &s->nodes[i];
    const sq_attr *a = n->attr;
    node_print all = { .op = (uintptr_t)n->op,
                       .needs = n->flags & SQI_NEEDS,
                       .source = n->op == &sqi_op_use ? n->source : 0,
                       .rank = (uint64_t)n->shape.rank,
                       .name = n->name ? strlen(n->name) + 1 : 0,
                       .user_size = a->user_size,
                       .when = (uint64_t)a->draw.when,
                       .ordinal = a->draw.ordinal,
                       .n = (uint64_t)n->n };
    memcpy(all.dim, n->shape.dim, sizeof all.dim);
    memcpy(all.k, a->k, sizeof all.k);
    memcpy(all.p, a->p, sizeof all.p);
    put(w, &all, sizeof all);
    put(w, n->name, all.name);
    if (a->user) put(w, a->user, a->user_size);
    if (a->draw.when == SQ_AS_GIVEN) put(w, &a->draw.stream, sizeof a->draw.stream);
    for (int32_t k = 0; k < n->n; k++)
        put_operand(w, s, r, s->operands[n->first + (uint32_t)k]);
}

/* A comparison ends at the first node that differs. */
static void print(writer *w, const sqi_segment *s, const sqi_trace *r)
{
    put_number(w, r->batch);
    put_number(w, r->n_states);
    put_number(w, r->first);
    put_number(w, r->x);
    put_number(w, r->output);
    put_number(w, r->repeats != NULL);
    if (r->x) put_number(w, s->nodes[r->x].flags & SQI_NEEDS);
    if (r->x) put_shape(w, s->nodes[r->x].shape);
    for (int32_t k = 0; k < r->n_states; k++) {
        put_number(w, r->enters[k]);
        put_number(w, r->leaves[k]);
        put_shape(w, s->nodes[r->enters[k]].shape);
    }
    for (uint32_t i = r->first; i < s->n_nodes && (w->same || !w->known); i++)
        put_node(w, s, r, i);
}

static bool is_print_of(const sqi_plan *p, const sqi_segment *s, const sqi_trace *r)
{
    writer w = { .known = p->print, .known_bytes = p->print_bytes, .same = true };
    print(&w, s, r);
    return w.same && w.n == p->print_bytes;
}

/* The fingerprint, in memory of the plan; false after posting. */
static bool keep_print(sq_tape *t, sqi_plan *p, const sqi_trace *r)
{
    writer counts = { 0 };
    print(&counts, t->current, r);
    writer writes = { .to = sqi_plan_take(t, p, counts.n, 1) };
    if (!writes.to) return false;
    print(&writes, t->current, r);
    p->print = writes.to;
    p->print_bytes = writes.n;
    return true;
}

/* ---- Finding and building ------------------------------------------------------------------ */

/* Takes the plan out of the list and puts it in front: the list is by latest use. */
static sqi_plan *cached(sq_tape *t, const sqi_trace *r)
{
    for (sqi_plan **at = &t->plans, *p; (p = *at); at = &p->next) {
        if (!is_print_of(p, t->current, r)) continue;
        *at = p->next;
        p->next = t->plans;
        t->plans = p;
        return p;
    }
    return NULL;
}

static bool in_use(const sq_tape *t, const sqi_plan *p)
{
    for (uint32_t i = 0; i < t->n_live; i++) {
        const sqi_planned *u = (const sqi_planned *)t->live[i]->span;
        if (u && u->span.grad == sqi_wake_grad && u->plan == p) return true;
    }
    return false;
}

/* Forgets plans beyond the MOST_PLANS used last, unless a live step refers to them: batches of
 * every size would fill the memory otherwise. */
static void forget_old(sq_tape *t)
{
    enum { MOST_PLANS = 32 };
    int32_t n = 0;
    for (sqi_plan **at = &t->plans, *p; (p = *at);) {
        if (++n < MOST_PLANS || in_use(t, p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        plan_free(t, p);
    }
}

static sqi_plan *build(sq_tape *t, const sqi_trace *r)
{
    sqi_plan *p = plan_new(t);
    if (!p) return NULL;
    if (!keep_print(t, p, r) || !sqi_plan_read(t, p, r) || !sqi_plan_order(t, p)) {
        plan_free(t, p);
        return NULL;
    }
    forget_old(t);
    p->next = t->plans;
    t->plans = p;
    t->free_plans = free_plans;
    return p;
}

sqi_plan *sqi_plan_of(sq_tape *t, const sqi_trace *r)
{
    sqi_plan *p = cached(t, r);
    return p ? p : build(t, r);
}
