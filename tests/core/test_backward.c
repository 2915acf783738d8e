/* test_backward.c -- the reverse sweep: what accumulates, what is fresh, what stays readable.
 *
 * Oracles are arithmetic by hand (scalars), separate runs on fresh tapes, and central
 * differences in double. Where a promise says "the same bits", bits are compared. */
#include "tests/support/support.h"

enum { B = 2, I = 3, H = 4, T = 6 };

typedef struct run {
    sq_tape *t;
    sq_var h[T], c[T], h0, loss[2];
} run;

/* T steps of an LSTM by hand; loss[0] looks at the last state, loss[1] at every second one. */
static void record(run *r, const net *n, sq_dtype dtype, const double *x, const double *h0)
{
    r->t = sq_tape_new(dtype, n->params);
    r->h0 = sq_leaf(r->t, sq_mat(B, H), h0);
    sq_var s[2] = { r->h0, sq_zeros(r->t, sq_mat(B, H)) };
    for (int i = 0; i < T; i++) {
        sq_begin_step(r->t);
        n->cell.step(r->t, n->cell.self, sq_input(r->t, sq_mat(B, I), x + (int64_t)i * B * I),
                     s);
        r->h[i] = s[0];
        r->c[i] = s[1];
    }
    sq_end_step(r->t);
    r->loss[0] = sq_sum(sq_square(r->h[T - 1]));
    r->loss[1] = sq_constant(r->t, 0);
    for (int i = 0; i < T; i += 2) r->loss[1] = sq_add(r->loss[1], sq_sum(sq_sin(r->h[i])));
    ASSERT_HEALTHY(r->t);
}

typedef struct data {
    double x[T * B * I], h0[B * H];
} data;

static void draw(data *d)
{
    fill(d->x, COUNT(d->x), 5, -1, 1);
    fill(d->h0, COUNT(d->h0), 6, -1, 1);
}

static double *grads_f64(sq_tape *t)
{
    sq_params *p = sq_tape_params(t);
    int64_t n = sq_params_size(p);
    const void *g = sq_grads(t);
    double *out = malloc((size_t)n * sizeof *out);
    cr_assert(g != NULL && out != NULL, "%s", sq_message(t));
    for (int64_t i = 0; i < n; i++)
        out[i] = sq_params_dtype(p) == SQ_F32 ? (double)((const float *)g)[i]
                                              : ((const double *)g)[i];
    return out;
}

Test(scalar, h_t_is_w_h_with_gradient_point_108)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", .2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h[4] = { sq_leaf(t, sq_scalar(), (double[]){ .9 }) };
    for (int i = 1; i <= 3; i++) {
        sq_begin_step(t);
        h[i] = sq_mul(sq_use(t, w), h[i - 1]);
    }
    sq_keep_grad(h[3]);
    BACKWARD(h[3]);
    EXPECT_NEAR(number_grad(t, w), .108, 3e-17, "dL/dw");
    double dh = 1;
    for (int i = 3; i >= 0; i--, dh *= .2)
        EXPECT_NEAR(sq_grad_item(h[i]), dh, 3e-17, "dL/dh_t");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* The same with w as a leaf of the root, and the loss on every state:
 * L = h_1 + h_2 + h_3: dL/dw = h_0 (1 + 2 w + 3 w^2); dL/dh_3, _2, _1 = 1, 1 + w,
 * 1 + w + w^2. */
