#!/usr/bin/env python3
"""Golden values of the recurrent cells, from PyTorch in float64.

    python3 tests/golden/cells.py > tests/golden/cells.h

nn.RNN, nn.LSTM and nn.GRU give the tanh and relu RNN, the LSTM, also with a projection, the
reset-after GRU and the two-layer stacks. The others PyTorch does not have: they are written out
here from their papers, one equation per line, and differentiated by its autograd.

The loss is sum(outputs * a) + sum_k(last state k * b_k) with fixed random a and b. Weights are
written under seqgrad's names and in its layout, W [in,out]; PyTorch's two biases are summed,
except in the candidate gate of the GRU, where b_hn is seqgrad's d_n.

Made with PyTorch 1.13.0 (python3-torch of Debian 12).
"""

import torch
from torch import nn
from torch.nn.functional import layer_norm

torch.set_default_dtype(torch.float64)
torch.manual_seed(20240)
B, I, H = 2, 3, 4
STEPS = (1, 7, 50)
GATES = {"lstm": "ifgo", "gru_after": "rzn", "gru_before": "rzn"}


def numbers(*shape):
    return torch.rand(*shape) * 2 - 1


class Case:
    """One cell at one length: everything that the C test loads or compares."""

    def __init__(self, kind, layers, T, widths=None):
        self.kind, self.layers, self.T = kind, layers, T
        self.name = f"{kind}{'_stack' if layers > 1 else ''}_{T}"
        n_states = layers * (2 if kind in ("lstm", "peephole", "lnlstm") else 1)
        widths = widths or [H] * n_states
        self.x = numbers(T, B, I).requires_grad_()
        self.state0 = [numbers(B, n).requires_grad_() for n in widths]
        self.mix_out = numbers(T, B, widths[0])
        self.mix_last = [numbers(B, n) for n in widths]
        self.weights = []  # (name, value, gradient)

    def finish(self, outputs, last):
        self.outputs, self.last = outputs, last
        loss = (outputs * self.mix_out).sum()
        for value, mix in zip(last, self.mix_last):
            loss = loss + (value * mix).sum()
        loss.backward()


def from_torch(kind, layers, T):
    c = Case(kind, layers, T)
    make = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN, "lstm": nn.LSTM, "gru_after": nn.GRU}[kind]
    extra = {"nonlinearity": kind[4:]} if make is nn.RNN else {}
    net = make(I, H, num_layers=layers, **extra)
    if kind == "lstm":
        h0, c0 = torch.stack(c.state0[0::2]), torch.stack(c.state0[1::2])
        outputs, (hn, cn) = net(c.x, (h0, c0))
        last = [s for k in range(layers) for s in (hn[k], cn[k])]
    else:
        outputs, hn = net(c.x, torch.stack(c.state0))
        last = list(hn)
    c.finish(outputs, last)
    for k in range(layers):
        add_torch_weights(c, net, k)
    return c


def add_torch_weights(c, net, layer):
    W, U = getattr(net, f"weight_ih_l{layer}"), getattr(net, f"weight_hh_l{layer}")
    b, d = getattr(net, f"bias_ih_l{layer}"), getattr(net, f"bias_hh_l{layer}")
    for k, gate in enumerate(GATES.get(c.kind, [""])):
        part = slice(k * H, (k + 1) * H)
        tail = "_" + gate if gate else ""
        name = lambda letter: f"l{layer}.{letter}{tail}"
        own_d = c.kind == "gru_after" and gate == "n"
        c.weights.append((name("W"), W.data[part].T, W.grad[part].T))
        bias = b.data[part] if own_d else b.data[part] + d.data[part]
        c.weights.append((name("b"), bias, b.grad[part]))
        c.weights.append((name("U"), U.data[part].T, U.grad[part].T))
        if own_d:
            c.weights.append((name("d"), d.data[part], d.grad[part]))


