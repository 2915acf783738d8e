/* arena.c -- bump allocation in recycled chunks (arena_impl.h has the picture).
 *
 * Chunk sizes are (4 + q) 2^e bytes, q = 0..3: at most a quarter of a chunk is unasked for. A
 * request takes a chunk of exactly the class it wishes, so equal programs ask for equal classes
 * and a steady loop always finds what it gave back. */
#include "core/arena_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The smallest chunk, as a power of two from 8 on. The hostile build makes chunks so small that
 * nearly every value needs one of its own. */
#ifndef SQ_SMALLEST_CHUNK_LOG
#define SQ_SMALLEST_CHUNK_LOG 12
#endif
enum { SMALLEST_LOG = SQ_SMALLEST_CHUNK_LOG, CLASSES_PER_DOUBLING = 4 };

static size_t class_size(uint32_t class_index)
{
    return (size_t)(4 + class_index % CLASSES_PER_DOUBLING)
           << (SMALLEST_LOG - 2 + class_index / CLASSES_PER_DOUBLING);
}

/* The smallest class of at least `bytes`; SQI_N_CLASSES when there is none. */
static uint32_t class_of(size_t bytes)
{
    uint32_t last = (uint32_t)(8 * sizeof(size_t) - SMALLEST_LOG - 1) * CLASSES_PER_DOUBLING;
    for (uint32_t c = 0; c < last; c++)
        if (class_size(c) >= bytes) return c;
    return SQI_N_CLASSES;
}

static sqi_chunk *chunk_new(sqi_pool *pool, uint32_t class_index, size_t size)
{
    sqi_chunk *c = aligned_alloc(SQI_ALIGN, size + SQI_EXACT_HEAD);
    if (!c) return NULL;
    memset((unsigned char *)c + SQI_CHUNK_HEAD + size, 0, SQI_SPARE);
    *c = (sqi_chunk){ .data = (unsigned char *)c + SQI_CHUNK_HEAD,
                      .size = size,
                      .class_index = class_index };
    pool->held += size + SQI_EXACT_HEAD;
    return c;
}

static sqi_chunk *chunk_take(sqi_pool *pool, size_t bytes)
{
    uint32_t class_index = class_of(bytes);
    if (class_index == SQI_N_CLASSES) return NULL;
    sqi_chunk *c = pool->free[class_index];
    if (!c) return chunk_new(pool, class_index, class_size(class_index));
    pool->free[class_index] = c->next;
    return c;
}

void *sqi_arena_alloc(sqi_arena *a, sqi_pool *pool, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) return NULL;
    bytes = (bytes + SQI_ALIGN - 1) / SQI_ALIGN * SQI_ALIGN;
    sqi_chunk *c = a->newest;
    if (!c || c->size - c->used < bytes) {
        size_t wish = c ? a->used : a->hint; /* doubles an arena that outgrew its hint */
        c = chunk_take(pool, bytes > wish ? bytes : wish);
        if (!c) return NULL;
        c->next = a->newest;
        a->newest = c;
    }
    void *block = c->data + c->used;
    c->used += bytes;
    a->used += bytes;
    return block;
}

/* A free chunk of exactly that size, or NULL when there is none; then those of other sizes are
 * given back to the system. */
static sqi_chunk *exact_take(sqi_pool *pool, size_t size)
{
    sqi_chunk **list = &pool->free[SQI_N_CLASSES];
    for (sqi_chunk **at = list, *c; (c = *at); at = &c->next) {
        if (c->size != size) continue;
        *at = c->next;
        return c;
    }
    for (sqi_chunk *c = *list; c; c = *list) {
        *list = c->next;
        pool->held -= c->size + SQI_EXACT_HEAD;
        free(c);
    }
    return NULL;
}

void *sqi_arena_exact(sqi_arena *a, sqi_pool *pool, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) return NULL;
    size_t size = (bytes + SQI_ALIGN - 1) / SQI_ALIGN * SQI_ALIGN;
    sqi_chunk *c = exact_take(pool, size), **at = a->newest ? &a->newest->next : &a->newest;
    if (!c) c = chunk_new(pool, SQI_N_CLASSES, size);
    if (!c) return NULL;
    c->used = size;
    c->next = *at;
    *at = c;
    return c->data;
}

void sqi_arena_clear(sqi_arena *a, sqi_pool *pool)
{
    for (sqi_chunk *c = a->newest, *next; c; c = next) {
        next = c->next;
#ifndef NDEBUG
        memset(c->data, 0xff, c->used);
#endif
        c->used = 0;
        c->next = pool->free[c->class_index];
        pool->free[c->class_index] = c;
    }
    *a = (sqi_arena){ .hint = a->used };
}

void sqi_arena_free(sqi_arena *a, sqi_pool *pool)
{
    for (sqi_chunk *c = a->newest, *next; c; c = next) {
        next = c->next;
        pool->held -= c->size + SQI_EXACT_HEAD;
        free(c);
    }
    *a = (sqi_arena){ .hint = a->hint };
}

size_t sqi_chunk_bytes(size_t bytes)
{
    uint32_t c = class_of(bytes);
    return c == SQI_N_CLASSES ? SIZE_MAX : class_size(c) + SQI_EXACT_HEAD;
}

void sqi_pool_free(sqi_pool *pool)
{
    for (uint32_t i = 0; i <= SQI_N_CLASSES; i++)
        for (sqi_chunk *c = pool->free[i], *next; c; c = next) {
            next = c->next;
            free(c);
        }
    *pool = (sqi_pool){ .held = 0 };
}
