/* tape.c -- the same numbers from seqgrad, each by the call that one would use for it.
 *
 *     states, losses        sq_copy, sq_item           after the loop that records them
 *     dL/dh_t, ∂l_t/∂h_t    sq_ledger_of_states        total and immediate values
 *     (t,k), dL/dW|(k)      sq_ledger_weight_values    of the loss l_t, and of L
 *     dl_t/dW, dL/dW        sq_backward                the ordinary sweep
 *     dh_t/dh_k             sq_jacobian                of the same cell, unrolled
 *     truncated             sq_cut                     one line in the loop
 * Read `record` and `truncated`: they are backpropagation through time and its truncation. */
#include "chain.h"
#include "../common/files.h"
#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <stdlib.h>
#include <string.h>

typedef struct network {
    const problem *p;
    sq_params *params;
    sq_weight weight[N_WEIGHTS];
    sq_tape *tape;
    int64_t width[1];
} network;

/* One run: h[t], l[t] of steps 1 .. T, and L. */
typedef struct run {
    sq_var h[MAX_STEPS + 1], l[MAX_STEPS + 1], L;
} run;

static void check(const network *n)
{
    if (sq_tape_status(n->tape)) die("%s", sq_message(n->tape));
}

static void network_new(network *n, const problem *p)
{
    const sq_shape shapes[N_WEIGHTS] = { [W_HH] = sq_mat(p->units, p->units),
                                         [W_XH] = sq_mat(1, p->units),
                                         [BIAS] = sq_vec(p->units) };
    *n = (network){ .p = p, .params = sq_params_new(SQ_F64), .width = { p->units } };
    if (!n->params) die("out of memory");
    for (int w = 0; w < N_WEIGHTS; w++) {
        n->weight[w] = sq_params_add(n->params, weight_names[w], shapes[w]);
        sq_weight_set(n->params, n->weight[w], p->weight[w]);
    }
    if (sq_params_status(n->params)) die("%s", sq_params_message(n->params));
    n->tape = sq_tape_new(SQ_F64, n->params);
    if (!n->tape) die("out of memory");
}

/* h_t = tanh(x_t W_xh + b + h_(t-1) W_hh) */
static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    const network *n = self;
    sq_var in = sq_affine(x, sq_use(t, n->weight[W_XH]), sq_use(t, n->weight[BIAS]));
    return *h = sq_name(sq_tanh(sq_add(in, sq_matmul(*h, sq_use(t, n->weight[W_HH])))), "h");
}

/* Step t of the loop: leaves h_t in *h, returns l_t = |h_t - y_t|^2 / 2. */
static sq_var next(const network *n, int t, sq_var *h)
{
    const problem *p = n->p;
    sq_begin_step(n->tape);
    sq_var x = sq_name(sq_input(n->tape, sq_mat(1, 1), p->x + t - 1), "x");
    sq_var y = sq_name(sq_input(n->tape, sq_mat(1, p->units), p->y + (t - 1) * p->units), "y");
    step(n->tape, n, x, h);
    return sq_name(sq_mul_scalar(sq_sum(sq_square(sq_sub(*h, y))), .5), "l");
}

static sq_var start(const network *n)
{
    sq_tape_reset(n->tape);
    sq_zero_grads(n->tape);
    return sq_name(sq_leaf(n->tape, sq_mat(1, n->p->units), n->p->h0), "h_0");
}

static void record(const network *n, run *r)
{
    r->h[0] = start(n);
    for (int t = 1; t <= n->p->steps; t++) {
        r->h[t] = r->h[t - 1];
        r->l[t] = next(n, t, &r->h[t]);
    }
    sq_end_step(n->tape);
    r->L = r->l[1];
    for (int t = 2; t <= n->p->steps; t++) r->L = sq_add(r->L, r->l[t]);
    sq_name(r->L, "L");
    check(n);
}

/* ---- What the recorded loop says ----------------------------------------------------------- */

static sq_ledger *ledger_of(const network *n, const run *r, sq_var loss)
{
    sq_ledger_options o = { .values = true, .weights = true, .contribution = true };
    sq_ledger *l = sq_ledger_of_states(r->h + 1, n->p->steps, 1, loss, &o);
    if (!l) die("%s", sq_message(n->tape));
    return l;
}

static void copy_part(const network *n, const sq_ledger *l, int k, int w, double *out)
{
    const double *v = sq_ledger_weight_values(l, k - 1, n->weight[w]);
    if (v) memcpy(out, v, (size_t)entries_of(n->p, w) * sizeof *v);
}

static void read_states(chain *c, const network *n, const run *r)
{
    size_t row = (size_t)n->p->units * sizeof(double);
    sq_ledger *l = ledger_of(n, r, r->L);
    for (int t = 0; t <= n->p->steps; t++) {
        sq_copy(r->h[t], c->h[t]);
        if (!t) continue;
        c->loss[t] = sq_item(r->l[t]);
        memcpy(c->total[t], sq_ledger_total_values(l, t - 1, 0), row);
        memcpy(c->immediate[t], sq_ledger_immediate_values(l, t - 1, 0), row);
        for (int w = 0; w < N_WEIGHTS; w++) copy_part(n, l, t, w, c->of_step[w][t]);
    }
    c->whole_loss = sq_item(r->L);
    sq_ledger_free(l);
}

/* The terms of l_t are what each step does to it; of h_t[i] in place of l_t the newest of them is
 * ∂h_t[i]/∂W. */
