/* masked.c -- rows under a mask, and where.
 *
 *     op       attributes     derivative
 *     where    the mask       where(mask, gy, 0) and where(mask, 0, gy)
 *
 * A mask is int32 numbers with a shape of their own that stretches to the operand's (k[1..5]); not 0
 * means "there". What is not there is never looked at: a NaN in it changes nothing, and its gradient
 * is exactly 0. */
#include "core/tape_impl.h"
#include "ops/row_kernels.h"

#include <inttypes.h>
#include <stdio.h>

/* The axis along the row is counted among four; what x lacks has size 1. */
sqi_masked sqi_masked_rows(const sq_call *c, sq_shape x, int64_t axis)
{
    sq_shape mask = sqi_mask_shape(c->attr);
    int64_t xs[SQ_MAX_RANK], ms[SQ_MAX_RANK];
    int32_t lacks = SQ_MAX_RANK - x.rank, along = x.rank ? sqi_axis(x, axis) + lacks : 3;
    sqi_masked r = { .n = along < lacks ? 1 : x.dim[along - lacks], .mask = c->attr->mask };
    sqi_strides_in(x, xs);
    sqi_strides_in(mask, ms);
    for (int32_t i = 0, at = 0; i < SQ_MAX_RANK; i++) {
        if (i == along) continue;
        r.dim[at] = i < lacks ? 1 : x.dim[i - lacks];
        r.x[at] = xs[i];
        r.m[at++] = ms[i];
    }
    r.x_step = along == 3 ? 1 : xs[along];
    r.m_step = ms[along];
    if (!r.mask) r.dim[0] = 0; /* there is nothing */
    if (x.rank && c->row) r.mask += c->row * ms[lacks];
    return r;
}

/* "[2,:]": row (i,j,k) of x, the axis along it as a colon. */
static const char *row_text(sq_shape x, int64_t axis, const int64_t at[3],
                            char text[SQ_SHAPE_TEXT])
{
    int32_t along = sqi_axis(x, axis), lacks = SQ_MAX_RANK - x.rank;
    int n = snprintf(text, SQ_SHAPE_TEXT, "[");
    for (int32_t i = 0; i < x.rank; i++) {
        const char *comma = i ? "," : "";
        int32_t q = i + lacks - (i > along);
        size_t left = SQ_SHAPE_TEXT - (size_t)n;
        n += i == along ? snprintf(text + n, left, "%s:", comma)
                        : snprintf(text + n, left, "%s%" PRId64, comma, at[q]);
    }
    snprintf(text + n, SQ_SHAPE_TEXT - (size_t)n, "]");
    return text;
}

static bool anything(const sqi_masked *r, const int32_t *m)
{
    for (int64_t i = 0; i < r->n; i++)
        if (m[i * r->m_step]) return true;
    return false;
}

bool sqi_check_masked_rows(sq_tape *t, const sq_attr *attr, sq_shape x, int64_t axis)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (!sqi_check_mask(t, attr, x)) return false;
    sq_call c = { .attr = attr };
    sqi_masked r = sqi_masked_rows(&c, x, axis);
    for (int64_t i = 0; i < r.dim[0]; i++)
        for (int64_t j = 0; j < r.dim[1]; j++)
            for (int64_t k = 0; k < r.dim[2]; k++) {
                if (anything(&r, r.mask + i * r.m[0] + j * r.m[1] + k * r.m[2])) continue;
                return sq_post(t, SQ_EVALUE, "all of row %s of %s is masked out",
                               row_text(x, axis, (int64_t[]){ i, j, k }, a),
                               sq_shape_text(x, b));
            }
    return true;
}

/* ---- where ------------------------------------------------------------------------------- */

static bool where_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                        sq_shape *out)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    (void)n;
    *out = in[0];
    if (!sq_shape_equal(in[0], in[1]))
        return sq_post(t, SQ_ESHAPE, "shapes differ: %s and %s", sq_shape_text(in[0], a),
                       sq_shape_text(in[1], b));
    return sqi_check_mask(t, attr, in[0]);
}

