/* series.c -- reads one column of a CSV file.
 *
 * The file is read whole and split in place into cells: commas part cells, line ends part rows,
 * double quotes may enclose a cell and are doubled inside one. The first row is a header unless
 * the wanted cell of it is a number. Every row must be as wide as the first. Whatever is wrong
 * is told with its line and column, so that it can be mended in an editor. */
#define _POSIX_C_SOURCE 200809L /* strcasecmp */

#include "series.h"

#include "../common/say.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_BYTES = 64 << 20, MAX_COLUMNS = 4096, MAX_SHOWN = 24 };

typedef struct table {
    const char *file;
    char *text, *at;       /* the file, and how far it has been read */
    int64_t line;          /* of `at`, from 1 */
    int64_t row_line;      /* where the row in `cell` begins */
    int columns;           /* of the first row; 0 before it */
    char **cell, **header; /* the row just read; the first row */
} table;

/* The whole file with a closing 0. */
static char *slurp(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (!f) die("cannot read %s: %s", file, strerror(errno));
    size_t size = 0, room = 1 << 16;
    char *text = take(room, 1);
    for (;;) {
        size += fread(text + size, 1, room - size - 1, f);
        if (size < room - 1) break;
        if (room > MAX_BYTES) die("%s is larger than %d MiB", file, MAX_BYTES >> 20);
        char *larger = realloc(text, room *= 2);
        if (!larger) die("out of memory");
        text = larger;
    }
    if (ferror(f)) die("cannot read %s: %s", file, strerror(errno));
    fclose(f);
    text[size] = 0;
    if (strlen(text) != size) die("%s is not a text file: it holds a zero byte", file);
    return text;
}

/* The inside of a quoted cell, unquoted in place; `at` is left behind the closing quote. */
static char *quoted_cell(table *t, int column)
{
    char *from = t->at + 1, *cell = from, *to = from;
    int64_t line = t->line;
    for (;; from++) {
        if (!*from)
            die("%s: line %lld, column %d: a quote is never closed", t->file, (long long)line,
                column);
        if (*from == '\n') t->line++;
        if (*from == '"' && *++from != '"') break;
        *to++ = *from;
    }
    t->at = from + strspn(from, " \t");
    if (*t->at && !strchr(",\r\n", *t->at))
        die("%s: line %lld, column %d: text follows a closing quote", t->file,
            (long long)t->line, column);
    *to = 0;
    return cell;
}

/* The next cell of a row; *last tells whether the row ends behind it. */
static char *next_cell(table *t, int column, bool *last)
{
    t->at += strspn(t->at, " \t");
    char *cell = t->at, *end;
    if (*cell == '"') {
        cell = quoted_cell(t, column);
        end = t->at;
    } else {
        t->at = end = cell + strcspn(cell, ",\r\n");
        while (end > cell && (end[-1] == ' ' || end[-1] == '\t')) end--;
    }
    *last = *t->at != ',';
    if (*t->at == '\r' && t->at[1] == '\n') t->at++;
    if (*t->at == '\n' || *t->at == '\r') t->line++;
    if (*t->at) t->at++;
    *end = 0;
    return cell;
}

/* Reads the next row that is not blank into t->cell; false at the end of the file. */
static bool next_row(table *t)
{
    size_t blank;
    while ((blank = strspn(t->at, " \t\r")), t->at[blank] == '\n') {
        t->at += blank + 1;
        t->line++;
    }
    t->at += blank;
    if (!*t->at) return false;
    t->row_line = t->line;
    int n = 0;
    for (bool last = false; !last; n++) {
        if (n == MAX_COLUMNS)
            die("%s: line %lld has more than %d columns", t->file, (long long)t->row_line, n);
        t->cell[n] = next_cell(t, n + 1, &last);
    }
    if (t->columns && n != t->columns)
        die("%s: line %lld has %d column%s, but the first has %d", t->file,
            (long long)t->row_line, n, n == 1 ? "" : "s", t->columns);
    t->columns = n;
    return true;
}

static bool is_number(const char *text)
{
    char *end;
    strtod(text, &end);
    return *text && !*end && !text[strspn(text, "+-.0123456789eE")];
}

