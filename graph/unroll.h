/* unroll.h -- a cell over T steps.
 *
 * sq_unroll is the for loop a user would write -- begin a step, take x_t, call the cell, keep the
 * states -- with the bookkeeping done once and right: it hands out the states of every step,
 * whose gradient is the *total* dL/dh_t, and the outputs of every step, whose gradient is the
 * *immediate* one: what the losses outside send into output t, not what comes back through
 * later steps. */
#ifndef SQ_GRAPH_UNROLL_H
#define SQ_GRAPH_UNROLL_H

#include "../core/cell.h"
#include "checkpoint.h"

SQ_BEGIN_DECLS

/* What becomes of the T outputs. */
typedef enum sq_outputs {
    SQ_OUTPUTS_ALL,  /* [T, ...]: every step's output, stacked; T = 0 gives [0] */
    SQ_OUTPUTS_LAST, /* the last step's output; no value when T = 0 */
    SQ_OUTPUTS_SUM,  /* the sum over time: for scalar losses L = sum_t l_t. T = 0 gives 0 */
    SQ_OUTPUTS_NONE  /* no value */
} sq_outputs;

/* How the steps run. EAGER: the cell's step is called T times and every op computes at once.
 * PLAN: it is called once, without arithmetic; what it recorded is rewritten and run over all
 * steps (plan.h). AUTO, the default: as a plan, or eagerly where that cannot be, because the
 * step reads a value, asks which step it is, takes numbers or ids from outside or at random, or
 * marks what has no name. Both give the same results up to rounding. */
typedef enum sq_mode { SQ_AUTO, SQ_EAGER, SQ_PLAN } sq_mode;

/* All-zero is the default. */
typedef struct sq_unroll_options {
    sq_outputs outputs;
    sq_mode mode;  /* SQ_PLAN with a cell that cannot be planned is an error that says why */
    int64_t steps; /* T when x has no value (generation); ignored otherwise */
    int64_t batch; /* B when neither x nor a state tells it */

    /* Memory (checkpoint.h). With one of the two, never both, steps are dropped and run again in
     * the sweep: the gradients keep their bits. The budget covers snapshots, what stretches of
     * steps save, and the unroll's scratch. Not of it are outputs, gradients asked for and values
     * read of dropped steps (told apart: sq_unroll_memory); inputs and weights and the gradients
     * of both; a plan with its packed copies of weights, the sums of their gradients over one
     * block of steps, and products with the rows of a table; the schedule. SQ_OUTPUTS_SUM keeps
     * every step's output, like ALL, and its gradient. Gradients of named values are asked for by
     * sq_unrolled_named, those of states by state_grads, sq_keep_grad or a ledger. A value of a
     * dropped step can be read: the steps before it are run again for it.
     * Eagerly the cell's step is called again, in the sweep or for a value: the cell and what it
     * points to must live as long, and every call must record the same (another trace is an error
     * that names the step; random numbers and weights are those of the first time). The budget is
     * for the largest step seen; where steps grow, all are run once more. Such a step cannot begin
     * steps (by an unroll of its own, say) or sweep, and its variables are reached by name only,
     * if all steps record the same.
     * A plan runs some steps at once; where a gradient is a sum that cannot be interrupted (more
     * than 1024 rows in a block of steps, an outside value that several operations use row by row)
     * the least is a block of steps, not one. */
    int64_t
        budget_bytes; /* > 0: this much. Too little for one step is an error telling the least */
    int64_t every;    /* > 0: a snapshot every so many steps; SQ_EVERY_SQRT: sqrt(T) */
    sq_checkpoint_policy policy;
    /* As sq_tape_set_watch, for this unroll: the first value that is infinite or no number, or such a
     * gradient in a later sweep, stops the run with a sentence; so does a state's total gradient with
     * a norm above watch_limit, or above watch_growth times what it was watch_steps later. */
    bool watch_nonfinite;
    double watch_limit, watch_growth;
    int64_t watch_steps;

    bool state_grads; /* keep the gradients of all states; without a budget they always are */

    /* Ragged rows. The arrays are copied at the call. A row *takes* step t when t < lengths[b], or
     * when mask[t][b] is not 0. In every other step
     *     its states stay exactly as they were,
     *     row b of the output is 0 (a sum over time gets nothing from it), and
     *     x[t][b] is not looked at: whatever lies there, a NaN too, changes no bit of any value or
     *     gradient, and its own gradient is 0.
     * SQ_OUTPUTS_LAST is each row's output at the last step that it took, 0 where it took none; it
     * keeps every step's output, like ALL.
     * Such a row goes through the step all the same, with x = 0 and the states it has, and the result is
     * thrown away: only what the step itself adds up over rows would feel it. Hence the output, where
     * there is one, must have B rows, else SQ_ESHAPE; and named values of such a row mean nothing.
     * An LSTM's step of 64 rows, I = 128, H = 256, then takes 4 % more instructions (callgrind) and
     * 36 % more memory for what the sweep needs: cleaned copies of x, m, and the output.
     * All else (budgets, dropout by absolute step and row, T = 0, B = 0, generation, ledgers) is as
     * without. */
    const int32_t *lengths; /* [B]; 0 <= lengths[b] <= T, else SQ_ERANGE naming the row */
    const int32_t *mask;    /* [T,B]; 0: the row sits the step out. Beside lengths SQ_EVALUE */
    /* [T,B]; not 0: before the row takes the step on x[t][b], its states are those of state0 again,
     * zeros by default, and their gradient goes there. Nothing happens where it sits out. With
     * `reverse`, too, this is said of the step as it is run; sq_bidirectional reads them as the first
     * steps of sequences. */
    const int32_t *resets;
    /* Every row is run from the last of its lengths[b] (T) steps to its first. The stacked outputs lie
     * in the order of time: row b of outputs[t] belongs to x[t][b], as do mask and resets. What asks
     * for a step (sq_unrolled_output, _state, _named, SQ_OUTPUTS_LAST) counts in the order they ran. */
    bool reverse;
    /* lengths run on all B rows in every step, as a mask does. Otherwise a plan sorts the rows by length
     * and leaves out those that have ended, without their work, if the step keeps rows apart (ops with
     * SQ_ROWWISE and their like, nothing with B rows from outside). All that goes with rows has the same
     * bits (a gradient that is 0 may have the other sign); weight gradients are added up in blocks
     * of other lengths, so they agree to rounding. In both, whatever the threads and the budget, the
     * bits are the same. A named value of a row that has ended is then 0, and a gradient sent to it goes
     * nowhere. A budget leaves out the sorted copy of x and the gradients that wait for a row's last
     * step. */
    bool keep_padding;
} sq_unroll_options;

