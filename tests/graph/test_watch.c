/* test_watch.c -- the post-mortem: which step, layer, gate and operation the first number came from
 * that is not finite, forward and backward, eager and planned; and never a false alarm. */
#include "tests/support/support.h"

enum { B = 4, INPUT = 7, H = 32, T = 200, WIDE = INPUT + 1 };

/* ---- A cell that is well behaved until its last input channel is not zero ------------------- */

/* Four gates g_k = phi(x W_k + b_k + h U_k); row INPUT of W_k is all `plant` for one gate and
 * zero for the others. h' = tanh(.3 g_0 h + g_1 - g_2 g_3). */
enum { GATES = 4 };
static const char *const gate_names[GATES] = { "a", "f", "i", "o" };

typedef struct gated {
    sq_params *params;
    sq_weight W[GATES], U[GATES], b[GATES];
    sq_var (*phi)(sq_var);
} gated;

static sq_var gate(sq_tape *t, const gated *w, sq_var x, sq_var h, int k)
{
    sq_var z = sq_add(sq_affine(x, sq_use(t, w->W[k]), sq_use(t, w->b[k])),
                      sq_matmul(h, sq_use(t, w->U[k])));
    return sq_name(w->phi(z), gate_names[k]);
}

static sq_var gated_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    sq_var g[GATES];
    for (int k = 0; k < GATES; k++) g[k] = gate(t, self, x, *h, k);
    sq_var kept = sq_mul_scalar(sq_mul(g[0], *h), .3);
    return *h = sq_tanh(sq_add(kept, sq_sub(g[1], sq_mul(g[2], g[3]))));
}

/* Its slope is infinite at 0, where all that was negative goes. */
static sq_var root(sq_var z) { return sq_sqrt(sq_relu(z)); }

static void gated_new(gated *w, sq_dtype dtype, sq_var (*phi)(sq_var), int planted,
                      double plant)
{
    static const char names[3][GATES][4] = { { "Wa", "Wf", "Wi", "Wo" },
                                             { "Ua", "Uf", "Ui", "Uo" },
                                             { "ba", "bf", "bi", "bo" } };
    double W[WIDE * H], U[H * H], b[H];
    w->params = sq_params_new(dtype);
    w->phi = phi;
    for (int k = 0; k < GATES; k++) {
        w->W[k] = sq_params_add(w->params, names[0][k], sq_mat(WIDE, H));
        w->U[k] = sq_params_add(w->params, names[1][k], sq_mat(H, H));
        w->b[k] = sq_params_add(w->params, names[2][k], sq_vec(H));
        fill(W, WIDE * H, 100 + (uint64_t)k, -.05, .05);
        fill(U, H * H, 200 + (uint64_t)k, -.02, .02);
        for (int j = 0; j < H; j++) W[INPUT * H + j] = k == planted ? plant : 0, b[j] = 2;
        cr_assert(sq_weight_set(w->params, w->W[k], W) == SQ_OK);
        cr_assert(sq_weight_set(w->params, w->U[k], U) == SQ_OK);
        cr_assert(sq_weight_set(w->params, w->b[k], b) == SQ_OK);
    }
}

static sq_cell gated_cell(const gated *w)
{
    static const int64_t width[] = { H };
    static const char *const names[] = { "h" };
    return (sq_cell){ "gated", 1, width, names, gated_step, w };
}

/* [T,B,WIDE], the last channel zero but for one step. */
static void planted_input(double *x, uint64_t seed, int64_t step, double value)
{
    fill(x, (int64_t)T * B * WIDE, seed, -1, 1);
    for (int64_t i = 0; i < T * B; i++) x[i * WIDE + INPUT] = i / B == step ? value : 0;
}

/* ---- Ways to run it ------------------------------------------------------------------------ */

typedef struct way {
    const char *name;
    sq_mode mode;
    int32_t threads;
    int64_t every;
    bool inference, by_hand;
} way;

static const way ways[] = {
    { "eager", SQ_EAGER, 1, 0, false, false },
    { "plan", SQ_PLAN, 1, 0, false, false },
    { "plan, two threads", SQ_PLAN, 2, 0, false, false },
    { "plan, a budget", SQ_PLAN, 1, 17, false, false },
    { "plan, a budget, two threads", SQ_PLAN, 2, 17, false, false },
    { "eager, a budget", SQ_EAGER, 1, 23, false, false },
    { "by hand", SQ_EAGER, 1, 0, false, true },
    { "plan, inference", SQ_PLAN, 1, 0, true, false },
    { "eager, inference", SQ_EAGER, 1, 0, true, false },
};
enum { WAYS = COUNT(ways), SWEPT_WAYS = WAYS - 2 };

