/* test_ledger_fan.c -- losses that go back through a plan together reach as far as each does by itself.
 *
 * |dL_i/dh_k| of the table is compared with a ledger of L_i alone, whose totals are a sweep of its
 * own, with eager tapes, and with a recurrence whose derivatives are powers. */
#include "tests/support/cell_run.h"
#include "tests/support/one_cell.h"

enum { MOST = 160 };

/* Rows of the table, [n][T * n_states]. */
static double *table_of(const sq_ledger *l, int *n)
{
    int64_t steps = sq_ledger_steps(l), states = sq_ledger_n_states(l);
    *n = (int)sq_ledger_n_losses(l);
    double *x = malloc((size_t)(*n * steps * states + 1) * sizeof *x);
    cr_assert(x != NULL);
    for (int64_t i = 0; i < *n * steps * states; i++)
        x[i] =
            sq_ledger_reach(l, i / (steps * states), i / states % steps, (int32_t)(i % states));
    return x;
}

static double *reach(const sq_unrolled *u, const sq_var *losses, int n_losses, int *n)
{
    sq_ledger_options o = { .losses = losses, .n_losses = n_losses };
    sq_ledger *l = sq_ledger_new(u, losses[0], &o);
    cr_assert(l != NULL, "%s", sq_message(losses[0].tape));
    double *x = table_of(l, n);
    sq_ledger_free(l);
    return x;
}

/* One row, of a loss that is one number, by a sweep of its own. False where they are apart by more than
 * 1e-12 of the row's largest entry. */
static bool row_is_right(const sq_unrolled *u, sq_var loss, const double *row, char *why,
                         size_t n)
{
    sq_ledger *l = sq_ledger_new(u, loss, NULL);
    if (!l) return snprintf(why, n, "%s", sq_message(loss.tape)), false;
    int64_t states = sq_ledger_n_states(l), size = sq_ledger_steps(l) * states;
    double largest = 0;
    bool ok = true;
    for (int64_t i = 0; i < size; i++)
        largest = fmax(largest, sq_ledger_total(l, i / states, (int32_t)(i % states)));
    for (int64_t i = 0; ok && i < size; i++) {
        double want = sq_ledger_total(l, i / states, (int32_t)(i % states));
        ok = fabs(row[i] - want) <= 1e-12 * largest;
        if (!ok)
            snprintf(why, n, "state %d after step %d: %.17g, not %.17g", (int)(i % states),
                     (int)(i / states), row[i], want);
    }
    sq_ledger_free(l);
    return ok;
}

static void expect_rows(const sq_unrolled *u, const sq_var *losses, int n, const char *what)
{
    int rows;
    char why[256] = "";
    double *x = reach(u, losses, n, &rows);
    int64_t size = sq_unrolled_steps(u) * sq_unrolled_n_states(u);
    cr_assert(rows == n);
    for (int i = 0; i < n; i++)
        cr_expect(row_is_right(u, losses[i], x + i * size, why, sizeof why), "%s, loss %d: %s",
                  what, i, why);
    free(x);
}

/* ---- Closed form --------------------------------------------------------------------------- */

/* h' = h w, y = h' + h: dh_i/dh_k = w^(i-k), dy_i/dh_k = w^(i-k) (1 + 1/w), k < i. */
static sq_var power_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    sq_var next = sq_add(sq_mul(*h, sq_use(t, *(const sq_weight *)self)), x);
    sq_var y = sq_add(next, *h);
    *h = next;
    return y;
}

