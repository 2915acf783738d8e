/* reduce.c -- sums, their duals, and the largest element.
 *
 *     op            attributes                  derivative
 *     sum_axis      k[0] axis                   broadcast along the axis
 *     sum_to        k[0..4] shape               broadcast_to the operand's shape
 *     broadcast_to  k[0..4] shape               sum_to the operand's shape
 *     max_axis      k[0] axis                   gy max_share(x); ties share equally
 *     max_share     k[0] axis                   0 almost everywhere, and taken to be 0
 *
 * The sum of nothing is 0; the largest of nothing is an error. */
#include "core/tape_impl.h"
#include "ops/row_kernels.h"

#include <inttypes.h>

/* v without an axis, stretched along it again to the shape of x. */
static sq_var spread(sq_var v, sq_var x, int64_t axis)
{
    sq_shape s = sq_shape_of(x);
    return sq_broadcast_to(sq_reshape(v, sqi_with_size(s, axis, 1)), s);
}

/* ---- sum_axis --------------------------------------------------------------------------- */

static bool sum_axis_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                           sq_shape *out)
{
    (void)n;
    if (!sqi_check_axis(t, in[0], attr->k[0])) return false;
    *out = sqi_without(in[0], attr->k[0]);
    return sqi_check_size(t, *out);
}

static void sum_axis_set(const sq_call *c, const void *x, void *y, bool add)
{
    sqi_fold(c, c->xs[0], x, sqi_with_size(c->xs[0], c->attr->k[0], 1), y, add);
}

static void sum_axis_forward(const sq_call *c) { sum_axis_set(c, c->x[0], c->y, false); }

static void sum_axis_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_stretch(c, sqi_with_size(c->xs[0], c->attr->k[0], 1), c->gy, c->xs[0], c->gx[0], true);
}

static void sum_axis_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sum_axis_set(c, c->dx[0], c->dy, true);
}

static sq_var sum_axis_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                               int32_t k)
{
    (void)y, (void)k;
    return spread(gy, x[0], attr->k[0]);
}

/* ---- sum_to and broadcast_to ------------------------------------------------------------ */

/* True when `small` stretches to exactly `big`; otherwise the sentence names both as given. */
static bool check_stretch(sq_tape *t, sq_shape small, sq_shape big, const char *verb,
                          sq_shape from, sq_shape to)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    sq_shape both;
    if (sq_shape_broadcast(small, big, &both) && sq_shape_equal(both, big)) return true;
    return sq_post(t, SQ_ESHAPE, "%s cannot be %s %s", sq_shape_text(from, a), verb,
                   sq_shape_text(to, b));
}

static bool sum_to_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                         sq_shape *out)
{
    (void)n;
    *out = sqi_attr_shape(attr);
    return sqi_check_size(t, *out) && check_stretch(t, *out, in[0], "summed to", in[0], *out);
}

static void sum_to_forward(const sq_call *c)
{
    sqi_fold(c, c->xs[0], c->x[0], c->ys, c->y, false);
}

static void sum_to_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_stretch(c, c->ys, c->gy, c->xs[0], c->gx[0], true);
}

static void sum_to_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_fold(c, c->xs[0], c->dx[0], c->ys, c->dy, true);
}

static sq_var sum_to_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                             int32_t k)
{
    (void)y, (void)attr, (void)k;
    return sq_broadcast_to(gy, sq_shape_of(x[0]));
}

static bool broadcast_to_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                               sq_shape *out)
{
    (void)n;
    *out = sqi_attr_shape(attr);
    return sqi_check_size(t, *out) &&
           check_stretch(t, in[0], *out, "stretched to", in[0], *out);
}

static void broadcast_to_forward(const sq_call *c)
{
    sqi_stretch(c, c->xs[0], c->x[0], c->ys, c->y, false);
}

static void broadcast_to_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_fold(c, c->ys, c->gy, c->xs[0], c->gx[0], true);
}

