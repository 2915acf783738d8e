/* beam.c -- the best beginnings side by side.
 *
 * Row b of the batch stands `width` times, one beginning each. After a step every beginning b and
 * symbol c is a candidate with log p(b) + log p(c | b); the best `width` of a row become its
 * beginnings, states following their parents. A finished one is a candidate as it is. */
#include "graph/decode_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct beginning {
    double score, log_p;
    int64_t length, parent; /* parent: of the row's beginnings */
    int32_t said;           /* the last symbol */
    bool there, ended;      /* !there: there are fewer beginnings than places */
} beginning;

typedef struct search {
    sqi_decoding w;
    int64_t batch, width, steps;
    double penalty;
    beginning *now, *next; /* [batch,width], best first */
    int32_t *ids, *copy;   /* [batch,width,steps]; of one row */
    int32_t *parents;      /* [rows] */
    double *log_p;         /* [symbols] of one beginning */
} search;

static const beginning nothing = { -HUGE_VAL, -HUGE_VAL, 0, 0, 0, false, false };

static double score_of(const search *s, double log_p, int64_t length)
{
    return log_p / pow((5 + (double)length) / 6, s->penalty);
}

/* Puts a candidate in its place among the row's best; of equals the first stays in front. */
static void offer(const search *s, beginning *best, beginning c)
{
    int64_t at = s->width;
    if (!(c.score > best[at - 1].score)) return;
    while (at > 0 && c.score > best[at - 1].score) at--;
    memmove(best + at + 1, best + at, (size_t)(s->width - at - 1) * sizeof *best);
    best[at] = c;
}

/* scores to log-probabilities, those of +inf sharing all of it; false when some is NaN or none
 * above -inf. */
static bool normalise(const double *scores, int64_t n, double *log_p)
{
    double most = -HUGE_VAL, sum = 0;
    for (int64_t c = 0; c < n; c++) {
        if (isnan(scores[c])) return false;
        most = scores[c] > most ? scores[c] : most;
    }
    if (!(most > -HUGE_VAL)) return false;
    for (int64_t c = 0; c < n; c++) log_p[c] = scores[c] == most ? 0 : scores[c] - most;
    for (int64_t c = 0; c < n; c++) sum += exp(log_p[c]);
    for (int64_t c = 0; c < n; c++) log_p[c] -= log(sum);
    return true;
}

/* What becomes of one beginning. */
static bool continue_one(search *s, int64_t b, int64_t k, beginning *best)
{
    const beginning *from = &s->now[b * s->width + k];
    const sqi_decoding *w = &s->w;
    beginning c = *from;
    c.parent = k;
    if (!from->there) return true;
    if (from->ended) return offer(s, best, c), true;
    if (!normalise(w->scores + (b * s->width + k) * w->symbols, w->symbols, s->log_p))
        return sqi_begin(w->t, "beam_search") &&
               sq_post(w->t, SQ_EVALUE,
                       "row %lld has no likeliest symbol: its scores are NaN or -inf",
                       (long long)b);
    for (int64_t y = 0; y < w->symbols; y++) {
        c.log_p = from->log_p + s->log_p[y];
        c.length = from->length + 1;
        c.score = score_of(s, c.log_p, c.length);
        c.said = (int32_t)y;
        c.ended = w->d->stop >= 0 && y == w->d->stop;
        offer(s, best, c);
    }
    return true;
}

/* Symbols follow their beginnings. */
static void rewrite(search *s, int64_t b)
{
    int64_t n = s->width * s->steps;
    int32_t *row = s->ids + b * n;
    memcpy(s->copy, row, (size_t)n * sizeof *row);
    for (int64_t k = 0; k < s->width; k++) {
        const beginning *c = &s->now[b * s->width + k];
        memcpy(row + k * s->steps, s->copy + c->parent * s->steps,
               (size_t)s->steps * sizeof *row);
        if (c->there && c->length == s->w.step) row[k * s->steps + s->w.step - 1] = c->said;
    }
}

/* Chooses the next beginnings; how many of all rows have not ended, or -1 after posting. */
static int64_t choose(search *s)
{
    int64_t going = 0;
    for (int64_t b = 0; b < s->batch; b++) {
        beginning *best = s->next + b * s->width;
        for (int64_t k = 0; k < s->width; k++) best[k] = nothing;
        for (int64_t k = 0; k < s->width; k++)
            if (!continue_one(s, b, k, best)) return -1;
    }
    beginning *now = s->now;
    s->now = s->next;
    s->next = now;
    for (int64_t b = 0; b < s->batch; b++) rewrite(s, b);
    for (int64_t r = 0; r < s->w.rows; r++) {
        const beginning *c = &s->now[r];
        bool goes = c->there && !c->ended;
        s->parents[r] = (int32_t)(r / s->width * s->width + c->parent);
        s->w.told[r] = goes ? c->said : s->w.d->start;
        going += goes;
    }
    return going;
}

