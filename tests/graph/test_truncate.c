/* test_truncate.c -- TBPTT(k1,k2) means one thing: after n steps, the losses since the last update
 * through the steps after max(0, n - k2).
 *
 * Oracles: the sum written in closed form for h_t = w h_(t-1); a tape of its own for every window,
 * started from the state before it, for an LSTM between an embedding and a readout whose rows
 * restart; differences of a replay that uses the same history of weights. */
#include "tests/support/scalar_stream.h"

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
        for (int k = 0; k < 2; k++)
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
