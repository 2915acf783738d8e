/* test_stream.c -- streams of TBPTT from outside: their memory, their ends and beginnings, rows that
 * restart, and mistakes. */
#include "tests/support/scalar_stream.h"

#include <unistd.h>

/* ---- Streams -------------------------------------------------------------------------------- */

static sq_status small_step(void *context, sq_tape *t, double loss, int64_t n)
{
    scalar *c = context;
    (void)loss, (void)n;
    double *w = sq_params_update(c->params);
    if (!w) return SQ_ENOMEM;
    w[0] -= 1e-3 * number_grad(t, c->w);
    return SQ_OK;
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
    fclose(f);
    return resident;
}

Test(stream, memory_does_not_grow_with_the_stream)
{
    enum { FEW = 1000, MANY = 1000000 };
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c;
        scalar_new(&c, .8);
        c.cell.step = tanh_step;
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = sq_tbptt_new(t, &c.cell,
                                   &(sq_tbptt_options){ .k1 = 20,
                                                        .k2 = 50,
                                                        .batch = 1,
                                                        .unroll.mode = modes[m],
                                                        .loss = squares,
                                                        .update = small_step,
                                                        .initial = scalar_initial,
                                                        .context = &c });
        cr_assert(s != NULL, "%s", sq_message(t));
        int64_t total = FEWER(MANY);
        resident_pages(); /* what reading it takes itself */
        FEED(s, FEW, NULL);
        size_t held = sq_tape_statistics(t).held_bytes;
        long resident = resident_pages();
        for (int64_t n = FEW; n < total; n += 1100) FEED(s, 1100, NULL);
        cr_expect(sq_tape_statistics(t).held_bytes == held, "%zu bytes became %zu", held,
                  sq_tape_statistics(t).held_bytes);
        double growth = (double)(resident_pages() - resident) / (double)(resident + 1);
        cr_expect(growth < .01, "resident memory grew by %g", growth);
        cr_expect(sq_tbptt_statistics(s).steps >= total);
        ASSERT_HEALTHY(t);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}

/* With updates far apart and a short window, too, the window decides. */
Test(stream, memory_depends_on_the_window_not_on_the_update)
{
    scalar c;
    scalar_new(&c, .9);
    sq_tape *t = sq_tape_new(SQ_F64, c.params);
    sq_tbptt *s = scalar_stream(t, &c, 100000, 3, SQ_AUTO, 1);
    FEED(s, 50000, NULL);
    cr_expect(sq_tbptt_statistics(s).window <= 32);
    END(s);
    double want = 0; /* 49998, 49999, 50000: the last three */
    for (int i = 1; i <= 3; i++) want += i * pow(.9, 49997 + i - 1) * .9;
    EXPECT_NEAR(c.grad[0], want, 1e-15, "the last three losses");
    EXPECT_NEAR(c.loss[0], .9 * .9 / .1, 1e-9, "all losses are told");
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(c.params);
}

Test(stream, a_stream_ends_and_another_begins)
{
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c;
        scalar_new(&c, .2);
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = scalar_stream(t, &c, 2, 4, modes[m], 1);
        cr_expect(sq_tbptt_end(s) == SQ_OK && c.updates == 0);
        for (int stream = 0; stream < 3; stream++) {
            c.updates = 0;
            FEED(s, 5, NULL);
            cr_expect(sq_tbptt_statistics(s).steps == 5);
            EXPECT_NEAR(sq_item(sq_tbptt_state(s, 0)), .9 * pow(.2, 5), 1e-15, "state");
            END(s);
            expect_scalar(&c, 5, 2, 4, 1);
            EXPECT_NEAR(sq_item(sq_tbptt_state(s, 0)), .9 * pow(.2, 5), 1e-15, "state, ended");
        }
        cr_expect(sq_tbptt_statistics(s).updates == 9);

        sq_var h = sq_tbptt_state(s, 0); /* carried into the next stream */
        cr_expect(sq_tbptt_set_states(s, &h) == SQ_OK);
        c.updates = 0;
        FEED(s, 1, NULL);
        END(s);
        EXPECT_NEAR(c.grad[0], .9 * pow(.2, 5), 1e-15, "gradient from the carried state");
        ASSERT_HEALTHY(t);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}

static sq_status feeds_itself(void *context, sq_tape *t, double loss, int64_t n)
{
    (void)t, (void)loss, (void)n;
    const scalar *c = context;
    return sq_tbptt_feed(*(sq_tbptt **)(uintptr_t)c->cell.name, 1, NULL);
}

