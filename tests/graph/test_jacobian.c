/* test_jacobian.c -- dh_t/dh_k and dh_t/dx_k against central differences, for every cell of cells/
 * and for random ones; long products against 3000 digits. */
#include "tests/support/every_cell.h"
#include "tests/support/random_run.h"

#include "tests/golden/jacobian.h"

enum { B = 3, I = 2, H = 3, WIDEST = H + 1, T = 6, ROOM = 32 };

/* ---- Against differences ------------------------------------------------------------------ */

typedef struct any {
    any_cell cell;
    sq_lstm top;
    sq_stack_cells *stack;
} any;

enum { N_CELLS = N_CELL_KINDS + 1 };

/* Every kind, and a stack of two. */
static sq_cell make_cell(int which, any *w, sq_params *p)
{
    if (which < N_CELL_KINDS) return every_cell[which].make(&w->cell, p, "c", I, H, 3);
    sq_cell gru = any_gru_after(&w->cell, p, "g", I, H, 3);
    (void)sq_lstm_init(&w->top, p, "t", H, 2, 4);
    w->stack = sq_stack_new((sq_cell[]){ gru, sq_lstm_cell(&w->top) }, 2);
    return sq_stack_cell(w->stack);
}

/* The states of row 1 after the steps [from, to] that begin with `states` [n_states][B*width]. */
static void evaluate(sq_params *p, const sq_cell *cell, const double *x,
                     double states[][B * WIDEST], int from, int to, double *out)
{
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h[ANY_CELL_STATES];
    for (int k = 0; k < cell->n_states; k++)
        h[k] = sq_input(t, sq_mat(B, cell->width[k]), states[k]);
    sq_var xs = sq_input(t, sq_shape3(to - from + 1, B, I), x + from * B * I);
    const sq_unrolled *u = sq_unroll(t, cell, xs, h, &(sq_unroll_options){ .mode = SQ_EAGER });
    for (int k = 0; k < cell->n_states; k++) {
        double all[B * WIDEST];
        cr_assert(sq_copy(sq_unrolled_state(u, to - from, k), all) == SQ_OK, "%s",
                  sq_message(t));
        memcpy(out, all + cell->width[k], (size_t)cell->width[k] * sizeof *out);
        out += cell->width[k];
    }
    sq_tape_free(t);
}

/* Column `column` of a matrix of differences: what moves lies at *at. */
static void difference(sq_params *p, const sq_cell *cell, const double *x,
                       double states[][B * WIDEST], int from, int to, double *at, double *want,
                       int n, int columns, int column)
{
    const double e = 1e-5, was = *at;
    double up[ROOM], down[ROOM];
    *at = was + e, evaluate(p, cell, x, states, from, to, up);
    *at = was - e, evaluate(p, cell, x, states, from, to, down);
    *at = was;
    for (int i = 0; i < n; i++) want[i * columns + column] = (up[i] - down[i]) / (2 * e);
}

static void check_cell(int which, sq_mode mode)
{
    any w = { .stack = NULL };
    char what[32];
    snprintf(what, sizeof what, "cell %d, mode %d", which, (int)mode);
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = make_cell(which, &w, p);
    double x[T * B * I], states[ANY_CELL_STATES][B * WIDEST], got[ROOM * ROOM],
        want[ROOM * ROOM];
    fill(x, T * B * I, 11, -2, 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h[ANY_CELL_STATES];
    for (int k = 0; k < cell.n_states; k++) {
        fill(states[k], B * WIDEST, 12u + (uint64_t)k, -1, 1);
        h[k] = sq_input(t, sq_mat(B, cell.width[k]), states[k]);
    }
    const sq_unrolled *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, I), x), h,
                                     &(sq_unroll_options){ .mode = mode });
    ASSERT_HEALTHY(t);
    int n = (int)sq_jacobian_size(u, SQ_JOINTLY);
    for (int k = -1; k < T; k += 3) {
        int column = 0;
        for (int s = 0; s < cell.n_states; s++) {
            if (k >= 0) cr_assert(sq_copy(sq_unrolled_state(u, k, s), states[s]) == SQ_OK);
        }
        for (int s = 0; s < cell.n_states && k < T - 1; s++)
            for (int i = 0; i < cell.width[s]; i++)
                difference(p, &cell, x, states, k + 1, T - 1, &states[s][cell.width[s] + i],
                           want, n, n, column++);
        if (k == T - 1) break;
        cr_assert(sq_jacobian(u, T - 1, k, 1, SQ_JOINTLY, got, NULL) == SQ_OK, "%s",
                  sq_message(t));
        EXPECT_ALL_NEAR(got, want, n * n, 1e-8, what);
        for (int i = 0; i < I; i++)
            difference(p, &cell, x, states, k + 1, T - 1, &x[((k + 1) * B + 1) * I + i], want,
                       n, I, i);
        cr_assert(sq_jacobian_input(u, T - 1, k + 1, 1, SQ_JOINTLY, got, NULL) == SQ_OK, "%s",
                  sq_message(t));
        EXPECT_ALL_NEAR(got, want, n * I, 1e-8, what);
    }
    EXPECT_SOUND(t);
    sq_tape_free(t);
    sq_params_free(p);
    sq_stack_free(w.stack);
}

