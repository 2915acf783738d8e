/* report_terminal.c -- sparklines and heat maps in the lines of a terminal.
 *
 *     states   200 steps, 4 to a column
 *       h      total       ▁▁▁▁▁▂▂▂▂▃▃▃▄▄▄▅▅▅▆▆▇▇██   1.2e-09 .. 0.034
 *
 * A table of one row is a sparkline, one of many rows a heat map; the two numbers behind are what
 * its lowest and highest mark stand for. Norms are drawn by their logarithm. */
#include "graph/report_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { LEVELS = 8, NAME = 12, QUANTITY = 13, ROW = 6, BEHIND = 30, MOST_ROWS = 12 };

typedef struct marks {
    const char *level[LEVELS]; /* low to high */
    const char *zero, *broken; /* exactly 0 of a norm; NaN or infinite */
} marks;

static const marks spark_marks[2] = {
    { { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }, " ", "!" },
    { { "_", ".", "-", "=", "+", "*", "#", "@" }, " ", "!" },
};
static const marks heat_marks[2] = {
    { { "·", "·", "░", "░", "▒", "▒", "▓", "█" }, " ", "!" },
    { { ".", ":", "-", "=", "+", "*", "#", "@" }, " ", "!" },
};

/* Blue through grey to red, of the 256 colours that terminals agree on. */
enum { N_COLOURS = 11 };
static const int colours[N_COLOURS] = { 27, 33, 39, 74, 110, 248, 180, 216, 209, 203, 196 };

typedef struct strip {
    const sqi_sheet *s;
    sqi_table t;
    sqi_groups rows, cols;
    sqi_scale scale;
    double lo, hi;
    int64_t width, repeat; /* marks in a line; how many of them for a column */
} strip;

/* What a mark's height means: at least a decade of a norm, so that nothing flat looks steep. */
static bool find_limits(strip *p)
{
    p->lo = HUGE_VAL;
    p->hi = -HUGE_VAL;
    for (int64_t i = 0; i < p->rows.groups; i++)
        for (int64_t k = 0; k < p->cols.groups; k++) {
            double v = sqi_pooled(&p->t, p->rows, p->cols, i, k);
            if (!isfinite(v) || (p->t.log && !(v > 0))) continue;
            p->lo = fmin(p->lo, v);
            p->hi = fmax(p->hi, v);
        }
    return p->lo <= p->hi;
}

static int level_of(const strip *p, double v)
{
    double lo = p->t.log ? log10(p->lo) : p->lo, hi = p->t.log ? log10(p->hi) : p->hi;
    double least = p->t.log ? 1 : 1e-9 * fmax(1, fabs(hi));
    if (hi - lo < least && !p->t.log) return 0;
    if (hi - lo < least) lo = hi - least;
    double x = ((p->t.log ? log10(v) : v) - lo) / (hi - lo);
    int level = (int)(x * LEVELS);
    return level < 0 ? 0 : level >= LEVELS ? LEVELS - 1 : level;
}

static void put_mark(sqi_sink *out, const strip *p, const marks *m, double v)
{
    bool ascii = p->s->report->ascii, finite = isfinite(v) != 0, zero = p->t.log && v == 0;
    const char *text = !finite ? m[ascii].broken
                       : zero  ? m[ascii].zero
                               : m[ascii].level[level_of(p, v)];
    bool coloured = p->s->report->colour && finite && p->t.log && v > 0;
    if (coloured) {
        double x = sqi_scale_at(p->scale, v);
        sqi_putf(out, "\033[38;5;%dm", colours[(int)lround((x + 1) / 2 * (N_COLOURS - 1))]);
    }
    for (int64_t i = 0; i < p->repeat; i++) sqi_put(out, text);
    if (coloured) sqi_put(out, "\033[0m");
}

/* Text in a column so many characters wide, cut off where it is too long. */
static void put_cell(sqi_sink *out, const char *text, size_t length, int width)
{
    size_t n = 0, bytes = 0;
    while (bytes < length && n < (size_t)width - 1) {
        bytes++;
        while (bytes < length && ((unsigned char)text[bytes] & 0xC0) == 0x80) bytes++;
        n++;
    }
    sqi_put_bytes(out, text, bytes);
    sqi_putf(out, "%*s", (int)((size_t)width - n), "");
}

static void put_label(sqi_sink *out, const strip *p)
{
    char name[128];
    sqi_sink cell = { name, sizeof name, 0 };
    sqi_put_table_name(&cell, &p->t, p->s->report->ascii ? SQI_ASCII : SQI_PLAIN);
    size_t length = sqi_put_end(&cell);
    sqi_put(out, "  ");
    put_cell(out, name, length < sizeof name ? length : sizeof name - 1, NAME);
    put_cell(out, p->t.quantity, strlen(p->t.quantity), QUANTITY);
}

