/* random_kernels.h -- the loops of dropout and zoneout, by instruction set.
 *
 * The words of sq_random_word are made many blocks at a time, each lane one block of the generator:
 * integers, so every table gives the same bits. */
#ifndef SQ_OPS_RANDOM_KERNELS_H
#define SQ_OPS_RANDOM_KERNELS_H

#include "ops/ops_impl.h"

/* y[r,c] (=, += with add) x[r,c] m, over rows r of cols; m is scale where
 * sq_random_word(stream, row + r, c) >= threshold, else 0; with `below` the other way round. Where
 * there is an `other`, y = x where the word is, else other, and no more. */
typedef struct sqi_masking {
    sq_random stream;
    int64_t row, rows, cols;
    uint32_t threshold;
    double scale;
    const void *x, *other;
    void *y;
    bool add, below;
} sqi_masking;

/* By sq_dtype. */
typedef void sqi_mask_kernel(const sqi_masking *m);
#define SQI_ROW(name) extern sqi_mask_kernel *const sqi_mask_##name[2];
SQI_ISAS(SQI_ROW)
#undef SQI_ROW

#endif
