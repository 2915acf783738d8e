/* test_around.c -- stacks with ways past their layers, and dropout and zoneout around cells: what
 * each computes, its gradients, that it runs as a plan, and what is refused. */
#include "tests/support/cell_run.h"
#include "tests/support/every_cell.h"

/* ---- Stacks ------------------------------------------------------------------------------- */

enum { B = 3, IN = 4, H = 4, STEPS = 30 };

/* Three layers, the middle one wider; widths of x as the options ask for. */
typedef struct tower {
    sq_params *p;
    any_cell w[3];
    sq_cell layer[3];
    sq_stack_cells *stack;
    sq_cell cell;
} tower;

static void build(tower *s, const sq_stack_options *o)
{
    static const char *const prefix[] = { "a", "b", "c" };
    static any_cell_fn *const make[] = { any_gru_before, any_lstm, any_rnn_tanh };
    static const int64_t width[] = { H, H + 1, H };
    int64_t in = IN;
    s->p = sq_params_new(SQ_F64);
    for (int k = 0; k < 3; k++) {
        s->layer[k] = make[k](&s->w[k], s->p, prefix[k], in, width[k], 3);
        in = width[k] + (o && o->skip_input ? IN : 0);
    }
    s->stack = sq_stack_new_with(s->layer, 3, o);
    s->cell = sq_stack_cell(s->stack);
    cr_assert(sq_params_status(s->p) == SQ_OK, "%s", sq_params_message(s->p));
}

static void demolish(tower *s)
{
    sq_stack_free(s->stack);
    sq_params_free(s->p);
}

static sq_stack_options options_of(int bits)
{
    return (sq_stack_options){ bits & 1, (bits & 2) != 0, (bits & 4) != 0 };
}

Test(stack, with_any_options_is_right)
{
    for (int bits = 0; bits < 8; bits++) {
        tower s;
        char what[32];
        sq_stack_options o = options_of(bits);
        snprintf(what, sizeof what, "options %d", bits);
        build(&s, &o);
        expect_gradients(&s.cell, s.p, 2, IN, what);
        expect_plan_is_eager(&s.cell, s.p, B, IN, what);
        demolish(&s);
    }
}

/* One step of layer k from states of zeros. */
static sq_var one(sq_tape *t, const tower *s, int k, sq_var in)
{
    sq_var zero[2] = { sq_zeros(t, sq_mat(B, s->layer[k].width[0])),
                       sq_zeros(t, sq_mat(B, s->layer[k].width[0])) };
    return s->layer[k].step(t, s->layer[k].self, in, zero);
}

static sq_var joined(sq_var a, sq_var b) { return sq_concat((sq_var[]){ a, b }, 2, 1); }

/* The formulas of cells.h written out for three layers, the middle one of which is too wide to be
 * added to. */
static sq_var by_hand(sq_tape *t, const tower *s, sq_stack_options o, sq_var x)
{
    sq_var z1 = one(t, s, 0, x);
    if (o.residual) z1 = sq_add(z1, x);
    sq_var z2 = one(t, s, 1, o.skip_input ? joined(z1, x) : z1);
    sq_var z3 = one(t, s, 2, o.skip_input ? joined(z2, x) : z2);
    return o.skip_output ? joined(joined(z1, z2), z3) : z3;
}

Test(stack, is_what_its_formulas_say)
{
    for (int bits = 0; bits < 8; bits++) {
        tower s;
        sq_stack_options o = options_of(bits);
        double got[B * 3 * (H + 1)], want[B * 3 * (H + 1)];
        build(&s, &o);
        sq_tape *t = sq_tape_new(SQ_F64, s.p);
        sq_var x = drawn_leaf(t, sq_mat(B, IN), 7), state[4];
        for (int k = 0; k < 4; k++) state[k] = sq_zeros(t, sq_mat(B, s.cell.width[k]));
        sq_begin_step(t);
        sq_var y = s.cell.step(t, s.cell.self, x, state), z = by_hand(t, &s, o, x);
        cr_assert(sq_shape_equal(sq_shape_of(y), sq_shape_of(z)), "options %d", bits);
        cr_assert(sq_copy(y, got) == SQ_OK && sq_copy(z, want) == SQ_OK, "%s", sq_message(t));
        EXPECT_SAME_BITS(got, want, (size_t)sq_shape_size(sq_shape_of(y)) * sizeof *got,
                         "outputs");
        sq_tape_free(t);
        demolish(&s);
    }
}

