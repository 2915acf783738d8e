/* pool.c -- threads that sleep until there is a job, and meet inside it.
 *
 * Everything rests on the gate: a number that one thread changes and others wait for. Workers
 * wait at `start` for the next job, and at `met` for the last of them to arrive at a barrier.
 * Who waits looks at the number for some microseconds, then gives its core to others between
 * looks, so that more threads than cores make progress too, then sleeps on a condition. Nobody
 * is missed: a sleeper counts itself before its last look, the one who opens the gate looks at
 * the count after its change, and all four accesses stand in one order (seq_cst).
 *
 * `job`, `context` and `n` are written before start opens and read behind it, by those only
 * whose number is below the n that start carries. The caller returns after a last barrier, so
 * whoever takes part is done with them. */
#define _POSIX_C_SOURCE 200809L /* pthread_sigmask */
#include "core/pool_impl.h"

#include <assert.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The gate `start` carries which job it is and how many run it: serial * COUNT + n. */
enum { MAX_WORKERS = 256, COUNT = 1024 };
enum { LINE = 64, N_SPINS = 200, N_YIELDS = 100 };

typedef struct gate {
    alignas(LINE) _Atomic uint64_t number;
    atomic_int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t opened;
} gate;

typedef struct worker {
    sqi_workers *pool;
    int32_t index;
    uint64_t seen; /* what start held before the first job for it */
    pthread_t thread;
} worker;

struct sqi_workers {
    gate start, met;
    alignas(LINE) atomic_int arrived; /* at the present barrier */
    alignas(LINE) pid_t owner;        /* the process the threads live in */
    int32_t n_threads;                /* beside the caller */
    int32_t n;                        /* of the running job, the caller included */
    sqi_job *job;                     /* NULL: end */
    void *context;
    fenv_t rounding; /* the caller's, so that bits do not depend on who computes them */
    worker workers[MAX_WORKERS];
};

/* ---- Gates ------------------------------------------------------------------------------- */

static bool gate_init(gate *g)
{
    atomic_init(&g->number, 0);
    atomic_init(&g->sleepers, 0);
    if (pthread_mutex_init(&g->mutex, NULL)) return false;
    if (!pthread_cond_init(&g->opened, NULL)) return true;
    pthread_mutex_destroy(&g->mutex);
    return false;
}

static void gate_end(gate *g)
{
    pthread_cond_destroy(&g->opened);
    pthread_mutex_destroy(&g->mutex);
}

/* Tells the core that this is a loop of waiting. */
static inline void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static uint64_t sleep_while(gate *g, uint64_t old)
{
    uint64_t now;
    pthread_mutex_lock(&g->mutex);
    atomic_fetch_add(&g->sleepers, 1);
    while ((now = atomic_load(&g->number)) == old) pthread_cond_wait(&g->opened, &g->mutex);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->mutex);
    return now;
}

/* Waits until the number is no longer `old`; the new one. */
static uint64_t gate_wait(gate *g, uint64_t old)
{
    for (int i = 0; i < N_SPINS + N_YIELDS; i++) {
        uint64_t now = atomic_load_explicit(&g->number, memory_order_acquire);
        if (now != old) return now;
        if (i < N_SPINS) relax();
        else sched_yield();
    }
    return sleep_while(g, old);
}

static void gate_open(gate *g, uint64_t number)
{
    atomic_store(&g->number, number);
    if (atomic_load(&g->sleepers) == 0) return;
    pthread_mutex_lock(&g->mutex);
    pthread_cond_broadcast(&g->opened);
    pthread_mutex_unlock(&g->mutex);
}

/* ---- Workers ----------------------------------------------------------------------------- */

void sqi_workers_meet(sqi_workers *w)
{
    if (!w) return;
    /* Who has arrived must not look at n any more: the next job may be beginning. */
    int32_t n = w->n;
    uint64_t barrier = atomic_load_explicit(&w->met.number, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&w->arrived, 1, memory_order_acq_rel) + 1 < n) {
        gate_wait(&w->met, barrier);
    } else {
        atomic_store_explicit(&w->arrived, 0, memory_order_relaxed);
        gate_open(&w->met, barrier + 1);
    }
}

