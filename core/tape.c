/* tape.c -- the life of a tape: segments opened, ended, recycled; time; the sticky error.
 *
 * A tape always has a root and a current segment, so recording never asks whether it may.
 * Segments and their arrays are recycled through a free list, their arenas through the pool. */
#include "core/tape_impl.h"
#include "core/watch_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HINT_ROOT, HINT_STEP, HINT_BETWEEN };

static int hint_kind(const sq_tape *t, const sqi_segment *s)
{
    return s == t->root ? HINT_ROOT : s->step >= 0 ? HINT_STEP : HINT_BETWEEN;
}

/* ---- Errors ------------------------------------------------------------------------------ */

static void append_operand_names(sq_tape *t, int32_t n)
{
    const char *open = " (";
    const sqi_segment *s = t->current;
    for (int32_t k = 0; k < n; k++) {
        uint32_t i = s->operands[s->n_operands + (uint32_t)k];
        const sqi_node *o = sqi_node_source(t, &s->nodes[i]);
        if (!o || !o->name) continue;
        char text[160];
        snprintf(text, sizeof text, "%soperand %d is \"%.100s\"", open, (int)k + 1, o->name);
        sqi_error_append(&t->error, text);
        open = ", ";
    }
    if (open[0] == ',') sqi_error_append(&t->error, ")");
}

bool sq_post(sq_tape *t, sq_status status, const char *fmt, ...)
{
    if (!t || t->error.status) return false;
    char prefix[160] = "";
    size_t at = 0;
    if (t->current && t->current->step >= 0)
        at = (size_t)snprintf(prefix, sizeof prefix,
                              "step %lld: ", (long long)sqi_last_step(t->current));
    if (t->doing) snprintf(prefix + at, sizeof prefix - at, "%.100s: ", t->doing);
    va_list args;
    va_start(args, fmt);
    sqi_error_vpost(&t->error, status, prefix, fmt, args);
    va_end(args);
    if (t->naming > 0) append_operand_names(t, t->naming);
    return false;
}

sq_status sq_tape_status(const sq_tape *t)
{
    if (t) sqi_watch_settle((sq_tape *)(uintptr_t)t);
    return t ? t->error.status : SQ_ENOMEM;
}

const char *sq_message(const sq_tape *t)
{
    if (t) sqi_watch_settle((sq_tape *)(uintptr_t)t);
    return t ? t->error.text : sq_status_text(SQ_ENOMEM);
}

/* ---- Memory ------------------------------------------------------------------------------ */

static bool no_memory(sq_tape *t, uint64_t bytes)
{
    return sq_post(t, SQ_ENOMEM, "out of memory for %llu bytes", (unsigned long long)bytes);
}

bool sqi_grow_to(sq_tape *t, void *array, uint32_t *room, uint64_t need, size_t element)
{
    uint64_t wish = *room ? 2 * (uint64_t)*room : 8;
    if (wish < need) wish = need;
    if (wish > UINT32_MAX || wish > SIZE_MAX / 2 / element) return no_memory(t, need * element);
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, (size_t)wish * element);
    if (!grown) return no_memory(t, wish * element);
    memcpy(array, &grown, sizeof grown);
    t->array_bytes += (size_t)(wish - *room) * element;
    *room = (uint32_t)wish;
    return true;
}

void *sqi_tape_alloc(sq_tape *t, size_t bytes)
{
    void *block = sqi_arena_alloc(&t->current->arena, &t->pool, bytes);
    if (!block) no_memory(t, bytes);
    return block;
}

/* ---- Segments ---------------------------------------------------------------------------- */

static void segment_free(sqi_segment *s)
{
    if (!s) return;
    free(s->nodes);
    free(s->operands);
    free(s->versions);
    free(s);
}

void sqi_segment_release(sq_tape *t, sqi_segment *s)
{
    if (s->span && s->span->release) s->span->release(s->span, t);
    for (uint32_t i = 0; i < s->n_versions; i++) sqi_version_release(t->params, s->versions[i]);
    size_t used = s->arena.used;
    sqi_arena_clear(&s->arena, &t->pool);
    if (!s->span && s->ordinal < SQI_ASIDE)
        t->hints[hint_kind(t, s)] = used; /* one step's worth, not a whole span's */
    s->span = NULL;
    sqi_watch_drop(s->watch);
    s->watch = NULL;
    s->leaves = NULL;
    s->n_nodes = s->n_operands = s->n_versions = 0;
    s->next_free = t->free_segments;
    t->free_segments = s;
}

/* A segment from the free list or from the system, with node 0 in place; not yet on the
 * tape. */
