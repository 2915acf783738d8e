/* show.c -- every number under its formula, one section for each line of the derivation.
 *
 * With one unit nothing is a vector and indices are left out; with two, [i] is a unit and [m,n] the
 * entry that leads from unit m to unit n. */
#include "show.h"

#include "triangle.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT = 512 };

const char *const weight_names[N_WEIGHTS] = { [W_HH] = "W_hh", [W_XH] = "W_xh", [BIAS] = "b" };

/* What all sections read. */
typedef struct board {
    paper *p;
    const problem *q;
    const chain *a, *b; /* by hand, tape */
    int H, T;
} board;

/* "[2]", nothing with one unit. Several may stand in one line. */
typedef struct index_text {
    char s[32];
} index_text;

static index_text at(const board *w, int i)
{
    index_text t = { "" };
    if (w->H > 1) snprintf(t.s, sizeof t.s, "[%d]", i + 1);
    return t;
}

static index_text pair(const board *w, int m, int n)
{
    index_text t = { "" };
    if (w->H > 1) snprintf(t.s, sizeof t.s, "[%d,%d]", m + 1, n + 1);
    return t;
}

/* The indices of entry e of weight v. */
static index_text entry(const board *w, int v, int e)
{
    return v == W_HH ? pair(w, e / w->H, e % w->H) : at(w, e);
}

/* A number that stands behind an operator. */
static index_text num(double v)
{
    index_text t;
    snprintf(t.s, sizeof t.s, v < 0 ? "(%.4g)" : "%.4g", v);
    return t;
}

/* Appends to a line that is made in parts. */
static void __attribute__((format(printf, 2, 3))) more(char text[TEXT], const char *fmt, ...)
{
    va_list args;
    size_t used = strlen(text);
    va_start(args, fmt);
    vsnprintf(text + used, TEXT - used, fmt, args);
    va_end(args);
}

/* ---- 1. Forward ------------------------------------------------------------------------------ */

static void show_state(board *w, int t, int n)
{
    const problem *q = w->q;
    char text[TEXT] = "";
    more(text, "  h_%d%s = tanh(%.4g·%s", t, at(w, n).s, q->x[t - 1],
         num(q->weight[W_XH][n]).s);
    for (int m = 0; m < w->H; m++)
        more(text, " + %s·%s", num(w->a->h[t - 1][m]).s, num(q->weight[W_HH][m * w->H + n]).s);
    more(text, " + %s)", num(q->weight[BIAS][n]).s);
    compare(w->p, w->a->h[t][n], w->b->h[t][n], "%s", text);
}

static void show_loss(board *w, int t)
{
    char text[TEXT] = "";
    more(text, "  l_%d = %s", t, w->H > 1 ? "(" : "");
    for (int i = 0; i < w->H; i++)
        more(text, "%s(%.4g - %s)²", i ? " + " : "", w->a->h[t][i],
             num(w->q->y[(t - 1) * w->H + i]).s);
    more(text, "%s/2", w->H > 1 ? ")" : "");
    compare(w->p, w->a->loss[t], w->b->loss[t], "%s", text);
}

static void show_forward(board *w)
{
    heading(w->p, "1. Forward: what is computed");
    line(w->p, "h_t = tanh(x_t W_xh + h_(t-1) W_hh + b)   l_t = %s   L = Σ_t l_t",
         w->H > 1 ? "|h_t - y_t|²/2" : "(h_t - y_t)²/2");
    columns();
    for (int i = 0; i < w->H; i++)
        compare(w->p, w->a->h[0][i], w->b->h[0][i], "  h_0%s, given", at(w, i).s);
    for (int t = 1; t <= w->T; t++) {
        for (int n = 0; n < w->H; n++) show_state(w, t, n);
        show_loss(w, t);
    }
    compare(w->p, w->a->whole_loss, w->b->whole_loss, "  L = l_1%s",
            w->T > 2   ? " + ..."
            : w->T > 1 ? " + l_2"
                       : "");
}

