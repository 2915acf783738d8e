/* random_run.c -- runs of random cells. See random_run.h. */
#define _POSIX_C_SOURCE 200809L
#include "tests/support/random_run.h"

/* ---- Traces ------------------------------------------------------------------------------- */

void trace_numbers(trace *t, const char *what, const double *x, sq_shape s)
{
    int64_t n = sq_shape_size(s);
    if (t->n == t->room) {
        t->room = t->room * 2 + 64;
        t->item = realloc(t->item, (size_t)t->room * sizeof *t->item);
    }
    if (!t->x || t->n_x + n > t->x_room) {
        t->x_room = (t->x_room + n) * 2 + 1024;
        t->x = realloc(t->x, (size_t)t->x_room * sizeof *t->x);
    }
    cr_assert(t->item && t->x);
    trace_item *item = &t->item[t->n++];
    *item = (trace_item){ .at = t->n_x, .n = n, .shape = s };
    snprintf(item->what, sizeof item->what, "%s", what);
    for (int64_t i = 0; i < n; i++) t->x[t->n_x + i] = x ? x[i] : (double)NAN;
    t->n_x += n;
}

static void read_var(trace *t, const char *what, sq_var v, bool gradient)
{
    if (!sq_ok(v)) return;
    trace_numbers(t, what, NULL, sq_shape_of(v));
    double *to = t->x + t->item[t->n - 1].at;
    if (gradient) sq_grad_copy(v, to);
    else sq_copy(v, to);
}

void trace_value(trace *t, const char *what, sq_var v) { read_var(t, what, v, false); }
void trace_grad(trace *t, const char *what, sq_var v) { read_var(t, what, v, true); }

void trace_weights(trace *t, sq_tape *tape)
{
    const sq_params *p = sq_tape_params(tape);
    for (int32_t id = 1; id <= sq_params_count(p); id++) {
        char what[48];
        snprintf(what, sizeof what, "dL/d%s", sq_weight_name(p, (sq_weight){ id }));
        trace_numbers(t, what, NULL, sq_weight_shape(p, (sq_weight){ id }));
        sq_weight_grad(tape, (sq_weight){ id }, t->x + t->item[t->n - 1].at);
    }
}

void trace_free(trace *t)
{
    free(t->item);
    free(t->x);
    *t = (trace){ .n = 0 };
}

static double trace_apart(const trace *a, const trace *b, int i)
{
    const double *x = a->x + a->item[i].at, *y = b->x + b->item[i].at;
    double worst = 0;
    for (int64_t k = 0; k < b->item[i].n; k++) worst = worse(worst, apart(x[k], y[k]));
    return worst;
}

double trace_error(const trace *got, const trace *want, int i)
{
    const double *b = want->x + want->item[i].at;
    double worst = trace_apart(got, want, i), largest = 0;
    for (int64_t k = 0; k < want->item[i].n; k++)
        if (isfinite(b[k])) largest = fmax(largest, fabs(b[k]));
    return worst == 0 ? 0 : worst / largest;
}

static bool same_list(const trace *a, const trace *b, char *why, size_t n)
{
    for (int i = 0; i < a->n || i < b->n; i++) {
        bool both = i < a->n && i < b->n && a->item[i].n == b->item[i].n &&
                    strcmp(a->item[i].what, b->item[i].what) == 0;
        if (both) continue;
        snprintf(why, n, "tensor %d: %s here, %s there", i, i < a->n ? a->item[i].what : "none",
                 i < b->n ? b->item[i].what : "none");
        return false;
    }
    return true;
}

bool trace_close(const trace *got, const trace *want, double tol, char *why, size_t n)
{
    if (!same_list(got, want, why, n)) return false;
    for (int i = 0; i < want->n; i++) {
        double e = trace_error(got, want, i);
        if (e <= tol) continue;
        snprintf(why, n, "%s: relative error %.3g", want->item[i].what, e);
        return false;
    }
    return true;
}

