/* inside.h -- what lies behind a gradient that vanishes: the derivative of one state by another.
 *
 *     J_t = dh_t/dh_(t-1)               singular values: how much one step shrinks or stretches
 *     dh_T/dh_k = J_T ... J_(k+1)       what is left of a change after T - k steps
 *     lambda_i                          Lyapunov exponents: ln of the factor a step, in the long run
 *     gates                             how open, and how many units are saturated
 *
 * h stands for all states jointly, h and c of an LSTM. An inside is a copy of numbers: it outlives the
 * model that it was taken of. What was not asked for is empty. */
#ifndef INSIDE_H
#define INSIDE_H

#include "flow.h"

enum { MAX_GATES = 8, MAX_SKIPPED = 20 };

/* What may be asked for: a step costs S^3 and more. */
enum { INSIDE_HIDDEN = 128, INSIDE_STEPS = 1000 };

/* The i-th distance that products are looked at over: 0, 1, 2, ... 10, 12, ... 200; -1 past the last. */
int64_t inside_back(int64_t i);

/* Natural logarithms, because a product over many steps has no other size; ln 0 is -infinity. */
typedef struct jacobians {
    int64_t steps, size; /* T, S */
    double *step;        /* [T][S]: of J_t, t = 0 .. T - 1, largest first */
    int64_t n;           /* of the distances that follow */
    double *product; /* [n][S]: of dh_T/dh_k for T - k = inside_back(0), inside_back(1), ... */
} jacobians;

typedef struct exponents {
    int32_t n;
    int64_t points, skipped; /* steps counted, and not counted */
    double *trace;           /* [points][n]: the estimate after every step */
} exponents;

typedef struct gates {
    int32_t n;
    int64_t steps;
    char name[MAX_GATES][16];
    sq_gate_statistics *at; /* [T][n] */
} gates;

typedef struct inside {
    char title[24];
    const char *moment;
    int64_t first; /* index in the series of step 0 of the window */
    jacobians j;
    exponents e;
    gates g;
} inside;

/* Looks into a model as it is now, at what the options ask for. */
inside inside_of(model *m, const lesson *l, const options *o, const char *title,
                 const char *moment);
void inside_free(inside *in);

/* The i-th exponent at the end of the run; NaN where there is none. */
double exponent_of(const exponents *e, int32_t i);

/* Over all steps and units. */
sq_gate_statistics gate_of(const gates *g, int32_t gate);

/* ln of the i-th singular value of J_t, the median over the steps. */
double median_singular(const jacobians *j, int64_t i);

#endif
