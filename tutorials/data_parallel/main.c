/* data_parallel -- one LSTM learns on several threads at once, with one tape each; however many
 * they are, every loss and every weight comes out the same to the last bit.
 *
 * This file is the order of events; the rooms are: options, sunspots (data and baselines),
 * model, team (the threads), say (errors). To learn data-parallel training, read team.c. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "model.h"
#include "options.h"
#include "../common/say.h"
#include "sunspots.h"
#include "team.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOLD = 10 };

static const double rate = .01, clip_limit = 1;

/* ---- Training ---------------------------------------------------------------------------- */

/* Starts are a function of seed, update and row: the same run again gives the same bits. */
static void draw(int64_t *start, const sunspots *s, int64_t seed, int64_t update)
{
    sq_random random = sq_random_stream((uint64_t)seed, (uint64_t)update, 0, 0);
    uint64_t n_starts = (uint64_t)(s->n_train - WINDOW);
    for (uint64_t b = 0; b < BATCH; b++)
        start[b] = (int64_t)(sq_random_bits(random, b, 0) % n_starts);
}

static void train(const model *m, team *together, const sunspots *s, const options *o)
{
    sq_tape *t = team_tape(together);
    sq_optim *adam = sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM });
    if (!adam) die("%s", sq_params_message(m->params));
    int64_t warmup = o->updates / 20, start[BATCH];
    sq_schedule schedule = { SQ_COSINE, rate, 0, o->updates - warmup, warmup };

    for (int64_t n = 0; n < o->updates; n++) {
        draw(start, s, o->seed, n);
        double loss = team_gradient(together, s->z, start, o->threads);
        if (sq_optim_set_rate(adam, sq_schedule_rate(&schedule, n)))
            die("%s", sq_params_message(m->params));
        if (sq_clip_norm(t, clip_limit, NULL) || sq_optim_step(adam, t))
            die("%s", sq_message(t));
        bool tell = (n + 1) * TOLD / o->updates > n * TOLD / o->updates;
        if (o->quiet || !tell) continue;
        printf("  update %*lld  loss %.6f\n", 6, (long long)n + 1, loss);
        fflush(stdout);
    }
    sq_optim_free(adam);
}

/* ---- What came of it --------------------------------------------------------------------- */

/* Each held-out year is one row, forecast from the true values of the years before it. */
static void guess_model(const model *m, sq_tape *t, const sunspots *s, float *guess)
{
    float x[WINDOW * HELD_OUT];
    for (int64_t i = 0; i < WINDOW; i++)
        for (int64_t b = 0; b < HELD_OUT; b++)
            x[i * HELD_OUT + b] = s->z[s->n_train + b - WINDOW + i];
    sq_tape_reset(t);
    if (sq_copy(model_forecast(m, t, x, HELD_OUT, SQ_OUTPUTS_LAST), guess))
        die("%s", sq_message(t));
}

/* FNV-1a over all weights: equal numbers, equal bits. */
static uint64_t fingerprint(const model *m)
{
    const unsigned char *byte = sq_params_view(m->params);
    size_t n = (size_t)sq_params_size(m->params) * sizeof(float);
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static void show_scores(const model *m, sq_tape *t, const sunspots *s)
{
    float guess[HELD_OUT];
    int64_t last = s->first_year + s->n - 1;
    printf("\nroot mean squared error on the held-out years %lld to %lld\n",
           (long long)(last - HELD_OUT + 1), (long long)last);
    guess_last_year(s, guess);
    printf("  same as last year      %6.2f\n", sunspots_rmse(s, guess));
    guess_ar2(s, guess);
    printf("  AR(2), least squares   %6.2f\n", sunspots_rmse(s, guess));
    guess_model(m, t, s, guess);
    printf("  LSTM                   %6.2f\n", sunspots_rmse(s, guess));
    printf("\nfingerprint of the weights: %016llx, for any number of threads\n",
           (unsigned long long)fingerprint(m));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One gradient, in milliseconds, on one thread and on all of them: the best of some,
 * alternately, so that what else the machine does disturbs both alike. */
static void show_speed(team *together, const sunspots *s, const options *o)
{
    int64_t start[BATCH], n[2] = { 1, o->threads }, rounds = o->updates < 15 ? o->updates : 15;
    double best[2] = { 1e9, 1e9 };
    draw(start, s, o->seed, 0);
    for (int64_t i = 0; i < rounds * 2; i++) {
        double began = now();
        team_gradient(together, s->z, start, n[i % 2]);
        double took = 1e3 * (now() - began);
        if (took < best[i % 2]) best[i % 2] = took;
    }
    printf("one gradient: %.2f ms on 1 thread", best[0]);
    if (o->threads > 1)
        printf(", %.2f ms on %lld: %.2f times as fast", best[1], (long long)o->threads,
               best[0] / best[1]);
    printf("\n");
}

int main(int argc, char **argv)
{
    options o = options_read(argc, argv);
    if (o.help) {
        options_help();
        return 0;
    }
    sunspots s = sunspots_read();
    model m;
    model_init(&m, (uint64_t)o.seed);
    team *together = team_new(&m, o.threads, o.shards);
    printf("%lld years of sunspots; LSTM of width %d; ", (long long)s.n, HIDDEN);
    printf("%d windows of %d years, %lld shards\n\n", BATCH, WINDOW, (long long)o.shards);
    train(&m, together, &s, &o);
    show_scores(&m, team_tape(together), &s);
    if (!o.quiet) show_speed(together, &s, &o);
    team_free(together);
    model_free(&m);
    sunspots_free(&s);
    if (fflush(stdout) || ferror(stdout))
        die("cannot write to standard output: %s", strerror(errno));
    return 0;
}
