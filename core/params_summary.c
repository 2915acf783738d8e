/* params_summary.c -- the table of all weights, written like snprintf.
 *
 *     name       shape  count  bytes     norm  group
 *     rnn.W      [4,3]     12     48  1.73205      0
 *     rnn.b        [3]      3     12        0  frozen
 *     2 weights            15     60  1.73205  float32
 *
 * Columns are as wide as their widest cell: one pass over the rows measures, another prints. */
#include "core/norm_impl.h"
#include "core/params.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { N_COLUMNS = 6, CELL = 96 };

/* Text of any length into n bytes; `length` counts what would have been written. */
typedef struct sink {
    char *buf;
    size_t n, length;
} sink;

static void put(sink *s, const char *fmt, ...) SQ_PRINTF(2, 3);
static void put(sink *s, const char *fmt, ...)
{
    size_t used = s->length < s->n ? s->length : s->n;
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(s->n > used ? s->buf + used : NULL, s->n - used, fmt, args);
    va_end(args);
    s->length += written > 0 ? (size_t)written : 0;
}

/* The name is any user's string, so it is pointed to; the other cells are short. */
typedef struct row {
    const char *name;
    char cell[N_COLUMNS][CELL]; /* cell[0] is room for a name of our own */
} row;

static double norm_of(const sq_params *p, int64_t offset, int64_t n)
{
    if (n == 0) return 0;
    sq_dtype dtype = sq_params_dtype(p);
    const char *block = sq_params_view(p);
    return sqi_norm(sqi_kernels_select(), dtype, n,
                    block + (size_t)offset * sq_dtype_size(dtype));
}

static void numbers(row *r, const sq_params *p, int64_t offset, int64_t n)
{
    size_t bytes = (size_t)n * sq_dtype_size(sq_params_dtype(p));
    (void)snprintf(r->cell[2], CELL, "%" PRId64, n);
    (void)snprintf(r->cell[3], CELL, "%zu", bytes);
    (void)snprintf(r->cell[4], CELL, "%g", norm_of(p, offset, n));
}

static void heading(row *r)
{
    static const char *const titles[N_COLUMNS] = { "name",  "shape", "count",
                                                   "bytes", "norm",  "group" };
    for (int c = 0; c < N_COLUMNS; c++) (void)snprintf(r->cell[c], CELL, "%s", titles[c]);
    r->name = r->cell[0];
}

static void totals(row *r, const sq_params *p)
{
    int32_t n = sq_params_count(p);
    (void)snprintf(r->cell[0], CELL, "%" PRId32 " weight%s", n, n == 1 ? "" : "s");
    r->name = r->cell[0];
    r->cell[1][0] = '\0';
    numbers(r, p, 0, sq_params_size(p));
    (void)snprintf(r->cell[5], CELL, "%s", sq_dtype_name(sq_params_dtype(p)));
}

static void weight_row(row *r, const sq_params *p, sq_weight w)
{
    sq_shape shape = sq_weight_shape(p, w);
    r->name = sq_weight_name(p, w);
    (void)sq_shape_text(shape, r->cell[1]);
    numbers(r, p, sq_weight_offset(p, w), sq_shape_size(shape));
    if (sq_weight_frozen(p, w)) (void)snprintf(r->cell[5], CELL, "frozen");
    else (void)snprintf(r->cell[5], CELL, "%" PRId32, sq_weight_group(p, w));
}

/* Row 0 is the heading, the last one the totals. */
static void fill(row *r, const sq_params *p, int32_t i)
{
    if (i == 0) heading(r);
    else if (i > sq_params_count(p)) totals(r, p);
    else weight_row(r, p, (sq_weight){ i });
}

static const char *text_of(const row *r, int column)
{
    return column == 0 ? r->name : r->cell[column];
}

static void print_row(sink *s, const row *r, const size_t width[N_COLUMNS])
{
    put(s, "%s%*s", r->name, (int)(width[0] - strlen(r->name)), "");
    for (int c = 1; c < N_COLUMNS - 1; c++) put(s, "  %*s", (int)width[c], r->cell[c]);
    put(s, "  %s\n", r->cell[N_COLUMNS - 1]);
}

size_t sq_params_summary(const sq_params *p, char *buf, size_t n)
{
    static_assert(CELL >= SQ_SHAPE_TEXT, "a shape fits a cell");
    sink s = { buf, n, 0 };
    size_t width[N_COLUMNS] = { 0 };
    row r;
    int32_t last = sq_params_count(p) + 1;
    for (int32_t i = 0; i <= last; i++) {
        fill(&r, p, i);
        for (int c = 0; c < N_COLUMNS; c++) {
            size_t length = strlen(text_of(&r, c));
            width[c] = length > width[c] ? length : width[c];
        }
    }
    for (int32_t i = 0; i <= last; i++) {
        fill(&r, p, i);
        print_row(&s, &r, width);
    }
    return s.length;
}
