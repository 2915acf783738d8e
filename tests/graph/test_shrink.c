/* test_shrink.c -- rows that have ended are left out of a plan, and nothing else changes.
 *
 * The same batch of rows of random lengths is run with all its rows in every step, where masks hand
 * on the states of those that have ended, and on the rows that have not: values and gradients of
 * outputs, states, inputs are the same bits, at any number of threads. Weight gradients are sums
 * over other blocks: they agree to rounding, and are those of every row run alone. */
#include "tests/support/one_cell.h"
#include "tests/support/random_run.h"

#include "graph/plan.h"

#undef I

enum { I = 5, H = 6, WIDE = 48, MOST_STATES = 6, MOST_ROWS = 33 };

/* ---- A cell that drops out, and names what it does -------------------------------------------- */

typedef struct noisy {
    sq_cell inner;
    double dropout;
    sq_drawn drawn;
} noisy;

static sq_var noisy_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const noisy *w = self;
    sq_var y = w->inner.step(t, w->inner.self, sq_dropout(x, w->dropout, w->drawn), state);
    return sq_name(sq_dropout(y, w->dropout, w->drawn), "inside");
}

/* ---- A run ----------------------------------------------------------------------------------- */

typedef struct setup {
    sq_dtype dtype;
    int which;
    int64_t B, T, hidden; /* hidden 0: H */
    int64_t cut;          /* > 0: only so many steps are kept before the sweep */
    int64_t whole;        /* > 0: the steps of the batch that a row run alone was taken from */
    int32_t threads;
    const int32_t *lengths; /* [B] */
    const int *rows;        /* which row's numbers stand where; NULL: 0, 1, ... */
    double dropout;
    sq_drawn drawn;
    double padding; /* what x holds after a row's end */
    bool shrink;
    bool sparse; /* a few seeds only: a state and an output here and there */
    sq_unroll_options options;
} setup;

/* Numbers of one row at one step, by what they are for. */
static void draw_row(double *to, int64_t n, uint64_t what, int64_t step, int64_t row)
{
    fill(to, n, what * 1000003 + (uint64_t)(step * 1009 + row), -1, 1);
}

static int64_t row_at(const setup *s, int64_t b) { return s->rows ? s->rows[b] : b; }

static sq_var input_of(const setup *s, sq_tape *t)
{
    int64_t n = s->T * s->B * I;
    double *x = malloc((size_t)n * sizeof *x), *at = x;
    cr_assert(x != NULL);
    for (int64_t i = 0; i < s->T; i++)
        for (int64_t b = 0; b < s->B; b++, at += I) {
            bool there = i < s->lengths[b];
            draw_row(at, I, 1, i, row_at(s, b));
            for (int k = 0; !there && k < I; k++) at[k] = s->padding;
        }
    sq_var v = sq_leaf(t, sq_shape3(s->T, s->B, I), x);
    free(x);
    return v;
}

/* A [B,n] of numbers that go with the rows. */
static sq_var rows_of(const setup *s, sq_tape *t, int64_t n, uint64_t what, int64_t step,
                      bool leaf)
{
    double x[MOST_ROWS * (WIDE + 1)];
    cr_assert(s->B * n <= COUNT(x));
    for (int64_t b = 0; b < s->B; b++) draw_row(x + b * n, n, what, step, row_at(s, b));
    return leaf ? sq_leaf(t, sq_mat(s->B, n), x) : sq_input(t, sq_mat(s->B, n), x);
}

/* The first that a cut leaves. */
static int64_t first_step(const setup *s) { return s->cut ? s->T - s->cut : 0; }

static sq_var weighed(const setup *s, sq_var v, uint64_t what, int64_t step)
{
    sq_var r = rows_of(s, v.tape, sq_shape_of(v).dim[1], what, step, false);
    return sq_sum(sq_mul(v, r));
}

/* Rows of a value inside the step that have not ended; others are nobody's business. */
static sq_var inside(const setup *s, const sq_unrolled *u, int64_t step)
{
    double m[MOST_ROWS];
    for (int64_t b = 0; b < s->B; b++) m[b] = step < s->lengths[b];
    sq_var v = sq_unrolled_named(u, step, "inside");
    return sq_select(sq_input(v.tape, sq_mat(s->B, 1), m), v, sq_constant(v.tape, 0));
}

