/* test_ledger_backward.c -- a ledger that is the training's sweep as well: sq_backward to the last bit,
 * and the same numbers as a ledger beside it. */
#include "tests/support/random_run.h"

/* ---- Random cells, eager, planned, with memory to spare or not ------------------------------ */

/* What a ledger tells: values of totals and immediate gradients, norms of weights' parts. */
static void write_ledger(const sq_ledger *l, const rc_run *r, trace *t)
{
    for (int64_t i = 0; i < sq_ledger_steps(l); i++)
        for (int32_t k = 0; k < sq_ledger_n_states(l); k++) {
            sq_shape s = sq_shape_of(sq_unrolled_state(r->u, i, k));
            trace_numbers(t, "total", sq_ledger_total_values(l, i, k), s);
            trace_numbers(t, "immediate", sq_ledger_immediate_values(l, i, k), s);
        }
}

static bool weights_agree(const sq_ledger *a, const sq_ledger *b, const rc_run *r, char *why,
                          size_t n)
{
    for (int w = 1; w <= sq_params_count(r->params); w++)
        for (int64_t i = 0; i <= sq_ledger_steps(a); i++) {
            double x = sq_ledger_weight(a, i, (sq_weight){ w });
            double y = sq_ledger_weight(b, i, (sq_weight){ w });
            if ((isnan(x) && isnan(y)) || fabs(x - y) <= 1e-12 * fabs(y)) continue;
            snprintf(why, n, "weight %d at %d: %g, not %g", w, (int)i, x, y);
            return false;
        }
    return true;
}

/* One run: sq_backward and a ledger beside it, or the ledger alone. */
static sq_ledger *one_run(rc_run *r, const random_cell *c, const rc_setup *setup, bool alone,
                          trace *grads, trace *told)
{
    rc_open(r, c, *setup);
    rc_feed(r);
    rc_unroll(r);
    sq_var loss = rc_loss(r, 1);
    if (!alone && sq_backward(loss)) return NULL;
    sq_ledger_options o = { .values = true, .weights = true, .backward = alone };
    sq_ledger *l = sq_ledger_new(r->u, loss, &o);
    if (!l) return NULL;
    rc_read_grads(r, grads);
    write_ledger(l, r, told);
    return l;
}

static const rc_setup setups[] = {
    { .dtype = SQ_F64, .mode = SQ_EAGER },
    { .dtype = SQ_F64, .mode = SQ_AUTO, .threads = 2 },
    { .dtype = SQ_F32, .mode = SQ_AUTO },
    { .dtype = SQ_F64, .mode = SQ_EAGER, .memory = { .every = 2, .state_grads = true } },
    { .dtype = SQ_F64, .mode = SQ_AUTO, .memory = { .every = 3, .state_grads = true } },
};

static bool is_the_sweep(const random_cell *c, char *why, size_t n)
{
    bool ok = true;
    for (int k = 0; ok && k < COUNT(setups); k++) {
        rc_setup setup = setups[k];
        rc_run a, b;
        trace of_a = { .n = 0 }, of_b = { .n = 0 }, told_a = { .n = 0 }, told_b = { .n = 0 };
        setup.T = c->T, setup.B = c->B, setup.data = c->seed;
        sq_ledger *beside = one_run(&a, c, &setup, false, &of_a, &told_a);
        sq_ledger *alone = one_run(&b, c, &setup, true, &of_b, &told_b);
        ok = beside && alone && trace_equal(&of_b, &of_a, why, n) &&
             trace_equal(&told_b, &told_a, why, n) && weights_agree(alone, beside, &b, why, n);
        if (!beside || !alone)
            snprintf(why, n, "setup %d: %s", k, sq_message(beside ? b.t : a.t));
        sq_ledger_free(beside);
        sq_ledger_free(alone);
        trace_free(&of_a);
        trace_free(&of_b);
        trace_free(&told_a);
        trace_free(&told_b);
        rc_close(&a);
        rc_close(&b);
    }
    return ok;
}

Test(backward, is_the_training_s_sweep_of_random_cells, .timeout = 120)
{
    rc_over("ledger as the sweep", 1, FEWER(100), 1e3, is_the_sweep);
}

