/* test_span.c -- a segment of many steps, with a span made by hand for
 *
 *     h_t = w h_(t-1) + x_t,     outputs = all h_t stacked
 *
 * The oracle is the same recurrence recorded step by step: values and gradients must agree
 * whether a sweep comes from outside or from a part, before and after cuts at every inner
 * step. */
#include "tests/support/support.h"

#include "core/backward_impl.h"
#include "core/tape_impl.h"

enum { T = 6, MORE = 2, ALL = T + MORE, N = 3 };
enum { STATE, OUTPUTS }; /* slots */

/* ---- The span by hand -------------------------------------------------------------------- */

typedef struct lane {
    double *state;   /* [T][N]: what arrived at h_t; after the sweep dL/dh_t */
    double *outputs; /* [T][N] */
    uint64_t touched[T], touched_outputs, sweep;
} lane;

typedef struct recurrence {
    sqi_span span;
    const double *w, *h0;
    double *h; /* [T][N] */
    lane lanes[SQI_N_LANES];
} recurrence;

static recurrence *of(sqi_span *s) { return (recurrence *)s; }

static void *seed(sqi_span *s, sq_tape *t, int which, int32_t slot, int64_t step, bool zero)
{
    lane *l = &of(s)->lanes[which];
    uint64_t now = t->sweep[which], *touched = slot ? &l->touched_outputs : &l->touched[step];
    double *at = slot ? l->outputs : l->state + step * N;
    if (zero && *touched != now) memset(at, 0, (slot ? T * N : N) * sizeof *at);
    *touched = l->sweep = now;
    return at;
}

static const void *grad(const sqi_span *s, const sq_tape *t, int which, int32_t slot,
                        int64_t step, bool *kept)
{
    const lane *l = &((const recurrence *)s)->lanes[which];
    *kept = slot != OUTPUTS;
    return l->sweep == t->sweep[which] ? l->state + step * N : NULL;
}

static bool reached(const sqi_span *s, const sq_tape *t, int which)
{
    return ((const recurrence *)s)->lanes[which].sweep == t->sweep[which];
}

static bool reverse(sqi_span *s, sq_tape *t, int which, bool immediate, void *const *gx)
{
    recurrence *r = of(s);
    lane *l = &r->lanes[which];
    double *gx_x = gx[0], *gx_h = gx[1], *gx_w = gx[2];
    bool outputs = l->touched_outputs == t->sweep[which];
    for (int64_t i = T - 1; i >= s->low; i--) {
        double *g = seed(s, t, which, STATE, i, true);
        const double *before = i ? r->h + (i - 1) * N : r->h0;
        for (int j = 0; j < N; j++) {
            if (outputs) g[j] += l->outputs[i * N + j];
            if (i + 1 < T && !immediate) g[j] += *r->w * l->state[(i + 1) * N + j];
            if (gx_x) gx_x[i * N + j] += g[j];
            if (gx_w) *gx_w += g[j] * before[j];
        }
    }
    for (int j = 0; j < N && s->low == 0 && gx_h; j++) gx_h[j] += *r->w * l->state[j];
    return true;
}

/* ---- One recurrence, recorded either way ------------------------------------------------- */

typedef struct world {
    sq_tape *t;
    sq_params *params;
    sq_weight w;
    bool spanned;
    double x[ALL * N], r[ALL * N];
    sq_var in, h0, h[ALL], outputs;
    uint64_t ordinal;
    sq_var traced; /* a handle that the tracing left behind */
} world;

static void world_new(world *v, bool spanned)
{
    *v = (world){ .spanned = spanned, .params = sq_params_new(SQ_F64) };
    v->w = add_number(v->params, "w", .75);
    v->t = sq_tape_new(SQ_F64, v->params);
    fill(v->x, ALL * N, 3, -1, 1);
    fill(v->r, ALL * N, 4, -1, 1);
}

static void world_free(world *v)
{
    sq_tape_free(v->t);
    sq_params_free(v->params);
}

static sq_var x_at(const world *v, int i)
{
    return sq_reshape(sq_slice(v->in, 0, i, 1), sq_vec(N));
}

