/* test_every_op.c -- the laws every op obeys, over the whole table at all sample shapes.
 *
 * Nothing here knows a particular op. Reverse mode is compared with central differences,
 * forward mode with reverse mode, the recorded derivative with both, the second derivative with
 * differences of the first, float with double, one instruction set with another. */
#include "tests/ops/op_case.h"

/* f'(0) of f(e) by the fourth-order rule: (8 (f(e) - f(-e)) - (f(2e) - f(-2e))) / 12e. */
static const double EPSILON = 1e-4;
static const double POINT[4] = { 1, -1, 2, -2 }, WEIGHT[4] = { 8, -8, -1, 1 };

/* ---- The laws of a call ------------------------------------------------------------------ */

static void check_adding(const op_case *c, double *const *x)
{
    how h = in_double();
    for (int32_t k = 0; k < c->n; k++) {
        int64_t n = c->x_size[k];
        double *gy = drawn(c->y_size, 7), *dx = drawn(n, 8);
        double *g = doubles(n), *g_before = drawn(n, 9), *g_after = drawn(n, 9);
        double *d = doubles(c->y_size), *d_before = drawn(c->y_size, 5);
        double *d_after = drawn(c->y_size, 5);
        pull(c, h, x, k, gy, g);
        pull(c, h, x, k, gy, g_after);
        push(c, h, x, k, dx, d);
        push(c, h, x, k, dx, d_after);
        for (int64_t i = 0; i < n; i++) g[i] += g_before[i];
        for (int64_t i = 0; i < c->y_size; i++) d[i] += d_before[i];
        EXPECT_ALL_NEAR(g_after, g, n, 1e-14, c->label);
        EXPECT_ALL_NEAR(d_after, d, c->y_size, 1e-14, c->label);
        free(gy), free(dx), free(g), free(g_before), free(g_after);
        free(d), free(d_before), free(d_after);
    }
}

Test(laws, derivatives_add) { every_case(check_adding); }

static void check_setting(const op_case *c, double *const *x)
{
    double *y = doubles(c->y_size), *again = doubles(c->y_size);
    evaluate(c, in_double(), x, y); /* into NaN */
    evaluate(c, in_double(), x, again);
    for (int64_t i = 0; i < c->y_size; i++) cr_expect(isfinite(y[i]), "%s: not set", c->label);
    EXPECT_SAME_BITS(y, again, (size_t)c->y_size * sizeof *y, c->label);
    free(y), free(again);
}

Test(laws, forward_sets) { every_case(check_setting); }

/* ---- First derivatives ------------------------------------------------------------------- */

static double phi(const op_case *c, double *const *x, const double *u)
{
    double *y = doubles(c->y_size);
    evaluate(c, in_double(), x, y);
    double sum = inner(c->y_size, y, u);
    free(y);
    return sum;
}

static void check_reverse(const op_case *c, double *const *x)
{
    double *u = drawn(c->y_size, 11);
    for (int32_t k = 0; k < c->n; k++) {
        double *g = doubles(c->x_size[k]);
        pull(c, in_double(), x, k, u, g);
        for (int64_t i = 0; i < c->x_size[k]; i++) {
            double at = x[k][i], numeric = 0;
            for (int p = 0; p < 4; p++) {
                x[k][i] = at + POINT[p] * EPSILON;
                numeric += WEIGHT[p] * phi(c, x, u) / (12 * EPSILON);
            }
            x[k][i] = at;
            double scale = fmax(1, fmax(fabs(g[i]), fabs(numeric)));
            cr_expect(fabs(g[i] - numeric) <= 1e-7 * scale,
                      "%s: operand %d element %lld: %.12g by reverse, %.12g by differences",
                      c->label, (int)k + 1, (long long)i, g[i], numeric);
        }
        free(g);
    }
    free(u);
}

Test(first_derivative, reverse_mode_agrees_with_differences) { every_case(check_reverse); }

