/* test_elementwise.c -- what all rows SQ_MAP share: broadcasting, positions, kinks, NaN.
 *
 * Broadcasting is compared, bit by bit, with the same op on single numbers, put together by a
 * naive walk over the result's indices. */
#include "tests/ops/op_case.h"

/* ---- Broadcasting ------------------------------------------------------------------------ */

/* Where element i of the result finds its operand: NumPy's rule, spelt out. */
static int64_t source(sq_shape s, sq_shape y, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int32_t back = 1; back <= y.rank; back++) {
        int64_t size = y.dim[y.rank - back], index = i % size;
        i /= size;
        if (back > s.rank) continue;
        at += (s.dim[s.rank - back] == 1 ? 0 : index) * step;
        step *= s.dim[s.rank - back];
    }
    return at;
}

static void check_against_single_numbers(const op_case *c, double *const *x)
{
    sq_sample single = { .n = c->n, .lo = c->lo, .hi = c->hi, .attr = c->attr };
    op_case one;
    cr_assert(case_make(&one, c->op, &single));
    double *y = doubles(c->y_size), *want = doubles(c->y_size), *gy = drawn(c->y_size, 3);
    double *g[MOST], *g_want[MOST],
        pick[MOST], *const at[MOST] = { &pick[0], &pick[1], &pick[2] };
    evaluate(c, in_double(), x, y);
    for (int32_t k = 0; k < MOST; k++) {
        g[k] = doubles(c->x_size[k]);
        g_want[k] = doubles(c->x_size[k]);
        if (k < c->n) pull(c, in_double(), x, k, gy, g[k]);
    }
    for (int64_t i = 0; i < c->y_size; i++) {
        for (int32_t k = 0; k < c->n; k++) pick[k] = x[k][source(c->xs[k], c->ys, i)];
        evaluate(&one, in_double(), at, &want[i]);
        for (int32_t k = 0; k < c->n; k++)
            pull(&one, in_double(), at, k, &gy[i], &g_want[k][source(c->xs[k], c->ys, i)]);
    }
    EXPECT_SAME_BITS(y, want, (size_t)c->y_size * sizeof *y, c->label);
    for (int32_t k = 0; k < c->n; k++)
        EXPECT_ALL_NEAR(g[k], g_want[k], c->x_size[k], 1e-13, c->label);
    case_free(g);
    case_free(g_want);
    free(y), free(want), free(gy);
}

/* All ways two axes can meet: equal, left stretched, right stretched. */
enum { EQUAL, LEFT, RIGHT, WAYS };

static void check_pair(const sq_op *op, int32_t ra, int32_t rb, int ways)
{
    static const int64_t size[SQ_MAX_RANK] = { 3, 2, 2, 3 };
    sq_sample s = op->samples[0];
    s.in[0] = (sq_shape){ .rank = ra };
    s.in[1] = (sq_shape){ .rank = rb };
    for (int32_t back = 1; back <= SQ_MAX_RANK; back++) {
        int way = back <= ra && back <= rb ? ways % WAYS : EQUAL;
        if (back <= ra && back <= rb) ways /= WAYS;
        if (back <= ra) s.in[0].dim[ra - back] = way == LEFT ? 1 : size[back - 1];
        if (back <= rb) s.in[1].dim[rb - back] = way == RIGHT ? 1 : size[back - 1];
    }
    op_case c;
    double *x[MOST];
    cr_assert(case_make(&c, op, &s), "%s", c.label);
    case_draw(&c, 77, x);
    check_against_single_numbers(&c, x);
    case_free(x);
}

Test(broadcasting, two_operands_of_every_rank_meet_in_every_way)
{
    int pairs = 0;
    for (const sq_op *const *op = sq_op_table(); *op; op++) {
        if (!elementwise(*op) || (*op)->arity != 2) continue;
        for (int32_t ra = 0; ra <= SQ_MAX_RANK; ra++)
            for (int32_t rb = 0; rb <= SQ_MAX_RANK; rb++) {
                int all = 1;
                for (int32_t i = 0; i < (ra < rb ? ra : rb); i++) all *= WAYS;
                for (int ways = 0; ways < all; ways++, pairs++) check_pair(*op, ra, rb, ways);
            }
    }
    cr_expect(pairs == 7 * 237, "%d pairs", pairs);
}

/* Every axis of every operand of `select` is there, stretched, or missing. */
Test(broadcasting, three_operands)
{
    rng r = { 5 };
    for (int i = 0; i < 400; i++) {
        sq_sample s = sq_op_find("select")->samples[0];
        for (int k = 0; k < 3; k++) {
            s.in[k] = (sq_shape){ .rank = rng_below(&r, SQ_MAX_RANK + 1) };
            for (int32_t back = 1; back <= s.in[k].rank; back++)
                s.in[k].dim[s.in[k].rank - back] = rng_below(&r, 2) ? 1 : back % 2 ? 3 : 2;
        }
        op_case c;
        double *x[MOST];
        cr_assert(case_make(&c, sq_op_find("select"), &s), "%s", c.label);
        case_draw(&c, 78, x);
        check_against_single_numbers(&c, x);
        case_free(x);
    }
}

