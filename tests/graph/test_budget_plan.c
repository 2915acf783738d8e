/* test_budget_plan.c -- planned unrolls under a budget: the same bits out of less memory.
 *
 * Whatever the budget, the policy or the number of threads: values and gradients are compared with
 * memcmp against an unroll that keeps all steps. What the memory is, is told by the allocator. */
#include "tests/support/random_run.h"

#include "graph/ledger.h"
#include "graph/plan.h"

/* ---- Random cells -------------------------------------------------------------------------- */

static rc_setup setup(const random_cell *c, sq_dtype dtype, sq_unroll_options memory)
{
    memory.state_grads = true;
    return (rc_setup){ .dtype = dtype,
                       .mode = SQ_AUTO,
                       .T = c->T * 3,
                       .B = c->B,
                       .data = c->seed,
                       .late = c->seed & 1,
                       .memory = memory };
}

/* The memory that a setup takes, or, where its budget is too small, the least that is told. 0 when
 * it does not run as a plan. */
static int64_t memory_of(const random_cell *c, rc_setup s)
{
    rc_run r;
    rc_open(&r, c, s);
    rc_feed(&r);
    rc_unroll(&r);
    int64_t bytes = sq_unroll_memory(r.u).peak_bytes;
    const char *told = strstr(sq_message(r.t), " bytes is too small: ");
    const char *number = told ? strstr(told, "take") : NULL;
    if (number) bytes = strtoll(number + strcspn(number, "0123456789"), NULL, 10);
    if (r.u && sq_unroll_mode(r.u) != SQ_PLAN) bytes = 0;
    rc_close(&r);
    return bytes;
}

/* A budget between the least and all of it, or snapshots every so often. */
static sq_unroll_options some_memory(const random_cell *c, rng *z, int64_t least, int64_t full)
{
    sq_unroll_options o = { .policy = rng_below(z, 4) ? SQ_MIXED : SQ_REVOLVE };
    int kind = rng_below(z, 8);
    if (kind == 0) o.every = SQ_EVERY_SQRT;
    else if (kind == 1) o.every = 1 + rng_below(z, (int)c->T * 3);
    else {
        double part = kind == 2 ? 0 : rng_in(z, 0, 1);
        o.budget_bytes = least + (int64_t)((double)(full - least) * part * part);
    }
    return o;
}

static bool same_bits(const random_cell *c, char *why, size_t n)
{
    rng z = { c->seed };
    sq_dtype dtype = (sq_dtype)rng_below(&z, 2);
    int64_t full = memory_of(c, setup(c, dtype, (sq_unroll_options){ .every = 1000 }));
    rc_setup tiny = setup(c, dtype, (sq_unroll_options){ .budget_bytes = 1 });
    tiny.threads = 2; /* every thread has scratch of its own */
    int64_t least = memory_of(c, tiny);
    if (!full || c->T == 0 || c->B == 0) return true;
    if (full < least) full = least;
    trace want = { .n = 0 };
    bool ok =
        rc_trace(c, setup(c, dtype, (sq_unroll_options){ .every = 0 }), 1, &want, NULL, why, n);
    for (int i = 0; ok && i < 3; i++) {
        trace got = { .n = 0 };
        rc_setup s = setup(c, dtype, some_memory(c, &z, least, full));
        s.threads = 1 + i % 2;
        ok = rc_trace(c, s, 1, &got, NULL, why, n) && trace_equal(&got, &want, why, n);
        int64_t taken = s.memory.budget_bytes ? memory_of(c, s) : 0;
        if (ok && taken > s.memory.budget_bytes)
            ok = false, snprintf(why, n, "it takes %lld bytes", (long long)taken);
        size_t used = strlen(why);
        if (!ok)
            snprintf(why + used, n - used,
                     " (budget %lld of %lld .. %lld, every %lld, policy %d)",
                     (long long)s.memory.budget_bytes, (long long)least, (long long)full,
                     (long long)s.memory.every, (int)s.memory.policy);
        trace_free(&got);
    }
    trace_free(&want);
    return ok;
}

Test(budget, keeps_every_bit_of_random_cells, .timeout = 300)
{
    rc_over("budget", 1, FEWER(200), 1e3, same_bits);
}

/* ---- An LSTM with a loss of every step ----------------------------------------------------- */

/* The step's output is a scalar loss, which is sunk and reads the states. */
typedef struct model {
    sq_params *params;
    sq_lstm lstm;
    sq_weight V;
    int64_t width[2];
} model;

