/* plan_run.c -- the forward run: blocks of steps; in each hoist, loop, sink.
 *
 *     for every block:   HOIST  each thread some of the steps     | meet
 *                        LOOP   each thread some rows, all steps  | meet
 *                        SINK   each thread some of the steps     | meet
 *
 * Rows of a batch never wait for each other within a block, nor anywhere where nothing is hoisted
 * or sunk. */
#include "graph/plan_run_impl.h"

#include <string.h>

/* ---- Memory -------------------------------------------------------------------------------- */

void *sqi_run_take(sqi_run_of *r, size_t n, size_t size)
{
    void *block = n < SIZE_MAX / 2 / (size ? size : 1)
                      ? sqi_arena_alloc(&r->scratch, &r->t->pool, n * size)
                      : NULL;
    if (!block) sq_post(r->t, SQ_ENOMEM, "out of memory for the scratch of a plan");
    return block;
}

sqi_run_of sqi_run_new(sq_tape *t, const sqi_planned *u)
{
    return (sqi_run_of){ .t = t,
                         .u = u,
                         .p = u->plan,
                         .arith = &t->kern->of[t->dtype],
                         .watch = u->home->watch,
                         .real = sq_dtype_size(t->dtype) };
}

void sqi_run_close(sqi_run_of *r) { sqi_arena_clear(&r->scratch, &r->t->pool); }

void *sqi_run_room(sqi_run_of *r, size_t bytes)
{
    char *at = r->room;
    if (!at) return sqi_run_take(r, 1, bytes);
    r->room += sqi_aligned(bytes);
    return at;
}

static int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

static void measure(const sqi_tasks *tasks, int32_t *wide, int32_t *tiles, int32_t *streams)
{
    for (int32_t i = 0; i < tasks->n; i++) {
        const sqi_task *k = &tasks->at[i];
        *wide = most(*wide, most(k->n, k->n_lefts));
        *tiles = most(*tiles, k->chain.n_tiles);
        *streams = most(*streams, k->chain.n_streams);
    }
}

static void *field_of(sqi_run *r, int32_t field)
{
    return field < SQI_FIELD_Y      ? (void *)&r->x[field]
           : field == SQI_FIELD_Y   ? (void *)&r->y
           : field == SQI_FIELD_OUT ? (void *)&r->out
                                    : (void *)&r->in;
}

/* Points every pointer that follows stream s to `at`. */
static void point(const sqi_worker *w, const sqi_chain *c, const sqi_stream *s, char *at)
{
    void **patches = w->patches + c->first_patch + s->first;
    for (int32_t i = 0; i < s->n; i++) memcpy(patches[i], &at, sizeof at);
}

/* What a pass never changes: steps, parameters, pointers into tile buffers. */
static void init_chain(sqi_worker *w, const sqi_chain *c)
{
    for (int32_t i = 0; i < c->n_micros; i++) {
        const sqi_micro *m = &c->micros[i];
        sqi_run *run = &w->runs[c->first_run + i];
        *run = (sqi_run){ .y = w->tiles, .out_step = 1, .in_step = 1, .p = m->p };
        for (int k = 0; k < SQI_MAP_OPERANDS; k++) {
            run->x[k] = w->tiles;
            run->x_step[k] = m->x[k] < 0 || c->streams[m->x[k]].period != 1;
        }
    }
    for (int32_t i = 0; i < c->n_patches; i++)
        w->patches[c->first_patch + i] =
            field_of(&w->runs[c->first_run + c->patches[i].micro], c->patches[i].field);
    for (int32_t i = 0; i < c->n_streams; i++)
        if (c->streams[i].tile >= 0)
            point(w, c, &c->streams[i],
                  w->tiles + (size_t)(c->streams[i].tile + 1) * SQI_TILE_BYTES);
}

