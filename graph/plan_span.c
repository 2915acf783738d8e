/* plan_span.c -- one unroll as a span: memory for all its steps, its operands, its parts. */
#include "core/watch_impl.h"
#include "graph/plan_impl.h"
#include "ops/ops_impl.h"

#include <string.h>

/* ---- From trace to span -------------------------------------------------------------------- */

/* What recording a span needs for a moment. */
typedef struct recording {
    sq_tape *t;
    sqi_plan *p;
    const sqi_trace *trace;
    bool *keep;         /* by node */
    uint32_t *operands; /* of the span's node */
    uint32_t *node;     /* [n_values] node of an OUTER value */
    int32_t n;
    sqi_arena memory;
} recording;

static void *take(recording *c, size_t n, size_t size)
{
    void *block = sqi_arena_alloc(&c->memory, &c->t->pool, n * size);
    if (!block) return sq_post(c->t, SQ_ENOMEM, "out of memory for a span"), NULL;
    return memset(block, 0, n * size);
}

/* Marks a node and what it is computed from. */
static void keep(recording *c, uint32_t i)
{
    const sqi_segment *s = c->t->current;
    const sqi_node *n = &s->nodes[i];
    if (c->keep[i]) return;
    c->keep[i] = true;
    for (int32_t k = 0; k < n->n; k++) keep(c, s->operands[n->first + (uint32_t)k]);
}

/* FIXED values are computed as ordinary nodes, the sums of two vectors last. */
static bool compute_fixed(recording *c)
{
    sq_tape *t = c->t;
    for (int32_t i = 0; i < c->p->n_nodes; i++)
        if (c->keep[i] && !t->current->nodes[i].value &&
            !sqi_trace_compute_node(t, (uint32_t)i))
            return false;
    for (int32_t i = 0; i < c->p->n_pairs; i++) {
        sq_var in[2];
        for (int k = 0; k < 2; k++)
            in[k] = (sq_var){ t, sqi_id(t->current->ordinal, c->node[c->p->pairs[i][k]]) };
        sq_var sum = sq_apply(&sq_op_add, in, 2, NULL);
        if (t->error.status) return false;
        c->node[c->p->made[i]] = sqi_index(sum.id);
        c->keep[sqi_index(sum.id)] = true;
    }
    return true;
}

static bool find_operands(recording *c)
{
    sqi_plan *p = c->p;
    size_t n = (size_t)p->n_nodes + (size_t)p->n_pairs + 1;
    c->keep = take(c, n, 1);
    c->node = take(c, (size_t)p->n_values, sizeof *c->node);
    c->operands = take(c, (size_t)(1 + p->n_states + p->n_outer), sizeof *c->operands);
    if (!c->keep || !c->node || !c->operands) return false;
    if (p->x >= 0) c->operands[c->n++] = c->trace->sequence;
    for (int32_t k = 0; k < p->n_states; k++) c->operands[c->n++] = c->trace->initial[k];
    for (int32_t i = 0; i < c->n; i++) keep(c, c->operands[i]);
    for (int32_t v = 0; v < p->n_nodes; v++) {
        c->node[v] = (uint32_t)v;
        if (p->values[v].kind == SQI_OUTER) keep(c, (uint32_t)v);
    }
    if (!compute_fixed(c)) return false;
    for (int32_t j = 0; j < p->n_outer; j++) c->operands[c->n++] = c->node[p->outer[j]];
    return true;
}

/* ---- Memory -------------------------------------------------------------------------------- */

/* Steps of a block that all rows take part in: about 256 rows where the weights fit the cache beside
 * them, longer where reading them again for every block would cost more. */
static int64_t most_steps(const sqi_plan *p)
{
    enum { FEW_ROWS = 256, MANY_ROWS = 768 };
    int64_t rows = p->weight_bytes <= SQI_WEIGHTS_IN_CACHE ? FEW_ROWS : MANY_ROWS;
    if (p->dtype == SQ_F64) rows /= 2; /* the same bytes */
    return rows / p->batch > 1 ? rows / p->batch : 1;
}

/* Blocks in equal parts. */
static int64_t block_of(const sqi_plan *p, int64_t steps)
{
    int64_t blocks = (steps + most_steps(p) - 1) / most_steps(p);
    return (steps + blocks - 1) / blocks;
}

static void *zeroed(sq_tape *t, size_t n, size_t size)
{
    void *block = sqi_tape_alloc(t, n * size);
    return block ? memset(block, 0, n * size) : NULL;
}

