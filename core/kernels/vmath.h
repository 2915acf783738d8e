/* vmath.h -- exp, tanh and sigmoid in single precision as straight-line arithmetic, so that a loop
 * over them vectorises for every instruction set; in double, libm.
 *
 *   exp      x = n ln2 + r, |r| <= ln2/2; e^r by a degree-6 polynomial; 2^n put into the exponent
 *            in two halves, so that subnormal results and the overflow edge come out right.
 *   tanh     e = expm1(2|x|), tanh = e/(e+2), sign copied.
 *   sigmoid  from e^-|x|, so that neither side overflows.
 *
 * Files that use these are compiled with -ffp-contract=off and never with -ffast-math: rounding
 * by adding 1.5*2^23 relies on exact evaluation order, and equal bits for every instruction set
 * rely on unfused multiplies and adds. NaN in, NaN out. */
#ifndef SQ_CORE_VMATH_H
#define SQ_CORE_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float sqi_bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t sqi_float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

#define SQI_ROUND \
    12582912.0f /* 1.5 * 2^23: adding it leaves round(x) in the low mantissa bits */

/* n of x = n ln2 + r as an integer, read from the bits of x/ln2 + SQI_ROUND. */
static inline int32_t sqi_round_bits(float shifted)
{
    return (int32_t)(sqi_float_bits(shifted) - sqi_float_bits(SQI_ROUND));
}

static inline float sqi_pow2(int32_t n) { return sqi_bits_float((uint32_t)(n + 127) << 23); }

/* e^r - 1 - r for |r| <= ln2/2, divided by r^2. */
static inline float sqi_exp_tail(float r)
{
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    return p * r + 5.0000001201e-1f;
}

static inline float sqi_exp_f32(float x)
{
    float c = x > 89.0f ? 89.0f : x;
    c = c < -104.0f ? -104.0f : c;
    float shifted = c * 1.44269504088896341f + SQI_ROUND, n = shifted - SQI_ROUND;
    float r = c - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = sqi_exp_tail(r) * (r * r) + r + 1.0f;
    int32_t k = sqi_round_bits(shifted), half = k >> 1;
    return x != x ? x : p * sqi_pow2(half) * sqi_pow2(k - half);
}

static inline float sqi_tanh_f32(float x)
{
    float a = x < 0 ? -x : x, z = 2.0f * (a > 10.0f ? 10.0f : a);
    float shifted = z * 1.44269504088896341f + SQI_ROUND, n = shifted - SQI_ROUND;
    float r = z - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float q = sqi_exp_tail(r) * (r * r) + r, s = sqi_pow2(sqi_round_bits(shifted));
    float e = s * q + (s - 1.0f), y = e / (e + 2.0f);
    uint32_t sign = sqi_float_bits(x) & 0x80000000u;
    return x != x ? x : sqi_bits_float(sqi_float_bits(y) | sign);
}

static inline float sqi_sigmoid_f32(float x)
{
    float e = sqi_exp_f32(x < 0 ? x : -x), d = 1.0f + e;
    return x < 0 ? e / d : 1.0f / d;
}

static inline double sqi_exp_f64(double x) { return exp(x); }
static inline double sqi_tanh_f64(double x) { return tanh(x); }

static inline double sqi_sigmoid_f64(double x)
{
    double e = exp(x < 0 ? x : -x), d = 1.0 + e;
    return x < 0 ? e / d : 1.0 / d;
}

#endif
