/* test_plan.c -- which cells run as plans, which cannot and why, and what is told about it.
 *
 * The classic cells, stacks of them, and a cell as a newcomer writes it run as plans and equal the
 * eager unroll. A step that needs C control flow on values, or that depends on more than its
 * input and its states, runs eagerly: the reason is told, and is the error under SQ_PLAN. */
#include "tests/support/every_cell.h"
#include "tests/support/random_run.h"

#include "graph/plan.h"

enum { T = 7, B = 5, I = 6, H = 9, STATES = 12, TEXT = 4096 };

/* ---- One training step of any cell --------------------------------------------------------- */

typedef struct told {
    sq_mode mode;
    char explain[TEXT];
} told;

static const double *drawn(int64_t n, uint64_t seed)
{
    static double x[T * B * I * H];
    cr_assert(n <= COUNT(x));
    fill(x, n, seed, -1, 1);
    return x;
}

/* sum of v r with random r; nothing for no value. */
static sq_var mixture(sq_tape *t, sq_var v, uint64_t seed)
{
    sq_shape s = sq_shape_of(v);
    return sq_sum(sq_mul(v, sq_input(t, s, drawn(sq_shape_size(s), seed))));
}

static void read_unroll(const sq_unrolled *u, trace *o, bool gradients)
{
    for (int64_t i = 0; i < sq_unrolled_steps(u); i++) {
        for (int32_t k = 0; k < sq_unrolled_n_states(u); k++) {
            sq_var s = sq_unrolled_state(u, i, k);
            if (gradients) trace_grad(o, "total gradient", s);
            else trace_value(o, "state", s);
        }
        if (gradients) trace_grad(o, "immediate gradient", sq_unrolled_output(u, i));
        else trace_value(o, "output", sq_unrolled_output(u, i));
    }
}

/* Outputs, states and all gradients of a mixture of outputs and last states. */
static void train(const sq_cell *cell, sq_params *p, sq_mode mode, trace *o, told *w)
{
    sq_tape *t = sq_tape_new(sq_params_dtype(p), p);
    sq_var s0[STATES], last[STATES];
    sq_var x = sq_leaf(t, sq_shape3(T, B, I), drawn(T * B * I, 1));
    for (int32_t k = 0; k < cell->n_states; k++)
        s0[k] =
            sq_leaf(t, sq_mat(B, cell->width[k]), drawn(B * cell->width[k], 2 + (uint64_t)k));
    const sq_unrolled *u = sq_unroll(t, cell, x, s0, &(sq_unroll_options){ .mode = mode });
    cr_assert(u != NULL, "%s: %s", cell->name, sq_message(t));
    w->mode = sq_unroll_mode(u);
    sq_plan_explain(u, w->explain, sizeof w->explain);
    sq_unrolled_last(u, last);
    sq_var loss = mixture(t, sq_unrolled_outputs(u), 50);
    for (int32_t k = 0; k < cell->n_states; k++)
        loss = sq_add(loss, mixture(t, last[k], 60 + (uint64_t)k));
    BACKWARD(loss);
    trace_value(o, "outputs", sq_unrolled_outputs(u));
    read_unroll(u, o, false);
    read_unroll(u, o, true);
    trace_grad(o, "dL/dx", x);
    for (int32_t k = 0; k < cell->n_states; k++) trace_grad(o, "dL/d initial state", s0[k]);
    trace_weights(o, t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* As a plan, and equal to the eager unroll; w: what was told of the plan. */
static void expect_planned(const sq_cell *cell, sq_params *p, told *w)
{
    static told eager;
    trace a = { .n = 0 }, b = { .n = 0 }, c = { .n = 0 };
    char why[256] = "";
    train(cell, p, SQ_EAGER, &a, &eager);
    cr_expect(eager.mode == SQ_EAGER, "%s", cell->name);
    train(cell, p, SQ_PLAN, &c, w);
    cr_expect(w->mode == SQ_PLAN, "%s", cell->name);
    train(cell, p, SQ_AUTO, &b, w);
    cr_expect(w->mode == SQ_PLAN, "%s: %s", cell->name, w->explain);
    cr_expect(trace_close(&b, &a, 1e-12, why, sizeof why), "%s: %s", cell->name, why);
    cr_expect(trace_equal(&c, &b, why, sizeof why), "%s: %s", cell->name, why);
    trace_free(&a);
    trace_free(&b);
    trace_free(&c);
}

/* ---- Cells that are planned ----------------------------------------------------------------- */

static void plan_one(sq_cell cell, sq_params *p)
{
    static told w;
    cr_assert(sq_params_status(p) == SQ_OK, "%s", sq_params_message(p));
    expect_planned(&cell, p, &w);
    sq_params_free(p);
}

Test(plan, takes_every_cell)
{
    for (int k = 0; k < N_CELL_KINDS; k++) {
        any_cell w;
        sq_params *p = sq_params_new(SQ_F64);
        plan_one(every_cell[k].make(&w, p, "c", I, H, 3), p);
    }
}

Test(plan, takes_stacks_of_three)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_lstm a, b;
    sq_gru g;
    sq_lstm_init(&a, p, "a", I, H, 3);
    sq_gru_init(&g, p, "g", H, 4, SQ_RESET_AFTER, 4);
    sq_lstm_init(&b, p, "b", 4, 8, 5);
    sq_cell layers[3] = { sq_lstm_cell(&a), sq_gru_cell(&g), sq_lstm_cell(&b) };
    sq_stack_cells *s = sq_stack_new(layers, 3);
    plan_one(sq_stack_cell(s), p);
    sq_stack_free(s);
}

/* The same layer three times over: weights shared by three places of a step. */
Test(plan, takes_a_layer_that_is_used_three_times)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_gru g;
    sq_gru_init(&g, p, "g", I, I, SQ_RESET_BEFORE, 4);
    sq_cell layers[3] = { sq_gru_cell(&g), sq_gru_cell(&g), sq_gru_cell(&g) };
    sq_stack_cells *s = sq_stack_new(layers, 3);
    plan_one(sq_stack_cell(s), p);
    sq_stack_free(s);
}

