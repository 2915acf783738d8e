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
#include "../core/op.h"
#include "../core/params.h"

SQ_BEGIN_DECLS

/* Dropout without loss of memory, Semeniuta, Severyn & Barth 2016: it acts on the candidate, on what
 * a step would write, and never on what the cell keeps. m is 0 with probability rate, else
 * 1/(1 - rate), new at every step (SQ_PER_STEP) or one for all steps of a run (SQ_PER_SEQUENCE):
 *     c' = f * c + i * (g * m)                LSTM and its relatives
 *     h' = (1 - z) * (n * m) + z * h          GRU; in the MGU f writes the candidate c * m
 * Every gated cell here has it as `drop`; 0, as the init functions leave it, is none. Training and
 * scoring are two cells over the same weights, not two modes of one:
 *
 *     sq_lstm wet = w;
 *     wet.drop.rate = 0.25;
 *     sq_cell training = sq_lstm_cell(&wet), scoring = sq_lstm_cell(&w);
 *
 * A rate outside [0,1) is SQ_ERANGE, posted as a step is recorded. Backward meets the same masks, and
 * the cells run as plans. What is named "g" (n of a GRU) is the candidate before m. Dropout of inputs,
 * outputs and h, and zoneout, are cells around any cell (around.h). */
typedef struct sq_drop {
    double rate;
    sq_drawn mask;
} sq_drop;

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
/* The IRNN of Le, Jaitly & Hinton 2015, a recipe for the cell above: relu, U = gain times the
 * identity, b = 0, W normal with deviation 0.001. At a gain of 1 it keeps a positive state as it
 * is until x says otherwise; below 1 (the paper's 0.01, where memory is to be short) it forgets.
 * Fails as sq_rnn_init; SQ_EVALUE for a gain that is not finite. */
SQ_API sq_status sq_irnn_init(sq_rnn *w, sq_params *p, const char *prefix, int64_t in,
                              int64_t hidden, double gain, uint64_t seed);

/* Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000:
 *     i = sigmoid(x W_i + b_i + h U_i)         f = sigmoid(x W_f + b_f + h U_f)
 *     g = tanh   (x W_g + b_g + h U_g)         o = sigmoid(x W_o + b_o + h U_o)
 *     c' = f * c + i * g                       h' = o * tanh(c')
 * states h, c; output h'. Index 0..3 = i f g o. sq_lstm_init sets b_f to 1
 * (Jozefowicz 2015). */