/* ---- 2. Immediate derivatives ------------------------------------------------------------------ */

static void show_immediate_losses(board *w)
{
    line(w->p, "∂l_t/∂h_t = h_t - y_t");
    for (int t = 1; t <= w->T; t++)
        for (int i = 0; i < w->H; i++)
            compare(w->p, w->a->immediate[t][i], w->b->immediate[t][i],
                    "  ∂l_%d/∂h_%d%s = %.4g - %s", t, t, at(w, i).s, w->a->h[t][i],
                    num(w->q->y[(t - 1) * w->H + i]).s);
}

static void show_steps(board *w)
{
    line(w->p, w->H > 1 ? "∂h_t[i]/∂h_(t-1)[m] = (1 - h_t[i]²) W_hh[m,i]"
                        : "∂h_t/∂h_(t-1) = (1 - h_t²) W_hh");
    for (int t = 1; t <= w->T; t++)
        for (int e = 0; e < w->H * w->H; e++) {
            int i = e / w->H, m = e % w->H;
            compare(w->p, w->a->product[t][t - 1][e], w->b->product[t][t - 1][e],
                    "  ∂h_%d%s/∂h_%d%s = (1 - %s²)·%s", t, at(w, i).s, t - 1, at(w, m).s,
                    num(w->a->h[t][i]).s, num(w->q->weight[W_HH][m * w->H + i]).s);
        }
}

/* What an entry of a weight is multiplied with in step k. */
static double factor(const board *w, int v, int e, int k)
{
    return v == W_XH ? w->q->x[k - 1] : v == W_HH ? w->a->h[k - 1][e / w->H] : 1;
}

static void show_uses(board *w, int v)
{
    static const char *const rule[2][N_WEIGHTS] = {
        { [W_HH] = "∂h_k/∂W_hh = (1 - h_k²) h_(k-1)",
          [W_XH] = "∂h_k/∂W_xh = (1 - h_k²) x_k",
          [BIAS] = "∂h_k/∂b = 1 - h_k²" },
        { [W_HH] = "∂h_k[n]/∂W_hh[m,n] = (1 - h_k[n]²) h_(k-1)[m]",
          [W_XH] = "∂h_k[n]/∂W_xh[n] = (1 - h_k[n]²) x_k",
          [BIAS] = "∂h_k[n]/∂b[n] = 1 - h_k[n]²" },
    };
    line(w->p, "%s", rule[w->H > 1][v]);
    for (int k = 1; k <= w->T; k++)
        for (int e = 0; e < entries_of(w->q, v); e++) {
            int n = e % w->H;
            char text[TEXT] = "";
            more(text, "  ∂h_%d%s/∂%s%s = ", k, at(w, n).s, weight_names[v], entry(w, v, e).s);
            more(text, v == BIAS ? "1 - %s²" : "(1 - %s²)", num(w->a->h[k][n]).s);
            if (v != BIAS) more(text, "·%s", num(factor(w, v, e, k)).s);
            compare(w->p, w->a->use[v][k][n][e], w->b->use[v][k][n][e], "%s", text);
        }
}

static void show_immediate(board *w)
{
    heading(w->p, "2. Immediate derivatives, ∂: within one step, all else held fixed");
    columns();
    show_immediate_losses(w);
    show_steps(w);
    for (int v = 0; v < N_WEIGHTS; v++) show_uses(w, v);
}

/* ---- 3. Total derivatives ---------------------------------------------------------------------- */

static void show_total(board *w, int t, int m)
{
    const chain *a = w->a;
    char text[TEXT] = "";
    more(text, "  dL/dh_%d%s = %.4g", t, at(w, m).s, a->immediate[t][m]);
    for (int i = 0; t < w->T && i < w->H; i++)
        more(text, " + %s·%s", num(a->total[t + 1][i]).s,
             num(a->product[t + 1][t][i * w->H + m]).s);
    compare(w->p, a->total[t][m], w->b->total[t][m], "%s", text);
}

