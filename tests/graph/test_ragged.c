/* test_ragged.c -- rows of their own lengths, rows that sit steps out, begin anew, or run backwards.
 *
 * The oracle knows nothing of them: every row is cut out of the arrays, laid down as a sequence of its
 * own (turned round, without the steps it sat out, in pieces), run alone, and put back. The loss is
 * sum(r * outputs) + sum_k(q_k * last state k). A tensor agrees when max|a - b| <= 1e-12 max|b|. */
#include "tests/support/every_cell.h"

enum { T = 9, B = 5, I = 3, H = 4, STATES = 3 };
static const int32_t lengths[B] = { 4, 9, 0, 1, 6 };

typedef struct data {
    double x[T * B * I], r[T * B * H], q[STATES][B * H], s0[STATES][B * H];
} data;

static void draw(data *d)
{
    fill(d->x, COUNT(d->x), 1, -1, 1);
    fill(d->r, COUNT(d->r), 2, -1, 1);
    fill(d->q[0], STATES * B * H, 3, -1, 1);
    fill(d->s0[0], STATES * B * H, 4, -1, 1);
}

/* What a run leaves behind. */
typedef struct result {
    double y[T * B * H], last[STATES][B * H], gx[T * B * I], g0[STATES][B * H];
    double *gw; /* all weights' */
    sq_mode mode;
} result;

static void result_free(result *o) { free(o->gw); }

static void expect_mode(const sq_unrolled *u, const sq_unroll_options *o)
{
    sq_mode want = o->mode == SQ_EAGER ? SQ_EAGER : SQ_PLAN;
    bool kept = sq_unroll_mode(u) == want;
    cr_expect(kept, "what can be planned must stay planned");
}

