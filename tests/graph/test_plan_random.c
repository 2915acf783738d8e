/* test_plan_random.c -- the plan is the eager unroll, made fast: random cells say so.
 *
 * Every cell runs eagerly and as a plan; outputs, states, named values and every gradient must
 * agree: in double to 1e-12 of a tensor's largest entry, in float as well as eager float agrees
 * with double. Bits are promised across runs, across threads, for early or late questions, and for
 * a row of the batch whatever the other rows hold. What fails is printed as small as it gets. */
#define _POSIX_C_SOURCE 200809L
#include "tests/support/random_run.h"

#include "core/kernels/kernels.h"
#include "graph/plan.h"

static rc_setup setup(const random_cell *c, sq_dtype dtype, sq_mode mode)
{
    return (rc_setup){
        .dtype = dtype, .mode = mode, .T = c->T, .B = c->B, .data = c->seed, .late = c->seed & 1
    };
}

/* ---- What the comparison sees ------------------------------------------------------------- */

/* The error of one tensor of three numbers against another. */
static double error_of(const double *got, const double *want)
{
    trace a = { .n = 0 }, b = { .n = 0 };
    trace_numbers(&a, "got", got, sq_vec(3));
    trace_numbers(&b, "want", want, sq_vec(3));
    double e = trace_error(&a, &b, 0);
    trace_free(&a);
    trace_free(&b);
    return e;
}

/* Both sides not a number, or the same infinity: equal there, and as strict as ever beside it.
 * One side alone is an error at any place. */
Test(traces, nothing_hides_a_number_that_is_none)
{
    const double nan = (double)NAN, inf = (double)INFINITY, odd[] = { nan, inf, -inf };
    for (int at = 0; at < 3; at++)
        for (int k = 0; k < COUNT(odd); k++) {
            double a[] = { 1, 2, 4 }, b[] = { 1, 2, 4 };
            a[at] = odd[k];
            double e = error_of(a, b), f = error_of(b, a);
            bool seen = !(e <= 1e300) && !(f <= 1e300);
            cr_expect(seen, "%g at %d: %g, %g", odd[k], at, e, f);
            b[at] = odd[k];
            cr_expect(error_of(a, b) == 0, "%g on both sides, at %d", odd[k], at);
            b[(at + 1) % 3] += 1;
            e = error_of(a, b);
            cr_expect(e >= .2 && e <= .5, "beside %g at %d: %g", odd[k], at, e);
            b[at] = odd[(k + 1) % 3];
            bool differs = !(error_of(a, b) <= 1e300);
            cr_expect(differs, "%g is not %g", odd[k], b[at]);
        }
}

/* ---- Against eager ------------------------------------------------------------------------ */

/* A cell whose rows are independent, and which asks for nothing odd, runs as a plan. */
static bool is_planned(const random_cell *c, sq_mode mode, char *why, size_t n)
{
    if (mode == SQ_PLAN || !rc_plain(c)) return true;
    rc_run r;
    rc_open(&r, c, setup(c, SQ_F64, SQ_PLAN));
    rc_feed(&r);
    rc_unroll(&r);
    bool ok = sq_tape_status(r.t) == SQ_OK;
    if (!ok) snprintf(why, n, "has no plan: %s", sq_message(r.t));
    rc_close(&r);
    return ok;
}

static bool equals_eager(const random_cell *c, char *why, size_t n)
{
    trace t[4] = { { .n = 0 }, { .n = 0 }, { .n = 0 }, { .n = 0 } };
    sq_mode mode[4] = { SQ_AUTO };
    bool ok = true;
    for (int i = 0; ok && i < 4; i++)
        ok = rc_trace(c, setup(c, i < 2 ? SQ_F64 : SQ_F32, i % 2 ? SQ_AUTO : SQ_EAGER), 1,
                      &t[i], &mode[i], why, n);
    ok = ok && trace_close(&t[1], &t[0], 1e-12, why, n) &&
         trace_as_good(&t[3], &t[2], &t[0], why, n) && is_planned(c, mode[1], why, n);
    if (ok && mode[1] != mode[3]) {
        snprintf(why, n, "the mode depends on the precision");
        ok = false;
    }
    for (int i = 0; i < 4; i++) trace_free(&t[i]);
    return ok;
}

Test(random_cells, equal_the_eager_unroll, .timeout = 300)
{
    rc_over("plan against eager", 1, FEWER(500), 1e3, equals_eager);
}

