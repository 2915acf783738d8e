/* row_kernels.h -- the loops of ops that need exp, log or max: one table per instruction set
 * and precision, chosen by the kernels of the call.
 *
 * A row is the n elements along an axis of a box [outer, n, inner]; there are outer * inner
 * rows. Sums along a row run over 16 partial sums whatever the instruction set, in the same
 * order, so all tables give the same bits. Every `..._vjp` and `..._jvp` adds. */
#ifndef SQ_OPS_ROW_KERNELS_H
#define SQ_OPS_ROW_KERNELS_H

#include "ops/ops_impl.h"

/* Rows of `classes` logits with a label each; mask may be NULL, 0 leaves a row out. */
typedef struct sqi_labels {
    int64_t rows, classes;
    const int32_t *ids, *mask;
} sqi_labels;

/* Rows under a mask. Element i of row (p,q,r) lies at p x[0] + q x[1] + r x[2] + i x_step, its mask
 * likewise by m and m_step; rows are counted with r fastest. Where the mask is 0 an element counts
 * as absent: it is not looked at, not even for a NaN. Sums run as in other rows. */
typedef struct sqi_masked {
    int64_t dim[3], x[3], m[3];
    int64_t n, x_step, m_step;
    const int32_t *mask;
} sqi_masked;

/* The rows of x along an axis under the mask of the call's attributes. A share of the rows of the
 * batch (c->row) meets its own part of the mask. */
sqi_masked sqi_masked_rows(const sq_call *c, sq_shape x, int64_t axis);

typedef struct sqi_row_kernels {
    /* y = the result, one op each. max has one element per row. */
    void (*softmax)(sqi_rows r, const void *x, void *y);
    void (*log_softmax)(sqi_rows r, const void *x, void *y);
    void (*max)(sqi_rows r, const void *x, void *y);
    void (*max_share)(sqi_rows r, const void *x, void *y);

    /* y = (x - mean) s, s = 1 / sqrt(var + eps);   with v = gy or dx,
     * out += s (v - mean v - y mean(y v)). */
    void (*norm)(sqi_rows r, double eps, const void *x, void *y);
    void (*norm_diff)(sqi_rows r, double eps, const void *x, const void *y, const void *v,
                      void *out);

    /* The Jacobian of softmax is symmetric: with v = gy or dx, out += y (v - <y,v>). */
    void (*softmax_diff)(sqi_rows r, const void *y, const void *v, void *out);
    /* gx += gy - e^y sum gy;   dy += dx - <e^y, dx> */
    void (*log_softmax_vjp)(sqi_rows r, const void *y, const void *gy, void *gx);
    void (*log_softmax_jvp)(sqi_rows r, const void *y, const void *dx, void *dy);
    /* gx += gy share(x);   dy += <share(x), dx> */
    void (*max_vjp)(sqi_rows r, const void *x, const void *gy, void *gx);
    void (*max_jvp)(sqi_rows r, const void *x, const void *dx, void *dy);

    /* Sum over rows of ln sum e^x - x[label];   gx += scale (softmax(x) - one_hot);   the sum
     * over rows of <softmax(x) - one_hot, dx>. */
    double (*cross_entropy)(const sqi_labels *l, const void *x);
    void (*cross_entropy_vjp)(const sqi_labels *l, double scale, const void *x, void *gx);
    double (*cross_entropy_jvp)(const sqi_labels *l, const void *x, const void *dx);

    /* Sum of max(z,0) - t z + ln(1 + e^-|z|);   gz += scale (sigmoid(z) - t);   the sum of
     * (sigmoid(z) - t) dz. */
    double (*bce)(int64_t n, const void *z, const void *t);
    void (*bce_vjp)(int64_t n, double scale, const void *z, const void *t, void *gz);
    double (*bce_jvp)(int64_t n, const void *z, const void *t, const void *dz);

    /* Sum of (a-b)^2;   ga += scale (a-b);   sum of (a-b) da;   sum of a b. */
    double (*square_diff)(int64_t n, const void *a, const void *b);
    void (*diff_vjp)(int64_t n, double scale, const void *a, const void *b, void *ga);
    double (*diff_jvp)(int64_t n, const void *a, const void *b, const void *da);
    double (*dot)(int64_t n, const void *a, const void *b);

    /* y[i] (=, += with add) <a, row i of b>, rows of n numbers. */
    void (*dots)(int64_t rows, int64_t n, const void *a, const void *b, void *y, bool add);

    /* y = a where the mask is not 0, else b;   y += x where it is not 0 as `chosen` is, else
     * nothing. All of one shape. */
    void (*choose)(const sqi_masked *r, const void *a, const void *b, void *y);
    void (*pass)(const sqi_masked *r, bool chosen, const void *x, void *y);

    /* As the unmasked ones, of what is there; `none` is log_softmax elsewhere. A row has something. */
    void (*masked_softmax)(const sqi_masked *r, const void *x, void *y);
    void (*masked_softmax_diff)(const sqi_masked *r, const void *y, const void *v, void *out);
    void (*masked_log_softmax)(const sqi_masked *r, double none, const void *x, void *y);
    void (*masked_log_softmax_vjp)(const sqi_masked *r, const void *y, const void *gy,
                                   void *gx);
    void (*masked_log_softmax_jvp)(const sqi_masked *r, const void *y, const void *dx,
                                   void *dy);
    void (*masked_max)(const sqi_masked *r, const void *x, void *y);
    void (*masked_max_share)(const sqi_masked *r, const void *x, void *y);
    void (*masked_max_vjp)(const sqi_masked *r, const void *x, const void *gy, void *gx);
    void (*masked_max_jvp)(const sqi_masked *r, const void *x, const void *dx, void *dy);
} sqi_row_kernels;

/* By sq_dtype. */
#define SQI_ROW(name) extern const sqi_row_kernels sqi_row_kernels_##name[2];
SQI_ISAS(SQI_ROW)
#undef SQI_ROW

static inline const sqi_row_kernels *sqi_rows_for(const sq_call *c)
{
#define SQI_ROW(name) sqi_row_kernels_##name,
    static const sqi_row_kernels *const table[SQI_N_ISAS] = { SQI_ISAS(SQI_ROW) };
#undef SQI_ROW
    return &table[c->kern->isa][c->dtype];
}

#endif
