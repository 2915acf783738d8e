/* test_derive.c -- the recorded reverse sweep: derivatives that can be differentiated again.
 *
 * Oracles: closed forms of the first three derivatives, the numeric sweep (which shares no code
 * with the adjoints), and central differences in double for a gradient-norm penalty. */
#include "tests/support/support.h"

static sq_var derive1(sq_var y, sq_var x)
{
    sq_var g = { 0 };
    sq_status s = sq_derive(y, &x, &g, 1);
    cr_assert(s == SQ_OK, "%s", sq_message(y.tape));
    cr_assert(sq_shape_equal(sq_shape_of(g), sq_shape_of(x)));
    return g;
}

Test(closed_forms, three_derivatives_of_compositions)
{
    const double at = .7;
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    for (int k = 0; k < 5; k++) {
        sq_tape_reset(t);
        double x = at, s = sin(at), c = cos(at), th = tanh(at), want[3] = { 0 };
        sq_var v = sq_leaf(t, sq_scalar(), &x), y = { 0 };
        if (k == 0) { /* x^4 */
            y = sq_square(sq_square(v));
            memcpy(want, (double[]){ 4 * x * x * x, 12 * x * x, 24 * x }, sizeof want);
        } else if (k == 1) { /* e^(sin x) */
            y = sq_exp(sq_sin(v));
            double e = exp(s);
            memcpy(want, (double[]){ e * c, e * (c * c - s), e * (c * c * c - 3 * s * c - c) },
                   sizeof want);
        } else if (k == 2) { /* tanh x */
            y = sq_tanh(v);
            double d = 1 - th * th;
            memcpy(want, (double[]){ d, -2 * th * d, d * (6 * th * th - 2) }, sizeof want);
        } else if (k == 3) { /* x ln x */
            y = sq_mul(v, sq_log(v));
            memcpy(want, (double[]){ log(x) + 1, 1 / x, -1 / (x * x) }, sizeof want);
        } else { /* 1/x, through a division by a product with itself: x / x^2 */
            y = sq_div(v, sq_mul(v, v));
            memcpy(want, (double[]){ -1 / (x * x), 2 / (x * x * x), -6 / (x * x * x * x) },
                   sizeof want);
        }
        for (int order = 0; order < 3; order++) {
            sq_begin_step(t);
            y = derive1(y, v);
            EXPECT_NEAR(sq_item(y), want[order], 1e-13, "derivative");
        }
        ASSERT_HEALTHY(t);
        sq_zero_grads(t);
        BACKWARD(y); /* and the numeric sweep through all of it still runs */
        cr_expect(isfinite(sq_grad_item(v)));
    }
    sq_tape_free(t);
}

/* y = a^2 b: the full Hessian [2b 2a; 2a 0], entry by entry. */
Test(closed_forms, mixed_second_derivatives)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x[2] = { sq_leaf(t, sq_scalar(), (double[]){ 3 }),
                    sq_leaf(t, sq_scalar(), (double[]){ 5 }) };
    sq_var y = sq_mul(sq_square(x[0]), x[1]), g[2], h[2];
    const double hessian[2][2] = { { 10, 6 }, { 6, 0 } };
    cr_assert(sq_derive(y, x, g, 2) == SQ_OK, "%s", sq_message(t));
    cr_expect(sq_item(g[0]) == 30 && sq_item(g[1]) == 9);
    for (int i = 0; i < 2; i++) {
        cr_assert(sq_derive(g[i], x, h, 2) == SQ_OK, "%s", sq_message(t));
        for (int j = 0; j < 2; j++) cr_expect(sq_item(h[j]) == hessian[i][j], "%d %d", i, j);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(derive, of_itself_of_nothing_and_of_a_tensor)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_vec(3), ((double[]){ 1, 2, 3 })),
           other = sq_leaf(t, sq_vec(2), ((double[]){ 1, 2 }));
    sq_var y = sq_square(x), v[3] = { y, x, other }, g[3];
    cr_assert(sq_derive(y, v, g, 3) == SQ_OK, "%s", sq_message(t));
    double a[3];
    sq_copy(g[0], a);
    for (int i = 0; i < 3; i++) cr_expect(a[i] == 1, "dy/dy");
    sq_copy(g[1], a);
    for (int i = 0; i < 3; i++) cr_expect(a[i] == 2 * (i + 1), "the gradient of the sum");
    cr_expect(sq_shape_equal(sq_shape_of(g[2]), sq_vec(2)));
    sq_copy(g[2], a);
    cr_expect(a[0] == 0 && a[1] == 0, "independent");
    cr_assert(sq_derive(y, NULL, NULL, 0) == SQ_OK);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* "any variable": one that only constants feed is a variable too. */
