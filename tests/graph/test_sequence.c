/* test_sequence.c -- whole sequences: reversal of rows, both directions, layers, losses over time.
 *
 * Outside numbers are PyTorch's (golden/ragged.py: packed sequences, and its cross-entropy). The rest is
 * composed by hand here, from unrolls alone and loops over arrays. */
#include "tests/support/one_cell.h"

#include "tests/golden/ragged.h"

enum { T = RAGGED_T, B = RAGGED_B, I = RAGGED_I, H = RAGGED_H, C = RAGGED_C, RUNS = 4 };
#define LENGTHS ragged_lengths

/* ---- Against PyTorch ---------------------------------------------------------------------- */

/* A network of two layers and two directions with the golden weights. */
typedef struct deep {
    sq_params *p;
    any_cell w[RUNS];
    sq_cell cell[RUNS];
    sq_layer layers[2];
} deep;

static void deep_new(deep *d, const ragged_case *c)
{
    static const char *const names[RUNS] = { "f0", "b0", "f1", "b1" };
    int kind = strcmp(c->kind, "lstm") == 0 ? 3 : 4;
    memset(d, 0, sizeof *d);
    d->p = sq_params_new(SQ_F64);
    for (int k = 0; k < RUNS; k++)
        d->cell[k] = one_layer(&d->w[k], d->p, names[k], kind, k < 2 ? I : 2 * H, H, 1);
    cr_assert(sq_params_count(d->p) == c->n_weights);
    for (int k = 0; k < c->n_weights; k++) {
        sq_weight w = sq_params_find(d->p, c->weights[k].name);
        cr_assert(sq_weight_set_f64(d->p, w, c->weights[k].value) == SQ_OK);
    }
    for (int l = 0; l < 2; l++)
        d->layers[l] =
            (sq_layer){ .forward = &d->cell[2 * l], .backward = &d->cell[2 * l + 1] };
}

static void agree(const char *kind, const char *what, const double *got, const double *want,
                  int64_t n)
{
    double off = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        off = worse(off, fabs(got[i] - want[i]));
        most = fmax(most, fabs(want[i]));
    }
    cr_expect(off <= 1e-10 * most, "%s: %s: off by %g where the largest is %g", kind, what, off,
              most);
}

static void against_torch(const ragged_case *c, const sq_unroll_options *unroll)
{
    deep d;
    deep_new(&d, c);
    sq_tape *t = sq_tape_new(SQ_F64, d.p);
    sq_var s0[RUNS][2], x = sq_leaf(t, sq_shape3(T, B, I), c->x);
    sq_directions each[2];
    double y[T * B * 2 * H], gx[T * B * I], state[B * H], g[4 * I * H];
    for (int k = 0; k < RUNS; k++)
        for (int j = 0; j < c->n_states; j++)
            s0[k][j] = sq_leaf(t, sq_mat(B, H), c->state0 + (k * c->n_states + j) * B * H);
    for (int l = 0; l < 2; l++) {
        d.layers[l].state0_f = s0[2 * l];
        d.layers[l].state0_b = s0[2 * l + 1];
    }
    sq_var out = sq_layers(t, d.layers, 2, x, &(sq_layers_options){ .unroll = *unroll }, each);
    cr_assert(sq_ok(out), "%s", sq_message(t));
    sq_var loss = sq_sum(sq_mul(out, sq_input(t, sq_shape3(T, B, 2 * H), c->mix_outputs)));
    sq_var last[RUNS][2];
    for (int k = 0; k < RUNS; k++) {
        const sq_unrolled *u = k % 2 ? each[k / 2].backward : each[k / 2].forward;
        sq_unrolled_last(u, last[k]);
        for (int j = 0; j < c->n_states; j++) {
            const double *b = c->mix_last + (k * c->n_states + j) * B * H;
            loss = sq_add(loss, sq_sum(sq_mul(last[k][j], sq_input(t, sq_mat(B, H), b))));
        }
    }
    BACKWARD(loss);
    sq_copy(out, y);
    sq_grad_copy(x, gx);
    agree(c->kind, "outputs", y, c->outputs, T * B * 2 * H);
    agree(c->kind, "input gradients", gx, c->grad_x, T * B * I);
    for (int k = 0; k < RUNS; k++)
        for (int j = 0; j < c->n_states; j++) {
            int at = (k * c->n_states + j) * B * H;
            sq_copy(last[k][j], state);
            agree(c->kind, "last states", state, c->last + at, B * H);
            sq_grad_copy(s0[k][j], state);
            agree(c->kind, "initial state gradients", state, c->grad_state0 + at, B * H);
        }
    for (int k = 0; k < c->n_weights; k++) {
        sq_weight w = sq_params_find(d.p, c->weights[k].name);
        sq_status s = sq_weight_grad_f64(t, w, g);
        cr_assert(s == SQ_OK, "%s", sq_message(t));
        agree(c->kind, c->weights[k].name, g, c->weights[k].grad,
              sq_shape_size(sq_weight_shape(d.p, w)));
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(d.p);
}

Test(sequence, deep_bidirectional_networks_are_those_of_pytorch)
{
    for (int k = 0; k < COUNT(ragged_cases); k++)
        for (int way = 0; way < 8; way++)
            against_torch(&ragged_cases[k],
                          &(sq_unroll_options){ .mode = way & 1 ? SQ_PLAN : SQ_EAGER,
                                                .lengths = LENGTHS,
                                                .keep_padding = way & 2,
                                                .every = way & 4 ? 2 : 0 });
}

/* What lies behind the ends may be no number. */
Test(sequence, padding_of_deep_networks_may_be_anything)
{
    int32_t mask[T * B];
    sq_length_mask(LENGTHS, T, B, mask);
    for (int k = 0; k < COUNT(ragged_cases); k++)
        for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
            double x[T * B * I];
            ragged_case c = ragged_cases[k];
            memcpy(x, c.x, sizeof x);
            for (int i = 0; i < T * B * I; i++)
                if (mask[i / I] == 0) x[i] = (double)NAN;
            c.x = x;
            against_torch(&c,
                          &(sq_unroll_options){ .mode = (sq_mode)mode, .lengths = LENGTHS });
        }
}

