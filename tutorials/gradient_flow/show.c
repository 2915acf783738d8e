/* show.c -- the report on the terminal, 80 columns wide.
 *
 * A gradient that shrinks by the same factor at every step is a straight line on a logarithmic
 * scale, so the length of a bar is the logarithm of |dL/dh_t|. Bars are drawn with eighths of a
 * block where the terminal speaks UTF-8, with # everywhere else. */
#define _XOPEN_SOURCE 700 /* isatty, nl_langinfo */

#include "report.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 79, LABELS = 11, NUMBER = 8, MAX_BAR = 30, SEEDS_PER_LINE = 7 };

void show_task(const report *r)
{
    const series *s = r->l->s;
    int64_t n = r->l->n_train;
    printf("%s: %lld values, %s %lld to %lld\n", s->name, (long long)s->n, s->unit,
           (long long)s->label[0], (long long)s->label[s->n - 1]);
    printf("learned from: %lld to %lld; held out: %lld to %lld\n\n", (long long)s->label[0],
           (long long)s->label[n - 1], (long long)s->label[n], (long long)s->label[s->n - 1]);
    printf("Forecasting the next %s: root mean squared error on the held-out part\n", s->unit);
    for (int i = 0; i < N_BASELINES; i++) printf("  %-24s %8.2f\n", r->base[i].name, r->base[i].rmse);
    fflush(stdout);
}

void show_score(const score *s)
{
    if (s->n_seeds == 1) {
        printf("  %-24s %8.2f\n", s->title, s->median);
    } else {
        printf("  %s, median of %-11lld %8.2f   seeds:", s->title, (long long)s->n_seeds, s->median);
        for (int64_t i = 0; i < s->n_seeds; i++)
            printf("%s %.2f", i && i % SEEDS_PER_LINE == 0 ? "\n                                             " : "",
                   s->rmse[i]);
        printf("\n");
    }
    fflush(stdout);
}

static bool blocks_wanted(void)
{
    setlocale(LC_CTYPE, "");
    return isatty(STDOUT_FILENO) && !strcmp(nl_langinfo(CODESET), "UTF-8");
}

/* A bar of `share` of `width` characters, and blanks up to the width. */
static void draw_bar(double share, int width, bool blocks)
{
    static const char *const eighth[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
    int parts = blocks ? 8 : 1, length = (int)lround(share * width * parts);
    if (length == 0 && share > 0) length = 1;
    for (int i = 0; i < width; i++) {
        int here = length - i * parts;
        if (here <= 0)
            putchar(' ');
        else
            fputs(blocks ? eighth[here > 8 ? 8 : here] : "#", stdout);
    }
}

static void draw_cell(double v, decades d, int width, bool blocks)
{
    double share = v > 0 ? (log10(v) - d.lo) / (d.hi - d.lo) : 0;
    char number[32];
    snprintf(number, sizeof number, v > 0 ? "%.1e" : "%g", v);
    printf(" %-*s", NUMBER, number);
    draw_bar(fmin(fmax(share, 0), 1), width, blocks);
}

void show_flow(const report *r)
{
    trace column[MAX_COLUMNS_SHOWN];
    int n = traces_of(r->trained, r->n_cells, column);
    decades d = decades_of(column, n);
    int width = (LINE - LABELS) / n - NUMBER - 1;
    bool blocks = blocks_wanted();
    const series *s = r->l->s;
    const flow *f = &r->trained[0];
    if (width > MAX_BAR) width = MAX_BAR;

    printf("\n|dL/dh_t|, where L is the squared error of the forecast for %s %lld alone;\n", s->unit,
           (long long)s->label[f->first + f->steps]);
    printf("bars are logarithmic: 1e%d is empty, 1e%d is full\n\n", d.lo, d.hi);
    printf("back %5s ", s->dated ? "year" : "row");
    for (int i = 0; i < n; i++) printf(" %-*s", NUMBER + width, column[i].name);
    for (int64_t back = 0; back < f->steps; back++) {
        printf("\n%4lld %5lld ", (long long)back, (long long)s->label[f->first + f->steps - 1 - back]);
        for (int i = 0; i < n; i++)
            draw_cell(flow_total(column[i].f, column[i].state, back), d, width, blocks);
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
        printf("    %-7s %s\n", c[i].name, reach_sentence(&c[i], unit, sentence, sizeof sentence));
}

void show_reach(const report *r)
{
    const char *unit = r->l->s->unit;
    printf("\nHow far back the gradient reaches, against its size at the last step\n");
    show_reach_of(r->initial, r->n_cells, "before training", unit);
    show_reach_of(r->trained, r->n_cells, "after training", unit);
}
