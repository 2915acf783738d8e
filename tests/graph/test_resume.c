/* test_resume.c -- a stream saved, everything thrown away, and gone on with: the same bits.
 *
 * The oracle is the run that was never interrupted (stream_world.h). */
#include "core/tape_impl.h"
#include "tests/support/stream_world.h"

/* Interrupts before every call whose bit is set, and at the very end. */
static void expect_resumes(const setting *how, unsigned interruptions, const char *what)
{
    world whole, w;
    world_new(&whole, how, 5);
    world_new(&w, how, 5);
    for (int i = 0; i < CALLS; i++) {
        if (interruptions >> i & 1) world_interrupt(&w);
        world_act(&w, i);
        world_act(&whole, i);
    }
    world_expect_same(&whole, &w, what);
    world_interrupt(&w);
    world_act(&w, 0);
    world_act(&whole, 0);
    world_expect_same(&whole, &w, what);
    world_free(&w);
    world_free(&whole);
}

static void expect_many_resume(uint64_t from, int n, void (*change)(setting *),
                               const char *what)
{
    for (uint64_t seed = from; seed < from + (uint64_t)FEWER(n); seed++) {
        char text[64];
        rng r = { seed + 9 };
        setting how = world_setting(seed);
        if (change) change(&how);
        snprintf(text, sizeof text, "%s, seed %d", what, (int)seed);
        expect_resumes(&how, (unsigned)rng_below(&r, 1 << CALLS), text);
    }
}

/* jcjohnson/torch-rnn#46: after a resume the loss jumped, since the states were not in the file. Left
 * out by hand they are missed; otherwise the next loss is the one that would have come. */
Test(traps, torch_rnn_resume_jump)
{
    const setting how = { .dtype = SQ_F64, .o = { .k1 = 4, .k2 = 4 }, .steps = { 40, 4 } };
    for (int forgets = 0; forgets < 2; forgets++) {
        world whole, w;
        world_new(&whole, &how, 5);
        world_new(&w, &how, 5);
        world_act(&whole, 0);
        world_act(&w, 0);
        world_interrupt(&w);
        if (forgets) {
            sq_var none[2] = { sq_zeros(w.tape, sq_mat(B, H)), sq_zeros(w.tape, sq_mat(B, H)) };
            cr_assert(sq_tbptt_set_states(w.stream, none) == SQ_OK, "%s", sq_message(w.tape));
        }
        world_act(&whole, 1);
        world_act(&w, 1);
        bool same = whole.told == w.told;
        cr_expect(same == !forgets, "%.17g and %.17g", whole.told, w.told);
        world_free(&whole);
        world_free(&w);
    }
}

/* ---- The same bits ------------------------------------------------------------------------ */

Test(resume, anything_interrupted_anywhere_ends_in_the_same_bits)
{
    expect_many_resume(1, 240, NULL, "any windows");
}

Test(resume, every_pair_of_windows_at_every_place)
{
    for (int64_t k1 = 1; k1 <= 4; k1++)
        for (int64_t k2 = 1; k2 <= 7; k2++)
            for (int mode = 0; mode < 2; mode++) {
                char text[64];
                setting how = { .dtype = SQ_F64,
                                .o = { .k1 = k1, .k2 = k2 },
                                .steps = { 1, 2, 3, 1, 1, 4, 2, 1, 3 },
                                .restarts = true,
                                .learned = true,
                                .dropped = true };
                how.o.unroll.mode = mode ? SQ_PLAN : SQ_EAGER;
                snprintf(text, sizeof text, "k1 %d, k2 %d, mode %d", (int)k1, (int)k2, mode);
                expect_resumes(&how, (1u << CALLS) - 1, text);
            }
}

Test(resume, random_windows)
{
    expect_many_resume(1000, 60, world_draws_windows, "random windows");
}

/* Their last window may end where the stream does, and is then still open for its loss. */
static void draw_windows_of_two(setting *how)
{
    world_draws_windows(how);
    how->o.mean_window = 2;
    how->o.loss_every = SQ_LOSS_AT_END;
    for (int i = 1; i < CALLS; i += 2) how->steps[i] = -1;
}

Test(resume, random_windows_of_one_loss)
{
    expect_many_resume(1500, 40, draw_windows_of_two, "one loss");
}

/* A clockwork's count of steps, for one, has no gradient and is no less carried on. */
Test(resume, every_cell)
{
    for (int i = 0; i < 2 * N_CELL_KINDS; i++) {
        setting how = { .dtype = i % 2 ? SQ_F64 : SQ_F32,
                        .o = { .k1 = 2, .k2 = 7 },
                        .steps = { 3, 2, 1, 4, 1, 1, 5, 2, 3 },
                        .restarts = true,
                        .learned = true,
                        .kind = &every_cell[i / 2] };
        how.o.unroll.mode = i % 4 < 2 ? SQ_PLAN : SQ_EAGER;
        expect_resumes(&how, 0x1B5, how.kind->name);
    }
}

static void budget(setting *how)
{
    how->o.unroll.mode = how->seed % 2 ? SQ_EAGER : SQ_PLAN;
    how->o.unroll.budget_bytes = 30000;
}