static void follow_parents(search *s)
{
    bool moved = false;
    for (int64_t r = 0; r < s->w.rows; r++) moved |= s->parents[r] != r;
    for (int32_t k = 0; moved && k < s->w.d->cell->n_states; k++)
        s->w.state[k] = sq_gather(s->w.state[k], s->parents, s->w.rows);
}

static bool open_search(search *s)
{
    sq_tape *t = s->w.t;
    int64_t n = s->w.rows;
    s->now = sqi_decode_take(t, n, sizeof *s->now);
    s->next = sqi_decode_take(t, n, sizeof *s->next);
    s->parents = sqi_decode_take(t, n, sizeof *s->parents);
    s->copy = sqi_decode_take(t, s->width * s->steps, sizeof *s->copy);
    if (!s->now || !s->next || !s->parents || !s->copy) return false;
    for (int64_t r = 0; r < n; r++) {
        s->now[r] = nothing;
        if (r % s->width) continue;
        s->now[r].there = true;
        s->now[r].score = s->now[r].log_p = 0;
    }
    for (int64_t i = 0; i < n * s->steps; i++) s->ids[i] = s->w.d->stop;
    return true;
}

static void run_search(search *s)
{
    sq_tape *t = s->w.t;
    int64_t going = s->batch;
    while (going > 0 && s->w.step < s->steps) {
        sq_var scores;
        if (!sqi_decoding_step(&s->w, &scores)) return;
        if (!s->log_p) s->log_p = sqi_decode_take(t, s->w.symbols, sizeof *s->log_p);
        going = s->log_p ? choose(s) : -1;
        if (going > 0) follow_parents(s);
    }
}

static void tell_beams(const search *s, sq_beam *beams)
{
    for (int64_t r = 0; r < s->w.rows; r++)
        beams[r] = (sq_beam){ s->now[r].score, s->now[r].log_p, s->now[r].length };
}

int64_t sq_beam_search(sq_tape *t, const sq_decoder *d, const sq_var *state0, int64_t steps,
                       int64_t batch, int64_t width, double length_penalty, sq_beam *beams,
                       int32_t *ids)
{
    search s = { .batch = batch, .width = width, .steps = steps, .penalty = length_penalty };
    s.ids = ids;
    if (!sqi_begin(t, "beam_search")) return -1;
    bool fits = width >= 1 && batch >= 0 && steps >= 0 && width <= INT32_MAX &&
                (!batch || width <= INT32_MAX / batch) &&
                (!steps || !batch || width * batch <= INT64_MAX / 16 / steps);
    if (!fits)
        sq_post(t, SQ_ERANGE, "cannot search %lld beams of %lld rows over %lld steps",
                (long long)width, (long long)batch, (long long)steps);
    else if (!isfinite(length_penalty))
        sq_post(t, SQ_ERANGE, "a length penalty of %g", length_penalty);
    else if (batch && (!beams || (!ids && steps)))
        sq_post(t, SQ_EVALUE, "there is no room for the beams");
    if (t->error.status) return -1;
    if (sqi_decoding_open(&s.w, t, d, state0, steps, batch, width) && open_search(&s)) {
        run_search(&s);
        tell_beams(&s, beams);
    }
    sqi_decoding_close(&s.w);
    void *const all[] = { s.now, s.next, s.parents, s.copy, s.log_p };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    return t->error.status ? -1 : s.w.step;
}

sq_var sq_repeat_rows(sq_var x, int64_t n)
{
    sq_tape *t = x.tape;
    if (!sqi_begin(t, "repeat_rows")) return sqi_none(t);
    sq_shape s = sq_shape_of(x);
    if (t->error.status) return sqi_none(t);
    bool fits = s.rank >= 1 && n >= 0 && (!s.dim[0] || n <= INT32_MAX / s.dim[0]);
    if (!fits && sqi_begin(t, "repeat_rows")) {
        char text[SQ_SHAPE_TEXT];
        sq_post(t, SQ_ERANGE, "cannot repeat the rows of %s %lld times", sq_shape_text(s, text),
                (long long)n);
        return sqi_none(t);
    }
    int32_t *ids = sqi_decode_take(t, s.dim[0] * n, sizeof *ids);
    for (int64_t i = 0; ids && i < s.dim[0] * n; i++) ids[i] = (int32_t)(i / n);
    sq_var y = ids ? sq_gather(x, ids, s.dim[0] * n) : sqi_none(t);
    free(ids);
    return y;
}
