/* test_truncate.c -- TBPTT(k1,k2) means one thing: after n steps, the losses since the last update
 * through the steps after max(0, n - k2).
 *
 * Oracles: the sum written in closed form for h_t = w h_(t-1); a tape of its own for every window,
 * started from the state before it, for an LSTM between an embedding and a readout whose rows
 * restart; differences of a replay that uses the same history of weights. */
#include "tests/support/support.h"

#include <unistd.h>

static const sq_mode modes[] = { SQ_EAGER, SQ_PLAN };

#define FEED(s, steps, rows)                                  \
    do {                                                      \
        sq_status f__ = sq_tbptt_feed(s, steps, rows);        \
        cr_assert(f__ == SQ_OK, "feed: status %d", (int)f__); \
    } while (0)
#define END(s) cr_assert(sq_tbptt_end(s) == SQ_OK)

/* ---- h_t = w h_(t-1) ----------------------------------------------------------------------- */

typedef struct scalar {
    sq_params *params;
    sq_weight w;
    sq_cell cell;
    double h0, rate;
    int64_t at[64];
    double grad[64], loss[64];
    int updates;
    sq_status answer;
} scalar;

static sq_var scalar_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)x;
    return *h = sq_mul(*h, sq_use(t, ((const scalar *)self)->w));
}

static const int64_t one_wide[] = { 1 };

static void scalar_new(scalar *c, double w)
{
    *c = (scalar){ .params = sq_params_new(SQ_F64), .h0 = .9 };
    c->w = add_number(c->params, "w", w);
    c->cell = (sq_cell){
        .name = "scalar", .n_states = 1, .width = one_wide, .step = scalar_step, .self = c
    };
}

static sq_var scalar_initial(void *context, sq_tape *t, int32_t k)
{
    (void)k;
    return sq_full(t, sq_mat(1, 1), ((const scalar *)context)->h0);
}

static sq_var sum_of_outputs(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context;
    (void)t;
    (void)first;
    cr_expect(sq_shape_of(y).dim[0] == steps);
    return sq_sum(y);
}

static sq_status note(void *context, sq_tape *t, double loss, int64_t n)
{
    scalar *c = context;
    c->at[c->updates] = n;
    c->loss[c->updates] = loss;
    c->grad[c->updates++] = number_grad(t, c->w);
    EXPECT_SOUND(t);
    return c->answer;
}

static sq_tbptt *scalar_stream(sq_tape *t, scalar *c, int64_t k1, int64_t k2, sq_mode mode,
                               int64_t loss_every)
{
    sq_tbptt *s = sq_tbptt_new(
        t, &c->cell,
        &(sq_tbptt_options){
            .k1 = k1,
            .k2 = k2,
            .batch = 1,
            .unroll = { .mode = mode,
                        .every = k2 & 1 ? 0 : 2 }, /* half of them with snapshots */
            .loss = sum_of_outputs,
            .update = note,
            .initial = scalar_initial,
            .context = c,
            .loss_every = loss_every });
    cr_assert(s != NULL, "%s", sq_message(t));
    return s;
}

/* Feeds T steps in chunks of so many, the last one shorter. */
static void feed_all(sq_tbptt *s, int64_t T, int64_t chunk)
{
    for (int64_t i = 0; i < T; i += chunk) FEED(s, i + chunk < T ? chunk : T - i, NULL);
    END(s);
}

static void expect_scalar(const scalar *c, int T, int k1, int k2, int every)
{
    int last = 0, u = 0;
    char what[80];
    for (int n = 1; n <= T; n++) {
        if (n % k1 && n < T) continue;
        double grad = 0;
        int s = n > k2 ? n - k2 : 0, losses = 0;
        for (int i = last + 1; i <= n; i++)
            if (i % every == 0 && i > s) {
                losses++;
                grad += (i - s) * pow(.2, i - 1) * .9;
            }
        last = n;
        if (!losses) continue;
        snprintf(what, sizeof what, "T %d, k1 %d, k2 %d, every %d, n %d", T, k1, k2, every, n);
        cr_assert(u < c->updates && c->at[u] == n, "no update: %s", what);
        EXPECT_NEAR(c->grad[u], grad, 1e-15, what);
        u++;
    }
    cr_expect(u == c->updates);
}

