/* test_npy.c -- NumPy's files: what NumPy wrote is read, the same bytes are written, and what is
 * broken is refused with a sentence, the bundle staying as it was. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, mkfifo */
#include "tests/support/files.h"

#include "core/io_impl.h"
#include "core/npy.h"
#include "tests/golden/npy.h"

#include <sys/stat.h>

TestSuite(npy, .init = enter, .fini = leave);

static void expect_golden(const sq_tensor *t, int i, const char *how)
{
    const char *what = npy_golden[i].what;
    cr_assert(t != NULL, "%s", what);
    cr_expect(t->type == npy_golden[i].type && t->stored == npy_golden[i].stored, "%s", what);
    cr_expect(t->rank == npy_golden[i].rank && t->count == npy_golden[i].count, "%s", what);
    for (int32_t k = 0; k < SQ_TENSOR_MAX_RANK; k++)
        cr_expect(t->dim[k] == (k < t->rank ? npy_golden[i].dim[k] : 0), "%s", what);
    int wrong = 0;
    for (int64_t k = 0; k < t->count; k++) {
        uint32_t narrow;
        uint64_t bits;
        if (t->type == SQ_TENSOR_F32) {
            memcpy(&narrow, (const float *)t->values + k, sizeof narrow);
            bits = narrow;
        } else memcpy(&bits, (const double *)t->values + k, sizeof bits);
        wrong += bits != npy_golden[i].bits[k];
    }
    cr_expect(wrong == 0, "%s, %s: %d values", what, how, wrong);
}

Test(npy, what_numpy_wrote_is_read)
{
    for (int i = 0; i < COUNT(npy_golden); i++) {
        sq_bundle *b = sq_bundle_new();
        put("a", npy_golden[i].file, npy_golden[i].n);
        sq_bundle_add_npy(b, "x", "a");
        sq_bundle_add_npy_bytes(b, "y", npy_golden[i].file, npy_golden[i].n);
        ASSERT_BUNDLE(b);
        expect_golden(sq_bundle_find(b, "x"), i, "file");
        expect_golden(sq_bundle_find(b, "y"), i, "memory");
        sq_bundle_free(b);
    }
}

/* Whatever came in goes out as version 1, row-major, lowest byte first; that is what NumPy writes
 * by itself, and what comes back is the same. */
Test(npy, the_bytes_are_those_of_numpy)
{
    static unsigned char bytes[8192];
    int same = 0;
    for (int i = 0; i < COUNT(npy_golden); i++) {
        sq_bundle *b = sq_bundle_new();
        sq_bundle_add_npy_bytes(b, "x", npy_golden[i].file, npy_golden[i].n);
        cr_assert(sq_bundle_save_npy(b, "x", "a") == SQ_OK, "%s", sq_bundle_message(b));
        size_t n = take("a", bytes, sizeof bytes);
        cr_assert(n < sizeof bytes && n % 2 == npy_golden[i].n % 2);
        if (npy_golden[i].same_bytes) {
            cr_expect(n == npy_golden[i].n, "%s: %zu", npy_golden[i].what, n);
            EXPECT_SAME_BITS(bytes, npy_golden[i].file, n, npy_golden[i].what);
            same++;
        }
        sq_bundle_add_npy(b, "back", "a");
        ASSERT_BUNDLE(b);
        expect_golden(sq_bundle_find(b, "back"), i, "again");
        static unsigned char again[8192];
        cr_expect(sq_npy(sq_bundle_at(b, 0), again, sizeof again) == n);
        EXPECT_SAME_BITS(again, bytes, n, "file and memory");
        sq_bundle_free(b);
    }
    cr_expect(same >= 16);
}