Test(differences, every_cell_eager)
{
    for (int i = 0; i < N_CELLS; i++) check_cell(i, SQ_EAGER);
}

Test(differences, every_cell_planned)
{
    for (int i = 0; i < N_CELLS; i++) check_cell(i, SQ_PLAN);
}

/* ---- Ops that move numbers about ---------------------------------------------------------- */

typedef struct mover {
    sq_weight W, U;
    int which;
} mover;

/* Gates of one product, cut apart, joined, turned and padded; or rows of the batch that meet. */
static sq_var mover_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const mover *w = self;
    sq_var z =
        sq_add(sq_matmul(x, sq_use(t, w->W)), sq_matmul(*h, sq_use(t, w->U))); /* [B,8] */
    if (w->which == 1) return *h = sq_slice(sq_softmax(z, 0), 1, 0, 4);
    if (w->which == 2) return *h = sq_slice(sq_mul(z, sq_sum_axis(z, 0)), -1, 2, 4);
    if (w->which == 3)
        return *h = sq_reshape(
                   sq_permute(sq_reshape(sq_slice(z, 1, 0, 4), sq_mat(4, 3)), (int[]){ 1, 0 }),
                   sq_mat(3, 4));
    if (w->which == 4)
        return *h = sq_pad(sq_permute(sq_slice(z, 1, 0, 3), (int[]){ 1, 0 }), 1, 0, 1);
    if (w->which == 5)
        return *h = sq_reshape(
                   sq_pad(sq_slice(sq_reshape(sq_slice(z, 1, 0, 4), sq_mat(2, 6)), 1, 1, 5), 1,
                          1, 0),
                   sq_mat(3, 4));
    sq_var a = sq_slice(z, 1, 0, 4), b = sq_softmax(sq_slice(z, -1, 4, 4), -1);
    sq_var box = sq_reshape(sq_mul(a, b), sq_shape3(3, 2, 2));
    sq_var turned = sq_reshape(sq_permute(box, (int[]){ 0, 2, 1 }), sq_mat(3, 4));
    sq_var peak = sq_reshape(sq_max_axis(turned, 1), sq_mat(3, 1));
    sq_var sum = sq_broadcast_to(sq_reshape(sq_sum_axis(b, 1), sq_mat(3, 1)), sq_mat(3, 4));
    sq_var joined = sq_concat((sq_var[]){ sq_slice(turned, 1, 1, 2), peak }, 2, 1);
    return *h = sq_add(sq_pad(joined, 1, 1, 0), sq_mul(sum, sq_log_softmax(a, 1)));
}

static void mover_states(sq_tape *t, const mover *w, const double *x, const double *h0,
                         int steps, sq_mode mode, const sq_unrolled **u)
{
    sq_cell cell = { "mover", 1, (int64_t[]){ 4 }, NULL, mover_step, w };
    sq_var h = sq_input(t, sq_mat(3, 4), h0);
    *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(steps, 3, 2), x), &h,
                   &(sq_unroll_options){ .mode = mode, .outputs = SQ_OUTPUTS_NONE });
    cr_assert(sq_tape_status(t) == SQ_OK, "%s", sq_message(t));
}

