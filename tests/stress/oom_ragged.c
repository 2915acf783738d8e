/* oom_ragged.c -- layers over ragged rows, whose allocations fail in turn.
 *
 * Two layers of two directions run over rows of their own lengths, with rows that begin anew, a loss
 * that is a mean over sequences, and a sweep: once for every allocation, with that one failing, and
 * again with all later ones failing too. Each run must end in SQ_ENOMEM or NULL with a sound tape, and
 * the same must work when memory is there again and the tape was reset. Prints what it did; exits 1 on
 * the first thing that is wrong. */
#include "seqgrad.h"
#include "tests/support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>

enum { T = 5, B = 3, I = 2, H = 3, CELLS = 4 };

typedef struct net {
    sq_params *p;
    sq_gru gru[CELLS];
    sq_cell cell[CELLS];
    sq_layer layers[2];
} net;

static bool net_new(net *n)
{
    static const char *const names[CELLS] = { "f0", "b0", "f1", "b1" };
    n->p = sq_params_new(SQ_F64);
    for (int k = 0; n->p && k < CELLS; k++) {
        if (sq_gru_init(&n->gru[k], n->p, names[k], k < 2 ? I : 2 * H, H, SQ_RESET_AFTER, 1))
            return false;
        n->cell[k] = sq_gru_cell(&n->gru[k]);
    }
    for (int l = 0; l < 2; l++)
        n->layers[l] =
            (sq_layer){ .forward = &n->cell[2 * l], .backward = &n->cell[2 * l + 1] };
    return n->p != NULL;
}

static sq_status once(sq_tape *t, const net *n, sq_mode mode, int64_t every)
{
    static const int32_t lengths[B] = { 2, 5, 3 }, resets[T * B] = { [4] = 1, [9] = 1 };
    static const int32_t labels[T * B] = { 1, 5, 2, 0, 3 };
    sq_layers_options o = {
        .unroll = { .mode = mode, .lengths = lengths, .resets = resets, .every = every },
        .dropout = .2
    };
    sq_var x = sq_full(t, sq_shape3(T, B, I), .5);
    sq_var y = sq_layers(t, n->layers, 2, x, &o, NULL);
    sq_var l = sq_cross_entropy_steps(sq_reverse_rows(y, lengths), labels, lengths);
    sq_var last = sq_last_rows(y, lengths);
    sq_var loss = sq_add(sq_mean_over_sequences(l, lengths), sq_sum(last));
    return sq_tape_status(t) ? sq_tape_status(t) : sq_backward(loss);
}

static void scenario(sq_mode mode, int64_t every)
{
    net n;
    bool made = net_new(&n);
    sq_tape *t = made ? sq_tape_new(SQ_F64, n.p) : NULL;
    REQUIRE(t || fail_at >= 0, "not made");
    if (t) {
        sq_status status = once(t, &n, mode, every);
        char text[256] = "";
        REQUIRE(status == SQ_OK || status == SQ_ENOMEM, "status %d: %s", (int)status,
                sq_message(t));
        REQUIRE(status == SQ_OK || fail_at >= 0, "out of memory without a reason");
        REQUIRE(sq_tape_check(t, text, sizeof text), "unsound: %s", text);
        fail_at = -1;
        sq_tape_reset(t);
        sq_zero_grads(t);
        REQUIRE(once(t, &n, mode, every) == SQ_OK, "tried again: %s", sq_message(t));
    }
    sq_tape_free(t);
    sq_params_free(n.p);
}

static long fail_everywhere(sq_mode mode, int64_t every)
{
    allocations = 0;
    fail_at = -1;
    scenario(mode, every);
    long all = allocations;
    for (int on = 0; on < 2; on++)
        for (long i = 0; i < all; i++) {
            allocations = 0;
            fail_at = i;
            fail_on = on;
            scenario(mode, every);
        }
    fail_at = -1;
    return all;
}

int main(void)
{
    long eager = fail_everywhere(SQ_EAGER, 0), plan = fail_everywhere(SQ_PLAN, 0);
    long again = fail_everywhere(SQ_EAGER, 2);
    REQUIRE(eager > 0 && plan > 0 && again > 0, "nothing was counted");
    printf(
        "%ld allocations eagerly, %ld planned, %ld with steps run again, each failing in its "
        "turn\n",
        eager, plan, again);
    return 0;
}
