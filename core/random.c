/* random.c -- Philox4x32-10: ten rounds of multiply, swap and exclusive-or on 128 bits.
 *
 * Nothing is stored between calls. A stream is a 64-bit key; a number of it is the block at the
 * counter (row, column), of which words 0 and 1 give the bits and the uniform, and all four the
 * normal; single words are dealt out four to a block. Two blocks make the key out of the four coordinates of a random operation. */
#include "core/random.h"

#include <math.h>

static uint32_t low(uint64_t v) { return (uint32_t)(v & 0xFFFFFFFFu); }
static uint32_t high(uint64_t v) { return (uint32_t)(v >> 32); }

void sq_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] };
    uint32_t k[2] = { key[0], key[1] };
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * c[0];
        uint64_t q = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t c1 = c[1], c3 = c[3];
        c[0] = high(q) ^ c1 ^ k[0];
        c[1] = low(q);
        c[2] = high(p) ^ c3 ^ k[1];
        c[3] = low(p);
        k[0] += 0x9E3779B9u; /* golden ratio */
        k[1] += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

/* block = philox(counter = (serial, step), key = seed)
 * key   = philox(counter = (ordinal, upper half of block), key = lower half of block)
 * Both maps mix every bit of their input; 128 bits pass from the first to the second. */
sq_random sq_random_stream(uint64_t seed, uint64_t serial, uint64_t step, uint64_t ordinal)
{
    uint32_t block[4], mixed[4];
    sq_philox4x32((uint32_t[]){ low(serial), high(serial), low(step), high(step) },
                  (uint32_t[]){ low(seed), high(seed) }, block);
    sq_philox4x32((uint32_t[]){ low(ordinal), high(ordinal), block[2], block[3] },
                  (uint32_t[]){ block[0], block[1] }, mixed);
    return (sq_random){ { mixed[0], mixed[1] } };
}

static void block_at(sq_random r, uint64_t row, uint64_t col, uint32_t out[4])
{
    sq_philox4x32((uint32_t[]){ low(col), high(col), low(row), high(row) }, r.key, out);
}

static uint64_t join(uint32_t lo, uint32_t hi) { return (uint64_t)hi << 32 | lo; }

uint64_t sq_random_bits(sq_random r, uint64_t row, uint64_t col)
{
    uint32_t b[4];
    block_at(r, row, col, b);
    return join(b[0], b[1]);
}

uint32_t sq_random_word(sq_random r, uint64_t row, uint64_t col)
{
    uint32_t b[4];
    block_at(r, row, col / 4, b);
    return b[col % 4];
}

/* 2^-53 times the upper 53 bits: exact, and never 1. */
static double unit(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

double sq_random_uniform(sq_random r, uint64_t row, uint64_t col)
{
    return unit(sq_random_bits(r, row, col));
}

/* sqrt(-2 ln u) cos(2 pi v) with u in (0,1], so that the logarithm exists. */
double sq_random_normal(sq_random r, uint64_t row, uint64_t col)
{
    uint32_t b[4];
    block_at(r, row, col, b);
    double u = unit(join(b[0], b[1])) + 0x1p-53;
    double v = unit(join(b[2], b[3]));
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * v);
}
