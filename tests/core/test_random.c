/* test_random.c -- Philox against its published vectors, streams against each other, and the
 * distributions by moments whose spread is known: with n independent samples a mean lies within
 * 4.5 standard errors in all but 7 of a million seeds, and the seeds here are fixed. */
#include "tests/support/support.h"

/* Random123, kat_vectors, philox4x32 with 10 rounds. */
static const struct {
    uint32_t counter[4], key[2], want[4];
} known[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
      { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

Test(random, philox_gives_the_published_vectors)
{
    for (int i = 0; i < COUNT(known); i++) {
        uint32_t out[4];
        sq_philox4x32(known[i].counter, known[i].key, out);
        EXPECT_SAME_BITS(out, known[i].want, sizeof out, "blocks");
    }
}

Test(random, the_output_may_be_the_counter)
{
    uint32_t c[4] = { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 };
    sq_philox4x32(c, known[2].key, c);
    EXPECT_SAME_BITS(c, known[2].want, sizeof c, "blocks in place");
}

Test(random, a_number_is_a_function_of_its_place)
{
    sq_random r = sq_random_stream(1, 2, 3, 4), again = sq_random_stream(1, 2, 3, 4);
    double forward[50];
    for (uint64_t i = 0; i < 50; i++) forward[i] = sq_random_normal(r, 3, i);
    for (uint64_t i = 50; i-- > 0;) {
        cr_expect(sq_random_normal(again, 3, i) == forward[i]);
        cr_expect(sq_random_bits(r, i, 3) == sq_random_bits(again, i, 3));
        double u = (double)(sq_random_bits(r, i, 3) >> 11) * 0x1p-53;
        cr_expect(sq_random_uniform(r, i, 3) == u);
    }
}

static int compare_bits(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void expect_distinct(uint64_t *x, size_t n, const char *what)
{
    qsort(x, n, sizeof *x, compare_bits);
    for (size_t i = 1; i < n; i++) cr_expect(x[i] != x[i - 1], "%s: a number came twice", what);
}

Test(random, every_coordinate_matters_and_none_is_another)
{
    const uint64_t values[] = { 0, 1, 2, 3, UINT64_C(1) << 32, UINT64_MAX };
    enum { V = sizeof values / sizeof values[0] };
    static uint64_t keys[V * V * V * V], bits[V * V];
    size_t n = 0;
    for (int a = 0; a < V; a++)
        for (int b = 0; b < V; b++)
            for (int c = 0; c < V; c++)
                for (int d = 0; d < V; d++) {
                    sq_random r = sq_random_stream(values[a], values[b], values[c], values[d]);
                    keys[n++] = (uint64_t)r.key[1] << 32 | r.key[0];
                }
    expect_distinct(keys, n, "keys");
    n = 0;
    sq_random r = sq_random_stream(5, 0, 0, 0);
    for (int a = 0; a < V; a++)
        for (int b = 0; b < V; b++) bits[n++] = sq_random_bits(r, values[a], values[b]);
    expect_distinct(bits, n, "places");
}

typedef double draw(sq_random r, uint64_t row, uint64_t col);

/* Mean of x^power over 400 rows of 500 columns. */
static double moment(draw *f, sq_random r, int power)
{
    double sum = 0;
    for (uint64_t i = 0; i < 400; i++)
        for (uint64_t j = 0; j < 500; j++) sum += pow(f(r, i, j), power);
    return sum / 200000;
}

/* want and the variance of one sample of x^power. */
static void expect_moment(draw *f, int power, double want, double variance)
{
    double error = 4.5 * sqrt(variance / 200000);
    for (uint64_t seed = 0; seed < 3; seed++) {
        double got = moment(f, sq_random_stream(seed, 0, 0, 0), power);
        cr_expect(fabs(got - want) <= error, "moment %d: got %g, want %g +- %g", power, got,
                  want, error);
    }
}

Test(random, moments_of_the_uniform)
{
    for (int k = 1; k <= 4; k++) {
        double mean = 1.0 / (k + 1), mean_of_square = 1.0 / (2 * k + 1);
        expect_moment(sq_random_uniform, k, mean, mean_of_square - mean * mean);
    }
}

Test(random, moments_of_the_normal)
{
    const double moments[] = { 1, 0, 1, 0, 3, 0, 15, 0, 105 };
    for (int k = 1; k <= 4; k++)
        expect_moment(sq_random_normal, k, moments[k],
                      moments[2 * k] - moments[k] * moments[k]);
}

Test(random, uniform_stays_below_one_and_normal_is_finite)
{
    sq_random r = sq_random_stream(11, 0, 0, 0);
    double lo = 1, hi = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        double u = sq_random_uniform(r, i, 0);
        lo = fmin(lo, u);
        hi = fmax(hi, u);
        cr_expect(isfinite(sq_random_normal(r, i, 0)));
    }
    cr_expect(lo >= 0 && lo < 1e-4 && hi < 1 && hi > 1 - 1e-4, "%g..%g", lo, hi);
}

/* Correlation of two streams of 200000 uniforms; its standard error is 1/sqrt(n). */
static void expect_uncorrelated(sq_random a, sq_random b, uint64_t shift, const char *what)
{
    const int n = 200000;
    double sum = 0;
    for (uint64_t i = 0; i < (uint64_t)n; i++)
        sum += (sq_random_uniform(a, i, 0) - .5) * (sq_random_uniform(b, i, shift) - .5) * 12;
    cr_expect(fabs(sum / n) < 4.5 / sqrt(n), "%s: correlation %g", what, sum / n);
}

Test(random, streams_of_neighbours_are_uncorrelated)
{
    sq_random r = sq_random_stream(0, 0, 0, 0);
    expect_uncorrelated(r, sq_random_stream(1, 0, 0, 0), 0, "seed");
    expect_uncorrelated(r, sq_random_stream(0, 1, 0, 0), 0, "serial");
    expect_uncorrelated(r, sq_random_stream(0, 0, 1, 0), 0, "step");
    expect_uncorrelated(r, sq_random_stream(0, 0, 0, 1), 0, "ordinal");
    expect_uncorrelated(r, r, 1, "column");
}
