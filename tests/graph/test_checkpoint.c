/* test_checkpoint.c -- schedules: the published integers, the best of all schedules, and every
 * action in its place.
 *
 * A schedule is judged by walking it: the walker holds the set of snapshots alive, counts steps
 * and bytes, and knows nothing of how the schedule was found. */
#include "tests/support/support.h"

#include "graph/checkpoint.h"

typedef sq_checkpoint_problem problem;
typedef sq_checkpoint_cost cost;

/* The cost as made; -1 extra steps where there is no schedule. */
static cost predicted(problem p)
{
    cost c = { .extra_steps = -1 };
    sq_checkpoint_schedule *s = sq_checkpoint_new(&p);
    if (s) c = sq_checkpoint_predicted(s);
    sq_checkpoint_free(s);
    return c;
}

/* ---- The walker ----------------------------------------------------------------------------- */

typedef struct walk {
    problem p;
    bool *alive; /* [T + 1] */
    cost seen;
    int64_t steps, at, end, kept, from, to, turned, leave;
    const char *wrong;
} walk;

#define MUST(condition)                                       \
    do {                                                      \
        if (!(condition) && !w->wrong) w->wrong = #condition; \
    } while (0)

/* What is kept now: snapshots, and the stretch from..to. */
static void weigh(walk *w)
{
    int64_t bytes = w->kept * w->p.snapshot_bytes + (w->to - w->from) * w->p.tape_bytes;
    if (bytes > w->seen.peak_bytes) w->seen.peak_bytes = bytes;
    if (w->kept > w->seen.snapshots) w->seen.snapshots = w->kept;
    if (w->to - w->from > w->seen.stretch) w->seen.stretch = w->to - w->from;
}

static void walk_forward(walk *w, sq_checkpoint_action a)
{
    MUST(a.from == w->at && a.from < a.to && a.to <= w->end);
    w->steps += a.to - a.from;
    if (a.kind == SQ_TAPE) {
        MUST(a.to == w->end);
        w->from = a.from, w->to = a.to;
    } else {
        MUST(w->leave < 0 && a.to < w->end);
    }
    w->at = a.to;
}

static void walk_kept(walk *w, sq_checkpoint_action a)
{
    MUST(a.from == a.to && a.from >= 0 && a.from < w->end);
    if (w->wrong) return;
    if (a.kind == SQ_SNAPSHOT) {
        MUST(a.from == w->at && a.from > 0 && !w->alive[a.from] && w->leave < 0);
        w->alive[a.from] = true;
        w->kept++;
    } else {
        MUST((a.from == 0 || w->alive[a.from]) && w->at < 0);
        w->at = a.from;
        if (a.last) w->leave = a.from;
    }
}

static void walk_reverse(walk *w, sq_checkpoint_action a)
{
    MUST(a.from == w->from && a.to == w->to && a.to == w->end && a.from < a.to &&
         w->turned == 1);
    w->end = a.from;
    w->at = -1;
    w->from = w->to = 0;
    if (w->leave > 0 && !w->wrong) {
        MUST(w->leave == a.from && w->alive[a.from]);
        w->alive[a.from] = false;
        w->kept--;
    }
    w->leave = -1;
}

static void walk_action(walk *w, sq_checkpoint_action a)
{
    bool saved = w->to > w->from;
    MUST(a.last == false || a.kind == SQ_RESTORE);
    MUST(saved == (a.kind == SQ_REVERSE) || (a.kind == SQ_TURN && (saved || w->p.steps == 0)));
    if (a.kind == SQ_ADVANCE || a.kind == SQ_TAPE) walk_forward(w, a);
    else if (a.kind == SQ_SNAPSHOT || a.kind == SQ_RESTORE) walk_kept(w, a);
    else if (a.kind == SQ_REVERSE) walk_reverse(w, a);
    else {
        MUST(a.kind == SQ_TURN && w->at == w->p.steps && w->turned == 0);
        w->turned++;
    }
    weigh(w);
}

