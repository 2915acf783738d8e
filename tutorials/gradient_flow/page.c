/* page.c -- the report as one HTML file that needs nothing else: no script, network or font.
 *
 * Colours are those of Okabe and Ito, which people who confuse red and green can tell apart,
 * darkened for light paper and lightened for dark; each curve also has dashes of its own. */
#include "report.h"

#include "chart.h"
#include "output.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char head[] =
    "<!DOCTYPE html>\n"
    "<html lang='en'>\n"
    "<head>\n"
    "<meta charset='utf-8'/>\n"
    "<meta name='viewport' content='width=device-width, initial-scale=1'/>\n"
    "<meta name='color-scheme' content='light dark'/>\n"
    "<title>Where gradients die</title>\n"
    "<style>\n"
    ":root {\n"
    "  --paper: #fff; --ink: #1c2024; --soft: #5a636b; --line: #e1e5e8; --frame: #7d868e;\n"
    "  --c1: #0068a8; --c2: #b85000; --c3: #00805c; --c4: #a3457c; --c5: #1c2024;\n"
    "}\n"
    "@media (prefers-color-scheme: dark) { :root {\n"
    "  --paper: #14171a; --ink: #e6e9ec; --soft: #a3acb4; --line: #2b3137; --frame: #77818a;\n"
    "  --c1: #56b4e9; --c2: #f0a030; --c3: #2ec79a; --c4: #e396c1; --c5: #e6e9ec;\n"
    "} }\n"
    "body { margin: 0; background: var(--paper); color: var(--ink);\n"
    "  font: 16px/1.5 system-ui, sans-serif; }\n"
    "main { max-width: 900px; margin: 0 auto; padding: 24px 16px 48px; }\n"
    "h1 { font-size: 1.7rem; line-height: 1.2; }\n"
    "h2 { font-size: 1.2rem; margin-top: 2.2rem; }\n"
    "p { max-width: 44rem; }\n"
    ".soft, figcaption { color: var(--soft); font-size: .9rem; }\n"
    "figure { margin: 1rem 0; }\n"
    ".wide { overflow-x: auto; }\n"
    "svg { width: 100%; min-width: 600px; height: auto; display: block; }\n"
    "svg text { fill: var(--soft); font: 13px system-ui, sans-serif; }\n"
    "svg .tick { font-size: 12px; font-variant-numeric: tabular-nums; }\n"
    "svg .key, svg .axis { fill: var(--ink); }\n"
    ".grid { stroke: var(--line); fill: none; }\n"
    ".frame { stroke: var(--frame); fill: none; }\n"
    ".curve { fill: none; stroke-width: 2; stroke-linejoin: round; }\n"
    ".s1 { stroke: var(--c1); }\n"
    ".s2 { stroke: var(--c2); stroke-dasharray: 8 3; }\n"
    ".s3 { stroke: var(--c3); stroke-dasharray: 3 3; }\n"
    ".s4 { stroke: var(--c4); stroke-dasharray: 12 3 3 3; }\n"
    ".s5 { stroke: var(--c5); }\n"
    ".dot { stroke: var(--paper); stroke-width: 1.5; stroke-dasharray: none; }\n"
    ".dot.s1 { fill: var(--c1); } .dot.s2 { fill: var(--c2); }\n"
    ".dot.s3 { fill: var(--c3); } .dot.s4 { fill: var(--c4); }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: left; padding: .25rem 1.2rem .25rem 0;\n"
    "  border-bottom: 1px solid var(--line); }\n"
    "td.n, th.n { text-align: right; }\n"
    "</style>\n"
    "</head>\n"
    "<body><main>\n";

enum { SENTENCE = 240, STYLE_TRUTH = 5 };

/* How far each trace reaches, as a list. */
static void reach_list(FILE *out, const trace *t, int n, const char *unit)
{
    char sentence[SENTENCE];
    fputs("<ul>\n", out);
    for (int i = 0; i < n; i++)
        fprintf(out, "<li>%s: %s</li>\n", t[i].name,
                reach_sentence(&t[i], unit, sentence, sizeof sentence));
    fputs("</ul>\n", out);
}

