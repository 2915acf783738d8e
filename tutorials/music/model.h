/* model.h -- the network: 88 keys in, a recurrent cell, 88 scores out.
 *
 *     z_t = h_t V + a,     p(key k is down in frame t+1 | frames 0..t) = sigmoid(z_t,k) */
#ifndef MODEL_H
#define MODEL_H

#include "options.h"
#include "roll.h"

#include <seqgrad/seqgrad.h>

typedef struct model {
    sq_params *params;
    int cell_kind;
    int64_t hidden;
    union {
        sq_lstm lstm;
        sq_gru gru;
    } weights;
    sq_cell cell;
    sq_dropped dropped; /* the cell with dropout behind it, for training */
    sq_weight V, a;
} model;

model *model_new(int cell_kind, int64_t hidden, double dropout, uint64_t seed);
void model_free(model *m);

/* Of outputs [..,H]: scores [..,88]. */
sq_var model_scores(const model *m, sq_tape *t, sq_var h);

/* Weights and settings in a safetensors file. Both die with a sentence. */
void model_save(const model *m, const char *path);
model *model_load(const char *path);

/* Several songs as one ragged batch: frames [T,B,88], of which row b has lengths[b] that have one
 * after them, and those that come after. */
typedef struct batch {
    int64_t steps, rows;
    float *now, *next;
    int32_t *lengths; /* [B] */
    int32_t *mask;    /* [T,B] */
} batch;

/* Room for up to `rows` songs of up to `longest` frames. */
batch batch_new(int64_t rows, int64_t longest);
void batch_free(batch *b);
void batch_fill(batch *b, song *const *from, int64_t rows);

/* -ln p(next frames), sums over the keys [T,B] (SQ_ROWS), their mean or sum over all frames that are
 * there. With dropout or without. */
sq_var batch_nll(const batch *b, const model *m, sq_tape *t, bool dropout, sq_reduction how);

#endif
