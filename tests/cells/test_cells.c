/* test_cells.c -- every cell's gradient against central differences, at several lengths,
 * batches and widths; names and sizes of weights and states; stacks; what a mistake says.
 *
 * Whether the equations are the right ones is the business of test_golden.c. */
#include "tests/support/every_cell.h"
#include "tests/support/support.h"

/* What the weights of a kind add up to: matrices [I,H] and [H,H] as often as `per_hidden`, and
 * vectors [H]. 0: widths that are not H, which have a test of their own. */
static const struct kind {
    any_cell_fn *make;
    const char *name;
    int n_weights, n_states;
    int64_t from_x, from_h, vectors;
    int64_t wider; /* see `gradients` */
} kinds[] = {
    { any_rnn_tanh, "rnn", 3, 1, 1, 1, 1, 0 },
    { any_rnn_relu, "rnn", 3, 1, 1, 1, 1, 0 },
    { any_rnn_sigmoid, "rnn", 3, 1, 1, 1, 1, 0 },
    { any_lstm, "lstm", 12, 2, 4, 4, 4, 0 },
    { any_gru_after, "gru", 10, 1, 3, 3, 4, 0 },
    { any_gru_before, "gru", 9, 1, 3, 3, 3, 0 },
    { any_gru_between, "gru", 10, 1, 3, 4, 3, 0 },
    { any_mgu, "mgu", 6, 1, 2, 2, 2, 0 },
    { any_peephole, "peephole", 15, 2, 4, 4, 7, 0 },
    { any_lnlstm, "lnlstm", 22, 2, 4, 4, 14, 9 },
    { any_lngru, "lngru", 16, 1, 3, 3, 10, 9 },
    { any_cifg, "cifg", 9, 2, 3, 3, 3, 0 },
    { any_lstm97, "lstm97", 9, 2, 3, 3, 3, 0 },
    { any_lstmp, "lstmp", 13, 2, 0, 0, 0, 0 },
    { any_greff_v, "greff", 15, 2, 4, 4, 7, 0 },
    { any_greff_nig, "greff", 11, 2, 3, 3, 5, 0 },
    { any_greff_nfg, "greff", 11, 2, 3, 3, 5, 0 },
    { any_greff_nog, "greff", 11, 2, 3, 3, 5, 0 },
    { any_greff_niaf, "greff", 15, 2, 4, 4, 7, 0 },
    { any_greff_noaf, "greff", 15, 2, 4, 4, 7, 0 },
    { any_greff_cifg, "greff", 11, 2, 3, 3, 5, 0 },
    { any_greff_np, "greff", 12, 2, 4, 4, 4, 0 },
    { any_greff_fgr, "greff", 24, 5, 4, 13, 7, 0 },
    { any_clockwork, "clockwork", 9, 2, 0, 0, 0, 0 },
};

static const struct size {
    int64_t T, B, I, H;
} sizes[] = {
    { 1, 1, 1, 1 }, { 1, 3, 2, 4 }, { 2, 1, 3, 2 }, { 2, 2, 1, 3 }, { 7, 1, 2, 3 },
    { 7, 3, 3, 2 }, { 0, 2, 3, 2 }, { 3, 0, 2, 2 }, { 2, 2, 0, 2 },
};

static void expect_right(const sq_cell *cell, const sq_params *p, struct size s, uint64_t seed)
{
    sq_check_result r;
    sq_check_options options = { .tolerance = 1e-7, .seed = seed };
    sq_status status = sq_check_cell(cell, p, s.T, s.B, s.I, &options, &r);
    cr_expect(status == SQ_OK && r.ok, "T=%d B=%d I=%d H=%d: %s", (int)s.T, (int)s.B, (int)s.I,
              (int)s.H, r.text);
    int64_t n = sq_params_size(p) + s.T * s.B * s.I;
    for (int32_t k = 0; k < cell->n_states; k++) n += s.B * cell->width[k];
    cr_expect(eq(int, (int)r.elements, (int)n));
}

/* Layer normalisation has a near-kink where all numbers of a row are nearly equal, as two or
 * three easily are: differences are then wrong. Such cells are checked wider. */
Test(cells, gradients)
{
    for (int k = 0; k < COUNT(kinds); k++)
        for (int i = 0; i < COUNT(sizes); i++) {
            any_cell w;
            struct size s = sizes[i];
            s.H += kinds[k].wider;
            sq_params *p = sq_params_new(SQ_F64);
            sq_cell cell = kinds[k].make(&w, p, "cell", s.I, s.H, 7);
            expect_right(&cell, p, s, 11);
            sq_params_free(p);
        }
}

