#include "tests/support/sheet.h"

#include <math.h>
#include <stdlib.h>

/* Not random, but without a pattern: 0 <= bump < 1. */
static double bump(int64_t a, int64_t b)
{
    uint64_t z = ((uint64_t)a * 0x9E3779B97F4A7C15u + (uint64_t)b) * 0xBF58476D1CE4E5B9u;
    return (double)((z ^ (z >> 29)) >> 12 & 0xFFFFFFFFu) * 0x1p-32;
}

static double decay(const sqi_table *t) { return t->item % 2 ? .985 : .93; }

/* Losses at every step: sum_i decay^(i - k) of those after k. */
static double total(const sqi_table *t, int64_t row, int64_t k)
{
    double d = decay(t), n = (double)(t->cols - k);
    (void)row;
    return .02 * (.7 + .6 * bump(k, t->item)) * (1 - pow(d, n)) / (1 - d);
}

static double immediate(const sqi_table *t, int64_t row, int64_t k)
{
    (void)row;
    return .02 * (.7 + .6 * bump(k, t->item + 7));
}

static double cosine(const sqi_table *t, int64_t row, int64_t k)
{
    (void)row;
    return cos((double)k / (double)t->cols * 2 + .4 * bump(k, t->item));
}

static double unit(const sqi_table *t, int64_t row, int64_t k)
{
    return total(t, 0, k) * pow(10, -2 * bump(row, 3)) * (.3 + bump(row, k));
}

static double reach(const sqi_table *t, int64_t i, int64_t k)
{
    return k > i ? 0 : .02 * (.6 + .8 * bump(i, k)) * pow(decay(t), (double)(i - k));
}

static double contribution(const sqi_table *t, int64_t row, int64_t k)
{
    (void)row;
    return t->cols == 1 ? .3 + t->item
                        : total(t, 0, k) * (1 + t->item % 5) * bump(k / 7, t->item);
}

static double gate(const sqi_table *t, int64_t row, int64_t k)
{
    (void)row;
    double x = .5 + .4 * sin((double)k / (double)t->cols * 9 + t->item);
    if (t->quantity[0] == 'm') return t->item == 2 ? 2 * x - 1 : x;
    if (t->quantity[0] == 'd') return .15 + .05 * bump(k, 1);
    return t->quantity[0] == 's' ? fmax(0, 2 * fabs(x - .5) - .5) : total(t, 0, k) * .2;
}

static double singular(const sqi_table *t, int64_t i, int64_t k)
{
    double top = 1.05 + .15 * bump(k, 5);
    return top * pow(10, -3.0 * (double)i / (double)t->rows) * (.9 + .1 * bump(i, k));
}

static double lyapunov(const sqi_table *t, int64_t i, int64_t k)
{
    (void)k;
    return .06 - 1.2 * (double)i / (double)t->rows;
}

static double wild(const sqi_table *t, int64_t row, int64_t k)
{
    (void)row;
    if (k == 0) return (double)NAN;
    if (k == 1) return HUGE_VAL;
    if (k % 7 == 3) return 0;
    return pow(10, 308 - 600 * (double)k / (double)t->cols);
}

static double wild_negative(const sqi_table *t, int64_t row, int64_t k)
{
    (void)t, (void)row;
    return k == 0 ? -HUGE_VAL : k == 1 ? -1.5 : k == 2 ? -1e-7 : (double)NAN;
}

static const char *const weight_names[12] = { "lstm.W_i", "lstm.U_i", "lstm.b_i", "lstm.W_f",
                                              "lstm.U_f", "lstm.b_f", "lstm.W_g", "lstm.U_g",
                                              "lstm.b_g", "lstm.W_o", "lstm.U_o", "lstm.b_o" };
static const char *const gate_names[6] = { "i", "f", "g", "o", "h", "c" };
static const char *const state_names[2] = { "h", "c" };
static const char *const layer_names[2] = { "9.h", "10.h" };

