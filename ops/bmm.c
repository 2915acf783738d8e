/* bmm.c -- products of two stacks of matrices, one for every batch entry. No attributes.
 *
 * The leading axes of A and B, one or two, are equal and number the matrices; the last two are
 * multiplied. The derivatives of each product are the other two, as in matmul.c:
 *     Y = A B       gA = gY B^T      gB = A^T gY
 *     Y = A B^T     gA = gY B        gB = gY^T A
 *     Y = A^T B     gA = B gY^T      gB = A gY
 * Where a result has one row or one column and what is summed lies contiguous in both, as for the
 * scores of one query, it is a dot product for each element: nothing is packed. With one query [1,128]
 * and 100 keys that is half the instructions, as it is for the gradient of the keys, an outer product
 * (AVX2, float). */
#include "ops/row_kernels.h"

#include <inttypes.h>

/* One product of the stack: Y[m,n] = sum over k; which operands lie the other way round. */
typedef struct sizes {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
} sizes;

static int64_t from_end(sq_shape s, int32_t i) { return s.dim[s.rank - i]; }

static int64_t stack_of(sq_shape s)
{
    int64_t n = 1;
    for (int32_t i = 0; i + 2 < s.rank; i++) n *= s.dim[i];
    return n;
}

/* Y[m,n] += a b^T: its rows are multiples of b. */
static void add_outer(const sq_call *c, sizes s, const void *a, const void *b, void *y)
{
    const sqi_arith *arith = sqi_arith_of(c);
    for (int64_t i = 0; i < s.m; i++) {
        double factor;
        arith->to_f64(1, sqi_at(c, a, i), &factor);
        arith->axpy(s.n, factor, b, sqi_at_mut(c, y, i * s.n));
    }
}

/* Y (=, += with add) A B, matrix by matrix. */
static void multiply(const sq_call *c, sizes s, const void *a, const void *b, void *y, bool add)
{
    const int64_t stack = stack_of(c->ys);
    for (int64_t i = 0; i < stack; i++) {
        const void *ai = sqi_at(c, a, i * s.m * s.k), *bi = sqi_at(c, b, i * s.k * s.n);
        void *yi = sqi_at_mut(c, y, i * s.m * s.n);
        if (s.m == 1 && s.b_transposed) sqi_rows_for(c)->dots(s.n, s.k, ai, bi, yi, add);
        else if (s.n == 1 && !s.a_transposed) sqi_rows_for(c)->dots(s.m, s.k, bi, ai, yi, add);
        else if (s.k == 1 && add) add_outer(c, s, ai, bi, yi);
        else sqi_product(c, s.m, s.n, s.k, ai, s.a_transposed, bi, s.b_transposed, yi, add);
    }
}

/* ---- Shapes ------------------------------------------------------------------------------ */

static bool check_rank(sq_tape *t, const sq_shape *in, int32_t k)
{
    char text[SQ_SHAPE_TEXT];
    if (in[k].rank >= 3) return true;
    return sq_post(t, SQ_ESHAPE, "operand %" PRId32 " must have rank 3 or 4, it is %s", k + 1,
                   sq_shape_text(in[k], text));
}

/* ka and kb: which axis, from the end, is summed over; the other one stays. */
static bool stacks(sq_tape *t, const sq_shape *in, int32_t ka, int32_t kb, sq_shape *out)
{
    if (!check_rank(t, in, 0) || !check_rank(t, in, 1)) return false;
    bool same = in[0].rank == in[1].rank;
    for (int32_t i = 0; same && i + 2 < in[0].rank; i++) same = in[0].dim[i] == in[1].dim[i];
    if (!same) return sqi_post_differ(t, "leading sizes", in);
    if (from_end(in[0], ka) != from_end(in[1], kb))
        return sqi_post_differ(t, "summed sizes", in);
    *out = sqi_with_size(in[0], -2, from_end(in[0], 3 - ka));
    *out = sqi_with_size(*out, -1, from_end(in[1], 3 - kb));
    return sqi_check_size(t, *out);
}

/* Of Y itself: its rows and columns, and the size summed over. */
static sizes of(const sq_call *c, int64_t k, bool a_transposed, bool b_transposed)
{
    return (sizes){ from_end(c->ys, 2), from_end(c->ys, 1), k, a_transposed, b_transposed };
}

