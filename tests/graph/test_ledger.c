/* test_ledger.c -- total against immediate gradients, and that looking changes nothing.
 *
 * Oracles: arithmetic by hand for scalar recurrences; for an LSTM the identity
 *     total_t = immediate_t + (what total_(t+1) sends back through one step)
 * with the immediate part and the one step computed on separate tapes of a single step. */
#include "tests/support/support.h"

/* h_t = w h_(t-1) + x_t */
static sq_var linear(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_weight *w = self;
    return *state = sq_add(sq_mul(sq_use(t, *w), *state), x);
}

static const int64_t one_wide[1] = { 1 };
static const double w0 = .25;

typedef struct scalar_run {
    sq_params *p;
    sq_weight w;
    sq_tape *t;
    sq_cell cell;
} scalar_run;

static void scalar_new(scalar_run *r)
{
    r->p = sq_params_new(SQ_F64);
    r->w = add_number(r->p, "w", w0);
    r->t = sq_tape_new(SQ_F64, r->p);
    r->cell = (sq_cell){ "linear", 1, one_wide, NULL, linear, &r->w };
}

static void scalar_free(scalar_run *r)
{
    sq_tape_free(r->t);
    sq_params_free(r->p);
}

/* L = h_1 + 2 h_2 + 3 h_3: immediate 1, 2, 3; total 1 + 2 w + 3 w^2, 2 + 3 w, 3. */
static void expect_hand_values(const sq_ledger *l)
{
    const double total[3] = { 1 + 2 * w0 + 3 * w0 * w0, 2 + 3 * w0, 3 };
    cr_assert(l != NULL);
    cr_expect(sq_ledger_steps(l) == 3 && sq_ledger_n_states(l) == 1);
    for (int i = 0; i < 3; i++) {
        EXPECT_NEAR(sq_ledger_total(l, i, 0), total[i], 1e-15, "total");
        EXPECT_NEAR(sq_ledger_immediate(l, i, 0), i + 1, 0, "immediate");
    }
}

Test(by_hand, of_an_unroll_with_the_loss_outside)
{
    scalar_run r;
    scalar_new(&r);
    sq_var x = sq_input(r.t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 4 }));
    const sq_unrolled *u = sq_unroll(r.t, &r.cell, x, NULL, NULL);
    sq_var c = sq_input(r.t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 3 }));
    sq_ledger *l = sq_ledger_new(u, sq_sum(sq_mul(c, sq_unrolled_outputs(u))), NULL);
    expect_hand_values(l);
    cr_expect(sq_ledger_total_values(l, 0, 0) == NULL, "values were not asked for");
    cr_expect(sq_ledger_immediate_values(l, 0, 0) == NULL);
    sq_ledger_free(l);
    ASSERT_HEALTHY(r.t);
    scalar_free(&r);
}

Test(by_hand, of_an_unroll_with_the_loss_on_state_handles)
{
    scalar_run r;
    scalar_new(&r);
    sq_var x = sq_input(r.t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 4 }));
    const sq_unrolled *u = sq_unroll(r.t, &r.cell, x, NULL, NULL);
    sq_var loss = sq_constant(r.t, 0);
    for (int i = 0; i < 3; i++)
        loss = sq_add(loss, sq_mul_scalar(sq_sum(sq_unrolled_state(u, i, 0)), i + 1));
    sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .values = true });
    expect_hand_values(l);
    for (int i = 0; i < 3; i++) {
        cr_assert(sq_ledger_total_values(l, i, 0) != NULL);
        cr_expect(sq_ledger_immediate_values(l, i, 0)[0] == i + 1);
        cr_expect(fabs(sq_ledger_total_values(l, i, 0)[0]) == sq_ledger_total(l, i, 0));
    }
    sq_ledger_free(l);
    ASSERT_HEALTHY(r.t);
    scalar_free(&r);
}

/* The loop by hand; losses after the last step, or each in its own step and summed up along the
 * way, as the README writes it: the sum runs through later steps, but not through states. */
