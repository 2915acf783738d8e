/* view.c -- the same numbers at other places: concat, stack, slice, pad, reshape, permute.
 *
 *     op       attributes                     derivative
 *     concat   k[0] axis                      slice k's part back out
 *     stack    none                           the k-th row
 *     slice    k[0] axis, k[1] start, k[2] n  pad
 *     pad      k[0] axis, k[1] before, k[2] after   slice
 *     reshape  k[0..4] shape                  reshape back
 *     permute  k[i] axis of x that becomes i  permute back
 *
 * reshape never moves a byte; slice moves none when only axes of size 1 precede its axis (see
 * `view`). All are linear: forward and jvp are one walk, and vjp is that walk backwards. */
#include "core/tape_impl.h"
#include "ops/ops_impl.h"

#include <inttypes.h>

/* ---- concat and stack ------------------------------------------------------------------- */

static bool concat_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                         sq_shape *out)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (!sqi_check_axis(t, in[0], attr->k[0])) return false;
    int32_t axis = sqi_axis(in[0], attr->k[0]);
    *out = in[0];
    for (int32_t i = 1; i < n; i++) {
        if (in[i].rank != in[0].rank ||
            !sq_shape_equal(sqi_with_size(in[i], axis, in[0].dim[axis]), in[0]))
            return sq_post(t, SQ_ESHAPE,
                           "operand %" PRId32 " does not fit along axis %" PRId32 ": %s and %s",
                           i + 1, axis, sq_shape_text(in[0], a), sq_shape_text(in[i], b));
        if (__builtin_add_overflow(out->dim[axis], in[i].dim[axis], &out->dim[axis]))
            out->dim[axis] = -1;
    }
    return sqi_check_size(t, *out);
}

/* A part of a block: `rows` runs of `count` elements from `start` on, `width` apart. */
typedef struct part {
    int64_t rows, count, start, width;
} part;

static part concat_part(const sq_call *c, int32_t k)
{
    sqi_rows all = sqi_rows_of(c->ys, c->attr->k[0]);
    part p = { all.outer, sqi_rows_of(c->xs[k], c->attr->k[0]).n * all.inner, 0,
               all.n * all.inner };
    for (int32_t i = 0; i < k; i++)
        p.start += sqi_rows_of(c->xs[i], c->attr->k[0]).n * all.inner;
    return p;
}

static void put(const sq_call *c, part p, const void *x, void *y, bool add)
{
    sqi_move_rows(c, p.rows, p.count, x, p.count, sqi_at_mut(c, y, p.start), p.width, add);
}

static void take(const sq_call *c, part p, const void *y, void *x, bool add)
{
    sqi_move_rows(c, p.rows, p.count, sqi_at(c, y, p.start), p.width, x, p.count, add);
}

static void concat_forward(const sq_call *c)
{
    part p = concat_part(c, 0);
    for (int32_t k = 0; k < c->n; k++) {
        p.count =
            sqi_rows_of(c->xs[k], c->attr->k[0]).n * sqi_rows_of(c->ys, c->attr->k[0]).inner;
        put(c, p, c->x[k], c->y, false);
        p.start += p.count;
    }
}

static void concat_vjp(const sq_call *c, int32_t k)
{
    take(c, concat_part(c, k), c->gy, c->gx[k], true);
}

static void concat_jvp(const sq_call *c, int32_t k)
{
    put(c, concat_part(c, k), c->dx[k], c->dy, true);
}

static sq_var concat_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                             int32_t k)
{
    (void)y;
    sq_shape s = sq_shape_of(x[k]);
    int32_t axis = sqi_axis(s, attr->k[0]);
    int64_t start = 0;
    for (int32_t i = 0; i < k; i++) start += sq_shape_of(x[i]).dim[axis];
    return sq_slice(gy, axis, start, s.dim[axis]);
}

