/* tangent_impl.h -- where tangents lie, for those who bring them through a span (graph). */
#ifndef SQ_CORE_TANGENT_IMPL_H
#define SQ_CORE_TANGENT_IMPL_H

#include "core/tape_impl.h"

/* The tangent of a node in the sweep at work, NULL for zeros. Of an import that of its source. */
const void *sqi_tangent_of(const sq_tape *t, const sqi_node *n);

/* Where a tangent is added to: zeroed at the first touch; NULL after posting. */
void *sqi_tangent_open(sq_tape *t, sqi_arena *memory, sqi_node *n);

/* The sweep at work; what it keeps to its end lies in `kept`. */
typedef struct sqi_tangents sqi_tangents;
sqi_arena *sqi_tangents_kept(sqi_tangents *s);

/* Takes tangents through a step that lies beside the line (rerun.c), all of them into `memory`. False
 * after posting. */
bool sqi_tangents_aside(sqi_tangents *s, const sqi_segment *g, sqi_arena *memory);

#endif
