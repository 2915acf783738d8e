/* pool.c -- the worker threads of core/pool: that a job runs on exactly n of them, that nobody
 * passes a barrier early, that they share the caller's rounding and none of its signals, that
 * what fails to start is done without, and that nothing is left of them.
 *
 * A program of its own, because it must run under ThreadSanitizer too. Linked with
 * -Wl,--wrap=pthread_create,--wrap=aligned_alloc, so that both can be made to fail. Nothing
 * sleeps or is timed; what the system does in its own time is asked for again, with a bound. */
#define _POSIX_C_SOURCE 200809L

#include "core/pool_impl.h"

#include "threads.h"

#include <errno.h>
#include <fenv.h>
#include <signal.h>

enum { MAX = 16, ROUNDS = UNDER_TSAN ? 5000 : 50000 };

/* ---- Failing on demand ------------------------------------------------------------------- */

typedef void *start_routine(void *);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, start_routine *, void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, start_routine *, void *);
void *__real_aligned_alloc(size_t, size_t);
void *__wrap_aligned_alloc(size_t, size_t);

static int threads_left = -1; /* that may start; -1: any number */
static bool no_memory;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, start_routine *start,
                          void *arg)
{
    if (threads_left == 0) return EAGAIN;
    if (threads_left > 0) threads_left--;
    return __real_pthread_create(thread, attr, start, arg);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return no_memory ? NULL : __real_aligned_alloc(align, n);
}

/* ---- Barriers ---------------------------------------------------------------------------- */

typedef struct sums {
    int rounds;
    int64_t slot[MAX];  /* of each worker, plain memory: only barriers keep it apart */
    int64_t total[MAX]; /* what each worker saw in all slots together */
    int32_t n;          /* that the workers were told */
    int visits[MAX];
} sums;

/* Round r: every worker writes r * (number + 1); behind the barrier all read all of them. */
static void add_up(void *context, sqi_workers *w, int32_t worker, int32_t n)
{
    sums *s = context;
    s->visits[worker]++;
    if (worker == 0) s->n = n;
    for (int r = 0; r < s->rounds; r++) {
        s->slot[worker] = (int64_t)r * (worker + 1);
        sqi_workers_meet(w);
        for (int32_t i = 0; i < n; i++) s->total[worker] += s->slot[i];
        sqi_workers_meet(w);
    }
}

/* sum over r of r times sum over i of (i + 1), in closed form. */
static int64_t right_total(int64_t rounds, int64_t n)
{
    return rounds * (rounds - 1) / 2 * (n * (n + 1) / 2);
}

static void run_and_check(sqi_workers **w, int32_t wanted, int32_t n, int rounds)
{
    sums s = { .rounds = rounds };
    sqi_workers_run(w, wanted, add_up, &s);
    REQUIRE(s.n == n, "%d workers asked for, %d expected, %d ran", wanted, n, s.n);
    for (int32_t i = 0; i < MAX; i++) {
        REQUIRE(s.visits[i] == (i < n), "worker %d of %d ran %d times", i, n, s.visits[i]);
        REQUIRE(s.total[i] == (i < n ? right_total(rounds, n) : 0), "worker %d of %d: %lld", i,
                n, (long long)s.total[i]);
    }
}

/* ---- The tests --------------------------------------------------------------------------- */

static const int32_t sizes[] = { 1, 2, 3, 5, 16 };
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void every_size(void)
{
    for (int i = 0; i < N_SIZES; i++) {
        sqi_workers *w = NULL;
        run_and_check(&w, sizes[i], sizes[i], sizes[i] <= 2 ? ROUNDS : ROUNDS / 10);
        REQUIRE((w == NULL) == (sizes[i] == 1), "threads for one worker");
        sqi_workers_free(w);
    }
    sqi_workers_free(NULL);
}

/* One pool, used by more and by fewer, awake and asleep. */
static void grow_and_shrink(void)
{
    static const int32_t order[] = { 2, 16, 1, 3, 5, 2, 16, 4, 0, 2 };
    sqi_workers *w = NULL, *other = NULL;
    for (int turn = 0; turn < 20; turn++)
        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
            run_and_check(&w, order[i], order[i] ? order[i] : 1, turn);
            if (turn % 10 == 0) run_and_check(&other, 2, 2, 1000); /* the first fall asleep */
        }
    sqi_workers_free(w);
    sqi_workers_free(other);
}