/* Walks a schedule to its end. The sentence of the first thing wrong, or NULL. */
static const char *walk_schedule(sq_checkpoint_schedule *s, const problem *p)
{
    walk state = { .p = *p, .end = p->steps, .leave = -1 }, *w = &state;
    w->alive = calloc((size_t)p->steps + 1, sizeof *w->alive);
    for (;;) {
        sq_checkpoint_action a = sq_checkpoint_next(s);
        if (a.kind == SQ_DONE) break;
        walk_action(w, a);
        if (w->wrong) break;
        if (p->every == 0) MUST(w->seen.peak_bytes <= p->budget);
    }
    cost c = sq_checkpoint_predicted(s);
    MUST(w->end == 0 && w->turned == 1 && w->kept == 0 && w->to == w->from);
    MUST(w->steps - p->steps == c.extra_steps);
    MUST(w->seen.peak_bytes == c.peak_bytes);
    MUST(w->seen.snapshots == c.snapshots);
    MUST(w->seen.stretch == c.stretch);
    MUST(sq_checkpoint_next(s).kind == SQ_DONE);
    free(w->alive);
    return w->wrong;
}

/* Twice, the second time after sq_checkpoint_again. Returns the extra steps. */
static int64_t expect_walk(problem p)
{
    sq_checkpoint_schedule *s = sq_checkpoint_new(&p);
    const char *wrong = "there is no schedule";
    int64_t extra = -1;
    if (s) {
        extra = sq_checkpoint_predicted(s).extra_steps;
        wrong = walk_schedule(s, &p);
        sq_checkpoint_again(s);
        if (!wrong) wrong = walk_schedule(s, &p);
    }
    sq_checkpoint_free(s);
    cr_expect(wrong == NULL,
              "T %lld, snapshot %lld, tape %lld, budget %lld, every %lld, policy %d: %s",
              (long long)p.steps, (long long)p.snapshot_bytes, (long long)p.tape_bytes,
              (long long)p.budget, (long long)p.every, (int)p.policy, wrong ? wrong : "");
    return extra;
}

/* ---- Published numbers ---------------------------------------------------------------------- */

/* Griewank and Walther 2000: extra steps for T steps and s states kept, the initial ones among
 * them. */
Test(checkpoint, revolve_integers)
{
    static const int64_t s[] = { 2, 3, 5, 10, 20, 50, 100 };
    static const struct {
        int64_t steps, extra[7];
    } rows[] = {
        { 100, { 845, 490, 316, 222, 178, 148, 99 } },
        { 200, { 2470, 1305, 790, 522, 378, 348, 298 } },
        { 1000, { 28820, 12155, 6284, 3636, 2747, 1948, 1898 } },
        { 10000, { 932820, 278730, 112868, 57624, 37976, 28622, 24747 } },
    };
    for (int i = 0; i < COUNT(rows); i++)
        for (int k = 0; k < COUNT(s); k++) {
            problem p = { rows[i].steps, 7, 30, 30 + (s[k] - 1) * 7, 0, SQ_REVOLVE };
            int64_t got = expect_walk(p);
            cr_expect(got == rows[i].extra[k], "T %lld, s %lld: %lld, not %lld",
                      (long long)p.steps, (long long)s[k], (long long)got,
                      (long long)rows[i].extra[k]);
        }
}

/* Gruslys et al. 2016, T = 1000 and a step's tape of 5 states: extra steps at 1 .. 10 % of the
 * whole tape. */
Test(checkpoint, mixed_integers)
{
    static const int64_t percent[] = { 1, 2, 3, 5, 10 },
                         extra[] = { 1765, 1028, 978, 954, 902 };
    for (int i = 0; i < COUNT(percent); i++) {
        problem p = { 1000, 64, 5 * 64, 50 * 64 * percent[i], 0, SQ_MIXED };
        int64_t got = expect_walk(p);
        cr_expect(got == extra[i], "%lld %%: %lld, not %lld", (long long)percent[i],
                  (long long)got, (long long)extra[i]);
    }
}

/* ---- The best of all schedules -------------------------------------------------------------- */

enum { SMALL = 12, MASKS = 1 << (SMALL - 1) }; /* bit k - 1: a snapshot at k */

