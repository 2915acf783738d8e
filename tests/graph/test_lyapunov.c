/* test_lyapunov.c -- Lyapunov exponents that are known, and those of random networks, as NumPy has
 * them. */
#include "tests/support/support.h"

#include "graph/matrix_impl.h"
#include "tests/golden/jacobian.h"

enum { MOST = 16 };

/* h' = tanh(h U + x V), or h' = h U, or a formula of one number. */
typedef struct map_cell {
    sq_weight U, V;
    int which;
    int64_t width[1];
} map_cell;

enum { LINEAR, TANH, LOGISTIC };

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const map_cell *w = self;
    if (w->which == LOGISTIC) return *h = sq_mul_scalar(sq_mul(*h, sq_rsub_scalar(*h, 1)), 4);
    sq_var z = sq_matmul(*h, sq_use(t, w->U));
    if (x.id) z = sq_add(z, sq_matmul(x, sq_use(t, w->V)));
    return *h = w->which == TANH ? sq_tanh(z) : z;
}

typedef struct world {
    sq_params *p;
    map_cell w;
    sq_cell cell;
    sq_tape *t;
} world;

static void world_new(world *a, int which, int n, const double *U, const double *V)
{
    a->p = sq_params_new(SQ_F64);
    a->w = (map_cell){ .which = which, .width = { n } };
    a->w.U = sq_params_add(a->p, "U", sq_mat(n, n));
    a->w.V = sq_params_add(a->p, "V", sq_mat(2, n));
    cr_assert(sq_weight_set(a->p, a->w.U, U) == SQ_OK);
    if (V) cr_assert(sq_weight_set(a->p, a->w.V, V) == SQ_OK);
    a->cell = (sq_cell){ "map", 1, a->w.width, NULL, step, &a->w };
    a->t = sq_tape_new(SQ_F64, a->p);
}

static void world_free(world *a)
{
    sq_tape_free(a->t);
    sq_params_free(a->p);
}

/* Goes on from h for so many steps without input, in windows, with the steps cut in between. */
static void go(world *a, sq_lyapunov *l, double *h, int steps, int window)
{
    int64_t n = a->w.width[0];
    sq_var state = sq_input(a->t, sq_mat(1, n), h);
    for (int done = 0; done < steps; done += window) {
        int now = steps - done < window ? steps - done : window;
        const sq_unrolled *u =
            sq_unroll(a->t, &a->cell, (sq_var){ a->t, 0 }, &state,
                      &(sq_unroll_options){ .steps = now, .outputs = SQ_OUTPUTS_NONE });
        cr_assert(sq_lyapunov_add(l, u, 0) == SQ_OK, "%s", sq_message(a->t));
        sq_unrolled_last(u, &state);
        cr_assert(sq_cut(a->t, 0, &state, 1) == SQ_OK);
    }
    cr_assert(sq_copy(state, h) == SQ_OK);
    ASSERT_HEALTHY(a->t);
}

static void expect_exponents(const sq_lyapunov *l, const double *want, int n, double tol,
                             const char *what)
{
    double got[MOST];
    cr_assert(sq_lyapunov_count(l) == n, "%s: %d exponents", what, sq_lyapunov_count(l));
    for (int i = 0; i < n; i++) got[i] = sq_lyapunov_exponent(l, i);
    EXPECT_ALL_NEAR(got, want, n, tol, what);
}

/* ---- Known ones --------------------------------------------------------------------------- */

/* Eigenvalues 1.5, 1, .25 of a matrix that is not normal. */
Test(known, linear)
{
    const double U[9] = { 1.5, .7, -.3, 0, .25, .9, 0, 0, 1 };
    double h[3] = { 1, 1, 1 };
    world a;
    world_new(&a, LINEAR, 3, U, NULL);
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .skip = 100 });
    go(&a, l, h, 1100, 300);
    expect_exponents(l, ((double[]){ log(1.5), 0, log(.25) }), 3, 1e-3, "ln |eig|");
    sq_lyapunov_free(l);
    world_free(&a);
}

