/* test_unroll.c -- sq_unroll is the for loop a user would write, to the bit, with its
 * bookkeeping: outputs in four forms, states at every step, total and immediate gradients.
 *
 * The oracle is that loop, written here over core and ops alone. */
#include "tests/support/support.h"

enum { B = 3, I = 2, H = 4, T = 6 };

typedef struct data {
    double x[T * B * I], h[B * H], c[B * H], r[T * B * H];
} data;

static void draw(data *d)
{
    fill(d->x, COUNT(d->x), 1, -1, 1);
    fill(d->h, COUNT(d->h), 2, -1, 1);
    fill(d->c, COUNT(d->c), 3, -1, 1);
    fill(d->r, COUNT(d->r), 4, -1, 1);
}

static sq_var step_of(sq_var x, int i)
{
    sq_shape s = sq_shape_of(x);
    return sq_reshape(sq_slice(x, 0, i, 1), sq_mat(s.dim[1], s.dim[2]));
}

/* What a run leaves behind. */
typedef struct traces {
    double y[T * B * H], gx[T * B * I], g0[2][B * H], gs[2][T][B * H], go[T][B * H];
    void *gw;
} traces;

/* As a user would write it; `aliased` stacks copies of the outputs, apart from the states, so
 * that states and outputs have gradients of their own, as sq_unroll has them. */
static sq_var loop(sq_tape *t, const net *n, sq_var x, const sq_var *s0, sq_var (*states)[2],
                   sq_var *outputs, bool aliased)
{
    sq_var s[2] = { s0[0], s0[1] };
    for (int i = 0; i < T; i++) {
        sq_begin_step(t);
        sq_var y = n->cell.step(t, n->cell.self, step_of(x, i), s);
        outputs[i] = aliased ? sq_keep_grad(sq_reshape(y, sq_shape_of(y))) : y;
        for (int k = 0; k < 2; k++) states[i][k] = sq_keep_grad(s[k]);
    }
    sq_end_step(t);
    return sq_stack(outputs, T);
}

typedef enum how { BY_HAND, BY_HAND_ALIASED, BY_UNROLL } how;

