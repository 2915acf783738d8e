/* test_decode.c -- forcing, scheduled sampling, free running, beams.
 *
 * Beams are held against all sequences there are, scored one by one in a loop by hand; scheduled
 * sampling at its two ends against teacher forcing and free running, bit for bit. */
#include "tests/support/support.h"

enum { V = 3, E = 4, H = 5, B = 2, STEPS = 4, STOP = 0, START = 1 };

typedef struct speaker {
    sq_params *p;
    sq_gru w;
    sq_cell cell;
    sq_weight E, R, a;
    sq_tape *t;
    sq_decoder d;
} speaker;

static sq_var embed(sq_tape *t, const void *context, const int32_t *ids, int64_t n)
{
    const speaker *s = context;
    return sq_gather(sq_use(t, s->E), ids, n);
}

static sq_var read_out(sq_tape *t, const void *context, sq_var y)
{
    const speaker *s = context;
    return sq_affine(y, sq_use(t, s->R), sq_use(t, s->a));
}

static void speaker_new(speaker *s, sq_dtype dtype, uint64_t seed)
{
    s->p = sq_params_new(dtype);
    sq_gru_init(&s->w, s->p, "gru", E, H, SQ_RESET_AFTER, seed);
    s->E = sq_params_add(s->p, "E", sq_mat(V, E));
    s->R = sq_params_add(s->p, "R", sq_mat(H, V));
    s->a = sq_params_add(s->p, "a", sq_vec(V));
    sq_init_normal(s->p, s->E, 2, seed);
    sq_init_normal(s->p, s->R, 2, seed);
    cr_assert(sq_params_status(s->p) == SQ_OK);
    s->cell = sq_gru_cell(&s->w);
    s->t = sq_tape_new(dtype, s->p);
    s->d = (sq_decoder){ &s->cell, embed, read_out, s, START, STOP };
}

static void speaker_free(speaker *s)
{
    sq_tape_free(s->t);
    sq_params_free(s->p);
}

static sq_var state_of(speaker *s, uint64_t seed)
{
    double h[B * H];
    fill(h, COUNT(h), seed, -1, 1);
    return sq_input_f64(s->t, sq_mat(B, H), h);
}

/* ---- Choosing ------------------------------------------------------------------------------ */

Test(choose, the_likeliest_is_the_first_of_equals)
{
    const double x[4] = { 1, 3, 3, -INFINITY };
    cr_expect_eq(sq_choose(4, x, 0, .9), 1);
    cr_expect_eq(sq_choose(0, x, 0, 0), -1);
    cr_expect_eq(sq_choose(1, x + 3, 1, 0), -1);
    cr_expect_eq(sq_choose(2, (double[2]){ NAN, 1 }, 0, 0), -1);
    cr_expect_eq(sq_choose(2, (double[2]){ 1, INFINITY }, 1, .1), 1);
}

/* u runs over a grid: the share of each symbol is its probability, softmax(x / temperature). */
Test(choose, inverts_the_distribution)
{
    const double x[3] = { 0, 1, -1 };
    const int n = 3000;
    for (int hot = 0; hot < 2; hot++) {
        double temperature = hot ? 2 : .5, sum = 0;
        int count[3] = { 0 };
        for (int c = 0; c < 3; c++) sum += exp(x[c] / temperature);
        for (int i = 0; i < n; i++) count[sq_choose(3, x, temperature, (i + .5) / n)]++;
        for (int c = 0; c < 3; c++)
            cr_expect_float_eq((double)count[c] / n, exp(x[c] / temperature) / sum, 1.0 / n);
    }
    const double masked[3] = { -INFINITY, 0, -INFINITY };
    cr_expect_eq(sq_choose(3, masked, 1, 0), 1);
    cr_expect_eq(sq_choose(3, masked, 1, .9999999999), 1);
}

Test(choose, schedules)
{
    cr_expect_float_eq(sq_own_linear(10, .01, .25), .1, 1e-15);
    cr_expect_eq(sq_own_linear(1000, .01, .25), .25);
    cr_expect_eq(sq_own_exponential(0, .9), 0);
    cr_expect_float_eq(sq_own_exponential(2, .9), .19, 1e-15);
    cr_expect_float_eq(sq_own_sigmoid(0, 10), 1 - 10.0 / 11, 1e-15);
    cr_expect_eq(sq_own_sigmoid(1000000, 10), 1);
    cr_expect_eq(sq_own_linear(5, NAN, 1), 0);
}

