/* truncate_rows.c -- rows of a batch that begin anew, by selection: what is not selected does not
 * come through, be it infinite, and neither does its gradient. */
#include "graph/truncate_impl.h"
#include "ops/ops.h"

bool sqi_rows_are_sane(sq_tape *t, const int32_t *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (rows[i] < SQ_ROW_GOES_ON || rows[i] > SQ_ROW_CUT)
            return sq_post(t, SQ_ERANGE,
                           "entry %lld of the rows is %d: a row goes on (0), is reset (1) or "
                           "cut (2)",
                           (long long)i, (int)rows[i]);
    return true;
}

/* 1 for the rows marked `what`, else 0, [B,1,..] against h; no value when there is none. */
static sq_var marked(sq_tape *t, sq_shape shape, const int32_t *rows, int32_t what)
{
    int64_t n = shape.dim[0], found = 0;
    float *mark = sqi_tape_alloc(t, (size_t)n * sizeof *mark);
    if (!mark) return sqi_none(t);
    for (int64_t b = 0; b < n; b++) {
        mark[b] = rows[b] == what ? 1.0F : 0.0F;
        found += rows[b] == what;
    }
    for (int i = 1; i < shape.rank; i++) shape.dim[i] = 1;
    return found ? sq_input_f32(t, shape, mark) : sqi_none(t);
}

sq_var sq_restart_rows(sq_var h, sq_var initial, const int32_t *rows)
{
    sq_tape *t = h.tape;
    if (!sqi_begin(t, "restart_rows")) return sqi_none(t);
    const sqi_node *n = sqi_node_of(t, h, "the state");
    if (!n) return sqi_none(t);
    sq_shape shape = n->shape;
    char text[SQ_SHAPE_TEXT];
    if (!shape.rank)
        sq_post(t, SQ_ESHAPE, "the state has shape %s: no rows", sq_shape_text(shape, text));
    else if (!rows && shape.dim[0]) sq_post(t, SQ_EVALUE, "the rows are NULL");
    else sqi_rows_are_sane(t, rows, shape.dim[0]);
    if (t->error.status) return sqi_none(t);
    sq_var reset = marked(t, shape, rows, SQ_ROW_RESET),
           cut = marked(t, shape, rows, SQ_ROW_CUT);
    if (sqi_has_value(cut)) h = sq_select(cut, sq_detach(h), h);
    if (sqi_has_value(reset))
        h = sq_select(reset, sqi_has_value(initial) ? initial : sq_zeros(t, shape), h);
    return h;
}
