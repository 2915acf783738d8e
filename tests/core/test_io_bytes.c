/* test_io_bytes.c -- files with one byte changed, and files cut short: read or refused with a
 * sentence, and whatever happens, weights and optimizers are wholly the old or wholly the new. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "tests/support/files.h"

#include "core/io_impl.h"
#include "core/npy.h"
#include "tests/golden/npy.h"
#include "tests/golden/safetensors.h"

TestSuite(io_bytes, .init = enter, .fini = leave);

/* ---- Weights and an optimizer, and the file they come from -------------------------------------- */

enum { SIZE = 5 }; /* elements of all weights */

typedef struct world {
    sq_params *p;
    sq_optim *o;
} world;

static world world_new(double value)
{
    world w = { .p = sq_params_new(SQ_F64) };
    double x[SIZE];
    for (int i = 0; i < SIZE; i++) x[i] = value + i;
    sq_weight_set_f64(w.p, sq_params_add(w.p, "W", sq_mat(2, 2)), x);
    sq_weight_set_f64(w.p, sq_params_add(w.p, "b", sq_vec(1)), x);
    w.o = sq_optim_new(w.p, &(sq_optim_options){ .rate = value / 16, .momentum = 0.5 });
    cr_assert(w.o && sq_optim_step_flat(w.o, x) == SQ_OK, "%s", sq_params_message(w.p));
    return w;
}

static void world_free(world *w)
{
    sq_optim_free(w->o);
    sq_params_free(w->p);
}

static sq_bundle *bundle_of(const world *w)
{
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "m", w->p);
    sq_bundle_add_optim(b, "o", w->o);
    ASSERT_BUNDLE(b);
    return b;
}

static bool same_state(const sq_bundle *a, const sq_bundle *b)
{
    bool same = sq_bundle_count(a) == sq_bundle_count(b);
    for (int64_t i = 0; same && i < sq_bundle_count(a); i++) {
        const sq_tensor *x = sq_bundle_at(a, i), *y = sq_bundle_find(b, x->name);
        same = y && x->count == y->count &&
               memcmp(x->values, y->values, (size_t)x->count * sqi_tensor_size(x->type)) == 0;
    }
    return same;
}

static size_t small_file(unsigned char *bytes, size_t room)
{
    world w = world_new(2);
    sq_bundle *b = bundle_of(&w);
    sq_bundle_store_as(b, "m", SQ_STORED_BF16);
    sq_bundle_store_as(b, "m.b", SQ_STORED_F32);
    sq_bundle_store_as(b, "o.age", SQ_STORED_I16);
    SAVE(b, "small");
    size_t n = take("small", bytes, room);
    cr_assert(n < room);
    sq_bundle_free(b);
    world_free(&w);
    return n;
}

/* ---- Safetensors ---- */

typedef struct tally {
    long refused, loaded;
} tally;

/* Everything the file tells goes into w, or nothing, the weights and the optimizer apart. */
static void take_or_keep(sq_bundle *b, world *w)
{
    double before[SIZE], after[SIZE];
    memcpy(before, sq_params_view(w->p), sizeof before);
    uint64_t version = sq_params_version(w->p);
    bool taken = sq_bundle_get_params(b, "m", w->p) == SQ_OK;
    memcpy(after, sq_params_view(w->p), sizeof after);
    if (!taken) {
        cr_expect(memcmp(before, after, sizeof before) == 0);
        cr_expect(sq_params_version(w->p) == version && sq_params_status(w->p) == SQ_OK);
        cr_expect(strlen(sq_bundle_message(b)) > 10);
        sq_bundle_clear_error(b);
    } else {
        double W[4], x;
        cr_assert(sq_bundle_get_f64(b, "m.W", 4, W) == SQ_OK);
        cr_assert(sq_bundle_get_f64(b, "m.b", 1, &x) == SQ_OK);
        cr_expect(memcmp(after, W, sizeof W) == 0 && memcmp(&after[4], &x, sizeof x) == 0);
    }
    sq_bundle *old = bundle_of(w);
    taken = sq_bundle_get_optim(b, "o", w->o) == SQ_OK;
    sq_bundle *now = bundle_of(w);
    if (!taken) cr_expect(same_state(old, now), "half an optimizer");
    sq_bundle_free(old);
    sq_bundle_free(now);
}

