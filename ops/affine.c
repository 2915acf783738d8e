/* affine.c -- Y = X W + b in one op: what every gate of every cell is made of. No attributes.
 *
 * X [..,k] has rank 2 to 4 (leading axes are rows), W [k,n], b [n]. To the bit it equals
 * add(matmul(X,W), b): the product first, then the bias. Derivatives:
 *     gX = gY W^T      gW = X^T gY      gb = sum of gY over rows */
#include "ops/ops_impl.h"

static bool affine_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                         sq_shape *out)
{
    char x[SQ_SHAPE_TEXT], w[SQ_SHAPE_TEXT];
    (void)n, (void)attr;
    if (in[0].rank < 2)
        return sq_post(t, SQ_ESHAPE, "operand 1 must have rank 2 to 4, it is %s",
                       sq_shape_text(in[0], x));
    if (in[1].rank != 2)
        return sq_post(t, SQ_ESHAPE, "operand 2 must have rank 2, it is %s",
                       sq_shape_text(in[1], w));
    if (in[0].dim[in[0].rank - 1] != in[1].dim[0])
        return sq_post(t, SQ_ESHAPE, "inner sizes differ: %s x %s", sq_shape_text(in[0], x),
                       sq_shape_text(in[1], w));
    if (in[2].rank != 1 || in[2].dim[0] != in[1].dim[1])
        return sq_post(t, SQ_ESHAPE, "the bias %s does not fit the columns of %s",
                       sq_shape_text(in[2], x), sq_shape_text(in[1], w));
    *out = sqi_with_size(in[0], -1, in[1].dim[1]);
    return sqi_check_size(t, *out);
}

static sqi_rows sizes(const sq_call *c)
{
    sqi_rows r = sqi_rows_of(c->xs[0], -1);
    r.inner = c->xs[1].dim[1];
    return r;
}

static void affine_forward(const sq_call *c)
{
    sqi_rows r = sizes(c);
    sqi_product(c, r.outer, r.inner, r.n, c->x[0], false, c->x[1], false, c->y, false);
    sqi_stretch(c, c->xs[2], c->x[2], c->ys, c->y, true);
}

static void affine_vjp(const sq_call *c, int32_t k)
{
    sqi_rows r = sizes(c);
    if (k == 0)
        sqi_product(c, r.outer, r.n, r.inner, c->gy, false, c->x[1], true, c->gx[0], true);
    else if (k == 1)
        sqi_product(c, r.n, r.inner, r.outer, c->x[0], true, c->gy, false, c->gx[1], true);
    else sqi_fold(c, c->ys, c->gy, c->xs[2], c->gx[2], true);
}

static void affine_jvp(const sq_call *c, int32_t k)
{
    sqi_rows r = sizes(c);
    if (k == 2) sqi_stretch(c, c->xs[2], c->dx[2], c->ys, c->dy, true);
    else
        sqi_product(c, r.outer, r.inner, r.n, k == 0 ? c->dx[0] : c->x[0], false,
                    k == 1 ? c->dx[1] : c->x[1], false, c->dy, true);
}

static sq_var affine_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                             int32_t k)
{
    (void)y, (void)attr;
    if (k == 0) return sq_matmul_nt(gy, x[1]);
    if (k == 1) return sq_matmul_tn(x[0], gy);
    return sq_sum_to(gy, sq_shape_of(x[2]));
}

static sq_var affine_means(const sq_var *x, const sq_attr *attr)
{
    (void)attr;
    return sq_add(sq_matmul(x[0], x[1]), x[2]);
}

static const sq_sample affine_samples[] = {
    { .n = 3, .lo = -2, .hi = 2, .in = { { 2, { 4, 3 } }, { 2, { 3, 5 } }, { 1, { 5 } } } },
    { .n = 3, .lo = -2, .hi = 2, .in = { { 3, { 3, 2, 7 } }, { 2, { 7, 1 } }, { 1, { 1 } } } },
    { .n = 3,
      .lo = -2,
      .hi = 2,
      .in = { { 4, { 2, 1, 3, 1 } }, { 2, { 1, 2 } }, { 1, { 2 } } } },
    { .n = 3, .lo = -2, .hi = 2, .in = { { 2, { 0, 3 } }, { 2, { 3, 2 } }, { 1, { 2 } } } },
    { .n = 0 },
};

const sq_op sq_op_affine = {
    .name = "affine",
    .formula = "Y[..,n] = X[..,k] W[k,n] + b[n]",
    .arity = 3,
    .flags = SQ_ROWWISE,
    .shape = affine_shape,
    .forward = affine_forward,
    .vjp = affine_vjp,
    .jvp = affine_jvp,
    .adjoint = affine_adjoint,
    .means = affine_means,
    .samples = affine_samples,
};

sq_var sq_affine(sq_var x, sq_var w, sq_var b)
{
    return sq_apply(&sq_op_affine, (sq_var[]){ x, w, b }, 3, NULL);
}