/* Every state that a schedule can be in: what is reversed from `end` on, the snapshots alive, the
 * present, and whether a snapshot was just restored, which then cannot be dropped before it is
 * left or its stretch reversed. */
typedef struct place {
    int end, at, restored, mask;
} place;

static struct {
    int best[SMALL + 1][SMALL + 1][2][MASKS];
    place queue[(SMALL + 1) * (SMALL + 1) * 2 * MASKS];
} all;

static void reach(place x, int steps, int *n)
{
    int *best = &all.best[x.end][x.at][x.restored][x.mask];
    if (steps >= *best) return;
    *best = steps;
    all.queue[(*n)++ % COUNT(all.queue)] = x;
}

/* The least extra steps over all schedules, by walking them all; stretches up to `longest`. */
static int least_extra(const problem *p, int longest)
{
    int T = (int)p->steps, n = 0, least = INT32_MAX;
    memset(all.best, 0x7f, sizeof all.best);
    reach((place){ T, 0, 1, 0 }, 0, &n);
    for (int i = 0; i < n; i++) {
        place x = all.queue[i % COUNT(all.queue)];
        int steps = all.best[x.end][x.at][x.restored][x.mask],
            held = __builtin_popcount((unsigned)x.mask);
        int64_t bytes = held * p->snapshot_bytes;
        for (int k = 1; k < x.end; k++) {
            int bit = 1 << (k - 1);
            if ((x.mask & bit) == 0) continue;
            reach((place){ x.end, k, 1, x.mask }, steps, &n);
            if (x.restored == 0 || x.at != k)
                reach((place){ x.end, x.at, x.restored, x.mask & ~bit }, steps, &n);
        }
        reach((place){ x.end, 0, 1, x.mask }, steps, &n);
        if (x.at + 1 < x.end) reach((place){ x.end, x.at + 1, 0, x.mask }, steps + 1, &n);
        if (x.at && bytes + p->snapshot_bytes <= p->budget)
            reach((place){ x.end, x.at, x.restored, x.mask | 1 << (x.at - 1) }, steps, &n);
        if (x.end - x.at <= longest && bytes + (x.end - x.at) * p->tape_bytes <= p->budget) {
            int done = steps + x.end - x.at;
            if (x.at) reach((place){ x.at, 0, 1, x.mask & ((1 << (x.at - 1)) - 1) }, done, &n);
            else if (done < least) least = done;
        }
    }
    return least - T;
}

static void expect_least(problem p, int longest)
{
    int64_t got = expect_walk(p), want = least_extra(&p, longest);
    cr_expect(got == want, "T %d, snapshot %d, tape %d, budget %d, policy %d: %d, not %d",
              (int)p.steps, (int)p.snapshot_bytes, (int)p.tape_bytes, (int)p.budget,
              (int)p.policy, (int)got, (int)want);
}

/* For each number of states kept: room for a stretch of one step, and for more. */
Test(checkpoint, nothing_is_better)
{
    static const struct {
        int64_t snapshot, tape;
    } sizes[] = {
        { 1, 1 }, { 1, 2 }, { 1, 5 }, { 2, 3 }, { 3, 2 }, { 3, 1 }, { 5, 2 },
    };
    for (int i = 0; i < FEWER(COUNT(sizes)); i++)
        for (int T = 1; T <= SMALL; T++)
            for (int s = 1; s <= 5; s++) {
                problem p = { T, sizes[i].snapshot, sizes[i].tape, 0, 0, SQ_MIXED };
                p.budget = p.tape_bytes + (s - 1) * p.snapshot_bytes;
                expect_least(p, T);
                p.budget += p.tape_bytes + T % 3;
                expect_least(p, T);
            }
}

Test(checkpoint, nothing_is_better_one_by_one)
{
    for (int T = 1; T <= SMALL; T++)
        for (int s = 1; s <= 5; s++) {
            problem p = { T, 3, 4, 4 + (s - 1) * 3 + s % 3, 0, SQ_REVOLVE };
            expect_least(p, 1);
        }
}

/* ---- The same program without its shortcuts ------------------------------------------------- */

enum { LONG = 2001 };

