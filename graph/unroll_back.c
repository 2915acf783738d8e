/* unroll_back.c -- the sweep through an unroll that does not keep its steps.
 *
 * The schedule says which stretch is recorded again; its steps are reversed by the sweep that is
 * under way, so that what flows to weights, inputs and initial states is added where, and in the
 * order in which, it would be on the full tape. What others sent into a state or an output is laid
 * down before its step is reversed, as it would lie there by then; what a stretch sends to the
 * states it began from is carried to the stretch before. So every sum has the same terms in the same
 * order: the same bits. */
#include "graph/unroll_impl.h"

#include <string.h>

/* ---- Seeds and gradients ------------------------------------------------------------------ */

/* The sweep's first touch of anything here. */
static void wake(sqi_budget *b, const sq_tape *t, int lane)
{
    if (b->stamp[lane] == t->sweep[lane]) return;
    b->stamp[lane] = t->sweep[lane];
    b->top[lane] = -1;
}

/* The memory of a gradient, made at its first use. */
static char *grad_memory(sqi_budget *b, char **at, size_t n, size_t bytes)
{
    if (!*at) *at = sqi_budget_take(b, n, bytes);
    return *at;
}

void *sqi_budget_seed(sqi_span *span, sq_tape *t, int lane, int32_t slot, int64_t step,
                      bool zero)
{
    sqi_budget *b = (sqi_budget *)span;
    bool all = step == SQI_ALL_STEPS;
    size_t bytes = b->slot[slot].bytes, n = all ? (size_t)span->steps : 1;
    sqi_asked *a = all ? NULL : sqi_asked_of(b, slot, step, true);
    if (!all && !a) return NULL;
    char **at = all ? &b->outputs_grad[lane] : &a->grad[lane];
    uint64_t *stamp = all ? &b->outputs_stamp[lane] : &a->stamp[lane];
    if (!grad_memory(b, at, n, bytes)) return NULL;
    wake(b, t, lane);
    if (zero && *stamp != t->sweep[lane]) memset(*at, 0, n * bytes);
    *stamp = t->sweep[lane];
    int64_t last = all ? span->steps - 1 : step;
    if (last > b->top[lane]) b->top[lane] = last;
    return *at;
}

const void *sqi_budget_grad(const sqi_span *span, const sq_tape *t, int lane, int32_t slot,
                            int64_t step, bool *kept)
{
    const sqi_budget *b = (const sqi_budget *)span;
    bool all = step == SQI_ALL_STEPS, output = slot == b->n_states;
    bool stacked = output && b->outputs_stamp[lane] == t->sweep[lane];
    *kept = true;
    if (b->stamp[lane] != t->sweep[lane]) return NULL;
    if (all) return stacked ? b->outputs_grad[lane] : NULL;
    const sqi_slot_of *s = &b->slot[slot];
    const sqi_asked *a = step == span->steps - 1 ? &s->last : s->step ? s->step[step] : NULL;
    if (a && a->stamp[lane] == t->sweep[lane]) return a->grad[lane];
    if (stacked) return b->outputs_grad[lane] + (size_t)step * b->slot[slot].bytes;
    *kept = output || step > b->top[lane];
    return NULL;
}

bool sqi_budget_reached(const sqi_span *span, const sq_tape *t, int lane)
{
    const sqi_budget *b = (const sqi_budget *)span;
    return b->stamp[lane] == t->sweep[lane] && b->top[lane] >= span->low;
}

/* ---- Reversing a stretch ------------------------------------------------------------------ */

typedef struct reversal {
    sqi_budget *b;
    sq_tape *t;
    int lane;
    bool immediate;
} reversal;

/* Lays a gradient down at a node that nothing has reached yet. */
static bool lay(reversal *r, sqi_segment *s, uint32_t node, const char *from)
{
    sqi_node *n = &s->nodes[node];
    void *to = sqi_grad_open(r->t, r->lane, s, n);
    size_t bytes = sqi_bytes(r->t, &n->shape);
    if (to && bytes) memcpy(to, from, bytes);
    return to != NULL;
}

