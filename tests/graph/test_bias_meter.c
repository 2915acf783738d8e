/* test_bias_meter.c -- when truncation points the wrong way: influence balancing (Tallec and
 * Ollivier 2017), through the public driver.
 *
 *     s_t = A s_(t-1) + theta e,   A = 1/2 on the diagonal and right above it,  n = 23,
 *     e = +1 ten times, then -1 thirteen times,   loss (s_1 - 1)^2 / 2
 *
 * ds_1/dtheta through K steps is the first element of the sum of A^k e, k < K: the numbers below
 * come from that recurrence, outside of the library. */
#include "tests/support/support.h"

enum { N = 23 };

static const struct {
    int64_t K;
    double sensitivity;
} known[] = { { 1, 1 },        { 10, 10 },        { 20, 16.476059 }, { 30, 9.869932 },
              { 40, .565538 }, { 50, -4.752671 }, { 60, -5.896736 }, { 100, -6 } };

typedef struct balance {
    sq_params *params;
    sq_weight A, e, theta;
    sq_cell cell;
    double s1, gradient, rate;
    int updates;
} balance;

static sq_var balance_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const balance *b = self;
    (void)x;
    sq_var drive = sq_mul(sq_use(t, b->theta), sq_use(t, b->e));
    return *s = sq_add(sq_matmul_nt(*s, sq_use(t, b->A)), drive);
}

static void balance_new(balance *b)
{
    static const int64_t wide[] = { N };
    double A[N * N] = { 0 }, e[N];
    for (int i = 0; i < N; i++) {
        A[i * N + i] = .5;
        if (i + 1 < N) A[i * N + i + 1] = .5;
        e[i] = i < 10 ? 1 : -1;
    }
    *b = (balance){ .params = sq_params_new(SQ_F64) };
    b->theta = add_number(b->params, "theta", .5);
    b->A = sq_params_add(b->params, "A", sq_mat(N, N));
    b->e = sq_params_add(b->params, "e", sq_mat(1, N));
    cr_assert(sq_weight_set(b->params, b->A, A) == SQ_OK);
    cr_assert(sq_weight_set(b->params, b->e, e) == SQ_OK);
    cr_assert(sq_weight_set_frozen(b->params, b->A, true) == SQ_OK);
    cr_assert(sq_weight_set_frozen(b->params, b->e, true) == SQ_OK);
    b->cell = (sq_cell){
        .name = "balance", .n_states = 1, .width = wide, .step = balance_step, .self = b
    };
}

/* Half the squared distance of every s_1 from 1. */
static sq_var distance(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    balance *b = context;
    (void)t, (void)first;
    sq_var s1 = sq_slice(sq_reshape(y, sq_mat(steps, N)), 1, 0, 1);
    b->s1 = sq_item(sq_slice(s1, 0, steps - 1, 1));
    return sq_mul_scalar(sq_sum(sq_square(sq_add_scalar(s1, -1))), .5);
}

static sq_status take(void *context, sq_tape *t, double loss, int64_t n)
{
    balance *b = context;
    (void)loss, (void)n;
    b->gradient = number_grad(t, b->theta);
    b->updates++;
    if (b->rate == 0) return SQ_OK;
    double theta = item_of(b->params, b->theta) - b->rate * b->gradient;
    return sq_weight_set_f64(b->params, b->theta, &theta);
}

static sq_tbptt *start(sq_tape *t, balance *b, sq_tbptt_options o)
{
    o.batch = 1;
    o.loss = distance;
    o.update = take;
    o.context = b;
    sq_tbptt *s = sq_tbptt_new(t, &b->cell, &o);
    cr_assert(s != NULL, "%s", sq_message(t));
    return s;
}

static void feed(sq_tbptt *s, sq_tape *t, int64_t steps)
{
    sq_status status = sq_tbptt_feed(s, steps, NULL);
    cr_assert(status == SQ_OK, "%s", sq_message(t));
}

/* ---- The bias itself ------------------------------------------------------------------------ */

