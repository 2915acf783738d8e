/* vmath.h -- exp, tanh, sigmoid and (in single precision) log as straight-line arithmetic, so
 * that a loop over them vectorises for every instruction set.
 *
 * All but log reduce x to n ln2 + r, |r| <= ln2/2. With w = tanh(r/2), an odd polynomial with
 * few terms, e^r = (1+w)/(1-w), and one division suffices:
 *   sigmoid  e^x/(1 + e^x) = 2^n (1+w) / ((1-w) + 2^n (1+w))
 *   tanh     with 2|x| = n ln2 + 2r, w = tanh r, s = 2^n:  ((s-1) + w(s+1)) / ((s+1) + w(s-1));
 *            for n = 0 it is w, so small values keep their digits. The sign is copied.
 *   exp      2^n times a polynomial of degree 6 (11 in double); the power is multiplied in two
 *            halves, so that subnormal results and the edge of overflow come out right.
 *   log      x = 2^k (1+f), 1/sqrt2 < 1+f < sqrt2, and (1+s)/(1-s) = 1+f for s = f/(2+f):
 *            k ln2 + 2s + an odd polynomial.
 * Each is within 2.5 units in the last place for every number of its precision (exp within 1),
 * and never outside the range of the function. NaN in, NaN out.
 *
 * n is read off the low bits of x/ln2 + 1.5 * 2^23 (2^52 in double), and shifted into the
 * exponent. Files that use these are compiled with -ffp-contract=off and never with
 * -ffast-math: that rounding relies on exact evaluation order, and equal bits for every
 * instruction set on unfused multiplies and adds. */
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

