/* bench_ledger.c -- which loss reaches how far back: what the table |dL_t/dh_k| of an LSTM costs.
 *
 * A loss a step, T of them. In a ledger of the unroll losses go back together; in one that lists the
 * same states in another order each has a sweep. The two take turns; what either takes without losses is
 * taken off. Times are the processor's, in ms, medians over the rounds; the last column is the median
 * of the rounds' quotients. */
#define _POSIX_C_SOURCE 200809L
#include "tests/bench/isa.h"

#include <seqgrad/seqgrad.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const usage =
    "usage: bench_ledger [options]\n"
    "  The table of T losses of an LSTM, I = H: together, and one after the other.\n"
    "  --shape T,H,B  each 1 to 65536 (default: some)\n"
    "  --rounds N     1 to 100 (default: 5)\n"
    "  --csv          T,H,B,together_ms,each_ms,quotient\n"
    "  --help         this text\n" ISA_USAGE;

enum { MOST_ROUNDS = 100 };

typedef struct shape {
    int T, H, B;
} shape;

static const shape shapes[] = { { 500, 64, 1 },  { 500, 128, 1 }, { 200, 256, 1 },
                                { 200, 128, 8 }, { 60, 128, 32 }, { 60, 256, 32 } };

typedef struct lab {
    sq_params *params;
    sq_lstm lstm;
    sq_tape *t;
    const sq_unrolled *u;
    sq_var *loss;  /* [T] */
    sq_var *state; /* [T][2], c before h */
} lab;

static void lab_free(lab *l)
{
    sq_tape_free(l->t);
    sq_params_free(l->params);
    free(l->loss);
    free(l->state);
}

static bool is_well(const lab *l) { return l->u && sq_tape_status(l->t) == SQ_OK; }

static bool lab_init(lab *l, const shape *s)
{
    size_t n = (size_t)s->T * (size_t)s->B * (size_t)s->H;
    float *x = malloc(n * sizeof *x);
    *l = (lab){ .params = sq_params_new(SQ_F32),
                .loss = malloc((size_t)s->T * sizeof *l->loss),
                .state = malloc((size_t)s->T * 2 * sizeof *l->state) };
    if (x && l->params && l->loss && l->state &&
        !sq_lstm_init(&l->lstm, l->params, "l", s->H, s->H, 1))
        l->t = sq_tape_new(SQ_F32, l->params);
    sq_random r = sq_random_stream(2, 0, 0, 0);
    for (size_t i = 0; l->t && i < n; i++)
        x[i] = (float)(2 * sq_random_uniform(r, (uint64_t)i, 0) - 1);
    sq_cell cell = sq_lstm_cell(&l->lstm);
    if (l->t)
        l->u = sq_unroll(l->t, &cell, sq_input_f32(l->t, sq_shape3(s->T, s->B, s->H), x), NULL,
                         NULL);
    for (int i = 0; l->u && i < s->T; i++) {
        l->loss[i] = sq_sum(sq_square(sq_unrolled_output(l->u, i)));
        l->state[2 * i] = sq_unrolled_state(l->u, i, 1);
        l->state[2 * i + 1] = sq_unrolled_state(l->u, i, 0);
    }
    free(x);
    return is_well(l);
}

/* Milliseconds of the processor that a ledger takes; 0: it failed. */
static double one_ledger(const lab *l, const shape *s, bool together, int losses)
{
    sq_ledger_options o = { .losses = l->loss, .n_losses = losses };
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    sq_ledger *g = together ? sq_ledger_new(l->u, l->loss[0], &o)
                            : sq_ledger_of_states(l->state, s->T, 2, l->loss[0], &o);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    if (!g) return 0;
    sq_ledger_free(g);
    return 1e3 * (double)(b.tv_sec - a.tv_sec) + 1e-6 * (double)(b.tv_nsec - a.tv_nsec);
}

