/* test_io_save.c -- a save is wholly the old or the new file. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, mkfifo, fork */
#include "tests/support/files.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(io_save, .init = enter, .fini = leave);

static sq_bundle *block_of(double value, int64_t n)
{
    sq_bundle *b = sq_bundle_new();
    double *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = value;
    sq_bundle_add_f64(b, "x", sq_vec(n), x);
    free(x);
    ASSERT_BUNDLE(b);
    return b;
}

/* The value everywhere in the file, NaN when it is not one whole save. */
static double value_in(const char *path)
{
    sq_bundle *b = sq_bundle_load(path);
    ASSERT_BUNDLE(b);
    const sq_tensor *t = sq_bundle_find(b, "x");
    const double *x = t->values;
    double first = x[0];
    for (int64_t i = 0; i < t->count; i++)
        if (x[i] != first) first = (double)NAN;
    sq_bundle_free(b);
    return first;
}

static void expect_unsaved(sq_bundle *b, const char *path, const char *says)
{
    cr_expect(sq_bundle_save(b, path) != SQ_OK, "%s", path ? path : "NULL");
    EXPECT_CONTAINS(sq_bundle_message(b), says);
    sq_bundle_clear_error(b);
}

/* A fifo stands for devices: a mistake here, made by root, would replace them. */
Test(io_save, where_nothing_can_be_saved)
{
    sq_bundle *b = block_of(1, 10);
    char longer[400];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    cr_assert(mkdir("folder", 0700) == 0 && mkfifo("fifo", 0600) == 0);
    cr_assert(symlink("fifo", "link") == 0);
    put("file", "old", 3);
    expect_unsaved(b, "nowhere/a", "save \"nowhere/a\": cannot be written: No such file");
    expect_unsaved(b, "file/a", "save \"file/a\": cannot be written: Not a directory");
    expect_unsaved(b, "new/", "save \"new/\": cannot be written: No such file");
    expect_unsaved(b, "folder", "save \"folder\": is a directory");
    expect_unsaved(b, "folder/", "is a directory");
    expect_unsaved(b, "fifo", "save \"fifo\": is not a regular file");
    expect_unsaved(b, "link", "is not a regular file");
    expect_unsaved(b, longer, "File name too long");
    expect_unsaved(b, "", "there is no path");
    expect_unsaved(b, NULL, "there is no path");
    cr_expect(files_here() == 4);
    if (geteuid() != 0) {
        cr_assert(chmod("folder", 0500) == 0);
        expect_unsaved(b, "folder/a", "Permission denied");
    }
    sq_bundle_free(b);
}

/* The limit on a file's size stands for a full disk. */
Test(io_save, a_full_disk_leaves_the_old_file_whole)
{
    sq_bundle *old = block_of(1, 10), *new = block_of(2, 10000);
    SAVE(old, "a");
    struct rlimit limit;
    cr_assert(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct rlimit small = { 5000, limit.rlim_max };
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &small) == 0);
    sq_status s = sq_bundle_save(new, "a");
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    (void)signal(SIGXFSZ, before);
    cr_expect(s == SQ_EFILE);
    EXPECT_BUNDLE_ERROR(new, SQ_EFILE, "save \"a\": cannot be written: File too large");
    cr_expect(files_here() == 1 && value_in("a") == 1);
    SAVE(new, "a");
    cr_expect(files_here() == 1 && value_in("a") == 2);
    sq_bundle_free(old);
    sq_bundle_free(new);
}

Test(io_save, a_file_gets_the_permissions_of_a_new_one)
{
    sq_bundle *b = block_of(1, 1);
    struct stat s;
    mode_t before = umask(027);
    SAVE(b, "a");
    umask(077);
    SAVE(b, "b");
    umask(before);
    cr_expect(stat("a", &s) == 0 && (s.st_mode & 0777) == 0640);
    cr_expect(stat("b", &s) == 0 && (s.st_mode & 0777) == 0600);
    sq_bundle_free(b);
}

Test(io_save, what_a_crash_left_behind_is_passed_over)
{
    char name[64];
    snprintf(name, sizeof name, "a.%ld-0.tmp", (long)getpid());
    put(name, "rest", 4);
    sq_bundle *b = block_of(3, 1);
    SAVE(b, "a");
    unsigned char bytes[8];
    cr_expect(take(name, bytes, sizeof bytes) == 4 && files_here() == 2 && value_in("a") == 3);
    sq_bundle_free(b);
}

Test(io_save, paths_with_and_without_folders)
{
    sq_bundle *b = block_of(3, 1);
    char absolute[64];
    snprintf(absolute, sizeof absolute, "%s/absolute", folder);
    cr_assert(mkdir("folder", 0700) == 0);
    SAVE(b, absolute);
    SAVE(b, "./here");
    SAVE(b, "folder//there");
    cr_expect(value_in("absolute") == 3 && value_in("here") == 3);
    cr_expect(value_in("folder/there") == 3 && unlink("folder/there") == 0);
    sq_bundle_free(b);
}

/* A child saves 1, 2, 1, 2 ... and is killed at no particular moment. */
Test(io_save, a_kill_leaves_a_whole_file)
{
    sq_bundle *one = block_of(1, 20000), *two = block_of(2, 20000);
    SAVE(one, "a");
    for (int round = 0; round < 12; round++) {
        int ends[2];
        char byte;
        cr_assert(pipe(ends) == 0);
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0) {
            for (int i = 0;; i++) {
                if (sq_bundle_save(i % 2 ? one : two, "a") != SQ_OK) _exit(1);
                if (write(ends[1], "x", 1) != 1) _exit(1);
            }
        }
        for (int i = 0; i < 1 + round % 4; i++) cr_assert(read(ends[0], &byte, 1) == 1);
        cr_assert(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        close(ends[0]);
        close(ends[1]);
        double value = value_in("a");
        cr_expect(value == 1 || value == 2, "%g", value);
    }
    sq_bundle_free(one);
    sq_bundle_free(two);
}