Test(bias, truncated_sensitivities_are_those_of_the_recurrence)
{
    static const sq_mode modes[] = { SQ_EAGER, SQ_PLAN };
    for (int i = 0; i < COUNT(known); i++)
        for (int m = 0; m < COUNT(modes); m++)
            for (int every = 0; every < 2; every++) {
                balance b;
                balance_new(&b);
                sq_tape *t = sq_tape_new(SQ_F64, b.params);
                /* one loss after 150 steps; or one every step, its window sliding along */
                sq_tbptt *s =
                    start(t, &b,
                          (sq_tbptt_options){ .k1 = every ? 1 : 150,
                                              .k2 = known[i].K,
                                              .unroll.mode = modes[m],
                                              .loss_every = every ? 1 : SQ_LOSS_AT_END });
                feed(s, t, 150);
                cr_assert(sq_tbptt_end(s) == SQ_OK, "%s", sq_message(t));
                cr_expect(b.updates == (every ? 150 : 1));
                EXPECT_NEAR(b.gradient / (b.s1 - 1), known[i].sensitivity, 1e-6, "sensitivity");
                ASSERT_HEALTHY(t);
                sq_tbptt_free(s);
                sq_tape_free(t);
                sq_params_free(b.params);
            }
}

/* 3000 updates by gradient descent, a window of K steps each, the state carried on. */
static double descend(int64_t K)
{
    balance b;
    balance_new(&b);
    b.rate = 1e-4;
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = start(t, &b, (sq_tbptt_options){ .k1 = K, .k2 = K, .loss_every = K });
    feed(s, t, 3000 * K);
    cr_expect(b.updates == 3000);
    double theta = item_of(b.params, b.theta);
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(b.params);
    return theta;
}

Test(bias, descent_arrives_through_long_windows_and_runs_away_through_short_ones)
{
    cr_expect(fabs(descend(100) + 1. / 6) < 1e-3);
    cr_expect(fabs(descend(10)) > 100);
}

/* ---- The meter ------------------------------------------------------------------------------ */

/* A reading of window K beside 200 steps, or beside what some memory holds. */
static void read_meter(int64_t K, sq_mode mode, bool by_memory, double sensitivity)
{
    balance b;
    balance_new(&b);
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = start(t, &b,
                        (sq_tbptt_options){ .k1 = 200,
                                            .k2 = K,
                                            .unroll.mode = mode,
                                            .loss_every = 200,
                                            .meter_every = 2,
                                            .meter_window = by_memory ? 0 : 200,
                                            .meter_bytes = by_memory ? 1 << 22 : 0 });
    char text[400], want[64];
    cr_expect(sq_tbptt_bias_text(s, text, sizeof text) == 0 && text[0] == 0);
    cr_expect(isnan(sq_tbptt_bias(s, (sq_weight){ 0 }).cosine));
    feed(s, t, 200);
    cr_expect(sq_tbptt_statistics(s).readings == 0, "every second update");
    feed(s, t, 200);
    sq_tbptt_stats stats = sq_tbptt_statistics(s);
    bool wrong = K <= 40;
    cr_expect(stats.readings == 1 && stats.wrong == wrong, "window %d", (int)K);
    EXPECT_NEAR(b.gradient / (b.s1 - 1), sensitivity, 1e-6, "the reading disturbs nothing");
    sq_bias all = sq_tbptt_bias(s, (sq_weight){ 0 }), one = sq_tbptt_bias(s, b.theta);
    EXPECT_NEAR(all.cosine, wrong ? -1 : 1, 1e-12, "cosine");
    EXPECT_NEAR(all.norm_ratio, fabs(sensitivity) / 6, 1e-6, "norm");
    EXPECT_NEAR(one.cosine, all.cosine, 1e-12, "theta is all there is");
    EXPECT_NEAR(one.sign_agreement, wrong ? 0 : 1, 0, "signs of theta");
    EXPECT_NEAR(all.sign_agreement, wrong ? 0 : 1, 0, "frozen weights have none");
    size_t length = sq_tbptt_bias_text(s, text, sizeof text);
    cr_expect(length == strlen(text) && sq_tbptt_bias_text(s, NULL, 0) == length);
    snprintf(want, sizeof want, "step 400: window %d points the %s way: cosine %s", (int)K,
             wrong ? "wrong" : "right", wrong ? "-1.00 with" : "1.00 with");
    EXPECT_CONTAINS(text, want);
    bool named = strstr(text, "theta points the wrong way") != NULL;
    cr_expect(named == wrong, "%s", text);
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(b.params);
}

Test(bias, the_meter_flags_the_windows_up_to_40_and_not_those_from_50_on)
{
    for (int i = 0; i < COUNT(known); i++) {
        read_meter(known[i].K, SQ_EAGER, i & 1, known[i].sensitivity);
        read_meter(known[i].K, SQ_PLAN, !(i & 1), known[i].sensitivity);
    }
}

