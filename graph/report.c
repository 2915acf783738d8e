/* report.c -- the list of tables of a ledger, how many steps become one column, and which colour a
 * number has. Each row of `kinds` is one sort of table: what it is called, over what it runs, and
 * the reader of ledger.h that gives its numbers. */
#include "graph/report_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Readers: a number of the ledger at (row, step) ------------------------------------------ */

static const sq_ledger *ledger_of(const sqi_table *t)
{
    return ((const sq_report *)t->source)->ledger;
}

static double total(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_total(ledger_of(t), step, t->item);
}

static double immediate(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_immediate(ledger_of(t), step, t->item);
}

static double cosine(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_cosine(ledger_of(t), step, t->item);
}

static double unit(const sqi_table *t, int64_t row, int64_t step)
{
    return sq_ledger_unit(ledger_of(t), step, t->item, row);
}

static double reach(const sqi_table *t, int64_t row, int64_t step)
{
    return sq_ledger_reach(ledger_of(t), row, step, t->item);
}

static sq_weight weight_of(const sqi_table *t) { return (sq_weight){ t->item + 1 }; }

static double contribution(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_weight(ledger_of(t), step, weight_of(t));
}

static double weight_cosine(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_weight_cosine(ledger_of(t), step, weight_of(t));
}

/* What is used after the last step. */
static double outside(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row, (void)step;
    return sq_ledger_weight(ledger_of(t), sq_ledger_steps(ledger_of(t)), weight_of(t));
}

static double whole(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row, (void)step;
    return sq_ledger_weight_total(ledger_of(t), weight_of(t));
}

static double far_share(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row, (void)step;
    return sq_ledger_weight_far(ledger_of(t), weight_of(t));
}

static double gate_mean(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_gate(ledger_of(t), step, t->item).mean;
}

static double gate_deviation(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_gate(ledger_of(t), step, t->item).deviation;
}

static double gate_saturated(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_gate(ledger_of(t), step, t->item).saturated;
}

static double gate_gradient(const sqi_table *t, int64_t row, int64_t step)
{
    (void)row;
    return sq_ledger_gate(ledger_of(t), step, t->item).gradient;
}

static double singular(const sqi_table *t, int64_t row, int64_t step)
{
    const sq_report *r = t->source;
    return r->singular[step * r->n_singular + row];
}

static double lyapunov(const sqi_table *t, int64_t row, int64_t step)
{
    (void)step;
    return ((const sq_report *)t->source)->lyapunov[row];
}

/* ---- How many tables of a sort, how they are called, how many rows --------------------------- */

static int64_t n_states(const sq_report *r) { return sq_ledger_n_states(r->ledger); }
static int64_t n_gates(const sq_report *r) { return sq_ledger_n_gates(r->ledger); }
static int64_t n_weights(const sq_report *r) { return sq_ledger_n_weights(r->ledger); }
static int64_t n_singular(const sq_report *r) { return r->singular && r->n_singular > 0; }
static int64_t n_lyapunov(const sq_report *r) { return r->lyapunov && r->n_lyapunov > 0; }

static const char *state_name(const sq_report *r, int32_t i)
{
    return sq_ledger_state_name(r->ledger, i);
}
static const char *gate_name(const sq_report *r, int32_t i)
{
    return sq_ledger_gate_name(r->ledger, i);
}
static const char *weight_name(const sq_report *r, int32_t i)
{
    return r->params ? sq_weight_name(r->params, (sq_weight){ i + 1 }) : "";
}
static const char *no_name(const sq_report *r, int32_t i)
{
    (void)r, (void)i;
    return "";
}

static int64_t one_row(const sq_report *r, int32_t i)
{
    (void)r, (void)i;
    return 1;
}
static int64_t unit_rows(const sq_report *r, int32_t i)
{
    bool kept = sq_ledger_total_values(r->ledger, 0, i) != NULL;
    return kept ? sq_ledger_width(r->ledger, i) : 0;
}
static int64_t cosine_rows(const sq_report *r, int32_t i) { return unit_rows(r, i) > 0; }
static int64_t loss_rows(const sq_report *r, int32_t i)
{
    (void)i;
    return sq_ledger_n_losses(r->ledger);
}
static int64_t singular_rows(const sq_report *r, int32_t i)
{
    (void)i;
    return r->n_singular;
}
static int64_t lyapunov_rows(const sq_report *r, int32_t i)
{
    (void)i;
    return r->n_lyapunov;
}

typedef struct sort_of_table {
    const char *panel, *quantity, *row;
    int64_t (*count)(const sq_report *r);
    const char *(*name)(const sq_report *r, int32_t i);
    int64_t (*rows)(const sq_report *r, int32_t i);
    double (*at)(const sqi_table *t, int64_t row, int64_t col);
    bool over_time, log, optional; /* optional: left out where there is no number at all */
    sqi_pooling pool;
    int64_t most_rows;
} sort_of_table;

