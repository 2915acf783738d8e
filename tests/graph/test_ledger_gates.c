/* test_ledger_gates.c -- statistics of what a cell named, against plain loops over its values. */
#include "tests/support/support.h"

enum { T = 5, B = 3, W = 4, N_GATES = 5, OUT = 3 };

static const char *const gates[N_GATES] = { "a", "g", "mix", "out", "h" };

/* h' = a*g + h/2, a = tanh(4 w x), g = sigmoid(6 x + h): wide, so that some are saturated. */
static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_weight *w = self;
    sq_var a = sq_name(sq_tanh(sq_mul_scalar(sq_mul(x, sq_use(t, *w)), 4)), "a");
    sq_var g = sq_name(sq_sigmoid(sq_add(sq_mul_scalar(x, 6), *h)), "g");
    sq_var mix = sq_name(sq_mul(a, g), "mix");
    *h = sq_add(mix, sq_mul_scalar(*h, .5));
    return sq_name(sq_tanh(sq_mul_scalar(*h, 2)), "out");
}

typedef struct scene {
    sq_params *p;
    sq_weight w;
    sq_tape *t;
    sq_cell cell;
    sq_var x;
} scene;

static void scene_new(scene *s, sq_dtype dtype)
{
    static const int64_t wide[1] = { W };
    static const char *const names[1] = { "h" };
    double x[T * B * W];
    fill(x, COUNT(x), 17, -1, 1);
    s->p = sq_params_new(dtype);
    s->w = add_number(s->p, "w", .75);
    s->t = sq_tape_new(dtype, s->p);
    s->cell = (sq_cell){ "gated", 1, wide, names, step, &s->w };
    s->x = sq_input_f64(s->t, sq_shape3(T, B, W), x);
}

static void scene_free(scene *s)
{
    sq_tape_free(s->t);
    sq_params_free(s->p);
}

static sq_var loss_of(const sq_unrolled *u)
{
    return sq_sum(sq_square(sq_unrolled_outputs(u)));
}

static sq_var gate_of(const sq_unrolled *u, int i, int g)
{
    return g == N_GATES - 1 ? sq_unrolled_state(u, i, 0) : sq_unrolled_named(u, i, gates[g]);
}

/* Plain loops over copies; the gradient by sq_backward. */
static void expect_gate(const sq_unrolled *u, int i, int g, sq_gate_statistics got, double tol)
{
    double y[B * W], mean = 0, square = 0, share = 0;
    cr_assert(sq_copy_f64(gate_of(u, i, g), y) == SQ_OK);
    for (int j = 0; j < B * W; j++) {
        mean += y[j] / (B * W);
        share += g == 1 ? y[j] < .05 || y[j] > .95 : fabs(y[j]) > .95;
    }
    for (int j = 0; j < B * W; j++) square += (y[j] - mean) * (y[j] - mean);
    EXPECT_NEAR(got.mean, mean, tol, "mean");
    EXPECT_NEAR(got.deviation, sqrt(square / (B * W)), tol, "deviation");
    EXPECT_NEAR(got.gradient, sq_grad_norm(gate_of(u, i, g)), tol, "gradient");
    bool known = g == 0 || g == 1 || g == 3;
    if (known) EXPECT_NEAR(got.saturated, share / (B * W), 1e-15, "saturated");
    else cr_expect(isnan(got.saturated), "%s", gates[g]);
}

static int find(const sq_ledger *l, const char *name)
{
    for (int32_t g = 0; g < sq_ledger_n_gates(l); g++)
        if (strcmp(sq_ledger_gate_name(l, g), name) == 0) return g;
    return -1;
}

Test(gates, are_those_of_plain_loops)
{
    for (int k = 0; k < 4; k++) {
        scene s;
        scene_new(&s, k / 2 ? SQ_F32 : SQ_F64);
        sq_unroll_options o = { .mode = k % 2 ? SQ_PLAN : SQ_EAGER };
        const sq_unrolled *u = sq_unroll(s.t, &s.cell, s.x, NULL, &o);
        sq_var loss = loss_of(u);
        sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .gates = true });
        cr_assert(l != NULL, "%s", sq_message(s.t));
        cr_expect(sq_ledger_n_gates(l) == N_GATES, "%d", (int)sq_ledger_n_gates(l));
        for (int g = 0; g < N_GATES; g++)
            for (int i = 0; i < T; i++) (void)gate_of(u, i, g);
        BACKWARD(loss);
        double saturated = 0;
        for (int g = 0; g < N_GATES; g++)
            for (int i = 0; i < T; i++) {
                EXPECT_TEXT(sq_ledger_gate_name(l, g), gates[g]);
                sq_gate_statistics got = sq_ledger_gate(l, i, g);
                expect_gate(u, i, g, got, k / 2 ? 1e-5 : 1e-12);
                if (g < 2) saturated += got.saturated;
            }
        cr_expect(saturated > 0 && saturated < 2 * T, "some are, some are not");
        sq_ledger_free(l);
        ASSERT_HEALTHY(s.t);
        scene_free(&s);
    }
}

