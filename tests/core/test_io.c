/* test_io.c -- bundles and safetensors files: what goes in comes out, other programs' files are
 * read, and broken ones are refused with a sentence.
 *
 * Every test works in a folder of its own, which it removes. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, mkfifo, truncate */
#include "tests/support/files.h"

#include "tests/golden/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>

/* NAN and INFINITY are floats. */
static const double not_a_number = (double)NAN, infinite = (double)INFINITY;

TestSuite(io, .init = enter, .fini = leave);

/* ---- What the golden files hold, by hand ---- */

static void add_any(sq_bundle *b, const char *name, sq_tensor_type type, int32_t rank,
                    const int64_t *dim, const void *values)
{
    sq_tensor t = { .name = name, .type = type, .rank = rank, .values = values };
    for (int32_t i = 0; i < rank; i++) t.dim[i] = dim[i];
    sq_bundle_add(b, &t);
}

static sq_bundle *golden(void)
{
    const float inf = INFINITY;
    const double pi = 3.141592653589793;
    const int64_t eight[] = { 1, 1, 2, 1, 1, 1, 1, 1 };
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_f32(b, "W", sq_mat(2, 3),
                      (float[]){ 1.5f, -0.0f, inf, -inf, 1e-45f, 3.40282347e38f });
    sq_bundle_add_i64(b, "counts", sq_vec(3), (int64_t[]){ INT64_MIN, INT64_MAX, 0 });
    sq_bundle_add_f64(b, "double", sq_mat(2, 2), (double[]){ 0.1, -2.5e-310, 1e308, -0.0 });
    sq_bundle_add_f64(b, "scalar", sq_scalar(), &pi);
    sq_bundle_add_f64(b, "not a number", sq_vec(1), &not_a_number);
    add_any(b, "eight axes", SQ_TENSOR_I64, 8, eight, (int64_t[]){ 10, -20 });
    sq_bundle_add_f32(b, "nothing", sq_shape3(4, 0, 2), NULL);
    sq_bundle_add_i64(b, "nothing at all", sq_vec(0), NULL);
    sq_bundle_add_f32(b, "na\u00efve \"\\\n", sq_vec(1), (float[]){ 42 });
    sq_bundle_add_f32(b, "odd", sq_vec(1), (float[]){ -7 });
    sq_bundle_add_f32(b, "b", sq_vec(3), (float[]){ .1f, .2f, .3f });
    sq_bundle_set_text(b, "\u00e9\u20ac\U0001f600", "");
    sq_bundle_set_text(b, "format", "to be replaced");
    sq_bundle_set_text(b, "a \"quoted\" key\\", "line\nbreak\ttab\x01\x1f\x7f/");
    sq_bundle_set_text(b, "format", "pt");
    ASSERT_BUNDLE(b);
    return b;
}

static bool same_tensor(const sq_tensor *a, const sq_tensor *b)
{
    size_t size = a->type == SQ_TENSOR_F32 ? 4 : 8;
    return b && strcmp(a->name, b->name) == 0 && a->type == b->type && a->rank == b->rank &&
           memcmp(a->dim, b->dim, sizeof a->dim) == 0 && a->count == b->count &&
           memcmp(a->values, b->values, (size_t)a->count * size) == 0;
}

static void expect_same(const sq_bundle *got, const sq_bundle *want, const char *what)
{
    cr_expect(sq_bundle_count(got) == sq_bundle_count(want), "%s: tensors", what);
    for (int64_t i = 0; i < sq_bundle_count(want); i++) {
        const sq_tensor *t = sq_bundle_at(want, i);
        cr_expect(same_tensor(t, sq_bundle_find(got, t->name)), "%s: \"%s\"", what, t->name);
    }
    cr_expect(sq_bundle_text_count(got) == sq_bundle_text_count(want), "%s: texts", what);
    for (int64_t i = 0; i < sq_bundle_text_count(want); i++) {
        const char *key, *value;
        cr_expect(sq_bundle_text_at(want, i, &key, &value));
        const char *other = sq_bundle_text(got, key);
        cr_expect(other && strcmp(other, value) == 0, "%s: text \"%s\"", what, key);
    }
}

