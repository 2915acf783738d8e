/* train.c -- teacher forcing: at every step the decoder is told the true character before, so that all
 * steps are one unroll; the loss is the mean of -ln P(true character).
 *
 * With --sampling it is told its own choice now and then (scheduled sampling, Bengio et al. 2015),
 * which makes it a loop. */
#include "train.h"

#include "../common/meter.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What a stream of random numbers is for. */
enum { DRAW_DAY = 1, DRAW_FORM, DRAW_OWN };

typedef struct training {
    const model *m;
    const options *o;
    sq_tape *tape;
    sq_optim *optim;
    char (*texts)[TEXT_MAX], (*truth)[TEXT_MAX]; /* [B] */
    int32_t *symbols;                            /* of the truth, [OUT_STEPS,B] */
} training;

sq_tape *tape_new(const model *m, const options *o, bool inference)
{
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    if (!t) die("out of memory");
    sq_tape_set_threads(t, (int32_t)o->threads);
    sq_tape_set_seed(t, (uint64_t)o->seed);
    sq_tape_set_inference(t, inference);
    return t;
}

static sq_random draws(const options *o, int64_t update, int what)
{
    return sq_random_stream((uint64_t)o->seed, (uint64_t)what, (uint64_t)update, 0);
}

/* The dates of an update: days that may be learned from, each in some form. */
static void draw_dates(const options *o, int64_t update, char (*texts)[TEXT_MAX],
                       char (*truth)[TEXT_MAX])
{
    sq_random days = draws(o, update, DRAW_DAY), forms = draws(o, update, DRAW_FORM);
    uint64_t n = (uint64_t)days_count();
    for (int64_t row = 0; row < o->batch; row++) {
        uint64_t attempt = 0;
        int64_t day;
        do day = (int64_t)(sq_random_bits(days, (uint64_t)row, attempt++) % n);
        while (day_held_out(day));
        int form = (int)(sq_random_bits(forms, (uint64_t)row, 0) % N_FORMS);
        date_write(date_of(day), form, texts[row]);
        date_write_iso(date_of(day), truth[row]);
    }
}

static double one_update(training *r, int64_t update)
{
    const options *o = r->o;
    sq_tape *t = r->tape;
    reading read;
    draw_dates(o, update, r->texts, r->truth);
    for (int64_t i = 0; i < OUT_STEPS * o->batch; i++)
        r->symbols[i] = output_symbol(r->truth[i % o->batch][i / o->batch]);
    batch b = batch_of(r->texts, o->batch);
    sq_tape_reset(t);
    sq_zero_grads(t);
    model_read(r->m, t, &b, 1, &read);
    sq_decode_options how = { .own = sq_own_linear(update, o->sampling / (double)o->updates,
                                                   o->sampling),
                              .seed = sq_random_bits(draws(o, update, DRAW_OWN), 0, 0) };
    sq_var scores =
        sq_decode_given(t, &read.decoder, &read.state0, r->symbols, OUT_STEPS, o->batch, &how);
    sq_var loss = sq_cross_entropy(scores, r->symbols, NULL, SQ_MEAN);
    if (sq_backward(loss) || sq_clip_norm(t, 1, NULL) || sq_optim_step(r->optim, t))
        die("update %lld: %s", (long long)update + 1, sq_message(t));
    batch_free(&b);
    return sq_item(loss);
}

static training training_new(const model *m, const options *o)
{
    training r = { .m = m, .o = o, .tape = tape_new(m, o, false) };
    r.optim = sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = o->rate });
    if (!r.optim) die("%s", sq_params_message(m->params));
    r.texts = take((size_t)o->batch, sizeof *r.texts);
    r.truth = take((size_t)o->batch, sizeof *r.truth);
    r.symbols = take((size_t)(o->batch * OUT_STEPS), sizeof *r.symbols);
    return r;
}

double train(model *m, const options *o)
{
    training r = training_new(m, o);
    sq_schedule rate = { .kind = SQ_COSINE, .rate = o->rate, .updates = o->updates };
    meter line = meter_begin("learning", o->updates, o->quiet);
    double began = meter_clock();
    for (int64_t i = 0; i < o->updates; i++) {
        char note[32];
        if (sq_optim_set_rate(r.optim, sq_schedule_rate(&rate, i)))
            die("%s", sq_params_message(m->params));
        snprintf(note, sizeof note, "loss %.5f", one_update(&r, i));
        meter_step(&line, i + 1, note);
    }
    meter_end(&line);
    sq_optim_free(r.optim);
    sq_tape_free(r.tape);
    free(r.texts);
    free(r.truth);
    free(r.symbols);
    return meter_clock() - began;
}

void train_examples(const options *o)
{
    char(*texts)[TEXT_MAX] = take((size_t)o->batch, sizeof *texts);
    char(*truth)[TEXT_MAX] = take((size_t)o->batch, sizeof *truth);
    for (int64_t i = 0; i < o->examples; i++) {
        int64_t row = i % o->batch;
        if (!row) draw_dates(o, i / o->batch, texts, truth);
        printf("%-24s %s\n", texts[row], truth[row]);
    }
    free(texts);
    free(truth);
}
