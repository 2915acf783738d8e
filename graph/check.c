/* check.c -- is this gradient right?
 *
 * A cell, an op and a function are all brought into one form, a problem: a scalar function of
 * arguments, which are leaves or weights. Every evaluation records it on a fresh tape, so that
 * random operations draw the same numbers each time: once with a reverse sweep, then twice for
 * every element of every argument, moved up and down. A cell is stepped by a plain loop, so
 * that this file trusts nothing above the tape. */
#include "graph/check.h"
#include "core/random.h"
#include "core/tape_impl.h"
#include "ops/ops.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Serials of the random streams: drawn values, and numbers that combine a result. */
enum { VALUES = 0x76616c, COMBINATION = 0x636f6d };

typedef struct argument {
    sq_shape shape;
    sq_weight weight; /* {0}: a leaf */
    int64_t step;     /* of x, else -1 */
    double *values;
    double *grad;
    char where[96];
} argument;

typedef struct problem {
    const char *name; /* begins every sentence; NULL: nothing does */
    sq_check_fn *f;
    void *context;
    sq_params *params; /* a clone of our own, or NULL */
    argument *args;    /* the leaves, then the weights */
    sq_var *leaves;
    int32_t n_leaves;
    int64_t n_args;
    sq_check_options options; /* defaults filled in */
    sq_check_result *result;
    sq_status status; /* what stopped the check */
} problem;

static void stop(problem *p, sq_status status, const char *fmt, ...) SQ_PRINTF(3, 4);

/* The first reason to stop is kept, as a sentence. */
static void stop(problem *p, sq_status status, const char *fmt, ...)
{
    sq_check_result *r = p->result;
    va_list args;
    if (p->status) return;
    p->status = status;
    int n = p->name ? snprintf(r->text, sizeof r->text, "%s: ", p->name) : 0;
    if (n < 0 || (size_t)n >= sizeof r->text) return;
    va_start(args, fmt);
    (void)vsnprintf(r->text + n, sizeof r->text - (size_t)n, fmt, args);
    va_end(args);
}

static double or_default(double value, double otherwise)
{
    return value == 0 ? otherwise : value;
}

/* Makes an empty problem with room for so many arguments. */
static void begin(problem *p, const char *name, const sq_check_options *options,
                  sq_check_result *result, int64_t n_args)
{
    *p = (problem){ .name = name, .result = result };
    *result = (sq_check_result){ .index = -1, .step = -1 };
    if (options) p->options = *options;
    p->options.tolerance = or_default(p->options.tolerance, 1e-7);
    p->options.epsilon = or_default(p->options.epsilon, 1e-5);
    if (!(p->options.tolerance > 0 && p->options.epsilon > 0))
        stop(p, SQ_EVALUE, "tolerance and epsilon must not be negative");
    if (n_args < 0 || n_args > INT32_MAX) {
        stop(p, SQ_ERANGE, "cannot check %" PRId64 " arguments", n_args);
        return;
    }
    p->args = calloc((size_t)n_args + 1, sizeof *p->args);
    p->leaves = calloc((size_t)n_args + 1, sizeof *p->leaves);
    if (!p->args || !p->leaves) stop(p, SQ_ENOMEM, "out of memory");
}

static void end(problem *p)
{
    for (int64_t k = 0; k < p->n_args; k++) free(p->args[k].values);
    free(p->args);
    free(p->leaves);
    sq_params_free(p->params);
}

static argument *add(problem *p, sq_shape shape, const char *fmt, ...) SQ_PRINTF(3, 4);

/* Adds an argument under a name, its values all 0. NULL once the check has been stopped. */
static argument *add(problem *p, sq_shape shape, const char *fmt, ...)
{
    char text[SQ_SHAPE_TEXT];
    va_list args;
    if (p->status) return NULL;
    argument *a = &p->args[p->n_args];
    *a = (argument){ .shape = shape, .step = -1 };
    va_start(args, fmt);
    (void)vsnprintf(a->where, sizeof a->where, fmt, args);
    va_end(args);
    if (!sq_shape_valid(shape)) {
        stop(p, SQ_ESHAPE, "%s cannot have the shape %s", a->where, sq_shape_text(shape, text));
        return NULL;
    }
    size_t n = (size_t)sq_shape_size(shape);
    if (n < SIZE_MAX / (2 * sizeof(double))) a->values = calloc(2 * n + 1, sizeof(double));
    if (!a->values) {
        stop(p, SQ_ENOMEM, "out of memory");
        return NULL;
    }
    a->grad = a->values + n;
    p->n_args++;
    return a;
}

