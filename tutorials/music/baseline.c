/* baseline.c -- one table of counts, down of seen, by what a forecast looks at. */
#include "baseline.h"

#include <math.h>

const char *const baseline_titles[N_BASELINES] = { "each key's own frequency",
                                                   "the frame before, smoothed",
                                                   "each key by itself, smoothed" };

typedef struct counts {
    double down[KEYS][2], seen[KEYS][2];
} counts;

/* Which row of the table key k is looked up in, and which column, by what it did before. */
static int row_of(baseline which, int k) { return which == BASELINE_REPEAT ? 0 : k; }
static int column_of(baseline which, bool before)
{
    return which != BASELINE_FREQUENCY && before;
}

static void count(counts *c, baseline which, const songs *s)
{
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t t = 1; t < s->song[i].n; t++)
            for (int k = 0; k < KEYS; k++) {
                const frame *f = &s->song[i].frame[t];
                int row = row_of(which, k), column = column_of(which, f[-1].down[k]);
                c->seen[row][column]++;
                c->down[row][column] += f->down[k];
            }
}

double baseline_nll(baseline which, const songs *counted, const songs *scored)
{
    counts c = { 0 };
    double sum = 0;
    count(&c, which, counted);
    for (int64_t i = 0; i < scored->n; i++)
        for (int64_t t = 1; t < scored->song[i].n; t++)
            for (int k = 0; k < KEYS; k++) {
                const frame *f = &scored->song[i].frame[t];
                int row = row_of(which, k), column = column_of(which, f[-1].down[k]);
                double p = (c.down[row][column] + .5) / (c.seen[row][column] + 1);
                sum -= log(f->down[k] ? p : 1 - p);
            }
    return sum / (double)songs_foretold(scored);
}
