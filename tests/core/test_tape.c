/* test_tape.c -- the life of a tape: making, steps, values in and out, marks, weights and their
 * versions, statistics, random streams, and params shared by tapes on two threads.
 *
 * Gradients appear here only where they tell which value or weight was recorded; sweeps have
 * their own file. */
#include "core/tape_impl.h"
#include "tests/support/support.h"

#include <pthread.h>

Test(tape, the_program_of_the_umbrella_header)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 0.5 });
    sq_var y = sq_mul(x, sq_tanh(x));
    BACKWARD(y);
    double th = tanh(.5);
    EXPECT_NEAR(sq_item(y), .5 * th, 1e-15, "y");
    EXPECT_NEAR(sq_grad_item(x), th + .5 * (1 - th * th), 1e-15, "dy/dx");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, a_new_tape_is_empty_and_healthy)
{
    for (int d = 0; d < 2; d++) {
        sq_tape *t = sq_tape_new((sq_dtype)d, NULL);
        cr_assert(t != NULL);
        ASSERT_HEALTHY(t);
        EXPECT_TEXT(sq_message(t), "");
        cr_expect(sq_tape_dtype(t) == (sq_dtype)d);
        cr_expect(sq_tape_params(t) == NULL);
        cr_expect(sq_current_step(t) == -1);
        sq_tape_stats s = sq_tape_statistics(t);
        cr_expect(s.steps == 0 && s.nodes == 0, "%lld steps, %lld nodes", (long long)s.steps,
                  (long long)s.nodes);
        sq_tape_free(t);
    }
    sq_tape_free(NULL);
}

Test(tape, steps_count_from_zero_and_again_after_reset)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_end_step(t);
    cr_expect(sq_current_step(t) == -1, "ending no step does nothing");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5; i++) {
            sq_begin_step(t);
            cr_expect(sq_current_step(t) == i);
            sq_constant(t, i);
            if (i == 2) sq_end_step(t);
            cr_expect(sq_current_step(t) == (i == 2 ? -1 : i));
            EXPECT_SOUND(t);
        }
        cr_expect(sq_tape_statistics(t).steps == 5);
        sq_tape_reset(t);
        cr_expect(sq_current_step(t) == -1);
        cr_expect(sq_tape_statistics(t).steps == 0);
    }
    sq_tape_free(t);
}

Test(tape, empty_steps_are_steps)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    for (int i = 0; i < 4; i++) sq_begin_step(t);
    cr_expect(sq_current_step(t) == 3);
    cr_expect(sq_tape_statistics(t).steps == 4);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, inputs_are_copied_in_and_converted)
{
    for (int d = 0; d < 2; d++) {
        sq_tape *t = sq_tape_new((sq_dtype)d, NULL);
        float f[6] = { 1, -2.5f, 3, 4, 0, 1e-3f }, fo[6];
        double g[6] = { 1, -2.5, 3, 4, 0, .125 }, go[6];
        sq_var a = sq_input(t, sq_mat(2, 3), f), b = sq_leaf(t, sq_shape3(1, 6, 1), g);
        f[0] = 99;
        g[0] = 99;
        cr_expect(sq_copy(a, fo) == SQ_OK && sq_copy(b, go) == SQ_OK);
        f[0] = 1;
        g[0] = 1;
        EXPECT_SAME_BITS(f, fo, sizeof f, "floats");
        EXPECT_SAME_BITS(g, go, sizeof g, "doubles");
        cr_expect(sq_copy(a, go) == SQ_OK);
        for (int i = 0; i < 6; i++) cr_expect(go[i] == (double)f[i]);
        cr_expect(sq_shape_equal(sq_shape_of(a), sq_mat(2, 3)));
        cr_expect(sq_shape_equal(sq_shape_of(b), sq_shape3(1, 6, 1)));
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
    }
}

