/* test_report_npy.c -- a report's tables as NumPy's files: the bytes that NumPy writes, and every
 * number of the CSV where its name, row and step say. */
#include "tests/golden/report_npy.h"
#include "tests/support/support.h"

/* ---- By hand ------------------------------------------------------------------------------- */

/* h_t = w h_(t-1) + x_t, w = 1/4. */
static sq_var linear(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_weight *w = self;
    return *state = sq_add(sq_mul(sq_use(t, *w), *state), x);
}

/* Its ledger: L = h_0 + 2 h_1 + 3 h_2, the three losses one by one. */
typedef struct scalar_run {
    sq_params *p;
    sq_tape *t;
    sq_ledger *l;
} scalar_run;

static void scalar_new(scalar_run *r, bool weights)
{
    static const int64_t one_wide[1] = { 1 };
    r->p = sq_params_new(SQ_F64);
    sq_weight w = add_number(r->p, "w", .25);
    r->t = sq_tape_new(SQ_F64, r->p);
    sq_cell cell = { "linear", 1, one_wide, NULL, linear, &w };
    sq_var x = sq_input(r->t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 4 }));
    const sq_unrolled *u = sq_unroll(r->t, &cell, x, NULL, NULL);
    sq_var c = sq_input(r->t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 3 }));
    sq_var losses = sq_mul(c, sq_unrolled_outputs(u));
    r->l = sq_ledger_new(
        u, sq_sum(losses),
        &(sq_ledger_options){ .weights = weights, .losses = &losses, .n_losses = 1 });
    cr_assert(r->l != NULL, "%s", sq_message(r->t));
}

static void scalar_free(scalar_run *r)
{
    sq_ledger_free(r->l);
    sq_tape_free(r->t);
    sq_params_free(r->p);
}

Test(report_npy, is_what_numpy_writes)
{
    const struct {
        sq_report_table table;
        const unsigned char *file;
        size_t n;
    } golden[] = { { SQ_TABLE_TOTAL, npy_total, sizeof npy_total },
                   { SQ_TABLE_IMMEDIATE, npy_immediate, sizeof npy_immediate },
                   { SQ_TABLE_REACH, npy_reach, sizeof npy_reach },
                   { SQ_TABLE_SINGULAR, npy_singular, sizeof npy_singular },
                   { SQ_TABLE_LYAPUNOV, npy_lyapunov, sizeof npy_lyapunov } };
    const double singular[] = { .25, .25, .25 }, lyapunov[] = { log(.25) };
    unsigned char bytes[512];
    scalar_run run;
    scalar_new(&run, false);
    sq_report r = { .ledger = run.l,
                    .singular = singular,
                    .n_singular = 1,
                    .lyapunov = lyapunov,
                    .n_lyapunov = 1 };
    for (int i = 0; i < COUNT(golden); i++) {
        size_t n = sq_report_npy(&r, golden[i].table, bytes, sizeof bytes);
        cr_expect(n == golden[i].n, "table %d: %zu bytes", i, n);
        EXPECT_SAME_BITS(bytes, golden[i].file, golden[i].n, "files");
    }
    scalar_free(&run);
}

Test(report_npy, stops_where_the_buffer_ends)
{
    unsigned char whole[512], part[512];
    scalar_run run;
    scalar_new(&run, false);
    sq_report r = { .ledger = run.l };
    size_t n = sq_report_npy(&r, SQ_TABLE_REACH, whole, sizeof whole);
    cr_assert(n == 128 + 9 * 8);
    for (size_t room = 0; room <= n; room++) {
        memset(part, 'x', sizeof part);
        cr_expect(sq_report_npy(&r, SQ_TABLE_REACH, part, room) == n && part[room] == 'x');
        EXPECT_SAME_BITS(part, whole, room, "bytes");
    }
    cr_expect(sq_report_npy(&r, SQ_TABLE_REACH, NULL, 100) == n, "no buffer has no size");
    scalar_free(&run);
}

Test(report_npy, of_what_is_not_there)
{
    unsigned char bytes[64] = "old";
    scalar_run run;
    scalar_new(&run, false);
    sq_report r = { .ledger = run.l }, none = { .title = "x" };
    for (int k = 0; k < SQ_N_TABLES; k++) {
        bool there = k == SQ_TABLE_TOTAL || k == SQ_TABLE_IMMEDIATE || k == SQ_TABLE_REACH;
        size_t n = sq_report_npy(&r, (sq_report_table)k, NULL, 0);
        bool told = n > 0;
        cr_expect(told == there, "table %d", k);
        n = sq_report_npy(&none, (sq_report_table)k, bytes, sizeof bytes) +
            sq_report_npy(NULL, (sq_report_table)k, bytes, sizeof bytes);
        cr_expect(n == 0);
    }
    size_t n = sq_report_npy(&r, SQ_N_TABLES, bytes, sizeof bytes) +
               sq_report_npy(&r, (sq_report_table)-1, bytes, sizeof bytes);
    cr_expect(n == 0);
    EXPECT_TEXT((const char *)bytes, "old");
    scalar_free(&run);
}

