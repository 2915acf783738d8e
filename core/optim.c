/* optim.c -- optimizers: one loop over the weights, one body per kind.
 *
 * The moments are flat blocks of the params' layout. A weight counts its own updates: one that
 * is added late, or was frozen for a while, gets Adam's bias correction for its own age.
 * Invariant: moments and ages of weights that never took part in an update are zero. An update
 * first gets all the memory it needs and then cannot fail: it happens wholly or not at all. */
#include "core/optim_impl.h"

#include "core/params_impl.h"
#include "core/tape_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of one update of one weight. */
typedef struct rule {
    double rate, decay, shrink; /* decay is added to the gradient, shrink acts on the weight */
    double momentum, alpha, beta1, beta2, eps;
    double bias1, bias2; /* 1 - beta^t */
    bool nesterov;
} rule;

typedef void body(const rule *r, int64_t n, void *weights, const void *grads, void *first,
                  void *second);

static float root_f32(float x) { return sqrtf(x); }
static double root_f64(double x) { return sqrt(x); }

#define SQI_TMPL "core/optim_tmpl.h"
#include "core/both_tmpl.h"

typedef struct kind {
    const char *name;
    bool has_momentum, adapts; /* momentum is an option; a second moment is kept */
    bool has_mean, shrinks;    /* a first moment is always kept; decay acts on the weight */
    double rate, decay, eps;   /* defaults */
    body *run[2];              /* by dtype */
} kind;

