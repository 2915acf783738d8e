/* model.h -- characters in, a score for every next character out.
 *
 *     x_t = E[id_t]   or one-hot          [B,I]
 *     h_t = cells(x_t, h_(t-1))           [B,H]   one cell per layer, dropout behind each
 *     z_t = h_t V + a                     [B,C]   C characters;  P(next = c) = softmax(z_t)_c */
#ifndef MODEL_H
#define MODEL_H

#include "options.h"

#include <seqgrad/seqgrad.h>

typedef struct layer layer;

typedef struct model {
    sq_params *params;
    sq_weight E, V, a;     /* E: {0} when characters enter one-hot */
    int64_t n_chars, n_in; /* C, I */
    layer *layers;
    sq_stack_cells *stack, *stack_dropped;
    sq_cell cell;    /* of all layers, without dropout: for validation and sampling */
    sq_cell dropped; /* the same with dropout: for training */
} model;

/* The model that the options describe, for so many characters. Dies with a sentence. */
model *model_new(const options *o, int64_t n_chars);
void model_free(model *m);

/* A new tape over the model's weights, for training or for inference. */
sq_tape *model_tape(const model *m, const options *o, bool inference);

/* x [steps,B,I] of characters ids [steps * B], step after step. */
sq_var model_input(const model *m, sq_tape *t, const int32_t *ids, int64_t steps,
                   int64_t batch);

/* z [..,C] of h [..,H]. */
sq_var model_scores(const model *m, sq_tape *t, sq_var h);

#endif
