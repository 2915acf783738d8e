/* test_tangent.c -- forward mode is the transpose of reverse mode: for every op, by hand, through
 * unrolls and cuts; and it changes nothing. */
#include "tests/ops/op_case.h"
#include "tests/support/random_run.h"

/* ---- Help --------------------------------------------------------------------------------- */

enum { ROOM = 4096 };

/* <w, J v> where v moves x[0..n) and w = 1 reads every y drawn by seed; and J^T w by a sweep from
 * sum <w, y>. The sweep accumulates in leaves and weights: these alone may be x here. */
typedef struct sides {
    double forward, reverse, largest;
} sides;

static double *numbers_for(sq_var v, uint64_t seed)
{
    return drawn(sq_shape_size(sq_shape_of(v)), seed);
}

static double forward_side(const sq_var *x, int n, const sq_var *y, int m, double *largest)
{
    const double *dx[ROOM / 64];
    double *dy[ROOM / 64], sum = 0;
    for (int i = 0; i < n; i++) dx[i] = numbers_for(x[i], 100u + (uint64_t)i);
    for (int j = 0; j < m; j++) dy[j] = numbers_for(y[j], 1);
    cr_assert(sq_jvp(x, dx, n, y, dy, m) == SQ_OK, "%s", sq_message(y[0].tape));
    for (int j = 0; j < m; j++) {
        int64_t size = sq_shape_size(sq_shape_of(y[j]));
        double *w = numbers_for(y[j], 200u + (uint64_t)j);
        for (int64_t i = 0; i < size; i++) *largest = fmax(*largest, fabs(dy[j][i]));
        sum += inner(size, w, dy[j]);
        free(w), free(dy[j]);
    }
    for (int i = 0; i < n; i++) free((void *)(uintptr_t)dx[i]);
    return sum;
}

static double reverse_side(const sq_var *x, int n, const sq_var *y, int m)
{
    sq_tape *t = y[0].tape;
    sq_var loss = sq_zeros(t, sq_scalar());
    double sum = 0;
    for (int j = 0; j < m; j++) {
        double *w = numbers_for(y[j], 200u + (uint64_t)j);
        loss = sq_add(loss, sq_sum(sq_mul(y[j], sq_input(t, sq_shape_of(y[j]), w))));
        free(w);
    }
    sq_zero_grads(t);
    BACKWARD(loss);
    for (int i = 0; i < n; i++) {
        double *v = numbers_for(x[i], 100u + (uint64_t)i), *g = numbers_for(x[i], 1);
        cr_assert(sq_grad_copy(x[i], g) == SQ_OK, "%s", sq_message(t));
        sum += inner(sq_shape_size(sq_shape_of(x[i])), v, g);
        free(v), free(g);
    }
    return sum;
}

static void expect_transposed(const sq_var *x, int n, const sq_var *y, int m, double tol,
                              const char *what)
{
    double largest = 0, forward = forward_side(x, n, y, m, &largest);
    double reverse = reverse_side(x, n, y, m);
    cr_expect(largest > 1e-3, "%s: nothing moves", what);
    EXPECT_NEAR(forward, reverse, tol, what);
    EXPECT_SOUND(y[0].tape);
}

/* ---- Every op ----------------------------------------------------------------------------- */

static void check_op(const op_case *c, double *const *x)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var leaf[MOST], y;
    const double *dx[MOST];
    double *dy = doubles(c->y_size), *want = doubles(c->y_size);
    for (int32_t k = 0; k < c->n; k++) {
        leaf[k] = sq_leaf(t, c->xs[k], x[k]);
        dx[k] = drawn(c->x_size[k], 30u + (uint64_t)k);
        push(c, in_double(), x, k, dx[k], want);
    }
    y = sq_apply(c->op, leaf, c->n, &c->attr);
    cr_assert(sq_jvp(leaf, dx, c->n, &y, &dy, 1) == SQ_OK, "%s: %s", c->label, sq_message(t));
    EXPECT_ALL_NEAR(dy, want, c->y_size, 1e-14, c->label);
    double *w = drawn(c->y_size, 50), back = 0;
    cr_assert(sq_backward_from(y, w) == SQ_OK, "%s: %s", c->label, sq_message(t));
    for (int32_t k = 0; k < c->n; k++) {
        double *g = doubles(c->x_size[k]);
        cr_assert(sq_grad_copy(leaf[k], g) == SQ_OK);
        back += inner(c->x_size[k], g, dx[k]);
        free(g), free((void *)(uintptr_t)dx[k]);
    }
    EXPECT_NEAR(inner(c->y_size, w, dy), back, 1e-11, c->label);
    free(dy), free(want), free(w);
    sq_tape_free(t);
}

