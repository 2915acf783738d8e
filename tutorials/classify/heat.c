/* heat.c -- bytes become characters again: those of one UTF-8 character share its place, and their gradients
 * add up as vectors' lengths do, sqrt(sum of squares). What is no UTF-8 is shown as "?". */
#include "heat.h"

#include "../common/files.h"
#include "../common/picture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PER_LINE = 76, SHADES = 8 };

typedef struct letter {
    char text[8];
    double share; /* of the largest gradient of the piece */
} letter;

/* How many bytes the character at s has; 0 when it is none: a stray byte, more bytes than it needs, half
 * of a surrogate pair, beyond the last. *code is its number. */
static int64_t utf8_length(const char *s, int64_t left, unsigned *code)
{
    static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char c = (unsigned char)*s;
    int64_t n = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;
    if (!n || n > left) return 0;
    *code = n == 1 ? c : c & (0x7fu >> n);
    for (int64_t i = 1; i < n; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | ((unsigned char)s[i] & 0x3f);
    }
    return *code >= least[n] && *code <= 0x10ffff && *code >> 11 != 0x1b ? n : 0;
}

/* Neither a control, which a terminal might obey, nor what XML has no place for. */
static bool is_shown(unsigned code)
{
    return code >= ' ' && (code < 127 || code >= 0xa0) && (code & 0xfffe) != 0xfffe;
}

/* The character at s as a text; returns how many bytes it was. */
static int64_t character(const char *s, int64_t left, char text[8])
{
    unsigned code;
    int64_t n = utf8_length(s, left, &code);
    snprintf(text, 8, "%.*s", n && is_shown(code) ? (int)n : 1, n && is_shown(code) ? s : "?");
    return n ? n : 1;
}

/* The character at *at, which moves on. */
static letter next_letter(const guess *g, int64_t *at)
{
    letter l;
    double square = 0, largest = 0;
    int64_t n = character(g->of->text + *at, g->of->n - *at, l.text);
    for (int64_t i = 0; i < n; i++) square += pow(g->gradient[*at + i], 2);
    for (int64_t i = 0; i < g->of->n; i++) largest = fmax(largest, g->gradient[i]);
    l.share = largest > 0 ? fmin(sqrt(square) / largest, 1) : 0;
    *at += n;
    return l;
}

void heat_text(const piece *p, int most)
{
    int64_t at = 0;
    for (int i = 0; i < most && at < p->n; i++) {
        char text[8];
        at += character(p->text + at, p->n - at, text);
        fputs(text, stdout);
    }
}

void heat_terminal(const guess *g, bool ascii)
{
    static const char *const bars[2][SHADES + 1] = {
        { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" },
        { " ", "_", ".", "-", "=", "+", "*", "#", "@" },
    };
    for (int64_t at = 0; at < g->of->n;) {
        letter line[PER_LINE];
        int n = 0;
        while (at < g->of->n && n < PER_LINE) line[n++] = next_letter(g, &at);
        fputs("  ", stdout);
        for (int i = 0; i < n; i++) fputs(line[i].text, stdout);
        fputs("\n  ", stdout);
        for (int i = 0; i < n; i++)
            fputs(bars[ascii][(int)ceil(line[i].share * SHADES)], stdout);
        putchar('\n');
    }
}

/* ---- Picture ----------------------------------------------------------------------------- */

enum {
    COLUMNS = 60,
    LEAST_COLUMNS = 30,
    STEP_X = 15,
    STEP_Y = 34,
    LEFT = 40,
    TOP = 96,
    BETWEEN = 40
};

static const char style[] = ".letter{font:15px ui-monospace,monospace;fill:var(--ink)}\n"
                            ".heat{fill:var(--orange)}\n";

static int letters_of(const guess *g)
{
    int letters = 0;
    for (int64_t at = 0; at < g->of->n; letters++) next_letter(g, &at);
    return letters;
}

static int lines_of(const guess *g) { return (letters_of(g) + COLUMNS - 1) / COLUMNS; }

static void draw_guess(FILE *out, const model *m, const guess *g, double y)
{
    char text[160];
    snprintf(text, sizeof text, "%.60s, %.1f %%   (then %.60s)", m->name[g->first], 100 * g->p,
             m->name[g->second]);
    picture_text(out, "key", LEFT, y, "start", text);
    int64_t at = 0;
    for (int i = 0; at < g->of->n; i++) {
        letter l = next_letter(g, &at);
        double left = LEFT + i % COLUMNS * STEP_X;
        double top = y + 10 + i / COLUMNS * STEP_Y;
        fprintf(out,
                "<rect class='heat' x='%.0f' y='%.0f' width='%d' height='24' opacity='%.3f'/>",
                left, top, STEP_X, .75 * l.share);
        picture_text(out, "letter", left + STEP_X / 2., top + 17, "middle", l.text);
    }
}

void heat_svg(const model *m, const guess *g, int64_t n, const char *path)
{
    int height = TOP, columns = LEAST_COLUMNS;
    for (int64_t i = 0; i < n; i++) {
        int letters = letters_of(&g[i]);
        height += lines_of(&g[i]) * STEP_Y + BETWEEN;
        if (letters > columns) columns = letters < COLUMNS ? letters : COLUMNS;
    }
    FILE *out = file_open(path);
    picture_begin(
        out, 2 * LEFT + columns * STEP_X, height, "Which characters mattered",
        "Pieces of text. The darker behind a character, the more a small change of it "
        "would change the lead of the class guessed over the next.",
        style);
    picture_text(out, "title", LEFT, 36, "start", "Which characters mattered");
    picture_text(out, "note", LEFT, 58, "start",
                 "|d lead / d x| of every character, beside the largest of its piece");
    double y = TOP;
    for (int64_t i = 0; i < n; i++) {
        draw_guess(out, m, &g[i], y);
        y += lines_of(&g[i]) * STEP_Y + BETWEEN;
    }
    picture_end(out);
    file_close(out, path);
}

/* ---- Table ------------------------------------------------------------------------------- */

void heat_csv(const guess *g, int64_t n, const char *path)
{
    FILE *out = file_open(path);
    fputs("piece,at,byte,gradient,lead,without\n", out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < g[i].of->n; k++)
            fprintf(out, "%lld,%lld,%d,%.7g,%.7g,%.7g\n", (long long)i + 1, (long long)k + 1,
                    (unsigned char)g[i].of->text[k], g[i].gradient[k], g[i].lead,
                    g[i].without[k]);
    file_close(out, path);
}