Test(fan, of_powers)
{
    enum { T = 60 };
    static const int64_t width[] = { 1 };
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 0.8);
    sq_cell cell = {
        .name = "power", .n_states = 1, .width = width, .step = power_step, .self = &w
    };
    sq_tape *t = sq_tape_new(SQ_F64, p);
    double x[T];
    fill(x, T, 3, -1, 1);
    const sq_unrolled *u = sq_unroll(t, &cell, sq_input_f64(t, sq_shape3(T, 1, 1), x), NULL,
                                     &(sq_unroll_options){ .mode = SQ_PLAN });
    cr_assert(u != NULL, "%s", sq_message(t));
    sq_var losses[2 * T];
    for (int i = 0; i < T; i++) {
        losses[2 * i] = sq_unrolled_state(u, i, 0);
        losses[2 * i + 1] = sq_unrolled_output(u, i);
    }
    int n;
    double *got = reach(u, losses, 2 * T, &n);
    cr_assert(n == 2 * T);
    for (int i = 0; i < T; i++)
        for (int k = 0; k < T; k++) {
            double h = k > i ? 0 : pow(0.8, i - k);
            double y = k >= i ? h : h * (1 + 1 / 0.8);
            EXPECT_NEAR(got[2 * i * T + k], h, 1e-14, "of a state");
            EXPECT_NEAR(got[(2 * i + 1) * T + k], y, 1e-14, "of an output");
        }
    free(got);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Every cell ---------------------------------------------------------------------------- */

/* Losses of all kinds at steps of their own: outputs, states, both, windows, all steps at once; and
 * one that reaches nothing. */
static int losses_of(const sq_unrolled *u, sq_var *loss)
{
    sq_tape *t = sq_unrolled_tape(u);
    int T = (int)sq_unrolled_steps(u), n = 0;
    int32_t states = sq_unrolled_n_states(u);
    for (int i = 0; i < T; i++) {
        sq_var y = sq_unrolled_output(u, i), h = sq_unrolled_state(u, i, 0);
        sq_var last = sq_unrolled_state(u, i, states - 1);
        loss[n++] = sq_sum(sq_square(y));
        loss[n++] = sq_sum(sq_mul(last, last));
        loss[n++] = sq_add(sq_sum(sq_square(h)), sq_sum(y));
        if (i < 2) continue;
        sq_var far = sq_unrolled_state(u, i - 2, 0);
        loss[n] = sq_add(sq_sum(far), loss[n - 1]);
        n++;
    }
    loss[n++] = sq_sum(sq_square(sq_unrolled_outputs(u)));
    loss[n++] = sq_sum(sq_square(sq_keep_grad(sq_zeros(t, sq_vec(3)))));
    cr_assert(n <= MOST);
    return n;
}

Test(fan, of_every_cell, .timeout = 60)
{
    enum { T = 9, IN = 3, H = 4 };
    for (int kind = 0; kind < N_ONE_CELL; kind++)
        for (int B = 1; B <= 5; B += 2) {
            double x[T * 5 * IN];
            fill(x, COUNT(x), 5, -1, 1);
            sq_params *p = sq_params_new(SQ_F64);
            one_cell c;
            one_cell_new(&c, p, kind, IN, H, 7);
            sq_tape *t = sq_tape_new(SQ_F64, p);
            const sq_unrolled *u =
                sq_unroll(t, &c.cell, sq_input_f64(t, sq_shape3(T, B, IN), x), NULL,
                          &(sq_unroll_options){ .mode = SQ_PLAN });
            cr_assert(u != NULL, "%s: %s", c.name, sq_message(t));
            sq_var loss[MOST];
            expect_rows(u, loss, losses_of(u, loss), c.name);
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
            one_cell_free(&c);
            sq_params_free(p);
        }
}

/* ---- One LSTM, looked at from all sides ---------------------------------------------------- */

enum { LSTM_IN = 3 };

typedef struct scene {
    net n;
    sq_tape *t;
    const sq_unrolled *u;
} scene;

/* spoilt: from that step on the input is not finite. */
static void scene_new(scene *s, int T, int B, int H, int threads, int spoilt)
{
    size_t size = (size_t)T * (size_t)B * LSTM_IN;
    double *x = malloc((size + 1) * sizeof *x);
    cr_assert(x != NULL);
    fill(x, (int64_t)size, 11, -1, 1);
    for (size_t i = (size_t)spoilt * (size_t)B * LSTM_IN; i < size; i++)
        x[i] = i % 2 ? (double)INFINITY : (double)NAN;
    net_new(&s->n, SQ_F64, LSTM_IN, H, 3);
    s->t = sq_tape_new(SQ_F64, s->n.params);
    sq_tape_set_threads(s->t, threads);
    s->u = sq_unroll(s->t, &s->n.cell, sq_input_f64(s->t, sq_shape3(T, B, LSTM_IN), x), NULL,
                     &(sq_unroll_options){ .mode = SQ_PLAN });
    cr_assert(s->u != NULL, "%s", sq_message(s->t));
    free(x);
}