static void check_mover(int which, int steps, sq_mode mode)
{
    double x[2 * 3 * 2], h[12], W[16], U[32], got[16], side[2][12];
    mover w = { .which = which };
    sq_params *p = sq_params_new(SQ_F64);
    fill(x, 12, 1, -1, 1), fill(h, 12, 2, -1, 1), fill(W, 16, 3, -1, 1), fill(U, 32, 4, -1, 1);
    w.W = sq_params_add(p, "W", sq_mat(2, 8)), w.U = sq_params_add(p, "U", sq_mat(4, 8));
    cr_assert(sq_weight_set(p, w.W, W) == SQ_OK && sq_weight_set(p, w.U, U) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    const sq_unrolled *u;
    mover_states(t, &w, x, h, steps, mode, &u);
    for (int row = 0; row < 3; row++) {
        cr_assert(sq_jacobian(u, steps - 1, -1, row, SQ_JOINTLY, got, NULL) == SQ_OK, "%s",
                  sq_message(t));
        for (int j = 0; j < 4; j++) {
            for (int sign = 0; sign < 2; sign++) {
                double was = h[row * 4 + j];
                sq_tape *s = sq_tape_new(SQ_F64, p);
                const sq_unrolled *v;
                h[row * 4 + j] += sign ? -1e-5 : 1e-5;
                mover_states(s, &w, x, h, steps, SQ_EAGER, &v);
                cr_assert(sq_copy(sq_unrolled_state(v, steps - 1, 0), side[sign]) == SQ_OK);
                h[row * 4 + j] = was;
                sq_tape_free(s);
            }
            for (int i = 0; i < 4; i++)
                EXPECT_NEAR(got[i * 4 + j],
                            (side[0][row * 4 + i] - side[1][row * 4 + i]) / 2e-5, 1e-8,
                            "moved about");
        }
    }
    sq_tape_free(t);
    sq_params_free(p);
}

Test(differences, ops_that_move_numbers_about)
{
    for (int mode = SQ_AUTO; mode <= SQ_EAGER; mode++) {
        check_mover(0, 2, (sq_mode)mode);
        for (int which = 1; which < 6; which++) check_mover(which, 1, (sq_mode)mode);
    }
}

/* ---- Random cells: with masks, views, sums over the batch, users' ops --------------------- */

/* Changes one number of an initial state. */
static void move_state(rc_run *r, int k, int64_t at, double by)
{
    sq_shape s = sq_shape_of(r->state0[k]);
    int64_t n = sq_shape_size(s);
    double *v = malloc(((size_t)n + 1) * sizeof *v);
    cr_assert(sq_copy(r->state0[k], v) == SQ_OK);
    v[at] += by;
    r->state0[k] = sq_input(r->t, s, v);
    free(v);
}

static bool last_states(const random_cell *c, rc_setup s, int k, int64_t row, int64_t column,
                        double by, double *out)
{
    rc_run r;
    rc_open(&r, c, s);
    rc_feed(&r);
    move_state(&r, k, row * c->width[k] + column, by);
    rc_unroll(&r);
    for (int j = 0; j < c->n_states; j++) {
        double *all = malloc(((size_t)(s.B * c->width[j]) + 1) * sizeof *all);
        if (sq_copy(sq_unrolled_state(r.u, s.T - 1, j), all) == SQ_OK)
            memcpy(out, all + row * c->width[j], (size_t)c->width[j] * sizeof *out);
        out += c->width[j];
        free(all);
    }
    bool ok = sq_tape_status(r.t) == SQ_OK;
    rc_close(&r);
    return ok;
}

static int n_asked; /* random cells that were checked */

static bool agrees_with_differences(const random_cell *c, char *why, size_t n)
{
    bool asked = c->T > 0 && c->B > 0; /* differences see through a detach */
    for (int k = 0; k < c->n_states; k++) asked = asked && c->state0[k].from != RC_NOTHING;
    for (int i = 0; i < c->n_nodes; i++) asked = asked && c->node[i].kind != &rc_detach;
    if (!asked) return true;
    n_asked++;
    /* Where rows of the batch meet, what goes by way of other rows is told for one step only. */
    int64_t steps = rc_mixes(c) ? 1 : c->T < 3 ? c->T : 3;
    rc_setup s = { .dtype = SQ_F64, .mode = SQ_EAGER, .T = steps, .B = c->B, .data = c->seed };
    double *m[2] = { NULL, NULL }, *up = NULL, *down = NULL;
    int64_t size = 0, row = s.B / 2;
    bool ok = true;
    for (int mode = 0; mode < 2 && ok; mode++) {
        rc_run r;
        s.mode = mode ? SQ_AUTO : SQ_EAGER;
        rc_open(&r, c, s);
        rc_feed(&r);
        rc_unroll(&r);
        size = sq_jacobian_size(r.u, SQ_JOINTLY);
        m[mode] = calloc((size_t)(size * size) + 1, sizeof **m);
        sq_status status = sq_jacobian(r.u, s.T - 1, -1, row, SQ_JOINTLY, m[mode], NULL);
        if (status) snprintf(why, n, "%s", r.u ? sq_message(r.t) : "no unroll"), ok = false;
        rc_close(&r);
    }
    double most = 1;
    for (int64_t i = 0; ok && i < size * size; i++) most = fmax(most, fabs(m[0][i]));
    for (int64_t i = 0; ok && i < size * size; i++)
        if (!(fabs(m[0][i] - m[1][i]) <= 1e-11 * most))
            snprintf(why, n, "eager %.17g, planned %.17g", m[0][i], m[1][i]), ok = false;
    up = calloc((size_t)size + 1, sizeof *up), down = calloc((size_t)size + 1, sizeof *down);
    const double e = 1e-5;
    int64_t column = 0;
    s.mode = SQ_EAGER;
    for (int k = 0; ok && k < c->n_states; k++)
        for (int64_t j = 0; ok && j < c->width[k]; j++, column++) {
            ok = last_states(c, s, k, row, j, e, up) && last_states(c, s, k, row, j, -e, down);
            for (int64_t i = 0; ok && i < size; i++) {
                double want = (up[i] - down[i]) / (2 * e), got = m[0][i * size + column];
                if (fabs(got - want) <= 1e-6 * most) continue;
                snprintf(why, n, "element %d,%d: got %.12g, by differences %.12g", (int)i,
                         (int)column, got, want);
                ok = false;
            }
        }
    free(m[0]), free(m[1]), free(up), free(down);
    return ok;
}

Test(differences, random_cells, .timeout = 120)
{
    rc_over("Jacobians", 7000, FEWER(150), 1e3, agrees_with_differences);
    cr_expect(n_asked >= FEWER(50), "only %d cells", n_asked);
}

/* ---- A cell that is made of one matrix ---------------------------------------------------- */

typedef struct linear {
    sq_weight W;
} linear;

/* h' = x * (h W): J = diag(x) W^T; without x: W^T. */
static sq_var linear_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const linear *w = self;
    sq_var z = sq_matmul(*h, sq_use(t, w->W));
    return *h = x.id ? sq_mul(x, z) : z;
}