/* Only before a reading are more steps kept than the window needs, and never more bytes than
 * named. */
Test(bias, the_longer_window_is_kept_only_for_readings)
{
    balance b;
    balance_new(&b);
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = start(
        t, &b,
        (sq_tbptt_options){
            .k1 = 5, .k2 = 5, .unroll.mode = SQ_PLAN, .meter_every = 10, .meter_window = 20 });
    for (int n = 5; n <= 200; n += 5) {
        feed(s, t, 5);
        int to_come = (50 - n % 50) % 50; /* steps until the reading */
        cr_expect(sq_tbptt_statistics(s).window == (to_come < 15 ? 20 - to_come : 5), "%d", n);
    }
    cr_expect(sq_tbptt_statistics(s).readings == 4);
    sq_tbptt_free(s);

    s = start(t, &b,
              (sq_tbptt_options){ .k1 = 5, .k2 = 5, .meter_every = 3, .meter_bytes = 100000 });
    for (int n = 0; n < 3000; n += 5) {
        feed(s, t, 5);
        cr_expect(sq_tape_statistics(t).value_bytes < 120000);
    }
    cr_expect(sq_tbptt_statistics(s).window > 20);
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(b.params);
}

/* Streams with fewer updates than lie between readings are read all the same, and never where there
 * are no more steps than the window's. */
Test(bias, short_streams_are_read_too)
{
    balance b;
    balance_new(&b);
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = start(
        t, &b, (sq_tbptt_options){ .k1 = 10, .k2 = 10, .meter_every = 5, .meter_window = 20 });
    for (int i = 1; i <= 20; i++) { /* updates after 10 and 20 steps; the end has none */
        feed(s, t, 20);
        cr_assert(sq_tbptt_end(s) == SQ_OK, "%s", sq_message(t));
        int updates = 2 * i, readings = updates / 6; /* the fifth has one window only */
        cr_expect(sq_tbptt_statistics(s).updates == updates);
        cr_expect(sq_tbptt_statistics(s).readings == readings, "%d readings after %d streams",
                  (int)sq_tbptt_statistics(s).readings, i);
    }
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(b.params);
}

/* A weight that is added after a reading has no part in it; from the next reading on it has. */
Test(bias, a_weight_that_is_added_has_no_reading_yet)
{
    balance b;
    balance_new(&b);
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = start(
        t, &b, (sq_tbptt_options){ .k1 = 10, .k2 = 10, .meter_every = 1, .meter_window = 20 });
    feed(s, t, 20);
    sq_bias all = sq_tbptt_bias(s, (sq_weight){ 0 }), theta = sq_tbptt_bias(s, b.theta), now;
    cr_assert(sq_tbptt_statistics(s).readings == 1);
    sq_weight added = sq_params_add(b.params, "added", sq_mat(200, 200));
    cr_expect(isnan(sq_tbptt_bias(s, added).cosine));
    now = sq_tbptt_bias(s, (sq_weight){ 0 });
    cr_expect(memcmp(&now, &all, sizeof all) == 0, "all: %g became %g", all.cosine, now.cosine);
    now = sq_tbptt_bias(s, b.theta);
    cr_expect(memcmp(&now, &theta, sizeof theta) == 0);
    feed(s, t, 10);
    cr_assert(sq_tbptt_statistics(s).readings == 2);
    EXPECT_NEAR(sq_tbptt_bias(s, added).cosine, 1, 0, "without a gradient in either");
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(b.params);
}

