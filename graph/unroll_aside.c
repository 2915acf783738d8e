/* unroll_aside.c -- one step of an unroll that does not keep its steps: called, measured, checked
 * against what it recorded before, and dropped. */
#include "core/backward_impl.h"
#include "core/watch_impl.h"
#include "graph/unroll_impl.h"
#include "ops/ops.h"

#include <string.h>

static size_t aligned(size_t bytes) { return (bytes + SQI_ALIGN - 1) / SQI_ALIGN * SQI_ALIGN; }

/* ---- States ------------------------------------------------------------------------------- */

char *sqi_state_at(const sqi_budget *b, char *states, int32_t k)
{
    for (int32_t i = 0; i < k; i++) states += aligned(b->slot[i].bytes);
    return states;
}

void sqi_save_states(const sqi_budget *b, char *to)
{
    for (int32_t k = 0; k < b->n_states; k++) {
        const sqi_node *n = sqi_node_find(b->tape, b->state[k].id);
        if (b->slot[k].bytes) memcpy(sqi_state_at(b, to, k), n->value, b->slot[k].bytes);
    }
}

sqi_segment *sqi_aside_stand(sqi_budget *b, char *values, int64_t step)
{
    sqi_segment *s = sqi_aside_open(b->tape, step, 0);
    for (int32_t k = 0; s && k < b->n_states; k++) {
        sqi_node n = { .op = &sqi_op_constant,
                       .shape = b->slot[k].shape,
                       .value = sqi_state_at(b, values, k),
                       .flags = SQI_NEEDS | SQI_KEEP | SQI_STATE };
        if (sqi_push(b->tape, &n)) continue;
        sqi_aside_close(b->tape, s);
        return NULL;
    }
    return s;
}

void sqi_present(sqi_budget *b, const sqi_segment *stand, int64_t at)
{
    b->at = at;
    for (int32_t k = 0; k < b->n_states; k++)
        b->state[k] =
            stand ? (sq_var){ b->tape, sqi_id(stand->ordinal, (uint32_t)k + 1) } : b->state0[k];
}

/* ---- What a step takes -------------------------------------------------------------------- */

/* Room of an array that grew by doubling. */
static size_t room_for(uint32_t n)
{
    size_t room = 8;
    while (room < n) room *= 2;
    return room;
}

/* Of a segment, its arena apart, and of what lists it. */
static size_t outside_arena(uint32_t nodes, uint32_t operands)
{
    return sizeof(sqi_segment) + room_for(nodes) * sizeof(sqi_node) +
           room_for(operands) * sizeof(uint32_t) + 8 * sizeof(sqi_version *) +
           2 * sizeof(sqi_segment *);
}

size_t sqi_step_bytes(const sqi_step_sizes *sizes)
{
    return outside_arena(sizes->nodes, sizes->operands) + sqi_chunk_bytes(sizes->arena);
}

static size_t held_by(const sqi_segment *s)
{
    size_t bytes = outside_arena(s->n_nodes, s->n_operands);
    for (const sqi_chunk *c = s->arena.newest; c; c = c->next)
        bytes += sqi_chunk_bytes(c->size);
    return bytes;
}

void sqi_count_held(sqi_budget *b, sqi_aside_step *step)
{
    size_t now = held_by(step->s), fixed = b->block_bytes;
    b->held = b->held - step->held + now;
    step->held = now;
    if (b->whole) fixed += sqi_chunk_bytes(b->sizes.scratch);
    if (b->holder) fixed += outside_arena(b->holder->n_nodes, 0);
    if ((int64_t)(b->held + fixed) > b->memory.peak_bytes)
        b->memory.peak_bytes = (int64_t)(b->held + fixed);
}

/* Gradients that are kept lie in the step's arena, others in scratch memory. */
static sqi_step_sizes measure(const sq_tape *t, const sqi_segment *s)
{
    sqi_step_sizes z = { .arena = s->arena.used,
                         .nodes = s->n_nodes,
                         .operands = s->n_operands };
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        const sqi_node *n = &s->nodes[i];
        if (!(n->flags & SQI_NEEDS) || n->op == &sqi_op_import || n->op == &sqi_op_use)
            continue;
        size_t bytes = aligned(sqi_bytes(t, &n->shape));
        if (n->flags & SQI_KEEP) z.arena += bytes;
        else z.scratch += bytes;
    }
    return z;
}