/* Nothing for an x without a value; a scalar output is not an input to be added to. */
static sq_var no_input(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self, (void)x;
    return *state = sq_tanh(sq_add_scalar(*state, .5));
}

Test(stack, generates_without_x)
{
    static const int64_t width = H;
    const sq_cell free_running = { "free", 1, &width, NULL, no_input, NULL };
    tower s;
    sq_stack_options o = options_of(7);
    build(&s, NULL);
    sq_stack_cells *stack = sq_stack_new_with(
        (sq_cell[]){ free_running, any_rnn_relu(&s.w[0], s.p, "d", H, H, 1) }, 2, &o);
    sq_cell cell = sq_stack_cell(stack);
    sq_tape *t = sq_tape_new(SQ_F64, s.p);
    const sq_unrolled *u = sq_unroll(t, &cell, (sq_var){ 0 }, NULL,
                                     &(sq_unroll_options){ .steps = 5, .batch = B });
    sq_shape got = sq_shape_of(sq_unrolled_outputs(u));
    ASSERT_HEALTHY(t);
    cr_expect(sq_shape_equal(got, sq_shape3(5, B, 2 * H)));
    sq_tape_free(t);
    sq_stack_free(stack);
    demolish(&s);
}

/* ---- Dropout ------------------------------------------------------------------------------ */

static const sq_drawn masks[] = { SQ_PER_STEP, SQ_PER_SEQUENCE };

/* Every cell, with everything dropped that can be. */
Test(dropout, around_every_cell_is_right)
{
    for (int k = 0; k < N_CELL_KINDS; k++)
        for (int m = 0; m < COUNT(masks); m++) {
            any_cell w;
            sq_params *p = sq_params_new(SQ_F64);
            int64_t hidden = strncmp(every_cell[k].name, "ln", 2) == 0 ? 12 : 4;
            sq_cell inner = every_cell[k].make(&w, p, "c", IN, hidden, 3);
            const sq_dropped d = { inner, .3, .4, .2, masks[m] };
            sq_cell cell = sq_dropout_cell(&d);
            EXPECT_TEXT(cell.name, inner.name);
            if (m == 0 && hidden == 4) expect_gradients(&cell, p, 2, IN, every_cell[k].name);
            expect_plan_is_eager(&cell, p, B, IN, every_cell[k].name);
            sq_params_free(p);
        }
}

/* y = x, both states become x; what is seen of them bears a name. */
static sq_var mirror(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self;
    (void)sq_name(sq_mul_scalar(state[0], 1), "seen");
    (void)sq_name(sq_mul_scalar(state[1], 1), "other");
    state[0] = state[1] = sq_mul_scalar(x, 1);
    return sq_mul_scalar(x, 1);
}

static const int64_t mirror_width[] = { 50, 50 };
static const sq_cell mirror_cell = { "mirror", 2, mirror_width, NULL, mirror, NULL };

enum { WIDE = B * 50 };

/* The mask of step t of a mirror of ones: outputs, or what the recurrence showed. */
static void masks_of(const sq_dropped *d, double out[STEPS][WIDE], const char *name)
{
    static double ones[STEPS * WIDE];
    for (int i = 0; i < COUNT(ones); i++) ones[i] = 1;
    sq_cell cell = sq_dropout_cell(d);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var s0[2] = { sq_input(t, sq_mat(B, 50), ones), sq_input(t, sq_mat(B, 50), ones) };
    const sq_unrolled *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(STEPS, B, 50), ones), s0,
                                     &(sq_unroll_options){ .mode = SQ_EAGER });
    for (int i = 0; i < STEPS; i++) {
        sq_var v = name ? sq_unrolled_named(u, i, name) : sq_unrolled_output(u, i);
        cr_assert(sq_copy(v, out[i]) == SQ_OK, "%s", sq_message(t));
    }
    sq_tape_free(t);
}

/* Of WIDE * STEPS numbers (WIDE of them independent per sequence) the dropped ones are `rate`
 * within five standard errors; all others are 1/(1 - rate). */
