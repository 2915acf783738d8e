/* map_kernels.c -- the loops of every elementwise row, compiled once per instruction set, in
 * both precisions. The formulas are ops.def's; the meaning of its words is in map_tmpl.h.
 *
 * Compiled without floating-point contraction: a value depends on its operands alone, not on
 * its place in a vector, the length of the array, or the instruction set. */
#include "ops/map_impl.h"
#include "ops/map_reads_impl.h"

#include "core/kernels/vmath.h"

/* Of a loop: its elements may be taken in any order, several at once. */
#ifdef __clang__
#define APART _Pragma("clang loop vectorize(assume_safety)")
#else
#define APART _Pragma("GCC ivdep")
#endif

#define SQI_JOIN_(a, b) a##b
#define SQI_JOIN(a, b) SQI_JOIN_(a, b)

#define real float
#define T(name) name##_f32
#define LIBM(name) name##f
#include "ops/map_tmpl.h"
#undef real
#undef T
#undef LIBM

#define real double
#define T(name) name##_f64
#define LIBM(name) name
#include "ops/map_tmpl.h"
#undef real
#undef T
#undef LIBM

const sqi_map_kernel *const SQI_JOIN(sqi_map_, SQ_ISA)[2] = { rows_f32, rows_f64 };