/* Just inside and just outside the bounds. */
Test(gates, are_saturated_beyond_the_bounds)
{
    static const double tanhs[] = { -.96, -.94, 0, .94, .96, .99 };
    static const double sigmoids[] = { .04, .06, .5, .94, .96, .01 };
    double x[6], y[6];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    for (int i = 0; i < 6; i++) {
        x[i] = atanh(tanhs[i]);
        y[i] = log(sigmoids[i] / (1 - sigmoids[i]));
    }
    sq_begin_step(t);
    sq_var a = sq_name(sq_tanh(sq_leaf_f64(t, sq_vec(6), x)), "a");
    sq_var g = sq_name(sq_sigmoid(sq_leaf_f64(t, sq_vec(6), y)), "g");
    sq_var h = sq_add(a, g);
    sq_end_step(t);
    sq_ledger *l =
        sq_ledger_of_states(&h, 1, 1, sq_sum(h), &(sq_ledger_options){ .gates = true });
    cr_assert(l != NULL, "%s", sq_message(t));
    cr_expect(sq_ledger_n_gates(l) == 2);
    EXPECT_NEAR(sq_ledger_gate(l, 0, find(l, "a")).saturated, 3 / 6., 1e-15, "tanh");
    EXPECT_NEAR(sq_ledger_gate(l, 0, find(l, "g")).saturated, 3 / 6., 1e-15, "sigmoid");
    EXPECT_NEAR(sq_ledger_gate(l, 0, find(l, "a")).gradient, sqrt(6), 1e-15, "gradient");
    sq_ledger_free(l);
    sq_tape_free(t);
}

/* Of two of one name each; a step that does not name it has none. */
Test(gates, that_are_missing_or_named_twice)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var h = sq_leaf_f64(t, sq_scalar(), (double[]){ .5 }), hs[3];
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        h = sq_mul_scalar(h, 2);
        if (i == 1) sq_name(h, "twice");
        h = sq_add_scalar(h, 1);
        if (i == 1) sq_name(h, "twice");
        if (i == 2) sq_name(h, "late");
        hs[i] = h = sq_mul_scalar(h, 1);
    }
    sq_end_step(t);
    sq_ledger *l = sq_ledger_of_states(hs, 3, 1, h, &(sq_ledger_options){ .gates = true });
    cr_assert(l != NULL, "%s", sq_message(t));
    cr_expect(sq_ledger_n_gates(l) == 3);
    int once = find(l, "twice"), twice = find(l, "twice (2)"), late = find(l, "late");
    EXPECT_NEAR(sq_ledger_gate(l, 1, once).mean, 4, 0, "(2 * .5 + 1) * 2");
    EXPECT_NEAR(sq_ledger_gate(l, 1, twice).mean, 5, 0, "(2 * .5 + 1) * 2 + 1");
    EXPECT_NEAR(sq_ledger_gate(l, 1, twice).gradient, 2, 0, "of the last");
    EXPECT_NEAR(sq_ledger_gate(l, 2, late).deviation, 0, 0, "of one number");
    const sq_gate_statistics none[] = {
        sq_ledger_gate(l, 0, twice), sq_ledger_gate(l, 2, twice), sq_ledger_gate(l, 3, late),
        sq_ledger_gate(l, -1, late), sq_ledger_gate(l, 2, 3),     sq_ledger_gate(l, 2, -1),
        sq_ledger_gate(NULL, 0, 0)
    };
    for (int i = 0; i < COUNT(none); i++)
        cr_expect(isnan(none[i].mean) && isnan(none[i].deviation) && isnan(none[i].saturated) &&
                      isnan(none[i].gradient),
                  "%d", i);
    EXPECT_TEXT(sq_ledger_gate_name(l, 3), "");
    EXPECT_TEXT(sq_ledger_gate_name(NULL, 0), "");
    cr_expect(sq_ledger_n_gates(NULL) == 0);
    sq_ledger_free(l);
    sq_tape_free(t);
}

