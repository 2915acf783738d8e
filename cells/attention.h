/* attention.h -- looking something up in a memory of S rows, at every step, by what the step knows.
 *
 *     memory   M [B,S,M]      a row of M numbers at each of S places: an encoder's outputs, say
 *     query    q [B,Q]        what is looked for: a decoder's state
 *     scores   u [B,S]        how well each place answers q, by one of three formulas
 *     weights  a = softmax of u over the S places
 *     context  sum_s a_s M_s  [B,M]
 *
 *     additive     u_s = tanh(q W_q + K_s) v              K = M W_k      Bahdanau et al. 2015
 *     dot          u_s = (q W_q) . K_s                    K = M W_k      Luong et al. 2015
 *     scaled dot   u_s = (q W_q) . K_s / sqrt(size)       K = M W_k      Vaswani et al. 2017
 *
 * W_q is [Q,size], W_k [M,size], v [size,1]. The two products may do without weights: size 0, then
 * u_s = q . M_s, Q = M, and sqrt(M) is what is divided by.
 *
 * The memory is made ready once, before the steps, and the keys K with it:
 *
 *     sq_var y = sq_unrolled_outputs(encoder);                                     [S,B,M]
 *     sq_attender a = { decoder, &attention,
 *                       sq_attention_memory(&attention, sq_permute(y, (int[]){ 1, 0, 2 }), NULL) };
 *     sq_cell cell = sq_attention_cell(&a);
 *     sq_unroll(tape, &cell, x, state0, NULL);
 *
 * To the unroll it is a value from outside that every step reads, so the cell runs as a plan where
 * the one within does. What one memory serves, one tape records; a new sequence takes a new one. */
#ifndef SQ_CELLS_ATTENTION_H
#define SQ_CELLS_ATTENTION_H

#include "../core/cell.h"
#include "../core/params.h"

SQ_BEGIN_DECLS

/* Which of the three formulas above. */
typedef enum sq_attention_kind {
    SQ_ATTENTION_ADDITIVE,
    SQ_ATTENTION_DOT,
    SQ_ATTENTION_SCALED
} sq_attention_kind;

/* The weights of one, and its sizes: Q, M, size. */
typedef struct sq_attention {
    sq_weight W_q, W_k, v; /* {0}: the formula has none */
    sq_attention_kind kind;
    int64_t query, memory, size;
} sq_attention;

/* Adds prefix.W_q, prefix.W_k and prefix.v, as far as the formula has them, uniform in
 * [-1/sqrt(size), 1/sqrt(size)]. Returns the params' status: SQ_EVALUE for a kind that does not
 * exist, SQ_ESHAPE for sizes below 0, an additive size of 0, or different widths without weights;
 * SQ_EWEIGHT for a prefix used twice; SQ_ENOMEM. */
SQ_API sq_status sq_attention_init(sq_attention *w, sq_params *p, const char *prefix,
                                   sq_attention_kind kind, int64_t query, int64_t memory,
                                   int64_t size, uint64_t seed);

/* A memory that is ready to be attended to; variables of one tape. */
typedef struct sq_memory {
    sq_var values; /* [B,S,M]; zeros where nothing is there */
    sq_var keys;   /* [B,S,size], or the values themselves */
    sq_var there;  /* [B,S] of ones and zeros; no value: everything is there */
} sq_memory;

/* Records keys and mask. there [B,S], row by row, 0 where a place is padding; NULL for none; copied.
 * What is not there is never looked at: it changes nothing, even if it is not a number, and gets a
 * gradient of exactly 0. Fails (posts on the tape): SQ_ESHAPE a memory that is not [B,S,M]. */
SQ_API sq_memory sq_attention_memory(const sq_attention *w, sq_var memory,
                                     const int32_t *there);

/* u [B,S] of a query [B,Q]; -1e30 where nothing is there, so that its softmax, or its part of a
 * sq_cross_entropy, is 0. Fails (posts): SQ_ESHAPE; SQ_EVAR without a memory. */
SQ_API sq_var sq_attention_scores(const sq_attention *w, const sq_memory *m, sq_var query);

/* The context [B,M], and the weights [B,S] where `weights` is not NULL. A row with nothing there
 * has weights of 0 and a context of zeros. Fails as sq_attention_scores; SQ_ESHAPE for S = 0. */
SQ_API sq_var sq_attend(const sq_attention *w, const sq_memory *m, sq_var query,
                        sq_var *weights);

/* A cell that attends. What it points to must outlive its use; it owns nothing. The cell within has a
 * state, else a step posts SQ_EVALUE. */
typedef struct sq_attender {
    sq_cell cell; /* of which state 0 is the query, [B,Q]: h in every cell of cells.h */
    const sq_attention *attention;
    sq_memory memory;
    bool show_context; /* sq_attention_cell only */
} sq_attender;

/* Bahdanau et al. 2015: the old state asks, the answer goes in beside x:
 *     context = attend(h),     y, h' = f([x, context], h),     output y, or [y, context]
 * f takes I + M inputs, M where x has no value. The weights are named "attention" and the context
 * "context", for sq_unrolled_named: the rows of an attention map. */
SQ_API sq_cell sq_attention_cell(const sq_attender *a);

/* A step of a pointer network, Vinyals et al. 2015: the output are the scores of the new state,
 * one for every place of the memory, as logits of which one is meant:
 *     y, h' = f(x, h),     output scores(h')  [B,S] */
SQ_API sq_cell sq_pointer_cell(const sq_attender *a);

SQ_END_DECLS

#endif
