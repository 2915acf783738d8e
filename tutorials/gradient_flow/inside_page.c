/* inside_page.c -- Jacobians, exponents and gates on the page: all cells on one chart. */
#include "chart.h"
#include "report.h"

#include "../common/say.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_DECADES = 16 };

/* The i-th number of a curve of one network. */
typedef double number_fn(const inside *in, int64_t i);

/* n numbers of every cell after training, as a chart. */
static void figure(FILE *out, const report *r, chart c, number_fn *at, const char *caption)
{
    double *y[N_KINDS];
    for (int k = 0; k < r->n_cells; k++) {
        y[k] = take((size_t)c.n, sizeof **y);
        for (int64_t i = 0; i < c.n; i++) y[k][i] = at(&r->after[k], i);
        chart_add(&c, r->after[k].title, k + 1, y[k]);
    }
    chart_round(&c, MAX_DECADES);
    chart_figure(out, &c, caption);
    for (int k = 0; k < r->n_cells; k++) free(y[k]);
}

static double step_norm(const inside *in, int64_t t) { return exp(in->j.step[t * in->j.size]); }
static double product_norm(const inside *in, int64_t i)
{
    return exp(in->j.product[i * in->j.size]);
}
static double estimate(const inside *in, int64_t p) { return in->e.trace[p * in->e.n]; }
static double exponent(const inside *in, int64_t i)
{
    return i < in->e.n ? exponent_of(&in->e, (int32_t)i) : (double)NAN;
}

static void jacobian_figures(FILE *out, const report *r)
{
    const series *s = r->l->s;
    const inside *in = r->after;
    double *back = take((size_t)in->j.n, sizeof *back);
    for (int64_t i = 0; i < in->j.n; i++) back[i] = (double)inside_back(i);
    fputs(
        "<h2>Jacobians</h2>\n<p>The derivative of the states after a step by those before it, "
        "all states of a cell jointly, after training. Its largest singular value is the most that a "
        "change of the state can grow in that step.</p>\n",
        out);
    figure(out, r,
           (chart){ .id = "steps",
                    .title = "Largest singular value of every step's Jacobian",
                    .description = "One curve per cell over the window.",
                    .x_title = s->dated ? "year" : "row",
                    .y_title = "|dh_t/dh_(t-1)|, spectral",
                    .x0 = (double)s->label[in->first],
                    .n = in->j.steps },
           step_norm, "Above 1 something grows in that step, below 1 everything shrinks.");
    figure(
        out, r,
        (chart){ .id = "products",
                 .title = "Largest singular value of the product of Jacobians",
                 .description = "One curve per cell, on a logarithmic scale.",
                 .x_title = "T - k: steps between the two states",
                 .y_title = "|dh_T/dh_k|, spectral",
                 .log_y = true,
                 .x = back,
                 .n = in->j.n },
        product_norm,
        "The product of all steps from k to T. It is at most the product of the numbers above, "
        "and mostly far less: steps stretch in different directions.");
    free(back);
}

static void exponent_figures(FILE *out, const report *r)
{
    int32_t n = 0;
    for (int k = 0; k < r->n_cells; k++) n = r->after[k].e.n > n ? r->after[k].e.n : n;
    fprintf(
        out,
        "<h2>Lyapunov exponents</h2>\n<p>The logarithm of the factor by which a small change of "
        "the state grows in a %s, in the long run, after training. Below 0 the network forgets where it "
        "started, at 0 it remembers, above 0 it is chaotic.</p>\n",
        r->l->s->unit);
    figure(out, r,
           (chart){ .id = "spectrum",
                    .title = "All exponents, the largest first",
                    .description = "One curve per cell.",
                    .x_title = "direction",
                    .y_title = "exponent",
                    .x0 = 1,
                    .n = n },
           exponent, "As many as the cell has numbers of state.");
    figure(out, r,
           (chart){ .id = "convergence",
                    .title = "The estimate of the largest exponent",
                    .description = "One curve per cell over the length of the run.",
                    .x_title = "steps that are counted",
                    .y_title = "estimate",
                    .x0 = 1,
                    .n = r->after->e.points },
           estimate, "An estimate is good where its curve has become flat.");
}

static void gate_cells(FILE *out, sq_gate_statistics s)
{
    if (fabs(s.mean) < 5e-4) s.mean = 0; /* not "-0.000" */
    fprintf(out, "<td class='n'>%.3f</td><td class='n'>%.3f</td>", s.mean, s.deviation);
    if (isnan(s.saturated)) fputs("<td class='n'>–</td>", out);
    else fprintf(out, "<td class='n'>%.0f %%</td>", 100 * s.saturated);
}

static void gate_table(FILE *out, const report *r)
{
    fputs(
        "<h2>Gates</h2>\n<p>Mean and deviation over the window and all units, and the share of "
        "units that are saturated: |tanh| above 0.95, a sigmoid below 0.05 or above 0.95.</p>\n"
        "<div class='wide'><table>\n"
        "<tr><th></th><th></th><th class='n' colspan='3'>before training</th>"
        "<th class='n' colspan='3'>after training</th></tr>\n"
        "<tr><th>cell</th><th>gate</th>",
        out);
    for (int i = 0; i < 2; i++)
        fputs("<th class='n'>mean</th><th class='n'>dev.</th><th class='n'>sat.</th>", out);
    fputs("</tr>\n", out);
    for (int i = 0; i < r->n_cells; i++)
        for (int32_t k = 0; k < r->after[i].g.n; k++) {
            fprintf(out, "<tr><td>%s</td><td>%s</td>", k ? "" : r->after[i].title,
                    r->after[i].g.name[k]);
            gate_cells(out, gate_of(&r->before[i].g, k));
            gate_cells(out, gate_of(&r->after[i].g, k));
            fputs("</tr>\n", out);
        }
    fputs("</table></div>\n", out);
}

void inside_figures(FILE *out, const report *r)
{
    if (r->o->jacobian) jacobian_figures(out, r);
    if (r->o->lyapunov) exponent_figures(out, r);
    if (r->o->gates) gate_table(out, r);
}
