/* test_plan_gather.c -- an input that is rows of a small table: the plan multiplies the table's rows
 * and picks, and sums gradients up by row. The eager unroll, which does neither, is the reference. */
#include "tests/support/support.h"

#include "seqgrad.h"

#include <math.h>

/* H = I: the cell also uses x row by row, and a tied readout multiplies by the table. */
enum { T = 40, H = 32, V = 9, MOST_B = 16, MOST = T * MOST_B * H, ABSENT = 3, N_WEIGHTS = 8 };

typedef enum source { GATHER, COMPUTED, RESHAPED, ONE_HOT, N_SOURCES } source;
static const char *const source_names[] = { "gather", "gather of a computed table",
                                            "gather through reshapes", "one-hot" };

typedef struct model {
    sq_dtype dtype;
    source from;
    int B, steps, rows; /* rows: of the table */
    bool tied, dense;   /* dense: x is used element by element, too */
    sq_params *p;
    sq_weight w[N_WEIGHTS]; /* E, W, b, U, G, A, R, c */
} model;

enum { E, W, BIAS, U, G, A, R, C };

/* f = sigmoid(x G + h A),  g = tanh(x W + b + h U + x R^T),  h' = f h + (1 - f) g
 * The first product is hoisted alone; the second adds two products of x and a bias. */
static sq_var mixed_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const model *m = self;
    sq_var f =
        sq_sigmoid(sq_add(sq_matmul(*h, sq_use(t, m->w[A])), sq_matmul(x, sq_use(t, m->w[G]))));
    sq_var z = sq_add(sq_affine(x, sq_use(t, m->w[W]), sq_use(t, m->w[BIAS])),
                      sq_matmul(*h, sq_use(t, m->w[U])));
    sq_var g = sq_tanh(sq_add(z, sq_matmul_nt(x, sq_use(t, m->w[R]))));
    if (m->dense) g = sq_add(g, sq_mul_scalar(sq_mul(x, sq_sigmoid(x)), .1));
    *h = sq_add(sq_mul(f, *h), sq_mul(sq_sub(sq_constant(t, 1), f), g));
    return sq_add(*h, sq_matmul(x, sq_use(t, m->w[C]))); /* past the loop */
}

static int64_t width_of(const model *m) { return m->from == ONE_HOT ? m->rows : H; }

static void model_open(model *m)
{
    int64_t I = width_of(m);
    const sq_shape shapes[N_WEIGHTS] = { sq_mat(m->rows, H), sq_mat(I, H), sq_vec(H),
                                         sq_mat(H, H),       sq_mat(I, H), sq_mat(H, H),
                                         sq_mat(H, I),       sq_mat(I, H) };
    static const char *const names[] = { "E", "W", "b", "U", "G", "A", "R", "C" };
    m->p = sq_params_new(m->dtype);
    for (int i = 0; i < N_WEIGHTS; i++) {
        m->w[i] = sq_params_add(m->p, names[i], shapes[i]);
        cr_assert(sq_init_uniform(m->p, m->w[i], .25, 5) == SQ_OK);
    }
}

/* Every row but one occurs, some often. */
static void make_ids(const model *m, int32_t *ids, int shift)
{
    rng r = { 77u + (uint64_t)shift };
    for (int i = 0; i < m->steps * m->B; i++) {
        ids[i] = (int32_t)(rng_below(&r, m->rows) * rng_below(&r, m->rows) % m->rows);
        if (ids[i] == ABSENT) ids[i] = m->rows - 1;
    }
}

static sq_var input(const model *m, sq_tape *t, sq_var *x)
{
    int32_t ids[T * MOST_B];
    int64_t n = m->steps * m->B;
    sq_var rows;
    make_ids(m, ids, 0);
    if (m->from == ONE_HOT) rows = sq_one_hot(t, ids, n, m->rows);
    else if (m->from == COMPUTED)
        rows = sq_gather(sq_tanh(sq_mul_scalar(sq_use(t, m->w[E]), 2)), ids, n);
    else rows = sq_gather(sq_use(t, m->w[E]), ids, n);
    if (m->from == RESHAPED) rows = sq_reshape(rows, sq_vec(n * H));
    *x = rows;
    return sq_reshape(rows, sq_shape3(m->steps, m->B, width_of(m)));
}