Test(io, the_bytes_are_those_of_an_independent_writer)
{
    sq_bundle *b = golden();
    SAVE(b, "a");
    unsigned char bytes[2 * sizeof golden_ours];
    cr_assert(take("a", bytes, sizeof bytes) == sizeof golden_ours);
    EXPECT_SAME_BITS(bytes, golden_ours, sizeof golden_ours, "the files");
    sq_bundle_free(b);
}

Test(io, files_of_others_are_read)
{
    sq_bundle *want = golden();
    put("ours", golden_ours, sizeof golden_ours);
    put("foreign", golden_foreign, sizeof golden_foreign);
    const char *paths[] = { "ours", "foreign" };
    for (int i = 0; i < COUNT(paths); i++) {
        sq_bundle *b = sq_bundle_load(paths[i]);
        ASSERT_BUNDLE(b);
        expect_same(b, want, paths[i]);
        SAVE(b, "again");
        unsigned char bytes[2 * sizeof golden_ours];
        cr_assert(take("again", bytes, sizeof bytes) == sizeof golden_ours);
        EXPECT_SAME_BITS(bytes, golden_ours, sizeof golden_ours, paths[i]);
        sq_bundle_free(b);
    }
    sq_bundle_free(want);
}

Test(io, the_order_of_a_loaded_bundle_is_that_of_the_data)
{
    put_header("a",
               "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
               "\"y\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
               12);
    sq_bundle *b = sq_bundle_load("a");
    ASSERT_BUNDLE(b);
    EXPECT_TEXT(sq_bundle_at(b, 0)->name, "y");
    EXPECT_TEXT(sq_bundle_at(b, 1)->name, "x");
    cr_expect(sq_bundle_at(b, 2) == NULL && sq_bundle_at(b, -1) == NULL);
    sq_bundle_free(b);
}

Test(io, nothing_is_a_file_too)
{
    sq_bundle *b = sq_bundle_new();
    SAVE(b, "a");
    unsigned char bytes[32];
    cr_expect(take("a", bytes, sizeof bytes) == 16);
    EXPECT_SAME_BITS(bytes, "\x08\0\0\0\0\0\0\0{}      ", 16, "an empty file");
    sq_bundle_set_text(b, "k", "v");
    SAVE(b, "a");
    sq_bundle *again = sq_bundle_load("a");
    ASSERT_BUNDLE(again);
    cr_expect(sq_bundle_count(again) == 0);
    EXPECT_TEXT(sq_bundle_text(again, "k"), "v");
    sq_bundle_free(again);
    sq_bundle_free(b);
    sq_bundle_free(NULL);
}

/* ---- Random bundles ---- */

/* Code points of one to four bytes, quotes and control characters among them. */
static void random_name(rng *r, char *to, int serial)
{
    static const char *const pieces[] = { "a", "Z", "0",      "\"",     "\\",         "/",
                                          ".", " ", "\n",     "\x01",   "\x7f",       "{",
                                          "}", "_", "\u00e9", "\u20ac", "\U0001f600", "," };
    to += sprintf(to, "%d", serial);
    for (int i = rng_below(r, 12); i > 0; i--)
        to += sprintf(to, "%s", pieces[rng_below(r, COUNT(pieces))]);
}

/* Fills a bundle with n tensors, from the first to the last or the other way round. */
static sq_bundle *random_bundle(uint64_t seed, int n, bool backwards)
{
    sq_bundle *b = sq_bundle_new();
    for (int k = 0; k < n; k++) {
        int serial = backwards ? n - 1 - k : k;
        rng r = { seed * 1000 + (uint64_t)serial };
        char name[96], text[96];
        uint64_t bits[256];
        sq_tensor t = { .name = name, .rank = rng_below(&r, 5), .values = bits };
        t.type = (sq_tensor_type)rng_below(&r, 3);
        for (int32_t i = 0; i < t.rank; i++)
            t.dim[i] = rng_below(&r, 10) ? rng_below(&r, 4) + 1 : 0;
        for (int i = 0; i < COUNT(bits); i++) bits[i] = rng_bits(&r);
        random_name(&r, name, serial);
        random_name(&r, text, serial);
        sq_bundle_add(b, &t);
        if (serial % 3 == 0) sq_bundle_set_text(b, text, name);
    }
    ASSERT_BUNDLE(b);
    return b;
}