/* At every other instruction set that this machine runs. */
Test(random_cells, equal_the_eager_unroll_at_other_instruction_sets, .timeout = 300)
{
    static const char *const names[] = { "base", "avx2", "avx512", "neon" };
    const sq_kernels *native = sqi_kernels_select();
    for (int i = 0; i < COUNT(names); i++) {
        const sq_kernels *k = sqi_kernels_named(names[i]);
        if (!k || k == native) continue;
        setenv("SEQGRAD_ISA", names[i], 1);
        cr_assert(sqi_kernels_select() == k);
        rc_over(names[i], 1000 * ((uint64_t)i + 1), FEWER(100), 1e3, equals_eager);
        unsetenv("SEQGRAD_ISA");
    }
}

/* How many random cells a plan takes: nearly all. */
Test(random_cells, run_as_plans)
{
    static random_cell c;
    int planned = 0, n = FEWER(200);
    for (int seed = 1; seed <= n; seed++) {
        trace t = { .n = 0 };
        sq_mode mode = SQ_AUTO;
        char why[256] = "";
        rc_new(&c, (uint64_t)seed, 1e3);
        cr_expect(rc_trace(&c, setup(&c, SQ_F32, SQ_AUTO), 1, &t, &mode, why, sizeof why), "%s",
                  why);
        planned += mode == SQ_PLAN;
        trace_free(&t);
    }
    cr_expect(planned >= n * 8 / 10, "%d of %d", planned, n);
}

/* ---- Bits --------------------------------------------------------------------------------- */

/* Run again, on other numbers of threads, asking early or late: the same bits. Long enough that
 * the threads have something to do. */
static bool repeats(const random_cell *c, char *why, size_t n)
{
    static const int threads[] = { 1, 2, 3, 5 };
    static const int64_t batches[] = { 1, 2, 3, 7, 16, 33 };
    bool ok = true;
    for (int dtype = 0; ok && dtype < 2; dtype++) {
        trace first = { .n = 0 };
        rc_setup s = setup(c, (sq_dtype)dtype, SQ_AUTO);
        s.T = c->T * 3;
        s.B = batches[c->seed % COUNT(batches)];
        ok = rc_trace(c, s, 1, &first, NULL, why, n);
        for (int i = 0; ok && i < COUNT(threads); i++) {
            trace t = { .n = 0 };
            s.threads = threads[i];
            s.late = i % 2;
            ok = rc_trace(c, s, 1, &t, NULL, why, n) && trace_equal(&t, &first, why, n);
            size_t used = strlen(why);
            if (!ok)
                snprintf(why + used, n - used, " (%d threads, B = %d)", threads[i], (int)s.B);
            trace_free(&t);
        }
        trace_free(&first);
    }
    return ok;
}

Test(random_cells, repeat_to_the_bit_on_any_number_of_threads, .timeout = 300)
{
    rc_over("again", 1, FEWER(60), 1e3, repeats);
}

/* The axis of length B, B being a length that nothing else has; -1 without one. */
static int batch_axis(sq_shape s, int64_t batch)
{
    for (int i = 0; i < s.rank; i++)
        if (s.dim[i] == batch) return i;
    return -1;
}

/* Row `place` of the batch has the same bits in both, everywhere. */
static bool same_row(const trace *a, const trace *b, int64_t batch, int place_a, int place_b,
                     char *why, size_t n)
{
    for (int i = 0; i < a->n; i++) {
        trace_item x = a->item[i], y = b->item[i];
        int axis = batch_axis(x.shape, batch);
        if (axis < 0) continue;
        int64_t outer = axis ? x.shape.dim[0] : 1, inner = outer ? x.n / (outer * batch) : 0;
        for (int64_t o = 0; o < outer && inner; o++) {
            const double *p = a->x + x.at + (o * batch + place_a) * inner;
            const double *q = b->x + y.at + (o * batch + place_b) * inner;
            if (memcmp(p, q, (size_t)inner * sizeof *p) == 0) continue;
            snprintf(why, n, "%s: row %d has other bits at place %d", x.what, place_a, place_b);
            return false;
        }
    }
    return true;
}

static bool row_by_row(const random_cell *c)
{
    for (int i = 0; i < c->n_nodes; i++)
        if (c->node[i].mixes) return false;
    return c->node[c->output].shape.rank > 0;
}

enum { ROWS = 9 };

/* A batch size from 2 to 9 that no axis of the cell has, nor time; 0 if there is none. */
static int64_t telling_batch(const random_cell *c)
{
    for (int64_t b = c->B < 2 ? 2 : c->B, tries = 0; tries < 8;
         b = b == ROWS ? 2 : b + 1, tries++) {
        bool taken = b == c->T || b == c->in;
        for (int i = 0; i < c->n_nodes; i++) taken |= batch_axis(c->node[i].shape, b) >= 0;
        if (!taken) return b;
    }
    return 0;
}

