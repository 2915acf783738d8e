/* train.c -- read this file for the training loop.
 *
 * An epoch deals all songs into batches in a new order. After each the NLL of the part "valid" says
 * how good the weights are; the best are put back at the end (early stopping). */
#include "train.h"

#include "../common/meter.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Scoring ----------------------------------------------------------------------------- */

static void score_batch(const batch *b, const model *m, sq_tape *t, float *rows, double *each)
{
    sq_tape_reset(t);
    if (sq_copy(batch_nll(b, m, t, false, SQ_ROWS), rows)) die("%s", sq_message(t));
    for (int64_t r = 0; r < b->rows; r++) {
        each[r] = 0;
        for (int64_t i = 0; i < b->lengths[r]; i++) each[r] += (double)rows[i * b->rows + r];
    }
}

double score(const model *m, const songs *s, int64_t rows, double *each)
{
    int64_t longest = songs_longest(s);
    double sum = 0, *all = take((size_t)s->n, sizeof *all);
    float *nll = take((size_t)(rows * longest), sizeof *nll);
    song **picked = take((size_t)rows, sizeof *picked);
    batch b = batch_new(rows, longest);
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    sq_tape_set_inference(t, true);
    for (int64_t i = 0; i < s->n; i += rows) {
        int64_t n = s->n - i < rows ? s->n - i : rows;
        for (int64_t r = 0; r < n; r++) picked[r] = &s->song[i + r];
        batch_fill(&b, picked, n);
        score_batch(&b, m, t, nll, all + i);
    }
    for (int64_t i = 0; i < s->n; i++) sum += all[i];
    if (each) memcpy(each, all, (size_t)s->n * sizeof *each);
    sq_tape_free(t);
    batch_free(&b);
    free(picked);
    free(nll);
    free(all);
    return sum;
}

/* ---- Training ---------------------------------------------------------------------------- */

/* The songs in an order that is a function of seed and epoch (Fisher and Yates). */
static void shuffle(song **order, const songs *s, sq_random coins, int64_t epoch)
{
    for (int64_t i = 0; i < s->n; i++) {
        double u = sq_random_uniform(coins, (uint64_t)epoch, (uint64_t)i);
        int64_t k = (int64_t)(u * (double)(i + 1));
        order[i] = order[k];
        order[k] = &s->song[i];
    }
}

typedef struct training {
    model *m;
    const corpus *c;
    const train_options *o;
    sq_tape *tape;
    sq_optim *optim;
    sq_schedule rate;
    batch b;
    song **order;
    float *best_weights;
    double best;
} training;

static sq_status update(training *r)
{
    sq_tape *t = r->tape;
    sq_tape_reset(t);
    sq_zero_grads(t);
    sq_status s = sq_backward(batch_nll(&r->b, r->m, t, true, SQ_MEAN));
    if (!s) s = sq_clip_norm(t, r->o->clip, NULL);
    if (!s)
        s = sq_optim_set_rate(r->optim, sq_schedule_rate(&r->rate, sq_optim_updates(r->optim)));
    return s ? s : sq_optim_step(r->optim, t);
}

static void run_epoch(training *r, int64_t epoch)
{
    const songs *s = &r->c->part[TRAIN];
    shuffle(r->order, s, sq_random_stream((uint64_t)r->o->seed, 1, 0, 0), epoch);
    for (int64_t i = 0; i < s->n; i += r->o->batch) {
        batch_fill(&r->b, r->order + i, s->n - i < r->o->batch ? s->n - i : r->o->batch);
        if (update(r)) die("%s", sq_message(r->tape));
    }
}

/* NLL per frame of "valid"; the weights are kept when it is the least so far. */
static double validate(training *r, int64_t epoch, int64_t *best_epoch)
{
    const songs *s = &r->c->part[VALID];
    size_t bytes = (size_t)sq_params_size(r->m->params) * sizeof *r->best_weights;
    double nll = score(r->m, s, r->o->batch, NULL) / (double)songs_foretold(s);
    if (!(nll < r->best)) return nll;
    r->best = nll;
    *best_epoch = epoch;
    memcpy(r->best_weights, sq_params_view(r->m->params), bytes);
    return nll;
}

static training training_new(model *m, const corpus *c, const train_options *o)
{
    const songs *s = &c->part[TRAIN];
    training r = { .m = m, .c = c, .o = o, .best = HUGE_VAL };
    int64_t updates = o->epochs * ((s->n + o->batch - 1) / o->batch);
    r.rate = (sq_schedule){ .kind = SQ_COSINE, .rate = o->rate, .updates = updates };
    r.tape = sq_tape_new(SQ_F32, m->params);
    sq_tape_set_seed(r.tape, (uint64_t)o->seed);
    r.optim = sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = o->rate });
    if (!r.optim) die("%s", sq_params_message(m->params));
    r.b = batch_new(o->batch, songs_longest(s));
    r.order = take((size_t)s->n, sizeof *r.order);
    r.best_weights = take((size_t)sq_params_size(m->params), sizeof *r.best_weights);
    return r;
}

static void training_free(training *r)
{
    sq_tape_free(r->tape);
    sq_optim_free(r->optim);
    batch_free(&r->b);
    free(r->order);
    free(r->best_weights);
}

void train(model *m, const corpus *c, const train_options *o, int64_t *best)
{
    training r = training_new(m, c, o);
    meter line = meter_begin("training", o->epochs, o->quiet);
    *best = 0;
    for (int64_t epoch = 1; epoch <= o->epochs; epoch++) {
        char note[32];
        run_epoch(&r, epoch);
        snprintf(note, sizeof note, "valid %.3f", validate(&r, epoch, best));
        meter_step(&line, epoch, note);
    }
    meter_end(&line);
    if (!*best) die("the weights have become no numbers: try a smaller --rate");
    void *weights = sq_params_update(m->params);
    if (!weights) die("%s", sq_params_message(m->params));
    memcpy(weights, r.best_weights, (size_t)sq_params_size(m->params) * sizeof *r.best_weights);
    training_free(&r);
}
