/* bench_memory -- what backpropagation through time takes, and what a budget of bytes makes of it.
 *
 * An LSTM with a scalar loss in every step, outputs summed, planned, on one thread; every row runs in
 * a process of its own, so that its peak is its own. A step of training is forward, sweep, all
 * gradients, those of the inputs too.
 *
 *     memory   the process's peak beyond what it held with weights and inputs made
 *     held     what the tape had allocated in the end
 *     us/step  of one time step: best of the rounds; mean of all, the first as well */
#define _DEFAULT_SOURCE
#include "tests/bench/isa.h"

#include "seqgrad.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: bench_memory [options]\n"
    "  Peak memory and time of BPTT through an LSTM against the number of steps.\n"
    "  --shape B,I,H    default: 1,1,128\n"
    "  --steps T,...    default: 1000,10000,100000,1000000\n"
    "  --budget KIND    full, sqrt, 5%, or bytes (64000000); several by commas\n"
    "                   (default: full,sqrt,5%)\n"
    "  --most MB        leaves out a full run that would hold more (default: 8000)\n"
    "  --rounds N       rounds of a row (default: 3)\n"
    "  --f64            in double\n"
    "  --check          instead: dx of the last tenth of the steps under a budget, in double,\n"
    "                   against a full run over those steps alone\n"
    "  --help           this text\n" ISA_USAGE;

typedef struct options {
    int64_t steps[16];
    long batch, in, hidden;
    int n_steps, rounds;
    const char *budget;
    double most;
    sq_dtype dtype;
    bool check, help;
} options;

enum { MOST_KINDS = 256 }; /* letters of a list of budgets */

/* ---- The network --------------------------------------------------------------------------- */

typedef struct net {
    sq_params *params;
    sq_lstm lstm;
    sq_cell inner, cell;
    sq_weight V;
    int64_t width[2];
    double *x;
} net;

/* l_t = |h_t V|^2, summed over the batch. */
static sq_var loss_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const net *n = self;
    n->inner.step(t, n->inner.self, x, state);
    return sq_sum(sq_square(sq_matmul(state[0], sq_use(t, n->V))));
}

static void net_init(net *n, const options *o, int64_t steps)
{
    int64_t size = steps * o->batch * o->in;
    n->params = sq_params_new(o->dtype);
    sq_lstm_init(&n->lstm, n->params, "lstm", o->in, o->hidden, 1);
    n->V = sq_params_add(n->params, "V", sq_mat(o->hidden, 1));
    sq_init_uniform_hidden(n->params, n->V, o->hidden, 2);
    n->inner = sq_lstm_cell(&n->lstm);
    n->width[0] = n->width[1] = o->hidden;
    n->cell = (sq_cell){ .name = "lstm with a loss",
                         .n_states = 2,
                         .width = n->width,
                         .step = loss_step,
                         .self = n };
    n->x = malloc((size_t)size * sizeof *n->x);
    sq_random r = sq_random_stream(1, 0, 0, 0);
    for (int64_t i = 0; n->x && i < size; i++)
        n->x[i] = 2 * sq_random_uniform(r, (uint64_t)i, 0) - 1;
}

static void net_free(net *n)
{
    sq_params_free(n->params);
    free(n->x);
}

/* ---- A row --------------------------------------------------------------------------------- */

typedef struct row {
    bool ok;
    double seconds, mean, peak, held; /* best of the rounds, mean */
    double full;                      /* bytes that all steps would save */
    sq_unrolled_memory memory;
    char why[256];
} row;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_mb(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss / 1e3;
}

static double bytes_of(const options *o, const net *n, int64_t steps)
{
    sq_tape *t = sq_tape_new(o->dtype, n->params);
    sq_var x = sq_input(t, sq_shape3(steps, o->batch, o->in), n->x);
    sq_unroll_options how = { .outputs = SQ_OUTPUTS_SUM, .every = steps };
    int64_t bytes =
        sq_unroll_memory(sq_unroll(t, &n->cell, x, NULL, &how)).predicted.peak_bytes;
    sq_tape_free(t);
    return (double)bytes;
}