static sqi_masked where_rows(const sq_call *c) { return sqi_masked_rows(c, c->ys, -1); }

static void where_forward(const sq_call *c)
{
    sqi_masked r = where_rows(c);
    sqi_rows_for(c)->choose(&r, c->x[0], c->x[1], c->y);
}

static void where_vjp(const sq_call *c, int32_t k)
{
    sqi_masked r = where_rows(c);
    sqi_rows_for(c)->pass(&r, k == 0, c->gy, c->gx[k]);
}

static void where_jvp(const sq_call *c, int32_t k)
{
    sqi_masked r = where_rows(c);
    sqi_rows_for(c)->pass(&r, k == 0, c->dx[k], c->dy);
}

static sq_var where_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                            int32_t k)
{
    sq_var zero = sq_zeros(gy.tape, sq_shape_of(gy));
    (void)x, (void)y;
    return sq_apply(&sq_op_where, k == 0 ? (sq_var[]){ gy, zero } : (sq_var[]){ zero, gy }, 2,
                    attr);
}

static sq_var stretched(sq_var x, sq_shape from, sq_shape to)
{
    return sq_shape_equal(from, to) ? x : sq_broadcast_to(x, to);
}

/* What stretches is stretched first, so that the op itself only chooses. */
sq_var sq_where(const int32_t *mask, sq_shape shape, sq_var a, sq_var b)
{
    sq_tape *t = a.tape ? a.tape : b.tape;
    sq_attr attr = sqi_mask_attr(mask, shape, 0);
    const sqi_node *na = sqi_begin(t, "where") ? sqi_node_of(t, a, "operand 1") : NULL;
    const sqi_node *nb = na ? sqi_node_of(t, b, "operand 2") : NULL;
    if (!nb || !sqi_check_size(t, shape)) return sqi_none(t);
    char text[3][SQ_SHAPE_TEXT];
    sq_shape sa = na->shape, sb = nb->shape, all;
    if (!sq_shape_broadcast(sa, sb, &all) || !sq_shape_broadcast(all, shape, &all)) {
        sq_post(t, SQ_ESHAPE, "shapes do not broadcast: %s where %s, else %s",
                sq_shape_text(sa, text[0]), sq_shape_text(shape, text[1]),
                sq_shape_text(sb, text[2]));
        return sqi_none(t);
    }
    return sq_apply(&sq_op_where, (sq_var[]){ stretched(a, sa, all), stretched(b, sb, all) }, 2,
                    &attr);
}

/* ---- Descriptors ------------------------------------------------------------------------- */

static const int32_t some[] = { 1, 0, 0, 7, -1, 0, 1, 1, 0, 1, 0, 1 };

#define MASK(axis, n, rank, ...) \
    .attr = { .k = { axis, rank, __VA_ARGS__ }, .mask = some, .n_ids = n }
#define PAIR(...) .n = 2, .lo = -3, .hi = 3, .in = { { __VA_ARGS__ }, { __VA_ARGS__ } }

static const sq_sample where_samples[] = {
    { PAIR(2, { 3, 4 }), MASK(0, 12, 2, 3, 4) },
    { PAIR(2, { 4, 19 }), MASK(0, 4, 2, 4, 1) },
    { PAIR(3, { 2, 3, 5 }), MASK(0, 5, 1, 5) },
    { PAIR(4, { 2, 1, 3, 2 }), MASK(0, 6, 4, 2, 1, 3, 1) },
    { PAIR(0, { 0 }), MASK(0, 1, 0, 0) },
    { PAIR(2, { 0, 3 }), MASK(0, 3, 2, 1, 3) },
    { .n = 0 },
};

const sq_op sq_op_where = {
    .name = "where",
    .formula = "y = a where the mask is not 0, else b",
    .arity = 2,
    .flags = SQ_ROWWISE | SQ_LINEAR,
    .shape = where_shape,
    .forward = where_forward,
    .vjp = where_vjp,
    .jvp = where_jvp,
    .adjoint = where_adjoint,
    .samples = where_samples,
};