/* Householder's I - 2 v v^T / |v|^2 times a rotation: nothing grows. */
Test(known, orthogonal)
{
    const double c = cos(.7), s = sin(.7);
    const double U[16] = { c, s, 0,       0,        -s, c, 0,        0,
                           0, 0, 7. / 25, 24. / 25, 0,  0, 24. / 25, -7. / 25 };
    double h[4] = { 1, .5, .25, 1 };
    for (int every = 1; every <= 7; every += 6) {
        world a;
        world_new(&a, LINEAR, 4, U, NULL);
        sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .every = every });
        go(&a, l, h, 700, 700);
        expect_exponents(l, (double[4]){ 0 }, 4, 1e-12, "all 0");
        sq_lyapunov_free(l);
        world_free(&a);
    }
}

/* h' = tanh 2h settles at h = .957504: ln 2 (1 - h^2). */
Test(known, a_fixed_point)
{
    double h = .3;
    world a;
    world_new(&a, TANH, 1, (double[]){ 2 }, NULL);
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .skip = 50 });
    go(&a, l, &h, 200, 64);
    EXPECT_NEAR(h, .957504, 1e-6, "the fixed point");
    expect_exponents(l, (double[]){ -1.7935 }, 1, 1e-4, "tanh 2h");
    expect_exponents(l, (double[]){ log(2 * (1 - h * h)) }, 1, 1e-12, "tanh 2h");
    sq_lyapunov_free(l);
    world_free(&a);
}

/* h' = 4 h (1 - h) is chaos, ln 2; a stream in constant memory. */
Test(known, the_logistic_map)
{
    double h = .37;
    world a;
    world_new(&a, LOGISTIC, 1, (double[]){ 0 }, NULL);
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .skip = 100 });
    for (int i = 0; i < 2; i++) go(&a, l, &h, 2000, 500);
    size_t held = sq_tape_statistics(a.t).held_bytes;
    go(&a, l, &h, 16000, 500);
    cr_expect(sq_tape_statistics(a.t).held_bytes == held, "memory grows");
    expect_exponents(l, (double[]){ log(2) }, 1, 1e-3, "ln 2");
    sq_lyapunov_free(l);
    world_free(&a);
}

/* A matrix of rank 1 forgets the other directions at once. */
Test(known, singular)
{
    const double left[3] = { .1, .3, .7 }, right[3] = { .9, -.2, .4 };
    double h[3] = { 1, 1, 1 }, U[9];
    for (int i = 0; i < 9; i++) U[i] = left[i / 3] * right[i % 3];
    world a;
    world_new(&a, LINEAR, 3, U, NULL);
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .skip = 2 });
    go(&a, l, h, 50, 50);
    const double none = -(double)INFINITY;
    expect_exponents(l, ((double[]){ log(.31), none, none }), 3, 1e-12, "rank 1");
    sq_lyapunov_free(l);
    world_free(&a);
}

/* Units that never mix: the largest come first, however few are asked for. */
Test(known, units_that_never_mix)
{
    const double U[9] = { .5, 0, 0, 0, 2, 0, 0, 0, 1 };
    for (int n = 1; n <= 3; n++) {
        double h[3] = { 1, 1, 1 };
        world a;
        world_new(&a, LINEAR, 3, U, NULL);
        sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .exponents = n, .skip = 60 });
        go(&a, l, h, 160, 160);
        expect_exponents(l, ((double[]){ log(2), 0, log(.5) }), n, 1e-12, "ln of the diagonal");
        sq_lyapunov_free(l);
        world_free(&a);
    }
}

/* Of two such units one is dead: the other's exponent is what is left. */
Test(known, a_dead_unit)
{
    double h[2] = { 1, 1 };
    world a;
    world_new(&a, LINEAR, 2, (double[]){ 0, 0, 0, .5 }, NULL);
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .exponents = 1, .skip = 1 });
    go(&a, l, h, 50, 50);
    expect_exponents(l, (double[]){ log(.5) }, 1, 1e-14, "the living one");
    sq_lyapunov_free(l);
    world_free(&a);
}