typedef struct line {
    sq_params *p;
    linear w;
    int64_t width[1];
    sq_cell cell;
    sq_tape *t;
    const sq_unrolled *u;
} line;

static void line_new(line *l, int n, const double *W, const double *x, int steps, sq_mode mode)
{
    l->p = sq_params_new(SQ_F64);
    l->w.W = sq_params_add(l->p, "W", sq_mat(n, n));
    cr_assert(sq_weight_set(l->p, l->w.W, W) == SQ_OK);
    l->width[0] = n;
    l->cell = (sq_cell){ "linear", 1, l->width, NULL, linear_step, &l->w };
    l->t = sq_tape_new(SQ_F64, l->p);
    sq_var xs = x ? sq_input(l->t, sq_shape3(steps, 1, n), x) : (sq_var){ l->t, 0 };
    l->u = sq_unroll(l->t, &l->cell, xs, NULL,
                     &(sq_unroll_options){ .steps = steps, .batch = 1, .mode = mode });
    ASSERT_HEALTHY(l->t);
}

static void line_free(line *l)
{
    sq_tape_free(l->t);
    sq_params_free(l->p);
}

/* ---- Projections, scales, norms ----------------------------------------------------------- */

/* J^40 of a rotation by 1 radian times 1e20 or 1e-20: far outside what a double holds. */
Test(products, do_not_overflow)
{
    const double c = cos(1), s = sin(1);
    for (int sign = -1; sign <= 1; sign += 2) {
        double f = pow(10, 20 * sign), m[4], scale, log_norm[42], sigma[2];
        line l;
        line_new(&l, 2, (double[]){ f * c, f * s, -f * s, f * c }, NULL, 40, SQ_PLAN);
        cr_assert(sq_jacobian(l.u, 39, -1, 0, 0, m, &scale) == SQ_OK);
        double want = 40 * log(f), size = hypot(m[0], m[2]);
        EXPECT_NEAR(scale + log(size), want, 1e-13, "ln of the size");
        EXPECT_NEAR(m[0] / size, cos(40), 1e-13, "cos");
        EXPECT_NEAR(fabs(m[2] / size), fabs(sin(40)), 1e-13, "sin");
        cr_expect(fmax(fabs(m[0]), fabs(m[2])) >= 1 && fmax(fabs(m[0]), fabs(m[2])) < 2);
        cr_assert(sq_jacobian_log_norms(l.u, 39, 0, SQ_JOINTLY, log_norm) == SQ_OK);
        for (int k = 0; k <= 40; k++)
            EXPECT_NEAR(log_norm[k], (40 - k) * log(f) + log(2) / 2, 1e-13, "norms");
        cr_assert(sq_jacobian_log_singular(l.u, 39, -1, 0, sigma) == SQ_OK);
        EXPECT_ALL_NEAR(sigma, ((double[]){ want, want }), 2, 1e-13, "singular values");
        cr_assert(sq_jacobian(l.u, 39, -1, 0, 0, m, NULL) == SQ_OK);
        cr_expect(sign > 0 ? isinf(m[0]) != 0 : m[0] == 0, "without a scale it overflows");
        ASSERT_HEALTHY(l.t);
        line_free(&l);
    }
}

