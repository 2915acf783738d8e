/* test_ledger_random.c -- ledgers of random cells: eager and planned agree, parts sum up to the whole,
 * looking changes no bit, and a byte budget changes no gate. */
#include "tests/support/random_run.h"

#include "graph/plan.h"

/* Parts of every step and weight, and statistics of everything named. */
static void write_down(rc_run *r, trace *t)
{
    rc_feed(r);
    rc_unroll(r);
    sq_var loss = rc_loss(r, 1);
    sq_ledger_options o = { .contribution = true, .far_steps = 1, .gates = true };
    sq_ledger *l = sq_ledger_new(r->u, loss, &o);
    for (int w = 1; l && w <= sq_params_count(r->params); w++)
        for (int i = 0; i <= sq_ledger_steps(l); i++) {
            char what[32];
            snprintf(what, sizeof what, "part %d at %d", w, i);
            const double *v = sq_ledger_weight_values(l, i, (sq_weight){ w });
            if (v) trace_numbers(t, what, v, sq_weight_shape(r->params, (sq_weight){ w }));
        }
    for (int g = 0; l && g < sq_ledger_n_gates(l); g++)
        for (int i = 0; i < sq_ledger_steps(l); i++) {
            sq_gate_statistics s = sq_ledger_gate(l, i, g);
            if (!sq_unrolled_named(r->u, i, sq_ledger_gate_name(l, g)).id) continue;
            double x[3] = { s.mean, s.deviation, s.gradient };
            for (int j = 0; j < 3; j++)
                trace_numbers(t, sq_ledger_gate_name(l, g), x + j, sq_scalar());
        }
    sq_ledger_free(l);
}

static bool modes_agree(const random_cell *c, char *why, size_t n)
{
    return rc_agree(c, write_down, why, n);
}

Test(random_cells, have_the_same_parts_and_gates_as_plans, .timeout = 120)
{
    rc_over("ledger of plans", 1, FEWER(150), 1e3, modes_agree);
}