/* Values of argument k: uniform in [lo, hi). */
static void draw(const problem *p, argument *a, double lo, double hi)
{
    sq_random r = sq_random_stream(p->options.seed, VALUES, 0, (uint64_t)(a - p->args));
    for (int64_t i = 0; i < sq_shape_size(a->shape); i++)
        a->values[i] = lo + (hi - lo) * sq_random_uniform(r, 0, (uint64_t)i);
}

/* The sum of y times fixed random numbers in [-1, 1): no element counts like another. */
static sq_var combine(sq_tape *t, sq_var y, uint64_t seed, uint64_t ordinal)
{
    sq_random r = sq_random_stream(seed, COMBINATION, 0, ordinal);
    sq_shape s = sq_shape_of(y);
    int64_t n = sq_shape_size(s);
    if (!sq_ok(y) || !sqi_begin(t, "check")) return sqi_none(t);
    double *numbers = calloc((size_t)n + 1, sizeof *numbers);
    if (!numbers) {
        (void)sq_post(t, SQ_ENOMEM, "out of memory");
        return sqi_none(t);
    }
    for (int64_t i = 0; i < n; i++) numbers[i] = 2 * sq_random_uniform(r, 0, (uint64_t)i) - 1;
    sq_var sum = sq_sum(sq_mul(y, sq_input_f64(t, s, numbers)));
    free(numbers);
    return sum;
}

/* ---- Evaluating ------------------------------------------------------------------------- */

static void read_gradients(const problem *p, sq_tape *t)
{
    for (int64_t k = 0; k < p->n_args; k++) {
        const argument *a = &p->args[k];
        if (k < p->n_leaves) (void)sq_grad_copy_f64(p->leaves[k], a->grad);
        else (void)sq_weight_grad_f64(t, a->weight, a->grad);
    }
}

/* The function at the present values; with `sweep`, its gradient into every args[k].grad. */
static double evaluate(problem *p, bool sweep)
{
    double value = 0;
    sq_tape *t = sq_tape_new(SQ_F64, p->params);
    for (int32_t k = 0; t && k < p->n_leaves; k++)
        p->leaves[k] = sq_leaf_f64(t, p->args[k].shape, p->args[k].values);
    if (!sq_tape_status(t)) {
        sq_var y = p->f(t, p->leaves, p->n_leaves, p->context);
        bool there = y.tape == t && sq_ok(y);
        sq_end_step(t);
        if (there && sq_shape_of(y).rank > 0) y = combine(t, y, p->options.seed, 0);
        value = there ? sq_item(y) : 0;
        if (there && sweep && isfinite(value) && !sq_backward(y)) read_gradients(p, t);
        if (!there && !sq_tape_status(t))
            stop(p, SQ_EVAR, "the function did not return a value of its tape");
    }
    if (sq_tape_status(t))
        stop(p, sq_tape_status(t), "%s", t ? sq_message(t) : "out of memory");
    sq_tape_free(t);
    return value;
}

/* Where an element is: "x at step 3, element 2". */
static const char *place(const argument *a, int64_t i, char *buf, size_t n)
{
    if (a->step < 0) (void)snprintf(buf, n, "%s, element %" PRId64, a->where, i);
    else
        (void)snprintf(buf, n, "%s at step %" PRId64 ", element %" PRId64, a->where, a->step,
                       i);
    return buf;
}

static void set(problem *p, const argument *a, int64_t i, double value)
{
    a->values[i] = value;
    if (a->weight.id && sq_weight_set_f64(p->params, a->weight, a->values))
        stop(p, sq_params_status(p->params), "%s", sq_params_message(p->params));
}

