/* test_check.c -- the gradient check itself: it accepts what is right, catches what is wrong by
 * place and step, and says in one sentence what stopped it. */
#include "tests/support/support.h"

/* ---- An op whose derivative is off by 1 % for element 2 of operand 2 -------------------- */

static bool same_shapes(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                        sq_shape *out)
{
    (void)attr;
    if (n != 2 || !sq_shape_equal(in[0], in[1])) return sq_post(t, SQ_ESHAPE, "sizes differ");
    *out = in[0];
    return true;
}

/* y = a b, in double only: the check never asks for another. */
static void product(const sq_call *c)
{
    const double *a = c->x[0], *b = c->x[1];
    double *y = c->y;
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) y[i] = a[i] * b[i];
}

static void product_vjp(const sq_call *c, int32_t k)
{
    const double *other = c->x[1 - k], *gy = c->gy;
    double *gx = c->gx[k];
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) gx[i] += other[i] * gy[i];
}

static void wrong_vjp(const sq_call *c, int32_t k)
{
    const double *other = c->x[1 - k], *gy = c->gy;
    double *gx = c->gx[k];
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++)
        gx[i] += (k == 1 && i == 2 ? 1.01 : 1) * other[i] * gy[i];
}

static const sq_op right_op = {
    .name = "right", .arity = 2, .shape = same_shapes, .forward = product, .vjp = product_vjp
};
static const sq_op wrong_op = {
    .name = "wrong", .arity = 2, .shape = same_shapes, .forward = product, .vjp = wrong_vjp
};

