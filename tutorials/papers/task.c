/* task.c -- six generators, the hard part of each in a few lines.
 *
 * A draw takes the random bits of its sequence one after the other. */
#include "task.h"

#include "../common/grammar.h"
#include "../common/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct draw {
    sq_random r;
    uint64_t row, next;
} draw;

/* A whole number from lo to hi, both possible. */
static int64_t between(draw *d, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(sq_random_bits(d->r, d->row, d->next++) % (uint64_t)(hi - lo + 1));
}

/* Step t of a row: its symbol, and the one right answer. */
static void put(batch *b, int64_t row, int64_t t, int symbol, int label)
{
    int64_t i = t * b->rows + row;
    b->symbol[i] = symbol;
    if (b->asked == 1) return;
    b->label[i] = label;
    b->there[i] = 1;
    if (b->set) b->set[i] = 1u << label;
}

/* The answer after the last step of a row. */
static void answer(batch *b, int64_t row, int label)
{
    b->label[row] = label;
    b->there[row] = 1;
    if (b->set) b->set[row] = 1u << label;
}

static int64_t two(int64_t size) { return (void)size, 2; }
static int64_t one(int64_t size) { return (void)size, 1; }
static int64_t four(int64_t size) { return (void)size, 4; }
static int64_t eight(int64_t size) { return (void)size, 8; }
static int64_t ten(int64_t size) { return (void)size, 10; }
static int64_t tenth_more(int64_t size) { return size + size / 10; }

/* ---- Adding: Hochreiter & Schmidhuber 1997, experiment 4 --------------------------------- */

/* Pairs of a value in [-1,1] and a mark: 1 at one of the first ten, and at another one before
 * T/2; -1 at the first and the last; else 0. Where the first is marked 1, its value is 0. The length
 * is T to 1.1 T. */
static void make_adding(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n)
{
    draw d = { r, n, 0 };
    int64_t length = between(&d, size, tenth_more(size));
    int64_t p = between(&d, 0, 9), q = between(&d, 0, size / 2 - 3);
    q += q >= p;
    b->lengths[row] = (int32_t)length;
    b->value[row] = 0;
    b->there[row] = 1;
    for (int64_t t = 0; t < b->steps; t++) {
        float *x = b->x + 2 * (t * b->rows + row);
        bool marked = t == p || t == q;
        x[0] = (float)(2 * sq_random_uniform(d.r, n, 64 + (uint64_t)t) - 1);
        if (t == 0 && marked) x[0] = 0;
        x[1] = marked ? 1.f : t == 0 || t == length - 1 ? -1.f : 0.f;
        if (marked) b->value[row] += x[0];
        if (t >= length) x[0] = x[1] = 0;
    }
}

const task adding = { .judge = NEAR,
                      .at_end = true,
                      .least = 20,
                      .inputs = two,
                      .outputs = one,
                      .steps = tenth_more,
                      .make = make_adding };

/* ---- Temporal order: the same paper, experiment 6a --------------------------------------- */

/* E, distractors a b c d with X or Y at two places, B. The class is XX, XY, YX or YY. The length is
 * T to 1.1 T; the places are in T/10 .. T/5 and T/2 .. 6 T/10. */
static void make_order(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n)
{
    enum { E, B, A, X = 6 };
    draw d = { r, n, 0 };
    int64_t length = between(&d, size, tenth_more(size));
    int64_t first = between(&d, size / 10, size / 5);
    int64_t second = between(&d, size / 2, 6 * size / 10);
    int64_t x = between(&d, 0, 1), y = between(&d, 0, 1);
    b->lengths[row] = (int32_t)length;
    for (int64_t t = 0; t < b->steps; t++) put(b, row, t, (int)between(&d, A, A + 3), 0);
    put(b, row, 0, E, 0);
    put(b, row, first, (int)(X + x), 0);
    put(b, row, second, (int)(X + y), 0);
    put(b, row, length - 1, B, 0);
    answer(b, row, (int)(2 * x + y));
}

