/* train.c -- read this file for the training loop. */
#include "train.h"

#include "../common/meter.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCORED_ROWS = 64 };

int32_t best_of(const float *z, int32_t n)
{
    int32_t best = 0;
    for (int32_t k = 1; k < n; k++)
        if (z[k] > z[best]) best = k;
    return best;
}

int64_t count_right(const pieces *s, const int32_t *guess)
{
    int64_t right = 0;
    for (int64_t i = 0; i < s->n; i++) right += guess[i] == s->piece[i].label;
    return right;
}

double guess_all(const model *m, const pieces *s, int32_t *guess)
{
    double sum = 0;
    const piece *from[SCORED_ROWS];
    float z[SCORED_ROWS * MAX_CLASSES];
    batch b = batch_new(SCORED_ROWS, pieces_longest(s));
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    sq_tape_set_inference(t, true);
    for (int64_t i = 0; i < s->n; i += SCORED_ROWS) {
        int64_t rows = s->n - i < SCORED_ROWS ? s->n - i : SCORED_ROWS;
        for (int64_t r = 0; r < rows; r++) from[r] = &s->piece[i + r];
        batch_fill(&b, m, from, rows);
        sq_tape_reset(t);
        sq_var scores = model_scores(m, t, &b, model_input(m, t, &b), false);
        sum += sq_item(sq_cross_entropy(scores, b.label, NULL, SQ_SUM));
        if (sq_copy(scores, z)) die("%s", sq_message(t));
        for (int64_t r = 0; r < rows; r++)
            guess[i + r] = best_of(z + r * m->n_classes, m->n_classes);
    }
    sq_tape_free(t);
    batch_free(&b);
    return sum / (double)s->n;
}

/* ---- Training ---------------------------------------------------------------------------- */

typedef struct training {
    model *m;
    const data *d;
    const train_options *o;
    sq_tape *tape;
    sq_optim *optim;
    sq_schedule rate;
    batch b;
    const piece **order;
    int32_t *guess;
    float *best_weights;
    int64_t best_right, best_epoch;
    double best_loss;
} training;

static void shuffle(training *r, int64_t epoch)
{
    const pieces *s = &r->d->part[TRAIN];
    sq_random coins = sq_random_stream((uint64_t)r->o->seed, 1, 0, 0);
    for (int64_t i = 0; i < s->n; i++) {
        double u = sq_random_uniform(coins, (uint64_t)epoch, (uint64_t)i);
        int64_t k = (int64_t)(u * (double)(i + 1));
        r->order[i] = r->order[k];
        r->order[k] = &s->piece[i];
    }
}

static sq_status update(training *r)
{
    sq_tape *t = r->tape;
    sq_tape_reset(t);
    sq_zero_grads(t);
    sq_var z = model_scores(r->m, t, &r->b, model_input(r->m, t, &r->b), true);
    sq_var loss = r->o->loss == LOSS_HINGE ? sq_hinge_max(z, r->b.label, NULL, SQ_MEAN)
                                           : sq_cross_entropy(z, r->b.label, NULL, SQ_MEAN);
    sq_status s = sq_backward(loss);
    if (!s) s = sq_clip_norm(t, r->o->clip, NULL);
    if (!s)
        s = sq_optim_set_rate(r->optim, sq_schedule_rate(&r->rate, sq_optim_updates(r->optim)));
    return s ? s : sq_optim_step(r->optim, t);
}

/* The share of VALID that is guessed right; the weights are kept when they are the best so far. */
static double validate(training *r, int64_t epoch)
{
    const pieces *s = &r->d->part[VALID];
    double loss = guess_all(r->m, s, r->guess);
    int64_t right = count_right(s, r->guess);
    bool better = !r->best_epoch || right > r->best_right ||
                  (right == r->best_right && loss < r->best_loss);
    if (better && isfinite(loss)) {
        r->best_right = right;
        r->best_loss = loss;
        r->best_epoch = epoch;
        memcpy(r->best_weights, sq_params_view(r->m->params),
               (size_t)sq_params_size(r->m->params) * sizeof *r->best_weights);
    }
    return (double)right / (double)s->n;
}

static training training_new(model *m, const data *d, const train_options *o)
{
    const pieces *s = &d->part[TRAIN];
    training r = { .m = m, .d = d, .o = o };
    int64_t updates = o->epochs * ((s->n + o->batch - 1) / o->batch);
    r.rate = (sq_schedule){ .kind = SQ_COSINE, .rate = o->rate, .updates = updates };
    r.tape = sq_tape_new(SQ_F32, m->params);
    sq_tape_set_seed(r.tape, (uint64_t)o->seed);
    r.optim = sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = o->rate });
    if (!r.optim) die("%s", sq_params_message(m->params));
    r.b = batch_new(o->batch, pieces_longest(s));
    r.order = take((size_t)s->n, sizeof *r.order);
    r.guess = take((size_t)d->part[VALID].n, sizeof *r.guess);
    r.best_weights = take((size_t)sq_params_size(m->params), sizeof *r.best_weights);
    return r;
}

static void training_free(training *r)
{
    sq_tape_free(r->tape);
    sq_optim_free(r->optim);
    batch_free(&r->b);
    free(r->order);
    free(r->guess);
    free(r->best_weights);
}

best_epoch train(model *m, const data *d, const train_options *o)
{
    training r = training_new(m, d, o);
    const pieces *s = &d->part[TRAIN];
    meter line = meter_begin("training", o->epochs, o->quiet);
    for (int64_t epoch = 1; epoch <= o->epochs; epoch++) {
        char note[32];
        shuffle(&r, epoch);
        for (int64_t i = 0; i < s->n; i += o->batch) {
            batch_fill(&r.b, m, r.order + i, s->n - i < o->batch ? s->n - i : o->batch);
            if (update(&r)) die("%s", sq_message(r.tape));
        }
        snprintf(note, sizeof note, "valid %.1f %%", 100 * validate(&r, epoch));
        meter_step(&line, epoch, note);
    }
    meter_end(&line);
    if (!r.best_epoch) die("the weights have become no numbers: try a smaller --rate");
    void *weights = sq_params_update(m->params);
    if (!weights) die("%s", sq_params_message(m->params));
    memcpy(weights, r.best_weights, (size_t)sq_params_size(m->params) * sizeof *r.best_weights);
    best_epoch best = { r.best_epoch, (double)r.best_right / (double)d->part[VALID].n };
    training_free(&r);
    return best;
}