/* ---- Y = A B ----------------------------------------------------------------------------- */

static bool nn_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                     sq_shape *out)
{
    (void)n, (void)attr;
    return stacks(t, in, 1, 2, out);
}

static void nn_set(const sq_call *c, const void *a, const void *b, void *y, bool add)
{
    multiply(c, of(c, from_end(c->xs[0], 1), false, false), a, b, y, add);
}

static void nn_forward(const sq_call *c) { nn_set(c, c->x[0], c->x[1], c->y, false); }

static void nn_vjp(const sq_call *c, int32_t k)
{
    int64_t m = from_end(c->ys, 2), n = from_end(c->ys, 1), in = from_end(c->xs[0], 1);
    if (k == 0) multiply(c, (sizes){ m, in, n, false, true }, c->gy, c->x[1], c->gx[0], true);
    else multiply(c, (sizes){ in, n, m, true, false }, c->x[0], c->gy, c->gx[1], true);
}

static void nn_jvp(const sq_call *c, int32_t k)
{
    nn_set(c, k == 0 ? c->dx[0] : c->x[0], k == 1 ? c->dx[1] : c->x[1], c->dy, true);
}

static sq_var nn_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr;
    return k == 0 ? sq_bmm_nt(gy, x[1]) : sq_bmm_tn(x[0], gy);
}

/* ---- Y = A B^T --------------------------------------------------------------------------- */

static bool nt_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                     sq_shape *out)
{
    (void)n, (void)attr;
    return stacks(t, in, 1, 1, out);
}

static void nt_set(const sq_call *c, const void *a, const void *b, void *y, bool add)
{
    multiply(c, of(c, from_end(c->xs[0], 1), false, true), a, b, y, add);
}

static void nt_forward(const sq_call *c) { nt_set(c, c->x[0], c->x[1], c->y, false); }

static void nt_vjp(const sq_call *c, int32_t k)
{
    int64_t m = from_end(c->ys, 2), n = from_end(c->ys, 1), in = from_end(c->xs[0], 1);
    if (k == 0) multiply(c, (sizes){ m, in, n, false, false }, c->gy, c->x[1], c->gx[0], true);
    else multiply(c, (sizes){ n, in, m, true, false }, c->gy, c->x[0], c->gx[1], true);
}

static void nt_jvp(const sq_call *c, int32_t k)
{
    nt_set(c, k == 0 ? c->dx[0] : c->x[0], k == 1 ? c->dx[1] : c->x[1], c->dy, true);
}

static sq_var nt_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr;
    return k == 0 ? sq_bmm(gy, x[1]) : sq_bmm_tn(gy, x[0]);
}

/* The last two axes exchanged. */
static sq_var turned(sq_var x)
{
    int axes[SQ_MAX_RANK] = { 0, 1, 2, 3 }, rank = sq_shape_of(x).rank;
    axes[rank - 2] = rank - 1;
    axes[rank - 1] = rank - 2;
    return sq_permute(x, axes);
}

static sq_var nt_means(const sq_var *x, const sq_attr *attr)
{
    (void)attr;
    return sq_bmm(x[0], turned(x[1]));
}

/* ---- Y = A^T B --------------------------------------------------------------------------- */

static bool tn_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                     sq_shape *out)
{
    (void)n, (void)attr;
    return stacks(t, in, 2, 2, out);
}

static void tn_set(const sq_call *c, const void *a, const void *b, void *y, bool add)
{
    multiply(c, of(c, from_end(c->xs[0], 2), true, false), a, b, y, add);
}

static void tn_forward(const sq_call *c) { tn_set(c, c->x[0], c->x[1], c->y, false); }

static void tn_vjp(const sq_call *c, int32_t k)
{
    int64_t m = from_end(c->ys, 2), n = from_end(c->ys, 1), in = from_end(c->xs[0], 2);
    if (k == 0) multiply(c, (sizes){ in, m, n, false, true }, c->x[1], c->gy, c->gx[0], true);
    else multiply(c, (sizes){ in, n, m, false, false }, c->x[0], c->gy, c->gx[1], true);
}

