/* test_svd.c -- singular values: of a hundred Jacobians against NumPy's, and U S V^T put together again
 * at any shape, rank and scale. */
#include "tests/support/support.h"

#include "tests/golden/jacobian.h"

Test(singular, values_are_numpys)
{
    const double *want = golden_singular;
    for (int i = 0; i < 100; i++) {
        int n = 2 + i % 15;
        uint64_t seed = 5u * (uint64_t)i;
        double W[3 * 16], b[16], U[16 * 16], h[16], x[3], m[16 * 16], s[16];
        sq_params *p = sq_params_new(SQ_F64);
        sq_rnn w;
        cr_assert(sq_rnn_init(&w, p, "r", 3, n, SQ_RNN_TANH, 1) == SQ_OK);
        fill(W, 3 * n, seed + 1, -1, 1), fill(b, n, seed + 2, -1, 1),
            fill(U, n * n, seed + 3, -1, 1);
        fill(h, n, seed + 4, -1, 1), fill(x, 3, seed + 5, -1, 1);
        cr_assert(sq_weight_set(p, w.W, W) == SQ_OK && sq_weight_set(p, w.b, b) == SQ_OK &&
                  sq_weight_set(p, w.U, U) == SQ_OK);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_cell cell = sq_rnn_cell(&w);
        sq_var h0 = sq_input(t, sq_mat(1, n), h);
        const sq_unrolled *u =
            sq_unroll(t, &cell, sq_input(t, sq_shape3(1, 1, 3), x), &h0, NULL);
        cr_assert(sq_jacobian(u, 0, -1, 0, SQ_JOINTLY, m, NULL) == SQ_OK, "%s", sq_message(t));
        cr_assert(sq_svd(n, n, m, s, NULL, NULL) == SQ_OK);
        for (int j = 0; j < n; j++)
            cr_expect(fabs(s[j] - want[j]) <= 1e-10 * want[0], "case %d: %.17g, want %.17g", i,
                      s[j], want[j]);
        want += n;
        sq_tape_free(t);
        sq_params_free(p);
    }
    cr_expect(want == golden_singular + COUNT(golden_singular));
}

/* A = U S V^T with orthonormal columns, at any shape and rank. */
static void check_svd(int m, int n, int rank, double scale)
{
    enum { MOST = 12 };
    double a[MOST * MOST] = { 0 }, s[MOST], u[MOST * MOST], v[MOST * MOST];
    double left[MOST * MOST], right[MOST * MOST];
    int r = m < n ? m : n;
    fill(left, MOST * MOST, 3, -1, 1), fill(right, MOST * MOST, 4, -1, 1);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int k = 0; k < rank; k++)
                a[i * n + j] += scale * left[i * MOST + k] * right[j * MOST + k];
    cr_assert(sq_svd(m, n, a, s, u, v) == SQ_OK);
    for (int i = 0; i < r; i++) {
        cr_expect(s[i] >= 0 && (!i || s[i] <= s[i - 1]), "sorted");
        cr_expect(i < rank || s[i] <= 1e-14 * s[0], "rank %d: s[%d] = %g", rank, i, s[i]);
        for (int j = 0; j < r; j++) {
            double uu = 0, vv = 0;
            for (int k = 0; k < m; k++) uu += u[k * r + i] * u[k * r + j];
            for (int k = 0; k < n; k++) vv += v[k * r + i] * v[k * r + j];
            EXPECT_NEAR(uu, i == j, 1e-13, "U^T U");
            EXPECT_NEAR(vv, i == j, 1e-13, "V^T V");
        }
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < r; k++) sum += u[i * r + k] * s[k] * v[j * r + k];
            EXPECT_NEAR(sum / scale, a[i * n + j] / scale, 1e-13, "U S V^T");
        }
}

Test(singular, vectors_put_the_matrix_together_again)
{
    const int shape[][2] = { { 1, 1 }, { 1, 7 }, { 7, 1 }, { 5, 9 }, { 9, 5 }, { 12, 12 } };
    for (int i = 0; i < COUNT(shape); i++)
        for (int rank = 0; rank <= (shape[i][0] < shape[i][1] ? shape[i][0] : shape[i][1]);
             rank++) {
            check_svd(shape[i][0], shape[i][1], rank, 1);
            check_svd(shape[i][0], shape[i][1], rank, 1e200);
            check_svd(shape[i][0], shape[i][1], rank, 1e-200);
        }
}

Test(singular, mistakes)
{
    double a[2] = { 1, (double)NAN }, s[2];
    cr_expect(sq_svd(-1, 2, a, s, NULL, NULL) == SQ_ERANGE);
    cr_expect(sq_svd(1, 2, a, s, NULL, NULL) == SQ_ENONFINITE);
    cr_expect(sq_svd(1, 2, NULL, s, NULL, NULL) == SQ_EVALUE);
    cr_expect(sq_svd(1, 1, a, NULL, NULL, NULL) == SQ_EVALUE);
    cr_expect(sq_svd(0, 2, NULL, NULL, NULL, NULL) == SQ_OK);
    cr_expect(sq_svd(1, 1, a, s, NULL, NULL) == SQ_OK && s[0] == 1);
    cr_expect(sq_svd(INT32_MAX, INT32_MAX, a, s, NULL, NULL) == SQ_ENOMEM);
}
