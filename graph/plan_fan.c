/* plan_fan.c -- many losses go back through one unroll together.
 *
 *     dL_i/dh_s of losses i = 1..N:     G_s [N,B,H]   --  the tasks of step s  -->   G_(s-1) [N,B,H]
 *
 * Sweeps of their own would read the same weights and the same saved values again for every loss, and
 * at a batch of one row multiply the weights by a single row. Here every gradient of one step has N
 * copies behind each other, and the tasks run over copies as elsewhere over the steps of a block:
 * products take the rows of all copies at once, passes and calls go from copy to copy. What they
 * read of the forward run stays where it is, that of the one step. Only what leads to states is
 * computed: no gradients of weights, of the input, of what was hoisted.
 *
 * Where a loss enters the unroll is told by an ordinary sweep from it, which ends here: what it
 * brought is noted, and the walk begins when there are losses enough. Copies are in the order of
 * their last steps, the latest first, so that those at work in a step are the first so many: a copy
 * never meets the values of steps after its own, which may not even be finite.
 *
 * Threads have copies, and scratch, of their own and do not meet. A row's sums do not depend on how
 * many rows there are, so the same bits come out for any number of threads and of copies. */
#include "graph/plan_run_impl.h"

#include <stdlib.h>
#include <string.h>

/* What a loss sent to value v at a step. */
typedef struct seed {
    struct seed *next;
    int64_t copy;
    int32_t v;
    char *grad;
} seed;

struct sqi_fan {
    sq_tape *t;
    sqi_planned *u;
    sqi_fan_look *look;
    int64_t most, n;  /* copies of one walk; so many are noted */
    int64_t *number;  /* [most] of its loss */
    int64_t *top;     /* [most] the last step that something was sent to, or SQI_NO_STEP */
    int64_t *order;   /* [most] copies, the latest top first */
    seed **seeds;     /* [steps] */
    bool *sent;       /* [n_slots] where some of them go */
    size_t bytes;     /* of them */
    sqi_arena memory; /* theirs */
};

/* One thread's part of a walk. */
typedef struct walker {
    sqi_run_of run;          /* of all, but for where values and gradients lie */
    const sqi_place *values; /* where they lie in all steps */
    const sqi_fan *fan;
    sqi_worker *w;
    int64_t *copy, n; /* which copies are its own, by place, the latest top first */
    int64_t *place;   /* [fan->n] of a copy among them; -1: another's */
    int64_t active;   /* of them are at work */
} walker;

typedef struct walk {
    walker *walkers;
    int32_t n;
} walk;

/* ---- What a loss sends to the unroll ------------------------------------------------------- */

/* Who looks at all steps sends zeros to most: what is not finite there does not count, then. */
static bool is_nothing(const char *x, size_t bytes)
{
    return !bytes || (!x[0] && !memcmp(x, x + 1, bytes - 1));
}

static void note(sqi_fan *f, int32_t slot, int64_t step)
{
    int32_t v = sqi_slot_value(f->u->plan, slot);
    size_t bytes = sqi_value_bytes(f->u->plan, v);
    const char *sent = sqi_wake_at(f->u, SQI_LANE_PROBE, slot, step);
    if (is_nothing(sent, bytes)) return;
    seed *s = sqi_arena_alloc(&f->memory, &f->t->pool, sizeof *s);
    char *grad = sqi_arena_alloc(&f->memory, &f->t->pool, bytes);
    if (!s || !grad) {
        sq_post(f->t, SQ_ENOMEM, "out of memory for what a loss sends to step %lld",
                (long long)step);
        return;
    }
    *s = (seed){ f->seeds[step], f->n, v, memcpy(grad, sent, bytes) };
    f->seeds[step] = s;
    f->sent[slot] = true;
    f->bytes += bytes;
    if (step > f->top[f->n]) f->top[f->n] = step;
}

