/* test_io_forms.c -- the forms numbers have in files: what is widened is exact, what is made
 * narrower is the nearest, and what has no room is refused. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "tests/support/files.h"

#include "core/io_impl.h"
#include "tests/golden/npy.h"
#include "tests/golden/safetensors.h"

TestSuite(io_forms, .init = enter, .fini = leave);

/* The value of bits by the definition: exact in double for every format here. */
static double value_of(uint32_t bits, int e, int f)
{
    uint32_t exponent = bits >> f & ((1u << e) - 1), fraction = bits & ((1u << f) - 1);
    double sign = bits >> (e + f) & 1 ? -1 : 1, bias = (1 << (e - 1)) - 1;
    if (exponent == (1u << e) - 1) return fraction ? (double)NAN : sign * HUGE_VAL;
    if (exponent == 0) return sign * ldexp(fraction, (int)(1 - bias) - f);
    return sign * ldexp(1 + ldexp(fraction, -f), (int)exponent - (int)bias);
}

static const struct {
    sq_stored stored;
    int e, f;
} halves[] = { { SQ_STORED_F16, 5, 10 }, { SQ_STORED_BF16, 8, 7 } };

static void put_u16(unsigned char *to, uint32_t bits)
{
    to[0] = (unsigned char)bits;
    to[1] = (unsigned char)(bits >> 8);
}

static uint32_t u16_of(const unsigned char *from) { return from[0] | (uint32_t)from[1] << 8; }

/* NaN keeps its payload: all 65536 patterns come back. */
Test(io_forms, every_half_is_widened_exactly_and_comes_back)
{
    enum { ALL = 65536 };
    static unsigned char bytes[2 * ALL], back[2 * ALL];
    static float x[ALL];
    for (uint32_t i = 0; i < ALL; i++) put_u16(bytes + 2 * i, i);
    for (int k = 0; k < COUNT(halves); k++) {
        cr_assert(sqi_unpack(halves[k].stored, x, bytes, ALL));
        int wrong = 0;
        for (uint32_t i = 0; i < ALL; i++) {
            double want = value_of(i, halves[k].e, halves[k].f);
            bool same =
                want != want ? x[i] != x[i] : x[i] == want && !signbit(x[i]) == !signbit(want);
            wrong += !same;
        }
        cr_expect(wrong == 0, "%s: %d", sq_stored_name(halves[k].stored), wrong);
        sq_tensor t = { "", SQ_TENSOR_F32, halves[k].stored, 1, { ALL }, ALL, x };
        cr_assert(sqi_pack(&t, 0, ALL, back) == ALL);
        EXPECT_SAME_BITS(back, bytes, sizeof bytes, sq_stored_name(halves[k].stored));
    }
}

/* One number through a form, infinite where it is refused. */
static uint32_t half_of(double x, sq_tensor_type type, sq_stored stored)
{
    const float single = (float)x;
    unsigned char bytes[2];
    sq_tensor t = { .type = type, .stored = stored, .count = 1, .values = &x };
    if (type == SQ_TENSOR_F32) t.values = &single;
    if (sqi_pack(&t, 0, 1, bytes) == 1) return u16_of(bytes);
    uint32_t infinite = stored == SQ_STORED_F16 ? 0x7C00 : 0x7F80;
    return infinite | (signbit(x) ? 0x8000 : 0);
}

Test(io_forms, rounding_is_that_of_exact_fractions)
{
    for (int i = 0; i < COUNT(halves_golden); i++) {
        double x;
        memcpy(&x, &halves_golden[i].wide, sizeof x);
        uint32_t f16 = half_of(x, SQ_TENSOR_F64, SQ_STORED_F16),
                 bf16 = half_of(x, SQ_TENSOR_F64, SQ_STORED_BF16);
        cr_expect(f16 == halves_golden[i].f16, "F16 of %a: %x", x, f16);
        cr_expect(bf16 == halves_golden[i].bf16, "BF16 of %a: %x", x, bf16);
        if ((double)(float)x != x) continue;
        cr_expect(half_of(x, SQ_TENSOR_F32, SQ_STORED_F16) == f16, "F16 of float %a", x);
        cr_expect(half_of(x, SQ_TENSOR_F32, SQ_STORED_BF16) == bf16, "BF16 of float %a", x);
    }
}