static void trace(traces *o, const net *n, sq_dtype dtype, const data *d, how way)
{
    sq_tape *t = sq_tape_new(dtype, n->params);
    sq_var x = sq_leaf(t, sq_shape3(T, B, I), d->x), s0[2], states[T][2], outputs[T], all;
    s0[0] = sq_leaf(t, sq_mat(B, H), d->h);
    s0[1] = sq_leaf(t, sq_mat(B, H), d->c);
    if (way == BY_UNROLL) {
        const sq_unrolled *u =
            sq_unroll(t, &n->cell, x, s0, &(sq_unroll_options){ .mode = SQ_EAGER });
        cr_assert(u != NULL, "%s", sq_message(t));
        all = sq_unrolled_outputs(u);
        for (int i = 0; i < T; i++) {
            for (int k = 0; k < 2; k++) states[i][k] = sq_unrolled_state(u, i, k);
            outputs[i] = sq_unrolled_output(u, i);
        }
    } else {
        all = loop(t, n, x, s0, states, outputs, way == BY_HAND_ALIASED);
    }
    sq_copy(all, o->y);
    BACKWARD(sq_sum(sq_mul(sq_input(t, sq_shape3(T, B, H), d->r), sq_square(all))));
    sq_grad_copy(x, o->gx);
    for (int k = 0; k < 2; k++) {
        sq_grad_copy(s0[k], o->g0[k]);
        for (int i = 0; i < T; i++) sq_grad_copy(states[i][k], o->gs[k][i]);
    }
    for (int i = 0; i < T; i++) sq_grad_copy(outputs[i], o->go[i]);
    o->gw = grads_copy(t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(unroll, equals_the_loop_by_hand_bit_for_bit)
{
    static traces a, b;
    data d;
    draw(&d);
    for (int dtype = 0; dtype < 2; dtype++) {
        net n;
        net_new(&n, (sq_dtype)dtype, I, H, 5);
        trace(&a, &n, (sq_dtype)dtype, &d, BY_HAND_ALIASED);
        trace(&b, &n, (sq_dtype)dtype, &d, BY_UNROLL);
        EXPECT_SAME_BITS(a.y, b.y, sizeof a.y, "outputs");
        EXPECT_SAME_BITS(a.gx, b.gx, sizeof a.gx, "input gradients");
        EXPECT_SAME_BITS(a.g0, b.g0, sizeof a.g0, "initial state gradients");
        EXPECT_SAME_BITS(a.gs, b.gs, sizeof a.gs, "total gradients");
        EXPECT_SAME_BITS(a.go, b.go, sizeof a.go, "immediate gradients");
        EXPECT_SAME_BITS(a.gw, b.gw, params_bytes(n.params), "weight gradients");
        free(a.gw);
        free(b.gw);
        net_free(&n);
    }
}

/* Stacking the states themselves adds the same numbers in another order. */
Test(unroll, equals_the_plainest_loop_to_rounding)
{
    static traces a, b;
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    trace(&a, &n, SQ_F64, &d, BY_HAND);
    trace(&b, &n, SQ_F64, &d, BY_UNROLL);
    EXPECT_SAME_BITS(a.y, b.y, sizeof a.y, "outputs");
    EXPECT_ALL_NEAR(a.gx, b.gx, COUNT(a.gx), 1e-14, "input gradients");
    for (int k = 0; k < 2; k++) {
        EXPECT_ALL_NEAR(a.g0[k], b.g0[k], B * H, 1e-14, "initial state gradients");
        for (int i = 0; i < T; i++)
            EXPECT_ALL_NEAR(a.gs[k][i], b.gs[k][i], B * H, 1e-14, "total gradients");
    }
    EXPECT_ALL_NEAR((double *)a.gw, (double *)b.gw, sq_params_size(n.params), 1e-14, "weights");
    free(a.gw);
    free(b.gw);
    net_free(&n);
}

Test(unroll, answers_about_itself)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    sq_var x = sq_input(t, sq_shape3(T, B, I), d.x), last[2];
    const sq_unrolled *u = sq_unroll(t, &n.cell, x, NULL, NULL);
    cr_assert(u != NULL);
    cr_expect(sq_unrolled_steps(u) == T && sq_unrolled_n_states(u) == 2);
    cr_expect(sq_unrolled_tape(u) == t);
    EXPECT_TEXT(sq_unrolled_state_name(u, 0), "h");
    EXPECT_TEXT(sq_unrolled_state_name(u, 1), "c");
    cr_expect(sq_current_step(t) == -1, "no step is open afterwards");
    cr_expect(sq_tape_statistics(t).steps == T);
    cr_expect(sq_shape_equal(sq_shape_of(sq_unrolled_outputs(u)), sq_shape3(T, B, H)));
    for (int i = -1; i < T; i++)
        for (int k = 0; k < 2; k++) {
            cr_expect(sq_ok(sq_unrolled_state(u, i, k)), "%d %d", i, k);
            cr_expect(sq_shape_equal(sq_shape_of(sq_unrolled_state(u, i, k)), sq_mat(B, H)));
        }
    cr_expect(sq_norm(sq_unrolled_state(u, -1, 0)) == 0, "no initial state means zeros");
    sq_unrolled_last(u, last);
    double a[B * H], b[B * H];
    for (int k = 0; k < 2; k++) {
        sq_copy(last[k], a);
        sq_copy(sq_unrolled_state(u, T - 1, k), b);
        EXPECT_SAME_BITS(a, b, sizeof a, "last states");
    }
    ASSERT_HEALTHY(t);
    cr_expect(sq_ok(sq_unrolled_state(u, T, 0)) == false);
    sq_tape_reset(t);
    sq_tape_free(t);
    net_free(&n);
}

Test(unroll, out_of_range_answers_no_value)
{
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    for (int v = 0; v < 6; v++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        const sq_unrolled *u =
            sq_unroll(t, &n.cell, sq_zeros(t, sq_shape3(T, B, I)), NULL, NULL);
        cr_assert(u != NULL);
        sq_var y[6] = { sq_unrolled_state(u, -2, 0), sq_unrolled_state(u, T, 0),
                        sq_unrolled_state(u, 0, 2),  sq_unrolled_state(u, 0, -1),
                        sq_unrolled_output(u, -1),   sq_unrolled_output(u, T) };
        cr_expect(sq_ok(y[v]) == false, "%d", v);
        EXPECT_SOUND(t);
        sq_tape_free(t);
    }
    net_free(&n);
}

Test(unroll, of_nothing_answers_nothing)
{
    cr_expect(sq_ok(sq_unrolled_outputs(NULL)) == false);
    cr_expect(sq_ok(sq_unrolled_output(NULL, 0)) == false);
    cr_expect(sq_ok(sq_unrolled_state(NULL, 0, 0)) == false);
    cr_expect(sq_unrolled_steps(NULL) == 0 && sq_unrolled_n_states(NULL) == 0);
    cr_expect(sq_unrolled_tape(NULL) == NULL);
    (void)sq_unrolled_state_name(NULL, 0);
    sq_unrolled_last(NULL, NULL);
}

/* ---- The four forms of outputs ----------------------------------------------------------- */

static sq_var squared(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self;
    *state = sq_add(sq_mul_scalar(*state, .5), x);
    return sq_sum(sq_square(*state)); /* a scalar loss per step */
}

static const int64_t two_wide[1] = { 2 };
static const sq_cell loss_cell = { "loss", 1, two_wide, NULL, squared, NULL };

Test(outputs, all_last_sum_none)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double x[3 * 1 * 2] = { 1, 2, 3, 4, 5, 6 };
    /* h: (1,2) (3.5,5) (6.75,8.5); squares summed: 5, 37.25, 117.8125 */
    const double want[3] = { 5, 37.25, 117.8125 };
    for (int form = 0; form < 4; form++) {
        sq_tape_reset(t);
        sq_unroll_options o = { .outputs = (sq_outputs)form };
        sq_var xs = sq_leaf(t, sq_shape3(3, 1, 2), x);
        const sq_unrolled *u = sq_unroll(t, &loss_cell, xs, NULL, &o);
        cr_assert(u != NULL, "%s", sq_message(t));
        sq_var y = sq_unrolled_outputs(u);
        double got[3];
        if (form == SQ_OUTPUTS_ALL) {
            cr_expect(sq_shape_equal(sq_shape_of(y), sq_vec(3)));
            sq_copy(y, got);
            EXPECT_ALL_NEAR(got, want, 3, 0, "all");
        } else if (form == SQ_OUTPUTS_LAST) {
            cr_expect(sq_item(y) == want[2]);
        } else if (form == SQ_OUTPUTS_SUM) {
            cr_expect(sq_shape_of(y).rank == 0 && sq_item(y) == want[0] + want[1] + want[2]);
            BACKWARD(y);
            double
                g[6]; /* dL/dh_3 = 2 h_3, dL/dh_t = 2 h_t + .5 dL/dh_(t+1); dL/dx_t the same */
            sq_grad_copy(xs, g);
            EXPECT_ALL_NEAR(g,
                            ((double[]){ 2 + .5 * (7 + 6.75), 4 + .5 * (10 + 8.5), 7 + 6.75,
                                         10 + 8.5, 13.5, 17 }),
                            6, 1e-15, "dL/dx");
        } else {
            cr_expect(sq_ok(y) == false && sq_tape_status(t) == SQ_OK);
        }
        ASSERT_HEALTHY(t);
    }
    sq_tape_free(t);
}