def projected(T):
    """The hidden size of seqgrad's test cell is one more than what it is projected to."""
    c = Case("lstmp", 1, T, [H, H + 1])
    net = nn.LSTM(I, H + 1, proj_size=H)
    outputs, last = net(c.x, tuple(s.unsqueeze(0) for s in c.state0))
    c.finish(outputs, [s[0] for s in last])
    for k, gate in enumerate("ifgo"):
        part = slice(k * (H + 1), (k + 1) * (H + 1))
        for name, w in (("W", net.weight_ih_l0), ("U", net.weight_hh_l0)):
            c.weights.append((f"l0.{name}_{gate}", w.data[part].T, w.grad[part].T))
        bias = net.bias_ih_l0.data[part] + net.bias_hh_l0.data[part]
        c.weights.append((f"l0.b_{gate}", bias, net.bias_ih_l0.grad[part]))
    c.weights.append(("l0.R", net.weight_hr_l0.data.T, net.weight_hr_l0.grad.T))
    return c


def rnn_sigmoid(w, x, h):
    return torch.sigmoid(x @ w["W"] + w["b"] + h @ w["U"])


def gru_before(w, x, h):
    r = torch.sigmoid(x @ w["W_r"] + w["b_r"] + h @ w["U_r"])
    z = torch.sigmoid(x @ w["W_z"] + w["b_z"] + h @ w["U_z"])
    n = torch.tanh(x @ w["W_n"] + w["b_n"] + (r * h) @ w["U_n"])
    return (1 - z) * n + z * h


def mgu(w, x, h):
    f = torch.sigmoid(x @ w["W"] + w["b"] + h @ w["U"])
    c = torch.tanh(x @ w["V"] + w["d"] + (f * h) @ w["R"])
    return (1 - f) * h + f * c


def peephole(w, x, h, c):
    i = torch.sigmoid(x @ w["W_i"] + w["b_i"] + h @ w["U_i"] + w["p_i"] * c)
    f = torch.sigmoid(x @ w["W_f"] + w["b_f"] + h @ w["U_f"] + w["p_f"] * c)
    c = f * c + i * torch.tanh(x @ w["W_g"] + w["b_g"] + h @ w["U_g"])
    o = torch.sigmoid(x @ w["W_o"] + w["b_o"] + h @ w["U_o"] + w["p_o"] * c)
    return o * torch.tanh(c), c


def lnlstm(w, x, h, c):
    LN = lambda v, gain, bias=None: layer_norm(v, (H,), gain, bias, 1e-5)
    z = {k: LN(x @ w["W_" + k], w["gx_" + k]) + LN(h @ w["U_" + k], w["gh_" + k]) + w["b_" + k]
         for k in "ifgo"}
    c = torch.sigmoid(z["f"]) * c + torch.sigmoid(z["i"]) * torch.tanh(z["g"])
    return torch.sigmoid(z["o"]) * torch.tanh(LN(c, w["g_c"], w["b_c"])), c


def sigmoid_sum(w, x, h, k):
    return torch.sigmoid(x @ w["W_" + k] + w["b_" + k] + h @ w["U_" + k])


def gru_between(w, x, h):
    r, z = sigmoid_sum(w, x, h, "r"), sigmoid_sum(w, x, h, "z")
    n = torch.tanh(x @ w["W_n"] + w["b_n"] + (r * (h @ w["U_n"])) @ w["V_n"])
    return (1 - z) * n + z * h


def lngru(w, x, h):
    LN = lambda v, gain: layer_norm(v, (H,), gain, None, 1e-5)
    from_x = {k: LN(x @ w["W_" + k], w["gx_" + k]) + w["b_" + k] for k in "rzn"}
    from_h = {k: LN(h @ w["U_" + k], w["gh_" + k]) for k in "rzn"}
    r, z = torch.sigmoid(from_x["r"] + from_h["r"]), torch.sigmoid(from_x["z"] + from_h["z"])
    n = torch.tanh(from_x["n"] + r * (from_h["n"] + w["d_n"]))
    return (1 - z) * n + z * h


def cifg(w, x, h, c):
    f, o = sigmoid_sum(w, x, h, "f"), sigmoid_sum(w, x, h, "o")
    c = f * c + (1 - f) * torch.tanh(x @ w["W_g"] + w["b_g"] + h @ w["U_g"])
    return o * torch.tanh(c), c


def lstm97(w, x, h, c):
    squash = lambda v, a: 2 * a * torch.sigmoid(v) - a
    i, o = sigmoid_sum(w, x, h, "i"), sigmoid_sum(w, x, h, "o")
    c = c + i * squash(x @ w["W_g"] + w["b_g"] + h @ w["U_g"], 2)
    return o * squash(c, 1), c