/* ---- Given symbols ------------------------------------------------------------------------- */

static const int32_t truth[STEPS * B] = { 2, 0, 1, 2, 2, 1, 0, 0 };

/* By hand: step t is told what came before it. */
Test(given, forcing_is_the_loop_by_hand)
{
    speaker s;
    speaker_new(&s, SQ_F64, 4);
    sq_var h = state_of(&s, 8), mine[STEPS];
    sq_var scores = sq_decode_given(s.t, &s.d, &h, truth, STEPS, B, NULL);
    double a[STEPS * B * V], b[STEPS * B * V];
    cr_assert(sq_copy_f64(scores, a) == SQ_OK, "%s", sq_message(s.t));
    for (int i = 0; i < STEPS; i++) {
        int32_t told[B] = { START, START };
        if (i) memcpy(told, truth + (i - 1) * B, sizeof told);
        sq_begin_step(s.t);
        mine[i] = read_out(s.t, &s, s.cell.step(s.t, s.cell.self, embed(s.t, &s, told, B), &h));
        cr_assert(sq_copy_f64(mine[i], b + i * B * V) == SQ_OK);
    }
    for (int i = 0; i < COUNT(a); i++) cr_expect_float_eq(a[i], b[i], 1e-13);
    speaker_free(&s);
}

/* Values and weight gradients of a cross-entropy. */
static void learn(speaker *s, double own, double temperature, const int32_t *ids,
                  double *values, double *grads)
{
    sq_tape_reset(s->t);
    sq_zero_grads(s->t);
    sq_var h = state_of(s, 8);
    sq_decode_options o = {
        .own = own, .temperature = temperature, .seed = 3, .mode = SQ_EAGER
    };
    sq_var y = sq_decode_given(s->t, &s->d, &h, ids, STEPS, B, &o);
    sq_var flat = sq_reshape(y, sq_mat(STEPS * B, V));
    sq_var loss = sq_cross_entropy(flat, truth, NULL, SQ_MEAN);
    cr_assert(sq_copy_f64(y, values) == SQ_OK, "%s", sq_message(s->t));
    BACKWARD(loss);
    memcpy(grads, sq_grads(s->t), params_bytes(s->p));
}

/* Sums over steps in another order. */
static void expect_near(const double *a, const double *b, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(b[i]));
    for (int i = 0; i < n; i++)
        cr_expect(fabs(a[i] - b[i]) <= 1e-14 * most, "gradient %d: %g, not %g", i, a[i], b[i]);
}

/* Rate 1 is what forcing would do with the net's own symbols; of those only the first STEPS - 1 are
 * told, so the truth that is forced here does not matter. */
Test(given, scheduled_sampling_at_its_ends)
{
    speaker s;
    speaker_new(&s, SQ_F64, 4);
    for (int hot = 0; hot < 2; hot++) {
        double a[STEPS * B * V], b[STEPS * B * V], temperature = hot;
        double *ga = malloc(params_bytes(s.p)), *gb = malloc(params_bytes(s.p));
        int32_t ids[STEPS * B], padded = 0;
        sq_decoder endless = s.d;
        endless.stop = -1;
        sq_tape_reset(s.t);
        sq_var h = state_of(&s, 8);
        sq_decode_options o = { .temperature = temperature, .seed = 3 };
        cr_assert_eq(sq_decode(s.t, &endless, &h, STEPS, B, &o, ids, NULL), STEPS);
        for (int i = 0; i < STEPS * B; i++) padded += ids[i] != truth[i];
        cr_assert(padded > 0, "the net says what it should already");
        learn(&s, 1, temperature, truth, a, ga);
        learn(&s, 0, 0, ids, b, gb);
        EXPECT_SAME_BITS(a, b, sizeof a, "scores, free running");
        expect_near(ga, gb, (int)sq_params_size(s.p));
        learn(&s, 1e-300, temperature, truth, a, ga);
        learn(&s, 0, 0, truth, b, gb);
        EXPECT_SAME_BITS(a, b, sizeof a, "scores, forced");
        expect_near(ga, gb, (int)sq_params_size(s.p));
        free(ga);
        free(gb);
    }
    speaker_free(&s);
}