/* What others sent to a slot of a step in this sweep, or NULL. */
static sqi_asked *sent(const reversal *r, int32_t slot, int64_t step)
{
    sqi_asked *a = sqi_asked_of(r->b, slot, step, false);
    return a && a->stamp[r->lane] == r->t->sweep[r->lane] ? a : NULL;
}

/* The output's gradient is what was sent to it alone, then what was sent to all. */
static bool lay_output(reversal *r, const sqi_aside_step *step, int64_t i)
{
    sqi_budget *b = r->b;
    int32_t slot = b->n_states;
    sqi_asked *a = sent(r, slot, i);
    bool all = b->outputs_stamp[r->lane] == r->t->sweep[r->lane];
    const sqi_arith *arith = &r->t->kern->of[r->t->dtype];
    int64_t size = sq_shape_size(b->slot[slot].shape);
    if (!step->output || (!a && !all)) return true;
    sqi_node *n = &step->s->nodes[step->output];
    void *to = sqi_grad_open(r->t, r->lane, step->s, n);
    if (!to) return false;
    if (a && size) memcpy(to, a->grad[r->lane], b->slot[slot].bytes);
    if (all)
        arith->axpy(size, 1, b->outputs_grad[r->lane] + (size_t)i * b->slot[slot].bytes, to);
    if (a && size) memcpy(a->grad[r->lane], to, b->slot[slot].bytes);
    return true;
}

/* Everything that others sent to step i, but its states where `carried` comes from the next. */
static bool lay_seeds(reversal *r, const sqi_aside_step *step, int64_t i, bool last)
{
    sqi_budget *b = r->b;
    for (int32_t slot = 0; slot < b->n_slots; slot++) {
        const sqi_asked *a = sent(r, slot, i);
        bool carried = last && slot < b->n_states && b->carried[slot];
        const char *from = carried ? sqi_state_at(b, b->carry, slot)
                           : a     ? a->grad[r->lane]
                                   : NULL;
        if (slot == b->n_states || !from) continue;
        uint32_t node = sqi_slot_node(b, step, slot);
        if (!(step->s->nodes[node].flags & SQI_NEEDS)) continue;
        if (!lay(r, step->s, node, from)) return false;
    }
    return lay_output(r, step, i);
}

/* Whether the gradient of a slot at step i is to be read afterwards. */
static bool wanted(const reversal *r, int32_t slot, int64_t i)
{
    const sqi_budget *b = r->b;
    sqi_asked *a = sqi_asked_of(r->b, slot, i, false);
    const sqi_node *part = a && a->id ? sqi_node_find(r->t, a->id) : NULL;
    bool listed = part && r->lane == SQI_LANE_PROBE && part->listed == r->t->ledgers;
    bool states = slot < b->n_states && b->options.state_grads && r->lane == SQI_LANE_USER;
    return states || sent(r, slot, i) || (part && part->flags & SQI_KEEP) || listed;
}

/* Copies out the gradients that were asked for, all but the outputs', which are what was sent. */
static bool keep_gradients(reversal *r, const sqi_aside_step *step, int64_t i)
{
    sqi_budget *b = r->b;
    for (int32_t slot = 0; slot < b->n_slots; slot++) {
        if (slot == b->n_states || !wanted(r, slot, i)) continue;
        sqi_asked *a = sqi_asked_of(b, slot, i, true);
        size_t bytes = b->slot[slot].bytes;
        if (!a || !grad_memory(b, &a->grad[r->lane], 1, bytes)) return false;
        const sqi_slot *grad = &step->s->nodes[sqi_slot_node(b, step, slot)].grad[r->lane];
        bool touched = grad->stamp == r->t->sweep[r->lane];
        if (touched && bytes) memcpy(a->grad[r->lane], grad->at, bytes);
        else memset(a->grad[r->lane], 0, bytes);
        a->stamp[r->lane] = r->t->sweep[r->lane];
    }
    return true;
}

