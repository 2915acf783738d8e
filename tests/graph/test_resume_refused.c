/* test_resume_refused.c -- saves of streams that do not fit, lack something or were changed: refused, and nothing
 * is changed; or a stream that goes on. */
#include "tests/support/stream_world.h"

/* A stream that has run, refuses the bundle with the sentence, and is as it was. */
static void expect_refusal(const setting *how, sq_bundle *b, const char *sentence)
{
    world tried, w;
    world_new(&tried, how, 6);
    world_new(&w, how, 6);
    for (int i = 0; i < CALLS; i++) {
        world_act(&w, i);
        world_act(&tried, i);
        if (i != 3) continue;
        uint64_t version = sq_params_version(tried.params);
        sq_status s = sq_tbptt_load(tried.stream, b, "stream");
        cr_expect(s == SQ_EFILE, "status %d, want \"%s\"", (int)s, sentence);
        EXPECT_CONTAINS(sq_bundle_message(b), sentence);
        sq_bundle_clear_error(b);
        cr_expect(sq_params_version(tried.params) == version);
        ASSERT_HEALTHY(tried.tape);
    }
    if (!how->width) world_expect_same(&w, &tried, sentence);
    world_free(&tried);
    world_free(&w);
}

static const setting overlapping = { .dtype = SQ_F64,
                                     .o = { .k1 = 2, .k2 = 5 },
                                     .steps = { 3, 4, 2, 1, 1, 2, 3, 1, 2 },
                                     .restarts = true,
                                     .learned = true };

static sq_bundle *saved_world(const setting *how, int calls)
{
    world w;
    world_new(&w, how, 5);
    for (int i = 0; i < calls; i++) world_act(&w, i);
    sq_bundle *b = world_save(&w);
    world_free(&w);
    return b;
}

Test(resume_refused, another_configuration_is_refused)
{
    sq_bundle *b = saved_world(&overlapping, 3);
    setting how = overlapping;
    how.o.k1 = 3;
    expect_refusal(&how, b, "the save is of a stream with k1 = 2, this one has 3");
    how = overlapping;
    how.o.k2 = 6;
    expect_refusal(&how, b, "the save is of a stream with k2 = 5, this one has 6");
    how = overlapping;
    how.o.loss_every = 2;
    expect_refusal(&how, b, "the save is of a stream with loss_every = 1, this one has 2");
    how = overlapping;
    how.dtype = SQ_F32;
    expect_refusal(&how, b, "bytes of a number = 8, this one has 4");
    how = overlapping;
    how.width = H + 1;
    expect_refusal(&how, b, "state 0 has width 4, this one has 5");
    how = overlapping;
    world_draws_windows(&how);
    expect_refusal(&how, b, "mean_window = 0, this one has 4");
    sq_bundle_free(b);
}

/* The bundle without one of its tensors, or with one number of it changed. */
static sq_bundle *spoiled(const sq_bundle *b, int64_t which, int64_t at, int64_t by)
{
    sq_bundle *copy = sq_bundle_new();
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        sq_tensor t = *sq_bundle_at(b, i);
        if (i == which && !by) continue;
        int64_t *values = calloc((size_t)t.count + 1, sizeof *values);
        if (i == which) {
            memcpy(values, t.values, (size_t)t.count * sizeof *values);
            values[at] = (int64_t)((uint64_t)values[at] + (uint64_t)by);
            t.values = values;
        }
        cr_assert(sq_bundle_add(copy, &t) == SQ_OK);
        free(values);
    }
    return copy;
}

static bool of_stream(const sq_tensor *t) { return strncmp(t->name, "stream.", 7) == 0; }

Test(resume_refused, whatever_is_lacking_is_missed)
{
    sq_bundle *b = saved_world(&overlapping, 5);
    int tensors = 0;
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        if (!of_stream(sq_bundle_at(b, i))) continue;
        sq_bundle *less = spoiled(b, i, 0, 0);
        expect_refusal(&overlapping, less, "");
        sq_bundle_free(less);
        tensors++;
    }
    cr_expect(tensors > 20);
    sq_bundle_free(b);
}

