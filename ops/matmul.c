/* matmul.c -- the products A B, A B^T and A^T B: of two matrices (matmul), and of two stacks of
 * matrices, one for every batch entry (bmm). No attributes.
 *
 * The derivatives of each product are the other two:
 *     Y = A B       gA = gY B^T      gB = A^T gY
 *     Y = A B^T     gA = gY B        gB = gY^T A
 *     Y = A^T B     gA = B gY^T      gB = A gY
 * To matmul an operand is one matrix: its leading axes are flattened to rows, so a sequence [T,B,I]
 * is multiplied as one [T*B,I] matrix. To bmm the leading axes of A and B, one or two, are equal and
 * number the matrices; the last two are multiplied. Where such a matrix of a result has one row or one
 * column and what is summed lies contiguous in both, as for the scores of one query, it is a dot
 * product for each element: nothing is packed. With one query [1,128] and 100 keys that is half the
 * instructions, as it is for the gradient of the keys, an outer product (AVX2, float). */
#include "ops/row_kernels.h"

#include <inttypes.h>

/* The row of an op in this family: its form in two bits, and the next one for bmm. */
enum { NN, NT, TN, STACKS = 4 };

static int32_t form_of(int32_t row) { return row & (STACKS - 1); }

/* The table above: by form and operand, which two of these make the derivative, by which product. */
enum { A, B, GY };

typedef struct rule {
    int32_t left, right, form;
} rule;

static const rule derivative[][2] = {
    [NN] = { { GY, B, NT }, { A, GY, TN } },
    [NT] = { { GY, B, NN }, { GY, A, TN } },
    [TN] = { { B, GY, NT }, { A, GY, NN } },
};

/* ---- Values ------------------------------------------------------------------------------ */

/* The product of all sizes but the last `but`. */
static int64_t leading(const sq_shape *s, int32_t but)
{
    int64_t n = 1;
    for (int32_t i = 0; i + but < s->rank; i++) n *= s->dim[i];
    return n;
}

static int64_t from_end(const sq_shape *s, int32_t i) { return s->dim[s->rank - i]; }

/* One product: Y[m,n] = sum over k; which operands lie the other way round. */
typedef struct sizes {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
} sizes;

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

/* Matrix by matrix. */
static void multiply_stack(const sq_call *c, int64_t stack, sizes s, const void *a,
                           const void *b, void *y, bool add)
{
    for (int64_t i = 0; i < stack; i++) {
        const void *ai = sqi_at(c, a, i * s.m * s.k), *bi = sqi_at(c, b, i * s.k * s.n);
        void *yi = sqi_at_mut(c, y, i * s.m * s.n);
        if (s.m == 1 && s.b_transposed) sqi_rows_for(c)->dots(s.n, s.k, ai, bi, yi, add);
        else if (s.n == 1 && !s.a_transposed) sqi_rows_for(c)->dots(s.m, s.k, bi, ai, yi, add);
        else if (s.k == 1 && add) add_outer(c, s, ai, bi, yi);
        else sqi_product(c, s.m, s.n, s.k, ai, s.a_transposed, bi, s.b_transposed, yi, add);
    }
}

typedef struct operand {
    const void *at;
    const sq_shape *shape;
} operand;

/* Y (=, += with add) the product of that form. */
static inline void multiply(const sq_call *c, int32_t form, operand a, operand b, void *y,
                            bool add)
{
    const bool single = c->op->row < STACKS, ta = form == TN, tb = form == NT;
    const int64_t rows = single ? leading(a.shape, 1) : from_end(a.shape, 2);
    const int64_t columns = from_end(a.shape, 1), n = from_end(b.shape, tb ? 2 : 1);
    const int64_t m = ta ? columns : rows, k = ta ? rows : columns;
    if (single) sqi_product(c, m, n, k, a.at, ta, b.at, tb, y, add);
    else multiply_stack(c, leading(a.shape, 2), (sizes){ m, n, k, ta, tb }, a.at, b.at, y, add);
}

