/* init.h -- values a weight may start from. The stream of random numbers is keyed by the seed
 * and the weight's name alone, so other weights, another order of adding or calling, another
 * params or precision change nothing.
 *
 * fan_in = rows and fan_out = columns of a matrix [in,out]; a vector counts as [1,n]. Weights
 * of rank 3 or 4 count their leading axes as rows. All post on the params and return its
 * status: SQ_EWEIGHT for an unknown weight, SQ_EVALUE for a bound that is negative or not
 * finite, SQ_ESHAPE where a matrix is needed, SQ_ENOMEM. The error stays on the params, so it
 * may be checked once, after the last weight. */
#ifndef SQ_CELLS_INIT_H
#define SQ_CELLS_INIT_H

#include "../core/params.h"

SQ_BEGIN_DECLS

/* Every element 0, or `value`. */
SQ_API sq_status sq_init_zeros(sq_params *p, sq_weight w);
SQ_API sq_status sq_init_constant(sq_params *p, sq_weight w, double value);
/* Uniform in [-bound, bound]. sq_init_uniform_hidden is the bound 1/sqrt(hidden) of recurrent
 * cells. */
SQ_API sq_status sq_init_uniform(sq_params *p, sq_weight w, double bound, uint64_t seed);
SQ_API sq_status sq_init_uniform_hidden(sq_params *p, sq_weight w, int64_t hidden,
                                        uint64_t seed);
/* Normal with mean 0 and the given standard deviation. */
SQ_API sq_status sq_init_normal(sq_params *p, sq_weight w, double deviation, uint64_t seed);
/* Glorot & Bengio 2010: uniform with bound gain sqrt(6/(fan_in + fan_out)). */
SQ_API sq_status sq_init_glorot(sq_params *p, sq_weight w, double gain, uint64_t seed);
/* He et al. 2015: normal with deviation sqrt(2/fan_in). */
SQ_API sq_status sq_init_he(sq_params *p, sq_weight w, uint64_t seed);
/* Saxe et al. 2013: gain times a matrix with orthonormal rows or columns, whichever are fewer,
 * uniformly distributed (Householder QR of a normal matrix with the signs of R's diagonal moved
 * into Q). Matrices only. */
SQ_API sq_status sq_init_orthogonal(sq_params *p, sq_weight w, double gain, uint64_t seed);
/* Le et al. 2015: gain on the diagonal, zeros elsewhere. Matrices only. */
SQ_API sq_status sq_init_identity(sq_params *p, sq_weight w, double gain);

/* Scales the values the weight has now so that its spectral radius, the largest |eigenvalue|, is
 * the one given (Jaeger 2001): the factor by which h U grows in the long run, per step, where
 * nothing squashes it. Square matrices only. Fails besides: SQ_EVALUE a matrix whose eigenvalues
 * are all 0. To about 1e-12; the last bits may differ between instruction sets.
 * Cost: 50 products of [n,n] matrices in double: 0.1 s at n = 256, 4 s at n = 1024. */
SQ_API sq_status sq_init_spectral_radius(sq_params *p, sq_weight w, double radius);

/* Tallec & Ollivier 2018: the biases of the gates that keep and that write a memory, so that
 * units remember for 1 to about longest steps:
 *     b_keep = ln u,   b_write = -ln u,   u uniform in [1, longest - 1), new for every unit
 * Either may be {0}: there is no such gate. Both have one shape; the numbers are of keep's name
 * (write's without one). SQ_EVALUE: longest below 2 or infinite.
 *                                  keep      write
 *     lstm peephole lnlstm lstmp   b[1]      b[0]       f, i
 *     greff                        b[1]      b[0]       with CIFG {0} and b[0], with NFG neither
 *     cifg                         b[0]      {0}        f
 *     gru, lngru                   b[1]      {0}        z, which keeps the old state
 *     mgu                          {0}       b          f, which takes the candidate */
SQ_API sq_status sq_init_chrono(sq_params *p, sq_weight keep, sq_weight write, double longest,
                                uint64_t seed);

SQ_END_DECLS

#endif
