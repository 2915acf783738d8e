/* tape.h -- the tape: records operations as they are computed, then sweeps them in reverse.
 *
 *     root            step 0               step 1               after the last step
 *     | h0 W U b |    | x W U b ... h1 |   | x W U b ... h2 |   | loss |
 *                       ^ imports            ^ imports h1
 *
 * A segment is an arena holding one step, or all the steps of an unroll that ran as a plan. It
 * touches the past only through its imports.
 *
 * Memory rules
 *  1. The tape owns every node, value and gradient; a variable is never freed.
 *  2. Memory returns only by whole steps: sq_cut, sq_tape_reset, sq_tape_free. It is recycled:
 *     a steady training loop allocates nothing after its first iterations.
 *  3. Sizes, cuts and sweeps are counted in steps. What is recorded before the first step (the
 *     root) is forgotten only by reset.
 *  4. Sweeps repeat. Every reverse sweep starts with fresh interior gradients; gradients of
 *     weights and leaves accumulate until zeroed. Afterwards the gradients of leaves, of states
 *     (whatever crosses a step border; in the step that holds the loss, whatever still may) and
 *     of variables named or marked sq_keep_grad are readable and hold the last sweep's value.
 *     (A state that nothing outside its step uses, like the last c of an LSTM when the loss comes
 *     after sq_end_step, crosses no border: mark it. sq_unroll marks the states it hands out.)
 *     Values are never overwritten by a sweep. After a failed sweep the gradients of weights and
 *     leaves are invalid until zeroed.
 *  5. Weights belong to sq_params (params.h) and are versioned. A weight variable taken before
 *     an update cannot be used for new recording: call sq_use again.
 *  6. Weight gradients lie in one flat block laid out like the params.
 *  7. A pointer read out of a tape is valid until its step is cut or reset. Inputs are copied
 *     in, results copied out, unless the name says _view.
 *  8. No mutable static data: N threads = N tapes.
 *
 * Errors are sticky (error.h): the first mistake is kept with a sentence, nothing is recorded
 * afterwards, later operations return no value. Check once, at sq_backward. sq_tape_reset clears.
 * A handle of a *freed* tape cannot be recognised: do not use one. */
#ifndef SQ_CORE_TAPE_H
#define SQ_CORE_TAPE_H

#include "dtype.h"
#include "error.h"
#include "params.h"
#include "random.h"
#include "shape.h"

SQ_BEGIN_DECLS

/* What was recorded, and what is needed to sweep over it. */
typedef struct sq_tape sq_tape;

/* A variable: a name for a value on a tape. 16 bytes, passed by value, never freed. {0} is "no
 * value". id = segment ordinal (40 bits), index (24 bits); ordinals never restart on a tape, so
 * a handle into a forgotten step is recognised as stale, never followed. */
typedef struct sq_var {
    sq_tape *tape;
    uint64_t id;
} sq_var;

/* ---- Making and ending ------------------------------------------------------------------ */

/* A new tape of one precision, bound to params for its life (free the tape first); params may be
 * NULL when no weights are used. Params of another precision are a posted error. NULL only when
 * out of memory. sq_tape_free(NULL) is fine. */
SQ_API sq_tape *sq_tape_new(sq_dtype dtype, sq_params *params);
SQ_API void sq_tape_free(sq_tape *t);

/* Forgets every step and the root, clears the error, keeps the memory, the weight gradients and
 * the seed. Steps count from 0 again; the next run begins (sq_tape_set_run). */
SQ_API void sq_tape_reset(sq_tape *t);

/* The sticky status, and its sentence: "step 12: matmul: inner sizes differ: [4,3] x [2,5]".
 * "" when there is no error. NULL tapes answer SQ_ENOMEM: they were never made. Functions of a
 * variable that has no tape at all return SQ_EVAR. */
SQ_API sq_status sq_tape_status(const sq_tape *t);
SQ_API const char *sq_message(const sq_tape *t);

/* As they were given to sq_tape_new: the precision; the params, or NULL. */
SQ_API sq_dtype sq_tape_dtype(const sq_tape *t);
SQ_API sq_params *sq_tape_params(const sq_tape *t);

