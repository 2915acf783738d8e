/* io_format.c -- how numbers lie in files: one table, and bytes to numbers and back by it.
 *
 *     float    sign | e bits of exponent | f bits of fraction, as IEEE 754 has it
 *     whole    two's complement, least..most
 *
 * Bytes come lowest first; everything is done on bits held in uint64_t, so neither the machine's
 * byte order nor its float instructions nor its rounding mode have a say. A float format is made
 * from another by taking its bits apart: widening is exact, NaN keeps the leading bits of its
 * payload both ways, narrowing rounds to nearest, ties to even. */
#include "core/io_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct format {
    const char *name, *npy; /* in safetensors; in .npy behind the byte order, or NULL */
    size_t size;
    sq_tensor_type held;
    int e, f;            /* of floats */
    int64_t least, most; /* of whole numbers */
} format;

static const format formats[] = {
    [SQ_STORED_BOOL] = { "BOOL", "b1", 1, SQ_TENSOR_I64, .least = 0, .most = 1 },
    [SQ_STORED_U8] = { "U8", "u1", 1, SQ_TENSOR_I64, .least = 0, .most = UINT8_MAX },
    [SQ_STORED_I8] = { "I8", "i1", 1, SQ_TENSOR_I64, .least = INT8_MIN, .most = INT8_MAX },
    [SQ_STORED_I16] = { "I16", "i2", 2, SQ_TENSOR_I64, .least = INT16_MIN, .most = INT16_MAX },
    [SQ_STORED_U16] = { "U16", "u2", 2, SQ_TENSOR_I64, .least = 0, .most = UINT16_MAX },
    [SQ_STORED_F16] = { "F16", "f2", 2, SQ_TENSOR_F32, .e = 5, .f = 10 },
    [SQ_STORED_BF16] = { "BF16", NULL, 2, SQ_TENSOR_F32, .e = 8, .f = 7 },
    [SQ_STORED_I32] = { "I32", "i4", 4, SQ_TENSOR_I64, .least = INT32_MIN, .most = INT32_MAX },
    [SQ_STORED_U32] = { "U32", "u4", 4, SQ_TENSOR_I64, .least = 0, .most = UINT32_MAX },
    [SQ_STORED_F32] = { "F32", "f4", 4, SQ_TENSOR_F32, .e = 8, .f = 23 },
    [SQ_STORED_F64] = { "F64", "f8", 8, SQ_TENSOR_F64, .e = 11, .f = 52 },
    [SQ_STORED_I64] = { "I64", "i8", 8, SQ_TENSOR_I64, .least = INT64_MIN, .most = INT64_MAX },
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static const format *format_of(sq_stored stored)
{
    bool known = stored > SQ_STORED_AS_HELD && (unsigned)stored < N_FORMATS;
    return known ? &formats[stored] : NULL;
}

/* ---- Names and sizes --------------------------------------------------------------------- */

const char *sq_stored_name(sq_stored stored)
{
    const format *f = format_of(stored);
    return f ? f->name : NULL;
}

const char *sqi_stored_npy(sq_stored stored) { return formats[stored].npy; }
size_t sqi_stored_size(sq_stored stored) { return formats[stored].size; }
sq_tensor_type sqi_stored_held(sq_stored stored) { return formats[stored].held; }

sq_stored sqi_stored_by_name(const char *name)
{
    for (unsigned i = 1; i < N_FORMATS; i++)
        if (strcmp(name, formats[i].name) == 0) return (sq_stored)i;
    return SQ_STORED_AS_HELD;
}

sq_stored sqi_stored_by_npy(const char *code)
{
    for (unsigned i = 1; i < N_FORMATS; i++)
        if (formats[i].npy && strcmp(code, formats[i].npy) == 0) return (sq_stored)i;
    return SQ_STORED_AS_HELD;
}

sq_stored sqi_stored_as_held(sq_tensor_type type)
{
    static const sq_stored same[] = { SQ_STORED_F32, SQ_STORED_F64, SQ_STORED_I64 };
    return same[type];
}

bool sqi_stored_fits(sq_stored stored, sq_tensor_type type)
{
    const format *f = format_of(stored);
    return f && (f->held == SQ_TENSOR_I64) == (type == SQ_TENSOR_I64);
}

/* ---- Bits -------------------------------------------------------------------------------- */

static uint64_t ones(int n) { return ((uint64_t)1 << n) - 1; }

/* The bits of a float of one format as another has them. */
static uint64_t refloat(uint64_t bits, const format *from, const format *to)
{
    uint64_t sign = (bits >> (from->e + from->f) & 1) << (to->e + to->f);
    uint64_t infinite = ones(to->e) << to->f, fraction = bits & ones(from->f);
    int exponent = (int)(bits >> from->f & ones(from->e)), more = to->f - from->f;
    if ((uint64_t)exponent == ones(from->e)) { /* infinite, NaN */
        uint64_t payload = more >= 0 ? fraction << more : fraction >> -more;
        if (fraction && !payload) payload = (uint64_t)1 << (to->f - 1);
        return sign | infinite | payload;
    }
    if (exponent == 0 && fraction == 0) return sign;
    if (exponent == 0) exponent = 1; /* subnormal: 0.fraction */
    else fraction |= (uint64_t)1 << from->f;
    /* fraction / 2^62 in [1,2), times 2^(exponent - bias of `to`) */
    int up = __builtin_clzll(fraction) - 1, drop = 62 - to->f;
    fraction <<= up;
    exponent += 62 - up - from->f + (int)ones(to->e - 1) - (int)ones(from->e - 1);
    if (exponent < 1) { /* subnormal there */
        drop += 1 - exponent;
        exponent = 1;
    }
    if (drop > 63) return sign; /* below half of the least */
    uint64_t kept = fraction >> drop, rest = fraction & ones(drop),
             half = (uint64_t)1 << (drop - 1);
    kept += rest > half || (rest == half && (kept & 1));
    kept += (uint64_t)(exponent - 1) << to->f; /* the leading 1 counts the exponent up */
    return sign | (kept < infinite ? kept : infinite);
}

static bool is_finite(uint64_t bits, const format *f)
{
    return (bits >> f->f & ones(f->e)) != ones(f->e);
}

void sqi_swap_bytes(unsigned char *bytes, int64_t n, size_t size)
{
    for (; n > 0; n--, bytes += size)
        for (size_t i = 0; i < size / 2; i++) {
            unsigned char one = bytes[i];
            bytes[i] = bytes[size - 1 - i];
            bytes[size - 1 - i] = one;
        }
}

/* ---- From a file ------------------------------------------------------------------------- */

/* What is stored as it is held. Sizes are written out so that compilers see one load in each. */
static void unpack_same(void *to, const unsigned char *from, int64_t n, size_t size)
{
    unsigned char *at = to;
    for (int64_t i = 0; size == 4 && i < n; i++) {
        uint32_t value = (uint32_t)sqi_little_endian(from + 4 * i, 4);
        memcpy(at + 4 * i, &value, sizeof value);
    }
    for (int64_t i = 0; size == 8 && i < n; i++) {
        uint64_t value = sqi_little_endian(from + 8 * i, 8);
        memcpy(at + 8 * i, &value, sizeof value);
    }
}

/* F16 and BF16, held as float. */
static void unpack_narrow(float *to, const unsigned char *from, int64_t n, const format *f)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits =
            (uint32_t)refloat(sqi_little_endian(from + 2 * i, 2), f, &formats[SQ_STORED_F32]);
        memcpy(&to[i], &bits, sizeof bits);
    }
}

