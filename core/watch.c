/* watch.c -- the first number that is not finite, or the first gradient that grew too large: found
 * as it comes up, told with its place in the recurrence.
 *
 * Every value is looked at when it has been computed, so all operands of the first bad one were
 * good, unless they came from outside: then they are what is told. A gate is the first named value
 * that the bad one leads to; a layer is told by the first state it leads to, "1.h". */
#include "core/watch_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The record ---------------------------------------------------------------------------- */

void sqi_watch_drop(sqi_watch *w)
{
    if (!w || --w->refs) return;
    for (int32_t k = 0; w->name && k < w->n_states; k++) free(w->name[k]);
    free(w->name);
    for (int i = 0; i < SQI_N_SERIES; i++) free(w->series[i].norm);
    free(w);
}

/* The names, "" where there is none. */
static bool copy_names(sqi_watch *w, const char *const *names)
{
    w->name = calloc((size_t)w->n_states + 1, sizeof *w->name);
    for (int32_t k = 0; w->name && k < w->n_states; k++) {
        const char *name = names && names[k] ? names[k] : "";
        w->name[k] = malloc(strlen(name) + 1);
        if (!w->name[k]) return false;
        strcpy(w->name[k], name);
    }
    return w->name != NULL;
}

static bool is_sane(sq_tape *t, const sq_watch *ask)
{
    bool sane = ask->limit >= 0 && ask->growth >= 0 && ask->steps >= 0;
    return sane ||
           sq_post(t, SQ_EVALUE,
                   "cannot watch for a norm above %g, or %g times that of %lld steps later",
                   ask->limit, ask->growth, (long long)ask->steps);
}

static bool asks(const sq_watch *a) { return a->nonfinite || a->limit > 0 || a->growth > 0; }

static void put_in_place(sq_tape *t, sqi_segment *s)
{
    sqi_watch_drop(s->watch);
    s->watch = sqi_watch_share(t->watch);
}

void sq_tape_set_watch(sq_tape *t, const sq_watch *ask)
{
    if (!sqi_begin(t, "tape_set_watch") || !sqi_in_line(t) || !sqi_watch_settle(t) ||
        (ask && !is_sane(t, ask)))
        return;
    sqi_watch *w = ask && asks(ask) ? calloc(1, sizeof *w) : NULL;
    if (ask && asks(ask) && !w) {
        sq_post(t, SQ_ENOMEM, "out of memory for a watch");
        return;
    }
    if (w) *w = (sqi_watch){ .refs = 1, .ask = *ask, .n_states = 1 };
    sqi_watch_drop(t->watch);
    t->watch = w;
    put_in_place(t, t->root);
    if (t->current != t->root) put_in_place(t, t->current);
}

bool sqi_watch_begin(sq_tape *t, const sq_watch *ask, int64_t steps, int32_t n_states,
                     const char *const *names, sqi_watch **outer)
{
    *outer = t->watch;
    if (!sqi_watch_settle(t) || !is_sane(t, ask)) return false;
    if (!steps || (!asks(ask) && !t->watch)) return true;
    sqi_watch *w = calloc(1, sizeof *w);
    if (w)
        *w = (sqi_watch){ .refs = 1,
                          .ask = asks(ask) ? *ask : t->watch->ask,
                          .first = t->next_step,
                          .steps = steps,
                          .n_states = n_states };
    if (!w || !copy_names(w, names)) {
        sqi_watch_drop(w);
        return sq_post(t, SQ_ENOMEM, "out of memory for a watch");
    }
    t->watch = w;
    return true;
}

/* What follows the last step is no business of the unroll's. */
void sqi_watch_end(sq_tape *t, sqi_watch *outer)
{
    sqi_watch *w = t->watch;
    if (w == outer) return;
    sqi_watch_settle(t);
    t->watch = outer;
    if (t->current->watch == w) put_in_place(t, t->current);
    sqi_watch_drop(w);
}

void sqi_watch_forget(sq_tape *t)
{
    if (!t->watch) return;
    t->watch->found = 0;
    for (int i = 0; i < SQI_N_SERIES; i++) t->watch->series[i].n = 0;
}