/* The share of own choices is the rate: counted over rows that would differ from the truth. */
static sq_var watch_input(sq_tape *t, const void *context, const int32_t *ids, int64_t n)
{
    int64_t *count = *(int64_t *const *)context;
    for (int64_t i = 0; i < n; i++) *count += ids[i] == 2;
    return sq_zeros(t, sq_mat(n, 1));
}

static sq_var one_likely(sq_tape *t, const void *context, sq_var y)
{
    double x[1000 * 3];
    (void)context, (void)y;
    for (int i = 0; i < 1000; i++) x[3 * i] = x[3 * i + 1] = 0, x[3 * i + 2] = 1;
    return sq_input_f64(t, sq_mat(1000, 3), x);
}

static sq_var say_nothing(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self, (void)state;
    return x;
}

Test(given, own_choices_are_as_frequent_as_asked)
{
    static int32_t zeros[11 * 1000];
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    int64_t count = 0, *at = &count;
    sq_cell cell = { .name = "none", .step = say_nothing };
    sq_decoder d = { &cell, watch_input, one_likely, &at, 0, -1 };
    sq_decode_options o = { .own = .3, .seed = 9 };
    sq_decode_given(t, &d, NULL, zeros, 11, 1000, &o);
    ASSERT_HEALTHY(t);
    double deviation = sqrt(10000 * .3 * .7);
    cr_expect(fabs((double)count - 3000) < 4 * deviation, "%lld of 10000", (long long)count);
    sq_tape_free(t);
}

/* ---- Free running -------------------------------------------------------------------------- */

Test(free_running, stops_and_pads)
{
    speaker s;
    speaker_new(&s, SQ_F64, 4);
    int ended = 0, unequal = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        int32_t ids[30 * B], plain[30 * B];
        int64_t length[B];
        sq_decode_options o = { .temperature = 1, .seed = seed };
        sq_decoder endless = s.d;
        endless.stop = -1;
        sq_tape_reset(s.t);
        sq_var h = state_of(&s, 8);
        int64_t n = sq_decode(s.t, &s.d, &h, 30, B, &o, ids, length);
        ASSERT_HEALTHY(s.t);
        cr_assert_eq(sq_decode(s.t, &endless, &h, 30, B, &o, plain, NULL), 30);
        int64_t most = length[0] > length[1] ? length[0] : length[1];
        cr_assert_eq(n, most);
        unequal += length[0] != length[1];
        for (int r = 0; r < B; r++) {
            for (int64_t i = 0; i < 30; i++) {
                int32_t want = i < length[r] ? plain[i * B + r] : STOP;
                cr_assert_eq(ids[i * B + r], want, "seed %d row %d step %d", (int)seed, r,
                             (int)i);
                cr_assert_eq(i + 1 < length[r] && ids[i * B + r] == STOP, 0);
            }
            ended += length[r] < 30 && ids[(length[r] - 1) * B + r] == STOP;
        }
    }
    cr_expect(ended > 20 && unequal > 5);
    speaker_free(&s);
}

/* A tape for inference says the same, and holds no more after many steps than after few. */
Test(free_running, on_a_tape_for_inference)
{
    speaker s;
    speaker_new(&s, SQ_F64, 4);
    static int32_t a[2000 * B], b[2000 * B];
    sq_decode_options o = { .temperature = 1, .seed = 1 };
    s.d.stop = -1;
    sq_var h = state_of(&s, 8);
    cr_assert_eq(sq_decode(s.t, &s.d, &h, 2000, B, &o, a, NULL), 2000);
    sq_tape_reset(s.t);
    sq_tape_set_inference(s.t, true);
    h = state_of(&s, 8);
    cr_assert_eq(sq_decode(s.t, &s.d, &h, 20, B, &o, b, NULL), 20);
    size_t few = sq_tape_statistics(s.t).value_bytes;
    sq_tape_reset(s.t);
    h = state_of(&s, 8);
    cr_assert_eq(sq_decode(s.t, &s.d, &h, 2000, B, &o, b, NULL), 2000);
    cr_expect(sq_tape_statistics(s.t).value_bytes <= few, "%zu, not %zu",
              sq_tape_statistics(s.t).value_bytes, few);
    EXPECT_SAME_BITS(a, b, sizeof a, "symbols");
    speaker_free(&s);
}

