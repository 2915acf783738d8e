/* test_random_programs.c -- programs nobody would write by hand.
 *
 * First kind: random expressions over smooth ops through several steps, whose gradients must
 * agree with central differences and with sq_derive. Second kind: programs cut at random
 * places, equal to the bit to programs with constants in those places. Third kind: random
 * sequences of everything a tape can be asked, stale and foreign handles included; they may
 * fail, but never crash, and the tape's invariants hold after every single call. All from
 * fixed seeds. */
#include "tests/support/support.h"

enum { ROWS = 2, COLS = 3, SIZE = ROWS * COLS, INPUTS = 3, POOL = 40 };

/* Values stay in about [-1.5, 1.5], so that differences are sharp. */
static sq_var elementwise(rng *r, sq_var a, sq_var b, sq_var c)
{
    switch (rng_below(r, 16)) {
    case 0: return sq_tanh(sq_add(a, b));
    case 1: return sq_sigmoid(sq_sub(a, b));
    case 2: return sq_mul(sq_sin(a), sq_cos(b));
    case 3: return sq_tanh(sq_mul(a, a));
    case 4: return sq_mul_scalar(sq_softplus(a), .7);
    case 5: return sq_erf(sq_add_scalar(b, .25));
    case 6: return sq_div(a, sq_add_scalar(sq_square(b), 1.5));
    case 7: return sq_log1p(sq_square(c));
    case 8: return sq_tanh(sq_exp(sq_neg(a)));
    case 9: return sq_rdiv_scalar(sq_add_scalar(sq_exp(a), 1), 1);
    case 10: return sq_mul_scalar(sq_sqrt(sq_add_scalar(sq_square(a), .5)), .5);
    case 11: return sq_pow(sq_add_scalar(sq_sigmoid(b), .5), 1.5);
    case 12: return sq_mul_scalar(sq_gelu(sq_rsub_scalar(a, .5)), .5);
    case 13: return sq_tanh(sq_silu(sq_sub(b, c)));
    case 14: return sq_sin(sq_expm1(sq_mul_scalar(a, .5)));
    default: return sq_add(sq_mul_scalar(a, .5), sq_tanh(b));
    }
}

static sq_var structural(rng *r, sq_tape *t, sq_weight w, sq_var a, sq_var b, sq_var c)
{
    const int32_t ids[ROWS] = { 1, 1 };
    sq_var two[2] = { a, b };
    switch (rng_below(r, 16)) {
    case 0: return sq_tanh(sq_matmul(a, sq_use(t, w)));
    case 1: return sq_tanh(sq_matmul_nt(b, sq_use(t, w)));
    case 2: return sq_tanh(sq_matmul(sq_matmul_nt(a, b), c));
    case 3: return sq_softmax(a, rng_below(r, 2));
    case 4: return sq_mul_scalar(sq_log_softmax(b, 1), .3);
    case 5: return sq_slice(sq_concat(two, 2, 0), 0, 1, ROWS);
    case 6: return sq_slice(sq_concat(two, 2, -1), 1, 2, COLS);
    case 7: return sq_reshape(sq_transpose(a), sq_mat(ROWS, COLS));
    case 8: return sq_permute(sq_reshape(b, sq_mat(COLS, ROWS)), (const int[]){ 1, 0 });
    case 9: return sq_add(a, sq_mean_axis(b, 0));
    case 10: return sq_mul(a, sq_tanh(sq_sum(b)));
    case 11: return sq_sum_axis(sq_mul_scalar(sq_stack(two, 2), .5), 0);
    case 12: return sq_gather(a, ids, ROWS);
    case 13: return sq_tanh(sq_scatter_add(b, ids, ROWS, ROWS));
    case 14: return sq_pad(sq_slice(a, 1, 1, 1), 1, 1, 1);
    default: return sq_sub(a, sq_broadcast_to(sq_slice(b, 0, 0, 1), sq_mat(ROWS, COLS)));
    }
}