Test(bias, numbers_between_two_gradients)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_weight a = sq_params_add(p, "a", sq_vec(2)), c = sq_params_add(p, "c", sq_vec(2));
    const float g[] = { 3, 4, 0, -1 }, f[] = { 4, -3, 0, 2 }, zero[4] = { 0 };
    float bad[4] = { 1, 1, 1, INFINITY };
    sq_bias b = sq_bias_between(p, a, g, f);
    EXPECT_NEAR(b.cosine, 0, 0, "at right angles");
    EXPECT_NEAR(b.norm_ratio, 1, 1e-15, "as long");
    EXPECT_NEAR(b.sign_agreement, .5, 0, "one sign of two");
    b = sq_bias_between(p, c, g, f);
    EXPECT_NEAR(b.cosine, -1, 1e-15, "opposite");
    EXPECT_NEAR(b.norm_ratio, .5, 1e-15, "half");
    EXPECT_NEAR(b.sign_agreement, 0, 0, "two zeros have no signs");
    cr_expect(sq_bias_is_wrong_way(b));
    b = sq_bias_between(p, (sq_weight){ 0 }, g, f);
    EXPECT_NEAR(b.cosine, -2 / sqrt(26. * 29), 1e-15, "all");
    EXPECT_NEAR(b.norm_ratio, sqrt(26. / 29), 1e-15, "all");
    EXPECT_NEAR(sq_bias_between(p, a, zero, f).cosine, 0, 0, "one zero");
    EXPECT_NEAR(sq_bias_between(p, a, zero, zero).cosine, 1, 0, "two zeros");
    cr_expect(isnan(sq_bias_between(p, c, g, bad).cosine));
    cr_expect(isnan(sq_bias_between(p, (sq_weight){ 9 }, g, f).cosine));
    cr_expect(isnan(sq_bias_between(NULL, a, g, f).cosine));
    cr_expect(sq_bias_is_wrong_way(sq_bias_between(p, c, g, bad)) == false);
    sq_params_free(p);
}

/* Squares leave the range of a number long before the number does: what is told of two gradients is
 * the same at any size. 3-4-5 and 4-3-5 triangles, (0, -1) and (0, 2). */
Test(bias, numbers_of_any_size_are_compared)
{
    static const double sizes[] = { 1e-250, 1e-160, 1e-30, 1, 1e30, 1e160, 1e250 };
    const double g[] = { 3, 4, 0, -1 }, f[] = { 4, -3, 0, 2 };
    for (int dtype = 0; dtype < 2; dtype++)
        for (int i = dtype == SQ_F32 ? 2 : 0; i < (dtype == SQ_F32 ? 5 : COUNT(sizes)); i++)
            for (int j = 2; j < 5; j++) { /* the longer one of a size of its own */
                sq_params *p = sq_params_new((sq_dtype)dtype);
                sq_weight a = sq_params_add(p, "a", sq_vec(2)),
                          c = sq_params_add(p, "c", sq_vec(2));
                double wide[2][4];
                float narrow[2][4];
                for (int k = 0; k < 4; k++) {
                    wide[0][k] = g[k] * sizes[i];
                    wide[1][k] = f[k] * sizes[j];
                    narrow[0][k] = (float)wide[0][k];
                    narrow[1][k] = (float)wide[1][k];
                }
                const void *x = dtype == SQ_F32 ? (void *)narrow[0] : (void *)wide[0],
                           *y = dtype == SQ_F32 ? (void *)narrow[1] : (void *)wide[1];
                double ratio = sizes[i] / sizes[j], near = dtype == SQ_F32 ? 1e-6 : 1e-14;
                sq_bias of_a = sq_bias_between(p, a, x, y), of_c = sq_bias_between(p, c, x, y),
                        all = sq_bias_between(p, (sq_weight){ 0 }, x, y);
                EXPECT_NEAR(of_a.cosine, 0, near, "at right angles");
                EXPECT_NEAR(of_a.norm_ratio / ratio, 1, near, "as long");
                EXPECT_NEAR(of_c.cosine, -1, near, "opposite");
                EXPECT_NEAR(of_c.norm_ratio / ratio, .5, near, "half");
                EXPECT_NEAR(all.cosine, -2 / sqrt(26. * 29), near, "all");
                EXPECT_NEAR(all.norm_ratio / ratio, sqrt(26. / 29), near, "all");
                EXPECT_NEAR(all.sign_agreement, 1. / 3, 1e-15, "one sign of three");
                sq_params_free(p);
            }
}

/* ---- Random windows -------------------------------------------------------------------------- */

typedef struct moments {
    double sum, squares;
    int n;
} moments;

static void add_draw(moments *m, double x)
{
    m->sum += x;
    m->squares += x * x;
    m->n++;
}

static double mean(const moments *m) { return m->sum / m->n; }

static double standard_error(const moments *m)
{
    double variance = (m->squares - m->n * mean(m) * mean(m)) / (m->n - 1);
    return sqrt(variance / m->n);
}