static inline double sqi_bits_double(uint64_t u)
{
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static inline uint64_t sqi_double_bits(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

/* 2^n, n being the low bits of `bits`; those above the exponent's are shifted out. */
static inline float sqi_pow2_f32(uint32_t bits)
{
    return sqi_bits_float((bits << 23) + 0x3f800000u);
}
static inline double sqi_pow2_f64(uint64_t bits)
{
    return sqi_bits_double((bits << 52) + 0x3ff0000000000000u);
}

/* Adding it leaves the rounded number in the low bits of the mantissa. */
#define SQI_ROUND_F32 0x1.8p23f
#define SQI_ROUND_F64 0x1.8p52

/* ln2 in two parts; a small integer times the first is exact. */
#define SQI_LN2_HIGH_F32 0.693359375f
#define SQI_LN2_LOW_F32 -2.12194440e-4f
#define SQI_LN2_HIGH_F64 0x1.62e42feep-1
#define SQI_LN2_LOW_F64 0x1.a39ef35793c76p-33

/* ---- Single precision -------------------------------------------------------------------- */

static inline float sqi_exp_f32(float x)
{
    float c = x > 89.0f ? 89.0f : x;
    c = c < -104.0f ? -104.0f : c;
    float shifted = c * 0x1.715476p+0f + SQI_ROUND_F32, n = shifted - SQI_ROUND_F32;
    float r = c - n * SQI_LN2_HIGH_F32 - n * SQI_LN2_LOW_F32;
    float p = 0x1.6a5424p-10f;
    p = p * r + 0x1.123b10p-7f;
    p = p * r + 0x1.5558acp-5f;
    p = p * r + 0x1.555490p-3f;
    p = p * r + 0x1.fffffcp-2f;
    p = p * (r * r) + r + 1.0f;
    uint32_t k = sqi_float_bits(shifted), half = k >> 1;
    return p * sqi_pow2_f32(half) * sqi_pow2_f32(k - half);
}

/* All is scaled by 2^60: 2^n (1+w) is then a normal number down to where the quotient is 0. Far
 * out the quotient is anything, and replaced; where x is bounded first, gcc selects among whole
 * results all the same, with more comparisons. A NaN fails both and comes through. */
static inline float sqi_sigmoid_f32(float x)
{
    const float scale = 0x1p60f;
    float shifted = x * 0x1.715476p+0f + SQI_ROUND_F32, n = shifted - SQI_ROUND_F32;
    float r = x - n * SQI_LN2_HIGH_F32 - n * SQI_LN2_LOW_F32, u = r * r;
    float w = 0x1.0b15f2p-8f * scale;
    w = w * u + -0x1.55495ep-5f * scale;
    w = (w * u + 0x1.fffffap-2f * scale) * r;
    float e = sqi_bits_float(sqi_float_bits(scale + w) + (sqi_float_bits(shifted) << 23));
    float y = e / (scale + (e - w));
    y = x < -110.0f ? 0.0f : y;
    return x > 30.0f ? 1.0f : y;
}

static inline float sqi_tanh_f32(float x)
{
    uint32_t sign = sqi_float_bits(x) & 0x80000000u;
    float a = fabsf(x);
    a = a > 9.02f ? 9.02f : a;
    float shifted = a * 0x1.715476p+1f + SQI_ROUND_F32, n = shifted - SQI_ROUND_F32;
    float r = a - n * 0x1.62e430p-2f, u = r * r;
    float w = 0x1.0c402ep-3f * u + -0x1.554f2cp-2f;
    w = w * (u * r) + r;
    float s = sqi_pow2_f32(sqi_float_bits(shifted)), below = s - 1.0f, above = s + 1.0f;
    float y = (w * above + below) / (w * below + above);
    return sqi_bits_float(sqi_float_bits(y) | sign);
}

static inline float sqi_log_f32(float x)
{
    float z = x < 0x1p-126f ? x * 0x1p23f : x;
    uint32_t b = sqi_float_bits(z);
    int32_t k = (int32_t)(b - 0x3f3504f3u) >> 23;
    float f = sqi_bits_float(b - ((uint32_t)k << 23)) - 1.0f;
    float n = (float)k + (x < 0x1p-126f ? -23.0f : 0.0f);
    float s = f / (2.0f + f), u = s * s, h = 0.5f * f * f;
    float p = 0x1.31e3aep-2f * u + 0x1.995ec4p-2f;
    p = (p * u + 0x1.55557ap-1f) * u;
    float y = s * (h + p) + n * SQI_LN2_LOW_F32 - h + f + n * SQI_LN2_HIGH_F32;
    y = x < INFINITY ? y : x;
    return x > 0 ? y : x == 0 ? -INFINITY : NAN;
}

/* ---- Double precision -------------------------------------------------------------------- */

static inline double sqi_exp_f64(double x)
{
    double c = x > 710.0 ? 710.0 : x;
    c = c < -746.0 ? -746.0 : c;
    double shifted = c * 0x1.71547652b82fep+0 + SQI_ROUND_F64, n = shifted - SQI_ROUND_F64;
    double r = c - n * SQI_LN2_HIGH_F64 - n * SQI_LN2_LOW_F64;
    double p = 0x1.ad90f5fe54109p-26;
    p = p * r + 0x1.28aec84901f4ap-22;
    p = p * r + 0x1.71df1baccfc61p-19;
    p = p * r + 0x1.a01998a028074p-16;
    p = p * r + 0x1.a01a012e16b44p-13;
    p = p * r + 0x1.6c16c184af1e9p-10;
    p = p * r + 0x1.1111111127231p-7;
    p = p * r + 0x1.555555555061ap-5;
    p = p * r + 0x1.55555555554fcp-3;
    p = p * r + 0x1.000000000000ap-1;
    p = p * (r * r) + r + 1.0;
    uint64_t k = sqi_double_bits(shifted), half = k >> 1;
    return p * sqi_pow2_f64(half) * sqi_pow2_f64(k - half);
}

/* Scaled by 2^200, as above. */
static inline double sqi_sigmoid_f64(double x)
{
    const double scale = 0x1p200;
    double shifted = x * 0x1.71547652b82fep+0 + SQI_ROUND_F64, n = shifted - SQI_ROUND_F64;
    double r = x - n * SQI_LN2_HIGH_F64 - n * SQI_LN2_LOW_F64, u = r * r;
    double w = 0x1.c273ab8b8ec4dp-22 * scale;
    w = w * u + -0x1.223622464a4d2p-18 * scale;
    w = w * u + 0x1.664ead7589e77p-15 * scale;
    w = w * u + -0x1.ba1ba0db87001p-12 * scale;
    w = w * u + 0x1.11111110c48fap-8 * scale;
    w = w * u + -0x1.5555555555428p-5 * scale;
    w = (w * u + 0.5 * scale) * r;
    double e = sqi_bits_double(sqi_double_bits(scale + w) + (sqi_double_bits(shifted) << 52));
    double y = e / (scale + (e - w));
    y = x < -750.0 ? 0.0 : y;
    return x > 40.0 ? 1.0 : y;
}

static inline double sqi_tanh_f64(double x)
{
    uint64_t sign = sqi_double_bits(x) & 0x8000000000000000u;
    double a = fabs(x);
    a = a > 19.1 ? 19.1 : a;
    double shifted = a * 0x1.71547652b82fep+1 + SQI_ROUND_F64, n = shifted - SQI_ROUND_F64;
    double r = a - n * (SQI_LN2_HIGH_F64 / 2) - n * (SQI_LN2_LOW_F64 / 2), u = r * r;
    double w = 0x1.c36988a677febp-9;
    w = w * u + -0x1.223beb4a59507p-7;
    w = w * u + 0x1.664ec7cb2e8b8p-6;
    w = w * u + -0x1.ba1ba1133d349p-5;
    w = w * u + 0x1.11111110df497p-3;
    w = w * u + -0x1.55555555554b7p-2;
    w = w * (u * r) + r;
    double s = sqi_pow2_f64(sqi_double_bits(shifted)), below = s - 1.0, above = s + 1.0;
    double y = (w * above + below) / (w * below + above);
    return sqi_bits_double(sqi_double_bits(y) | sign);
}

static inline double sqi_log_f64(double x) { return log(x); }

#endif