static void read_or_refuse(const unsigned char *bytes, size_t n, world *w, tally *t)
{
    sq_bundle *b = sq_bundle_load_bytes(bytes, n);
    if (sq_bundle_status(b)) {
        cr_expect(sq_bundle_status(b) == SQ_EFILE && sq_bundle_count(b) == 0, "%s",
                  sq_bundle_message(b));
        cr_expect(strlen(sq_bundle_message(b)) > 10 && sq_bundle_text_count(b) == 0);
        t->refused++;
    } else {
        t->loaded++;
        if (w) take_or_keep(b, w);
    }
    sq_bundle_free(b);
}

/* Changes of a value load; changes of the header mostly do not. */
Test(io_bytes, every_single_byte_of_a_small_file)
{
    unsigned char bytes[2048];
    size_t n = small_file(bytes, sizeof bytes);
    world w = world_new(7);
    tally t = { 0 };
    for (size_t at = 0; at < n; at++)
        for (int change = 1; change < 256; change++) {
            bytes[at] ^= (unsigned char)change;
            read_or_refuse(bytes, n, &w, &t);
            bytes[at] ^= (unsigned char)change;
        }
    cr_expect(t.refused + t.loaded == (long)n * 255 && t.refused > t.loaded);
    cr_expect(t.loaded > 255 * 2 * SIZE, "%ld", t.loaded);
    world_free(&w);
}

Test(io_bytes, every_truncation_of_a_small_file)
{
    unsigned char bytes[2048];
    size_t n = small_file(bytes, sizeof bytes);
    world w = world_new(7);
    tally t = { 0 };
    for (size_t k = 0; k < n; k++) read_or_refuse(bytes, k, &w, &t);
    cr_expect(t.loaded == 0);
    read_or_refuse(bytes, n, &w, &t);
    cr_expect(t.loaded == 1);
    for (size_t k = 1; k < 9; k++) {
        memset(bytes + n, 0, k);
        read_or_refuse(bytes, n + k, &w, &t);
    }
    cr_expect(t.loaded == 1);
    world_free(&w);
}

Test(io_bytes, single_bytes_and_truncations_of_foreign_files)
{
    const struct {
        const unsigned char *bytes;
        size_t n;
    } files[] = { { golden_foreign, sizeof golden_foreign },
                  { golden_forms, sizeof golden_forms } };
    static unsigned char bytes[sizeof golden_foreign];
    rng r = { 21 };
    for (int f = 0; f < COUNT(files); f++) {
        tally t = { 0 };
        memcpy(bytes, files[f].bytes, files[f].n);
        for (size_t at = 0; at < files[f].n; at++) {
            read_or_refuse(bytes, at, NULL, &t);
            for (int k = 0; k < FEWER(12); k++) {
                unsigned char change = (unsigned char)(1 + rng_below(&r, 255));
                bytes[at] ^= change;
                read_or_refuse(bytes, files[f].n, NULL, &t);
                bytes[at] ^= change;
            }
        }
        cr_expect(t.loaded > 100 && t.refused > t.loaded);
    }
}

/* ---- .npy ---- */

static void npy_or_refuse(const unsigned char *bytes, size_t n, tally *t)
{
    sq_bundle *b = sq_bundle_new();
    const float one = 1;
    sq_bundle_add_f32(b, "old", sq_scalar(), &one);
    if (sq_bundle_add_npy_bytes(b, "x", bytes, n)) {
        cr_expect(sq_bundle_status(b) == SQ_EFILE && sq_bundle_count(b) == 1, "%s",
                  sq_bundle_message(b));
        cr_expect(strlen(sq_bundle_message(b)) > 10);
        t->refused++;
    } else {
        cr_expect(sq_bundle_count(b) == 2);
        t->loaded++;
    }
    sq_bundle_free(b);
}

/* All of the smallest file, and of one with its columns first; every third of the others. */
Test(io_bytes, single_bytes_and_truncations_of_npy)
{
    static unsigned char bytes[8192];
    rng r = { 22 };
    for (int i = 0; i < COUNT(npy_golden); i++) {
        tally t = { 0 };
        size_t n = npy_golden[i].n;
        bool all = i == 0 || i == 30;
        cr_assert(n < sizeof bytes);
        memcpy(bytes, npy_golden[i].file, n);
        for (size_t at = 0; at < n; at++) {
            npy_or_refuse(bytes, at, &t);
            for (int k = 1; k < 256; k += all ? 1 : 40 + rng_below(&r, 80)) {
                bytes[at] ^= (unsigned char)k;
                npy_or_refuse(bytes, n, &t);
                bytes[at] ^= (unsigned char)k;
            }
        }
        cr_expect(t.refused > 128, "%s", npy_golden[i].what);
    }
}