static sq_var loss_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const model *m = self;
    sq_cell inner = sq_lstm_cell(&m->lstm);
    sq_var h = inner.step(t, inner.self, x, s);
    sq_var f = sq_name(sq_tanh(h), "f");
    return sq_sum(sq_square(sq_matmul(f, sq_use(t, m->V))));
}

static void model_new(model *m, sq_dtype dtype, int64_t in, int64_t hidden)
{
    double v[64 * 3];
    m->params = sq_params_new(dtype);
    m->width[0] = m->width[1] = hidden;
    sq_lstm_init(&m->lstm, m->params, "lstm", in, hidden, 3);
    m->V = sq_params_add(m->params, "V", sq_mat(hidden, 3));
    fill(v, hidden * 3, 11, -1, 1);
    cr_assert(sq_weight_set(m->params, m->V, v) == SQ_OK);
}

static sq_cell model_cell(const model *m)
{
    return (sq_cell){ "loss", 2, m->width, NULL, loss_step, m };
}

enum { LONG = 700, IN = 5, HIDDEN = 16 };

/* One unroll of it, on a tape of its own. */
typedef struct world {
    model m;
    sq_tape *t;
    sq_var x, s0[2];
    const sq_unrolled *u;
} world;

static void world_feed(world *w, int64_t T, int64_t batch)
{
    double *x = malloc((size_t)(T * batch * IN) * sizeof *x), s[2 * HIDDEN * 8];
    cr_assert(x != NULL && batch <= 8);
    fill(x, T * batch * IN, 5, -1, 1);
    fill(s, batch * HIDDEN * 2, 6, -1, 1);
    w->x = sq_leaf(w->t, sq_shape3(T, batch, IN), x);
    for (int k = 0; k < 2; k++)
        w->s0[k] = sq_leaf(w->t, sq_mat(batch, HIDDEN), s + k * batch * HIDDEN);
    free(x);
}

static void world_new(world *w, sq_dtype dtype, int32_t threads)
{
    model_new(&w->m, dtype, IN, HIDDEN);
    w->t = sq_tape_new(dtype, w->m.params);
    sq_tape_set_threads(w->t, threads);
}

static void world_unroll(world *w, int64_t T, int64_t batch, sq_unroll_options o)
{
    sq_cell cell = model_cell(&w->m);
    world_feed(w, T, batch);
    w->u = sq_unroll(w->t, &cell, w->x, w->s0, &o);
}

static void world_free(world *w)
{
    sq_tape_free(w->t);
    sq_params_free(w->m.params);
}

static void read_grads(world *w, trace *o)
{
    trace_weights(o, w->t);
    trace_grad(o, "x", w->x);
    trace_grad(o, "h0", w->s0[0]);
    trace_grad(o, "c0", w->s0[1]);
}

/* What a sweep leaves, from the sum of losses, from a step inside, after a cut, and once more. */
static void sweeps(world *w, trace *o, int64_t T)
{
    sq_var inside = sq_unrolled_output(w->u, T / 3), state = sq_unrolled_state(w->u, T / 2, 1);
    sq_keep_grad(state);
    sq_var named = sq_unrolled_named(w->u, T / 5, "f");
    for (int i = 0; i < 2; i++) {
        BACKWARD(sq_unrolled_outputs(w->u));
        trace_grad(o, "a state", state);
        trace_grad(o, "a named value", named);
        read_grads(w, o);
        trace_value(o, "the state", state);
        trace_value(o, "the named value", named);
        BACKWARD(inside);
        trace_grad(o, "a state of no effect", state);
        read_grads(w, o);
    }
    sq_var last[2];
    sq_unrolled_last(w->u, last);
    BACKWARD(sq_sum(sq_mul(last[0], last[1])));
    read_grads(w, o);
    cr_assert(sq_cut(w->t, T / 4 + 1, last, 2) == SQ_OK, "%s", sq_message(w->t));
    BACKWARD(sq_unrolled_outputs(w->u));
    read_grads(w, o);
}

static void expect_sweeps(sq_dtype dtype, int64_t batch, int32_t threads, sq_unroll_options o)
{
    trace t[2] = { { .n = 0 }, { .n = 0 } };
    char why[256] = "";
    o.outputs = SQ_OUTPUTS_SUM;
    for (int i = 0; i < 2; i++) {
        world w;
        world_new(&w, dtype, i ? threads : 1);
        world_unroll(&w, LONG, batch, i ? o : (sq_unroll_options){ .outputs = SQ_OUTPUTS_SUM });
        cr_assert(w.u != NULL, "%s", sq_message(w.t));
        cr_assert(sq_unroll_mode(w.u) == SQ_PLAN);
        cr_expect(sq_unroll_memory(w.u).budgeted == (i == 1));
        sweeps(&w, &t[i], LONG);
        ASSERT_HEALTHY(w.t);
        world_free(&w);
    }
    cr_expect(trace_equal(&t[1], &t[0], why, sizeof why), "B = %d, %d threads, %d bytes: %s",
              (int)batch, (int)threads, (int)o.budget_bytes, why);
    trace_free(&t[0]);
    trace_free(&t[1]);
}

