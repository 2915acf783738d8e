/* test_ledger_weights.c -- dL/dW by step, and that looking changes nothing.
 *
 * The oracle is a loop by hand on a tape of its own: at every step each weight is taken plus a leaf of
 * zeros, which is used at that step only, so that dL/d leaf is the step's part by definition; and for
 * the leaf itself, differences of the loss with one element of it moved. */
#include "tests/support/random_run.h"

enum { N_W = 10, T = 7, B = 2, IN = 9, H = 12 };
enum { W, U, V, BIAS, MORE, PEEP, SCALE, FULL, READ, IDLE };

/* A cell that uses weights in every way: a product, one product twice over with a weight and with
 * what is computed from it, two biases that meet, a vector by rows, a number.
 *     a = tanh(x W + h U + b + c),  g = sigmoid(h V + a (s V) + p*h),  h' = h + g*(a - h)
 * and, if `full`, one of the shape of the state, g then being multiplied with it. */
typedef struct mixed {
    sq_params *p;
    sq_weight w[N_W];
    sq_var delta[N_W];
    sq_cell cell;
    bool full;
} mixed;

static sq_var take(sq_tape *t, const mixed *m, int i)
{
    sq_var w = sq_use(t, m->w[i]);
    return m->delta[i].tape ? sq_add(w, m->delta[i]) : w;
}

static sq_var mixed_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const mixed *m = self;
    sq_var v = take(t, m, V);
    sq_var in = sq_add(sq_matmul(x, take(t, m, W)), sq_matmul(*h, take(t, m, U)));
    sq_var a = sq_name(sq_tanh(sq_add(in, sq_add(take(t, m, BIAS), take(t, m, MORE)))), "a");
    sq_var out = sq_add(sq_matmul(*h, v), sq_matmul(a, sq_mul(v, take(t, m, SCALE))));
    sq_var g = sq_name(sq_sigmoid(sq_add(out, sq_mul(take(t, m, PEEP), *h))), "g");
    if (m->full) g = sq_mul(g, take(t, m, FULL));
    return *h = sq_add(*h, sq_mul(g, sq_sub(a, *h)));
}

static void mixed_new(mixed *m, sq_dtype dtype)
{
    static const int64_t wide[1] = { H };
    static const char *const names[1] = { "h" };
    const sq_shape shape[N_W] = { sq_mat(IN, H), sq_mat(H, H), sq_mat(H, H), sq_vec(H),
                                  sq_vec(H),     sq_vec(H),    sq_scalar(),  sq_mat(B, H),
                                  sq_mat(H, 2),  sq_vec(3) };
    *m = (mixed){ .p = sq_params_new(dtype),
                  .cell = { "mixed", 1, wide, names, mixed_step, m } };
    for (int i = 0; i < N_W; i++) {
        double x[H * H];
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        fill(x, sq_shape_size(shape[i]), 40 + (uint64_t)i, -.7, .7);
        m->w[i] = sq_params_add(m->p, name, shape[i]);
        cr_assert(sq_weight_set_f64(m->p, m->w[i], x) == SQ_OK);
    }
}

static sq_var input(sq_tape *t)
{
    double x[T * B * IN];
    fill(x, COUNT(x), 7, -1, 1);
    return sq_input_f64(t, sq_shape3(T, B, IN), x);
}

/* What is read out at one step, by a weight that is used outside the steps when it is read later. */
static sq_var loss_of(sq_tape *t, const mixed *m, sq_var h)
{
    return sq_sum(sq_square(sq_matmul(h, sq_use(t, m->w[READ]))));
}

static const sq_unroll_options modes[] = { { .mode = SQ_EAGER },
                                           { .mode = SQ_PLAN },
                                           { .mode = SQ_EAGER, .every = 3 },
                                           { .mode = SQ_PLAN, .every = 3 } };

static sq_var outputs_loss(sq_tape *t, const mixed *m, const sq_unrolled *u)
{
    return loss_of(t, m, sq_reshape(sq_unrolled_outputs(u), sq_mat(T * B, H)));
}

/* ---- The oracle ---------------------------------------------------------------------------- */

typedef struct oracle {
    double part[T + 1][N_W][H * H]; /* T: outside */
    double value;
} oracle;

/* The loss, or losses, of a loop whose weights have leaves; `moved` is added to an element. */
typedef struct moved {
    int step, weight, element;
    double by;
} moved;

