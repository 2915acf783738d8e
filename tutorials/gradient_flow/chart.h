/* chart.h -- a plot of a few curves as SVG text.
 *
 * A chart is a plain value: fill it in and write it. It knows nothing of gradients, and the
 * page around it gives the colours. */
#ifndef CHART_H
#define CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_CURVES = 6 };

/* Point i of a curve lies at (x0 + i, y[i * y_step]), or at x[i]; a step of -1 reads an array backwards.
 * A point that is not finite, or below a logarithmic axis, is left out. */
typedef struct curve {
    const char *name;
    int style; /* 1..6: colour and dashes */
    const double *y;
    int64_t y_step;
    int64_t mark; /* a dot at this point; -1: none */
} curve;

typedef struct chart {
    const char *id;                  /* unique in the page */
    const char *title, *description; /* for readers who do not see the plot */
    const char *x_title, *y_title;
    bool log_y;
    double lo, hi; /* of y; powers of ten on a logarithmic axis */
    double x0;
    const double *x; /* ascending; NULL: x0, x0 + 1, ... */
    int64_t n;       /* points of every curve */
    int n_curves;
    curve curve[MAX_CURVES];
} chart;

/* Adds a curve of c->n values. The first one sets the axis, each widens it to hold its own. */
void chart_add(chart *c, const char *name, int style, const double *y);

/* Widens a linear axis to whole ticks, a logarithmic one to powers of ten, `most` decades of them. */
void chart_round(chart *c, int most);

/* The chart as a <figure>, with a sentence below, which is HTML already. */
void chart_figure(FILE *out, const chart *c, const char *caption);

/* Writes the <svg> element. Its colours come from the page's style sheet. */
void chart_write(FILE *out, const chart *c);

/* A whole, "nice" step (1, 2 or 5 times a power of ten) that parts a span into at most n. */
double chart_step(double span, int n);

/* Writes text with the characters that mean something in HTML replaced. */
void html_text(FILE *out, const char *text);

#endif