static sq_var loss_of(const model *m, sq_tape *t, const sq_unrolled *u)
{
    sq_var y = sq_unrolled_outputs(u), loss = sq_mean(sq_square(y));
    if (!m->tied) return loss;
    int32_t ids[T * MOST_B];
    make_ids(m, ids, 1);
    sq_var flat = sq_reshape(y, sq_mat(m->steps * m->B, H));
    sq_var scores = sq_matmul_nt(flat, sq_use(t, m->w[E]));
    return sq_add(loss, sq_cross_entropy(scores, ids, NULL, SQ_MEAN));
}

typedef struct how {
    sq_mode mode;
    int threads;
    int64_t budget, every;
    bool mark;    /* ask for the gradient of x */
    int cut_to;   /* > 0: so many steps are kept before the sweep */
    bool ledger;  /* look by step before the sweep */
    bool watched; /* for what is not finite */
} how;

typedef struct result {
    double y[MOST], grad[N_WEIGHTS][H * H], gx[MOST];
    bool has[N_WEIGHTS];
    char text[2048];
} result;

static void look_by_step(const sq_unrolled *u, sq_var loss)
{
    sq_ledger *l =
        sq_ledger_new(u, loss, &(sq_ledger_options){ .weights = true, .contribution = true });
    cr_assert(l != NULL, "%s", sq_message(loss.tape));
    cr_expect(sq_ledger_identity(l) < 1e-13, "parts: %g", sq_ledger_identity(l));
    sq_ledger_free(l);
}

static void run(const model *m, how h, result *r)
{
    static const int64_t width[] = { H };
    memset(r, 0, sizeof *r);
    sq_tape *t = sq_tape_new(m->dtype, m->p);
    sq_tape_set_threads(t, h.threads ? h.threads : 1);
    sq_cell cell = { "mixed", 1, width, NULL, mixed_step, m };
    sq_var rows, x = input(m, t, &rows), last;
    if (h.mark) x = sq_keep_grad(x);
    sq_unroll_options o = {
        .mode = h.mode, .budget_bytes = h.budget, .every = h.every, .watch_nonfinite = h.watched
    };
    const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, &o);
    cr_assert(u != NULL, "%s", sq_message(t));
    sq_plan_explain(u, r->text, sizeof r->text);
    sq_unrolled_last(u, &last);
    cr_assert(sq_copy(sq_unrolled_outputs(u), r->y) == SQ_OK);
    if (h.cut_to) cr_assert(sq_cut(t, h.cut_to, &last, 1) == SQ_OK, "%s", sq_message(t));
    sq_var loss = h.cut_to ? sq_sum(sq_square(last)) : loss_of(m, t, u);
    if (h.ledger) look_by_step(u, loss);
    BACKWARD(loss);
    for (int i = 0; i < N_WEIGHTS; i++) {
        r->has[i] = !sq_weight_frozen(m->p, m->w[i]) && !(i == E && m->from == ONE_HOT);
        if (r->has[i])
            cr_assert(sq_weight_grad(t, m->w[i], r->grad[i]) == SQ_OK, "%s", sq_message(t));
    }
    if (h.mark) cr_assert(sq_grad_copy(x, r->gx) == SQ_OK, "%s", sq_message(t));
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* max|a - b| / max|b| */
static double distance(const double *a, const double *b, int n)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        worst = worse(worst, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(b[i]));
    }
    return largest > 0 ? worst / largest : worst;
}

static void expect_equal(const result *got, const result *want, double tol, const char *what)
{
    double y = distance(got->y, want->y, MOST), x = distance(got->gx, want->gx, MOST);
    cr_expect(y <= tol && x <= tol, "%s: outputs %.1e, input %.1e", what, y, x);
    for (int i = 0; i < N_WEIGHTS; i++) {
        double d = distance(got->grad[i], want->grad[i], H * H);
        cr_expect(d <= tol, "%s: weight %d: %.1e", what, i, d);
    }
}

static void expect_bits(const result *a, const result *b, const char *what)
{
    EXPECT_SAME_BITS(a->y, b->y, sizeof a->y, what);
    EXPECT_SAME_BITS(a->grad, b->grad, sizeof a->grad, what);
}

static bool says_rows(const result *r)
{
    return strstr(r->text, "x is rows of a table of 9: x W is read from a product of 8 rows") &&
           strstr(r->text, "rows of a product [8,");
}