static void forward(const sq_call *c)
{
    multiply(c, form_of(c->op->row), (operand){ c->x[0], &c->xs[0] },
             (operand){ c->x[1], &c->xs[1] }, c->y, false);
}

static void vjp(const sq_call *c, int32_t k)
{
    const rule *g = &derivative[form_of(c->op->row)][k];
    const operand of[] = {
        [A] = { c->x[0], &c->xs[0] }, [B] = { c->x[1], &c->xs[1] }, [GY] = { c->gy, &c->ys }
    };
    multiply(c, g->form, of[g->left], of[g->right], c->gx[k], true);
}

static void jvp(const sq_call *c, int32_t k)
{
    const void *a = k == 0 ? c->dx[0] : c->x[0], *b = k == 1 ? c->dx[1] : c->x[1];
    multiply(c, form_of(c->op->row), (operand){ a, &c->xs[0] }, (operand){ b, &c->xs[1] },
             c->dy, true);
}

/* ---- Recorded ---------------------------------------------------------------------------- */

static sq_var adjoint(int32_t row, const sq_var *x, sq_var gy, int32_t k)
{
    static const sq_op *const family[] = {
        [NN] = &sq_op_matmul,    [STACKS + NN] = &sq_op_bmm,
        [NT] = &sq_op_matmul_nt, [STACKS + NT] = &sq_op_bmm_nt,
        [TN] = &sq_op_matmul_tn, [STACKS + TN] = &sq_op_bmm_tn,
    };
    const int32_t form = form_of(row);
    const rule *g = &derivative[form][k];
    const sq_var of[] = { [A] = x[0], [B] = x[1], [GY] = gy };
    return sq_apply(family[row - form + g->form], (sq_var[]){ of[g->left], of[g->right] }, 2,
                    NULL);
}

/* The leading axes flattened to rows. */
static sq_var flat(sq_var x)
{
    sq_shape s = sq_shape_of(x);
    return sq_reshape(x, sq_mat(leading(&s, 1), from_end(&s, 1)));
}

/* Every matrix of a stack transposed. */
static sq_var turned(sq_var x)
{
    int axes[SQ_MAX_RANK] = { 0, 1, 2, 3 }, rank = sq_shape_of(x).rank;
    axes[rank - 2] = rank - 1;
    axes[rank - 1] = rank - 2;
    return sq_permute(x, axes);
}

#define MEANS(name, composition)                                     \
    static sq_var name##_means(const sq_var *x, const sq_attr *attr) \
    {                                                                \
        (void)attr;                                                  \
        return composition;                                          \
    }
MEANS(matmul_nt, sq_matmul(x[0], sq_transpose(x[1])))
MEANS(matmul_tn, sq_matmul(sq_transpose(flat(x[0])), flat(x[1])))
MEANS(bmm_nt, sq_bmm(x[0], turned(x[1])))
MEANS(bmm_tn, sq_bmm(turned(x[0]), x[1]))

/* ---- Shapes ------------------------------------------------------------------------------ */

static bool check_rank(sq_tape *t, const sq_shape *in, int32_t k, int32_t least, int32_t most,
                       const char *told)
{
    char text[SQ_SHAPE_TEXT];
    if (in[k].rank >= least && in[k].rank <= most) return true;
    return sq_post(t, SQ_ESHAPE, "operand %" PRId32 " must have rank %s, it is %s", k + 1, told,
                   sq_shape_text(in[k], text));
}

/* Y[..,n] = A[..,k] B[k,n], or B[n,k]^T. */
static bool rows_times(sq_tape *t, const sq_shape *in, int32_t form, sq_shape *out)
{
    const int32_t k = form == NT; /* B's axis that is summed */
    if (!check_rank(t, in, 0, 2, SQ_MAX_RANK, "2 to 4") || !check_rank(t, in, 1, 2, 2, "2"))
        return false;
    if (from_end(&in[0], 1) != in[1].dim[k])
        return sqi_post_differ(t, form == NT ? "last sizes" : "inner sizes", in);
    *out = sqi_with_size(in[0], -1, in[1].dim[1 - k]);
    return sqi_check_size(t, *out);
}

