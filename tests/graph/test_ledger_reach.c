/* test_ledger_reach.c -- which loss reaches how far back: |dL_i/dh_k| against a sweep for each loss
 * on a tape of its own. */
#include "tests/support/support.h"

enum { T = 6, B = 3, IN = 4, H = 5, STATES = 2 };

static const sq_unroll_options modes[] = {
    { .mode = SQ_EAGER },
    { .mode = SQ_PLAN },
    { .mode = SQ_EAGER, .every = 2, .state_grads = true },
    { .mode = SQ_PLAN, .every = 2, .state_grads = true }
};

typedef struct scene {
    sq_tape *t;
    const sq_unrolled *u;
    sq_var all;     /* [T,B,H] */
    sq_var each[T]; /* a loss a step */
} scene;

static void scene_new(scene *s, const net *n, const sq_unroll_options *o)
{
    double x[T * B * IN];
    fill(x, COUNT(x), 11, -1, 1);
    s->t = sq_tape_new(SQ_F64, n->params);
    s->u = sq_unroll(s->t, &n->cell, sq_input_f64(s->t, sq_shape3(T, B, IN), x), NULL, o);
    s->all = sq_unrolled_outputs(s->u);
    for (int i = 0; i < T; i++) s->each[i] = sq_sum(sq_square(sq_unrolled_output(s->u, i)));
}

/* What one sweep of sq_backward says of every state. */
static void sweep(const net *n, int loss, double want[T][STATES])
{
    scene s;
    scene_new(&s, n, &modes[0]);
    BACKWARD(s.each[loss]);
    for (int i = 0; i < T; i++)
        for (int k = 0; k < STATES; k++)
            want[i][k] = sq_grad_norm(sq_unrolled_state(s.u, i, k));
    sq_tape_free(s.t);
}

static void expect_reach(const sq_ledger *l, const net *n)
{
    for (int loss = 0; loss < T; loss++) {
        double want[T][STATES];
        sweep(n, loss, want);
        for (int i = 0; i < T; i++)
            for (int k = 0; k < STATES; k++) {
                EXPECT_NEAR(sq_ledger_reach(l, loss, i, k), want[i][k], 1e-12, "reach");
                cr_expect(i <= loss || sq_ledger_reach(l, loss, i, k) == 0, "the future");
            }
    }
}

Test(reach, of_a_loss_at_every_step)
{
    net n;
    net_new(&n, SQ_F64, IN, H, 3);
    for (int m = 0; m < COUNT(modes); m++) {
        scene s;
        scene_new(&s, &n, &modes[m]);
        sq_ledger_options o = { .losses = s.each, .n_losses = T };
        sq_ledger *l = sq_ledger_new(s.u, sq_sum(s.all), &o);
        cr_assert(l != NULL, "%s", sq_message(s.t));
        cr_expect(sq_ledger_n_losses(l) == T);
        expect_reach(l, &n);
        sq_ledger_free(l);
        ASSERT_HEALTHY(s.t);
        sq_tape_free(s.t);
    }
    net_free(&n);
}

/* The same losses as the elements of one variable, which looks at all outputs at once. */
Test(reach, of_the_elements_of_one_variable)
{
    net n;
    net_new(&n, SQ_F64, IN, H, 3);
    for (int m = 0; m < COUNT(modes); m++) {
        scene s;
        scene_new(&s, &n, &modes[m]);
        sq_var rows = sq_sum_axis(sq_sum_axis(sq_square(s.all), 2), 1);
        sq_ledger *l = sq_ledger_new(s.u, sq_sum(rows),
                                     &(sq_ledger_options){ .losses = &rows, .n_losses = 1 });
        cr_assert(l != NULL, "%s", sq_message(s.t));
        cr_expect(sq_ledger_n_losses(l) == T);
        expect_reach(l, &n);
        sq_ledger_free(l);
        ASSERT_HEALTHY(s.t);
        sq_tape_free(s.t);
    }
    net_free(&n);
}

/* Losses recorded inside the steps of a loop, which end before the tape does. */
Test(reach, of_losses_inside_a_loop)
{
    double x[T * B * IN];
    fill(x, COUNT(x), 11, -1, 1);
    net n;
    net_new(&n, SQ_F64, IN, H, 3);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    sq_var in = sq_input_f64(t, sq_shape3(T, B, IN), x), hs[T * STATES], each[T];
    sq_var state[STATES] = { sq_zeros(t, sq_mat(B, H)), sq_zeros(t, sq_mat(B, H)) };
    for (int i = 0; i < T; i++) {
        sq_begin_step(t);
        sq_var at = sq_reshape(sq_slice(in, 0, i, 1), sq_mat(B, IN));
        sq_var y = n.cell.step(t, n.cell.self, at, state);
        each[i] = sq_sum(sq_square(y));
        memcpy(hs + (size_t)i * STATES, state, sizeof state);
    }
    sq_end_step(t);
    sq_ledger *l = sq_ledger_of_states(hs, T, STATES, each[T - 1],
                                       &(sq_ledger_options){ .losses = each, .n_losses = T });
    cr_assert(l != NULL, "%s", sq_message(t));
    expect_reach(l, &n);
    sq_ledger_free(l);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    net_free(&n);
}