/* One weight gradient, whichever form the same loss is asked through. */
Test(outputs, sum_and_all_give_the_same_gradients)
{
    data d;
    draw(&d);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double g[2][T * B * 2];
    for (int form = 0; form < 2; form++) {
        sq_tape_reset(t);
        sq_unroll_options o = { .outputs = form ? SQ_OUTPUTS_SUM : SQ_OUTPUTS_ALL };
        sq_var xs = sq_leaf(t, sq_shape3(T, B, 2), d.x);
        BACKWARD(sq_sum(sq_unrolled_outputs(sq_unroll(t, &loss_cell, xs, NULL, &o))));
        sq_grad_copy(xs, g[form]);
    }
    EXPECT_ALL_NEAR(g[0], g[1], COUNT(g[0]), 1e-14, "dL/dx");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* ---- Edges ------------------------------------------------------------------------------- */

Test(edges, no_steps)
{
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    data d;
    draw(&d);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    for (int form = 0; form < 4; form++) {
        sq_tape_reset(t);
        sq_zero_grads(t);
        sq_unroll_options o = { .outputs = (sq_outputs)form };
        sq_var x = sq_zeros(t, sq_shape3(0, B, I)), s[2];
        s[0] = sq_leaf(t, sq_mat(B, H), d.h);
        s[1] = sq_leaf(t, sq_mat(B, H), d.c);
        const sq_unrolled *u = sq_unroll(t, &n.cell, x, s, &o);
        cr_assert(u != NULL, "%s", sq_message(t));
        cr_expect(sq_unrolled_steps(u) == 0);
        sq_var last[2], y = sq_unrolled_outputs(u);
        sq_unrolled_last(u, last);
        if (form == SQ_OUTPUTS_LAST) cr_expect(sq_ok(y) == false);
        if (form == SQ_OUTPUTS_SUM) cr_expect(sq_item(y) == 0);
        double got[B * H];
        sq_copy(last[1], got);
        EXPECT_SAME_BITS(got, d.c, sizeof got, "the initial state");
        BACKWARD(sq_sum(last[0]));
        cr_expect(sq_grad_norm(s[0]) == sqrt(B * H));
        ASSERT_HEALTHY(t);
    }
    sq_tape_free(t);
    net_free(&n);
}

Test(edges, no_rows)
{
    net n;
    net_new(&n, SQ_F32, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F32, n.params);
    const sq_unrolled *u = sq_unroll(t, &n.cell, sq_zeros(t, sq_shape3(T, 0, I)), NULL, NULL);
    sq_var y = sq_unrolled_outputs(u), loss = sq_sum(sq_square(y));
    cr_expect(sq_shape_equal(sq_shape_of(y), sq_shape3(T, 0, H)), "%s", sq_message(t));
    cr_expect(sq_item(loss) == 0);
    BACKWARD(loss);
    cr_expect(sq_grads_norm(t) == 0);
    cr_expect(sq_grad_norm(sq_unrolled_state(u, 1, 0)) == 0);
    ASSERT_HEALTHY(t);
    cr_expect(sq_ok(sq_mean(y)) == false && sq_tape_status(t) != SQ_OK, "mean of nothing");
    EXPECT_CONTAINS(sq_message(t), "mean");
    sq_tape_free(t);
    net_free(&n);
}

/* A state that was not given is zeros, also when another one was. */
Test(edges, some_initial_states)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    double y[3][T * B * H];
    for (int form = 0; form < 3; form++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        sq_var zero = sq_zeros(t, sq_mat(B, H)), c = sq_input(t, sq_mat(B, H), d.c);
        sq_var s[3][2] = { { zero, c }, { { 0 }, c }, { { t, 0 }, c } };
        sq_var x = sq_input(t, sq_shape3(T, B, I), d.x);
        sq_copy(sq_unrolled_outputs(sq_unroll(t, &n.cell, x, s[form], NULL)), y[form]);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "{0}");
    EXPECT_SAME_BITS(y[0], y[2], sizeof y[0], "{t, 0}");
    net_free(&n);
}