static void loop(sq_tape *t, mixed *m, sq_var leaf[T][N_W], sq_var *h, const moved *d)
{
    sq_var x = input(t), state = sq_zeros(t, sq_mat(B, H));
    static double zeros[H * H];
    for (int i = 0; i < T; i++) {
        sq_begin_step(t);
        for (int w = 0; w < N_W; w++) {
            sq_shape s = sq_weight_shape(m->p, m->w[w]);
            double saved = zeros[d->element];
            if (d->step == i && d->weight == w) zeros[d->element] = d->by;
            leaf[i][w] = m->delta[w] = sq_leaf_f64(t, s, zeros);
            zeros[d->element] = saved;
        }
        sq_var at = sq_reshape(sq_slice(x, 0, i, 1), sq_mat(B, IN));
        mixed_step(t, m, at, &state);
        h[i] = state;
    }
    sq_end_step(t);
    memset(m->delta, 0, sizeof m->delta);
}

/* Parts of the losses first .. T - 1, one a step. */
static void oracle_new(oracle *o, mixed *m, int first, int last, const moved *d)
{
    const moved nothing = { -1, 0, 0, 0 };
    sq_tape *t = sq_tape_new(SQ_F64, m->p);
    sq_var leaf[T][N_W], h[T], loss = sq_constant(t, 0);
    loop(t, m, leaf, h, d ? d : &nothing);
    for (int i = first; i <= last; i++) loss = sq_add(loss, loss_of(t, m, h[i]));
    BACKWARD(loss);
    o->value = sq_item(loss);
    memset(o->part, 0, sizeof o->part);
    for (int i = 0; i < T; i++)
        for (int w = 0; w < READ; w++)
            cr_assert(sq_grad_copy_f64(leaf[i][w], o->part[i][w]) == SQ_OK);
    cr_assert(sq_weight_grad_f64(t, m->w[READ], o->part[T][READ]) == SQ_OK);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

static double norm(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static int64_t size_of(const mixed *m, int w)
{
    return sq_shape_size(sq_weight_shape(m->p, m->w[w]));
}

static oracle *the_oracle(mixed *m)
{
    static oracle o;
    oracle_new(&o, m, 0, T - 1, NULL);
    return &o;
}

/* ---- Parts --------------------------------------------------------------------------------- */

/* The leaves themselves agree with differences of the loss. */
Test(parts, of_the_oracle_are_differences_of_the_loss)
{
    static oracle up, down;
    mixed m;
    mixed_new(&m, SQ_F64);
    oracle *o = the_oracle(&m);
    rng r = { 5 };
    for (int w = 0; w < READ; w++)
        for (int i = 0; i < T; i += 2) {
            moved d = { i, w, rng_below(&r, (int)size_of(&m, w)), 1e-5 };
            oracle_new(&up, &m, 0, T - 1, &d);
            d.by = -1e-5;
            oracle_new(&down, &m, 0, T - 1, &d);
            EXPECT_NEAR((up.value - down.value) / 2e-5, o->part[i][w][d.element], 1e-7, "part");
        }
    sq_params_free(m.p);
}

static bool is_used(const mixed *m, int w) { return w != FULL || m->full; }

static void expect_parts(const sq_ledger *l, const mixed *m, const oracle *o)
{
    for (int w = 0; w < IDLE; w++)
        for (int i = 0; is_used(m, w) && i <= T; i++) {
            const double *part = sq_ledger_weight_values(l, i, m->w[w]);
            cr_assert(part != NULL);
            EXPECT_ALL_NEAR(part, o->part[i][w], size_of(m, w), 1e-12, "part");
            EXPECT_NEAR(sq_ledger_weight(l, i, m->w[w]), norm(o->part[i][w], size_of(m, w)),
                        1e-12, "norm");
        }
}

static void expect_oracle_s_parts(bool full)
{
    mixed m;
    mixed_new(&m, SQ_F64);
    m.full = full;
    oracle *o = the_oracle(&m);
    for (int k = 0; k < COUNT(modes); k++) {
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, &modes[k]);
        sq_var loss = outputs_loss(t, &m, u);
        sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .contribution = true });
        cr_assert(l != NULL, "%s", sq_message(t));
        cr_expect(sq_ledger_n_weights(l) == N_W);
        expect_parts(l, &m, o);
        cr_expect(sq_ledger_identity(l) < 1e-12, "%g", sq_ledger_identity(l));
        sq_zero_grads(t);
        BACKWARD(loss);
        for (int w = 0; w < IDLE; w++) {
            if (!is_used(&m, w)) continue;
            double whole[H * H];
            cr_assert(sq_weight_grad_f64(t, m.w[w], whole) == SQ_OK);
            EXPECT_NEAR(sq_ledger_weight_total(l, m.w[w]), norm(whole, size_of(&m, w)), 1e-12,
                        "total");
        }
        sq_ledger_free(l);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    sq_params_free(m.p);
}