/* The gradients of all traces against the distance from the loss. */
static void flow_chart(FILE *out, const report *r, const flow *flows, decades d, chart c)
{
    trace t[MAX_COLUMNS_SHOWN];
    char x_title[64], description[SENTENCE];
    const char *unit = r->l->s->unit;
    snprintf(x_title, sizeof x_title, "%ss back from the step that carries the loss", unit);
    snprintf(
        description, sizeof description,
        "One curve per state, on a logarithmic scale from 1e%d to 1e%d. The sentences below "
        "the plot say how far each reaches.",
        d.lo, d.hi);
    c.x_title = x_title;
    c.y_title = "|dL/dh|  (scaled error² per unit of state)";
    c.description = description;
    c.log_y = true;
    c.lo = pow(10, d.lo);
    c.hi = pow(10, d.hi);
    c.n = flows[0].steps;
    c.n_curves = traces_of(flows, r->n_cells, t);
    for (int i = 0; i < c.n_curves; i++) {
        const double *last = t[i].f->total[t[i].state] + c.n - 1;
        c.curve[i] = (curve){ t[i].name, i + 1, last, -1, flow_reach(t[i].f, t[i].state, .01) };
    }
    chart_figure(out, &c,
                 "A dot marks where a curve has fallen below 1 % of its start for good.");
    reach_list(out, t, c.n_curves, unit);
}

/* The held-out values and what every cell forecast for them. */
static void forecast_chart(FILE *out, const report *r)
{
    const series *s = r->l->s;
    const double *truth = s->value + r->l->n_train;
    chart c = { .id = "forecast",
                .title = "Forecasts of the held-out values",
                .y_title = s->name };
    c.description = "The true values and the forecast of each cell, made one step ahead.";
    c.x_title = s->dated ? "year" : "row";
    c.x0 = (double)s->label[r->l->n_train];
    c.n = s->n - r->l->n_train;
    chart_add(&c, "observed", STYLE_TRUTH, truth);
    for (int i = 0; i < r->n_cells; i++)
        chart_add(&c, r->score[i].title, i + 1, r->score[i].guess);
    chart_round(&c, 0);
    chart_figure(out, &c, "Every forecast is made from the true values up to the one before.");
}

static void score_row(FILE *out, const char *name, double error, const char *note)
{
    fprintf(out, "<tr><td>%s</td><td class='n'>%.2f</td><td>%s</td></tr>\n", name, error, note);
}

static void score_table(FILE *out, const report *r)
{
    char note[64];
    fputs("<div class='wide'><table>\n"
          "<tr><th>forecast</th><th class='n'>RMSE</th><th></th></tr>\n",
          out);
    for (int i = 0; i < N_BASELINES; i++)
        score_row(out, r->base[i].name, r->base[i].rmse, "baseline");
    for (int i = 0; i < r->n_cells; i++) {
        snprintf(note, sizeof note,
                 r->o->seeds == 1 ? "one training" : "median of %lld trainings",
                 (long long)r->o->seeds);
        score_row(out, r->score[i].title, r->score[i].median, note);
    }
    fputs("</table></div>\n", out);
}

static void introduction(FILE *out, const report *r)
{
    const series *s = r->l->s;
    const flow *f = &r->trained[0];
    fprintf(out,
            "<h1>Where gradients die</h1>\n"
            "<p>Recurrent networks of width %lld learned from %lld values of <em>",
            (long long)r->o->hidden, (long long)r->l->n_train);
    html_text(out, s->name);
    fprintf(out,
            "</em> to forecast the next one. Then the value of %s %lld was forecast from the "
            "%lld before it, and the squared error L of that single forecast was "
            "differentiated with respect to the state h of every step on the way. Each curve "
            "is the length of that gradient, |dL/dh|. A straight line is exponential decay: "
            "the same factor at every step.</p>\n",
            s->unit, (long long)s->label[f->first + f->steps], (long long)f->steps);
}

void report_page(const report *r, const char *path)
{
    trace t[2 * MAX_COLUMNS_SHOWN];
    int n = traces_of(r->trained, r->n_cells, t);
    n += traces_of(r->initial, r->n_cells, t + n);
    decades d = decades_of(t, n);

    FILE *out = output_open(path);
    fputs(head, out);
    introduction(out, r);
    fputs("<h2>After training</h2>\n", out);
    flow_chart(out, r, r->trained, d,
               (chart){ .id = "trained", .title = "Gradients after training" });
    fputs("<h2>Before training</h2>\n", out);
    flow_chart(out, r, r->initial, d,
               (chart){ .id = "initial", .title = "Gradients before training" });
    inside_figures(out, r);
    fprintf(out,
            "<h2>What was learned</h2>\n<p>The last %lld values were held out. Errors are "
            "root mean squares, in the unit of the series.</p>\n",
            (long long)(r->l->s->n - r->l->n_train));
    score_table(out, r);
    forecast_chart(out, r);
    fputs("<p class='soft'>Made by seqgrad, tutorials/gradient_flow.</p>\n", out);
    fputs("</main></body>\n</html>\n", out);
    output_close(out, path);
}
