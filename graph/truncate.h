/* truncate.h -- truncated backpropagation through time: TBPTT(k1,k2) over a stream of steps.
 *
 *     step      1 2 3 4 5 6 7 8 9 ...            k1 = 3, k2 = 5
 *     update        *     *     *                after every k1 steps, and at the end
 *     window    [---]
 *                 [- 6]                          the k2 newest steps
 *                     [- - - 9]
 *
 * After n steps, n = k1, 2 k1, ... and at the end, the losses of the steps since the last update
 * are differentiated through the steps after s = max(0, n - k2) (Williams and Peng 1990). An old
 * loss is never counted twice; where k1 > k2, losses of steps up to s get no gradient. Windows
 * may overlap (k2 > k1): the steps of earlier pieces stay on the tape with the version of the
 * weights they used (params.h), so nothing is computed again and the gradient is exact for the
 * weights that were really used. Memory depends on k1 and k2 alone, never on the stream's length.
 *
 * By hand, truncation is sq_cut in a for loop (k2 >= k1):
 *
 *     for (int64_t n = 1; n <= T; n++) {
 *         sq_begin_step(t);
 *         sq_var y = cell.step(t, cell.self, x_of(n), h), l = loss_of(y, n);
 *         h[n_states] = n % k1 == 1 || k1 == 1 ? l : sq_add(h[n_states], l);
 *         if (n % k1 && n < T) continue;
 *         sq_cut(t, k2, h, n_states);
 *         sq_zero_grads(t);
 *         if (sq_backward(h[n_states]) || sq_optim_step(o, t)) die(sq_message(t));
 *     }
 *
 * The driver is that loop for any k1 and k2, with plans, documents that end in single rows of the
 * batch, losses now and then, a meter of the bias that truncation makes, and random windows that
 * have none:
 *
 *     sq_tbptt *s = sq_tbptt_new(t, &cell, &(sq_tbptt_options){
 *         .k1 = 64, .k2 = 64, .batch = B, .input = one_hot, .loss = cross_entropy,
 *         .update = adam, .context = &task });
 *     while (more(&task))
 *         if (sq_tbptt_feed(s, 1000, NULL)) die(sq_message(t));
 *     if (sq_tbptt_end(s)) die(sq_message(t));
 *     sq_tbptt_free(s); */
#ifndef SQ_GRAPH_TRUNCATE_H
#define SQ_GRAPH_TRUNCATE_H

#include "../core/io.h"
#include "unroll.h"

SQ_BEGIN_DECLS

/* ---- What the driver asks of its user ---------------------------------------------------- */

/* The stream is recorded in pieces, an unroll each: as many steps as fit between two updates, the
 * ends of what is fed at once, and the restarts of rows. Random numbers are drawn anew for every
 * piece, a mask of SQ_PER_SEQUENCE, too, so with dropout it matters how a stream is fed. Steps
 * count from 0 since the stream began, whatever the tape counts. A callback may post on the tape
 * (sq_post); then the stream stops. It must neither cut nor reset it. */

/* Records the inputs [steps,B,I] of steps first .. first + steps - 1: sq_input of an array, or
 * anything differentiable, an embedding's sq_gather or another cell's sq_unroll say: gradients flow
 * through it. Where a window begins inside a piece, steps that were begun here are not entered. */
typedef sq_var sq_tbptt_input(void *context, sq_tape *t, int64_t first, int64_t steps);

/* Records the losses of steps first .. first + steps - 1 as one scalar: their *sum*, for pieces
 * have any length. y [steps,...] holds what the cell returned in these steps, stacked. Weights
 * of a readout are taken here (sq_use). No value, (sq_var){ 0 }: no loss in these steps.
 * Called right after the steps were recorded; where k1 > k2, once more at the end of the stream
 * when the last window begins inside a piece. */
typedef sq_var sq_tbptt_loss(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps);

/* Changes the weights: clipping and sq_optim_step, as a rule. The tape's gradients are those of
 * this update alone (the driver zeroes them before). `loss` is the sum of all losses since the
 * last update, n the number of steps so far. Anything but SQ_OK stops the stream. */
typedef sq_status sq_tbptt_update(void *context, sq_tape *t, double loss, int64_t n);

/* Records the state k [B,width[k]] that a stream, or a row that is reset, begins with: a learned
 * one, say. */
typedef sq_var sq_tbptt_initial(void *context, sq_tape *t, int32_t k);

/* For `loss_every`. */
enum { SQ_LOSS_AT_END = -1 };

