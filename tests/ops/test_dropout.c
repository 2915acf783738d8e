/* test_dropout.c -- dropout and noise recorded one by one: the statistics of masks, what a mask is a
 * function of, derivatives, mistakes, and an op of a user's own that takes random numbers.
 *
 * A mean of n independent numbers lies within 5 standard errors in all but 6 of ten million seeds,
 * and the seeds here are fixed. */
#include "tests/support/support.h"

enum { ROWS = 37, COLS = 70, SIZE = ROWS * COLS };

static sq_var ones(sq_tape *t, int64_t rows, int64_t cols)
{
    return sq_full(t, sq_mat(rows, cols), 1);
}

static void copy(sq_var v, double *out)
{
    cr_assert(sq_copy(v, out) == SQ_OK, "%s", sq_message(v.tape));
}

/* The mask of `ordinal` in step `step` of run `run`, scaled. */
static void mask(uint64_t seed, uint64_t run, int step, int ordinal, double rate, sq_drawn when,
                 double *out)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_seed(t, seed);
    sq_tape_set_run(t, run);
    for (int i = 0; i <= step; i++) sq_begin_step(t);
    sq_var x = ones(t, ROWS, COLS);
    for (int i = 0; i < ordinal; i++) sq_noise(x, 1);
    copy(sq_dropout(x, rate, when), out);
    sq_tape_free(t);
}

/* ---- The formula -------------------------------------------------------------------------- */

static sq_random stream_of_first_step(uint64_t seed) { return sq_random_stream(seed, 0, 0, 0); }

/* As random.h and ops.def say it, for every width of a row and both precisions. */
Test(dropout, is_the_formula_of_the_header)
{
    static const int64_t shapes[][2] = { { 5, 1 },  { 4, 3 },  { 3, 4 },    { 2, 61 },
                                         { 3, 64 }, { 2, 65 }, { 1, 1000 }, { 33, 16 } };
    for (int i = 0; i < COUNT(shapes); i++)
        for (int d = 0; d < 2; d++) {
            int64_t rows = shapes[i][0], cols = shapes[i][1];
            sq_tape *t = sq_tape_new(d ? SQ_F64 : SQ_F32, NULL);
            sq_tape_set_seed(t, 99);
            sq_begin_step(t);
            static double x[2048], y[2048];
            fill(x, rows * cols, 3, -2, 2);
            copy(sq_dropout(sq_input(t, sq_mat(rows, cols), x), .3, SQ_PER_STEP), y);
            for (int64_t e = 0; e < rows * cols; e++) {
                uint32_t word = sq_random_word(stream_of_first_step(99), (uint64_t)(e / cols),
                                               (uint64_t)(e % cols));
                double m = word >= (uint32_t)floor(.3 * 4294967296.0) ? 1 / (1 - .3) : 0;
                double want = d ? x[e] * m : (double)((float)x[e] * (float)m);
                cr_expect(y[e] == want, "[%d,%d] element %d: %g, want %g", (int)rows, (int)cols,
                          (int)e, y[e], want);
            }
            sq_tape_free(t);
        }
}

Test(zoneout, is_the_formula_of_the_header)
{
    static double old[SIZE], next[SIZE], y[SIZE], g[SIZE];
    fill(old, SIZE, 3, -2, 2);
    fill(next, SIZE, 4, -2, 2);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_seed(t, 5);
    sq_begin_step(t);
    sq_var x[] = { sq_leaf(t, sq_mat(ROWS, COLS), old), sq_leaf(t, sq_mat(ROWS, COLS), next) };
    sq_var v = sq_zoneout(x[0], x[1], .3, true), d[2];
    copy(v, y);
    BACKWARD(sq_sum(v));
    cr_assert(sq_derive(sq_sum(v), x, d, 2) == SQ_OK);
    for (int k = 0; k < 2; k++) {
        static double recorded[SIZE];
        cr_assert(sq_grad_copy(x[k], g) == SQ_OK);
        copy(d[k], recorded);
        for (int i = 0; i < SIZE; i++) {
            bool keeps =
                sq_random_word(stream_of_first_step(5), (uint64_t)(i / COLS),
                               (uint64_t)(i % COLS)) < (uint32_t)floor(.3 * 4294967296.0);
            cr_expect(y[i] == (keeps ? old[i] : next[i]));
            cr_expect(g[i] == (keeps == (k == 0)));
            cr_expect(recorded[i] == g[i]);
        }
    }
    sq_tape_free(t);
}

