/* test_trace.c -- a step recorded without arithmetic and computed after all is, to the bit, the
 * step that was never traced; and everything that cannot do without values says why. */
#include "tests/support/support.h"

#include "core/backward_impl.h"
#include "core/tape_impl.h"

enum { B = 2, I = 3, H = 4 };

typedef struct work {
    sq_tape *t;
    net n;
    sq_var x, h, c; /* operands of the step, of an earlier segment */
    sq_var first;   /* h of the step before */
    double seen;    /* what the reason read */
} work;

/* What a step may do that needs values, between its two halves: y is traced. Returns what the
 * second half goes on with. */
typedef sq_var reason_fn(work *w, sq_var y);

static sq_var read_item(work *w, sq_var y)
{
    w->seen = sq_item(sq_sum(y));
    return y;
}

static sq_var read_copy(work *w, sq_var y)
{
    float a[B * H];
    double b[B * H];
    sq_copy(y, a);
    sq_copy(y, b);
    w->seen = a[1] + b[0];
    return y;
}

static sq_var read_view(work *w, sq_var y)
{
    w->seen = sq_tape_dtype(w->t) == SQ_F32 ? sq_view_f32(y)[1] : sq_view_f64(y)[1];
    return y;
}

static sq_var read_norm(work *w, sq_var y)
{
    w->seen = sq_norm(y);
    return sq_mul(y, sq_constant(w->t, w->seen));
}

/* Also of what is no part of the step: it may differ from step to step. */
static sq_var read_operand(work *w, sq_var y)
{
    w->seen = sq_norm(w->h);
    return sq_mul(y, sq_constant(w->t, w->seen));
}

static sq_var ask_step(work *w, sq_var y)
{
    w->seen = (double)sq_current_step(w->t);
    return sq_mul(y, sq_constant(w->t, w->seen));
}

static sq_var take_input(work *w, sq_var y)
{
    return sq_add(y, sq_input(w->t, sq_vec(H), (double[]){ 1, 2, 3, 4 }));
}

static sq_var take_leaf(work *w, sq_var y)
{
    return sq_add(y, sq_leaf(w->t, sq_vec(H), (float[]){ 1, 2, 3, 4 }));
}

static sq_var take_ids(work *w, sq_var y)
{
    (void)w;
    return sq_add(y, sq_gather(y, (int32_t[]){ 1, 0 }, B));
}

static sq_var take_labels(work *w, sq_var y)
{
    (void)w;
    return sq_add(y, sq_cross_entropy(y, (int32_t[]){ 1, 3 }, (int32_t[]){ 1, 0 }, SQ_MEAN));
}

static sq_var take_one_hot(work *w, sq_var y)
{
    return sq_add(y, sq_one_hot(w->t, (int32_t[]){ 1, 3 }, B, H));
}

static sq_var draw(work *w, sq_var y)
{
    w->seen = sq_random_uniform(sq_tape_random(w->t), 1, 2);
    return sq_mul(y, sq_constant(w->t, w->seen));
}

static sq_var mark(work *w, sq_var y)
{
    (void)w;
    return sq_keep_grad(sq_square(y));
}

static sq_var mark_constant(work *w, sq_var y)
{
    return sq_mul(y, sq_keep_grad(sq_constant(w->t, 3)));
}

static sq_var sweep(work *w, sq_var y)
{
    if (sq_backward(sq_sum(y))) return sqi_none(w->t);
    w->seen = sq_grad_norm(w->first);
    sq_zero_grads(w->t);
    return y;
}

static sq_var sweep_from(work *w, sq_var y)
{
    double seed[B * H] = { 1, -1 };
    if (sq_backward_from(y, seed)) return sqi_none(w->t);
    sq_zero_grads(w->t);
    return y;
}

static sq_var probe(work *w, sq_var y)
{
    sq_ledger *l = sq_ledger_of_states(&w->first, 1, 1, sq_sum(y), NULL);
    w->seen = sq_ledger_total(l, 0, 0);
    sq_ledger_free(l);
    return y;
}

static sq_var derive(work *w, sq_var y)
{
    sq_var g;
    if (sq_derive(y, &w->h, &g, 1)) return sqi_none(w->t);
    return sq_add(y, g);
}

static sq_var cut(work *w, sq_var y)
{
    if (sq_cut(w->t, 3, NULL, 0)) return sqi_none(w->t);
    return y;
}

static sq_var begin(work *w, sq_var y)
{
    sq_begin_step(w->t);
    return y;
}

static sq_var end(work *w, sq_var y)
{
    sq_end_step(w->t);
    return y;
}

static sq_var read_grad(work *w, sq_var y)
{
    w->seen = sq_grad_norm(w->first);
    return y;
}

static sq_var read_grads(work *w, sq_var y)
{
    double g[64];
    sq_weight_grad_f64(w->t, (sq_weight){ 1 }, g);
    w->seen = g[0];
    return y;
}