bool trace_equal(const trace *got, const trace *want, char *why, size_t n)
{
    if (!same_list(got, want, why, n)) return false;
    for (int i = 0; i < want->n; i++) {
        trace_item a = got->item[i], b = want->item[i];
        if (!b.n || memcmp(got->x + a.at, want->x + b.at, (size_t)b.n * sizeof(double)) == 0)
            continue;
        snprintf(why, n, "%s: other bits", b.what);
        return false;
    }
    return true;
}

bool trace_as_good(const trace *got, const trace *peer, const trace *truth, char *why, size_t n)
{
    if (!same_list(got, truth, why, n) || !same_list(peer, truth, why, n)) return false;
    for (int i = 0; i < truth->n; i++) {
        double e = trace_error(got, truth, i), own = trace_error(peer, truth, i);
        if (e <= fmax(1e-5, 4 * own)) continue;
        snprintf(why, n, "%s: float error %.3g, eager has %.3g", truth->item[i].what, e, own);
        return false;
    }
    return true;
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b)
{
    rng r = { a * 0xD1342543DE82EF95u + b };
    return rng_bits(&r);
}

/* Numbers for `s` with B put in: every row of the batch has its own. */
static void numbers(const rc_run *r, double *x, sq_shape s, uint64_t seed)
{
    bool by_row = s.rank && s.dim[0] == RC_BATCH;
    sq_shape real = rc_real_shape(s, r->s.B);
    int64_t size = sq_shape_size(real), each = by_row && r->s.B ? size / r->s.B : size;
    if (!by_row) fill(x, size, seed, -1, 1);
    for (int64_t b = 0; by_row && b < r->s.B; b++)
        fill(x + b * each, each, mix(seed, r->s.rows ? (uint64_t)r->s.rows[b] : (uint64_t)b),
             -1, 1);
}

static void disturb(const rc_run *r, double *x, int64_t n, uint64_t seed)
{
    rng z = { seed ^ 0x5555 };
    for (int64_t i = 0; i < n && r->s.ulp > 0; i++)
        x[i] *= 1 + (rng_below(&z, 2) ? r->s.ulp : -r->s.ulp);
}

static void patterned(double *x, int64_t n, rc_pattern pattern, uint64_t seed)
{
    static const double values[][4] = { [RC_SIGNS] = { 5, -5, .5, -.5 },
                                        [RC_WIDE_SIGNS] = { 20, -20, 2, -2 },
                                        [RC_APART] = { 2.5, -2.5, 2.5, -2.5 } };
    rng r = { seed };
    int peak = rng_below(&r, (int)(n ? n : 1));
    for (int64_t i = 0; i < n; i++)
        x[i] = pattern == RC_PEAK ? (i == peak ? 2.5 : 0) : values[pattern][rng_below(&r, 4)];
}

static double *room(int64_t n)
{
    double *x = malloc((size_t)(n + 1) * sizeof *x);
    cr_assert(x != NULL);
    return x;
}

/* One value from before the unroll, and its leaf where it has one. */
static sq_var source(const rc_run *r, const rc_source *s, uint64_t seed, sq_var *leaf)
{
    sq_shape real = rc_real_shape(s->shape, r->s.B);
    int64_t n = sq_shape_size(real);
    double *x = room(n);
    sq_var v = { 0 };
    if (s->pattern) patterned(x, n, s->pattern, seed);
    else numbers(r, x, s->shape, seed);
    for (int64_t i = 0; i < n; i++) x[i] = (double)(float)(x[i] * (s->pattern ? 1 : s->scale));
    if (!s->pattern) disturb(r, x, n, seed);
    *leaf = v;
    if (s->from == RC_INPUT) v = sq_input(r->t, real, x);
    else if (s->from != RC_NOTHING) v = *leaf = sq_leaf(r->t, real, x);
    free(x);
    return s->from == RC_COMPUTED ? sq_keep_grad(sq_tanh(v)) : v;
}

