/* hand.c -- backpropagation through time with nothing but loops. seqgrad has no part in this file.
 *
 * In the order in which one would do it on paper: the states, what each does at once, what it does
 * through the next one, and then the double sum
 *     dL/dW = sum_t sum_(k<=t) ∂l_t/∂h_t (∂h_t/∂h_(t-1) ... ∂h_(k+1)/∂h_k) ∂h_k/∂W */
#include "chain.h"

#include <math.h>
#include <string.h>

static void forward(chain *c, const problem *p)
{
    int H = p->units;
    memcpy(c->h[0], p->h0, sizeof c->h[0]);
    for (int t = 1; t <= p->steps; t++) {
        for (int n = 0; n < H; n++) {
            double a = p->x[t - 1] * p->weight[W_XH][n] + p->weight[BIAS][n];
            for (int m = 0; m < H; m++) a += c->h[t - 1][m] * p->weight[W_HH][m * H + n];
            c->h[t][n] = tanh(a);
            double error = c->h[t][n] - p->y[(t - 1) * H + n];
            c->loss[t] += error * error / 2;
        }
        c->whole_loss += c->loss[t];
    }
}

/* tanh' = 1 - tanh^2 */
static double slope(double h, mistake m) { return m == MISTAKE_SLOPE ? 1 - h : 1 - h * h; }

/* ∂l_t/∂h_t = h_t - y_t;  ∂h_t[i]/∂h_(t-1)[m] = (1 - h_t[i]^2) W_hh[m,i];  and of weights
 *     ∂h_k[i]/∂W_xh[i] = (1 - h_k[i]^2) x_k,   ∂h_k[i]/∂W_hh[m,i] = (1 - h_k[i]^2) h_(k-1)[m]
 *     ∂h_k[i]/∂b[i]    =  1 - h_k[i]^2,        0 where a weight leads to the other unit */
static void immediate(chain *c, const problem *p, mistake wrong)
{
    int H = p->units;
    for (int t = 1; t <= p->steps; t++)
        for (int i = 0; i < H; i++) {
            double s = slope(c->h[t][i], wrong);
            c->immediate[t][i] = c->h[t][i] - p->y[(t - 1) * H + i];
            for (int m = 0; m < H; m++) {
                int at = wrong == MISTAKE_TRANSPOSE ? i * H + m : m * H + i;
                c->product[t][t - 1][i * H + m] = s * p->weight[W_HH][at];
                c->use[W_HH][t][i][m * H + i] = s * c->h[t - 1][m];
            }
            c->use[W_XH][t][i][i] = s * p->x[t - 1];
            c->use[BIAS][t][i][i] = s;
        }
}

/* dh_t/dh_k = ∂h_t/∂h_(t-1) dh_(t-1)/dh_k */
static void products(chain *c, const problem *p)
{
    int H = p->units;
    for (int t = 2; t <= p->steps; t++)
        for (int k = t - 2; k >= 0; k--)
            for (int i = 0; i < H; i++)
                for (int m = 0; m < H; m++)
                    for (int j = 0; j < H; j++)
                        c->product[t][k][i * H + m] +=
                            c->product[t][t - 1][i * H + j] * c->product[t - 1][k][j * H + m];
}

/* dL/dh_t = ∂l_t/∂h_t + dL/dh_(t+1) ∂h_(t+1)/∂h_t, from the last step to the first */
static void totals(chain *c, const problem *p, mistake wrong)
{
    int H = p->units, T = p->steps;
    for (int t = T; t >= 1; t--)
        for (int m = 0; m < H; m++) {
            c->total[t][m] = c->immediate[t][m];
            for (int i = 0; t < T && wrong != MISTAKE_IMMEDIATE && i < H; i++)
                c->total[t][m] += c->total[t + 1][i] * c->product[t + 1][t][i * H + m];
        }
}

/* dl_t/dh_k = ∂l_t/∂h_t dh_t/dh_k */
static void reaches(chain *c, const problem *p, mistake wrong)
{
    int H = p->units;
    for (int t = 1; t <= p->steps; t++) {
        memcpy(c->reach[t][t], c->immediate[t], sizeof(vector));
        for (int k = 1; k < t && wrong != MISTAKE_IMMEDIATE; k++)
            for (int m = 0; m < H; m++)
                for (int i = 0; i < H; i++)
                    c->reach[t][k][m] += c->immediate[t][i] * c->product[t][k][i * H + m];
    }
}

/* (t,k), and every sum that it is part of */
static void add_term(chain *c, const problem *p, int w, int t, int k)
{
    for (int e = 0; e < entries_of(p, w); e++) {
        double v = 0;
        for (int i = 0; i < p->units; i++) v += c->reach[t][k][i] * c->use[w][k][i][e];
        c->term[w][t][k][e] = v;
        c->of_loss[w][t][e] += v;
        c->of_step[w][k][e] += v;
        c->gradient[w][e] += v;
        for (int window = 1; window <= MAX_WINDOW; window++)
            if (t - k < window) c->cut[window][w][e] += v;
    }
}

static void terms(chain *c, const problem *p)
{
    for (int w = 0; w < N_WEIGHTS; w++)
        for (int t = 1; t <= p->steps; t++)
            for (int k = 1; k <= t; k++) add_term(c, p, w, t, k);
}

void by_hand(chain *c, const problem *p, mistake m)
{
    *c = (chain){ 0 };
    forward(c, p);
    immediate(c, p, m);
    products(c, p);
    totals(c, p, m);
    reaches(c, p, m);
    terms(c, p);
}
