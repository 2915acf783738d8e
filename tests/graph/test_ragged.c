/* test_ragged.c -- rows of their own lengths, rows that sit steps out, begin anew, or run backwards.
 *
 * The oracle knows nothing of them: every row is cut out of the arrays, laid down as a sequence of its
 * own (turned round, without the steps it sat out, in pieces), run alone, and put back. The loss is
 * sum(r * outputs) + sum_k(q_k * last state k). A tensor agrees when max|a - b| <= 1e-12 max|b|. */
#include "tests/support/ragged.h"

/* What a run leaves behind. */
typedef struct result {
    double y[T * B * H], last[STATES][B * W], gx[T * B * I], g0[STATES][B * W];
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
static void run(result *o, const one_cell *c, const sq_params *p, const data *d,
                const sq_unroll_options *options)
{
    int n = c->cell.n_states;
    sq_tape *t = sq_tape_new(SQ_F64, (sq_params *)(uintptr_t)p);
    sq_var x = sq_leaf(t, sq_shape3(T, B, I), d->x), s0[STATES], last[STATES];
    memset(o, 0, sizeof *o);
    sq_var begin[STATES];
    for (int k = 0; k < n; k++) {
        s0[k] = sq_leaf(t, sq_mat(B, W), d->s0[k]);
        begin[k] = narrow(&c->cell, k, s0[k]);
    }
    const sq_unrolled *u = sq_unroll(t, &c->cell, x, begin, options);
    cr_assert(u != NULL, "%s: %s", c->name, sq_message(t));
    expect_mode(u, options);
    sq_unrolled_last(u, last);
    sq_var y = sq_unrolled_outputs(u);
    sq_var loss = sq_sum(sq_mul(y, sq_input(t, sq_shape3(T, B, H), d->r)));
    for (int k = 0; k < n; k++)
        loss = sq_add(loss, sq_sum(sq_mul(wide(last[k]), sq_input(t, sq_mat(B, W), d->q[k]))));
    BACKWARD(loss);
    sq_copy(y, o->y);
    sq_grad_copy(x, o->gx);
    for (int k = 0; k < n; k++) {
        sq_copy(wide(last[k]), o->last[k]);
        sq_grad_copy(s0[k], o->g0[k]);
    }
    o->gw = grads_copy(t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* Runs row b alone through the steps at[0..n-1], from s; adds into o. What comes back at the states it
 * began from goes to g0; seeds q at its end. Leaves the last states in s. */
typedef struct piece {
    const one_cell *c;
    const sq_params *p;
    const data *d;
    int b, n;
    int at[T];
    double s[STATES][W], q[STATES][W], g0[STATES][W];
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
    sq_var begin[STATES];
    for (int k = 0; k < n; k++) {
        s0[k] = sq_leaf(t, sq_mat(1, W), w->s[k]);
        begin[k] = narrow(&w->c->cell, k, s0[k]);
    }
    const sq_unrolled *u =
        sq_unroll(t, &w->c->cell, in, begin, &(sq_unroll_options){ .mode = SQ_EAGER });
    cr_assert(u != NULL, "%s", sq_message(t));
    sq_unrolled_last(u, last);
    sq_var loss = sq_constant(t, 0);
    if (w->n)
        loss = sq_sum(sq_mul(sq_unrolled_outputs(u), sq_input(t, sq_shape3(w->n, 1, H), r)));
    for (int k = 0; k < n; k++)
        loss = sq_add(loss, sq_sum(sq_mul(wide(last[k]), sq_input(t, sq_mat(1, W), w->q[k]))));
    BACKWARD(loss);
    if (w->n) sq_copy(sq_unrolled_outputs(u), y);
    sq_grad_copy(in, gx);
    for (int i = 0; i < w->n; i++) {
        memcpy(o->y + (w->at[i] * B + w->b) * H, y + i * H, H * sizeof *y);
        memcpy(o->gx + (w->at[i] * B + w->b) * I, gx + i * I, I * sizeof *gx);
    }
    for (int k = 0; k < n; k++) {
        sq_grad_copy(s0[k], w->g0[k]);
        sq_copy(wide(last[k]), w->s[k]);
    }
    double *gw = grads_copy(t);
    for (int64_t i = 0; i < sq_params_size(w->p); i++) o->gw[i] += gw[i];
    free(gw);
    sq_tape_free(t);
}

/* Every row alone; reverse as in the options. `taken` as the mask, `resets` as in the options. */
static void oracle(result *o, const one_cell *c, const sq_params *p, const data *d,
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
                memcpy(w[j].s[k], d->s0[k] + b * W, sizeof w[j].s[k]);
                if (j == pieces - 1) memcpy(w[j].q[k], d->q[k] + b * W, sizeof w[j].q[k]);
            }
            run_alone(&w[j], o);
            for (int k = 0; k < n; k++)
                for (int i = 0; i < W; i++) {
                    o->g0[k][b * W + i] += w[j].g0[k][i];
                    o->last[k][b * W + i] = w[j].s[k][i];
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

static void expect_close(const result *got, const result *want, const one_cell *c,
                         const sq_params *p)
{
    expect_tensor(got->y, want->y, T * B * H, c->name, "outputs");
    expect_tensor(got->gx, want->gx, T * B * I, c->name, "input gradients");
    expect_tensor(got->last[0], want->last[0], STATES * B * W, c->name, "last states");
    expect_tensor(got->g0[0], want->g0[0], STATES * B * W, c->name, "initial state gradients");
    expect_tensor(got->gw, want->gw, sq_params_size(p), c->name, "weight gradients");
}

/* The weight gradients too, unless rows changed their places or were left out. */
static void expect_bits(const result *a, const result *b, const one_cell *c, const sq_params *p,
                        bool weights)
{
    EXPECT_SAME_BITS(a->y, b->y, sizeof a->y, c->name);
    EXPECT_SAME_BITS(a->last, b->last, sizeof a->last, c->name);
    EXPECT_SAME_BITS(a->gx, b->gx, sizeof a->gx, c->name);
    EXPECT_SAME_BITS(a->g0, b->g0, sizeof a->g0, c->name);
    if (weights) EXPECT_SAME_BITS(a->gw, b->gw, params_bytes(p), c->name);
}

/* Every cell, eager and planned. */
typedef void case_fn(const one_cell *c, const sq_params *p, const data *d, sq_mode mode);

static void for_every_cell(case_fn *f)
{
    static data d;
    draw(&d);
    for (int kind = 0; kind < N_ONE_CELL; kind++) {
        sq_params *p = sq_params_new(SQ_F64);
        one_cell c;
        one_cell_new(&c, p, kind, I, H, 7);
        f(&c, p, &d, SQ_EAGER);
        f(&c, p, &d, SQ_PLAN);
        one_cell_free(&c);
        sq_params_free(p);
    }
}

static void length_mask(int32_t *mask, const int32_t *of) { sq_length_mask(of, T, B, mask); }

static void each_alone(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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
static void turned(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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

static void with_holes(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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

static void begun_anew(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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

static void permuted(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static const int place[B] = { 3, 0, 4, 1, 2 };
    static data e;
    static result a, b, back;
    int32_t moved[B];
    permute(e.x, d->x, T, I, place);
    permute(e.r, d->r, T, H, place);
    permute(e.q[0], d->q[0], STATES, W, place);
    permute(e.s0[0], d->s0[0], STATES, W, place);
    for (int i = 0; i < B; i++) moved[place[i]] = lengths[i];
    for (int reverse = 0; reverse < 2; reverse++) {
        sq_unroll_options o = { .mode = mode, .lengths = lengths, .reverse = reverse };
        run(&a, c, p, d, &o);
        o.lengths = moved;
        run(&b, c, p, &e, &o);
        permute(back.y, a.y, T, H, place);
        permute(back.gx, a.gx, T, I, place);
        permute(back.last[0], a.last[0], STATES, W, place);
        permute(back.g0[0], a.g0[0], STATES, W, place);
        expect_bits(&b, &back, c, p, false);
        expect_tensor(b.gw, a.gw, sq_params_size(p), c->name, "weight gradients");
        result_free(&a);
        result_free(&b);
    }
}

Test(ragged, rows_in_another_order_have_the_same_bits) { for_every_cell(permuted); }

/* NaN, infinity, or another finite number behind the end of every row. */
static void padded(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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

static void kept_padding(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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

static void budgeted(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
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
        o.budget_bytes = 100000;
        run(&b, c, p, d, &o);
        expect_bits(&a, &b, c, p, true);
        result_free(&a);
        result_free(&b);
    }
}

Test(ragged, budgets_keep_the_bits) { for_every_cell(budgeted); }

/* ---- Gradients of states ------------------------------------------------------------------ */

/* A readout that reads the state within the step. */
static sq_var readout_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_cell *cell = self;
    int k = cell->n_states - 1;
    while (cell->width[k] != H) k--;
    return sq_sin(sq_mul(cell->step(t, cell->self, x, h), h[k]));
}

/* Up to its end a row's states have the gradients that they have without lengths, when nothing is asked
 * of what comes later: totals, with what their own step's output sends. */
static void totals(const one_cell *c, const sq_params *p, const data *d, sq_mode mode)
{
    static double g[2][2][T][B * W], r[T * B * H];
    int32_t taken[T * B];
    length_mask(taken, lengths);
    for (int i = 0; i < T * B * H; i++) r[i] = taken[i / H] ? d->r[i] : 0;
    sq_cell outer = c->cell;
    outer.step = readout_step;
    outer.self = &c->cell;
    for (int ragged = 0; ragged < 2; ragged++)
        for (int k = 0, n = c->cell.n_states; k<n; k += n> 1 ? n - 1 : 1) {
            sq_tape *t = sq_tape_new(SQ_F64, (sq_params *)(uintptr_t)p);
            sq_var x = sq_leaf(t, sq_shape3(T, B, I), d->x);
            const sq_unrolled *u = sq_unroll(
                t, &outer, x, NULL,
                &(sq_unroll_options){ .mode = mode, .lengths = ragged ? lengths : NULL });
            cr_assert(u != NULL, "%s", sq_message(t));
            BACKWARD(
                sq_sum(sq_mul(sq_unrolled_outputs(u), sq_input(t, sq_shape3(T, B, H), r))));
            for (int i = 0; i < T; i++)
                sq_grad_copy(sq_unrolled_state(u, i, k), g[ragged][!!k][i]);
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
        }
    for (int j = 0; j < 2 && j < c->cell.n_states; j++) {
        int64_t width = c->cell.width[j ? c->cell.n_states - 1 : 0];
        for (int64_t i = 0; i < T * B * width; i++)
            if (taken[i / width])
                EXPECT_NEAR(g[1][j][i / (B * width)][i % (B * width)],
                            g[0][j][i / (B * width)][i % (B * width)], 1e-13, c->name);
    }
}

Test(ragged, gradients_of_states_are_total) { for_every_cell(totals); }
