/* test_io_save.c -- a save is wholly the old or the new file. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, mkfifo, fork */
#include "tests/support/files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
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

/* ---- What crashes left behind ---- */

/* A process number says nothing: this one's own may be that of a process long dead, and one that
 * lives nowhere here may live on another machine. */
Test(io_save, what_nobody_holds_is_removed)
{
    static const char *const dead[] = { "a.999999999-0.tmp", "a.1-7.tmp", "a.0-999.tmp" };
    static const char *const others[] = { "a.tmp",       "a.1-.tmp",  "a.-1.tmp",
                                          "a.1-1.tmp2",  "b.1-1.tmp", "a.1_1.tmp",
                                          "ab.1-1.tmp",  "a.1-1.TMP", "a.x1-1.tmp",
                                          "a.1-1.1.tmp", "xa.1-1.tmp" };
    char own[64];
    snprintf(own, sizeof own, "a.%ld-0.tmp", (long)getpid());
    put(own, "rest", 4);
    for (int i = 0; i < COUNT(dead); i++) put(dead[i], "rest", 4);
    for (int i = 0; i < COUNT(others); i++) put(others[i], "rest", 4);
    cr_assert(mkdir("a.5-5.tmp", 0700) == 0 && symlink("b.1-1.tmp", "a.6-6.tmp") == 0);
    cr_assert(mkfifo("a.7-7.tmp", 0600) == 0);
    sq_bundle *b = block_of(3, 1);
    SAVE(b, "a");
    cr_expect(files_here() == 1 + COUNT(others) + 3 && value_in("a") == 3);
    for (int i = 0; i < COUNT(others); i++) {
        unsigned char bytes[8];
        cr_expect(take(others[i], bytes, sizeof bytes) == 4, "%s", others[i]);
    }
    cr_assert(mkdir("folder", 0700) == 0);
    put("folder/c.5-5.tmp", "rest", 4);
    put("c.5-5.tmp", "rest", 4);
    char absolute[64];
    snprintf(absolute, sizeof absolute, "%s/folder/c", folder);
    SAVE(b, absolute);
    cr_expect(access("folder/c.5-5.tmp", F_OK) != 0 && access("c.5-5.tmp", F_OK) == 0);
    cr_expect(unlink("folder/c") == 0);
    sq_bundle_free(b);
}

/* A child that holds the lock of a save under way, whatever its number says. */
Test(io_save, what_somebody_holds_is_left)
{
    int ready[2], done[2];
    char byte = 'x';
    put("a.999999999-0.tmp", "rest", 4);
    cr_assert(pipe(ready) == 0 && pipe(done) == 0);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        int fd = open("a.999999999-0.tmp", O_WRONLY);
        bool ok = fd >= 0 && flock(fd, LOCK_EX) == 0 && write(ready[1], &byte, 1) == 1;
        close(done[1]);
        _exit(ok && read(done[0], &byte, 1) == 0 ? 0 : 1);
    }
    cr_assert(read(ready[0], &byte, 1) == 1);
    sq_bundle *b = block_of(3, 1);
    SAVE(b, "a");
    cr_expect(files_here() == 2 && value_in("a") == 3);
    int status = 1;
    close(done[1]);
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    SAVE(b, "a");
    cr_expect(files_here() == 1);
    sq_bundle_free(b);
}

/* A save that a full disk stops in the middle is killed there, before it can tidy up. */
Test(io_save, a_kill_in_the_middle_of_a_save_leaves_what_the_next_removes)
{
    sq_bundle *old = block_of(1, 10), *next = block_of(2, 100000);
    SAVE(old, "a");
    for (int round = 0; round < 5; round++) {
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0) {
            struct rlimit small = { 5000 + (rlim_t)round * 16384, RLIM_INFINITY };
            (void)signal(SIGXFSZ, SIG_DFL); /* ends the process */
            (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
            (void)setrlimit(RLIMIT_FSIZE, &small);
            _exit((int)sq_bundle_save(next, "a"));
        }
        int status;
        cr_assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        cr_expect(files_here() == 2 && value_in("a") == 1, "round %d", round);
        SAVE(old, "a");
        cr_expect(files_here() == 1, "round %d", round);
    }
    sq_bundle_free(old);
    sq_bundle_free(next);
}

/* Each removes what it takes for left behind, while the others make and rename theirs; a third
 * is killed now and then. Every load in between is of one whole save. */
Test(io_save, processes_that_save_to_one_path_leave_one_whole_file)
{
    enum { SAVERS = 2, ROUNDS = 300 };
    sq_bundle *block[3] = { block_of(1, 2500), block_of(2, 3000), block_of(3, 50000) };
    SAVE(block[0], "a");
    pid_t savers[SAVERS];
    for (int k = 0; k < SAVERS; k++) {
        savers[k] = fork();
        cr_assert(savers[k] >= 0);
        if (savers[k] > 0) continue;
        for (int i = 0; i < FEWER(ROUNDS); i++)
            if (sq_bundle_save(block[k], "a") != SQ_OK) {
                fprintf(stderr, "%s\n", sq_bundle_message(block[k]));
                _exit(1);
            }
        _exit(0);
    }
    for (int i = 0; i < 20; i++) {
        pid_t victim = fork();
        cr_assert(victim >= 0);
        if (victim == 0)
            while (sq_bundle_save(block[2], "a") == SQ_OK) continue;
        for (int k = 0; k < 5; k++) {
            double value = value_in("a");
            cr_expect(value == 1 || value == 2 || value == 3, "%g", value);
        }
        cr_assert(kill(victim, SIGKILL) == 0 && waitpid(victim, NULL, 0) == victim);
    }
    for (int k = 0; k < SAVERS; k++) {
        int status = 1;
        cr_assert(waitpid(savers[k], &status, 0) == savers[k]);
        cr_expect(status == 0, "saver %d", k);
    }
    SAVE(block[1], "a");
    cr_expect(files_here() == 1 && value_in("a") == 2);
    for (int k = 0; k < 3; k++) sq_bundle_free(block[k]);
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