static void scene_free(scene *s)
{
    sq_tape_free(s->t);
    net_free(&s->n);
}

/* Any number of losses gives the rows that they have among more, to the bit: whoever goes back with a
 * loss is nothing to it. */
Test(fan, of_any_number_of_losses)
{
    static const int batches[] = { 1, 5, 20 };
    static const int numbers[] = { 1, 2, 3, 4, 5, 8, 9, 10, 47, 48, 49, 95, 96, 97 };
    enum { T = 97, STATES = 2 };
    for (int b = 0; b < COUNT(batches); b++) {
        scene s;
        scene_new(&s, T, batches[b], 3, 1, T);
        sq_var loss[T];
        for (int i = 0; i < T; i++)
            loss[i] = sq_sum(sq_square(sq_unrolled_output(s.u, (i * 31) % T)));
        expect_rows(s.u, loss, T, "all");
        int n;
        double *all = reach(s.u, loss, T, &n);
        for (int i = 0; i < COUNT(numbers); i++) {
            double *some = reach(s.u, loss + T - numbers[i], numbers[i], &n);
            const double *same = all + (size_t)(T - numbers[i]) * T * STATES;
            size_t bytes = (size_t)numbers[i] * T * STATES * sizeof *some;
            cr_assert(n == numbers[i]);
            if (n > 1) EXPECT_SAME_BITS(some, same, bytes, "rows");
            free(some);
        }
        free(all);
        ASSERT_HEALTHY(s.t);
        scene_free(&s);
    }
}

Test(fan, on_any_number_of_threads)
{
    static const int threads[] = { 1, 2, 3, 5 };
    enum { T = 30, H = 32, STATES = 2 };
    for (int B = 1; B <= 7; B += 6) {
        double *first = NULL;
        for (int i = 0; i < COUNT(threads); i++) {
            scene s;
            int n;
            scene_new(&s, T, B, H, threads[i], T);
            sq_var loss[MOST];
            double *x = reach(s.u, loss, losses_of(s.u, loss), &n);
            size_t bytes = (size_t)n * T * STATES * sizeof *x;
            if (first) EXPECT_SAME_BITS(x, first, bytes, "rows");
            if (first) free(x);
            else first = x;
            ASSERT_HEALTHY(s.t);
            scene_free(&s);
        }
        free(first);
    }
}

/* What is not finite in later steps does not touch losses of earlier ones, neither where each has its
 * variable nor where one looks at all outputs. */
Test(fan, past_what_is_not_finite)
{
    enum { T = 12, BAD = 7, STATES = 2 };
    for (int B = 1; B <= 3; B += 2) {
        scene s[2];
        double *rows[2][2];
        for (int i = 0; i < 2; i++) {
            int n;
            sq_var loss[T];
            scene_new(&s[i], T, B, 4, 1, i ? BAD : T);
            for (int j = 0; j < T; j++)
                loss[j] = sq_sum(sq_square(sq_unrolled_output(s[i].u, j)));
            sq_var each = sq_sum_axis(sq_sum_axis(sq_unrolled_outputs(s[i].u), 2), 1);
            rows[i][0] = reach(s[i].u, loss, T, &n);
            sq_ledger_options o = { .losses = &each, .n_losses = 1 };
            sq_ledger *l = sq_ledger_new(s[i].u, loss[0], &o);
            cr_assert(l != NULL, "%s", sq_message(s[i].t));
            rows[i][1] = table_of(l, &n);
            cr_assert(n == T);
            sq_ledger_free(l);
        }
        for (int kind = 0; kind < 2; kind++) {
            size_t bytes = (size_t)BAD * T * STATES * sizeof(double);
            EXPECT_SAME_BITS(rows[1][kind], rows[0][kind], bytes, "rows of earlier losses");
            cr_expect(isnan(rows[1][kind][(T - 1) * T * STATES]), "a later one");
        }
        for (int i = 0; i < 4; i++) free(rows[i / 2][i % 2]);
        scene_free(&s[0]);
        scene_free(&s[1]);
    }
}

