/* checkpoint_best.c -- the tree of least cost, by dynamic programming.
 *
 * It is over blocks of steps, of one step each up to T = 1000; a "step" below is such a block. Where
 * blocks do not divide T the first is shorter, for it is run most often; the program takes it as whole.
 *
 * With c_i the longest stretch beside i snapshots, F_i(n) the least cost of n steps whose first
 * states are at hand beside i snapshots, and H_i that of the rest of a split there,
 *
 *     F_i(n) = 0                                        n <= c_i
 *            = min over y of  y + H_i(n - y) + F_i(y)   otherwise
 *     H_i(m) = 0  for m <= c_i,  F_{i+1}(m)  otherwise.
 *
 * No size is rounded: bytes enter through the c_i alone. Three facts keep it small:
 *   - One step more costs at least one more, so a y below c_i can grow at the cost of the rest.
 *     With each y >= c_i, level i sees no more than T - (c_0 + ... + c_{i-1}) steps.
 *   - What is minimised is piecewise linear in y. Its least value lies where a slope grows: at a
 *     knot of F_i or of H_i. Those are few.
 *   - Of the steps outside a node all are run again, but for a stretch of c_0 at most, and that
 *     only where the node itself lies on the left of a split. So in a tree of cost U,
 *     F_i(n) <= U - T + max(n, c_0): a level ends where no n can be part of the best tree. */
#include "graph/checkpoint_impl.h"

#include <assert.h>
#include <stdlib.h>

enum { MOST = SQI_CHECKPOINT_MOST };

typedef struct knot {
    int32_t at,
        base; /* the steps it leaves or takes; the part of the cost that is known here */
} knot;

typedef struct level {
    int32_t stretch; /* c_i */
    int32_t length;  /* F_i is known for n <= length */
    uint16_t *split; /* [length + 1] the best y */
} level;

typedef struct program {
    int32_t steps, spare; /* T; U - T */
    int32_t levels;
    level level[MOST + 1];
    int32_t cost[2][MOST + 1]; /* F of the level in work and of the one above */
    knot first[MOST + 1], rest[MOST + 1];
    int32_t n_rest;
    uint16_t splits[];
} program;

/* The levels that may be needed, and how many splits lie in them. */
static size_t count_levels(const sq_checkpoint_problem *p, level *v, int32_t *n)
{
    int32_t left = (int32_t)p->steps, i = 0;
    int64_t most = sqi_checkpoint_held(p, 1);
    size_t size = 0;
    for (bool more = true; more; i++) {
        v[i].stretch = (int32_t)sqi_checkpoint_stretch(p, i);
        v[i].length = left;
        size += (size_t)left + 1;
        left -= v[i].stretch;
        more = left > v[i].stretch && i < most;
    }
    *n = i;
    return size;
}

/* The knots of H_i. Beyond its end it is infinite: the end is one more. */
static void find_rest_knots(program *g, int32_t i, int32_t *h)
{
    int32_t c = g->level[i].stretch, end = i + 1 < g->levels ? g->level[i + 1].length : 0;
    g->n_rest = 0;
    g->rest[g->n_rest++] = (knot){ c, -c };
    for (int32_t m = 0; m <= c && m <= end; m++) h[m] = 0;
    for (int32_t m = c + 1; m <= end; m++)
        if (m == end || h[m + 1] - h[m] > h[m] - h[m - 1])
            g->rest[g->n_rest++] = (knot){ m, h[m] - m };
}