/* An LSTM as a newcomer writes it. */
static sq_var user_gate(sq_tape *t, const sq_lstm *w, sq_var x, sq_var h, int k)
{
    return sq_add(sq_add(sq_matmul(x, sq_use(t, w->W[k])), sq_matmul(h, sq_use(t, w->U[k]))),
                  sq_use(t, w->b[k]));
}

static sq_var user_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lstm *w = self;
    sq_var i = sq_sigmoid(user_gate(t, w, x, state[0], 0));
    sq_var f = sq_sigmoid(user_gate(t, w, x, state[0], 1));
    sq_var g = sq_tanh(user_gate(t, w, x, state[0], 2));
    sq_var o = sq_sigmoid(user_gate(t, w, x, state[0], 3));
    state[1] = sq_add(sq_mul(f, state[1]), sq_mul(i, g));
    return state[0] = sq_mul(o, sq_tanh(state[1]));
}

/* With a readout, so that there is something to sink. */
typedef struct user {
    sq_lstm lstm;
    sq_weight V;
} user;

static sq_var user_readout(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const user *w = self;
    return sq_softmax(sq_matmul(user_step(t, &w->lstm, x, state), sq_use(t, w->V)), -1);
}

Test(plan, explains_what_became_of_an_lstm_of_eight_products)
{
    static told w;
    static const char *const words[] = { "plan",  "hoist", "merge", "fuse",
                                         "defer", "sunk",  "flops" };
    sq_params *p = sq_params_new(SQ_F64);
    user u;
    sq_lstm_init(&u.lstm, p, "user", I, H, 3);
    u.V = sq_params_add(p, "V", sq_mat(H, 4));
    sq_weight_set(p, u.V, drawn(H * 4, 9));
    sq_cell cell = sq_lstm_cell(&u.lstm);
    cell.step = user_readout;
    cell.self = &u;
    expect_planned(&cell, p, &w);
    for (int i = 0; i < COUNT(words); i++) EXPECT_CONTAINS(w.explain, words[i]);
    sq_params_free(p);
}

