/* decode.c -- the loop in which a step is told what the one before it said.
 *
 * One loop serves all: tell the rows their symbols, take a step, read the scores, choose. Teacher
 * forcing chooses nothing and is an unroll instead. */
#include "graph/decode_impl.h"
#include "graph/unroll_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Choosing ------------------------------------------------------------------------------ */

int32_t sq_choose(int64_t n, const double *scores, double temperature, double u)
{
    int64_t best = -1, last = -1;
    for (int64_t c = 0; c < n; c++) {
        if (isnan(scores[c])) return -1;
        if (scores[c] > (best < 0 ? -(double)INFINITY : scores[best])) best = c;
    }
    if (best < 0 || !(temperature > 0) || isinf(scores[best])) return (int32_t)best;
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += exp((scores[c] - scores[best]) / temperature);
    u *= sum;
    for (int64_t c = 0; c < n; c++) {
        double p = exp((scores[c] - scores[best]) / temperature);
        if (p > 0) last = c;
        if ((u -= p) < 0) return (int32_t)c;
    }
    return (int32_t)last;
}

static double within(double p) { return p > 0 ? p < 1 ? p : 1 : 0; }

double sq_own_linear(int64_t i, double slope, double most)
{
    double p = slope * (double)(i < 0 ? 0 : i);
    return within(p > most ? most : p);
}

double sq_own_exponential(int64_t i, double k)
{
    return within(1 - pow(within(k), (double)(i < 0 ? 0 : i)));
}

double sq_own_sigmoid(int64_t i, double k)
{
    return k >= 1 ? within(1 - k / (k + exp((double)(i < 0 ? 0 : i) / k))) : 1;
}

/* ---- The loop ------------------------------------------------------------------------------ */

void *sqi_decode_take(sq_tape *t, int64_t n, size_t size)
{
    void *at = n >= 0 && (uint64_t)n < SIZE_MAX / 2 / size ? calloc((size_t)n + 1, size) : NULL;
    if (!at) sq_post(t, SQ_ENOMEM, "out of memory for %lld numbers", (long long)n);
    return at;
}

static bool check(sq_tape *t, const sq_decoder *d, int64_t steps, int64_t rows)
{
    if (!d || !d->cell || !d->cell->step || !d->input || d->cell->n_states < 0 ||
        (d->cell->n_states && !d->cell->width))
        return sq_post(t, SQ_EVALUE, "a decoder needs a cell and an input");
    return (steps >= 0 && rows >= 0) ||
           sq_post(t, SQ_ERANGE, "cannot decode %lld steps of %lld rows", (long long)steps,
                   (long long)rows);
}

/* State k for every row of the batch: the one given, or zeros. It is not left to the step, where a
 * state of one row would stretch to all of them. */
static bool take_state(sqi_decoding *w, const sq_var *state0, int32_t k, int64_t batch)
{
    const sq_cell *cell = w->d->cell;
    bool given = state0 && state0[k].tape && sqi_index(state0[k].id);
    w->state[k] = given ? state0[k] : sq_zeros(w->t, sq_mat(batch, cell->width[k]));
    return sqi_begin(w->t, "decode") && sqi_node_of(w->t, w->state[k], "a state") &&
           sqi_check_state(w->t, "decode", cell, k, w->state[k], batch);
}

bool sqi_decoding_open(sqi_decoding *w, sq_tape *t, const sq_decoder *d, const sq_var *state0,
                       int64_t steps, int64_t batch, int64_t width)
{
    *w = (sqi_decoding){ .t = t, .d = d, .rows = batch * width };
    if (!sqi_begin(t, "decode") || !check(t, d, steps, batch)) return false;
    int32_t n = d->cell->n_states;
    w->state = sqi_decode_take(t, n, sizeof *w->state);
    w->told = sqi_decode_take(t, w->rows, sizeof *w->told);
    if (!w->state || !w->told) return false;
    for (int32_t k = 0; k < n; k++) {
        if (!take_state(w, state0, k, batch)) return false;
        if (width > 1) w->state[k] = sq_repeat_rows(w->state[k], width);
    }
    for (int64_t r = 0; r < w->rows; r++) w->told[r] = d->start;
    return !t->error.status;
}