/* Y[m,n] = A[..,m]^T B[..,n]. */
static bool rows_turned_times(sq_tape *t, const sq_shape *in, int32_t form, sq_shape *out)
{
    (void)form;
    for (int32_t i = 0; i < 2; i++)
        if (!check_rank(t, in, i, 2, SQ_MAX_RANK, "2 to 4")) return false;
    if (!sq_shape_equal(sqi_without(in[0], -1), sqi_without(in[1], -1)))
        return sqi_post_differ(t, "leading sizes", in);
    *out = sq_mat(from_end(&in[0], 1), from_end(&in[1], 1));
    return sqi_check_size(t, *out);
}

/* Y[..,m,n] of operands with equal leading sizes. */
static bool stack_times(sq_tape *t, const sq_shape *in, int32_t form, sq_shape *out)
{
    const int32_t m = form == TN ? 1 : 2, n = form == NT ? 2 : 1; /* from the end: what stays */
    for (int32_t i = 0; i < 2; i++)
        if (!check_rank(t, in, i, 3, SQ_MAX_RANK, "3 or 4")) return false;
    bool same = in[0].rank == in[1].rank;
    for (int32_t i = 0; same && i + 2 < in[0].rank; i++) same = in[0].dim[i] == in[1].dim[i];
    if (!same) return sqi_post_differ(t, "leading sizes", in);
    if (from_end(&in[0], 3 - m) != from_end(&in[1], 3 - n))
        return sqi_post_differ(t, "summed sizes", in);
    *out = sqi_with_size(in[0], -2, from_end(&in[0], m));
    *out = sqi_with_size(*out, -1, from_end(&in[1], n));
    return sqi_check_size(t, *out);
}

/* ---- Descriptors and constructors -------------------------------------------------------- */

#define SAMPLE(...)                                      \
    {                                                    \
        .n = 2, .lo = -2, .hi = 2, .in = { __VA_ARGS__ } \
    }

static const sq_sample matmul_samples[] = {
    SAMPLE({ 2, { 4, 3 } }, { 2, { 3, 5 } }),
    SAMPLE({ 3, { 3, 2, 7 } }, { 2, { 7, 1 } }),
    SAMPLE({ 4, { 2, 1, 3, 1 } }, { 2, { 1, 5 } }),
    SAMPLE({ 2, { 0, 3 } }, { 2, { 3, 2 } }),
    { .n = 0 },
};

static const sq_sample matmul_nt_samples[] = {
    SAMPLE({ 2, { 4, 3 } }, { 2, { 5, 3 } }),
    SAMPLE({ 3, { 3, 2, 7 } }, { 2, { 1, 7 } }),
    SAMPLE({ 4, { 2, 1, 3, 1 } }, { 2, { 5, 1 } }),
    SAMPLE({ 2, { 0, 3 } }, { 2, { 2, 3 } }),
    { .n = 0 },
};

static const sq_sample matmul_tn_samples[] = {
    SAMPLE({ 2, { 4, 3 } }, { 2, { 4, 5 } }),
    SAMPLE({ 3, { 3, 2, 7 } }, { 3, { 3, 2, 1 } }),
    SAMPLE({ 4, { 2, 1, 3, 1 } }, { 4, { 2, 1, 3, 5 } }),
    SAMPLE({ 2, { 0, 3 } }, { 2, { 0, 2 } }),
    { .n = 0 },
};

static const sq_sample bmm_samples[] = {
    SAMPLE({ 3, { 2, 4, 3 } }, { 3, { 2, 3, 5 } }),
    SAMPLE({ 3, { 3, 1, 19 } }, { 3, { 3, 19, 2 } }),
    SAMPLE({ 3, { 2, 3, 4 } }, { 3, { 2, 4, 1 } }),
    SAMPLE({ 4, { 2, 1, 2, 3 } }, { 4, { 2, 1, 3, 2 } }),
    SAMPLE({ 3, { 0, 2, 3 } }, { 3, { 0, 3, 2 } }),
    { .n = 0 },
};

