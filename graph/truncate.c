/* truncate.c -- the streaming driver: pieces are recorded, losses kept, updates made.
 *
 *     tape   root | x0 | piece 0 | x1 losses | piece 1 | x2 losses | piece 2 | losses
 *                 ^ a piece begins where its input is recorded
 *
 * A piece is one unroll; its borders are those of updates, of rows that restart, of chunks. The
 * tape holds the pieces that a later window can still reach and forgets whole pieces only, so that
 * what was recorded between steps -- embeddings, restarted rows -- stays as long as the steps that
 * use it. Where a window begins inside a piece, the sweep does not enter the steps before. Thus the
 * bias meter needs nothing but two sweeps of one loss. */
#include "core/backward_impl.h"
#include "graph/truncate_impl.h"
#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- Recording ----------------------------------------------------------------------------- */

/* It is alive, and [B,width]. */
static bool state_fits(const sq_tbptt *s, sq_var v, int32_t k)
{
    const sqi_node *n = sqi_node_of(s->t, v, "a state");
    sq_shape want = sq_mat(s->o.batch, s->cell.width[k]);
    char text[2][SQ_SHAPE_TEXT];
    return n && (sq_shape_equal(n->shape, want) ||
                 sq_post(s->t, SQ_ESHAPE, "state %d has shape %s, not %s", (int)k,
                         sq_shape_text(n->shape, text[0]), sq_shape_text(want, text[1])));
}

/* The state that a row begins with; no value stands for zeros. */
static sq_var initial_state(const sq_tbptt *s, int32_t k)
{
    if (!s->o.initial) return sqi_none(s->t);
    sq_var h = s->o.initial(s->o.context, s->t, k);
    if (!sqi_begin(s->t, "tbptt") || !sqi_has_value(h) || !state_fits(s, h, k)) return h;
    return sqi_draws_windows(s) ? sqi_initial_drawn(s, h) : h;
}

static bool enter_states(sq_tbptt *s, const int32_t *rows)
{
    bool restart = rows && !sqi_rows_go_on(rows, s->o.batch);
    for (int32_t k = 0; k < s->cell.n_states; k++) {
        bool old = sqi_has_value(s->state[k]);
        if (old && !restart) continue;
        sq_var initial = initial_state(s, k), h = old ? s->state[k] : initial;
        s->state[k] = restart && sqi_has_value(h) ? sq_restart_rows(h, initial, rows) : h;
    }
    return !s->t->error.status;
}

/* x [length,B,I] of the coming steps, or no value. */
static sq_var enter_input(const sq_tbptt *s, int64_t length)
{
    if (!s->o.input) return sqi_none(s->t);
    sq_var x = s->o.input(s->o.context, s->t, s->steps, length);
    if (!sqi_begin(s->t, "tbptt")) return x;
    const sqi_node *n = sqi_node_of(s->t, x, "the input");
    if (!n) return x;
    sq_shape shape = n->shape;
    char text[SQ_SHAPE_TEXT];
    if (shape.rank != 3 || shape.dim[0] != length || shape.dim[1] != s->o.batch)
        sq_post(s->t, SQ_ESHAPE,
                "the input of %lld steps from %lld on has shape %s, not [%lld,%lld,I]",
                (long long)length, (long long)s->steps, sq_shape_text(shape, text),
                (long long)length, (long long)s->o.batch);
    return x;
}

/* The losses of some steps of a piece, in one call. */
static sq_var ask_loss(const sq_tbptt *s, const sqi_piece *p, int64_t first, int64_t steps)
{
    bool part = sqi_has_value(p->outputs) && steps < p->steps;
    sq_var y = part ? sq_slice(p->outputs, 0, first - p->first, steps) : p->outputs;
    sq_var loss =
        s->t->error.status ? sqi_none(s->t) : s->o.loss(s->o.context, s->t, y, first, steps);
    if (!sqi_begin(s->t, "tbptt") || !sqi_has_value(loss)) return sqi_none(s->t);
    const sqi_node *n = sqi_node_of(s->t, loss, "the loss");
    char text[SQ_SHAPE_TEXT];
    if (n && sq_shape_size(n->shape) != 1)
        sq_post(s->t, SQ_ESHAPE,
                "the loss of %lld steps from %lld on has shape %s, it must be one number",
                (long long)steps, (long long)first, sq_shape_text(n->shape, text));
    return s->t->error.status ? sqi_none(s->t) : loss;
}