static sq_var doubling(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self;
    if (sq_ok(x)) return (sq_var){ 0 };
    return *state = sq_mul_scalar(*state, 2);
}

static const sq_cell doubling_cell = { "doubling", 1, two_wide, NULL, doubling, NULL };

Test(edges, without_inputs)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var s = sq_leaf(t, sq_mat(1, 2), ((double[]){ 1, -3 })), none = { 0 };
    sq_unroll_options o = { .steps = 5 };
    const sq_unrolled *u = sq_unroll(t, &doubling_cell, none, &s, &o);
    double y[10];
    cr_assert(u != NULL, "%s", sq_message(t));
    cr_expect(sq_shape_equal(sq_shape_of(sq_unrolled_outputs(u)), sq_shape3(5, 1, 2)));
    sq_copy(sq_unrolled_outputs(u), y);
    for (int i = 0; i < 10; i++) cr_expect(y[i] == (i % 2 ? -3 : 1) * (2 << i / 2));
    o.batch = 4;
    u = sq_unroll(t, &doubling_cell, none, NULL, &o);
    cr_assert(u != NULL, "%s", sq_message(t));
    cr_expect(sq_shape_equal(sq_shape_of(sq_unrolled_outputs(u)), sq_shape3(5, 4, 2)));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(edges, shapes_that_do_not_fit)
{
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    for (int i = 0; i < 5; i++) {
        sq_var x = sq_zeros(t, sq_shape3(T, B, I)), s[2] = { { 0 } };
        if (i == 0) x = sq_zeros(t, sq_mat(B, I));
        if (i == 1) x = sq_zeros(t, sq_shape3(T, B, I + 1));
        if (i == 2) s[0] = sq_zeros(t, sq_mat(B + 1, H));
        if (i == 3) s[1] = sq_zeros(t, sq_mat(B, H + 1));
        if (i == 4) s[0] = sq_zeros(t, sq_vec(H));
        cr_expect(sq_unroll(t, &n.cell, x, s, NULL) == NULL, "case %d", i);
        EXPECT_ERROR(t, SQ_ESHAPE);
    }
    sq_tape_free(t);
    net_free(&n);
}

