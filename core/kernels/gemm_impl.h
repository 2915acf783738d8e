/* gemm_impl.h -- the products that the tables of kernels.h point to, one set per instruction
 * set: they live in their own files because they alone are compiled with fused multiply-adds. */
#ifndef SQ_CORE_KERNELS_GEMM_IMPL_H
#define SQ_CORE_KERNELS_GEMM_IMPL_H

#include "core/kernels/kernels.h"

#define SQI_JOIN_(a, b) a##b
#define SQI_JOIN(a, b) SQI_JOIN_(a, b)

/* NAME_ISA, in files that are compiled once per instruction set. */
#define SQI_OF_ISA(name) SQI_JOIN(name, SQ_ISA)

#define SQI_PRODUCTS(d, isa)                                                                 \
    void sqi_gemm_##d##_##isa(const sqi_gemm *g);                                            \
    int64_t sqi_panels_##d##_##isa(int32_t n_parts, const int64_t *width);                   \
    size_t sqi_panels_bytes_##d##_##isa(const sqi_panels *b);                                \
    void sqi_pack_##d##_##isa(const sqi_panels *b, int32_t sum, int32_t part, const void *x, \
                              int64_t row, int64_t col);                                     \
    void sqi_product_##d##_##isa(const sqi_panel_product *p);                                \
    size_t sqi_grad_scratch_##d##_##isa(const sqi_grad_product *p);                          \
    void sqi_grad_product_##d##_##isa(const sqi_grad_product *p);
#define SQI_ROW(isa) SQI_PRODUCTS(f32, isa) SQI_PRODUCTS(f64, isa)
SQI_ISAS(SQI_ROW)
#undef SQI_ROW
#undef SQI_PRODUCTS

#endif
