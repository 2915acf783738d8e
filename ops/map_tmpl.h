/* map_tmpl.h -- elementwise loops for one precision: `real`, T(name) and LIBM(name) are given.
 *
 * A row becomes a forward function and, per operand, a chain and a set function. Runs whose
 * pointers all advance by one take a loop the compiler turns into vectors: no element depends on
 * another's result, and where a result lies in the place of an operand it is that of the same element.
 * Stretched operands take the other. */

static inline real T(sign)(real x) { return (real)(x > 0) - (real)(x < 0); }
static inline real T(above)(real a, real b)
{
    return (real)(a > b) + (real)0.5 * (real)(a == b);
}
static inline real T(select)(real c, real u, real v) { return c > 0 ? u : v; }
static inline real T(min)(real a, real b) { return a < b || a != a ? a : b; }
static inline real T(max)(real a, real b) { return a > b || a != a ? a : b; }

#define K(c) ((real)(c))
#define P(i) ((real)r->p[i])
#define NEG(u) (-(u))
#define ADD(u, v) ((u) + (v))
#define SUB(u, v) ((u) - (v))
#define MUL(u, v) ((u) * (v))
#define DIV(u, v) ((u) / (v))
#define SQRT(u) LIBM(sqrt)(u)
#define ABS(u) LIBM(fabs)(u)
#define EXP(u) T(sqi_exp)(u)
#define EXPM1(u) LIBM(expm1)(u)
#define LOG(u) T(sqi_log)(u)
#define LOG1P(u) LIBM(log1p)(u)
#define SIN(u) LIBM(sin)(u)
#define COS(u) LIBM(cos)(u)
#define TANH(u) T(sqi_tanh)(u)
#define SIGMOID(u) T(sqi_sigmoid)(u)
#define ERF(u) LIBM(erf)(u)
#define ERFC(u) LIBM(erfc)(u)
#define POWP(u, k) LIBM(pow)(u, P(0) + K(k))
#define SIGN(u) T(sign)(u)
#define STEP(u) T(above)(u, 0)
#define ABOVE(u, v) T(above)(u, v)
#define SELECT(c, u, v) T(select)(c, u, v)
#define MIN(u, v) T(min)(u, v)
#define MAX(u, v) T(max)(u, v)

/* OPERANDS_n(ONE) declares the operands at element i; ONE(k) is i times a step. What is not in
 * `reads` (map_reads_impl.h) is not loaded: its address may be NULL. */
#define LOAD(bit, from) ((reads) & (bit) ? (from) : (real)0)
#define OPERANDS_1(ONE)                 \
    const real x = LOAD(1, X0[ONE(0)]); \
    (void)x;
#define OPERANDS_2(ONE)                                          \
    const real a = LOAD(1, X0[ONE(0)]), b = LOAD(2, X1[ONE(1)]); \
    (void)a, (void)b;
#define OPERANDS_3(ONE)                                                                   \
    const real a = LOAD(1, X0[ONE(0)]), b = LOAD(2, X1[ONE(1)]), c = LOAD(4, X2[ONE(2)]); \
    (void)a, (void)b, (void)c;
#define DENSE(k) i
#define STEPPED(k) i * r->x_step[k]
#define POINTERS                                                                       \
    const real *restrict X0 = r->x[0], *restrict X1 = r->x[1], *restrict X2 = r->x[2]; \
    const int64_t n = r->n;                                                            \
    (void)X0, (void)X1, (void)X2;

#define FORWARD(name, formula, OPERANDS)                                            \
    static void T(name##_forward)(const sqi_run *r)                                 \
    {                                                                               \
        enum { reads = ~0 };                                                        \
        POINTERS                                                                    \
        real *restrict Y = r->y;                                                    \
        if (r->x_step[0] & r->x_step[1] & r->x_step[2]) APART                       \
            for (int64_t i = 0; i < n; i++) { OPERANDS(DENSE) Y[i] = (formula); }   \
        else                                                                        \
            for (int64_t i = 0; i < n; i++) { OPERANDS(STEPPED) Y[i] = (formula); } \
    }

/* out (+= or =) derivative * in. */
#define PASS(title, INTO, out_steps, what, derivative, OPERANDS)                               \
    static void T(title)(const sqi_run *r)                                                     \
    {                                                                                          \
        enum { reads = (what) };                                                               \
        POINTERS                                                                               \
        const real *restrict Y = r->y, *restrict in = r->in;                                   \
        real *restrict out = r->out;                                                           \
        (void)Y;                                                                               \
        if (r->x_step[0] & r->x_step[1] & r->x_step[2] & r->in_step & (out_steps)) APART       \
            for (int64_t i = 0; i < n; i++) {                                                  \
                const real y = LOAD(SQI_READS_Y, Y[i]);                                        \
                (void)y;                                                                       \
                OPERANDS(DENSE) out[i] INTO in[i] * (derivative);                              \
            }                                                                                  \
        else                                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                  \
                const real y = LOAD(SQI_READS_Y, Y[i]);                                        \
                (void)y;                                                                       \
                OPERANDS(STEPPED) out[i * (out_steps)] INTO in[i * r->in_step] * (derivative); \
            }                                                                                  \
    }
#define CHAIN(name, k, derivative, OPERANDS)                                             \
    PASS(name##_chain##k, +=, r->out_step, SQI_READS_##name##_##k, derivative, OPERANDS) \
    PASS(name##_set##k, =, 1, SQI_READS_##name##_##k, derivative, OPERANDS)

#define SQ_MAP1(name, y, d, lo, hi, text) \
    FORWARD(name, y, OPERANDS_1)          \
    CHAIN(name, 0, d, OPERANDS_1)
#define SQ_MAP1P(name, params, y, d, lo, hi, text) SQ_MAP1(name, y, d, lo, hi, text)
#define SQ_MAP2(name, y, da, db, lo, hi, text) \
    FORWARD(name, y, OPERANDS_2)               \
    CHAIN(name, 0, da, OPERANDS_2)             \
    CHAIN(name, 1, db, OPERANDS_2)
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text) \
    FORWARD(name, y, OPERANDS_3)                   \
    CHAIN(name, 0, da, OPERANDS_3)                 \
    CHAIN(name, 1, db, OPERANDS_3)                 \
    CHAIN(name, 2, dc, OPERANDS_3)
#define SQ_OP(name, args, text)
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3

static const sqi_map_kernel T(rows)[SQI_N_MAPS] = {
#define SQ_MAP1(name, y, d, lo, hi, text) \
    { T(name##_forward), { T(name##_chain0) }, { T(name##_set0) } },
#define SQ_MAP1P(name, params, y, d, lo, hi, text) SQ_MAP1(name, y, d, lo, hi, text)
#define SQ_MAP2(name, y, da, db, lo, hi, text) \
    { T(name##_forward),                       \
      { T(name##_chain0), T(name##_chain1) },  \
      { T(name##_set0), T(name##_set1) } },
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text)              \
    { T(name##_forward),                                        \
      { T(name##_chain0), T(name##_chain1), T(name##_chain2) }, \
      { T(name##_set0), T(name##_set1), T(name##_set2) } },
#include "ops/ops.def"
};

#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP
#undef FORWARD
#undef CHAIN
#undef PASS
#undef LOAD
#undef POINTERS
#undef OPERANDS_1
#undef OPERANDS_2
#undef OPERANDS_3
#undef DENSE
#undef STEPPED
#undef K
#undef P
#undef NEG
#undef ADD
#undef SUB
#undef MUL
#undef DIV
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
#undef POWP
#undef SIGN
#undef STEP
#undef ABOVE
#undef SELECT
#undef MIN
#undef MAX
