/* masked_reduce.c -- sums, means and the largest of what a mask leaves.
 *
 *     op                attributes              derivative
 *     masked_max_axis   k[0] axis, the mask     gy masked_max_share(x); ties share equally
 *     masked_max_share  k[0] axis, the mask     0 almost everywhere, and taken to be 0
 *
 * Sums and means are compositions: what is not there becomes 0 and the sum is that of any row. A
 * mean divides by how many are there; of nothing, it is an error, as is the largest. */
#include "core/tape_impl.h"
#include "ops/row_kernels.h"

#include <inttypes.h>

/* ---- masked_max_axis and masked_max_share ------------------------------------------------- */

static sqi_masked rows_of(const sq_call *c)
{
    return sqi_masked_rows(c, c->xs[0], c->attr->k[0]);
}

static bool share_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                        sq_shape *out)
{
    (void)n;
    *out = in[0];
    return sqi_check_full_axis(t, in[0], attr->k[0]) &&
           sqi_check_masked_rows(t, attr, in[0], attr->k[0]);
}

static bool max_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                      sq_shape *out)
{
    if (!share_shape(t, n, in, attr, out)) return false;
    *out = sqi_without(in[0], attr->k[0]);
    return true;
}

static void max_forward(const sq_call *c)
{
    sqi_masked r = rows_of(c);
    sqi_rows_for(c)->masked_max(&r, c->x[0], c->y);
}

static void max_vjp(const sq_call *c, int32_t k)
{
    sqi_masked r = rows_of(c);
    (void)k;
    sqi_rows_for(c)->masked_max_vjp(&r, c->x[0], c->gy, c->gx[0]);
}

static void max_jvp(const sq_call *c, int32_t k)
{
    sqi_masked r = rows_of(c);
    (void)k;
    sqi_rows_for(c)->masked_max_jvp(&r, c->x[0], c->dx[0], c->dy);
}

static sq_var max_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)k;
    sq_shape s = sq_shape_of(x[0]);
    sq_var g = sq_broadcast_to(sq_reshape(gy, sqi_with_size(s, attr->k[0], 1)), s);
    return sq_mul(g, sq_apply(&sq_op_masked_max_share, x, 1, attr));
}

static void share_forward(const sq_call *c)
{
    sqi_masked r = rows_of(c);
    sqi_rows_for(c)->masked_max_share(&r, c->x[0], c->y);
}

static void add_nothing(const sq_call *c, int32_t k) { (void)c, (void)k; }

static sq_var zero_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)x, (void)y, (void)gy, (void)attr, (void)k;
    return (sq_var){ 0 };
}

/* ---- Descriptors and constructors ---------------------------------------------------------- */

static const int32_t some[] = { 1, 0, 0, 7, -1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1 };

#define SAMPLE(axis, n_mask, mask_rank, mask_dims, ...)                 \
    {                                                                   \
        .n = 1, .lo = -3, .hi = 3, .in = { { __VA_ARGS__ } }, .attr = { \
            .k = { axis, mask_rank, SQI_DIMS mask_dims },               \
            .mask = some,                                               \
            .n_ids = n_mask                                             \
        }                                                               \
    }
#define SQI_DIMS(...) __VA_ARGS__

static const sq_sample samples[] = {
    SAMPLE(0, 5, 1, (5), 1, { 5 }),
    SAMPLE(-1, 19, 1, (19), 2, { 3, 19 }),
    SAMPLE(1, 12, 3, (3, 4, 1), 3, { 3, 4, 2 }),
    SAMPLE(0, 4, 4, (4, 1, 1, 1), 4, { 4, 2, 1, 2 }),
    SAMPLE(1, 0, 2, (0, 4), 2, { 0, 4 }),
    { .n = 0 },
};

const sq_op sq_op_masked_max_axis = {
    .name = "masked_max_axis",
    .formula = "y = largest x along one axis where the mask is not 0; the axis goes away",
    .arity = 1,
    .shape = max_shape,
    .forward = max_forward,
    .vjp = max_vjp,
    .jvp = max_jvp,
    .adjoint = max_adjoint,
    .samples = samples,
};