/* Values are random bits: every NaN must come back as it was. */
Test(io, random_bundles_come_back_in_every_bit)
{
    static unsigned char one[1 << 18], other[1 << 18];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        int n = (int)(seed % 30);
        sq_bundle *b = random_bundle(seed, n, false), *back = random_bundle(seed, n, true);
        SAVE(b, "one");
        SAVE(back, "other");
        size_t size = take("one", one, sizeof one);
        cr_assert(size < sizeof one && size == take("other", other, sizeof other));
        EXPECT_SAME_BITS(one, other, size, "files of the same contents");
        sq_bundle *loaded = sq_bundle_load("one");
        ASSERT_BUNDLE(loaded);
        expect_same(loaded, b, "loaded");
        sq_bundle_free(loaded);
        sq_bundle_free(back);
        sq_bundle_free(b);
    }
}

/* ---- Reading what is broken ---- */

#define T_(name, dtype, shape, offsets)                                                      \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" offsets \
    "]}"

static const struct {
    const char *header;
    size_t data;
    const char *says;
} bad[] = {
    /* JSON */
    { "[]", 0, "byte 0: { is missing" },
    { " {}", 0, "byte 0: { is missing" },
    { "{", 0, "too short" },
    { "{ ", 0, "byte 2: a string is missing" },
    { "{} x", 0, "byte 3: something follows the end" },
    { "{}\n", 0, "byte 2: something follows the end" },
    { "{}{}", 0, "byte 2: something follows" },
    { "{\"a\"}", 0, ": is missing" },
    { "{\"a\":1}", 0, "byte 5: { is missing" },
    { "{\"a\":{}", 0, "tensor \"a\" has no dtype" },
    { "{\"a\":{\"dtype\":\"F32\"}}", 0, "tensor \"a\" has no shape" },
    { "{\"a\":{\"shape\":[],\"dtype\":\"F32\"}}", 4, "tensor \"a\" has no data_offsets" },
    { "{" T_("a", "F32", "1", "0,4") "", 4, "} or , is missing" },
    { "{" T_("a", "F32", "1", "0,4") ",}", 4, "a string is missing" },
    { "{" T_("a", "F32", "1,", "0,4") "}", 4, "a whole number" },
    { "{" T_("a", "F32", "1 1", "0,4") "}", 4, "] or , is missing" },
    { "{" T_("a", "F32", "1", "0") "}", 4, ", is missing" },
    { "{" T_("a", "F32", "1", "0,4,8") "}", 4, "] or , is missing" },
    { "{" T_("a", "F32", "-1", "0,4") "}", 4, "a whole number without a sign" },
    { "{" T_("a", "F32", "+1", "0,4") "}", 4, "a whole number" },
    { "{" T_("a", "F32", "1.0", "0,4") "}", 4, "] or , is missing" },
    { "{" T_("a", "F32", "1e0", "0,4") "}", 4, "] or , is missing" },
    { "{" T_("a", "F32", "01", "0,4") "}", 4, "a number begins with 0" },
    { "{" T_("a", "F32", "\"1\"", "0,4") "}", 4, "a whole number" },
    { "{" T_("a", "F32", "9223372036854775808", "0,4") "}", 4, "a number is too large" },
    { "{" T_("a", "F32", "null", "0,4") "}", 4, "a whole number" },
    { "{'a':{}}", 0, "a string is missing" },
    { "{\"a", 0, "a string does not end" },
    { "{\"a\\\"", 0, "a string does not end" },
    { "{\"a\n\":{}}", 0, "a control character" },
    { "{\"\\x\":{}}", 0, "followed by no escape" },
    { "{\"\\", 0, "followed by no escape" },
    { "{\"\\u12", 0, "four hexadecimal digits" },
    { "{\"\\u12g4\":{}}", 0, "four hexadecimal digits" },
    { "{\"\\u0000\":{}}", 0, "the character 0" },
    { "{\"\\ud800\":{}}", 0, "a surrogate stands alone" },
    { "{\"\\ud800\\n\":{}}", 0, "a surrogate stands alone" },
    { "{\"\\ud800\\u0041\":{}}", 0, "a surrogate stands alone" },
    { "{\"\\udc00\":{}}", 0, "a surrogate stands alone" },
    { "{\"\\ud800\\ud800\":{}}", 0, "a surrogate stands alone" },
    /* UTF-8: cut, overlong, a surrogate, above 10FFFF, stray bytes */
    { "{\"\xc3\":{}}", 0, "header: not UTF-8" },
    { "{\"\xc0\xaf\":{}}", 0, "header: not UTF-8" },
    { "{\"\xe0\x80\xaf\":{}}", 0, "header: not UTF-8" },
    { "{\"\xed\xa0\x80\":{}}", 0, "header: not UTF-8" },
    { "{\"\xf0\x8f\xbf\xbf\":{}}", 0, "header: not UTF-8" },
    { "{\"\xf4\x90\x80\x80\":{}}", 0, "header: not UTF-8" },
    { "{\"\xf0\x9f\x98\":{}}", 0, "header: not UTF-8" },
    { "{\"\x80\":{}}", 0, "header: not UTF-8" },
    { "{\"\xff\":{}}", 0, "header: not UTF-8" },
    { "{} \xe2\x82", 0, "header: not UTF-8" },
    /* Fields */
    { "{" T_("a", "U64", "1", "0,8") "}", 8, "tensor \"a\" has dtype \"U64\"; F16, BF16" },
    { "{" T_("a", "F8_E4M3", "1", "0,1") "}", 1, "tensor \"a\" has dtype \"F8_E4M3\"; F16" },
    { "{" T_("a", "f32", "1", "0,4") "}", 4, "has dtype \"f32\"" },
    { "{" T_("a", "F3", "1", "0,4") "}", 4, "has dtype \"F3\"" },
    { "{" T_("a", "", "1", "0,4") "}", 4, "has dtype \"\"" },
    { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, "\"a\" has two dtypes" },
    { "{\"a\":{\"shape\":[],\"shape\":[]}}", 0, "\"a\" has two shapes" },
    { "{\"a\":{\"data_offsets\":[0,0],\"data_offsets\":[0,0]}}", 0, "data_offsets twice" },
    { "{\"a\":{\"dtyp\":\"F32\"}}", 0, "tensor \"a\" has a field that is none of" },
    { "{" T_("a", "F32", "1,1,1,1,1,1,1,1,1", "0,4") "}", 4, "more than 8 axes" },
    /* Sizes and places */
    { "{" T_("a", "F32", "2", "0,4") "}", 4, "has 4 bytes, but F32 [2] takes 8" },
    { "{" T_("a", "F32", "", "0,8") "}", 8, "has 8 bytes, but F32 [] takes 4" },
    { "{" T_("a", "I64", "1", "8,0") "}", 8, "ends before it begins" },
    { "{" T_("a", "I64", "2", "0,16") "}", 8, "lies beyond the end of the file" },
    { "{" T_("a", "F64", "4294967296,4294967296", "0,0") "}", 0, "too large" },
    { "{" T_("a", "F64", "4294967296,4294967296,0", "0,0") "}", 0, "too large" },
    { "{" T_("a", "F64", "0,4294967296,4294967296", "0,0") "}", 0, "too large" },
    { "{" T_("a", "F32", "1152921504606846976", "0,0") "}", 0, "too large" },
    { "{" T_("a", "F32", "576460752303423488,2", "0,0") "}", 0, "too large" },
    { "{" T_("a", "F32", "1", "0,4") "," T_("b", "F32", "1", "0,4") "}", 4,
      "tensors \"a\" and \"b\" overlap" },
    { "{" T_("b", "F32", "2", "4,12") "," T_("a", "F32", "2", "0,8") "}", 12,
      "tensors \"a\" and \"b\" overlap" },
    { "{" T_("a", "F32", "2", "0,8") "," T_("b", "F32", "0", "4,4") "}", 8, "overlap" },
    { "{" T_("a", "F32", "1", "4,8") "}", 8, "4 bytes before tensor \"a\" belong to none" },
    { "{" T_("a", "F32", "1", "0,4") "," T_("b", "F32", "1", "8,12") "}", 12,
      "4 bytes before tensor \"b\"" },
    { "{" T_("a", "F32", "1", "0,4") "}", 5, "1 bytes at the end belong to no tensor" },
    { "{}", 3, "3 bytes at the end belong to no tensor" },
    /* Names and texts */
    { "{" T_("a", "F32", "1", "0,4") "," T_("\\u0061", "F32", "1", "4,8") "}", 8,
      "tensor \"a\" occurs twice" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "for the second time" },
    { "{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0, "text \"a\" occurs twice" },
    { "{\"__metadata__\":{\"a\":1}}", 0, "a string is missing" },
    { "{\"__metadata__\":{\"a\":null}}", 0, "a string is missing" },
    { "{\"__metadata__\":{\"a\":{}}}", 0, "a string is missing" },
    { "{\"__metadata__\":null}", 0, "{ is missing" },
    { "{\"__metadata__\":[]}", 0, "{ is missing" },
    { "{\"__metadata__\":{\"a\":\"1\"}", 0, "} or , is missing" },
};