/* What a failed or a reset tape has lost are the steps: a new stream begins, on the same weights. */
Test(stream, after_a_reset_a_new_stream_begins)
{
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c;
        scalar_new(&c, .2);
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = scalar_stream(t, &c, 2, 4, modes[m], 1);
        FEED(s, 5, NULL);
        c.answer = SQ_EVALUE; /* an update fails, once */
        cr_expect(sq_tbptt_feed(s, 5, NULL) == SQ_EVALUE);
        EXPECT_CONTAINS(sq_message(t), "the update after 6 steps failed");
        sq_tape_reset(t);
        c.answer = SQ_OK;
        for (int again = 0; again < 2; again++) {
            c.updates = 0;
            FEED(s, 5, NULL);
            END(s);
            expect_scalar(&c, 5, 2, 4, 1);
            sq_tape_reset(t);
        }
        sq_var h = sq_full(t, sq_mat(1, 1), 2);
        cr_expect(sq_tbptt_set_states(s, &h) == SQ_OK);
        c.updates = 0;
        FEED(s, 2, NULL);
        EXPECT_NEAR(c.grad[0], 2 + 2 * .2 * 2, 1e-15, "from given states");
        ASSERT_HEALTHY(t);
        sq_tbptt_free(s);
        sq_tape_free(t);
        sq_params_free(c.params);
    }
}

Test(stream, a_callback_cannot_feed_its_own_stream)
{
    scalar c;
    scalar_new(&c, .2);
    sq_tape *t = sq_tape_new(SQ_F64, c.params);
    sq_tbptt *s;
    c.cell.name = (const char *)&s; /* for the callback */
    sq_cell cell = c.cell;
    cell.name = "scalar";
    s = sq_tbptt_new(t, &cell,
                     &(sq_tbptt_options){ .k1 = 1,
                                          .k2 = 1,
                                          .batch = 1,
                                          .loss = sum_of_outputs,
                                          .update = feeds_itself,
                                          .context = &c });
    cr_assert(s != NULL, "%s", sq_message(t));
    cr_expect(sq_tbptt_feed(s, 3, NULL) == SQ_EVALUE);
    EXPECT_CONTAINS(sq_message(t), "a callback of the stream feeds the stream");
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_params_free(c.params);
}

/* An input may be the work of another cell: x_t = w, one step each. */
static sq_var input_of_steps(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    sq_var x[64];
    (void)first;
    cr_assert(steps > 0 && steps <= COUNT(x));
    for (int64_t i = 0; i < steps; i++) {
        sq_begin_step(t);
        x[i] = sq_reshape(sq_use(t, ((const scalar *)context)->w), sq_mat(1, 1));
    }
    sq_end_step(t);
    return sq_stack(x, (int)steps);
}

static sq_var last_input(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)t, (void)self;
    return *h = x;
}

Test(stream, steps_of_an_input_belong_to_the_window)
{
    for (int m = 0; m < COUNT(modes); m++)
        for (int k2 = 3; k2 < 10; k2 += 3) {
            scalar c;
            scalar_new(&c, .2);
            c.cell.step = last_input;
            sq_tape *t = sq_tape_new(SQ_F64, c.params);
            sq_tbptt *s = sq_tbptt_new(t, &c.cell,
                                       &(sq_tbptt_options){ .k1 = 3,
                                                            .k2 = k2,
                                                            .batch = 1,
                                                            .unroll.mode = modes[m],
                                                            .input = input_of_steps,
                                                            .loss = sum_of_outputs,
                                                            .update = note,
                                                            .context = &c });
            cr_assert(s != NULL, "%s", sq_message(t));
            FEED(s, 12, NULL);
            cr_assert(c.updates == 4);
            for (int i = 0; i < c.updates; i++) EXPECT_NEAR(c.grad[i], 3, 0, "dL/dw");
            ASSERT_HEALTHY(t);
            sq_tbptt_free(s);
            sq_tape_free(t);
            sq_params_free(c.params);
        }
}

