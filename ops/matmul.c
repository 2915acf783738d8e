/* matmul.c -- the three products: A B, A B^T and A^T B. No attributes.
 *
 * A has rank 2 to 4; its leading axes are flattened to R rows, so a sequence [T,B,I] is
 * multiplied as one [T*B,I] matrix. The derivatives of each product are the other two:
 *     Y = A B       gA = gY B^T      gB = A^T gY
 *     Y = A B^T     gA = gY B        gB = gY^T A
 *     Y = A^T B     gA = B gY^T      gB = A gY */
#include "ops/ops_impl.h"

#include <inttypes.h>

static int64_t rows_of(sq_shape s)
{
    int64_t r = 1;
    for (int32_t i = 0; i + 1 < s.rank; i++) r *= s.dim[i];
    return r;
}

static int64_t last(sq_shape s) { return s.dim[s.rank - 1]; }

static bool check_rank(sq_tape *t, const sq_shape *in, int32_t k, int32_t most)
{
    char text[SQ_SHAPE_TEXT];
    if (in[k].rank >= 2 && in[k].rank <= most) return true;
    if (most == 2)
        return sq_post(t, SQ_ESHAPE, "operand %" PRId32 " must have rank 2, it is %s", k + 1,
                       sq_shape_text(in[k], text));
    return sq_post(t, SQ_ESHAPE,
                   "operand %" PRId32 " must have rank 2 to %" PRId32 ", it is %s", k + 1, most,
                   sq_shape_text(in[k], text));
}

/* ---- Y[R,n] = A[R,k] B[k,n] ------------------------------------------------------------- */

static bool nn_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                     sq_shape *out)
{
    (void)n, (void)attr;
    if (!check_rank(t, in, 0, SQ_MAX_RANK) || !check_rank(t, in, 1, 2)) return false;
    if (last(in[0]) != in[1].dim[0]) return sqi_post_differ(t, "inner sizes", in);
    *out = sqi_with_size(in[0], -1, in[1].dim[1]);
    return sqi_check_size(t, *out);
}

static void nn_set(const sq_call *c, const void *a, const void *b, void *y, bool add)
{
    sqi_product(c, rows_of(c->xs[0]), c->xs[1].dim[1], c->xs[1].dim[0], a, false, b, false, y,
                add);
}

static void nn_forward(const sq_call *c) { nn_set(c, c->x[0], c->x[1], c->y, false); }

static void nn_vjp(const sq_call *c, int32_t k)
{
    int64_t rows = rows_of(c->xs[0]), inner = c->xs[1].dim[0], n = c->xs[1].dim[1];
    if (k == 0) sqi_product(c, rows, inner, n, c->gy, false, c->x[1], true, c->gx[0], true);
    else sqi_product(c, inner, n, rows, c->x[0], true, c->gy, false, c->gx[1], true);
}

static void nn_jvp(const sq_call *c, int32_t k)
{
    nn_set(c, k == 0 ? c->dx[0] : c->x[0], k == 1 ? c->dx[1] : c->x[1], c->dy, true);
}

static sq_var nn_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr;
    return k == 0 ? sq_matmul_nt(gy, x[1]) : sq_matmul_tn(x[0], gy);
}

/* ---- Y[R,n] = A[R,k] B[n,k]^T ----------------------------------------------------------- */

static bool nt_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                     sq_shape *out)
{
    (void)n, (void)attr;
    if (!check_rank(t, in, 0, SQ_MAX_RANK) || !check_rank(t, in, 1, 2)) return false;
    if (last(in[0]) != in[1].dim[1]) return sqi_post_differ(t, "last sizes", in);
    *out = sqi_with_size(in[0], -1, in[1].dim[0]);
    return sqi_check_size(t, *out);
}

static void nt_set(const sq_call *c, const void *a, const void *b, void *y, bool add)
{
    sqi_product(c, rows_of(c->xs[0]), c->xs[1].dim[0], c->xs[1].dim[1], a, false, b, true, y,
                add);
}

static void nt_forward(const sq_call *c) { nt_set(c, c->x[0], c->x[1], c->y, false); }

static void nt_vjp(const sq_call *c, int32_t k)
{
    int64_t rows = rows_of(c->xs[0]), n = c->xs[1].dim[0], inner = c->xs[1].dim[1];
    if (k == 0) sqi_product(c, rows, inner, n, c->gy, false, c->x[1], false, c->gx[0], true);
    else sqi_product(c, n, inner, rows, c->gy, true, c->x[0], false, c->gx[1], true);
}

static void nt_jvp(const sq_call *c, int32_t k)
{
    nt_set(c, k == 0 ? c->dx[0] : c->x[0], k == 1 ? c->dx[1] : c->x[1], c->dy, true);
}

static sq_var nt_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr;
    return k == 0 ? sq_matmul(gy, x[1]) : sq_matmul_tn(gy, x[0]);
}

static sq_var nt_means(const sq_var *x, const sq_attr *attr)
{
    (void)attr;
    return sq_matmul(x[0], sq_transpose(x[1]));
}

/* ---- Y[m,n] = A[R,m]^T B[R,n] ----------------------------------------------------------- */