/* Norms alone against the parts, the identity, and the bits of what the next sweep gives. */
static bool is_consistent(const random_cell *c, char *why, size_t n)
{
    rc_run r;
    trace before = { .n = 0 }, after = { .n = 0 };
    rc_open(&r, c, (rc_setup){ .dtype = SQ_F64, .T = c->T, .B = c->B, .data = c->seed });
    rc_feed(&r);
    rc_unroll(&r);
    sq_var loss = rc_loss(&r, 1);
    bool ok = sq_backward(loss) == SQ_OK;
    rc_read_grads(&r, &before);
    sq_ledger *a =
        ok ? sq_ledger_new(r.u, loss, &(sq_ledger_options){ .weights = true }) : NULL;
    sq_ledger *b =
        a ? sq_ledger_new(r.u, loss,
                          &(sq_ledger_options){ .contribution = true, .gates = true })
          : NULL;
    rc_read_grads(&r, &after);
    ok = ok && a && b && trace_equal(&after, &before, why, n);
    double identity = ok ? sq_ledger_identity(b) : 0;
    if (ok && !(identity < 1e-11)) {
        snprintf(why, n, "identity %g", identity);
        ok = false;
    }
    for (int w = 1; ok && w <= sq_params_count(r.params); w++)
        for (int i = 0; ok && i <= c->T; i++) {
            double x = sq_ledger_weight(a, i, (sq_weight){ w });
            double y = sq_ledger_weight(b, i, (sq_weight){ w });
            double largest = sq_ledger_weight_total(b, (sq_weight){ w });
            ok = (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-6 * largest + 1e-9 * fabs(y);
            if (!ok) snprintf(why, n, "weight %d at %d: %g, not %g", w, i, x, y);
        }
    if (sq_tape_status(r.t)) {
        snprintf(why, n, "%s", sq_message(r.t));
        ok = false;
    }
    sq_ledger_free(a);
    sq_ledger_free(b);
    trace_free(&before);
    trace_free(&after);
    rc_close(&r);
    return ok;
}

Test(random_cells, have_parts_that_sum_up_and_nothing_changes, .timeout = 120)
{
    rc_over("ledger of random cells", 1, FEWER(200), 1e3, is_consistent);
}

static int left_out_of; /* how many runs that keep all steps leave rows out */

/* Gates of one run, [T][n]; NULL where the ledger is none. */
static sq_gate_statistics *gates_of(const random_cell *c, sq_mode mode,
                                    const sq_unroll_options *memory, int *n, char *why,
                                    size_t n_why)
{
    char told[8192] = "";
    rc_run r;
    rc_open(&r, c,
            (rc_setup){ .dtype = SQ_F64,
                        .mode = mode,
                        .T = c->T,
                        .B = c->B,
                        .data = c->seed,
                        .memory = *memory });
    rc_feed(&r);
    rc_unroll(&r);
    sq_ledger *l = sq_ledger_new(r.u, rc_loss(&r, 1), &(sq_ledger_options){ .gates = true });
    sq_gate_statistics *all = NULL;
    *n = sq_ledger_n_gates(l);
    if (l) all = malloc((size_t)(c->T * *n + 1) * sizeof *all);
    for (int64_t i = 0; all && i < c->T * *n; i++)
        all[i] = sq_ledger_gate(l, i / *n, (int32_t)(i % *n));
    if (!l) snprintf(why, n_why, "%s", sq_message(r.t));
    sq_plan_explain(r.u, told, sizeof told);
    left_out_of += !memory->every && *n && strstr(told, "are left out") != NULL;
    sq_ledger_free(l);
    rc_close(&r);
    return all;
}

/* With every step kept, and under a budget. */
static bool same_gates(const random_cell *c, sq_mode mode, sq_unroll_options memory, char *why,
                       size_t n)
{
    int n_kept, n_run;
    sq_gate_statistics *kept = gates_of(c, mode, &memory, &n_kept, why, n);
    memory.every = 2;
    sq_gate_statistics *run = gates_of(c, mode, &memory, &n_run, why, n);
    bool ok = kept && run && n_kept == n_run &&
              memcmp(kept, run, (size_t)(c->T * n_run) * sizeof *run) == 0;
    if (kept && run && !ok) snprintf(why, n, "mode %d: %d, %d gates", mode, n_kept, n_run);
    free(kept);
    free(run);
    return ok;
}

static bool budgets_agree(const random_cell *c, char *why, size_t n)
{
    const sq_unroll_options none = { .every = 0 };
    return same_gates(c, SQ_AUTO, none, why, n) && same_gates(c, SQ_EAGER, none, why, n);
}

Test(random_cells, have_the_same_gates_under_a_budget, .timeout = 120)
{
    rc_over("gates under a budget", 7000, FEWER(150), 1e3, budgets_agree);
}

/* Rows of any length, 0 too: those that ended are left out of the cells that mix none. */
static bool ragged_budgets_agree(const random_cell *c, char *why, size_t n)
{
    static int32_t lengths[1024];
    rng r = { c->seed };
    if (c->node[c->output].shape.rank == 0 || c->B > COUNT(lengths)) return true;
    for (int i = 0; i < c->n_nodes; i++)
        if (c->node[i].mixes) return true;
    for (int64_t b = 0; b < c->B; b++) lengths[b] = rng_below(&r, (int)c->T + 1);
    return same_gates(c, SQ_AUTO, (sq_unroll_options){ .lengths = lengths }, why, n);
}

Test(random_cells, have_the_same_gates_under_a_budget_where_rows_end, .timeout = 120)
{
    left_out_of = 0;
    rc_over("gates of rows that end", 7000, FEWER(300), 1e3, ragged_budgets_agree);
    cr_expect(left_out_of > FEWER(45), "rows were left out of %d cells", left_out_of);
}
