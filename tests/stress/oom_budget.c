/* oom_budget.c -- unrolls under a budget whose allocations fail in turn.
 *
 * An encoder and a decoder with dropout, snapshots kept by both of them in different ways, one row of the
 * decoder ended early: sweeps, values of dropped steps, gates, a sweep forwards, a cut inside, once for
 * every allocation that is made, with that one failing, and again with all later ones failing too. Each
 * run must end in SQ_ENOMEM or NULL with a sound tape; when memory is there again and the tape was reset,
 * the gradients must have the bits of the run that never failed. Prints what it did; exits 1 on the first
 * thing that is wrong. */
#include "seqgrad.h"
#include "tests/support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 7, B = 2, I = 3, H = 4, MOST = 4096 };

typedef struct world {
    sq_params *p;
    sq_lstm lstm;
    sq_tape *t;
    sq_mode mode;
    double got[MOST];
    int64_t n;
} world;

static sq_var wet_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    sq_cell inner = sq_lstm_cell(&((const world *)self)->lstm);
    s[1] = sq_dropout(s[1], .25, SQ_PER_SEQUENCE);
    return sq_name(inner.step(t, inner.self, sq_dropout(x, .5, SQ_PER_STEP), s), "y");
}

static void note(world *w, sq_var v, bool grad)
{
    int64_t n = sq_shape_size(sq_shape_of(v));
    if (grad) sq_grad_copy_f64(v, w->got + w->n);
    else sq_copy_f64(v, w->got + w->n);
    w->n += n;
}

static sq_status sweep(world *w, sq_var loss, sq_var x)
{
    sq_status status = sq_backward(loss);
    if (status) return status;
    memcpy(w->got + w->n, sq_grads(w->t), (size_t)sq_params_size(w->p) * sizeof(double));
    w->n += sq_params_size(w->p);
    note(w, x, true);
    return sq_tape_status(w->t);
}

/* A ledger of gates and a sweep forwards: both run the steps once more. */
static sq_status look(world *w, const sq_unrolled *v, sq_var loss, sq_var x)
{
    double ones[T * B * I], *out = w->got + w->n++;
    for (int i = 0; i < T * B * I; i++) ones[i] = 1;
    sq_ledger *l = sq_ledger_new(v, loss, &(sq_ledger_options){ .gates = true });
    for (int32_t g = 0; g < sq_ledger_n_gates(l); g++)
        w->got[w->n++] = sq_ledger_gate(l, 1, g).mean + sq_ledger_gate(l, 2, g).gradient;
    sq_ledger_free(l);
    const double *dx = ones;
    return sq_tape_status(w->t) ? sq_tape_status(w->t) : sq_jvp(&x, &dx, 1, &loss, &out, 1);
}

/* The sweeps and readings; w->got is what was found. */
static sq_status program(world *w)
{
    static const int32_t lengths[B] = { 3, T };
    double numbers[T * B * I];
    for (int i = 0; i < T * B * I; i++) numbers[i] = .1 * (i % 7) - .3;
    sq_cell cell = sq_lstm_cell(&w->lstm);
    cell.step = wet_step;
    cell.self = w;
    w->n = 0;
    sq_tape_set_run(w->t, 0);
    sq_zero_grads(w->t);
    sq_var x = sq_leaf(w->t, sq_shape3(T, B, I), numbers), last[3];
    const sq_unrolled *u =
        sq_unroll(w->t, &cell, x, NULL, &(sq_unroll_options){ .mode = w->mode, .every = 2 });
    if (!u) return sq_tape_status(w->t);
    sq_unrolled_last(u, last);
    const sq_unrolled *v = sq_unroll(w->t, &cell, x, last,
                                     &(sq_unroll_options){ .mode = w->mode,
                                                           .budget_bytes = 60000,
                                                           .policy = SQ_REVOLVE,
                                                           .lengths = lengths,
                                                           .state_grads = true });
    if (!v) return sq_tape_status(w->t);
    sq_var named = sq_unrolled_named(v, 2, "y"), early = sq_unrolled_state(u, 3, 1);
    sq_unrolled_last(v, last);
    last[2] =
        sq_add(sq_sum(sq_square(sq_unrolled_outputs(v))), sq_sum(sq_mul(last[0], last[1])));
    note(w, early, false);
    for (int i = 0; i < 2; i++)
        if (sweep(w, last[2], x)) return sq_tape_status(w->t);
    note(w, named, true);
    note(w, sq_unrolled_state(v, 1, 0), true);
    if (look(w, u, last[2], x) || look(w, v, last[2], x)) return sq_tape_status(w->t);
    if (sq_cut(w->t, T / 2, last, 3)) return sq_tape_status(w->t);
    note(w, sq_unrolled_state(v, T - 2, 0), false);
    return sweep(w, last[2], x);
}

static void scenario(sq_mode mode, const world *want, world *w)
{
    *w = (world){ .p = sq_params_new(SQ_F64), .mode = mode };
    sq_status made = w->p ? sq_lstm_init(&w->lstm, w->p, "lstm", I, H, 1) : SQ_ENOMEM;
    w->t = made ? NULL : sq_tape_new(SQ_F64, w->p);
    if (w->t) {
        sq_status status = program(w);
        char text[256] = "";
        REQUIRE(status == SQ_OK || status == SQ_ENOMEM, "status %d: %s", (int)status,
                sq_message(w->t));
        REQUIRE(status == SQ_OK || fail_at >= 0, "out of memory without a reason");
        REQUIRE(sq_tape_check(w->t, text, sizeof text), "unsound: %s", text);
        fail_at = -1;
        sq_tape_reset(w->t);
        REQUIRE(program(w) == SQ_OK, "tried again: %s", sq_message(w->t));
        REQUIRE(sq_tape_check(w->t, text, sizeof text), "unsound: %s", text);
        REQUIRE(!want || (w->n == want->n &&
                          memcmp(w->got, want->got, (size_t)w->n * sizeof *w->got) == 0),
                "other bits than without a failure");
    }
    REQUIRE(w->t || fail_at >= 0, "not made");
    sq_tape_free(w->t);
    sq_params_free(w->p);
}

static long fail_everywhere(sq_mode mode)
{
    static world want, got;
    allocations = 0;
    fail_at = -1;
    scenario(mode, NULL, &want);
    REQUIRE(want.n <= MOST, "%lld numbers", (long long)want.n);
    long all = allocations;
    for (int on = 0; on < 2; on++)
        for (long i = 0; i < all; i++) {
            allocations = 0;
            fail_at = i;
            fail_on = on;
            scenario(mode, &want, &got);
        }
    fail_at = -1;
    return all;
}

int main(void)
{
    long eager = fail_everywhere(SQ_EAGER), plan = fail_everywhere(SQ_PLAN);
    printf("%ld allocations eagerly and %ld planned, each failing in its turn\n", eager, plan);
    return 0;
}