/* Any number changed: refused, or a stream that can go on; never more asked of a callback than fits. */
Test(resume_refused, no_number_does_harm)
{
    static const int64_t by[] = { 1, -1, 1000, INT64_MIN };
    sq_bundle *b = saved_world(&overlapping, 5);
    int refused = 0, taken = 0;
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        const sq_tensor *t = sq_bundle_at(b, i);
        bool whole = of_stream(t) && t->type == SQ_TENSOR_I64;
        for (int64_t at = 0; whole && at < t->count; at++)
            for (int k = 0; k < COUNT(by); k++) {
                sq_bundle *other = spoiled(b, i, at, by[k]);
                world w;
                world_new(&w, &overlapping, 6);
                sq_status s = sq_tbptt_load(w.stream, other, "stream");
                refused += s != SQ_OK;
                taken += s == SQ_OK;
                cr_expect(s == SQ_OK || (s == SQ_EFILE && sq_bundle_message(other)[0]));
                ASSERT_HEALTHY(w.tape);
                world_act(&w, 0);
                world_free(&w);
                sq_bundle_free(other);
            }
    }
    cr_expect(refused > 100 && taken > 20, "%d refused, %d taken", refused, taken);
    sq_bundle_free(b);
}

/* Several at once, by a little, in streams of all kinds: what contradicts one number may agree with two. */
Test(resume_refused, no_few_numbers_do_harm)
{
    int refused = 0, taken = 0;
    for (uint64_t seed = 5000; seed < 5000 + FEWER(300); seed++) {
        rng r = { seed };
        setting how = world_setting(seed);
        sq_bundle *b = saved_world(&how, 1 + rng_below(&r, CALLS));
        for (int changes = 2 + rng_below(&r, 4); changes > 0;) {
            int64_t i = rng_below(&r, (int)sq_bundle_count(b));
            const sq_tensor *t = sq_bundle_at(b, i);
            if (!of_stream(t) || t->type != SQ_TENSOR_I64 || !t->count) continue;
            int64_t by = rng_below(&r, 2) ? how.o.k1 : 1 + rng_below(&r, 3);
            sq_bundle *other =
                spoiled(b, i, rng_below(&r, (int)t->count), rng_below(&r, 2) ? by : -by);
            sq_bundle_free(b);
            b = other;
            changes--;
        }
        world w;
        world_new(&w, &how, 6);
        sq_status s = sq_tbptt_load(w.stream, b, "stream");
        cr_expect(s == SQ_OK || (s == SQ_EFILE && sq_bundle_message(b)[0]));
        ASSERT_HEALTHY(w.tape);
        refused += s != SQ_OK;
        taken += s == SQ_OK;
        for (int i = 0; i < CALLS; i++)
            if (how.steps[i] != -2) world_act(&w, i);
        sq_bundle_free(b);
        world_free(&w);
    }
    cr_expect(refused > 50 && taken > 0, "%d refused, %d taken", refused, taken);
}

static int64_t place_of(const sq_bundle *b, const char *name)
{
    for (int64_t i = 0; i < sq_bundle_count(b); i++)
        if (!strcmp(sq_bundle_at(b, i)->name, name)) return i;
    cr_assert(false, "no %s", name);
    return -1;
}