static void expect_masks(const sq_dropped *d, const char *name, double rate)
{
    static double m[STEPS][WIDE];
    masks_of(d, m, name);
    int zeros = 0, changed = 0;
    for (int t = 0; t < STEPS; t++)
        for (int i = 0; i < WIDE; i++) {
            bool zero = m[t][i] == 0;
            zeros += zero;
            changed += m[t][i] != m[0][i];
            cr_expect(zero || close_to(m[t][i], 1 / (1 - rate), 1e-15), "%g", m[t][i]);
        }
    double n = STEPS * WIDE, independent = d->mask == SQ_PER_SEQUENCE ? WIDE : n;
    cr_expect(fabs(zeros / n - rate) <= 5 * sqrt(rate * (1 - rate) / independent));
    bool varies = changed > 0;
    cr_expect(varies == (d->mask == SQ_PER_STEP && rate > 0));
}

Test(dropout, drops_where_it_says)
{
    for (int m = 0; m < COUNT(masks); m++) {
        sq_dropped in = { mirror_cell, .3, 0, 0, masks[m] },
                   out = { mirror_cell, 0, .4, 0, masks[m] },
                   rec = { mirror_cell, 0, 0, .25, masks[m] };
        expect_masks(&in, NULL, .3);
        expect_masks(&out, NULL, .4);
        expect_masks(&rec, "seen", .25);
        expect_masks(&rec, "other", 0);
        expect_masks(&rec, NULL, 0);
    }
}

/* Rates of 0 are the cell within, to the bit; so scoring needs no other weights. */
Test(dropout, of_nothing_is_the_cell_within)
{
    any_cell w;
    char why[256] = "";
    trace a = { .n = 0 }, b = { .n = 0 };
    sq_params *p = sq_params_new(SQ_F64);
    sq_dropped d = { .cell = any_lstm(&w, p, "c", IN, H, 3) };
    sq_zoned z = { .cell = sq_dropout_cell(&d) };
    sq_cell cell = sq_zoneout_cell(&z);
    train_cell(&d.cell, p, SQ_AUTO, 7, B, IN, &a);
    train_cell(&cell, p, SQ_AUTO, 7, B, IN, &b);
    cr_expect(trace_equal(&a, &b, why, sizeof why), "%s", why);
    trace_free(&a);
    trace_free(&b);
    sq_params_free(p);
}

Test(dropout, mistakes)
{
    static const double rates[] = { 1, -.5, NAN };
    for (int k = 0; k < COUNT(rates); k++)
        for (int kind = 0; kind < 3; kind++) {
            any_cell w;
            sq_params *p = sq_params_new(SQ_F64);
            sq_cell lstm = any_lstm(&w, p, "c", IN, H, 3);
            sq_dropped d = { .cell = lstm, .output = rates[k] };
            sq_zoned z = { .cell = lstm, .others = rates[k], .expected = kind == 2 };
            sq_cell cell = kind ? sq_zoneout_cell(&z) : sq_dropout_cell(&d);
            sq_tape *t = sq_tape_new(SQ_F64, p);
            bool none =
                sq_unroll(t, &cell, drawn_leaf(t, sq_shape3(2, B, IN), 1), NULL, NULL) == NULL;
            cr_expect(none);
            EXPECT_CONTAINS(sq_message(t), kind ? "zoneout: the rate must lie in [0,1)"
                                                : "dropout: the rate must lie in [0,1)");
            EXPECT_STATUS(t, SQ_ERANGE);
            sq_tape_free(t);
            sq_params_free(p);
        }
}

/* ---- Zoneout ------------------------------------------------------------------------------ */

Test(zoneout, around_every_cell_is_right)
{
    for (int k = 0; k < N_CELL_KINDS; k++)
        for (int expected = 0; expected < 2; expected++) {
            any_cell w;
            sq_params *p = sq_params_new(SQ_F64);
            int64_t hidden = strncmp(every_cell[k].name, "ln", 2) == 0 ? 12 : 4;
            /* A clock that is held up by chance would be another cell. */
            double others = every_cell[k].make == any_clockwork ? 0 : .5;
            const sq_zoned z = { every_cell[k].make(&w, p, "c", IN, hidden, 3), .2, others,
                                 expected };
            sq_cell cell = sq_zoneout_cell(&z);
            if (hidden == 4) expect_gradients(&cell, p, 2, IN, every_cell[k].name);
            expect_plan_is_eager(&cell, p, B, IN, every_cell[k].name);
            sq_params_free(p);
        }
}

/* Units keep their old state exactly, `rate` of them, or become what the cell within makes of the
 * same state; the expectation lies in between. The output is the new h. */