/* Bytes that all steps would save: told by what many steps take more than fewer, both more than are run
 * at once, so that scratch takes no part. */
static row full_bytes(const options *o, const char *kind, int64_t steps, double full)
{
    enum { FEW = 512 };
    net n;
    (void)kind, (void)full;
    net_init(&n, o, 2 * FEW);
    double step = (bytes_of(o, &n, 2 * FEW) - bytes_of(o, &n, FEW)) / FEW;
    net_free(&n);
    return (row){ .ok = true, .full = step * (double)steps };
}

static sq_unroll_options options_of(const char *kind, double full)
{
    sq_unroll_options u = { .outputs = SQ_OUTPUTS_SUM };
    if (strcmp(kind, "sqrt") == 0) u.every = SQ_EVERY_SQRT;
    else if (strcmp(kind, "5%") == 0) u.budget_bytes = (int64_t)(.05 * full);
    else if (strcmp(kind, "full") != 0) u.budget_bytes = strtoll(kind, NULL, 10);
    return u;
}

static bool train_once(sq_tape *t, const options *o, const net *n, int64_t steps,
                       const sq_unroll_options *how, sq_unrolled_memory *memory)
{
    sq_tape_reset(t);
    sq_zero_grads(t);
    sq_var x = sq_leaf(t, sq_shape3(steps, o->batch, o->in), n->x);
    const sq_unrolled *u = sq_unroll(t, &n->cell, x, NULL, how);
    bool ok = sq_backward(sq_unrolled_outputs(u)) == SQ_OK;
    *memory = sq_unroll_memory(u);
    return ok;
}

static row measure(const options *o, const char *kind, int64_t steps, double full)
{
    row r = { .ok = true, .seconds = INFINITY };
    sq_unroll_options how = options_of(kind, full);
    if (strcmp(kind, "full") == 0 && full > 1e6 * o->most) {
        r.ok = false;
        snprintf(r.why, sizeof r.why, "left out: it would hold %.0f MB", full / 1e6);
        return r;
    }
    net n;
    net_init(&n, o, steps);
    double before = peak_mb();
    sq_tape *t = sq_tape_new(o->dtype, n.params);
    for (int i = 0; i < o->rounds && r.ok; i++) {
        double start = now();
        r.ok = train_once(t, o, &n, steps, &how, &r.memory);
        double took = now() - start;
        if (took < r.seconds) r.seconds = took;
        r.mean += took / o->rounds;
    }
    snprintf(r.why, sizeof r.why, "%s", sq_message(t));
    r.peak = peak_mb() - before;
    r.held = (double)sq_tape_statistics(t).held_bytes / 1e6;
    sq_tape_free(t);
    net_free(&n);
    return r;
}

/* One of the two, in a child process. */
static row apart(row (*what)(const options *, const char *, int64_t, double), const options *o,
                 const char *kind, int64_t steps, double full)
{
    int ends[2];
    row r = { .why = "no process" };
    if (pipe(ends)) return r;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        r = what(o, kind, steps, full);
        _exit(write(ends[1], &r, sizeof r) == (ssize_t)sizeof r ? 0 : 1);
    }
    close(ends[1]);
    if (child > 0 && read(ends[0], &r, sizeof r) != (ssize_t)sizeof r)
        r = (row){ .why = "it died" };
    close(ends[0]);
    if (child > 0) waitpid(child, NULL, 0);
    return r;
}

static void print_row(const options *o, const char *kind, int64_t steps)
{
    double full = apart(full_bytes, o, kind, steps, 0).full;
    row r = apart(measure, o, kind, steps, full);
    printf("%-9lld %-12s ", (long long)steps, kind);
    if (!r.ok) {
        printf("%s\n", r.why);
        return;
    }
    printf("%10.1f %10.1f %10.2f %10.2f %10lld %11.2f\n", r.peak, r.held,
           1e6 * r.seconds / (double)steps, 1e6 * r.mean / (double)steps,
           (long long)r.memory.extra_steps, 1e3 * r.memory.schedule_seconds);
}

