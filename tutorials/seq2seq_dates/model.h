/* model.h -- an encoder that reads a date in both directions, and a decoder that looks at what it
 * needs of it, character by character.
 *
 *     x_s = E_in[character s]                       h_s = [forward GRU, backward GRU](x)    [S,B,2H]
 *     s_0 = tanh([forward h at the end, backward h at the begin] W_s + b_s)
 *     at every step i:   u_is = score(s_(i-1), h_s)       a_i = softmax(u_i)
 *                        c_i = sum_s a_is h_s             s_i = GRU([E_out[y_(i-1)], c_i], s_(i-1))
 *                        P(y_i) = softmax([s_i, c_i] V + a)
 *
 * Bahdanau, Cho, Bengio 2015; the score is additive, dot or scaled dot (cells/attention.h). */
#ifndef MODEL_H
#define MODEL_H

#include "dates.h"

#include <seqgrad/seqgrad.h>

typedef struct model {
    sq_params *params;
    int64_t hidden;
    sq_weight E_in, E_out; /* embeddings of characters read and written */
    sq_gru forward, backward, decoder;
    sq_weight W_s, b_s;
    sq_attention attention;
    sq_weight V, a;
} model;

model *model_new(int64_t hidden, sq_attention_kind kind, uint64_t seed);
void model_free(model *m);

/* Human dates side by side, [steps,rows]; what lies behind a row's length is 0. */
typedef struct batch {
    int64_t rows, steps;
    int32_t *symbols, *lengths;
} batch;

/* Of texts that have been checked: 1 to TEXT_MAX - 1 characters, all of them known. */
batch batch_of(char (*texts)[TEXT_MAX], int64_t rows);
void batch_free(batch *b);

/* What was read, ready to be written from. It points into itself: it must not be moved. */
typedef struct reading {
    sq_attender attender;
    sq_cell cell;
    sq_decoder decoder;
    sq_var state0;
} reading;

/* Reads a batch; for a beam search of `width`, else 1: then the memory of each row stands so many
 * times. Mistakes are on the tape. */
void model_read(const model *m, sq_tape *t, const batch *b, int64_t width, reading *r);

#endif
