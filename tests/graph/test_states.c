/* test_states.c -- states that a cell does not compute afresh: passed on unchanged, taken from the
 * input, given out twice; and ledgers of lists that are no sequence of steps. Oracles by hand. */
#include "tests/support/support.h"

enum { T = 4 };
static const double weights[T] = { 1, 2, 3, 4 };
static const int64_t one_wide[2] = { 1, 1 };

/* h' = h/2 + x at even steps, h at odd ones. */
static sq_var clockwork(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)self;
    if (sq_current_step(t) % 2 == 0) *h = sq_add(sq_mul_scalar(*h, .5), x);
    return *h;
}

/* A delay line: h' = x. */
static sq_var delay(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self;
    return *h = x;
}

/* Both states are the same variable. */
static sq_var twins(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    (void)t, (void)self;
    s[0] = s[1] = sq_add(sq_mul_scalar(s[0], .5), x);
    return s[0];
}

static const sq_unrolled *unroll(sq_tape *t, sq_step_fn *step, int32_t n_states)
{
    sq_cell cell = { "test", n_states, one_wide, NULL, step, NULL };
    sq_var x = sq_input(t, sq_shape3(T, 1, 1), ((double[]){ 1, 2, 4, 8 }));
    const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, NULL);
    cr_assert(u != NULL, "%s", sq_message(t));
    return u;
}

/* L = sum_t weights_t y_t */
static sq_var weighted_sum(sq_tape *t, const sq_unrolled *u)
{
    sq_var c = sq_input(t, sq_shape3(T, 1, 1), weights);
    return sq_sum(sq_mul(c, sq_unrolled_outputs(u)));
}

static void expect_totals(sq_tape *t, const sq_unrolled *u, const double *total)
{
    sq_var loss = weighted_sum(t, u);
    sq_ledger *l = sq_ledger_new(u, loss, NULL);
    cr_assert(l != NULL, "%s", sq_message(t));
    BACKWARD(loss);
    for (int i = 0; i < T; i++) {
        EXPECT_NEAR(sq_grad_item(sq_unrolled_state(u, i, 0)), total[i], 0, "dL/dh_t");
        EXPECT_NEAR(sq_ledger_total(l, i, 0), total[i], 0, "total");
        EXPECT_NEAR(sq_ledger_immediate(l, i, 0), weights[i], 0, "immediate");
    }
    ASSERT_HEALTHY(t);
    sq_ledger_free(l);
}

Test(states, passed_on_unchanged_keep_their_own_gradient)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    /* total_3 = 4, total_2 = 3 + 4, total_1 = 2 + 7/2, total_0 = 1 + 5.5 */
    expect_totals(t, unroll(t, clockwork, 1), (double[]){ 6.5, 5.5, 7, 4 });
    sq_tape_free(t);
}

Test(states, taken_from_a_constant_input_have_gradients)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    expect_totals(t, unroll(t, delay, 1), weights);
    sq_tape_free(t);
}

Test(states, given_out_twice_are_told_apart)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    const sq_unrolled *u = unroll(t, twins, 2);
    sq_var last[2];
    sq_unrolled_last(u, last);
    BACKWARD(sq_sum(sq_add(last[0], sq_mul_scalar(last[1], 10))));
    EXPECT_NEAR(sq_grad_item(last[1]), 10, 0, "the second state");
    EXPECT_NEAR(sq_grad_item(last[0]), 11, 0, "the first, of which the second is a copy");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(ledger, refuses_states_that_are_not_one_step_after_the_other)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var w = sq_leaf(t, sq_scalar(), (double[]){ .5 }), h[3];
    for (int i = 0; i < 3; i++) h[i] = sq_mul(w, i ? h[i - 1] : w);
    cr_expect(sq_ledger_of_states(h, 3, 1, h[2], NULL) == NULL);
    EXPECT_ERROR(t, SQ_EVALUE);
    w = sq_leaf(t, sq_scalar(), (double[]){ .5 });
    sq_begin_step(t);
    h[0] = h[1] = sq_mul(w, w);
    cr_expect(sq_ledger_of_states(h, 2, 1, h[1], NULL) == NULL);
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_free(t);
}

/* Two states by hand; a ledger of one alone answers the same before and after one of both. */
Test(ledger, answers_do_not_depend_on_earlier_ledgers)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var w = sq_leaf(t, sq_scalar(), (double[]){ .5 }), c = w, h = w, cs[T], both[T][2];
    for (int i = 0; i < T; i++) {
        sq_begin_step(t);
        c = sq_add(sq_mul(w, c), sq_mul_scalar(h, .25));
        h = sq_square(c);
        both[i][0] = cs[i] = c;
        both[i][1] = h;
    }
    sq_end_step(t);
    double before[T];
    sq_ledger *l = sq_ledger_of_states(cs, T, 1, h, NULL);
    for (int i = 0; i < T; i++) before[i] = sq_ledger_immediate(l, i, 0);
    sq_ledger_free(l);
    sq_ledger_free(sq_ledger_of_states(both[0], T, 2, h, NULL));
    l = sq_ledger_of_states(cs, T, 1, h, NULL);
    for (int i = 0; i < T; i++)
        cr_expect(before[i] == sq_ledger_immediate(l, i, 0), "step %d", i);
    sq_ledger_free(l);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}
