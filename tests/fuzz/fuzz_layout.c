/* fuzz_layout.c -- tensors of any shape, under the names that a layout gives: a network, or a sentence; what was
 * found goes to another layout, back, and there again, with the same bits.
 *
 *     row of the table | another's | then for each tensor: which, layer and direction, type and rank, sizes
 *
 * Values are few and of few bits, so that no sum of two biases and no 1 of DyNet's is rounded. */
#include "fuzz.h"

#include "cells/layout_impl.h"
#include "core/io_impl.h"

enum { ROWS = 36, MOST = 4096, LEAST = 2, HEAD = 3 /* bytes */ };

typedef struct input {
    const uint8_t *at, *end;
} input;

static uint8_t next(input *in) { return in->at < in->end ? *in->at++ : 0; }

/* Small, or what nobody has: an axis of 0 makes it legal. */
static int64_t next_size(input *in)
{
    static const int64_t large[] = { 100,
                                     MOST,
                                     INT32_MAX,
                                     (int64_t)INT32_MAX + 1,
                                     (int64_t)1 << 40,
                                     (int64_t)1 << 59,
                                     ((int64_t)1 << 60) - 1 };
    uint8_t b = next(in), n = sizeof large / sizeof *large;
    return b < 256 - n ? b % 32 : large[b - (256 - n)];
}

static const sqi_layout_tensor *next_tensor(input *in, const sqi_layout_row *row)
{
    int n = 0;
    while (row->tensors[n].name) n++;
    return &row->tensors[next(in) % n];
}

static void add_tensor(sq_bundle *b, sqi_layout_side *names, input *in)
{
    static double f64[MOST];
    static float f32[MOST];
    for (int i = 0; f64[0] == 0 && i < MOST; i++)
        f32[i] = (float)(f64[MOST - 1 - i] = .5 + i % 3 * .25);
    const sqi_layout_tensor *of = next_tensor(in, names->row);
    uint8_t place = next(in), form = next(in);
    sq_tensor t = { .name = sqi_layout_name_of(names, of, place / 2 % 4, place % 2),
                    .type = form % 16 == 0  ? SQ_TENSOR_I64
                            : form % 16 < 8 ? SQ_TENSOR_F32
                                            : SQ_TENSOR_F64,
                    .rank = form / 16 % 6 };
    for (int32_t i = 0; i < t.rank; i++) t.dim[i] = next_size(in);
    if (!sqi_tensor_count(&t) || t.count > MOST || sq_bundle_find(b, t.name)) return;
    t.values = t.type == SQ_TENSOR_F32 ? (const void *)f32 : f64;
    HOLDS(sq_bundle_add(b, &t) == SQ_OK);
}

static sq_bundle *read_input(const sqi_layout_row *row, input *in)
{
    sqi_layout_side names;
    sq_bundle *b = sq_bundle_new();
    HOLDS(b && sqi_layout_open(&names, b, &(sq_layout){ row->layout, NULL, row->cell }));
    while (in->end - in->at >= HEAD) add_tensor(b, &names, in);
    sqi_layout_close(&names);
    return b;
}

/* Where the other has biases it says so. */
static bool same_net(const sq_layout_net *a, const sq_layout_net *b)
{
    return a->cell == b->cell && a->layers == b->layers &&
           a->bidirectional == b->bidirectional && a->in == b->in && a->hidden == b->hidden &&
           a->projected == b->projected;
}

/* NULL after a refusal, which must be one. */
static sq_bundle *converted(sq_bundle *from, const sq_layout *as, const sq_layout *to,
                            const sq_layout_net *net)
{
    sq_layout_net again;
    sq_bundle *b = sq_bundle_new();
    HOLDS(b);
    if (sq_layout_convert(from, as, b, to)) {
        HOLDS(sq_bundle_status(b) == SQ_EVALUE && sq_bundle_message(b)[0]);
        HOLDS(!sq_bundle_status(from) && sq_bundle_count(b) == 0);
        sq_bundle_free(b);
        return NULL;
    }
    HOLDS(sq_layout_find(b, to, &again) == SQ_OK && same_net(net, &again));
    return b;
}

static void expect_same(const sq_bundle *a, const sq_bundle *b)
{
    HOLDS(sq_bundle_count(a) == sq_bundle_count(b));
    for (int64_t i = 0; i < sq_bundle_count(a); i++) {
        const sq_tensor *x = sq_bundle_at(a, i), *y = sq_bundle_find(b, x->name);
        HOLDS(y && x->type == y->type && x->count == y->count);
        HOLDS(memcmp(x->values, y->values, (size_t)x->count * sqi_tensor_size(x->type)) == 0);
    }
}

static void there_and_back(sq_bundle *b, const sq_layout *as, const sq_layout *to,
                           const sq_layout_net *net)
{
    sq_bundle *there = converted(b, as, to, net);
    if (!there) return;
    sq_bundle *back = converted(there, to, as, net);
    HOLDS(back);
    sq_bundle *again = converted(back, as, to, net);
    HOLDS(again);
    expect_same(there, again);
    sq_bundle_free(there);
    sq_bundle_free(back);
    sq_bundle_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    input in = { bytes, bytes + n };
    char text[128];
    sq_layout_net net;
    const sqi_layout_row *row = sqi_layout_row_at(next(&in) % ROWS);
    const sqi_layout_row *other = sqi_layout_row_at(next(&in) % ROWS);
    HOLDS(row && other && !sqi_layout_row_at(ROWS));
    sq_bundle *b = read_input(row, &in);
    sq_layout as = { row->layout, NULL, SQ_LAYOUT_ANY };
    if (sq_layout_find(b, &as, &net)) {
        HOLDS(sq_bundle_status(b) == SQ_EFILE && sq_bundle_message(b)[0]);
    } else {
        HOLDS(net.layers >= 1 && net.hidden >= 1 && net.in >= 0 && net.projected >= 0);
        for (int64_t i = 0; i < sq_bundle_count(b); i++)
            HOLDS(sq_layout_describe(&as, &net, sq_bundle_at(b, i)->name, text, sizeof text));
        as.cell = net.cell;
        there_and_back(b, &as, &(sq_layout){ other->layout, NULL, net.cell }, &net);
    }
    sq_bundle_free(b);
    return 0;
}