/* The check clones the weights in double, so a cell in single precision is checked the same. */
Test(cells, gradients_of_float_weights)
{
    any_cell w;
    sq_params *p = sq_params_new(SQ_F32);
    sq_cell cell = any_lstm(&w, p, "cell", 3, 2, 7);
    expect_right(&cell, p, (struct size){ 2, 2, 3, 2 }, 5);
    sq_params_free(p);
}

Test(cells, gradients_of_stacks)
{
    static any_cell_fn *const mixes[][3] = { { any_lstm, any_gru_after, any_rnn_tanh },
                                             { any_mgu, any_lstm, any_gru_before },
                                             { any_peephole, any_lnlstm, NULL },
                                             { any_rnn_sigmoid, any_lstm, NULL },
                                             { any_gru_after, any_gru_after, NULL } };
    static const char *const prefix[] = { "l0", "l1", "l2" };
    static const int64_t lengths[] = { 1, 2, 7 };
    for (int k = 0; k < COUNT(mixes); k++)
        for (int i = 0; i < COUNT(lengths); i++) {
            any_cell w[3];
            sq_cell cells[3];
            int n = mixes[k][2] ? 3 : 2;
            sq_params *p = sq_params_new(SQ_F64);
            for (int j = 0; j < n; j++)
                cells[j] = mixes[k][j](&w[j], p, prefix[j], j ? 1 + j : 2, 2 + j, 3);
            sq_stack_cells *stack = sq_stack_new(cells, n);
            sq_cell cell = sq_stack_cell(stack);
            expect_right(&cell, p, (struct size){ lengths[i], 2, 2, 0 }, 1);
            sq_stack_free(stack);
            sq_params_free(p);
        }
}

Test(cells, table_is_whole)
{
    cr_assert(eq(int, COUNT(kinds), N_CELL_KINDS));
    for (int k = 0; k < COUNT(kinds); k++) {
        bool same = kinds[k].make == every_cell[k].make;
        cr_expect(same, "%s", every_cell[k].name);
    }
}

Test(cells, sizes_and_names)
{
    static const char *const states[] = { "h", "c", "i", "f", "o" };
    const int64_t I = 5, H = 3;
    for (int k = 0; k < COUNT(kinds); k++) {
        const struct kind *kind = &kinds[k];
        any_cell w;
        sq_params *p = sq_params_new(SQ_F32);
        sq_cell cell = kind->make(&w, p, "a", I, H, 1);
        EXPECT_TEXT(cell.name, kind->name);
        cr_expect(eq(int, cell.n_states, kind->n_states));
        cr_expect(eq(int, sq_params_count(p), kind->n_weights), "%s", every_cell[k].name);
        for (int32_t id = 1; id <= sq_params_count(p); id++)
            cr_expect(strncmp(sq_weight_name(p, (sq_weight){ id }), "a.", 2) == 0);
        int64_t n = kind->from_x * I * H + kind->from_h * H * H + kind->vectors * H;
        for (int s = 0; s < cell.n_states && n; s++) {
            cr_expect(eq(int, (int)cell.width[s], (int)H));
            EXPECT_TEXT(cell.state_names[s], states[s]);
        }
        if (n) cr_expect(eq(int, (int)sq_params_size(p), (int)n), "%s", every_cell[k].name);
        sq_params_free(p);
    }
}

/* The letters of the equations in cells.h are the names of the weights, and of the gates. */
Test(cells, names_are_those_of_the_equations)
{
    static const char *const want[] = { "lstm.W_i", "lstm.b_i", "lstm.U_i", "lstm.W_f",
                                        "lstm.b_f", "lstm.U_f", "lstm.W_g", "lstm.b_g",
                                        "lstm.U_g", "lstm.W_o", "lstm.b_o", "lstm.U_o" };
    any_cell w;
    sq_params *p = sq_params_new(SQ_F64);
    (void)any_lstm(&w, p, "lstm", 2, 2, 1);
    for (int k = 0; k < COUNT(want); k++)
        EXPECT_TEXT(sq_weight_name(p, (sq_weight){ k + 1 }), want[k]);
    sq_weight W = sq_params_find(p, "lstm.W_o");
    cr_expect(eq(int, W.id, w.lstm.W[3].id));
    (void)any_mgu(&w, p, "", 2, 2, 1);
    cr_expect(eq(int, sq_params_find(p, "R").id, w.mgu.R.id), "no prefix, no dot");
    cr_expect(w.mgu.R.id != 0);
    sq_params_free(p);
}

