/* io_bytes.c -- files are the same bytes on every machine: a program that checks itself, for
 * machines of the other byte order and emulators where the test framework does not run.
 *
 *     io_bytes                writes and reads in a folder of its own, and compares with what
 *                             independent programs wrote (tests/golden)
 *     io_bytes write FOLDER   writes weights, an optimizer's state, every form, random numbers
 *     io_bytes read FOLDER    makes the same here, and expects the same values and bytes there
 *
 * so that one machine may write and another one read. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "seqgrad.h"

#include "tests/golden/npy.h"
#include "tests/golden/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

#define REQUIRE(condition, ...)                     \
    do {                                            \
        if (!(condition)) {                         \
            fprintf(stderr, "line %d: ", __LINE__); \
            fprintf(stderr, __VA_ARGS__);           \
            fprintf(stderr, "\n");                  \
            exit(1);                                \
        }                                           \
    } while (0)
#define WELL(b) REQUIRE(!sq_bundle_status(b), "%s", sq_bundle_message(b))

enum { ROOM = 1 << 20, ROWS = 33, COLS = 17, SIZE = ROWS * COLS + COLS };

/* ---- What is written ------------------------------------------------------------------------- */

static void add_form(sq_bundle *b, const char *name, sq_tensor_type type, sq_stored stored,
                     int64_t n, const void *values)
{
    sq_tensor t = { .name = name, .type = type, .stored = stored, .rank = 1, .values = values };
    t.dim[0] = n;
    sq_bundle_add(b, &t);
}

/* Weights of random numbers after three updates, whose arithmetic is exact everywhere. */
static void add_model(sq_bundle *b, sq_dtype dtype, const char *model, const char *optim)
{
    sq_params *p = sq_params_new(dtype);
    sq_random r = sq_random_stream(5, 1, 2, 3);
    double x[SIZE];
    float g[SIZE];
    sq_weight W = sq_params_add(p, "W", sq_mat(ROWS, COLS)),
              c = sq_params_add(p, "b", sq_vec(COLS));
    for (int i = 0; i < SIZE; i++) x[i] = sq_random_uniform(r, 0, (uint64_t)i) - 0.5;
    sq_weight_set_f64(p, W, x);
    sq_weight_set_f64(p, c, x + ROWS * COLS);
    sq_optim *o = sq_optim_new(p, &(sq_optim_options){ .rate = 0.125, .momentum = 0.5 });
    REQUIRE(o, "%s", sq_params_message(p));
    for (int i = 0; i < SIZE; i++) g[i] = (float)x[i];
    for (int k = 0; k < 3; k++)
        REQUIRE(!sq_optim_step_flat(o, dtype == SQ_F32 ? (const void *)g : x), "update");
    sq_bundle_add_params(b, model, p);
    sq_bundle_add_optim(b, optim, o);
    sq_optim_free(o);
    sq_params_free(p);
}

