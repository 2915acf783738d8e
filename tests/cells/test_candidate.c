/* test_candidate.c -- dropout of the candidate, within every cell that has one: what is written into
 * memory is dropped, what is kept is not. */
#include "tests/support/cell_run.h"
#include "tests/support/every_cell.h"

enum { B = 3, IN = 4, H = 4 };

/* Where a cell has its `drop`; the first name that it begins with. */
static const struct gated {
    const char *name;
    size_t at;
} gated[] = {
    { "lstm97", offsetof(sq_lstm97, drop) }, { "lstmp", offsetof(sq_lstmp, drop) },
    { "lstm", offsetof(sq_lstm, drop) },     { "gru", offsetof(sq_gru, drop) },
    { "mgu", offsetof(sq_mgu, drop) },       { "peephole", offsetof(sq_peephole, drop) },
    { "lnlstm", offsetof(sq_lnlstm, drop) }, { "lngru", offsetof(sq_lngru, drop) },
    { "cifg", offsetof(sq_cifg, drop) },     { "greff", offsetof(sq_greff, drop) },
};

static sq_drop *drop_of(any_cell *w, const char *name)
{
    for (int i = 0; i < COUNT(gated); i++)
        if (strncmp(name, gated[i].name, strlen(gated[i].name)) == 0)
            return (sq_drop *)(void *)((char *)w + gated[i].at);
    return NULL;
}

/* ---- The formula --------------------------------------------------------------------------- */

enum { STEPS = 30, UNITS = 40, N = B * UNITS };

/* One step of a run: the state before and after, how much of it is kept, and what is written. */
typedef struct moment {
    double before[N], after[N], keep[N], write[N], candidate[N];
} moment;

static void named(const sq_unrolled *u, int i, const char *name, double *to)
{
    cr_assert(sq_copy(sq_unrolled_named(u, i, name), to) == SQ_OK, "%s",
              sq_message(sq_unrolled_tape(u)));
}

static void look(const sq_unrolled *u, int i, bool gru, moment *m)
{
    int32_t k = gru ? 0 : 1;
    cr_assert(sq_copy(sq_unrolled_state(u, i - 1, k), m->before) == SQ_OK);
    cr_assert(sq_copy(sq_unrolled_state(u, i, k), m->after) == SQ_OK);
    named(u, i, gru ? "z" : "f", m->keep);
    named(u, i, gru ? "n" : "g", m->candidate);
    if (!gru) named(u, i, "i", m->write);
    for (int j = 0; gru && j < N; j++) m->write[j] = 1 - m->keep[j];
}

/* after = keep before + write (candidate m), m being 0 or 1/(1 - rate), as often as it says; one mask
 * for all steps, or a new one in each. */
static void expect_formula(bool gru, sq_drawn mask, sq_mode mode)
{
    static moment m;
    static bool kept[STEPS][N];
    const double rate = .25;
    any_cell w;
    sq_params *p = sq_params_new(SQ_F64);
    sq_cell cell = (gru ? any_gru_after : any_lstm)(&w, p, "c", IN, UNITS, 3);
    *drop_of(&w, cell.name) = (sq_drop){ rate, mask };
    sq_tape *t = sq_tape_new(SQ_F64, p);
    const sq_unrolled *u = sq_unroll(t, &cell, drawn_leaf(t, sq_shape3(STEPS, B, IN), 1), NULL,
                                     &(sq_unroll_options){ .mode = mode });
    cr_assert(u != NULL, "%s", sq_message(t));
    int dropped = 0, changed = 0;
    for (int i = 0; i < STEPS; i++) {
        look(u, i, gru, &m);
        for (int j = 0; j < N; j++) {
            double written = m.after[j] - m.keep[j] * m.before[j];
            double whole = m.write[j] * m.candidate[j] / (1 - rate);
            kept[i][j] = fabs(written) > fabs(whole) / 2;
            EXPECT_NEAR(written, kept[i][j] ? whole : 0, 1e-14, "what is written");
            dropped += !kept[i][j];
            changed += kept[i][j] != kept[0][j];
        }
    }
    bool per_step = mask == SQ_PER_STEP;
    double draws = per_step ? STEPS * N : N, share = (double)dropped / (STEPS * N);
    cr_expect(fabs(share - rate) < 5 * sqrt(rate * (1 - rate) / draws), "%g", share);
    bool varies = changed > 0;
    cr_expect(varies == per_step);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(candidate, is_dropped_and_memory_is_not)
{
    for (int way = 0; way < 8; way++)
        expect_formula(way & 1, way & 2 ? SQ_PER_SEQUENCE : SQ_PER_STEP,
                       way & 4 ? SQ_PLAN : SQ_EAGER);
}

/* ---- Every cell ----------------------------------------------------------------------------- */

/* Gradients, and that the plan draws the same; a rate of 0 afterwards is the cell as it was. */
static void expect_right(int kind, sq_drawn mask)
{
    const char *name = every_cell[kind].name;
    any_cell w;
    char why[256] = "";
    trace dry = { .n = 0 }, wet = { .n = 0 }, again = { .n = 0 };
    sq_params *p = sq_params_new(SQ_F64);
    int64_t hidden = strncmp(name, "ln", 2) == 0 ? 12 : H;
    sq_cell cell = every_cell[kind].make(&w, p, "c", IN, hidden, 3);
    sq_drop *drop = drop_of(&w, name);
    train_cell(&cell, p, SQ_AUTO, 5, B, IN, &dry);
    *drop = (sq_drop){ .3, mask };
    train_cell(&cell, p, SQ_AUTO, 5, B, IN, &wet);
    bool same = trace_equal(&dry, &wet, why, sizeof why);
    cr_expect(same == false, "%s: nothing is dropped", name);
    if (hidden == H) expect_gradients(&cell, p, 2, IN, name);
    expect_plan_is_eager(&cell, p, B, IN, name);
    drop->rate = 0;
    train_cell(&cell, p, SQ_AUTO, 5, B, IN, &again);
    cr_expect(trace_equal(&dry, &again, why, sizeof why), "%s: %s", name, why);
    trace_free(&dry);
    trace_free(&wet);
    trace_free(&again);
    sq_params_free(p);
}

Test(candidate, of_every_cell_is_right)
{
    int n = 0;
    for (int kind = 0; kind < N_CELL_KINDS; kind++) {
        if (!drop_of(&(any_cell){ .lstm.width = { 0 } }, every_cell[kind].name)) continue;
        expect_right(kind, n++ % 2 ? SQ_PER_SEQUENCE : SQ_PER_STEP);
    }
    cr_expect_eq(n, N_CELL_KINDS - 4, "all but three RNNs and the clockwork have one");
}

/* ---- Mistakes ------------------------------------------------------------------------------- */

Test(candidate, mistakes)
{
    static const double rates[] = { 1, -.5, NAN };
    for (int k = 0; k < COUNT(rates); k++) {
        any_cell w;
        sq_params *p = sq_params_new(SQ_F64);
        sq_cell cell = any_lstm(&w, p, "c", IN, H, 3);
        w.lstm.drop.rate = rates[k];
        sq_tape *t = sq_tape_new(SQ_F64, p);
        bool none =
            sq_unroll(t, &cell, drawn_leaf(t, sq_shape3(2, B, IN), 1), NULL, NULL) == NULL;
        cr_expect(none);
        EXPECT_CONTAINS(sq_message(t), "dropout: the rate must lie in [0,1)");
        EXPECT_STATUS(t, SQ_ERANGE);
        sq_tape_free(t);
        sq_params_free(p);
    }
}
