/* op_case.h -- one op at given shapes and attributes, called directly through its descriptor.
 *
 * Values cross as doubles; the op sees them in the precision asked for, at addresses aligned to
 * one element only, between guard bytes that must survive. What an op must set is handed over
 * full of NaN. Values are drawn away from kinks: from multiples of 1/2, where every kink of
 * ops.def lies, and from each other, so that no largest element is tied. */
#ifndef SQT_OP_CASE_H
#define SQT_OP_CASE_H

#include "tests/support/support.h"

#include "core/kernels/kernels.h"

enum { MOST = 3, GUARD = 64 };

typedef struct op_case {
    const sq_op *op;
    int32_t n;
    sq_shape xs[MOST], ys;
    sq_attr attr;
    double lo, hi;
    int64_t x_size[MOST], y_size;
    char label[256];
} op_case;

/* Asks the shape rule; false when the op refuses. */
static inline bool case_make(op_case *c, const sq_op *op, const sq_sample *s)
{
    *c = (op_case){ .op = op, .n = s->n, .attr = s->attr, .lo = s->lo, .hi = s->hi };
    int at = snprintf(c->label, sizeof c->label, "%s", op->name);
    for (int32_t k = 0; k < s->n; k++) {
        char text[SQ_SHAPE_TEXT];
        c->xs[k] = s->in[k];
        c->x_size[k] = sq_shape_size(s->in[k]);
        at += snprintf(c->label + at, sizeof c->label - (size_t)at, " %s",
                       sq_shape_text(s->in[k], text));
    }
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    bool ok = op->shape(t, c->n, c->xs, &c->attr, &c->ys);
    c->y_size = ok ? sq_shape_size(c->ys) : 0;
    sq_tape_free(t);
    return ok;
}

/* ---- Values ------------------------------------------------------------------------------ */

static inline double *doubles(int64_t n)
{
    double *v = calloc((size_t)n + 1, sizeof *v);
    cr_assert(v != NULL);
    return v;
}

static inline bool far_from_kinks(const op_case *c, double *const *x, int32_t k, int64_t i,
                                  double v)
{
    if (fabs(v - round(2 * v) / 2) < 1e-3) return false;
    for (int32_t q = 0; q <= k; q++)
        for (int64_t j = 0; j < (q < k ? c->x_size[q] : i); j++)
            if (fabs(v - x[q][j]) < 1e-3) return false;
    return true;
}

/* Fresh operands; free them with case_free. */
static inline void case_draw(const op_case *c, uint64_t seed, double *x[MOST])
{
    rng r = { seed };
    for (int32_t k = 0; k < MOST; k++) x[k] = doubles(k < c->n ? c->x_size[k] : 0);
    for (int32_t k = 0; k < c->n; k++)
        for (int64_t i = 0; i < c->x_size[k]; i++) do
                x[k][i] = (double)(float)rng_in(&r, c->lo, c->hi);
            while (!far_from_kinks(c, x, k, i, x[k][i]));
}

static inline void case_free(double *x[MOST])
{
    for (int32_t k = 0; k < MOST; k++) free(x[k]);
}

static inline double *drawn(int64_t n, uint64_t seed)
{
    double *v = doubles(n);
    fill(v, n, seed, -1, 1);
    return v;
}

