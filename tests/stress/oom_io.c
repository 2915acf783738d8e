/* oom_io.c -- every allocation and every system call of saving and loading, failing in turn.
 *
 * A run fills a bundle with weights and an optimizer's state, saves it over an older file, loads
 * it and gives the state to fresh objects. It is repeated once for every call it makes, with
 * that one failing: the run must end in an error of its kind, the file must be wholly the old or
 * the new one with nothing left beside it, the objects must be as before or as loaded, and the
 * same must succeed when tried again. Calls that only do part of their work, or are interrupted,
 * are no failures. Prints what it did; exits 1 on the first thing that is wrong. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "seqgrad.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* ---- Calls that can fail ------------------------------------------------------------------ */

static enum { MEMORY, SYSTEM } failing;
static bool armed, fail_on; /* only the library's calls; the n-th and all later ones */
static long calls[2], fail_at = -1;
static int hindrance; /* 1: as little as possible at once, 2: interrupted every other time */

static bool fails(int kind)
{
    long n = calls[kind];
    calls[kind] += armed;
    return armed && kind == (int)failing && fail_at >= 0 &&
           (n == fail_at || (fail_on && n > fail_at));
}

/* A failing system call that is none of memory: the disk is at its end. */
static bool breaks(void)
{
    bool failed = fails(SYSTEM);
    if (failed) errno = EIO;
    return failed;
}

static bool interrupted(void)
{
    static int turn;
    bool now = armed && hindrance == 2 && ++turn % 2;
    if (now) errno = EINTR;
    return now;
}

#define WRAP(result, name, parameters, arguments, failure) \
    result __real_##name parameters;                       \
    result __wrap_##name parameters;                       \
    result __wrap_##name parameters { return failure ? (result)-1 : __real_##name arguments; }

#define WRAP_MEMORY(name, parameters, arguments) \
    void *__real_##name parameters;              \
    void *__wrap_##name parameters;              \
    void *__wrap_##name parameters { return fails(MEMORY) ? NULL : __real_##name arguments; }

WRAP_MEMORY(malloc, (size_t n), (n))
WRAP_MEMORY(calloc, (size_t n, size_t size), (n, size))
WRAP_MEMORY(realloc, (void *p, size_t n), (p, n))
WRAP_MEMORY(aligned_alloc, (size_t align, size_t n), (align, n))

static size_t little(size_t n) { return armed && hindrance == 1 && n > 3 ? 3 : n; }

WRAP(ssize_t, read, (int fd, void *to, size_t n), (fd, to, little(n)),
     breaks() || interrupted())
WRAP(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, little(n)),
     breaks() || interrupted())
WRAP(int, fsync, (int fd), (fd), breaks() || interrupted())
WRAP(int, rename, (const char *from, const char *to), (from, to), breaks())
WRAP(int, flock, (int fd, int operation), (fd, operation), breaks()) /* no locks here */

/* The descriptor is gone even when closing fails. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);
    return breaks() ? -1 : result;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = flags & O_CREAT ? va_arg(args, unsigned) : 0;
    va_end(args);
    return breaks() || interrupted() ? -1 : __real_open(path, flags, mode);
}

#define REQUIRE(condition, ...)                                                         \
    do {                                                                                \
        if (!(condition)) {                                                             \
            armed = false;                                                              \
            printf("line %d, %s call %ld%s: ", __LINE__, failing ? "system" : "memory", \
                   fail_at, fail_on ? " on" : "");                                      \
            printf(__VA_ARGS__);                                                        \
            printf("\n");                                                               \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

/* ---- The scenario ------------------------------------------------------------------------- */

enum { N = 3000 }; /* more than one chunk of a save */

typedef struct world {
    sq_params *p;
    sq_optim *o;
} world;

static world world_new(double value)
{
    static double x[N];
    for (int i = 0; i < N; i++) x[i] = value;
    world w = { .p = sq_params_new(SQ_F64) };
    sq_weight W = sq_params_add(w.p, "W", sq_mat(N / 10, 10));
    sq_weight_set_f64(w.p, W, x);
    w.o = sq_optim_new(w.p, &(sq_optim_options){ .kind = SQ_ADAM, .rate = value });
    REQUIRE(w.o && sq_optim_step_flat(w.o, x) == SQ_OK, "%s", sq_params_message(w.p));
    return w;
}

static void world_free(world *w)
{
    sq_optim_free(w->o);
    sq_params_free(w->p);
}

static double first_weight(const world *w) { return ((const double *)sq_params_view(w->p))[0]; }

/* Bundle, file. NULL or a status: whichever comes first. */
static sq_status save(const world *w)
{
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "model", w->p);
    sq_bundle_add_optim(b, "optim", w->o);
    sq_bundle_set_text(b, "a", "text");
    sq_bundle_set_text(b, "a", "another");
    sq_status s = sq_bundle_save(b, "file");
    REQUIRE(s == SQ_OK || !b || sq_bundle_message(b)[0], "no sentence");
    sq_bundle_free(b);
    return s;
}

