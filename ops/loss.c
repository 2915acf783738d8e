/* loss.c -- what is minimised: many terms, added up. Attribute k[0] of all: the reduction.
 *
 *     squared_error   sum (a-b)^2                 ga = 2 s (a-b) gy, gb = -ga
 *     bce_logits      sum softplus(z) - t z       gz = s (sigmoid(z) - t) gy, gt = -s z gy
 *     cross_entropy   sum over rows of            gz = s (softmax(z) - one_hot(label)) gy
 *                     ln sum e^z - z[label]
 *
 * with s = 1, or 1/(number of terms) for SQ_MEAN. With SQ_ROWS each row of the last axis is a sum of its
 * own, and gy has one number for each. cross_entropy also uses ids (a label per row
 * of logits [..,C]) and mask: a row whose mask is 0 counts nowhere and its label is not looked
 * at. The sum of nothing is 0, the mean of nothing an error. Terms are added up in double. */
#include "core/tape_impl.h"
#include "ops/row_kernels.h"

#include <inttypes.h>

/* ---- What the three share --------------------------------------------------------------- */

/* How many sums there are, each of so many elements of the operands. */
typedef struct parts {
    int64_t count, size;
} parts;

static parts parts_of(sq_shape s, const sq_attr *attr)
{
    if (attr->k[0] != SQ_ROWS) return (parts){ 1, sq_shape_size(s) };
    sqi_rows r = sqi_rows_of(s, -1);
    return (parts){ r.outer, r.n };
}

static sq_shape reduced_shape(sq_shape s, const sq_attr *attr)
{
    return attr->k[0] == SQ_ROWS ? sqi_without(s, -1) : sq_scalar();
}

static double scale(const sq_attr *attr, int64_t terms)
{
    return attr->k[0] == SQ_MEAN ? 1 / (double)terms : 1;
}

/* Both operands of one shape, reduced to a scalar. */
static bool pair_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                       sq_shape *out)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    (void)n;
    if (!sq_shape_equal(in[0], in[1]))
        return sq_post(t, SQ_ESHAPE, "shapes differ: %s and %s", sq_shape_text(in[0], a),
                       sq_shape_text(in[1], b));
    if (!sqi_check_reduction(t, attr->k[0], sq_shape_size(in[0]))) return false;
    if (attr->k[0] == SQ_ROWS && in[0].rank < 1)
        return sq_post(t, SQ_ESHAPE, "a scalar has no rows");
    *out = reduced_shape(in[0], attr);
    return sqi_check_size(t, *out);
}

static double pair_scale(const sq_call *c) { return scale(c->attr, sq_shape_size(c->xs[0])); }

static double number(const sq_call *c, const void *x)
{
    double v;
    sqi_arith_of(c)->to_f64(1, x, &v);
    return v;
}

static void set_number(const sq_call *c, double v, void *y)
{
    sqi_arith_of(c)->from_f64(1, &v, y);
}

static void add_number(const sq_call *c, double v, void *y)
{
    set_number(c, number(c, y) + v, y);
}

/* As a recorded expression: gy times s, so that it meets x. */
static sq_var spread(sq_var gy, sq_shape x, const sq_attr *attr)
{
    return attr->k[0] == SQ_ROWS ? sq_reshape(gy, sqi_with_size(x, -1, 1)) : gy;
}

static sq_var scaled(sq_var gy, sq_var x, const sq_attr *attr, double factor)
{
    sq_shape s = sq_shape_of(x);
    return sq_mul_scalar(spread(gy, s, attr), factor * scale(attr, sq_shape_size(s)));
}

/* One part of the operands of a pair: its place, and its gradient times s. */
typedef struct pair_part {
    int64_t n;
    const void *x[2];
    double s;
} pair_part;

static pair_part part_of(const sq_call *c, parts p, int64_t i)
{
    pair_part part = { .n = p.size, .s = pair_scale(c) };
    for (int k = 0; k < 2; k++) part.x[k] = sqi_at(c, c->x[k], i * p.size);
    if (c->gy) part.s *= number(c, sqi_at(c, c->gy, i));
    return part;
}

/* ---- squared_error ---------------------------------------------------------------------- */

static void squared_error_forward(const sq_call *c)
{
    parts p = parts_of(c->xs[0], c->attr);
    for (int64_t i = 0; i < p.count; i++) {
        pair_part q = part_of(c, p, i);
        double sum = sqi_rows_for(c)->square_diff(q.n, q.x[0], q.x[1]);
        set_number(c, sum * q.s, sqi_at_mut(c, c->y, i));
    }
}

