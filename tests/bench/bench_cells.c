/* bench_cells.c -- the time of one training step of a recurrent layer.
 *
 * A step copies the inputs in, unrolls the cell over T steps, and sweeps back from a given fixed
 * random gradient of the outputs (as its peers do) to the gradients of all weights,
 * of the input and of the initial states. Its products are 6 B T (I + H) G H flops, G gates.
 * `user` is the LSTM as a newcomer would write it: eight products, biases added, no hints.
 * With --check nothing is timed: every gradient is compared with the same step run eagerly in
 * double. With --steps-growth the time of one time step is told for T = 10^3, 10^4, 10^5. With
 * --ragged rows of lengths 1 to 100 take turns with the same rows, all of length 100. */
#define _POSIX_C_SOURCE 200809L
#include "tests/bench/isa.h"

#include <seqgrad/seqgrad.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const usage =
    "usage: bench_cells [options]\n"
    "  Times a training step (forward, backward, all gradients) of recurrent layers.\n"
    "  --cell NAME|all         rnn lstm gru mgu peephole lnlstm user stack3; gru is the\n"
    "                          reset-after form, user an LSTM of eight products, stack3 three\n"
    "                          layers of LSTM (default: all)\n"
    "  --shape NAME|B,T,I,H|all  tiny small mid large xl rows long (default: all)\n"
    "  --mode eager|plan|auto  how the cell runs (default: auto)\n"
    "  --precision f32|f64     of the tape (default: f32)\n"
    "  --threads N             threads of the tape, 1 to 256 (default: 1)\n"
    "  --secs S                time to spend on each row (default: 1)\n"
    "  --watch                 with options.watch_nonfinite\n"
    "  --watch-growth          with options.watch_limit and watch_growth, too large to be met\n"
    "  --csv                   library,mode,threads,cell,shape,median_ms,min_ms,gflops; a mode in\n"
    "                          double reads plan-f64\n"
    "  --check                 no timing: compare every gradient with eager double\n"
    "  --ragged                LSTM, B = 64, T = 100, I = 128, H = 256: lengths uniform 1..100\n"
    "                          against all lengths 100\n"
    "  --steps-growth          LSTM, I = 1, H = 128, B = 1: us per time step as T grows\n"
    "  --help                  this text\n" ISA_USAGE;

/* ---- What is measured -------------------------------------------------------------------- */

typedef struct shape {
    char name[64];
    int64_t B, T, I, H;
} shape;

static const shape shapes[] = {
    { "tiny", 1, 100, 8, 32 },     { "small", 16, 100, 32, 64 }, { "mid", 32, 100, 128, 256 },
    { "large", 64, 50, 512, 512 }, { "xl", 20, 35, 650, 650 },   { "rows", 128, 28, 28, 128 },
    { "long", 8, 1000, 64, 128 },
};

enum { LAYERS = 3, MAX_STATES = 2 * LAYERS };

typedef struct weights {
    sq_rnn rnn;
    sq_lstm lstm[LAYERS];
    sq_gru gru;
    sq_mgu mgu;
    sq_peephole peephole;
    sq_lnlstm lnlstm;
    sq_stack_cells *stack; /* to be freed */
} weights;

static const sq_cell no_cell = { .n_states = 0 };

static sq_cell new_rnn(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    if (sq_rnn_init(&w->rnn, p, "rnn", in, hidden, SQ_RNN_TANH, 1)) return no_cell;
    return sq_rnn_cell(&w->rnn);
}

static sq_cell new_lstm(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    if (sq_lstm_init(w->lstm, p, "lstm", in, hidden, 1)) return no_cell;
    return sq_lstm_cell(w->lstm);
}

static sq_cell new_gru(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    if (sq_gru_init(&w->gru, p, "gru", in, hidden, SQ_RESET_AFTER, 1)) return no_cell;
    return sq_gru_cell(&w->gru);
}

