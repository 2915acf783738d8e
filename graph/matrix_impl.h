/* matrix_impl.h -- small dense matrices in double: orthonormal bases, and products whose size no
 * double could hold. Row-major. */
#ifndef SQ_GRAPH_MATRIX_IMPL_H
#define SQ_GRAPH_MATRIX_IMPL_H

#include "core/export.h"

/* sum of a[i] b[i], in eight partial sums */
double sqi_dot(int64_t n, const double *a, const double *b);

/* C[m,n] = A[m,k] B[k,n] */
void sqi_multiply(int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c);

/* The transpose of A[m,n]. */
void sqi_transpose(int64_t m, int64_t n, const double *a, double *to);

/* Orthonormalises the n rows of A, each of m >= n numbers, one after the other: A = R^T Q for the lower
 * triangular R^T. Q takes the place of A; r[n*n] takes R^T, its diagonal never negative. A row that
 * depends on those before it, to rounding, has a zero on the diagonal, and Q an arbitrary direction
 * there. (Gram-Schmidt, every projection twice: Giraud, Langou, Rozloznik 2005.) */
void sqi_orthonormalise(int64_t n, int64_t m, double *a, double *r);

/* x[m] becomes a unit vector orthogonal to the n < m orthonormal rows of q. */
void sqi_fresh_direction(int64_t n, int64_t m, const double *q, double *x);

/* A matrix whose row i is e^(scale[i]) times row i of v[n,m]; the largest |v| of a row is 1, or the
 * row is zero and its scale -infinity. */
typedef struct sqi_scaled {
    int64_t n, m;
    double *v, *scale;
} sqi_scaled;

/* A <- T A for a lower or upper triangular or any T[n,n]; `work` holds n * (m + 1) numbers. */
void sqi_scaled_multiply(const double *t, sqi_scaled *a, double *work);

/* ln of the singular values, largest first, into out[n] (n <= m). A is used up. */
void sqi_scaled_singular(sqi_scaled *a, double *out);

#endif
