/* plan_gather.c -- an input whose rows repeat: x[i] = table[ids[i]], characters or words by number.
 *
 *     x W + b  =  (table W + b)[ids]             one product of as many rows as occur, then picking
 *     S[v]     =  sum of g[i] over ids[i] = v    rows of gradients, summed up by number
 *     dW       =  table^T S                      db = column sums of S
 *     dtable   =  S W^T
 *
 * Where x comes from is read off the tape: a gather or a one-hot, through reshapes and imports. Of
 * that only the numbers are taken; the table's rows are found in x itself, where each occurs first,
 * so nothing depends on what becomes of the table. The products are those of all rows, bit by bit:
 * a row of a product does not depend on its neighbours (kernel law (b)). S is one chain over all
 * steps of a sweep: steps descending, rows of the batch descending, wherever blocks end; threads
 * split its columns. The products with it are taken once, when the sweep has reached its first step.
 *
 * What x sends on goes back to the table by addition of equal rows. So S W^T is given to the rows
 * that occur first and nothing to the others, and the gradient of x itself is not readable then; where
 * it was asked for by sq_name or sq_keep_grad, every row gets its own. */
#include "graph/plan_run_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

/* ---- Where x comes from -------------------------------------------------------------------- */

/* What a node merely hands on, and its segment; NULL where it does more. */
static sqi_node *behind(const sq_tape *t, const sqi_segment **s, const sqi_node *n)
{
    if (n->op == &sq_op_reshape) return &(*s)->nodes[(*s)->operands[n->first]];
    if (n->op != &sqi_op_import) return NULL;
    *s = sqi_segment_find(t, sqi_ordinal(n->source));
    return *s ? &(*s)->nodes[sqi_index(n->source)] : NULL;
}

/* To pick an element of a product and to add one to a sum takes about as long as so many
 * multiply-adds of a product. At least half of the work with x must be saved. */
static bool pays(int64_t rows, int64_t n, int64_t width)
{
    enum { PICKING = 8 };
    return rows <= n && rows * width + PICKING * n <= n * width / 2;
}

bool sqi_rows_source(const sq_tape *t, const sqi_trace *trace, int64_t steps, sqi_source *to)
{
    const sqi_segment *s = t->current;
    const sqi_node *n = trace->x ? &s->nodes[trace->sequence] : NULL, *x = n;
    for (const sqi_node *m = n; m; m = behind(t, &s, m)) n = m;
    if (!n || !n->attr->ids || (n->op != &sq_op_gather && n->op != &sqi_op_constant))
        return false;
    const sq_shape *table = n->n ? &s->nodes[s->operands[n->first]].shape : NULL;
    *to = (sqi_source){ n->attr->ids, n->attr->n_ids, table ? table->dim[0] : n->shape.dim[1] };
    bool by_row = to->n == steps * trace->batch && to->n > 0;
    return by_row && pays(to->rows, to->n, x->shape.dim[x->shape.rank - 1]);
}

sqi_distinct *sqi_rows_number(sq_tape *t, sqi_planned *u, const sqi_source *s)
{
    int64_t most = s->rows < s->n ? s->rows : s->n;
    sqi_distinct *r = sqi_planned_take(t, u, 1, sizeof *r, false);
    int32_t *row = sqi_planned_take(t, u, (size_t)s->n, sizeof *row, false);
    int64_t *first = sqi_planned_take(t, u, (size_t)most, sizeof *first, false);
    int32_t *number = sqi_planned_take(t, u, (size_t)s->rows, sizeof *number, false);
    if (t->error.status) return NULL;
    *r = (sqi_distinct){ .of = s->rows, .row = row, .first = first };
    for (int64_t v = 0; v < s->rows; v++) number[v] = -1;
    for (int64_t i = 0; i < s->n; i++) {
        int32_t *at = &number[s->ids[i]];
        if (*at < 0) {
            *at = (int32_t)r->n;
            first[r->n++] = i;
        }
        row[i] = *at;
    }
    return r;
}

/* ---- Memory of a run ----------------------------------------------------------------------- */

static size_t row_bytes(const sqi_run_of *r, int32_t v)
{
    return sqi_value_bytes(r->p, v) / (size_t)r->p->batch;
}

/* Room for the rows of a value that differ; false after posting. */
static bool make_table(sqi_run_of *r, int32_t v)
{
    if (r->table[v]) return true;
    size_t bytes = row_bytes(r, v) * (size_t)r->u->rows->n;
    r->table[v] = sqi_run_take(r, 1, bytes);
    if (r->table[v]) memset(r->table[v], 0, bytes);
    return r->table[v] != NULL;
}

