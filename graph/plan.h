/* plan.h -- the plan: why a composed cell runs like a hand-fused one.
 *
 * The step of a cell is traced once per unroll, without arithmetic. The trace is rewritten, and the
 * rewritten step is run over T steps, forward and in reverse:
 *   hoist    what depends on x and weights only: one product over all rows of many steps
 *   merge    products that share their left operand: one product, weights packed side by side
 *   fuse     elementwise operations: one pass over tiles that fit the first-level cache
 *   defer    weight gradients: one product per block of steps
 *   sink     what no later step needs: after the loop, over many steps at once
 *   pick     where x is rows of a small table (sq_gather, sq_one_hot, reshaped or not): x W is read
 *            from a product of the table's rows, and dW is summed up by row first. T B rows of
 *            width I from a table of V: done where V I + 8 T B is at most half of T B I. The
 *            gradient of x itself is then made only if x, or what it is a reshape of, was given
 *            sq_keep_grad or a name before the sweep; reading it otherwise is an error.
 * Only what the reverse sweep reads is saved. The rewrite is found again by the trace itself, so
 * the next unroll of the same cell pays microseconds; T may change freely.
 *
 * Plan and eager agree to rounding: another order of summation, nothing else. Within a plan every
 * bit is the same for any number of threads. */
#ifndef SQ_GRAPH_PLAN_H
#define SQ_GRAPH_PLAN_H

#include "unroll.h"

SQ_BEGIN_DECLS

/* Writes what became of the step, as text of several lines: what was hoisted, merged, fused,
 * deferred and sunk, bytes kept and flops per step; or why the unroll ran eagerly. At most n bytes
 * with the final 0; returns the length it wanted, like snprintf. u = NULL gives "". */
SQ_API size_t sq_plan_explain(const sq_unrolled *u, char *buf, size_t n);

SQ_END_DECLS

#endif
