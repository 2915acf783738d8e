/* baseline.c -- same as last year, same as 11 years ago, and AR(2):
 *     y_t = c_0 + c_1 y_(t-1) + c_2 y_(t-2),   c by least squares on the training years.
 * The sunspot cycle lasts about 11 years, hence the second; the third is Yule's of 1927, who
 * invented autoregression for these very numbers. */
#include "baseline.h"

#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_COEFFICIENTS = 3 };

typedef struct equations {
    double row[N_COEFFICIENTS][N_COEFFICIENTS + 1]; /* the right side is the last column */
} equations;

double rmse(const double *truth, const double *guess, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (truth[i] - guess[i]) * (truth[i] - guess[i]);
    return sqrt(sum / (double)n);
}

/* The normal equations A^T A c = A^T y of rows (1, y_(t-1), y_(t-2)). The values are centred
 * and scaled by k so that the conditioning does not depend on their unit. */
static equations normal_equations(const series *s, int64_t n, scale k)
{
    equations e = { 0 };
    for (int64_t t = 2; t < n; t++) {
        double a[N_COEFFICIENTS + 1] = { 1 };
        for (int i = 1; i <= 2; i++) a[i] = (s->value[t - i] - k.mean) / k.deviation;
        a[N_COEFFICIENTS] = (s->value[t] - k.mean) / k.deviation;
        for (int i = 0; i < N_COEFFICIENTS; i++)
            for (int j = 0; j <= N_COEFFICIENTS; j++) e.row[i][j] += a[i] * a[j];
    }
    return e;
}

static void swap_rows(equations *e, int a, int b)
{
    for (int j = 0; j <= N_COEFFICIENTS; j++) {
        double kept = e->row[a][j];
        e->row[a][j] = e->row[b][j];
        e->row[b][j] = kept;
    }
}

/* Gauss-Jordan with row pivoting. A pivot that vanishes (a series that is itself two-periodic,
 * say) leaves its coefficient 0: any value would fit as well. */
static void solve(equations *e, double c[N_COEFFICIENTS])
{
    for (int p = 0; p < N_COEFFICIENTS; p++) {
        int best = p;
        for (int i = p + 1; i < N_COEFFICIENTS; i++)
            if (fabs(e->row[i][p]) > fabs(e->row[best][p])) best = i;
        swap_rows(e, p, best);
        if (fabs(e->row[p][p]) < 1e-9) continue;
        for (int i = 0; i < N_COEFFICIENTS; i++) {
            double factor = i == p ? 0 : e->row[i][p] / e->row[p][p];
            for (int j = 0; j <= N_COEFFICIENTS; j++) e->row[i][j] -= factor * e->row[p][j];
        }
    }
    for (int i = 0; i < N_COEFFICIENTS; i++)
        c[i] = fabs(e->row[i][i]) < 1e-9 ? 0 : e->row[i][N_COEFFICIENTS] / e->row[i][i];
}

static double lag_rmse(const series *s, int64_t n_train, int64_t lag)
{
    return rmse(s->value + n_train, s->value + n_train - lag, s->n - n_train);
}

static double ar2_rmse(const series *s, int64_t n_train)
{
    scale k = scale_of(s, n_train);
    equations e = normal_equations(s, n_train, k);
    double c[N_COEFFICIENTS], *guess = take((size_t)(s->n - n_train), sizeof *guess);
    solve(&e, c);
    for (int64_t t = n_train; t < s->n; t++) {
        double z = c[0];
        for (int i = 1; i <= 2; i++) z += c[i] * (s->value[t - i] - k.mean) / k.deviation;
        guess[t - n_train] = k.mean + k.deviation * z;
    }
    double error = rmse(s->value + n_train, guess, s->n - n_train);
    free(guess);
    return error;
}

void baselines(const series *s, int64_t n_train, baseline out[N_BASELINES])
{
    snprintf(out[0].name, sizeof out[0].name, "same as last %s", s->unit);
    out[0].rmse = lag_rmse(s, n_train, 1);
    snprintf(out[1].name, sizeof out[1].name, "same as %d %ss ago", LONG_LAG, s->unit);
    out[1].rmse = lag_rmse(s, n_train, LONG_LAG);
    snprintf(out[2].name, sizeof out[2].name, "AR(2), least squares");
    out[2].rmse = ar2_rmse(s, n_train);
}