static bool init_arrays(sqi_run_of *r, sqi_worker *w, const sqi_tasks *tasks,
                        sqi_chain_sizes sizes)
{
    int32_t wide = 4, tiles = 0, streams = 1;
    for (int32_t v = 0; v < r->p->n_values; v++) wide = most(wide, r->p->values[v].n);
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        measure(&tasks[phase], &wide, &tiles, &streams);
    for (int32_t d = 0; r->back && d < r->back->n_defers; d++) {
        const sqi_defer *k = &r->back->defers[d];
        wide = most(wide, k->n_lefts + k->n_parts * (k->n_lefts + 1));
    }
    size_t n = (size_t)wide;
    w->tiles = sqi_run_take(r, (size_t)tiles + 1, SQI_TILE_BYTES);
    w->a = sqi_run_take(r, 2 * n, sizeof *w->a);
    w->a_row = sqi_run_take(r, 4 * n, sizeof *w->a_row);
    w->out = sqi_run_take(r, n, sizeof *w->out);
    w->c = sqi_run_take(r, 2 * n, sizeof *w->c);
    w->shapes = sqi_run_take(r, n, sizeof *w->shapes);
    w->drawn = sqi_run_take(r, 1, sizeof *w->drawn);
    w->runs = sqi_run_take(r, (size_t)sizes.runs, sizeof *w->runs);
    w->patches = sqi_run_take(r, (size_t)sizes.patches, sizeof *w->patches);
    w->at = sqi_run_take(r, (size_t)streams, sizeof *w->at);
    return !r->t->error.status;
}

static bool worker_init(sqi_run_of *r, sqi_worker *w, int32_t i)
{
    const sqi_tasks *tasks = r->back ? r->back->tasks : r->p->tasks;
    *w = (sqi_worker){ .r = r, .i = i, .n = 1, .grad = r->grad };
    if (!init_arrays(r, w, tasks, r->back ? r->back->sizes : r->p->sizes)) return false;
    w->adds = sqi_run_take(r, (size_t)r->p->n_states + 1, 1);
    if (!w->adds || !sqi_loop_make(r, w, &tasks[SQI_LOOP])) return false;
    memset(w->tiles, 0, SQI_TILE_BYTES); /* read in the place of what an op does not read */
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t k = 0; k < tasks[phase].n; k++)
            if (tasks[phase].at[k].kind == SQI_DO_CHAIN)
                init_chain(w, &tasks[phase].at[k].chain);
    return true;
}

/* ---- Shares -------------------------------------------------------------------------------- */

static int64_t share(int64_t n, int32_t i, int32_t of) { return n * i / of; }

sqi_window sqi_share_steps(const sqi_worker *w, bool alone)
{
    int64_t n = w->last - w->first, rows = w->r->p->batch;
    if (w->r->u->shrunk) return sqi_share_shrunk_steps(w);
    if (alone) return (sqi_window){ w->first, w->i ? 0 : n, 0, rows };
    int64_t from = share(n, w->i, w->n), to = share(n, w->i + 1, w->n);
    return (sqi_window){ w->first + from, to - from, 0, rows };
}

sqi_window sqi_share_rows(const sqi_worker *w, bool alone)
{
    int64_t n = w->r->p->batch;
    if (w->split) return (sqi_window){ w->first, 1, 0, n };
    if (w->r->u->shrunk) return sqi_share_shrunk_rows(w);
    if (alone) return (sqi_window){ w->first, 1, 0, w->i ? 0 : n };
    int64_t from = share(n, w->i, w->n), to = share(n, w->i + 1, w->n);
    return (sqi_window){ w->first, 1, from, to - from };
}

/* ---- Products ------------------------------------------------------------------------------ */

/* Packs the right operands of a product unless they are packed already. */
static void pack(const sqi_run_of *r, sqi_task *k)
{
    sqi_packed *w = &k->packed;
    if (w->of_weights && w->version == r->u->version) return;
    for (int32_t s = 0; s < w->panels.n_sums; s++)
        for (int32_t i = 0; i < w->panels.n_parts; i++) {
            int32_t at = s * w->panels.n_parts + i;
            const sqi_value *v = &r->p->values[w->right[at]];
            int64_t cols = v->shape.dim[1];
            bool turned = w->transposed[at];
            r->arith->pack(&w->panels, s, i, r->u->outer[v->operand], turned ? 1 : cols,
                           turned ? cols : 1);
        }
    w->version = r->u->version;
}

