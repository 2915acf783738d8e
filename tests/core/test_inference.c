/* test_inference.c -- a tape that keeps values only: the same bits as with recording, constant
 * memory however long the stream, and sentences where a gradient is asked for. */
#include "tests/support/support.h"

enum { IN = 5, HIDDEN = 8, ROWS = 3 };

/* A stream of inputs for any step. */
static sq_var input_of(sq_tape *t, int64_t step)
{
    double x[ROWS * IN];
    fill(x, ROWS * IN, (uint64_t)step + 7, -1, 1);
    return sq_input(t, sq_mat(ROWS, IN), x);
}

static void start(sq_tape *t, sq_var state[2])
{
    for (int k = 0; k < 2; k++) state[k] = sq_zeros(t, sq_mat(ROWS, HIDDEN));
}

static sq_var one_step(sq_tape *t, const net *n, sq_var state[2], int64_t i)
{
    sq_begin_step(t);
    return n->cell.step(t, n->cell.self, input_of(t, i), state);
}

/* ---- Values ------------------------------------------------------------------------------- */

Test(inference, has_the_bits_of_recording)
{
    enum { STEPS = 40 };
    for (int dtype = 0; dtype < 2; dtype++) {
        net n;
        net_new(&n, (sq_dtype)dtype, IN, HIDDEN, 3);
        sq_tape *full = sq_tape_new((sq_dtype)dtype, n.params);
        sq_tape *t = sq_tape_new((sq_dtype)dtype, n.params);
        sq_tape_set_inference(t, true);
        sq_var a[2], b[2];
        start(full, a);
        start(t, b);
        for (int i = 0; i < STEPS; i++) {
            double x[ROWS * HIDDEN], y[ROWS * HIDDEN];
            cr_assert(sq_copy(one_step(full, &n, a, i), x) == SQ_OK);
            cr_assert(sq_copy(one_step(t, &n, b, i), y) == SQ_OK, "%s", sq_message(t));
            EXPECT_SAME_BITS(x, y, sizeof x, "outputs");
            ASSERT_HEALTHY(t);
        }
        cr_expect(sq_tape_statistics(t).steps <= 3);
        cr_expect(sq_tape_statistics(full).steps == STEPS);
        sq_tape_free(full);
        sq_tape_free(t);
        net_free(&n);
    }
}

/* The state of 100 000 steps later costs what that of the first hundred did. */
Test(inference, is_constant_in_memory)
{
    enum { WARM = 100, STEPS = 100000 };
    net n;
    net_new(&n, SQ_F32, IN, HIDDEN, 3);
    sq_tape *t = sq_tape_new(SQ_F32, n.params);
    sq_tape_set_inference(t, true);
    sq_var state[2];
    size_t held = 0;
    start(t, state);
    for (int i = 0; i < FEWER(STEPS); i++) {
        one_step(t, &n, state, i % 11);
        if (i == WARM) held = sq_tape_statistics(t).held_bytes;
    }
    ASSERT_HEALTHY(t);
    cr_expect(sq_tape_statistics(t).held_bytes == held, "%zu, was %zu",
              sq_tape_statistics(t).held_bytes, held);
    cr_expect(sq_current_step(t) == FEWER(STEPS) - 1);
    sq_tape_free(t);
    net_free(&n);
}

