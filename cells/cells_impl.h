/* cells_impl.h -- what the cells share beside the public ops: adding one of their weights. */
#ifndef SQ_CELLS_CELLS_IMPL_H
#define SQ_CELLS_CELLS_IMPL_H

#include "core/params.h"

/* Where a cell's weights go: names begin with prefix and a dot (with neither when the prefix is
 * NULL or empty), values are uniform in [-1/sqrt(H), 1/sqrt(H)) with H = hidden. */
typedef struct sqi_cell_weights {
    sq_params *params;
    const char *prefix;
    int64_t hidden;
    uint64_t seed;
} sqi_cell_weights;

/* Adds prefix.name. Fails as sq_params_add: {0}, posted on the params. */
sq_weight sqi_cell_weight(const sqi_cell_weights *to, const char *name, sq_shape shape);

#endif
