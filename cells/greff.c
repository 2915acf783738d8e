/* greff.c -- the LSTM with peepholes and its eight variants of Greff, Srivastava, Koutnik,
 * Steunebrink & Schmidhuber ("LSTM: A Search Space Odyssey", 2017), as one cell with switches.
 *
 * Each switch takes one thing away, or adds one, so that what a part is worth can be measured by
 * leaving it out. A gate that is taken away is 1 and has no weights. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "cells/init.h"
#include "ops/ops.h"

enum { I, F, G, O, N_GATES, H = 0, C = 1, OLD_GATES = 2 };

static const char letters[] = "ifgo";
/* i, f and o among the peepholes and in the gate recurrence. */
static const int gate_of[3] = { I, F, O };

static bool has(const sq_greff *w, uint32_t one) { return (w->switches & one) != 0; }

/* x W_k + b_k + h U_k */
static sq_var from_outside(sq_tape *t, const sq_greff *w, sq_var x, const sq_var *state, int k)
{
    return sqi_gate_sum(t, x, w->W[k], w->b[k], state[H], w->U[k]);
}

/* sigmoid(x W_k + b_k + h U_k + p_k * c + i R_ik + f R_fk + o R_ok), c being the old memory or
 * the new one, i, f and o those of the step before. n is the gate's place among i, f, o. */
static sq_var gate(sq_tape *t, const sq_greff *w, sq_var x, const sq_var *state, int n,
                   sq_var c)
{
    sq_var sum = from_outside(t, w, x, state, gate_of[n]);
    if (!has(w, SQ_GREFF_NP)) sum = sq_add(sum, sq_mul(sq_use(t, w->p[n]), c));
    if (has(w, SQ_GREFF_FGR))
        for (int from = 0; from < 3; from++)
            sum = sq_add(sum, sq_matmul(state[OLD_GATES + from], sq_use(t, w->R[from][n])));
    return sq_name(sq_sigmoid(sum), (const char[]){ letters[gate_of[n]], 0 });
}

/* gate * v, or v where the gate was taken away. */
static sq_var gated(sq_var gate, sq_var v) { return gate.id ? sq_mul(gate, v) : v; }

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_greff *w = self;
    sq_var c = state[C], i = { 0 }, f = { 0 }, o = { 0 };
    if (!has(w, SQ_GREFF_NIG)) i = gate(t, w, x, state, 0, c);
    if (has(w, SQ_GREFF_CIFG)) f = sq_name(sq_rsub_scalar(i, 1), "f");
    else if (!has(w, SQ_GREFF_NFG)) f = gate(t, w, x, state, 1, c);
    sq_var g = from_outside(t, w, x, state, G);
    g = sq_name(has(w, SQ_GREFF_NIAF) ? g : sq_tanh(g), "g");
    g = sqi_dropped(g, w->drop.rate, w->drop.mask);
    /* c' = f * c + i * g;   o sees c';   h' = o * tanh(c') */
    c = sq_add(gated(f, c), gated(i, g));
    if (!has(w, SQ_GREFF_NOG)) o = gate(t, w, x, state, 2, c);
    state[H] = gated(o, has(w, SQ_GREFF_NOAF) ? c : sq_tanh(c));
    state[C] = c;
    if (has(w, SQ_GREFF_FGR)) {
        state[OLD_GATES] = i;
        state[OLD_GATES + 1] = f;
        state[OLD_GATES + 2] = o;
    }
    return state[H];
}

/* False when these switches do not go together (posted). */
static bool sane(sq_params *p, uint32_t s)
{
    const uint32_t all = 2 * SQ_GREFF_FGR - 1;
    if (s > all)
        return sq_params_post(p, SQ_EVALUE, "greff: there are no switches 0x%x",
                              (unsigned)(s & ~all));
    if (s & SQ_GREFF_CIFG && s & (SQ_GREFF_NIG | SQ_GREFF_NFG))
        return sq_params_post(p, SQ_EVALUE,
                              "greff: coupled gates (CIFG) leave no NIG and no NFG");
    if (s & SQ_GREFF_FGR && s & (SQ_GREFF_NIG | SQ_GREFF_NFG | SQ_GREFF_NOG | SQ_GREFF_CIFG))
        return sq_params_post(p, SQ_EVALUE,
                              "greff: full gate recurrence (FGR) needs all three gates");
    return true;
}

/* Whether gate k has weights of its own. */
static bool exists(const sq_greff *w, int k)
{
    static const uint32_t absent[N_GATES] = { SQ_GREFF_NIG, SQ_GREFF_NFG | SQ_GREFF_CIFG, 0,
                                              SQ_GREFF_NOG };
    return !has(w, absent[k]);
}

static void add_between_gates(sq_greff *w, const sqi_cell_weights *to)
{
    for (int n = 0; n < 3; n++) {
        char p[] = "p_k", R[] = "R_jk";
        p[2] = R[3] = letters[gate_of[n]];
        if (!has(w, SQ_GREFF_NP) && exists(w, gate_of[n]))
            w->p[n] = sqi_cell_weight(to, p, sq_vec(to->hidden));
        for (int from = 0; from < 3 && has(w, SQ_GREFF_FGR); from++) {
            R[2] = letters[gate_of[from]];
            w->R[from][n] = sqi_cell_weight(to, R, sq_mat(to->hidden, to->hidden));
        }
    }
}

sq_status sq_greff_init(sq_greff *w, sq_params *p, const char *prefix, int64_t in,
                        int64_t hidden, uint32_t switches, uint64_t seed)
{
    const sqi_cell_weights to = { p, prefix, hidden, seed };
    *w = (sq_greff){ .width = { hidden, hidden, hidden, hidden, hidden } };
    if (!sane(p, switches)) return sq_params_status(p);
    w->switches = switches;
    for (int k = 0; k < N_GATES; k++)
        if (exists(w, k))
            sqi_cell_gate(&to, letters[k], in, hidden,
                          (sqi_gate_weights){ &w->W[k], &w->b[k], &w->U[k] });
    add_between_gates(w, &to);
    if (has(w, SQ_GREFF_CIFG)) return sq_init_constant(p, w->b[I], -1);
    return exists(w, F) ? sq_init_constant(p, w->b[F], 1) : sq_params_status(p);
}

sq_cell sq_greff_cell(const sq_greff *w)
{
    static const char *const names[] = { "h", "c", "i", "f", "o" };
    return (sq_cell){ "greff", has(w, SQ_GREFF_FGR) ? 5 : 2, w->width, names, step, w };
}