Test(budget, sweeps_from_anywhere_any_number_of_times)
{
    static const int64_t bytes[] = { 60000, 200000, 1000000, 100000000 };
    for (int i = 0; i < COUNT(bytes); i++)
        expect_sweeps((sq_dtype)(i % 2), 1 + 4 * (i / 2), 1 + i % 2,
                      (sq_unroll_options){ .budget_bytes = bytes[i] });
    expect_sweeps(SQ_F32, 3, 2, (sq_unroll_options){ .every = SQ_EVERY_SQRT });
    expect_sweeps(SQ_F64, 3, 1, (sq_unroll_options){ .every = 100, .state_grads = true });
    expect_sweeps(SQ_F32, 1, 1,
                  (sq_unroll_options){ .budget_bytes = 60000, .policy = SQ_REVOLVE });
}

/* Wide enough that every thread has work; dropout and noise are other tests'. */
Test(budget, has_the_same_bits_on_two_threads)
{
    trace t[3] = { { .n = 0 }, { .n = 0 }, { .n = 0 } };
    char why[256] = "";
    for (int i = 0; i < 3; i++) {
        model m;
        enum { B = 16, H = 64, T = 60 };
        static double x[T * B * H];
        model_new(&m, SQ_F32, H, H);
        sq_tape *tape = sq_tape_new(SQ_F32, m.params);
        sq_tape_set_threads(tape, 1 + i % 2);
        fill(x, COUNT(x), 9, -1, 1);
        sq_cell cell = model_cell(&m);
        sq_var xs = sq_leaf(tape, sq_shape3(T, B, H), x);
        sq_unroll_options o = { .outputs = SQ_OUTPUTS_SUM, .budget_bytes = i ? 900000 : 0 };
        const sq_unrolled *u = sq_unroll(tape, &cell, xs, NULL, &o);
        cr_assert(u != NULL, "%s", sq_message(tape));
        BACKWARD(sq_unrolled_outputs(u));
        trace_weights(&t[i], tape);
        trace_grad(&t[i], "x", xs);
        sq_tape_free(tape);
        sq_params_free(m.params);
    }
    cr_expect(trace_equal(&t[1], &t[0], why, sizeof why), "%s", why);
    cr_expect(trace_equal(&t[2], &t[0], why, sizeof why), "%s", why);
    for (int i = 0; i < 3; i++) trace_free(&t[i]);
}

/* ---- Memory -------------------------------------------------------------------------------- */

/* What an unroll of 20000 steps and its sweep take beside the budget and what is told to lie beside it:
 * weights, the plan, handles, dL/dx. */
static int64_t rest_beside(int64_t budget, sq_unrolled_memory *m)
{
    enum { T = 20000 };
    world w;
    world_new(&w, SQ_F32, 1);
    sq_cell cell = model_cell(&w.m);
    world_feed(&w, T, 1);
    size_t before = sq_tape_statistics(w.t).held_bytes;
    sq_unroll_options o = { .outputs = SQ_OUTPUTS_SUM, .budget_bytes = budget };
    w.u = sq_unroll(w.t, &cell, w.x, w.s0, &o);
    cr_assert(w.u != NULL, "%s", sq_message(w.t));
    BACKWARD(sq_unrolled_outputs(w.u));
    *m = sq_unroll_memory(w.u);
    int64_t held = (int64_t)(sq_tape_statistics(w.t).held_bytes - before);
    world_free(&w);
    return held - m->peak_bytes - m->beside_bytes;
}

/* That is the same for any budget, to a hundredth of it and a chunk of the tape's; that it does not grow
 * with T either, and what the system's allocator says, is told by stress/peak_budget. */
