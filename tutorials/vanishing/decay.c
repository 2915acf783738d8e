/* decay.c -- read this file to learn how Jacobians come out of an unroll.
 *
 * sq_jacobian gives one step's J_t = d(all states)_t / d(all states)_(t-1). From the end,
 *     P_0 = I,   P_k = P_(k-1) J_(T-k+1)   =   d(states)_T / d(states)_(T-k)
 * and of P_k the block of one state by itself: h, or c of an LSTM. Norms of 200 factors leave the
 * range of numbers easily, so a product is kept divided by its largest entry, and the logarithm of
 * what was divided by. */
#include "decay.h"

#include "../common/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A square matrix times e^ln_scale. */
typedef struct product {
    int64_t n;
    double *m, *next, ln_scale;
} product;

static product identity(int64_t n)
{
    product p = { n, take((size_t)(n * n), sizeof(double)),
                  take((size_t)(n * n), sizeof(double)), 0 };
    for (int64_t i = 0; i < n; i++) p.m[i * n + i] = 1;
    return p;
}

/* P <- P J */
static void multiply(product *p, const double *j)
{
    int64_t n = p->n;
    double largest = 0, *out = p->next;
    memset(out, 0, (size_t)(n * n) * sizeof *out);
    for (int64_t r = 0; r < n; r++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t c = 0; c < n; c++) out[r * n + c] += p->m[r * n + k] * j[k * n + c];
    for (int64_t i = 0; i < n * n; i++) largest = fmax(largest, fabs(out[i]));
    for (int64_t i = 0; i < n * n && largest > 0; i++) out[i] /= largest;
    p->next = p->m;
    p->m = out;
    p->ln_scale += log(largest);
}

/* ln of the largest singular value of the block [at, at + width) of P; -infinity for zeros. */
static double ln_spectral_norm(const product *p, int64_t at, int64_t width)
{
    double *block = take((size_t)(width * width), sizeof *block);
    double *sigma = take((size_t)width, sizeof *sigma);
    for (int64_t r = 0; r < width; r++)
        memcpy(block + r * width, p->m + (at + r) * p->n + at, (size_t)width * sizeof *block);
    if (sq_svd(width, width, block, sigma, NULL, NULL)) die("the singular values did not come");
    double ln = log(sigma[0]) + p->ln_scale;
    free(block);
    free(sigma);
    return ln;
}

static void walk_back(const sq_unrolled *u, const network *net, decay *d, meter *m,
                      const char *title)
{
    int64_t n = sq_jacobian_size(u, SQ_JOINTLY), at = 0;
    for (int32_t k = 0; k < net->shown; k++) at += net->cell.width[k];
    double *j = take((size_t)(n * n), sizeof *j);
    product p = identity(n);
    int64_t done = m->done;
    for (int64_t k = 1; k <= d->steps; k++) {
        int64_t t = d->steps - k;
        if (sq_jacobian(u, t, t - 1, 0, SQ_JOINTLY, j, NULL))
            die("%s", sq_message(sq_unrolled_tape(u)));
        multiply(&p, j);
        d->ln_norm[k] = ln_spectral_norm(&p, at, net->cell.width[net->shown]);
        meter_step(m, done + k, title);
    }
    free(j);
    free(p.m);
    free(p.next);
}

/* log_norm[k] tells |dh_t/dh_(k-1)|, counted from the beginning; ours counts from the end. */
static void lengths(const sq_unrolled *u, const network *net, decay *d)
{
    double *from_start = take((size_t)(d->steps + 1), sizeof *from_start);
    if (sq_jacobian_log_norms(u, d->steps - 1, 0, net->shown, from_start))
        die("%s", sq_message(sq_unrolled_tape(u)));
    for (int64_t k = 0; k <= d->steps; k++) d->ln_length[k] = from_start[d->steps - k];
    free(from_start);
}

static double largest_exponent(const sq_unrolled *u)
{
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .exponents = 1 });
    if (!l) die("out of memory");
    if (sq_lyapunov_add(l, u, 0)) die("%s", sq_message(sq_unrolled_tape(u)));
    double lambda = sq_lyapunov_exponent(l, 0);
    sq_lyapunov_free(l);
    return lambda;
}

static sq_var inputs(sq_tape *t, int64_t steps, double drive, uint64_t seed)
{
    sq_random r = sq_random_stream(seed, 0, 0, 0);
    double *x = take((size_t)(steps * N_INPUTS), sizeof *x);
    for (int64_t i = 0; i < steps * N_INPUTS; i++)
        x[i] = drive * sq_random_normal(r, (uint64_t)(i / N_INPUTS), (uint64_t)(i % N_INPUTS));
    sq_var v = sq_input(t, sq_shape3(steps, 1, N_INPUTS), x);
    free(x);
    return v;
}

decay decay_of(const network *n, int64_t steps, double drive, uint64_t seed, meter *m,
               const char *title)
{
    decay d = { .steps = steps };
    d.ln_norm = take((size_t)(steps + 1), sizeof *d.ln_norm);
    d.ln_length = take((size_t)(steps + 1), sizeof *d.ln_length);
    sq_tape *t = sq_tape_new(SQ_F64, n->params);
    const sq_unrolled *u = sq_unroll(t, &n->cell, inputs(t, steps, drive, seed), NULL, NULL);
    if (!u) die("%s", sq_message(t));
    walk_back(u, n, &d, m, title);
    lengths(u, n, &d);
    int64_t half = steps / 2;
    d.factor = exp((d.ln_norm[steps] - d.ln_norm[half]) / (double)(steps - half));
    d.lyapunov = exp(largest_exponent(u));
    sq_tape_free(t);
    return d;
}

void decay_free(decay *d)
{
    free(d->ln_norm);
    free(d->ln_length);
}
