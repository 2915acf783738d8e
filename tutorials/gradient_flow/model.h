/* model.h -- the forecaster: a recurrent cell and a linear readout.
 *
 *     x_t = z_t,   h_t = cell(x_t, h_(t-1)),   y_t = h_t V + a,   and y_t should be z_(t+1)
 *
 * One legend with the library: B windows side by side, T steps, H hidden width. */
#ifndef MODEL_H
#define MODEL_H

#include <seqgrad/seqgrad.h>

/* What --cell can choose. */
typedef struct cell_kind {
    const char *option, *title;
} cell_kind;

enum { N_KINDS = 3 };
extern const cell_kind cell_kinds[N_KINDS];

typedef struct model {
    sq_params *params;
    sq_tape *tape;
    sq_cell cell;
    sq_weight V, a;
    union {
        sq_rnn rnn;
        sq_gru gru;
        sq_lstm lstm;
    } weights; /* of the cell, which points here: a model must not be moved */
} model;

model *model_new(int kind, int64_t hidden, uint64_t seed);
void model_free(model *m);

/* Unrolls the cell from the state zero over z, T x B values; dies with the tape's message. */
const sq_unrolled *model_unroll(model *m, const double *z, int64_t steps, int64_t batch,
                                sq_outputs outputs);

/* The forecasts y of the unroll's outputs: [T,B,1], or [B,1] of SQ_OUTPUTS_LAST. */
sq_var model_forecast(model *m, const sq_unrolled *u);

#endif
