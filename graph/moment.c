/* moment.c -- finding a step's nodes, and computing again what a plan did not keep. */
#include "graph/moment_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

void *sqi_moment_take(sqi_moment *m, size_t n, size_t size)
{
    bool fits = n < SIZE_MAX / 2 / (size ? size : 1);
    void *at = fits ? sqi_arena_alloc(&m->memory, &m->t->pool, n * size) : NULL;
    if (!at)
        return sq_post(m->t, SQ_ENOMEM, "out of memory for step %lld", (long long)m->step),
               NULL;
    return n && size ? memset(at, 0, n * size) : at;
}

void sqi_moment_close(sqi_moment *m)
{
    if (m->budget) sqi_aside_drop(m->budget, &m->again);
    if (m->stand) sqi_aside_close(m->t, m->stand);
    if (m->t) sqi_arena_clear(&m->memory, &m->t->pool);
}

static bool make_room(sqi_moment *m)
{
    size_t n = m->n, k = (size_t)m->n_states;
    m->value = sqi_moment_take(m, n, sizeof *m->value);
    m->attr = sqi_moment_take(m, n, sizeof *m->attr);
    m->wanted = sqi_moment_take(m, n, 1);
    m->enters = sqi_moment_take(m, k, sizeof *m->enters);
    m->leaves = sqi_moment_take(m, k, sizeof *m->leaves);
    return !m->t->error.status;
}

/* Marks what node i is computed from within the step. */
static void want(const sqi_moment *m, uint32_t i)
{
    const sqi_node *n = &m->s->nodes[i];
    if (!i || m->wanted[i]) return;
    m->wanted[i] = true;
    if (i == m->x) return;
    for (int32_t k = 0; k < m->n_states; k++)
        if (m->enters[k] == i) return;
    for (int32_t k = 0; k < n->n; k++) want(m, m->s->operands[n->first + (uint32_t)k]);
}

/* ---- An eager step ------------------------------------------------------------------------ */

/* Step i's input as sqi_input_at cut it out: import, slice, reshape are its first nodes. */
static uint32_t input_node(const sqi_segment *s, int64_t i)
{
    enum { IMPORT = 1, SLICE, RESHAPE };
    if (s->n_nodes <= RESHAPE) return 0;
    const sqi_node *x = &s->nodes[IMPORT], *one = &s->nodes[SLICE], *at = &s->nodes[RESHAPE];
    bool is = x->shape.rank == 3 && one->op == &sq_op_slice && one->attr->k[0] == 0 &&
              one->attr->k[1] == i && s->operands[one->first] == IMPORT &&
              at->op == &sq_op_reshape && s->operands[at->first] == SLICE;
    return is ? RESHAPE : 0;
}

static uint32_t import_of(const sqi_segment *s, uint64_t id)
{
    for (uint32_t i = 1; i < s->n_nodes; i++)
        if (s->nodes[i].op == &sqi_op_import && s->nodes[i].source == id) return i;
    return 0;
}

/* entering: the handles that state k came in by. */
static bool find_eager(sqi_moment *m, const sq_var *entering)
{
    m->n = m->s->n_nodes;
    if (!make_room(m)) return false;
    for (int32_t k = 0; k < m->n_states; k++) {
        m->enters[k] = import_of(m->s, entering[k].id);
        for (int32_t j = 0; j < k; j++)
            if (m->enters[k] && m->enters[j] == m->enters[k])
                return sq_post(m->t, SQ_EVALUE,
                               "states %d and %d begin as one variable: give each its own",
                               (int)j, (int)k);
    }
    m->x = input_node(m->s, m->step);
    for (uint32_t i = 1; i < m->n; i++) {
        m->value[i] = m->s->nodes[i].value;
        m->attr[i] = m->s->nodes[i].attr;
    }
    return true;
}

