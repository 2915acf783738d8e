/* draw.c -- which random numbers a tape draws: the coordinates of a stream.
 *
 *     stream = (seed, serial of the run, step of the run, ordinal in the step)     random.h
 *
 * Nothing here depends on how a step is executed. Ordinals are given as operations are recorded,
 * and a traced step is recorded once, in the order in which each eager one is; a plan puts the step
 * in. What lies between steps has step numbers of its own, in the upper half; what holds for a whole
 * sequence has the last number of all. */
#include "core/tape_impl.h"

#define BETWEEN (UINT64_C(1) << 63)
#define NO_STEP UINT64_MAX

/* The current step as a coordinate. */
static uint64_t step_now(const sq_tape *t)
{
    int64_t step = sqi_last_step(t->current);
    return step >= 0 ? (uint64_t)(step - t->chance.first)
                     : (uint64_t)(t->next_step - t->chance.first) | BETWEEN;
}

static sq_random take(sq_tape *t)
{
    return sq_random_stream(t->seed, t->chance.serial, step_now(t), t->chance.taken++);
}

sq_random sq_tape_random(sq_tape *t)
{
    if (!t) return sq_random_stream(0, 0, 0, 0);
    sqi_trace_compute(t, "draws random numbers");
    return take(t);
}

void sqi_draw(sq_tape *t, sq_draw *d)
{
    if (d->made || d->when == SQ_AS_GIVEN) return;
    uint64_t step = d->when == SQ_PER_SEQUENCE ? NO_STEP : step_now(t);
    d->made = true;
    d->ordinal = t->chance.taken++;
    d->stream = sq_random_stream(t->seed, t->chance.serial, step, d->ordinal);
}

sq_random sqi_draw_at(uint64_t seed, const sqi_chance *run, const sq_draw *d, int64_t step)
{
    if (d->when == SQ_AS_GIVEN) return d->stream;
    uint64_t at = d->when == SQ_PER_SEQUENCE ? NO_STEP : (uint64_t)(step - run->first);
    return sq_random_stream(seed, run->serial, at, d->ordinal);
}

/* ---- Runs --------------------------------------------------------------------------------- */

void sq_tape_set_seed(sq_tape *t, uint64_t seed)
{
    if (t && sqi_trace_compute(t, "sets the seed")) t->seed = seed;
}

uint64_t sq_tape_run(const sq_tape *t) { return t ? t->runs : 0; }

void sq_tape_set_run(sq_tape *t, uint64_t n)
{
    if (!sqi_begin(t, "tape_set_run")) return;
    if (t->chance.unrolling) {
        sq_post(t, SQ_EVALUE, "a run cannot begin inside a step of an unroll");
        return;
    }
    int64_t step = sqi_last_step(t->current);
    t->runs = n;
    t->chance = (sqi_chance){ .serial = n, .first = step >= 0 ? step : t->next_step };
}

/* Serials that are drawn lie above all that are counted. */
sqi_chance sqi_run_begin(sq_tape *t)
{
    uint64_t serial;
    if (t->chance.unrolling) {
        sq_random r = take(t);
        serial = (uint64_t)r.key[1] << 32 | r.key[0] | UINT64_C(1) << 63;
    } else {
        serial = ++t->runs;
    }
    sqi_chance before = t->chance;
    t->chance = (sqi_chance){ .serial = serial, .first = t->next_step, .unrolling = true };
    return before;
}

/* The run goes on after its unroll, until the next begins. */
void sqi_run_end(sq_tape *t, const sqi_chance *before)
{
    if (before->unrolling) t->chance = *before;
    else t->chance.unrolling = false;
}