static sq_var add_losses(sq_var a, sq_var b)
{
    return !sqi_has_value(a) ? b : !sqi_has_value(b) ? a : sq_add(a, b);
}

/* The losses of a piece from step `from` on, as often as the options say. */
static sq_var losses_of(const sq_tbptt *s, const sqi_piece *p, int64_t from)
{
    int64_t every = s->o.loss_every;
    sq_var sum = sqi_none(s->t);
    if (every == SQ_LOSS_AT_END) return sum;
    if (every <= 1) return ask_loss(s, p, from, sqi_piece_end(p) - from);
    int64_t i = from - from % every + (every - 1);
    for (; i < sqi_piece_end(p) && !s->t->error.status; i += every)
        sum = add_losses(sum, ask_loss(s, p, i, 1));
    return sum;
}

static bool count(sq_tbptt *s, sqi_piece *p, sq_var loss)
{
    if (sqi_has_value(loss)) {
        double value = sq_item(loss);
        s->loss += value;
        s->loss_since += value;
        p->loss = loss;
    }
    return !s->t->error.status;
}

static int64_t version_now(const sq_tape *t) { return (int64_t)sq_params_version(t->params); }

/* A callback that changed weights cannot be asked again. */
static void look_at_version(const sq_tbptt *s, sqi_piece *p)
{
    if (p->version != version_now(s->t)) p->version = SQI_MIXED;
}

bool sqi_stream_count_loss(sq_tbptt *s, sqi_piece *p)
{
    bool counted = count(s, p, losses_of(s, p, p->first));
    look_at_version(s, p);
    return counted;
}

/* The coming steps; NULL after posting. */
static const sq_unrolled *unroll(sq_tbptt *s, sq_var x, int64_t length)
{
    sq_unroll_options o = s->o.unroll;
    o.outputs = SQ_OUTPUTS_ALL;
    o.steps = length;
    o.batch = s->o.batch;
    const sq_unrolled *u =
        sq_unroll(s->t, sqi_draws_windows(s) ? &s->drawn : &s->cell, x, s->state, &o);
    sq_unrolled_last(u, s->state);
    return u;
}

/* What a piece begins with, in memory that goes with it. */
static bool note_start(sq_tbptt *s, sqi_piece *p, const int32_t *rows)
{
    sq_tape *t = s->t;
    int32_t n = s->cell.n_states;
    size_t bytes = (size_t)s->o.batch * sizeof *rows;
    bool restart = rows && !sqi_rows_go_on(rows, s->o.batch);
    p->start = sqi_tape_alloc(t, (size_t)n * sizeof *p->start);
    p->rows = restart && !t->error.status ? sqi_tape_alloc(t, bytes) : NULL;
    if (t->error.status) return false;
    if (p->rows) memcpy(p->rows, rows, bytes);
    memcpy(p->start, s->state, (size_t)n * sizeof *p->start);
    p->given = s->given;
    s->given = false;
    return true;
}

sqi_piece *sqi_stream_record(sq_tbptt *s, int64_t length, const int32_t *rows)
{
    sq_tape *t = s->t;
    if (!sqi_segment_open(t, -1)) return NULL;
    sqi_piece p = { .ordinal = t->current->ordinal,
                    .first = s->steps,
                    .steps = length,
                    .enters = t->next_step,
                    .drawing = sqi_drawing_now(t),
                    .version = version_now(t) };
    if (!note_start(s, &p, rows) || !enter_states(s, rows)) return NULL;
    sq_var x = enter_input(s, length);
    p.on_tape = t->next_step;
    const sq_unrolled *u = t->error.status ? NULL : unroll(s, x, length);
    sqi_piece *kept = u ? sqi_pieces_push(s) : NULL;
    if (!kept) return NULL;
    p.outputs = sq_unrolled_outputs(u);
    look_at_version(s, &p);
    *kept = p;
    s->steps += length;
    return kept;
}

/* Records the next `length` steps and their losses; rows are those of the first. */
static bool record(sq_tbptt *s, int64_t length, const int32_t *rows)
{
    if (!sqi_pieces_forget(s, length)) return false;
    size_t before = s->o.meter_every ? sq_tape_statistics(s->t).value_bytes : 0;
    sqi_piece *p = sqi_stream_record(s, length, rows);
    if (!p || !sqi_stream_count_loss(s, p)) return false;
    if (s->o.meter_every) p->bytes = sq_tape_statistics(s->t).value_bytes - before;
    return true;
}