Test(npy, any_array_comes_back)
{
    static uint64_t values[4096];
    rng r = { 8 };
    for (int round = 0; round < 200; round++) {
        sq_tensor t = { .name = "x", .rank = rng_below(&r, 7), .values = values };
        t.type = (sq_tensor_type)rng_below(&r, 3);
        for (int32_t i = 0; i < t.rank; i++)
            t.dim[i] = rng_below(&r, 12) ? rng_below(&r, 4) + 1 : 0;
        for (int i = 0; i < COUNT(values); i++) values[i] = rng_bits(&r);
        sq_bundle *b = sq_bundle_new();
        sq_bundle_add(b, &t);
        cr_assert(sq_bundle_save_npy(b, "x", "a") == SQ_OK, "%s", sq_bundle_message(b));
        sq_bundle_add_npy(b, "y", "a");
        ASSERT_BUNDLE(b);
        const sq_tensor *x = sq_bundle_at(b, 0), *y = sq_bundle_at(b, 1);
        cr_expect(x->type == y->type && x->rank == y->rank && x->count == y->count);
        cr_expect(memcmp(x->dim, y->dim, sizeof x->dim) == 0);
        size_t bytes = (size_t)x->count * sqi_tensor_size(x->type);
        EXPECT_SAME_BITS(x->values, y->values, bytes, "values");
        sq_bundle_free(b);
    }
}

/* ---- In memory ---- */

Test(npy, in_memory_by_the_rule_of_snprintf)
{
    const double v[6] = { 1, -2, .5, (double)NAN, HUGE_VAL, 1e-300 };
    sq_tensor t = { .type = SQ_TENSOR_F64, .rank = 2, .dim = { 2, 3 }, .values = v };
    unsigned char b[256], part[256];
    cr_assert(sq_npy(&t, NULL, 0) == 128 + sizeof v);
    cr_assert(sq_npy(&t, NULL, 99) == 128 + sizeof v);
    cr_assert(sq_npy(&t, b, sizeof b) == 128 + sizeof v);
    cr_expect(memcmp(b, "\x93NUMPY\x01\x00\x76\x00", 10) == 0);
    const char *want = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }";
    cr_expect(memcmp(b + 10, want, strlen(want)) == 0);
    for (size_t i = 10 + strlen(want); i < 127; i++) cr_assert(b[i] == ' ');
    cr_expect(b[127] == '\n');
    for (size_t n = 0; n <= 128 + sizeof v; n++) {
        memset(part, 7, sizeof part);
        cr_expect(sq_npy(&t, part, n) == 128 + sizeof v);
        cr_expect(memcmp(part, b, n) == 0 && part[n] == 7);
    }
}

Test(npy, of_nothing_and_of_nonsense)
{
    const double one = 1, large = 1e6;
    unsigned char b[256] = { 0 };
    const sq_tensor nothing = { .type = SQ_TENSOR_F64, .rank = 2, .dim = { 5, 0 } };
    cr_expect(sq_npy(&nothing, b, sizeof b) == 128);
    EXPECT_CONTAINS((char *)b + 10, "'shape': (5, 0)");
    const sq_tensor bad[] = {
        { .type = SQ_TENSOR_F64, .rank = 1, .dim = { 1 } },
        { .type = SQ_TENSOR_F64, .rank = 1, .dim = { -1 }, .values = &one },
        { .type = SQ_TENSOR_F64, .rank = 9, .values = &one },
        { .type = SQ_TENSOR_F64, .rank = 2, .dim = { INT64_MAX, INT64_MAX }, .values = &one },
        { .type = (sq_tensor_type)5, .values = &one },
        { .type = SQ_TENSOR_F64, .stored = SQ_STORED_BF16, .values = &one },
        { .type = SQ_TENSOR_F64, .stored = SQ_STORED_I32, .values = &one },
        { .type = SQ_TENSOR_F64, .stored = SQ_STORED_F16, .values = &large },
    };
    for (int i = 0; i < COUNT(bad); i++) cr_expect(sq_npy(&bad[i], b, sizeof b) == 0, "%d", i);
    cr_expect(sq_npy(NULL, b, sizeof b) == 0);
}