Test(ops, forward_is_the_transpose_of_reverse) { every_case(check_op); }

/* ---- By hand ------------------------------------------------------------------------------ */

/* y = x^3 at 2, seen as x, as x x, through a detached x. */
Test(by_hand, a_cube)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), c = sq_constant(t, 3);
    sq_var square = sq_mul(x, x), cube = sq_mul(square, x), held = sq_mul(sq_detach(square), x);
    sq_var by = sq_mul(cube, c), y[] = { cube, held, by, c, x };
    double v = 1, u = 10, d[5];
    double *dy[] = { &d[0], &d[1], &d[2], &d[3], &d[4] };
    cr_assert(sq_jvp(&x, (const double *[]){ &v }, 1, y, dy, 5) == SQ_OK);
    EXPECT_ALL_NEAR(d, ((double[]){ 12, 4, 36, 0, 1 }), 5, 0, "along x");
    /* A result moves by what comes down to it and by its own; a constant may move, too. */
    sq_var both[] = { x, square, c };
    cr_assert(sq_jvp(both, (const double *[]){ &v, &u, &v }, 3, y, dy, 5) == SQ_OK);
    EXPECT_ALL_NEAR(d, ((double[]){ 32, 4, 104, 1, 1 }), 5, 0, "along x, x^2 and c");
    /* Twice the same variable: both count. Nothing moves: zeros. */
    cr_assert(sq_jvp((sq_var[]){ x, x }, (const double *[]){ &v, &u }, 2, y, dy, 1) == SQ_OK);
    EXPECT_NEAR(d[0], 132, 0, "x twice");
    cr_assert(sq_jvp(NULL, NULL, 0, y, dy, 5) == SQ_OK, "%s", sq_message(t));
    EXPECT_ALL_NEAR(d, ((double[]){ 0, 0, 0, 0, 0 }), 5, 0, "nothing");
    cr_assert(sq_jvp(&x, (const double *[]){ &v }, 1, NULL, NULL, 0) == SQ_OK);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* ---- Over time ---------------------------------------------------------------------------- */

enum { B = 3, I = 2, H = 4, T = 5 };

typedef struct run {
    net n;
    sq_tape *t;
    sq_var x, h0[2], w[13];
    const sq_unrolled *u;
    int n_w;
} run;

static void take_weights(run *r)
{
    r->n_w = 0;
    for (int32_t i = 1; i <= sq_params_count(r->n.params); i++)
        r->w[r->n_w++] = sq_use(r->t, (sq_weight){ i });
}

/* How it is unrolled: all steps kept, and a snapshot every so many. */
static const sq_unroll_options ways[] = {
    { .mode = SQ_EAGER },
    { .mode = SQ_PLAN },
    { .mode = SQ_EAGER, .every = 2, .state_grads = true },
    { .mode = SQ_PLAN, .every = 2, .state_grads = true },
};

static void run_new(run *r, sq_dtype dtype, const sq_unroll_options *way)
{
    double x[T * B * I], h[2][B * H];
    net_new(&r->n, dtype, I, H, 5);
    r->t = sq_tape_new(dtype, r->n.params);
    fill(x, T * B * I, 6, -1, 1);
    r->x = sq_leaf(r->t, sq_shape3(T, B, I), x);
    for (int k = 0; k < 2; k++) {
        fill(h[k], B * H, 7u + (uint64_t)k, -1, 1);
        r->h0[k] = sq_leaf(r->t, sq_mat(B, H), h[k]);
    }
    take_weights(r);
    r->u = sq_unroll(r->t, &r->n.cell, r->x, r->h0, way);
    ASSERT_HEALTHY(r->t);
    cr_assert(sq_unroll_mode(r->u) == way->mode);
}

