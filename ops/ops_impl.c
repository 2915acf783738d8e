/* ops_impl.c -- the helpers of ops_impl.h: boxes along an axis, shared rules, shared loops.
 *
 * All data movement is one kernel, move: a box of up to four axes with strides on both sides. A
 * stride 0 repeats on the reading side and sums on the writing side, which makes stretching and
 * folding each other's transpose. */
#include "ops/ops_impl.h"

#include "core/tape_impl.h"

#include <inttypes.h>

sq_shape sqi_without(sq_shape s, int64_t axis)
{
    int32_t a = sqi_axis(s, axis);
    for (int32_t i = a; i + 1 < s.rank; i++) s.dim[i] = s.dim[i + 1];
    s.dim[--s.rank] = 0;
    return s;
}

bool sqi_check_axis(sq_tape *t, sq_shape s, int64_t axis)
{
    char text[SQ_SHAPE_TEXT];
    if (axis >= -s.rank && axis < s.rank) return true;
    return sq_post(t, SQ_ERANGE, "axis %" PRId64 " does not exist in %s", axis,
                   sq_shape_text(s, text));
}

bool sqi_check_full_axis(sq_tape *t, sq_shape s, int64_t axis)
{
    char text[SQ_SHAPE_TEXT];
    if (!sqi_check_axis(t, s, axis)) return false;
    if (s.dim[sqi_axis(s, axis)] > 0) return true;
    return sq_post(t, SQ_ESHAPE, "axis %" PRId64 " of %s has no elements", axis,
                   sq_shape_text(s, text));
}

bool sqi_post_size(sq_tape *t, sq_shape out)
{
    char text[SQ_SHAPE_TEXT];
    if (out.rank < 0 || out.rank > SQ_MAX_RANK)
        return sq_post(t, SQ_ESHAPE, "rank %" PRId32 " is outside 0..%d", out.rank,
                       SQ_MAX_RANK);
    return sq_post(t, SQ_ESHAPE, "the shape %s has a negative size or is too large",
                   sq_shape_text(out, text));
}

bool sqi_post_differ(sq_tape *t, const char *what, const sq_shape *in)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    return sq_post(t, SQ_ESHAPE, "%s differ: %s x %s", what, sq_shape_text(in[0], a),
                   sq_shape_text(in[1], b));
}

bool sqi_check_ids(sq_tape *t, const sq_attr *attr, int64_t n, const char *what)
{
    if (attr->n_ids < 0)
        return sq_post(t, SQ_ERANGE, "the number of %ss is negative: %" PRId64, what,
                       attr->n_ids);
    if (attr->n_ids > 0 && !attr->ids)
        return sq_post(t, SQ_EVALUE, "the %ss are NULL, %" PRId64 " are needed", what,
                       attr->n_ids);
    for (int64_t i = 0; i < attr->n_ids; i++) {
        int32_t id = attr->ids[i];
        if ((attr->mask && !attr->mask[i]) || (id >= 0 && id < n)) continue;
        if (n == 0)
            return sq_post(t, SQ_ERANGE,
                           "%s %" PRId32 " at position %" PRId64 ": there are none", what, id,
                           i);
        return sq_post(t, SQ_ERANGE,
                       "%s %" PRId32 " at position %" PRId64 " is outside 0..%" PRId64, what,
                       id, i, n - 1);
    }
    return true;
}

bool sqi_compose(const char *name, sq_var x, sq_shape *s)
{
    const sqi_node *n = sqi_begin(x.tape, name) ? sqi_node_of(x.tape, x, "operand 1") : NULL;
    if (n) *s = n->shape;
    return n != NULL;
}

bool sqi_compose_pair(const char *name, sq_var a, sq_var b, sq_shape *s)
{
    char text[2][SQ_SHAPE_TEXT];
    sq_tape *t = a.tape ? a.tape : b.tape;
    const sqi_node *na = sqi_begin(t, name) ? sqi_node_of(t, a, "operand 1") : NULL;
    const sqi_node *nb = na ? sqi_node_of(t, b, "operand 2") : NULL;
    if (!nb) return false;
    *s = na->shape;
    return sq_shape_equal(na->shape, nb->shape) ||
           sq_post(t, SQ_ESHAPE, "shapes differ: %s and %s", sq_shape_text(na->shape, text[0]),
                   sq_shape_text(nb->shape, text[1]));
}

bool sqi_check_reduction(sq_tape *t, int64_t how, int64_t terms)
{
    if (how != SQ_MEAN && how != SQ_SUM && how != SQ_ROWS)
        return sq_post(t, SQ_EVALUE,
                       "reduction %" PRId64 " is neither SQ_MEAN nor SQ_SUM nor SQ_ROWS", how);
    return terms > 0 || how != SQ_MEAN || sq_post(t, SQ_ESHAPE, "mean of nothing");
}

sq_var sqi_reduced(sq_var terms, int64_t how)
{
    if (how == SQ_ROWS) return sq_sum_axis(terms, -1);
    return how == SQ_MEAN ? sq_mean(terms) : sq_sum(terms);
}