/* <u, J v> = <J^T u, v> */
static void check_transpose(const op_case *c, double *const *x)
{
    double *u = drawn(c->y_size, 11);
    for (int32_t k = 0; k < c->n; k++) {
        double *v = drawn(c->x_size[k], 12), *g = doubles(c->x_size[k]);
        double *d = doubles(c->y_size);
        pull(c, in_double(), x, k, u, g);
        push(c, in_double(), x, k, v, d);
        EXPECT_NEAR(inner(c->y_size, u, d), inner(c->x_size[k], g, v), 1e-12, c->label);
        free(v), free(g), free(d);
    }
    free(u);
}

Test(first_derivative, forward_mode_is_the_transpose) { every_case(check_transpose); }

/* ---- On a tape --------------------------------------------------------------------------- */

typedef struct recorded {
    sq_tape *t;
    sq_var x[MOST], u, y, phi;
} recorded;

/* phi = <u, y>, everything a leaf. */
static recorded record(const op_case *c, double *const *x, const double *u)
{
    recorded r = { .t = sq_tape_new(SQ_F64, NULL) };
    for (int32_t k = 0; k < c->n; k++) r.x[k] = sq_leaf(r.t, c->xs[k], x[k]);
    r.u = sq_leaf(r.t, c->ys, u);
    r.y = sq_apply(c->op, r.x, c->n, &c->attr);
    r.phi = sq_sum(sq_mul(r.y, r.u));
    cr_assert(sq_ok(r.phi), "%s", sq_message(r.t));
    return r;
}

static void expect_values(sq_var v, const double *want, int64_t n, double tol,
                          const char *label)
{
    double *got = doubles(n);
    cr_assert(sq_copy(v, got) == SQ_OK, "%s: %s", label, sq_message(v.tape));
    EXPECT_ALL_NEAR(got, want, n, tol, label);
    free(got);
}

static void expect_grad(sq_var v, const double *want, int64_t n, double tol, const char *label)
{
    double *got = doubles(n);
    cr_assert(sq_grad_copy(v, got) == SQ_OK, "%s: %s", label, sq_message(v.tape));
    EXPECT_ALL_NEAR(got, want, n, tol, label);
    free(got);
}

static void derive(sq_var y, const sq_var *x, sq_var *g, int32_t n, const char *label)
{
    cr_assert(sq_derive(y, x, g, n) == SQ_OK, "%s: %s", label, sq_message(y.tape));
    for (int32_t k = 0; k < n; k++)
        cr_expect(sq_shape_equal(sq_shape_of(g[k]), sq_shape_of(x[k])), "%s", label);
}

/* The direct call, the reverse sweep and the recorded sweep: value and first derivative. */
static void check_recorded(const op_case *c, double *const *x)
{
    double *u = drawn(c->y_size, 11), *y = doubles(c->y_size);
    recorded r = record(c, x, u);
    sq_var g[MOST];
    evaluate(c, in_double(), x, y);
    expect_values(r.y, y, c->y_size, 0, c->label);
    derive(r.phi, r.x, g, c->n, c->label);
    BACKWARD(r.phi);
    for (int32_t k = 0; k < c->n; k++) {
        double *want = doubles(c->x_size[k]);
        pull(c, in_double(), x, k, u, want);
        expect_grad(r.x[k], want, c->x_size[k], 1e-13, c->label);
        expect_values(g[k], want, c->x_size[k], 1e-12, c->label);
        free(want);
    }
    expect_grad(r.u, y, c->y_size, 1e-13, c->label);
    EXPECT_SOUND(r.t);
    sq_tape_free(r.t);
    free(u), free(y);
}

Test(first_derivative, recorded_and_swept_agree_with_the_direct_call)
{
    every_case(check_recorded);
}

/* ---- Second derivatives, and beyond ------------------------------------------------------ */

/* sum over operands of <v_k, g_k> */
static sq_var along(const op_case *c, sq_tape *t, const sq_var *g, double *const *v)
{
    sq_var s = sq_zeros(t, sq_scalar());
    for (int32_t k = 0; k < c->n; k++)
        s = sq_add(s, sq_sum(sq_mul(g[k], sq_input(t, c->xs[k], v[k]))));
    return s;
}

