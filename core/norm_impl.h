/* norm_impl.h -- the one Euclidean norm, right over the whole range of double.
 *
 * The square root of a plain sum of squares is fast and enough for numbers near 1, but squares
 * leave the range of double long before the norm does: 2e-210 would count as 0 and 1e200 as
 * infinite. Whoever shows, compares or divides by a norm uses this function. */
#ifndef SQ_CORE_NORM_IMPL_H
#define SQ_CORE_NORM_IMPL_H

#include "core/kernels/kernels.h"

/* |x| of n elements, 0 for none. NaN if an element is NaN, else infinite if one is. */
double sqi_norm(const sq_kernels *kern, sq_dtype dtype, int64_t n, const void *x);

#endif
