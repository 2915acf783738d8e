/* A user's own primitive, y = x^3, written with the public header alone: its value, its gradient
 * 3x^2 by the reverse sweep, 6x by differentiating the recorded sweep, and the library's own
 * check of an op. In float and in double. */
#include <seqgrad/seqgrad.h>

#include <math.h>
#include <stdio.h>

enum { N = 5 };

static bool cube_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                       sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

static double get(const void *v, sq_dtype dtype, int64_t i)
{
    return dtype == SQ_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
}

/* v[i] = or += x */
static void put(void *v, sq_dtype dtype, int64_t i, double x, bool add)
{
    if (dtype == SQ_F32) {
        float *f = (float *)v + i;
        *f = (float)((add ? (double)*f : 0) + x);
    } else {
        double *d = (double *)v + i;
        *d = (add ? *d : 0) + x;
    }
}

static void cube_forward(const sq_call *c)
{
    int64_t n = sq_shape_size(c->ys);
    for (int64_t i = 0; i < n; i++) {
        double x = get(c->x[0], c->dtype, i);
        put(c->y, c->dtype, i, x * x * x, false);
    }
}

/* to += 3x^2 from: the derivative is diagonal, so vjp and jvp are one function. */
static void cube_derivative(const sq_call *c, void *to, const void *from)
{
    int64_t n = sq_shape_size(c->ys);
    for (int64_t i = 0; i < n; i++) {
        double x = get(c->x[0], c->dtype, i);
        put(to, c->dtype, i, 3 * x * x * get(from, c->dtype, i), true);
    }
}

static void cube_vjp(const sq_call *c, int32_t k) { cube_derivative(c, c->gx[k], c->gy); }
static void cube_jvp(const sq_call *c, int32_t k) { cube_derivative(c, c->dy, c->dx[k]); }

static sq_var cube_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k)
{
    (void)y, (void)attr, (void)k;
    return sq_mul(gy, sq_mul_scalar(sq_square(x[0]), 3));
}

static const sq_op cube = {
    .name = "cube",
    .formula = "y = x^3",
    .arity = 1,
    .flags = SQ_ROWWISE,
    .shape = cube_shape,
    .forward = cube_forward,
    .vjp = cube_vjp,
    .jvp = cube_jvp,
    .adjoint = cube_adjoint,
};

static const double points[N] = { -2, -0.5, 0, 1, 1.5 };

/* |got[i] - factor x^power| <= tolerance for all i; says so otherwise. */
static int differs(const char *what, const double *got, double factor, int power,
                   double tolerance)
{
    int bad = 0;
    for (int i = 0; i < N; i++) {
        double want = factor * pow(points[i], power);
        if (fabs(got[i] - want) <= tolerance) continue;
        bad = 1;
        printf("own_op: %s at x = %g: got %.17g, want %.17g\n", what, points[i], got[i], want);
    }
    return bad;
}

/* y, dy/dx and d2y/dx2 on a tape of this precision. */
static int gradients(sq_dtype dtype)
{
    double tolerance = dtype == SQ_F32 ? 1e-5 : 1e-13, value[N] = { 0 }, first[N] = { 0 },
           second[N] = { 0 };
    sq_tape *t = sq_tape_new(dtype, NULL);
    sq_var x = sq_leaf(t, sq_vec(N), points), y = sq_apply(&cube, &x, 1, NULL), gx;
    int bad = sq_backward(sq_sum(y)) || sq_copy(y, value) || sq_grad_copy(x, first);
    sq_zero_grads(t);
    bad = bad || sq_derive(sq_sum(y), &x, &gx, 1) || sq_backward(sq_sum(gx)) ||
          sq_grad_copy(x, second);
    if (bad) puts(sq_message(t));
    sq_tape_free(t);
    return bad | differs("y", value, 1, 3, tolerance) |
           differs("dy/dx", first, 3, 2, tolerance) |
           differs("d2y/dx2", second, 6, 1, tolerance);
}

static int library_check(void)
{
    sq_sample sample = { .n = 1, .lo = -2, .hi = 2, .in = { sq_mat(3, 4) } };
    sq_check_result result;
    sq_status status = sq_check_op(&cube, &sample, NULL, &result);
    if (status || !result.ok) puts(result.text);
    return status || !result.ok || result.elements != 12;
}

int main(void) { return gradients(SQ_F32) | gradients(SQ_F64) | library_check(); }