/* ---- An LSTM with a readout ---------------------------------------------------------------- */

enum { T = 9, B = 3, IN = 4, H = 5, O = 2 };

typedef struct lstm {
    sq_params *p;
    sq_lstm w;
    sq_weight V, a;
    sq_tape *t;
    const sq_unrolled *u;
    sq_var loss;
} lstm;

static void lstm_new(lstm *m)
{
    m->p = sq_params_new(SQ_F64);
    sq_lstm_init(&m->w, m->p, "lstm", IN, H, 3);
    m->V = sq_params_add(m->p, "V", sq_mat(H, O));
    m->a = sq_params_add(m->p, "a", sq_vec(O));
    sq_init_uniform_hidden(m->p, m->V, H, 3);
    m->t = sq_tape_new(SQ_F64, m->p);
    cr_assert(sq_params_status(m->p) == SQ_OK);
}

static void lstm_run(lstm *m)
{
    double x[T * B * IN], y[T * B * O];
    sq_cell cell = sq_lstm_cell(&m->w);
    fill(x, COUNT(x), 5, -1, 1);
    fill(y, COUNT(y), 6, -1, 1);
    sq_tape_reset(m->t);
    sq_var xs = sq_input_f64(m->t, sq_shape3(T, B, IN), x);
    m->u = sq_unroll(m->t, &cell, xs, NULL, NULL);
    sq_var out = sq_affine(sq_unrolled_outputs(m->u), sq_use(m->t, m->V), sq_use(m->t, m->a));
    m->loss = sq_squared_error(out, sq_input_f64(m->t, sq_shape3(T, B, O), y), SQ_MEAN);
}

static void lstm_free(lstm *m)
{
    sq_tape_free(m->t);
    sq_params_free(m->p);
}

/* Weights accumulate from call to call as they do from sweep to sweep, the readout's included, with
 * whatever else the ledger was asked for. */
Test(backward, accumulates_as_a_sweep_does)
{
    static const sq_ledger_options asked[] = {
        { .backward = true },
        { .backward = true, .weights = true },
        { .backward = true, .weights = true, .gates = true },
        { .backward = true, .contribution = true, .far_steps = 2, .values = true },
    };
    for (int k = 0; k < COUNT(asked); k++) {
        lstm a, b;
        lstm_new(&a);
        lstm_new(&b);
        for (int i = 0; i < 2; i++) {
            lstm_run(&a);
            lstm_run(&b);
            BACKWARD(a.loss);
            sq_ledger *l = sq_ledger_new(b.u, b.loss, &asked[k]);
            ASSERT_HEALTHY(b.t);
            cr_assert_not_null(l);
            for (int j = 0; j < T; j++)
                cr_assert_eq(sq_grad_norm(sq_unrolled_state(b.u, j, 1)),
                             sq_ledger_total(l, j, 1));
            sq_ledger_free(l);
        }
        EXPECT_SAME_BITS(sq_grads(b.t), sq_grads(a.t), params_bytes(a.p), "weight gradients");
        lstm_free(&a);
        lstm_free(&b);
    }
}

/* The readout is used outside the steps: its part is there, and is all of its gradient. */
Test(backward, tells_what_lies_outside)
{
    lstm m;
    lstm_new(&m);
    lstm_run(&m);
    sq_ledger *l =
        sq_ledger_new(m.u, m.loss, &(sq_ledger_options){ .backward = true, .weights = true });
    ASSERT_HEALTHY(m.t);
    double v[H * O], squares = 0;
    cr_assert(sq_weight_grad_f64(m.t, m.V, v) == SQ_OK);
    for (int i = 0; i < H * O; i++) squares += v[i] * v[i];
    double outside = sq_ledger_weight(l, T, m.V);
    cr_assert_float_eq(outside, sqrt(squares), 1e-12 * sqrt(squares));
    cr_assert(outside > 0);
    cr_assert_eq(sq_ledger_weight(l, 0, m.V), 0);
    sq_ledger_free(l);
    lstm_free(&m);
}