static sq_var by_hand(sq_tape *t, const sq_cell *cell, sq_var x)
{
    sq_var h = sq_zeros(t, sq_mat(B, H)), loss = sq_constant(t, 0);
    for (int64_t i = 0; i < T; i++) {
        sq_begin_step(t);
        sq_var xi = sq_reshape(sq_slice(x, 0, i, 1), sq_mat(B, WIDE));
        loss = sq_add(loss, sq_sum(cell->step(t, cell->self, xi, &h)));
    }
    sq_end_step(t);
    return loss;
}

/* Runs a way, and sweeps; the tape afterwards, to be freed. */
static sq_tape *run(const way *y, const gated *w, const double *x)
{
    sq_tape *t = sq_tape_new(sq_params_dtype(w->params), w->params);
    sq_cell cell = gated_cell(w);
    sq_unroll_options o = { .mode = y->mode, .every = y->every, .watch_nonfinite = true };
    sq_tape_set_threads(t, y->threads);
    sq_tape_set_inference(t, y->inference);
    if (y->by_hand) sq_tape_set_watch(t, &(sq_watch){ .nonfinite = true });
    sq_var in = sq_input(t, sq_shape3(T, B, WIDE), x);
    sq_var loss = y->by_hand ? by_hand(t, &cell, in)
                             : sq_sum(sq_unrolled_outputs(sq_unroll(t, &cell, in, NULL, &o)));
    if (y->inference) return t;
    sq_status s = sq_backward(loss);
    cr_expect(loss.tape == NULL || s == sq_tape_status(t), "%s: %d, %s", y->name, (int)s,
              sq_message(t));
    return t;
}

/* What the sentence must begin with. */
static void expect_told(const way *y, sq_tape *t, const char *direction, int64_t step,
                        const char *what)
{
    char want[128];
    snprintf(want, sizeof want, y->by_hand ? "%s, step %lld, %s" : "%s, step %lld of 200, %s",
             direction, (long long)step, what);
    cr_expect(sq_tape_status(t) == SQ_ENONFINITE, "%s: status %d", y->name,
              (int)sq_tape_status(t));
    cr_expect(strncmp(sq_message(t), want, strlen(want)) == 0, "%s:\n got \"%s\"\nwant \"%s\"",
              y->name, sq_message(t), want);
    EXPECT_SOUND(t);
}

enum { PLANTS = 20 };

/* 1e30 of a weight of 1e10 is too much for a float, 1e300 for a double. The sigmoid that follows
 * would hide it. */
Test(watch, forward_plants)
{
    static double x[T * B * WIDE];
    rng r = { 1 };
    for (int i = 0; i < FEWER(PLANTS); i++) {
        sq_dtype dtype = i % 4 ? SQ_F32 : SQ_F64;
        int64_t step = rng_below(&r, T);
        int k = rng_below(&r, GATES);
        char what[64];
        gated w;
        gated_new(&w, dtype, sq_sigmoid, k, 1e10);
        planted_input(x, (uint64_t)i, step, dtype == SQ_F32 ? 1e30 : 1e300);
        snprintf(what, sizeof what, "gate %s, affine [4,8] x [8,32] x [32], inputs -",
                 gate_names[k]);
        for (int j = 0; j < WAYS; j++) {
            sq_tape *t = run(&ways[j], &w, x);
            expect_told(&ways[j], t, "forward", step, what);
            EXPECT_CONTAINS(sq_message(t), "the result is inf at [0,0]");
            sq_tape_free(t);
        }
        sq_params_free(w.params);
    }
}

Test(watch, backward_plants)
{
    static double x[T * B * WIDE];
    rng r = { 2 };
    for (int i = 0; i < FEWER(PLANTS); i++) {
        int64_t step = rng_below(&r, T);
        int k = rng_below(&r, GATES);
        char what[64];
        gated w;
        gated_new(&w, i % 4 ? SQ_F32 : SQ_F64, root, k, 1e4);
        planted_input(x, (uint64_t)i, step, -1);
        snprintf(what, sizeof what, "gate %s, sqrt [4,32], input 0..0: gradient",
                 gate_names[k]);
        for (int j = 0; j < SWEPT_WAYS; j++) {
            sq_tape *t = run(&ways[j], &w, x);
            expect_told(&ways[j], t, "backward", step, what);
            sq_tape_free(t);
        }
        sq_params_free(w.params);
    }
}

/* ---- What it may be ------------------------------------------------------------------------ */

