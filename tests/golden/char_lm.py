#!/usr/bin/env python3
"""char_lm.py TEXT [options] -- the model of tutorials/char_lm in PyTorch, for comparison.

A character-level language model: one-hot or an embedding, one LSTM layer, a linear readout, cross
entropy; the text cut into `batch` parallel streams, the state carried from window to window and
cut between windows (k1 = k2), Adam. The first 90 % train; the last 10 % validate: one pass from a
zero state, the mean over all its characters but the first.
Prints per seed: validation loss in nats per character, and characters per second of training.
Needs Debian's python3-torch.
"""
import argparse
import time

import torch


def arguments():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("text")
    a.add_argument("--hidden", type=int, default=128)
    a.add_argument("--embed", type=int, default=0, help="0: one-hot")
    a.add_argument("--batch", type=int, default=32)
    a.add_argument("--k", type=int, default=64)
    a.add_argument("--updates", type=int, default=2000)
    a.add_argument("--rate", type=float, default=2e-3)
    a.add_argument("--seeds", type=int, default=3)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--no-validation", action="store_true")
    return a.parse_args()


class Model(torch.nn.Module):
    def __init__(self, n_chars, embed, hidden):
        super().__init__()
        self.n_chars = n_chars
        self.embed = torch.nn.Embedding(n_chars, embed) if embed else None
        self.lstm = torch.nn.LSTM(embed or n_chars, hidden)
        self.readout = torch.nn.Linear(hidden, n_chars)

    def forward(self, ids, state):
        if self.embed:
            x = self.embed(ids)
        else:
            x = torch.nn.functional.one_hot(ids, self.n_chars).float()
        h, state = self.lstm(x, state)
        return self.readout(h), state


def loss_of(logits, ids):
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids.reshape(-1))


def validation(model, ids, window=1000):
    total, state = 0.0, None
    with torch.no_grad():
        for at in range(0, len(ids) - 1, window):
            x = ids[at : at + window + 1]
            logits, state = model(x[:-1, None], state)
            total += loss_of(logits, x[1:, None]).item() * (len(x) - 1)
    return total / (len(ids) - 1)


def main():
    o = arguments()
    torch.set_num_threads(o.threads)
    text = open(o.text, "rb").read()
    chars = sorted(set(text))
    number = {c: i for i, c in enumerate(chars)}
    ids = torch.tensor([number[c] for c in text])
    n_train = len(ids) * 9 // 10
    length = n_train // o.batch
    rows = ids[: length * o.batch].reshape(o.batch, length).t().contiguous()  # [time, batch]
    for seed in range(o.seeds):
        torch.manual_seed(seed)
        model = Model(len(chars), o.embed, o.hidden)
        optim = torch.optim.Adam(model.parameters(), lr=o.rate)
        state, at, start = None, 0, time.perf_counter()
        for _ in range(o.updates):
            if at + o.k + 1 > length:
                state, at = None, 0
            x = rows[at : at + o.k + 1]
            logits, state = model(x[:-1], state)
            loss = loss_of(logits, x[1:])
            optim.zero_grad()
            loss.backward()
            optim.step()
            state = tuple(s.detach() for s in state)
            at += o.k
        speed = o.updates * o.k * o.batch / (time.perf_counter() - start)
        nats = float("nan") if o.no_validation else validation(model, ids[n_train:])
        print(f"seed {seed}  validation {nats:.4f} nats  {speed:.0f} characters/s", flush=True)


if __name__ == "__main__":
    main()
