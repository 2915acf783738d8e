#!/usr/bin/env python3
"""Golden values of every op, from PyTorch in float64.

    python3 tests/golden/ops.py > tests/golden/ops.h

Each case names the op, its operands' shapes, its attributes as the descriptor reads them (see
the head of each file in ops/) and the PyTorch expression for it. Written are the operands, the
result, a random seed gradient of the result, and the gradients that backward() gives for it.

Made with PyTorch 1.13.0 (python3-torch of Debian 12).
"""

import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(20242)

IDS = [2, 0, 4, 2, 2, 1, 0]
LABELS = [2, 0, 1, 4, 4, 3]
MASK = [1, 0, 1, 0, 1, 1]
HOLES = [1, 0, 0, 7, -1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0]
MEAN, SUM, ROWS = 0, 1, 2


def unary(name, f, lo=-3, hi=3, shape=(2, 5), **attr):
    return dict(op=name, f=f, shapes=[shape], lo=lo, hi=hi, **attr)


def op(name, f, *shapes, lo=-2, hi=2, **attr):
    return dict(op=name, f=f, shapes=list(shapes), lo=lo, hi=hi, **attr)


def scatter(x, rows):
    ids = torch.tensor(IDS[: x.shape[0]])
    return torch.zeros((rows,) + tuple(x.shape[1:])).index_add(0, ids, x)


def nll(x, reduction, mask=None):
    """Cross-entropy over the last axis; masked rows become PyTorch's ignore_index."""
    rows = x.reshape(-1, x.shape[-1])
    labels = torch.tensor(LABELS[: rows.shape[0]])
    if mask:
        labels = torch.where(torch.tensor(mask) != 0, labels, torch.full_like(labels, -100))
    return F.cross_entropy(rows, labels, reduction=reduction)


def kept_rows():
    return torch.tensor(MASK) != 0


def crammer_singer(x):
    rows = x.reshape(-1, x.shape[-1])
    labels = torch.tensor(LABELS)[:, None]
    others = rows.scatter(1, labels, -math.inf)
    return torch.clamp(1 + torch.amax(others, 1) - rows.gather(1, labels)[:, 0], min=0)


def mask_of(*shape):
    return torch.tensor(HOLES[: math.prod(shape)]).reshape(shape) != 0


def holes(x, *shape):
    return x.masked_fill(~mask_of(*shape), -math.inf)


def under(axis, *shape):
    """A mask of that shape as attributes."""
    return dict(k=[axis, len(shape), *shape], mask=HOLES[: math.prod(shape)])


