/* test_cut.c -- truncation: a cut tape is, to the bit, a fresh run from constant states.
 *
 * The oracle of every numeric test is such a fresh run: a new tape on the same params whose
 * initial states are the numbers the cut tape held at the border. */
#include "tests/support/support.h"

enum { B = 2, I = 3, H = 5, BEFORE = 9, AFTER = 4, T = BEFORE + AFTER };

typedef struct states {
    sq_var s[2]; /* h, c */
} states;

static states step(sq_tape *t, const net *n, const double *x, int i, states at)
{
    sq_begin_step(t);
    n->cell.step(t, n->cell.self, sq_input(t, sq_mat(B, I), x + (int64_t)i * B * I), at.s);
    return at;
}

/* L = sum over steps from..T-1 of <r, h_t^2>, added after the last step. */
static sq_var loss_over(sq_tape *t, const states *at, int from)
{
    sq_end_step(t);
    sq_var loss = sq_constant(t, 0);
    double r[B * H];
    fill(r, B * H, 77, -1, 1);
    for (int i = from; i < T; i++)
        loss =
            sq_add(loss, sq_sum(sq_mul(sq_input(t, sq_mat(B, H), r), sq_square(at[i].s[0]))));
    return loss;
}

typedef struct outcome {
    void *grads;
    double state[2][T][B * H]; /* dL/dh_t, dL/dc_t where t is kept */
    double loss;
} outcome;

static void collect(outcome *o, sq_tape *t, const states *at, int from, int first_grad)
{
    sq_var loss = loss_over(t, at, from);
    BACKWARD(loss);
    o->loss = sq_item(loss);
    o->grads = grads_copy(t);
    for (int i = first_grad; i < T - 1; i++)
        for (int k = 0; k < 2; k++) sq_grad_copy(at[i].s[k], o->state[k][i]);
    ASSERT_HEALTHY(t);
}

static void compare(sq_dtype dtype, int keep)
{
    net n;
    net_new(&n, dtype, I, H, 31);
    double x[T * B * I];
    fill(x, COUNT(x), 5, -1, 1);
    int from = BEFORE - keep;
    static outcome cut, fresh;
    states at[T], last;
    double border[2][B * H];

    sq_tape *t = sq_tape_new(dtype, n.params);
    sq_var zero = sq_zeros(t, sq_mat(B, H));
    last = (states){ { zero, zero } };
    for (int i = 0; i < BEFORE; i++) at[i] = last = step(t, &n, x, i, last);
    for (int k = 0; k < 2; k++) sq_copy(at[from - 1].s[k], border[k]);
    cr_assert(sq_cut(t, keep, last.s, 2) == SQ_OK, "%s", sq_message(t));
    EXPECT_SOUND(t);
    cr_expect(same_var(last.s[0], at[BEFORE - 1].s[0]) == (keep > 0), "rewritten only if cut");
    for (int i = BEFORE; i < T; i++) at[i] = last = step(t, &n, x, i, last);
    collect(&cut, t, at, from, from);
    sq_tape_free(t);

    t = sq_tape_new(dtype, n.params);
    for (int k = 0; k < 2; k++) last.s[k] = sq_input(t, sq_mat(B, H), border[k]);
    for (int i = from; i < T; i++) at[i] = last = step(t, &n, x, i, last);
    collect(&fresh, t, at, from, from);
    sq_tape_free(t);

    cr_expect(cut.loss == fresh.loss, "keep %d", keep);
    EXPECT_SAME_BITS(cut.grads, fresh.grads, params_bytes(n.params), "weight gradients");
    for (int i = from; i < T - 1; i++)
        for (int k = 0; k < 2; k++)
            EXPECT_SAME_BITS(cut.state[k][i], fresh.state[k][i], sizeof border[0], "states");
    free(cut.grads);
    free(fresh.grads);
    net_free(&n);
}