Test(truncate, gradient_of_every_update_is_the_sum_over_its_losses)
{
    for (int m = 0; m < COUNT(modes); m++)
        for (int T = 1; T <= 6; T++)
            for (int k1 = 1; k1 <= 6; k1++)
                for (int k2 = 1; k2 <= 6; k2++)
                    for (int way = 0; way < 6; way++) {
                        static const int chunks[] = { 1, 2, 6 };
                        int every = way < 3 ? 1 : 2;
                        scalar c;
                        scalar_new(&c, .2);
                        sq_tape *t = sq_tape_new(SQ_F64, c.params);
                        sq_tbptt *s = scalar_stream(t, &c, k1, k2, modes[m], every);
                        feed_all(s, T, chunks[way % 3]);
                        expect_scalar(&c, T, k1, k2, every);
                        ASSERT_HEALTHY(t);
                        sq_tbptt_free(s);
                        sq_tape_free(t);
                        sq_params_free(c.params);
                    }
}

/* The question of a forum that nobody answered right: .108, or .072 through two steps. */
Test(truncate, one_loss_at_the_end_of_three_steps)
{
    static const double want[] = { .036, .072, .108, .108, .108, .108 };
    for (int m = 0; m < COUNT(modes); m++)
        for (int k1 = 1; k1 <= 6; k1++)
            for (int k2 = 1; k2 <= 6; k2++)
                for (int chunk = 1; chunk <= 3; chunk++) {
                    scalar c;
                    scalar_new(&c, .2);
                    sq_tape *t = sq_tape_new(SQ_F64, c.params);
                    sq_tbptt *s = scalar_stream(t, &c, k1, k2, modes[m], SQ_LOSS_AT_END);
                    feed_all(s, 3, chunk);
                    cr_assert(c.updates == 1 && c.at[0] == 3);
                    EXPECT_NEAR(c.grad[0], want[k2 - 1], 1e-15, "one loss");
                    EXPECT_NEAR(c.loss[0], .0072, 1e-15, "its value");
                    cr_expect(fabs(c.grad[0] - .288) > .1);
                    sq_tbptt_free(s);
                    sq_tape_free(t);
                    sq_params_free(c.params);
                }
}

/* What truncate.h writes beside the driver. */
static int by_hand(scalar *c, sq_tape *t, int T, int k1, int k2)
{
    sq_var h[2] = { sq_full(t, sq_mat(1, 1), c->h0) };
    for (int n = 1; n <= T; n++) {
        sq_begin_step(t);
        sq_var l = sq_sum(c->cell.step(t, c->cell.self, (sq_var){ 0 }, h));
        h[1] = n % k1 == 1 || k1 == 1 ? l : sq_add(h[1], l);
        if (n % k1 && n < T) continue;
        sq_cut(t, k2, h, 1);
        sq_zero_grads(t);
        BACKWARD(h[1]);
        note(c, t, sq_item(h[1]), n);
    }
    return c->updates;
}

Test(truncate, cut_in_a_for_loop_is_the_same)
{
    for (int k1 = 1; k1 <= 4; k1++)
        for (int k2 = k1; k2 <= 7; k2++) {
            scalar c;
            scalar_new(&c, .2);
            sq_tape *t = sq_tape_new(SQ_F64, c.params);
            cr_expect(by_hand(&c, t, 6, k1, k2) > 0);
            expect_scalar(&c, 6, k1, k2, 1);
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
            sq_params_free(c.params);
        }
}

/* ---- An LSTM between an embedding and a readout, rows that restart -------------------------- */

enum { B = 3, E = 2, H = 3, V = 4, LONG = 17 };

typedef struct model {
    net n;
    sq_weight embedding, readout, h0;
    int32_t ids[LONG * B], labels[LONG * B], rows[LONG * B];
    sq_tape *t; /* of the stream */
    int64_t k1, k2, last, asked;
    int checked;
} model;

