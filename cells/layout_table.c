/* layout_table.c -- how everybody arranges the weights of a recurrent cell, one row per layout and
 * cell. Nothing else in the library knows any of these programs.
 *
 * Sources: the documentation of torch.nn.LSTM and GRU; of keras.layers; the operators LSTM, GRU and RNN
 * of ONNX; the developer guide of oneDNN, "RNN"; chainer/links/rnn and functions/rnn/lstm.py;
 * dynet/lstm.cc, gru.cc, rnn.cc; kann.c; Flux's src/layers/recurrent.jl, whose GRUv3 computes
 * Wh_h~ (r * h), the reset before the product, and reads the third part of Wh nowhere. */
#include "cells/layout_impl.h"

#include <string.h>

#define EACH "layer{l}/{forward|backward}/"

/* clang-format off */
static const sqi_layout_row rows[] = {
    { "seqgrad", SQ_LAYOUT_LSTM_PROJECTED, "l{l}{|_reverse}.", "", 0, false,
      { { "W_i", SQI_W, "ih", "i" }, { "W_f", SQI_W, "ih", "f" }, { "W_g", SQI_W, "ih", "g" },
        { "W_o", SQI_W, "ih", "o" }, { "b_i", SQI_B, "h", "i" }, { "b_f", SQI_B, "h", "f" },
        { "b_g", SQI_B, "h", "g" }, { "b_o", SQI_B, "h", "o" }, { "U_i", SQI_U, "kh", "i" },
        { "U_f", SQI_U, "kh", "f" }, { "U_g", SQI_U, "kh", "g" }, { "U_o", SQI_U, "kh", "o" },
        { "R", SQI_R, "hp", "" } } },
    { "seqgrad", SQ_LAYOUT_LSTM, "l{l}{|_reverse}.", "", 0, false,
      { { "W_i", SQI_W, "ih", "i" }, { "W_f", SQI_W, "ih", "f" }, { "W_g", SQI_W, "ih", "g" },
        { "W_o", SQI_W, "ih", "o" }, { "b_i", SQI_B, "h", "i" }, { "b_f", SQI_B, "h", "f" },
        { "b_g", SQI_B, "h", "g" }, { "b_o", SQI_B, "h", "o" }, { "U_i", SQI_U, "kh", "i" },
        { "U_f", SQI_U, "kh", "f" }, { "U_g", SQI_U, "kh", "g" },
        { "U_o", SQI_U, "kh", "o" } } },
    { "seqgrad", SQ_LAYOUT_GRU_AFTER, "l{l}{|_reverse}.", "", 0, false,
      { { "W_r", SQI_W, "ih", "r" }, { "W_z", SQI_W, "ih", "z" }, { "W_n", SQI_W, "ih", "n" },
        { "b_r", SQI_B, "h", "r" }, { "b_z", SQI_B, "h", "z" }, { "b_n", SQI_B, "h", "n" },
        { "U_r", SQI_U, "kh", "r" }, { "U_z", SQI_U, "kh", "z" }, { "U_n", SQI_U, "kh", "n" },
        { "d_n", SQI_D, "h", "n" } } },
    { "seqgrad", SQ_LAYOUT_GRU_BEFORE, "l{l}{|_reverse}.", "", 0, false,
      { { "W_r", SQI_W, "ih", "r" }, { "W_z", SQI_W, "ih", "z" }, { "W_n", SQI_W, "ih", "n" },
        { "b_r", SQI_B, "h", "r" }, { "b_z", SQI_B, "h", "z" }, { "b_n", SQI_B, "h", "n" },
        { "U_r", SQI_U, "kh", "r" }, { "U_z", SQI_U, "kh", "z" },
        { "U_n", SQI_U, "kh", "n" } } },
    { "seqgrad", SQ_LAYOUT_RNN, "l{l}{|_reverse}.", "", 0, false,
      { { "W", SQI_W, "ih", "n" }, { "b", SQI_B, "h", "n" }, { "U", SQI_U, "kh", "n" } } },

    { "pytorch", SQ_LAYOUT_LSTM, "", "", 0, true,
      { { "weight_ih_l{l}{|_reverse}", SQI_W, "(gh)i", "ifgo" },
        { "weight_hh_l{l}{|_reverse}", SQI_U, "(gh)k", "ifgo" },
        { "bias_ih_l{l}{|_reverse}", SQI_B, "(gh)", "ifgo" },
        { "bias_hh_l{l}{|_reverse}", SQI_D, "(gh)", "ifgo" } } },
    { "pytorch", SQ_LAYOUT_LSTM_PROJECTED, "", "", 0, true,
      { { "weight_ih_l{l}{|_reverse}", SQI_W, "(gh)i", "ifgo" },
        { "weight_hh_l{l}{|_reverse}", SQI_U, "(gh)k", "ifgo" },
        { "bias_ih_l{l}{|_reverse}", SQI_B, "(gh)", "ifgo" },
        { "bias_hh_l{l}{|_reverse}", SQI_D, "(gh)", "ifgo" },
        { "weight_hr_l{l}{|_reverse}", SQI_R, "ph", "" } } },
    { "pytorch", SQ_LAYOUT_GRU_AFTER, "", "", 0, true,
      { { "weight_ih_l{l}{|_reverse}", SQI_W, "(gh)i", "rzn" },
        { "weight_hh_l{l}{|_reverse}", SQI_U, "(gh)k", "rzn" },
        { "bias_ih_l{l}{|_reverse}", SQI_B, "(gh)", "rzn" },
        { "bias_hh_l{l}{|_reverse}", SQI_D, "(gh)", "rzn" } } },
    { "pytorch", SQ_LAYOUT_RNN, "", "", 0, true,
      { { "weight_ih_l{l}{|_reverse}", SQI_W, "(gh)i", "n" },
        { "weight_hh_l{l}{|_reverse}", SQI_U, "(gh)k", "n" },
        { "bias_ih_l{l}{|_reverse}", SQI_B, "(gh)", "n" },
        { "bias_hh_l{l}{|_reverse}", SQI_D, "(gh)", "n" } } },

    { "keras", SQ_LAYOUT_LSTM, EACH, "", 0, true,
      { { "kernel", SQI_W, "i(gh)", "ifgo" }, { "recurrent_kernel", SQI_U, "k(gh)", "ifgo" },
        { "bias", SQI_B, "(gh)", "ifgo" } } },
    { "keras", SQ_LAYOUT_GRU_AFTER, EACH, "", 0, true,
      { { "kernel", SQI_W, "i(gh)", "zrn" }, { "recurrent_kernel", SQI_U, "k(gh)", "zrn" },
        { "bias", SQI_B, "s(gh)", "zrn" } } },
    { "keras", SQ_LAYOUT_GRU_BEFORE, EACH, "", 0, true,
      { { "kernel", SQI_W, "i(gh)", "zrn" }, { "recurrent_kernel", SQI_U, "k(gh)", "zrn" },
        { "bias", SQI_B, "(gh)", "zrn" } } },
    { "keras", SQ_LAYOUT_RNN, EACH, "", 0, true,
      { { "kernel", SQI_W, "i(gh)", "n" }, { "recurrent_kernel", SQI_U, "k(gh)", "n" },
        { "bias", SQI_B, "(gh)", "n" } } },

    { "onnx", SQ_LAYOUT_LSTM, "layer{l}/", "", 0, true,
      { { "W", SQI_W, "d(gh)i", "iofg" }, { "R", SQI_U, "d(gh)k", "iofg" },
        { "B", SQI_B, "d(sgh)", "iofg" } } },
    { "onnx", SQ_LAYOUT_GRU_BEFORE, "layer{l}/", "", 0, true,
      { { "W", SQI_W, "d(gh)i", "zrn" }, { "R", SQI_U, "d(gh)k", "zrn" },
        { "B", SQI_B, "d(sgh)", "zrn" } } },
    { "onnx", SQ_LAYOUT_GRU_AFTER, "layer{l}/", "", 0, true,
      { { "W", SQI_W, "d(gh)i", "zrn" }, { "R", SQI_U, "d(gh)k", "zrn" },
        { "B", SQI_B, "d(sgh)", "zrn" } } },
    { "onnx", SQ_LAYOUT_RNN, "layer{l}/", "", 0, true,
      { { "W", SQI_W, "d(gh)i", "n" }, { "R", SQI_U, "d(gh)k", "n" },
        { "B", SQI_B, "d(sgh)", "n" } } },

    { "onednn", SQ_LAYOUT_LSTM, "", "", 0, true,
      { { "weights_layer", SQI_W, "ldigh", "ifgo" }, { "weights_iter", SQI_U, "ldkgh", "ifgo" },
        { "bias", SQI_B, "ldgh", "ifgo" } } },
    { "onednn", SQ_LAYOUT_LSTM_PROJECTED, "", "", 0, true,
      { { "weights_layer", SQI_W, "ldigh", "ifgo" }, { "weights_iter", SQI_U, "ldkgh", "ifgo" },
        { "bias", SQI_B, "ldgh", "ifgo" }, { "weights_projection", SQI_R, "ldhp", "" } } },
    { "onednn", SQ_LAYOUT_GRU_BEFORE, "", "", 0, true,
      { { "weights_layer", SQI_W, "ldigh", "zrn" }, { "weights_iter", SQI_U, "ldkgh", "zrn" },
        { "bias", SQI_B, "ldgh", "zrn" } } },
    { "onednn", SQ_LAYOUT_GRU_AFTER, "", "", 0, true,
      { { "weights_layer", SQI_W, "ldigh", "zrn" }, { "weights_iter", SQI_U, "ldkgh", "zrn" },
        { "bias", SQI_B, "ldgh", "zrnN" } } },
    { "onednn", SQ_LAYOUT_RNN, "", "", 0, true,
      { { "weights_layer", SQI_W, "ldigh", "n" }, { "weights_iter", SQI_U, "ldkgh", "n" },
        { "bias", SQI_B, "ldgh", "n" } } },

    { "chainer", SQ_LAYOUT_LSTM, EACH, "", 0, false,
      { { "upward/W", SQI_W, "(hg)i", "gifo" }, { "lateral/W", SQI_U, "(hg)k", "gifo" },
        { "upward/b", SQI_B, "(hg)", "gifo" } } },
    { "chainer", SQ_LAYOUT_GRU_BEFORE, EACH, "z", 0, false,
      { { "W_r/W", SQI_W, "hi", "r" }, { "W_z/W", SQI_W, "hi", "z" },
        { "W/W", SQI_W, "hi", "n" }, { "U_r/W", SQI_U, "hk", "r" },
        { "U_z/W", SQI_U, "hk", "z" }, { "U/W", SQI_U, "hk", "n" },
        { "W_r/b", SQI_B, "h", "r" }, { "W_z/b", SQI_B, "h", "z" }, { "W/b", SQI_B, "h", "n" },
        { "U_r/b", SQI_D, "h", "r" }, { "U_z/b", SQI_D, "h", "z" },
        { "U/b", SQI_D, "h", "n" } } },
    { "chainer", SQ_LAYOUT_RNN, EACH, "", 0, false, /* a layer of NStepRNNTanh */
      { { "w0", SQI_W, "hi", "n" }, { "w1", SQI_U, "hk", "n" }, { "b0", SQI_B, "h", "n" },
        { "b1", SQI_D, "h", "n" } } },

    { "dynet", SQ_LAYOUT_LSTM, EACH, "", 1, false,
      { { "Wx", SQI_W, "(gh)i", "ifog" }, { "Wh", SQI_U, "(gh)k", "ifog" },
        { "b", SQI_B, "(gh)", "ifog" } } },
    { "dynet", SQ_LAYOUT_GRU_BEFORE, EACH, "z", 0, false,
      { { "x2z", SQI_W, "hi", "z" }, { "h2z", SQI_U, "hk", "z" }, { "bz", SQI_B, "h", "z" },
        { "x2r", SQI_W, "hi", "r" }, { "h2r", SQI_U, "hk", "r" }, { "br", SQI_B, "h", "r" },
        { "x2h", SQI_W, "hi", "n" }, { "h2h", SQI_U, "hk", "n" }, { "bh", SQI_B, "h", "n" } } },
    { "dynet", SQ_LAYOUT_RNN, EACH, "", 0, false,
      { { "x2h", SQI_W, "hi", "n" }, { "h2h", SQI_U, "hk", "n" }, { "hb", SQI_B, "h", "n" } } },

    { "dynet-0", SQ_LAYOUT_LSTM, EACH, "", 0, false,
      { { "Wx", SQI_W, "(gh)i", "ifog" }, { "Wh", SQI_U, "(gh)k", "ifog" },
        { "b", SQI_B, "(gh)", "ifog" } } },

    { "kann", SQ_LAYOUT_LSTM, EACH, "", 0, false,
      { { "w_i", SQI_W, "hi", "i" }, { "u_i", SQI_U, "hk", "i" }, { "b_i", SQI_B, "h", "i" },
        { "w_f", SQI_W, "hi", "f" }, { "u_f", SQI_U, "hk", "f" }, { "b_f", SQI_B, "h", "f" },
        { "w_o", SQI_W, "hi", "o" }, { "u_o", SQI_U, "hk", "o" }, { "b_o", SQI_B, "h", "o" },
        { "w_g", SQI_W, "hi", "g" }, { "u_g", SQI_U, "hk", "g" },
        { "b_g", SQI_B, "h", "g" } } },
    { "kann", SQ_LAYOUT_GRU_BEFORE, EACH, "", 0, false,
      { { "w_z", SQI_W, "hi", "z" }, { "u_z", SQI_U, "hk", "z" }, { "b_z", SQI_B, "h", "z" },
        { "w_r", SQI_W, "hi", "r" }, { "u_r", SQI_U, "hk", "r" }, { "b_r", SQI_B, "h", "r" },
        { "w_s", SQI_W, "hi", "n" }, { "u_s", SQI_U, "hk", "n" },
        { "b_s", SQI_B, "h", "n" } } },
    { "kann", SQ_LAYOUT_RNN, EACH, "", 0, false,
      { { "w", SQI_W, "hi", "n" }, { "u", SQI_U, "hk", "n" }, { "b", SQI_B, "h", "n" } } },

    { "flux", SQ_LAYOUT_LSTM, EACH, "", 0, true,
      { { "Wi", SQI_W, "(gh)i", "ifgo" }, { "Wh", SQI_U, "(gh)k", "ifgo" },
        { "b", SQI_B, "(gh)", "ifgo" } } },
    { "flux", SQ_LAYOUT_GRU_AFTER, EACH, "", 0, true,
      { { "Wi", SQI_W, "(gh)i", "rzn" }, { "Wh", SQI_U, "(gh)k", "rzn" },
        { "b", SQI_B, "(gh)", "rzn" } } },
    { "flux", SQ_LAYOUT_GRU_BEFORE, EACH, "", 0, true, /* GRUv3 */
      { { "Wi", SQI_W, "(gh)i", "rzn" }, { "Wh", SQI_U, "(gh)k", "rz-" },
        { "Wh_h\xcc\x83", SQI_U, "hk", "n" }, { "b", SQI_B, "(gh)", "rzn" } } },
    { "flux", SQ_LAYOUT_RNN, EACH, "", 0, true,
      { { "Wi", SQI_W, "(gh)i", "n" }, { "Wh", SQI_U, "(gh)k", "n" },
        { "b", SQI_B, "(gh)", "n" } } },
};
/* clang-format on */
enum { N_ROWS = sizeof rows / sizeof rows[0] };

