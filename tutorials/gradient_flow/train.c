/* train.c -- how a network is trained with seqgrad; read this file to learn it.
 *
 * A tape records what is computed. One update of the weights is always the same few lines:
 * forget the last recording, record a loss, set the rate, sweep backwards, clip, let the
 * optimizer move the weights, zero the gradients.
 *
 * The loss is that of many short windows at once. Each starts from the state zero, so its first
 * forecasts are made from too little past to be judged: a third of the window warms up. */
#include "train.h"

#include "progress.h"
#include "../common/say.h"

#include <stdlib.h>

enum { BATCH = 16, WARM_UP = 20 };

static const double clip_limit = 1;

lesson lesson_of(const series *s, int64_t n_train)
{
    lesson l = { .s = s, .n_train = n_train, .k = scale_of(s, n_train) };
    l.z = take((size_t)s->n, sizeof *l.z);
    for (int64_t i = 0; i < s->n; i++) l.z[i] = (s->value[i] - l.k.mean) / l.k.deviation;
    return l;
}

void lesson_free(lesson *l) { free(l->z); }

/* A batch of windows, time-major: x[t,b] = z[start_b + t] and y[t,b] = z[start_b + t + 1]. */
typedef struct windows {
    int64_t steps, batch;
    double *x, *y;
} windows;

static windows windows_new(int64_t steps, int64_t batch)
{
    size_t n = (size_t)(steps * batch);
    return (windows){ steps, batch, take(n, sizeof(double)), take(n, sizeof(double)) };
}

static void windows_free(windows *w)
{
    free(w->x);
    free(w->y);
}

/* Starts are a function of seed, update and row: the same run again gives the same bits. */
static void draw_windows(windows *w, const lesson *l, uint64_t seed, int64_t update)
{
    sq_random random = sq_random_stream(seed, (uint64_t)update, 0, 0);
    uint64_t n_starts = (uint64_t)(l->n_train - w->steps);
    for (int64_t b = 0; b < w->batch; b++) {
        const double *z = l->z + sq_random_bits(random, (uint64_t)b, 0) % n_starts;
        for (int64_t t = 0; t < w->steps; t++) {
            w->x[t * w->batch + b] = z[t];
            w->y[t * w->batch + b] = z[t + 1];
        }
    }
}

/* L = mean over b and t >= T/3 of (y_t - z_(t+1))^2 */
static sq_var window_loss(model *m, const windows *w)
{
    int64_t skipped = w->steps / 3, judged = w->steps - skipped;
    sq_var y = model_forecast(m, model_unroll(m, w->x, w->steps, w->batch, SQ_OUTPUTS_ALL));
    sq_var target =
        sq_input(m->tape, sq_shape3(judged, w->batch, 1), w->y + skipped * w->batch);
    return sq_mse(sq_slice(y, 0, skipped, judged), target);
}

void train(model *m, const lesson *l, const options *o, uint64_t seed, const char *title)
{
    sq_tape *t = m->tape;
    sq_optim *adam = sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM });
    if (!adam) die("%s", sq_params_message(m->params));
    int64_t warmup = o->updates > 10 * WARM_UP ? WARM_UP : o->updates / 10;
    sq_schedule schedule = { SQ_COSINE, o->rate, 0, o->updates - warmup, warmup };

    windows w = windows_new(o->window, BATCH);
    progress bar = progress_begin(title, o->updates, o->quiet);
    for (int64_t n = 0; n < o->updates; n++) {
        draw_windows(&w, l, seed, n);
        sq_tape_reset(t);
        sq_var loss = window_loss(m, &w);
        if (sq_optim_set_rate(adam, sq_schedule_rate(&schedule, n)))
            die("%s", sq_params_message(m->params));
        if (sq_backward(loss) || sq_clip_norm(t, clip_limit, NULL) || sq_optim_step(adam, t))
            die("%s", sq_message(t));
        sq_zero_grads(t);
        progress_step(&bar, n + 1, sq_item(loss), sq_optim_rate(adam));
    }
    progress_end(&bar);
    windows_free(&w);
    sq_optim_free(adam);
}

/* All held-out values at once: each is one row of the batch, forecast from the true values of
 * the `window` steps before it. */
void forecast_held_out(model *m, const lesson *l, int64_t window, double *guess)
{
    int64_t rows = l->s->n - l->n_train;
    double *x = take((size_t)(window * rows), sizeof *x);
    for (int64_t t = 0; t < window; t++)
        for (int64_t b = 0; b < rows; b++) x[t * rows + b] = l->z[l->n_train + b - window + t];

    sq_tape_reset(m->tape);
    sq_var y = model_forecast(m, model_unroll(m, x, window, rows, SQ_OUTPUTS_LAST));
    if (sq_copy(y, guess)) die("%s", sq_message(m->tape));
    for (int64_t b = 0; b < rows; b++) guess[b] = l->k.mean + l->k.deviation * guess[b];
    free(x);
}