Test(parts, are_the_oracle_s_in_every_mode)
{
    expect_oracle_s_parts(false);
    expect_oracle_s_parts(true);
}

/* Norms alone: in a plan by the Gram identity where that is cheaper, with any number of threads. */
static void expect_norms(bool full)
{
    mixed m;
    mixed_new(&m, SQ_F64);
    m.full = full;
    oracle *o = the_oracle(&m);
    for (int k = 0; k < COUNT(modes); k++)
        for (int threads = 1; threads <= 3; threads++) {
            sq_tape *t = sq_tape_new(SQ_F64, m.p);
            sq_tape_set_threads(t, threads);
            const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, &modes[k]);
            sq_ledger *l = sq_ledger_new(u, outputs_loss(t, &m, u),
                                         &(sq_ledger_options){ .weights = true });
            cr_assert(l != NULL, "%s", sq_message(t));
            for (int w = 0; w < IDLE; w++)
                for (int i = 0; is_used(&m, w) && i <= T; i++)
                    EXPECT_NEAR(sq_ledger_weight(l, i, m.w[w]),
                                norm(o->part[i][w], size_of(&m, w)), 1e-11, "norm");
            cr_expect(sq_ledger_weight_values(l, 0, m.w[W]) == NULL);
            cr_expect(isnan(sq_ledger_weight_total(l, m.w[W])));
            sq_ledger_free(l);
            sq_tape_free(t);
        }
    sq_params_free(m.p);
}

Test(parts, norms_alone_are_those_of_the_parts)
{
    expect_norms(false);
    expect_norms(true);
}

/* An LSTM is all Gram matrices: explicit parts of the same tape, both precisions. The loss is made
 * so small, and so large, that squares of its gradients are no numbers of their precision. */
Test(parts, gram_norms_are_those_of_the_product_at_any_scale)
{
    static const double scale[2][3] = { { 1, 1e-25, 1e25 }, { 1, 1e-180, 1e180 } };
    for (int dtype = 0; dtype < 2; dtype++)
        for (int k = 0; k < 3; k++) {
            net n;
            net_new(&n, (sq_dtype)dtype, IN, H, 3);
            sq_tape *t = sq_tape_new((sq_dtype)dtype, n.params);
            sq_unroll_options o = { .mode = SQ_PLAN };
            const sq_unrolled *u = sq_unroll(t, &n.cell, input(t), NULL, &o);
            sq_var loss =
                sq_mul_scalar(sq_sum(sq_square(sq_unrolled_outputs(u))), scale[dtype][k]);
            sq_ledger *a = sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true });
            sq_ledger *b = sq_ledger_new(u, loss, &(sq_ledger_options){ .contribution = true });
            cr_assert(a && b, "%s", sq_message(t));
            for (int w = 1; w <= sq_params_count(n.params); w++)
                for (int i = 0; i < T; i++) {
                    double got = sq_ledger_weight(a, i, (sq_weight){ w });
                    double want = sq_ledger_weight(b, i, (sq_weight){ w });
                    cr_expect(want > 0 || i == 0);
                    EXPECT_NEAR(want ? got / want : got + 1, 1, dtype ? 1e-12 : 1e-5, "norm");
                }
            cr_expect(sq_ledger_identity(b) < (dtype ? 1e-14 : 1e-5), "%g",
                      sq_ledger_identity(b));
            sq_ledger_free(a);
            sq_ledger_free(b);
            sq_tape_free(t);
            net_free(&n);
        }
}

