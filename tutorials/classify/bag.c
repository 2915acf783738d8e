/* bag.c -- a table of counts [classes, 65536]. */
#include "bag.h"

#include "../common/say.h"

#include <math.h>
#include <stdlib.h>

enum { PARTS = 65536 };

static int part(const piece *p, int64_t i, int width)
{
    int first = (unsigned char)p->text[i];
    return width == 1 ? first : 256 * first + (unsigned char)p->text[i + 1];
}

typedef struct counts {
    double *n, total[MAX_CLASSES], pieces[MAX_CLASSES], different;
} counts;

static counts count(const data *d, const pieces *s, int width)
{
    counts c = { .n = take((size_t)d->n_classes * PARTS, sizeof *c.n), .different = 1 };
    bool *seen = take(PARTS, sizeof *seen);
    for (int64_t k = 0; k < s->n; k++) {
        const piece *p = &s->piece[k];
        c.pieces[p->label]++;
        for (int64_t i = 0; i + width <= p->n; i++) {
            int u = part(p, i, width);
            c.n[p->label * PARTS + u]++;
            c.total[p->label]++;
            c.different += !seen[u];
            seen[u] = true;
        }
    }
    free(seen);
    return c;
}

static int32_t likeliest(const counts *c, int32_t classes, const piece *p, int width)
{
    int32_t best = 0;
    double most = -HUGE_VAL;
    for (int32_t k = 0; k < classes; k++) {
        double sum = log(c->pieces[k]);
        for (int64_t i = 0; i + width <= p->n; i++)
            sum +=
                log((c->n[k * PARTS + part(p, i, width)] + 1) / (c->total[k] + c->different));
        if (sum <= most) continue;
        most = sum;
        best = k;
    }
    return best;
}

void bag_guess(const data *d, const pieces *counted, const pieces *scored, int width,
               int32_t *guess)
{
    counts c = count(d, counted, width);
    for (int64_t i = 0; i < scored->n; i++)
        guess[i] = likeliest(&c, d->n_classes, &scored->piece[i], width);
    free(c.n);
}
