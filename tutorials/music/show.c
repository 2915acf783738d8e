/* show.c -- two keys share a line of the terminal, as upper and lower halves of a character. */
#include "show.h"

#include "../common/files.h"
#include "../common/picture.h"

#include <string.h>

enum { PER_LINE = 72 };

/* The keys that are used, from *low to *high; the middle C when none is. */
static void span(const song *s, int *low, int *high)
{
    *low = KEYS;
    *high = -1;
    for (int64_t t = 0; t < s->n; t++)
        for (int k = 0; k < KEYS; k++) {
            if (!s->frame[t].down[k]) continue;
            if (k < *low) *low = k;
            if (k > *high) *high = k;
        }
    if (*high < 0) *low = *high = 60 - LOWEST;
}

static void note_name(int key, char name[16])
{
    static const char *const names[12] = { "C",  "C#", "D",  "D#", "E",  "F",
                                           "F#", "G",  "G#", "A",  "A#", "B" };
    int note = LOWEST + key;
    snprintf(name, 16, "%s%d", names[note % 12], note / 12 - 1);
}

/* ---- Terminal ---------------------------------------------------------------------------- */

static void terminal_line(const song *s, int64_t from, int64_t to, int lower, bool ascii)
{
    static const char *const halves[2][4] = { { " ", "▄", "▀", "█" }, { " ", ".", "'", ":" } };
    char name[16];
    note_name(lower, name);
    printf("%4s ", name);
    for (int64_t t = from; t < to; t++) {
        bool below = s->frame[t].down[lower],
             above = lower + 1 < KEYS && s->frame[t].down[lower + 1];
        fputs(halves[ascii][below + 2 * above], stdout);
    }
    putchar('\n');
}

void show_terminal(const song *s, int64_t given, bool ascii)
{
    int low, high;
    span(s, &low, &high);
    low -= (LOWEST + low) % 2; /* C is always the lower one of its line */
    for (int64_t from = 0; from < s->n; from += PER_LINE) {
        int64_t to = s->n - from < PER_LINE ? s->n : from + PER_LINE;
        for (int k = high - (high - low) % 2; k >= low && k >= 0; k -= 2)
            terminal_line(s, from, to, k, ascii);
        fputs("     ", stdout);
        for (int64_t t = from; t < to; t++) putchar(t < given ? '-' : '=');
        puts("\n");
    }
    puts("     --- given   === drawn\n");
}

/* ---- Picture ----------------------------------------------------------------------------- */

static const char style[] =
    ".note{fill:var(--blue)}.given{fill:var(--soft)}\n"
    ".black{fill:var(--line);opacity:.45}\n"
    ".border{stroke:var(--orange);stroke-width:1.5;stroke-dasharray:4 3}\n";

/* Rows of black keys are shaded, as on the piano; Cs are named. */
static void draw_keys(FILE *out, const box *b, int low, int high)
{
    double step = box_y(b, 0) - box_y(b, 1);
    for (int k = low; k <= high; k++) {
        int note = (LOWEST + k) % 12;
        if (strchr("\1\3\6\10\12", note) && note)
            fprintf(out, "<rect class='black' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n",
                    b->left, box_y(b, k + .5), b->right - b->left, step);
        if (note) continue;
        char name[16];
        note_name(k, name);
        fprintf(out, "<path class='grid' d='M%.1f %.1fH%.1f'/>", b->left, box_y(b, k - .5),
                b->right);
        picture_text(out, "tick", b->left - 8, box_y(b, k) + 4, "end", name);
    }
}

/* Held notes are one bar each; what was given and what was drawn never share one. */
static void draw_notes(FILE *out, const box *b, const song *s, int64_t given)
{
    double height = .8 * (box_y(b, 0) - box_y(b, 1));
    for (int k = 0; k < KEYS; k++)
        for (int64_t t = 0; t < s->n;) {
            int64_t from = t, end = t < given ? given : s->n;
            while (t < end && s->frame[t].down[k]) t++;
            if (t == from) {
                t++;
                continue;
            }
            double x = box_x(b, (double)from);
            fprintf(out,
                    "<rect class='%s' x='%.1f' y='%.1f' width='%.1f' height='%.1f' rx='2'/>\n",
                    from < given ? "given" : "note", x, box_y(b, k) - height / 2,
                    box_x(b, (double)t) - x - 1, height);
        }
}

static void draw_frames(FILE *out, const box *b, int64_t n)
{
    double step = picture_step((double)n, 10);
    for (double t = 0; t <= (double)n; t += step < 1 ? 1 : step) {
        char text[32];
        snprintf(text, sizeof text, "%g", t);
        fprintf(out, "<path class='grid' d='M%.1f %.1fV%.1f'/>", box_x(b, t), b->top,
                b->bottom);
        picture_text(out, "tick", box_x(b, t), b->bottom + 18, "middle", text);
    }
    picture_text(out, "axis", (b->left + b->right) / 2, b->bottom + 40, "middle", "frame");
}

void show_svg(const song *s, int64_t given, const char *path)
{
    int low, high;
    char title[120];
    span(s, &low, &high);
    low = low > 2 ? low - 2 : 0;
    high = high + 2 < KEYS ? high + 2 : KEYS - 1;
    double bottom = 60 + 11. * (high - low + 1);
    box b = { 60,
              60,
              1000,
              bottom,
              { "frame", 0, s->n ? (double)s->n : 1, false },
              { "key", low - .5, high + .5, false } };
    FILE *out = file_open(path);
    snprintf(title, sizeof title, "%lld frames given, %lld drawn by the network",
             (long long)given, (long long)(s->n - given));
    picture_begin(out, 1040, (int)bottom + 60, title,
                  "A piano roll: time to the right, keys upwards, a bar for every note.",
                  style);
    picture_text(out, "title", b.left, 36, "start", title);
    draw_keys(out, &b, low, high);
    draw_frames(out, &b, s->n);
    draw_notes(out, &b, s, given);
    if (given < s->n)
        fprintf(out, "<path class='border' d='M%.1f %.1fV%.1f'/>\n",
                box_x(&b, (double)given) - .5, b.top - 10, b.bottom);
    fprintf(out, "<path class='frame' d='M%.1f %.1fV%.1fH%.1f'/>\n", b.left, b.top, b.bottom,
            b.right);
    picture_end(out);
    file_close(out, path);
}

/* ---- Table ------------------------------------------------------------------------------- */

void show_csv(const song *s, int64_t given, const char *path)
{
    FILE *out = file_open(path);
    fputs("frame,from,notes\n", out);
    for (int64_t t = 0; t < s->n; t++) {
        const char *between = "";
        fprintf(out, "%lld,%s,", (long long)t + 1, t < given ? "given" : "drawn");
        for (int k = 0; k < KEYS; k++) {
            if (!s->frame[t].down[k]) continue;
            fprintf(out, "%s%d", between, LOWEST + k);
            between = " ";
        }
        fputc('\n', out);
    }
    file_close(out, path);
}