Test(reach, of_nothing)
{
    net n;
    scene s;
    net_new(&n, SQ_F64, IN, H, 3);
    scene_new(&s, &n, &modes[1]);
    sq_ledger_options o = { .losses = s.each, .n_losses = T };
    sq_ledger *l = sq_ledger_new(s.u, sq_sum(s.all), &o);
    cr_assert(l != NULL, "%s", sq_message(s.t));
    const double nan[] = { sq_ledger_reach(NULL, 0, 0, 0), sq_ledger_reach(l, -1, 0, 0),
                           sq_ledger_reach(l, T, 0, 0),    sq_ledger_reach(l, 0, -1, 0),
                           sq_ledger_reach(l, 0, T, 0),    sq_ledger_reach(l, 0, 0, STATES) };
    for (int i = 0; i < COUNT(nan); i++) cr_expect(isnan(nan[i]), "%d", i);
    cr_expect(sq_ledger_n_losses(NULL) == 0);
    sq_ledger_free(l);
    s.each[2] = (sq_var){ s.t, 0 };
    cr_expect(sq_ledger_new(s.u, sq_sum(s.all), &o) == NULL);
    EXPECT_CONTAINS(sq_message(s.t), "loss 2");
    sq_tape_free(s.t);
    net_free(&n);
}

/* ---- States, unit by unit ------------------------------------------------------------------ */

Test(states, by_unit_and_row)
{
    net n;
    net_new(&n, SQ_F64, IN, H, 3);
    for (int m = 0; m < COUNT(modes); m++) {
        scene s;
        scene_new(&s, &n, &modes[m]);
        sq_ledger_options o = { .values = true };
        sq_ledger *l = sq_ledger_new(s.u, sq_sum(sq_square(s.all)), &o);
        cr_assert(l != NULL, "%s", sq_message(s.t));
        for (int i = 0; i < T; i++) {
            const double *g = sq_ledger_total_values(l, i, 1);
            const double *own = sq_ledger_immediate_values(l, i, 1);
            double units[H] = { 0 }, rows[B] = { 0 }, both = 0;
            for (int j = 0; j < B * H; j++) {
                units[j % H] += g[j] * g[j];
                rows[j / H] += g[j] * g[j];
                both += g[j] * own[j];
            }
            both /= sq_ledger_total(l, i, 1) * sq_ledger_immediate(l, i, 1);
            for (int j = 0; j < H; j++)
                EXPECT_NEAR(sq_ledger_unit(l, i, 1, j), sqrt(units[j]), 1e-14, "unit");
            for (int j = 0; j < B; j++)
                EXPECT_NEAR(sq_ledger_row(l, i, 1, j), sqrt(rows[j]), 1e-14, "row");
            EXPECT_NEAR(sq_ledger_cosine(l, i, 1), both, 1e-14, "cosine");
        }
        const double nan[] = { sq_ledger_unit(l, 0, 0, H), sq_ledger_unit(l, 0, 0, -1),
                               sq_ledger_row(l, 0, 0, B),  sq_ledger_row(l, T, 0, 0),
                               sq_ledger_row(l, 0, 0, -1), sq_ledger_unit(l, 0, 2, 0),
                               sq_ledger_cosine(l, -1, 0), sq_ledger_cosine(NULL, 0, 0) };
        for (int i = 0; i < COUNT(nan); i++) cr_expect(isnan(nan[i]), "%d", i);
        sq_ledger_free(l);
        l = sq_ledger_new(s.u, sq_sum(s.each[0]), NULL);
        cr_expect(isnan(sq_ledger_unit(l, 0, 0, 0)) && isnan(sq_ledger_cosine(l, 0, 0)));
        sq_ledger_free(l);
        sq_tape_free(s.t);
    }
    net_free(&n);
}

/* A cosine with nothing is 0: a loss on the last step has nothing immediate before it. */
Test(states, cosine_with_nothing)
{
    net n;
    scene s;
    net_new(&n, SQ_F64, IN, H, 3);
    scene_new(&s, &n, &modes[1]);
    sq_ledger *l = sq_ledger_new(s.u, s.each[T - 1], &(sq_ledger_options){ .values = true });
    cr_assert(l != NULL, "%s", sq_message(s.t));
    cr_expect(sq_ledger_cosine(l, 0, 0) == 0);
    EXPECT_NEAR(sq_ledger_cosine(l, T - 1, 0), 1, 1e-14, "all of it is immediate");
    sq_ledger_free(l);
    sq_tape_free(s.t);
    net_free(&n);
}