/* Between two neighbours the middle goes to the even one, what is beside it to the nearer. */
Test(io_forms, every_middle_goes_to_even)
{
    for (int k = 0; k < COUNT(halves); k++) {
        int e = halves[k].e, f = halves[k].f;
        int wrong = 0;
        for (uint32_t i = 0; i + 1 < ((1u << e) - 1) << f; i++) {
            double low = value_of(i, e, f), high = value_of(i + 1, e, f),
                   mid = (low + high) / 2;
            uint32_t even = i & 1 ? i + 1 : i;
            wrong += half_of(mid, SQ_TENSOR_F64, halves[k].stored) != even;
            wrong += half_of(nextafter(mid, 0), SQ_TENSOR_F64, halves[k].stored) != i;
            wrong += half_of(nextafter(mid, 1e308), SQ_TENSOR_F64, halves[k].stored) != i + 1;
            wrong += half_of(-mid, SQ_TENSOR_F64, halves[k].stored) != (even | 0x8000);
        }
        cr_expect(wrong == 0, "%s: %d", sq_stored_name(halves[k].stored), wrong);
    }
}

/* The processor rounds double to float the same way. */
Test(io_forms, double_to_float_is_the_processors)
{
    rng r = { 3 };
    int wrong = 0;
    for (int i = 0; i < FEWER(200000); i++) {
        uint64_t bits = rng_bits(&r);
        if (i % 2)
            bits = (bits & ~(0x7FFULL << 52)) | (uint64_t)(860 + rng_below(&r, 300)) << 52;
        double x;
        float got, want;
        unsigned char bytes[4];
        memcpy(&x, &bits, sizeof x);
        want = (float)x;
        if (x != x) continue;
        sq_tensor t = {
            .type = SQ_TENSOR_F64, .stored = SQ_STORED_F32, .count = 1, .values = &x
        };
        bool fits = sqi_pack(&t, 0, 1, bytes) == 1;
        if (fits) cr_assert(sqi_unpack(SQ_STORED_F32, &got, bytes, 1));
        wrong += fits ? memcmp(&got, &want, sizeof got) != 0 : !(isinf(want) && !isinf(x));
    }
    cr_expect(wrong == 0, "%d", wrong);
}

/* ---- Files --------------------------------------------------------------------------------- */

static void add(sq_bundle *b, const char *name, sq_tensor_type type, sq_stored stored,
                sq_shape shape, const void *values)
{
    sq_tensor t = { .name = name, .type = type, .stored = stored, .values = values };
    t.rank = shape.rank;
    for (int i = 0; i < shape.rank; i++) t.dim[i] = shape.dim[i];
    sq_bundle_add(b, &t);
}

static sq_bundle *forms(void)
{
    const float inf = INFINITY, nan = NAN;
    const double tenth = 0.1;
    sq_bundle *b = sq_bundle_new();
    add(b, "half", SQ_TENSOR_F32, SQ_STORED_F16, sq_mat(2, 4),
        (float[]){ 1, -0.0f, 65504, -inf, 0x1p-24f, 0x1p-14f, -1023 * 0x1p-24f, nan });
    add(b, "brain", SQ_TENSOR_F32, SQ_STORED_BF16, sq_vec(7),
        (float[]){ 1, -0.0f, 255 * 0x1p120f, -inf, 0x1p-133f, -0x1p-126f, nan });
    add(b, "single", SQ_TENSOR_F32, SQ_STORED_AS_HELD, sq_vec(1), (float[]){ 0.1f });
    add(b, "double", SQ_TENSOR_F64, SQ_STORED_F64, sq_scalar(), &tenth);
    add(b, "i64", SQ_TENSOR_I64, SQ_STORED_I64, sq_vec(1), (int64_t[]){ INT64_MIN });
    add(b, "i32", SQ_TENSOR_I64, SQ_STORED_I32, sq_vec(2), (int64_t[]){ INT32_MIN, INT32_MAX });
    add(b, "u32", SQ_TENSOR_I64, SQ_STORED_U32, sq_vec(2), (int64_t[]){ 0, UINT32_MAX });
    add(b, "u16", SQ_TENSOR_I64, SQ_STORED_U16, sq_vec(3), (int64_t[]){ 0, 1, 65535 });
    add(b, "i16", SQ_TENSOR_I64, SQ_STORED_I16, sq_mat(3, 1), (int64_t[]){ -32768, -1, 32767 });
    add(b, "i8", SQ_TENSOR_I64, SQ_STORED_I8, sq_vec(3), (int64_t[]){ -128, -1, 127 });
    add(b, "u8", SQ_TENSOR_I64, SQ_STORED_U8, sq_vec(2), (int64_t[]){ 0, 255 });
    add(b, "bool", SQ_TENSOR_I64, SQ_STORED_BOOL, sq_vec(3), (int64_t[]){ 1, 0, 1 });
    add(b, "none", SQ_TENSOR_F32, SQ_STORED_BF16, sq_mat(0, 3), NULL);
    ASSERT_BUNDLE(b);
    return b;
}

