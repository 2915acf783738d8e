/* test_golden.c -- the cells against PyTorch: outputs, last states, and the gradients of every
 * weight, input and initial state.
 *
 * Each case runs in both precisions, by a loop written by hand and by sq_unroll. A tensor
 * agrees when max|a - b| <= tol max|b|. The numbers come from golden/cells.py. */
#include "tests/support/every_cell.h"
#include "tests/support/support.h"

#include "tests/golden/cells.h"

enum {
    B = GOLDEN_B,
    IN = GOLDEN_I,
    H = GOLDEN_H,
    MAX_LAYERS = 2,
    MAX_STATES = 5,
    WIDEST = H + 1,
    MAX_T = 50
};

/* A case set up on a tape: the cell with the golden weights, and where the results go. */
typedef struct fixture {
    const golden_case *c;
    double tol;
    const char *how;
    sq_params *params;
    any_cell layers[MAX_LAYERS];
    sq_stack_cells *stack;
    sq_cell cell;
    sq_tape *t;
    sq_var state0[MAX_STATES], last[MAX_STATES];
    int at[MAX_STATES + 1]; /* where each state lies in the arrays of all of them */
    double outputs[MAX_T * B * H], grad_x[MAX_T * B * IN];
} fixture;

static sq_cell new_layer(const char *kind, any_cell *w, sq_params *p, const char *prefix,
                         int64_t in)
{
    int k = 0;
    while (k < N_CELL_KINDS && strcmp(every_cell[k].name, kind) != 0) k++;
    cr_assert(k < N_CELL_KINDS, "there is no cell %s", kind);
    return every_cell[k].make(w, p, prefix, in, H, 1);
}

static int size_of(const fixture *f, int k) { return B * (int)f->cell.width[k]; }

static void open_case(fixture *f, const golden_case *c, sq_dtype dtype, const char *how)
{
    static const char *const prefix[MAX_LAYERS] = { "l0", "l1" };
    sq_cell cells[MAX_LAYERS];
    *f = (fixture){ .c = c, .tol = dtype == SQ_F64 ? 1e-10 : 1e-5, .how = how };
    f->params = sq_params_new(dtype);
    for (int k = 0; k < c->layers; k++)
        cells[k] = new_layer(c->kind, &f->layers[k], f->params, prefix[k], k == 0 ? IN : H);
    cr_assert(eq(int, sq_params_count(f->params), c->n_weights), "%s", c->name);
    for (int k = 0; k < c->n_weights; k++) {
        sq_weight w = sq_params_find(f->params, c->weights[k].name);
        cr_assert(w.id != 0, "%s has no weight %s", c->name, c->weights[k].name);
        cr_assert(sq_weight_set_f64(f->params, w, c->weights[k].value) == SQ_OK);
    }
    f->stack = sq_stack_new(cells, c->layers);
    f->cell = c->layers > 1 ? sq_stack_cell(f->stack) : cells[0];
    f->t = sq_tape_new(dtype, f->params);
    cr_assert(eq(int, f->cell.n_states, c->n_states), "%s", c->name);
    for (int k = 0; k <= c->n_states; k++) f->at[k] = k ? f->at[k - 1] + size_of(f, k - 1) : 0;
    for (int k = 0; k < c->n_states; k++) {
        f->state0[k] = sq_leaf(f->t, sq_mat(B, f->cell.width[k]), c->state0 + f->at[k]);
        f->last[k] = f->state0[k];
    }
}

static void close_case(fixture *f)
{
    EXPECT_SOUND(f->t);
    sq_tape_free(f->t);
    sq_stack_free(f->stack);
    sq_params_free(f->params);
}

static void agree(const fixture *f, const char *what, const double *got, const double *want,
                  int n)
{
    double off = 0, size = 0;
    for (int i = 0; i < n; i++) {
        off = worse(off, fabs(got[i] - want[i]));
        size = fmax(size, fabs(want[i]));
    }
    cr_expect(off <= f->tol * size, "%s, %s, %s: %s: off by %g where the largest is %g",
              f->c->name, sq_dtype_name(sq_tape_dtype(f->t)), f->how, what, off, size);
}

/* loss + sum_k <last state k, b_k> */
static sq_var add_last(fixture *f, sq_var loss)
{
    for (int k = 0; k < f->c->n_states; k++) {
        sq_shape shape = sq_mat(B, f->cell.width[k]);
        sq_var b = sq_input(f->t, shape, f->c->mix_last + f->at[k]);
        loss = sq_add(loss, sq_sum(sq_mul(f->last[k], b)));
    }
    return loss;
}

