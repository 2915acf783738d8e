/* unroll_rows.c -- rows that sit steps out, begin anew, or run backwards.
 *
 * A masked cell is a cell. Its step is, for m_t, r_t [B,1] of zeros and ones,
 *
 *     h    <- r_t ? h_0 : h             what begins anew
 *     y, h' = step(x_t, h)              on all rows
 *     h'   <- m_t ? h' : h              who sits out keeps its states,
 *     y    <- m_t ? y  : 0              and gives nothing
 *
 * m_t and r_t come to the step as further columns of its input: the sequence is [x | m | r], so all
 * that is said of inputs (slices, blocks, budgets) holds for them. x is cleaned before, since a NaN
 * that only a selection behind the cell took out would come back in the sweep, as 0 * NaN.
 * Running backwards is picking rows of x before, and of the outputs after. */
#include "graph/sequence_impl.h"
#include "graph/unroll_impl.h"
#include "ops/ops.h"

#include <string.h>

/* What the step of a masked cell is called with. */
typedef struct masked {
    sq_cell cell;
    int64_t width; /* of x; -1: there is none */
    bool masks, resets;
    sq_var *initial; /* [n_states] h_0 */
    sq_var *before;  /* [n_states] h and m_t of its shape, while the step is being recorded */
    sq_var *takes;
    sq_var zero;
} masked;

/* ---- The step ----------------------------------------------------------------------------- */

/* One column of the input as [B,1]. */
static sq_var column(sq_var x, int64_t i) { return sq_slice(x, 1, i, 1); }

/* [B,1] stretched to a shape of as many rows: then a selection is one more op of a plan's fused
 * pass. */
static sq_var stretch(sq_var flag, sq_shape s)
{
    sq_shape thin = s;
    for (int32_t i = 1; i < s.rank; i++) thin.dim[i] = 1;
    return sq_broadcast_to(s.rank == 2 ? flag : sq_reshape(flag, thin), s);
}

/* As wide as state k; states of one width share it. */
static sq_var stretch_to(const masked *c, sq_var flag, sq_var *wide, int32_t k, int64_t batch)
{
    for (int32_t i = 0; i < k; i++)
        if (c->cell.width[i] == c->cell.width[k]) return wide[k] = wide[i];
    return wide[k] = stretch(flag, sq_mat(batch, c->cell.width[k]));
}

/* A state of the wrong shape is left to the unroll, which names it. */
static bool is_state(sq_tape *t, sq_var h, int64_t batch, int64_t width)
{
    const sqi_node *n = t->error.status ? NULL : sqi_node_of(t, h, "a state");
    return n && sq_shape_equal(n->shape, sq_mat(batch, width));
}

/* m as wide as an output: often as a state. */
static sq_var stretch_to_output(const masked *c, sq_var m, sq_shape s)
{
    for (int32_t k = 0; k < c->cell.n_states; k++)
        if (s.rank == 2 && c->cell.width[k] == s.dim[1]) return c->takes[k];
    return stretch(m, s);
}

static sq_var masked_output(sq_tape *t, const masked *c, sq_var y, sq_var m, int64_t batch)
{
    char text[SQ_SHAPE_TEXT];
    if (t->error.status || !y.tape || !sqi_index(y.id)) return y;
    sq_shape s = sq_shape_of(y);
    if (s.rank && s.dim[0] == batch) return sq_select(stretch_to_output(c, m, s), y, c->zero);
    if (sqi_begin(t, "unroll"))
        sq_post(t, SQ_ESHAPE,
                "the output has shape %s, not a row for each of %lld: lengths and masks are of "
                "rows",
                sq_shape_text(s, text), (long long)batch);
    return sqi_none(t);
}

/* What enters the cell, and, recorded before it, what is needed behind it. */
static bool enter(sq_tape *t, const masked *c, sq_var m, sq_var r, sq_var *h, int64_t batch)
{
    for (int32_t k = 0; c->resets && k < c->cell.n_states; k++)
        h[k] = sq_select(stretch_to(c, r, c->takes, k, batch), c->initial[k], h[k]);
    for (int32_t k = 0; c->masks && k < c->cell.n_states; k++) {
        stretch_to(c, m, c->takes, k, batch);
        c->before[k] = h[k];
        if (t->error.status || !sqi_import(t, h[k])) return false;
    }
    return !t->error.status;
}