/* All-zero but for k1, k2, batch, loss and update is the default. */
typedef struct sq_tbptt_options {
    int64_t k1, k2; /* steps between updates; steps of the window. Both >= 1 */
    int64_t batch;  /* B */

    /* How a piece runs: mode, and a byte budget for each piece. Its outputs, steps and batch are
     * the driver's; lengths, mask, resets and reverse are of whole sequences, and an error here. */
    sq_unroll_options unroll;

    sq_tbptt_input *input;     /* NULL: the cell takes no x */
    sq_tbptt_loss *loss;       /* never NULL */
    sq_tbptt_update *update;   /* never NULL */
    sq_tbptt_initial *initial; /* NULL: zeros */
    void *context;             /* handed to all of them */

    /* 0 or 1: every step has a loss. m: after m, 2m, ... steps, one at a time. SQ_LOSS_AT_END:
     * only the last step before sq_tbptt_end. Without a loss there is no update. */
    int64_t loss_every;

    /* Random windows (Tallec and Ollivier 2017, "Unbiasing truncated backpropagation through
     * time", ARTBP): above 1, at most 1e9, with k1 = k2 = 0. After every step the stream is cut
     * with probability c = 1 / mean_window, and an update made; the gradient that crosses a step
     * which is not cut is multiplied by 1 / (1 - c), so that its expectation is the full gradient,
     * at the price of variance. Lengths are geometric, drawn from `seed`. */
    double mean_window;
    uint64_t seed;

    /* The bias meter: > 0: once in so many updates, of all streams, and when more steps than the
     * window's are there, the truncated gradient is compared with that of a longer window:
     * meter_window steps (fewer where the stream has no more, or ends before its update is due), or,
     * with meter_window = 0, as many as meter_bytes of recorded steps hold. Costs one more sweep
     * then, and the longer window's memory. */
    int64_t meter_every, meter_window;
    size_t meter_bytes;
} sq_tbptt_options;

/* ---- The driver -------------------------------------------------------------------------- */

/* A stream of steps under way. */
typedef struct sq_tbptt sq_tbptt;

/* A stream of the cell on a tape, which is the driver's from now on: it is cut, so variables of
 * steps go; what was recorded before the first step stays. The cell and the options are copied;
 * what they point to must live as long.
 * Fails: NULL, posted on the tape: SQ_ERANGE k1, k2, batch, loss_every, the meter, mean_window;
 * SQ_EVALUE a callback is NULL, the cell has no step, options that exclude each other; SQ_ENOMEM. */
SQ_API sq_tbptt *sq_tbptt_new(sq_tape *t, const sq_cell *cell, const sq_tbptt_options *options);

/* Frees the stream, not the tape; NULL is fine. */
SQ_API void sq_tbptt_free(sq_tbptt *s);

/* What happens to a row of the batch before a step. */
enum {
    SQ_ROW_GOES_ON = 0,
    SQ_ROW_RESET = 1, /* its states become the initial ones: a new document */
    SQ_ROW_CUT = 2    /* its states stay, a learned initial one, too; gradients stop here */
};

/* Runs the next `steps` steps, any number, with the updates that fall among them. rows, [steps,B],
 * says what happens to each row before each step; NULL: all go on.
 * Returns the tape's status; after sq_tape_reset a new stream begins. Fails: SQ_ERANGE negative
 * steps, a row's number; SQ_ESHAPE inputs, initial states or losses; SQ_EVALUE from within a
 * callback; what the cell and the callbacks post. Weights are then those of the last update made. */
SQ_API SQ_CHECKED sq_status sq_tbptt_feed(sq_tbptt *s, int64_t steps, const int32_t *rows);

/* Ends the stream: the last update, for the steps since the one before. What is fed afterwards is
 * a new stream, from step 0 and the initial states. The last states can still be read. */
SQ_API SQ_CHECKED sq_status sq_tbptt_end(sq_tbptt *s);

/* State k as it is now, to be read; valid until the next call. No value before the first step. */
SQ_API sq_var sq_tbptt_state(const sq_tbptt *s, int32_t k);

/* Goes on from given states, n_states of them, [B,width[k]], instead: those of another text, say. No
 * gradient flows into them. Fails: SQ_ESHAPE, SQ_EVAR. */
SQ_API sq_status sq_tbptt_set_states(sq_tbptt *s, const sq_var *states);

/* How far a stream is. */
typedef struct sq_tbptt_stats {
    int64_t steps;    /* of this stream */
    int64_t updates;  /* of all streams */
    double loss;      /* sum of all losses of this stream, those without gradient too */
    int64_t window;   /* steps on the tape */
    int64_t versions; /* of the weights, referred to by these steps */
    int64_t readings; /* of the bias meter */
    int64_t wrong;    /* readings where the window pointed the wrong way */
} sq_tbptt_stats;
SQ_API sq_tbptt_stats sq_tbptt_statistics(const sq_tbptt *s);

/* ---- Interrupted and resumed ------------------------------------------------------------- */

