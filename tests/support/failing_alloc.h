/* failing_alloc.h -- allocations that fail on request, for programs linked with --wrap (one source
 * file each): allocation number fail_at fails, and with fail_on all after it. */
#ifndef SQT_FAILING_ALLOC_H
#define SQT_FAILING_ALLOC_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static long allocations, fail_at = -1;
static bool fail_on;

static bool fails(void)
{
    long n = allocations++;
    return fail_at >= 0 && (n == fail_at || (fail_on && n > fail_at));
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
}

#define REQUIRE(condition, ...)                                                             \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            printf("line %d, allocation %ld%s: ", __LINE__, fail_at, fail_on ? " on" : ""); \
            printf(__VA_ARGS__);                                                            \
            printf("\n");                                                                   \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

#endif