Test(cut, equals_a_fresh_run_from_that_state)
{
    int keeps[] = { 0, 1, 2, 5, 8 };
    for (int i = 0; i < COUNT(keeps); i++) {
        compare(SQ_F32, keeps[i]);
        compare(SQ_F64, keeps[i]);
    }
}

Test(cut, keeping_as_much_as_there_is_changes_nothing)
{
    net n;
    net_new(&n, SQ_F64, I, H, 31);
    double x[T * B * I];
    fill(x, COUNT(x), 5, -1, 1);
    int64_t keeps[] = { T, T + 1, 1000000, INT64_MAX };
    void *want = NULL;
    for (int v = -1; v < COUNT(keeps); v++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        sq_var h0 = sq_leaf(t, sq_mat(B, H), x), c0 = sq_zeros(t, sq_mat(B, H));
        states at[T], last = { { h0, c0 } };
        for (int i = 0; i < T; i++) at[i] = last = step(t, &n, x, i, last);
        if (v >= 0) {
            states before = last;
            cr_assert(sq_cut(t, keeps[v], last.s, 2) == SQ_OK);
            cr_expect(same_var(before.s[0], last.s[0]) && same_var(before.s[1], last.s[1]));
            cr_expect(sq_tape_statistics(t).steps == T);
        }
        BACKWARD(loss_over(t, at, 0));
        cr_expect(sq_grad_norm(h0) > 0);
        if (v < 0) want = grads_copy(t);
        else EXPECT_SAME_BITS(want, sq_grads(t), params_bytes(n.params), "weights");
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    free(want);
    net_free(&n);
}

Test(cut, forgets_exactly_the_older_steps)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var root = sq_leaf(t, sq_scalar(), (double[]){ 2 }), h[6], after;
    for (int i = 0; i < 6; i++) {
        sq_begin_step(t);
        h[i] = sq_add_scalar(i ? h[i - 1] : root, 1);
    }
    sq_end_step(t);
    after = sq_square(h[5]);
    cr_assert(sq_cut(t, 2, NULL, 0) == SQ_OK);
    for (int i = 0; i < 6; i++) cr_expect(sq_ok(h[i]) == (i >= 4), "h[%d]", i);
    cr_expect(sq_ok(after) && sq_item(after) == 64);
    cr_expect(sq_ok(root), "only reset forgets the root");
    cr_expect(sq_tape_statistics(t).steps == 2);
    ASSERT_HEALTHY(t);
    BACKWARD(after);
    cr_expect(sq_grad_item(root) == 0, "the way to the root was cut");
    cr_expect(sq_grad_item(h[4]) == 16);
    sq_begin_step(t);
    cr_expect(sq_current_step(t) == 6, "steps go on counting");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(cut, leaves_the_root_connected)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var w = sq_leaf(t, sq_scalar(), (double[]){ .2 }), h = sq_constant(t, .9);
    for (int i = 0; i < 10; i++) {
        sq_begin_step(t);
        h = sq_mul(w, h);
        if (i == 6) cr_assert(sq_cut(t, 1, &h, 1) == SQ_OK);
    }
    BACKWARD(h); /* steps 6..9 are live: h_9 = w^4 k with k = .9 .2^6 */
    EXPECT_NEAR(sq_grad_item(w) / (4 * pow(.2, 3) * .9 * pow(.2, 6)), 1, 1e-14, "dL/dw");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(cut, carried_variables_survive_as_constants)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var root = sq_leaf(t, sq_vec(2), ((double[]){ 1, 2 })), v[5];
    sq_begin_step(t);
    v[0] = sq_square(root);
    v[1] = sq_reshape(v[0], sq_mat(2, 1)); /* shares its memory */
    v[2] = sq_leaf(t, sq_scalar(), (double[]){ 5 });
    sq_begin_step(t);
    v[3] = sq_exp(v[0]);
    v[4] = root;
    sq_var before[5];
    memcpy(before, v, sizeof v);
    cr_assert(sq_cut(t, 1, v, 5) == SQ_OK, "%s", sq_message(t));
    for (int i = 0; i < 5; i++) {
        cr_expect(sq_ok(v[i]), "carried %d", i);
        cr_expect(same_var(v[i], before[i]) == (i >= 3), "carried %d", i);
        cr_expect(sq_ok(before[i]) == (i >= 3), "its old name %d", i);
    }
    sq_begin_step(t);
    double a[2];
    sq_copy(v[0], a);
    cr_expect(a[0] == 1 && a[1] == 4);
    sq_copy(v[1], a);
    cr_expect(a[0] == 1 && a[1] == 4);
    cr_expect(sq_shape_equal(sq_shape_of(v[1]), sq_mat(2, 1)));
    cr_expect(sq_item(v[2]) == 5);
    BACKWARD(sq_sum(sq_mul(v[0], root)));
    sq_grad_copy(root, a);
    cr_expect(a[0] == 1 && a[1] == 4, "no gradient through what was carried");
    cr_expect(isnan(sq_grad_item(v[2])), "a carried leaf is a constant now");
    EXPECT_ERROR(t, SQ_EGRAD);
    sq_tape_free(t);
}

