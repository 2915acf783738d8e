/* model.h -- an LSTM and a linear readout that forecast the next year:
 *
 *     x_t = z_t,   (h, c)_t = lstm(x_t, (h, c)_(t-1)),   y_t = h_t V + a
 *
 * where y_t should be z_(t+1).
 *
 * A model is weights and nothing else: any number of tapes may record from it at once. */
#ifndef MODEL_H
#define MODEL_H

#include <seqgrad/seqgrad.h>

typedef struct model {
    sq_params *params;
    sq_lstm lstm;
    sq_weight V, a;
} model;

enum { HIDDEN = 32, WINDOW = 22 };

void model_init(model *m, uint64_t seed);
void model_free(model *m);

/* A tape that records from the model; dies when out of memory. */
sq_tape *model_tape(const model *m);

/* The forecasts for `rows` windows of WINDOW years side by side, x [WINDOW,rows]:
 * [WINDOW,rows,1], or [rows,1], those of the last year, with SQ_OUTPUTS_LAST. No value after an
 * error, which the tape keeps. */
sq_var model_forecast(const model *m, sq_tape *t, const float *x, int64_t rows,
                      sq_outputs outputs);

/* The part that `rows` of the BATCH windows make of a batch's loss, the mean over all windows
 * and years t >= WINDOW/3 of (y_t - z_(t+1))^2: the parts' sum is the loss. */
sq_var model_loss(const model *m, sq_tape *t, const float *x, const float *y, int64_t rows);

#endif
