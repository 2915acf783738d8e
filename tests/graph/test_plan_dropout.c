/* test_plan_dropout.c -- random ops inside an unroll: eager, planned, on any number of threads, in
 * any order, the same numbers.
 *
 * The masks are read as named values, dropout of ones, and compared to the bit with the formula of
 * random.h; all else to rounding. */
#include "tests/support/support.h"

#include "graph/check.h"
#include "graph/plan_impl.h"

enum { IN = 6, MOST = 40000 };
static const double RATE = .3;

/* ---- Cells -------------------------------------------------------------------------------- */

typedef struct wet {
    sq_params *params;
    sq_weight W, U, b;
    int64_t hidden;
    sq_var ones; /* [B,hidden], recorded before the unroll */
    sq_step_fn *step;
    sq_mode inner; /* of a cell that unrolls another */
} wet;

/* y = x + u at the row of the whole batch: a user's op. */
static bool jitter_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                         sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

static void jitter_forward(const sq_call *c)
{
    int64_t cols = c->ys.dim[1];
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++) {
        double u = sq_random_uniform(c->attr->draw.stream, (uint64_t)(c->row + i / cols),
                                     (uint64_t)(i % cols));
        if (c->dtype == SQ_F32) ((float *)c->y)[i] = ((const float *)c->x[0])[i] + (float)u;
        else ((double *)c->y)[i] = ((const double *)c->x[0])[i] + u;
    }
}

static void jitter_vjp(const sq_call *c, int32_t k)
{
    for (int64_t i = 0; i < sq_shape_size(c->ys); i++)
        if (c->dtype == SQ_F32) ((float *)c->gx[k])[i] += ((const float *)c->gy)[i];
        else ((double *)c->gx[k])[i] += ((const double *)c->gy)[i];
}

static const sq_op jitter = { .name = "jitter",
                              .formula = "y = x + u",
                              .arity = 1,
                              .flags = SQ_ROWWISE | SQ_RANDOM | SQ_LINEAR,
                              .shape = jitter_shape,
                              .forward = jitter_forward,
                              .vjp = jitter_vjp };

static sq_var next_state(sq_tape *t, const wet *w, sq_var x, sq_var h, sq_var U)
{
    return sq_tanh(sq_add(sq_affine(x, sq_use(t, w->W), sq_use(t, w->b)), sq_matmul(h, U)));
}

/* Before the loop (x), in it (h, twice), after it (y); rows are independent. */
static sq_var by_rows(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const wet *w = self;
    x = sq_dropout(x, RATE, SQ_PER_STEP);
    sq_var old = sq_dropout(*h, RATE, SQ_PER_SEQUENCE);
    sq_var next = sq_noise(next_state(t, w, x, old, sq_use(t, w->U)), .1);
    *h = sq_zoneout(*h, next, RATE, true);
    sq_var y = sq_dropout(*h, RATE, SQ_PER_STEP);
    return sq_name(sq_apply(&jitter, &y, 1, NULL), "y");
}

/* Masks alone, as ordinals 0 and 1 of the step. */
static sq_var masks(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const wet *w = self;
    sq_var step = sq_name(sq_dropout(w->ones, RATE, SQ_PER_STEP), "step");
    sq_var ones =
        sq_add(w->ones, sq_mul_scalar(*h, 0)); /* what is fixed has no name in a step */
    sq_var sequence = sq_name(sq_dropout(ones, RATE, SQ_PER_SEQUENCE), "sequence");
    sq_var both = sq_mul(sq_mul(*h, step), sequence);
    return *h = next_state(t, w, x, both, sq_use(t, w->U));
}

/* Of the weights: once for the sequence, and anew in every step. */
static sq_var of_weights(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const wet *w = self;
    sq_var U = sq_dropout(sq_use(t, w->U), RATE, SQ_PER_SEQUENCE);
    sq_var b = sq_dropout(sq_use(t, w->U), RATE, SQ_PER_STEP);
    *h = next_state(t, w, x, *h, U);
    return sq_matmul(*h, b);
}

static sq_var reads_after(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const wet *w = self;
    sq_var old = sq_dropout(*h, RATE, SQ_PER_STEP);
    *h = next_state(t, w, x, old, sq_use(t, w->U));
    if (sq_item(sq_sum(*h)) > 1e9) return *h;
    return sq_dropout(*h, RATE, SQ_PER_STEP);
}