static const sq_sample bmm_nt_samples[] = {
    SAMPLE({ 3, { 2, 4, 3 } }, { 3, { 2, 5, 3 } }),
    SAMPLE({ 3, { 3, 1, 19 } }, { 3, { 3, 2, 19 } }),
    SAMPLE({ 3, { 2, 3, 4 } }, { 3, { 2, 1, 4 } }),
    SAMPLE({ 4, { 2, 1, 2, 3 } }, { 4, { 2, 1, 2, 3 } }),
    SAMPLE({ 3, { 2, 2, 0 } }, { 3, { 2, 3, 0 } }),
    { .n = 0 },
};

static const sq_sample bmm_tn_samples[] = {
    SAMPLE({ 3, { 2, 3, 4 } }, { 3, { 2, 3, 5 } }),
    SAMPLE({ 3, { 3, 7, 1 } }, { 3, { 3, 7, 2 } }),
    SAMPLE({ 3, { 2, 1, 3 } }, { 3, { 2, 1, 4 } }),
    SAMPLE({ 4, { 2, 1, 3, 2 } }, { 4, { 2, 1, 3, 1 } }),
    SAMPLE({ 3, { 2, 0, 3 } }, { 3, { 2, 0, 2 } }),
    { .n = 0 },
};

/* fits: its shape rule; composition: what it must equal. */
#define PRODUCT(op, row_of_op, fits, flags_of_op, composition, text)                       \
    static bool op##_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr, \
                           sq_shape *out)                                                  \
    {                                                                                      \
        (void)n, (void)attr;                                                               \
        return fits(t, in, form_of(row_of_op), out);                                       \
    }                                                                                      \
    static sq_var op##_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,  \
                               int32_t k)                                                  \
    {                                                                                      \
        (void)y, (void)attr;                                                               \
        return adjoint(row_of_op, x, gy, k);                                               \
    }                                                                                      \
    const sq_op sq_op_##op = {                                                             \
        .name = #op,                                                                       \
        .formula = text,                                                                   \
        .arity = 2,                                                                        \
        .flags = flags_of_op,                                                              \
        .row = row_of_op,                                                                  \
        .shape = op##_shape,                                                               \
        .forward = forward,                                                                \
        .vjp = vjp,                                                                        \
        .jvp = jvp,                                                                        \
        .adjoint = op##_adjoint,                                                           \
        .means = composition,                                                              \
        .samples = op##_samples,                                                           \
    };                                                                                     \
    sq_var sq_##op(sq_var a, sq_var b)                                                     \
    {                                                                                      \
        return sq_apply(&sq_op_##op, (sq_var[]){ a, b }, 2, NULL);                         \
    }

PRODUCT(matmul, NN, rows_times, SQ_ROWWISE, NULL, "Y[..,n] = A[..,k] B[k,n]")
PRODUCT(matmul_nt, NT, rows_times, SQ_ROWWISE, matmul_nt_means, "Y[..,n] = A[..,k] B[n,k]^T")
PRODUCT(matmul_tn, TN, rows_turned_times, 0, matmul_tn_means, "Y[m,n] = A[..,m]^T B[..,n]")
PRODUCT(bmm, STACKS + NN, stack_times, SQ_ROWWISE, NULL,
        "Y[b] = A[b] B[b] for every leading index b")
PRODUCT(bmm_nt, STACKS + NT, stack_times, SQ_ROWWISE, bmm_nt_means,
        "Y[b] = A[b] B[b]^T for every leading index b")
PRODUCT(bmm_tn, STACKS + TN, stack_times, SQ_ROWWISE, bmm_tn_means,
        "Y[b] = A[b]^T B[b] for every leading index b")