/* What does not start at random numbers: b_f, and the gains and the bias of the normalised
 * c. */
static bool starts_constant(const char *name)
{
    return strcmp(name, "a.b_f") == 0 || strncmp(name, "a.g", 3) == 0 ||
           strcmp(name, "a.b_c") == 0;
}

/* Every element within [-1/sqrt(H), 1/sqrt(H)), and each end is come near to: with H = 64 the
 * chance of a weight that does not is below 1e-9. b_f is 1. */
Test(cells, first_values)
{
    for (int k = 0; k < COUNT(kinds); k++) {
        any_cell w;
        sq_params *p = sq_params_new(SQ_F64);
        (void)kinds[k].make(&w, p, "a", 6, 64, 3);
        for (int32_t id = 1; id <= sq_params_count(p); id++) {
            double v[64 * 65], least = 9, most = -9;
            int64_t n = sq_shape_size(sq_weight_shape(p, (sq_weight){ id }));
            const char *name = sq_weight_name(p, (sq_weight){ id });
            if (starts_constant(name)) continue;
            if (kinds[k].make == any_greff_cifg && strcmp(name, "a.b_i") == 0) continue;
            cr_assert(sq_weight_get(p, (sq_weight){ id }, v) == SQ_OK);
            for (int64_t i = 0; i < n; i++) {
                least = fmin(least, v[i]);
                most = fmax(most, v[i]);
            }
            cr_expect(least >= -0.125 && most < 0.125 && least < -0.05 && most > 0.05,
                      "%s: [%g,%g]", sq_weight_name(p, (sq_weight){ id }), least, most);
        }
        sq_params_free(p);
    }
}

Test(cells, forget_bias)
{
    any_cell w;
    double b[3];
    sq_params *p = sq_params_new(SQ_F64);
    (void)any_lstm(&w, p, "a", 2, 3, 1);
    cr_assert(sq_weight_get(p, sq_params_find(p, "a.b_f"), b) == SQ_OK);
    for (int i = 0; i < 3; i++) cr_expect(b[i] == 1);
    cr_assert(sq_lstm_set_forget_bias(&w.lstm, p, -2.5) == SQ_OK);
    cr_assert(sq_weight_get(p, sq_params_find(p, "a.b_f"), b) == SQ_OK);
    for (int i = 0; i < 3; i++) cr_expect(b[i] == -2.5);
    cr_assert(sq_weight_get(p, sq_params_find(p, "a.b_i"), b) == SQ_OK);
    cr_expect(b[0] != -2.5 && b[1] != -2.5, "only the forget gate's");
    sq_params_free(p);
}

Test(cells, constants_of_the_variants)
{
    static const struct {
        any_cell_fn *make;
        const char *name;
        double value;
    } want[] = { { any_peephole, "a.b_f", 1 }, { any_lnlstm, "a.b_f", 1 },
                 { any_lnlstm, "a.gx_i", 1 },  { any_lnlstm, "a.gx_o", 1 },
                 { any_lnlstm, "a.gh_f", 1 },  { any_lnlstm, "a.gh_g", 1 },
                 { any_lngru, "a.gx_r", 1 },   { any_lngru, "a.gh_n", 1 },
                 { any_cifg, "a.b_f", 1 },     { any_lstmp, "a.b_f", 1 },
                 { any_greff_v, "a.b_f", 1 },  { any_greff_cifg, "a.b_i", -1 },
                 { any_lnlstm, "a.g_c", 1 },   { any_lnlstm, "a.b_c", 0 } };
    for (int k = 0; k < COUNT(want); k++) {
        any_cell w;
        double v[4] = { 9, 9, 9, 9 };
        sq_params *p = sq_params_new(SQ_F64);
        (void)want[k].make(&w, p, "a", 2, 3, 1);
        cr_assert(sq_weight_get(p, sq_params_find(p, want[k].name), v) == SQ_OK, "%s",
                  want[k].name);
        for (int i = 0; i < 3; i++) cr_expect(v[i] == want[k].value, "%s", want[k].name);
        sq_params_free(p);
    }
}