/* ---- Updates ------------------------------------------------------------------------------- */

static bool is_metered(const sq_tbptt *s)
{
    return s->o.meter_every && s->updates + 1 - s->read >= s->o.meter_every;
}

/* The sum of the pending losses of the steps from `first` on. They are not pending any more. */
static sq_var take_losses(sq_tbptt *s, int64_t first)
{
    sq_var sum = sqi_none(s->t);
    for (uint32_t i = s->begin; i < s->end && !s->t->error.status; i++) {
        sqi_piece *p = &s->pieces[i];
        bool inside = p->first < first && first < sqi_piece_end(p) &&
                      s->o.loss_every != SQ_LOSS_AT_END; /* that one is of the last step */
        if (sqi_has_value(p->loss) && sqi_piece_end(p) > first)
            sum = add_losses(sum, inside ? losses_of(s, p, first) : p->loss);
        p->loss = sqi_none(s->t);
    }
    return sum;
}

static bool sweep(const sq_tbptt *s, sq_var loss, int64_t first)
{
    sq_zero_grads(s->t);
    return !sqi_backward_window(loss, sqi_on_tape(s, first));
}

/* The same losses through the longer window, before the sweep that counts. */
static bool read_longer(sq_tbptt *s, sq_var loss, int64_t first, int64_t *longer)
{
    int64_t begin = s->pieces[s->begin].first;
    if (s->o.meter_window) begin = larger(begin, s->steps - s->o.meter_window);
    *longer = s->steps - begin;
    return begin >= first ||
           (sweep(s, loss, begin) && sqi_meter_keep(&s->meter, s->t, SQI_LONGER));
}

static bool differentiate(sq_tbptt *s, sq_var loss, int64_t first)
{
    int64_t window = s->steps - first, longer = 0;
    if (is_metered(s) && !read_longer(s, loss, first, &longer)) return false;
    if (!sweep(s, loss, first)) return false;
    if (longer <= window) return true;
    if (!sqi_meter_keep(&s->meter, s->t, SQI_TRUNCATED)) return false;
    sqi_meter_read(&s->meter, s->t->params, s->steps, window, longer);
    s->read = s->updates + 1;
    return true;
}

static void stopped_by(sq_tbptt *s, sq_status status)
{
    if (sqi_begin(s->t, "tbptt"))
        sq_post(s->t, status, "the update after %lld steps failed: %s", (long long)s->steps,
                sq_status_text(status));
}

static bool update(sq_tbptt *s)
{
    int64_t first = sqi_window_begin(s, s->steps);
    sq_var loss = take_losses(s, first);
    if (s->t->error.status) return false;
    if (sqi_has_value(loss)) {
        if (!differentiate(s, loss, first)) return false;
        sq_status status = s->o.update(s->o.context, s->t, s->loss_since, s->steps);
        if (status) stopped_by(s, status);
        if (s->t->error.status) return false;
        s->updates++;
    }
    s->loss_since = 0;
    sqi_plan_update(s);
    return true;
}

/* ---- The stream ---------------------------------------------------------------------------- */

void sqi_stream_begin(sq_tbptt *s)
{
    for (int32_t k = 0; k < s->cell.n_states; k++) s->state[k] = sqi_none(s->t);
    s->root = s->t->root->ordinal;
    s->begin = s->end = 0;
    s->steps = s->updated = 0;
    s->loss = s->loss_since = 0;
    s->ended = s->given = false;
    sqi_plan_update(s);
}

bool sqi_stream_enter(sq_tbptt *s)
{
    if (!sqi_begin(s->t, "tbptt") || !sqi_in_line(s->t) ||
        !sqi_trace_compute(s->t, "feeds a stream"))
        return false;
    if (s->busy) return sq_post(s->t, SQ_EVALUE, "a callback of the stream feeds the stream");
    if (s->root != s->t->root->ordinal) sqi_stream_begin(s);
    return true;
}

/* After the end of a stream: forgets it, but for what is carried. */
static bool leave_ended(sq_tbptt *s, sq_var *carry, int32_t n)
{
    if (!s->ended) return true;
    if (sq_cut(s->t, 0, carry, n)) return false;
    sqi_stream_begin(s);
    return true;
}

