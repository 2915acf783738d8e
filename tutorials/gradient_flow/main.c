/* gradient_flow -- an RNN, a GRU and an LSTM learn a real series, and you see where each one's
 * gradient dies on its way back through time.
 *
 * This file is the order of events; the rooms are: options, series (reading the CSV), baseline,
 * model, train, flow (the gradients), inside (Jacobians, exponents, gates), progress, report, show
 * (terminal), chart and page (HTML), network_page (the library's report), output (files), say (errors).
 * To learn seqgrad, read model.c, train.c, flow.c and inside.c. */
#include "files.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "../common/say.h"
#include "../common/screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_OUT = 50, MIN_TRAINING = LONG_LAG + 1 };

static void check_cell(const options *o)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        if (wants_cell(o, cell_kinds[kind].option)) return;
    die_usage("--cell takes rnn, gru, lstm or all, not \"%s\"", o->cell);
}

/* What costs the cube of the width, for every step. */
static void check_inside(const options *o)
{
    bool page = output_wanted(o->report), depth = wants_depth(o);
    bool wide = depth || o->jacobian || o->lyapunov;
    const char *what = page          ? "--report"
                       : depth       ? "--terminal"
                       : o->jacobian ? "--jacobian"
                                     : "--lyapunov";
    if (o->npy && !page) die_usage("--npy writes the arrays of --report FILE.html; ask for it");
    if (wide && o->hidden > INSIDE_HIDDEN)
        die_usage("%s takes networks of width %d at most, not --hidden %lld", what,
                  INSIDE_HIDDEN, (long long)o->hidden);
    if ((depth || o->jacobian) && o->steps > INSIDE_STEPS)
        die_usage("%s takes %d steps at most, not --steps %lld", what, INSIDE_STEPS,
                  (long long)o->steps);
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
static void run_seed(report *r, const files *f, int kind, int64_t i)
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
    if (i == 0) {
        r->initial[r->n_cells] = flow_of(m, l, o->steps, name, "initial");
        r->before[r->n_cells] = inside_of(m, l, o, name, "initial");
    }
    train(m, l, o, seed, title);
    forecast_held_out(m, l, o->window, guess);
    if (i == 0) {
        inside *in = &r->after[r->n_cells];
        r->trained[r->n_cells] = flow_of(m, l, o->steps, name, "trained");
        *in = inside_of(m, l, o, name, "trained");
        if (wants_depth(o)) r->depth[r->n_cells] = network_in_depth(m, l, o, in, f, kind);
    }
    s->rmse[i] = rmse(l->s->value + l->n_train, guess, held_out);
    if (i == 0) s->guess = guess;
    else free(guess);
    model_free(m);
}

static void run_cell(report *r, const files *f, int kind)
{
    score *s = &r->score[r->n_cells];
    *s = (score){ .title = cell_kinds[kind].title, .n_seeds = r->o->seeds };
    s->rmse = take((size_t)s->n_seeds, sizeof *s->rmse);
    for (int64_t i = 0; i < s->n_seeds; i++) run_seed(r, f, kind, i);
    s->median = median_of(s->rmse, s->n_seeds);
    show_score(s);
    r->n_cells++;
}

static void write_files(const report *r, const files *f)
{
    static void (*const write[FILE_PAGE])(const report *, const char *) = {
        [FILE_CSV] = report_csv,         [FILE_HTML] = report_page,
        [FILE_JACOBIAN] = jacobians_csv, [FILE_LYAPUNOV] = exponents_csv,
        [FILE_GATES] = gates_csv,
    };
    for (int i = 0; i < FILE_PAGE; i++)
        if (f->of[i].path) write[i](r, f->of[i].path);
}

static void show(const report *r, const files *f)
{
    if (!r->o->quiet) show_flow(r);
    show_reach(r);
    if (r->o->jacobian) show_jacobians(r);
    if (r->o->lyapunov) show_exponents(r);
    if (r->o->gates) show_gates(r);
    show_depth(r);
    files_tell(f);
}

static void free_report(report *r)
{
    for (int i = 0; i < r->n_cells; i++) {
        free(r->score[i].rmse);
        free(r->score[i].guess);
        flow_free(&r->initial[i]);
        flow_free(&r->trained[i]);
        inside_free(&r->before[i]);
        inside_free(&r->after[i]);
        free(r->depth[i]);
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
    check_inside(&o);
    o.ascii = screen_ascii(o.ascii);
    files f = files_of(&o);
    output_check_distinct(f.of, N_FILES);
    series s = series_read(o.data, o.column);
    if (o.validate) s.n -= s.n < HELD_OUT ? s.n : HELD_OUT;
    check_length(&s, &o);
    lesson l = lesson_of(&s, s.n - HELD_OUT);
    for (int i = 0; i < N_FILES; i++)
        if (f.of[i].path) output_check(f.of[i].path, o.data);

    report r = { .l = &l, .o = &o };
    baselines(&s, l.n_train, r.base);
    show_task(&r);
    for (int kind = 0; kind < N_KINDS; kind++)
        if (wants_cell(&o, cell_kinds[kind].option)) run_cell(&r, &f, kind);
    write_files(&r, &f);
    show(&r, &f);

    free_report(&r);
    files_free(&f);
    lesson_free(&l);
    series_free(&s);
    if (fflush(stdout) || ferror(stdout))
        die("cannot write to standard output: %s", strerror(errno));
    return 0;
}