static sq_var eager_step(world *v, int i, sq_var h)
{
    sq_begin_step(v->t);
    return sq_add(sq_mul(sq_use(v->t, v->w), h), x_at(v, i));
}

/* Index in the current segment of what stands for a traced node's operand. */
static uint32_t import_of(const sq_tape *t, uint64_t source)
{
    const sqi_segment *s = t->current;
    for (uint32_t i = 1; i < s->n_nodes; i++)
        if (s->nodes[i].op == &sqi_op_import && s->nodes[i].source == source) return i;
    return 0;
}

static sq_var part(world *v, int32_t slot, int64_t step)
{
    recurrence *r = of(sqi_segment_find(v->t, v->ordinal)->span);
    double *at = r->h + (slot ? 0 : step * N);
    return sqi_span_part(v->t, v->ordinal, slot, step, slot ? sq_mat(T, N) : sq_vec(N), at,
                         slot ? NULL : "h",
                         SQI_NEEDS | SQI_KEEP | (slot == STATE ? SQI_STATE : 0));
}

static void compute(recurrence *r, const double *x)
{
    for (int i = 0; i < T; i++)
        for (int j = 0; j < N; j++)
            r->h[i * N + j] =
                *r->w * (i ? r->h[(i - 1) * N + j] : r->h0[j]) + x[(int64_t)i * N + j];
}

static void record_span(world *v, sq_var h0)
{
    sq_tape *t = v->t;
    sq_begin_step(t);
    sqi_trace_begin(t);
    sq_var h = sq_add(sq_mul(sq_use(t, v->w), h0), x_at(v, 0));
    cr_assert(sqi_trace_end(t) == NULL);
    v->traced = h;
    cr_assert(sqi_node_find(t, h.id)->value == NULL);
    recurrence *r = sqi_tape_alloc(t, sizeof *r);
    *r = (recurrence){ .span = { .steps = T,
                                 .seed = seed,
                                 .grad = grad,
                                 .reached = reached,
                                 .reverse = reverse },
                       .h = sqi_tape_alloc(t, T * N * sizeof(double)) };
    for (int k = 0; k < SQI_N_LANES; k++)
        r->lanes[k] = (lane){ .state = sqi_tape_alloc(t, T * N * sizeof(double)),
                              .outputs = sqi_tape_alloc(t, T * N * sizeof(double)) };
    uint32_t w = sqi_index(sq_use(t, v->w).id);
    uint32_t in[3] = { import_of(t, v->in.id), import_of(t, h0.id), w };
    r->w = t->current->nodes[w].value;
    r->h0 = sqi_node_find(t, h0.id)->value;
    compute(r, sqi_node_find(t, v->in.id)->value);
    bool keep[64] = { false };
    v->ordinal = t->current->ordinal;
    cr_assert(sqi_span_record(t, &r->span, keep, in, 3), "%s", sq_message(t));
}

/* T steps either way, then MORE eager ones. */
static void record(world *v)
{
    sq_tape *t = v->t;
    v->in = sq_leaf(t, sq_mat(ALL, N), v->x);
    v->h0 = sq_leaf(t, sq_vec(N), (double[]){ .5, -.25, 2 });
    if (v->spanned) record_span(v, v->h0);
    for (int i = 0; i < T; i++)
        v->h[i] = v->spanned ? part(v, STATE, i) : eager_step(v, i, i ? v->h[i - 1] : v->h0);
    for (int i = 0; i < T; i++) sqi_declare_state(v->h[i]);
    sq_end_step(t);
    v->outputs = v->spanned ? part(v, OUTPUTS, SQI_ALL_STEPS) : sq_stack(v->h, T);
    for (int i = T; i < ALL; i++) v->h[i] = eager_step(v, i, v->h[i - 1]);
    sq_end_step(t);
    ASSERT_HEALTHY(t);
}

