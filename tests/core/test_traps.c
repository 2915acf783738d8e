/* test_traps.c -- mistakes that other frameworks shipped, each a named test.
 *
 * The report that started each is named above it. The oracle is arithmetic by hand or a central
 * difference, never a second way through the library alone. */
#include "tests/support/support.h"

/* h_t = tanh(h_(t-1) w + x_t), loss sum of h_T^2, all [1,1]. */
static double tanh_loss(double w, const double *x, int n)
{
    double h = .3;
    for (int i = 0; i < n; i++) h = tanh(h * w + x[i]);
    return h * h;
}

/* FluxML/Flux.jl#1209: every BPTT was silently truncated to one step. */
Test(traps, flux_one_step_truncation)
{
    const double x[3] = { .5, -.2, .4 }, w0 = .8, e = 1e-6;
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", w0);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h = sq_constant(t, .3), before = h;
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        before = h;
        h = sq_tanh(sq_add(sq_mul(h, sq_use(t, w)), sq_constant(t, x[i])));
    }
    BACKWARD(sq_square(h));
    double want = (tanh_loss(w0 + e, x, 3) - tanh_loss(w0 - e, x, 3)) / (2 * e);
    EXPECT_NEAR(number_grad(t, w), want, 1e-9, "dL/dW");
    double h3 = sq_item(h), one_step = 2 * h3 * (1 - h3 * h3) * sq_item(before);
    cr_expect(fabs(number_grad(t, w) - one_step) > .01,
              "the one-step gradient is another number");
    sq_tape_free(t);
    sq_params_free(p);
}

/* FluxML/Flux.jl#2185: the gradient depended on whether the outputs were scalars step by step
 * or one array. */
Test(traps, flux_array_and_scalar_outputs_agree)
{
    enum { T = 5, B = 2, I = 2, H = 3 };
    net n;
    net_new(&n, SQ_F64, I, H, 4);
    double x[T * B * I], *g[2];
    fill(x, COUNT(x), 3, -1, 1);
    for (int array = 0; array < 2; array++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        const sq_unrolled *u =
            sq_unroll(t, &n.cell, sq_input(t, sq_shape3(T, B, I), x), NULL, NULL);
        sq_var loss = sq_constant(t, 0);
        if (array) loss = sq_sum(sq_square(sq_unrolled_outputs(u)));
        for (int i = 0; !array && i < T; i++)
            for (int k = 0; k < B * H; k++) {
                sq_var flat = sq_reshape(sq_unrolled_output(u, i), sq_vec(B * H));
                loss =
                    sq_add(loss, sq_square(sq_reshape(sq_slice(flat, 0, k, 1), sq_scalar())));
            }
        BACKWARD(loss);
        g[array] = grads_copy(t);
        sq_tape_free(t);
    }
    EXPECT_ALL_NEAR(g[0], g[1], sq_params_size(n.params), 1e-13, "scalars against array");
    free(g[0]);
    free(g[1]);
    net_free(&n);
}

static sq_var running_sum(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self;
    return *state = sq_add(*state, x);
}

static const int64_t one_wide[1] = { 1 };
static const sq_cell running_sum_cell = { "sum", 1, one_wide, NULL, running_sum, NULL };

/* jax-ml/jax#753: gradients by the scanned sequence came out zero. Of a running sum the
 * Jacobian dy_t/dx_s is the lower-triangular matrix of ones. */
Test(traps, jax_zero_sequence_gradient)
{
    enum { T = 6 };
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double x[T] = { 1, 2, 3, 4, 5, 6 }, seed[T], row[T];
    sq_var xs = sq_leaf(t, sq_shape3(T, 1, 1), x);
    const sq_unrolled *u = sq_unroll(t, &running_sum_cell, xs, NULL, NULL);
    sq_var ys = sq_unrolled_outputs(u);
    cr_assert(sq_shape_equal(sq_shape_of(ys), sq_shape3(T, 1, 1)), "%s", sq_message(t));
    for (int i = 0; i < T; i++) {
        memset(seed, 0, sizeof seed);
        seed[i] = 1;
        sq_zero_grads(t);
        cr_assert(sq_backward_from(ys, seed) == SQ_OK, "%s", sq_message(t));
        cr_expect(sq_grad_copy(xs, row) == SQ_OK);
        for (int s = 0; s < T; s++)
            cr_expect(row[s] == (s <= i), "dy_%d/dx_%d = %g", i, s, row[s]);
    }
    sq_tape_free(t);
}