/* What a product of the window takes and where it goes. */
static void lay_product(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l)
{
    const sqi_run_of *r = w->r;
    for (int32_t s = 0; s < k->n_lefts; s++) {
        int32_t v = k->lefts[s];
        sqi_aim(w, &l->a[s], &r->value[v], at.step, sqi_row_offset(w, v, at.row));
        l->a_row[s] = k->packed.panels.depth[s];
    }
    for (int32_t i = 0; i < k->n; i++) {
        int32_t v = k->v[i];
        const sqi_value *z = &r->p->values[v];
        int64_t width = k->packed.panels.width[i];
        sqi_out *o = &l->out[i];
        *o = (sqi_out){ .c_row = width };
        sqi_aim(w, &o->c, &r->value[v], at.step, sqi_row_offset(w, v, at.row));
        if (z->bias >= 0) sqi_aim(w, &o->from, &r->value[z->bias], at.step, 0);
        if (z->from < 0) continue;
        o->from_row = width;
        if (r->p->values[z->from].of_rows) sqi_rows_add_to(w, z->from, at, o);
        else
            sqi_aim(w, &o->from, &r->value[z->from], at.step,
                    sqi_row_offset(w, z->from, at.row));
    }
    sqi_lay_panels(w, k, at, l);
}

void sqi_lay_panels(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l)
{
    const sqi_plan *p = w->r->p;
    int64_t n = k->packed.n_panels;
    int32_t i = w->split ? w->i : 0, of = w->split ? w->n : 1;
    l->product = (sqi_panel_product){ .b = &k->packed.panels,
                                      .m = sqi_rows_in(w->r, sqi_looked_at(k, at)) * k->rows,
                                      .single = p->values[k->v[0]].phase == SQI_LOOP &&
                                                p->batch * k->rows == 1 && !w->r->copies,
                                      .a = l->a,
                                      .a_row = l->a_row,
                                      .out = l->out,
                                      .first = share(n, i, of),
                                      .last = share(n, i + 1, of) };
}

/* What a task takes that cannot be dealt out counts as one row. */
sqi_window sqi_looked_at(const sqi_task *k, sqi_window at)
{
    return k->sharable ? at : (sqi_window){ at.step, at.n_steps, 0, 1 };
}

static void run_product(const sqi_worker *w, const sqi_task *k, sqi_window at,
                        const sqi_laid *l)
{
    sqi_laid here;
    if (!l) {
        here = sqi_laid_in_passing(w);
        lay_product(w, k, at, &here);
        if (here.product.m == 0) return;
        l = &here;
    }
    w->r->arith->product(&l->product);
    for (int32_t i = 0; w->found && i < k->n; i++)
        if (w->r->p->values[k->v[i]].lookout)
            sqi_look(w, k->v[i], k->rows * l->out[i].c_row, sqi_looked_at(k, at), l->out[i].c);
}

/* ---- Chains -------------------------------------------------------------------------------- */

static const sqi_place *place_of(const sqi_worker *w, const sqi_stream *s)
{
    return &(s->gradient ? w->grad : w->r->value)[s->value];
}

/* Puts the streams at element `from` of step `step`. */
static void begin_streams(const sqi_worker *w, const sqi_chain *c, int64_t step, int64_t from)
{
    for (int32_t i = 0; i < c->n_streams; i++) {
        const sqi_stream *s = &c->streams[i];
        if (s->tile >= 0) continue;
        w->at[i] = sqi_at_step(w, place_of(w, s), step);
        if (!s->period && w->at[i]) w->at[i] += (size_t)from * w->r->real;
        point(w, c, s, w->at[i]);
    }
}

static void advance_streams(const sqi_worker *w, const sqi_chain *c, int64_t n)
{
    for (int32_t i = 0; i < c->n_streams; i++) {
        const sqi_stream *s = &c->streams[i];
        if (s->tile >= 0 || s->period || !w->at[i]) continue;
        w->at[i] += (size_t)n * w->r->real;
        point(w, c, s, w->at[i]);
    }
}