static void put_limits(sqi_sink *out, const strip *p)
{
    sqi_put(out, "  ");
    sqi_put_number(out, p->lo);
    sqi_put(out, " .. ");
    sqi_put_number(out, p->hi);
    sqi_put(out, "\n");
}

static void put_spark(sqi_sink *out, strip *p)
{
    bool any = find_limits(p);
    put_label(out, p);
    for (int64_t k = 0; k < p->cols.groups; k++)
        put_mark(out, p, spark_marks, sqi_pooled(&p->t, p->rows, p->cols, 0, k));
    if (any) put_limits(out, p);
    else sqi_put(out, "  no finite number\n");
}

static void put_heat(sqi_sink *out, strip *p)
{
    bool any = find_limits(p);
    put_label(out, p);
    bool pooled = p->rows.n > p->rows.groups;
    sqi_putf(out, pooled ? "%" PRId64 " by %s in %" PRId64 " rows" : "%" PRId64 " rows by %s",
             p->t.rows, p->t.row, p->rows.groups);
    if (any) put_limits(out, p);
    else sqi_put(out, "\n");
    for (int64_t i = 0; i < p->rows.groups; i++) {
        sqi_putf(out, "%*s%*" PRId64 "  ", NAME + QUANTITY - ROW, "", ROW,
                 sqi_group_first(p->rows, i));
        for (int64_t k = 0; k < p->cols.groups; k++)
            put_mark(out, p, heat_marks, sqi_pooled(&p->t, p->rows, p->cols, i, k));
        sqi_put(out, "\n");
    }
}

/* Numbers that have no time: as many as a line takes. */
static void put_numbers(sqi_sink *out, const strip *p)
{
    static const char between[] = "  ", and_more[] = "  ...";
    size_t room = (size_t)(p->width + BEHIND) - strlen(and_more), used = 0;
    int64_t i = 0;
    put_label(out, p);
    for (; i < p->rows.groups; i++) {
        char text[SQI_NUMBER_TEXT];
        size_t n = strlen(sqi_number_text(p->t.at(&p->t, i, 0), text)) + strlen(between);
        if (used + n > room) break;
        if (i) sqi_put(out, between);
        sqi_put(out, text);
        used += n;
    }
    sqi_put(out, i < p->rows.n ? and_more : "");
    sqi_put(out, "\n");
}

static void put_table(sqi_sink *out, strip *p)
{
    p->cols = sqi_groups_of(p->t.cols, p->width);
    p->rows = sqi_groups_of(p->t.rows, MOST_ROWS);
    if (!p->t.over_time) put_numbers(out, p);
    else if (p->t.rows == 1) put_spark(out, p);
    else put_heat(out, p);
}

static void put_heading(sqi_sink *out, const strip *p)
{
    sqi_quoting how = p->s->report->ascii ? SQI_ASCII : SQI_PLAIN;
    sqi_put_name(out, sqi_sheet_title(p->s), how);
    sqi_putf(out, "\n%" PRId64 " step%s", p->s->steps, p->s->steps == 1 ? "" : "s");
    if (p->s->steps > p->width)
        sqi_putf(out,
                 ", pooled to %" PRId64 " columns: the largest of a norm, the mean of the rest",
                 p->width);
    sqi_put(out, "\n");
    if (p->s->report->note) {
        sqi_put_name(out, p->s->report->note, how);
        sqi_put(out, "\n");
    }
}

void sqi_terminal(const sqi_sheet *s, sqi_sink *out)
{
    enum { USUAL = 80, LEAST = 8, WIDEST = 6 };
    int64_t columns = s->report->columns > 0 ? s->report->columns : USUAL;
    strip p = { .s = s, .scale = sqi_scale_of(s, "states", SQI_MOST_DECADES) };
    p.width = columns - 2 - NAME - QUANTITY - BEHIND;
    if (p.width < LEAST) p.width = LEAST;
    p.repeat = s->steps > 0 ? p.width / s->steps : 1;
    p.repeat = p.repeat < 1 ? 1 : p.repeat > WIDEST ? WIDEST : p.repeat;
    put_heading(out, &p);
    const char *panel = "";
    for (int64_t i = 0; s->table(s, i, &p.t); i++) {
        if (!p.t.rows) continue;
        if (strcmp(panel, p.t.panel) != 0) sqi_putf(out, "\n%s\n", p.t.panel);
        panel = p.t.panel;
        put_table(out, &p);
    }
}
