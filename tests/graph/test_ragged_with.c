/* test_ragged_with.c -- ragged rows together with everything else an unroll does: forms of outputs,
 * states, dropout, generation, inference, nesting; and mistakes.
 *
 * That rows are right in themselves is the business of test_ragged.c. */
#include "tests/support/ragged.h"

/* ---- Outputs ------------------------------------------------------------------------------ */

/* Entry [t,b] of the outputs of all steps: of the last step of each row, or their sum. */
static void expect_outputs(const one *o, sq_unroll_options options, const int32_t *taken)
{
    double all[T * B * H], got[B * H], want[B * H] = { 0 }, g_all[T * B * I], g[T * B * I];
    sq_outputs how = options.outputs;
    double w[T * B * H] = { 0 };
    for (int i = 0; i < T * B; i++) {
        int at = options.reverse ? (T - 1 - i / B) * B + i % B : i; /* in the order they ran */
        bool last = taken[at];
        for (int j = i + B; j < T * B; j += B)
            last = last && !taken[options.reverse ? (T - 1 - j / B) * B + j % B : j];
        for (int j = 0; j < H; j++)
            w[at * H + j] = how == SQ_OUTPUTS_SUM || last ? o->d.r[(i % B) * H + j] : 0;
    }
    for (int pass = 0; pass < 2; pass++) {
        sq_tape *t = sq_tape_new(SQ_F64, o->p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o->d.x);
        options.outputs = pass ? how : SQ_OUTPUTS_ALL;
        const sq_unrolled *u = sq_unroll(t, &o->c.cell, x, NULL, &options);
        cr_assert(u != NULL, "%s", sq_message(t));
        sq_var y = sq_unrolled_outputs(u);
        sq_copy(y, pass ? got : all);
        sq_shape s = pass ? sq_mat(B, H) : sq_shape3(T, B, H);
        BACKWARD(sq_sum(sq_mul(y, sq_input(t, s, pass ? o->d.r : w))));
        sq_grad_copy(x, pass ? g : g_all);
        sq_tape_free(t);
    }
    for (int i = 0; i < T * B * H; i++) {
        int b = i / H % B, j = i % H;
        bool counts = w[i] != 0;
        if (counts) want[b * H + j] += all[i];
    }
    EXPECT_ALL_NEAR(got, want, B * H, 1e-14, "outputs");
    EXPECT_ALL_NEAR(g, g_all, T * B * I, 1e-13, "their gradients");
}

Test(ragged, last_outputs_and_sums_are_of_the_steps_taken)
{
    one o;
    one_new(&o);
    int32_t mask[T * B], by_length[T * B];
    draw_flags(mask, 15, 2);
    for (int t = 0; t < T; t++) mask[t * B + 1] = 0;
    sq_length_mask(lengths, T, B, by_length);
    for (int way = 0; way < 8; way++) {
        sq_unroll_options options = { .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                      .outputs = way & 2 ? SQ_OUTPUTS_LAST : SQ_OUTPUTS_SUM,
                                      .reverse = way & 4 };
        options.lengths = lengths;
        expect_outputs(&o, options, by_length);
        options.every = 3;
        expect_outputs(&o, options, by_length);
        options.every = 0;
        options.lengths = NULL;
        options.mask = mask;
        expect_outputs(&o, options, mask);
    }
    one_free(&o);
}

/* ---- States ------------------------------------------------------------------------------- */

Test(ragged, states_stay_as_they_were_after_the_end)
{
    one o;
    one_new(&o);
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        const sq_unrolled *u =
            sq_unroll(t, &o.c.cell, sq_input(t, sq_shape3(T, B, I), o.d.x), NULL,
                      &(sq_unroll_options){ .mode = (sq_mode)mode, .lengths = lengths });
        BACKWARD(sq_sum(sq_square(sq_unrolled_state(u, T - 1, 0))));
        double h[T][B * H], g[T][B * H];
        for (int i = 0; i < T; i++) {
            sq_copy(sq_unrolled_state(u, i, 0), h[i]);
            sq_grad_copy(sq_unrolled_state(u, i, 0), g[i]);
        }
        for (int b = 0; b < B; b++)
            for (int i = lengths[b] ? lengths[b] : 1; i < T; i++) {
                EXPECT_SAME_BITS(&h[i][b * H], &h[i - 1][b * H], H * sizeof(double), "states");
                EXPECT_SAME_BITS(&g[i][b * H], &g[i - 1][b * H], H * sizeof(double),
                                 "their gradients");
            }
        cr_expect(sq_norm(sq_unrolled_state(u, T - 1, 0)) > 0);
        EXPECT_TEXT(sq_unrolled_state_name(u, 1), "c");
        sq_tape_free(t);
    }
    one_free(&o);
}

