/* bench_ledger.c -- which loss reaches how far back: what the table |dL_t/dh_k| of an LSTM costs.
 *
 * A loss a step, T of them. In a ledger of the unroll losses go back together; in one that lists the
 * same states in another order each has a sweep. The two take turns; what either takes without losses is
 * taken off. Times are the processor's, in ms, medians over the rounds; the last column is the median
 * of the rounds' quotients. */
#define _POSIX_C_SOURCE 200809L
#include <seqgrad/seqgrad.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const usage =
    "usage: bench_ledger [options]\n"
    "  The table of T losses of an LSTM, I = H: together, and one after the other.\n"
    "  --shape T,H,B  (default: some)\n"
    "  --rounds N     1 to 100 (default: 5)\n"
    "  --csv          T,H,B,together_ms,each_ms,quotient\n"
    "  --help         this text\n";

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
    return l->u && sq_tape_status(l->t) == SQ_OK;
}

/* Milliseconds of the processor that a ledger takes; -1: it failed. */
static double one_ledger(const lab *l, const shape *s, bool together, int losses)
{
    sq_ledger_options o = { .losses = l->loss, .n_losses = losses };
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    sq_ledger *g = together ? sq_ledger_new(l->u, l->loss[0], &o)
                            : sq_ledger_of_states(l->state, s->T, 2, l->loss[0], &o);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    if (!g) return -1;
    sq_ledger_free(g);
    return 1e3 * (double)(b.tv_sec - a.tv_sec) + 1e-6 * (double)(b.tv_nsec - a.tv_nsec);
}

static double table(const lab *l, const shape *s, bool together)
{
    double bare = one_ledger(l, s, together, 0), all = one_ledger(l, s, together, s->T);
    return bare < 0 || all < 0 ? -1 : all - bare;
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
    bool ok = lab_init(&l, s) && table(&l, s, true) >= 0; /* warms the memory up */
    for (int i = 0; ok && i < rounds; i++) {
        together[i] = table(&l, s, true);
        each[i] = table(&l, s, false);
        quotient[i] = each[i] / together[i];
        ok = together[i] >= 0 && each[i] >= 0;
    }
    if (ok)
        printf(csv ? "%d,%d,%d,%.3f,%.3f,%.3f\n" : "%6d %6d %6d %12.1f %12.1f %8.2f\n", s->T,
               s->H, s->B, median(together, rounds), median(each, rounds),
               median(quotient, rounds));
    else fprintf(stderr, "bench_ledger: %s\n", l.t ? sq_message(l.t) : "out of memory");
    lab_free(&l);
    return ok ? 0 : 1;
}

/* -1 when the value is not as the usage says. */
static int read_shape(const char *text, shape *s)
{
    char rest;
    int n = sscanf(text, "%d,%d,%d%c", &s->T, &s->H, &s->B, &rest);
    return n == 3 && s->T > 0 && s->H > 0 && s->B > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    shape own = { 0 };
    int rounds = 5, failed = 0;
    bool csv = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--help") == 0) return fputs(usage, stdout), 0;
        if (strcmp(argv[i], "--csv") == 0) csv = true;
        else if (strcmp(argv[i], "--shape") == 0 && !read_shape(value, &own)) i++;
        else if (strcmp(argv[i], "--rounds") == 0 && (rounds = atoi(value)) > 0 &&
                 rounds <= MOST_ROUNDS)
            i++;
        else return fprintf(stderr, "bench_ledger: %s\n%s", argv[i], usage), 2;
    }
    if (!csv)
        printf("%6s %6s %6s %12s %12s %8s\n", "T", "H", "B", "together ms", "each ms",
               "quotient");
    for (int i = 0; i < (own.T ? 1 : COUNT(shapes)); i++)
        failed |= row(own.T ? &own : &shapes[i], rounds, csv);
    return failed;
}
