/* threads.h -- what the plain programs about threads share: how they fail, how many threads the
 * process has, what a forked child thinks of it.
 *
 * ThreadSanitizer has a thread of its own and forbids new ones in a forked child: under it
 * threads are not counted and children start none. Emulators of a process have threads of their
 * own, too, and qemu 7.2 breaks down where a forked child starts one. */
#ifndef SQT_THREADS_H
#define SQT_THREADS_H

#ifndef _POSIX_C_SOURCE
#error define _POSIX_C_SOURCE 200809L first
#endif

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN true
#endif
#elif defined __SANITIZE_THREAD__
#define UNDER_TSAN true
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN false
#endif

/* Ends the program with a sentence; _exit, because other threads may be at work. */
#define REQUIRE(condition, ...)            \
    do {                                   \
        if (!(condition)) {                \
            printf("line %d: ", __LINE__); \
            printf(__VA_ARGS__);           \
            printf("\n");                  \
            fflush(stdout);                \
            _exit(1);                      \
        }                                  \
    } while (0)

/* Threads that an emulator has besides the program's. */
static int foreign_threads;

/* Threads of this process, or 0 where that cannot be told. */
static inline int count_threads(void)
{
    DIR *tasks = UNDER_TSAN ? NULL : opendir("/proc/self/task");
    int n = 0;
    if (!tasks) return 0;
    for (struct dirent *e; (e = readdir(tasks)) != NULL;) n += e->d_name[0] != '.';
    closedir(tasks);
    return n - foreign_threads;
}

/* Before main the program has one thread. */
__attribute__((constructor)) static void count_foreign_threads(void)
{
    int n = count_threads();
    foreign_threads = n > 0 ? n - 1 : 0;
}

/* Whether a forked child may start threads. */
static inline bool children_may(void) { return !UNDER_TSAN && foreign_threads == 0; }

/* A joined thread leaves the table a moment later. */
static inline void expect_threads(int expected, const char *when)
{
    int n = count_threads();
    for (int i = 0; i < 1000000 && n != expected; i++) {
        sched_yield();
        n = count_threads();
    }
    REQUIRE(n == expected, "%s: %d threads, not %d", when, n, expected);
}

/* What a process without other threads counts. */
static inline int one_thread(void) { return count_threads() ? 1 : 0; }

enum { CHILD_WELL = 7 };

/* Forks a child that does what `child` says; true when it came to its end. */
static inline bool child_is_well(void (*child)(void *), void *context)
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    REQUIRE(pid >= 0, "no fork");
    if (pid == 0) {
        child(context);
        exit(CHILD_WELL);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid, "no child");
    return WIFEXITED(status) && WEXITSTATUS(status) == CHILD_WELL;
}

#endif
