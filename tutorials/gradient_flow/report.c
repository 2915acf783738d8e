/* report.c -- what terminal, CSV and page have in common: the list of curves, their range, the
 * sentence about each. And the CSV itself, which is little more than that list.
 *
 * Its rows are long rather than wide, one number per state and step, so that any program can
 * filter and plot them. */
#include "report.h"

#include "output.h"

#include <math.h>
#include <stdio.h>

enum { MAX_DECADES = 16 };

int traces_of(const flow *flows, int n, trace out[MAX_COLUMNS_SHOWN])
{
    int n_traces = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < flows[i].n_states; k++) {
            trace *c = &out[n_traces++];
            c->f = &flows[i];
            c->state = k;
            snprintf(c->name, sizeof c->name, "%s %s", flows[i].title, flows[i].state[k]);
        }
    return n_traces;
}

decades decades_of(const trace *traces, int n)
{
    double least = HUGE_VAL, most = 0;
    for (int i = 0; i < n; i++)
        for (int64_t back = 0; back < traces[i].f->steps; back++) {
            double v = flow_total(traces[i].f, traces[i].state, back);
            if (!(v > 0) || !isfinite(v)) continue;
            least = fmin(least, v);
            most = fmax(most, v);
        }
    if (!(most > 0)) return (decades){ -1, 0 };
    decades d = { (int)floor(log10(least)), (int)ceil(log10(most)) };
    if (d.lo == d.hi) d.lo--;
    if (d.hi - d.lo > MAX_DECADES) d.lo = d.hi - MAX_DECADES;
    return d;
}

const char *reach_sentence(const trace *c, const char *unit, char *buf, size_t n)
{
    int64_t reach = flow_reach(c->f, c->state, .01);
    double decay = flow_decay(c->f, c->state);
    char where[64];
    if (reach < 0)
        snprintf(where, sizeof where, "not below 1 %% within %lld %ss", (long long)c->f->steps,
                 unit);
    else
        snprintf(where, sizeof where, "below 1 %% after %lld %s%s", (long long)reach, unit,
                 reach == 1 ? "" : "s");
    if (decay < 1)
        snprintf(buf, n, "%s; x %.2f a %s, half-life %.1f %ss", where, decay, unit,
                 log(.5) / log(decay), unit);
    else snprintf(buf, n, "%s; x %.2f a %s", where, decay, unit);
    return buf;
}

static void csv_flow(FILE *out, const flow *f, const series *s)
{
    for (int k = 0; k < f->n_states; k++)
        for (int64_t t = 0; t < f->steps; t++)
            fprintf(out, "%lld,%lld,%lld,%s,%s,%s,%.10g,%.10g\n", (long long)t,
                    (long long)s->label[f->first + t], (long long)(f->steps - 1 - t), f->title,
                    f->state[k], f->moment, f->total[k][t], f->immediate[k][t]);
}

void report_csv(const report *r, const char *path)
{
    const series *s = r->l->s;
    FILE *out = output_open(path);
    fprintf(out, "step,%s,%ss_back,cell,state,weights,total,immediate\n",
            s->dated ? "year" : "row", s->unit);
    for (int i = 0; i < r->n_cells; i++) {
        csv_flow(out, &r->initial[i], s);
        csv_flow(out, &r->trained[i], s);
    }
    output_close(out, path);
}
