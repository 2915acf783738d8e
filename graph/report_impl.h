/* report_impl.h -- a report is a list of tables, and every form of it walks that list.
 *
 *     table   panel   name  quantity   [rows][cols], cols being time steps (or one number)
 *             states  h     total      1 x T
 *             reach   h     total      losses x T
 *             gates   f     mean       1 x T
 *
 * A table has no memory: it knows how to read its numbers from where they are. A number is six
 * decimal digits and an exponent, made in one place, so that all forms show the same digits. */
#ifndef SQ_GRAPH_REPORT_IMPL_H
#define SQ_GRAPH_REPORT_IMPL_H

#include "graph/report.h"

/* ---- Text into a caller's buffer (report_text.c) ---- */

/* length counts what would have been written. */
typedef struct sqi_sink {
    char *buf;
    size_t n, length;
} sqi_sink;

void sqi_put(sqi_sink *s, const char *text);
void sqi_put_bytes(sqi_sink *s, const char *bytes, size_t n);
/* No floating formats: those would follow the locale. */
void sqi_putf(sqi_sink *s, const char *fmt, ...) SQ_PRINTF(2, 3);
/* Ends the text, also where it was cut off; its whole length. */
size_t sqi_put_end(sqi_sink *s);

/* What is not allowed in a name, for each of the places a name can stand in. A field of CSV is
 * quoted where it needs to be; bytes that are not UTF-8 become U+FFFD, control characters spaces. */
typedef enum sqi_quoting {
    SQI_PLAIN,
    SQI_ASCII,
    SQI_XML,
    SQI_CSV,
    SQI_JSON,
    SQI_DOT
} sqi_quoting;
void sqi_put_name(sqi_sink *s, const char *name, sqi_quoting how);

/* A number to six significant digits, rounded to nearest: digits 100000..999999 stand for
 * d.ddddd x 10^exponent; digits 0 is zero. */
enum { SQI_DIGITS = 6 };
typedef enum sqi_sort { SQI_FINITE, SQI_NAN, SQI_INFINITE } sqi_sort;
typedef struct sqi_decimal {
    sqi_sort sort;
    bool negative;
    int32_t digits, exponent;
} sqi_decimal;

sqi_decimal sqi_decimal_of(double v);

/* "0.0123457", "1.5e-07", "nan", "-inf": as printf's %g, but whatever the locale. */
enum { SQI_NUMBER_TEXT = 32 };
const char *sqi_number_text(double v, char buf[SQI_NUMBER_TEXT]);
void sqi_put_number(sqi_sink *s, double v);
/* A coordinate: rounded to a tenth. */
void sqi_put_tenths(sqi_sink *s, double v);

/* ---- Tables (report.c) ---- */

/* What one column shows that stands for several steps. */
typedef enum sqi_pooling { SQI_LARGEST, SQI_MEAN } sqi_pooling;

typedef struct sqi_table sqi_table;
struct sqi_table {
    const char *panel, *name, *quantity;
    int64_t rows, cols; /* rows 0: there is nothing to show */
    bool over_time;     /* columns are steps; otherwise there is one */
    bool log;           /* norms and their like: zero or positive, many decades */
    bool optional;      /* left out where there is no number at all */
    bool alone;         /* there is but one of its sort, without a name */
    sqi_pooling pool;
    int64_t most_rows; /* that pages and pictures show; more are pooled */
    const char *row;   /* what a row is: "unit", "loss"; "" where there is one */
    double (*at)(const sqi_table *t, int64_t row, int64_t col);
    const void *source;
    int32_t item; /* state, weight or gate */
};

/* What there is to report: `table` gives the i-th, false past the last. */
typedef struct sqi_sheet sqi_sheet;
struct sqi_sheet {
    const sq_report *report; /* title, note, manner */
    int64_t steps;
    bool (*table)(const sqi_sheet *s, int64_t i, sqi_table *t);
};

sqi_sheet sqi_sheet_of(const sq_report *r);

/* Those of one sort: how many; one of them, an optional one also where all is NaN. */
int64_t sqi_tables_of_sort(const sq_report *r, sq_report_table sort);
sqi_table sqi_table_of_sort(const sq_report *r, sq_report_table sort, int32_t item);
bool sqi_without_numbers(const sqi_table *t);

const char *sqi_sheet_title(const sqi_sheet *s);

/* Its name, or its number where it has none. */
void sqi_put_table_name(sqi_sink *out, const sqi_table *t, sqi_quoting how);

/* n things in at most `most` groups: those of group g are first .. first + count - 1. */
typedef struct sqi_groups {
    int64_t n, groups;
} sqi_groups;
static inline sqi_groups sqi_groups_of(int64_t n, int64_t most)
{
    return (sqi_groups){ n, n < most ? n : most };
}
static inline int64_t sqi_group_first(sqi_groups g, int64_t i)
{
    /* floor(i n / groups) without overflow */
    return g.groups ? i * (g.n / g.groups) + i * (g.n % g.groups) / g.groups : 0;
}

sqi_groups sqi_columns_of(const sqi_table *t); /* at most 500 */
sqi_groups sqi_rows_of(const sqi_table *t);    /* at most t->most_rows */

/* A cell of a table whose rows and columns are grouped: the largest or the mean. NaN wins. */
double sqi_pooled(const sqi_table *t, sqi_groups rows, sqi_groups cols, int64_t row,
                  int64_t col);

/* The colour scale of all forms: log10(v / neutral) over `decades` either way, as -1 (vanished) to
 * 1 (exploded). neutral is the gradient of the first state at the last step it reaches; the decades,
 * 1 to `most`, are those of the panel's norms. */
enum { SQI_MOST_DECADES = 12 };
typedef struct sqi_scale {
    double neutral, decades;
} sqi_scale;
sqi_scale sqi_scale_of(const sqi_sheet *s, const char *panel, double most);
double sqi_scale_at(sqi_scale c, double v);

/* Least and most positive finite number of a table; false when there is none. */
bool sqi_range(const sqi_table *t, double *least, double *most);

/* ---- Forms ---- */

void sqi_csv(const sqi_sheet *s, sqi_sink *out);
void sqi_terminal(const sqi_sheet *s, sqi_sink *out);
void sqi_svg(const sqi_sheet *s, sqi_sink *out);
void sqi_html(const sqi_sheet *s, sqi_sink *out);

/* The page's parts that hold no numbers, each a list ending with NULL: what it looks like and its
 * skeleton (report_page.c), what draws (report_script.c), what the tabs show (report_panels.c). */
extern const char *const sqi_page_style[], *const sqi_page_body[];
extern const char *const sqi_page_script[], *const sqi_page_panels[];

#endif