static void run_free(run *r)
{
    sq_tape_free(r->t);
    net_free(&r->n);
}

/* All that moves, and all that can be asked. */
static int movers(const run *r, sq_var *x)
{
    int n = 0;
    x[n++] = r->x;
    for (int k = 0; k < 2; k++) x[n++] = r->h0[k];
    for (int i = 0; i < r->n_w; i++) x[n++] = r->w[i];
    return n;
}

static int asked(const run *r, sq_var *y)
{
    int m = 0;
    y[m++] = sq_unrolled_outputs(r->u);
    for (int i = 0; i < T; i += 2) y[m++] = sq_unrolled_output(r->u, i);
    for (int i = -1; i < T; i++)
        for (int k = 0; k < 2; k++) y[m++] = sq_unrolled_state(r->u, i, k);
    y[m++] = sq_tanh(y[0]);
    return m;
}

static void check_unroll(const sq_unroll_options *way, sq_dtype dtype, double tol)
{
    run r;
    sq_var x[16], y[32];
    run_new(&r, dtype, way);
    int n = movers(&r, x), m = asked(&r, y);
    expect_transposed(x, n, y, m, tol, "all at once");
    for (int i = 0; i < n; i++) expect_transposed(x + i, 1, y, m, tol, "one by one");
    run_free(&r);
}

Test(unroll, in_every_way)
{
    for (int i = 0; i < COUNT(ways); i++) check_unroll(&ways[i], SQ_F64, 1e-12);
}

Test(unroll, in_single_precision)
{
    for (int i = 0; i < COUNT(ways); i++) check_unroll(&ways[i], SQ_F32, 1e-4);
}

/* A state, an output and all outputs as what moves: their gradients are read after a sweep. */
static void check_parts(const sq_unroll_options *way)
{
    run r;
    sq_var y[32];
    run_new(&r, SQ_F64, way);
    int m = asked(&r, y);
    sq_var x[] = { sq_unrolled_state(r.u, 1, 0), sq_unrolled_state(r.u, 1, 1),
                   sq_unrolled_state(r.u, -1, 1), sq_unrolled_output(r.u, 2),
                   sq_unrolled_state(r.u, T - 1, 0) };
    expect_transposed(x, COUNT(x), y, m, 1e-12, "parts");
    for (int i = 0; i < COUNT(x); i++) expect_transposed(x + i, 1, y, m, 1e-12, "a part");
    run_free(&r);
}

Test(unroll, parts_move)
{
    for (int i = 0; i < COUNT(ways); i++) check_parts(&ways[i]);
}

/* A cell with names, a random mask, a value from outside and an output that is no state. */
typedef struct mixed {
    sq_weight U;
    sq_var outside;
} mixed;

static sq_var mixed_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const mixed *w = self;
    sq_var z = sq_name(sq_add(x, sq_matmul(*h, sq_use(t, w->U))), "z");
    sq_var d = sq_dropout(sq_mul(z, w->outside), .4, SQ_PER_STEP);
    *h = sq_tanh(sq_add(d, sq_dropout(*h, .3, SQ_PER_SEQUENCE)));
    return sq_mul(sq_name(sq_sigmoid(z), "gate"), *h);
}

