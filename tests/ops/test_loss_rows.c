/* test_loss_rows.c -- losses that are compositions, at their edges: kinks, masked rows that are no
 * numbers, derivatives of derivatives, mistakes. Ordinary values are left to test_golden.c. */
#include "tests/support/support.h"

static sq_tape *t;

static void open_tape(void) { t = sq_tape_new(SQ_F64, NULL); }
static void close_tape(void)
{
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

TestSuite(loss_rows, .init = open_tape, .fini = close_tape);

#define NONE ((double)NAN)

static void expect(sq_var v, const double *want, int64_t n, const char *what)
{
    double got[32];
    cr_assert(sq_shape_size(sq_shape_of(v)) == n && n <= COUNT(got), "%s: size", what);
    cr_assert(sq_copy(v, got) == SQ_OK, "%s: %s", what, sq_message(t));
    EXPECT_ALL_NEAR(got, want, n, 1e-14, what);
}

#define EXPECT(v, ...)                         \
    expect(v, (const double[]){ __VA_ARGS__ }, \
           (int64_t)(sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double)), #v)

/* The gradient swept, recorded, and swept through the recorded one (of its square: zero here, for
 * hinges are straight lines). */
static void expect_grad(sq_var loss, sq_var x, const double *want, int64_t n, const char *what)
{
    double got[32];
    sq_var g;
    sq_zero_grads(t);
    BACKWARD(loss);
    cr_assert(sq_grad_copy(x, got) == SQ_OK);
    EXPECT_ALL_NEAR(got, want, n, 1e-14, what);
    cr_assert(sq_derive(loss, &x, &g, 1) == SQ_OK, "%s: %s", what, sq_message(t));
    expect(g, want, n, what);
    sq_zero_grads(t);
    BACKWARD(sq_sum(sq_square(g)));
    cr_assert(sq_grad_copy(x, got) == SQ_OK);
    for (int64_t i = 0; i < n; i++)
        cr_expect(isfinite(got[i]), "%s: twice, at %d", what, (int)i);
}

#define EXPECT_GRAD(loss, x, ...)                         \
    expect_grad(loss, x, (const double[]){ __VA_ARGS__ }, \
                (int64_t)(sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double)), #loss)

Test(loss_rows, hinge_has_the_mean_of_both_sides_at_the_kink)
{
    sq_var z = sq_leaf_f64(t, sq_vec(4), (double[]){ 2, .25, 1, -1 });
    sq_var y = sq_input_f64(t, sq_vec(4), (double[]){ 1, 1, 1, -1 });
    sq_var loss = sq_hinge(z, y, SQ_SUM);
    EXPECT(loss, .75);
    EXPECT_GRAD(loss, z, 0, -1, -.5, .5);
}

/* Row 0: the best other class is one behind the label, a kink. Row 1: two others tie. Row 2 is
 * masked, its label too. */
Test(loss_rows, several_classes)
{
    const int32_t labels[] = { 0, 2, 77 }, mask[] = { 1, 1, 0 };
    const double logits[] = { 3, 2, 0, 1, 1, 1.5, NONE, NONE, NONE };
    sq_var z = sq_leaf_f64(t, sq_mat(3, 3), logits);
    sq_var worst = sq_hinge_max(z, labels, mask, SQ_SUM);
    sq_var all = sq_hinge_all(z, labels, mask, SQ_SUM);
    EXPECT(worst, .5);
    EXPECT(all, 1);
    EXPECT(sq_hinge_max(z, labels, mask, SQ_ROWS), 0, .5, 0);
    EXPECT(sq_hinge_all(z, labels, mask, SQ_MEAN), .5);
    EXPECT_GRAD(worst, z, -.5, .5, 0, .5, .5, -1, 0, 0, 0);
    EXPECT_GRAD(all, z, -.5, .5, 0, 1, 1, -2, 0, 0, 0);
}

Test(loss_rows, infinite_logits_and_one_class)
{
    const int32_t labels[] = { 0, 0 };
    sq_var z = sq_leaf_f64(t, sq_mat(2, 2), (double[]){ 1, -(double)INFINITY, .5, .25 });
    EXPECT(sq_hinge_max(z, labels, NULL, SQ_ROWS), 0, .75);
    EXPECT(sq_hinge_all(z, labels, NULL, SQ_ROWS), 0, .75);
    sq_var one = sq_leaf_f64(t, sq_mat(2, 1), (double[]){ 1, 2 });
    EXPECT(sq_hinge_max(one, labels, NULL, SQ_ROWS), 0, 0);
    EXPECT(sq_hinge_all(one, labels, NULL, SQ_SUM), 0);
}

/* Frames of two notes over two steps of two sequences, one of which is over. */
Test(loss_rows, coins)
{
    const int32_t mask[] = { 1, 1, 1, 0 };
    const double ln2 = 0.69314718055994531;
    sq_var z = sq_leaf_f64(t, sq_shape3(2, 2, 2), (double[]){ 0, 0, 0, 0, 0, 0, NONE, NONE });
    sq_var y = sq_input_f64(t, sq_shape3(2, 2, 2), (double[]){ 1, 0, 1, 1, 0, 0, NONE, 1 });
    sq_var loss = sq_bernoulli_nll(z, y, mask, SQ_MEAN);
    const double s = 1. / 6;
    EXPECT(loss, 2 * ln2);
    EXPECT(sq_bernoulli_nll(z, y, mask, SQ_SUM), 6 * ln2);
    EXPECT(sq_bernoulli_nll(z, y, mask, SQ_ROWS), 2 * ln2, 2 * ln2, 2 * ln2, 0);
    EXPECT_GRAD(loss, z, -s, s, -s, -s, s, s, 0, 0);
}

/* The rows that cross_entropy leaves out may be no numbers, in any derivative. */
Test(loss_rows, cross_entropy_of_masked_rows)
{
    const int32_t labels[] = { 0, -5 }, mask[] = { 1, 0 };
    sq_var z = sq_leaf_f64(t, sq_mat(2, 2), (double[]){ 0, 0, NONE, 1 });
    EXPECT_GRAD(sq_cross_entropy(z, labels, mask, SQ_MEAN), z, -.5, .5, 0, 0);
    EXPECT_GRAD(sq_sum(sq_cross_entropy(z, labels, mask, SQ_ROWS)), z, -.5, .5, 0, 0);
}

#define EXPECT_SENTENCE(call, status, text)                        \
    do {                                                           \
        sq_tape_reset(t);                                          \
        cr_expect(sq_ok(call) == false, "%s was accepted", #call); \
        EXPECT_STATUS(t, status);                                  \
        EXPECT_TEXT(sq_message(t), text);                          \
        sq_tape_reset(t);                                          \
    } while (0)
#define MAT(rows, cols) sq_zeros(t, sq_mat(rows, cols))
#define VEC(n) sq_zeros(t, sq_vec(n))
#define SCALAR sq_constant(t, 1)

Test(loss_rows, mistakes)
{
    const int32_t labels[] = { 0, 3 }, none[] = { 0, 0 };
    EXPECT_SENTENCE(sq_hinge(MAT(2, 3), VEC(3), SQ_SUM), SQ_ESHAPE,
                    "hinge: shapes differ: [2,3] and [3]");
    EXPECT_SENTENCE(sq_hinge(SCALAR, SCALAR, SQ_ROWS), SQ_ESHAPE,
                    "hinge: a scalar has no rows");
    EXPECT_SENTENCE(sq_hinge(VEC(0), VEC(0), SQ_MEAN), SQ_ESHAPE, "hinge: mean of nothing");
    EXPECT_SENTENCE(sq_hinge(VEC(1), VEC(1), (sq_reduction)7), SQ_EVALUE,
                    "hinge: reduction 7 is neither SQ_MEAN nor SQ_SUM nor SQ_ROWS");
    EXPECT_SENTENCE(sq_hinge((sq_var){ t, 0 }, VEC(1), SQ_SUM), SQ_EVAR,
                    "hinge: operand 1 has no value");
    EXPECT_SENTENCE(sq_hinge_max(MAT(2, 3), labels, NULL, SQ_SUM), SQ_ERANGE,
                    "hinge_max: label 3 at position 1 is outside 0..2");
    EXPECT_SENTENCE(sq_hinge_all(MAT(2, 3), NULL, NULL, SQ_SUM), SQ_EVALUE,
                    "hinge_all: the labels are NULL, 2 are needed");
    EXPECT_SENTENCE(sq_hinge_all(SCALAR, labels, NULL, SQ_SUM), SQ_ESHAPE,
                    "hinge_all: a scalar has no rows");
    EXPECT_SENTENCE(sq_hinge_max(MAT(0, 3), NULL, NULL, SQ_MEAN), SQ_ESHAPE,
                    "hinge_max: mean of nothing");
    EXPECT_SENTENCE(sq_hinge_max(MAT(2, 3), labels, none, SQ_MEAN), SQ_EVALUE,
                    "masked_mean: mean of nothing: all of the mask's 2 entries are 0");
    EXPECT_SENTENCE(sq_bernoulli_nll(MAT(2, 3), MAT(2, 2), NULL, SQ_MEAN), SQ_ESHAPE,
                    "bernoulli_nll: shapes differ: [2,3] and [2,2]");
    EXPECT_SENTENCE(sq_bernoulli_nll(SCALAR, SCALAR, NULL, SQ_SUM), SQ_ESHAPE,
                    "bernoulli_nll: a scalar has no rows");
    EXPECT_SENTENCE(sq_bernoulli_nll(MAT(2, 3), MAT(2, 3), none, SQ_MEAN), SQ_EVALUE,
                    "masked_mean: mean of nothing: all of the mask's 2 entries are 0");
}
