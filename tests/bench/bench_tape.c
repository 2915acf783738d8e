/* bench_tape.c -- what recording and sweeping cost per node, where arithmetic is next to
 * nothing.
 *
 * A round resets the tape, records a program and sweeps it; times are medians over the rounds,
 * divided by the nodes of the tape, imports and uses of weights included.
 *   chain    x + x + ... : additions of one number within one step
 *   steps    one addition per step: what a step costs
 *   lstm     an LSTM unrolled eagerly, B = 1, T = 100, I = 8, H = 32, with all its gradients
 * With --inference: a step of an LSTM, B = 1, I = 64, H = 128, recorded and kept by a loop written by
 * hand, by that loop on a tape that keeps values only, and by sq_unroll on such a tape, 100 steps at a
 * time; the three take turns. */
#define _POSIX_C_SOURCE 200809L
#include "tests/bench/isa.h"

#include <seqgrad/seqgrad.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const usage =
    "usage: bench_tape [options]\n"
    "  Nanoseconds per node, recorded and swept, in float.\n"
    "  --program chain|steps|lstm|all   (default: all)\n"
    "  --secs S    time to spend on each row (default: 1)\n"
    "  --inference nanoseconds per step of an LSTM that keeps values only\n"
    "  --csv       program,nodes,record_ns,sweep_ns,both_ns\n"
    "  --help      this text\n" ISA_USAGE;

/* ---- The programs ------------------------------------------------------------------------ */

enum { LINKS = 1000, T = 100, I = 8, H = 32 };

typedef struct lab {
    sq_params *params;
    sq_lstm lstm;
    sq_tape *t;
    float x[T * I], r[T * H];
} lab;

static bool lab_init(lab *l)
{
    l->params = sq_params_new(SQ_F32);
    if (!l->params || sq_lstm_init(&l->lstm, l->params, "lstm", I, H, 1)) return false;
    sq_random s = sq_random_stream(2, 0, 0, 0);
    for (int i = 0; i < T * I; i++)
        l->x[i] = (float)(2 * sq_random_uniform(s, (uint64_t)i, 0) - 1);
    for (int i = 0; i < T * H; i++)
        l->r[i] = (float)(2 * sq_random_uniform(s, (uint64_t)i, 1) - 1);
    l->t = sq_tape_new(SQ_F32, l->params);
    return l->t != NULL;
}

static void lab_free(lab *l)
{
    sq_tape_free(l->t);
    sq_params_free(l->params);
}

static sq_var record_chain(const lab *l)
{
    sq_var x = sq_leaf(l->t, sq_scalar(), (float[]){ 1 }), y = x;
    for (int i = 0; i < LINKS; i++) y = sq_add(y, x);
    return y;
}

static sq_var record_steps(const lab *l)
{
    sq_var y = sq_leaf(l->t, sq_scalar(), (float[]){ 1 });
    for (int i = 0; i < LINKS; i++) {
        sq_begin_step(l->t);
        y = sq_add(y, y);
    }
    return y;
}

static sq_var record_lstm(const lab *l)
{
    sq_cell cell = sq_lstm_cell(&l->lstm);
    sq_var state[2] = { sq_leaf(l->t, sq_mat(1, H), l->r), sq_leaf(l->t, sq_mat(1, H), l->r) };
    sq_var x = sq_leaf(l->t, sq_shape3(T, 1, I), l->x);
    const sq_unrolled *u =
        sq_unroll(l->t, &cell, x, state, &(sq_unroll_options){ .mode = SQ_EAGER });
    return sq_sum(sq_mul(sq_unrolled_outputs(u), sq_input(l->t, sq_shape3(T, 1, H), l->r)));
}

static const struct program {
    const char *name;
    sq_var (*record)(const lab *l);
} programs[] = { { "chain", record_chain },
                 { "steps", record_steps },
                 { "lstm", record_lstm } };

/* ---- Time -------------------------------------------------------------------------------- */

enum { MAX_ROUNDS = 10000 };

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

static double median(double *a, int n)
{
    qsort(a, (size_t)n, sizeof *a, by_size);
    return a[n / 2];
}

typedef struct options {
    const struct program *program; /* NULL: all */
    double secs;
    bool csv, inference;
} options;

static void print_row(const options *o, const struct program *p, int64_t nodes, double record,
                      double sweep, double both)
{
    double ns = 1e9 / (double)nodes;
    printf(o->csv ? "%s,%lld,%.2f,%.2f,%.2f\n" : "%-8s %8lld %10.1f %10.1f %10.1f\n", p->name,
           (long long)nodes, record * ns, sweep * ns, both * ns);
    fflush(stdout);
}

/* Two rounds warm the memory up; at least three are timed. */
static int measure(const options *o, const lab *l, const struct program *p)
{
    static double record[MAX_ROUNDS], sweep[MAX_ROUNDS], both[MAX_ROUNDS];
    double end = 0;
    int n = 0;
    for (int i = -2; i < MAX_ROUNDS && (i < 3 || now() < end); i++) {
        sq_zero_grads(l->t);
        double from = now();
        sq_tape_reset(l->t);
        sq_var y = p->record(l);
        double recorded = now();
        if (sq_backward(y)) break;
        double to = now();
        if (i < 0) {
            end = to + o->secs;
            continue;
        }
        record[n] = recorded - from;
        sweep[n] = to - recorded;
        both[n++] = to - from;
    }
    if (sq_tape_status(l->t)) return fprintf(stderr, "bench_tape: %s\n", sq_message(l->t)), 1;
    print_row(o, p, sq_tape_statistics(l->t).nodes, median(record, n), median(sweep, n),
              median(both, n));
    return 0;
}

/* ---- Values only --------------------------------------------------------------------------- */