/* x of one window. */
static sq_var sequence(rc_run *r, uint64_t data)
{
    int64_t each = r->s.B * r->c->in, n = r->s.T * each;
    if (r->c->in < 0) return (sq_var){ 0 };
    double *x = room(n);
    for (int64_t i = 0; i < r->s.T; i++)
        numbers(r, x + i * each, sq_mat(RC_BATCH, r->c->in), mix(data, 1000 + (uint64_t)i));
    disturb(r, x, n, data);
    sq_shape s = sq_shape3(r->s.T, r->s.B, r->c->in);
    sq_var v = r->c->x_from == RC_INPUT ? sq_input(r->t, s, x) : sq_leaf(r->t, s, x);
    free(x);
    r->x_leaf = r->c->x_from == RC_INPUT ? (sq_var){ 0 } : v;
    return r->c->x_from == RC_COMPUTED ? sq_keep_grad(sq_tanh(v)) : v;
}

/* ---- Running ------------------------------------------------------------------------------ */

void rc_set_weights(rc_run *r, uint64_t seed)
{
    for (int i = 0; i < r->c->n_weights; i++) {
        const rc_source *w = &r->c->weight[i];
        int64_t n = sq_shape_size(w->shape);
        double *x = room(n);
        fill(x, n, mix(seed, (uint64_t)i), -w->scale, w->scale);
        disturb(r, x, n, mix(seed, (uint64_t)i));
        cr_assert(sq_weight_set(r->params, (sq_weight){ i + 1 }, x) == SQ_OK);
        free(x);
    }
}

void rc_open(rc_run *r, const random_cell *c, rc_setup s)
{
    *r = (rc_run){ .c = c, .s = s, .bound = { .c = c } };
    cr_assert(s.T <= RC_STEPS);
    r->params = sq_params_new(s.dtype);
    for (int i = 0; i < c->n_weights; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        sq_weight w = sq_params_add(r->params, name, c->weight[i].shape);
        sq_weight_set_frozen(r->params, w, c->weight[i].frozen);
    }
    rc_set_weights(r, mix(c->seed, 5));
    r->t = sq_tape_new(s.dtype, r->params);
    if (s.threads) sq_tape_set_threads(r->t, s.threads);
    cr_assert(sq_tape_status(r->t) == SQ_OK, "%s", sq_message(r->t));
}

void rc_close(rc_run *r)
{
    sq_tape_free(r->t);
    sq_params_free(r->params);
}

void rc_feed(rc_run *r)
{
    const random_cell *c = r->c;
    r->x = sequence(r, r->s.data);
    for (int k = 0; k < c->n_states; k++)
        r->state0[k] =
            source(r, &(rc_source){ c->state0[k].shape, c->state0[k].from, RC_FREE, false, 1 },
                   mix(r->s.data, 2000 + (uint64_t)k), &r->state_leaf[k]);
    for (int i = 0; i < c->n_invariants; i++)
        r->bound.invariant[i] = source(r, &c->invariant[i], mix(r->s.data, 3000 + (uint64_t)i),
                                       &r->invariant_leaf[i]);
    r->low = 0;
}

static bool asked_for(const random_cell *c, int64_t step, int name)
{
    return mix(c->seed, (uint64_t)(step * RC_NAMES + name)) % 3 != 0;
}

static void unroll(rc_run *r, const sq_var *states)
{
    sq_unroll_options o = r->s.memory;
    o.outputs = r->c->outputs;
    o.mode = r->s.mode;
    o.steps = r->s.T;
    o.batch = r->s.B;
    r->cell = rc_cell(&r->bound);
    r->u = sq_unroll(r->t, &r->cell, r->x, states, &o);
    for (int64_t i = 0; i < r->s.T; i++) {
        for (int k = 0; k < RC_NAMES; k++) {
            char name[2] = { (char)('a' + k), 0 };
            r->named[i][k] =
                asked_for(r->c, i, k) ? sq_unrolled_named(r->u, i, name) : (sq_var){ 0 };
        }
        for (int k = 0; k < r->c->n_states && !r->s.late; k++)
            (void)sq_unrolled_state(r->u, i, k);
        if (!r->s.late) (void)sq_unrolled_output(r->u, i);
    }
}