/* The batch as it is. */
static void run(result *o, const every_cell *c, const sq_params *p, const data *d,
                const sq_unroll_options *options)
{
    int n = c->cell.n_states;
    sq_tape *t = sq_tape_new(SQ_F64, (sq_params *)(uintptr_t)p);
    sq_var x = sq_leaf(t, sq_shape3(T, B, I), d->x), s0[STATES], last[STATES];
    memset(o, 0, sizeof *o);
    for (int k = 0; k < n; k++) s0[k] = sq_leaf(t, sq_mat(B, H), d->s0[k]);
    const sq_unrolled *u = sq_unroll(t, &c->cell, x, s0, options);
    cr_assert(u != NULL, "%s: %s", c->name, sq_message(t));
    expect_mode(u, options);
    sq_unrolled_last(u, last);
    sq_var y = sq_unrolled_outputs(u);
    sq_var loss = sq_sum(sq_mul(y, sq_input(t, sq_shape3(T, B, H), d->r)));
    for (int k = 0; k < n; k++)
        loss = sq_add(loss, sq_sum(sq_mul(last[k], sq_input(t, sq_mat(B, H), d->q[k]))));
    BACKWARD(loss);
    sq_copy(y, o->y);
    sq_grad_copy(x, o->gx);
    for (int k = 0; k < n; k++) {
        sq_copy(last[k], o->last[k]);
        sq_grad_copy(s0[k], o->g0[k]);
    }
    o->gw = grads_copy(t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* Runs row b alone through the steps at[0..n-1], from s; adds into o. What comes back at the states it
 * began from goes to g0; seeds q at its end. Leaves the last states in s. */
typedef struct piece {
    const every_cell *c;
    const sq_params *p;
    const data *d;
    int b, n;
    int at[T];
    double s[STATES][H], q[STATES][H], g0[STATES][H];
} piece;

static void run_alone(piece *w, result *o)
{
    int n = w->c->cell.n_states;
    double x[T * I] = { 0 }, r[T * H] = { 0 }, y[T * H], gx[T * I];
    for (int i = 0; i < w->n; i++) {
        memcpy(x + i * I, w->d->x + (w->at[i] * B + w->b) * I, I * sizeof *x);
        memcpy(r + i * H, w->d->r + (w->at[i] * B + w->b) * H, H * sizeof *r);
    }
    sq_tape *t = sq_tape_new(SQ_F64, (sq_params *)(uintptr_t)w->p);
    sq_var in = sq_leaf(t, sq_shape3(w->n, 1, I), x), s0[STATES], last[STATES];
    for (int k = 0; k < n; k++) s0[k] = sq_leaf(t, sq_mat(1, H), w->s[k]);
    const sq_unrolled *u =
        sq_unroll(t, &w->c->cell, in, s0, &(sq_unroll_options){ .mode = SQ_EAGER });
    cr_assert(u != NULL, "%s", sq_message(t));
    sq_unrolled_last(u, last);
    sq_var loss = sq_constant(t, 0);
    if (w->n)
        loss = sq_sum(sq_mul(sq_unrolled_outputs(u), sq_input(t, sq_shape3(w->n, 1, H), r)));
    for (int k = 0; k < n; k++)
        loss = sq_add(loss, sq_sum(sq_mul(last[k], sq_input(t, sq_mat(1, H), w->q[k]))));
    BACKWARD(loss);
    if (w->n) sq_copy(sq_unrolled_outputs(u), y);
    sq_grad_copy(in, gx);
    for (int i = 0; i < w->n; i++) {
        memcpy(o->y + (w->at[i] * B + w->b) * H, y + i * H, H * sizeof *y);
        memcpy(o->gx + (w->at[i] * B + w->b) * I, gx + i * I, I * sizeof *gx);
    }
    for (int k = 0; k < n; k++) {
        sq_grad_copy(s0[k], w->g0[k]);
        sq_copy(last[k], w->s[k]);
    }
    double *gw = grads_copy(t);
    for (int64_t i = 0; i < sq_params_size(w->p); i++) o->gw[i] += gw[i];
    free(gw);
    sq_tape_free(t);
}

/* Every row alone; reverse as in the options. `taken` as the mask, `resets` as in the options. */
static void oracle(result *o, const every_cell *c, const sq_params *p, const data *d,
                   const int32_t *taken, const int32_t *resets, bool reverse)
{
    int n = c->cell.n_states;
    memset(o, 0, sizeof *o);
    o->gw = calloc((size_t)sq_params_size(p), sizeof *o->gw);
    for (int b = 0; b < B; b++) {
        piece w[T + 1];
        int pieces = 1;
        for (int i = 0; i <= T; i++) w[i] = (piece){ .c = c, .p = p, .d = d, .b = b };
        for (int i = 0; i < T; i++) {
            int at = reverse ? T - 1 - i : i;
            if (!taken[at * B + b]) continue;
            if (resets && resets[at * B + b]) pieces++;
            w[pieces - 1].at[w[pieces - 1].n++] = at;
        }
        for (int j = 0; j < pieces; j++) {
            for (int k = 0; k < n; k++) {
                memcpy(w[j].s[k], d->s0[k] + b * H, sizeof w[j].s[k]);
                if (j == pieces - 1) memcpy(w[j].q[k], d->q[k] + b * H, sizeof w[j].q[k]);
            }
            run_alone(&w[j], o);
            for (int k = 0; k < n; k++)
                for (int i = 0; i < H; i++) {
                    o->g0[k][b * H + i] += w[j].g0[k][i];
                    o->last[k][b * H + i] = w[j].s[k][i];
                }
        }
    }
}

static void expect_tensor(const double *got, const double *want, int64_t n, const char *name,
                          const char *what)
{
    double most = 0, off = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(want[i]));
        off = got[i] == got[i] ? fmax(off, fabs(got[i] - want[i])) : (double)INFINITY;
    }
    cr_expect(off <= 1e-12 * fmax(most, 1e-3), "%s: %s differ by %g of %g", name, what, off,
              most);
}

static void expect_close(const result *got, const result *want, const every_cell *c,
                         const sq_params *p)
{
    expect_tensor(got->y, want->y, T * B * H, c->name, "outputs");
    expect_tensor(got->gx, want->gx, T * B * I, c->name, "input gradients");
    expect_tensor(got->last[0], want->last[0], STATES * B * H, c->name, "last states");
    expect_tensor(got->g0[0], want->g0[0], STATES * B * H, c->name, "initial state gradients");
    expect_tensor(got->gw, want->gw, sq_params_size(p), c->name, "weight gradients");
}

