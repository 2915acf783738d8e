/* test_variants.c -- what is particular to one kind of cell: which variants are another cell under
 * another name, to the bit; when a clockwork's modules move; sizes of the projected LSTM; the
 * first values of the IRNN; what is refused. */
#include "tests/support/every_cell.h"
#include "tests/support/support.h"

enum { B = 3, IN = 4, H = 6, T = 12 };

/* ---- One cell under two names ------------------------------------------------------------- */

/* Outputs of T steps, and all gradients of their sum of squares, flat. */
typedef struct run {
    double y[T * B * H], gx[T * B * IN];
    double *gw;
    size_t n;
} run;

static void run_cell(const sq_cell *cell, sq_params *p, sq_mode mode, run *r)
{
    double x[T * B * IN];
    fill(x, T * B * IN, 5, -1, 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var xs = sq_leaf(t, sq_shape3(T, B, IN), x);
    const sq_unrolled *u = sq_unroll(t, cell, xs, NULL, &(sq_unroll_options){ .mode = mode });
    sq_var y = sq_unrolled_outputs(u);
    BACKWARD(sq_sum(sq_square(y)));
    cr_assert(sq_copy(y, r->y) == SQ_OK && sq_grad_copy(xs, r->gx) == SQ_OK);
    r->n = params_bytes(p);
    r->gw = grads_copy(t);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* Puts a's values into those weights of b that bear the same name. */
static void take_weights(sq_params *b, const sq_params *a)
{
    for (int32_t id = 1; id <= sq_params_count(b); id++) {
        double v[H * H];
        sq_weight from = sq_params_find(a, sq_weight_name(b, (sq_weight){ id }));
        if (!from.id) continue;
        cr_assert(sq_weight_get(a, from, v) == SQ_OK);
        cr_assert(sq_weight_set(b, (sq_weight){ id }, v) == SQ_OK);
    }
}

static const struct twin {
    any_cell_fn *a, *b;
} twins[] = { { any_greff_v, any_peephole }, { any_greff_np, any_lstm } };

Test(greff, is_a_known_cell_where_it_should_be)
{
    static run a, b;
    for (int k = 0; k < COUNT(twins); k++) {
        any_cell v, w;
        sq_params *p = sq_params_new(SQ_F64), *q = sq_params_new(SQ_F64);
        sq_cell one = twins[k].a(&v, p, "c", IN, H, 1), two = twins[k].b(&w, q, "c", IN, H, 2);
        take_weights(q, p);
        run_cell(&one, p, SQ_EAGER, &a);
        run_cell(&two, q, SQ_EAGER, &b);
        EXPECT_SAME_BITS(a.y, b.y, sizeof a.y, "outputs");
        EXPECT_SAME_BITS(a.gx, b.gx, sizeof a.gx, "gradients of x");
        cr_assert(a.n == b.n);
        free(a.gw);
        free(b.gw);
        sq_params_free(p);
        sq_params_free(q);
    }
}

/* f = sigmoid(z) and 1 - f = sigmoid(-z): i's weights with the other sign are f's. */
Test(greff, coupled_without_peepholes_is_cifg)
{
    static run a, b;
    sq_greff g;
    sq_cifg c;
    sq_params *p = sq_params_new(SQ_F64), *q = sq_params_new(SQ_F64);
    cr_assert(sq_greff_init(&g, p, "c", IN, H, SQ_GREFF_CIFG | SQ_GREFF_NP, 1) == SQ_OK);
    cr_assert(sq_cifg_init(&c, q, "c", IN, H, 2) == SQ_OK);
    take_weights(q, p);
    for (int m = 0; m < 3; m++) {
        const sq_weight from[] = { g.W[0], g.b[0], g.U[0] }, to[] = { c.W[0], c.b[0], c.U[0] };
        double v[H * H];
        cr_assert(sq_weight_get(p, from[m], v) == SQ_OK);
        for (int64_t i = 0; i < sq_shape_size(sq_weight_shape(p, from[m])); i++) v[i] = -v[i];
        cr_assert(sq_weight_set(q, to[m], v) == SQ_OK);
    }
    sq_cell one = sq_greff_cell(&g), two = sq_cifg_cell(&c);
    run_cell(&one, p, SQ_PLAN, &a);
    run_cell(&two, q, SQ_PLAN, &b);
    EXPECT_ALL_NEAR(a.y, b.y, T * B * H, 1e-14, "outputs");
    EXPECT_ALL_NEAR(a.gx, b.gx, T * B * IN, 1e-14, "gradients of x");
    free(a.gw);
    free(b.gw);
    sq_params_free(p);
    sq_params_free(q);
}

/* Reset between with V_n = 1 (the identity) is reset after with d_n = 0. */
Test(gru, reset_between_with_an_identity_is_reset_after)
{
    static run a, b;
    any_cell v, w;
    sq_params *p = sq_params_new(SQ_F64), *q = sq_params_new(SQ_F64);
    sq_cell one = any_gru_between(&v, p, "c", IN, H, 1),
            two = any_gru_after(&w, q, "c", IN, H, 2);
    take_weights(q, p);
    cr_assert(sq_init_identity(p, v.gru.V_n, 1) == SQ_OK);
    cr_assert(sq_init_zeros(q, w.gru.d_n) == SQ_OK);
    run_cell(&one, p, SQ_AUTO, &a);
    run_cell(&two, q, SQ_AUTO, &b);
    EXPECT_ALL_NEAR(a.y, b.y, T * B * H, 1e-14, "outputs");
    EXPECT_ALL_NEAR(a.gx, b.gx, T * B * IN, 1e-14, "gradients of x");
    free(a.gw);
    free(b.gw);
    sq_params_free(p);
    sq_params_free(q);
}

/* ---- The clockwork ------------------------------------------------------------------------ */

/* A module's units change in the steps that its period divides and in no other, and with one
 * module of period 1 it is the RNN. */
Test(clockwork, modules_move_at_their_periods)
{
    static const int64_t periods[] = { 1, 2, 5 };
    static run r;
    for (int plan = 0; plan < 2; plan++) {
        sq_clockwork w;
        sq_params *p = sq_params_new(SQ_F64);
        cr_assert(sq_clockwork_init(&w, p, "c", IN, H, periods, 3, 1) == SQ_OK);
        sq_cell cell = sq_clockwork_cell(&w);
        run_cell(&cell, p, plan ? SQ_PLAN : SQ_EAGER, &r);
        for (int t = 0; t < T; t++)
            for (int b = 0; b < B; b++)
                for (int j = 0; j < H; j++) {
                    double old = t ? r.y[((t - 1) * B + b) * H + j] : 0;
                    bool moved = r.y[(t * B + b) * H + j] != old;
                    bool due = t % periods[j / 2] == 0;
                    cr_expect(moved == due, "step %d unit %d", t, j);
                }
        free(r.gw);
        sq_params_free(p);
    }
}

Test(clockwork, of_one_module_is_the_rnn)
{
    static const int64_t every = 1;
    static run a, b;
    sq_clockwork w;
    any_cell v;
    sq_params *p = sq_params_new(SQ_F64), *q = sq_params_new(SQ_F64);
    cr_assert(sq_clockwork_init(&w, p, "c", IN, H, &every, 1, 1) == SQ_OK);
    sq_cell one = sq_clockwork_cell(&w), two = any_rnn_tanh(&v, q, "c", IN, H, 1);
    const sq_weight from[] = { w.W[0], w.b[0], w.U[0] }, to[] = { v.rnn.W, v.rnn.b, v.rnn.U };
    for (int m = 0; m < 3; m++) {
        double x[H * H];
        cr_assert(sq_weight_get(p, from[m], x) == SQ_OK && sq_weight_set(q, to[m], x) == SQ_OK);
    }
    run_cell(&one, p, SQ_EAGER, &a);
    run_cell(&two, q, SQ_EAGER, &b);
    EXPECT_SAME_BITS(a.y, b.y, sizeof a.y, "outputs");
    EXPECT_SAME_BITS(a.gw, b.gw, a.n, "gradients of the weights");
    free(a.gw);
    free(b.gw);
    sq_params_free(p);
    sq_params_free(q);
}

/* A fast module never reaches a slower one: U_k has rows for itself and the slower ones. */
Test(clockwork, weights_are_those_of_the_connections)
{
    static const int64_t periods[] = { 1, 2, 4 };
    sq_clockwork w;
    sq_params *p = sq_params_new(SQ_F64);
    cr_assert(sq_clockwork_init(&w, p, "c", IN, H, periods, 3, 1) == SQ_OK);
    for (int k = 0; k < 3; k++) {
        sq_shape u = sq_weight_shape(p, w.U[k]), x = sq_weight_shape(p, w.W[k]);
        cr_expect(sq_shape_equal(u, sq_mat(H - 2 * k, 2)));
        cr_expect(sq_shape_equal(x, sq_mat(IN, 2)));
    }
    sq_cell cell = sq_clockwork_cell(&w);
    EXPECT_TEXT(cell.state_names[0], "h");
    EXPECT_TEXT(cell.state_names[1], "count");
    cr_expect(cell.width[0] == H && cell.width[1] == 3);
    sq_params_free(p);
}

Test(clockwork, mistakes)
{
    static const struct {
        int64_t hidden, period[3];
        int32_t n;
        const char *says;
    } wrong[] = {
        { 6, { 1 }, 0, "clockwork: 0 modules are not 1 to 32" },
        { 66, { 1 }, 33, "clockwork: 33 modules are not 1 to 32" },
        { 6,
          { 0, 1, 2 },
          3,
          "clockwork: period 0 of module 0: periods are 1 to 4194304 and do not fall" },
        { 6,
          { 2, 1 },
          2,
          "clockwork: period 1 of module 1: periods are 1 to 4194304 and do not fall" },
        { 6,
          { 1, 1 << 23 },
          2,
          "clockwork: period 8388608 of module 1: periods are 1 to 4194304 and do not fall" },
        { 7, { 1, 2, 4 }, 3, "clockwork: 7 units cannot be shared out evenly to 3 modules" },
    };
    for (int k = 0; k < COUNT(wrong); k++) {
        sq_clockwork w;
        sq_params *p = sq_params_new(SQ_F64);
        cr_expect(sq_clockwork_init(&w, p, "c", 2, wrong[k].hidden, wrong[k].period, wrong[k].n,
                                    1) != SQ_OK);
        EXPECT_TEXT(sq_params_message(p), wrong[k].says);
        cr_expect(eq(int, sq_params_count(p), 0));
        sq_params_free(p);
    }
}

/* ---- Others ------------------------------------------------------------------------------- */

Test(lstmp, sizes)
{
    sq_lstmp w;
    sq_params *p = sq_params_new(SQ_F64);
    cr_assert(sq_lstmp_init(&w, p, "c", 4, 7, 3, 1) == SQ_OK);
    sq_cell cell = sq_lstmp_cell(&w);
    cr_expect(cell.width[0] == 3 && cell.width[1] == 7);
    cr_expect(sq_shape_equal(sq_weight_shape(p, w.U[2]), sq_mat(3, 7)));
    cr_expect(sq_shape_equal(sq_weight_shape(p, sq_params_find(p, "c.R")), sq_mat(7, 3)));
    cr_expect(eq(int, (int)sq_params_size(p), 4 * (4 * 7 + 7 + 3 * 7) + 7 * 3));
    cr_expect(sq_lstmp_init(&w, p, "d", 4, 7, -3, 1) == SQ_ESHAPE);
    EXPECT_CONTAINS(sq_params_message(p), "d.U_i");
    sq_params_free(p);
}

/* The constant error carousel: dc_T/dc_0 through the memory alone is exactly 1. With U = 0
 * there is no other way. */
Test(lstm97, carries_the_gradient_of_its_memory_unchanged)
{
    any_cell w;
    double x[T * B * IN], g[B * H];
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = any_lstm97(&w, p, "c", IN, H, 1);
    for (int k = 0; k < 3; k++) cr_assert(sq_init_zeros(p, w.lstm97.U[k]) == SQ_OK);
    fill(x, T * B * IN, 5, -1, 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var s0[2] = { sq_zeros(t, sq_mat(B, H)), sq_leaf(t, sq_mat(B, H), x) }, last[2];
    const sq_unrolled *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, IN), x), s0, NULL);
    sq_unrolled_last(u, last);
    BACKWARD(sq_sum(last[1]));
    cr_assert(sq_grad_copy(s0[1], g) == SQ_OK);
    for (int i = 0; i < B * H; i++) cr_expect(g[i] == 1);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(irnn, starts_as_a_memory)
{
    sq_rnn w;
    double U[H * H], b[H], W[IN * H];
    sq_params *p = sq_params_new(SQ_F64);
    cr_assert(sq_irnn_init(&w, p, "c", IN, H, 0.5, 1) == SQ_OK);
    cr_assert(w.activation == SQ_RNN_RELU);
    cr_assert(sq_weight_get(p, w.U, U) == SQ_OK && sq_weight_get(p, w.b, b) == SQ_OK &&
              sq_weight_get(p, w.W, W) == SQ_OK);
    for (int i = 0; i < H * H; i++) cr_expect(U[i] == (i % (H + 1) == 0 ? 0.5 : 0));
    for (int i = 0; i < H; i++) cr_expect(b[i] == 0);
    for (int i = 0; i < IN * H; i++) cr_expect(W[i] != 0 && fabs(W[i]) < 0.006);
    cr_expect(sq_irnn_init(&w, p, "d", IN, H, nan(""), 1) == SQ_EVALUE);
    EXPECT_TEXT(sq_params_message(p), "init_identity: weight d.U: the gain must be finite");
    sq_params_clear_error(p);
    cr_expect(sq_irnn_init(&w, p, "e", IN, -1, 1, 1) == SQ_ESHAPE);
    sq_params_free(p);
}

Test(greff, mistakes)
{
    static const struct {
        uint32_t switches;
        const char *says;
    } wrong[] = {
        { 0x100, "greff: there are no switches 0x100" },
        { 0x1203, "greff: there are no switches 0x1200" },
        { SQ_GREFF_CIFG | SQ_GREFF_NIG, "greff: coupled gates (CIFG) leave no NIG and no NFG" },
        { SQ_GREFF_CIFG | SQ_GREFF_NFG, "greff: coupled gates (CIFG) leave no NIG and no NFG" },
        { SQ_GREFF_FGR | SQ_GREFF_NOG,
          "greff: full gate recurrence (FGR) needs all three gates" },
    };
    for (int k = 0; k < COUNT(wrong); k++) {
        sq_greff w;
        sq_params *p = sq_params_new(SQ_F64);
        cr_expect(sq_greff_init(&w, p, "c", 2, 3, wrong[k].switches, 1) == SQ_EVALUE);
        EXPECT_TEXT(sq_params_message(p), wrong[k].says);
        cr_expect(eq(int, sq_params_count(p), 0));
        sq_params_free(p);
    }
}

/* All that goes together: every set of switches is right, or refused. */
Test(greff, every_combination_is_right_or_refused)
{
    int right = 0;
    for (uint32_t s = 0; s < 256; s++) {
        sq_greff w;
        sq_check_result r;
        sq_params *p = sq_params_new(SQ_F64);
        if (sq_greff_init(&w, p, "c", 2, 2, s, 3) == SQ_OK) {
            sq_cell cell = sq_greff_cell(&w);
            sq_check_options options = { .seed = 11 };
            sq_status status = sq_check_cell(&cell, p, 2, 1, 2, &options, &r);
            cr_expect(status == SQ_OK && r.ok, "switches 0x%x: %s", (unsigned)s, r.text);
            right++;
        }
        sq_params_free(p);
    }
    /* Of i, f, coupling: 4 + 1 forms, times NOG, NIAF, NOAF, NP; with FGR: NIAF, NOAF, NP. */
    cr_expect(eq(int, right, 5 * 16 + 8));
}