static sq_bundle *everything(void)
{
    const float f[] = { 1, -0.0f, 65504, -INFINITY, 0x1p-24f, 0x1p-14f, 1 + 0x1p-10f };
    const double d[] = { 0.1, -2.5e-310, 1e308, -0.0, -HUGE_VAL, 1 + 0x1p-52 };
    const int64_t n[] = { 1, 0, 127, 100 }, wide[] = { INT64_MIN, INT64_MAX, 258, -2 };
    static const sq_stored whole[] = { SQ_STORED_U8,  SQ_STORED_I8,  SQ_STORED_U16,
                                       SQ_STORED_I16, SQ_STORED_U32, SQ_STORED_I32,
                                       SQ_STORED_I64 };
    sq_bundle *b = sq_bundle_new();
    add_model(b, SQ_F32, "single", "single optim");
    add_model(b, SQ_F64, "double", "double optim");
    add_model(b, SQ_F64, "short", "short optim");
    sq_bundle_store_as(b, "short", SQ_STORED_BF16);
    add_form(b, "F16", SQ_TENSOR_F32, SQ_STORED_F16, COUNT(f), f);
    add_form(b, "BF16", SQ_TENSOR_F32, SQ_STORED_BF16, COUNT(f), f);
    add_form(b, "F32", SQ_TENSOR_F32, SQ_STORED_F32, COUNT(f), f);
    add_form(b, "F64", SQ_TENSOR_F64, SQ_STORED_F64, COUNT(d), d);
    add_form(b, "BOOL", SQ_TENSOR_I64, SQ_STORED_BOOL, 2, n);
    for (int i = 0; i < COUNT(whole); i++)
        add_form(b, sq_stored_name(whole[i]), SQ_TENSOR_I64, whole[i], COUNT(n), n);
    add_form(b, "wide", SQ_TENSOR_I64, SQ_STORED_I64, COUNT(wide), wide);
    sq_bundle_set_text(b, "cell", "\u00e9\u20ac\U0001f600");
    WELL(b);
    return b;
}

/* ---- Files ----------------------------------------------------------------------------------- */

static const char *path_of(const char *folder, int64_t i, char path[512])
{
    if (i < 0) snprintf(path, 512, "%s/all", folder);
    else snprintf(path, 512, "%s/%d.npy", folder, (int)i);
    return path;
}

static size_t take(const char *path, unsigned char *bytes)
{
    FILE *f = fopen(path, "rb");
    REQUIRE(f, "no file %s", path);
    size_t n = fread(bytes, 1, ROOM, f);
    fclose(f);
    REQUIRE(n < ROOM, "%s is too large", path);
    return n;
}

static void write_all(const char *folder)
{
    char path[512];
    sq_bundle *b = everything();
    REQUIRE(!sq_bundle_save(b, path_of(folder, -1, path)), "%s", sq_bundle_message(b));
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        const sq_tensor *t = sq_bundle_at(b, i);
        if (t->stored == SQ_STORED_BF16) continue;
        REQUIRE(!sq_bundle_save_npy(b, t->name, path_of(folder, i, path)), "%s",
                sq_bundle_message(b));
    }
    sq_bundle_free(b);
}

/* The value of an element, whatever holds it; NaN is none of these. */
static double value_of(const sq_tensor *t, int64_t i)
{
    return t->type == SQ_TENSOR_F32   ? (double)((const float *)t->values)[i]
           : t->type == SQ_TENSOR_F64 ? ((const double *)t->values)[i]
                                      : (double)((const int64_t *)t->values)[i];
}

/* What was stored as BF16 is rounded: within half of its last place. */
static void expect_same(const sq_tensor *got, const sq_tensor *want)
{
    REQUIRE(got, "%s is missing", want->name);
    REQUIRE(got->count == want->count && got->rank == want->rank, "%s: shape", want->name);
    for (int64_t i = 0; i < want->count; i++) {
        double x = value_of(got, i), y = value_of(want, i);
        bool rounded = want->stored == SQ_STORED_BF16;
        REQUIRE(x == y || (rounded && fabs(x - y) <= fabs(y) * 0x1p-8), "%s[%d]: %g, not %g",
                want->name, (int)i, x, y);
    }
}