Test(io, broken_headers_are_told)
{
    for (int i = 0; i < COUNT(bad); i++) {
        put_header("bad", bad[i].header, bad[i].data);
        sq_bundle *b = sq_bundle_load("bad");
        cr_expect(sq_bundle_count(b) == 0 && sq_bundle_text_count(b) == 0, "%d", i);
        cr_expect(strncmp(sq_bundle_message(b), "\"bad\": ", 7) == 0, "%s",
                  sq_bundle_message(b));
        cr_expect(sq_bundle_status(b) == SQ_EFILE, "header %d: %s", i, bad[i].header);
        EXPECT_CONTAINS(sq_bundle_message(b), bad[i].says);
        sq_bundle_free(b);
    }
}

Test(io, unusual_headers_that_are_right)
{
    const struct {
        const char *header;
        size_t data;
    } good[] = {
        { "{}", 0 },
        { "{ }   ", 0 },
        { "{\t\"__metadata__\" :\r\n{ } }", 0 },
        { "{" T_("", "F32", "1", "0,4") "}", 4 },
        { "{" T_("a", "F32", "0,1000000", "0,0") "," T_("b", "F32", "", "0,4") "}", 4 },
        { "{" T_("a", "F32", "1", "0,4") "," T_("b", "F32", "0", "4,4") "}", 4 },
        { "{" T_("\\/\\b\\f\\uD83D\\uDE00", "I64", "1,1,1,1,1,1,1,1", "0,8") "}", 8 },
    };
    for (int i = 0; i < COUNT(good); i++) {
        put_header("good", good[i].header, good[i].data);
        sq_bundle *b = sq_bundle_load("good");
        cr_expect(sq_bundle_status(b) == SQ_OK, "%d: %s", i, sq_bundle_message(b));
        sq_bundle_free(b);
    }
}