/* State k after step i of the whole batch: a row run alone keeps what its last step left. */
static sq_var state_of(const setup *s, const sq_unrolled *u, int64_t i, int32_t k)
{
    return sq_unrolled_state(u, i < s->T ? i : s->T - 1, k);
}

/* Of all outputs, of every third state; of what is named inside. Sparse: of one output, and of
 * a state after most rows have ended. */
static sq_var loss_of(const setup *s, const sq_unrolled *u)
{
    sq_tape *t = sq_unrolled_tape(u);
    sq_var loss = sq_constant(t, 0);
    int64_t T = s->whole ? s->whole : s->T;
    for (int64_t i = first_step(s); i < T; i++) {
        if (i < s->T && (!s->sparse || i == T / 2))
            loss = sq_add(loss, weighed(s, sq_unrolled_output(u, i), 20, i));
        for (int32_t k = 0; k < sq_unrolled_n_states(u); k++)
            if (s->sparse ? i == T - 2 && !k : (i + k) % 3 == 0 || i == T - 1)
                loss = sq_add(loss, weighed(s, state_of(s, u, i, k), 21 + (uint64_t)k, i));
    }
    for (int64_t i = s->cut ? s->T - 1 : T / 3; !s->sparse && i < s->T; i++)
        loss = sq_add(loss, weighed(s, inside(s, u, i), 40, i));
    return loss;
}

static void read_parts(const setup *s, const sq_unrolled *u, trace *o)
{
    for (int64_t i = first_step(s); i < s->T; i++) {
        trace_value(o, "output", sq_unrolled_output(u, i));
        trace_grad(o, "immediate gradient", sq_unrolled_output(u, i));
        trace_value(o, "inside", inside(s, u, i));
        for (int32_t k = 0; k < sq_unrolled_n_states(u); k++) {
            trace_value(o, "state", sq_unrolled_state(u, i, k));
            trace_grad(o, "total gradient", sq_unrolled_state(u, i, k));
        }
    }
}

