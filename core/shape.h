/* shape.h -- the shape of a tensor, by value, rank 0 to 4.
 *
 * Tensors are dense and row-major. The one legend, used everywhere:
 *     B batch rows   T time steps   I input width   H hidden width   O output width
 * Sequences are time-major, [T,B,I]; one step sees [B,I]. A size of 0 is legal: B = 0 or T = 0
 * computes nothing and is no error. */
#ifndef SQ_CORE_SHAPE_H
#define SQ_CORE_SHAPE_H

#include "export.h"

SQ_BEGIN_DECLS

/* Axes of a tensor at most. */
#define SQ_MAX_RANK 4

/* A plain value, made by sq_scalar, sq_vec, sq_mat and the like. */
typedef struct sq_shape {
    int32_t rank;
    int64_t dim[SQ_MAX_RANK]; /* dim[0] outermost; entries from rank on are 0 */
} sq_shape;

/* [a,b,c,d]. And the first `rank` of a, b, c, rank 0 to 3, which the shorter names are made of. */
static inline sq_shape sq_shape4(int64_t a, int64_t b, int64_t c, int64_t d)
{
    sq_shape s;
    s.rank = 4;
    s.dim[0] = a;
    s.dim[1] = b;
    s.dim[2] = c;
    s.dim[3] = d;
    return s;
}
static inline sq_shape sq_shape_of_rank(int32_t rank, int64_t a, int64_t b, int64_t c)
{
    sq_shape s = sq_shape4(a, b, c, 0);
    s.rank = rank;
    return s;
}

/* [] one number. [n] a vector. [rows,cols] a matrix. [a,b,c] for instance a sequence [T,B,I]. */
static inline sq_shape sq_scalar(void) { return sq_shape_of_rank(0, 0, 0, 0); }
static inline sq_shape sq_vec(int64_t n) { return sq_shape_of_rank(1, n, 0, 0); }
static inline sq_shape sq_mat(int64_t rows, int64_t cols)
{
    return sq_shape_of_rank(2, rows, cols, 0);
}
static inline sq_shape sq_shape3(int64_t a, int64_t b, int64_t c)
{
    return sq_shape_of_rank(3, a, b, c);
}

/* Number of elements; 1 for a scalar. Only for valid shapes. */
SQ_API int64_t sq_shape_size(sq_shape s);

/* True when rank is 0..4, no size is negative and the size in bytes fits an object. */
SQ_API bool sq_shape_valid(sq_shape s);

/* The same rank and the same sizes. */
SQ_API bool sq_shape_equal(sq_shape a, sq_shape b);

/* Writes "[4,3]" ("[]" for a scalar) into buf and returns buf. */
#define SQ_SHAPE_TEXT 96
SQ_API const char *sq_shape_text(sq_shape s, char buf[SQ_SHAPE_TEXT]);

/* THE broadcast rule, NumPy's: align at the right; equal sizes match, 1 stretches, a missing
 * axis counts as 1. False when the shapes do not combine; *out is then untouched. */
SQ_API bool sq_shape_broadcast(sq_shape a, sq_shape b, sq_shape *out);

SQ_END_DECLS

#endif
