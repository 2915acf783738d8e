/* jacobian.h -- the derivative of one state by another, as a matrix.
 *
 *     J_t = dh_t/dh_(t-1)                one step
 *     dh_t/dh_k = J_t J_(t-1) ... J_(k+1)        what vanishes or explodes
 *     dh_t/dx_k = J_t ... J_(k+1) dh_k/dx_k
 *     lambda_i  = lim 1/T ln sigma_i(J_T ... J_1)    Lyapunov exponents
 *
 * h stands for all states of the cell jointly: of an LSTM h and c stacked, S = sum of the widths; h
 * and c of one step are independent coordinates here, though the tape knows that h came from c. Row
 * i of a matrix is what number i of h_t depends on. Rows of the batch are looked at one by one,
 * `row` being which: in a cell that mixes them, what leaves a row and comes back to it in a later
 * step is left out.
 *
 * Any cell will do, composed, a user's, one with ops of one's own: what is needed is the vjp of
 * every op. It works after the fact on an unroll that is still on the tape, eager or planned, through
 * the weights and random numbers that it used; values that a step takes from elsewhere (an encoder's
 * memory) are held fixed. It observes: nothing is recorded, no gradient changes.
 *
 * How: the recorded step is differentiated in reverse for S directions at once, which stand as rows
 * in one product per matmul; where an op mixes rows of the batch, direction by direction.
 * Arithmetic of a step is in the tape's precision, all else in double. */
#ifndef SQ_GRAPH_JACOBIAN_H
#define SQ_GRAPH_JACOBIAN_H

#include "unroll.h"

SQ_BEGIN_DECLS

enum { SQ_JOINTLY = -1 };

/* Numbers of the states of a row: S for SQ_JOINTLY, else the width of that state. 0 for NULL. */
SQ_API int64_t sq_jacobian_size(const sq_unrolled *u, int32_t state);

/* m[n,n] = dh_t/dh_k, n = sq_jacobian_size(u, state), -1 <= k <= t; k = -1 is the initial state,
 * k = t gives the identity. With a state's number both ends are projected on it; in between all
 * states take part.
 * log_scale NULL: m as it is, which may overflow or vanish. Otherwise m is divided by
 * e^(*log_scale) so that its largest entry lies in [1,2): nothing overflows or is lost, however long
 * the way (-infinity and m = 0 when it is 0 exactly).
 * Fails (posts on the tape, returns the status): SQ_ERANGE row, t, k or state; SQ_EVALUE a cell
 * without states, NULL, a step that begins steps itself; SQ_EVAR a step that was cut; SQ_EGRAD an op
 * without vjp, a tape for inference; SQ_ENOMEM. SQ_EVAR for u = NULL.
 * Cost: per step that of a reverse step with n rows; planned, a forward step, too; under a byte
 * budget the steps from the nearest snapshot on are run again, and eagerly the states between
 * steps, once read, stay. */
SQ_API SQ_CHECKED sq_status sq_jacobian(const sq_unrolled *u, int64_t t, int64_t k, int64_t row,
                                        int32_t state, double *m, double *log_scale);

/* m[n,I] = dh_t/dx_k, 0 <= k <= t, likewise. Fails also: SQ_EVALUE a cell that got no input. */
SQ_API SQ_CHECKED sq_status sq_jacobian_input(const sq_unrolled *u, int64_t t, int64_t k,
                                              int64_t row, int32_t state, double *m,
                                              double *log_scale);

/* log_norm[k] = ln |dh_t/dh_(k-1)|, k = 0 .. t + 1: the whole curve, back to the initial state, in
 * one go. The norm is Frobenius', between the largest singular value and sqrt(n) times it. */
SQ_API SQ_CHECKED sq_status sq_jacobian_log_norms(const sq_unrolled *u, int64_t t, int64_t row,
                                                  int32_t state, double *log_norm);

/* log_sigma[S] = ln of the singular values of dh_t/dh_k, all states jointly, largest first; ln 0 =
 * -infinity, and all NaN where a J_j holds what is infinite or no number. All of them, not only the leading ones, over thousands of steps: the product is kept as
 * Q times a triangle whose rows have scales of their own (QR at every step), and the triangle's
 * singular values come from one-sided Jacobi rotations of scaled rows.
 * What is approximate: each result is that of a product of factors J_j + E_j with |E_j| a few
 * rounding errors of |J_j|, so ln sigma is off by at most about (t - k) kappa(J) times 1e-16 S, plus
 * the conditioning of the triangle with its rows scaled to 1, moderate once the directions have
 * sorted themselves. What is lost entirely when J_j is singular to rounding: values 1e-16 below. */
