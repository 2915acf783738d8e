/* report_html.c -- the page: style, a skeleton, the numbers, and the script that draws them.
 *
 * A number is five characters of an alphabet of 85, so that the T x T table of 500 steps takes
 * 0.6 MB and yet every digit of the CSV comes out again:
 *     code = 0                                            zero
 *            1, 2, 3                                      nan, inf, -inf
 *            4 + ((exponent + 330) 2 + negative) 10^6 + digits
 * Zeros at the end of a row are left out. */
#include "graph/report_impl.h"

#include <inttypes.h>
#include <string.h>

enum { ALPHABET = 85, CODE = 5, LEAST_EXPONENT = -330 };

static uint32_t code_of(double v)
{
    sqi_decimal d = sqi_decimal_of(v);
    if (d.sort == SQI_NAN) return 1;
    if (d.sort == SQI_INFINITE) return d.negative ? 3 : 2;
    if (!d.digits) return 0;
    uint32_t scale = (uint32_t)(d.exponent - LEAST_EXPONENT) * 2 + d.negative;
    return 4 + scale * 1000000 + (uint32_t)d.digits;
}

/* From '(' on, without what JSON or HTML would take for its own. */
static char letter(uint32_t i)
{
    char c = (char)('(' + (int)i);
    return c == '<' ? '#' : c == '\\' ? '!' : c;
}

static void put_code(sqi_sink *out, uint32_t code)
{
    char text[CODE];
    for (int i = CODE - 1; i >= 0; i--, code /= ALPHABET) text[i] = letter(code % ALPHABET);
    sqi_put_bytes(out, text, CODE);
}

static void put_row(sqi_sink *out, const sqi_table *t, sqi_groups rows, sqi_groups cols,
                    int64_t row)
{
    int64_t zeros = 0;
    sqi_put(out, "\"");
    for (int64_t k = 0; k < cols.groups; k++) {
        uint32_t code = code_of(sqi_pooled(t, rows, cols, row, k));
        if (!code) {
            zeros++;
            continue;
        }
        for (; zeros > 0; zeros--) put_code(out, 0);
        put_code(out, code);
    }
    sqi_put(out, "\"");
}

static void put_text(sqi_sink *out, const char *key, const char *text)
{
    sqi_putf(out, "\"%s\":\"", key);
    sqi_put_name(out, text, SQI_JSON);
    sqi_put(out, "\",");
}

static void put_table(sqi_sink *out, const sqi_table *t)
{
    sqi_groups rows = sqi_rows_of(t), cols = sqi_columns_of(t);
    sqi_putf(out, "{\"panel\":\"%s\",\"quantity\":\"%s\",\"name\":\"", t->panel, t->quantity);
    sqi_put_table_name(out, t, SQI_JSON);
    sqi_putf(out, "\",\"item\":%d,\"row\":\"%s\",\"time\":%s,\"log\":%s,\"pool\":\"%s\",",
             (int)t->item, t->row, t->over_time ? "true" : "false", t->log ? "true" : "false",
             t->pool == SQI_LARGEST ? "largest" : "mean");
    sqi_putf(out, "\"rows\":%" PRId64 ",\"cols\":%" PRId64 ",\"data\":[", t->rows, cols.groups);
    for (int64_t i = 0; i < rows.groups; i++) {
        if (i) sqi_put(out, ",\n");
        put_row(out, t, rows, cols, i);
    }
    sqi_put(out, "]}");
}

static void put_data(const sqi_sheet *s, sqi_sink *out)
{
    /* One loss vanishes further than all together; beyond six decades it is gone either way. */
    sqi_scale c = sqi_scale_of(s, "states", SQI_MOST_DECADES),
              one = sqi_scale_of(s, "reach", 6);
    sqi_table t;
    bool first = true;
    sqi_put(out, "<script type='application/json' id='data'>\n{");
    put_text(out, "title", sqi_sheet_title(s));
    put_text(out, "note", s->report->note ? s->report->note : "");
    sqi_putf(out, "\"steps\":%" PRId64 ",\"neutral\":", s->steps);
    sqi_put_number(out, c.neutral);
    sqi_put(out, ",\"decades\":");
    sqi_put_number(out, c.decades);
    sqi_put(out, ",\"reach\":");
    sqi_put_number(out, one.decades);
    sqi_put(out, ",\"tables\":[\n");
    for (int64_t i = 0; s->table(s, i, &t); i++) {
        if (!t.rows) continue;
        if (!first) sqi_put(out, ",\n");
        put_table(out, &t);
        first = false;
    }
    sqi_put(out, "]}\n</script>\n");
}

static void put_all(sqi_sink *out, const char *const *part)
{
    for (; *part; part++) sqi_put(out, *part);
}

void sqi_html(const sqi_sheet *s, sqi_sink *out)
{
    sqi_put(out, "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
                 "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
                 "<meta name='color-scheme' content='light dark'>\n"
                 "<link rel='icon' href='data:,'>\n<title>");
    sqi_put_name(out, sqi_sheet_title(s), SQI_XML);
    sqi_put(out, "</title>\n<style>\n");
    put_all(out, sqi_page_style);
    sqi_put(
        out,
        "</style>\n<noscript><style>main { display: none; }</style></noscript>\n</head>\n<body>\n");
    put_all(out, sqi_page_body);
    sqi_put(out,
            "<noscript>\n<p>This picture needs no script; the rest of the page does.</p>\n");
    sqi_svg(s, out);
    sqi_put(out, "</noscript>\n");
    put_data(s, out);
    sqi_put(out, "<script>\n");
    put_all(out, sqi_page_script);
    put_all(out, sqi_page_panels);
    sqi_put(out, "</script>\n</body>\n</html>\n");
}
