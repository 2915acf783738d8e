/* model.c -- the network in public calls: an unroll, a memory, a cell that points, and a decoder whose
 * symbols are places. */
#include "model.h"

#include "../common/say.h"

#include <stdlib.h>
#include <string.h>

static const double never = -1e30;

model *model_new(int64_t hidden, uint64_t seed)
{
    model *m = take(1, sizeof *m);
    sq_params *p = m->params = sq_params_new(SQ_F32);
    if (!p) die("out of memory");
    m->hidden = hidden;
    sq_lstm_init(&m->encoder, p, "encoder", 1, hidden, seed);
    sq_lstm_init(&m->decoder, p, "decoder", 2, hidden, seed);
    sq_attention_init(&m->pointer, p, "pointer", SQ_ATTENTION_ADDITIVE, hidden, hidden, hidden,
                      seed);
    if (sq_params_status(p)) die("%s", sq_params_message(p));
    return m;
}

void model_free(model *m)
{
    sq_params_free(m->params);
    free(m);
}

/* ---- What the decoder asks ----------------------------------------------------------------- */

/* Inputs [n,2] for n places, the one behind the last being the begin: the number there, and whether it
 * is the begin. Rows of later steps follow those of earlier ones, in one call or in several; so
 * what is still free in each row can be kept here. */
static sq_var told(sq_tape *t, const void *context, const int32_t *ids, int64_t n)
{
    const reading *r = context;
    int64_t rows = r->read->rows, places = r->read->places;
    size_t size = (size_t)places * sizeof *r->free;
    float *x = take((size_t)n * 2, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i % rows;
        int32_t *left = r->free + row * places;
        if (ids[i] == places) {
            x[2 * i + 1] = 1;
            memcpy(left, r->read->there + row * places, size);
        } else {
            x[2 * i] = r->read->x[ids[i] * rows + row];
            left[ids[i]] = 0;
        }
        memcpy(r->open + i * places, left, size);
    }
    sq_var v = sq_input_f32(t, sq_mat(n, 2), x);
    free(x);
    return v;
}

static sq_var open_only(sq_tape *t, const void *context, sq_var y)
{
    const reading *r = context;
    return r->once ? sq_where(r->open, sq_shape_of(y), y, sq_constant(t, never)) : y;
}

/* ---- Reading and pointing ------------------------------------------------------------------ */

void model_read(const model *m, sq_tape *t, const numbers *n, bool once, reading *r)
{
    size_t size = (size_t)(n->rows * n->places);
    sq_cell encoder = sq_lstm_cell(&m->encoder);
    sq_var x = sq_input_f32(t, sq_shape3(n->places, n->rows, 1), n->x);
    const sq_unrolled *u =
        sq_unroll(t, &encoder, x, NULL, &(sq_unroll_options){ .lengths = n->lengths });
    sq_var memory = sq_permute(sq_unrolled_outputs(u), (int[]){ 1, 0, 2 }); /* [B,S,H] */
    *r = (reading){ .read = n, .once = once };
    r->free = take(size, sizeof *r->free);
    r->open = take(size * (size_t)n->places, sizeof *r->open);
    sq_unrolled_last(u, r->state0);
    r->attender = (sq_attender){ .cell = sq_lstm_cell(&m->decoder),
                                 .attention = &m->pointer,
                                 .memory = sq_attention_memory(&m->pointer, memory, n->there) };
    r->cell = sq_pointer_cell(&r->attender);
    r->decoder = (sq_decoder){ &r->cell, told, open_only, r, (int32_t)n->places, -1 };
}

void reading_free(reading *r)
{
    free(r->free);
    free(r->open);
}

sq_var model_scores(reading *r, sq_tape *t, const int32_t *pointed)
{
    return sq_decode_given(t, &r->decoder, r->state0, pointed, r->read->places, r->read->rows,
                           NULL);
}

void model_point(reading *r, sq_tape *t, int32_t *pointed)
{
    if (sq_decode(t, &r->decoder, r->state0, r->read->places, r->read->rows, NULL, pointed,
                  NULL) < 0)
        die("%s", sq_message(t));
}
