/* test_optim.c -- optimizers against PyTorch's, options, schedules, clipping; a step is all or
 * nothing and leaves the steps recorded before it with their weights. */
#include "tests/support/support.h"

#include "tests/golden/optim.h"

/* NAN and INFINITY are floats. */
static const double not_a_number = (double)NAN, infinite = (double)INFINITY;

static const double tolerance[] = { [SQ_F32] = 2e-6, [SQ_F64] = 1e-14 };

/* Flat numbers in the params' precision. */
typedef union flat {
    float f[GOLDEN_N];
    double d[GOLDEN_N];
} flat;

static flat flat_of(sq_dtype dtype, const double *values)
{
    flat x = { .d = { 0 } };
    for (int i = 0; i < GOLDEN_N; i++)
        if (dtype == SQ_F32) x.f[i] = (float)values[i];
        else x.d[i] = values[i];
    return x;
}

static void expect_weights(const sq_params *p, const double *want, int n, const char *what)
{
    double got[GOLDEN_N];
    cr_assert(sq_weight_get_f64(p, (sq_weight){ 1 }, got) == SQ_OK);
    if (n > GOLDEN_W)
        cr_assert(sq_weight_get_f64(p, (sq_weight){ 2 }, got + GOLDEN_W) == SQ_OK);
    EXPECT_ALL_NEAR(got, want, n, tolerance[sq_params_dtype(p)], what);
}

static sq_weight add_b(sq_params *p)
{
    sq_weight b = sq_params_add(p, "b", sq_vec(GOLDEN_B));
    sq_weight_set_f64(p, b, golden_start + GOLDEN_W);
    sq_weight_set_group(p, b, 1);
    cr_assert(sq_params_status(p) == SQ_OK, "%s", sq_params_message(p));
    return b;
}

static sq_params *only_W(sq_dtype dtype)
{
    sq_params *p = sq_params_new(dtype);
    sq_weight_set_f64(p, sq_params_add(p, "W", sq_mat(3, 2)), golden_start);
    return p;
}

static sq_params *W_and_b(sq_dtype dtype)
{
    sq_params *p = only_W(dtype);
    add_b(p);
    return p;
}

static sq_optim *optim_new(sq_params *p, sq_optim_options options)
{
    sq_optim *o = sq_optim_new(p, &options);
    cr_assert(o != NULL, "%s", sq_params_message(p));
    return o;
}

static void step_flat(sq_optim *o, const sq_params *p, const double *grads)
{
    flat g = flat_of(sq_params_dtype(p), grads);
    sq_status s = sq_optim_step_flat(o, &g);
    cr_assert(s == SQ_OK, "%s", sq_params_message(p));
}

/* ---- PyTorch's numbers ---- */

typedef enum lateness { FROZEN_FIRST, ADDED_LATE } lateness;

static void follow(const golden_optim *c, sq_dtype dtype, lateness how)
{
    bool waits = c->late > 0 && how == ADDED_LATE;
    sq_params *p = waits ? only_W(dtype) : W_and_b(dtype);
    sq_optim *o = optim_new(p, c->options);
    sq_weight b = { 2 };
    for (int n = 0; n < GOLDEN_UPDATES; n++) {
        if (waits && n == c->late) b = add_b(p);
        bool has_b = !waits || n >= c->late;
        if (has_b) sq_weight_set_frozen(p, b, n < c->late);
        step_flat(o, p, golden_grads[n]);
        expect_weights(p, c->weights[n], has_b ? GOLDEN_N : GOLDEN_W, c->name);
        cr_expect(sq_optim_updates(o) == n + 1);
        if (c->halving) cr_expect(sq_optim_set_rate(o, sq_optim_rate(o) / 2) == SQ_OK);
    }
    sq_optim_free(o);
    sq_params_free(p);
}

Test(optim, weights_are_pytorchs_after_every_update)
{
    for (int i = 0; i < COUNT(golden_optims); i++)
        for (int d = 0; d < 2; d++) {
            follow(&golden_optims[i], (sq_dtype)d, FROZEN_FIRST);
            follow(&golden_optims[i], (sq_dtype)d, ADDED_LATE);
        }
}