/* y = f(x) with x = `value` at element 1 of step 2 of 4, `usual` elsewhere, in the ways given. */
typedef sq_var make_fn(sq_tape *t, sq_var x);
static sq_var over_itself(sq_tape *t, sq_var x) { return (void)t, sq_div(x, x); }
static sq_var exp_of(sq_tape *t, sq_var x) { return (void)t, sq_exp(x); }
static sq_var log_of(sq_tape *t, sq_var x) { return (void)t, sq_log(x); }
static sq_var kept(sq_tape *t, sq_var x) { return (void)t, sq_mul_scalar(x, 2); }

static sq_var small_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    make_fn *const *f = self;
    sq_var y = sq_name((*f)(t, x), "y");
    return *h = sq_tanh(sq_add(*h, y));
}

static sq_tape *run_small(make_fn *f, double usual, double value, sq_mode mode)
{
    static const int64_t width[] = { 3 };
    float x[4 * 3];
    sq_cell cell = { "small", 1, width, NULL, small_step, &f };
    sq_unroll_options o = { .mode = mode, .watch_nonfinite = true };
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    for (int i = 0; i < 12; i++) x[i] = (float)(i == 2 * 3 + 1 ? value : usual);
    cr_expect(sq_unroll(t, &cell, sq_input(t, sq_shape3(4, 1, 3), x), NULL, &o) == NULL);
    return t;
}

static const struct bad {
    make_fn *f;
    double usual, value;
    const char *told;
} bads[] = {
    { exp_of, 1, 89,
      "forward, step 2 of 4, gate y, exp [1,3], input 1..89: the result is inf at [0,1]" },
    { log_of, 1, -2,
      "forward, step 2 of 4, gate y, log [1,3], input -2..1: the result is nan at [0,1]" },
    { over_itself, 2, 0,
      "forward, step 2 of 4, gate y, div [1,3] x [1,3], inputs 0..2, 0..2: states grew 1.24x per step "
      "since step 0 and the result is nan at [0,1]" }, /* tanh(1), tanh(1 + tanh(1)) */
    { kept, 2, (double)NAN, "forward, step 2 of 4: the input [1,3] is nan at [0,1]" },
    { kept, 2, -(double)INFINITY, "forward, step 2 of 4: the input [1,3] is -inf at [0,1]" },
};

Test(watch, causes)
{
    for (int i = 0; i < COUNT(bads); i++)
        for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
            sq_tape *t = run_small(bads[i].f, bads[i].usual, bads[i].value, (sq_mode)mode);
            EXPECT_STATUS(t, SQ_ENONFINITE);
            EXPECT_TEXT(sq_message(t), bads[i].told);
            sq_tape_free(t);
        }
}

Test(watch, infinite_weight)
{
    static double x[T * B * WIDE], U[H * H];
    planted_input(x, 3, 0, 0);
    for (int j = 0; j < WAYS; j++) {
        gated w;
        gated_new(&w, SQ_F32, sq_sigmoid, 0, 1);
        U[5 * H + 7] = (double)INFINITY;
        cr_assert(sq_weight_set(w.params, w.U[2], U) == SQ_OK);
        sq_tape *t = run(&ways[j], &w, x);
        EXPECT_CONTAINS(sq_message(t), "forward, step 0");
        EXPECT_CONTAINS(sq_message(t), ": weight \"Ui\" is inf at [5,7]");
        sq_tape_free(t);
        sq_params_free(w.params);
    }
}

/* A bad number that a loss outside sends in is not the cell's. */
Test(watch, from_outside)
{
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        net n;
        double x[5 * 2 * 3], seed[5 * 2 * 4] = { 0 };
        net_new(&n, SQ_F64, 3, 4, 1);
        fill(x, COUNT(x), 2, -1, 1);
        seed[3 * 2 * 4 + 6] = (double)NAN;
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        sq_unroll_options o = { .mode = (sq_mode)mode, .watch_nonfinite = true };
        const sq_unrolled *u =
            sq_unroll(t, &n.cell, sq_input(t, sq_shape3(5, 2, 3), x), NULL, &o);
        cr_expect(sq_backward_from(sq_unrolled_outputs(u), seed) == SQ_ENONFINITE);
        EXPECT_CONTAINS(sq_message(t), "backward, step 3 of 5, state h");
        EXPECT_CONTAINS(sq_message(t),
                        "the gradient that arrives from outside is nan at [1,2]");
        sq_tape_free(t);
        net_free(&n);
    }
}

/* ---- Growth -------------------------------------------------------------------------------- */