/* Norms of parts, but neither their sum nor what comes from far. */
Test(report_npy, of_what_was_not_asked_for)
{
    scalar_run run;
    scalar_new(&run, true);
    sq_report r = { .ledger = run.l };
    for (int k = SQ_TABLE_WEIGHTS; k <= SQ_TABLE_WEIGHT_FAR; k++) {
        bool there = k == SQ_TABLE_WEIGHTS || k == SQ_TABLE_WEIGHT_OUTSIDE;
        bool told = sq_report_npy(&r, (sq_report_table)k, NULL, 0) > 0;
        cr_expect(told == there, "table %d", k);
    }
    scalar_free(&run);
}

/* ---- Beside the CSV ------------------------------------------------------------------------ */

static const struct {
    const char *panel, *quantity;
} sorts[SQ_N_TABLES] = {
    [SQ_TABLE_TOTAL] = { "states", "total" },
    [SQ_TABLE_IMMEDIATE] = { "states", "immediate" },
    [SQ_TABLE_COSINE] = { "states", "cosine" },
    [SQ_TABLE_UNITS] = { "units", "total" },
    [SQ_TABLE_REACH] = { "reach", "total" },
    [SQ_TABLE_WEIGHTS] = { "weights", "contribution" },
    [SQ_TABLE_WEIGHT_COSINE] = { "weights", "cosine" },
    [SQ_TABLE_WEIGHT_OUTSIDE] = { "weights", "outside" },
    [SQ_TABLE_WEIGHT_WHOLE] = { "weights", "whole" },
    [SQ_TABLE_WEIGHT_FAR] = { "weights", "far" },
    [SQ_TABLE_GATE_MEAN] = { "gates", "mean" },
    [SQ_TABLE_GATE_DEVIATION] = { "gates", "deviation" },
    [SQ_TABLE_GATE_SATURATED] = { "gates", "saturated" },
    [SQ_TABLE_GATE_GRADIENT] = { "gates", "gradient" },
    [SQ_TABLE_SINGULAR] = { "jacobian", "singular" },
    [SQ_TABLE_LYAPUNOV] = { "jacobian", "lyapunov" },
};

/* Which one of its sort is called so, from the ledger and the params. */
static int64_t number_of(const sq_report *r, const char *panel, const char *name)
{
    bool gate = strcmp(panel, "gates") == 0;
    int32_t n = gate ? sq_ledger_n_gates(r->ledger) : sq_ledger_n_states(r->ledger);
    if (!strcmp(panel, "jacobian")) return 0;
    if (!strcmp(panel, "weights")) return sq_params_find(r->params, name).id - 1;
    for (int32_t i = 0; i < n; i++) {
        const char *is =
            gate ? sq_ledger_gate_name(r->ledger, i) : sq_ledger_state_name(r->ledger, i);
        if (!strcmp(is, name)) return i;
    }
    cr_fatal("no %s is called %s", panel, name);
    return -1;
}

/* All tables of a report, read by the library's own reader. */
static sq_bundle *arrays_of(const sq_report *r)
{
    sq_bundle *b = sq_bundle_new();
    for (int k = 0; k < SQ_N_TABLES; k++) {
        char name[8];
        size_t n = sq_report_npy(r, (sq_report_table)k, NULL, 0);
        void *bytes = malloc(n + 1);
        cr_assert(bytes && sq_report_npy(r, (sq_report_table)k, bytes, n) == n);
        snprintf(name, sizeof name, "%d", k);
        if (n) sq_bundle_add_npy_bytes(b, name, bytes, n);
        free(bytes);
    }
    cr_assert(sq_bundle_status(b) == SQ_OK, "%s", sq_bundle_message(b));
    return b;
}

static const sq_tensor *array_of(sq_bundle *b, int table)
{
    char name[8];
    snprintf(name, sizeof name, "%d", table);
    return sq_bundle_find(b, name);
}

/* The quotes of a field, which here holds no others. */
static char *unquoted(char *field)
{
    size_t n = strlen(field);
    if (*field != '"') return field;
    field[n - 1] = '\0';
    return field + 1;
}

