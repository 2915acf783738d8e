/* random_cell.h -- recurrent cells that nobody would write by hand, each from one 64-bit seed.
 *
 * A cell is a list of nodes: sources (x, old states, weights, values recorded before the unroll)
 * and operations over earlier nodes, drawn from the op table, with users' own ops among them. Its
 * step function replays the list on whatever tape it is given, so the same cell runs in both
 * precisions, at any B and T. Shapes are symbolic: RC_BATCH stands for B.
 * Values are kept in range and away from kinks: a bound on |v| is carried along, and what exceeds
 * it is squashed; operands of a kinked op are kept off the kink by fixed patterns of signs. */
#ifndef SQT_RANDOM_CELL_H
#define SQT_RANDOM_CELL_H

#include "tests/support/support.h"

enum { RC_NODES = 256, RC_STATES = 6, RC_INVARIANTS = 24, RC_WEIGHTS = 64, RC_BATCH = 1000003 };

/* What a value recorded before the unroll is. */
typedef enum rc_from { RC_LEAF, RC_INPUT, RC_COMPUTED, RC_NOTHING } rc_from;

/* Off kinks: columns of +-5 and +-.5; of +-20 and +-2; of +-2.5; 2.5 in one column, else 0. */
typedef enum rc_pattern { RC_FREE, RC_SIGNS, RC_WIDE_SIGNS, RC_APART, RC_PEAK } rc_pattern;

typedef struct rc_node {
    const struct rc_kind *kind;
    int in[3], n_in; /* earlier nodes */
    int row;         /* of a table of elementwise ops, or the number of a source */
    int k[2];
    double p[2];
    sq_shape shape;
    double bound;
    bool needs;  /* a gradient reaches it */
    bool varies; /* with time: x or a state reaches it */
    bool mixes;  /* a row of it depends on other rows of the batch */
    bool odd;    /* the batch was not the first axis on the way, or an op promises nothing */
    char name[4];
} rc_node;

typedef struct rc_source {
    sq_shape shape;
    rc_from from; /* of an invariant or an initial state */
    rc_pattern pattern;
    bool frozen; /* of a weight */
    double scale;
} rc_source;

typedef struct random_cell {
    uint64_t seed; /* as given; `draw` counts the cells thrown away before this one */
    int draw;
    double amplification; /* largest change by a change of 1 ulp of everything that goes in */
    int n_nodes, n_states, n_weights, n_invariants, n_layers;
    rc_node node[RC_NODES];
    int64_t in; /* width of x; -1: there is none */
    rc_from x_from;
    int64_t width[RC_STATES];
    int next[RC_STATES]; /* the nodes that become the new states */
    int output;          /* the node that is the step's output */
    sq_outputs outputs;
    rc_source weight[RC_WEIGHTS], invariant[RC_INVARIANTS], state0[RC_STATES];
    int64_t T, B;
} random_cell;

/* The cell of a seed whose amplification is below the limit: others are drawn again, the
 * measurement being made with the plainest kernels on every machine. */
void rc_new(random_cell *c, uint64_t seed, double limit);

/* The first candidate of a seed, as it comes. */
void rc_draw(random_cell *c, uint64_t seed, int draw);

/* Any row mixed with others, other than in a scalar output: rows are not independent. */
bool rc_mixes(const random_cell *c);

/* Whether a plan may be demanded: nothing in it is odd. */
bool rc_plain(const random_cell *c);

/* Whether it takes random numbers: a row then depends on its place, and a step on its run. */
bool rc_draws(const random_cell *c);

/* The newest node of that name, or -1; the names are "a" to "f". */
int rc_named(const random_cell *c, const char *name);

/* The step, line by line, on stderr. */
void rc_print(const random_cell *c);

/* Binds a cell to the values recorded before an unroll; the step function's `self`. */
typedef struct rc_bound {
    const random_cell *c;
    sq_var invariant[RC_INVARIANTS];
} rc_bound;

sq_cell rc_cell(const rc_bound *b);

/* ---- The kinds of nodes (random_kinds.c) ---- */

/* What a kind of node needs in order to be recorded. */
typedef struct rc_context {
    sq_tape *t;
    const rc_bound *bound;
    sq_var x;
    const sq_var *state;
    const sq_var *v; /* the nodes recorded so far */
    int64_t batch;
} rc_context;

typedef struct rc_kind {
    const char *name;
    sq_var (*record)(const rc_context *c, const rc_node *n);
} rc_kind;

extern const rc_kind rc_x, rc_state, rc_weight, rc_invariant, rc_map1, rc_map1p, rc_map2,
    rc_map3, rc_matmul, rc_matmul_nt, rc_matmul_tn, rc_affine, rc_concat, rc_slice, rc_pad,
    rc_sum_axis, rc_sum_to, rc_broadcast, rc_softmax, rc_log_softmax, rc_max_axis, rc_max_share,
    rc_reshape, rc_swap_last, rc_transpose, rc_stack, rc_detach, rc_full, rc_constant, rc_sum,
    rc_squared_error, rc_bce, rc_own_cubic, rc_own_scale, rc_own_centre, rc_layer_norm,
    rc_dropout, rc_noise;

/* The elementwise tables, read from ops.def. */
typedef struct rc_map {
    const char *name;
    sq_var (*f1)(sq_var);
    sq_var (*f1p)(sq_var, const double *p);
    sq_var (*f2)(sq_var, sq_var);
    sq_var (*f3)(sq_var, sq_var, sq_var);
    double lo, hi; /* sampled on */
} rc_map;

extern const rc_map rc_maps1[], rc_maps1p[], rc_maps2[], rc_maps3[];
extern const int rc_n_maps1, rc_n_maps1p, rc_n_maps2, rc_n_maps3;

/* The shape with B put in. */
sq_shape rc_real_shape(sq_shape s, int64_t batch);

/* How a node reads, without its value: "tanh(v3)". */
void rc_node_text(const random_cell *c, int i, char *buf, size_t n);

#endif