static void model_new(model *m, uint64_t seed, bool restarts)
{
    rng r = { seed };
    *m = (model){ .last = 0 };
    net_new(&m->n, SQ_F64, E, H, seed);
    double values[V * H];
    m->embedding = sq_params_add(m->n.params, "embedding", sq_mat(V, E));
    m->readout = sq_params_add(m->n.params, "readout", sq_mat(H, V));
    m->h0 = sq_params_add(m->n.params, "h0", sq_mat(B, H));
    fill(values, V * E, seed + 1, -1, 1);
    cr_assert(sq_weight_set(m->n.params, m->embedding, values) == SQ_OK);
    fill(values, H * V, seed + 2, -1, 1);
    cr_assert(sq_weight_set(m->n.params, m->readout, values) == SQ_OK);
    fill(values, B * H, seed + 3, -1, 1);
    cr_assert(sq_weight_set(m->n.params, m->h0, values) == SQ_OK);
    for (int i = 0; i < LONG * B; i++) {
        m->ids[i] = rng_below(&r, V);
        m->labels[i] = rng_below(&r, V);
        m->rows[i] = restarts && !rng_below(&r, 6) ? 1 + rng_below(&r, 2) : 0;
    }
}

static sq_var embed(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    const model *m = context;
    sq_var rows = sq_gather(sq_use(t, m->embedding), m->ids + first * B, steps * B);
    return sq_reshape(rows, sq_shape3(steps, B, E));
}

static sq_var entropy(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    model *m = context;
    m->asked += steps;
    return sq_cross_entropy(sq_matmul(y, sq_use(t, m->readout)), m->labels + first * B, NULL,
                            SQ_SUM);
}

static sq_var learned(void *context, sq_tape *t, int32_t k)
{
    return k ? sq_zeros(t, sq_mat(B, H)) : sq_use(t, ((const model *)context)->h0);
}

/* Keeps the rows by arithmetic: k h, with k = 0 or 1 down the rows. */
static sq_var only(sq_var h, const int32_t *rows, int32_t what, bool there)
{
    double keep[B * H];
    for (int i = 0; i < B * H; i++) keep[i] = (rows[i / H] == what) == there;
    return sq_mul(h, sq_input(h.tape, sq_mat(B, H), keep));
}

static sq_var restarted(sq_var h, sq_var initial, const int32_t *rows)
{
    h = sq_add(only(h, rows, SQ_ROW_CUT, false), only(sq_detach(h), rows, SQ_ROW_CUT, true));
    return sq_add(only(h, rows, SQ_ROW_RESET, false), only(initial, rows, SQ_ROW_RESET, true));
}

/* The losses of the steps from `counted` to n - 1 through the steps from s on: a tape of its own
 * that starts from the values before. */
static void window_oracle(const model *m, int64_t s, int64_t counted, int64_t n, void *grads)
{
    sq_tape *t = sq_tape_new(SQ_F64, m->n.params);
    sq_var h[2], total = sq_constant(t, 0);
    for (int k = 0; k < 2; k++) h[k] = learned((void *)(uintptr_t)m, t, k);
    for (int64_t i = 0; i < n; i++) {
        if (i == s && s) /* nothing goes back beyond here */
            for (int k = 0; k < 2; k++) h[k] = sq_detach(h[k]);
        sq_begin_step(t);
        for (int k = 0; k < 2 && i; k++)
            h[k] = restarted(h[k], learned((void *)(uintptr_t)m, t, k), m->rows + i * B);
        sq_var x = sq_gather(sq_use(t, m->embedding), m->ids + i * B, B);
        sq_var y = m->n.cell.step(t, m->n.cell.self, x, h);
        if (i < counted || i < s) continue;
        sq_var z = sq_matmul(y, sq_use(t, m->readout));
        total = sq_add(total, sq_cross_entropy(z, m->labels + i * B, NULL, SQ_SUM));
    }
    BACKWARD(total);
    memcpy(grads, sq_grads(t), params_bytes(m->n.params));
    sq_tape_free(t);
}

static sq_status compare(void *context, sq_tape *t, double loss, int64_t n)
{
    model *m = context;
    (void)loss;
    double *want = malloc(params_bytes(m->n.params));
    char what[80];
    window_oracle(m, n > m->k2 ? n - m->k2 : 0, m->last, n, want);
    snprintf(what, sizeof what, "k1 %d, k2 %d, n %d", (int)m->k1, (int)m->k2, (int)n);
    EXPECT_ALL_NEAR((const double *)sq_grads(t), want, sq_params_size(m->n.params), 1e-13,
                    what);
    free(want);
    EXPECT_SOUND(t);
    m->last = n;
    m->checked++;
    return SQ_OK;
}