static sq_status load(world *w)
{
    sq_bundle *b = sq_bundle_load("file");
    bool empty = sq_bundle_count(b) == 0 && sq_bundle_text_count(b) == 0;
    REQUIRE(empty == (sq_bundle_status(b) != SQ_OK), "a failed load left something");
    sq_bundle_get_params(b, "model", w->p);
    sq_bundle_get_optim(b, "optim", w->o);
    sq_status s = sq_bundle_status(b);
    REQUIRE(s == SQ_OK || !b || sq_bundle_message(b)[0], "no sentence");
    REQUIRE(s || strcmp(sq_bundle_text(b, "a"), "another") == 0, "the text is lost");
    sq_bundle_free(b);
    return s;
}

static int files_here(void)
{
    int n = 0;
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* What the file holds: the first weight and the rate, which belong together. */
static double value_of_file(void)
{
    world w = world_new(9);
    REQUIRE(load(&w) == SQ_OK, "the file is broken");
    double value = first_weight(&w);
    world_free(&w);
    return value;
}

/* The weights as an array beside the file, and back. Told wrongly, or half there: the end. */
static sq_status array_through_a_file(const world *w)
{
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, NULL, w->p);
    sq_status s = sq_bundle_save_npy(b, "W", "array");
    sq_status t = s == SQ_OK ? sq_bundle_add_npy(b, "back", "array") : s;
    const sq_tensor *back = sq_bundle_find(b, "back");
    REQUIRE((t == SQ_OK) == (back != NULL) && (!t || !b || sq_bundle_message(b)[0]),
            "an array");
    if (back)
        REQUIRE(memcmp(back->values, sq_params_view(w->p), N * sizeof(double)) == 0, "values");
    sq_bundle_free(b);
    return t;
}

static sq_status array_scenario(const world *w)
{
    armed = true;
    sq_status s = array_through_a_file(w);
    armed = false;
    REQUIRE(files_here() <= 2, "something lies beside the array");
    REQUIRE(array_through_a_file(w) == SQ_OK && unlink("array") == 0, "tried again");
    return s;
}

/* Saves `next` over the file of `old` and loads it, with its failure; then without. */
static sq_status scenario(const world *old, const world *next, bool *hit)
{
    REQUIRE(save(old) == SQ_OK, "the old file");
    world w = world_new(5);
    double before = first_weight(&w);
    calls[0] = calls[1] = 0;
    armed = true;
    sq_status s = save(next);
    sq_status t = s == SQ_OK ? load(&w) : SQ_OK;
    armed = false;
    REQUIRE(files_here() == 1, "something lies beside the file");
    sq_status array = array_scenario(next);
    *hit = calls[failing] > fail_at;
    double value = value_of_file(), now = first_weight(&w);
    REQUIRE(value == first_weight(old) || value == first_weight(next), "half a file");
    REQUIRE(s || value == first_weight(next), "saved, but not there");
    REQUIRE(now == before || now == value, "half a load");
    REQUIRE(save(next) == SQ_OK && load(&w) == SQ_OK, "tried again");
    REQUIRE(first_weight(&w) == first_weight(next), "tried again");
    REQUIRE(sq_optim_rate(w.o) == sq_optim_rate(next->o), "tried again");
    world_free(&w);
    return s ? s : t ? t : array;
}

/* A folder that cannot be opened or closed, a file closed after reading, and a lock that is not to
 * be had cannot harm what was done: those failures may go untold, of two files each. */
static void fail_everything(const world *old, const world *next)
{
    static const sq_status expected[] = { SQ_ENOMEM, SQ_EFILE };
    long told = 0;
    for (fail_at = 0;; fail_at++) {
        bool hit;
        sq_status s = scenario(old, next, &hit);
        if (!hit) {
            REQUIRE(s == SQ_OK, "an error without a failure: %d", (int)s);
            break;
        }
        REQUIRE(s == expected[failing] || (failing == SYSTEM && s == SQ_OK), "status %d",
                (int)s);
        told += s != SQ_OK;
    }
    printf("%ld %s calls failing, %s: %ld errors\n", fail_at, failing ? "system" : "memory",
           fail_on ? "lasting" : "single", told);
    REQUIRE(fail_at > 15 && fail_at - told <= (failing == MEMORY ? 0 : 8), "too few errors");
    fail_at = -1;
}

static void hinder(const world *old, const world *next)
{
    for (hindrance = 1; hindrance <= 2; hindrance++) {
        bool hit;
        REQUIRE(scenario(old, next, &hit) == SQ_OK, "hindrance %d", hindrance);
        printf("%ld system calls %s: no error\n", calls[SYSTEM],
               hindrance == 1 ? "doing little each" : "interrupted in between");
        REQUIRE(value_of_file() == first_weight(next), "hindrance %d", hindrance);
    }
    hindrance = 0;
}

int main(void)
{
    char in_memory[] = "/dev/shm/sq_oom_XXXXXX", on_disk[] = "/tmp/sq_oom_XXXXXX";
    const char *folder = mkdtemp(in_memory); /* saves wait for the disk where there is one */
    if (!folder) folder = mkdtemp(on_disk);
    REQUIRE(folder && chdir(folder) == 0, "no folder");
    world old = world_new(1), next = world_new(2);
    for (int i = 0; i < 4; i++) {
        failing = i < 2 ? MEMORY : SYSTEM;
        fail_on = i & 1;
        fail_everything(&old, &next);
    }
    fail_on = false;
    hinder(&old, &next);
    world_free(&old);
    world_free(&next);
    return unlink("file") || chdir("/") || rmdir(folder);
}
