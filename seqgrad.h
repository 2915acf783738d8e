/* seqgrad -- automatic differentiation made for sequences, in C11.
 *
 * A tape records primitive operations as they are computed; recurrent cells are plain expressions
 * over them; backpropagation through time is the reverse sweep over that tape; truncation is
 * cutting it.
 *
 *     sq_tape *t = sq_tape_new(SQ_F64, NULL);
 *     sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 0.5 });
 *     sq_var y = sq_mul(x, sq_tanh(x));
 *     if (sq_backward(y)) puts(sq_message(t));
 *     printf("y = %g, dy/dx = %g\n", sq_item(y), sq_grad_item(x));
 *     sq_tape_free(t);
 *
 * Start reading at ops/ops.def (the mathematics) and core/tape.h (the tape). */
#ifndef SQ_SEQGRAD_H
#define SQ_SEQGRAD_H

#include "core/cell.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/io.h"
#include "core/npy.h"
#include "core/op.h"
#include "core/optim.h"
#include "core/params.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/tangent.h"
#include "core/tape.h"

#include "ops/ops.h"

#include "cells/around.h"
#include "cells/attention.h"
#include "cells/cells.h"
#include "cells/init.h"
#include "cells/layout.h"

#include "graph/check.h"
#include "graph/decode.h"
#include "graph/dot.h"
#include "graph/jacobian.h"
#include "graph/ledger.h"
#include "graph/plan.h"
#include "graph/report.h"
#include "graph/sequence.h"
#include "graph/truncate.h"
#include "graph/unroll.h"

#endif
