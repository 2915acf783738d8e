/* test_init.c -- the initialisers: bounds, moments, orthonormality, and that a weight's first
 * values are a function of the seed and the weight's name alone.
 *
 * Statistical bounds are five standard errors around the exact moments; seeds are fixed. */
#include "tests/support/support.h"

enum { ROWS = 120, COLS = 80, N = ROWS * COLS };

typedef struct moments {
    double mean, variance, least, most;
} moments;

static moments measure(const double *v, int n)
{
    moments m = { 0, 0, HUGE_VAL, -HUGE_VAL };
    for (int i = 0; i < n; i++) {
        m.mean += v[i] / n;
        m.least = fmin(m.least, v[i]);
        m.most = fmax(m.most, v[i]);
    }
    for (int i = 0; i < n; i++) m.variance += (v[i] - m.mean) * (v[i] - m.mean) / n;
    return m;
}

static sq_weight fresh(sq_params **p, sq_shape shape)
{
    *p = sq_params_new(SQ_F64);
    return sq_params_add(*p, "w", shape);
}

static void read(const sq_params *p, sq_weight w, double *v)
{
    cr_assert(sq_params_status(p) == SQ_OK, "%s", sq_params_message(p));
    cr_assert(sq_weight_get(p, w, v) == SQ_OK);
}

/* A uniform number in [-a, a) has variance a^2/3 and fourth moment a^4/5, so the variance of n
 * of them has standard error a^2 sqrt((1/5 - 1/9) / n). */
static void expect_uniform(const double *v, int n, double a, const char *what)
{
    moments m = measure(v, n);
    cr_expect(m.least >= -a && m.most < a, "%s: [%g,%g], bound %g", what, m.least, m.most, a);
    cr_expect(m.least < -0.99 * a && m.most > 0.99 * a, "%s: [%g,%g], bound %g", what, m.least,
              m.most, a);
    cr_expect(fabs(m.mean) < 5 * a / sqrt(3.0 * n), "%s: mean %g", what, m.mean);
    cr_expect(fabs(m.variance - a * a / 3) < 5 * a * a * sqrt(4 / 45.0 / n), "%s: variance %g",
              what, m.variance);
}

/* The variance of n normal numbers has standard error s^2 sqrt(2/n); 68.27 % lie within s. */
static void expect_normal(const double *v, int n, double s, const char *what)
{
    moments m = measure(v, n);
    int within = 0;
    for (int i = 0; i < n; i++) within += fabs(v[i]) < s;
    cr_expect(fabs(m.mean) < 5 * s / sqrt(n), "%s: mean %g", what, m.mean);
    cr_expect(fabs(m.variance - s * s) < 5 * s * s * sqrt(2.0 / n), "%s: variance %g", what,
              m.variance);
    cr_expect(fabs((double)within / n - 0.6827) < 5 * 0.4655 / sqrt(n), "%s: within %d", what,
              within);
    cr_expect(m.most > 3 * s && m.least < -3 * s, "%s: tails", what);
}

Test(init, constants)
{
    double v[6];
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(2, 3));
    cr_expect(sq_init_constant(p, w, -1.25) == SQ_OK);
    read(p, w, v);
    for (int i = 0; i < 6; i++) cr_expect(v[i] == -1.25);
    cr_expect(sq_init_zeros(p, w) == SQ_OK);
    read(p, w, v);
    for (int i = 0; i < 6; i++) cr_expect(v[i] == 0);
    sq_params_free(p);
}

Test(init, uniform)
{
    static double v[N];
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(ROWS, COLS));
    cr_expect(sq_init_uniform(p, w, 0.5, 1) == SQ_OK);
    read(p, w, v);
    expect_uniform(v, N, 0.5, "uniform");
    cr_expect(sq_init_uniform_hidden(p, w, 16, 2) == SQ_OK);
    read(p, w, v);
    expect_uniform(v, N, 0.25, "uniform_hidden");
    cr_expect(sq_init_uniform(p, w, 0, 2) == SQ_OK);
    read(p, w, v);
    for (int i = 0; i < N; i++) cr_expect(v[i] == 0);
    sq_params_free(p);
}

