/* tape_threads.c -- a tape on several threads: the same bits for every number of them, in every
 * output and every gradient; a forked child that starts its own; none left behind.
 *
 * An LSTM over a few steps at batch sizes around what a thread, a tile and a vector hold, small
 * and odd, and wide enough that even one row is worth sharing. What runs on one thread is the
 * expectation; that it is right is for others to say. A program of its own, because it must run
 * under ThreadSanitizer too. */
#define _POSIX_C_SOURCE 200809L

#include "seqgrad.h"

#include "threads.h"

#include <string.h>

typedef struct extent {
    int64_t I, H, T;
} extent;

static const extent extents[] = { { 5, 19, 9 }, { 3, 160, 4 } };
static const extent by_columns = { 2, 264,
                                   8 }; /* more than SQI_COLUMNS_PAY of weights in a step */
static const int64_t batches[] = { 1, 2, 3, 7, 16, 33 };
static const int32_t threads[] = { 1, 2, 3, 5 };
enum { N_EXTENTS = 2, N_BATCHES = 6, N_THREADS = 4 };

/* ---- A model, and all the numbers one training step of it makes -------------------------- */

typedef struct world {
    extent e;
    int64_t B;
    sq_params *params;
    sq_lstm lstm;
    sq_tape *tape;
    double *x, *y, *state[2];
} world;

static double *numbers(int64_t n, uint64_t stream)
{
    double *x = malloc((size_t)n * sizeof *x);
    REQUIRE(x, "out of memory");
    sq_random r = sq_random_stream(11, stream, 0, 0);
    for (int64_t i = 0; i < n; i++) x[i] = 2 * sq_random_uniform(r, (uint64_t)i, 0) - 1;
    return x;
}

static world world_new(sq_dtype dtype, extent e, int64_t B)
{
    world w = { .e = e, .B = B, .params = sq_params_new(dtype) };
    sq_lstm_init(&w.lstm, w.params, "lstm", e.I, e.H, 3);
    w.tape = sq_tape_new(dtype, w.params);
    w.x = numbers(e.T * B * e.I, 1);
    w.y = numbers(e.T * B * e.H, 2);
    for (uint64_t k = 0; k < 2; k++) w.state[k] = numbers(B * e.H, 3 + k);
    return w;
}

static void world_free(world *w)
{
    sq_tape_free(w->tape);
    sq_params_free(w->params);
    free(w->x);
    free(w->y);
    for (int k = 0; k < 2; k++) free(w->state[k]);
}

/* Numbers of one kind behind each other; float ones are held exactly. */
typedef struct results {
    double *at;
    int64_t n, room;
} results;

static results results_new(const world *w)
{
    const extent *e = &w->e;
    int64_t state = w->B * e->H;
    int64_t room = e->T * state + e->T * w->B * e->I + 2 * (e->T + 1) * 2 * state +
                   sq_params_size(w->params) + 1 + e->T * e->T * 2;
    return (results){ malloc((size_t)room * sizeof(double)), 0, room };
}

static void take(results *r, sq_status (*copy)(sq_var, double *), sq_var v)
{
    int64_t n = sq_shape_size(sq_shape_of(v));
    REQUIRE(r->n + n <= r->room, "too many results");
    REQUIRE(copy(v, r->at + r->n) == SQ_OK, "%s", sq_message(v.tape));
    r->n += n;
}

static void take_weights(results *r, world *w)
{
    int64_t n = sq_params_size(w->params);
    REQUIRE(r->n + n <= r->room, "too many results");
    for (int32_t id = 1; id <= sq_params_count(w->params); id++) {
        sq_weight weight = { id };
        int64_t at = r->n + sq_weight_offset(w->params, weight);
        REQUIRE(!sq_weight_grad_f64(w->tape, weight, r->at + at), "%s", sq_message(w->tape));
    }
    r->n += n;
}

/* Which step's loss reaches how far back: losses that go back together. */
static void take_reach(results *r, const world *w, const sq_unrolled *u)
{
    enum { MOST_STEPS = 9 };
    sq_var losses[MOST_STEPS];
    int64_t T = w->e.T;
    REQUIRE(T <= MOST_STEPS && r->n + T * T * 2 <= r->room, "too many results");
    for (int64_t i = 0; i < T; i++) losses[i] = sq_sum(sq_square(sq_unrolled_output(u, i)));
    sq_ledger_options o = { .losses = losses, .n_losses = T };
    sq_ledger *l = sq_ledger_new(u, losses[T - 1], &o);
    REQUIRE(l, "%s", sq_message(w->tape));
    for (int64_t i = 0; i < T * T * 2; i++)
        r->at[r->n++] = sq_ledger_reach(l, i / (2 * T), i / 2 % T, (int32_t)(i % 2));
    sq_ledger_free(l);
}

/* Loss, outputs, states and the gradients of states, input and weights, and how far back losses
 * reach. Recording and sweep may run on different numbers of threads. */
