/* jacobian_impl.h -- a frame of directions that goes along with a run. */
#ifndef SQ_GRAPH_JACOBIAN_IMPL_H
#define SQ_GRAPH_JACOBIAN_IMPL_H

#include "graph/matrix_impl.h"
#include "graph/moment_impl.h"

typedef struct sqi_frame {
    int64_t n, size;  /* n directions of `size` numbers */
    double *q;        /* [n,size] */
    double *r;        /* [n,n] room for the triangle */
    double *j, *next; /* [size,size] */
} sqi_frame;

/* The first n axes. False after posting; free it either way. */
bool sqi_frame_new(sqi_frame *f, sq_tape *t, int64_t n, int64_t size);
void sqi_frame_free(sqi_frame *f);

/* Every direction q becomes J q. False after posting; then f is as it was but for j and next. */
bool sqi_frame_step(sqi_frame *f, const sq_unrolled *u, int64_t step, int64_t row);

/* Begins a public function about step t: false when something is wrong with what it is asked. */
bool sqi_jacobian_begin(const sq_unrolled *u, const char *doing, int64_t t, int64_t row,
                        int32_t state);

#endif
