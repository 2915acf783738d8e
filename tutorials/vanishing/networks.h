/* networks.h -- the nine networks whose gradients are compared, as they are before any training. */
#ifndef NETWORKS_H
#define NETWORKS_H

#include <seqgrad/seqgrad.h>

enum { N_NETWORKS = 9, N_INPUTS = 8 };

/* One row of the comparison. theory: what multiplies |dh_T/dh_t| with every step further back, after
 * linearisation; NaN where nobody has told. */
typedef struct network_kind {
    const char *title;
    int style;     /* of its curve (common/picture.h) */
    double number; /* spectral radius, gain or forget bias */
    double theory;
    const char *because;
} network_kind;

/* The table; the LSTM's theories are sigmoid(b). */
network_kind network_kind_of(int i);

typedef struct network {
    sq_params *params;
    union {
        sq_rnn rnn;
        sq_gru gru;
        sq_lstm lstm;
    } weights;
    sq_cell cell;
    int32_t shown; /* the state whose gradient is drawn: h, but c of an LSTM */
} network;

/* Network i of a width, in double precision. Dies when there is no memory. */
network *network_new(int i, int64_t hidden, uint64_t seed);
void network_free(network *n);

#endif