static void squared_error_vjp(const sq_call *c, int32_t k)
{
    parts p = parts_of(c->xs[0], c->attr);
    for (int64_t i = 0; i < p.count; i++) {
        pair_part q = part_of(c, p, i);
        sqi_rows_for(c)->diff_vjp(q.n, 2 * q.s, q.x[k], q.x[1 - k],
                                  sqi_at_mut(c, c->gx[k], i * p.size));
    }
}

static void squared_error_jvp(const sq_call *c, int32_t k)
{
    parts p = parts_of(c->xs[0], c->attr);
    for (int64_t i = 0; i < p.count; i++) {
        pair_part q = part_of(c, p, i);
        const void *d = sqi_at(c, c->dx[k], i * p.size);
        double sum = sqi_rows_for(c)->diff_jvp(q.n, q.x[k], q.x[1 - k], d);
        add_number(c, 2 * q.s * sum, sqi_at_mut(c, c->dy, i));
    }
}

static sq_var squared_error_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                                    int32_t k)
{
    (void)y;
    return sq_mul(sq_sub(x[k], x[1 - k]), scaled(gy, x[0], attr, 2));
}

static sq_var squared_error_means(const sq_var *x, const sq_attr *attr)
{
    return sqi_reduced(sq_square(sq_sub(x[0], x[1])), attr->k[0]);
}

/* ---- bce_logits ------------------------------------------------------------------------- */

static void bce_forward(const sq_call *c)
{
    parts p = parts_of(c->xs[0], c->attr);
    for (int64_t i = 0; i < p.count; i++) {
        pair_part q = part_of(c, p, i);
        double sum = sqi_rows_for(c)->bce(q.n, q.x[0], q.x[1]);
        set_number(c, sum * q.s, sqi_at_mut(c, c->y, i));
    }
}

static void bce_vjp(const sq_call *c, int32_t k)
{
    parts p = parts_of(c->xs[0], c->attr);
    for (int64_t i = 0; i < p.count; i++) {
        pair_part q = part_of(c, p, i);
        void *g = sqi_at_mut(c, c->gx[k], i * p.size);
        if (k == 0) sqi_rows_for(c)->bce_vjp(q.n, q.s, q.x[0], q.x[1], g);
        else sqi_arith_of(c)->axpy(q.n, -q.s, q.x[0], g);
    }
}

static void bce_jvp(const sq_call *c, int32_t k)
{
    const sqi_row_kernels *rows = sqi_rows_for(c);
    parts p = parts_of(c->xs[0], c->attr);
    for (int64_t i = 0; i < p.count; i++) {
        pair_part q = part_of(c, p, i);
        const void *d = sqi_at(c, c->dx[k], i * p.size);
        double sum =
            k == 0 ? rows->bce_jvp(q.n, q.x[0], q.x[1], d) : -rows->dot(q.n, q.x[0], d);
        add_number(c, q.s * sum, sqi_at_mut(c, c->dy, i));
    }
}

static sq_var bce_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y;
    if (k == 0) return sq_mul(sq_sub(sq_sigmoid(x[0]), x[1]), scaled(gy, x[0], attr, 1));
    return sq_mul(x[0], scaled(gy, x[0], attr, -1));
}

static sq_var bce_means(const sq_var *x, const sq_attr *attr)
{
    return sqi_reduced(sq_sub(sq_softplus(x[0]), sq_mul(x[1], x[0])), attr->k[0]);
}

/* ---- cross_entropy ---------------------------------------------------------------------- */

static int64_t counted(const sq_attr *attr)
{
    int64_t n = 0;
    if (!attr->mask) return attr->n_ids;
    for (int64_t i = 0; i < attr->n_ids; i++) n += attr->mask[i] != 0;
    return n;
}

static bool cross_entropy_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                                sq_shape *out)
{
    char text[SQ_SHAPE_TEXT];
    (void)n;
    if (in[0].rank < 1) return sq_post(t, SQ_ESHAPE, "the logits are a scalar");
    *out = reduced_shape(in[0], attr);
    if (attr->n_ids != sqi_rows_of(in[0], -1).outer)
        return sq_post(t, SQ_ESHAPE, "%" PRId64 " labels do not fit the rows of %s",
                       attr->n_ids, sq_shape_text(in[0], text));
    if (!sqi_check_ids(t, attr, in[0].dim[in[0].rank - 1], "label")) return false;
    if (attr->k[0] == SQ_MEAN && attr->n_ids > 0 && counted(attr) == 0)
        return sq_post(t, SQ_EVALUE, "mean of nothing: all %" PRId64 " rows are masked out",
                       attr->n_ids);
    return sqi_check_reduction(t, attr->k[0], attr->n_ids);
}