/* ---- Law (a): a value depends neither on its place nor on the array's length ------------- */

static void check_places(const sq_op *op, sq_dtype dtype, int64_t length)
{
    sq_sample s = op->samples[0], single = s;
    op_case c, one;
    s.in[0] = s.in[1] = s.in[2] = sq_vec(length);
    single.in[0] = single.in[1] = single.in[2] = sq_scalar();
    cr_assert(case_make(&c, op, &s) && case_make(&one, op, &single));
    how h = { dtype, sqi_kernels_select() };
    double *x[MOST], *y = doubles(length), *gy = drawn(length, 3), *g = doubles(length);
    case_draw(&c, 79, x);
    evaluate(&c, h, x, y);
    pull(&c, h, x, 0, gy, g);
    for (int64_t i = 0; i < length; i++) {
        double *const at[MOST] = { &x[0][i], &x[1][i < c.x_size[1] ? i : 0],
                                   &x[2][i < c.x_size[2] ? i : 0] };
        double y1, g1 = 0;
        evaluate(&one, h, at, &y1);
        pull(&one, h, at, 0, &gy[i], &g1);
        cr_expect(y1 == y[i] && g1 == g[i], "%s of %d: element %d differs when alone", op->name,
                  (int)length, (int)i);
    }
    case_free(x);
    free(y), free(gy), free(g);
}

Test(places, a_number_alone_and_among_others)
{
    static const int64_t lengths[] = { 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 67, 129 };
    for (const sq_op *const *op = sq_op_table(); *op; op++)
        for (int i = 0; elementwise(*op) && i < COUNT(lengths); i++) {
            check_places(*op, SQ_F32, lengths[i]);
            check_places(*op, SQ_F64, lengths[i]);
        }
}

/* ---- Kinks: the derivative there is the mean of both sides ------------------------------- */

typedef struct point {
    const char *op;
    double p[2], x[3], y, d[3];
} point;

#define INF ((double)INFINITY)

