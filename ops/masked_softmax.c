/* masked_softmax.c -- softmax and log_softmax along the last axis of what a mask leaves.
 *
 * The mask stretches to x and is attributes k[1..5]; p[0] is what log_softmax says where nothing is.
 *
 *     y = e^x / sum e^x          gx = y (gy - <y,gy>)            sums over what is there;
 *     y = x - ln sum e^x         gx = gy - softmax(x) sum gy     elsewhere gx = 0
 *
 * A row without anything is an error. */
#include "ops/row_kernels.h"

static sqi_masked rows_of(const sq_call *c) { return sqi_masked_rows(c, c->ys, -1); }

static bool softmax_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    (void)n;
    *out = in[0];
    return sqi_check_full_axis(t, in[0], -1) && sqi_check_masked_rows(t, attr, in[0], -1);
}

/* The sum of v along the last axis, which stays with size 1. */
static sq_var total(sq_var v) { return sq_sum_to(v, sqi_with_size(sq_shape_of(v), -1, 1)); }

/* v, or 0 where nothing is: what arrives there may be no number. */
static sq_var kept(sq_var v, const sq_attr *attr)
{
    return sq_where(attr->mask, sqi_mask_shape(attr), v, sq_zeros(v.tape, sq_shape_of(v)));
}

/* ---- softmax ----------------------------------------------------------------------------- */

static void softmax_forward(const sq_call *c)
{
    sqi_masked r = rows_of(c);
    sqi_rows_for(c)->masked_softmax(&r, c->x[0], c->y);
}

static void softmax_vjp(const sq_call *c, int32_t k)
{
    sqi_masked r = rows_of(c);
    (void)k;
    sqi_rows_for(c)->masked_softmax_diff(&r, c->y, c->gy, c->gx[0]);
}

static void softmax_jvp(const sq_call *c, int32_t k)
{
    sqi_masked r = rows_of(c);
    (void)k;
    sqi_rows_for(c)->masked_softmax_diff(&r, c->y, c->dx[0], c->dy);
}

static sq_var softmax_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    sq_var g = kept(gy, attr);
    (void)x, (void)k;
    return sq_mul(y, sq_sub(g, total(sq_mul(y, g))));
}

static sq_var softmax_means(const sq_var *x, const sq_attr *attr)
{
    sq_var e = kept(sq_exp(x[0]), attr);
    return sq_div(e, total(e));
}

sq_var sq_masked_softmax(sq_var x, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, -1);
    return sq_apply(&sq_op_masked_softmax, &x, 1, &attr);
}

/* ---- log_softmax ------------------------------------------------------------------------- */

static void log_forward(const sq_call *c)
{
    sqi_masked r = rows_of(c);
    sqi_rows_for(c)->masked_log_softmax(&r, c->attr->p[0], c->x[0], c->y);
}

static void log_vjp(const sq_call *c, int32_t k)
{
    sqi_masked r = rows_of(c);
    (void)k;
    sqi_rows_for(c)->masked_log_softmax_vjp(&r, c->y, c->gy, c->gx[0]);
}

static void log_jvp(const sq_call *c, int32_t k)
{
    sqi_masked r = rows_of(c);
    (void)k;
    sqi_rows_for(c)->masked_log_softmax_jvp(&r, c->y, c->dx[0], c->dy);
}

static sq_var log_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    sq_var g = kept(gy, attr);
    (void)y, (void)k;
    sq_var p = sq_masked_softmax(x[0], attr->mask, sqi_mask_shape(attr));
    return sq_sub(g, sq_mul(p, total(g)));
}

static sq_var log_means(const sq_var *x, const sq_attr *attr)
{
    sq_var y = sq_sub(x[0], sq_log(total(kept(sq_exp(x[0]), attr))));
    return sq_where(attr->mask, sqi_mask_shape(attr), y, sq_constant(y.tape, attr->p[0]));
}

sq_var sq_masked_log_softmax(sq_var x, const int32_t *mask, sq_shape shape, double none)
{
    sq_attr attr = sqi_mask_attr(mask, shape, -1);
    attr.p[0] = none;
    return sq_apply(&sq_op_masked_log_softmax, &x, 1, &attr);
}

/* ---- Descriptors ------------------------------------------------------------------------- */

static const int32_t some[] = { 1, 0, 0, 7, -1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1 };

#define SAMPLE(n_mask, mask_rank, mask_dims, ...)                       \
    {                                                                   \
        .n = 1, .lo = -3, .hi = 3, .in = { { __VA_ARGS__ } }, .attr = { \
            .p = { -2 },                                                \
            .k = { -1, mask_rank, SQI_DIMS mask_dims },                 \
            .mask = some,                                               \
            .n_ids = n_mask                                             \
        }                                                               \
    }
#define SQI_DIMS(...) __VA_ARGS__

static const sq_sample samples[] = {
    SAMPLE(5, 1, (5), 1, { 5 }),
    SAMPLE(12, 2, (3, 4), 2, { 3, 4 }),
    SAMPLE(19, 1, (19), 2, { 3, 19 }),
    SAMPLE(8, 3, (2, 1, 4), 3, { 2, 3, 4 }),
    SAMPLE(1, 1, (1), 2, { 2, 3 }),
    SAMPLE(0, 2, (0, 4), 2, { 0, 4 }),
    { .n = 0 },
};

const sq_op sq_op_masked_softmax = {
    .name = "masked_softmax",
    .formula = "y = e^x / sum e^x along the last axis where the mask is not 0, else 0",
    .arity = 1,
    .flags = SQ_ROWWISE,
    .shape = softmax_shape,
    .forward = softmax_forward,
    .vjp = softmax_vjp,
    .jvp = softmax_jvp,
    .adjoint = softmax_adjoint,
    .means = softmax_means,
    .samples = samples,
};

const sq_op sq_op_masked_log_softmax = {
    .name = "masked_log_softmax",
    .formula = "y = x - ln sum e^x along the last axis where the mask is not 0, else a number",
    .arity = 1,
    .flags = SQ_ROWWISE,
    .shape = softmax_shape,
    .forward = log_forward,
    .vjp = log_vjp,
    .jvp = log_jvp,
    .adjoint = log_adjoint,
    .means = log_means,
    .samples = samples,
};
