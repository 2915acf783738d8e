/* gemm_impl.h -- the products that the tables of kernels.h point to, one pair per instruction
 * set: they live in their own file because they alone are compiled with fused multiply-adds. */
#ifndef SQ_CORE_KERNELS_GEMM_IMPL_H
#define SQ_CORE_KERNELS_GEMM_IMPL_H

#include "core/kernels/kernels.h"

#define SQI_JOIN_(a, b) a##b
#define SQI_JOIN(a, b) SQI_JOIN_(a, b)

/* NAME_ISA, in files that are compiled once per instruction set. */
#define SQI_OF_ISA(name) SQI_JOIN(name, SQ_ISA)

#define SQI_ROW(isa)                            \
    void sqi_gemm_f32_##isa(const sqi_gemm *g); \
    void sqi_gemm_f64_##isa(const sqi_gemm *g);
SQI_ISAS(SQI_ROW)
#undef SQI_ROW

#endif