static model model_of(source from, int B)
{
    return (model){ .dtype = SQ_F64, .from = from, .B = B, .steps = T, .rows = V };
}

static result want, got, other;

/* ---- Values and gradients ------------------------------------------------------------------ */

Test(plan_gather, equals_eager)
{
    static const int batches[] = { 1, 3, MOST_B }; /* a row; hoisted anyway; not otherwise */
    for (int from = GATHER; from < N_SOURCES; from++)
        for (int i = 0; i < COUNT(batches); i++)
            for (int more = 0; more < (from == ONE_HOT ? 1 : 4); more++) {
                model m = model_of((source)from, batches[i]);
                char what[96];
                m.tied = more & 1;
                m.dense = more & 2;
                snprintf(what, sizeof what, "%s, %d rows, %d", source_names[from], m.B, more);
                if (from == ONE_HOT) m.rows = 26; /* of rows of 9 too little is saved */
                model_open(&m);
                run(&m, (how){ .mode = SQ_EAGER }, &want);
                run(&m, (how){ .mode = SQ_PLAN }, &got);
                bool few = from == ONE_HOT && m.B < MOST_B;
                bool rows = strstr(got.text, "x is rows of a table of ") != NULL;
                cr_expect(rows != few && (from == ONE_HOT || says_rows(&got)), "%s: %s", what,
                          got.text);
                expect_equal(&got, &want, 1e-12, what);
                sq_params_free(m.p);
            }
}

Test(plan_gather, single_precision_is_as_exact_as_eager)
{
    for (int from = GATHER; from <= ONE_HOT; from += ONE_HOT) {
        model m = model_of((source)from, MOST_B), d;
        m.rows = from == ONE_HOT ? 26 : V;
        d = m;
        m.dtype = SQ_F32;
        model_open(&m);
        d.p = sq_params_clone(m.p, SQ_F64);
        memcpy(d.w, m.w, sizeof d.w);
        run(&d, (how){ .mode = SQ_EAGER }, &want);
        run(&m, (how){ .mode = SQ_EAGER }, &other);
        run(&m, (how){ .mode = SQ_PLAN }, &got);
        for (int i = 0; i < N_WEIGHTS; i++) {
            double eager = distance(other.grad[i], want.grad[i], H * H);
            double plan = distance(got.grad[i], want.grad[i], H * H);
            cr_expect(plan <= fmax(1e-5, 4 * eager), "weight %d: %.1e, eager %.1e", i, plan,
                      eager);
        }
        sq_params_free(m.p);
        sq_params_free(d.p);
    }
}

Test(plan_gather, a_frozen_table_and_frozen_weights)
{
    for (int frozen = E; frozen <= C; frozen++) { /* C stands for all that h is multiplied by */
        model m = model_of(GATHER, MOST_B);
        model_open(&m);
        for (int i = E; i <= R; i++)
            cr_assert(sq_weight_set_frozen(
                          m.p, m.w[i], frozen == C ? i == U || i == A : i == frozen) == SQ_OK);
        run(&m, (how){ .mode = SQ_EAGER }, &want);
        run(&m, (how){ .mode = SQ_PLAN }, &got);
        cr_expect(says_rows(&got), "%s", got.text);
        expect_equal(&got, &want, 1e-12, "frozen");
        sq_params_free(m.p);
    }
}

/* ---- Bits ---------------------------------------------------------------------------------- */

static void same_bits_every_way(sq_dtype dtype, source from, int B)
{
    static const how ways[] = { { .threads = 2 },     { .threads = 3 },
                                { .budget = 150000 }, { .budget = 400000, .threads = 3 },
                                { .every = 7 },       { .every = SQ_EVERY_SQRT, .threads = 2 },
                                { .ledger = true },   { .watched = true } };
    model m = model_of(from, B);
    m.dtype = dtype;
    m.tied = from != ONE_HOT;
    if (from == ONE_HOT) m.rows = 26;
    model_open(&m);
    run(&m, (how){ .mode = SQ_PLAN }, &want);
    for (int i = 0; i < COUNT(ways); i++) {
        how h = ways[i];
        char what[64];
        h.mode = SQ_PLAN;
        if (h.ledger && dtype == SQ_F32) continue;
        if (dtype == SQ_F64) h.budget *= 2;
        snprintf(what, sizeof what, "%s, %d rows, way %d", source_names[from], B, i);
        run(&m, h, &got);
        expect_bits(&got, &want, what);
    }
    sq_params_free(m.p);
}

