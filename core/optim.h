/* optim.h -- what turns gradients into new weights.
 *
 * All of it is loops over two flat blocks, weights and gradients. An update makes a new version
 * of the weights (params.h), so steps recorded before it keep those they were made with. */
#ifndef SQ_CORE_OPTIM_H
#define SQ_CORE_OPTIM_H

#include "params.h"
#include "tape.h"

SQ_BEGIN_DECLS

/* ---- Clipping: on a tape's weight gradients, before the update -------------------------- */

/* Euclidean norm of all weight gradients together, accumulated in double; frozen weights count
 * 0. NaN after an error. */
SQ_API double sq_grads_norm(sq_tape *t);

/* g *= limit / |g| when |g| > limit (Pascanu, Mikolov, Bengio 2013). Afterwards |g| <= limit.
 * *norm (may be NULL) receives |g| before clipping.
 * Fails: SQ_ENONFINITE when |g| is infinite or NaN: gradients are left as they are, the
 * sentence names the first weight at fault; SQ_EVALUE when the limit is negative or NaN. */
SQ_API SQ_CHECKED sq_status sq_clip_norm(sq_tape *t, double limit, double *norm);

/* Every element into [-limit, limit]. Fails as sq_clip_norm does. */
SQ_API SQ_CHECKED sq_status sq_clip_value(sq_tape *t, double limit);

/* ---- Noise on a tape's weight gradients, before the update ------------------------------- */

/* g += sigma n, n normal, sigma^2 = eta / (1 + update)^gamma; the paper takes gamma = 0.55 and eta from
 * 0.01, 0.3, 1 (Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach, Martens 2015) and clips first.
 * update is 0, 1, 2, ...: sq_optim_updates(o). Element i of weight id gets
 *     sq_random_normal(sq_random_stream(tape seed, 2^64 - 1, update, id), 0, i)
 * so that training that is resumed with the same seed goes on with the same noise. Frozen weights get
 * none. With data in parallel, add it once, to the sum.
 * Fails, gradients as they were: the tape's sticky error; invalid gradients (SQ_EGRAD); SQ_EVALUE when
 * eta or the update is negative, or a number infinite or none. Cost: about 50 ns an element. */
SQ_API SQ_CHECKED sq_status sq_grads_add_noise(sq_tape *t, double eta, double gamma,
                                               int64_t update);

/* ---- Schedules: the rate at update n = 0, 1, 2, ... ------------------------------------- */

/* A plain value. kind: constant; cosine from rate to floor over `updates`, floor afterwards.
 * warmup > 0 rises linearly to the schedule's rate over the first `warmup` updates:
 * update n < warmup uses rate (n+1)/warmup. */
typedef enum sq_schedule_kind { SQ_CONSTANT, SQ_COSINE } sq_schedule_kind;
typedef struct sq_schedule {
    sq_schedule_kind kind;
    double rate;
    double floor;    /* cosine ends here */
    int64_t updates; /* length of the cosine, after the warm-up */
    int64_t warmup;
} sq_schedule;

/* The rate at update n. */
SQ_API double sq_schedule_rate(const sq_schedule *s, int64_t n);

/* ---- Optimizers ------------------------------------------------------------------------- */

/* With g the gradient, w the weight, r the rate, d the decay; a step counts t = 1, 2, ...
 *   SGD      v = momentum v + g;  w -= r v,  with nesterov  w -= r (g + momentum v)
 *   RMSPROP  s = alpha s + (1-alpha) g^2;  u = g / (sqrt(s) + eps);  then as SGD with u for g
 *   ADAGRAD  s += g^2;  w -= r g / (sqrt(s) + eps)
 *   ADAM     m = b1 m + (1-b1) g;  s = b2 s + (1-b2) g^2;  w -= r m^ / (sqrt(s^) + eps), with
 *            m^ = m/(1-b1^t), s^ = s/(1-b2^t)   (Kingma & Ba 2015)
 *   ADAMW    the same, and w -= r d w apart from g   (Loshchilov & Hutter 2019)
 * Decay in all but ADAMW is added to the gradient: g + d w. The arithmetic is that of PyTorch's
 * optimizers of the same name, in the params' precision. */
typedef enum sq_optim_kind { SQ_SGD, SQ_RMSPROP, SQ_ADAGRAD, SQ_ADAM, SQ_ADAMW } sq_optim_kind;

/* Of one parameter group (params.h): a factor on the rate and a decay of its own. */
typedef struct sq_optim_group {
    double rate_factor; /* 0 means 1 */
    double decay;       /* used when set_decay */
    bool set_decay;
} sq_optim_group;

/* All-zero is legal: plain SGD at rate 0.01. A 0 in a field means the default in brackets. */
typedef struct sq_optim_options {
    sq_optim_kind kind;
    double rate;     /* [0.01 SGD, RMSPROP, ADAGRAD; 0.001 ADAM, ADAMW] */
    double decay;    /* [0; ADAMW 0.01; negative means 0] */
    double momentum; /* [0] SGD, RMSPROP */
    bool nesterov;   /* SGD with momentum > 0 */
    double alpha;    /* [0.99] RMSPROP */
    double beta1;    /* [0.9] */
    double beta2;    /* [0.999] */
    double eps;      /* [1e-8; ADAGRAD 1e-10] */
    sq_optim_group group[SQ_MAX_GROUPS];
} sq_optim_options;

/* An optimizer: what it keeps of every weight, and how many updates it made. */
typedef struct sq_optim sq_optim;

/* An optimizer of the weights of p. options may be NULL. Fails: returns NULL and posts on p,
 * SQ_EVALUE for options out of range (negative rate, beta >= 1, ...), SQ_ENOMEM. */
SQ_API sq_optim *sq_optim_new(sq_params *p, const sq_optim_options *options);
SQ_API void sq_optim_free(sq_optim *o);

/* One update from the tape's weight gradients (left as they are: zero them yourself). The tape
 * must be bound to the optimizer's params. Weights added since the last update join in.
 * Fails, on the tape: its sticky error; invalid gradients (SQ_EGRAD); another params
 * (SQ_EWEIGHT); SQ_ENOMEM. Then no weight has changed. */
SQ_API SQ_CHECKED sq_status sq_optim_step(sq_optim *o, sq_tape *t);

/* The same from any flat gradient block of the params' layout and precision: the end of a
 * data-parallel sum. Fails, on the params: SQ_EVALUE for NULL, SQ_ENOMEM. */
SQ_API SQ_CHECKED sq_status sq_optim_step_flat(sq_optim *o, const void *grads);

/* The base rate from the next update on (a schedule's value); refused when negative or NaN. */
SQ_API SQ_CHECKED sq_status sq_optim_set_rate(sq_optim *o, double rate);
SQ_API double sq_optim_rate(const sq_optim *o);
SQ_API int64_t sq_optim_updates(const sq_optim *o); /* how many were made */

SQ_END_DECLS

#endif
