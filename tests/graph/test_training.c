/* test_training.c -- whole training loops: they learn, they repeat to the bit, they hold their
 * memory, and the ways of running them (reset, cut, a fresh tape) agree.
 *
 * The task is small on purpose: the next value of a sine wave, from a [T,1,1] window. */
#include "tests/support/support.h"

enum { T = 20, B = 4, H = 8, UPDATES = 150 };

static double wave(int i, int row) { return sin(.3 * i + 1.7 * row); }

static void window(int start, double *x, double *y)
{
    for (int i = 0; i < T; i++)
        for (int b = 0; b < B; b++) {
            x[i * B + b] = (double)(float)wave(start + i, b);
            y[i * B + b] = (double)(float)wave(start + i + 1, b);
        }
}

typedef enum way { RESET, FRESH_TAPE } way;

typedef struct trainer {
    net n;
    sq_weight V, c;
    sq_tape *t;
    sq_optim *o;
    sq_dtype dtype;
} trainer;

static void trainer_new(trainer *tr, sq_dtype dtype, uint64_t seed)
{
    tr->dtype = dtype;
    net_new(&tr->n, dtype, 1, H, seed);
    tr->V = sq_params_add(tr->n.params, "V", sq_mat(H, 1));
    tr->c = sq_params_add(tr->n.params, "c", sq_vec(1));
    cr_assert(sq_init_glorot(tr->n.params, tr->V, 1, seed) == SQ_OK);
    tr->t = sq_tape_new(dtype, tr->n.params);
    sq_optim_options o = { .kind = SQ_ADAM, .rate = .02 };
    tr->o = sq_optim_new(tr->n.params, &o);
    cr_assert(tr->o != NULL);
}

static void trainer_free(trainer *tr)
{
    sq_optim_free(tr->o);
    sq_tape_free(tr->t);
    net_free(&tr->n);
}

static double update(trainer *tr, way how, int i)
{
    double x[T * B], y[T * B], loss;
    window(i * 3, x, y);
    if (how == FRESH_TAPE) {
        sq_tape_free(tr->t);
        tr->t = sq_tape_new(tr->dtype, tr->n.params);
    } else if (how == RESET) {
        sq_tape_reset(tr->t);
    }
    sq_tape *t = tr->t;
    sq_zero_grads(t);
    const sq_unrolled *u =
        sq_unroll(t, &tr->n.cell, sq_input(t, sq_shape3(T, B, 1), x), NULL, NULL);
    sq_var out = sq_affine(sq_unrolled_outputs(u), sq_use(t, tr->V), sq_use(t, tr->c));
    sq_var l = sq_mse(out, sq_input(t, sq_shape3(T, B, 1), y));
    BACKWARD(l);
    loss = sq_item(l);
    cr_assert(sq_clip_norm(t, 1, NULL) == SQ_OK && sq_optim_step(tr->o, t) == SQ_OK, "%s",
              sq_message(t));
    return loss;
}

Test(training, an_lstm_learns_a_wave)
{
    for (int dtype = 0; dtype < 2; dtype++) {
        trainer tr;
        trainer_new(&tr, (sq_dtype)dtype, 7);
        double first = update(&tr, RESET, 0), last = 0;
        for (int i = 1; i < UPDATES; i++) last = update(&tr, RESET, i);
        /* a wave of amplitude 1 has variance 1/2; repeating the last value errs by
         * mean (2 sin .15 cos)^2 = 2 sin^2 .15 = .0447: learning must beat that */
        cr_expect(first > .2, "at the start: %g", first);
        cr_expect(last < .0447, "after %d updates: %g", UPDATES, last);
        ASSERT_HEALTHY(tr.t);
        trainer_free(&tr);
    }
}

Test(training, reset_and_a_fresh_tape_give_the_same_weights)
{
    for (int dtype = 0; dtype < 2; dtype++) {
        trainer a, b;
        trainer_new(&a, (sq_dtype)dtype, 7);
        trainer_new(&b, (sq_dtype)dtype, 7);
        for (int i = 0; i < 20; i++) {
            double la = update(&a, RESET, i), lb = update(&b, FRESH_TAPE, i);
            cr_assert(la == lb, "update %d: %.17g, %.17g", i, la, lb);
        }
        EXPECT_SAME_BITS(sq_params_view(a.n.params), sq_params_view(b.n.params),
                         params_bytes(a.n.params), "weights");
        trainer_free(&a);
        trainer_free(&b);
    }
}