bool sqi_all_finite(const sq_tape *t, const sq_shape *shape, const void *value)
{
    return t->kern->of[t->dtype].finite(sqi_shape_size(shape), value);
}

/* ---- The scene ----------------------------------------------------------------------------- */

static const void *value_of(const sqi_scene *s, uint32_t i)
{
    return s->value ? s->value[i] : s->s->nodes[i].value;
}

/* As sentences count: steps of an unroll from its first. */
static int64_t step_of(const sqi_watch *w, const sqi_segment *s)
{
    return s->step < 0 ? -1 : s->step - (w->steps ? w->first : 0);
}

static sqi_scene scene_of(sqi_watch *w, const sqi_segment *s)
{
    return (sqi_scene){
        .w = w, .s = s, .step = step_of(w, s), .n = s->n_nodes, .leaves = s->leaves
    };
}

/* Whether node `from` is computed from node i. */
static bool leads_to(const sqi_segment *s, uint32_t i, uint32_t from, bool *mark)
{
    memset(mark + i, 0, from - i + 1);
    mark[from] = true;
    for (uint32_t j = from; j > i; j--)
        for (int32_t k = 0; mark[j] && k < s->nodes[j].n; k++) {
            uint32_t in = s->operands[s->nodes[j].first + (uint32_t)k];
            if (in >= i) mark[in] = true;
        }
    return mark[i];
}

/* ---- Sentences ----------------------------------------------------------------------------- */

typedef struct text {
    char at[SQI_ERROR_TEXT];
    size_t n;
} text;

static void say(text *x, const char *fmt, ...) SQ_PRINTF(2, 3);
static void say(text *x, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(x->at + x->n, sizeof x->at - x->n, fmt, args);
    va_end(args);
    if (n > 0) x->n += (size_t)n;
    if (x->n >= sizeof x->at) x->n = sizeof x->at - 1;
}

static void post(sq_tape *t, const text *x)
{
    if (t->watch) t->watch->found = 0;
    sqi_error_post(&t->error, SQ_ENONFINITE, "%s", x->at);
}

/* "backward, step 37 of 200" */
static void say_step(text *x, const sqi_watch *w, int64_t step, const char *direction)
{
    say(x, "%s", direction);
    if (step < 0) say(x, ", between steps");
    else if (!w->steps) say(x, ", step %lld", (long long)step);
    else say(x, ", step %lld of %lld", (long long)step, (long long)w->steps);
    if (step >= 0 && w->steps && w->first)
        say(x, " (%lld of the tape)", (long long)(w->first + step));
}

/* Of "1.h" the part before the last dot, when it is made of numbers: the layer. */
static int layer_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) : 0;
    return n && strspn(name, "0123456789.") >= n ? (int)n : 0;
}

static void say_state(text *x, const sqi_watch *w, int32_t k)
{
    const char *name = w->name ? w->name[k] : "";
    int layer = layer_of(name);
    if (layer) say(x, ", layer %.*s", layer, name), name += layer + 1;
    if (*name) say(x, ", state %.60s", name);
    else if (w->name) say(x, ", state %d", (int)k);
}

/* "layer 1, gate f": where node i leads to. */
static void say_place(text *x, const sqi_scene *s, uint32_t i)
{
    const sqi_node *nodes = s->s->nodes;
    const char *gate = NULL;
    int32_t first = -1, state = -1;
    bool *mark = calloc(s->n, 1);
    for (int32_t k = 0; mark && s->leaves && k < s->w->n_states && first < 0; k++)
        if (s->leaves[k] >= i && leads_to(s->s, i, s->leaves[k], mark)) first = k;
    for (uint32_t j = i; mark && j < s->n && !gate && state < 0; j++) {
        if (nodes[j].n && nodes[j].name && leads_to(s->s, i, j, mark)) gate = nodes[j].name;
        for (int32_t k = 0; s->leaves && k < s->w->n_states; k++)
            if (s->leaves[k] == j && leads_to(s->s, i, j, mark)) state = k;
    }
    free(mark);
    const char *name = first >= 0 && s->w->name ? s->w->name[first] : "";
    int layer = layer_of(name);
    if (gate && layer) say(x, ", layer %.*s", layer, name);
    if (gate) say(x, ", gate %.60s", gate);
    else if (state >= 0) say_state(x, s->w, state);
}