/* Not in training: the expectation, the mean of many masks, the same at every call; rate 0 is next. */
Test(zoneout, evaluation_is_what_is_expected)
{
    static double y[100000];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var old = sq_full(t, sq_mat(250, 400), 3), next = sq_full(t, sq_mat(250, 400), -1);
    copy(sq_zoneout(old, next, .2, false), y);
    for (int i = 0; i < COUNT(y); i++) cr_expect(fabs(y[i] - (.2 * 3 - .8)) < 1e-15);
    copy(sq_zoneout(old, next, .2, true), y);
    double sum = 0;
    for (int i = 0; i < COUNT(y); i++) sum += y[i];
    double error = 5 * 4 * sqrt(.2 * .8 / COUNT(y)); /* of a coin between 3 and -1 */
    cr_expect(fabs(sum / COUNT(y) - (.2 * 3 - .8)) < error, "mean %g", sum / COUNT(y));
    copy(sq_zoneout(old, next, 0, true), y);
    for (int i = 0; i < COUNT(y); i++) cr_expect(y[i] == -1);
    sq_tape_free(t);
}

Test(zoneout, mistakes)
{
    for (int training = 0; training < 2; training++) {
        sq_tape *t = sq_tape_new(SQ_F64, NULL);
        sq_var a = ones(t, 2, 3), b = ones(t, 2, 1);
        cr_expect(sq_ok(sq_zoneout(a, b, .5, training)) == false);
        EXPECT_TEXT(sq_message(t), "zoneout: shapes differ: [2,3] and [2,1]");
        sq_tape_reset(t);
        a = ones(t, 2, 3);
        cr_expect(sq_ok(sq_zoneout(a, a, 1, training)) == false);
        EXPECT_TEXT(sq_message(t), "zoneout: the rate must lie in [0,1), it is 1");
        sq_tape_reset(t);
        cr_expect(sq_ok(sq_zoneout(ones(t, 1, 1), (sq_var){ t, 0 }, .5, training)) == false);
        EXPECT_TEXT(sq_message(t), "zoneout: operand 2 has no value");
        sq_tape_free(t);
    }
}

Test(dropout, words_are_the_published_generator)
{
    sq_random r = { { 0xa4093822, 0x299f31d0 } };
    uint32_t want[4];
    for (uint64_t row = 0; row < 3; row++)
        for (uint64_t col = 0; col < 12; col++) {
            uint64_t at = (row << 40) + row;
            sq_philox4x32(
                (uint32_t[]){ (uint32_t)(col / 4), 0, (uint32_t)at, (uint32_t)(at >> 32) },
                r.key, want);
            cr_expect(sq_random_word(r, at, col) == want[col % 4]);
        }
}

Test(noise, is_the_formula_of_the_header)
{
    static double x[SIZE], y[SIZE];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_tape_set_seed(t, 5);
    sq_begin_step(t);
    fill(x, SIZE, 4, -2, 2);
    copy(sq_noise(sq_input(t, sq_mat(ROWS, COLS), x), .25), y);
    for (int i = 0; i < SIZE; i++)
        cr_expect(y[i] == x[i] + .25 * sq_random_normal(stream_of_first_step(5),
                                                        (uint64_t)(i / COLS),
                                                        (uint64_t)(i % COLS)));
    sq_tape_free(t);
}

/* ---- Statistics --------------------------------------------------------------------------- */