static const struct {
    const char *panel, *quantity, *row;
    int32_t items;
    bool over_time, log;
    sqi_pooling pool;
    double (*at)(const sqi_table *t, int64_t row, int64_t col);
} plain[] = {
    { "states", "total", "", 2, true, true, SQI_LARGEST, total },
    { "states", "immediate", "", 2, true, true, SQI_LARGEST, immediate },
    { "states", "cosine", "", 2, true, false, SQI_MEAN, cosine },
    { "units", "total", "unit", 2, true, true, SQI_LARGEST, unit },
    { "reach", "total", "loss", 2, true, true, SQI_LARGEST, reach },
    { "weights", "contribution", "", 12, true, true, SQI_LARGEST, contribution },
    { "weights", "whole", "", 12, false, true, SQI_LARGEST, contribution },
    { "gates", "mean", "", 6, true, false, SQI_MEAN, gate },
    { "gates", "deviation", "", 6, true, false, SQI_MEAN, gate },
    { "gates", "saturated", "", 6, true, false, SQI_MEAN, gate },
    { "gates", "gradient", "", 6, true, true, SQI_LARGEST, gate },
    { "jacobian", "singular", "index", 1, true, true, SQI_LARGEST, singular },
    { "jacobian", "lyapunov", "exponent", 1, false, false, SQI_LARGEST, lyapunov },
};

static const char *name_of(const char *panel, int32_t item)
{
    if (panel[0] == 'w') return weight_names[item];
    if (panel[0] == 'g') return gate_names[item];
    return panel[0] == 'j' ? "" : state_names[item];
}

static bool plain_table(const sqi_sheet *s, int64_t i, sqi_table *t)
{
    const made_sheet *m = (const made_sheet *)s;
    size_t n = m->kind == SHEET_SMALL || m->kind == SHEET_STACK ? 2
                                                                : sizeof plain / sizeof *plain,
           k = 0;
    for (; k < n && i >= plain[k].items; k++) i -= plain[k].items;
    if (k == n) return false;
    char first = plain[k].panel[0];
    int64_t rows = first == 'u' || first == 'j' ? m->units : first == 'r' ? s->steps : 1;
    *t = (sqi_table){ .panel = plain[k].panel,
                      .name = m->kind == SHEET_STACK ? layer_names[i]
                                                     : name_of(plain[k].panel, (int32_t)i),
                      .quantity = plain[k].quantity,
                      .rows = rows,
                      .cols = plain[k].over_time ? s->steps : 1,
                      .over_time = plain[k].over_time,
                      .log = plain[k].log,
                      .pool = plain[k].pool,
                      .most_rows = first == 'r'   ? 500
                                   : first == 'u' ? 64
                                                  : 32,
                      .row = plain[k].row,
                      .at = plain[k].at,
                      .source = m,
                      .item = (int32_t)i };
    return true;
}

/* Names that a reader must take for names: markup, quotes, separators, control characters, bytes
 * that are no UTF-8, and characters beyond ASCII. */
const char *const wild_names[] = { "</script><b>&\"h'", "a,b \"c\"\n\\d", "\xff\x01Größe", "" };

static bool wild_table(const sqi_sheet *s, int64_t i, sqi_table *t)
{
    if (i >= 8) return false;
    *t = (sqi_table){ .panel = "states",
                      .name = wild_names[i % 4],
                      .quantity = i < 4 ? "total" : "immediate",
                      .rows = 1,
                      .cols = s->steps,
                      .over_time = true,
                      .log = true,
                      .pool = SQI_LARGEST,
                      .most_rows = 1,
                      .row = "",
                      .at = i == 3 ? wild_negative : wild,
                      .source = s,
                      .item = (int32_t)i % 4 };
    return true;
}

void sheet_make(made_sheet *m, sheet_kind kind, int64_t steps, int64_t units)
{
    *m = (made_sheet){ .kind = kind, .units = units };
    m->report.title = kind == SHEET_WILD ? "<i>wild</i> & \"quoted\"" : NULL;
    m->report.note =
        kind == SHEET_WILD ? "a note with </script> in it" : "an LSTM made of formulas";
    m->sheet = (sqi_sheet){ &m->report, steps, kind == SHEET_WILD ? wild_table : plain_table };
}

char *sheet_text(const made_sheet *m, void (*form)(const sqi_sheet *s, sqi_sink *out))
{
    const size_t room = (size_t)8 << 20; /* enough at the first go: counting takes as long */
    char *text = malloc(room);
    sqi_sink out = { text, text ? room : 0, 0 };
    form(&m->sheet, &out);
    if (sqi_put_end(&out) < room) return text;
    free(text);
    text = malloc(out.length + 1);
    sqi_sink again = { text, text ? out.length + 1 : 0, 0 };
    form(&m->sheet, &again);
    (void)sqi_put_end(&again);
    return text;
}