static void run_model(uint64_t seed, sq_mode mode, bool restarts)
{
    rng r = { seed };
    model m;
    model_new(&m, seed, restarts);
    m.k1 = 1 + rng_below(&r, 7);
    m.k2 = 1 + rng_below(&r, 9);
    sq_tape *t = sq_tape_new(SQ_F64, m.n.params);
    sq_tbptt *s = sq_tbptt_new(
        t, &m.n.cell,
        &(sq_tbptt_options){ .k1 = m.k1,
                             .k2 = m.k2,
                             .batch = B,
                             .unroll = { .mode = mode, .every = seed % 3 == 2 ? 2 : 0 },
                             .input = embed,
                             .loss = entropy,
                             .update = compare,
                             .initial = learned,
                             .context = &m });
    cr_assert(s != NULL, "%s", sq_message(t));
    int64_t T = 1 + rng_below(&r, LONG), n = 0;
    while (n < T) {
        int64_t chunk = rng_below(&r, 8); /* 0 too: nothing happens */
        if (chunk > T - n) chunk = T - n;
        FEED(s, chunk, restarts ? m.rows + n * B : NULL);
        n += chunk;
    }
    cr_expect(m.asked == T, "the losses of %d steps were asked for", (int)m.asked);
    END(s);
    cr_expect(m.checked == (T + m.k1 - 1) / m.k1);
    ASSERT_HEALTHY(t);
    sq_tbptt_free(s);
    sq_tape_free(t);
    net_free(&m.n);
}

Test(truncate, embedding_cell_and_readout_get_the_gradient_of_their_window)
{
    for (int seed = 0; seed < FEWER(60); seed++)
        run_model((uint64_t)seed, modes[seed & 1], seed % 4 >= 2);
}

/* ---- Overlapping windows, an optimizer between ---------------------------------------------- */

enum { STEPS = 23, K1 = 2, K2 = 5 };

/* h_t = tanh(w_t h_(t-1) + .3), losses h_t^2, each step with the weight it was made with. */
static double replay(const double *w, int s, int counted, int n, double nudge)
{
    double h = .9, loss = 0;
    for (int i = 0; i < n; i++) {
        h = tanh((w[i] + (i >= s ? nudge : 0)) * h + .3);
        if (i >= counted) loss += h * h;
    }
    return loss;
}

typedef struct history {
    scalar c;
    double w[STEPS + K1];
    int64_t versions;
    const sq_tbptt *s;
    int updates;
} history;

static sq_var tanh_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)x;
    sq_var w = sq_use(t, ((const scalar *)self)->w);
    return *h = sq_tanh(sq_add_scalar(sq_mul(*h, w), .3));
}

static sq_var squares(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context, (void)t, (void)first, (void)steps;
    return sq_sum(sq_square(y));
}

static sq_status descend(void *context, sq_tape *t, double loss, int64_t n)
{
    history *h = context;
    double e = 1e-5, g = number_grad(t, h->c.w);
    int s = n > K2 ? (int)n - K2 : 0, counted = (int)(n - 1) / K1 * K1;
    double want =
        (replay(h->w, s, counted, (int)n, e) - replay(h->w, s, counted, (int)n, -e)) / (2 * e);
    EXPECT_NEAR(g, want, 1e-9, "gradient through the history of weights");
    EXPECT_NEAR(loss, replay(h->w, s, counted, (int)n, 0), 1e-14, "loss");
    if (n % K1 == 0) {
        int64_t alive = n < 6 ? n / K1 : 3; /* 5 steps reach into 3 pieces of 2 */
        cr_expect(sq_tbptt_statistics(h->s).versions == alive, "versions after %d", (int)n);
        int64_t window = sq_tbptt_statistics(h->s).window;
        cr_expect(window >= n - s && window <= alive * K1, "%d steps are kept", (int)window);
    }
    double w = item_of(h->c.params, h->c.w) - .5 * g;
    for (int i = 0; i < K1; i++) h->w[n + i] = w;
    h->updates++;
    return sq_weight_set_f64(h->c.params, h->c.w, &w);
}