/* The program of a seed: up to 5 steps, 24 expressions. Pool entries 0..INPUTS-1 are x. */
static sq_var program(uint64_t seed, sq_tape *t, sq_weight w, const sq_var *x, sq_var *pool)
{
    rng r = { seed };
    int n = INPUTS;
    memcpy(pool, x, INPUTS * sizeof *x);
    while (n < INPUTS + 24) {
        if (rng_below(&r, 5) == 0) sq_begin_step(t);
        if (rng_below(&r, 12) == 0) sq_end_step(t);
        sq_var a = pool[rng_below(&r, n)], b = pool[n - 1 - rng_below(&r, n < 4 ? n : 4)];
        sq_var c = pool[rng_below(&r, n)];
        pool[n++] = rng_below(&r, 2) ? elementwise(&r, a, b, c) : structural(&r, t, w, a, b, c);
    }
    double weights[SIZE];
    fill(weights, SIZE, seed, -1, 1);
    sq_var loss = sq_sum(sq_mul(pool[n - 1], sq_input(t, sq_mat(ROWS, COLS), weights)));
    for (int i = 0; i < 4; i++)
        loss = sq_add(loss, sq_mean(sq_square(pool[n - 1 - rng_below(&r, 12)])));
    return loss;
}

static double value_of(uint64_t seed, sq_params *p, sq_weight w, double (*x)[SIZE])
{
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var v[INPUTS], pool[POOL];
    for (int i = 0; i < INPUTS; i++) v[i] = sq_leaf(t, sq_mat(ROWS, COLS), x[i]);
    double f = sq_item(program(seed, t, w, v, pool));
    cr_assert(isfinite(f), "seed %d: %s", (int)seed, sq_message(t));
    sq_tape_free(t);
    return f;
}

/* What a program is differentiated by. */
typedef struct point {
    uint64_t seed;
    sq_params *p;
    sq_weight w;
    double x[INPUTS][SIZE], wv[COLS * COLS];
} point;

/* Central difference by one number of the point, which may be a weight's. */
static double difference(point *at, double *number)
{
    const double e = 1e-5, keep = *number;
    double f[2];
    for (int s = 0; s < 2; s++) {
        *number = keep + (s ? -e : e);
        cr_assert(sq_weight_set(at->p, at->w, at->wv) == SQ_OK);
        f[s] = value_of(at->seed, at->p, at->w, at->x);
    }
    *number = keep;
    return (f[0] - f[1]) / (2 * e);
}

static void expect_differences(point *at, double *numbers, const double *g, int n,
                               const char *what)
{
    for (int k = 0; k < n; k++) {
        double numeric = difference(at, &numbers[k]);
        cr_expect(close_to(g[k], numeric, 1e-7), "seed %d, %s[%d]: %.12g, not %.12g",
                  (int)at->seed, what, k, g[k], numeric);
    }
}

static void one_program(uint64_t seed)
{
    point at = { .seed = seed, .p = sq_params_new(SQ_F64) };
    at.w = sq_params_add(at.p, "w", sq_mat(COLS, COLS));
    double g[INPUTS][SIZE], d[SIZE], gw[COLS * COLS];
    for (int i = 0; i < INPUTS; i++) fill(at.x[i], SIZE, seed * 7 + (uint64_t)i, -1, 1);
    fill(at.wv, COUNT(at.wv), seed * 11 + 5, -1, 1);
    cr_assert(sq_weight_set(at.p, at.w, at.wv) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, at.p);
    sq_var v[INPUTS], pool[POOL], dv[INPUTS];
    for (int i = 0; i < INPUTS; i++) v[i] = sq_leaf(t, sq_mat(ROWS, COLS), at.x[i]);
    sq_var loss = program(seed, t, at.w, v, pool);
    ASSERT_HEALTHY(t);
    BACKWARD(loss);
    ASSERT_HEALTHY(t);
    cr_assert(sq_derive(loss, v, dv, INPUTS) == SQ_OK, "seed %d: %s", (int)seed, sq_message(t));
    ASSERT_HEALTHY(t);
    for (int i = 0; i < INPUTS; i++) {
        sq_grad_copy(v[i], g[i]);
        sq_copy(dv[i], d);
        EXPECT_ALL_NEAR(d, g[i], SIZE, 1e-12, "derive against the sweep");
    }
    sq_weight_grad(t, at.w, gw);
    sq_tape_free(t);
    for (int i = 0; i < INPUTS; i++) expect_differences(&at, at.x[i], g[i], SIZE, "x");
    expect_differences(&at, at.wv, gw, COUNT(gw), "w");
    sq_params_free(at.p);
}

