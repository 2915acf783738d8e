#!/usr/bin/env python3
"""Golden values of Jacobians, from NumPy and mpmath in their own arithmetic.

    python3 tests/golden/jacobian.py > tests/golden/jacobian.h

Both sides draw the same numbers (splitmix64, rounded to single precision, tests/support/support.h).

singular   the step Jacobian J = diag(1 - h'^2) U^T of 100 tanh networks h' = tanh(x W + b + h U), of
           2 to 16 units: its singular values by numpy.linalg.svd.
product    ln of the singular values of J_T ... J_1 for J_t = diag(x_t) W^T, by mpmath with 3000 digits.
lyapunov   spectra of random tanh networks h' = tanh(h U + x V), by numpy.linalg.qr, from a frame made of
           sin 1, sin 4, sin 9, ...

Made with NumPy 1.24.2 and mpmath 1.2.1 (Debian 12).
"""

import mpmath
import numpy as np

MASK = (1 << 64) - 1


def fill(n, seed, lo, hi):
    """As fill() of support.h."""
    out = []
    for _ in range(n):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        out.append(float(np.float32(lo + (hi - lo) * ((z >> 11) * 2.0**-53))))
    return np.array(out)


def singular(case):
    n = 2 + case % 15
    w, b = fill(3 * n, 5 * case + 1, -1, 1).reshape(3, n), fill(n, 5 * case + 2, -1, 1)
    u, h = fill(n * n, 5 * case + 3, -1, 1).reshape(n, n), fill(n, 5 * case + 4, -1, 1)
    h = np.tanh(fill(3, 5 * case + 5, -1, 1) @ w + b + h @ u)
    return np.linalg.svd((1 - h * h)[:, None] * u.T, compute_uv=False)


def product(steps, n=5):
    mpmath.mp.dps = 3000
    w, x = fill(n * n, 901, -1, 1).reshape(n, n), fill(1000 * n, 902, 0.5, 1.5).reshape(1000, n)
    p = mpmath.eye(n)
    wt = mpmath.matrix(w.T.tolist())
    for t in range(steps):
        p = mpmath.diag([mpmath.mpf(float(v)) for v in x[t]]) * (wt * p)
    e = mpmath.eigsy(p.T * p, eigvals_only=True)
    return sorted((float(mpmath.log(v) / 2) for v in e), reverse=True)


def lyapunov(gain, drive, steps, n=16):
    u = fill(n * n, 911, -1, 1).reshape(n, n) * (gain * np.sqrt(3.0 / n))
    v = fill(2 * n, 912, -1, 1).reshape(2, n) * drive
    h, x = fill(n, 913, -1, 1), fill(steps * 2, 914, -1, 1).reshape(steps, 2)
    q, _ = np.linalg.qr(np.sin(np.arange(1.0, n * n + 1) ** 2).reshape(n, n).T)
    total = np.zeros(n)
    for t in range(steps):
        h = np.tanh(h @ u + x[t] @ v)
        q, r = np.linalg.qr((1 - h * h)[:, None] * (u.T @ q))
        total += np.log(np.abs(np.diag(r)))
    return total / steps


LYAPUNOV = [(0.8, 0.0, 1000), (0.8, 0.5, 1000), (1.5, 0.5, 200), (2.0, 0.0, 100)]


def rows(numbers):
    numbers = [f"{v:.17g}" for v in numbers]
    return "\n".join("    " + ", ".join(numbers[i:i + 4]) + "," for i in range(0, len(numbers), 4))


print("""/* jacobian.h -- golden values of Jacobians, written by jacobian.py (which says what of): do not edit. */
#ifndef SQ_TESTS_GOLDEN_JACOBIAN_H
#define SQ_TESTS_GOLDEN_JACOBIAN_H

/* clang-format off */

/* Case i has 2 + i % 15 values, largest first; all behind each other. */
static const double golden_singular[] = {""")
for case in range(100):
    print(rows(singular(case)))
print("};\n")
for steps in (40, 1000):
    print(f"static const double golden_product_{steps}[] = {{\n{rows(product(steps))}\n}};\n")
print("static const struct golden_lyapunov {\n    double gain, drive;\n    int steps;\n    double exponent[16];\n"
      "} golden_lyapunov[] = {")
for gain, drive, steps in LYAPUNOV:
    print(f"    {{ {gain}, {drive}, {steps}, {{\n{rows(lyapunov(gain, drive, steps))}\n    }} }},")
print("};\n\n#endif")
