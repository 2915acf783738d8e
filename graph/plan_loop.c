/* plan_loop.c -- the LOOP with little ado: what its tasks are called with is laid out once, for the
 * first step of a block; to reach the next step every pointer moves on by as much as a step takes.
 *
 *     lay:    h_(t-1), W, z_t    ->  product      i_t, f_t, ... of one tile  ->  chain
 *     move:   + [batch, H] elements, 0, + [batch, 4H] ...
 *
 * A step of few elements costs little more than its arithmetic. Where rows end the steps differ, and a
 * pass of several tiles has its pointers set tile by tile: these are laid out step by step.
 *
 * A single row cannot be dealt out. If its weights are many, threads take columns of its products and
 * meet after every task. */
#include "graph/plan_run_impl.h"

static int32_t movers_of(const sqi_task *k)
{
    return k->kind == SQI_DO_CHAIN     ? k->chain.n_patches
           : k->kind == SQI_DO_PRODUCT ? k->n_lefts + 4 * k->n
                                       : 0;
}

static bool make_arrays(sqi_run_of *r, const sqi_task *k, sqi_laid *l)
{
    size_t most = (size_t)(k->n_lefts > k->n ? k->n_lefts : k->n);
    size_t ops = k->kind == SQI_DO_CHAIN ? (size_t)k->chain.n_micros : 0;
    *l = (sqi_laid){ .ops = sqi_run_take(r, ops, sizeof *l->ops) };
    if (k->kind != SQI_DO_PRODUCT) return l->ops != NULL;
    l->a = sqi_run_take(r, most, sizeof *l->a);
    l->a_row = sqi_run_take(r, most, sizeof *l->a_row);
    l->out = sqi_run_take(r, (size_t)k->n, sizeof *l->out);
    return l->a && l->a_row && l->out;
}

bool sqi_loop_make(sqi_run_of *r, sqi_worker *w, const sqi_tasks *tasks)
{
    sqi_loop *loop = sqi_run_take(r, 1, sizeof *loop);
    int32_t movers = 1;
    if (!loop) return false;
    *loop = (sqi_loop){ .laid = sqi_run_take(r, (size_t)tasks->n + 1, sizeof *loop->laid) };
    for (int32_t i = 0; loop->laid && i < tasks->n; i++) {
        if (!make_arrays(r, &tasks->at[i], &loop->laid[i])) return false;
        movers += movers_of(&tasks->at[i]);
    }
    loop->movers = sqi_run_take(r, (size_t)movers, sizeof *loop->movers);
    w->loop = loop;
    return loop->laid && loop->movers;
}

bool sqi_loop_splits(const sqi_worker *w, const sqi_tasks *tasks)
{
    const sqi_run_of *r = w->r;
    size_t bytes = 0;
    if (w->n == 1 || r->p->batch != 1 || r->u->shrunk || r->watch) return false;
    for (int32_t i = 0; i < tasks->n; i++)
        if (tasks->at[i].kind == SQI_DO_PRODUCT)
            bytes += r->arith->panels_bytes(&tasks->at[i].packed.panels);
    return bytes >= SQI_COLUMNS_PAY;
}

sqi_laid *sqi_loop_lay(const sqi_worker *w, const sqi_tasks *tasks, sqi_window at,
                       int direction, sqi_lay *lay)
{
    sqi_loop *loop = w->loop;
    if (w->r->u->shrunk || at.n_rows <= 0) return NULL;
    loop->n_movers = 0;
    loop->laying = direction;
    for (int32_t i = 0; i < tasks->n; i++) {
        const sqi_task *k = &tasks->at[i];
        sqi_laid *l = &loop->laid[i];
        if (k->kind == SQI_DO_PRODUCT) lay(w, k, at, l);
        l->n = k->kind == SQI_DO_CHAIN ? sqi_chain_tile(w, k, at) : 0;
        l->n_ops = 0;
        if (l->n) sqi_chain_lay(w, k, at, l);
    }
    loop->laying = 0;
    return loop->laid;
}

void sqi_loop_move(const sqi_worker *w)
{
    const sqi_mover *m = w->loop->movers, *end = m + w->loop->n_movers;
    for (; m < end; m++) {
        char *at;
        memcpy(&at, m->pointer, sizeof at);
        at += m->by;
        memcpy(m->pointer, &at, sizeof at);
    }
}
