/* dropout.c -- the ops that take random numbers: dropout (Srivastava, Hinton, Krizhevsky, Sutskever,
 * Salakhutdinov 2014; one mask per sequence: Gal, Ghahramani 2016) and noise.
 *
 *     op       attributes             y                     derivative
 *     dropout  p[0] rate, draw.when   x m / (1 - rate)      the same op, on gy
 *     noise    p[0] sigma             x + sigma n           gy
 *
 * Both are linear in x, so nothing is kept for the sweep: the mask is a function of its place and is
 * made again. */
#include "ops/random_kernels.h"

#include <math.h>
#include <string.h>

static bool same_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                       sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

/* Rows are those of the batch where there are at least two axes. */
static int64_t rows_of(sq_shape s) { return s.rank > 1 ? s.dim[0] : 1; }

/* ---- dropout ----------------------------------------------------------------------------- */

static bool dropout_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    double rate = attr->p[0];
    if (!(rate >= 0 && rate < 1))
        return sq_post(t, SQ_ERANGE, "the rate must lie in [0,1), it is %g", rate);
    return same_shape(t, n, in, attr, out);
}

static void mask(const sq_call *c, const void *x, void *y, bool add)
{
#define SQI_ROW(name) sqi_mask_##name,
    static sqi_mask_kernel *const *const table[SQI_N_ISAS] = { SQI_ISAS(SQI_ROW) };
#undef SQI_ROW
    double rate = c->attr->p[0];
    int64_t size = sq_shape_size(c->ys), rows = rows_of(c->ys);
    if (size == 0) return;
    table[c->kern->isa][c->dtype](&(sqi_masking){ .stream = c->attr->draw.stream,
                                                  .row = c->row,
                                                  .rows = rows,
                                                  .cols = size / rows,
                                                  .threshold = (uint32_t)(rate * 0x1p32),
                                                  .scale = 1 / (1 - rate),
                                                  .x = x,
                                                  .y = y,
                                                  .add = add });
}

static void dropout_forward(const sq_call *c)
{
    size_t bytes = (size_t)sq_shape_size(c->ys) * sq_dtype_size(c->dtype);
    if (c->attr->p[0] > 0) mask(c, c->x[0], c->y, false);
    else if (bytes) memcpy(c->y, c->x[0], bytes);
}

/* out += in m / (1 - rate) */
static void dropout_add(const sq_call *c, const void *in, void *out)
{
    if (c->attr->p[0] > 0) mask(c, in, out, true);
    else sqi_add_to(c, sq_shape_size(c->ys), in, out);
}

static void dropout_vjp(const sq_call *c, int32_t k) { dropout_add(c, c->gy, c->gx[k]); }
static void dropout_jvp(const sq_call *c, int32_t k) { dropout_add(c, c->dx[k], c->dy); }

static sq_var dropout_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    (void)x, (void)y, (void)k;
    return sq_apply(&sq_op_dropout, &gy, 1, attr);
}

sq_var sq_dropout(sq_var x, double rate, sq_drawn when)
{
    if (when == SQ_PER_STEP || when == SQ_PER_SEQUENCE)
        return sq_apply(&sq_op_dropout, &x, 1,
                        &(sq_attr){ .p = { rate }, .draw = { .when = when } });
    sq_shape s;
    if (sqi_compose("dropout", x, &s))
        sq_post(x.tape, SQ_EVALUE, "the mask is SQ_PER_STEP or SQ_PER_SEQUENCE, not %d",
                (int)when);
    return (sq_var){ x.tape, 0 };
}

/* ---- noise ------------------------------------------------------------------------------- */

static bool noise_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                        sq_shape *out)
{
    double sigma = attr->p[0];
    if (!(sigma >= 0 && isfinite(sigma)))
        return sq_post(t, SQ_ERANGE, "sigma must be finite and not negative, it is %g", sigma);
    return same_shape(t, n, in, attr, out);
}

static void noise_forward(const sq_call *c)
{
    int64_t size = sq_shape_size(c->ys), rows = rows_of(c->ys);
    int64_t cols = size ? size / rows : 0;
    for (int64_t i = 0; i < size; i++) {
        uint64_t row = (uint64_t)(c->row + i / cols), col = (uint64_t)(i % cols);
        double n = c->attr->p[0] * sq_random_normal(c->attr->draw.stream, row, col);
        if (c->dtype == SQ_F32) ((float *)c->y)[i] = ((const float *)c->x[0])[i] + (float)n;
        else ((double *)c->y)[i] = ((const double *)c->x[0])[i] + n;
    }
}

static void noise_vjp(const sq_call *c, int32_t k)
{
    sqi_add_to(c, sq_shape_size(c->ys), c->gy, c->gx[k]);
}

static void noise_jvp(const sq_call *c, int32_t k)
{
    sqi_add_to(c, sq_shape_size(c->ys), c->dx[k], c->dy);
}

static sq_var noise_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                            int32_t k)
{
    (void)x, (void)y, (void)attr, (void)k;
    return gy;
}

sq_var sq_noise(sq_var x, double sigma)
{
    return sq_apply(&sq_op_noise, &x, 1, &(sq_attr){ .p = { sigma } });
}

/* ---- Descriptors ------------------------------------------------------------------------- */

#define STREAM(a, b) .draw = { .when = SQ_AS_GIVEN, .stream = { { a, b } } }
#define SAMPLE(p0, ...)                                                                        \
    {                                                                                          \
        .n = 1, .lo = -3, .hi = 3, .in = { __VA_ARGS__ }, .attr = {.p = { p0 }, STREAM(1, 2) } \
    }

static const sq_sample dropout_samples[] = {
    SAMPLE(.5, { 2, { 3, 19 } }),   SAMPLE(.1, { 1, { 5 } }),
    SAMPLE(.9, { 3, { 2, 7, 3 } }), SAMPLE(0, { 2, { 3, 4 } }),
    SAMPLE(.25, { 2, { 2, 70 } }),  SAMPLE(.5, { 4, { 21, 1, 1, 1 } }),
    SAMPLE(.5, { 0, { 0 } }),       SAMPLE(.5, { 2, { 0, 4 } }),
    SAMPLE(.5, { 2, { 4, 0 } }),    { .n = 0 },
};

static const sq_sample noise_samples[] = {
    SAMPLE(.5, { 2, { 3, 19 } }),
    SAMPLE(2, { 1, { 5 } }),
    SAMPLE(1e-3, { 3, { 2, 7, 3 } }),
    SAMPLE(0, { 2, { 3, 4 } }),
    SAMPLE(.5, { 2, { 0, 4 } }),
    SAMPLE(.5, { 2, { 4, 0 } }),
    { .n = 0 },
};

const sq_op sq_op_dropout = {
    .name = "dropout",
    .formula = "y = x m / (1 - rate), m = 1 with probability 1 - rate, else 0",
    .arity = 1,
    .flags = SQ_ROWWISE | SQ_RANDOM | SQ_LINEAR,
    .shape = dropout_shape,
    .forward = dropout_forward,
    .vjp = dropout_vjp,
    .jvp = dropout_jvp,
    .adjoint = dropout_adjoint,
    .samples = dropout_samples,
};

const sq_op sq_op_noise = {
    .name = "noise",
    .formula = "y = x + sigma n, n normal",
    .arity = 1,
    .flags = SQ_ROWWISE | SQ_RANDOM | SQ_LINEAR,
    .shape = noise_shape,
    .forward = noise_forward,
    .vjp = noise_vjp,
    .jvp = noise_jvp,
    .adjoint = noise_adjoint,
    .samples = noise_samples,
};
