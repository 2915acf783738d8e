/* test_ragged_sweeps.c -- what is differentiated in other ways than by one reverse sweep, over ragged rows:
 * forward mode, ledgers, Jacobians, threads, cuts, second derivatives. */
#include "tests/support/ragged.h"

/* <R, dy/dx v> = <dL/dx, v> for L = <R, y>. */
Test(ragged, forward_mode_is_the_adjoint_of_the_sweep)
{
    one o;
    one_new(&o);
    for (int way = 0; way < 4; way++) {
        sq_unroll_options options = { .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                      .lengths = lengths,
                                      .reverse = way & 2 };
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        double v[T * B * I], dy[T * B * H], g[T * B * I], left = 0, right = 0;
        const double *dx = v;
        double *out = dy;
        fill(v, COUNT(v), 21, -1, 1);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x);
        sq_var y = sq_unrolled_outputs(sq_unroll(t, &o.c.cell, x, NULL, &options));
        sq_status s = sq_jvp(&x, &dx, 1, &y, &out, 1);
        cr_assert(s == SQ_OK, "%s", sq_message(t));
        BACKWARD(sq_sum(sq_mul(y, sq_input(t, sq_shape3(T, B, H), o.d.r))));
        sq_grad_copy(x, g);
        for (int i = 0; i < T * B * H; i++) left += dy[i] * o.d.r[i];
        for (int i = 0; i < T * B * I; i++) right += g[i] * v[i];
        EXPECT_NEAR(left, right, 1e-12, "the inner product");
        sq_tape_free(t);
    }
    one_free(&o);
}

Test(ragged, a_ledger_is_the_same_eager_planned_and_under_a_budget)
{
    one o;
    one_new(&o);
    double total[3][T], weight[3][T];
    for (int way = 0; way < 3; way++) {
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x);
        const sq_unrolled *u = sq_unroll(t, &o.c.cell, x, NULL,
                                         &(sq_unroll_options){ .mode = way ? SQ_PLAN : SQ_EAGER,
                                                               .lengths = lengths,
                                                               .every = way == 2 ? 2 : 0 });
        sq_var loss =
            sq_sum(sq_mul(sq_unrolled_outputs(u), sq_input(t, sq_shape3(T, B, H), o.d.r)));
        sq_ledger *l = sq_ledger_new(
            u, loss, &(sq_ledger_options){ .weights = true, .contribution = true });
        cr_assert(l != NULL, "%s", sq_message(t));
        for (int i = 0; i < T; i++) {
            total[way][i] = sq_ledger_total(l, i, 0);
            weight[way][i] = sq_ledger_weight(l, i, o.c.layer[0].lstm.U[0]);
        }
        cr_expect(sq_ledger_identity(l) < 1e-12, "the parts sum to the whole");
        sq_ledger_free(l);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    for (int way = 1; way < 3; way++) {
        EXPECT_ALL_NEAR(total[way], total[0], T, 1e-12, "totals");
        EXPECT_ALL_NEAR(weight[way], weight[0], T, 1e-12, "weights by step");
    }
    one_free(&o);
}

/* dh_t/dh_(t-1) of a row that has ended is the identity, and x_t has no part in it; before, all is as
 * without lengths. */
Test(ragged, jacobians_of_ended_rows_are_the_identity)
{
    one o;
    one_new(&o);
    enum { ROW = 0, N = 2 * H };
    for (int way = 0; way < 4; way++) {
        sq_unroll_options options = { .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                      .every = way & 2 ? 2 : 0 };
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x);
        const sq_unrolled *full = sq_unroll(t, &o.c.cell, x, NULL, &options);
        options.lengths = lengths;
        const sq_unrolled *u = sq_unroll(t, &o.c.cell, x, NULL, &options);
        cr_assert(u != NULL, "%s", sq_message(t));
        for (int step = 0; step < T; step++) {
            double j[N * N], k[N * N], jx[N * I + 1], kx[N * I + 1];
            bool taken = step < lengths[ROW];
            jx[N * I] = 42; /* a guard: x is as wide as the caller's */
            sq_status s = sq_jacobian(u, step, step - 1, ROW, SQ_JOINTLY, j, NULL);
            if (s == SQ_OK) s = sq_jacobian(full, step, step - 1, ROW, SQ_JOINTLY, k, NULL);
            if (s == SQ_OK) s = sq_jacobian_input(u, step, step, ROW, SQ_JOINTLY, jx, NULL);
            if (s == SQ_OK) s = sq_jacobian_input(full, step, step, ROW, SQ_JOINTLY, kx, NULL);
            cr_assert(s == SQ_OK, "%s", sq_message(t));
            for (int i = 0; i < N * N && !taken; i++) k[i] = i / N == i % N;
            for (int i = 0; i < N * I && !taken; i++) kx[i] = 0;
            EXPECT_ALL_NEAR(j, k, N * N, 1e-14, "dh/dh");
            EXPECT_ALL_NEAR(jx, kx, N * I, 1e-14, "dh/dx");
            cr_expect(jx[N * I] == 42);
        }
        sq_tape_free(t);
    }
    one_free(&o);
}