/* What is no number neither grows nor shrinks. */
Test(known, no_number)
{
    for (int n = 1; n <= 4; n += 3) { /* of the four numbers of U */
        double h[2] = { 1, 1 }, U[4] = { .5, .5, .5, .5 };
        world a;
        for (int i = 0; i < n; i++) U[i] = (double)NAN;
        world_new(&a, LINEAR, 2, U, NULL);
        sq_lyapunov *l = sq_lyapunov_new(NULL);
        go(&a, l, h, 5, 5);
        cr_expect(isnan(sq_lyapunov_exponent(l, 0)) && isnan(sq_lyapunov_exponent(l, 1)),
                  "%d numbers: %g, %g", n, sq_lyapunov_exponent(l, 0),
                  sq_lyapunov_exponent(l, 1));
        sq_lyapunov_free(l);
        world_free(&a);
    }
}

/* Rows that are nearly the same: a frame is upright all the same, and is what it was made of. */
Test(frame, stays_upright)
{
    enum { N = 4, M = 6 };
    double a[N * M], was[N * M], r[N * N];
    fill(a, N * M, 5, -1, 1);
    for (int i = 1; i < N; i++)
        for (int j = 0; j < M; j++) a[i * M + j] = a[j] + 1e-9 * a[i * M + j];
    memcpy(was, a, sizeof a);
    sqi_orthonormalise(N, M, a, r);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < M; k++) sum += a[i * M + k] * a[j * M + k];
            EXPECT_NEAR(sum, i == j, 1e-14, "Q Q^T");
            cr_expect(j <= i || r[i * N + j] == 0, "lower triangular");
        }
        for (int k = 0; k < M; k++) {
            double sum = 0;
            for (int j = 0; j <= i; j++) sum += r[i * N + j] * a[j * M + k];
            EXPECT_NEAR(sum, was[i * M + k], 1e-15, "R^T Q");
        }
    }
}

