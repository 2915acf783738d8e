/* tangent.h -- forward mode: what a small change here does to everything after it.
 *
 * Reverse mode asks what one number depends on; forward mode asks what depends on one direction. Both
 * multiply by the same matrix J = dy/dx, from its two sides:
 *     vjp   J^T w   one sweep back,   all x at once       sq_backward_from
 *     jvp   J v     one sweep forth,  all y at once       sq_jvp          <w, J v> = <J^T w, v>
 * It is made over the recorded tape, by the jvp of every op (op.h), after the fact. Nothing is
 * recorded and nothing is changed: gradients, and what sq_grad_* reads, stay as they were. */
#ifndef SQ_CORE_TANGENT_H
#define SQ_CORE_TANGENT_H

#include "tape.h"

SQ_BEGIN_DECLS

/* dy[j] = sum over i of (dy[j]/dx[i]) dx[i]: the change of every y as each x[i] moves along dx[i].
 *
 * x[i] is any variable: a leaf, a constant too, a state, a result (the change is then added to what
 * comes down to it from the other x), or a weight variable: then every use of that weight on the
 * tape moves, at whatever version. sq_detach lets nothing through. dx[i] and dy[j] hold as many
 * doubles as their variable has elements, row-major; the arithmetic is that of the tape's precision.
 * dy[j] is 0 where y[j] depends on no x. The adjoint of this is what sq_derive records.
 *
 * Through an unroll that ran as a plan it goes step by step: what a step computes is computed
 * again from its states, op by op. Under a byte budget the steps are run once more on the way.
 *
 * Fails (posts, returns the status, dy undefined): SQ_EVAR; SQ_EVALUE an array is NULL; SQ_EGRAD an
 * op on the way has no jvp; SQ_ENOMEM.
 * Cost: about the forward's arithmetic for the ops that some x reaches, from the oldest x to the
 * newest y; memory of one step's tangents and of those that later steps use. */
SQ_API SQ_CHECKED sq_status sq_jvp(const sq_var *x, const double *const *dx, int32_t n,
                                   const sq_var *y, double *const *dy, int32_t m);

SQ_END_DECLS

#endif
