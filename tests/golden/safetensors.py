#!/usr/bin/env python3
"""Golden safetensors files, written with json and struct alone.

    python3 tests/golden/safetensors.py > tests/golden/safetensors.h

`golden_ours` is the file by the rules that the format's reference implementation keeps: JSON
without spaces, texts by key, tensors by type (I64, F64, F32) and then by name, the header filled
with spaces to a multiple of 8. `golden_foreign` holds the same tensors and texts as another
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
CODES = {"F32": "f", "F64": "d", "I64": "q"}
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


def data_of(tensor):
    _, dtype, _, values = tensor
    return struct.pack("<%d%s" % (len(values), CODES[dtype]), *values)


def file_of(text, data):
    header = text.encode()
    return struct.pack("<Q", len(header)) + header + data


def ours():
    rank = {"I64": 0, "F64": 1, "F32": 2}
    header, data = {"__metadata__": {k: TEXTS[k] for k in sorted(TEXTS)}}, b""
    for t in sorted(TENSORS, key=lambda t: (rank[t[1]], t[0].encode())):
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
        values = struct.unpack("<%d%s" % ((end - begin) // struct.calcsize(CODES[t["dtype"]]),
                                          CODES[t["dtype"]]), raw[8 + n + begin:8 + n + end])
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
    array("golden_ours", ours())
    array("golden_foreign", foreign())
    print("\n#endif")
