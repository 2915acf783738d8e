/* peak_budget.c -- what the allocator says about budgets.
 *
 * All that is taken from the system goes through this file, which counts it. An LSTM with dropout and
 * a loss in every step is unrolled and swept under random budgets, eagerly and planned, in float and
 * double, on one thread and two. What an unroll takes beyond the budget and what it says lies beside
 * must not depend on the number of steps nor on the budget: handles, a plan, packed weights. It is
 * learned from a short sequence. A schedule of its own memory (checkpoint.h) and a chunk of the tape's
 * are SLACK. Prints the closest call; exits 1 where a budget is exceeded by more than a hundredth. */
#include "seqgrad.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The allocator ------------------------------------------------------------------------- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void __wrap_free(void *p);

static int64_t live, peak;

static void *counted(void *p)
{
    int64_t now = __atomic_add_fetch(&live, (int64_t)malloc_usable_size(p), __ATOMIC_RELAXED);
    if (now > peak) peak = now; /* only the tape's own thread takes memory */
    return p;
}

static void uncount(void *p)
{
    __atomic_sub_fetch(&live, (int64_t)malloc_usable_size(p), __ATOMIC_RELAXED);
}

void *__wrap_malloc(size_t n) { return counted(__real_malloc(n)); }
void *__wrap_calloc(size_t n, size_t size) { return counted(__real_calloc(n, size)); }
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return counted(__real_aligned_alloc(align, n));
}
void *__wrap_realloc(void *p, size_t n)
{
    uncount(p);
    return counted(__real_realloc(p, n));
}
void __wrap_free(void *p)
{
    uncount(p);
    __real_free(p);
}

/* ---- One unroll and its sweep -------------------------------------------------------------- */

enum { B = 8, H = 32, SHORT = 40, LONG = 400, SLACK = 16384 };

typedef struct setup {
    sq_dtype dtype;
    sq_mode mode;
    int32_t threads;
    sq_outputs outputs;
    sq_params *params;
    sq_lstm lstm;
} setup;

/* l = |h|^2, of a cell with dropout that sees its own h instead of an input. */
static sq_var loss_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const setup *s = self;
    sq_cell inner = sq_lstm_cell(&s->lstm);
    (void)x;
    state[1] = sq_dropout(state[1], .1, SQ_PER_STEP);
    inner.step(t, inner.self, state[0], state);
    return sq_sum(sq_square(state[0]));
}

typedef struct reading {
    int64_t taken;  /* at the most */
    int64_t needed; /* where the budget was too small: the least, as told */
    sq_unrolled_memory told;
    bool ok;
} reading;

static reading measure(const setup *s, int64_t steps, sq_unroll_options o)
{
    static const int64_t width[] = { H, H };
    reading r = { .ok = false };
    sq_cell cell = {
        .name = "wet", .n_states = 2, .width = width, .step = loss_step, .self = s
    };
    o.mode = s->mode;
    o.outputs = s->outputs;
    o.steps = steps;
    o.batch = B;
    int64_t before = live;
    sq_tape *t = sq_tape_new(s->dtype, s->params);
    sq_tape_set_threads(t, s->threads);
    sq_var h0[] = { sq_full(t, sq_mat(B, H), .5), { 0 } };
    const sq_unrolled *u = sq_unroll(t, &cell, (sq_var){ 0 }, h0, &o);
    int64_t after =
        live; /* making a schedule takes more for the while, before any step is kept */
    peak = 0;
    r.ok = u && sq_backward(sq_sum(sq_unrolled_outputs(u))) == SQ_OK;
    r.taken = (peak > after ? peak : after) - before;
    r.told = sq_unroll_memory(u);
    const char *least = strstr(sq_message(t), " take");
    if (!u && least) r.needed = strtoll(least + strcspn(least, "0123456789"), NULL, 10);
    else if (!r.ok) printf("%s\n", sq_message(t));
    sq_tape_free(t);
    return r;
}

/* ---- Draws --------------------------------------------------------------------------------- */

static double draw(void)
{
    static uint64_t n;
    return sq_random_uniform(sq_random_stream(3, 0, 0, 0), n++, 0);
}

static int64_t least_of(const setup *s, int64_t steps)
{
    return measure(s, steps, (sq_unroll_options){ .budget_bytes = 1 }).needed;
}

/* The part of a reading that is neither the budget's nor beside it. */
static int64_t rest_of(const reading *r)
{
    return r->taken - r->told.peak_bytes - r->told.beside_bytes;
}

/* That of a short sequence: all kept, or as little as can be. */
static int64_t short_rest(const setup *s)
{
    reading all = measure(s, SHORT, (sq_unroll_options){ .every = SHORT }),
            few = measure(s, SHORT, (sq_unroll_options){ .budget_bytes = least_of(s, SHORT) });
    int64_t a = rest_of(&all), b = rest_of(&few);
    return !all.ok || !few.ok ? 0 : a > b ? a : b;
}

/* How much a budget is exceeded by, as a part of it; 1 for whatever else is wrong. */
static double exceeds(const setup *s, int64_t steps, sq_checkpoint_policy policy)
{
    int64_t least = least_of(s, steps), rest = short_rest(s);
    reading all = measure(s, steps, (sq_unroll_options){ .every = steps });
    if (!all.ok || !rest || !least) return 1;
    double part = draw() * draw(), full = (double)all.told.peak_bytes;
    sq_unroll_options o = { .policy = policy, .budget_bytes = least + (int64_t)(part * full) };
    reading r = measure(s, steps, o);
    int64_t more = rest_of(&r) - rest - SLACK;
    double over = (double)(more > 0 ? more : 0) / (double)o.budget_bytes;
    bool told = r.told.peak_bytes <= o.budget_bytes && r.told.peak_bytes > 0;
    if (!r.ok || !told || over > .01)
        printf(
            "%s, %s, %d threads, T = %d, budget %lld: %lld taken, %lld + %lld told, beside the "
            "%lld of %d steps\n",
            sq_dtype_name(s->dtype), s->mode == SQ_PLAN ? "plan" : "eager", (int)s->threads,
            (int)steps, (long long)o.budget_bytes, (long long)r.taken,
            (long long)r.told.peak_bytes, (long long)r.told.beside_bytes, (long long)rest,
            SHORT);
    return r.ok && told ? over : 1;
}

int main(void)
{
    /* Sanitizers make it slow: there, each combination once. */
    int draws = getenv("SQ_SANITIZED") ? 16 : 80, bad = 0;
    double worst = 0;
    for (int i = 0; i < draws; i++) {
        setup s = { .dtype = (sq_dtype)(i & 1),
                    .mode = i & 2 ? SQ_PLAN : SQ_EAGER,
                    .threads = 1 + (i >> 2 & 1),
                    .outputs = i >> 3 & 1 ? SQ_OUTPUTS_SUM : SQ_OUTPUTS_LAST };
        s.params = sq_params_new(s.dtype);
        if (sq_lstm_init(&s.lstm, s.params, "lstm", H, H, 1)) return 1;
        double over = exceeds(&s, SHORT + (int64_t)(draw() * (LONG - SHORT)),
                              i % 5 ? SQ_MIXED : SQ_REVOLVE);
        if (over > worst) worst = over;
        bad += over > .01;
        sq_params_free(s.params);
    }
    printf("%d budgets, exceeded by %.2f %% at most, %lld bytes left\n", draws, 100 * worst,
           (long long)live);
    return bad != 0;
}