static bool stack_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                        sq_shape *out)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    (void)attr;
    if (in[0].rank >= SQ_MAX_RANK)
        return sq_post(t, SQ_ESHAPE, "a new axis does not fit: %s has rank %d already",
                       sq_shape_text(in[0], a), SQ_MAX_RANK);
    for (int32_t i = 1; i < n; i++)
        if (!sq_shape_equal(in[0], in[i]))
            return sq_post(t, SQ_ESHAPE, "operands 1 and %" PRId32 " differ: %s and %s", i + 1,
                           sq_shape_text(in[0], a), sq_shape_text(in[i], b));
    *out = sq_shape4(n, in[0].dim[0], in[0].dim[1], in[0].dim[2]);
    out->rank = in[0].rank + 1;
    return sqi_check_size(t, *out);
}

static part stack_part(const sq_call *c, int32_t k)
{
    int64_t count = sq_shape_size(c->xs[k]);
    return (part){ 1, count, k * count, count };
}

static void stack_forward(const sq_call *c)
{
    for (int32_t k = 0; k < c->n; k++) put(c, stack_part(c, k), c->x[k], c->y, false);
}

static void stack_vjp(const sq_call *c, int32_t k)
{
    take(c, stack_part(c, k), c->gy, c->gx[k], true);
}

static void stack_jvp(const sq_call *c, int32_t k)
{
    put(c, stack_part(c, k), c->dx[k], c->dy, true);
}

static sq_var stack_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                            int32_t k)
{
    (void)y, (void)attr;
    return sq_reshape(sq_slice(gy, 0, k, 1), sq_shape_of(x[k]));
}

/* ---- slice and pad: each other's transpose ---------------------------------------------- */

static bool slice_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                        sq_shape *out)
{
    char text[SQ_SHAPE_TEXT];
    int64_t start = attr->k[1], count = attr->k[2];
    (void)n;
    if (!sqi_check_axis(t, in[0], attr->k[0])) return false;
    int64_t size = in[0].dim[sqi_axis(in[0], attr->k[0])];
    if (start < 0 || count < 0 || start > size || count > size - start)
        return sq_post(t, SQ_ERANGE,
                       "start %" PRId64 ", count %" PRId64 " lie outside axis %" PRId64
                       " of %s",
                       start, count, attr->k[0], sq_shape_text(in[0], text));
    *out = sqi_with_size(in[0], attr->k[0], count);
    return true;
}

static bool pad_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                      sq_shape *out)
{
    int64_t before = attr->k[1], after = attr->k[2], size;
    (void)n;
    if (!sqi_check_axis(t, in[0], attr->k[0])) return false;
    if (before < 0 || after < 0)
        return sq_post(t, SQ_ERANGE, "negative padding: %" PRId64 " before, %" PRId64 " after",
                       before, after);
    if (__builtin_add_overflow(before, after, &size) ||
        __builtin_add_overflow(size, in[0].dim[sqi_axis(in[0], attr->k[0])], &size))
        size = -1;
    *out = sqi_with_size(in[0], attr->k[0], size);
    return sqi_check_size(t, *out);
}

/* Where `small` lies inside `big`, from k[1] on along the axis. */
static part window(const sq_call *c, sq_shape small, sq_shape big)
{
    sqi_rows s = sqi_rows_of(small, c->attr->k[0]), b = sqi_rows_of(big, c->attr->k[0]);
    return (part){ b.outer, s.n * s.inner, c->attr->k[1] * b.inner, b.n * b.inner };
}

static int64_t slice_view(const sq_shape *in, const sq_attr *attr)
{
    sqi_rows r = sqi_rows_of(in[0], attr->k[0]);
    return r.outer == 1 ? attr->k[1] * r.inner : -1;
}

static void slice_forward(const sq_call *c)
{
    take(c, window(c, c->ys, c->xs[0]), c->x[0], c->y, false);
}

static void slice_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    put(c, window(c, c->ys, c->xs[0]), c->gy, c->gx[0], true);
}

static void slice_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    take(c, window(c, c->ys, c->xs[0]), c->dx[0], c->dy, true);
}