def greff(variant):
    """Section III of "LSTM: A Search Space Odyssey", equation by equation; z is seqgrad's g."""

    def step(w, x, y, c, *old):
        full = lambda k: sum(v @ w[f"R_{j}{k}"] for j, v in zip("ifo", old)) if old else 0
        peep = lambda k, c: w["p_" + k] * c if variant != "np" else 0
        gate = lambda k, c: torch.sigmoid(
            x @ w["W_" + k] + y @ w["U_" + k] + peep(k, c) + w["b_" + k] + full(k))
        z = x @ w["W_g"] + y @ w["U_g"] + w["b_g"]
        z = z if variant == "niaf" else torch.tanh(z)
        i = 1 if variant == "nig" else gate("i", c)
        f = 1 if variant == "nfg" else 1 - i if variant == "cifg" else gate("f", c)
        c = z * i + c * f
        o = 1 if variant == "nog" else gate("o", c)
        y = (c if variant == "noaf" else torch.tanh(c)) * o
        return (y, c, i, f, o) if old else (y, c)

    return step


def greff_names(variant):
    gone = {"nig": "i", "nfg": "f", "nog": "o", "cifg": "f"}.get(variant, "")
    gates = [k for k in "ifgo" if k != gone]
    names = [f"{letter}_{k}" for k in gates for letter in "WbU"]
    if variant != "np":
        names += ["p_" + k for k in gates if k != "g"]
    if variant == "fgr":
        names += [f"R_{j}{k}" for j in "ifo" for k in "ifo"]
    return names


PERIODS = (1, 2)  # of the test's clockwork with H = 4 units


class Clock:
    """Module k moves where t mod T_k = 0, seeing itself and the slower ones."""

    def __init__(self):
        self.t = 0

    def __call__(self, w, x, h, count):
        n, parts = H // len(PERIODS), []
        for k, period in enumerate(PERIODS):
            new = torch.tanh(x @ w[f"W_{k}"] + w[f"b_{k}"] + h[:, k * n:] @ w[f"U_{k}"])
            parts.append(new if self.t % period == 0 else h[:, k * n:(k + 1) * n])
        self.t += 1
        return torch.cat(parts, 1), torch.tensor([self.t % p for p in PERIODS]) + 0 * count


def clockwork(T):
    n = H // len(PERIODS)
    shapes = {}
    for k in range(len(PERIODS)):
        shapes |= {f"W_{k}": (I, n), f"b_{k}": (n,), f"U_{k}": (H - k * n, n)}
    zero = torch.zeros(B, len(PERIODS))
    return written_out("clockwork", Clock(), shapes, T, [H, len(PERIODS)], {1: zero})


def written_out(kind, step, names, T, widths=None, states={}):
    """names: a list, the first letter telling the shape, or a dict with the shapes themselves.
    states: those that do not start at random numbers, and do not enter the loss."""
    c = Case(kind, 1, T, widths)
    for k, value in states.items():
        c.state0[k] = value.requires_grad_()
        c.mix_last[k] = torch.zeros_like(value)
    size = {"W": (I, H), "V": (I, H), "U": (H, H), "R": (H, H)}
    shape = lambda n: names[n] if isinstance(names, dict) else size.get(n[0], (H,))
    w = {n: (numbers(*shape(n)) / H**0.5).requires_grad_() for n in names}
    state, outputs = c.state0, []
    for t in range(T):
        state = step(w, c.x[t], *state)
        state = list(state) if len(c.state0) > 1 else [state]
        outputs.append(state[0])
    c.finish(torch.stack(outputs), state)
    c.weights = [("l0." + n, v.data, v.grad) for n, v in w.items()]
    return c


def cases():
    for T in STEPS:
        for kind in ("rnn_tanh", "rnn_relu", "lstm", "gru_after"):
            yield from_torch(kind, 1, T)
        for kind in ("lstm", "gru_after"):
            yield from_torch(kind, 2, T)
        yield written_out("rnn_sigmoid", rnn_sigmoid, ("W", "b", "U"), T)
        gates = [f"{letter}_{gate}" for gate in "rzn" for letter in "WbU"]
        yield written_out("gru_before", gru_before, gates, T)
        yield written_out("mgu", mgu, ("W", "b", "U", "V", "d", "R"), T)
    for T in STEPS:
        gates = [f"{letter}_{gate}" for gate in "ifgo" for letter in "WbU"]
        yield written_out("peephole", peephole, gates + ["p_i", "p_f", "p_o"], T)
        gains = [f"{letter}_{gate}" for gate in "ifgo" for letter in ("gx", "gh")]
        yield written_out("lnlstm", lnlstm, gates + gains + ["g_c", "b_c"], T)
    for T in (1, 7):
        yield from later_cases(T)