/* The weight gradients too, unless rows changed their places or were left out. */
static void expect_bits(const result *a, const result *b, const every_cell *c,
                        const sq_params *p, bool weights)
{
    EXPECT_SAME_BITS(a->y, b->y, sizeof a->y, c->name);
    EXPECT_SAME_BITS(a->last, b->last, sizeof a->last, c->name);
    EXPECT_SAME_BITS(a->gx, b->gx, sizeof a->gx, c->name);
    EXPECT_SAME_BITS(a->g0, b->g0, sizeof a->g0, c->name);
    if (weights) EXPECT_SAME_BITS(a->gw, b->gw, params_bytes(p), c->name);
}

/* Every cell, eager and planned. */
typedef void case_fn(const every_cell *c, const sq_params *p, const data *d, sq_mode mode);

static void for_every_cell(case_fn *f)
{
    static data d;
    draw(&d);
    for (int kind = 0; kind < N_EVERY_CELL; kind++) {
        sq_params *p = sq_params_new(SQ_F64);
        every_cell c;
        every_cell_new(&c, p, kind, I, H, 7);
        f(&c, p, &d, SQ_EAGER);
        f(&c, p, &d, SQ_PLAN);
        every_cell_free(&c);
        sq_params_free(p);
    }
}

static void length_mask(int32_t *mask, const int32_t *of) { sq_length_mask(of, T, B, mask); }

static void each_alone(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static result got, want;
    int32_t taken[T * B];
    length_mask(taken, lengths);
    for (int reverse = 0; reverse < 2; reverse++) {
        oracle(&want, c, p, d, taken, NULL, reverse);
        for (int keep = 0; keep < 2; keep++) {
            run(&got, c, p, d,
                &(sq_unroll_options){ .mode = mode,
                                      .lengths = lengths,
                                      .reverse = reverse,
                                      .keep_padding = keep });
            expect_close(&got, &want, c, p);
            result_free(&got);
        }
        result_free(&want);
    }
}

Test(ragged, a_batch_of_lengths_equals_every_sequence_alone) { for_every_cell(each_alone); }

/* Without lengths a reversed run is that of the turned array. */
static void turned(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static result got, want;
    int32_t all[T * B];
    length_mask(all, NULL);
    oracle(&want, c, p, d, all, NULL, true);
    run(&got, c, p, d, &(sq_unroll_options){ .mode = mode, .reverse = true });
    expect_close(&got, &want, c, p);
    result_free(&got);
    result_free(&want);
}

Test(ragged, reverse_without_lengths_turns_time_round) { for_every_cell(turned); }

static void draw_flags(int32_t *f, uint64_t seed, int of)
{
    rng r = { seed };
    for (int i = 0; i < T * B; i++) f[i] = rng_below(&r, of) == 0 ? 3 : 0;
}

static void with_holes(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static result got, want;
    int32_t mask[T * B];
    draw_flags(mask, 11, 2);
    for (int t = 0; t < T; t++) mask[t * B + 2] = 0;
    for (int reverse = 0; reverse < 2; reverse++) {
        oracle(&want, c, p, d, mask, NULL, reverse);
        run(&got, c, p, d,
            &(sq_unroll_options){ .mode = mode, .mask = mask, .reverse = reverse });
        expect_close(&got, &want, c, p);
        result_free(&got);
        result_free(&want);
    }
}

Test(ragged, a_mask_in_the_middle_equals_the_sequence_without_those_steps)
{
    for_every_cell(with_holes);
}

static void begun_anew(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static result got, want;
    int32_t resets[T * B], taken[T * B];
    draw_flags(resets, 12, 4);
    for (int way = 0; way < 4; way++) {
        bool reverse = way & 1, ragged = way & 2;
        length_mask(taken, ragged ? lengths : NULL);
        oracle(&want, c, p, d, taken, resets, reverse);
        run(&got, c, p, d,
            &(sq_unroll_options){ .mode = mode,
                                  .resets = resets,
                                  .lengths = ragged ? lengths : NULL,
                                  .reverse = reverse });
        expect_close(&got, &want, c, p);
        result_free(&got);
        result_free(&want);
    }
}

