/* jacobian.c -- products of step Jacobians: from the end backwards as rows of directions, from the
 * beginning forwards as a frame. */
#include "graph/jacobian.h"
#include "graph/jacobian_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Off the tape: the cell's own array of widths may be gone. */
static int64_t width_of(const sq_unrolled *u, int32_t k)
{
    sq_var last = sq_unrolled_state(u, sq_unrolled_steps(u) - 1, k);
    const sqi_node *n = sqi_node_find(last.tape, last.id);
    return n ? n->shape.dim[1] : 0;
}

int64_t sq_jacobian_size(const sq_unrolled *u, int32_t state)
{
    int32_t n = sq_unrolled_n_states(u);
    if (state < SQ_JOINTLY || state >= n) return 0;
    int64_t size = state >= 0 ? width_of(u, state) : 0;
    for (int32_t k = 0; state < 0 && k < n; k++) size += width_of(u, k);
    return size;
}

/* Where a state begins among all. */
static int64_t offset_of(const sq_unrolled *u, int32_t state)
{
    int64_t offset = 0;
    for (int32_t k = 0; k < state; k++) offset += sq_jacobian_size(u, k);
    return offset;
}

/* ---- What is asked for -------------------------------------------------------------------- */

static bool check_row(const sq_unrolled *u, int64_t t, int64_t row)
{
    sq_tape *tape = sq_unrolled_tape(u);
    const sqi_node *n = sqi_node_of(tape, sq_unrolled_state(u, t, 0), "a state of the unroll");
    if (!n) return false;
    int64_t rows = n->shape.dim[0];
    if (row >= 0 && row < rows) return true;
    return sq_post(tape, SQ_ERANGE, "there is no row %lld in a batch of %lld", (long long)row,
                   (long long)rows);
}

bool sqi_jacobian_begin(const sq_unrolled *u, const char *doing, int64_t t, int64_t row,
                        int32_t state)
{
    sq_tape *tape = sq_unrolled_tape(u);
    int64_t steps = sq_unrolled_steps(u);
    if (!sqi_begin(tape, doing) || !sqi_has_gradients(tape) || !sqi_in_line(tape) ||
        !sqi_trace_compute(tape, "reads a Jacobian"))
        return false;
    if (!sq_unrolled_n_states(u)) return sq_post(tape, SQ_EVALUE, "the cell has no states");
    if (state < SQ_JOINTLY || state >= sq_unrolled_n_states(u))
        return sq_post(tape, SQ_ERANGE, "the cell has no state %d", (int)state);
    if (t < -1 || t >= steps)
        return sq_post(tape, SQ_ERANGE, "there is no step %lld in an unroll of %lld",
                       (long long)t, (long long)steps);
    return check_row(u, t, row);
}

/* ---- Backwards ---------------------------------------------------------------------------- */

/* g = dh_t/dh_j 2^-exponent, row by row [n,S]. */
typedef struct walk {
    const sq_unrolled *u;
    sq_tape *t;
    int64_t row, n, size;
    double *g, *next;
    int64_t exponent;
} walk;

static double *numbers(sq_tape *t, int64_t rows, int64_t columns)
{
    double *at = columns && rows > INT32_MAX / columns
                     ? NULL
                     : calloc((size_t)(rows * columns) + 1, sizeof *at);
    if (!at) sq_post(t, SQ_ENOMEM, "out of memory for a Jacobian");
    return at;
}

static bool walk_begin(walk *w, const sq_unrolled *u, int64_t row, int32_t state)
{
    *w = (walk){ .u = u, .t = sq_unrolled_tape(u), .row = row };
    w->n = sq_jacobian_size(u, state);
    w->size = sq_jacobian_size(u, SQ_JOINTLY);
    w->g = numbers(w->t, w->n, w->size);
    w->next = numbers(w->t, w->n, w->size);
    if (!w->g || !w->next) return false;
    int64_t offset = offset_of(u, state);
    for (int64_t i = 0; i < w->n; i++) w->g[i * w->size + offset + i] = 1;
    return true;
}

static void walk_end(walk *w)
{
    free(w->g);
    free(w->next);
}

/* Brings the largest of n numbers into [1,2) by a power of two, which it returns; 0 for zeros and
 * where something is infinite or not a number. */
static int64_t normalise(int64_t n, double *x)
{
    double most = 0;
    int exponent;
    for (int64_t i = 0; i < n; i++) most = fabs(x[i]) > most || isnan(x[i]) ? fabs(x[i]) : most;
    if (most == 0 || !isfinite(most)) return 0;
    (void)frexp(most, &exponent);
    for (int64_t i = 0; i < n; i++) x[i] = ldexp(x[i], 1 - exponent);
    return exponent - 1;
}

/* From dh_t/dh_step on to dh_t/dh_(step-1), and to dh_t/dx_step unless gx is NULL. */
static bool walk_back(walk *w, int64_t step, double *gx)
{
    sqi_moment m;
    bool ok =
        sqi_moment_open(&m, w->u, step) && sqi_moment_pull(&m, w->row, w->n, w->g, w->next, gx);
    sqi_moment_close(&m);
    if (!ok) return false;
    double *g = w->next;
    w->next = w->g;
    w->g = g;
    w->exponent += normalise(w->n * w->size, g);
    return true;
}

