/* plan_parts.c -- what every step of a plan sends to every weight, for those who observe.
 *
 *     dL/dW|_(t) = A^T G        |dL/dW|_(t)|^2 = <A A^T, G G^T>       A [R,K], G [R,N]
 *     dL/db|_(t) = G^T 1        |dL/db|_(t)|^2 = 1^T G G^T 1
 *
 * At the end of a block its deferred products are taken step by step. Where a norm will do, where
 * the weight takes from this product alone, and where R (K + N) is less than K N, two R x R matrices
 * take the place of the product; A A^T serves all gates, G G^T all left operands. All else is added
 * up in memory of the run, step by step, and handed over. Tasks that add to an outside value by
 * themselves do not tell steps apart: with such a task the blocks are single steps.
 *
 * In sq_backward's own sweep norms are told beside its sums, and nothing else can be.
 *
 * An outside value that the step itself computes from weights (the sum of two biases, a weight scaled)
 * is a node of the tape: each step's share of its gradient is taken back through those nodes to the
 * weights here, and handed on to the generic sweep for everything else. */
#include "core/backward_impl.h"
#include "core/norm_impl.h"
#include "graph/plan_run_impl.h"

#include <math.h>
#include <string.h>

/* One outside value. */
typedef struct outside {
    sq_weight weight; /* id 0: none */
    bool computed;    /* in the step, from weights among others */
    bool by_norm;
    uint32_t node;
    char *part; /* the present step's, or NULL */
    void *gx;   /* computed: where the generic sweep wants it */
} outside;

typedef struct sqi_run_parts {
    sqi_parts *to;
    bool beside;     /* the sweep's own sums are made as well */
    bool single;     /* blocks of one step */
    bool adds;       /* something is not told by its norm */
    int64_t most;    /* rows of a Gram matrix */
    int64_t widest;  /* columns of what it is made of */
    int32_t n_lefts; /* most of one deferred product */
    outside *of;     /* [n_outer] */
    double *norm;    /* [steps of a block][n_outer] */
    char **gram;   /* [n_workers] n_lefts + 1 matrices of most x most, then a scaled operand */
    bool *reaches; /* [nodes before the span] computed from a weight */
    char **grad;   /* the same: of computed nodes */
    bool *touched;
} sqi_run_parts;

/* ---- Outside values ------------------------------------------------------------------------ */

static const sqi_node *home_node(const sqi_run_of *r, uint32_t i)
{
    return &r->u->home->nodes[i];
}

/* The weight that a node brings in, or id 0. */
static sq_weight weight_of(const sqi_run_of *r, uint32_t i)
{
    const sqi_node *n = home_node(r, i);
    if (n->flags & SQI_DEAD || !(n->flags & SQI_NEEDS)) return (sq_weight){ 0 };
    if (n->op == &sqi_op_import) n = sqi_node_find(r->t, n->source);
    bool use = n && n->op == &sqi_op_use;
    return (sq_weight){ use ? (int32_t)n->source : 0 };
}

/* Whether a node before the span is computed in the step, and a gradient goes through it. */
static bool is_computed(const sqi_run_of *r, uint32_t i)
{
    const sqi_node *n = home_node(r, i);
    return n->n > 0 && n->flags & SQI_NEEDS && !(n->flags & SQI_DEAD) &&
           n->op != &sqi_op_detach && n->op->vjp;
}

static bool find_reaches(sqi_run_of *r, sqi_run_parts *p)
{
    const sqi_segment *s = r->u->home;
    uint32_t n = r->u->span.node;
    p->reaches = sqi_run_take(r, n, 1);
    if (!p->reaches) return false;
    memset(p->reaches, 0, n);
    for (uint32_t i = 1; i < n; i++) {
        p->reaches[i] = weight_of(r, i).id != 0;
        for (int32_t k = 0; is_computed(r, i) && k < s->nodes[i].n; k++)
            p->reaches[i] |= p->reaches[s->operands[s->nodes[i].first + (uint32_t)k]];
    }
    return true;
}

/* ---- What is told by its norm -------------------------------------------------------------- */