Test(cut, the_same_variable_may_be_carried_twice)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var h = sq_constant(t, 4), v[2] = { h, h };
    cr_assert(sq_cut(t, 0, v, 2) == SQ_OK);
    cr_expect(sq_item(v[0]) == 4 && sq_item(v[1]) == 4);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(cut, repeated_without_steps_between)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    sq_var h = sq_full(t, sq_mat(2, 2), 3);
    for (int i = 0; i < 4; i++) {
        sq_begin_step(t);
        h = sq_tanh(h);
    }
    double want[4], got[4];
    sq_copy(h, want);
    int64_t keeps[] = { 3, 3, 2, 0, 0, 5, 0 };
    for (int i = 0; i < COUNT(keeps); i++) {
        cr_assert(sq_cut(t, keeps[i], &h, 1) == SQ_OK, "%s", sq_message(t));
        sq_copy(h, got);
        EXPECT_SAME_BITS(want, got, sizeof got, "carried");
        EXPECT_SOUND(t);
    }
    sq_begin_step(t);
    cr_expect(sq_current_step(t) == 4);
    cr_expect(sq_ok(sq_tanh(h)));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(cut, of_a_tape_without_steps)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 3 });
    cr_expect(sq_cut(t, 0, NULL, 0) == SQ_OK);
    cr_expect(sq_cut(t, 4, &x, 1) == SQ_OK);
    BACKWARD(sq_square(x));
    cr_expect(sq_grad_item(x) == 6, "the root is untouched");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(cut, mistakes_are_told)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL), *u = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var h = sq_constant(t, 1), old = h, other = sq_constant(u, 1);
    cr_expect(sq_cut(t, -1, &h, 1) == SQ_ERANGE);
    EXPECT_ERROR(t, SQ_ERANGE);
    sq_begin_step(t);
    h = sq_constant(t, 1);
    cr_expect(sq_cut(t, INT64_MIN, &h, 1) == SQ_ERANGE);
    EXPECT_ERROR(t, SQ_ERANGE);
    sq_begin_step(t);
    cr_expect(sq_cut(t, 0, &old, 1) == SQ_EVAR);
    EXPECT_CONTAINS(sq_message(t), "stale");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_begin_step(t);
    cr_expect(sq_cut(t, 0, &other, 1) == SQ_EVAR);
    EXPECT_ERROR(t, SQ_EVAR);
    cr_expect(sq_item(other) == 1);
    sq_begin_step(t);
    old = (sq_var){ t, 0 };
    cr_expect(sq_cut(t, 0, &old, 1) == SQ_EVAR);
    EXPECT_ERROR(t, SQ_EVAR);
    sq_tape_free(t);
    sq_tape_free(u);
}

