/* svd.c -- singular values by one-sided Jacobi.
 *
 * The rows of W (of A or of its transpose, whichever has fewer) are rotated in pairs until all are
 * orthogonal; G = the product of the rotations. Then W = G A, its rows are sigma_i v_i, and the
 * rows of G are u_i. */
#include "graph/jacobian.h"
#include "graph/matrix_impl.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct svd {
    int64_t r, c;  /* rows of W, r <= c */
    double *w, *g; /* [r,c], [r,r] */
    double *size;  /* [r] */
    int64_t *order;
} svd;

static void turn(int64_t n, double c, double s, double *x, double *y)
{
    for (int64_t j = 0; j < n; j++) {
        double u = x[j], v = y[j];
        x[j] = c * u + s * v;
        y[j] = c * v - s * u;
    }
}

/* False: rows p and q were orthogonal. */
static bool rotate(const svd *d, int64_t p, int64_t q)
{
    double *x = d->w + p * d->c, *y = d->w + q * d->c;
    double xx = sqi_dot(d->c, x, x), yy = sqi_dot(d->c, y, y), xy = sqi_dot(d->c, x, y);
    if (xy == 0 || fabs(xy) <= DBL_EPSILON * sqrt(xx) * sqrt(yy)) return false;
    double z = (xx - yy) / (2 * xy);
    double t = copysign(1, z) / (fabs(z) + hypot(1, z)), c = 1 / sqrt(1 + t * t);
    turn(d->c, c, c * t, x, y);
    turn(d->r, c, c * t, d->g + p * d->r, d->g + q * d->r);
    return true;
}

static void diagonalise(svd *d)
{
    enum { MOST_SWEEPS = 60 };
    bool turned = true;
    for (int sweep = 0; turned && sweep < MOST_SWEEPS; sweep++) {
        turned = false;
        for (int64_t p = 0; p < d->r; p++)
            for (int64_t q = p + 1; q < d->r; q++) turned |= rotate(d, p, q);
    }
    for (int64_t i = 0; i < d->r; i++) {
        const double *x = d->w + i * d->c;
        int64_t at = i;
        d->size[i] = sqrt(sqi_dot(d->c, x, x));
        for (; at > 0 && d->size[d->order[at - 1]] < d->size[i]; at--)
            d->order[at] = d->order[at - 1];
        d->order[at] = i;
    }
}

/* The rows of W as unit vectors, in order, into the columns of `to`. What vanished gets any direction
 * that is orthogonal to the others. */
static void long_vectors(svd *d, double *unit, double *to)
{
    for (int64_t i = 0; i < d->r; i++) {
        const double *x = d->w + d->order[i] * d->c;
        double size = d->size[d->order[i]], *y = unit + i * d->c;
        if (size == 0) sqi_fresh_direction(i, d->c, unit, y);
        else
            for (int64_t j = 0; j < d->c; j++) y[j] = x[j] / size;
    }
    sqi_transpose(d->r, d->c, unit, to);
}

static void short_vectors(const svd *d, double *to)
{
    for (int64_t i = 0; i < d->r; i++)
        for (int64_t j = 0; j < d->r; j++) to[j * d->r + i] = d->g[d->order[i] * d->r + j];
}

/* W, divided by the largest of it. False: something is infinite or not a number. */
static bool fill(svd *d, const double *a, bool wide, double *most)
{
    int64_t size = d->r * d->c;
    *most = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!isfinite(a[i])) return false;
        *most = fmax(*most, fabs(a[i]));
    }
    if (wide) memcpy(d->w, a, (size_t)size * sizeof *a);
    else sqi_transpose(d->c, d->r, a, d->w);
    for (int64_t i = 0; i<size && * most> 0; i++) d->w[i] /= *most;
    memset(d->g, 0, (size_t)(d->r * d->r) * sizeof *d->g);
    for (int64_t i = 0; i < d->r; i++) d->g[i * d->r + i] = 1;
    return true;
}

static sq_status decompose(svd *d, const double *a, bool wide, double *unit, double *s,
                           double *u, double *v)
{
    double most;
    if (!fill(d, a, wide, &most)) return SQ_ENONFINITE;
    diagonalise(d);
    for (int64_t i = 0; i < d->r; i++) s[i] = most * d->size[d->order[i]];
    double *shorter = wide ? u : v, *longer = wide ? v : u;
    if (longer) long_vectors(d, unit, longer);
    if (shorter) short_vectors(d, shorter);
    return SQ_OK;
}

sq_status sq_svd(int64_t m, int64_t n, const double *a, double *s, double *u, double *v)
{
    bool wide = m < n;
    svd d = { .r = wide ? m : n, .c = wide ? n : m };
    if (m < 0 || n < 0) return SQ_ERANGE;
    if (!d.r) return SQ_OK;
    if (!a || !s) return SQ_EVALUE;
    if (d.c > INT32_MAX || d.r > INT32_MAX / d.c) return SQ_ENOMEM;
    size_t r = (size_t)d.r, c = (size_t)d.c;
    double *block = malloc((2 * r * c + r * r + r) * sizeof *block);
    d.order = malloc(r * sizeof *d.order);
    sq_status status = SQ_ENOMEM;
    if (block && d.order) {
        d.w = block;
        d.g = d.w + r * c;
        d.size = d.g + r * r;
        status = decompose(&d, a, wide, d.size + r, s, u, v);
    }
    free(block);
    free(d.order);
    return status;
}
