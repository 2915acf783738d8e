/* vmath.h against libm of a higher precision: every 997th float of both signs (the program
 * ulp_walk visits all of them), a dense sample of doubles, the special values, the edges of
 * overflow and underflow, and law (a): a value does not depend on its place in an array. */
#include "core/kernels/vmath.h"
#include "tests/support/support.h"

#include <float.h>

static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

typedef struct function {
    const char *name;
    float (*ours)(float);
    double (*libm)(double);
} function;

static const function functions[] = { { "exp", sqi_exp_f32, exp },
                                      { "tanh", sqi_tanh_f32, tanh },
                                      { "sigmoid", sqi_sigmoid_f32, sigmoid },
                                      { "log", sqi_log_f32, log } };

/* The error of y in units of the float spacing at want; 0 where both overflow or are NaN. */
static double ulps(float y, double want)
{
    if (isnan(want)) return isnan(y) ? 0 : INFINITY;
    if (fabs(want) >= 0x1.ffffffp127) return isinf(y) && (y > 0) == (want > 0) ? 0 : INFINITY;
    int e;
    frexp(want, &e);
    return fabs((double)y - want) / ldexp(1, e - 24 < -149 ? -149 : e - 24);
}

Test(vmath, within_two_and_a_half_ulp)
{
    for (int f = 0; f < COUNT(functions); f++) {
        double worst = 0;
        float where = 0;
        for (uint64_t u = 0; u < 0x100000000u; u += 997) {
            float x = sqi_bits_float((uint32_t)u);
            if (isnan(x)) continue;
            double e = ulps(functions[f].ours(x), functions[f].libm((double)x));
            if (!(e <= worst) && !isnan(worst)) worst = e, where = x;
        }
        cr_expect(worst <= 2.5, "%s: %g ulp at %a", functions[f].name, worst, (double)where);
    }
}

/* The samples above leave gaps of 997 floats; around these points there are none. */
Test(vmath, edges_one_by_one)
{
    static const float edges[] = { 0,     88.7228394f, -87.3365479f,   -103.972084f,
                                   1,     0.34657359f, 0.70710677f,    1.41421354f,
                                   9.01f, 9.02f,       0x1p-126f,      17.3f,
                                   -30,   -110,        3.40282347e38f, 0.17328679f };
    for (int f = 0; f < COUNT(functions); f++)
        for (int i = 0; i < COUNT(edges); i++)
            for (int sign = -1; sign <= 1; sign += 2)
                for (uint32_t d = 0; d < 3000; d++) {
                    float x = (float)sign * sqi_bits_float(sqi_float_bits(edges[i]) + d -
                                                           (edges[i] != 0 ? 1500 : 0));
                    double e = ulps(functions[f].ours(x), functions[f].libm((double)x));
                    cr_expect(e <= 2.5, "%s(%a): %g ulp", functions[f].name, (double)x, e);
                }
}

Test(vmath, special_values)
{
    for (int f = 0; f < COUNT(functions); f++) {
        cr_expect(isnan(functions[f].ours(NAN)), "%s(nan)", functions[f].name);
        cr_expect(isnan(functions[f].ours(-NAN)), "%s(-nan)", functions[f].name);
    }
    cr_expect(sqi_exp_f32(INFINITY) == INFINITY);
    cr_expect(sqi_exp_f32(-INFINITY) == 0 && !signbit(sqi_exp_f32(-INFINITY)));
    cr_expect(sqi_exp_f32(0.0f) == 1 && sqi_exp_f32(-0.0f) == 1);
    cr_expect(sqi_exp_f32(FLT_MAX) == INFINITY && sqi_exp_f32(-FLT_MAX) == 0);
    cr_expect(sqi_tanh_f32(INFINITY) == 1 && sqi_tanh_f32(-INFINITY) == -1);
    cr_expect(sqi_tanh_f32(0.0f) == 0 && !signbit(sqi_tanh_f32(0.0f)));
    cr_expect(sqi_tanh_f32(-0.0f) == 0 && signbit(sqi_tanh_f32(-0.0f)));
    cr_expect(sqi_sigmoid_f32(INFINITY) == 1 && sqi_sigmoid_f32(-INFINITY) == 0);
    cr_expect(sqi_sigmoid_f32(0.0f) == 0.5f && sqi_sigmoid_f32(-0.0f) == 0.5f);
    cr_expect(sqi_log_f32(0.0f) == -INFINITY && sqi_log_f32(-0.0f) == -INFINITY);
    cr_expect(sqi_log_f32(1.0f) == 0 && !signbit(sqi_log_f32(1.0f)));
    cr_expect(sqi_log_f32(INFINITY) == INFINITY);
    cr_expect(isnan(sqi_log_f32(-0x1p-149f)) && isnan(sqi_log_f32(-1.0f)));
    cr_expect(isnan(sqi_log_f32(-INFINITY)));
}

/* The last finite and first infinite value of exp, the last positive and first zero. */
Test(vmath, overflow_and_underflow)
{
    cr_expect(sqi_exp_f32(0x1.62e42ep+6f) < INFINITY);
    cr_expect(sqi_exp_f32(0x1.62e430p+6f) == INFINITY);
    cr_expect(sqi_exp_f32(-0x1.9fe368p+6f) == 0x1p-149f);
    cr_expect(sqi_exp_f32(-0x1.9fe36ap+6f) == 0);
    cr_expect(sqi_exp_f32(-0x1.5d58a0p+6f) < FLT_MIN);
    cr_expect(sqi_exp_f32(-0x1.5d589ep+6f) >= FLT_MIN * 0.999999f);
    for (float x = -200; x < 200; x += 0.25f) {
        cr_expect(fabsf(sqi_tanh_f32(x)) <= 1);
        cr_expect(sqi_sigmoid_f32(x) >= 0 && sqi_sigmoid_f32(x) <= 1);
        cr_expect(sqi_tanh_f32(-x) == -sqi_tanh_f32(x));
    }
}