static sq_cell new_mgu(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    if (sq_mgu_init(&w->mgu, p, "mgu", in, hidden, 1)) return no_cell;
    return sq_mgu_cell(&w->mgu);
}

static sq_cell new_peephole(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    if (sq_peephole_init(&w->peephole, p, "peephole", in, hidden, 1)) return no_cell;
    return sq_peephole_cell(&w->peephole);
}

static sq_cell new_lnlstm(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    if (sq_lnlstm_init(&w->lnlstm, p, "lnlstm", in, hidden, 1)) return no_cell;
    return sq_lnlstm_cell(&w->lnlstm);
}

static sq_var user_gate(sq_tape *t, const sq_lstm *w, sq_var x, sq_var h, int k)
{
    sq_var a = sq_matmul(x, sq_use(t, w->W[k]));
    sq_var b = sq_matmul(h, sq_use(t, w->U[k]));
    return sq_add(sq_add(a, b), sq_use(t, w->b[k]));
}

static sq_var user_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lstm *w = self;
    sq_var i = sq_sigmoid(user_gate(t, w, x, state[0], 0));
    sq_var f = sq_sigmoid(user_gate(t, w, x, state[0], 1));
    sq_var g = sq_tanh(user_gate(t, w, x, state[0], 2));
    sq_var o = sq_sigmoid(user_gate(t, w, x, state[0], 3));
    state[1] = sq_add(sq_mul(f, state[1]), sq_mul(i, g));
    state[0] = sq_mul(o, sq_tanh(state[1]));
    return state[0];
}

static sq_cell new_user(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    sq_cell cell = new_lstm(w, p, in, hidden);
    if (cell.step) cell.step = user_step;
    return cell;
}

static sq_cell new_stack(weights *w, sq_params *p, int64_t in, int64_t hidden)
{
    static const char *const names[LAYERS] = { "layer0", "layer1", "layer2" };
    sq_cell layers[LAYERS];
    for (int k = 0; k < LAYERS; k++) {
        if (sq_lstm_init(&w->lstm[k], p, names[k], k ? hidden : in, hidden, 1 + (uint64_t)k))
            return no_cell;
        layers[k] = sq_lstm_cell(&w->lstm[k]);
    }
    w->stack = sq_stack_new(layers, LAYERS);
    return w->stack ? sq_stack_cell(w->stack) : no_cell;
}

typedef struct kind {
    const char *name;
    int gates, layers;
    sq_cell (*make)(weights *w, sq_params *p, int64_t in, int64_t hidden);
} kind;

static const kind kinds[] = {
    { "rnn", 1, 1, new_rnn },           { "lstm", 4, 1, new_lstm },
    { "gru", 3, 1, new_gru },           { "mgu", 2, 1, new_mgu },
    { "peephole", 4, 1, new_peephole }, { "lnlstm", 4, 1, new_lnlstm },
    { "user", 4, 1, new_user },         { "stack3", 4, LAYERS, new_stack },
};

typedef struct options {
    const kind *kind;   /* NULL: all */
    const shape *shape; /* NULL: all */
    shape custom;
    sq_mode mode;
    sq_dtype dtype;
    int32_t threads;
    double secs;
    bool csv, check, growth, ragged, watch, watch_growth;
} options;

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_cells: %s: %s\n", what, why);
    return 1;
}

/* ---- One training step ------------------------------------------------------------------- */

/* The cell, its weights, and the fixed numbers that go in. */
typedef struct task {
    const shape *s;
    weights w;
    sq_params *params;
    sq_cell cell;
    float *x, *r, *state[MAX_STATES];
    const int32_t *lengths; /* or NULL */
    bool watch, watch_growth;
} task;

/* The leaves of a step, whose gradients can be read until the next one. */
typedef struct leaves {
    sq_var x, state[MAX_STATES];
} leaves;

static float *numbers(int64_t rows, int64_t cols, uint64_t seed)
{
    float *a = malloc((size_t)(rows * cols) * sizeof *a);
    sq_random r = sq_random_stream(seed, 0, 0, 0);
    for (int64_t i = 0; a && i < rows * cols; i++)
        a[i] = (float)(2 * sq_random_uniform(r, (uint64_t)i, 0) - 1);
    return a;
}

