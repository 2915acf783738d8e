/* pool_impl.h -- the worker threads of one tape.
 *
 * A job is one function that every worker runs with its own number, 0 to n-1; the caller is
 * worker 0. Inside a job workers meet at barriers. They spin briefly, then sleep. */
#ifndef SQ_CORE_POOL_IMPL_H
#define SQ_CORE_POOL_IMPL_H

#include "core/export.h"

typedef struct sqi_workers sqi_workers;

typedef void sqi_job(void *context, sqi_workers *w, int32_t worker, int32_t n);

/* Runs the job on up to n threads and returns when all are done. *w keeps the threads for the next
 * run (NULL at first). With n = 1, or when no thread can be started, the caller does it alone
 * (then n = 1 is what the job sees); a job must give the same result for every n. */
void sqi_workers_run(sqi_workers **w, int32_t n, sqi_job *job, void *context);

/* Every worker of the running job waits here for the others. w may be NULL when n = 1. */
void sqi_workers_meet(sqi_workers *w);

/* Ends the threads; NULL is fine. In a forked child, whose threads do not exist, only frees. */
void sqi_workers_free(sqi_workers *w);

#endif
