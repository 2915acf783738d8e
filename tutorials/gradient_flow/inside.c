/* inside.c -- Jacobians, exponents and gates, each a few public calls.
 *
 * Jacobians and gates are those of the window whose gradients are shown; the exponents need a long
 * run and take the whole series. */
#include "inside.h"

#include "progress.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Jacobians ------------------------------------------------------------------------------- */

/* ln of the singular values of dh_t/dh_(t-1) into out[S]; m has room for S x S. */
static void step_singular(model *m, const sq_unrolled *u, int64_t t, double *jacobian,
                          double *out)
{
    int64_t S = sq_jacobian_size(u, SQ_JOINTLY);
    if (sq_jacobian(u, t, t - 1, 0, SQ_JOINTLY, jacobian, NULL)) die("%s", sq_message(m->tape));
    if (sq_svd(S, S, jacobian, out, NULL, NULL))
        die("the Jacobian of step %lld is not finite", (long long)t);
    for (int64_t i = 0; i < S; i++) out[i] = log(out[i]);
}

/* Finding singular values takes longer than a step, so that a few must do. */
int64_t inside_back(int64_t i)
{
    static const uint8_t back[] = { 0,  1,  2,  3,  4,   5,   6,   7,   8,   9,  10,
                                    12, 14, 16, 18, 20,  25,  30,  35,  40,  45, 50,
                                    60, 70, 80, 90, 100, 120, 140, 160, 180, 200 };
    return i < (int64_t)(sizeof back / sizeof *back) ? back[i] : -1;
}

static void step_jacobians(model *m, const sq_unrolled *u, jacobians *j, progress *bar)
{
    size_t S = (size_t)j->size;
    double *matrix = take(S * S, sizeof *matrix);
    j->step = take((size_t)j->steps * S, sizeof(double));
    for (int64_t t = 0; t < j->steps; t++) {
        step_singular(m, u, t, matrix, j->step + (size_t)t * S);
        progress_work(bar, t + 1, "step Jacobians");
    }
    free(matrix);
}

static jacobians jacobians_of(model *m, const sq_unrolled *u, const options *o,
                              const char *title)
{
    jacobians j = { .steps = sq_unrolled_steps(u), .size = sq_jacobian_size(u, SQ_JOINTLY) };
    int64_t last = j.steps - 1;
    progress bar = progress_begin(title, j.steps + 1, o->quiet);
    step_jacobians(m, u, &j, &bar);
    while (inside_back(j.n) >= 0 && inside_back(j.n) <= j.steps) j.n++;
    int64_t *k = take((size_t)j.n, sizeof *k);
    for (int64_t i = 0; i < j.n; i++) k[i] = last - inside_back(i);
    j.product = take((size_t)(j.n * j.size), sizeof(double));
    if (sq_jacobian_log_spectra(u, last, k, j.n, 0, j.product)) die("%s", sq_message(m->tape));
    progress_work(&bar, j.steps + 1, "products of Jacobians");
    progress_end(&bar);
    free(k);
    return j;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median_singular(const jacobians *j, int64_t i)
{
    double *v = take((size_t)j->steps, sizeof *v);
    for (int64_t t = 0; t < j->steps; t++) v[t] = j->step[t * j->size + i];
    qsort(v, (size_t)j->steps, sizeof *v, ascending);
    double median = .5 * (v[j->steps / 2] + v[(j->steps - 1) / 2]);
    free(v);
    return median;
}

/* ---- Lyapunov exponents ---------------------------------------------------------------------- */

static exponents exponents_of(model *m, const lesson *l)
{
    int64_t n = l->s->n;
    exponents e = { .skipped = n / 4 < MAX_SKIPPED ? n / 4 : MAX_SKIPPED };
    sq_tape_reset(m->tape);
    const sq_unrolled *u = model_unroll(m, l->z, n, 1, SQ_OUTPUTS_LAST);
    sq_lyapunov *run = sq_lyapunov_new(&(sq_lyapunov_options){ .skip = e.skipped });
    if (!run) die("out of memory");
    if (sq_lyapunov_add(run, u, 0)) die("%s", sq_message(m->tape));
    e.n = sq_lyapunov_count(run);
    e.points = sq_lyapunov_points(run);
    e.trace = take((size_t)e.points * (size_t)e.n, sizeof(double));
    for (int64_t p = 0; p < e.points; p++)
        memcpy(e.trace + p * e.n, sq_lyapunov_trace(run, p), (size_t)e.n * sizeof(double));
    sq_lyapunov_free(run);
    return e;
}

double exponent_of(const exponents *e, int32_t i)
{
    return e->points && i >= 0 && i < e->n ? e->trace[(e->points - 1) * e->n + i] : (double)NAN;
}

/* ---- Gates ----------------------------------------------------------------------------------- */

static gates gates_of(model *m, const sq_unrolled *u, sq_var loss)
{
    gates g = { .steps = sq_unrolled_steps(u) };
    sq_ledger *ledger = sq_ledger_new(u, loss, &(sq_ledger_options){ .gates = true });
    if (!ledger) die("%s", sq_message(m->tape));
    g.n = sq_ledger_n_gates(ledger);
    if (g.n > MAX_GATES) g.n = MAX_GATES;
    g.at = take((size_t)g.steps * (size_t)g.n, sizeof *g.at);
    for (int32_t i = 0; i < g.n; i++) {
        snprintf(g.name[i], sizeof g.name[i], "%s", sq_ledger_gate_name(ledger, i));
        for (int64_t t = 0; t < g.steps; t++) g.at[t * g.n + i] = sq_ledger_gate(ledger, t, i);
    }
    sq_ledger_free(ledger);
    return g;
}

/* All steps have as many units, so means of means are means; the variance is that within steps
 * plus that of their means. Gradients are norms: their squares add up. */
sq_gate_statistics gate_of(const gates *g, int32_t gate)
{
    sq_gate_statistics s = { 0 };
    double n = (double)g->steps, squares = 0;
    for (int64_t t = 0; t < g->steps; t++) {
        sq_gate_statistics a = g->at[t * g->n + gate];
        s.mean += a.mean / n;
        squares += (a.deviation * a.deviation + a.mean * a.mean) / n;
        s.saturated += a.saturated / n;
        s.gradient += a.gradient * a.gradient;
    }
    s.deviation = sqrt(fmax(0, squares - s.mean * s.mean));
    s.gradient = sqrt(s.gradient);
    return s;
}

/* ---- All of it ------------------------------------------------------------------------------- */

inside inside_of(model *m, const lesson *l, const options *o, const char *title,
                 const char *moment)
{
    inside in = { .moment = moment, .first = l->s->n - 1 - o->steps };
    sq_var loss;
    snprintf(in.title, sizeof in.title, "%s", title);
    bool depth = wants_depth(o), jacobian = o->jacobian || depth;
    if (jacobian || o->gates) {
        const sq_unrolled *u = flow_record(m, l, o->steps, &loss);
        if (o->gates) in.g = gates_of(m, u, loss);
        if (jacobian) in.j = jacobians_of(m, u, o, title);
    }
    if (o->lyapunov || depth) in.e = exponents_of(m, l);
    return in;
}

void inside_free(inside *in)
{
    free(in->j.step);
    free(in->j.product);
    free(in->e.trace);
    free(in->g.at);
}