/* Vectors that repeat, at element e. */
static void repeat_streams(const sqi_worker *w, const sqi_chain *c, int64_t e)
{
    for (int32_t i = 0; i < c->n_streams; i++) {
        const sqi_stream *s = &c->streams[i];
        if (s->period > 1) point(w, c, s, w->at[i] + (size_t)(e % s->period) * w->r->real);
    }
}

void sqi_chain_ops(const sqi_worker *w, const sqi_chain *c, int64_t step, int64_t n, bool cross,
                   const bool *adds)
{
    sqi_run *run = w->runs + c->first_run;
    for (int32_t i = 0; i < c->n_micros; i++, run++) {
        const sqi_micro *m = &c->micros[i];
        if ((!cross && !m->inner) || (m->out >= 0 && !run->out)) continue;
        run->n = n;
        (m->first && !adds[m->crosses] ? m->set : m->run)(run);
        if (w->found && m->lookout && !w->r->arith->finite(n, m->out < 0 ? run->y : run->out))
            sqi_note(w, m->of, step);
    }
}

/* One step's elements [from, to), tile by tile. */
static void run_tiles(const sqi_worker *w, const sqi_chain *c, int64_t step, int64_t from,
                      int64_t to, bool cross, const bool *adds)
{
    int64_t tile = (int64_t)(SQI_TILE_BYTES / w->r->real);
    begin_streams(w, c, step, from);
    for (int64_t e = from, n; e < to; e += n) {
        n = to - e < tile ? to - e : tile;
        if (c->period) {
            int64_t edge = c->period - e % c->period;
            if (n > edge) n = edge;
            repeat_streams(w, c, e);
        }
        sqi_chain_ops(w, c, step, n, cross, adds);
        if (e + n < to) advance_streams(w, c, n);
    }
}

/* The first element of a pass that the window has, and how many a row has; 0: all of them at once. */
static int64_t chain_row(const sqi_worker *w, const sqi_task *k, sqi_window at, int64_t *from)
{
    int64_t row = k->sharable ? k->chain.size / w->r->p->batch : 0;
    *from = at.row * row;
    return row;
}

int64_t sqi_chain_tile(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    int64_t from, row = chain_row(w, k, at, &from), period = k->chain.period;
    int64_t n = k->sharable ? at.n_rows * row : k->chain.size;
    if (n > (int64_t)(SQI_TILE_BYTES / w->r->real)) return 0;
    return period && from % period + n > period ? 0 : n;
}

/* Of an immediate sweep some steps want other ops than the rest; under watch every op is looked at. */
static void lay_ops(const sqi_worker *w, const sqi_chain *c, sqi_laid *l)
{
    static const bool always = true;
    sqi_run *run = w->runs + c->first_run;
    if (w->r->immediate || w->found) return;
    for (int32_t i = 0; i < c->n_micros; i++, run++) {
        const sqi_micro *m = &c->micros[i];
        run->n = l->n;
        if (m->out < 0 || run->out)
            l->ops[l->n_ops++] =
                (sqi_laid_op){ m->run, m->set, run, m->first ? &w->adds[m->crosses] : &always };
    }
}

void sqi_chain_lay(const sqi_worker *w, const sqi_task *k, sqi_window at, sqi_laid *l)
{
    const sqi_chain *c = &k->chain;
    int64_t from;
    chain_row(w, k, at, &from);
    for (int32_t i = 0; i < c->n_streams; i++) {
        const sqi_stream *s = &c->streams[i];
        int64_t e = s->period ? from % s->period : from;
        void **patches = w->patches + c->first_patch + s->first;
        for (int32_t j = 0; s->tile < 0 && j < s->n; j++)
            sqi_aim(w, patches[j], place_of(w, s), at.step, (size_t)e * w->r->real);
    }
    lay_ops(w, c, l);
}