static const kind kinds[] = {
    [SQ_SGD] = { "SGD", true, false, false, false, 0.01, 0, 1e-8, { sgd_f32, sgd_f64 } },
    [SQ_RMSPROP] = { "RMSPROP",
                     true,
                     true,
                     false,
                     false,
                     0.01,
                     0,
                     1e-8,
                     { rmsprop_f32, rmsprop_f64 } },
    [SQ_ADAGRAD] = { "ADAGRAD",
                     false,
                     true,
                     false,
                     false,
                     0.01,
                     0,
                     1e-10,
                     { adagrad_f32, adagrad_f64 } },
    [SQ_ADAM] = { "ADAM", false, true, true, false, 0.001, 0, 1e-8, { adam_f32, adam_f64 } },
    [SQ_ADAMW] = { "ADAMW",
                   false,
                   true,
                   true,
                   true,
                   0.001,
                   0.01,
                   1e-8,
                   { adam_f32, adam_f64 } },
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

struct sq_optim {
    sq_params *params;
    const kind *kind;
    sq_optim_options options; /* every default filled in, decays not negative */
    int64_t updates;
    int64_t n;       /* elements the moments cover */
    int32_t n_ages;  /* weights the ages cover */
    int64_t *ages;   /* updates each weight took part in */
    void *moment[2]; /* first and second, NULL where the kind keeps none */
};

/* ---- Options ----------------------------------------------------------------------------- */

static void fill_defaults(sq_optim_options *o, const kind *k)
{
    const struct {
        double *field, value;
    } defaults[] = {
        { &o->rate, k->rate }, { &o->decay, k->decay }, { &o->alpha, 0.99 },
        { &o->beta1, 0.9 },    { &o->beta2, 0.999 },    { &o->eps, k->eps },
    };
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        if (*defaults[i].field == 0) *defaults[i].field = defaults[i].value;
    o->decay = o->decay < 0 ? 0 : o->decay;
    for (int i = 0; i < SQ_MAX_GROUPS; i++) {
        sq_optim_group *g = &o->group[i];
        if (g->rate_factor == 0) g->rate_factor = 1;
        if (!g->set_decay || g->decay < 0) g->decay = g->set_decay ? 0 : o->decay;
    }
}

/* The fields that are plain numbers, each with the bound it must stay below. NaN fails too. */
static bool numbers_fit(sqi_error *e, const kind *k, const sq_optim_options *o)
{
    const struct {
        const char *name;
        double value, limit;
    } fields[] = {
        { "rate", o->rate, HUGE_VAL }, { "decay", o->decay, HUGE_VAL },
        { "eps", o->eps, HUGE_VAL },   { "momentum", o->momentum, 1 },
        { "alpha", o->alpha, 1 },      { "beta1", o->beta1, 1 },
        { "beta2", o->beta2, 1 },
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (!(fields[i].value >= 0 && fields[i].value < fields[i].limit)) {
            sqi_error_post(e, SQ_EVALUE, "optimizer %s: %s is %g, it must be %s", k->name,
                           fields[i].name, fields[i].value,
                           fields[i].limit == 1 ? "in [0,1)" : "finite and not negative");
            return false;
        }
    return true;
}

static bool groups_fit(sqi_error *e, const kind *k, const sq_optim_options *o)
{
    for (int i = 0; i < SQ_MAX_GROUPS; i++) {
        const sq_optim_group *g = &o->group[i];
        bool fits = g->rate_factor >= 0 && g->rate_factor < HUGE_VAL && g->decay < HUGE_VAL;
        if (!fits) {
            sqi_error_post(e, SQ_EVALUE,
                           "optimizer %s: group %d has rate factor %g and decay %g: both must"
                           " be finite and the factor not negative",
                           k->name, i, g->rate_factor, g->decay);
            return false;
        }
    }
    return true;
}

static bool options_fit(sqi_error *e, const kind *k, const sq_optim_options *o)
{
    if (!numbers_fit(e, k, o) || !groups_fit(e, k, o)) return false;
    if (o->momentum > 0 && !k->has_momentum)
        sqi_error_post(e, SQ_EVALUE, "optimizer %s: momentum belongs to SGD and RMSPROP",
                       k->name);
    else if (o->nesterov && (o->kind != SQ_SGD || o->momentum == 0))
        sqi_error_post(e, SQ_EVALUE, "optimizer %s: nesterov needs SGD with momentum", k->name);
    return !e->status;
}

/* ---- Making and ending ------------------------------------------------------------------- */

sq_optim *sq_optim_new(sq_params *p, const sq_optim_options *options)
{
    if (sq_params_status(p)) return NULL;
    sq_optim_options filled = options ? *options : (sq_optim_options){ .kind = SQ_SGD };
    if ((unsigned)filled.kind >= N_KINDS) {
        sqi_error_post(sqi_params_error(p), SQ_EVALUE, "optimizer: there is no kind %d",
                       (int)filled.kind);
        return NULL;
    }
    const kind *k = &kinds[filled.kind];
    fill_defaults(&filled, k);
    if (!options_fit(sqi_params_error(p), k, &filled)) return NULL;
    sq_optim *o = calloc(1, sizeof *o);
    if (!o) {
        sqi_error_post(sqi_params_error(p), SQ_ENOMEM, "optimizer %s: out of memory", k->name);
        return NULL;
    }
    o->params = p;
    o->kind = k;
    o->options = filled;
    return o;
}

void sq_optim_free(sq_optim *o)
{
    if (!o) return;
    free(o->moment[0]);
    free(o->moment[1]);
    free(o->ages);
    free(o);
}

/* ---- Updates ----------------------------------------------------------------------------- */

/* Old content stays, what is new is zero; on failure the old block stays. */
static bool grow(void **block, int64_t old, int64_t n, size_t size)
{
    void *at = realloc(*block, (size_t)(n > 0 ? n : 1) * size);
    if (!at) return false;
    memset((char *)at + (size_t)old * size, 0, (size_t)(n - old) * size);
    *block = at;
    return true;
}

/* Room for weights that were added since the last update. */
static bool cover_all_weights(sq_optim *o)
{
    int64_t n = sq_params_size(o->params);
    int32_t n_ages = sq_params_count(o->params);
    if (n_ages == o->n_ages) return true;
    const bool kept[2] = { o->kind->has_mean || o->options.momentum > 0, o->kind->adapts };
    size_t size = sq_dtype_size(sq_params_dtype(o->params));
    for (int i = 0; i < 2; i++)
        if (kept[i] && !grow(&o->moment[i], o->n, n, size)) return false;
    void *ages = o->ages;
    if (!grow(&ages, o->n_ages, n_ages, sizeof *o->ages)) return false;
    o->ages = ages;
    o->n = n;
    o->n_ages = n_ages;
    return true;
}

bool sqi_optim_state_of(sq_optim *o, sqi_optim_state *s)
{
    if (!cover_all_weights(o)) return false;
    *s = (sqi_optim_state){ o->params,   o->kind->name, &o->options.rate,
                            &o->updates, o->ages,       { o->moment[0], o->moment[1] } };
    return true;
}

static rule rule_for(const sq_optim *o, int32_t group, int64_t age)
{
    const sq_optim_options *p = &o->options;
    double rate = p->rate * p->group[group].rate_factor;
    double decay = p->group[group].decay;
    bool shrinks = o->kind->shrinks;
    return (rule){
        .rate = rate,
        .decay = shrinks ? 0 : decay,
        .shrink = shrinks ? rate * decay : 0,
        .momentum = p->momentum,
        .alpha = p->alpha,
        .beta1 = p->beta1,
        .beta2 = p->beta2,
        .eps = p->eps,
        .bias1 = 1.0 - pow(p->beta1, (double)age),
        .bias2 = 1.0 - pow(p->beta2, (double)age),
        .nesterov = p->nesterov,
    };
}

/* The same place in another flat block of the params' layout; NULL stays NULL. */
static void *part(void *block, size_t offset) { return block ? (char *)block + offset : NULL; }

static void update_weight(sq_optim *o, sq_weight w, void *weights, const void *grads)
{
    const sq_params *p = o->params;
    sq_dtype dtype = sq_params_dtype(p);
    size_t at = (size_t)sq_weight_offset(p, w) * sq_dtype_size(dtype);
    int64_t n = sq_shape_size(sq_weight_shape(p, w));
    rule r = rule_for(o, sq_weight_group(p, w), ++o->ages[w.id - 1]);
    o->kind->run[dtype](&r, n, part(weights, at), (const char *)grads + at,
                        part(o->moment[0], at), part(o->moment[1], at));
}

sq_status sq_optim_step_flat(sq_optim *o, const void *grads)
{
    if (!o) return SQ_EVALUE;
    sq_params *p = o->params;
    if (sq_params_status(p)) return sq_params_status(p);
    if (!grads)
        return sqi_error_post(sqi_params_error(p), SQ_EVALUE, "optimizer %s: no gradients",
                              o->kind->name);
    if (!cover_all_weights(o))
        return sqi_error_post(sqi_params_error(p), SQ_ENOMEM,
                              "optimizer %s: no memory for its moments", o->kind->name);
    void *weights = sq_params_update(p);
    if (!weights) return sq_params_status(p);
    for (int32_t id = 1; id <= o->n_ages; id++)
        if (!sq_weight_frozen(p, (sq_weight){ id }))
            update_weight(o, (sq_weight){ id }, weights, grads);
    o->updates++;
    return SQ_OK;
}

/* A failure of this update is told by the tape alone; an older error of the params stays. */
static void step_on_tape(sq_optim *o, sq_tape *t, const void *grads)
{
    bool had_error = sq_params_status(o->params);
    sq_status s = sq_optim_step_flat(o, grads);
    if (!s) return;
    sqi_begin(t, "optim_step");
    sq_post(t, s, "%s", sq_params_message(o->params));
    if (!had_error) sq_params_clear_error(o->params);
}

sq_status sq_optim_step(sq_optim *o, sq_tape *t)
{
    if (!sqi_begin(t, "optim_step")) return sq_tape_status(t);
    if (!o) sq_post(t, SQ_EVALUE, "there is no optimizer");
    else if (o->params != sq_tape_params(t))
        sq_post(t, SQ_EWEIGHT, "the tape is bound to other params than the optimizer");
    const void *grads = sq_grads(t);
    if (grads) step_on_tape(o, t, grads);
    return sq_tape_status(t);
}

/* ---- The rate ---------------------------------------------------------------------------- */

sq_status sq_optim_set_rate(sq_optim *o, double rate)
{
    if (!o) return SQ_EVALUE;
    if (!(rate >= 0 && rate < HUGE_VAL))
        return sqi_error_post(sqi_params_error(o->params), SQ_EVALUE,
                              "optimizer %s: rate %g must be finite and not negative",
                              o->kind->name, rate);
    o->options.rate = rate;
    return SQ_OK;
}

double sq_optim_rate(const sq_optim *o) { return o ? o->options.rate : (double)NAN; }
int64_t sq_optim_updates(const sq_optim *o) { return o ? o->updates : 0; }
