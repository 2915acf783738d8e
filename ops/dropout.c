/* dropout.c -- the ops that take random numbers: dropout (Srivastava, Hinton, Krizhevsky, Sutskever,
 * Salakhutdinov 2014; one mask per sequence: Gal, Ghahramani 2016), zoneout (Krueger, Maharaj, Kramar,
 * Pezeshki, Ballas, Ke, Goyal, Bengio, Courville, Pal 2017) and noise.
 *
 *     op       attributes             y                     derivative
 *     dropout  p[0] rate, draw.when   x m / (1 - rate)      the same op, on gy
 *     zoneout  p[0] rate              m old + (1 - m) next  m gy and (1 - m) gy
 *     noise    p[0] sigma             x + sigma n           gy
 *
 * All are linear, so nothing is kept for the sweep: the mask is a function of its place and is
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

static bool check_rate(sq_tape *t, double rate)
{
    return (rate >= 0 && rate < 1) ||
           sq_post(t, SQ_ERANGE, "the rate must lie in [0,1), it is %g", rate);
}

static bool dropout_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    return check_rate(t, attr->p[0]) && same_shape(t, n, in, attr, out);
}

/* Runs the loop for m->x and m->y under the words of the call. */
static void mask(const sq_call *c, sqi_masking m)
{
#define SQI_ROW(name) sqi_mask_##name,
    static sqi_mask_kernel *const *const table[SQI_N_ISAS] = { SQI_ISAS(SQI_ROW) };
#undef SQI_ROW
    int64_t size = sq_shape_size(c->ys);
    if (size == 0) return;
    m.stream = c->attr->draw.stream;
    m.row = c->row;
    m.rows = rows_of(c->ys);
    m.cols = size / m.rows;
    m.threshold = (uint32_t)(c->attr->p[0] * 0x1p32);
    table[c->kern->isa][c->dtype](&m);
}

static sqi_masking scaled(const sq_call *c, const void *x, void *y, bool add)
{
    return (sqi_masking){ .scale = 1 / (1 - c->attr->p[0]), .x = x, .y = y, .add = add };
}

static void dropout_forward(const sq_call *c)
{
    size_t bytes = (size_t)sq_shape_size(c->ys) * sq_dtype_size(c->dtype);
    if (c->attr->p[0] > 0) mask(c, scaled(c, c->x[0], c->y, false));
    else if (bytes) memcpy(c->y, c->x[0], bytes);
}

/* out += in m / (1 - rate) */
static void dropout_add(const sq_call *c, const void *in, void *out)
{
    if (c->attr->p[0] > 0) mask(c, scaled(c, in, out, true));
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

/* ---- zoneout ----------------------------------------------------------------------------- */

static bool zoneout_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (!sq_shape_equal(in[0], in[1]))
        return sq_post(t, SQ_ESHAPE, "shapes differ: %s and %s", sq_shape_text(in[0], a),
                       sq_shape_text(in[1], b));
    return check_rate(t, attr->p[0]) && same_shape(t, n, in, attr, out);
}

/* The old value stays below the threshold. */
static void zoneout_forward(const sq_call *c)
{
    mask(c, (sqi_masking){ .x = c->x[1], .other = c->x[0], .y = c->y });
}

static void zoneout_add(const sq_call *c, int32_t k, const void *in, void *out)
{
    mask(c, (sqi_masking){ .scale = 1, .x = in, .y = out, .add = true, .below = k == 0 });
}

static void zoneout_vjp(const sq_call *c, int32_t k) { zoneout_add(c, k, c->gy, c->gx[k]); }
static void zoneout_jvp(const sq_call *c, int32_t k) { zoneout_add(c, k, c->dx[k], c->dy); }

static sq_var zoneout_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    sq_var zero = sq_zeros(gy.tape, sq_shape_of(gy));
    (void)x, (void)y;
    return sq_apply(&sq_op_zoneout, k == 0 ? (sq_var[]){ gy, zero } : (sq_var[]){ zero, gy }, 2,
                    attr);
}

/* What evaluation computes is no op of its own: a plan fuses it. */
sq_var sq_zoneout(sq_var old, sq_var next, double rate, bool training)
{
    sq_tape *t = old.tape ? old.tape : next.tape;
    sq_shape s;
    if (training)
        return sq_apply(&sq_op_zoneout, (sq_var[]){ old, next }, 2,
                        &(sq_attr){ .p = { rate } });
    if (!sqi_compose_pair("zoneout", old, next, &s) || !check_rate(t, rate))
        return (sq_var){ t, 0 };
    return sq_add(sq_mul_scalar(old, rate), sq_mul_scalar(next, 1 - rate));
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

#define PAIR(p0, ...)                                                                    \
    {                                                                                    \
        .n = 2, .lo = -3, .hi = 3, .in = { { __VA_ARGS__ }, { __VA_ARGS__ } }, .attr = { \
            .p = { p0 },                                                                 \
            STREAM(1, 2)                                                                 \
        }                                                                                \
    }

static const sq_sample zoneout_samples[] = {
    PAIR(.5, 2, { 3, 19 }), PAIR(.1, 1, { 5 }),      PAIR(.9, 3, { 2, 7, 3 }),
    PAIR(0, 2, { 3, 4 }),   PAIR(.25, 2, { 2, 70 }), PAIR(.5, 0, { 0 }),
    PAIR(.5, 2, { 0, 4 }),  PAIR(.5, 2, { 4, 0 }),   { .n = 0 },
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

const sq_op sq_op_zoneout = {
    .name = "zoneout",
    .formula = "y = m old + (1 - m) next, m = 1 with probability rate, else 0",
    .arity = 2,
    .flags = SQ_ROWWISE | SQ_RANDOM | SQ_LINEAR,
    .shape = zoneout_shape,
    .forward = zoneout_forward,
    .vjp = zoneout_vjp,
    .jvp = zoneout_jvp,
    .adjoint = zoneout_adjoint,
    .samples = zoneout_samples,
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