/* A step that unrolls a cell, random ops before and after it. */
static sq_var nests(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const wet *w = self;
    wet inside = *w;
    inside.step = by_rows;
    sq_cell cell = { "inside", 1, &inside.hidden, NULL, by_rows, &inside };
    sq_var old = sq_dropout(*h, RATE, SQ_PER_STEP);
    sq_shape s = sq_shape_of(x);
    sq_unroll_options o = { .outputs = SQ_OUTPUTS_LAST, .mode = w->inner };
    sq_var twice[2] = { x, sq_neg(x) };
    sq_var xs = sq_reshape(sq_stack(twice, 2), (sq_shape){ 3, { 2, s.dim[0], s.dim[1] } });
    const sq_unrolled *u = sq_unroll(t, &cell, xs, &old, &o);
    return *h = sq_dropout(sq_unrolled_outputs(u), RATE, SQ_PER_STEP);
}

/* ---- Runs --------------------------------------------------------------------------------- */

typedef struct setup {
    sq_step_fn *step;
    sq_dtype dtype;
    sq_mode mode, inner;
    int64_t T, B, hidden;
    int32_t threads;
    int unrolls; /* one behind the other, states carried */
} setup;

typedef struct result {
    sq_mode mode;
    int n, plans, masks; /* masks: where the exact ones begin */
    uint64_t runs;
    double x[MOST];
    char explained[2000];
} result;

static void take(result *r, sq_var v, bool grad)
{
    int64_t n = sq_shape_size(sq_shape_of(v));
    cr_assert(r->n + n <= MOST);
    sq_status s = grad ? sq_grad_copy(v, r->x + r->n) : sq_copy(v, r->x + r->n);
    cr_assert(s == SQ_OK, "%s", sq_message(v.tape));
    r->n += (int)n;
}

static void wet_new(wet *w, const setup *s)
{
    static double values[MOST];
    *w = (wet){ .params = sq_params_new(s->dtype), .hidden = s->hidden, .step = s->step };
    w->inner = s->inner;
    w->W = sq_params_add(w->params, "W", sq_mat(IN, s->hidden));
    w->U = sq_params_add(w->params, "U", sq_mat(s->hidden, s->hidden));
    w->b = sq_params_add(w->params, "b", sq_vec(s->hidden));
    sq_weight all[] = { w->W, w->U, w->b };
    for (int i = 0; i < 3; i++) {
        fill(values, s->hidden * s->hidden, 40u + (uint64_t)i, -.3, .3);
        cr_assert(sq_weight_set(w->params, all[i], values) == SQ_OK);
    }
}

static void take_masks(result *r, const sq_unrolled *u)
{
    for (int64_t i = 0; i < sq_unrolled_steps(u); i++) {
        take(r, sq_unrolled_named(u, i, "step"), false);
        take(r, sq_unrolled_named(u, i, "sequence"), false);
    }
}

static int count_plans(const sq_tape *t)
{
    int n = 0;
    for (const sqi_plan *p = t->plans; p; p = p->next) n++;
    return n;
}

static sq_shape cube(int64_t steps, int64_t rows, int64_t width)
{
    return (sq_shape){ 3, { steps, rows, width } };
}