/* Begins with a copy of the rows of x that differ. */
static bool open(sqi_run_of *r)
{
    const sqi_distinct *rows = r->u->rows;
    size_t n = (size_t)r->p->n_values, bytes = row_bytes(r, r->p->x);
    r->table = sqi_run_take(r, n, sizeof *r->table);
    if (!r->table) return false;
    memset(r->table, 0, n * sizeof *r->table);
    if (!make_table(r, r->p->x)) return false;
    for (int64_t i = 0; i < rows->n; i++)
        memcpy(r->table[r->p->x] + (size_t)i * bytes,
               r->value[r->p->x].base + (size_t)rows->first[i] * bytes, bytes);
    return true;
}

/* Rows that differ and fall to this worker. */
static void share(const sqi_worker *w, int64_t *from, int64_t *to)
{
    int64_t n = w->r->u->rows->n;
    *from = n * w->i / w->n;
    *to = n * (w->i + 1) / w->n;
}

/* ---- Forward ------------------------------------------------------------------------------- */

bool sqi_rows_open(sqi_run_of *r)
{
    if (!r->u->rows) return true;
    bool ok = open(r);
    for (int32_t v = 0; ok && v < r->p->n_values; v++)
        if (r->p->values[v].of_rows) ok = make_table(r, v);
    return ok;
}

static void multiply(const sqi_worker *w, const sqi_task *k)
{
    const sqi_run_of *r = w->r;
    int64_t from, to;
    share(w, &from, &to);
    for (int32_t s = 0; s < k->n_lefts; s++) {
        w->a_row[s] = k->packed.panels.depth[s];
        w->a[s] = r->table[r->p->x] + (size_t)from * row_bytes(r, r->p->x);
    }
    for (int32_t i = 0; i < k->n; i++) {
        int32_t bias = r->p->values[k->v[i]].bias;
        w->out[i] = (sqi_out){ .c = r->table[k->v[i]] + (size_t)from * row_bytes(r, k->v[i]),
                               .c_row = k->packed.panels.width[i],
                               .from = bias < 0 ? NULL : r->value[bias].base };
    }
    r->arith->product(&(sqi_panel_product){ .b = &k->packed.panels,
                                            .m = to - from,
                                            .a = w->a,
                                            .a_row = w->a_row,
                                            .out = w->out,
                                            .last = k->packed.n_panels });
}

void sqi_rows_multiply(const sqi_worker *w)
{
    const sqi_tasks *tasks = &w->r->p->tasks[SQI_HOIST];
    for (int32_t i = 0; i < tasks->n; i++)
        if (tasks->at[i].of_rows) multiply(w, &tasks->at[i]);
}

void sqi_rows_add_to(const sqi_worker *w, int32_t v, sqi_window at, sqi_out *out)
{
    const sqi_run_of *r = w->r;
    out->from = r->table[v];
    out->pick = r->u->rows->row + at.step * r->p->batch + at.row;
    sqi_follow(w, &out->pick, (size_t)r->p->batch * sizeof *out->pick);
}

void sqi_rows_copy(const sqi_worker *w, const sqi_task *k, sqi_window at)
{
    const sqi_run_of *r = w->r;
    int64_t batch = r->p->batch, n = at.n_steps * batch;
    const int32_t *row = r->u->rows->row + at.step * batch;
    for (int32_t i = 0; i < k->n; i++) {
        int32_t v = k->v[i];
        size_t bytes = row_bytes(r, v);
        char *to = sqi_at_step(w, &r->value[v], at.step);
        if (r->p->values[v].room == SQI_NOWHERE) continue;
        for (int64_t j = 0; j < n; j++)
            memcpy(to + (size_t)j * bytes, r->table[v] + (size_t)row[j] * bytes, bytes);
        if (r->p->values[v].lookout) sqi_look(w, v, r->p->values[v].size, at, to);
    }
}

/* ---- Reverse ------------------------------------------------------------------------------- */

/* Whether somebody named or marked a node between x and the table. In the user's lane the nodes then
 * have gradients of their own, or sums. */
static bool is_asked_for(const sqi_run_of *r)
{
    const sqi_segment *home = r->u->home, *s = home;
    sqi_node *all = &home->nodes[r->u->span.node],
             *x = &home->nodes[home->operands[all->first]];
    bool asked = false;
    for (sqi_node *n = x; n; n = behind(r->t, &s, n)) asked |= n->flags & SQI_ASKED;
    s = home;
    for (sqi_node *n = x; n && r->lane == SQI_LANE_USER; n = behind(r->t, &s, n))
        n->flags = asked ? n->flags & ~(uint32_t)SQI_SUMMED : n->flags | SQI_SUMMED;
    return asked;
}

static bool is_wanted(const sqi_run_of *r, int32_t to) { return to >= 0 && r->grad[to].base; }

