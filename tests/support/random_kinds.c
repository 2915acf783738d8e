/* random_kinds.c -- how each kind of node of a random cell is recorded, and how it reads.
 *
 * Elementwise ops come from ops.def itself, so that a new row is drawn without a change here. The
 * three own ops stand for a user's: one elementwise, one that reads a whole row and a vector
 * (both promise SQ_ROWWISE), one that subtracts the mean over the batch and promises nothing. */
#include "tests/support/random_cell.h"

/* ---- The elementwise tables --------------------------------------------------------------- */

#define ARGS_1(a) p[0]
#define ARGS_2(a, b) p[0], p[1]
#define ARGS(...) SQI_PICK(__VA_ARGS__, ARGS_2, ARGS_1, 0)(__VA_ARGS__)
#define NOTHING

#define SQ_MAP1(name, y, d, lo, hi, text)
#define SQ_MAP1P(name, params, y, d, lo, hi, text) \
    static sq_var call_##name(sq_var x, const double *p) { return sq_##name(x, ARGS params); }
#define SQ_MAP2(name, y, da, db, lo, hi, text)
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text)
#define SQ_OP(name, args, text)
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3

#define SQ_MAP1(name, y, d, lo, hi, text) { #name, sq_##name, NULL, NULL, NULL, lo, hi },
#define SQ_MAP1P(name, params, y, d, lo, hi, text)
#define SQ_MAP2(name, y, da, db, lo, hi, text)
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text)
const rc_map rc_maps1[] = {
#include "ops/ops.def"
};
#undef SQ_MAP1
#undef SQ_MAP1P

#define SQ_MAP1(name, y, d, lo, hi, text)
#define SQ_MAP1P(name, params, y, d, lo, hi, text) \
    { #name, NULL, call_##name, NULL, NULL, lo, hi },
const rc_map rc_maps1p[] = {
#include "ops/ops.def"
};
#undef SQ_MAP1P
#undef SQ_MAP2

#define SQ_MAP1P(name, params, y, d, lo, hi, text)
#define SQ_MAP2(name, y, da, db, lo, hi, text) { #name, NULL, NULL, sq_##name, NULL, lo, hi },
const rc_map rc_maps2[] = {
#include "ops/ops.def"
};
#undef SQ_MAP2
#undef SQ_MAP3

#define SQ_MAP2(name, y, da, db, lo, hi, text)
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text) \
    { #name, NULL, NULL, NULL, sq_##name, lo, hi },
const rc_map rc_maps3[] = {
#include "ops/ops.def"
};
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP

const int rc_n_maps1 = COUNT(rc_maps1), rc_n_maps1p = COUNT(rc_maps1p),
          rc_n_maps2 = COUNT(rc_maps2), rc_n_maps3 = COUNT(rc_maps3);

/* ---- A user's own ops --------------------------------------------------------------------- */

static double get(const void *v, sq_dtype dtype, int64_t i)
{
    return dtype == SQ_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
}

static void put(void *v, sq_dtype dtype, int64_t i, double x, bool add)
{
    if (dtype == SQ_F32) ((float *)v)[i] = (float)((add ? (double)((float *)v)[i] : 0) + x);
    else ((double *)v)[i] = (add ? ((double *)v)[i] : 0) + x;
}

static bool shape_of_first(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                           sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

/* y = x - c x^3, the number c being bytes of the op's own. */
static double cubic_factor(const sq_call *c)
{
    double f;
    memcpy(&f, c->attr->user, sizeof f);
    return f;
}

static void cubic_forward(const sq_call *c)
{
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) {
        double x = get(c->x[0], c->dtype, i);
        put(c->y, c->dtype, i, x - cubic_factor(c) * x * x * x, false);
    }
}

static void cubic_vjp(const sq_call *c, int32_t k)
{
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) {
        double x = get(c->x[0], c->dtype, i), g = get(c->gy, c->dtype, i);
        put(c->gx[k], c->dtype, i, g * (1 - 3 * cubic_factor(c) * x * x), true);
    }
}

static const sq_op own_cubic = { .name = "own_cubic",
                                 .formula = "y = x - c x^3",
                                 .arity = 1,
                                 .flags = SQ_ROWWISE,
                                 .shape = shape_of_first,
                                 .forward = cubic_forward,
                                 .vjp = cubic_vjp };

