/* softmax.c -- softmax and log_softmax along an axis. Attributes: k[0] the axis.
 *
 *     y = e^x / sum e^x          gx = y (gy - <y,gy>)
 *     y = x - ln sum e^x         gx = gy - softmax(x) sum gy
 *
 * Both subtract the largest element first. Softmax over no elements is an error. */
#include "ops/row_kernels.h"

static sqi_rows rows_of(const sq_call *c) { return sqi_rows_of(c->xs[0], c->attr->k[0]); }

static bool softmax_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    (void)n;
    *out = in[0];
    return sqi_check_full_axis(t, in[0], attr->k[0]);
}

/* The sum of v along the axis, kept as an axis of size 1 so that it broadcasts against v. */
static sq_var total(sq_var v, int64_t axis)
{
    return sq_sum_to(v, sqi_with_size(sq_shape_of(v), axis, 1));
}

/* ---- softmax ---------------------------------------------------------------------------- */

static void softmax_forward(const sq_call *c)
{
    sqi_rows_for(c)->softmax(rows_of(c), c->x[0], c->y);
}

static void softmax_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->softmax_diff(rows_of(c), c->y, c->gy, c->gx[0]);
}

static void softmax_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->softmax_diff(rows_of(c), c->y, c->dx[0], c->dy);
}

static sq_var softmax_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    (void)x, (void)k;
    return sq_mul(y, sq_sub(gy, total(sq_mul(y, gy), attr->k[0])));
}

static sq_var softmax_means(const sq_var *x, const sq_attr *attr)
{
    sq_var e = sq_exp(x[0]);
    return sq_div(e, total(e, attr->k[0]));
}

/* ---- log_softmax ------------------------------------------------------------------------ */

static void log_softmax_forward(const sq_call *c)
{
    sqi_rows_for(c)->log_softmax(rows_of(c), c->x[0], c->y);
}

static void log_softmax_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->log_softmax_vjp(rows_of(c), c->y, c->gy, c->gx[0]);
}

static void log_softmax_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->log_softmax_jvp(rows_of(c), c->y, c->dx[0], c->dy);
}

static sq_var log_softmax_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                                  int32_t k)
{
    (void)x, (void)k;
    return sq_sub(gy, sq_mul(sq_exp(y), total(gy, attr->k[0])));
}

static sq_var log_softmax_means(const sq_var *x, const sq_attr *attr)
{
    return sq_sub(x[0], sq_log(total(sq_exp(x[0]), attr->k[0])));
}

/* ---- Descriptors ------------------------------------------------------------------------ */

static const sq_sample samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 5 } } }, .attr = { .k = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 19 } } }, .attr = { .k = { -1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 7, 3 } } }, .attr = { .k = { 1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 4, { 2, 1, 3, 2 } } }, .attr = { .k = { -4 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 1 } } }, .attr = { .k = { 1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 4 } } }, .attr = { .k = { 1 } } },
    { .n = 0 },
};

const sq_op sq_op_softmax = {
    .name = "softmax",
    .formula = "y = e^x / sum e^x along an axis",
    .arity = 1,
    .shape = softmax_shape,
    .forward = softmax_forward,
    .vjp = softmax_vjp,
    .jvp = softmax_jvp,
    .adjoint = softmax_adjoint,
    .means = softmax_means,
    .samples = samples,
};

const sq_op sq_op_log_softmax = {
    .name = "log_softmax",
    .formula = "y = x - ln sum e^x along an axis",
    .arity = 1,
    .shape = softmax_shape,
    .forward = log_softmax_forward,
    .vjp = log_softmax_vjp,
    .jvp = log_softmax_jvp,
    .adjoint = log_softmax_adjoint,
    .means = log_softmax_means,
    .samples = samples,
};

sq_var sq_softmax(sq_var x, int axis)
{
    return sq_apply(&sq_op_softmax, &x, 1, &(sq_attr){ .k = { axis } });
}

sq_var sq_log_softmax(sq_var x, int axis)
{
    return sq_apply(&sq_op_log_softmax, &x, 1, &(sq_attr){ .k = { axis } });
}