Test(ragged, has_the_same_bits_on_any_number_of_threads)
{
    enum { STEPS = 12, ROWS = 24 };
    static double x[STEPS * ROWS * I], y[2][STEPS * ROWS * H], g[2][STEPS * ROWS * I];
    int32_t ends[ROWS];
    rng r = { 5 };
    one o;
    one_new(&o);
    fill(x, COUNT(x), 6, -1, 1);
    for (int b = 0; b < ROWS; b++) ends[b] = rng_below(&r, STEPS + 1);
    double *gw[2];
    for (int32_t threads = 1; threads < 5; threads++) {
        int at = threads > 1;
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_tape_set_threads(t, threads);
        sq_var in = sq_leaf(t, sq_shape3(STEPS, ROWS, I), x);
        const sq_unrolled *u = sq_unroll(
            t, &o.c.cell, in, NULL, &(sq_unroll_options){ .mode = SQ_PLAN, .lengths = ends });
        cr_assert(u != NULL, "%s", sq_message(t));
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        sq_copy(sq_unrolled_outputs(u), y[at]);
        sq_grad_copy(in, g[at]);
        gw[at] = grads_copy(t);
        sq_tape_free(t);
        if (!at) continue;
        EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "outputs");
        EXPECT_SAME_BITS(g[0], g[1], sizeof g[0], "input gradients");
        EXPECT_SAME_BITS(gw[0], gw[1], params_bytes(o.p), "weight gradients");
        free(gw[1]);
    }
    free(gw[0]);
    one_free(&o);
}

/* Cut inside: the steps that are left have the gradients that a run from their state has. */
Test(ragged, may_be_cut_inside)
{
    one o;
    one_new(&o);
    enum { KEEP = 5, CUT = T - KEEP };
    double g[3][KEEP * B * I];
    for (int way = 0; way < 3; way++) {
        sq_unroll_options options = { .mode = way == 1 ? SQ_PLAN : SQ_EAGER,
                                      .lengths = lengths };
        int32_t rest[B];
        for (int b = 0; b < B; b++) rest[b] = lengths[b] > CUT ? lengths[b] - CUT : 0;
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x), last[2], part = x;
        const sq_unrolled *u = NULL;
        if (way == 2) { /* in two runs */
            options.lengths = (const int32_t[B]){ CUT, CUT, 0, 1, CUT };
            u = sq_unroll(t, &o.c.cell, sq_slice(x, 0, 0, CUT), NULL, &options);
            sq_unrolled_last(u, last);
            for (int k = 0; k < 2; k++) last[k] = sq_detach(last[k]);
            part = sq_slice(x, 0, CUT, KEEP);
            options.lengths = rest;
        }
        u = sq_unroll(t, &o.c.cell, part, way == 2 ? last : NULL, &options);
        cr_assert(u != NULL, "%s", sq_message(t));
        sq_unrolled_last(u, last);
        if (way < 2) {
            sq_status s = sq_cut(t, KEEP, last, 2);
            cr_assert(s == SQ_OK, "%s", sq_message(t));
        }
        ASSERT_HEALTHY(t);
        BACKWARD(sq_sum(sq_square(sq_add(last[0], last[1]))));
        double all[T * B * I];
        sq_grad_copy(x, all);
        memcpy(g[way], all + CUT * B * I, sizeof g[way]);
        sq_tape_free(t);
    }
    EXPECT_ALL_NEAR(g[0], g[2], KEEP * B * I, 1e-14, "eagerly");
    EXPECT_ALL_NEAR(g[1], g[2], KEEP * B * I, 1e-14, "planned");
    one_free(&o);
}

/* The gradient, recorded as an expression, is the gradient; and can be differentiated once more: of
 * sum(v dL/dx) against differences of dL/dx along v. */
Test(ragged, can_be_differentiated_twice)
{
    one o;
    one_new(&o);
    double v[T * B * I], gx[T * B * I], gg[T * B * I], side[2][T * B * I];
    const double e = 1e-5;
    fill(v, COUNT(v), 31, -1, 1);
    for (int way = 0; way < 3; way++) {
        double moved[T * B * I];
        for (int i = 0; i < T * B * I; i++)
            moved[i] = o.d.x[i] + (way ? (3 - 2 * way) * e * v[i] : 0);
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), moved), g;
        const sq_unrolled *u = sq_unroll(
            t, &o.c.cell, x, NULL,
            &(sq_unroll_options){ .mode = SQ_EAGER, .lengths = lengths, .reverse = true });
        sq_var loss = sq_sum(
            sq_mul(sq_square(sq_unrolled_outputs(u)), sq_input(t, sq_shape3(T, B, H), o.d.r)));
        BACKWARD(loss);
        sq_grad_copy(x, way ? side[way - 1] : gx);
        if (!way) {
            sq_status s = sq_derive(loss, &x, &g, 1);
            cr_assert(s == SQ_OK, "%s", sq_message(t));
            double again[T * B * I];
            sq_copy(g, again);
            EXPECT_ALL_NEAR(again, gx, T * B * I, 1e-14, "the recorded gradient");
            sq_zero_grads(t);
            BACKWARD(sq_sum(sq_mul(g, sq_input(t, sq_shape3(T, B, I), v))));
            sq_grad_copy(x, gg);
        }
        sq_tape_free(t);
    }
    for (int i = 0; i < T * B * I; i++)
        EXPECT_NEAR(gg[i], (side[0][i] - side[1][i]) / (2 * e), 1e-8, "the second derivative");
    one_free(&o);
}