Test(check_op, right_and_wrong)
{
    sq_sample sample = { .n = 2, .lo = 1, .hi = 2, .in = { sq_mat(2, 3), sq_mat(2, 3) } };
    sq_check_result r;
    cr_assert(sq_check_op(&right_op, &sample, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "%s", r.text);
    cr_expect(eq(int, (int)r.elements, 12));
    cr_assert(sq_check_op(&wrong_op, &sample, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok == false);
    EXPECT_TEXT(r.where, "operand 2");
    cr_expect(eq(int, (int)r.index, 2));
    cr_expect(eq(int, (int)r.step, -1));
    EXPECT_NEAR(r.analytic / r.numeric, 1.01, 1e-8, "analytic over numeric");
    EXPECT_NEAR(r.worst, fabs(r.analytic - r.numeric) / fmax(1, fabs(r.analytic)), 1e-15,
                "worst");
    EXPECT_CONTAINS(r.text, "wrong: operand 2, element 2: sweep ");
    EXPECT_CONTAINS(r.text, " (worst of 12)");
}

/* A gradient that is not a number is worse than any that is wrong by an amount. */
static void nan_vjp(const sq_call *c, int32_t k)
{
    wrong_vjp(c, k);
    if (k == 0) ((double *)c->gx[0])[1] = nan("");
}

Test(check_op, not_a_number)
{
    const sq_op op = {
        .name = "nan", .arity = 2, .shape = same_shapes, .forward = product, .vjp = nan_vjp
    };
    sq_sample sample = { .n = 2, .lo = 1, .hi = 2, .in = { sq_vec(3), sq_vec(3) } };
    sq_check_result r;
    cr_assert(sq_check_op(&op, &sample, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok == false && isnan(r.analytic) && isinf(r.worst), "%s", r.text);
    EXPECT_CONTAINS(r.text, "nan: operand 1, element 1: sweep ");
}

/* Two operands get unlike values: else d(a - b)^2 would be 0 everywhere. The elements of a
 * result are combined with unlike numbers: else softmax, whose elements sum to 1, would be
 * constant. */
Test(check_op, nothing_cancels)
{
    sq_sample error = { .n = 2, .lo = -1, .hi = 1, .in = { sq_vec(4), sq_vec(4) } };
    sq_sample soft = { .n = 1, .lo = -1, .hi = 1, .in = { sq_vec(4) } };
    sq_check_result r;
    cr_assert(sq_check_op(sq_op_find("squared_error"), &error, NULL, &r) == SQ_OK, "%s",
              r.text);
    cr_expect(r.ok && fabs(r.numeric) > 1e-3, "%s", r.text);
    cr_assert(sq_check_op(sq_op_find("softmax"), &soft, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok && fabs(r.numeric) > 1e-3, "%s", r.text);
}

/* The drawn values lie in the sample's interval, and another seed draws others. */
Test(check_op, draws_from_the_interval)
{
    sq_sample sample = { .n = 1, .lo = 5, .hi = 6, .in = { sq_vec(40) } };
    sq_check_result r, s;
    cr_assert(sq_check_op(sq_op_find("log"), &sample, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "%s", r.text);
    sq_check_options options = { .seed = 3 };
    cr_assert(sq_check_op(sq_op_find("log"), &sample, &options, &s) == SQ_OK);
    cr_expect(s.ok && s.worst != r.worst);
    cr_expect(fabs(r.numeric) < 1 / 5.0 && fabs(s.numeric) < 1 / 5.0);
    sample.lo = -6;
    sample.hi = -5;
    cr_expect(sq_check_op(sq_op_find("log"), &sample, NULL, &r) == SQ_ENONFINITE);
    EXPECT_CONTAINS(r.text, "log: the result is ");
    cr_expect(r.ok == false);
}

/* ---- Functions -------------------------------------------------------------------------- */

static sq_var cubes(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)t, (void)n, (void)context;
    return sq_mul(sq_square(x[0]), x[1]); /* [2,3] times [3]: broadcasts */
}

Test(check_function, of_a_tensor)
{
    const double a[6] = { 1, -2, 3, 0.5, 0, 4 }, b[3] = { 100, -7, 0.25 };
    sq_check_result r;
    sq_status s = sq_check_function(cubes, NULL, (sq_shape[]){ sq_mat(2, 3), sq_vec(3) },
                                    (const double *const[]){ a, b }, 2, NULL, &r);
    cr_assert(s == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "%s", r.text);
    cr_expect(eq(int, (int)r.elements, 9));
    EXPECT_CONTAINS(r.text, "operand ");
}

/* An operand without elements has no values to point to. */
Test(check_function, of_nothing)
{
    const double b[3] = { 1, 2, 3 };
    sq_check_result r;
    sq_status s = sq_check_function(cubes, NULL, (sq_shape[]){ sq_mat(0, 3), sq_vec(3) },
                                    (const double *const[]){ NULL, b }, 2, NULL, &r);
    cr_assert(s == SQ_OK, "%s", r.text);
    cr_expect(r.ok && r.elements == 3, "%s", r.text);
}

/* f(x) = x^3 at 2 with e = 1/2: the difference is 12 + e^2 = 12.25, the derivative 12. For a
 * scalar function nothing is combined, so these numbers are exact. */
static sq_var cube(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)t, (void)n;
    *(int *)context += 1;
    return sq_mul(x[0], sq_square(x[0]));
}

Test(check_function, options_are_used)
{
    const double two = 2;
    int calls = 0;
    sq_check_result r;
    sq_check_options options = { .epsilon = 0.25, .tolerance = 0.021 };
    sq_shape shape = sq_scalar();
    const double *values = &two;
    cr_assert(sq_check_function(cube, &calls, &shape, &values, 1, &options, &r) == SQ_OK);
    cr_expect(r.analytic == 12 && r.numeric == 12.25 && r.worst == 0.25 / 12.25);
    cr_expect(r.ok);
    cr_expect(eq(int, calls, 3), "once with a sweep, then twice per element");
    EXPECT_TEXT(r.text, "operand 1, element 0: sweep 12, difference 12.25 (worst of 1)");
    options.tolerance = 0.020;
    cr_assert(sq_check_function(cube, &calls, &shape, &values, 1, &options, &r) == SQ_OK);
    cr_expect(r.ok == false);
    options.tolerance = -1;
    cr_expect(sq_check_function(cube, &calls, &shape, &values, 1, &options, &r) == SQ_EVALUE);
    EXPECT_TEXT(r.text, "tolerance and epsilon must not be negative");
}

/* Random operations draw the same in every evaluation, for every tape is fresh. */
static sq_var noisy(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)n, (void)context;
    double u = sq_random_uniform(sq_tape_random(t), 0, 0);
    return sq_mul_scalar(sq_sum(x[0]), u);
}

Test(check_function, with_random_numbers)
{
    const double x[2] = { 1, 2 };
    const double *values = x;
    sq_shape shape = sq_vec(2);
    sq_check_result r;
    cr_assert(sq_check_function(noisy, NULL, &shape, &values, 1, NULL, &r) == SQ_OK, "%s",
              r.text);
    cr_expect(r.ok, "%s", r.text);
    cr_expect(r.analytic > 0);
}

/* A function that does not depend on its argument has gradient 0, which is right. */
static sq_var nothing(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)x, (void)n, (void)context;
    return sq_constant(t, 3);
}

static sq_var no_value(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)t, (void)x, (void)n, (void)context;
    return (sq_var){ 0 };
}

static sq_var mismatch(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)n, (void)context;
    return sq_add(x[0], sq_zeros(t, sq_vec(5)));
}

/* |x|^-1 over a pole: finite at the point itself, infinite at x - e. */
static sq_var pole(sq_tape *t, const sq_var *x, int32_t n, void *context)
{
    (void)t, (void)n, (void)context;
    return sq_sum(sq_log(x[0]));
}

