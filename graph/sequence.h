/* sequence.h -- whole sequences, ragged ones too: reversal, both directions, layers, losses.
 *
 * A sequence is [T,B,..], lengths is [B] with 0 <= lengths[b] <= T, NULL when every row has T steps.
 * Everything here is a composition of unrolls (unroll.h) and public ops; arrays are copied at the call.
 * What lies behind the end of a row, a NaN too, changes no bit of any value or gradient, and its
 * own gradient is 0.
 * Every function posts on the tape and returns no value (NULL, false) for: SQ_EVAR; SQ_ESHAPE no
 * axes of time and rows; SQ_ERANGE a length outside 0..T, naming its row; SQ_ENOMEM. */
#ifndef SQ_GRAPH_SEQUENCE_H
#define SQ_GRAPH_SEQUENCE_H

#include "../core/op.h"
#include "unroll.h"

SQ_BEGIN_DECLS

/* ---- Rows of their own lengths ------------------------------------------------------------ */

/* y[t,b] = x[lengths[b] - 1 - t, b] for t < lengths[b]; what lies behind stays where it is, so that
 * reversing twice gives x back. x [T,B,..], y alike. A copy. */
SQ_API sq_var sq_reverse_rows(sq_var x, const int32_t *lengths);

/* y[t,b] = x[t,b] for t < lengths[b], else 0. x [T,B,..], y alike. A copy; x itself without lengths. */
SQ_API sq_var sq_clear_padding(sq_var x, const int32_t *lengths);

/* y[b] = x[lengths[b] - 1, b]; 0 for a row of length 0. x [T,B,..], y [B,..]. */
SQ_API sq_var sq_last_rows(sq_var x, const int32_t *lengths);

/* mask[t * batch + b] = 1 for t < lengths[b], else 0: the mask of sq_cross_entropy for logits [T,B,C]
 * or [T*B,C], whose mean then is that over all steps taken. Returns how many they are. */
SQ_API int64_t sq_length_mask(const int32_t *lengths, int64_t steps, int64_t batch,
                              int32_t *mask);

/* ---- Losses over time --------------------------------------------------------------------- */

/* l[t,b] = -ln softmax(logits[t,b])[labels[t*B+b]]; 0 behind the end of a row, where the label may be
 * anything. logits [T,B,C], l [T,B]. Fails beside: SQ_ESHAPE another rank; SQ_ERANGE a label outside
 * 0..C-1, naming its step and row; SQ_EVALUE labels are NULL. */
SQ_API sq_var sq_cross_entropy_steps(sq_var logits, const int32_t *labels,
                                     const int32_t *lengths);

/* The mean over all steps taken: sum_b sum_{t < lengths[b]} l[t,b] / sum_b lengths[b]. Long
 * sequences weigh more. l [T,B]. SQ_ESHAPE when there is no step. */
SQ_API sq_var sq_mean_over_steps(sq_var l, const int32_t *lengths);

/* The mean over sequences of their means over steps, each the same weight:
 * 1/n sum_b 1/lengths[b] sum_{t < lengths[b]} l[t,b] over the n rows that have a step. l [T,B].
 * SQ_ESHAPE when there is none. */
SQ_API sq_var sq_mean_over_sequences(sq_var l, const int32_t *lengths);

/* ---- Both directions ---------------------------------------------------------------------- */

/* Two unrolls of one input, from the first step to the last and from the last to the first. */
typedef struct sq_directions {
    const sq_unrolled *forward, *backward; /* NULL: there is no such direction */
    sq_var outputs;                        /* of both, joined along the last axis; of the one */
} sq_directions;

/* Schuster, Paliwal 1997: y_t = [f_t, b_t], where b is run over each row's reversal and put back into
 * the order of time. outputs: ALL [T,B,Of+Ob]; LAST [B,Of+Ob], each direction's own last step: f at the
 * end of the row, b at its begin; SUM; NONE no value. state0_f, state0_b as state0 of sq_unroll,
 * the latter entering at each row's end. options as of sq_unroll, for both, budgets each for itself.
 * options->resets say where in a row a sequence begins, for both directions: the backward one begins anew
 * at the end of the sequence before, so that each is what it would be alone.
 * A cell that is NULL leaves its direction out: outputs are then the other's alone.
 * Fails: as sq_unroll; SQ_EVALUE both cells NULL, options->reverse; SQ_ESHAPE outputs of two cells
 * that are scalars, or that only one of them has. */
SQ_API sq_directions sq_bidirectional(sq_tape *t, const sq_cell *forward,
                                      const sq_cell *backward, sq_var x, const sq_var *state0_f,
                                      const sq_var *state0_b, const sq_unroll_options *options);

/* ---- Layers ------------------------------------------------------------------------------- */

/* One layer of a deep network: it runs over all of the sequence before the next one begins (cells.h
 * has sq_stack_cell for layers within one step). */
typedef struct sq_layer {
    const sq_cell *forward, *backward; /* either may be NULL: one direction */
    const sq_var *state0_f, *state0_b; /* as state0 of sq_unroll */
    bool residual;                     /* y = f(x) + x: SQ_ESHAPE unless as wide */
    bool
        skip; /* above the first: the network's input, joined behind what the layer below gives */
} sq_layer;

/* All-zero is the default. */
typedef struct sq_layers_options {
    sq_unroll_options unroll; /* for every layer; outputs must be ALL, reverse false */
    double dropout; /* rate on what every layer but the last gives; 0 when not training */
    sq_drawn drop;  /* SQ_PER_STEP, or one mask for all steps: SQ_PER_SEQUENCE */
    bool join;      /* the result is what all layers give, joined, not the last one's */
} sq_layers_options;

/* n layers over x [T,B,I]: x_0 = x; y_l = layer_l(x_l) (+ x_l); x_{l+1} = dropout(y_l) (, x). Returns
 * y_{n-1}, or [y_0 .. y_{n-1}], [T,B,O]; 0 behind the end of a row. Skip connections to and from
 * every layer are Graves 2013; residual ones Wu et al. 2016; dropout between layers Zaremba et
 * al. 2014. each may be NULL, or gets the unrolls of every layer, [n], for their states.
 * Fails: no value; as sq_bidirectional; SQ_EVALUE n < 1, outputs not ALL; SQ_ERANGE a rate outside
 * [0,1). */
SQ_API sq_var sq_layers(sq_tape *t, const sq_layer *layers, int32_t n, sq_var x,
                        const sq_layers_options *options, sq_directions *each);

SQ_END_DECLS

#endif
