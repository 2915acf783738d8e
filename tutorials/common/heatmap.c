/* heatmap.c -- shades that are told by lightness alone: paper for 0, the strongest blue for 1. */
#include "heatmap.h"

#include "files.h"
#include "picture.h"

#include <stdio.h>
#include <string.h>

enum { SHADES = 10, CELL = 30, LETTER = 8, TOP = 96, KEY = 90 };

static const char style[] =
    "svg{--m0:#f4f7f9;--m1:#e4edf3;--m2:#d0e1eb;--m3:#b9d3e3;--m4:#a0c4d9;--m5:#84b2cd;"
    "--m6:#659fbf;--m7:#4789af;--m8:#2d729b;--m9:#155a84}\n"
    "@media (prefers-color-scheme:dark){svg{--m0:#1b2024;--m1:#1e2a31;--m2:#21353f;--m3:#25414f;"
    "--m4:#2a4f61;--m5:#305e75;--m6:#386f8b;--m7:#4283a4;--m8:#5099bf;--m9:#66b3dc}}\n"
    ".name{font:14px ui-monospace,monospace;fill:var(--ink);white-space:pre}\n";

static double value_at(const heatmap *h, int64_t row, int64_t column)
{
    return h->value[row * h->columns + column];
}

static int64_t longest(const char *const *names, int64_t n)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++)
        if ((int64_t)strlen(names[i]) > most) most = (int64_t)strlen(names[i]);
    return most;
}

/* ---- In the terminal ----------------------------------------------------------------------- */

/* From nothing to everything. */
static const char *const blocks[2][5] = { { " ", "░", "▒", "▓", "█" },
                                          { " ", ".", "+", "#", "@" } };

/* From a tenth up something is seen. */
static const char *block(double v, bool ascii)
{
    return blocks[ascii][v < .1 ? 0 : v < .3 ? 1 : v < .5 ? 2 : v < .7 ? 3 : 4];
}

void heatmap_print(const heatmap *h)
{
    int left = (int)longest(h->row_names, h->rows);
    int width = (int)longest(h->column_names, h->columns);
    width = width < 2 ? 2 : width + 1;
    printf("  %*s  ", left, "");
    for (int64_t c = 0; c < h->columns; c++) printf("%-*s", width, h->column_names[c]);
    putchar('\n');
    for (int64_t r = 0; r < h->rows; r++) {
        printf("  %*s  ", left, h->row_names[r]);
        for (int64_t c = 0; c < h->columns; c++)
            for (int i = 0; i < width; i++) fputs(block(value_at(h, r, c), h->ascii), stdout);
        putchar('\n');
    }
    const char *const *b = blocks[h->ascii];
    printf("  shades: less than 0.1 nothing, then up to 0.3 %s, 0.5 %s, 0.7 %s, 1 %s\n", b[1],
           b[2], b[3], b[4]);
}

/* ---- As a picture -------------------------------------------------------------------------- */

static void cells(FILE *out, const heatmap *h, int left, int width)
{
    for (int64_t r = 0; r < h->rows; r++)
        for (int64_t c = 0; c < h->columns; c++) {
            double v = value_at(h, r, c);
            int shade = (int)(v * SHADES);
            fprintf(out,
                    "<rect x='%d' y='%d' width='%d' height='%d' style='fill:var(--m%d)'>"
                    "<title>%.3f</title></rect>\n",
                    left + (int)c * width, TOP + (int)r * CELL, width - 1, CELL - 1,
                    shade < SHADES ? shade : SHADES - 1, v);
        }
}

static void names(FILE *out, const heatmap *h, int left, int width)
{
    for (int64_t c = 0; c < h->columns; c++)
        picture_text(out, "name", left + (double)c * width + .5 * width, TOP - 10, "middle",
                     h->column_names[c]);
    for (int64_t r = 0; r < h->rows; r++)
        picture_text(out, "name", left - 12, TOP + (double)r * CELL + 20, "end",
                     h->row_names[r]);
    picture_text(out, "note", left, TOP - 34, "start", h->across);
    picture_text(out, "note", left, TOP + (double)h->rows * CELL + 24, "start", h->down);
}

static void key(FILE *out, int x)
{
    enum { SIDE = 18 };
    for (int i = 0; i < SHADES; i++)
        fprintf(out, "<rect x='%d' y='%d' width='%d' height='%d' style='fill:var(--m%d)'/>\n",
                x, TOP + (SHADES - 1 - i) * SIDE, SIDE, SIDE, i);
    picture_text(out, "tick", x + SIDE + 7, TOP + 10, "start", "1");
    picture_text(out, "tick", x + SIDE + 7, TOP + SHADES * SIDE, "start", "0");
}

void heatmap_svg(const heatmap *h, const char *path)
{
    if (!file_wanted(path)) return;
    int wide = (int)longest(h->column_names, h->columns) * LETTER + 14;
    int width = wide > CELL ? wide : CELL;
    int left = 40 + (int)longest(h->row_names, h->rows) * LETTER;
    int right = left + (int)h->columns * width, rows = (int)h->rows * CELL;
    int title = 60 + (int)strlen(h->title) * 11, whole = right + KEY;
    FILE *out = file_open(path);
    picture_begin(out, whole > title ? whole : title, TOP + (rows > 180 ? rows : 180) + 50,
                  h->title, h->description, style);
    picture_text(out, "title", 28, 32, "start", h->title);
    cells(out, h, left, width);
    names(out, h, left, width);
    key(out, right + 24);
    picture_end(out);
    file_close(out, path);
}