static bool open_eager(sqi_moment *m, const sq_unrolled *u)
{
    sq_var *entering = sqi_moment_take(m, (size_t)m->n_states, sizeof *entering);
    m->s = sqi_segment_find(m->t, sqi_ordinal(sq_unrolled_state(u, m->step, 0).id));
    for (int32_t k = 0; entering && k < m->n_states; k++)
        entering[k] = sq_unrolled_state(u, m->step - 1, k);
    if (!entering || !find_eager(m, entering)) return false;
    for (int32_t k = 0; k < m->n_states; k++) {
        m->leaves[k] = sqi_index(sq_unrolled_state(u, m->step, k).id);
        want(m, m->leaves[k]);
    }
    return true;
}

/* ---- A step that was not kept ------------------------------------------------------------- */

/* The states before the step, as constants to begin from; NULL for the initial ones. False after
 * posting. */
static bool stand(sqi_moment *m)
{
    sqi_budget *b = m->budget;
    char *values = sqi_moment_take(m, b->states_bytes, 1);
    for (int32_t k = 0; values && k < m->n_states; k++) {
        const void *value = b->span.value(&b->span, m->t, k, m->step - 1);
        if (!value) return false;
        if (b->slot[k].bytes) memcpy(sqi_state_at(b, values, k), value, b->slot[k].bytes);
    }
    if (!values) return false;
    sqi_rerun_begin(m->t, &b->again);
    m->stand = sqi_aside_stand(b, values, b->again.home->step);
    sqi_rerun_end(m->t, &b->again);
    return m->stand != NULL;
}

/* Runs it again; what the budget knows of itself stays as it was. */
static bool open_again(sqi_moment *m)
{
    sqi_budget *b = m->budget;
    int64_t at = b->at, ran = b->ran, peak = b->memory.peak_bytes;
    sq_var *entering = sqi_moment_take(m, (size_t)m->n_states, sizeof *entering);
    m->again.leave = sqi_moment_take(m, (size_t)m->n_states, sizeof *m->again.leave);
    if (!entering || !m->again.leave || (m->step && !stand(m))) return false;
    sqi_rerun_begin(m->t, &b->again);
    sqi_present(b, m->stand, m->step);
    for (int32_t k = 0; k < m->n_states; k++) entering[k] = b->state[k];
    bool ok = sqi_aside_run(b, &m->again);
    sqi_rerun_end(m->t, &b->again);
    b->at = at, b->ran = ran, b->memory.peak_bytes = peak;
    m->s = m->again.s;
    if (!ok || !find_eager(m, entering)) return false;
    for (int32_t k = 0; k < m->n_states; k++) {
        m->leaves[k] = m->again.leave[k];
        want(m, m->leaves[k]);
    }
    return true;
}

/* ---- A planned step ----------------------------------------------------------------------- */

uint32_t sqi_trace_node(const sqi_plan *p, int32_t v)
{
    while (v >= p->n_nodes) v = p->operands[p->values[v].first]; /* a copy of another */
    return (uint32_t)v;
}

/* State k as it enters the step: its array holds the initial state first. */
static void *entering(sqi_moment *m, sqi_planned *u, int32_t k)
{
    int32_t leaf = u->plan->leaves[k];
    size_t bytes = sqi_value_bytes(u->plan, leaf);
    if (!m->step) return sqi_planned_operand(u, u->first_state + k);
    const sqi_stretches *b = u->stretch;
    if (!b && !u->shrunk) return u->kept[leaf] + (size_t)m->step * bytes;
    char *copy = sqi_moment_take(m, 1, bytes); /* other rows, or steps run again for another */
    if (!copy) return NULL;
    if (b && (b->origin > m->step || m->step >= b->at))
        return sqi_stretch_read(u, m->t, k, m->step - 1, copy) ? copy : NULL;
    if (u->shrunk) return sqi_shrunk_value(u, k, m->step - 1, copy), copy;
    if (bytes) memcpy(copy, u->kept[leaf] + (size_t)(m->step - b->origin) * bytes, bytes);
    return copy;
}

/* The attributes of an op of the trace, random numbers being those of the step. */
static const sq_attr *attr_of(sqi_moment *m, const sqi_planned *u, const sqi_node *n)
{
    if (!(n->op->flags & SQ_RANDOM)) return n->attr;
    sq_attr *drawn = sqi_moment_take(m, 1, sizeof *drawn);
    if (!drawn) return NULL;
    *drawn = *n->attr;
    drawn->draw.stream = sqi_draw_at(u->seed, &u->run, &n->attr->draw, u->home->step + m->step);
    return drawn;
}