/* d/de of J_k(x + e v)^T u at e = 0. */
static void difference_of_pulls(const op_case *c, double *const *x, double *const *v, int32_t k,
                                const double *u, double *out)
{
    double *at[MOST], *g = doubles(c->x_size[k]);
    for (int32_t q = 0; q < MOST; q++) at[q] = doubles(q < c->n ? c->x_size[q] : 0);
    for (int p = 0; p < 4; p++) {
        for (int32_t q = 0; q < c->n; q++)
            for (int64_t i = 0; i < c->x_size[q]; i++)
                at[q][i] = x[q][i] + POINT[p] * EPSILON * v[q][i];
        memset(g, 0, (size_t)c->x_size[k] * sizeof *g);
        pull(c, in_double(), at, k, u, g);
        for (int64_t i = 0; i < c->x_size[k]; i++) out[i] += WEIGHT[p] * g[i] / (12 * EPSILON);
    }
    case_free(at);
    free(g);
}

/* s = <v, gradient of phi>: its derivative by x is the Hessian times v, by u it is J v. The
 * reverse sweep through the recorded derivative gives the same; and so once more. */
static void check_second(const op_case *c, double *const *x)
{
    double *u = drawn(c->y_size, 11), *v[MOST], *jv = doubles(c->y_size);
    for (int32_t k = 0; k < MOST; k++)
        v[k] = drawn(k < c->n ? c->x_size[k] : 0, 20u + (uint64_t)k);
    recorded r = record(c, x, u);
    sq_var g[MOST], h[MOST + 1], of[MOST + 1], third[MOST];
    derive(r.phi, r.x, g, c->n, c->label);
    sq_var s = along(c, r.t, g, v);
    memcpy(of, r.x, sizeof r.x);
    of[c->n] = r.u;
    derive(s, of, h, c->n + 1, c->label);
    BACKWARD(s);
    for (int32_t k = 0; k < c->n; k++) {
        double *numeric = doubles(c->x_size[k]), *got = doubles(c->x_size[k]);
        difference_of_pulls(c, x, v, k, u, numeric);
        expect_values(h[k], numeric, c->x_size[k], 1e-7, c->label);
        cr_assert(sq_copy(h[k], got) == SQ_OK);
        expect_grad(r.x[k], got, c->x_size[k], 1e-12, c->label);
        push(c, in_double(), x, k, v[k], jv);
        free(numeric), free(got);
    }
    expect_values(h[c->n], jv, c->y_size, 1e-12, c->label);

    sq_var w = along(c, r.t, h, v);
    derive(w, r.x, third, c->n, c->label);
    sq_zero_grads(r.t);
    BACKWARD(w);
    for (int32_t k = 0; k < c->n; k++) {
        double *got = doubles(c->x_size[k]);
        cr_assert(sq_copy(third[k], got) == SQ_OK);
        expect_grad(r.x[k], got, c->x_size[k], 1e-11, c->label);
        free(got);
    }
    EXPECT_SOUND(r.t);
    sq_tape_free(r.t);
    case_free(v);
    free(u), free(jv);
}

Test(second_derivative, agrees_with_differences_of_the_first) { every_case(check_second); }

/* ---- Precisions, instruction sets, compositions ------------------------------------------ */

static void check_float(const op_case *c, double *const *x)
{
    double *u = drawn(c->y_size, 11), *yd = doubles(c->y_size), *yf = doubles(c->y_size);
    evaluate(c, in_double(), x, yd);
    evaluate(c, in_float(), x, yf);
    EXPECT_ALL_NEAR(yf, yd, c->y_size, 2e-6, c->label);
    for (int32_t k = 0; k < c->n; k++) {
        double *gd = doubles(c->x_size[k]), *gf = doubles(c->x_size[k]);
        double *v = drawn(c->x_size[k], 12), *dd = doubles(c->y_size), *df = doubles(c->y_size);
        pull(c, in_double(), x, k, u, gd);
        pull(c, in_float(), x, k, u, gf);
        push(c, in_double(), x, k, v, dd);
        push(c, in_float(), x, k, v, df);
        EXPECT_ALL_NEAR(gf, gd, c->x_size[k], 2e-6, c->label);
        EXPECT_ALL_NEAR(df, dd, c->y_size, 2e-6, c->label);
        free(gd), free(gf), free(v), free(dd), free(df);
    }
    free(u), free(yd), free(yf);
}

