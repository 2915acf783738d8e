/* every_cell.h -- every kind of cell in cells/, for tests that ask something of each of them.
 *
 * `hidden` is the width of the output and of the first state. The projected LSTM has one unit of
 * memory more than that; the clockwork has two modules where two divide hidden, else three or
 * one. Needs the public interface only, so that programs without a test framework may use it. */
#ifndef SQT_EVERY_CELL_H
#define SQT_EVERY_CELL_H

#include "seqgrad.h"

typedef union any_cell {
    sq_rnn rnn;
    sq_lstm lstm;
    sq_gru gru;
    sq_mgu mgu;
    sq_peephole peephole;
    sq_lnlstm lnlstm;
    sq_lngru lngru;
    sq_cifg cifg;
    sq_lstm97 lstm97;
    sq_lstmp lstmp;
    sq_greff greff;
    sq_clockwork clockwork;
} any_cell;

enum { ANY_CELL_STATES = 5 };

typedef sq_cell any_cell_fn(any_cell *w, sq_params *p, const char *prefix, int64_t in,
                            int64_t hidden, uint64_t seed);

#define ANY_CELL(name, kind, ...)                                                   \
    static inline sq_cell any_##name(any_cell *w, sq_params *p, const char *prefix, \
                                     int64_t in, int64_t hidden, uint64_t seed)     \
    {                                                                               \
        (void)sq_##kind##_init(&w->kind, p, prefix, in, __VA_ARGS__, seed);         \
        return sq_##kind##_cell(&w->kind);                                          \
    }

ANY_CELL(rnn_tanh, rnn, hidden, SQ_RNN_TANH)
ANY_CELL(rnn_relu, rnn, hidden, SQ_RNN_RELU)
ANY_CELL(rnn_sigmoid, rnn, hidden, SQ_RNN_SIGMOID)
ANY_CELL(lstm, lstm, hidden)
ANY_CELL(gru_after, gru, hidden, SQ_RESET_AFTER)
ANY_CELL(gru_before, gru, hidden, SQ_RESET_BEFORE)
ANY_CELL(gru_between, gru, hidden, SQ_RESET_BETWEEN)
ANY_CELL(mgu, mgu, hidden)
ANY_CELL(peephole, peephole, hidden)
ANY_CELL(lnlstm, lnlstm, hidden)
ANY_CELL(lngru, lngru, hidden)
ANY_CELL(cifg, cifg, hidden)
ANY_CELL(lstm97, lstm97, hidden)
ANY_CELL(lstmp, lstmp, hidden + 1, hidden)
ANY_CELL(greff_v, greff, hidden, 0)
ANY_CELL(greff_nig, greff, hidden, SQ_GREFF_NIG)
ANY_CELL(greff_nfg, greff, hidden, SQ_GREFF_NFG)
ANY_CELL(greff_nog, greff, hidden, SQ_GREFF_NOG)
ANY_CELL(greff_niaf, greff, hidden, SQ_GREFF_NIAF)
ANY_CELL(greff_noaf, greff, hidden, SQ_GREFF_NOAF)
ANY_CELL(greff_cifg, greff, hidden, SQ_GREFF_CIFG)
ANY_CELL(greff_np, greff, hidden, SQ_GREFF_NP)
ANY_CELL(greff_fgr, greff, hidden, SQ_GREFF_FGR)
#undef ANY_CELL

static inline sq_cell any_clockwork(any_cell *w, sq_params *p, const char *prefix, int64_t in,
                                    int64_t hidden, uint64_t seed)
{
    static const int64_t periods[] = { 1, 2, 5 };
    int32_t n = hidden % 2 == 0 ? 2 : hidden % 3 == 0 ? 3 : 1;
    (void)sq_clockwork_init(&w->clockwork, p, prefix, in, hidden, periods, n, seed);
    return sq_clockwork_cell(&w->clockwork);
}

static const struct any_cell_kind {
    const char *name;
    any_cell_fn *make;
} every_cell[] = {
    { "rnn_tanh", any_rnn_tanh },
    { "rnn_relu", any_rnn_relu },
    { "rnn_sigmoid", any_rnn_sigmoid },
    { "lstm", any_lstm },
    { "gru_after", any_gru_after },
    { "gru_before", any_gru_before },
    { "gru_between", any_gru_between },
    { "mgu", any_mgu },
    { "peephole", any_peephole },
    { "lnlstm", any_lnlstm },
    { "lngru", any_lngru },
    { "cifg", any_cifg },
    { "lstm97", any_lstm97 },
    { "lstmp", any_lstmp },
    { "greff_v", any_greff_v },
    { "greff_nig", any_greff_nig },
    { "greff_nfg", any_greff_nfg },
    { "greff_nog", any_greff_nog },
    { "greff_niaf", any_greff_niaf },
    { "greff_noaf", any_greff_noaf },
    { "greff_cifg", any_greff_cifg },
    { "greff_np", any_greff_np },
    { "greff_fgr", any_greff_fgr },
    { "clockwork", any_clockwork },
};

enum { N_CELL_KINDS = (int)(sizeof every_cell / sizeof every_cell[0]) };

#endif
