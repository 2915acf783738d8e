/* random_run.h -- runs a random cell and writes down everything that can be read afterwards.
 *
 * Numbers come from a seed, tensor by tensor, step by step and row by row, so that a row keeps its
 * numbers wherever it stands in the batch; single precision holds each of them exactly. A trace
 * is the list of all tensors read, by name, in double; two traces of the same program compare
 * tensor by tensor. */
#ifndef SQT_RANDOM_RUN_H
#define SQT_RANDOM_RUN_H

#include "tests/support/random_cell.h"

enum { RC_STEPS = 64, RC_NAMES = 6 };

/* ---- What was read ------------------------------------------------------------------------ */

typedef struct trace_item {
    char what[48];
    int64_t at, n;
    sq_shape shape;
} trace_item;

typedef struct trace {
    trace_item *item;
    double *x;
    int n, room;
    int64_t n_x, x_room;
} trace;

void trace_numbers(trace *t, const char *what, const double *x, sq_shape s);
void trace_value(trace *t, const char *what, sq_var v);
void trace_grad(trace *t, const char *what, sq_var v);
void trace_weights(trace *t, sq_tape *tape);
void trace_free(trace *t);

/* max|a - b| / max|b| of one tensor, |b| as far as it is finite; 0 where nothing differs. What is not
 * finite must be the same on both sides, or the result is no finite number either. */
double trace_error(const trace *got, const trace *want, int item);

/* Both list the same tensors, and each is within tol. Otherwise a sentence in `why`. */
bool trace_close(const trace *got, const trace *want, double tol, char *why, size_t n);
bool trace_equal(const trace *got, const trace *want, char *why, size_t n);

/* In single precision: the error of `got` against double is at most max(1e-5, 4 x the error of
 * `peer`), tensor by tensor. */
bool trace_as_good(const trace *got, const trace *peer, const trace *truth, char *why,
                   size_t n);

/* ---- A run -------------------------------------------------------------------------------- */

typedef struct rc_setup {
    sq_dtype dtype;
    sq_mode mode;
    int32_t threads; /* 0: as the tape comes */
    int64_t T, B;
    uint64_t data;   /* seed of the numbers */
    const int *rows; /* which row stands at each place of the batch; NULL: 0, 1, ... */
    double ulp;      /* everything that goes in is changed by so much, up or down */
    bool late;       /* states and outputs are asked for after the sweep only */
    sq_unroll_options
        memory; /* budget_bytes, every, policy and state_grads are taken from it */
} rc_setup;

typedef struct rc_run {
    const random_cell *c;
    rc_setup s;
    sq_params *params;
    sq_tape *t;
    rc_bound bound;
    sq_cell cell;
    sq_var x, x_leaf, state0[RC_STATES], state_leaf[RC_STATES], invariant_leaf[RC_INVARIANTS];
    const sq_unrolled *u;
    sq_var named[RC_STEPS][RC_NAMES];
    int64_t low;      /* steps before it were cut */
    char broken[256]; /* what sq_tape_check said, whenever something was read */
} rc_run;

/* A tape of its own, with a copy of the weights. Fails by an assertion for lack of memory only;
 * what the tape posts stays there. */
void rc_open(rc_run *r, const random_cell *c, rc_setup s);
void rc_close(rc_run *r);

/* New weights, by a seed. */
void rc_set_weights(rc_run *r, uint64_t seed);

/* Records x, the initial states and the invariants; then unrolls from them. */
void rc_feed(rc_run *r);
void rc_unroll(rc_run *r);

/* Another window: new x, from the states given, with the same invariants. */
void rc_unroll_from(rc_run *r, const sq_var *states, uint64_t data);

/* A random mixture of outputs, states, named values and their squares. */
sq_var rc_loss(rc_run *r, uint64_t seed);

/* A sweep from one tensor with a random seed of its shape. */
sq_status rc_sweep_from(sq_var y, uint64_t seed);

/* Reads what is there: all values; all gradients of the last sweep. */
void rc_read_values(rc_run *r, trace *t);
void rc_read_grads(rc_run *r, trace *t);

/* The tape has not failed, and all its invariants held whenever something was read; else why. */
bool rc_is_well(rc_run *r, char *why, size_t n);

/* Feeds, unrolls, sweeps once, reads. False, and the reason, when the tape has failed. */
bool rc_trace(const random_cell *c, rc_setup s, uint64_t loss, trace *t, sq_mode *mode,
              char *why, size_t n);

/* Makes a cell smaller while it fails: shorter T, smaller B, fewer nodes. */
void rc_shrink(random_cell *c, bool (*fails)(const random_cell *c, void *context),
               void *context);

/* ---- Over many cells ---------------------------------------------------------------------- */

/* A claim about a cell: false, and why. It must not assert, so that a cell which refutes it can
 * be made smaller. */
typedef bool rc_check(const random_cell *c, char *why, size_t n);

/* Checks n cells from seed `first` on; prints the smallest cell found for each failure, and
 * gives up after three. */
void rc_over(const char *title, uint64_t first, int n, double limit, rc_check *check);

/* A program on a run, which writes down what it reads. rc_agree runs it in double, eagerly and
 * as a plan: both read the same, to 1e-12 of the largest entry of each tensor. */
typedef void rc_script(rc_run *r, trace *t);
bool rc_agree(const random_cell *c, rc_script *script, char *why, size_t n);

#endif
