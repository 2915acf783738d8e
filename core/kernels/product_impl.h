/* product_impl.h -- what all products share: how a long k is cut, and how large the tiles are.
 *
 * SQ_VECTOR_BYTES is the width of the vectors a file of kernels is compiled for; 0 asks for the
 * plain bodies, which are the reference and serve where no vector set is. */
#ifndef SQ_CORE_KERNELS_PRODUCT_IMPL_H
#define SQ_CORE_KERNELS_PRODUCT_IMPL_H

#include <stdint.h>

typedef struct k_range {
    int64_t from, to;
} k_range;

/* k is cut into so many blocks of nearly equal length, `longest` at most. */
static inline int64_t k_blocks(int64_t k, int64_t longest)
{
    return (k + longest - 1) / longest;
}

/* Block i of them: its borders depend on k only. */
static inline k_range k_block(int64_t k, int64_t longest, int64_t i)
{
    if (k <= longest) return (k_range){ 0, k };
    int64_t n = k_blocks(k, longest), length = k / n, longer = k % n;
    int64_t from = i * length + (i < longer ? i : longer);
    return (k_range){ from, from + length + (i < longer) };
}

/* Columns that the plain bodies sum side by side. */
#define STRIP 16

/* The tiles, rows by vectors: as many sums as the registers hold beside the operands. AVX2 has
 * 16 registers, AVX-512 and NEON have 32. With many rows a wide tile reads B in longer pieces,
 * which is worth it if it still has rows enough. */
#define ROWS_3(T, nv) T(1, nv) T(2, nv) T(3, nv)
#define ROWS_6(T, nv) ROWS_3(T, nv) T(4, nv) T(5, nv) T(6, nv)
#define ROWS_12(T, nv) ROWS_6(T, nv) T(7, nv) T(8, nv) T(9, nv) T(10, nv) T(11, nv) T(12, nv)
#if SQ_VECTOR_BYTES == 32
enum { MAX_SUMS = 12, MAX_ROWS = 6, MAX_VECTORS = 8, MANY_ROWS_VECTORS = 2 };
#define TALL_TILES(T, nv) ROWS_6(T, nv)
#define TILES(T) ROWS_6(T, 1) ROWS_6(T, 2) ROWS_3(T, 4) T(1, 8)
#else
enum { MAX_SUMS = 24, MAX_ROWS = 12, MAX_VECTORS = 8, MANY_ROWS_VECTORS = 4 };
#define TALL_TILES(T, nv) ROWS_12(T, nv)
#define TILES(T) ROWS_12(T, 1) ROWS_12(T, 2) ROWS_6(T, 4) ROWS_3(T, 8)
#endif

/* Sums stay in registers only when the loops over them are unrolled completely; clang does that too
 * late where branches at ragged edges are among them, so that it has functions apart for those. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define APART __attribute__((noinline))
#else
#define UNROLL _Pragma("GCC unroll 32")
#define APART
#endif

#endif