Test(truncate, overlapping_windows_use_the_weights_that_were_used)
{
    for (int m = 0; m < COUNT(modes); m++)
        for (int chunk = 1; chunk < 8; chunk += 2) {
            history h = { .updates = 0 };
            scalar_new(&h.c, .8);
            h.c.cell.step = tanh_step;
            h.w[0] = h.w[1] = .8;
            sq_tape *t = sq_tape_new(SQ_F64, h.c.params);
            sq_tbptt *s = sq_tbptt_new(t, &h.c.cell,
                                       &(sq_tbptt_options){ .k1 = K1,
                                                            .k2 = K2,
                                                            .batch = 1,
                                                            .unroll.mode = modes[m],
                                                            .loss = squares,
                                                            .update = descend,
                                                            .initial = scalar_initial,
                                                            .context = &h });
            h.s = s;
            cr_assert(s != NULL, "%s", sq_message(t));
            feed_all(s, STEPS, chunk);
            cr_expect(h.updates == (STEPS + K1 - 1) / K1);
            ASSERT_HEALTHY(t);
            sq_tbptt_free(s);
            sq_tape_free(t);
            sq_params_free(h.c.params);
        }
}

/* ---- Streams -------------------------------------------------------------------------------- */

static sq_status small_step(void *context, sq_tape *t, double loss, int64_t n)
{
    scalar *c = context;
    (void)loss, (void)n;
    double *w = sq_params_update(c->params);
    if (!w) return SQ_ENOMEM;
    w[0] -= 1e-3 * number_grad(t, c->w);
    return SQ_OK;
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
    fclose(f);
    return resident;
}

Test(truncate, memory_does_not_grow_with_the_stream)
{
    enum { FEW = 1000, MANY = 1000000 };
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c;
        scalar_new(&c, .8);
        c.cell.step = tanh_step;
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = sq_tbptt_new(t, &c.cell,
                                   &(sq_tbptt_options){ .k1 = 20,
                                                        .k2 = 50,
                                                        .batch = 1,
                                                        .unroll.mode = modes[m],
                                                        .loss = squares,
                                                        .update = small_step,
                                                        .initial = scalar_initial,
                                                        .context = &c });
        cr_assert(s != NULL, "%s", sq_message(t));
        int64_t total = modes[m] == SQ_PLAN ? FEWER(MANY) : MANY / 10;
        resident_pages(); /* what reading it takes itself */
        FEED(s, FEW, NULL);
        size_t held = sq_tape_statistics(t).held_bytes;
        long resident = resident_pages();
        for (int64_t n = FEW; n < total; n += 1100) FEED(s, 1100, NULL);
        cr_expect(sq_tape_statistics(t).held_bytes == held, "%zu bytes became %zu", held,
                  sq_tape_statistics(t).held_bytes);
        double growth = (double)(resident_pages() - resident) / (double)(resident + 1);
        cr_expect(growth < .01, "resident memory grew by %g", growth);
        cr_expect(sq_tbptt_statistics(s).steps >= total);
        ASSERT_HEALTHY(t);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}

/* With updates far apart and a short window, too, the window decides. */
Test(truncate, memory_depends_on_the_window_not_on_the_update)
{
    scalar c;
    scalar_new(&c, .9);
    sq_tape *t = sq_tape_new(SQ_F64, c.params);
    sq_tbptt *s = scalar_stream(t, &c, 100000, 3, SQ_AUTO, 1);
    FEED(s, 50000, NULL);
    cr_expect(sq_tbptt_statistics(s).window <= 32);
    END(s);
    double want = 0; /* 49998, 49999, 50000: the last three */
    for (int i = 1; i <= 3; i++) want += i * pow(.9, 49997 + i - 1) * .9;
    EXPECT_NEAR(c.grad[0], want, 1e-15, "the last three losses");
    EXPECT_NEAR(c.loss[0], .9 * .9 / .1, 1e-9, "all losses are told");
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(c.params);
}

