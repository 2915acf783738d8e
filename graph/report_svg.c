/* report_svg.c -- one picture for a paper or a slide: |dL/dh_t| of every state as curves over time,
 * and below them a strip per state in the colours of the page.
 *
 * Colours are classes of its own style sheet, so that one file serves light and dark. */
#include "graph/report_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    WIDTH = 860,
    LEFT = 92,
    RIGHT = 20,
    TOP = 64,
    PLOT = 260,
    STRIP = 26,
    GAP = 8,
    N_SHADES = 21, /* from vanished to exploded; the middle one is neutral */
    N_CURVES = 5
};

/* Blue, paper, red in light and in dark: told apart with any colour vision, and in grey by the
 * curve above. */
static const char *const style[] = {
    "<style>\n"
    "text { font: 13px system-ui, sans-serif; fill: #5a636b; }\n"
    ".title { font-size: 17px; font-weight: 600; fill: #1c2024; }\n"
    ".paper { fill: #fff; } .grid { stroke: #e1e5e8; fill: none; } .frame { stroke: #7d868e; fill: none; }\n"
    ".curve { fill: none; stroke-width: 2; stroke-linejoin: round; }\n"
    ".own { stroke-width: 1; stroke-dasharray: 2 3; }\n"
    ".c0 { stroke: #1c2024; } .c1 { stroke: #b85000; } .c2 { stroke: #00805c; }\n"
    ".c3 { stroke: #a3457c; } .c4 { stroke: #0068a8; }\n"
    ".zero { fill: none; stroke: #b9c0c6; stroke-width: .5; } .broken { fill: #e8b800; }\n",
    "@media (prefers-color-scheme: dark) {\n"
    "text { fill: #a3acb4; } .title { fill: #e6e9ec; } .paper { fill: #14171a; }\n"
    ".grid { stroke: #2b3137; } .frame { stroke: #77818a; }\n"
    ".c0 { stroke: #e6e9ec; } .c1 { stroke: #f0a030; } .c2 { stroke: #2ec79a; }\n"
    ".c3 { stroke: #e396c1; } .c4 { stroke: #56b4e9; }\n"
    "}\n",
    NULL
};

/* The scale at -1, -2/3 ... 1, in light and in dark. */
enum { N_STOPS = 7 };
static const unsigned char stops[2][N_STOPS][3] = {
    { { 11, 60, 130 },
      { 63, 127, 196 },
      { 168, 203, 230 },
      { 239, 236, 230 },
      { 244, 182, 150 },
      { 214, 92, 72 },
      { 142, 15, 38 } },
    { { 150, 208, 255 },
      { 74, 144, 217 },
      { 42, 84, 138 },
      { 52, 56, 64 },
      { 140, 58, 46 },
      { 221, 98, 74 },
      { 255, 176, 144 } },
};

typedef struct picture {
    const sqi_sheet *s;
    sqi_sink *out;
    sqi_scale scale;
    double lo, hi; /* decades of the plot */
    int states;
} picture;

