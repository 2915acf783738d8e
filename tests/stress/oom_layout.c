/* oom_layout.c -- every allocation of going from layout to layout, failing in its turn.
 *
 * A network's weights are written in another layout, converted to a third, and read into weights of
 * their own: once for every allocation that takes, with that one failing, and again with all later ones
 * failing too. Each call must end in SQ_ENOMEM with the bundle and the weights as they were, and succeed
 * when memory is there again. Prints what it did; exits 1 on the first thing that is wrong. */
#include "seqgrad.h"
#include "tests/support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 3, H = 2, NUMBERS = 3 * (IN * H + H * H + H) + H };

static sq_params *new_gru(uint64_t seed)
{
    sq_gru w;
    sq_params *p = sq_params_new(SQ_F64);
    REQUIRE(p != NULL, "no memory at the beginning");
    REQUIRE(sq_gru_init(&w, p, "l0", IN, H, SQ_RESET_AFTER, seed) == SQ_OK, "no weights");
    return p;
}

/* A failure is for lack of memory and leaves no tensor and no weight behind. */
static bool failed(sq_bundle *b, sq_status status, int64_t tensors, const sq_params *p,
                   const double *before)
{
    if (status == SQ_OK) return false;
    REQUIRE(status == SQ_ENOMEM, "status %d: %s", (int)status, sq_bundle_message(b));
    REQUIRE(fail_at >= 0, "out of memory without a reason");
    REQUIRE(sq_bundle_count(b) == tensors, "half a network in the bundle");
    REQUIRE(memcmp(before, sq_params_view(p), NUMBERS * sizeof *before) == 0,
            "weights changed");
    REQUIRE(sq_params_status(p) == SQ_OK, "the params complain: %s", sq_params_message(p));
    fail_at = -1;
    sq_bundle_clear_error(b);
    return true;
}

static void scenario(sq_params *from, sq_params *to, sq_bundle *one, sq_bundle *two)
{
    const sq_layout torch = { .name = "pytorch" },
                    onnx = { .name = "onnx", .cell = SQ_LAYOUT_GRU_AFTER };
    double a[NUMBERS], b[NUMBERS];
    sq_layout_net net;
    memcpy(a, sq_params_view(from), sizeof a);
    memcpy(b, sq_params_view(to), sizeof b);
    if (failed(one, sq_layout_add(one, &torch, from, NULL), 0, from, a))
        REQUIRE(sq_layout_add(one, &torch, from, NULL) == SQ_OK, "add, tried again");
    if (failed(one, sq_layout_find(one, &torch, &net), 4, from, a))
        REQUIRE(sq_layout_find(one, &torch, &net) == SQ_OK, "find, tried again");
    sq_status status = sq_layout_convert(one, &torch, two, &onnx);
    if (sq_bundle_status(one)) (void)failed(one, status, 4, from, a);
    else (void)failed(two, status, 0, from, a);
    if (status)
        REQUIRE(sq_layout_convert(one, &torch, two, &onnx) == SQ_OK, "convert, tried again");
    if (failed(two, sq_layout_get(two, &onnx, to, NULL), 3, to, b))
        REQUIRE(sq_layout_get(two, &onnx, to, NULL) == SQ_OK, "get, tried again");
    REQUIRE(memcmp(a, sq_params_view(to), sizeof a) == 0, "other weights came back");
}

/* Returns how many allocations it took. */
static long run(long at, bool on)
{
    fail_at = -1;
    sq_params *from = new_gru(1), *to = new_gru(2);
    sq_bundle *one = sq_bundle_new(), *two = sq_bundle_new();
    allocations = 0;
    fail_at = at;
    fail_on = on;
    scenario(from, to, one, two);
    long all = allocations;
    fail_at = -1;
    sq_bundle_free(one);
    sq_bundle_free(two);
    sq_params_free(from);
    sq_params_free(to);
    return all;
}

int main(void)
{
    long all = run(-1, false);
    for (int on = 0; on < 2; on++)
        for (long i = 0; i < all; i++) (void)run(i, on);
    printf("%ld allocations, each failing in its turn\n", all);
    return 0;
}