void sqi_decoding_close(sqi_decoding *w)
{
    free(w->state);
    free(w->told);
    free(w->scores);
    sq_end_step(w->t);
}

/* The scores are [rows,V]; the first ones tell V. */
static bool take_scores(sqi_decoding *w, sq_var s)
{
    sq_shape shape = sq_shape_of(s);
    char text[SQ_SHAPE_TEXT];
    if (!sqi_begin(w->t, "decode")) return false;
    bool fits = shape.rank == 2 && shape.dim[0] == w->rows && shape.dim[1] > 0;
    if (!fits || (w->scores && shape.dim[1] != w->symbols))
        return sq_post(w->t, SQ_ESHAPE, "the scores of %lld rows have shape %s",
                       (long long)w->rows, sq_shape_text(shape, text));
    w->symbols = shape.dim[1];
    if (!w->scores) w->scores = sqi_decode_take(w->t, sq_shape_size(shape), sizeof *w->scores);
    return w->scores && !sq_copy_f64(s, w->scores);
}

bool sqi_decoding_step(sqi_decoding *w, sq_var *scores)
{
    const sq_decoder *d = w->d;
    sq_begin_step(w->t);
    sq_var x = d->input(w->t, d->context, w->told, w->rows);
    sq_var y = d->cell->step(w->t, d->cell->self, x, w->state);
    *scores = d->scores ? d->scores(w->t, d->context, y) : y;
    w->step++;
    return take_scores(w, *scores);
}

/* What row r would say itself. */
static int32_t own_choice(const sqi_decoding *w, const sq_decode_options *o, int64_t r)
{
    sq_random random = sq_random_stream(o->seed, 0, (uint64_t)w->step, 0);
    double u = o->temperature > 0 ? sq_random_uniform(random, (uint64_t)r, 0) : 0;
    int32_t c = sq_choose(w->symbols, w->scores + r * w->symbols, o->temperature, u);
    if (c < 0 && sqi_begin(w->t, "decode"))
        sq_post(w->t, SQ_EVALUE, "row %lld has no likeliest symbol: its scores are NaN or -inf",
                (long long)r);
    return c;
}

static bool check_options(sq_tape *t, const sq_decode_options *o)
{
    return (o->own >= 0 && o->own <= 1 && o->temperature >= 0 && !isinf(o->temperature)) ||
           sq_post(t, SQ_EVALUE, "own is %g, of 0 to 1, and temperature %g", o->own,
                   o->temperature);
}

/* ---- Given symbols ------------------------------------------------------------------------- */

/* All steps at once, every symbol being known. */
static sq_var forced(sq_tape *t, const sq_decoder *d, const sq_var *state0, const int32_t *ids,
                     int64_t steps, int64_t batch, const sq_decode_options *o)
{
    int64_t n = steps * batch;
    int32_t *told = sqi_decode_take(t, n, sizeof *told);
    if (!told) return sqi_none(t);
    for (int64_t i = 0; i < n; i++) told[i] = i < batch ? d->start : ids[i - batch];
    sq_var x = d->input(t, d->context, told, n);
    free(told);
    sq_shape s = sq_shape_of(x);
    if (!t->error.status && (s.rank != 2 || s.dim[0] != n)) {
        char text[SQ_SHAPE_TEXT];
        sq_post(t, SQ_ESHAPE, "the inputs of %lld symbols have shape %s", (long long)n,
                sq_shape_text(s, text));
    }
    if (t->error.status) return sqi_none(t);
    x = sq_reshape(x, sq_shape3(steps, batch, s.dim[1]));
    const sq_unrolled *u =
        sq_unroll(t, d->cell, x, state0, &(sq_unroll_options){ .mode = o->mode });
    sq_var y = sq_unrolled_outputs(u);
    s = sq_shape_of(y);
    if (t->error.status) return sqi_none(t);
    y = sq_reshape(y, sq_mat(n, n ? sq_shape_size(s) / n : 0));
    y = d->scores ? d->scores(t, d->context, y) : y;
    s = sq_shape_of(y);
    return sq_reshape(y, sq_shape3(steps, batch, s.rank == 2 ? s.dim[1] : 0));
}

