/* test_plan_time.c -- what a plan owes to time: windows, updates between them, cuts and sweeps at
 * any inner step, other lengths, no steps, no rows, probes.
 *
 * Each program runs eagerly and as a plan on random cells, in double; both read the same, to
 * 1e-12 of the largest entry of every tensor. */
#include "tests/support/random_run.h"

static void sweep(rc_run *r, uint64_t seed)
{
    sq_status status = sq_backward(rc_loss(r, seed));
    (void)status; /* stays on the tape */
}

static void read_all(rc_run *r, trace *t)
{
    if (sq_tape_status(r->t)) return;
    rc_read_values(r, t);
    rc_read_grads(r, t);
}

static void again(rc_run *r, int64_t T, int64_t B, trace *t)
{
    sq_tape_reset(r->t);
    sq_zero_grads(r->t);
    r->s.T = T;
    r->s.B = B;
    rc_feed(r);
    rc_unroll(r);
    sweep(r, 1);
    read_all(r, t);
}

#define AGREE(name, script, n, limit)                                        \
    static bool check_##script(const random_cell *c, char *why, size_t size) \
    {                                                                        \
        return rc_agree(c, script, why, size);                               \
    }                                                                        \
    Test(plan_time, name, .timeout = 300)                                    \
    {                                                                        \
        rc_over(#name, 1, FEWER(n), limit, check_##script);                  \
    }

/* ---- Lengths ------------------------------------------------------------------------------ */

static void other_lengths(rc_run *r, trace *t)
{
    const int64_t T = r->c->T, B = r->c->B;
    again(r, T, B, t);
    again(r, T % 16 + 1, B, t);
    again(r, 2 * T, B, t);
    again(r, T, B % 9 + 1, t);
    again(r, T, B, t);
}
AGREE(another_length_or_batch_takes_the_same_cell, other_lengths, 100, 100)

static void nothing_and_one(rc_run *r, trace *t)
{
    again(r, 0, r->c->B, t);
    again(r, 1, r->c->B, t);
    again(r, r->c->T, 0, t);
    again(r, 0, 0, t);
    again(r, 1, 1, t);
}
AGREE(no_steps_no_rows_and_one_of_each, nothing_and_one, 100, 100)

/* ---- Windows ------------------------------------------------------------------------------ */

/* Two windows, the weights changed between them: each is differentiated through its own. */
static void two_windows(rc_run *r, trace *t)
{
    sq_var last[RC_STATES];
    rc_feed(r);
    rc_unroll(r);
    rc_run first = *r;
    if (!r->u) return;
    sq_unrolled_last(r->u, last);
    rc_set_weights(r, 77);
    rc_unroll_from(r, last, 78);
    sq_status status = sq_backward(sq_add(rc_loss(&first, 1), rc_loss(r, 2)));
    if (status) return;
    read_all(&first, t);
    read_all(r, t);
    sweep(&first, 3);
    read_all(&first, t);
}
AGREE(an_update_between_windows_keeps_the_old_weights, two_windows, 100, 100)

/* Truncated backpropagation with windows that overlap by half. */
static void overlapping(rc_run *r, trace *t)
{
    const int64_t T = r->c->T;
    sq_var last[RC_STATES];
    rc_feed(r);
    rc_unroll(r);
    for (uint64_t window = 0; window < 4 && r->u; window++) {
        sq_zero_grads(r->t);
        sweep(r, window);
        read_all(r, t);
        sq_unrolled_last(r->u, last);
        sq_cut(r->t, T / 2, last, r->c->n_states);
        rc_run before = *r;
        before.low = T - T / 2;
        rc_set_weights(r, window);
        rc_unroll_from(r, last, window);
        if (!r->u || T < 2) continue;
        sweep(&before, window + 10);
        read_all(r, t);
        rc_read_grads(&before, t);
    }
}
AGREE(overlapping_windows_with_updates, overlapping, 60, 100)

/* ---- Sweeps ------------------------------------------------------------------------------- */

static void repeated(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    for (uint64_t i = 0; i < 4; i++) {
        sweep(r, i % 3);
        read_all(r, t);
    }
    sq_zero_grads(r->t);
    sweep(r, 1);
    read_all(r, t);
}
AGREE(sweeps_repeat, repeated, 100, 100)

static void short_run(rc_run *r)
{
    if (r->s.T > 6) r->s.T = 6;
    rc_feed(r);
    rc_unroll(r);
}

static void from_every_step(rc_run *r, trace *t)
{
    short_run(r);
    for (int64_t i = -1; i < r->s.T; i++) {
        for (int k = 0; k < r->c->n_states; k++) {
            sq_zero_grads(r->t);
            if (rc_sweep_from(sq_unrolled_state(r->u, i, k), 5)) return;
            rc_read_grads(r, t);
        }
        if (i < 0) continue;
        if (rc_sweep_from(sq_unrolled_output(r->u, i), 6)) return;
        rc_read_grads(r, t);
    }
}
AGREE(a_sweep_starts_at_any_inner_step, from_every_step, 60, 100)

/* From inner named values, whatever their shape. */
static void from_named(rc_run *r, trace *t)
{
    short_run(r);
    for (int64_t i = 0; i < r->s.T; i++)
        for (int k = 0; k < RC_NAMES; k++) {
            int node = rc_named(r->c, (char[]){ (char)('a' + k), 0 });
            if (!sq_ok(r->named[i][k]) || !r->c->node[node].needs) continue;
            sq_zero_grads(r->t);
            if (rc_sweep_from(r->named[i][k], 7)) return;
            rc_read_grads(r, t);
        }
}
AGREE(a_sweep_starts_at_any_named_value, from_named, 60, 100)

/* ---- Cuts --------------------------------------------------------------------------------- */

/* Carries the last states, and a state and an output from the middle. */
static void cut_at(rc_run *r, int64_t keep, trace *t)
{
    const int n = r->c->n_states;
    sq_var carry[RC_STATES + 2];
    sq_tape_reset(r->t);
    sq_zero_grads(r->t);
    rc_feed(r);
    rc_unroll(r);
    if (!r->u) return;
    sq_unrolled_last(r->u, carry);
    carry[n] = sq_unrolled_state(r->u, r->s.T / 2, n - 1);
    carry[n + 1] = sq_unrolled_output(r->u, r->s.T / 3);
    sq_cut(r->t, keep, carry, n + 2);
    for (int k = 0; k < n + 2; k++) trace_value(t, "carried", carry[k]);
    sq_var loss = sq_add(sq_sum(sq_square(carry[n])), sq_sum(sq_square(carry[n + 1])));
    r->low = r->s.T - keep;
    if (keep) loss = sq_add(loss, rc_loss(r, 3));
    sq_status status = sq_backward(loss);
    if (keep && !status) read_all(r, t);
    rc_unroll_from(r, carry, 9);
    sweep(r, 4);
    read_all(r, t);
}

static void cut_everywhere(rc_run *r, trace *t)
{
    if (r->s.T > 6) r->s.T = 6;
    for (int64_t keep = 0; keep <= r->s.T && !sq_tape_status(r->t); keep++) cut_at(r, keep, t);
}
AGREE(a_cut_may_fall_at_any_inner_step, cut_everywhere, 60, 100)

/* One cut after the other, a step at a time, with a sweep after each. */
static void cut_step_by_step(rc_run *r, trace *t)
{
    short_run(r);
    for (int64_t keep = r->s.T - 1; keep > 0; keep--) {
        sweep(r, (uint64_t)keep);
        sq_cut(r->t, keep, NULL, 0);
        r->low = r->s.T - keep;
        sq_zero_grads(r->t);
        sweep(r, 5);
        read_all(r, t);
    }
}
AGREE(a_segment_is_cut_step_by_step, cut_step_by_step, 60, 100)

/* ---- Probes ------------------------------------------------------------------------------- */

static void probe(rc_run *r, sq_var loss, trace *t)
{
    const sq_ledger_options o = { .values = true };
    sq_ledger *l = sq_ledger_new(r->u, loss, &o);
    for (int64_t i = 0; l && i < r->s.T; i++)
        for (int k = 0; k < r->c->n_states; k++) {
            sq_shape s = rc_real_shape(r->c->state0[k].shape, r->s.B);
            double norms[2] = { sq_ledger_total(l, i, k), sq_ledger_immediate(l, i, k) };
            trace_numbers(t, "total norm", &norms[0], sq_scalar());
            trace_numbers(t, "immediate norm", &norms[1], sq_scalar());
            trace_numbers(t, "total", sq_ledger_total_values(l, i, k), s);
            trace_numbers(t, "immediate", sq_ledger_immediate_values(l, i, k), s);
        }
    sq_ledger_free(l);
}

static void ledgers(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    sq_var loss = rc_loss(r, 1), other = rc_loss(r, 2);
    probe(r, loss, t);
    sq_status status = sq_backward(loss);
    if (status) return;
    probe(r, other, t);
    read_all(r, t); /* as the sweep left them */
}
AGREE(ledgers_tell_the_same, ledgers, 100, 100)

/* The probe of a plan leaves every gradient as it was, to the bit. */
static bool observes(const random_cell *c, char *why, size_t n)
{
    rc_run r;
    trace a = { .n = 0 }, b = { .n = 0 }, ignored = { .n = 0 };
    rc_open(&r, c, (rc_setup){ .dtype = SQ_F32, .T = c->T, .B = c->B, .data = c->seed });
    rc_feed(&r);
    rc_unroll(&r);
    sq_var loss = rc_loss(&r, 1), other = rc_loss(&r, 2);
    bool ok = sq_backward(loss) == SQ_OK;
    if (ok) rc_read_grads(&r, &a);
    probe(&r, other, &ignored);
    if (ok) rc_read_grads(&r, &b);
    if (sq_tape_status(r.t)) snprintf(why, n, "%s", sq_message(r.t));
    ok = ok && !sq_tape_status(r.t) && trace_equal(&b, &a, why, n);
    rc_close(&r);
    trace_free(&a);
    trace_free(&b);
    trace_free(&ignored);
    return ok;
}

Test(plan_time, a_ledger_observes) { rc_over("ledger", 1, FEWER(60), 1e3, observes); }
