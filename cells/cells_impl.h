/* cells_impl.h -- what the cells share beside the public ops: adding their weights, and the sum
 * that every gate squashes. */
#ifndef SQ_CELLS_CELLS_IMPL_H
#define SQ_CELLS_CELLS_IMPL_H

#include "core/op.h"
#include "core/params.h"
#include "core/tape.h"

/* Where a cell's weights go: names begin with prefix and a dot (with neither when the prefix is
 * NULL or empty), values are uniform in [-1/sqrt(H), 1/sqrt(H)) with H = hidden. */
typedef struct sqi_cell_weights {
    sq_params *params;
    const char *prefix;
    int64_t hidden;
    uint64_t seed;
} sqi_cell_weights;

/* Adds prefix.name. Fails as sq_params_add: {0}, posted on the params. */
sq_weight sqi_cell_weight(const sqi_cell_weights *to, const char *name, sq_shape shape);

/* The weights of one gate. */
typedef struct sqi_gate_weights {
    sq_weight *W, *b, *U;
} sqi_gate_weights;

/* Adds prefix.W_k [in,H], prefix.b_k [H] and prefix.U_k [state,H], k being the gate's letter. */
void sqi_cell_gate(const sqi_cell_weights *to, char k, int64_t in, int64_t state,
                   sqi_gate_weights gate);

/* x W + b + h U */
sq_var sqi_gate_sum(sq_tape *t, sq_var x, sq_weight W, sq_weight b, sq_var h, sq_weight U);

/* v, of which a part is dropped; v itself at a rate of 0, or where it has no value. */
sq_var sqi_dropped(sq_var v, double rate, sq_drawn mask);

/* [a, b] along the last axis; the other where one has no value. */
sq_var sqi_beside(sq_var a, sq_var b);

#endif
