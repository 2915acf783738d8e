#!/bin/sh
# gradient_flow --npy: NumPy reads every array, and finds in it the numbers of the report's CSV.
. "$(dirname "$0")/../support/tutorial.sh"

for python in python3 /usr/bin/python3 none; do
    "$python" -c 'import numpy' 2>/dev/null && break
done
[ "$python" != none ] || skip "no python3 with numpy"

run out --hidden 5 --steps 30 --updates 20 --report page.html --npy --csv none --html none --quiet
[ "$(ls ./*.npy | wc -l)" = 24 ] && [ "$(grep -c 'wrote .*npy$' out)" = 24 ] || fail "files: $(ls)"
"$python" - <<'END' || fail "what NumPy reads"
import csv
import sys
import numpy as np

ARRAYS = {"total": ("states", "total"), "immediate": ("states", "immediate"), "units": ("units", "total"),
          "reach": ("reach", "total"), "weights": ("weights", "contribution"), "gate_mean": ("gates", "mean"),
          "gate_saturated": ("gates", "saturated"), "singular": ("jacobian", "singular")}
RANK = {"total": 2, "immediate": 2, "units": 3, "reach": 3, "weights": 2, "gate_mean": 2, "gate_saturated": 2,
        "singular": 2}
bad = 0
for cell, states in ("rnn", 1), ("gru", 1), ("lstm", 2):
    rows = list(csv.DictReader(open("page_%s.csv" % cell)))
    for array, (panel, quantity) in ARRAYS.items():
        a = np.load("page_%s_%s.npy" % (cell, array), allow_pickle=False)
        mine = [r for r in rows if r["panel"] == panel and r["quantity"] == quantity]
        names = list(dict.fromkeys(r["name"] for r in (rows if panel == "gates" else mine) if r["panel"] == panel))
        told = 0
        for r in mine:
            at = ([] if panel == "jacobian" else [names.index(r["name"])]) + [int(r[k]) for k in ("row", "step") if r[k]]
            if "%.6g" % a[tuple(at)] != r["value"]:
                bad += 1
                print(cell, array, r, a[tuple(at)])
            told += r["value"] != "nan"
        seen = np.isfinite(a) & ((a != 0) | (panel != "reach"))
        if a.dtype != np.dtype("<f8") or a.ndim != RANK[array] or a.shape[-1] != 30 or seen.sum() != told or told < 30:
            bad += 1
            print(cell, array, a.dtype, a.shape, seen.sum(), told)
        if panel in ("states", "reach") and a.shape[0] != states:
            bad += 1
            print(cell, array, a.shape)
sys.exit(bad > 0)
END

usage '--npy writes the arrays of --report FILE.html; ask for it' --npy --cell rnn --csv none --html none
exit $failed
