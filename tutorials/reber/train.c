/* train.c -- read this file to learn streaming truncated BPTT on symbols.
 *
 * Rows of the batch are independent streams. After every symbol the network has to name all the
 * symbols that may come next: seven yes-or-no questions. After every k1
 * symbols the weights are updated by gradients that go back k2 symbols, and the state is carried on.
 * As in the paper a stream ends with the first mistake, here with the k1 symbols that hold it, and
 * another begins from the state 0: the better the network, the longer its streams. */
#include "train.h"

#include "streams.h"
#include "../common/meter.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
    const model *m;
    const options *o;
    streams s;
    sq_optim *optim;
    sq_schedule rate;
    int32_t *symbols;
    uint32_t *legal;
    float *wanted, *scores;
    int32_t *rows; /* [k1,B]: which streams begin anew */
    double loss;
} training;

/* The driver asks for inputs first and for their losses right afterwards, so one read of the
 * streams serves both. */
static sq_var input(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    training *r = context;
    (void)first;
    streams_next(&r->s, steps, r->symbols, r->legal, NULL);
    return model_input(t, r->symbols, steps, r->s.rows);
}

/* Streams with a mistake end, and others begin in their rows. */
static void end_streams(training *r, int64_t n)
{
    memset(r->rows, 0, (size_t)r->s.rows * sizeof *r->rows);
    for (int64_t i = 0; i < n; i++)
        if (!all_right(r->scores + i * N_SYMBOLS, r->legal[i]))
            r->rows[i % r->s.rows] = SQ_ROW_RESET;
    for (int64_t row = 0; row < r->s.rows; row++)
        if (r->rows[row] == SQ_ROW_RESET) r->s.at[row] = (place){ 0 };
}

/* The part of the error of an update that these steps give: as in the paper, half the sum of squares,
 * or cross-entropy, its mean over steps, rows and outputs. */
static sq_var loss(void *context, sq_tape *t, sq_var h, int64_t first, int64_t steps)
{
    training *r = context;
    int64_t n = steps * r->s.rows;
    (void)first;
    for (int64_t i = 0; i < n * N_SYMBOLS; i++)
        r->wanted[i] = (float)(r->legal[i / N_SYMBOLS] >> i % N_SYMBOLS & 1);
    sq_var targets = sq_input(t, sq_shape3(steps, r->s.rows, N_SYMBOLS), r->wanted);
    sq_var z = model_scores(r->m, t, h);
    if (sq_copy(z, r->scores)) return z;
    end_streams(r, n);
    if (!r->o->adam) return sq_mul_scalar(sq_squared_error(sq_sigmoid(z), targets, SQ_SUM), .5);
    sq_var sum = sq_bce_logits(z, targets, SQ_SUM);
    return sq_mul_scalar(sum, 1. / (double)(r->o->k1 * r->s.rows * N_SYMBOLS));
}

static sq_status update(void *context, sq_tape *t, double loss, int64_t n)
{
    training *r = context;
    (void)n;
    r->loss = loss;
    sq_status s = sq_clip_norm(t, r->o->clip > 0 ? r->o->clip : HUGE_VAL, NULL);
    if (!s)
        s = sq_optim_set_rate(r->optim, sq_schedule_rate(&r->rate, sq_optim_updates(r->optim)));
    return s ? s : sq_optim_step(r->optim, t);
}

static training training_new(const model *m, const options *o, uint64_t seed)
{
    size_t n = (size_t)(o->k1 * o->batch);
    training r = { .m = m, .o = o, .s = streams_new(o->batch, seed) };
    r.rate = (sq_schedule){ .kind = SQ_COSINE, .rate = o->rate, .updates = o->updates };
    r.optim = sq_optim_new(
        m->params, &(sq_optim_options){ .kind = o->adam ? SQ_ADAM : SQ_SGD, .rate = o->rate });
    if (!r.optim) die("%s", sq_params_message(m->params));
    r.symbols = take(n, sizeof *r.symbols);
    r.legal = take(n, sizeof *r.legal);
    r.wanted = take(n * N_SYMBOLS, sizeof *r.wanted);
    r.scores = take(n * N_SYMBOLS, sizeof *r.scores);
    r.rows = take(n, sizeof *r.rows);
    return r;
}

static void training_free(training *r)
{
    streams_free(&r->s);
    sq_optim_free(r->optim);
    free(r->symbols);
    free(r->legal);
    free(r->wanted);
    free(r->scores);
    free(r->rows);
}

void train(model *m, const options *o, uint64_t seed, const char *title)
{
    training r = training_new(m, o, seed);
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    sq_tbptt *stream = sq_tbptt_new(t, &m->cell,
                                    &(sq_tbptt_options){ .k1 = o->k1,
                                                         .k2 = o->k2,
                                                         .batch = o->batch,
                                                         .input = input,
                                                         .loss = loss,
                                                         .update = update,
                                                         .context = &r });
    meter line = meter_begin(title, o->updates, o->quiet);
    for (int64_t n = 1; stream && n <= o->updates; n++) {
        char note[32];
        if (sq_tbptt_feed(stream, o->k1, r.rows)) break;
        snprintf(note, sizeof note, "loss %.5f", r.loss);
        meter_step(&line, n, note);
    }
    meter_end(&line);
    if (sq_tape_status(t)) die("%s", sq_message(t));
    sq_tbptt_free(stream);
    sq_tape_free(t);
    training_free(&r);
}