Test(truncate, a_stream_ends_and_another_begins)
{
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c;
        scalar_new(&c, .2);
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = scalar_stream(t, &c, 2, 4, modes[m], 1);
        cr_expect(sq_tbptt_end(s) == SQ_OK && c.updates == 0);
        for (int stream = 0; stream < 3; stream++) {
            c.updates = 0;
            FEED(s, 5, NULL);
            cr_expect(sq_tbptt_statistics(s).steps == 5);
            EXPECT_NEAR(sq_item(sq_tbptt_state(s, 0)), .9 * pow(.2, 5), 1e-15, "state");
            END(s);
            expect_scalar(&c, 5, 2, 4, 1);
            EXPECT_NEAR(sq_item(sq_tbptt_state(s, 0)), .9 * pow(.2, 5), 1e-15, "state, ended");
        }
        cr_expect(sq_tbptt_statistics(s).updates == 9);

        sq_var h = sq_tbptt_state(s, 0); /* carried into the next stream */
        cr_expect(sq_tbptt_set_states(s, &h) == SQ_OK);
        c.updates = 0;
        FEED(s, 1, NULL);
        END(s);
        EXPECT_NEAR(c.grad[0], .9 * pow(.2, 5), 1e-15, "gradient from the carried state");
        ASSERT_HEALTHY(t);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}

static sq_status feeds_itself(void *context, sq_tape *t, double loss, int64_t n)
{
    (void)t, (void)loss, (void)n;
    const scalar *c = context;
    return sq_tbptt_feed(*(sq_tbptt **)(uintptr_t)c->cell.name, 1, NULL);
}

/* What a failed or a reset tape has lost are the steps: a new stream begins, on the same weights. */
Test(truncate, after_a_reset_a_new_stream_begins)
{
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c;
        scalar_new(&c, .2);
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = scalar_stream(t, &c, 2, 4, modes[m], 1);
        FEED(s, 5, NULL);
        c.answer = SQ_EVALUE; /* an update fails, once */
        cr_expect(sq_tbptt_feed(s, 5, NULL) == SQ_EVALUE);
        EXPECT_CONTAINS(sq_message(t), "the update after 6 steps failed");
        sq_tape_reset(t);
        c.answer = SQ_OK;
        for (int again = 0; again < 2; again++) {
            c.updates = 0;
            FEED(s, 5, NULL);
            END(s);
            expect_scalar(&c, 5, 2, 4, 1);
            sq_tape_reset(t);
        }
        sq_var h = sq_full(t, sq_mat(1, 1), 2);
        cr_expect(sq_tbptt_set_states(s, &h) == SQ_OK);
        c.updates = 0;
        FEED(s, 2, NULL);
        EXPECT_NEAR(c.grad[0], 2 + 2 * .2 * 2, 1e-15, "from given states");
        ASSERT_HEALTHY(t);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}

Test(truncate, a_callback_cannot_feed_its_own_stream)
{
    scalar c;
    scalar_new(&c, .2);
    sq_tape *t = sq_tape_new(SQ_F64, c.params);
    sq_tbptt *s;
    c.cell.name = (const char *)&s; /* for the callback */
    sq_cell cell = c.cell;
    cell.name = "scalar";
    s = sq_tbptt_new(t, &cell,
                     &(sq_tbptt_options){ .k1 = 1,
                                          .k2 = 1,
                                          .batch = 1,
                                          .loss = sum_of_outputs,
                                          .update = feeds_itself,
                                          .context = &c });
    cr_assert(s != NULL, "%s", sq_message(t));
    cr_expect(sq_tbptt_feed(s, 3, NULL) == SQ_EVALUE);
    EXPECT_CONTAINS(sq_message(t), "a callback of the stream feeds the stream");
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(c.params);
}

/* ---- Rows by hand ---------------------------------------------------------------------------- */