/* A line of the CSV; returns the table that it belongs to. */
static int expect_line(sq_bundle *b, const sq_report *r, char *line)
{
    char *field[6], want[32];
    for (int i = 0; i < 6; i++, line += strlen(line) + 1) {
        field[i] = line;
        line[strcspn(line, ",\n")] = '\0';
    }
    field[1] = unquoted(field[1]);
    int k = 0;
    while (k < SQ_N_TABLES &&
           (strcmp(sorts[k].panel, field[0]) != 0 || strcmp(sorts[k].quantity, field[2]) != 0))
        k++;
    cr_assert(k < SQ_N_TABLES, "%s %s", field[0], field[2]);
    const sq_tensor *t = array_of(b, k);
    cr_assert(t && t->type == SQ_TENSOR_F64, "%s %s", field[0], field[2]);
    int64_t at[3] = { number_of(r, field[0], field[1]) }, place = 0;
    int32_t rank = strcmp(field[0], "jacobian") != 0;
    for (int i = 3; i < 5; i++)
        if (*field[i]) at[rank++] = strtoll(field[i], NULL, 10);
    cr_assert(t->rank == rank, "%s %s has rank %d", field[0], field[2], (int)t->rank);
    for (int32_t i = 0; i < rank; i++) {
        cr_assert(at[i] < t->dim[i]);
        place = place * t->dim[i] + at[i];
    }
    snprintf(want, sizeof want, "%.6g", ((const double *)t->values)[place]);
    cr_expect(strcmp(want, field[5]) == 0, "%s,%s,%s,%s,%s: %s, in the CSV %s", field[0],
              field[1], field[2], field[3], field[4], want, field[5]);
    return k;
}

/* What the CSV leaves out is NaN, or a loss that reaches no later step. */
static void expect_nothing_else(const sq_tensor *t, int64_t told, int table)
{
    int64_t numbers = 0;
    for (int64_t i = 0; i < t->count; i++) {
        double v = ((const double *)t->values)[i];
        numbers += !isnan(v) && (table != SQ_TABLE_REACH || v != 0);
    }
    cr_expect(numbers == told, "table %d has %lld numbers, the CSV %lld", table,
              (long long)numbers, (long long)told);
}

static void expect_all_of_csv(const sq_report *r)
{
    int64_t told[SQ_N_TABLES] = { 0 };
    sq_bundle *b = arrays_of(r);
    size_t n = sq_report_csv(r, NULL, 0);
    char *csv = malloc(n + 1), *line = csv, *next;
    cr_assert(csv && sq_report_csv(r, csv, n + 1) == n);
    for (line = strchr(csv, '\n') + 1; *line; line = next) {
        next = strchr(line, '\n') + 1;
        bool number = strncmp(next - 4, "nan\n", 4) != 0;
        told[expect_line(b, r, line)] += number;
    }
    for (int k = 0; k < SQ_N_TABLES; k++) {
        const sq_tensor *array = array_of(b, k);
        cr_assert(array != NULL, "table %d", k);
        expect_nothing_else(array, told[k], k);
    }
    free(csv);
    sq_bundle_free(b);
}

/* Two layers of an LSTM of different widths: units that the narrower one has not; and a weight that
 * nothing uses. */
Test(report_npy, of_all_that_a_ledger_holds)
{
    enum { T = 5, B = 2, I = 3, H = 4, LOW = 2 };
    sq_params *p = sq_params_new(SQ_F64);
    sq_lstm low, high;
    cr_assert(sq_lstm_init(&low, p, "low", I, LOW, 1) == SQ_OK &&
              sq_lstm_init(&high, p, "high", LOW, H, 2) == SQ_OK);
    add_number(p, "idle", 1);
    sq_cell cells[2] = { sq_lstm_cell(&low), sq_lstm_cell(&high) };
    sq_stack_cells *stack = sq_stack_new(cells, 2);
    sq_cell cell = sq_stack_cell(stack);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    double x[T * B * I], singular[T * 3], lyapunov[2] = { -.5, -1 };
    fill(x, T * B * I, 2, -1, 1);
    fill(singular, T * 3, 3, .1, 1);
    const sq_unrolled *u = sq_unroll(t, &cell, sq_input(t, sq_shape3(T, B, I), x), NULL, NULL);
    sq_var losses[T], all = sq_constant(t, 0);
    for (int i = 0; i < T; i++) {
        sq_var y = sq_unrolled_output(u, i);
        all = sq_add(all, losses[i] = sq_sum(sq_mul(y, y)));
    }
    sq_ledger_options look = { .values = true,
                               .weights = true,
                               .far_steps = 1,
                               .gates = true,
                               .losses = losses,
                               .n_losses = T };
    sq_ledger *l = sq_ledger_new(u, all, &look);
    cr_assert(l != NULL, "%s", sq_message(t));
    sq_report r = { .ledger = l,
                    .params = p,
                    .singular = singular,
                    .n_singular = 3,
                    .lyapunov = lyapunov,
                    .n_lyapunov = 2 };
    expect_all_of_csv(&r);
    sq_bundle *b = arrays_of(&r);
    const sq_tensor *units = array_of(b, SQ_TABLE_UNITS);
    cr_assert(units->dim[0] == 4 && units->dim[1] == H && units->dim[2] == T);
    double missing = ((const double *)units->values)[LOW * T];
    cr_expect(isnan(missing), "%g", missing);
    double reach = ((const double *)array_of(b, SQ_TABLE_REACH)->values)[(T + 3) * T + 2];
    EXPECT_NEAR(reach, sq_ledger_reach(l, 3, 2, 1), 0, "all bits");
    sq_bundle_free(b);
    sq_ledger_free(l);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_stack_free(stack);
    sq_params_free(p);
}
