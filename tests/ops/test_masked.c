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