Test(derive, by_constants_and_by_what_only_constants_feed)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var c = sq_constant(t, 3), d = sq_mul_scalar(c, 2), y = sq_square(d);
    EXPECT_NEAR(sq_item(derive1(y, d)), 12, 0, "by an interior variable");
    EXPECT_NEAR(sq_item(derive1(y, c)), 24, 0, "by a constant");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(derive, accumulates_nothing)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 3);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), v[2] = { x, sq_use(t, w) }, g[2];
    sq_begin_step(t);
    sq_var state = sq_mul(sq_square(x), v[1]);
    sq_begin_step(t);
    sq_var y = sq_square(state);
    BACKWARD(y);
    double before[3] = { sq_grad_item(x), number_grad(t, w), sq_grad_item(state) };
    cr_assert(sq_derive(y, v, g, 2) == SQ_OK);
    double after[3] = { sq_grad_item(x), number_grad(t, w), sq_grad_item(state) };
    EXPECT_SAME_BITS(before, after, sizeof before, "gradients");
    cr_expect(sq_item(g[0]) == before[0] && sq_item(g[1]) == before[1]);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Through time ------------------------------------------------------------------------ */

enum { B = 2, I = 2, H = 3, T = 4 };

typedef struct rolled {
    sq_tape *t;
    sq_var h0, h[T], c[T], loss;
} rolled;

static void roll(rolled *r, const net *n, const double *x, const double *h0)
{
    r->t = sq_tape_new(SQ_F64, n->params);
    r->h0 = sq_leaf(r->t, sq_mat(B, H), h0);
    sq_var s[2] = { r->h0, sq_zeros(r->t, sq_mat(B, H)) };
    for (int i = 0; i < T; i++) {
        sq_begin_step(r->t);
        n->cell.step(r->t, n->cell.self, sq_input(r->t, sq_mat(B, I), x + (int64_t)i * B * I),
                     s);
        r->h[i] = s[0];
        r->c[i] = s[1];
    }
    sq_end_step(r->t);
    r->loss = sq_mean(sq_exp(sq_add(r->h[T - 1], sq_square(r->h[1]))));
    ASSERT_HEALTHY(r->t);
}

/* First derivatives of every kind of variable against the numeric sweep. */
Test(through_time, equals_the_numeric_sweep_for_leaf_states_and_weights)
{
    net n;
    net_new(&n, SQ_F64, I, H, 3);
    double x[T * B * I], h0[B * H], a[H * H], b[H * H];
    fill(x, COUNT(x), 5, -1, 1);
    fill(h0, COUNT(h0), 6, -1, 1);
    rolled r;
    roll(&r, &n, x, h0);
    BACKWARD(r.loss);
    sq_var v[5] = { r.h0, r.h[1], r.c[2], sq_use(r.t, n.lstm.U[2]), sq_use(r.t, n.lstm.b[1]) },
           g[5];
    cr_assert(sq_derive(r.loss, v, g, 5) == SQ_OK, "%s", sq_message(r.t));
    for (int i = 0; i < 5; i++) {
        int64_t size = sq_shape_size(sq_shape_of(v[i]));
        cr_expect(sq_copy(g[i], a) == SQ_OK);
        if (i < 3) cr_expect(sq_grad_copy(v[i], b) == SQ_OK);
        if (i == 3) cr_expect(sq_weight_grad(r.t, n.lstm.U[2], b) == SQ_OK);
        if (i == 4) cr_expect(sq_weight_grad(r.t, n.lstm.b[1], b) == SQ_OK);
        EXPECT_ALL_NEAR(a, b, size, 1e-14, "derive against backward");
        cr_expect(sq_norm(g[i]) > 1e-6, "not by being zero");
    }
    ASSERT_HEALTHY(r.t);
    sq_tape_free(r.t);
    net_free(&n);
}