Test(optim, the_golden_file_covers_every_kind)
{
    int seen[SQ_ADAMW + 1] = { 0 };
    for (int i = 0; i < COUNT(golden_optims); i++) seen[golden_optims[i].options.kind]++;
    for (int k = 0; k <= SQ_ADAMW; k++) cr_expect(seen[k] >= 3, "kind %d", k);
}

Test(optim, no_options_are_sgd_at_one_hundredth)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_optim *o = sq_optim_new(p, NULL);
    cr_assert(o != NULL);
    cr_expect(sq_optim_rate(o) == 0.01 && sq_optim_updates(o) == 0);
    step_flat(o, p, golden_grads[0]);
    expect_weights(p, golden_optims[0].weights[0], GOLDEN_N, golden_optims[0].name);
    sq_optim_free(o);
    sq_params_free(p);
}

/* Adam's first step is the rate against the sign of the gradient, whatever its size. */
Test(optim, adams_first_step_is_the_rate)
{
    for (int e = -6; e <= 6; e++) {
        sq_params *p = sq_params_new(SQ_F64);
        sq_weight w = add_number(p, "w", 1);
        sq_optim_options adam = { .kind = SQ_ADAM, .rate = 0.1, .eps = 1e-30 };
        sq_optim *o = optim_new(p, adam);
        double g = -pow(10, e), got;
        cr_expect(sq_optim_step_flat(o, &g) == SQ_OK);
        cr_assert(sq_weight_get_f64(p, w, &got) == SQ_OK);
        EXPECT_NEAR(got, 1.1, 1e-15, "w");
        sq_optim_free(o);
        sq_params_free(p);
    }
}

Test(optim, a_frozen_weight_neither_moves_nor_decays)
{
    for (int k = SQ_SGD; k <= SQ_ADAMW; k++) {
        sq_params *p = W_and_b(SQ_F64);
        sq_weight_set_frozen(p, (sq_weight){ 1 }, true);
        sq_optim_options options = { .kind = (sq_optim_kind)k, .decay = 0.5 };
        sq_optim *o = optim_new(p, options);
        for (int n = 0; n < 3; n++) step_flat(o, p, golden_grads[n]);
        const double *w = sq_params_view(p);
        EXPECT_SAME_BITS(w, golden_start, GOLDEN_W * sizeof *w, "weights that are frozen");
        for (int i = GOLDEN_W; i < GOLDEN_N; i++) cr_expect(w[i] != golden_start[i]);
        sq_optim_free(o);
        sq_params_free(p);
    }
}

/* ---- What is refused ---- */

Test(optim, options_that_make_no_sense)
{
    const struct {
        sq_optim_options options;
        const char *says;
    } bad[] = {
        { { .kind = (sq_optim_kind)5 }, "kind 5" },
        { { .kind = (sq_optim_kind)-1 }, "kind -1" },
        { { .rate = -0.1 }, "rate is -0.1" },
        { { .rate = not_a_number }, "rate" },
        { { .rate = infinite }, "rate is inf" },
        { { .decay = not_a_number }, "decay" },
        { { .decay = infinite }, "decay" },
        { { .momentum = -0.5 }, "momentum" },
        { { .momentum = 1 }, "momentum is 1" },
        { { .kind = SQ_RMSPROP, .alpha = 1.5 }, "RMSPROP: alpha is 1.5" },
        { { .kind = SQ_ADAM, .beta1 = 1 }, "ADAM: beta1 is 1" },
        { { .kind = SQ_ADAM, .beta1 = -0.1 }, "beta1" },
        { { .kind = SQ_ADAMW, .beta2 = 1 }, "ADAMW: beta2" },
        { { .kind = SQ_ADAMW, .beta2 = not_a_number }, "beta2" },
        { { .kind = SQ_ADAGRAD, .eps = -1e-9 }, "eps" },
        { { .kind = SQ_ADAM, .momentum = 0.9 }, "momentum belongs to SGD" },
        { { .kind = SQ_ADAGRAD, .momentum = 0.9 }, "momentum belongs to SGD" },
        { { .nesterov = true }, "nesterov" },
        { { .kind = SQ_RMSPROP, .momentum = 0.9, .nesterov = true }, "nesterov" },
        { { .group[3] = { .rate_factor = -1 } }, "group 3" },
        { { .group[15] = { .rate_factor = not_a_number } }, "group 15" },
        { { .group[0] = { .decay = not_a_number, .set_decay = true } }, "group 0" },
    };
    sq_params *p = W_and_b(SQ_F32);
    for (int i = 0; i < COUNT(bad); i++) {
        cr_expect(sq_optim_new(p, &bad[i].options) == NULL, "case %d", i);
        cr_expect(sq_params_status(p) == SQ_EVALUE, "case %d", i);
        EXPECT_CONTAINS(sq_params_message(p), bad[i].says);
        sq_params_clear_error(p);
    }
    sq_params_free(p);
    cr_expect(sq_optim_new(NULL, NULL) == NULL);
    sq_optim_free(NULL);
}