/* ---- Beams --------------------------------------------------------------------------------- */

typedef struct found {
    int32_t ids[STEPS];
    double score, log_p;
    int length;
} found;

typedef struct everything {
    speaker *s;
    int row, n;
    double penalty;
    found of[128];
} everything;

/* All continuations of a beginning, in a loop by hand over one row. */
static void enumerate(everything *all, found f, sq_var h)
{
    speaker *s = all->s;
    int32_t told = f.length ? f.ids[f.length - 1] : START;
    bool ended = f.length == STEPS || (f.length && told == STOP);
    if (ended) {
        f.score = f.log_p / pow((5 + f.length) / 6.0, all->penalty);
        all->of[all->n++] = f;
        return;
    }
    double x[V], sum = 0;
    sq_begin_step(s->t);
    sq_var y = s->cell.step(s->t, s->cell.self, embed(s->t, s, &told, 1), &h);
    cr_assert(sq_copy_f64(read_out(s->t, s, y), x) == SQ_OK);
    for (int c = 0; c < V; c++) sum += exp(x[c]);
    for (int c = 0; c < V; c++) {
        found g = f;
        g.ids[g.length++] = c;
        g.log_p += x[c] - log(sum);
        enumerate(all, g, h);
    }
}

static int by_score(const void *a, const void *b)
{
    const found *x = a, *y = b;
    return x->score < y->score ? 1 : x->score > y->score ? -1 : 0;
}

static void expect_beams(const everything *all, const sq_beam *beams, const int32_t *ids,
                         int width)
{
    for (int k = 0; k < width; k++) {
        const found *want = &all->of[k];
        if (k >= all->n) {
            cr_assert_eq(beams[k].length, 0);
            continue;
        }
        cr_assert_float_eq(beams[k].score, want->score, 1e-12, "beam %d: %g, not %g", k,
                           beams[k].score, want->score);
        cr_assert_float_eq(beams[k].log_p, want->log_p, 1e-12);
        cr_assert_eq(beams[k].length, want->length);
        for (int i = 0; i < STEPS; i++)
            cr_assert_eq(ids[k * STEPS + i], i < want->length ? want->ids[i] : STOP);
    }
}

Test(beam, wide_enough_is_exhaustive)
{
    enum { WIDE = 81 };
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int p = 0; p < 2; p++) {
            speaker s;
            sq_beam beams[B * WIDE];
            static int32_t ids[B * WIDE * STEPS];
            speaker_new(&s, SQ_F64, seed);
            sq_var h = state_of(&s, 8);
            int64_t n = sq_beam_search(s.t, &s.d, &h, STEPS, B, WIDE, p ? .6 : 0, beams, ids);
            ASSERT_HEALTHY(s.t);
            cr_assert_eq(n, STEPS);
            for (int r = 0; r < B; r++) {
                static everything all;
                all = (everything){ .s = &s, .row = r, .penalty = p ? .6 : 0 };
                enumerate(&all, (found){ .length = 0 }, sq_slice(h, 0, r, 1));
                cr_assert_eq(all.n, 1 + 2 + 4 + 8 * 3);
                qsort(all.of, (size_t)all.n, sizeof *all.of, by_score);
                expect_beams(&all, beams + r * WIDE, ids + r * WIDE * STEPS, WIDE);
            }
            speaker_free(&s);
        }
}

/* A narrow search by its definition: the best of all prefixes, step by step. */
Test(beam, of_one_is_greedy)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        speaker s;
        sq_beam beams[B];
        int32_t ids[B * STEPS], greedy[STEPS * B];
        int64_t length[B];
        speaker_new(&s, SQ_F64, seed);
        sq_var h = state_of(&s, 8);
        cr_assert(sq_beam_search(s.t, &s.d, &h, STEPS, B, 1, 0, beams, ids) > 0);
        cr_assert(sq_decode(s.t, &s.d, &h, STEPS, B, NULL, greedy, length) > 0);
        for (int r = 0; r < B; r++) {
            cr_expect_eq(beams[r].length, length[r]);
            for (int i = 0; i < STEPS; i++) cr_expect_eq(ids[r * STEPS + i], greedy[i * B + r]);
        }
        speaker_free(&s);
    }
}

