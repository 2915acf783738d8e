/* sequence.c -- rows of their own lengths, and losses over them, as compositions.
 *
 * What lies behind the end of a row is taken out by selection (0 * NaN is NaN, a selection's other
 * side is not looked at) before anything is computed from it, so that nothing comes back from
 * there in the sweep either. */
#include "graph/sequence.h"
#include "graph/sequence_impl.h"
#include "ops/ops.h"

#include <inttypes.h>

/* ---- Arrays over time and rows ------------------------------------------------------------ */

void *sqi_brief(sq_tape *t, sqi_arena *memory, int64_t n, size_t size)
{
    bool fits = (size_t)n < SIZE_MAX / 2 / size;
    void *at = fits ? sqi_arena_alloc(memory, &t->pool, (size_t)n * size) : NULL;
    if (!at) sq_post(t, SQ_ENOMEM, "out of memory for %" PRId64 " entries", n);
    return at;
}

bool sqi_lengths_are_sane(sq_tape *t, const int32_t *lengths, int64_t steps, int64_t batch)
{
    if (batch && steps > INT32_MAX / batch)
        return sq_post(t, SQ_ERANGE, "%" PRId64 " steps of %" PRId64 " rows cannot be numbered",
                       steps, batch);
    for (int64_t b = 0; lengths && b < batch; b++)
        if (lengths[b] < 0 || lengths[b] > steps)
            return sq_post(t, SQ_ERANGE,
                           "row %" PRId64 " has length %d: it lies in 0..%" PRId64, b,
                           (int)lengths[b], steps);
    return true;
}

float *sqi_taken(sq_tape *t, sqi_arena *memory, const int32_t *lengths, const int32_t *mask,
                 int64_t steps, int64_t batch)
{
    int64_t n = steps * batch;
    float *taken = sqi_brief(t, memory, n, sizeof *taken);
    for (int64_t i = 0; taken && i < n; i++) {
        bool takes = lengths ? i / batch < lengths[i % batch] : mask[i] != 0;
        taken[i] = takes ? 1.0F : 0.0F;
    }
    return taken;
}

void sqi_reversed_ids(const int32_t *lengths, int64_t steps, int64_t batch, int32_t *ids)
{
    for (int64_t t = 0; t < steps; t++)
        for (int64_t b = 0; b < batch; b++) {
            int64_t n = lengths ? lengths[b] : steps;
            ids[t * batch + b] = (int32_t)((t < n ? n - 1 - t : t) * batch + b);
        }
}

int64_t sq_length_mask(const int32_t *lengths, int64_t steps, int64_t batch, int32_t *mask)
{
    int64_t taken = 0;
    for (int64_t t = 0; t < steps; t++)
        for (int64_t b = 0; b < batch; b++) {
            mask[t * batch + b] = !lengths || t < lengths[b];
            taken += mask[t * batch + b];
        }
    return taken;
}

/* ---- Rows of a sequence ------------------------------------------------------------------- */

/* The first two axes as one. */
static sq_shape joined(sq_shape s)
{
    s.dim[1] *= s.dim[0];
    for (int32_t i = 1; i < s.rank; i++) s.dim[i - 1] = s.dim[i];
    s.rank--;
    return s;
}

sq_var sqi_pick_rows(sq_var x, const int32_t *ids)
{
    sq_shape s = sq_shape_of(x);
    if (!sq_ok(x)) return sqi_none(x.tape);
    return sq_reshape(sq_gather(sq_reshape(x, joined(s)), ids, s.dim[0] * s.dim[1]), s);
}

sq_var sqi_take_rows(sq_var x, const float *taken, int32_t axes)
{
    sq_shape s = sq_shape_of(x);
    if (!sq_ok(x)) return sqi_none(x.tape);
    for (int32_t i = axes; i < s.rank; i++) s.dim[i] = 1;
    return sq_select(sq_input_f32(x.tape, s, taken), x, sq_constant(x.tape, 0));
}