static void run(sq_tbptt *s, int64_t steps, const int32_t *rows)
{
    while (steps && !s->t->error.status) {
        int64_t length = sqi_piece_length(s, steps, rows);
        if (!record(s, length, rows)) return;
        if (rows) rows += length * s->o.batch;
        steps -= length;
        if (s->steps == s->due && !update(s)) return;
    }
}

sq_status sq_tbptt_feed(sq_tbptt *s, int64_t steps, const int32_t *rows)
{
    if (!s) return SQ_EVALUE;
    sq_tape *t = s->t;
    if (!sqi_stream_enter(s)) return t->error.status;
    if (steps < 0 || steps > INT64_MAX / larger(1, s->o.batch))
        sq_post(t, SQ_ERANGE, "cannot take %lld steps", (long long)steps);
    else if (rows) sqi_rows_are_sane(t, rows, steps * s->o.batch);
    if (t->error.status || !steps || !leave_ended(s, NULL, 0)) return t->error.status;
    s->busy = true;
    run(s, steps, rows);
    s->busy = false;
    return t->error.status;
}

/* The loss of the last step, where that is the only one. */
static bool add_last_loss(sq_tbptt *s)
{
    if (s->o.loss_every != SQ_LOSS_AT_END || s->begin == s->end) return true;
    sqi_piece *p = &s->pieces[s->end - 1];
    return count(s, p, ask_loss(s, p, s->steps - 1, 1));
}

sq_status sq_tbptt_end(sq_tbptt *s)
{
    if (!s) return SQ_EVALUE;
    if (!sqi_stream_enter(s) || s->ended) return s->t->error.status;
    s->busy = true;
    s->ended = add_last_loss(s) && update(s);
    s->busy = false;
    return s->t->error.status;
}

sq_var sq_tbptt_state(const sq_tbptt *s, int32_t k)
{
    bool there = s && k >= 0 && k < s->cell.n_states;
    return there ? s->state[k] : sqi_none(s ? s->t : NULL);
}

sq_status sq_tbptt_set_states(sq_tbptt *s, const sq_var *states)
{
    if (!s) return SQ_EVALUE;
    sq_tape *t = s->t;
    if (!sqi_stream_enter(s)) return t->error.status;
    int32_t n = s->cell.n_states;
    if (n && !states) sq_post(t, SQ_EVALUE, "the states are NULL");
    sq_var *given = calloc((size_t)n + 1, sizeof *given);
    if (!given) sq_post(t, SQ_ENOMEM, "out of memory for %d states", (int)n);
    for (int32_t k = 0; k < n && !t->error.status; k++)
        if (state_fits(s, states[k], k)) given[k] = sq_detach(states[k]);
    if (!t->error.status) leave_ended(s, given, n);
    if (!t->error.status) memcpy(s->state, given, (size_t)n * sizeof *given);
    s->given = s->given || !t->error.status;
    free(given);
    return t->error.status;
}

/* ---- Looking at it ------------------------------------------------------------------------- */

/* Versions that live steps refer to; they grow with time. */
static int64_t count_versions(const sq_tape *t)
{
    int64_t n = 0;
    uint64_t newest = 0;
    for (uint32_t i = 0; i < t->n_live; i++) {
        const sqi_segment *s = t->live[i];
        for (uint32_t k = 0; s->step >= 0 && k < s->n_versions; k++) {
            n += s->versions[k]->number > newest;
            if (s->versions[k]->number > newest) newest = s->versions[k]->number;
        }
    }
    return n;
}

sq_tbptt_stats sq_tbptt_statistics(const sq_tbptt *s)
{
    if (!s) return (sq_tbptt_stats){ .steps = 0 };
    sq_tbptt_stats of = { .steps = s->steps,
                          .updates = s->updates,
                          .loss = s->loss,
                          .versions = count_versions(s->t),
                          .readings = s->meter.readings,
                          .wrong = s->meter.wrong };
    for (uint32_t i = s->begin; i < s->end; i++) of.window += s->pieces[i].steps;
    return of;
}

sq_bias sq_tbptt_bias(const sq_tbptt *s, sq_weight w)
{
    static const sqi_meter none;
    return sqi_meter_bias(s ? &s->meter : &none, s ? s->t->params : NULL, w);
}