static void task_free(task *k)
{
    free(k->x);
    free(k->r);
    for (int i = 0; i < MAX_STATES; i++) free(k->state[i]);
    sq_stack_free(k->w.stack);
    sq_params_free(k->params);
}

static bool task_init(task *k, const options *o, const kind *which, const shape *s)
{
    *k = (task){ .s = s,
                 .watch = o->watch,
                 .watch_growth = o->watch_growth,
                 .params = sq_params_new(o->dtype) };
    if (!k->params) return false;
    k->cell = which->make(&k->w, k->params, s->I, s->H);
    k->x = numbers(s->T * s->B, s->I, 2);
    k->r = numbers(s->T * s->B, s->H, 3);
    bool ok = k->cell.step && k->x && k->r;
    for (int i = 0; i < k->cell.n_states; i++)
        ok = (k->state[i] = numbers(s->B, s->H, 4 + (uint64_t)i)) && ok;
    return ok;
}

/* What `mode` was in the end is told in `ran`. */
static sq_status train(sq_tape *t, const task *k, sq_mode mode, leaves *l, sq_mode *ran)
{
    const shape *s = k->s;
    const sq_unroll_options o = { .mode = mode,
                                  .watch_nonfinite = k->watch,
                                  .watch_limit = k->watch_growth ? 1e30 : 0,
                                  .watch_growth = k->watch_growth ? 1e30 : 0,
                                  .lengths = k->lengths };
    sq_tape_reset(t);
    sq_zero_grads(t);
    l->x = sq_leaf_f32(t, sq_shape3(s->T, s->B, s->I), k->x);
    for (int i = 0; i < k->cell.n_states; i++)
        l->state[i] = sq_leaf_f32(t, sq_mat(s->B, s->H), k->state[i]);
    const sq_unrolled *u = sq_unroll(t, &k->cell, l->x, l->state, &o);
    *ran = sq_unroll_mode(u);
    return sq_backward_from_f32(sq_unrolled_outputs(u), k->r);
}

/* ---- Time -------------------------------------------------------------------------------- */

