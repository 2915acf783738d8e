#!/usr/bin/env python3
"""Golden .npy files, written by NumPy, and how NumPy and exact fractions round to short floats.

    python3 tests/golden/npy.py > tests/golden/npy.h
    python3 tests/golden/npy.py --read FILE     what NumPy reads there

Every element type, both byte orders, both orders of axes, ranks 0 to 4 and 8, no elements, the
three versions. Beside each file stand the bits of its values as float, double or int64_t, row by
row. The second table holds doubles and floats with their nearest F16 and BF16, by exact fractions;
NumPy's own rounding to float16 is asserted to agree.
"""

import io
import struct
import sys
from fractions import Fraction

import numpy as np

INF, NAN = np.inf, np.nan
WHOLE = {"b1": ("BOOL", [0, 1]), "i1": ("I8", [-128, 127]), "u1": ("U8", [0, 255]),
         "i2": ("I16", [-2**15, 2**15 - 1]), "u2": ("U16", [0, 2**16 - 1]),
         "i4": ("I32", [-2**31, 2**31 - 1]), "u4": ("U32", [0, 2**32 - 1]),
         "i8": ("I64", [-2**63, 2**63 - 1])}
FLOATS = {"f2": ("F16", [65504, -INF, 2**-24, -0.0, NAN, 2**-14, 1 - 2**-11]),
          "f4": ("F32", [3.4028234663852886e38, -INF, 2**-149, -0.0, NAN, 0.1]),
          "f8": ("F64", [1.7976931348623157e308, -INF, 5e-324, -0.0, NAN, 0.1])}
SHAPES = [(), (1,), (5,), (2, 3), (3, 1, 2), (2, 3, 4, 2), (0,), (3, 0, 2), (1, 1, 2, 1, 2, 1, 1, 3)]


def values_of(code, shape):
    special = (WHOLE.get(code) or FLOATS.get(code))[1]
    n = int(np.prod(shape))
    flat = [special[i] if i < len(special) else (i * 37 % 2 if code == "b1" else i * 37 % 101)
            for i in range(n)]
    return np.array(flat, dtype=np.dtype(code)).reshape(shape)


def held(a):
    kind = a.dtype.str[1:]
    if kind in WHOLE:
        return "SQ_TENSOR_I64", a.astype("<i8").view("<u8")
    if kind == "f8":
        return "SQ_TENSOR_F64", a.astype("<f8").view("<u8")
    return "SQ_TENSOR_F32", a.astype("<f4").view("<u4")


def file_of(a, version):
    to = io.BytesIO()
    np.lib.format.write_array(to, a, version=version)
    return to.getvalue()


def cases():
    for k, code in enumerate(list(WHOLE) + list(FLOATS)):
        for i, order in enumerate("<>"):
            shape = SHAPES[(2 * k + 3 * i) % len(SHAPES)] if i else SHAPES[2 + k % 4]
            a = values_of(code, shape).astype(np.dtype(order + code))
            yield a, (1, 0)
    for k, shape in enumerate(SHAPES):
        yield np.asfortranarray(values_of("f4", shape)), (1 + k % 3, 0)
        yield np.asfortranarray(values_of("i2", shape)).astype(">i2", order="K"), (3 - k % 3, 0)
    big = np.asfortranarray(np.arange(1200, dtype="<f2").reshape(30, 40))
    yield big, (2, 0)


def rounded(x, e, f):
    """The bits of the value of that format nearest to x, ties to even."""
    if x != x:
        return None
    sign = 1 if str(x).startswith("-") else 0
    top, bias = (1 << e) - 1, (1 << (e - 1)) - 1
    if abs(x) == INF:
        return (sign << (e + f)) | (top << f)
    exact, exponent = Fraction(abs(float(x))), 1
    while exact >= Fraction(2) ** (exponent + 1 - bias):
        exponent += 1
    steps = round(exact / Fraction(2) ** (exponent - bias - f))  # round() is to even
    bits = steps if exponent == 1 else ((exponent - 1) << f) + steps
    return (sign << (e + f)) | min(bits, top << f)