/* A loop by hand; the readout inside the steps belongs to them. */
Test(parts, of_a_loop_by_hand)
{
    const moved nothing = { -1, 0, 0, 0 };
    mixed m;
    mixed_new(&m, SQ_F64);
    oracle *o = the_oracle(&m);
    sq_tape *t = sq_tape_new(SQ_F64, m.p);
    sq_var leaf[T][N_W], h[T], loss = sq_constant(t, 0);
    loop(t, &m, leaf, h, &nothing);
    for (int i = 0; i < T; i++) loss = sq_add(loss, loss_of(t, &m, h[i]));
    sq_ledger *l =
        sq_ledger_of_states(h, T, 1, loss, &(sq_ledger_options){ .contribution = true });
    cr_assert(l != NULL, "%s", sq_message(t));
    expect_parts(l, &m, o);
    sq_ledger_free(l);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(m.p);
}

/* A weight taken before the loop is told apart by the steps that use it all the same. */
Test(parts, of_a_weight_taken_before_the_loop)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", .5);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var taken = sq_use(t, w), h = sq_constant(t, 1), hs[3];
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        hs[i] = h = sq_mul(taken, h);
    }
    sq_end_step(t);
    sq_var loss = sq_add(h, sq_mul_scalar(taken, 4)); /* w^3 + 4 w */
    sq_ledger *l = sq_ledger_of_states(hs, 3, 1, loss, &(sq_ledger_options){ .weights = true });
    cr_assert(l != NULL, "%s", sq_message(t));
    for (int i = 0; i < 3; i++) EXPECT_NEAR(sq_ledger_weight(l, i, w), .25, 1e-15, "w^2");
    EXPECT_NEAR(sq_ledger_weight(l, 3, w), 4, 1e-15, "outside");
    sq_ledger_free(l);
    sq_tape_free(t);
    sq_params_free(p);
}

/* Two windows of one recurrence: to the ledger of the first the second is outside, all its steps
 * together, however their parts could be told. */
Test(parts, of_two_unrolls_on_one_tape)
{
    for (int k = 0; k < COUNT(modes); k++) {
        mixed m;
        mixed_new(&m, SQ_F64);
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, &modes[k]);
        sq_var h = sq_unrolled_state(u, T - 1, 0);
        const sq_unrolled *v = sq_unroll(t, &m.cell, input(t), &h, &modes[k]);
        sq_var loss = sq_add(outputs_loss(t, &m, u), outputs_loss(t, &m, v));
        sq_ledger_options all = { .contribution = true };
        sq_ledger *a = sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true });
        sq_ledger *b = sq_ledger_new(u, loss, &all), *c = sq_ledger_new(v, loss, &all);
        cr_assert(a && b && c, "%s", sq_message(t));
        cr_expect(sq_ledger_identity(b) < 1e-12 && sq_ledger_identity(c) < 1e-12);
        for (int w = 0; w < FULL; w++) {
            double sum[2][H * H] = { { 0 } };
            int64_t n = size_of(&m, w);
            for (int i = 0; i < T; i++)
                for (int64_t j = 0; j < n; j++) {
                    sum[0][j] += sq_ledger_weight_values(b, i, m.w[w])[j];
                    sum[1][j] += sq_ledger_weight_values(c, i, m.w[w])[j];
                }
            EXPECT_ALL_NEAR(sq_ledger_weight_values(b, T, m.w[w]), sum[1], n, 1e-12, "after");
            EXPECT_ALL_NEAR(sq_ledger_weight_values(c, T, m.w[w]), sum[0], n, 1e-12, "before");
            EXPECT_NEAR(sq_ledger_weight(a, T, m.w[w]), norm(sum[1], n), 1e-11, "norm");
        }
        sq_ledger_free(a);
        sq_ledger_free(b);
        sq_ledger_free(c);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
        sq_params_free(m.p);
    }
}

/* In the step a weight is multiplied with what was computed from another one before: the first has
 * parts by step, the second none but outside, in every mode. */
static sq_var times(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const sq_var *scale = self;
    sq_var w = sq_use(t, sq_params_find(sq_tape_params(t), "w"));
    return *h = sq_add(x, sq_matmul(*h, sq_mul(w, *scale)));
}

