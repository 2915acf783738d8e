/* test_random_programs.c -- programs nobody would write by hand.
 *
 * First kind: random expressions over smooth ops through several steps, whose gradients must
 * agree with central differences and with sq_derive. Second kind: random sequences of everything
 * a tape can be asked, stale and foreign handles included; they may fail, but never crash, and
 * the tape's invariants hold after every single call. All from fixed seeds. */
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

static void one_program(uint64_t seed)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "w", sq_mat(COLS, COLS));
    double x[INPUTS][SIZE], wv[COLS * COLS], g[SIZE], d[SIZE], gw[COLS * COLS];
    for (int i = 0; i < INPUTS; i++) fill(x[i], SIZE, seed * 7 + (uint64_t)i, -1, 1);
    fill(wv, COUNT(wv), seed * 11 + 5, -1, 1);
    cr_assert(sq_weight_set(p, w, wv) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var v[INPUTS], pool[POOL], dv[INPUTS];
    for (int i = 0; i < INPUTS; i++) v[i] = sq_leaf(t, sq_mat(ROWS, COLS), x[i]);
    sq_var loss = program(seed, t, w, v, pool);
    ASSERT_HEALTHY(t);
    BACKWARD(loss);
    ASSERT_HEALTHY(t);
    cr_assert(sq_derive(loss, v, dv, INPUTS) == SQ_OK, "seed %d: %s", (int)seed, sq_message(t));
    ASSERT_HEALTHY(t);
    for (int i = 0; i < INPUTS; i++) {
        sq_grad_copy(v[i], g);
        sq_copy(dv[i], d);
        EXPECT_ALL_NEAR(d, g, SIZE, 1e-12, "derive against the sweep");
    }
    const double e = 1e-5;
    for (int i = 0; i < INPUTS; i++) {
        sq_grad_copy(v[i], g);
        for (int k = 0; k < SIZE; k++) {
            double keep = x[i][k], f[2];
            for (int s = 0; s < 2; s++) {
                x[i][k] = keep + (s ? -e : e);
                f[s] = value_of(seed, p, w, x);
            }
            x[i][k] = keep;
            double numeric = (f[0] - f[1]) / (2 * e);
            cr_expect(close_to(g[k], numeric, 1e-7), "seed %d, x%d[%d]: %.12g, not %.12g",
                      (int)seed, i, k, g[k], numeric);
        }
    }
    sq_weight_grad(t, w, gw);
    for (int k = 0; k < COUNT(gw); k++) {
        double keep = wv[k], f[2];
        for (int s = 0; s < 2; s++) {
            wv[k] = keep + (s ? -e : e);
            cr_assert(sq_weight_set(p, w, wv) == SQ_OK);
            f[s] = value_of(seed, p, w, x);
        }
        wv[k] = keep;
        double numeric = (f[0] - f[1]) / (2 * e);
        cr_expect(close_to(gw[k], numeric, 1e-7), "seed %d, w[%d]: %.12g, not %.12g", (int)seed, k,
                  gw[k], numeric);
    }
    sq_tape_free(t);
    sq_params_free(p);
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
                cr_expect(close_to(g[i][k], numeric, 1e-6), "seed %d, x%d[%d]: %.12g, not %.12g",
                          (int)seed, i, k, g[i][k], numeric);
            }
    }
}

/* ---- Anything at any time ---------------------------------------------------------------------- */

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
        if (sq_ok(v) && sq_shape_size(sq_shape_of(v)) <= SEED) status = sq_backward_from(v, seed);
        break;
    case 3:
        if (f->derives++ < 2 && sq_derive(v, x, g, 1 + rng_below(&f->r, 2)) == SQ_OK) keep(f, g[0]);
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

static void fuzz_one(fuzz *f)
{
    int dice = rng_below(&f->r, 20);
    if (dice < 3) keep(f, fresh(f));
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
        cr_assert(sq_tape_check(f.t, text, sizeof text), "seed %d, call %d: %s", (int)seed, i, text);
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