Test(training, memory_does_not_grow)
{
    trainer tr;
    trainer_new(&tr, SQ_F32, 7);
    size_t held = 0;
    for (int i = 0; i < 60; i++) {
        update(&tr, RESET, i);
        size_t now = sq_tape_statistics(tr.t).held_bytes;
        if (i == 9) held = now;
        if (i > 9) cr_expect(now == held, "update %d: %zu, not %zu", i, now, held);
    }
    trainer_free(&tr);
}

/* A gradient penalty, a ledger and marked variables in every update of a stream. */
Test(training, derivatives_and_ledgers_hold_their_memory)
{
    trainer tr;
    trainer_new(&tr, SQ_F64, 7);
    sq_tape *t = tr.t;
    sq_var s[2] = { { 0 } };
    double x[T * B], y[T * B];
    size_t held = 0;
    for (int i = 0; i < 60; i++) {
        window(i * T, x, y);
        sq_zero_grads(t);
        sq_var in = sq_leaf(t, sq_shape3(T, B, 1), x), dx = { 0 };
        const sq_unrolled *u =
            sq_unroll(t, &tr.n.cell, in, s, &(sq_unroll_options){ .mode = SQ_EAGER });
        sq_var out = sq_affine(sq_unrolled_outputs(u), sq_use(t, tr.V), sq_use(t, tr.c));
        sq_var l = sq_name(sq_mse(out, sq_input(t, sq_shape3(T, B, 1), y)), "mse");
        cr_assert(sq_derive(l, &in, &dx, 1) == SQ_OK, "%s", sq_message(t));
        sq_var loss = sq_add(l, sq_sum(sq_square(dx)));
        sq_ledger_free(sq_ledger_new(u, l, NULL));
        BACKWARD(loss);
        cr_assert(sq_optim_step(tr.o, t) == SQ_OK, "%s", sq_message(t));
        sq_unrolled_last(u, s);
        cr_assert(sq_cut(t, 3, s, 2) == SQ_OK, "%s", sq_message(t));
        size_t now = sq_tape_statistics(t).held_bytes;
        if (i == 19) held = now;
        if (i > 19) cr_expect(now == held, "update %d: %zu, not %zu", i, now, held);
    }
    ASSERT_HEALTHY(t);
    trainer_free(&tr);
}

/* Streaming: states carried over cuts, an update every window, never a reset. */
Test(training, streaming_with_cuts_learns_and_holds_its_memory)
{
    trainer tr;
    trainer_new(&tr, SQ_F32, 7);
    sq_tape *t = tr.t;
    sq_var s[2] = { { 0 } };
    double x[T * B], y[T * B], first = 0, last = 0;
    size_t held = 0;
    for (int i = 0; i < UPDATES; i++) {
        window(i * T, x, y);
        sq_zero_grads(t);
        sq_var in = sq_input(t, sq_shape3(T, B, 1), x);
        const sq_unrolled *u = sq_unroll(t, &tr.n.cell, in, s, NULL);
        sq_var out = sq_affine(sq_unrolled_outputs(u), sq_use(t, tr.V), sq_use(t, tr.c));
        sq_var l = sq_mse(out, sq_input(t, sq_shape3(T, B, 1), y));
        BACKWARD(l);
        last = sq_item(l);
        if (i == 0) first = last;
        cr_assert(sq_clip_norm(t, 1, NULL) == SQ_OK && sq_optim_step(tr.o, t) == SQ_OK);
        sq_unrolled_last(u, s);
        cr_assert(sq_cut(t, 0, s, 2) == SQ_OK, "%s", sq_message(t));
        size_t now = sq_tape_statistics(t).held_bytes;
        if (i == 9) held = now;
        if (i > 9) cr_expect(now == held, "update %d: %zu, not %zu", i, now, held);
    }
    cr_expect(first > .2 && last < .0447, "%g to %g", first, last);
    ASSERT_HEALTHY(t);
    trainer_free(&tr);
}