Test(scalar, a_leaf_of_the_root_and_a_loss_on_every_step)
{
    const double w0 = .2, h0 = .9;
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var w = sq_leaf(t, sq_scalar(), &w0), h[4] = { sq_constant(t, h0) };
    sq_var loss = sq_constant(t, 0);
    for (int i = 1; i <= 3; i++) {
        sq_begin_step(t);
        h[i] = sq_mul(w, h[i - 1]);
        loss = sq_add(loss, h[i]);
    }
    sq_keep_grad(h[3]);
    BACKWARD(loss);
    EXPECT_NEAR(sq_grad_item(w), h0 * (1 + 2 * w0 + 3 * w0 * w0), 1e-16, "dL/dw");
    EXPECT_NEAR(sq_grad_item(h[3]), 1, 0, "dL/dh_3");
    EXPECT_NEAR(sq_grad_item(h[2]), 1 + w0, 1e-16, "dL/dh_2");
    EXPECT_NEAR(sq_grad_item(h[1]), 1 + w0 + w0 * w0, 1e-16, "dL/dh_1");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(sweeps, two_losses_sharing_states_add_up)
{
    data d;
    draw(&d);
    for (int dtype = 0; dtype < 2; dtype++) {
        double tol = dtype == SQ_F32 ? 2e-6 : 1e-14;
        net n;
        net_new(&n, (sq_dtype)dtype, I, H, 9);
        run both, one[2];
        record(&both, &n, (sq_dtype)dtype, d.x, d.h0);
        BACKWARD(both.loss[0]);
        BACKWARD(both.loss[1]);
        double *sum = grads_f64(both.t), *part[2], leaf[3][B * H];
        sq_grad_copy(both.h0, leaf[2]);
        for (int k = 0; k < 2; k++) {
            record(&one[k], &n, (sq_dtype)dtype, d.x, d.h0);
            BACKWARD(one[k].loss[k]);
            part[k] = grads_f64(one[k].t);
            sq_grad_copy(one[k].h0, leaf[k]);
        }
        for (int64_t i = 0; i < sq_params_size(n.params); i++)
            EXPECT_NEAR(sum[i], part[0][i] + part[1][i], tol, "weights");
        for (int i = 0; i < B * H; i++)
            EXPECT_NEAR(leaf[2][i], leaf[0][i] + leaf[1][i], tol, "leaf");
        /* States hold the last sweep alone, to the bit. */
        for (int i = 0; i < T; i++) {
            double a[B * H], b[B * H];
            sq_grad_copy(both.h[i], a);
            sq_grad_copy(one[1].h[i], b);
            EXPECT_SAME_BITS(a, b, sizeof a, "state gradients");
        }
        for (int k = 0; k < 2; k++) {
            sq_tape_free(one[k].t);
            free(part[k]);
        }
        ASSERT_HEALTHY(both.t);
        sq_tape_free(both.t);
        free(sum);
        net_free(&n);
    }
}

Test(sweeps, after_zeroing_an_identical_sweep_gives_the_same_bits)
{
    data d;
    draw(&d);
    for (int dtype = 0; dtype < 2; dtype++) {
        net n;
        net_new(&n, (sq_dtype)dtype, I, H, 9);
        run r;
        record(&r, &n, (sq_dtype)dtype, d.x, d.h0);
        void *first = NULL;
        double h[2][B * H], s[2][B * H];
        for (int round = 0; round < 3; round++) {
            sq_zero_grads(r.t);
            if (round == 2) { /* a sweep of something else between does not matter */
                BACKWARD(r.loss[0]);
                sq_zero_grads(r.t);
            }
            BACKWARD(r.loss[1]);
            sq_grad_copy(r.h0, h[round > 0]);
            sq_grad_copy(r.c[1], s[round > 0]);
            if (round == 0) {
                first = grads_copy(r.t);
                continue;
            }
            EXPECT_SAME_BITS(first, sq_grads(r.t), params_bytes(n.params), "weights");
            EXPECT_SAME_BITS(h[0], h[1], sizeof h[0], "leaf");
            EXPECT_SAME_BITS(s[0], s[1], sizeof s[0], "state");
        }
        ASSERT_HEALTHY(r.t);
        free(first);
        sq_tape_free(r.t);
        net_free(&n);
    }
}

Test(sweeps, values_are_never_overwritten)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 9);
    run r;
    record(&r, &n, SQ_F64, d.x, d.h0);
    double before[T][B * H], after[B * H];
    for (int i = 0; i < T; i++) sq_copy(r.c[i], before[i]);
    for (int k = 0; k < 4; k++) BACKWARD(r.loss[k % 2]);
    for (int i = 0; i < T; i++) {
        sq_copy(r.c[i], after);
        EXPECT_SAME_BITS(before[i], after, sizeof after, "values");
    }
    sq_tape_free(r.t);
    net_free(&n);
}

Test(sweeps, zeroing_zeroes_leaves_and_weights)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 9);
    run r;
    record(&r, &n, SQ_F64, d.x, d.h0);
    BACKWARD(r.loss[1]);
    cr_expect(sq_grad_norm(r.h0) > 0 && sq_grads_norm(r.t) > 0);
    sq_zero_grads(r.t);
    cr_expect(sq_grad_norm(r.h0) == 0 && sq_grads_norm(r.t) == 0);
    ASSERT_HEALTHY(r.t);
    sq_tape_free(r.t);
    net_free(&n);
}