static const point points[] = {
    { "abs", { 0 }, { 0 }, 0, { 0 } },
    { "sign", { 0 }, { 0 }, 0, { 0 } },
    { "sign", { 0 }, { -2 }, -1, { 0 } },
    { "step", { 0 }, { 0 }, .5, { 0 } },
    { "step", { 0 }, { 3 }, 1, { 0 } },
    { "step", { 0 }, { -3 }, 0, { 0 } },
    { "relu", { 0 }, { 0 }, 0, { .5 } },
    { "leaky_relu", { .25 }, { 0 }, 0, { .625 } },
    { "hard_tanh", { 0 }, { 1 }, 1, { .5 } },
    { "hard_tanh", { 0 }, { -1 }, -1, { .5 } },
    { "hard_tanh", { 0 }, { 2 }, 1, { 0 } },
    { "hard_sigmoid", { 0 }, { 3 }, 1, { 1. / 12 } },
    { "hard_sigmoid", { 0 }, { -3 }, 0, { 1. / 12 } },
    { "hard_sigmoid", { 0 }, { -7 }, 0, { 0 } },
    { "clip", { -.5, .75 }, { -.5 }, -.5, { .5 } },
    { "clip", { -.5, .75 }, { .75 }, .75, { .5 } },
    { "clip", { -.5, .75 }, { 2 }, .75, { 0 } },
    { "maximum", { 0 }, { 2, 2 }, 2, { .5, .5 } },
    { "minimum", { 0 }, { 2, 2 }, 2, { .5, .5 } },
    { "maximum", { 0 }, { 2, 1 }, 2, { 1, 0 } },
    { "minimum", { 0 }, { 2, 1 }, 1, { 0, 1 } },
    { "select", { 0 }, { 1, 5, 7 }, 5, { 0, 1, 0 } },
    { "select", { 0 }, { -1, 5, 7 }, 7, { 0, 0, 1 } },
    { "select", { 0 }, { 0, 5, 7 }, 7, { 0, 0, 1 } },
    { "sqrt", { 0 }, { 4 }, 2, { .25 } },
    { "pow", { 2 }, { 3 }, 9, { 6 } },
    { "pow", { 1 }, { 0 }, 0, { 1 } },
    { "pow", { 3 }, { -2 }, -8, { 12 } },
    { "softplus", { 0 }, { 0 }, 0.69314718055994531, { .5 } },
    { "softplus", { 0 }, { 1000 }, 1000, { 1 } },
    { "softplus", { 0 }, { -1000 }, 0, { 0 } },
    { "sigmoid", { 0 }, { 1000 }, 1, { 0 } },
    { "sigmoid", { 0 }, { -1000 }, 0, { 0 } },
    { "tanh", { 0 }, { 1000 }, 1, { 0 } },
    { "silu", { 0 }, { -1000 }, 0, { 0 } },
    { "gelu", { 0 }, { 0 }, 0, { .5 } },
    { "gelu", { 0 }, { 40 }, 40, { 1 } },
    { "gelu", { 0 }, { -40 }, 0, { 0 } },
    { "elu", { .5 }, { -1000 }, -.5, { 0 } },
    { "elu", { 1 }, { 0 }, 0, { 1 } },
    { "elu", { .5 }, { 0 }, 0, { .75 } },
    { "elu", { .5 }, { INF }, INF, { 1 } },
    { "elu", { .5 }, { -INF }, -.5, { 0 } },
    { "above", { 0 }, { 2, 1 }, 1, { 0, 0 } },
    { "above", { 0 }, { 1, 2 }, 0, { 0, 0 } },
    { "above", { 0 }, { 2, 2 }, .5, { 0, 0 } },
    { "above", { 0 }, { INF, INF }, .5, { 0, 0 } },
    { "above", { 0 }, { -INF, INF }, 0, { 0, 0 } },
    { "maximum", { 0 }, { INF, INF }, INF, { .5, .5 } },
    { "maximum", { 0 }, { -INF, -INF }, -INF, { .5, .5 } },
    { "maximum", { 0 }, { INF, -INF }, INF, { 1, 0 } },
    { "minimum", { 0 }, { INF, INF }, INF, { .5, .5 } },
    { "minimum", { 0 }, { -INF, -INF }, -INF, { .5, .5 } },
    { "clip", { -INF, 1 }, { -INF }, -INF, { .5 } },
    { "clip", { 0, INF }, { INF }, INF, { .5 } },
    { "clip", { 0, INF }, { 3 }, 3, { 1 } },
    { "hard_tanh", { 0 }, { -INF }, -1, { 0 } },
    { "hard_sigmoid", { 0 }, { INF }, 1, { 0 } },
    { "erfc", { 0 }, { INF }, 0, { 0 } },
    { "erfc", { 0 }, { -INF }, 2, { 0 } },
    { "pow", { 0 }, { 0 }, 1, { 0 } },
};

static void check_point(const point *p, sq_dtype dtype, double tol)
{
    const sq_op *op = sq_op_find(p->op);
    cr_assert(op != NULL, "%s", p->op);
    sq_sample s = { .n = op->arity, .attr = { .p = { p->p[0], p->p[1] } } };
    op_case c;
    cr_assert(case_make(&c, op, &s));
    how h = { dtype, sqi_kernels_select() };
    double at[MOST], *const x[MOST] = { &at[0], &at[1], &at[2] }, y, one = 1;
    char what[96];
    memcpy(at, p->x, sizeof at);
    snprintf(what, sizeof what, "%s at %g, %s", p->op, at[0], sq_dtype_name(dtype));
    evaluate(&c, h, x, &y);
    if (isinf(p->y)) cr_expect(y == p->y, "%s: %g", what, y);
    else EXPECT_NEAR(y, p->y, tol, what);
    for (int32_t k = 0; k < c.n; k++) {
        double g = 0;
        pull(&c, h, x, k, &one, &g);
        EXPECT_NEAR(g, p->d[k], tol, what);
    }
}

Test(special_points, kinks_share_half_each_and_far_out_nothing_overflows)
{
    for (int i = 0; i < COUNT(points); i++) {
        check_point(&points[i], SQ_F64, 1e-15);
        check_point(&points[i], SQ_F32, 1e-6);
    }
}