/* The layers of a stack name their gates alike: none hides another. Bias 9 opens the first's forget
 * gate, -9 closes the second's. */
Test(gates, of_every_layer_of_a_stack)
{
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        double x[T * B * W];
        sq_params *p = sq_params_new(SQ_F64);
        sq_lstm w[2];
        sq_lstm_init(&w[0], p, "0", W, W, 1);
        sq_lstm_init(&w[1], p, "1", W, W, 2);
        cr_assert(sq_lstm_set_forget_bias(&w[0], p, 9) == SQ_OK &&
                  sq_lstm_set_forget_bias(&w[1], p, -9) == SQ_OK);
        sq_cell layers[2] = { sq_lstm_cell(&w[0]), sq_lstm_cell(&w[1]) };
        sq_stack_cells *stack = sq_stack_new(layers, 2);
        sq_cell cell = sq_stack_cell(stack);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        fill(x, COUNT(x), 17, -1, 1);
        const sq_unrolled *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, W), x), NULL,
                                         &(sq_unroll_options){ .mode = (sq_mode)mode });
        sq_ledger *l = sq_ledger_new(u, loss_of(u), &(sq_ledger_options){ .gates = true });
        cr_assert(l != NULL, "%s", sq_message(t));
        cr_expect(sq_ledger_n_gates(l) == 12, "%d", (int)sq_ledger_n_gates(l));
        for (int i = 0; i < T; i++) {
            cr_expect(sq_ledger_gate(l, i, find(l, "f")).mean > .99);
            cr_expect(sq_ledger_gate(l, i, find(l, "f (2)")).mean < .01);
        }
        sq_ledger_free(l);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
        sq_stack_free(stack);
        sq_params_free(p);
    }
}

/* What is not a number has no share that is saturated. */
Test(gates, of_nan)
{
    for (int k = 0; k < 2; k++) {
        scene s;
        scene_new(&s, SQ_F64);
        sq_unroll_options o = { .mode = k ? SQ_PLAN : SQ_EAGER };
        sq_var x = sq_mul_scalar(s.x, (double)NAN);
        const sq_unrolled *u = sq_unroll(s.t, &s.cell, x, NULL, &o);
        sq_ledger *l = sq_ledger_new(u, loss_of(u), &(sq_ledger_options){ .gates = true });
        cr_assert(l != NULL, "%s", sq_message(s.t));
        for (int g = 0; g < N_GATES; g++) {
            sq_gate_statistics got = sq_ledger_gate(l, 1, g);
            cr_expect(isnan(got.mean) && isnan(got.deviation) && isnan(got.saturated) &&
                      isnan(got.gradient));
        }
        sq_ledger_free(l);
        scene_free(&s);
    }
}

/* Statistics under a budget are those without, and a sweep afterwards keeps its bits. The last steps
 * reach no loss: their gradients are 0, their values are there. */
static void check_budget(sq_mode mode, sq_dtype dtype)
{
    static const int64_t every[] = { 0, 2, SQ_EVERY_SQRT, 1 };
    sq_gate_statistics want[T][N_GATES] = { { { 0 } } };
    double *grads = NULL;
    for (int k = 0; k < COUNT(every); k++) {
        scene s;
        scene_new(&s, dtype);
        const sq_unrolled *u = sq_unroll(
            s.t, &s.cell, s.x, NULL, &(sq_unroll_options){ .mode = mode, .every = every[k] });
        sq_var loss = sq_sum(sq_square(sq_unrolled_output(u, T - 2)));
        sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .gates = true });
        cr_assert(l != NULL, "%s", sq_message(s.t));
        cr_assert(sq_ledger_n_gates(l) == N_GATES, "%d", (int)sq_ledger_n_gates(l));
        for (int g = 0; g < N_GATES; g++)
            for (int i = 0; i < T; i++) {
                sq_gate_statistics got = sq_ledger_gate(l, i, g);
                EXPECT_TEXT(sq_ledger_gate_name(l, g), gates[g]);
                if (!k) want[i][g] = got;
                EXPECT_SAME_BITS(&got, &want[i][g], sizeof got, gates[g]);
                bool flows = i == T - 2 || (i < T - 2 && g != OUT), flowed = got.gradient > 0;
                cr_expect(flowed == flows, "%s in step %d: %g", gates[g], i, got.gradient);
            }
        BACKWARD(loss);
        if (!grads) grads = grads_copy(s.t);
        EXPECT_SAME_BITS(grads, sq_grads(s.t), params_bytes(s.p), "weight gradients");
        sq_ledger_free(l);
        ASSERT_HEALTHY(s.t);
        scene_free(&s);
    }
    free(grads);
}