Test(dropout, keeps_as_often_as_it_says)
{
    static const double rates[] = { .05, .25, .5, .9 };
    static double y[1000000];
    const int n = COUNT(y);
    for (int i = 0; i < COUNT(rates); i++) {
        double p = rates[i], kept = 0, together = 0, below = 0;
        sq_tape *t = sq_tape_new(SQ_F64, NULL);
        sq_tape_set_seed(t, (uint64_t)i);
        copy(sq_dropout(ones(t, 1000, 1000), p, SQ_PER_STEP), y);
        for (int e = 0; e < n; e++) {
            bool here = y[e] > 0;
            cr_expect(y[e] == 0 || y[e] == 1 / (1 - p));
            kept += here;
            together += here && y[(e + 1) % n] > 0;
            below += here && y[(e + 1000) % n] > 0;
        }
        double q = 1 - p, error = 5 * sqrt(p * q / n);
        double q2 =
            q * q; /* pairs overlap: their variance is q2 (1 - q2) + 2 q2 q p per pair */
        double pair = 5 * sqrt((q2 * (1 - q2) + 2 * q2 * q * p) / n);
        cr_expect(fabs(kept / n - q) < error, "rate %g keeps %g", p, kept / n);
        cr_expect(fabs(together / n - q2) < pair, "rate %g: neighbours %g", p, together / n);
        cr_expect(fabs(below / n - q2) < pair, "rate %g: rows %g", p, below / n);
        sq_tape_free(t);
    }
}

Test(noise, has_the_moments_of_the_normal)
{
    static double y[200000];
    const int n = COUNT(y);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    copy(sq_noise(sq_zeros(t, sq_mat(400, 500)), 3), y);
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += y[i], squares += y[i] * y[i];
    cr_expect(fabs(sum / n) < 5 * 3 / sqrt(n), "mean %g", sum / n);
    cr_expect(fabs(squares / n - 9) < 5 * 9 * sqrt(2.0 / n), "variance %g", squares / n);
    sq_tape_free(t);
}

/* ---- What a mask depends on --------------------------------------------------------------- */

Test(dropout, is_a_function_of_seed_run_step_and_ordinal)
{
    static double first[SIZE], y[SIZE];
    mask(1, 2, 3, 4, .5, SQ_PER_STEP, first);
    mask(1, 2, 3, 4, .5, SQ_PER_STEP, y);
    EXPECT_SAME_BITS(y, first, sizeof y, "the same mask twice");
    for (int change = 0; change < 4; change++) {
        mask(1u + (change == 0), 2u + (change == 1), 3 + (change == 2), 4 + (change == 3), .5,
             SQ_PER_STEP, y);
        int same = 0;
        for (int i = 0; i < SIZE; i++) same += y[i] == first[i];
        cr_expect(abs(same - SIZE / 2) < 5 * sqrt(SIZE) / 2, "change %d: %d equal", change,
                  same);
    }
}

Test(dropout, leaves_the_step_out_of_a_mask_per_sequence)
{
    static double first[SIZE], y[SIZE];
    mask(1, 2, 0, 1, .5, SQ_PER_SEQUENCE, first);
    mask(1, 2, 7, 1, .5, SQ_PER_SEQUENCE, y);
    EXPECT_SAME_BITS(y, first, sizeof y, "masks of two steps");
    mask(1, 3, 0, 1, .5, SQ_PER_SEQUENCE, y);
    cr_expect(memcmp(y, first, sizeof y) != 0, "the run counts");
    mask(1, 2, 0, 2, .5, SQ_PER_SEQUENCE, y);
    cr_expect(memcmp(y, first, sizeof y) != 0, "the ordinal counts");
    for (int step = 0; step < 3; step++) {
        mask(1, 2, step, 1, .5, SQ_PER_STEP, y);
        cr_expect(memcmp(y, first, sizeof y) != 0, "step %d has a mask of its own", step);
    }
}

/* Rate and kind do not move the numbers of what follows, and rows do not depend on how many. */
Test(dropout, numbers_are_found_by_place)
{
    static double a[SIZE], b[2 * SIZE];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_dropout(ones(t, 2, 3), 0, SQ_PER_SEQUENCE);
    copy(sq_dropout(ones(t, 2 * ROWS, COLS), .5, SQ_PER_STEP), b);
    sq_tape_free(t);
    mask(0, 0, 0, 1, .5, SQ_PER_STEP, a);
    EXPECT_SAME_BITS(a, b, sizeof a, "rows of a batch twice as large");
}