void sqi_run_chain(const sqi_worker *w, const sqi_task *k, sqi_window at, bool cross,
                   const bool *adds)
{
    int64_t from, row = chain_row(w, k, at, &from);
    for (int64_t s = at.step; s < at.step + at.n_steps; s++) {
        int64_t to = from + sqi_rows_at(w->r, at, s) * row;
        run_tiles(w, &k->chain, s, from, k->sharable ? to : k->chain.size, cross, adds);
    }
}

/* ---- Calls --------------------------------------------------------------------------------- */

static sq_shape window_shape(const sqi_worker *w, int32_t v, sqi_window at)
{
    const sqi_value *x = &w->r->p->values[v];
    sq_shape s = x->shape;
    if (x->by_row) s.dim[0] = at.n_rows;
    return s;
}

/* Where rows of value v lie at a step; NULL when it was not kept. */
static char *rows_at(const sqi_worker *w, int32_t v, sqi_window at)
{
    char *base = sqi_at_step(w, &w->r->value[v], at.step);
    return base ? base + sqi_row_offset(w, v, at.row) : NULL;
}

/* The attributes of value v, random numbers being those of the step. */
static const sq_attr *attr_at(const sqi_worker *w, const sqi_value *v, int64_t step)
{
    const sqi_planned *u = w->r->u;
    if (w->r->copies) step = w->r->step;
    if (!(v->op->flags & SQ_RANDOM)) return v->attr;
    *w->drawn = *v->attr;
    w->drawn->draw.stream = sqi_draw_at(u->seed, &u->run, &v->attr->draw, u->home->step + step);
    return w->drawn;
}

/* Random numbers belong to the caller's rows. */
static int64_t caller_row(const sqi_run_of *r, int64_t row)
{
    return r->u->shrunk ? r->u->shrunk->order[row] : row;
}

sqi_window sqi_call_rows(const sqi_worker *w, int32_t v, sqi_window at, int64_t done)
{
    bool one = w->r->u->shrunk && w->r->p->values[v].op->flags & SQ_RANDOM;
    int64_t left = sqi_rows_at(w->r, at, at.step) - done;
    return (sqi_window){ at.step, 1, at.row + done, one && left > 1 ? 1 : left };
}

sq_call sqi_call_of(const sqi_worker *w, int32_t v, sqi_window at)
{
    const sqi_run_of *r = w->r;
    const sqi_value *z = &r->p->values[v];
    for (int32_t k = 0; k < z->n; k++) {
        int32_t x = r->p->operands[z->first + k];
        w->a[k] = rows_at(w, x, at);
        w->shapes[k] = window_shape(w, x, at);
    }
    return (sq_call){ .op = z->op,
                      .n = z->n,
                      .dtype = r->p->dtype,
                      .xs = w->shapes,
                      .ys = window_shape(w, v, at),
                      .attr = attr_at(w, z, at.step),
                      .x = w->a,
                      .y = rows_at(w, v, at),
                      .row = z->by_row ? caller_row(r, at.row) : 0,
                      .kern = r->p->kern };
}

static void run_call_step(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    sq_call c = sqi_call_of(w, k->v[0], at);
    c.op->forward(&c);
    if (w->r->p->values[k->v[0]].lookout)
        sqi_look(w, k->v[0], sq_shape_size(c.ys), sqi_whole_step(at.step), c.y);
}

static void run_call(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    for (int64_t end = at.step + at.n_steps; at.step < end; at.step++)
        for (int64_t done = 0; done < sqi_rows_at(w->r, at, at.step);) {
            sqi_window piece = sqi_call_rows(w, k->v[0], at, done);
            run_call_step(w, k, piece);
            done += piece.n_rows;
        }
}

/* ---- Phases -------------------------------------------------------------------------------- */

/* A task that has no columns to split; l, or NULL: how it is laid out. */
static void run_whole(const sqi_worker *w, const sqi_task *k, sqi_window at, const sqi_laid *l)
{
    if (l && l->n_ops) sqi_run_laid(l);
    else if (k->of_rows) sqi_rows_copy(w, k, at);
    else if (l && l->n) sqi_chain_ops(w, &k->chain, at.step, l->n, true, NULL);
    else if (k->kind == SQI_DO_CHAIN) sqi_run_chain(w, k, at, true, NULL);
    else run_call(w, k, at);
}

