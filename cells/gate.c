/* gate.c -- what a gate sees before it is squashed, x W + b + h U, the three weights of it, and
 * dropout of what a step writes. */
#include "cells/cells_impl.h"
#include "ops/ops.h"

void sqi_cell_gate(const sqi_cell_weights *to, char k, int64_t in, int64_t state,
                   sqi_gate_weights gate)
{
    char name[] = "W_k";
    name[2] = k;
    *gate.W = sqi_cell_weight(to, name, sq_mat(in, to->hidden));
    name[0] = 'b';
    *gate.b = sqi_cell_weight(to, name, sq_vec(to->hidden));
    name[0] = 'U';
    *gate.U = sqi_cell_weight(to, name, sq_mat(state, to->hidden));
}

sq_var sqi_dropped(sq_var v, double rate, sq_drawn mask)
{
    return rate == 0 || !v.id ? v : sq_dropout(v, rate, mask);
}

sq_var sqi_gate_sum(sq_tape *t, sq_var x, sq_weight W, sq_weight b, sq_var h, sq_weight U)
{
    return sq_add(sq_affine(x, sq_use(t, W), sq_use(t, b)), sq_matmul(h, sq_use(t, U)));
}
