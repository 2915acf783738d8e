/* vmath.h against libm in double: every 997th float of both signs, the special values, the
 * edges of overflow and underflow, and law (a): a value does not depend on its place in an
 * array. */
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
                                      { "sigmoid", sqi_sigmoid_f32, sigmoid } };

/* The error of y in units of the float spacing at want; 0 where both overflow. */
static double ulps(float y, double want)
{
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
            if (!(e <= worst)) worst = e, where = x;
        }
        cr_expect(worst <= 2.5, "%s: %g ulp at %a", functions[f].name, worst, (double)where);
    }
}

/* The samples above leave gaps of 997 floats; around these points there are none. */
Test(vmath, edges_one_by_one)
{
    static const float edges[] = { 0,     88.7228394f, -87.3365479f, -103.972084f, 0.34657359f,
                                   9.01f, 10,          17.3f,        -17.3f };
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

static void apply(int f, int64_t n, const float *restrict x, float *restrict y)
{
    if (f == 0)
        for (int64_t i = 0; i < n; i++) y[i] = sqi_exp_f32(x[i]);
    else if (f == 1)
        for (int64_t i = 0; i < n; i++) y[i] = sqi_tanh_f32(x[i]);
    else
        for (int64_t i = 0; i < n; i++) y[i] = sqi_sigmoid_f32(x[i]);
}

Test(vmath, law_a_position_does_not_matter)
{
    enum { N = 67 };
    float x[N], y[N], z[N];
    rng r = { 1 };
    for (int i = 0; i < N; i++) x[i] = (float)rng_in(&r, -12, 12);
    for (int f = 0; f < COUNT(functions); f++) {
        for (int i = 0; i < N; i++) y[i] = functions[f].ours(x[i]);
        for (int from = 0; from < 20; from++)
            for (int n = 0; n <= N - from; n++) {
                apply(f, n, x + from, z);
                cr_expect(memcmp(z, y + from, (size_t)n * sizeof *z) == 0, "%s %d+%d",
                          functions[f].name, from, n);
            }
    }
}

/* Never grows where libm does not: what a training run sees of sigmoid in double. */
Test(vmath, sigmoid_in_double)
{
    for (double x = -800; x < 800; x += 0.0173) {
        long double e = expl(-fabsl((long double)x)), want = x < 0 ? e / (1 + e) : 1 / (1 + e);
        double got = sqi_sigmoid_f64(x);
        cr_expect(fabsl(got - want) <= 2.5L * 0x1p-52L * want + 0x1p-1074L, "sigmoid(%a)", x);
    }
    cr_expect(isnan(sqi_sigmoid_f64((double)NAN)));
    cr_expect(sqi_sigmoid_f64((double)INFINITY) == 1 &&
              sqi_sigmoid_f64(-(double)INFINITY) == 0);
}