/* Part i: the labels of all rows, or of one, and where its logits begin. */
static sqi_labels labels_of(const sq_call *c, int64_t i, int64_t *at)
{
    sqi_rows r = sqi_rows_of(c->xs[0], -1);
    const sq_attr *a = c->attr;
    bool each = a->k[0] == SQ_ROWS;
    *at = i * r.n;
    return (sqi_labels){ each ? 1 : r.outer, r.n, i ? a->ids + i : a->ids,
                         a->mask ? a->mask + i : NULL };
}

static int64_t label_parts(const sq_call *c)
{
    return c->attr->k[0] == SQ_ROWS ? c->attr->n_ids : 1;
}

static void cross_entropy_forward(const sq_call *c)
{
    double s = scale(c->attr, counted(c->attr));
    for (int64_t i = 0, at; i < label_parts(c); i++) {
        sqi_labels l = labels_of(c, i, &at);
        double sum = sqi_rows_for(c)->cross_entropy(&l, sqi_at(c, c->x[0], at));
        set_number(c, sum * s, sqi_at_mut(c, c->y, i));
    }
}

static void cross_entropy_vjp(const sq_call *c, int32_t k)
{
    double s = scale(c->attr, counted(c->attr));
    (void)k;
    for (int64_t i = 0, at; i < label_parts(c); i++) {
        sqi_labels l = labels_of(c, i, &at);
        sqi_rows_for(c)->cross_entropy_vjp(&l, s * number(c, sqi_at(c, c->gy, i)),
                                           sqi_at(c, c->x[0], at), sqi_at_mut(c, c->gx[0], at));
    }
}

static void cross_entropy_jvp(const sq_call *c, int32_t k)
{
    double s = scale(c->attr, counted(c->attr));
    (void)k;
    for (int64_t i = 0, at; i < label_parts(c); i++) {
        sqi_labels l = labels_of(c, i, &at);
        double sum = sqi_rows_for(c)->cross_entropy_jvp(&l, sqi_at(c, c->x[0], at),
                                                        sqi_at(c, c->dx[0], at));
        add_number(c, s * sum, sqi_at_mut(c, c->dy, i));
    }
}

/* [..,C] as rows [R,C]. */
static sq_var rows_of(sq_var x)
{
    sqi_rows r = sqi_rows_of(sq_shape_of(x), -1);
    return sq_reshape(x, sq_mat(r.outer, r.n));
}

static sq_var cross_entropy_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                                    int32_t k)
{
    (void)y, (void)k;
    sq_shape s = sq_shape_of(x[0]);
    sq_var rows = rows_of(x[0]);
    if (attr->mask) /* what is masked may be no number */
        rows = sq_where(attr->mask, sq_mat(attr->n_ids, 1), rows, sq_constant(gy.tape, 0));
    sq_var p = sq_softmax(rows, -1);
    sq_var hot = sqi_one_hot(x[0].tape, attr, s.dim[s.rank - 1]);
    /* A row of `hot` sums to 1, or to 0 where it is masked: the mask as a column. */
    if (attr->mask) p = sq_mul(p, sq_sum_to(hot, sq_mat(attr->n_ids, 1)));
    sq_var g = sq_mul_scalar(spread(gy, s, attr), scale(attr, counted(attr)));
    return sq_mul(sq_reshape(sq_sub(p, hot), s), g);
}

static sq_var cross_entropy_means(const sq_var *x, const sq_attr *attr)
{
    sq_shape s = sq_shape_of(x[0]);
    sq_var hot = sqi_one_hot(x[0].tape, attr, s.dim[s.rank - 1]);
    sq_var terms = sq_mul(sq_log_softmax(rows_of(x[0]), -1), hot);
    if (attr->k[0] == SQ_ROWS)
        return sq_reshape(sq_neg(sq_sum_axis(terms, -1)), reduced_shape(s, attr));
    return sq_mul_scalar(sq_sum(terms), -scale(attr, counted(attr)));
}

/* ---- Descriptors ------------------------------------------------------------------------ */

