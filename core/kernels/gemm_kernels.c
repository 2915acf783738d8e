/* gemm_kernels.c -- matrix products; compiled once per instruction set, with fused
 * multiply-adds where the set has them.
 *
 * The order of summation is the same in both bodies and for every element, whatever its row,
 * column or tile: k is cut into blocks of nearly equal length whose borders depend on K only;
 * in each block the element is one chain of multiply-adds over k ascending, started at zero;
 * the block sums are added to C in order. So a row of C has the same bits alone and among
 * others.
 *
 * Instruction sets with vectors wider than 16 bytes get the blocked body; the others get the
 * plain loops, which are also what the tests compare against. */
#include "core/kernels/gemm_impl.h"

#include <string.h>

/* Bounds the copies on the stack: 512 rows of two 64-byte vectors, or of a strip of the plain
 * body, are 64 KiB. */
#define K_BLOCK 512
#define STRIP 16

typedef struct k_range {
    int64_t from, to;
} k_range;

static inline int64_t k_blocks(int64_t k) { return (k + K_BLOCK - 1) / K_BLOCK; }

static inline k_range k_block(int64_t k, int64_t i)
{
    int64_t n = k_blocks(k), length = k / n, longer = k % n;
    int64_t from = i * length + (i < longer ? i : longer);
    return (k_range){ from, from + length + (i < longer) };
}

/* The tiles, rows by vectors: as many sums as the registers hold beside the operands. With many
 * rows a wide tile reads B in longer pieces, which is worth it if it still has rows enough. */
#define ROWS_3(T, nv) T(1, nv) T(2, nv) T(3, nv)
#define ROWS_6(T, nv) ROWS_3(T, nv) T(4, nv) T(5, nv) T(6, nv)
#define ROWS_12(T, nv) ROWS_6(T, nv) T(7, nv) T(8, nv) T(9, nv) T(10, nv) T(11, nv) T(12, nv)
#if SQ_VECTOR_BYTES == 64
enum { MAX_SUMS = 24, MAX_ROWS = 12, MAX_VECTORS = 8, MANY_ROWS_VECTORS = 4 };
#define TILES(T) ROWS_12(T, 1) ROWS_12(T, 2) ROWS_6(T, 4) ROWS_3(T, 8)
#else
enum { MAX_SUMS = 12, MAX_ROWS = 6, MAX_VECTORS = 8, MANY_ROWS_VECTORS = 2 };
#define TILES(T) ROWS_6(T, 1) ROWS_6(T, 2) ROWS_3(T, 4) T(1, 8)
#endif

/* Up to so many rows of A, a panel of B is read where it lies. */
#define DIRECT_ROWS 64

/* Sums stay in registers only when the loops over them are unrolled completely. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#if SQ_VECTOR_BYTES > 16
#define BODY "core/kernels/gemm_blocked_tmpl.h"
#else
#define BODY "core/kernels/gemm_plain_tmpl.h"
#endif

#define real float
#define REAL_BYTES 4
#define OF_REAL(name) name##_f32
#include BODY
#undef real
#undef REAL_BYTES
#undef OF_REAL

#define real double
#define REAL_BYTES 8
#define OF_REAL(name) name##_f64
#include BODY

void SQI_OF_ISA(sqi_gemm_f32_)(const sqi_gemm *g) { gemm_f32(g); }
void SQI_OF_ISA(sqi_gemm_f64_)(const sqi_gemm *g) { gemm_f64(g); }
