/* report_csv.c -- all numbers in rows, one each, for any program; and arrays for NumPy.
 *
 *     panel,name,quantity,row,step,value
 *     states,h,total,,0,0.0123457            |dL/dh_0|
 *     reach,h,total,7,3,2.5e-07              |dL_7/dh_3|; 0 where it is left out
 *     weights,lstm.W_i,whole,,,0.5           no time: |dL/dW| itself
 */
#include "graph/report_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A loss reaches no later step: the zeros at the end of its row are left out. */
static int64_t cells_of(const sqi_table *t, int64_t row)
{
    int64_t n = t->cols;
    if (!strcmp(t->panel, "reach"))
        while (n > 0 && t->at(t, row, n - 1) == 0) n--;
    return n;
}

static void put_row(sqi_sink *out, const sqi_table *t, int64_t row)
{
    int64_t n = cells_of(t, row);
    for (int64_t k = 0; k < n; k++) {
        sqi_putf(out, "%s,", t->panel);
        sqi_put_table_name(out, t, SQI_CSV);
        sqi_putf(out, ",%s,", t->quantity);
        if (*t->row) sqi_putf(out, "%" PRId64, row);
        sqi_put(out, ",");
        if (t->over_time) sqi_putf(out, "%" PRId64, k);
        sqi_put(out, ",");
        sqi_put_number(out, t->at(t, row, k));
        sqi_put(out, "\n");
    }
}

void sqi_csv(const sqi_sheet *s, sqi_sink *out)
{
    sqi_table t;
    sqi_put(out, "panel,name,quantity,row,step,value\n");
    for (int64_t i = 0; s->table(s, i, &t); i++)
        for (int64_t row = 0; row < t.rows; row++) put_row(out, &t, row);
}

/* ---- .npy: a line of text that tells type and shape, padded to 64 bytes, then the numbers ----- */

size_t sq_npy(const double *values, int64_t rows, int64_t cols, void *buf, size_t n)
{
    enum { BEFORE = 10, BLOCK = 64 };
    const union {
        uint16_t number;
        unsigned char byte[2];
    } order = { 1 };
    char text[3 * BLOCK];
    if (rows < 0 || cols < 0 || (!values && rows && cols)) return 0;
    if (rows && (uint64_t)cols > SIZE_MAX / 16 / (uint64_t)rows) return 0;
    int used = snprintf(text, sizeof text,
                        "{'descr': '%cf8', 'fortran_order': False, 'shape': (%" PRId64
                        ", %" PRId64 "), }",
                        order.byte[0] ? '<' : '>', rows, cols);
    size_t header = ((size_t)used + 1 + BEFORE + BLOCK - 1) / BLOCK * BLOCK - BEFORE;
    const char magic[BEFORE] = { '\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)header, 0 };
    sqi_sink out = { buf, buf ? n : 0, 0 };
    sqi_put_bytes(&out, magic, sizeof magic);
    memset(text + used, ' ', sizeof text - (size_t)used);
    text[header - 1] = '\n';
    sqi_put_bytes(&out, text, header);
    if (rows && cols)
        sqi_put_bytes(&out, (const char *)values, (size_t)rows * (size_t)cols * sizeof *values);
    return out.length;
}