const task order = { .judge = BEST,
                     .at_end = true,
                     .in = "EBabcdXY",
                     .out = "QRSU",
                     .least = 10,
                     .inputs = eight,
                     .outputs = four,
                     .steps = tenth_more,
                     .make = make_order };

/* ---- The embedded Reber grammar: experiment 1 -------------------------------------------- */

/* One string; after each symbol but the last the next is asked for. Strings longer than the batch has
 * room for (one of about ten million at 100) are drawn again. */
static bool walk_string(batch *b, int64_t row, draw *d)
{
    place p = { 0 };
    int symbol = grammar_walk(&p, false);
    for (int64_t t = 0; t < b->steps; t++) {
        uint32_t legal = grammar_legal(p);
        int next = grammar_walk(&p, between(d, 0, 1));
        put(b, row, t, symbol, next);
        b->set[t * b->rows + row] = legal;
        b->lengths[row] = (int32_t)(t + 1);
        if (!p.state) return true;
        symbol = next;
    }
    return false;
}

static void make_reber(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n)
{
    (void)size;
    draw d = { r, n, 0 };
    while (!walk_string(b, row, &d))
        for (int64_t t = 0; t < b->steps; t++) b->there[t * b->rows + row] = 0;
}

static int64_t symbols(int64_t size) { return (void)size, N_SYMBOLS; }
static int64_t as_given(int64_t size) { return size; }

const task reber = { .judge = BEST,
                     .in = "BTSXPVE",
                     .out = "BTSXPVE",
                     .least = 20,
                     .inputs = symbols,
                     .outputs = symbols,
                     .steps = as_given,
                     .make = make_reber };

/* ---- Long lags without noise: experiment 2a ---------------------------------------------- */

/* Two sequences of p + 1 symbols, in turn, (x, a_1 .. a_(p-1), x) and (y, a_1 .. a_(p-1), y); the next symbol is
 * asked for after each but the last. Symbols 0 and 1 are x and y, a_i is 1 + i. */
static void make_lag(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n)
{
    int which = (int)(n % 2);
    (void)r;
    b->lengths[row] = (int32_t)size;
    for (int t = 0; t < size; t++)
        put(b, row, t, t ? 1 + t : which, t < size - 1 ? 2 + t : which);
}

static int64_t one_more(int64_t size) { return size + 1; }

const task lag = { .judge = SURE,
                   .shortcut = true,
                   .least = 2,
                   .inputs = one_more,
                   .outputs = one_more,
                   .steps = as_given,
                   .make = make_lag };

/* ---- a^n b^n: Gers & Schmidhuber 2001 ---------------------------------------------------- */

/* S a^k b^k with k = 1 .. size in turn, and what may come next out of a, b, T: as long as there are a's
 * both a and b, then b as often as there was an a, then T. */
static void make_counting(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n)
{
    enum { S, A, B, A_NEXT = 1, B_NEXT = 2, T_NEXT = 4 };
    int64_t k = 1 + (int64_t)(n % (uint64_t)size);
    (void)r;
    b->lengths[row] = (int32_t)(2 * k + 1);
    for (int64_t t = 0; t <= 2 * k; t++) {
        put(b, row, t, t == 0 ? S : t <= k ? A : B, 0);
        b->set[t * b->rows + row] = t == 0      ? A_NEXT
                                    : t <= k    ? A_NEXT | B_NEXT
                                    : t < 2 * k ? B_NEXT
                                                : T_NEXT;
    }
}

static int64_t three(int64_t size) { return (void)size, 3; }
static int64_t twice_and_one(int64_t size) { return 2 * size + 1; }

const task counting = { .judge = SIDES,
                        .in = "Sab",
                        .out = "abT",
                        .least = 1,
                        .inputs = three,
                        .outputs = three,
                        .steps = twice_and_one,
                        .make = make_counting };

/* ---- Copying: Arjovsky, Shah, Bengio 2015 ------------------------------------------------ */