sqi_segment *sqi_segment_take(sq_tape *t)
{
    sqi_segment *s = t->free_segments;
    if (s) {
        t->free_segments = s->next_free;
    } else {
        s = calloc(1, sizeof *s);
        if (!s) return no_memory(t, sizeof *s), NULL;
        t->array_bytes += sizeof *s;
    }
    s->next_free = NULL;
    if (!sqi_grow(t, &s->nodes, &s->node_room, 1, sizeof *s->nodes)) {
        s->next_free = t->free_segments;
        t->free_segments = s;
        return NULL;
    }
    s->nodes[0] = (sqi_node){ .op = &sqi_op_constant, .attr = &sqi_no_attr };
    s->n_nodes = 1;
    s->n_operands = s->n_versions = 0;
    return s;
}

static void set_landmark(sq_tape *t, uint64_t ordinal, int64_t step, bool between)
{
    const sqi_landmark *last = &t->landmarks[(t->n_landmarks - 1) % SQI_N_LANDMARKS];
    bool follows = t->n_landmarks && !between && !last->between &&
                   ordinal - last->ordinal == (uint64_t)(step - last->step);
    if (!follows)
        t->landmarks[t->n_landmarks++ % SQI_N_LANDMARKS] = (sqi_landmark){
            .ordinal = ordinal, .step = between ? t->next_step - 1 : step, .between = between
        };
}

void sqi_landmark_span(sq_tape *t, const sqi_segment *s, int64_t steps)
{
    sqi_landmark *last = &t->landmarks[(t->n_landmarks - 1) % SQI_N_LANDMARKS];
    if (last->ordinal != s->ordinal) last = &t->landmarks[t->n_landmarks++ % SQI_N_LANDMARKS];
    *last = (sqi_landmark){ .ordinal = s->ordinal, .step = s->step, .span = steps };
}

/* Gives a taken segment its place in time. */
static void segment_place(sq_tape *t, sqi_segment *s, int64_t step, int kind)
{
    s->ordinal = t->next_ordinal++;
    s->step = step;
    s->oldest_import = UINT64_MAX;
    s->arena.hint = t->hints[kind];
    s->watch = sqi_watch_share(t->watch);
    bool between_still = kind == HINT_BETWEEN && t->current && t->current->step < 0;
    if (!between_still) t->chance.taken = 0;
    t->current = s;
    set_landmark(t, s->ordinal, step, kind == HINT_BETWEEN);
}

bool sqi_segment_open(sq_tape *t, int64_t step)
{
    if (!sqi_watch_settle(t)) return false;
    if (!sqi_grow(t, &t->live, &t->live_room, (uint64_t)t->n_live + 1, sizeof *t->live))
        return false;
    sqi_segment *s = sqi_segment_take(t);
    if (!s) return false;
    t->live[t->n_live++] = s;
    segment_place(t, s, step, step >= 0 ? HINT_STEP : HINT_BETWEEN);
    return true;
}

static bool root_open(sq_tape *t)
{
    t->root = sqi_segment_take(t);
    if (t->root) segment_place(t, t->root, -1, HINT_ROOT);
    return t->root != NULL;
}

sqi_segment *sqi_segment_find(const sq_tape *t, uint64_t ordinal)
{
    if (t->root && ordinal == t->root->ordinal) return t->root;
    if (ordinal >= SQI_ASIDE) return sqi_aside_find(t, ordinal);
    if (!t->n_live || ordinal < t->live[0]->ordinal) return NULL;
    uint64_t i = ordinal - t->live[0]->ordinal;
    return i < t->n_live ? t->live[i] : NULL;
}

sqi_node *sqi_node_source(const sq_tape *t, sqi_node *n)
{
    return n->op == &sqi_op_import ? sqi_node_find(t, n->source) : n;
}

/* ---- Making and ending ------------------------------------------------------------------- */

/* A mistake that reset does not mend. */
static void check_params(sq_tape *t)
{
    t->doing = "tape";
    if (t->params && sq_params_dtype(t->params) != t->dtype)
        sq_post(t, SQ_EDTYPE, "the tape is %s but its params are %s: use sq_params_clone",
                sq_dtype_name(t->dtype), sq_dtype_name(sq_params_dtype(t->params)));
}

sq_tape *sq_tape_new(sq_dtype dtype, sq_params *params)
{
    sq_tape *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->dtype = dtype == SQ_F64 ? SQ_F64 : SQ_F32;
    t->kern = sqi_kernels_select();
    t->params = params;
    t->next_ordinal = 1;
    t->zeroing = 1;
    t->threads = 1;
    if (!root_open(t)) {
        sq_tape_free(t);
        return NULL;
    }
    t->doing = "tape";
    if (dtype != SQ_F32 && dtype != SQ_F64)
        sq_post(t, SQ_EDTYPE, "%d is no precision: SQ_F32 or SQ_F64", (int)dtype);
    check_params(t);
    return t;
}