/* In the place of sqi_wake_reached: notes what arrived, and ends the sweep. */
static bool take_seeds(const sqi_span *span, const sq_tape *t, int lane)
{
    const sqi_planned *u = (const sqi_planned *)span;
    const sqi_wake *w = &u->wake[lane];
    if (!sqi_wake_reached(span, t, lane)) return false;
    for (int32_t slot = 0; slot < sqi_n_slots(u->plan); slot++)
        for (int64_t s = span->low; w->any[slot] && s <= w->top; s++)
            if (sqi_wake_marked(w, slot, s, SQI_SEEDED)) note(u->fan, slot, s);
    return false;
}

/* ---- Where a walker's gradients lie -------------------------------------------------------- */

/* Of states all, for each is shown; else what a gradient arrives at and is not of one tile only. */
static bool has_memory(const sqi_run_of *r, int32_t v)
{
    const sqi_value *x = &r->p->values[v];
    if (v >= r->back->n_roots || !sqi_is_operation(x)) return false;
    return x->state >= 0 || (x->phase != SQI_HOIST && r->back->room[v] >= SQI_STEP);
}

/* Copies of a gradient; what is not wanted keeps a NULL. */
static bool place_copies(sqi_run_of *r, sqi_place *at, int32_t v, int64_t copies)
{
    at->unit = sqi_value_bytes(r->p, v);
    at->base = sqi_run_take(r, (size_t)copies, at->unit);
    return at->base != NULL;
}

static bool place_gradients(sqi_run_of *r, walker *k)
{
    const sqi_plan *p = r->p;
    size_t n = (size_t)p->n_values;
    sqi_place *grad = sqi_run_take(r, n, sizeof *grad),
              *sunk = sqi_run_take(r, n, sizeof *sunk);
    sqi_place *value = sqi_run_take(r, n, sizeof *value);
    if (!grad || !sunk || !value) return false;
    memset(grad, 0, n * sizeof *grad);
    for (int32_t v = 0; v < p->n_values; v++)
        if (has_memory(r, v) && !place_copies(r, &grad[v], v, k->n)) return false;
    memcpy(sunk, grad, n * sizeof *sunk);
    for (int32_t s = 0; s < p->n_states; s++) {
        if (!place_copies(r, &grad[p->enters[s]], p->leaves[s], k->n)) return false;
        if (r->back->sunk[s] && !place_copies(r, &sunk[p->leaves[s]], p->leaves[s], k->n))
            return false;
    }
    k->run.grad = grad;
    k->run.sunk = sunk;
    k->run.value = value;
    return true;
}

/* ---- One step ------------------------------------------------------------------------------ */

/* Copies from .. to - 1 of a gradient, where it has memory. */
static void zero(const sqi_place *g, int64_t from, int64_t to)
{
    if (g->base && to > from)
        memset(g->base + (size_t)from * g->unit, 0, (size_t)(to - from) * g->unit);
}

/* The values of step s lie at the same place for every copy. */
static void aim_values(walker *k, int64_t s)
{
    for (int32_t v = 0; v < k->run.p->n_values; v++)
        k->run.value[v] = (sqi_place){ .base = sqi_at_step(k->w, &k->values[v], s) };
    k->run.step = s;
}

/* Copies whose last step this is join; what was sent to the step is added. */
static void begin_step(walker *k, int64_t s)
{
    const sqi_run_of *r = &k->run;
    const sqi_back *b = r->back;
    int64_t before = k->active;
    while (k->active < k->n && k->fan->top[k->copy[k->active]] >= s) k->active++;
    for (int32_t i = 0; i < r->p->n_states; i++) {
        zero(&r->grad[r->p->leaves[i]], before, k->active);
        if (b->sunk[i]) zero(&r->sunk[r->p->leaves[i]], 0, k->active);
    }
    for (int32_t i = 0; i < b->n_begun; i++) zero(&r->grad[b->begun[i]], 0, k->active);
    for (const seed *e = k->fan->seeds[s]; e; e = e->next) {
        const sqi_place *g = &r->grad[e->v];
        if (k->place[e->copy] < 0 || !g->base) continue;
        r->arith->axpy(r->p->values[e->v].size, 1, e->grad,
                       g->base + (size_t)k->place[e->copy] * g->unit);
    }
}

