#!/usr/bin/env python3
"""Golden networks in the layouts of other programs: their files, an input and the outputs.

    python3 tests/golden/layouts.py > tests/golden/layouts.h      (writes layouts_lstm.safetensors, too)

Every network has two layers and both directions, in float64. Those of PyTorch are torch.nn.LSTM, GRU
and RNN themselves: state_dict() and what they compute. For the others the step is written here in NumPy
from the equations that each one documents, on tensors of the shapes that it documents, filled at random;
what runs the steps over time, both ways and through the layers, is shared. Nothing here is seqgrad's: the
files are written from the published description of safetensors, below.

Made with PyTorch 1.13.0 and NumPy 1.24.2 (python3-torch of Debian 12).
"""

import json
import os
import struct

import numpy as np
import torch

torch.manual_seed(1907)
torch.set_default_dtype(torch.float64)
random = np.random.default_rng(1907)
T, B, H, LAYERS = 4, 2, 2, 2


def safetensors(tensors):
    """8 bytes: the header's length n; n bytes of JSON; the values, little-endian, row by row."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values, dtype="<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(values.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm(i, f, g, o, c):
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def split(a, n):
    return np.split(a, n, axis=-1)


# ---- One step of each: w are the tensors of one layer and direction, x [B,I], h and c [B,H] ----------

# keras.layers: everything is x @ kernel + h @ recurrent_kernel + bias

def keras_lstm(w, x, h, c):
    i, f, g, o = split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4)
    return lstm(i, f, g, o, c)


def keras_gru_after(w, x, h, c):
    xz, xr, xh = split(x @ w["kernel"] + w["bias"][0], 3)
    hz, hr, hh = split(h @ w["recurrent_kernel"] + w["bias"][1], 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return z * h + (1 - z) * np.tanh(xh + r * hh), c


def keras_gru_before(w, x, h, c):
    xz, xr, xh = split(x @ w["kernel"] + w["bias"], 3)
    uz, ur, uh = split(w["recurrent_kernel"], 3)
    z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
    return z * h + (1 - z) * np.tanh(xh + (r * h) @ uh), c


def keras_rnn(w, x, h, c):
    return np.tanh(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]), c


# ONNX: W[iofc], W[zrh]; B is Wb and behind it Rb; Xt*(W^T)

def onnx_lstm(w, x, h, c):
    wb, rb = split(w["B"], 2)
    i, o, f, g = split(x @ w["W"].T + h @ w["R"].T + wb + rb, 4)
    return lstm(i, f, g, o, c)


def onnx_gru(linear_before_reset):
    def step(w, x, h, c):
        (wz, wr, wh), (rz, rr, rh) = np.split(w["W"], 3), np.split(w["R"], 3)
        wbz, wbr, wbh, rbz, rbr, rbh = split(w["B"], 6)
        z = sigmoid(x @ wz.T + h @ rz.T + wbz + rbz)
        r = sigmoid(x @ wr.T + h @ rr.T + wbr + rbr)
        if linear_before_reset:
            n = np.tanh(x @ wh.T + r * (h @ rh.T + rbh) + wbh)
        else:
            n = np.tanh(x @ wh.T + (r * h) @ rh.T + rbh + wbh)
        return (1 - z) * n + z * h, c
    return step


def onnx_rnn(w, x, h, c):
    wb, rb = split(w["B"], 2)
    return np.tanh(x @ w["W"].T + h @ w["R"].T + wb + rb), c


# oneDNN: weights ldigo, here [I,G,O] of one layer and direction; gates i f c~ o, and u r o

def onednn_gates(w, x, h):
    return (np.einsum("bi,igo->gbo", x, w["weights_layer"]) + np.einsum("bi,igo->gbo", h, w["weights_iter"])
            + w["bias"][:, None])


def onednn_lstm(w, x, h, c):
    i, f, g, o = onednn_gates(w, x, h)
    return lstm(i, f, g, o, c)


def onednn_gru(w, x, h, c):
    W, U, b = w["weights_layer"], w["weights_iter"], w["bias"]
    u = sigmoid(x @ W[:, 0] + h @ U[:, 0] + b[0])
    r = sigmoid(x @ W[:, 1] + h @ U[:, 1] + b[1])
    o = np.tanh(x @ W[:, 2] + (r * h) @ U[:, 2] + b[2])
    return u * h + (1 - u) * o, c


def onednn_lbr_gru(w, x, h, c):
    W, U, b = w["weights_layer"], w["weights_iter"], w["bias"]
    u = sigmoid(x @ W[:, 0] + h @ U[:, 0] + b[0])
    r = sigmoid(x @ W[:, 1] + h @ U[:, 1] + b[1])
    o = np.tanh(x @ W[:, 2] + r * (h @ U[:, 2] + b[3]) + b[2])
    return u * h + (1 - u) * o, c


def onednn_rnn(w, x, h, c):
    return np.tanh(onednn_gates(w, x, h)[0]), c


# Chainer: functions.lstm takes a, i, f, o out of every four; links.GRU: h' = (1 - z) h + z h~

def chainer_lstm(w, x, h, c):
    v = x @ w["upward/W"].T + w["upward/b"] + h @ w["lateral/W"].T
    a, i, f, o = np.moveaxis(v.reshape(len(v), -1, 4), 2, 0)
    return lstm(i, f, a, o, c)


def chainer_gru(w, x, h, c):
    linear = lambda name, v: v @ w[name + "/W"].T + w[name + "/b"]
    r = sigmoid(linear("W_r", x) + linear("U_r", h))
    z = sigmoid(linear("W_z", x) + linear("U_z", h))
    n = np.tanh(linear("W", x) + linear("U", r * h))
    return (1 - z) * h + z * n, c


def chainer_rnn(w, x, h, c):
    return np.tanh(x @ w["w0"].T + h @ w["w1"].T + w["b0"] + w["b1"]), c


# DyNet: VanillaLSTMBuilder, gates i f o g; GRUBuilder: h' = (1 - z) h + z c

def dynet_lstm(forget_bias):
    def step(w, x, h, c):
        i, f, o, g = split(x @ w["Wx"].T + h @ w["Wh"].T + w["b"], 4)
        return lstm(i, f + forget_bias, g, o, c)
    return step


def dynet_gru(w, x, h, c):
    z = sigmoid(w["bz"] + x @ w["x2z"].T + h @ w["h2z"].T)
    r = sigmoid(w["br"] + x @ w["x2r"].T + h @ w["h2r"].T)
    n = np.tanh(w["bh"] + x @ w["x2h"].T + (r * h) @ w["h2h"].T)
    return z * n + (1 - z) * h, c


def dynet_rnn(w, x, h, c):
    return np.tanh(w["hb"] + x @ w["x2h"].T + h @ w["h2h"].T), c


# KANN: kad_cmul(x, w) is x w^T; h_t = z # h_{t-1} + (1 - z) # s

def kann_lstm(w, x, h, c):
    i, f, o, g = (x @ w["w_" + k].T + h @ w["u_" + k].T + w["b_" + k] for k in "ifog")
    return lstm(i, f, g, o, c)


def kann_gru(w, x, h, c):
    z, r = (sigmoid(x @ w["w_" + k].T + h @ w["u_" + k].T + w["b_" + k]) for k in "zr")
    s = np.tanh(x @ w["w_s"].T + (h * r) @ w["u_s"].T + w["b_s"])
    return z * h + (1 - z) * s, c


def kann_rnn(w, x, h, c):
    return np.tanh(x @ w["w"].T + h @ w["u"].T + w["b"]), c


# Flux: x and h are columns there: Wi * x is x @ Wi.T here

def flux_lstm(w, x, h, c):
    i, f, g, o = split(x @ w["Wi"].T + h @ w["Wh"].T + w["b"], 4)
    return lstm(i, f, g, o, c)


def flux_gru(w, x, h, c):
    gx, gh, b = split(x @ w["Wi"].T, 3), split(h @ w["Wh"].T, 3), split(w["b"], 3)
    r, z = sigmoid(gx[0] + gh[0] + b[0]), sigmoid(gx[1] + gh[1] + b[1])
    return (1 - z) * np.tanh(gx[2] + r * gh[2] + b[2]) + z * h, c


def flux_gruv3(w, x, h, c):
    gx, gh, b = split(x @ w["Wi"].T, 3), split(h @ w["Wh"].T, 3), split(w["b"], 3)
    r, z = sigmoid(gx[0] + gh[0] + b[0]), sigmoid(gx[1] + gh[1] + b[1])
    return (1 - z) * np.tanh(gx[2] + (r * h) @ w["Wh_h̃"].T + b[2]) + z * h, c


def flux_rnn(w, x, h, c):
    return np.tanh(x @ w["Wi"].T + h @ w["Wh"].T + w["b"]), c


# ---- Tensors of one layer and direction, by shape; I stands for its number of inputs ----------------

def stacked(g, i="gh,i", h="gh,h", b="gh", names=("W", "U", "b")):
    return lambda I: {name: tuple(eval(s, {"gh": g * H, "g": g, "h": H, "i": I}) for s in dims.split(","))
                      for name, dims in zip(names, (i, h, b))}


def keras(g, bias="gh"):
    return stacked(g, "i,gh", "h,gh", bias, ("kernel", "recurrent_kernel", "bias"))


def onednn(g, bias="g,h"):
    return stacked(g, "i,g,h", "h,g,h", bias, ("weights_layer", "weights_iter", "bias"))


def onnx(g):
    return stacked(g, b="2*gh", names=("W", "R", "B"))


def gates(letters, names):
    shape = {"i": lambda I: (H, I), "h": lambda I: (H, H), "b": lambda I: (H,)}
    return lambda I: {name % letter: shape[kind](I) for letter in letters for name, kind in names}


KANN = (("w_%s", "i"), ("u_%s", "h"), ("b_%s", "b"))
DYNET = (("x2%s", "i"), ("h2%s", "h"), ("b%s", "b"))
CHAINER = (("W%s/W", "i"), ("W%s/b", "b"), ("U%s/W", "h"), ("U%s/b", "b"))
FLUX = ("Wi", "Wh", "b")
WXH = ("Wx", "Wh", "b")

CASES = [  # layout, cell, step, tensors
    ("keras", "LSTM", keras_lstm, keras(4)),
    ("keras", "GRU_AFTER", keras_gru_after, keras(3, "2,gh")),
    ("keras", "GRU_BEFORE", keras_gru_before, keras(3)),
    ("keras", "RNN", keras_rnn, keras(1)),
    ("onnx", "LSTM", onnx_lstm, onnx(4)),
    ("onnx", "GRU_AFTER", onnx_gru(True), onnx(3)),
    ("onnx", "GRU_BEFORE", onnx_gru(False), onnx(3)),
    ("onnx", "RNN", onnx_rnn, onnx(1)),
    ("onednn", "LSTM", onednn_lstm, onednn(4)),
    ("onednn", "GRU_AFTER", onednn_lbr_gru, onednn(3, "g+1,h")),
    ("onednn", "GRU_BEFORE", onednn_gru, onednn(3)),
    ("onednn", "RNN", onednn_rnn, onednn(1)),
    ("chainer", "LSTM", chainer_lstm, stacked(4, names=("upward/W", "lateral/W", "upward/b"))),
    ("chainer", "GRU_BEFORE", chainer_gru, gates(("_r", "_z", ""), CHAINER)),
    ("chainer", "RNN", chainer_rnn, lambda I: {"w0": (H, I), "w1": (H, H), "b0": (H,), "b1": (H,)}),
    ("dynet", "LSTM", dynet_lstm(1), stacked(4, names=WXH)),
    ("dynet-0", "LSTM", dynet_lstm(0), stacked(4, names=WXH)),
    ("dynet", "GRU_BEFORE", dynet_gru, gates("zrh", DYNET)),
    ("dynet", "RNN", dynet_rnn, stacked(1, names=("x2h", "h2h", "hb"))),
    ("kann", "LSTM", kann_lstm, gates("ifog", KANN)),
    ("kann", "GRU_BEFORE", kann_gru, gates("zrs", KANN)),
    ("kann", "RNN", kann_rnn, stacked(1, names=("w", "u", "b"))),
    ("flux", "LSTM", flux_lstm, stacked(4, names=FLUX)),
    ("flux", "GRU_AFTER", flux_gru, stacked(3, names=FLUX)),
    ("flux", "GRU_BEFORE", flux_gruv3, lambda I: {**stacked(3, names=FLUX)(I), "Wh_h̃": (H, H)}),
    ("flux", "RNN", flux_rnn, stacked(1, names=FLUX)),
]


# ---- Networks ------------------------------------------------------------------------------------

def over_time(step, w, x):
    h = c = np.zeros((B, H))
    out = []
    for x_t in x:
        h, c = step(w, x_t, h, c)
        out.append(h)
    return np.stack(out)


def network(layout, step, tensors):
    I = 2 * H if layout == "onednn" else 3  # one tensor for all layers: as many inputs to each
    x = y = random.uniform(-1, 1, (T, B, I))
    nets = []
    for _ in range(LAYERS):
        both = [{name: random.uniform(-1, 1, dims) for name, dims in tensors(y.shape[2]).items()}
                for _ in range(2)]
        y = np.concatenate([over_time(step, both[0], y), over_time(step, both[1], y[::-1])[::-1]], axis=2)
        nets.append(both)
    if layout == "onednn":
        names = {name: np.array([[d[name] for d in both] for both in nets]) for name in nets[0][0]}
    elif layout == "onnx":
        names = {f"layer{l}/{name}": np.array([d[name] for d in both])
                 for l, both in enumerate(nets) for name in both[0]}
    else:
        names = {f"layer{l}/{way}/{name}": values for l, both in enumerate(nets)
                 for way, d in zip(("forward", "backward"), both) for name, values in d.items()}
    return I, names, x, y


def of_torch(module, **options):
    net = module(3, options.pop("hidden", H), LAYERS, bidirectional=True, **options)
    x = torch.rand(T, B, 3) * 2 - 1
    y, _ = net(x)
    return 3, {k: v.numpy() for k, v in net.state_dict().items()}, x.numpy(), y.detach().numpy()


def written():
    nn = torch.nn
    yield ("pytorch", "LSTM", *of_torch(nn.LSTM))
    yield ("pytorch", "GRU_AFTER", *of_torch(nn.GRU))
    yield ("pytorch", "RNN", *of_torch(nn.RNN))
    yield ("pytorch", "LSTM", *of_torch(nn.LSTM, bias=False))
    yield ("pytorch", "LSTM_PROJECTED", *of_torch(nn.LSTM, hidden=3, proj_size=H))
    for layout, cell, step, tensors in CASES:
        yield (layout, cell, *network(layout, step, tensors))


def numbers(name, values, write, width):
    print(f"static const {name}[] = {{")
    for i in range(0, len(values), width):
        print("    " + " ".join(write(v) + "," for v in values[i:i + width]))
    print("};")


print("/* layouts.h -- networks of other programs, written by layouts.py: do not edit. */")
print("#ifndef SQ_TESTS_GOLDEN_LAYOUTS_H\n#define SQ_TESTS_GOLDEN_LAYOUTS_H\n\n/* clang-format off */\n")
print(f"enum {{ GOLDEN_T = {T}, GOLDEN_B = {B}, GOLDEN_OUT = {2 * H}, GOLDEN_LAYERS = {LAYERS} }};\n")
rows = []
for n, (layout, cell, I, tensors, x, y) in enumerate(written()):
    raw = safetensors(tensors)
    if n == 0:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layouts_lstm.safetensors")
        with open(path, "wb") as f:
            f.write(raw)
    numbers(f"unsigned char golden_file_{n}", raw, str, 32)
    numbers(f"double golden_x_{n}", x.ravel(), lambda v: repr(float(v)), 4)
    numbers(f"double golden_y_{n}", y.ravel(), lambda v: repr(float(v)), 4)
    hidden = 3 if cell == "LSTM_PROJECTED" else H
    rows.append(f'    {{ "{layout}", SQ_LAYOUT_{cell}, {I}, {hidden}, {n == 3:d}, golden_file_{n}, '
                f"sizeof golden_file_{n}, golden_x_{n}, golden_y_{n} }},")
print("""
typedef struct golden_layout {
    const char *layout;
    sq_layout_cell cell;
    int64_t in, hidden;
    bool bare; /* no biases */
    const unsigned char *file;
    size_t bytes;
    const double *x, *y; /* [T,B,in], [T,B,OUT] */
} golden_layout;
static const golden_layout golden_layouts[] = {""")
print("\n".join(rows))
print("};\n\n#endif")
