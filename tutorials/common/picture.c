/* picture.c -- two mappings carry everything: box_x and box_y from numbers to places. */
#include "picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_STEP = 17, MAX_NAMES = 16, X_TICK = 60, Y_TICK = 45 };

static const char sheet[] =
    "<style>\n"
    "svg{--paper:#fff;--ink:#1c2024;--soft:#5a636b;--line:#e1e5e8;--frame:#7d868e;"
    "--blue:#0068a8;--green:#00805c;--pink:#a3457c;--orange:#b85000}\n"
    "@media (prefers-color-scheme:dark){svg{--paper:#14171a;--ink:#e6e9ec;--soft:#a3acb4;"
    "--line:#2b3137;--frame:#77818a;--blue:#56b4e9;--green:#2ec79a;--pink:#e396c1;"
    "--orange:#f0a030}}\n"
    "text{font:13px system-ui,sans-serif;fill:var(--soft)}\n"
    ".title{font-size:17px;font-weight:600;fill:var(--ink)}\n"
    ".tick{font-size:12px;font-variant-numeric:tabular-nums}\n"
    ".key,.axis{fill:var(--ink)}\n"
    ".paper{fill:var(--paper)}\n"
    ".grid{stroke:var(--line);fill:none}\n"
    ".frame{stroke:var(--frame);fill:none}\n"
    ".curve{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    ".lead{fill:none;stroke-width:1;opacity:.6}\n"
    ".s1,.s2,.s3{stroke:var(--blue)}.s4{stroke:var(--green)}.s5{stroke:var(--pink)}\n"
    ".s6{stroke:var(--ink)}.s7,.s8,.s9{stroke:var(--orange)}\n"
    ".s2,.s8{stroke-dasharray:9 4}.s3,.s9{stroke-dasharray:2 3}.s4{stroke-dasharray:12 3 3 3}\n"
    ".s5{stroke-dasharray:5 2}.lead{stroke-dasharray:none}\n";

static void escaped(FILE *out, const char *text)
{
    for (; *text; text++) switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        default: fputc(*text, out);
        }
}

void picture_begin(FILE *out, int width, int height, const char *title, const char *description,
                   const char *style)
{
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' "
            "height='%d' role='img' aria-labelledby='t d'>\n<title id='t'>",
            width, height, width, height);
    escaped(out, title);
    fputs("</title>\n<desc id='d'>", out);
    escaped(out, description);
    fprintf(out, "</desc>\n%s%s</style>\n<rect class='paper' width='%d' height='%d'/>\n", sheet,
            style ? style : "", width, height);
}

void picture_end(FILE *out) { fputs("</svg>\n", out); }

void picture_text(FILE *out, const char *class, double x, double y, const char *anchor,
                  const char *text)
{
    fprintf(out, "<text class='%s' x='%.1f' y='%.1f' text-anchor='%s'>", class, x, y, anchor);
    escaped(out, text);
    fputs("</text>\n", out);
}

/* ---- Axes -------------------------------------------------------------------------------- */

static double share(const axis *a, double v)
{
    return a->log ? log(v / a->lo) / log(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);
}

double box_x(const box *b, double x)
{
    return b->left + share(&b->x, x) * (b->right - b->left);
}
double box_y(const box *b, double y)
{
    return b->bottom - share(&b->y, y) * (b->bottom - b->top);
}

double picture_step(double span, int n)
{
    double unit = pow(10, floor(log10(span / n))), rough = span / n / unit;
    return unit * (rough <= 1 ? 1 : rough <= 2 ? 2 : rough <= 5 ? 5 : 10);
}

/* The i-th tick of an axis, or NaN after the last. On a logarithmic one every so many decades. */
static double tick(const axis *a, int i, int at_most)
{
    double lo = a->log ? log10(a->lo) : a->lo, hi = a->log ? log10(a->hi) : a->hi,
           step = picture_step(hi - lo, at_most);
    if (a->log) step = fmax(1, step);
    double at = (ceil(lo / step - 1e-9) + i) * step;
    if (at > hi + 1e-9 * step) return (double)NAN;
    if (fabs(at) < 1e-9 * step) at = 0;
    return a->log ? pow(10, at) : at;
}

static void tick_text(FILE *out, const axis *a, double v, double x, double y,
                      const char *anchor)
{
    if (!a->log) {
        char text[32];
        snprintf(text, sizeof text, "%g", v);
        picture_text(out, "tick", x, y, anchor, text);
        return;
    }
    fprintf(out,
            "<text class='tick' x='%.1f' y='%.1f' text-anchor='%s'>10<tspan dy='-5' "
            "font-size='9'>%.0f</tspan></text>\n",
            x, y, anchor, log10(v));
}

