/* chain.h -- every number of the chain rule, as two sides compute it.
 *
 * hand.c fills one in with loops over numbers, tape.c another one with what seqgrad says, and the
 * blackboard shows them side by side. Two kinds of derivative, with different names:
 *     immediate  ∂    what something does in its own step, everything else held fixed
 *     total      d    what it does to all that follows, through the later steps, too
 * Index 0 of time is the initial state; a matrix is row-major and as small as the problem's H. */
#ifndef CHAIN_H
#define CHAIN_H

#include "problem.h"

enum { MAX_WINDOW = 2 };

typedef double vector[MAX_UNITS];
typedef double entries[MAX_ENTRIES];

/* Nothing but doubles: it can be gone through as one array. */
typedef struct chain {
    vector h[MAX_STEPS + 1];
    double loss[MAX_STEPS + 1], whole_loss;        /* l_t, L */
    vector immediate[MAX_STEPS + 1];               /* ∂l_t/∂h_t */
    vector total[MAX_STEPS + 1];                   /* dL/dh_t */
    entries product[MAX_STEPS + 1][MAX_STEPS + 1]; /* dh_t/dh_k; of k = t - 1 ∂h_t/∂h_(t-1) */
    vector reach[MAX_STEPS + 1][MAX_STEPS + 1];    /* dl_t/dh_k */
    entries use[N_WEIGHTS][MAX_STEPS + 1][MAX_UNITS];      /* ∂h_k[i]/∂W */
    entries term[N_WEIGHTS][MAX_STEPS + 1][MAX_STEPS + 1]; /* (t,k) = dl_t/dh_k ∂h_k/∂W */
    entries of_loss[N_WEIGHTS][MAX_STEPS + 1];             /* dl_t/dW, the sum over k */
    entries of_step[N_WEIGHTS][MAX_STEPS + 1];             /* dL/dW|(k), the sum over t */
    entries gradient[N_WEIGHTS];                           /* dL/dW, the sum over both */
    entries cut[MAX_WINDOW + 1][N_WEIGHTS]; /* of terms with t - k < window only */
} chain;

/* What a student may get wrong, on purpose. */
typedef enum mistake {
    NO_MISTAKE,
    MISTAKE_SLOPE,     /* 1 - h for 1 - h^2 */
    MISTAKE_TRANSPOSE, /* W_hh for its transpose; no mistake where H = 1 */
    MISTAKE_IMMEDIATE, /* ∂l_t/∂h_t taken for dL/dh_t: the later steps are forgotten */
    N_MISTAKES
} mistake;

void by_hand(chain *c, const problem *p, mistake m);

/* The same from seqgrad. Where wanted (not NULL) also writes the picture of the unrolled tape, for
 * Graphviz, and the library's page about it. Dies with the tape's message. */
void by_tape(chain *c, const problem *p, const char *dot, const char *html);

#endif
