/* test_norm.c -- one Euclidean norm for everything that is shown, compared or divided by: right
 * from the smallest number to the largest, in both precisions, by every kernel table. */
#include "core/norm_impl.h"
#include "tests/support/support.h"

static const double not_a_number = (double)NAN, infinite = (double)INFINITY;

static const sq_kernels *table(int i)
{
    static const char *const names[] = { "base", "avx2", "avx512" };
    return i < COUNT(names) ? sqi_kernels_named(names[i]) : NULL;
}

static void expect_norm(sq_dtype dtype, int64_t n, const void *x, double want, const char *what)
{
    for (int i = 0; i < 3; i++) {
        if (!table(i)) continue;
        double got = sqi_norm(table(i), dtype, n, x);
        bool same = isnan(want) ? isnan(got) : got == want;
        cr_expect(same || fabs(got / want - 1) < 1e-15, "%s: got %.17g, want %.17g", what, got,
                  want);
    }
}

/* 3-4-5 triangles of any size; 40 elements fill every vector and leave a rest. */
Test(norm, of_any_size)
{
    const double sizes[] = { 1,      2e-210, 1e-290, 1e-146, 1e-145, 1e-154,
                             3e-162, 1e200,  1e153,  1e154,  3e307,  4e-310 };
    for (int k = 0; k < COUNT(sizes); k++) {
        double x[41] = { 0 };
        x[3] = -3 * sizes[k];
        x[40] = 4 * sizes[k];
        char what[40];
        (void)snprintf(what, sizeof what, "size %g", sizes[k]);
        expect_norm(SQ_F64, 41, x, 5 * sizes[k], what);
    }
}

Test(norm, of_many_equal_numbers)
{
    const double sizes[] = { 2e-210, 1e200, 0.5 };
    for (int k = 0; k < COUNT(sizes); k++) {
        double x[100];
        for (int i = 0; i < 100; i++) x[i] = sizes[k];
        expect_norm(SQ_F64, 100, x, 10 * sizes[k], "a hundred");
    }
    expect_norm(SQ_F64, 1, &(double){ 5e-324 }, 5e-324, "the smallest number");
    expect_norm(SQ_F64, 2, (double[]){ 1.7e308, 1.7e308 }, infinite, "beyond the range");
}

Test(norm, of_floats)
{
    const float small[] = { 3e-30f, 4e-30f }, large[] = { 3e30f, -4e30f };
    const float least[] = { 1e-45f, 0 };
    expect_norm(SQ_F32, 2, small, hypot((double)small[0], (double)small[1]), "small");
    expect_norm(SQ_F32, 2, large, hypot((double)large[0], (double)large[1]), "large");
    expect_norm(SQ_F32, 2, least, (double)least[0], "the smallest number");
    expect_norm(SQ_F32, 2, (float[]){ 1, NAN }, not_a_number, "NaN");
    expect_norm(SQ_F32, 2, (float[]){ -INFINITY, 1e-30f }, infinite, "infinite");
}

Test(norm, of_nothing_of_zeros_and_of_what_is_not_finite)
{
    const double zeros[3] = { 0, -0.0, 0 };
    expect_norm(SQ_F64, 0, zeros, 0, "no elements");
    expect_norm(SQ_F32, 0, NULL, 0, "no elements");
    expect_norm(SQ_F64, 3, zeros, 0, "zeros");
    expect_norm(SQ_F64, 2, (double[]){ not_a_number, 1e200 }, not_a_number, "NaN first");
    expect_norm(SQ_F64, 2, (double[]){ 1e-210, not_a_number }, not_a_number, "NaN last");
    expect_norm(SQ_F64, 2, (double[]){ infinite, 1 }, infinite, "infinite");
    expect_norm(SQ_F64, 2, (double[]){ 1, -infinite }, infinite, "minus infinite");
    expect_norm(SQ_F64, 2, (double[]){ infinite, not_a_number }, not_a_number, "both");
}
