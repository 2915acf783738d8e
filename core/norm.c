/* norm.c -- the Euclidean norm of n elements.
 *
 * The kernel's sum of squares is taken when nothing was lost in it. Otherwise m = max |x| and
 *     |x| = m sqrt(sum (x/m)^2),
 * where every quotient is at most 1 and the largest is 1. */
#include "core/norm_impl.h"

#include <math.h>

/* The least sum whose terms may have been rounded to subnormal numbers without harm. */
static const double smallest = 1e-290;

static double element(sq_dtype dtype, const void *x, int64_t i)
{
    return dtype == SQ_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static double scaled(sq_dtype dtype, int64_t n, const void *x)
{
    double largest = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = fabs(element(dtype, x, i));
        largest = v > largest ? v : largest; /* not fmax: gcc 12 for aarch64 fails on it here */
    }
    if (largest == 0 || isinf(largest)) return largest;
    for (int64_t i = 0; i < n; i++) {
        double v = element(dtype, x, i) / largest;
        sum += v * v;
    }
    return largest * sqrt(sum);
}

double sqi_norm(const sq_kernels *kern, sq_dtype dtype, int64_t n, const void *x)
{
    double sum = kern->of[dtype].sumsq(n, x);
    bool exact = isnan(sum) || (sum >= smallest && !isinf(sum));
    return exact ? sqrt(sum) : scaled(dtype, n, x);
}
