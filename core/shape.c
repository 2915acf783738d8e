/* shape.c -- shapes by value, and the broadcast rule that the whole library shares.
 *
 * A valid shape's bytes fit an object with room to spare: the product of its nonzero sizes,
 * taken as doubles, stays below a quarter of the address space. Zeros are left out of that
 * product so that no part of a shape (a row count, a stride) can overflow either. */
#include "core/shape_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int64_t sq_shape_size(sq_shape s) { return sqi_shape_size(&s); }
bool sq_shape_valid(sq_shape s) { return sqi_shape_valid(&s); }
bool sq_shape_equal(sq_shape a, sq_shape b) { return sqi_shape_equal(&a, &b); }

const char *sq_shape_text(sq_shape s, char buf[SQ_SHAPE_TEXT])
{
    if (s.rank < 0 || s.rank > SQ_MAX_RANK) {
        (void)snprintf(buf, SQ_SHAPE_TEXT, "[rank %" PRId32 "]", s.rank);
        return buf;
    }
    size_t used = 1;
    memcpy(buf, "[", 2);
    for (int32_t i = 0; i < s.rank; i++)
        used += (size_t)snprintf(buf + used, SQ_SHAPE_TEXT - used, "%s%" PRId64,
                                 i > 0 ? "," : "", s.dim[i]);
    assert(used + 2 <= SQ_SHAPE_TEXT);
    memcpy(buf + used, "]", 2);
    return buf;
}

/* Size of the axis that is `back` places from the right; 1 where there is none. */
static int64_t size_from_right(const sq_shape *s, int32_t back)
{
    return back < s->rank ? s->dim[s->rank - 1 - back] : 1;
}

bool sq_shape_broadcast(sq_shape a, sq_shape b, sq_shape *out)
{
    sq_shape y = sq_scalar();
    if (sqi_shape_equal(&a, &b)) {
        *out = a;
        return true;
    }
    y.rank = a.rank > b.rank ? a.rank : b.rank;
    for (int32_t back = 0; back < y.rank; back++) {
        int64_t m = size_from_right(&a, back);
        int64_t n = size_from_right(&b, back);
        if (m != n && m != 1 && n != 1) return false;
        y.dim[y.rank - 1 - back] = m == 1 ? n : m;
    }
    if (!sqi_shape_valid(&y)) /* [n,1] with [1,n] may be too large although both exist */
        return false;
    *out = y;
    return true;
}