/* The seed of random operations (default 0), and the next random stream of the current step:
 * a function of seed, run, step within the run, and how many were taken in this step before
 * (random.h). In a step that sq_unroll calls, taking a stream makes the cell run eagerly; an op with
 * SQ_RANDOM (op.h) does not. */
SQ_API void sq_tape_set_seed(sq_tape *t, uint64_t seed);
SQ_API sq_random sq_tape_random(sq_tape *t);

/* Runs number what is random from one sequence to the next: 0 at first, one more at every
 * sq_tape_reset and every sq_unroll. A loop by hand may begin run n at any step, and should for
 * every sequence that is to have masks of its own. To resume to the bit: save the number and set
 * it (and the seed) on the new tape. An unroll within a step of another is no run of the count: its
 * numbers are a function of where it stands. Fails: SQ_EVALUE inside a step of an unroll. */
SQ_API uint64_t sq_tape_run(const sq_tape *t);
SQ_API void sq_tape_set_run(sq_tape *t, uint64_t n);

/* Threads that plans (graph/plan.h) on this tape run on, 1 to 256; default 1. Every result has the
 * same bits for any n. They start at the first need, sleep between runs, and end with the tape;
 * after fork() the child starts its own. Where the system gives fewer, fewer do the work.
 * Fails: SQ_ERANGE. */
SQ_API void sq_tape_set_threads(sq_tape *t, int32_t n);
SQ_API int32_t sq_tape_threads(const sq_tape *t);

/* The instruction set whose kernels compute what is on this tape: "base", "avx2", "avx512" or "neon",
 * the best one that the processor has and the library was built with. The environment variable
 * SEQGRAD_ISA, read when a tape is made, asks for a lesser one by these names; what the processor does
 * not have, and what is no such name, is as if it had not been asked for, so a program that measures
 * does well to compare. Never NULL; "" of a NULL tape. */
SQ_API const char *sq_tape_isa(const sq_tape *t);

/* Inference: the tape keeps values only, and of these what the next step may still want. The same
 * cells run, and every value has the bits it has with recording.
 *     for (;;) { sq_begin_step(t); y = step(t, self, x, h); ... }        h [n] carried, no sq_cut
 * sq_begin_step forgets every step older than the newest one and than what that one reached back
 * for, so memory is constant however long the stream, and a carried state, or a memory that every
 * step attends to, stays. What a longer silence has to outlive goes along by sq_cut, as ever.
 * sq_unroll keeps the outputs asked for and the last states. Marks (sq_keep_grad, sq_name) and
 * leaves are accepted and cost nothing. Sweeps, sq_derive and reading gradients are errors
 * (SQ_EGRAD) that name the switch.
 * Switched on or off on a tape without steps: a new one, or after sq_tape_reset, which leaves it
 * as it is. Fails: SQ_EVALUE.
 * Cost: per step about that of recording it, without its memory; sq_unroll over some steps at a time, half.
 * An LSTM in float, B = 1, I = 64, H = 128: 12400 ns a step by hand, where recording and keeping takes
 * 13400, and 6800 ns by sq_unroll (medians of five runs of bench_tape --inference, an AMD EPYC with
 * AVX2). */
SQ_API void sq_tape_set_inference(sq_tape *t, bool on);
SQ_API bool sq_tape_inference(const sq_tape *t);

/* Looks at everything that is recorded and swept from here on, and stops at the first number that
 * is infinite or none, or the first gradient of a state that is too large, with a sentence
 * (SQ_ENONFINITE) that tells where it came up:
 *     backward, step 37 of 200, layer 1, gate f, exp [32,256], input -3.1..88.9: gradient grew 4.2x
 *     per step since step 52 and is inf at [3,17]
 * direction; step; layer, for cells whose states are named "1.h"; the first named value (sq_name)
 * that the number leads to, or the state; the operation, its operands and their range; how norms
 * grew step by step up to there. A number from outside (a weight, an input) is told as such. Values
 * are told at the end of their step, or when the status is asked for; a sweep stops at once, and
 * what it added to the gradients of weights is invalid until sq_zero_grads.
 * |dL/dh_t| is the norm of the total gradient of each state after step t; in a loop by hand, where
 * nothing says what a state is, of all together that later steps take from step t.
 * Nothing that is computed changes by a bit. sq_unroll_options has the same for one unroll; unrolls on
 * a watched tape are watched, too. NULL or all-zero ends it; sq_tape_reset does not.
 * Fails: SQ_EVALUE a number is negative or none; SQ_ENOMEM.
 * Cost: eagerly, reading every result once. As a plan what could hide is read while it lies in the
 * nearest cache: an LSTM in float took 2 to 5 % longer with B = 16, I = 32, H = 64, 2 to 6 % with
 * B = 32, I = 128, H = 256, and 13 % with B = 1, I = 8, H = 32, whose steps are a microsecond
 * (a busy machine). Thresholds, a norm of each state a step, take up to 3 % more. */