static void expect_refused(const char *path, sq_status status, const char *says)
{
    sq_bundle *b = sq_bundle_load(path);
    cr_assert(b != NULL);
    EXPECT_BUNDLE_ERROR(b, status, says);
    sq_bundle_free(b);
}

Test(io, what_is_no_file_is_told)
{
    const unsigned char huge[] = { 0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}' };
    const unsigned char above[] = { 1, 0xE1, 0xF5, 5, 0, 0, 0, 0, '{', '}' };
    cr_assert(mkdir("folder", 0700) == 0 && mkfifo("fifo", 0600) == 0);
    cr_assert(symlink("nowhere", "link") == 0);
    put("empty", "", 0);
    put("short", "1234567", 7);
    put("only_length", "\0\0\0\0\0\0\0\0", 8);
    put("text", "# a text that begins as texts do", 32);
    put("huge", huge, sizeof huge);
    put("above", above, sizeof above);
    put("longer", "\x03\0\0\0\0\0\0\0{}", 10);
    expect_refused("missing", SQ_EFILE, "\"missing\": cannot be opened: No such file");
    expect_refused("link", SQ_EFILE, "\"link\": cannot be opened: No such file");
    expect_refused("text/x", SQ_EFILE, "cannot be opened: Not a directory");
    expect_refused("", SQ_EFILE, "cannot be opened");
    expect_refused("folder", SQ_EFILE, "\"folder\": is a directory");
    expect_refused("fifo", SQ_EFILE, "\"fifo\": is not a regular file");
    expect_refused("/dev/zero", SQ_EFILE, "is not a regular file");
    expect_refused("empty", SQ_EFILE, "\"empty\": is empty");
    expect_refused("short", SQ_EFILE, "it has 7 bytes only");
    expect_refused("only_length", SQ_EFILE, "header would have 0 bytes, too short");
    expect_refused("text", SQ_EFILE, "above the format's 100 MB");
    expect_refused("huge", SQ_EFILE, "above the format's 100 MB");
    expect_refused("above", SQ_EFILE, "100000001 bytes, above");
    expect_refused("longer", SQ_EFILE, "3 bytes, longer than the rest");
    expect_refused(NULL, SQ_EVALUE, "there is no path");
}

