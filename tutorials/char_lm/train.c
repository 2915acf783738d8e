/* train.c -- streaming truncated backpropagation through time; read this file to learn it.
 *
 * The text is one long sequence. sq_tbptt runs along it, B places at once, carries the state, and
 * after every k1 characters differentiates their losses through the k2 newest. All that is ours
 * to say is what goes in (input), what it should have been (loss), and how the weights move
 * (update). At the end of the streams a pass is over; the next begins with the state zero. */
#include "train.h"

#include "progress.h"
#include "save.h"
#include "score.h"
#include "stop.h"

#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- What the driver asks ---------------------------------------------------------------- */

/* A save, which may be damaged, must not lead beyond the text. */
static bool in_text(const training *r, sq_tape *t, int64_t first, int64_t steps)
{
    int64_t length = text_stream_length(r->text, r->o->batch);
    return (steps <= r->window && first < length - steps) ||
           sq_post(t, SQ_ERANGE, "character %lld is beyond the text",
                   (long long)(first + steps));
}

static sq_var input(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    training *r = context;
    if (!in_text(r, t, first, steps)) return (sq_var){ t, 0 };
    text_streams(r->text, r->o->batch, first, steps, r->ids);
    return model_input(r->model, t, r->ids, steps, r->o->batch);
}

/* The part of L = mean over window and batch of -ln P(next) that these steps give. */
static sq_var loss(void *context, sq_tape *t, sq_var h, int64_t first, int64_t steps)
{
    training *r = context;
    text_streams(r->text, r->o->batch, first + 1, steps, r->ids);
    sq_var sum = sq_cross_entropy(model_scores(r->model, t, h), r->ids, NULL, SQ_SUM);
    return sq_mul_scalar(sum, 1 / (double)(r->window * r->o->batch));
}

/* Clipping without a limit still refuses gradients that are no numbers. */
static sq_status update(void *context, sq_tape *t, double loss, int64_t n)
{
    training *r = context;
    (void)n;
    r->loss = loss;
    if (!isfinite(loss)) return SQ_ENONFINITE;
    if (sq_clip_norm(t, r->o->clip > 0 ? r->o->clip : HUGE_VAL, NULL)) return SQ_ENONFINITE;
    return sq_optim_step(r->optim, t);
}

/* ---- A training -------------------------------------------------------------------------- */

static int64_t window_of(const options *o, const text *s)
{
    int64_t whole = text_stream_length(s, o->batch) - 1;
    return o->k1 < whole ? o->k1 : whole;
}

int64_t training_pass(const options *o, const text *s)
{
    return (text_stream_length(s, o->batch) - 1) / window_of(o, s);
}

training *training_new(const options *o, const text *s)
{
    training *r = take(1, sizeof *r);
    *r = (training){ .o = o, .text = s, .window = window_of(o, s) };
    r->model = model_new(o, s->known.n);
    r->tape = model_tape(r->model, o, false);
    r->ids = take((size_t)(r->window * o->batch), sizeof *r->ids);
    r->optim =
        sq_optim_new(r->model->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = o->rate });
    r->stream = sq_tbptt_new(r->tape, &r->model->dropped,
                             &(sq_tbptt_options){ .k1 = r->window,
                                                  .k2 = o->k2,
                                                  .batch = o->batch,
                                                  .unroll = { .budget_bytes = o->budget },
                                                  .input = input,
                                                  .loss = loss,
                                                  .update = update,
                                                  .context = r });
    if (!r->optim) die("%s", sq_params_message(r->model->params));
    if (!r->stream) die("%s", sq_message(r->tape));
    return r;
}

void training_free(training *r)
{
    sq_tbptt_free(r->stream);
    sq_optim_free(r->optim);
    sq_tape_free(r->tape);
    model_free(r->model);
    free(r->ids);
    free(r);
}

/* ---- The loop ---------------------------------------------------------------------------- */

static _Noreturn void die_of_update(const training *r)
{
    long long n = (long long)sq_optim_updates(r->optim) + 1;
    if (!isfinite(r->loss))
        die("update %lld: the loss is %s; try a --rate below %g", n,
            isnan(r->loss) ? "not a number" : "infinite", r->o->rate);
    die("update %lld: %s", n, sq_message(r->tape));
}

static void one_update(training *r)
{
    if (sq_tbptt_feed(r->stream, r->window, NULL)) die_of_update(r);
    r->at += r->window;
    if (r->at + r->window < text_stream_length(r->text, r->o->batch)) return;
    if (sq_tbptt_end(r->stream)) die_of_update(r);
    r->at = 0;
}

/* A pass that is over has left its length behind. */
bool training_take_place(training *r)
{
    int64_t at = sq_tbptt_statistics(r->stream).steps, pass = training_pass(r->o, r->text);
    r->at = at / r->window == pass ? 0 : at;
    return at % r->window == 0 && at / r->window <= pass;
}

static void tell_score(const training *r)
{
    const text *s = r->text;
    double nats = score_text(r->model, r->o, s, s->n_train, s->n - s->n_train);
    if (isnan(nats) && stop_signal()) return;
    printf("validation after %lld updates: %.4f nats, %.4f bits per character\n",
           (long long)sq_optim_updates(r->optim), nats, nats / log(2));
    fflush(stdout);
}

/* A save on the way may fail, for want of room say, and the training is not lost. */
static void save_on_the_way(const training *r)
{
    char why[SAVE_WHY];
    if (options_wants_file(r->o->save) && !save_write(r, why))
        fprintf(stderr, "%s: %s; the training goes on\n", PROGRAM, why);
}

static void save_at_the_end(const training *r)
{
    char why[SAVE_WHY];
    long long n = (long long)sq_optim_updates(r->optim);
    int came = stop_signal();
    if (came) printf("stopped after update %lld; ", n);
    if (!options_wants_file(r->o->save)) {
        if (came) printf("nothing is saved\n");
        return;
    }
    if (!save_write(r, why)) {
        if (came) printf("it could not be saved\n");
        fflush(stdout);
        die("%s", why);
    }
    printf("saved to %s%s%s\n", r->o->save, came ? "; go on with --resume " : "",
           came ? r->o->save : "");
}

void train(training *r)
{
    int64_t total = r->o->updates, n = sq_optim_updates(r->optim);
    int64_t every = r->o->validate ? r->o->validate : (total + 3) / 4;
    progress line = progress_begin(n, total, r->window * r->o->batch, r->o->quiet);
    while (n < total && !stop_signal()) {
        one_update(r);
        n = sq_optim_updates(r->optim);
        progress_step(&line, n, r->loss);
        if (n % every || n == total || stop_signal()) continue;
        progress_clear(&line);
        if (!r->o->quiet) tell_score(r);
        save_on_the_way(r);
        progress_skip(&line);
    }
    progress_clear(&line);
    save_at_the_end(r);
    if (stop_signal()) return;
    tell_score(r);
    if (!r->o->quiet) printf("%.0f characters/s\n", progress_speed(&line, n));
}
