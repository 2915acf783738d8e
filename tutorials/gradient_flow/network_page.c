/* network_page.c -- one trained network as the library's own report shows it (graph/report.h).
 *
 * Here every forecast of the window counts, L = sum_t (y_t - z_(t+1))^2, so that there is a table of
 * which loss reaches how far back, and a share of dL/dW that a truncation would lose. */
#include "output.h"
#include "report.h"

#include "../common/say.h"
#include "../common/screen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Steps: the cycle of the sunspots. */
enum { FAR = 11 };

/* A text written by a function that works like snprintf. */
static char *text_of(const sq_report *r, size_t (*form)(const sq_report *, char *, size_t))
{
    size_t n = form(r, NULL, 0);
    char *text = take(n + 1, 1);
    form(r, text, n + 1);
    return text;
}

static void write_form(const sq_report *r, size_t (*form)(const sq_report *, char *, size_t),
                       const char *path)
{
    char *text = text_of(r, form);
    FILE *out = output_open(path);
    fputs(text, out);
    output_close(out, path);
    free(text);
}

static void write_array(const sq_report *r, sq_report_table table, const char *path)
{
    size_t n = sq_report_npy(r, table, NULL, 0);
    char *bytes = take(n, 1);
    sq_report_npy(r, table, bytes, n);
    FILE *out = output_open(path);
    fwrite(bytes, 1, n, out);
    output_close(out, path);
    free(bytes);
}

static void write_files(const sq_report *r, const files *f, int kind)
{
    const output *of = f->of + FILE_ARRAYS + kind * N_ARRAYS;
    if (!f->of[FILE_PAGE + kind].path) return;
    write_form(r, sq_report_html, f->of[FILE_PAGE + kind].path);
    write_form(r, sq_report_csv, f->of[FILE_NUMBERS + kind].path);
    for (int i = 0; i < N_ARRAYS; i++)
        if (of[i].path) write_array(r, arrays[i].table, of[i].path);
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

/* What is shown, and the command that shows it again. */
static void tell_origin(char *note, size_t n, const lesson *l, const options *o,
                        const inside *in)
{
    const series *s = l->s;
    snprintf(
        note, n,
        "%.60s: every value from %s %lld on is forecast from those before it; step 0 is %s %lld. "
        "Made by gradient_flow --hidden %lld --steps %lld --window %lld --updates %lld --rate %.15g "
        "--seed %lld%s.",
        s->name, s->unit, (long long)s->label[in->first + 1], s->unit,
        (long long)s->label[in->first], (long long)o->hidden, (long long)o->steps,
        (long long)o->window, (long long)o->updates, o->rate, (long long)o->seed,
        o->validate ? " --validate" : "");
}

static char *tell(model *m, const lesson *l, const options *o, const inside *in,
                  const sq_ledger *ledger, const files *f, int kind)
{
    char title[64], note[480];
    double *sigma = singular_of(&in->j), *lambda = take((size_t)in->e.n, sizeof *lambda);
    for (int32_t i = 0; i < in->e.n; i++) lambda[i] = exponent_of(&in->e, i);
    snprintf(title, sizeof title, "%s, trained: gradients through time", in->title);
    tell_origin(note, sizeof note, l, o, in);
    sq_report r = { .ledger = ledger,
                    .params = m->params,
                    .title = title,
                    .note = note,
                    .singular = sigma,
                    .n_singular = in->j.size,
                    .lyapunov = lambda,
                    .n_lyapunov = in->e.n,
                    .ascii = o->ascii,
                    .colour = !o->ascii && screen_colour() };
    write_files(&r, f, kind);
    char *shown = o->terminal ? text_of(&r, sq_report_terminal) : NULL;
    free(sigma);
    free(lambda);
    return shown;
}

char *network_in_depth(model *m, const lesson *l, const options *o, const inside *in,
                       const files *f, int kind)
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
    char *shown = tell(m, l, o, in, ledger, f, kind);
    sq_ledger_free(ledger);
    return shown;
}