/* Two unrolls in a row: a loss of the second reaches through it into the first; one of the first does
 * not reach the second. */
Test(fan, through_another_unroll)
{
    enum { T = 6, B = 2, H = 4 };
    scene s;
    double x[T * B * LSTM_IN];
    fill(x, COUNT(x), 12, -1, 1);
    scene_new(&s, T, B, H, 1, T);
    sq_var last[2], loss[2 * T];
    sq_unrolled_last(s.u, last);
    const sq_unrolled *v =
        sq_unroll(s.t, &s.n.cell, sq_input_f64(s.t, sq_shape3(T, B, LSTM_IN), x), last,
                  &(sq_unroll_options){ .mode = SQ_PLAN });
    cr_assert(v != NULL, "%s", sq_message(s.t));
    for (int i = 0; i < T; i++) {
        loss[i] = sq_sum(sq_square(sq_unrolled_output(s.u, i)));
        loss[T + i] = sq_sum(sq_square(sq_unrolled_output(v, i)));
    }
    expect_rows(s.u, loss, 2 * T, "the first");
    expect_rows(v, loss, 2 * T, "the second");
    ASSERT_HEALTHY(s.t);
    scene_free(&s);
}

/* The states that a cut has left, as a ledger of states; and lists of them that are not the unroll's
 * own order, or not all of them. */
Test(fan, of_states_that_are_left)
{
    enum { T = 10, B = 2, H = 4, KEPT = 6, STATES = 2 };
    scene s;
    scene_new(&s, T, B, H, 1, T);
    sq_var loss[T];
    for (int i = 0; i < T; i++) loss[i] = sq_sum(sq_square(sq_unrolled_output(s.u, i)));
    int n;
    double *all = reach(s.u, loss, T, &n);
    sq_var states[KEPT * STATES], turned[KEPT * STATES], some[KEPT];
    for (int cut = 0; cut < 2; cut++) {
        if (cut) cr_assert(sq_cut(s.t, KEPT, NULL, 0) == SQ_OK, "%s", sq_message(s.t));
        for (int i = 0; i < KEPT; i++)
            for (int k = 0; k < STATES; k++) {
                states[i * STATES + k] = sq_unrolled_state(s.u, T - KEPT + i, k);
                turned[i * STATES + 1 - k] = states[i * STATES + k];
                some[i] = states[i * STATES];
            }
        sq_ledger_options o = { .losses = loss + T - KEPT, .n_losses = KEPT };
        sq_ledger *l[3] = { sq_ledger_of_states(states, KEPT, STATES, loss[T - 1], &o),
                            sq_ledger_of_states(turned, KEPT, STATES, loss[T - 1], &o),
                            sq_ledger_of_states(some, KEPT, 1, loss[T - 1], &o) };
        for (int i = 0; i < 3; i++) cr_assert(l[i] != NULL, "%d: %s", i, sq_message(s.t));
        for (int i = 0; i < KEPT; i++)
            for (int j = 0; j < KEPT; j++)
                for (int k = 0; k < STATES; k++) {
                    const double want = all[((T - KEPT + i) * T + T - KEPT + j) * STATES + k];
                    EXPECT_NEAR(sq_ledger_reach(l[0], i, j, k), want, 1e-12, "as they lie");
                    EXPECT_NEAR(sq_ledger_reach(l[1], i, j, 1 - k), want, 1e-12, "turned");
                    if (k) continue;
                    EXPECT_NEAR(sq_ledger_reach(l[2], i, j, 0), want, 1e-12, "one of two");
                }
        for (int i = 0; i < 3; i++) sq_ledger_free(l[i]);
    }
    free(all);
    ASSERT_HEALTHY(s.t);
    scene_free(&s);
}

