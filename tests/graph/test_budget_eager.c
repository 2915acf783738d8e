/* test_budget_eager.c -- eager unrolls under a budget: steps are dropped and called again, and
 * every gradient has the bits of the unroll that keeps them all.
 *
 * What is compared is everything that can be read: values, gradients of weights, inputs, initial
 * states, outside values, states, outputs and named values. */
#include "tests/support/random_run.h"

/* ---- Random cells -------------------------------------------------------------------------- */

static rc_setup setup(const random_cell *c, sq_dtype dtype, sq_unroll_options memory)
{
    memory.state_grads = true;
    return (rc_setup){ .dtype = dtype,
                       .mode = SQ_EAGER,
                       .T = c->T * 3,
                       .B = c->B,
                       .data = c->seed,
                       .late = c->seed & 1,
                       .memory = memory };
}

/* What an unroll takes, or, when its budget is too small, the least that it tells. */
static int64_t memory_of(const random_cell *c, rc_setup s)
{
    rc_run r;
    rc_open(&r, c, s);
    rc_feed(&r);
    rc_unroll(&r);
    int64_t bytes = sq_unroll_memory(r.u).peak_bytes;
    const char *told = strstr(sq_message(r.t), "one step takes ");
    if (told) bytes = strtoll(told + strlen("one step takes "), NULL, 10);
    rc_close(&r);
    return bytes;
}

/* A budget between the least and all of it, or snapshots every so often. */
static sq_unroll_options some_memory(const random_cell *c, rng *z, sq_dtype dtype, double slack)
{
    sq_unroll_options o = { .policy = rng_below(z, 4) ? SQ_MIXED : SQ_REVOLVE };
    int kind = rng_below(z, 8);
    if (kind == 0) o.every = SQ_EVERY_SQRT;
    if (kind == 1) o.every = 1 + rng_below(z, (int)c->T * 3 + 1);
    if (kind < 2) return o;
    int64_t full = memory_of(c, setup(c, dtype, (sq_unroll_options){ .every = 1000 }));
    int64_t least = memory_of(c, setup(c, dtype, (sq_unroll_options){ .budget_bytes = 1 }));
    double part = kind == 2 ? 0 : rng_in(z, 0, 1);
    if (full > least) least += (int64_t)((double)(full - least) * part * part);
    o.budget_bytes = (int64_t)(slack * (double)least);
    return o;
}

/* A program over one run that writes down what it reads. */
typedef void script(rc_run *r, trace *t);

static bool run(const random_cell *c, rc_setup s, script *does, trace *t, char *why, size_t n)
{
    rc_run r;
    rc_open(&r, c, s);
    does(&r, t);
    sq_unrolled_memory m = sq_unroll_memory(r.u);
    bool ok = rc_is_well(&r, why, n);
    bool fits = !s.memory.budget_bytes || m.peak_bytes <= s.memory.budget_bytes;
    if (ok && !fits)
        snprintf(why, n, "%lld bytes under a budget of %lld", (long long)m.peak_bytes,
                 (long long)s.memory.budget_bytes);
    rc_close(&r);
    return ok && fits;
}

/* The same program with all steps kept, and three times with less memory. */
static bool agrees_with(const random_cell *c, script *does, double slack, char *why, size_t n)
{
    rng z = { c->seed };
    trace want = { .n = 0 };
    bool ok = true;
    if (!c->T) return true;
    sq_dtype dtype = (sq_dtype)rng_below(&z, 2);
    ok = run(c, setup(c, dtype, (sq_unroll_options){ .every = 0 }), does, &want, why, n);
    for (int i = 0; ok && i < 3; i++) {
        trace got = { .n = 0 };
        rc_setup s = setup(c, dtype, some_memory(c, &z, dtype, slack));
        s.threads = 1 + i % 2;
        ok = run(c, s, does, &got, why, n) && trace_equal(&got, &want, why, n);
        size_t used = strlen(why);
        if (!ok)
            snprintf(why + used, n - used, " (budget %lld, every %lld, policy %d)",
                     (long long)s.memory.budget_bytes, (long long)s.memory.every,
                     (int)s.memory.policy);
        trace_free(&got);
    }
    trace_free(&want);
    return ok;
}

static bool agrees(const random_cell *c, script *does, char *why, size_t n)
{
    return agrees_with(c, does, 1, why, n);
}

static void sweep_once(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    rc_read_values(r, t);
    if (sq_backward(rc_loss(r, 1)) == SQ_OK) rc_read_grads(r, t);
    rc_read_values(r, t);
}