/* Eight terabytes of holes cost nothing on the disk, and must not cost memory. */
Test(io, a_huge_sparse_file)
{
    put_header("sparse", "{}", 0);
    if (truncate("sparse", (off_t)1 << 43) != 0) return; /* a file system without such files */
    expect_refused("sparse", SQ_EFILE, "8796093022198 bytes at the end belong to no tensor");
    put_header("sparse", "{" T_("a", "F32", "1", "0,8796093022208") "}", 0);
    cr_assert(truncate("sparse", ((off_t)1 << 43) + 200) == 0);
    expect_refused("sparse", SQ_EFILE, "has 8796093022208 bytes, but F32 [1] takes 4");
    put("sparse", "", 0);
    cr_assert(truncate("sparse", (off_t)1 << 43) == 0);
    expect_refused("sparse", SQ_EFILE, "0 bytes, too short");
}

/* Each file is read or refused with a sentence; what is read can be written and read again,
 * which waits for the disk and is done for some. */
static void read_or_refuse(const unsigned char *bytes, size_t n, bool save)
{
    put("mutant", bytes, n);
    sq_bundle *b = sq_bundle_load("mutant");
    if (sq_bundle_status(b)) {
        cr_expect(sq_bundle_status(b) == SQ_EFILE, "%s", sq_bundle_message(b));
        cr_expect(strlen(sq_bundle_message(b)) > 10 && sq_bundle_count(b) == 0);
    } else if (save) {
        SAVE(b, "again");
        sq_bundle *copy = sq_bundle_load("again");
        expect_same(copy, b, "a mutant");
        sq_bundle_free(copy);
    }
    sq_bundle_free(b);
}

Test(io, every_truncation_is_refused)
{
    for (size_t n = 0; n < sizeof golden_ours; n++) {
        put("cut", golden_ours, n);
        sq_bundle *b = sq_bundle_load("cut");
        cr_expect(sq_bundle_status(b) == SQ_EFILE, "%zu bytes", n);
        sq_bundle_free(b);
    }
}

Test(io, mutations_are_read_or_refused)
{
    static unsigned char bytes[sizeof golden_foreign];
    rng r = { 77 };
    for (int i = 0; i < FEWER(6000); i++) {
        bool ours = i % 2 == 0;
        size_t n = ours ? sizeof golden_ours : sizeof golden_foreign;
        memcpy(bytes, ours ? golden_ours : golden_foreign, n);
        for (int k = rng_below(&r, 3); k >= 0; k--) {
            unsigned char *at = &bytes[rng_below(&r, (int)n)];
            const char likely[] = "{}[]:,\"\\ 0198eu-\n";
            *at = (unsigned char)(rng_below(&r, 2) ? likely[rng_below(&r, COUNT(likely) - 1)]
                                                   : *at ^ 1 << rng_below(&r, 8));
        }
        read_or_refuse(bytes, n, i % 20 < 2);
    }
}