/* The newcomer's form and ours differ in the order of additions only. */
Test(plan, of_eight_products_equals_ours)
{
    static told w;
    trace a = { .n = 0 }, b = { .n = 0 };
    char why[256] = "";
    sq_params *p = sq_params_new(SQ_F64);
    sq_lstm lstm;
    sq_lstm_init(&lstm, p, "lstm", I, H, 3);
    sq_cell ours = sq_lstm_cell(&lstm), theirs = ours;
    theirs.step = user_step;
    train(&ours, p, SQ_PLAN, &a, &w);
    train(&theirs, p, SQ_PLAN, &b, &w);
    cr_expect(trace_close(&b, &a, 1e-12, why, sizeof why), "%s", why);
    trace_free(&a);
    trace_free(&b);
    sq_params_free(p);
}

/* ---- Cells that cannot be planned ------------------------------------------------------------ */

typedef struct stubborn {
    sq_weight W, U;
    int32_t calls;
} stubborn;

static sq_var plain(sq_tape *t, const stubborn *w, sq_var x, sq_var h)
{
    return sq_tanh(sq_add(sq_matmul(x, sq_use(t, w->W)), sq_matmul(h, sq_use(t, w->U))));
}

static sq_var reads_a_value(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    sq_var y = plain(t, self, x, *h);
    return *h = sq_norm(y) > 2 ? sq_mul_scalar(y, .5) : y;
}

static sq_var reads_a_number(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    sq_var y = plain(t, self, x, *h);
    return *h = sq_mul_scalar(y, 1 / (1 + fabs(sq_item(sq_sum(x)))));
}

static sq_var copies_values(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    double values[B * H];
    sq_var y = plain(t, self, x, *h);
    sq_copy(y, values);
    return *h = sq_mul_scalar(y, values[0]);
}

static sq_var asks_the_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    sq_var y = plain(t, self, x, *h);
    return *h = sq_current_step(t) % 2 ? sq_neg(y) : y;
}

static sq_var takes_numbers(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const double v[H] = { 1, 0, 1, 1, 0, 1, 0, 1, 1 };
    return *h = sq_mul(plain(t, self, x, *h), sq_input(t, sq_vec(H), v));
}

static sq_var makes_a_leaf(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const double v[H] = { 1, 0, 1, 1, 0, 1, 0, 1, 1 };
    return *h = sq_mul(plain(t, self, x, *h), sq_leaf(t, sq_vec(H), v));
}

static sq_var takes_ids(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const int32_t ids[B] = { 1, 0, 4, 2, 3 };
    return *h = sq_gather(plain(t, self, x, *h), ids, B);
}

static sq_var takes_labels(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const int32_t labels[B] = { 1, 0, 4, 2, 3 };
    *h = plain(t, self, x, *h);
    return sq_cross_entropy(*h, labels, NULL, SQ_MEAN);
}

static sq_var draws_numbers(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    double u = sq_random_uniform(sq_tape_random(t), 0, 0);
    return *h = sq_mul_scalar(plain(t, self, x, *h), u);
}

static sq_var marks_the_nameless(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    return *h = sq_tanh(sq_keep_grad(plain(t, self, x, *h)));
}

static const struct refusal {
    const char *name;
    sq_step_fn *step;
    const char *reason;
} refusals[] = {
    { "reader", reads_a_value, "reads a value" },
    { "items", reads_a_number, "reads a value" },
    { "copier", copies_values, "reads a value" },
    { "clock", asks_the_step, "asks which step it is" },
    { "taker", takes_numbers, "takes numbers from outside" },
    { "leafy", makes_a_leaf, "takes numbers from outside" },
    { "gatherer", takes_ids, "takes ids or labels" },
    { "loser", takes_labels, "takes ids or labels" },
    { "gambler", draws_numbers, "draws random numbers" },
    { "marker", marks_the_nameless, "marks what has no name" },
};

static sq_cell stubborn_cell(stubborn *w, sq_params *p, const struct refusal *r)
{
    static const int64_t width[1] = { H };
    w->W = sq_params_add(p, "W", sq_mat(I, H));
    w->U = sq_params_add(p, "U", sq_mat(H, H));
    sq_weight_set(p, w->W, drawn(I * H, 31));
    sq_weight_set(p, w->U, drawn(H * H, 32));
    return (sq_cell){ r->name, 1, width, NULL, r->step, w };
}