/* ---- Rows --------------------------------------------------------------------------------- */

static sq_tape *tape_of(const double *values, sq_shape s, sq_var *x)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    *x = sq_leaf(t, s, values);
    return t;
}

Test(sequence, rows_are_turned_round_each_by_itself)
{
    double x[T * B * 6], y[T * B * 6], g[T * B * 6], r[T * B * 6];
    fill(x, COUNT(x), 1, -1, 1);
    fill(r, COUNT(r), 2, -1, 1);
    const sq_shape shapes[] = { sq_mat(T, B), sq_shape3(T, B, 6), { 4, { T, B, 2, 3 } } };
    for (int k = 0; k < COUNT(shapes); k++)
        for (int whole = 0; whole < 2; whole++) {
            sq_var in;
            sq_tape *t = tape_of(x, shapes[k], &in);
            const int32_t *lengths = whole ? NULL : LENGTHS;
            sq_var out = sq_reverse_rows(in, lengths), back = sq_reverse_rows(out, lengths);
            int64_t w = sq_shape_size(shapes[k]) / (T * B);
            BACKWARD(sq_sum(sq_mul(out, sq_input(t, shapes[k], r))));
            sq_copy(out, y);
            sq_grad_copy(in, g);
            for (int64_t i = 0; i < T * B * w; i++) {
                int64_t at = i / w / B, b = i / w % B, n = whole ? T : LENGTHS[b];
                int64_t from = ((at < n ? n - 1 - at : at) * B + b) * w + i % w;
                cr_expect(y[i] == x[from] && g[i] == r[from]);
            }
            sq_copy(back, y);
            EXPECT_SAME_BITS(x, y, (size_t)(T * B * w) * sizeof *x, "twice reversed");
            sq_tape_free(t);
        }
}

/* Rows of no length, padding that is no number. */
Test(sequence, padding_is_cleared_and_last_rows_are_found)
{
    static const int32_t lengths[B] = { 0, T, 3, 1 };
    double x[T * B * 2], y[T * B * 2], g[T * B * 2], last[B * 2];
    fill(x, COUNT(x), 1, -1, 1);
    for (int i = 0; i < T * B * 2; i++)
        if (i / 2 / B >= lengths[i / 2 % B]) x[i] = (double)NAN;
    sq_var in;
    sq_tape *t = tape_of(x, sq_shape3(T, B, 2), &in);
    sq_var out = sq_clear_padding(in, lengths), l = sq_last_rows(in, lengths);
    cr_expect(same_var(in, sq_clear_padding(in, NULL)));
    BACKWARD(sq_add(sq_sum(sq_square(out)), sq_sum(sq_square(l))));
    sq_copy(out, y);
    sq_copy(l, last);
    sq_grad_copy(in, g);
    for (int i = 0; i < T * B * 2; i++) {
        int step = i / 2 / B, b = i / 2 % B;
        bool taken = step < lengths[b], is_last = step == lengths[b] - 1;
        cr_expect(y[i] == (taken ? x[i] : 0));
        cr_expect(g[i] == (taken ? (2 + 2 * is_last) * x[i] : 0));
        if (is_last) cr_expect(last[b * 2 + i % 2] == x[i]);
    }
    cr_expect(last[0] == 0 && last[1] == 0, "a row of no length");
    sq_tape_free(t);
}