/* A row that depends on others has no length of its own. */
Test(frame, of_dependent_rows)
{
    double a[9], r[9];
    fill(a, 3, 5, -1, 1);
    for (int j = 0; j < 3; j++) a[3 + j] = .3 * a[j], a[6 + j] = j;
    sqi_orthonormalise(3, 3, a, r);
    cr_expect(r[0] > 0 && r[4] == 0 && r[8] > 0, "%g %g %g", r[0], r[4], r[8]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            EXPECT_NEAR(a[i * 3] * a[j * 3] + a[i * 3 + 1] * a[j * 3 + 1] +
                            a[i * 3 + 2] * a[j * 3 + 2],
                        i == j, 1e-15, "Q Q^T");
}

/* ---- Random networks ---------------------------------------------------------------------- */

static void check_network(const struct golden_lyapunov *g, sq_mode mode, int exponents,
                          int every)
{
    enum { N = 16 };
    double U[N * N], V[2 * N], h[N], *x = malloc((size_t)g->steps * 2 * sizeof *x);
    fill(U, N * N, 911, -1, 1), fill(V, 2 * N, 912, -1, 1), fill(h, N, 913, -1, 1);
    fill(x, g->steps * 2, 914, -1, 1);
    for (int i = 0; i < N * N; i++) U[i] *= g->gain * sqrt(3. / N);
    for (int i = 0; i < 2 * N; i++) V[i] *= g->drive;
    world a;
    world_new(&a, TANH, N, U, V);
    sq_var h0 = sq_input(a.t, sq_mat(1, N), h);
    const sq_unrolled *u = sq_unroll(a.t, &a.cell, sq_input(a.t, sq_shape3(g->steps, 1, 2), x),
                                     &h0, &(sq_unroll_options){ .mode = mode });
    sq_lyapunov *l =
        sq_lyapunov_new(&(sq_lyapunov_options){ .exponents = exponents, .every = every });
    cr_assert(sq_lyapunov_add(l, u, 0) == SQ_OK, "%s", sq_message(a.t));
    expect_exponents(l, g->exponent, exponents ? exponents : N, 1e-8, "as NumPy has it");
    sq_lyapunov_free(l);
    world_free(&a);
    free(x);
}

Test(networks, as_numpy_has_them)
{
    for (int i = 0; i < COUNT(golden_lyapunov); i++) {
        check_network(&golden_lyapunov[i], SQ_EAGER, 0, 1);
        check_network(&golden_lyapunov[i], SQ_PLAN, 0, 0);
        check_network(&golden_lyapunov[i], SQ_PLAN, 3, 4);
    }
}

/* ---- The trace of convergence ------------------------------------------------------------- */

Test(trace, holds_every_estimate)
{
    double h[2] = { 1, 1 };
    world a;
    world_new(&a, LINEAR, 2, (double[]){ 2, 0, 0, .5 }, NULL);
    sq_lyapunov *l = sq_lyapunov_new(&(sq_lyapunov_options){ .every = 3, .skip = 40 });
    cr_expect(sq_lyapunov_count(l) == 0 && isnan(sq_lyapunov_exponent(l, 0)));
    go(&a, l, h, 40, 40);
    cr_expect(sq_lyapunov_points(l) == 0 && isnan(sq_lyapunov_exponent(l, 0)),
              "all is skipped");
    go(&a, l, h, 11, 5);
    cr_assert(sq_lyapunov_points(l) == 3);
    for (int i = 0; i < 3; i++) {
        cr_expect(sq_lyapunov_steps(l, i) == 3 * (i + 1));
        EXPECT_ALL_NEAR(sq_lyapunov_trace(l, i), ((double[]){ log(2), -log(2) }), 2, 1e-14,
                        "trace");
    }
    cr_expect(sq_lyapunov_exponent(l, 0) == sq_lyapunov_trace(l, 2)[0]);
    cr_expect(sq_lyapunov_trace(l, 3) == NULL && sq_lyapunov_trace(l, -1) == NULL);
    cr_expect(sq_lyapunov_steps(l, 3) == 0 && isnan(sq_lyapunov_exponent(l, 2)));
    sq_lyapunov_free(l);
    world_free(&a);
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

Test(mistakes, have_sentences)
{
    world a, b;
    world_new(&a, LINEAR, 2, (double[]){ 2, 0, 0, .5 }, NULL);
    world_new(&b, LOGISTIC, 1, (double[]){ 0 }, NULL);
    const sq_unroll_options o = { .steps = 3, .batch = 1 };
    const sq_unrolled *u = sq_unroll(a.t, &a.cell, (sq_var){ a.t, 0 }, NULL, &o);
    const sq_unrolled *v = sq_unroll(b.t, &b.cell, (sq_var){ b.t, 0 }, NULL, &o);
    sq_lyapunov *l = sq_lyapunov_new(NULL),
                *bad = sq_lyapunov_new(&(sq_lyapunov_options){ .skip = -1 });
    cr_expect(sq_lyapunov_add(l, NULL, 0) == SQ_EVAR);
    cr_expect(sq_lyapunov_add(l, u, 0) == SQ_OK);
    cr_expect(sq_lyapunov_add(l, v, 0) == SQ_ESHAPE);
    EXPECT_TEXT(sq_message(b.t), "lyapunov: the states have 1 numbers, those before had 2");
    cr_expect(sq_lyapunov_add(l, u, 1) == SQ_ERANGE);
    EXPECT_TEXT(sq_message(a.t), "lyapunov: there is no row 1 in a batch of 1");
    cr_expect(sq_lyapunov_points(l) == 3, "what was taken in stays");
    sq_tape_reset(a.t);
    u = sq_unroll(a.t, &a.cell, (sq_var){ a.t, 0 }, NULL, &o);
    cr_expect(sq_lyapunov_add(bad, u, 0) == SQ_ERANGE);
    EXPECT_TEXT(sq_message(a.t), "lyapunov: an option of sq_lyapunov_options is negative");
    sq_tape_reset(a.t);
    u = sq_unroll(a.t, &a.cell, (sq_var){ a.t, 0 }, NULL, &o);
    cr_expect(sq_lyapunov_add(NULL, u, 0) == SQ_EVALUE);
    EXPECT_TEXT(sq_message(a.t), "lyapunov: sq_lyapunov is NULL");
    cr_expect(sq_lyapunov_count(NULL) == 0 && sq_lyapunov_points(NULL) == 0);
    sq_lyapunov_free(l);
    sq_lyapunov_free(bad);
    sq_lyapunov_free(NULL);
    world_free(&a);
    world_free(&b);
}