/* A tree of continuations: two ways on from one state, one of them from its middle, and all gradients
 * meet in the trunk. Each path alone is the oracle. */
Test(ragged, any_step_may_start_from_any_earlier_state)
{
    one o;
    one_new(&o);
    enum { TRUNK = 3, BRANCH = 2, PATHS = 3 };
    static const int from[PATHS] = { TRUNK, TRUNK, 2 }; /* steps of the trunk on each path */
    double want[T * B * I] = { 0 }, got[T * B * I];
    double *gw = calloc(1, params_bytes(o.p));
    sq_shape part = sq_shape3(BRANCH, B, I);
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        sq_unroll_options options = { .mode = (sq_mode)mode };
        memset(want, 0, sizeof want);
        memset(gw, 0, params_bytes(o.p));
        for (int path = 0; path < PATHS; path++) {
            double x[T * B * I], g[T * B * I];
            size_t trunk = (size_t)from[path] * B * I,
                   at = (size_t)(TRUNK + BRANCH * path) * B * I;
            memcpy(x, o.d.x, trunk * sizeof *x);
            memcpy(x + trunk, o.d.x + at, BRANCH * B * I * sizeof *x);
            sq_tape *t = sq_tape_new(SQ_F64, o.p);
            sq_var in = sq_leaf(t, sq_shape3(from[path] + BRANCH, B, I), x);
            const sq_unrolled *u = sq_unroll(t, &o.c.cell, in, NULL, &options);
            BACKWARD(sq_sum(sq_square(sq_unrolled_state(u, from[path] + BRANCH - 1, 0))));
            sq_grad_copy(in, g);
            for (size_t i = 0; i < trunk; i++) want[i] += g[i];
            memcpy(want + at, g + trunk, BRANCH * B * I * sizeof *g);
            double *one_path = grads_copy(t);
            for (int64_t i = 0; i < sq_params_size(o.p); i++) gw[i] += one_path[i];
            free(one_path);
            sq_tape_free(t);
        }
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x), loss = sq_constant(t, 0);
        const sq_unrolled *trunk =
            sq_unroll(t, &o.c.cell, sq_slice(x, 0, 0, TRUNK), NULL, &options);
        for (int path = 0; path < PATHS; path++) {
            sq_var s[2], in = sq_slice(x, 0, TRUNK + BRANCH * path, BRANCH);
            for (int k = 0; k < 2; k++) s[k] = sq_unrolled_state(trunk, from[path] - 1, k);
            cr_assert(sq_shape_equal(sq_shape_of(in), part));
            const sq_unrolled *u = sq_unroll(t, &o.c.cell, in, s, &options);
            loss = sq_add(loss, sq_sum(sq_square(sq_unrolled_state(u, BRANCH - 1, 0))));
        }
        BACKWARD(loss);
        sq_grad_copy(x, got);
        EXPECT_ALL_NEAR(got, want, T * B * I, 1e-13, "input gradients");
        double *all = grads_copy(t);
        EXPECT_ALL_NEAR(all, gw, sq_params_size(o.p), 1e-13, "weight gradients");
        free(all);
        sq_tape_free(t);
    }
    free(gw);
    one_free(&o);
}

/* ---- With everything else ----------------------------------------------------------------- */

/* A wet cell: dropout on the input and, one mask per sequence, on the state; names its state. */
typedef struct wet {
    sq_weight W, U;
} wet;

static sq_var wet_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const wet *w = self;
    sq_var drive = sq_matmul(sq_dropout(*h, .25, SQ_PER_SEQUENCE), sq_use(t, w->U));
    if (sq_ok(x))
        drive = sq_add(drive, sq_matmul(sq_dropout(x, .5, SQ_PER_STEP), sq_use(t, w->W)));
    return *h = sq_tanh(sq_name(drive, "drive"));
}