Test(expressions, gradients_agree_with_differences)
{
    for (uint64_t seed = 1; seed <= 60; seed++) one_program(seed);
}

/* Second derivatives of the same programs: the sweep through a recorded sweep against a
 * difference of sweeps. */
static void gradient_norm(uint64_t seed, double (*x)[SIZE], double *value, double (*g)[SIZE])
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "w", sq_mat(COLS, COLS));
    double wv[COLS * COLS];
    fill(wv, COUNT(wv), seed * 11 + 5, -1, 1);
    cr_assert(sq_weight_set(p, w, wv) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var v[INPUTS], pool[POOL], dv[INPUTS];
    for (int i = 0; i < INPUTS; i++) v[i] = sq_leaf(t, sq_mat(ROWS, COLS), x[i]);
    sq_var loss = program(seed, t, w, v, pool);
    cr_assert(sq_derive(loss, v, dv, INPUTS) == SQ_OK, "seed %d: %s", (int)seed, sq_message(t));
    sq_var norm = sq_constant(t, 0);
    for (int i = 0; i < INPUTS; i++) norm = sq_add(norm, sq_sum(sq_square(dv[i])));
    *value = sq_item(norm);
    if (g) {
        BACKWARD(norm);
        for (int i = 0; i < INPUTS; i++) sq_grad_copy(v[i], g[i]);
        ASSERT_HEALTHY(t);
    }
    sq_tape_free(t);
    sq_params_free(p);
}

Test(expressions, second_derivatives_agree_with_differences)
{
    const double e = 1e-5;
    for (uint64_t seed = 100; seed < 120; seed++) {
        double x[INPUTS][SIZE], g[INPUTS][SIZE], f[2], v;
        for (int i = 0; i < INPUTS; i++) fill(x[i], SIZE, seed * 7 + (uint64_t)i, -1, 1);
        gradient_norm(seed, x, &v, g);
        for (int i = 0; i < INPUTS; i++)
            for (int k = 0; k < SIZE; k += 2) {
                double keep = x[i][k];
                for (int s = 0; s < 2; s++) {
                    x[i][k] = keep + (s ? -e : e);
                    gradient_norm(seed, x, &f[s], NULL);
                }
                x[i][k] = keep;
                double numeric = (f[0] - f[1]) / (2 * e);
                cr_expect(close_to(g[i][k], numeric, 1e-6),
                          "seed %d, x%d[%d]: %.12g, not %.12g", (int)seed, i, k, g[i][k],
                          numeric);
            }
    }
}

/* ---- Cuts anywhere ----------------------------------------------------------------------- */

/* A run with cuts at random places, against the same run without any in which whatever the
 * cuts would have forgotten by the end is put in as numbers. Segments are counted like the
 * tape's: the root is 0; each begun or ended step, and each cut that keeps nothing, opens the
 * next. */
enum { LIVE = 8, EVENTS = 70 };

typedef struct slot {
    sq_var v;
    int segment;
} slot;

typedef struct cuts {
    rng r;
    sq_params *p;
    sq_weight w;
    sq_tape *t;
    slot pool[LIVE];
    int segment, steps[EVENTS], n_steps; /* the segments that are steps */
    bool in_step, really;                /* really: cut; otherwise: put in numbers */
    int bound;                           /* segments below it are forgotten (in the end) */
} cuts;