Test(cut, weights_taken_in_forgotten_steps_are_stale_and_those_of_the_root_are_not)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 3);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var root = sq_use(t, w);
    sq_begin_step(t);
    sq_var inner = sq_use(t, w), y = sq_mul(inner, sq_constant(t, 1));
    sq_begin_step(t);
    y = sq_mul(y, root);
    cr_assert(sq_cut(t, 1, NULL, 0) == SQ_OK);
    cr_expect(sq_ok(inner) == false && sq_ok(root));
    sq_begin_step(t);
    BACKWARD(sq_mul(y, sq_use(t, w))); /* 3 constant, times w^2 */
    cr_expect(number_grad(t, w) == 18);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* Views share memory with what they view. When that is cut and its memory used again, the views
 * that live on must still see the old numbers. */
Test(views, of_forgotten_values_stay_true)
{
    for (int dtype = 0; dtype < 2; dtype++) {
        sq_tape *t = sq_tape_new((sq_dtype)dtype, NULL);
        double x[24], got[24];
        fill(x, 24, 8, -1, 1);
        sq_begin_step(t);
        sq_var base = sq_mul_scalar(sq_leaf(t, sq_mat(4, 6), x), 1);
        sq_var early = sq_reshape(base, sq_shape3(2, 2, 6)); /* view in the step that dies */
        sq_begin_step(t);
        sq_var whole = sq_reshape(base, sq_vec(24)), rows = sq_slice(base, 0, 1, 2);
        sq_var twice = sq_slice(sq_reshape(rows, sq_vec(12)), 0, 6, 6);
        sq_var again = sq_reshape(early, sq_vec(24)), cols = sq_slice(base, 1, 2, 3);
        sq_var y = sq_keep_grad(sq_square(twice));
        sq_begin_step(t);
        cr_assert(sq_cut(t, 2, NULL, 0) == SQ_OK, "%s", sq_message(t));
        for (int i = 0; i < 4; i++) { /* fill recycled memory with other numbers */
            sq_begin_step(t);
            for (int k = 0; k < 20; k++) sq_full(t, sq_vec(24), 1000 + k);
        }
        sq_copy(whole, got);
        EXPECT_ALL_NEAR(got, x, 24, 0, "reshape");
        sq_copy(again, got);
        EXPECT_ALL_NEAR(got, x, 24, 0, "reshape of a cut view");
        sq_copy(rows, got);
        EXPECT_ALL_NEAR(got, x + 6, 12, 0, "rows");
        sq_copy(twice, got);
        EXPECT_ALL_NEAR(got, x + 12, 6, 0, "view of a view");
        sq_copy(cols, got);
        for (int i = 0; i < 12; i++) cr_expect(got[i] == x[i / 3 * 6 + 2 + i % 3]);
        sq_end_step(t);
        BACKWARD(sq_sum(sq_mul(y, sq_add(twice, y))));
        sq_grad_copy(y, got);
        for (int i = 0; i < 6; i++)
            EXPECT_NEAR(got[i], x[12 + i] + 2 * x[12 + i] * x[12 + i], 1e-6, "gradient");
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

/* Rule 7 of tape.h: a pointer read out of a kept step stays valid, view or not. */
Test(views, pointers_into_kept_steps_stay_valid)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double x[6] = { 1, 2, 3, 4, 5, 6 };
    sq_begin_step(t);
    sq_var base = sq_input(t, sq_mat(2, 3), x);
    sq_begin_step(t);
    const double *view = sq_view_f64(sq_reshape(base, sq_vec(6)));
    const double *detached = sq_view_f64(sq_detach(base));
    cr_assert(sq_cut(t, 1, NULL, 0) == SQ_OK);
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        sq_full(t, sq_mat(2, 3), 1000);
    }
    EXPECT_SAME_BITS(view, x, sizeof x, "a view");
    EXPECT_SAME_BITS(detached, x, sizeof x, "a detached value");
    sq_tape_free(t);
}

