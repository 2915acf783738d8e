/* matrix.c -- the arithmetic of Jacobians: always double, always in this order. */
#include "graph/matrix_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

double sqi_dot(int64_t n, const double *a, const double *b)
{
    enum { PARTS = 8 };
    double part[PARTS] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int p = 0; p < PARTS; p++) part[p] += a[i + p] * b[i + p];
    for (; i < n; i++) sum += a[i] * b[i];
    for (int p = 0; p < PARTS; p++) sum += part[p];
    return sum;
}

static void add(int64_t n, double factor, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += factor * x[i];
}

/* Not fmax, which passes over what is no number. */
static double larger(double a, double b) { return isnan(b) || b > a ? b : a; }

static double largest(int64_t n, const double *x)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = larger(most, fabs(x[i]));
    return most;
}

void sqi_multiply(int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c)
{
    if (m && n) memset(c, 0, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) add(n, a[i * k + j], b + j * n, c + i * n);
}

void sqi_transpose(int64_t m, int64_t n, const double *a, double *to)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) to[j * m + i] = a[i * n + j];
}

/* ---- Orthonormal rows --------------------------------------------------------------------- */

/* Length of x, which may be very large or small. */
static double length(int64_t n, const double *x)
{
    double most = largest(n, x), sum = 0;
    if (most == 0 || !isfinite(most)) return most;
    for (int64_t i = 0; i < n; i++) sum += (x[i] / most) * (x[i] / most);
    return most * sqrt(sum);
}

/* x without what lies along the rows of q; r[j] += what did. */
static void project(int64_t n, int64_t m, const double *q, double *x, double *r)
{
    for (int64_t j = 0; j < n; j++) {
        double along = sqi_dot(m, q + j * m, x);
        add(m, -along, q + j * m, x);
        r[j] += along;
    }
}

/* A unit vector orthogonal to n < m others: of the axes, the one farthest from them. */
void sqi_fresh_direction(int64_t n, int64_t m, const double *q, double *x)
{
    double unused[1], best = -1;
    int64_t axis = 0;
    for (int64_t i = 0; i < m; i++) {
        double within = 0;
        for (int64_t j = 0; j < n; j++) within += q[j * m + i] * q[j * m + i];
        if (1 - within > best) best = 1 - within, axis = i;
    }
    memset(x, 0, (size_t)m * sizeof *x);
    x[axis] = 1;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < n; j++) {
            unused[0] = 0;
            project(1, m, q + j * m, x, unused);
        }
    double size = length(m, x);
    for (int64_t i = 0; i < m; i++) x[i] /= size;
}

void sqi_orthonormalise(int64_t n, int64_t m, double *a, double *r)
{
    if (n) memset(r, 0, (size_t)(n * n) * sizeof *r);
    for (int64_t i = 0; i < n; i++) {
        double *x = a + i * m, before = length(m, x);
        project(i, m, a, x, r + i * n);
        project(i, m, a, x, r + i * n);
        double size = length(m, x);
        if (size <= before * DBL_EPSILON * (double)m) {
            sqi_fresh_direction(i, m, a, x);
            continue;
        }
        r[i * n + i] = size;
        for (int64_t j = 0; j < m; j++) x[j] /= size;
    }
}

/* ---- Scaled rows -------------------------------------------------------------------------- */

/* Brings the largest of a row to 1 and the rest into its scale. */
static void normalise_row(int64_t m, double *v, double *scale)
{
    double most = largest(m, v);
    *scale = most == 0 && !isnan(*scale) ? -(double)INFINITY : *scale + log(most);
    for (int64_t j = 0; j < m && most > 0; j++) v[j] /= most;
}

void sqi_scaled_multiply(const double *t, sqi_scaled *a, double *work)
{
    double *v = work, *scale = work + a->n * a->m;
    for (int64_t i = 0; i < a->n; i++) {
        const double *row = t + i * a->n;
        double top = -(double)INFINITY;
        for (int64_t k = 0; k < a->n; k++)
            if (row[k] != 0) top = larger(top, a->scale[k] + log(fabs(row[k])));
        memset(v + i * a->m, 0, (size_t)a->m * sizeof *v);
        for (int64_t k = 0; k < a->n && top > -(double)INFINITY; k++)
            if (row[k] != 0) /* each factor at most 1 */
                add(a->m, copysign(exp(a->scale[k] + log(fabs(row[k])) - top), row[k]),
                    a->v + k * a->m, v + i * a->m);
        scale[i] = top;
        normalise_row(a->m, v + i * a->m, &scale[i]);
    }
    memcpy(a->v, v, (size_t)(a->n * a->m) * sizeof *v);
    memcpy(a->scale, scale, (size_t)a->n * sizeof *scale);
}

/* Rotates rows p and q, p the larger, until they are orthogonal. The angle is about
 * ratio = e^(scale q - scale p) <= 1: its tangent, and that over the ratio, are found without either
 * leaving the range of a double. False: they were orthogonal. */
static bool rotate(sqi_scaled *a, int64_t p, int64_t q)
{
    double *x = a->v + p * a->m, *y = a->v + q * a->m;
    double xx = sqi_dot(a->m, x, x), yy = sqi_dot(a->m, y, y), xy = sqi_dot(a->m, x, y);
    if (fabs(xy) <= DBL_EPSILON * sqrt(xx * yy)) return false;
    double ratio = exp(a->scale[q] - a->scale[p]);
    double z = (xx - ratio * ratio * yy) / (2 * xy);
    double over = copysign(1, z) / (fabs(z) + sqrt(ratio * ratio + z * z)); /* tan / ratio */
    double tangent = over * ratio, c = 1 / sqrt(1 + tangent * tangent);
    for (int64_t j = 0; j < a->m; j++) {
        double u = x[j], w = y[j];
        x[j] = c * (u + tangent * ratio * w);
        y[j] = c * (w - over * u);
    }
    normalise_row(a->m, x, &a->scale[p]);
    normalise_row(a->m, y, &a->scale[q]);
    return true;
}

static double log_length(const sqi_scaled *a, int64_t i)
{
    const double *x = a->v + i * a->m;
    return a->scale[i] + log(sqrt(sqi_dot(a->m, x, x)));
}

/* Whether something is infinite or no number. */
static bool broken(const sqi_scaled *a)
{
    bool bad = false;
    for (int64_t i = 0; i < a->n; i++)
        bad |= isnan(a->scale[i]) || a->scale[i] == (double)INFINITY;
    return bad;
}

void sqi_scaled_singular(sqi_scaled *a, double *out)
{
    enum { MOST_SWEEPS = 60 };
    bool turned = true;
    for (int64_t i = 0; i < a->n; i++) out[i] = (double)NAN;
    if (broken(a)) return;
    for (int sweep = 0; turned && sweep < MOST_SWEEPS; sweep++) {
        turned = false;
        for (int64_t p = 0; p < a->n; p++)
            for (int64_t q = p + 1; q < a->n; q++) {
                if (isinf(a->scale[p]) || isinf(a->scale[q])) continue;
                bool larger = a->scale[p] >= a->scale[q];
                turned |= rotate(a, larger ? p : q, larger ? q : p);
            }
    }
    for (int64_t i = 0; i < a->n; i++) {
        double s = isinf(a->scale[i]) ? a->scale[i] : log_length(a, i);
        int64_t at = i;
        for (; at > 0 && out[at - 1] < s; at--) out[at] = out[at - 1];
        out[at] = s;
    }
}
