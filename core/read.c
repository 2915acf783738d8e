/* read.c -- values and gradients out of the tape. Every function checks its handle, posts what
 * is wrong with it, and then answers NaN, NULL or the status. */
#include "core/norm_impl.h"
#include "core/tape_impl.h"

#include <math.h>
#include <string.h>

bool sq_ok(sq_var v) { return v.tape && !v.tape->error.status && sqi_node_find(v.tape, v.id); }

static sq_status status_of(sq_var v) { return v.tape ? v.tape->error.status : SQ_EVAR; }

static const sqi_node *node_for(sq_var v, const char *doing)
{
    return sqi_begin(v.tape, doing) ? sqi_node_of(v.tape, v, "the variable") : NULL;
}

sq_shape sq_shape_of(sq_var v)
{
    const sqi_node *n = node_for(v, "shape_of");
    return n ? n->shape : sq_scalar();
}

const char *sq_name_of(sq_var v)
{
    const sqi_node *n = node_for(v, "name_of");
    return n && n->name ? n->name : "";
}

/* ---- Values ------------------------------------------------------------------------------ */

/* The same, with its value computed. */
static const sqi_node *valued(sq_var v, const char *doing)
{
    const sqi_node *n = node_for(v, doing);
    if (!n || !sqi_trace_compute(v.tape, "reads a value")) return NULL;
    return n->value || sqi_value_ready(v.tape, v.id, sqi_node_find(v.tape, v.id)) ? n : NULL;
}

/* NULL stands for zeros. */
static void to_f32(const sq_tape *t, int64_t n, const void *from, float *out)
{
    if (from) t->kern->of[t->dtype].to_f32(n, from, out);
    else if (n) memset(out, 0, (size_t)n * sizeof *out);
}

static void to_f64(const sq_tape *t, int64_t n, const void *from, double *out)
{
    if (from) t->kern->of[t->dtype].to_f64(n, from, out);
    else if (n) memset(out, 0, (size_t)n * sizeof *out);
}

static double norm(const sq_tape *t, int64_t n, const void *from)
{
    return from ? sqi_norm(t->kern, t->dtype, n, from) : 0;
}

/* The one element at `from`, or NaN after posting when there are more or fewer. */
static double item(sq_tape *t, sq_shape shape, const void *from)
{
    double x = (double)NAN;
    char text[SQ_SHAPE_TEXT];
    if (sq_shape_size(shape) == 1) to_f64(t, 1, from, &x);
    else
        sq_post(t, SQ_ESHAPE, "the variable has shape %s, not one element",
                sq_shape_text(shape, text));
    return x;
}

static bool has_room(sq_tape *t, const sqi_node *n, const void *out)
{
    return out || !sq_shape_size(n->shape) ||
           sq_post(t, SQ_EVALUE, "the array to copy into is NULL");
}

double sq_item(sq_var v)
{
    const sqi_node *n = valued(v, "item");
    return n ? item(v.tape, n->shape, n->value) : (double)NAN;
}

sq_status sq_copy_f32(sq_var v, float *out)
{
    const sqi_node *n = valued(v, "copy");
    if (n && has_room(v.tape, n, out)) to_f32(v.tape, sq_shape_size(n->shape), n->value, out);
    return status_of(v);
}

sq_status sq_copy_f64(sq_var v, double *out)
{
    const sqi_node *n = valued(v, "copy");
    if (n && has_room(v.tape, n, out)) to_f64(v.tape, sq_shape_size(n->shape), n->value, out);
    return status_of(v);
}

static const void *view(sq_var v, sq_dtype dtype)
{
    const sqi_node *n = valued(v, "view");
    if (!n) return NULL;
    if (v.tape->dtype == dtype) return n->value;
    sq_post(v.tape, SQ_EDTYPE, "the tape holds %s, not %s", sq_dtype_name(v.tape->dtype),
            sq_dtype_name(dtype));
    return NULL;
}

const float *sq_view_f32(sq_var v) { return view(v, SQ_F32); }
const double *sq_view_f64(sq_var v) { return view(v, SQ_F64); }

double sq_norm(sq_var v)
{
    const sqi_node *n = valued(v, "norm");
    return n ? norm(v.tape, sq_shape_size(n->shape), n->value) : (double)NAN;
}

/* ---- Gradients --------------------------------------------------------------------------- */

static bool grads_valid(sq_tape *t)
{
    return !t->grads_invalid ||
           sq_post(t, SQ_EGRAD,
                   "a sweep failed, so the gradients of weights and leaves are invalid: "
                   "call sq_zero_grads and sweep again");
}

static void *weight_grads(sq_tape *t, sq_weight w)
{
    return (char *)t->grads + (size_t)sq_weight_offset(t->params, w) * sq_dtype_size(t->dtype);
}

static bool post_no_gradient(sq_tape *t, const sqi_node *n)
{
    if (n->op == &sqi_op_use)
        return sq_post(t, SQ_EGRAD, "weight %s is frozen: it has no gradient", n->name);
    if (n->op == &sqi_op_constant)
        return sq_post(t, SQ_EGRAD, "a constant has no gradient: make it with sq_leaf");
    return sq_post(t, SQ_EGRAD,
                   "no leaf and no weight reaches this variable: it has no gradient");
}

