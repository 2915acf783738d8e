/* dot.h -- the tape as a picture: what was recorded, clustered by step, for Graphviz.
 *
 *     sq_dot(tape, 0, 1, buf, n)       one step: what a cell computes
 *     sq_dot(tape, 0, -1, buf, n)      all of it: the network unrolled
 *     dot -Tsvg tape.dot > tape.svg
 *
 * A node is an operation with its name and shape, a weight (one entry for every step that uses it:
 * dL/dW is a sum over these), an input. An edge carries a value to where it is used; on it stand
 * the number, or the norm of an array, and after a sweep |dL/d| where that gradient was kept (leaves,
 * states, what is named or marked; in the step that holds the loss, all). Steps stand side by side,
 * and what crosses a border is drawn bold. Steps that ran as a plan show their states, outputs and
 * named values only: unroll with SQ_EAGER to see what is inside. */
#ifndef SQ_GRAPH_DOT_H
#define SQ_GRAPH_DOT_H

#include "../core/tape.h"

SQ_BEGIN_DECLS

/* Writes steps first .. first + steps - 1, with what they take from outside; steps < 0: all from
 * `first` on, and what was recorded before, between and after. At most n bytes with the final 0;
 * returns the length it wanted, like snprintf. Nothing is computed or posted. "" for NULL.
 * Cost: linear in the nodes shown and their elements; Graphviz takes seconds for some thousand. */
SQ_API size_t sq_dot(const sq_tape *t, int64_t first, int64_t steps, char *buf, size_t n);

SQ_END_DECLS

#endif