/* Runs it all; values and gradients into r, exact masks last. */
static void run(const setup *s, result *r)
{
    static double values[MOST];
    wet w;
    wet_new(&w, s);
    sq_tape *t = sq_tape_new(s->dtype, w.params);
    sq_tape_set_seed(t, 17);
    if (s->threads) sq_tape_set_threads(t, s->threads);
    sq_cell cell = { "wet", 1, &w.hidden, NULL, s->step, &w };
    w.ones = sq_full(t, sq_mat(s->B, s->hidden), 1);
    fill(values, s->T * s->B * IN, 50, -1, 1);
    sq_var x = sq_leaf(t, cube(s->T, s->B, IN), values);
    fill(values, s->B * s->hidden, 51, -1, 1);
    sq_var h = sq_leaf(t, sq_mat(s->B, s->hidden), values), h0 = h;
    sq_var loss = sq_constant(t, 0);
    const sq_unrolled *u = NULL, *all[4] = { NULL };
    for (int i = 0; i < (s->unrolls ? s->unrolls : 1); i++) {
        sq_unroll_options o = { .mode = s->mode };
        all[i] = u = sq_unroll(t, &cell, x, &h, &o);
        cr_assert(u != NULL, "%s", sq_message(t));
        sq_unrolled_last(u, &h);
        loss = sq_add(loss, sq_sum(sq_square(sq_unrolled_outputs(u))));
    }
    loss = sq_add(loss, sq_sum(h));
    BACKWARD(loss);
    *r = (result){ .mode = sq_unroll_mode(u), .plans = count_plans(t), .runs = sq_tape_run(t) };
    (void)sq_plan_explain(u, r->explained, sizeof r->explained);
    take(r, sq_unrolled_outputs(u), false);
    take(r, h, false);
    take(r, x, true);
    take(r, h0, true);
    sq_weight weights[] = { w.W, w.U, w.b };
    for (int i = 0; i < 3; i++) {
        cr_assert(sq_weight_grad(t, weights[i], r->x + r->n) == SQ_OK);
        r->n += (int)(i == 0 ? IN * s->hidden : i == 1 ? s->hidden * s->hidden : s->hidden);
    }
    r->masks = r->n;
    for (int i = 0; s->step == masks && i < 4 && all[i]; i++) take_masks(r, all[i]);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(w.params);
}

static void expect_close(const result *got, const result *want, double tol, const char *what)
{
    double largest = 0;
    cr_assert(got->n == want->n && got->masks == want->masks);
    for (int i = 0; i < want->masks; i++) largest = fmax(largest, fabs(want->x[i]));
    for (int i = 0; i < want->masks; i++)
        cr_assert(fabs(got->x[i] - want->x[i]) <= tol * largest,
                  "%s: number %d of %d: %g, want %g", what, i, want->masks, got->x[i],
                  want->x[i]);
    EXPECT_SAME_BITS(got->x + got->masks, want->x + want->masks,
                     (size_t)(want->n - want->masks) * sizeof *want->x, what);
}

static result a, b; /* of one test; each runs in its own process */

/* ---- Eager and planned -------------------------------------------------------------------- */

static const struct {
    const char *name;
    sq_step_fn *step;
} cells[] = { { "by_rows", by_rows }, { "masks", masks }, { "of_weights", of_weights } };

Test(plan_dropout, equals_the_eager_unroll)
{
    static const int64_t batches[] = { 1, 3, 8 }; /* 8: as many rows as units */
    for (int i = 0; i < COUNT(cells); i++)
        for (int k = 0; k < COUNT(batches); k++)
            for (int d = 0; d < 2; d++) {
                setup s = { cells[i].step, (sq_dtype)d, SQ_EAGER, SQ_AUTO, 9,
                            batches[k],    8,           0,        2 };
                run(&s, &a);
                s.mode = SQ_PLAN;
                run(&s, &b);
                cr_expect(b.mode == SQ_PLAN);
                cr_expect(b.plans == 1, "%s: the second unroll has a plan of its own",
                          cells[i].name);
                expect_close(&b, &a, d == SQ_F64 ? 1e-12 : 1e-5, cells[i].name);
            }
}

Test(plan_dropout, a_step_that_was_traced_in_vain_has_the_same_numbers)
{
    setup s = { reads_after, SQ_F64, SQ_EAGER, SQ_AUTO, 4, 3, 8, 0, 1 };
    run(&s, &a);
    s.mode = SQ_AUTO;
    run(&s, &b);
    cr_expect(b.mode == SQ_EAGER);
    EXPECT_SAME_BITS(a.x, b.x, (size_t)a.n * sizeof *a.x, "eager and after all eager");
}

Test(plan_dropout, a_step_may_unroll_a_wet_cell)
{
    setup s = { nests, SQ_F64, SQ_EAGER, SQ_EAGER, 3, 4, 8, 0, 2 };
    run(&s, &a);
    s.inner = SQ_PLAN;
    s.mode = SQ_AUTO;
    run(&s, &b);
    expect_close(&b, &a, 1e-12, "nested");
    cr_expect(b.runs == 2, "the inner ones are not counted");
}

/* ---- Bits --------------------------------------------------------------------------------- */