Test(io_forms, the_bytes_are_those_of_an_independent_writer)
{
    sq_bundle *b = forms();
    unsigned char bytes[2 * sizeof golden_forms];
    SAVE(b, "a");
    cr_assert(take("a", bytes, sizeof bytes) == sizeof golden_forms);
    EXPECT_SAME_BITS(bytes, golden_forms, sizeof golden_forms, "the files");
    sq_bundle_free(b);
}

/* What a bundle was loaded from it is saved as. */
Test(io_forms, files_of_others_are_read_and_come_back)
{
    sq_bundle *want = forms(), *b = sq_bundle_load_bytes(golden_forms, sizeof golden_forms);
    ASSERT_BUNDLE(b);
    cr_assert(sq_bundle_count(b) == sq_bundle_count(want));
    for (int64_t i = 0; i < sq_bundle_count(want); i++) {
        const sq_tensor *t = sq_bundle_at(want, i), *u = sq_bundle_find(b, t->name);
        cr_assert(u && u->type == t->type && u->stored == t->stored && u->count == t->count,
                  "%s", t->name);
        cr_expect(u->rank == t->rank && memcmp(u->dim, t->dim, sizeof t->dim) == 0);
        size_t bytes = (size_t)t->count * sqi_tensor_size(t->type);
        EXPECT_SAME_BITS(u->values, t->values, bytes, t->name);
    }
    unsigned char bytes[2 * sizeof golden_forms];
    SAVE(b, "a");
    cr_assert(take("a", bytes, sizeof bytes) == sizeof golden_forms);
    EXPECT_SAME_BITS(bytes, golden_forms, sizeof golden_forms, "again");
    sq_bundle_free(b);
    sq_bundle_free(want);
}

Test(io_forms, half_weights_come_to_params_of_either_precision)
{
    static const float w[4] = { 1.5f, -65504, 0x1p-24f, 0 };
    for (int d = 0; d < 2; d++) {
        sq_params *p = sq_params_new((sq_dtype)d);
        double got[4];
        sq_weight W = sq_params_add(p, "W", sq_mat(2, 2));
        sq_bundle *b = sq_bundle_new();
        add(b, "m.W", SQ_TENSOR_F32, SQ_STORED_F16, sq_mat(2, 2), w);
        SAVE(b, "a");
        sq_bundle *back = sq_bundle_load("a");
        sq_bundle_get_params(back, "m", p);
        ASSERT_BUNDLE(back);
        cr_assert(sq_weight_get_f64(p, W, got) == SQ_OK);
        for (int i = 0; i < 4; i++) cr_expect(got[i] == (double)w[i]);
        sq_bundle_free(b);
        sq_bundle_free(back);
        sq_params_free(p);
    }
}

Test(io_forms, a_prefix_is_stored_as_asked)
{
    sq_bundle *b = sq_bundle_new();
    const double x[2] = { 1.0 + 0x1p-11, -3 };
    const int64_t n = 5;
    sq_bundle_add_f64(b, "m.W", sq_vec(2), x);
    sq_bundle_add_f64(b, "mm", sq_vec(2), x);
    sq_bundle_add_i64(b, "m.age", sq_scalar(), &n);
    sq_bundle_store_as(b, "m", SQ_STORED_F16);
    ASSERT_BUNDLE(b);
    cr_expect(sq_bundle_find(b, "m.W")->stored == SQ_STORED_F16);
    cr_expect(sq_bundle_find(b, "mm")->stored == SQ_STORED_F64);
    cr_expect(sq_bundle_find(b, "m.age")->stored == SQ_STORED_I64);
    sq_bundle_store_as(b, "m.age", SQ_STORED_U8);
    double first = *(const double *)sq_bundle_find(b, "m.W")->values;
    cr_expect(first == x[0]);
    SAVE(b, "a");
    sq_bundle *back = sq_bundle_load("a");
    ASSERT_BUNDLE(back);
    const sq_tensor *W = sq_bundle_find(back, "m.W"), *age = sq_bundle_find(back, "m.age");
    cr_expect(W->type == SQ_TENSOR_F32 && ((const float *)W->values)[0] == 1);
    cr_expect(age->stored == SQ_STORED_U8 && *(const int64_t *)age->values == 5);
    sq_bundle_store_as(b, NULL, SQ_STORED_AS_HELD);
    cr_expect(sq_bundle_find(b, "m.W")->stored == SQ_STORED_F64);
    cr_expect(sq_bundle_find(b, "m.age")->stored == SQ_STORED_I64);
    cr_expect(sq_bundle_store_as(b, "mm", SQ_STORED_I32) == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "nothing under \"mm\" can be stored as I32");
    cr_expect(sq_bundle_store_as(b, "x", SQ_STORED_AS_HELD) == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "nothing under \"x\" can be stored as it is held");
    cr_expect(sq_bundle_store_as(b, "", (sq_stored)99) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "99 is no form");
    cr_expect(sq_stored_name(SQ_STORED_AS_HELD) == NULL);
    cr_expect(sq_stored_name((sq_stored)99) == NULL && sq_stored_name((sq_stored)-1) == NULL);
    sq_bundle_free(b);
    sq_bundle_free(back);
}

