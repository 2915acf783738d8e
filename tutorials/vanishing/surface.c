/* surface.c -- read this file to learn how many independent problems share one tape.
 *
 * The rows of a batch never meet, so each row is a unit with weights of its own: w and b are
 * leaves [B,1], one row per point of the grid, and one reverse sweep from the sum of all errors
 * leaves dE/dw of every point in the gradient of w. The descent is the same unit with its w and b
 * in sq_params, where clipping and the optimizer find them. */
#include "surface.h"

#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <math.h>
#include <stdlib.h>

enum { STEPS = 50 };

static const double x_0 = .5, target = .7;

/* ---- The unit ---------------------------------------------------------------------------- */

typedef struct unit {
    sq_var w, b; /* [B,1] */
} unit;

/* x' = w sigmoid(x) + b */
static sq_var unit_step(sq_tape *t, const void *self, sq_var none, sq_var *x)
{
    const unit *u = self;
    (void)t, (void)none;
    return *x = sq_add(sq_mul(u->w, sq_sigmoid(*x)), u->b);
}

/* E = (sigmoid(x_50) - 0.7)^2 of every row, [B,1]. */
static sq_var error_of(sq_tape *t, const unit *u)
{
    static const char *const names[] = { "x" };
    static const int64_t width[] = { 1 };
    sq_cell cell = { "unit", 1, width, names, unit_step, u };
    sq_var start = sq_full(t, sq_shape_of(u->w), x_0);
    const sq_unrolled *run =
        sq_unroll(t, &cell, (sq_var){ 0 }, &start,
                  &(sq_unroll_options){ .steps = STEPS, .outputs = SQ_OUTPUTS_LAST });
    sq_var last = sq_unrolled_outputs(run);
    return sq_square(sq_add_scalar(sq_sigmoid(last), -target));
}

/* ---- The surface ------------------------------------------------------------------------- */

static double *numbers(int64_t n) { return take((size_t)n, sizeof(double)); }

surface surface_new(double w0, double dw, int64_t n_w, double b0, double db, int64_t n_b)
{
    int64_t n = n_w * n_b;
    surface s = { n_w, n_b, n, numbers(n), numbers(n), numbers(n), numbers(n), numbers(n) };
    for (int64_t i = 0; i < n; i++) {
        s.w[i] = w0 + dw * (double)(i % n_w);
        s.b[i] = b0 + db * (double)(i / n_w);
    }
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    unit u = { sq_leaf(t, sq_mat(n, 1), s.w), sq_leaf(t, sq_mat(n, 1), s.b) };
    sq_var errors = error_of(t, &u);
    if (sq_backward(sq_sum(errors)) || sq_copy(errors, s.error) || sq_grad_copy(u.w, s.by_w) ||
        sq_grad_copy(u.b, s.by_b))
        die("%s", sq_message(t));
    sq_tape_free(t);
    return s;
}

void surface_free(surface *s)
{
    free(s->w);
    free(s->b);
    free(s->error);
    free(s->by_w);
    free(s->by_b);
}

double surface_steepness(const surface *s, int64_t point)
{
    return hypot(s->by_w[point], s->by_b[point]);
}

int64_t surface_steepest(const surface *s)
{
    int64_t best = 0;
    for (int64_t i = 1; i < s->n; i++)
        if (surface_steepness(s, i) > surface_steepness(s, best)) best = i;
    return best;
}

/* ---- A descent --------------------------------------------------------------------------- */

/* Records the error at the present weights and sweeps back from it; takes down where that was. */
static void look(sq_tape *t, sq_weight w, sq_weight b, descent *d)
{
    sq_tape_reset(t);
    sq_zero_grads(t);
    unit u = { sq_use(t, w), sq_use(t, b) };
    sq_var error = sq_sum(error_of(t, &u));
    if (sq_backward(error)) die("%s", sq_message(t));
    d->w[d->updates] = sq_item(u.w);
    d->b[d->updates] = sq_item(u.b);
    d->error[d->updates] = sq_item(error);
    d->steepness[d->updates] = sq_grads_norm(t);
}

descent descend(double w, double b, double rate, double limit, int64_t updates)
{
    int64_t n = updates + 1;
    descent d = { 0, numbers(n), numbers(n), numbers(n), numbers(n) };
    sq_params *p = sq_params_new(SQ_F64);
    if (!p) die("out of memory");
    sq_weight w_ = sq_params_add(p, "w", sq_mat(1, 1)),
              b_ = sq_params_add(p, "b", sq_mat(1, 1));
    sq_init_constant(p, w_, w);
    sq_init_constant(p, b_, b);
    sq_optim *sgd = sq_optim_new(p, &(sq_optim_options){ .kind = SQ_SGD, .rate = rate });
    sq_tape *t = sq_tape_new(SQ_F64, p);
    if (!sgd) die("%s", sq_params_message(p));
    for (look(t, w_, b_, &d); d.updates < updates; look(t, w_, b_, &d)) {
        if (limit > 0 && sq_clip_norm(t, limit, NULL)) die("%s", sq_message(t));
        if (sq_optim_step(sgd, t)) die("%s", sq_message(t));
        d.updates++;
    }
    sq_tape_free(t);
    sq_optim_free(sgd);
    sq_params_free(p);
    return d;
}

void descent_free(descent *d)
{
    free(d->w);
    free(d->b);
    free(d->error);
    free(d->steepness);
}