/* The recurrence as it stands, every split tried at every level. */
static int64_t plain_program(const problem *p)
{
    static int64_t value[2][LONG + 1];
    int64_t T = p->steps, levels = 1;
    while (levels <= T && p->tape_bytes + levels * p->snapshot_bytes <= p->budget) levels++;
    for (int64_t i = levels - 1; i >= 0; i--) {
        int64_t *f = value[i & 1], *above = value[(i + 1) & 1], c = 0;
        while (c < T && i * p->snapshot_bytes + (c + 1) * p->tape_bytes <= p->budget) c++;
        for (int64_t n = 0; n <= T; n++) {
            f[n] = n <= c ? 0 : INT64_MAX;
            for (int64_t y = 1; n > c && y < n; y++) {
                bool leaf = n - y <= c;
                if (leaf == false && i == levels - 1) continue;
                int64_t v = y + f[y] + (leaf ? 0 : above[n - y]);
                if (v < f[n]) f[n] = v;
            }
        }
    }
    return value[0][T];
}

/* Sizes of all proportions, and budgets from one step to a good part of the whole tape. */
static problem draw(rng *r, int most)
{
    static const int sizes[] = { 3, 30, 300, 100000 };
    problem p = { .steps = 1 + rng_below(r, most) };
    p.snapshot_bytes = 1 + rng_below(r, sizes[rng_below(r, COUNT(sizes))]);
    p.tape_bytes = 1 + rng_below(r, sizes[rng_below(r, COUNT(sizes))]);
    double part = rng_in(r, 0, 1) * rng_in(r, 0, 1);
    p.budget = p.tape_bytes + (int64_t)(part * part * (double)(p.tape_bytes * p.steps));
    return p;
}

Test(checkpoint, shortcuts_lose_nothing)
{
    rng r = { 11 };
    for (int i = 0; i < FEWER(240); i++) {
        problem p = draw(&r, i % 8 ? 120 : 400);
        int64_t got = expect_walk(p), want = plain_program(&p);
        cr_expect(got == want, "T %lld, snapshot %lld, tape %lld, budget %lld: %lld, not %lld",
                  (long long)p.steps, (long long)p.snapshot_bytes, (long long)p.tape_bytes,
                  (long long)p.budget, (long long)got, (long long)want);
    }
}

/* ---- Walks ---------------------------------------------------------------------------------- */

Test(checkpoint, every_action_in_its_place)
{
    rng r = { 12 };
    for (int i = 0; i < FEWER(600); i++) {
        problem p = draw(&r, i % 3 ? 300 : 3000);
        p.policy = i % 2 ? SQ_REVOLVE : SQ_MIXED;
        if (i % 5 == 0) p.every = 1 + rng_below(&r, (int)p.steps + 3);
        if (p.policy == SQ_REVOLVE && p.steps > 300) p.budget += 8 * p.snapshot_bytes;
        expect_walk(p);
    }
}

Test(checkpoint, ends_of_the_range)
{
    static const sq_checkpoint_policy policies[] = { SQ_MIXED, SQ_REVOLVE };
    for (int i = 0; i < 2; i++) {
        for (int64_t T = 0; T <= 3; T++)
            for (int64_t every = 0; every <= 4; every++)
                cr_expect(expect_walk((problem){ T, 10, 7, 7, every, policies[i] }) >= 0);
        cr_expect(expect_walk((problem){ 0, 10, 7, 0, 0, policies[i] }) == 0);
        cr_expect(expect_walk((problem){ 1, 10, 7, 7, 0, policies[i] }) == 0);
        /* One step saved, beside nothing: T (T - 1) / 2. */
        cr_expect(expect_walk((problem){ 40, 10, 7, 7, 0, policies[i] }) == 780);
        /* A byte less. */
        cr_expect(predicted((problem){ 40, 10, 7, 6, 0, policies[i] }).extra_steps == -1);
        /* Sizes of nothing. */
        cr_expect(expect_walk((problem){ 40, 0, 7, 7, 0, policies[i] }) == 39);
        expect_walk((problem){ 40, 0, 0, 0, 0, policies[i] });
        expect_walk((problem){ 4000, 0, 0, 0, 0, policies[i] });
        expect_walk((problem){ 4000, 0, 9, 9, 0, policies[i] });
    }
    static const int64_t T[] = { 1, 2, 999, 1000, 1001, 5000 };
    for (int i = 0; i < COUNT(T); i++) {
        problem p = { T[i], 10, 7, 7 * T[i], 0, SQ_MIXED };
        cr_expect(expect_walk(p) == 0, "all fits");
        p.budget = INT64_MAX;
        cr_expect(expect_walk(p) == 0, "all fits with ease");
        p.policy = SQ_REVOLVE;
        cr_expect(expect_walk(p) == T[i] - 1, "one by one, a snapshot for each");
    }
}

