/* test_recipes.c -- initialisation that looks at more than one number at a time: the spectral
 * radius against matrices whose eigenvalues are known, chrono biases against their law. */
#include "tests/support/every_cell.h"
#include "tests/support/support.h"

/* ---- Spectral radius ---------------------------------------------------------------------- */

enum { N = 4 };

/* Companion matrices have the roots of their polynomial as eigenvalues; the rest is plain. */
static const struct known {
    const char *what;
    double radius, m[N * N];
} known[] = {
    { "diagonal", 3, { 1, 0, 0, 0, 0, -3, 0, 0, 0, 0, 2, 0, 0, 0, 0, .5 } },
    { "triangular", 2, { 1, 90, -7, 3, 0, 2, 50, 8, 0, 0, -1.5, 60, 0, 0, 0, .1 } },
    { "one block of Jordan", .5, { .5, 1, 0, 0, 0, .5, 1, 0, 0, 0, .5, 1, 0, 0, 0, .5 } },
    { "rotation", 1, { 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, .6, -.8, 0, 0, .8, .6 } },
    { "a permutation", 1, { 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0 } },
    { "of rank one, (1,2,3,4)^T (1,1,-1,1)",
      4,
      { 1, 1, -1, 1, 2, 2, -2, 2, 3, 3, -3, 3, 4, 4, -4, 4 } },
    /* (x - 2)(x + 3)(x^2 - 2x + 17) = x^4 - x^3 + 9x^2 + 29x - 102, roots 2, -3, 1 +- 4i */
    { "companion", 4.123105625617661, { 0, 0, 0, 102, 1, 0, 0, -29, 0, 1, 0, -9, 0, 0, 1, 1 } },
    { "huge", 3e200, { 1e200, 0, 0, 0, 0, -3e200, 0, 0, 0, 0, 2e200, 0, 0, 0, 0, 1 } },
    { "tiny", 3e-200, { 1e-200, 0, 0, 0, 0, -3e-200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
};

static sq_weight fresh(sq_params **p, sq_shape shape)
{
    *p = sq_params_new(SQ_F64);
    return sq_params_add(*p, "w", shape);
}

Test(spectral, of_known_matrices)
{
    for (int k = 0; k < COUNT(known); k++) {
        double got[N * N], want[N * N];
        sq_params *p;
        sq_weight w = fresh(&p, sq_mat(N, N));
        cr_assert(sq_weight_set(p, w, known[k].m) == SQ_OK);
        cr_assert(sq_init_spectral_radius(p, w, .9) == SQ_OK, "%s: %s", known[k].what,
                  sq_params_message(p));
        cr_assert(sq_weight_get(p, w, got) == SQ_OK);
        for (int i = 0; i < N * N; i++) want[i] = known[k].m[i] / known[k].radius * .9;
        EXPECT_ALL_NEAR(got, want, N * N, 1e-11, known[k].what);
        sq_params_free(p);
    }
}

/* rho(Q) = 1 for an orthogonal Q; similarity leaves it, whatever the size. */
Test(spectral, of_a_large_orthogonal_matrix)
{
    enum { n = 40 };
    double before[n * n], after[n * n];
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(n, n));
    cr_assert(sq_init_orthogonal(p, w, 1, 3) == SQ_OK && sq_weight_get(p, w, before) == SQ_OK);
    cr_assert(sq_init_spectral_radius(p, w, 1) == SQ_OK && sq_weight_get(p, w, after) == SQ_OK);
    EXPECT_ALL_NEAR(after, before, n * n, 1e-12, "orthogonal");
    cr_assert(sq_init_spectral_radius(p, w, 0) == SQ_OK && sq_weight_get(p, w, after) == SQ_OK);
    for (int i = 0; i < n * n; i++) cr_expect(after[i] == 0);
    sq_params_free(p);
}

static void expect_refused(sq_params *p, sq_status got, sq_status want, const char *text)
{
    cr_expect(got == want, "%d", (int)got);
    EXPECT_TEXT(sq_params_message(p), text);
    sq_params_clear_error(p);
}

Test(spectral, mistakes)
{
    static const char flat[] =
        "init_spectral_radius: weight n: its eigenvalues are all 0, or not finite";
    sq_params *p;
    sq_weight w = fresh(&p, sq_mat(2, 3)), v = sq_params_add(p, "v", sq_vec(3));
    sq_weight n = sq_params_add(p, "n", sq_mat(3, 3)), e = sq_params_add(p, "e", sq_mat(0, 0));
    expect_refused(p, sq_init_spectral_radius(p, w, 1), SQ_ESHAPE,
                   "init_spectral_radius: weight w: needs a square matrix");
    expect_refused(p, sq_init_spectral_radius(p, v, 1), SQ_ESHAPE,
                   "init_spectral_radius: weight v: needs a square matrix");
    expect_refused(p, sq_init_spectral_radius(p, n, 1), SQ_EVALUE, flat);
    cr_assert(sq_weight_set(p, n, ((double[]){ 0, 1, 2, 0, 0, 3, 0, 0, 0 })) == SQ_OK);
    expect_refused(p, sq_init_spectral_radius(p, n, 1), SQ_EVALUE, flat);
    cr_assert(sq_weight_set(p, n, ((double[]){ 0, 1, 2, nan(""), 0, 3, 0, 0, 0 })) == SQ_OK);
    expect_refused(p, sq_init_spectral_radius(p, n, 1), SQ_EVALUE, flat);
    expect_refused(
        p, sq_init_spectral_radius(p, n, -1), SQ_EVALUE,
        "init_spectral_radius: weight n: the radius must be finite and not negative");
    expect_refused(
        p, sq_init_spectral_radius(p, n, HUGE_VAL), SQ_EVALUE,
        "init_spectral_radius: weight n: the radius must be finite and not negative");
    expect_refused(p, sq_init_spectral_radius(p, (sq_weight){ 9 }, 1), SQ_EWEIGHT,
                   "init_spectral_radius: there is no weight with id 9");
    cr_expect(sq_init_spectral_radius(p, e, 1) == SQ_OK);
    sq_params_free(p);
}

/* ---- Chrono ------------------------------------------------------------------------------- */

enum { UNITS = 4000 };

/* e^b is uniform in [1, longest - 1): its mean is longest/2, its deviation (longest - 2)/sqrt 12;
 * bounds are five standard errors. b_i = -b_f to the bit. */
Test(chrono, times_are_uniform)
{
    static double f[UNITS], i[UNITS];
    const double longest = 100;
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight keep = sq_params_add(p, "b_f", sq_vec(UNITS)),
              write = sq_params_add(p, "b_i", sq_vec(UNITS));
    cr_assert(sq_init_chrono(p, keep, write, longest, 3) == SQ_OK);
    cr_assert(sq_weight_get(p, keep, f) == SQ_OK && sq_weight_get(p, write, i) == SQ_OK);
    double mean = 0, least = 1e9, most = 0;
    for (int k = 0; k < UNITS; k++) {
        double u = exp(f[k]);
        mean += u / UNITS;
        least = fmin(least, u);
        most = fmax(most, u);
        cr_expect(i[k] == -f[k]);
    }
    cr_expect(fabs(mean - 50) < 5 * 98 / sqrt(12.0 * UNITS), "mean %g", mean);
    cr_expect(least >= 1 && least < 1.5 && most < 99 && most > 98.5, "[%g,%g]", least, most);
    sq_params_free(p);
}

/* One gate alone: the numbers are those of its own name. */
Test(chrono, of_one_gate)
{
    double z[3], again[3], minus[3];
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "b", sq_vec(3)), none = { 0 };
    cr_assert(sq_init_chrono(p, w, none, 50, 3) == SQ_OK && sq_weight_get(p, w, z) == SQ_OK);
    cr_assert(sq_init_chrono(p, none, w, 50, 3) == SQ_OK &&
              sq_weight_get(p, w, minus) == SQ_OK);
    cr_assert(sq_init_chrono(p, w, none, 50, 4) == SQ_OK &&
              sq_weight_get(p, w, again) == SQ_OK);
    for (int k = 0; k < 3; k++) cr_expect(z[k] == -minus[k] && z[k] != again[k]);
    cr_assert(sq_init_chrono(p, w, none, 2, 3) == SQ_OK && sq_weight_get(p, w, z) == SQ_OK);
    for (int k = 0; k < 3; k++) cr_expect(z[k] == 0, "ln 1");
    sq_params_free(p);
}

