/* dtype.h -- float or double, one per tape and per params, both in one library.
 *
 * Bodies that need to know which are written once against `real` in *_tmpl.h files and compiled
 * twice; everything else is blind to it. */
#ifndef SQ_CORE_DTYPE_H
#define SQ_CORE_DTYPE_H

#include "export.h"

SQ_BEGIN_DECLS

/* The precision of all numbers of a tape, of a params. */
typedef enum sq_dtype { SQ_F32, SQ_F64 } sq_dtype;

/* Bytes of one element: 4 or 8. */
static inline size_t sq_dtype_size(sq_dtype d)
{
    return d == SQ_F32 ? sizeof(float) : sizeof(double);
}

/* "float32" or "float64". */
static inline const char *sq_dtype_name(sq_dtype d)
{
    return d == SQ_F32 ? "float32" : "float64";
}

SQ_END_DECLS

#endif