Test(views, carried_views_stay_true)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double x[6] = { 1, 2, 3, 4, 5, 6 }, got[3];
    sq_begin_step(t);
    sq_var base = sq_input(t, sq_mat(2, 3), x);
    sq_begin_step(t);
    sq_var row = sq_slice(base, 0, 1, 1);
    for (int keep = 1; keep >= 0; keep--) {
        cr_assert(sq_cut(t, keep, &row, 1) == SQ_OK);
        for (int i = 0; i < 3; i++) {
            sq_begin_step(t);
            for (int k = 0; k < 20; k++) sq_full(t, sq_vec(6), 99);
            if (keep == 1 && i == 0) break; /* leave row's own step among the newest two */
        }
        sq_copy(row, got);
        EXPECT_ALL_NEAR(got, x + 3, 3, 0, keep ? "kept" : "carried");
        EXPECT_SOUND(t);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(views, of_weights_stay_true_over_updates_and_cuts)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "w", sq_mat(2, 3));
    double x[6] = { 1, 2, 3, 4, 5, 6 }, got[6];
    cr_assert(sq_weight_set(p, w, x) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_begin_step(t);
    sq_var flat = sq_reshape(sq_use(t, w), sq_vec(6));
    sq_begin_step(t);
    sq_var part = sq_slice(flat, 0, 2, 3);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 6; k++) ((double *)sq_params_update(p))[k] = -100;
    sq_copy(flat, got);
    EXPECT_ALL_NEAR(got, x, 6, 0, "view of an old version");
    cr_assert(sq_cut(t, 1, NULL, 0) == SQ_OK);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 6; k++) ((double *)sq_params_update(p))[k] = -200;
    sq_begin_step(t);
    sq_full(t, sq_vec(6), 55);
    sq_copy(part, got);
    EXPECT_ALL_NEAR(got, x + 2, 3, 0, "and after its step was cut");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Memory ------------------------------------------------------------------------------ */

static void stream(int64_t keep, bool sweep, bool close)
{
    net n;
    net_new(&n, SQ_F32, I, H, 31);
    sq_tape *t = sq_tape_new(SQ_F32, n.params);
    double x[B * I];
    fill(x, COUNT(x), 6, -1, 1);
    sq_var zero = sq_zeros(t, sq_mat(B, H));
    states s = { { zero, zero } };
    sq_tape_stats at = { 0 };
    for (int i = 0; i < 10000; i++) {
        s = step(t, &n, x, 0, s);
        if (close) sq_end_step(t);
        if (sweep && i % 10 == 9) BACKWARD(sq_sum(s.s[0]));
        cr_assert(sq_cut(t, keep, s.s, 2) == SQ_OK, "%s", sq_message(t));
        sq_tape_stats now = sq_tape_statistics(t);
        if (i == 99) at = now;
        cr_assert(i < 100 || now.held_bytes == at.held_bytes, "step %d holds %zu, not %zu", i,
                  now.held_bytes, at.held_bytes);
        cr_assert(now.steps <= keep && now.nodes < 200 * (keep + 2), "step %d: %lld nodes", i,
                  (long long)now.nodes);
    }
    cr_expect(isfinite(sq_norm(s.s[0])) && sq_norm(s.s[0]) > 0);
    sq_begin_step(t);
    cr_expect(sq_current_step(t) == 10000);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    net_free(&n);
}

Test(memory, stays_over_10000_streamed_steps)
{
    stream(0, false, false);
    stream(3, false, false);
    stream(5, true, false);
    stream(2, true, true);
}

/* Handles from long ago are recognised even when millions of ordinals lie between. */
Test(memory, ancient_handles_are_stale)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var old[50];
    for (int i = 0; i < 50; i++) old[i] = sq_constant(t, i);
    for (int i = 0; i < 5000; i++) {
        sq_begin_step(t);
        sq_constant(t, 1);
        if (i % 7 == 0) sq_cut(t, i % 3, NULL, 0);
        if (i % 999 == 0) {
            for (int k = 0; k < 50; k++) cr_assert(sq_ok(old[k]) == false);
            sq_tanh(old[i % 50]);
            EXPECT_CONTAINS(sq_message(t), "is stale");
            EXPECT_ERROR(t, SQ_EVAR);
        }
    }
    sq_tape_free(t);
}
