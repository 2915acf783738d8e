/* picture.c -- sequences until solved, one line per row: a full dot for each training that arrived,
 * an empty one where it was stopped, a bar where the published number is. */
#include "show.h"

#include "../common/files.h"
#include "../common/picture.h"

#include <math.h>
#include <stdio.h>

enum { LEFT = 170, RIGHT = 760, TOP = 62, LINE = 34 };

static const char style[] = ".dot{fill:var(--blue);stroke:var(--blue);fill-opacity:.6}\n"
                            ".not{fill:none;stroke:var(--blue)}\n"
                            ".told{stroke:var(--orange);stroke-width:3}\n";

static void stretch(axis *x, double v)
{
    if (v <= 0) return;
    x->lo = fmin(x->lo, pow(10, floor(log10(v))));
    x->hi = fmax(x->hi, pow(10, ceil(log10(v) + 1e-9)));
}

static axis axis_of(const record *d, int n)
{
    axis x = { "sequences until solved", 1e300, 0, true };
    for (int i = 0; i < n; i++) {
        stretch(&x, d[i].r.published);
        for (int64_t k = 0; d[i].results && k < d[i].r.seeds; k++)
            stretch(&x, (double)d[i].results[k].sequences);
    }
    return x;
}

static void draw_grid(FILE *out, const box *b)
{
    for (double v = b->x.lo; v < 1.5 * b->x.hi; v *= 10) {
        char text[32];
        snprintf(text, sizeof text, "%.0f", v);
        fprintf(out, "<path class='grid' d='M%.1f %.1fV%.1f'/>\n", box_x(b, v), b->top,
                b->bottom);
        picture_text(out, "tick", box_x(b, v), b->bottom + 18, "middle", text);
    }
    picture_text(out, "axis", (b->left + b->right) / 2, b->bottom + 40, "middle", b->x.title);
}

static void draw_record(FILE *out, const box *b, const record *d, double y)
{
    picture_text(out, "key", b->left - 12, y + 4, "end", d->r.name);
    fprintf(out, "<path class='grid' d='M%.1f %.1fH%.1f'/>\n", b->left, y, b->right);
    if (d->r.published > 0)
        fprintf(out, "<path class='told' d='M%.1f %.1fv18'/>\n", box_x(b, d->r.published),
                y - 9);
    for (int64_t k = 0; k < d->r.seeds; k++)
        fprintf(out, "<circle class='%s' cx='%.1f' cy='%.1f' r='5'/>\n",
                d->results[k].solved ? "dot" : "not", box_x(b, (double)d->results[k].sequences),
                y);
}

void write_picture(const record *d, int n, const options *o)
{
    static const char title[] = "Sequences until a long lag is learnt";
    int lines = 0;
    for (int i = 0; i < n; i++) lines += d[i].results != NULL;
    if (!file_wanted(o->svg) || !lines) return;
    box b = { LEFT, TOP, RIGHT, TOP + LINE * lines, axis_of(d, n), { "", 0, 1, false } };
    FILE *out = file_open(o->svg);
    picture_begin(
        out, RIGHT + 40, (int)b.bottom + 60, title,
        "One line per row of the table on a logarithmic axis: a dot for every training, "
        "empty where it was stopped unsolved, and a bar at the published number.",
        style);
    picture_text(out, "title", 20, 28, "start", title);
    picture_text(out, "note", 20, 48, "start",
                 "dots: trainings here, empty where stopped; bars: published");
    draw_grid(out, &b);
    double y = b.top + LINE / 2.;
    for (int i = 0; i < n; i++)
        if (d[i].results) draw_record(out, &b, &d[i], y), y += LINE;
    picture_end(out);
    file_close(out, o->svg);
}
