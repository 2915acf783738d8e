/* optim_impl.h -- what an optimizer carries from update to update, for saving and resuming. */
#ifndef SQ_CORE_OPTIM_IMPL_H
#define SQ_CORE_OPTIM_IMPL_H

#include "core/optim.h"

typedef struct sqi_optim_state {
    sq_params *params;
    const char *kind; /* "ADAM" */
    double *rate;
    int64_t *updates;
    int64_t *ages;   /* of every weight: updates it took part in */
    void *moment[2]; /* flat, in the params' layout; NULL where the kind keeps none */
} sqi_optim_state;

/* The state in place, grown to all present weights; valid until a weight is added. False when
 * out of memory: nothing is posted. Without weights ages and moments are NULL. */
bool sqi_optim_state_of(sq_optim *o, sqi_optim_state *s);

#endif
