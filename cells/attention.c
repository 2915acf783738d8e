/* attention.c -- attention and pointers (Bahdanau 2015, Luong 2015, Vaswani 2017, Vinyals 2015) as
 * compositions of products of stacks of matrices, one matrix for each row of the batch.
 *
 * Whatever depends on the memory alone is recorded once, before the steps. A mask is turned into
 * numbers there, for ids and masks in a step would keep it from being planned; padding is cleared
 * there, because 0 times a number that is none would still be none. */
#include "cells/attention.h"
#include "cells/cells_impl.h"
#include "core/tape_impl.h"
#include "ops/ops.h"

#include <math.h>

/* Far below any score, and still a number in single precision. */
static const double nothing = -1e30;

static bool sane(const sq_attention *w, sq_params *p)
{
    if ((unsigned)w->kind > SQ_ATTENTION_SCALED)
        return sq_params_post(p, SQ_EVALUE, "attention: there is no kind %d", (int)w->kind);
    if (w->size < 0 || (w->size == 0 && w->kind == SQ_ATTENTION_ADDITIVE))
        return sq_params_post(p, SQ_ESHAPE, "attention: a size of %lld", (long long)w->size);
    if (w->size == 0 && w->query != w->memory)
        return sq_params_post(
            p, SQ_ESHAPE,
            "attention: without weights, queries of %lld and a memory of %lld "
            "numbers do not meet",
            (long long)w->query, (long long)w->memory);
    return true;
}

sq_status sq_attention_init(sq_attention *w, sq_params *p, const char *prefix,
                            sq_attention_kind kind, int64_t query, int64_t memory, int64_t size,
                            uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, size, seed };
    *w = (sq_attention){ .kind = kind, .query = query, .memory = memory, .size = size };
    if (!sane(w, p)) {
        w->kind = SQ_ATTENTION_ADDITIVE; /* whose weights are missing */
        return sq_params_status(p);
    }
    if (size > 0) {
        w->W_q = sqi_cell_weight(&to, "W_q", sq_mat(query, size));
        w->W_k = sqi_cell_weight(&to, "W_k", sq_mat(memory, size));
    }
    if (kind == SQ_ATTENTION_ADDITIVE) w->v = sqi_cell_weight(&to, "v", sq_mat(size, 1));
    return sq_params_status(p);
}

/* ---- The memory -------------------------------------------------------------------------- */

sq_memory sq_attention_memory(const sq_attention *w, sq_var memory, const int32_t *there)
{
    sq_tape *t = memory.tape;
    sq_memory m = { .values = memory };
    sq_shape s = sq_shape_of(memory);
    if (!sq_ok(memory)) return m;
    if (s.rank != 3 || s.dim[2] != w->memory) {
        char text[SQ_SHAPE_TEXT];
        if (sqi_begin(t, "attention"))
            sq_post(t, SQ_ESHAPE, "the memory is [B,S,%lld], not %s", (long long)w->memory,
                    sq_shape_text(s, text));
        return m;
    }
    if (there) {
        sq_var zero = sq_constant(t, 0);
        m.there = sq_where(there, sq_mat(s.dim[0], s.dim[1]), sq_constant(t, 1), zero);
        m.values = sq_where(there, sq_shape3(s.dim[0], s.dim[1], 1), memory, zero);
    }
    bool weightless = w->size == 0 && w->kind != SQ_ATTENTION_ADDITIVE;
    m.keys = weightless ? m.values : sq_matmul(m.values, sq_use(t, w->W_k));
    return m;
}

/* ---- Looking it up ----------------------------------------------------------------------- */

/* [B,n] as [B,1,n], and back. */
static sq_var as_rows(sq_var v, int64_t batch, int64_t n)
{
    return sq_reshape(v, sq_shape3(batch, 1, n));
}

/* q W_q, where there is such a weight */
static sq_var asked(sq_tape *t, const sq_attention *w, sq_var query)
{
    return w->size > 0 ? sq_matmul(query, sq_use(t, w->W_q)) : query;
}

/* u, over all places */
static sq_var all_scores(const sq_attention *w, sq_var keys, sq_var query)
{
    sq_shape s = sq_shape_of(keys);
    sq_tape *t = keys.tape;
    sq_var q = as_rows(asked(t, w, query), s.dim[0], s.dim[2]), u;
    if (w->kind == SQ_ATTENTION_ADDITIVE)
        u = sq_matmul(sq_tanh(sq_add(keys, q)), sq_use(t, w->v)); /* [B,S,1] */
    else u = sq_bmm_nt(q, keys);                                  /* [B,1,S] */
    if (w->kind == SQ_ATTENTION_SCALED) u = sq_mul_scalar(u, 1 / sqrt((double)s.dim[2]));
    return sq_reshape(u, sq_mat(s.dim[0], s.dim[1]));
}

sq_var sq_attention_scores(const sq_attention *w, const sq_memory *m, sq_var query)
{
    if (!m->keys.id) {
        if (sqi_begin(query.tape, "attention"))
            sq_post(query.tape, SQ_EVAR, "there is no memory; sq_attention_memory makes one");
        return (sq_var){ 0 };
    }
    sq_var u = all_scores(w, m->keys, query);
    return m->there.id ? sq_select(m->there, u, sq_constant(m->there.tape, nothing)) : u;
}

sq_var sq_attend(const sq_attention *w, const sq_memory *m, sq_var query, sq_var *weights)
{
    sq_var a = sq_softmax(sq_attention_scores(w, m, query), -1);
    if (m->there.id) a = sq_mul(a, m->there);
    if (weights) *weights = a;
    /* sum_s a_s M_s = a M, a row vector times a matrix */
    sq_shape s = sq_shape_of(m->values);
    return sq_reshape(sq_bmm(as_rows(a, s.dim[0], s.dim[1]), m->values),
                      sq_mat(s.dim[0], s.dim[2]));
}

/* ---- As cells ---------------------------------------------------------------------------- */

/* Whether there is a state that can ask; false after posting. */
static bool asks(sq_tape *t, const sq_attender *a)
{
    if (a->cell.n_states > 0) return true;
    return sqi_begin(t, "attention") &&
           sq_post(t, SQ_EVALUE, "a cell without states asks nothing");
}

static sq_var attending_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_attender *a = self;
    if (!asks(t, a)) return sqi_none(t);
    sq_var weights, context = sq_attend(a->attention, &a->memory, state[0], &weights);
    (void)sq_name(weights, "attention");
    (void)sq_name(context, "context");
    sq_var y = a->cell.step(t, a->cell.self, sqi_beside(x, context), state);
    return a->show_context ? sqi_beside(y, context) : y;
}

static sq_var pointing_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_attender *a = self;
    if (!asks(t, a)) return sqi_none(t);
    (void)a->cell.step(t, a->cell.self, x, state);
    return sq_attention_scores(a->attention, &a->memory, state[0]);
}

sq_cell sq_attention_cell(const sq_attender *a)
{
    sq_cell cell = a->cell;
    cell.step = attending_step;
    cell.self = a;
    return cell;
}

sq_cell sq_pointer_cell(const sq_attender *a)
{
    sq_cell cell = a->cell;
    cell.step = pointing_step;
    cell.self = a;
    return cell;
}