Test(resume, budgets) { expect_many_resume(2000, 40, budget, "budget"); }

/* Wide enough for steps to be shared out: the interrupted run goes on one thread, two, three, one; the
 * other on one. */
static void share(setting *how)
{
    how->width = WIDE;
    how->threaded = true;
    how->o.k1 += 3;
    how->o.unroll.mode = SQ_PLAN;
    how->o.unroll.budget_bytes = how->seed % 3 ? 0 : 200000;
}

Test(resume, any_number_of_threads) { expect_many_resume(4000, 15, share, "threads"); }

/* What the test above means: of those sizes threads are started. */
Test(resume, wide_steps_start_threads)
{
    setting how = { .o = { .k1 = 6, .k2 = 9 }, .steps = { 12 } };
    how.o.unroll.mode = SQ_PLAN;
    how.width = WIDE;
    how.threaded = true;
    world w;
    world_of(&w, &how, 5, 2);
    world_act(&w, 0);
    cr_expect(w.tape->workers != NULL);
    world_free(&w);
}

static void meter(setting *how)
{
    how->o.meter_every = 1 + (int64_t)how->seed % 3;
    how->o.meter_window = how->o.k2 + 3;
}

Test(resume, the_bias_meter_goes_on_counting) { expect_many_resume(3000, 40, meter, "meter"); }

Test(resume, a_loaded_stream_has_no_last_reading)
{
    setting how = { .dtype = SQ_F64,
                    .o = { .k1 = 2, .k2 = 2, .meter_every = 1, .meter_window = 6 },
                    .steps = { 8 } };
    world w;
    char text[256];
    world_new(&w, &how, 5);
    world_act(&w, 0);
    cr_expect(sq_tbptt_bias_text(w.stream, text, sizeof text) > 0);
    world_interrupt(&w);
    size_t length = sq_tbptt_bias_text(w.stream, text, sizeof text);
    bool none = isnan(sq_tbptt_bias(w.stream, (sq_weight){ 0 }).cosine);
    cr_expect(length == 0 && none && sq_tbptt_statistics(w.stream).readings > 0);
    world_free(&w);
}

/* A run may bear any number (sq_tape_set_run), the largest too, after which they begin again. */
Test(resume, runs_of_any_number)
{
    setting how = world_setting(7);
    world whole, w;
    world_new(&whole, &how, 5);
    world_new(&w, &how, 5);
    sq_tape_set_run(whole.tape, UINT64_MAX - 2);
    sq_tape_set_run(w.tape, UINT64_MAX - 2);
    for (int i = 0; i < CALLS; i++) {
        world_interrupt(&w);
        world_act(&w, i);
        world_act(&whole, i);
    }
    world_expect_same(&whole, &w, "runs");
    world_free(&whole);
    world_free(&w);
}

/* ---- What it costs ------------------------------------------------------------------------- */

Test(resume, saving_changes_nothing)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        setting how = world_setting(seed);
        world saved, w;
        world_new(&saved, &how, 5);
        world_new(&w, &how, 5);
        for (int i = 0; i < CALLS; i++) {
            sq_bundle_free(world_save(&saved));
            world_act(&saved, i);
            world_act(&w, i);
        }
        sq_tape_stats a = sq_tape_statistics(saved.tape), b = sq_tape_statistics(w.tape);
        cr_expect(a.nodes == b.nodes && a.value_bytes == b.value_bytes);
        world_expect_same(&saved, &w, "saved");
        world_free(&saved);
        world_free(&w);
    }
}

/* Only what a window still reaches is saved and asked for again, and no loss that was differentiated.
 * The end may come after the next step, or, where a loss waits, now. Of k1 = 2 and k2 = 6 after step 8
 * that window is steps 4 to 9: in pieces 3-4, 5-6, 7-8, which used three older versions. */
Test(resume, what_no_window_reaches_is_not_recorded_again)
{
    static const struct {
        int64_t k1, k2;
        int steps, inputs, losses, versions;
    } cases[] = { { 4, 1, 8, 0, 0, 0 }, { 4, 4, 8, 1, 0, 1 }, { 4, 2, 6, 1, 1, 0 },
                  { 4, 4, 6, 2, 1, 1 }, { 2, 6, 8, 3, 0, 3 }, { 2, 6, 9, 4, 1, 3 } };
    for (int i = 0; i < COUNT(cases); i++) {
        setting how = { .dtype = SQ_F32,
                        .o = { .k1 = cases[i].k1, .k2 = cases[i].k2 },
                        .steps = { cases[i].steps } };
        world w;
        world_new(&w, &how, 5);
        world_act(&w, 0);
        sq_bundle *b = world_save(&w);
        int versions = 0;
        for (int64_t k = 0; k < sq_bundle_count(b); k++)
            versions += strstr(sq_bundle_at(b, k)->name, ".weights.") &&
                        strstr(sq_bundle_at(b, k)->name, ".readout");
        sq_bundle_free(b);
        world_interrupt(&w);
        cr_expect(w.inputs == cases[i].inputs && w.losses == cases[i].losses &&
                      versions == cases[i].versions,
                  "case %d: %d inputs, %d losses, %d versions", i, w.inputs, w.losses,
                  versions);
        world_free(&w);
    }
}