Test(budget, is_not_exceeded)
{
    enum { CHUNK = 8192 };
    static const int64_t bytes[] = { 70000, 300000, 1500000, 6000000 };
    int64_t apart = 0;
    for (int i = 0; i < COUNT(bytes); i++) {
        sq_unrolled_memory m;
        int64_t rest = rest_beside(bytes[i], &m);
        if (i == 0) apart = rest;
        cr_expect(m.peak_bytes <= bytes[i] && m.predicted.peak_bytes == m.peak_bytes,
                  "%lld bytes, predicted %lld, of %lld", (long long)m.peak_bytes,
                  (long long)m.predicted.peak_bytes, (long long)bytes[i]);
        cr_expect(m.extra_steps == m.predicted.extra_steps, "%lld extra steps, not %lld",
                  (long long)m.extra_steps, (long long)m.predicted.extra_steps);
        cr_expect(rest <= apart + CHUNK + bytes[i] / 100,
                  "%lld bytes beside a budget of %lld, not %lld", (long long)rest,
                  (long long)bytes[i], (long long)apart);
    }
}

Test(budget, trains_without_allocating)
{
    world w;
    size_t held = 0;
    world_new(&w, SQ_F32, 1);
    for (int i = 0; i < 8; i++) {
        sq_tape_reset(w.t);
        world_unroll(&w, 300, 2,
                     (sq_unroll_options){ .outputs = SQ_OUTPUTS_SUM, .budget_bytes = 100000 });
        BACKWARD(sq_unrolled_outputs(w.u));
        size_t now = sq_tape_statistics(w.t).held_bytes;
        cr_expect(i < 3 || now == held, "iteration %d: %zu bytes, not %zu", i, now, held);
        held = now;
    }
    ASSERT_HEALTHY(w.t);
    world_free(&w);
}

/* ---- Mistakes ------------------------------------------------------------------------------ */

/* The least that is told is enough, and one byte less is not. */
Test(budget, tells_the_least_possible)
{
    world w;
    world_new(&w, SQ_F32, 1);
    world_unroll(&w, 50, 2, (sq_unroll_options){ .budget_bytes = 10 });
    cr_assert(w.u == NULL);
    EXPECT_CONTAINS(sq_message(w.t),
                    "unroll: a budget of 10 bytes is too small: one step takes ");
    const char *number = strstr(sq_message(w.t), "takes ");
    int64_t least = number ? strtoll(number + 6, NULL, 10) : 0;
    EXPECT_ERROR(w.t, SQ_ERANGE);
    world_unroll(&w, 50, 2, (sq_unroll_options){ .budget_bytes = least - 1 });
    cr_expect(w.u == NULL);
    EXPECT_ERROR(w.t, SQ_ERANGE);
    world_unroll(&w, 50, 2, (sq_unroll_options){ .budget_bytes = least });
    cr_assert(w.u != NULL, "%s", sq_message(w.t));
    BACKWARD(sq_sum(sq_unrolled_outputs(w.u)));
    world_free(&w);
}

Test(budget, keeps_gradients_that_were_asked_for_only)
{
    world w;
    world_new(&w, SQ_F64, 1);
    world_unroll(&w, 60, 2, (sq_unroll_options){ .budget_bytes = 60000 });
    sq_var asked = sq_keep_grad(sq_unrolled_state(w.u, 20, 0));
    sq_var other = sq_unrolled_state(w.u, 21, 0);
    BACKWARD(sq_sum(sq_unrolled_outputs(w.u)));
    cr_expect(sq_grad_norm(asked) > 0);
    cr_expect(sq_norm(other) > 0, "its value can be read all the same");
    sq_grad_norm(other);
    EXPECT_CONTAINS(sq_message(w.t), "set state_grads in the options");
    EXPECT_ERROR(w.t, SQ_EGRAD);
    world_free(&w);
}

/* A ledger asks for all states; what it says does not depend on the budget. */
Test(budget, leaves_a_ledger_as_it_is)
{
    double norm[2][60][2][2];
    for (int i = 0; i < 2; i++) {
        world w;
        world_new(&w, SQ_F64, 1);
        world_unroll(&w, 60, 2, (sq_unroll_options){ .budget_bytes = i ? 60000 : 0 });
        sq_ledger *l = sq_ledger_new(w.u, sq_sum(sq_unrolled_outputs(w.u)), NULL);
        cr_assert(l != NULL, "%s", sq_message(w.t));
        for (int s = 0; s < 60; s++)
            for (int32_t k = 0; k < 2; k++) {
                norm[i][s][k][0] = sq_ledger_total(l, s, k);
                norm[i][s][k][1] = sq_ledger_immediate(l, s, k);
            }
        sq_ledger_free(l);
        ASSERT_HEALTHY(w.t);
        world_free(&w);
    }
    EXPECT_SAME_BITS(norm[0], norm[1], sizeof norm[0], "ledgers");
}