/* Steps 5 and 6 of k1 = 4, said to be steps 1 to 6: more than fits between two updates. */
Test(resume_refused, no_callback_is_asked_for_more_than_before)
{
    setting how = { .dtype = SQ_F64, .o = { .k1 = 4, .k2 = 2 }, .steps = { 6 } };
    sq_bundle *b = saved_world(&how, 1);
    int64_t pieces = place_of(b, "stream.pieces"), first = 0, steps = 1;
    cr_assert(sq_bundle_at(b, pieces)->dim[0] == 1);
    sq_bundle *moved = spoiled(b, pieces, first, -4),
              *longer = spoiled(moved, pieces, steps, 4);
    world w;
    world_new(&w, &how, 6);
    cr_expect(sq_tbptt_load(w.stream, longer, "stream") == SQ_EFILE && w.inputs == 0);
    EXPECT_CONTAINS(sq_bundle_message(longer), "a piece of it is impossible");
    world_free(&w);
    sq_bundle_free(b);
    sq_bundle_free(moved);
    sq_bundle_free(longer);
}

Test(resume_refused, a_callback_that_fails_leaves_the_weights)
{
    sq_bundle *b = saved_world(&overlapping, 5);
    world w;
    world_new(&w, &overlapping, 6);
    double before[400], after[400];
    size_t bytes = (size_t)sq_params_size(w.params) * sizeof *before;
    cr_assert(bytes <= sizeof before);
    memcpy(before, sq_params_view(w.params), bytes);
    w.stubborn = true;
    cr_expect(sq_tbptt_load(w.stream, b, "stream") == SQ_EVALUE);
    EXPECT_CONTAINS(sq_bundle_message(b), "not again");
    memcpy(after, sq_params_view(w.params), bytes);
    EXPECT_SAME_BITS(before, after, bytes, "the weights");
    EXPECT_ERROR(w.tape, SQ_EVALUE);
    w.stubborn = false;
    cr_expect(sq_tbptt_statistics(w.stream).steps == 0);
    sq_bundle_clear_error(b);
    world_load(&w, b);
    for (int i = 5; i < CALLS; i++) world_act(&w, i);
    world whole;
    world_new(&whole, &overlapping, 5);
    for (int i = 0; i < CALLS; i++) world_act(&whole, i);
    world_expect_same(&whole, &w, "tried again");
    world_free(&whole);
    world_free(&w);
    sq_bundle_free(b);
}

Test(resume_refused, weights_changed_within_a_piece_cannot_be_saved)
{
    world w;
    setting how = overlapping;
    how.learned = false;
    world_new(&w, &how, 5);
    w.meddling = true;
    world_act(&w, 3);
    sq_bundle *b = sq_bundle_new();
    cr_expect(sq_tbptt_save(w.stream, b, "stream") == SQ_EVALUE);
    EXPECT_CONTAINS(sq_bundle_message(b),
                    "the weights were changed while steps 0 to 0 were recorded");
    cr_expect(sq_bundle_count(b) == 0);
    sq_bundle_free(b);
    world_free(&w);
}

Test(resume_refused, mistakes_of_the_call)
{
    world w;
    world_new(&w, &overlapping, 5);
    sq_bundle *b = sq_bundle_new();
    cr_expect(sq_tbptt_save(w.stream, b, "") == SQ_EVALUE);
    EXPECT_CONTAINS(sq_bundle_message(b), "needs a prefix");
    cr_expect(sq_tbptt_save(w.stream, b, "stream") == SQ_EVALUE); /* the first mistake stays */
    sq_bundle_clear_error(b);
    cr_expect(sq_tbptt_save(NULL, b, "stream") == SQ_EVALUE);
    sq_bundle_clear_error(b);
    cr_expect(sq_tbptt_load(NULL, b, "stream") == SQ_EVALUE);
    sq_bundle_clear_error(b);
    cr_expect(sq_tbptt_load(w.stream, b, "stream") == SQ_EFILE);
    cr_expect(sq_tbptt_load(w.stream, NULL, "stream") == SQ_ENOMEM);
    ASSERT_HEALTHY(w.tape);
    sq_post(w.tape, SQ_EVALUE, "broken");
    sq_bundle_clear_error(b);
    cr_expect(sq_tbptt_save(w.stream, b, "stream") == SQ_EVALUE);
    EXPECT_CONTAINS(sq_bundle_message(b), "broken");
    sq_bundle_free(b);
    world_free(&w);
}