Test(products, of_nothing_and_of_zero)
{
    line l;
    double m[4], scale, sigma[2];
    line_new(&l, 2, (double[]){ 0, 1, 0, 0 }, NULL, 3, SQ_PLAN);
    cr_assert(sq_jacobian(l.u, 1, 1, 0, SQ_JOINTLY, m, &scale) == SQ_OK);
    EXPECT_ALL_NEAR(m, ((double[]){ 1, 0, 0, 1 }), 4, 0, "dh/dh");
    cr_expect(scale == 0);
    cr_assert(sq_jacobian(l.u, 1, 0, 0, SQ_JOINTLY, m, &scale) == SQ_OK);
    EXPECT_ALL_NEAR(m, ((double[]){ 0, 0, 1, 0 }), 4, 0, "J = W^T");
    cr_assert(sq_jacobian_log_singular(l.u, 1, 0, 0, sigma) == SQ_OK);
    cr_expect(fabs(sigma[0]) < 1e-15 && sigma[1] == -(double)INFINITY, "%g %g", sigma[0],
              sigma[1]);
    cr_assert(sq_jacobian(l.u, 2, 0, 0, SQ_JOINTLY, m, &scale) == SQ_OK);
    EXPECT_ALL_NEAR(m, ((double[]){ 0, 0, 0, 0 }), 4, 0, "W^2 = 0");
    cr_expect(scale == -(double)INFINITY);
    cr_assert(sq_jacobian_log_singular(l.u, 2, 0, 0, sigma) == SQ_OK);
    cr_expect(sigma[0] == -(double)INFINITY && sigma[1] == -(double)INFINITY);
    line_free(&l);
}