/* A function over a sequence: its tape and sizes, and memory that goes with it. */
typedef struct call {
    sq_tape *t;
    sq_shape s;
    int64_t steps, batch;
    sqi_arena memory;
} call;

static bool begin(call *c, const char *name, sq_var x, const int32_t *lengths)
{
    char text[SQ_SHAPE_TEXT];
    *c = (call){ .t = x.tape };
    if (!x.tape || !sqi_begin(x.tape, name)) return false;
    const sqi_node *n = sqi_node_of(x.tape, x, "the sequence");
    if (!n) return false;
    c->s = n->shape;
    if (c->s.rank < 2)
        return sq_post(c->t, SQ_ESHAPE, "%s is no sequence: it begins with [T,B",
                       sq_shape_text(c->s, text));
    c->steps = c->s.dim[0];
    c->batch = c->s.dim[1];
    return sqi_lengths_are_sane(c->t, lengths, c->steps, c->batch);
}

static sq_var end(call *c, sq_var y)
{
    if (c->t) sqi_arena_clear(&c->memory, &c->t->pool);
    return y;
}

static sq_var nothing(call *c) { return end(c, sqi_none(c->t)); }

sq_var sq_reverse_rows(sq_var x, const int32_t *lengths)
{
    call c;
    if (!begin(&c, "reverse_rows", x, lengths)) return nothing(&c);
    int32_t *ids = sqi_brief(c.t, &c.memory, c.steps * c.batch, sizeof *ids);
    if (!ids) return nothing(&c);
    sqi_reversed_ids(lengths, c.steps, c.batch, ids);
    return end(&c, sqi_pick_rows(x, ids));
}

sq_var sqi_clear(sq_var x, const sq_unroll_options *o)
{
    call c;
    if (!begin(&c, "clear_padding", x, o->lengths)) return nothing(&c);
    if (!o->lengths && !o->mask) return end(&c, x);
    float *taken = sqi_taken(c.t, &c.memory, o->lengths, o->mask, c.steps, c.batch);
    return taken ? end(&c, sqi_take_rows(x, taken, 2)) : nothing(&c);
}

sq_var sq_clear_padding(sq_var x, const int32_t *lengths)
{
    return sqi_clear(x, &(sq_unroll_options){ .lengths = lengths });
}

/* Row lengths[b] - 1 of each; rows without a step give any, and are cleared. */
sq_var sq_last_rows(sq_var x, const int32_t *lengths)
{
    call c;
    if (!begin(&c, "last_rows", x, lengths)) return nothing(&c);
    sq_shape row = c.s;
    for (int32_t i = 1; i < row.rank; i++) row.dim[i - 1] = row.dim[i];
    row.rank--;
    if (!c.steps) return end(&c, sq_zeros(c.t, row));
    int32_t *ids = sqi_brief(c.t, &c.memory, c.batch, sizeof *ids);
    float *taken = sqi_brief(c.t, &c.memory, c.batch, sizeof *taken);
    if (!ids || !taken) return nothing(&c);
    for (int64_t b = 0; b < c.batch; b++) {
        int64_t n = lengths ? lengths[b] : c.steps;
        ids[b] = (int32_t)((n ? n - 1 : 0) * c.batch + b);
        taken[b] = n ? 1.0F : 0.0F;
    }
    return end(&c,
               sqi_take_rows(sq_gather(sq_reshape(x, joined(c.s)), ids, c.batch), taken, 1));
}

/* ---- Losses over time --------------------------------------------------------------------- */