/* A loop by hand: states nobody declared keep no gradient in the training's sweep. */
Test(backward, of_a_loop_by_hand)
{
    lstm m;
    sq_var h[T * 2], state[2], sum;
    double x[B * IN];
    lstm_new(&m);
    sq_cell cell = sq_lstm_cell(&m.w);
    double *grads = malloc(params_bytes(m.p)), total[T];
    for (int pass = 0; pass < 2; pass++) {
        sq_tape_reset(m.t);
        sq_zero_grads(m.t);
        state[0] = state[1] = sq_zeros(m.t, sq_mat(B, H));
        sum = sq_zeros(m.t, sq_scalar());
        for (int i = 0; i < T; i++) {
            sq_begin_step(m.t);
            fill(x, COUNT(x), 20 + (uint64_t)i, -1, 1);
            cell.step(m.t, cell.self, sq_input_f64(m.t, sq_mat(B, IN), x), state);
            h[2 * i] = state[0], h[2 * i + 1] = state[1];
            sum = sq_add(sum, sq_sum(sq_square(state[0])));
        }
        sq_ledger_options o = { .weights = true, .backward = pass == 1 };
        if (pass == 0) BACKWARD(sum);
        sq_ledger *l = sq_ledger_of_states(h, T, 2, sum, &o);
        ASSERT_HEALTHY(m.t);
        for (int i = 0; i < T; i++) {
            if (pass == 0) total[i] = sq_ledger_total(l, i, 0);
            else cr_assert_eq(sq_ledger_total(l, i, 0), total[i]);
        }
        if (pass == 0) memcpy(grads, sq_grads(m.t), params_bytes(m.p));
        sq_ledger_free(l);
    }
    EXPECT_SAME_BITS(sq_grads(m.t), grads, params_bytes(m.p), "weight gradients");
    free(grads);
    lstm_free(&m);
}

/* Characters by number: the weights' sums are made over equal rows, their norms step by step. */
Test(backward, of_an_input_that_is_rows_of_a_table)
{
    enum { LONG = 40, ROWS = 4, CHARS = 24 };
    int32_t ids[LONG * ROWS];
    double *grads = NULL, norm[LONG];
    rng r = { 3 };
    sq_lstm w;
    sq_params *p = sq_params_new(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    cr_assert(sq_lstm_init(&w, p, "lstm", CHARS, H, 3) == SQ_OK);
    sq_cell cell = sq_lstm_cell(&w);
    for (int i = 0; i < COUNT(ids); i++) ids[i] = rng_below(&r, CHARS);
    for (int pass = 0; pass < 2; pass++) {
        sq_tape_reset(t);
        sq_zero_grads(t);
        sq_var x = sq_one_hot(t, ids, COUNT(ids), CHARS);
        const sq_unrolled *u =
            sq_unroll(t, &cell, sq_reshape(x, sq_shape3(LONG, ROWS, CHARS)), NULL, NULL);
        char text[4096];
        sq_plan_explain(u, text, sizeof text);
        cr_assert(strstr(text, "rows of a table") != NULL, "%s", text);
        sq_var loss = sq_sum(sq_square(sq_unrolled_outputs(u)));
        if (pass == 0) BACKWARD(loss);
        sq_ledger *l = sq_ledger_new(
            u, loss, &(sq_ledger_options){ .weights = true, .backward = pass == 1 });
        ASSERT_HEALTHY(t);
        for (int i = 0; i < LONG; i++) {
            double x_of = sq_ledger_weight(l, i, w.W[2]);
            if (pass == 0) norm[i] = x_of;
            cr_assert(x_of > 0 && fabs(x_of - norm[i]) <= 1e-12 * norm[i]);
        }
        if (pass == 0) {
            grads = malloc(params_bytes(p));
            memcpy(grads, sq_grads(t), params_bytes(p));
        }
        sq_ledger_free(l);
    }
    EXPECT_SAME_BITS(sq_grads(t), grads, params_bytes(p), "weight gradients");
    free(grads);
    sq_tape_free(t);
    sq_params_free(p);
}
