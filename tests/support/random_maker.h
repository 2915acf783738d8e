/* random_maker.h -- what draws a random cell: the cell so far, what may be used next, and the makers
 * that add to it (random_makers.c), for the layers (random_draw.c). */
#ifndef SQT_RANDOM_MAKER_H
#define SQT_RANDOM_MAKER_H

#include "tests/support/random_cell.h"

typedef struct maker {
    random_cell *c;
    rng r;
    sq_tape *scratch; /* for bounds: what an op gives on a grid */
    int seen[RC_NODES], n_seen;
    bool all_frozen, may_mix;
} maker;

static inline bool chance(maker *m, double p) { return rng_in(&m->r, 0, 1) < p; }
static inline int below(maker *m, int n) { return rng_below(&m->r, n); }

static inline const rc_node *at(const maker *m, int i) { return &m->c->node[i]; }
static inline sq_shape shape_at(const maker *m, int i) { return at(m, i)->shape; }
static inline sq_shape rows_of(int64_t width) { return sq_mat(RC_BATCH, width); }

static inline int64_t last_dim(sq_shape s) { return s.rank ? s.dim[s.rank - 1] : 1; }

static inline bool same_shape(sq_shape a, sq_shape b) { return sq_shape_equal(a, b); }

/* Each adds nodes and returns the number of the last: any; with one or two operands; a value from
 * outside; y = f(a), f(a, p), f(a, b) of the elementwise op of that name. */
int rcm_push(maker *m, rc_node n);
int rcm_op1(maker *m, const rc_kind *kind, int a, sq_shape s, double bound);
int rcm_op2(maker *m, const rc_kind *kind, int a, int b, sq_shape s, double bound);
int rcm_invariant(maker *m, sq_shape s, rc_pattern pattern, double scale);
int rcm_map1(maker *m, const char *name, int a);
int rcm_map1p(maker *m, const char *name, int a, double p);
int rcm_map2(maker *m, const char *name, int a, int b);

/* Within the limit; times a weight of n columns; brought to a width. */
int rcm_squash(maker *m, int a, double limit);
int rcm_product(maker *m, int a, int64_t n);
int rcm_to_width(maker *m, int a, int64_t w);

/* A node that was seen, one row for each of the batch; a width that is there, or a new one. */
int rcm_pick_row(maker *m);
int rcm_some_width(maker *m);

/* One of the makers, by chance; -1 when it found nothing to work on. */
int rcm_something(maker *m);

#endif