Test(truncate, nothing_of_a_reset_row_comes_through)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double inf = (double)INFINITY, h0[6] = { 1, 2, inf, (double)NAN, 5, 6 }, y[6], g[6];
    static const int32_t rows[] = { SQ_ROW_GOES_ON, SQ_ROW_RESET, SQ_ROW_CUT };
    sq_var h = sq_leaf(t, sq_mat(3, 2), h0),
           a = sq_leaf(t, sq_mat(3, 2), (double[6]){ 7, 7, 8, 9, 7, 7 });
    sq_var r = sq_restart_rows(h, a, rows);
    sq_copy(r, y);
    EXPECT_ALL_NEAR(y, ((double[]){ 1, 2, 8, 9, 5, 6 }), 6, 0, "rows");
    BACKWARD(sq_sum(r));
    sq_grad_copy(h, g);
    EXPECT_ALL_NEAR(g, ((double[]){ 1, 1, 0, 0, 0, 0 }), 6, 0, "what goes on");
    sq_grad_copy(a, g);
    EXPECT_ALL_NEAR(g, ((double[]){ 0, 0, 1, 1, 0, 0 }), 6, 0, "what begins");
    sq_copy(sq_restart_rows(h, (sq_var){ 0 }, rows), y);
    EXPECT_ALL_NEAR(y, ((double[]){ 1, 2, 0, 0, 5, 6 }), 6, 0, "zeros");
    ASSERT_HEALTHY(t);

    sq_restart_rows(h, a, (int32_t[]){ 0, 3, 0 });
    EXPECT_CONTAINS(sq_message(t), "entry 1 of the rows is 3");
    EXPECT_ERROR(t, SQ_ERANGE);
    sq_restart_rows(sq_zeros(t, sq_mat(3, 2)), (sq_var){ 0 }, NULL);
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_restart_rows(sq_constant(t, 1), (sq_var){ 0 }, rows);
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static void expect_refusal(const scalar *c, const sq_tbptt_options *o, sq_status status,
                           const char *part)
{
    sq_tape *t = sq_tape_new(SQ_F64, c->params);
    sq_tbptt *s = sq_tbptt_new(t, c ? &c->cell : NULL, o);
    cr_expect(s == NULL, "not refused: %s", part);
    EXPECT_CONTAINS(sq_message(t), part);
    EXPECT_STATUS(t, status);
    sq_tbptt_free(s);
    sq_tape_free(t);
}

Test(truncate, options_that_make_no_sense_are_refused)
{
    scalar c;
    scalar_new(&c, .2);
    const sq_tbptt_options good = {
        .k1 = 2, .k2 = 3, .batch = 1, .loss = sum_of_outputs, .update = note
    };
#define REFUSED(status, part, ...)            \
    do {                                      \
        sq_tbptt_options o = good;            \
        __VA_ARGS__;                          \
        expect_refusal(&c, &o, status, part); \
    } while (0)
    REFUSED(SQ_ERANGE, "k1 = 0 and k2 = 3", o.k1 = 0);
    REFUSED(SQ_ERANGE, "k1 = 2 and k2 = -1", o.k2 = -1);
    REFUSED(SQ_EVALUE, "`loss` is NULL", o.loss = NULL);
    REFUSED(SQ_EVALUE, "`update` is NULL", o.update = NULL);
    REFUSED(SQ_ERANGE, "batch = -1", o.batch = -1);
    REFUSED(SQ_ERANGE, "loss_every = -2", o.loss_every = -2);
    REFUSED(SQ_EVALUE, "leave them 0", o.mean_window = 50);
    REFUSED(SQ_ERANGE, "mean_window is 1", o.k1 = o.k2 = 0, o.mean_window = 1);
    REFUSED(SQ_ERANGE, "mean_window is nan", o.k1 = o.k2 = 0, o.mean_window = (double)NAN);
    REFUSED(SQ_EVALUE, "no bias", o.k1 = o.k2 = 0, o.mean_window = 9, o.meter_every = 1);
    REFUSED(SQ_EVALUE, "meter_window above k2", o.meter_every = 1, o.meter_window = 3);
    REFUSED(SQ_EVALUE, "meter_window above k2", o.meter_every = 1);
    REFUSED(SQ_ERANGE, "meter_every = -1", o.meter_every = -1);
#undef REFUSED
    expect_refusal(&c, NULL, SQ_EVALUE, "options are NULL");
    cr_expect(sq_tbptt_new(NULL, &c.cell, &good) == NULL);
    cr_expect(sq_tbptt_feed(NULL, 1, NULL) != SQ_OK && sq_tbptt_end(NULL) != SQ_OK);
    cr_expect(sq_tbptt_set_states(NULL, NULL) != SQ_OK);
    cr_expect(sq_tbptt_state(NULL, 0).id == 0 && sq_tbptt_statistics(NULL).steps == 0);
    cr_expect(sq_tbptt_bias_text(NULL, NULL, 0) == 0);
    sq_params_free(c.params);
}