Test(optim, rates_that_make_no_sense)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_optim *o = sq_optim_new(p, NULL);
    const double bad[] = { -1, not_a_number, infinite };
    for (int i = 0; i < COUNT(bad); i++) {
        cr_expect(sq_optim_set_rate(o, bad[i]) == SQ_EVALUE);
        cr_expect(sq_params_status(p) == SQ_EVALUE && sq_optim_rate(o) == 0.01);
        sq_params_clear_error(p);
    }
    cr_expect(sq_optim_set_rate(o, 0) == SQ_OK && sq_optim_rate(o) == 0);
    step_flat(o, p, golden_grads[0]);
    EXPECT_SAME_BITS(sq_params_view(p), golden_start, sizeof golden_start, "weights at rate 0");
    sq_optim_free(o);
    sq_params_free(p);
}

Test(optim, flat_steps_that_are_refused)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_optim *o = sq_optim_new(p, NULL);
    cr_expect(sq_optim_step_flat(o, NULL) == SQ_EVALUE);
    cr_expect(sq_params_status(p) == SQ_EVALUE);
    cr_expect(sq_optim_step_flat(o, golden_grads) == SQ_EVALUE, "the error is sticky");
    EXPECT_SAME_BITS(sq_params_view(p), golden_start, sizeof golden_start, "weights");
    cr_expect(sq_optim_updates(o) == 0);
    sq_params_clear_error(p);
    step_flat(o, p, golden_grads[0]);
    cr_expect(sq_optim_step_flat(NULL, golden_grads) == SQ_EVALUE);
    sq_optim_free(o);
    sq_params_free(p);
}

Test(optim, params_without_weights_and_weights_without_elements)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_optim *o = optim_new(p, (sq_optim_options){ .kind = SQ_ADAM });
    float none = 0;
    cr_expect(sq_optim_step_flat(o, &none) == SQ_OK);
    sq_params_add(p, "empty", sq_mat(0, 3));
    cr_expect(sq_optim_step_flat(o, &none) == SQ_OK && sq_optim_updates(o) == 2);
    sq_optim_free(o);
    sq_params_free(p);
}

/* ---- From a tape ---- */

/* loss = sum(W) + 2 sum(b): the gradient is 1 in W and 2 in b. */
static sq_var loss_of(sq_tape *t)
{
    sq_var W = sq_use(t, (sq_weight){ 1 }), b = sq_use(t, (sq_weight){ 2 });
    return sq_add(sq_sum(W), sq_mul(sq_constant(t, 2), sq_sum(b)));
}

static void set_grads(sq_tape *t, const double *values)
{
    flat g = flat_of(sq_tape_dtype(t), values);
    void *at = sq_grads(t);
    cr_assert(at != NULL, "%s", sq_message(t));
    memcpy(at, &g, params_bytes(sq_tape_params(t)));
}

