/* network_page.c -- one trained network as the library's own page shows it (graph/report.h).
 *
 * Here every forecast of the window counts, L = sum_t (y_t - z_(t+1))^2, so that there is a table of
 * which loss reaches how far back, and a share of dL/dW that a truncation would lose. */
#include "output.h"
#include "report.h"

#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Steps: the cycle of the sunspots. */
enum { FAR = 11 };

/* A text written by a function that works like snprintf. */
static void write_form(const sq_report *r, size_t (*form)(const sq_report *, char *, size_t),
                       const char *path)
{
    size_t n = form(r, NULL, 0);
    char *text = take(n + 1, 1);
    form(r, text, n + 1);
    FILE *out = output_open(path);
    fputs(text, out);
    output_close(out, path);
    free(text);
}

/* (y_t - z_(t+1))^2 for every t: [T,1,1], as many losses as steps. */
static sq_var losses_of(model *m, const sq_unrolled *u, const double *next, int64_t steps)
{
    sq_var target = sq_input(m->tape, sq_shape3(steps, 1, 1), next);
    return sq_square(sq_sub(model_forecast(m, u), target));
}

static double *singular_of(const jacobians *j)
{
    size_t n = (size_t)(j->steps * j->size);
    double *sigma = take(n, sizeof *sigma);
    for (size_t i = 0; i < n; i++) sigma[i] = exp(j->step[i]);
    return sigma;
}

static void write_both(model *m, const lesson *l, const options *o, const inside *in,
                       const sq_ledger *ledger, const char *page, const char *csv)
{
    const series *s = l->s;
    char title[64], note[280];
    double *sigma = singular_of(&in->j), *lambda = take((size_t)in->e.n, sizeof *lambda);
    for (int32_t i = 0; i < in->e.n; i++) lambda[i] = exponent_of(&in->e, i);
    snprintf(title, sizeof title, "%s, trained: gradients through time", in->title);
    snprintf(
        note, sizeof note,
        "%.60s: every value from %s %lld on is forecast from those before it; step 0 is %s %lld. "
        "Made by gradient_flow --seed %lld --hidden %lld.",
        s->name, s->unit, (long long)s->label[in->first + 1], s->unit,
        (long long)s->label[in->first], (long long)o->seed, (long long)o->hidden);
    sq_report r = { .ledger = ledger,
                    .params = m->params,
                    .title = title,
                    .note = note,
                    .singular = sigma,
                    .n_singular = in->j.size,
                    .lyapunov = lambda,
                    .n_lyapunov = in->e.n };
    write_form(&r, sq_report_html, page);
    write_form(&r, sq_report_csv, csv);
    free(sigma);
    free(lambda);
}

void network_page(model *m, const lesson *l, const options *o, const inside *in,
                  const char *page, const char *csv)
{
    const double *z = l->z + in->first;
    sq_tape_reset(m->tape);
    const sq_unrolled *u = model_unroll(m, z, o->steps, 1, SQ_OUTPUTS_ALL);
    sq_var losses = losses_of(m, u, z + 1, o->steps);
    sq_ledger_options look = { .values = true,
                               .weights = true,
                               .far_steps = FAR,
                               .gates = true,
                               .losses = &losses,
                               .n_losses = 1 };
    sq_ledger *ledger = sq_ledger_new(u, sq_sum(losses), &look);
    if (!ledger) die("%s", sq_message(m->tape));
    write_both(m, l, o, in, ledger, page, csv);
    sq_ledger_free(ledger);
}