static void nested(void *context, sqi_workers *w, int32_t worker, int32_t n)
{
    sqi_workers **inner = context;
    for (int i = 0; i < 50; i++) {
        run_and_check(&inner[worker], 3, 3, 5);
        sqi_workers_meet(w);
    }
    REQUIRE(n == 3, "%d workers", n);
    sqi_workers_free(inner[worker]);
}

static void pools_within_pools(void)
{
    sqi_workers *outer = NULL, *inner[3] = { NULL };
    sqi_workers_run(&outer, 3, nested, inner);
    sqi_workers_free(outer);
}

static void free_at_any_time(void)
{
    for (int i = 0; i < 200; i++) {
        sqi_workers *w = NULL;
        run_and_check(&w, 1 + i % 5, 1 + i % 5, i % 3);
        sqi_workers_free(w);
    }
}

static void count_worker(void *context, sqi_workers *w, int32_t worker, int32_t n)
{
    int *visits = context;
    (void)w;
    (void)n;
    visits[worker]++;
}

static void more_than_there_may_be(void)
{
    static int visits[1000];
    sqi_workers *w = NULL;
    sqi_workers_run(&w, 1000, count_worker, visits);
    for (int i = 0; i < 1000; i++) REQUIRE(visits[i] == (i < 256), "worker %d", i);
    sqi_workers_free(w);
}

static void fewer_than_wanted(void)
{
    sqi_workers *w = NULL;
    threads_left = 0;
    run_and_check(&w, 5, 1, 3);
    threads_left = 2;
    run_and_check(&w, 5, 3, 3);
    threads_left = -1;
    run_and_check(&w, 5, 5, 3);
    sqi_workers_free(w);

    w = NULL;
    no_memory = true;
    run_and_check(&w, 5, 1, 3);
    REQUIRE(!w, "a pool without memory");
    no_memory = false;
    run_and_check(&w, 5, 5, 3);
    sqi_workers_free(w);
}

typedef struct surroundings {
    bool hears[MAX]; /* SIGINT or SIGALRM */
    int rounding[MAX];
} surroundings;

static bool hears_signals(void)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return !sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGALRM);
}

static void look_around(void *context, sqi_workers *w, int32_t worker, int32_t n)
{
    surroundings *s = context;
    (void)w;
    (void)n;
    s->hears[worker] = hears_signals();
    s->rounding[worker] = fegetround();
}

static void signals_and_rounding(void)
{
    static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_TONEAREST };
    sqi_workers *w = NULL;
    for (int i = 0; i < 3; i++) {
        surroundings s = { .hears = { false } };
        fesetround(modes[i]);
        sqi_workers_run(&w, 4, look_around, &s);
        for (int k = 0; k < 4; k++) {
            REQUIRE(s.hears[k] == (k == 0), "worker %d and signals", k);
            REQUIRE(s.rounding[k] == modes[i], "worker %d rounds otherwise", k);
        }
    }
    REQUIRE(hears_signals(), "the caller does not hear signals any more");
    sqi_workers_free(w);
}

static void child_frees(void *pool) { sqi_workers_free(*(sqi_workers **)pool); }

static void child_runs(void *pool)
{
    int alone = one_thread();
    expect_threads(alone, "child");
    run_and_check(pool, 3, 3, 100);
    run_and_check(pool, 5, 5, 100);
    child_frees(pool);
    expect_threads(alone, "child, freed");
}

static void child_forks(void *pool)
{
    run_and_check(pool, 2, 2, 10);
    REQUIRE(child_is_well(child_runs, pool), "the child's child");
    run_and_check(pool, 3, 3, 10);
    child_frees(pool);
}

/* With the workers awake or asleep, the child starts its own, and the parent goes on. */
static void forked(void)
{
    void (*const child[])(void *) = { child_frees, child_runs, child_forks };
    int kinds = children_may() ? 3 : 1;
    for (int i = 0; i < 12; i++) {
        sqi_workers *w = NULL, *other = NULL;
        run_and_check(&w, 3, 3, 100);
        if (i >= 6) run_and_check(&other, 2, 2, 1000);
        REQUIRE(child_is_well(child[i % kinds], &w), "child %d", i);
        run_and_check(&w, 4, 4, 100);
        sqi_workers_free(w);
        sqi_workers_free(other);
    }
}

int main(void)
{
    every_size();
    grow_and_shrink();
    pools_within_pools();
    free_at_any_time();
    more_than_there_may_be();
    fewer_than_wanted();
    signals_and_rounding();
    forked();
    expect_threads(one_thread(), "in the end");
    puts("fine");
    return 0;
}