/* ---- The check ----------------------------------------------------------------------------- */

/* dx of steps [from, steps), started from the states before them; false after printing why. */
static bool tail_gradient(const options *o, const net *n, int64_t from, int64_t steps,
                          const sq_unroll_options *how, sq_var *states, double *dx)
{
    sq_tape *t = sq_tape_new(o->dtype, n->params);
    int64_t size = o->batch * o->in;
    double *state[2] = { NULL, NULL };
    sq_var first[2];
    for (int k = 0; k < 2 && from; k++) {
        state[k] = malloc((size_t)(o->batch * o->hidden) * sizeof(double));
        sq_copy_f64(states[k], state[k]);
        first[k] = sq_input(t, sq_mat(o->batch, o->hidden), (const double *)state[k]);
    }
    sq_var x = sq_leaf(t, sq_shape3(steps - from, o->batch, o->in),
                       (const double *)n->x + from * size);
    const sq_unrolled *u = sq_unroll(t, &n->cell, x, from ? first : NULL, how);
    bool ok = sq_backward(sq_unrolled_outputs(u)) == SQ_OK && sq_grad_copy_f64(x, dx) == SQ_OK;
    if (!ok) puts(sq_message(t));
    for (int k = 0; k < 2; k++) free(state[k]);
    sq_tape_free(t);
    return ok;
}

static int check(const options *o)
{
    int64_t steps = o->steps[0], from = steps - (steps >= 100000 ? 10000 : steps / 10);
    int64_t size = o->batch * o->in;
    net n;
    net_init(&n, o, steps);
    double *all = malloc((size_t)(steps * size) * sizeof *all);
    double *tail = malloc((size_t)((steps - from) * size) * sizeof *tail), worst = 0,
           largest = 0;
    const char *kind = strcmp(o->budget, "full,sqrt,5%") ? o->budget : "5%";
    sq_unroll_options budget = options_of(kind, full_bytes(o, kind, steps, 0).full);
    sq_unroll_options full = { .outputs = SQ_OUTPUTS_SUM };

    sq_tape *t = sq_tape_new(o->dtype, n.params); /* the states before the tail */
    sq_tape_set_inference(t, true);
    sq_var x = sq_input(t, sq_shape3(from, o->batch, o->in), (const double *)n.x), states[2];
    sq_unrolled_last(sq_unroll(t, &n.cell, x, NULL, &full), states);
    bool ok = tail_gradient(o, &n, 0, steps, &budget, NULL, all) &&
              tail_gradient(o, &n, from, steps, &full, states, tail);
    for (int64_t i = 0; ok && i < (steps - from) * size; i++) {
        double want = tail[i], e = fabs(all[from * size + i] - want);
        if (fabs(want) > largest) largest = fabs(want);
        if (e > worst || isnan(e)) worst = e; /* a NaN stays */
    }
    if (ok)
        printf("dx of the last %lld of %lld steps: differs by %.3g of its largest\n",
               (long long)(steps - from), (long long)steps, worst / largest);
    sq_tape_free(t);
    net_free(&n);
    free(all);
    free(tail);
    return !(ok && worst <= 1e-10 * largest);
}

/* ---- The program --------------------------------------------------------------------------- */

static bool read_steps(options *o, const char *text)
{
    for (o->n_steps = 0; *text && o->n_steps < 16;) {
        char *end;
        int64_t steps = strtoll(text, &end, 10);
        if (end == text || steps < 100 || (*end && *end != ',')) return false;
        o->steps[o->n_steps++] = steps;
        text = *end ? end + 1 : end;
    }
    return o->n_steps > 0 && !*text;
}