static void take_larger(sqi_budget *b, const sqi_step_sizes *z)
{
    sqi_step_sizes *most = &b->sizes;
    b->grown |= z->arena > most->arena || z->scratch > most->scratch ||
                room_for(z->nodes) > room_for(most->nodes) ||
                room_for(z->operands) > room_for(most->operands);
    if (z->arena > most->arena) most->arena = z->arena;
    if (z->scratch > most->scratch) most->scratch = z->scratch;
    if (z->nodes > most->nodes) most->nodes = z->nodes;
    if (z->operands > most->operands) most->operands = z->operands;
}

/* ---- What a step records ------------------------------------------------------------------ */

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Operations in order, with the shapes and names of their results, and which of these are states. How
 * the states came in differs between the first step of all, the first of a stretch and the others. */
static uint64_t print_of(const sqi_budget *b, const sqi_aside_step *step, uint32_t first)
{
    const sqi_segment *s = step->s;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = first; i < s->n_nodes; i++) {
        const sqi_node *n = &s->nodes[i];
        uint32_t needs = n->flags & SQI_NEEDS;
        if (!n->n) continue;
        hash = mix(hash, &n->op, sizeof n->op);
        hash = mix(hash, &n->n, sizeof n->n);
        hash = mix(hash, &needs, sizeof needs);
        hash = mix(hash, &n->shape.rank, sizeof n->shape.rank);
        hash = mix(hash, n->shape.dim, (size_t)n->shape.rank * sizeof *n->shape.dim);
        if (n->name) hash = mix(hash, n->name, strlen(n->name));
        for (int32_t k = 0; k < b->n_states; k++)
            if (step->leave[k] == i) hash = mix(hash, &k, sizeof k);
    }
    return hash;
}

/* The first time, remembers what step i records; later, compares. */
static bool same_as_before(sqi_budget *b, const sqi_aside_step *step, int64_t i, uint32_t first)
{
    sq_tape *t = b->tape;
    uint64_t print = print_of(b, step, first), need = (uint64_t)b->n_print + 1;
    uint32_t j = b->n_print;
    while (j > 0 && b->print[j - 1].from > i) j--;
    bool seen = b->whole || (j < b->n_print) || (j && b->print[j - 1].from == i);
    if (j && b->print[j - 1].print == print) return true;
    if (seen) {
        t->doing = "unroll";
        return sq_post(
            t, SQ_EVALUE,
            "the cell recorded something else than the first time: what is run again "
            "must do the same again");
    }
    if (!sqi_grow(t, &b->print, &b->print_room, need, sizeof *b->print)) return false;
    b->print[b->n_print++] = (sqi_print){ i, print };
    return true;
}

/* Weights that a step uses are uses of home, too: it holds their version. */
static bool use_at_home(sqi_budget *b, sqi_segment *s)
{
    sq_tape *t = b->tape;
    sqi_segment *home = b->again.home;
    t->current = home;
    for (uint32_t i = 1; i < s->n_nodes && !t->error.status; i++) {
        bool known = s->nodes[i].op != &sqi_op_use;
        for (uint32_t j = 1; j < home->n_nodes && !known; j++) {
            const sqi_node *n = &home->nodes[j];
            known = n->op == &sqi_op_use && n->source == s->nodes[i].source;
        }
        if (!known) sq_use(t, (sq_weight){ (int32_t)s->nodes[i].source });
    }
    t->current = s;
    return !t->error.status;
}

/* ---- A step ------------------------------------------------------------------------------- */

/* The output has the same shape in every step, or is never there. */
static bool check_output(sqi_budget *b, sq_var y)
{
    sq_tape *t = b->tape;
    bool there = y.tape && sqi_index(y.id);
    sqi_slot_of *slot = &b->slot[b->n_states];
    char was[SQ_SHAPE_TEXT], is[SQ_SHAPE_TEXT];
    if (!b->told) {
        slot->needs = true;
        b->has_output = there;
        if (there) slot->shape = sqi_node_find(t, y.id)->shape;
        slot->bytes = there ? sqi_bytes(t, &slot->shape) : 0;
        return true;
    }
    t->doing = "unroll";
    if (there != b->has_output)
        return sq_post(t, SQ_ESHAPE, "the cell has an output in some steps and none in others");
    sq_shape shape = there ? sqi_node_find(t, y.id)->shape : slot->shape;
    return sq_shape_equal(shape, slot->shape) ||
           sq_post(t, SQ_ESHAPE, "the output has shape %s, before it had %s",
                   sq_shape_text(shape, is), sq_shape_text(slot->shape, was));
}

/* Bytes of step 0 that it need not take because they are views of initial states in the root; other
 * steps must copy theirs. */
