/* norm.c -- layer_norm: every row shifted and scaled to mean 0 and variance 1 (Ba, Kiros,
 * Hinton 2016). Attributes: p[0] eps.
 *
 *     y = (x - mean) s,  s = 1 / sqrt(mean (x - mean)^2 + eps)  over the last axis, of n
 *     J = s (1 - 1 1^T / n - y y^T / n)
 *
 * The Jacobian is symmetric, so one loop is both reverse and forward mode. Learned gains and
 * biases are an ordinary mul and add after it. */
#include "ops/row_kernels.h"

static sqi_rows rows_of(const sq_call *c) { return sqi_rows_of(c->xs[0], -1); }

static bool layer_norm_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                             sq_shape *out)
{
    (void)n;
    if (!(attr->p[0] >= 0))
        return sq_post(t, SQ_ERANGE, "eps must not be negative, it is %g", attr->p[0]);
    *out = in[0];
    return sqi_check_full_axis(t, in[0], -1);
}

static void layer_norm_forward(const sq_call *c)
{
    sqi_rows_for(c)->norm(rows_of(c), c->attr->p[0], c->x[0], c->y);
}

static void layer_norm_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->norm_diff(rows_of(c), c->attr->p[0], c->x[0], c->y, c->gy, c->gx[0]);
}

static void layer_norm_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->norm_diff(rows_of(c), c->attr->p[0], c->x[0], c->y, c->dx[0], c->dy);
}

/* ---- As recorded expressions ------------------------------------------------------------- */

/* The mean of v along the last axis, kept as an axis of size 1 so that it broadcasts against
 * v. */
static sq_var mean(sq_var v)
{
    sq_shape s = sq_shape_of(v);
    return sq_mul_scalar(sq_sum_to(v, sqi_with_size(s, -1, 1)),
                         1.0 / (double)s.dim[s.rank - 1]);
}

/* s, from x - mean */
static sq_var scale(sq_var centred, double eps)
{
    return sq_rdiv_scalar(sq_sqrt(sq_add_scalar(mean(sq_square(centred)), eps)), 1);
}

static sq_var layer_norm_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                                 int32_t k)
{
    (void)k;
    sq_var g = sq_sub(sq_sub(gy, mean(gy)), sq_mul(y, mean(sq_mul(y, gy))));
    return sq_mul(scale(sq_sub(x[0], mean(x[0])), attr->p[0]), g);
}

static sq_var layer_norm_means(const sq_var *x, const sq_attr *attr)
{
    sq_var centred = sq_sub(x[0], mean(x[0]));
    return sq_mul(centred, scale(centred, attr->p[0]));
}

/* ---- Descriptor -------------------------------------------------------------------------- */

static const sq_sample samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 5 } } }, .attr = { .p = { 1e-5 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 19 } } }, .attr = { .p = { 0.1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 3, 7 } } }, .attr = { .p = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 4, { 2, 1, 3, 4 } } }, .attr = { .p = { 1e-3 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 1 } } }, .attr = { .p = { 1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 4 } } }, .attr = { .p = { 1e-5 } } },
    { .n = 0 },
};

const sq_op sq_op_layer_norm = {
    .name = "layer_norm",
    .formula = "y = (x - mean) / sqrt(var + eps) along the last axis",
    .arity = 1,
    .flags = SQ_ROWWISE,
    .shape = layer_norm_shape,
    .forward = layer_norm_forward,
    .vjp = layer_norm_vjp,
    .jvp = layer_norm_jvp,
    .adjoint = layer_norm_adjoint,
    .means = layer_norm_means,
    .samples = samples,
};

sq_var sq_layer_norm(sq_var x, double eps)
{
    return sq_apply(&sq_op_layer_norm, &x, 1, &(sq_attr){ .p = { eps } });
}