enum { MAX_ROUNDS = 1000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double flops(const kind *which, const shape *s)
{
    double inputs = (double)(s->I + s->H) + (double)((which->layers - 1) * 2 * s->H);
    return 6.0 * (double)(s->B * s->T) * inputs * which->gates * (double)s->H;
}

static const char *mode_name(sq_mode mode)
{
    return mode == SQ_PLAN ? "plan" : mode == SQ_EAGER ? "eager" : "auto";
}

static void print_row(const options *o, const kind *which, const shape *s, sq_mode ran,
                      double median, double min)
{
    const char *wide = o->dtype == SQ_F64 ? "-f64" : "";
    double gflops = flops(which, s) / median * 1e-9;
    if (o->csv)
        printf("seqgrad,%s%s,%d,%s,%s,%.4f,%.4f,%.2f\n", mode_name(ran), wide, (int)o->threads,
               which->name, s->name, median * 1e3, min * 1e3, gflops);
    else
        printf("%-8s %-16s %-6s %12.3f %12.3f %10.2f\n", which->name, s->name, mode_name(ran),
               median * 1e3, min * 1e3, gflops);
    fflush(stdout);
}

static sq_tape *new_tape(sq_dtype dtype, sq_params *params, int32_t threads)
{
    sq_tape *t = sq_tape_new(dtype, params);
    sq_tape_set_threads(t, threads);
    return t;
}

/* Two rounds warm the memory up; at least three are timed. The median and the least, or -1. */
static int time_it(const options *o, const kind *which, const task *k, sq_mode *ran,
                   double *median, double *min)
{
    double times[MAX_ROUNDS], end = 0;
    int rounds = 0;
    leaves l;
    sq_tape *t = new_tape(o->dtype, k->params, o->threads);
    for (int i = -2; i < MAX_ROUNDS && (i < 3 || now() < end); i++) {
        double from = now();
        if (train(t, k, o->mode, &l, ran)) break;
        double to = now();
        if (i < 0) end = to + o->secs;
        else times[rounds++] = to - from;
    }
    int rc = sq_tape_status(t) ? fail(which->name, sq_message(t)) : 0;
    sq_tape_free(t);
    if (rc) return rc;
    qsort(times, (size_t)rounds, sizeof *times, by_size);
    *median = times[rounds / 2];
    *min = times[0];
    return 0;
}

static int measure(const options *o, const kind *which, const task *k)
{
    sq_mode ran;
    double median, min;
    int rc = time_it(o, which, k, &ran, &median, &min);
    if (!rc) print_row(o, which, k->s, ran, median, min);
    return rc;
}

/* ---- Growth with T ----------------------------------------------------------------------- */

enum { LENGTHS = 3, TURNS = 3 };

/* us per time step at one length. */
static int one_length(const options *o, const kind *which, int64_t T, sq_mode *ran, double *us)
{
    const shape s = { "growth", 1, T, 1, 128 };
    double median = 0, min = 0;
    task k;
    int rc = task_init(&k, o, which, &s) ? time_it(o, which, &k, ran, &median, &min)
                                         : fail("growth", "out of memory");
    *us = median / (double)T * 1e6;
    task_free(&k);
    return rc;
}

/* Lengths take turns; the ratio is the median of the turns' ratios. */
static int growth(const options *o)
{
    static const int64_t lengths[LENGTHS] = { 1000, 10000, 100000 };
    double us[LENGTHS][TURNS], ratio[TURNS];
    const kind *which = o->kind ? o->kind : &kinds[1];
    sq_mode ran = SQ_AUTO;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < LENGTHS; i++)
            if (one_length(o, which, lengths[i], &ran, &us[i][turn])) return 1;
        ratio[turn] = us[LENGTHS - 1][turn] / us[0][turn];
    }
    printf("%s, B = 1, I = 1, H = 128, %s, %d thread%s\n%10s %12s\n", which->name,
           mode_name(ran), (int)o->threads, o->threads > 1 ? "s" : "", "T", "us per step");
    for (int i = 0; i < LENGTHS; i++) {
        qsort(us[i], TURNS, sizeof **us, by_size);
        printf("%10lld %12.3f\n", (long long)lengths[i], us[i][TURNS / 2]);
    }
    qsort(ratio, TURNS, sizeof *ratio, by_size);
    printf("ratio of the last to the first: %.3f\n", ratio[TURNS / 2]);
    return 0;
}

/* ---- Rows of their own lengths ------------------------------------------------------------- */

enum { ROWS = 64, LONGEST = 100 };

typedef enum batch { RAGGED, ALL_LONG, NO_LENGTHS, N_BATCHES } batch;

/* Uniform in 1..LONGEST; returns the share of all steps that rows take. */
static double draw_lengths(int32_t ragged[ROWS], int32_t all[ROWS])
{
    sq_random r = sq_random_stream(10, 0, 0, 0);
    double sum = 0;
    for (int b = 0; b < ROWS; b++) {
        ragged[b] = 1 + (int32_t)(sq_random_uniform(r, (uint64_t)b, 0) * LONGEST);
        all[b] = LONGEST;
        sum += ragged[b];
    }
    return sum / (ROWS * LONGEST);
}