Test(plan_gather, same_bits_for_threads_budgets_probes_and_watches)
{
    same_bits_every_way(SQ_F64, GATHER, MOST_B);
    same_bits_every_way(SQ_F32, GATHER, 5);
    same_bits_every_way(SQ_F32, ONE_HOT, MOST_B);
    same_bits_every_way(SQ_F64, COMPUTED, 1);
}

/* ---- The gradient of x --------------------------------------------------------------------- */

Test(plan_gather, the_gradient_of_a_marked_input_is_its_own)
{
    for (int B = 1; B <= MOST_B; B += MOST_B - 1) {
        model m = model_of(RESHAPED, B);
        m.dense = true;
        model_open(&m);
        run(&m, (how){ .mode = SQ_EAGER, .mark = true }, &want);
        run(&m, (how){ .mode = SQ_PLAN, .mark = true }, &got);
        cr_expect(says_rows(&got), "%s", got.text);
        expect_equal(&got, &want, 1e-12, "marked");
        sq_params_free(m.p);
    }
}

/* Asked for never, after the sweep, or between the unroll and the sweep. */
typedef enum asked { NEVER, TOO_LATE, IN_TIME } asked;

static void ask(const model *m, asked when)
{
    static const int64_t width[] = { H };
    size_t bytes = (size_t)(T * m->B * H) * sizeof(double);
    sq_tape *t = sq_tape_new(SQ_F64, m->p);
    sq_cell cell = { "mixed", 1, width, NULL, mixed_step, m };
    sq_var rows, x = input(m, t, &rows);
    const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, NULL);
    sq_var loss = loss_of(m, t, u);
    if (when == IN_TIME) rows = sq_name(rows, "letters");
    BACKWARD(loss);
    if (when == TOO_LATE) x = sq_keep_grad(x);
    sq_status s = sq_grad_copy(x, got.gx);
    cr_expect(s == (when == IN_TIME ? SQ_OK : SQ_EGRAD), "%d: %s", (int)when, sq_message(t));
    if (s) EXPECT_CONTAINS(sq_message(t), "mark it with sq_keep_grad before the sweep");
    else cr_assert(sq_grad_copy(rows, other.gx) == SQ_OK);
    if (!s) EXPECT_SAME_BITS(got.gx, other.gx, bytes, "x and its rows");
    sq_tape_free(t);
}

Test(plan_gather, the_gradient_of_an_input_that_nobody_marked_is_refused)
{
    model m = model_of(GATHER, 4);
    model_open(&m);
    ask(&m, NEVER);
    ask(&m, TOO_LATE);
    ask(&m, IN_TIME);
    run(&m, (how){ .mode = SQ_EAGER, .mark = true }, &want);
    cr_expect(distance(got.gx, want.gx, T * m.B * H) <= 1e-12);
    sq_params_free(m.p);
}

Test(plan_gather, a_cut_takes_the_table_and_leaves_the_products)
{
    model m = model_of(GATHER, 4);
    model_open(&m);
    run(&m, (how){ .mode = SQ_EAGER, .cut_to = 11 }, &want);
    run(&m, (how){ .mode = SQ_PLAN, .cut_to = 11 }, &got);
    expect_equal(&got, &want, 1e-12, "cut");
    sq_params_free(m.p);
}

/* ---- Other ways of looking ----------------------------------------------------------------- */

static void parts_of(const model *m, sq_mode mode, double *to)
{
    static const int64_t width[] = { H };
    sq_tape *t = sq_tape_new(SQ_F64, m->p);
    sq_cell cell = { "mixed", 1, width, NULL, mixed_step, m };
    sq_var rows, x = input(m, t, &rows);
    const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, &(sq_unroll_options){ .mode = mode });
    sq_ledger *l = sq_ledger_new(u, loss_of(m, t, u),
                                 &(sq_ledger_options){ .weights = true, .contribution = true });
    cr_assert(l != NULL, "%s", sq_message(t));
    for (int s = 0; s <= T; s++)
        for (int i = 0; i < N_WEIGHTS; i++) {
            const double *part = sq_ledger_weight_values(l, s, m->w[i]);
            int64_t size = sq_shape_size(sq_weight_shape(m->p, m->w[i]));
            cr_assert(part != NULL);
            memcpy(to, part, (size_t)size * sizeof *part);
            to += H * H;
        }
    cr_expect(sq_ledger_identity(l) < 1e-13);
    sq_ledger_free(l);
    sq_tape_free(t);
}