/* The holder's gradients begin with what was sent to the states before the stretch. */
static bool open_holder(reversal *r, int64_t from)
{
    sqi_budget *b = r->b;
    for (int32_t k = 0; k < b->n_states; k++) {
        const sqi_asked *a = from ? sent(r, k, from - 1) : NULL;
        sqi_node *n = &b->holder->nodes[k + 1];
        n->grad[r->lane] = (sqi_slot){ .at = sqi_state_at(b, b->held_grads, k), .owned = true };
        if (a && !lay(r, b->holder, (uint32_t)k + 1, a->grad[r->lane])) return false;
    }
    return true;
}

static void close_holder(reversal *r, int64_t from)
{
    sqi_budget *b = r->b;
    for (int32_t k = 0; k < b->n_states; k++) {
        const sqi_slot *grad = &b->holder->nodes[k + 1].grad[r->lane];
        b->carried[k] = from && grad->stamp == r->t->sweep[r->lane];
    }
    if (b->states_bytes) memcpy(b->carry, b->held_grads, b->states_bytes);
}

/* Sweeps the taped steps, the last first, and drops each. Steps before the lower bound are as if
 * they had been cut. */
static bool reverse_stretch(reversal *r, int64_t from)
{
    sqi_budget *b = r->b;
    int64_t n = b->n_taped;
    r->t->scratch.hint = b->sizes.scratch;
    if (!open_holder(r, from)) return false;
    for (int64_t i = n; i-- > 0;)
        if (!lay_seeds(r, &b->taped[i], from + i, i == n - 1)) return false;
    while (b->n_taped) {
        sqi_aside_step *step = &b->taped[b->n_taped - 1];
        int64_t i = from + b->n_taped - 1;
        bool inside = i >= b->span.low && i <= b->top[r->lane];
        if (inside && !sqi_reverse_aside(r->t, r->lane, r->immediate, step->s)) return false;
        if (inside && !keep_gradients(r, step, i)) return false;
        if (inside && b->visit && !b->visit->step(b->visit, step, i)) return false;
        sqi_count_held(b, step);
        b->n_taped--;
        sqi_aside_drop(b, step);
    }
    close_holder(r, from);
    return true;
}

/* ---- The whole way ------------------------------------------------------------------------ */

/* One action. Stretches that nothing flows to, or that were cut, are not recorded. */
static bool act(reversal *r, sq_checkpoint_action a)
{
    sqi_budget *b = r->b;
    bool needless = a.from > b->top[r->lane] || a.to <= b->span.low;
    if (a.kind == SQ_REVERSE) return reverse_stretch(r, a.from);
    return (a.kind == SQ_TAPE && needless) || sqi_budget_act(b, a);
}

static bool whole_way(reversal *r)
{
    sqi_budget *b = r->b;
    bool ok = true;
    sq_checkpoint_action a;
    memset(b->carried, 0, (size_t)b->n_states);
    if (!b->turned) {
        sq_checkpoint_again(b->schedule);
        sqi_drop_snapshots(b);
        sqi_present(b, NULL, 0);
    }
    do {
        a = sq_checkpoint_next(b->schedule);
        ok = act(r, a);
    } while (ok && a.kind != SQ_DONE);
    while (b->n_taped) sqi_aside_drop(b, &b->taped[--b->n_taped]);
    b->turned = false;
    return ok;
}

/* What flows to the operands went straight to what they were imported from. */
bool sqi_budget_reverse(sqi_span *span, sq_tape *t, int lane, bool immediate, void *const *gx)
{
    sqi_budget *b = (sqi_budget *)span;
    (void)gx;
    b->ran = 0;
    sqi_rerun_begin(t, &b->again);
    bool ok = whole_way(&(reversal){ b, t, lane, immediate });
    sqi_rerun_end(t, &b->again);
    return ok;
}