static bool compute(sqi_moment *m, const sqi_planned *u, uint32_t i)
{
    sq_tape *t = m->t;
    const sqi_node *n = &m->s->nodes[i];
    void *y = sqi_moment_take(m, (size_t)sq_shape_size(n->shape), sq_dtype_size(t->dtype));
    const void **x = sqi_moment_take(m, (size_t)n->n, sizeof *x);
    sq_shape *xs = sqi_moment_take(m, (size_t)n->n, sizeof *xs);
    m->attr[i] = attr_of(m, u, n);
    if (!y || !x || !xs || !m->attr[i]) return false;
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t in = m->s->operands[n->first + (uint32_t)k];
        x[k] = m->value[in];
        xs[k] = m->s->nodes[in].shape;
    }
    n->op->forward(&(sq_call){ .op = n->op,
                               .n = n->n,
                               .dtype = t->dtype,
                               .xs = xs,
                               .ys = n->shape,
                               .attr = m->attr[i],
                               .x = x,
                               .y = y,
                               .kern = t->kern });
    m->value[i] = y;
    return true;
}

bool sqi_moment_planned(sqi_moment *m, sq_tape *t, sqi_planned *u, int64_t step,
                        const uint32_t *more, int32_t n_more)
{
    const sqi_plan *p = u->plan;
    *m = (sqi_moment){ .t = t, .planned = u, .step = step, .batch = p->batch, .s = u->home };
    m->n_states = p->n_states;
    m->n = (uint32_t)p->n_nodes;
    if (!make_room(m)) return false;
    if (p->x >= 0) m->x = (uint32_t)p->x;
    for (int32_t k = 0; k < m->n_states; k++) {
        m->enters[k] = (uint32_t)p->enters[k];
        m->leaves[k] = sqi_trace_node(p, p->leaves[k]);
        m->value[m->enters[k]] = entering(m, u, k);
        if (t->error.status) return false;
    }
    if (m->x)
        m->value[m->x] = (char *)sqi_planned_operand(u, 0) +
                         (size_t)step * sqi_bytes(t, &m->s->nodes[m->x].shape);
    for (int32_t k = 0; k < m->n_states; k++) want(m, m->leaves[k]);
    for (int32_t k = 0; k < n_more; k++) want(m, more[k]);
    for (uint32_t i = 1; i < m->n; i++) {
        const sqi_node *n = &m->s->nodes[i];
        m->attr[i] = n->attr;
        if (!m->wanted[i] || m->value[i]) continue;
        if (n->flags & SQI_DEAD) {
            if (!compute(m, u, i)) return false;
        } else {
            m->value[i] = n->value;
        }
    }
    return true;
}

/* ---- Either ------------------------------------------------------------------------------- */

/* The states before and after the step are on the tape. */
static bool check_states(sq_tape *t, const sq_unrolled *u, int64_t step)
{
    for (int64_t i = step - 1; i <= step; i++)
        for (int32_t k = 0; k < sq_unrolled_n_states(u); k++)
            if (!sqi_node_of(t, sq_unrolled_state(u, i, k), "a state of the unroll"))
                return false;
    return true;
}

bool sqi_moment_open(sqi_moment *m, const sq_unrolled *u, int64_t step)
{
    sqi_inside in = sqi_unrolled_inside(u);
    sq_tape *t = sq_unrolled_tape(u);
    *m = (sqi_moment){
        .t = t, .step = step, .n_states = sq_unrolled_n_states(u), .budget = in.budget
    };
    if (in.nested)
        return sq_post(
            t, SQ_EVALUE,
            "a step of this cell begins steps itself: it has no Jacobian as one step");
    if (!check_states(t, u, step)) return false;
    if (in.planned) {
        bool ok = sqi_moment_planned(m, t, in.planned, step, NULL, 0);
        m->flags = in.flags;
        return ok;
    }
    m->flags = in.flags;
    m->batch = sqi_node_find(t, sq_unrolled_state(u, step, 0).id)->shape.dim[0];
    return in.budget ? open_again(m) : open_eager(m, u);
}
