/* layout.h -- weights of LSTM, GRU and simple RNN as other programs arrange them.
 *
 * Everybody computes the same cells, and no two store them alike: the order of the gates, one bias or
 * two, transposed or not, side by side or interleaved, z for the old state or for the new. Here every
 * arrangement is a row of one table (layout_table.c), and anything goes to anything:
 *
 *     seqgrad   ours (cells.h): W_k [I,H], b_k [H], U_k [H,H] for every gate k; R [H,P]
 *     pytorch   i f g o; r z n; two biases; reset behind the product    (cuDNN's order, too)
 *     keras     i f c o; z r h, reset_after or not; a kernel [I,4H]
 *     onnx      i o f c; z r h, linear_before_reset or not; both directions in one tensor
 *     onednn    i f c o; u r o, vanilla and lbr; ldigo: all layers and directions in one tensor
 *     chainer   links.LSTM: a i f o, interleaved; links.GRU: two biases, z for the new state
 *     dynet     i f o g, and 1 added to the forget gate when it runs; GRU with z for the new state
 *     dynet-0   the same of a VanillaLSTMBuilder made with forget_bias = 0
 *     kann      i f o g; z r s; matrices of their own [H,I]
 *     flux      i f g o; r z n: GRU, with no bias within the reset, and GRUv3
 *
 * What is not in the tensors stays the caller's: activations, and how steps and layers are run.
 *
 * Exactness. Nothing is computed but this: two biases that are only ever added become one, rounded
 * once to nearest (a zero changes nothing), and are written as that one and zeros; where z stands for
 * the new state, signs of W_z, U_z, b_z turn, as 1 - sigmoid(a) = sigmoid(-a); dynet's 1 is added and
 * taken away, exactly for biases from 0.5 to 2. So everything but dynet's forget gate goes there and
 * back to the bit, and what cannot be said in the other layout is refused:
 *   - a GRU that resets before the product where it is done behind, and the other way;
 *   - a bias within the reset, r * (h U_n + d_n), that is not zero, where there is none (flux);
 *   - a GRU that resets between two products (SQ_RESET_BETWEEN), which no other program computes;
 *   - a projection where there is none; layers of different input width in one tensor.
 *
 * Names. A network has layers and one or two directions, so a tensor's name is a pattern: {l} stands
 * for the layer, 0, 1, ..., and {A|B} for A forward and B backward. In front comes a prefix, a pattern
 * as well. pytorch and onednn name all by themselves; the others name one layer only, and their prefix
 * is "layer{l}/{forward|backward}/", onnx's "layer{l}/", ours "l{l}{|_reverse}." unless another
 * is given. */
#ifndef SQ_CELLS_LAYOUT_H
#define SQ_CELLS_LAYOUT_H

#include "../core/io.h"
#include "../core/params.h"

SQ_BEGIN_DECLS

/* RNN: sq_rnn of any activation. LSTM_PROJECTED: sq_lstmp. */
typedef enum sq_layout_cell {
    SQ_LAYOUT_ANY, /* the first of the layout's that fits */
    SQ_LAYOUT_RNN,
    SQ_LAYOUT_LSTM,
    SQ_LAYOUT_LSTM_PROJECTED,
    SQ_LAYOUT_GRU_AFTER, /* SQ_RESET_AFTER, SQ_RESET_BEFORE */
    SQ_LAYOUT_GRU_BEFORE
} sq_layout_cell;

/* "gru, reset after"; "" for what is none. */
SQ_API const char *sq_layout_cell_name(sq_layout_cell cell);

/* The layouts in the order above: how many, and the i-th name, NULL outside 0..count-1. */
SQ_API int32_t sq_layout_count(void);
SQ_API const char *sq_layout_name(int32_t i);

/* Which tensors of a bundle. `cell` need only be said where tensors do not tell: onnx's GRU is taken
 * for linear_before_reset = 0, keras's without biases for reset_after. */
typedef struct sq_layout {
    const char *name;   /* "pytorch" */
    const char *prefix; /* NULL: the layout's own */
    sq_layout_cell cell;
} sq_layout;

/* A network: layer 0 takes `in` inputs, the others as many as the one below gives, which is
 * `hidden`, or `projected` where that is not 0, once per direction. */
typedef struct sq_layout_net {
    sq_layout_cell cell;
    int32_t layers;
    bool bidirectional, biases; /* biases false: there is none, all are 0 */
    int64_t in, hidden, projected;
} sq_layout_net;

/* All functions below fail with SQ_EVALUE for a layout, cell or prefix that does not exist; with
 * SQ_EFILE for a tensor that is missing, has another shape or no floating point numbers, or belongs to
 * nothing although its name begins like the prefix; SQ_ENOMEM. Nothing is changed then. */

/* What network lies in b. */
SQ_API sq_status sq_layout_find(sq_bundle *b, const sq_layout *from, sq_layout_net *net);

/* What a tensor of that name is to such a network: "layer 0 backward: input weights, gates i f g o".
 * Like snprintf; 0 and "" for none of its tensors. */
SQ_API size_t sq_layout_describe(const sq_layout *from, const sq_layout_net *net,
                                 const char *tensor, char *buf, size_t n);

/* Sets the weights of a network that p holds under our names with the prefix `weights` (a pattern; NULL
 * for "l{l}{|_reverse}."): cells made with the prefixes "l0", "l0_reverse", "l1", ... A pytorch
 * state dict, of any depth and direction:
 *
 *     sq_lstm_init(&w[0], p, "l0", in, hidden, 1); ...
 *     sq_layout_get(b, &(sq_layout){ .name = "pytorch" }, p, NULL);
 *
 * Other weights of p stay; but one under a cell's prefix, with no further dot, that is none of the
 * cell's is refused, as it may mean another cell. Rounded to p's precision; one new version; all or
 * nothing. Fails beside: SQ_EWEIGHT when p holds no such network; SQ_EVALUE for what cannot be said in
 * our cells. Told by b alone. */
SQ_API sq_status sq_layout_get(sq_bundle *b, const sq_layout *from, sq_params *p,
                               const char *weights);

/* The way back: adds the weights of such a network in another layout, in p's precision. Fails, and then b
 * is as before: as above; as sq_bundle_add. */
SQ_API sq_status sq_layout_add(sq_bundle *b, const sq_layout *to, const sq_params *p,
                               const char *weights);

/* From one bundle into another, in the wider of the tensors' types. What is wrong with tensors that are
 * there is posted on `from`, all else on `into`, which then is as before. */
SQ_API sq_status sq_layout_convert(sq_bundle *from, const sq_layout *as, sq_bundle *into,
                                   const sq_layout *to);

SQ_END_DECLS

#endif