Test(tape, constants)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double v[4];
    sq_copy(sq_zeros(t, sq_mat(2, 2)), v);
    for (int i = 0; i < 4; i++) cr_expect(v[i] == 0 && !signbit(v[i]));
    sq_copy(sq_full(t, sq_vec(4), -1.5), v);
    for (int i = 0; i < 4; i++) cr_expect(v[i] == -1.5);
    cr_expect(sq_item(sq_constant(t, 7)) == 7);
    cr_expect(sq_shape_of(sq_constant(t, 7)).rank == 0);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, recycled_memory_does_not_leak_into_zeros)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double v[1000];
    for (int round = 0; round < 5; round++) {
        sq_begin_step(t);
        sq_copy(sq_zeros(t, sq_vec(1000)), v);
        for (int i = 0; i < 1000; i++) cr_assert(v[i] == 0, "round %d, element %d", round, i);
        sq_full(t, sq_vec(1000), 3 + round);
        sq_full(t, sq_vec(4000), (double)NAN);
        if (round % 2) sq_tape_reset(t);
        else sq_cut(t, 0, NULL, 0);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, tensors_without_elements)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var a = sq_zeros(t, sq_mat(0, 3)), b = sq_leaf(t, sq_mat(0, 3), (double[]){ 0 });
    sq_var s = sq_sum(sq_tanh(sq_add(a, b)));
    cr_expect(sq_item(s) == 0);
    BACKWARD(s);
    double nothing;
    cr_expect(sq_copy(b, &nothing) == SQ_OK && sq_grad_copy(b, &nothing) == SQ_OK);
    cr_expect(sq_norm(b) == 0 && sq_grad_norm(b) == 0);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, item_wants_one_element_of_any_rank)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    cr_expect(sq_item(sq_full(t, sq_mat(1, 1), 2)) == 2);
    cr_expect(sq_item(sq_full(t, sq_vec(1), 3)) == 3);
    ASSERT_HEALTHY(t);
    cr_expect(isnan(sq_item(sq_full(t, sq_vec(2), 3))));
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}

Test(tape, norms_are_summed_in_double)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    EXPECT_NEAR(sq_norm(sq_full(t, sq_mat(30, 40), .5)), .5 * sqrt(1200), 1e-12, "norm");
    EXPECT_NEAR(sq_norm(sq_full(t, sq_vec(2), 1e30)), (double)1e30f * sqrt(2), 1e-12,
                "no overflow");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, views_read_in_place_and_only_in_the_tape_s_precision)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    sq_var a = sq_full(t, sq_vec(3), 2);
    const float *v = sq_view_f32(a);
    cr_assert(v != NULL);
    cr_expect(v[0] == 2 && v[2] == 2);
    cr_expect(sq_view_f64(a) == NULL);
    EXPECT_ERROR(t, SQ_EDTYPE);
    sq_tape_free(t);
    t = sq_tape_new(SQ_F64, NULL);
    a = sq_full(t, sq_vec(3), 2);
    cr_assert(sq_view_f64(a) != NULL);
    cr_expect(sq_view_f64(a)[1] == 2);
    cr_expect(sq_view_f32(a) == NULL);
    EXPECT_ERROR(t, SQ_EDTYPE);
    sq_tape_free(t);
}

Test(tape, names_are_copied_and_told)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    char text[8] = "gate";
    sq_var a = sq_constant(t, 1), b = sq_constant(t, 2);
    cr_expect(same_var(sq_name(a, text), a));
    cr_expect(same_var(sq_keep_grad(a), a));
    text[0] = 'X';
    EXPECT_TEXT(sq_name_of(a), "gate");
    EXPECT_TEXT(sq_name_of(b), "");
    sq_name(a, "other");
    EXPECT_TEXT(sq_name_of(a), "other");
    char longer[3000];
    memset(longer, 'n', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    sq_name(b, longer);
    EXPECT_TEXT(sq_name_of(b), longer);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, detach_keeps_the_value_and_stops_the_gradient)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 3 });
    sq_begin_step(t);
    sq_var y = sq_mul(sq_detach(sq_square(x)), x);
    cr_expect(sq_item(y) == 27);
    BACKWARD(y);
    cr_expect(sq_grad_item(x) == 9, "got %g", sq_grad_item(x));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