/* A weight counts over all its steps, whichever of its variables is named. */
Test(through_time, a_weight_counts_at_every_use)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", .2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h = sq_constant(t, .9), use[4], g[4];
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        use[i] = sq_use(t, w);
        h = sq_mul(use[i], h);
    }
    sq_end_step(t);
    use[3] = sq_use(t, w);
    cr_assert(sq_derive(h, use, g, 4) == SQ_OK, "%s", sq_message(t));
    for (int i = 0; i < 4; i++) EXPECT_NEAR(sq_item(g[i]), .108, 3e-17, "dh_3/dw");
    sq_var second = derive1(g[0], use[3]);
    EXPECT_NEAR(sq_item(second), 6 * .2 * .9, 1e-15, "d2h_3/dw2");
    EXPECT_NEAR(sq_item(derive1(second, use[0])), 6 * .9, 1e-15, "d3h_3/dw3");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* Steps recorded before an update are differentiated through the weights they were made with:
 * y = (v^2 w^2 h_0)^2, dy/dh_0 = 2 v^4 w^4 h_0. */
Test(through_time, reaches_through_steps_of_an_older_version)
{
    const double w0 = .5, w1 = 3;
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", w0);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h0 = sq_leaf(t, sq_scalar(), (double[]){ 2 }), h = h0;
    for (int i = 0; i < 4; i++) {
        if (i == 2) cr_assert(sq_weight_set(p, w, &w1) == SQ_OK);
        sq_begin_step(t);
        h = sq_mul(sq_use(t, w), h);
    }
    sq_var g = derive1(sq_square(h), h0);
    EXPECT_NEAR(sq_item(g), 2 * w1 * w1 * w1 * w1 * w0 * w0 * w0 * w0 * 2, 1e-15, "dh^2/dh_0");
    sq_zero_grads(t);
    BACKWARD(g);
    EXPECT_NEAR(sq_grad_item(h0), 2 * w1 * w1 * w1 * w1 * w0 * w0 * w0 * w0, 1e-15, "second");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* What a cut forgot is a constant for derive as well. */
Test(through_time, stops_at_a_cut)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", .2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h = sq_constant(t, .9);
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        h = sq_mul(sq_use(t, w), h);
        if (i == 1) cr_assert(sq_cut(t, 1, &h, 1) == SQ_OK);
    }
    EXPECT_NEAR(sq_item(derive1(h, sq_use(t, w))), 2 * .2 * .18, 1e-16, "two uses left");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* P = L + 1/2 |dL/dh_0|^2 + 1/2 |dL/dU_f|^2 of an unrolled LSTM. */
static double penalised(const net *n, const double *x, const double *h0, double **grads)
{
    rolled r;
    roll(&r, n, x, h0);
    sq_var v[2] = { r.h0, sq_use(r.t, n->lstm.U[1]) }, g[2];
    cr_assert(sq_derive(r.loss, v, g, 2) == SQ_OK, "%s", sq_message(r.t));
    sq_var norms = sq_add(sq_sum(sq_square(g[0])), sq_sum(sq_square(g[1])));
    sq_var total = sq_add(r.loss, sq_mul_scalar(norms, .5));
    double value = sq_item(total);
    if (grads) {
        BACKWARD(total);
        *grads = grads_copy(r.t);
        ASSERT_HEALTHY(r.t);
    }
    sq_tape_free(r.t);
    return value;
}

Test(through_time, gradient_norm_penalty_of_an_lstm_against_differences)
{
    net n;
    net_new(&n, SQ_F64, I, H, 3);
    double x[T * B * I], h0[B * H], *g;
    fill(x, COUNT(x), 5, -1, 1);
    fill(h0, COUNT(h0), 6, -1, 1);
    const double e = 1e-5;
    penalised(&n, x, h0, &g);
    for (int64_t i = 0; i < sq_params_size(n.params); i++) {
        double f[2];
        for (int k = 0; k < 2; k++) {
            ((double *)sq_params_update(n.params))[i] += k ? -2 * e : e;
            f[k] = penalised(&n, x, h0, NULL);
        }
        ((double *)sq_params_update(n.params))[i] += e;
        EXPECT_NEAR(g[i], (f[0] - f[1]) / (2 * e), 1e-7, "dP/dw");
    }
    free(g);
    net_free(&n);
}

/* A third derivative through the same LSTM: the directional derivative of |dL/dh_0|^2's
 * gradient by derive alone, against a difference of its first derivative. */