/* Afterwards sweeps are what they were: of training, and those of ledgers. */
Test(fan, leaves_sweeps_alone)
{
    enum { T = 20, B = 2, H = 5 };
    scene s;
    scene_new(&s, T, B, H, 1, T);
    sq_var all = sq_sum(sq_square(sq_unrolled_outputs(s.u))), loss[MOST];
    BACKWARD(all);
    void *before = grads_copy(s.t);
    double state = sq_grad_norm(sq_unrolled_state(s.u, 3, 1));
    int n;
    free(reach(s.u, loss, losses_of(s.u, loss), &n));
    void *after = grads_copy(s.t);
    EXPECT_SAME_BITS(after, before, params_bytes(s.n.params), "gradients");
    cr_expect(sq_grad_norm(sq_unrolled_state(s.u, 3, 1)) == state);
    sq_zero_grads(s.t);
    BACKWARD(all);
    free(after);
    after = grads_copy(s.t);
    EXPECT_SAME_BITS(after, before, params_bytes(s.n.params), "the next gradients");
    free(before);
    free(after);
    ASSERT_HEALTHY(s.t);
    scene_free(&s);
}

/* ---- Random cells -------------------------------------------------------------------------- */

enum { RANDOM = 14 };

static rc_setup setup(const random_cell *c, sq_mode mode)
{
    return (rc_setup){ .dtype = SQ_F64,
                       .mode = mode,
                       .T = c->T,
                       .B = 1 + (int64_t)(c->seed % 5),
                       .data = c->seed,
                       .late = c->seed & 1 };
}

static int random_losses(rc_run *r, sq_var *loss)
{
    for (int i = 0; i < RANDOM; i++) loss[i] = rc_loss(r, (uint64_t)i + 1);
    return RANDOM;
}

static bool equals_sweeps(const random_cell *c, char *why, size_t n)
{
    rc_run r;
    int rows;
    sq_var loss[RANDOM];
    trace before = { .n = 0 }, after = { .n = 0 };
    rc_open(&r, c, setup(c, SQ_AUTO));
    rc_feed(&r);
    rc_unroll(&r);
    random_losses(&r, loss);
    bool ok = !sq_backward(loss[0]) && rc_is_well(&r, why, n);
    if (ok) rc_read_grads(&r, &before);
    double *x = ok ? reach(r.u, loss, RANDOM, &rows) : NULL;
    int64_t size = ok ? sq_unrolled_steps(r.u) * sq_unrolled_n_states(r.u) : 0;
    if (ok) rc_read_grads(&r, &after);
    ok = ok && trace_equal(&after, &before, why, n);
    for (int i = 0; ok && i < RANDOM; i++)
        ok = row_is_right(r.u, loss[i], x + i * size, why, n);
    ok = ok && rc_is_well(&r, why, n);
    free(x);
    trace_free(&before);
    trace_free(&after);
    rc_close(&r);
    return ok;
}

Test(random_cells, reach_as_far_as_sweeps, .timeout = 120)
{
    rc_over("losses together", 500, FEWER(150), 1e3, equals_sweeps);
}

static void write_down(rc_run *r, trace *t)
{
    sq_var loss[RANDOM];
    rc_feed(r);
    rc_unroll(r);
    random_losses(r, loss);
    sq_ledger_options o = { .losses = loss, .n_losses = RANDOM };
    sq_ledger *l = sq_ledger_new(r->u, loss[0], &o);
    int64_t size = sq_ledger_steps(l) * sq_ledger_n_states(l);
    int n = 0;
    double *x = table_of(l, &n);
    for (int i = 0; i < n; i++) trace_numbers(t, "row", x + i * size, sq_vec(size));
    free(x);
    sq_ledger_free(l);
}

static bool equals_eager(const random_cell *c, char *why, size_t n)
{
    return rc_agree(c, write_down, why, n);
}

Test(random_cells, reach_as_far_as_eagerly, .timeout = 120)
{
    rc_over("losses together, eagerly", 900, FEWER(150), 1e3, equals_eager);
}