/* Under AUTO it runs eagerly, to the same bits, and says why. */
Test(refusals, run_eagerly_to_the_same_bits)
{
    static told a, e;
    for (int i = 0; i < COUNT(refusals); i++) {
        const struct refusal *r = &refusals[i];
        sq_params *p = sq_params_new(SQ_F64);
        stubborn w;
        char why[256] = "";
        sq_cell cell = stubborn_cell(&w, p, r);
        trace x = { .n = 0 }, y = { .n = 0 };
        train(&cell, p, SQ_AUTO, &x, &a);
        train(&cell, p, SQ_EAGER, &y, &e);
        cr_expect(a.mode == SQ_EAGER && e.mode == SQ_EAGER, "%s", r->name);
        EXPECT_CONTAINS(a.explain, r->reason);
        cr_expect(strstr(e.explain, r->reason) == NULL, "SQ_EAGER asks no questions: %s",
                  e.explain);
        cr_expect(trace_equal(&x, &y, why, sizeof why), "%s: %s", r->name, why);
        trace_free(&x);
        trace_free(&y);
        sq_params_free(p);
    }
}

/* Under SQ_PLAN the same reason is an error, and the tape is good again after a reset. */
Test(refusals, are_errors_when_a_plan_is_asked_for)
{
    for (int i = 0; i < COUNT(refusals); i++) {
        const struct refusal *r = &refusals[i];
        sq_params *p = sq_params_new(SQ_F64);
        stubborn w;
        sq_cell cell = stubborn_cell(&w, p, r);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        for (int turn = 0; turn < 2; turn++) {
            sq_var x = sq_input(t, sq_shape3(T, B, I), drawn(T * B * I, 1));
            const sq_unroll_options o = { .mode = SQ_PLAN };
            const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, &o);
            cr_expect(u == NULL, "%s", r->name);
            EXPECT_CONTAINS(sq_message(t), r->reason);
            EXPECT_CONTAINS(sq_message(t), r->name);
            EXPECT_ERROR(t, SQ_EVALUE);
        }
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* ---- Being asked ----------------------------------------------------------------------------- */

typedef struct small {
    net n;
    sq_tape *t;
    sq_var x;
    const sq_unrolled *u;
} small;

static void small_new(small *s, sq_mode mode)
{
    net_new(&s->n, SQ_F64, I, H, 5);
    s->t = sq_tape_new(SQ_F64, s->n.params);
    s->x = sq_leaf(s->t, sq_shape3(T, B, I), drawn(T * B * I, 1));
    s->u = sq_unroll(s->t, &s->n.cell, s->x, NULL, &(sq_unroll_options){ .mode = mode });
    cr_assert(s->u != NULL, "%s", sq_message(s->t));
}

static void small_free(small *s)
{
    sq_tape_free(s->t);
    net_free(&s->n);
}

Test(explain, writes_like_snprintf)
{
    small s;
    static char whole[TEXT], part[TEXT];
    for (int mode = 0; mode < 2; mode++) {
        small_new(&s, mode ? SQ_EAGER : SQ_AUTO);
        size_t n = sq_plan_explain(s.u, whole, sizeof whole);
        cr_expect(n > 10 && n < sizeof whole && strlen(whole) == n, "%zu", n);
        cr_expect(whole[n - 1] == '\n', "lines end");
        cr_expect(sq_plan_explain(s.u, NULL, 0) == n);
        for (size_t room = 1; room <= n + 1; room++) {
            memset(part, 'x', sizeof part);
            cr_expect(sq_plan_explain(s.u, part, room) == n, "%zu", room);
            cr_expect(strlen(part) == room - 1 && memcmp(part, whole, room - 1) == 0, "%zu",
                      room);
            cr_expect(part[room] == 'x', "room %zu was overrun", room);
        }
        ASSERT_HEALTHY(s.t);
        small_free(&s);
    }
}

Test(explain, of_nothing_is_empty)
{
    char buf[8] = "full";
    cr_expect(sq_plan_explain(NULL, buf, sizeof buf) == 0);
    EXPECT_TEXT(buf, "");
    cr_expect(sq_plan_explain(NULL, NULL, 0) == 0);
    cr_expect(sq_unroll_mode(NULL) == SQ_AUTO);
    cr_expect(sq_ok(sq_unrolled_named(NULL, 0, "i")) == false);
}

Test(plan, is_not_derived_through)
{
    small s;
    sq_var g;
    small_new(&s, SQ_PLAN);
    cr_expect(sq_derive(sq_sum(sq_unrolled_outputs(s.u)), &s.x, &g, 1) != SQ_OK);
    EXPECT_CONTAINS(sq_message(s.t), "SQ_EAGER");
    EXPECT_ERROR(s.t, SQ_EGRAD);
    small_free(&s);
    small_new(&s, SQ_EAGER);
    cr_expect(sq_derive(sq_sum(sq_unrolled_outputs(s.u)), &s.x, &g, 1) == SQ_OK, "%s",
              sq_message(s.t));
    small_free(&s);
}

/* What does not lead through the plan may be derived beside it. */
Test(plan, is_no_hindrance_beside_it)
{
    small s;
    sq_var g, c;
    double value[H];
    small_new(&s, SQ_PLAN);
    c = sq_leaf(s.t, sq_vec(H), drawn(H, 4));
    sq_var y = sq_sum(sq_mul(sq_unrolled_state(s.u, T - 1, 0), sq_square(c)));
    cr_expect(sq_derive(y, &c, &g, 1) == SQ_OK, "%s", sq_message(s.t));
    sq_copy(g, value);
    ASSERT_HEALTHY(s.t);
    small_free(&s);
}

Test(plan, names_inner_values)
{
    static const char *const gates[] = { "i", "f", "g", "o" };
    small p, e;
    small_new(&p, SQ_PLAN);
    small_new(&e, SQ_EAGER);
    sq_var a[T][4], b[T][4];
    for (int i = 0; i < T; i++)
        for (int k = 0; k < 4; k++) {
            a[i][k] = sq_unrolled_named(p.u, i, gates[k]);
            b[i][k] = sq_unrolled_named(e.u, i, gates[k]);
            cr_assert(sq_ok(a[i][k]) && sq_ok(b[i][k]));
            EXPECT_TEXT(sq_name_of(a[i][k]), gates[k]);
            cr_expect(same_var(a[i][k], sq_unrolled_named(p.u, i, gates[k])), "asked twice");
        }
    BACKWARD(mixture(p.t, sq_unrolled_outputs(p.u), 5));
    BACKWARD(mixture(e.t, sq_unrolled_outputs(e.u), 5));
    trace x = { .n = 0 }, y = { .n = 0 };
    for (int i = 0; i < T; i++)
        for (int k = 0; k < 4; k++) {
            trace_value(&x, gates[k], a[i][k]);
            trace_value(&y, gates[k], b[i][k]);
            trace_grad(&x, gates[k], a[i][k]);
            trace_grad(&y, gates[k], b[i][k]);
        }
    char why[256] = "";
    cr_expect(x.n == 8 * T && trace_close(&x, &y, 1e-12, why, sizeof why), "%s", why);
    trace_free(&x);
    trace_free(&y);
    cr_expect(sq_ok(sq_unrolled_named(p.u, 0, "nobody")) == false);
    cr_expect(sq_ok(sq_unrolled_named(p.u, T, "i")) == false);
    cr_expect(sq_ok(sq_unrolled_named(p.u, -1, "i")) == false);
    ASSERT_HEALTHY(p.t);
    ASSERT_HEALTHY(e.t);
    small_free(&p);
    small_free(&e);
}

/* ---- How often the step is called ------------------------------------------------------------- */

static sq_var counts(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    ((stubborn *)(uintptr_t)self)->calls++;
    return *h = plain(t, self, x, *h);
}

Test(plan, calls_the_step_once)
{
    sq_params *p = sq_params_new(SQ_F32);
    stubborn w = { .calls = 0 };
    sq_cell cell = stubborn_cell(&w, p, &(struct refusal){ "counter", counts, "" });
    sq_tape *t = sq_tape_new(SQ_F32, p);
    const int lengths[] = { 1, T, 1000 };
    for (int i = 0; i < COUNT(lengths); i++) {
        sq_tape_reset(t);
        w.calls = 0;
        sq_var x = sq_zeros(t, sq_shape3(lengths[i], B, I));
        const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, NULL);
        cr_expect(sq_unroll_mode(u) == SQ_PLAN, "%d steps: %s", lengths[i], sq_message(t));
        cr_expect(w.calls == 1, "%d steps: %d calls", lengths[i], (int)w.calls);
        cr_expect(sq_tape_statistics(t).steps == lengths[i]);
        cr_expect(sq_unrolled_steps(u) == lengths[i]);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}
