/* scalar_stream.h -- streams of the smallest cell, h_t = w h_(t-1), whose truncated gradients are a
 * sum in closed form. */
#ifndef SQT_SCALAR_STREAM_H
#define SQT_SCALAR_STREAM_H

#include "tests/support/support.h"

static const sq_mode modes[] = { SQ_EAGER, SQ_PLAN };

#define FEED(s, steps, rows)                                  \
    do {                                                      \
        sq_status f__ = sq_tbptt_feed(s, steps, rows);        \
        cr_assert(f__ == SQ_OK, "feed: status %d", (int)f__); \
    } while (0)
#define END(s) cr_assert(sq_tbptt_end(s) == SQ_OK)

typedef struct scalar {
    sq_params *params;
    sq_weight w;
    sq_cell cell;
    double h0, rate;
    int64_t at[64];
    double grad[64], loss[64];
    int updates;
    sq_status answer;
} scalar;

static inline sq_var scalar_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)x;
    return *h = sq_mul(*h, sq_use(t, ((const scalar *)self)->w));
}

static inline void scalar_new(scalar *c, double w)
{
    static const int64_t one_wide[] = { 1 };
    *c = (scalar){ .params = sq_params_new(SQ_F64), .h0 = .9 };
    c->w = add_number(c->params, "w", w);
    c->cell = (sq_cell){
        .name = "scalar", .n_states = 1, .width = one_wide, .step = scalar_step, .self = c
    };
}

static inline sq_var scalar_initial(void *context, sq_tape *t, int32_t k)
{
    (void)k;
    return sq_full(t, sq_mat(1, 1), ((const scalar *)context)->h0);
}

static inline sq_var sum_of_outputs(void *context, sq_tape *t, sq_var y, int64_t first,
                                    int64_t steps)
{
    (void)context;
    (void)t;
    (void)first;
    cr_expect(sq_shape_of(y).dim[0] == steps);
    return sq_sum(y);
}

static inline sq_status note(void *context, sq_tape *t, double loss, int64_t n)
{
    scalar *c = context;
    c->at[c->updates] = n;
    c->loss[c->updates] = loss;
    c->grad[c->updates++] = number_grad(t, c->w);
    EXPECT_SOUND(t);
    return c->answer;
}

static inline sq_tbptt *scalar_stream(sq_tape *t, scalar *c, int64_t k1, int64_t k2,
                                      sq_mode mode, int64_t loss_every)
{
    sq_tbptt *s = sq_tbptt_new(
        t, &c->cell,
        &(sq_tbptt_options){
            .k1 = k1,
            .k2 = k2,
            .batch = 1,
            .unroll = { .mode = mode,
                        .every = k2 & 1 ? 0 : 2 }, /* half of them with snapshots */
            .loss = sum_of_outputs,
            .update = note,
            .initial = scalar_initial,
            .context = c,
            .loss_every = loss_every });
    cr_assert(s != NULL, "%s", sq_message(t));
    return s;
}

/* Feeds T steps in chunks of so many, the last one shorter. */
static inline void feed_all(sq_tbptt *s, int64_t T, int64_t chunk)
{
    for (int64_t i = 0; i < T; i += chunk) FEED(s, i + chunk < T ? chunk : T - i, NULL);
    END(s);
}

static inline void expect_scalar(const scalar *c, int T, int k1, int k2, int every)
{
    int last = 0, u = 0;
    char what[80];
    for (int n = 1; n <= T; n++) {
        if (n % k1 && n < T) continue;
        double grad = 0;
        int s = n > k2 ? n - k2 : 0, losses = 0;
        for (int i = last + 1; i <= n; i++)
            if (i % every == 0 && i > s) {
                losses++;
                grad += (i - s) * pow(.2, i - 1) * .9;
            }
        last = n;
        if (!losses) continue;
        snprintf(what, sizeof what, "T %d, k1 %d, k2 %d, every %d, n %d", T, k1, k2, every, n);
        cr_assert(u < c->updates && c->at[u] == n, "no update: %s", what);
        EXPECT_NEAR(c->grad[u], grad, 1e-15, what);
        u++;
    }
    cr_expect(u == c->updates);
}

/* ---- h_t = tanh(w h_(t-1) + .3), the losses h_t^2 ------------------------------------------- */

static inline sq_var tanh_step(sq_tape *t, const void *self, sq_var x, sq_var *h)
{
    (void)x;
    sq_var w = sq_use(t, ((const scalar *)self)->w);
    return *h = sq_tanh(sq_add_scalar(sq_mul(*h, w), .3));
}

static inline sq_var squares(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    (void)context, (void)t, (void)first, (void)steps;
    return sq_sum(sq_square(y));
}

#endif