/* Told on the tape that was asked; the other one is not written to. */
Test(edges, operands_of_another_tape)
{
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    for (int i = 0; i < 2; i++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params), *u = sq_tape_new(SQ_F64, n.params);
        sq_var x = sq_zeros(i == 0 ? u : t, sq_shape3(T, B, I));
        sq_var s[2] = { { 0 }, sq_zeros(i == 1 ? u : t, sq_mat(B, H)) };
        int64_t nodes = sq_tape_statistics(u).nodes;
        cr_expect(sq_unroll(t, &n.cell, x, s, NULL) == NULL);
        EXPECT_STATUS(t, SQ_EVAR);
        EXPECT_STATUS(u, SQ_OK);
        cr_expect(sq_tape_statistics(u).nodes == nodes, "case %d", i);
        sq_tape_free(t);
        sq_tape_free(u);
    }
    net_free(&n);
}

Test(edges, a_negative_number_of_steps)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_unroll_options o = { .steps = -1, .batch = 2 };
    cr_expect(sq_unroll(t, &doubling_cell, (sq_var){ 0 }, NULL, &o) == NULL);
    cr_expect(sq_tape_status(t) != SQ_OK);
    EXPECT_SOUND(t);
    sq_tape_reset(t);
    o = (sq_unroll_options){ .steps = 3, .batch = -2 };
    cr_expect(sq_unroll(t, &doubling_cell, (sq_var){ 0 }, NULL, &o) == NULL);
    cr_expect(sq_tape_status(t) != SQ_OK);
    EXPECT_SOUND(t);
    sq_tape_free(t);
}

Test(edges, options_that_do_not_exist)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_unroll_options o = { .steps = 1, .batch = 2, .outputs = (sq_outputs)4 };
    cr_expect(sq_unroll(t, &doubling_cell, (sq_var){ 0 }, NULL, &o) == NULL);
    EXPECT_CONTAINS(sq_message(t), "unroll: there is no form 4 of outputs");
    EXPECT_ERROR(t, SQ_EVALUE);
    o = (sq_unroll_options){ .steps = 1, .batch = 2, .mode = (sq_mode)3 };
    cr_expect(sq_unroll(t, &doubling_cell, (sq_var){ 0 }, NULL, &o) == NULL);
    EXPECT_CONTAINS(sq_message(t), "unroll: there is no mode 3");
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_free(t);
}