static sq_var slice_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                            int32_t k)
{
    (void)y, (void)k;
    sq_shape s = sq_shape_of(x[0]);
    int32_t axis = sqi_axis(s, attr->k[0]);
    return sq_pad(gy, axis, attr->k[1], s.dim[axis] - attr->k[1] - attr->k[2]);
}

static void pad_forward(const sq_call *c)
{
    sqi_arith_of(c)->fill(sq_shape_size(c->ys), c->y, 0);
    put(c, window(c, c->xs[0], c->ys), c->x[0], c->y, false);
}

static void pad_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    take(c, window(c, c->xs[0], c->ys), c->gy, c->gx[0], true);
}

static void pad_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    put(c, window(c, c->xs[0], c->ys), c->dx[0], c->dy, true);
}

static sq_var pad_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)k;
    sq_shape s = sq_shape_of(x[0]);
    int32_t axis = sqi_axis(s, attr->k[0]);
    return sq_slice(gy, axis, attr->k[1], s.dim[axis]);
}

/* ---- reshape ---------------------------------------------------------------------------- */

static bool reshape_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    (void)n;
    *out = sqi_attr_shape(attr);
    if (!sqi_check_size(t, *out)) return false;
    if (sq_shape_size(*out) == sq_shape_size(in[0])) return true;
    return sq_post(t, SQ_ESHAPE, "%s has %" PRId64 " elements, %s has %" PRId64,
                   sq_shape_text(in[0], a), sq_shape_size(in[0]), sq_shape_text(*out, b),
                   sq_shape_size(*out));
}

static int64_t reshape_view(const sq_shape *in, const sq_attr *attr)
{
    (void)in, (void)attr;
    return 0;
}

static void reshape_forward(const sq_call *c)
{
    int64_t n = sq_shape_size(c->ys);
    sqi_move_rows(c, 1, n, c->x[0], n, c->y, n, false);
}

static void reshape_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_add_to(c, sq_shape_size(c->ys), c->gy, c->gx[0]);
}

static void reshape_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    sqi_add_to(c, sq_shape_size(c->ys), c->dx[0], c->dy);
}

static sq_var reshape_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    (void)y, (void)attr, (void)k;
    return sq_reshape(gy, sq_shape_of(x[0]));
}

/* ---- permute ---------------------------------------------------------------------------- */

static bool permute_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    char text[SQ_SHAPE_TEXT];
    bool seen[SQ_MAX_RANK] = { false };
    (void)n;
    *out = in[0];
    for (int32_t i = 0; i < in[0].rank; i++) {
        int64_t axis = attr->k[i];
        if (!sqi_check_axis(t, in[0], axis)) return false;
        if (seen[sqi_axis(in[0], axis)])
            return sq_post(t, SQ_ERANGE, "axis %" PRId64 " of %s is taken twice", axis,
                           sq_shape_text(in[0], text));
        seen[sqi_axis(in[0], axis)] = true;
        out->dim[i] = in[0].dim[sqi_axis(in[0], axis)];
    }
    return true;
}

static void dense_strides(sq_shape s, int64_t stride[SQ_MAX_RANK])
{
    int64_t step = 1;
    for (int32_t i = s.rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s.dim[i];
    }
}

/* Walks the result's box, from x to y or `back` from y to x. */
static void permuted(const sq_call *c, const void *from, void *to, bool add, bool back)
{
    int64_t in[SQ_MAX_RANK] = { 0 }, out[SQ_MAX_RANK] = { 0 };
    sqi_move m = { .dim = { 1, 1, 1, 1 }, .y = to, .x = from, .add = add };
    dense_strides(c->xs[0], in);
    dense_strides(c->ys, out);
    for (int32_t i = 0; i < c->ys.rank; i++) {
        int64_t in_i = in[sqi_axis(c->xs[0], c->attr->k[i])];
        m.dim[i] = c->ys.dim[i];
        m.x_stride[i] = back ? out[i] : in_i;
        m.y_stride[i] = back ? in_i : out[i];
    }
    sqi_arith_of(c)->move(&m);
}

