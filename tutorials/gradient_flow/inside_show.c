/* inside_show.c -- Jacobians, exponents and gates on the terminal, before training and after. */
#include "bars.h"
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LABELS = 11 };

/* A row of a table is one network at one moment. */
typedef void row_fn(const report *r, const inside *in);

static void rows_of(const report *r, const inside *in, const char *when, row_fn *row)
{
    printf("  %s\n", when);
    for (int i = 0; i < r->n_cells; i++) row(r, &in[i]);
}

static void both(const report *r, row_fn *row)
{
    rows_of(r, r->before, "before training", row);
    rows_of(r, r->after, "after training", row);
}

/* ---- Jacobians ------------------------------------------------------------------------------- */

/* The largest, those a quarter, a half, three quarters down, and the smallest. */
static void step_row(const report *r, const inside *in)
{
    const jacobians *j = &in->j;
    (void)r;
    printf("    %-5s %5lld ", in->title, (long long)j->size);
    for (int i = 0; i <= 4; i++)
        printf(" %9.2g", exp(median_singular(j, i * (j->size - 1) / 4)));
    printf("\n");
}

static void decades_of_products(const report *r, int *lo, int *hi)
{
    enum { MAX_DECADES = 16 };
    double least = 0, most = 0;
    for (int k = 0; k < r->n_cells; k++)
        for (int64_t i = 0; i < r->after[k].j.n; i++) {
            double v = r->after[k].j.product[i * r->after[k].j.size] / log(10);
            if (!isfinite(v)) continue;
            least = fmin(least, v);
            most = fmax(most, v);
        }
    *hi = (int)ceil(most);
    *lo = (int)floor(fmin(least, *hi - 1));
    if (*hi - *lo > MAX_DECADES) *lo = *hi - MAX_DECADES;
}

static void product_line(const report *r, int64_t i, const bars *b)
{
    const inside *in = r->after;
    int64_t back = inside_back(i);
    printf("\n%4lld %5lld ", (long long)back,
           (long long)r->l->s->label[in->first + in->j.steps - 1 - back]);
    for (int k = 0; k < r->n_cells; k++)
        bar_cell(b, exp(in[k].j.product[i * in[k].j.size]), k == r->n_cells - 1);
}

/* The last distance may lead to the initial state, before the window; there is no such value. */
static void show_products(const report *r)
{
    bars b = { .width = bar_width(r->n_cells, LABELS), .ascii = r->o->ascii };
    const series *s = r->l->s;
    const inside *in = r->after;
    decades_of_products(r, &b.lo, &b.hi);
    printf("\nThe product dh_T/dh_k after training, T = %s %lld: largest singular value;\n",
           s->unit, (long long)s->label[in->first + in->j.steps - 1]);
    printf("bars are logarithmic: empty at 1e%d, full at 1e%d\n\n", b.lo, b.hi);
    printf("back %5s ", s->dated ? "k" : "row");
    for (int k = 0; k < r->n_cells; k++)
        printf(" %-*s", k == r->n_cells - 1 ? 0 : BAR_NUMBER + b.width, in[k].title);
    for (int64_t i = 1; i < in->j.n && inside_back(i) < in->j.steps; i++)
        product_line(r, i, &b);
    printf("\n");
}

void show_jacobians(const report *r)
{
    printf("\nStep Jacobians dh_t/dh_(t-1), all S numbers of the state jointly: singular\n"
           "values, the median over %lld %ss of the largest, those 1/4, 1/2 and 3/4 down\n"
           "the list, and the smallest. Above 1 a change of the state grows.\n\n",
           (long long)r->after->j.steps, r->l->s->unit);
    printf("              S    largest       1/4       1/2       3/4  smallest\n");
    both(r, step_row);
    show_products(r);
}

/* ---- Lyapunov exponents ---------------------------------------------------------------------- */

static void spectrum_row(const report *r, const inside *in)
{
    const exponents *e = &in->e;
    double first = exponent_of(e, 0);
    printf("    %-5s %5d ", in->title, (int)e->n);
    for (int i = 0; i <= 4; i++) printf(" %8.3f", exponent_of(e, i * (e->n - 1) / 4));
    if (first < 0) printf("   %.1f %ss", log(.5) / first, r->l->s->unit);
    printf("\n");
}

enum { PARTS = 5 };

static int64_t part_of(const exponents *e, int i) { return e->points * (i + 1) / PARTS; }

static void convergence_row(const report *r, const inside *in)
{
    const exponents *e = &in->e;
    (void)r;
    printf("    %-5s       ", in->title);
    for (int i = 0; i < PARTS && part_of(e, i) > 0; i++)
        printf(" %8.3f", e->trace[(part_of(e, i) - 1) * e->n]);
    printf("\n");
}

void show_exponents(const report *r)
{
    const exponents *e = &r->after->e;
    printf("\nLyapunov exponents along all %lld values: ln of the factor by which a small\n"
           "change of the state grows in a %s, in the long run. Where all are below 0 the\n"
           "network forgets; the half-life is that of its slowest direction.\n\n",
           (long long)r->l->s->n, r->l->s->unit);
    printf("              S     first      1/4      1/2      3/4     last   half-life\n");
    both(r, spectrum_row);
    printf("\n  the first, after %ss  ", r->l->s->unit);
    for (int i = 0; i < PARTS; i++)
        printf("%*lld", i ? 9 : 6 - (int)strlen(r->l->s->unit) + 4, (long long)part_of(e, i));
    printf("\n");
    rows_of(r, r->after, "after training", convergence_row);
}

/* ---- Gates ----------------------------------------------------------------------------------- */

static void put_statistics(sq_gate_statistics s)
{
    double mean = fabs(s.mean) < 5e-4 ? 0 : s.mean; /* not "-0.000" */
    printf("  %6.3f %6.3f", mean, s.deviation);
    if (isnan(s.saturated)) printf("%7s", "-");
    else printf("%5.0f %%", 100 * s.saturated);
    printf(" %8.1e", s.gradient);
}

void show_gates(const report *r)
{
    printf("\nGates over the %lld %ss of the window: mean, deviation, share of saturated\n"
           "units (|tanh| above 0.95; sigmoid below 0.05 or above 0.95), |dL/dgate|\n\n",
           (long long)r->o->steps, r->l->s->unit);
    printf("            before training                  after training\n");
    printf("           mean   dev.   sat. gradient     mean   dev.   sat. gradient\n");
    for (int i = 0; i < r->n_cells; i++)
        for (int32_t k = 0; k < r->after[i].g.n; k++) {
            printf("%-5s%-3s", k ? "" : r->after[i].title, r->after[i].g.name[k]);
            put_statistics(gate_of(&r->before[i].g, k));
            put_statistics(gate_of(&r->after[i].g, k));
            printf("\n");
        }
}

/* ---- In depth -------------------------------------------------------------------------------- */

void show_depth(const report *r)
{
    for (int i = 0; i < r->n_cells; i++)
        if (r->depth[i]) printf("\n%s", r->depth[i]);
}