Test(sequence, of_no_steps_and_of_no_rows)
{
    static const int32_t zeros[B] = { 0 };
    for (int k = 0; k < 2; k++) {
        sq_var x;
        sq_tape *t = tape_of((double[]){ 0 }, sq_shape3(k ? 0 : T, k ? B : 0, 2), &x);
        cr_expect(sq_shape_equal(sq_shape_of(sq_reverse_rows(x, zeros)), sq_shape_of(x)));
        cr_expect(sq_shape_equal(sq_shape_of(sq_clear_padding(x, zeros)), sq_shape_of(x)));
        cr_expect(sq_shape_equal(sq_shape_of(sq_last_rows(x, zeros)), sq_mat(k ? B : 0, 2)));
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

/* ---- Losses ------------------------------------------------------------------------------- */

Test(sequence, losses_over_time_are_those_of_pytorch)
{
    double logits[T * B * C], each[T * B], g[T * B * C];
    int32_t labels[T * B], mask[T * B];
    memcpy(logits, ragged_logits, sizeof logits);
    memcpy(labels, ragged_labels, sizeof labels);
    cr_expect(sq_length_mask(LENGTHS, T, B, mask) == 4 + 7 + 1 + 5);
    for (int i = 0; i < T * B * C; i++)
        if (!mask[i / C]) logits[i] = (double)NAN, labels[i / C] = -9;
    for (int how = 0; how < 3; how++) {
        sq_var z;
        sq_tape *t = tape_of(how < 2 ? logits : ragged_logits, sq_shape3(T, B, C), &z);
        sq_var l = sq_cross_entropy_steps(z, labels, LENGTHS);
        sq_var mean = how == 0   ? sq_mean_over_steps(l, LENGTHS)
                      : how == 1 ? sq_mean_over_sequences(l, LENGTHS)
                                 : sq_cross_entropy(z, labels, mask, SQ_MEAN);
        cr_assert(sq_ok(mean), "%s", sq_message(t));
        BACKWARD(mean);
        sq_copy(l, each);
        sq_grad_copy(z, g);
        EXPECT_ALL_NEAR(each, ragged_cross_entropy, T * B, 1e-12, "cross-entropy");
        EXPECT_NEAR(sq_item(mean), how == 1 ? *ragged_mean_sequences : *ragged_mean_steps,
                    1e-12, "means");
        EXPECT_ALL_NEAR(g, how == 1 ? ragged_mean_sequences_grad : ragged_mean_steps_grad,
                        T * B * C, 1e-12, "their gradients");
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

/* A row without a step counts in neither mean. */
Test(sequence, empty_rows_have_no_weight)
{
    static const int32_t lengths[3] = { 2, 0, 1 };
    double nan = (double)NAN, l[2 * 3] = { 1, nan, 10, 3, nan, nan };
    sq_var x;
    sq_tape *t = tape_of(l, sq_mat(2, 3), &x);
    EXPECT_NEAR(sq_item(sq_mean_over_steps(x, lengths)), 14. / 3, 1e-15, "over steps");
    EXPECT_NEAR(sq_item(sq_mean_over_sequences(x, lengths)), 6, 1e-15, "over sequences");
    sq_tape_free(t);
    t = tape_of((double[]){ 1, 2, 3, 4, 5, 9 }, sq_mat(2, 3), &x);
    EXPECT_NEAR(sq_item(sq_mean_over_steps(x, NULL)), 4, 1e-15, "without lengths");
    EXPECT_NEAR(sq_item(sq_mean_over_sequences(x, NULL)), 4, 1e-15, "without lengths");
    sq_tape_free(t);
}

/* ---- Layers ------------------------------------------------------------------------------- */

/* Two LSTMs as wide as the input. */
typedef struct square {
    sq_params *p;
    any_cell w[2];
    sq_cell cell[2];
    sq_layer layers[2];
    double x[T * B * H];
} square;

static void square_new(square *s, int64_t second)
{
    memset(s, 0, sizeof *s);
    s->p = sq_params_new(SQ_F64);
    s->cell[0] = one_layer(&s->w[0], s->p, "0", 3, H, H, 1);
    s->cell[1] = one_layer(&s->w[1], s->p, "1", 3, second, H, 2);
    for (int k = 0; k < 2; k++) s->layers[k].forward = &s->cell[k];
    fill(s->x, COUNT(s->x), 9, -1, 1);
}

static sq_var unrolled(sq_tape *t, const sq_cell *cell, sq_var x, bool reverse)
{
    return sq_unrolled_outputs(sq_unroll(
        t, cell, x, NULL, &(sq_unroll_options){ .lengths = LENGTHS, .reverse = reverse }));
}

/* Two variables of the same values, whose losses have the same gradient at x. */
static void expect_same(sq_tape *t, sq_var a, sq_var b, sq_var x, double tol, const char *what)
{
    enum { MOST = T * B * 2 * H };
    double va[MOST], vb[MOST], ga[MOST], gb[MOST], r[MOST];
    int64_t n = sq_shape_size(sq_shape_of(b)), m = sq_shape_size(sq_shape_of(x));
    cr_assert(sq_ok(a) && sq_ok(b), "%s", sq_message(t));
    cr_assert(sq_shape_equal(sq_shape_of(a), sq_shape_of(b)), "%s", what);
    fill(r, n, 5, -1, 1);
    sq_var mix = sq_input(t, sq_shape_of(b), r);
    sq_copy(a, va);
    sq_copy(b, vb);
    sq_zero_grads(t);
    BACKWARD(sq_sum(sq_mul(a, mix)));
    sq_grad_copy(x, ga);
    sq_zero_grads(t);
    BACKWARD(sq_sum(sq_mul(b, mix)));
    sq_grad_copy(x, gb);
    EXPECT_ALL_NEAR(va, vb, n, tol, what);
    EXPECT_ALL_NEAR(ga, gb, m, tol, what);
}

static sq_var joined(sq_var a, sq_var b) { return sq_concat((const sq_var[]){ a, b }, 2, 2); }

/* Each way of connecting layers against what it says, written out; padding is no number. */
Test(sequence, layers_are_connected_as_they_say)
{
    for (int way = 0; way < 4; way++) {
        square s;
        square_new(&s, way == 2 ? 2 * H : H);
        for (int i = 0; i < T * B * H; i++)
            if (i / H / B >= LENGTHS[i / H % B]) s.x[i] = (double)NAN;
        sq_tape *t = sq_tape_new(SQ_F64, s.p);
        sq_var x = sq_leaf(t, sq_shape3(T, B, H), s.x), clear = sq_clear_padding(x, LENGTHS);
        sq_layers_options o = { .unroll = { .lengths = LENGTHS }, .join = way == 3 };
        for (int k = 0; k < 2; k++) {
            s.layers[k].residual = way == 1;
            s.layers[k].skip = way == 2;
        }
        sq_var y0 = unrolled(t, &s.cell[0], x, false);
        if (way == 1) y0 = sq_add(y0, clear);
        sq_var y1 = unrolled(t, &s.cell[1], way == 2 ? joined(y0, clear) : y0, false);
        if (way == 1) y1 = sq_add(y1, y0);
        sq_var want = way == 3 ? joined(y0, y1) : y1;
        sq_var got = sq_layers(t, s.layers, 2, x, &o, NULL);
        expect_same(t, got, want, x, 1e-14, "layers");
        sq_tape_free(t);
        sq_params_free(s.p);
    }
}

/* The backward direction is the forward one between two reversals. */
Test(sequence, both_directions_are_joined)
{
    square s;
    square_new(&s, H);
    sq_unroll_options o = { .lengths = LENGTHS };
    sq_tape *t = sq_tape_new(SQ_F64, s.p);
    sq_var x = sq_leaf(t, sq_shape3(T, B, H), s.x);
    sq_var f = unrolled(t, &s.cell[0], x, false);
    sq_var b =
        sq_reverse_rows(unrolled(t, &s.cell[1], sq_reverse_rows(x, LENGTHS), false), LENGTHS);
    sq_directions d = sq_bidirectional(t, &s.cell[0], &s.cell[1], x, NULL, NULL, &o);
    expect_same(t, d.outputs, joined(f, b), x, 1e-14, "all outputs");
    o.outputs = SQ_OUTPUTS_LAST;
    d = sq_bidirectional(t, &s.cell[0], &s.cell[1], x, NULL, NULL, &o);
    sq_var last[2] = { sq_last_rows(f, LENGTHS), sq_slice(b, 0, 0, 1) };
    last[1] = sq_reshape(last[1], sq_mat(B, H));
    expect_same(t, d.outputs, sq_concat(last, 2, 1), x, 1e-14, "last outputs");
    o.outputs = SQ_OUTPUTS_SUM;
    d = sq_bidirectional(t, &s.cell[0], &s.cell[1], x, NULL, NULL, &o);
    expect_same(t, d.outputs, sq_sum_axis(joined(f, b), 0), x, 1e-14, "sums");
    o.outputs = SQ_OUTPUTS_NONE;
    d = sq_bidirectional(t, &s.cell[0], &s.cell[1], x, NULL, NULL, &o);
    cr_expect(d.forward != NULL && !sq_ok(d.outputs));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(s.p);
}

/* Who leaves a direction out gets the other one alone, in every form of outputs; so does a layer. */
Test(sequence, a_direction_may_be_missing)
{
    square s;
    square_new(&s, H);
    sq_tape *t = sq_tape_new(SQ_F64, s.p);
    sq_var x = sq_leaf(t, sq_shape3(T, B, H), s.x);
    for (int back = 0; back < 2; back++) {
        const sq_cell *f = back ? NULL : &s.cell[0], *b = back ? &s.cell[0] : NULL;
        for (int how = SQ_OUTPUTS_ALL; how <= SQ_OUTPUTS_NONE; how++) {
            sq_unroll_options o = { .lengths = LENGTHS, .outputs = (sq_outputs)how };
            sq_directions d = sq_bidirectional(t, f, b, x, NULL, NULL, &o);
            ASSERT_HEALTHY(t);
            bool ran[2] = { d.forward != NULL, d.backward != NULL };
            cr_expect(ran[back] && ran[0] + ran[1] == 1);
            o.reverse = back;
            sq_var want = sq_unrolled_outputs(sq_unroll(t, &s.cell[0], x, NULL, &o));
            if (how == SQ_OUTPUTS_NONE) cr_expect_eq(d.outputs.id, 0);
            else expect_same(t, d.outputs, want, x, 0, "one direction");
        }
        sq_layers_options o = { .unroll.lengths = LENGTHS };
        sq_var y =
            sq_layers(t, (sq_layer[]){ { .forward = f, .backward = b } }, 1, x, &o, NULL);
        expect_same(t, y, unrolled(t, &s.cell[0], x, back), x, 0, "one layer");
    }
    sq_tape_free(t);
    sq_params_free(s.p);
}

/* Several sequences behind each other in a row are what each is alone, in both directions and through
 * two layers; a step that is sat out is not there. Row by row and sequence by sequence. */
static void expect_sequences_alone(const square *s, const sq_layer *layers, int n, bool masked)
{
    int32_t mask[T * B], resets[T * B];
    rng r = { masked };
    for (int i = 0; i < T * B; i++) {
        mask[i] = masked ? rng_below(&r, 3) > 0 : i / B < LENGTHS[i % B];
        resets[i] = rng_below(&r, 3) == 0;
    }
    sq_tape *t = sq_tape_new(SQ_F64, s->p);
    sq_layers_options o = { .unroll = { .resets = resets,
                                        .lengths = masked ? NULL : LENGTHS,
                                        .mask = masked ? mask : NULL } };
    sq_var x = sq_leaf(t, sq_shape3(T, B, H), s->x);
    sq_var y = sq_layers(t, layers, n, x, &o, NULL);
    int64_t wide = sq_shape_of(y).dim[2];
    for (int b = 0; b < B; b++)
        for (int from = 0, to; from < T; from = to) {
            sq_var got[T], in[T];
            int steps = 0;
            for (to = from; to < T; to++) {
                if (!mask[to * B + b]) continue;
                if (steps && resets[to * B + b]) break;
                sq_var of[2] = { sq_slice(sq_slice(x, 0, to, 1), 1, b, 1),
                                 sq_slice(sq_slice(y, 0, to, 1), 1, b, 1) };
                in[steps] = sq_reshape(of[0], sq_mat(1, H));
                got[steps++] = sq_reshape(of[1], sq_mat(1, wide));
            }
            if (!steps) continue;
            sq_var alone = sq_layers(t, layers, n, sq_stack(in, steps), NULL, NULL);
            expect_same(t, sq_stack(got, steps), alone, x, 1e-13, "a sequence of a row");
        }
    sq_tape_free(t);
}

Test(sequence, both_directions_begin_anew_at_the_same_borders)
{
    square s;
    square_new(&s, 2 * H);
    sq_layer layers[2] = { { .forward = &s.cell[0], .backward = &s.cell[0] },
                           { .forward = &s.cell[1], .backward = &s.cell[1] } };
    sq_layer back = { .backward = &s.cell[0] };
    for (int masked = 0; masked < 2; masked++) {
        expect_sequences_alone(&s, layers, 2, masked);
        expect_sequences_alone(&s, &back, 1, masked);
    }
    sq_params_free(s.p);
}

/* A cell that gives its input out: what it is given can be seen. */
static sq_var echo_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self, (void)h;
    return sq_mul_scalar(x, 1);
}

static const sq_cell echo = { "echo", 0, NULL, NULL, echo_step, NULL };

/* Kept elements are 1/(1 - rate) times what they were; about the rate is dropped; per sequence the same
 * ones in all steps. */
Test(sequence, dropout_between_layers)
{
    enum { STEPS = 40, ROWS = 8, WIDTH = 16, N = STEPS * ROWS * WIDTH };
    static double x[N], y[N], z[N];
    const sq_layer layers[2] = { { .forward = &echo }, { .forward = &echo } };
    for (int i = 0; i < N; i++) x[i] = 1;
    for (int how = 0; how < 2; how++) {
        sq_params *p = sq_params_new(SQ_F64);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_var in = sq_leaf(t, sq_shape3(STEPS, ROWS, WIDTH), x);
        sq_layers_options o = { .dropout = .25, .drop = how ? SQ_PER_SEQUENCE : SQ_PER_STEP };
        sq_var out = sq_layers(t, layers, 2, in, &o, NULL);
        cr_assert(sq_ok(out), "%s", sq_message(t));
        sq_copy(out, y);
        BACKWARD(sq_sum(out));
        sq_grad_copy(in, z);
        int dropped = 0, changed = 0;
        for (int i = 0; i < N; i++) {
            cr_assert(y[i] == 0 || fabs(y[i] - 4. / 3) < 1e-15);
            dropped += y[i] == 0;
            changed += i >= ROWS * WIDTH && y[i] != y[i - ROWS * WIDTH];
        }
        EXPECT_SAME_BITS(y, z, sizeof y, "the gradient meets the same mask");
        double share = (double)dropped / N;
        cr_expect(fabs(share - .25) < (how ? .12 : .025), "%g", share);
        cr_expect(how ? changed == 0 : changed > N / 4, "%d", changed);
        sq_tape_free(t);
        sq_params_free(p);
    }
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

static sq_var scalar_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self, (void)h;
    return sq_sum(x);
}

static sq_var silent_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)self, (void)h, (void)x;
    return (sq_var){ t, 0 };
}

static void expect_sentence(sq_tape *t, sq_var v, sq_status status, const char *sentence)
{
    bool made = sq_ok(v);
    cr_expect(made == false, "%s", sentence);
    EXPECT_CONTAINS(sq_message(t), sentence);
    EXPECT_STATUS(t, status);
    sq_tape_reset(t);
}

#define X sq_leaf(t, sq_shape3(T, B, H), s.x)

Test(sequence, mistakes_of_rows_and_losses_are_sentences)
{
    square s;
    square_new(&s, H + 1);
    static const int32_t longer[B] = { 1, 1, T + 1, 1 }, none[B] = { 0 };
    int32_t labels[T * B] = { 0 };
    sq_tape *t = sq_tape_new(SQ_F64, s.p);
    expect_sentence(t, sq_reverse_rows(X, longer), SQ_ERANGE,
                    "row 2 has length 8: it lies in 0..7");
    expect_sentence(t, sq_clear_padding(X, longer), SQ_ERANGE, "row 2 has length 8");
    expect_sentence(t, sq_last_rows(X, longer), SQ_ERANGE, "row 2 has length 8");
    expect_sentence(t, sq_reverse_rows(sq_constant(t, 1), NULL), SQ_ESHAPE,
                    "[] is no sequence");
    expect_sentence(t, sq_cross_entropy_steps(X, NULL, NULL), SQ_EVALUE, "the labels are NULL");
    labels[B + 1] = H;
    expect_sentence(t, sq_cross_entropy_steps(X, labels, NULL), SQ_ERANGE,
                    "label 2 at step 1 of row 1 is outside 0..1");
    expect_sentence(t, sq_cross_entropy_steps(sq_zeros(t, sq_mat(T, B)), labels, NULL),
                    SQ_ESHAPE, "the logits have shape [7,4], not [T,B,C]");
    expect_sentence(t, sq_mean_over_steps(X, NULL), SQ_ESHAPE, "the losses have shape [7,4,2]");
    sq_var zeros = sq_zeros(t, sq_mat(T, B));
    expect_sentence(t, sq_mean_over_steps(zeros, none), SQ_ESHAPE, "no row has a step");
    zeros = sq_zeros(t, sq_mat(T, B));
    expect_sentence(t, sq_mean_over_sequences(zeros, none), SQ_ESHAPE, "no row has a step");
    sq_tape_free(t);
    sq_params_free(s.p);
}

Test(sequence, mistakes_of_directions_and_layers_are_sentences)
{
    square s;
    square_new(&s, H + 1);
    const sq_cell scalar = { "scalar", 0, NULL, NULL, scalar_step, NULL };
    const sq_cell silent = { "silent", 0, NULL, NULL, silent_step, NULL };
    sq_tape *t = sq_tape_new(SQ_F64, s.p);
    sq_directions d = sq_bidirectional(t, &echo, &echo, X, NULL, NULL,
                                       &(sq_unroll_options){ .reverse = true });
    expect_sentence(t, d.outputs, SQ_EVALUE, "reverse is said of one direction");
    d = sq_bidirectional(t, NULL, NULL, X, NULL, NULL, NULL);
    expect_sentence(t, d.outputs, SQ_EVALUE, "bidirectional: there is no cell");
    d = sq_bidirectional(t, &scalar, &scalar, X, NULL, NULL,
                         &(sq_unroll_options){ .outputs = SQ_OUTPUTS_SUM });
    expect_sentence(t, d.outputs, SQ_ESHAPE, "outputs of shape [] cannot be joined");
    cr_expect(d.forward == NULL && d.backward == NULL);
    d = sq_bidirectional(t, &echo, &silent, X, NULL, NULL,
                         &(sq_unroll_options){ .outputs = SQ_OUTPUTS_LAST });
    expect_sentence(t, d.outputs, SQ_ESHAPE, "only one of the directions");

    expect_sentence(t, sq_layers(t, s.layers, 0, X, NULL, NULL), SQ_EVALUE,
                    "there are no layers");
    sq_layers_options o = { .unroll.outputs = SQ_OUTPUTS_SUM };
    expect_sentence(t, sq_layers(t, s.layers, 1, X, &o, NULL), SQ_EVALUE, "SQ_OUTPUTS_ALL");
    o = (sq_layers_options){ .unroll.reverse = true };
    expect_sentence(t, sq_layers(t, s.layers, 1, X, &o, NULL), SQ_EVALUE, "not of layers");
    o = (sq_layers_options){ .dropout = (double)NAN };
    expect_sentence(t,
                    sq_layers(t, (sq_layer[]){ { .forward = &echo }, { .forward = &echo } }, 2,
                              X, &o, NULL),
                    SQ_ERANGE, "layers: the rate must lie in [0,1)");
    o.dropout = 1;
    expect_sentence(t, sq_layers(t, s.layers, 1, X, &o, NULL), SQ_ERANGE,
                    "layers: the rate must lie in [0,1)");
    sq_layer wide = { .forward = &echo, .backward = &echo, .residual = true };
    expect_sentence(t, sq_layers(t, &wide, 1, X, NULL, NULL), SQ_ESHAPE,
                    "layer 0 gives [7,4,4] and cannot be added to its input [7,4,2]");
    sq_layer flat = { .forward = &scalar };
    expect_sentence(t, sq_layers(t, &flat, 1, X, NULL, NULL), SQ_ESHAPE,
                    "layer 0 does not give rows");
    sq_tape_free(t);
    sq_params_free(s.p);
}