static sq_var growing(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self, (void)x;
    sq_var two[2] = { *state, *state };
    return *state = sq_concat(two, 2, 1);
}

Test(edges, cells_that_make_no_sense)
{
    const sq_cell bad[4] = { { "no step", 1, two_wide, NULL, NULL, NULL },
                             { "no widths", 1, NULL, NULL, doubling, NULL },
                             { "fewer than none", -1, two_wide, NULL, doubling, NULL },
                             { "growing", 1, two_wide, NULL, growing, NULL } };
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    for (int i = 0; i < 5; i++) {
        sq_unroll_options o = { .steps = 2, .batch = 1 };
        cr_expect(sq_unroll(t, i < 4 ? &bad[i] : NULL, (sq_var){ 0 }, NULL, &o) == NULL, "%d",
                  i);
        cr_expect(sq_tape_status(t) != SQ_OK, "%d", i);
        if (i == 3) EXPECT_CONTAINS(sq_message(t), "[1,4]");
        EXPECT_SOUND(t);
        sq_tape_reset(t);
    }
    sq_unroll_options o = { .steps = INT64_MAX, .batch = 1 };
    cr_expect(sq_unroll(t, &doubling_cell, (sq_var){ 0 }, NULL, &o) == NULL);
    cr_expect(sq_tape_status(t) != SQ_OK);
    EXPECT_SOUND(t);
    sq_tape_free(t);
}

/* ---- Gradients: total and immediate ------------------------------------------------------ */

static sq_var linear(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_weight *w = self;
    return *state = sq_add(sq_mul(sq_use(t, *w), *state), x);
}

/* h_t = w h_(t-1) + x_t, L = y_1 + 2 y_2 + 3 y_3:
 *     immediate 1, 2, 3        total 1 + 2 w + 3 w^2, 2 + 3 w, 3 */
Test(gradients, states_are_total_and_outputs_are_immediate)
{
    static const int64_t one[1] = { 1 };
    const double w0 = .25;
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", w0);
    sq_cell cell = { "linear", 1, one, NULL, linear, &w };
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var x = sq_leaf(t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 4 })),
           loss = sq_constant(t, 0);
    for (int form = 0; form < 2; form++) { /* through the stacked outputs, and one by one */
        const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, NULL);
        sq_var ones = sq_input(t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 3 }));
        if (form == 0) loss = sq_sum(sq_mul(ones, sq_unrolled_outputs(u)));
        for (int i = 0; form == 1 && i < 3; i++) {
            sq_var y = sq_mul_scalar(sq_unrolled_output(u, i), i + 1);
            loss = i ? sq_add(loss, y) : y;
        }
        loss = sq_sum(loss);
        sq_zero_grads(t);
        BACKWARD(loss);
        const double total[3] = { 1 + 2 * w0 + 3 * w0 * w0, 2 + 3 * w0, 3 };
        for (int i = 0; i < 3; i++) {
            EXPECT_NEAR(sq_grad_item(sq_unrolled_state(u, i, 0)), total[i], 1e-15, "total");
            EXPECT_NEAR(sq_grad_item(sq_unrolled_output(u, i)), i + 1, 0, "immediate");
        }
        EXPECT_NEAR(sq_grad_item(sq_unrolled_state(u, -1, 0)), w0 * total[0], 1e-15, "h_0");
        double gx[3];
        sq_grad_copy(x, gx);
        EXPECT_ALL_NEAR(gx, total, 3, 1e-15, "dL/dx_t is dL/dh_t");
        ASSERT_HEALTHY(t);
    }
    sq_tape_free(t);
    sq_params_free(p);
}

