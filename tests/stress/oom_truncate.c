/* oom_truncate.c -- a stream of TBPTT whose allocations fail in turn.
 *
 * An LSTM runs through updates, overlapping windows, rows that restart, readings of the bias meter,
 * being saved and loaded, an end and a second stream, once for every allocation it makes, with that
 * one failing, and again with all later ones failing too. Each run must end in SQ_ENOMEM or NULL with a sound tape, and the
 * same stream must work when memory is there again and the tape was reset. Prints what it did; exits
 * 1 on the first thing that is wrong. */
#include "seqgrad.h"
#include "tests/support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>

enum { B = 2, I = 3, H = 4, STEPS = 13 };

static sq_var zeros_in(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    (void)context, (void)first;
    return sq_full(t, sq_shape3(steps, B, I), .5);
}

static sq_var energy(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context, (void)t, (void)first, (void)steps;
    return sq_sum(sq_square(y));
}

static sq_status descend(void *context, sq_tape *t, double loss, int64_t n)
{
    (void)loss, (void)n;
    return sq_optim_step(context, t);
}

/* Saved, and in its own place again. */
static sq_status resume(sq_tbptt *s)
{
    sq_bundle *b = sq_bundle_new();
    sq_status status = sq_tbptt_save(s, b, "stream");
    if (!status) status = sq_tbptt_load(s, b, "stream");
    REQUIRE(!status || !b || sq_bundle_message(b)[0], "no sentence");
    sq_bundle_free(b);
    return status;
}

static sq_status stream(sq_tbptt *s)
{
    static const int32_t rows[STEPS * B] = { [3 * B] = SQ_ROW_RESET, [5 * B + 1] = SQ_ROW_CUT };
    for (int i = 0; i < 2; i++) {
        sq_status status = sq_tbptt_feed(s, STEPS, rows);
        if (!status && !i) status = resume(s);
        if (!status) status = sq_tbptt_end(s);
        if (status) return status;
    }
    return SQ_OK;
}

static void scenario(sq_mode mode)
{
    sq_lstm lstm;
    sq_params *p = sq_params_new(SQ_F64);
    sq_status made = p ? sq_lstm_init(&lstm, p, "lstm", I, H, 1) : SQ_ENOMEM;
    sq_optim *o = made ? NULL : sq_optim_new(p, NULL);
    sq_tape *t = o ? sq_tape_new(SQ_F64, p) : NULL;
    sq_cell cell = { .name = "" };
    if (t) cell = sq_lstm_cell(&lstm);
    sq_tbptt *s = t ? sq_tbptt_new(t, &cell,
                                   &(sq_tbptt_options){ .k1 = 2,
                                                        .k2 = 5,
                                                        .batch = B,
                                                        .unroll.mode = mode,
                                                        .input = zeros_in,
                                                        .loss = energy,
                                                        .update = descend,
                                                        .context = o,
                                                        .meter_every = 2,
                                                        .meter_window = 9 })
                    : NULL;
    if (s) {
        sq_status status = stream(s);
        char text[256] = "";
        REQUIRE(status == SQ_OK || status == SQ_ENOMEM, "status %d: %s", (int)status,
                sq_message(t));
        REQUIRE(status == SQ_OK || fail_at >= 0, "out of memory without a reason");
        REQUIRE(sq_tape_check(t, text, sizeof text), "unsound: %s", text);
        fail_at = -1;
        sq_tape_reset(t);
        sq_params_clear_error(p);
        REQUIRE(stream(s) == SQ_OK, "tried again: %s", sq_message(t));
    }
    REQUIRE(s || fail_at >= 0, "not made");
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_optim_free(o);
    sq_params_free(p);
}

static long fail_everywhere(sq_mode mode)
{
    allocations = 0;
    fail_at = -1;
    scenario(mode);
    long all = allocations;
    for (int on = 0; on < 2; on++)
        for (long i = 0; i < all; i++) {
            allocations = 0;
            fail_at = i;
            fail_on = on;
            scenario(mode);
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