void *sqi_planned_take(sq_tape *t, sqi_planned *u, size_t n, size_t size, bool exact)
{
    bool fits = n < SIZE_MAX / 2 / (size ? size : 1);
    sqi_arena *a = &u->home->arena;
    void *block = !fits   ? NULL
                  : exact ? sqi_arena_exact(a, &t->pool, n * size)
                          : sqi_arena_alloc(a, &t->pool, n * size);
    if (!block) return sq_post(t, SQ_ENOMEM, "out of memory for the parts of a plan"), NULL;
    u->beside += n * size + (exact ? SQI_EXACT_HEAD : 0);
    return block;
}

static bool make_kept(sq_tape *t, sqi_planned *u)
{
    const sqi_plan *p = u->plan;
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *x = &p->values[v];
        size_t bytes = sqi_value_bytes(p, v), steps = (size_t)u->span.steps + (x->state >= 0);
        if (!sqi_is_operation(x) || x->room != SQI_KEPT) continue;
        if (bytes && steps > SIZE_MAX / 2 / bytes)
            return sq_post(t, SQ_ENOMEM, "out of memory for %zu steps", steps);
        u->kept[v] = sqi_tape_alloc(t, sqi_kept_bytes(u, v));
        if (!u->kept[v]) return false;
    }
    return true;
}

/* Whether steps are dropped: a budget, a snapshot every so often, or only values wanted. */
static bool drops_steps(const sq_tape *t, const sq_unroll_options *o)
{
    return t->inference || o->budget_bytes || o->every;
}

/* Rows that end are left out, if there are any. */
static bool leaves_out(const sqi_plan *p, int64_t steps, const sq_unroll_options *o)
{
    bool ends = false;
    for (int64_t b = 0; o->lengths && !o->keep_padding && b < p->batch; b++)
        ends |= o->lengths[b] < steps;
    return ends && sqi_plan_shrinks(p);
}

static sqi_planned *make(sq_tape *t, sqi_plan *p, const sqi_trace *trace, int64_t steps,
                         const sq_unroll_options *o)
{
    static const char unkept[] =
        "under a budget take what is named before the sweep, mark a state "
        "with sq_keep_grad, or set state_grads in the options";
    bool drops = drops_steps(t, o);
    sqi_planned *u = zeroed(t, 1, sizeof *u);
    if (!u) return NULL;
    u->plan = p;
    u->home = t->current;
    u->block = block_of(p, steps);
    u->version = t->params ? sq_params_version(t->params) + 1 : 1;
    u->seed = t->seed;
    u->run = t->chance;
    u->span = (sqi_span){ .steps = steps,
                          .seed = sqi_wake_seed,
                          .value = drops ? sqi_stretch_value : NULL,
                          .unkept = drops ? unkept : NULL,
                          .grad = sqi_wake_grad,
                          .reached = sqi_wake_reached,
                          .reverse = drops ? sqi_stretch_reverse : sqi_plan_reverse,
                          .push = sqi_plan_push };
    u->first_state = p->x >= 0;
    u->first_outer = u->first_state + p->n_states;
    u->outer = zeroed(t, (size_t)p->n_outer, sizeof *u->outer);
    u->tapped = zeroed(t, (size_t)p->n_named, 1);
    u->handles = zeroed(t, (size_t)sqi_n_slots(p), sizeof *u->handles);
    u->kept = zeroed(t, (size_t)p->n_values, sizeof *u->kept);
    if (!u->outer || !u->tapped || !u->handles || !u->kept) return NULL;
    if (leaves_out(p, steps, o) && !sqi_shrunk_make(t, u, o->lengths, most_steps(p) * p->batch))
        return NULL;
    if (p->x_repeats && !(u->rows = sqi_rows_number(t, u, trace->repeats))) return NULL;
    return (drops ? sqi_stretch_make(t, u, o) : make_kept(t, u)) ? u : NULL;
}

void *sqi_planned_operand(const sqi_planned *u, int32_t k)
{
    const sqi_segment *s = u->home;
    return s->nodes[s->operands[s->nodes[u->span.node].first + (uint32_t)k]].value;
}

void sqi_planned_bind(sqi_planned *u)
{
    const sqi_plan *p = u->plan;
    if (p->x >= 0) u->x = u->shrunk ? u->shrunk->x : sqi_planned_operand(u, 0);
    for (int32_t j = 0; j < p->n_outer; j++)
        u->outer[j] = sqi_planned_operand(u, u->first_outer + j);
}

/* The initial states go into the states' arrays. */
static void enter_states(const sqi_planned *u)
{
    const sqi_plan *p = u->plan;
    for (int32_t k = 0; k < p->n_states; k++) {
        size_t bytes = sqi_value_bytes(p, p->leaves[k]);
        if (u->shrunk) sqi_shrunk_initial(u, k, u->kept[p->leaves[k]]);
        else if (bytes)
            memcpy(u->kept[p->leaves[k]], sqi_planned_operand(u, u->first_state + k), bytes);
    }
}