Test(parts, of_a_weight_that_meets_another_from_outside)
{
    static const int64_t wide[1] = { 2 };
    double want[T + 1] = { 0 }, whole = 0;
    for (int k = 0; k < COUNT(modes); k++) {
        sq_params *p = sq_params_new(SQ_F64);
        sq_weight w = sq_params_add(p, "w", sq_mat(2, 2)), q = add_number(p, "q", .5);
        cr_assert(sq_weight_set_f64(p, w, (double[]){ 1, .5, -.5, 1 }) == SQ_OK);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_var scale = sq_square(sq_use(t, q)), x = sq_full(t, sq_shape3(T, 1, 2), 1);
        sq_cell cell = { "times", 1, wide, NULL, times, &scale };
        const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, &modes[k]);
        sq_var loss = sq_sum(sq_unrolled_outputs(u));
        sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .contribution = true });
        cr_assert(l != NULL, "%s", sq_message(t));
        BACKWARD(loss);
        if (k == 0) whole = fabs(number_grad(t, q));
        cr_expect(whole > 1);
        EXPECT_NEAR(sq_ledger_weight(l, T, q), whole, 1e-13, "outside");
        cr_expect(sq_ledger_weight(l, 2, q) == 0 && sq_ledger_weight(l, T, w) == 0);
        cr_expect(sq_ledger_identity(l) < 1e-13);
        for (int i = 0; i < T; i++) {
            if (k == 0) want[i] = sq_ledger_weight(l, i, w);
            EXPECT_NEAR(sq_ledger_weight(l, i, w), want[i], 1e-13, "as eager");
            bool flows = want[i] > 0;
            cr_expect(flows == (i > 0), "the first state is zero");
        }
        sq_ledger_free(l);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* ---- With the total ------------------------------------------------------------------------ */

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void sum_up(const oracle *o, int w, int64_t n, double *to)
{
    memset(to, 0, (size_t)n * sizeof *to);
    for (int i = 0; i <= T; i++)
        for (int64_t j = 0; j < n; j++) to[j] += o->part[i][w][j];
}

Test(total, cosines_and_what_comes_from_far)
{
    enum { FAR = 2 };
    mixed m;
    mixed_new(&m, SQ_F64);
    oracle *o = the_oracle(&m);
    for (int k = 0; k < COUNT(modes); k++) {
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, &modes[k]);
        sq_ledger_options with = { .weights = true, .far_steps = FAR };
        sq_ledger *l = sq_ledger_new(u, outputs_loss(t, &m, u), &with);
        cr_assert(l != NULL, "%s", sq_message(t));
        for (int w = 0; w < READ; w++) {
            if (!is_used(&m, w)) continue;
            double all[H * H], far[H * H] = { 0 };
            int64_t n = size_of(&m, w);
            sum_up(o, w, n, all);
            for (int i = 0; i < T; i++) {
                double want = dot(o->part[i][w], all, n) / norm(all, n);
                double size = norm(o->part[i][w], n);
                EXPECT_NEAR(sq_ledger_weight_cosine(l, i, m.w[w]), size ? want / size : 0,
                            1e-12, "cosine");
                for (int64_t j = 0; T - 1 - i > FAR && j < n; j++) far[j] += o->part[i][w][j];
            }
            EXPECT_NEAR(sq_ledger_weight_far(l, m.w[w]), norm(far, n) / norm(all, n), 1e-12,
                        "far");
        }
        sq_ledger_free(l);
        sq_tape_free(t);
    }
    sq_params_free(m.p);
}

/* With the losses given, every one counts back from its own step. */
Test(total, what_comes_from_far_of_every_loss)
{
    enum { FAR = 2 };
    static oracle one;
    static double far[READ][H * H];
    mixed m;
    mixed_new(&m, SQ_F64);
    oracle *o = the_oracle(&m);
    memset(far, 0, sizeof far);
    for (int s = 0; s < T; s++) {
        oracle_new(&one, &m, s, s, NULL);
        for (int w = 0; w < READ; w++)
            for (int i = 0; i < s - FAR; i++)
                for (int j = 0; j < H * H; j++) far[w][j] += one.part[i][w][j];
    }
    for (int k = 0; k < COUNT(modes); k++) {
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, &modes[k]);
        sq_var each[T];
        for (int i = 0; i < T; i++) each[i] = loss_of(t, &m, sq_unrolled_output(u, i));
        sq_ledger_options with = {
            .weights = true, .far_steps = FAR, .losses = each, .n_losses = T
        };
        sq_ledger *l = sq_ledger_new(u, outputs_loss(t, &m, u), &with);
        cr_assert(l != NULL, "%s", sq_message(t));
        for (int w = 0; w < READ; w++) {
            if (!is_used(&m, w)) continue;
            double all[H * H];
            int64_t n = size_of(&m, w);
            sum_up(o, w, n, all);
            EXPECT_NEAR(sq_ledger_weight_far(l, m.w[w]), norm(far[w], n) / norm(all, n), 1e-12,
                        "far");
        }
        sq_ledger_free(l);
        sq_tape_free(t);
    }
    sq_params_free(m.p);
}