def halves():
    xs = [0.0, -0.0, INF, -INF, 65504.0, 65519.0, 2.0**-24, 2.0**-25, 2.0**-25 * (1 + 2.0**-52),
          2.0**-26, 1.5 * 2.0**-24, 2.5 * 2.0**-24, 2.0**-14, 2.0**-14 - 2.0**-25, 1023.5 * 2.0**-24,
          1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-11 + 2.0**-40, 2047.5, 2048.5, 2049.5, -2051.0,
          1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-8 + 2.0**-50, 2.0**-126, 2.0**-133, 2.0**-134,
          3 * 2.0**-134, 2.0**-134 * (1 + 2.0**-40), 1e-300, 5e-324, 3.38e38, 0.1, -1 / 3, 1e-5, -6e-8]
    rng = np.random.default_rng(5)
    xs += [float(s * 2.0**k) for s, k in zip(rng.normal(size=80), rng.uniform(-30, 15, size=80))]
    xs += [float(s * 2.0**k) for s, k in zip(rng.normal(size=40), rng.uniform(-140, 120, size=40))]
    with np.errstate(over="ignore"):
        for x in xs:
            h = rounded(x, 5, 10)
            assert h == int(np.float64(x).astype("<f2").view("<u2")), x
            yield struct.unpack("<Q", struct.pack("<d", x))[0], h, rounded(x, 8, 7)


def numbers(values, per_line, form):
    values = list(values)
    for i in range(0, len(values), per_line):
        print("    " + " ".join(form % v for v in values[i:i + per_line]))


def main():
    print("""/* npy.h -- whole files, written by npy.py: do not edit. */
#ifndef SQ_TESTS_GOLDEN_NPY_H
#define SQ_TESTS_GOLDEN_NPY_H

#include "core/io.h"

/* clang-format off */""")
    rows = []
    for k, (a, version) in enumerate(cases()):
        raw, (type_, bits) = file_of(a, version), held(np.ascontiguousarray(a).reshape(a.shape))
        print("static const unsigned char npy_file_%d[] = {" % k)
        numbers(raw, 24, "%d,")
        print("};\nstatic const uint64_t npy_bits_%d[] = {" % k)
        numbers(list(bits.reshape(-1)) or [0], 8, "%dU,")
        print("};")
        ours = version == (1, 0) and a.flags.c_contiguous and a.dtype.str[0] in "<|"
        stored = (WHOLE.get(a.dtype.str[1:]) or FLOATS.get(a.dtype.str[1:]))[0]
        rows.append('    { "%s %s %s %d.0", npy_file_%d, sizeof npy_file_%d, %s, SQ_STORED_%s, %d, { %s }, '
                    "%d, npy_bits_%d, %s },"
                    % (a.dtype.str, a.shape, "C" if a.flags.c_contiguous else "Fortran", version[0], k, k,
                       type_, stored, a.ndim, ", ".join(map(str, a.shape)) or "0", a.size, k,
                       "true" if ours else "false"))
    print("""
/* NumPy writes the same bytes: row-major, lowest byte first, version 1. */
static const struct {
    const char *what;
    const unsigned char *file;
    size_t n;
    sq_tensor_type type;
    sq_stored stored;
    int32_t rank;
    int64_t dim[8], count;
    const uint64_t *bits;
    bool same_bytes;
} npy_golden[] = {""")
    print("\n".join(rows))
    print("""};

/* The bits of a double, and its nearest F16 and BF16. */
static const struct {
    uint64_t wide;
    uint16_t f16, bf16;
} halves_golden[] = {""")
    numbers(["{ 0x%016xU, 0x%04x, 0x%04x }," % h for h in halves()], 2, "%s")
    print("};\n\n#endif")


if len(sys.argv) == 3 and sys.argv[1] == "--read":
    array = np.load(sys.argv[2])
    print(array.dtype.str, array.shape, array.reshape(-1)[:8])
else:
    main()