static bool one_sweep(const random_cell *c, char *why, size_t n)
{
    return agrees(c, sweep_once, why, n);
}

Test(eager_budget, has_the_bits_of_all_steps_kept, .timeout = 120)
{
    rc_over("budget", 1, FEWER(120), 1e3, one_sweep);
}

/* Three losses of the same unroll, gradients adding up. */
static void sweep_thrice(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    sq_var loss[3];
    for (int i = 0; i < 3; i++) loss[i] = rc_loss(r, (uint64_t)i);
    for (int i = 0; i < 3; i++)
        if (sq_backward(loss[i]) == SQ_OK) rc_read_grads(r, t);
}

static bool three_sweeps(const random_cell *c, char *why, size_t n)
{
    return agrees(c, sweep_thrice, why, n);
}

Test(eager_budget, sweeps_repeat, .timeout = 120)
{
    rc_over("sweeps", 300, FEWER(50), 1e3, three_sweeps);
}

/* From states and outputs of inner steps, with any seed. */
static void sweep_inner(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    rng z = { r->c->seed };
    for (int i = 0; i < 3; i++) {
        int64_t step = rng_below(&z, (int)r->s.T);
        int k = rng_below(&z, r->c->n_states);
        sq_var y = i == 1 ? sq_unrolled_output(r->u, step) : sq_unrolled_state(r->u, step, k);
        if (rc_sweep_from(y, (uint64_t)i) == SQ_OK) rc_read_grads(r, t);
    }
}

static bool inner_sweeps(const random_cell *c, char *why, size_t n)
{
    return agrees(c, sweep_inner, why, n);
}

Test(eager_budget, sweeps_begin_at_any_step, .timeout = 120)
{
    rc_over("inner sweeps", 500, FEWER(50), 1e3, inner_sweeps);
}

/* Other weights, and another seed and run, between the way forward and the sweep. */
static void update_between(rc_run *r, trace *t)
{
    rc_feed(r);
    sq_tape_set_seed(r->t, 5);
    rc_unroll(r);
    sq_var loss = rc_loss(r, 1);
    rc_set_weights(r, 77);
    sq_tape_set_seed(r->t, 6);
    sq_tape_set_run(r->t, 99);
    if (sq_backward(loss) == SQ_OK) rc_read_grads(r, t);
    rc_read_values(r, t);
}

static bool updates(const random_cell *c, char *why, size_t n)
{
    return agrees(c, update_between, why, n);
}

Test(eager_budget, goes_back_to_the_weights_and_numbers_it_used, .timeout = 120)
{
    rc_over("updates", 700, FEWER(50), 1e3, updates);
}

/* A cut at an inner step takes inputs and outside values with it, then another window follows. */
static void cut_and_go_on(rc_run *r, trace *t)
{
    rng z = { r->c->seed };
    sq_begin_step(r->t);
    sq_end_step(r->t);
    rc_feed(r);
    rc_unroll(r);
    int64_t keep = 1 + rng_below(&z, (int)r->s.T);
    r->low = r->s.T - keep;
    sq_var loss = rc_loss(r, 1);
    if (sq_cut(r->t, keep, NULL, 0) != SQ_OK) return;
    r->x_leaf = r->x = (sq_var){ 0 };
    for (int i = 0; i < RC_INVARIANTS; i++) r->invariant_leaf[i] = (sq_var){ 0 };
    for (int k = 0; k < RC_STATES; k++) r->state_leaf[k] = (sq_var){ 0 };
    if (sq_backward(loss) == SQ_OK) trace_weights(t, r->t);
    for (int64_t i = r->low; i < r->s.T; i++)
        for (int k = 0; k < r->c->n_states; k++) {
            trace_value(t, "state", sq_unrolled_state(r->u, i, k));
            trace_grad(t, "dL/d state", sq_unrolled_state(r->u, i, k));
        }
}

static bool cuts(const random_cell *c, char *why, size_t n)
{
    return agrees_with(c, cut_and_go_on, 2, why, n); /* x outside the root is copied */
}

Test(eager_budget, may_be_cut_inside, .timeout = 120)
{
    rc_over("cuts", 900, FEWER(60), 1e3, cuts);
}