sqi_planned *sqi_plan_unroll(sq_tape *t, const sqi_trace *told, int64_t steps,
                             const sq_unroll_options *o)
{
    sqi_source source;
    sqi_trace whole = *told, *trace = &whole;
    if (sqi_rows_source(t, told, steps, &source)) whole.repeats = &source;
    recording c = { .t = t, .trace = trace, .p = sqi_plan_of(t, trace) };
    if (!c.p) return NULL;
    sqi_planned *u =
        find_operands(&c) && sqi_watch_settle(t) ? make(t, c.p, trace, steps, o) : NULL;
    if (u && !sqi_span_record(t, &u->span, c.keep, c.operands, c.n)) u = NULL;
    if (u) {
        sqi_planned_bind(u);
        if (!u->stretch) enter_states(u);
        bool ok = !u->shrunk || sqi_shrunk_enter(t, u);
        if (!ok || !(u->stretch ? sqi_stretch_forward : sqi_plan_forward)(t, u)) u = NULL;
    }
    sqi_arena_clear(&c.memory, &t->pool);
    return u;
}

/* ---- Parts --------------------------------------------------------------------------------- */

int32_t sqi_planned_named(const sqi_planned *u, const char *name)
{
    const sqi_plan *p = u->plan;
    for (int32_t j = p->n_named; j-- > 0;)
        if (strcmp(p->values[p->named[j]].name, name) == 0) return sqi_slot_named(p, j);
    return -1;
}

/* Where the handle of a part is remembered; NULL after posting. */
static uint64_t *handle_at(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step)
{
    enum { RUN = 512 };
    size_t n = (size_t)u->span.steps / RUN + 1;
    uint64_t i = (uint64_t)(step == SQI_ALL_STEPS ? u->span.steps : step);
    uint64_t ***pages = &u->handles[slot], **page;
    if (!*pages) {
        *pages = sqi_planned_take(t, u, n, sizeof **pages, false);
        if (!*pages) return NULL;
        memset(*pages, 0, n * sizeof **pages);
    }
    page = &(*pages)[i / RUN];
    if (!*page) {
        *page = sqi_planned_take(t, u, RUN, sizeof **page, false);
        if (!*page) return NULL;
        memset(*page, 0, RUN * sizeof **page);
    }
    return *page + i % RUN;
}

/* Of one step, or of all behind each other. */
static void *in_callers_order(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step)
{
    bool all = step == SQI_ALL_STEPS;
    int64_t n = all ? u->span.steps : 1;
    size_t bytes = sqi_value_bytes(u->plan, sqi_slot_value(u->plan, slot));
    char *copy = sqi_planned_take(t, u, (size_t)n, bytes, all);
    for (int64_t i = 0; copy && i < n; i++)
        sqi_shrunk_value(u, slot, all ? i : step, copy + (size_t)i * bytes);
    return copy;
}

void *sqi_planned_value(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step)
{
    int32_t v = sqi_slot_value(u->plan, slot);
    if (u->stretch) return sqi_stretch_kept(u, slot, step);
    if (u->shrunk) return in_callers_order(t, u, slot, step);
    size_t i = (size_t)(step == SQI_ALL_STEPS ? 0 : step) + (u->plan->values[v].state >= 0);
    return u->kept[v] + i * sqi_value_bytes(u->plan, v);
}

/* Under a budget the gradient of a state is kept where it is asked for. */
static uint32_t flags_of(const sqi_planned *u, int32_t slot)
{
    const sqi_stretches *b = u->stretch;
    bool state = slot < u->plan->n_states;
    if (b && !b->records) return 0;
    return SQI_NEEDS | (state ? SQI_STATE : 0) | (state && b && !b->state_grads ? 0 : SQI_KEEP);
}

sq_var sqi_planned_part(sq_tape *t, sqi_planned *u, int32_t slot, int64_t step)
{
    const sqi_plan *p = u->plan;
    int32_t v = sqi_slot_value(p, slot);
    if (slot > p->n_states) u->tapped[slot - p->n_states - 1] = true;
    if (slot > p->n_states && p->values[v].state >= 0) slot = p->values[v].state;
    uint64_t *id = handle_at(t, u, slot, step);
    if (!id) return sqi_none(t);
    if (*id) return (sq_var){ t, *id };
    sq_shape shape = p->values[v].shape;
    if (step == SQI_ALL_STEPS && !sqi_span_stack(t, u->span.steps, &shape)) return sqi_none(t);
    const char *name = slot == p->n_states ? NULL : p->values[v].name;
    void *value = sqi_planned_value(t, u, slot, step);
    if (t->error.status) return sqi_none(t);
    sq_var part =
        sqi_span_part(t, u->home->ordinal, slot, step, shape, value, name, flags_of(u, slot));
    *id = part.id;
    return part;
}