static void run_phase(walker *k, sqi_phase phase)
{
    k->w->grad = phase == SQI_SINK ? k->run.sunk : k->run.grad;
    sqi_reverse_tasks(k->w, phase, (sqi_window){ 0, k->active, 0, k->run.p->batch });
}

/* From the total gradients after a step to those of the step before. */
static void reverse_step(walker *k)
{
    const sqi_run_of *r = &k->run;
    const sqi_plan *p = r->p;
    run_phase(k, SQI_SINK);
    for (int32_t i = 0; i < p->n_states; i++) {
        int32_t v = p->leaves[i];
        if (r->back->sunk[i])
            r->arith->axpy(p->values[v].size * k->active, 1, r->sunk[v].base, r->grad[v].base);
        if (!r->back->crossed[i]) zero(&r->grad[p->enters[i]], 0, k->active);
    }
    run_phase(k, SQI_LOOP);
}

/* The totals are shown; what was sent to the step before is the next step's own. */
static void end_step(walker *k, int64_t s)
{
    const sqi_plan *p = k->run.p;
    sqi_fan_look *look = k->fan->look;
    for (int32_t i = 0; i < p->n_states; i++) {
        sqi_place *out = &k->run.grad[p->leaves[i]], *in = &k->run.grad[p->enters[i]];
        for (int64_t c = 0; c < k->active; c++)
            look->see(look, k->fan->number[k->copy[c]], i, s,
                      out->base + (size_t)c * out->unit);
        char *base = out->base;
        out->base = in->base;
        in->base = base;
    }
}

/* ---- A walk -------------------------------------------------------------------------------- */

/* Copy i of the order falls to walker i mod n, so that all have late ones and early ones. */
static bool deal_copies(sqi_run_of *r, walker *k, int32_t i, int32_t n)
{
    const sqi_fan *f = k->fan;
    k->copy = sqi_run_take(r, (size_t)f->n, sizeof *k->copy);
    k->place = sqi_run_take(r, (size_t)f->n, sizeof *k->place);
    if (!k->copy || !k->place) return false;
    for (int64_t j = 0; j < f->n; j++) {
        bool mine = j % n == i;
        k->place[f->order[j]] = mine ? k->n : -1;
        if (mine) k->copy[k->n++] = f->order[j];
    }
    return true;
}

static walker *walkers_make(sqi_fan *f, sqi_run_of *r)
{
    walker *all = sqi_run_take(r, (size_t)r->n_workers, sizeof *all);
    for (int32_t i = 0; all && i < r->n_workers; i++) {
        walker *k = &all[i];
        *k = (walker){ .run = *r, .values = r->value, .fan = f, .w = &r->workers[i] };
        if (!deal_copies(r, k, i, r->n_workers) || !place_gradients(r, k)) return NULL;
        k->w->r = &k->run;
    }
    return all;
}

static void walk_back(walker *k)
{
    for (int64_t s = k->n ? k->fan->top[k->copy[0]] : -1; s >= k->fan->u->span.low; s--) {
        aim_values(k, s);
        begin_step(k, s);
        reverse_step(k);
        end_step(k, s);
    }
}

static void job(void *context, sqi_workers *others, int32_t i, int32_t n)
{
    const walk *all = context;
    (void)others;
    for (; i < all->n; i += n) walk_back(&all->walkers[i]);
}

/* A wake that nothing was sent to: what comes from outside is added here, not by the tasks. */
static sqi_wake *silent(sqi_run_of *r)
{
    size_t n = (size_t)sqi_n_slots(r->p);
    sqi_wake *w = sqi_run_take(r, 1, sizeof *w);
    unsigned char **marks = sqi_run_take(r, n, sizeof *marks);
    if (!w || !marks) return NULL;
    memset(marks, 0, n * sizeof *marks);
    *w = (sqi_wake){ .marks = marks };
    return w;
}