/* Pruned by hand: all candidates of the `WIDTH` prefixes kept, the best WIDTH of them kept again. */
Test(beam, of_two_keeps_the_two_best)
{
    enum { WIDTH = 2 };
    for (uint64_t seed = 1; seed <= 10; seed++) {
        speaker s;
        sq_beam beams[WIDTH];
        int32_t ids[WIDTH * STEPS];
        speaker_new(&s, SQ_F64, seed);
        sq_var row = sq_slice(state_of(&s, 8), 0, 0, 1), kept_h[WIDTH] = { row };
        cr_assert(sq_beam_search(s.t, &s.d, &row, STEPS, 1, WIDTH, 0, beams, ids) > 0);
        found kept[WIDTH] = { { .length = 0 } };
        int n_kept = 1;
        for (int i = 0; i < STEPS; i++) {
            found all[WIDTH * V];
            sq_var of[WIDTH * V];
            int n = 0;
            for (int k = 0; k < n_kept; k++) {
                found f = kept[k];
                int32_t told = f.length ? f.ids[f.length - 1] : START;
                f.score = f.log_p;
                if (f.length && told == STOP) {
                    of[n] = kept_h[k], all[n++] = f;
                    continue;
                }
                double x[V], sum = 0;
                sq_var h = kept_h[k];
                sq_begin_step(s.t);
                sq_var y = s.cell.step(s.t, s.cell.self, embed(s.t, &s, &told, 1), &h);
                cr_assert(sq_copy_f64(read_out(s.t, &s, y), x) == SQ_OK);
                for (int c = 0; c < V; c++) sum += exp(x[c]);
                for (int c = 0; c < V; c++) {
                    all[n] = f;
                    all[n].ids[all[n].length++] = c;
                    all[n].score = all[n].log_p += x[c] - log(sum);
                    of[n++] = h;
                }
            }
            n_kept = n < WIDTH ? n : WIDTH;
            for (int k = 0; k < n_kept; k++) {
                int best = k;
                for (int j = k + 1; j < n; j++)
                    if (all[j].score > all[best].score) best = j;
                found f = all[k];
                sq_var h = of[k];
                kept[k] = all[best], kept_h[k] = of[best];
                all[best] = f, of[best] = h;
            }
        }
        for (int k = 0; k < WIDTH; k++) {
            cr_expect_float_eq(beams[k].log_p, kept[k].log_p, 1e-12);
            cr_expect_eq(beams[k].length, kept[k].length);
            for (int i = 0; i < kept[k].length; i++)
                cr_expect_eq(ids[k * STEPS + i], kept[k].ids[i]);
        }
        speaker_free(&s);
    }
}

static sq_var certain_scores(sq_tape *t, const void *context, sq_var y)
{
    (void)context, (void)y;
    const double all = (double)INFINITY;
    return sq_input_f64(t, sq_mat(B, V), (double[]){ 0, 3, all, -all, all, all });
}

/* A score of infinity has all of the probability; several share it. */
Test(beam, infinite_scores_are_certain)
{
    speaker s;
    speaker_new(&s, SQ_F64, 1);
    int32_t ids[B];
    sq_beam beams[B];
    s.d.scores = certain_scores;
    cr_assert(sq_beam_search(s.t, &s.d, NULL, 1, B, 1, 0, beams, ids) == 1, "%s",
              sq_message(s.t));
    cr_expect(beams[0].log_p == 0 && ids[0] == 2);
    cr_expect_float_eq(beams[1].log_p, -log(2), 1e-15);
    cr_expect_eq(ids[1], 1);
    speaker_free(&s);
}

/* ---- Mistakes ------------------------------------------------------------------------------ */

static sq_var bad_scores(sq_tape *t, const void *context, sq_var y)
{
    (void)context, (void)y;
    return sq_input_f64(t, sq_mat(B, 2), (double[]){ 1, NAN, 0, 0 });
}

static sq_var bad_shape(sq_tape *t, const void *context, sq_var y)
{
    (void)context;
    (void)t;
    return sq_sum(y);
}

#define EXPECT_MISTAKE(t, status, sentence)                                      \
    do {                                                                         \
        cr_expect(strstr(sq_message(t), sentence) != NULL, "%s", sq_message(t)); \
        EXPECT_ERROR(t, status);                                                 \
    } while (0)