Test(gradients, scalar_oracle_through_unroll)
{
    static const int64_t one[1] = { 1 };
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", .2);
    sq_cell cell = { "linear", 1, one, NULL, linear, &w };
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h0 = sq_input(t, sq_mat(1, 1), (double[]){ .9 });
    sq_unroll_options o = { .outputs = SQ_OUTPUTS_LAST };
    sq_var y =
        sq_unrolled_outputs(sq_unroll(t, &cell, sq_zeros(t, sq_shape3(3, 1, 1)), &h0, &o));
    BACKWARD(sq_sum(y));
    EXPECT_NEAR(number_grad(t, w), .108, 3e-17, "dh_3/dw");
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Length and composition -------------------------------------------------------------- */

Test(length, costs_are_linear_in_it)
{
    net n;
    net_new(&n, SQ_F32, I, H, 5);
    for (int form = 0; form < 4; form++) {
        sq_tape_stats s[4];
        for (int i = 0; i < 4; i++) {
            sq_tape *t = sq_tape_new(SQ_F32, n.params);
            int steps = 50 << i;
            sq_unroll_options o = { .outputs = (sq_outputs)form };
            if (form == SQ_OUTPUTS_SUM) o.outputs = SQ_OUTPUTS_ALL;
            sq_var x = sq_leaf_f64(t, sq_shape3(1, B, I), (double[B * I]){ 0 });
            x = sq_broadcast_to(x, sq_shape3(steps, B, I));
            const sq_unrolled *u = sq_unroll(t, &n.cell, x, NULL, &o);
            BACKWARD(sq_sum(sq_unrolled_state(u, steps - 1, 0)));
            s[i] = sq_tape_statistics(t);
            sq_tape_free(t);
        }
        for (int i = 0; i < 2; i++) {
            int64_t one = s[i + 1].nodes - s[i].nodes, two = s[i + 2].nodes - s[i + 1].nodes;
            cr_expect(two == 2 * one, "nodes %lld then %lld", (long long)one, (long long)two);
            double b1 = (double)s[i + 1].value_bytes - (double)s[i].value_bytes;
            double b2 = (double)s[i + 2].value_bytes - (double)s[i + 1].value_bytes;
            cr_expect(b2 <= 2.2 * b1, "bytes %g then %g", b1, b2);
        }
    }
    net_free(&n);
}

Test(length, a_thousand_steps)
{
    enum { LONG = 1000 };
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    double *x = malloc(LONG * B * I * sizeof *x);
    fill(x, LONG * B * I, 3, -1, 1);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    const sq_unrolled *u =
        sq_unroll(t, &n.cell, sq_leaf(t, sq_shape3(LONG, B, I), x), NULL, NULL);
    BACKWARD(sq_mean(sq_square(sq_unrolled_outputs(u))));
    cr_expect(isfinite(sq_grads_norm(t)) && sq_grads_norm(t) > 0);
    for (int i = 0; i < LONG; i += 111)
        cr_expect(sq_grad_norm(sq_unrolled_state(u, i, 1)) > 0, "step %d", i);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    net_free(&n);
    free(x);
}

/* Two unrolls, the states carried, are one long unroll. */
Test(composition, chained_unrolls_equal_a_long_one)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 5);
    double y[2][B * H], g0[2][B * H];
    void *g[2];
    for (int chained = 0; chained < 2; chained++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        sq_unroll_options o = { .outputs = SQ_OUTPUTS_LAST, .mode = SQ_EAGER };
        sq_var h = sq_leaf(t, sq_mat(B, H), d.h), s[2] = { h, sq_zeros(t, sq_mat(B, H)) };
        const sq_unrolled *u = NULL;
        int half = chained ? T / 3 : T;
        for (int i = 0; i < T; i += half, half = T - half) {
            sq_var x = sq_input(t, sq_shape3(half, B, I), d.x + i * B * I);
            u = sq_unroll(t, &n.cell, x, s, &o);
            sq_unrolled_last(u, s);
            if (half == T) break;
        }
        sq_copy(sq_unrolled_outputs(u), y[chained]);
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        sq_grad_copy(h, g0[chained]);
        g[chained] = grads_copy(t);
        cr_expect(sq_tape_statistics(t).steps == T);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "outputs");
    EXPECT_SAME_BITS(g0[0], g0[1], sizeof g0[0], "dL/dh_0");
    EXPECT_SAME_BITS(g[0], g[1], params_bytes(n.params), "weight gradients");
    free(g[0]);
    free(g[1]);
    net_free(&n);
}