/* Names out of a file cannot steer a terminal, nor push the rest out of the sentence. */
Test(io, names_in_sentences_are_tame)
{
    put_header("a", "{" T_("\\u001b[2J\\r", "C64", "1", "0,2") "}", 2);
    expect_refused("a", SQ_EFILE, "tensor \"?[2J?\" has dtype \"C64\"");
    put_header("a",
               "{" T_("\xc2\x9b"
                      "2J\xc2\x80\xc2\xa0",
                      "C64", "1", "0,2") "}",
               2);
    expect_refused("a", SQ_EFILE, "tensor \"??2J??\xc2\xa0\" has dtype \"C64\"");
    sq_bundle *b = sq_bundle_load("no\xc2"); /* a path need not be UTF-8 */
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "\"no\xc2\": cannot be opened");
    sq_bundle_free(b);
    char header[1200] = "{\"", name[1001];
    memset(name, 'x', 1000);
    name[1000] = '\0';
    strcat(strcat(header, name), "end\":{\"dtype\":\"C64\"}}");
    put_header("a", header, 0);
    expect_refused("a", SQ_EFILE, "xxxend\" has dtype \"C64\"; F16, BF16, F32, F64, BOOL");
}

/* ---- Filling and asking ---- */

Test(io, what_cannot_be_added)
{
    sq_bundle *b = sq_bundle_new();
    const double one = 1;
    const int64_t ones[] = { 1, 1, 1, 1, 1, 1, 1, 1 }, far[] = { INT64_MAX, 2 },
                  less[] = { -1 };
    sq_bundle_add_f64(b, "a", sq_scalar(), &one);
    ASSERT_BUNDLE(b);
    sq_bundle_add_f64(b, "a", sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is a tensor \"a\" already");
    sq_bundle_add_f64(b, NULL, sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "needs a name");
    sq_bundle_add_f64(b, "__metadata__", sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "the format's own");
    sq_bundle_add_f64(b, "\xff", sq_scalar(), &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "not UTF-8");
    sq_bundle_add_f64(b, "b", sq_vec(1), NULL);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "no values for tensor \"b\"");
    add_any(b, "b", (sq_tensor_type)3, 0, ones, &one);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "the unknown type 3");
    add_any(b, "b", SQ_TENSOR_F64, 2, far, &one);
    EXPECT_BUNDLE_ERROR(b, SQ_ESHAPE, "impossible shape [9223372036854775807,2]");
    add_any(b, "b", SQ_TENSOR_F64, 1, less, &one);
    EXPECT_BUNDLE_ERROR(b, SQ_ESHAPE, "impossible shape [-1]");
    sq_bundle_add(b, &(sq_tensor){ .name = "b", .rank = 9, .values = &one });
    EXPECT_BUNDLE_ERROR(b, SQ_ESHAPE, "has 9 axes");
    sq_bundle_add(b, &(sq_tensor){ .name = "b", .rank = -1, .values = &one });
    EXPECT_BUNDLE_ERROR(b, SQ_ESHAPE, "has -1 axes");
    sq_bundle_add_f64(b, "b", (sq_shape){ .rank = 5 }, &one);
    EXPECT_BUNDLE_ERROR(b, SQ_ESHAPE, "5 axes");
    sq_bundle_add(b, NULL);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is no tensor");
    sq_bundle_set_text(b, NULL, "x");
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "no key or no text");
    sq_bundle_set_text(b, "x", NULL);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "no key or no text");
    sq_bundle_set_text(b, "x", "\xed\xa0\x80");
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "not UTF-8");
    cr_expect(sq_bundle_count(b) == 1 && sq_bundle_text_count(b) == 0);
    sq_bundle_free(b);
}