/* m [n,columns], times 2^exponent: scaled as asked. */
static void hand_out(int64_t n, int64_t exponent, double *m, double *log_scale)
{
    bool zero = true;
    for (int64_t i = 0; i < n; i++) zero = zero && m[i] == 0;
    if (log_scale) {
        exponent += normalise(n, m);
        *log_scale = zero ? -(double)INFINITY : (double)exponent * log(2);
        return;
    }
    int by = exponent > 5000 ? 5000 : exponent < -5000 ? -5000 : (int)exponent;
    for (int64_t i = 0; i < n; i++) m[i] = ldexp(m[i], by);
}

static bool check_order(const sq_unrolled *u, int64_t t, int64_t k, int64_t lowest,
                        const double *m)
{
    sq_tape *tape = sq_unrolled_tape(u);
    if (k < lowest || k > t)
        return sq_post(tape, SQ_ERANGE, "k = %lld does not lie in %lld .. t = %lld",
                       (long long)k, (long long)lowest, (long long)t);
    return m || sq_post(tape, SQ_EVALUE, "the array for the result is NULL");
}

sq_status sq_jacobian(const sq_unrolled *u, int64_t t, int64_t k, int64_t row, int32_t state,
                      double *m, double *log_scale)
{
    walk w;
    if (!u) return SQ_EVAR;
    sq_tape *tape = sq_unrolled_tape(u);
    if (!sqi_jacobian_begin(u, "jacobian", t, row, state) || !check_order(u, t, k, -1, m))
        return tape->error.status;
    bool ok = walk_begin(&w, u, row, state);
    for (int64_t step = t; ok && step > k; step--) ok = walk_back(&w, step, NULL);
    for (int64_t i = 0; ok && i < w.n; i++)
        memcpy(m + i * w.n, w.g + i * w.size + offset_of(u, state), (size_t)w.n * sizeof *m);
    if (ok) hand_out(w.n * w.n, w.exponent, m, log_scale);
    walk_end(&w);
    return tape->error.status;
}

/* I, when the cell got an input. */
static bool input_width(const sq_unrolled *u, int64_t step, int64_t *width)
{
    sqi_moment m;
    bool ok = sqi_moment_open(&m, u, step);
    *width = ok ? sqi_moment_input(&m) : 0;
    bool none = ok && (!m.x || (m.flags && !*width));
    sqi_moment_close(&m);
    return none ? sq_post(m.t, SQ_EVALUE, "the cell got no input") : ok;
}

sq_status sq_jacobian_input(const sq_unrolled *u, int64_t t, int64_t k, int64_t row,
                            int32_t state, double *m, double *log_scale)
{
    walk w;
    int64_t width, before;
    if (!u) return SQ_EVAR;
    sq_tape *tape = sq_unrolled_tape(u);
    if (!sqi_jacobian_begin(u, "jacobian_input", t, row, state) ||
        !check_order(u, t, k, 0, m) || !input_width(u, k, &width))
        return tape->error.status;
    bool ok = walk_begin(&w, u, row, state);
    for (int64_t step = t; ok && step > k; step--) ok = walk_back(&w, step, NULL);
    before = w.exponent;
    if (ok && walk_back(&w, k, m)) hand_out(w.n * width, before, m, log_scale);
    walk_end(&w);
    return tape->error.status;
}

sq_status sq_jacobian_log_norms(const sq_unrolled *u, int64_t t, int64_t row, int32_t state,
                                double *log_norm)
{
    walk w;
    if (!u) return SQ_EVAR;
    sq_tape *tape = sq_unrolled_tape(u);
    if (!sqi_jacobian_begin(u, "jacobian_log_norms", t, row, state) ||
        !check_order(u, t, t, -1, log_norm))
        return tape->error.status;
    bool ok = walk_begin(&w, u, row, state);
    int64_t offset = offset_of(u, state);
    for (int64_t k = t; ok; k--) {
        double sum = 0;
        for (int64_t i = 0; i < w.n; i++)
            for (int64_t j = 0; j < w.n; j++) {
                double x = w.g[i * w.size + offset + j];
                sum += x * x;
            }
        log_norm[k + 1] = (double)w.exponent * log(2) + log(sum) / 2;
        if (k < 0 || !walk_back(&w, k, NULL)) break;
    }
    walk_end(&w);
    return tape->error.status;
}

/* ---- Forwards ----------------------------------------------------------------------------- */

bool sqi_frame_step(sqi_frame *f, const sq_unrolled *u, int64_t step, int64_t row)
{
    sqi_moment m;
    int64_t size = f->size;
    memset(f->next, 0, (size_t)(size * size) * sizeof *f->next);
    for (int64_t i = 0; i < size; i++) f->next[i * size + i] = 1;
    bool ok =
        sqi_moment_open(&m, u, step) && sqi_moment_pull(&m, row, size, f->next, f->j, NULL);
    sqi_moment_close(&m);
    if (!ok) return false;
    sqi_transpose(size, size, f->j, f->next);
    sqi_multiply(f->n, size, size, f->q, f->next, f->j); /* row i becomes J q_i */
    memcpy(f->q, f->j, (size_t)(f->n * size) * sizeof *f->q);
    return true;
}