/* One loss after 300 steps, 2000 times. */
static moments draw(double window, sq_mode mode, uint64_t seed)
{
    balance b;
    balance_new(&b);
    moments m = { .n = 0 };
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = start(t, &b,
                        (sq_tbptt_options){ .mean_window = window,
                                            .seed = seed,
                                            .unroll.mode = mode,
                                            .loss_every = SQ_LOSS_AT_END });
    for (int i = 0; i < FEWER(2000); i++) {
        feed(s, t, 300);
        cr_assert(sq_tbptt_end(s) == SQ_OK, "%s", sq_message(t));
        add_draw(&m, b.gradient / (b.s1 - 1));
    }
    cr_expect(b.updates == m.n);
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(b.params);
    return m;
}

Test(bias, random_windows_have_none)
{
    moments m = draw(50, SQ_PLAN, 1);
    cr_expect(standard_error(&m) < .6 * sqrt(2000. / m.n), "standard error %g",
              standard_error(&m));
    cr_expect(fabs(mean(&m) + 6) < 3 * standard_error(&m), "mean %g +- %g", mean(&m),
              standard_error(&m));
}

/* h_t = h_(t-1) + theta with a loss h_t at every step, and a learned h_0: the full gradient of T
 * losses is T (T + 1) / 2 for theta and T for h_0. */
typedef struct counter {
    sq_params *params;
    sq_weight theta, h0;
    sq_cell cell;
    double theta_sum, h0_sum, lengths;
    int64_t last, updates;
} counter;

static sq_var counter_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)x;
    return *h = sq_add(*h, sq_use(t, ((const counter *)self)->theta));
}

static sq_var counter_loss(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context, (void)t, (void)first, (void)steps;
    return sq_sum(y);
}

static sq_var counter_initial(void *context, sq_tape *t, int32_t k)
{
    (void)k;
    return sq_reshape(sq_use(t, ((const counter *)context)->h0), sq_mat(1, 1));
}

static sq_status counter_update(void *context, sq_tape *t, double loss, int64_t n)
{
    counter *c = context;
    (void)loss;
    c->theta_sum += number_grad(t, c->theta);
    c->h0_sum += number_grad(t, c->h0);
    c->lengths += (double)(n - c->last);
    c->updates++;
    c->last = n;
    return SQ_OK;
}

Test(bias, random_windows_are_geometric_and_unbiased_for_every_loss)
{
    enum { T = 12, DRAWS = 4000 };
    static const int64_t wide[] = { 1 };
    static const sq_mode modes[] = { SQ_EAGER, SQ_PLAN };
    for (int m = 0; m < COUNT(modes); m++) {
        counter c = { .params = sq_params_new(SQ_F64) };
        c.theta = add_number(c.params, "theta", .1);
        c.h0 = add_number(c.params, "h0", 1);
        c.cell = (sq_cell){
            .name = "counter", .n_states = 1, .width = wide, .step = counter_step, .self = &c
        };
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = sq_tbptt_new(t, &c.cell,
                                   &(sq_tbptt_options){ .mean_window = 4,
                                                        .seed = 7,
                                                        .batch = 1,
                                                        .unroll.mode = modes[m],
                                                        .loss = counter_loss,
                                                        .update = counter_update,
                                                        .initial = counter_initial,
                                                        .context = &c });
        cr_assert(s != NULL, "%s", sq_message(t));
        moments theta = { .n = 0 }, h0 = { .n = 0 };
        for (int i = 0; i < FEWER(DRAWS); i++) {
            c.theta_sum = c.h0_sum = 0;
            c.last = 0;
            feed(s, t, T);
            EXPECT_NEAR(sq_item(sq_tbptt_state(s, 0)), 1 + T * .1, 1e-14, "values stay");
            cr_assert(sq_tbptt_end(s) == SQ_OK, "%s", sq_message(t));
            add_draw(&theta, c.theta_sum);
            add_draw(&h0, c.h0_sum);
        }
        cr_expect(fabs(mean(&theta) - T * (T + 1) / 2) < 3 * standard_error(&theta),
                  "theta %g +- %g", mean(&theta), standard_error(&theta));
        cr_expect(fabs(mean(&h0) - T) < 3 * standard_error(&h0), "h0 %g +- %g", mean(&h0),
                  standard_error(&h0));
        /* cut after each of the first T - 1 steps with probability 1/4, and at the end */
        double cuts = (double)c.updates / theta.n, want = 1 + (T - 1) / 4.;
        cr_expect(fabs(cuts - want) < 3 * sqrt((T - 1) * 3. / 16 / theta.n), "%g windows",
                  cuts);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}
