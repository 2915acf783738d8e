/* map_impl.h -- what map.c (descriptors), map_kernels.c (loops) and the plan agree on: a row of
 * ops.def is a forward loop and, per operand, a loop  out += (dy/dx_k) * in  and one that sets
 * out. With in = gy, out = gx it is reverse mode; with in = dx, out = dy forward mode: the
 * Jacobian is diagonal. Every pointer advances by its own step, 1 or 0 (an operand that is
 * stretched); those of operands the op does not have by 1. */
#ifndef SQ_OPS_MAP_IMPL_H
#define SQ_OPS_MAP_IMPL_H

#include "core/kernels/kernels.h"
#include "core/op.h"

enum { SQI_MAP_OPERANDS = 3 };

enum sqi_map_row {
#define SQ_MAP1(name, ...) SQI_MAP_##name,
#define SQ_MAP1P(name, ...) SQI_MAP_##name,
#define SQ_MAP2(name, ...) SQI_MAP_##name,
#define SQ_MAP3(name, ...) SQI_MAP_##name,
#define SQ_OP(name, ...)
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP
    SQI_N_MAPS
};

/* One run of n elements along the innermost axis. */
typedef struct sqi_run {
    int64_t n;
    const void *x[SQI_MAP_OPERANDS];
    int64_t x_step[SQI_MAP_OPERANDS];
    void *y; /* forward writes it, chain reads it; step 1 */
    void *out;
    int64_t out_step;
    const void *in;
    int64_t in_step;
    const double *p;
} sqi_run;

typedef struct sqi_map_kernel {
    void (*forward)(const sqi_run *r);
    void (*chain[SQI_MAP_OPERANDS])(const sqi_run *r); /* out += (dy/dx_k) * in */
    void (*set[SQI_MAP_OPERANDS])(const sqi_run *r);   /* out  = (dy/dx_k) * in, out_step 1 */
} sqi_map_kernel;

/* The loops of an elementwise op, NULL for any other op. */
const sqi_map_kernel *sqi_map_kernel_of(const sq_op *op, enum sqi_isa isa, sq_dtype dtype);

/* What dy/dx_k reads: bit j for operand j, SQI_READS_Y for the result. chain and set load
 * nothing else; the address of what is not read may be NULL. All bits when the op is not
 * elementwise. */
enum { SQI_READS_Y = 1 << SQI_MAP_OPERANDS };
uint32_t sqi_map_reads(const sq_op *op, int32_t k);

/* By instruction set: tables [dtype][row]. */
#define SQI_ROW(isa) extern const sqi_map_kernel *const sqi_map_##isa[2];
SQI_ISAS(SQI_ROW)
#undef SQI_ROW

#endif
