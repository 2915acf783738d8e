/* variants.c -- two relatives of the LSTM: with peepholes (Gers & Schmidhuber 2000, Graves
 * 2013), and with layer normalisation (Ba, Kiros & Hinton 2016).
 *
 * Peepholes let the gates see the memory they guard: i and f look at the old c, o at the new
 * one, each unit at its own only. Layer normalisation sets every product's scale anew at each
 * step, so that neither large weights nor long sequences drive the gates into saturation. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

enum { I, F, G, O, N_GATES };

static const char W_names[N_GATES][4] = { "W_i", "W_f", "W_g", "W_o" };
static const char b_names[N_GATES][4] = { "b_i", "b_f", "b_g", "b_o" };
static const char U_names[N_GATES][4] = { "U_i", "U_f", "U_g", "U_o" };

/* ---- Peepholes --------------------------------------------------------------------------- */

/* x W_k + b_k + h U_k */
static sq_var from_outside(sq_tape *t, const sq_peephole *w, sq_var x, sq_var h, int k)
{
    return sq_add(sq_affine(x, sq_use(t, w->W[k]), sq_use(t, w->b[k])),
                  sq_matmul(h, sq_use(t, w->U[k])));
}

/* sigmoid(x W_k + b_k + h U_k + p * c) */
static sq_var peeping(sq_tape *t, const sq_peephole *w, sq_var x, sq_var h, sq_var c, int k,
                      sq_weight p)
{
    return sq_sigmoid(sq_add(from_outside(t, w, x, h, k), sq_mul(sq_use(t, p), c)));
}

static sq_var peephole_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_peephole *w = self;
    sq_var h = state[0], c = state[1];
    sq_var i = sq_name(peeping(t, w, x, h, c, I, w->p_i), "i");
    sq_var f = sq_name(peeping(t, w, x, h, c, F, w->p_f), "f");
    sq_var g = sq_name(sq_tanh(from_outside(t, w, x, h, G)), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    /* c' = f * c + i * g;   o sees c';   h' = o * tanh(c') */
    state[1] = sq_add(sq_mul(f, c), sq_mul(i, g));
    sq_var o = sq_name(peeping(t, w, x, h, state[1], O, w->p_o), "o");
    return state[0] = sq_mul(o, sq_tanh(state[1]));
}

sq_status sq_peephole_init(sq_peephole *w, sq_params *p, const char *prefix, int64_t in,
                           int64_t hidden, uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_peephole){ .width = { hidden, hidden } };
    for (int k = 0; k < N_GATES; k++) {
        w->W[k] = sqi_cell_weight(&to, W_names[k], sq_mat(in, hidden));
        w->b[k] = sqi_cell_weight(&to, b_names[k], sq_vec(hidden));
        w->U[k] = sqi_cell_weight(&to, U_names[k], sq_mat(hidden, hidden));
    }
    w->p_i = sqi_cell_weight(&to, "p_i", sq_vec(hidden));
    w->p_f = sqi_cell_weight(&to, "p_f", sq_vec(hidden));
    w->p_o = sqi_cell_weight(&to, "p_o", sq_vec(hidden));
    return sq_init_constant(p, w->b[F], 1);
}

sq_cell sq_peephole_cell(const sq_peephole *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "peephole", 2, w->width, names, peephole_step, w };
}

/* ---- Layer normalisation ----------------------------------------------------------------- */

static const double eps = 1e-5;

/* LN(v) * gain */
static sq_var normed(sq_tape *t, sq_var v, sq_weight gain)
{
    return sq_mul(sq_layer_norm(v, eps), sq_use(t, gain));
}

/* LN(x W_k) * gx_k + LN(h U_k) * gh_k + b_k */
static sq_var gate(sq_tape *t, const sq_lnlstm *w, sq_var x, sq_var h, int k)
{
    sq_var from_x = normed(t, sq_matmul(x, sq_use(t, w->W[k])), w->gx[k]);
    sq_var from_h = normed(t, sq_matmul(h, sq_use(t, w->U[k])), w->gh[k]);
    return sq_add(sq_add(from_x, from_h), sq_use(t, w->b[k]));
}

static sq_var lnlstm_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_lnlstm *w = self;
    sq_var h = state[0], c = state[1];
    sq_var i = sq_name(sq_sigmoid(gate(t, w, x, h, I)), "i");
    sq_var f = sq_name(sq_sigmoid(gate(t, w, x, h, F)), "f");
    sq_var g = sq_name(sq_tanh(gate(t, w, x, h, G)), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    sq_var o = sq_name(sq_sigmoid(gate(t, w, x, h, O)), "o");
    /* c' = f * c + i * g,   h' = o * tanh(LN(c') * g_c + b_c) */
    state[1] = sq_add(sq_mul(f, c), sq_mul(i, g));
    sq_var shown = sq_add(normed(t, state[1], w->g_c), sq_use(t, w->b_c));
    return state[0] = sq_mul(o, sq_tanh(shown));
}

/* prefix.name, every element `value` */
static sq_weight constant(const sqi_cell_weights *to, const char *name, double value)
{
    sq_weight w = sqi_cell_weight(to, name, sq_vec(to->hidden));
    (void)sq_init_constant(to->params, w, value);
    return w;
}

sq_status sq_lnlstm_init(sq_lnlstm *w, sq_params *p, const char *prefix, int64_t in,
                         int64_t hidden, uint64_t seed)
{
    static const char gx_names[N_GATES][5] = { "gx_i", "gx_f", "gx_g", "gx_o" };
    static const char gh_names[N_GATES][5] = { "gh_i", "gh_f", "gh_g", "gh_o" };
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_lnlstm){ .width = { hidden, hidden } };
    for (int k = 0; k < N_GATES; k++) {
        w->W[k] = sqi_cell_weight(&to, W_names[k], sq_mat(in, hidden));
        w->b[k] = sqi_cell_weight(&to, b_names[k], sq_vec(hidden));
        w->U[k] = sqi_cell_weight(&to, U_names[k], sq_mat(hidden, hidden));
        w->gx[k] = constant(&to, gx_names[k], 1);
        w->gh[k] = constant(&to, gh_names[k], 1);
    }
    w->g_c = constant(&to, "g_c", 1);
    w->b_c = constant(&to, "b_c", 0);
    return sq_init_constant(p, w->b[F], 1);
}

sq_cell sq_lnlstm_cell(const sq_lnlstm *w)
{
    static const char *const names[] = { "h", "c" };
    return (sq_cell){ "lnlstm", 2, w->width, names, lnlstm_step, w };
}