/* Two windows, the second from the last states of the first; the sweep goes through both. */
static void two_windows(rc_run *r, trace *t)
{
    sq_var last[RC_STATES];
    rc_feed(r);
    rc_unroll(r);
    sq_var loss = rc_loss(r, 1);
    sq_unrolled_last(r->u, last);
    rc_unroll_from(r, last, 5);
    loss = sq_add(loss, rc_loss(r, 2));
    if (sq_backward(loss) == SQ_OK) rc_read_grads(r, t);
}

static bool windows(const random_cell *c, char *why, size_t n)
{
    return agrees_with(c, two_windows, 1.5, why, n); /* the second has larger steps */
}

Test(eager_budget, follow_each_other, .timeout = 120)
{
    rc_over("windows", 1100, FEWER(40), 1e3, windows);
}

/* The ledger's totals and immediate gradients. */
static void take_ledger(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    sq_ledger *l = sq_ledger_new(r->u, rc_loss(r, 1), &(sq_ledger_options){ .values = true });
    for (int64_t i = 0; l && i < r->s.T; i++)
        for (int k = 0; k < r->c->n_states; k++) {
            double both[2] = { sq_ledger_total(l, i, k), sq_ledger_immediate(l, i, k) };
            trace_numbers(t, "ledger", both, sq_vec(2));
        }
    sq_ledger_free(l);
}

static bool ledgers(const random_cell *c, char *why, size_t n)
{
    return agrees(c, take_ledger, why, n);
}

Test(eager_budget, fill_a_ledger, .timeout = 120)
{
    rc_over("ledger", 1300, FEWER(40), 1e3, ledgers);
}

/* For inference: the same values, whatever is asked for. */
static void infer(rc_run *r, trace *t)
{
    sq_tape_set_inference(r->t, r->s.memory.every == 0 && !r->s.memory.budget_bytes);
    rc_feed(r);
    rc_unroll(r);
    rc_read_values(r, t);
}

static bool infers(const random_cell *c, char *why, size_t n)
{
    return agrees(c, infer, why, n);
}

Test(eager_budget, have_the_values_of_inference, .timeout = 120)
{
    rc_over("inference", 1500, FEWER(40), 1e3, infers);
}

/* ---- A real cell -------------------------------------------------------------------------- */

enum { IN = 3, HIDDEN = 16, ROWS = 4, STEPS = 60 };

static sq_var sequence(sq_tape *t)
{
    static double x[STEPS * ROWS * IN];
    fill(x, COUNT(x), 4, -1, 1);
    return sq_leaf(t, sq_shape3(STEPS, ROWS, IN), x);
}

/* The allocator tells: all that the tape takes beyond what lies beside stays within the budget. */
Test(eager_budget, is_kept_by_the_allocator)
{
    net n;
    net_new(&n, SQ_F32, IN, HIDDEN, 3);
    for (int64_t budget = 100000; budget <= 3200000; budget *= 2) {
        sq_tape *t = sq_tape_new(SQ_F32, n.params);
        sq_var x = sequence(t);
        BACKWARD(sq_sum(sq_mul(x, x))); /* memory for dL/dx, and for the sweep */
        BACKWARD(sq_sum(sq_use(t, n.lstm.b[0])));
        int64_t before = (int64_t)sq_tape_statistics(t).held_bytes;
        sq_unroll_options o = { .mode = SQ_EAGER,
                                .outputs = SQ_OUTPUTS_LAST,
                                .budget_bytes = budget };
        const sq_unrolled *u = sq_unroll(t, &n.cell, x, NULL, &o);
        BACKWARD(sq_sum(sq_unrolled_outputs(u)));
        ASSERT_HEALTHY(t);
        sq_unrolled_memory m = sq_unroll_memory(u);
        int64_t held = (int64_t)sq_tape_statistics(t).held_bytes - before;
        enum {
            LOSS = 40000
        }; /* segments of the loss and of what follows, the tape's own arrays */
        cr_expect(m.budgeted && m.peak_bytes <= budget && m.predicted.peak_bytes <= budget);
        cr_expect(held <= budget + m.beside_bytes * 5 / 4 + LOSS, "%lld held under %lld",
                  (long long)held, (long long)budget);
        cr_expect(m.extra_steps >= m.predicted.extra_steps &&
                      m.extra_steps <= m.predicted.extra_steps + 1,
                  "%lld extra steps, %lld predicted", (long long)m.extra_steps,
                  (long long)m.predicted.extra_steps);
        sq_tape_free(t);
    }
    net_free(&n);
}