/* `laid`, or NULL: how the tasks lie for the window. */
static void run_tasks(const sqi_worker *w, const sqi_tasks *tasks, sqi_window at,
                      const sqi_laid *laid)
{
    for (int32_t i = 0; i < tasks->n; i++) {
        const sqi_task *k = &tasks->at[i];
        if (k->kind == SQI_DO_PRODUCT && !k->of_rows)
            run_product(w, k, at, laid ? &laid[i] : NULL);
        else if (sqi_is_mine(w)) run_whole(w, k, at, laid ? &laid[i] : NULL);
        sqi_meet_split(w);
    }
}

static void over_steps(const sqi_worker *w, sqi_phase phase)
{
    const sqi_plan *p = w->r->p;
    sqi_window at = sqi_share_steps(w, p->alone[phase]);
    if (!p->tasks[phase].n) return;
    if (at.n_steps) run_tasks(w, &p->tasks[phase], at, NULL);
    sqi_workers_meet(w->others);
}

static void over_rows(sqi_worker *w)
{
    const sqi_plan *p = w->r->p;
    const sqi_tasks *loop = &p->tasks[SQI_LOOP];
    w->split = sqi_loop_splits(w, loop);
    sqi_window at = sqi_share_rows(w, p->alone[SQI_LOOP]);
    const sqi_laid *laid = sqi_loop_lay(w, loop, at, 1, lay_product);
    for (; at.step < w->last; at.step++) {
        at.n_rows = sqi_rows_at(w->r, at, at.step);
        if (at.n_rows <= 0) break;
        run_tasks(w, loop, at, laid);
        if (laid) sqi_loop_move(w);
    }
    w->split = false;
    bool dealt_anew = w->r->u->shrunk != NULL;
    if (p->tasks[SQI_HOIST].n || p->tasks[SQI_SINK].n || dealt_anew)
        sqi_workers_meet(w->others);
}

static void job(void *context, sqi_workers *others, int32_t i, int32_t n)
{
    sqi_worker *w = (sqi_worker *)context + i;
    const sqi_planned *u = w->r->u;
    w->others = others;
    w->n = n;
    if (w->r->table && !w->r->multiplied) {
        sqi_rows_multiply(w);
        sqi_workers_meet(w->others);
    }
    for (int64_t at = w->r->from; at < w->r->to; at = w->last) {
        int64_t end = u->stretch ? at + u->stretch->piece : sqi_block_end(u, at);
        sqi_enter_block(w, at, end < w->r->to ? end : w->r->to);
        over_steps(w, SQI_HOIST);
        over_rows(w);
        over_steps(w, SQI_SINK);
    }
}

/* ---- All of it ----------------------------------------------------------------------------- */

static void find_place(sqi_run_of *r, int32_t v)
{
    const sqi_value *x = &r->p->values[v];
    int32_t from = x->kind == SQI_ENTERS ? r->p->leaves[x->state] : v;
    sqi_place *at = &r->value[v];
    *at = (sqi_place){ .unit = sqi_unit_bytes(r->u, v), .origin = SQI_OF_STRETCH };
    if (x->kind == SQI_X) at->base = r->u->x, at->origin = SQI_OF_ALL;
    else if (x->kind == SQI_OUTER) *at = (sqi_place){ .base = r->u->outer[x->operand] };
    else if (x->kind == SQI_ENTERS || (x->room == SQI_KEPT && r->u->kept[v]))
        at->base = r->u->kept[from] + (x->state >= 0 ? sqi_value_bytes(r->p, v) : 0);
    at->lag = x->kind == SQI_ENTERS;
}

bool sqi_run_places(sqi_run_of *r)
{
    r->value = sqi_run_take(r, (size_t)r->p->n_values, sizeof *r->value);
    for (int32_t v = 0; r->value && v < r->p->n_values; v++) find_place(r, v);
    return r->value != NULL;
}