/* Subtracting the sign's weight twice makes numbers with a sign of those without. */
static bool unpack_whole(int64_t *to, const unsigned char *from, int64_t n, const format *f)
{
    int64_t weight = f->least < 0 ? (int64_t)1 << (8 * f->size - 1) : 0;
    bool fits = true;
    for (int64_t i = 0; i < n; i++) {
        int64_t x = (int64_t)sqi_little_endian(from + (size_t)i * f->size, f->size);
        to[i] = x & weight ? x - 2 * weight : x;
        fits = fits && to[i] >= f->least && to[i] <= f->most;
    }
    return fits;
}

bool sqi_unpack(sq_stored stored, void *to, const unsigned char *from, int64_t n)
{
    const format *f = &formats[stored];
    if (stored == sqi_stored_as_held(f->held)) unpack_same(to, from, n, f->size);
    else if (f->held != SQ_TENSOR_I64) unpack_narrow(to, from, n, f);
    else return unpack_whole(to, from, n, f);
    return true;
}

/* ---- To a file --------------------------------------------------------------------------- */

/* The bits of the i-th number as it is held. */
static uint64_t bits_of(const sq_tensor *t, int64_t i)
{
    uint32_t narrow;
    uint64_t wide;
    if (t->type == SQ_TENSOR_F32) {
        memcpy(&narrow, (const float *)t->values + i, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, (const unsigned char *)t->values + 8 * i, sizeof wide);
    return wide;
}

/* False when the number cannot be had in the format, not even rounded. */
static bool narrowed(uint64_t *bits, const format *held, const format *f)
{
    if (held == f) return true;
    if (f->held == SQ_TENSOR_I64)
        return (int64_t)*bits >= f->least && (int64_t)*bits <= f->most;
    uint64_t before = *bits;
    *bits = refloat(before, held, f);
    return is_finite(*bits, f) || !is_finite(before, held);
}

int64_t sqi_pack(const sq_tensor *t, int64_t first, int64_t n, unsigned char *to)
{
    const format *f = &formats[t->stored], *held = &formats[sqi_stored_as_held(t->type)];
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = bits_of(t, first + i);
        if (!narrowed(&bits, held, f)) return i;
        /* the usual sizes written out, as in unpack_same */
        if (f->size == 4) sqi_put_little_endian(to + 4 * i, bits, 4);
        else if (f->size == 8) sqi_put_little_endian(to + 8 * i, bits, 8);
        else sqi_put_little_endian(to + (size_t)i * f->size, bits, f->size);
    }
    return n;
}

const char *sqi_misfit_text(const sq_tensor *t, int64_t i, char buf[SQI_MISFIT])
{
    const char *name = formats[t->stored].name;
    double x = t->type == SQ_TENSOR_F32   ? (double)((const float *)t->values)[i]
               : t->type == SQ_TENSOR_F64 ? ((const double *)t->values)[i]
                                          : 0;
    if (t->type == SQ_TENSOR_I64)
        (void)snprintf(buf, SQI_MISFIT, "holds %" PRId64 ", outside the range of %s",
                       ((const int64_t *)t->values)[i], name);
    else (void)snprintf(buf, SQI_MISFIT, "holds %g, outside the range of %s", x, name);
    return buf;
}