static const sqi_node *graded(sq_var v)
{
    const sqi_node *n = node_for(v, "grad");
    return n && sqi_has_gradients(v.tape) && sqi_trace_compute(v.tape, "reads a gradient")
               ? n
               : NULL;
}

/* The same as grad_of for a part of a span. */
static bool grad_of_part(sq_var v, const sqi_node *n, const void **at)
{
    const sqi_span *span = sqi_segment_find(v.tape, sqi_ordinal(v.id))->span;
    bool kept = true;
    *at = span->grad(span, v.tape, SQI_LANE_USER, (int32_t)n->source, sqi_part_step(n), &kept);
    return kept || sq_post(v.tape, SQ_EGRAD, "the gradient of this variable was not kept: %s",
                           span->unkept ? span->unkept
                                        : "take it with sq_unrolled_named before the sweep");
}

/* Finds the gradient of v in *at, NULL for zeros; false after posting. */
static bool grad_of(sq_var v, const sqi_node *n, const void **at)
{
    sq_tape *t = v.tape;
    const sqi_slot *slot = &n->grad[SQI_LANE_USER];
    *at = NULL;
    if (!(n->flags & SQI_NEEDS)) return post_no_gradient(t, n);
    if (n->op == &sqi_op_use) {
        *at = weight_grads(t, (sq_weight){ (int32_t)n->source });
        return grads_valid(t);
    }
    if (n->op == &sqi_op_leaf) {
        if (slot->stamp == t->zeroing) *at = slot->at;
        return grads_valid(t);
    }
    if (!t->swept) return sq_post(t, SQ_EGRAD, "no sweep has been made yet: call sq_backward");
    if (n->op == &sqi_op_part) return grad_of_part(v, n, at);
    bool touched = slot->stamp == t->sweep[SQI_LANE_USER];
    bool tail = sqi_ordinal(v.id) == t->tail_ordinal;
    bool kept = n->flags & SQI_KEEP && !(n->flags & SQI_SUMMED);
    if (!tail && (!kept || (touched && !slot->owned)))
        return sq_post(
            t, SQ_EGRAD,
            "the gradient of this variable was not kept: mark it with sq_keep_grad before the "
            "sweep");
    if (touched) *at = slot->at;
    return true;
}

double sq_grad_item(sq_var v)
{
    const sqi_node *n = graded(v);
    const void *g;
    return n && grad_of(v, n, &g) ? item(v.tape, n->shape, g) : (double)NAN;
}

sq_status sq_grad_copy_f32(sq_var v, float *out)
{
    const sqi_node *n = graded(v);
    const void *g;
    if (n && has_room(v.tape, n, out) && grad_of(v, n, &g))
        to_f32(v.tape, sq_shape_size(n->shape), g, out);
    return status_of(v);
}

sq_status sq_grad_copy_f64(sq_var v, double *out)
{
    const sqi_node *n = graded(v);
    const void *g;
    if (n && has_room(v.tape, n, out) && grad_of(v, n, &g))
        to_f64(v.tape, sq_shape_size(n->shape), g, out);
    return status_of(v);
}

double sq_grad_norm(sq_var v)
{
    const sqi_node *n = graded(v);
    const void *g;
    return n && grad_of(v, n, &g) ? norm(v.tape, sq_shape_size(n->shape), g) : (double)NAN;
}

void *sq_grads(sq_tape *t)
{
    if (!sqi_begin(t, "grads") || !sqi_has_gradients(t) ||
        !sqi_trace_compute(t, "reads a gradient"))
        return NULL;
    if (!t->params) return sq_post(t, SQ_EWEIGHT, "the tape was made without params"), NULL;
    return grads_valid(t) && sqi_grads_ready(t) ? t->grads : NULL;
}

/* The gradient of one weight and its size; NULL after posting. */
static const void *one_weight(sq_tape *t, sq_weight w, const void *out, int64_t *n)
{
    if (!sq_grads(t)) return NULL;
    if (!sqi_weight_known(t->params, w))
        return sq_post(t, SQ_EWEIGHT, "the params have no weight %d", (int)w.id), NULL;
    *n = sq_shape_size(sq_weight_shape(t->params, w));
    if (*n && !out) return sq_post(t, SQ_EVALUE, "the array to copy into is NULL"), NULL;
    return weight_grads(t, w);
}

sq_status sq_weight_grad_f32(sq_tape *t, sq_weight w, float *out)
{
    int64_t n;
    const void *g = one_weight(t, w, out, &n);
    if (g) to_f32(t, n, g, out);
    return sq_tape_status(t);
}

sq_status sq_weight_grad_f64(sq_tape *t, sq_weight w, double *out)
{
    int64_t n;
    const void *g = one_weight(t, w, out, &n);
    if (g) to_f64(t, n, g, out);
    return sq_tape_status(t);
}
