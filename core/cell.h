/* cell.h -- what a recurrent cell is: one step of mathematics and the names of its states.
 *
 * A user's cell and ours are the same kind of thing. The step is an ordinary C function over
 * variables; it may call other steps, loop and branch. It is called once per time step, and what
 * it records is all there is: BPTT is the reverse sweep over it. */
#ifndef SQ_CORE_CELL_H
#define SQ_CORE_CELL_H

#include "tape.h"

SQ_BEGIN_DECLS

/* One step. x is [B,I], or no value in free-running generation. state[k] is [B,width[k]] and is
 * replaced by the new state (left alone, it counts as copied at the end of the step). Returns the
 * step's output: a state, a readout, or a scalar loss. */
typedef sq_var sq_step_fn(sq_tape *t, const void *self, sq_var x, sq_var *state);

/* A cell: a step, and what it needs. A plain value that owns nothing: all that it points to outlives it. */
typedef struct sq_cell {
    const char *name;
    int32_t n_states;
    const int64_t *width;           /* n_states widths */
    const char *const *state_names; /* n_states names: "h", "c"; it or entries may be NULL */
    sq_step_fn *step;
    const void *self; /* handed to step: usually a struct of sq_weight */
} sq_cell;

SQ_END_DECLS

#endif