static const struct reason {
    const char *name;
    reason_fn *act;
    const char *sentence;
} reasons[] = {
    { "item", read_item, "reads a value" },
    { "copy", read_copy, "reads a value" },
    { "view", read_view, "reads a value" },
    { "norm", read_norm, "reads a value" },
    { "norm of an operand", read_operand, "reads a value" },
    { "current_step", ask_step, "asks which step it is" },
    { "input", take_input, "takes numbers from outside" },
    { "leaf", take_leaf, "takes numbers from outside" },
    { "ids", take_ids, "takes ids or labels" },
    { "labels", take_labels, "takes ids or labels" },
    { "one_hot", take_one_hot, "takes ids or labels" },
    { "random", draw, "draws random numbers" },
    { "keep_grad", mark, "marks what has no name" },
    { "keep_grad of a constant", mark_constant, "marks what has no name" },
    { "backward", sweep, "sweeps" },
    { "backward_from", sweep_from, "sweeps" },
    { "ledger", probe, "sweeps" },
    { "derive", derive, "derives" },
    { "cut", cut, "cuts the tape" },
    { "begin_step", begin, "begins a step" },
    { "end_step", end, "ends a step" },
    { "grad", read_grad, "reads a gradient" },
    { "weight_grad", read_grads, "reads a gradient" },
};

/* ---- One step ---------------------------------------------------------------------------- */

/* Views of the segment, of the root and of another step, an op of several operands, a constant,
 * a detached value and a named one. */
static sq_var first_half(work *w)
{
    sq_var s[2] = { w->h, w->c };
    w->n.cell.step(w->t, w->n.cell.self, sq_reshape(w->x, sq_mat(B, I)), s);
    sq_var all = sq_concat((sq_var[]){ s[0], s[1], sq_zeros(w->t, sq_mat(1, H)) }, 3, 0);
    sq_var y = sq_slice(all, 0, 0, B);
    y = sq_add(y, sq_mul(sq_reshape(w->h, sq_mat(B, H)), sq_constant(w->t, .5)));
    return sq_name(sq_mul(y, sq_detach(s[1])), "y");
}

static sq_var second_half(work *w, sq_var y)
{
    sq_var z = sq_name(sq_tanh(sq_mul(y, w->first)), "z");
    return sq_mean(sq_square(sq_slice(z, 1, 1, 2)));
}

static void prepare(work *w, sq_dtype dtype)
{
    double x[B * I], h[B * H];
    *w = (work){ 0 };
    net_new(&w->n, dtype, I, H, 7);
    w->t = sq_tape_new(dtype, w->n.params);
    fill(x, B * I, 1, -1, 1);
    fill(h, B * H, 2, -1, 1);
    w->x = sq_leaf(w->t, sq_shape3(1, B, I), x);
    w->h = sq_leaf(w->t, sq_mat(B, H), h);
    w->c = sq_name(sq_tanh(w->h), "c");
    sq_begin_step(w->t);
    sq_var s[2] = { w->h, w->c };
    w->n.cell.step(w->t, w->n.cell.self, sq_reshape(w->x, sq_mat(B, I)), s);
    w->first = s[0];
    sq_begin_step(w->t);
    w->first = sq_keep_grad(sq_mul(w->first, w->first));
    sq_begin_step(w->t);
    BACKWARD(sq_sum(w->first));
}

static void drop(work *w)
{
    sq_tape_free(w->t);
    net_free(&w->n);
}

/* The loss and every gradient, and all that the reason saw. */
static void finish(work *w, sq_var loss, double *out)
{
    cr_assert(sq_tape_status(w->t) == SQ_OK, "%s", sq_message(w->t));
    sq_zero_grads(w->t);
    BACKWARD(loss);
    *out++ = sq_item(loss);
    *out++ = w->seen;
    sq_grad_copy(w->x, out);
    sq_grad_copy(w->h, out + B * I);
    sq_grad_copy(w->first, out + B * (I + H));
    out += B * (I + 2 * H);
    for (int32_t id = 1; id <= sq_params_count(w->n.params); id++) {
        sq_weight weight = { id };
        sq_weight_grad_f64(w->t, weight, out);
        out += sq_shape_size(sq_weight_shape(w->n.params, weight));
    }
    ASSERT_HEALTHY(w->t);
}

enum { OUT = 2 + B * (I + 2 * H) + 4 * H * (I + H + 2) };

/* ---- Tests ------------------------------------------------------------------------------- */

