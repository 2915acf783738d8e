#!/usr/bin/env python3
"""Golden .npy files of a report, written by NumPy.

    python3 tests/golden/report_npy.py > tests/golden/report_npy.h

h_t = w h_(t-1) + x_t with w = 1/4 and L = h_0 + 2 h_1 + 3 h_2: dL/dh_t from the matrix of all
dh_j/dh_t, and dL_i/dh_t of the three losses by themselves.
"""

import io

import numpy as np

W, C, T = 0.25, np.array([1.0, 2.0, 3.0]), 3
j = np.tril(W ** np.abs(np.subtract.outer(np.arange(T), np.arange(T))))  # [j,t] = dh_j/dh_t
arrays = {"total": (C @ j)[None, :], "immediate": C[None, :], "reach": (C[:, None] * j)[None, :, :],
          "singular": np.full((1, T), W), "lyapunov": np.log(np.array([W]))}

print("""/* report_npy.h -- whole files, written by report_npy.py: do not edit. */
#ifndef SQ_TESTS_GOLDEN_REPORT_NPY_H
#define SQ_TESTS_GOLDEN_REPORT_NPY_H

/* clang-format off */""")
for name, a in arrays.items():
    to = io.BytesIO()
    np.save(to, a)
    raw = to.getvalue()
    print("static const unsigned char npy_%s[] = {" % name)
    for i in range(0, len(raw), 24):
        print("    " + " ".join("%d," % b for b in raw[i:i + 24]))
    print("};")
print("\n#endif")