size_t sq_tbptt_bias_text(const sq_tbptt *s, char *buf, size_t n)
{
    static const sqi_meter none;
    return sqi_meter_text(s ? &s->meter : &none, s ? s->t->params : NULL, buf, n);
}

/* ---- Making and ending --------------------------------------------------------------------- */

static bool callbacks_are_sane(sq_tape *t, const sq_cell *cell, const sq_tbptt_options *o)
{
    if (!cell || !cell->step || cell->n_states < 0 || (cell->n_states && !cell->width))
        return sq_post(t, SQ_EVALUE, "the cell has no step function or no widths");
    if (!o) return sq_post(t, SQ_EVALUE, "the options are NULL: k1 and k2 have no default");
    if (!o->loss || !o->update)
        return sq_post(t, SQ_EVALUE, "the callback `%s` is NULL", o->loss ? "update" : "loss");
    const sq_unroll_options *u = &o->unroll;
    return !(u->lengths || u->mask || u->resets || u->reverse) ||
           sq_post(t, SQ_EVALUE,
                   "lengths, mask, resets and reverse are of whole sequences: a "
                   "stream restarts rows where it is fed");
}

static bool windows_are_sane(sq_tape *t, const sq_tbptt_options *o)
{
    bool drawn = o->mean_window != 0;
    if (drawn && !(o->mean_window > 1 && o->mean_window <= 1e9))
        return sq_post(t, SQ_ERANGE, "mean_window is %.10g, it must be above 1 and at most 1e9",
                       o->mean_window);
    if (drawn && (o->k1 || o->k2))
        return sq_post(t, SQ_EVALUE, "random windows have no k1 and k2: leave them 0");
    if (!drawn && (o->k1 < 1 || o->k2 < 1))
        return sq_post(t, SQ_ERANGE, "k1 = %lld and k2 = %lld: both must be at least 1",
                       (long long)o->k1, (long long)o->k2);
    if (o->batch < 0 || o->loss_every < SQ_LOSS_AT_END)
        return sq_post(t, SQ_ERANGE, "batch = %lld and loss_every = %lld cannot be",
                       (long long)o->batch, (long long)o->loss_every);
    return true;
}

static bool meter_is_sane(sq_tape *t, const sq_tbptt_options *o)
{
    if (!o->meter_every) return true;
    if (o->meter_every < 0 || o->meter_window < 0)
        return sq_post(t, SQ_ERANGE, "meter_every = %lld and meter_window = %lld cannot be",
                       (long long)o->meter_every, (long long)o->meter_window);
    if (o->mean_window != 0)
        return sq_post(t, SQ_EVALUE, "random windows have no bias: meter_every must be 0");
    if (!t->params) return sq_post(t, SQ_EVALUE, "the bias meter needs params");
    if (o->meter_window ? o->meter_window <= o->k2 : !o->meter_bytes)
        return sq_post(t, SQ_EVALUE,
                       "the bias meter needs meter_window above k2 = %lld, or meter_bytes",
                       (long long)o->k2);
    return true;
}

sq_tbptt *sq_tbptt_new(sq_tape *t, const sq_cell *cell, const sq_tbptt_options *options)
{
    if (!sqi_begin(t, "tbptt") || !callbacks_are_sane(t, cell, options) ||
        !windows_are_sane(t, options) || !meter_is_sane(t, options))
        return NULL;
    sq_tbptt *s = calloc(1, sizeof *s);
    sq_var *state = calloc((size_t)cell->n_states + 1, sizeof *state);
    sq_var *carry = calloc(2 * (size_t)cell->n_states + 1, sizeof *carry);
    if (!s || !state || !carry) {
        free(s);
        free(state);
        free(carry);
        sq_post(t, SQ_ENOMEM, "out of memory for a stream");
        return NULL;
    }
    *s = (sq_tbptt){
        .t = t, .cell = *cell, .drawn = *cell, .o = *options, .state = state, .carry = carry
    };
    s->drawn.step = sqi_step_drawn;
    s->drawn.self = s;
    sqi_stream_begin(s);
    return s;
}

void sq_tbptt_free(sq_tbptt *s)
{
    if (!s) return;
    sqi_meter_clear(&s->meter);
    free(s->pieces);
    free(s->state);
    free(s->carry);
    free(s);
}