/* No sum of steps leaves 63 bits: that is for the sanitizer to see. */
Test(stream, numbers_of_steps_may_be_the_largest_there_are)
{
    const int64_t most = INT64_MAX;
    static const int updates[] = { 0, 1, 3 };
    for (int m = 0; m < COUNT(modes); m++)
        for (int i = 0; i < 3; i++) {
            scalar c;
            scalar_new(&c, .2);
            sq_tape *t = sq_tape_new(SQ_F64, c.params);
            sq_tbptt *s = sq_tbptt_new(t, &c.cell,
                                       &(sq_tbptt_options){ .k1 = i == 1 ? most : 2,
                                                            .k2 = i == 0 ? 3 : most,
                                                            .batch = 1,
                                                            .unroll.mode = modes[m],
                                                            .loss_every = i == 0 ? most : 1,
                                                            .loss = sum_of_outputs,
                                                            .update = note,
                                                            .initial = scalar_initial,
                                                            .context = &c });
            cr_assert(s != NULL, "%s", sq_message(t));
            feed_all(s, 5, 2);
            cr_expect(c.updates == updates[i], "%d updates", c.updates);
            if (i) expect_scalar(&c, 5, i == 1 ? 5 : 2, 5, 1);
            ASSERT_HEALTHY(t);
            sq_tbptt_free(s);
            sq_tape_free(t);
            sq_params_free(c.params);
        }
}

/* After the third update a weight is added, larger than all memory that older versions have. */
static sq_status grow(void *context, sq_tape *t, double loss, int64_t n)
{
    scalar *c = context;
    sq_status status = small_step(c, t, loss, n);
    if (c->updates == 2) (void)sq_params_add(c->params, "added", sq_mat(300, 300));
    return status ? status : note(c, t, loss, n);
}

/* The stream is saved and goes on elsewhere after every single step; windows reach four updates back. */
Test(stream, a_weight_that_is_added_on_the_way_is_saved)
{
    enum { LONG = 13 };
    for (int m = 0; m < COUNT(modes); m++) {
        scalar c[2];
        sq_tape *t[2];
        sq_tbptt *s[2];
        for (int i = 0; i < 2; i++) {
            scalar_new(&c[i], .8);
            t[i] = sq_tape_new(SQ_F64, c[i].params);
            s[i] = sq_tbptt_new(t[i], &c[i].cell,
                                &(sq_tbptt_options){ .k1 = 2,
                                                     .k2 = 9,
                                                     .batch = 1,
                                                     .unroll.mode = modes[m],
                                                     .loss = sum_of_outputs,
                                                     .update = grow,
                                                     .initial = scalar_initial,
                                                     .context = &c[i] });
            cr_assert(s[i] != NULL, "%s", sq_message(t[i]));
        }
        for (int n = 0; n < LONG; n++) {
            FEED(s[0], 1, NULL);
            FEED(s[1], 1, NULL);
            sq_bundle *b = sq_bundle_new();
            sq_bundle_add_params(b, "model", c[1].params);
            cr_assert(sq_tbptt_save(s[1], b, "stream") == SQ_OK, "%s", sq_bundle_message(b));
            sq_bundle_get_params(b, "model", c[1].params);
            cr_assert(sq_tbptt_load(s[1], b, "stream") == SQ_OK, "%s", sq_bundle_message(b));
            sq_bundle_free(b);
        }
        cr_expect(c[0].updates == LONG / 2 && c[1].updates == LONG / 2);
        cr_expect(memcmp(c[0].grad, c[1].grad, sizeof c[0].grad) == 0, "gradients");
        for (int i = 0; i < 2; i++) {
            cr_expect(sq_params_find(c[i].params, "added").id == 2);
            ASSERT_HEALTHY(t[i]);
            sq_tbptt_free(s[i]);
            sq_tape_free(t[i]);
            sq_params_free(c[i].params);
        }
    }
}

/* ---- Rows by hand ---------------------------------------------------------------------------- */