/* Where the log-probability of every label lies; behind the end of a row any. */
static int32_t *find_labels(call *c, const int32_t *labels, const int32_t *lengths)
{
    int64_t n = c->steps * c->batch, classes = c->s.dim[2];
    if (!labels && n) return sq_post(c->t, SQ_EVALUE, "the labels are NULL"), NULL;
    if (n && classes > INT32_MAX / n)
        return sq_post(c->t, SQ_ERANGE, "%" PRId64 " logits cannot be numbered", n * classes),
               NULL;
    int32_t *ids = sqi_brief(c->t, &c->memory, n, sizeof *ids);
    for (int64_t i = 0; ids && i < n; i++) {
        bool taken = !lengths || i / c->batch < lengths[i % c->batch];
        if (taken && (labels[i] < 0 || labels[i] >= classes))
            return sq_post(c->t, SQ_ERANGE,
                           "label %d at step %" PRId64 " of row %" PRId64
                           " is outside 0..%" PRId64,
                           (int)labels[i], i / c->batch, i % c->batch, classes - 1),
                   NULL;
        ids[i] = (int32_t)(i * classes) + (taken ? labels[i] : 0);
    }
    return ids;
}

sq_var sq_cross_entropy_steps(sq_var logits, const int32_t *labels, const int32_t *lengths)
{
    call c;
    char text[SQ_SHAPE_TEXT];
    if (!begin(&c, "cross_entropy_steps", logits, lengths)) return nothing(&c);
    if (c.s.rank != 3)
        sq_post(c.t, SQ_ESHAPE, "the logits have shape %s, not [T,B,C]",
                sq_shape_text(c.s, text));
    int32_t *ids = c.t->error.status ? NULL : find_labels(&c, labels, lengths);
    if (!ids) return nothing(&c);
    int64_t n = c.steps * c.batch;
    sq_var p = sq_log_softmax(sq_clear_padding(logits, lengths), 2);
    sq_var l = sq_neg(sq_gather(sq_reshape(p, sq_vec(sq_shape_size(c.s))), ids, n));
    l = sq_reshape(l, sq_mat(c.steps, c.batch));
    return end(&c, sq_clear_padding(l, lengths));
}

/* How many steps there are, and how many rows that have one; false after posting. */
static bool count(call *c, const int32_t *lengths, int64_t *steps, int64_t *rows)
{
    char text[SQ_SHAPE_TEXT];
    if (c->s.rank != 2)
        return sq_post(c->t, SQ_ESHAPE, "the losses have shape %s, not [T,B]",
                       sq_shape_text(c->s, text));
    *steps = *rows = 0;
    for (int64_t b = 0; b < c->batch; b++) {
        int64_t n = lengths ? lengths[b] : c->steps;
        *steps += n;
        *rows += n > 0;
    }
    return *steps || sq_post(c->t, SQ_ESHAPE, "the mean of nothing: no row has a step");
}

sq_var sq_mean_over_steps(sq_var l, const int32_t *lengths)
{
    call c;
    int64_t steps = 0, rows = 0;
    if (!begin(&c, "mean_over_steps", l, lengths) || !count(&c, lengths, &steps, &rows))
        return nothing(&c);
    return end(&c, sq_mul_scalar(sq_sum(sq_clear_padding(l, lengths)), 1.0 / (double)steps));
}

sq_var sq_mean_over_sequences(sq_var l, const int32_t *lengths)
{
    call c;
    int64_t steps = 0, rows = 0;
    if (!begin(&c, "mean_over_sequences", l, lengths) || !count(&c, lengths, &steps, &rows))
        return nothing(&c);
    double *weight = sqi_brief(c.t, &c.memory, c.batch, sizeof *weight);
    if (!weight) return nothing(&c);
    for (int64_t b = 0; b < c.batch; b++) {
        int64_t n = lengths ? lengths[b] : c.steps;
        weight[b] = n ? 1.0 / ((double)n * (double)rows) : 0;
    }
    sq_var sums = sq_sum_axis(sq_clear_padding(l, lengths), 0);
    return end(&c, sq_sum(sq_mul(sums, sq_input_f64(c.t, sq_vec(c.batch), weight))));
}