static void show_totals(board *w)
{
    heading(w->p, "3. Total derivatives, d: through all later steps, too");
    line(w->p, "dL/dh_t = ∂l_t/∂h_t + dL/dh_(t+1) ∂h_(t+1)/∂h_t    from the last step back");
    columns();
    for (int t = w->T; t >= 1; t--)
        for (int m = 0; m < w->H; m++) show_total(w, t, m);
}

/* ---- 4. Products of Jacobians ------------------------------------------------------------------ */

static void show_product(board *w, int t, int k, int i, int m)
{
    const chain *a = w->a;
    int H = w->H;
    char text[TEXT] = "";
    more(text, "  dh_%d%s/dh_%d%s = ", t, at(w, i).s, k, at(w, m).s);
    for (int j = 0; j < H; j++)
        more(text, "%s%s·%s", j ? " + " : "", num(a->product[t][t - 1][i * H + j]).s,
             num(a->product[t - 1][k][j * H + m]).s);
    compare(w->p, a->product[t][k][i * H + m], w->b->product[t][k][i * H + m], "%s", text);
}

static void show_reach(board *w, int t, int k, int m)
{
    const chain *a = w->a;
    char text[TEXT] = "";
    more(text, "  dl_%d/dh_%d%s = ", t, k, at(w, m).s);
    for (int i = 0; i < w->H; i++)
        more(text, "%s%s·%s", i ? " + " : "", num(a->immediate[t][i]).s,
             num(a->product[t][k][i * w->H + m]).s);
    compare(w->p, a->reach[t][k][m], w->b->reach[t][k][m], "%s", text);
}

static void show_reaches(board *w)
{
    line(w->p, "dl_t/dh_k = ∂l_t/∂h_t dh_t/dh_k    how far a loss reaches");
    for (int t = 2; t <= w->T; t++)
        for (int k = t - 1; k >= 1; k--)
            for (int m = 0; m < w->H; m++) show_reach(w, t, k, m);
}

static void show_products(board *w)
{
    heading(w->p, "4. Products: how far a state, and a loss, reaches");
    line(w->p, "dh_t/dh_k = ∂h_t/∂h_(t-1) dh_(t-1)/dh_k = Π_(j=k+1..t) ∂h_j/∂h_(j-1)");
    columns();
    for (int t = 2; t <= w->T; t++)
        for (int k = t - 2; k >= 0; k--)
            for (int e = 0; e < w->H * w->H; e++) show_product(w, t, k, e / w->H, e % w->H);
    if (w->T > 1) show_reaches(w);
    else line(w->p, "  With one step there are none.");
}

/* ---- 5. The terms ------------------------------------------------------------------------------ */

/* With one unit all the factors; with two, dl_t/dh_k and what it is multiplied with. */
static void show_term(board *w, int v, int t, int k, int e)
{
    const chain *a = w->a;
    char text[TEXT] = "";
    int n = e % w->H;
    more(text, "  (%d,%d)%s = ", t, k, entry(w, v, e).s);
    if (w->H == 1) {
        more(text, "%.4g", a->immediate[t][0]);
        for (int j = t; j > k; j--) more(text, "·%s", num(a->product[j][j - 1][0]).s);
    } else {
        more(text, "%.4g", a->reach[t][k][n]);
    }
    more(text, "·%s", num(a->use[v][k][n][e]).s);
    compare(w->p, a->term[v][t][k][e], w->b->term[v][t][k][e], "%s", text);
}

static void show_sums(board *w, int v)
{
    const char *name = weight_names[v];
    for (int e = 0; e < entries_of(w->q, v); e++) {
        for (int t = 1; t <= w->T; t++)
            compare(w->p, w->a->of_loss[v][t][e], w->b->of_loss[v][t][e],
                    "  dl_%d/d%s%s = row %d", t, name, entry(w, v, e).s, t);
        for (int k = 1; k <= w->T; k++)
            compare(w->p, w->a->of_step[v][k][e], w->b->of_step[v][k][e],
                    "  dL/d%s%s|(%d) = column %d", name, entry(w, v, e).s, k, k);
        compare(w->p, w->a->gradient[v][e], w->b->gradient[v][e], "  dL/d%s%s = sum of all",
                name, entry(w, v, e).s);
    }
}