/* ---- What is refused ---- */

static size_t file_of(unsigned char *bytes, const char *before, const char *text, size_t data)
{
    size_t n = strlen(text);
    memset(bytes, 0, 10 + n + data);
    memcpy(bytes, before, 8);
    bytes[8] = (unsigned char)n;
    bytes[9] = (unsigned char)(n >> 8);
    memcpy(bytes + 10, text, n);
    return 10 + n + data;
}

#define V1 "\x93NUMPY\x01\0"
#define DICT(descr, order, shape) \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static const struct {
    const char *text;
    size_t data;
    const char *says;
} bad[] = {
    { "", 0, "text, byte 0: { is missing" },
    { "\n", 0, "{ is missing" },
    { "[]\n", 0, "text, byte 0: { is missing" },
    { "{}\n", 0, "descr is missing" },
    { "{'descr': '<f4'}\n", 0, "fortran_order is missing" },
    { "{'descr': '<f4', 'fortran_order': False}\n", 0, "shape is missing" },
    { DICT("'<f4'", "False", "(1,)") "x", 4, "spaces and a line end" },
    { DICT("'<f4'", "False", "(1,)") "\n", 4, "spaces and a line end" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4, "spaces and a line end" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)\n", 4, "} or , is missing" },
    { "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}\n", 4, "} or , is missing" },
    { "{'descr' '<f4'}\n", 4, ": is missing" },
    { "{,}\n", 4, "a string is missing" },
    { "{'descr': '<f4',, }\n", 4, "a string is missing" },
    { "{'descr': '<f4', 'descr': '<f4', }\n", 4, "for the second time" },
    { "{'extra': 1, }\n", 4, "none of descr" },
    { "{descr: '<f4'}\n", 4, "a string is missing" },
    { "{'descr\": '<f4'}\n", 4, "none of descr" },
    { "{'descr", 4, "a string does not end" },
    { "{'des\\x63r': '<f4'}\n", 4, "an escape" },
    { "{'descr': u'<f4'}\n", 4, "a string is missing" },
    { DICT("[('a', '<f4')]", "False", "(1,)"), 4, "structured" },
    { DICT("'f4'", "False", "(1,)"), 4, "has descr 'f4'" },
    { DICT("'=f4'", "False", "(1,)"), 4, "has descr '=f4'" },
    { DICT("'|f4'", "False", "(1,)"), 4, "has descr '|f4'" },
    { DICT("'<u1'", "False", "(1,)"), 1, "has descr '<u1'" },
    { DICT("'<u8'", "False", "(1,)"), 8, "has descr '<u8'" },
    { DICT("'<c8'", "False", "(1,)"), 8, "has descr '<c8'; b1, i1 to i8" },
    { DICT("'|O'", "False", "(1,)"), 8, "has descr '|O'" },
    { DICT("''", "False", "(1,)"), 8, "has descr ''" },
    { DICT("'<'", "False", "(1,)"), 8, "has descr '<'" },
    { DICT("'<f44'", "False", "(1,)"), 8, "has descr '<f44'" },
    { DICT("None", "False", "(1,)"), 8, "a string is missing" },
    { DICT("'<f4'", "false", "(1,)"), 4, "neither True nor False" },
    { DICT("'<f4'", "0", "(1,)"), 4, "neither True nor False" },
    { DICT("'<f4'", "Falsely", "(1,)"), 4, "} or , is missing" },
    { DICT("'<f4'", "False", "1"), 4, "shape is no tuple" },
    { DICT("'<f4'", "False", "(1)"), 4, "no tuple: a comma is missing" },
    { DICT("'<f4'", "False", "[1]"), 4, "shape is no tuple" },
    { DICT("'<f4'", "False", "(,)"), 4, "a whole number" },
    { DICT("'<f4'", "False", "(1,,)"), 4, "a whole number" },
    { DICT("'<f4'", "False", "(1 1)"), 4, ") or , is missing" },
    { DICT("'<f4'", "False", "(-1,)"), 4, "without a sign" },
    { DICT("'<f4'", "False", "(1L,)"), 4, ") or , is missing" },
    { DICT("'<f4'", "False", "(01,)"), 4, "begins with 0" },
    { DICT("'<f4'", "False", "(1.,)"), 4, ") or , is missing" },
    { DICT("'<f4'", "False", "(9223372036854775808,)"), 4, "a number is too large" },
    { DICT("'<f4'", "False", "(9223372036854775807,)"), 4, "too large for any memory" },
    { DICT("'<f4'", "False", "(4294967296, 4294967296)"), 4, "too large for any memory" },
    { DICT("'<f4'", "False", "(0, 4294967296, 4294967296)"), 0, "too large for any memory" },
    { DICT("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4, "more than 8 axes" },
    { DICT("'<f4'", "False", "(2, 3)"), 23,
      "has 23 bytes of values, but [2,3] of f4 takes 24" },
    { DICT("'<f4'", "True", "(2, 3)"), 25, "has 25 bytes of values, but [2,3] of f4 takes 24" },
    { DICT("'<f8'", "False", "()"), 0, "has 0 bytes of values, but [] of f8 takes 8" },
};

static void expect_refused(const void *bytes, size_t n, const char *says)
{
    const float one = 1;
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_f32(b, "old", sq_scalar(), &one);
    put("bad", bytes, n);
    cr_expect(sq_bundle_add_npy(b, "x", "bad") == SQ_EFILE, "%s", says);
    cr_expect(strncmp(sq_bundle_message(b), "\"bad\": ", 7) == 0, "%s", sq_bundle_message(b));
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, says);
    cr_expect(sq_bundle_count(b) == 1 && sq_bundle_find(b, "x") == NULL);
    cr_expect(sq_bundle_add_npy_bytes(b, "x", bytes, n) == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, says);
    cr_expect(sq_bundle_count(b) == 1);
    sq_bundle_free(b);
}