/* The function with one element moved. */
static double moved(problem *p, const argument *a, int64_t i, double value)
{
    char text[160];
    set(p, a, i, value);
    if (p->status) return 0;
    double y = evaluate(p, false);
    if (!isfinite(y))
        stop(p, SQ_ENONFINITE, "the result is %g when %s is %.17g", y,
             place(a, i, text, sizeof text), value);
    return y;
}

/* (f(x + e) - f(x - e)) / 2e, over the distance that is really there after rounding. */
static double difference(problem *p, const argument *a, int64_t i)
{
    double x = a->values[i], e = p->options.epsilon * fmax(1, fabs(x));
    double above = moved(p, a, i, x + e), below = moved(p, a, i, x - e);
    set(p, a, i, x);
    return (above - below) / ((x + e) - (x - e));
}

/* ---- Judging ---------------------------------------------------------------------------- */

/* Keeps the worst element, true when this is it; one that is not a number is worse than any. */
static bool judge(sq_check_result *r, const argument *a, int64_t i, double numeric)
{
    double analytic = a->grad[i];
    double error = fabs(analytic - numeric) / fmax(1, fmax(fabs(analytic), fabs(numeric)));
    if (isnan(error)) error = HUGE_VAL;
    if (r->elements++ > 0 && error <= r->worst) return false;
    r->worst = error;
    r->analytic = analytic;
    r->numeric = numeric;
    r->index = i;
    r->step = a->step;
    memcpy(r->where, a->where, sizeof r->where);
    return true;
}

/* The result as a sentence. */
static void tell(const problem *p, const argument *worst)
{
    sq_check_result *r = p->result;
    char text[160];
    const char *name = p->name ? p->name : "", *colon = p->name ? ": " : "";
    r->ok = r->worst <= p->options.tolerance;
    if (worst)
        (void)snprintf(r->text, sizeof r->text,
                       "%s%s%s: sweep %.9g, difference %.9g (worst of %" PRId64 ")", name,
                       colon, place(worst, r->index, text, sizeof text), r->analytic,
                       r->numeric, r->elements);
    else
        (void)snprintf(r->text, sizeof r->text, "%s%sthere is nothing to compare", name, colon);
}

/* Checks what has been set up, and ends it. */
static sq_status run(problem *p)
{
    const argument *worst = NULL;
    double y = p->status ? 0 : evaluate(p, true);
    if (!isfinite(y)) stop(p, SQ_ENONFINITE, "the result is %g", y);
    for (int64_t k = 0; !p->status && k < p->n_args; k++) {
        const argument *a = &p->args[k];
        for (int64_t i = 0; !p->status && i < sq_shape_size(a->shape); i++) {
            double numeric = difference(p, a, i);
            if (!p->status && judge(p->result, a, i, numeric)) worst = a;
        }
    }
    if (!p->status) tell(p, worst);
    end(p);
    return p->status;
}

/* ---- Functions and ops ------------------------------------------------------------------ */

sq_status sq_check_function(sq_check_fn *f, void *context, const sq_shape *shapes,
                            const double *const *values, int32_t n,
                            const sq_check_options *options, sq_check_result *result)
{
    problem p;
    begin(&p, NULL, options, result, n);
    p.f = f;
    p.context = context;
    p.n_leaves = n;
    for (int32_t k = 0; k < n; k++) {
        argument *a = add(&p, shapes[k], "operand %d", (int)k + 1);
        int64_t size = a ? sq_shape_size(a->shape) : 0;
        if (size > 0) memcpy(a->values, values[k], (size_t)size * sizeof(double));
    }
    return run(&p);
}

typedef struct op_call {
    const sq_op *op;
    const sq_attr *attr;
} op_call;

static sq_var call_op(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    const op_call *c = context;
    (void)t;
    return sq_apply(c->op, x, n, c->attr);
}

sq_status sq_check_op(const sq_op *op, const sq_sample *sample, const sq_check_options *options,
                      sq_check_result *result)
{
    op_call call = { op, &sample->attr };
    problem p;
    begin(&p, op->name, options, result, sample->n);
    p.f = call_op;
    p.context = &call;
    p.n_leaves = sample->n;
    for (int32_t k = 0; k < sample->n; k++) {
        argument *a = add(&p, sample->in[k], "operand %d", (int)k + 1);
        if (a) draw(&p, a, sample->lo, sample->hi);
    }
    return run(&p);
}

