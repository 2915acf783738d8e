/* ops.h -- the mathematics: every op as a function of variables.
 *
 * The prototypes come from ops.def, one row per op: open that file and read the formulas. Every
 * function records one node on the tape its operands belong to and returns the result; mistakes
 * are posted on the tape (tape.h) and the result is then no value, so expressions nest freely:
 *
 *     sq_sigmoid(sq_add(sq_affine(x, W, b), sq_matmul(h, U)))
 *
 * Elementwise ops broadcast as NumPy does, up to rank 4. Shapes that do not fit: SQ_ESHAPE.
 * Ids, labels and axes out of range: SQ_ERANGE. What else an op asks of its operands stands
 * above its row in ops.def. Arrays of ids are copied at the call. */
#ifndef SQ_OPS_OPS_H
#define SQ_OPS_OPS_H

#include "../core/op.h"
#include "../core/tape.h"

SQ_BEGIN_DECLS

/* How a loss combines its terms: the mean, the sum, or a sum for each row of the last axis, [T,B,O] to
 * [T,B]. The sum of nothing is 0; the mean of nothing is an error. */
typedef enum sq_reduction { SQ_MEAN, SQ_SUM, SQ_ROWS } sq_reduction;

/* (lo, hi) -> double lo, double hi */
#define SQI_PICK(_1, _2, chosen, ...) chosen
#define SQI_PARAMS_1(a) double a
#define SQI_PARAMS_2(a, b) double a, double b
#define SQI_PARAMS(...) SQI_PICK(__VA_ARGS__, SQI_PARAMS_2, SQI_PARAMS_1, 0)(__VA_ARGS__)

#define SQ_MAP1(name, y, d, lo, hi, text) SQ_API sq_var sq_##name(sq_var x);
#define SQ_MAP1P(name, params, y, d, lo, hi, text) \
    SQ_API sq_var sq_##name(sq_var x, SQI_PARAMS params);
#define SQ_MAP2(name, y, da, db, lo, hi, text) SQ_API sq_var sq_##name(sq_var a, sq_var b);
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text) \
    SQ_API sq_var sq_##name(sq_var a, sq_var b, sq_var c);
#define SQ_OP(name, args, text) SQ_API sq_var sq_##name args;
#include "ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP

/* ---- Said more shortly: compositions of the rows ---------------------------------------- */

/* The mean or maximum of no elements is an error: SQ_ESHAPE. */
SQ_API sq_var sq_sum(sq_var x);                 /* of all elements: a scalar */
SQ_API sq_var sq_mean(sq_var x);                /* of all elements */
SQ_API sq_var sq_mean_axis(sq_var x, int axis); /* over one axis, which goes away */
SQ_API sq_var sq_max(sq_var x);                 /* of all elements; ties share its derivative */
SQ_API sq_var sq_transpose(sq_var x);           /* rank 2: y[j,i] = x[i,j], copied */
SQ_API sq_var sq_mse(sq_var a, sq_var b);       /* mean of (a - b)^2, shapes equal */

/* Sums and means of the elements of x where the mask, which stretches from its shape to that of x, is
 * not 0: what else stands in x changes nothing and has gradient 0. Means divide by how many are left;
 * of nothing they are an error, SQ_EVALUE, and along an axis it names the row. sq_masked_sum of
 * nothing is 0. With one entry of the mask for every row of x [B,N], shape [B,1]: over the rows,
 *     sq_masked_mean_axis(x, 0, mask, sq_mat(B, 1))    [N] */
SQ_API sq_var sq_masked_sum(sq_var x, const int32_t *mask, sq_shape shape);
SQ_API sq_var sq_masked_mean(sq_var x, const int32_t *mask, sq_shape shape);
SQ_API sq_var sq_masked_sum_axis(sq_var x, int axis, const int32_t *mask, sq_shape shape);
SQ_API sq_var sq_masked_mean_axis(sq_var x, int axis, const int32_t *mask, sq_shape shape);

/* ---- Losses that are compositions. Reductions and masks as of the losses in ops.def ------- */

/* max(0, 1 - t z) (Cortes, Vapnik 1995): t is -1 or 1, of the shape of z; both get gradients. At the
 * kink the derivative is the mean of both sides, as everywhere. */
SQ_API sq_var sq_hinge(sq_var z, sq_var t, sq_reduction reduction);

/* For several classes, logits [..,C] and a label y for each row; mask NULL, or an entry for each row.
 *     sq_hinge_max    max(0, 1 + max_(j != y) z_j - z_y)        (Crammer, Singer 2001)
 *     sq_hinge_all    sum_(j != y) max(0, 1 + z_j - z_y)        (Weston, Watkins 1999)
 * A mean is over rows. (PyTorch's multi_margin_loss is the second divided by C.) */
SQ_API sq_var sq_hinge_max(sq_var logits, const int32_t *labels, const int32_t *mask,
                           sq_reduction reduction);
SQ_API sq_var sq_hinge_all(sq_var logits, const int32_t *labels, const int32_t *mask,
                           sq_reduction reduction);

/* Independent coins (the notes of a frame): of each row [O] of z and t, of equal shapes [..,O],
 *     -ln p(t) = sum over o of softplus(z_o) - t_o z_o
 * Its mean is over rows, not over their elements as in sq_bce_logits. mask NULL, or an entry for each
 * row: frame t of sequence b, in [T,B,O]. */
SQ_API sq_var sq_bernoulli_nll(sq_var logits, sq_var targets, const int32_t *mask,
                               sq_reduction reduction);

/* A constant [n,classes] with 1 at (i, ids[i]). Fails: SQ_ERANGE. */
SQ_API sq_var sq_one_hot(sq_tape *t, const int32_t *ids, int64_t n, int64_t classes);

/* ---- The table itself, for tests, drawings and tools ------------------------------------ */

/* All rows in the order of ops.def, ended by NULL. */
SQ_API const sq_op *const *sq_op_table(void);
/* The op of that name, or NULL. */
SQ_API const sq_op *sq_op_find(const char *name);

SQ_END_DECLS

#endif
