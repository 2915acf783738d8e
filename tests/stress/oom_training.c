/* oom_training.c -- every allocation fails in turn, and a steady loop makes none.
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc against the
 * static library. First a scenario (params, LSTM, tape, optimizer, three updates with cuts, a
 * derivative, a ledger) runs once for every allocation it makes, with that one failing, and
 * again with that one and all later ones failing: each run must end in SQ_ENOMEM or NULL,
 * leave sound objects behind, and succeed when tried again on them. Then 1000 training
 * iterations must allocate nothing after the tenth. Run under a leak-checking sanitizer it
 * proves that nothing leaks on any of these paths. Prints what it did; exits 1 on the first
 * thing that is wrong. */
#include "seqgrad.h"
#include "tests/support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 3, B = 2, I = 3, H = 4, UPDATES = 3, MAX_WEIGHTS = 200 };

typedef struct world {
    sq_params *p;
    sq_lstm lstm;
    sq_weight extra;
    sq_tape *t;
    sq_optim *o;
} world;

static double weights[MAX_WEIGHTS], grads[MAX_WEIGHTS], xs[T * B * I];
enum place { SWEEP, CUT, LEDGER, DERIVE, UPDATE, N_PLACES };
static int failures[N_PLACES]; /* where it failed first: every place must be met */

static void fill_inputs(void)
{
    uint64_t s = 12345;
    for (int i = 0; i < T * B * I; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        xs[i] = (double)(s >> 40) / (double)(1 << 24) - .5;
    }
}

static sq_status failed(const world *w)
{
    char text[256] = "";
    REQUIRE(sq_tape_check(w->t, text, sizeof text), "unsound: %s", text);
    return sq_tape_status(w->t);
}

/* An update that fails changes no weight. */
static sq_status checked_update(world *w)
{
    size_t bytes = (size_t)sq_params_size(w->p) * sizeof(double);
    memcpy(weights, sq_params_view(w->p), bytes);
    sq_status s = sq_optim_step(w->o, w->t);
    failures[UPDATE] += s != SQ_OK;
    if (s) REQUIRE(memcmp(weights, sq_params_view(w->p), bytes) == 0, "a failed update wrote");
    return s;
}

/* A sweep that fails leaves weight gradients nobody can take for real ones. */
static sq_status checked_sweep(world *w, sq_var loss)
{
    if (sq_tape_status(w->t)) return sq_tape_status(w->t);
    sq_status s = sq_backward(loss);
    if (s == SQ_OK) return s;
    long at = fail_at;
    failures[SWEEP]++;
    fail_at = -1;
    sq_tape_reset(w->t);
    REQUIRE(sq_weight_grad(w->t, w->lstm.W[0], grads) == SQ_EGRAD,
            "half a gradient was given out");
    sq_tape_reset(w->t);
    REQUIRE(sq_grads(w->t) == NULL, "half a gradient was given out");
    sq_tape_reset(w->t);
    REQUIRE(sq_optim_step(w->o, w->t) == SQ_EGRAD, "half a gradient was used");
    sq_tape_reset(w->t);
    sq_zero_grads(w->t);
    REQUIRE(sq_weight_grad(w->t, w->lstm.W[0], grads) == SQ_OK, "zeroed: %s", sq_message(w->t));
    fail_at = at;
    return s;
}

/* A sweep on its own whose gradients are larger than what recording has left over. */
static sq_status sweep_something_large(world *w)
{
    sq_var x = sq_use(w->t, w->lstm.W[0]), y = sq_broadcast_to(sq_sum(x), sq_vec(9000));
    sq_status s = checked_sweep(w, sq_sum(sq_square(sq_square(sq_square(y)))));
    if (s == SQ_OK) sq_tape_reset(w->t);
    return s;
}

/* How the scenario unrolls; through a plan nothing can be derived. */
static sq_mode mode = SQ_EAGER;

static sq_status learn(world *w)
{
    sq_status start = sweep_something_large(w);
    if (start) return start;
    sq_cell cell = sq_lstm_cell(&w->lstm);
    sq_unroll_options options = { .mode = mode };
    sq_var state[2] = { { 0 } };
    for (int i = 0; i < UPDATES; i++) {
        sq_tape *t = w->t;
        sq_zero_grads(t);
        const sq_unrolled *u =
            sq_unroll(t, &cell, sq_leaf(t, sq_shape3(T, B, I), xs), state, &options);
        sq_var y = sq_sum(sq_matmul(sq_unrolled_outputs(u), sq_use(t, w->extra)));
        sq_var h = sq_name(sq_unrolled_state(u, 1, 0), "a state"), dh = { 0 };
        if (sq_tape_status(t)) return failed(w);
        if (mode == SQ_PLAN) dh = sq_unrolled_named(u, 0, "f");
        else if (sq_derive(y, &h, &dh, 1)) {
            failures[DERIVE]++;
            return failed(w);
        }
        sq_var loss = sq_add(y, sq_sum(sq_square(dh)));
        if (sq_tape_status(t)) return failed(w);
        bool all = i == 1;
        sq_var losses[3] = { y, loss, h };
        sq_ledger_options o = { .values = all,
                                .weights = true,
                                .contribution = all,
                                .far_steps = all,
                                .gates = true,
                                .losses = losses,
                                .n_losses = all ? 1 : 3 };
        sq_ledger *l = sq_ledger_new(u, loss, &o);
        sq_ledger_free(l);
        failures[LEDGER] += !l;
        if (!l) return failed(w);
        sq_status s = checked_sweep(w, loss);
        if (s) return s;
        if (sq_clip_norm(t, 1, NULL)) return failed(w);
        if (checked_update(w)) return failed(w);
        sq_unrolled_last(u, state);
        if (sq_cut(t, i, state, 2)) {
            failures[CUT]++;
            return failed(w);
        }
    }
    return failed(w);
}