/* Of a small table it may come out as nothing, or less: what is taken off is no smaller. */
static double table(const lab *l, const shape *s, bool together)
{
    double bare = one_ledger(l, s, together, 0);
    return one_ledger(l, s, together, s->T) - bare;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

static int row(const shape *s, int rounds, bool csv)
{
    double together[MOST_ROUNDS], each[MOST_ROUNDS], quotient[MOST_ROUNDS];
    lab l;
    bool ok = lab_init(&l, s);
    if (ok) table(&l, s, true); /* warms the memory up */
    for (int i = 0; ok && i < rounds; i++) {
        together[i] = table(&l, s, true);
        each[i] = table(&l, s, false);
        quotient[i] = each[i] / together[i];
        ok = is_well(&l);
    }
    if (ok)
        printf(csv ? "%d,%d,%d,%.3f,%.3f,%.3f\n" : "%6d %6d %6d %12.1f %12.1f %8.2f\n", s->T,
               s->H, s->B, median(together, rounds), median(each, rounds),
               median(quotient, rounds));
    else fprintf(stderr, "bench_ledger: %s\n", l.t ? sq_message(l.t) : "out of memory");
    lab_free(&l);
    return ok ? 0 : 1;
}

/* ---- The program --------------------------------------------------------------------------- */

typedef struct options {
    shape own; /* T = 0: some */
    int rounds;
    bool csv, help;
} options;

/* A number from 1 to `most` that ends where `end` is; 0: it is none. */
static int read_number(const char **text, char end, long most)
{
    char *rest;
    long n = **text >= '0' && **text <= '9' ? strtol(*text, &rest, 10) : 0;
    if (n < 1 || n > most || *rest != end) return 0;
    *text = rest + 1;
    return (int)n;
}

static bool read_shape(options *o, const char *text)
{
    enum { MOST = 65536 };
    o->own.T = read_number(&text, ',', MOST);
    o->own.H = o->own.T ? read_number(&text, ',', MOST) : 0;
    o->own.B = o->own.H ? read_number(&text, '\0', MOST) : 0;
    return o->own.B > 0;
}

static bool read_rounds(options *o, const char *text)
{
    o->rounds = read_number(&text, '\0', MOST_ROUNDS);
    return o->rounds > 0;
}

static const struct valued {
    const char *flag;
    bool (*read)(options *o, const char *value);
    const char *wants;
} valued[] = { { "--shape", read_shape, "not T,H,B, each in 1..65536" },
               { "--rounds", read_rounds, "not a number of rounds in 1..100" } };

static bool refuse(const char *flag, const char *value, const char *why)
{
    fprintf(stderr, "bench_ledger: %s%s%s: %s\n", flag, *value ? " " : "", value, why);
    return false;
}

static bool read_options(options *o, int n, char **arg)
{
    for (int i = 1; i < n; i++) {
        const struct valued *v = NULL;
        for (int k = 0; k < COUNT(valued); k++)
            if (strcmp(arg[i], valued[k].flag) == 0) v = &valued[k];
        if (v && i + 1 == n) return refuse(arg[i], "", "a value must follow");
        if (v && !v->read(o, arg[i + 1])) return refuse(arg[i], arg[i + 1], v->wants);
        if (v) i++;
        else if (strcmp(arg[i], "--csv") == 0) o->csv = true;
        else if (strcmp(arg[i], "--help") == 0) o->help = true;
        else return refuse(arg[i], "", "not an option; --help lists them");
    }
    return true;
}

int main(int n, char **arg)
{
    options o = { .rounds = 5 };
    int failed = 0;
    if (!read_options(&o, n, arg)) return 2;
    if (o.help) return fputs(usage, stdout) < 0;
    const char *isa = isa_in_use("bench_ledger");
    if (!isa) return 2;
    if (!o.csv)
        printf("kernels: %s\n%6s %6s %6s %12s %12s %8s\n", isa, "T", "H", "B", "together ms",
               "each ms", "quotient");
    for (int i = 0; i < (o.own.T ? 1 : COUNT(shapes)); i++)
        failed |= row(o.own.T ? &o.own : &shapes[i], o.rounds, o.csv);
    return failed;
}