/* Reset and set_run say where numbers go on. */
Test(runs, are_counted_and_can_be_set)
{
    static double a[SIZE], b[SIZE];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    cr_expect(sq_tape_run(t) == 0);
    cr_expect(sq_tape_run(NULL) == 0);
    sq_tape_reset(t);
    cr_expect(sq_tape_run(t) == 1);
    sq_tape_set_run(t, 7);
    cr_expect(sq_tape_run(t) == 7);
    for (int i = 0; i < 3; i++) sq_begin_step(t);
    sq_tape_set_run(t, 9); /* the open step is the first of it */
    copy(sq_dropout(ones(t, ROWS, COLS), .5, SQ_PER_STEP), a);
    mask(0, 9, 0, 0, .5, SQ_PER_STEP, b);
    EXPECT_SAME_BITS(a, b, sizeof a, "the first step of a run");
    sq_begin_step(t);
    copy(sq_dropout(ones(t, ROWS, COLS), .5, SQ_PER_STEP), a);
    mask(0, 9, 1, 0, .5, SQ_PER_STEP, b);
    EXPECT_SAME_BITS(a, b, sizeof a, "the second step of a run");
    sq_tape_reset(t);
    cr_expect(sq_tape_run(t) == 10);
    sq_tape_free(t);
    sq_tape_set_run(NULL, 3);
}

/* ---- Values and derivatives --------------------------------------------------------------- */

Test(dropout, of_rate_zero_is_the_identity)
{
    static double x[SIZE], y[SIZE];
    fill(x, SIZE, 8, -3, 3);
    x[3] = -0.0;
    for (int when = SQ_PER_STEP; when <= SQ_PER_SEQUENCE; when++) {
        sq_tape *t = sq_tape_new(SQ_F64, NULL);
        copy(sq_dropout(sq_input(t, sq_mat(ROWS, COLS), x), 0, (sq_drawn)when), y);
        EXPECT_SAME_BITS(y, x, sizeof x, "values");
        sq_tape_free(t);
    }
}

Test(dropout, gradient_is_the_mask_times_the_seed)
{
    static double seed[SIZE], m[SIZE], g[SIZE];
    for (int d = 0; d < 2; d++)
        for (int when = SQ_PER_STEP; when <= SQ_PER_SEQUENCE; when++) {
            sq_tape *t = sq_tape_new(d ? SQ_F64 : SQ_F32, NULL);
            fill(seed, SIZE, 9, -3, 3);
            sq_var x = sq_keep_grad(ones(t, ROWS, COLS));
            sq_begin_step(t);
            sq_var y = sq_dropout(x, .4, (sq_drawn)when);
            copy(y, m); /* of ones */
            cr_assert(sq_backward_from(y, seed) == SQ_OK, "%s", sq_message(t));
            cr_assert(sq_grad_copy(x, g) == SQ_OK);
            for (int i = 0; i < SIZE; i++) {
                double want = d ? seed[i] * m[i] : (double)((float)seed[i] * (float)m[i]);
                cr_expect(g[i] == want, "element %d: %g, want %g", i, g[i], want);
            }
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
        }
}

/* A derivative recorded steps later has the mask of its own step. */
Test(dropout, derived_later_meets_the_same_mask)
{
    static double m[SIZE], g[SIZE];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_keep_grad(ones(t, ROWS, COLS)), gx, ggx;
    sq_begin_step(t);
    sq_var y = sq_dropout(x, .4, SQ_PER_STEP);
    sq_begin_step(t);
    sq_var loss = sq_sum(sq_square(y));
    sq_begin_step(t);
    cr_assert(sq_derive(loss, &x, &gx, 1) == SQ_OK, "%s", sq_message(t));
    cr_assert(sq_derive(sq_sum(gx), &x, &ggx, 1) == SQ_OK, "%s", sq_message(t));
    copy(y, m);
    copy(gx, g);
    for (int i = 0; i < SIZE; i++) EXPECT_NEAR(g[i], 2 * m[i] * m[i], 1e-14, "2 m^2 x");
    copy(ggx, g);
    for (int i = 0; i < SIZE; i++) EXPECT_NEAR(g[i], 2 * m[i] * m[i], 1e-14, "2 m^2");
    sq_random next = sq_tape_random(t), first = sq_random_stream(0, 0, 2, 0);
    EXPECT_SAME_BITS(&next, &first, sizeof next,
                     "streams: a derivative takes none of its own, they");
    sq_tape_free(t);
}