static sq_status build(world *w)
{
    memset(w, 0, sizeof *w);
    w->p = sq_params_new(SQ_F64);
    if (!w->p) return SQ_ENOMEM;
    sq_status s = sq_lstm_init(&w->lstm, w->p, "lstm", I, H, 1);
    w->extra = sq_params_add(w->p, "V", sq_mat(H, 2));
    if (!s) s = sq_init_glorot(w->p, w->extra, 1, 2);
    if (sq_params_status(w->p)) return sq_params_status(w->p);
    if (s) return s;
    sq_params *clone = sq_params_clone(w->p, SQ_F32);
    sq_params_free(clone);
    if (!clone) return SQ_ENOMEM;
    w->t = sq_tape_new(SQ_F64, w->p);
    if (!w->t) return SQ_ENOMEM;
    if (sq_tape_status(w->t)) return failed(w);
    w->o = sq_optim_new(w->p, &(sq_optim_options){ .kind = SQ_ADAM });
    return w->o ? SQ_OK : SQ_ENOMEM;
}

static void tear_down(world *w)
{
    sq_optim_free(w->o);
    sq_tape_free(w->t);
    sq_params_free(w->p);
}

/* The scenario with its failure; then without, on what is left. */
static sq_status scenario(bool *hit)
{
    world w;
    allocations = 0;
    sq_status s = build(&w);
    if (s == SQ_OK) s = learn(&w);
    bool reached = allocations > fail_at;
    long at = fail_at;
    fail_at = -1;
    if (w.o) {
        sq_tape_reset(w.t);
        sq_params_clear_error(w.p);
        sq_zero_grads(w.t);
        sq_status again = learn(&w);
        REQUIRE(again == SQ_OK, "tried again: %s", sq_message(w.t));
    }
    tear_down(&w);
    fail_at = at;
    *hit = reached;
    return s;
}

static long fail_everything(bool on)
{
    fail_on = on;
    for (long n = 0;; n++) {
        fail_at = n;
        bool hit;
        sq_status s = scenario(&hit);
        if (!hit) {
            REQUIRE(s == SQ_OK, "an error without a failure: %d", (int)s);
            fail_at = -1;
            return n;
        }
        REQUIRE(s == SQ_ENOMEM, "status %d instead of out of memory", (int)s);
    }
}

/* One training iteration, as a user writes it: by reset, or as a stream of cuts. */
static void iterate(world *w, sq_var *state, bool reset)
{
    sq_cell cell = sq_lstm_cell(&w->lstm);
    sq_tape *t = w->t;
    if (reset) sq_tape_reset(t);
    sq_zero_grads(t);
    const sq_unrolled *u =
        sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, I), xs), reset ? NULL : state, NULL);
    sq_var loss = sq_mean(sq_square(sq_matmul(sq_unrolled_outputs(u), sq_use(t, w->extra))));
    REQUIRE(sq_backward(sq_name(loss, "loss")) == SQ_OK, "%s", sq_message(t));
    REQUIRE(sq_clip_norm(t, 1, NULL) == SQ_OK, "%s", sq_message(t));
    REQUIRE(sq_optim_step(w->o, t) == SQ_OK, "%s", sq_message(t));
    sq_unrolled_last(u, state);
    if (!reset) REQUIRE(sq_cut(t, 2, state, 2) == SQ_OK, "%s", sq_message(t));
}

static void steady(bool reset)
{
    world w;
    REQUIRE(build(&w) == SQ_OK, "build");
    sq_var state[2] = { { 0 } };
    size_t held = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 10) {
            allocations = 0;
            held = sq_tape_statistics(w.t).held_bytes;
        }
        iterate(&w, state, reset);
    }
    REQUIRE(allocations == 0, "%ld allocations after iteration 10", allocations);
    REQUIRE(sq_tape_statistics(w.t).held_bytes == held, "memory grew");
    tear_down(&w);
    printf("1000 iterations by %s: no allocation after the tenth\n", reset ? "reset" : "cut");
}

int main(void)
{
    fill_inputs();
    for (int i = 0; i < 4; i++) {
        bool on = i & 1;
        mode = i < 2 ? SQ_EAGER : SQ_PLAN;
        long n = fail_everything(on);
        REQUIRE(n > 20, "only %ld allocations seen: is malloc wrapped?", n);
        printf("%ld points of failure, %s, %s: an error each time\n", n,
               i < 2 ? "eager" : "planned", on ? "lasting" : "single");
    }
    for (int i = 0; i < N_PLACES; i++) REQUIRE(failures[i] > 0, "place %d never failed", i);
    printf("first failures in sweeps %d, cuts %d, ledgers %d, derivatives %d, updates %d\n",
           failures[SWEEP], failures[CUT], failures[LEDGER], failures[DERIVE],
           failures[UPDATE]);
    steady(true);
    steady(false);
    return 0;
}