/* sum over t >= from of <r_t, h_t^2> */
static sq_var loss_from(world *v, int from)
{
    sq_var loss = sq_constant(v->t, 0);
    for (int i = from; i < ALL; i++)
        loss = sq_add(
            loss, sq_sum(sq_mul(sq_input(v->t, sq_vec(N), v->r + i * N), sq_square(v->h[i]))));
    return loss;
}

typedef struct outcome {
    double w, x[ALL * N], h0[N], h[ALL * N];
} outcome;

static void collect(outcome *o, world *v, int from)
{
    *o = (outcome){ .w = number_grad(v->t, v->w) };
    sq_grad_copy(v->in, o->x);
    sq_grad_copy(v->h0, o->h0);
    for (int i = from; i < ALL - 1; i++) sq_grad_copy(v->h[i], o->h + i * N);
    ASSERT_HEALTHY(v->t);
}

static void compare(const outcome *a, const outcome *b, const char *what)
{
    EXPECT_NEAR(a->w, b->w, 1e-13, what);
    EXPECT_ALL_NEAR(a->x, b->x, ALL * N, 1e-13, what);
    EXPECT_ALL_NEAR(a->h0, b->h0, N, 1e-13, what);
    EXPECT_ALL_NEAR(a->h, b->h, ALL * N, 1e-13, what);
}

/* ---- Values and time --------------------------------------------------------------------- */

Test(span, values_and_time_are_those_of_the_loop)
{
    world v[2];
    for (int k = 0; k < 2; k++) {
        world_new(&v[k], k);
        record(&v[k]);
        sq_begin_step(v[k].t);
        cr_expect(sq_current_step(v[k].t) == ALL, "step %lld",
                  (long long)sq_current_step(v[k].t));
        cr_expect(sq_tape_statistics(v[k].t).steps == ALL + 1);
    }
    for (int i = 0; i < ALL; i++) {
        double a[N], b[N];
        sq_copy(v[0].h[i], a);
        sq_copy(v[1].h[i], b);
        EXPECT_ALL_NEAR(b, a, N, 1e-15, "a state");
    }
    EXPECT_TEXT(sq_name_of(v[1].h[2]), "h");
    double all[T * N];
    sq_copy(v[1].outputs, all);
    EXPECT_SAME_BITS(all, sq_view_f64(v[1].h[0]), sizeof all, "outputs and states");
    for (int k = 0; k < 2; k++) world_free(&v[k]);
}

Test(span, time_stands_at_the_last_step)
{
    world v;
    world_new(&v, true);
    v.in = sq_leaf(v.t, sq_mat(ALL, N), v.x);
    record_span(&v, sq_leaf(v.t, sq_vec(N), v.r));
    cr_expect(sq_current_step(v.t) == T - 1);
    sq_add(sq_zeros(v.t, sq_vec(2)), sq_zeros(v.t, sq_vec(3)));
    EXPECT_CONTAINS(sq_message(v.t), "step 5: add: ");
    world_free(&v);
}

/* ---- Sweeps ------------------------------------------------------------------------------ */

Test(span, sweeps_from_outside)
{
    world v[2];
    outcome o[2], again;
    for (int k = 0; k < 2; k++) {
        world_new(&v[k], k);
        record(&v[k]);
        sq_var loss = sq_add(loss_from(&v[k], 0), sq_sum(sq_square(v[k].outputs)));
        BACKWARD(loss);
        collect(&o[k], &v[k], 0);
        BACKWARD(loss); /* interior gradients start afresh, the others add up */
        collect(&again, &v[k], 0);
        EXPECT_ALL_NEAR(again.h, o[k].h, ALL * N, 0, "states of the second sweep");
        EXPECT_NEAR(again.w, 2 * o[k].w, 1e-13, "w after two sweeps");
    }
    compare(&o[1], &o[0], "span against loop");
    for (int k = 0; k < 2; k++) world_free(&v[k]);
}

Test(span, sweeps_from_a_part)
{
    for (int from = 0; from < T; from++) {
        world v[2];
        outcome o[2];
        for (int k = 0; k < 2; k++) {
            world_new(&v[k], k);
            record(&v[k]);
            sq_status s = sq_backward_from(v[k].h[from], v[k].r);
            cr_assert(s == SQ_OK, "%s", sq_message(v[k].t));
            collect(&o[k], &v[k], 0);
        }
        compare(&o[1], &o[0], "a sweep from a part");
        for (int k = 0; k < 2; k++) world_free(&v[k]);
    }
}