Test(init, glorot_and_he)
{
    static double v[N];
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(ROWS, COLS));
    cr_expect(sq_init_glorot(p, w, 1.5, 3) == SQ_OK);
    read(p, w, v);
    expect_uniform(v, N, 1.5 * sqrt(6.0 / (ROWS + COLS)), "glorot");
    cr_expect(sq_init_he(p, w, 4) == SQ_OK);
    read(p, w, v);
    expect_normal(v, N, sqrt(2.0 / ROWS), "he");
    cr_expect(sq_init_normal(p, w, 3, 5) == SQ_OK);
    read(p, w, v);
    expect_normal(v, N, 3, "normal");
    sq_params_free(p);
}

/* A vector counts as [1,n], leading axes count as rows. */
Test(init, fans_of_other_ranks)
{
    static double v[N];
    sq_params *p;
    sq_weight w = fresh(&p, sq_vec(N));
    cr_expect(sq_init_glorot(p, w, 1, 3) == SQ_OK);
    read(p, w, v);
    expect_uniform(v, N, sqrt(6.0 / (1 + N)), "glorot of a vector");
    sq_params_free(p);
    w = fresh(&p, sq_shape4(2, 3, 20, COLS));
    cr_expect(sq_init_glorot(p, w, 1, 3) == SQ_OK);
    read(p, w, v);
    expect_uniform(v, N, sqrt(6.0 / (ROWS + COLS)), "glorot of rank 4");
    sq_params_free(p);
}

/* Gram matrix of the fewer vectors: gain^2 on the diagonal, else 0. */
static void expect_orthonormal(int rows, int cols, double gain, uint64_t seed)
{
    static double v[N];
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(rows, cols));
    cr_expect(sq_init_orthogonal(p, w, gain, seed) == SQ_OK);
    read(p, w, v);
    bool wide = cols > rows;
    int k = wide ? rows : cols, n = wide ? cols : rows;
    double worst = 0;
    for (int a = 0; a < k; a++)
        for (int b = 0; b < k; b++) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += wide ? v[a * n + i] * v[b * n + i] : v[i * k + a] * v[i * k + b];
            worst = worse(worst, fabs(sum - (a == b ? gain * gain : 0)));
        }
    cr_expect(worst <= 1e-12, "[%d,%d]: off by %g", rows, cols, worst);
    sq_params_free(p);
}

Test(init, orthogonal)
{
    static const int sizes[][2] = { { 1, 1 }, { 2, 2 },   { 1, 7 },    { 7, 1 },    { 5, 3 },
                                    { 3, 5 }, { 64, 64 }, { 120, 80 }, { 80, 120 }, { 2, 97 } };
    for (int k = 0; k < COUNT(sizes); k++) {
        expect_orthonormal(sizes[k][0], sizes[k][1], 1, 1 + (uint64_t)k);
        expect_orthonormal(sizes[k][0], sizes[k][1], 0.5, 100 + (uint64_t)k);
    }
}

/* Uniformly distributed: an element of a random n-vector of length 1 has mean 0 and variance
 * 1/n, and a 1x1 matrix is 1 or -1, each half of the time. */
Test(init, orthogonal_has_no_favourite_direction)
{
    enum { MANY = 4000 };
    static double corner[MANY], diagonal[MANY];
    int positive = 0;
    for (int k = 0; k < MANY; k++) {
        double v[9], one;
        sq_params *p;
        sq_weight w = fresh(&p, sq_mat(3, 3)), s = sq_params_add(p, "s", sq_mat(1, 1));
        cr_expect(sq_init_orthogonal(p, w, 1, (uint64_t)k) == SQ_OK);
        cr_expect(sq_init_orthogonal(p, s, 1, (uint64_t)k) == SQ_OK);
        read(p, w, v);
        read(p, s, &one);
        corner[k] = v[0];
        diagonal[k] = v[8];
        positive += one > 0;
        cr_expect(fabs(fabs(one) - 1) < 1e-15);
        sq_params_free(p);
    }
    /* Var of the square of one coordinate of a point on the sphere in 3-space: 1/5 - 1/9. */
    moments m = measure(corner, MANY), d = measure(diagonal, MANY);
    cr_expect(fabs(m.mean) < 5 * sqrt(1 / 3.0 / MANY), "mean %g", m.mean);
    cr_expect(fabs(d.mean) < 5 * sqrt(1 / 3.0 / MANY), "mean %g", d.mean);
    cr_expect(fabs(m.variance - 1 / 3.0) < 5 * sqrt(4 / 45.0 / MANY), "variance %g",
              m.variance);
    cr_expect(fabs(d.variance - 1 / 3.0) < 5 * sqrt(4 / 45.0 / MANY), "variance %g",
              d.variance);
    cr_expect(abs(positive - MANY / 2) < 5 * sqrt(MANY) / 2, "%d of %d", positive, MANY);
}

