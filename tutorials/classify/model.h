/* model.h -- the network: characters in, one score per class out.
 *
 *     x_t = E[character t],   f = forward cell over x_0 .. x_(n-1),   b = backward cell, from the end
 *     last: p = [f_(n-1), b_0]      mean: p = 1/n sum_t [f_t, b_t]      scores z = p V + a */
#ifndef MODEL_H
#define MODEL_H

#include "data.h"

#include <seqgrad/seqgrad.h>

typedef union cell_weights {
    sq_lstm lstm;
    sq_gru gru;
} cell_weights;

typedef struct model_sizes {
    int cell, direction, pool;
    int64_t hidden, embed, piece;
    double dropout;
} model_sizes;

typedef struct model {
    model_sizes size;
    int32_t n_classes, n_chars; /* characters 1.. are known, 0 is any other */
    char *name[MAX_CLASSES];
    int32_t number[256]; /* of a byte */
    sq_params *params;
    cell_weights weights[2]; /* forward, backward */
    sq_dropped way[2];       /* their cells, and what training drops before and behind them */
    sq_weight E, V, a;
} model;

/* For the classes of d and the characters of its TRAIN. */
model *model_new(const data *d, const model_sizes *size, uint64_t seed);
void model_free(model *m);

/* Weights, characters, classes, sizes in a safetensors file. Both die with a sentence. */
void model_save(const model *m, const char *path);
model *model_load(const char *path);

/* Pieces as one ragged batch. */
typedef struct batch {
    int64_t steps, rows;
    int32_t *ids;             /* [T,B] */
    int32_t *lengths, *label; /* [B] */
    int32_t *mask;            /* [T,B] */
} batch;

batch batch_new(int64_t rows, int64_t longest);
void batch_free(batch *b);
void batch_fill(batch *b, const model *m, const piece *const *from, int64_t rows);

/* Inputs [T,B,embed], and scores [B,classes] of them, with dropout or without. */
sq_var model_input(const model *m, sq_tape *t, const batch *b);
sq_var model_scores(const model *m, sq_tape *t, const batch *b, sq_var x, bool dropout);

#endif
