/* stream_world.c -- the training that tests interrupt (stream_world.h). */
#include "tests/support/stream_world.h"

static int32_t dealt(uint64_t seed, int64_t i, int n)
{
    rng r = { seed * 1000003 + (uint64_t)i };
    return rng_below(&r, n);
}

static sq_var embed(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    world *w = context;
    int32_t ids[LONG * B];
    if (w->stubborn) sq_post(t, SQ_EVALUE, "not again");
    for (int64_t i = 0; i < steps * B; i++) ids[i] = dealt(1, first * B + i, V);
    if (w->meddling) {
        double none[V * E] = { 0 };
        sq_use(t, w->embedding);
        cr_assert(sq_weight_set_f64(w->params, w->embedding, none) == SQ_OK);
    }
    sq_var x = sq_gather(sq_use(t, w->embedding), ids, steps * B);
    if (w->how->dropped) x = sq_dropout(x, .25, SQ_PER_STEP);
    w->inputs++;
    return sq_reshape(x, sq_shape3(steps, B, E));
}

static sq_var entropy(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    world *w = context;
    int32_t ids[LONG * B];
    for (int64_t i = 0; i < steps * B; i++) ids[i] = dealt(2, first * B + i, V);
    if (w->how->dropped) y = sq_dropout(y, .25, SQ_PER_STEP);
    w->losses++;
    return sq_cross_entropy(sq_matmul(y, sq_use(t, w->readout)), ids, NULL, SQ_SUM);
}

static sq_var learned(void *context, sq_tape *t, int32_t k)
{
    const world *w = context;
    return k ? (sq_var){ t, 0 } : sq_use(t, w->h0);
}

static sq_status adam(void *context, sq_tape *t, double loss, int64_t n)
{
    world *w = context;
    sq_schedule s = { SQ_COSINE, .05, .01, 12, 2 };
    (void)n;
    w->told = loss;
    if (sq_optim_set_rate(w->optim, sq_schedule_rate(&s, sq_optim_updates(w->optim))))
        return SQ_EVALUE;
    return sq_optim_step(w->optim, t);
}

static void set_random(sq_params *p, sq_weight w, uint64_t seed)
{
    double values[V * WIDE];
    int64_t n = sq_shape_size(sq_weight_shape(p, w));
    cr_assert(n <= COUNT(values));
    fill(values, n, seed, -1, 1);
    cr_assert(sq_weight_set_f64(p, w, values) == SQ_OK);
}

static int64_t width_of(const setting *how) { return how->width ? how->width : H; }

void world_of(world *w, const setting *how, uint64_t seed, int lives)
{
    const int64_t width = width_of(how);
    *w = (world){ .how = how, .params = sq_params_new(how->dtype), .lives = lives };
    w->embedding = sq_params_add(w->params, "embedding", sq_mat(V, E));
    w->readout = sq_params_add(w->params, "readout", sq_mat(width, V));
    w->h0 = sq_params_add(w->params, "h0", sq_mat(B, width));
    set_random(w->params, w->embedding, seed);
    set_random(w->params, w->readout, seed + 1);
    set_random(w->params, w->h0, seed + 2);
    any_cell_fn *make = how->kind ? how->kind->make : any_lstm;
    w->told = (double)NAN;
    w->dropped = (sq_dropped){ .cell = make(&w->cell, w->params, "cell", E, width, seed),
                               .output = .25 };
    w->optim = sq_optim_new(w->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = .05 });
    w->tape = sq_tape_new(how->dtype, w->params);
    sq_tape_set_seed(w->tape, seed);
    if (how->threaded) sq_tape_set_threads(w->tape, 1 + lives % 3);
    sq_cell cell = how->dropped ? sq_dropout_cell(&w->dropped) : w->dropped.cell;
    sq_tbptt_options o = how->o;
    o.batch = o.batch ? o.batch : B;
    o.input = embed;
    o.loss = entropy;
    o.update = adam;
    o.initial = how->learned ? learned : NULL;
    o.context = w;
    w->stream = sq_tbptt_new(w->tape, &cell, &o);
    cr_assert(w->optim && w->stream, "%s", sq_message(w->tape));
}

void world_new(world *w, const setting *how, uint64_t seed) { world_of(w, how, seed, 0); }

void world_free(world *w)
{
    sq_tbptt_free(w->stream);
    sq_tape_free(w->tape);
    sq_optim_free(w->optim);
    sq_params_free(w->params);
}

static void give_states(const world *w, int call)
{
    const int64_t width = width_of(w->how);
    sq_var h[2];
    for (int k = 0; k < 2; k++) {
        double values[B * WIDE];
        fill(values, B * width, (uint64_t)(100 * call + k), -1, 1);
        h[k] = sq_input_f64(w->tape, sq_mat(B, width), values);
    }
    cr_assert(sq_tbptt_set_states(w->stream, h) == SQ_OK, "%s", sq_message(w->tape));
}

