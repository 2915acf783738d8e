/* show.c -- the report on the terminal, 80 columns wide.
 *
 * A gradient that shrinks by the same factor at every step is a straight line on a logarithmic
 * scale, so the length of a bar is the logarithm of |dL/dh_t|. */
#include "bars.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { LABELS = 11, SEEDS_PER_LINE = 5 };

void show_task(const report *r)
{
    const series *s = r->l->s;
    int64_t n = r->l->n_train;
    printf("%s: %lld values, %s %lld to %lld\n", s->name, (long long)s->n, s->unit,
           (long long)s->label[0], (long long)s->label[s->n - 1]);
    printf("learned from: %lld to %lld; held out: %lld to %lld\n\n", (long long)s->label[0],
           (long long)s->label[n - 1], (long long)s->label[n], (long long)s->label[s->n - 1]);
    printf("Forecasting the next %s: root mean squared error on the held-out part\n", s->unit);
    for (int i = 0; i < N_BASELINES; i++)
        printf("  %-24s %8.2f\n", r->base[i].name, r->base[i].rmse);
    fflush(stdout);
}

void show_score(const score *s)
{
    char label[64];
    snprintf(label, sizeof label, s->n_seeds == 1 ? "%s" : "%s, median of %lld", s->title,
             (long long)s->n_seeds);
    printf("  %-24s %8.2f", label, s->median);
    for (int64_t i = 0; i < s->n_seeds && s->n_seeds > 1; i++) {
        if (i % SEEDS_PER_LINE == 0) printf(i ? "\n%44s" : "%9s", i ? "" : "seeds:");
        printf(" %.2f", s->rmse[i]);
    }
    printf("\n");
    fflush(stdout);
}

/* Several cells are compared by their first state, h; a single one is shown with all it has. */
static int columns_of(const report *r, trace column[MAX_COLUMNS_SHOWN])
{
    int n = traces_of(r->trained, r->n_cells, column), kept = 0;
    for (int i = 0; i < n; i++)
        if (r->n_cells == 1 || column[i].state == 0) column[kept++] = column[i];
    return kept;
}

void show_flow(const report *r)
{
    trace column[MAX_COLUMNS_SHOWN];
    int n = columns_of(r, column);
    decades d = decades_of(column, n);
    bars b = { d.lo, d.hi, bar_width(n, LABELS), r->o->ascii };
    const series *s = r->l->s;
    const flow *f = &r->trained[0];

    printf("\n|dL/dh_t|, where L is the squared error of the forecast for %s %lld alone;\n",
           s->unit, (long long)s->label[f->first + f->steps]);
    printf("bars are logarithmic: empty at 1e%d, full at 1e%d%s\n\n", d.lo, d.hi,
           r->o->seeds > 1 ? "; first training of each cell" : "");
    printf("back %5s ", s->dated ? "year" : "row");
    for (int i = 0; i < n; i++)
        printf(" %-*s", i == n - 1 ? 0 : BAR_NUMBER + b.width, column[i].name);
    for (int64_t back = 0; back < f->steps; back++) {
        printf("\n%4lld %5lld ", (long long)back,
               (long long)s->label[f->first + f->steps - 1 - back]);
        for (int i = 0; i < n; i++)
            bar_cell(&b, flow_total(column[i].f, column[i].state, back), i == n - 1);
    }
    printf("\n");
}

static void show_reach_of(const flow *flows, int n, const char *when, const char *unit)
{
    trace c[MAX_COLUMNS_SHOWN];
    char sentence[160];
    int n_traces = traces_of(flows, n, c);
    printf("  %s\n", when);
    for (int i = 0; i < n_traces; i++)
        printf("    %-7s %s\n", c[i].name,
               reach_sentence(&c[i], unit, sentence, sizeof sentence));
}

void show_reach(const report *r)
{
    const char *unit = r->l->s->unit;
    printf("\nHow far back the gradient reaches, against its size at the last step\n");
    show_reach_of(r->initial, r->n_cells, "before training", unit);
    show_reach_of(r->trained, r->n_cells, "after training", unit);
}
