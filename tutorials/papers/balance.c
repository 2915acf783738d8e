/* balance.c -- read this file for truncated BPTT by the library's driver with the state carried on.
 *
 *     s_t = A s_(t-1) + theta e,   A = 1/2 on the diagonal and right above it,  23 units,
 *     e = +1 ten times, then -1 thirteen times,   loss (s_1 - 1)^2 / 2
 *
 * A larger theta raises s_1 at first and lowers it in the long run: ds_1/dtheta is 1 through one
 * step, 10 through ten, and -6 through all. The best theta is -1/6. */
#include "balance.h"

#include "../common/meter.h"
#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <stdio.h>

enum { N = 23, POSITIVE = 10 };

typedef struct balancing {
    sq_params *params;
    sq_weight A, e, theta;
    sq_optim *optim;
} balancing;

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *s)
{
    const balancing *b = self;
    (void)x;
    sq_var drive = sq_mul(sq_use(t, b->theta), sq_use(t, b->e));
    return *s = sq_add(sq_matmul_nt(*s, sq_use(t, b->A)), drive);
}

/* One step's (s_1 - 1)^2 / 2. */
static sq_var loss(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context, (void)t, (void)first;
    sq_var s1 = sq_slice(sq_reshape(y, sq_mat(steps, N)), 1, 0, 1);
    return sq_mul_scalar(sq_sum(sq_square(sq_add_scalar(s1, -1))), .5);
}

static sq_status update(void *context, sq_tape *t, double value, int64_t n)
{
    balancing *b = context;
    (void)value, (void)n;
    return sq_optim_step(b->optim, t);
}

static void balancing_new(balancing *b)
{
    double A[N * N] = { 0 }, e[N], theta = .5;
    for (int i = 0; i < N; i++) {
        A[i * N + i] = .5;
        if (i + 1 < N) A[i * N + i + 1] = .5;
        e[i] = i < POSITIVE ? 1 : -1;
    }
    sq_params *p = b->params = sq_params_new(SQ_F64);
    if (!p) die("out of memory");
    b->theta = sq_params_add(p, "theta", sq_vec(1));
    b->A = sq_params_add(p, "A", sq_mat(N, N));
    b->e = sq_params_add(p, "e", sq_mat(1, N));
    sq_weight_set(p, b->theta, &theta);
    sq_weight_set(p, b->A, A);
    sq_weight_set(p, b->e, e);
    sq_weight_set_frozen(p, b->A, true);
    sq_weight_set_frozen(p, b->e, true);
    b->optim = sq_optim_new(p, &(sq_optim_options){ .kind = SQ_SGD, .rate = 1e-4 });
    if (sq_params_status(p)) die("%s", sq_params_message(p));
}

/* The window of K steps moves on by K: one loss, one update. */
static double descend(int64_t K, int64_t updates, meter *line)
{
    static const int64_t width[] = { N };
    char note[32];
    double theta = 0;
    balancing b = { 0 };
    balancing_new(&b);
    sq_cell cell = {
        .name = "balance", .n_states = 1, .width = width, .step = step, .self = &b
    };
    sq_tape *t = sq_tape_new(SQ_F64, b.params);
    sq_tbptt *s = sq_tbptt_new(t, &cell,
                               &(sq_tbptt_options){ .k1 = K,
                                                    .k2 = K,
                                                    .batch = 1,
                                                    .loss_every = K,
                                                    .loss = loss,
                                                    .update = update,
                                                    .context = &b });
    snprintf(note, sizeof note, "window %lld", (long long)K);
    for (int64_t done = line->done, n = 1; s && n <= updates; n++) {
        if (sq_tbptt_feed(s, K, NULL)) break;
        meter_step(line, done + n, note);
    }
    if (sq_tape_status(t)) die("%s", sq_message(t));
    if (sq_weight_get(b.params, b.theta, &theta)) die("%s", sq_params_message(b.params));
    sq_tbptt_free(s);
    sq_tape_free(t);
    sq_optim_free(b.optim);
    sq_params_free(b.params);
    return theta;
}

void balance(int64_t updates, bool quiet, balanced out[N_WINDOWS])
{
    static const int64_t windows[N_WINDOWS] = { 1, 10, 20, 30, 50, 100 };
    meter line = meter_begin("balance", N_WINDOWS * updates, quiet);
    for (int i = 0; i < N_WINDOWS; i++) {
        double began = meter_clock();
        out[i].window = windows[i];
        out[i].theta = descend(windows[i], updates, &line);
        out[i].seconds = meter_clock() - began;
    }
    meter_end(&line);
}
