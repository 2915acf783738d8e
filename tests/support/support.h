/* support.h -- what the tests share: numbers that do not come from the library under test,
 * closeness with a label, and the check that a tape is healthy.
 *
 * A tolerance is always relative to max(1, |want|), as in graph/check.h. Bits are compared with
 * memcmp, so that a NaN or a negative zero cannot slip through. */
#ifndef SQT_SUPPORT_H
#define SQT_SUPPORT_H

#include "seqgrad.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef I /* of <complex.h>, which Criterion includes: I is the input width here */

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Sanitizers make programs slow: there, a third of the cases. */
#if defined(__SANITIZE_ADDRESS__)
#define FEWER(n) ((n) / 3)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FEWER(n) ((n) / 3)
#endif
#endif
#ifndef FEWER
#define FEWER(n) (n)
#endif

/* splitmix64 (Steele, Lea, Flood 2014). */
typedef struct rng {
    uint64_t s;
} rng;

static inline uint64_t rng_bits(rng *r)
{
    uint64_t z = (r->s += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline double rng_in(rng *r, double lo, double hi)
{
    return lo + (hi - lo) * ((double)(rng_bits(r) >> 11) * 0x1p-53);
}

static inline int rng_below(rng *r, int n) { return (int)(rng_bits(r) % (uint64_t)n); }

/* n numbers in [lo,hi) that single precision holds exactly, so that both precisions start from
 * the same values. */
static inline void fill(double *x, int64_t n, uint64_t seed, double lo, double hi)
{
    rng r = { seed };
    for (int64_t i = 0; i < n; i++) x[i] = (double)(float)rng_in(&r, lo, hi);
}

/* |a - b|; 0 also where both are the same infinity, or neither is a number. */
static inline double apart(double a, double b)
{
    return a == b || (isnan(a) && isnan(b)) ? 0 : fabs(a - b);
}

/* The larger of two errors. One that is not a number is larger than any, so that none hides it,
 * neither those before it nor those after. */
static inline double worse(double a, double b) { return isnan(a) || a >= b ? a : b; }

static inline bool close_to(double got, double want, double tol)
{
    return got == want || fabs(got - want) <= tol * fmax(1.0, fabs(want));
}

#define EXPECT_NEAR(got, want, tol, what)                                                \
    do {                                                                                 \
        double g__ = (got), w__ = (want);                                                \
        cr_expect(close_to(g__, w__, tol), "%s: got %.17g, want %.17g", what, g__, w__); \
    } while (0)

/* Element by element; tells the first that differs. */
#define EXPECT_ALL_NEAR(got, want, n, tol, what)                                               \
    do {                                                                                       \
        const double *g__ = (got), *w__ = (want);                                              \
        int64_t n__ = (n), i__ = 0;                                                            \
        while (i__ < n__ && close_to(g__[i__], w__[i__], tol)) i__++;                          \
        cr_expect(i__ == n__, "%s: element %lld: got %.17g, want %.17g", what, (long long)i__, \
                  g__[i__ < n__ ? i__ : 0], w__[i__ < n__ ? i__ : 0]);                         \
    } while (0)

#define EXPECT_SAME_BITS(a, b, bytes, what) \
    cr_expect(memcmp(a, b, bytes) == 0, "%s differ", what)

#define EXPECT_TEXT(got, want)                                                  \
    do {                                                                        \
        const char *g__ = (got), *w__ = (want);                                 \
        cr_expect(strcmp(g__, w__) == 0, "got  \"%s\"\nwant \"%s\"", g__, w__); \
    } while (0)

#define EXPECT_CONTAINS(got, part)                                                       \
    do {                                                                                 \
        const char *g__ = (got), *p__ = (part);                                          \
        cr_expect(strstr(g__, p__) != NULL, "\"%s\" does not contain \"%s\"", g__, p__); \
    } while (0)

/* Every invariant of the tape holds, whether it has failed or not. */
#define EXPECT_SOUND(t)                                                         \
    do {                                                                        \
        char s__[256] = "";                                                     \
        cr_expect(sq_tape_check(t, s__, sizeof s__), "sq_tape_check: %s", s__); \
    } while (0)

/* Sound, and without an error. */
#define ASSERT_HEALTHY(t)                                           \
    do {                                                            \
        cr_assert(sq_tape_status(t) == SQ_OK, "%s", sq_message(t)); \
        EXPECT_SOUND(t);                                            \
    } while (0)

#define EXPECT_STATUS(t, want)                                                               \
    do {                                                                                     \
        sq_status g__ = sq_tape_status(t), w__ = (want);                                     \
        cr_expect(g__ == w__, "status %d (%s), want %d", (int)g__, sq_message(t), (int)w__); \
        EXPECT_SOUND(t);                                                                     \
    } while (0)

/* Clears an expected error, having looked at it. */
#define EXPECT_ERROR(t, want)                                               \
    do {                                                                    \
        EXPECT_STATUS(t, want);                                             \
        cr_expect(sq_message(t)[0] != '\0', "an error without a sentence"); \
        sq_tape_reset(t);                                                   \
        EXPECT_STATUS(t, SQ_OK);                                            \
    } while (0)

#define BACKWARD(loss)                                                 \
    do {                                                               \
        sq_var l__ = (loss);                                           \
        sq_status s__ = sq_backward(l__);                              \
        cr_assert(s__ == SQ_OK, "backward: %s", sq_message(l__.tape)); \
    } while (0)

static inline bool same_var(sq_var a, sq_var b) { return a.tape == b.tape && a.id == b.id; }

/* A small LSTM with its params. Filled in place: the cell points into it. */
typedef struct net {
    sq_params *params;
    sq_lstm lstm;
    sq_cell cell;
    int64_t in, hidden;
} net;

static inline void net_new(net *n, sq_dtype dtype, int64_t in, int64_t hidden, uint64_t seed)
{
    n->params = sq_params_new(dtype);
    n->in = in;
    n->hidden = hidden;
    cr_assert(sq_lstm_init(&n->lstm, n->params, "lstm", in, hidden, seed) == SQ_OK);
    n->cell = sq_lstm_cell(&n->lstm);
}

static inline void net_free(net *n) { sq_params_free(n->params); }

/* Bytes of all weights, and so of the flat gradients. */
static inline size_t params_bytes(const sq_params *p)
{
    return (size_t)sq_params_size(p) * sq_dtype_size(sq_params_dtype(p));
}

/* A copy of the tape's flat weight gradients, to be freed. */
static inline void *grads_copy(sq_tape *t)
{
    size_t n = params_bytes(sq_tape_params(t));
    void *g = sq_grads(t), *copy = malloc(n + 1);
    cr_assert(g != NULL && copy != NULL, "%s", sq_message(t));
    memcpy(copy, g, n);
    return copy;
}

/* A weight of one number. */
static inline sq_weight add_number(sq_params *p, const char *name, double value)
{
    sq_weight w = sq_params_add(p, name, sq_scalar());
    cr_assert(sq_weight_set_f64(p, w, &value) == SQ_OK, "%s", sq_params_message(p));
    return w;
}

static inline double item_of(const sq_params *p, sq_weight w)
{
    double v = (double)NAN;
    cr_assert(sq_weight_get_f64(p, w, &v) == SQ_OK);
    return v;
}

static inline double number_grad(sq_tape *t, sq_weight w)
{
    double g = (double)NAN;
    sq_status s = sq_weight_grad_f64(t, w, &g);
    cr_assert(s == SQ_OK, "%s", sq_message(t));
    return g;
}

#endif