Test(sweeps, may_start_anywhere_and_recording_goes_on_afterwards)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), h[5], loss[5];
    h[0] = x;
    for (int i = 1; i < 5; i++) {
        sq_begin_step(t);
        h[i] = sq_mul(h[i - 1], x); /* x^(i+1) */
        loss[i] = sq_mul_scalar(h[i], 1);
        sq_zero_grads(t);
        BACKWARD(loss[i]);
        cr_expect(sq_grad_item(x) == (i + 1) * pow(2, i), "step %d: %g", i, sq_grad_item(x));
    }
    sq_zero_grads(t);
    BACKWARD(loss[2]); /* x^3, in the middle of the tape */
    cr_expect(sq_grad_item(x) == 12);
    cr_expect(sq_grad_item(h[1]) == 2, "dx^3/dh_1 = x");
    cr_expect(sq_grad_item(h[3]) == 0,
              "what comes later does not matter, whatever swept before");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(sweeps, a_loss_that_depends_on_nothing_gives_zeros)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var x = sq_leaf(t, sq_vec(3), ((double[]){ 1, 2, 3 }));
    sq_begin_step(t);
    sq_var y = sq_name(sq_sum(sq_mul(sq_use(t, w), x)), "y");
    sq_begin_step(t);
    sq_tanh(y);
    BACKWARD(sq_constant(t, 4));
    double g[3] = { 7, 7, 7 };
    cr_expect(sq_grad_copy(x, g) == SQ_OK);
    cr_expect(g[0] == 0 && g[1] == 0 && g[2] == 0);
    cr_expect(number_grad(t, w) == 0 && sq_grad_item(y) == 0);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(sweeps, may_start_at_a_leaf_or_a_weight_itself)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 1 });
    BACKWARD(x);
    BACKWARD(x);
    cr_expect(sq_grad_item(x) == 2, "leaves accumulate");
    sq_begin_step(t);
    BACKWARD(sq_use(t, w));
    cr_expect(number_grad(t, w) == 1);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(sweeps, from_a_tensor_with_a_given_seed)
{
    for (int dtype = 0; dtype < 2; dtype++) {
        sq_tape *t = sq_tape_new((sq_dtype)dtype, NULL);
        double x[6] = { 1, 2, 3, 4, 5, 6 }, s[6] = { 1, -1, .5, 0, 2, 4 }, g[6];
        float f[6] = { 1, -1, .5f, 0, 2, 4 };
        sq_var v = sq_leaf(t, sq_mat(2, 3), x), y = sq_square(v);
        cr_assert(sq_backward_from(y, s) == SQ_OK, "%s", sq_message(t));
        cr_expect(sq_grad_copy(v, g) == SQ_OK);
        for (int i = 0; i < 6; i++) cr_expect(g[i] == 2 * x[i] * s[i]);
        cr_assert(sq_backward_from(y, f) == SQ_OK, "%s", sq_message(t));
        cr_expect(sq_grad_copy(v, g) == SQ_OK);
        for (int i = 0; i < 6; i++) cr_expect(g[i] == 4 * x[i] * s[i], "it accumulates");
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

/* ---- What is readable -------------------------------------------------------------------- */

Test(kept, states_leaves_named_and_marked_ones)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 3 });
    sq_begin_step(t);
    sq_var local = sq_leaf(t, sq_scalar(), (double[]){ 5 });
    sq_var named = sq_name(sq_mul(x, local), "gate"), marked = sq_keep_grad(sq_square(named));
    sq_var state = sq_mul_scalar(marked, 2);
    sq_begin_step(t);
    sq_var y = sq_mul_scalar(state, 7);
    BACKWARD(y);
    cr_expect(sq_grad_item(state) == 7);
    cr_expect(sq_grad_item(marked) == 14);
    cr_expect(sq_grad_item(named) == 14 * 2 * 15);
    cr_expect(sq_grad_item(local) == 14 * 2 * 15 * 3);
    cr_expect(sq_grad_item(x) == 14 * 2 * 15 * 5);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* The loop of the README: losses inside the steps; every state is asked for afterwards. */
Test(kept, the_loop_of_the_design_reads_every_state)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var w = sq_leaf(t, sq_scalar(), (double[]){ .5 }), h = sq_constant(t, 1), hs[4];
    sq_var loss = sq_zeros(t, sq_scalar());
    for (int i = 0; i < 4; i++) {
        sq_begin_step(t);
        h = sq_mul(w, h);
        hs[i] = h;
        loss = sq_add(loss, sq_mse(h, sq_constant(t, 0)));
    }
    BACKWARD(loss);
    double g = 0;
    for (int i = 3; i >= 0; i--) {
        g = 2 * pow(.5, i + 1) + .5 * g; /* total_t = 2 h_t + w total_(t+1) */
        EXPECT_NEAR(sq_grad_norm(hs[i]), g, 1e-15, "|dL/dh_t|");
    }
    EXPECT_STATUS(t, SQ_OK);
    sq_tape_free(t);
}