/* How many deferred products and sums add to outside value v; *cheaper: a norm costs less. */
static int32_t takes(const sqi_run_of *r, int32_t v, bool *cheaper)
{
    const sqi_plan *p = r->p;
    int32_t n = 0;
    for (int32_t j = 0; j < r->back->n_defers; j++) {
        const sqi_defer *d = &r->back->defers[j];
        const sq_shape *s = &p->values[v].shape;
        for (int32_t i = 0; i < d->n_lefts * d->n_parts; i++)
            if (d->to[i] == v) {
                *cheaper = d->rows * (s->dim[0] + s->dim[1]) < s->dim[0] * s->dim[1];
                n++;
            }
        for (int32_t i = 0; i < d->n_parts; i++)
            if (d->sums[i] == v) *cheaper = d->n_lefts > 0, n++;
    }
    return n;
}

/* The weight of outside value j takes from nothing else. */
static bool is_alone(const sqi_run_of *r, const sqi_run_parts *p, int32_t j)
{
    sq_weight w = p->of[j].weight;
    for (int32_t i = 0; i < r->p->n_outer; i++)
        if (i != j && p->of[i].weight.id == w.id) return false;
    for (uint32_t i = 1; i < r->u->span.node; i++) {
        const sqi_node *n = home_node(r, i);
        for (int32_t k = 0; is_computed(r, i) && k < n->n; k++)
            if (weight_of(r, r->u->home->operands[n->first + (uint32_t)k]).id == w.id)
                return false;
    }
    return true;
}