/* Which symbol each row is told after step w->step - 1, of which it should say `truth`. */
static bool tell(sqi_decoding *w, const sq_decode_options *o, const int32_t *truth)
{
    sq_random random = sq_random_stream(o->seed, 0, (uint64_t)w->step, 1);
    for (int64_t r = 0; r < w->rows; r++) {
        bool own = o->own >= 1 || sq_random_uniform(random, (uint64_t)r, 0) < o->own;
        w->told[r] = own ? own_choice(w, o, r) : truth[r];
        if (w->told[r] < 0 && own) return false;
    }
    return true;
}

static sq_var scheduled(sqi_decoding *w, const int32_t *ids, int64_t steps,
                        const sq_decode_options *o)
{
    sq_tape *t = w->t;
    sq_var *scores = sqi_decode_take(t, steps, sizeof *scores);
    for (int64_t i = 0; scores && i < steps; i++) {
        if (!sqi_decoding_step(w, &scores[i])) break;
        if (i + 1 < steps && !tell(w, o, ids + i * w->rows)) break;
    }
    sq_end_step(t);
    sq_var all = t->error.status ? sqi_none(t) : sq_stack(scores, (int32_t)steps);
    free(scores);
    return all;
}

sq_var sq_decode_given(sq_tape *t, const sq_decoder *d, const sq_var *state0,
                       const int32_t *ids, int64_t steps, int64_t batch,
                       const sq_decode_options *options)
{
    sq_decode_options o = options ? *options : (sq_decode_options){ .own = 0 };
    sqi_decoding w;
    if (!sqi_begin(t, "decode") || !check(t, d, steps, batch) || !check_options(t, &o))
        return sqi_none(t);
    bool few = steps <= INT32_MAX && (!batch || steps <= INT64_MAX / 8 / batch);
    if (!few)
        sq_post(t, SQ_ERANGE, "cannot decode %lld steps of %lld rows", (long long)steps,
                (long long)batch);
    else if (!ids && steps > 1 && batch) sq_post(t, SQ_EVALUE, "the symbols are NULL");
    if (t->error.status) return sqi_none(t);
    if (!steps || !batch) return sq_zeros(t, sq_shape3(steps, batch, 0));
    if (o.own <= 0) return forced(t, d, state0, ids, steps, batch, &o);
    bool ok = sqi_decoding_open(&w, t, d, state0, steps, batch, 1);
    sq_var all = ok ? scheduled(&w, ids, steps, &o) : sqi_none(t);
    sqi_decoding_close(&w);
    return all;
}

/* ---- Free running -------------------------------------------------------------------------- */

/* Chooses for every row that has not said stop; how many rows go on. */
static int64_t say(sqi_decoding *w, const sq_decode_options *o, int32_t *ids, int64_t *lengths)
{
    int64_t going = 0;
    for (int64_t r = 0; r < w->rows; r++) {
        bool ended = w->d->stop >= 0 && w->step > 1 && w->told[r] == w->d->stop;
        ids[r] = ended ? w->d->stop : own_choice(w, o, r);
        if (!ended && lengths) lengths[r] = w->step;
        w->told[r] = ids[r];
        going += w->d->stop < 0 || ids[r] != w->d->stop;
    }
    return going;
}

int64_t sq_decode(sq_tape *t, const sq_decoder *d, const sq_var *state0, int64_t steps,
                  int64_t batch, const sq_decode_options *options, int32_t *ids,
                  int64_t *lengths)
{
    sq_decode_options o = options ? *options : (sq_decode_options){ .own = 0 };
    sqi_decoding w = { .t = t };
    if (!sqi_begin(t, "decode") || !check_options(t, &o)) return -1;
    bool ok = sqi_decoding_open(&w, t, d, state0, steps, batch, 1);
    if (ok && !ids && steps && batch)
        ok = sq_post(t, SQ_EVALUE, "there is no room for the symbols");
    for (int64_t r = 0; ok && lengths && r < batch; r++) lengths[r] = 0;
    int64_t going = ok && batch ? 1 : 0;
    while (going && w.step < steps) {
        sq_var scores;
        if (!sqi_decoding_step(&w, &scores)) break;
        going = say(&w, &o, ids + (w.step - 1) * batch, lengths);
        if (t->error.status) break;
    }
    for (int64_t i = w.step * batch; ok && i < steps * batch; i++) ids[i] = d->stop;
    sqi_decoding_close(&w);
    return t->error.status ? -1 : w.step;
}