/* Gates are named: a message about one says which. */
Test(cells, gates_carry_their_names)
{
    any_cell w;
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = any_lstm(&w, p, "lstm", 2, 3, 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h[2] = { sq_zeros(t, sq_mat(1, 3)), sq_zeros(t, sq_mat(1, 4)) };
    sq_begin_step(t);
    (void)cell.step(t, cell.self, sq_full(t, sq_mat(1, 2), .5), h);
    EXPECT_TEXT(sq_message(t), "step 0: mul: shapes do not broadcast: [1,3] and [1,4] "
                               "(operand 1 is \"f\")");
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Stacks ----------------------------------------------------------------------------- */

Test(stack, states_of_all_layers_in_order)
{
    static const char *const names[] = { "0.h", "0.c", "1.0", "2.0" };
    static const char *const nameless[] = { NULL };
    static const int64_t widths[] = { 2, 2, 3, 4 };
    any_cell w[3];
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cells[3] = { any_lstm(&w[0], p, "a", 2, 2, 1), any_mgu(&w[1], p, "b", 2, 3, 1),
                         any_rnn_tanh(&w[2], p, "c", 3, 4, 1) };
    cells[1].state_names = nameless;
    cells[2].state_names = NULL;
    sq_stack_cells *stack = sq_stack_new(cells, 3);
    cr_assert(stack != NULL);
    sq_cell cell = sq_stack_cell(stack);
    cr_assert(eq(int, cell.n_states, 4));
    for (int k = 0; k < 4; k++) {
        EXPECT_TEXT(cell.state_names[k], names[k]);
        cr_expect(eq(int, (int)cell.width[k], (int)widths[k]));
    }
    sq_stack_cells *outer = sq_stack_new(&cell, 1);
    EXPECT_TEXT(sq_stack_cell(outer).state_names[2], "0.1.0");
    sq_stack_free(outer);
    sq_stack_free(stack);
    sq_params_free(p);
}

/* One step of a stack is its layers' steps, one after the other, to the bit. */
Test(stack, is_its_layers_one_after_the_other)
{
    any_cell w[2];
    double x[4] = { .1, -.2, .3, .4 }, got[6], want[6];
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cells[2] = { any_lstm(&w[0], p, "a", 2, 2, 1),
                         any_gru_after(&w[1], p, "b", 2, 3, 1) };
    sq_stack_cells *stack = sq_stack_new(cells, 2);
    sq_cell cell = sq_stack_cell(stack);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var z2 = sq_zeros(t, sq_mat(2, 2)), z3 = sq_zeros(t, sq_mat(2, 3));
    sq_var s[3] = { z2, z2, z3 }, r[3] = { z2, z2, z3 };
    sq_begin_step(t);
    sq_var xs = sq_input(t, sq_mat(2, 2), x);
    sq_var y = cell.step(t, cell.self, xs, s);
    sq_var mid = cells[0].step(t, cells[0].self, xs, r);
    (void)cells[1].step(t, cells[1].self, mid, r + 2);
    cr_expect(same_var(y, s[2]), "the output is the last layer's");
    cr_assert(sq_copy(s[2], got) == SQ_OK && sq_copy(r[2], want) == SQ_OK);
    EXPECT_SAME_BITS(got, want, sizeof got, "stack and layers");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_stack_free(stack);
    sq_params_free(p);
}

Test(stack, of_nothing_is_refused)
{
    sq_cell none = { 0 };
    cr_expect(sq_stack_new(&none, 0) == NULL);
    cr_expect(sq_stack_new(&none, -1) == NULL);
    sq_stack_free(NULL);
}

/* ---- Mistakes --------------------------------------------------------------------------- */

Test(mistakes, a_prefix_used_twice)
{
    for (int k = 0; k < COUNT(kinds); k++) {
        any_cell w;
        sq_params *p = sq_params_new(SQ_F64);
        (void)kinds[k].make(&w, p, "a", 2, 3, 1);
        cr_assert(sq_params_status(p) == SQ_OK, "%s", sq_params_message(p));
        (void)kinds[k].make(&w, p, "a", 2, 3, 1);
        cr_expect(sq_params_status(p) == SQ_EWEIGHT);
        EXPECT_CONTAINS(sq_params_message(p), "a.W");
        sq_params_free(p);
    }
}

Test(mistakes, sizes_below_zero)
{
    for (int k = 0; k < COUNT(kinds); k++)
        for (int which = 0; which < 2; which++) {
            any_cell w;
            sq_params *p = sq_params_new(SQ_F64);
            (void)kinds[k].make(&w, p, "a", which ? 2 : -2, which ? -3 : 3, 1);
            cr_expect(sq_params_status(p) == SQ_ESHAPE, "%s: %s", kinds[k].name,
                      sq_params_message(p));
            EXPECT_CONTAINS(sq_params_message(p), "a.W");
            sq_params_free(p);
        }
}

Test(mistakes, a_form_that_does_not_exist)
{
    any_cell w;
    sq_params *p = sq_params_new(SQ_F64);
    int form = 7;
    cr_expect(sq_rnn_init(&w.rnn, p, "a", 1, 1, (sq_rnn_activation)form, 0) == SQ_EVALUE);
    EXPECT_TEXT(sq_params_message(p), "rnn: there is no activation 7");
    sq_params_clear_error(p);
    cr_expect(sq_gru_init(&w.gru, p, "a", 1, 1, (sq_gru_reset)form, 0) == SQ_EVALUE);
    EXPECT_TEXT(sq_params_message(p), "gru: there is no reset form 7");
    sq_params_free(p);
}

/* Whoever ignores the status finds a cell that tells what is missing. */
Test(mistakes, a_cell_whose_form_does_not_exist_still_speaks)
{
    for (int k = 0; k < 2; k++) {
        any_cell w;
        int form = 1 << 20;
        sq_params *p = sq_params_new(SQ_F64);
        if (k == 0) sq_rnn_init(&w.rnn, p, "a", 2, 3, (sq_rnn_activation)form, 0);
        else sq_gru_init(&w.gru, p, "a", 2, 3, (sq_gru_reset)form, 0);
        sq_cell cell = k == 0 ? sq_rnn_cell(&w.rnn) : sq_gru_cell(&w.gru);
        sq_params_clear_error(p);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_var h = sq_zeros(t, sq_mat(1, 3));
        sq_begin_step(t);
        sq_var y = cell.step(t, cell.self, sq_zeros(t, sq_mat(1, 2)), &h);
        cr_expect(sq_ok(y) == false);
        EXPECT_STATUS(t, SQ_EWEIGHT);
        sq_tape_free(t);
        sq_params_free(p);
        cr_expect(sq_rnn_init(&w.rnn, NULL, "a", 2, 3, (sq_rnn_activation)form, 0) != SQ_OK);
        cr_expect(sq_gru_init(&w.gru, NULL, "a", 2, 3, (sq_gru_reset)form, 0) != SQ_OK);
    }
}

/* Wrong widths of x and of a state: the sentence names step, operation, shapes and operand. */
Test(mistakes, wrong_widths)
{
    for (int k = 0; k < COUNT(kinds); k++) {
        any_cell w;
        sq_params *p = sq_params_new(SQ_F64);
        sq_cell cell = kinds[k].make(&w, p, "a", 2, 3, 1);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_var h[ANY_CELL_STATES];
        for (int s = 0; s < cell.n_states; s++) h[s] = sq_zeros(t, sq_mat(1, cell.width[s]));
        sq_begin_step(t);
        (void)cell.step(t, cell.self, sq_zeros(t, sq_mat(1, 2)), h);
        sq_begin_step(t);
        sq_var y = cell.step(t, cell.self, sq_zeros(t, sq_mat(1, 5)), h);
        cr_expect(sq_ok(y) == false);
        cr_expect(sq_tape_status(t) == SQ_ESHAPE);
        bool normed = kinds[k].make == any_lnlstm || kinds[k].make == any_lngru;
        const char *product = normed ? "matmul" : "affine";
        char want[80];
        snprintf(want, sizeof want, "step 1: %s: inner sizes differ: [1,5] x [2,", product);
        EXPECT_CONTAINS(sq_message(t), want);
        EXPECT_CONTAINS(sq_message(t), "\"a.W");
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* A cell with inputs cannot run freely: x without a value is said to be missing. */
Test(mistakes, no_x)
{
    any_cell w;
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = any_mgu(&w, p, "a", 2, 3, 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h = sq_zeros(t, sq_mat(1, 3)), none = { 0 };
    sq_begin_step(t);
    (void)cell.step(t, cell.self, none, &h);
    EXPECT_CONTAINS(sq_message(t), "step 0: affine: operand 1 has no value");
    EXPECT_STATUS(t, SQ_EVAR);
    sq_tape_free(t);
    sq_params_free(p);
}
