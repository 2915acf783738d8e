#!/usr/bin/env python3
"""One training of tutorials/char_lm in PyTorch: characters per second, the mean but for the first updates.

    bench_torch_charlm.py [--embed N] [--hidden N] [--batch N] [--k1 N] [--threads N] [--secs S] TEXT

nn.Embedding (--embed 0: rows of the unit matrix), nn.LSTM, nn.Linear, cross_entropy, clip_grad_norm_
5, Adam 2e-3 (the faster of its two loops), the state carried from window to window."""
import argparse, os, time
o = argparse.ArgumentParser()
for name, default in (("embed", 64), ("hidden", 128), ("batch", 32), ("k1", 64), ("threads", 1), ("secs", 3)):
    o.add_argument("--" + name, type=int, default=default)
o.add_argument("text")
o = o.parse_args()
os.environ.setdefault("OMP_NUM_THREADS", str(o.threads))
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(o.threads))
import torch
torch.set_num_threads(o.threads)
torch.manual_seed(0)

text = open(o.text, "rb").read()
known = {c: i for i, c in enumerate(sorted(set(text)))}
ids = torch.tensor([known[c] for c in text[: len(text) * 9 // 10]])
length = len(ids) // o.batch
ids = ids[: length * o.batch].view(o.batch, length).t().contiguous()
V = len(known)


def speed(foreach):
    emb = torch.nn.Embedding(V, o.embed) if o.embed else None
    lstm, out = torch.nn.LSTM(o.embed or V, o.hidden), torch.nn.Linear(o.hidden, V)
    weights = [p for m in (emb, lstm, out) if m is not None for p in m.parameters()]
    adam = torch.optim.Adam(weights, lr=2e-3, foreach=foreach)
    loss_of, unit, state, at, times = torch.nn.CrossEntropyLoss(), torch.eye(V), None, 0, []
    start = time.perf_counter()
    while time.perf_counter() - start < o.secs / 2:
        if at + o.k1 >= length: at, state = 0, None
        began = time.perf_counter()
        d = ids[at : at + o.k1 + 1]
        y, state = lstm(emb(d[:-1]) if emb else unit[d[:-1]], state)
        state = tuple(s.detach() for s in state)
        loss = loss_of(out(y).view(-1, V), d[1:].reshape(-1))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 5)
        adam.step()
        at += o.k1
        times.append(time.perf_counter() - began)
    times = times[len(times) // 5 :]
    return o.k1 * o.batch * len(times) / sum(times)


print("%.0f" % max(speed(False), speed(True)))