/* h'_k <- m ? h'_k : h_k, in the place of h'_k: what the step computes from it comes after. */
static void keep_state(sq_tape *t, const masked *c, sq_var *h, sq_var *y, int32_t k,
                       int64_t batch)
{
    sq_var now = h[k];
    bool shared = false;
    if (!is_state(t, now, batch, c->cell.width[k])) return;
    for (int32_t i = 0; i < c->cell.n_states; i++) shared |= i != k && h[i].id == now.id;
    h[k] = sq_select(c->takes[k], now, c->before[k]);
    if (!shared) h[k] = sqi_interpose(t, now, h[k]);
    if (y->id == now.id && !shared) *y = h[k];
}

/* What a step in a step puts aside. An eager one is recorded before it is computed, so that what is put
 * in behind a state is what the rest is computed from, as in a plan. */
typedef struct frame {
    const sqi_segment *spaced;
    const char *untraced;
    bool traces;
} frame;

static frame open_frame(sq_tape *t, const masked *c)
{
    frame f = { t->spaced, t->untraced, c->masks && !t->tracing };
    t->spaced = c->masks ? t->current : NULL;
    if (f.traces) sqi_trace_begin(t);
    return f;
}

static void close_frame(sq_tape *t, const frame *f)
{
    if (!f->traces) return;
    sqi_trace_compute(t, NULL);
    t->untraced = f->untraced;
}

static sq_var masked_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const masked *c = self;
    int64_t batch = sq_shape_of(x).dim[0], at = c->width > 0 ? c->width : 0;
    sq_var none = sqi_none(t);
    sq_var m = c->masks ? column(x, at) : none;
    sq_var r = c->resets ? column(x, at + c->masks) : none;
    sq_var in = c->width < 0 ? none : sq_slice(x, 1, 0, c->width);
    if (t->error.status || !enter(t, c, m, r, h, batch)) return none;
    frame f = open_frame(t, c);
    sq_var y = c->cell.step(t, c->cell.self, in, h);
    t->spaced = f.spaced;
    for (int32_t k = 0; c->masks && k < c->cell.n_states; k++)
        keep_state(t, c, h, &y, k, batch);
    if (c->masks) y = masked_output(t, c, y, m, batch);
    close_frame(t, &f);
    return y;
}

/* ---- The cell ----------------------------------------------------------------------------- */

static size_t masked_bytes(const sq_cell *cell)
{
    return sizeof(masked) + 3 * (size_t)cell->n_states * sizeof(sq_var);
}

static void lay_out(masked *c)
{
    c->initial = (sq_var *)(void *)(c + 1);
    c->before = c->initial + c->cell.n_states;
    c->takes = c->before + c->cell.n_states;
}

bool sqi_ragged_settle(sq_tape *t, sq_cell *cell)
{
    if (cell->step != masked_step) return true;
    size_t bytes = masked_bytes(cell);
    masked *c = sqi_tape_alloc(t, bytes);
    if (!c) return false;
    memcpy(c, cell->self, bytes);
    lay_out(c);
    cell->self = c;
    return true;
}

static bool wrap(sqi_ragged *r, sq_cell *cell, const sq_var *initial, int64_t width)
{
    masked *c = sqi_arena_alloc(r->memory, &r->tape->pool, masked_bytes(cell));
    if (!c) return sq_post(r->tape, SQ_ENOMEM, "out of memory for a masked cell");
    *c = (masked){ .cell = *cell,
                   .width = width,
                   .masks = r->taken != NULL,
                   .resets = r->o->resets != NULL,
                   .zero = sq_constant(r->tape, 0) };
    lay_out(c);
    for (int32_t k = 0; k < cell->n_states; k++) c->initial[k] = initial[k];
    cell->step = masked_step;
    cell->self = c;
    return !r->tape->error.status;
}

/* ---- Its input ---------------------------------------------------------------------------- */

static bool find_order(sqi_ragged *r)
{
    if (!r->o->reverse) return true;
    r->ids = sqi_brief(r->tape, r->memory, r->steps * r->batch, sizeof *r->ids);
    if (!r->ids) return false;
    sqi_reversed_ids(r->o->lengths, r->steps, r->batch, r->ids);
    return true;
}