static void release_all(sq_tape *t)
{
    for (uint32_t i = 0; i < t->n_live; i++) sqi_segment_release(t, t->live[i]);
    t->n_live = 0;
    if (t->root) sqi_segment_release(t, t->root);
    t->root = t->current = NULL;
    t->tracing = false;
    sqi_arena_clear(&t->scratch, &t->pool);
    sqi_arena_clear(&t->tail, &t->pool);
    t->tail_ordinal = 0;
}

void sq_tape_free(sq_tape *t)
{
    if (!t) return;
    release_all(t);
    if (t->free_plans) t->free_plans(t);
    sqi_workers_free(t->workers);
    for (sqi_segment *s = t->free_segments, *next; s; s = next) {
        next = s->next_free;
        segment_free(s);
    }
    sqi_pool_free(&t->pool);
    sqi_watch_drop(t->watch);
    free(t->live);
    free(t->aside);
    free(t->grads);
    free(t->uses);
    free(t->call_shapes);
    free(t->call_x);
    free(t->call_gx);
    free(t);
}

void sq_tape_reset(sq_tape *t)
{
    if (!t || !sqi_in_line(t)) return;
    release_all(t);
    sqi_error_clear(&t->error);
    sqi_watch_forget(t);
    t->next_step = 0;
    t->chance = (sqi_chance){ .serial = ++t->runs };
    t->swept = false;
    bool opened = root_open(t); /* takes the segment just released: cannot fail */
    assert(opened);
    (void)opened;
    check_params(t);
}

sq_dtype sq_tape_dtype(const sq_tape *t) { return t ? t->dtype : SQ_F32; }
sq_params *sq_tape_params(const sq_tape *t) { return t ? t->params : NULL; }

void sq_tape_set_threads(sq_tape *t, int32_t n)
{
    enum { MOST = 256 };
    if (!sqi_begin(t, "tape_set_threads")) return;
    if (n >= 1 && n <= MOST) t->threads = n;
    else sq_post(t, SQ_ERANGE, "cannot run on %d threads: 1 to %d", (int)n, MOST);
}

int32_t sq_tape_threads(const sq_tape *t) { return t ? t->threads : 1; }
const char *sq_tape_isa(const sq_tape *t) { return t ? t->kern->name : ""; }

void sq_tape_set_inference(sq_tape *t, bool on)
{
    if (!sqi_begin(t, "tape_set_inference") || on == t->inference) return;
    if (t->n_live)
        sq_post(t, SQ_EVALUE,
                "the tape has steps already: switch before the first, or after sq_tape_reset");
    else if (on || !t->params || sqi_grads_ready(t)) t->inference = on;
}

bool sq_tape_inference(const sq_tape *t) { return t && t->inference; }

bool sqi_has_gradients(sq_tape *t)
{
    return !t->inference || sq_post(t, SQ_EGRAD,
                                    "the tape keeps values only: there are no gradients "
                                    "unless sq_tape_set_inference is off");
}

/* ---- Time -------------------------------------------------------------------------------- */

void sq_begin_step(sq_tape *t)
{
    if (!sqi_begin(t, "begin_step") || !sqi_in_line(t) ||
        !sqi_trace_compute(t, "begins a step"))
        return;
    if (t->inference && !t->holding && !sqi_forget_older(t)) return;
    if (sqi_segment_open(t, t->next_step)) t->next_step++;
}

void sq_end_step(sq_tape *t)
{
    if (sqi_begin(t, "end_step") && sqi_in_line(t) && sqi_trace_compute(t, "ends a step") &&
        t->current->step >= 0)
        sqi_segment_open(t, -1);
}

int64_t sq_current_step(const sq_tape *t)
{
    if (!t) return -1;
    sqi_trace_compute((sq_tape *)(uintptr_t)t, "asks which step it is");
    return sqi_last_step(t->current);
}

sq_tape_stats sq_tape_statistics(const sq_tape *t)
{
    sq_tape_stats s = { .steps = 0 };
    if (!t) return s;
    for (uint32_t i = 0; i <= t->n_live; i++) {
        const sqi_segment *g = i < t->n_live ? t->live[i] : t->root;
        s.steps += sqi_steps_left(g);
        s.nodes += g->n_nodes - 1;
        s.value_bytes += g->arena.used;
    }
    s.held_bytes = t->pool.held + t->array_bytes + sizeof *t +
                   (size_t)t->n_grads * sq_dtype_size(t->dtype);
    return s;
}
