/* checkpoint.c -- the automaton, and the schedule over equal stretches in closed form.
 *
 * The automaton walks a tree of splits (checkpoint_impl.h) over blocks of steps and holds no more
 * than the snapshots alive. Where the splits come from is the policy:
 *   - a list, the best tree (checkpoint_best.c) over blocks of T / 1000 steps, rounded up: MIXED,
 *     unless equal stretches are as good. Stretches are of several blocks, longer where fewer
 *     snapshots lie beside them. Up to T = 1000 a block is a step, and nothing is better;
 *   - equal stretches: each block, of b steps, is saved at once, and over the blocks, as if they
 *     were steps, goes REVOLVE. b = 1 is REVOLVE itself; b = k with room for all is `every`; the b
 *     of least cost is MIXED where a budget is too small for many blocks of T / 1000.
 * The first block, which is run most often, is the shorter one.
 *
 * REVOLVE. With s states kept, the initial ones among them, and every step run at most r times
 * more, beta(s,r) = C(s+r, s) steps can be swept. For n blocks and the least r that does,
 *     blocks run again = r n - C(s+r, r-1)
 * and y is a best split when both parts stay between their beta for r - 1 and for r. */
#include "graph/checkpoint_impl.h"

#include <stdlib.h>

/* Snapshots one block apart are one entry. */
typedef struct run {
    int64_t first, count;
} run;

typedef enum phase { FORWARD, TURN, REVERSE, BACK, END } phase;

struct sq_checkpoint_schedule {
    int64_t steps, block, blocks;
    int64_t slots;    /* states kept at most, the initial ones among them */
    uint16_t *splits; /* a tree over the blocks; NULL: by the closed form */
    sq_checkpoint_cost cost;

    phase phase;
    int64_t at, end; /* blocks: the present, and where what was reversed begins */
    int64_t split;   /* of the blocks between; 0: they are saved at once */
    int64_t next;    /* in splits */
    int64_t kept;    /* states kept */
    int64_t n_runs;
    run *runs; /* where they are, ascending */
};

/* ---- The closed form ------------------------------------------------------------------------ */

/* C(n,k), INT64_MAX for all beyond. */
static int64_t binomial(uint64_t n, uint64_t k)
{
    uint64_t v = 1;
    if (k > n - k) k = n - k;
    for (uint64_t i = 1; i <= k; i++) {
        uint64_t f = n - k + i, whole = v / i, part = v % i; /* v f / i, in pieces that fit */
        if (whole && f > INT64_MAX / whole) return INT64_MAX;
        v = whole * f + part * (f / i) + part * (f % i) / i;
        if (v >= INT64_MAX) return INT64_MAX;
    }
    return (int64_t)v;
}

static int64_t beta(int64_t s, int64_t r)
{
    return binomial((uint64_t)s + (uint64_t)r, (uint64_t)s);
}

/* The least r with beta(s,r) >= n. */
static int64_t repeats(int64_t n, int64_t s)
{
    int64_t low = 0, high = 1;
    if (n <= 1) return 0;
    while (beta(s, high) < n) {
        low = high;
        high = high < n / 2 ? 2 * high : n - 1;
    }
    while (high - low > 1) {
        int64_t r = low + (high - low) / 2;
        if (beta(s, r) < n) low = r;
        else high = r;
    }
    return high;
}

/* Of the best splits the one with the longest first part. */
static int64_t revolve(int64_t n, int64_t s)
{
    if (n <= 1) return 0;
    int64_t r = repeats(n, s);
    int64_t most = beta(s, r - 1), rest = n - beta(s - 1, r - 1);
    return most < rest ? most : rest;
}

/* a * b + c for numbers that are not negative; false beyond 63 bits. */
static bool multiply_add(int64_t a, int64_t b, int64_t c, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && !__builtin_add_overflow(*out, c, out);
}

/* The cost of equal blocks beside `held` snapshots; false beyond 63 bits. */
static bool equal_blocks(const sq_checkpoint_problem *p, int64_t block, int64_t held,
                         sq_checkpoint_cost *cost)
{
    int64_t n = sqi_checkpoint_blocks(p->steps, block), s = held + 1, r = repeats(n, s);
    int64_t again, first = p->steps - (n - 1) * block;
    *cost = (sq_checkpoint_cost){ .stretch = n > 1 ? block : p->steps };
    if (r == 1) cost->snapshots = n - 2;
    if (r > 1) cost->snapshots = held;
    if (r > 0) {
        /* The first block lies on the left of exactly r splits. */
        if (!multiply_add(r, n - 1, 0, &again) || !multiply_add(r, first, 0, &first))
            return false;
        again -= binomial((uint64_t)s + (uint64_t)r, (uint64_t)r - 1);
        if (!multiply_add(block, again, first, &cost->extra_steps)) return false;
    }
    return multiply_add(cost->stretch, p->tape_bytes, 0, &cost->peak_bytes) &&
           multiply_add(cost->snapshots, p->snapshot_bytes, cost->peak_bytes,
                        &cost->peak_bytes);
}