Test(span, a_sweep_that_does_not_reach_it_leaves_zeros)
{
    world v;
    world_new(&v, true);
    record(&v);
    sq_var other = sq_leaf(v.t, sq_scalar(), (double[]){ 2 });
    BACKWARD(loss_from(&v, 0));
    sq_zero_grads(v.t);
    BACKWARD(sq_square(other));
    cr_expect(sq_grad_norm(v.h[2]) == 0 && number_grad(v.t, v.w) == 0);
    cr_expect(sq_grad_item(other) == 4);
    ASSERT_HEALTHY(v.t);
    world_free(&v);
}

Test(span, gradients_that_were_not_kept_are_refused)
{
    world v;
    world_new(&v, true);
    record(&v);
    sq_grad_norm(v.h[1]);
    EXPECT_CONTAINS(sq_message(v.t), "grad: no sweep has been made yet: call sq_backward");
    sq_tape_reset(v.t);
    record(&v);
    BACKWARD(loss_from(&v, 0));
    sq_grad_norm(v.outputs);
    EXPECT_CONTAINS(sq_message(v.t), "was not kept: take it with sq_unrolled_named");
    world_free(&v);
}

/* A second span that begins where the first ended, and one more loss on the first's last
 * state. */
Test(span, one_follows_another)
{
    world v[2];
    outcome o[2];
    for (int k = 0; k < 2; k++) {
        world_new(&v[k], k);
        world *u = &v[k];
        record(u);
        sq_var first[T];
        memcpy(first, u->h, sizeof first);
        sq_var h = sq_mul(u->h[ALL - 1], u->h[T - 1]);
        if (k) record_span(u, h);
        for (int i = 0; i < T; i++)
            u->h[i] = k ? part(u, STATE, i) : eager_step(u, i, i ? u->h[i - 1] : h);
        sq_end_step(u->t);
        BACKWARD(sq_add(loss_from(u, 0), sq_sum(first[2])));
        for (int i = 0; i < 2; i++) u->h[i] = first[i];
        collect(&o[k], u, 0);
        cr_expect(sq_tape_statistics(u->t).steps == ALL + T);
    }
    compare(&o[1], &o[0], "two spans");
    for (int k = 0; k < 2; k++) world_free(&v[k]);
}

Test(span, probes_leave_the_sweep_alone)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        world v[2];
        double probe[2][T * N] = { { 0 } };
        for (int k = 0; k < 2; k++) {
            outcome before, after;
            world_new(&v[k], k);
            record(&v[k]);
            sq_var loss = sq_add(loss_from(&v[k], 0), sq_sum(sq_square(v[k].outputs)));
            BACKWARD(loss);
            collect(&before, &v[k], 0);
            cr_assert(sqi_probe(loss, immediate) == SQ_OK);
            for (int i = 0; i < T; i++) {
                const double *g = sqi_swept_grad(v[k].h[i], SQI_LANE_PROBE);
                if (g) memcpy(probe[k] + i * N, g, N * sizeof *g);
            }
            collect(&after, &v[k], 0);
            EXPECT_SAME_BITS(&before, &after, sizeof after, "gradients after a probe");
        }
        EXPECT_ALL_NEAR(probe[1], probe[0], T * N, 1e-13, immediate ? "immediate" : "total");
        for (int k = 0; k < 2; k++) world_free(&v[k]);
    }
}

/* ---- Cuts -------------------------------------------------------------------------------- */