static inline double inner(int64_t n, const double *a, const double *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* ---- Guarded memory of one precision ----------------------------------------------------- */

typedef struct block {
    unsigned char *memory, *at;
    size_t bytes;
    int64_t n;
    sq_dtype dtype;
} block;

/* NULL values: NaN. */
static inline block block_of(sq_dtype dtype, int64_t n, const double *values)
{
    block b = { .n = n, .dtype = dtype, .bytes = (size_t)n * sq_dtype_size(dtype) };
    b.memory = malloc(b.bytes + 2 * GUARD + sizeof(double));
    cr_assert(b.memory != NULL);
    memset(b.memory, 0xA5, b.bytes + 2 * GUARD + sizeof(double));
    b.at = b.memory + GUARD + sq_dtype_size(dtype);
    for (int64_t i = 0; i < n; i++) {
        double v = values ? values[i] : (double)NAN;
        float f = (float)v;
        if (dtype == SQ_F64) memcpy(b.at + i * 8, &v, 8);
        else memcpy(b.at + i * 4, &f, 4);
    }
    return b;
}

/* Copies the numbers out when `out` is given, looks at the guards, and frees. */
static inline void block_close(block b, double *out, const char *label)
{
    if (out && b.dtype == SQ_F64) memcpy(out, b.at, b.bytes);
    for (int64_t i = 0; out && b.dtype == SQ_F32 && i < b.n; i++) {
        float f;
        memcpy(&f, b.at + i * 4, 4);
        out[i] = (double)f;
    }
    bool whole = true;
    for (unsigned char *p = b.memory; p < b.at; p++) whole = whole && *p == 0xA5;
    for (unsigned char *p = b.at + b.bytes; p < b.at + b.bytes + GUARD; p++)
        whole = whole && *p == 0xA5;
    cr_expect(whole, "%s: wrote outside its operands", label);
    free(b.memory);
}

/* ---- Calls ------------------------------------------------------------------------------- */

typedef struct how {
    sq_dtype dtype;
    const sq_kernels *kern;
} how;

static inline how in_double(void) { return (how){ SQ_F64, sqi_kernels_select() }; }
static inline how in_float(void) { return (how){ SQ_F32, sqi_kernels_select() }; }

typedef struct opened {
    block x[MOST], y;
    const void *at[MOST];
} opened;

static inline sq_call case_open(const op_case *c, how h, double *const *x, opened *o)
{
    for (int32_t k = 0; k < c->n; k++) {
        o->x[k] = block_of(h.dtype, c->x_size[k], x[k]);
        o->at[k] = o->x[k].at;
    }
    o->y = block_of(h.dtype, c->y_size, NULL);
    sq_call call = { .op = c->op,
                     .n = c->n,
                     .dtype = h.dtype,
                     .xs = c->xs,
                     .ys = c->ys,
                     .attr = &c->attr,
                     .x = o->at,
                     .y = o->y.at,
                     .kern = h.kern };
    c->op->forward(&call);
    return call;
}

static inline void case_close(const op_case *c, opened *o, double *y)
{
    for (int32_t k = 0; k < c->n; k++) block_close(o->x[k], NULL, c->label);
    block_close(o->y, y, c->label);
}

/* y = f(x) */
static inline void evaluate(const op_case *c, how h, double *const *x, double *y)
{
    opened o;
    case_open(c, h, x, &o);
    case_close(c, &o, y);
}

/* gx += J_k^T gy */
static inline void pull(const op_case *c, how h, double *const *x, int32_t k, const double *gy,
                        double *gx)
{
    opened o;
    sq_call call = case_open(c, h, x, &o);
    block bgy = block_of(h.dtype, c->y_size, gy), bgx = block_of(h.dtype, c->x_size[k], gx);
    void *at[MOST] = { NULL };
    at[k] = bgx.at;
    call.gx = at;
    call.gy = bgy.at;
    c->op->vjp(&call, k);
    block_close(bgy, NULL, c->label);
    block_close(bgx, gx, c->label);
    case_close(c, &o, NULL);
}

/* dy += J_k dx */
static inline void push(const op_case *c, how h, double *const *x, int32_t k, const double *dx,
                        double *dy)
{
    opened o;
    sq_call call = case_open(c, h, x, &o);
    block bdx = block_of(h.dtype, c->x_size[k], dx), bdy = block_of(h.dtype, c->y_size, dy);
    const void *at[MOST] = { NULL };
    at[k] = bdx.at;
    call.dx = at;
    call.dy = bdy.at;
    c->op->jvp(&call, k);
    block_close(bdx, NULL, c->label);
    block_close(bdy, dy, c->label);
    case_close(c, &o, NULL);
}

/* ---- Every op at every shape ------------------------------------------------------------- */

static inline bool elementwise(const sq_op *op)
{
    return op->forward == sq_op_find("neg")->forward;
}

/* Shapes for elementwise ops beside their samples: sizes 0 and 1, primes, every rank. */
static inline int extra_samples(const sq_op *op, sq_sample *out)
{
    static const sq_shape shapes[][MOST] = {
        { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } },
        { { 1, { 1 } }, { 0, { 0 } }, { 1, { 1 } } },
        { { 2, { 0, 3 } }, { 1, { 3 } }, { 2, { 1, 1 } } },
        { { 1, { 37 } }, { 1, { 1 } }, { 1, { 37 } } },
        { { 4, { 2, 1, 3, 7 } }, { 4, { 1, 5, 3, 1 } }, { 3, { 5, 1, 1 } } },
    };
    if (!elementwise(op)) return 0;
    for (int i = 0; i < COUNT(shapes); i++) {
        out[i] = op->samples[0];
        memcpy(out[i].in, shapes[i], sizeof shapes[i]);
    }
    return COUNT(shapes);
}

typedef void case_visitor(const op_case *c, double *const *x);

static inline void visit(const sq_op *op, const sq_sample *s, case_visitor *visitor,
                         int *visited)
{
    op_case c;
    double *x[MOST];
    cr_assert(case_make(&c, op, s), "%s refuses its own sample", c.label);
    case_draw(&c, 1000u + (uint64_t)*visited, x);
    visitor(&c, x);
    case_free(x);
    ++*visited;
}

static inline void every_case(case_visitor *visitor)
{
    int visited = 0, ops = 0;
    for (const sq_op *const *op = sq_op_table(); *op; op++, ops++) {
        sq_sample extra[8];
        int n = extra_samples(*op, extra);
        for (const sq_sample *s = (*op)->samples; s->n; s++) visit(*op, s, visitor, &visited);
        for (int i = 0; i < n; i++) visit(*op, &extra[i], visitor, &visited);
    }
    cr_assert(ops > 50 && visited > 4 * ops, "only %d cases of %d ops", visited, ops);
}

#endif
