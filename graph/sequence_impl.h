/* sequence_impl.h -- what an unroll and the functions over whole sequences share. */
#ifndef SQ_GRAPH_SEQUENCE_IMPL_H
#define SQ_GRAPH_SEQUENCE_IMPL_H

#include "core/tape_impl.h"
#include "graph/unroll.h"

/* Memory for the length of a call; NULL after posting. */
void *sqi_brief(sq_tape *t, sqi_arena *memory, int64_t n, size_t size);

/* 0 <= lengths[b] <= steps, and entries of [T,B] can be numbered; false after posting. */
bool sqi_lengths_are_sane(sq_tape *t, const int32_t *lengths, int64_t steps, int64_t batch);

/* x [rows,..] where taken[row], and 0 elsewhere, whatever x holds there; so its gradient. The first
 * `axes` axes of x are the rows. */
sq_var sqi_take_rows(sq_var x, const float *taken, int32_t axes);

/* Which rows of [T,B] take their step: 1 or 0, by lengths or a mask; NULL after posting. */
float *sqi_taken(sq_tape *t, sqi_arena *memory, const int32_t *lengths, const int32_t *mask,
                 int64_t steps, int64_t batch);

/* x [T,B,..] with 0 where an unroll with these options does not look at it. */
sq_var sqi_clear(sq_var x, const sq_unroll_options *o);

/* Into ids [T*B]: where row b at step t lies when each row is read from its last step to its first;
 * what lies behind its end stays. */
void sqi_reversed_ids(const int32_t *lengths, int64_t steps, int64_t batch, int32_t *ids);

/* y[t,b] = x[ids[t*B+b]], rows numbered over [T,B]. */
sq_var sqi_pick_rows(sq_var x, const int32_t *ids);

#endif