/* Adds the stream to a bundle, under a prefix that is not empty: all that its coming steps depend
 * on beside the weights and the optimizer. A program that is stopped, or killed, resumes from
 *
 *     sq_bundle_add_params(b, "model", p);          and       sq_bundle_get_params(b, "model", p);
 *     sq_bundle_add_optim(b, "optim", o);                     sq_bundle_get_optim(b, "optim", o);
 *     sq_tbptt_save(s, b, "stream");                          sq_tbptt_load(s, b, "stream");
 *     sq_bundle_save(b, path);
 *
 * and, fed the same as from then on, ends in the same bits, on the same instruction set: for any k1
 * and k2, eagerly or as a plan, under a budget or not, with dropout, rows that restart, learned
 * initial states and random windows. Learning rates that follow sq_optim_updates do so again. It may
 * be saved between any two calls; nothing that is computed changes by that.
 *     I64  prefix.options prefix.widths    what the other stream must agree in
 *          prefix.counts prefix.drawing    where it stands: steps, updates, random windows; seed and run
 *          prefix.pieces prefix.rows       the steps on the tape that a window can still reach
 *     F64  prefix.mean_window prefix.losses
 *          prefix.state.K  prefix.start.I.K    [B,width[K]]: the states now, or those before piece I
 *          prefix.weights.V.NAME           older versions of the weights that these steps used
 * Fails, and then b is as before: as sq_bundle_add; SQ_EVALUE within a callback, or where a callback
 * changed weights that its piece had used; the error of the tape.
 * Cost: the states, and a copy of the weights for each older version that a window may still use: as a
 * rule k2 / k1 of them, rounded up; none with k2 = 1. */
SQ_API SQ_CHECKED sq_status sq_tbptt_save(sq_tbptt *s, sq_bundle *b, const char *prefix);

/* Gives that state to a stream made with the same cell and options, after the weights were loaded:
 * the steps of the window are recorded again, with the inputs, the random numbers and the weights
 * that they had. So `input` and `initial` are asked once more, and `loss` where an update is still to
 * come, for the same steps as then, and must answer the same; `update` is not called. (A file that
 * somebody else wrote can name other steps: k1 at once at most, with random windows any number. A
 * callback that looks whether its data has them is safe.) Mode, budget
 * and threads are the program's; so are marks of frozen weights: those of now are taken for the
 * whole window. What the tape had recorded after its beginning is forgotten.
 * Told by b alone: SQ_EFILE when k1, k2, batch, loss_every, mean_window, its seed, precision or a
 * width differs, or something is lacking or cannot be: the stream, its tape and the weights are
 * then as before; SQ_ENOMEM; what the cell and the callbacks post: then the tape has that error,
 * too, the weights are as before, and the stream is at its beginning.
 * The bias meter goes on counting, but has no last reading.
 * Cost: the forward part of the steps in the window. */
SQ_API sq_status sq_tbptt_load(sq_tbptt *s, sq_bundle *b, const char *prefix);

/* ---- The bias meter ---------------------------------------------------------------------- */

/* A truncated gradient g beside one of a longer window, f. */
typedef struct sq_bias {
    double cosine;         /* <g,f> / (|g| |f|); 0 when one of them is zero, 1 when both are */
    double norm_ratio;     /* |g| / |f|; 1 when both are zero */
    double sign_agreement; /* share of equal signs; elements that are zero in both left out */
} sq_bias;

/* Of one weight, or, with w = {0}, of all together. truncated and longer are flat gradients laid
 * out like the params (sq_grads), in their precision. NaN for what is not finite, and for an
 * unknown weight. Usable by loops written by hand: keep a copy of sq_grads. */
SQ_API sq_bias sq_bias_between(const sq_params *p, sq_weight w, const void *truncated,
                               const void *longer);

/* Whether a gradient descends where the longer one ascends: cosine < 0. */
SQ_API bool sq_bias_is_wrong_way(sq_bias b);

/* The meter's last reading, of one weight or of all; all NaN before the first, and of a weight that
 * was added since. */
SQ_API sq_bias sq_tbptt_bias(const sq_tbptt *s, sq_weight w);

/* The last reading in words, one line for all and one for every weight whose window points the
 * wrong way: "step 1200: window 30 points the wrong way: cosine -0.98 with window 500, norm 1.65
 * of its, 0 % of the signs agree". At most n bytes with the final 0; returns the length it
 * wanted, like snprintf. "" before the first reading. */
SQ_API size_t sq_tbptt_bias_text(const sq_tbptt *s, char *buf, size_t n);

/* ---- Rows of the batch ------------------------------------------------------------------- */

/* For loops written by hand: what the driver does with its rows. rows has one entry for each row
 * of h [B,..], of the three above.
 *     y_b = h_b,  initial_b where reset,  h_b without gradient where cut
 * initial without a value: zeros. Nothing of a reset row comes through, be it infinite.
 * Fails: SQ_ERANGE a row's number; SQ_ESHAPE; SQ_EVALUE rows NULL. */
SQ_API sq_var sq_restart_rows(sq_var h, sq_var initial, const int32_t *rows);

SQ_END_DECLS

#endif