typedef struct sq_watch {
    bool nonfinite;
    double limit;  /* > 0: |dL/dh_t| above it */
    double growth; /* > 0: |dL/dh_t| above growth * |dL/dh_(t+steps)| */
    int64_t steps; /* of growth; 0 stands for 1 */
} sq_watch;
SQ_API void sq_tape_set_watch(sq_tape *t, const sq_watch *watch);

/* ---- Time ------------------------------------------------------------------------------- */

/* Begins the next time step: what is recorded from here on belongs to it. Steps count 0, 1, ... */
SQ_API void sq_begin_step(sq_tape *t);

/* Ends the current step without beginning another: what follows (a loss over all outputs, say)
 * belongs to no step. Optional. Does nothing outside a step. */
SQ_API void sq_end_step(sq_tape *t);

/* The current step, or -1 outside one. */
SQ_API int64_t sq_current_step(const sq_tape *t);

/* sq_cut -- truncation: forget all but the newest keep_steps steps.
 *
 * The n variables in carry are made to survive: one whose step is forgotten is rewritten in
 * place as a constant of the same value, one whose step is kept stays as it is. Handles into
 * forgotten steps become stale. Values that kept steps import from forgotten ones are kept as
 * constants: the gradient stops there, exactly as in a run started from them. keep_steps = 0 ends
 * the current step. A tape without steps is left as it is.
 * Fails:  SQ_EVAR if a carried variable is itself stale, SQ_ERANGE keep_steps < 0, SQ_ENOMEM;
 *         then nothing is forgotten.
 * Cost:   O(live segments + nodes of the kept ones that import forgotten ones); gives nothing
 *         back to the system: the memory is used again by the next steps. Steps of an unroll
 *         that ran as a plan (graph/unroll.h) share their memory: that of forgotten ones is
 *         used again when the last of them goes. */
SQ_API sq_status sq_cut(sq_tape *t, int64_t keep_steps, sq_var *carry, int32_t n);

/* ---- Values in -------------------------------------------------------------------------- */

/* A constant: copied in, converted to the tape's precision; it gets no gradient. */
SQ_API sq_var sq_input_f32(sq_tape *t, sq_shape shape, const float *values);
SQ_API sq_var sq_input_f64(sq_tape *t, sq_shape shape, const double *values);

/* A leaf: the same, with a gradient that accumulates over sweeps until sq_zero_grads. */
SQ_API sq_var sq_leaf_f32(sq_tape *t, sq_shape shape, const float *values);
SQ_API sq_var sq_leaf_f64(sq_tape *t, sq_shape shape, const double *values);

/* Constants: all zeros; all the same number; one number. */
SQ_API sq_var sq_zeros(sq_tape *t, sq_shape shape);
SQ_API sq_var sq_full(sq_tape *t, sq_shape shape, double value);
SQ_API sq_var sq_constant(sq_tape *t, double value);

/* A weight of the tape's params, at its present version. Cheap: nothing is copied. Taken again
 * in the same step it is the same variable. Fails: SQ_EWEIGHT. */
SQ_API sq_var sq_use(sq_tape *t, sq_weight w);

/* The same value as v, through which no gradient flows. */
SQ_API sq_var sq_detach(sq_var v);

/* ---- Marks ------------------------------------------------------------------------------ */

/* Names a variable (for messages, reports) and keeps its gradient, if it has one. The string is
 * copied. */
SQ_API sq_var sq_name(sq_var v, const char *name);

/* Keeps v's gradient readable after a sweep. Mark before the sweep; something that comes from
 * constants alone, an initial state of zeros say, before its first use: it gets a gradient then
 * (SQ_EGRAD when it is too late). */