static void check_mixed(const sq_unroll_options *way, double *forward)
{
    double x[T * B * H], w[H * H], o[B * H];
    mixed self;
    sq_params *p = sq_params_new(SQ_F64);
    self.U = sq_params_add(p, "U", sq_mat(H, H));
    fill(w, H * H, 21, -1, 1), fill(x, T * B * H, 22, -1, 1), fill(o, B * H, 23, .5, 2);
    cr_assert(sq_weight_set(p, self.U, w) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var xs = sq_leaf(t, sq_shape3(T, B, H), x), leaf = sq_leaf(t, sq_mat(B, H), o);
    self.outside = sq_square(leaf);
    sq_cell cell = { "mixed", 1, (int64_t[]){ H }, NULL, mixed_step, &self };
    const sq_unrolled *u = sq_unroll(t, &cell, xs, NULL, way);
    ASSERT_HEALTHY(t);
    sq_var y[] = { sq_unrolled_outputs(u), sq_unrolled_named(u, 3, "z"),
                   sq_unrolled_named(u, 4, "gate"), sq_unrolled_state(u, 4, 0) };
    sq_var in[] = { xs,
                    leaf,
                    sq_use(t, self.U),
                    sq_unrolled_named(u, 1, "z"),
                    sq_unrolled_named(u, 2, "gate"),
                    sq_unrolled_output(u, 3) };
    double largest = 0;
    *forward = forward_side(in, COUNT(in), y, COUNT(y), &largest);
    expect_transposed(in, COUNT(in), y, COUNT(y), 1e-12, "mixed");
    for (int i = 0; i < COUNT(in); i++)
        expect_transposed(in + i, 1, y, COUNT(y), 1e-12, "mixed");
    sq_tape_free(t);
    sq_params_free(p);
}

Test(unroll, names_masks_and_values_from_outside)
{
    double forward[COUNT(ways)];
    for (int i = 0; i < COUNT(ways); i++) {
        check_mixed(&ways[i], &forward[i]);
        EXPECT_NEAR(forward[i], forward[0], 1e-12, "eager and otherwise");
    }
}

/* Windows recorded with other weights move along with every version; a cut is the end of it. */
static void check_versions(const sq_unroll_options *way)
{
    run r;
    double first[B * H];
    run_new(&r, SQ_F64, way);
    sq_var carry[2], y[1];
    sq_unrolled_last(r.u, carry);
    double *flat = sq_params_update(r.n.params);
    for (int64_t i = 0; i < sq_params_size(r.n.params); i++) flat[i] *= 1.5;
    double x2[T * B * I];
    fill(x2, T * B * I, 61, -1, 1);
    sq_var more = sq_leaf(r.t, sq_shape3(T, B, I), x2);
    r.u = sq_unroll(r.t, &r.n.cell, more, carry, way);
    take_weights(&r);
    y[0] = sq_unrolled_state(r.u, T - 1, 0);
    for (int i = 0; i < r.n_w; i++)
        expect_transposed(&r.w[i], 1, y, 1, 1e-12, "a weight of two versions");
    expect_transposed(&r.x, 1, y, 1, 1e-12, "x of the first window");
    sq_var last = sq_unrolled_state(r.u, T - 2, 0);
    cr_assert(sq_cut(r.t, 3, &last, 1) == SQ_OK);
    for (int i = 0; i < r.n_w; i++) r.w[i] = sq_use(r.t, (sq_weight){ i + 1 });
    for (int i = 0; i < r.n_w; i++) expect_transposed(&r.w[i], 1, y, 1, 1e-12, "a weight, cut");
    double zero[T * B * I] = { 1 }, *dy = first;
    cr_assert(sq_jvp(&r.x, (const double *[]){ zero }, 1, y, &dy, 1) == SQ_OK);
    for (int i = 0; i < B * H; i++) cr_expect(first[i] == 0, "what was cut moves nothing");
    run_free(&r);
}

/* The initial state outlives the cut of the steps that it moved. */
static void check_cut(const sq_unroll_options *way)
{
    run r;
    run_new(&r, SQ_F64, way);
    sq_var y = sq_unrolled_state(r.u, T - 1, 0);
    cr_assert(sq_cut(r.t, 2, &y, 1) == SQ_OK);
    expect_transposed(&r.x, 1, &y, 1, 1e-12, "x of what is left");
    for (int k = 0; k < 2; k++) {
        double v[B * H], d[B * H], *dy = d;
        fill(v, B * H, 71, -1, 1);
        cr_assert(sq_jvp(&r.h0[k], (const double *[]){ v }, 1, &y, &dy, 1) == SQ_OK);
        for (int i = 0; i < B * H; i++)
            cr_expect(d[i] == 0, "the initial state moves something");
    }
    run_free(&r);
}

Test(unroll, versions_and_cuts)
{
    for (int i = 0; i < COUNT(ways); i++) {
        check_cut(&ways[i]);
        check_versions(&ways[i]);
    }
}

/* ---- Random cells ------------------------------------------------------------------------- */

enum { MOST_MOVERS = RC_STATES + RC_INVARIANTS + RC_WEIGHTS + 1 };

/* Leaves, and the weights that are not frozen. */
static int run_movers(const rc_run *r, sq_var *x)
{
    int n = 0;
    if (r->x_leaf.id) x[n++] = r->x_leaf;
    for (int k = 0; k < r->c->n_states; k++)
        if (r->state_leaf[k].id) x[n++] = r->state_leaf[k];
    for (int i = 0; i < r->c->n_invariants; i++)
        if (r->invariant_leaf[i].id) x[n++] = r->invariant_leaf[i];
    for (int32_t i = 1; i <= sq_params_count(r->params); i++)
        if (!sq_weight_frozen(r->params, (sq_weight){ i }))
            x[n++] = sq_use(r->t, (sq_weight){ i });
    return n;
}

static int n_random; /* random cells that were checked */

static bool is_transposed(const random_cell *c, char *why, size_t n)
{
    bool ok = c->T > 0;
    for (int i = 0; i < c->n_nodes; i++) { /* users' ops without forward mode */
        const rc_kind *kind = c->node[i].kind;
        if (kind == &rc_own_cubic || kind == &rc_own_scale || kind == &rc_own_centre)
            return true;
    }
    n_random += ok;
    for (int way = 0; ok && way < 4; way++) {
        rc_run r;
        sq_mode mode = way % 2 ? SQ_EAGER : SQ_AUTO;
        rc_open(&r, c,
                (rc_setup){ .dtype = SQ_F64,
                            .mode = mode,
                            .memory = { .every = way / 2 * 2, .state_grads = way > 1 },
                            .T = c->T,
                            .B = c->B,
                            .data = c->seed });
        rc_feed(&r);
        rc_unroll(&r);
        sq_var x[MOST_MOVERS], y[2 * RC_STATES + 1];
        int m = 0;
        for (int k = 0; k < c->n_states; k++) y[m++] = sq_unrolled_state(r.u, c->T - 1, k);
        for (int k = 0; k < c->n_states; k++) y[m++] = sq_unrolled_state(r.u, c->T / 2, k);
        if (sq_ok(sq_unrolled_outputs(r.u))) y[m++] = sq_unrolled_outputs(r.u);
        int n_x = run_movers(&r, x);
        double largest = 1, f = n_x ? forward_side(x, n_x, y, m, &largest) : 0;
        double b = n_x ? reverse_side(x, n_x, y, m) : 0;
        ok = fabs(f - b) <= 1e-10 * fmax(largest, fabs(b)) && rc_is_well(&r, why, n);
        if (!ok) snprintf(why, n, "way %d: forward %.17g, reverse %.17g", way, f, b);
        rc_close(&r);
    }
    return ok || !c->T;
}

Test(unroll, random_cells, .timeout = 120)
{
    rc_over("forward and reverse", 4000, FEWER(150), 1e3, is_transposed);
    cr_expect(n_random >= FEWER(50), "only %d cells", n_random);
}

/* ---- It observes -------------------------------------------------------------------------- */

Test(observing, changes_no_gradient)
{
    for (int way = 0; way < COUNT(ways); way++) {
        run r;
        double before[B * H], after[B * H], v[T * B * I] = { 1 }, out[B * H], *dy = out;
        run_new(&r, SQ_F64, &ways[way]);
        sq_var state = sq_unrolled_state(r.u, 2, 1), y = sq_unrolled_state(r.u, T - 1, 0);
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(r.u))));
        double *grads = grads_copy(r.t);
        sq_ledger *first =
            sq_ledger_new(r.u, sq_sum(sq_square(sq_unrolled_outputs(r.u))), NULL);
        cr_assert(sq_grad_copy(state, before) == SQ_OK);
        cr_assert(sq_jvp(&r.x, (const double *[]){ v }, 1, &y, &dy, 1) == SQ_OK);
        cr_assert(sq_grad_copy(state, after) == SQ_OK);
        EXPECT_SAME_BITS(before, after, sizeof before, "gradients of a state");
        EXPECT_SAME_BITS(grads, sq_grads(r.t), params_bytes(r.n.params), "weight gradients");
        /* A probe after it starts afresh. */
        sq_ledger *l = sq_ledger_new(r.u, sq_sum(sq_square(sq_unrolled_outputs(r.u))), NULL);
        EXPECT_NEAR(sq_ledger_total(l, 2, 1), sq_grad_norm(state), 1e-12, "the ledger");
        for (int i = 0; i < 2 * T; i++)
            cr_expect(sq_ledger_total(l, i / 2, i % 2) == sq_ledger_total(first, i / 2, i % 2));
        sq_ledger_free(l);
        sq_ledger_free(first);
        ASSERT_HEALTHY(r.t);
        free(grads);
        run_free(&r);
    }
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

