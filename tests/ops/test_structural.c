/* test_structural.c -- what structural ops and losses do at their edges: ties, infinities,
 * empty sizes, masks, repeated ids, shared memory. Ordinary values are left to
 * test_golden.c. */
#include "tests/ops/op_case.h"

static sq_tape *t;

static void open_tape(void) { t = sq_tape_new(SQ_F64, NULL); }

static void close_tape(void)
{
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

#define EXPECT_SHAPE(v, want) cr_expect(sq_shape_equal(sq_shape_of(v), want), "shape of %s", #v)

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

#define EXPECT_VALUES(v, tol, ...)                                                          \
    expect_values(v, (const double[]){ __VA_ARGS__ },                                       \
                  (int64_t)(sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double)), tol, \
                  #v)
#define EXPECT_GRAD(v, tol, ...)                    \
    expect_grad(v, (const double[]){ __VA_ARGS__ }, \
                (int64_t)(sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double)), tol, #v)

static sq_var leaf(sq_shape s, const double *values) { return sq_leaf_f64(t, s, values); }

/* ---- Products ---------------------------------------------------------------------------- */

TestSuite(products, .init = open_tape, .fini = close_tape);

Test(products, by_hand)
{
    sq_var a = leaf(sq_mat(2, 3), (double[]){ 1, 2, 3, 4, 5, 6 });
    sq_var b = leaf(sq_mat(3, 2), (double[]){ 1, 0, -1, 2, 0, 1 });
    EXPECT_VALUES(sq_matmul(a, b), 0, -1, 7, -1, 16);
    EXPECT_VALUES(sq_matmul_nt(a, a), 0, 14, 32, 32, 77);
    EXPECT_VALUES(sq_matmul_tn(b, b), 0, 2, -2, -2, 5);
    EXPECT_VALUES(sq_transpose(a), 0, 1, 4, 2, 5, 3, 6);
}

/* Empty sums are zeros, also in gradients; empty results are no error. */
Test(products, of_size_zero)
{
    sq_var a = leaf(sq_mat(2, 0), NULL), b = leaf(sq_mat(0, 3), NULL);
    sq_var bias = leaf(sq_vec(3), (double[]){ 1, 2, 3 });
    sq_var y = sq_matmul(a, b), z = sq_affine(a, b, bias);
    EXPECT_VALUES(y, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_VALUES(z, 0, 1, 2, 3, 1, 2, 3);
    sq_var none = sq_affine(sq_zeros(t, sq_shape3(0, 4, 2)), sq_zeros(t, sq_mat(2, 3)), bias);
    EXPECT_SHAPE(none, sq_shape3(0, 4, 3));
    BACKWARD(sq_add(sq_sum(z), sq_sum(none)));
    EXPECT_GRAD(bias, 0, 2, 2, 2);
    EXPECT_SHAPE(sq_matmul(sq_zeros(t, sq_mat(2, 3)), sq_zeros(t, sq_mat(3, 0))), sq_mat(2, 0));
}

/* affine = add(matmul(x,W), b) to the bit, and so is the gradient of W, in both precisions. */
Test(products, affine_has_the_bits_of_its_composition)
{
    enum { R = 13, K = 37, N = 19 };
    static double x[R * K], w[K * N], b[N];
    fill(x, R * K, 1, -2, 2);
    fill(w, K * N, 2, -2, 2);
    fill(b, N, 3, -2, 2);
    for (int d = 0; d < 2; d++) {
        double y[2][R * N], g[2][K * N], gb[2][N];
        for (int way = 0; way < 2; way++) {
            sq_tape *s = sq_tape_new(d ? SQ_F64 : SQ_F32, NULL);
            sq_var vx = sq_leaf(s, sq_mat(R, K), x), vw = sq_leaf(s, sq_mat(K, N), w);
            sq_var vb = sq_leaf(s, sq_vec(N), b);
            sq_var v = way ? sq_affine(vx, vw, vb) : sq_add(sq_matmul(vx, vw), vb);
            BACKWARD(sq_sum(sq_square(v)));
            cr_assert(sq_copy(v, y[way]) == SQ_OK && sq_grad_copy(vw, g[way]) == SQ_OK);
            cr_assert(sq_grad_copy(vb, gb[way]) == SQ_OK);
            sq_tape_free(s);
        }
        EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "values");
        EXPECT_SAME_BITS(g[0], g[1], sizeof g[0], "gradients of W");
        double largest = 0;
        for (int i = 0; i < N; i++) largest = fmax(largest, fabs(gb[0][i]));
        for (int i = 0; i < N; i++) /* two sums of the same rows in another order */
            cr_expect(fabs(gb[0][i] - gb[1][i]) <= (d ? 1e-14 : 1e-6) * largest, "b at %d", i);
    }
}

/* ---- Sums and largest elements ----------------------------------------------------------- */

TestSuite(reductions, .init = open_tape, .fini = close_tape);

Test(reductions, compositions_by_hand)
{
    sq_var x = leaf(sq_mat(2, 3), (double[]){ 1, 5, 3, 2, -4, 5 });
    EXPECT_VALUES(sq_sum(x), 0, 12);
    EXPECT_VALUES(sq_mean(x), 1e-15, 2);
    EXPECT_VALUES(sq_mean_axis(x, 0), 1e-15, 1.5, .5, 4);
    EXPECT_VALUES(sq_mean_axis(x, -1), 1e-15, 3, 1);
    EXPECT_VALUES(sq_max_axis(x, 0), 0, 2, 5, 5);
    sq_var m = sq_max(x);
    EXPECT_VALUES(m, 0, 5);
    BACKWARD(m);
    EXPECT_GRAD(x, 0, 0, .5, 0, 0, 0, .5);
}

Test(reductions, the_sum_of_nothing_is_zero)
{
    sq_var x = leaf(sq_shape3(2, 0, 3), NULL);
    sq_var rows = sq_sum_axis(x, 1), all = sq_sum(x);
    EXPECT_VALUES(rows, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_VALUES(all, 0, 0);
    EXPECT_SHAPE(sq_sum_axis(x, 0), sq_mat(0, 3));
    EXPECT_VALUES(sq_sum_to(x, sq_mat(1, 3)), 0, 0, 0, 0);
    BACKWARD(sq_add(all, sq_sum(rows)));
}

/* Ties share the derivative equally, and the sum of shares stays 1. */
Test(reductions, ties_share)
{
    sq_var x = leaf(sq_mat(3, 4), (double[]){ 2, 7, 7, 1, 4, 4, 4, 4, -3, -1, -2, -1 });
    sq_var y = sq_max_axis(x, 1);
    EXPECT_VALUES(y, 0, 7, 4, -1);
    EXPECT_VALUES(sq_max_share(x, 1), 0, 0, .5, .5, 0, .25, .25, .25, .25, 0, .5, 0, .5);
    BACKWARD(sq_sum(sq_mul(y, leaf(sq_vec(3), (double[]){ 1, 8, 10 }))));
    EXPECT_GRAD(x, 0, 0, .5, .5, 0, 2, 2, 2, 2, 0, 5, 0, 5);
    sq_var g;
    cr_assert(sq_derive(sq_sum(y), &x, &g, 1) == SQ_OK);
    EXPECT_VALUES(g, 0, 0, .5, .5, 0, .25, .25, .25, .25, 0, .5, 0, .5);
}

/* Rows longer than the lanes of the loops: the largest found at every place. */
Test(reductions, the_largest_is_found_anywhere)
{
    enum { N = 37 };
    double v[N];
    for (int at = 0; at < N; at++) {
        for (int i = 0; i < N; i++) v[i] = -100 - i;
        v[at] = -1;
        sq_tape_reset(t);
        EXPECT_NEAR(sq_item(sq_max(leaf(sq_vec(N), v))), -1, 0, "max");
        v[at] = (double)-INFINITY;
        EXPECT_NEAR(sq_item(sq_max(leaf(sq_vec(N), v))), at ? -100 : -101, 0, "max");
        v[at] = (double)NAN;
        cr_expect(isnan(sq_item(sq_max(leaf(sq_vec(N), v)))), "NaN at %d is lost", at);
    }
}

/* ---- Softmax ----------------------------------------------------------------------------- */

TestSuite(softmax, .init = open_tape, .fini = close_tape);

Test(softmax, large_logits_do_not_overflow)
{
    for (int d = 0; d < 2; d++) {
        sq_tape *s = sq_tape_new(d ? SQ_F64 : SQ_F32, NULL);
        double e = exp(-1), v[3], tol = d ? 1e-15 : 1e-7;
        double want[3] = { e / (1 + e), 1 / (1 + e), 0 };
        double log_want[3] = { -1 - log1p(e), -log1p(e), -20000 - log1p(e) };
        sq_var x = sq_leaf(s, sq_vec(3), ((double[]){ 9999, 10000, -10000 }));
        cr_assert(sq_copy(sq_softmax(x, 0), v) == SQ_OK);
        EXPECT_ALL_NEAR(v, want, 3, tol, "softmax");
        cr_assert(sq_copy(sq_log_softmax(x, 0), v) == SQ_OK);
        EXPECT_ALL_NEAR(v, log_want, 3, tol, "log_softmax");
        ASSERT_HEALTHY(s);
        sq_tape_free(s);
    }
}

/* A logit of minus infinity is a class that cannot be: probability and gradient 0, no NaN. */
Test(softmax, impossible_classes)
{
    const double inf = (double)INFINITY;
    sq_var x = leaf(sq_mat(1, 3), (double[]){ 0, -inf, 0 });
    sq_var p = sq_softmax(x, 1), l = sq_log_softmax(x, 1);
    EXPECT_VALUES(p, 1e-15, .5, 0, .5);
    EXPECT_VALUES(l, 1e-15, -log(2), -inf, -log(2));
    BACKWARD(sq_sum(sq_slice(l, 1, 0, 1)));
    EXPECT_GRAD(x, 1e-15, .5, 0, -.5);
    sq_zero_grads(t);
    const int32_t label = 0;
    sq_var loss = sq_cross_entropy(x, &label, NULL, SQ_MEAN);
    EXPECT_VALUES(loss, 1e-15, log(2));
    BACKWARD(loss);
    EXPECT_GRAD(x, 1e-15, -.5, 0, .5);
}

Test(softmax, rows_sum_to_one_along_any_axis)
{
    double v[2 * 17 * 3];
    fill(v, COUNT(v), 4, -30, 30);
    for (int axis = 0; axis < 3; axis++) {
        sq_var s = sq_sum_axis(sq_softmax(leaf(sq_shape3(2, 17, 3), v), axis), axis);
        double got[51];
        cr_assert(sq_copy(s, got) == SQ_OK);
        for (int64_t i = 0; i < sq_shape_size(sq_shape_of(s)); i++)
            EXPECT_NEAR(got[i], 1, 1e-15, "a row's sum");
    }
}

/* ---- Losses ------------------------------------------------------------------------------ */

/* ---- layer_norm -------------------------------------------------------------------------- */

TestSuite(layer_norm, .init = open_tape, .fini = close_tape);

/* [1,2,3,6]: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5; with eps = .5 the scale is 1/2. A row
 * moved by a constant gives the same; a constant row gives zeros. */
Test(layer_norm, by_hand)
{
    sq_var x = leaf(sq_mat(3, 4), (double[]){ 1, 2, 3, 6, 101, 102, 103, 106, 7, 7, 7, 7 });
    EXPECT_VALUES(sq_layer_norm(x, .5), 1e-15, -1, -.5, 0, 1.5, -1, -.5, 0, 1.5, 0, 0, 0, 0);
}

/* Nothing flows along what the result does not depend on: shifts, and (with eps = 0) scale. */
Test(layer_norm, gradients_are_orthogonal_to_shift_and_scale)
{
    double x[6] = { 1, -2, .5, 3, .25, -1 }, w[6] = { .3, -1, 2, .7, .1, -.4 }, g[6];
    sq_var v = leaf(sq_vec(6), x), wv = sq_input(t, sq_vec(6), w);
    BACKWARD(sq_sum(sq_mul(sq_layer_norm(v, 0), wv)));
    cr_assert(sq_grad_copy(v, g) == SQ_OK);
    double shift = 0, scale = 0, size = 0;
    for (int i = 0; i < 6; i++) shift += g[i], scale += g[i] * x[i], size += fabs(g[i]);
    cr_expect(size > .1);
    EXPECT_NEAR(shift, 0, 1e-14, "shift");
    EXPECT_NEAR(scale, 0, 1e-14, "scale");
}

TestSuite(losses, .init = open_tape, .fini = close_tape);

Test(losses, cross_entropy_far_out)
{
    const int32_t right[] = { 1 }, wrong[] = { 0 };
    sq_var x = leaf(sq_mat(1, 2), (double[]){ -10000, 10000 });
    EXPECT_VALUES(sq_cross_entropy(x, right, NULL, SQ_SUM), 0, 0);
    sq_var loss = sq_cross_entropy(x, wrong, NULL, SQ_SUM);
    EXPECT_VALUES(loss, 0, 20000);
    BACKWARD(loss);
    EXPECT_GRAD(x, 0, -1, 1);
}

/* A masked row is as if it were not there: the loss, its gradient, the count of the mean. */
Test(losses, masked_rows_count_nowhere)
{
    double v[5 * 3], g[5 * 3], part[3 * 3];
    const int32_t labels[] = { 2, 77, 0, -5, 1 }, mask[] = { 1, 0, 1, 0, -1 };
    const int32_t kept_labels[] = { 2, 0, 1 }, kept[] = { 0, 2, 4 };
    fill(v, COUNT(v), 6, -3, 3);
    v[3] = (double)NAN; /* not even looked at */
    for (int k = 0; k < 3; k++) memcpy(part + 3 * k, v + 3 * kept[k], 3 * sizeof *v);
    for (sq_reduction r = SQ_MEAN; r <= SQ_SUM; r++) {
        sq_var x = leaf(sq_mat(5, 3), v), y = leaf(sq_mat(3, 3), part);
        sq_var a = sq_cross_entropy(x, labels, mask, r);
        sq_var b = sq_cross_entropy(y, kept_labels, NULL, r);
        EXPECT_NEAR(sq_item(a), sq_item(b), 0, "the loss");
        BACKWARD(sq_add(a, b));
        cr_assert(sq_grad_copy(x, g) == SQ_OK && sq_grad_copy(y, part) == SQ_OK);
        for (int k = 0; k < 3; k++)
            EXPECT_ALL_NEAR(g + 3 * kept[k], part + 3 * k, 3, 0, "a kept row's gradient");
        for (int i = 0; i < 3; i++) cr_expect(g[3 + i] == 0 && g[9 + i] == 0, "a masked row's");
        for (int k = 0; k < 3; k++) memcpy(part + 3 * k, v + 3 * kept[k], 3 * sizeof *v);
    }
}

Test(losses, of_nothing)
{
    const int32_t labels[] = { 0, 0 }, mask[] = { 0, 0 };
    sq_var x = leaf(sq_mat(0, 3), NULL), y = leaf(sq_mat(2, 3), (double[6]){ 1 });
    sq_var a = sq_cross_entropy(x, NULL, NULL, SQ_SUM);
    sq_var b = sq_cross_entropy(y, labels, mask, SQ_SUM);
    EXPECT_VALUES(a, 0, 0);
    EXPECT_VALUES(b, 0, 0);
    EXPECT_VALUES(sq_squared_error(x, x, SQ_SUM), 0, 0);
    EXPECT_VALUES(sq_bce_logits(x, x, SQ_SUM), 0, 0);
    BACKWARD(sq_add(a, b));
    EXPECT_GRAD(y, 0, 0, 0, 0, 0, 0, 0);
}

Test(losses, bce_far_out)
{
    sq_var z = leaf(sq_vec(4), (double[]){ 1000, -1000, 1000, -1000 });
    sq_var target = leaf(sq_vec(4), (double[]){ 1, 0, 0, 1 });
    sq_var loss = sq_bce_logits(z, target, SQ_MEAN);
    EXPECT_VALUES(loss, 0, 500);
    BACKWARD(loss);
    EXPECT_GRAD(z, 0, 0, 0, .25, -.25);
    EXPECT_GRAD(target, 0, -250, 250, -250, 250);
}

/* Labels and masks are copied at the call: the caller may change them afterwards. */
/* Terms of 1e40 are too large for float, their mean over a thousand is not: every product of
 * two floats is taken in double, going forward and with a tangent. */
Test(losses, terms_larger_than_float)
{
    enum { N = 1000 };
    static double a[N], b[N], gone[N];
    a[7] = 1e20, b[7] = -1e20;
    const sq_op *ops[] = { sq_op_find("squared_error"), sq_op_find("bce_logits") };
    sq_sample s = { .n = 2,
                    .in = { { 1, { N } }, { 1, { N } } },
                    .attr = { .k = { SQ_MEAN } } };
    /* (a-b)^2;  2 (a-b) da, da = a;  2 (b-a) db, db = b;  -t z and z;  (1-t) dz;  -z dt */
    const double want[2][3] = { { 4e37, 4e37, 4e37 }, { 1e37, 1e37, 1e37 } };
    for (int i = 0; i < COUNT(ops); i++) {
        op_case c;
        double *const x[MOST] = { a, b, gone };
        double y, dy[2] = { 0 };
        cr_assert(case_make(&c, ops[i], &s));
        evaluate(&c, in_float(), x, &y);
        push(&c, in_float(), x, 0, a, &dy[0]);
        push(&c, in_float(), x, 1, b, &dy[1]);
        cr_expect(fabs(y / want[i][0] - 1) < 1e-6, "%s: %g", c.label, y);
        for (int k = 0; k < 2; k++)
            cr_expect(fabs(dy[k] / want[i][1 + k] - 1) < 1e-6, "%s %d: %g", c.label, k, dy[k]);
    }
}

Test(losses, labels_are_copied)
{
    int32_t labels[] = { 1, 0 }, mask[] = { 1, 0 };
    sq_var x = leaf(sq_mat(2, 2), (double[]){ 0, 0, 0, 0 });
    sq_var loss = sq_cross_entropy(x, labels, mask, SQ_MEAN);
    labels[0] = mask[0] = 0;
    mask[1] = 1;
    BACKWARD(loss);
    EXPECT_GRAD(x, 1e-15, .5, -.5, 0, 0);
}

/* ---- Moving data ------------------------------------------------------------------------- */

TestSuite(moving, .init = open_tape, .fini = close_tape);

Test(moving, reshape_and_whole_slices_share_memory)
{
    sq_var x = leaf(sq_mat(4, 3), (double[]){ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 });
    const double *at = sq_view_f64(x);
    sq_var rows = sq_slice(x, 0, 1, 2), cols = sq_slice(x, 1, 1, 2);
    sq_var inner = sq_slice(sq_reshape(x, sq_shape4(1, 1, 4, 3)), 2, 3, 1);
    cr_expect(sq_view_f64(sq_reshape(x, sq_shape3(2, 3, 2))) == at);
    cr_expect(sq_view_f64(rows) == at + 3);
    cr_expect(sq_view_f64(inner) == at + 9);
    cr_expect(sq_view_f64(cols) < at || sq_view_f64(cols) >= at + 12, "columns are copied");
    EXPECT_VALUES(rows, 0, 3, 4, 5, 6, 7, 8);
    EXPECT_VALUES(cols, 0, 1, 2, 4, 5, 7, 8, 10, 11);
    EXPECT_VALUES(inner, 0, 9, 10, 11);
    BACKWARD(sq_add(sq_sum(rows), sq_add(sq_sum(sq_square(cols)), sq_sum(inner))));
    EXPECT_GRAD(x, 0, 0, 2, 4, 1, 9, 11, 1, 15, 17, 1, 21, 23);
}

Test(moving, empty_parts)
{
    sq_var x = leaf(sq_mat(2, 3), (double[]){ 1, 2, 3, 4, 5, 6 });
    sq_var none = sq_slice(x, 1, 3, 0), end = sq_slice(x, 0, 2, 0);
    EXPECT_SHAPE(none, sq_mat(2, 0));
    EXPECT_SHAPE(end, sq_mat(0, 3));
    sq_var both = sq_concat((sq_var[]){ none, x, none }, 3, 1);
    EXPECT_VALUES(both, 0, 1, 2, 3, 4, 5, 6);
    sq_var padded = sq_pad(none, 1, 1, 1);
    EXPECT_VALUES(padded, 0, 0, 0, 0, 0);
    BACKWARD(sq_add(sq_sum(both), sq_add(sq_sum(end), sq_sum(padded))));
    EXPECT_GRAD(x, 0, 1, 1, 1, 1, 1, 1);
}

/* The same variable several times: every place gives its share. */
Test(moving, one_variable_in_several_places)
{
    sq_var x = leaf(sq_vec(2), (double[]){ 3, 5 });
    sq_var y = sq_concat((sq_var[]){ x, x, x }, 3, 0), z = sq_stack((sq_var[]){ x, x }, 2);
    EXPECT_VALUES(y, 0, 3, 5, 3, 5, 3, 5);
    EXPECT_VALUES(z, 0, 3, 5, 3, 5);
    sq_var w = leaf(sq_vec(6), (double[]){ 1, 2, 4, 8, 16, 32 });
    BACKWARD(sq_add(sq_sum(sq_mul(y, w)), sq_sum(z)));
    EXPECT_GRAD(x, 0, 23, 44);
}

Test(moving, many_operands)
{
    enum { N = 300 };
    sq_var x[N];
    for (int i = 0; i < N; i++) x[i] = sq_constant(t, i);
    sq_var y = sq_stack(x, N);
    EXPECT_SHAPE(y, sq_vec(N));
    EXPECT_NEAR(sq_item(sq_sum(y)), N * (N - 1) / 2, 0, "sum");
    for (int i = 0; i < N; i++) x[i] = sq_slice(y, 0, i, 1);
    EXPECT_NEAR(sq_item(sq_sum(sq_concat(x, N, 0))), N * (N - 1) / 2, 0, "sum");
}

Test(moving, permute_by_hand)
{
    double v[24];
    for (int i = 0; i < 24; i++) v[i] = i;
    sq_var y = sq_permute(leaf(sq_shape3(2, 3, 4), v), (const int[]){ -1, 0, 1 });
    EXPECT_SHAPE(y, sq_shape3(4, 2, 3));
    const double *at = sq_view_f64(y);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 2; b++)
            for (int c = 0; c < 3; c++)
                EXPECT_NEAR(at[(a * 2 + b) * 3 + c], b * 12 + c * 4 + a, 0, "permute");
    EXPECT_VALUES(sq_permute(sq_constant(t, 3), NULL), 0, 3);
}

/* ---- Rows by number ---------------------------------------------------------------------- */

TestSuite(rows, .init = open_tape, .fini = close_tape);

Test(rows, repeated_ids_add_up)
{
    int32_t ids[] = { 2, 0, 2, 2 };
    sq_var table = leaf(sq_mat(3, 2), (double[]){ 1, 2, 3, 4, 5, 6 });
    sq_var y = sq_gather(table, ids, 4);
    EXPECT_VALUES(y, 0, 5, 6, 1, 2, 5, 6, 5, 6);
    sq_var z = sq_scatter_add(y, ids, 4, 3);
    EXPECT_VALUES(z, 0, 1, 2, 0, 0, 15, 18);
    memset(ids, 0, sizeof ids); /* they were copied at the call */
    BACKWARD(sq_sum(sq_mul(z, leaf(sq_mat(3, 2), (double[]){ 1, 10, 100, 1000, 2, 20 }))));
    EXPECT_GRAD(table, 0, 1, 10, 0, 0, 6, 60);
    EXPECT_SHAPE(sq_gather(table, NULL, 0), sq_mat(0, 2));
    EXPECT_SHAPE(sq_gather(leaf(sq_mat(3, 0), NULL), (const int32_t[]){ 1 }, 1), sq_mat(1, 0));
}

Test(rows, one_hot)
{
    const int32_t ids[] = { 2, 0 };
    EXPECT_VALUES(sq_one_hot(t, ids, 2, 3), 0, 0, 0, 1, 1, 0, 0);
    sq_tape *s = sq_tape_new(SQ_F32, NULL);
    EXPECT_VALUES(sq_one_hot(s, ids, 2, 3), 0, 0, 0, 1, 1, 0, 0);
    sq_tape_free(s);
    EXPECT_SHAPE(sq_one_hot(t, NULL, 0, 0), sq_mat(0, 0));
}

/* In the recorded derivative of a masked cross-entropy the labels out of range stay unread, and
 * its derivative is the softmax Jacobian p_i (d_ij - p_j) of the kept rows. */
Test(losses, second_derivative_of_a_masked_cross_entropy)
{
    const int32_t labels[] = { 1, 99 }, mask[] = { 1, 0 };
    sq_var x = leaf(sq_mat(2, 2), (double[]){ .5, -.25, 1, 2 }), g, h;
    sq_var loss = sq_cross_entropy(x, labels, mask, SQ_SUM);
    double p = 1 / (1 + exp(-.75)), j = p * (1 - p);
    cr_assert(sq_derive(loss, &x, &g, 1) == SQ_OK, "%s", sq_message(t));
    EXPECT_VALUES(g, 1e-15, p, -p, 0, 0);
    cr_assert(sq_derive(sq_sum(sq_slice(g, 1, 0, 1)), &x, &h, 1) == SQ_OK, "%s", sq_message(t));
    EXPECT_VALUES(h, 1e-15, j, -j, 0, 0);
}