SQ_API sq_var sq_keep_grad(sq_var v);

/* ---- Sweeps ----------------------------------------------------------------------------- */

/* The reverse sweep from a scalar, dL/dL = 1. Adds to the gradients of weights and leaves.
 * Fails: whatever was posted before; SQ_ESHAPE not a scalar; SQ_EVAR; SQ_ENOMEM.
 * Cost: about twice the forward's arithmetic. */
SQ_API SQ_CHECKED sq_status sq_backward(sq_var loss);

/* The same from any tensor: seed is dL/dy, of y's shape. */
SQ_API SQ_CHECKED sq_status sq_backward_from_f32(sq_var y, const float *seed);
SQ_API SQ_CHECKED sq_status sq_backward_from_f64(sq_var y, const double *seed);

/* Zeroes the gradients of weights and leaves, and makes them valid again. */
SQ_API void sq_zero_grads(sq_tape *t);

/* The recorded reverse sweep: records dy/dx[i] as variables gx[i], shaped like x[i], so that
 * derivatives can be differentiated again. y is a scalar; for another shape the gradient of its
 * sum is meant. x[i] may be a leaf, a state, any variable, or a weight variable: then every use
 * of that weight counts. Weights and leaves accumulate nothing.
 * Steps recorded before an update are derived through the weights they used.
 * Fails (posts, returns the status, gx[i] have no value): SQ_EVAR; an op that has no adjoint
 * (SQ_EGRAD); SQ_ENOMEM.
 * Cost: a few recorded nodes per node between x and y. */
SQ_API SQ_CHECKED sq_status sq_derive(sq_var y, const sq_var *x, sq_var *gx, int32_t n);

/* ---- Values out ------------------------------------------------------------------------- */

/* True when v has a value on a tape that has not failed. */
SQ_API bool sq_ok(sq_var v);
SQ_API sq_shape sq_shape_of(sq_var v); /* a scalar's shape for a bad handle (posted) */
/* Its name, "" when it has none; valid until its step is cut or it is named again. */
SQ_API const char *sq_name_of(sq_var v);

/* The number of a one-element variable; NaN after an error. */
SQ_API double sq_item(sq_var v);
/* Copies all elements out, converted. Returns the status. */
SQ_API sq_status sq_copy_f32(sq_var v, float *out);
SQ_API sq_status sq_copy_f64(sq_var v, double *out);
/* The elements themselves; NULL when the tape has the other precision (posted) or on error. */
SQ_API const float *sq_view_f32(sq_var v);
SQ_API const double *sq_view_f64(sq_var v);
/* Euclidean norm, accumulated in double. */
SQ_API double sq_norm(sq_var v);

/* The same for dL/dv of the last sweep (of all sweeps since sq_zero_grads for leaves and
 * weights); zeros when the loss does not depend on v.
 * Fails: SQ_EGRAD when the gradient was not kept (the sentence names sq_keep_grad), when v is a
 * constant, when no sweep was made since the last reset, or when a failed sweep left the
 * gradients of weights and leaves invalid. */
SQ_API double sq_grad_item(sq_var v);
SQ_API sq_status sq_grad_copy_f32(sq_var v, float *out);
SQ_API sq_status sq_grad_copy_f64(sq_var v, double *out);
SQ_API double sq_grad_norm(sq_var v);

/* The flat weight gradients, sq_params_size elements in the tape's precision, laid out like the
 * params; writable, so that sums over tapes or machines can be put in place: data-parallel training
 * is the same loop with one all-reduce of this pointer before the update. Valid until weights are
 * added or the tape is freed. NULL after an error or without params. And one weight's part of it,
 * copied. */
SQ_API void *sq_grads(sq_tape *t);
SQ_API sq_status sq_weight_grad_f32(sq_tape *t, sq_weight w, float *out);
SQ_API sq_status sq_weight_grad_f64(sq_tape *t, sq_weight w, double *out);

/* ---- Looking at the tape itself --------------------------------------------------------- */