/* h' = 2 h + x: |dL/dh_t| doubles with every step back from the last. */
static sq_var doubling(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self;
    return *h = sq_add(sq_mul_scalar(*h, 2), x);
}

static sq_tape *run_doubling(sq_unroll_options o)
{
    static const int64_t width[] = { 1 };
    static const char *const names[] = { "h" };
    static const float x[20] = { 1 };
    sq_cell cell = { "doubling", 1, width, names, doubling, NULL };
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    o.outputs = SQ_OUTPUTS_LAST;
    const sq_unrolled *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(20, 1, 1), x), NULL, &o);
    sq_status s = sq_backward(sq_sum(sq_unrolled_outputs(u)));
    cr_expect(s == sq_tape_status(t));
    return t;
}

/* |dL/dh_t| = 2^(19 - t): above 1000 first at t = 9, where it is 1024. */
Test(watch, growth)
{
    static const int64_t every[] = { 0, 6 };
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++)
        for (int i = 0; i < COUNT(every); i++) {
            sq_unroll_options o = { .mode = (sq_mode)mode, .every = every[i] };
            o.watch_limit = 1000;
            sq_tape *t = run_doubling(o);
            EXPECT_STATUS(t, SQ_ENONFINITE);
            EXPECT_TEXT(sq_message(t), "backward, step 9 of 20, state h: gradient grew 2x per "
                                       "step since step 19 and has norm 1.02e+03, above 1e+03");
            sq_tape_free(t);
            o.watch_limit = 0;
            o.watch_growth = 30;
            o.watch_steps = 5;
            t = run_doubling(o);
            EXPECT_TEXT(sq_message(t), "backward, step 14 of 20, state h: gradient grew 2x per "
                                       "step since step 19 and has norm 32, more than 30 times "
                                       "that of step 19");
            sq_tape_free(t);
            o.watch_growth = 33;
            t = run_doubling(o);
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
        }
}

/* ---- Layers -------------------------------------------------------------------------------- */

/* Layer 0 knows nothing of the last channel, which comes to layer 1 past it. */
static sq_var two_layers(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const gated *w = self;
    sq_var lower = sq_slice(x, 1, 0, INPUT), extra = sq_slice(x, 1, INPUT, 1);
    gated_step(t, &w[0], sq_pad(lower, 1, 0, 1), &h[0]);
    sq_var y = sq_slice(h[0], 1, 0, INPUT);
    sq_var both[] = { y, extra };
    return gated_step(t, &w[1], sq_concat(both, 2, 1), &h[1]);
}

Test(watch, layers)
{
    static double x[T * B * WIDE];
    static const int64_t width[] = { H, H };
    static const char *const names[] = { "0.h", "1.h" };
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++)
        for (int back = 0; back < 2; back++) {
            gated w[2];
            gated_new(&w[0], SQ_F32, back ? root : sq_sigmoid, 1, back ? 1e4 : 1e10);
            w[1] = w[0];
            planted_input(x, 5, 150, back ? -1 : 1e30);
            sq_cell cell = { "two", 2, width, names, two_layers, w };
            sq_unroll_options o = { .mode = (sq_mode)mode, .watch_nonfinite = true };
            sq_tape *t = sq_tape_new(SQ_F32, w[0].params);
            sq_var in = sq_input(t, sq_shape3(T, B, WIDE), x);
            sq_var y = sq_sum(sq_unrolled_outputs(sq_unroll(t, &cell, in, NULL, &o)));
            cr_expect(sq_backward(y) != SQ_OK);
            EXPECT_CONTAINS(sq_message(t),
                            back ? "backward, step 150 of 200, layer 1, gate f, sqrt"
                                 : "forward, step 150 of 200, layer 1, gate f, affine");
            sq_tape_free(t);
            sq_params_free(w[0].params);
        }
}

/* ---- No false alarm ------------------------------------------------------------------------ */

static void *clean_run(rng z, bool watch, size_t *bytes)
{
    net n;
    int64_t steps = 1 + rng_below(&z, 9), rows = 1 + rng_below(&z, 3),
            in = 1 + rng_below(&z, 3);
    double x[9 * 3 * 3];
    sq_unroll_options o = { .mode = rng_below(&z, 2) ? SQ_PLAN : SQ_EAGER };
    o.every = rng_below(&z, 3) ? 0 : 1 + rng_below(&z, 5);
    o.watch_nonfinite = watch;
    o.watch_limit = watch ? 1e6 : 0;
    net_new(&n, rng_below(&z, 2) ? SQ_F32 : SQ_F64, in, 1 + rng_below(&z, 9), rng_bits(&z));
    fill(x, COUNT(x), rng_bits(&z), -3, 3);
    sq_tape *t = sq_tape_new(sq_params_dtype(n.params), n.params);
    for (int turn = 0; turn < 2; turn++) { /* the second in memory that was used before */
        sq_var v = sq_input(t, sq_shape3(steps, rows, in), x);
        BACKWARD(sq_sum(sq_unrolled_outputs(sq_unroll(t, &n.cell, v, NULL, &o))));
        ASSERT_HEALTHY(t);
        sq_tape_reset(t);
    }
    *bytes = params_bytes(n.params);
    void *g = malloc(*bytes + 1);
    memcpy(g, sq_grads(t), *bytes);
    sq_tape_free(t);
    net_free(&n);
    return g;
}

