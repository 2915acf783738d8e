/* lyapunov.c -- how fast a frame of directions grows, turned upright as it goes. */
#include "graph/jacobian.h"
#include "graph/jacobian_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sq_lyapunov {
    sq_lyapunov_options options; /* defaults filled in */
    bool begun;
    sqi_frame frame;
    int64_t seen, since; /* steps taken in; since the last orthonormalisation */
    int64_t counted;     /* steps that count up to the last orthonormalisation */
    double *sum;         /* [n] ln of the diagonals */
    double *trace;       /* [points][n] */
    int64_t *steps;      /* [points] */
    int64_t points, room;
};

sq_lyapunov *sq_lyapunov_new(const sq_lyapunov_options *options)
{
    sq_lyapunov *l = calloc(1, sizeof *l);
    if (l && options) l->options = *options;
    if (l && !l->options.every) l->options.every = 1;
    return l;
}

void sq_lyapunov_free(sq_lyapunov *l)
{
    if (!l) return;
    sqi_frame_free(&l->frame);
    free(l->sum);
    free(l->trace);
    free(l->steps);
    free(l);
}

/* ---- Taking steps in ---------------------------------------------------------------------- */

/* A frame in general position. The axes would not do: where units never mix, a frame of fewer than
 * S directions would not find those that grow most, and one that dies would be all there is. */
static void general_position(sqi_frame *f)
{
    for (int64_t i = 0; i < f->n * f->size; i++) {
        double place = (double)(i + 1);
        f->q[i] = sin(place * place);
    }
    sqi_orthonormalise(f->n, f->size, f->q, f->r);
}

static bool begin(sq_lyapunov *l, sq_tape *t, int64_t size)
{
    const sq_lyapunov_options *o = &l->options;
    if (o->exponents < 0 || o->every < 0 || o->skip < 0)
        return sq_post(t, SQ_ERANGE, "an option of sq_lyapunov_options is negative");
    if (l->begun)
        return size == l->frame.size ||
               sq_post(t, SQ_ESHAPE, "the states have %lld numbers, those before had %lld",
                       (long long)size, (long long)l->frame.size);
    int64_t n = o->exponents && o->exponents < size ? o->exponents : size;
    sqi_frame_free(&l->frame);
    free(l->sum);
    l->sum = calloc((size_t)n + 1, sizeof *l->sum);
    if (!l->sum) return sq_post(t, SQ_ENOMEM, "out of memory for exponents");
    l->begun = sqi_frame_new(&l->frame, t, n, size);
    if (l->begun) general_position(&l->frame);
    return l->begun;
}

/* Room for one more point. */
static bool grow(sq_lyapunov *l, sq_tape *t)
{
    if (l->points < l->room) return true;
    int64_t room = l->room ? 2 * l->room : 64;
    size_t n = (size_t)l->frame.n;
    double *trace = realloc(l->trace, ((size_t)room * n + 1) * sizeof *trace);
    if (trace) l->trace = trace;
    int64_t *steps = trace ? realloc(l->steps, (size_t)room * sizeof *steps) : NULL;
    if (!steps) return sq_post(t, SQ_ENOMEM, "out of memory for the trace of exponents");
    l->steps = steps;
    l->room = room;
    return true;
}

/* Turns the frame upright; what it grew by counts after the first `skip` steps. */
static bool turn_upright(sq_lyapunov *l, sq_tape *t)
{
    sqi_frame *f = &l->frame;
    if (l->seen > l->options.skip && !grow(l, t)) return false;
    sqi_orthonormalise(f->n, f->size, f->q, f->r);
    if (l->seen > l->options.skip) {
        l->counted += l->since;
        for (int64_t i = 0; i < f->n; i++) {
            l->sum[i] += log(f->r[i * f->n + i]);
            l->trace[l->points * f->n + i] = l->sum[i] / (double)l->counted;
        }
        l->steps[l->points++] = l->counted;
    }
    l->since = 0;
    return true;
}

sq_status sq_lyapunov_add(sq_lyapunov *l, const sq_unrolled *u, int64_t row)
{
    if (!u) return SQ_EVAR;
    sq_tape *t = sq_unrolled_tape(u);
    int64_t steps = sq_unrolled_steps(u);
    bool ok = sqi_jacobian_begin(u, "lyapunov", steps - 1, row, SQ_JOINTLY);
    if (ok && !l) ok = sq_post(t, SQ_EVALUE, "sq_lyapunov is NULL");
    ok = ok && begin(l, t, sq_jacobian_size(u, SQ_JOINTLY));
    for (int64_t step = 0; ok && step < steps; step++) {
        ok = sqi_frame_step(&l->frame, u, step, row);
        if (!ok) break;
        l->seen++;
        l->since++;
        /* What is skipped ends with a frame turned upright, so that none of it counts. */
        if (l->since >= l->options.every || l->seen == l->options.skip) ok = turn_upright(l, t);
    }
    return t->error.status;
}

/* ---- Reading it --------------------------------------------------------------------------- */

int32_t sq_lyapunov_count(const sq_lyapunov *l)
{
    return l && l->begun ? (int32_t)l->frame.n : 0;
}
int64_t sq_lyapunov_points(const sq_lyapunov *l) { return l ? l->points : 0; }

double sq_lyapunov_exponent(const sq_lyapunov *l, int32_t i)
{
    bool there = i >= 0 && i < sq_lyapunov_count(l) && l->points;
    return there ? l->sum[i] / (double)l->counted : (double)NAN;
}

int64_t sq_lyapunov_steps(const sq_lyapunov *l, int64_t point)
{
    return point >= 0 && point < sq_lyapunov_points(l) ? l->steps[point] : 0;
}

const double *sq_lyapunov_trace(const sq_lyapunov *l, int64_t point)
{
    bool there = point >= 0 && point < sq_lyapunov_points(l);
    return there ? l->trace + point * l->frame.n : NULL;
}