/* One state of an LSTM is a block of both. */
Test(products, projected_on_a_state)
{
    net n;
    double x[T * B * I], both[4 * H * H], one[H * H], in[2 * H * I], in_c[H * I];
    net_new(&n, SQ_F64, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    fill(x, T * B * I, 6, -1, 1);
    const sq_unrolled *u =
        sq_unroll(t, &n.cell, sq_input(t, sq_shape3(T, B, I), x), NULL, NULL);
    cr_expect(sq_jacobian_size(u, SQ_JOINTLY) == 2 * H && sq_jacobian_size(u, 1) == H);
    cr_expect(sq_jacobian_size(u, 2) == 0 && sq_jacobian_size(NULL, 0) == 0);
    cr_assert(sq_jacobian(u, 4, 1, 2, SQ_JOINTLY, both, NULL) == SQ_OK);
    cr_assert(sq_jacobian_input(u, 4, 1, 2, SQ_JOINTLY, in, NULL) == SQ_OK);
    for (int s = 0; s < 2; s++) {
        cr_assert(sq_jacobian(u, 4, 1, 2, s, one, NULL) == SQ_OK);
        for (int i = 0; i < H; i++)
            EXPECT_ALL_NEAR(one + i * H, both + (s * H + i) * 2 * H + s * H, H, 1e-15,
                            "a block");
    }
    cr_assert(sq_jacobian_input(u, 4, 1, 2, 1, in_c, NULL) == SQ_OK);
    EXPECT_ALL_NEAR(in_c, in + H * I, H * I, 1e-15, "rows of c");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    net_free(&n);
}

/* Directions beyond one batch of them, in single precision against double. */
Test(products, wide_and_single)
{
    enum { WIDE = 150 };
    double h0[WIDE], *m[2];
    for (int d = 0; d < 2; d++) {
        net n;
        net_new(&n, d ? SQ_F64 : SQ_F32, I, WIDE, 5);
        sq_tape *t = sq_tape_new(d ? SQ_F64 : SQ_F32, n.params);
        double x[2 * I] = { .5, -1, .25, 1 };
        fill(h0, WIDE, 3, -1, 1);
        sq_var h[2] = { sq_input(t, sq_mat(1, WIDE), h0), { t, 0 } };
        const sq_unrolled *u =
            sq_unroll(t, &n.cell, sq_input(t, sq_shape3(2, 1, I), x), h, NULL);
        m[d] = malloc(4 * WIDE * WIDE * sizeof **m);
        cr_assert(sq_jacobian(u, 1, -1, 0, SQ_JOINTLY, m[d], NULL) == SQ_OK, "%s",
                  sq_message(t));
        sq_tape_free(t);
        net_free(&n);
    }
    EXPECT_ALL_NEAR(m[0], m[1], 4 * WIDE * WIDE, 1e-6, "single precision");
    free(m[0]), free(m[1]);
}

/* ---- Through the weights that were used; and nothing changes ------------------------------ */

Test(observing, through_old_weights_and_without_a_trace)
{
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        net n;
        double x[T * B * I], m[2][4 * H * H];
        net_new(&n, SQ_F64, I, H, 5);
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        fill(x, T * B * I, 6, -1, 1);
        const sq_unrolled *u = sq_unroll(t, &n.cell, sq_input(t, sq_shape3(T, B, I), x), NULL,
                                         &(sq_unroll_options){ .mode = (sq_mode)mode });
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        double *grads = grads_copy(t), g = sq_grad_norm(sq_unrolled_state(u, 2, 1));
        cr_assert(sq_jacobian(u, 5, 1, 2, SQ_JOINTLY, m[0], NULL) == SQ_OK);
        EXPECT_SAME_BITS(grads, sq_grads(t), params_bytes(n.params), "weight gradients");
        cr_expect(sq_grad_norm(sq_unrolled_state(u, 2, 1)) == g);
        double *flat = sq_params_update(n.params);
        for (int64_t i = 0; i < sq_params_size(n.params); i++) flat[i] = -flat[i];
        cr_assert(sq_jacobian(u, 5, 1, 2, SQ_JOINTLY, m[1], NULL) == SQ_OK);
        EXPECT_SAME_BITS(m[0], m[1], sizeof m[0], "after an update");
        free(grads);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
        net_free(&n);
    }
}