static sq_var operand(cuts *c)
{
    slot s = c->pool[rng_below(&c->r, LIVE)];
    if (c->really || s.segment == 0 || s.segment >= c->bound || c->segment < c->bound)
        return s.v;
    double x[SIZE];
    sq_copy(s.v, x);
    return sq_input(c->t, sq_mat(ROWS, COLS), x);
}

static void cut_now(cuts *c, int keep)
{
    int bound = c->bound;
    if (c->segment == 0) return; /* nothing but the root, which stays */
    if (keep == 0) {
        bound = ++c->segment;
        c->in_step = false;
    } else if (keep <= c->n_steps) {
        bound = c->steps[c->n_steps - keep];
    }
    if (!c->really) {
        if (keep == 0) sq_end_step(c->t);
        return;
    }
    sq_var carry[LIVE];
    for (int i = 0; i < LIVE; i++) carry[i] = c->pool[i].v;
    cr_assert(sq_cut(c->t, keep, carry, LIVE) == SQ_OK, "%s", sq_message(c->t));
    for (int i = 0; i < LIVE; i++) c->pool[i].v = carry[i];
    if (bound > c->bound) c->bound = bound;
}

static sq_var expression(cuts *c)
{
    sq_var a = operand(c), b = operand(c), d = operand(c);
    switch (rng_below(&c->r, 6)) {
    case 0: return sq_reshape(a, sq_mat(ROWS, COLS)); /* the same memory */
    case 1:
        return sq_reshape(sq_slice(sq_reshape(a, sq_shape3(1, ROWS, COLS)), 0, 0, 1),
                          sq_mat(ROWS, COLS));
    case 2:
        return sq_mul(sq_tanh(sq_broadcast_to(sq_slice(a, 0, 1, 1), sq_mat(ROWS, COLS))), b);
    case 3: return structural(&c->r, c->t, c->w, a, b, d);
    case 4: return sq_add(sq_detach(a), sq_tanh(b));
    default: return elementwise(&c->r, a, b, d);
    }
}

static void event(cuts *c)
{
    int dice = rng_below(&c->r, 20), which = rng_below(&c->r, LIVE), keep = rng_below(&c->r, 4);
    if (dice < 4) {
        sq_begin_step(c->t);
        c->in_step = true;
        c->steps[c->n_steps++] = ++c->segment;
    } else if (dice == 4) {
        sq_end_step(c->t);
        if (c->in_step) c->segment++;
        c->in_step = false;
    } else if (dice == 5 || dice == 6) {
        cut_now(c, keep);
    } else if (dice == 7) {
        double *w = sq_params_update(c->p);
        for (int i = 0; i < COLS * COLS; i++) w[i] *= .875;
    } else if (dice == 8) {
        if (c->really) BACKWARD(sq_sum(c->pool[which].v)); /* does no harm */
        else sq_sum(c->pool[which].v);
    } else {
        c->pool[which] = (slot){ expression(c), c->segment };
    }
}

typedef struct ending {
    double loss, x[LIVE][SIZE], w[COLS * COLS];
    int bound;
} ending;

static ending run_cuts(uint64_t seed, bool really, int bound)
{
    ending e = { .loss = 0 };
    double x[SIZE], w[COLS * COLS];
    cuts c = { .r = { seed }, .really = really, .bound = bound };
    c.p = sq_params_new(SQ_F64);
    c.w = sq_params_add(c.p, "w", sq_mat(COLS, COLS));
    fill(w, COUNT(w), seed, -1, 1);
    cr_assert(sq_weight_set(c.p, c.w, w) == SQ_OK);
    c.t = sq_tape_new(SQ_F64, c.p);
    sq_var leaf[LIVE];
    for (int i = 0; i < LIVE; i++) {
        fill(x, SIZE, seed * 31 + (uint64_t)i, -1, 1);
        c.pool[i] = (slot){ leaf[i] = sq_leaf(c.t, sq_mat(ROWS, COLS), x), 0 };
    }
    for (int i = 0; i < EVENTS; i++) {
        event(&c);
        ASSERT_HEALTHY(c.t);
    }
    sq_begin_step(c.t);
    c.segment++;
    sq_var loss = sq_constant(c.t, 0);
    for (int i = 0; i < 3 * LIVE; i++) loss = sq_add(loss, sq_sum(sq_square(operand(&c))));
    sq_zero_grads(c.t);
    BACKWARD(loss);
    e.loss = sq_item(loss);
    for (int i = 0; i < LIVE; i++) sq_grad_copy(leaf[i], e.x[i]);
    sq_weight_grad(c.t, c.w, e.w);
    e.bound = c.bound;
    ASSERT_HEALTHY(c.t);
    sq_tape_free(c.t);
    sq_params_free(c.p);
    return e;
}