Test(ragged, resets_equal_separate_sequences) { for_every_cell(begun_anew); }

/* ---- Bits --------------------------------------------------------------------------------- */

/* Rows of `axes` leading entries, row b to place[b]. */
static void permute(double *to, const double *from, int64_t n, int64_t width, const int *place)
{
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < B; b++)
            memcpy(to + (i * B + place[b]) * width, from + (i * B + b) * width,
                   (size_t)width * sizeof *to);
}

static void permuted(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static const int place[B] = { 3, 0, 4, 1, 2 };
    static data e;
    static result a, b, back;
    int32_t moved[B];
    permute(e.x, d->x, T, I, place);
    permute(e.r, d->r, T, H, place);
    permute(e.q[0], d->q[0], STATES, H, place);
    permute(e.s0[0], d->s0[0], STATES, H, place);
    for (int i = 0; i < B; i++) moved[place[i]] = lengths[i];
    for (int reverse = 0; reverse < 2; reverse++) {
        sq_unroll_options o = { .mode = mode, .lengths = lengths, .reverse = reverse };
        run(&a, c, p, d, &o);
        o.lengths = moved;
        run(&b, c, p, &e, &o);
        permute(back.y, a.y, T, H, place);
        permute(back.gx, a.gx, T, I, place);
        permute(back.last[0], a.last[0], STATES, H, place);
        permute(back.g0[0], a.g0[0], STATES, H, place);
        expect_bits(&b, &back, c, p, false);
        expect_tensor(b.gw, a.gw, sq_params_size(p), c->name, "weight gradients");
        result_free(&a);
        result_free(&b);
    }
}

Test(ragged, rows_in_another_order_have_the_same_bits) { for_every_cell(permuted); }

/* NaN, infinity, or another finite number behind the end of every row. */
static void padded(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static data e;
    static result a, b;
    const double bad[3] = { (double)NAN, (double)INFINITY, -7 };
    int32_t resets[T * B];
    draw_flags(resets, 13, 5);
    for (int way = 0; way < 6; way++) {
        sq_unroll_options o = { .mode = mode,
                                .lengths = lengths,
                                .reverse = way & 1,
                                .resets = way & 1 ? resets : NULL,
                                .watch_nonfinite = true };
        e = *d;
        for (int i = 0; i < T * B; i++)
            for (int j = 0; i / B >= lengths[i % B] && j < I; j++)
                e.x[i * I + j] = bad[way / 2];
        run(&a, c, p, d, &o);
        run(&b, c, p, &e, &o);
        expect_bits(&a, &b, c, p, true);
        for (int i = 0; i < T * B; i++) {
            bool pads = i / B >= lengths[i % B];
            for (int j = 0; pads && j < I; j++) cr_expect(b.gx[i * I + j] == 0);
            for (int j = 0; pads && j < H; j++) cr_expect(b.y[i * H + j] == 0);
        }
        result_free(&a);
        result_free(&b);
    }
}

Test(ragged, what_lies_behind_the_end_changes_no_bit) { for_every_cell(padded); }

static void kept_padding(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static result a, b;
    int32_t mask[T * B];
    length_mask(mask, lengths);
    run(&a, c, p, d, &(sq_unroll_options){ .mode = mode, .lengths = lengths });
    run(&b, c, p, d,
        &(sq_unroll_options){ .mode = mode, .lengths = lengths, .keep_padding = true });
    expect_bits(&a, &b, c, p, mode == SQ_EAGER);
    expect_close(&a, &b, c, p);
    result_free(&a);
    run(&a, c, p, d, &(sq_unroll_options){ .mode = mode, .mask = mask });
    expect_bits(&a, &b, c, p, true);
    result_free(&a);
    result_free(&b);
}

Test(ragged, keeping_the_padding_has_the_same_bits) { for_every_cell(kept_padding); }