void picture_axes(FILE *out, const box *b)
{
    double v;
    int n_x = (int)(b->right - b->left) / X_TICK, n_y = (int)(b->bottom - b->top) / Y_TICK;
    for (int i = 0; !isnan(v = tick(&b->x, i, n_x)); i++) {
        fprintf(out, "<path class='grid' d='M%.1f %.1fV%.1f'/>", box_x(b, v), b->top,
                b->bottom);
        tick_text(out, &b->x, v, box_x(b, v), b->bottom + 18, "middle");
    }
    for (int i = 0; !isnan(v = tick(&b->y, i, n_y)); i++) {
        fprintf(out, "<path class='grid' d='M%.1f %.1fH%.1f'/>", b->left, box_y(b, v),
                b->right);
        tick_text(out, &b->y, v, b->left - 8, box_y(b, v) + 4, "end");
    }
    fprintf(out, "<path class='frame' d='M%.1f %.1fV%.1fH%.1f'/>\n", b->left, b->top, b->bottom,
            b->right);
    picture_text(out, "axis", (b->left + b->right) / 2, b->bottom + 40, "middle", b->x.title);
    fprintf(out,
            "<text class='axis' transform='translate(%.1f %.1f) rotate(-90)' "
            "text-anchor='middle'>",
            b->left - 52, (b->top + b->bottom) / 2);
    escaped(out, b->y.title);
    fputs("</text>\n", out);
}

/* ---- Curves ------------------------------------------------------------------------------ */

static bool inside(const axis *a, double v) { return isfinite(v) && v >= a->lo && v <= a->hi; }

static bool drawable(const box *b, const curve *c, int64_t i)
{
    return inside(&b->x, c->x[i]) && inside(&b->y, c->y[i]);
}

void picture_curve(FILE *out, const box *b, const curve *c)
{
    bool pen_down = false;
    fprintf(out, "<path class='curve s%d' d='", c->style);
    for (int64_t i = 0; i < c->n; i++) {
        bool seen = drawable(b, c, i);
        if (seen)
            fprintf(out, "%c%.1f %.1f", pen_down ? 'L' : 'M', box_x(b, c->x[i]),
                    box_y(b, c->y[i]));
        pen_down = seen;
    }
    fputs("'/>\n", out);
}

/* Where a curve was seen last, and where its name goes. */
typedef struct end {
    const curve *of;
    double x, y, text;
} end;

static int higher(const void *a, const void *b)
{
    double u = ((const end *)a)->y, v = ((const end *)b)->y;
    return (u > v) - (u < v);
}

/* Moves names down where they would touch, then up again where they ran out of the box. */
static void part(end *e, int n, double bottom)
{
    for (int i = 0; i < n; i++) {
        e[i].text = e[i].y;
        if (i && e[i].text < e[i - 1].text + NAME_STEP) e[i].text = e[i - 1].text + NAME_STEP;
    }
    for (int i = n - 1; i >= 0; i--) {
        double limit = i == n - 1 ? bottom : e[i + 1].text - NAME_STEP;
        if (e[i].text > limit) e[i].text = limit;
    }
}

void picture_names(FILE *out, const box *b, const curve *c, int n)
{
    end e[MAX_NAMES];
    int kept = 0;
    for (int i = 0; i < n && kept < MAX_NAMES; i++)
        for (int64_t k = c[i].n - 1; k >= 0; k--) {
            if (!drawable(b, &c[i], k)) continue;
            e[kept++] = (end){ &c[i], box_x(b, c[i].x[k]), box_y(b, c[i].y[k]), 0 };
            break;
        }
    qsort(e, (size_t)kept, sizeof *e, higher);
    part(e, kept, b->bottom);
    for (int i = 0; i < kept; i++) {
        if (e[i].x > b->right - 1)
            fprintf(out, "<path class='lead s%d' d='M%.1f %.1fh4L%.1f %.1f'/>", e[i].of->style,
                    e[i].x, e[i].y, b->right + 18, e[i].text);
        fprintf(out, "<path class='curve s%d' d='M%.1f %.1fh26'/>\n", e[i].of->style,
                b->right + 18, e[i].text);
        picture_text(out, "key", b->right + 50, e[i].text + 4, "start", e[i].of->name);
    }
}