static size_t borrowed(const sqi_budget *b, const sqi_segment *s, uint32_t first)
{
    size_t sum = 0;
    for (uint32_t i = first; i < s->n_nodes; i++)
        for (int32_t k = 0; k < b->n_states; k++) {
            const sqi_node *n = &s->nodes[i], *from = sqi_node_find(b->tape, b->state0[k].id);
            uintptr_t at = (uintptr_t)n->value, low = from ? (uintptr_t)from->value : 0;
            bool view = n->n && from && at >= low && at < low + b->slot[k].bytes;
            if (view) sum += aligned(sqi_bytes(b->tape, &n->shape));
        }
    return sum;
}

/* Calls the cell. In the first step the states enter through views, as in any unroll. */
static bool record(sqi_budget *b, sqi_aside_step *to)
{
    sq_tape *t = b->tape;
    sq_var x = sqi_input_at(b->x, b->at);
    for (int32_t k = 0; b->at == 0 && k < b->n_states; k++)
        b->state[k] = sq_reshape(b->state[k], b->slot[k].shape);
    uint32_t first = to->s->n_nodes;
    sq_var y = t->error.status ? sqi_none(t) : b->cell.step(t, b->cell.self, x, b->state);
    if (!sqi_step_close(t, &b->cell, b->state, &y, b->batch, first) || !check_output(b, y))
        return false;
    if (!b->told) b->sizes.arena = borrowed(b, to->s, first);
    to->output = b->has_output ? sqi_index(y.id) : 0;
    for (int32_t k = 0; k < b->n_states; k++) to->leave[k] = sqi_index(b->state[k].id);
    return same_as_before(b, to, b->at, first) && (b->whole || use_at_home(b, to->s)) &&
           sqi_watch_step(t, NULL, to->leave);
}

bool sqi_aside_run(sqi_budget *b, sqi_aside_step *to)
{
    sq_tape *t = b->tape;
    to->held = 0;
    to->s = sqi_aside_open(t, b->again.home->step + b->at, b->sizes.arena);
    if (!to->s) return false;
    b->ran++;
    if (!record(b, to)) {
        sqi_aside_drop(b, to);
        return false;
    }
    sqi_step_sizes z = measure(t, to->s);
    if (!b->told) z.arena += b->sizes.arena;
    take_larger(b, &z);
    sqi_count_held(b, to);
    b->at++;
    return true;
}

void sqi_aside_drop(sqi_budget *b, sqi_aside_step *step)
{
    if (!step->s) return;
    b->held -= step->held;
    sqi_aside_close(b->tape, step->s);
    step->s = NULL;
}

uint32_t sqi_slot_node(const sqi_budget *b, const sqi_aside_step *step, int32_t slot)
{
    if (slot < b->n_states) return step->leave[slot];
    if (slot == b->n_states) return step->output;
    uint32_t i = step->s->n_nodes;
    while (--i) {
        const sqi_node *n = &step->s->nodes[i];
        if (n->n && n->name && strcmp(n->name, b->slot[slot].name) == 0) break;
    }
    return i;
}

/* ---- All steps once more -------------------------------------------------------------------- */

static bool walk(sqi_budget *b, sqi_visit *v, uint32_t *leaves)
{
    size_t n = (size_t)b->n_states + 1;
    sqi_aside_step steps[2] = { { .leave = leaves }, { .leave = leaves + n } };
    bool ok = true;
    for (int64_t i = 0; ok && i < b->span.steps; i++) {
        sqi_aside_step *now = &steps[i % 2];
        sqi_aside_drop(b, now);
        ok = sqi_aside_run(b, now) && v->step(v, now, i);
    }
    for (int i = 0; i < 2; i++) sqi_aside_drop(b, &steps[i]);
    return ok;
}

bool sqi_budget_walk(sqi_budget *b, sqi_visit *v)
{
    sq_tape *t = b->tape;
    int64_t at = b->at, ran = b->ran, peak = b->memory.peak_bytes;
    sqi_arena memory = { 0 };
    size_t bytes = 2 * ((size_t)b->n_states + 1) * sizeof(uint32_t);
    uint32_t *leaves = sqi_arena_alloc(&memory, &t->pool, bytes);
    if (!leaves) return sq_post(t, SQ_ENOMEM, "out of memory for the states of a step");
    sqi_rerun_begin(t, &b->again);
    sqi_present(b, NULL, 0);
    bool ok = walk(b, v, leaves);
    sqi_rerun_end(t, &b->again);
    sqi_arena_clear(&memory, &t->pool);
    b->at = at, b->ran = ran, b->memory.peak_bytes = peak;
    return ok;
}
