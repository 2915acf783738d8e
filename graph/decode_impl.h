/* decode_impl.h -- a loop of steps that are told what was said: its state between two steps. */
#ifndef SQ_GRAPH_DECODE_IMPL_H
#define SQ_GRAPH_DECODE_IMPL_H

#include "core/tape_impl.h"
#include "graph/decode.h"
#include "ops/ops.h"

typedef struct sqi_decoding {
    sq_tape *t;
    const sq_decoder *d;
    int64_t rows, symbols, step; /* step: taken so far */
    sq_var *state;
    int32_t *told;  /* [rows] what the next step is told */
    double *scores; /* [rows,symbols] of the last step */
} sqi_decoding;

/* Opens it, every row of the batch `width` times; false after posting. Close it either way. */
bool sqi_decoding_open(sqi_decoding *w, sq_tape *t, const sq_decoder *d, const sq_var *state0,
                       int64_t steps, int64_t batch, int64_t width);
bool sqi_decoding_step(sqi_decoding *w, sq_var *scores);
void sqi_decoding_close(sqi_decoding *w);

/* Memory of zeros, given back by free; NULL after posting. */
void *sqi_decode_take(sq_tape *t, int64_t n, size_t size);

#endif
