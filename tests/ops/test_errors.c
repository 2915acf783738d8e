/* test_errors.c -- the exact sentence of every mistake an op can be handed, and that nothing
 * worse follows: the tape stays sound, later operations do nothing, reset clears. */
#include "tests/support/support.h"

#define MAT(rows, cols) sq_zeros(t, sq_mat(rows, cols))
#define VEC(n) sq_zeros(t, sq_vec(n))
#define SCALAR sq_constant(t, 1)
#define BOX(a, b, c) sq_zeros(t, sq_shape3(a, b, c))

/* Evaluates a call on the fresh tape t; it must have no value, and say why. */
#define EXPECT_SENTENCE(call, status, text)                                \
    do {                                                                   \
        sq_tape_reset(t);                                                  \
        sq_var v__ = (call);                                               \
        cr_expect(sq_ok(v__) == false, "%s was accepted", #call);          \
        EXPECT_STATUS(t, status);                                          \
        EXPECT_TEXT(sq_message(t), text);                                  \
        cr_expect(sq_ok(sq_neg(MAT(1, 1))) == false, "recording went on"); \
        EXPECT_TEXT(sq_message(t), text);                                  \
    } while (0)

#define ACCEPTED(call)                                         \
    do {                                                       \
        sq_tape_reset(t);                                      \
        sq_var v__ = (call);                                   \
        cr_expect(sq_ok(v__), "%s: %s", #call, sq_message(t)); \
    } while (0)

static sq_tape *t;

static void open_tape(void) { t = sq_tape_new(SQ_F64, NULL); }
static void close_tape(void) { sq_tape_free(t); }

TestSuite(sentence, .init = open_tape, .fini = close_tape);

Test(sentence, elementwise)
{
    EXPECT_SENTENCE(sq_add(MAT(4, 3), MAT(4, 2)), SQ_ESHAPE,
                    "add: shapes do not broadcast: [4,3] and [4,2]");
    EXPECT_SENTENCE(sq_select(MAT(4, 3), VEC(3), VEC(4)), SQ_ESHAPE,
                    "select: shapes do not broadcast: [4,3] and [4]");
    EXPECT_SENTENCE(sq_mul(MAT(2, 0), MAT(2, 2)), SQ_ESHAPE,
                    "mul: shapes do not broadcast: [2,0] and [2,2]");
}

Test(sentence, products)
{
    EXPECT_SENTENCE(sq_matmul(MAT(4, 3), MAT(2, 5)), SQ_ESHAPE,
                    "matmul: inner sizes differ: [4,3] x [2,5]");
    EXPECT_SENTENCE(sq_matmul(VEC(3), MAT(3, 5)), SQ_ESHAPE,
                    "matmul: operand 1 must have rank 2 to 4, it is [3]");
    EXPECT_SENTENCE(sq_matmul(MAT(4, 3), BOX(2, 3, 5)), SQ_ESHAPE,
                    "matmul: operand 2 must have rank 2, it is [2,3,5]");
    EXPECT_SENTENCE(sq_matmul_nt(MAT(4, 3), MAT(3, 5)), SQ_ESHAPE,
                    "matmul_nt: last sizes differ: [4,3] x [3,5]");
    EXPECT_SENTENCE(sq_matmul_nt(SCALAR, MAT(3, 5)), SQ_ESHAPE,
                    "matmul_nt: operand 1 must have rank 2 to 4, it is []");
    EXPECT_SENTENCE(sq_matmul_tn(BOX(2, 4, 3), BOX(4, 2, 3)), SQ_ESHAPE,
                    "matmul_tn: leading sizes differ: [2,4,3] x [4,2,3]");
    EXPECT_SENTENCE(sq_matmul_tn(BOX(2, 4, 3), MAT(8, 3)), SQ_ESHAPE,
                    "matmul_tn: leading sizes differ: [2,4,3] x [8,3]");
    EXPECT_SENTENCE(sq_matmul_tn(MAT(2, 4), VEC(2)), SQ_ESHAPE,
                    "matmul_tn: operand 2 must have rank 2 to 4, it is [2]");
    EXPECT_SENTENCE(sq_affine(MAT(4, 3), MAT(2, 5), VEC(5)), SQ_ESHAPE,
                    "affine: inner sizes differ: [4,3] x [2,5]");
    EXPECT_SENTENCE(sq_affine(MAT(4, 3), MAT(3, 5), VEC(4)), SQ_ESHAPE,
                    "affine: the bias [4] does not fit the columns of [3,5]");
    EXPECT_SENTENCE(sq_affine(MAT(4, 3), MAT(3, 5), MAT(1, 5)), SQ_ESHAPE,
                    "affine: the bias [1,5] does not fit the columns of [3,5]");
    EXPECT_SENTENCE(sq_affine(VEC(3), MAT(3, 5), VEC(5)), SQ_ESHAPE,
                    "affine: operand 1 must have rank 2 to 4, it is [3]");
    EXPECT_SENTENCE(sq_affine(MAT(4, 3), VEC(3), VEC(5)), SQ_ESHAPE,
                    "affine: operand 2 must have rank 2, it is [3]");
}

Test(sentence, products_of_stacks)
{
    EXPECT_SENTENCE(sq_bmm(MAT(4, 3), BOX(2, 3, 5)), SQ_ESHAPE,
                    "bmm: operand 1 must have rank 3 or 4, it is [4,3]");
    EXPECT_SENTENCE(sq_bmm(BOX(2, 4, 3), MAT(3, 5)), SQ_ESHAPE,
                    "bmm: operand 2 must have rank 3 or 4, it is [3,5]");
    EXPECT_SENTENCE(sq_bmm(BOX(2, 4, 3), BOX(3, 3, 5)), SQ_ESHAPE,
                    "bmm: leading sizes differ: [2,4,3] x [3,3,5]");
    EXPECT_SENTENCE(sq_bmm(BOX(2, 4, 3), sq_zeros(t, sq_shape4(2, 1, 3, 5))), SQ_ESHAPE,
                    "bmm: leading sizes differ: [2,4,3] x [2,1,3,5]");
    EXPECT_SENTENCE(sq_bmm(BOX(2, 4, 3), BOX(2, 4, 5)), SQ_ESHAPE,
                    "bmm: summed sizes differ: [2,4,3] x [2,4,5]");
    EXPECT_SENTENCE(sq_bmm_nt(BOX(2, 4, 3), BOX(2, 3, 5)), SQ_ESHAPE,
                    "bmm_nt: summed sizes differ: [2,4,3] x [2,3,5]");
    EXPECT_SENTENCE(sq_bmm_tn(BOX(2, 4, 3), BOX(2, 3, 5)), SQ_ESHAPE,
                    "bmm_tn: summed sizes differ: [2,4,3] x [2,3,5]");
    ACCEPTED(sq_bmm(BOX(2, 4, 0), BOX(2, 0, 5)));
}

Test(sentence, masks)
{
    const int32_t mask[] = { 1, 0, 1, 0 };
    EXPECT_SENTENCE(sq_where(mask, sq_vec(4), MAT(4, 3), MAT(4, 3)), SQ_ESHAPE,
                    "where: shapes do not broadcast: [4,3] where [4], else [4,3]");
    EXPECT_SENTENCE(sq_where(mask, sq_mat(4, 1), MAT(4, 3), VEC(2)), SQ_ESHAPE,
                    "where: shapes do not broadcast: [4,3] where [4,1], else [2]");
    EXPECT_SENTENCE(sq_where(mask, sq_mat(-4, 1), MAT(4, 3), MAT(4, 3)), SQ_ESHAPE,
                    "where: the shape [-4,1] has a negative size or is too large");
    EXPECT_SENTENCE(sq_where(mask, sq_mat(INT64_MAX, 2), MAT(4, 3), MAT(4, 3)), SQ_ESHAPE,
                    "where: the shape [9223372036854775807,2] has a negative size or is too "
                    "large");
    EXPECT_SENTENCE(sq_where(mask, (sq_shape){ .rank = 5 }, VEC(1), VEC(1)), SQ_ESHAPE,
                    "where: rank 5 is outside 0..4");
    EXPECT_SENTENCE(sq_where(NULL, sq_mat(4, 1), MAT(4, 3), MAT(4, 3)), SQ_EVALUE,
                    "where: the mask is NULL, 4 numbers are needed");
    EXPECT_SENTENCE(sq_apply(sq_op_find("where"), (sq_var[]){ MAT(4, 3), VEC(3) }, 2, NULL),
                    SQ_ESHAPE, "where: shapes differ: [4,3] and [3]");
    ACCEPTED(sq_where(NULL, sq_mat(0, 3), MAT(0, 3), VEC(3)));
    EXPECT_SENTENCE(sq_masked_softmax(MAT(4, 3), mask, sq_vec(4)), SQ_ESHAPE,
                    "masked_softmax: the mask [4] does not stretch to [4,3]");
    EXPECT_SENTENCE(sq_masked_softmax(MAT(1, 3), mask, sq_mat(4, 1)), SQ_ESHAPE,
                    "masked_softmax: the mask [4,1] does not stretch to [1,3]");
    EXPECT_SENTENCE(sq_masked_softmax(SCALAR, mask, sq_scalar()), SQ_ERANGE,
                    "masked_softmax: axis -1 does not exist in []");
    EXPECT_SENTENCE(sq_masked_softmax(MAT(4, 0), NULL, sq_mat(4, 0)), SQ_ESHAPE,
                    "masked_softmax: axis -1 of [4,0] has no elements");
    EXPECT_SENTENCE(sq_masked_log_softmax(MAT(2, 2), NULL, sq_mat(2, 2), 0), SQ_EVALUE,
                    "masked_log_softmax: the mask is NULL, 4 numbers are needed");
    EXPECT_SENTENCE(sq_masked_max_axis(MAT(2, 2), 2, mask, sq_mat(2, 2)), SQ_ERANGE,
                    "masked_max_axis: axis 2 does not exist in [2,2]");
    EXPECT_SENTENCE(sq_masked_mean_axis(MAT(2, 2), 2, mask, sq_mat(2, 2)), SQ_ERANGE,
                    "masked_mean_axis: axis 2 does not exist in [2,2]");
    EXPECT_SENTENCE(sq_masked_sum_axis(MAT(2, 2), -3, mask, sq_mat(2, 2)), SQ_ERANGE,
                    "masked_sum_axis: axis -3 does not exist in [2,2]");
    EXPECT_SENTENCE(sq_masked_sum(MAT(2, 2), mask, sq_vec(4)), SQ_ESHAPE,
                    "masked_sum: the mask [4] does not stretch to [2,2]");
    ACCEPTED(sq_masked_softmax(MAT(0, 3), NULL, sq_mat(0, 3)));
    ACCEPTED(sq_masked_sum(MAT(0, 3), NULL, sq_mat(0, 1)));
}

/* The row is named as it lies in x, whatever the mask's own shape. */
Test(sentence, nothing_left)
{
    const int32_t mask[] = { 1, 0, 0, 0 }, none[] = { 0, 0 };
    EXPECT_SENTENCE(sq_masked_softmax(MAT(2, 2), mask, sq_mat(2, 2)), SQ_EVALUE,
                    "masked_softmax: all of row [1,:] of [2,2] is masked out");
    EXPECT_SENTENCE(sq_masked_log_softmax(BOX(3, 2, 2), mask, sq_mat(2, 2), 0), SQ_EVALUE,
                    "masked_log_softmax: all of row [0,1,:] of [3,2,2] is masked out");
    EXPECT_SENTENCE(sq_masked_max_axis(BOX(2, 2, 3), 1, mask, sq_shape3(2, 2, 1)), SQ_EVALUE,
                    "masked_max_axis: all of row [1,:,0] of [2,2,3] is masked out");
    EXPECT_SENTENCE(sq_masked_max_share(VEC(2), 0, none, sq_vec(2)), SQ_EVALUE,
                    "masked_max_share: all of row [:] of [2] is masked out");
    EXPECT_SENTENCE(sq_masked_mean_axis(MAT(2, 3), 0, none, sq_mat(2, 1)), SQ_EVALUE,
                    "masked_mean_axis: all of row [:,0] of [2,3] is masked out");
    EXPECT_SENTENCE(sq_masked_mean(MAT(2, 3), none, sq_mat(2, 1)), SQ_EVALUE,
                    "masked_mean: mean of nothing: all of the mask's 2 entries are 0");
    EXPECT_SENTENCE(sq_masked_mean(MAT(0, 3), NULL, sq_mat(0, 1)), SQ_EVALUE,
                    "masked_mean: mean of nothing: all of the mask's 0 entries are 0");
    EXPECT_SENTENCE(sq_masked_mean_axis(MAT(0, 3), 0, NULL, sq_mat(0, 1)), SQ_ESHAPE,
                    "masked_mean_axis: axis 0 of [0,3] has no elements");
}

Test(sentence, axes)
{
    EXPECT_SENTENCE(sq_sum_axis(MAT(4, 3), 2), SQ_ERANGE,
                    "sum_axis: axis 2 does not exist in [4,3]");
    EXPECT_SENTENCE(sq_sum_axis(MAT(4, 3), -3), SQ_ERANGE,
                    "sum_axis: axis -3 does not exist in [4,3]");
    EXPECT_SENTENCE(sq_max_axis(SCALAR, 0), SQ_ERANGE, "max_axis: axis 0 does not exist in []");
    EXPECT_SENTENCE(sq_max_share(MAT(4, 3), 7), SQ_ERANGE,
                    "max_share: axis 7 does not exist in [4,3]");
    EXPECT_SENTENCE(sq_softmax(VEC(3), 1), SQ_ERANGE, "softmax: axis 1 does not exist in [3]");
    EXPECT_SENTENCE(sq_layer_norm(SCALAR, 1), SQ_ERANGE,
                    "layer_norm: axis -1 does not exist in []");
    EXPECT_SENTENCE(sq_layer_norm(MAT(4, 3), -1e-5), SQ_ERANGE,
                    "layer_norm: eps must not be negative, it is -1e-05");
    EXPECT_SENTENCE(sq_layer_norm(MAT(4, 3), (double)NAN), SQ_ERANGE,
                    "layer_norm: eps must not be negative, it is nan");
    EXPECT_SENTENCE(sq_mean_axis(MAT(4, 3), 2), SQ_ERANGE,
                    "mean_axis: axis 2 does not exist in [4,3]");
}

Test(sentence, nothing_to_reduce)
{
    EXPECT_SENTENCE(sq_max_axis(MAT(4, 0), 1), SQ_ESHAPE,
                    "max_axis: axis 1 of [4,0] has no elements");
    EXPECT_SENTENCE(sq_max_share(MAT(4, 0), -1), SQ_ESHAPE,
                    "max_share: axis -1 of [4,0] has no elements");
    EXPECT_SENTENCE(sq_max(MAT(0, 3)), SQ_ESHAPE, "max: max of nothing: [0,3]");
    EXPECT_SENTENCE(sq_softmax(MAT(4, 0), 1), SQ_ESHAPE,
                    "softmax: axis 1 of [4,0] has no elements");
    EXPECT_SENTENCE(sq_log_softmax(MAT(0, 4), 0), SQ_ESHAPE,
                    "log_softmax: axis 0 of [0,4] has no elements");
    EXPECT_SENTENCE(sq_layer_norm(MAT(4, 0), 1), SQ_ESHAPE,
                    "layer_norm: axis -1 of [4,0] has no elements");
    EXPECT_SENTENCE(sq_mean(MAT(0, 3)), SQ_ESHAPE, "mean: mean of nothing: [0,3]");
    EXPECT_SENTENCE(sq_mean_axis(MAT(0, 3), 0), SQ_ESHAPE, "mean_axis: mean of nothing: [0,3]");
    EXPECT_SENTENCE(sq_mse(MAT(0, 3), MAT(0, 3)), SQ_ESHAPE, "squared_error: mean of nothing");
    EXPECT_SENTENCE(sq_bce_logits(MAT(0, 3), MAT(0, 3), SQ_MEAN), SQ_ESHAPE,
                    "bce_logits: mean of nothing");
    EXPECT_SENTENCE(sq_cross_entropy(MAT(0, 3), NULL, NULL, SQ_MEAN), SQ_ESHAPE,
                    "cross_entropy: mean of nothing");
    ACCEPTED(sq_sum(MAT(0, 3)));
    ACCEPTED(sq_sum_axis(MAT(0, 3), 0));
    ACCEPTED(sq_max_axis(MAT(0, 3), 1));
    ACCEPTED(sq_softmax(MAT(0, 3), 1));
    ACCEPTED(sq_layer_norm(MAT(0, 3), 0));
    ACCEPTED(sq_mean_axis(MAT(0, 3), 1));
    ACCEPTED(sq_squared_error(MAT(0, 3), MAT(0, 3), SQ_SUM));
    ACCEPTED(sq_cross_entropy(MAT(0, 3), NULL, NULL, SQ_SUM));
}

Test(sentence, stretching)
{
    EXPECT_SENTENCE(sq_sum_to(MAT(4, 3), sq_vec(4)), SQ_ESHAPE,
                    "sum_to: [4,3] cannot be summed to [4]");
    EXPECT_SENTENCE(sq_sum_to(VEC(3), sq_mat(4, 3)), SQ_ESHAPE,
                    "sum_to: [3] cannot be summed to [4,3]");
    EXPECT_SENTENCE(sq_broadcast_to(MAT(4, 3), sq_mat(4, 1)), SQ_ESHAPE,
                    "broadcast_to: [4,3] cannot be stretched to [4,1]");
    EXPECT_SENTENCE(sq_broadcast_to(MAT(1, 3), sq_vec(3)), SQ_ESHAPE,
                    "broadcast_to: [1,3] cannot be stretched to [3]");
    EXPECT_SENTENCE(sq_broadcast_to(VEC(3), sq_mat(-2, 3)), SQ_ESHAPE,
                    "broadcast_to: the shape [-2,3] has a negative size or is too large");
    EXPECT_SENTENCE(sq_broadcast_to(VEC(1), sq_mat(INT64_MAX, 2)), SQ_ESHAPE,
                    "broadcast_to: the shape [9223372036854775807,2] has a negative size or is "
                    "too large");
    EXPECT_SENTENCE(sq_broadcast_to(VEC(1), ((sq_shape){ .rank = 5 })), SQ_ESHAPE,
                    "broadcast_to: rank 5 is outside 0..4");
    EXPECT_SENTENCE(sq_sum_to(VEC(1), ((sq_shape){ .rank = -1 })), SQ_ESHAPE,
                    "sum_to: rank -1 is outside 0..4");
}

Test(sentence, moving)
{
    const int twice[] = { 0, 1, 0 }, beyond[] = { 0, 3, 1 };
    EXPECT_SENTENCE(sq_slice(MAT(6, 2), 0, 3, 5), SQ_ERANGE,
                    "slice: start 3, count 5 lie outside axis 0 of [6,2]");
    EXPECT_SENTENCE(sq_slice(MAT(6, 2), -1, -1, 1), SQ_ERANGE,
                    "slice: start -1, count 1 lie outside axis -1 of [6,2]");
    EXPECT_SENTENCE(sq_slice(MAT(6, 2), 1, 1, -1), SQ_ERANGE,
                    "slice: start 1, count -1 lie outside axis 1 of [6,2]");
    EXPECT_SENTENCE(sq_slice(MAT(6, 2), 1, 1, INT64_MAX), SQ_ERANGE,
                    "slice: start 1, count 9223372036854775807 lie outside axis 1 of [6,2]");
    EXPECT_SENTENCE(sq_slice(MAT(6, 2), 2, 0, 0), SQ_ERANGE,
                    "slice: axis 2 does not exist in [6,2]");
    EXPECT_SENTENCE(sq_pad(MAT(6, 2), 0, -1, 2), SQ_ERANGE,
                    "pad: negative padding: -1 before, 2 after");
    EXPECT_SENTENCE(sq_pad(VEC(6), 0, INT64_MAX, INT64_MAX), SQ_ESHAPE,
                    "pad: the shape [-1] has a negative size or is too large");
    EXPECT_SENTENCE(sq_pad(VEC(6), 1, 0, 0), SQ_ERANGE, "pad: axis 1 does not exist in [6]");
    EXPECT_SENTENCE(sq_reshape(MAT(3, 4), sq_mat(5, 2)), SQ_ESHAPE,
                    "reshape: [3,4] has 12 elements, [5,2] has 10");
    EXPECT_SENTENCE(sq_reshape(MAT(3, 4), sq_mat(-3, -4)), SQ_ESHAPE,
                    "reshape: the shape [-3,-4] has a negative size or is too large");
    EXPECT_SENTENCE(sq_permute(BOX(2, 3, 4), twice), SQ_ERANGE,
                    "permute: axis 0 of [2,3,4] is taken twice");
    EXPECT_SENTENCE(sq_permute(BOX(2, 3, 4), beyond), SQ_ERANGE,
                    "permute: axis 3 does not exist in [2,3,4]");
    EXPECT_SENTENCE(sq_permute(BOX(2, 3, 4), NULL), SQ_EVALUE, "permute: the axes are NULL");
    EXPECT_SENTENCE(sq_transpose(BOX(2, 3, 4)), SQ_ESHAPE,
                    "transpose: [2,3,4] does not have rank 2");
}

static sq_var joined(sq_var a, sq_var b, int axis)
{
    return sq_concat((sq_var[]){ a, b }, 2, axis);
}
static sq_var stacked(sq_var a, sq_var b) { return sq_stack((sq_var[]){ a, b }, 2); }

Test(sentence, joining)
{
    EXPECT_SENTENCE(joined(MAT(3, 4), MAT(2, 5), 0), SQ_ESHAPE,
                    "concat: operand 2 does not fit along axis 0: [3,4] and [2,5]");
    EXPECT_SENTENCE(joined(MAT(3, 4), MAT(2, 4), -1), SQ_ESHAPE,
                    "concat: operand 2 does not fit along axis 1: [3,4] and [2,4]");
    EXPECT_SENTENCE(joined(MAT(3, 4), VEC(4), 0), SQ_ESHAPE,
                    "concat: operand 2 does not fit along axis 0: [3,4] and [4]");
    EXPECT_SENTENCE(joined(MAT(3, 4), MAT(3, 4), 2), SQ_ERANGE,
                    "concat: axis 2 does not exist in [3,4]");
    EXPECT_SENTENCE(joined(SCALAR, SCALAR, 0), SQ_ERANGE,
                    "concat: axis 0 does not exist in []");
    EXPECT_SENTENCE(stacked(MAT(3, 4), MAT(3, 5)), SQ_ESHAPE,
                    "stack: operands 1 and 2 differ: [3,4] and [3,5]");
    EXPECT_SENTENCE(stacked(sq_zeros(t, sq_shape4(1, 2, 3, 4)), SCALAR), SQ_ESHAPE,
                    "stack: a new axis does not fit: [1,2,3,4] has rank 4 already");
    sq_tape_reset(t);
    cr_expect(sq_ok(sq_concat(NULL, 0, 0)) == false, "there is no tape to say so on");
    cr_expect(sq_ok(sq_stack(NULL, 0)) == false);
    EXPECT_STATUS(t, SQ_OK);
}

Test(sentence, ids)
{
    const int32_t ids[] = { 0, 64, 3, 1, 2, 9, 8, 65 }, negative[] = { 0, -1 };
    EXPECT_SENTENCE(sq_gather(MAT(65, 2), ids, 8), SQ_ERANGE,
                    "gather: id 65 at position 7 is outside 0..64");
    EXPECT_SENTENCE(sq_gather(MAT(65, 2), negative, 2), SQ_ERANGE,
                    "gather: id -1 at position 1 is outside 0..64");
    EXPECT_SENTENCE(sq_gather(MAT(0, 2), ids, 1), SQ_ERANGE,
                    "gather: id 0 at position 0: there are none");
    EXPECT_SENTENCE(sq_gather(MAT(65, 2), NULL, 2), SQ_EVALUE,
                    "gather: the ids are NULL, 2 are needed");
    EXPECT_SENTENCE(sq_gather(MAT(65, 2), ids, -2), SQ_ERANGE,
                    "gather: the number of ids is negative: -2");
    EXPECT_SENTENCE(sq_gather(SCALAR, ids, 1), SQ_ESHAPE,
                    "gather: operand 1 has no rows: it is a scalar");
    EXPECT_SENTENCE(sq_scatter_add(MAT(8, 2), ids, 8, 65), SQ_ERANGE,
                    "scatter_add: id 65 at position 7 is outside 0..64");
    EXPECT_SENTENCE(sq_scatter_add(MAT(8, 2), ids, 7, 65), SQ_ESHAPE,
                    "scatter_add: 7 ids do not fit the rows of [8,2]");
    EXPECT_SENTENCE(sq_scatter_add(MAT(8, 2), ids, 8, -1), SQ_ERANGE,
                    "scatter_add: the number of rows is negative: -1");
    EXPECT_SENTENCE(sq_one_hot(t, ids, 8, 65), SQ_ERANGE,
                    "one_hot: id 65 at position 7 is outside 0..64");
    EXPECT_SENTENCE(sq_one_hot(t, ids, -1, 65), SQ_ERANGE,
                    "one_hot: the number of ids is negative: -1");
    EXPECT_SENTENCE(sq_one_hot(t, NULL, 1, 65), SQ_EVALUE,
                    "one_hot: the ids are NULL, 1 are needed");
    EXPECT_SENTENCE(sq_one_hot(t, NULL, 0, -1), SQ_ESHAPE,
                    "one_hot: the shape [0,-1] has a negative size or is too large");
    ACCEPTED(sq_gather(MAT(65, 2), NULL, 0));
    ACCEPTED(sq_scatter_add(MAT(0, 2), NULL, 0, 5));
    ACCEPTED(sq_one_hot(t, NULL, 0, 5));
    cr_expect(sq_ok(sq_one_hot(NULL, ids, 1, 1)) == false);
}

static const sq_reduction seven = (sq_reduction)7;

Test(sentence, losses)
{
    const int32_t labels[] = { 0, 2, 3, -1 }, mask[] = { 1, 1, 0, 1 }, none[] = { 0, 0, 0, 0 };
    EXPECT_SENTENCE(sq_mse(MAT(4, 3), VEC(3)), SQ_ESHAPE,
                    "squared_error: shapes differ: [4,3] and [3]");
    EXPECT_SENTENCE(sq_bce_logits(MAT(4, 3), MAT(4, 1), SQ_SUM), SQ_ESHAPE,
                    "bce_logits: shapes differ: [4,3] and [4,1]");
    EXPECT_SENTENCE(sq_squared_error(VEC(1), VEC(1), seven), SQ_EVALUE,
                    "squared_error: reduction 7 is neither SQ_MEAN nor SQ_SUM nor SQ_ROWS");
    EXPECT_SENTENCE(sq_cross_entropy(MAT(4, 3), labels, NULL, SQ_SUM), SQ_ERANGE,
                    "cross_entropy: label 3 at position 2 is outside 0..2");
    EXPECT_SENTENCE(sq_cross_entropy(MAT(4, 3), labels, mask, SQ_SUM), SQ_ERANGE,
                    "cross_entropy: label -1 at position 3 is outside 0..2");
    EXPECT_SENTENCE(sq_cross_entropy(MAT(4, 3), labels, none, SQ_MEAN), SQ_EVALUE,
                    "cross_entropy: mean of nothing: all 4 rows are masked out");
    EXPECT_SENTENCE(sq_cross_entropy(MAT(4, 3), NULL, NULL, SQ_SUM), SQ_EVALUE,
                    "cross_entropy: the labels are NULL, 4 are needed");
    EXPECT_SENTENCE(sq_cross_entropy(SCALAR, labels, NULL, SQ_SUM), SQ_ESHAPE,
                    "cross_entropy: the logits are a scalar");
    EXPECT_SENTENCE(sq_cross_entropy(MAT(4, 3), labels, none, seven), SQ_EVALUE,
                    "cross_entropy: reduction 7 is neither SQ_MEAN nor SQ_SUM nor SQ_ROWS");
    EXPECT_SENTENCE(sq_bce_logits(SCALAR, SCALAR, SQ_ROWS), SQ_ESHAPE,
                    "bce_logits: a scalar has no rows");
    ACCEPTED(sq_cross_entropy(MAT(4, 3), labels, none, SQ_SUM));
    ACCEPTED(sq_cross_entropy(MAT(4, 3), labels, none, SQ_ROWS));
    ACCEPTED(sq_squared_error(MAT(4, 0), MAT(4, 0), SQ_ROWS));
    ACCEPTED(sq_cross_entropy(MAT(3, 4), labels, NULL, SQ_MEAN));
}

/* Compositions and constructors that look at their operand first say the same as any op. */
Test(sentence, operands_without_a_value)
{
    const int axes[] = { 0 };
    const int32_t labels[] = { 0 };
    sq_var none = { 0 };
    none.tape = t;
    EXPECT_SENTENCE(sq_matmul(MAT(1, 1), none), SQ_EVAR, "matmul: operand 2 has no value");
    EXPECT_SENTENCE(sq_permute(none, axes), SQ_EVAR, "permute: operand 1 has no value");
    EXPECT_SENTENCE(sq_transpose(none), SQ_EVAR, "transpose: operand 1 has no value");
    EXPECT_SENTENCE(sq_cross_entropy(none, labels, NULL, SQ_SUM), SQ_EVAR,
                    "cross_entropy: operand 1 has no value");
    EXPECT_SENTENCE(sq_max(none), SQ_EVAR, "max: operand 1 has no value");
    EXPECT_SENTENCE(sq_mean(none), SQ_EVAR, "mean: operand 1 has no value");
    EXPECT_SENTENCE(sq_mean_axis(none, 0), SQ_EVAR, "mean_axis: operand 1 has no value");
    EXPECT_SENTENCE(sq_sum(none), SQ_EVAR, "sum: operand 1 has no value");
    EXPECT_SENTENCE(sq_where(labels, sq_vec(1), none, SCALAR), SQ_EVAR,
                    "where: operand 1 has no value");
    EXPECT_SENTENCE(sq_where(labels, sq_vec(1), SCALAR, none), SQ_EVAR,
                    "where: operand 2 has no value");
    EXPECT_SENTENCE(sq_mse(none, SCALAR), SQ_EVAR, "mse: operand 1 has no value");
    EXPECT_SENTENCE(sq_mse(SCALAR, none), SQ_EVAR, "mse: operand 2 has no value");
    EXPECT_SENTENCE(stacked(MAT(1, 1), none), SQ_EVAR, "stack: operand 2 has no value");
}

Test(sentence, step_and_name_are_told)
{
    const int32_t ids[] = { 65 };
    for (int i = 0; i <= 4; i++) sq_begin_step(t);
    sq_gather(sq_name(MAT(65, 2), "embedding"), ids, 1);
    EXPECT_TEXT(sq_message(t), "step 4: gather: id 65 at position 0 is outside 0..64 "
                               "(operand 1 is \"embedding\")");
    EXPECT_ERROR(t, SQ_ERANGE);
    for (int i = 0; i <= 2; i++) sq_begin_step(t);
    sq_mean(MAT(0, 1));
    EXPECT_TEXT(sq_message(t), "step 2: mean: mean of nothing: [0,1]");
    EXPECT_ERROR(t, SQ_ESHAPE);
}