Test(npy, broken_texts_are_told)
{
    unsigned char bytes[512];
    for (int i = 0; i < COUNT(bad); i++)
        expect_refused(bytes, file_of(bytes, V1, bad[i].text, bad[i].data), bad[i].says);
    size_t n = file_of(bytes, V1, DICT("'|b1'", "False", "(2,)"), 2);
    bytes[n - 1] = 2;
    expect_refused(bytes, n, "tensor \"x\" holds a BOOL that is none");
    n = file_of(bytes, V1, "{'descr'.: '<f4'}\n", 4);
    bytes[10 + 8] = 0; /* no white space */
    expect_refused(bytes, n, ": is missing");
}

Test(npy, unusual_texts_that_are_right)
{
    static const struct {
        const char *text;
        size_t data;
    } good[] = {
        { "{\"shape\":(2,),\"descr\":\"<f4\",\"fortran_order\":True}\n", 8 },
        { "{ 'shape' : ( ) ,\n\t'fortran_order' : False , 'descr' : '|u1' , }   \n", 1 },
        { DICT("'>i8'", "True", "(1, 2,)"), 16 },
    };
    unsigned char bytes[512];
    for (int i = 0; i < COUNT(good); i++) {
        sq_bundle *b = sq_bundle_new();
        size_t n = file_of(bytes, V1, good[i].text, good[i].data);
        sq_bundle_add_npy_bytes(b, "x", bytes, n);
        cr_expect(sq_bundle_status(b) == SQ_OK, "%d: %s", i, sq_bundle_message(b));
        sq_bundle_free(b);
    }
}

