/* train.h -- teaching a model to forecast, and what it has learnt.
 *
 * A lesson is a series, scaled, with a line drawn through it: what lies before n_train may be
 * learned from, what lies behind it is only ever forecast. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"
#include "options.h"
#include "series.h"

/* The series as the network sees it. */
typedef struct lesson {
    const series *s;
    int64_t n_train; /* the first n_train values may be learned from */
    scale k;         /* measured on those */
    double *z;       /* all values, scaled */
} lesson;

lesson lesson_of(const series *s, int64_t n_train);
void lesson_free(lesson *l);

/* Trains on random windows of the training part. `title` heads the progress bar. */
void train(model *m, const lesson *l, const options *o, uint64_t seed, const char *title);

/* One-step-ahead forecasts of the held-out values, in the series' own unit: s->n - n_train. */
void forecast_held_out(model *m, const lesson *l, int64_t window, double *guess);

#endif