/* What the table in init.h hands in for each cell makes it remember: with x = 0 and recurrent
 * weights of 0, a memory set to something keeps at least the share 1 - 1/2 = 1/2 of it over one
 * step, and a unit of time u keeps u/(1 + u), for keep = sigmoid(ln u) = u/(1 + u). */
Test(chrono, what_to_hand_in_for_each_cell)
{
    static const struct {
        any_cell_fn *make;
        const char *keep, *write;
        int state;
    } table[] = {
        { any_lstm, "c.b_f", "c.b_i", 1 },     { any_peephole, "c.b_f", "c.b_i", 1 },
        { any_lstmp, "c.b_f", "c.b_i", 1 },    { any_lnlstm, "c.b_f", "c.b_i", 1 },
        { any_lngru, "c.b_z", NULL, 0 },       { any_greff_v, "c.b_f", "c.b_i", 1 },
        { any_greff_cifg, NULL, "c.b_i", 1 },  { any_cifg, "c.b_f", NULL, 1 },
        { any_gru_after, "c.b_z", NULL, 0 },   { any_gru_before, "c.b_z", NULL, 0 },
        { any_gru_between, "c.b_z", NULL, 0 }, { any_mgu, NULL, "c.b", 0 },
    };
    enum { H = 5 };
    for (int k = 0; k < COUNT(table); k++) {
        any_cell w;
        double b[H + 1], got[H + 1];
        sq_params *p = sq_params_new(SQ_F64);
        sq_cell cell = table[k].make(&w, p, "c", 2, H, 1);
        for (int32_t id = 1; id <= sq_params_count(p); id++)
            cr_assert(sq_init_zeros(p, (sq_weight){ id }) == SQ_OK);
        sq_weight keep = { 0 }, write = { 0 };
        if (table[k].keep) keep = sq_params_find(p, table[k].keep);
        if (table[k].write) write = sq_params_find(p, table[k].write);
        cr_assert(sq_init_chrono(p, keep, write, 30, 5) == SQ_OK, "%s", sq_params_message(p));
        cr_assert(sq_weight_get(p, keep.id ? keep : write, b) == SQ_OK);
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_var s[ANY_CELL_STATES];
        for (int i = 0; i < cell.n_states; i++)
            s[i] = sq_full(t, sq_mat(1, cell.width[i]), i == table[k].state);
        sq_begin_step(t);
        (void)cell.step(t, cell.self, sq_zeros(t, sq_mat(1, 2)), s);
        cr_assert(sq_copy(s[table[k].state], got) == SQ_OK, "%s", sq_message(t));
        for (int i = 0; i < cell.width[table[k].state]; i++) {
            double u = exp(fabs(b[i]));
            EXPECT_NEAR(got[i], u / (1 + u), 1e-14, cell.name);
        }
        sq_tape_free(t);
        sq_params_free(p);
    }
}