/* The batches take turns, so that all meet the same weather. */
static int time_batches(const options *o, const kind *which, task *k,
                        const int32_t *const lengths[N_BATCHES],
                        double times[N_BATCHES][MAX_ROUNDS], int *rounds, sq_mode *ran)
{
    double end = 0;
    int rc = 0;
    leaves l;
    sq_tape *t = new_tape(o->dtype, k->params, o->threads);
    for (int i = -2; !rc && i < MAX_ROUNDS && (i < 3 || now() < end); i++) {
        for (int b = 0; !rc && b < N_BATCHES; b++) {
            double from = now();
            k->lengths = lengths[b];
            rc = train(t, k, o->mode, &l, ran) != SQ_OK;
            if (i >= 0) times[b][i] = now() - from;
        }
        if (i < 0) end = now() + o->secs;
        *rounds = i + 1;
    }
    if (rc) fail(which->name, sq_message(t));
    sq_tape_free(t);
    return rc;
}

static int ragged(const options *o)
{
    static const shape s = { "ragged", ROWS, LONGEST, 128, 256 };
    static const char *const names[N_BATCHES] = { "lengths 1..100", "lengths 100",
                                                  "no lengths" };
    static double times[N_BATCHES][MAX_ROUNDS], ratio[2][MAX_ROUNDS];
    int32_t some[ROWS], all[ROWS];
    const kind *which = o->kind ? o->kind : &kinds[1];
    double part = draw_lengths(some, all);
    sq_mode ran = SQ_AUTO;
    int rounds = 0;
    task k;
    int rc = task_init(&k, o, which, &s)
                 ? time_batches(o, which, &k, (const int32_t *[]){ some, all, NULL }, times,
                                &rounds, &ran)
                 : fail(s.name, "out of memory");
    task_free(&k);
    if (rc) return rc;
    printf("%s, B = 64, T = 100, I = 128, H = 256, %s, %d thread%s; rows take %.4f of all "
           "steps\n",
           which->name, mode_name(ran), (int)o->threads, o->threads > 1 ? "s" : "", part);
    for (int i = 0; i < rounds; i++)
        for (int b = 0; b < 2; b++) ratio[b][i] = times[RAGGED][i] / times[b + 1][i] / part;
    for (int b = 0; b < N_BATCHES; b++) {
        qsort(times[b], (size_t)rounds, sizeof **times, by_size);
        printf("%-16s %10.3f ms\n", names[b], times[b][rounds / 2] * 1e3);
    }
    for (int b = 0; b < 2; b++) {
        qsort(ratio[b], (size_t)rounds, sizeof **ratio, by_size);
        printf("time of a step that a row takes, against %s: %.3f\n", names[b + 1],
               ratio[b][rounds / 2]);
    }
    return 0;
}

/* ---- Check ------------------------------------------------------------------------------- */

/* Of a gradient, relative to its largest entry: rounding, and no more. */
static double tolerance(sq_dtype dtype) { return dtype == SQ_F64 ? 1e-10 : 1e-4; }

/* Compares `got` with `want`, relative to the largest entry wanted; prints the figure. */
static bool compare(const char *name, const double *got, const double *want, int64_t n,
                    double limit)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double e = fabs(got[i] - want[i]);
        if (e > worst || isnan(e)) worst = e; /* a NaN stays */
        largest = fmax(largest, fabs(want[i]));
    }
    double error = worst > 0 || isnan(worst) ? worst / largest : 0;
    bool ok = error <= limit;
    printf("  %-10s %.2e%s\n", name, error, ok ? "" : "   DIFFERS");
    return ok;
}

static bool compare_leaf(const char *name, sq_var a, sq_var b)
{
    int64_t n = sq_shape_size(sq_shape_of(b));
    double *got = calloc((size_t)n, sizeof *got), *want = calloc((size_t)n, sizeof *want);
    bool ok = got && want && !sq_grad_copy_f64(a, got) && !sq_grad_copy_f64(b, want) &&
              compare(name, got, want, n, tolerance(sq_tape_dtype(a.tape)));
    free(got);
    free(want);
    return ok;
}

static bool compare_weight(sq_tape *a, sq_tape *b, sq_weight w)
{
    const sq_params *p = sq_tape_params(b);
    int64_t n = sq_shape_size(sq_weight_shape(p, w));
    double *got = calloc((size_t)n, sizeof *got), *want = calloc((size_t)n, sizeof *want);
    bool ok = got && want && !sq_weight_grad_f64(a, w, got) &&
              !sq_weight_grad_f64(b, w, want) &&
              compare(sq_weight_name(p, w), got, want, n, tolerance(sq_tape_dtype(a)));
    free(got);
    free(want);
    return ok;
}

