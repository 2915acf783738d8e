/* pull.c -- many directions at once, back through one recorded step.
 *
 * Directions of one row b of the batch stand as rows: of every value the step used, row b is laid out
 * once for each direction, and the vjp of an op is called once on a batch of directions, so that a
 * matmul is one product. That needs every op on the way to treat the rows of the batch apart; where one
 * does not, directions are taken one by one through the whole batch, which is always right. */
#include "graph/moment_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

/* Directions taken at once: bounds the memory, and is enough for a product. */
enum { MOST_AT_ONCE = 128 };

typedef struct pull {
    sqi_moment *m;
    const sqi_arith *arith;
    size_t real;
    int64_t row;
    int64_t at_once; /* directions */
    bool apart;      /* rows of the batch are treated apart: directions stand as rows */
    bool *moves;     /* [m->n] depends on what enters */
    char **grad;     /* [m->n] gradients, and values laid out for each direction */
    void **laid;
    sqi_arena memory; /* of these directions */
} pull;

static void *take(pull *f, size_t n, size_t size)
{
    void *at =
        n < SIZE_MAX / 2 / size ? sqi_arena_alloc(&f->memory, &f->m->t->pool, n * size) : NULL;
    if (!at)
        return sq_post(f->m->t, SQ_ENOMEM, "out of memory for %lld directions",
                       (long long)f->at_once),
               NULL;
    return n ? memset(at, 0, n * size) : at;
}

static const sqi_node *node(const pull *f, uint32_t i) { return &f->m->s->nodes[i]; }

static uint32_t operand(const pull *f, const sqi_node *n, int32_t k)
{
    return f->m->s->operands[n->first + (uint32_t)k];
}

/* ---- Which ops treat rows apart ----------------------------------------------------------- */

static bool has_rows(const pull *f, sq_shape s) { return s.rank && s.dim[0] == f->m->batch; }

/* Ops that move numbers about or work along one axis: whether they leave the first axis alone. */
static bool keeps_rows(const pull *f, const sqi_node *n)
{
    static const sq_op *const along[] = { &sq_op_slice,    &sq_op_concat,      &sq_op_pad,
                                          &sq_op_softmax,  &sq_op_log_softmax, &sq_op_sum_axis,
                                          &sq_op_max_axis, &sq_op_max_share };
    sq_shape x = node(f, operand(f, n, 0))->shape;
    if (!has_rows(f, x) || !has_rows(f, n->shape)) return false;
    for (size_t i = 0; i < sizeof along / sizeof *along; i++)
        if (n->op == along[i]) return sqi_axis(x, n->attr->k[0]) != 0;
    if (n->op == &sq_op_permute) return sqi_axis(x, n->attr->k[0]) == 0;
    if (n->op == &sq_op_broadcast_to || n->op == &sq_op_sum_to) return x.rank == n->shape.rank;
    return n->op == &sq_op_reshape;
}

static bool is_product(const sq_op *op)
{
    return op == &sq_op_matmul || op == &sq_op_matmul_nt || op == &sq_op_affine;
}

/* As op.h has SQ_ROWWISE, for what moves. */
static bool rowwise(const pull *f, const sqi_node *n)
{
    bool random = n->op->flags & SQ_RANDOM, picks = n->attr->ids || n->attr->mask;
    if (!(n->op->flags & SQ_ROWWISE) || picks || !has_rows(f, n->shape)) return false;
    if (random && n->shape.rank < 2) return false;
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t x = operand(f, n, k);
        sq_shape s = node(f, x)->shape;
        if (!f->moves[x]) continue;
        if (!has_rows(f, s) || s.rank != n->shape.rank || (k && is_product(n->op)))
            return false;
    }
    return true;
}

/* Whether operand k is looked at row by row, rather than as a whole. */
static bool by_row(const pull *f, const sqi_node *n, int32_t k)
{
    uint32_t x = operand(f, n, k);
    sq_shape s = node(f, x)->shape;
    bool whole = (k && is_product(n->op)) || s.rank != n->shape.rank;
    return f->apart && (f->moves[x] || (!whole && has_rows(f, s)));
}

