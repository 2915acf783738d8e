/* model.h -- a pointer network (Vinyals, Fortunato, Jaitly 2015): the answer is not a symbol but a
 * place of the input, so that as many can be told apart as there are.
 *
 *     e_j, (h, c) = LSTM(x_j, ..)                              for every number x_j: the memory [B,S,H]
 *     d_i         = LSTM([x_(p_(i-1)), begin?], d_(i-1))       beginning with the last h, c above
 *     u_ij        = tanh(d_i W_q + e_j W_k) v,    P(p_i = j) = softmax_j(u_i)
 *
 * Places that are padding are never pointed at. With `once` neither are those that were before:
 * their u_ij counts as -1e30, in training and afterwards. */
#ifndef MODEL_H
#define MODEL_H

#include "numbers.h"

#include <seqgrad/seqgrad.h>

#include <stdbool.h>

typedef struct model {
    sq_params *params;
    int64_t hidden;
    sq_lstm encoder, decoder;
    sq_attention pointer;
} model;

model *model_new(int64_t hidden, uint64_t seed);
void model_free(model *m);

/* Numbers that were read, ready to be pointed at. It points into itself and to them. */
typedef struct reading {
    const numbers *read;
    sq_attender attender;
    sq_cell cell;
    sq_decoder decoder;
    sq_var state0[2];
    bool once;
    int32_t *free; /* [rows,places]: 1 where nobody has pointed yet */
    int32_t *open; /* the same for each row of the scores that are asked for next */
} reading;

/* Reads; mistakes are on the tape. reading_free when the tape has been swept or asked. */
void model_read(const model *m, sq_tape *t, const numbers *n, bool once, reading *r);
void reading_free(reading *r);

/* u for the places `pointed` [places,rows] being told one after the other: [places,rows,places]. */
sq_var model_scores(reading *r, sq_tape *t, const int32_t *pointed);

/* Where it points by itself, for as many steps as there are places: [places,rows]. */
void model_point(reading *r, sq_tape *t, int32_t *pointed);

#endif
