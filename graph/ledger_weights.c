/* ledger_weights.c -- dL/dW|_(t): what every step sends to every weight.
 *
 * A probe hands the parts in, the newest step first (core/backward_impl.h). Norms alone ride on the
 * sweep for the totals of states. Where more is asked for, that sweep brings dL/dW instead, summed as
 * sq_backward sums it, and another one the parts, each looked at when its step is over: norm, cosine
 * with dL/dW, share of what comes from far, values. */
#include "core/norm_impl.h"
#include "graph/ledger_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INSIDE, OUTSIDE };

/* ---- Collecting ---------------------------------------------------------------------------- */

static char *block_of(const sqi_by_step *w, char *flat, int64_t i)
{
    return flat + (size_t)w->offset[i] * sq_dtype_size(w->dtype);
}

static double element(const sqi_by_step *w, const void *x, int64_t i)
{
    return w->dtype == SQ_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static double norm_of(const sqi_by_step *w, char *flat, int64_t i)
{
    return sqi_norm(w->kern, w->dtype, w->extent[i], block_of(w, flat, i));
}

/* A power of two that brings a norm near 1, as far as there is one. */
static double scale_of(double norm)
{
    int e = 0;
    if (!isnan(norm) && !isinf(norm)) (void)frexp(norm, &e);
    return ldexp(1, e > -1000 ? -e : 1000);
}

/* sum (fa a)(fb b), by four partial sums. */
static double dot(const sqi_by_step *w, const void *a, double fa, const void *b, double fb,
                  int64_t n)
{
    double sum[4] = { 0 };
    const float *fx = a, *fy = b;
    const double *dx = a, *dy = b;
    if (w->dtype == SQ_F32)
        for (int64_t j = 0; j < n; j++)
            sum[j % 4] += ((double)fx[j] * fa) * ((double)fy[j] * fb);
    else
        for (int64_t j = 0; j < n; j++) sum[j % 4] += (dx[j] * fa) * (dy[j] * fb);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Scaled, so that no product leaves the range of numbers; with nothing it is 0. */
static double cosine(const sqi_by_step *w, char *part, double norm, int64_t i)
{
    double fa = scale_of(norm), fb = scale_of(w->total[i]);
    if (norm == 0 || w->total[i] == 0) return 0;
    double sum = dot(w, block_of(w, part, i), fa, block_of(w, w->whole, i), fb, w->extent[i]);
    return sum / ((norm * fa) * (w->total[i] * fb));
}

static void add(const sqi_by_step *w, char *part, int64_t i, double *to)
{
    const char *a = block_of(w, part, i);
    for (int64_t j = 0; j < w->extent[i]; j++) to[w->offset[i] + j] += element(w, a, j);
}

/* Writes down what an entry sent to weight i. */
static void tell(sqi_by_step *w, int64_t entry, char *part, double norm, int64_t i)
{
    w->norm[entry * w->n + i] = norm;
    w->used[i] = true;
    if (w->cosine) w->cosine[entry * w->n + i] = cosine(w, part, norm, i);
    if (!w->values) return;
    add(w, part, i, w->values + entry * w->size);
    add(w, part, i, w->sum);
}

/* An entry is over, or the sweep. The loss lies where something first flows to a weight. */
static void flush(sqi_by_step *w, int place, int64_t entry)
{
    for (int64_t i = 0; i < w->n; i++) {
        if (!w->open[place][i]) continue;
        bool asks = w->collect == SQI_TELL || w->newest < 0;
        double norm = asks ? norm_of(w, w->part[place], i) : 0;
        if (w->collect == SQI_TELL) tell(w, entry, w->part[place], norm, i);
        if (place == INSIDE && w->newest < 0 && norm != 0) w->newest = entry;
        bool far = w->adds_far && place == INSIDE && w->newest - entry > w->far_steps;
        if (far) add(w, w->part[place], i, w->far);
        w->open[place][i] = false;
    }
}

static void *open_part(sqi_parts *p, sq_tape *t, sq_weight weight, int64_t step)
{
    sqi_by_step *w = (sqi_by_step *)p;
    int64_t entry = sqi_entry_of(w->entries, step), i = weight.id - 1;
    int place = entry == w->entries->n ? OUTSIDE : INSIDE;
    (void)t;
    if (place == INSIDE && entry != w->at) {
        flush(w, INSIDE, w->at);
        w->at = entry;
    }
    char *at = block_of(w, w->part[place], i);
    if (!w->open[place][i]) memset(at, 0, (size_t)w->extent[i] * sq_dtype_size(w->dtype));
    w->open[place][i] = true;
    return at;
}

/* Not where the parts themselves are asked for, nor where an entry has several steps whose parts add
 * up. */
static bool by_norm(const sqi_parts *p, sq_weight weight, int64_t step)
{
    const sqi_by_step *w = (const sqi_by_step *)p;
    const sqi_entries *e = w->entries;
    int64_t entry = sqi_entry_of(e, step);
    if (w->exact || entry == e->n) return false;
    int64_t first = entry ? e->last[entry - 1] + 1 : e->first;
    bool begun = entry == w->at && w->open[INSIDE][weight.id - 1];
    return first == e->last[entry] && !begun;
}

static void take_norm(sqi_parts *p, sq_weight weight, int64_t step, double norm)
{
    sqi_by_step *w = (sqi_by_step *)p;
    w->norm[sqi_entry_of(w->entries, step) * w->n + weight.id - 1] = norm;
    w->used[weight.id - 1] = true;
}

/* ---- Memory -------------------------------------------------------------------------------- */

static bool make_blocks(sqi_by_step *w, sq_tape *t)
{
    size_t n = (size_t)w->n, size = (size_t)w->size, real = sq_dtype_size(w->dtype);
    for (int place = INSIDE; place <= OUTSIDE; place++) {
        w->part[place] = sqi_ledger_take(t, size, real);
        w->open[place] = sqi_ledger_take(t, n, sizeof(bool));
        if (!w->part[place] || !w->open[place]) return false;
    }
    w->used = sqi_ledger_take(t, n, sizeof *w->used);
    w->offset = sqi_ledger_take(t, n, sizeof *w->offset);
    w->extent = sqi_ledger_take(t, n, sizeof *w->extent);
    if (w->exact) w->whole = sqi_ledger_take(t, size, real);
    for (int64_t i = 0; !t->error.status && i < w->n; i++) {
        const sqi_weight_entry *e =
            sqi_weight_entry_of(t->params, (sq_weight){ (int32_t)i + 1 });
        w->offset[i] = e->offset;
        w->extent[i] = e->size;
    }
    return !t->error.status;
}

static bool make_numbers(sqi_by_step *w, sq_tape *t, const sq_ledger_options *o)
{
    size_t n = (size_t)w->n, size = (size_t)w->size, rows = (size_t)w->entries->n + 1;
    if (size && rows > SIZE_MAX / 16 / size)
        return sq_post(t, SQ_ENOMEM, "out of memory for the weights of %zu steps", rows);
    w->norm = sqi_ledger_take(t, rows * n, sizeof *w->norm);
    w->total = sqi_ledger_take(t, n, sizeof *w->total);
    w->share = sqi_ledger_take(t, n, sizeof *w->share);
    if (o->far_steps) w->cosine = sqi_ledger_take(t, rows * n, sizeof *w->cosine);
    if (o->far_steps) w->far = sqi_ledger_take(t, size, sizeof *w->far);
    if (o->contribution) w->values = sqi_ledger_take(t, rows * size, sizeof *w->values);
    if (o->contribution) w->sum = sqi_ledger_take(t, size, sizeof *w->sum);
    return !t->error.status;
}

/* What is recorded is used, whether the loss reaches it or not: its parts are 0 then. Uses of steps
 * that are not kept show when they are swept. */
static void find_used(const sqi_by_step *w, const sq_tape *t)
{
    for (uint32_t j = 0; j <= t->n_live; j++) {
        const sqi_segment *g = j < t->n_live ? t->live[j] : t->root;
        for (uint32_t i = 1; i < g->n_nodes; i++) {
            const sqi_node *n = &g->nodes[i];
            bool use = n->op == &sqi_op_use && n->flags & SQI_NEEDS && !(n->flags & SQI_DEAD);
            if (use) w->used[n->source - 1] = true;
        }
    }
}

bool sqi_by_step_new(sq_ledger *l, const sqi_subject *s)
{
    sqi_by_step *w = sqi_ledger_take(s->t, 1, sizeof *w);
    if (!w) return false;
    l->weights = w;
    *w = (sqi_by_step){ .parts = { .open = open_part, .by_norm = by_norm, .norm = take_norm },
                        .entries = &l->entries,
                        .kern = s->t->kern,
                        .dtype = s->t->dtype,
                        .exact = s->options.contribution || s->options.far_steps,
                        .n = s->t->params ? sq_params_count(s->t->params) : 0,
                        .size = s->t->params ? sq_params_size(s->t->params) : 0,
                        .at = l->entries.n,
                        .far_steps = s->options.far_steps };
    if (!make_blocks(w, s->t) || !make_numbers(w, s->t, &s->options)) return false;
    find_used(w, s->t);
    return true;
}

void sqi_by_step_free(sqi_by_step *w)
{
    if (!w) return;
    for (int place = INSIDE; place <= OUTSIDE; place++) {
        free(w->part[place]);
        free(w->open[place]);
    }
    void *const all[] = { w->used,  w->offset, w->extent, w->whole,  w->norm, w->total,
                          w->share, w->cosine, w->far,    w->values, w->sum };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(w);
}

/* ---- Sweeps -------------------------------------------------------------------------------- */

sqi_parts *sqi_by_step_first(sqi_by_step *w)
{
    w->parts.whole = w->whole;
    return &w->parts;
}

void sqi_by_step_swept(sqi_by_step *w)
{
    flush(w, INSIDE, w->at);
    flush(w, OUTSIDE, w->entries->n);
    w->at = w->entries->n;
    w->parts.whole = NULL;
}

/* Without losses to tell where it lies, the loss is one at the last step. */
bool sqi_by_step_collect(sq_ledger *l, const sqi_subject *s)
{
    sqi_by_step *w = l->weights;
    if (!w->exact) return true;
    for (int64_t i = 0; i < w->n; i++) w->total[i] = norm_of(w, w->whole, i);
    w->newest = w->entries->n - 1;
    w->adds_far = w->far && !s->options.n_losses;
    if (sqi_probe_from(s->loss, NULL, &w->parts)) return false;
    sqi_by_step_swept(w);
    return true;
}

sqi_parts *sqi_by_step_far(sqi_by_step *w)
{
    w->collect = SQI_FAR;
    w->adds_far = w->far != NULL;
    w->newest = -1;
    return w->far ? &w->parts : NULL;
}

void sqi_by_step_finish(sqi_by_step *w)
{
    for (int64_t i = 0; i < w->n && w->far; i++) {
        double far = sqi_norm(w->kern, SQ_F64, w->extent[i], w->far + w->offset[i]);
        w->share[i] = far == 0 ? 0 : far / w->total[i];
    }
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* The number of a weight that is used, or -1. */
static int64_t number_of(const sq_ledger *l, sq_weight weight)
{
    const sqi_by_step *w = l ? l->weights : NULL;
    bool known = w && weight.id >= 1 && weight.id <= w->n;
    return known && w->used[weight.id - 1] ? weight.id - 1 : -1;
}

static double of_step(const sq_ledger *l, int64_t step, sq_weight weight, const double *of)
{
    int64_t i = number_of(l, weight);
    bool there = i >= 0 && of && step >= 0 && step <= l->entries.n;
    return there ? of[step * l->weights->n + i] : (double)NAN;
}

int64_t sq_ledger_n_weights(const sq_ledger *l) { return l && l->weights ? l->weights->n : 0; }

double sq_ledger_weight(const sq_ledger *l, int64_t step, sq_weight w)
{
    return of_step(l, step, w, l && l->weights ? l->weights->norm : NULL);
}

double sq_ledger_weight_cosine(const sq_ledger *l, int64_t step, sq_weight w)
{
    return of_step(l, step, w, l && l->weights ? l->weights->cosine : NULL);
}

double sq_ledger_weight_total(const sq_ledger *l, sq_weight w)
{
    int64_t i = number_of(l, w);
    return i >= 0 && l->weights->exact ? l->weights->total[i] : (double)NAN;
}

double sq_ledger_weight_far(const sq_ledger *l, sq_weight w)
{
    int64_t i = number_of(l, w);
    return i >= 0 && l->weights->far ? l->weights->share[i] : (double)NAN;
}

const double *sq_ledger_weight_values(const sq_ledger *l, int64_t step, sq_weight w)
{
    int64_t i = number_of(l, w);
    bool there = i >= 0 && l->weights->values && step >= 0 && step <= l->entries.n;
    return there ? l->weights->values + step * l->weights->size + l->weights->offset[i] : NULL;
}

/* |sum - whole| of one weight. */
static double difference(const sqi_by_step *w, int64_t i)
{
    const char *whole = block_of(w, w->whole, i);
    const double *sum = w->sum + w->offset[i];
    double largest = 0, squares = 0;
    for (int64_t j = 0; j < w->extent[i]; j++) {
        double d = fabs(sum[j] - element(w, whole, j));
        if (isnan(d)) return d;
        largest = d > largest ? d : largest;
    }
    for (int64_t j = 0; largest > 0 && j < w->extent[i]; j++) {
        double d = (sum[j] - element(w, whole, j)) / largest;
        squares += d * d;
    }
    return largest * sqrt(squares);
}

double sq_ledger_identity(const sq_ledger *l)
{
    const sqi_by_step *w = l ? l->weights : NULL;
    double largest = 0;
    if (!w || !w->sum) return (double)NAN;
    for (int64_t i = 0; i < w->n; i++) {
        double d = difference(w, i);
        if (isnan(d)) return d;
        if (d > 0) d /= w->total[i];
        largest = d > largest ? d : largest;
    }
    return largest;
}