Test(stream, nothing_of_a_reset_row_comes_through)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    double inf = (double)INFINITY, h0[6] = { 1, 2, inf, (double)NAN, 5, 6 }, y[6], g[6];
    static const int32_t rows[] = { SQ_ROW_GOES_ON, SQ_ROW_RESET, SQ_ROW_CUT };
    sq_var h = sq_leaf(t, sq_mat(3, 2), h0),
           a = sq_leaf(t, sq_mat(3, 2), (double[6]){ 7, 7, 8, 9, 7, 7 });
    sq_var r = sq_restart_rows(h, a, rows);
    sq_copy(r, y);
    EXPECT_ALL_NEAR(y, ((double[]){ 1, 2, 8, 9, 5, 6 }), 6, 0, "rows");
    BACKWARD(sq_sum(r));
    sq_grad_copy(h, g);
    EXPECT_ALL_NEAR(g, ((double[]){ 1, 1, 0, 0, 0, 0 }), 6, 0, "what goes on");
    sq_grad_copy(a, g);
    EXPECT_ALL_NEAR(g, ((double[]){ 0, 0, 1, 1, 0, 0 }), 6, 0, "what begins");
    sq_copy(sq_restart_rows(h, (sq_var){ 0 }, rows), y);
    EXPECT_ALL_NEAR(y, ((double[]){ 1, 2, 0, 0, 5, 6 }), 6, 0, "zeros");
    ASSERT_HEALTHY(t);

    sq_restart_rows(h, a, (int32_t[]){ 0, 3, 0 });
    EXPECT_CONTAINS(sq_message(t), "entry 1 of the rows is 3");
    EXPECT_ERROR(t, SQ_ERANGE);
    sq_restart_rows(sq_zeros(t, sq_mat(3, 2)), (sq_var){ 0 }, NULL);
    EXPECT_ERROR(t, SQ_EVALUE);
    sq_restart_rows(sq_constant(t, 1), (sq_var){ 0 }, rows);
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static void expect_refusal(const scalar *c, const sq_tbptt_options *o, sq_status status,
                           const char *part)
{
    sq_tape *t = sq_tape_new(SQ_F64, c->params);
    sq_tbptt *s = sq_tbptt_new(t, c ? &c->cell : NULL, o);
    cr_expect(s == NULL, "not refused: %s", part);
    EXPECT_CONTAINS(sq_message(t), part);
    EXPECT_STATUS(t, status);
    sq_tbptt_free(s);
    sq_tape_free(t);
}

Test(stream, options_that_make_no_sense_are_refused)
{
    scalar c;
    scalar_new(&c, .2);
    const sq_tbptt_options good = {
        .k1 = 2, .k2 = 3, .batch = 1, .loss = sum_of_outputs, .update = note
    };
#define REFUSED(status, part, ...)            \
    do {                                      \
        sq_tbptt_options o = good;            \
        __VA_ARGS__;                          \
        expect_refusal(&c, &o, status, part); \
    } while (0)
    REFUSED(SQ_ERANGE, "k1 = 0 and k2 = 3", o.k1 = 0);
    REFUSED(SQ_ERANGE, "k1 = 2 and k2 = -1", o.k2 = -1);
    REFUSED(SQ_EVALUE, "`loss` is NULL", o.loss = NULL);
    REFUSED(SQ_EVALUE, "`update` is NULL", o.update = NULL);
    REFUSED(SQ_ERANGE, "batch = -1", o.batch = -1);
    REFUSED(SQ_ERANGE, "loss_every = -2", o.loss_every = -2);
    REFUSED(SQ_EVALUE, "leave them 0", o.mean_window = 50);
    REFUSED(SQ_ERANGE, "mean_window is 1", o.k1 = o.k2 = 0, o.mean_window = 1);
    REFUSED(SQ_ERANGE, "mean_window is nan", o.k1 = o.k2 = 0, o.mean_window = (double)NAN);
    REFUSED(SQ_ERANGE, "mean_window is 1000000001, it must be above 1 and at most 1e9",
            o.k1 = o.k2 = 0, o.mean_window = 1e9 + 1);
    REFUSED(SQ_EVALUE, "no bias", o.k1 = o.k2 = 0, o.mean_window = 9, o.meter_every = 1);
    REFUSED(SQ_EVALUE, "meter_window above k2", o.meter_every = 1, o.meter_window = 3);
    REFUSED(SQ_EVALUE, "meter_window above k2", o.meter_every = 1);
    REFUSED(SQ_ERANGE, "meter_every = -1", o.meter_every = -1);
#undef REFUSED
    expect_refusal(&c, NULL, SQ_EVALUE, "options are NULL");
    cr_expect(sq_tbptt_new(NULL, &c.cell, &good) == NULL);
    cr_expect(sq_tbptt_feed(NULL, 1, NULL) != SQ_OK && sq_tbptt_end(NULL) != SQ_OK);
    cr_expect(sq_tbptt_set_states(NULL, NULL) != SQ_OK);
    cr_expect(sq_tbptt_state(NULL, 0).id == 0 && sq_tbptt_statistics(NULL).steps == 0);
    cr_expect(sq_tbptt_bias_text(NULL, NULL, 0) == 0);
    sq_params_free(c.params);
}

static sq_var not_a_number_of_one(void *context, sq_tape *t, sq_var y, int64_t first, int64_t n)
{
    (void)context, (void)t, (void)first, (void)n;
    return sq_concat((sq_var[]){ sq_reshape(y, sq_vec(n)), sq_reshape(y, sq_vec(n)) }, 2, 0);
}

