/* report_csv.c -- all numbers in rows, one each, for any program.
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