#define APPLY(name)                                                                 \
    static void apply_##name(int64_t n, const float *restrict x, float *restrict y) \
    {                                                                               \
        for (int64_t i = 0; i < n; i++) y[i] = sqi_##name##_f32(x[i]);              \
    }
APPLY(exp)
APPLY(tanh)
APPLY(sigmoid)
APPLY(log)

Test(vmath, law_a_position_does_not_matter)
{
    enum { N = 67 };
    static void (*const apply[])(int64_t, const float *,
                                 float *) = { apply_exp, apply_tanh, apply_sigmoid, apply_log };
    float x[N], y[N], z[N];
    rng r = { 1 };
    for (int i = 0; i < N; i++) x[i] = (float)rng_in(&r, -12, 12);
    for (int f = 0; f < COUNT(functions); f++) {
        for (int i = 0; i < N; i++) y[i] = functions[f].ours(x[i]);
        for (int from = 0; from < 20; from++)
            for (int n = 0; n <= N - from; n++) {
                apply[f](n, x + from, z);
                cr_expect(memcmp(z, y + from, (size_t)n * sizeof *z) == 0, "%s %d+%d",
                          functions[f].name, from, n);
            }
    }
}

/* ---- Double ------------------------------------------------------------------------------ */

static long double sigmoidl(long double x)
{
    long double e = expl(-fabsl(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

typedef struct function_f64 {
    const char *name;
    double (*ours)(double);
    long double (*libm)(long double);
    double lo, hi; /* beyond it the result is constant */
} function_f64;

static const function_f64 functions_f64[] = {
    { "exp", sqi_exp_f64, expl, -746, 709.5 },
    { "tanh", sqi_tanh_f64, tanhl, -20, 20 },
    { "sigmoid", sqi_sigmoid_f64, sigmoidl, -750, 40 },
};

static double ulps_f64(double y, long double want)
{
    int e;
    frexpl(want, &e);
    return (double)(fabsl((long double)y - want) / ldexpl(1, e - 53 < -1074 ? -1074 : e - 53));
}

/* Over the whole range, where the function bends, and towards zero. */
static double draw(rng *r, const function_f64 *f, int kind)
{
    if (kind == 0) return rng_in(r, f->lo, f->hi);
    if (kind == 1) return rng_in(r, -5, 5);
    return ldexp(rng_in(r, -1, 1), -rng_below(r, 1080));
}

Test(vmath, doubles_are_within_two_and_a_half_ulp)
{
    enum { N = 400000 };
    for (int f = 0; f < COUNT(functions_f64); f++)
        for (int kind = 0; kind < 3; kind++) {
            const function_f64 *g = &functions_f64[f];
            rng r = { 7 };
            double worst = 0, where = 0;
            for (int i = 0; i < N; i++) {
                double x = draw(&r, g, kind), e = ulps_f64(g->ours(x), g->libm((long double)x));
                if (!(e <= worst) && !isnan(worst)) worst = e, where = x;
            }
            double most = f == 0 ? 1 : 2.5;
            cr_expect(worst <= most, "%s: %g ulp at %a", g->name, worst, where);
        }
}

Test(vmath, doubles_at_the_edges)
{
    const double inf = (double)INFINITY;
    for (int f = 0; f < COUNT(functions_f64); f++) {
        cr_expect(isnan(functions_f64[f].ours((double)NAN)), "%s(nan)", functions_f64[f].name);
        cr_expect(isnan(functions_f64[f].ours(sqi_bits_double(0xfff123456789abcdu))));
    }
    cr_expect(sqi_exp_f64(inf) == inf && sqi_exp_f64(DBL_MAX) == inf);
    cr_expect(sqi_exp_f64(-inf) == 0 && sqi_exp_f64(-DBL_MAX) == 0);
    cr_expect(sqi_exp_f64(0) == 1 && sqi_exp_f64(-0.0) == 1 && sqi_exp_f64(0x1p-1074) == 1);
    cr_expect(sqi_exp_f64(0x1.62e42fefa39efp+9) < inf);
    cr_expect(sqi_exp_f64(0x1.62e42fefa39f0p+9) == inf);
    cr_expect(sqi_exp_f64(-0x1.74910d52d3051p+9) == 0x1p-1074);
    cr_expect(sqi_exp_f64(-0x1.74910d52d3052p+9) == 0);
    cr_expect(sqi_tanh_f64(inf) == 1 && sqi_tanh_f64(-inf) == -1);
    cr_expect(sqi_tanh_f64(0) == 0 && !signbit(sqi_tanh_f64(0)) && signbit(sqi_tanh_f64(-0.0)));
    cr_expect(sqi_tanh_f64(-0x1p-1074) == -0x1p-1074);
    cr_expect(sqi_sigmoid_f64(inf) == 1 && sqi_sigmoid_f64(-inf) == 0);
    cr_expect(sqi_sigmoid_f64(0) == .5 && sqi_sigmoid_f64(-0.0) == .5);
    cr_expect(sqi_sigmoid_f64(-744.5) == 0x1p-1074);
    for (double x = 0; x < 800; x += 0.0173) {
        cr_expect(sqi_tanh_f64(x) <= 1 && sqi_tanh_f64(-x) == -sqi_tanh_f64(x));
        cr_expect(sqi_sigmoid_f64(x) <= 1 && sqi_sigmoid_f64(-x) >= 0);
    }
}