Test(precision, float_agrees_with_double) { every_case(check_float); }

static void check_sets(const op_case *c, double *const *x)
{
    static const char *const names[] = { "base", "avx2", "avx512" };
    static const char *const products[] = { "matmul", "affine", "bmm" };
    for (int i = 0; i < COUNT(products); i++)
        if (strncmp(c->op->name, products[i], strlen(products[i])) == 0) return;
    for (int d = 0; d < 2; d++)
        for (int i = 1; i < COUNT(names); i++) {
            how base = { d ? SQ_F64 : SQ_F32, sqi_kernels_named("base") };
            how set = { base.dtype, sqi_kernels_named(names[i]) };
            if (!set.kern) continue;
            double *a = doubles(c->y_size), *b = doubles(c->y_size), *u = drawn(c->y_size, 11);
            evaluate(c, base, x, a);
            evaluate(c, set, x, b);
            EXPECT_SAME_BITS(a, b, (size_t)c->y_size * sizeof *a, c->label);
            for (int32_t k = 0; k < c->n; k++) {
                double *ga = doubles(c->x_size[k]), *gb = doubles(c->x_size[k]);
                pull(c, base, x, k, u, ga);
                pull(c, set, x, k, u, gb);
                EXPECT_SAME_BITS(ga, gb, (size_t)c->x_size[k] * sizeof *ga, c->label);
                free(ga), free(gb);
            }
            free(a), free(b), free(u);
        }
}

/* Products aside (their tables may fuse), an op's bits do not depend on the processor. */
Test(precision, every_instruction_set_gives_the_same_bits) { every_case(check_sets); }

static int compared;

static void check_means(const op_case *c, double *const *x)
{
    if (!c->op->means) return;
    compared++;
    double *y = doubles(c->y_size), *u = drawn(c->y_size, 11);
    recorded r = record(c, x, u);
    sq_var z = c->op->means(r.x, &c->attr), g[MOST];
    cr_assert(sq_ok(z), "%s: %s", c->label, sq_message(r.t));
    cr_expect(sq_shape_equal(sq_shape_of(z), c->ys), "%s", c->label);
    evaluate(c, in_double(), x, y);
    expect_values(z, y, c->y_size, 1e-13, c->label);
    derive(sq_sum(sq_mul(z, r.u)), r.x, g, c->n, c->label);
    for (int32_t k = 0; k < c->n; k++) {
        double *want = doubles(c->x_size[k]);
        pull(c, in_double(), x, k, u, want);
        expect_values(g[k], want, c->x_size[k], 1e-12, c->label);
        free(want);
    }
    sq_tape_free(r.t);
    free(y), free(u);
}

Test(composition, a_fused_op_equals_what_it_means)
{
    every_case(check_means);
    cr_expect(compared >= 20, "only %d cases", compared);
}

/* ---- The table --------------------------------------------------------------------------- */

Test(table, every_row_is_complete_and_found_by_name)
{
    for (const sq_op *const *p = sq_op_table(); *p; p++) {
        const sq_op *op = *p;
        cr_assert(op->name && op->formula && op->shape && op->forward && op->vjp && op->jvp);
        cr_expect(op->adjoint && op->samples, "%s", op->name);
        cr_expect(op->formula[0] != '\0' && op->arity != 0, "%s", op->name);
        bool is_view = op->flags & SQ_VIEW, has_view = op->view != NULL;
        cr_expect(is_view == has_view, "%s", op->name);
        cr_expect(sq_op_find(op->name) == op, "%s is there twice", op->name);
        int shapes = 0;
        for (const sq_sample *s = op->samples; s->n; s++) {
            shapes++;
            cr_expect(op->arity < 0 || s->n == op->arity, "%s", op->name);
            cr_expect(s->lo < s->hi, "%s", op->name);
        }
        cr_expect(shapes >= 2, "%s has %d samples", op->name, shapes);
    }
    cr_expect(sq_op_find("no such op") == NULL);
    cr_expect(sq_op_find("") == NULL);
    cr_expect(sq_op_find(NULL) == NULL);
}
