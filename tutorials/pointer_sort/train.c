/* train.c -- teacher forcing: the network is told the number that it should have pointed at, and the
 * loss is the mean of -ln P(right place) over all steps of all sequences of the batch. */
#include "train.h"

#include "../common/meter.h"
#include "../common/say.h"

#include <stdio.h>

sq_tape *tape_new(const model *m, const options *o, bool inference)
{
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    if (!t) die("out of memory");
    sq_tape_set_threads(t, (int32_t)o->threads);
    sq_tape_set_seed(t, (uint64_t)o->seed);
    sq_tape_set_inference(t, inference);
    return t;
}

static double one_update(const model *m, const options *o, sq_tape *t, sq_optim *optim,
                         const numbers *n)
{
    reading read;
    sq_tape_reset(t);
    sq_zero_grads(t);
    model_read(m, t, n, o->once, &read);
    sq_var scores = model_scores(&read, t, n->order);
    sq_var loss = sq_cross_entropy(scores, n->order, n->wanted, SQ_MEAN);
    if (sq_backward(loss) || sq_clip_norm(t, 1, NULL) || sq_optim_step(optim, t))
        die("update %lld: %s", (long long)sq_optim_updates(optim) + 1, sq_message(t));
    reading_free(&read);
    return sq_item(loss);
}

double train(model *m, const options *o)
{
    sq_schedule rate = { .kind = SQ_COSINE, .rate = o->rate, .updates = o->updates };
    sq_tape *t = tape_new(m, o, false);
    sq_optim *optim =
        sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = o->rate });
    if (!optim) die("%s", sq_params_message(m->params));
    numbers n = numbers_new(o->batch, o->longest);
    meter line = meter_begin("learning", o->updates, o->quiet);
    double began = meter_clock();
    for (int64_t i = 0; i < o->updates; i++) {
        char note[32];
        sq_random random = sq_random_stream((uint64_t)o->seed, DRAW_TRAINING, (uint64_t)i, 0);
        numbers_draw(&n, random, o->shortest, o->longest);
        if (sq_optim_set_rate(optim, sq_schedule_rate(&rate, i)))
            die("%s", sq_params_message(m->params));
        snprintf(note, sizeof note, "loss %.5f", one_update(m, o, t, optim, &n));
        meter_step(&line, i + 1, note);
    }
    meter_end(&line);
    double seconds = meter_clock() - began;
    numbers_free(&n);
    sq_optim_free(optim);
    sq_tape_free(t);
    return seconds;
}
