/* shape_impl.h -- shape.h's questions by address and inline, for what is asked at every
 * operation: a shape passed by value is copied to memory first. */
#ifndef SQ_CORE_SHAPE_IMPL_H
#define SQ_CORE_SHAPE_IMPL_H

#include "core/shape.h"

#include <stddef.h>
#include <stdint.h>

static inline int64_t sqi_shape_size(const sq_shape *s)
{
    int64_t n = 1;
    for (int32_t i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

static inline bool sqi_shape_equal(const sq_shape *a, const sq_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank && i < SQ_MAX_RANK; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

static inline bool sqi_shape_valid(const sq_shape *s)
{
    const int64_t room = (int64_t)(PTRDIFF_MAX / 4 / (ptrdiff_t)sizeof(double));
    int64_t size = 1;
    if (s->rank < 0 || s->rank > SQ_MAX_RANK) return false;
    for (int32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0 || s->dim[i] > room) return false;
        if (s->dim[i] > 0 && (__builtin_mul_overflow(size, s->dim[i], &size) || size > room))
            return false;
    }
    return true;
}

#endif
