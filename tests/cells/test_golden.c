/* test_golden.c -- the cells against PyTorch: outputs, last states, and the gradients of every
 * weight, input and initial state.
 *
 * Each case runs in both precisions, by a loop written by hand and by sq_unroll. A tensor
 * agrees when max|a - b| <= tol max|b|. The numbers come from golden/cells.py. */
#include "tests/support/support.h"

#include "tests/golden/cells.h"

enum { B = GOLDEN_B, IN = GOLDEN_I, H = GOLDEN_H, MAX_LAYERS = 2, MAX_STATES = 4, MAX_T = 50 };

typedef union layer {
    sq_rnn rnn;
    sq_lstm lstm;
    sq_gru gru;
    sq_mgu mgu;
    sq_peephole peephole;
    sq_lnlstm lnlstm;
} layer;

/* A case set up on a tape: the cell with the golden weights, and where the results go. */
typedef struct fixture {
    const golden_case *c;
    double tol;
    const char *how;
    sq_params *params;
    layer layers[MAX_LAYERS];
    sq_stack_cells *stack;
    sq_cell cell;
    sq_tape *t;
    sq_var state0[MAX_STATES], last[MAX_STATES];
    double outputs[MAX_T * B * H], grad_x[MAX_T * B * IN];
} fixture;

static sq_cell new_layer(const char *kind, layer *w, sq_params *p, const char *prefix,
                         int64_t in)
{
    if (strcmp(kind, "lstm") == 0) {
        (void)sq_lstm_init(&w->lstm, p, prefix, in, H, 1);
        return sq_lstm_cell(&w->lstm);
    }
    if (strcmp(kind, "mgu") == 0) {
        (void)sq_mgu_init(&w->mgu, p, prefix, in, H, 1);
        return sq_mgu_cell(&w->mgu);
    }
    if (strcmp(kind, "peephole") == 0) {
        (void)sq_peephole_init(&w->peephole, p, prefix, in, H, 1);
        return sq_peephole_cell(&w->peephole);
    }
    if (strcmp(kind, "lnlstm") == 0) {
        (void)sq_lnlstm_init(&w->lnlstm, p, prefix, in, H, 1);
        return sq_lnlstm_cell(&w->lnlstm);
    }
    if (strncmp(kind, "gru", 3) == 0) {
        sq_gru_reset reset = strcmp(kind, "gru_after") == 0 ? SQ_RESET_AFTER : SQ_RESET_BEFORE;
        (void)sq_gru_init(&w->gru, p, prefix, in, H, reset, 1);
        return sq_gru_cell(&w->gru);
    }
    sq_rnn_activation act = strcmp(kind, "rnn_tanh") == 0   ? SQ_RNN_TANH
                            : strcmp(kind, "rnn_relu") == 0 ? SQ_RNN_RELU
                                                            : SQ_RNN_SIGMOID;
    (void)sq_rnn_init(&w->rnn, p, prefix, in, H, act, 1);
    return sq_rnn_cell(&w->rnn);
}

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
    for (int k = 0; k < c->n_states; k++) {
        f->state0[k] = sq_leaf(f->t, sq_mat(B, H), c->state0 + k * B * H);
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
        double d = fabs(got[i] - want[i]);
        off = d <= off ? off : d; /* a NaN gets through */
        size = fmax(size, fabs(want[i]));
    }
    cr_expect(off <= f->tol * size, "%s, %s, %s: %s: off by %g where the largest is %g",
              f->c->name, sq_dtype_name(sq_tape_dtype(f->t)), f->how, what, off, size);
}

/* loss + sum_k <last state k, b_k> */
static sq_var add_last(fixture *f, sq_var loss)
{
    for (int k = 0; k < f->c->n_states; k++) {
        sq_var b = sq_input(f->t, sq_mat(B, H), f->c->mix_last + k * B * H);
        loss = sq_add(loss, sq_sum(sq_mul(f->last[k], b)));
    }
    return loss;
}

/* Outputs and the gradient of x have been put into the fixture by the way of running. */
static void compare(fixture *f)
{
    const golden_case *c = f->c;
    double got[MAX_STATES * B * H], weight[H * H];
    agree(f, "outputs", f->outputs, c->outputs, c->steps * B * H);
    agree(f, "gradient of x", f->grad_x, c->grad_x, c->steps * B * IN);
    for (int k = 0; k < c->n_states; k++) (void)sq_copy(f->last[k], got + k * B * H);
    agree(f, "last states", got, c->last, c->n_states * B * H);
    for (int k = 0; k < c->n_states; k++) (void)sq_grad_copy(f->state0[k], got + k * B * H);
    agree(f, "gradient of the initial states", got, c->grad_state0, c->n_states * B * H);
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

/* The table is what it claims to be: eleven cells at three lengths. */
Test(golden, covers_every_cell)
{
    cr_expect(eq(int, COUNT(golden_cases), 33));
    for (int k = 0; k < COUNT(golden_cases); k++) {
        cr_expect(golden_cases[k].steps <= MAX_T && golden_cases[k].n_states <= MAX_STATES);
    }
}