bool sqi_frame_new(sqi_frame *f, sq_tape *t, int64_t n, int64_t size)
{
    *f = (sqi_frame){ .n = n, .size = size };
    f->q = numbers(t, size, size);
    f->j = numbers(t, size, size);
    f->next = numbers(t, size, size);
    f->r = numbers(t, n, n);
    for (int64_t i = 0; f->q && i < n; i++) f->q[i * size + i] = 1;
    return f->q && f->j && f->next && f->r;
}

void sqi_frame_free(sqi_frame *f)
{
    free(f->q);
    free(f->j);
    free(f->next);
    free(f->r);
}

/* ---- Singular values of long products ------------------------------------------------------ */

/* (dh_t/dh_k)^T = frame^T a, from the newest step back: J^T frame is made orthonormal again, and
 * what that takes goes into a, whose rows have scales of their own. */
typedef struct spectrum {
    sqi_frame f;
    sqi_scaled a, copy;
    double *work;
} spectrum;

static bool spectrum_new(spectrum *p, sq_tape *t, int64_t n)
{
    *p = (spectrum){ .a = { .n = n, .m = n }, .copy = { .n = n, .m = n } };
    p->work = numbers(t, n + 1, n + 1);
    p->a.v = numbers(t, n, n);
    p->a.scale = numbers(t, n, 1);
    p->copy.v = numbers(t, n, n);
    p->copy.scale = numbers(t, n, 1);
    bool ok = p->work && p->a.v && p->a.scale && p->copy.v && p->copy.scale;
    for (int64_t i = 0; ok && i < n; i++) p->a.v[i * n + i] = 1;
    return sqi_frame_new(&p->f, t, n, n) && ok;
}

static void spectrum_free(spectrum *p)
{
    void *const all[] = { p->work, p->a.v, p->a.scale, p->copy.v, p->copy.scale };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    sqi_frame_free(&p->f);
}

static bool spectrum_back(spectrum *p, const sq_unrolled *u, int64_t step, int64_t row)
{
    sqi_moment m;
    int64_t n = p->f.n;
    bool ok = sqi_moment_open(&m, u, step) && sqi_moment_pull(&m, row, n, p->f.q, p->f.j, NULL);
    sqi_moment_close(&m);
    if (!ok) return false;
    memcpy(p->f.q, p->f.j, (size_t)(n * n) * sizeof *p->f.q);
    sqi_orthonormalise(n, n, p->f.q, p->f.r);
    sqi_transpose(n, n, p->f.r, p->f.j);
    sqi_scaled_multiply(p->f.j, &p->a, p->work);
    return true;
}

/* Taking the values turns the rows: of a copy, for there may be more to come. */
static void spectrum_read(spectrum *p, double *log_sigma)
{
    int64_t n = p->f.n;
    memcpy(p->copy.v, p->a.v, (size_t)(n * n) * sizeof *p->a.v);
    memcpy(p->copy.scale, p->a.scale, (size_t)n * sizeof *p->a.scale);
    sqi_scaled_singular(&p->copy, log_sigma);
}

static bool check_descent(const sq_unrolled *u, int64_t t, const int64_t *k, int64_t n,
                          const double *log_sigma)
{
    sq_tape *tape = sq_unrolled_tape(u);
    if (n < 0 || (n && !k))
        return sq_post(tape, SQ_ERANGE, "cannot look at %lld steps", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        if (!check_order(u, t, k[i], -1, log_sigma)) return false;
        if (i && k[i] >= k[i - 1])
            return sq_post(tape, SQ_ERANGE, "k = %lld stands behind %lld: it must be smaller",
                           (long long)k[i], (long long)k[i - 1]);
    }
    return true;
}

sq_status sq_jacobian_log_spectra(const sq_unrolled *u, int64_t t, const int64_t *k, int64_t n,
                                  int64_t row, double *log_sigma)
{
    if (!u) return SQ_EVAR;
    sq_tape *tape = sq_unrolled_tape(u);
    if (!sqi_jacobian_begin(u, "jacobian_log_spectra", t, row, SQ_JOINTLY) ||
        !check_descent(u, t, k, n, log_sigma))
        return tape->error.status;
    int64_t size = sq_jacobian_size(u, SQ_JOINTLY), step = t;
    spectrum p;
    bool ok = spectrum_new(&p, tape, size);
    for (int64_t i = 0; ok && i < n; i++) {
        for (; ok && step > k[i]; step--) ok = spectrum_back(&p, u, step, row);
        if (ok) spectrum_read(&p, log_sigma + i * size);
    }
    spectrum_free(&p);
    return tape->error.status;
}

sq_status sq_jacobian_log_singular(const sq_unrolled *u, int64_t t, int64_t k, int64_t row,
                                   double *log_sigma)
{
    return sq_jacobian_log_spectra(u, t, &k, 1, row, log_sigma);
}