Test(through_time, derive_twice_against_a_difference_of_derive_once)
{
    net n;
    net_new(&n, SQ_F64, I, H, 3);
    double x[T * B * I], h0[B * H], third[B * H], g[2][B * H];
    fill(x, COUNT(x), 5, -1, 1);
    fill(h0, COUNT(h0), 6, -1, 1);
    const double e = 1e-5;
    for (int k = -1; k < 2; k++) {
        double at[B * H];
        memcpy(at, h0, sizeof at);
        if (k >= 0) at[2] += k ? -e : e;
        rolled r;
        roll(&r, &n, x, at);
        sq_var one = derive1(r.loss, r.h0), two = derive1(sq_sum(sq_square(one)), r.h0);
        if (k >= 0) sq_copy(two, g[k]);
        else sq_copy(derive1(sq_slice(sq_reshape(two, sq_vec(B * H)), 0, 2, 1), r.h0), third);
        ASSERT_HEALTHY(r.t);
        sq_tape_free(r.t);
    }
    for (int i = 0; i < B * H; i++) /* the Hessian is symmetric: row 2 is column 2 */
        EXPECT_NEAR(third[i], (g[0][i] - g[1][i]) / (2 * e), 1e-7, "Hessian of |dL/dh_0|^2");
    net_free(&n);
}

/* ---- What cannot be done ----------------------------------------------------------------- */

static bool same_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *a,
                       sq_shape *out)
{
    (void)t, (void)n, (void)a;
    *out = in[0];
    return true;
}

static void twice_forward(const sq_call *c)
{
    const double *x = c->x[0];
    double *y = c->y;
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) y[i] = 2 * x[i];
}

static void twice_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    const double *gy = c->gy;
    double *gx = c->gx[0];
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) gx[i] += 2 * gy[i];
}

static const sq_op twice = { .name = "twice",
                             .formula = "y = 2 x",
                             .arity = 1,
                             .shape = same_shape,
                             .forward = twice_forward,
                             .vjp = twice_vjp };

Test(limits, an_op_without_an_adjoint)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_vec(2), ((double[]){ 1, 2 })), g;
    sq_var y = sq_sum(sq_square(sq_apply(&twice, &x, 1, NULL)));
    BACKWARD(y);
    double a[2];
    sq_grad_copy(x, a);
    cr_expect(a[0] == 8 && a[1] == 16, "the sweep does not need it");
    cr_expect(sq_derive(y, &x, &g, 1) == SQ_EGRAD);
    EXPECT_CONTAINS(sq_message(t), "twice");
    EXPECT_ERROR(t, SQ_EGRAD);
    x = sq_leaf(t, sq_vec(2), ((double[]){ 1, 2 }));
    sq_var z = sq_apply(&twice, &x, 1, NULL), w = sq_leaf(t, sq_vec(2), ((double[]){ 3, 4 }));
    y = sq_sum(sq_mul(z, w));
    cr_assert(sq_derive(y, &w, &g, 1) == SQ_OK, "it is not on the way: %s", sq_message(t));
    sq_copy(g, a);
    cr_expect(a[0] == 2 && a[1] == 4);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(limits, bad_handles)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL), *u = sq_tape_new(SQ_F64, NULL);
    sq_var other = sq_leaf(u, sq_scalar(), (double[]){ 1 }), none = { t, 0 }, g = { 0 };
    for (int i = 0; i < 4; i++) {
        sq_begin_step(t);
        sq_var stale = sq_leaf(t, sq_scalar(), (double[]){ 1 });
        sq_begin_step(t);
        sq_cut(t, 1, NULL, 0);
        sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 1 }), y = sq_square(x);
        sq_var bad[4] = { stale, other, none, { 0 } };
        sq_var v[2] = { x, bad[i] }, gs[2] = { { 0 } };
        cr_expect(sq_derive(y, v, gs, 2) == SQ_EVAR, "as x: %d", i);
        cr_expect(sq_ok(gs[1]) == false);
        EXPECT_ERROR(t, SQ_EVAR);
        if (i % 2) continue; /* these have no tape, or another one */
        sq_begin_step(t);
        x = sq_leaf(t, sq_scalar(), (double[]){ 1 });
        cr_expect(sq_derive(bad[i], &x, &g, 1) == SQ_EVAR, "as y: %d", i);
        EXPECT_ERROR(t, SQ_EVAR);
    }
    ASSERT_HEALTHY(u);
    sq_tape_free(t);
    sq_tape_free(u);
}