/* y[b,j] = x[b,j] s_b, s_b = sum_i x[b,i] v[i]. */
static double row_scale(const sq_call *c, int64_t b, int64_t w)
{
    double s = 0;
    for (int64_t i = 0; i < w; i++)
        s += get(c->x[0], c->dtype, b * w + i) * get(c->x[1], c->dtype, i);
    return s;
}

static void scale_forward(const sq_call *c)
{
    int64_t w = c->ys.dim[1];
    for (int64_t b = 0; b < c->ys.dim[0]; b++) {
        double s = row_scale(c, b, w);
        for (int64_t j = 0; j < w; j++)
            put(c->y, c->dtype, b * w + j, s * get(c->x[0], c->dtype, b * w + j), false);
    }
}

static void scale_vjp(const sq_call *c, int32_t k)
{
    int64_t w = c->ys.dim[1];
    for (int64_t b = 0; b < c->ys.dim[0]; b++) {
        double s = row_scale(c, b, w), gs = 0;
        for (int64_t j = 0; j < w; j++)
            gs += get(c->gy, c->dtype, b * w + j) * get(c->x[0], c->dtype, b * w + j);
        for (int64_t j = 0; j < w; j++) {
            double x = get(c->x[0], c->dtype, b * w + j), v = get(c->x[1], c->dtype, j);
            if (k == 1) put(c->gx[1], c->dtype, j, gs * x, true);
            else
                put(c->gx[0], c->dtype, b * w + j, s * get(c->gy, c->dtype, b * w + j) + gs * v,
                    true);
        }
    }
}

static const sq_op own_scale = { .name = "own_scale",
                                 .formula = "y = x (x v)",
                                 .arity = 2,
                                 .flags = SQ_ROWWISE,
                                 .shape = shape_of_first,
                                 .forward = scale_forward,
                                 .vjp = scale_vjp };

/* to = or += from - mean of from over the batch, column by column: its own transpose. */
static void centre(const sq_call *c, const void *from, void *to, bool add)
{
    int64_t rows = c->ys.dim[0], w = c->ys.dim[1];
    for (int64_t j = 0; j < w; j++) {
        double mean = 0;
        for (int64_t b = 0; b < rows; b++)
            mean += get(from, c->dtype, b * w + j) / (double)rows;
        for (int64_t b = 0; b < rows; b++)
            put(to, c->dtype, b * w + j, get(from, c->dtype, b * w + j) - mean, add);
    }
}

static void centre_forward(const sq_call *c) { centre(c, c->x[0], c->y, false); }
static void centre_vjp(const sq_call *c, int32_t k) { centre(c, c->gy, c->gx[k], true); }

static const sq_op own_centre = { .name = "own_centre",
                                  .formula = "y = x - mean of x over the batch",
                                  .arity = 1,
                                  .shape = shape_of_first,
                                  .forward = centre_forward,
                                  .vjp = centre_vjp };

/* ---- Recording ---------------------------------------------------------------------------- */

sq_shape rc_real_shape(sq_shape s, int64_t batch)
{
    for (int i = 0; i < s.rank; i++)
        if (s.dim[i] == RC_BATCH) s.dim[i] = batch;
    return s;
}

#define V(i) c->v[n->in[i]]
#define SHAPE rc_real_shape(n->shape, c->batch)
#define KIND(kind, shown, expression)                                                         \
    static sq_var record_##kind(const rc_context *c, const rc_node *n) { return expression; } \
    const rc_kind rc_##kind = { shown, record_##kind };

static sq_var joined(const rc_context *c, const rc_node *n,
                     sq_var (*f)(const sq_var *, int, int))
{
    sq_var v[3];
    for (int i = 0; i < n->n_in; i++) v[i] = V(i);
    return f(v, n->n_in, n->k[0]);
}

static sq_var stacked(const sq_var *v, int n, int axis)
{
    (void)axis;
    return sq_stack(v, n);
}

static sq_var swapped(sq_var x, bool rank3)
{
    return sq_permute(x, rank3 ? (const int[]){ 0, 2, 1 } : (const int[]){ 1, 0 });
}

static sq_var own(const sq_op *op, const rc_context *c, const rc_node *n)
{
    sq_var v[2] = { V(0), n->n_in > 1 ? V(1) : V(0) };
    const sq_attr attr = { .user = n->p, .user_size = sizeof n->p };
    return sq_apply(op, v, n->n_in, &attr);
}