static sq_var flat_input(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    (void)context, (void)first;
    return sq_zeros(t, sq_shape3(steps, 2, 1));
}

static sq_var narrow_initial(void *context, sq_tape *t, int32_t k)
{
    (void)context, (void)k;
    return sq_zeros(t, sq_mat(1, 2));
}

static sq_var refuses(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    (void)context, (void)steps;
    sq_post(t, SQ_EVALUE, "no data for step %d", (int)first);
    return (sq_var){ t, 0 };
}

Test(stream, a_stream_that_fails_says_where_and_loses_no_weights)
{
    static const struct {
        sq_tbptt_input *input;
        sq_tbptt_loss *loss;
        sq_tbptt_initial *initial;
        sq_status answer, status;
        const char *part;
    } cases[] = {
        { .loss = not_a_number_of_one,
          .status = SQ_ESHAPE,
          .part = "the loss of 2 steps from 0 on has shape [4]" },
        { .input = flat_input,
          .status = SQ_ESHAPE,
          .part = "the input of 2 steps from 0 on has shape [2,2,1], not [2,1,I]" },
        { .input = refuses, .status = SQ_EVALUE, .part = "no data for step 0" },
        { .initial = narrow_initial,
          .status = SQ_ESHAPE,
          .part = "has shape [1,2], not [1,1]" },
        { .answer = SQ_ENONFINITE,
          .status = SQ_ENONFINITE,
          .part = "the update after 2 steps failed" },
    };
    for (int i = 0; i < COUNT(cases); i++)
        for (int m = 0; m < COUNT(modes); m++) {
            scalar c;
            scalar_new(&c, .2);
            c.answer = cases[i].answer;
            sq_tape *t = sq_tape_new(SQ_F64, c.params);
            sq_tbptt *s = sq_tbptt_new(
                t, &c.cell,
                &(sq_tbptt_options){ .k1 = 2,
                                     .k2 = 3,
                                     .batch = 1,
                                     .unroll.mode = modes[m],
                                     .input = cases[i].input,
                                     .initial = cases[i].initial,
                                     .loss = cases[i].loss ? cases[i].loss : sum_of_outputs,
                                     .update = note,
                                     .context = &c });
            cr_assert(s != NULL, "%s", sq_message(t));
            cr_expect(sq_tbptt_feed(s, 5, NULL) == cases[i].status);
            EXPECT_CONTAINS(sq_message(t), cases[i].part);
            EXPECT_SOUND(t);
            cr_expect(sq_tbptt_feed(s, 5, NULL) == cases[i].status, "the error stays");
            cr_expect(sq_tbptt_end(s) == cases[i].status);
            EXPECT_NEAR(item_of(c.params, c.w), .2, 0, "the weight");
            sq_tbptt_free(s);
            sq_tape_free(t);
            sq_params_free(c.params);
        }
}

Test(stream, chunks_and_rows_are_checked)
{
    scalar c;
    scalar_new(&c, .2);
    for (int i = 0; i < 5; i++) {
        sq_tape *t = sq_tape_new(SQ_F64, c.params);
        sq_tbptt *s = scalar_stream(t, &c, 2, 2, SQ_AUTO, 1);
        sq_var wide = sq_zeros(t, sq_mat(1, 2));
        FEED(s, 0, NULL);
        cr_expect(sq_tbptt_statistics(s).steps == 0);
        if (i == 0) cr_expect(sq_tbptt_feed(s, -1, NULL) == SQ_ERANGE);
        if (i == 1) cr_expect(sq_tbptt_feed(s, 3, (int32_t[]){ 0, 0, 7 }) == SQ_ERANGE);
        if (i == 2) cr_expect(sq_tbptt_set_states(s, NULL) == SQ_EVALUE);
        if (i == 3) cr_expect(sq_tbptt_set_states(s, &(sq_var){ 0 }) == SQ_EVAR);
        if (i == 4) {
            cr_expect(sq_tbptt_set_states(s, &wide) == SQ_ESHAPE);
            EXPECT_CONTAINS(sq_message(t), "tbptt: state 0 has shape [1,2], not [1,1]");
        }
        cr_expect(sq_message(t)[0] != 0);
        cr_expect(sq_tbptt_statistics(s).steps == 0, "nothing was recorded");
        sq_tbptt_free(s);
        sq_tape_free(t);
    }
    sq_params_free(c.params);
}