/* The rows in another order, then half of them with other contents. */
static bool rows_are_alone(const random_cell *c, char *why, size_t n)
{
    static const int turned[ROWS] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    static const int others[ROWS] = { 100, 1, 102, 103, 4, 105, 6, 107, 108 };
    int64_t batch = telling_batch(c);
    if (!row_by_row(c) || rc_draws(c) || !batch) return true;
    bool ok = true;
    for (int dtype = 0; ok && dtype < 2; dtype++) {
        trace t[3] = { { .n = 0 }, { .n = 0 }, { .n = 0 } };
        int order[ROWS];
        for (int b = 0; b < batch; b++) order[b] = turned[b] % (int)batch;
        const int *rows[3] = { NULL, order, others };
        for (int i = 0; ok && i < 3; i++) {
            rc_setup s = setup(c, (sq_dtype)dtype, SQ_AUTO);
            s.B = batch;
            s.rows = rows[i];
            ok = rc_trace(c, s, 1, &t[i], NULL, why, n);
        }
        for (int b = 0; ok && b < batch; b++) {
            ok = same_row(&t[0], &t[1], batch, order[b], b, why, n);
            if (ok && others[b] == b) ok = same_row(&t[0], &t[2], batch, b, b, why, n);
        }
        for (int i = 0; i < 3; i++) trace_free(&t[i]);
    }
    return ok;
}

Test(random_cells, rows_of_the_batch_are_alone, .timeout = 300)
{
    rc_over("rows", 1, FEWER(200), 1e3, rows_are_alone);
}

/* ---- Memory ------------------------------------------------------------------------------- */

/* After three iterations of training with updates, ten more allocate nothing. */
static bool is_steady(const random_cell *c, char *why, size_t n)
{
    rc_run r;
    size_t held = 0;
    bool ok = true;
    rc_open(&r, c, setup(c, SQ_F32, SQ_AUTO));
    for (int i = 0; ok && i < 13; i++) {
        sq_tape_reset(r.t);
        sq_zero_grads(r.t);
        rc_set_weights(&r, (uint64_t)i);
        rc_feed(&r);
        rc_unroll(&r);
        sq_status status = sq_backward(rc_loss(&r, 1));
        ok = status == SQ_OK && sq_tape_check(r.t, why, n);
        if (status) snprintf(why, n, "%s", sq_message(r.t));
        size_t now = sq_tape_statistics(r.t).held_bytes;
        if (ok && i > 3 && now != held) {
            snprintf(why, n, "iteration %d holds %zu bytes, the one before %zu", i, now, held);
            ok = false;
        }
        held = now;
    }
    rc_close(&r);
    return ok;
}

Test(random_cells, train_without_allocating)
{
    rc_over("memory", 1, FEWER(100), 1e3, is_steady);
}

/* ---- Ragged rows -------------------------------------------------------------------------- */

/* Masks, resets and backward runs by the cell's seed: eagerly, as a plan, and with steps dropped. */
static bool ragged_equals_eager(const random_cell *c, char *why, size_t n)
{
    enum { MOST = 4096 };
    static int32_t mask[MOST], resets[MOST];
    if (!row_by_row(c) || c->T * c->B > MOST) return true;
    rng r = { c->seed };
    for (int64_t i = 0; i < c->T * c->B; i++) {
        mask[i] = rng_below(&r, 3);
        resets[i] = rng_below(&r, 5) == 0;
    }
    trace t[3] = { { .n = 0 }, { .n = 0 }, { .n = 0 } };
    bool ok = true;
    for (int i = 0; ok && i < 3; i++) {
        rc_setup s = setup(c, SQ_F64, i ? SQ_AUTO : SQ_EAGER);
        s.memory = (sq_unroll_options){ .mask = mask,
                                        .resets = c->seed & 2 ? resets : NULL,
                                        .reverse = c->seed & 4,
                                        .every = i == 2 ? 2 : 0,
                                        .state_grads = true };
        ok = rc_trace(c, s, 1, &t[i], NULL, why, n);
    }
    ok = ok && trace_close(&t[1], &t[0], 1e-12, why, n) && trace_equal(&t[2], &t[1], why, n);
    for (int i = 0; i < 3; i++) trace_free(&t[i]);
    return ok;
}

Test(random_cells, ragged_rows_are_planned_as_they_run_eagerly, .timeout = 300)
{
    rc_over("ragged", 1, FEWER(300), 1e3, ragged_equals_eager);
}