Test(composition, a_stack_of_two_cells)
{
    data d;
    draw(&d);
    sq_params *p = sq_params_new(SQ_F64);
    sq_lstm low;
    sq_gru high;
    cr_assert(sq_lstm_init(&low, p, "low", I, H, 3) == SQ_OK);
    cr_assert(sq_gru_init(&high, p, "high", H, 5, SQ_RESET_AFTER, 4) == SQ_OK);
    sq_cell layer[2] = { sq_lstm_cell(&low), sq_gru_cell(&high) };
    sq_stack_cells *cells = sq_stack_new(layer, 2);
    cr_assert(cells != NULL);
    sq_cell both = sq_stack_cell(cells);
    double y[2][T * B * 5];
    sq_tape *t = sq_tape_new(SQ_F64, p);
    const sq_unrolled *u = sq_unroll(t, &both, sq_input(t, sq_shape3(T, B, I), d.x), NULL,
                                     &(sq_unroll_options){ .mode = SQ_EAGER });
    cr_assert(u != NULL, "%s", sq_message(t));
    cr_expect(sq_unrolled_n_states(u) == 3);
    EXPECT_TEXT(sq_unrolled_state_name(u, 0), "0.h");
    EXPECT_TEXT(sq_unrolled_state_name(u, 1), "0.c");
    EXPECT_TEXT(sq_unrolled_state_name(u, 2), "1.h");
    sq_copy(sq_unrolled_outputs(u), y[0]);
    BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
    double *g = grads_copy(t);
    sq_tape_reset(t);
    sq_zero_grads(t);
    u = sq_unroll(t, &layer[0], sq_input(t, sq_shape3(T, B, I), d.x), NULL,
                  &(sq_unroll_options){ .mode = SQ_EAGER });
    u = sq_unroll(t, &layer[1], sq_unrolled_outputs(u), NULL,
                  &(sq_unroll_options){ .mode = SQ_EAGER });
    sq_copy(sq_unrolled_outputs(u), y[1]);
    EXPECT_SAME_BITS(y[0], y[1], sizeof y[0], "outputs: layer by layer is the same");
    BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
    EXPECT_ALL_NEAR((const double *)sq_grads(t), g, sq_params_size(p), 1e-13,
                    "weight gradients");
    ASSERT_HEALTHY(t);
    free(g);
    sq_tape_free(t);
    sq_stack_free(cells);
    sq_params_free(p);
}

/* Truncated training over an unroll: cut behind it, carry, unroll again. */
Test(composition, cuts_between_unrolls)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F32, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F32, n.params), *f = sq_tape_new(SQ_F32, n.params);
    sq_var s[2] = { { 0 } }, fs[2];
    double border[2][B * H];
    for (int round = 0; round < 4; round++) {
        sq_zero_grads(t);
        sq_var x = sq_input(t, sq_shape3(T, B, I), d.x);
        const sq_unrolled *u = sq_unroll(t, &n.cell, x, round ? s : NULL, NULL);
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        if (round) { /* a fresh tape from the same numbers */
            sq_tape_reset(f);
            sq_zero_grads(f);
            for (int k = 0; k < 2; k++) fs[k] = sq_input(f, sq_mat(B, H), border[k]);
            sq_var fx = sq_input(f, sq_shape3(T, B, I), d.x);
            const sq_unrolled *fu = sq_unroll(f, &n.cell, fx, fs, NULL);
            BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(fu))));
            EXPECT_SAME_BITS(sq_grads(t), sq_grads(f), params_bytes(n.params), "weights");
        }
        sq_unrolled_last(u, s);
        for (int k = 0; k < 2; k++) sq_copy(s[k], border[k]);
        cr_assert(sq_cut(t, 0, s, 2) == SQ_OK, "%s", sq_message(t));
        EXPECT_SOUND(t);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_tape_free(f);
    net_free(&n);
}