void sqi_run_arrays(sqi_run_of *r)
{
    for (int32_t v = 0; v < r->p->n_values; v++) {
        const sqi_value *x = &r->p->values[v];
        bool kept = sqi_is_operation(x) && x->room == SQI_KEPT;
        if (kept || x->kind == SQI_ENTERS) find_place(r, v);
    }
}

size_t sqi_forward_room(const sqi_plan *p, int32_t v, int64_t steps)
{
    const sqi_value *x = &p->values[v];
    if (!sqi_is_operation(x)) return 0;
    return x->room == SQI_BLOCK  ? (size_t)steps * sqi_value_bytes(p, v)
           : x->room == SQI_STEP ? sqi_value_bytes(p, v)
                                 : 0;
}

/* Scratch for values that outlive a pass but not a step or a block. */
static bool scratch_places(sqi_run_of *r)
{
    size_t units = (size_t)sqi_block_units(r->u);
    for (int32_t v = 0; v < r->p->n_values; v++) {
        const sqi_value *x = &r->p->values[v];
        bool block = x->room == SQI_BLOCK, wanted = block || x->room == SQI_STEP;
        if (!sqi_is_operation(x) || !wanted) continue;
        sqi_place *at = &r->value[v];
        at->base = sqi_run_room(r, block ? units * at->unit : sqi_value_bytes(r->p, v));
        if (!block) at->unit = 0;
        at->origin = SQI_OF_BLOCK;
        if (!at->base) return false;
    }
    return true;
}

/* How many of the tape's threads steps are worth. */
static int32_t threads_for(const sqi_run_of *r, int64_t steps)
{
    enum { WORTH_A_THREAD = 1000000 }; /* flops: waking a thread costs about as much */
    double work = (double)r->p->flops * (double)steps * (r->back ? 2 : 1);
    double most = work / WORTH_A_THREAD;
    return most < 1 ? 1 : most < r->t->threads ? (int32_t)most : r->t->threads;
}

bool sqi_run_workers(sqi_run_of *r, int64_t steps)
{
    const sqi_tasks *tasks = r->back ? r->back->tasks : r->p->tasks;
    r->n_workers = threads_for(r, steps);
    r->workers = sqi_run_take(r, (size_t)r->n_workers, sizeof *r->workers);
    for (int32_t i = 0; r->workers && i < r->n_workers; i++)
        if (!worker_init(r, &r->workers[i], i)) return false;
    for (int phase = SQI_HOIST; phase <= SQI_SINK; phase++)
        for (int32_t i = 0; i < tasks[phase].n; i++) {
            sqi_task *k = &tasks[phase].at[i];
            if (k->kind == SQI_DO_PRODUCT) pack(r, k);
        }
    return r->workers != NULL;
}

void sqi_run_steps(sqi_run_of *r, sqi_job *run, int64_t from, int64_t to)
{
    int32_t n = threads_for(r, to - from);
    r->from = from;
    r->to = to;
    sqi_workers_run(&r->t->workers, n < r->n_workers ? n : r->n_workers, run, r->workers);
}

bool sqi_forward_open(sqi_run_of *r)
{
    int64_t steps = r->u->shrunk ? r->u->shrunk->steps : r->u->span.steps;
    return sqi_run_places(r) && scratch_places(r) && sqi_rows_open(r) &&
           sqi_run_workers(r, steps) && sqi_watch_open(r);
}

void sqi_forward_steps(sqi_run_of *r, int64_t from, int64_t to)
{
    for (int32_t i = 0; i < r->n_workers; i++)
        r->workers[i].origin[SQI_OF_STRETCH] =
            r->u->stretch ? sqi_units_before(r->u, r->u->stretch->origin) : 0;
    sqi_run_steps(r, job, from, to);
    r->multiplied = true;
    sqi_watch_forward(r);
}

bool sqi_plan_forward(sq_tape *t, sqi_planned *u)
{
    sqi_run_of r = sqi_run_new(t, u);
    bool ok = sqi_forward_open(&r);
    if (ok) sqi_forward_steps(&r, 0, u->shrunk ? u->shrunk->steps : u->span.steps);
    sqi_run_close(&r);
    return !t->error.status;
}
