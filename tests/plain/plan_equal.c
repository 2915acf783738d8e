/* plan_equal.c -- every cell, planned and eager, on this instruction set: a program that checks
 * itself, for machines and emulators where the test framework does not run.
 *
 * Double must agree to 1e-12 of the largest entry, float to 1e-5 of the eager result in double;
 * one, two and five threads must agree to the bit. Prints one line per cell and shape. */
#include "core/kernels/kernels.h"
#include "tests/support/every_cell.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

typedef struct shape {
    int64_t B, T, I, H;
} shape;

static const shape shapes[] = {
    { 1, 9, 3, 17 }, { 3, 40, 5, 33 }, { 20, 30, 7, 16 }, { 33, 5, 1, 1 }
};

/* Everything one run leaves: outputs, gradients of weights, input and initial states. */
typedef struct result {
    double *at;
    size_t n;
} result;

static void append(result *r, sq_var v, bool gradient)
{
    size_t n = (size_t)sq_shape_size(sq_shape_of(v));
    r->at = realloc(r->at, (r->n + n + 1) * sizeof *r->at);
    if (!r->at) exit(2);
    if (gradient ? sq_grad_copy_f64(v, r->at + r->n) : sq_copy_f64(v, r->at + r->n)) exit(2);
    r->n += n;
}

static result run(sq_dtype dtype, int which, const shape *s, sq_mode mode, int32_t threads)
{
    sq_params *p = sq_params_new(dtype);
    sq_tape *t;
    any_cell w;
    sq_cell cell = every_cell[which].make(&w, p, "c", s->I, s->H, 1);
    result r = { NULL, 0 };
    size_t n = (size_t)(s->T * s->B * (s->I > s->H ? s->I : s->H) + ANY_CELL_STATES);
    double *x = malloc(n * sizeof *x);
    if (!x || !(t = sq_tape_new(dtype, p))) exit(2);
    for (size_t i = 0; i < n; i++) x[i] = sin(.7 * (double)i + 1);
    sq_tape_set_threads(t, threads);
    sq_var in = sq_leaf_f64(t, sq_shape3(s->T, s->B, s->I), x), state[ANY_CELL_STATES];
    for (int k = 0; k < cell.n_states; k++)
        state[k] = sq_leaf_f64(t, sq_mat(s->B, cell.width[k]), x + k);
    sq_unroll_options o = { .mode = mode };
    const sq_unrolled *u = sq_unroll(t, &cell, in, state, &o);
    sq_var y = sq_unrolled_outputs(u);
    if (sq_backward_from_f64(y, x)) fprintf(stderr, "%s\n", sq_message(t)), exit(2);
    append(&r, y, false);
    append(&r, in, true);
    for (int k = 0; k < cell.n_states; k++) append(&r, state[k], true);
    for (int32_t id = 1; id <= sq_params_count(p); id++)
        append(&r, sq_use(t, (sq_weight){ id }), true);
    sq_tape_free(t);
    sq_params_free(p);
    free(x);
    return r;
}

static double distance(const result *a, const result *b)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < b->n; i++) {
        double e = fabs(a->at[i] - b->at[i]);
        if (e > worst || isnan(e)) worst = e; /* a NaN stays */
        largest = fmax(largest, fabs(b->at[i]));
    }
    return worst / largest;
}

static bool check(int which, const shape *s)
{
    result eager = run(SQ_F64, which, s, SQ_EAGER, 1), plan = run(SQ_F64, which, s, SQ_PLAN, 1);
    result narrow = run(SQ_F32, which, s, SQ_PLAN, 1);
    result two = run(SQ_F32, which, s, SQ_PLAN, 2), five = run(SQ_F32, which, s, SQ_PLAN, 5);
    double wide = distance(&plan, &eager), error = distance(&narrow, &eager);
    bool bits = memcmp(narrow.at, two.at, narrow.n * sizeof *two.at) == 0 &&
                memcmp(narrow.at, five.at, narrow.n * sizeof *two.at) == 0;
    bool ok = wide <= 1e-12 && error <= 1e-5 && bits;
    printf("%-11s B %-2d T %-2d I %d H %-2d   double %.1e   float %.1e   threads %s%s\n",
           every_cell[which].name, (int)s->B, (int)s->T, (int)s->I, (int)s->H, wide, error,
           bits ? "equal" : "DIFFER", ok ? "" : "   WRONG");
    free(eager.at), free(plan.at), free(narrow.at), free(two.at), free(five.at);
    return ok;
}

int main(void)
{
    bool ok = true;
    printf("instruction set %s\n", sqi_kernels_select()->name);
    for (int which = 0; which < N_CELL_KINDS; which++)
        for (int i = 0; i < COUNT(shapes); i++) ok = check(which, &shapes[i]) && ok;
    puts(ok ? "planned and eager agree" : "planned and eager DISAGREE");
    return !ok;
}
