/* test_masked.c -- what is masked out changes nothing: not its value, not a NaN in it, neither
 * forward nor backward nor in a derivative of a derivative. Ordinary values are left to
 * test_golden.c, derivatives to test_every_op.c. */
#include "tests/ops/op_case.h"

static sq_tape *t;

static void open_tape(void) { t = sq_tape_new(SQ_F64, NULL); }

static void close_tape(void)
{
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

static void expect_values(sq_var v, const double *want, int64_t n, double tol, const char *what)
{
    double got[64];
    cr_assert(sq_shape_size(sq_shape_of(v)) == n && n <= COUNT(got), "%s: size", what);
    cr_assert(sq_copy(v, got) == SQ_OK, "%s: %s", what, sq_message(v.tape));
    EXPECT_ALL_NEAR(got, want, n, tol, what);
}

static void expect_grad(sq_var v, const double *want, int64_t n, double tol, const char *what)
{
    double got[64];
    cr_assert(sq_shape_size(sq_shape_of(v)) == n && n <= COUNT(got), "%s: size", what);
    cr_assert(sq_grad_copy(v, got) == SQ_OK, "%s: %s", what, sq_message(v.tape));
    EXPECT_ALL_NEAR(got, want, n, tol, what);
}

#define SIZE(...) (int64_t)(sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double))
#define EXPECT_VALUES(v, tol, ...) \
    expect_values(v, (const double[]){ __VA_ARGS__ }, SIZE(__VA_ARGS__), tol, #v)
#define EXPECT_GRAD(v, tol, ...) \
    expect_grad(v, (const double[]){ __VA_ARGS__ }, SIZE(__VA_ARGS__), tol, #v)

#define NONE ((double)NAN)

static sq_var leaf(sq_shape s, const double *values) { return sq_leaf_f64(t, s, values); }

/* ---- where ------------------------------------------------------------------------------- */

TestSuite(where, .init = open_tape, .fini = close_tape);

Test(where, mask_and_operands_stretch)
{
    const int32_t rows[] = { 0, 5 }, columns[] = { 1, 0, -1 };
    sq_var a = leaf(sq_mat(2, 3), (double[]){ 1, 2, 3, 4, 5, 6 });
    sq_var b = leaf(sq_vec(3), (double[]){ 10, 20, 30 }),
           c = leaf(sq_mat(2, 1), (double[]){ 7, 8 });
    EXPECT_VALUES(sq_where(rows, sq_mat(2, 1), a, b), 0, 10, 20, 30, 4, 5, 6);
    EXPECT_VALUES(sq_where(columns, sq_vec(3), a, c), 0, 1, 7, 3, 4, 8, 6);
    sq_var y = sq_where(rows, sq_mat(2, 1), b, c); /* all three stretch */
    EXPECT_VALUES(y, 0, 7, 7, 7, 10, 20, 30);
    EXPECT_VALUES(sq_where(rows, sq_vec(2), sq_constant(t, 1), sq_constant(t, 2)), 0, 2, 1);
    BACKWARD(sq_sum(y));
    EXPECT_GRAD(b, 0, 1, 1, 1);
    EXPECT_GRAD(c, 0, 3, 0);
}

/* In the values, and in every gradient that reaches the op. */
Test(where, a_nan_that_is_not_chosen_changes_nothing)
{
    const int32_t mask[] = { 1, 0, 0, 1 }, rows[] = { 0, 1 };
    sq_var a = leaf(sq_mat(2, 2), (double[]){ 1, NONE, NONE, 4 });
    sq_var b = leaf(sq_mat(2, 2), (double[]){ NONE, 2, 3, NONE }), g[2];
    sq_var y = sq_where(mask, sq_mat(2, 2), a, b);
    EXPECT_VALUES(y, 0, 1, 2, 3, 4);
    sq_var loss = sq_sum(sq_square(y));
    cr_assert(sq_derive(loss, (sq_var[]){ a, b }, g, 2) == SQ_OK);
    EXPECT_VALUES(g[0], 0, 2, 0, 0, 8);
    EXPECT_VALUES(g[1], 0, 0, 4, 6, 0);
    BACKWARD(loss);
    EXPECT_GRAD(a, 0, 2, 0, 0, 8);
    EXPECT_GRAD(b, 0, 0, 4, 6, 0);
    sq_zero_grads(t);
    const double gy[] = { NONE, NONE, 5, 6 };
    cr_assert(sq_backward_from(sq_where(rows, sq_mat(2, 1), a, b), gy) == SQ_OK);
    EXPECT_GRAD(a, 0, 0, 0, 5, 6);
}

/* The sign of a zero and infinities pass as they are. */
Test(where, copies_bits)
{
    const int32_t mask[] = { 1, 0 };
    const double inf = (double)INFINITY;
    double got[2], want[] = { -0.0, -inf };
    sq_var y = sq_where(mask, sq_vec(2), leaf(sq_vec(2), (double[]){ -0.0, 1 }),
                        leaf(sq_vec(2), (double[]){ 0, -inf }));
    cr_assert(sq_copy(y, got) == SQ_OK);
    EXPECT_SAME_BITS(got, want, sizeof got, "where");
}

/* The mask is copied at the call. */
Test(where, the_caller_may_reuse_the_mask)
{
    int32_t mask[] = { 1, 0 };
    sq_var a = leaf(sq_vec(2), (double[]){ 1, 2 });
    sq_var y = sq_where(mask, sq_vec(2), a, sq_constant(t, 9));
    mask[0] = 0;
    BACKWARD(sq_sum(y));
    EXPECT_GRAD(a, 0, 1, 0);
}

/* Rows dealt out to threads meet their own part of the mask. */
Test(where, a_share_of_the_rows)
{
    static const int32_t full[] = { 1, 0, 1, 1, 0, 0, 1, 0 }, rows[] = { 1, 0, 0, 1 };
    static const int32_t columns[] = { 0, 1 };
    const struct {
        sq_shape shape;
        const int32_t *mask;
        double want[4];
    } cases[] = {
        { sq_mat(4, 2), full, { -1, -2, 3, -4 } },
        { sq_mat(4, 1), rows, { -1, -2, 3, 4 } },
        { sq_vec(2), columns, { -1, 2, -3, 4 } },
    };
    const double a[] = { 1, 2, 3, 4 }, b[] = { -1, -2, -3, -4 };
    const sq_shape in[] = { sq_mat(2, 2), sq_mat(2, 2) };
    for (int i = 0; i < COUNT(cases); i++) {
        double y[4];
        sq_attr attr = { .k = { 0, cases[i].shape.rank, cases[i].shape.dim[0],
                                cases[i].shape.dim[1] },
                         .mask = cases[i].mask,
                         .n_ids = sq_shape_size(cases[i].shape) };
        sq_call c = { .op = sq_op_find("where"),
                      .n = 2,
                      .dtype = SQ_F64,
                      .xs = in,
                      .ys = in[0],
                      .attr = &attr,
                      .x = (const void *[]){ a, b },
                      .y = y,
                      .row = 2,
                      .kern = sqi_kernels_select() };
        c.op->forward(&c);
        EXPECT_ALL_NEAR(y, cases[i].want, 4, 0, "rows 2 and 3");
    }
}

/* ---- Softmax ------------------------------------------------------------------------------ */

TestSuite(masked_softmax, .init = open_tape, .fini = close_tape);

static const int32_t left_two[] = { 1, 0, 1 };

/* e^1 : e^1 over what is left; a NaN and an infinity are not. */
Test(masked_softmax, what_is_masked_has_no_probability_and_no_gradient)
{
    const double bad[] = { NONE, (double)INFINITY, -(double)INFINITY, 1e300 };
    for (int i = 0; i < COUNT(bad); i++) {
        sq_tape_reset(t);
        sq_zero_grads(t);
        sq_var g, x = leaf(sq_vec(3), (double[]){ 1, bad[i], 1 });
        sq_var w = sq_input_f64(t, sq_vec(3), (double[]){ 4, NONE, 0 });
        sq_var y = sq_masked_softmax(x, left_two, sq_vec(3));
        EXPECT_VALUES(y, 0, .5, 0, .5);
        sq_var loss = sq_masked_sum(sq_mul(y, w), left_two, sq_vec(3));
        EXPECT_VALUES(loss, 0, 2);
        cr_assert(sq_derive(loss, &x, &g, 1) == SQ_OK);
        EXPECT_VALUES(g, 1e-15, 1, 0, -1);
        BACKWARD(loss);
        EXPECT_GRAD(x, 1e-15, 1, 0, -1);
        sq_zero_grads(t);
        BACKWARD(sq_sum(sq_square(g))); /* a derivative of the derivative */
        EXPECT_GRAD(x, 1e-15, 0, 0, 0);
    }
}

Test(masked_softmax, logarithm)
{
    const double half = -0.69314718055994531;
    sq_var x = leaf(sq_vec(3), (double[]){ 1000, NONE, 1000 }), g;
    sq_var y = sq_masked_log_softmax(x, left_two, sq_vec(3), 0);
    EXPECT_VALUES(y, 1e-15, half, 0, half);
    EXPECT_VALUES(sq_masked_log_softmax(x, left_two, sq_vec(3), -(double)INFINITY), 1e-15, half,
                  -(double)INFINITY, half);
    sq_var w = sq_input_f64(t, sq_vec(3), (double[]){ 3, 5, 0 }), loss = sq_sum(sq_mul(y, w));
    cr_assert(sq_derive(loss, &x, &g, 1) == SQ_OK);
    EXPECT_VALUES(g, 1e-15, 1.5, 0, -1.5);
    BACKWARD(loss);
    EXPECT_GRAD(x, 1e-15, 1.5, 0, -1.5);
}

/* With a mask of ones, the bits of the unmasked op. */
Test(masked_softmax, everything_left)
{
    int32_t ones[37];
    double x[37], got[2][37];
    for (int i = 0; i < 37; i++) ones[i] = 1;
    fill(x, 37, 5, -4, 4);
    sq_var v = leaf(sq_vec(37), x);
    cr_assert(sq_copy(sq_masked_softmax(v, ones, sq_vec(37)), got[0]) == SQ_OK);
    cr_assert(sq_copy(sq_softmax(v, -1), got[1]) == SQ_OK);
    EXPECT_SAME_BITS(got[0], got[1], sizeof got[0], "softmax");
}

/* ---- Reductions ---------------------------------------------------------------------------- */

TestSuite(masked_reductions, .init = open_tape, .fini = close_tape);

Test(masked_reductions, sums_and_means)
{
    const int32_t rows[] = { 1, 0, 1 }, holes[] = { 1, 1, 0, 0, 0, 1 }, none[] = { 0, 0, 0 };
    sq_var x = leaf(sq_mat(3, 2), (double[]){ 1, 2, NONE, (double)INFINITY, 7, 4 });
    EXPECT_VALUES(sq_masked_sum(x, rows, sq_mat(3, 1)), 0, 14);
    EXPECT_VALUES(sq_masked_mean(x, rows, sq_mat(3, 1)), 0, 3.5);
    EXPECT_VALUES(sq_masked_sum_axis(x, 0, rows, sq_mat(3, 1)), 0, 8, 6);
    EXPECT_VALUES(sq_masked_mean_axis(x, 0, rows, sq_mat(3, 1)), 0, 4, 3);
    EXPECT_VALUES(sq_masked_sum_axis(x, -1, holes, sq_mat(3, 2)), 0, 3, 0, 4);
    EXPECT_VALUES(sq_masked_sum(x, none, sq_mat(3, 1)), 0, 0);
    sq_var mean = sq_masked_mean(x, holes, sq_mat(3, 2)), y, g;
    EXPECT_VALUES(mean, 1e-15, 7. / 3);
    y = sq_masked_mean_axis(x, 0, holes, sq_mat(3, 2));
    EXPECT_VALUES(y, 0, 1, 3);
    sq_var loss = sq_sum(sq_mul(y, sq_input_f64(t, sq_vec(2), (double[]){ 5, 6 })));
    cr_assert(sq_derive(loss, &x, &g, 1) == SQ_OK);
    EXPECT_VALUES(g, 0, 5, 3, 0, 0, 0, 3);
    BACKWARD(loss);
    EXPECT_GRAD(x, 0, 5, 3, 0, 0, 0, 3);
}

Test(masked_reductions, largest)
{
    const int32_t holes[] = { 1, 1, 0, 0, 1, 1 };
    const double inf = (double)INFINITY;
    sq_var x = leaf(sq_mat(2, 3), (double[]){ 5, 5, NONE, inf, -inf, -inf });
    sq_var y = sq_masked_max_axis(x, 1, holes, sq_mat(2, 3));
    EXPECT_VALUES(y, 0, 5, -inf);
    cr_assert(sq_backward_from(y, (double[]){ 4, 2 }) == SQ_OK);
    EXPECT_GRAD(x, 0, 2, 2, 0, 0, 1, 1); /* ties share */
    EXPECT_VALUES(sq_masked_max_share(x, 1, holes, sq_mat(2, 3)), 0, .5, .5, 0, 0, .5, .5);
}

/* A sequence's steps: mean per step, and mean per sequence. */
Test(masked_reductions, over_time)
{
    const int32_t there[] = { 1, 1, 1, 0, 1, 0 }; /* [T = 3, B = 2], lengths 3 and 1 */
    sq_var steps = leaf(sq_mat(3, 2), (double[]){ 1, 9, 2, NONE, 3, NONE });
    EXPECT_VALUES(sq_masked_mean(steps, there, sq_mat(3, 2)), 1e-15, 15. / 4);
    sq_var each = sq_masked_mean_axis(steps, 0, there, sq_mat(3, 2));
    EXPECT_VALUES(each, 1e-15, 2, 9);
    BACKWARD(sq_mean(each));
    EXPECT_GRAD(steps, 1e-15, 1. / 6, .5, 1. / 6, 0, 1. / 6, 0);
}

/* Masks inside a step: the cell runs eagerly, and right. */
static sq_var keep_step(sq_tape *tape, const void *self, sq_var x, sq_var *h)
{
    (void)tape;
    sq_var p = sq_masked_softmax(x, self, sq_vec(3));
    return *h = sq_where(self, sq_vec(3), sq_add(*h, p), *h);
}

Test(masked_reductions, inside_an_unrolled_step)
{
    const int64_t width = 3;
    sq_cell cell = {
        .name = "keep", .n_states = 1, .width = &width, .step = keep_step, .self = left_two
    };
    sq_var xs = leaf(sq_shape3(2, 1, 3), (double[]){ 1, NONE, 1, 2, NONE, 2 });
    sq_var h0 = leaf(sq_mat(1, 3), (double[]){ 0, 8, 0 });
    const sq_unrolled *u = sq_unroll(t, &cell, xs, &h0, NULL);
    cr_assert(u != NULL, "%s", sq_message(t));
    cr_expect(sq_unroll_mode(u) == SQ_EAGER);
    sq_var h;
    sq_unrolled_last(u, &h);
    EXPECT_VALUES(h, 0, 1, 8, 1);
    BACKWARD(sq_sum(h));
    EXPECT_GRAD(h0, 0, 1, 1, 1);
    EXPECT_GRAD(xs, 1e-15, 0, 0, 0, 0, 0, 0);
}