/* tensorflow/tensorflow#26331: the second request for the same gradient gave another one. */
Test(traps, tensorflow_second_call)
{
    enum { T = 7, B = 3, I = 2, H = 4 };
    for (int dtype = 0; dtype < 2; dtype++) {
        net n;
        net_new(&n, (sq_dtype)dtype, I, H, 4);
        double x[T * B * I], gx[2][T * B * I];
        fill(x, COUNT(x), 3, -1, 1);
        sq_tape *t = sq_tape_new((sq_dtype)dtype, n.params);
        sq_var xs = sq_leaf(t, sq_shape3(T, B, I), x);
        const sq_unrolled *u = sq_unroll(t, &n.cell, xs, NULL, NULL);
        sq_var loss = sq_mean(sq_square(sq_unrolled_outputs(u)));
        void *first = NULL;
        for (int call = 0; call < 2; call++) {
            sq_zero_grads(t);
            BACKWARD(loss);
            sq_grad_copy(xs, gx[call]);
            if (call == 0) first = grads_copy(t);
        }
        EXPECT_SAME_BITS(first, sq_grads(t), params_bytes(n.params), "weight gradients");
        EXPECT_SAME_BITS(gx[0], gx[1], sizeof gx[0], "input gradients");
        free(first);
        sq_tape_free(t);
        net_free(&n);
    }
}

/* KANN's clip scales to norm 1, whatever the threshold. */
Test(traps, kann_clip_to_one)
{
    const double limit[] = { .5, 1, 3, 1e-3, 7.25 };
    for (int dtype = 0; dtype < 2; dtype++) {
        double tol = dtype == SQ_F32 ? 1e-6 : 1e-14;
        sq_params *p = sq_params_new((sq_dtype)dtype);
        sq_weight a = sq_params_add(p, "a", sq_vec(4)), b = sq_params_add(p, "b", sq_mat(2, 3));
        sq_tape *t = sq_tape_new((sq_dtype)dtype, p);
        double c[4] = { 3, -1, 4, 1 }, d[6] = { 5, 9, -2, 6, 5, 3 }, norm = 0, before, g[4];
        for (int i = 0; i < 10; i++) norm += i < 4 ? c[i] * c[i] : d[i - 4] * d[i - 4];
        norm = sqrt(norm);
        for (int i = 0; i < COUNT(limit); i++) {
            sq_tape_reset(t);
            sq_zero_grads(t);
            BACKWARD(sq_add(sq_sum(sq_mul(sq_use(t, a), sq_input(t, sq_vec(4), c))),
                            sq_sum(sq_mul(sq_use(t, b), sq_input(t, sq_mat(2, 3), d)))));
            EXPECT_NEAR(sq_grads_norm(t), norm, 1e-14, "norm");
            cr_assert(sq_clip_norm(t, limit[i], &before) == SQ_OK, "%s", sq_message(t));
            EXPECT_NEAR(before, norm, 1e-14, "norm before");
            EXPECT_NEAR(sq_grads_norm(t) / limit[i], 1, tol, "norm after / limit");
            sq_weight_grad(t, a, g);
            for (int k = 0; k < 4; k++)
                EXPECT_NEAR(g[k], c[k] * limit[i] / norm, tol, "direction");
        }
        void *g0 = grads_copy(t);
        cr_assert(sq_clip_norm(t, 100, NULL) == SQ_OK);
        EXPECT_SAME_BITS(g0, sq_grads(t), params_bytes(p), "below the limit nothing happens");
        free(g0);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* KANN: "can't be kad_mul(c0, f)!!!" -- the order of construction decided about correctness. */
Test(traps, kann_construction_order)
{
    double c0[3] = { 1, -2, 3 }, f0[3] = { .5, .25, -4 }, g[2][2][3];
    for (int swap = 0; swap < 2; swap++) {
        sq_tape *t = sq_tape_new(SQ_F64, NULL);
        sq_var c = sq_leaf(t, sq_mat(1, 3), c0), f = sq_leaf(t, sq_mat(1, 3), f0), m = c;
        for (int i = 0; i < 3; i++) {
            sq_begin_step(t);
            m = sq_tanh(swap ? sq_mul(m, f) : sq_mul(f, m));
        }
        BACKWARD(sq_sum(m));
        sq_grad_copy(c, g[swap][0]);
        sq_grad_copy(f, g[swap][1]);
        sq_tape_free(t);
    }
    EXPECT_SAME_BITS(g[0], g[1], sizeof g[0], "mul(c, f) and mul(f, c)");
    cr_expect(g[0][0][1] != 0);
}

/* KANN zeroes gradients inside its sweep, so two losses could not be added up. */
Test(traps, kann_gradient_zeroing)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 3);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), y = sq_mul(x, sq_use(t, w));
    sq_var a = sq_square(y), b = sq_mul_scalar(y, 5);
    BACKWARD(a);
    BACKWARD(b);
    cr_expect(number_grad(t, w) == 2 * 6 * 2 + 5 * 2);
    cr_expect(sq_grad_item(x) == 2 * 6 * 3 + 5 * 3);
    sq_tape_free(t);
    sq_params_free(p);
}