Test(check_function, strange_functions)
{
    const double x[2] = { 1, 5e-6 };
    const double *values = x;
    sq_shape shape = sq_vec(2), empty = sq_vec(0), bad = sq_vec(-1);
    sq_check_result r;
    cr_expect(sq_check_function(nothing, NULL, &shape, &values, 1, NULL, &r) == SQ_OK, "%s",
              r.text);
    cr_expect(r.ok && r.worst == 0 && r.elements == 2);
    cr_expect(sq_check_function(no_value, NULL, &shape, &values, 1, NULL, &r) == SQ_EVAR);
    EXPECT_TEXT(r.text, "the function did not return a value of its tape");
    cr_expect(sq_check_function(mismatch, NULL, &shape, &values, 1, NULL, &r) == SQ_ESHAPE);
    EXPECT_CONTAINS(r.text, "add: ");
    cr_expect(sq_check_function(pole, NULL, &shape, &values, 1, NULL, &r) == SQ_ENONFINITE);
    EXPECT_CONTAINS(r.text, "nan when operand 1, element 1 is -5.0000000000000004e-06");
    cr_expect(r.ok == false);
    cr_expect(sq_check_function(pole, NULL, &bad, &values, 1, NULL, &r) == SQ_ESHAPE);
    EXPECT_TEXT(r.text, "operand 1 cannot have the shape [-1]");
    cr_expect(sq_check_function(pole, NULL, &empty, &values, 1, NULL, &r) == SQ_OK, "%s",
              r.text);
    EXPECT_TEXT(r.text, "there is nothing to compare");
    cr_expect(r.ok && r.elements == 0 && r.index == -1);
    cr_expect(sq_check_function(nothing, NULL, NULL, NULL, 0, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(sq_check_function(nothing, NULL, NULL, NULL, -1, NULL, &r) == SQ_ERANGE);
}

/* ---- Cells ------------------------------------------------------------------------------ */

/* h' = tanh(x + w * h), an ordinary cell whose product is differentiated wrongly from step
 * `first` to step `last`, in element 2 of h. */
typedef struct gate {
    sq_weight w;
    int64_t first, last;
} gate;

static sq_var gate_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const gate *g = self;
    int64_t i = sq_current_step(t);
    const sq_op *op = i >= g->first && i <= g->last ? &wrong_op : &right_op;
    sq_var wh = sq_apply(op, (sq_var[]){ sq_use(t, g->w), *h }, 2, NULL);
    return *h = sq_tanh(sq_add(x, wh));
}

enum { GATE_STEPS = 5 };
static const int64_t gate_width[] = { 3 };

static void check_gate(int64_t first, int64_t last, sq_check_result *r)
{
    sq_params *p = sq_params_new(SQ_F64);
    gate g = { sq_params_add(p, "gate.w", sq_mat(1, 3)), first, last };
    cr_assert(sq_init_constant(p, g.w, 0.5) == SQ_OK);
    sq_cell cell = { "gate", 1, gate_width, NULL, gate_step, &g };
    cr_assert(sq_check_cell(&cell, p, GATE_STEPS, 1, 3, NULL, r) == SQ_OK, "%s", r->text);
    sq_params_free(p);
}

Test(check_cell, right)
{
    sq_check_result r;
    check_gate(99, 99, &r);
    cr_expect(r.ok, "%s", r.text);
    cr_expect(eq(int, (int)r.elements, GATE_STEPS * 3 + 3 + 3));
    EXPECT_CONTAINS(r.text, "gate: ");
}

/* Wrong in step k alone: the error enters on the way from h_k to h_(k-1), so x_k and later ones
 * are right. Each step further back multiplies it by tanh' w, which is below 1/2, so x_(k-1) is
 * worst; where k = 0, the initial state. */
Test(check_cell, wrong_in_one_step)
{
    for (int k = 0; k < GATE_STEPS; k++) {
        sq_check_result r;
        check_gate(k, k, &r);
        cr_expect(r.ok == false, "%s", r.text);
        EXPECT_TEXT(r.where, k ? "x" : "state 0");
        cr_expect(eq(int, (int)r.step, k - 1), "%s", r.text);
        cr_expect(eq(int, (int)r.index, 2), "%s", r.text);
    }
}

/* Wrong from step 2 on: the last x is right, and x_0 sees the error after it has shrunk. */
Test(check_cell, wrong_from_step_2_on)
{
    sq_check_result r;
    check_gate(2, 99, &r);
    cr_expect(r.ok == false, "%s", r.text);
    EXPECT_TEXT(r.where, "x");
    cr_expect(r.step >= 1 && r.step <= GATE_STEPS - 2, "%s", r.text);
    cr_expect(eq(int, (int)r.index, 2), "%s", r.text);
    EXPECT_CONTAINS(r.text, "gate: x at step ");
    EXPECT_CONTAINS(r.text, ", element 2: sweep ");
}

/* A weight whose gradient is wrong is named: h' = detach(w) * h + x drops dL/dw altogether. */
static sq_var dropped_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_weight *w = self;
    return *h = sq_add(x, sq_mul(sq_detach(sq_use(t, *w)), *h));
}