static void put_shades(sqi_sink *out, int dark)
{
    for (int i = 0; i < N_SHADES; i++) {
        double x = (double)i / (N_SHADES - 1) * (N_STOPS - 1);
        int k = x < N_STOPS - 1 ? (int)x : N_STOPS - 2, rgb[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (int)lround(stops[dark][k][c] +
                                 (x - k) * (stops[dark][k + 1][c] - stops[dark][k][c]));
        sqi_putf(out, ".s%d { fill: #%02x%02x%02x; }\n", i, (unsigned)rgb[0], (unsigned)rgb[1],
                 (unsigned)rgb[2]);
    }
}

static void put_style(sqi_sink *out)
{
    for (int i = 0; style[i]; i++) sqi_put(out, style[i]);
    put_shades(out, 0);
    sqi_put(out, "@media (prefers-color-scheme: dark) {\n");
    put_shades(out, 1);
    sqi_put(out, "}\n</style>\n");
}

/* The i-th table of norms of states; immediate ones are the thin curves. */
static bool is_norm(const sqi_table *t)
{
    return t->rows && t->log && !strcmp(t->panel, "states");
}
static bool is_total(const sqi_table *t) { return is_norm(t) && !strcmp(t->quantity, "total"); }

static void find_limits(picture *p)
{
    enum { MOST_DECADES = 20 };
    sqi_table t;
    double least = HUGE_VAL, most = 0, lo, hi;
    for (int64_t i = 0; p->s->table(p->s, i, &t); i++) {
        p->states += is_total(&t);
        if (!is_norm(&t) || !sqi_range(&t, &lo, &hi)) continue;
        least = fmin(least, lo);
        most = fmax(most, hi);
    }
    p->lo = most > 0 ? floor(log10(least)) : -1;
    p->hi = most > 0 ? ceil(log10(most)) : 0;
    if (p->hi <= p->lo) p->lo = p->hi - 1;
    p->lo = fmax(p->lo, p->hi - MOST_DECADES);
}

static double at_x(double column, int64_t columns)
{
    return LEFT + column * (WIDTH - LEFT - RIGHT) / (columns > 0 ? (double)columns : 1);
}
static double at_y(const picture *p, double v)
{
    return TOP + PLOT * (p->hi - log10(v)) / (p->hi - p->lo);
}

static void put_point(sqi_sink *out, const char *command, double x, double y)
{
    sqi_put(out, command);
    sqi_put_tenths(out, x);
    sqi_put(out, " ");
    sqi_put_tenths(out, y);
}

static void put_curve(const picture *p, const sqi_table *t, int colour)
{
    sqi_groups cols = sqi_columns_of(t), rows = sqi_rows_of(t);
    bool down = false, own = !is_total(t);
    sqi_putf(p->out, "<path class='curve%s c%d' d='", own ? " own" : "", colour % N_CURVES);
    for (int64_t k = 0; k < cols.groups; k++) {
        double v = sqi_pooled(t, rows, cols, 0, k);
        bool drawn = v > 0 && isfinite(v) && log10(v) >= p->lo;
        if (drawn)
            put_point(p->out, down ? "L" : "M", at_x((double)k + .5, cols.groups), at_y(p, v));
        if (drawn && !down) sqi_put(p->out, "h.1"); /* a point alone is seen, too */
        down = drawn;
    }
    sqi_put(p->out, "'/>\n");
}

static const char *shade(const picture *p, double v, char buf[SQI_NUMBER_TEXT])
{
    sqi_sink s = { buf, SQI_NUMBER_TEXT, 0 };
    if (!isfinite(v)) sqi_put(&s, "broken");
    else if (!(v > 0)) sqi_put(&s, "zero");
    else sqi_putf(&s, "s%d", (int)lround((sqi_scale_at(p->scale, v) + 1) / 2 * (N_SHADES - 1)));
    sqi_put_end(&s);
    return buf;
}

/* Neighbours of one shade are one rectangle. In front, the curve's colour and the name. */
static void put_strip(const picture *p, const sqi_table *t, int y, int colour)
{
    sqi_groups cols = sqi_columns_of(t), rows = sqi_rows_of(t);
    char now[SQI_NUMBER_TEXT], next[SQI_NUMBER_TEXT];
    for (int64_t k = 0, from = 0; k < cols.groups; k++) {
        (void)shade(p, sqi_pooled(t, rows, cols, 0, k), now);
        bool last = k + 1 == cols.groups;
        if (!last && !strcmp(now, shade(p, sqi_pooled(t, rows, cols, 0, k + 1), next)))
            continue;
        double x = at_x((double)from, cols.groups), right = at_x((double)k + 1, cols.groups);
        sqi_putf(p->out, "<rect class='%s' x='", now);
        sqi_put_tenths(p->out, x);
        sqi_putf(p->out, "' y='%d' width='", y);
        sqi_put_tenths(p->out, right - x);
        sqi_putf(p->out, "' height='%d'/>\n", STRIP);
        from = k + 1;
    }
    sqi_putf(p->out,
             "<path class='curve c%d' d='M12 %dh22'/><text x='%d' y='%d' text-anchor='end'>",
             colour % N_CURVES, y + 14, LEFT - 10, y + 18);
    sqi_put_table_name(p->out, t, SQI_XML);
    sqi_put(p->out, "</text>\n");
}

static void put_axes(const picture *p)
{
    int span = (int)(p->hi - p->lo), step = span > 8 ? (span + 7) / 8 : 1;
    for (int e = (int)p->hi; e >= (int)p->lo; e -= step) {
        double y = TOP + PLOT * (p->hi - e) / (p->hi - p->lo);
        put_point(p->out, "<path class='grid' d='M", LEFT, y);
        sqi_putf(p->out, "H%d'/><text x='%d' y='", WIDTH - RIGHT, LEFT - 10);
        sqi_put_tenths(p->out, y + 4);
        sqi_putf(p->out, "' text-anchor='end'>1e%+d</text>\n", e);
    }
    sqi_putf(p->out, "<path class='frame' d='M%d %dV%dH%d'/>\n", LEFT, TOP, TOP + PLOT,
             WIDTH - RIGHT);
}

/* Steps below the strips. */
static void put_steps(const picture *p, int y)
{
    int64_t last = p->s->steps - 1, every = 1;
    for (int i = 0; last / every > 10; i++) every = i % 3 == 1 ? every / 2 * 5 : every * 2;
    for (int64_t k = 0; k <= last; k += every) {
        sqi_put(p->out, "<text text-anchor='middle' x='");
        sqi_put_tenths(p->out, at_x((double)k + .5, last + 1));
        sqi_putf(p->out, "' y='%d'>%" PRId64 "</text>\n", y, k);
    }
    sqi_putf(p->out, "<text text-anchor='end' x='%d' y='%d'>step</text>\n", LEFT - 10, y);
}

/* Three digits are enough on a scale. */
static void put_short(sqi_sink *out, double v)
{
    double unit = pow(10, floor(log10(v)) - 2);
    sqi_put_number(out, round(v / unit) * unit);
}

static void put_legend(const picture *p, int y)
{
    enum { BOX = 12, SPAN = BOX * N_SHADES, WORD = 80 };
    int x = WIDTH - RIGHT - WORD - SPAN;
    for (int i = 0; i < N_SHADES; i++)
        sqi_putf(p->out, "<rect class='s%d' x='%d' y='%d' width='%d' height='12'/>\n", i,
                 x + i * BOX, y, BOX);
    for (int i = -1; i <= 1; i++) {
        sqi_putf(p->out, "<text text-anchor='middle' x='%d' y='%d'>%s", x + SPAN * (i + 1) / 2,
                 y + 28,
                 i < 0   ? "≤ "
                 : i > 0 ? "≥ "
                         : "");
        put_short(p->out, pow(10, log10(p->scale.neutral) + i * p->scale.decades));
        sqi_put(p->out, "</text>\n");
    }
    sqi_putf(
        p->out,
        "<text text-anchor='end' x='%d' y='%d'>vanishing</text><text x='%d' y='%d'>exploding</text>\n"
        "<rect class='broken' x='%d' y='%d' width='%d' height='12'/><text x='%d' y='%d'>nan, inf</text>\n",
        x - 10, y + 11, x + SPAN + 10, y + 11, LEFT, y, BOX, LEFT + BOX + 8, y + 11);
}

static void put_head(const picture *p, int height)
{
    sqi_putf(
        p->out,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' "
        "role='img'>\n<title>",
        WIDTH, height, WIDTH, height);
    sqi_put_name(p->out, sqi_sheet_title(p->s), SQI_XML);
    sqi_put(p->out,
            "</title>\n<desc>The norm of the gradient of the loss with respect to every state, "
            "by step, on a logarithmic scale; dashed: what the step's own loss sends.");
    if (p->s->report->note) {
        sqi_put(p->out, " ");
        sqi_put_name(p->out, p->s->report->note, SQI_XML);
    }
    sqi_put(p->out, "</desc>\n");
    put_style(p->out);
    sqi_putf(p->out,
             "<rect class='paper' width='%d' height='%d'/>\n<text class='title' x='%d' y='28'>",
             WIDTH, height, LEFT);
    sqi_put_name(p->out, sqi_sheet_title(p->s), SQI_XML);
    sqi_putf(p->out, "</text>\n<text x='%d' y='48'>|dL/dh| by step", LEFT);
    sqi_groups cols = sqi_groups_of(p->s->steps, 500);
    if (cols.groups < cols.n)
        sqi_putf(p->out,
                 "; %" PRId64 " steps pooled to %" PRId64 " columns, the largest of each",
                 cols.n, cols.groups);
    sqi_put(p->out, "</text>\n");
}

void sqi_svg(const sqi_sheet *s, sqi_sink *out)
{
    picture p = { .s = s, .out = out, .scale = sqi_scale_of(s, "states", SQI_MOST_DECADES) };
    sqi_table t;
    find_limits(&p);
    int strips = TOP + PLOT + 2 * GAP, below = strips + p.states * (STRIP + GAP);
    put_head(&p, below + 84);
    put_axes(&p);
    int colour = 0, own = 0, strip = 0;
    for (int64_t i = 0; s->table(s, i, &t); i++)
        if (is_norm(&t)) put_curve(&p, &t, is_total(&t) ? colour++ : own++);
    for (int64_t i = 0; s->table(s, i, &t); i++) {
        if (!is_total(&t)) continue;
        put_strip(&p, &t, strips + strip * (STRIP + GAP), strip);
        strip++;
    }
    put_steps(&p, below + 12);
    put_legend(&p, below + 36);
    sqi_put(out, "</svg>\n");
}