void world_act(const world *w, int call)
{
    int32_t rows[LONG * B];
    int n = w->how->steps[call];
    for (int i = 0; i < n * B; i++) {
        int32_t r = dealt(w->how->seed + 3, 1000 * call + i, 8);
        rows[i] = r < 3 && w->how->restarts ? r : 0;
    }
    if (n == -2) give_states(w, call);
    else if (n == -1) cr_assert(sq_tbptt_end(w->stream) == SQ_OK, "%s", sq_message(w->tape));
    else {
        sq_status s = sq_tbptt_feed(w->stream, n, w->how->restarts ? rows : NULL);
        cr_assert(s == SQ_OK, "%s", sq_message(w->tape));
    }
    ASSERT_HEALTHY(w->tape);
}

sq_bundle *world_save(const world *w)
{
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "model", w->params);
    sq_bundle_add_optim(b, "optim", w->optim);
    cr_assert(sq_tbptt_save(w->stream, b, "stream") == SQ_OK, "%s", sq_bundle_message(b));
    return b;
}

void world_load(world *w, sq_bundle *b)
{
    sq_bundle_get_params(b, "model", w->params);
    sq_bundle_get_optim(b, "optim", w->optim);
    sq_tbptt_load(w->stream, b, "stream");
    cr_assert(sq_bundle_status(b) == SQ_OK, "%s", sq_bundle_message(b));
    ASSERT_HEALTHY(w->tape);
}

void world_interrupt(world *w)
{
    sq_bundle *b = world_save(w);
    const setting *how = w->how;
    int lives = w->lives + 1;
    world_free(w);
    world_of(w, how, 77, lives);
    world_load(w, b);
    sq_bundle_free(b);
}

void world_expect_same(const world *a, const world *b, const char *what)
{
    size_t bytes = (size_t)sq_params_size(a->params) * sq_dtype_size(a->how->dtype);
    sq_tbptt_stats x = sq_tbptt_statistics(a->stream), y = sq_tbptt_statistics(b->stream);
    int64_t n = sq_optim_updates(a->optim), m = sq_optim_updates(b->optim);
    EXPECT_SAME_BITS(sq_params_view(a->params), sq_params_view(b->params), bytes, what);
    EXPECT_SAME_BITS(&x.loss, &y.loss, sizeof x.loss, what);
    cr_expect(x.steps == y.steps && x.updates == y.updates && n == m, "%s: counts", what);
    cr_expect(x.readings == y.readings && x.wrong == y.wrong, "%s: the meter", what);
    bool same = isnan(a->told) || isnan(b->told) || a->told == b->told;
    cr_expect(same, "%s: told %g and %g", what, a->told, b->told);
    for (int k = 0; k < ANY_CELL_STATES && sq_tbptt_state(a->stream, k).id; k++) {
        double h[2][B * WIDE] = { { 0 } };
        cr_assert(sq_shape_size(sq_shape_of(sq_tbptt_state(a->stream, k))) <= COUNT(h[0]));
        cr_assert(sq_copy_f64(sq_tbptt_state(a->stream, k), h[0]) == SQ_OK);
        cr_assert(sq_copy_f64(sq_tbptt_state(b->stream, k), h[1]) == SQ_OK);
        EXPECT_SAME_BITS(h[0], h[1], sizeof h[0], what);
    }
}

setting world_setting(uint64_t seed)
{
    static const sq_mode modes[] = { SQ_EAGER, SQ_PLAN, SQ_AUTO };
    static const int64_t losses[] = { 0, 0, 2, SQ_LOSS_AT_END };
    rng r = { seed };
    setting how = { .dtype = rng_below(&r, 2) ? SQ_F64 : SQ_F32, .seed = seed };
    how.o.k1 = 1 + rng_below(&r, 6);
    how.o.k2 = 1 + rng_below(&r, 9);
    how.o.unroll.mode = modes[rng_below(&r, 3)];
    how.o.loss_every = losses[rng_below(&r, 4)];
    how.restarts = rng_below(&r, 2);
    how.learned = rng_below(&r, 2);
    how.dropped = rng_below(&r, 2);
    for (int i = 0; i < CALLS; i++) {
        int what = rng_below(&r, 12);
        how.steps[i] = what == 0 ? -1 : what == 1 && i ? -2 : 1 + rng_below(&r, 7);
    }
    how.steps[0] = 1 + rng_below(&r, 7);
    return how;
}

void world_draws_windows(setting *how)
{
    how->o.k1 = how->o.k2 = 0;
    how->o.mean_window = 4;
    how->o.seed = how->seed;
}
