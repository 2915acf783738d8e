/* test_jacobian_spectra.c -- singular values of dh_t/dh_k for many k in one walk: those of the product
 * itself where it can be written down, and ln |det| where it cannot. */
#include "tests/support/support.h"

enum { STEPS = 400, IN = 2, H = 3, S = 2 * H };

typedef struct run {
    sq_params *p;
    sq_lstm w;
    sq_tape *t;
    const sq_unrolled *u;
} run;

static void run_new(run *r, sq_mode mode, int64_t steps)
{
    static double x[STEPS * 2 * IN];
    r->p = sq_params_new(SQ_F64);
    sq_lstm_init(&r->w, r->p, "lstm", IN, H, 5);
    sq_cell cell = sq_lstm_cell(&r->w);
    r->t = sq_tape_new(SQ_F64, r->p);
    fill(x, (int)(steps * 2 * IN), 9, -2, 2);
    r->u = sq_unroll(r->t, &cell, sq_input_f64(r->t, sq_shape3(steps, 2, IN), x), NULL,
                     &(sq_unroll_options){ .mode = mode });
    ASSERT_HEALTHY(r->t);
}

static void run_free(run *r)
{
    sq_tape_free(r->t);
    sq_params_free(r->p);
}

Test(spectra, are_those_of_the_products)
{
    for (sq_mode mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        run r;
        const int64_t k[] = { 11, 10, 8, 3, -1 };
        double sigma[COUNT(k) * S], m[S * S], want[S];
        run_new(&r, mode, 12);
        cr_assert(sq_jacobian_log_spectra(r.u, 11, k, COUNT(k), 1, sigma) == SQ_OK);
        for (int i = 0; i < COUNT(k); i++) {
            cr_assert(sq_jacobian(r.u, 11, k[i], 1, SQ_JOINTLY, m, NULL) == SQ_OK);
            cr_assert(sq_svd(S, S, m, want, NULL, NULL) == SQ_OK);
            for (int j = 0; j < S; j++) {
                double got = exp(sigma[i * S + j]);
                cr_expect(fabs(got - want[j]) <= 1e-13 * want[0], "k = %d: %g, not %g",
                          (int)k[i], got, want[j]);
            }
        }
        run_free(&r);
    }
}

/* Over 400 steps the product is far below what a double holds; but ln |det| of a product is the sum
 * of those of the steps, and the sum of ln sigma. Every single value, walked to by itself, agrees. */
Test(spectra, of_long_products)
{
    run r;
    int64_t k[STEPS + 1];
    static double sigma[(STEPS + 1) * S];
    double m[S * S], one[S], sum = 0;
    run_new(&r, SQ_PLAN, STEPS);
    for (int i = 0; i <= STEPS; i++) k[i] = STEPS - 1 - i;
    cr_assert(sq_jacobian_log_spectra(r.u, STEPS - 1, k, STEPS + 1, 0, sigma) == SQ_OK);
    for (int i = 0; i <= STEPS; i++) {
        double log_det = 0;
        for (int j = 0; j < S; j++) log_det += sigma[i * S + j];
        cr_expect(fabs(log_det - sum) <= 1e-10 * (1 + fabs(sum)), "k = %d: ln |det| %g, not %g",
                  (int)k[i], log_det, sum);
        if (i == STEPS) break;
        cr_assert(sq_jacobian(r.u, k[i], k[i] - 1, 0, SQ_JOINTLY, m, NULL) == SQ_OK);
        cr_assert(sq_svd(S, S, m, one, NULL, NULL) == SQ_OK);
        for (int j = 0; j < S; j++) sum += log(one[j]);
    }
    cr_expect(sum < -800, "the product is not small: ln |det| = %g", sum);
    cr_assert(sq_jacobian_log_singular(r.u, STEPS - 1, 99, 0, one) == SQ_OK);
    EXPECT_SAME_BITS(one, sigma + (STEPS - 100) * S, sizeof one, "one of them and all");
    run_free(&r);
}

Test(spectra, asked_wrongly)
{
    run r;
    double sigma[2 * S];
    run_new(&r, SQ_PLAN, 4);
    cr_expect(sq_jacobian_log_spectra(NULL, 3, (int64_t[]){ 1 }, 1, 0, sigma) == SQ_EVAR);
    cr_expect(sq_jacobian_log_spectra(r.u, 3, NULL, 0, 0, NULL) == SQ_OK);
    sq_status status = sq_jacobian_log_spectra(r.u, 3, (int64_t[]){ 1, 1 }, 2, 0, sigma);
    cr_expect(status == SQ_ERANGE, "%s", sq_message(r.t));
    EXPECT_ERROR(r.t, SQ_ERANGE);
    run_free(&r);
    run_new(&r, SQ_PLAN, 4);
    status = sq_jacobian_log_spectra(r.u, 3, (int64_t[]){ 4 }, 1, 0, sigma);
    cr_expect(status == SQ_ERANGE, "%s", sq_message(r.t));
    run_free(&r);
}

/* A weight that is no number is not a gradient that vanishes; neither is one that is infinite. */
Test(spectra, of_what_is_no_number)
{
    const double bad[] = { (double)NAN, (double)INFINITY };
    const int64_t k[] = { 3, 2, -1 };
    for (int i = 0; i < COUNT(bad) * 2; i++) {
        run r;
        double sigma[COUNT(k) * S], U[H * H] = { 0 };
        run_new(&r, SQ_PLAN, 4);
        sq_tape_free(r.t);
        for (int j = 0; j < (i < COUNT(bad) ? 1 : H * H); j++) U[j] = bad[i % COUNT(bad)];
        cr_assert(sq_weight_set(r.p, r.w.U[2], U) == SQ_OK);
        sq_cell cell = sq_lstm_cell(&r.w);
        r.t = sq_tape_new(SQ_F64, r.p);
        double x[4 * 2 * IN] = { 0 };
        r.u = sq_unroll(r.t, &cell, sq_input_f64(r.t, sq_shape3(4, 2, IN), x), NULL, NULL);
        cr_assert(sq_jacobian_log_spectra(r.u, 3, k, COUNT(k), 0, sigma) == SQ_OK);
        for (int j = 0; j < COUNT(k) * S; j++)
            cr_expect(j < S ? sigma[j] == 0 : isnan(sigma[j]), "case %d, [%d]: %g", i, j,
                      sigma[j]);
        run_free(&r);
    }
}
