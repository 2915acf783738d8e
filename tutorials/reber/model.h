/* model.h -- memory cells between seven inputs and seven outputs, with and without a forget gate. */
#ifndef MODEL_H
#define MODEL_H

#include <seqgrad/seqgrad.h>

typedef enum model_kind { WITH_FORGET_GATE, WITHOUT, N_KINDS } model_kind;

extern const char *const model_titles[N_KINDS];

/* The long short-term memory of 1997, before it had a forget gate. Index 0..2 = i g o. */
typedef struct lstm97 {
    sq_weight W[3], b[3], U[3];
    int64_t width[2];
} lstm97;

typedef struct model {
    sq_params *params;
    union {
        sq_lstm lstm;
        lstm97 lstm97;
    } weights;
    sq_cell cell;   /* states h, c */
    sq_weight V, a; /* z = h V + a: sigmoid(z) says how likely each symbol is to be legal */
} model;

/* `as_in_paper`: weights in [-0.2,0.2] and gates that begin half shut; else the library's defaults. */
model *model_new(model_kind kind, int64_t hidden, uint64_t seed, bool as_in_paper);
void model_free(model *m);

/* Symbols [steps * rows] as the network sees them, one-hot [steps,rows,7]. */
sq_var model_input(sq_tape *t, const int32_t *symbols, int64_t steps, int64_t rows);

/* z for hidden states h [..,H]. */
sq_var model_scores(const model *m, sq_tape *t, sq_var h);

/* Are all seven outputs sigmoid(z) within 0.49 of what they should be: 1 for the symbols that may come
 * next (a bit each), 0 for the others? */
bool all_right(const float *z, uint32_t legal);

#endif
