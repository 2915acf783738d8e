/* picture.h -- one SVG file that needs nothing else, readable on light and on dark paper.
 *
 * A picture holds text and boxes with axes; a box maps numbers to places, linearly or by their
 * logarithms. Colours are classes of the picture's style sheet, so that one drawing serves both
 * papers; they are those of Okabe and Ito, which people who confuse red and green can tell apart,
 * and each style has dashes of its own. */
#ifndef PICTURE_H
#define PICTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* An axis: from lo to hi, on a logarithmic scale if asked (then both are above 0). */
typedef struct axis {
    const char *title;
    double lo, hi;
    bool log;
} axis;

/* A box of the picture: left, top, right, bottom in its units. */
typedef struct box {
    double left, top, right, bottom;
    axis x, y;
} box;

/* Curves have styles 1 to 9: blue solid, dashed, dotted; green; pink; ink; orange solid, dashed,
 * dotted. What is no number, or outside the axis, breaks a curve. */
typedef struct curve {
    const char *name;
    int style;
    const double *x, *y;
    int64_t n;
} curve;

/* The <svg> element of so many units, a title and a description for those who do not see it. More
 * rules for its style sheet, or NULL. */
void picture_begin(FILE *out, int width, int height, const char *title, const char *description,
                   const char *style);
void picture_end(FILE *out);

double box_x(const box *b, double x);
double box_y(const box *b, double y);

/* Grid, ticks, axis titles and frame; curves, and their names at their right ends, moved apart. */
void picture_axes(FILE *out, const box *b);
void picture_curve(FILE *out, const box *b, const curve *c);
void picture_names(FILE *out, const box *b, const curve *c, int n);

/* Text of a class (title, note, tick, key) at a place; anchor: start, middle, end. */
void picture_text(FILE *out, const char *class, double x, double y, const char *anchor,
                  const char *text);

/* A whole, "nice" step (1, 2 or 5 times a power of ten) that parts a span into at most n. */
double picture_step(double span, int n);

#endif