static bool compare_all(sq_tape *a, sq_tape *b, const task *k, sq_mode mode)
{
    leaves la, lb;
    sq_mode ran;
    if (train(b, k, SQ_EAGER, &lb, &ran) || train(a, k, mode, &la, &ran)) return false;
    printf("%s\n", mode_name(ran));
    bool ok = compare_leaf("x", la.x, lb.x);
    for (int i = 0; i < k->cell.n_states; i++)
        ok = compare_leaf(k->cell.state_names[i], la.state[i], lb.state[i]) && ok;
    for (int32_t id = 1; id <= sq_params_count(k->params); id++)
        ok = compare_weight(a, b, (sq_weight){ id }) && ok;
    return ok;
}

static int check(const options *o, const kind *which, const task *k)
{
    sq_params *wide = sq_params_clone(k->params, SQ_F64);
    sq_tape *a = new_tape(o->dtype, k->params, o->threads);
    sq_tape *b = wide ? sq_tape_new(SQ_F64, wide) : NULL;
    printf("%s %s: largest difference from eager double, relative to the largest entry; ",
           which->name, k->s->name);
    bool ok = b && compare_all(a, b, k, o->mode);
    if (sq_tape_status(a) || sq_tape_status(b))
        fail(which->name, sq_tape_status(a) ? sq_message(a) : sq_message(b));
    sq_tape_free(a);
    sq_tape_free(b);
    sq_params_free(wide);
    return !ok;
}

/* ---- Options ----------------------------------------------------------------------------- */

static int refuse(const char *flag, const char *value, const char *why)
{
    fprintf(stderr, "bench_cells: %s%s%s: %s\n", flag, value ? " " : "", value ? value : "",
            why);
    return 2;
}

static int read_cell(options *o, const char *value)
{
    o->kind = NULL;
    for (int i = 0; i < COUNT(kinds); i++)
        if (strcmp(value, kinds[i].name) == 0) o->kind = &kinds[i];
    if (o->kind || strcmp(value, "all") == 0) return 0;
    char text[160] = "the cells are";
    for (int i = 0; i < COUNT(kinds); i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " %s,", kinds[i].name);
    }
    strncat(text, " and all", sizeof text - strlen(text) - 1);
    return refuse("--cell", value, text);
}

static int read_shape(options *o, const char *value)
{
    int64_t n[4];
    const char *at = value;
    o->shape = NULL;
    for (int i = 0; i < COUNT(shapes); i++)
        if (strcmp(value, shapes[i].name) == 0) o->shape = &shapes[i];
    if (o->shape || strcmp(value, "all") == 0) return 0;
    for (int i = 0; i < 4; i++) {
        char *end;
        n[i] = *at >= '0' && *at <= '9' ? strtoll(at, &end, 10) : 0;
        if (n[i] < 1 || n[i] > 65536 || *end != (i < 3 ? ',' : '\0'))
            return refuse("--shape", value,
                          "neither a name (tiny small mid large xl rows long) nor B,T,I,H with "
                          "each in 1..65536");
        at = end + 1;
    }
    o->custom = (shape){ "", n[0], n[1], n[2], n[3] };
    snprintf(o->custom.name, sizeof o->custom.name, "%lldx%lldx%lldx%lld", (long long)n[0],
             (long long)n[1], (long long)n[2], (long long)n[3]);
    o->shape = &o->custom;
    return 0;
}

static int read_mode(options *o, const char *value)
{
    static const sq_mode modes[] = { SQ_AUTO, SQ_EAGER, SQ_PLAN };
    for (int i = 0; i < COUNT(modes); i++)
        if (strcmp(value, mode_name(modes[i])) == 0) return o->mode = modes[i], 0;
    return refuse("--mode", value, "the modes are eager, plan and auto");
}