/* Under a byte budget steps are run again: the same matrices, to the bit. */
static void check_budget(sq_mode mode)
{
    net n;
    double x[12 * B * I], m[3][4 * H * H], in[2][2 * H * I], l[2][13];
    fill(x, 12 * B * I, 6, -1, 1);
    net_new(&n, SQ_F64, I, H, 5);
    for (int i = 0; i < 2; i++) {
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        const sq_unrolled *u =
            sq_unroll(t, &n.cell, sq_input(t, sq_shape3(12, B, I), x), NULL,
                      &(sq_unroll_options){ .mode = mode, .every = i ? 3 : 0 });
        ASSERT_HEALTHY(t);
        cr_expect(sq_unroll_mode(u) == mode && sq_unroll_memory(u).budgeted == (i == 1));
        cr_assert(sq_jacobian(u, 11, 4, 2, SQ_JOINTLY, m[i], NULL) == SQ_OK, "%s",
                  sq_message(t));
        cr_assert(sq_jacobian_input(u, 3, 0, 1, SQ_JOINTLY, in[i], NULL) == SQ_OK, "%s",
                  sq_message(t));
        cr_assert(sq_jacobian_log_norms(u, 11, 0, 0, l[i]) == SQ_OK, "%s", sq_message(t));
        BACKWARD(sq_sum(sq_square(sq_unrolled_outputs(u))));
        cr_assert(sq_jacobian(u, 11, 4, 2, SQ_JOINTLY, m[2], NULL) == SQ_OK, "%s",
                  sq_message(t));
        EXPECT_SAME_BITS(m[2], m[0], sizeof m[0], "after a sweep");
        int64_t beside = sq_unroll_memory(u).beside_bytes;
        cr_assert(sq_jacobian(u, 11, 4, 2, SQ_JOINTLY, m[2], NULL) == SQ_OK);
        cr_expect(sq_unroll_memory(u).beside_bytes == beside, "%lld bytes each time",
                  (long long)(sq_unroll_memory(u).beside_bytes - beside));
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
    EXPECT_SAME_BITS(m[0], m[1], sizeof m[0], "dh_11/dh_4");
    EXPECT_SAME_BITS(in[0], in[1], sizeof in[0], "dh_3/dx_0");
    EXPECT_SAME_BITS(l[0], l[1], sizeof l[0], "norms");
    net_free(&n);
}

Test(observing, under_a_budget)
{
    check_budget(SQ_EAGER);
    check_budget(SQ_PLAN);
}

/* ---- Singular values of long products ------------------------------------------------------ */

/* Values that lie e^980 apart, each to a part in 1e11. */
static void check_product(int steps, const double *want, sq_mode mode)
{
    static double x[1000 * 5];
    double W[25], sigma[5];
    line l;
    fill(W, 25, 901, -1, 1), fill(x, 1000 * 5, 902, .5, 1.5);
    line_new(&l, 5, W, x, steps, mode);
    cr_assert(sq_jacobian_log_singular(l.u, steps - 1, -1, 0, sigma) == SQ_OK, "%s",
              sq_message(l.t));
    EXPECT_ALL_NEAR(sigma, want, 5, 1e-12, "ln of singular values");
    line_free(&l);
}

Test(singular, of_long_products)
{
    check_product(40, golden_product_40, SQ_EAGER);
    check_product(1000, golden_product_1000, SQ_EAGER);
    check_product(1000, golden_product_1000, SQ_PLAN);
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

static sq_var count_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self, (void)h;
    return sq_sum(x);
}

static sq_var begin_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)self, (void)x;
    sq_begin_step(t);
    return *h = sq_tanh(*h);
}

/* Whatever is asked is refused with that sentence. */
static void refuse(const sq_unrolled *u, int64_t t, int64_t k, int64_t row, int32_t state,
                   sq_status want, const char *sentence)
{
    double m[64];
    sq_tape *tape = sq_unrolled_tape(u);
    cr_expect(sq_jacobian(u, t, k, row, state, m, NULL) == want, "%s", sentence);
    EXPECT_TEXT(sq_message(tape), sentence);
    cr_expect(sq_jacobian_input(u, t, k, row, state, m, NULL) == want,
              "the first mistake stays");
    EXPECT_TEXT(sq_message(tape), sentence);
}

static const sq_unrolled *small_unroll(sq_tape *t, const sq_cell *cell)
{
    double x[3 * 2 * I] = { 0 };
    sq_tape_reset(t);
    return sq_unroll(t, cell, sq_input(t, sq_shape3(3, 2, I), x), NULL, NULL);
}