void rc_unroll(rc_run *r)
{
    bool given = false;
    for (int k = 0; k < r->c->n_states; k++) given |= r->c->state0[k].from != RC_NOTHING;
    unroll(r, given ? r->state0 : NULL);
}

void rc_unroll_from(rc_run *r, const sq_var *states, uint64_t data)
{
    r->x = sequence(r, data);
    r->low = 0;
    unroll(r, states);
}

/* ---- Losses ------------------------------------------------------------------------------- */

static bool name_has_gradient(const random_cell *c, int k)
{
    int i = rc_named(c, (char[]){ (char)('a' + k), 0 });
    return i >= 0 && c->node[i].needs;
}

/* sum(v R) or sum(v^2 R) with random R; `s` is v's symbolic shape, with T before it when all. */
static sq_var term(rc_run *r, sq_var v, sq_shape s, bool all, uint64_t seed)
{
    if (!sq_ok(v)) return sq_constant(r->t, 0);
    sq_shape real = sq_shape_of(v);
    int64_t n = sq_shape_size(real), steps = all ? real.dim[0] : 1;
    double *x = room(n);
    for (int64_t i = 0; i < steps && n; i++)
        numbers(r, x + i * (n / steps), s, mix(seed, (uint64_t)i));
    sq_var weights = sq_input(r->t, real, x);
    free(x);
    return sq_sum(sq_mul(seed & 4 ? v : sq_square(v), weights));
}

static sq_var one_term(rc_run *r, rng *z)
{
    const random_cell *c = r->c;
    uint64_t seed = rng_bits(z);
    int kind = rng_below(z, 4), k = rng_below(z, c->n_states), name = rng_below(z, RC_NAMES);
    int64_t n = r->s.T - r->low, i = r->low + rng_below(z, (int)(n > 0 ? n : 1));
    sq_shape output = c->node[c->output].shape;
    if (kind == 0 && c->outputs != SQ_OUTPUTS_NONE && r->s.T)
        return term(r, sq_unrolled_outputs(r->u), output, c->outputs == SQ_OUTPUTS_ALL, seed);
    if (kind == 1 && name_has_gradient(c, name) && r->s.T && asked_for(c, i, name))
        return term(r, r->named[i][name],
                    c->node[rc_named(c, (char[]){ (char)('a' + name), 0 })].shape, false, seed);
    if (kind == 2 && r->s.T) return term(r, sq_unrolled_output(r->u, i), output, false, seed);
    if (r->s.T == 0 || (r->low == 0 && rng_below(z, 10) == 0)) i = -1;
    return term(r, sq_unrolled_state(r->u, i, k), c->state0[k].shape, false, seed);
}

sq_var rc_loss(rc_run *r, uint64_t seed)
{
    rng z = { mix(r->c->seed, seed) };
    sq_var loss = one_term(r, &z);
    for (int n = rng_below(&z, 4); n > 0; n--) loss = sq_add(loss, one_term(r, &z));
    return loss;
}