Test(watch, clean_runs_and_bits)
{
    rng z = { 77 };
    size_t n;
    for (int i = 0; i < FEWER(1000); i++) {
        rng same = { rng_bits(&z) };
        void *a = clean_run(same, true, &n), *b = clean_run(same, false, &n);
        EXPECT_SAME_BITS(a, b, n, "gradients under watch");
        free(a);
        free(b);
    }
}

/* Numbers that are large, and finite, are none of its business. */
Test(watch, large_is_no_alarm)
{
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        make_fn *f = kept;
        static const int64_t width[] = { 3 };
        sq_cell cell = { "small", 1, width, NULL, small_step, &f };
        const float x[12] = { 1.7e38f, -1.7e38f, 1e-45f, 0 };
        sq_unroll_options o = { .mode = (sq_mode)mode, .watch_nonfinite = true };
        sq_tape *t = sq_tape_new(SQ_F32, NULL);
        const sq_unrolled *u =
            sq_unroll(t, &cell, sq_input(t, sq_shape3(4, 1, 3), x), NULL, &o);
        BACKWARD(sq_sum(sq_unrolled_outputs(u)));
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

/* ---- Afterwards ---------------------------------------------------------------------------- */

/* The error stays; weights are as they were; gradients count again after they were zeroed. */
Test(watch, afterwards)
{
    static double x[T * B * WIDE];
    for (int j = 0; j < SWEPT_WAYS; j++) {
        const way *y = &ways[j];
        float g[WIDE * H];
        gated w;
        gated_new(&w, SQ_F32, root, 2, 1e4);
        planted_input(x, 9, 20, -1);
        sq_tape *t = run(y, &w, x);
        char first[600];
        snprintf(first, sizeof first, "%s", sq_message(t));
        sq_begin_step(t);
        cr_expect(sq_backward(sq_constant(t, 1)) == SQ_ENONFINITE);
        EXPECT_TEXT(sq_message(t), first);
        sq_tape_reset(t);
        cr_expect(sq_weight_grad(t, w.W[0], g) == SQ_EGRAD, "%s", y->name);
        sq_tape_reset(t);
        sq_zero_grads(t);
        planted_input(x, 9, 20, 0);
        sq_cell cell = gated_cell(&w);
        sq_unroll_options o = { .mode = y->mode, .every = y->every, .watch_nonfinite = true };
        sq_var in = sq_input(t, sq_shape3(T, B, WIDE), x);
        BACKWARD(sq_sum(sq_unrolled_outputs(sq_unroll(t, &cell, in, NULL, &o))));
        cr_expect(sq_weight_grad(t, w.W[0], g) == SQ_OK);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
        sq_params_free(w.params);
    }
}

/* By hand the sentence comes at the end of the step, or when the status is asked for. */
Test(watch, by_hand)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    const double x[2] = { 1, 800 };
    sq_tape_set_watch(t, &(sq_watch){ .nonfinite = true });
    sq_begin_step(t);
    sq_name(sq_exp(sq_input(t, sq_vec(2), x)), "g");
    sq_begin_step(t);
    EXPECT_STATUS(t, SQ_ENONFINITE);
    EXPECT_TEXT(sq_message(t),
                "forward, step 0, gate g, exp [2], input 1..800: the result is inf at [1]");
    sq_tape_reset(t);
    sq_exp(sq_input(t, sq_vec(2), x));
    EXPECT_TEXT(sq_message(t),
                "forward, between steps, exp [2], input 1..800: the result is inf at [1]");
    sq_tape_reset(t);
    sq_tape_set_watch(t, NULL);
    sq_exp(sq_input(t, sq_vec(2), x));
    ASSERT_HEALTHY(t);
    sq_tape_set_watch(t, &(sq_watch){ .limit = -1 });
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_set_watch(t, &(sq_watch){ .growth = (double)NAN });
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_free(t);
}
