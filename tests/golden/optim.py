#!/usr/bin/env python3
"""Golden values of the optimizers, from PyTorch in float64.

    python3 tests/golden/optim.py > tests/golden/optim.h

Two weights, W [3,2] in group 0 and b [4] in group 1, are updated seven times with fixed random
gradients by every optimizer under every option. In a case with `late` > 0 b has no gradient
during that many updates, as a weight that is frozen then or added afterwards. In a case with
`halving` the rate is halved after every update.

Made with PyTorch 1.13.0 (python3-torch of Debian 12).
"""

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(20241)
UPDATES, SIZES = 7, (6, 4)
N = sum(SIZES)
START = torch.rand(N) * 2 - 1
GRADS = torch.rand(UPDATES, N) * 2 - 1

MAKE = {
    "SGD": torch.optim.SGD,
    "RMSPROP": torch.optim.RMSprop,
    "ADAGRAD": torch.optim.Adagrad,
    "ADAM": torch.optim.Adam,
    "ADAMW": torch.optim.AdamW,
}
RATE = {"SGD": 0.01, "RMSPROP": 0.01, "ADAGRAD": 0.01, "ADAM": 0.001, "ADAMW": 0.001}

# name, kind, options under seqgrad's names. What is not named is the default of both libraries.
CASES = [
    ("sgd", "SGD", {}),
    ("sgd_rate", "SGD", {"rate": 0.3}),
    ("sgd_decay", "SGD", {"rate": 0.1, "decay": 0.2}),
    ("sgd_momentum", "SGD", {"rate": 0.1, "momentum": 0.9}),
    ("sgd_nesterov", "SGD", {"rate": 0.1, "momentum": 0.8, "nesterov": True}),
    ("sgd_nesterov_decay", "SGD",
     {"rate": 0.1, "momentum": 0.8, "nesterov": True, "decay": 0.1}),
    ("sgd_groups", "SGD",
     {"rate": 0.1, "momentum": 0.5, "decay": 0.1, "factor1": 0.25, "decay1": 0.3}),
    ("sgd_group_without_decay", "SGD", {"rate": 0.1, "decay": 0.4, "decay1": 0.0}),
    ("sgd_group_with_negative_decay", "SGD", {"rate": 0.1, "decay": 0.4, "decay1": -1.0}),
    ("sgd_late", "SGD", {"rate": 0.1, "momentum": 0.9, "late": 3}),
    ("sgd_halving", "SGD", {"rate": 0.2, "momentum": 0.9, "halving": True}),
    ("rmsprop", "RMSPROP", {}),
    ("rmsprop_alpha", "RMSPROP", {"rate": 0.05, "alpha": 0.8, "eps": 1e-3}),
    ("rmsprop_momentum", "RMSPROP", {"rate": 0.02, "momentum": 0.7}),
    ("rmsprop_decay", "RMSPROP", {"rate": 0.02, "momentum": 0.7, "decay": 0.3}),
    ("rmsprop_late", "RMSPROP", {"rate": 0.02, "late": 4}),
    ("adagrad", "ADAGRAD", {}),
    ("adagrad_decay", "ADAGRAD", {"rate": 0.2, "decay": 0.1, "eps": 0.01}),
    ("adagrad_late", "ADAGRAD", {"rate": 0.2, "late": 1}),
    ("adam", "ADAM", {}),
    ("adam_betas", "ADAM", {"rate": 0.05, "beta1": 0.7, "beta2": 0.95, "eps": 1e-4}),
    ("adam_decay", "ADAM", {"rate": 0.05, "decay": 0.2}),
    ("adam_groups", "ADAM", {"rate": 0.05, "factor1": 3.0, "decay1": 0.5}),
    ("adam_late", "ADAM", {"rate": 0.05, "late": 3}),
    ("adam_halving", "ADAM", {"rate": 0.05, "halving": True}),
    ("adamw", "ADAMW", {}),
    ("adamw_decay", "ADAMW", {"rate": 0.05, "decay": 0.3}),
    ("adamw_no_decay", "ADAMW", {"rate": 0.05, "decay": -1.0}),
    ("adamw_groups", "ADAMW", {"rate": 0.05, "factor1": 0.5, "decay": 0.3, "decay1": 0.0}),
    ("adamw_late", "ADAMW", {"rate": 0.05, "late": 2}),
]