Test(tape, a_weight_taken_again_in_a_step_is_the_same_variable)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    cr_expect(sq_tape_params(t) == p);
    for (int i = 0; i < 3; i++) {
        if (i) sq_begin_step(t);
        sq_var a = sq_use(t, w);
        sq_square(a);
        int64_t nodes = sq_tape_statistics(t).nodes;
        cr_expect(same_var(a, sq_use(t, w)));
        cr_expect(sq_tape_statistics(t).nodes == nodes, "taking it again records nothing");
        cr_expect(sq_item(a) == 2);
    }
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(tape, a_weight_added_after_the_tape_was_made_joins_it)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight a = add_number(p, "a", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    BACKWARD(sq_square(sq_use(t, a)));
    cr_expect(number_grad(t, a) == 4);
    sq_weight b = sq_params_add(p, "b", sq_vec(300));
    sq_weight c = add_number(p, "c", 5);
    cr_expect(number_grad(t, a) == 4, "growing keeps what was accumulated");
    sq_tape_reset(t);
    sq_var loss = sq_mul(sq_use(t, a), sq_mul(sq_use(t, c), sq_sum(sq_exp(sq_use(t, b)))));
    BACKWARD(loss);
    EXPECT_NEAR(number_grad(t, a), 4 + 5 * 300, 1e-14, "a");
    EXPECT_NEAR(number_grad(t, c), 2 * 300, 1e-14, "c");
    double gb[300];
    cr_expect(sq_weight_grad(t, b, gb) == SQ_OK);
    for (int i = 0; i < 300; i++) cr_expect(gb[i] == 10);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* h_t = w h_(t-1) over windows recorded before and after an update of w. Each window must be
 * differentiated through the weight it was made with:
 *     h_6 = v^3 w^3 h_0,   the sum of the gradients of w and v =
 *           3 v^3 w^2 h_0 + 3 v^2 w^3 h_0. */
Test(versions, steps_keep_the_weights_they_were_recorded_with)
{
    const double w0 = .5, w1 = -2, h0 = 3;
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", w0);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var h = sq_constant(t, h0), first = { 0 };
    for (int i = 0; i < 6; i++) {
        if (i == 3) cr_assert(sq_weight_set(p, w, &w1) == SQ_OK);
        sq_begin_step(t);
        sq_var use = sq_use(t, w);
        if (i == 0) first = use;
        h = sq_mul(use, h);
    }
    cr_expect(sq_item(h) == w0 * w0 * w0 * w1 * w1 * w1 * h0);
    cr_expect(sq_item(first) == w0, "an old weight variable still reads the old value");
    BACKWARD(h);
    double want = 3 * w1 * w1 * w1 * w0 * w0 * h0 + 3 * w1 * w1 * w0 * w0 * w0 * h0;
    EXPECT_NEAR(number_grad(t, w), want, 1e-15, "dL/dw over both versions");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* The same with an LSTM. The oracle runs the steps before and after the update on two tapes of
 * their own params, and hands states forward and gradients back as numbers. */
enum { V_B = 2, V_I = 2, V_H = 3, V_T = 8, V_UPDATE = 5 };

typedef struct piece {
    sq_tape *t;
    sq_var start[2], s[2];
} piece;

static void begin_piece(piece *p, const net *n, const double *h, const double *c)
{
    p->t = sq_tape_new(SQ_F64, n->params);
    p->start[0] = p->s[0] = sq_leaf(p->t, sq_mat(V_B, V_H), h);
    p->start[1] = p->s[1] = sq_leaf(p->t, sq_mat(V_B, V_H), c);
}

static void steps_of(piece *p, const net *n, const double *x, int from, int to)
{
    for (int i = from; i < to; i++) {
        sq_begin_step(p->t);
        sq_var in = sq_input(p->t, sq_mat(V_B, V_I), x + i * V_B * V_I);
        n->cell.step(p->t, n->cell.self, in, p->s);
    }
    sq_end_step(p->t);
}

Test(versions, overlapping_windows_of_an_lstm_equal_runs_with_each_version)
{
    enum { SIZE = V_B * V_H };
    double x[V_T * V_B * V_I], start[2][SIZE], border[2][SIZE], back[2][SIZE], got[SIZE],
        want[SIZE];
    fill(x, COUNT(x), 5, -1, 1);
    fill(start[0], SIZE, 6, -1, 1);
    fill(start[1], SIZE, 7, -1, 1);
    net updated, old, now;
    net_new(&updated, SQ_F64, V_I, V_H, 11);
    net_new(&old, SQ_F64, V_I, V_H, 11);
    net_new(&now, SQ_F64, V_I, V_H, 12);
    piece whole, first, second;

    begin_piece(&whole, &updated, start[0], start[1]);
    steps_of(&whole, &updated, x, 0, V_UPDATE);
    memcpy(sq_params_update(updated.params), sq_params_view(now.params),
           params_bytes(now.params));
    steps_of(&whole, &updated, x, V_UPDATE, V_T);
    BACKWARD(sq_sum(sq_square(whole.s[0])));
    ASSERT_HEALTHY(whole.t);

    begin_piece(&first, &old, start[0], start[1]);
    steps_of(&first, &old, x, 0, V_UPDATE);
    for (int k = 0; k < 2; k++) sq_copy(first.s[k], border[k]);
    begin_piece(&second, &now, border[0], border[1]);
    steps_of(&second, &now, x, V_UPDATE, V_T);
    BACKWARD(sq_sum(sq_square(second.s[0])));
    for (int k = 0; k < 2; k++) {
        sq_grad_copy(second.start[k], back[k]);
        first.s[k] = sq_sum(sq_mul(first.s[k], sq_input(first.t, sq_mat(V_B, V_H), back[k])));
    }
    BACKWARD(sq_add(first.s[0], first.s[1]));

    for (int k = 0; k < 2; k++) {
        sq_grad_copy(whole.start[k], got);
        sq_grad_copy(first.start[k], want);
        EXPECT_ALL_NEAR(got, want, SIZE, 1e-14, "initial states");
    }
    const double *gw = sq_grads(whole.t), *ga = sq_grads(first.t), *gb = sq_grads(second.t);
    for (int64_t i = 0; i < sq_params_size(old.params); i++)
        EXPECT_NEAR(gw[i], ga[i] + gb[i], 1e-14, "weight gradient");
    sq_tape_free(whole.t);
    sq_tape_free(first.t);
    sq_tape_free(second.t);
    net_free(&updated);
    net_free(&old);
    net_free(&now);
}

Test(versions, an_update_inside_a_step_asks_for_a_new_use)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 2);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_begin_step(t);
    sq_var old = sq_use(t, w), y = sq_square(old);
    cr_assert(sq_weight_set(p, w, (double[]){ 3 }) == SQ_OK);
    sq_var now = sq_use(t, w);
    cr_expect(same_var(old, now) == false);
    cr_expect(sq_item(now) == 3 && sq_item(old) == 2);
    sq_var loss = sq_add(y, sq_square(now));
    BACKWARD(loss);
    cr_expect(number_grad(t, w) == 2 * 2 + 2 * 3);
    sq_add(old, now);
    EXPECT_CONTAINS(sq_message(t), "weight w was taken before the update; call sq_use again");
    EXPECT_ERROR(t, SQ_EWEIGHT);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(versions, old_versions_live_no_longer_than_their_steps)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "w", sq_vec(1000));
    sq_tape *t = sq_tape_new(SQ_F64, p);
    size_t held = 0;
    for (int i = 0; i < 200; i++) {
        sq_begin_step(t);
        sq_var sum = sq_sum(sq_square(sq_use(t, w)));
        cr_expect(sq_item(sum) == 1000. * i * i);
        double *v = sq_params_update(p);
        cr_assert(v != NULL);
        for (int k = 0; k < 1000; k++) cr_assert(v[k] == i, "an update starts from a copy");
        for (int k = 0; k < 1000; k++) v[k] = i + 1;
        cr_expect(sq_item(sum) == 1000. * i * i);
        if (i % 3 == 2) sq_cut(t, 1, NULL, 0);
        if (i == 50) held = sq_tape_statistics(t).held_bytes;
    }
    cr_expect(sq_tape_statistics(t).held_bytes == held);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(statistics, held_memory_stays_over_resets)
{
    net n;
    net_new(&n, SQ_F32, 3, 8, 1);
    sq_tape *t = sq_tape_new(SQ_F32, n.params);
    double x[20 * 2 * 3];
    fill(x, COUNT(x), 3, -1, 1);
    sq_tape_stats first = { 0 };
    for (int round = 0; round < 20; round++) {
        sq_var v = sq_input(t, sq_shape3(20, 2, 3), x);
        const sq_unrolled *u = sq_unroll(t, &n.cell, v, NULL, NULL);
        BACKWARD(sq_sum(sq_unrolled_outputs(u)));
        sq_tape_stats s = sq_tape_statistics(t);
        if (round == 3) first = s;
        if (round > 3) {
            cr_expect(s.held_bytes == first.held_bytes, "round %d: %zu, not %zu", round,
                      s.held_bytes, first.held_bytes);
            cr_expect(s.value_bytes == first.value_bytes && s.nodes == first.nodes);
        }
        cr_expect(s.value_bytes <= s.held_bytes);
        sq_tape_reset(t);
        cr_expect(sq_tape_statistics(t).nodes == 0);
        EXPECT_SOUND(t);
    }
    sq_tape_free(t);
    net_free(&n);
}

