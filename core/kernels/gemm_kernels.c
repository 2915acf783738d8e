/* gemm_kernels.c -- matrix products; compiled once per instruction set, with fused
 * multiply-adds where the set has them.
 *
 * The order of summation is the same in both bodies and for every element, whatever its row,
 * column or tile: k is cut into blocks of nearly equal length whose borders depend on K only;
 * in each block the element is one chain of multiply-adds over k ascending, started at zero;
 * the block sums are added to C in order. So a row of C has the same bits alone and among
 * others.
 *
 * Instruction sets with vectors get the blocked body; the base gets the plain loops, which are
 * also what the tests compare against. */
#include "core/kernels/gemm_impl.h"
#include "core/kernels/product_impl.h"

#include <string.h>

/* Bounds the copies on the stack: 512 rows of two 64-byte vectors, or of a strip of the plain
 * body, are 64 KiB. */
#define K_BLOCK 512

/* Up to so many rows of A, a panel of B is read where it lies. */
#define DIRECT_ROWS 64

#if SQ_VECTOR_BYTES > 0
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