static void broadcast_to_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_stretch(c, c->xs[0], c->dx[0], c->ys, c->dy, true);
}

static sq_var broadcast_to_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                                   int32_t k)
{
    (void)y, (void)attr, (void)k;
    return sq_sum_to(gy, sq_shape_of(x[0]));
}

/* ---- max_axis and max_share ------------------------------------------------------------- */

static sqi_rows rows_of(const sq_call *c) { return sqi_rows_of(c->xs[0], c->attr->k[0]); }

static bool max_axis_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                           sq_shape *out)
{
    (void)n;
    if (!sqi_check_full_axis(t, in[0], attr->k[0])) return false;
    *out = sqi_without(in[0], attr->k[0]);
    return true;
}

static void max_axis_forward(const sq_call *c)
{
    sqi_rows_for(c)->max(rows_of(c), c->x[0], c->y);
}

static void max_axis_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->max_vjp(rows_of(c), c->x[0], c->gy, c->gx[0]);
}

static void max_axis_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_rows_for(c)->max_jvp(rows_of(c), c->x[0], c->dx[0], c->dy);
}

static sq_var max_axis_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                               int32_t k)
{
    (void)y, (void)k;
    return sq_mul(spread(gy, x[0], attr->k[0]), sq_max_share(x[0], (int)attr->k[0]));
}

static bool max_share_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                            sq_shape *out)
{
    (void)n;
    *out = in[0];
    return sqi_check_full_axis(t, in[0], attr->k[0]);
}

static void max_share_forward(const sq_call *c)
{
    sqi_rows_for(c)->max_share(rows_of(c), c->x[0], c->y);
}

static void add_nothing(const sq_call *c, int32_t k) { (void)c, (void)k; }

static sq_var zero_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)x, (void)y, (void)gy, (void)attr, (void)k;
    return (sq_var){ 0 };
}

/* ---- Descriptors ------------------------------------------------------------------------ */

static const sq_sample axis_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 5 } } }, .attr = { .k = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 7, 3 } } }, .attr = { .k = { 1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 19 } } }, .attr = { .k = { -1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 4, { 2, 3, 1, 2 } } }, .attr = { .k = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 3, 1, 2 } } }, .attr = { .k = { -2 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 4 } } }, .attr = { .k = { 1 } } },
    { .n = 0 },
};

static const sq_sample sum_to_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 5 } } }, .attr = { .k = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 3, 5 } } }, .attr = { .k = { 1, 5 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 2, 3, 5 } } },
      .attr = { .k = { 3, 2, 1, 5 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 4, { 2, 1, 3, 7 } } },
      .attr = { .k = { 2, 3, 1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 3 } } }, .attr = { .k = { 1, 3 } } },
    { .n = 0 },
};

static const sq_sample broadcast_to_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 0, { 0 } } }, .attr = { .k = { 2, 3, 5 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 5 } } }, .attr = { .k = { 3, 2, 3, 5 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 2, 1, 5 } } },
      .attr = { .k = { 3, 2, 3, 5 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 3, 1 } } },
      .attr = { .k = { 4, 2, 1, 3, 7 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 1, 3 } } }, .attr = { .k = { 2, 0, 3 } } },
    { .n = 0 },
};

const sq_op sq_op_sum_axis = {
    .name = "sum_axis",
    .formula = "y = sum of x over one axis, which goes away",
    .arity = 1,
    .shape = sum_axis_shape,
    .forward = sum_axis_forward,
    .vjp = sum_axis_vjp,
    .jvp = sum_axis_jvp,
    .adjoint = sum_axis_adjoint,
    .samples = axis_samples,
};

const sq_op sq_op_sum_to = {
    .name = "sum_to",
    .formula = "y = x summed over what was broadcast",
    .arity = 1,
    .shape = sum_to_shape,
    .forward = sum_to_forward,
    .vjp = sum_to_vjp,
    .jvp = sum_to_jvp,
    .adjoint = sum_to_adjoint,
    .samples = sum_to_samples,
};

