/* every_cell.h -- one of each cell of the library, by number: what is said of "every cell" is tried on
 * these. */
#ifndef SQT_EVERY_CELL_H
#define SQT_EVERY_CELL_H

#include "tests/support/support.h"

typedef union any_layer {
    sq_rnn rnn;
    sq_lstm lstm;
    sq_gru gru;
    sq_mgu mgu;
    sq_peephole peephole;
    sq_lnlstm lnlstm;
} any_layer;

enum { N_EVERY_CELL = 10 };

/* A cell with its weights; filled in place, for the cell points into it. */
typedef struct every_cell {
    const char *name;
    any_layer layer[2];
    sq_stack_cells *stack;
    sq_cell cell;
} every_cell;

static inline sq_cell every_layer(any_layer *w, sq_params *p, const char *prefix, int kind,
                                  int64_t in, int64_t hidden, uint64_t seed)
{
    sq_status s = SQ_OK;
    switch (kind) {
    case 0:
    case 1:
    case 2:
        s = sq_rnn_init(&w->rnn, p, prefix, in, hidden, (sq_rnn_activation)kind, seed);
        cr_assert(s == SQ_OK);
        return sq_rnn_cell(&w->rnn);
    case 3:
        s = sq_lstm_init(&w->lstm, p, prefix, in, hidden, seed);
        cr_assert(s == SQ_OK);
        return sq_lstm_cell(&w->lstm);
    case 4:
    case 5:
        s = sq_gru_init(&w->gru, p, prefix, in, hidden,
                        kind == 4 ? SQ_RESET_AFTER : SQ_RESET_BEFORE, seed);
        cr_assert(s == SQ_OK);
        return sq_gru_cell(&w->gru);
    case 6:
        s = sq_mgu_init(&w->mgu, p, prefix, in, hidden, seed);
        cr_assert(s == SQ_OK);
        return sq_mgu_cell(&w->mgu);
    case 7:
        s = sq_peephole_init(&w->peephole, p, prefix, in, hidden, seed);
        cr_assert(s == SQ_OK);
        return sq_peephole_cell(&w->peephole);
    default:
        s = sq_lnlstm_init(&w->lnlstm, p, prefix, in, hidden, seed);
        cr_assert(s == SQ_OK);
        return sq_lnlstm_cell(&w->lnlstm);
    }
}

/* Number 9 is an LSTM under a GRU, in one step. */
static inline void every_cell_new(every_cell *c, sq_params *p, int kind, int64_t in,
                                  int64_t hidden, uint64_t seed)
{
    static const char *const names[N_EVERY_CELL] = {
        "tanh rnn",          "relu rnn", "sigmoid rnn", "lstm",   "gru, reset after",
        "gru, reset before", "mgu",      "peephole",    "lnlstm", "stacked"
    };
    *c = (every_cell){ .name = names[kind] };
    if (kind < N_EVERY_CELL - 1) {
        c->cell = every_layer(&c->layer[0], p, "l", kind, in, hidden, seed);
        return;
    }
    sq_cell layers[2] = { every_layer(&c->layer[0], p, "l0", 3, in, hidden, seed),
                          every_layer(&c->layer[1], p, "l1", 4, hidden, hidden, seed + 1) };
    c->stack = sq_stack_new(layers, 2);
    cr_assert(c->stack != NULL);
    c->cell = sq_stack_cell(c->stack);
}

static inline void every_cell_free(every_cell *c)
{
    if (c->stack) sq_stack_free(c->stack);
}

#endif