/* All stretches k long but the first: all steps outside the last stretch are run twice. */
Test(checkpoint, every_so_many_steps)
{
    for (int64_t T = 1; T <= 40; T++)
        for (int64_t k = 1; k <= T + 1; k++) {
            problem p = { T, 10, 7, 0, k, SQ_MIXED };
            int64_t length = k < T ? k : T, blocks = (T + length - 1) / length;
            cost c = predicted(p);
            cr_expect(expect_walk(p) == T - length);
            cr_expect(c.snapshots == (blocks > 2 ? blocks - 2 : 0));
            cr_expect(c.peak_bytes == c.snapshots * 10 + length * 7);
        }
}

/* Beyond T = 1000, by the time that training takes, a step's sweep as two steps: near the best where
 * a budget holds a hundredth of all steps, and never worse than equal stretches. */
Test(checkpoint, long_sequences_are_near_the_best)
{
    static const struct {
        int64_t steps, snapshot, tape, part; /* the budget holds 1 / part of the steps */
    } cases[] = {
        { 1001, 100, 100, 90 },
        { 1349, 100, 731, 69 },
        { 1400, 100, 98, 38 },
        { 2001, 100, 249, 61 },
    };
    for (int i = 0; i < FEWER(COUNT(cases)); i++) {
        problem p = { cases[i].steps, cases[i].snapshot, cases[i].tape, 0, 0, SQ_MIXED };
        p.budget = p.steps * p.tape_bytes / cases[i].part;
        int64_t got = expect_walk(p), best = plain_program(&p);
        double time = (double)(3 * p.steps + got) / (double)(3 * p.steps + best);
        cr_expect(got >= best && time < 1.02, "T %d: %d extra steps, %d are enough, time %.3f",
                  (int)p.steps, (int)got, (int)best, time);
    }
}

/* Beyond T = 1000: no block of equal length is better, by the recurrence of REVOLVE, and nor is
 * any single step. */
Test(checkpoint, no_block_is_better)
{
    enum { STEPS = 1200, KEPT = 12 };
    static int64_t least[KEPT + 1][STEPS + 1]; /* states kept, blocks */
    for (int64_t s = 1; s <= KEPT; s++)
        for (int64_t n = 2; n <= STEPS; n++) {
            least[s][n] = s > 1 ? INT64_MAX : n * (n - 1) / 2;
            for (int64_t y = 1; s > 1 && y < n; y++) {
                int64_t v = y + least[s - 1][n - y] + least[s][y];
                if (v < least[s][n]) least[s][n] = v;
            }
        }
    for (int64_t budget = 60; budget <= 240; budget += 20) {
        problem p = { STEPS, 20, 6, budget, 0, SQ_MIXED };
        int64_t got = expect_walk(p);
        for (int64_t b = 1; b * p.tape_bytes <= budget; b++) {
            int64_t s = (budget - b * p.tape_bytes) / p.snapshot_bytes + 1;
            if (STEPS % b == 0 && s <= KEPT)
                cr_expect(got <= b * least[s][STEPS / b], "budget %d, blocks of %d: %d > %d",
                          (int)budget, (int)b, (int)got, (int)(b * least[s][STEPS / b]));
        }
    }
}

/* ---- Long and huge -------------------------------------------------------------------------- */