static const sq_sample pair_samples[] = {
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 0, { 0 } }, { 0, { 0 } } },
      .attr = { .k = { SQ_MEAN } } },
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 3, 7 } }, { 2, { 3, 7 } } },
      .attr = { .k = { SQ_MEAN } } },
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 2, 1, 3 } }, { 3, { 2, 1, 3 } } },
      .attr = { .k = { SQ_SUM } } },
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 0, 3 } }, { 2, { 0, 3 } } },
      .attr = { .k = { SQ_SUM } } },
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 2, 3, 19 } }, { 3, { 2, 3, 19 } } },
      .attr = { .k = { SQ_ROWS } } },
    { .n = 2,
      .lo = -3,
      .hi = 3,
      .in = { { 1, { 4 } }, { 1, { 4 } } },
      .attr = { .k = { SQ_ROWS } } },
    { .n = 0 },
};

static const int32_t some_labels[] = { 2, 0, 1, 4, 4, 3 };
static const int32_t wild_labels[] = { 2, -1, 1, 99, 4, 3 };
static const int32_t some_mask[] = { 1, 0, 1, 0, 1, 1 };

static const sq_sample cross_entropy_samples[] = {
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 6, 5 } } },
      .attr = { .k = { SQ_MEAN }, .ids = some_labels, .n_ids = 6 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 3, 2, 5 } } },
      .attr = { .k = { SQ_MEAN }, .ids = wild_labels, .mask = some_mask, .n_ids = 6 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 1, { 19 } } },
      .attr = { .k = { SQ_SUM }, .ids = some_labels, .n_ids = 1 } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 3 } } }, .attr = { .k = { SQ_SUM } } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 3, 2, 5 } } },
      .attr = { .k = { SQ_ROWS }, .ids = wild_labels, .mask = some_mask, .n_ids = 6 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 1, { 5 } } },
      .attr = { .k = { SQ_ROWS }, .ids = some_labels, .n_ids = 1 } },
    { .n = 0 },
};

const sq_op sq_op_squared_error = {
    .name = "squared_error",
    .formula = "y = mean, sum or sums by row of (a - b)^2",
    .arity = 2,
    .shape = pair_shape,
    .forward = squared_error_forward,
    .vjp = squared_error_vjp,
    .jvp = squared_error_jvp,
    .adjoint = squared_error_adjoint,
    .means = squared_error_means,
    .samples = pair_samples,
};

const sq_op sq_op_bce_logits = {
    .name = "bce_logits",
    .formula = "y = mean, sum or sums by row of softplus(z) - t z",
    .arity = 2,
    .shape = pair_shape,
    .forward = bce_forward,
    .vjp = bce_vjp,
    .jvp = bce_jvp,
    .adjoint = bce_adjoint,
    .means = bce_means,
    .samples = pair_samples,
};

const sq_op sq_op_cross_entropy = {
    .name = "cross_entropy",
    .formula = "y = mean, sum or each row of -ln softmax(z)[label]",
    .arity = 1,
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .vjp = cross_entropy_vjp,
    .jvp = cross_entropy_jvp,
    .adjoint = cross_entropy_adjoint,
    .means = cross_entropy_means,
    .samples = cross_entropy_samples,
};

sq_var sq_squared_error(sq_var a, sq_var b, sq_reduction reduction)
{
    return sq_apply(&sq_op_squared_error, (sq_var[]){ a, b }, 2,
                    &(sq_attr){ .k = { reduction } });
}

sq_var sq_bce_logits(sq_var logits, sq_var targets, sq_reduction reduction)
{
    return sq_apply(&sq_op_bce_logits, (sq_var[]){ logits, targets }, 2,
                    &(sq_attr){ .k = { reduction } });
}

sq_var sq_cross_entropy(sq_var logits, const int32_t *labels, const int32_t *mask,
                        sq_reduction reduction)
{
    sq_attr attr = { .k = { reduction }, .ids = labels, .mask = mask };
    sq_shape s = sq_ok(logits) ? sq_shape_of(logits) : sq_scalar();
    if (s.rank > 0) attr.n_ids = sqi_rows_of(s, -1).outer;
    return sq_apply(&sq_op_cross_entropy, &logits, 1, &attr);
}

sq_var sq_mse(sq_var a, sq_var b)
{
    sq_tape *t = a.tape ? a.tape : b.tape;
    if (!sqi_begin(t, "mse") || !sqi_node_of(t, a, "operand 1") ||
        !sqi_node_of(t, b, "operand 2"))
        return sqi_none(t);
    return sq_squared_error(a, b, SQ_MEAN);
}
