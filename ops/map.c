/* map.c -- elementwise ops: what all of them share, and their descriptors from ops.def.
 *
 * Broadcasting lives here alone. A call becomes a box of up to four axes with one step per
 * operand and axis, 0 where the operand is stretched; axes that lie behind each other in every
 * operand are merged, so operands of one shape are a single long run. The loops over a run are
 * in map_kernels.c. vjp sums where forward stretched, simply because the step of gx is 0 there;
 * the recorded derivative says sum_to. */
#include "core/shape_impl.h"
#include "ops/map_impl.h"
#include "ops/map_reads_impl.h"
#include "ops/ops_impl.h"

/* ---- The box ----------------------------------------------------------------------------- */

enum { Y = SQI_MAP_OPERANDS, N_BLOCKS }; /* block k: operand k; block Y: the result */

typedef struct box {
    int32_t rank;
    int64_t dim[SQ_MAX_RANK];
    int64_t step[SQ_MAX_RANK][N_BLOCKS]; /* innermost axis last */
} box;

/* Steps of a shape stretched to `to`: aligned at the right, 0 where its size is 1 or
 * missing. */
static void set_steps(box *b, int block, sq_shape s, sq_shape to)
{
    int64_t step = 1;
    for (int32_t a = to.rank - 1; a >= 0; a--) {
        int32_t own = a - (to.rank - s.rank);
        bool stretched = own < 0 || (s.dim[own] == 1 && to.dim[a] != 1);
        b->step[a][block] = stretched ? 0 : step;
        if (own >= 0) step *= s.dim[own];
    }
}

static bool mergeable(const box *b, int32_t outer, int32_t inner)
{
    for (int k = 0; k < N_BLOCKS; k++)
        if (b->step[outer][k] != b->step[inner][k] * b->dim[inner]) return false;
    return true;
}

static box box_of(const sq_call *c)
{
    box b = { .rank = c->ys.rank };
    for (int32_t a = 0; a < b.rank; a++) b.dim[a] = c->ys.dim[a];
    set_steps(&b, Y, c->ys, c->ys);
    for (int k = 0; k < SQI_MAP_OPERANDS; k++)
        set_steps(&b, k, k < c->n ? c->xs[k] : c->ys, c->ys);
    for (int32_t a = b.rank - 2; a >= 0; a--) {
        if (!mergeable(&b, a, a + 1)) continue;
        b.dim[a] *= b.dim[a + 1];
        for (int k = 0; k < N_BLOCKS; k++) b.step[a][k] = b.step[a + 1][k];
        for (int32_t i = a + 1; i + 1 < b.rank; i++) {
            b.dim[i] = b.dim[i + 1];
            for (int k = 0; k < N_BLOCKS; k++) b.step[i][k] = b.step[i + 1][k];
        }
        b.rank--;
    }
    if (!b.rank) b = (box){ .rank = 1, .dim = { 1 }, .step = { { 1, 1, 1, 1 } } };
    return b;
}

/* Operands of the result's own shape are one run over everything. */
static bool same_shapes(const sq_call *c)
{
    for (int32_t k = 0; k < c->n; k++)
        if (!sqi_shape_equal(&c->xs[k], &c->ys)) return false;
    return true;
}

static void one_run(const sq_call *c, void (*loop)(const sqi_run *), void *out, const void *in)
{
    sqi_run r = { .n = sqi_shape_size(&c->ys),
                  .x_step = { 1, 1, 1 },
                  .y = c->y,
                  .out = out,
                  .out_step = 1,
                  .in = in,
                  .in_step = 1,
                  .p = c->attr->p };
    for (int32_t k = 0; k < c->n; k++) r.x[k] = c->x[k];
    loop(&r);
}

/* Calls `loop` on every innermost run. out_block and in_block say along which block the
 * pointers `out` and `in` of a chain advance. */
static void each_run(const sq_call *c, void (*loop)(const sqi_run *), void *out, int out_block,
                     const void *in, int in_block)
{
    if (same_shapes(c)) {
        one_run(c, loop, out, in);
        return;
    }
    const box b = box_of(c);
    const int32_t last = b.rank - 1;
    int64_t index[SQ_MAX_RANK] = { 0 }, runs = 1;
    for (int32_t a = 0; a < last; a++) runs *= b.dim[a];
    sqi_run r = { .n = b.dim[last],
                  .out_step = b.step[last][out_block],
                  .in_step = b.step[last][in_block],
                  .p = c->attr->p };
    for (int k = 0; k < SQI_MAP_OPERANDS; k++) r.x_step[k] = k < c->n ? b.step[last][k] : 1;
    for (int64_t i = 0; i < runs; i++) {
        int64_t at[N_BLOCKS] = { 0 };
        for (int32_t a = 0; a < last; a++)
            for (int k = 0; k < N_BLOCKS; k++) at[k] += index[a] * b.step[a][k];
        for (int k = 0; k < c->n; k++) r.x[k] = sqi_at(c, c->x[k], at[k]);
        r.y = sqi_at_mut(c, c->y, at[Y]);
        if (out) r.out = sqi_at_mut(c, out, at[out_block]);
        if (in) r.in = sqi_at(c, in, at[in_block]);
        loop(&r);
        for (int32_t a = last - 1; a >= 0 && ++index[a] == b.dim[a]; a--) index[a] = 0;
    }
}