static bool tn_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                     sq_shape *out)
{
    (void)n, (void)attr;
    if (!check_rank(t, in, 0, SQ_MAX_RANK) || !check_rank(t, in, 1, SQ_MAX_RANK)) return false;
    if (!sq_shape_equal(sqi_without(in[0], -1), sqi_without(in[1], -1)))
        return sqi_post_differ(t, "leading sizes", in);
    *out = sq_mat(last(in[0]), last(in[1]));
    return sqi_check_size(t, *out);
}

static void tn_set(const sq_call *c, const void *a, const void *b, void *y, bool add)
{
    sqi_product(c, last(c->xs[0]), last(c->xs[1]), rows_of(c->xs[0]), a, true, b, false, y,
                add);
}

static void tn_forward(const sq_call *c) { tn_set(c, c->x[0], c->x[1], c->y, false); }

static void tn_vjp(const sq_call *c, int32_t k)
{
    int64_t rows = rows_of(c->xs[0]), m = last(c->xs[0]), n = last(c->xs[1]);
    if (k == 0) sqi_product(c, rows, m, n, c->x[1], false, c->gy, true, c->gx[0], true);
    else sqi_product(c, rows, n, m, c->x[0], false, c->gy, false, c->gx[1], true);
}

static void tn_jvp(const sq_call *c, int32_t k)
{
    tn_set(c, k == 0 ? c->dx[0] : c->x[0], k == 1 ? c->dx[1] : c->x[1], c->dy, true);
}

static sq_var tn_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr;
    return k == 0 ? sq_matmul_nt(x[1], gy) : sq_matmul(x[0], gy);
}

static sq_var tn_means(const sq_var *x, const sq_attr *attr)
{
    (void)attr;
    sq_shape a = sq_shape_of(x[0]), b = sq_shape_of(x[1]);
    sq_var rows = sq_reshape(x[0], sq_mat(rows_of(a), last(a)));
    return sq_matmul(sq_transpose(rows), sq_reshape(x[1], sq_mat(rows_of(b), last(b))));
}

/* ---- Descriptors ------------------------------------------------------------------------ */

static const sq_sample nn_samples[] = {
    { .n = 2, .lo = -2, .hi = 2, .in = { { 2, { 4, 3 } }, { 2, { 3, 5 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 3, { 3, 2, 7 } }, { 2, { 7, 1 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 4, { 2, 1, 3, 1 } }, { 2, { 1, 5 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 2, { 0, 3 } }, { 2, { 3, 2 } } } },
    { .n = 0 },
};

static const sq_sample nt_samples[] = {
    { .n = 2, .lo = -2, .hi = 2, .in = { { 2, { 4, 3 } }, { 2, { 5, 3 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 3, { 3, 2, 7 } }, { 2, { 1, 7 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 4, { 2, 1, 3, 1 } }, { 2, { 5, 1 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 2, { 0, 3 } }, { 2, { 2, 3 } } } },
    { .n = 0 },
};

static const sq_sample tn_samples[] = {
    { .n = 2, .lo = -2, .hi = 2, .in = { { 2, { 4, 3 } }, { 2, { 4, 5 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 3, { 3, 2, 7 } }, { 3, { 3, 2, 1 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 4, { 2, 1, 3, 1 } }, { 4, { 2, 1, 3, 5 } } } },
    { .n = 2, .lo = -2, .hi = 2, .in = { { 2, { 0, 3 } }, { 2, { 0, 2 } } } },
    { .n = 0 },
};

const sq_op sq_op_matmul = {
    .name = "matmul",
    .formula = "Y[..,n] = A[..,k] B[k,n]",
    .arity = 2,
    .flags = SQ_ROWWISE,
    .shape = nn_shape,
    .forward = nn_forward,
    .vjp = nn_vjp,
    .jvp = nn_jvp,
    .adjoint = nn_adjoint,
    .samples = nn_samples,
};

const sq_op sq_op_matmul_nt = {
    .name = "matmul_nt",
    .formula = "Y[..,n] = A[..,k] B[n,k]^T",
    .arity = 2,
    .flags = SQ_ROWWISE,
    .shape = nt_shape,
    .forward = nt_forward,
    .vjp = nt_vjp,
    .jvp = nt_jvp,
    .adjoint = nt_adjoint,
    .means = nt_means,
    .samples = nt_samples,
};

const sq_op sq_op_matmul_tn = {
    .name = "matmul_tn",
    .formula = "Y[m,n] = A[..,m]^T B[..,n]",
    .arity = 2,
    .shape = tn_shape,
    .forward = tn_forward,
    .vjp = tn_vjp,
    .jvp = tn_jvp,
    .adjoint = tn_adjoint,
    .means = tn_means,
    .samples = tn_samples,
};

sq_var sq_matmul(sq_var a, sq_var b)
{
    return sq_apply(&sq_op_matmul, (sq_var[]){ a, b }, 2, NULL);
}

sq_var sq_matmul_nt(sq_var a, sq_var b)
{
    return sq_apply(&sq_op_matmul_nt, (sq_var[]){ a, b }, 2, NULL);
}

sq_var sq_matmul_tn(sq_var a, sq_var b)
{
    return sq_apply(&sq_op_matmul_tn, (sq_var[]){ a, b }, 2, NULL);
}
