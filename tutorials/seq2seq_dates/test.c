/* test.c -- a tape for inference: batches of dates are read once, written greedily and by a search. */
#include "test.h"

#include "train.h"
#include "../common/meter.h"
#include "../common/say.h"

#include <stdlib.h>

enum { ROWS = 100 };

void read_symbols(const int32_t *ids, int64_t n, int64_t stride, char text[TEXT_MAX])
{
    int64_t i = 0;
    while (i < n && ids[i * stride] < OUT_END) {
        text[i] = output_char(ids[i * stride]);
        i++;
    }
    text[i] = 0;
}

/* The held-out days in an order of no meaning, that of their random numbers' shuffle. */
static int64_t *held_out_days(int64_t *count)
{
    sq_random random = sq_random_stream(0x7e57, 0, 0, 0);
    int64_t n = 0, *days = take((size_t)days_count(), sizeof *days);
    for (int64_t day = 0; day < days_count(); day++)
        if (day_held_out(day)) days[n++] = day;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)(sq_random_bits(random, (uint64_t)i, 0) % (uint64_t)(i + 1));
        int64_t swap = days[i];
        days[i] = days[k];
        days[k] = swap;
    }
    *count = n;
    return days;
}

static result result_new(int64_t wanted)
{
    int64_t there, *days = held_out_days(&there);
    result r = { .n = wanted < there ? wanted : there };
    size_t n = (size_t)r.n;
    r.texts = take(n, TEXT_MAX);
    r.truth = take(n, TEXT_MAX);
    r.greedy = take(n, TEXT_MAX);
    r.beam = take(n, TEXT_MAX);
    r.form = take(n, sizeof *r.form);
    for (int64_t i = 0; i < r.n; i++) {
        r.form[i] = (int)(i % N_FORMS);
        date_write(date_of(days[i]), r.form[i], r.texts[i]);
        date_write_iso(date_of(days[i]), r.truth[i]);
    }
    free(days);
    return r;
}

void result_free(result *r)
{
    free(r->texts);
    free(r->truth);
    free(r->greedy);
    free(r->beam);
    free(r->form);
}

static void write_greedily(const model *m, sq_tape *t, const batch *b, char (*out)[TEXT_MAX])
{
    int32_t ids[OUT_STEPS * ROWS];
    reading read;
    sq_tape_reset(t);
    model_read(m, t, b, 1, &read);
    if (sq_decode(t, &read.decoder, &read.state0, OUT_STEPS, b->rows, NULL, ids, NULL) < 0)
        die("%s", sq_message(t));
    for (int64_t row = 0; row < b->rows; row++)
        read_symbols(ids + row, OUT_STEPS, b->rows, out[row]);
}

static void search(const model *m, sq_tape *t, const batch *b, int64_t width,
                   char (*out)[TEXT_MAX])
{
    size_t n = (size_t)(b->rows * width);
    int32_t *ids = take(n * OUT_STEPS, sizeof *ids);
    sq_beam *beams = take(n, sizeof *beams);
    reading read;
    sq_tape_reset(t);
    model_read(m, t, b, width, &read);
    if (sq_beam_search(t, &read.decoder, &read.state0, OUT_STEPS, b->rows, width, 0, beams,
                       ids) < 0)
        die("%s", sq_message(t));
    for (int64_t row = 0; row < b->rows; row++)
        read_symbols(ids + row * width * OUT_STEPS, OUT_STEPS, 1, out[row]);
    free(ids);
    free(beams);
}

result test(const model *m, const options *o)
{
    result r = result_new(o->test);
    sq_tape *t = tape_new(m, o, true);
    meter line = meter_begin("unseen dates", r.n, o->quiet);
    for (int64_t i = 0; i < r.n; i += ROWS) {
        batch b = batch_of(r.texts + i, r.n - i < ROWS ? r.n - i : ROWS);
        write_greedily(m, t, &b, r.greedy + i);
        search(m, t, &b, o->beam, r.beam + i);
        meter_step(&line, i + b.rows, "test");
        batch_free(&b);
    }
    meter_end(&line);
    sq_tape_free(t);
    return r;
}