Test(check_cell, names_a_weight)
{
    sq_check_result r;
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight other = sq_params_add(p, "net.other", sq_vec(3));
    sq_weight w = sq_params_add(p, "net.w", sq_scalar());
    cr_assert(sq_init_constant(p, w, 0.5) == SQ_OK && other.id == 1);
    sq_cell cell = { "dropped", 1, gate_width, NULL, dropped_step, &w };
    cr_assert(sq_check_cell(&cell, p, 3, 2, 3, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok == false && r.analytic == 0 && r.step == -1 && r.index == 0, "%s", r.text);
    EXPECT_TEXT(r.where, "weight net.w");
    cr_assert(sq_check_cell(&cell, p, 0, 2, 3, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "at T = 0 no weight is used: %s", r.text);
    sq_params_free(p);
}

/* A state that is passed on without its gradient, and does not reach the output: only the last
 * state, which is a part of what is differentiated, shows it. */
static sq_var cut_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)self, (void)x;
    *h = sq_detach(*h);
    return sq_zeros(t, sq_scalar());
}

Test(check_cell, names_a_state)
{
    static const char *const names[] = { "memory" };
    sq_check_result r;
    sq_cell cell = { "cut", 1, gate_width, names, cut_step, NULL };
    cr_assert(sq_check_cell(&cell, NULL, 2, 1, 0, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok == false);
    EXPECT_TEXT(r.where, "state memory");
    static const char *const nameless[] = { NULL };
    for (int k = 0; k < 2; k++) {
        cell.state_names = k ? nameless : NULL;
        cr_assert(sq_check_cell(&cell, NULL, 2, 1, 0, NULL, &r) == SQ_OK, "%s", r.text);
        EXPECT_TEXT(r.where, "state 0");
    }
}

/* The output may be a readout or a scalar loss. */
static sq_var scalar_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self;
    *h = sq_tanh(sq_add(x, *h));
    return sq_mean(sq_square(*h));
}

Test(check_cell, with_a_scalar_output)
{
    sq_check_result r;
    sq_cell cell = { "scalar", 1, gate_width, NULL, scalar_step, NULL };
    cr_assert(sq_check_cell(&cell, NULL, 4, 2, 3, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "%s", r.text);
}

Test(check_cell, leaves_the_params_alone)
{
    sq_check_result r;
    net n;
    net_new(&n, SQ_F32, 2, 3, 1);
    cr_assert(sq_weight_set_frozen(n.params, n.lstm.W[0], true) == SQ_OK);
    uint64_t version = sq_params_version(n.params);
    cr_assert(sq_check_cell(&n.cell, n.params, 2, 1, 2, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "a frozen weight is checked as well: %s", r.text);
    cr_expect(sq_params_version(n.params) == version);
    cr_expect(sq_weight_frozen(n.params, n.lstm.W[0]));
    net_free(&n);
}

Test(check_cell, mistakes)
{
    sq_check_result r;
    net n;
    net_new(&n, SQ_F64, 2, 3, 1);
    cr_expect(sq_check_cell(&n.cell, n.params, 2, 1, 5, NULL, &r) == SQ_ESHAPE);
    EXPECT_CONTAINS(r.text, "lstm: step 0: affine: inner sizes differ: [1,5] x [2,3]");
    cr_expect(r.ok == false);
    cr_expect(sq_check_cell(&n.cell, n.params, -1, 1, 2, NULL, &r) == SQ_ERANGE);
    EXPECT_TEXT(r.text, "lstm: steps, batch and in are out of range: -1, 1, 2");
    cr_expect(sq_check_cell(&n.cell, n.params, 1, -1, 2, NULL, &r) == SQ_ERANGE);
    cr_expect(sq_check_cell(&n.cell, n.params, 1, 1, -2, NULL, &r) == SQ_ERANGE);
    cr_expect(sq_check_cell(&n.cell, n.params, 1, INT64_MAX / 2, 9, NULL, &r) == SQ_ESHAPE);
    EXPECT_CONTAINS(r.text, "lstm: x cannot have the shape ");
    (void)sq_params_add(n.params, "", sq_scalar());
    cr_expect(sq_check_cell(&n.cell, n.params, 1, 1, 2, NULL, &r) == SQ_EWEIGHT);
    cr_expect(strlen(r.text) > strlen("lstm: "));
    net_free(&n);
}