/* The block of least cost among all lengths up to 512 and, beyond, lengths 1/512 apart; for up to
 * 512 blocks that is every number of blocks. 0 when no cost is within 63 bits. */
static int64_t choose_block(const sq_checkpoint_problem *p, sq_checkpoint_cost *best)
{
    int64_t longest = sqi_checkpoint_stretch(p, 0), chosen = 0;
    for (int64_t b = 1;;) {
        int64_t even = sqi_checkpoint_blocks(p->steps, sqi_checkpoint_blocks(p->steps, b)),
                left = longest - b;
        sq_checkpoint_cost cost;
        if (equal_blocks(p, even, sqi_checkpoint_held(p, even), &cost) &&
            (!chosen || cost.extra_steps < best->extra_steps))
            chosen = even, *best = cost;
        if (left == 0) return chosen;
        b += left < 1 + b / 512 ? left : 1 + b / 512;
    }
}

/* No tree costs less: it had the longest stretches and the most snapshots at once. */
static int64_t lower_bound(const sq_checkpoint_problem *p)
{
    sq_checkpoint_cost cost;
    bool known =
        equal_blocks(p, sqi_checkpoint_stretch(p, 0), sqi_checkpoint_held(p, 1), &cost);
    return known ? cost.extra_steps : -1;
}

/* ---- Making --------------------------------------------------------------------------------- */

int64_t sq_checkpoint_least(const sq_checkpoint_problem *p)
{
    if (p->steps < 0 || p->snapshot_bytes < 0 || p->tape_bytes < 0) return -1;
    return p->steps ? p->tape_bytes : 0;
}

/* Equal stretches; false when there is no schedule of them. */
static bool choose_equal(const sq_checkpoint_problem *p, sq_checkpoint_schedule *s)
{
    int64_t held;
    if (p->every > 0) {
        s->block = p->every < p->steps ? p->every : p->steps;
        held = sqi_checkpoint_blocks(p->steps, s->block) - 1;
    } else {
        s->block = p->policy == SQ_REVOLVE ? 1 : choose_block(p, &s->cost);
        if (!s->block) return false;
        held = sqi_checkpoint_held(p, s->block);
    }
    s->blocks = sqi_checkpoint_blocks(p->steps, s->block);
    s->slots = held < s->blocks ? held + 1 : s->blocks;
    return equal_blocks(p, s->block, s->slots - 1, &s->cost);
}

/* The best tree instead, where it is better. False when out of memory. */
static bool choose_tree(const sq_checkpoint_problem *p, sq_checkpoint_schedule *s)
{
    const int64_t most = SQI_CHECKPOINT_MOST, block = sqi_checkpoint_blocks(p->steps, most);
    if (p->budget / block < p->tape_bytes || block > INT64_MAX / (2 * most * most)) return true;
    sq_checkpoint_problem over = sqi_checkpoint_over(p, block);
    sq_checkpoint_cost bound, cost;
    if (!choose_block(&over, &bound)) return true;
    uint16_t *splits = sqi_checkpoint_best(p, block, bound.extra_steps, &cost);
    if (!splits) return false;
    if (cost.extra_steps >= s->cost.extra_steps) {
        free(splits);
        return true;
    }
    s->splits = splits;
    s->cost = cost;
    s->block = block;
    s->blocks = over.steps;
    return true;
}

/* The splits of a problem that has steps; false when it has no schedule. */
static bool choose(const sq_checkpoint_problem *p, sq_checkpoint_schedule *s)
{
    if (!choose_equal(p, s)) return false;
    bool given = p->every > 0 || p->policy == SQ_REVOLVE;
    return given || s->cost.extra_steps == lower_bound(p) || choose_tree(p, s);
}

/* Entries for the states kept. Of the splits that hold snapshots at a time, those with r >= 2 have
 * on their left, but for one, at least as many blocks as slots are free. With s slots those are
 * 2 n / s at most, whose snapshots may lie anywhere; all others lie one block apart. */