/* ---- What every elementwise op does ------------------------------------------------------ */

static const sqi_map_kernel *kernel(int32_t row, enum sqi_isa isa, sq_dtype dtype)
{
#define SQI_ROW(name) sqi_map_##name,
    static const sqi_map_kernel *const *const by_isa[] = { SQI_ISAS(SQI_ROW) };
#undef SQI_ROW
    return &by_isa[isa][dtype][row];
}

static bool shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr, sq_shape *out)
{
    (void)attr;
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    sq_shape all = in[0];
    for (int32_t k = 1; k < n; k++)
        if (!sqi_shape_equal(&all, &in[k]) && !sq_shape_broadcast(all, in[k], &all))
            return sq_post(t, SQ_ESHAPE, "shapes do not broadcast: %s and %s",
                           sq_shape_text(all, a), sq_shape_text(in[k], b));
    *out = all;
    return true;
}

static const sqi_map_kernel *kernel_of(const sq_call *c)
{
    return kernel(c->op->row, c->kern->isa, c->dtype);
}

static void forward(const sq_call *c) { each_run(c, kernel_of(c)->forward, NULL, Y, NULL, Y); }
static void vjp(const sq_call *c, int32_t k)
{
    each_run(c, kernel_of(c)->chain[k], c->gx[k], k, c->gy, Y);
}
static void jvp(const sq_call *c, int32_t k)
{
    each_run(c, kernel_of(c)->chain[k], c->dy, Y, c->dx[k], k);
}

/* `row` alone tells nothing: it is 0 in every op that is not of this family. */
const sqi_map_kernel *sqi_map_kernel_of(const sq_op *op, enum sqi_isa isa, sq_dtype dtype)
{
    return op->forward == forward ? kernel(op->row, isa, dtype) : NULL;
}

uint32_t sqi_map_reads(const sq_op *op, int32_t k)
{
    static const uint8_t reads[SQI_N_MAPS][SQI_MAP_OPERANDS] = {
#define SQ_MAP1(name, ...) { SQI_READS_##name##_0 },
#define SQ_MAP1P(name, ...) { SQI_READS_##name##_0 },
#define SQ_MAP2(name, ...) { SQI_READS_##name##_0, SQI_READS_##name##_1 },
#define SQ_MAP3(name, ...) { SQI_READS_##name##_0, SQI_READS_##name##_1, SQI_READS_##name##_2 },
#define SQ_OP(name, ...)
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP
    };
    return op->forward == forward ? reads[op->row][k] : 2 * SQI_READS_Y - 1;
}

/* gy times dy/dx_k, folded back to the operand's shape. */
static sq_var chain_rule(sq_var gy, sq_var d, sq_var x)
{
    sq_shape to = sq_shape_of(x);
    sq_var g = sq_mul(gy, d);
    return sq_shape_equal(sq_shape_of(g), to) ? g : sq_sum_to(g, to);
}

/* ---- The formula words as recorded expressions ------------------------------------------- */

#define K(value) sq_constant(gy.tape, value)
#define P(i) sq_constant(gy.tape, attr->p[i])
#define NEG(u) sq_neg(u)
#define ADD(u, v) sq_add(u, v)
#define SUB(u, v) sq_sub(u, v)
#define MUL(u, v) sq_mul(u, v)
#define DIV(u, v) sq_div(u, v)
#define SQRT(u) sq_sqrt(u)
#define ABS(u) sq_abs(u)
#define EXP(u) sq_exp(u)
#define EXPM1(u) sq_expm1(u)
#define LOG(u) sq_log(u)
#define LOG1P(u) sq_log1p(u)
#define SIN(u) sq_sin(u)
#define COS(u) sq_cos(u)
#define TANH(u) sq_tanh(u)
#define SIGMOID(u) sq_sigmoid(u)
#define ERF(u) sq_erf(u)
#define ERFC(u) sq_erfc(u)
#define POWP(u, k) sq_pow(u, attr->p[0] + (k))
#define SIGN(u) sq_sign(u)
#define STEP(u) sq_step(u)
#define ABOVE(u, v) sq_above(u, v)
#define SELECT(w, u, v) sq_select(w, u, v)

