/* map_reads_impl.h -- what the derivatives of the elementwise rows read, as constants
 * SQI_READS_NAME_K: bit j for operand j, SQI_READS_Y for the result y.
 *
 * They are ops.def expanded once more. A word reads what its arguments read, a number or a
 * parameter nothing; so every word becomes a bitwise or, and every operand its bit. */
#ifndef SQ_OPS_MAP_READS_IMPL_H
#define SQ_OPS_MAP_READS_IMPL_H

#include "ops/map_impl.h"

#define x 1
#define a 1
#define b 2
#define c 4
#define y SQI_READS_Y
#define K(number) 0
#define P(i) 0
#define NEG(u) (u)
#define SQRT(u) (u)
#define ABS(u) (u)
#define EXP(u) (u)
#define EXPM1(u) (u)
#define LOG(u) (u)
#define LOG1P(u) (u)
#define SIN(u) (u)
#define COS(u) (u)
#define TANH(u) (u)
#define SIGMOID(u) (u)
#define ERF(u) (u)
#define ERFC(u) (u)
#define SIGN(u) (u)
#define STEP(u) (u)
#define POWP(u, k) (u)
#define ADD(u, v) ((u) | (v))
#define SUB(u, v) ((u) | (v))
#define MUL(u, v) ((u) | (v))
#define DIV(u, v) ((u) | (v))
#define ABOVE(u, v) ((u) | (v))
#define MIN(u, v) ((u) | (v))
#define MAX(u, v) ((u) | (v))
#define SELECT(u, v, w) ((u) | (v) | (w))

enum sqi_map_reading {
#define SQ_MAP1(name, f, d, lo, hi, text) SQI_READS_##name##_0 = d,
#define SQ_MAP1P(name, params, f, d, lo, hi, text) SQI_READS_##name##_0 = d,
#define SQ_MAP2(name, f, da, db, lo, hi, text) \
    SQI_READS_##name##_0 = da, SQI_READS_##name##_1 = db,
#define SQ_MAP3(name, f, da, db, dc, lo, hi, text) \
    SQI_READS_##name##_0 = da, SQI_READS_##name##_1 = db, SQI_READS_##name##_2 = dc,
#define SQ_OP(name, args, text)
#include "ops/ops.def"
};

#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP
#undef x
#undef a
#undef b
#undef c
#undef y
#undef K
#undef P
#undef NEG
#undef SQRT
#undef ABS
#undef EXP
#undef EXPM1
#undef LOG
#undef LOG1P
#undef SIN
#undef COS
#undef TANH
#undef SIGMOID
#undef ERF
#undef ERFC
#undef SIGN
#undef STEP
#undef POWP
#undef ADD
#undef SUB
#undef MUL
#undef DIV
#undef ABOVE
#undef MIN
#undef MAX
#undef SELECT

#endif