sq_attr sqi_shape_attr(sq_shape s)
{
    sq_attr a = { .k = { s.rank } };
    for (int32_t i = 0; i < s.rank && i < SQ_MAX_RANK; i++) a.k[1 + i] = s.dim[i];
    return a;
}

sq_shape sqi_attr_shape(const sq_attr *attr)
{
    sq_shape s = sq_shape4(attr->k[1], attr->k[2], attr->k[3], attr->k[4]);
    s.rank = (int32_t)attr->k[0];
    return s;
}

sq_attr sqi_mask_attr(const int32_t *mask, sq_shape shape, int64_t axis)
{
    sq_attr a = { .k = { axis, shape.rank }, .mask = mask };
    for (int32_t i = 0; i < shape.rank && i < SQ_MAX_RANK; i++) a.k[2 + i] = shape.dim[i];
    if (sqi_shape_valid(&shape)) a.n_ids = sqi_shape_size(&shape);
    return a;
}

sq_shape sqi_mask_shape(const sq_attr *attr)
{
    sq_shape s = sq_shape4(attr->k[2], attr->k[3], attr->k[4], attr->k[5]);
    s.rank = (int32_t)attr->k[1];
    return s;
}

bool sqi_check_mask(sq_tape *t, const sq_attr *attr, sq_shape big)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    sq_shape mask = sqi_mask_shape(attr), both;
    if (!sqi_check_size(t, mask)) return false;
    if (attr->n_ids != sqi_shape_size(&mask) || (attr->n_ids && !attr->mask))
        return sq_post(t, SQ_EVALUE, "the mask is %s, %" PRId64 " numbers are needed",
                       attr->mask ? "too short" : "NULL", sqi_shape_size(&mask));
    if (sq_shape_broadcast(mask, big, &both) && sq_shape_equal(both, big)) return true;
    return sq_post(t, SQ_ESHAPE, "the mask %s does not stretch to %s", sq_shape_text(mask, a),
                   sq_shape_text(big, b));
}

void sqi_product(const sq_call *c, int64_t m, int64_t n, int64_t k, const void *a,
                 bool a_transposed, const void *b, bool b_transposed, void *y, bool add)
{
    sqi_arith_of(c)->gemm(&(sqi_gemm){
        .m = m,
        .n = n,
        .k = k,
        .a = a,
        .a_row = a_transposed ? 1 : k,
        .a_col = a_transposed ? m : 1,
        .b = b,
        .b_row = b_transposed ? 1 : n,
        .b_col = b_transposed ? k : 1,
        .c = y,
        .c_row = n,
        .add = add,
    });
}

void sqi_move_rows(const sq_call *c, int64_t rows, int64_t count, const void *x, int64_t x_row,
                   void *y, int64_t y_row, bool add)
{
    sqi_arith_of(c)->move(&(sqi_move){
        .dim = { rows, count, 1, 1 },
        .y = y,
        .y_stride = { y_row, 1, 0, 0 },
        .x = x,
        .x_stride = { x_row, 1, 0, 0 },
        .add = add,
    });
}

void sqi_strides_in(sq_shape s, int64_t stride[SQ_MAX_RANK])
{
    int64_t step = 1;
    for (int32_t i = 1; i <= SQ_MAX_RANK; i++) {
        int64_t size = i <= s.rank ? s.dim[s.rank - i] : 1;
        stride[SQ_MAX_RANK - i] = size == 1 ? 0 : step;
        step *= size;
    }
}

static sqi_move box_of(sq_shape s)
{
    sqi_move m = { .add = false };
    for (int32_t i = 1; i <= SQ_MAX_RANK; i++)
        m.dim[SQ_MAX_RANK - i] = i <= s.rank ? s.dim[s.rank - i] : 1;
    return m;
}

void sqi_stretch(const sq_call *c, sq_shape small, const void *x, sq_shape big, void *y,
                 bool add)
{
    if (add && sqi_shape_size(&small) == sqi_shape_size(&big)) {
        sqi_add_to(c, sqi_shape_size(&big), x, y);
        return;
    }
    sqi_move m = box_of(big);
    sqi_strides_in(small, m.x_stride);
    sqi_strides_in(big, m.y_stride);
    m.x = x;
    m.y = y;
    m.add = add;
    sqi_arith_of(c)->move(&m);
}

void sqi_fold(const sq_call *c, sq_shape big, const void *x, sq_shape small, void *y, bool add)
{
    if (add && sqi_shape_size(&small) == sqi_shape_size(&big)) {
        sqi_add_to(c, sqi_shape_size(&big), x, y);
        return;
    }
    sqi_move m = box_of(big);
    sqi_strides_in(big, m.x_stride);
    sqi_strides_in(small, m.y_stride);
    m.x = x;
    m.y = y;
    m.add = true;
    if (!add) sqi_arith_of(c)->fill(sq_shape_size(small), y, 0);
    sqi_arith_of(c)->move(&m);
}
