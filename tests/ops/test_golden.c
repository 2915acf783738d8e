/* test_golden.c -- every op against PyTorch: value, and gradients from the same seed gradient.
 *
 * The numbers are those of tests/golden/ops.h, in float64; float runs from the same numbers
 * rounded. */
#include "tests/support/support.h"

#include "tests/golden/ops.h"

enum { MOST_NUMBERS = 256 };

/* max|a-b| <= tol max|b| over the tensor. */
static void expect_close(const double *got, const double *want, int64_t n, double tol,
                         const char *what, const golden_op *g)
{
    double error = 0, scale = 0;
    for (int64_t i = 0; i < n; i++) {
        error = fmax(error, isfinite(got[i]) ? fabs(got[i] - want[i]) : (double)INFINITY);
        scale = fmax(scale, fabs(want[i]));
    }
    cr_expect(error <= tol * scale, "%s (case %d): %s differs by %g of %g", g->name,
              (int)(g - golden_ops), what, error, scale);
}

/* What is not a row of the table but composed of rows. */
static sq_var hinge(const sq_var *x, const sq_attr *a)
{
    return sq_hinge(x[0], x[1], (sq_reduction)a->k[0]);
}
static sq_var hinge_max(const sq_var *x, const sq_attr *a)
{
    return sq_hinge_max(x[0], a->ids, a->mask, (sq_reduction)a->k[0]);
}
static sq_var hinge_all(const sq_var *x, const sq_attr *a)
{
    return sq_hinge_all(x[0], a->ids, a->mask, (sq_reduction)a->k[0]);
}
static sq_var bernoulli_nll(const sq_var *x, const sq_attr *a)
{
    return sq_bernoulli_nll(x[0], x[1], a->mask, (sq_reduction)a->k[0]);
}

static const struct {
    const char *name;
    sq_var (*of)(const sq_var *x, const sq_attr *attr);
} composed[] = {
    { "hinge", hinge },
    { "hinge_max", hinge_max },
    { "hinge_all", hinge_all },
    { "bernoulli_nll", bernoulli_nll },
};

static sq_var compute(const golden_op *g, const sq_var *x)
{
    const sq_op *op = sq_op_find(g->name);
    if (op) return sq_apply(op, x, g->n, &g->attr);
    for (int i = 0; i < COUNT(composed); i++)
        if (strcmp(composed[i].name, g->name) == 0) return composed[i].of(x, &g->attr);
    cr_assert(false, "%s is unknown", g->name);
    return x[0];
}

static void check(const golden_op *g, sq_dtype dtype, double tol)
{
    double got[MOST_NUMBERS];
    sq_tape *t = sq_tape_new(dtype, NULL);
    sq_var x[3];
    for (int32_t k = 0; k < g->n; k++) {
        cr_assert(sq_shape_size(g->in[k]) <= MOST_NUMBERS);
        x[k] = sq_leaf(t, g->in[k], g->x[k]);
    }
    sq_var y = compute(g, x);
    cr_assert(sq_ok(y), "%s: %s", g->name, sq_message(t));
    cr_assert(sq_shape_equal(sq_shape_of(y), g->out), "%s", g->name);
    cr_assert(sq_copy(y, got) == SQ_OK);
    expect_close(got, g->y, sq_shape_size(g->out), tol, "the value", g);
    cr_assert(sq_backward_from(y, g->gy) == SQ_OK, "%s", sq_message(t));
    for (int32_t k = 0; k < g->n; k++) {
        cr_assert(sq_grad_copy(x[k], got) == SQ_OK);
        expect_close(got, g->gx[k], sq_shape_size(g->in[k]), tol, "a gradient", g);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(golden, double_agrees_with_pytorch)
{
    for (int i = 0; i < COUNT(golden_ops); i++) check(&golden_ops[i], SQ_F64, 1e-10);
}

Test(golden, float_agrees_with_pytorch_in_double)
{
    for (int i = 0; i < COUNT(golden_ops); i++) check(&golden_ops[i], SQ_F32, 1e-5);
}

/* Random numbers are nobody else's: test_dropout.c has their formula. */
Test(golden, no_op_is_left_out)
{
    for (const sq_op *const *op = sq_op_table(); *op; op++) {
        int cases = (*op)->flags & SQ_RANDOM ? 1 : 0;
        for (int i = 0; i < COUNT(golden_ops); i++)
            cases += strcmp(golden_ops[i].name, (*op)->name) == 0;
        cr_expect(cases > 0, "%s has no golden value", (*op)->name);
    }
}
