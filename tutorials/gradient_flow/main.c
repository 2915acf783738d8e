/* gradient_flow -- an RNN, a GRU and an LSTM learn a real series, and you see where each one's
 * gradient dies on its way back through time.
 *
 * This file is the order of events; the rooms are: options, series (reading the CSV), baseline,
 * model, train, flow (the gradients), progress, report, show (terminal), chart and page (HTML),
 * output (files), say (errors). To learn seqgrad, read model.c, train.c and flow.c. */
#define _POSIX_C_SOURCE 200809L /* strcasecmp */

#include "options.h"
#include "output.h"
#include "report.h"
#include "../common/say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HELD_OUT = 50, MIN_TRAINING = LONG_LAG + 1 };

/* True when --cell asks for this kind. */
static bool asked_for(const options *o, int kind)
{
    return !strcasecmp(o->cell, "all") || !strcasecmp(o->cell, cell_kinds[kind].option);
}

static void check_cell(const options *o)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        if (asked_for(o, kind)) return;
    die_usage("--cell takes rnn, gru, lstm or all, not \"%s\"", o->cell);
}

static void check_length(const series *s, const options *o)
{
    int64_t training = o->window + 1 > MIN_TRAINING ? o->window + 1 : MIN_TRAINING;
    const char *part = o->validate ? " besides the held-out ones" : "";
    if (s->n < HELD_OUT + training)
        die("%s has %lld values of %s%s: too short for training windows of %lld steps and %d "
            "held-out values, which need %lld",
            s->file, (long long)s->n, s->name, part, (long long)o->window, HELD_OUT,
            (long long)(HELD_OUT + training));
    if (s->n < o->steps + 1)
        die("%s has %lld values of %s%s: too short for a window of %lld steps and the value "
            "after it",
            s->file, (long long)s->n, s->name, part, (long long)o->steps);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *v, int64_t n)
{
    double *sorted = take((size_t)n, sizeof *sorted);
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    double median = .5 * (sorted[n / 2] + sorted[(n - 1) / 2]);
    free(sorted);
    return median;
}

/* One training: its error, and with the first seed also its forecasts and its gradients. */
static void run_seed(report *r, int kind, int64_t i)
{
    const options *o = r->o;
    const lesson *l = r->l;
    const char *name = cell_kinds[kind].title;
    score *s = &r->score[r->n_cells];
    uint64_t seed = (uint64_t)(o->seed + i);
    char title[32];
    snprintf(title, sizeof title, o->seeds > 1 ? "%s %lld" : "%s", name, (long long)(i + 1));

    int64_t held_out = l->s->n - l->n_train;
    double *guess = take((size_t)held_out, sizeof *guess);
    model *m = model_new(kind, o->hidden, seed);
    if (i == 0) r->initial[r->n_cells] = flow_of(m, l, o->steps, name, "initial");
    train(m, l, o, seed, title);
    forecast_held_out(m, l, o->window, guess);
    if (i == 0) r->trained[r->n_cells] = flow_of(m, l, o->steps, name, "trained");
    s->rmse[i] = rmse(l->s->value + l->n_train, guess, held_out);
    if (i == 0) s->guess = guess;
    else free(guess);
    model_free(m);
}

static void run_cell(report *r, int kind)
{
    score *s = &r->score[r->n_cells];
    *s = (score){ .title = cell_kinds[kind].title, .n_seeds = r->o->seeds };
    s->rmse = take((size_t)s->n_seeds, sizeof *s->rmse);
    for (int64_t i = 0; i < s->n_seeds; i++) run_seed(r, kind, i);
    s->median = median_of(s->rmse, s->n_seeds);
    show_score(s);
    r->n_cells++;
}

static void show_and_write(const report *r)
{
    const options *o = r->o;
    if (output_wanted(o->csv)) report_csv(r, o->csv);
    if (output_wanted(o->html)) report_page(r, o->html);
    if (!o->quiet) show_flow(r);
    show_reach(r);
    if (output_wanted(o->csv) || output_wanted(o->html)) printf("\n");
    output_tell(o->csv);
    output_tell(o->html);
}

static void free_report(report *r)
{
    for (int i = 0; i < r->n_cells; i++) {
        free(r->score[i].rmse);
        free(r->score[i].guess);
        flow_free(&r->initial[i]);
        flow_free(&r->trained[i]);
    }
}

int main(int argc, char **argv)
{
    options o = options_read(argc, argv);
    if (o.help) {
        options_help();
        return 0;
    }
    check_cell(&o);
    output_check_pair(o.csv, o.html);
    series s = series_read(o.data, o.column);
    if (o.validate) s.n -= s.n < HELD_OUT ? s.n : HELD_OUT;
    check_length(&s, &o);
    lesson l = lesson_of(&s, s.n - HELD_OUT);
    output_check(o.csv, o.data);
    output_check(o.html, o.data);

    report r = { .l = &l, .o = &o };
    baselines(&s, l.n_train, r.base);
    show_task(&r);
    for (int kind = 0; kind < N_KINDS; kind++)
        if (asked_for(&o, kind)) run_cell(&r, kind);
    show_and_write(&r);

    free_report(&r);
    lesson_free(&l);
    series_free(&s);
    if (fflush(stdout) || ferror(stdout))
        die("cannot write to standard output: %s", strerror(errno));
    return 0;
}