CASES = [
    unary("neg", lambda x: -x),
    unary("square", torch.square),
    unary("sqrt", torch.sqrt, 0.2, 4),
    unary("abs", torch.abs),
    unary("exp", torch.exp),
    unary("expm1", torch.expm1),
    unary("log", torch.log, 0.2, 4),
    unary("log1p", torch.log1p, -0.8, 4),
    unary("sin", torch.sin),
    unary("cos", torch.cos),
    unary("erf", torch.erf),
    unary("erfc", torch.special.erfc),
    unary("sign", torch.sign),
    unary("step", lambda x: torch.heaviside(x.detach(), torch.tensor(0.5)) + 0 * x),
    unary("tanh", torch.tanh),
    unary("sigmoid", torch.sigmoid),
    unary("hard_tanh", F.hardtanh),
    # F.hardsigmoid's own gradient holds 1/6 in single precision.
    unary("hard_sigmoid", lambda x: torch.clamp(x / 6 + 0.5, 0, 1), -6, 6),
    unary("relu", F.relu),
    unary("leaky_relu", lambda x: F.leaky_relu(x, 0.2), p=[0.2]),
    unary("elu", lambda x: F.elu(x, 0.7), p=[0.7]),
    unary("softplus", F.softplus),
    unary("silu", F.silu),
    unary("gelu", F.gelu),
    unary("add_scalar", lambda x: x + 1.25, p=[1.25]),
    unary("mul_scalar", lambda x: -0.75 * x, p=[-0.75]),
    unary("rsub_scalar", lambda x: 0.5 - x, p=[0.5]),
    unary("rdiv_scalar", lambda x: 1.5 / x, 0.2, 4, p=[1.5]),
    unary("pow", lambda x: x**2.5, 0.2, 3, p=[2.5]),
    unary("pow", lambda x: x**-1, 0.2, 3, p=[-1]),
    unary("clip", lambda x: torch.clamp(x, -0.5, 1.25), p=[-0.5, 1.25]),
    op("add", lambda a, b: a + b, (2, 3), (3,)),
    op("sub", lambda a, b: a - b, (2, 1, 3), (2, 1)),
    op("mul", lambda a, b: a * b, (2, 3), (2, 3)),
    op("mul", lambda a, b: a * b, (3,), (2, 1, 2, 1)),
    op("div", lambda a, b: a / b, (), (2, 3), lo=0.2, hi=4),
    op("minimum", torch.minimum, (2, 3), (1, 3)),
    op("maximum", torch.maximum, (2, 1), (2, 3)),
    op("above", lambda a, b: torch.heaviside((a - b).detach(), torch.tensor(0.5)) + 0 * (a + b),
       (2, 3), (2, 1)),
    op("select", lambda a, b, c: torch.where(a > 0, b, c) + 0 * a, (2, 3), (3,), (2, 1)),
    op("matmul", lambda a, b: a @ b, (4, 3), (3, 5)),
    op("matmul", lambda a, b: a @ b, (3, 2, 4), (4, 1)),
    op("matmul_nt", lambda a, b: a @ b.T, (4, 3), (5, 3)),
    op("matmul_nt", lambda a, b: a @ b.T, (2, 1, 3, 2), (3, 2)),
    op("matmul_tn", lambda a, b: a.T @ b, (4, 3), (4, 5)),
    op("matmul_tn", lambda a, b: torch.einsum("tbm,tbn->mn", a, b), (3, 2, 4), (3, 2, 1)),
    op("affine", lambda x, w, b: F.linear(x, w.T, b), (4, 3), (3, 5), (5,)),
    op("affine", lambda x, w, b: F.linear(x, w.T, b), (3, 2, 4), (4, 2), (2,)),
    op("sum_axis", lambda x: x.sum(1), (2, 5, 3), k=[1]),
    op("sum_axis", lambda x: x.sum(-1), (2, 5), k=[-1]),
    op("sum_to", lambda x: x.sum(), (2, 5), k=[0]),
    op("sum_to", lambda x: x.sum((0, 2)).reshape(3, 1), (2, 3, 4), k=[2, 3, 1]),
    op("broadcast_to", lambda x: x.expand(2, 3, 4), (3, 1), k=[3, 2, 3, 4]),
    op("broadcast_to", lambda x: x.expand(2, 3), (), k=[2, 2, 3]),
    op("max_axis", lambda x: torch.amax(x, 1), (2, 5, 3), k=[1]),
    op("max_axis", lambda x: torch.amax(x, -1), (3, 7), k=[-1]),
    op("max_share", lambda x: (x == torch.amax(x, 1, True)) + 0 * x, (2, 5, 3), k=[1]),
    op("softmax", lambda x: torch.softmax(x, -1), (3, 7), k=[-1]),
    op("softmax", lambda x: torch.softmax(x, 1), (2, 5, 3), k=[1]),
    op("log_softmax", lambda x: torch.log_softmax(x, -1), (3, 7), k=[-1]),
    op("log_softmax", lambda x: torch.log_softmax(x, 0), (5, 2, 2), k=[0]),
    op("concat", lambda *x: torch.cat(x, 1), (2, 1, 3), (2, 4, 3), (2, 2, 3), k=[1]),
    op("stack", lambda *x: torch.stack(x), (2, 3), (2, 3)),
    op("slice", lambda x: x[:, 2:5], (2, 7, 2), k=[1, 2, 3]),
    op("slice", lambda x: x[1:3], (4, 3), k=[0, 1, 2]),
    op("pad", lambda x: F.pad(x, (0, 0, 1, 2)), (2, 3, 2), k=[1, 1, 2]),
    op("reshape", lambda x: x.reshape(2, 1, 6), (3, 4), k=[3, 2, 1, 6]),
    op("permute", lambda x: x.permute(2, 0, 1), (2, 3, 4), k=[2, 0, 1]),
    op("permute", lambda x: x.permute(3, 1, 0, 2), (2, 1, 3, 2), k=[3, 1, 0, 2]),
    op("gather", lambda x: x[torch.tensor(IDS)], (5, 3), ids=IDS),
    op("scatter_add", lambda x: scatter(x, 6), (7, 2), k=[6], ids=IDS),
    op("squared_error", lambda a, b: F.mse_loss(a, b), (3, 4), (3, 4), k=[MEAN]),
    op("squared_error", lambda a, b: F.mse_loss(a, b, reduction="sum"),
       (2, 1, 3), (2, 1, 3), k=[SUM]),
    op("bce_logits", F.binary_cross_entropy_with_logits, (3, 4), (3, 4), k=[MEAN]),
    op("bce_logits", lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="sum"),
       (5,), (5,), k=[SUM]),
    op("cross_entropy", lambda x: nll(x, "mean"), (6, 5), k=[MEAN], ids=LABELS),
    op("cross_entropy", lambda x: nll(x, "sum"), (3, 2, 5), k=[SUM], ids=LABELS),
    op("cross_entropy", lambda x: nll(x, "mean", MASK),
       (3, 2, 5), k=[MEAN], ids=LABELS, mask=MASK),
    op("layer_norm", lambda x: F.layer_norm(x, (7,), eps=1e-5), (4, 7), p=[1e-5]),
    op("layer_norm", lambda x: F.layer_norm(x, (3,), eps=0.5), (2, 2, 3), p=[0.5]),
    op("layer_norm", lambda x: F.layer_norm(x, (5,), eps=0), (5,), p=[0]),
    op("where", lambda a, b: torch.where(mask_of(3, 4), a, b), (3, 4), (3, 4), **under(0, 3, 4)),
    op("where", lambda a, b: torch.where(mask_of(3, 1), a, b),
       (2, 3, 4), (2, 3, 4), **under(0, 3, 1)),
    op("masked_softmax", lambda x: torch.softmax(holes(x, 3, 4), -1), (3, 4), **under(-1, 3, 4)),
    op("masked_softmax", lambda x: torch.softmax(holes(x, 2, 1, 5), -1),
       (2, 3, 5), **under(-1, 2, 1, 5)),
    op("masked_log_softmax",
       lambda x: torch.log_softmax(holes(x, 3, 4), -1).masked_fill(~mask_of(3, 4), -7),
       (3, 4), p=[-7], **under(-1, 3, 4)),
    op("masked_max_axis", lambda x: torch.amax(holes(x, 3, 4, 1), 1), (3, 4, 2),
       **under(1, 3, 4, 1)),
    op("masked_max_share",
       lambda x: (holes(x, 3, 4) == torch.amax(holes(x, 3, 4), 1, True)) + 0 * x,
       (3, 4), **under(1, 3, 4)),
    op("squared_error", lambda a, b: F.mse_loss(a, b, reduction="none").sum(-1),
       (2, 3, 4), (2, 3, 4), k=[ROWS]),
    op("bce_logits",
       lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(-1),
       (2, 3, 4), (2, 3, 4), k=[ROWS]),
    op("cross_entropy", lambda x: nll(x, "none", MASK).reshape(3, 2),
       (3, 2, 5), k=[ROWS], ids=LABELS, mask=MASK),
    # Compositions.
    op("hinge", lambda z, t: torch.clamp(1 - t * z, min=0).mean(), (3, 4), (3, 4), k=[MEAN]),
    op("hinge", lambda z, t: torch.clamp(1 - t * z, min=0).sum(-1), (3, 4), (3, 4), k=[ROWS]),
    op("hinge_all", lambda x: 5 * F.multi_margin_loss(x, torch.tensor(LABELS)),
       (6, 5), k=[MEAN], ids=LABELS),
    op("hinge_all",
       lambda x: 5 * F.multi_margin_loss(x[kept_rows()], torch.tensor(LABELS)[kept_rows()]),
       (6, 5), k=[MEAN], ids=LABELS, mask=MASK),
    op("hinge_max", lambda x: crammer_singer(x).sum(), (6, 5), k=[SUM], ids=LABELS),
    op("hinge_max", lambda x: crammer_singer(x).reshape(3, 2) * torch.tensor(MASK).reshape(3, 2),
       (3, 2, 5), k=[ROWS], ids=LABELS, mask=MASK),
    op("bernoulli_nll",
       lambda z, t: F.binary_cross_entropy_with_logits(z[kept_rows()], t[kept_rows()],
                                                       reduction="none").sum(-1).mean(),
       (6, 5), (6, 5), k=[MEAN], mask=MASK),
    op("bernoulli_nll",
       lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(),
       (2, 3, 5), (2, 3, 5), k=[SUM]),
    op("bmm", torch.bmm, (2, 4, 3), (2, 3, 5)),
    op("bmm", torch.matmul, (2, 2, 1, 5), (2, 2, 5, 3)),
    op("bmm_nt", lambda a, b: a @ b.mT, (2, 4, 3), (2, 5, 3)),
    op("bmm_nt", lambda a, b: a @ b.mT, (3, 1, 20), (3, 4, 20)),
    op("bmm_tn", lambda a, b: a.mT @ b, (2, 3, 4), (2, 3, 5)),
]