/* The position, from 0, of the column asked for. */
static int find_column(const table *t, const char *column)
{
    if (!column) return t->columns - 1;
    if (!column[strspn(column, "0123456789")]) {
        long n = strtol(column, NULL, 10);
        if (n < 1 || n > t->columns)
            die("%s has no column %s: it has %d", t->file, column, t->columns);
        return (int)n - 1;
    }
    char names[256] = "";
    for (int i = 0; i < t->columns; i++) {
        if (!strcmp(t->header[i], column)) return i;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", t->header[i]);
    }
    die("%s has no column called \"%s\"; its columns are: %s", t->file, column, names);
}

/* The number in column c of the present row. */
static double number_at(const table *t, int c, const char *name)
{
    const char *text = t->cell[c];
    char where[128];
    snprintf(where, sizeof where, "line %lld, column %d (%.40s)", (long long)t->row_line, c + 1,
             name);
    if (!*text) die("%s: %s is empty", t->file, where);
    char *end;
    double value = strtod(text, &end);
    if (!*end && !isfinite(value))
        die("%s: %s: \"%.*s\" is not a finite number", t->file, where, MAX_SHOWN, text);
    if (!is_number(text))
        die("%s: %s: \"%.*s\" is not a number", t->file, where, MAX_SHOWN, text);
    return value;
}

/* Appends the present row; its year, if the series is dated, is the first column. */
static void append(series *s, int64_t *room, const table *t, int column, bool dated)
{
    if (s->n == *room) {
        *room = *room ? 2 * *room : 256;
        double *value = realloc(s->value, (size_t)*room * sizeof *value);
        int64_t *label = realloc(s->label, (size_t)*room * sizeof *label);
        if (!value || !label) die("out of memory");
        s->value = value;
        s->label = label;
    }
    double year = dated ? number_at(t, 0, t->header[0]) : 0;
    s->value[s->n] = number_at(t, column, s->name);
    s->label[s->n] = dated && fabs(year) < 1e6 ? (int64_t)year : s->n + 1;
    s->n++;
}

static char *copy_of(const char *text)
{
    char *copy = take(strlen(text) + 1, 1);
    return strcpy(copy, text);
}

series series_read(const char *file, const char *column)
{
    series s = { .file = file, .unit = "step" };
    table t = { .file = file, .text = slurp(file), .line = 1 };
    t.cell = take(MAX_COLUMNS, sizeof *t.cell);
    t.header = take(MAX_COLUMNS, sizeof *t.header);
    t.at = t.text + (strncmp(t.text, "\xef\xbb\xbf", 3) ? 0 : 3);
    if (!next_row(&t)) die("%s is empty", file);
    memcpy(t.header, t.cell, (size_t)t.columns * sizeof *t.cell);
    int c = find_column(&t, column);
    bool headed = !is_number(t.header[c]),
         dated = headed && c && !strcasecmp(t.header[0], "year");
    char number[32];
    snprintf(number, sizeof number, "column %d", c + 1);
    s.name = copy_of(headed ? t.header[c] : number);
    s.dated = dated;
    if (dated) s.unit = "year";
    int64_t room = 0;
    if (!headed) append(&s, &room, &t, c, false);
    while (next_row(&t)) append(&s, &room, &t, c, dated);
    if (!s.n) die("%s has a header and no values", file);
    free(t.cell);
    free(t.header);
    free(t.text);
    return s;
}

void series_free(series *s)
{
    free(s->name);
    free(s->value);
    free(s->label);
}

scale scale_of(const series *s, int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += s->value[i];
    scale k = { .mean = sum / (double)n };
    for (int64_t i = 0; i < n; i++) squares += (s->value[i] - k.mean) * (s->value[i] - k.mean);
    k.deviation = sqrt(squares / (double)n);
    if (!isfinite(k.deviation))
        die("%s: the numbers of %s are too large to scale", s->file, s->name);
    if (k.deviation <= 1e-12 * fabs(k.mean) || !(k.deviation > 0))
        die("%s: the %lld training values of %s are all %g: there is nothing to learn", s->file,
            (long long)n, s->name, s->value[0]);
    return k;
}