const sqi_layout_row *sqi_layout_row_at(int32_t i)
{
    return i >= 0 && i < N_ROWS ? &rows[i] : NULL;
}

const sqi_layout_row *sqi_layout_row_of(const char *layout, sq_layout_cell cell)
{
    for (int32_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].layout, layout) == 0 &&
            (cell == SQ_LAYOUT_ANY || rows[i].cell == cell))
            return &rows[i];
    return NULL;
}

static bool begins(int32_t row) /* the first of its layout */
{
    return row == 0 || strcmp(rows[row].layout, rows[row - 1].layout) != 0;
}

int32_t sq_layout_count(void)
{
    int32_t n = 0;
    for (int32_t i = 0; i < N_ROWS; i++) n += begins(i);
    return n;
}

const char *sq_layout_name(int32_t i)
{
    for (int32_t k = 0; k < N_ROWS && i >= 0; k++)
        if (begins(k) && i-- == 0) return rows[k].layout;
    return NULL;
}

static const struct {
    const char *name, *gates;
} cells[] = {
    [SQ_LAYOUT_ANY] = { "", "" },
    [SQ_LAYOUT_RNN] = { "rnn", "n" },
    [SQ_LAYOUT_LSTM] = { "lstm", "ifgo" },
    [SQ_LAYOUT_LSTM_PROJECTED] = { "lstm, projected", "ifgo" },
    [SQ_LAYOUT_GRU_AFTER] = { "gru, reset after", "rzn" },
    [SQ_LAYOUT_GRU_BEFORE] = { "gru, reset before", "rzn" },
};
enum { N_CELLS = sizeof cells / sizeof cells[0] };

const char *sq_layout_cell_name(sq_layout_cell cell)
{
    return (unsigned)cell < N_CELLS ? cells[cell].name : "";
}

const char *sqi_layout_gates(sq_layout_cell cell)
{
    return (unsigned)cell < N_CELLS ? cells[cell].gates : "";
}