Test(by_hand, of_a_loop)
{
    for (int inside = 0; inside < 3; inside++) {
        scalar_run r;
        scalar_new(&r);
        sq_var h = sq_constant(r.t, 0), hs[3], part[3], loss = sq_constant(r.t, 0);
        for (int i = 0; i < 3; i++) {
            sq_begin_step(r.t);
            linear(r.t, &r.w, sq_constant(r.t, i + 1), &h);
            hs[i] = h;
            if (inside) part[i] = sq_mul_scalar(h, i + 1);
            if (inside == 2) loss = sq_add(loss, part[i]);
        }
        sq_end_step(r.t);
        for (int i = 0; inside < 2 && i < 3; i++)
            loss = sq_add(loss, inside ? part[i] : sq_mul_scalar(hs[i], i + 1));
        sq_ledger *l = sq_ledger_of_states(hs, 3, 1, loss, NULL);
        cr_assert(l != NULL, "%s", sq_message(r.t));
        expect_hand_values(l);
        sq_ledger_free(l);
        ASSERT_HEALTHY(r.t);
        scalar_free(&r);
    }
}

/* A loss on the last state only: nothing is immediate but the end; totals are powers of w. */
Test(by_hand, a_loss_on_the_last_step)
{
    enum { T = 12 };
    scalar_run r;
    scalar_new(&r);
    sq_var x = sq_zeros(r.t, sq_shape3(T, 1, 1));
    sq_unroll_options o = { .outputs = SQ_OUTPUTS_LAST };
    const sq_unrolled *u = sq_unroll(r.t, &r.cell, x, NULL, &o);
    sq_ledger *l = sq_ledger_new(u, sq_sum(sq_unrolled_outputs(u)), NULL);
    cr_assert(l != NULL, "%s", sq_message(r.t));
    for (int i = 0; i < T; i++) {
        EXPECT_NEAR(sq_ledger_total(l, i, 0) / pow(w0, T - 1 - i), 1, 1e-14, "w^(T-1-t)");
        cr_expect(sq_ledger_immediate(l, i, 0) == (i == T - 1));
    }
    sq_ledger_free(l);
    scalar_free(&r);
}

/* No leaf and no trained weight anywhere: frozen weights, constant states. The states have
 * gradients all the same; zeros would be a wrong answer. */
Test(by_hand, of_a_frozen_cell_from_constants)
{
    scalar_run r;
    scalar_new(&r);
    cr_assert(sq_weight_set_frozen(r.p, r.w, true) == SQ_OK);
    sq_var x = sq_input(r.t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 4 }));
    sq_var h0 = sq_input(r.t, sq_mat(1, 1), (double[]){ 1 });
    const sq_unrolled *u = sq_unroll(r.t, &r.cell, x, &h0, NULL);
    sq_var c = sq_input(r.t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 3 }));
    sq_ledger *l = sq_ledger_new(u, sq_sum(sq_mul(c, sq_unrolled_outputs(u))), NULL);
    if (l || sq_tape_status(r.t) == SQ_OK) expect_hand_values(l);
    else EXPECT_STATUS(r.t, SQ_EGRAD); /* or a sentence that says why not */
    sq_ledger_free(l);
    scalar_free(&r);
}

Test(by_hand, of_a_frozen_loop_from_constants)
{
    scalar_run r;
    scalar_new(&r);
    cr_assert(sq_weight_set_frozen(r.p, r.w, true) == SQ_OK);
    sq_var h = sq_constant(r.t, 1), hs[3], loss = sq_constant(r.t, 0);
    for (int i = 0; i < 3; i++) {
        sq_begin_step(r.t);
        linear(r.t, &r.w, sq_constant(r.t, i), &h);
        hs[i] = h;
    }
    sq_end_step(r.t);
    for (int i = 0; i < 3; i++) loss = sq_add(loss, sq_mul_scalar(hs[i], i + 1));
    sq_ledger *l = sq_ledger_of_states(hs, 3, 1, loss, NULL);
    if (l || sq_tape_status(r.t) == SQ_OK) expect_hand_values(l);
    else EXPECT_STATUS(r.t, SQ_EGRAD);
    sq_ledger_free(l);
    scalar_free(&r);
}