static const int64_t wet_width[1] = { H };

static sq_cell wet_new(wet *w, sq_params *p)
{
    double v[H * H];
    fill(v, COUNT(v), 5, -1, 1);
    w->W = sq_params_add(p, "W", sq_mat(I, H));
    w->U = sq_params_add(p, "U", sq_mat(H, H));
    cr_assert(sq_weight_set_f64(p, w->W, v) == SQ_OK && sq_weight_set_f64(p, w->U, v) == SQ_OK);
    return (sq_cell){ "wet", 1, wet_width, NULL, wet_step, w };
}

/* Numbers follow absolute step and row: where a row takes a step, it takes it as without lengths. */
Test(ragged, random_numbers_follow_absolute_step_and_row)
{
    static data d;
    wet w;
    draw(&d);
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = wet_new(&w, p);
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        double y[3][T * B * H];
        for (int way = 0; way < 3; way++) {
            sq_tape *t = sq_tape_new(SQ_F64, p);
            sq_tape_set_seed(t, 99);
            const sq_unrolled *u =
                sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, I), d.x), NULL,
                          &(sq_unroll_options){ .mode = (sq_mode)mode,
                                                .lengths = way ? lengths : NULL,
                                                .every = way == 2 ? 2 : 0 });
            cr_assert(u != NULL, "%s", sq_message(t));
            sq_copy(sq_unrolled_outputs(u), y[way]);
            cr_expect(sq_ok(sq_unrolled_named(u, 3, "drive")));
            BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
        }
        for (int i = 0; i < T * B; i++)
            if (i / B < lengths[i % B])
                EXPECT_SAME_BITS(&y[0][i * H], &y[1][i * H], H * sizeof(double), "outputs");
        EXPECT_SAME_BITS(y[1], y[2], sizeof y[1], "outputs under a budget");
    }
    sq_params_free(p);
}

/* allenai/OLMo#828: recomputed steps drew other numbers than the first time. Dropout under a budget is
 * dropout without one, gradients too. */
Test(traps, olmo_dropout_of_steps_run_again)
{
    static data d;
    wet w;
    draw(&d);
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = wet_new(&w, p);
    for (int way = 0; way < 4; way++) {
        void *g[2];
        for (int budget = 0; budget < 2; budget++) {
            sq_tape *t = sq_tape_new(SQ_F64, p);
            sq_tape_set_seed(t, 7);
            const sq_unrolled *u =
                sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, I), d.x), NULL,
                          &(sq_unroll_options){ .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                                .lengths = way & 2 ? lengths : NULL,
                                                .every = budget ? 2 : 0 });
            BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
            g[budget] = grads_copy(t);
            sq_tape_free(t);
        }
        EXPECT_SAME_BITS(g[0], g[1], params_bytes(p), "weight gradients");
        free(g[0]);
        free(g[1]);
    }
    sq_params_free(p);
}

/* Rows without inputs: generation. */
Test(ragged, sequences_without_input_have_lengths_too)
{
    static data d;
    wet w;
    draw(&d);
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = wet_new(&w, p);
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        double full[T * B * H], y[T * B * H];
        for (int ragged = 0; ragged < 2; ragged++) {
            sq_tape *t = sq_tape_new(SQ_F64, p);
            sq_var s0 = sq_leaf(t, sq_mat(B, H), d.s0[0]), none = { t, 0 };
            const sq_unrolled *u = sq_unroll(
                t, &cell, none, &s0,
                &(sq_unroll_options){
                    .mode = (sq_mode)mode, .steps = T, .lengths = ragged ? lengths : NULL });
            cr_assert(u != NULL, "%s", sq_message(t));
            sq_copy(sq_unrolled_outputs(u), ragged ? y : full);
            BACKWARD(sq_sum(sq_unrolled_outputs(u)));
            sq_tape_free(t);
        }
        for (int i = 0; i < T * B * H; i++) {
            bool taken = i / (B * H) < lengths[i / H % B];
            cr_expect(y[i] == (taken ? full[i] : 0), "%d", i);
        }
    }
    sq_params_free(p);
}

