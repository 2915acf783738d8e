/* ops_impl.h -- what the files of ops share: the descriptors, and the common views of shapes.
 *
 * Every row of ops.def has one descriptor, sq_op_NAME. Structural ops see a tensor along an
 * axis as a box [outer, n, inner]: outer is the product of the sizes before the axis, inner of
 * those after it; element (o,i,j) lies at (o n + i) inner + j. Shape rules post one sentence
 * and return false; what they let through, forward and the derivatives do not check again. */
#ifndef SQ_OPS_OPS_IMPL_H
#define SQ_OPS_OPS_IMPL_H

#include "core/kernels/kernels.h"
#include "core/shape_impl.h"
#include "ops/ops.h"

#define SQ_MAP1(name, y, d, lo, hi, text) extern const sq_op sq_op_##name;
#define SQ_MAP1P(name, params, y, d, lo, hi, text) extern const sq_op sq_op_##name;
#define SQ_MAP2(name, y, da, db, lo, hi, text) extern const sq_op sq_op_##name;
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text) extern const sq_op sq_op_##name;
#define SQ_OP(name, args, text) extern const sq_op sq_op_##name;
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP

/* ---- Addresses -------------------------------------------------------------------------- */

static inline const sqi_arith *sqi_arith_of(const sq_call *c) { return &c->kern->of[c->dtype]; }

/* Element i of a block of the call's precision. */
static inline const void *sqi_at(const sq_call *c, const void *base, int64_t i)
{
    return (const char *)base + (size_t)i * sq_dtype_size(c->dtype);
}

static inline void *sqi_at_mut(const sq_call *c, void *base, int64_t i)
{
    return (char *)base + (size_t)i * sq_dtype_size(c->dtype);
}

/* y += x, dense. */
static inline void sqi_add_to(const sq_call *c, int64_t n, const void *x, void *y)
{
    sqi_arith_of(c)->axpy(n, 1, x, y);
}

/* ---- Axes ------------------------------------------------------------------------------- */

typedef struct sqi_rows {
    int64_t outer, n, inner;
} sqi_rows;

/* The axis counted from the front: -1 is the last. */
static inline int32_t sqi_axis(sq_shape s, int64_t axis)
{
    return (int32_t)(axis < 0 ? axis + s.rank : axis);
}

static inline sqi_rows sqi_rows_of(sq_shape s, int64_t axis)
{
    int32_t a = sqi_axis(s, axis);
    sqi_rows r = { 1, s.dim[a], 1 };
    for (int32_t i = 0; i < a; i++) r.outer *= s.dim[i];
    for (int32_t i = a + 1; i < s.rank; i++) r.inner *= s.dim[i];
    return r;
}

/* s with the axis' size replaced, and s without the axis. */
static inline sq_shape sqi_with_size(sq_shape s, int64_t axis, int64_t size)
{
    s.dim[sqi_axis(s, axis)] = size;
    return s;
}

sq_shape sqi_without(sq_shape s, int64_t axis);

/* ---- Rules that several ops share: false after posting ---------------------------------- */

bool sqi_check_axis(sq_tape *t, sq_shape s, int64_t axis);
/* The axis is there and has at least one element: for max, softmax and their like. */
bool sqi_check_full_axis(sq_tape *t, sq_shape s, int64_t axis);
/* A result that no memory could hold is refused before anyone asks for the memory. */
bool sqi_post_size(sq_tape *t, sq_shape out);
static inline bool sqi_check_size(sq_tape *t, sq_shape out)
{
    return sqi_shape_valid(&out) || sqi_post_size(t, out);
}
/* "WHAT differ: [4,3] x [2,5]" of two operands; false. */
bool sqi_post_differ(sq_tape *t, const char *what, const sq_shape *in);
/* All n_ids ids are there and lie in 0..n-1, masked ones aside; `what` names one of them. */
bool sqi_check_ids(sq_tape *t, const sq_attr *attr, int64_t n, const char *what);

/* A reduction, and something to take the mean of. */
bool sqi_check_reduction(sq_tape *t, int64_t how, int64_t terms);

/* Opens a composition of ops, so that its mistakes bear its own name: sets the shape of operand
 * 1; false after posting that x has no value, or silently on a tape that failed before. */
bool sqi_compose(const char *name, sq_var x, sq_shape *s);
/* The same for two operands, whose shapes must be equal. */
bool sqi_compose_pair(const char *name, sq_var a, sq_var b, sq_shape *s);

/* As recorded expressions: the terms by a reduction, all or the last axis. */
sq_var sqi_reduced(sq_var terms, int64_t how);

/* ---- Attributes ------------------------------------------------------------------------- */

/* A shape as attributes: k[0] its rank, k[1..4] its sizes. */
sq_attr sqi_shape_attr(sq_shape s);
sq_shape sqi_attr_shape(const sq_attr *attr);

/* A mask with a shape of its own, as attributes: k[0] an axis, k[1] the mask's rank, k[2..5] its
 * sizes; n_ids of them in attr.mask. */
sq_attr sqi_mask_attr(const int32_t *mask, sq_shape shape, int64_t axis);
sq_shape sqi_mask_shape(const sq_attr *attr);
/* The mask is there and stretches to `big`; its number of elements is that of its shape. */
bool sqi_check_mask(sq_tape *t, const sq_attr *attr, sq_shape big);
/* And it leaves something of every row of `big` along the axis, which exists; else SQ_EVALUE. */
bool sqi_check_masked_rows(sq_tape *t, const sq_attr *attr, sq_shape big, int64_t axis);

/* ---- Loops ------------------------------------------------------------------------------ */

/* The strides of s inside a box of four axes, aligned at the right: 0 where s is stretched. */
void sqi_strides_in(sq_shape s, int64_t stride[SQ_MAX_RANK]);

/* y[m,n] = a[m,k] b[k,n], or += with `add`. What is `transposed` lies in memory the other way
 * round: a as [k,m], b as [n,k]. */
void sqi_product(const sq_call *c, int64_t m, int64_t n, int64_t k, const void *a,
                 bool a_transposed, const void *b, bool b_transposed, void *y, bool add);

/* y[r*y_row + i] (=, += with add) x[r*x_row + i] for r < rows, i < count. */
void sqi_move_rows(const sq_call *c, int64_t rows, int64_t count, const void *x, int64_t x_row,
                   void *y, int64_t y_row, bool add);

/* y (=, += with add) x stretched from `small` to `big`; and the sum the other way. */
void sqi_stretch(const sq_call *c, sq_shape small, const void *x, sq_shape big, void *y,
                 bool add);
void sqi_fold(const sq_call *c, sq_shape big, const void *x, sq_shape small, void *y, bool add);

/* [n_ids,classes] with 1 at (i, ids[i]); rows whose mask is 0 are zero, their ids not read. */
sq_var sqi_one_hot(sq_tape *t, const sq_attr *ids, int64_t classes);

#endif