Test(cuts, anywhere_equal_constants_put_in)
{
    int cut = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        ending a = run_cuts(seed, true, 0), b = run_cuts(seed, false, a.bound);
        cut += a.bound > 0;
        cr_expect(a.loss == b.loss, "seed %d: %.17g, %.17g", (int)seed, a.loss, b.loss);
        cr_expect(memcmp(a.x, b.x, sizeof a.x) == 0, "seed %d: leaf gradients differ",
                  (int)seed);
        cr_expect(memcmp(a.w, b.w, sizeof a.w) == 0, "seed %d: weight gradients differ",
                  (int)seed);
    }
    cr_expect(cut > 150, "only %d runs were cut", cut);
}

/* ---- Anything at any time ---------------------------------------------------------------- */

enum { SLOTS = 24, SEED = 100 };

typedef struct fuzz {
    rng r;
    sq_params *p;
    sq_weight w;
    sq_tape *t, *other;
    sq_var v[SLOTS];
    int derives, recorded;
} fuzz;

static sq_var any(fuzz *f)
{
    int dice = rng_below(&f->r, 60);
    if (dice == 0) return (sq_var){ 0 };
    if (dice == 1) return sq_constant(f->other, 1);
    if (dice == 2) return (sq_var){ f->t, rng_bits(&f->r) >> rng_below(&f->r, 60) };
    return f->v[rng_below(&f->r, SLOTS)];
}

static void keep(fuzz *f, sq_var v)
{
    if (sq_ok(v)) f->v[rng_below(&f->r, SLOTS)] = v;
}

static sq_var fresh(fuzz *f)
{
    double x[SIZE];
    fill(x, SIZE, rng_bits(&f->r), -1, 1);
    return rng_below(&f->r, 2) ? sq_leaf(f->t, sq_mat(ROWS, COLS), x)
                               : sq_input(f->t, sq_mat(ROWS, COLS), x);
}

static void fuzz_time(fuzz *f)
{
    switch (rng_below(&f->r, 12)) {
    case 0: sq_end_step(f->t); break;
    case 1: {
        sq_var carry[3] = { any(f), any(f), any(f) };
        int n = rng_below(&f->r, 4);
        if (sq_cut(f->t, rng_below(&f->r, 5) - (rng_below(&f->r, 40) == 0), carry, n) == SQ_OK)
            for (int i = 0; i < n; i++) keep(f, carry[i]);
        break;
    }
    case 2:
        if (rng_below(&f->r, 4) == 0) {
            sq_tape_reset(f->t);
            f->derives = f->recorded = 0;
        }
        break;
    case 3:
        if (rng_below(&f->r, 3) == 0) (void)sq_params_update(f->p);
        break;
    default: sq_begin_step(f->t);
    }
}