/* For `every`: a snapshot every sqrt(T) steps. */
enum { SQ_EVERY_SQRT = -1 };

/* What an unroll under a budget takes. "Actual" is of the run and the last sweep so far. */
typedef struct sq_unrolled_memory {
    bool budgeted;
    sq_checkpoint_cost predicted;
    int64_t extra_steps; /* actual */
    int64_t peak_bytes;  /* actual: snapshots, saved stretch and scratch */
    /* What the unroll holds beside the budget, so far: outputs, last states, gradients and values asked
     * for, sums of one block, handles. The gradient of x is not of it: it is x's, and as large. */
    int64_t beside_bytes;
    double schedule_seconds; /* making the schedule */
} sq_unrolled_memory;

/* A cell that was run over T steps of a tape. */
typedef struct sq_unrolled sq_unrolled;

/* Records T steps of the cell from state0 over x.
 * Shapes: x [T,B,I]; state0[k] [B,width[k]], or state0 NULL, or an entry without a value: zeros.
 * Each time step is one step of the tape. Afterwards no step is open: what follows (the loss)
 * belongs to none. options may be NULL.
 * Owned by the tape: valid until the tape is reset or the last of its steps is cut.
 * As a plan the step function is called once, whatever T: variables that it stores away do not
 * stand for anything afterwards; name them and use sq_unrolled_named.
 * Fails: posts and returns NULL: SQ_ESHAPE x or a state; SQ_EVAR; SQ_EVALUE the cell has no step,
 * a form of outputs, a mode or a policy that does not exist, the cell cannot be planned though
 * SQ_PLAN was asked for, budget_bytes beside every; SQ_ERANGE a budget that is negative or too small;
 * what the cell posts (shapes that do not fit it are found in the first step); SQ_ENOMEM.
 * Cost: the cell's own, and a few views per step. */
SQ_API const sq_unrolled *sq_unroll(sq_tape *t, const sq_cell *cell, sq_var x,
                                    const sq_var *state0, const sq_unroll_options *options);

/* Everything below answers no value, 0 or NULL for u = NULL, so that it nests after a failure. */

/* The outputs as asked for: [T,...], last, sum, or no value. */
SQ_API sq_var sq_unrolled_outputs(const sq_unrolled *u);

/* Step i's output, 0 <= i < T. Its gradient is what the outside sends into it: the immediate one,
 * unless the outputs feed another recurrence, whose later steps only the ledger leaves out. */
SQ_API sq_var sq_unrolled_output(const sq_unrolled *u, int64_t i);

/* State k after step i; i = -1 is the initial state, or a view of it where it was a constant.
 * Its gradient is total. */
SQ_API sq_var sq_unrolled_state(const sq_unrolled *u, int64_t i, int32_t k);

/* The value that the cell named so (sq_name) in step i; of several, the last recorded. Its gradient
 * is the total one, kept when this was called before the sweep. No value, silently, when nothing
 * that varies with time bears that name in step i. Rows that sit step i out (lengths, mask) hold
 * numbers that mean nothing: what the step makes of x = 0 and states that do not change, or 0. Take
 * them out (sq_clear_padding, sq_where) before a sum, a mean or a loss. */
SQ_API sq_var sq_unrolled_named(const sq_unrolled *u, int64_t i, const char *name);

/* How it ran: SQ_EAGER or SQ_PLAN; SQ_AUTO for NULL. */
SQ_API sq_mode sq_unroll_mode(const sq_unrolled *u);

/* Predicted and actual cost of a budget; all 0 without one and for NULL. */
SQ_API sq_unrolled_memory sq_unroll_memory(const sq_unrolled *u);

/* The states after the last step, n_states of them, ready to be carried on: as state0 of the
 * next unroll, or into sq_cut. The array is the caller's to change; for u = NULL it is left. */
SQ_API void sq_unrolled_last(const sq_unrolled *u, sq_var *states);

/* T; how many states the cell has; what it calls state k; the tape. "", NULL for none. */
SQ_API int64_t sq_unrolled_steps(const sq_unrolled *u);
SQ_API int32_t sq_unrolled_n_states(const sq_unrolled *u);
SQ_API const char *sq_unrolled_state_name(const sq_unrolled *u, int32_t k);
SQ_API sq_tape *sq_unrolled_tape(const sq_unrolled *u);

SQ_END_DECLS

#endif