enum { MOST_COLUMNS = 500, MOST_UNITS = 64, MOST_SINGULAR = 32 };

/* clang-format off */
static const sort_of_table sorts[SQ_N_TABLES] = {
    /*                           panel      quantity        row         over            called       rows           numbers         time   log    optional */
    [SQ_TABLE_TOTAL]          = { "states",   "total",        "",         n_states,       state_name,  one_row,       total,          true,  true,  false, SQI_LARGEST, 1 },
    [SQ_TABLE_IMMEDIATE]      = { "states",   "immediate",    "",         n_states,       state_name,  one_row,       immediate,      true,  true,  false, SQI_LARGEST, 1 },
    [SQ_TABLE_COSINE]         = { "states",   "cosine",       "",         n_states,       state_name,  cosine_rows,   cosine,         true,  false, false, SQI_MEAN,    1 },
    [SQ_TABLE_UNITS]          = { "units",    "total",        "unit",     n_states,       state_name,  unit_rows,     unit,           true,  true,  false, SQI_LARGEST, MOST_UNITS },
    [SQ_TABLE_REACH]          = { "reach",    "total",        "loss",     n_states,       state_name,  loss_rows,     reach,          true,  true,  false, SQI_LARGEST, MOST_COLUMNS },
    [SQ_TABLE_WEIGHTS]        = { "weights",  "contribution", "",         n_weights,      weight_name, one_row,       contribution,   true,  true,  true,  SQI_LARGEST, 1 },
    [SQ_TABLE_WEIGHT_COSINE]  = { "weights",  "cosine",       "",         n_weights,      weight_name, one_row,       weight_cosine,  true,  false, true,  SQI_MEAN,    1 },
    [SQ_TABLE_WEIGHT_OUTSIDE] = { "weights",  "outside",      "",         n_weights,      weight_name, one_row,       outside,        false, true,  true,  SQI_LARGEST, 1 },
    [SQ_TABLE_WEIGHT_WHOLE]   = { "weights",  "whole",        "",         n_weights,      weight_name, one_row,       whole,          false, true,  true,  SQI_LARGEST, 1 },
    [SQ_TABLE_WEIGHT_FAR]     = { "weights",  "far",          "",         n_weights,      weight_name, one_row,       far_share,      false, false, true,  SQI_LARGEST, 1 },
    [SQ_TABLE_GATE_MEAN]      = { "gates",    "mean",         "",         n_gates,        gate_name,   one_row,       gate_mean,      true,  false, false, SQI_MEAN,    1 },
    [SQ_TABLE_GATE_DEVIATION] = { "gates",    "deviation",    "",         n_gates,        gate_name,   one_row,       gate_deviation, true,  false, false, SQI_MEAN,    1 },
    [SQ_TABLE_GATE_SATURATED] = { "gates",    "saturated",    "",         n_gates,        gate_name,   one_row,       gate_saturated, true,  false, true,  SQI_MEAN,    1 },
    [SQ_TABLE_GATE_GRADIENT]  = { "gates",    "gradient",     "",         n_gates,        gate_name,   one_row,       gate_gradient,  true,  true,  false, SQI_LARGEST, 1 },
    [SQ_TABLE_SINGULAR]       = { "jacobian", "singular",     "index",    n_singular,     no_name,     singular_rows, singular,       true,  true,  false, SQI_LARGEST, MOST_SINGULAR },
    [SQ_TABLE_LYAPUNOV]       = { "jacobian", "lyapunov",     "exponent", n_lyapunov,     no_name,     lyapunov_rows, lyapunov,       false, false, false, SQI_LARGEST, MOST_COLUMNS },
};
/* clang-format on */

bool sqi_without_numbers(const sqi_table *t)
{
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t k = 0; k < t->cols; k++)
            if (!isnan(t->at(t, i, k))) return false;
    return true;
}

int64_t sqi_tables_of_sort(const sq_report *r, sq_report_table sort)
{
    return sorts[sort].count(r);
}

sqi_table sqi_table_of_sort(const sq_report *r, sq_report_table sort, int32_t item)
{
    const sort_of_table *k = &sorts[sort];
    return (sqi_table){ .panel = k->panel,
                        .name = k->name(r, item),
                        .quantity = k->quantity,
                        .rows = k->rows(r, item),
                        .cols = k->over_time ? sq_ledger_steps(r->ledger) : 1,
                        .over_time = k->over_time,
                        .log = k->log,
                        .optional = k->optional,
                        .alone = k->name == no_name,
                        .pool = k->pool,
                        .most_rows = k->most_rows,
                        .row = k->row,
                        .at = k->at,
                        .source = r,
                        .item = item };
}

