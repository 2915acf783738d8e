#!/usr/bin/env python3
"""Golden values of attention and pointers, from PyTorch in float64.

    python3 tests/golden/attention.py > tests/golden/attention.h

Each formula is written out from its paper, row by row of the batch, over the places that are
there and no others, and differentiated by autograd. Scaled dot products with weights are also
compared with torch.nn.MultiheadAttention of one head here, before anything is written.

The decoder is h' = tanh([x, context] W + b + h U). The loss is sum(outputs * a) + sum(h_T * c) with
fixed random a and c.

Made with PyTorch 1.13.0 (python3-torch of Debian 12).
"""

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.manual_seed(1409)
B, S, M, I, H, A, T = 2, 5, 4, 3, 4, 3, 4
THERE = {"": [[1] * S] * B, "_masked": [[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]]}


def numbers(*shape):
    return torch.rand(*shape) * 2 - 1


def scores(kind, w, q, memory):
    """u [S] of one query [H] and the memory [S,M] of its row."""
    if kind == "additive":
        return (torch.tanh(q @ w["W_q"] + memory @ w["W_k"]) @ w["v"])[:, 0]
    if "W_q" in w:
        q, memory = q @ w["W_q"], memory @ w["W_k"]
    u = memory @ q
    return u / len(q) ** 0.5 if kind.startswith("scaled") else u


def attend(kind, w, q, memory, there):
    a = torch.zeros(S)
    places = [s for s in range(S) if there[s]]
    a = a.index_put((torch.tensor(places),), torch.softmax(scores(kind, w, q, memory)[places], 0))
    return a, sum(a[s] * memory[s] for s in places)


def run(kind, w, x, h, memory, there, points):
    outputs, maps = [], []
    for t in range(T):
        if points:
            h = torch.tanh(x[t] @ w["W"] + w["b"] + h @ w["U"])
            u = [scores(kind, w, h[b], memory[b]) for b in range(B)]
            outputs.append(torch.stack(u) * torch.tensor(there))
            continue
        both = [attend(kind, w, h[b], memory[b], there[b]) for b in range(B)]
        a, context = (torch.stack(v) for v in zip(*both))
        h = torch.tanh(torch.cat([x[t], context], 1) @ w["W"] + w["b"] + h @ w["U"])
        outputs.append(torch.cat([h, context], 1))
        maps.append(a)
    return torch.stack(outputs), h, maps


def weights_of(kind, points):
    shapes = {"W": (I if points else I + M, H), "b": (H,), "U": (H, H)}
    if not kind.endswith("plain"):
        shapes |= {"W_q": (H, A), "W_k": (M, A)}
    if kind == "additive":
        shapes["v"] = (A, 1)
    return {n: numbers(*s).requires_grad_() for n, s in shapes.items()}


def agrees_with_torch(w, h, memory, there):
    """One query against nn.MultiheadAttention, whose values are projected by W_v = the first A
    columns of the identity here."""
    net = nn.MultiheadAttention(A, 1, bias=False, kdim=M, vdim=M, batch_first=True)
    with torch.no_grad():
        for b in range(B):
            q = (h[b] @ w["W_q"]).reshape(1, 1, A)
            net.q_proj_weight.copy_(torch.eye(A))
            net.k_proj_weight.copy_(w["W_k"].T)
            net.v_proj_weight.copy_(torch.eye(M)[:A])
            net.out_proj.weight.copy_(torch.eye(A))
            out, a = net(q, memory[b:b + 1], memory[b:b + 1],
                         key_padding_mask=torch.tensor([there[b]]) == 0)
            want, context = attend("scaled", w, h[b], memory[b], there[b])
            assert (a[0, 0] - want).abs().max() < 1e-14
            assert (out[0, 0] - context[:A]).abs().max() < 1e-14


def array(name, tensor):
    flat = ["%.17g" % v for v in tensor.detach().reshape(-1).tolist()]
    print(f"static const double {name}[] = {{")
    for i in range(0, len(flat), 3):
        print("    " + ", ".join(flat[i:i + 3]) + ",")
    print("};")


def case(kind, mask, points):
    w, there = weights_of(kind, points), THERE[mask]
    x, h0 = numbers(T, B, I).requires_grad_(), numbers(B, H).requires_grad_()
    memory = numbers(B, S, M).requires_grad_()
    if kind == "scaled":
        agrees_with_torch(w, h0, memory, there)
    outputs, h, maps = run(kind, w, x, h0, memory, there, points)
    mix, mix_h = numbers(*outputs.shape), numbers(B, H)
    ((outputs * mix).sum() + (h * mix_h).sum()).backward()
    name = f"{kind}{mask}_{'pointer' if points else 'attention'}"
    print()
    for n, v in w.items():
        array(f"{name}_w_{n}", v)
        array(f"{name}_g_{n}", v.grad)
    for n, v in (("x", x), ("gx", x.grad), ("h0", h0), ("gh0", h0.grad), ("m", memory),
                 ("gm", memory.grad), ("a", mix), ("c", mix_h), ("y", outputs), ("hT", h)):
        array(f"{name}_{n}", v)
    array(f"{name}_map", torch.stack(maps) if maps else torch.zeros(1))
    print(f"static const attention_weight {name}_weights[] = {{")
    for n in w:
        print(f'    {{ "{n}", {name}_w_{n}, {name}_g_{n} }},')
    print("};")
    fields = ", ".join(f"{name}_{n}" for n in "x h0 m a c y hT map gx gh0 gm".split())
    masked = f"there_{'masked' if mask else 'all'}"
    return (f'    {{ "{name}", "{kind}", {int(points)}, {len(w)}, {masked}, {name}_weights,\n'
            f"      {fields} }},")


HEAD = f"""/* attention.h -- golden values of attention, written by attention.py: do not edit.
 *
 * x [T,B,I], states [B,H], memory [B,S,M], outputs [T,B,H+M], of a pointer [T,B,S], maps [T,B,S]. */
#ifndef SQ_TESTS_GOLDEN_ATTENTION_H
#define SQ_TESTS_GOLDEN_ATTENTION_H

#include <stdint.h>

/* clang-format off */

enum {{ ATT_B = {B}, ATT_S = {S}, ATT_M = {M}, ATT_I = {I}, ATT_H = {H}, ATT_A = {A}, ATT_T = {T} }};

typedef struct attention_weight {{
    const char *name;
    const double *value, *grad;
}} attention_weight;

typedef struct attention_case {{
    const char *name, *kind;
    int points, n_weights;
    const int32_t *there;
    const attention_weight *weights;
    const double *x, *h0, *memory, *mix, *mix_h; /* what goes in */
    const double *outputs, *h, *map, *grad_x, *grad_h0, *grad_memory; /* what comes out */
}} attention_case;
"""


def main():
    print(HEAD)
    for name, mask in (("all", ""), ("masked", "_masked")):
        flat = ", ".join(str(v) for row in THERE[mask] for v in row)
        print(f"static const int32_t there_{name}[] = {{ {flat} }};")
    rows = [case(kind, mask, points)
            for kind in ("additive", "dot", "dot_plain", "scaled", "scaled_plain")
            for mask in ("", "_masked") for points in (False, True)]
    print("\nstatic const attention_case attention_cases[] = {")
    print("\n".join(rows))
    print("};\n\n#endif")


main()