/* discuss.pytorch.org 15500: the popular recipe for truncated BPTT gives .2880 for .108. Here
 * nothing is counted twice; and cut windows of length k give the last k of the three terms
 * h_2 + w h_1 + w^2 h_0, each .036. */
Test(traps, forum_108_against_2880)
{
    const double want[] = { 0, .036, .072, .108 };
    for (int k = 1; k <= 3; k++) {
        sq_params *p = sq_params_new(SQ_F64);
        sq_weight w = add_number(p, "w", .2);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_var h = sq_leaf(t, sq_scalar(), (double[]){ .9 });
        for (int i = 0; i < 3; i++) {
            sq_begin_step(t);
            h = sq_mul(sq_use(t, w), h);
            cr_assert(sq_cut(t, k, &h, 1) == SQ_OK);
        }
        BACKWARD(h);
        EXPECT_NEAR(number_grad(t, w), want[k], 3e-17, "dh_3/dw through k steps");
        cr_expect(fabs(number_grad(t, w) - .2880) > .1);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* pytorch#46849: clipping passed an infinite norm on silently, and NaN into every weight. */
Test(traps, clip_refuses_numbers_that_are_not_finite)
{
    const double bad[] = { HUGE_VAL, -HUGE_VAL, (double)NAN };
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight a = add_number(p, "a", 1), b = add_number(p, "culprit", 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    for (int i = 0; i < COUNT(bad) * 2; i++) {
        sq_zero_grads(t);
        BACKWARD(sq_mul(sq_use(t, a), sq_use(t, b)));
        double *g = sq_grads(t), copy[2];
        g[sq_weight_offset(p, b)] = bad[i / 2];
        memcpy(copy, g, sizeof copy);
        sq_status s = i % 2 ? sq_clip_value(t, .5) : sq_clip_norm(t, .5, NULL);
        cr_expect(s == SQ_ENONFINITE);
        EXPECT_CONTAINS(sq_message(t), "culprit");
        EXPECT_ERROR(t, SQ_ENONFINITE);
        EXPECT_SAME_BITS(copy, sq_grads(t), sizeof copy, "gradients");
    }
    sq_tape_free(t);
    sq_params_free(p);
}

/* pytorch#31367: a negative max_norm turned the gradient around. */
Test(traps, clip_refuses_a_negative_limit)
{
    const double bad[] = { -1, -1e-30, (double)NAN, -HUGE_VAL };
    sq_params *p = sq_params_new(SQ_F32);
    sq_weight a = add_number(p, "a", 3);
    sq_tape *t = sq_tape_new(SQ_F32, p);
    for (int i = 0; i < COUNT(bad) * 2; i++) {
        sq_zero_grads(t);
        BACKWARD(sq_square(sq_use(t, a)));
        sq_status s = i % 2 ? sq_clip_value(t, bad[i / 2]) : sq_clip_norm(t, bad[i / 2], NULL);
        cr_expect(s == SQ_EVALUE);
        EXPECT_ERROR(t, SQ_EVALUE);
        cr_expect(number_grad(t, a) == 6);
    }
    sq_tape_free(t);
    sq_params_free(p);
}

/* torch-rnn#116: a gradient check that failed now and then. Ours is a function of its seed. */
Test(traps, gradient_checks_repeat_to_the_bit)
{
    net n;
    net_new(&n, SQ_F32, 3, 4, 8);
    sq_check_result r[2];
    memset(r, 0, sizeof r);
    for (int i = 0; i < 2; i++) {
        cr_assert(sq_check_cell(&n.cell, n.params, 3, 2, 3, NULL, &r[i]) == SQ_OK, "%s",
                  r[i].text);
        cr_expect(r[i].ok, "%s", r[i].text);
        cr_expect(r[i].elements >= sq_params_size(n.params));
    }
    cr_expect(r[0].worst == r[1].worst && r[0].analytic == r[1].analytic);
    cr_expect(r[0].numeric == r[1].numeric && r[0].index == r[1].index);
    EXPECT_TEXT(r[0].text, r[1].text);
    net_free(&n);
}