const sq_op sq_op_broadcast_to = {
    .name = "broadcast_to",
    .formula = "y = x stretched to a shape",
    .arity = 1,
    .flags = SQ_ROWWISE,
    .shape = broadcast_to_shape,
    .forward = broadcast_to_forward,
    .vjp = broadcast_to_vjp,
    .jvp = broadcast_to_jvp,
    .adjoint = broadcast_to_adjoint,
    .samples = broadcast_to_samples,
};

const sq_op sq_op_max_axis = {
    .name = "max_axis",
    .formula = "y = largest x along one axis, which goes away",
    .arity = 1,
    .shape = max_axis_shape,
    .forward = max_axis_forward,
    .vjp = max_axis_vjp,
    .jvp = max_axis_jvp,
    .adjoint = max_axis_adjoint,
    .samples = axis_samples,
};

const sq_op sq_op_max_share = {
    .name = "max_share",
    .formula = "y = 1 at the largest x along the axis, ties share; derivative 0",
    .arity = 1,
    .shape = max_share_shape,
    .forward = max_share_forward,
    .vjp = add_nothing,
    .jvp = add_nothing,
    .adjoint = zero_adjoint,
    .samples = axis_samples,
};

/* ---- Constructors ----------------------------------------------------------------------- */

static sq_var along(const sq_op *op, sq_var x, int axis)
{
    return sq_apply(op, &x, 1, &(sq_attr){ .k = { axis } });
}

static sq_var shaped(const sq_op *op, sq_var x, sq_shape shape)
{
    sq_attr attr = sqi_shape_attr(shape);
    return sq_apply(op, &x, 1, &attr);
}

sq_var sq_sum_axis(sq_var x, int axis) { return along(&sq_op_sum_axis, x, axis); }
sq_var sq_max_axis(sq_var x, int axis) { return along(&sq_op_max_axis, x, axis); }
sq_var sq_max_share(sq_var x, int axis) { return along(&sq_op_max_share, x, axis); }
sq_var sq_sum_to(sq_var x, sq_shape shape) { return shaped(&sq_op_sum_to, x, shape); }
sq_var sq_broadcast_to(sq_var x, sq_shape shape)
{
    return shaped(&sq_op_broadcast_to, x, shape);
}

/* ---- Compositions ----------------------------------------------------------------------- */

static bool check_some(sq_tape *t, const char *name, sq_shape s, int64_t n)
{
    char text[SQ_SHAPE_TEXT];
    return n > 0 || sq_post(t, SQ_ESHAPE, "%s of nothing: %s", name, sq_shape_text(s, text));
}

sq_var sq_sum(sq_var x)
{
    sq_shape s;
    return sqi_compose("sum", x, &s) ? sq_sum_to(x, sq_scalar()) : sqi_none(x.tape);
}

sq_var sq_mean(sq_var x)
{
    sq_shape s;
    if (!sqi_compose("mean", x, &s) || !check_some(x.tape, "mean", s, sq_shape_size(s)))
        return sqi_none(x.tape);
    return sq_mul_scalar(sq_sum(x), 1 / (double)sq_shape_size(s));
}

sq_var sq_mean_axis(sq_var x, int axis)
{
    sq_shape s;
    if (!sqi_compose("mean_axis", x, &s) || !sqi_check_axis(x.tape, s, axis) ||
        !check_some(x.tape, "mean", s, s.dim[sqi_axis(s, axis)]))
        return sqi_none(x.tape);
    return sq_mul_scalar(sq_sum_axis(x, axis), 1 / (double)s.dim[sqi_axis(s, axis)]);
}

sq_var sq_max(sq_var x)
{
    sq_shape s;
    if (!sqi_compose("max", x, &s) || !check_some(x.tape, "max", s, sq_shape_size(s)))
        return sqi_none(x.tape);
    return sq_max_axis(sq_reshape(x, sq_vec(sq_shape_size(s))), 0);
}
