/* tables.h -- every table of kernels that this processor runs, and arrays in either precision. */
#ifndef SQT_TABLES_H
#define SQT_TABLES_H

#include "core/kernels/kernels.h"
#include "tests/support/support.h"

static const char *const isa_names[] = {
#define SQI_ROW(name) #name,
    SQI_ISAS(SQI_ROW)
#undef SQI_ROW
};

/* The tables in turn: for (int i = 0; (k = next_table(&i));) */
static inline const sq_kernels *next_table(int *i)
{
    while (*i < COUNT(isa_names)) {
        const sq_kernels *k = sqi_kernels_named(isa_names[(*i)++]);
        if (k) return k;
    }
    return NULL;
}

#define FOR_TABLES(k)                                 \
    for (int i__ = 0, once__ = 1; once__; once__ = 0) \
        for (const sq_kernels *k; (k = next_table(&i__));)

/* ---- Arrays of either precision ---------------------------------------------------------- */

static inline double get(sq_dtype d, const void *x, int64_t i)
{
    return d == SQ_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static inline void put(sq_dtype d, void *x, int64_t i, double v)
{
    if (d == SQ_F32) ((float *)x)[i] = (float)v;
    else ((double *)x)[i] = v;
}

static inline void *at(sq_dtype d, const void *x, int64_t i)
{
    return (char *)(uintptr_t)x + i * (int64_t)sq_dtype_size(d);
}

static inline double unit(sq_dtype d) { return d == SQ_F32 ? 0x1p-24 : 0x1p-53; }

#endif
