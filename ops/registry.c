/* registry.c -- the table of all ops, expanded from ops.def in its order: one row, one pointer.
 *
 * There is no second list: a row added there is found, printed and tested from here. */
#include "ops/ops_impl.h"

#include <string.h>

static const sq_op *const table[] = {
#define SQ_MAP1(name, y, d, lo, hi, text) &sq_op_##name,
#define SQ_MAP1P(name, params, y, d, lo, hi, text) &sq_op_##name,
#define SQ_MAP2(name, y, da, db, lo, hi, text) &sq_op_##name,
#define SQ_MAP3(name, y, da, db, dc, lo, hi, text) &sq_op_##name,
#define SQ_OP(name, args, text) &sq_op_##name,
#include "ops/ops.def"
#undef SQ_MAP1
#undef SQ_MAP1P
#undef SQ_MAP2
#undef SQ_MAP3
#undef SQ_OP
    NULL,
};

const sq_op *const *sq_op_table(void) { return table; }

const sq_op *sq_op_find(const char *name)
{
    if (!name) return NULL;
    for (const sq_op *const *op = table; *op; op++)
        if (strcmp((*op)->name, name) == 0) return *op;
    return NULL;
}