static results compute(world *w, int32_t record_on, int32_t sweep_on)
{
    const extent *e = &w->e;
    results r = results_new(w);
    sq_cell cell = sq_lstm_cell(&w->lstm);
    sq_tape *t = w->tape;
    sq_tape_reset(t);
    sq_zero_grads(t);
    sq_tape_set_threads(t, record_on);
    sq_var x = sq_leaf(t, sq_shape3(e->T, w->B, e->I), w->x);
    sq_var state[2];
    for (int k = 0; k < 2; k++) state[k] = sq_leaf(t, sq_mat(w->B, e->H), w->state[k]);
    const sq_unrolled *u = sq_unroll(t, &cell, x, state, NULL);
    REQUIRE(sq_unroll_mode(u) == SQ_PLAN, "an LSTM has no plan");
    sq_var outputs = sq_unrolled_outputs(u);
    sq_var loss = sq_mse(outputs, sq_input(t, sq_shape3(e->T, w->B, e->H), w->y));
    sq_var inner = sq_unrolled_state(u, e->T / 2, 0); /* seeded as a state and as the output */
    loss = sq_add(loss, sq_mean(sq_mul(inner, inner)));
    sq_tape_set_threads(t, sweep_on);
    REQUIRE(sq_backward(loss) == SQ_OK, "%s", sq_message(t));
    take(&r, sq_copy_f64, loss);
    take(&r, sq_copy_f64, outputs);
    take(&r, sq_grad_copy_f64, x);
    for (int64_t i = -1; i < e->T; i++)
        for (int32_t k = 0; k < 2; k++) {
            take(&r, sq_copy_f64, sq_unrolled_state(u, i, k));
            take(&r, sq_grad_copy_f64, sq_unrolled_state(u, i, k));
        }
    take_weights(&r, w);
    take_reach(&r, w, u);
    return r;
}

static void expect_same(const results *got, const results *want, const char *what, int64_t B,
                        int32_t n)
{
    REQUIRE(got->n == want->n, "%s: %lld numbers", what, (long long)got->n);
    for (int64_t i = 0; i < got->n; i++)
        REQUIRE(!memcmp(&got->at[i], &want->at[i], sizeof(double)),
                "%s, B = %lld, %d threads: number %lld of %lld is %.17g, not %.17g", what,
                (long long)B, n, (long long)i, (long long)got->n, got->at[i], want->at[i]);
}

/* ---- The tests --------------------------------------------------------------------------- */

/* Races show at few sizes, and looking for them takes long. */
enum { THRIFT = UNDER_TSAN ? 3 : 1 };

static void same_bits(sq_dtype dtype, extent e, int64_t B)
{
    world w = world_new(dtype, e, B);
    results want = compute(&w, 1, 1);
    for (int k = 0; k < N_THREADS; k += THRIFT) {
        int32_t n = threads[k], other = threads[(k + 1) % N_THREADS];
        results got = compute(&w, n, n), mixed = compute(&w, n, other);
        expect_same(&got, &want, "one number", B, n);
        expect_same(&mixed, &want, "another in the sweep", B, n);
        free(got.at);
        free(mixed.at);
    }
    free(want.at);
    world_free(&w);
}

/* They start at the first need, are kept for later, and end with the tape. */
static void started_at_need(void)
{
    static const int32_t order[] = { 1, 3, 2, 5 }, expected[] = { 1, 3, 3, 5 };
    world w = world_new(SQ_F32, extents[1], 33);
    for (int i = 0; i < 4; i++) {
        results r = compute(&w, order[i], order[i]);
        expect_threads(one_thread() ? expected[i] : 0, "a wide batch");
        free(r.at);
    }
    world_free(&w);
    expect_threads(one_thread(), "the tape is freed");
}

typedef struct inherited {
    world *w;
    const results *want;
} inherited;

static void child_sweeps(void *context)
{
    inherited *i = context;
    int32_t n = children_may() ? 3 : 1;
    for (int k = 0; k < 2; k++) {
        results got = compute(i->w, n, n);
        expect_same(&got, i->want, "in a forked child", i->w->B, n);
        free(got.at);
    }
    sq_tape_reset(i->w->tape);
    world_free(i->w);
    expect_threads(one_thread(), "in a forked child");
    free(i->want->at);
}

/* The child sweeps, resets and frees what it inherited; the parent goes on unharmed. */
static void forked(sq_dtype dtype)
{
    world w = world_new(dtype, extents[1], 16);
    results want = compute(&w, 3, 3);
    inherited i = { &w, &want };
    for (int k = 0; k < 2; k++) {
        REQUIRE(child_is_well(child_sweeps, &i), "the child failed");
        results got = compute(&w, 3, 3);
        expect_same(&got, &want, "after the fork", w.B, 3);
        free(got.at);
    }
    free(want.at);
    world_free(&w);
}

static void numbers_of_threads(void)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    REQUIRE(sq_tape_threads(t) == 1 && sq_tape_threads(NULL) == 1, "one is the default");
    sq_tape_set_threads(NULL, 2);
    sq_tape_set_threads(t, 256);
    sq_tape_reset(t);
    REQUIRE(sq_tape_threads(t) == 256, "reset keeps the number");
    static const int32_t wrong[] = { 0, -1, 257 };
    for (int i = 0; i < 3; i++) {
        sq_tape_set_threads(t, wrong[i]);
        REQUIRE(sq_tape_status(t) == SQ_ERANGE, "%d threads: %s", wrong[i], sq_message(t));
        sq_tape_reset(t);
        REQUIRE(sq_tape_threads(t) == 256, "a refused number changes nothing");
    }
    sq_tape_free(t);
    expect_threads(one_thread(), "a tape without work");
}

int main(void)
{
    static const sq_dtype dtypes[] = { SQ_F32, SQ_F64 };
    numbers_of_threads();
    started_at_need();
    for (int d = 0; d < (UNDER_TSAN ? 1 : 2); d++) {
        for (int e = 0; e < N_EXTENTS; e++)
            for (int b = 0; b < N_BATCHES; b += THRIFT)
                same_bits(dtypes[d], extents[e], batches[b]);
        same_bits(dtypes[d], by_columns, 1);
        expect_threads(one_thread(), "after the tapes");
        forked(dtypes[d]);
    }
    expect_threads(one_thread(), "in the end");
    puts("fine");
    return 0;
}