static bool read_shape(options *o, const char *text)
{
    char rest;
    return sscanf(text, "%ld,%ld,%ld%c", &o->batch, &o->in, &o->hidden, &rest) == 3 &&
           o->batch > 0 && o->in > 0 && o->hidden > 0;
}

static bool is_kind(const char *text, size_t n)
{
    static const char *const words[] = { "full", "sqrt", "5%" };
    for (int i = 0; i < 3; i++)
        if (strlen(words[i]) == n && !memcmp(text, words[i], n)) return true;
    return n > 0 && n < 19 && *text != '0' && strspn(text, "0123456789") >= n;
}

static bool read_budget(options *o, const char *text)
{
    o->budget = text;
    bool known = strlen(text) < MOST_KINDS;
    for (size_t n; known; text += n + 1) {
        n = strcspn(text, ",");
        known = is_kind(text, n);
        if (!text[n]) break;
    }
    return known;
}

static bool read_most(options *o, const char *text)
{
    char *end;
    o->most = strtod(text, &end);
    return end != text && !*end && o->most >= 0;
}

static bool read_rounds(options *o, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    o->rounds = (int)n;
    return end != text && !*end && n > 0 && n <= 1000000;
}

static const struct valued {
    const char *flag;
    bool (*read)(options *o, const char *value);
    const char *wants;
} valued[] = {
    { "--shape", read_shape, "not B,I,H, each above 0" },
    { "--steps", read_steps, "not numbers of steps, 100 or more, 16 at most" },
    { "--budget", read_budget, "neither full, sqrt, 5% nor a number of bytes, by commas" },
    { "--most", read_most, "not a number of MB" },
    { "--rounds", read_rounds, "not a number of rounds" },
};

static bool refuse(const char *flag, const char *value, const char *why)
{
    fprintf(stderr, "bench_memory: %s%s%s: %s\n", flag, *value ? " " : "", value, why);
    return false;
}

static bool read_options(options *o, int n, char **arg)
{
    for (int i = 1; i < n; i++) {
        const struct valued *v = NULL;
        for (size_t k = 0; k < sizeof valued / sizeof *valued; k++)
            if (strcmp(arg[i], valued[k].flag) == 0) v = &valued[k];
        if (v && i + 1 == n) return refuse(arg[i], "", "a value must follow");
        if (v && !v->read(o, arg[i + 1])) return refuse(arg[i], arg[i + 1], v->wants);
        if (v) i++;
        else if (strcmp(arg[i], "--f64") == 0) o->dtype = SQ_F64;
        else if (strcmp(arg[i], "--check") == 0) o->check = true, o->dtype = SQ_F64;
        else if (strcmp(arg[i], "--help") == 0) o->help = true;
        else return refuse(arg[i], "", "not an option; --help lists them");
    }
    return true;
}

int main(int n, char **arg)
{
    options o = { .batch = 1,
                  .in = 1,
                  .hidden = 128,
                  .steps = { 1000, 10000, 100000, 1000000 },
                  .n_steps = 4,
                  .rounds = 3,
                  .budget = "full,sqrt,5%",
                  .most = 8000 };
    if (!read_options(&o, n, arg)) return 2;
    if (o.help) return fputs(usage, stdout) < 0;
    const char *isa = isa_in_use("bench_memory");
    if (!isa) return 2;
    if (o.check) return check(&o);
    printf("LSTM, B = %ld, I = %ld, H = %ld, %s, kernels: %s\n", o.batch, o.in, o.hidden,
           sq_dtype_name(o.dtype), isa);
    printf("%-9s %-12s %10s %10s %10s %10s %10s %11s\n", "steps", "budget", "memory MB",
           "held MB", "us/step", "mean", "extra", "schedule ms");
    for (int i = 0; i < o.n_steps; i++) {
        char kinds[MOST_KINDS];
        snprintf(kinds, sizeof kinds, "%s", o.budget);
        for (char *k = strtok(kinds, ","); k; k = strtok(NULL, ","))
            print_row(&o, k, o.steps[i]);
    }
    return 0;
}