Test(optim, a_step_takes_the_tapes_gradients_and_leaves_them)
{
    for (int d = 0; d < 2; d++) {
        sq_params *p = W_and_b((sq_dtype)d);
        sq_tape *t = sq_tape_new((sq_dtype)d, p);
        sq_optim *o = optim_new(p, (sq_optim_options){ .rate = 0.5 });
        double want[GOLDEN_N];
        for (int n = 1; n <= 2; n++) {
            BACKWARD(loss_of(t));
            void *before = grads_copy(t);
            cr_assert(sq_optim_step(o, t) == SQ_OK, "%s", sq_message(t));
            for (int i = 0; i < GOLDEN_N; i++)
                want[i] = golden_start[i] - 0.5 * n * (i < GOLDEN_W ? 1 : 2);
            expect_weights(p, want, GOLDEN_N, "after a step");
            EXPECT_SAME_BITS(sq_grads(t), before, params_bytes(p), "gradients");
            free(before);
            sq_zero_grads(t);
        }
        ASSERT_HEALTHY(t);
        sq_optim_free(o);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* Overlapping windows: what was recorded before an update is differentiated through the weights
 * that were used, d(w^2) = 2 w. */
Test(optim, a_sweep_after_the_step_uses_the_weights_before_it)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 3);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_optim *o = optim_new(p, (sq_optim_options){ .rate = 1 });
    sq_begin_step(t);
    sq_var y = sq_mul(sq_use(t, w), sq_use(t, w));
    BACKWARD(y);
    cr_assert(sq_optim_step(o, t) == SQ_OK);
    sq_zero_grads(t);
    BACKWARD(y);
    cr_expect(number_grad(t, w) == 6, "got %g", number_grad(t, w));
    sq_begin_step(t);
    sq_zero_grads(t);
    BACKWARD(sq_mul(sq_use(t, w), sq_use(t, w)));
    cr_expect(number_grad(t, w) == -6, "got %g", number_grad(t, w));
    sq_optim_free(o);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(optim, tape_steps_that_are_refused_change_nothing)
{
    sq_params *p = W_and_b(SQ_F64), *other = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p), *bare = sq_tape_new(SQ_F64, NULL);
    sq_optim *o = sq_optim_new(p, NULL), *of_other = sq_optim_new(other, NULL);

    cr_expect(sq_optim_step(of_other, t) == SQ_EWEIGHT);
    EXPECT_CONTAINS(sq_message(t), "other params");
    EXPECT_ERROR(t, SQ_EWEIGHT);
    cr_expect(sq_optim_step(o, bare) == SQ_EWEIGHT);
    EXPECT_ERROR(bare, SQ_EWEIGHT);
    cr_expect(sq_optim_step(NULL, t) == SQ_EVALUE);
    EXPECT_ERROR(t, SQ_EVALUE);
    cr_expect(sq_optim_step(o, NULL) == SQ_ENOMEM);

    sq_add(sq_zeros(t, sq_vec(2)), sq_zeros(t, sq_vec(3)));
    cr_expect(sq_optim_step(o, t) == SQ_ESHAPE, "the tape's own error");
    EXPECT_ERROR(t, SQ_ESHAPE);

    sq_params_add(p, "W", sq_vec(1));
    cr_expect(sq_optim_step(o, t) == SQ_EWEIGHT, "the params' own error");
    EXPECT_CONTAINS(sq_message(t), "\"W\" already");
    cr_expect(sq_params_status(p) == SQ_EWEIGHT, "it stays where it was");
    sq_params_clear_error(p);
    EXPECT_ERROR(t, SQ_EWEIGHT);

    EXPECT_SAME_BITS(sq_params_view(p), golden_start, sizeof golden_start, "weights");
    EXPECT_SAME_BITS(sq_params_view(other), golden_start, sizeof golden_start, "weights");
    cr_expect(sq_optim_updates(o) == 0);
    BACKWARD(loss_of(t));
    cr_expect(sq_optim_step(o, t) == SQ_OK, "%s", sq_message(t));
    sq_optim_free(o);
    sq_optim_free(of_other);
    sq_tape_free(t);
    sq_tape_free(bare);
    sq_params_free(p);
    sq_params_free(other);
}

