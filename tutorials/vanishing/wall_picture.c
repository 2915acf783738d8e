/* wall_picture.c -- a map of the error in ten shades, both descents on it, and a cut through the wall.
 *
 * Points of one shade that lie next to each other in a row become one stroke, and all strokes of a
 * shade one path: 22 701 points take a few ten kilobytes. */
#include "wall_picture.h"

#include "../common/files.h"
#include "../common/picture.h"

#include <math.h>
#include <string.h>

/* Shade i stands for errors from i / 20 up. */
enum { SHADES = 10, SHADES_PER_ONE = 20, KEY_WIDTH = 20, KEY_HEIGHT = 18 };

/* The lower the error the more like the paper; lightness alone tells the order. */
static const char style[] =
    "svg{--m0:#fbfcfd;--m1:#e9f0f5;--m2:#d6e5ee;--m3:#c0d8e6;--m4:#a7cadd;--m5:#8cbad3;"
    "--m6:#6fa8c7;--m7:#5495b9;--m8:#3d81a8;--m9:#2a6c94}\n"
    "@media (prefers-color-scheme:dark){svg{--m0:#161a1d;--m1:#1a2329;--m2:#1d2d36;--m3:#203743;"
    "--m4:#234251;--m5:#274e60;--m6:#2c5b70;--m7:#326981;--m8:#3a7893;--m9:#4688a5}}\n"
    ".m{fill:none;stroke-width:3.1}\n"
    ".way{fill:none;stroke-width:1.6;stroke-linejoin:round}\n"
    ".free{stroke:var(--orange)}.clipped{stroke:var(--ink)}.place{fill:var(--ink)}\n"
    ".mark{fill:none;stroke:var(--orange);stroke-width:2}\n"
    ".label{fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--paper);"
    "stroke-width:4;stroke-linejoin:round}\n";

static int shade_of(double error)
{
    return (int)fmin(fmax(floor(error * SHADES_PER_ONE), 0), SHADES - 1);
}

/* ---- The map ----------------------------------------------------------------------------- */

/* All points of one shade: a horizontal stroke per run, as wide as its points. */
static void map_shade(FILE *out, const box *b, const surface *s, int shade)
{
    double half = .5 * (box_x(b, s->w[1]) - box_x(b, s->w[0]));
    fprintf(out, "<path class='m' style='stroke:var(--m%d)' d='", shade);
    for (int64_t row = 0; row < s->n; row += s->n_w)
        for (int64_t i = 0; i < s->n_w;) {
            int64_t from = i;
            int here = shade_of(s->error[row + i]);
            while (i < s->n_w && shade_of(s->error[row + i]) == here) i++;
            if (here != shade) continue;
            double left = fmax(box_x(b, s->w[from]) - half, b->left);
            double right = fmin(box_x(b, s->w[i - 1]) + half, b->right);
            fprintf(out, "M%.0f %.1fH%.0f", left, box_y(b, s->b[row]), right);
        }
    fputs("'/>\n", out);
}

static void key(FILE *out, double x, double y)
{
    for (int i = 0; i < SHADES; i++)
        fprintf(out, "<rect x='%.0f' y='%.0f' width='%d' height='%d' style='fill:var(--m%d)'/>",
                x, y + (SHADES - 1 - i) * KEY_HEIGHT, KEY_WIDTH, KEY_HEIGHT, i);
    fprintf(out, "<rect class='frame' x='%.0f' y='%.0f' width='%d' height='%d'/>\n", x, y,
            KEY_WIDTH, SHADES * KEY_HEIGHT);
    for (int i = 0; i <= SHADES; i += 2) {
        char text[16];
        snprintf(text, sizeof text, "%g", (double)i / SHADES_PER_ONE);
        picture_text(out, "tick", x + KEY_WIDTH + 6, y + (SHADES - i) * KEY_HEIGHT + 4, "start",
                     text);
    }
    picture_text(out, "key", x, y - 12, "start", "E");
}

/* ---- The descents ------------------------------------------------------------------------ */

static bool on_map(const box *b, double w, double bias)
{
    return w >= b->x.lo && w <= b->x.hi && bias >= b->y.lo && bias <= b->y.hi;
}

/* The first point of a descent that lies off the map; updates + 1 when none does. */
static int64_t leaves_at(const box *b, const descent *d)
{
    int64_t i = 0;
    while (i <= d->updates && on_map(b, d->w[i], d->b[i])) i++;
    return i;
}

/* How much of the way from (w,b) to (w2,b2) lies on the map, where (w,b) does. */
static double part_on_map(const box *b, double w, double bias, double w2, double b2)
{
    double part = 1;
    if (w2 > b->x.hi) part = fmin(part, (b->x.hi - w) / (w2 - w));
    if (w2 < b->x.lo) part = fmin(part, (b->x.lo - w) / (w2 - w));
    if (b2 > b->y.hi) part = fmin(part, (b->y.hi - bias) / (b2 - bias));
    if (b2 < b->y.lo) part = fmin(part, (b->y.lo - bias) / (b2 - bias));
    return part;
}

