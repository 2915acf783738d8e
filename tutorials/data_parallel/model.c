/* model.c -- from weights to a loss, in public calls only.
 *
 * Every window starts from the state zero, so its first forecasts are made from too little past
 * to be judged: a third of the window warms up. */
#include "model.h"

#include "options.h"
#include "../common/say.h"

void model_init(model *m, uint64_t seed)
{
    m->params = sq_params_new(SQ_F32);
    if (!m->params) die("out of memory");
    sq_lstm_init(&m->lstm, m->params, "lstm", 1, HIDDEN, seed);
    m->V = sq_params_add(m->params, "readout.V", sq_mat(HIDDEN, 1));
    m->a = sq_params_add(m->params, "readout.a", sq_vec(1));
    sq_init_uniform_hidden(m->params, m->V, HIDDEN, seed);
    if (sq_params_status(m->params)) die("%s", sq_params_message(m->params));
}

void model_free(model *m) { sq_params_free(m->params); }

sq_tape *model_tape(const model *m)
{
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    if (!t) die("out of memory");
    return t;
}

sq_var model_forecast(const model *m, sq_tape *t, const float *x, int64_t rows,
                      sq_outputs outputs)
{
    sq_cell cell = sq_lstm_cell(&m->lstm);
    sq_unroll_options how = { .outputs = outputs };
    sq_var years = sq_input(t, sq_shape3(WINDOW, rows, 1), x);
    sq_var h = sq_unrolled_outputs(sq_unroll(t, &cell, years, NULL, &how));
    return sq_affine(h, sq_use(t, m->V), sq_use(t, m->a));
}

sq_var model_loss(const model *m, sq_tape *t, const float *x, const float *y, int64_t rows)
{
    int64_t skipped = WINDOW / 3, judged = WINDOW - skipped;
    sq_var guess = model_forecast(m, t, x, rows, SQ_OUTPUTS_ALL);
    sq_var truth = sq_input(t, sq_shape3(judged, rows, 1), y + skipped * rows);
    sq_var mean = sq_mse(sq_slice(guess, 0, skipped, judged), truth);
    return sq_mul(mean, sq_constant(t, (double)rows / BATCH));
}
