/* gather.c -- rows picked by number, and the reverse: gather, scatter_add, one_hot.
 *
 *     op           attributes                    derivative
 *     gather       ids[n_ids]                    scatter_add into the table's rows
 *     scatter_add  ids[n_ids], k[0] rows         gather
 *
 * A row is all but the first axis. Ids are checked when the op is recorded, so the loops trust
 * them. Repeated ids add up in the order they are written. */
#include "core/tape_impl.h"
#include "ops/ops_impl.h"

#include <inttypes.h>
#include <string.h>

/* Elements of one row. */
static int64_t width(sq_shape s) { return sqi_rows_of(s, 0).inner; }

static bool check_rows(sq_tape *t, sq_shape s)
{
    return s.rank >= 1 || sq_post(t, SQ_ESHAPE, "operand 1 has no rows: it is a scalar");
}

/* y[i] (+)= x[ids[i]] */
static void pick_add(const sq_call *c, int64_t n, const void *x, void *y)
{
    for (int64_t i = 0; i < c->attr->n_ids; i++)
        sqi_add_to(c, n, sqi_at(c, x, c->attr->ids[i] * n), sqi_at_mut(c, y, i * n));
}

/* y[ids[i]] += x[i] */
static void spread_add(const sq_call *c, int64_t n, const void *x, void *y)
{
    for (int64_t i = 0; i < c->attr->n_ids; i++)
        sqi_add_to(c, n, sqi_at(c, x, i * n), sqi_at_mut(c, y, c->attr->ids[i] * n));
}

/* ---- gather ----------------------------------------------------------------------------- */

static bool gather_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                         sq_shape *out)
{
    (void)n;
    if (!check_rows(t, in[0]) || !sqi_check_ids(t, attr, in[0].dim[0], "id")) return false;
    *out = sqi_with_size(in[0], 0, attr->n_ids);
    return sqi_check_size(t, *out);
}

static void gather_forward(const sq_call *c)
{
    int64_t n = width(c->xs[0]);
    size_t bytes = (size_t)n * sq_dtype_size(c->dtype);
    if (n == 0) return;
    for (int64_t i = 0; i < c->attr->n_ids; i++)
        memcpy(sqi_at_mut(c, c->y, i * n), sqi_at(c, c->x[0], c->attr->ids[i] * n), bytes);
}

static void gather_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    spread_add(c, width(c->xs[0]), c->gy, c->gx[0]);
}

static void gather_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    pick_add(c, width(c->xs[0]), c->dx[0], c->dy);
}

static sq_var gather_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                             int32_t k)
{
    (void)y, (void)k;
    return sq_scatter_add(gy, attr->ids, attr->n_ids, sq_shape_of(x[0]).dim[0]);
}

/* ---- scatter_add ------------------------------------------------------------------------ */

static bool scatter_shape(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                          sq_shape *out)
{
    char text[SQ_SHAPE_TEXT];
    int64_t rows = attr->k[0];
    (void)n;
    if (!check_rows(t, in[0])) return false;
    if (rows < 0)
        return sq_post(t, SQ_ERANGE, "the number of rows is negative: %" PRId64, rows);
    if (attr->n_ids != in[0].dim[0])
        return sq_post(t, SQ_ESHAPE, "%" PRId64 " ids do not fit the rows of %s", attr->n_ids,
                       sq_shape_text(in[0], text));
    if (!sqi_check_ids(t, attr, rows, "id")) return false;
    *out = sqi_with_size(in[0], 0, rows);
    return sqi_check_size(t, *out);
}

static void scatter_forward(const sq_call *c)
{
    sqi_arith_of(c)->fill(sq_shape_size(c->ys), c->y, 0);
    spread_add(c, width(c->xs[0]), c->x[0], c->y);
}

static void scatter_vjp(const sq_call *c, int32_t k)
{
    (void)k;
    pick_add(c, width(c->xs[0]), c->gy, c->gx[0]);
}

static void scatter_jvp(const sq_call *c, int32_t k)
{
    (void)k;
    spread_add(c, width(c->xs[0]), c->dx[0], c->dy);
}

static sq_var scatter_adjoint(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr,
                              int32_t k)
{
    (void)x, (void)y, (void)k;
    return sq_gather(gy, attr->ids, attr->n_ids);
}

/* ---- Descriptors ------------------------------------------------------------------------ */

static const int32_t some_ids[] = { 2, 0, 4, 2, 2, 1, 0 };

