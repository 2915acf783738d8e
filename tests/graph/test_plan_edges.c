/* test_plan_edges.c -- cells at the edge of what a plan takes: products of two values of the loop,
 * a step that unrolls another cell, sizes of 0, no output. Each must equal the eager unroll. */
#include "tests/support/support.h"

#include "seqgrad.h"

#include <math.h>

enum { T = 40, B = 16, H = 64, MOST = T * B * H };

typedef struct edge {
    const char *name;
    sq_step_fn *step;
    int64_t in, hidden;
    sq_weight U;
} edge;

static sq_var gram_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const edge *e = self;
    sq_var h = sq_tanh(sq_add(x, sq_matmul(s[0], sq_use(t, e->U))));
    return s[0] = sq_tanh(sq_matmul(sq_mul_scalar(sq_matmul_nt(h, h), .01), h));
}

static sq_var rank3_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const edge *e = self;
    sq_var cube = sq_broadcast_to(x, sq_shape3(B, B, H));
    sq_var all = sq_add(cube, s[0]); /* the state lies along axis 1, not along the batch */
    return s[0] = sq_tanh(sq_add(sq_mul_scalar(sq_sum_axis(all, 0), .1),
                                 sq_matmul(s[0], sq_use(t, e->U))));
}

static sq_var empty_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const edge *e = self;
    return s[0] = sq_tanh(sq_add(s[0], sq_matmul(sq_add(x, x), sq_use(t, e->U))));
}

static sq_var silent_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const edge *e = self;
    s[0] = sq_tanh(sq_add(x, sq_matmul(s[0], sq_use(t, e->U))));
    return (sq_var){ 0 };
}

static sq_var inner_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    (void)t, (void)self;
    return s[0] = sq_tanh(sq_add(x, s[0]));
}

static sq_var nested_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const edge *e = self;
    sq_cell cell = { "inner", 1, &e->hidden, NULL, inner_step, NULL };
    sq_var xs = sq_reshape(x, sq_shape3(1, B, H));
    sq_unrolled_last(sq_unroll(t, &cell, xs, s, NULL), s);
    return s[0];
}

typedef struct result {
    double last[B * H], gx[MOST], gU[H * H];
} result;

static void run(const edge *e, sq_params *p, sq_mode mode, int threads, result *r)
{
    static double x[MOST];
    memset(r, 0, sizeof *r);
    for (int i = 0; i < MOST; i++) x[i] = sin(.37 * i);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_tape_set_threads(t, threads);
    sq_cell cell = { e->name, 1, &e->hidden, NULL, e->step, e };
    sq_var in = sq_leaf(t, sq_shape3(T, B, e->in), x), last;
    const sq_unrolled *u = sq_unroll(t, &cell, in, NULL, &(sq_unroll_options){ .mode = mode });
    cr_assert(u != NULL, "%s: %s", e->name, sq_message(t));
    sq_unrolled_last(u, &last);
    BACKWARD(sq_sum(sq_square(last)));
    cr_assert(sq_copy(last, r->last) == SQ_OK && sq_grad_copy(in, r->gx) == SQ_OK, "%s: %s",
              e->name, sq_message(t));
    cr_assert(sq_weight_grad(t, e->U, r->gU) == SQ_OK);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

static double distance(const double *a, const double *b, int n)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        worst = worse(worst, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(b[i]));
    }
    return largest > 0 ? worst / largest : worst;
}

/* ---- What no loss reaches ------------------------------------------------------------------ */

/* The derivative of a root is no number where h is negative. Nobody may see that but who asks for the
 * gradient of what came of it: neither a state that no loss uses, nor a handle that somebody holds. */
enum { UNUSED_STEPS = 6, UNUSED_WIDTH = 2 };

typedef struct aside {
    sq_weight U;
    bool state, handle;
} aside;

static sq_var aside_step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const aside *a = self;
    sq_var d = sq_name(sq_sqrt(s[0]), "d");
    s[0] = sq_tanh(sq_add(sq_matmul(s[0], sq_use(t, a->U)), x));
    if (a->state) s[1] = d;
    return s[0];
}