static int read_precision(options *o, const char *value)
{
    o->dtype = strcmp(value, "f64") == 0 ? SQ_F64 : SQ_F32;
    if (o->dtype == SQ_F64 || strcmp(value, "f32") == 0) return 0;
    return refuse("--precision", value, "the precisions are f32 and f64");
}

static int read_threads(options *o, const char *value)
{
    char *end;
    long n = strtol(value, &end, 10);
    o->threads = (int32_t)n;
    if (end != value && *end == '\0' && n >= 1 && n <= 256) return 0;
    return refuse("--threads", value, "not a number of threads in 1..256");
}

static int read_secs(options *o, const char *value)
{
    char *end;
    o->secs = strtod(value, &end);
    if (end != value && *end == '\0' && o->secs >= 0 && o->secs <= 3600) return 0;
    return refuse("--secs", value, "not a number of seconds in 0..3600");
}

static const struct valued {
    const char *flag;
    int (*read)(options *o, const char *value);
} valued[] = { { "--cell", read_cell },       { "--shape", read_shape },
               { "--mode", read_mode },       { "--precision", read_precision },
               { "--threads", read_threads }, { "--secs", read_secs } };

/* 0, or 2 after a sentence; -1 when only help was asked for. */
static int read_options(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct valued *v = NULL;
        for (int k = 0; k < COUNT(valued); k++)
            if (strcmp(argv[i], valued[k].flag) == 0) v = &valued[k];
        int rc = 0;
        if (v && i + 1 == argc) return refuse(argv[i], NULL, "a value must follow");
        if (v) rc = v->read(o, argv[++i]);
        else if (strcmp(argv[i], "--csv") == 0) o->csv = true;
        else if (strcmp(argv[i], "--check") == 0) o->check = true;
        else if (strcmp(argv[i], "--watch") == 0) o->watch = true;
        else if (strcmp(argv[i], "--watch-growth") == 0) o->watch_growth = true;
        else if (strcmp(argv[i], "--steps-growth") == 0) o->growth = true;
        else if (strcmp(argv[i], "--ragged") == 0) o->ragged = true;
        else if (strcmp(argv[i], "--help") == 0) return -1;
        else return refuse(argv[i], NULL, "not an option; --help lists them");
        if (rc) return rc;
    }
    return 0;
}

/* ---- All of it --------------------------------------------------------------------------- */

static int run(const options *o, const kind *which, const shape *s)
{
    task k;
    int rc = task_init(&k, o, which, s) ? (o->check ? check : measure)(o, which, &k)
                                        : fail(s->name, "out of memory");
    task_free(&k);
    return rc;
}

int main(int argc, char **argv)
{
    options o = { .secs = 1, .threads = 1, .dtype = SQ_F32 };
    int rc = read_options(&o, argc, argv), bad = 0;
    if (rc < 0) return fputs(usage, stdout) < 0;
    if (rc) return rc;
    const char *isa = isa_in_use("bench_cells");
    if (!isa) return 2;
    if (!o.csv || o.check) printf("kernels: %s\n", isa);
    if (o.growth) return growth(&o);
    if (o.ragged) return ragged(&o);
    if (o.csv && !o.check) puts("library,mode,threads,cell,shape,median_ms,min_ms,gflops");
    if (!o.csv && !o.check)
        printf("%-8s %-16s %-6s %12s %12s %10s\n", "cell", "shape", "mode", "median_ms",
               "min_ms", "gflops");
    for (int i = 0; i < COUNT(kinds); i++)
        for (int j = 0; j < (o.shape ? 1 : COUNT(shapes)); j++)
            if (!o.kind || o.kind == &kinds[i])
                bad |= run(&o, &kinds[i], o.shape ? o.shape : &shapes[j]);
    if (o.check) printf("%s\n", bad ? "some gradients differ" : "every gradient agrees");
    return bad;
}