static void tn_jvp(const sq_call *c, int32_t k)
{
    tn_set(c, k == 0 ? c->dx[0] : c->x[0], k == 1 ? c->dx[1] : c->x[1], c->dy, true);
}

static sq_var tn_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr;
    return k == 0 ? sq_bmm_nt(x[1], gy) : sq_bmm(x[0], gy);
}

static sq_var tn_means(const sq_var *x, const sq_attr *attr)
{
    (void)attr;
    return sq_bmm(turned(x[0]), x[1]);
}

/* ---- Descriptors ------------------------------------------------------------------------- */

#define SAMPLE(...)                                      \
    {                                                    \
        .n = 2, .lo = -2, .hi = 2, .in = { __VA_ARGS__ } \
    }

static const sq_sample nn_samples[] = {
    SAMPLE({ 3, { 2, 4, 3 } }, { 3, { 2, 3, 5 } }),
    SAMPLE({ 3, { 3, 1, 19 } }, { 3, { 3, 19, 2 } }),
    SAMPLE({ 3, { 2, 3, 4 } }, { 3, { 2, 4, 1 } }),
    SAMPLE({ 4, { 2, 1, 2, 3 } }, { 4, { 2, 1, 3, 2 } }),
    SAMPLE({ 3, { 0, 2, 3 } }, { 3, { 0, 3, 2 } }),
    { .n = 0 },
};

static const sq_sample nt_samples[] = {
    SAMPLE({ 3, { 2, 4, 3 } }, { 3, { 2, 5, 3 } }),
    SAMPLE({ 3, { 3, 1, 19 } }, { 3, { 3, 2, 19 } }),
    SAMPLE({ 3, { 2, 3, 4 } }, { 3, { 2, 1, 4 } }),
    SAMPLE({ 4, { 2, 1, 2, 3 } }, { 4, { 2, 1, 2, 3 } }),
    SAMPLE({ 3, { 2, 2, 0 } }, { 3, { 2, 3, 0 } }),
    { .n = 0 },
};

static const sq_sample tn_samples[] = {
    SAMPLE({ 3, { 2, 3, 4 } }, { 3, { 2, 3, 5 } }),
    SAMPLE({ 3, { 3, 7, 1 } }, { 3, { 3, 7, 2 } }),
    SAMPLE({ 3, { 2, 1, 3 } }, { 3, { 2, 1, 4 } }),
    SAMPLE({ 4, { 2, 1, 3, 2 } }, { 4, { 2, 1, 3, 1 } }),
    SAMPLE({ 3, { 2, 0, 3 } }, { 3, { 2, 0, 2 } }),
    { .n = 0 },
};

const sq_op sq_op_bmm = {
    .name = "bmm",
    .formula = "Y[b] = A[b] B[b] for every leading index b",
    .arity = 2,
    .flags = SQ_ROWWISE,
    .shape = nn_shape,
    .forward = nn_forward,
    .vjp = nn_vjp,
    .jvp = nn_jvp,
    .adjoint = nn_adjoint,
    .samples = nn_samples,
};

const sq_op sq_op_bmm_nt = {
    .name = "bmm_nt",
    .formula = "Y[b] = A[b] B[b]^T for every leading index b",
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

const sq_op sq_op_bmm_tn = {
    .name = "bmm_tn",
    .formula = "Y[b] = A[b]^T B[b] for every leading index b",
    .arity = 2,
    .flags = SQ_ROWWISE,
    .shape = tn_shape,
    .forward = tn_forward,
    .vjp = tn_vjp,
    .jvp = tn_jvp,
    .adjoint = tn_adjoint,
    .means = tn_means,
    .samples = tn_samples,
};

sq_var sq_bmm(sq_var a, sq_var b) { return sq_apply(&sq_op_bmm, (sq_var[]){ a, b }, 2, NULL); }

sq_var sq_bmm_nt(sq_var a, sq_var b)
{
    return sq_apply(&sq_op_bmm_nt, (sq_var[]){ a, b }, 2, NULL);
}

sq_var sq_bmm_tn(sq_var a, sq_var b)
{
    return sq_apply(&sq_op_bmm_tn, (sq_var[]){ a, b }, 2, NULL);
}
