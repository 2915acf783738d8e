/* learn.c -- read this file for the shortest training loop over whole sequences: record, sweep, clip,
 * update; and now and then a test on an inference tape.
 *
 * A check is 256 sequences that no training and no test has; when all of them are right the test
 * decides. Seeds of what is drawn are 3 seed + 0, 1, 2. */
#include "learn.h"

#include "../common/meter.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAINING, CHECK, TEST, PIECE = 256 };

typedef struct trainer {
    const row *r;
    model *m;
    sq_tape *tape, *tests; /* with and without recording */
    sq_optim *optim;
    batch b;
    uint64_t seed;
} trainer;

/* ---- Updates ----------------------------------------------------------------------------- */

static sq_status clip(const row *r, sq_tape *t)
{
    if (r->clip == 0) return SQ_OK;
    return r->clip < 0 ? sq_clip_value(t, -r->clip) : sq_clip_norm(t, r->clip, NULL);
}

static double update(trainer *w, int64_t n)
{
    const row *r = w->r;
    sq_tape *t = w->tape;
    batch_fill(r->task, &w->b, r->size, 3 * w->seed + TRAINING, (uint64_t)(n * r->batch));
    sq_tape_reset(t);
    sq_zero_grads(t);
    sq_var z = model_scores(w->m, t, &w->b);
    sq_var loss = model_loss(w->m, t, r->task->judge, &w->b, z);
    double rate = r->halve ? r->rate * pow(.5, (double)(n / r->halve)) : r->rate;
    if (sq_backward(loss) || clip(r, t) || sq_optim_set_rate(w->optim, rate) ||
        sq_optim_step(w->optim, t))
        die("%s", sq_message(t));
    return sq_item(loss);
}

/* ---- Tests ------------------------------------------------------------------------------- */

/* `rows` sequences from the first on: adds to what is wrong and to the loss. */
static void test_piece(trainer *w, const row *r, int64_t size, uint64_t seed, int64_t first,
                       int64_t n, result *out)
{
    batch b = batch_new(r->task, size, n);
    batch_fill(r->task, &b, size, seed, (uint64_t)first);
    sq_tape *t = w->tests;
    sq_tape_reset(t);
    sq_var z = model_scores(w->m, t, &b);
    sq_var loss = model_loss(w->m, t, r->task->judge, &b, z);
    float *scores = take((size_t)(b.asked * n * w->m->outputs), sizeof *scores);
    out->loss += sq_item(loss) * (double)n;
    if (sq_copy(z, scores)) die("%s", sq_message(t));
    for (int64_t i = 0; i < n; i++) {
        bool right = batch_right(r->task, &b, scores, w->m->outputs, i);
        if (right && !out->wrong) out->reach++;
        out->wrong += !right;
    }
    free(scores);
    batch_free(&b);
}

static void test(trainer *w, int64_t size, int64_t n, int which, result *out)
{
    out->wrong = out->reach = 0;
    out->loss = 0;
    out->tests = n;
    for (int64_t i = 0; i < n; i += PIECE)
        test_piece(w, w->r, size, 3 * w->seed + (uint64_t)which, i,
                   n - i < PIECE ? n - i : PIECE, out);
    out->loss /= (double)n;
}

double without_memory(const row *r) { return 10 * log(8) / ((double)r->size + 20); }

/* Both paths end with a test in *out if anything is solved. */
static bool solved(trainer *w, result *out)
{
    const row *r = w->r;
    int64_t size = r->test_size ? r->test_size : r->size;
    bool few = r->tests <= PIECE;
    test(w, size, few ? r->tests : PIECE, few ? TEST : CHECK, out);
    if (r->by_loss) return out->loss < .9 * without_memory(r);
    if (out->wrong || few) return !out->wrong;
    test(w, size, r->tests, TEST, out);
    return out->wrong <= r->tests / 2560;
}

/* ---- One training ------------------------------------------------------------------------ */

static trainer trainer_new(const row *r, uint64_t seed, int32_t threads)
{
    trainer w = { .r = r, .seed = seed, .b = batch_new(r->task, r->size, r->batch) };
    w.m = model_new(r->cell, r->task, r->size, r->hidden, r->chrono, seed);
    w.tape = sq_tape_new(SQ_F32, w.m->params);
    w.tests = sq_tape_new(SQ_F32, w.m->params);
    if (!w.tape || !w.tests) die("out of memory");
    sq_tape_set_inference(w.tests, true);
    sq_tape_set_threads(w.tape, threads);
    sq_tape_set_threads(w.tests, threads);
    w.optim = sq_optim_new(w.m->params,
                           &(sq_optim_options){ .kind = r->optim,
                                                .rate = r->rate,
                                                .alpha = r->optim == SQ_RMSPROP ? .9 : 0 });
    if (!w.optim) die("%s", sq_params_message(w.m->params));
    return w;
}

static void trainer_free(trainer *w)
{
    sq_optim_free(w->optim);
    sq_tape_free(w->tape);
    sq_tape_free(w->tests);
    batch_free(&w->b);
    model_free(w->m);
}

result learn(const row *r, uint64_t seed, int32_t threads, bool quiet)
{
    char title[40], note[32];
    snprintf(title, sizeof title, "%s, seed %llu", r->name, (unsigned long long)seed);
    trainer w = trainer_new(r, seed, threads);
    result out = { .weights = sq_params_size(w.m->params) };
    meter line = meter_begin(title, r->updates, quiet);
    double began = meter_clock(), training = 0;
    int64_t made = 0;
    while ((!out.solved || r->whole) && made < r->updates) {
        double start = meter_clock(), loss = update(&w, made++);
        training += meter_clock() - start;
        if (!out.solved) out.updates = made;
        if (!out.solved && (made % r->every == 0 || made == r->updates))
            out.solved = solved(&w, &out);
        snprintf(note, sizeof note, "loss %.5f", loss);
        meter_step(&line, made, note);
    }
    meter_end(&line);
    if (out.tests < r->tests || made > out.updates)
        test(&w, r->test_size ? r->test_size : r->size, r->tests, TEST, &out);
    out.sequences = out.updates * r->batch;
    out.seconds = meter_clock() - began;
    out.per_update = training / (double)made;
    trainer_free(&w);
    return out;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *v, int64_t n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return n ? .5 * (v[(n - 1) / 2] + v[n / 2]) : (double)NAN;
}