/* Training under a budget takes no more memory from one iteration to the next. */
Test(eager_budget, training_is_steady)
{
    net n;
    net_new(&n, SQ_F64, IN, HIDDEN, 3);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    size_t held = 0;
    for (int i = 0; i < 8; i++) {
        sq_tape_reset(t);
        sq_unroll_options o = { .mode = SQ_EAGER, .budget_bytes = 300000 };
        const sq_unrolled *u = sq_unroll(t, &n.cell, sequence(t), NULL, &o);
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        if (i == 4) held = sq_tape_statistics(t).held_bytes;
    }
    ASSERT_HEALTHY(t);
    cr_expect(sq_tape_statistics(t).held_bytes == held);
    sq_tape_free(t);
    net_free(&n);
}

/* ---- Cells of all sorts ------------------------------------------------------------------- */

static const int64_t one_wide[] = { 1 };

/* h' = tanh(h + w x), and again while it is negative: control flow on values. */
static sq_var branching(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_weight *w = self;
    *h = sq_tanh(sq_add(*h, sq_mul(x, sq_use(t, *w))));
    for (int k = 0; k < 3 && sq_item(*h) < 0; k++)
        *h = sq_add(*h, sq_mul(sq_square(*h), sq_use(t, *w)));
    return *h;
}

static void fill_steps(double *x, int n)
{
    for (int i = 0; i < n; i++) x[i] = cos(3. * i) + (i == 1);
}

Test(eager_budget, follows_the_flow_of_control)
{
    enum { N = 25 };
    double x[N], grad[2] = { 0, 0 };
    fill_steps(x, N);
    for (int i = 0; i < 2; i++) {
        sq_params *p = sq_params_new(SQ_F64);
        sq_weight w = add_number(p, "w", 1.2);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_cell cell = { "branching", 1, one_wide, NULL, branching, &w };
        sq_unroll_options o = { .budget_bytes =
                                    i ? 80000 : 0 }; /* AUTO: it cannot be planned */
        sq_var in = sq_input(t, sq_shape3(N, 1, 1), x);
        const sq_unrolled *u = sq_unroll(t, &cell, in, NULL, &o);
        cr_assert(u != NULL, "%s", sq_message(t));
        cr_expect(sq_unroll_mode(u) == SQ_EAGER);
        cr_expect(sq_unroll_memory(u).budgeted == (i == 1));
        BACKWARD(sq_sum(sq_unrolled_outputs(u)));
        ASSERT_HEALTHY(t);
        grad[i] = number_grad(t, w);
        sq_tape_free(t);
        sq_params_free(p);
    }
    EXPECT_SAME_BITS(&grad[0], &grad[1], sizeof grad[0], "dL/dw");
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

typedef struct odd {
    int calls, after; /* what is odd happens from that call on */
    int kind;
    sq_var kept;
} odd;

enum { LONGER, BEGINS, ENDS, CUTS, SWEEPS, RESETS, STORES, N_ODD };

static sq_var odd_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    odd *o = (odd *)(uintptr_t)self;
    sq_var y = sq_tanh(sq_add(*h, x));
    if (o->calls++ >= o->after) {
        if (o->kind == LONGER) y = sq_tanh(y);
        if (o->kind == BEGINS) sq_begin_step(t);
        if (o->kind == ENDS) sq_end_step(t);
        if (o->kind == CUTS) sq_cut(t, 0, NULL, 0);
        if (o->kind == SWEEPS) (void)!sq_backward(sq_sum(y));
        if (o->kind == RESETS) sq_tape_reset(t);
        if (o->kind == STORES) y = sq_add(y, o->kept);
    }
    o->kept = y;
    return *h = y;
}

/* Unrolls ten steps of it, and sweeps when that went well. */
static sq_tape *odd_unroll(odd *o)
{
    enum { N = 10 };
    double x[N];
    fill_steps(x, N);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_cell cell = { "odd", 1, one_wide, NULL, odd_step, o };
    sq_unroll_options options = { .mode = SQ_EAGER, .every = 3 };
    const sq_unrolled *u =
        sq_unroll(t, &cell, sq_leaf(t, sq_shape3(N, 1, 1), x), NULL, &options);
    if (u) (void)!sq_backward(sq_sum(sq_unrolled_outputs(u)));
    return t;
}