static void fuzz_sweep(fuzz *f)
{
    double seed[SEED];
    fill(seed, SEED, 3, -1, 1);
    sq_status status = SQ_OK;
    sq_var v = any(f), g[2], x[2] = { any(f), any(f) };
    switch (rng_below(&f->r, 10)) {
    case 0: status = sq_backward(v); break;
    case 1: status = sq_backward(sq_sum(v)); break;
    case 2:
        if (sq_ok(v) && sq_shape_size(sq_shape_of(v)) <= SEED)
            status = sq_backward_from(v, seed);
        break;
    case 3:
        if (f->derives++ < 2 && sq_derive(v, x, g, 1 + rng_below(&f->r, 2)) == SQ_OK)
            keep(f, g[0]);
        break;
    case 4: sq_zero_grads(f->t); break;
    case 5: sq_keep_grad(v); break;
    case 6: sq_name(v, "some name"); break;
    case 7: (void)sq_grads_norm(f->t); break;
    case 8: keep(f, sq_detach(v)); break;
    default:
        if (rng_below(&f->r, 5) == 0) (void)sq_grad_norm(v);
        else (void)sq_norm(v);
    }
    cr_assert(status == SQ_OK || !v.tape || sq_tape_status(v.tape) == status);
}

static sq_var fuzz_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_weight *w = self;
    return *state = sq_tanh(sq_add(sq_matmul(*state, sq_use(t, *w)), x));
}

static void fuzz_graph(fuzz *f)
{
    static const int64_t width[1] = { COLS };
    const sq_cell cell = { "fuzz", 1, width, NULL, fuzz_step, &f->w };
    sq_var x[2] = { any(f), any(f) }, state = any(f);
    if (!sq_ok(x[0]) || !sq_ok(x[1])) return;
    const sq_unrolled *u = sq_unroll(f->t, &cell, sq_stack(x, 2), &state, NULL);
    keep(f, sq_unrolled_state(u, 0, 0));
    keep(f, sq_unrolled_output(u, 1));
    sq_ledger_options o = { .values = true };
    sq_ledger_free(sq_ledger_new(u, sq_sum(sq_unrolled_outputs(u)), &o));
    sq_ledger_free(sq_ledger_of_states(f->v, 2, 1 + rng_below(&f->r, 3), sq_sum(any(f)), NULL));
}

static void fuzz_one(fuzz *f)
{
    int dice = rng_below(&f->r, 21);
    if (dice == 20) fuzz_graph(f);
    else if (dice < 3) keep(f, fresh(f));
    else if (dice < 4) keep(f, sq_use(f->t, f->w));
    else if (dice < 8) keep(f, elementwise(&f->r, any(f), any(f), any(f)));
    else if (dice < 12) keep(f, structural(&f->r, f->t, f->w, any(f), any(f), any(f)));
    else if (dice < 16) fuzz_time(f);
    else fuzz_sweep(f);
    f->recorded++;
}

static void fuzz_run(uint64_t seed)
{
    char text[256];
    fuzz f = { .r = { seed } };
    f.p = sq_params_new(SQ_F64);
    f.w = sq_params_add(f.p, "w", sq_mat(COLS, COLS));
    f.t = sq_tape_new(SQ_F64, f.p);
    f.other = sq_tape_new(SQ_F64, NULL);
    for (int i = 0; i < SLOTS; i++) f.v[i] = fresh(&f);
    for (int i = 0; i < 250; i++) {
        fuzz_one(&f);
        cr_assert(sq_tape_check(f.t, text, sizeof text), "seed %d, call %d: %s", (int)seed, i,
                  text);
        bool failed = sq_tape_status(f.t) != SQ_OK;
        cr_assert(failed == (sq_message(f.t)[0] != '\0'));
        if ((failed && rng_below(&f.r, 3) == 0) || f.recorded > 120) {
            sq_tape_reset(f.t);
            f.derives = f.recorded = 0;
            for (int k = rng_below(&f.r, 4); k < SLOTS; k++) f.v[k] = fresh(&f);
        }
    }
    cr_assert(sq_tape_check(f.other, text, sizeof text), "%s", text);
    sq_tape_free(f.t);
    sq_tape_free(f.other);
    sq_params_free(f.p);
}

Test(anything, never_breaks_an_invariant)
{
    for (uint64_t seed = 1; seed <= 300; seed++) fuzz_run(seed);
}