Test(npy, what_is_no_file_of_numpys_is_told)
{
    unsigned char bytes[512];
    size_t n = file_of(bytes, V1, DICT("'<f4'", "False", "(1,)"), 4);
    expect_refused(bytes, 9, "is no .npy file: it has 9 bytes only");
    expect_refused("PK\x03\x04 an archive of arrays", 24,
                   "is no .npy file: it begins otherwise");
    bytes[6] = 4;
    expect_refused(bytes, n, "is of version 4.0; 1.0 to 3.0 can be read");
    bytes[6] = 0;
    expect_refused(bytes, n, "is of version 0.0");
    bytes[6] = bytes[7] = 1;
    expect_refused(bytes, n, "is of version 1.1");
    bytes[7] = 0;
    bytes[9] = 1;
    expect_refused(bytes, n, "longer than the rest");
    expect_refused("\x93NUMPY\x02\0\xff\xff", 10, "ends before its text");
    expect_refused("\x93NUMPY\x03\0\xff\xff\xff\xff", 12, "of 4294967295 bytes, longer");
    static unsigned char wide[80000];
    memset(wide, ' ', sizeof wide);
    memcpy(wide, "\x93NUMPY\x02\0\x01\0\x01\0", 12);
    expect_refused(wide, sizeof wide, "of 65537 bytes, above 65536");
}

Test(npy, what_cannot_be_done_is_told)
{
    sq_bundle *b = sq_bundle_new();
    const float x = 1, big = 1e6f;
    sq_tensor t = { .name = "b", .stored = SQ_STORED_BF16, .values = &x };
    sq_bundle_add(b, &t);
    sq_bundle_add_f32(b, "big", sq_scalar(), &big);
    cr_assert(mkdir("folder", 0700) == 0 && mkfifo("fifo", 0600) == 0);
    put("empty", "", 0);
    const struct {
        const char *path, *says;
    } paths[] = { { "gone", "\"gone\": cannot be opened: No such file" },
                  { "folder", "\"folder\": is a directory" },
                  { "fifo", "\"fifo\": is not a regular file" },
                  { "empty", "\"empty\": is empty" } };
    for (int i = 0; i < COUNT(paths); i++) {
        cr_expect(sq_bundle_add_npy(b, "x", paths[i].path) == SQ_EFILE);
        EXPECT_BUNDLE_ERROR(b, SQ_EFILE, paths[i].says);
    }
    cr_expect(sq_bundle_add_npy(b, "x", NULL) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is no path");
    cr_expect(sq_bundle_add_npy(b, "b", "gone") == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is a tensor \"b\" already");
    cr_expect(sq_bundle_add_npy_bytes(b, "x", NULL, 3) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there are no bytes");
    cr_expect(sq_bundle_save_npy(b, "c", "a") == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "there is no tensor \"c\"");
    cr_expect(sq_bundle_save_npy(b, "b", "a") == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "tensor \"b\" is to be stored as BF16");
    cr_expect(sq_bundle_save_npy(b, "big", NULL) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is no path");
    cr_expect(sq_bundle_save_npy(b, "big", "folder") == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, "save \"folder\": is a directory");
    sq_bundle_store_as(b, "big", SQ_STORED_F16);
    cr_expect(sq_bundle_save_npy(b, "big", "a") == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "save \"a\": tensor \"big\" holds 1e+06, outside");
    cr_expect(files_here() == 3 && sq_bundle_count(b) == 2);
    cr_expect(sq_bundle_add_npy(NULL, "x", "a") == SQ_ENOMEM);
    cr_expect(sq_bundle_add_npy_bytes(NULL, "x", "a", 1) == SQ_ENOMEM);
    cr_expect(sq_bundle_save_npy(NULL, "x", "a") == SQ_ENOMEM);
    sq_bundle_post(b, SQ_ERANGE, "mine");
    cr_expect(sq_bundle_add_npy(b, "x", "a") == SQ_ERANGE);
    cr_expect(sq_bundle_add_npy_bytes(b, "x", "a", 1) == SQ_ERANGE);
    cr_expect(sq_bundle_save_npy(b, "b", "a") == SQ_ERANGE);
    sq_bundle_free(b);
}