/* A rate small enough on sum((w - 2)^2) converges with every kind. */
Test(optim, every_kind_finds_a_minimum)
{
    const double rates[] = { 0.1, 0.01, 0.5, 0.05, 0.05 };
    for (int k = SQ_SGD; k <= SQ_ADAMW; k++) {
        sq_params *p = W_and_b(SQ_F64);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_optim_options options = { .kind = (sq_optim_kind)k, .rate = rates[k], .decay = -1 };
        sq_optim *o = optim_new(p, options);
        for (int n = 0; n < 600; n++) {
            sq_tape_reset(t);
            sq_zero_grads(t);
            sq_var e = sq_sub(sq_use(t, (sq_weight){ 1 }), sq_constant(t, 2));
            BACKWARD(sq_sum(sq_mul(e, e)));
            cr_assert(sq_optim_step(o, t) == SQ_OK, "%s", sq_message(t));
        }
        const double *w = sq_params_view(p);
        for (int i = 0; i < GOLDEN_W; i++) EXPECT_NEAR(w[i], 2, 1e-2, "the minimum");
        sq_optim_free(o);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* ---- Clipping ---- */

static double length(const double *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

static void read_grads(sq_tape *t, double out[GOLDEN_N])
{
    sq_weight_grad(t, (sq_weight){ 1 }, out);
    cr_assert(sq_weight_grad_f64(t, (sq_weight){ 2 }, out + GOLDEN_W) == SQ_OK);
}

Test(clip, the_norm_becomes_the_limit_and_the_direction_stays)
{
    rng r = { 3 };
    for (int d = 0; d < 2; d++) {
        sq_params *p = W_and_b((sq_dtype)d);
        sq_tape *t = sq_tape_new((sq_dtype)d, p);
        double tol = d == SQ_F32 ? 2e-6 : 1e-14;
        for (int n = 0; n < 300; n++) {
            double g[GOLDEN_N], got[GOLDEN_N], norm = -1;
            fill(g, GOLDEN_N, rng_bits(&r), -10, 10);
            set_grads(t, g);
            double size = length(g, GOLDEN_N), limit = size * rng_in(&r, 1e-3, 0.999);
            EXPECT_NEAR(sq_grads_norm(t), size, 1e-14, "the norm");
            cr_expect(sq_clip_norm(t, limit, &norm) == SQ_OK);
            EXPECT_NEAR(norm, size, 1e-14, "the norm before");
            double after = sq_grads_norm(t);
            cr_expect(after <= limit && after >= limit * (1 - tol), "%.17g of %.17g", after,
                      limit);
            read_grads(t, got);
            for (int i = 0; i < GOLDEN_N; i++)
                EXPECT_NEAR(got[i] / (g[i] * limit / size), 1, tol, "an element's scale");
        }
        sq_tape_free(t);
        sq_params_free(p);
    }
}

Test(clip, gradients_within_the_limit_keep_their_bits)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    set_grads(t, golden_grads[0]);
    double size = sq_grads_norm(t);
    cr_expect(sq_clip_norm(t, size, NULL) == SQ_OK && sq_clip_norm(t, infinite, NULL) == SQ_OK);
    cr_expect(sq_clip_value(t, 1) == SQ_OK && sq_clip_value(t, infinite) == SQ_OK);
    EXPECT_SAME_BITS(sq_grads(t), golden_grads[0], sizeof golden_grads[0], "gradients");
    cr_expect(sq_clip_norm(t, 0, NULL) == SQ_OK && sq_grads_norm(t) == 0);
    cr_expect(sq_clip_norm(t, 0, &size) == SQ_OK && size == 0, "nothing of nothing");
    sq_tape_free(t);
    sq_params_free(p);
}

Test(clip, values_are_limited_and_never_reversed)
{
    for (int d = 0; d < 2; d++) {
        sq_params *p = W_and_b((sq_dtype)d);
        sq_tape *t = sq_tape_new((sq_dtype)d, p);
        double g[GOLDEN_N], got[GOLDEN_N];
        fill(g, GOLDEN_N, 5, -1, 1);
        set_grads(t, g);
        cr_expect(sq_clip_value(t, 0.5) == SQ_OK);
        read_grads(t, got);
        for (int i = 0; i < GOLDEN_N; i++)
            cr_expect(got[i] == (g[i] > 0.5 ? 0.5 : g[i] < -0.5 ? -0.5 : g[i]), "%d", i);
        cr_expect(sq_clip_value(t, 0) == SQ_OK && sq_grads_norm(t) == 0);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

Test(clip, negative_limits_are_refused_and_reverse_nothing)
{
    const double bad[] = { -1, -1e-300, -infinite, not_a_number };
    sq_params *p = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    set_grads(t, golden_grads[0]);
    for (int i = 0; i < COUNT(bad); i++) {
        double norm = 0;
        cr_expect(sq_clip_norm(t, bad[i], &norm) == SQ_EVALUE);
        cr_expect(isnan(norm) && isnan(sq_grads_norm(t)));
        EXPECT_CONTAINS(sq_message(t), "clip_norm: the limit");
        EXPECT_ERROR(t, SQ_EVALUE);
        cr_expect(sq_clip_value(t, bad[i]) == SQ_EVALUE);
        EXPECT_CONTAINS(sq_message(t), "clip_value: the limit");
        EXPECT_ERROR(t, SQ_EVALUE);
    }
    EXPECT_SAME_BITS(sq_grads(t), golden_grads[0], sizeof golden_grads[0], "gradients");
    sq_tape_free(t);
    sq_params_free(p);
}

Test(clip, a_gradient_that_is_not_finite_is_told_by_weight_and_left)
{
    const double bad[] = { not_a_number, infinite, -infinite };
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < COUNT(bad); i++) {
            sq_params *p = W_and_b((sq_dtype)d);
            sq_tape *t = sq_tape_new((sq_dtype)d, p);
            double g[GOLDEN_N], norm = 0;
            memcpy(g, golden_grads[0], sizeof g);
            g[GOLDEN_W + 2] = g[GOLDEN_W + 3] = bad[i];
            set_grads(t, g);
            void *before = grads_copy(t);
            cr_expect(isfinite(sq_grads_norm(t)) == 0);
            cr_expect(sq_clip_norm(t, 1, &norm) == SQ_ENONFINITE && !isfinite(norm));
            EXPECT_CONTAINS(sq_message(t), "weight \"b\" is not finite at element 2");
            EXPECT_ERROR(t, SQ_ENONFINITE);
            cr_expect(sq_clip_value(t, 1) == SQ_ENONFINITE);
            EXPECT_CONTAINS(sq_message(t), "clip_value: the gradient of weight \"b\"");
            EXPECT_ERROR(t, SQ_ENONFINITE);
            EXPECT_SAME_BITS(sq_grads(t), before, params_bytes(p), "gradients");
            free(before);
            sq_tape_free(t);
            sq_params_free(p);
        }
}

/* Their squares leave the range of double, they themselves do not. */
Test(clip, gradients_too_large_to_square_are_finite)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    double g[GOLDEN_N] = { 3e200, 4e200 }, norm;
    set_grads(t, g);
    cr_expect(sq_clip_norm(t, 1, &norm) == SQ_OK, "%s", sq_message(t));
    EXPECT_NEAR(norm / 5e200, 1, 1e-15, "the norm");
    double got[GOLDEN_N];
    read_grads(t, got);
    EXPECT_NEAR(got[0], 0.6, 1e-14, "first");
    EXPECT_NEAR(got[1], 0.8, 1e-14, "second");
    sq_tape_free(t);
    sq_params_free(p);
}

/* Their squares are 0, and they lie in two weights. */
Test(clip, gradients_too_small_to_square_are_limited_too)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    double g[GOLDEN_N] = { [0] = 3e-210, [GOLDEN_W] = -4e-210 }, norm;
    set_grads(t, g);
    EXPECT_NEAR(sq_grads_norm(t) / 5e-210, 1, 1e-15, "the norm");
    cr_expect(sq_clip_norm(t, 5e-220, &norm) == SQ_OK, "%s", sq_message(t));
    EXPECT_NEAR(norm / 5e-210, 1, 1e-15, "the norm before");
    double got[GOLDEN_N];
    read_grads(t, got);
    EXPECT_NEAR(got[0] / 3e-220, 1, 1e-14, "first");
    EXPECT_NEAR(got[GOLDEN_W] / -4e-220, 1, 1e-14, "last");
    sq_tape_free(t);
    sq_params_free(p);
}

Test(clip, frozen_weights_do_not_count)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_weight_set_frozen(p, (sq_weight){ 2 }, true);
    double g[GOLDEN_N] = { 3, 4, 0, 0, 0, 0, not_a_number, 100, 100, 100 };
    set_grads(t, g);
    EXPECT_NEAR(sq_grads_norm(t), 5, 1e-15, "the norm");
    cr_expect(sq_clip_norm(t, 2.5, NULL) == SQ_OK, "%s", sq_message(t));
    cr_expect(sq_clip_value(t, 1.75) == SQ_OK);
    const double *now = sq_grads(t);
    EXPECT_NEAR(now[0], 1.5, 1e-14, "scaled");
    cr_expect(now[1] == 1.75 && isnan(now[6]) && now[7] == 100);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(clip, without_params_or_tape)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    cr_expect(isnan(sq_grads_norm(t)));
    EXPECT_ERROR(t, SQ_EWEIGHT);
    cr_expect(sq_clip_norm(t, 1, NULL) == SQ_EWEIGHT);
    sq_tape_free(t);
    cr_expect(isnan(sq_grads_norm(NULL)));
    cr_expect(sq_clip_norm(NULL, 1, NULL) == SQ_ENOMEM && sq_clip_value(NULL, 1) == SQ_ENOMEM);
}