/* A name on something fed by constants only: it asks for a gradient, so it has one. */
Test(kept, a_marked_variable_of_constants_has_a_gradient)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var c = sq_constant(t, 3), y = sq_keep_grad(sq_square(c));
    sq_begin_step(t);
    BACKWARD(sq_mul_scalar(sq_square(y), 2));
    EXPECT_NEAR(sq_grad_item(y), 36, 0, "marked, of constants");
    EXPECT_STATUS(t, SQ_OK);
    sq_tape_free(t);
}

/* A mark set after the sweep must not turn a forgotten number into a gradient. */
Test(kept, a_mark_after_the_sweep_is_too_late)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 3 });
    sq_begin_step(t);
    sq_var inside = sq_square(x), state = sq_mul_scalar(inside, 2);
    sq_begin_step(t);
    sq_var y = sq_mul_scalar(state, 7);
    BACKWARD(y);
    sq_keep_grad(inside);
    cr_expect(isnan(sq_grad_item(inside)));
    EXPECT_STATUS(t, SQ_EGRAD);
    sq_tape_free(t);
    t = sq_tape_new(SQ_F64, NULL);
    x = sq_leaf(t, sq_scalar(), (double[]){ 3 });
    sq_begin_step(t);
    inside = sq_square(x);
    state = sq_mul_scalar(inside, 2);
    sq_begin_step(t);
    y = sq_mul_scalar(state, 7);
    BACKWARD(y);
    sq_keep_grad(inside);
    BACKWARD(y);
    cr_expect(sq_grad_item(inside) == 14, "but the next sweep keeps it");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* Weights added and never used have gradients: zeros. */
Test(kept, weights_never_used_have_zeros)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight a = add_number(p, "a", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_optim *o = sq_optim_new(p, NULL);
    BACKWARD(sq_square(sq_use(t, a)));
    sq_weight b = sq_params_add(p, "b", sq_vec(5000));
    double g[5000];
    g[0] = g[4999] = 7;
    cr_assert(sq_optim_step(o, t) == SQ_OK, "%s", sq_message(t));
    cr_expect(item_of(p, a) == 2 - .01 * 4);
    cr_expect(sq_weight_grad(t, b, g) == SQ_OK && g[0] == 0 && g[4999] == 0);
    cr_expect(sq_grads_norm(t) == 4);
    ASSERT_HEALTHY(t);
    sq_optim_free(o);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(kept, marks_and_names_change_no_bit)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F32, I, H, 9);
    void *g[2];
    for (int marked = 0; marked < 2; marked++) {
        run r;
        record(&r, &n, SQ_F32, d.x, d.h0);
        for (int i = 0; marked && i < T; i++) {
            sq_name(r.h[i], "h");
            sq_keep_grad(r.c[i]);
        }
        BACKWARD(r.loss[1]);
        g[marked] = grads_copy(r.t);
        sq_tape_free(r.t);
    }
    EXPECT_SAME_BITS(g[0], g[1], params_bytes(n.params), "weight gradients");
    free(g[0]);
    free(g[1]);
    net_free(&n);
}

Test(kept, the_flat_block_is_laid_out_like_the_params)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 9);
    run r;
    record(&r, &n, SQ_F64, d.x, d.h0);
    BACKWARD(r.loss[1]);
    const double *flat = sq_grads(r.t);
    for (int32_t id = 1; id <= sq_params_count(n.params); id++) {
        sq_weight w = { id };
        int64_t size = sq_shape_size(sq_weight_shape(n.params, w));
        double part[H * H + H * I];
        cr_assert(size <= COUNT(part));
        cr_expect(sq_weight_grad(r.t, w, part) == SQ_OK);
        EXPECT_SAME_BITS(part, flat + sq_weight_offset(n.params, w), (size_t)size * 8, "part");
    }
    sq_tape_free(r.t);
    net_free(&n);
}

Test(kept, weight_gradients_survive_a_reset)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 9);
    run r;
    record(&r, &n, SQ_F64, d.x, d.h0);
    BACKWARD(r.loss[1]);
    void *g = grads_copy(r.t);
    sq_tape_reset(r.t);
    EXPECT_SAME_BITS(g, sq_grads(r.t), params_bytes(n.params), "after reset");
    free(g);
    sq_tape_free(r.t);
    net_free(&n);
}

