/* train.h -- a training: what it works on, and where it stands. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"
#include "text.h"

typedef struct training {
    const options *o;
    const text *text;
    model *model;
    sq_tape *tape;
    sq_optim *optim; /* also counts the updates */
    sq_tbptt *stream;
    int64_t window; /* characters of a stream per update: k1, or all of a shorter stream */
    int64_t at;     /* where in the streams the next update begins */
    int32_t *ids;   /* [window * B] */
    double loss;    /* of the last update, nats per character */
} training;

/* Updates of one pass over the streams. */
int64_t training_pass(const options *o, const text *s);

/* A training from the beginning. */
training *training_new(const options *o, const text *s);
void training_free(training *r);

/* Goes on from where the stream was loaded to; false when no update can begin there. */
bool training_take_place(training *r);

/* Trains until o->updates updates were made or a signal came, with validations and saves on the
 * way and at the end. Dies when the loss is no number any more, or the end cannot be saved. */
void train(training *r);

#endif