const sq_op sq_op_masked_max_share = {
    .name = "masked_max_share",
    .formula = "y = 1 at the largest x where the mask is not 0, ties share; derivative 0",
    .arity = 1,
    .shape = share_shape,
    .forward = share_forward,
    .vjp = add_nothing,
    .jvp = add_nothing,
    .adjoint = zero_adjoint,
    .samples = samples,
};

sq_var sq_masked_max_axis(sq_var x, int axis, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, axis);
    return sq_apply(&sq_op_masked_max_axis, &x, 1, &attr);
}

sq_var sq_masked_max_share(sq_var x, int axis, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, axis);
    return sq_apply(&sq_op_masked_max_share, &x, 1, &attr);
}

/* ---- Sums and means ------------------------------------------------------------------------ */

/* Opens a composition over the mask's part of x; false after posting. */
static bool open(const char *name, sq_var x, const sq_attr *attr, sq_shape *s)
{
    return sqi_compose(name, x, s) && sqi_check_mask(x.tape, attr, *s);
}

static sq_var kept(sq_var x, const sq_attr *attr, sq_shape s)
{
    return sq_apply(&sq_op_where, (sq_var[]){ x, sq_zeros(x.tape, s) }, 2, attr);
}

/* A constant like the sum along the axis: 1 / how many are there. No row is without any. */
static sq_var shares(sq_tape *t, const sq_attr *attr, sq_shape s, int64_t axis)
{
    sq_call c = { .attr = attr };
    sqi_masked r = sqi_masked_rows(&c, s, axis);
    if (!sqi_trace_compute(t, "takes a mask")) return sqi_none(t);
    sq_var v = sq_zeros(t, sqi_without(s, axis));
    if (!sq_ok(v)) return v;
    char *to = sqi_node_find(t, v.id)->value;
    for (int64_t i = 0; i < r.dim[0]; i++)
        for (int64_t j = 0; j < r.dim[1]; j++)
            for (int64_t k = 0; k < r.dim[2]; k++, to += sq_dtype_size(t->dtype)) {
                const int32_t *m = r.mask + i * r.m[0] + j * r.m[1] + k * r.m[2];
                int64_t n = 0;
                for (int64_t e = 0; e < r.n; e++) n += m[e * r.m_step] != 0;
                t->kern->of[t->dtype].fill(1, to, 1 / (double)n);
            }
    return v;
}

sq_var sq_masked_sum(sq_var x, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, 0);
    sq_shape s;
    if (!open("masked_sum", x, &attr, &s)) return sqi_none(x.tape);
    return sq_sum(kept(x, &attr, s));
}

/* Every entry of the mask stands for equally many elements. */
sq_var sq_masked_mean(sq_var x, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, 0);
    sq_shape s;
    int64_t entries = 0;
    if (!open("masked_mean", x, &attr, &s)) return sqi_none(x.tape);
    for (int64_t i = 0; i < attr.n_ids; i++) entries += mask[i] != 0;
    int64_t n = attr.n_ids ? sq_shape_size(s) / attr.n_ids * entries : 0;
    if (n == 0) {
        sq_post(x.tape, SQ_EVALUE,
                "mean of nothing: all of the mask's %" PRId64 " entries are 0", attr.n_ids);
        return sqi_none(x.tape);
    }
    return sq_mul_scalar(sq_sum(kept(x, &attr, s)), 1 / (double)n);
}

sq_var sq_masked_sum_axis(sq_var x, int axis, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, axis);
    sq_shape s;
    if (!open("masked_sum_axis", x, &attr, &s) || !sqi_check_axis(x.tape, s, axis))
        return sqi_none(x.tape);
    return sq_sum_axis(kept(x, &attr, s), axis);
}

sq_var sq_masked_mean_axis(sq_var x, int axis, const int32_t *mask, sq_shape shape)
{
    sq_attr attr = sqi_mask_attr(mask, shape, axis);
    sq_shape s;
    if (!open("masked_mean_axis", x, &attr, &s) || !sqi_check_full_axis(x.tape, s, axis) ||
        !sqi_check_masked_rows(x.tape, &attr, s, axis))
        return sqi_none(x.tape);
    sq_var sum = sq_sum_axis(kept(x, &attr, s), axis);
    return sq_mul(sum, shares(x.tape, &attr, s, axis));
}