/* Enough work for three threads, and a loop that is dealt out by rows. */
Test(plan_dropout, has_the_same_bits_on_any_number_of_threads)
{
    for (int d = 0; d < 2; d++) {
        setup s = { by_rows, (sq_dtype)d, SQ_PLAN, SQ_AUTO, 60, 9, 56, 1, 1 };
        run(&s, &a);
        cr_expect(strstr(a.explained, "on one thread") == NULL, "%s", a.explained);
        for (s.threads = 2; s.threads <= 3; s.threads++) {
            run(&s, &b);
            cr_expect(b.n == a.n);
            EXPECT_SAME_BITS(a.x, b.x, (size_t)a.n * sizeof *a.x, "threads");
        }
    }
}

/* Column c of row r in step i of the unroll `run`; the numbers 0 and 1 of the step. */
static double mask_at(uint64_t run, uint64_t step, uint64_t ordinal, int64_t r, int64_t c)
{
    sq_random stream = sq_random_stream(17, run, step, ordinal);
    uint32_t word = sq_random_word(stream, (uint64_t)r, (uint64_t)c);
    return word >= (uint32_t)floor(RATE * 4294967296.0) ? 1 / (1 - RATE) : 0;
}

/* Two unrolls, runs 1 and 2: every mask is the formula's; so rows do not depend on the batch. */
Test(plan_dropout, masks_are_the_formula_at_step_and_run)
{
    enum { T = 5, H = 8 };
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++)
        for (int64_t B = 1; B < 12; B += 5) {
            setup s = { masks, SQ_F64, (sq_mode)mode, SQ_AUTO, T, B, H, 1, 2 };
            run(&s, &a);
            const double *m = a.x + a.masks;
            for (uint64_t u = 1; u <= 2; u++)
                for (uint64_t i = 0; i < T; i++)
                    for (uint64_t kind = 0; kind < 2; kind++)
                        for (int64_t e = 0; e < B * H; e++, m++) {
                            double want = mask_at(u, kind ? UINT64_MAX : i, kind, e / H, e % H);
                            cr_assert(m[0] == want, "run %d step %d kind %d element %d", (int)u,
                                      (int)i, (int)kind, (int)e);
                        }
            cr_expect(m == a.x + a.n);
        }
}

/* ---- Edges -------------------------------------------------------------------------------- */

Test(plan_dropout, of_no_steps_and_of_no_rows)
{
    static const int64_t sizes[][2] = { { 0, 3 }, { 4, 0 }, { 0, 0 } };
    for (int i = 0; i < COUNT(sizes); i++) {
        wet w;
        setup s = { .step = by_rows, .dtype = SQ_F32, .hidden = 8 };
        wet_new(&w, &s);
        sq_tape *t = sq_tape_new(SQ_F32, w.params);
        sq_cell cell = { "wet", 1, &w.hidden, NULL, by_rows, &w };
        sq_var x = sq_zeros(t, cube(sizes[i][0], sizes[i][1], IN));
        const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, NULL);
        BACKWARD(sq_sum(sq_unrolled_outputs(u)));
        cr_expect(sq_tape_run(t) == 1);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
        sq_params_free(w.params);
    }
}

static sq_var begins_a_run(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)self, (void)x;
    sq_tape_set_run(t, 5);
    return *h;
}

Test(plan_dropout, a_run_cannot_begin_inside_a_step)
{
    static const int64_t width = 3;
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    sq_cell cell = { "restless", 1, &width, NULL, begins_a_run, NULL };
    sq_var x = sq_zeros(t, cube(2, 2, 3));
    cr_expect(sq_unroll(t, &cell, x, NULL, NULL) == NULL);
    EXPECT_CONTAINS(sq_message(t), "a run cannot begin inside a step of an unroll");
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_set_run(t, 5);
    cr_expect(sq_tape_run(t) == 5);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* Every evaluation of the check draws the same. */
Test(plan_dropout, passes_the_gradient_check)
{
    wet w;
    setup s = { .step = by_rows, .dtype = SQ_F64, .hidden = 4 };
    wet_new(&w, &s);
    sq_cell cell = { "wet", 1, &w.hidden, NULL, by_rows, &w };
    sq_check_result r;
    cr_assert(sq_check_cell(&cell, w.params, 3, 2, IN, NULL, &r) == SQ_OK, "%s", r.text);
    cr_expect(r.ok, "%s", r.text);
    sq_params_free(w.params);
}
