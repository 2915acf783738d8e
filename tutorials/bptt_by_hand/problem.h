/* problem.h -- the network that is taken apart, small enough to be written on a blackboard.
 *
 *     h_t = tanh(x_t W_xh + h_(t-1) W_hh + b)      l_t = |h_t - y_t|^2 / 2      L = l_1 + ... + l_T
 *
 * Steps count from 1, h_0 is given. x_t is one number; h_t, y_t and b are rows of H numbers, W_xh is
 * [1,H], W_hh [H,H]: entry [m,n] leads from unit m of h_(t-1) to unit n of h_t. */
#ifndef PROBLEM_H
#define PROBLEM_H

enum { MAX_UNITS = 2, MAX_STEPS = 6, MAX_ENTRIES = MAX_UNITS * MAX_UNITS };

/* The three weights; a table of anything by weight has them in this order. */
enum { W_HH, W_XH, BIAS, N_WEIGHTS };

typedef struct problem {
    int units, steps; /* H, T */
    double weight[N_WEIGHTS][MAX_ENTRIES];
    double h0[MAX_UNITS], x[MAX_STEPS], y[MAX_STEPS * MAX_UNITS];
} problem;

extern const char *const weight_names[N_WEIGHTS];

/* How many numbers weight w has. */
static inline int entries_of(const problem *p, int w)
{
    return w == W_HH ? p->units * p->units : p->units;
}

#endif