Test(random, streams_depend_on_seed_serial_step_and_ordinal_alone)
{
    sq_tape *a = sq_tape_new(SQ_F64, NULL), *b = sq_tape_new(SQ_F32, NULL);
    sq_random seen[12];
    int n = 0;
    for (int serial = 0; serial < 2; serial++) {
        for (int step = -1; step < 2; step++) {
            if (step >= 0) {
                sq_begin_step(a);
                sq_begin_step(b);
                sq_constant(b, 1); /* what else is recorded does not matter */
            }
            for (int ordinal = 0; ordinal < 2; ordinal++) {
                sq_random r = sq_tape_random(a), s = sq_tape_random(b);
                EXPECT_SAME_BITS(&r, &s, sizeof r, "streams of two tapes");
                for (int i = 0; i < n; i++)
                    cr_expect(memcmp(&seen[i], &r, sizeof r) != 0, "%d and %d", i, n);
                seen[n++] = r;
            }
        }
        sq_tape_reset(a);
        sq_tape_reset(b);
    }
    sq_tape_set_seed(a, 7);
    sq_random r = sq_tape_random(a), s = sq_tape_random(b);
    cr_expect(memcmp(&r, &s, sizeof r) != 0, "the seed counts");
    sq_tape_free(a);
    sq_tape_free(b);
}