static bool make_room(sq_checkpoint_schedule *s)
{
    int64_t n = s->cost.snapshots + 1;
    if (!s->splits && n > 8 && s->blocks / s->slots < n / 2 - 3)
        n = 2 * (s->blocks / s->slots) + 6;
    if ((uint64_t)n <= SIZE_MAX / sizeof *s->runs)
        s->runs = malloc((size_t)n * sizeof *s->runs);
    return s->runs != NULL;
}

sq_checkpoint_schedule *sq_checkpoint_new(const sq_checkpoint_problem *p)
{
    int64_t least = sq_checkpoint_least(p);
    if (least < 0 || p->every < 0 || (p->every == 0 && p->budget < least)) return NULL;
    sq_checkpoint_schedule *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->steps = p->steps;
    if ((p->steps > 0 && !choose(p, s)) || !make_room(s)) {
        sq_checkpoint_free(s);
        return NULL;
    }
    sq_checkpoint_again(s);
    return s;
}

void sq_checkpoint_free(sq_checkpoint_schedule *s)
{
    if (!s) return;
    free(s->splits);
    free(s->runs);
    free(s);
}

sq_checkpoint_cost sq_checkpoint_predicted(const sq_checkpoint_schedule *s) { return s->cost; }

/* ---- The automaton -------------------------------------------------------------------------- */

/* The states kept that lie furthest on. */
static int64_t top(const sq_checkpoint_schedule *s)
{
    const run *r = &s->runs[s->n_runs - 1];
    return r->first + r->count - 1;
}

static void push(sq_checkpoint_schedule *s)
{
    if (s->n_runs && top(s) + 1 == s->at) s->runs[s->n_runs - 1].count++;
    else s->runs[s->n_runs++] = (run){ s->at, 1 };
    s->kept++;
}

static void pop(sq_checkpoint_schedule *s)
{
    if (--s->runs[s->n_runs - 1].count == 0) s->n_runs--;
    s->kept--;
}

/* Decides about the blocks from the present on. */
static void decide(sq_checkpoint_schedule *s)
{
    int64_t above = s->kept - (top(s) == s->at);
    s->split = s->splits ? s->splits[s->next++] : revolve(s->end - s->at, s->slots - above);
}

void sq_checkpoint_again(sq_checkpoint_schedule *s)
{
    s->at = s->next = s->kept = s->n_runs = 0;
    s->end = s->blocks;
    push(s);
    if (s->blocks) decide(s);
    s->phase = s->blocks ? FORWARD : TURN;
}

/* An action; a block's place in time is counted from the end, where all blocks are whole. */
static sq_checkpoint_action action(const sq_checkpoint_schedule *s, sq_checkpoint_kind kind,
                                   int64_t from, int64_t to)
{
    return (sq_checkpoint_action){
        .kind = kind,
        .from = from ? s->steps - (s->blocks - from) * s->block : 0,
        .to = to ? s->steps - (s->blocks - to) * s->block : 0,
    };
}

static sq_checkpoint_action forward(sq_checkpoint_schedule *s)
{
    int64_t from = s->at;
    if (s->split == 0) {
        s->phase = s->end == s->blocks ? TURN : REVERSE;
        return action(s, SQ_TAPE, from, s->end);
    }
    if (top(s) != from) {
        push(s);
        return action(s, SQ_SNAPSHOT, from, from);
    }
    s->at += s->split;
    decide(s);
    return action(s, SQ_ADVANCE, from, s->at);
}

static sq_checkpoint_action turn(sq_checkpoint_schedule *s)
{
    s->phase = s->blocks ? REVERSE : END;
    return action(s, SQ_TURN, s->blocks, s->blocks);
}

static sq_checkpoint_action reverse(sq_checkpoint_schedule *s)
{
    int64_t to = s->end;
    s->end = s->at;
    if (top(s) == s->at) pop(s);
    s->phase = s->kept ? BACK : END;
    return action(s, SQ_REVERSE, s->at, to);
}

static sq_checkpoint_action back(sq_checkpoint_schedule *s)
{
    s->at = top(s);
    decide(s);
    s->phase = FORWARD;
    sq_checkpoint_action a = action(s, SQ_RESTORE, s->at, s->at);
    a.last = s->split == 0;
    return a;
}

static sq_checkpoint_action end(sq_checkpoint_schedule *s)
{
    return action(s, SQ_DONE, s->blocks, s->blocks);
}

sq_checkpoint_action sq_checkpoint_next(sq_checkpoint_schedule *s)
{
    static sq_checkpoint_action (*const step[])(sq_checkpoint_schedule *) = {
        [FORWARD] = forward, [TURN] = turn, [REVERSE] = reverse, [BACK] = back, [END] = end,
    };
    return step[s->phase](s);
}