/* No step, and no row. */
Test(ragged, of_no_steps_and_of_no_rows)
{
    one o;
    one_new(&o);
    static const int32_t zeros[B] = { 0 };
    for (int way = 0; way < 8; way++) {
        int64_t steps = way & 1 ? 0 : 2, rows = way & 1 ? B : 0;
        sq_unroll_options options = { .mode = way & 2 ? SQ_PLAN : SQ_EAGER,
                                      .outputs = way & 4 ? SQ_OUTPUTS_LAST : SQ_OUTPUTS_ALL,
                                      .lengths = zeros,
                                      .resets = zeros,
                                      .reverse = true };
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(steps, rows, I), o.d.x), last[2];
        const sq_unrolled *u = sq_unroll(t, &o.c.cell, x, NULL, &options);
        cr_assert(u != NULL, "%s", sq_message(t));
        sq_unrolled_last(u, last);
        cr_expect(sq_shape_equal(sq_shape_of(last[1]), sq_mat(rows, H)));
        BACKWARD(sq_sum(last[0]));
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    one_free(&o);
}

Test(ragged, inference_has_the_same_bits)
{
    one o;
    one_new(&o);
    for (int way = 0; way < 8; way++) {
        double y[2][T * B * H];
        sq_unroll_options options = { .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                      .lengths = lengths,
                                      .reverse = way & 2,
                                      .outputs = way & 4 ? SQ_OUTPUTS_LAST : SQ_OUTPUTS_ALL };
        memset(y, 0, sizeof y);
        for (int inference = 0; inference < 2; inference++) {
            sq_tape *t = sq_tape_new(SQ_F64, o.p);
            sq_tape_set_inference(t, inference);
            const sq_unrolled *u =
                sq_unroll(t, &o.c.cell, sq_input(t, sq_shape3(T, B, I), o.d.x), NULL, &options);
            cr_assert(u != NULL, "%s", sq_message(t));
            sq_copy(sq_unrolled_outputs(u), y[inference]);
            sq_tape_free(t);
        }
        EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "outputs");
    }
    one_free(&o);
}

/* A step that unrolls a cell of its own over its input, with the lengths of an inner sequence. */
typedef struct nest {
    const sq_cell *inner;
} nest;

static sq_var nest_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    static const int32_t inner_lengths[B] = { 1, 3, 2, 0, 3 };
    const nest *n = self;
    sq_var parts[I];
    for (int i = 0; i < I; i++) parts[i] = sq_broadcast_to(sq_slice(x, 1, i, 1), sq_mat(B, I));
    const sq_unrolled *u = sq_unroll(t, n->inner, sq_stack(parts, I), h,
                                     &(sq_unroll_options){ .lengths = inner_lengths });
    sq_unrolled_last(u, h);
    return h[0];
}

/* Against the same step with the outer lengths alone done by hand: rows in front of their ends. */
Test(ragged, a_step_may_unroll_ragged_rows_itself)
{
    one o;
    one_new(&o);
    nest n = { &o.c.cell };
    sq_cell outer = o.c.cell;
    outer.step = nest_step;
    outer.self = &n;
    double y[2][T * B * H];
    for (int ragged = 0; ragged < 2; ragged++) {
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x);
        const sq_unrolled *u = sq_unroll(
            t, &outer, x, NULL, &(sq_unroll_options){ .lengths = ragged ? lengths : NULL });
        cr_assert(u != NULL, "%s", sq_message(t));
        sq_copy(sq_unrolled_outputs(u), y[ragged]);
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    for (int i = 0; i < T * B * H; i++) {
        bool taken = i / (B * H) < lengths[i / H % B];
        cr_expect(y[1][i] == (taken ? y[0][i] : 0), "%d", i);
    }
    one_free(&o);
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

static sq_var scalar_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_cell *cell = self;
    return sq_sum(cell->step(t, cell->self, x, h));
}

static void expect_refused(const one *o, const sq_cell *cell, const sq_unroll_options *options,
                           sq_status status, const char *sentence)
{
    sq_tape *t = sq_tape_new(SQ_F64, o->p);
    sq_var x = sq_leaf(t, sq_shape3(T, B, I), o->d.x);
    const sq_unrolled *u = sq_unroll(t, cell, x, NULL, options);
    cr_expect(u == NULL);
    EXPECT_CONTAINS(sq_message(t), sentence);
    EXPECT_ERROR(t, status);
    sq_tape_free(t);
}