static void run(const setup *s, trace *o)
{
    one_cell inner;
    sq_params *p = sq_params_new(s->dtype);
    one_cell_new(&inner, p, s->which, I, s->hidden ? s->hidden : H, 1);
    noisy w = { .inner = inner.cell, .dropout = s->dropout, .drawn = s->drawn };
    sq_cell cell = inner.cell;
    cell.step = noisy_step;
    cell.self = &w;
    sq_tape *t = sq_tape_new(s->dtype, p);
    sq_tape_set_seed(t, 77);
    sq_tape_set_threads(t, s->threads ? s->threads : 1);
    sq_var x = input_of(s, t), state0[MOST_STATES];
    for (int32_t k = 0; k < cell.n_states; k++)
        state0[k] = rows_of(s, t, cell.width[k], 2 + (uint64_t)k, 0, true);
    sq_unroll_options options = s->options;
    options.mode = SQ_PLAN;
    options.lengths = s->whole ? NULL : s->lengths;
    options.keep_padding = !s->shrink;
    options.state_grads = true;
    const sq_unrolled *u = sq_unroll(t, &cell, x, state0, &options);
    cr_assert(u != NULL, "%s", sq_message(t));
    char told[4096];
    sq_plan_explain(u, told, sizeof told);
    bool left_out = strstr(told, "are left out") != NULL;
    bool ends = false;
    for (int64_t b = 0; !s->whole && b < s->B; b++) ends |= s->lengths[b] < s->T;
    cr_assert(left_out == (s->shrink && ends), "%s", told);
    if (s->cut) cr_assert(sq_cut(t, s->cut, NULL, 0) == SQ_OK);
    BACKWARD(loss_of(s, u));
    trace_value(o, "outputs", sq_unrolled_outputs(u));
    read_parts(s, u, o);
    trace_grad(o, "dx", x);
    for (int32_t k = 0; k < cell.n_states; k++) trace_grad(o, "d initial state", state0[k]);
    trace_weights(o, t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    one_cell_free(&inner);
    sq_params_free(p);
}

/* ---- Lengths --------------------------------------------------------------------------------- */

/* Random ones, equal and empty ones among them. */
static void draw_lengths(int32_t *l, int64_t B, int64_t T, uint64_t seed)
{
    rng r = { seed };
    for (int64_t b = 0; b < B; b++) l[b] = (int32_t)rng_below(&r, (int)T + 1);
    if (B > 2) l[1] = l[2];
    if (B > 6) l[3] = 0, l[4] = (int32_t)T;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* Bits of all that goes with rows; weights to rounding (float: 1e-5). */
static void expect_same(const setup *s, const trace *got, const trace *want, const char *what)
{
    double limit = s->dtype == SQ_F64 ? 1e-12 : 1e-5;
    cr_assert(got->n == want->n && got->n > 0);
    for (int i = 0; i < got->n; i++) {
        const trace_item *a = &got->item[i], *b = &want->item[i];
        const double *x = got->x + a->at, *y = want->x + b->at;
        bool weight = strncmp(a->what, "dL/d", 4) == 0;
        bool same = weight ? trace_error(got, want, i) <= limit
                           : memcmp(x, y, (size_t)a->n * sizeof *x) == 0;
        int64_t j = 0;
        while (j < a->n - 1 && memcmp(&x[j], &y[j], sizeof *x) == 0) j++;
        cr_assert(same, "%s: cell %d, B %d, item %d %s: element %lld: %.17g, %.17g", what,
                  s->which, (int)s->B, i, a->what, (long long)j, x[j], y[j]);
    }
}

/* With rows left out, and with all of them. */
static void compare(setup s, const char *what)
{
    trace all = { .n = 0 }, some = { .n = 0 };
    s.shrink = false;
    run(&s, &all);
    s.shrink = true;
    run(&s, &some);
    expect_same(&s, &some, &all, what);
    trace_free(&all);
    trace_free(&some);
}

Test(shrink, equals_all_rows_with_masks_in_every_cell)
{
    static const int64_t batches[] = { 1, 2, 3, 7, 16, 33 };
    int32_t lengths[MOST_ROWS];
    for (int which = 0; which < N_ONE_CELL; which++)
        for (int i = 0; i < COUNT(batches); i++)
            for (int d = 0; d < 2; d++) {
                setup s = { .dtype = d ? SQ_F64 : SQ_F32, .which = which, .B = batches[i] };
                s.T = 5 + 3 * i;
                s.lengths = lengths;
                s.padding = (double)NAN;
                draw_lengths(lengths, s.B, s.T, (uint64_t)(which * 17 + i));
                compare(s, "every cell");
                s.sparse = true;
                compare(s, "sparse seeds");
            }
}

/* ---- Threads, budgets, order ----------------------------------------------------------------- */

/* All bits, of weight gradients too. */
static void expect_bits(const setup *s, const trace *want, const char *what)
{
    trace got = { .n = 0 };
    run(s, &got);
    cr_assert(got.n == want->n && got.n_x == want->n_x);
    for (int i = 0; i < got.n; i++) {
        const trace_item *a = &got.item[i];
        cr_assert(memcmp(got.x + a->at, want->x + a->at, (size_t)a->n * sizeof *got.x) == 0,
                  "%s: cell %d, B %d: %s differs", what, s->which, (int)s->B, a->what);
    }
    trace_free(&got);
}

Test(shrink, has_the_same_bits_on_any_number_of_threads)
{
    static const int64_t batches[] = { 2, 7, 33 };
    int32_t lengths[MOST_ROWS];
    for (int which = 3; which < N_ONE_CELL; which++)
        for (int i = 0; i < COUNT(batches); i++) {
            trace one = { .n = 0 };
            setup s = { .dtype = which & 1 ? SQ_F32 : SQ_F64,
                        .which = which,
                        .B = batches[i],
                        .T = 20,
                        .hidden = WIDE,
                        .dropout = which & 2 ? 0.3 : 0,
                        .lengths = lengths,
                        .shrink = true };
            draw_lengths(lengths, s.B, s.T, (uint64_t)(which * 5 + i));
            run(&s, &one);
            for (s.threads = 2; s.threads <= 3; s.threads++) expect_bits(&s, &one, "threads");
            trace_free(&one);
        }
}

Test(shrink, has_the_same_bits_under_any_budget)
{
    static const int64_t batches[] = { 1, 3, 16 };
    int32_t lengths[MOST_ROWS];
    for (int which = 0; which < N_ONE_CELL; which++)
        for (int i = 0; i < COUNT(batches); i++) {
            trace all = { .n = 0 };
            setup s = { .dtype = which & 1 ? SQ_F32 : SQ_F64, .which = which, .B = batches[i] };
            s.T = 11 + 12 * i;
            s.lengths = lengths;
            s.shrink = true;
            s.dropout = which & 2 ? 0.3 : 0;
            s.sparse = which & 4;
            draw_lengths(lengths, s.B, s.T, (uint64_t)(which * 7 + i));
            run(&s, &all);
            for (int64_t every = 1; every < 14; every += 4) {
                s.options.every = every;
                s.threads = 1 + (int32_t)(every & 4) / 2;
                expect_bits(&s, &all, "every");
            }
            s.options.every = 0;
            s.options.budget_bytes = 40000 * s.B;
            expect_bits(&s, &all, "budget");
            trace_free(&all);
        }
}

/* Row b of a tensor whose last two axes are [B,n]. */
static void expect_row(const trace *a, const trace *b, int item, int64_t B, int64_t i,
                       int64_t j)
{
    const trace_item *x = &a->item[item], *y = &b->item[item];
    int64_t n = x->shape.dim[x->shape.rank - 1], steps = x->n / (B * n);
    for (int64_t t = 0; t < steps; t++)
        cr_assert(memcmp(a->x + x->at + (t * B + i) * n, b->x + y->at + (t * B + j) * n,
                         (size_t)n * sizeof *a->x) == 0,
                  "%s: row %d and where it stands now", x->what, (int)i);
}

Test(shrink, rows_may_stand_in_any_order)
{
    enum { B = 16 };
    int32_t lengths[B], other[B];
    int rows[B];
    for (int which = 0; which < N_ONE_CELL; which++) {
        trace a = { .n = 0 }, b = { .n = 0 };
        setup s = { .dtype = SQ_F32, .which = which, .B = B, .T = 13, .shrink = true };
        s.lengths = lengths;
        draw_lengths(lengths, B, s.T, (uint64_t)which);
        for (int i = 0; i < B; i++) rows[i] = (i * 7 + which) % B, other[i] = lengths[rows[i]];
        run(&s, &a);
        s.lengths = other;
        s.rows = rows;
        run(&s, &b);
        for (int item = 0; item < a.n; item++)
            for (int i = 0; strncmp(a.item[item].what, "dL/d", 4) != 0 && i < B; i++)
                expect_row(&a, &b, item, B, rows[i], i);
        trace_free(&a);
        trace_free(&b);
    }
}

/* ---- Dropout, cuts, rows alone ---------------------------------------------------------------- */

Test(shrink, draws_by_the_callers_rows)
{
    int32_t lengths[MOST_ROWS];
    for (int which = 0; which < N_ONE_CELL; which++)
        for (int drawn = 0; drawn < 2; drawn++) {
            setup s = { .dtype = which & 1 ? SQ_F32 : SQ_F64, .which = which, .B = 9, .T = 12 };
            s.lengths = lengths;
            s.dropout = 0.4;
            s.drawn = drawn ? SQ_PER_SEQUENCE : SQ_PER_STEP;
            draw_lengths(lengths, s.B, s.T, (uint64_t)which + 100);
            compare(s, "dropout");
        }
}

Test(shrink, a_cut_forgets_what_came_before)
{
    int32_t lengths[MOST_ROWS];
    for (int which = 0; which < N_ONE_CELL; which++)
        for (int64_t cut = 1; cut < 14; cut += 3) {
            setup s = { .dtype = SQ_F64, .which = which, .B = 7, .T = 14, .cut = cut };
            s.lengths = lengths;
            draw_lengths(lengths, s.B, s.T, (uint64_t)(which + cut));
            compare(s, "a cut");
        }
}

static void add_alone(const setup *s, int64_t b, trace *sum)
{
    trace one = { .n = 0 };
    int row = (int)b;
    setup alone = *s;
    alone.B = 1;
    alone.T = s->lengths[b];
    alone.whole = s->T;
    alone.lengths = s->lengths + b;
    alone.rows = &row;
    run(&alone, &one);
    int n = 0;
    while (n < one.n && strncmp(one.item[one.n - 1 - n].what, "dL/d", 4) == 0) n++;
    for (int i = 1; i <= n; i++) {
        const trace_item *x = &one.item[one.n - i], *y = &sum->item[sum->n - i];
        cr_assert(n && x->n == y->n);
        for (int64_t j = 0; j < x->n; j++) sum->x[y->at + j] += one.x[x->at + j];
    }
    trace_free(&one);
}

Test(shrink, weight_gradients_are_those_of_every_row_alone)
{
    int32_t lengths[MOST_ROWS];
    for (int which = 0; which < N_ONE_CELL; which++) {
        trace got = { .n = 0 }, want = { .n = 0 };
        setup s = { .dtype = SQ_F64, .which = which, .B = 16, .T = 19, .shrink = true };
        s.lengths = lengths;
        s.sparse = which & 1;
        draw_lengths(lengths, s.B, s.T, (uint64_t)which + 200);
        run(&s, &got);
        run(&s, &want);
        for (int64_t i = 0; i < want.n_x; i++) want.x[i] = 0;
        for (int64_t b = 0; b < s.B; b++)
            if (lengths[b]) add_alone(&s, b, &want);
        for (int i = 0; i < got.n; i++)
            if (strncmp(got.item[i].what, "dL/d", 4) == 0)
                cr_assert(trace_error(&got, &want, i) <= 1e-12, "cell %d: %s: %g", which,
                          got.item[i].what, trace_error(&got, &want, i));
        trace_free(&got);
        trace_free(&want);
    }
}

/* ---- Forward mode ---------------------------------------------------------------------------- */

/* Tangents of all outputs, of a late state and of what is inside. */
static void push(const setup *s, double *to, int64_t n)
{
    one_cell inner;
    sq_params *p = sq_params_new(s->dtype);
    one_cell_new(&inner, p, s->which, I, H, 1);
    noisy w = { .inner = inner.cell, .dropout = 0.2 };
    sq_cell cell = inner.cell;
    cell.step = noisy_step;
    cell.self = &w;
    sq_tape *t = sq_tape_new(s->dtype, p);
    sq_var x = input_of(s, t);
    const sq_unrolled *u =
        sq_unroll(t, &cell, x, NULL,
                  &(sq_unroll_options){ .lengths = s->lengths, .keep_padding = !s->shrink });
    sq_var y[] = { sq_unrolled_outputs(u), sq_unrolled_state(u, s->T - 2, 0),
                   sq_unrolled_named(u, s->T / 2, "inside") };
    double dx[16 * 9 * I], *dy[COUNT(y)];
    const double *in = dx;
    cr_assert(s->T * s->B * I <= COUNT(dx) && n >= (s->T + 2) * s->B * H);
    fill(dx, COUNT(dx), 8, -1, 1);
    for (int i = 0; i < COUNT(y); i++) dy[i] = to + (i ? (s->T + i - 1) * s->B * H : 0);
    sq_status status = sq_jvp(&x, &in, 1, y, dy, COUNT(y));
    cr_assert(status == SQ_OK, "%s", sq_message(t));
    sq_tape_free(t);
    one_cell_free(&inner);
    sq_params_free(p);
}

Test(shrink, forward_mode_is_the_same)
{
    enum { B = 9, T = 16, N = (T + 2) * B * H };
    static double y[2][N];
    int32_t lengths[B];
    for (int which = 0; which < N_ONE_CELL; which++) {
        setup s = { .dtype = SQ_F64, .which = which, .B = B, .T = T, .lengths = lengths };
        draw_lengths(lengths, B, T, (uint64_t)which + 400);
        push(&s, y[0], N);
        s.shrink = true;
        push(&s, y[1], N);
        for (int b = 0; b < B; b++) /* what a step makes of a row that has ended is nobody's */
            for (int j = 0; lengths[b] <= T / 2 && j < H; j++) {
                cr_expect(y[1][((T + 1) * B + b) * H + j] == 0);
                y[0][((T + 1) * B + b) * H + j] = 0;
            }
        EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "tangents");
    }
}

/* ---- Watches --------------------------------------------------------------------------------- */

/* The sentence that a run under watch ends with. A relu network whose numbers grow without end. */
static void watched(const setup *s, double scale, char *told, size_t n)
{
    sq_params *p = sq_params_new(s->dtype);
    sq_rnn w;
    sq_rnn_init(&w, p, "r", I, H, SQ_RNN_RELU, 5);
    sq_tape *t = sq_tape_new(s->dtype, p);
    double x[MOST_ROWS * I * 64];
    cr_assert(s->T * s->B * I <= COUNT(x));
    for (int i = 0; i < s->T * s->B * I; i++) x[i] = scale * (1 + i % 3);
    sq_cell cell = sq_rnn_cell(&w);
    sq_unroll_options o = s->options;
    o.mode = SQ_PLAN;
    o.lengths = s->lengths;
    o.keep_padding = !s->shrink;
    double U[H * H];
    for (int i = 0; i < H * H; i++) U[i] = 2;
    sq_weight_set_f64(p, w.U, U);
    const sq_unrolled *u =
        sq_unroll(t, &cell, sq_leaf(t, sq_shape3(s->T, s->B, I), x), NULL, &o);
    if (u) {
        sq_var loss = sq_add(weighed(s, sq_unrolled_state(u, s->T - 1, 0), 3, 0),
                             weighed(s, sq_unrolled_output(u, s->T / 2), 4, 0));
        if (scale < 1) loss = sq_mul_scalar(loss, 1 / scale);
        if (sq_backward(loss)) snprintf(told, n, "%s", sq_message(t));
        else snprintf(told, n, "nothing");
    } else {
        snprintf(told, n, "%s", sq_message(t));
    }
    sq_tape_free(t);
    sq_params_free(p);
}

Test(shrink, a_watch_tells_the_same)
{
    static const struct {
        sq_unroll_options options;
        double scale;
        const char *part;
    } ways[] = { { { .watch_nonfinite = true }, 1e30, "inf" },
                 { { .watch_nonfinite = true, .every = 4 }, 1e30, "inf" },
                 { { .watch_limit = 1e9 }, 1, "norm" },
                 { { .watch_limit = 1e9, .every = 4 }, 1, "norm" },
                 { { .watch_growth = 1e2, .watch_steps = 3 }, 1, "gradient grew" },
                 { { .watch_nonfinite = true }, 1e-30, "backward" },
                 { { .watch_nonfinite = true, .every = 4 }, 1e-30, "backward" },
                 { { .watch_nonfinite = true, .watch_limit = 1e37 }, 1, "nothing" } };
    enum { B = 7, T = 30 };
    int32_t lengths[B] = { 3, 30, 0, 17, 30, 22, 9 };
    for (int i = 0; i < COUNT(ways); i++) {
        char told[2][512];
        setup s = { .dtype = SQ_F32, .B = B, .T = T, .lengths = lengths };
        s.options = ways[i].options;
        for (int shrink = 0; shrink < 2; shrink++) {
            s.shrink = shrink;
            watched(&s, ways[i].scale, told[shrink], sizeof told[shrink]);
        }
        EXPECT_TEXT(told[1], told[0]);
        EXPECT_CONTAINS(told[0], ways[i].part);
    }
}

Test(shrink, a_watch_changes_no_bit)
{
    int32_t lengths[MOST_ROWS];
    for (int which = 0; which < N_ONE_CELL; which++) {
        trace all = { .n = 0 };
        setup s = { .dtype = SQ_F64, .which = which, .B = 7, .T = 15, .shrink = true };
        s.lengths = lengths;
        draw_lengths(lengths, s.B, s.T, (uint64_t)which + 300);
        run(&s, &all);
        s.options.watch_nonfinite = true;
        expect_bits(&s, &all, "a watch");
        s.options.watch_growth = 1e9;
        s.options.watch_steps = 2;
        expect_bits(&s, &all, "a watch for growth");
        trace_free(&all);
    }
}

/* ---- Any cell -------------------------------------------------------------------------------- */

static int left_out_of; /* how many random cells rows were left out of */

/* Without names: what a step computes for a row that has ended is nobody's business. */
static void unnamed(random_cell *to, const random_cell *c)
{
    *to = *c;
    for (int i = 0; i < to->n_nodes; i++) to->node[i].name[0] = '\0';
}

static bool trace_random(const random_cell *c, rc_setup s, trace *t, char *why, size_t n)
{
    char told[8192] = "";
    rc_run r;
    rc_open(&r, c, s);
    rc_feed(&r);
    rc_unroll(&r);
    sq_plan_explain(r.u, told, sizeof told);
    left_out_of += !s.memory.every && strstr(told, "are left out") != NULL;
    sq_status status = sq_backward(rc_loss(&r, 1));
    rc_read_values(&r, t);
    if (status == SQ_OK) rc_read_grads(&r, t);
    bool ok = rc_is_well(&r, why, n);
    rc_close(&r);
    return ok;
}

/* The same bits, but for the sign of a 0: masks may multiply it by a negative number. */
static bool same_numbers(const double *x, const double *y, int64_t n)
{
    bool same = true;
    for (int64_t i = 0; i < n; i++)
        same &= memcmp(&x[i], &y[i], sizeof *x) == 0 || (x[i] == 0 && y[i] == 0);
    return same;
}

/* What goes with a row has its bits; sums over rows agree. */
static bool agrees(const trace *a, const trace *b, char *why, size_t n)
{
    for (int i = 0; i < a->n; i++) {
        const trace_item *x = &a->item[i], *y = &b->item[i];
        bool sum = strstr(x->what, "invariant") ||
                   (strncmp(x->what, "dL/d", 4) == 0 && x->what[4] != ' ');
        bool same = sum ? trace_error(a, b, i) <= 1e-12
                        : same_numbers(a->x + x->at, b->x + y->at, x->n);
        if (same) continue;
        snprintf(why, n, "%s: error %g", x->what, trace_error(a, b, i));
        return false;
    }
    return a->n == b->n;
}

static bool random_shrinks(const random_cell *given, char *why, size_t n)
{
    static random_cell cell;
    static int32_t lengths[1024];
    unnamed(&cell, given);
    const random_cell *c = &cell;
    bool ok = c->node[c->output].shape.rank > 0 && c->B <= COUNT(lengths);
    for (int i = 0; i < c->n_nodes; i++) ok &= !c->node[i].mixes;
    if (!ok) return true;
    draw_lengths(lengths, c->B, c->T, c->seed);
    trace t[3] = { { .n = 0 }, { .n = 0 }, { .n = 0 } };
    for (int i = 0; ok && i < 3; i++) {
        rc_setup s = { .dtype = SQ_F64, .T = c->T, .B = c->B, .data = c->seed };
        s.threads = 1 + (int32_t)(c->seed % 3);
        s.memory = (sq_unroll_options){ .lengths = lengths,
                                        .reverse = c->seed & 1,
                                        .keep_padding = i == 0,
                                        .every = i == 2 ? 2 : 0,
                                        .state_grads = true };
        ok = trace_random(c, s, &t[i], why, n);
    }
    ok = ok && agrees(&t[1], &t[0], why, n) && trace_equal(&t[2], &t[1], why, n);
    for (int i = 0; i < 3; i++) trace_free(&t[i]);
    return ok;
}

Test(shrink, any_cell_has_the_same_bits, .timeout = 300)
{
    left_out_of = 0;
    rc_over("shrink", 1, FEWER(300), 1e3, random_shrinks);
    cr_expect(left_out_of > FEWER(60), "rows were left out of %d cells", left_out_of);
}
