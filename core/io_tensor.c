/* io_tensor.c -- what there is to know of one tensor in memory: type, size, conversion, and how
 * sentences show it. */
#define _POSIX_C_SOURCE 200809L /* strerror_r */
#include "core/io_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Types and sizes --------------------------------------------------------------------- */

static const size_t sizes[] = {
    [SQ_TENSOR_F32] = sizeof(float),
    [SQ_TENSOR_F64] = sizeof(double),
    [SQ_TENSOR_I64] = sizeof(int64_t),
};
enum { N_TYPES = sizeof sizes / sizeof sizes[0] };

size_t sqi_tensor_size(sq_tensor_type type)
{
    return (unsigned)type < N_TYPES ? sizes[type] : 0;
}
sq_tensor_type sqi_tensor_type_of(sq_dtype dtype)
{
    return dtype == SQ_F32 ? SQ_TENSOR_F32 : SQ_TENSOR_F64;
}

/* A size of 0 leaves the others checked on their own, as in a shape. */
bool sqi_tensor_count(sq_tensor *t)
{
    const int64_t most = (int64_t)(PTRDIFF_MAX / (ptrdiff_t)sizeof(double));
    int64_t product = 1;
    bool nothing = false;
    for (int32_t i = 0; i < t->rank; i++) {
        int64_t n = t->dim[i];
        if (n < 0 || n > most) return false;
        if (n == 0) nothing = true;
        else if (__builtin_mul_overflow(product, n, &product) || product > most) return false;
    }
    t->count = nothing ? 0 : product;
    return true;
}

const char *sqi_dims_text(const sq_tensor *t, char buf[SQI_DIMS_TEXT])
{
    size_t used = 0;
    buf[used++] = '[';
    for (int32_t i = 0; i < t->rank && i < SQ_TENSOR_MAX_RANK; i++)
        used += (size_t)snprintf(buf + used, SQI_DIMS_TEXT - used, "%s%" PRId64, i ? "," : "",
                                 t->dim[i]);
    (void)snprintf(buf + used, SQI_DIMS_TEXT - used, "]");
    return buf;
}

sq_tensor sqi_tensor_of(const char *name, sq_tensor_type type, sq_shape shape,
                        const void *values)
{
    sq_tensor t = { .name = name, .type = type, .rank = shape.rank, .values = values };
    for (int32_t i = 0; i < shape.rank && i < SQ_MAX_RANK; i++) t.dim[i] = shape.dim[i];
    return t;
}

/* ---- Conversion: one loop per pair of types ------------------------------------------------ */

typedef void loop(void *to, const void *from, int64_t n);

#define CONVERT(name, to_type, from_type)                     \
    static void name(void *to, const void *from, int64_t n)   \
    {                                                         \
        to_type *y = to;                                      \
        const from_type *x = from;                            \
        for (int64_t i = 0; i < n; i++) y[i] = (to_type)x[i]; \
    }
CONVERT(f32_to_f32, float, float)
CONVERT(f32_to_f64, double, float)
CONVERT(f32_to_i64, int64_t, float)
CONVERT(f64_to_f32, float, double)
CONVERT(f64_to_f64, double, double)
CONVERT(f64_to_i64, int64_t, double)
CONVERT(i64_to_f32, float, int64_t)
CONVERT(i64_to_f64, double, int64_t)
CONVERT(i64_to_i64, int64_t, int64_t)
#undef CONVERT

static loop *const loops[N_TYPES][N_TYPES] = {
    /* [from][to] */
    { f32_to_f32, f32_to_f64, f32_to_i64 },
    { f64_to_f32, f64_to_f64, f64_to_i64 },
    { i64_to_f32, i64_to_f64, i64_to_i64 },
};

/* A whole number in [-2^63, 2^63): in that range truncation is defined. NaN fails too. */
static bool is_int64(double x) { return x >= -0x1p63 && x < 0x1p63 && (double)(int64_t)x == x; }

bool sqi_tensor_convert(sq_tensor_type to_type, void *to, const sq_tensor *from)
{
    bool may_fail = to_type == SQ_TENSOR_I64 && from->type != SQ_TENSOR_I64;
    const float *f = from->values;
    const double *d = from->values;
    for (int64_t i = 0; may_fail && i < from->count; i++)
        if (!is_int64(from->type == SQ_TENSOR_F32 ? (double)f[i] : d[i])) return false;
    loops[from->type][to_type](to, from->values, from->count);
    return true;
}

/* ---- Sentences --------------------------------------------------------------------------- */

char *sqi_copy(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

const char *sqi_shown(const char *text, char buf[SQI_SHOWN])
{
    size_t n = strlen(text), room = SQI_SHOWN - 1;
    const char *dots = "";
    if (n > room) {
        dots = "...";
        text += n - (room - 3);
        while ((*text & 0xC0) == 0x80) text++; /* not in the middle of a character */
    }
    (void)snprintf(buf, SQI_SHOWN, "%s%s", dots, text);
    for (char *c = buf; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
        /* U+0080 .. U+009F, controls of eight bits: C2 80 .. C2 9F */
        bool wide = (unsigned char)c[0] == 0xC2 && ((unsigned char)c[1] & 0xE0) == 0x80;
        if (wide) c[0] = c[1] = '?';
    }
    return buf;
}

const char *sqi_reason(int number, char buf[SQI_REASON])
{
    if (strerror_r(number, buf, SQI_REASON) != 0)
        (void)snprintf(buf, SQI_REASON, "error %d", number);
    return buf;
}