static sq_var not_a_number_of_one(void *context, sq_tape *t, sq_var y, int64_t first, int64_t n)
{
    (void)context, (void)t, (void)first, (void)n;
    return sq_concat((sq_var[]){ sq_reshape(y, sq_vec(n)), sq_reshape(y, sq_vec(n)) }, 2, 0);
}

static sq_var flat_input(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    (void)context, (void)first;
    return sq_zeros(t, sq_shape3(steps, 2, 1));
}

static sq_var narrow_initial(void *context, sq_tape *t, int32_t k)
{
    (void)context, (void)k;
    return sq_zeros(t, sq_mat(1, 2));
}

static sq_var refuses(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    (void)context, (void)steps;
    sq_post(t, SQ_EVALUE, "no data for step %d", (int)first);
    return (sq_var){ t, 0 };
}

Test(truncate, a_stream_that_fails_says_where_and_loses_no_weights)
{
    static const struct {
        sq_tbptt_input *input;
        sq_tbptt_loss *loss;
        sq_tbptt_initial *initial;
        sq_status answer, status;
        const char *part;
    } cases[] = {
        { .loss = not_a_number_of_one,
          .status = SQ_ESHAPE,
          .part = "the loss of 2 steps from 0 on has shape [4]" },
        { .input = flat_input,
          .status = SQ_ESHAPE,
          .part = "the input of 2 steps from 0 on has shape [2,2,1], not [2,1,I]" },
        { .input = refuses, .status = SQ_EVALUE, .part = "no data for step 0" },
        { .initial = narrow_initial,
          .status = SQ_ESHAPE,
          .part = "has shape [1,2], not [1,1]" },
        { .answer = SQ_ENONFINITE,
          .status = SQ_ENONFINITE,
          .part = "the update after 2 steps failed" },
    };
    for (int i = 0; i < COUNT(cases); i++)
        for (int m = 0; m < COUNT(modes); m++) {
            scalar c;
            scalar_new(&c, .2);
            c.answer = cases[i].answer;
            sq_tape *t = sq_tape_new(SQ_F64, c.params);
            sq_tbptt *s = sq_tbptt_new(
                t, &c.cell,
                &(sq_tbptt_options){ .k1 = 2,
                                     .k2 = 3,
                                     .batch = 1,
                                     .unroll.mode = modes[m],
                                     .input = cases[i].input,
                                     .initial = cases[i].initial,
                                     .loss = cases[i].loss ? cases[i].loss : sum_of_outputs,
                                     .update = note,
                                     .context = &c });
            cr_assert(s != NULL, "%s", sq_message(t));
            cr_expect(sq_tbptt_feed(s, 5, NULL) == cases[i].status);
            EXPECT_CONTAINS(sq_message(t), cases[i].part);
            EXPECT_SOUND(t);
            cr_expect(sq_tbptt_feed(s, 5, NULL) == cases[i].status, "the error stays");
            cr_expect(sq_tbptt_end(s) == cases[i].status);
            EXPECT_NEAR(item_of(c.params, c.w), .2, 0, "the weight");
            sq_tbptt_free(s);
            sq_tape_free(t);
            sq_params_free(c.params);
        }
}

Test(truncate, chunks_and_rows_are_checked)
{
    scalar c;
    scalar_new(&c, .2);
    for (int i = 0; i < 4; i++) {
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = scalar_stream(t, &c, 2, 2, SQ_AUTO, 1);
        FEED(s, 0, NULL);
        cr_expect(sq_tbptt_statistics(s).steps == 0);
        if (i == 0) cr_expect(sq_tbptt_feed(s, -1, NULL) == SQ_ERANGE);
        if (i == 1) cr_expect(sq_tbptt_feed(s, 3, (int32_t[]){ 0, 0, 7 }) == SQ_ERANGE);
        if (i == 2) cr_expect(sq_tbptt_set_states(s, NULL) == SQ_EVALUE);
        if (i == 3) cr_expect(sq_tbptt_set_states(s, &(sq_var){ 0 }) == SQ_EVAR);
        cr_expect(sq_message(t)[0] != 0);
        cr_expect(sq_tbptt_statistics(s).steps == 0, "nothing was recorded");
        sq_tbptt_free(s);
        sq_tape_free(t);
    }
    sq_params_free(c.params);
}
