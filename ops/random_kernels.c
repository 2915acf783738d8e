/* random_kernels.c -- masks of Philox4x32-10 (core/random.c) and what they are multiplied with.
 *
 * The build compiles this file once per instruction set and names it in SQ_ISA. Blocks of all rows
 * are numbered through and made LANES at a time, one to a lane of 64 bits; a block that ends a row
 * may be used in part. */
#include "ops/random_kernels.h"

#include "core/kernels/wide_impl.h"

#ifndef SQ_ISA
#define SQ_ISA base
#endif

enum { LANES = 16, WORDS = 4 };

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* Where the next block is. */
typedef struct place {
    int64_t row, block;
} place;

/* Which LANES blocks, as sq_random_word numbers them. */
typedef struct counters {
    uint64_t block[LANES], row[LANES];
} counters;

/* The next LANES; the first loop is the usual one, in vectors. */
static void count(const sqi_masking *m, int64_t blocks, place at, counters *c)
{
    uint64_t row = (uint64_t)(m->row + at.row), block = (uint64_t)at.block;
    if (at.block + LANES <= blocks) {
        for (int i = 0; i < LANES; i++) c->block[i] = block + (uint64_t)i, c->row[i] = row;
        return;
    }
    for (int i = 0; i < LANES; i++) {
        c->block[i] = block;
        c->row[i] = row;
        if (++block == (uint64_t)blocks) row++, block = 0;
    }
}

/* Blocks i .. i + WIDE_LANES - 1 of the counters, a word to a vector. Words are the lower halves of
 * their lanes; what a product leaves above them is never read. */
static inline void mix(sq_random stream, const counters *at, int i, wide word[WORDS])
{
    const wide block = *(const wide *)(at->block + i), row = *(const wide *)(at->row + i);
    const wide none = block ^ block;
    wide a = block, b = block >> 32, c = row, d = row >> 32;
    uint32_t k0 = stream.key[0], k1 = stream.key[1];
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const wide p = wide_product(a, 0xD2511F53u), q = wide_product(c, 0xCD9E8D57u);
        a = q >> 32 ^ b ^ (none + k0);
        b = q;
        c = p >> 32 ^ d ^ (none + k1);
        d = p;
    }
    word[0] = a, word[1] = b, word[2] = c, word[3] = d;
}

/* The blocks of the counters; block i's words go to out[4 i ..]. */
static void generate(sq_random stream, const counters *at, uint32_t *restrict out)
{
    for (int i = 0; i < LANES; i += WIDE_LANES) {
        wide word[WORDS];
        mix(stream, at, i, word);
        for (int lane = 0; lane < WIDE_LANES; lane++)
            for (int w = 0; w < WORDS; w++)
                out[WORDS * (i + lane) + w] = (uint32_t)(word[w][lane] & 0xFFFFFFFFu);
    }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#define real float
#define T(name) name##_f32
#include "ops/random_tmpl.h"
#undef real
#undef T

#define real double
#define T(name) name##_f64
#include "ops/random_tmpl.h"
#undef real
#undef T

sqi_mask_kernel *const JOIN(sqi_mask_, SQ_ISA)[2] = { mask_f32, mask_f64 };
