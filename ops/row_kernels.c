/* row_kernels.c -- the loops of row_tmpl.h, for float and for double.
 *
 * The build compiles this file once per instruction set and names it in SQ_ISA. exp and sigmoid
 * are straight-line arithmetic (vmath.h), so their loops vectorise. With -ffp-contract=off no
 * table fuses a multiply and an add: all tables agree to the bit. */
#include "ops/row_kernels.h"

#include "core/kernels/product_impl.h"
#include "core/kernels/vmath.h"

#ifndef SQ_ISA
#define SQ_ISA base
#endif

/* Of vectors that are written out; the plain table has those that every x86-64 and ARM has. */
#if SQ_VECTOR_BYTES > 0
#define VECTOR_BYTES SQ_VECTOR_BYTES
#else
#define VECTOR_BYTES 16
#endif

enum { LANES = 16 };

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* Element i of a row of stride s. Every kernel does the contiguous case with s a literal 1, so
 * that the compiler sees vectors. */
#define EACH_ROW(r, call)                                                            \
    do {                                                                             \
        if ((r).inner == 1) {                                                        \
            const int64_t s = 1;                                                     \
            for (int64_t row = 0, at = 0; row < (r).outer; row++, at += (r).n) call; \
        } else {                                                                     \
            const int64_t s = (r).inner;                                             \
            for (int64_t row = 0; row < (r).outer * (r).inner; row++) {              \
                int64_t at = row / (r).inner * (r).n * (r).inner + row % (r).inner;  \
                call;                                                                \
            }                                                                        \
        }                                                                            \
    } while (0)

/* acc[] += term(i) for i in 0..n-1, element i always in lane i mod LANES. */
#define EACH_LANE(n, acc, term)                             \
    do {                                                    \
        int64_t base = 0;                                   \
        for (; base + LANES <= (n); base += LANES)          \
            for (int64_t lane = 0; lane < LANES; lane++) {  \
                const int64_t i = base + lane;              \
                acc[lane] += term;                          \
            }                                               \
        for (int64_t lane = 0; base + lane < (n); lane++) { \
            const int64_t i = base + lane;                  \
            acc[lane] += term;                              \
        }                                                   \
    } while (0)

/* Fixed order: halves are added onto halves. */
#define FOLD_LANES(acc)                                                            \
    do {                                                                           \
        for (int half = LANES / 2; half > 0; half /= 2)                            \
            for (int lane = 0; lane < half; lane++) acc[lane] += acc[lane + half]; \
    } while (0)

/* The rows of `r`, their number, and the mask of their first element. */
#define MASKED_ROWS(r, call)                                                             \
    do {                                                                                 \
        int64_t row = 0;                                                                 \
        for (int64_t i0 = 0; i0 < (r)->dim[0]; i0++)                                     \
            for (int64_t i1 = 0; i1 < (r)->dim[1]; i1++)                                 \
                for (int64_t i2 = 0; i2 < (r)->dim[2]; i2++, row++) {                    \
                    const int64_t at = i0 * (r)->x[0] + i1 * (r)->x[1] + i2 * (r)->x[2]; \
                    const int32_t *m =                                                   \
                        (r)->mask + i0 * (r)->m[0] + i1 * (r)->m[1] + i2 * (r)->m[2];    \
                    call;                                                                \
                }                                                                        \
        (void)row;                                                                       \
    } while (0)

/* The same, the contiguous case apart as in EACH_ROW. */
#define EACH_MASKED(r, call)                                 \
    do {                                                     \
        if ((r)->x_step == 1 && (r)->m_step == 1) {          \
            const int64_t s = 1, ms = 1;                     \
            MASKED_ROWS(r, call);                            \
        } else {                                             \
            const int64_t s = (r)->x_step, ms = (r)->m_step; \
            MASKED_ROWS(r, call);                            \
        }                                                    \
    } while (0)

/* Of a difference of two floats: it may be too large for a float. */
static inline double square(double d) { return d * d; }

#define real float
#define F(name) name##_f32
#define EXP sqi_exp_f32
#define SIGMOID sqi_sigmoid_f32
#define LOG logf
#define LOG1P log1pf
#define FABS fabsf
#define SQRT sqrtf
#include "ops/row_tmpl.h"
#include "ops/masked_tmpl.h"
#undef real
#undef F
#undef EXP
#undef SIGMOID
#undef LOG
#undef LOG1P
#undef FABS
#undef SQRT

#define real double
#define F(name) name##_f64
#define EXP sqi_exp_f64
#define SIGMOID sqi_sigmoid_f64
#define LOG log
#define LOG1P log1p
#define FABS fabs
#define SQRT sqrt
#include "ops/row_tmpl.h"
#include "ops/masked_tmpl.h"

#define TABLE(D)                                                                            \
    {                                                                                       \
        .softmax = softmax_##D, .log_softmax = log_softmax_##D, .max = max_##D,             \
        .max_share = max_share_##D, .norm = norm_##D, .norm_diff = norm_diff_##D,           \
        .softmax_diff = softmax_diff_##D, .log_softmax_vjp = log_softmax_vjp_##D,           \
        .log_softmax_jvp = log_softmax_jvp_##D, .max_vjp = max_vjp_##D,                     \
        .max_jvp = max_jvp_##D, .cross_entropy = cross_entropy_##D,                         \
        .cross_entropy_vjp = cross_entropy_vjp_##D,                                         \
        .cross_entropy_jvp = cross_entropy_jvp_##D, .bce = bce_##D, .bce_vjp = bce_vjp_##D, \
        .bce_jvp = bce_jvp_##D, .square_diff = square_diff_##D, .diff_vjp = diff_vjp_##D,   \
        .diff_jvp = diff_jvp_##D, .dot = dot_##D, .dots = dots_##D, .choose = choose_##D,   \
        .pass = pass_##D, .masked_softmax = masked_softmax_##D,                             \
        .masked_softmax_diff = masked_softmax_diff_##D,                                     \
        .masked_log_softmax = masked_log_softmax_##D,                                       \
        .masked_log_softmax_vjp = masked_log_softmax_vjp_##D,                               \
        .masked_log_softmax_jvp = masked_log_softmax_jvp_##D, .masked_max = masked_max_##D, \
        .masked_max_share = masked_max_share_##D, .masked_max_vjp = masked_max_vjp_##D,     \
        .masked_max_jvp = masked_max_jvp_##D,                                               \
    }

const sqi_row_kernels JOIN(sqi_row_kernels_, SQ_ISA)[2] = {
    [SQ_F32] = TABLE(f32),
    [SQ_F64] = TABLE(f64),
};