static void same_as_untraced(sq_dtype dtype, const struct reason *r)
{
    static double out[2][OUT];
    sq_tape_stats stats[2];
    memset(out, 0, sizeof out);
    for (int traced = 0; traced < 2; traced++) {
        work w;
        prepare(&w, dtype);
        if (r->act == cut) sq_begin_step(w.t);
        if (traced) sqi_trace_begin(w.t);
        sq_var y = first_half(&w);
        if (traced) {
            cr_expect(sqi_node_find(w.t, y.id)->value == NULL, "%s: nothing is put off",
                      r->name);
            EXPECT_SOUND(w.t);
        }
        y = r->act(&w, y);
        cr_assert(sq_tape_status(w.t) == SQ_OK, "%s: %s", r->name, sq_message(w.t));
        cr_expect(w.t->tracing == false, "%s: still traced", r->name);
        cr_expect(sqi_node_find(w.t, y.id)->value != NULL, "%s: no value", r->name);
        EXPECT_SOUND(w.t);
        sq_var loss = second_half(&w, y);
        if (traced) {
            const char *why = sqi_trace_end(w.t);
            cr_expect(why != NULL && strcmp(why, r->sentence) == 0, "%s: \"%s\"", r->name,
                      why ? why : "traced");
        }
        stats[traced] = sq_tape_statistics(w.t);
        finish(&w, loss, out[traced]);
        drop(&w);
    }
    EXPECT_SAME_BITS(out[0], out[1], sizeof out[0], r->name);
    cr_expect(stats[0].nodes == stats[1].nodes && stats[0].steps == stats[1].steps, "%s",
              r->name);
    cr_expect(stats[0].value_bytes == stats[1].value_bytes, "%s: %zu and %zu bytes", r->name,
              stats[0].value_bytes, stats[1].value_bytes);
}

Test(trace, computed_after_all_it_is_an_ordinary_step)
{
    for (int k = 0; k < COUNT(reasons); k++)
        for (int d = 0; d < 2; d++) same_as_untraced(d ? SQ_F64 : SQ_F32, &reasons[k]);
}

Test(trace, an_ordinary_step_is_a_trace)
{
    work w;
    prepare(&w, SQ_F64);
    sq_begin_step(w.t);
    sqi_trace_begin(w.t);
    sq_var y = first_half(&w), z = second_half(&w, y);
    sq_keep_grad(y); /* it has a name */
    cr_expect(sq_shape_equal(sq_shape_of(z), sq_scalar()) && sq_ok(y));
    EXPECT_TEXT(sq_name_of(y), "y");
    EXPECT_SOUND(w.t);
    cr_expect(sqi_trace_end(w.t) == NULL);
    const sqi_segment *s = w.t->current;
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        bool put_off = !s->nodes[i].value, operation = s->nodes[i].n > 0;
        cr_expect(put_off == operation, "%s", s->nodes[i].op->name);
    }
    drop(&w);
}

/* A node alone can be computed: what does not depend on the step. */
Test(trace, one_node_computed)
{
    work w;
    prepare(&w, SQ_F64);
    sqi_trace_begin(w.t);
    sq_var a = sq_mul(w.h, w.c), b = sq_reshape(sq_add(a, w.first), sq_vec(B * H));
    cr_expect(sqi_trace_end(w.t) == NULL);
    const uint32_t order[] = { sqi_index(a.id), sqi_index(b.id) - 1, sqi_index(b.id) };
    for (int i = 0; i < 3; i++) {
        bool ok = sqi_trace_compute_node(w.t, order[i]);
        cr_assert(ok, "%s", sq_message(w.t));
    }
    double got[B * H], h[B * H], c[B * H], first[B * H];
    sq_copy(b, got);
    sq_copy(w.h, h);
    sq_copy(w.c, c);
    sq_copy(w.first, first);
    for (int i = 0; i < B * H; i++)
        cr_expect(got[i] == h[i] * c[i] + first[i], "element %d", i);
    ASSERT_HEALTHY(w.t);
    drop(&w);
}

/* Mistakes in a traced step are told as ever, and leave nothing behind. */
Test(trace, a_mistake_ends_it)
{
    work w;
    prepare(&w, SQ_F32);
    sqi_trace_begin(w.t);
    sq_var y = first_half(&w);
    sq_matmul(y, y);
    EXPECT_CONTAINS(sq_message(w.t), "step 2: matmul: ");
    EXPECT_CONTAINS(sq_message(w.t), "operand 1 is \"y\"");
    EXPECT_SOUND(w.t);
    cr_expect(isnan(sq_item(y)));
    sqi_trace_end(w.t);
    EXPECT_SOUND(w.t);
    sq_tape_reset(w.t);
    cr_expect(sq_item(sq_square(sq_constant(w.t, 3))) == 9);
    sq_begin_step(w.t);
    sqi_trace_begin(w.t);
    sq_square(sq_constant(w.t, 3));
    sq_tape_reset(w.t);
    cr_expect(w.t->tracing == false, "reset ends a trace");
    ASSERT_HEALTHY(w.t);
    drop(&w);
}