#define ADJOINT(name)                                                                       \
    static sq_var name##_adjoint(const sq_var *v, sq_var y, sq_var gy, const sq_attr *attr, \
                                 int32_t k)

#define SQ_MAP1(name, f, d, lo, hi, text) \
    ADJOINT(name)                         \
    {                                     \
        const sq_var x = v[0];            \
        (void)y, (void)attr, (void)k;     \
        return chain_rule(gy, d, x);      \
    }
#define SQ_MAP1P(name, params, f, d, lo, hi, text) SQ_MAP1(name, f, d, lo, hi, text)
#define SQ_MAP2(name, f, da, db, lo, hi, text)                         \
    ADJOINT(name)                                                      \
    {                                                                  \
        const sq_var a = v[0], b = v[1];                               \
        (void)y, (void)attr;                                           \
        return k == 0 ? chain_rule(gy, da, a) : chain_rule(gy, db, b); \
    }
#define SQ_MAP3(name, f, da, db, dc, lo, hi, text) \
    ADJOINT(name)                                  \
    {                                              \
        const sq_var a = v[0], b = v[1], c = v[2]; \
        (void)y, (void)attr;                       \
        return k == 0   ? chain_rule(gy, da, a)    \
               : k == 1 ? chain_rule(gy, db, b)    \
                        : chain_rule(gy, dc, c);   \
    }
#define SQ_OP(name, args, text)
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3

/* ---- Descriptors and constructors -------------------------------------------------------- */

/* Sample shapes of the generic tests; parameters 1/2 and 3/2. */
#define PARAMETERS .attr = { .p = { .5, 1.5 } }
#define SAMPLES(name, count, from, to)                                   \
    static const sq_sample name##_samples[] = {                          \
        { .n = count,                                                    \
          .lo = from,                                                    \
          .hi = to,                                                      \
          PARAMETERS,                                                    \
          .in = { { 2, { 3, 4 } }, { 2, { 3, 4 } }, { 2, { 3, 4 } } } }, \
        { .n = count,                                                    \
          .lo = from,                                                    \
          .hi = to,                                                      \
          PARAMETERS,                                                    \
          .in = { { 3, { 2, 3, 5 } }, { 1, { 5 } }, { 2, { 3, 1 } } } }, \
        { .n = 0 },                                                      \
    };
#define DESCRIPTOR(op, count, text) \
    const sq_op sq_op_##op = {      \
        .name = #op,                \
        .formula = text,            \
        .arity = count,             \
        .flags = SQ_ROWWISE,        \
        .row = SQI_MAP_##op,        \
        .shape = shape,             \
        .forward = forward,         \
        .vjp = vjp,                 \
        .jvp = jvp,                 \
        .adjoint = op##_adjoint,    \
        .samples = op##_samples,    \
    };
#define VALUES_1(a) a
#define VALUES_2(a, b) a, b
#define VALUES(...) SQI_PICK(__VA_ARGS__, VALUES_2, VALUES_1, 0)(__VA_ARGS__)

#define SQ_MAP1(name, f, d, lo, hi, text) \
    SAMPLES(name, 1, lo, hi)              \
    DESCRIPTOR(name, 1, text)             \
    sq_var sq_##name(sq_var x) { return sq_apply(&sq_op_##name, &x, 1, NULL); }
#define SQ_MAP1P(name, params, f, d, lo, hi, text)                                   \
    SAMPLES(name, 1, lo, hi)                                                         \
    DESCRIPTOR(name, 1, text)                                                        \
    sq_var sq_##name(sq_var x, SQI_PARAMS params)                                    \
    {                                                                                \
        return sq_apply(&sq_op_##name, &x, 1, &(sq_attr){ .p = { VALUES params } }); \
    }
#define SQ_MAP2(name, f, da, db, lo, hi, text)                       \
    SAMPLES(name, 2, lo, hi)                                         \
    DESCRIPTOR(name, 2, text)                                        \
    sq_var sq_##name(sq_var a, sq_var b)                             \
    {                                                                \
        return sq_apply(&sq_op_##name, (sq_var[]){ a, b }, 2, NULL); \
    }
#define SQ_MAP3(name, f, da, db, dc, lo, hi, text)                      \
    SAMPLES(name, 3, lo, hi)                                            \
    DESCRIPTOR(name, 3, text)                                           \
    sq_var sq_##name(sq_var a, sq_var b, sq_var c)                      \
    {                                                                   \
        return sq_apply(&sq_op_##name, (sq_var[]){ a, b, c }, 3, NULL); \
    }
#include "ops/ops.def"
