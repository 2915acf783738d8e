/* surface.h -- the error of one recurrent unit over its two weights, with its gradient.
 *
 *     x_t = w sigmoid(x_(t-1)) + b,   x_0 = 0.5,   t = 1 .. 50       E = (sigmoid(x_50) - 0.7)^2
 * (Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks") */
#ifndef SURFACE_H
#define SURFACE_H

#include <stdint.h>

/* Points (w,b) on a grid: point i lies at w[i], b[i], in row i / n_w, column i % n_w. */
typedef struct surface {
    int64_t n_w, n_b, n;
    double *w, *b, *error, *by_w, *by_b; /* [n] */
} surface;

/* w = w0, w0 + dw ...; b = b0, b0 + db ...: all points in one unroll and one sweep. Dies with the
 * tape's sentence. */
surface surface_new(double w0, double dw, int64_t n_w, double b0, double db, int64_t n_b);
void surface_free(surface *s);

/* |dE/d(w,b)| at a point; the point where it is largest. */
double surface_steepness(const surface *s, int64_t point);
int64_t surface_steepest(const surface *s);

/* A descent by the gradient: points (w,b) before every update and after the last, with the error and
 * |gradient| there, before clipping. */
typedef struct descent {
    int64_t updates;
    double *w, *b, *error, *steepness; /* [updates + 1] */
} descent;

/* From (w,b), with a rate; gradients longer than `limit` are cut to that length, 0: none are. */
descent descend(double w, double b, double rate, double limit, int64_t updates);
void descent_free(descent *d);

#endif