Test(plan_gather, parts_of_weights_by_step)
{
    enum { ALL = (T + 1) * N_WEIGHTS * H * H };
    double *a = calloc(ALL, sizeof *a), *b = calloc(ALL, sizeof *b);
    model m = model_of(GATHER, 3);
    m.tied = true;
    model_open(&m);
    parts_of(&m, SQ_EAGER, a);
    parts_of(&m, SQ_PLAN, b);
    cr_expect(distance(b, a, ALL) <= 1e-12, "%.1e", distance(b, a, ALL));
    sq_params_free(m.p);
    free(a);
    free(b);
}

static void push(const model *m, sq_mode mode, double *dy)
{
    static const int64_t width[] = { H };
    double dE[V * H], dG[H * H];
    fill(dE, V * H, 8, -1, 1);
    fill(dG, H * H, 9, -1, 1);
    sq_tape *t = sq_tape_new(SQ_F64, m->p);
    sq_cell cell = { "mixed", 1, width, NULL, mixed_step, m };
    sq_var rows, x = input(m, t, &rows);
    const sq_unrolled *u = sq_unroll(t, &cell, x, NULL, &(sq_unroll_options){ .mode = mode });
    sq_var y = sq_unrolled_outputs(u), from[] = { sq_use(t, m->w[E]), sq_use(t, m->w[G]) };
    const double *along[] = { dE, dG };
    cr_assert(sq_jvp(from, along, 2, &y, &dy, 1) == SQ_OK, "%s", sq_message(t));
    sq_tape_free(t);
}

Test(plan_gather, forward_mode)
{
    model m = model_of(GATHER, 4);
    model_open(&m);
    push(&m, SQ_EAGER, want.y);
    push(&m, SQ_PLAN, got.y);
    cr_expect(distance(got.y, want.y, T * m.B * H) <= 1e-12);
    sq_params_free(m.p);
}

Test(plan_gather, inference)
{
    static const int64_t width[] = { H };
    model m = model_of(GATHER, 4);
    model_open(&m);
    for (int mode = SQ_AUTO; mode <= SQ_EAGER; mode++) {
        sq_tape *t = sq_tape_new(SQ_F64, m.p);
        sq_tape_set_inference(t, true);
        sq_cell cell = { "mixed", 1, width, NULL, mixed_step, &m };
        sq_var rows, x = input(&m, t, &rows);
        const sq_unrolled *u =
            sq_unroll(t, &cell, x, NULL, &(sq_unroll_options){ .mode = (sq_mode)mode });
        cr_assert(sq_copy(sq_unrolled_outputs(u), mode == SQ_AUTO ? got.y : want.y) == SQ_OK);
        sq_tape_free(t);
    }
    cr_expect(distance(got.y, want.y, T * m.B * H) <= 1e-12);
    sq_params_free(m.p);
}

/* ---- When it is done ----------------------------------------------------------------------- */

/* Sizes decide: a table as long as the input saves nothing; what the ids are changes nothing. */
Test(plan_gather, large_tables_are_left_alone)
{
    static const struct {
        int steps, B, rows;
        bool repeats;
    } cases[] = { { T, 1, T + 1, false }, { T, 2, T + 1, false }, { T, 1, 10, true },
                  { T, 1, 11, false },    { 4, 16, V, true },     { 1, 16, V, false } };
    for (int i = 0; i < COUNT(cases); i++) {
        model m = { SQ_F64, GATHER, cases[i].B, cases[i].steps, cases[i].rows, .p = NULL };
        model_open(&m);
        run(&m, (how){ .mode = SQ_EAGER }, &want);
        run(&m, (how){ .mode = SQ_PLAN }, &got);
        bool rows = strstr(got.text, "x is rows of a table") != NULL;
        cr_expect(rows == cases[i].repeats, "case %d: %s", i, got.text);
        expect_equal(&got, &want, 1e-12, "sizes");
        sq_params_free(m.p);
    }
}