/* Cut to `keep` steps, after an earlier sweep and perhaps an earlier cut, then swept. */
static void cut_and_sweep(world *v, int keep, int before, outcome *o)
{
    record(v);
    BACKWARD(loss_from(v, 0));
    sq_zero_grads(v->t);
    sq_var carried = v->h[0];
    if (before) cr_assert(sq_cut(v->t, before, &carried, 1) == SQ_OK, "%s", sq_message(v->t));
    cr_assert(sq_cut(v->t, keep, &carried, 1) == SQ_OK, "%s", sq_message(v->t));
    ASSERT_HEALTHY(v->t);
    cr_expect(sq_tape_statistics(v->t).steps == keep);
    cr_expect(same_var(carried, v->h[0]) == (keep == ALL), "rewritten only if cut");
    sq_var loss = sq_add(loss_from(v, ALL - keep), sq_sum(carried));
    if (keep > MORE) loss = sq_add(loss, sq_sum(sq_square(v->outputs)));
    BACKWARD(loss);
    collect(o, v, ALL - keep);
}

Test(span, a_cut_at_every_step_is_that_of_the_loop)
{
    for (int keep = 1; keep <= ALL; keep++)
        for (int before = 0; before <= ALL; before += keep < ALL ? keep + 1 : ALL + 1) {
            world v[2];
            outcome o[2];
            char what[48];
            snprintf(what, sizeof what, "keep %d after %d", keep, before);
            for (int k = 0; k < 2; k++) {
                world_new(&v[k], k);
                cut_and_sweep(&v[k], keep, before, &o[k]);
            }
            compare(&o[1], &o[0], what);
            for (int k = 0; k < 2; k++) world_free(&v[k]);
        }
}

/* Later steps that used parts now dead see constants, and their values stay. */
Test(span, imports_of_dead_parts_become_constants)
{
    world v;
    world_new(&v, true);
    record(&v);
    sq_begin_step(v.t);
    sq_var y = sq_sum(sq_mul(v.h[1], v.h[T - 1])), z = sq_sum(v.outputs);
    double was = sq_item(y);
    cr_assert(sq_cut(v.t, 5, NULL, 0) == SQ_OK, "%s", sq_message(v.t));
    ASSERT_HEALTHY(v.t);
    cr_expect(sq_item(y) == was);
    BACKWARD(sq_add(y, z));
    ASSERT_HEALTHY(v.t);
    double g[N], h1[N];
    sq_grad_copy(v.h[T - 1], g);
    world w;
    world_new(&w, true);
    record(&w);
    sq_copy(w.h[1], h1);
    for (int j = 0; j < N; j++) h1[j] += 1; /* of the sum of all outputs, which live on */
    EXPECT_ALL_NEAR(g, h1, N, 1e-15, "only through the living part");
    world_free(&w);
    world_free(&v);
}

/* What is recorded in the span's own segment counts as its last step. */
Test(span, later_nodes_of_its_own_segment)
{
    world v;
    world_new(&v, true);
    v.in = sq_leaf(v.t, sq_mat(ALL, N), v.x);
    v.h0 = sq_leaf(v.t, sq_vec(N), v.r);
    record_span(&v, v.h0);
    sq_var a = part(&v, STATE, 0), b = part(&v, STATE, T - 1), y = sq_sum(sq_mul(a, b));
    BACKWARD(y);
    cr_expect(sq_grad_norm(a) > 0 && sq_grad_norm(v.h0) > 0);
    sq_zero_grads(v.t);
    double b_is[N], a_is[N];
    sq_copy(a, a_is);
    sq_copy(b, b_is);
    cr_assert(sq_cut(v.t, 2, NULL, 0) == SQ_OK, "%s", sq_message(v.t));
    BACKWARD(y);
    cr_expect(sq_grad_norm(v.h0) == 0);
    double g[N];
    sq_grad_copy(b, g);
    EXPECT_ALL_NEAR(g, a_is, N, 0, "dy/db");
    ASSERT_HEALTHY(v.t);
    world_free(&v);
}

Test(span, a_whole_span_is_forgotten)
{
    world v;
    world_new(&v, true);
    record(&v);
    sq_var carry[2] = { v.h[T - 1], v.outputs };
    cr_assert(sq_cut(v.t, MORE, carry, 2) == SQ_OK, "%s", sq_message(v.t));
    ASSERT_HEALTHY(v.t);
    cr_expect(same_var(carry[0], v.h[T - 1]) == false);
    BACKWARD(sq_sum(v.h[ALL - 1]));
    ASSERT_HEALTHY(v.t);
    world_free(&v);
}