static double number(const sq_tape *t, const void *value, int64_t i)
{
    return t->dtype == SQ_F64 ? ((const double *)value)[i] : (double)((const float *)value)[i];
}

/* " is inf at [3,17]": the first number that is not finite. */
static void say_number(text *x, const sq_tape *t, const sq_shape *shape, const void *value)
{
    int64_t size = sqi_shape_size(shape), i = 0, at[SQ_MAX_RANK] = { 0 };
    while (i < size && isfinite(number(t, value, i))) i++;
    if (i == size) {
        say(x, " is not finite");
        return;
    }
    double v = number(t, value, i);
    say(x, " is %s", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
    for (int32_t k = shape->rank; k-- > 0; i /= shape->dim[k]) at[k] = i % shape->dim[k];
    for (int32_t k = 0; k < shape->rank; k++)
        say(x, "%s%lld%s", k ? "," : " at [", (long long)at[k], k + 1 < shape->rank ? "" : "]");
}

static void say_range(text *x, const sq_tape *t, const sq_shape *shape, const void *value)
{
    int64_t size = value ? sqi_shape_size(shape) : 0;
    double low = HUGE_VAL, high = -HUGE_VAL;
    bool finite = true;
    for (int64_t i = 0; i < size; i++) {
        double v = number(t, value, i);
        finite = finite && isfinite(v);
        if (v < low) low = v;
        if (v > high) high = v;
    }
    if (!size) say(x, "unknown");
    else if (low > high) say(x, "nan");
    else say(x, "%.3g..%.3g%s", low, high, finite ? "" : " with inf or nan");
}

/* ", exp [32,256], input -3.1..88.9" */
static void say_op(text *x, const sq_tape *t, const sqi_scene *s, uint32_t i)
{
    const sqi_node *n = &s->s->nodes[i];
    const uint32_t *in = s->s->operands + n->first;
    char shape[SQ_SHAPE_TEXT];
    say(x, ", %s", n->op->name);
    for (int32_t k = 0; k < n->n && k < 4; k++)
        say(x, "%s%s", k ? " x " : " ", sq_shape_text(s->s->nodes[in[k]].shape, shape));
    say(x, n->n > 1 ? ", inputs " : ", input ");
    for (int32_t k = 0; k < n->n && k < 4; k++) {
        say(x, "%s", k ? ", " : "");
        say_range(x, t, &s->s->nodes[in[k]].shape, value_of(s, in[k]));
    }
}

/* ---- Growth -------------------------------------------------------------------------------- */

/* The norm of all states together. */
static double norm_of(const sqi_norms *n, int64_t j)
{
    double sum = 0;
    for (int32_t k = 0; k < n->of; k++) sum = hypot(sum, n->at[j * n->stride + k]);
    return sum;
}

/* Since how many steps, counted from the nearest, the norms have grown with every step; *rate: by
 * what factor in the mean. */
static int64_t grown(const sqi_norms *n, double *rate)
{
    int64_t j = 0;
    if (!n || !n->n) return 0;
    double nearest = norm_of(n, 0), last = nearest;
    for (; j + 1 < n->n; j++) {
        double before = norm_of(n, j + 1);
        if (!(before > 0) || !(before < last) || !isfinite(last)) break;
        last = before;
    }
    *rate = j ? pow(nearest / last, 1 / (double)j) : 1;
    return j;
}

/* "gradient grew 4.2x per step since step 52 and", then `then`; or `else_` alone. The nearest norm is
 * that of step `step`, the others' steps lie in direction `way`. */
static void say_growth(text *x, const sqi_norms *n, const char *what, const char *then,
                       const char *else_, int64_t step, int way)
{
    enum { WORTH = 105 }; /* hundredths */
    double rate = 1;
    int64_t steps = grown(n, &rate);
    if (steps && rate * 100 >= WORTH)
        say(x, ": %s grew %.3gx per step since step %lld and%s", what, rate,
            (long long)(step + way * steps), then);
    else say(x, ": %s", else_);
}

/* ---- What is told -------------------------------------------------------------------------- */

/* What a node is a part of, or another view of. */
static uint32_t behind_views(const sqi_scene *s, uint32_t i)
{
    const sqi_node *n = &s->s->nodes[i];
    bool view = n->n && n->op->flags & SQ_VIEW && i != s->x;
    for (int32_t k = 0; view && s->leaves && k < s->w->n_states; k++) view = s->leaves[k] != i;
    return view ? behind_views(s, s->s->operands[n->first]) : i;
}

/* What an operand really is: behind views, where it came from. */
static void say_source(text *x, const sq_tape *t, const sqi_scene *s, uint32_t i)
{
    uint32_t j = behind_views(s, i);
    const sqi_node *n = &s->s->nodes[j], *source;
    char shape[SQ_SHAPE_TEXT];
    source = n->op == &sqi_op_import ? sqi_node_find(t, n->source) : n;
    const char *name = source && source->name ? source->name : n->name;
    bool sequence = j == s->x || (n->shape.rank == 3 && j != i);
    for (int32_t k = 0; s->enters && k < s->w->n_states; k++)
        if (i == s->enters[k]) {
            say_state(x, s->w, k);
            say(x, ": its value before the step");
            return;
        }
    if (n->op == &sqi_op_use) say(x, ": weight \"%.100s\"", name);
    else if (sequence) say(x, ": the input %s", sq_shape_text(s->s->nodes[i].shape, shape));
    else say(x, ": a value from outside, %s", sq_shape_text(s->s->nodes[i].shape, shape));
    if (n->op != &sqi_op_use && name && *name) say(x, " \"%.100s\",", name);
}

void sqi_watch_tell_value(sq_tape *t, const sqi_scene *s, uint32_t i, const sqi_norms *norms)
{
    const sqi_node *n = &s->s->nodes[i];
    text x = { .n = 0 };
    say_step(&x, s->w, s->step, "forward");
    for (int32_t k = 0; k < n->n; k++) {
        uint32_t in = s->s->operands[n->first + (uint32_t)k];
        const void *value = value_of(s, in);
        if (!value || sqi_all_finite(t, &s->s->nodes[in].shape, value)) continue;
        say_source(&x, t, s, in);
        say_number(&x, t, &s->s->nodes[in].shape, value);
        post(t, &x);
        return;
    }
    say_place(&x, s, i);
    say_op(&x, t, s, i);
    say_growth(&x, norms, "states", " the result", "the result", s->step - 1, -1);
    if (value_of(s, i)) say_number(&x, t, &n->shape, value_of(s, i));
    else say(&x, " is not finite");
    post(t, &x);
}

void sqi_watch_tell_gradient(sq_tape *t, const sqi_scene *s, uint32_t i, int32_t k,
                             const void *g, const sqi_norms *norms)
{
    const sqi_node *n = &s->s->nodes[i];
    text x = { .n = 0 };
    say_step(&x, s->w, s->step, "backward");
    say_place(&x, s, k < 0 ? behind_views(s, i) : i);
    if (k >= 0) {
        say_op(&x, t, s, i);
        n = &s->s->nodes[s->s->operands[n->first + (uint32_t)k]];
        say_growth(&x, norms, "gradient", "", "gradient", s->step + 1, 1);
    } else {
        say(&x, ": the gradient that arrives from outside");
    }
    if (g) say_number(&x, t, &n->shape, g);
    else say(&x, " is not finite");
    post(t, &x);
}

/* ---- As it is recorded --------------------------------------------------------------------- */

void sqi_watch_value(sq_tape *t, const sqi_node *n)
{
    sqi_watch *w = t->watch;
    if (!w->ask.nonfinite || w->found || sqi_all_finite(t, &n->shape, n->value)) return;
    w->found = sqi_id(t->current->ordinal, (uint32_t)(n - t->current->nodes));
}

/* Room for the norms of one step more: values go towards larger steps, gradients towards smaller
 * ones. NULL after posting. */
static double *next_norms(sq_tape *t, sqi_watch *w, int which, int64_t step)
{
    sqi_series *s = &w->series[which];
    int64_t way = which == SQI_OF_VALUES ? 1 : -1, of = w->n_states;
    uint64_t sweep = which == SQI_OF_VALUES ? 0 : t->sweep[SQI_LANE_USER];
    if (s->sweep != sweep || step != s->at + way) s->n = 0;
    if (s->n == s->room) {
        int64_t room = s->room ? 2 * s->room : 64;
        double *more = realloc(s->norm, (size_t)(room * (of ? of : 1)) * sizeof *more);
        if (!more) return sq_post(t, SQ_ENOMEM, "out of memory for a watch"), NULL;
        s->norm = more;
        s->room = room;
    }
    s->sweep = sweep;
    s->at = step;
    double *at = s->norm + s->n++ * of;
    memset(at, 0, (size_t)of * sizeof *at);
    return at;
}

/* Those so far. */
static sqi_norms norms_of(const sq_tape *t, const sqi_watch *w, int which)
{
    const sqi_series *s = &w->series[which];
    bool present = which == SQI_OF_VALUES || s->sweep == t->sweep[SQI_LANE_USER];
    if (!s->n || !present) return (sqi_norms){ .n = 0 };
    return (sqi_norms){ s->norm + (s->n - 1) * w->n_states, -w->n_states, s->n, w->n_states };
}

static double norm(const sq_tape *t, const sq_shape *shape, const void *at)
{
    return at ? sqrt(t->kern->of[t->dtype].sumsq(sqi_shape_size(shape), at)) : 0;
}

/* Where the states left the current segment; those that did not leave nothing. */
static bool note_leaves(sq_tape *t, const sq_var *state, const uint32_t *leaves)
{
    sqi_segment *s = t->current;
    int32_t n = t->watch->n_states;
    bool here = true;
    for (int32_t k = 0; state && k < n; k++)
        here = here && sqi_ordinal(state[k].id) == s->ordinal;
    if (leaves || !state || !here) return s->leaves = leaves, true;
    uint32_t *at = sqi_tape_alloc(t, (size_t)n * sizeof *at);
    for (int32_t k = 0; at && k < n; k++) at[k] = sqi_index(state[k].id);
    s->leaves = at;
    return at != NULL;
}

bool sqi_watch_step(sq_tape *t, const sq_var *state, const uint32_t *leaves)
{
    sqi_watch *w = t->watch;
    if (!w || t->error.status) return !t->error.status;
    if (!note_leaves(t, state, leaves) || !sqi_watch_settle(t)) return false;
    const sqi_segment *s = t->current;
    double *to = s->leaves ? next_norms(t, w, SQI_OF_VALUES, s->step) : NULL;
    for (int32_t k = 0; to && k < w->n_states; k++) {
        const sqi_node *n = &s->nodes[s->leaves[k]];
        if (n->value) to[k] = norm(t, &n->shape, n->value);
    }
    return !t->error.status;
}

bool sqi_watch_tell(sq_tape *t)
{
    sqi_watch *w = t->watch;
    const sqi_segment *s = sqi_segment_find(t, sqi_ordinal(w->found));
    uint32_t i = sqi_index(w->found);
    w->found = 0;
    if (t->error.status || !s || i >= s->n_nodes) return !t->error.status;
    sqi_scene scene = scene_of(w, s);
    sqi_norms norms = norms_of(t, w, SQI_OF_VALUES);
    sqi_watch_tell_value(t, &scene, i, &norms);
    return false;
}

/* ---- As it is swept ------------------------------------------------------------------------ */

bool sqi_watch_gradient(sq_tape *t, sqi_segment *g, uint32_t i, int32_t k)
{
    const sqi_node *n = &g->nodes[i];
    const sqi_node *x = &g->nodes[g->operands[n->first + (uint32_t)k]];
    const void *arrived = n->grad[SQI_LANE_USER].at;
    if (!g->watch->ask.nonfinite || x->op == &sqi_op_use ||
        sqi_all_finite(t, &x->shape, t->call_gx[k]))
        return true;
    sqi_scene scene = scene_of(g->watch, g);
    sqi_norms norms = norms_of(t, g->watch, SQI_OF_GRADIENTS);
    bool ours = sqi_all_finite(t, &n->shape, arrived);
    sqi_watch_tell_gradient(t, &scene, i, ours ? k : -1, ours ? t->call_gx[k] : arrived,
                            &norms);
    return false;
}

/* By hand a state is whatever a later segment took. */
static double taken_norm(const sq_tape *t, const sqi_segment *g)
{
    double sum = 0;
    for (uint32_t i = 1; i < g->n_nodes; i++) {
        const sqi_node *n = &g->nodes[i];
        const sqi_slot *slot = &n->grad[SQI_LANE_USER];
        bool taken = n->n && n->imported && slot->stamp == t->sweep[SQI_LANE_USER];
        if (taken) sum = hypot(sum, norm(t, &n->shape, slot->at));
    }
    return sum;
}

void sqi_watch_states(sq_tape *t, sqi_segment *g)
{
    sqi_watch *w = g->watch;
    uint64_t sweep = t->sweep[SQI_LANE_USER];
    if (g->step < 0 || g->span || (w->steps && !g->leaves)) return;
    double *to = next_norms(t, w, SQI_OF_GRADIENTS, g->step);
    if (to && !w->steps) *to = taken_norm(t, g);
    for (int32_t k = 0; to && w->steps && k < w->n_states; k++) {
        const sqi_node *n = &g->nodes[g->leaves[k]];
        const sqi_slot *slot = &n->grad[SQI_LANE_USER];
        if (slot->stamp == sweep) to[k] = norm(t, &n->shape, slot->at);
    }
    sqi_norms norms = norms_of(t, w, SQI_OF_GRADIENTS);
    if (to) sqi_watch_norms(t, w, step_of(w, g), &norms);
}

void sqi_watch_weights(sq_tape *t, const sqi_watch *w)
{
    text x = { .n = 0 };
    if (!w->ask.nonfinite || !t->grads || t->kern->of[t->dtype].finite(t->n_grads, t->grads))
        return;
    say(&x, "backward");
    for (int32_t id = 1; id <= sq_params_count(t->params); id++) {
        const sqi_weight_entry *e = sqi_weight_entry_of(t->params, (sq_weight){ id });
        const char *g = (char *)t->grads + (size_t)e->offset * sq_dtype_size(t->dtype);
        if (sqi_all_finite(t, &e->shape, g)) continue;
        say(&x, ": the gradient of weight \"%.100s\"", e->name);
        say_number(&x, t, &e->shape, g);
        break;
    }
    post(t, &x);
}

bool sqi_watch_norms(sq_tape *t, const sqi_watch *w, int64_t step, const sqi_norms *n)
{
    int64_t back = w->ask.steps ? w->ask.steps : 1;
    for (int32_t k = 0; k < n->of; k++) {
        double now = n->at[k], was = back < n->n ? n->at[back * n->stride + k] : 0;
        bool large = w->ask.limit > 0 && !(now <= w->ask.limit);
        bool fast = w->ask.growth > 0 && was > 0 && !(now <= w->ask.growth * was);
        if (!large && !fast) continue;
        text x = { .n = 0 };
        sqi_norms one = { n->at + k, n->stride, n->n, 1 };
        say_step(&x, w, step, "backward");
        say_state(&x, w, k);
        say_growth(&x, &one, "gradient", "", "gradient", step, 1);
        if (large) say(&x, " has norm %.3g, above %.3g", now, w->ask.limit);
        else
            say(&x, " has norm %.3g, more than %.3g times that of step %lld", now,
                w->ask.growth, (long long)(step + back));
        post(t, &x);
        return false;
    }
    return true;
}