/* A tape that keeps values only has nothing to look at: the sentence names the switch, not the
 * states that such a tape forgot. */
Test(by_hand, of_inference_names_the_switch)
{
    for (int i = 0; i < 4; i++) {
        scalar_run r;
        scalar_new(&r);
        sq_tape_set_inference(r.t, true);
        sq_var x = sq_zeros(r.t, sq_shape3(3, 1, 1)), hs[3], h = sq_constant(r.t, 1);
        sq_unroll_options o = { .outputs = SQ_OUTPUTS_SUM, .mode = i ? SQ_EAGER : SQ_PLAN };
        const sq_unrolled *u = i < 2 ? sq_unroll(r.t, &r.cell, x, NULL, &o) : NULL;
        for (int k = 0; i >= 2 && k < 3; k++) {
            if (i == 2) sq_begin_step(r.t);
            hs[k] = linear(r.t, &r.w, sq_constant(r.t, 1), &h);
        }
        ASSERT_HEALTHY(r.t);
        sq_ledger *l = i < 2 ? sq_ledger_new(u, sq_unrolled_outputs(u), NULL)
                             : sq_ledger_of_states(hs, 3, 1, h, NULL);
        cr_expect(l == NULL);
        EXPECT_STATUS(r.t, SQ_EGRAD);
        EXPECT_CONTAINS(sq_message(r.t), "ledger: the tape keeps values only: there are no "
                                         "gradients unless sq_tape_set_inference is off");
        scalar_free(&r);
    }
}

Test(by_hand, out_of_range_is_nan)
{
    scalar_run r;
    scalar_new(&r);
    const sq_unrolled *u =
        sq_unroll(r.t, &r.cell, sq_zeros(r.t, sq_shape3(3, 1, 1)), NULL, NULL);
    sq_ledger *l = sq_ledger_new(u, sq_sum(sq_unrolled_outputs(u)), NULL);
    const int64_t step[] = { -1, 3, 0, 0, INT64_MAX };
    const int32_t state[] = { 0, 0, -1, 1, 0 };
    for (int i = 0; i < COUNT(step); i++) {
        cr_expect(isnan(sq_ledger_total(l, step[i], state[i])), "%d", i);
        cr_expect(isnan(sq_ledger_immediate(l, step[i], state[i])), "%d", i);
        cr_expect(sq_ledger_total_values(l, step[i], state[i]) == NULL);
    }
    cr_expect(sq_ledger_steps(NULL) == 0 && sq_ledger_n_states(NULL) == 0);
    cr_expect(isnan(sq_ledger_total(NULL, 0, 0)));
    sq_ledger_free(l);
    ASSERT_HEALTHY(r.t);
    scalar_free(&r);
}

/* ---- An LSTM ----------------------------------------------------------------------------- */

enum { T = 6, B = 2, I = 3, H = 4 };

typedef struct lstm_run {
    net n;
    sq_tape *t;
    double x[T * B * I], r[T * B * H];
    sq_var xs, loss;
    const sq_unrolled *u;
} lstm_run;

/* L = sum_t <r_t, h_t^2> */
static void lstm_new(lstm_run *r, sq_dtype dtype)
{
    net_new(&r->n, dtype, I, H, 5);
    fill(r->x, COUNT(r->x), 1, -1, 1);
    fill(r->r, COUNT(r->r), 2, -1, 1);
    r->t = sq_tape_new(dtype, r->n.params);
    r->xs = sq_leaf(r->t, sq_shape3(T, B, I), r->x);
    r->u = sq_unroll(r->t, &r->n.cell, r->xs, NULL, NULL);
    sq_var w = sq_input(r->t, sq_shape3(T, B, H), r->r);
    r->loss = sq_sum(sq_mul(w, sq_square(sq_unrolled_outputs(r->u))));
    ASSERT_HEALTHY(r->t);
}

