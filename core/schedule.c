/* schedule.c -- the rate at update n: a plain function of n, so resuming needs no state.
 *
 *     rate |    ____
 *          |   /    \__            warm-up, then constant or
 *          |  /        \__         floor + (rate - floor) (1 + cos(pi k / updates)) / 2,
 *     floor| /            \_____   k counted from the end of the warm-up
 *          +--------------------- n                                                          */
#include "core/optim.h"

#include <math.h>

static double cosine(const sq_schedule *s, int64_t k)
{
    if (k >= s->updates) return s->floor;
    double turn = 3.14159265358979323846 * (double)k / (double)s->updates;
    return s->floor + (s->rate - s->floor) * 0.5 * (1.0 + cos(turn));
}

double sq_schedule_rate(const sq_schedule *s, int64_t n)
{
    n = n < 0 ? 0 : n;
    if (n < s->warmup) return s->rate * (double)(n + 1) / (double)s->warmup;
    return s->kind == SQ_COSINE ? cosine(s, n - (s->warmup > 0 ? s->warmup : 0)) : s->rate;
}