/* What is recorded between steps goes with them; the root stays. */
Test(inference, forgets_what_lies_between_steps_and_keeps_the_root)
{
    enum { WARM = 50, STEPS = 5000 };
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_inference(t, true);
    sq_var one = sq_constant(t, 1), h = sq_constant(t, 0), read = one;
    size_t held = 0;
    for (int i = 0; i < STEPS; i++) {
        sq_begin_step(t);
        h = sq_add(h, one);
        sq_end_step(t);
        read = sq_add(h, h);
        if (i == WARM) held = sq_tape_statistics(t).held_bytes;
    }
    cr_expect(sq_item(read) == 2 * STEPS);
    cr_expect(sq_tape_statistics(t).held_bytes == held);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* A memory that every step attends to is reached for, and so is kept. */
Test(inference, keeps_what_every_step_reaches_for)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_inference(t, true);
    sq_begin_step(t);
    sq_var memory = sq_constant(t, 3), h = sq_constant(t, 0);
    for (int i = 0; i < 20; i++) {
        sq_begin_step(t);
        h = sq_add(h, memory);
    }
    EXPECT_NEAR(sq_item(h), 60, 0, "sum");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(inference, carries_the_rest_by_a_cut)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_inference(t, true);
    sq_begin_step(t);
    sq_var rare = sq_constant(t, 3), h = sq_constant(t, 0);
    for (int i = 0; i < 20; i++) {
        sq_begin_step(t);
        cr_expect(sq_cut(t, 1, &rare, 1) == SQ_OK);
        h = sq_constant(t, i);
    }
    EXPECT_NEAR(sq_item(sq_add(h, rare)), 22, 0, "sum");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* ---- Unrolls ------------------------------------------------------------------------------ */

/* Chunk after chunk, two layers, each an unroll of its own: nothing goes stale, and memory does
 * not grow. */
Test(inference, streams_through_unrolls)
{
    enum { WARM = 20, CHUNKS = 400, STEPS = 4 };
    static const sq_mode modes[] = { SQ_AUTO, SQ_EAGER };
    double got[2][ROWS * HIDDEN];
    for (int m = 0; m < COUNT(modes); m++) {
        net a, b;
        net_new(&a, SQ_F64, IN, HIDDEN, 3);
        sq_lstm second;
        cr_assert(sq_lstm_init(&second, a.params, "second", HIDDEN, HIDDEN, 9) == SQ_OK);
        b = a;
        b.cell = sq_lstm_cell(&second);
        sq_tape *t = sq_tape_new(SQ_F64, a.params);
        sq_tape_set_inference(t, true);
        sq_unroll_options o = { .mode = modes[m] };
        sq_var below[2], above[2];
        start(t, below);
        start(t, above);
        size_t held = 0;
        for (int c = 0; c < CHUNKS; c++) {
            double x[STEPS * ROWS * IN];
            fill(x, COUNT(x), (uint64_t)(c % 7), -1, 1);
            sq_var in = sq_input(t, sq_shape3(STEPS, ROWS, IN), x);
            const sq_unrolled *u = sq_unroll(t, &a.cell, in, below, &o);
            const sq_unrolled *v = sq_unroll(t, &b.cell, sq_unrolled_outputs(u), above, &o);
            sq_unrolled_last(u, below);
            sq_unrolled_last(v, above);
            if (c == WARM) held = sq_tape_statistics(t).held_bytes;
        }
        ASSERT_HEALTHY(t);
        cr_expect(sq_tape_statistics(t).held_bytes == held);
        cr_assert(sq_copy(above[0], got[m]) == SQ_OK);
        sq_tape_free(t);
        net_free(&a);
    }
    EXPECT_ALL_NEAR(got[0], got[1], ROWS * HIDDEN, 1e-12, "plan and eager");
}

/* ---- Refusals ----------------------------------------------------------------------------- */

Test(inference, has_no_gradients)
{
    const char *want = "the tape keeps values only: there are no gradients unless "
                       "sq_tape_set_inference is off";
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    for (int i = 0; i < 5; i++) {
        sq_tape_set_inference(t, true);
        cr_expect(sq_tape_inference(t));
        sq_begin_step(t);
        sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 3 }), gx;
        sq_var y = sq_keep_grad(sq_name(sq_mul(x, sq_use(t, w)), "y"));
        EXPECT_NEAR(sq_item(y), 6, 0, "value");
        double g;
        if (i == 0) cr_expect(sq_backward(y) == SQ_EGRAD);
        if (i == 1) cr_expect(sq_derive(y, &x, &gx, 1) == SQ_EGRAD);
        if (i == 2) cr_expect(isnan(sq_grad_item(x)));
        if (i == 3) cr_expect(sq_grads(t) == NULL);
        if (i == 4) cr_expect(sq_weight_grad(t, w, &g) == SQ_EGRAD);
        EXPECT_CONTAINS(sq_message(t), want);
        EXPECT_ERROR(t, SQ_EGRAD);
        sq_tape_set_inference(t, false);
        cr_expect(sq_tape_inference(t) == false);
        x = sq_leaf(t, sq_scalar(), (double[]){ 3 });
        BACKWARD(sq_mul(x, sq_use(t, w)));
        EXPECT_NEAR(number_grad(t, w), 3, 0, "dy/dw");
        sq_zero_grads(t);
        sq_tape_reset(t);
    }
    sq_tape_free(t);
    sq_params_free(p);
}

/* Weights taken in the root during inference can be swept after the switch. */
Test(inference, may_end_after_the_root)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_tape_set_inference(t, true);
    sq_var y = sq_square(sq_use(t, w));
    sq_tape_set_inference(t, false);
    BACKWARD(y);
    EXPECT_NEAR(number_grad(t, w), 4, 0, "dy/dw");
    sq_tape_free(t);
    sq_params_free(p);
}

Test(inference, is_switched_between_runs)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_tape_set_inference(t, true);
    EXPECT_CONTAINS(sq_message(t), "tape_set_inference: the tape has steps already");
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_set_inference(t, true);
    sq_tape_reset(t);
    cr_expect(sq_tape_inference(t));
    cr_expect(sq_tape_inference(NULL) == false);
    sq_tape_set_inference(NULL, true);
    sq_tape_free(t);
}

Test(inference, says_what_it_forgot)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_inference(t, true);
    sq_begin_step(t);
    sq_var old = sq_constant(t, 1);
    for (int i = 0; i < 3; i++) sq_begin_step(t);
    sq_add(old, old);
    EXPECT_CONTAINS(sq_message(t), "operand 1 is stale: its step 0 was cut; inference keeps");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_tape_free(t);
}