Test(gates, under_a_budget)
{
    for (int k = 0; k < 4; k++)
        check_budget(k % 2 ? SQ_PLAN : SQ_EAGER, k / 2 ? SQ_F32 : SQ_F64);
}

/* A loop over the rows that take step i, as it ran; the gradient is that of all rows, of which those that
 * sit out have none but that of their states. */
static void expect_taking(const sq_unrolled *u, int i, int g, const int32_t *takes,
                          sq_gate_statistics got)
{
    double y[B * W], mean = 0, square = 0, share = 0, n = 0;
    cr_assert(sq_copy_f64(gate_of(u, i, g), y) == SQ_OK, "%s", sq_message(sq_unrolled_tape(u)));
    for (int j = 0; j < B * W; j++) {
        if (!takes[i * B + j / W]) continue;
        mean += y[j];
        share += g == 1 ? y[j] < .05 || y[j] > .95 : fabs(y[j]) > .95;
        n++;
    }
    for (int j = 0; j < B * W; j++)
        if (takes[i * B + j / W]) square += (y[j] - mean / n) * (y[j] - mean / n);
    bool known = (g == 0 || g == 1 || g == 3) && n > 0, none = n < 1;
    bool nothing = isnan(got.mean) && isnan(got.deviation);
    cr_expect(nothing == none, "step %d of %s: mean %g", i, gates[g], got.mean);
    if (n > 0) EXPECT_NEAR(got.mean, mean / n, 1e-12, "mean");
    if (n > 0) EXPECT_NEAR(got.deviation, sqrt(square / n), 1e-12, "deviation");
    if (known) EXPECT_NEAR(got.saturated, share / n, 1e-15, "saturated");
    else cr_expect(isnan(got.saturated), "%s", gates[g]);
    EXPECT_NEAR(got.gradient, sq_grad_norm(gate_of(u, i, g)), 1e-12, gates[g]);
    if (none && g != N_GATES - 1) EXPECT_NEAR(got.gradient, 0, 0, gates[g]);
}

/* Whatever the mode: a row that ended, or is masked, does not count. In the last steps nobody does. */
static void check_ragged(const sq_unroll_options *of, const int32_t *takes)
{
    static const struct {
        sq_mode mode;
        int64_t every;
        bool keep_padding;
    } ways[] = { { SQ_EAGER, 0, false },           { SQ_PLAN, 0, false }, { SQ_PLAN, 0, true },
                 { SQ_EAGER, 2, false },           { SQ_PLAN, 2, true },  { SQ_PLAN, 2, false },
                 { SQ_PLAN, SQ_EVERY_SQRT, false } };
    for (int k = 0; k < COUNT(ways); k++) {
        scene s;
        scene_new(&s, SQ_F64);
        sq_unroll_options o = *of;
        o.mode = ways[k].mode;
        o.every = ways[k].every;
        o.keep_padding = ways[k].keep_padding;
        o.state_grads = true;
        const sq_unrolled *u = sq_unroll(s.t, &s.cell, s.x, NULL, &o);
        sq_var loss = loss_of(u);
        sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .gates = true });
        cr_assert(l != NULL, "%s", sq_message(s.t));
        cr_assert(sq_ledger_n_gates(l) == N_GATES, "%d", (int)sq_ledger_n_gates(l));
        for (int g = 0; g < N_GATES; g++)
            for (int i = 0; i < T; i++) (void)gate_of(u, i, g);
        BACKWARD(loss);
        for (int g = 0; g < N_GATES; g++)
            for (int i = 0; i < T; i++)
                expect_taking(u, i, g, takes, sq_ledger_gate(l, i, find(l, gates[g])));
        sq_ledger_free(l);
        ASSERT_HEALTHY(s.t);
        scene_free(&s);
    }
}

Test(gates, of_rows_that_sit_out)
{
    static const int32_t lengths[B] = { 3, 0, 1 };
    static const int32_t mask[T * B] = { 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1 };
    static const int32_t ended[T * B] = { 1, 0, 1, 1, 0, 0, 1 };
    int32_t turned[T * B];
    for (int i = 0; i < T; i++)
        for (int b = 0; b < B; b++) turned[i * B + b] = mask[(T - 1 - i) * B + b];
    check_ragged(&(sq_unroll_options){ .lengths = lengths }, ended);
    check_ragged(&(sq_unroll_options){ .lengths = lengths, .reverse = true }, ended);
    check_ragged(&(sq_unroll_options){ .mask = mask }, mask);
    check_ragged(&(sq_unroll_options){ .mask = mask, .reverse = true }, turned);
}