/* ---- One params, two tapes, two threads -------------------------------------------------- */

typedef struct job {
    const net *n;
    const double *x;
    void *grads;
    sq_status status;
} job;

enum { JOB_T = 30, JOB_B = 3, JOB_I = 4, JOB_H = 6 };

static void *train_once(void *arg)
{
    job *j = arg;
    sq_tape *t = sq_tape_new(SQ_F32, j->n->params);
    for (int round = 0; round < 10; round++) {
        sq_tape_reset(t);
        sq_zero_grads(t);
        sq_var x = sq_input_f64(t, sq_shape3(JOB_T, JOB_B, JOB_I), j->x);
        const sq_unrolled *u = sq_unroll(t, &j->n->cell, x, NULL, NULL);
        j->status = sq_backward(sq_sum(sq_square(sq_unrolled_outputs(u))));
    }
    void *g = sq_grads(t);
    if (g) memcpy(j->grads, g, params_bytes(j->n->params));
    sq_tape_free(t);
    return NULL;
}

Test(threads, two_tapes_share_one_params)
{
    net n;
    net_new(&n, SQ_F32, JOB_I, JOB_H, 21);
    double x[2][JOB_T * JOB_B * JOB_I];
    for (int i = 0; i < 2; i++) fill(x[i], COUNT(x[i]), 40 + (uint64_t)i, -1, 1);
    job alone[2], together[2];
    for (int i = 0; i < 2; i++) {
        size_t bytes = params_bytes(n.params);
        alone[i] = (job){ &n, x[i], calloc(1, bytes), SQ_ENOMEM };
        together[i] = (job){ &n, x[i], calloc(1, bytes), SQ_ENOMEM };
        train_once(&alone[i]);
        cr_assert(alone[i].status == SQ_OK);
    }
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        cr_assert(pthread_create(&thread[i], NULL, train_once, &together[i]) == 0);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        cr_expect(together[i].status == SQ_OK);
        EXPECT_SAME_BITS(alone[i].grads, together[i].grads, params_bytes(n.params), "threads");
        free(alone[i].grads);
        free(together[i].grads);
    }
    net_free(&n);
}

