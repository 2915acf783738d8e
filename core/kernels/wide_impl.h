/* wide_impl.h -- 64-bit lanes, and products of their lower halves.
 *
 * A product of two 32-bit numbers with all its bits is one instruction. clang finds it in the
 * formula; gcc puts shuffles around what it vectorises, at twice the time, and is told. WIDE_LANES
 * is how many lanes a vector has. */
#ifndef SQ_CORE_KERNELS_WIDE_IMPL_H
#define SQ_CORE_KERNELS_WIDE_IMPL_H

#include <stdint.h>

#if SQ_VECTOR_BYTES > 16
enum { WIDE_LANES = SQ_VECTOR_BYTES / 8 };
#else
enum { WIDE_LANES = 2 };
#endif

typedef uint64_t wide __attribute__((vector_size(8 * WIDE_LANES), aligned(8), may_alias));

/* Lower half of each lane times m, 64 bits. */
static inline wide wide_product(wide a, uint32_t m)
{
#if defined __SSE2__ && !defined __clang__
    typedef int halves __attribute__((vector_size(8 * WIDE_LANES)));
    const wide b = (a ^ a) + m;
#if SQ_VECTOR_BYTES == 64
    typedef long long whole __attribute__((vector_size(64)));
    return (wide)__builtin_ia32_pmuludq512_mask((halves)a, (halves)b, (whole)a, 0xFF);
#elif SQ_VECTOR_BYTES == 32
    return (wide)__builtin_ia32_pmuludq256((halves)a, (halves)b);
#else
    return (wide)__builtin_ia32_pmuludq128((halves)a, (halves)b);
#endif
#else
    return (a & 0xFFFFFFFFu) * m;
#endif
}

#endif
