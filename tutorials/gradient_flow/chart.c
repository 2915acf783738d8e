/* chart.c -- axes, ticks, curves and a legend, in a box of 860 x 420 units.
 *
 * Two mappings carry everything: x() and y() from data to the box. Colours and dashes are
 * classes of the style sheet, so that one drawing serves light and dark. */
#include "chart.h"

#include <math.h>

enum {
    WIDTH = 860,
    HEIGHT = 420,
    LEFT = 76,
    RIGHT = 16,
    TOP = 44,
    BOTTOM = 56,
    LEGEND_STEP = 128
};

static double position(const chart *c, int64_t i) { return c->x ? c->x[i] : c->x0 + (double)i; }

static double at_x(const chart *c, double x)
{
    double first = position(c, 0), span = position(c, c->n - 1) - first;
    return LEFT + (x - first) / (span > 0 ? span : 1) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const chart *c, double y)
{
    double share = c->log_y ? (log10(y) - log10(c->lo)) / (log10(c->hi) - log10(c->lo))
                            : (y - c->lo) / (c->hi - c->lo);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

void html_text(FILE *out, const char *text)
{
    for (; *text; text++) switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
        }
}

double chart_step(double span, int n)
{
    double unit = pow(10, floor(log10(span / n))), rough = span / n / unit;
    return unit * (rough <= 1 ? 1 : rough <= 2 ? 2 : rough <= 5 ? 5 : 10);
}

static void x_axis(FILE *out, const chart *c)
{
    double first = position(c, 0), last = position(c, c->n - 1),
           step = fmax(1, chart_step(fmax(1, last - first), 12));
    for (double x = ceil(first / step) * step; x <= last; x += step)
        fprintf(out,
                "<path class='grid' d='M%.1f %d V%d'/><text class='tick' x='%.1f' y='%d' "
                "text-anchor='middle'>%.0f</text>\n",
                at_x(c, x), TOP, HEIGHT - BOTTOM, at_x(c, x), HEIGHT - BOTTOM + 18, x);
    fprintf(out, "<text class='axis' x='%d' y='%d' text-anchor='middle'>",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
    html_text(out, c->x_title);
    fputs("</text>\n", out);
}

static void y_tick(FILE *out, const chart *c, double y)
{
    double at = at_y(c, y);
    fprintf(out, "<path class='grid' d='M%d %.1f H%d'/>", LEFT, at, WIDTH - RIGHT);
    fprintf(out, "<text class='tick' x='%d' y='%.1f' text-anchor='end'>", LEFT - 8, at + 4);
    if (c->log_y)
        fprintf(out, "10<tspan dy='-5' font-size='9'>%.0f</tspan></text>\n", log10(y));
    else fprintf(out, "%g</text>\n", fabs(y) < 1e-12 * (c->hi - c->lo) ? 0 : y);
}

static void y_axis(FILE *out, const chart *c)
{
    if (c->log_y) {
        double lo = log10(c->lo), hi = log10(c->hi), step = fmax(1, chart_step(hi - lo, 8));
        for (double e = ceil(lo / step) * step; e <= hi + .5; e += step)
            y_tick(out, c, pow(10, e));
    } else {
        double step = chart_step(c->hi - c->lo, 8);
        for (double y = ceil(c->lo / step) * step; y <= c->hi + 1e-9 * step; y += step)
            y_tick(out, c, y);
    }
    int middle = (TOP + HEIGHT - BOTTOM) / 2;
    fprintf(out,
            "<text class='axis' transform='translate(18 %d) rotate(-90)' text-anchor='middle'>",
            middle);
    html_text(out, c->y_title);
    fputs("</text>\n", out);
}

static bool drawable(const chart *c, double y)
{
    return isfinite(y) && (!c->log_y || y >= c->lo);
}

static void draw_curve(FILE *out, const chart *c, const curve *v)
{
    bool pen_down = false;
    fprintf(out, "<path class='curve s%d' d='", v->style);
    for (int64_t i = 0; i < c->n; i++) {
        double y = v->y[i * v->y_step];
        if (drawable(c, y))
            fprintf(out, "%c%.1f %.1f", pen_down ? 'L' : 'M', at_x(c, position(c, i)),
                    at_y(c, y));
        pen_down = drawable(c, y);
    }
    fputs("'/>\n", out);
    if (v->mark >= 0 && v->mark < c->n && drawable(c, v->y[v->mark * v->y_step]))
        fprintf(out, "<circle class='dot s%d' cx='%.1f' cy='%.1f' r='5'/>\n", v->style,
                at_x(c, position(c, v->mark)), at_y(c, v->y[v->mark * v->y_step]));
}

static void legend(FILE *out, const chart *c)
{
    for (int i = 0; i < c->n_curves; i++) {
        int x = LEFT + i * LEGEND_STEP;
        fprintf(out, "<path class='curve s%d' d='M%d 22h30'/><text class='key' x='%d' y='26'>",
                c->curve[i].style, x, x + 38);
        html_text(out, c->curve[i].name);
        fputs("</text>\n", out);
    }
}

void chart_add(chart *c, const char *name, int style, const double *y)
{
    bool first = c->n_curves == 0;
    c->curve[c->n_curves++] = (curve){ name, style, y, 1, -1 };
    for (int64_t i = 0; i < c->n; i++) {
        if (!isfinite(y[i]) || (c->log_y && !(y[i] > 0))) continue;
        c->lo = first ? y[i] : fmin(c->lo, y[i]);
        c->hi = first ? y[i] : fmax(c->hi, y[i]);
        first = false;
    }
}

void chart_round(chart *c, int most)
{
    if (c->log_y) {
        double lo = floor(log10(c->lo)), hi = ceil(log10(c->hi));
        if (!(c->hi > 0)) lo = -1, hi = 0;
        if (hi <= lo) lo = hi - 1;
        c->lo = pow(10, fmax(lo, hi - most));
        c->hi = pow(10, hi);
        return;
    }
    double least = 1e-9 * fmax(1, fmax(fabs(c->lo), fabs(c->hi)));
    double step = chart_step(fmax(c->hi - c->lo, least), 8);
    c->lo = floor(c->lo / step) * step;
    c->hi = ceil(c->hi / step) * step;
    if (c->hi <= c->lo) c->hi = c->lo + step;
}

void chart_figure(FILE *out, const chart *c, const char *caption)
{
    fputs("<figure>\n<div class='wide'>\n", out);
    chart_write(out, c);
    fprintf(out, "</div>\n<figcaption>%s</figcaption>\n</figure>\n", caption);
}

void chart_write(FILE *out, const chart *c)
{
    fprintf(out, "<svg viewBox='0 0 %d %d' role='img' aria-labelledby='%s-title %s-desc'>\n",
            WIDTH, HEIGHT, c->id, c->id);
    fprintf(out, "<title id='%s-title'>", c->id);
    html_text(out, c->title);
    fprintf(out, "</title>\n<desc id='%s-desc'>", c->id);
    html_text(out, c->description);
    fputs("</desc>\n", out);
    x_axis(out, c);
    y_axis(out, c);
    fprintf(out, "<path class='frame' d='M%d %dV%dH%d'/>\n", LEFT, TOP, HEIGHT - BOTTOM,
            WIDTH - RIGHT);
    for (int i = 0; i < c->n_curves; i++) draw_curve(out, c, &c->curve[i]);
    legend(out, c);
    fputs("</svg>\n", out);
}