Test(mistakes, have_sentences)
{
    net n;
    double m[64];
    net_new(&n, SQ_F64, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    refuse(small_unroll(t, &n.cell), 2, 0, 2, 0, SQ_ERANGE,
           "jacobian: there is no row 2 in a batch of 2");
    refuse(small_unroll(t, &n.cell), 2, 0, -1, 0, SQ_ERANGE,
           "jacobian: there is no row -1 in a batch of 2");
    refuse(small_unroll(t, &n.cell), 1, 2, 0, 0, SQ_ERANGE,
           "jacobian: k = 2 does not lie in -1 .. t = 1");
    refuse(small_unroll(t, &n.cell), 3, 2, 0, 0, SQ_ERANGE,
           "jacobian: there is no step 3 in an unroll of 3");
    refuse(small_unroll(t, &n.cell), 2, 0, 0, 2, SQ_ERANGE,
           "jacobian: the cell has no state 2");
    const sq_unrolled *u = small_unroll(t, &n.cell);
    cr_expect(sq_jacobian(u, 2, 0, 0, 0, NULL, NULL) == SQ_EVALUE);
    EXPECT_TEXT(sq_message(t), "jacobian: the array for the result is NULL");
    u = small_unroll(t, &n.cell);
    cr_expect(sq_jacobian_input(u, 2, -1, 0, 0, m, NULL) == SQ_ERANGE);
    EXPECT_TEXT(sq_message(t), "jacobian_input: k = -1 does not lie in 0 .. t = 2");
    cr_expect(sq_jacobian(NULL, 0, 0, 0, 0, m, NULL) == SQ_EVAR);
    cr_expect(sq_jacobian_input(NULL, 0, 0, 0, 0, m, NULL) == SQ_EVAR);
    cr_expect(sq_jacobian_log_norms(NULL, 0, 0, 0, m) == SQ_EVAR);
    cr_expect(sq_jacobian_log_singular(NULL, 0, 0, 0, m) == SQ_EVAR);
    sq_cell stateless = { "sum", 0, NULL, NULL, count_step, NULL };
    refuse(small_unroll(t, &stateless), 2, 0, 0, SQ_JOINTLY, SQ_EVALUE,
           "jacobian: the cell has no states");
    sq_cell nested = { "nested", 1, (int64_t[]){ 2 }, NULL, begin_step, NULL };
    refuse(small_unroll(t, &nested), 2, 0, 0, SQ_JOINTLY, SQ_EVALUE,
           "jacobian: a step of this cell begins steps itself: it has no Jacobian as one step");
    sq_tape_free(t);
    net_free(&n);
}

Test(mistakes, what_was_cut_is_stale)
{
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        net n;
        double x[T * B * I], m[64];
        net_new(&n, SQ_F64, I, H, 5);
        sq_tape *t = sq_tape_new(SQ_F64, n.params);
        fill(x, T * B * I, 6, -1, 1);
        const sq_unrolled *u = sq_unroll(t, &n.cell, sq_input(t, sq_shape3(T, B, I), x), NULL,
                                         &(sq_unroll_options){ .mode = (sq_mode)mode });
        cr_assert(sq_cut(t, 3, NULL, 0) == SQ_OK);
        cr_expect(sq_jacobian(u, 5, 3, 0, 0, m, NULL) == SQ_OK, "%s", sq_message(t));
        cr_expect(sq_jacobian(u, 5, 2, 0, 0, m, NULL) == SQ_EVAR);
        EXPECT_TEXT(sq_message(t),
                    "jacobian: a state of the unroll is stale: its step 2 was cut");
        sq_tape_free(t);
        net_free(&n);
    }
}

Test(mistakes, a_tape_for_inference)
{
    net n;
    double m[64];
    net_new(&n, SQ_F64, I, H, 5);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    sq_tape_set_inference(t, true);
    const sq_unrolled *u = small_unroll(t, &n.cell);
    cr_assert(u != NULL, "%s", sq_message(t));
    cr_expect(sq_jacobian(u, 2, 1, 0, 0, m, NULL) == SQ_EGRAD);
    EXPECT_CONTAINS(sq_message(t), "inference");
    sq_tape_free(t);
    net_free(&n);
}

Test(mistakes, a_cell_without_input)
{
    line l;
    double m[4];
    line_new(&l, 2, (double[]){ 0, 1, 0, 0 }, NULL, 3, SQ_EAGER);
    cr_expect(sq_jacobian_input(l.u, 1, 1, 0, 0, m, NULL) == SQ_EVALUE);
    EXPECT_TEXT(sq_message(l.t), "jacobian_input: the cell got no input");
    line_free(&l);
}