/* Root, steps and what lies between them never share a stream, however cuts fall. */
Test(randomness, streams_never_repeat_within_a_run)
{
    enum { N = 12 };
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    sq_random r[N];
    int n = 0;
    r[n++] = sq_tape_random(t);
    r[n++] = sq_tape_random(t);
    for (int i = 0; i < 2; i++) {
        sq_begin_step(t);
        r[n++] = sq_tape_random(t);
        r[n++] = sq_tape_random(t);
        sq_end_step(t);
        r[n++] = sq_tape_random(t);
        cr_assert(sq_cut(t, 0, NULL, 0) == SQ_OK);
        r[n++] = sq_tape_random(t);
        cr_assert(sq_cut(t, 0, NULL, 0) == SQ_OK);
        r[n++] = sq_tape_random(t);
    }
    cr_assert(n == N);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < i; k++)
            cr_expect(memcmp(&r[i], &r[k], sizeof r[i]) != 0, "%d and %d", k, i);
    sq_tape_free(t);
}

/* Broken on purpose: the checker must see it, and see it gone. */
Test(checker, sees_values_and_views_that_lie_elsewhere)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_mat(2, 3), ((double[]){ 1, 2, 3, 4, 5, 6 }));
    sq_begin_step(t);
    sq_var y = sq_square(x), view = sq_reshape(y, sq_vec(6));
    sq_begin_step(t);
    sq_var copy = sq_reshape(y, sq_vec(6));
    BACKWARD(sq_sum(sq_mul(copy, view)));
    ASSERT_HEALTHY(t);
    double elsewhere[6] = { 0 };
    sq_var all[] = { x, y, view, copy };
    for (int i = 0; i < COUNT(all); i++) {
        sqi_node *n = sqi_node_find(t, all[i].id);
        void *value = n->value, *grad = n->grad[SQI_LANE_USER].at;
        n->value = elsewhere;
        cr_expect(sq_tape_check(t, NULL, 0) == false, "value %d", i);
        n->value = value;
        if (n->grad[SQI_LANE_USER].owned) {
            n->grad[SQI_LANE_USER].at = elsewhere;
            cr_expect(sq_tape_check(t, NULL, 0) == false, "gradient %d", i);
            n->grad[SQI_LANE_USER].at = grad;
        }
    }
    sqi_node_find(t, copy.id)->value = sqi_node_find(t, y.id)->value;
    cr_expect(sq_tape_check(t, NULL, 0) == false, "a view of another step");
    sq_tape_free(t);
}
