/* op.h -- what a primitive is. Users write their own with this header alone.
 *
 * An op is a constant descriptor: a shape rule, a forward, its derivative three times (reverse,
 * forward mode, and as recorded expressions so that it can be differentiated again). Five laws:
 *   1. forward *sets* y; vjp and jvp *add*.
 *   2. An op sees only its sq_call -- addresses, shapes, attributes -- never a tape. Whoever
 *      calls it (recorder, replay, plan) calls the same function and gets the same bits.
 *   3. One output block. Several results are views of it.
 *   4. An op that fuses names the composition it must equal; the generic test compares.
 *   5. Flags say what a plan may assume.
 * The notation of the field: for y = f(x), vjp (vector-Jacobian product) is gx += J^T gy,
 * jvp (Jacobian-vector product) is dy += J dx; k names the operand. */
#ifndef SQ_CORE_OP_H
#define SQ_CORE_OP_H

#include "dtype.h"
#include "error.h"
#include "shape.h"
#include "tape.h"

SQ_BEGIN_DECLS

/* When an op with SQ_RANDOM draws new numbers (random.h): in every step; once for all steps of a
 * run, such as an unroll; or never, the stream being given. */
typedef enum sq_drawn { SQ_PER_STEP, SQ_PER_SEQUENCE, SQ_AS_GIVEN } sq_drawn;

/* Where an op with SQ_RANDOM takes its numbers from. Its constructor sets `when` alone; the tape
 * fills in the rest as the op is recorded, and a plan makes the stream of every step anew. An
 * adjoint that hands its attributes on meets the same numbers again. */
typedef struct sq_draw {
    sq_drawn when;
    bool made;        /* what follows is filled in; never with SQ_AS_GIVEN */
    sq_random stream; /* of this execution: what the op reads */
    uint64_t ordinal; /* of the op among the random ones of its step */
} sq_draw;

/* What the caller fixed besides the operands: numbers, axes and sizes, ids. Unused entries 0.
 * The tape copies all of it, the arrays included, when the op is recorded. */
typedef struct sq_attr {
    double p[3];         /* real parameters: alpha, lo, hi */
    int64_t k[6];        /* axes, starts, sizes, a reduction */
    const int32_t *ids;  /* row ids or labels, n_ids of them */
    const int32_t *mask; /* NULL, or n_ids entries: 0 leaves the position out */
    int64_t n_ids;
    const void *user; /* bytes of a user's own op */
    size_t user_size;
    sq_draw draw; /* of an op with SQ_RANDOM */
} sq_attr;

struct sq_kernels; /* the arithmetic of one instruction set; core/kernels/kernels.h */

/* One execution of an op. All addresses hold dense row-major elements of `dtype`. */
typedef struct sq_call {
    const struct sq_op *op;
    int32_t n; /* operands */
    sq_dtype dtype;
    const sq_shape *xs;    /* operand shapes, n of them */
    sq_shape ys;           /* result shape */
    const sq_attr *attr;   /* never NULL */
    const void *const *x;  /* operand values */
    void *y;               /* result; forward sets it, the others read it */
    void *const *gx;       /* vjp: gradient of operand k to add to */
    const void *gy;        /* vjp: gradient of the result */
    const void *const *dx; /* jvp: tangent of operand k */
    void *dy;              /* jvp: tangent of the result to add to */
    int64_t row;           /* which row of the whole batch y's first row is: 0, but where a plan
                              deals out the rows of an op with SQ_ROWWISE */
    const struct sq_kernels *kern;
} sq_call;

/* Flags of an op. */
enum {
    SQ_ROWWISE =
        1,       /* row b of y depends on row b of operands that have as many rows as y, and on
                       operands of lower rank as a whole; an operand stretched along the row axis
                       itself is for the planner to refuse */
    SQ_VIEW = 2, /* y may be a part of operand 0's memory: see `view` */
    SQ_RANDOM =
        4, /* it takes random numbers from attr->draw.stream. With SQ_ROWWISE the row of a
                      number is c->row + that in y, so that it is the same for any threads */
    SQ_LINEAR =
        8 /* vjp reads neither operands nor y, their addresses may be NULL: nothing needs to
                      be kept for it */
};

/* A case for the generic tests: operand shapes, attributes, and the interval values are drawn
 * from. A table of them ends with n = 0. */
typedef struct sq_sample {
    int32_t n;
    double lo, hi;
    sq_shape in[3];
    sq_attr attr;
} sq_sample;

/* name, shape and forward are mandatory; without vjp a sweep that reaches the op is an error,
 * without adjoint sq_derive is; the rest may be 0. */
typedef struct sq_op {
    const char *name;
    const char *formula; /* "y = tanh x" */
    int32_t arity;       /* operands, or -1: one or more */
    uint32_t flags;
    int32_t row; /* private to a family of ops that share functions; 0 elsewhere */

    /* The result's shape; false after sq_post when the operands do not fit. */
    bool (*shape)(sq_tape *t, int32_t n, const sq_shape *in, const sq_attr *attr,
                  sq_shape *out);

    void (*forward)(const sq_call *c);
    void (*vjp)(const sq_call *c, int32_t k); /* c->gx[k] += J_k^T c->gy */
    void (*jvp)(const sq_call *c, int32_t k); /* c->dy += J_k c->dx[k] */

    /* Records the gradient of operand k; x, y and gy are variables of the current tape. A
     * result without a value means "identically zero". NULL: not differentiable again. */
    sq_var (*adjoint)(const sq_var *x, sq_var y, sq_var gy, const sq_attr *attr, int32_t k);

    /* With SQ_VIEW: where the result starts in operand 0, in elements, or -1 when it must be
     * copied after all (then forward runs). */
    int64_t (*view)(const sq_shape *in, const sq_attr *attr);

    /* Of an op that fuses: the composition it must equal. NULL elsewhere. */
    sq_var (*means)(const sq_var *x, const sq_attr *attr);

    const sq_sample *samples;
} sq_op;

/* Records y = op(x[0..n-1]) at the end of the tape the operands belong to and computes it.
 * attr may be NULL. Returns no value, silently, when that tape has failed before; otherwise the
 * first mistake is posted: no value as an operand, stale, of two tapes, an out-of-date weight,
 * the op's own shape rule, SQ_ENOMEM.
 * Cost: one node and the result's bytes, kept until the step is cut or the tape reset. */
SQ_API sq_var sq_apply(const sq_op *op, const sq_var *x, int32_t n, const sq_attr *attr);

/* For shape rules: posts "step 12: NAME: <sentence>" on the tape and returns false. */
SQ_API bool sq_post(sq_tape *t, sq_status status, const char *fmt, ...) SQ_PRINTF(3, 4);

SQ_END_DECLS

#endif