Test(frozen, weights_get_no_gradient_and_the_rest_does_not_notice)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 9);
    run r;
    record(&r, &n, SQ_F64, d.x, d.h0);
    BACKWARD(r.loss[1]);
    double *all = grads_copy(r.t);
    sq_tape_free(r.t);
    cr_assert(sq_weight_set_frozen(n.params, n.lstm.U[1], true) == SQ_OK);
    record(&r, &n, SQ_F64, d.x, d.h0);
    BACKWARD(r.loss[1]);
    const double *some = sq_grads(r.t);
    int64_t from = sq_weight_offset(n.params, n.lstm.U[1]), to = from + H * H;
    for (int64_t i = 0; i < sq_params_size(n.params); i++) {
        double want = i >= from && i < to ? 0 : all[i];
        cr_expect(some[i] == want, "element %lld: %g, want %g", (long long)i, some[i], want);
    }
    ASSERT_HEALTHY(r.t);
    free(all);
    sq_tape_free(r.t);
    net_free(&n);
}

/* ---- Central differences over a whole unrolled cell -------------------------------------- */

static double loss_of(const net *n, const data *d)
{
    run r;
    record(&r, n, SQ_F64, d->x, d->h0);
    double v = sq_item(r.loss[0]) + sq_item(r.loss[1]);
    sq_tape_free(r.t);
    return v;
}

Test(differences, every_weight_and_the_initial_state)
{
    data d;
    draw(&d);
    net n;
    net_new(&n, SQ_F64, I, H, 9);
    run r;
    record(&r, &n, SQ_F64, d.x, d.h0);
    BACKWARD(sq_add(r.loss[0], r.loss[1]));
    const double e = 1e-5;
    double *g = grads_copy(r.t), gh[B * H];
    sq_grad_copy(r.h0, gh);
    sq_tape_free(r.t);
    for (int64_t i = 0; i < sq_params_size(n.params); i++) {
        double f[2];
        for (int k = 0; k < 2; k++) {
            double *v = sq_params_update(n.params);
            v[i] += k ? -2 * e : e;
            f[k] = loss_of(&n, &d);
        }
        ((double *)sq_params_update(n.params))[i] += e;
        EXPECT_NEAR(g[i], (f[0] - f[1]) / (2 * e), 1e-7, "weight");
    }
    for (int i = 0; i < B * H; i++) {
        double f[2], keep = d.h0[i];
        for (int k = 0; k < 2; k++) {
            d.h0[i] = keep + (k ? -e : e);
            f[k] = loss_of(&n, &d);
        }
        d.h0[i] = keep;
        EXPECT_NEAR(gh[i], (f[0] - f[1]) / (2 * e), 1e-7, "h_0");
    }
    free(g);
    net_free(&n);
}

/* ---- Errors that must not look like zeros -------------------------------------------------- */

static bool same_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                       sq_shape *out)
{
    (void)t, (void)n, (void)attr;
    *out = in[0];
    return true;
}

static void copy_number(const sq_call *c) { *(double *)c->y = *(const double *)c->x[0]; }

Test(refusals, an_op_without_a_vjp_is_told)
{
    static const sq_op mine = {
        .name = "mine", .arity = 1, .shape = same_shape, .forward = copy_number
    };
    static const sq_op empty = { .name = "empty", .arity = 1 };
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), y = sq_apply(&mine, &x, 1, NULL);
    cr_expect(sq_item(y) == 2);
    cr_expect(sq_backward(y) == SQ_EGRAD);
    EXPECT_CONTAINS(sq_message(t), "backward: mine has no vjp: it cannot be differentiated");
    sq_tape_reset(t);
    x = sq_leaf(t, sq_scalar(), (double[]){ 2 });
    cr_expect(sq_ok(sq_apply(&empty, &x, 1, NULL)) == false);
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_tape_free(t);
}

Test(refusals, gradients_before_any_sweep)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    for (int round = 0; round < 2; round++) {
        sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), y = sq_keep_grad(sq_square(x));
        cr_expect(sq_grad_item(x) == 0, "a leaf has gathered nothing yet");
        cr_expect(isnan(sq_grad_item(y)));
        EXPECT_CONTAINS(sq_message(t), "no sweep has been made");
        sq_tape_reset(t);
        x = sq_leaf(t, sq_scalar(), (double[]){ 2 });
        BACKWARD(sq_square(x));
        sq_tape_reset(t); /* the next round's y was never swept */
    }
    sq_tape_free(t);
}