/* m and r in the order of running, [T,B,1 or 2]. */
static sq_var flags(const sqi_ragged *r)
{
    int64_t n = r->steps * r->batch;
    float *to = sqi_brief(r->tape, r->memory, n * r->columns, sizeof *to), *next = to;
    for (int64_t i = 0; to && i < n; i++) {
        int64_t at = r->ids ? r->ids[i] : i;
        if (r->taken) *next++ = r->taken[at];
        if (r->o->resets)
            *next++ = r->o->resets[at] && (!r->taken || r->taken[at] > 0) ? 1.0F : 0.0F;
    }
    return to ? sq_input_f32(r->tape, sq_shape3(r->steps, r->batch, r->columns), to)
              : sqi_none(r->tape);
}

/* ---- Before and after --------------------------------------------------------------------- */

static bool options_are_sane(const sqi_ragged *r)
{
    sq_tape *t = r->tape;
    if (!sqi_begin(t, "unroll")) return false;
    if (r->o->lengths && r->o->mask)
        return sq_post(t, SQ_EVALUE, "lengths and mask exclude each other");
    return sqi_lengths_are_sane(t, r->o->lengths, r->steps, r->batch);
}

bool sqi_ragged_begin(sqi_ragged *r, sq_cell *cell, sq_var *x, const sq_var *initial)
{
    sq_tape *t = r->tape;
    const sq_unroll_options *o = r->o;
    bool there = x->tape && sqi_index(x->id);
    if (!o->lengths && !o->mask && !o->resets && !o->reverse) return true;
    if (!options_are_sane(r)) return false;
    if (!r->steps) return true;
    bool ragged = o->lengths || o->mask;
    if (ragged) r->taken = sqi_taken(t, r->memory, o->lengths, o->mask, r->steps, r->batch);
    if ((ragged && !r->taken) || !find_order(r)) return false;
    if (there && r->taken) *x = sqi_take_rows(*x, r->taken, 2);
    if (there && r->ids) *x = sqi_pick_rows(*x, r->ids);
    r->columns = (r->taken != NULL) + (o->resets != NULL);
    if (!r->columns) return !t->error.status;
    sq_var parts[2] = { *x, flags(r) };
    if (t->error.status) return false;
    int64_t width = there ? sq_shape_of(*x).dim[2] : -1;
    *x = there ? sq_concat(parts, 2, 2) : parts[1];
    return !t->error.status && wrap(r, cell, initial, width);
}

bool sqi_ragged_keep_outputs(const sqi_ragged *r)
{
    return r->taken && r->o->outputs == SQ_OUTPUTS_LAST;
}

const bool *sqi_ragged_takes(const sqi_ragged *r)
{
    int64_t n = r->steps * r->batch;
    bool *takes = r->taken ? sqi_tape_alloc(r->tape, (size_t)n * sizeof *takes) : NULL;
    for (int64_t i = 0; takes && i < n; i++) takes[i] = r->taken[r->ids ? r->ids[i] : i] > 0;
    return takes;
}

/* Each row's output at the last step that it took; where it took none, the 0 of the first. */
static sq_var last_taken(const sqi_ragged *r, sq_var all)
{
    int32_t *ids = sqi_brief(r->tape, r->memory, r->batch, sizeof *ids);
    sq_shape s = sq_shape_of(all);
    if (!ids || r->tape->error.status) return sqi_none(r->tape);
    for (int64_t b = 0; b < r->batch; b++) ids[b] = (int32_t)b;
    for (int64_t i = 0; i < r->steps * r->batch; i++)
        if (r->taken[r->ids ? r->ids[i] : i] > 0) ids[i % r->batch] = (int32_t)i;
    s.dim[1] *= s.dim[0];
    for (int32_t i = 1; i < s.rank; i++) s.dim[i - 1] = s.dim[i];
    s.rank--;
    return sq_gather(sq_reshape(all, s), ids, r->batch);
}

sq_var sqi_ragged_outputs(const sqi_ragged *r, sq_var outputs)
{
    bool there = outputs.tape && sqi_index(outputs.id) && !r->tape->error.status;
    if (!there || !r->steps) return outputs;
    if (sqi_ragged_keep_outputs(r)) return last_taken(r, outputs);
    bool stacked = r->o->outputs == SQ_OUTPUTS_ALL;
    return stacked && r->ids ? sqi_pick_rows(outputs, r->ids) : outputs;
}
