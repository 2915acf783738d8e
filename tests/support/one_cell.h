/* one_cell.h -- a cell with its weights, by number: every kind of cells/, and after these a stack of
 * two. What is said of "every cell" on batches of all kinds is tried on them. */
#ifndef SQT_ONE_CELL_H
#define SQT_ONE_CELL_H

#include "tests/support/every_cell.h"
#include "tests/support/support.h"

enum { N_ONE_CELL = N_CELL_KINDS + 1, ONE_LSTM = 3, ONE_GRU = 4 };

/* Filled in place, for the cell points into it. */
typedef struct one_cell {
    const char *name;
    any_cell layer[2];
    sq_stack_cells *stack;
    sq_cell cell;
} one_cell;

static inline sq_cell one_layer(any_cell *w, sq_params *p, const char *prefix, int kind,
                                int64_t in, int64_t hidden, uint64_t seed)
{
    sq_cell c = every_cell[kind].make(w, p, prefix, in, hidden, seed);
    cr_assert(sq_params_status(p) == SQ_OK, "%s", sq_params_message(p));
    return c;
}

/* The last number is an LSTM under a GRU, in one step. */
static inline void one_cell_new(one_cell *c, sq_params *p, int kind, int64_t in, int64_t hidden,
                                uint64_t seed)
{
    *c = (one_cell){ .name = kind < N_CELL_KINDS ? every_cell[kind].name : "stacked" };
    if (kind < N_CELL_KINDS) {
        c->cell = one_layer(&c->layer[0], p, "l", kind, in, hidden, seed);
        return;
    }
    sq_cell layers[2] = { one_layer(&c->layer[0], p, "l0", ONE_LSTM, in, hidden, seed),
                          one_layer(&c->layer[1], p, "l1", ONE_GRU, hidden, hidden, seed + 1) };
    c->stack = sq_stack_new(layers, 2);
    cr_assert(c->stack != NULL);
    c->cell = sq_stack_cell(c->stack);
}

static inline void one_cell_free(one_cell *c)
{
    if (c->stack) sq_stack_free(c->stack);
}

#endif