/* Room for the sums that a deferred product takes, where any of its weights wants it. */
static bool open_defer(sqi_run_of *r, const sqi_defer *d)
{
    bool wanted = false, ok = true;
    for (int32_t i = 0; i < d->n_parts * d->n_lefts; i++) wanted |= is_wanted(r, d->to[i]);
    for (int32_t i = 0; i < d->n_parts; i++) wanted |= is_wanted(r, d->sums[i]);
    for (int32_t i = 0; wanted && ok && i < d->n_parts; i++)
        if (d->parts[i].gradient) ok = make_table(r, d->parts[i].value);
    for (int32_t s = 0; wanted && ok && s < d->n_lefts; s++)
        if (d->lefts[s].gradient) ok = make_table(r, d->lefts[s].value);
    return ok;
}

bool sqi_rows_open_reverse(sqi_run_of *r)
{
    const sqi_tasks *tasks = &r->back->tasks[SQI_HOIST];
    int32_t x = r->p->x;
    if (!r->u->rows || sqi_parts_apart(r)) return true;
    bool ok = open(r), back = r->grad[x].base && !is_asked_for(r);
    for (int32_t d = 0; ok && d < r->back->n_defers; d++)
        if (r->back->defers[d].of_rows) ok = open_defer(r, &r->back->defers[d]);
    if (!ok || !back) return ok;
    r->row_grads = sqi_run_take(r, (size_t)r->u->rows->n, row_bytes(r, x));
    for (int32_t i = 0; ok && i < tasks->n; i++)
        for (int32_t j = 0; ok && tasks->at[i].of_rows && j < tasks->at[i].n; j++)
            ok = make_table(r, r->back->root[tasks->at[i].v[j]]);
    return ok && r->row_grads;
}

/* Columns of one value that fall to this worker, rows from the last to the first. */
static void add_rows(const sqi_worker *w, int32_t v)
{
    const sqi_run_of *r = w->r;
    size_t bytes = row_bytes(r, v);
    int64_t batch = r->p->batch, width = r->p->values[v].size / batch;
    int64_t from = width * w->i / w->n, to = width * (w->i + 1) / w->n;
    size_t skip = (size_t)from * r->real;
    for (int64_t s = w->last; s-- > w->first;) {
        const char *g = sqi_at_step(w, &r->grad[v], s) + skip;
        const int32_t *row = r->u->rows->row + s * batch;
        for (int64_t b = batch; b-- > 0;)
            r->arith->axpy(to - from, 1, g + (size_t)b * bytes,
                           r->table[v] + (size_t)row[b] * bytes + skip);
    }
}

void sqi_rows_add(const sqi_worker *w)
{
    const sqi_run_of *r = w->r;
    for (int32_t v = 0; v < r->back->n_roots; v++)
        if (r->table[v] && v != r->p->x) add_rows(w, v);
    sqi_workers_meet(w->others);
}

/* The gradients of this worker's rows, each added where the row occurs first. */
static void send_back(const sqi_worker *w, const sqi_task *k)
{
    const sqi_run_of *r = w->r;
    int64_t width = k->packed.panels.width[0], from, to;
    size_t bytes = row_bytes(r, r->p->x);
    char *rows = r->row_grads;
    share(w, &from, &to);
    for (int32_t i = 0; i < k->n; i++) {
        int32_t g = r->back->root[k->v[i]];
        w->a[i] = r->table[g] + (size_t)from * row_bytes(r, g);
        w->a_row[i] = k->packed.panels.depth[i];
    }
    w->out[0] = (sqi_out){ .c = rows + (size_t)from * bytes, .c_row = width };
    r->arith->product(&(sqi_panel_product){ .b = &k->packed.panels,
                                            .m = to - from,
                                            .a = w->a,
                                            .a_row = w->a_row,
                                            .out = w->out,
                                            .last = k->packed.n_panels });
    for (int64_t i = from; i < to; i++)
        r->arith->axpy(width, 1, rows + (size_t)i * bytes,
                       r->grad[r->p->x].base + (size_t)r->u->rows->first[i] * bytes);
    if (w->found && !r->arith->finite((to - from) * width, rows + (size_t)from * bytes))
        sqi_note(w, k->v[0], r->u->span.low); /* the step that made the sums whole */
}

void sqi_rows_end(const sqi_worker *w)
{
    const sqi_back *b = w->r->back;
    const sqi_tasks *tasks = &b->tasks[SQI_HOIST];
    for (int32_t d = 0; d < b->n_defers; d++) {
        if (!b->defers[d].of_rows) continue;
        sqi_run_defer_rows(w, d); /* two of them may add to one weight */
        sqi_workers_meet(w->others);
    }
    for (int32_t i = 0; w->r->row_grads && i < tasks->n; i++)
        if (tasks->at[i].of_rows) send_back(w, &tasks->at[i]);
}