Test(io, the_first_error_stays)
{
    sq_bundle *b = sq_bundle_new();
    const double one = 1;
    double got = 0;
    cr_expect(sq_bundle_post(b, SQ_ERANGE, "mine %d", 7) == false);
    cr_expect(sq_bundle_add_f64(b, "a", sq_scalar(), &one) == SQ_ERANGE);
    cr_expect(sq_bundle_set_text(b, "a", "b") == SQ_ERANGE);
    cr_expect(sq_bundle_get_f64(b, "a", 1, &got) == SQ_ERANGE);
    cr_expect(sq_bundle_save(b, "a") == SQ_ERANGE);
    cr_expect(files_here() == 0 && sq_bundle_count(b) == 0);
    EXPECT_BUNDLE_ERROR(b, SQ_ERANGE, "mine 7");
    sq_bundle_free(b);
    cr_expect(sq_bundle_status(NULL) == SQ_ENOMEM);
    cr_expect(sq_bundle_add_f64(NULL, "a", sq_scalar(), &one) == SQ_ENOMEM);
    cr_expect(sq_bundle_save(NULL, "a") == SQ_ENOMEM);
    cr_expect(sq_bundle_count(NULL) == 0 && sq_bundle_find(NULL, "a") == NULL);
    cr_expect(sq_bundle_text(NULL, "a") == NULL);
}

Test(io, values_are_copied_and_converted)
{
    sq_bundle *b = sq_bundle_new();
    double x[] = { 1, -2, 0.1 };
    const int64_t far[] = { INT64_MAX, 16777217, -3 };
    sq_bundle_add_f64(b, "x", sq_vec(3), x);
    sq_bundle_add_i64(b, "far", sq_vec(3), far);
    x[0] = 99;
    float f[3];
    double d[3];
    int64_t n[3] = { 7, 7, 7 };
    cr_assert(sq_bundle_get_f32(b, "x", 3, f) == SQ_OK);
    cr_expect(f[0] == 1 && f[1] == -2 && f[2] == 0.1f);
    cr_assert(sq_bundle_get_f64(b, "x", 3, d) == SQ_OK);
    cr_expect(d[0] == 1 && d[2] == 0.1);
    cr_assert(sq_bundle_get_f32(b, "far", 3, f) == SQ_OK);
    cr_expect(f[0] == 0x1p63f && f[1] == 16777216 && f[2] == -3);
    cr_assert(sq_bundle_get_f64(b, "far", 3, d) == SQ_OK);
    cr_expect(d[0] == 0x1p63 && d[1] == 16777217);
    cr_expect(sq_bundle_get_i64(b, "x", 3, n) == SQ_EVALUE);
    cr_expect(n[0] == 7 && n[1] == 7);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "tensor \"x\" holds a number that is no 64-bit integer");
    cr_expect(sq_bundle_get_i64(b, "far", 2, n) == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "tensor \"far\" has 3 elements, not 2");
    cr_expect(sq_bundle_get_i64(b, "gone", 2, n) == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "there is no tensor \"gone\"");
    cr_expect(sq_bundle_get_i64(b, NULL, 2, n) == SQ_EFILE);
    sq_bundle_clear_error(b);
    cr_expect(sq_bundle_get_i64(b, "far", 3, NULL) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "no place for tensor \"far\"");
    sq_bundle_free(b);
}

Test(io, whole_numbers_at_the_edge_of_int64)
{
    const struct {
        double x;
        bool fits;
    } cases[] = { { 0x1p63, false },       { -0x1p63, true },  { 0x1.fffffffffffffp62, true },
                  { -0x1.1p63, false },    { 0.5, false },     { -0.0, true },
                  { not_a_number, false }, { infinite, false } };
    for (int i = 0; i < COUNT(cases); i++) {
        sq_bundle *b = sq_bundle_new();
        const float f = (float)cases[i].x;
        int64_t n = 5;
        sq_bundle_add_f64(b, "d", sq_scalar(), &cases[i].x);
        sq_bundle_add_f32(b, "f", sq_scalar(), &f);
        bool fits = sq_bundle_get_i64(b, "d", 1, &n) == SQ_OK;
        cr_expect(fits == cases[i].fits, "case %d", i);
        cr_expect(n == (fits ? (int64_t)cases[i].x : 5), "case %d", i);
        sq_bundle_clear_error(b);
        fits = sq_bundle_get_i64(b, "f", 1, &n) == SQ_OK;
        cr_expect(fits == (cases[i].fits && f < 0x1p63f), "case %d", i);
        sq_bundle_free(b);
    }
}
