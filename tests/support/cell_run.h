/* cell_run.h -- whether a cell is right: its gradients against differences at T = 1, 2 and 7, and
 * its plan, which there must be, against the eager unroll. */
#ifndef SQT_CELL_RUN_H
#define SQT_CELL_RUN_H

#include "tests/support/random_run.h"

static inline void expect_gradients(const sq_cell *cell, const sq_params *p, int64_t B,
                                    int64_t I, const char *what)
{
    static const int64_t steps[] = { 1, 2, 7 };
    for (int i = 0; i < COUNT(steps); i++) {
        sq_check_result r;
        sq_check_options options = { .tolerance = 1e-7, .seed = 11 };
        sq_status status = sq_check_cell(cell, p, steps[i], B, I, &options, &r);
        cr_expect(status == SQ_OK && r.ok, "%s, T=%d: %s", what, (int)steps[i], r.text);
    }
}

static inline sq_var drawn_leaf(sq_tape *t, sq_shape s, uint64_t seed)
{
    double *x = malloc(((size_t)sq_shape_size(s) + 1) * sizeof *x);
    cr_assert(x != NULL);
    fill(x, sq_shape_size(s), seed, -1, 1);
    sq_var v = sq_leaf(t, s, x);
    free(x);
    return v;
}

/* Outputs, last states, and the gradients of everything of <outputs, outputs + r>. */
static inline void train_cell(const sq_cell *cell, sq_params *p, sq_mode mode, int64_t T,
                              int64_t B, int64_t I, trace *o)
{
    sq_tape *t = sq_tape_new(sq_params_dtype(p), p);
    sq_var x = drawn_leaf(t, sq_shape3(T, B, I), 1), s0[16], last[16];
    cr_assert(cell->n_states <= COUNT(s0));
    for (int32_t k = 0; k < cell->n_states; k++)
        s0[k] = drawn_leaf(t, sq_mat(B, cell->width[k]), 2 + (uint64_t)k);
    const sq_unrolled *u = sq_unroll(t, cell, x, s0, &(sq_unroll_options){ .mode = mode });
    cr_assert(u != NULL, "%s: %s", cell->name, sq_message(t));
    cr_expect(sq_unroll_mode(u) == (mode == SQ_EAGER ? SQ_EAGER : SQ_PLAN), "%s", cell->name);
    sq_unrolled_last(u, last);
    sq_var y = sq_unrolled_outputs(u);
    sq_var loss = sq_sum(sq_mul(y, sq_add(y, drawn_leaf(t, sq_shape_of(y), 50))));
    for (int32_t k = 0; k < cell->n_states; k++)
        loss = sq_add(loss, sq_sum(sq_mul(last[k], drawn_leaf(t, sq_shape_of(last[k]), 60))));
    BACKWARD(loss);
    trace_value(o, "outputs", y);
    trace_grad(o, "dL/dx", x);
    for (int32_t k = 0; k < cell->n_states; k++) {
        trace_value(o, "last state", last[k]);
        trace_grad(o, "dL/d initial state", s0[k]);
    }
    trace_weights(o, t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

static inline void expect_plan_is_eager(const sq_cell *cell, sq_params *p, int64_t B, int64_t I,
                                        const char *what)
{
    static const int64_t steps[] = { 1, 2, 7 };
    for (int i = 0; i < COUNT(steps); i++) {
        trace eager = { .n = 0 }, plan = { .n = 0 };
        char why[256] = "";
        train_cell(cell, p, SQ_EAGER, steps[i], B, I, &eager);
        train_cell(cell, p, SQ_AUTO, steps[i], B, I, &plan);
        cr_expect(trace_close(&plan, &eager, 1e-12, why, sizeof why), "%s: %s", what, why);
        trace_free(&eager);
        trace_free(&plan);
    }
}

#endif