static bool ledger_table(const sqi_sheet *s, int64_t i, sqi_table *t)
{
    int sort = 0;
    for (; sort < SQ_N_TABLES && i >= sorts[sort].count(s->report); sort++)
        i -= sorts[sort].count(s->report);
    if (sort == SQ_N_TABLES) return false;
    *t = sqi_table_of_sort(s->report, (sq_report_table)sort, (int32_t)i);
    if (t->optional && sqi_without_numbers(t)) t->rows = 0;
    return true;
}

sqi_sheet sqi_sheet_of(const sq_report *r)
{
    return (sqi_sheet){ r, sq_ledger_steps(r->ledger), ledger_table };
}

const char *sqi_sheet_title(const sqi_sheet *s)
{
    return s->report->title ? s->report->title : "gradients through time";
}

void sqi_put_table_name(sqi_sink *out, const sqi_table *t, sqi_quoting how)
{
    if (*t->name) sqi_put_name(out, t->name, how);
    else if (strcmp(t->panel, "jacobian") != 0) sqi_putf(out, "%d", (int)t->item);
}

/* ---- Columns that stand for several steps ----------------------------------------------------- */

sqi_groups sqi_columns_of(const sqi_table *t) { return sqi_groups_of(t->cols, MOST_COLUMNS); }
sqi_groups sqi_rows_of(const sqi_table *t) { return sqi_groups_of(t->rows, t->most_rows); }

double sqi_pooled(const sqi_table *t, sqi_groups rows, sqi_groups cols, int64_t row,
                  int64_t col)
{
    double most = -HUGE_VAL, sum = 0;
    int64_t n = 0;
    for (int64_t i = sqi_group_first(rows, row); i < sqi_group_first(rows, row + 1); i++)
        for (int64_t k = sqi_group_first(cols, col); k < sqi_group_first(cols, col + 1); k++) {
            double v = t->at(t, i, k);
            if (isnan(v)) return v;
            most = fmax(most, v);
            sum += v;
            n++;
        }
    if (n == 1) return most;
    return t->pool == SQI_LARGEST ? most : sum / (double)n;
}

/* ---- Colours ---------------------------------------------------------------------------------- */

bool sqi_range(const sqi_table *t, double *least, double *most)
{
    *least = HUGE_VAL;
    *most = 0;
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t k = 0; k < t->cols; k++) {
            double v = t->at(t, i, k);
            if (!(v > 0) || isinf(v)) continue;
            *least = fmin(*least, v);
            *most = fmax(*most, v);
        }
    return *most > 0;
}

/* Where the gradient starts: the last step at which it is a positive number. */
static double start_of(const sqi_table *t)
{
    for (int64_t k = t->cols - 1; k >= 0; k--) {
        double v = t->at(t, 0, k);
        if (v > 0 && !isinf(v)) return v;
    }
    return 0;
}

/* The decades that a table's numbers go away from neutral. */
static double decades_of(const sqi_table *t, double neutral)
{
    double lo, hi;
    if (!sqi_range(t, &lo, &hi)) return 1;
    return ceil(fmax(log10(hi) - log10(neutral), log10(neutral) - log10(lo)));
}

sqi_scale sqi_scale_of(const sqi_sheet *s, const char *panel, double most)
{
    sqi_scale c = { 0, 1 };
    sqi_table t;
    for (int64_t i = 0; c.neutral <= 0 && s->table(s, i, &t); i++)
        if (!strcmp(t.panel, "states") && t.log) c.neutral = start_of(&t);
    if (c.neutral <= 0) c.neutral = 1;
    for (int64_t i = 0; s->table(s, i, &t); i++)
        if (!strcmp(t.panel, panel) && t.log)
            c.decades = fmax(c.decades, decades_of(&t, c.neutral));
    c.decades = fmin(c.decades, most);
    return c;
}

double sqi_scale_at(sqi_scale c, double v)
{
    double x = (log10(v) - log10(c.neutral)) / c.decades;
    return fmin(1, fmax(-1, x));
}

/* ---- The public forms -------------------------------------------------------------------------- */

static size_t write_form(const sq_report *r, char *buf, size_t n,
                         void (*form)(const sqi_sheet *s, sqi_sink *out))
{
    sqi_sink out = { buf, buf ? n : 0, 0 };
    if (r && r->ledger) {
        sqi_sheet s = sqi_sheet_of(r);
        form(&s, &out);
    }
    return sqi_put_end(&out);
}

size_t sq_report_terminal(const sq_report *r, char *buf, size_t n)
{
    return write_form(r, buf, n, sqi_terminal);
}
size_t sq_report_csv(const sq_report *r, char *buf, size_t n)
{
    return write_form(r, buf, n, sqi_csv);
}
size_t sq_report_svg(const sq_report *r, char *buf, size_t n)
{
    return write_form(r, buf, n, sqi_svg);
}
size_t sq_report_html(const sq_report *r, char *buf, size_t n)
{
    return write_form(r, buf, n, sqi_html);
}
