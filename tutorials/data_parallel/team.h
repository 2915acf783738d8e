/* team.h -- threads that compute the gradient of one batch together; team.c says how. */
#ifndef TEAM_H
#define TEAM_H

#include "model.h"
#include "options.h"

typedef struct team team;

/* Up to n_threads threads for batches of n_shards shards. */
team *team_new(const model *m, int64_t n_threads, int64_t n_shards);
void team_free(team *t);

/* The loss of a batch, computed on n_threads of the threads: windows of z that begin at the
 * BATCH places `start`. Its gradient lies in the flat gradients of team_tape. Dies with the
 * sentence of whatever went wrong. */
double team_gradient(team *t, const float *z, const int64_t *start, int64_t n_threads);

/* The tape that holds the sum: to clip and to step by. */
sq_tape *team_tape(const team *t);

#endif