/* Loads what is there; then makes the same files here, and compares every byte. */
static void read_all(const char *folder)
{
    static unsigned char there[ROOM], here[ROOM];
    char path[512], own[] = "/tmp/sq_bytes_XXXXXX";
    sq_bundle *want = everything(), *got = sq_bundle_load(path_of(folder, -1, path));
    WELL(got);
    REQUIRE(sq_bundle_count(got) == sq_bundle_count(want), "tensors");
    REQUIRE(strcmp(sq_bundle_text(got, "cell"), sq_bundle_text(want, "cell")) == 0, "text");
    REQUIRE(mkdtemp(own), "no folder");
    write_all(own);
    for (int64_t i = -1; i < sq_bundle_count(want); i++) {
        const sq_tensor *t = sq_bundle_at(want, i);
        if (t) expect_same(sq_bundle_find(got, t->name), t);
        if (t && t->stored == SQ_STORED_BF16) continue;
        size_t n = take(path_of(folder, i, path), there);
        REQUIRE(take(path_of(own, i, path), here) == n && memcmp(here, there, n) == 0,
                "%s: other bytes", path);
        REQUIRE(unlink(path) == 0, "%s", path);
        if (!t) continue;
        sq_bundle *array = sq_bundle_new();
        sq_bundle_add_npy(array, "x", path_of(folder, i, path));
        WELL(array);
        expect_same(sq_bundle_at(array, 0), t);
        sq_bundle_free(array);
    }
    REQUIRE(rmdir(own) == 0, "%s", own);
    sq_bundle_free(want);
    sq_bundle_free(got);
}

/* ---- What independent programs wrote ----------------------------------------------------------- */

static void golden_bundle(const char *folder, const unsigned char *file, size_t n)
{
    static unsigned char bytes[ROOM];
    char path[512];
    sq_bundle *b = sq_bundle_load_bytes(file, n);
    WELL(b);
    REQUIRE(!sq_bundle_save(b, path_of(folder, -1, path)), "%s", sq_bundle_message(b));
    REQUIRE(take(path, bytes) == n && memcmp(bytes, file, n) == 0, "a golden file differs");
    sq_bundle_free(b);
}

static void golden_arrays(void)
{
    static unsigned char bytes[ROOM];
    for (int i = 0; i < COUNT(npy_golden); i++) {
        const char *what = npy_golden[i].what;
        sq_bundle *b = sq_bundle_new();
        sq_bundle_add_npy_bytes(b, "x", npy_golden[i].file, npy_golden[i].n);
        WELL(b);
        const sq_tensor *t = sq_bundle_at(b, 0);
        for (int64_t k = 0; k < t->count; k++) {
            uint32_t narrow = (uint32_t)npy_golden[i].bits[k];
            const void *want =
                t->type == SQ_TENSOR_F32 ? (const void *)&narrow : &npy_golden[i].bits[k];
            size_t size = t->type == SQ_TENSOR_F32 ? 4 : 8;
            const char *got = (const char *)t->values + (size_t)k * size;
            REQUIRE(memcmp(got, want, size) == 0, "%s: value %d", what, (int)k);
        }
        size_t n = sq_npy(t, bytes, ROOM);
        if (npy_golden[i].same_bytes)
            REQUIRE(n == npy_golden[i].n && memcmp(bytes, npy_golden[i].file, n) == 0,
                    "%s: other bytes", what);
        sq_bundle_free(b);
    }
}

static void alone(void)
{
    char folder[] = "/tmp/sq_bytes_XXXXXX", path[512];
    REQUIRE(mkdtemp(folder), "no folder");
    write_all(folder);
    read_all(folder);
    golden_bundle(folder, golden_ours, sizeof golden_ours);
    golden_bundle(folder, golden_forms, sizeof golden_forms);
    golden_arrays();
    for (int64_t i = -1; i < 100; i++) (void)unlink(path_of(folder, i, path));
    REQUIRE(rmdir(folder) == 0, "%s is not empty", folder);
}

int main(int argc, char **argv)
{
    const uint16_t one = 1;
    bool little = *(const unsigned char *)&one == 1;
    if (argc == 1) alone();
    else if (argc == 3 && strcmp(argv[1], "write") == 0) write_all(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "read") == 0) read_all(argv[2]);
    else return fprintf(stderr, "usage: io_bytes [write|read FOLDER]\n"), 2;
    printf("%s: as it should be, on a machine with the %s byte first\n",
           argc > 1 ? argv[1] : "alone", little ? "lowest" : "highest");
    return 0;
}