enum { STEPS = 100, IN = 64, WIDE = 128, WAYS = 3, CHUNKS = 20 };

typedef struct stream {
    sq_tape *t;
    sq_cell cell;
    sq_var state[2];
    float x[STEPS * IN];
    bool unrolls;
} stream;

/* STEPS steps, the states carried on; a tape that keeps everything begins anew. */
static void run_stream(stream *s)
{
    sq_tape *t = s->t;
    sq_shape shape = sq_mat(1, WIDE);
    bool values = sq_tape_inference(t);
    if (!values) sq_tape_reset(t);
    for (int k = 0; k < 2 && (!values || !s->state[k].tape); k++)
        s->state[k] = sq_zeros(t, shape);
    if (s->unrolls) {
        sq_var x = sq_input(t, sq_shape3(STEPS, 1, IN), (const float *)s->x);
        sq_unroll_options o = { .outputs = SQ_OUTPUTS_LAST };
        sq_unrolled_last(sq_unroll(t, &s->cell, x, s->state, &o), s->state);
        return;
    }
    for (int i = 0; i < STEPS; i++) {
        sq_begin_step(t);
        sq_var x = sq_input(t, sq_mat(1, IN), (const float *)s->x + i * IN);
        s->cell.step(t, s->cell.self, x, s->state);
    }
}

/* Some chunks warm every way up; then the ways take turns. */
static int inference(const options *o)
{
    static const char *const names[WAYS] = { "by hand, all kept", "by hand, values only",
                                             "sq_unroll, values only" };
    static double times[WAYS][MAX_ROUNDS];
    static stream of[WAYS];
    sq_params *p = sq_params_new(SQ_F32);
    sq_lstm lstm;
    bool ok = p && sq_lstm_init(&lstm, p, "lstm", IN, WIDE, 1) == SQ_OK;
    for (int w = 0; ok && w < WAYS; w++) {
        of[w] = (stream){ .t = sq_tape_new(SQ_F32, p),
                          .cell = sq_lstm_cell(&lstm),
                          .unrolls = w == 2 };
        sq_tape_set_inference(of[w].t, w > 0);
        sq_random r = sq_random_stream(2, 0, 0, 0);
        for (int i = 0; i < STEPS * IN; i++)
            of[w].x[i] = (float)(2 * sq_random_uniform(r, (uint64_t)i, 0) - 1);
    }
    int rounds = 0;
    double end = now() + WAYS * o->secs;
    for (int i = -CHUNKS; ok && i < MAX_ROUNDS && (i < 3 || now() < end); i++)
        for (int w = 0; w < WAYS; w++) {
            double from = now();
            run_stream(&of[w]);
            if (i >= 0) times[w][i] = now() - from, rounds = i + 1;
            ok = ok && !sq_tape_status(of[w].t);
        }
    printf("%-24s %10s\n", "LSTM, B 1, I 64, H 128", "ns/step");
    for (int w = 0; w < WAYS; w++) {
        if (ok) printf("%-24s %10.0f\n", names[w], 1e9 / STEPS * median(times[w], rounds));
        else fprintf(stderr, "bench_tape: %s\n", sq_message(of[w].t));
        sq_tape_free(of[w].t);
    }
    sq_params_free(p);
    return !ok;
}

/* ---- Options ----------------------------------------------------------------------------- */

static int refuse(const char *flag, const char *why)
{
    fprintf(stderr, "bench_tape: %s: %s\n", flag, why);
    return 2;
}

static int read_program(options *o, const char *value)
{
    o->program = NULL;
    for (int i = 0; i < COUNT(programs); i++)
        if (strcmp(value, programs[i].name) == 0) o->program = &programs[i];
    if (o->program || strcmp(value, "all") == 0) return 0;
    return refuse("--program", "the programs are chain, steps, lstm and all");
}

static int read_secs(options *o, const char *value)
{
    char *end;
    o->secs = strtod(value, &end);
    if (end != value && *end == '\0' && o->secs >= 0 && o->secs <= 3600) return 0;
    return refuse("--secs", "not a number of seconds in 0..3600");
}

/* 0, or 2 after a sentence; -1 when only help was asked for. */
static int read_options(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool program = strcmp(argv[i], "--program") == 0, secs = strcmp(argv[i], "--secs") == 0;
        int rc = 0;
        if (strcmp(argv[i], "--help") == 0) return -1;
        if ((program || secs) && i + 1 == argc) return refuse(argv[i], "a value must follow");
        if (program) rc = read_program(o, argv[++i]);
        else if (secs) rc = read_secs(o, argv[++i]);
        else if (strcmp(argv[i], "--csv") == 0) o->csv = true;
        else if (strcmp(argv[i], "--inference") == 0) o->inference = true;
        else return refuse(argv[i], "not an option; --help lists them");
        if (rc) return rc;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static lab l;
    options o = { .secs = 1 };
    int rc = read_options(&o, argc, argv);
    if (rc < 0) return fputs(usage, stdout) < 0;
    if (rc) return rc;
    const char *isa = isa_in_use("bench_tape");
    if (!isa) return 2;
    if (!o.csv) printf("kernels: %s\n", isa);
    if (o.inference) return inference(&o);
    bool ready = lab_init(&l);
    if (!ready) fprintf(stderr, "bench_tape: out of memory\n");
    if (ready)
        printf(o.csv ? "%s,%s,%s,%s,%s\n" : "%-8s %8s %10s %10s %10s\n", "program", "nodes",
               "record_ns", "sweep_ns", "both_ns");
    for (int i = 0; ready && i < COUNT(programs); i++)
        if (!o.program || o.program == &programs[i]) rc |= measure(&o, &l, &programs[i]);
    lab_free(&l);
    return ready ? rc : 1;
}