/* The descent up to where it leaves the map. */
static void draw_way(FILE *out, const box *b, const descent *d, const char *class)
{
    int64_t end = leaves_at(b, d);
    fprintf(out, "<path class='way %s' d='M%.1f %.1f", class, box_x(b, d->w[0]),
            box_y(b, d->b[0]));
    for (int64_t i = 1; i <= end && i <= d->updates; i++) {
        double w = d->w[i - 1], bias = d->b[i - 1];
        double part = part_on_map(b, w, bias, d->w[i], d->b[i]);
        fprintf(out, "L%.1f %.1f", box_x(b, w + part * (d->w[i] - w)),
                box_y(b, bias + part * (d->b[i] - bias)));
    }
    fputs("'/>\n", out);
}

static void place(FILE *out, const box *b, double w, double bias, const char *what)
{
    fprintf(out, "<circle class='place' cx='%.1f' cy='%.1f' r='4'/>\n", box_x(b, w),
            box_y(b, bias));
    picture_text(out, "label", box_x(b, w) + 9, box_y(b, bias) - 5, "start", what);
}

/* What became of a descent, below the map. */
static void story(FILE *out, const box *b, const descent *d, double y, const char *class,
                  const char *what)
{
    char text[200];
    int64_t end = leaves_at(b, d), n = d->updates;
    if (end > n)
        snprintf(text, sizeof text, "%s: E = %.4f at (%.2f, %.2f) after %lld updates", what,
                 d->error[n], d->w[n], d->b[n], (long long)n);
    else
        snprintf(text, sizeof text,
                 "%s: update %lld, along a gradient of length %.3g, throws it to (%.3g, %.3g); "
                 "E = %.3g in the end",
                 what, (long long)end, d->steepness[end - 1], d->w[end], d->b[end],
                 d->error[n]);
    fprintf(out, "<path class='way %s' d='M%.1f %.1fh26'/>", class, b->left, y - 4);
    picture_text(out, "key", b->left + 36, y, "start", text);
}

static void draw_descents(FILE *out, const box *b, const descent *unclipped,
                          const descent *clipped)
{
    int64_t n = clipped->updates;
    if (!on_map(b, clipped->w[0], clipped->b[0])) return;
    draw_way(out, b, clipped, "clipped");
    draw_way(out, b, unclipped, "free");
    place(out, b, clipped->w[0], clipped->b[0], "start");
    if (on_map(b, clipped->w[n], clipped->b[n]))
        place(out, b, clipped->w[n], clipped->b[n], "end, clipped");
    story(out, b, unclipped, b->bottom + 68, "free", "without clipping");
    story(out, b, clipped, b->bottom + 90, "clipped", "clipped");
}

/* ---- The cut ----------------------------------------------------------------------------- */

/* E along b through a point, finer than any pixel. */
static void draw_cut(FILE *out, const box *b, double w)
{
    char text[80];
    surface line = surface_new(w, 0, 1, b->x.lo, (b->x.hi - b->x.lo) / 400, 401);
    curve c = { "E", 1, line.b, line.error, line.n };
    picture_axes(out, b);
    picture_curve(out, b, &c);
    snprintf(text, sizeof text, "cut at w = %.2f", w);
    picture_text(out, "key", b->left, b->top - 12, "start", text);
    surface_free(&line);
}

/* ---- The picture ------------------------------------------------------------------------- */

static void draw_map(FILE *out, const box *b, const surface *s)
{
    surface map = surface_new(b->x.lo, .02, 141, b->y.lo, .01, 161);
    char text[80];
    int64_t p = surface_steepest(s);
    double x = box_x(b, s->w[p]), y = box_y(b, s->b[p]);
    picture_axes(out, b);
    for (int i = 0; i < SHADES; i++) map_shade(out, b, &map, i);
    fprintf(out, "<circle class='mark' cx='%.1f' cy='%.1f' r='8'/>\n", x, y);
    snprintf(text, sizeof text, "steepest: %.2f", surface_steepness(s, p));
    picture_text(out, "label", x - 2, y + 30, "end", text);
    surface_free(&map);
}

void wall_picture(const surface *s, const descent *unclipped, const descent *clipped,
                  const char *path)
{
    box map = { 84, 56, 620, 516, { "w", 4.2, 7, false }, { "b", -3.2, -1.6, false } };
    double w = s->w[surface_steepest(s)], b = s->b[surface_steepest(s)];
    box cut = { 790, 296, 1010, 516, { "b", b - .2, b + .2, false }, { "E", 0, .5, false } };
    FILE *out = file_open(path);
    picture_begin(
        out, 1040, 620, "The error surface of one recurrent unit has a wall",
        "A map of the error over w and b. A line divides it; across the line the error "
        "jumps. A descent runs into it, with and without clipping. Beside it the error "
        "along a cut through the wall.",
        style);
    picture_text(out, "title", map.left, 32, "start",
                 "The error surface of one recurrent unit has a wall");
    draw_map(out, &map, s);
    draw_descents(out, &map, unclipped, clipped);
    key(out, map.right + 22, map.top + 40);
    draw_cut(out, &cut, w);
    picture_end(out);
    file_close(out, path);
}