/* Ten of eight symbols, T - 1 blanks, a mark, ten blanks; the answer is blank for T + 10 steps, then
 * the ten symbols. */
static void make_copying(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n)
{
    enum { BLANK = 8, MARK = 9, WORD = 10 };
    draw d = { r, n, 0 };
    int word[WORD];
    for (int i = 0; i < WORD; i++) word[i] = (int)between(&d, 0, 7);
    b->lengths[row] = (int32_t)b->steps;
    for (int64_t t = 0; t < b->steps; t++)
        put(b, row, t,
            t < WORD               ? word[t]
            : t == size + WORD - 1 ? MARK
                                   : BLANK,
            t < size + WORD ? BLANK : word[t - size - WORD]);
}

static int64_t twenty_more(int64_t size) { return size + 20; }
static int64_t nine(int64_t size) { return (void)size, 9; }

const task copying = { .judge = BEST,
                       .in = "01234567-#",
                       .out = "01234567-",
                       .least = 1,
                       .inputs = ten,
                       .outputs = nine,
                       .steps = twenty_more,
                       .make = make_copying };

/* ---- Batches ----------------------------------------------------------------------------- */

batch batch_new(const task *k, int64_t size, int64_t rows)
{
    batch b = { .steps = k->steps(size), .rows = rows };
    b.asked = k->at_end ? 1 : b.steps;
    size_t n = (size_t)(b.steps * rows), asked = (size_t)(b.asked * rows);
    b.lengths = take((size_t)rows, sizeof *b.lengths);
    if (k->judge == NEAR) b.x = take(2 * n, sizeof *b.x);
    else b.symbol = take(n, sizeof *b.symbol);
    b.label = take(asked, sizeof *b.label);
    b.there = take(asked, sizeof *b.there);
    if (k->judge != SURE) b.set = take(asked, sizeof *b.set);
    b.value = take(asked, sizeof *b.value);
    return b;
}

void batch_fill(const task *k, batch *b, int64_t size, uint64_t seed, uint64_t first)
{
    sq_random r = sq_random_stream(seed, 0, 0, 0);
    memset(b->there, 0, (size_t)(b->asked * b->rows) * sizeof *b->there);
    for (int64_t row = 0; row < b->rows; row++) k->make(b, row, size, r, first + (uint64_t)row);
}

void batch_free(batch *b)
{
    free(b->lengths);
    free(b->symbol);
    free(b->x);
    free(b->label);
    free(b->there);
    free(b->set);
    free(b->value);
}

/* ---- Judging ----------------------------------------------------------------------------- */

static bool best(const float *z, int64_t n, uint32_t set)
{
    float least = INFINITY, most = -INFINITY;
    for (int64_t k = 0; k < n; k++)
        if (set >> k & 1) least = fminf(least, z[k]);
        else most = fmaxf(most, z[k]);
    return least > most;
}

static bool sure(const float *z, int64_t n, int32_t label)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += exp((double)(z[k] - z[label]));
    return 1 / sum > .75;
}

static bool sides(const float *z, int64_t n, uint32_t set)
{
    static const float margin = .0400053f; /* ln(.51 / .49): where sigmoid is .51 */
    for (int64_t k = 0; k < n; k++)
        if (!((set >> k & 1 ? z[k] : -z[k]) > margin)) return false;
    return true;
}

static bool right_at(const task *k, const batch *b, const float *z, int64_t n, int64_t i)
{
    switch (k->judge) {
    case NEAR: return fabsf(z[0] - b->value[i]) < .16f;
    case BEST: return best(z, n, b->set[i]);
    case SURE: return sure(z, n, b->label[i]);
    case SIDES: return sides(z, n, b->set[i]);
    }
    return false;
}

bool batch_right(const task *k, const batch *b, const float *z, int64_t n, int64_t row)
{
    for (int64_t i = row; i < b->asked * b->rows; i += b->rows)
        if (b->there[i] && !right_at(k, b, z + i * n, n, i)) return false;
    return true;
}