static void permute_forward(const sq_call *c) { permuted(c, c->x[0], c->y, false, false); }

static void permute_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    permuted(c, c->gy, c->gx[0], true, true);
}

static void permute_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    permuted(c, c->dx[0], c->dy, true, false);
}

static sq_var permute_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    sq_shape s = sq_shape_of(x[0]);
    int back[SQ_MAX_RANK] = { 0 };
    (void)y, (void)k;
    for (int32_t i = 0; i < s.rank; i++) back[sqi_axis(s, attr->k[i])] = i;
    return sq_permute(gy, back);
}

/* ---- Descriptors ------------------------------------------------------------------------ */

static const sq_sample concat_samples[] = {
    { .n = 3, .lo = -3, .hi = 3, .in = { { 1, { 2 } }, { 1, { 5 } }, { 1, { 1 } } } },
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 3, 2 } }, { 2, { 3, 5 } } },
      .attr = { .k = { -1 } } },
    { .n = 3,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 2, 1, 3 } }, { 3, { 2, 0, 3 } }, { 3, { 2, 4, 3 } } },
      .attr = { .k = { 1 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 4, { 2, 1, 3, 2 } } }, .attr = { .k = { 2 } } },
    { .n = 0 },
};

static const sq_sample stack_samples[] = {
    { .n = 3, .lo = -3, .hi = 3, .in = { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } } },
    { .n = 2, .lo = -3, .hi = 3, .in = { { 2, { 3, 5 } }, { 2, { 3, 5 } } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 1, 3 } } } },
    { .n = 2, .lo = -3, .hi = 3, .in = { { 2, { 0, 5 } }, { 2, { 0, 5 } } } },
    { .n = 0 },
};

static const sq_sample slice_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 5, 3 } } }, .attr = { .k = { 0, 1, 3 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 7, 3 } } }, .attr = { .k = { 1, 2, 5 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 1, 7, 3 } } }, .attr = { .k = { -2, 6, 1 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 4, { 2, 1, 3, 5 } } },
      .attr = { .k = { 3, 0, 2 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 4, 3 } } }, .attr = { .k = { 1, 3, 0 } } },
    { .n = 0 },
};

static const sq_sample pad_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 3 } } }, .attr = { .k = { 0, 1, 2 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 5, 3 } } }, .attr = { .k = { 1, 2, 0 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 4, { 2, 1, 3, 2 } } },
      .attr = { .k = { -1, 0, 3 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 2, 0 } } }, .attr = { .k = { 1, 1, 1 } } },
    { .n = 0 },
};

static const sq_sample reshape_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 4 } } }, .attr = { .k = { 3, 2, 1, 6 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 1 } } }, .attr = { .k = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 4, { 2, 1, 3, 5 } } }, .attr = { .k = { 1, 30 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 3 } } }, .attr = { .k = { 3, 2, 0, 7 } } },
    { .n = 0 },
};

static const sq_sample permute_samples[] = {
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 3, 5 } } }, .attr = { .k = { 1, 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 3, { 2, 3, 5 } } }, .attr = { .k = { 2, 0, 1 } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 4, { 2, 1, 3, 5 } } },
      .attr = { .k = { 1, -1, 0, 2 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 1, { 4 } } }, .attr = { .k = { 0 } } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 5 } } }, .attr = { .k = { 1, 0 } } },
    { .n = 0 },
};

const sq_op sq_op_concat = {
    .name = "concat",
    .formula = "y = x[0], x[1], ... joined along an axis",
    .arity = -1,
    .shape = concat_shape,
    .forward = concat_forward,
    .vjp = concat_vjp,
    .jvp = concat_jvp,
    .adjoint = concat_adjoint,
    .samples = concat_samples,
};