/* The old file stays, nothing lies beside it. */
Test(io_forms, what_has_no_room_is_refused)
{
    const struct {
        double x;
        int64_t n;
        sq_stored stored;
        const char *says;
    } cases[] = {
        { 65520, 0, SQ_STORED_F16, "tensor \"x\" holds 65520, outside the range of F16" },
        { -1e39, 0, SQ_STORED_BF16, "holds -1e+39, outside the range of BF16" },
        { 3.5e38, 0, SQ_STORED_F32, "holds 3.5e+38, outside the range of F32" },
        { 0, 256, SQ_STORED_U8, "tensor \"n\" holds 256, outside the range of U8" },
        { 0, -1, SQ_STORED_U32, "holds -1, outside the range of U32" },
        { 0, 2, SQ_STORED_BOOL, "holds 2, outside the range of BOOL" },
        { 0, INT64_MIN, SQ_STORED_I32, "holds -9223372036854775808, outside the range of I32" },
    };
    put("a", "old", 3);
    for (int i = 0; i < COUNT(cases); i++) {
        sq_bundle *b = sq_bundle_new();
        double x[20000] = { 0 };
        x[19998] = cases[i].x; /* in the last chunk */
        sq_bundle_add_f64(b, "x", sq_vec(20000), x);
        sq_bundle_add_i64(b, "n", sq_scalar(), &cases[i].n);
        sq_bundle_store_as(b, NULL, cases[i].stored);
        ASSERT_BUNDLE(b);
        cr_expect(sq_bundle_save(b, "a") == SQ_EVALUE);
        EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, cases[i].says);
        unsigned char bytes[8];
        cr_expect(take("a", bytes, sizeof bytes) == 3 && files_here() == 1);
        sq_bundle_free(b);
    }
}

Test(io_forms, what_cannot_be_added)
{
    sq_bundle *b = sq_bundle_new();
    const double one = 1;
    add(b, "a", SQ_TENSOR_F64, SQ_STORED_I32, sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "tensor \"a\" holds floats, which I32 is not for");
    add(b, "a", SQ_TENSOR_I64, SQ_STORED_BF16, sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE,
                        "tensor \"a\" holds whole numbers, which BF16 is not for");
    add(b, "a", SQ_TENSOR_F64, (sq_stored)77, sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "tensor \"a\" has the unknown form 77");
    add(b, "a", SQ_TENSOR_F64, (sq_stored)-1, sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "the unknown form -1");
    cr_expect(sq_bundle_count(b) == 0);
    put_header("a", "{\"x\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1);
    put_header("b", "{\"x\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    unsigned char bytes[128];
    size_t n = take("b", bytes, sizeof bytes);
    bytes[n - 1] = 2;
    sq_bundle *bad = sq_bundle_load_bytes(bytes, n);
    EXPECT_BUNDLE_ERROR(bad, SQ_EFILE, "\"(memory)\": tensor \"x\" holds a BOOL that is none");
    cr_expect(sq_bundle_count(bad) == 0);
    sq_bundle_free(bad);
    sq_bundle_free(b);
}

Test(io_forms, memory_is_read_as_files_are)
{
    const struct {
        const void *bytes;
        size_t n;
        sq_status status;
        const char *says;
    } cases[] = {
        { NULL, 3, SQ_EVALUE, "\"(memory)\": there are no bytes" },
        { NULL, 0, SQ_EFILE, "\"(memory)\": is empty" },
        { "1234567", 7, SQ_EFILE, "it has 7 bytes only" },
        { "\x03\0\0\0\0\0\0\0{}", 10, SQ_EFILE, "3 bytes, longer than the rest" },
        { "", SIZE_MAX, SQ_EVALUE, "larger than any memory" },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        sq_bundle *b = sq_bundle_load_bytes(cases[i].bytes, cases[i].n);
        EXPECT_BUNDLE_ERROR(b, cases[i].status, cases[i].says);
        sq_bundle_free(b);
    }
}