static void lstm_free(lstm_run *r)
{
    sq_tape_free(r->t);
    net_free(&r->n);
}

/* One step alone, from the numbers of step i - 1. Sends gradients gh and gc into the new h and
 * c (added to the step's own loss if `own`); reads what reaches the new and the old states. gc
 * is what reaches c otherwise than through h. */
static void one_step(const lstm_run *r, int i, bool own, const double *gh, const double *gc,
                     double (*new_state)[B * H], double (*old_state)[B * H])
{
    sq_tape *t = sq_tape_new(SQ_F64, r->n.params);
    double v[B * H];
    sq_var s[2], old[2], loss = sq_constant(t, 0);
    for (int k = 0; k < 2; k++) {
        sq_copy(sq_unrolled_state(r->u, i - 1, k), v);
        old[k] = s[k] = sq_leaf(t, sq_mat(B, H), v);
    }
    r->n.cell.step(t, r->n.cell.self, sq_input(t, sq_mat(B, I), r->x + i * B * I), s);
    for (int k = 0; k < 2; k++) sq_keep_grad(s[k]);
    if (own)
        loss = sq_sum(sq_mul(sq_input(t, sq_mat(B, H), r->r + i * B * H), sq_square(s[0])));
    if (gh) loss = sq_add(loss, sq_sum(sq_mul(s[0], sq_input(t, sq_mat(B, H), gh))));
    if (gc) loss = sq_add(loss, sq_sum(sq_mul(s[1], sq_input(t, sq_mat(B, H), gc))));
    BACKWARD(loss);
    for (int k = 0; k < 2; k++) {
        if (new_state) sq_grad_copy(s[k], new_state[k]);
        if (old_state) sq_grad_copy(old[k], old_state[k]);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(lstm, total_is_immediate_plus_what_comes_back)
{
    lstm_run r;
    lstm_new(&r, SQ_F64);
    sq_ledger *l = sq_ledger_new(r.u, r.loss, &(sq_ledger_options){ .values = true });
    cr_assert(l != NULL, "%s", sq_message(r.t));
    cr_expect(sq_ledger_steps(l) == T && sq_ledger_n_states(l) == 2);
    for (int i = T - 1; i >= 0; i--) {
        double now[2][B * H], back[2][B * H] = { { 0 } }, reached[2][B * H], rest[B * H];
        one_step(&r, i, true, NULL, NULL, now, NULL);
        if (i + 1 < T) {
            const double *gh = sq_ledger_total_values(l, i + 1, 0);
            const double *gc = sq_ledger_total_values(l, i + 1, 1);
            /* total_c holds what goes through h of the same step: send only the rest into c */
            one_step(&r, i + 1, false, gh, NULL, reached, NULL);
            for (int k = 0; k < B * H; k++) rest[k] = gc[k] - reached[1][k];
            one_step(&r, i + 1, false, gh, rest, NULL, back);
        }
        for (int k = 0; k < 2; k++) {
            const double *total = sq_ledger_total_values(l, i, k);
            const double *immediate = sq_ledger_immediate_values(l, i, k);
            cr_assert(total != NULL && immediate != NULL);
            EXPECT_ALL_NEAR(immediate, now[k], B * H, 1e-15, k ? "immediate c" : "immediate h");
            if (k == 0)
                for (int j = 0; j < B * H; j++)
                    EXPECT_NEAR(total[j], now[0][j] + back[0][j], 1e-14, "total h");
        }
        double norm[2] = { 0 };
        for (int j = 0; j < B * H; j++) norm[0] += pow(sq_ledger_total_values(l, i, 1)[j], 2);
        for (int j = 0; j < B * H; j++) norm[1] += now[1][j] * now[1][j];
        EXPECT_NEAR(sq_ledger_total(l, i, 1), sqrt(norm[0]), 1e-14, "norm of the total");
        EXPECT_NEAR(sq_ledger_immediate(l, i, 1), sqrt(norm[1]), 1e-14,
                    "norm of the immediate");
    }
    sq_ledger_free(l);
    lstm_free(&r);
}

/* c_t acts through h_t of its own step too, so its total is what its step's o tanh(c) passes of
 * total_h, plus what the next step sends back into c directly. */
Test(lstm, totals_of_the_cell_state)
{
    lstm_run r;
    lstm_new(&r, SQ_F64);
    sq_ledger *l = sq_ledger_new(r.u, r.loss, &(sq_ledger_options){ .values = true });
    cr_assert(l != NULL, "%s", sq_message(r.t));
    for (int i = 0; i < T - 1; i++) {
        double through_h[2][B * H], reached[2][B * H], back[2][B * H], rest[B * H];
        one_step(&r, i, false, sq_ledger_total_values(l, i, 0), NULL, through_h, NULL);
        const double *gh = sq_ledger_total_values(l, i + 1, 0);
        const double *gc = sq_ledger_total_values(l, i + 1, 1);
        one_step(&r, i + 1, false, gh, NULL, reached, NULL);
        for (int k = 0; k < B * H; k++) rest[k] = gc[k] - reached[1][k];
        one_step(&r, i + 1, false, gh, rest, NULL, back);
        for (int j = 0; j < B * H; j++)
            EXPECT_NEAR(sq_ledger_total_values(l, i, 1)[j], through_h[1][j] + back[1][j], 1e-14,
                        "c");
    }
    sq_ledger_free(l);
    lstm_free(&r);
}

Test(lstm, agrees_with_the_gradients_a_sweep_leaves)
{
    lstm_run r;
    lstm_new(&r, SQ_F64);
    BACKWARD(r.loss);
    sq_ledger *l = sq_ledger_new(r.u, r.loss, &(sq_ledger_options){ .values = true });
    cr_assert(l != NULL);
    double g[B * H];
    for (int i = 0; i < T; i++) {
        for (int k = 0; k < 2; k++) {
            sq_grad_copy(sq_unrolled_state(r.u, i, k), g);
            EXPECT_ALL_NEAR(sq_ledger_total_values(l, i, k), g, B * H, 1e-15, "total");
        }
        sq_grad_copy(sq_unrolled_output(r.u, i), g);
        EXPECT_ALL_NEAR(sq_ledger_immediate_values(l, i, 0), g, B * H, 1e-15, "immediate");
    }
    sq_ledger_free(l);
    lstm_free(&r);
}

/* ---- Observing changes nothing ----------------------------------------------------------- */

typedef struct reading {
    void *grads;
    double xs[T * B * I], state[T][2][B * H], out[T][B * H], value[T][2][B * H];
} reading;

static void take(reading *o, lstm_run *r)
{
    o->grads = grads_copy(r->t);
    sq_grad_copy(r->xs, o->xs);
    for (int i = 0; i < T; i++) {
        for (int k = 0; k < 2; k++) sq_grad_copy(sq_unrolled_state(r->u, i, k), o->state[i][k]);
        for (int k = 0; k < 2; k++) sq_copy(sq_unrolled_state(r->u, i, k), o->value[i][k]);
        sq_grad_copy(sq_unrolled_output(r->u, i), o->out[i]);
    }
}

static void expect_same(const reading *a, const reading *b, const lstm_run *r)
{
    EXPECT_SAME_BITS(a->grads, b->grads, params_bytes(r->n.params), "weight gradients");
    EXPECT_SAME_BITS(a->xs, b->xs, sizeof a->xs, "leaf gradients");
    EXPECT_SAME_BITS(a->state, b->state, sizeof a->state, "state gradients");
    EXPECT_SAME_BITS(a->out, b->out, sizeof a->out, "output gradients");
    EXPECT_SAME_BITS(a->value, b->value, sizeof a->value, "values");
}

Test(observing, changes_no_bit)
{
    static reading a, b, c, d;
    for (int dtype = 0; dtype < 2; dtype++) {
        lstm_run plain, watched;
        lstm_new(&plain, (sq_dtype)dtype);
        lstm_new(&watched, (sq_dtype)dtype);
        BACKWARD(plain.loss);
        BACKWARD(watched.loss);
        take(&a, &watched);
        sq_ledger *l =
            sq_ledger_new(watched.u, watched.loss, &(sq_ledger_options){ .values = true });
        cr_assert(l != NULL, "%s", sq_message(watched.t));
        take(&b, &watched);
        expect_same(&a, &b, &watched);
        /* A second loss on top, accumulating, with another ledger between. */
        sq_var other[2] = { sq_sum(sq_unrolled_state(plain.u, T - 1, 1)),
                            sq_sum(sq_unrolled_state(watched.u, T - 1, 1)) };
        BACKWARD(other[0]);
        BACKWARD(other[1]);
        sq_ledger *m = sq_ledger_new(watched.u, other[1], NULL);
        cr_assert(m != NULL, "%s", sq_message(watched.t));
        take(&c, &plain);
        take(&d, &watched);
        expect_same(&c, &d, &watched);
        ASSERT_HEALTHY(watched.t);
        sq_ledger_free(l);
        sq_ledger_free(m);
        free(a.grads);
        free(b.grads);
        free(c.grads);
        free(d.grads);
        lstm_free(&plain);
        lstm_free(&watched);
    }
}

/* Looking before any sweep leaves gradients as if nobody had looked. */
Test(observing, before_the_first_sweep)
{
    static reading a, b;
    lstm_run plain, watched;
    lstm_new(&plain, SQ_F32);
    lstm_new(&watched, SQ_F32);
    sq_ledger *l = sq_ledger_new(watched.u, watched.loss, NULL);
    cr_assert(l != NULL, "%s", sq_message(watched.t));
    cr_expect(sq_grads_norm(watched.t) == 0);
    cr_expect(sq_grad_norm(watched.xs) == 0);
    BACKWARD(plain.loss);
    BACKWARD(watched.loss);
    take(&a, &plain);
    take(&b, &watched);
    expect_same(&a, &b, &plain);
    sq_ledger_free(l);
    free(a.grads);
    free(b.grads);
    lstm_free(&plain);
    lstm_free(&watched);
}

/* A ledger holds its own numbers: it outlives a reset of the tape. */
Test(observing, a_ledger_outlives_the_steps)
{
    lstm_run r;
    lstm_new(&r, SQ_F64);
    sq_ledger *l = sq_ledger_new(r.u, r.loss, &(sq_ledger_options){ .values = true });
    cr_assert(l != NULL);
    double total = sq_ledger_total(l, 1, 0), value = sq_ledger_total_values(l, 1, 0)[3];
    sq_tape_reset(r.t);
    cr_expect(sq_ledger_total(l, 1, 0) == total && sq_ledger_total_values(l, 1, 0)[3] == value);
    sq_ledger_free(l);
    lstm_free(&r);
}

Test(observing, losses_that_are_no_number_or_gone)
{
    lstm_run r;
    lstm_new(&r, SQ_F64);
    cr_expect(sq_ledger_new(r.u, sq_unrolled_outputs(r.u), NULL) == NULL);
    EXPECT_STATUS(r.t, SQ_ESHAPE);
    lstm_free(&r);
    lstm_new(&r, SQ_F64);
    cr_expect(sq_ledger_new(r.u, (sq_var){ r.t, 0 }, NULL) == NULL);
    EXPECT_STATUS(r.t, SQ_EVAR);
    lstm_free(&r);
    lstm_new(&r, SQ_F64);
    cr_assert(sq_cut(r.t, 2, NULL, 0) == SQ_OK); /* some states are gone, the loss is not */
    cr_expect(sq_ledger_new(r.u, r.loss, NULL) == NULL);
    EXPECT_STATUS(r.t, SQ_EVAR);
    lstm_free(&r);
}