static sq_var no_loss(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context, (void)y, (void)first, (void)steps;
    return (sq_var){ t, 0 };
}

static sq_status no_update(void *context, sq_tape *t, double loss, int64_t n)
{
    (void)context, (void)t, (void)loss, (void)n;
    return SQ_OK;
}

Test(ragged, mistakes_are_sentences)
{
    one o;
    one_new(&o);
    int32_t long_row[B] = { 1, 2, 3, 10, 0 }, short_row[B] = { 1, -1, 3, 1, 0 },
            mask[T * B] = { 0 };
    sq_cell scalar = o.c.cell;
    scalar.step = scalar_step;
    scalar.self = &o.c.cell;
    expect_refused(&o, &o.c.cell, &(sq_unroll_options){ .lengths = long_row }, SQ_ERANGE,
                   "unroll: row 3 has length 10: it lies in 0..9");
    expect_refused(&o, &o.c.cell, &(sq_unroll_options){ .lengths = short_row }, SQ_ERANGE,
                   "unroll: row 1 has length -1");
    expect_refused(&o, &o.c.cell, &(sq_unroll_options){ .lengths = lengths, .mask = mask },
                   SQ_EVALUE, "unroll: lengths and mask exclude each other");
    for (int mode = SQ_AUTO; mode <= SQ_PLAN; mode++) {
        sq_unroll_options options = { .mode = (sq_mode)mode,
                                      .lengths = lengths,
                                      .outputs = SQ_OUTPUTS_SUM };
        expect_refused(&o, &scalar, &options, SQ_ESHAPE, "the output has shape [], not a row");
    }
    sq_tape *t = sq_tape_new(SQ_F64, o.p); /* resets are no matter of outputs */
    const sq_unrolled *u =
        sq_unroll(t, &scalar, sq_leaf(t, sq_shape3(T, B, I), o.d.x), NULL,
                  &(sq_unroll_options){ .resets = mask, .outputs = SQ_OUTPUTS_SUM });
    cr_expect(u != NULL, "%s", sq_message(t));
    sq_tape_free(t);
    t = sq_tape_new(SQ_F64, o.p);
    sq_tbptt *stream = sq_tbptt_new(t, &o.c.cell,
                                    &(sq_tbptt_options){ .k1 = 1,
                                                         .k2 = 1,
                                                         .unroll.lengths = lengths,
                                                         .loss = no_loss,
                                                         .update = no_update });
    cr_expect(stream == NULL);
    EXPECT_CONTAINS(sq_message(t), "a stream restarts rows where it is fed");
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_free(t);
    one_free(&o);
}

/* pytorch/pytorch#517: padding in front of the reversed sequence ran through the cell, and with a bias
 * moved the states before the first true step. */
Test(traps, pytorch_padded_reverse_pass_with_a_bias)
{
    enum { STEPS = 3 };
    net n;
    net_new(&n, SQ_F64, I, H, 8);
    double bias[H] = { 2, -1, 3, .5 }, x[STEPS * I], padded_x[T * I] = { 0 }, h[2][H];
    fill(x, COUNT(x), 3, -1, 1);
    memcpy(padded_x, x, sizeof x);
    for (int k = 0; k < 4; k++)
        cr_assert(sq_weight_set_f64(n.params, n.lstm.b[k], bias) == SQ_OK);
    for (int padded_run = 0; padded_run < 2; padded_run++) {
        const int32_t length[1] = { STEPS };
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        sq_var in =
            sq_input(t, sq_shape3(padded_run ? T : STEPS, 1, I), padded_run ? padded_x : x);
        const sq_unrolled *u = sq_unroll(
            t, &n.cell, in, NULL, &(sq_unroll_options){ .lengths = length, .reverse = true });
        sq_var last[2];
        sq_unrolled_last(u, last);
        sq_copy(last[0], h[padded_run]);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    EXPECT_SAME_BITS(h[0], h[1], sizeof h[0], "last states");
    net_free(&n);
}