Test(dropout, of_nothing)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    sq_var x = sq_leaf(t, sq_mat(0, 5), (double[]){ 0 });
    sq_var y = sq_dropout(x, .5, SQ_PER_STEP), z = sq_noise(y, 1);
    BACKWARD(sq_sum(z));
    cr_expect(sq_shape_equal(sq_shape_of(z), sq_mat(0, 5)));
    cr_expect(sq_ok(sq_dropout(sq_constant(t, 2), .5, SQ_PER_SEQUENCE)));
    cr_expect(sq_ok(sq_dropout(sq_zeros(t, sq_vec(7)), .999999, SQ_PER_STEP)));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

Test(mistakes, are_sentences)
{
    static const double bad[] = { -.1, 1, 1.5, (double)NAN, (double)INFINITY };
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    for (int i = 0; i < COUNT(bad); i++) {
        cr_expect(sq_ok(sq_dropout(ones(t, 2, 2), bad[i], SQ_PER_STEP)) == false);
        EXPECT_CONTAINS(sq_message(t), "dropout: the rate must lie in [0,1), it is ");
        EXPECT_ERROR(t, SQ_ERANGE);
        if (bad[i] > 0 && isfinite(bad[i])) continue;
        cr_expect(sq_ok(sq_noise(ones(t, 2, 2), bad[i])) == false);
        EXPECT_CONTAINS(sq_message(t), "noise: sigma must be finite and not negative, it is ");
        EXPECT_ERROR(t, SQ_ERANGE);
    }
    cr_expect(sq_ok(sq_dropout(ones(t, 2, 2), .5, SQ_AS_GIVEN)) == false);
    EXPECT_TEXT(sq_message(t), "dropout: the mask is SQ_PER_STEP or SQ_PER_SEQUENCE, not 2");
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_dropout((sq_var){ t, 0 }, .5, SQ_PER_STEP);
    EXPECT_TEXT(sq_message(t), "dropout: operand 1 has no value");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_tape_free(t);
}

/* ---- A user's own ------------------------------------------------------------------------- */

static bool own_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                      sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

/* y = x + u, u uniform. */
static void own_forward(const sq_call *c)
{
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++)
        ((double *)c->y)[i] = ((const double *)c->x[0])[i] +
                              sq_random_uniform(c->attr->draw.stream, 0, (uint64_t)i);
}

static const sq_op own = { .name = "own",
                           .formula = "y = x + u",
                           .arity = 1,
                           .flags = SQ_RANDOM,
                           .shape = own_shape,
                           .forward = own_forward };

/* With attributes or without, its stream is the next of the step. */
Test(own_op, is_given_its_stream)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var x = sq_zeros(t, sq_vec(3));
    double a[3], b[3], c[3];
    copy(sq_apply(&own, &x, 1, NULL), a);
    sq_tape_random(t);
    copy(sq_apply(&own, &x, 1, &(sq_attr){ .p = { 1 } }), b);
    sq_attr given = { .draw = { .when = SQ_AS_GIVEN, .stream = { { 3, 4 } } } };
    copy(sq_apply(&own, &x, 1, &given), c);
    for (uint64_t i = 0; i < 3; i++) {
        cr_expect(a[i] == sq_random_uniform(sq_random_stream(0, 0, 0, 0), 0, i));
        cr_expect(b[i] == sq_random_uniform(sq_random_stream(0, 0, 0, 2), 0, i));
        cr_expect(c[i] == sq_random_uniform((sq_random){ { 3, 4 } }, 0, i));
    }
    sq_tape_free(t);
}