/* ---- Stale handles ----------------------------------------------------------------------- */

static void expect_stale(world *v, sq_var h, const char *sentence)
{
    sq_item(h);
    EXPECT_STATUS(v->t, SQ_EVAR);
    EXPECT_CONTAINS(sq_message(v->t), sentence);
    cr_expect(sq_ok(h) == false);
    sq_tape_reset(v->t);
}

Test(span, what_was_traced_is_stale)
{
    world v;
    world_new(&v, true);
    record(&v);
    expect_stale(&v, v.traced,
                 "item: the variable is stale: it was recorded while its cell was traced for a "
                 "plan; name it and use sq_unrolled_named");
    record(&v);
    sq_add(v.traced, v.traced);
    EXPECT_CONTAINS(sq_message(v.t), "add: operand 1 is stale: it was recorded while");
    world_free(&v);
}

Test(span, stale_handles_name_their_steps)
{
    world v;
    world_new(&v, true);
    static const struct {
        int keep, handle;
        const char *sentence;
    } cases[] = {
        { ALL - 3, 2, "stale: its step 2 was cut" },
        { MORE, 2, "stale: its steps 0 to 5 were cut" },
        { 1, T, "stale: its step 6 was cut" },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        record(&v);
        cr_assert(sq_cut(v.t, cases[i].keep, NULL, 0) == SQ_OK);
        expect_stale(&v, v.h[cases[i].handle], cases[i].sentence);
    }
    record(&v);
    cr_assert(sq_cut(v.t, ALL - 3, NULL, 0) == SQ_OK);
    sq_var late = part(&v, STATE, 1); /* asked for after the cut */
    cr_expect(sq_tape_status(v.t) == SQ_OK);
    expect_stale(&v, late, "stale: its step 1 was cut");
    record(&v);
    sq_begin_step(v.t); /* and after a span steps are counted on */
    sq_begin_step(v.t);
    sq_var h = sq_constant(v.t, 1);
    cr_assert(sq_cut(v.t, 0, NULL, 0) == SQ_OK);
    expect_stale(&v, h, "stale: its step 9 was cut");
    record(&v);
    uint64_t ordinal = v.ordinal;
    cr_assert(sq_cut(v.t, 0, NULL, 0) == SQ_OK);
    late = sqi_span_part(v.t, ordinal, STATE, 1, sq_vec(N), NULL, NULL, 0);
    expect_stale(&v, late, "stale: its steps 0 to 5 were cut");
    world_free(&v);
}

/* ---- Derivatives as variables ------------------------------------------------------------ */

Test(span, derive_says_how_to_go_on)
{
    world v;
    world_new(&v, true);
    sq_var g[2];
    record(&v);
    sq_var loss = loss_from(&v, 0);
    cr_expect(sq_derive(loss, &v.h0, g, 1) == SQ_EGRAD);
    EXPECT_CONTAINS(sq_message(v.t), "derive: the way leads through a plan: unroll with mode = "
                                     "SQ_EAGER to derive through it");
    sq_tape_reset(v.t);

    record(&v); /* a part as x, and a later part on the way */
    cr_expect(sq_derive(loss_from(&v, 0), &v.h[2], g, 1) == SQ_EGRAD);
    sq_tape_reset(v.t);

    record(&v); /* nothing leads through: from the last state on all is eager */
    cr_expect(sq_derive(sq_sum(v.h[ALL - 1]), &v.h[T - 1], g, 1) == SQ_OK, "%s",
              sq_message(v.t));
    double got[N], want = .75 * .75;
    sq_copy(g[0], got);
    EXPECT_ALL_NEAR(got, ((double[]){ want, want, want }), N, 1e-15, "w^2");
    sq_var other = sq_leaf(v.t, sq_scalar(), (double[]){ 3 });
    cr_expect(sq_derive(sq_mul(loss_from(&v, 0), other), &other, g, 1) == SQ_OK, "%s",
              sq_message(v.t));
    ASSERT_HEALTHY(v.t);
    world_free(&v);
}