sq_status rc_sweep_from(sq_var y, uint64_t seed)
{
    int64_t n = sq_shape_size(sq_shape_of(y));
    double *x = room(n);
    fill(x, n, seed, -1, 1);
    sq_status status = sq_backward_from(y, x);
    free(x);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Of every step that is left: states, outputs and what is named. */
static void read_steps(rc_run *r, trace *t, const char *prefix,
                       void (*read)(trace *, const char *, sq_var), bool gradients)
{
    char what[48];
    for (int64_t i = r->low ? r->low : -1; i < r->s.T; i++) {
        for (int k = 0; k < r->c->n_states; k++) {
            snprintf(what, sizeof what, "%sstate %d after step %d", prefix, k, (int)i);
            read(t, what, sq_unrolled_state(r->u, i, k));
        }
        if (i < 0) continue;
        snprintf(what, sizeof what, "%soutput of step %d", prefix, (int)i);
        read(t, what, sq_unrolled_output(r->u, i));
        for (int k = 0; k < RC_NAMES; k++) {
            snprintf(what, sizeof what, "%s\"%c\" of step %d", prefix, 'a' + k, (int)i);
            if (sq_ok(r->named[i][k]) && (!gradients || name_has_gradient(r->c, k)))
                read(t, what, r->named[i][k]);
        }
    }
}

/* Remembers the first invariant of the tape that did not hold. */
static void look_at_tape(rc_run *r)
{
    if (!r->broken[0]) (void)sq_tape_check(r->t, r->broken, sizeof r->broken);
}

void rc_read_values(rc_run *r, trace *t)
{
    look_at_tape(r);
    trace_value(t, "outputs", sq_unrolled_outputs(r->u));
    read_steps(r, t, "", trace_value, false);
}

static void read_leaf(trace *t, const char *what, int k, sq_var v)
{
    char text[48];
    snprintf(text, sizeof text, "dL/d %s %d", what, k);
    if (sq_ok(v)) trace_grad(t, text, v);
}

void rc_read_grads(rc_run *r, trace *t)
{
    const random_cell *c = r->c;
    look_at_tape(r);
    read_leaf(t, "x", 0, r->x_leaf);
    if (c->in >= 0 && c->x_from == RC_COMPUTED) read_leaf(t, "computed x", 0, r->x);
    for (int k = 0; k < c->n_states; k++) read_leaf(t, "initial state", k, r->state_leaf[k]);
    for (int i = 0; i < c->n_invariants; i++)
        read_leaf(t, "invariant", i, r->invariant_leaf[i]);
    trace_weights(t, r->t);
    read_steps(r, t, "dL/d ", trace_grad, true);
}

bool rc_is_well(rc_run *r, char *why, size_t n)
{
    look_at_tape(r);
    snprintf(why, n, "%s", sq_tape_status(r->t) ? sq_message(r->t) : r->broken);
    return sq_tape_status(r->t) == SQ_OK && !r->broken[0];
}

bool rc_trace(const random_cell *c, rc_setup s, uint64_t loss, trace *t, sq_mode *mode,
              char *why, size_t n)
{
    rc_run r;
    rc_open(&r, c, s);
    rc_feed(&r);
    rc_unroll(&r);
    if (mode) *mode = sq_unroll_mode(r.u);
    sq_status status = sq_backward(rc_loss(&r, loss));
    rc_read_values(&r, t);
    if (status == SQ_OK) rc_read_grads(&r, t);
    bool ok = rc_is_well(&r, why, n);
    rc_close(&r);
    return ok;
}

/* ---- Cells that are worth a test ---------------------------------------------------------- */

/* Runs the cell eagerly, in single precision or in double with everything changed by `ulp`. */
static bool probe(const random_cell *c, sq_dtype dtype, double ulp, trace *t)
{
    const rc_setup s = {
        .dtype = dtype, .mode = SQ_EAGER, .T = c->T, .B = c->B, .data = c->seed, .ulp = ulp
    };
    char why[256];
    return rc_trace(c, s, 1, t, NULL, why, sizeof why);
}

/* The largest error of any tensor. */
static double worst_error(const trace *got, const trace *want)
{
    double worst = 0;
    for (int i = 0; i < want->n; i++) worst = worse(worst, trace_error(got, want, i));
    return worst;
}

/* Whether numbers say something about this cell: sizes below 1e4, the largest change of a tensor
 * by a change of 1 ulp of everything that goes in below the limit, and an error in single
 * precision that a different order of summation does not lift above 1e-5. */
static bool tame(random_cell *c, double limit)
{
    const double ulp = 0x1p-52, noise = 2e-6;
    trace a = { .n = 0 }, b = { .n = 0 }, f = { .n = 0 };
    bool ok = probe(c, SQ_F64, 0, &a) && probe(c, SQ_F64, ulp, &b) && probe(c, SQ_F32, 0, &f);
    c->amplification = ok ? worst_error(&b, &a) / ulp : INFINITY;
    ok = ok && c->amplification < limit && worst_error(&f, &a) < noise;
    for (int64_t i = 0; i < a.n_x; i++) ok &= fabs(a.x[i]) < 1e4;
    trace_free(&a);
    trace_free(&b);
    trace_free(&f);
    return ok;
}

/* The same, measured with the plainest kernels whatever the machine. */
static bool tame_anywhere(random_cell *c, double limit)
{
    const char *isa = getenv("SEQGRAD_ISA");
    char keep[32] = "";
    if (isa) snprintf(keep, sizeof keep, "%s", isa);
    setenv("SEQGRAD_ISA", "base", 1);
    bool ok = tame(c, limit);
    if (isa) setenv("SEQGRAD_ISA", keep, 1);
    else unsetenv("SEQGRAD_ISA");
    return ok;
}

void rc_new(random_cell *c, uint64_t seed, double limit)
{
    int draw = 0;
    do {
        cr_assert(draw < 50, "seed %llu: no tame cell", (unsigned long long)seed);
        rc_draw(c, seed, draw++);
    } while (!tame_anywhere(c, limit));
}

/* ---- Shrinking ---------------------------------------------------------------------------- */

/* Leaves out the nodes that nothing needs. */
static void sweep_out(random_cell *c)
{
    bool live[RC_NODES] = { false };
    int place[RC_NODES] = { 0 }, n = 0;
    live[c->output] = true;
    for (int k = 0; k < c->n_states; k++) live[c->next[k]] = true;
    for (int i = c->n_nodes - 1; i >= 0; i--) {
        live[i] |= c->node[i].name[0] != 0 || c->node[i].kind == &rc_state;
        for (int k = 0; live[i] && k < c->node[i].n_in; k++) live[c->node[i].in[k]] = true;
    }
    for (int i = 0; i < c->n_nodes; i++) {
        if (!live[i]) continue;
        rc_node node = c->node[i];
        for (int k = 0; k < node.n_in; k++) node.in[k] = place[node.in[k]];
        place[i] = n;
        c->node[n++] = node;
    }
    c->n_nodes = n;
    c->output = place[c->output];
    for (int k = 0; k < c->n_states; k++) c->next[k] = place[c->next[k]];
}

/* Every use of node i becomes one of node j. */
static void replace(random_cell *c, int i, int j)
{
    for (int a = i + 1; a < c->n_nodes; a++)
        for (int k = 0; k < c->node[a].n_in; k++)
            if (c->node[a].in[k] == i) c->node[a].in[k] = j;
    if (c->output == i) c->output = j;
    for (int k = 0; k < c->n_states; k++)
        if (c->next[k] == i) c->next[k] = j;
    c->node[i].name[0] = 0;
}

typedef struct shrinker {
    bool (*fails)(const random_cell *c, void *context);
    void *context;
} shrinker;

static bool keep(random_cell *c, random_cell *trial, const shrinker *s)
{
    sweep_out(trial);
    if (!s->fails(trial, s->context)) return false;
    *c = *trial;
    return true;
}

static bool shrink_node(random_cell *c, int i, const shrinker *s)
{
    static random_cell trial;
    for (int j = 0; j < i; j++) {
        if (!sq_shape_equal(c->node[i].shape, c->node[j].shape)) continue;
        trial = *c;
        replace(&trial, i, j);
        if (trial.node[i].needs != trial.node[j].needs) continue;
        if (keep(c, &trial, s)) return true;
    }
    trial = *c;
    trial.node[i].name[0] = 0;
    return c->node[i].name[0] && keep(c, &trial, s);
}

static bool shrink_size(random_cell *c, int64_t T, int64_t B, const shrinker *s)
{
    static random_cell trial;
    trial = *c;
    trial.T = T;
    trial.B = B;
    return T >= 1 && B >= 1 && keep(c, &trial, s);
}

void rc_shrink(random_cell *c, bool (*fails)(const random_cell *c, void *context),
               void *context)
{
    const shrinker s = { fails, context };
    for (bool again = true; again;) {
        again = shrink_size(c, c->T / 2, c->B, &s) || shrink_size(c, c->T - 1, c->B, &s) ||
                shrink_size(c, c->T, c->B / 2, &s) || shrink_size(c, c->T, c->B - 1, &s);
        for (int i = c->n_nodes - 1; i >= 0; i--)
            if (i < c->n_nodes && c->node[i].kind != &rc_state) again |= shrink_node(c, i, &s);
    }
}

/* ---- Over many cells ---------------------------------------------------------------------- */

typedef struct claim {
    rc_check *check;
    double limit;
} claim;

static bool refuted(const random_cell *c, void *context)
{
    static random_cell copy;
    const claim *k = context;
    char why[512];
    copy = *c;
    return tame_anywhere(&copy, k->limit) && !k->check(c, why, sizeof why);
}

void rc_over(const char *title, uint64_t first, int n, double limit, rc_check *check)
{
    static random_cell c, whole;
    claim k = { check, limit };
    int bad = 0;
    for (uint64_t seed = first; seed < first + (uint64_t)n && bad < 3; seed++) {
        char why[512] = "", smaller[512] = "";
        rc_new(&c, seed, limit);
        if (check(&c, why, sizeof why)) continue;
        whole = c;
        rc_shrink(&c, refuted, &k);
        check(&c, smaller, sizeof smaller);
        rc_print(&c);
        cr_expect(false, "%s: seed %llu (%d nodes, T = %d, B = %d): %s; as printed: %s", title,
                  (unsigned long long)seed, whole.n_nodes, (int)whole.T, (int)whole.B, why,
                  smaller);
        bad++;
    }
}

/* Runs a script in one way; false, and why, when the tape has failed. */
static bool play(const random_cell *c, rc_setup setup, rc_script *script, trace *t, char *why,
                 size_t n)
{
    rc_run r;
    char text[400];
    rc_open(&r, c, setup);
    script(&r, t);
    bool ok = rc_is_well(&r, text, sizeof text);
    if (!ok) snprintf(why, n, "%s: %s", setup.mode == SQ_EAGER ? "eagerly" : "as a plan", text);
    rc_close(&r);
    return ok;
}

/* Tensors that a change of 1 ulp of the inputs changes by 200 ulps say nothing: what is left of
 * a sum whose terms cancel, say. */
static bool close_where_tame(const trace *got, const trace *want, const trace *changed,
                             char *why, size_t n)
{
    if (!same_list(got, want, why, n) || !same_list(changed, want, why, n)) return false;
    for (int i = 0; i < want->n; i++) {
        double e = trace_error(got, want, i);
        if (e <= 1e-12 || !(trace_error(changed, want, i) < 200 * 0x1p-52)) continue;
        snprintf(why, n, "%s: relative error %.3g", want->item[i].what, e);
        return false;
    }
    return true;
}

bool rc_agree(const random_cell *c, rc_script *script, char *why, size_t n)
{
    trace t[3] = { { .n = 0 }, { .n = 0 }, { .n = 0 } };
    rc_setup s = { .dtype = SQ_F64,
                   .mode = SQ_EAGER,
                   .T = c->T,
                   .B = c->B,
                   .data = c->seed,
                   .late = c->seed & 1 };
    bool ok = play(c, s, script, &t[0], why, n);
    s.ulp = 0x1p-52;
    ok = ok && play(c, s, script, &t[1], why, n);
    s.ulp = 0;
    s.mode = SQ_AUTO;
    ok = ok && play(c, s, script, &t[2], why, n) &&
         close_where_tame(&t[2], &t[0], &t[1], why, n);
    for (int i = 0; i < 3; i++) trace_free(&t[i]);
    return ok;
}