Test(zoneout, keeps_or_moves)
{
    enum { WIDTH = 400 };
    static double old[2][WIDTH], within[2][WIDTH], got[2][WIDTH], y[WIDTH];
    any_cell w;
    sq_params *p = sq_params_new(SQ_F64);
    sq_zoned z = { any_lstm(&w, p, "c", IN, WIDTH, 3), .2, .6, false };
    sq_cell cell = sq_zoneout_cell(&z);
    for (int pass = 0; pass < 2; pass++) {
        sq_tape *t = sq_tape_new(SQ_F64, p);
        z.expected = pass == 1;
        sq_var s[2] = { drawn_leaf(t, sq_mat(1, WIDTH), 2),
                        drawn_leaf(t, sq_mat(1, WIDTH), 3) };
        sq_var r[2] = { s[0], s[1] }, x = drawn_leaf(t, sq_mat(1, IN), 4);
        for (int k = 0; k < 2; k++) cr_assert(sq_copy(s[k], old[k]) == SQ_OK);
        sq_begin_step(t);
        (void)z.cell.step(t, z.cell.self, x, r);
        sq_var out = cell.step(t, cell.self, x, s);
        for (int k = 0; k < 2; k++)
            cr_assert(sq_copy(s[k], got[k]) == SQ_OK && sq_copy(r[k], within[k]) == SQ_OK);
        cr_assert(sq_copy(out, y) == SQ_OK);
        EXPECT_SAME_BITS(y, got[0], sizeof y, "output and state");
        for (int k = 0; k < 2; k++) {
            int kept = 0;
            double rate = k ? .6 : .2;
            for (int i = 0; i < WIDTH; i++) {
                double mean = rate * old[k][i] + (1 - rate) * within[k][i];
                bool same = got[k][i] == old[k][i];
                kept += same;
                if (pass == 1) EXPECT_NEAR(got[k][i], mean, 1e-15, "mean");
                else if (!same) EXPECT_NEAR(got[k][i], within[k][i], 1e-15, "moved");
            }
            if (pass == 0)
                cr_expect(fabs(kept - rate * WIDTH) < 5 * sqrt(rate * (1 - rate) * WIDTH), "%d",
                          kept);
        }
        sq_tape_free(t);
    }
    sq_params_free(p);
}

/* The first of several states that are the output is meant; a readout is left alone. */
static sq_var two_alike(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const bool *readout = self;
    (void)t;
    state[0] = state[1] = sq_tanh(x);
    return *readout ? sq_mul_scalar(state[0], 2) : state[0];
}

Test(zoneout, of_an_output_that_is_a_state)
{
    static const int64_t width[] = { H, H };
    for (int readout = 0; readout < 2; readout++) {
        bool self = readout;
        double h[B * H], y[B * H], x[B * H];
        sq_zoned z = { { "two", 2, width, NULL, two_alike, &self }, 0, .5, true };
        sq_cell cell = sq_zoneout_cell(&z);
        sq_tape *t = sq_tape_new(SQ_F64, NULL);
        sq_var s[2] = { sq_zeros(t, sq_mat(B, H)), sq_zeros(t, sq_mat(B, H)) };
        sq_begin_step(t);
        sq_var in = drawn_leaf(t, sq_mat(B, H), 1);
        sq_var out = cell.step(t, cell.self, in, s);
        cr_assert(sq_copy(out, y) == SQ_OK && sq_copy(s[1], h) == SQ_OK &&
                  sq_copy(in, x) == SQ_OK);
        for (int i = 0; i < B * H; i++) {
            EXPECT_NEAR(y[i], (readout ? 2 : 1) * tanh(x[i]), 1e-15, "output");
            EXPECT_NEAR(h[i], .5 * tanh(x[i]), 1e-15, "second state");
        }
        sq_tape_free(t);
    }
}

Test(zoneout, of_too_many_states)
{
    static int64_t width[SQ_ZONEOUT_STATES + 1];
    sq_zoned z = {
        { "many", SQ_ZONEOUT_STATES + 1, width, NULL, mirror, NULL }, .5, .5, false
    };
    sq_cell cell = sq_zoneout_cell(&z);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    bool none = sq_unroll(t, &cell, sq_zeros(t, sq_shape3(2, B, 50)), NULL, NULL) == NULL;
    cr_expect(none);
    EXPECT_TEXT(sq_message(t),
                "step 0: zoneout: a cell of 17 states; it goes around cells of up to 16");
    EXPECT_STATUS(t, SQ_EVALUE);
    sq_tape_free(t);
}