static const sq_sample gather_samples[] = {
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 5, 3 } } },
      .attr = { .ids = some_ids, .n_ids = 7 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 1, { 5 } } },
      .attr = { .ids = some_ids, .n_ids = 3 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 7, 1, 2 } } },
      .attr = { .ids = some_ids, .n_ids = 5 } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 5, 3 } } }, .attr = { .n_ids = 0 } },
    { .n = 0 },
};

static const sq_sample scatter_samples[] = {
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 2, { 7, 3 } } },
      .attr = { .k = { 5 }, .ids = some_ids, .n_ids = 7 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 1, { 3 } } },
      .attr = { .k = { 6 }, .ids = some_ids, .n_ids = 3 } },
    { .n = 1,
      .lo = -3,
      .hi = 3,
      .in = { { 3, { 4, 1, 2 } } },
      .attr = { .k = { 5 }, .ids = some_ids, .n_ids = 4 } },
    { .n = 1, .lo = -3, .hi = 3, .in = { { 2, { 0, 3 } } }, .attr = { .k = { 2 } } },
    { .n = 0 },
};

const sq_op sq_op_gather = {
    .name = "gather",
    .formula = "y[i] = table[ids[i]]",
    .arity = 1,
    .shape = gather_shape,
    .forward = gather_forward,
    .vjp = gather_vjp,
    .jvp = gather_jvp,
    .adjoint = gather_adjoint,
    .samples = gather_samples,
};

const sq_op sq_op_scatter_add = {
    .name = "scatter_add",
    .formula = "y[ids[i]] += x[i], from zeros",
    .arity = 1,
    .shape = scatter_shape,
    .forward = scatter_forward,
    .vjp = scatter_vjp,
    .jvp = scatter_jvp,
    .adjoint = scatter_adjoint,
    .samples = scatter_samples,
};

sq_var sq_gather(sq_var table, const int32_t *ids, int64_t n)
{
    return sq_apply(&sq_op_gather, &table, 1, &(sq_attr){ .ids = ids, .n_ids = n });
}

sq_var sq_scatter_add(sq_var x, const int32_t *ids, int64_t n, int64_t rows)
{
    return sq_apply(&sq_op_scatter_add, &x, 1,
                    &(sq_attr){ .k = { rows }, .ids = ids, .n_ids = n });
}

/* ---- one_hot ---------------------------------------------------------------------------- */

/* A copy of the ids in the constant's attributes: its rows are those of the unit matrix, which a
 * plan makes use of. False after posting. */
static bool keep_ids(sq_tape *t, sqi_node *n, const sq_attr *ids)
{
    size_t bytes = (size_t)ids->n_ids * sizeof *ids->ids;
    sq_attr *own = sqi_tape_alloc(t, sizeof *own);
    int32_t *copy = own ? sqi_tape_alloc(t, bytes) : NULL;
    if (!copy) return false;
    if (bytes) memcpy(copy, ids->ids, bytes);
    *own = (sq_attr){ .ids = copy, .n_ids = ids->n_ids };
    n->attr = own;
    return true;
}

/* The constant is written in place: a training loop that uses it allocates nothing. */
sq_var sqi_one_hot(sq_tape *t, const sq_attr *ids, int64_t classes)
{
    sq_shape shape = sq_mat(ids->n_ids, classes);
    if (!sqi_begin(t, "one_hot") || !sqi_trace_compute(t, "takes ids or labels") ||
        !sqi_check_ids(t, ids, classes, "id") || !sqi_check_size(t, shape))
        return (sq_var){ 0 };
    sq_var v = sq_zeros(t, shape);
    if (!sq_ok(v)) return v;
    sqi_node *n = sqi_node_find(t, v.id);
    if (!ids->mask && !keep_ids(t, n, ids)) return (sq_var){ 0 };
    char *values = n->value;
    for (int64_t i = 0; i < ids->n_ids; i++) {
        if (ids->mask && !ids->mask[i]) continue;
        size_t at = (size_t)(i * classes + ids->ids[i]) * sq_dtype_size(t->dtype);
        t->kern->of[t->dtype].fill(1, values + at, 1);
    }
    return v;
}

sq_var sq_one_hot(sq_tape *t, const int32_t *ids, int64_t n, int64_t classes)
{
    return sqi_one_hot(t, &(sq_attr){ .ids = ids, .n_ids = n }, classes);
}