Test(eager_budget, refuses_what_has_no_place_in_a_step)
{
    static const char *const want[N_ODD] = {
        [LONGER] = "the cell recorded something else than the first time",
        [BEGINS] = "begin_step: has no place inside a step",
        [ENDS] = "end_step: has no place inside a step",
        [CUTS] = "cut: has no place inside a step",
        [SWEEPS] = "backward: has no place inside a step",
        [RESETS] = "has no place inside a step",
        [STORES] = "operand 2 is stale: its step was run without being kept",
    };
    for (int kind = 0; kind < N_ODD; kind++) {
        odd o = { .kind = kind, .after = kind == LONGER ? 13 : 4 };
        sq_tape *t = odd_unroll(&o);
        EXPECT_CONTAINS(sq_message(t), want[kind]);
        EXPECT_CONTAINS(sq_message(t), "step ");
        cr_expect(sq_tape_status(t) != SQ_OK);
        EXPECT_SOUND(t);
        sq_tape_reset(t);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

Test(eager_budget, tells_the_least_it_needs_and_manages_with_it)
{
    net n;
    net_new(&n, SQ_F64, IN, HIDDEN, 3);
    sq_unroll_options o = { .mode = SQ_EAGER, .budget_bytes = 1 };
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    cr_expect(sq_unroll(t, &n.cell, sequence(t), NULL, &o) == NULL);
    const char *told = strstr(sq_message(t), "is too small: one step takes ");
    cr_assert(told != NULL, "%s", sq_message(t));
    o.budget_bytes = strtoll(told + strlen("is too small: one step takes "), NULL, 10);
    EXPECT_ERROR(t, SQ_ERANGE);
    const sq_unrolled *u = sq_unroll(t, &n.cell, sequence(t), NULL, &o);
    BACKWARD(sq_sum(sq_unrolled_outputs(u)));
    cr_expect(sq_unroll_memory(u).peak_bytes <= o.budget_bytes);
    ASSERT_HEALTHY(t);
    o.budget_bytes--;
    sq_tape_reset(t);
    cr_expect(sq_unroll(t, &n.cell, sequence(t), NULL, &o) == NULL);
    EXPECT_ERROR(t, SQ_ERANGE);
    sq_tape_free(t);
    net_free(&n);
}

Test(eager_budget, refuses_negative_budgets)
{
    net n;
    net_new(&n, SQ_F64, IN, HIDDEN, 3);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    for (int i = 0; i < 2; i++) {
        sq_unroll_options o = { .budget_bytes = i ? -1 : 0, .every = i ? 0 : -2 };
        cr_expect(sq_unroll(t, &n.cell, sequence(t), NULL, &o) == NULL);
        EXPECT_CONTAINS(sq_message(t), i ? "unroll: budget_bytes is -1: it cannot be negative"
                                         : "unroll: every is -2: it must be a number of steps, "
                                           "0 or SQ_EVERY_SQRT");
        EXPECT_ERROR(t, SQ_ERANGE);
    }
    sq_tape_free(t);
    net_free(&n);
}

/* A state's gradient is kept for who asked before the sweep: others are told how. */
Test(eager_budget, names_the_option_that_keeps_gradients)
{
    net n;
    net_new(&n, SQ_F64, IN, HIDDEN, 3);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    sq_unroll_options o = { .mode = SQ_EAGER, .every = 7 };
    const sq_unrolled *u = sq_unroll(t, &n.cell, sequence(t), NULL, &o);
    sq_var marked = sq_keep_grad(sq_unrolled_state(u, 20, 0));
    BACKWARD(sq_sum(sq_unrolled_outputs(u)));
    cr_expect(sq_grad_norm(marked) > 0);
    cr_expect(sq_grad_norm(sq_unrolled_output(u, 3)) > 0);
    ASSERT_HEALTHY(t);
    cr_expect(isnan(sq_grad_norm(sq_unrolled_state(u, 21, 0))));
    EXPECT_CONTAINS(sq_message(t), "options.state_grads");
    EXPECT_ERROR(t, SQ_EGRAD);
    sq_tape_free(t);
    net_free(&n);
}

/* h' = w h, called "state"; every other step, with `swaps`, leaves what comes before it behind. */
typedef struct named_cell {
    sq_weight w;
    bool swaps;
} named_cell;

static sq_var named_state(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const named_cell *c = self;
    (void)x;
    sq_var other = sq_mul(*h, sq_use(t, c->w)),
           named = sq_name(sq_mul(*h, sq_use(t, c->w)), "state");
    *h = c->swaps && sq_current_step(t) % 2 ? other : named;
    return *h;
}

/* h_i = w^i h_0, i = 1 .. T; L = sum_i h_i + 2 n + 4 h_s, where n is h_s by its name. */
static double named_oracle(double w, int T, int s, int i, double *dh)
{
    double dw = 0;
    *dh = 0;
    for (int j = 1; j <= T; j++) {
        double c = j == s ? 1 + 2 + 4 : 1;
        dw += c * j * pow(w, j - 1) * .9;
        if (j >= i) *dh += c * pow(w, j - i);
    }
    return dw;
}

Test(eager_budget, a_state_that_has_a_name_gets_all_that_is_sent_to_it)
{
    enum { T = 7 };
    const double w = .7;
    static const int64_t width = 1;
    for (int every = 0; every <= T; every++)
        for (int s = 1; s <= T; s++) {
            sq_params *p = sq_params_new(SQ_F64);
            named_cell c = { sq_params_add(p, "w", sq_mat(1, 1)), false };
            cr_assert(sq_weight_set(p, c.w, &w) == SQ_OK);
            sq_tape *t = sq_tape_new(SQ_F64, p);
            sq_cell cell = {
                .name = "named", .n_states = 1, .width = &width, .step = named_state, .self = &c
            };
            sq_var h0 = sq_full(t, sq_mat(1, 1), .9);
            const sq_unrolled *u =
                sq_unroll(t, &cell, (sq_var){ 0 }, &h0,
                          &(sq_unroll_options){ .mode = SQ_EAGER, .every = every, .steps = T });
            sq_var named = sq_unrolled_named(u, s - 1, "state"),
                   later = sq_unrolled_named(u, T - 1, "state"),
                   loss = sq_sum(sq_unrolled_outputs(u));
            loss = sq_add(loss, sq_mul_scalar(sq_sum(named), 2));
            loss = sq_add(loss, sq_mul_scalar(sq_sum(sq_unrolled_state(u, s - 1, 0)), 4));
            BACKWARD(loss);
            double dh, dw = named_oracle(w, T, s, s, &dh);
            EXPECT_NEAR(sq_grad_item(sq_use(t, c.w)), dw, 1e-14, "dL/dw");
            EXPECT_NEAR(sq_grad_item(named), dh, 1e-14, "dL/dh_s by its name");
            named_oracle(w, T, s, T, &dh);
            EXPECT_NEAR(sq_grad_item(later), dh, 1e-14, "dL/dh_T by its name");
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
            sq_params_free(p);
        }
}

/* A name that is a state's in some steps only is none of all of them. */
Test(eager_budget, a_name_that_changes_its_place_is_not_offered)
{
    static const int64_t width = 1;
    sq_params *p = sq_params_new(SQ_F64);
    named_cell c = { sq_params_add(p, "w", sq_mat(1, 1)), true };
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_cell cell = {
        .name = "named", .n_states = 1, .width = &width, .step = named_state, .self = &c
    };
    const sq_unrolled *u =
        sq_unroll(t, &cell, (sq_var){ 0 }, NULL,
                  &(sq_unroll_options){ .mode = SQ_EAGER, .every = 2, .steps = 6, .batch = 1 });
    cr_assert(u != NULL, "%s", sq_message(t));
    cr_expect(sq_unrolled_named(u, 0, "state").id == 0);
    BACKWARD(sq_sum(sq_unrolled_outputs(u)));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Inference ---------------------------------------------------------------------------- */

/* The length of a sequence costs its outputs, nothing else. */
Test(eager_budget, inference_is_constant_in_length)
{
    enum { FEW = 100, MANY = 20000 };
    size_t held[2];
    net n;
    net_new(&n, SQ_F32, IN, HIDDEN, 3);
    for (int i = 0; i < 2; i++) {
        sq_tape *t = sq_tape_new(SQ_F32, n.params);
        sq_tape_set_inference(t, true);
        sq_var x = sq_zeros(t, sq_shape3(i ? MANY : FEW, 1, IN));
        size_t before = sq_tape_statistics(t).held_bytes;
        sq_unroll_options o = { .mode = SQ_EAGER, .outputs = SQ_OUTPUTS_LAST };
        const sq_unrolled *u = sq_unroll(t, &n.cell, x, NULL, &o);
        cr_expect(sq_norm(sq_unrolled_outputs(u)) > 0);
        cr_expect(sq_unroll_memory(u).budgeted == false);
        ASSERT_HEALTHY(t);
        held[i] = sq_tape_statistics(t).held_bytes - before;
        sq_tape_free(t);
    }
    cr_expect(held[1] <= held[0], "%zu, %zu", held[0], held[1]);
    net_free(&n);
}