def optimizer(kind, o, W, b):
    rate = o.get("rate", RATE[kind])
    decay = max(0.0, o.get("decay", 0.01 if kind == "ADAMW" else 0.0))
    options = {"lr": rate, "weight_decay": decay}
    for name in ("momentum", "nesterov", "alpha", "eps"):
        if name in o:
            options[name] = o[name]
    if "beta1" in o:
        options["betas"] = (o["beta1"], o["beta2"])
    second = {
        "params": [b],
        "lr": rate * o.get("factor1", 1.0),
        "weight_decay": max(0.0, o.get("decay1", decay)),
    }
    return MAKE[kind]([{"params": [W]}, second], **options)


def run(kind, o):
    W, b = (v.clone().requires_grad_() for v in START.split(SIZES))
    opt = optimizer(kind, o, W, b)
    rows = []
    for n in range(UPDATES):
        gW, gb = GRADS[n].split(SIZES)
        W.grad = gW.clone()
        b.grad = gb.clone() if n >= o.get("late", 0) else None
        opt.step()
        rows.append(torch.cat([W, b]).detach())
        if o.get("halving"):
            for group in opt.param_groups:
                group["lr"] /= 2
    return rows


def row(values):
    lines = [values[i:i + 4] for i in range(0, len(values), 4)]
    lines = [", ".join("%.17g" % v for v in line) for line in lines]
    return "{ " + ",\n      ".join(lines) + " }"


def literal(v):
    return ("true" if v else "false") if isinstance(v, bool) else repr(v)


HEAD = """/* optim.h -- golden values of the optimizers, written by optim.py: do not edit.
 *
 * Two weights, W [3,2] in group 0 and b [4] in group 1, lie flat behind each other. A row of
 * `weights` is what they are after an update. During the first `late` updates b takes no part;
 * with `halving` the rate is halved after every update. */
#ifndef SQ_TESTS_GOLDEN_OPTIM_H
#define SQ_TESTS_GOLDEN_OPTIM_H

/* clang-format off */

enum { GOLDEN_UPDATES = %d, GOLDEN_W = %d, GOLDEN_B = %d, GOLDEN_N = %d };
"""

TYPES = """
typedef struct golden_optim {
    const char *name;
    sq_optim_options options;
    int late;
    bool halving;
    double weights[GOLDEN_UPDATES][GOLDEN_N];
} golden_optim;

static const golden_optim golden_optims[] = {"""


def c_case(name, kind, o):
    fields = [f".kind = SQ_{kind}"]
    for key in ("rate", "decay", "momentum", "nesterov", "alpha", "beta1", "beta2", "eps"):
        if key in o:
            fields.append(f".{key} = {literal(o[key])}")
    group = []
    if "factor1" in o:
        group.append(f".rate_factor = {literal(o['factor1'])}")
    if "decay1" in o:
        group.append(f".decay = {literal(o['decay1'])}, .set_decay = true")
    if group:
        fields.append(".group[1] = { " + ", ".join(group) + " }")
    extra = "".join(f" .{key} = {literal(o[key])}," for key in ("late", "halving") if key in o)
    rows = ",\n    ".join(row(r.tolist()) for r in run(kind, o))
    options = ",\n                 ".join(fields)
    return (f'  {{ .name = "{name}",{extra}\n    .options = {{ {options} }},\n'
            f"    .weights = {{\n    {rows} }} }},")


def main():
    print(HEAD % (UPDATES, *SIZES, N))
    print(f"static const double golden_start[GOLDEN_N] =\n    {row(START.tolist())};\n")
    rows = ",\n    ".join(row(r) for r in GRADS.tolist())
    print(f"static const double golden_grads[GOLDEN_UPDATES][GOLDEN_N] = {{\n    {rows}\n}};")
    print(TYPES)
    for name, kind, o in CASES:
        print(c_case(name, kind, o))
    print("};\n\n/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    main()