/* What is carried while the root grows must not pile up: inputs made between steps, for
 * instance. The same stream step by step, cutting to a window of five after each. */
Test(training, a_sliding_window_over_updates_every_step)
{
    trainer tr;
    trainer_new(&tr, SQ_F64, 7);
    sq_tape *t = tr.t;
    sq_var s[2] = { sq_zeros(t, sq_mat(B, H)), sq_zeros(t, sq_mat(B, H)) };
    double x[T * B], y[T * B], sum[2] = { 0 };
    size_t held = 0;
    for (int i = 0; i < 1500; i++) {
        if (i % T == 0) window(i, x, y);
        sq_begin_step(t);
        tr.n.cell.step(t, tr.n.cell.self, sq_input(t, sq_mat(B, 1), x + i % T * B), s);
        sq_var out = sq_affine(s[0], sq_use(t, tr.V), sq_use(t, tr.c));
        sq_var l = sq_mse(out, sq_input(t, sq_mat(B, 1), y + i % T * B));
        sq_zero_grads(t);
        BACKWARD(l);
        if (i < 50) sum[0] += sq_item(l) / 50;
        if (i >= 1450) sum[1] += sq_item(l) / 50;
        cr_assert(sq_clip_norm(t, 1, NULL) == SQ_OK && sq_optim_step(tr.o, t) == SQ_OK);
        cr_assert(sq_cut(t, 5, s, 2) == SQ_OK, "%s", sq_message(t));
        size_t now = sq_tape_statistics(t).held_bytes;
        if (i == 100) held = now;
        if (i > 100) cr_assert(now == held, "step %d: %zu, not %zu", i, now, held);
    }
    cr_expect(sum[1] < .5 * sum[0], "%g to %g", sum[0], sum[1]);
    ASSERT_HEALTHY(t);
    trainer_free(&tr);
}

/* ---- The cell of the design, written by a user ------------------------------------------- */

typedef struct mgu {
    sq_weight W, U, b, V, R, d;
} mgu;

static sq_var mgu_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const mgu *w = self;
    sq_var f = sq_sigmoid(
        sq_add(sq_affine(x, sq_use(t, w->W), sq_use(t, w->b)), sq_matmul(*h, sq_use(t, w->U))));
    sq_var c = sq_tanh(sq_add(sq_affine(x, sq_use(t, w->V), sq_use(t, w->d)),
                              sq_matmul(sq_mul(f, *h), sq_use(t, w->R))));
    return *h = sq_add(*h, sq_mul(sq_name(f, "f"), sq_sub(c, *h)));
}

Test(user, a_cell_of_one_s_own_equals_the_library_s)
{
    enum { IN = 3 };
    sq_params *p = sq_params_new(SQ_F64);
    sq_mgu lib;
    cr_assert(sq_mgu_init(&lib, p, "mgu", IN, H, 3) == SQ_OK);
    const mgu own = { lib.W, lib.U, lib.b, lib.V, lib.R, lib.d };
    const int64_t width[1] = { H };
    sq_cell cell[2] = { { "own mgu", 1, width, NULL, mgu_step, &own }, sq_mgu_cell(&lib) };
    double x[T * B * IN], y[2][T * B * H], *g[2];
    fill(x, COUNT(x), 3, -1, 1);
    for (int k = 0; k < 2; k++) {
        sq_tape *t = sq_tape_new(SQ_F64, p);
        const sq_unrolled *u =
            sq_unroll(t, &cell[k], sq_input(t, sq_shape3(T, B, IN), x), NULL, NULL);
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        sq_copy(sq_unrolled_outputs(u), y[k]);
        g[k] = grads_copy(t);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    EXPECT_ALL_NEAR(y[0], y[1], COUNT(y[0]), 1e-14, "outputs");
    EXPECT_ALL_NEAR(g[0], g[1], sq_params_size(p), 1e-13, "weight gradients");
    free(g[0]);
    free(g[1]);
    sq_params_free(p);
}