/* What depends on what enters; whether all of it treats rows apart. */
static void find_moving(pull *f, bool with_x)
{
    const sqi_moment *m = f->m;
    f->apart = true;
    for (int32_t k = 0; k < m->n_states; k++) f->moves[m->enters[k]] = m->enters[k] != 0;
    if (with_x && m->x) f->moves[m->x] = true;
    for (uint32_t i = 1; i < m->n; i++) {
        const sqi_node *n = node(f, i);
        if (!m->wanted[i] || sqi_moment_starts(m, i)) continue;
        for (int32_t k = 0; k < n->n; k++) f->moves[i] |= f->moves[operand(f, n, k)];
        if (f->moves[i]) f->apart = f->apart && (rowwise(f, n) || keeps_rows(f, n));
    }
}

/* ---- One op ------------------------------------------------------------------------------- */

static size_t row_bytes(const pull *f, uint32_t i)
{
    return (size_t)(sq_shape_size(node(f, i)->shape) / f->m->batch) * f->real;
}

/* The value of node i as the call sees it; NULL after posting. */
static const void *value_of(pull *f, uint32_t i, bool rows)
{
    if (!rows) return f->m->value[i];
    if (f->laid[i]) return f->laid[i];
    size_t bytes = row_bytes(f, i);
    char *to = take(f, (size_t)f->at_once, bytes ? bytes : 1);
    const char *from = (const char *)f->m->value[i] + (size_t)f->row * bytes;
    for (int64_t s = 0; to && bytes && s < f->at_once; s++)
        memcpy(to + (size_t)s * bytes, from, bytes);
    return f->laid[i] = to;
}

static sq_shape shape_of(const pull *f, uint32_t i, bool rows, int64_t n)
{
    sq_shape s = node(f, i)->shape;
    if (rows) s.dim[0] = n;
    return s;
}

static char *open(pull *f, uint32_t i)
{
    sq_shape s = shape_of(f, i, f->apart, f->at_once);
    if (!f->grad[i]) f->grad[i] = take(f, (size_t)sq_shape_size(s), f->real);
    return f->grad[i];
}

/* A call of an op that draws: row by row, each direction meeting the numbers of the row it is of. */
static void draw_by_row(const pull *f, sq_call c, const sq_op *op, int32_t k, uint32_t y,
                        uint32_t x)
{
    sq_shape xs = shape_of(f, x, true, 1);
    char *gx = c.gx[k];
    const char *gy = c.gy;
    void *to[1];
    c.xs = &xs;
    c.ys = shape_of(f, y, true, 1);
    c.row = f->row;
    c.gx = to;
    for (int64_t s = 0; s < f->at_once; s++) {
        to[0] = gx + (size_t)s * row_bytes(f, x);
        c.gy = gy + (size_t)s * row_bytes(f, y);
        op->vjp(&c, k);
    }
}

static bool pull_node(pull *f, uint32_t i)
{
    const sqi_node *n = node(f, i);
    bool reads = !(n->op->flags & SQ_LINEAR);
    const void **x = take(f, (size_t)n->n, sizeof *x);
    void **gx = take(f, (size_t)n->n, sizeof *gx);
    sq_shape *xs = take(f, (size_t)n->n, sizeof *xs);
    const void *y = reads ? value_of(f, i, f->apart) : NULL;
    if (!n->op->vjp)
        return sq_post(f->m->t, SQ_EGRAD, "%s has no vjp: it cannot be differentiated",
                       n->op->name);
    if (!x || !gx || !xs || (reads && !y)) return false;
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t in = operand(f, n, k);
        bool rows = by_row(f, n, k);
        xs[k] = shape_of(f, in, rows, f->at_once);
        if (reads && !(x[k] = value_of(f, in, rows))) return false;
        if (f->moves[in] && !(gx[k] = open(f, in))) return false;
    }
    sq_call c = { .op = n->op,
                  .n = n->n,
                  .dtype = f->m->t->dtype,
                  .xs = xs,
                  .ys = shape_of(f, i, f->apart, f->at_once),
                  .attr = f->m->attr[i],
                  .x = x,
                  .gx = gx,
                  .gy = f->grad[i],
                  .kern = f->m->t->kern };
    memcpy(&c.y, &y, sizeof y);
    for (int32_t k = 0; k < n->n; k++) {
        if (!gx[k]) continue;
        if (f->apart && n->op->flags & SQ_RANDOM)
            draw_by_row(f, c, n->op, k, i, operand(f, n, k));
        else n->op->vjp(&c, k);
    }
    return true;
}