def numbers(values):
    out, line = [], "   "
    for v in values:
        text = " %.17g," % v
        if len(line) + len(text) > 94:
            out.append(line)
            line = "   "
        line += text
    return "\n".join(out + [line])


def shape(s):
    return "{ %d, { %s } }" % (len(s), ", ".join(str(int(d)) for d in s) or "0")


def ints(values):
    return ", ".join(str(int(v)) for v in values)


def array(name, t):
    values = t.detach().reshape(-1).tolist()
    print("static const double %s[] = {\n%s\n};" % (name, numbers(values)))


def case(i, c):
    """Writes the arrays of a case and returns its row of the table."""
    x = [torch.rand(s) * (c["hi"] - c["lo"]) + c["lo"] for s in c["shapes"]]
    x = [v.requires_grad_() for v in x]
    y = c["f"](*x)
    gy = torch.rand(y.shape) * 2 - 1
    y.backward(gy)
    for k, v in enumerate(x):
        array("x%d_%d" % (i, k), v)
        array("g%d_%d" % (i, k), v.grad if v.grad is not None else torch.zeros_like(v))
    array("y%d" % i, y)
    array("s%d" % i, gy)
    attr = []
    if "p" in c:
        attr.append(".p = { %s }" % ", ".join("%.17g" % p for p in c["p"]))
    if "k" in c:
        attr.append(".k = { %s }" % ints(c["k"]))
    for key in ("ids", "mask"):
        if key in c:
            attr.append(".%s = (const int32_t[]){ %s }" % (key, ints(c[key])))
    if "ids" in c:
        attr.append(".n_ids = %d" % len(c["ids"]))
    elif "mask" in c:
        attr.append(".n_ids = %d" % len(c["mask"]))
    shapes = ", ".join(shape(v.shape) for v in x)
    xs, gs = (", ".join("%s%d_%d" % (name, i, k) for k in range(len(x))) for name in "xg")
    return "\n      ".join([
        '    { "%s", %d,' % (c["op"], len(x)), "{ %s }, %s," % (shapes, shape(y.shape)),
        "{ %s }," % (",\n        ".join(attr) or ".n_ids = 0"),
        "{ %s }, y%d, s%d, { %s } }," % (xs, i, i, gs)])


print("""/* ops.h -- golden values of every op, written by ops.py: do not edit.
 *
 * x: the operands; y: the result; gy: a seed gradient of y; gx: the gradients it gives. */
#ifndef SQ_TESTS_GOLDEN_OPS_H
#define SQ_TESTS_GOLDEN_OPS_H

#include "core/op.h"

/* clang-format off */

typedef struct golden_op {
    const char *name;
    int32_t n;
    sq_shape in[3], out;
    sq_attr attr;
    const double *x[3], *y, *gy, *gx[3];
} golden_op;
""")
rows = [case(i, c) for i, c in enumerate(CASES)]
print("\nstatic const golden_op golden_ops[] = {\n%s\n};" % "\n".join(rows))
print("\n/* clang-format on */\n\n#endif")