static int64_t steps_of(const sqi_fan *f)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n; i++) n += f->top[i] + 1 - f->u->span.low;
    return n;
}

/* Takes back what is noted. False after posting. */
static bool walk_all(sqi_fan *f)
{
    sqi_run_of r = sqi_run_new(f->t, f->u);
    sqi_planned_bind(f->u);
    r.lane = SQI_LANE_PROBE;
    r.watch = NULL;
    r.copies = true;
    r.back = sqi_plan_back(f->t, r.p, f->u->tapped, f->sent);
    r.wake = silent(&r);
    bool ok = r.back && r.wake && sqi_run_places(&r) && sqi_run_workers(&r, steps_of(f));
    walk all = { ok ? walkers_make(f, &r) : NULL, r.n_workers };
    if (all.walkers) sqi_workers_run(&f->t->workers, all.n, job, &all);
    sqi_run_close(&r);
    memset(f->seeds, 0, (size_t)f->u->span.steps * sizeof(seed *));
    memset(f->sent, 0, (size_t)sqi_n_slots(f->u->plan));
    sqi_arena_clear(&f->memory, &f->t->pool);
    f->n = 0;
    f->bytes = 0;
    return !f->t->error.status;
}

/* ---- All of it ----------------------------------------------------------------------------- */

/* Rows for the products, but not more gradients than caches hold: measured, not critical. */
int64_t sqi_fan_copies(const sqi_planned *u)
{
    enum { ROWS = 48, FEWEST = 4 };
    int64_t copies = ROWS / (u->plan->batch ? u->plan->batch : 1);
    return copies < FEWEST ? FEWEST : copies;
}

sqi_fan *sqi_fan_open(sq_tape *t, sqi_planned *u, int64_t copies, sqi_fan_look *look)
{
    sqi_fan *f = calloc(1, sizeof *f);
    int64_t *numbers = calloc(3 * (size_t)copies, sizeof *numbers);
    seed **seeds = calloc((size_t)u->span.steps + 1, sizeof *seeds);
    bool *sent = calloc((size_t)sqi_n_slots(u->plan), 1);
    if (!f || !numbers || !seeds || !sent) {
        free(f);
        free(numbers);
        free(seeds);
        free(sent);
        return sq_post(t, SQ_ENOMEM, "out of memory for %lld losses", (long long)copies), NULL;
    }
    *f =
        (sqi_fan){ .t = t, .u = u, .look = look, .most = copies, .seeds = seeds, .sent = sent };
    f->number = numbers;
    f->top = numbers + copies;
    f->order = numbers + 2 * copies;
    f->top[0] = SQI_NO_STEP;
    u->fan = f;
    u->span.reached = take_seeds;
    return f;
}

bool sqi_fan_swept(sqi_fan *f, int64_t number)
{
    enum { MOST_BYTES = 16 << 20 };
    int64_t i = f->n;
    if (f->t->error.status) return false;
    if (f->top[i] == SQI_NO_STEP) return true;
    for (; i > 0 && f->top[f->order[i - 1]] < f->top[f->n]; i--) f->order[i] = f->order[i - 1];
    f->order[i] = f->n;
    f->number[f->n++] = number;
    if ((f->n == f->most || f->bytes >= MOST_BYTES) && !walk_all(f)) return false;
    f->top[f->n] = SQI_NO_STEP;
    return true;
}

bool sqi_fan_close(sqi_fan *f)
{
    if (!f) return true;
    sq_tape *t = f->t;
    if (f->n && !t->error.status) walk_all(f);
    f->u->fan = NULL;
    f->u->span.reached = sqi_wake_reached;
    sqi_arena_free(&f->memory, &t->pool);
    free(f->seeds);
    free(f->sent);
    free(f->number);
    free(f);
    return !t->error.status;
}