const sq_op sq_op_stack = {
    .name = "stack",
    .formula = "y[i] = x[i], a new first axis",
    .arity = -1,
    .shape = stack_shape,
    .forward = stack_forward,
    .vjp = stack_vjp,
    .jvp = stack_jvp,
    .adjoint = stack_adjoint,
    .samples = stack_samples,
};

const sq_op sq_op_slice = {
    .name = "slice",
    .formula = "y = x[start .. start+count) along an axis",
    .arity = 1,
    .flags = SQ_VIEW | SQ_ROWWISE, /* along the rows it can only take all of them */
    .shape = slice_shape,
    .forward = slice_forward,
    .vjp = slice_vjp,
    .jvp = slice_jvp,
    .adjoint = slice_adjoint,
    .view = slice_view,
    .samples = slice_samples,
};

const sq_op sq_op_pad = {
    .name = "pad",
    .formula = "y = x between zeros along an axis",
    .arity = 1,
    .shape = pad_shape,
    .forward = pad_forward,
    .vjp = pad_vjp,
    .jvp = pad_jvp,
    .adjoint = pad_adjoint,
    .samples = pad_samples,
};

const sq_op sq_op_reshape = {
    .name = "reshape",
    .formula = "y = the same numbers in another shape",
    .arity = 1,
    .flags = SQ_VIEW,
    .shape = reshape_shape,
    .forward = reshape_forward,
    .vjp = reshape_vjp,
    .jvp = reshape_jvp,
    .adjoint = reshape_adjoint,
    .view = reshape_view,
    .samples = reshape_samples,
};

const sq_op sq_op_permute = {
    .name = "permute",
    .formula = "y = x with axis i taken from axes[i]",
    .arity = 1,
    .shape = permute_shape,
    .forward = permute_forward,
    .vjp = permute_vjp,
    .jvp = permute_jvp,
    .adjoint = permute_adjoint,
    .samples = permute_samples,
};

/* ---- Constructors ----------------------------------------------------------------------- */

sq_var sq_concat(const sq_var *x, int n, int axis)
{
    if (n < 1 || !x) return (sq_var){ 0 };
    return sq_apply(&sq_op_concat, x, n, &(sq_attr){ .k = { axis } });
}

sq_var sq_stack(const sq_var *x, int n)
{
    if (n < 1 || !x) return (sq_var){ 0 };
    return sq_apply(&sq_op_stack, x, n, NULL);
}

sq_var sq_slice(sq_var x, int axis, int64_t start, int64_t count)
{
    return sq_apply(&sq_op_slice, &x, 1, &(sq_attr){ .k = { axis, start, count } });
}

sq_var sq_pad(sq_var x, int axis, int64_t before, int64_t after)
{
    return sq_apply(&sq_op_pad, &x, 1, &(sq_attr){ .k = { axis, before, after } });
}

sq_var sq_reshape(sq_var x, sq_shape shape)
{
    sq_attr attr = sqi_shape_attr(shape);
    return sq_apply(&sq_op_reshape, &x, 1, &attr);
}

sq_var sq_permute(sq_var x, const int *axes)
{
    sq_attr attr = { .k = { 0 } };
    int32_t rank = sq_ok(x) ? sq_shape_of(x).rank : 0;
    if (rank > 0 && !axes) {
        if (sqi_begin(x.tape, "permute")) sq_post(x.tape, SQ_EVALUE, "the axes are NULL");
        return sqi_none(x.tape);
    }
    for (int32_t i = 0; i < rank; i++) attr.k[i] = axes[i];
    return sq_apply(&sq_op_permute, &x, 1, &attr);
}

sq_var sq_transpose(sq_var x)
{
    char text[SQ_SHAPE_TEXT];
    sq_shape s;
    if (!sqi_compose("transpose", x, &s)) return sqi_none(x.tape);
    if (s.rank == 2) return sq_permute(x, (const int[SQ_MAX_RANK]){ 1, 0 });
    sq_post(x.tape, SQ_ESHAPE, "%s does not have rank 2", sq_shape_text(s, text));
    return sqi_none(x.tape);
}
