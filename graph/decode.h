/* decode.h -- sequences of symbols, one after the other: what the net is told next.
 *
 *     teacher forcing      x_t = the true symbol y_(t-1), all steps as one unroll
 *     scheduled sampling   in each row and step the net's own choice with probability p, else y_(t-1)
 *     free running         its own choice always: the likeliest, or drawn at a temperature
 *     beam search          the `width` best beginnings at once
 *
 * A decoder is a cell with two ends: symbols to inputs, outputs to scores. A choice is no function
 * that could be differentiated: gradients flow through states and scores, never through which
 * symbol was chosen (Bengio, Vinyals, Jaitly, Shazeer 2015). */
#ifndef SQ_GRAPH_DECODE_H
#define SQ_GRAPH_DECODE_H

#include "unroll.h"

SQ_BEGIN_DECLS

/* What decodes: a cell between symbols and scores. It owns nothing. */
typedef struct sq_decoder {
    const sq_cell *cell;
    /* Inputs [n,I] for n symbols, an embedding's sq_gather say; n is a multiple of the batch, row
     * r being of row r % batch. */
    sq_var (*input)(sq_tape *t, const void *context, const int32_t *ids, int64_t n);
    /* Scores [n,V], unnormalised log-probabilities of the next symbol, from n outputs of the cell;
     * NULL: the outputs are the scores. */
    sq_var (*scores)(sq_tape *t, const void *context, sq_var y);
    const void *context;
    int32_t start; /* the symbol before the first */
    int32_t stop;  /* the symbol that ends a row; negative: none */
} sq_decoder;

/* The next symbol, of n by their scores: the likeliest, the first of several, at temperature 0; at
 * temperature > 0 symbol c with probability softmax(scores / temperature)[c], by inverting the
 * distribution at u in [0,1). -1 for n < 1, a score that is NaN, or none above -infinity. */
SQ_API int32_t sq_choose(int64_t n, const double *scores, double temperature, double u);

/* All-zero is the default: the likeliest symbol. */
typedef struct sq_decode_options {
    double own; /* p of scheduled sampling, 0 to 1: a row's own choice in the place of the
                         * given symbol. Used by sq_decode_given only */
    double temperature; /* of own choices; 0: the likeliest */
    uint64_t seed;      /* of what is drawn: a function of seed, step and row */
    sq_mode mode;       /* of the unroll, where nothing is chosen */
} sq_decode_options;

/* Scores [T,B,V] of steps 0 .. T-1, step t being told what came before it: start, then ids[(t-1) B +
 * b], of ids [T,B]; the last row of ids is what step T-1 should say. With own = 0 the steps are one
 * unroll, planned; with own > 0 a loop, for the next step depends on scores. own = 1 is free running
 * over T steps, the symbols being those of sq_decode with the same options. Either way the scores have
 * the same bits eagerly, gradients agree to rounding. state0 as in sq_unroll.
 * Rows of several lengths: mask the loss; what is decoded after a row's end does not reach it.
 * No value after posting: SQ_EVALUE a decoder without cell or input, own or temperature out of
 * range, scores that are NaN, no symbols; SQ_ESHAPE scores or states of another shape; SQ_ERANGE negative sizes; what the
 * callbacks and the cell post; SQ_ENOMEM. */
SQ_API sq_var sq_decode_given(sq_tape *t, const sq_decoder *d, const sq_var *state0,
                              const int32_t *ids, int64_t steps, int64_t batch,
                              const sq_decode_options *options);

/* Runs free for at most `steps` steps, until every row has said stop: ids [steps,B] and lengths [B]
 * are the caller's; a row's length counts its stop; behind it ids are stop, which the row is told from
 * then on. lengths may be NULL. Returns the number of steps taken, -1 after posting, as above.
 * On a tape for inference (sq_tape_set_inference) memory does not grow with the steps. */
SQ_API int64_t sq_decode(sq_tape *t, const sq_decoder *d, const sq_var *state0, int64_t steps,
                         int64_t batch, const sq_decode_options *options, int32_t *ids,
                         int64_t *lengths);

/* One finished beginning, or what has become of it after all steps. */
typedef struct sq_beam {
    double score;   /* log-probability / ((5 + length) / 6)^length_penalty */
    double log_p;   /* the log-probability itself */
    int64_t length; /* with its stop */
} sq_beam;

/* Beam search, in every row of the batch for itself: in each step the `width` best of all beginnings
 * by one more symbol, finished ones standing as they are (Wu et al. 2016, eq. 14, for the penalty).
 * With width >= V^steps that is exhaustive. beams [B,width] and ids [B,width,steps] are the caller's,
 * best first; where there are fewer beginnings than `width`, the rest has score -infinity and length
 * 0; ids behind a length are stop. Rows stand `width` times each: state0 [B,..] is laid out so here
 * (sq_repeat_rows); what the cell or the callbacks read row by row besides (an encoder's memory)
 * must have B * width rows already. The choices only are read: the tape may be one for inference.
 * Returns the number of steps taken, -1 after posting: as sq_decode; SQ_ERANGE width < 1, or a
 * length_penalty that is not finite. */
SQ_API int64_t sq_beam_search(sq_tape *t, const sq_decoder *d, const sq_var *state0,
                              int64_t steps, int64_t batch, int64_t width,
                              double length_penalty, sq_beam *beams, int32_t *ids);

/* Every row n times: y[r n + i] = x[r]. */
SQ_API sq_var sq_repeat_rows(sq_var x, int64_t n);

/* Schedules of p, the share of own choices, over updates i = 0, 1, ... (Bengio et al. 2015 decay the
 * share of true symbols, 1 - p; k as there):
 *     linear        p = min(most, slope i)
 *     exponential   p = 1 - k^i            0 < k < 1
 *     sigmoid       p = 1 - k / (k + e^(i / k))     k >= 1
 * Out of range arguments give the nearest p in [0,1]; NaN gives 0. */
SQ_API double sq_own_linear(int64_t i, double slope, double most);
SQ_API double sq_own_exponential(int64_t i, double k);
SQ_API double sq_own_sigmoid(int64_t i, double k);

SQ_END_DECLS

#endif