/* ---- Nothing there, and sentences ---------------------------------------------------------- */

Test(asked, for_what_is_not_there)
{
    mixed m;
    mixed_new(&m, SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, m.p);
    const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, NULL);
    sq_var loss = outputs_loss(t, &m, u);
    sq_ledger *none = sq_ledger_new(u, loss, NULL);
    sq_ledger *l = sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true });
    cr_assert(none && l, "%s", sq_message(t));
    cr_expect(sq_ledger_n_weights(none) == 0 && sq_ledger_n_weights(NULL) == 0);
    const double nan[] = { sq_ledger_weight(none, 0, m.w[W]),
                           sq_ledger_weight(NULL, 0, m.w[W]),
                           sq_ledger_weight(l, -1, m.w[W]),
                           sq_ledger_weight(l, T + 1, m.w[W]),
                           sq_ledger_weight(l, 0, (sq_weight){ 0 }),
                           sq_ledger_weight(l, 0, (sq_weight){ N_W + 1 }),
                           sq_ledger_weight(l, 0, m.w[IDLE]),
                           sq_ledger_weight_cosine(l, 0, m.w[W]),
                           sq_ledger_weight_far(l, m.w[W]),
                           sq_ledger_weight_total(l, m.w[W]),
                           sq_ledger_identity(l),
                           sq_ledger_identity(none),
                           sq_ledger_identity(NULL) };
    for (int i = 0; i < COUNT(nan); i++) cr_expect(isnan(nan[i]), "%d: %g", i, nan[i]);
    cr_expect(sq_ledger_weight(l, T, m.w[W]) == 0, "used, but not outside");
    cr_expect(sq_ledger_weight_values(l, 0, m.w[W]) == NULL);
    sq_ledger_free(none);
    sq_ledger_free(l);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(m.p);
}

/* A weight that the loss does not reach is used all the same: its parts are 0. */
static sq_var stepwise(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_weight *w = self;
    state[0] = sq_mul(sq_use(t, w[0]), sq_add(x, state[0]));
    state[1] = sq_mul(sq_use(t, w[1]), sq_add(x, state[1]));
    return state[1];
}

Test(asked, for_what_the_loss_does_not_reach)
{
    static const int64_t wide[2] = { 1, 1 };
    for (int k = 0; k < 2; k++) {
        sq_params *p = sq_params_new(SQ_F64);
        sq_weight w[2] = { add_number(p, "w", .5), add_number(p, "v", .5) };
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_cell cell = { "apart", 2, wide, NULL, stepwise, w };
        sq_var x = sq_full(t, sq_shape3(3, 1, 1), 1);
        const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, &modes[k]);
        sq_ledger *l = sq_ledger_new(u, sq_sum(sq_unrolled_outputs(u)),
                                     &(sq_ledger_options){ .weights = true });
        cr_assert(l != NULL, "%s", sq_message(t));
        cr_expect(sq_ledger_weight(l, 1, w[0]) == 0 && sq_ledger_weight(l, 1, w[1]) > 0);
        sq_ledger_free(l);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* A frozen weight has no parts; what is not a number stays none. */
Test(asked, for_frozen_weights_and_for_nan)
{
    for (int k = 0; k < COUNT(modes); k++) {
        mixed m;
        mixed_new(&m, SQ_F64);
        cr_assert(sq_weight_set_frozen(m.p, m.w[U], true) == SQ_OK);
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, &modes[k]);
        sq_var loss = sq_mul_scalar(outputs_loss(t, &m, u), (double)NAN);
        sq_ledger *l = sq_ledger_new(
            u, loss, &(sq_ledger_options){ .contribution = true, .far_steps = 1 });
        cr_assert(l != NULL, "%s", sq_message(t));
        cr_expect(isnan(sq_ledger_weight(l, 0, m.w[U])), "frozen");
        cr_expect(isnan(sq_ledger_weight(l, 2, m.w[W])), "of NaN");
        cr_expect(isnan(sq_ledger_weight_cosine(l, 2, m.w[W])));
        cr_expect(isnan(sq_ledger_weight_far(l, m.w[W])));
        cr_expect(isnan(sq_ledger_identity(l)));
        sq_ledger_free(l);
        l = sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true });
        cr_expect(isnan(sq_ledger_weight(l, 2, m.w[W])), "by its norm");
        sq_ledger_free(l);
        sq_tape_free(t);
        sq_params_free(m.p);
    }
}