Test(mistakes, are_told)
{
    speaker s;
    speaker_new(&s, SQ_F64, 1);
    int32_t ids[STEPS * B];
    sq_beam beams[B];
    sq_decoder none = { .cell = NULL }, nan = s.d, shape = s.d;
    nan.scores = bad_scores;
    shape.scores = bad_shape;
    sq_decode(s.t, &none, NULL, 1, B, NULL, ids, NULL);
    EXPECT_MISTAKE(s.t, SQ_EVALUE, "decode: a decoder needs a cell and an input");
    sq_decode_given(s.t, &s.d, NULL, truth, STEPS, B, &(sq_decode_options){ .own = 2 });
    EXPECT_MISTAKE(s.t, SQ_EVALUE, "decode: own is 2, of 0 to 1, and temperature 0");
    sq_decode(s.t, &s.d, NULL, -1, B, NULL, ids, NULL);
    EXPECT_MISTAKE(s.t, SQ_ERANGE, "decode: cannot decode -1 steps of 2 rows");
    sq_decode(s.t, &nan, NULL, STEPS, B, NULL, ids, NULL);
    EXPECT_MISTAKE(s.t, SQ_EVALUE,
                   "decode: row 0 has no likeliest symbol: its scores are NaN or -inf");
    sq_beam_search(s.t, &nan, NULL, STEPS, B, 1, 0, beams, ids);
    EXPECT_MISTAKE(s.t, SQ_EVALUE,
                   "beam_search: row 0 has no likeliest symbol: its scores are NaN or -inf");
    sq_decode(s.t, &shape, NULL, STEPS, B, NULL, ids, NULL);
    EXPECT_MISTAKE(s.t, SQ_ESHAPE, "the scores of 2 rows have shape []");
    sq_beam_search(s.t, &s.d, NULL, STEPS, B, 0, 0, beams, ids);
    EXPECT_MISTAKE(s.t, SQ_ERANGE, "beam_search: cannot search 0 beams of 2 rows over 4 steps");
    sq_beam_search(s.t, &s.d, NULL, STEPS, B, 1, (double)INFINITY, beams, ids);
    EXPECT_MISTAKE(s.t, SQ_ERANGE, "beam_search: a length penalty of inf");
    sq_beam_search(s.t, &s.d, NULL, STEPS, B, 1, 0, NULL, ids);
    EXPECT_MISTAKE(s.t, SQ_EVALUE, "beam_search: there is no room for the beams");
    sq_decode_given(s.t, &s.d, NULL, NULL, STEPS, B, NULL);
    EXPECT_MISTAKE(s.t, SQ_EVALUE, "decode: the symbols are NULL");
    sq_repeat_rows(sq_zeros(s.t, sq_mat(2, 2)), -1);
    EXPECT_MISTAKE(s.t, SQ_ERANGE, "repeat_rows: cannot repeat the rows of [2,2] -1 times");
    cr_expect_eq(sq_decode(s.t, &s.d, NULL, 0, B, NULL, NULL, NULL), 0);
    cr_expect_eq(sq_decode(s.t, &s.d, NULL, 3, 0, NULL, NULL, NULL), 0);
    ASSERT_HEALTHY(s.t);
    speaker_free(&s);
}

/* A state of one row would stretch to all rows: it is refused however the symbols are found. */
Test(mistakes, states_of_other_rows_are_told)
{
    speaker s;
    speaker_new(&s, SQ_F64, 1);
    int32_t ids[STEPS * B];
    sq_beam beams[B];
    for (int way = 0; way < 5; way++) {
        sq_var h = sq_zeros(s.t, sq_mat(1, H));
        sq_decode_options o = { .own = way / 2 };
        if (way < 3) sq_decode_given(s.t, &s.d, &h, truth, STEPS, B, &o);
        else if (way == 3) sq_decode(s.t, &s.d, &h, STEPS, B, NULL, ids, NULL);
        else sq_beam_search(s.t, &s.d, &h, STEPS, B, 1, 0, beams, ids);
        EXPECT_MISTAKE(s.t, SQ_ESHAPE, "state 0 \"h\" of cell gru has shape [1,5], not [2,5]");
    }
    /* No value are zeros, as in sq_unroll. */
    cr_expect_eq(sq_decode(s.t, &s.d, &(sq_var){ s.t, 0 }, 1, B, NULL, ids, NULL), 1);
    ASSERT_HEALTHY(s.t);
    speaker_free(&s);
}
