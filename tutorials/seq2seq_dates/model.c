/* model.c -- the network in public calls: a bidirectional unroll, a memory, a cell that attends. */
#include "model.h"

#include "../common/say.h"

#include <stdlib.h>
#include <string.h>

enum { EMBED = 32 };

/* ---- Weights ----------------------------------------------------------------------------- */

static sq_weight add(model *m, const char *name, sq_shape shape, double bound, uint64_t seed)
{
    sq_weight w = sq_params_add(m->params, name, shape);
    sq_init_uniform(m->params, w, bound, seed);
    return w;
}

model *model_new(int64_t hidden, sq_attention_kind kind, uint64_t seed)
{
    model *m = take(1, sizeof *m);
    sq_params *p = m->params = sq_params_new(SQ_F32);
    int64_t memory = 2 * hidden;
    if (!p) die("out of memory");
    m->hidden = hidden;
    m->E_in = add(m, "E_in", sq_mat(N_INPUT, EMBED), 1, seed);
    m->E_out = add(m, "E_out", sq_mat(N_OUTPUT + 1, EMBED), 1, seed);
    sq_gru_init(&m->forward, p, "forward", EMBED, hidden, SQ_RESET_AFTER, seed);
    sq_gru_init(&m->backward, p, "backward", EMBED, hidden, SQ_RESET_AFTER, seed);
    m->W_s = sq_params_add(p, "bridge.W_s", sq_mat(memory, hidden));
    m->b_s = sq_params_add(p, "bridge.b_s", sq_vec(hidden));
    sq_init_glorot(p, m->W_s, 1, seed);
    sq_attention_init(&m->attention, p, "attention", kind, hidden, memory, hidden, seed);
    sq_gru_init(&m->decoder, p, "decoder", EMBED + memory, hidden, SQ_RESET_AFTER, seed);
    m->V = sq_params_add(p, "readout.V", sq_mat(hidden + memory, N_OUTPUT));
    m->a = sq_params_add(p, "readout.a", sq_vec(N_OUTPUT));
    sq_init_glorot(p, m->V, 1, seed);
    if (sq_params_status(p)) die("%s", sq_params_message(p));
    return m;
}

void model_free(model *m)
{
    sq_params_free(m->params);
    free(m);
}

/* ---- Batches ----------------------------------------------------------------------------- */

batch batch_of(char (*texts)[TEXT_MAX], int64_t rows)
{
    batch b = { .rows = rows };
    b.lengths = take((size_t)rows, sizeof *b.lengths);
    for (int64_t r = 0; r < rows; r++) {
        b.lengths[r] = (int32_t)strlen(texts[r]);
        if (b.lengths[r] > b.steps) b.steps = b.lengths[r];
    }
    b.symbols = take((size_t)(b.steps * rows), sizeof *b.symbols);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t s = 0; s < b.lengths[r]; s++)
            b.symbols[s * rows + r] = input_symbol(texts[r][s]);
    return b;
}

void batch_free(batch *b)
{
    free(b->symbols);
    free(b->lengths);
}

/* ---- Reading ----------------------------------------------------------------------------- */

/* Which places of the memory are there: [rows * width, steps]. */
static int32_t *places(const batch *b, int64_t width)
{
    int32_t *there = take((size_t)(b->rows * width * b->steps), sizeof *there);
    for (int64_t r = 0; r < b->rows * width; r++)
        for (int64_t s = 0; s < b->lengths[r / width]; s++) there[r * b->steps + s] = 1;
    return there;
}

static sq_var told(sq_tape *t, const void *context, const int32_t *ids, int64_t n)
{
    const model *m = context;
    return sq_gather(sq_use(t, m->E_out), ids, n);
}

static sq_var scores(sq_tape *t, const void *context, sq_var y)
{
    const model *m = context;
    return sq_affine(y, sq_use(t, m->V), sq_use(t, m->a));
}

void model_read(const model *m, sq_tape *t, const batch *b, int64_t width, reading *r)
{
    sq_cell forward = sq_gru_cell(&m->forward), backward = sq_gru_cell(&m->backward);
    sq_var x = sq_gather(sq_use(t, m->E_in), b->symbols, b->steps * b->rows);
    x = sq_reshape(x, sq_shape3(b->steps, b->rows, EMBED));
    sq_directions read = sq_bidirectional(t, &forward, &backward, x, NULL, NULL,
                                          &(sq_unroll_options){ .lengths = b->lengths });

    sq_var end[2] = { { 0 }, { 0 } };
    sq_unrolled_last(read.forward, &end[0]);
    sq_unrolled_last(read.backward, &end[1]);
    r->state0 = sq_tanh(sq_affine(sq_concat(end, 2, 1), sq_use(t, m->W_s), sq_use(t, m->b_s)));

    sq_var memory = sq_permute(read.outputs, (int[]){ 1, 0, 2 }); /* [B,S,2H] */
    if (width > 1) memory = sq_repeat_rows(memory, width);
    int32_t *there = places(b, width);
    r->attender = (sq_attender){ .cell = sq_gru_cell(&m->decoder),
                                 .attention = &m->attention,
                                 .memory = sq_attention_memory(&m->attention, memory, there),
                                 .show_context = true };
    free(there);
    r->cell = sq_attention_cell(&r->attender);
    r->decoder = (sq_decoder){ &r->cell, told, scores, m, OUT_START, OUT_END };
}