static void *work(void *argument)
{
    const worker *me = argument;
    sqi_workers *w = me->pool;
    for (uint64_t seen = me->seen;;) {
        seen = gate_wait(&w->start, seen);
        int32_t n = (int32_t)(seen % COUNT);
        if (me->index >= n) continue;
        if (!w->job) return NULL;
        fesetenv(&w->rounding);
        w->job(w->context, w, me->index, n);
        sqi_workers_meet(w);
    }
}

/* Opens the gate for the workers 1 to n-1. */
static void begin(sqi_workers *w, int32_t n, sqi_job *job, void *context)
{
    w->n = n;
    w->job = job;
    w->context = context;
    fegetenv(&w->rounding);
    uint64_t serial = atomic_load_explicit(&w->start.number, memory_order_relaxed) / COUNT;
    gate_open(&w->start, (serial + 1) * COUNT + (uint64_t)n);
}

/* Signals are for the program's own threads; those that a worker's own mistake raises stay, so
 * that whoever handles crashes (a sanitizer, a debugger) hears of them. */
static void signals_to_block(sigset_t *set)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
    sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(set, own[i]);
}

/* Starts one thread. Kernels keep copies of 128 KiB on the stack, which is all that some systems
 * give a thread. */
static bool start(worker *next)
{
    enum { STACK_BYTES = 1 << 20 };
    pthread_attr_t attr;
    if (pthread_attr_init(&attr)) return false;
    bool ok = !pthread_attr_setstacksize(&attr, STACK_BYTES) &&
              !pthread_create(&next->thread, &attr, work, next);
    pthread_attr_destroy(&attr);
    return ok;
}

/* Starts threads until there are n workers, or as many as the system gives. */
static void grow(sqi_workers *w, int32_t n)
{
    sigset_t blocked, kept;
    if (w->n_threads + 1 >= n) return;
    signals_to_block(&blocked);
    if (pthread_sigmask(SIG_SETMASK, &blocked, &kept)) return;
    while (w->n_threads + 1 < n) {
        int32_t index = w->n_threads + 1;
        worker *next = &w->workers[index];
        *next = (worker){ .pool = w, .index = index, .seen = atomic_load(&w->start.number) };
        if (!start(next)) break;
        w->n_threads = index;
    }
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
}

/* ---- The pool ---------------------------------------------------------------------------- */

static sqi_workers *workers_new(void)
{
    sqi_workers *w = aligned_alloc(LINE, sizeof *w);
    if (!w) return NULL;
    memset(w, 0, sizeof *w);
    atomic_init(&w->arrived, 0);
    w->owner = getpid();
    if (!gate_init(&w->start)) {
        free(w);
        return NULL;
    }
    if (!gate_init(&w->met)) {
        gate_end(&w->start);
        free(w);
        return NULL;
    }
    return w;
}

/* The threads of the parent do not exist in a forked child, and its locks may be held by them:
 * they are left alone, and the child begins anew. */
static bool is_inherited(const sqi_workers *w) { return w->owner != getpid(); }

/* The pool with as many of n workers as can be had, or NULL for the caller alone. */
static sqi_workers *ready(sqi_workers **w, int32_t n)
{
    if (n <= 1) return NULL;
    if (*w && is_inherited(*w)) {
        free(*w);
        *w = NULL;
    }
    if (!*w) *w = workers_new();
    if (*w) grow(*w, n < MAX_WORKERS ? n : MAX_WORKERS);
    return *w && (*w)->n_threads > 0 ? *w : NULL;
}

void sqi_workers_run(sqi_workers **w, int32_t n, sqi_job *job, void *context)
{
    assert(job);
    sqi_workers *pool = ready(w, n);
    if (!pool) {
        job(context, NULL, 0, 1);
        return;
    }
    if (n > pool->n_threads + 1) n = pool->n_threads + 1;
    begin(pool, n, job, context);
    job(context, pool, 0, n);
    sqi_workers_meet(pool);
}

void sqi_workers_free(sqi_workers *w)
{
    if (!w) return;
    if (!is_inherited(w)) {
        begin(w, w->n_threads + 1, NULL, NULL);
        for (int32_t i = 1; i <= w->n_threads; i++) pthread_join(w->workers[i].thread, NULL);
        gate_end(&w->start);
        gate_end(&w->met);
    }
    free(w);
}
