/* decay.h -- |dh_T/dh_t|: the spectral norm of a product of Jacobians, for every t. */
#ifndef DECAY_H
#define DECAY_H

#include "networks.h"
#include "../common/meter.h"

/* Of one network over T steps. Everything is indexed by k, how many steps back from the end. */
typedef struct decay {
    int64_t steps;     /* T */
    double *ln_norm;   /* [T + 1] ln |dh_T/dh_(T-k)|, the largest singular value */
    double *ln_length; /* [T + 1] the same with Frobenius' norm, as the library tells it */
    double factor;     /* measured per step, over the half of the way that lies furthest back */
    double lyapunov;   /* e^lambda of the run's largest Lyapunov exponent */
} decay;

/* Inputs are normal with deviation `drive`, the same for every network. The meter moves on by `steps`,
 * under a title. Dies with the tape's sentence when something goes wrong. */
decay decay_of(const network *n, int64_t steps, double drive, uint64_t seed, meter *m,
               const char *title);
void decay_free(decay *d);

#endif