SQ_API SQ_CHECKED sq_status sq_jacobian_log_singular(const sq_unrolled *u, int64_t t, int64_t k,
                                                     int64_t row, double *log_sigma);

/* The same for k[0] > k[1] > ..., n of them, in one walk back from t: log_sigma[n][S]. Costs the
 * steps once, and the rotations, about 10 S^3 operations, for every k. Fails also: SQ_ERANGE where
 * the k do not fall. */
SQ_API SQ_CHECKED sq_status sq_jacobian_log_spectra(const sq_unrolled *u, int64_t t,
                                                    const int64_t *k, int64_t n, int64_t row,
                                                    double *log_sigma);

/* The singular values of A[m,n], largest first, in s[min(m,n)], and where asked (not NULL) the
 * vectors U[m,r], V[n,r], r = min(m,n), orthonormal columns: A = U diag(s) V^T. s[0] is the spectral
 * norm. One-sided Jacobi (Hestenes 1958): small values are as good as A's columns allow.
 * Fails: SQ_ERANGE a negative size, SQ_EVALUE an array is NULL, SQ_ENONFINITE, SQ_ENOMEM. m, n = 0
 * are fine.
 * Cost: about 10 r^2 max(m,n) multiply-adds per sweep, 6 to 12 sweeps. */
SQ_API SQ_CHECKED sq_status sq_svd(int64_t m, int64_t n, const double *a, double *s, double *u,
                                   double *v);

/* ---- Lyapunov exponents ----------------------------------------------------------------- */

/* All-zero is the default. */
typedef struct sq_lyapunov_options {
    int32_t exponents; /* how many of the largest; 0: all S */
    int64_t every; /* steps between two orthonormalisations [1]; more is quicker, but e^(every
                    * times the spread of the exponents) must stay well below 1e16 */
    int64_t skip;  /* steps at the beginning that turn the directions but are not counted */
} sq_lyapunov_options;

typedef struct sq_lyapunov sq_lyapunov;

/* The Lyapunov spectrum of a cell along a run, driven by its inputs or autonomous (x no value): a
 * frame of directions goes along with the run, Q_t R_t = J_t Q_(t-1), and
 *     lambda_i = 1/T sum_t ln (R_t)_ii
 * (Benettin, Galgani, Giorgilli, Strelcyn 1980). The frame begins in general position, always the
 * same, so that the directions that grow most come first even where units never mix. A run may go on over many unrolls, with the
 * steps cut in between: each `add` carries the frame on, so that memory stays constant but for the
 * trace.
 *     l = sq_lyapunov_new(NULL);
 *     for (...) {
 *         u = sq_unroll(...);
 *         if (sq_lyapunov_add(l, u, row)) puts(sq_message(t));
 *         sq_unrolled_last(u, h);
 *         sq_cut(t, 0, h, n);
 *     }
 * NULL options are the default. NULL: out of memory. Freed by sq_lyapunov_free. */
SQ_API sq_lyapunov *sq_lyapunov_new(const sq_lyapunov_options *options);
SQ_API void sq_lyapunov_free(sq_lyapunov *l);

/* All steps of u. The first tells the sizes.
 * Fails as sq_jacobian does; SQ_ESHAPE when a later cell has states of another size; SQ_ERANGE an
 * option that is negative. Of an add that fails, the steps before the failure are taken in.
 * Cost: per step that of sq_jacobian and, for n exponents, S^2 n + 2 S n^2 multiply-adds. */
SQ_API SQ_CHECKED sq_status sq_lyapunov_add(sq_lyapunov *l, const sq_unrolled *u, int64_t row);

/* How many exponents; 0 before the first add. The estimates now, largest direction first; NaN
 * before anything was counted, and from a J_t on that holds NaN. -infinity where a J_t was singular. */
SQ_API int32_t sq_lyapunov_count(const sq_lyapunov *l);
SQ_API double sq_lyapunov_exponent(const sq_lyapunov *l, int32_t i);

/* The trace of convergence: after its p-th orthonormalisation that counts, at how many counted
 * steps, the estimates were (owned by l, sq_lyapunov_count of them). 0, NULL out of range. */
SQ_API int64_t sq_lyapunov_points(const sq_lyapunov *l);
SQ_API int64_t sq_lyapunov_steps(const sq_lyapunov *l, int64_t point);
SQ_API const double *sq_lyapunov_trace(const sq_lyapunov *l, int64_t point);

SQ_END_DECLS

#endif