/* F_i for every n that may matter, f from h. */
static void solve_level(program *g, int32_t i, int32_t *f, const int32_t *h)
{
    level *v = &g->level[i];
    int32_t c = v->stretch, end = i + 1 < g->levels ? g->level[i + 1].length : 0;
    int32_t n_first = 0, from = 0, n = 0;
    for (; n <= c && n <= v->length; n++) f[n] = 0, v->split[n] = 0;
    for (; n <= v->length; n++) {
        int32_t best = INT32_MAX, y = 0;
        for (int32_t k = 0; k < g->n_rest && g->rest[k].at < n; k++) {
            int32_t cost = n + g->rest[k].base + f[n - g->rest[k].at];
            if (cost < best) best = cost, y = n - g->rest[k].at;
        }
        while (from < n_first && n - g->first[from].at > end) from++;
        for (int32_t k = from; k < n_first && n - g->first[k].at > c; k++) {
            int32_t cost = g->first[k].base + h[n - g->first[k].at];
            if (cost < best) best = cost, y = g->first[k].at;
        }
        if (best > g->spare + (n > g->level[0].stretch ? n : g->level[0].stretch)) break;
        f[n] = best, v->split[n] = (uint16_t)y;
        if (f[n] - f[n - 1] > (n > 1 ? f[n - 1] - f[n - 2] : 0))
            g->first[n_first++] = (knot){ n - 1, n - 1 + f[n - 1] };
    }
    v->length = n - 1;
}

/* A leaf of so many true steps beside `held` snapshots. */
static void add_leaf(sq_checkpoint_cost *cost, const sq_checkpoint_problem *p, int64_t length,
                     int32_t held)
{
    int64_t bytes = held * p->snapshot_bytes + length * p->tape_bytes;
    if (cost->peak_bytes < bytes) cost->peak_bytes = bytes;
    if (cost->stretch < length) cost->stretch = length;
    if (cost->snapshots < held) cost->snapshots = held;
}

/* The best tree, written down, and its cost in true steps. What is still to be visited is the first
 * parts of the splits above, one a level at most. */
static uint16_t *write_tree(const program *g, const sq_checkpoint_problem *p, int64_t block,
                            sq_checkpoint_cost *cost)
{
    struct node {
        int32_t n, level;
        int64_t lacks; /* steps: it begins with the first block, or 0 */
    } todo[MOST + 2];
    uint16_t *list = malloc((2 * (size_t)g->steps) * sizeof *list);
    int32_t size = 0, n_todo = 0;
    if (!list) return NULL;
    *cost = (sq_checkpoint_cost){ 0 };
    todo[n_todo++] = (struct node){ g->steps, 0, g->steps * block - p->steps };
    while (n_todo) {
        struct node x = todo[--n_todo];
        const level *v = &g->level[x.level];
        int32_t y = list[size++] = x.n > v->stretch ? v->split[x.n] : 0, rest = x.n - y;
        if (y) {
            todo[n_todo++] = (struct node){ y, x.level, x.lacks };
            todo[n_todo++] = (struct node){ rest, x.level + (rest > v->stretch), 0 };
            cost->extra_steps += y * block - x.lacks;
        } else {
            add_leaf(cost, p, x.n * block - x.lacks, x.level);
        }
    }
    return list;
}

uint16_t *sqi_checkpoint_best(const sq_checkpoint_problem *of, int64_t block, int64_t extra,
                              sq_checkpoint_cost *cost)
{
    const sq_checkpoint_problem over = sqi_checkpoint_over(of, block), *p = &over;
    level v[MOST + 1];
    int32_t n;
    size_t size = count_levels(p, v, &n);
    program *g = malloc(sizeof *g + size * sizeof *g->splits);
    if (!g) return NULL;
    g->steps = (int32_t)p->steps;
    g->spare = (int32_t)(extra - p->steps);
    g->levels = n;
    uint16_t *split = g->splits;
    for (int32_t i = 0; i < n; i++) {
        g->level[i] = v[i];
        g->level[i].split = split;
        split += v[i].length + 1;
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        find_rest_knots(g, i, g->cost[(i + 1) & 1]);
        solve_level(g, i, g->cost[i & 1], g->cost[(i + 1) & 1]);
    }
    assert(g->level[0].length == g->steps);
    uint16_t *list = write_tree(g, of, block, cost);
    free(g);
    return list;
}
