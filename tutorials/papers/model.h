/* model.h -- one recurrent cell of the library between a task's inputs and its outputs. */
#ifndef MODEL_H
#define MODEL_H

#include "task.h"

typedef enum cell_kind { LSTM, LSTM97, PEEPHOLE, CIFG, GRU, RNN, N_CELLS } cell_kind;

extern const char *const cell_names[N_CELLS];

/* The cell of a name; N_CELLS where there is none. */
cell_kind cell_named(const char *name);

typedef struct model {
    sq_params *params;
    union {
        sq_lstm lstm;
        sq_lstm97 lstm97;
        sq_peephole peephole;
        sq_cifg cifg;
        sq_gru gru;
        sq_rnn rnn;
    } weights;
    sq_cell cell;
    sq_weight V, a, S; /* z = h V + a, with a shortcut + x S */
    int64_t inputs, outputs;
} model;

/* chrono > 0: gates that remember for up to so many steps (Tallec & Ollivier 2018). */
model *model_new(cell_kind kind, const task *k, int64_t size, int64_t hidden, double chrono,
                 uint64_t seed);
void model_free(model *m);

/* The scores z [asked,B,outputs] of a batch, and the loss that its task is trained by, a mean over all
 * that is asked. Without a value when something went wrong: the tape tells. */
sq_var model_scores(const model *m, sq_tape *t, const batch *b);
sq_var model_loss(const model *m, sq_tape *t, judgement judge, const batch *b, sq_var z);

#endif