Test(chrono, mistakes)
{
    static const char times[] =
        "init_chrono: weight a: the longest time must be finite and at least 2 steps";
    double v[3];
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight a = sq_params_add(p, "a", sq_vec(3)), b = sq_params_add(p, "b", sq_vec(4)),
              none = { 0 }, unknown = { 9 };
    expect_refused(p, sq_init_chrono(p, a, none, 1.5, 1), SQ_EVALUE, times);
    expect_refused(p, sq_init_chrono(p, a, none, nan(""), 1), SQ_EVALUE, times);
    expect_refused(p, sq_init_chrono(p, a, none, HUGE_VAL, 1), SQ_EVALUE, times);
    expect_refused(p, sq_init_chrono(p, a, b, 9, 1), SQ_ESHAPE,
                   "init_chrono: weight a: the two biases differ in shape");
    expect_refused(p, sq_init_chrono(p, none, none, 9, 1), SQ_EWEIGHT,
                   "init_chrono: there is no weight with id 0");
    expect_refused(p, sq_init_chrono(p, a, unknown, 9, 1), SQ_EWEIGHT,
                   "init_chrono: there is no weight with id 9");
    cr_assert(sq_weight_get(p, a, v) == SQ_OK);
    cr_expect(v[0] == 0 && v[2] == 0, "a refused call changes nothing");
    sq_params_free(p);
}
