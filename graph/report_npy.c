/* report_npy.c -- the tables of one sort as one array of doubles.
 *
 *     states,h,total,,k   states,c,total,,k      ->   [2,T]
 *     reach,h,total,i,k   reach,c,total,i,k      ->   [2,losses,T]
 *     jacobian,,singular,i,k                     ->   [n_singular,T]
 */
#include "core/io_impl.h"
#include "graph/report_impl.h"

#include <string.h>

/* Tables of one sort behind each other, all with the rows of the longest: of what a table has not,
 * its reader says NaN. */
typedef struct stack {
    const sq_report *r;
    sq_report_table sort;
    int64_t items, rows, cols;
} stack;

/* False when there is nothing to tell. */
static bool pile_up(stack *s)
{
    bool any = false;
    s->items = sqi_tables_of_sort(s->r, s->sort);
    for (int32_t i = 0; i < s->items; i++) {
        sqi_table t = sqi_table_of_sort(s->r, s->sort, i);
        any |= t.rows && !(t.optional && sqi_without_numbers(&t));
        if (t.rows > s->rows) s->rows = t.rows;
        s->cols = t.cols;
    }
    return any;
}

static void put_head(sqi_sink *out, const stack *s)
{
    char head[SQI_NPY_HEAD];
    sqi_table t = sqi_table_of_sort(s->r, s->sort, 0);
    sq_tensor shape = { .type = SQ_TENSOR_F64, .stored = SQ_STORED_F64 };
    if (!t.alone) shape.dim[shape.rank++] = s->items;
    if (*t.row) shape.dim[shape.rank++] = s->rows;
    if (t.over_time) shape.dim[shape.rank++] = s->cols;
    sqi_put_bytes(out, head, sqi_npy_head(&shape, head));
}

static void put_double(sqi_sink *out, double v)
{
    unsigned char bytes[sizeof v];
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    sqi_put_little_endian(bytes, bits, sizeof bytes);
    sqi_put_bytes(out, (const char *)bytes, sizeof bytes);
}

size_t sq_report_npy(const sq_report *r, sq_report_table table, void *buf, size_t n)
{
    stack s = { .r = r, .sort = table };
    sqi_sink out = { buf, buf ? n : 0, 0 };
    bool known = (unsigned)table < SQ_N_TABLES;
    if (!r || !r->ledger || !known || !pile_up(&s)) return 0;
    put_head(&out, &s);
    for (int32_t i = 0; i < s.items; i++) {
        sqi_table t = sqi_table_of_sort(r, table, i);
        for (int64_t row = 0; row < s.rows; row++)
            for (int64_t k = 0; k < s.cols; k++) put_double(&out, t.at(&t, row, k));
    }
    return out.length;
}
