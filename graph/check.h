/* check.h -- is this gradient right?
 *
 * Compares every element of the reverse sweep's gradient, in double, with the central
 * difference
 *     (f(x + e) - f(x - e)) / 2e
 * and names the worst. An element agrees when |a - n| <= tolerance max(1, |a|, |n|). A function
 * whose result is not a scalar is checked through its product with fixed random numbers.
 *
 * Cost: two evaluations for every element of every argument, each on a fresh tape, and one with
 * a sweep. A cell over T steps whose weights have P elements, with states of S elements, is
 * unrolled 2 (P + T B I + S) + 1 times: small sizes are enough. */
#ifndef SQ_GRAPH_CHECK_H
#define SQ_GRAPH_CHECK_H

#include "../core/cell.h"
#include "../core/op.h"

SQ_BEGIN_DECLS

/* All-zero is the default. */
typedef struct sq_check_options {
    double tolerance; /* [1e-7] */
    double epsilon;   /* [1e-5] times max(1, |x|) */
    uint64_t seed;    /* of drawn values */
} sq_check_options;

/* Whether it agrees, and where it agrees least. */
typedef struct sq_check_result {
    bool ok;
    int64_t elements; /* compared */
    double worst;     /* largest |a - n| / max(1, |a|, |n|) */
    double analytic;  /* a and n where it is worst */
    double numeric;
    char where[96]; /* "x", "state h", "weight lstm.W_i", "operand 2" */
    int64_t index;  /* flat element in it */
    int64_t step;   /* of x: its time step; -1 elsewhere */
    char text[320]; /* all of that as a sentence, or what went wrong */
} sq_check_result;

/* A function of n variables, called often, on fresh double tapes; must be deterministic. */
typedef sq_var sq_check_fn(sq_tape *t, const sq_var *x, int32_t n, void *context);

/* f at the given values. Status: SQ_OK also when the check fails (see result->ok); otherwise
 * what stopped it, its sentence in result->text. */
SQ_API SQ_CHECKED sq_status sq_check_function(sq_check_fn *f, void *context,
                                              const sq_shape *shapes,
                                              const double *const *values, int32_t n,
                                              const sq_check_options *options,
                                              sq_check_result *result);

/* One op, at shapes and attributes of a sample, values drawn from its interval. */
SQ_API SQ_CHECKED sq_status sq_check_op(const sq_op *op, const sq_sample *sample,
                                        const sq_check_options *options,
                                        sq_check_result *result);

/* A cell over T steps of random inputs [T,B,I] from random states: gradients of every weight,
 * every x_t and every initial state, of a random combination of all outputs and last states.
 * The params are cloned in double; the caller's are not touched. */
SQ_API SQ_CHECKED sq_status sq_check_cell(const sq_cell *cell, const sq_params *params,
                                          int64_t steps, int64_t batch, int64_t in,
                                          const sq_check_options *options,
                                          sq_check_result *result);

SQ_END_DECLS

#endif
