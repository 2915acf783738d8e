/* cells.h -- the classic recurrent cells, as compositions of public ops.
 *
 * Each is a struct of weights, a function that adds and initialises them, and a function that
 * gives the sq_cell. The equations stand above each; x is [B,I], h and c are [B,H], vectors are
 * rows, * between tensors of one shape is elementwise. Nothing here is privileged: a cell of
 * your own is written the same way (README).
 *
 *     sq_lstm w;
 *     sq_lstm_init(&w, params, "lstm", n_in, n_hid, seed);
 *     sq_cell cell = sq_lstm_cell(&w);
 *
 * The init functions name the weights prefix.W_i and so on, draw every matrix and bias
 * uniformly from [-1/sqrt(H), 1/sqrt(H)] (init.h offers more), and return the params' status:
 * SQ_EWEIGHT for a prefix used twice, SQ_ESHAPE for sizes below 0, SQ_EVALUE for a form that
 * does not exist, SQ_ENOMEM. The error stays on the params: it may be checked once, after the
 * last of them.
 *
 * sq_NAME_cell gives the cell of such a struct, which points into it: the struct must outlive
 * every use of the cell and must not be moved while in use; it owns no memory. */
#ifndef SQ_CELLS_CELLS_H
#define SQ_CELLS_CELLS_H

#include "../core/cell.h"
#include "../core/params.h"

SQ_BEGIN_DECLS

/* Elman 1990:   h' = act(x W + b + h U)        state h; output h' */
typedef enum sq_rnn_activation { SQ_RNN_TANH, SQ_RNN_RELU, SQ_RNN_SIGMOID } sq_rnn_activation;
typedef struct sq_rnn {
    sq_weight W, b, U;
    sq_rnn_activation activation;
    int64_t width[1];
} sq_rnn;
SQ_API sq_status sq_rnn_init(sq_rnn *w, sq_params *p, const char *prefix, int64_t in,
                             int64_t hidden, sq_rnn_activation activation, uint64_t seed);
SQ_API sq_cell sq_rnn_cell(const sq_rnn *w);

/* Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000:
 *     i = sigmoid(x W_i + b_i + h U_i)         f = sigmoid(x W_f + b_f + h U_f)
 *     g = tanh   (x W_g + b_g + h U_g)         o = sigmoid(x W_o + b_o + h U_o)
 *     c' = f * c + i * g                       h' = o * tanh(c')
 * states h, c; output h'. Index 0..3 = i f g o. sq_lstm_init sets b_f to 1
 * (Jozefowicz 2015). */
typedef struct sq_lstm {
    sq_weight W[4], b[4], U[4];
    int64_t width[2];
} sq_lstm;
SQ_API sq_status sq_lstm_init(sq_lstm *w, sq_params *p, const char *prefix, int64_t in,
                              int64_t hidden, uint64_t seed);
/* Sets every element of b_f; it fails as sq_init_constant does (init.h). */
SQ_API sq_status sq_lstm_set_forget_bias(const sq_lstm *w, sq_params *p, double bias);
SQ_API sq_cell sq_lstm_cell(const sq_lstm *w);

/* Cho et al. 2014:
 *     r = sigmoid(x W_r + b_r + h U_r)         z = sigmoid(x W_z + b_z + h U_z)
 *     reset before:  n = tanh(x W_n + b_n + (r * h) U_n)
 *     reset after:   n = tanh(x W_n + b_n + r * (h U_n + d_n))     (as cuDNN, PyTorch, oneDNN)
 *     h' = n + z * (h - n)   =   (1 - z) * n + z * h
 * state h; output h'. Index 0..2 = r z n. d_n exists in the reset-after form only. */
typedef enum sq_gru_reset { SQ_RESET_AFTER, SQ_RESET_BEFORE } sq_gru_reset;
typedef struct sq_gru {
    sq_weight W[3], b[3], U[3], d_n;
    sq_gru_reset reset;
    int64_t width[1];
} sq_gru;
SQ_API sq_status sq_gru_init(sq_gru *w, sq_params *p, const char *prefix, int64_t in,
                             int64_t hidden, sq_gru_reset reset, uint64_t seed);
SQ_API sq_cell sq_gru_cell(const sq_gru *w);

/* Minimal gated unit, Zhou et al. 2016:
 *     f = sigmoid(x W + b + h U)     c = tanh(x V + d + (f * h) R)     h' = h + f * (c - h)
 * state h; output h'. */
typedef struct sq_mgu {
    sq_weight W, U, b, V, R, d;
    int64_t width[1];
} sq_mgu;
SQ_API sq_status sq_mgu_init(sq_mgu *w, sq_params *p, const char *prefix, int64_t in,
                             int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_mgu_cell(const sq_mgu *w);

/* The LSTM with peepholes, Gers & Schmidhuber 2000, Graves 2013; p are vectors [H]:
 *     i = sigmoid(x W_i + b_i + h U_i + p_i * c)
 *     f = sigmoid(x W_f + b_f + h U_f + p_f * c)
 *     g = tanh   (x W_g + b_g + h U_g)                  c' = f * c + i * g
 *     o = sigmoid(x W_o + b_o + h U_o + p_o * c')       h' = o * tanh(c')
 * states h, c; output h'. Index 0..3 = i f g o. sq_peephole_init sets b_f to 1. */
typedef struct sq_peephole {
    sq_weight W[4], b[4], U[4], p_i, p_f, p_o;
    int64_t width[2];
} sq_peephole;
SQ_API sq_status sq_peephole_init(sq_peephole *w, sq_params *p, const char *prefix, int64_t in,
                                  int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_peephole_cell(const sq_peephole *w);

/* The layer-normalised LSTM, Ba et al. 2016. For every gate k of i f g o
 *     z_k = LN(x W_k) * gx_k + LN(h U_k) * gh_k + b_k
 *     i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)       g = tanh(z_g)
 *     c' = f * c + i * g                  h' = o * tanh(LN(c') * g_c + b_c)
 * with LN(v) = (v - mean) / sqrt(var + 1e-5) over the H numbers of a row. Each product of each
 * gate is normalised by itself; the paper normalises the 4H numbers of a product together.
 * states h, c; output h'. Index 0..3 = i f g o. All gains start at 1, b_c at 0, b_f at 1. */
typedef struct sq_lnlstm {
    sq_weight W[4], b[4], U[4], gx[4], gh[4], g_c, b_c;
    int64_t width[2];
} sq_lnlstm;
SQ_API sq_status sq_lnlstm_init(sq_lnlstm *w, sq_params *p, const char *prefix, int64_t in,
                                int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_lnlstm_cell(const sq_lnlstm *w);

/* A cell made of cells: layer k's output is layer k+1's input. Its states are those of all
 * layers in order, named "0.h", "0.c", "1.h", ...; the output is the last layer's. The layers'
 * structs must outlive it. A state without a name is called by its number, "1.0". NULL when out
 * of memory or when n < 1. Freed by sq_stack_free; sq_stack_cell gives the cell. */
typedef struct sq_stack_cells sq_stack_cells;
SQ_API sq_stack_cells *sq_stack_new(const sq_cell *layers, int32_t n);
SQ_API void sq_stack_free(sq_stack_cells *s);
SQ_API sq_cell sq_stack_cell(const sq_stack_cells *s);

SQ_END_DECLS

#endif