static void budgeted(const every_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static result a, b;
    int32_t resets[T * B];
    draw_flags(resets, 14, 4);
    for (int way = 0; way < 4; way++) {
        sq_unroll_options o = { .mode = mode,
                                .lengths = lengths,
                                .reverse = way & 1,
                                .resets = way & 2 ? resets : NULL };
        run(&a, c, p, d, &o);
        o.every = 2;
        run(&b, c, p, d, &o);
        expect_bits(&a, &b, c, p, true);
        result_free(&b);
        o.every = 0;
        o.budget_bytes = 64000;
        run(&b, c, p, d, &o);
        expect_bits(&a, &b, c, p, true);
        result_free(&a);
        result_free(&b);
    }
}

Test(ragged, budgets_keep_the_bits) { for_every_cell(budgeted); }

/* ---- Outputs ------------------------------------------------------------------------------ */

/* An LSTM, and what tests of one cell need. */
typedef struct one {
    sq_params *p;
    every_cell c;
    data d;
} one;

static void one_new(one *o)
{
    draw(&o->d);
    o->p = sq_params_new(SQ_F64);
    every_cell_new(&o->c, o->p, 3, I, H, 7);
}

static void one_free(one *o) { sq_params_free(o->p); }

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
    length_mask(by_length, lengths);
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

/* <R, dy/dx v> = <dL/dx, v> for L = <R, y>. */
Test(ragged, forward_mode_is_the_adjoint_of_the_sweep)
{
    one o;
    one_new(&o);
    for (int way = 0; way < 4; way++) {
        sq_unroll_options options = { .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                      .lengths = lengths,
                                      .reverse = way & 2 };
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        double v[T * B * I], dy[T * B * H], g[T * B * I], left = 0, right = 0;
        const double *dx = v;
        double *out = dy;
        fill(v, COUNT(v), 21, -1, 1);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x);
        sq_var y = sq_unrolled_outputs(sq_unroll(t, &o.c.cell, x, NULL, &options));
        sq_status s = sq_jvp(&x, &dx, 1, &y, &out, 1);
        cr_assert(s == SQ_OK, "%s", sq_message(t));
        BACKWARD(sq_sum(sq_mul(y, sq_input(t, sq_shape3(T, B, H), o.d.r))));
        sq_grad_copy(x, g);
        for (int i = 0; i < T * B * H; i++) left += dy[i] * o.d.r[i];
        for (int i = 0; i < T * B * I; i++) right += g[i] * v[i];
        EXPECT_NEAR(left, right, 1e-12, "the inner product");
        sq_tape_free(t);
    }
    one_free(&o);
}

Test(ragged, a_ledger_is_the_same_eager_planned_and_under_a_budget)
{
    one o;
    one_new(&o);
    double total[3][T], weight[3][T];
    for (int way = 0; way < 3; way++) {
        sq_tape *t = sq_tape_new(SQ_F64, o.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, I), o.d.x);
        const sq_unrolled *u = sq_unroll(t, &o.c.cell, x, NULL,
                                         &(sq_unroll_options){ .mode = way ? SQ_PLAN : SQ_EAGER,
                                                               .lengths = lengths,
                                                               .every = way == 2 ? 2 : 0 });
        sq_var loss =
            sq_sum(sq_mul(sq_unrolled_outputs(u), sq_input(t, sq_shape3(T, B, H), o.d.r)));
        sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true, .contribution = true });
        cr_assert(l != NULL, "%s", sq_message(t));
        for (int i = 0; i < T; i++) {
            total[way][i] = sq_ledger_total(l, i, 0);
            weight[way][i] = sq_ledger_weight(l, i, o.c.layer[0].lstm.U[0]);
        }
        cr_expect(sq_ledger_identity(l) < 1e-12, "the parts sum to the whole");
        sq_ledger_free(l);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    for (int way = 1; way < 3; way++) {
        EXPECT_ALL_NEAR(total[way], total[0], T, 1e-12, "totals");
        EXPECT_ALL_NEAR(weight[way], weight[0], T, 1e-12, "weights by step");
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
                   "row 3 has length 10: it lies in 0..9");
    expect_refused(&o, &o.c.cell, &(sq_unroll_options){ .lengths = short_row }, SQ_ERANGE,
                   "row 1 has length -1");
    expect_refused(&o, &o.c.cell, &(sq_unroll_options){ .lengths = lengths, .mask = mask },
                   SQ_EVALUE, "exclude each other");
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
