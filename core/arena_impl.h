/* arena_impl.h -- the memory of one segment: bump allocation, returned all at once, used again.
 *
 *     pool     free chunks by size class, four classes per power of two
 *     arena    chunk -> chunk -> chunk      newest first; allocation bumps `used` of the newest
 *
 * Blocks are 64-byte aligned, and at least SQI_SPARE readable bytes follow the last one of a
 * chunk. A loop that repeats its steps takes the same classes again and allocates nothing. */
#ifndef SQ_CORE_ARENA_IMPL_H
#define SQ_CORE_ARENA_IMPL_H

#include "core/export.h"

enum { SQI_ALIGN = 64, SQI_SPARE = 64, SQI_N_CLASSES = 256 };

typedef struct sqi_chunk {
    struct sqi_chunk *next;
    unsigned char *data;
    size_t size, used;
    uint32_t class_index;
} sqi_chunk;

enum {
    SQI_CHUNK_HEAD = (sizeof(sqi_chunk) + SQI_ALIGN - 1) / SQI_ALIGN * SQI_ALIGN,
    SQI_EXACT_HEAD = SQI_CHUNK_HEAD + SQI_SPARE
};

typedef struct sqi_pool {
    sqi_chunk *free[SQI_N_CLASSES + 1]; /* the last: chunks of exact sizes */
    size_t held;                        /* bytes taken from the system, in use or free */
} sqi_pool;

typedef struct sqi_arena {
    sqi_chunk *newest;
    size_t used;
    size_t hint; /* size wished for the first chunk: what a step like this one used before */
} sqi_arena;

/* `bytes` fresh bytes (contents undefined), or NULL when out of memory. 0 bytes give a valid
 * address. */
void *sqi_arena_alloc(sqi_arena *a, sqi_pool *pool, size_t bytes);

/* The same in a chunk of its own that takes so many bytes, rounded to SQI_ALIGN, and SQI_EXACT_HEAD
 * more: for what is counted. It is found again for the same size; the pool's other free chunks of
 * this kind go when it is not. */
void *sqi_arena_exact(sqi_arena *a, sqi_pool *pool, size_t bytes);

/* Gives all chunks back to the pool; remembers the use as the hint. In debug builds the memory
 * is filled with bytes that read as NaN. */
void sqi_arena_clear(sqi_arena *a, sqi_pool *pool);

/* Gives all chunks back to the system. */
void sqi_arena_free(sqi_arena *a, sqi_pool *pool);

/* What a chunk for so many bytes takes from the system. */
size_t sqi_chunk_bytes(size_t bytes);

/* Frees what the pool holds; chunks still in arenas must have been given back. */
void sqi_pool_free(sqi_pool *pool);

#endif
