/* networks.c -- each network is a cell of the library and the way its recurrent weights start.
 *
 * A gradient that goes back a step is multiplied by J_t = dh_t/dh_(t-1). Of h' = act(x W + b + h U)
 * that is diag(act') U^T, so it is U that decides, up to what act' takes away:
 *     tanh, radius r    U normal, scaled so that its largest |eigenvalue| is r
 *     tanh, orthogonal  U orthogonal: |U g| = |g| for every g          (Saxe et al. 2013)
 *     ReLU, identity    U = I, b = 0, W small: "IRNN"                  (Le et al. 2015)
 * Gated cells carry their state along a product with a gate, dc_t/dc_(t-1) = diag(f) + ..., and
 * start from the library's defaults, the forget bias of the LSTM apart. */
#include "networks.h"

#include "../common/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum family { TANH_RADIUS, TANH_ORTHOGONAL, IRNN, GRU, LSTM } family;

static const struct {
    family family;
    network_kind kind;
} table[N_NETWORKS] = {
    { TANH_RADIUS, { "tanh, radius 0.5", 1, 0.5, 0.5, "radius of U" } },
    { TANH_RADIUS, { "tanh, radius 1", 2, 1.0, 1.0, "radius of U" } },
    { TANH_RADIUS, { "tanh, radius 1.5", 3, 1.5, 1.5, "radius of U" } },
    { TANH_ORTHOGONAL, { "tanh, orthogonal", 4, 1.0, 1.0, "U keeps lengths" } },
    { IRNN, { "IRNN (ReLU, I)", 5, 1.0, 1.0, "a unit is on" } },
    { GRU, { "GRU", 6, 0, (double)NAN, "" } },
    { LSTM, { "LSTM, b_f = 0", 7, 0, 0, "sigmoid(b_f)" } },
    { LSTM, { "LSTM, b_f = 1", 8, 1, 0, "sigmoid(b_f)" } },
    { LSTM, { "LSTM, b_f = 5", 9, 5, 0, "sigmoid(b_f)" } },
};

network_kind network_kind_of(int i)
{
    network_kind k = table[i].kind;
    if (table[i].family == LSTM) k.theory = 1 / (1 + exp(-k.number));
    return k;
}

/* ---- Spectral radius --------------------------------------------------------------------- */

/* a <- a a / m, where m is the largest entry of a a; returns ln m, or -infinity for zeros. */
static double square(double *a, double *product, int64_t n)
{
    double m = 0;
    for (int64_t i = 0; i < n * n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++) sum += a[i / n * n + k] * a[k * n + i % n];
        product[i] = sum;
        m = fmax(m, fabs(sum));
    }
    if (m == 0) return log(0);
    for (int64_t i = 0; i < n * n; i++) a[i] = product[i] / m;
    return log(m);
}

/* The largest |eigenvalue| by Gelfand's formula, lim |U^k|^(1/k), with k = 2^40 by squaring: after j
 * squarings U^(2^j) = e^(l_j) A_j, l_(j+1) = 2 l_j + ln m. */
static double spectral_radius(const double *u, int64_t n)
{
    double *a = take((size_t)(n * n), sizeof *a), *product = take((size_t)(n * n), sizeof *a);
    double root = 0; /* l_j / 2^j */
    memcpy(a, u, (size_t)(n * n) * sizeof *a);
    for (int j = 1; j <= 40; j++) root += ldexp(square(a, product, n), -j);
    free(a);
    free(product);
    return exp(root);
}

static void scale_to_radius(sq_params *p, sq_weight U, int64_t n, double radius)
{
    double *u = take((size_t)(n * n), sizeof *u);
    if (sq_weight_get(p, U, u)) die("%s", sq_params_message(p));
    double factor = radius / spectral_radius(u, n);
    for (int64_t i = 0; i < n * n; i++) u[i] *= factor;
    sq_weight_set(p, U, u);
    free(u);
}

/* ---- The networks ------------------------------------------------------------------------ */

static void make_rnn(network *n, family f, int64_t hidden, double number, uint64_t seed)
{
    sq_rnn *w = &n->weights.rnn;
    sq_params *p = n->params;
    sq_rnn_init(w, p, "rnn", N_INPUTS, hidden, f == IRNN ? SQ_RNN_RELU : SQ_RNN_TANH, seed);
    sq_init_zeros(p, w->b);
    if (f == TANH_RADIUS) {
        sq_init_normal(p, w->U, 1, seed);
        scale_to_radius(p, w->U, hidden, number);
    }
    if (f == TANH_ORTHOGONAL) sq_init_orthogonal(p, w->U, 1, seed);
    if (f == IRNN) {
        sq_init_normal(p, w->W, .001, seed);
        sq_init_identity(p, w->U, 1);
    }
    n->cell = sq_rnn_cell(w);
}

static void make_lstm(network *n, int64_t hidden, double forget_bias, uint64_t seed)
{
    sq_lstm_init(&n->weights.lstm, n->params, "lstm", N_INPUTS, hidden, seed);
    sq_lstm_set_forget_bias(&n->weights.lstm, n->params, forget_bias);
    n->cell = sq_lstm_cell(&n->weights.lstm);
    n->shown = 1;
}

static void make_gru(network *n, int64_t hidden, uint64_t seed)
{
    sq_gru_init(&n->weights.gru, n->params, "gru", N_INPUTS, hidden, SQ_RESET_AFTER, seed);
    n->cell = sq_gru_cell(&n->weights.gru);
}

network *network_new(int i, int64_t hidden, uint64_t seed)
{
    network *n = take(1, sizeof *n);
    n->params = sq_params_new(SQ_F64);
    if (!n->params) die("out of memory");
    if (table[i].family == GRU) make_gru(n, hidden, seed);
    else if (table[i].family == LSTM) make_lstm(n, hidden, table[i].kind.number, seed);
    else make_rnn(n, table[i].family, hidden, table[i].kind.number, seed);
    if (sq_params_status(n->params)) die("%s", sq_params_message(n->params));
    return n;
}

void network_free(network *n)
{
    sq_params_free(n->params);
    free(n);
}