/* Outputs and the gradient of x have been put into the fixture by the way of running. */
static void compare(fixture *f)
{
    const golden_case *c = f->c;
    double got[MAX_STATES * B * WIDEST], weight[WIDEST * WIDEST];
    agree(f, "outputs", f->outputs, c->outputs, c->steps * B * H);
    agree(f, "gradient of x", f->grad_x, c->grad_x, c->steps * B * IN);
    for (int k = 0; k < c->n_states; k++) (void)sq_copy(f->last[k], got + f->at[k]);
    agree(f, "last states", got, c->last, f->at[c->n_states]);
    for (int k = 0; k < c->n_states; k++) (void)sq_grad_copy(f->state0[k], got + f->at[k]);
    agree(f, "gradient of the initial states", got, c->grad_state0, f->at[c->n_states]);
    for (int k = 0; k < c->n_weights; k++) {
        sq_weight w = sq_params_find(f->params, c->weights[k].name);
        cr_assert(sq_weight_grad(f->t, w, weight) == SQ_OK, "%s", sq_message(f->t));
        agree(f, c->weights[k].name, weight, c->weights[k].grad,
              (int)sq_shape_size(sq_weight_shape(f->params, w)));
    }
    cr_expect(sq_tape_status(f->t) == SQ_OK, "%s", sq_message(f->t));
}

static void by_hand(const golden_case *c, sq_dtype dtype)
{
    fixture f;
    sq_var x[MAX_T];
    open_case(&f, c, dtype, "by hand");
    sq_var loss = sq_zeros(f.t, sq_scalar());
    for (int i = 0; i < c->steps; i++) {
        sq_begin_step(f.t);
        x[i] = sq_leaf(f.t, sq_mat(B, IN), c->x + i * B * IN);
        sq_var y = f.cell.step(f.t, f.cell.self, x[i], f.last);
        sq_var a = sq_input(f.t, sq_mat(B, H), c->mix_outputs + i * B * H);
        loss = sq_add(loss, sq_sum(sq_mul(y, a)));
        (void)sq_copy(y, f.outputs + i * B * H);
    }
    sq_end_step(f.t);
    BACKWARD(add_last(&f, loss));
    for (int i = 0; i < c->steps; i++) (void)sq_grad_copy(x[i], f.grad_x + i * B * IN);
    compare(&f);
    close_case(&f);
}

static void by_unroll(const golden_case *c, sq_dtype dtype)
{
    fixture f;
    open_case(&f, c, dtype, "unrolled");
    sq_var x = sq_leaf(f.t, sq_shape3(c->steps, B, IN), c->x);
    const sq_unrolled *u = sq_unroll(f.t, &f.cell, x, f.state0, NULL);
    cr_assert(u != NULL, "%s", sq_message(f.t));
    sq_unrolled_last(u, f.last);
    sq_var y = sq_unrolled_outputs(u);
    sq_var a = sq_input(f.t, sq_shape3(c->steps, B, H), c->mix_outputs);
    BACKWARD(add_last(&f, sq_sum(sq_mul(y, a))));
    (void)sq_copy(y, f.outputs);
    (void)sq_grad_copy(x, f.grad_x);
    compare(&f);
    close_case(&f);
}

static void every_case(void (*how)(const golden_case *c, sq_dtype dtype), sq_dtype dtype)
{
    for (int k = 0; k < COUNT(golden_cases); k++) how(&golden_cases[k], dtype);
}

Test(golden, double_by_hand) { every_case(by_hand, SQ_F64); }
Test(golden, float_by_hand) { every_case(by_hand, SQ_F32); }
Test(golden, double_unrolled) { every_case(by_unroll, SQ_F64); }
Test(golden, float_unrolled) { every_case(by_unroll, SQ_F32); }

/* The table is what it claims to be: eleven cells, two of them stacks, at three lengths, fifteen at
 * two; every kind is there. */
Test(golden, covers_every_cell)
{
    cr_expect(eq(int, COUNT(golden_cases), 11 * 3 + 15 * 2));
    for (int i = 0; i < N_CELL_KINDS; i++) {
        bool there = false;
        for (int k = 0; k < COUNT(golden_cases); k++)
            there |= strcmp(golden_cases[k].kind, every_cell[i].name) == 0;
        cr_expect(there, "%s", every_cell[i].name);
    }
    for (int k = 0; k < COUNT(golden_cases); k++) {
        cr_expect(golden_cases[k].steps <= MAX_T && golden_cases[k].n_states <= MAX_STATES);
    }
}
