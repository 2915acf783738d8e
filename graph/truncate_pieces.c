/* truncate_pieces.c -- where a stream is divided, and what of it the tape still holds.
 *
 *     |  piece  |  piece  |pc|   piece   |  piece  |        a window reaches into some piece;
 *          [--------- window ------------------- n]         those before it are forgotten
 *
 * Borders are those of updates, of rows that restart, of chunks. Whole pieces are forgotten only,
 * with what was recorded between steps for them. */
#include "graph/truncate_impl.h"
#include "ops/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- Random windows ------------------------------------------------------------------------ */

/* The same value, its gradient multiplied by factor: h + (factor - 1) (h - h'), h' = h without
 * gradient. */
static sq_var scale_gradient(sq_var h, double factor)
{
    return sq_add(h, sq_mul_scalar(sq_sub(h, sq_detach(h)), factor - 1));
}

sq_var sqi_step_drawn(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_tbptt *s = self;
    double kept = 1 - 1 / s->o.mean_window;
    for (int32_t k = 0; k < s->cell.n_states; k++)
        state[k] = scale_gradient(state[k], 1 / kept);
    return s->cell.step(t, s->cell.self, x, state);
}

sq_var sqi_initial_drawn(const sq_tbptt *s, sq_var h)
{
    return scale_gradient(h, 1 - 1 / s->o.mean_window);
}

/* P(l) = (1 - c)^(l-1) c, l = 1, 2, ...: the steps up to and with the first that is cut. */
static int64_t draw_window(sq_tbptt *s)
{
    sq_random r = sq_random_stream(s->o.seed, 0, 0, 0);
    double u = sq_random_uniform(r, s->draws++, 0);
    return 1 + (int64_t)floor(log1p(-u) / log1p(-1 / s->o.mean_window));
}

/* ---- Windows ------------------------------------------------------------------------------- */

/* A random window that ends where the stream does is still open for a loss at the end. */
int64_t sqi_window_begin(const sq_tbptt *s, int64_t n)
{
    if (!sqi_draws_windows(s)) return larger(0, n - s->o.k2);
    return n > s->updated ? s->updated : s->before;
}

void sqi_plan_update(sq_tbptt *s)
{
    s->before = s->updated;
    s->updated = s->steps;
    int64_t length = sqi_draws_windows(s) ? draw_window(s) : s->o.k1;
    s->due = length < INT64_MAX - s->steps ? s->steps + length : INT64_MAX;
}

/* First step that the longer window of the next reading can begin with. */
static int64_t meter_begin(const sq_tbptt *s)
{
    if (!s->o.meter_every) return INT64_MAX;
    if (!s->o.meter_window) return 0;
    int64_t dues = larger(0, s->o.meter_every - 1 - (s->updates - s->read));
    int64_t reach = s->o.meter_window - (s->due - s->steps);
    if (dues && (reach <= 0 || s->o.k1 > reach / dues)) return INT64_MAX;
    return larger(0, s->steps - (reach - dues * s->o.k1));
}

/* ---- Pieces -------------------------------------------------------------------------------- */

/* Steps until the next update, the chunk's end, a row that restarts; with k1 > k2 until the losses
 * begin to count, and never many more than a window, so that memory depends on k2 alone. */
int64_t sqi_piece_length(const sq_tbptt *s, int64_t left, const int32_t *rows)
{
    enum { FEW = 16 };
    int64_t length = lesser(left, s->due - s->steps);
    if (!sqi_draws_windows(s) && s->o.k1 > s->o.k2) {
        int64_t counts = s->due - s->o.k2;
        if (s->steps < counts) length = lesser(length, counts - s->steps);
        length = lesser(length, larger(s->o.k2, FEW));
    }
    for (int64_t i = 1; rows && i < length; i++)
        if (!sqi_rows_go_on(rows + i * s->o.batch, s->o.batch)) return i;
    return length;
}

/* Whether the oldest piece must go, so that the longer window fits its memory. */
static bool meter_is_full(const sq_tbptt *s, size_t bytes, int64_t length)
{
    const sqi_piece *newest = &s->pieces[s->end - 1];
    double more = (double)newest->bytes / (double)newest->steps * (double)length;
    return !s->o.meter_window && (double)bytes + more > (double)s->o.meter_bytes;
}

uint32_t sqi_pieces_needed(const sq_tbptt *s, int64_t length)
{
    int64_t window = sqi_window_begin(s, s->steps + length), meter = meter_begin(s);
    size_t bytes = s->o.meter_every ? sq_tape_statistics(s->t).value_bytes : 0;
    uint32_t kept = s->begin;
    for (; kept < s->end && sqi_piece_end(&s->pieces[kept]) <= window; kept++) {
        if (sqi_piece_end(&s->pieces[kept]) > meter && !meter_is_full(s, bytes, length)) break;
        size_t held = s->pieces[kept].bytes;
        bytes -= held < bytes ? held : bytes;
    }
    return kept;
}

/* States go along, and those that the first piece kept began with: they were recorded before it. */
static bool forget_before(sq_tbptt *s, uint32_t kept)
{
    sq_tape *t = s->t;
    int32_t n = sqi_has_value(s->state[0]) ? s->cell.n_states : 0, starts = 0;
    sq_var *start = kept < s->end ? s->pieces[kept].start : NULL;
    memcpy(s->carry, s->state, (size_t)n * sizeof *s->carry);
    if (start && sqi_has_value(start[0])) starts = s->cell.n_states;
    for (int32_t k = 0; k < starts; k++) s->carry[n + k] = start[k];
    sq_status status = start ? sqi_cut_before(t, s->pieces[kept].ordinal, s->carry, n + starts)
                             : sq_cut(t, 0, s->carry, n);
    if (status) return false;
    memcpy(s->state, s->carry, (size_t)n * sizeof *s->carry);
    for (int32_t k = 0; k < starts; k++) start[k] = s->carry[n + k];
    s->begin = kept;
    return true;
}

bool sqi_pieces_forget(sq_tbptt *s, int64_t length)
{
    uint32_t kept = sqi_pieces_needed(s, length);
    return kept == s->begin || forget_before(s, kept);
}

sqi_piece *sqi_pieces_push(sq_tbptt *s)
{
    if (s->begin > s->room / 2) {
        s->end -= s->begin;
        memmove(s->pieces, s->pieces + s->begin, s->end * sizeof *s->pieces);
        s->begin = 0;
    }
    if (s->end == s->room) {
        uint32_t room = s->room ? 2 * s->room : 8;
        sqi_piece *grown = room > s->room ? realloc(s->pieces, room * sizeof *grown) : NULL;
        if (!grown) return sq_post(s->t, SQ_ENOMEM, "out of memory for %u pieces", room), NULL;
        s->pieces = grown;
        s->room = room;
    }
    return &s->pieces[s->end++];
}

int64_t sqi_on_tape(const sq_tbptt *s, int64_t first)
{
    uint32_t i = s->begin;
    while (i + 1 < s->end && sqi_piece_end(&s->pieces[i]) <= first) i++;
    const sqi_piece *p = &s->pieces[i];
    return first > p->first ? p->on_tape + first - p->first : p->enters;
}