/* dL/dU, and dL/dd of a step in the middle: 0, as nothing reaches it. */
static void look_aside(aside a, sq_mode mode, double *gU, double *gd)
{
    static const double u[] = { .5, -.3, .2, .7 }, h0[] = { .3, -.3 };
    static const double x[] = { .5, -.4, .3, -.2, .1, -.6, .5, .5, -.5, .5, .1, .1 };
    static const int64_t width[] = { UNUSED_WIDTH, UNUSED_WIDTH };
    sq_params *p = sq_params_new(SQ_F64);
    a.U = sq_params_add(p, "U", sq_mat(UNUSED_WIDTH, UNUSED_WIDTH));
    cr_assert(sq_weight_set(p, a.U, u) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_cell c = { "aside", a.state ? 2 : 1, width, NULL, aside_step, &a };
    sq_var s0[2] = { sq_leaf_f64(t, sq_mat(1, UNUSED_WIDTH), h0),
                     sq_leaf_f64(t, sq_mat(1, UNUSED_WIDTH), h0) };
    sq_unroll_options o = { .mode = mode };
    const sq_unrolled *r =
        sq_unroll(t, &c, sq_input_f64(t, sq_shape3(UNUSED_STEPS, 1, UNUSED_WIDTH), x), s0, &o);
    sq_var d = a.handle ? sq_unrolled_named(r, 3, "d") : sq_unrolled_state(r, 3, 0);
    cr_assert(sq_backward(sq_sum(sq_unrolled_outputs(r))) == SQ_OK, "%s", sq_message(t));
    cr_assert(sq_weight_grad_f64(t, a.U, gU) == SQ_OK);
    cr_assert(sq_grad_copy_f64(d, gd) == SQ_OK, "%s", sq_message(t));
    sq_tape_free(t);
    sq_params_free(p);
}

Test(plan_edges, what_no_loss_reaches_is_not_gone_through)
{
    enum { N = UNUSED_WIDTH * UNUSED_WIDTH };
    double want[N], got[N], gd[UNUSED_WIDTH];
    look_aside((aside){ 0 }, SQ_EAGER, want, gd);
    for (int i = 0; i < 4; i++) {
        aside a = { .state = i & 1, .handle = i & 2 };
        look_aside(a, SQ_PLAN, got, gd);
        double off = distance(got, want, N);
        cr_expect(off <= 1e-12, "state %d, handle %d: off by %g", a.state, a.handle, off);
        bool nothing = gd[0] == 0 && gd[1] == 0;
        cr_expect(nothing == a.handle, "state %d, handle %d: dL/dd %g", a.state, a.handle,
                  gd[0]);
    }
}

static void equals_eager(edge e)
{
    static const struct {
        sq_mode mode;
        int threads;
    } ways[] = { { SQ_EAGER, 2 }, { SQ_AUTO, 1 }, { SQ_AUTO, 2 }, { SQ_AUTO, 5 } };
    static result want, got;
    sq_params *p = sq_params_new(SQ_F64);
    e.U = sq_params_add(p, "U", sq_mat(e.in, e.hidden));
    cr_assert(sq_init_uniform(p, e.U, .1, 3) == SQ_OK);
    run(&e, p, SQ_EAGER, 1, &want);
    for (int i = 0; i < 4; i++) {
        run(&e, p, ways[i].mode, ways[i].threads, &got);
        double h = distance(got.last, want.last, B * H), x = distance(got.gx, want.gx, MOST);
        double u = distance(got.gU, want.gU, H * H);
        cr_expect(h <= 1e-12 && x <= 1e-11 && u <= 1e-11,
                  "%s, mode %d, %d threads: states %.1e, input %.1e, weight %.1e", e.name,
                  (int)ways[i].mode, ways[i].threads, h, x, u);
    }
    sq_params_free(p);
}

Test(plan_edges, products_of_two_values_of_the_loop)
{
    equals_eager((edge){ .name = "gram", .step = gram_step, .in = H, .hidden = H });
}

Test(plan_edges, a_state_along_another_axis)
{
    equals_eager((edge){ .name = "rank 3", .step = rank3_step, .in = H, .hidden = H });
}

Test(plan_edges, sizes_of_nothing)
{
    equals_eager((edge){ .name = "no input", .step = empty_step, .in = 0, .hidden = H });
    equals_eager((edge){ .name = "no state", .step = empty_step, .in = H, .hidden = 0 });
}

Test(plan_edges, no_output)
{
    equals_eager((edge){ .name = "silent", .step = silent_step, .in = H, .hidden = H });
}

Test(plan_edges, a_step_that_unrolls_another_cell)
{
    equals_eager((edge){ .name = "nested", .step = nested_step, .in = H, .hidden = H });
}