/* How much a tape holds at present. */
typedef struct sq_tape_stats {
    int64_t steps;
    int64_t nodes;      /* imports included */
    size_t value_bytes; /* live arenas: values, attributes, kept gradients */
    size_t held_bytes;  /* all that the tape has allocated, recycled memory included */
} sq_tape_stats;
SQ_API sq_tape_stats sq_tape_statistics(const sq_tape *t);

/* Checks every invariant of the tape (tape_impl.h lists them). True when all hold; otherwise
 * false and, when buf is not NULL, a sentence in it. For tests and debugging; posts nothing. */
SQ_API bool sq_tape_check(const sq_tape *t, char *buf, size_t n);

SQ_END_DECLS

/* sq_input, sq_leaf, sq_copy ... choose by the pointer's type: _Generic in C, overloads in C++. */
#ifdef __cplusplus
/* clang-format off */
#define SQI_OVERLOAD_IN(ret, name, arg)                                                       \
    static inline ret name(sq_tape *t, arg a, const float *v) { return name##_f32(t, a, v); } \
    static inline ret name(sq_tape *t, arg a, const double *v) { return name##_f64(t, a, v); }
#define SQI_OVERLOAD_OUT(name)                                                        \
    static inline sq_status name(sq_var v, float *out) { return name##_f32(v, out); } \
    static inline sq_status name(sq_var v, double *out) { return name##_f64(v, out); }
SQI_OVERLOAD_IN(sq_var, sq_input, sq_shape)
SQI_OVERLOAD_IN(sq_var, sq_leaf, sq_shape)
SQI_OVERLOAD_OUT(sq_copy)
SQI_OVERLOAD_OUT(sq_grad_copy)
static inline sq_status sq_backward_from(sq_var y, const float *s) { return sq_backward_from_f32(y, s); }
static inline sq_status sq_backward_from(sq_var y, const double *s) { return sq_backward_from_f64(y, s); }
static inline sq_status sq_weight_grad(sq_tape *t, sq_weight w, float *o) { return sq_weight_grad_f32(t, w, o); }
static inline sq_status sq_weight_grad(sq_tape *t, sq_weight w, double *o) { return sq_weight_grad_f64(t, w, o); }
static inline sq_status sq_weight_set(sq_params *p, sq_weight w, const float *v) { return sq_weight_set_f32(p, w, v); }
static inline sq_status sq_weight_set(sq_params *p, sq_weight w, const double *v) { return sq_weight_set_f64(p, w, v); }
static inline sq_status sq_weight_get(const sq_params *p, sq_weight w, float *v) { return sq_weight_get_f32(p, w, v); }
static inline sq_status sq_weight_get(const sq_params *p, sq_weight w, double *v) { return sq_weight_get_f64(p, w, v); }
#undef SQI_OVERLOAD_IN
#undef SQI_OVERLOAD_OUT
/* clang-format on */
#else
#define SQI_BY_IN(name, ptr) \
    _Generic((ptr), float *: name##_f32, const float *: name##_f32, double *: name##_f64,       \
             const double *: name##_f64)
#define SQI_BY_OUT(name, ptr) _Generic((ptr), float * : name##_f32, double * : name##_f64)
/* By the pointer's type, the function of that name with _f32 or _f64 behind it. Variadic, so that
 * (double[]){ 1, 2 } may stand for the array. */
#define sq_input(t, shape, ...) SQI_BY_IN(sq_input, (__VA_ARGS__))(t, shape, __VA_ARGS__)
#define sq_leaf(t, shape, ...) SQI_BY_IN(sq_leaf, (__VA_ARGS__))(t, shape, __VA_ARGS__)
#define sq_backward_from(y, ...) SQI_BY_IN(sq_backward_from, (__VA_ARGS__))(y, __VA_ARGS__)
#define sq_weight_set(p, w, ...) SQI_BY_IN(sq_weight_set, (__VA_ARGS__))(p, w, __VA_ARGS__)
#define sq_copy(v, out) SQI_BY_OUT(sq_copy, out)(v, out)
#define sq_grad_copy(v, out) SQI_BY_OUT(sq_grad_copy, out)(v, out)
#define sq_weight_grad(t, w, out) SQI_BY_OUT(sq_weight_grad, out)(t, w, out)
#define sq_weight_get(p, w, out) SQI_BY_OUT(sq_weight_get, out)(p, w, out)
#endif

#endif