static void read_terms(chain *c, const network *n, const run *r)
{
    size_t row = (size_t)n->p->units * sizeof(double);
    for (int t = 1; t <= n->p->steps; t++) {
        sq_ledger *l = ledger_of(n, r, r->l[t]);
        for (int k = 1; k <= t; k++) {
            memcpy(c->reach[t][k], sq_ledger_total_values(l, k - 1, 0), row);
            for (int w = 0; w < N_WEIGHTS; w++) copy_part(n, l, k, w, c->term[w][t][k]);
        }
        sq_ledger_free(l);
        for (int i = 0; i < n->p->units; i++) {
            l = ledger_of(n, r, sq_sum(sq_slice(r->h[t], 1, i, 1)));
            for (int w = 0; w < N_WEIGHTS; w++) copy_part(n, l, t, w, c->use[w][t][i]);
            sq_ledger_free(l);
        }
    }
}

static void sweep(const network *n, sq_var loss, entries out[N_WEIGHTS])
{
    sq_zero_grads(n->tape);
    if (sq_backward(loss)) die("%s", sq_message(n->tape));
    for (int w = 0; w < N_WEIGHTS; w++) sq_weight_grad(n->tape, n->weight[w], out[w]);
}

static void read_sweeps(chain *c, const network *n, const run *r)
{
    entries g[N_WEIGHTS];
    for (int t = 1; t <= n->p->steps; t++) {
        sweep(n, r->l[t], g);
        for (int w = 0; w < N_WEIGHTS; w++)
            memcpy(c->of_loss[w][t], g[w], (size_t)entries_of(n->p, w) * sizeof(double));
    }
    sweep(n, r->L, c->gradient);
}

/* ---- Jacobians, of the same cell, unrolled by the library ------------------------------------ */

static void read_jacobians(chain *c, const network *n)
{
    const problem *p = n->p;
    sq_cell cell = { .name = "rnn", .n_states = 1, .width = n->width, .step = step, .self = n };
    sq_var h0 = start(n), x = sq_input(n->tape, sq_shape3(p->steps, 1, 1), p->x);
    const sq_unrolled *u = sq_unroll(n->tape, &cell, x, &h0, NULL);
    for (int t = 1; t <= p->steps; t++)
        for (int k = 0; k < t; k++)
            if (sq_jacobian(u, t - 1, k - 1, 0, 0, c->product[t][k], NULL))
                die("%s", sq_message(n->tape));
}

/* ---- Truncation ------------------------------------------------------------------------------ */

/* Every l_t is differentiated through the newest `window` steps only: what came before is cut off
 * the tape, and its last state has become a constant. */
static void truncated(chain *c, const network *n, int window)
{
    sq_var h = start(n);
    for (int t = 1; t <= n->p->steps; t++) {
        sq_var l = next(n, t, &h);
        sq_cut(n->tape, window, &h, 1);
        if (sq_backward(l)) die("%s", sq_message(n->tape));
    }
    for (int w = 0; w < N_WEIGHTS; w++)
        sq_weight_grad(n->tape, n->weight[w], c->cut[window][w]);
}

/* ---- Pictures -------------------------------------------------------------------------------- */

/* A text written by a function that works like snprintf. */
static char *text_of(size_t (*form)(const void *what, char *buf, size_t n), const void *what)
{
    size_t n = form(what, NULL, 0) + 1;
    char *text = take(n, 1);
    form(what, text, n);
    return text;
}

static size_t dot_form(const void *tape, char *buf, size_t n)
{
    return sq_dot(tape, 0, -1, buf, n);
}
static size_t html_form(const void *report, char *buf, size_t n)
{
    return sq_report_html(report, buf, n);
}

/* The library's page: states, the terms' norms, which loss reaches how far back. */
static char *page_of(const network *n, const run *r)
{
    sq_ledger_options o = { .values = true,
                            .weights = true,
                            .contribution = true,
                            .far_steps = 1,
                            .losses = r->l + 1,
                            .n_losses = n->p->steps };
    sq_ledger *l = sq_ledger_of_states(r->h + 1, n->p->steps, 1, r->L, &o);
    if (!l) die("%s", sq_message(n->tape));
    sq_report report = {
        .ledger = l,
        .params = n->params,
        .title = "Backpropagation through time, by hand",
        .note = "h_t = tanh(x_t W_xh + h_(t-1) W_hh + b), l_t = |h_t - y_t|^2 / 2. "
                "Steps count from 0 here."
    };
    char *text = text_of(html_form, &report);
    sq_ledger_free(l);
    return text;
}

static void write_pictures(const network *n, const run *r, const char *dot, const char *html)
{
    char *text = NULL;
    if (dot) file_write(dot, text = text_of(dot_form, n->tape));
    free(text);
    text = NULL;
    if (html) file_write(html, text = page_of(n, r));
    free(text);
}

void by_tape(chain *c, const problem *p, const char *dot, const char *html)
{
    network n;
    run r;
    *c = (chain){ 0 };
    network_new(&n, p);
    record(&n, &r);
    read_states(c, &n, &r);
    read_sweeps(c, &n, &r);
    write_pictures(&n, &r, dot, html);
    read_terms(c, &n, &r);
    read_jacobians(c, &n);
    for (int window = 1; window <= MAX_WINDOW; window++) truncated(c, &n, window);
    check(&n);
    sq_tape_free(n.tape);
    sq_params_free(n.params);
}