typedef struct sq_lstm {
    sq_weight W[4], b[4], U[4];
    sq_drop drop;
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
 *     reset between: n = tanh(x W_n + b_n + (r * (h U_n)) V_n)     (as Flux documents its GRUv3)
 *     h' = n + z * (h - n)   =   (1 - z) * n + z * h
 * state h; output h'. Index 0..2 = r z n. d_n exists in the reset-after form only, V_n [H,H] in
 * the reset-between form only. */
typedef enum sq_gru_reset { SQ_RESET_AFTER, SQ_RESET_BEFORE, SQ_RESET_BETWEEN } sq_gru_reset;
typedef struct sq_gru {
    sq_weight W[3], b[3], U[3], d_n, V_n;
    sq_gru_reset reset;
    sq_drop drop;
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
    sq_drop drop;
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
    sq_drop drop;
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
    sq_drop drop;
    int64_t width[2];
} sq_lnlstm;
SQ_API sq_status sq_lnlstm_init(sq_lnlstm *w, sq_params *p, const char *prefix, int64_t in,
                                int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_lnlstm_cell(const sq_lnlstm *w);

/* The layer-normalised GRU, Ba et al. 2016, which is the reset-after form:
 *     r = sigmoid(LN(x W_r) * gx_r + b_r + LN(h U_r) * gh_r)          z likewise
 *     n = tanh(LN(x W_n) * gx_n + b_n + r * (LN(h U_n) * gh_n + d_n))
 *     h' = n + z * (h - n)
 * LN as in sq_lnlstm: each product of each gate by itself (the paper normalises those of r and z
 * together, and has z for 1 - z). state h; output h'. Index 0..2 = r z n. All gains start at 1. */
typedef struct sq_lngru {
    sq_weight W[3], b[3], U[3], gx[3], gh[3], d_n;
    sq_drop drop;
    int64_t width[1];
} sq_lngru;
SQ_API sq_status sq_lngru_init(sq_lngru *w, sq_params *p, const char *prefix, int64_t in,
                               int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_lngru_cell(const sq_lngru *w);

/* The LSTM with coupled input and forget gates, i = 1 - f (Greff et al. 2017):
 *     f = sigmoid(x W_f + b_f + h U_f)         g = tanh   (x W_g + b_g + h U_g)
 *     o = sigmoid(x W_o + b_o + h U_o)
 *     c' = f * c + (1 - f) * g                 h' = o * tanh(c')
 * states h, c; output h'. Index 0..2 = f g o. sq_cifg_init sets b_f to 1. */
typedef struct sq_cifg {
    sq_weight W[3], b[3], U[3];
    sq_drop drop;
    int64_t width[2];
} sq_cifg;
SQ_API sq_status sq_cifg_init(sq_cifg *w, sq_params *p, const char *prefix, int64_t in,
                              int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_cifg_cell(const sq_cifg *w);

/* The LSTM of Hochreiter & Schmidhuber 1997, without a forget gate:
 *     i = sigmoid(x W_i + b_i + h U_i)         g = 4 sigmoid(x W_g + b_g + h U_g) - 2
 *     o = sigmoid(x W_o + b_o + h U_o)
 *     c' = c + i * g                           h' = o * (2 sigmoid(c') - 1)
 * states h, c; output h'. Index 0..2 = i g o. */
typedef struct sq_lstm97 {
    sq_weight W[3], b[3], U[3];
    sq_drop drop;
    int64_t width[2];
} sq_lstm97;
SQ_API sq_status sq_lstm97_init(sq_lstm97 *w, sq_params *p, const char *prefix, int64_t in,
                                int64_t hidden, uint64_t seed);
SQ_API sq_cell sq_lstm97_cell(const sq_lstm97 *w);

/* The LSTM with a recurrent projection, Sak et al. 2014, as PyTorch's proj_size. h is [B,P], c is
 * [B,H], U_k are [P,H], R is [H,P]; the gates and c' are those of sq_lstm, then
 *     h' = (o * tanh(c')) R
 * states h, c; output h'. Index 0..3 = i f g o. sq_lstmp_init sets b_f to 1. */
typedef struct sq_lstmp {
    sq_weight W[4], b[4], U[4], R;
    sq_drop drop;
    int64_t width[2];
} sq_lstmp;
SQ_API sq_status sq_lstmp_init(sq_lstmp *w, sq_params *p, const char *prefix, int64_t in,
                               int64_t hidden, int64_t projected, uint64_t seed);
SQ_API sq_cell sq_lstmp_cell(const sq_lstmp *w);

/* The LSTM with peepholes and its eight variants, Greff et al. 2017; switches may be combined:
 *     i = sigmoid(x W_i + b_i + h U_i + p_i * c)         f likewise
 *     g = tanh   (x W_g + b_g + h U_g)                   c' = f * c + i * g
 *     o = sigmoid(x W_o + b_o + h U_o + p_o * c')        h' = o * tanh(c')
 *     NIG, NFG, NOG   i = 1, f = 1, o = 1            CIFG   f = 1 - i
 *     NIAF            g without tanh                 NOAF   h' = o * c'
 *     NP              no peepholes; NP alone is sq_lstm
 *     FGR             + i- R_ik + f- R_fk + o- R_ok in the sums of i, f and o, where i-, f-, o-
 *                     are the gates of the step before
 * 0 is the cell of sq_peephole. States h, c, and with FGR i, f, o; output h'. Index 0..3 = i f g o
 * of W, b and U; 0..2 = i f o of p and R[from][to]. What a switch takes away has no weights.
 * sq_greff_init sets b_f to 1, with CIFG b_i to -1. SQ_EVALUE: a switch that does not exist, CIFG
 * with NIG or NFG, FGR without all three gates. */
enum {
    SQ_GREFF_NIG = 1,
    SQ_GREFF_NFG = 2,
    SQ_GREFF_NOG = 4,
    SQ_GREFF_NIAF = 8,
    SQ_GREFF_NOAF = 16,
    SQ_GREFF_CIFG = 32,
    SQ_GREFF_NP = 64,
    SQ_GREFF_FGR = 128
};
typedef struct sq_greff {
    sq_weight W[4], b[4], U[4], p[3], R[3][3];
    uint32_t switches;
    sq_drop drop;
    int64_t width[5];
} sq_greff;
SQ_API sq_status sq_greff_init(sq_greff *w, sq_params *p, const char *prefix, int64_t in,
                               int64_t hidden, uint32_t switches, uint64_t seed);
SQ_API sq_cell sq_greff_cell(const sq_greff *w);

/* The clockwork RNN, Koutnik et al. 2014. H units are shared out to n modules of H/n, module k with
 * period T_k; the periods do not fall, so the fast ones come first. At the steps t = 0, 1, ... of
 * a sequence
 *     h_k' = tanh(x W_k + b_k + [h_k .. h_(n-1)] U_k)     where T_k divides t
 *     h_k' = h_k                                          elsewhere
 * A module sees itself and the slower ones, so U_k is [H - k H/n, H/n]. States h, and count
 * [B,n], the steps since each module last moved: it starts at zeros, as states do by themselves,
 * and goes along where a sequence is continued. Output h'. periods: n numbers, copied.
 * SQ_EVALUE: n outside 1 to SQ_CLOCKWORK_MODULES, a period outside 1 to 2^22 or below the one
 * before it; SQ_ESHAPE also where n does not divide hidden.
 * Cost: every module is computed in every step, so it remembers longer than an RNN of its size but
 * is no faster. */
enum { SQ_CLOCKWORK_MODULES = 32 };
typedef struct sq_clockwork {
    sq_weight W[SQ_CLOCKWORK_MODULES], b[SQ_CLOCKWORK_MODULES], U[SQ_CLOCKWORK_MODULES];
    int64_t period[SQ_CLOCKWORK_MODULES];
    int32_t modules;
    int64_t width[2];
} sq_clockwork;
SQ_API sq_status sq_clockwork_init(sq_clockwork *w, sq_params *p, const char *prefix,
                                   int64_t in, int64_t hidden, const int64_t *periods,
                                   int32_t n, uint64_t seed);
SQ_API sq_cell sq_clockwork_cell(const sq_clockwork *w);

/* A cell made of cells: layer k's output is layer k+1's input. Its states are those of all
 * layers in order, named "0.h", "0.c", "1.h", ...; the output is the last layer's. The layers'
 * structs must outlive it. A state without a name is called by its number, "1.0". NULL when out
 * of memory or when n < 1. Freed by sq_stack_free; sq_stack_cell gives the cell. */
typedef struct sq_stack_cells sq_stack_cells;
SQ_API sq_stack_cells *sq_stack_new(const sq_cell *layers, int32_t n);
SQ_API void sq_stack_free(sq_stack_cells *s);
SQ_API sq_cell sq_stack_cell(const sq_stack_cells *s);

/* The same with shorter ways for the gradient. With z_0 = x, layer k = 0, 1, ... of n is
 *     y_k = f_k(z_k)            skip_input, k > 0:   y_k = f_k([z_k, x])       (Graves 2013)
 *     z_(k+1) = y_k             residual:            z_(k+1) = y_k + z_k       (He et al. 2015)
 *     output z_n                skip_output:         output [z_1, .., z_n]     (Graves 2013)
 * [a, b] side by side along the last axis. residual leaves out layers whose input and output
 * differ in shape. So with skip_input a layer above the first takes as many inputs as the one
 * below has outputs and x together; where x has no value there is nothing to add or to skip.
 * options may be NULL; all-zero is sq_stack_new. */
typedef struct sq_stack_options {
    bool residual, skip_input, skip_output;
} sq_stack_options;
SQ_API sq_stack_cells *sq_stack_new_with(const sq_cell *layers, int32_t n,
                                         const sq_stack_options *options);

SQ_END_DECLS

#endif
