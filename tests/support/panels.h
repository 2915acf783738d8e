/* panels.h -- for tests of the packed products: every table of kernels that this processor runs, and
 * operands in either precision between pages that must not be touched. Define _DEFAULT_SOURCE first. */
#ifndef SQT_PANELS_H
#define SQT_PANELS_H

#include "tests/support/tables.h"

#include <sys/mman.h>

enum { PAGE = 4096, SUMS = 4, PARTS = 5 };

/* n elements with an untouchable page on either side: against the one behind them or, with
 * `front`, against the one before; and what they were at first. */
typedef struct block {
    char *pages;
    size_t size, bytes;
    void *x, *before;
} block;

static inline block block_of(size_t bytes, bool front)
{
    block b = { .bytes = bytes };
    size_t inside = (bytes + PAGE) / PAGE * PAGE;
    b.size = inside + 2 * PAGE;
    b.pages = mmap(NULL, b.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(b.pages != MAP_FAILED);
    cr_assert(mprotect(b.pages + PAGE, inside, PROT_READ | PROT_WRITE) == 0);
    memset(b.pages + PAGE, 0x5A, inside);
    b.x = b.pages + PAGE + (front ? 0 : inside - bytes);
    return b;
}

static inline block block_new(sq_dtype d, int64_t n, rng *r)
{
    block b = block_of((size_t)n * sq_dtype_size(d), rng_below(r, 2) == 0);
    for (int64_t i = 0; i < n; i++) put(d, b.x, i, rng_in(r, -1, 1));
    b.before = malloc(b.bytes + 1);
    memcpy(b.before, b.x, b.bytes);
    return b;
}

static inline void block_restore(block *b) { memcpy(b->x, b->before, b->bytes); }

/* What lies in the block's pages beside its bytes is as it was. */
static inline bool block_sound(const block *b)
{
    if (!b->pages) return true;
    for (char *p = b->pages + PAGE; p < b->pages + b->size - PAGE; p++) {
        bool inside = p >= (char *)b->x && p < (char *)b->x + b->bytes;
        if (!inside && *p != 0x5A) return false;
    }
    return true;
}

static inline void block_free(block *b)
{
    if (!b->pages) return;
    cr_expect(block_sound(b), "bytes beside an operand were written");
    munmap(b->pages, b->size);
    free(b->before);
}

static inline void exact_products(sq_dtype d, block *b, rng *r)
{
    static const double factors[] = { 1, -1, 2 };
    for (int64_t i = 0; i < (int64_t)(b->bytes / sq_dtype_size(d)); i++)
        put(d, b->x, i, factors[rng_below(r, 3)]);
}

static inline int64_t pick(rng *r, const int64_t *from, int n) { return from[rng_below(r, n)]; }

static const int64_t widths[] = { 1, 7, 16, 31, 32, 33, 64, 100 };
static const int64_t depths[] = { 0, 1, 3, 17, 64, 300 };

#endif