/* ---- Some directions ---------------------------------------------------------------------- */

/* Where direction s has its numbers in the gradient of node i. */
static char *place(const pull *f, uint32_t i, int64_t s)
{
    return f->grad[i] + (size_t)(f->apart ? s : f->row) * row_bytes(f, i);
}

static int64_t width(const pull *f, uint32_t i)
{
    return i ? sq_shape_size(node(f, i)->shape) / f->m->batch : 0;
}

/* g[at_once,S] into the states that leave. */
static bool seed(pull *f, const double *g, int64_t size)
{
    const sqi_moment *m = f->m;
    for (int32_t k = 0; k < m->n_states; k++) {
        int64_t w = width(f, m->leaves[k]);
        if (!open(f, m->leaves[k])) return false;
        for (int64_t s = 0; w && s < f->at_once; s++)
            f->arith->from_f64(w, g + s * size, place(f, m->leaves[k], s));
        g += w;
    }
    return true;
}

/* What arrived at node i, zeros where nothing did, into rows `stride` apart. */
static void collect(const pull *f, uint32_t i, int64_t w, double *to, int64_t stride)
{
    for (int64_t s = 0; w && s < f->at_once; s++, to += stride) {
        if (i && f->grad[i]) f->arith->to_f64(w, place(f, i, s), to);
        else memset(to, 0, (size_t)w * sizeof *to);
    }
}

static bool some(pull *f, const double *g, double *gh, double *gx)
{
    const sqi_moment *m = f->m;
    int64_t size = sqi_moment_size(m);
    f->grad = take(f, m->n, sizeof *f->grad);
    f->laid = take(f, m->n, sizeof *f->laid);
    bool ok = f->grad && f->laid && seed(f, g, size);
    for (uint32_t i = m->n; ok && i-- > 1;)
        if (f->grad[i] && f->moves[i] && !sqi_moment_starts(m, i)) ok = pull_node(f, i);
    for (int32_t k = 0; ok && k < m->n_states; k++) {
        int64_t w = width(f, m->leaves[k]);
        collect(f, m->enters[k], w, gh, size);
        gh += w;
    }
    if (ok && gx) collect(f, m->x, sqi_moment_input(m), gx, sqi_moment_input(m));
    sqi_arena_clear(&f->memory, &m->t->pool);
    return ok;
}

/* ---- All of them -------------------------------------------------------------------------- */

int64_t sqi_moment_size(const sqi_moment *m)
{
    int64_t size = 0;
    for (int32_t k = 0; k < m->n_states; k++) size += m->s->nodes[m->leaves[k]].shape.dim[1];
    return size;
}

int64_t sqi_moment_input(const sqi_moment *m)
{
    return m->x ? m->s->nodes[m->x].shape.dim[1] - m->flags : 0;
}

bool sqi_moment_pull(sqi_moment *m, int64_t row, int64_t n, const double *g, double *gh,
                     double *gx)
{
    pull f = { .m = m,
               .arith = &m->t->kern->of[m->t->dtype],
               .real = sq_dtype_size(m->t->dtype),
               .row = row };
    int64_t size = sqi_moment_size(m), inputs = sqi_moment_input(m);
    bool ok = (f.moves = sqi_moment_take(m, m->n, 1)) != NULL;
    if (ok) find_moving(&f, gx != NULL);
    int64_t most = f.apart ? MOST_AT_ONCE : 1;
    for (int64_t done = 0; ok && done < n; done += f.at_once) {
        f.at_once = n - done < most ? n - done : most;
        ok = some(&f, g + done * size, gh + done * size, gx ? gx + done * inputs : NULL);
    }
    return ok;
}