static void show_terms(board *w, int v)
{
    const char *name = weight_names[v];
    heading(w->p, "5%c. dL/d%s = Σ_t Σ_(k≤t) (t,k): loss t through %s in step k", 'a' + v, name,
            name);
    line(w->p,
         w->H > 1 ? "(t,k) = dl_t/dh_k ∂h_k/∂%s"
                  : "(t,k) = ∂l_t/∂h_t [ Π_(j=k+1..t) ∂h_j/∂h_(j-1) ] ∂h_k/∂%s",
         name);
    columns();
    for (int t = 1; t <= w->T; t++)
        for (int k = t; k >= 1; k--)
            for (int e = 0; e < entries_of(w->q, v); e++) show_term(w, v, t, k, e);
    triangle(w->p, w->q, w->a, v, w->T);
    line(w->p, "Rows are what one loss says, columns what one use of %s does:", name);
    show_sums(w, v);
}

/* ---- 6. Truncation ----------------------------------------------------------------------------- */

/* |a|, and the cosine of a and b. */
static double norm(const double *a, int n)
{
    double sum = 0;
    for (int e = 0; e < n; e++) sum += a[e] * a[e];
    return sqrt(sum);
}

static double cosine(const double *a, const double *b, int n)
{
    double sum = 0, size = norm(a, n) * norm(b, n);
    for (int e = 0; e < n; e++) sum += a[e] * b[e];
    return size > 0 ? sum / size : 0;
}

static void show_loss_of_cut(const board *w, int window, int v)
{
    int n = entries_of(w->q, v);
    const double *cut = w->a->cut[window][v], *whole = w->a->gradient[v];
    double lost[MAX_ENTRIES];
    for (int e = 0; e < n; e++) lost[e] = whole[e] - cut[e];
    double size = norm(whole, n);
    if (!(size > 0)) return;
    if (n == 1)
        line(w->p, "    %.0f %% of dL/d%s are lost%s", 100 * norm(lost, n) / size,
             weight_names[v], cut[0] * whole[0] < 0 ? ", and the sign is wrong" : "");
    else
        line(w->p, "    the difference is %.0f %% of |dL/d%s|; cosine %.3f",
             100 * norm(lost, n) / size, weight_names[v], cosine(cut, whole, n));
}

static void show_window(board *w, int window)
{
    int T = w->T, left = 0;
    for (int t = 1; t <= T; t++) left += t < window ? t : window;
    puts("");
    line(w->p, "Window %d: gradients see %d step%s; %d of %d terms are left, with t - k < %d.",
         window, window, window > 1 ? "s" : "", left, T * (T + 1) / 2, window);
    triangle(w->p, w->q, w->a, W_HH, window);
    columns();
    for (int v = 0; v < N_WEIGHTS; v++) {
        for (int e = 0; e < entries_of(w->q, v); e++)
            compare(w->p, w->a->cut[window][v][e], w->b->cut[window][v][e],
                    "  dL/d%s%s, truncated; whole %.4g", weight_names[v], entry(w, v, e).s,
                    w->a->gradient[v][e]);
        show_loss_of_cut(w, window, v);
    }
}

static void show_truncation(board *w)
{
    heading(w->p, "6. Truncation: the same sum with its lower left corner cut off");
    for (int window = 1; window <= MAX_WINDOW && window < w->T; window++)
        show_window(w, window);
    if (w->T == 1) line(w->p, "  With one step there is nothing to cut off.");
}

void show(paper *p, const problem *q, const chain *hand, const chain *tape)
{
    board w = { p, q, hand, tape, q->units, q->steps };
    show_forward(&w);
    show_immediate(&w);
    show_totals(&w);
    show_products(&w);
    for (int v = 0; v < N_WEIGHTS; v++) show_terms(&w, v);
    show_truncation(&w);
}