static bool same_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                       sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

static void copy_forward(const sq_call *c)
{
    memcpy(c->y, c->x[0], (size_t)sq_shape_size(c->ys) * sq_dtype_size(c->dtype));
}

static const sq_op op_one_way = {
    .name = "one_way", .arity = 1, .shape = same_shape, .forward = copy_forward
};

Test(mistakes, have_sentences)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL), *other = sq_tape_new(SQ_F64, NULL);
    double v = 1, d = 0, *dy = &d;
    const double *dx = &v, *none = NULL;
    sq_var x = sq_leaf(t, sq_scalar(), &v), y = sq_square(x), foreign = sq_constant(other, 1);
    cr_expect(sq_jvp(&x, &none, 1, &y, &dy, 1) == SQ_EVALUE);
    EXPECT_TEXT(sq_message(t), "jvp: the array for x 0 is NULL");
    cr_expect(sq_jvp(&x, &dx, 1, &y, &dy, 1) == SQ_EVALUE, "the first mistake stays");
    sq_tape_reset(t);
    cr_expect(sq_jvp(&x, &dx, 1, &y, &dy, 1) == SQ_EVAR);
    EXPECT_TEXT(sq_message(t), "jvp: x is stale: the tape was reset");
    sq_tape_reset(t);
    x = sq_leaf(t, sq_scalar(), &v), y = sq_square(x);
    cr_expect(sq_jvp(&x, &dx, 1, &foreign, &dy, 1) == SQ_EVAR);
    EXPECT_TEXT(sq_message(t), "jvp: y belongs to another tape");
    sq_tape_reset(t);
    x = sq_leaf(t, sq_scalar(), &v), y = sq_apply(&op_one_way, &x, 1, NULL);
    cr_expect(sq_jvp(&x, &dx, 1, &y, &dy, 1) == SQ_EGRAD);
    EXPECT_TEXT(sq_message(t), "jvp: one_way has no jvp: it cannot be differentiated forward");
    sq_tape_reset(t);
    x = sq_leaf(t, sq_scalar(), &v);
    cr_expect(sq_jvp(&x, NULL, 1, &x, &dy, 1) == SQ_EVALUE);
    EXPECT_ERROR(t, SQ_EVALUE);
    x = sq_leaf(t, sq_scalar(), &v);
    cr_expect(sq_jvp(&x, &dx, -1, &x, &dy, 1) == SQ_EVALUE);
    EXPECT_ERROR(t, SQ_EVALUE);
    cr_expect(sq_jvp(NULL, NULL, 0, NULL, NULL, 0) == SQ_EVAR);
    sq_tape_free(t);
    sq_tape_free(other);
}