/* Snapshots further apart than T are none; also where a block is the least stretch. */
Test(budget, of_one_stretch_longer_than_the_sequence)
{
    static const int64_t far[] = { 7, 1000, INT64_MAX };
    for (int i = 0; i < COUNT(far); i++)
        for (int wide = 0; wide < 2; wide++) {
            sq_params *p = sq_params_new(SQ_F32);
            sq_rnn rnn;
            cr_assert(sq_rnn_init(&rnn, p, "rnn", 1, 1, SQ_RNN_TANH, 1) == SQ_OK);
            sq_tape *t = sq_tape_new(SQ_F32, p);
            sq_cell cell = sq_rnn_cell(&rnn);
            const sq_unrolled *u =
                sq_unroll(t, &cell, sq_full(t, sq_shape3(7, wide ? 1025 : 3, 1), .5), NULL,
                          &(sq_unroll_options){ .mode = SQ_PLAN, .every = far[i] });
            BACKWARD(sq_sum(sq_unrolled_outputs(u)));
            sq_checkpoint_cost cost = sq_unroll_memory(u).predicted;
            cr_expect(cost.snapshots == 0 && cost.extra_steps == 0 && cost.stretch >= 7);
            ASSERT_HEALTHY(t);
            sq_tape_free(t);
            sq_params_free(p);
        }
}

Test(budget, refuses_options_that_exclude_each_other)
{
    static const struct {
        sq_unroll_options o;
        const char *part;
    } cases[] = {
        { { .budget_bytes = 1 << 20, .every = 3 },
          "budget_bytes and every exclude each other" },
        { { .every = 3, .policy = (sq_checkpoint_policy)2 }, "there is no policy 2" },
    };
    for (int i = 0; i < COUNT(cases); i++)
        for (sq_mode mode = SQ_AUTO; mode <= SQ_PLAN; mode++) {
            world w;
            world_new(&w, SQ_F32, 1);
            sq_unroll_options o = cases[i].o;
            o.mode = mode;
            world_unroll(&w, 20, 2, o);
            cr_expect(w.u == NULL);
            EXPECT_CONTAINS(sq_message(w.t), cases[i].part);
            EXPECT_ERROR(w.t, SQ_EVALUE);
            world_free(&w);
        }
}

Test(budget, is_not_derived_through)
{
    for (sq_mode mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        world w;
        world_new(&w, SQ_F64, 1);
        world_unroll(&w, 20, 2, (sq_unroll_options){ .mode = mode, .every = 5 });
        cr_assert(w.u != NULL, "%s", sq_message(w.t));
        sq_var g;
        cr_expect(sq_derive(sq_sum(sq_unrolled_outputs(w.u)), &w.x, &g, 1) == SQ_EGRAD);
        EXPECT_CONTAINS(sq_message(w.t), "derive: the way leads through an unroll under a "
                                         "budget: keep all its steps, eagerly,");
        world_free(&w);
    }
}

/* ---- Values only --------------------------------------------------------------------------- */

Test(budget, inference_has_the_same_values_in_constant_memory)
{
    size_t held[2];
    for (int i = 0; i < 2; i++) {
        trace t[2] = { { .n = 0 }, { .n = 0 } };
        char why[256] = "";
        int64_t T = i ? 16000 : 2000;
        for (int values = 0; values < 2; values++) {
            world w;
            world_new(&w, SQ_F32, 1);
            sq_tape_set_inference(w.t, values == 1);
            world_feed(&w, T, 1);
            size_t before = sq_tape_statistics(w.t).held_bytes;
            sq_cell cell = model_cell(&w.m);
            w.u = sq_unroll(w.t, &cell, w.x, w.s0,
                            &(sq_unroll_options){ .outputs = SQ_OUTPUTS_LAST });
            cr_assert(w.u != NULL, "%s", sq_message(w.t));
            trace_value(&t[values], "last", sq_unrolled_outputs(w.u));
            trace_value(&t[values], "h", sq_unrolled_state(w.u, T - 1, 0));
            trace_value(&t[values], "c", sq_unrolled_state(w.u, T - 1, 1));
            held[i] = sq_tape_statistics(w.t).held_bytes - before;
            ASSERT_HEALTHY(w.t);
            if (values) cr_expect(sq_backward(sq_unrolled_outputs(w.u)) == SQ_EGRAD);
            world_free(&w);
        }
        cr_expect(trace_equal(&t[1], &t[0], why, sizeof why), "%s", why);
        trace_free(&t[0]);
        trace_free(&t[1]);
    }
    cr_expect(held[1] < held[0] + 14000, "%zu bytes for 16000 steps, %zu for 2000", held[1],
              held[0]);
}