/* The recorded derivative has the same value at a kink as the swept one. */
Test(special_points, recorded_derivatives_agree_at_kinks)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    for (int i = 0; i < COUNT(points); i++) {
        const sq_op *op = sq_op_find(points[i].op);
        sq_attr attr = { .p = { points[i].p[0], points[i].p[1] } };
        sq_var x[MOST], g[MOST];
        for (int32_t k = 0; k < op->arity; k++) x[k] = sq_leaf(t, sq_scalar(), &points[i].x[k]);
        cr_assert(sq_derive(sq_apply(op, x, op->arity, &attr), x, g, op->arity) == SQ_OK);
        for (int32_t k = 0; k < op->arity; k++)
            EXPECT_NEAR(sq_item(g[k]), points[i].d[k], 1e-15, points[i].op);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* ---- Tails: small values keep their leading digits --------------------------------------- */

/* x Phi(x) and its derivative Phi(x) + x phi(x), to 50 digits by mpmath, rounded. */
static const double gelu_tail[][3] = {
    { -10.0, -7.6198530241605261e-23, -7.6184000964648141e-22 },
    { -7.0, -8.958687807200845e-12, -6.2663230314666318e-11 },
    { -4.0, -0.00012668496733247969, -0.00050364966122642149 },
    { -1.0, -0.15865525393145705, -0.083315470587686298 },
    { 0.5, 0.34573123063700655, 0.86749512465616284 },
    { 3.0, 2.9959503059051097, 1.0119456472041839 },
};

Test(special_points, the_left_tail_of_gelu)
{
    sq_sample s = { .n = 1 };
    op_case c;
    cr_assert(case_make(&c, sq_op_find("gelu"), &s));
    for (int i = 0; i < COUNT(gelu_tail); i++)
        for (int d = 0; d < 2; d++) {
            how h = d ? in_double() : in_float();
            double at = gelu_tail[i][0], *const x[MOST] = { &at }, y, g = 0, one = 1;
            double tol = d ? 1e-13 : 2e-5;
            evaluate(&c, h, x, &y);
            pull(&c, h, x, 0, &one, &g);
            cr_expect(fabs(y / gelu_tail[i][1] - 1) <= tol, "gelu(%g) = %g", at, y);
            cr_expect(fabs(g / gelu_tail[i][2] - 1) <= tol, "gelu'(%g) = %g", at, g);
        }
}

/* ---- NaN goes through, wherever it stands ------------------------------------------------ */

Test(special_points, nan_is_passed_on)
{
    for (const sq_op *const *op = sq_op_table(); *op; op++) {
        if (!elementwise(*op) || strcmp((*op)->name, "select") == 0) continue;
        if (strcmp((*op)->name, "sign") == 0 || strcmp((*op)->name, "step") == 0 ||
            strcmp((*op)->name, "above") == 0)
            continue;
        for (int32_t bad = 0; bad < (*op)->arity; bad++)
            for (int d = 0; d < 2; d++) {
                op_case c;
                sq_sample s = (*op)->samples[0];
                s.in[0] = s.in[1] = sq_vec(19);
                cr_assert(case_make(&c, *op, &s));
                double *x[MOST], y[19];
                case_draw(&c, 80, x);
                x[bad][17] = (double)NAN;
                evaluate(&c, d ? in_double() : in_float(), x, y);
                for (int i = 0; i < 19; i++)
                    cr_expect(isnan(y[i]) == (i == 17), "%s: element %d", (*op)->name, i);
                case_free(x);
            }
    }
}

Test(special_points, select_takes_only_what_it_chose)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var a = sq_leaf(t, sq_vec(2), ((double[]){ 1, -1 }));
    sq_var b = sq_leaf(t, sq_vec(2), ((double[]){ 3, (double)NAN }));
    sq_var c = sq_leaf(t, sq_vec(2), ((double[]){ (double)NAN, 4 }));
    sq_var y = sq_select(a, b, c);
    double v[2];
    cr_assert(sq_copy(y, v) == SQ_OK);
    EXPECT_ALL_NEAR(v, ((double[]){ 3, 4 }), 2, 0, "select");
    BACKWARD(sq_sum(y));
    cr_assert(sq_grad_copy(b, v) == SQ_OK);
    EXPECT_ALL_NEAR(v, ((double[]){ 1, 0 }), 2, 0, "gradient of b");
    cr_assert(sq_grad_copy(c, v) == SQ_OK);
    EXPECT_ALL_NEAR(v, ((double[]){ 0, 1 }), 2, 0, "gradient of c");
    sq_tape_free(t);
}

/* x op x: both operands are one variable, and both shares reach it. */
Test(aliasing, an_operand_twice)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double v[3] = { 1, -2, 3 }, g[3];
    sq_var x = sq_leaf(t, sq_vec(3), v);
    BACKWARD(sq_sum(sq_mul(x, x)));
    cr_assert(sq_grad_copy(x, g) == SQ_OK);
    EXPECT_ALL_NEAR(g, ((double[]){ 2, -4, 6 }), 3, 0, "x x");
    sq_zero_grads(t);
    BACKWARD(sq_sum(sq_maximum(x, x)));
    cr_assert(sq_grad_copy(x, g) == SQ_OK);
    EXPECT_ALL_NEAR(g, ((double[]){ 1, 1, 1 }), 3, 0, "max(x, x)");
    sq_zero_grads(t);
    BACKWARD(sq_sum(sq_sub(x, x)));
    cr_assert(sq_grad_copy(x, g) == SQ_OK);
    EXPECT_ALL_NEAR(g, ((double[]){ 0, 0, 0 }), 3, 0, "x - x");
    sq_tape_free(t);
}
