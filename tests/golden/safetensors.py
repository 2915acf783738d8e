#!/usr/bin/env python3
"""Golden safetensors files, written with json and struct alone.

    python3 tests/golden/safetensors.py > tests/golden/safetensors.h

`golden_ours` is the file by the rules that the format's reference implementation keeps: JSON
without spaces, texts by key, tensors by type (I64, F64, F32 ... BOOL) and then by name, the header
filled with spaces to a multiple of 8. `golden_forms` is such a file with every type. `golden_foreign` holds the same tensors and texts as another
program may write them: every character of the strings as an escape, spaces and line ends, fields
and tensors in other orders, no filling.

    python3 tests/golden/safetensors.py --read FILE

prints what a file holds, read in the same independent way.
"""

import json
import struct
import sys

TEXTS = {
    "format": "pt",
    "a \"quoted\" key\\": "line\nbreak\ttab\x01\x1f\x7f/",
    "\u00e9\u20ac\U0001f600": "",
}
CODES = {"I64": "q", "F64": "d", "F32": "f", "U32": "I", "I32": "i", "BF16": None, "F16": "e",
         "U16": "H", "I16": "h", "I8": "b", "U8": "B", "BOOL": "?"}  # in the order of files
INF, NAN = float("inf"), float("nan")
TENSORS = [  # name, dtype, shape, values; in no particular order
    ("W", "F32", [2, 3], [1.5, -0.0, INF, -INF, 1e-45, 3.4028234663852886e38]),
    ("b", "F32", [3], [0.1, 0.2, 0.3]),  # what follows lies unaligned in the foreign file
    ("double", "F64", [2, 2], [0.1, -2.5e-310, 1e308, -0.0]),
    ("scalar", "F64", [], [3.141592653589793]),
    ("odd", "F32", [1], [-7.0]),
    ("not a number", "F64", [1], [NAN]),
    ("counts", "I64", [3], [-2**63, 2**63 - 1, 0]),
    ("eight axes", "I64", [1, 1, 2, 1, 1, 1, 1, 1], [10, -20]),
    ("nothing", "F32", [4, 0, 2], []),
    ("nothing at all", "I64", [0], []),
    ("na\u00efve \"\\\n", "F32", [1], [42.0]),
]
FORMS = [
    ("half", "F16", [2, 4], [1.0, -0.0, 65504.0, -INF, 2.0**-24, 2.0**-14, -1023 * 2.0**-24, NAN]),
    ("brain", "BF16", [7], [1.0, -0.0, 255 * 2.0**120, -INF, 2.0**-133, -2.0**-126, NAN]),
    ("single", "F32", [1], [0.1]),
    ("double", "F64", [], [0.1]),
    ("i64", "I64", [1], [-2**63]),
    ("i32", "I32", [2], [-2**31, 2**31 - 1]),
    ("u32", "U32", [2], [0, 2**32 - 1]),
    ("u16", "U16", [3], [0, 1, 2**16 - 1]),
    ("i16", "I16", [3, 1], [-2**15, -1, 2**15 - 1]),
    ("i8", "I8", [3], [-128, -1, 127]),
    ("u8", "U8", [2], [0, 255]),
    ("bool", "BOOL", [3], [True, False, True]),
    ("none", "BF16", [0, 3], []),
]


def data_of(tensor):
    _, dtype, _, values = tensor
    if dtype == "BF16":  # the upper half of a float
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack("<%d%s" % (len(values), CODES[dtype]), *values)


def values_of(dtype, raw):
    if dtype == "BF16":
        return values_of("F32", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2)))
    return struct.unpack("<%d%s" % (len(raw) // struct.calcsize(CODES[dtype]), CODES[dtype]), raw)


def file_of(text, data):
    header = text.encode()
    return struct.pack("<Q", len(header)) + header + data


def ours(tensors, texts):
    rank = list(CODES).index
    header, data = {"__metadata__": {k: texts[k] for k in sorted(texts)}} if texts else {}, b""
    for t in sorted(tensors, key=lambda t: (rank(t[1]), t[0].encode())):
        raw = data_of(t)
        header[t[0]] = {"dtype": t[1], "shape": t[2],
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    return file_of(text + " " * (-len(text.encode()) % 8), data)


def escaped(string):
    units = struct.unpack(">%dH" % (len(string.encode("utf-16-be")) // 2),
                          string.encode("utf-16-be"))
    return '"' + "".join("\\u%04X" % u for u in units) + '"'


def foreign():
    entries, data = [], b""
    for t in TENSORS:
        raw = data_of(t)
        entries.append('%s :\r\n{ "data_offsets":[ %d ,%d ], "shape" :\t[%s], "\\u0064type":"%s" }'
                       % (escaped(t[0]), len(data), len(data) + len(raw),
                          " , ".join(map(str, t[2])), t[1]))
        data += raw
    texts = ", ".join("%s: %s" % (escaped(k), escaped(v)) for k, v in reversed(TEXTS.items()))
    entries.reverse()
    entries.insert(4, '"__metadata__": { %s }' % texts)
    return file_of("{ " + ",\n".join(entries) + "\n}", data)


def read(path):
    raw = open(path, "rb").read()
    n, = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + n].decode())
    print("header of %d bytes, %d bytes of data" % (n, len(raw) - 8 - n))
    for key, value in header.pop("__metadata__", {}).items():
        print("text %r: %r" % (key, value))
    for name, t in header.items():
        begin, end = t["data_offsets"]
        values = values_of(t["dtype"], raw[8 + n + begin:8 + n + end])
        print("%r %s %s %s%s" % (name, t["dtype"], t["shape"], values[:4],
                                 "..." if len(values) > 4 else ""))


def array(name, raw):
    print("\nstatic const unsigned char %s[] = {" % name)
    for i in range(0, len(raw), 16):
        print("    " + " ".join("%d," % b for b in raw[i:i + 16]))
    print("};")


if len(sys.argv) == 3 and sys.argv[1] == "--read":
    read(sys.argv[2])
else:
    print("""/* safetensors.h -- whole files, written by safetensors.py: do not edit. */
#ifndef SQ_TESTS_GOLDEN_SAFETENSORS_H
#define SQ_TESTS_GOLDEN_SAFETENSORS_H

/* clang-format off */""")
    array("golden_ours", ours(TENSORS, TEXTS))
    array("golden_foreign", foreign())
    array("golden_forms", ours(FORMS, {}))
    print("\n#endif")