Test(init, identity)
{
    static const int sizes[][2] = { { 3, 3 }, { 2, 4 }, { 4, 2 } };
    for (int k = 0; k < COUNT(sizes); k++) {
        double v[9];
        sq_params *p;
        sq_weight w = fresh(&p, sq_mat(sizes[k][0], sizes[k][1]));
        cr_expect(sq_init_uniform(p, w, 1, 1) == SQ_OK);
        cr_expect(sq_init_identity(p, w, 0.3) == SQ_OK);
        read(p, w, v);
        for (int i = 0; i < sizes[k][0] * sizes[k][1]; i++)
            cr_expect(v[i] == (i / sizes[k][1] == i % sizes[k][1] ? 0.3 : 0));
        sq_params_free(p);
    }
}

typedef sq_status init_fn(sq_params *p, sq_weight w, uint64_t seed);

static sq_status uniform(sq_params *p, sq_weight w, uint64_t s)
{
    return sq_init_uniform(p, w, 1, s);
}

static sq_status normal(sq_params *p, sq_weight w, uint64_t s)
{
    return sq_init_normal(p, w, 1, s);
}

static sq_status orthogonal(sq_params *p, sq_weight w, uint64_t s)
{
    return sq_init_orthogonal(p, w, 1, s);
}

/* The same name and seed give the same bits, whatever weights and draws come before or after;
 * another seed or another name does not. */
Test(init, is_a_function_of_name_and_seed)
{
    static init_fn *const all[] = { uniform, normal, orthogonal, sq_init_he };
    for (int k = 0; k < COUNT(all); k++) {
        double a[12], b[12];
        sq_params *p, *q;
        sq_weight w = fresh(&p, sq_mat(3, 4));
        q = sq_params_new(SQ_F64);
        sq_weight other = sq_params_add(q, "other", sq_mat(3, 4));
        sq_weight v = sq_params_add(q, "w", sq_mat(3, 4));
        cr_expect(all[k](p, w, 5) == SQ_OK);
        cr_expect(all[k](q, other, 5) == SQ_OK);
        cr_expect(all[k](q, v, 9) == SQ_OK);
        cr_expect(all[k](q, v, 5) == SQ_OK);
        read(p, w, a);
        read(q, v, b);
        EXPECT_SAME_BITS(a, b, sizeof a, "the same weight of two params");
        read(q, other, b);
        cr_expect(memcmp(a, b, sizeof a) != 0, "two weights start alike");
        cr_expect(all[k](q, v, 6) == SQ_OK);
        read(q, v, b);
        cr_expect(memcmp(a, b, sizeof a) != 0, "two seeds start alike");
        sq_params_free(p);
        sq_params_free(q);
    }
}

/* The published FNV-1a hash of "foobar" is 85944171f73967e8. */
Test(init, the_stream_is_that_of_the_names_hash)
{
    double v[12];
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "foobar", sq_mat(3, 4));
    sq_random r = sq_random_stream(7, 0, 0, 0x85944171f73967e8u);
    cr_expect(sq_init_normal(p, w, 1, 7) == SQ_OK);
    read(p, w, v);
    for (uint64_t i = 0; i < 12; i++) cr_expect(v[i] == sq_random_normal(r, i / 4, i % 4));
    sq_params_free(p);
}