Test(asked, wrongly)
{
    static const struct {
        sq_ledger_options options;
        const char *says;
    } wrong[] = { { { .far_steps = 2 }, "ask for weights" },
                  { { .weights = true, .far_steps = -1 }, "-1 steps back" },
                  { { .n_losses = 1 }, "1 losses" } };
    for (int i = 0; i < COUNT(wrong); i++) {
        mixed m;
        mixed_new(&m, SQ_F64);
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        const sq_unrolled *u = sq_unroll(t, &m.cell, input(t), NULL, NULL);
        sq_var loss = outputs_loss(t, &m, u);
        cr_expect(sq_ledger_new(u, loss, &wrong[i].options) == NULL);
        EXPECT_CONTAINS(sq_message(t), wrong[i].says);
        sq_tape_free(t);
        sq_params_free(m.p);
    }
}

/* No steps: all is outside. */
Test(asked, for_no_steps)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 3);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_ledger *l = sq_ledger_of_states(NULL, 0, 0, sq_square(sq_use(t, w)),
                                       &(sq_ledger_options){ .contribution = true });
    cr_assert(l != NULL, "%s", sq_message(t));
    EXPECT_NEAR(sq_ledger_weight(l, 0, w), 6, 0, "outside");
    cr_expect(sq_ledger_identity(l) == 0);
    sq_ledger_free(l);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Looking changes nothing --------------------------------------------------------------- */

typedef struct seen {
    double grads[N_W * H * H], x[T * B * IN], h[T][B * H], value[T][B * H];
    sq_mode mode;
} seen;

/* Gradients of a sweep with a ledger of everything before, and another after it, or without. */
static void look(const mixed *m, const sq_unroll_options *o, bool looks, seen *s)
{
    double x[T * B * IN];
    sq_tape *t = sq_tape_new(SQ_F64, m->p);
    fill(x, COUNT(x), 7, -1, 1);
    sq_var leaf = sq_leaf_f64(t, sq_shape3(T, B, IN), x), each[T];
    const sq_unrolled *u = sq_unroll(t, &m->cell, leaf, NULL, o);
    for (int i = 0; i < T; i++) each[i] = loss_of(t, m, sq_unrolled_output(u, i));
    sq_var loss = outputs_loss(t, m, u);
    sq_ledger_options all = { .values = true,
                              .contribution = true,
                              .far_steps = 1,
                              .gates = true,
                              .losses = each,
                              .n_losses = T };
    if (looks) sq_ledger_free(sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true }));
    if (looks) sq_ledger_free(sq_ledger_new(u, loss, &all));
    if (o->every)
        for (int i = 0; i < T; i++) sq_keep_grad(sq_unrolled_state(u, i, 0));
    BACKWARD(loss);
    if (looks) sq_ledger_free(sq_ledger_new(u, loss, &all));
    ASSERT_HEALTHY(t);
    memset(s, 0, sizeof *s);
    memcpy(s->grads, sq_grads(t), params_bytes(m->p));
    cr_assert(sq_grad_copy_f64(leaf, s->x) == SQ_OK);
    for (int i = 0; i < T; i++) {
        cr_assert(sq_grad_copy_f64(sq_unrolled_state(u, i, 0), s->h[i]) == SQ_OK, "%s",
                  sq_message(t));
        cr_assert(sq_copy_f64(sq_unrolled_state(u, i, 0), s->value[i]) == SQ_OK);
    }
    s->mode = sq_unroll_mode(u);
    sq_tape_free(t);
}

Test(looking, changes_no_bit)
{
    static seen with, without;
    mixed m;
    mixed_new(&m, SQ_F64);
    for (int k = 0; k < COUNT(modes); k++) {
        look(&m, &modes[k], false, &without);
        look(&m, &modes[k], true, &with);
        EXPECT_SAME_BITS(&with, &without, sizeof with, "what is seen");
    }
    sq_params_free(m.p);
}