static bool norm_will_do(const sqi_run_of *r, const sqi_run_parts *p, int32_t j)
{
    const outside *o = &p->of[j];
    int32_t v = r->p->outer[j];
    bool cheaper = false;
    if (!o->weight.id || takes(r, v, &cheaper) != 1 || !cheaper || !is_alone(r, p, j))
        return false;
    for (int64_t s = r->u->span.low; s < r->last; s++)
        if (!p->to->by_norm(p->to, o->weight, r->u->home->step + s)) return false;
    return true;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static bool find_outside(sqi_run_of *r, sqi_run_parts *p, void **gx)
{
    const sqi_segment *s = r->u->home;
    for (int32_t j = 0; j < r->p->n_outer; j++) {
        int32_t k = r->u->first_outer + j, v = r->p->outer[j];
        outside *o = &p->of[j];
        uint32_t node = s->operands[s->nodes[r->u->span.node].first + (uint32_t)k];
        *o = (outside){ .weight = weight_of(r, node), .node = node, .gx = gx[k] };
        o->computed = is_computed(r, node) && p->reaches[node];
        if ((o->weight.id || o->computed) && sqi_plan_adders(r->p, r->back, v))
            p->single = true;
    }
    for (int32_t j = 0; j < r->p->n_outer; j++) {
        outside *o = &p->of[j];
        size_t bytes = sqi_value_bytes(r->p, r->p->outer[j]);
        if (!o->weight.id && !o->computed) continue;
        o->by_norm = !sqi_plan_adders(r->p, r->back, r->p->outer[j]) && norm_will_do(r, p, j);
        gx[r->u->first_outer + j] = NULL;
        if (o->by_norm) continue;
        p->adds = true;
        o->part = sqi_run_take(r, bytes, 1);
        if (!o->part) return false;
        memset(o->part, 0, bytes);
        gx[r->u->first_outer + j] = o->part;
    }
    return true;
}

/* Memory of the gradients of computed nodes. */
static bool make_grads(sqi_run_of *r, sqi_run_parts *p)
{
    uint32_t n = r->u->span.node;
    p->grad = sqi_run_take(r, n, sizeof *p->grad);
    p->touched = sqi_run_take(r, n, 1);
    if (!p->grad || !p->touched) return false;
    memset(p->touched, 0, n);
    for (uint32_t i = 0; i < n; i++) {
        bool is = i && is_computed(r, i) && p->reaches[i];
        p->grad[i] = is ? sqi_run_take(r, sqi_bytes(r->t, &home_node(r, i)->shape), 1) : NULL;
        if (is && !p->grad[i]) return false;
    }
    return true;
}

static int64_t last_dim(const sqi_value *v) { return v->shape.dim[v->shape.rank - 1]; }

static bool told_by_norm(const sqi_run_of *r, int32_t v)
{
    return v >= 0 && r->parts->of[r->p->values[v].operand].by_norm;
}

/* Whether anything of a deferred product is told by its norm; of left s, or of all (-1). */
static bool any_by_norm(const sqi_run_of *r, const sqi_defer *d, int32_t s)
{
    bool any = false;
    for (int32_t i = 0; i < d->n_parts; i++) {
        any |= s < 0 && told_by_norm(r, d->sums[i]);
        for (int32_t l = s < 0 ? 0 : s; l < (s < 0 ? d->n_lefts : s + 1); l++)
            any |= told_by_norm(r, d->to[l * d->n_parts + i]);
    }
    return any;
}

static void measure(const sqi_run_of *r, sqi_run_parts *p)
{
    for (int32_t j = 0; j < r->back->n_defers; j++) {
        const sqi_defer *d = &r->back->defers[j];
        if (!any_by_norm(r, d, -1)) continue;
        if (d->rows > p->most) p->most = d->rows;
        if (d->n_lefts > p->n_lefts) p->n_lefts = d->n_lefts;
        for (int32_t i = 0; i < d->n_parts + d->n_lefts; i++) {
            const sqi_array *a = i < d->n_parts ? &d->parts[i] : &d->lefts[i - d->n_parts];
            int64_t width = last_dim(&r->p->values[a->value]);
            if (width > p->widest) p->widest = width;
        }
    }
}

bool sqi_parts_open(sqi_run_of *r)
{
    size_t n = (size_t)r->u->first_outer + (size_t)r->p->n_outer;
    if (!r->t->parts || r->t->parts->whole || r->immediate) return true;
    sqi_run_parts *p = sqi_run_take(r, 1, sizeof *p);
    void **gx = sqi_run_take(r, n, sizeof *gx);
    if (!p || !gx) return false;
    *p = (sqi_run_parts){ .to = r->t->parts };
    p->of = sqi_run_take(r, (size_t)r->p->n_outer, sizeof *p->of);
    int64_t steps = r->u->shrunk ? r->u->shrunk->most_steps : r->u->block;
    p->norm = sqi_run_take(r, (size_t)(steps * r->p->n_outer), sizeof *p->norm);
    if (!p->of || !p->norm || !find_reaches(r, p)) return false;
    if (n) memcpy(gx, r->gx, n * sizeof *gx);
    if (!find_outside(r, p, gx)) return false;
    p->beside = r->lane == SQI_LANE_USER;
    if (p->beside && (p->adds || r->u->stretch)) return r->t->parts->missed = true;
    if (!p->beside && !make_grads(r, p)) return false;
    if (!p->beside) r->gx = gx;
    r->parts = p;
    measure(r, p);
    return true;
}

/* Of as many workers as there are. */
bool sqi_parts_ready(sqi_run_of *r)
{
    sqi_run_parts *p = r->parts;
    if (!p) return true;
    size_t grams = (size_t)(p->n_lefts + 1) * (size_t)(p->most * p->most);
    p->gram = sqi_run_take(r, (size_t)r->n_workers, sizeof *p->gram);
    for (int32_t i = 0; p->gram && i < r->n_workers; i++) {
        p->gram[i] = sqi_run_take(r, grams + (size_t)(p->most * p->widest), r->real);
        if (!p->gram[i]) return false;
    }
    return p->gram != NULL;
}

bool sqi_parts_single(const sqi_run_of *r) { return r->parts && r->parts->single; }

bool sqi_parts_apart(const sqi_run_of *r) { return r->parts && !r->parts->beside; }

/* ---- Norms --------------------------------------------------------------------------------- */

/* X X^T times 2^(-2 exponent); of zeros nothing is written, and `zero` is set. */
typedef struct gram {
    const char *at;
    int exponent;
    bool zero;
} gram;

static double at(const sqi_run_of *r, const void *x, int64_t i)
{
    return r->real == sizeof(float) ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

/* y = x 2^-e, exactly; where it would be too small to matter, nearly. */
static void scale(const sqi_run_of *r, int64_t n, const void *x, int e, void *y)
{
    double a = ldexp(1, -e / 2), b = ldexp(1, -e - -e / 2);
    for (int64_t i = 0; i < n; i++) {
        double v = at(r, x, i) * a * b;
        if (r->real == sizeof(float)) ((float *)y)[i] = (float)v;
        else ((double *)y)[i] = v;
    }
}

static void multiply(const sqi_run_of *r, const void *x, int64_t rows, int64_t width, void *to)
{
    r->arith->gemm(&(sqi_gemm){ .m = rows,
                                .n = rows,
                                .k = width,
                                .a = x,
                                .a_row = width,
                                .a_col = 1,
                                .b = x,
                                .b_row = 1,
                                .b_col = width,
                                .c = to,
                                .c_row = rows });
}

/* |X|^2, the sum of the diagonal of X X^T, is neither tiny nor huge. */
static bool is_near_one(const sqi_run_of *r, const char *product, int64_t rows)
{
    double far = r->real == sizeof(float) ? 1e24 : 1e200, trace = 0;
    for (int64_t i = 0; i < rows; i++) trace += at(r, product, i * rows + i);
    return trace > 1 / far && trace < far;
}

/* Squares of what is far from 1 leave the range of numbers: then a scaled copy is multiplied. */
static gram gram_of(const sqi_worker *w, sqi_array a, int64_t step, int64_t rows, char *to,
                    char *copy)
{
    const sqi_run_of *r = w->r;
    const sqi_place *place = &(a.gradient ? r->grad : r->value)[a.value];
    int64_t width = last_dim(&r->p->values[a.value]);
    const void *x = sqi_at_step(w, place, step);
    gram g = { .at = to };
    multiply(r, x, rows, width, to);
    if (is_near_one(r, to, rows)) return g;
    double norm = sqi_norm(r->t->kern, r->t->dtype, rows * width, x);
    g.zero = norm == 0;
    if (g.zero || isnan(norm) || isinf(norm)) return g;
    (void)frexp(norm, &g.exponent);
    scale(r, rows * width, x, g.exponent, copy);
    multiply(r, copy, rows, width, to);
    return g;
}

/* sqrt <left, part>; left NULL: of ones. Both are symmetric. */
static double norm_of(const sqi_run_of *r, const gram *left, const gram *part, int64_t rows)
{
    double diagonal = 0, below = 0;
    if ((left && left->zero) || part->zero) return 0;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t row = i * rows;
        for (int64_t j = 0; j < i; j++)
            below += at(r, part->at, row + j) * (left ? at(r, left->at, row + j) : 1);
        diagonal += at(r, part->at, row + i) * (left ? at(r, left->at, row + i) : 1);
    }
    double sum = diagonal + 2 * below;
    return ldexp(sqrt(sum > 0 || isnan(sum) ? sum : 0),
                 part->exponent + (left ? left->exponent : 0));
}

/* The norms of one deferred product at one step, at norm[number of outside value]. */
static void norms_of(const sqi_worker *w, const sqi_defer *d, int64_t step, double *norm)
{
    enum { MANY_LEFTS = 8 };
    const sqi_run_of *r = w->r;
    const sqi_run_parts *p = r->parts;
    size_t matrix = (size_t)(p->most * p->most) * r->real;
    int64_t rows = sqi_defer_rows(r->u, d, step);
    char *room = p->gram[w->i], *copy = room + (size_t)(p->n_lefts + 1) * matrix;
    for (int32_t l0 = 0; l0 == 0 || l0 < d->n_lefts; l0 += MANY_LEFTS) {
        int32_t l1 = d->n_lefts < l0 + MANY_LEFTS ? d->n_lefts : l0 + MANY_LEFTS;
        gram left[MANY_LEFTS];
        for (int32_t s = l0; s < l1; s++)
            if (any_by_norm(r, d, s))
                left[s - l0] =
                    gram_of(w, d->lefts[s], step, rows, room + (size_t)(s + 1) * matrix, copy);
        for (int32_t i = 0; i < d->n_parts; i++) {
            bool sums = l0 == 0 && told_by_norm(r, d->sums[i]), any = sums;
            for (int32_t s = l0; s < l1; s++) any |= told_by_norm(r, d->to[s * d->n_parts + i]);
            if (!any) continue;
            gram part = gram_of(w, d->parts[i], step, rows, room, copy);
            if (sums) norm[r->p->values[d->sums[i]].operand] = norm_of(r, NULL, &part, rows);
            for (int32_t s = l0; s < l1; s++) {
                int32_t to = d->to[s * d->n_parts + i];
                if (told_by_norm(r, to))
                    norm[r->p->values[to].operand] = norm_of(r, &left[s - l0], &part, rows);
            }
        }
    }
}

/* ---- Sums ---------------------------------------------------------------------------------- */

/* Where what flows to a node before the span is added; NULL: it is no business of weights. */
static void *fixed_grad(const sqi_run_of *r, uint32_t i, int64_t step)
{
    sqi_run_parts *p = r->parts;
    sq_weight w = weight_of(r, i);
    if (w.id) return p->to->open(p->to, r->t, w, step);
    if (!p->grad[i]) return NULL;
    if (!p->touched[i]) memset(p->grad[i], 0, sqi_bytes(r->t, &home_node(r, i)->shape));
    p->touched[i] = true;
    return p->grad[i];
}

static void reverse_fixed(const sqi_run_of *r, uint32_t i, int64_t step)
{
    sq_tape *t = r->t;
    const sqi_segment *s = r->u->home;
    const sqi_node *n = &s->nodes[i];
    const uint32_t *in = s->operands + n->first;
    for (int32_t k = 0; k < n->n; k++) {
        t->call_x[k] = s->nodes[in[k]].value;
        t->call_shapes[k] = s->nodes[in[k]].shape;
    }
    sq_call c = { .op = n->op,
                  .n = n->n,
                  .dtype = t->dtype,
                  .xs = t->call_shapes,
                  .ys = n->shape,
                  .attr = n->attr,
                  .x = t->call_x,
                  .y = n->value,
                  .gx = t->call_gx,
                  .gy = r->parts->grad[i],
                  .kern = t->kern };
    for (int32_t k = 0; k < n->n; k++) {
        t->call_gx[k] = fixed_grad(r, in[k], step);
        if (t->call_gx[k]) n->op->vjp(&c, k);
    }
}

/* Hands over what has been added up in a step. */
static void hand_over(const sqi_run_of *r, int64_t step)
{
    sqi_run_parts *p = r->parts;
    int64_t of_tape = r->u->home->step + step;
    for (int32_t j = 0; j < r->p->n_outer; j++) {
        const outside *o = &p->of[j];
        int64_t size = r->p->values[r->p->outer[j]].size;
        if (!o->part) continue;
        void *to = fixed_grad(r, o->node, of_tape);
        if (to) r->arith->axpy(size, 1, o->part, to);
        if (o->gx && o->computed) r->arith->axpy(size, 1, o->part, o->gx);
        memset(o->part, 0, (size_t)size * r->real);
    }
    for (uint32_t i = r->u->span.node; i-- > 1;)
        if (p->touched[i]) {
            reverse_fixed(r, i, of_tape);
            p->touched[i] = false;
        }
}

/* ---- A block ------------------------------------------------------------------------------- */

static void tell_norms(const sqi_run_of *r, int64_t first, int64_t last)
{
    const sqi_run_parts *p = r->parts;
    for (int64_t s = last; s-- > first;)
        for (int32_t j = 0; j < r->p->n_outer; j++)
            if (p->of[j].by_norm)
                p->to->norm(p->to, p->of[j].weight, r->u->home->step + s,
                            p->norm[(s - first) * r->p->n_outer + j]);
}

static void add_up(sqi_worker *w, int64_t first, int64_t last)
{
    const sqi_run_of *r = w->r;
    for (int64_t s = last; s-- > first;) {
        w->first = s;
        w->last = s + 1;
        for (int32_t d = 0; d < r->back->n_defers; d++) {
            sqi_run_defer(w, d);
            sqi_workers_meet(w->others);
        }
        if (w->i == 0) hand_over(r, s);
        sqi_workers_meet(w->others);
    }
    w->first = first;
    w->last = last;
}

void sqi_parts_block(sqi_worker *w)
{
    const sqi_run_of *r = w->r;
    int64_t first = w->first, last = w->last;
    sqi_window share = sqi_share_steps(w, false);
    for (int64_t s = share.step; s < share.step + share.n_steps; s++)
        for (int32_t d = 0; d < r->back->n_defers; d++)
            if (any_by_norm(r, &r->back->defers[d], -1))
                norms_of(w, &r->back->defers[d], s,
                         r->parts->norm + (s - first) * r->p->n_outer);
    sqi_workers_meet(w->others);
    if (w->i == 0) tell_norms(r, first, last);
    if (r->parts->adds) add_up(w, first, last);
    else sqi_workers_meet(w->others);
}