/* ---- Schedules ---- */

Test(schedule, constant_with_and_without_warm_up)
{
    sq_schedule s = { .rate = 0.5 };
    for (int64_t n = 0; n < 5; n++) cr_expect(sq_schedule_rate(&s, n) == 0.5);
    s.warmup = 4;
    const double want[] = { 0.125, 0.25, 0.375, 0.5, 0.5, 0.5 };
    for (int64_t n = 0; n < COUNT(want); n++) cr_expect(sq_schedule_rate(&s, n) == want[n]);
    cr_expect(sq_schedule_rate(&s, INT64_MAX) == 0.5);
}

Test(schedule, cosine_runs_from_rate_to_floor)
{
    for (int warmup = 0; warmup <= 6; warmup += 3) {
        sq_schedule s = { SQ_COSINE, 0.9, 0.1, 8, warmup };
        const int64_t at[] = { 0, 2, 4, 6, 8, 9, 1000 };
        const double s45 = sqrt(.5);
        const double want[] = { .9, .5 + .4 * s45, .5, .5 - .4 * s45, .1, .1, .1 };
        for (int i = 0; i < COUNT(at); i++)
            EXPECT_NEAR(sq_schedule_rate(&s, warmup + at[i]), want[i], 1e-15, "cosine");
        for (int n = 0; n < warmup; n++)
            EXPECT_NEAR(sq_schedule_rate(&s, n), 0.9 * (n + 1) / warmup, 1e-15, "warm-up");
        for (int64_t n = warmup; n < warmup + 8; n++)
            cr_expect(sq_schedule_rate(&s, n) > sq_schedule_rate(&s, n + 1), "it falls");
    }
}

