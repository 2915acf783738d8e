#!/usr/bin/env python3
"""Golden values of deep bidirectional networks over sequences of different lengths, from PyTorch.

    python3 tests/golden/ragged.py > tests/golden/ragged.h

Two layers of nn.LSTM or nn.GRU, bidirectional, in float64, over a packed batch: PyTorch runs every
sequence by its own length, and the backward direction from its own end. Cross-entropy values are
of torch.nn.functional, meant over all steps, and over each sequence and then over sequences.

The loss of a network is sum(outputs * a) + sum_k(last state k * b_k) with fixed random a and b, the
outputs padded with zeros. Weights are written under seqgrad's names and in its layout, W [in,out];
PyTorch's two biases are summed, except in the candidate gate of the GRU, where b_hn is seqgrad's d_n.
What lies behind the end of a row of x is a number like any other; its gradient is 0.

Made with PyTorch 1.13.0 (python3-torch of Debian 12).
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.set_default_dtype(torch.float64)
torch.manual_seed(517)
T, B, I, H, C = 7, 4, 3, 2, 5
LENGTHS = [4, 7, 1, 5]
GATES = {"lstm": "ifgo", "gru": "rzn"}


def numbers(*shape):
    return torch.rand(*shape) * 2 - 1


def weights_of(kind, net):
    for layer in range(2):
        for direction, tail in (("f", ""), ("b", "_reverse")):
            at = lambda what: getattr(net, f"{what}_l{layer}{tail}")
            W, U, b, d = at("weight_ih"), at("weight_hh"), at("bias_ih"), at("bias_hh")
            for k, gate in enumerate(GATES[kind]):
                part = slice(k * H, (k + 1) * H)
                name = lambda letter: f"{direction}{layer}.{letter}_{gate}"
                own_d = kind == "gru" and gate == "n"
                yield name("W"), W.data[part].T, W.grad[part].T
                yield name("b"), b.data[part] + (0 if own_d else d.data[part]), b.grad[part]
                yield name("U"), U.data[part].T, U.grad[part].T
                if own_d:
                    yield name("d"), d.data[part], d.grad[part]


def network(kind):
    net = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](I, H, num_layers=2, bidirectional=True)
    n = 2 if kind == "lstm" else 1
    x = numbers(T, B, I).requires_grad_()
    state0 = [numbers(4, B, H).requires_grad_() for _ in range(n)]
    a, b = numbers(T, B, 2 * H), [numbers(4, B, H) for _ in range(n)]
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    outputs, last = net(packed, tuple(state0) if n > 1 else state0[0])
    outputs, _ = pad_packed_sequence(outputs, total_length=T)
    last = list(last) if n > 1 else [last]
    loss = (outputs * a).sum()
    for value, mix in zip(last, b):
        loss = loss + (value * mix).sum()
    loss.backward()
    by_run = lambda states: torch.stack(states, 1)  # [4 runs, n states, B, H]
    arrays = {"x": x, "s0": by_run(state0), "a": a, "b": by_run(b), "y": outputs,
              "sT": by_run(last), "gx": x.grad, "gs0": by_run([s.grad for s in state0])}
    return arrays, list(weights_of(kind, net)), n


HEAD = """/* ragged.h -- golden values of deep bidirectional networks over sequences of different lengths,
 * written by ragged.py: do not edit.
 *
 * Arrays are row-major: x [T,B,I], outputs [T,B,2H], states [run][state][B,H] with the runs in the
 * order layer 0 forward, backward, layer 1 forward, backward; weights [in,out]. */
#ifndef SQ_TESTS_GOLDEN_RAGGED_H
#define SQ_TESTS_GOLDEN_RAGGED_H

#include <stdint.h>

/* clang-format off */

enum { RAGGED_T = %d, RAGGED_B = %d, RAGGED_I = %d, RAGGED_H = %d, RAGGED_C = %d };

static const int32_t ragged_lengths[] = { %s };

typedef struct ragged_weight {
    const char *name;
    const double *value, *grad;
} ragged_weight;

typedef struct ragged_case {
    const char *kind;
    int n_states, n_weights;
    const ragged_weight *weights;
    const double *x, *state0, *mix_outputs, *mix_last; /* what goes in */
    const double *outputs, *last, *grad_x, *grad_state0; /* what comes out */
} ragged_case;
"""


def array(name, tensor):
    flat = ["%.17g" % v for v in tensor.detach().reshape(-1).tolist()]
    print(f"static const double {name}[] = {{")
    for i in range(0, len(flat), 3):
        print("    " + ", ".join(flat[i:i + 3]) + ",")
    print("};")


def losses():
    z = numbers(T, B, C).requires_grad_()
    labels = torch.randint(0, C, (T, B))
    each = cross_entropy(z.reshape(-1, C), labels.reshape(-1), reduction="none").reshape(T, B)
    valid = torch.tensor([[float(t < n) for n in LENGTHS] for t in range(T)])
    steps = (each * valid).sum() / valid.sum()
    sequences = ((each * valid).sum(0) / valid.sum(0)).mean()
    print()
    array("ragged_logits", z)
    print(f"static const int32_t ragged_labels[] = {{ {', '.join(map(str, labels.reshape(-1).tolist()))} }};")
    array("ragged_cross_entropy", each * valid)
    for name, value in (("steps", steps), ("sequences", sequences)):
        z.grad = None
        value.backward(retain_graph=True)
        array(f"ragged_mean_{name}", value)
        array(f"ragged_mean_{name}_grad", z.grad)


def main():
    print(HEAD % (T, B, I, H, C, ", ".join(map(str, LENGTHS))), end="")
    rows = []
    for kind in GATES:
        arrays, weights, n = network(kind)
        print()
        for k, (_, value, grad) in enumerate(weights):
            array(f"ragged_{kind}_w{k}", value)
            array(f"ragged_{kind}_g{k}", grad)
        for name, tensor in arrays.items():
            array(f"ragged_{kind}_{name}", tensor)
        print(f"static const ragged_weight ragged_{kind}_weights[] = {{")
        for k, (name, _, _) in enumerate(weights):
            print(f'    {{ "{name}", ragged_{kind}_w{k}, ragged_{kind}_g{k} }},')
        print("};")
        at = ", ".join(f"ragged_{kind}_{name}" for name in arrays)
        rows.append(f'    {{ "{kind}", {n}, {len(weights)}, ragged_{kind}_weights,\n      {at} }},')
    losses()
    print("\nstatic const ragged_case ragged_cases[] = {")
    print("\n".join(rows))
    print("};\n\n#endif")


main()