/* ---- Memory, checks, threads ------------------------------------------------------------- */

Test(span, a_loop_allocates_nothing_more)
{
    world v;
    world_new(&v, true);
    size_t held = 0;
    for (int i = 0; i < 12; i++) {
        sq_tape_reset(v.t);
        record(&v);
        BACKWARD(loss_from(&v, 0));
        if (i % 3 == 1) cr_assert(sq_cut(v.t, 4, NULL, 0) == SQ_OK);
        if (i == 5) held = sq_tape_statistics(v.t).held_bytes;
        if (i > 5) cr_expect(sq_tape_statistics(v.t).held_bytes == held, "round %d", i);
    }
    world_free(&v);
}

Test(span, the_check_sees_what_is_broken)
{
    world v;
    char text[256];
    world_new(&v, true);
    record(&v);
    sqi_segment *s = sqi_segment_find(v.t, v.ordinal);
    sqi_node *p = sqi_node_find(v.t, v.h[3].id);
    p->version = T;
    cr_expect(sq_tape_check(v.t, text, sizeof text) == false);
    p->version = 3;
    s->span->low = -1;
    cr_expect(sq_tape_check(v.t, text, sizeof text) == false);
    s->span->low = 4;
    cr_expect(sq_tape_check(v.t, text, sizeof text) == false);
    s->span->low = 0;
    s->span->node--;
    cr_expect(sq_tape_check(v.t, text, sizeof text) == false);
    s->span->node++;
    sqi_node *last = sqi_node_find(v.t, v.h[T - 1].id); /* a later step imports it */
    last->flags |= SQI_DEAD;
    cr_expect(sq_tape_check(v.t, text, sizeof text) == false);
    EXPECT_CONTAINS(text, "an import's source is gone");
    last->flags &= ~(uint32_t)SQI_DEAD;
    sq_var square = sq_square(v.h[ALL - 1]);
    EXPECT_SOUND(v.t);
    s = v.t->current;
    s->nodes[s->operands[sqi_node_find(v.t, square.id)->first]].flags |= SQI_DEAD;
    cr_expect(sq_tape_check(v.t, text, sizeof text) == false);
    EXPECT_CONTAINS(text, "an operand is dead");
    world_free(&v);
}

Test(span, its_megabytes_are_no_hint_for_steps)
{
    world v;
    world_new(&v, true);
    v.in = sq_leaf(v.t, sq_mat(ALL, N), v.x);
    record_span(&v, sq_leaf(v.t, sq_vec(N), v.r));
    enum { MUCH = 1 << 20 };
    cr_assert(sqi_tape_alloc(v.t, MUCH) != NULL);
    sq_tape_reset(v.t);
    sq_begin_step(v.t);
    cr_expect(v.t->current->arena.hint < MUCH);
    world_free(&v);
}

static void count_free(sq_tape *t) { ++*(int *)(void *)t->plans; }

Test(span, plans_are_freed_with_the_tape)
{
    int freed = 0;
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    t->plans = (struct sqi_plan *)(void *)&freed;
    t->free_plans = count_free;
    sq_tape_reset(t);
    cr_expect(freed == 0);
    sq_tape_free(t);
    cr_expect(freed == 1);
}

Test(span, threads_are_a_number_from_1_to_256)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    cr_expect(sq_tape_threads(t) == 1);
    sq_tape_set_threads(t, 256);
    cr_expect(sq_tape_threads(t) == 256);
    static const int32_t bad[] = { 0, -1, 257, INT32_MIN };
    for (int i = 0; i < COUNT(bad); i++) {
        sq_tape_set_threads(t, bad[i]);
        EXPECT_CONTAINS(sq_message(t), "1 to 256");
        EXPECT_ERROR(t, SQ_ERANGE);
        cr_expect(sq_tape_threads(t) == 256);
    }
    sq_tape_free(t);
    sq_tape_set_threads(NULL, 2);
    cr_expect(sq_tape_threads(NULL) == 1);
}