Test(schedule, a_cosine_of_no_length_is_its_floor)
{
    sq_schedule s = { SQ_COSINE, 0.9, 0.1, 0, 2 };
    EXPECT_NEAR(sq_schedule_rate(&s, 0), 0.45, 1e-15, "warm-up");
    cr_expect(sq_schedule_rate(&s, 1) == 0.9 && sq_schedule_rate(&s, 2) == 0.1);
    cr_expect(sq_schedule_rate(&s, -5) == sq_schedule_rate(&s, 0));
}

/* ---- Noise on gradients -------------------------------------------------------------------- */

/* Every element as the header says it; the last digits of a float are those of one rounding. */
Test(noise, is_the_formula_of_the_header)
{
    for (int d = 0; d < 2; d++) {
        sq_params *p = W_and_b((sq_dtype)d);
        sq_tape *t = sq_tape_new((sq_dtype)d, p);
        double got[GOLDEN_N], sigma = sqrt(.3 / pow(1 + 41, .55));
        sq_tape_set_seed(t, 17);
        set_grads(t, golden_grads[0]);
        cr_assert(sq_grads_add_noise(t, .3, .55, 41) == SQ_OK);
        read_grads(t, got);
        for (int i = 0; i < GOLDEN_N; i++) {
            uint64_t id = i < GOLDEN_W ? 1 : 2,
                     at = (uint64_t)(i < GOLDEN_W ? i : i - GOLDEN_W);
            sq_random s = sq_random_stream(17, UINT64_MAX, 41, id);
            double g = d == SQ_F32 ? (double)(float)golden_grads[0][i] : golden_grads[0][i];
            double want = g + sigma * sq_random_normal(s, 0, at);
            EXPECT_NEAR(got[i], d == SQ_F32 ? (double)(float)want : want, 1e-15, "an element");
        }
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* On another tape, at another moment: a function of seed and update, whatever was drawn before. */
Test(noise, resumes)
{
    double g[4][GOLDEN_N];
    for (int i = 0; i < 4; i++) {
        sq_params *p = W_and_b(SQ_F64);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_tape_set_seed(t, i == 3 ? 6 : 5);
        set_grads(t, golden_grads[0]);
        if (i == 1) sq_tape_random(t), sq_tape_reset(t);
        cr_assert(sq_grads_add_noise(t, 1, .55, i == 2 ? 8 : 7) == SQ_OK);
        read_grads(t, g[i]);
        sq_tape_free(t);
        sq_params_free(p);
    }
    EXPECT_SAME_BITS(g[0], g[1], sizeof g[0], "the same update");
    for (int i = 0; i < GOLDEN_N; i++) cr_expect(g[0][i] != g[2][i] && g[0][i] != g[3][i]);
}

Test(noise, has_the_variance_of_the_schedule)
{
    enum { N = 100000 };
    static double g[N];
    sq_params *p = sq_params_new(SQ_F64);
    sq_params_add(p, "w", sq_vec(N));
    sq_tape *t = sq_tape_new(SQ_F64, p);
    for (int64_t update = 0; update < 3; update += 2) {
        sq_zero_grads(t);
        cr_assert(sq_grads_add_noise(t, 4, 1, update) == SQ_OK);
        memcpy(g, sq_grads(t), sizeof g);
        double sum = 0, squares = 0, variance = 4 / (1 + (double)update);
        for (int i = 0; i < N; i++) sum += g[i], squares += g[i] * g[i];
        cr_expect(fabs(sum / N) < 5 * sqrt(variance / N), "mean %g", sum / N);
        cr_expect(fabs(squares / N - variance) < 5 * variance * sqrt(2.0 / N));
    }
    sq_tape_free(t);
    sq_params_free(p);
}

Test(noise, frozen_weights_and_eta_zero_get_none)
{
    sq_params *p = W_and_b(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    double got[GOLDEN_N];
    set_grads(t, golden_grads[0]);
    cr_expect(sq_grads_add_noise(t, 0, .55, 0) == SQ_OK);
    EXPECT_SAME_BITS(sq_grads(t), golden_grads[0], sizeof golden_grads[0], "eta = 0");
    cr_assert(sq_weight_set_frozen(p, (sq_weight){ 1 }, true) == SQ_OK);
    cr_expect(sq_grads_add_noise(t, 1, .55, 0) == SQ_OK);
    read_grads(t, got);
    int same = 0;
    while (same < GOLDEN_N && got[same] == golden_grads[0][same]) same++;
    cr_expect(same == GOLDEN_W);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(noise, mistakes_leave_gradients_alone)
{
    const struct {
        double eta, gamma;
        int64_t update;
    } bad[] = { { -1, .55, 0 },
                { not_a_number, .55, 0 },
                { infinite, .55, 0 },
                { 1, not_a_number, 0 },
                { 1, .55, -1 } };
    for (int i = 0; i < COUNT(bad); i++) {
        sq_params *p = W_and_b(SQ_F64);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        set_grads(t, golden_grads[0]);
        cr_expect(sq_grads_add_noise(t, bad[i].eta, bad[i].gamma, bad[i].update) == SQ_EVALUE);
        EXPECT_CONTAINS(sq_message(t), "grads_add_noise: eta is");
        sq_tape_reset(t);
        EXPECT_SAME_BITS(sq_grads(t), golden_grads[0], sizeof golden_grads[0], "gradients");
        sq_tape_free(t);
        sq_params_free(p);
    }
    cr_expect(sq_grads_add_noise(NULL, 1, .55, 0) == SQ_ENOMEM);
}