Test(checkpoint, a_million_steps)
{
    const int64_t T = 1000000;
    int64_t extra = expect_walk((problem){ T, 1024, 3072, 64 << 20, 0, SQ_MIXED });
    cr_expect(extra > 0 && extra < T, "64 MB: %lld", (long long)extra);
    expect_walk((problem){ T, 1024, 3072, 1 << 20, 0, SQ_MIXED });
    expect_walk((problem){ T, 0, 0, 0, 1000, SQ_MIXED });
    if (FEWER(3) < 3) return;
    cr_expect(expect_walk((problem){ T, 1, 1, 1, 1, SQ_REVOLVE }) == T - 1);
    /* beta(1413, 2) = 1 000 405, so r = 2: 2 T - C(1415, 1). */
    cr_expect(expect_walk((problem){ T, 1, 1, 1413, 0, SQ_REVOLVE }) == 2 * T - 1415);
}

Test(checkpoint, huge_sizes)
{
    const int64_t most = INT64_MAX;
    static const sq_checkpoint_policy policies[] = { SQ_MIXED, SQ_REVOLVE };
    for (int i = 0; i < 2; i++) {
        cr_expect(expect_walk((problem){ 50, most, most, most, 0, policies[i] }) ==
                  50 * 49 / 2);
        cr_expect(expect_walk((problem){ 50, most, 1, most, 0, policies[i] }) >= 0);
        cr_expect(expect_walk((problem){ 50, 1, most, most, 0, policies[i] }) == 50 * 49 / 2);
        cr_expect(expect_walk((problem){ 50, most / 4, most / 3, most, 0, policies[i] }) > 49);
        /* Counts beyond 63 bits. */
        cr_expect(predicted((problem){ most, most, most, most, 0, policies[i] }).extra_steps ==
                  -1);
        cr_expect(predicted((problem){ most, 1, 1, 0, most / 2, policies[i] }).extra_steps ==
                  most - most / 2);
        cr_expect(predicted((problem){ most, 3, 1, 0, 2, policies[i] }).extra_steps == -1);
        cr_expect(predicted((problem){ 1 << 30, most, 1 << 30, 1 << 30, 0, policies[i] })
                      .extra_steps == ((int64_t)1 << 29) * ((1 << 30) - 1));
    }
    cr_expect(predicted((problem){ most, 1, 1, most, 0, SQ_MIXED }).extra_steps == 0);
    cr_expect(predicted((problem){ most, 1, 1, most / 2 + 1, 0, SQ_MIXED }).extra_steps ==
              most / 2);
    cr_expect(predicted((problem){ most, 0, 0, 0, 0, SQ_MIXED }).extra_steps == 0);
    cr_expect(predicted((problem){ most, 0, 0, 0, 0, SQ_REVOLVE }).extra_steps == most - 1);
}

/* r T - C(s+r, r-1) with the least r that C(s+r, s) >= T, in exact integers elsewhere; on the way
 * to r lie binomials beyond 64 bits. */
Test(checkpoint, binomials_beyond_64_bits)
{
    static const struct {
        int64_t s, extra;
    } rows[] = { { 377, 888637637145710960 },
                 { 1174, 696279148919478964 },
                 { 1907, 632249535410194002 } };
    for (int i = 0; i < COUNT(rows); i++) {
        problem p = { 100000000000000000, 1, 1, rows[i].s, 0, SQ_REVOLVE };
        cr_expect(predicted(p).extra_steps == rows[i].extra, "s = %d", (int)rows[i].s);
    }
}

Test(checkpoint, sizes_without_a_schedule)
{
    const problem good = { 10, 3, 4, 20, 0, SQ_MIXED };
    cr_expect(sq_checkpoint_least(&good) == 4);
    cr_expect(sq_checkpoint_least(&(problem){ .snapshot_bytes = 3, .tape_bytes = 4 }) == 0);
    problem bad[] = { good, good, good, good, good };
    bad[0].steps = bad[1].snapshot_bytes = bad[2].tape_bytes = bad[3].budget = bad[4].every =
        -1;
    for (int i = 0; i < COUNT(bad); i++) {
        cr_expect(sq_checkpoint_new(&bad[i]) == NULL);
        cr_expect(sq_checkpoint_least(&bad[i]) == (i < 3 ? -1 : 4));
    }
    sq_checkpoint_free(NULL);
}