KIND(x, "x", ((void)n, c->x))
KIND(state, "state", c->state[n->row])
KIND(weight, "weight", sq_use(c->t, (sq_weight){ n->row + 1 }))
KIND(invariant, "invariant", c->bound->invariant[n->row])
KIND(map1, NULL, rc_maps1[n->row].f1(V(0)))
KIND(map1p, NULL, rc_maps1p[n->row].f1p(V(0), n->p))
KIND(map2, NULL, rc_maps2[n->row].f2(V(0), V(1)))
KIND(map3, NULL, rc_maps3[n->row].f3(V(0), V(1), V(2)))
KIND(matmul, "matmul", sq_matmul(V(0), V(1)))
KIND(matmul_nt, "matmul_nt", sq_matmul_nt(V(0), V(1)))
KIND(matmul_tn, "matmul_tn", sq_matmul_tn(V(0), V(1)))
KIND(affine, "affine", sq_affine(V(0), V(1), V(2)))
KIND(concat, "concat", joined(c, n, sq_concat))
KIND(stack, "stack", joined(c, n, stacked))
KIND(slice, "slice", sq_slice(V(0), n->p[0] != 0 ? -1 : 1, n->k[0], n->k[1]))
KIND(pad, "pad", sq_pad(V(0), 1, n->k[0], n->k[1]))
KIND(sum_axis, "sum_axis", sq_sum_axis(V(0), n->k[0]))
KIND(sum_to, "sum_to", sq_sum_to(V(0), SHAPE))
KIND(broadcast, "broadcast_to", sq_broadcast_to(V(0), SHAPE))
KIND(softmax, "softmax", sq_softmax(V(0), n->k[0]))
KIND(log_softmax, "log_softmax", sq_log_softmax(V(0), n->k[0]))
KIND(max_axis, "max_axis", sq_max_axis(V(0), n->k[0]))
KIND(max_share, "max_share", sq_max_share(V(0), n->k[0]))
KIND(reshape, "reshape", sq_reshape(V(0), SHAPE))
KIND(swap_last, "permute", swapped(V(0), true))
KIND(transpose, "transpose", swapped(V(0), false))
KIND(detach, "detach", sq_detach(V(0)))
KIND(full, "full", sq_full(c->t, SHAPE, n->p[0]))
KIND(constant, "constant", sq_constant(c->t, n->p[0]))
KIND(sum, "sum", sq_sum(V(0)))
KIND(squared_error, "squared_error", sq_squared_error(V(0), V(1), SQ_SUM))
KIND(bce, "bce_logits", sq_bce_logits(V(0), V(1), SQ_SUM))
KIND(own_cubic, "own_cubic", own(&own_cubic, c, n))
KIND(own_scale, "own_scale", own(&own_scale, c, n))
KIND(own_centre, "own_centre", own(&own_centre, c, n))
KIND(layer_norm, "layer_norm", sq_layer_norm(V(0), n->p[0]))
KIND(dropout, "dropout", sq_dropout(V(0), n->p[0], (sq_drawn)n->k[0]))
KIND(noise, "noise", sq_noise(V(0), n->p[0]))

/* ---- Reading ------------------------------------------------------------------------------ */

static const char *node_title(const rc_node *n)
{
    return n->kind == &rc_map1    ? rc_maps1[n->row].name
           : n->kind == &rc_map1p ? rc_maps1p[n->row].name
           : n->kind == &rc_map2  ? rc_maps2[n->row].name
           : n->kind == &rc_map3  ? rc_maps3[n->row].name
                                  : n->kind->name;
}

void rc_node_text(const random_cell *c, int i, char *buf, size_t size)
{
    const rc_node *n = &c->node[i];
    int at = snprintf(buf, size, "%s", node_title(n));
    if (n->n_in == 0 && n->kind != &rc_x)
        at += snprintf(buf + at, size - (size_t)at, " %d", n->row);
    for (int k = 0; k < n->n_in; k++)
        at += snprintf(buf + at, size - (size_t)at, "%sv%d", k ? ", " : "(", n->in[k]);
    if (n->n_in) at += snprintf(buf + at, size - (size_t)at, ")");
    if (n->k[0] || n->k[1])
        at += snprintf(buf + at, size - (size_t)at, " k=%d,%d", n->k[0], n->k[1]);
    if (n->p[0] != 0 || n->p[1] != 0)
        at += snprintf(buf + at, size - (size_t)at, " p=%g,%g", n->p[0], n->p[1]);
    if (n->kind == &rc_weight && c->weight[n->row].frozen)
        snprintf(buf + at, size - (size_t)at, " frozen");
}