/* Of rows that end: what is named in a step that none of them takes gets what is sent to it, 1. */
static sq_var late_loss(const sq_unrolled *u)
{
    sq_var late = sq_sum(sq_unrolled_named(u, T - 1, "mix"));
    sq_var last = sq_sum(sq_square(sq_unrolled_state(u, T - 1, 0)));
    sq_var some = sq_sum(sq_unrolled_named(u, 1, "g"));
    return sq_add(sq_add(loss_of(u), some), sq_add(late, last));
}

static void check_ended(sq_mode mode, sq_dtype dtype, bool keep_padding)
{
    static const int32_t lengths[B] = { T - 1, 0, 2 };
    static const int64_t every[] = { 0, 2, SQ_EVERY_SQRT, 1, T };
    sq_gate_statistics want[T][N_GATES] = { { { 0 } } };
    for (int k = 0; k < COUNT(every); k++) {
        scene s;
        scene_new(&s, dtype);
        sq_unroll_options o = {
            .mode = mode, .lengths = lengths, .every = every[k], .keep_padding = keep_padding
        };
        const sq_unrolled *u = sq_unroll(s.t, &s.cell, s.x, NULL, &o);
        sq_ledger *l = sq_ledger_new(u, late_loss(u), &(sq_ledger_options){ .gates = true });
        cr_assert(l != NULL, "%s", sq_message(s.t));
        cr_assert(sq_ledger_n_gates(l) == N_GATES, "%d", (int)sq_ledger_n_gates(l));
        for (int g = 0; g < N_GATES; g++)
            for (int i = 0; i < T; i++) {
                sq_gate_statistics got = sq_ledger_gate(l, i, g);
                if (!k) want[i][g] = got;
                EXPECT_SAME_BITS(&got, &want[i][g], sizeof got, sq_ledger_gate_name(l, g));
            }
        EXPECT_NEAR(sq_ledger_gate(l, T - 1, find(l, "mix")).gradient, sqrt(B * W), 1e-7,
                    "what was sent");
        EXPECT_NEAR(sq_ledger_gate(l, 0, find(l, "h")).gradient, sq_ledger_total(l, 0, 0), 0,
                    "the total");
        sq_ledger_free(l);
        ASSERT_HEALTHY(s.t);
        scene_free(&s);
    }
}

Test(gates, of_rows_that_end_under_a_budget)
{
    for (int k = 0; k < 8; k++)
        check_ended(k % 2 ? SQ_PLAN : SQ_EAGER, k & 2 ? SQ_F32 : SQ_F64, k & 4);
}

/* The states of a plan, listed by hand: the gates are the unroll's to tell. */
Test(gates, of_the_states_of_a_plan)
{
    scene s;
    sq_var hs[T];
    scene_new(&s, SQ_F64);
    const sq_unrolled *u =
        sq_unroll(s.t, &s.cell, s.x, NULL, &(sq_unroll_options){ .mode = SQ_PLAN });
    for (int i = 0; i < T; i++) hs[i] = sq_unrolled_state(u, i, 0);
    sq_var loss = loss_of(u);
    sq_ledger *l = sq_ledger_of_states(hs, T, 1, loss, &(sq_ledger_options){ .weights = true });
    cr_assert(l && sq_ledger_weight(l, 1, s.w) > 0, "%s", sq_message(s.t));
    sq_ledger_free(l);
    cr_expect(sq_ledger_of_states(hs, T, 1, loss, &(sq_ledger_options){ .gates = true }) ==
              NULL);
    EXPECT_CONTAINS(sq_message(s.t), "the ledger of the unroll itself");
    scene_free(&s);
}

/* A ledger of gates leaves what is tapped as it was: names taken later are not kept before their
 * sweep. */
Test(gates, looking_taps_nothing)
{
    scene s;
    scene_new(&s, SQ_F64);
    const sq_unrolled *u =
        sq_unroll(s.t, &s.cell, s.x, NULL, &(sq_unroll_options){ .mode = SQ_PLAN });
    sq_var loss = loss_of(u);
    sq_ledger_free(sq_ledger_new(u, loss, &(sq_ledger_options){ .gates = true }));
    BACKWARD(loss);
    (void)sq_grad_norm(sq_unrolled_named(u, 1, "g"));
    EXPECT_STATUS(s.t, SQ_EGRAD);
    scene_free(&s);
}