/* ---- Cells ------------------------------------------------------------------------------ */

typedef struct cell_run {
    const sq_cell *cell;
    int64_t steps;
    uint64_t seed;
    sq_var *state; /* room for n_states */
} cell_run;

/* L = sum_t <y_t, a_t> + sum_k <s_k, b_k>, with y_t the outputs, s_k the last states, and a, b
 * fixed random numbers. x: the inputs of all steps, then the initial states. */
static sq_var run_cell(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    const cell_run *c = context;
    for (int32_t k = 0; k < c->cell->n_states; k++) c->state[k] = x[c->steps + k];
    sq_var loss = sq_zeros(t, sq_scalar());
    for (int64_t i = 0; i < c->steps; i++) {
        sq_begin_step(t);
        sq_var y = c->cell->step(t, c->cell->self, x[i], c->state);
        loss = sq_add(loss, combine(t, y, c->seed, (uint64_t)i));
    }
    sq_end_step(t);
    for (int32_t k = 0; k < c->cell->n_states; k++)
        loss = sq_add(loss, combine(t, c->state[k], c->seed, (uint64_t)(c->steps + k)));
    (void)n;
    return loss;
}

static void add_leaves(problem *p, const cell_run *c, int64_t batch, int64_t in)
{
    for (int64_t i = 0; i < c->steps; i++) {
        argument *a = add(p, sq_mat(batch, in), "x");
        if (a) {
            a->step = i;
            draw(p, a, -1, 1);
        }
    }
    for (int32_t k = 0; k < c->cell->n_states; k++) {
        sq_shape s = sq_mat(batch, c->cell->width[k]);
        const char *name = c->cell->state_names ? c->cell->state_names[k] : NULL;
        argument *a = name ? add(p, s, "state %s", name) : add(p, s, "state %d", (int)k);
        if (a) draw(p, a, -1, 1);
    }
}

/* Every weight of the clone; a frozen one too, for its derivative exists all the same. */
static void add_weights(problem *p, const sq_params *params)
{
    if (!params || p->status) return;
    p->params = sq_params_clone(params, SQ_F64);
    if (!p->params) stop(p, SQ_ENOMEM, "out of memory");
    for (int32_t id = 1; !p->status && id <= sq_params_count(p->params); id++) {
        sq_weight w = { id };
        argument *a =
            add(p, sq_weight_shape(p->params, w), "weight %s", sq_weight_name(p->params, w));
        if (!a) return;
        a->weight = w;
        if (sq_weight_set_frozen(p->params, w, false) ||
            sq_weight_get_f64(p->params, w, a->values))
            stop(p, SQ_ENOMEM, "out of memory");
    }
}

sq_status sq_check_cell(const sq_cell *cell, const sq_params *params, int64_t steps,
                        int64_t batch, int64_t in, const sq_check_options *options,
                        sq_check_result *result)
{
    cell_run c = { .cell = cell, .steps = steps };
    bool sane = steps >= 0 && steps < INT32_MAX && batch >= 0 && in >= 0;
    int64_t n_leaves = sane ? steps + cell->n_states : 0;
    problem p;
    begin(&p, cell->name, options, result, n_leaves + (params ? sq_params_count(params) : 0));
    if (!sane)
        stop(&p, SQ_ERANGE,
             "steps, batch and in are out of range: %" PRId64 ", %" PRId64 ", %" PRId64, steps,
             batch, in);
    if (params && sq_params_status(params))
        stop(&p, sq_params_status(params), "%s", sq_params_message(params));
    c.seed = p.options.seed;
    c.state = calloc((size_t)cell->n_states + 1, sizeof *c.state);
    if (!c.state) stop(&p, SQ_ENOMEM, "out of memory");
    if (!p.status) add_leaves(&p, &c, batch, in);
    p.f = run_cell;
    p.context = &c;
    p.n_leaves = (int32_t)n_leaves;
    add_weights(&p, params);
    sq_status status = run(&p);
    free(c.state);
    return status;
}