def later_cases(T):
    gates = lambda letters: [f"{letter}_{gate}" for gate in letters for letter in "WbU"]
    yield projected(T)
    shapes = {n: (I, H) if n[0] == "W" else (H,) if n[0] == "b" else (H, H)
              for n in gates("rzn") + ["V_n"]}
    yield written_out("gru_between", gru_between, shapes, T)
    gains = [f"{letter}_{gate}" for gate in "rzn" for letter in ("gx", "gh")]
    yield written_out("lngru", lngru, gates("rzn") + gains + ["d_n"], T)
    yield written_out("cifg", cifg, gates("fgo"), T, [H, H])
    yield written_out("lstm97", lstm97, gates("igo"), T, [H, H])
    for variant in ("v", "nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr"):
        widths = [H] * (5 if variant == "fgr" else 2)
        yield written_out("greff_" + variant, greff(variant), greff_names(variant), T, widths)
    yield clockwork(T)


HEAD = """/* cells.h -- golden values of the recurrent cells, written by cells.py: do not edit.
 *
 * B, I and H are the same everywhere. Arrays are row-major: x [T,B,I], outputs [T,B,H], states
 * [B,H], or as wide as they are, one after the other in the order of seqgrad's stack, weights
 * [in,out]. */
#ifndef SQ_TESTS_GOLDEN_CELLS_H
#define SQ_TESTS_GOLDEN_CELLS_H

/* clang-format off */

enum { GOLDEN_B = %d, GOLDEN_I = %d, GOLDEN_H = %d };

typedef struct golden_weight {
    const char *name;
    const double *value, *grad;
} golden_weight;

typedef struct golden_case {
    const char *name, *kind;
    int layers, steps, n_states, n_weights;
    const golden_weight *weights;
    const double *x, *state0, *mix_outputs, *mix_last; /* what goes in */
    const double *outputs, *last, *grad_x, *grad_state0; /* what comes out */
} golden_case;
"""


def array(name, tensor):
    flat = ["%.17g" % v for v in tensor.detach().reshape(-1).tolist()]
    print(f"static const double {name}[] = {{")
    for i in range(0, len(flat), 3):
        print("    " + ", ".join(flat[i:i + 3]) + ",")
    print("};")


def write(c):
    flat = lambda states: torch.cat([s.reshape(-1) for s in states])
    print()
    for k, (_, value, grad) in enumerate(c.weights):
        array(f"{c.name}_w{k}", value)
        array(f"{c.name}_g{k}", grad)
    array(f"{c.name}_x", c.x)
    array(f"{c.name}_s0", flat(c.state0))
    array(f"{c.name}_a", c.mix_out)
    array(f"{c.name}_b", flat(c.mix_last))
    array(f"{c.name}_y", c.outputs)
    array(f"{c.name}_sT", flat(c.last))
    array(f"{c.name}_gx", c.x.grad)
    array(f"{c.name}_gs0", flat([s.grad for s in c.state0]))
    print(f"static const golden_weight {c.name}_weights[] = {{")
    for k, (name, _, _) in enumerate(c.weights):
        print(f'    {{ "{name}", {c.name}_w{k}, {c.name}_g{k} }},')
    print("};")


def main():
    print(HEAD % (B, I, H), end="")
    rows = []
    for c in cases():
        write(c)
        n = c.name
        rows.append(f'    {{ "{n}", "{c.kind}", {c.layers}, {c.T}, {len(c.state0)}, '
                    f'{len(c.weights)}, {n}_weights,\n      {n}_x, {n}_s0, {n}_a, {n}_b,\n'
                    f'      {n}_y, {n}_sT,\n      {n}_gx, {n}_gs0 }},')
    print("\nstatic const golden_case golden_cases[] = {")
    print("\n".join(rows))
    print("};\n\n#endif")


main()