/* Single precision starts from the double values, rounded. */
Test(init, precisions_agree)
{
    double a[12];
    float b[12];
    sq_params *p, *q = sq_params_new(SQ_F32);
    sq_weight w = fresh(&p, sq_mat(3, 4)), v = sq_params_add(q, "w", sq_mat(3, 4));
    cr_expect(sq_init_orthogonal(p, w, 1, 5) == SQ_OK);
    cr_expect(sq_init_orthogonal(q, v, 1, 5) == SQ_OK);
    read(p, w, a);
    cr_assert(sq_weight_get(q, v, b) == SQ_OK);
    for (int i = 0; i < 12; i++) cr_expect(b[i] == (float)a[i]);
    sq_params_free(p);
    sq_params_free(q);
}

Test(init, of_no_elements)
{
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(0, 4)), v = sq_params_add(p, "v", sq_mat(0, 0));
    cr_expect(sq_init_he(p, w, 1) == SQ_OK);
    cr_expect(sq_init_glorot(p, v, 1, 1) == SQ_OK);
    cr_expect(sq_init_uniform_hidden(p, v, 0, 1) == SQ_OK);
    cr_expect(sq_init_orthogonal(p, w, 1, 1) == SQ_OK);
    cr_expect(sq_init_identity(p, w, 1) == SQ_OK);
    cr_expect(sq_init_zeros(p, v) == SQ_OK);
    sq_params_free(p);
}

static void expect_refused(sq_params *p, sq_status got, sq_status want, const char *text)
{
    cr_expect(got == want, "%d", (int)got);
    EXPECT_TEXT(sq_params_message(p), text);
    sq_params_clear_error(p);
}

Test(init, mistakes)
{
    static const char bound[] =
        "weight w: a bound or deviation must be finite and not negative";
    double before[6], after[6];
    char text[200];
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(2, 3)), v = sq_params_add(p, "v", sq_vec(3));
    cr_expect(sq_init_uniform(p, w, 1, 1) == SQ_OK);
    read(p, w, before);
    (void)snprintf(text, sizeof text, "init_uniform: %s", bound);
    expect_refused(p, sq_init_uniform(p, w, -1, 1), SQ_EVALUE, text);
    expect_refused(p, sq_init_uniform(p, w, nan(""), 1), SQ_EVALUE, text);
    (void)snprintf(text, sizeof text, "init_normal: %s", bound);
    expect_refused(p, sq_init_normal(p, w, HUGE_VAL, 1), SQ_EVALUE, text);
    (void)snprintf(text, sizeof text, "init_glorot: %s", bound);
    expect_refused(p, sq_init_glorot(p, w, -0.5, 1), SQ_EVALUE, text);
    (void)snprintf(text, sizeof text, "init_uniform_hidden: %s", bound);
    expect_refused(p, sq_init_uniform_hidden(p, w, 0, 1), SQ_EVALUE, text);
    expect_refused(p, sq_init_uniform_hidden(p, w, -4, 1), SQ_EVALUE, text);
    expect_refused(p, sq_init_orthogonal(p, w, nan(""), 1), SQ_EVALUE,
                   "init_orthogonal: weight w: the gain must be finite");
    expect_refused(p, sq_init_orthogonal(p, v, 1, 1), SQ_ESHAPE,
                   "init_orthogonal: weight v: needs a matrix");
    expect_refused(p, sq_init_identity(p, v, 1), SQ_ESHAPE,
                   "init_identity: weight v: needs a matrix");
    expect_refused(p, sq_init_zeros(p, (sq_weight){ 0 }), SQ_EWEIGHT,
                   "init_constant: there is no weight with id 0");
    expect_refused(p, sq_init_he(p, (sq_weight){ 3 }, 1), SQ_EWEIGHT,
                   "init_he: there is no weight with id 3");
    read(p, w, after);
    EXPECT_SAME_BITS(before, after, sizeof before, "a refused call changes nothing: values");
    sq_params_free(p);
}

/* After an error nothing is done until it is cleared: the first one stays. */
Test(init, first_error_stays)
{
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(2, 3));
    double v[6];
    cr_expect(sq_init_uniform(p, w, -1, 1) == SQ_EVALUE);
    cr_expect(sq_init_constant(p, w, 3) == SQ_EVALUE);
    cr_expect(sq_init_he(p, (sq_weight){ 9 }, 3) == SQ_EVALUE);
    sq_params_clear_error(p);
    read(p, w, v);
    cr_expect(v[0] == 0);
    sq_params_free(p);
}
