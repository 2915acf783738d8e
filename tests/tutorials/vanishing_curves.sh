#!/bin/sh
# vanishing curves: norms of products of Jacobians where they can be told beforehand, what it refuses.
. "$(dirname "$0")/../support/tutorial.sh"

# Without inputs the state stays 0 and tanh' = 1: the networks are linear. With one unit U is +-r, and
# |dh_T/dh_(T-k)| = r^k; relu' is 1/2 at 0, so that of the IRNN is 2^-k.
run one curves --hidden 1 --drive 0 --steps 200 --csv one.csv --svg one.svg
[ "$(wc -l <one.csv)" = 1810 ] || fail "rows: $(wc -l <one.csv)"
[ "$(head -1 one.csv)" = 'network,steps_back,ln_spectral_norm,ln_frobenius_norm' ] || fail header
awk -F, 'function far(a, b) { return a > b + 1e-9 || a < b - 1e-9 }
    NR == 1 { next }
    /radius 0.5/ { $0 = substr($0, index($0, "\",") + 2); $0 = $0; if (far($2, $1 * log(.5)) || far($3, $1 * log(.5))) exit 1; next }
    /radius 1"/ { $0 = substr($0, index($0, "\",") + 2); if (far($2, 0)) exit 1; next }
    /radius 1.5/ { $0 = substr($0, index($0, "\",") + 2); if (far($2, $1 * log(1.5))) exit 1; n++; next }
    /orthogonal/ { $0 = substr($0, index($0, "\",") + 2); if (far($2, 0)) exit 1; next }
    /IRNN/ { $0 = substr($0, index($0, "I)\",") + 4); if (far($2, -$1 * log(2))) exit 1; next }
    END { exit n != 201 }' one.csv || fail "one unit: not r^k"

# An orthogonal U of 16: every singular value is 1, so Frobenius says sqrt(16). A radius of 0.5 is what
# is left in the long run of whatever shape U has.
run linear curves --hidden 16 --drive 0 --csv linear.csv --svg none --quiet
awk '/orthogonal/ { sub(/.*",/, ""); split($0, v, ",")
        if (v[2] > 1e-9 || v[2] < -1e-9 || v[3] > log(4) + 1e-9 || v[3] < log(4) - 1e-9) exit 1; n++ }
    END { exit n != 201 }' linear.csv || fail "orthogonal: not 1 throughout"
awk '/radius 0.5/ { sub(/.*",/, ""); split($0, v, ","); ln[v[1]] = v[2] }
    END { f = exp((ln[200] - ln[50]) / 150); exit f < .49 || f > .51 }' linear.csv ||
    fail "radius 0.5: another factor"

# With inputs: two ways through the library agree as norms do, tanh with an orthogonal U only shrinks,
# a ReLU is on or off, and the forget bias orders the LSTMs.
run driven curves --hidden 12 --steps 60 --csv driven.csv --svg driven.svg
awk 'NR > 1 { name = $0; sub(/",.*/, "", name); sub(/.*",/, ""); split($0, v, ",")
        if (v[2] > v[3] + 1e-9 || v[3] > v[2] + .5 * log(12) + 1e-9) exit 1
        if (name ~ /orthogonal/ && v[1] && v[2] > last + 1e-12) exit 1
        if (name ~ /IRNN/ && v[2] != "-inf" && (v[2] > 1e-12 || v[2] < -1e-12)) exit 1
        last = v[2]; ln[name] = v[2] }
    END { exit !(ln["\"LSTM, b_f = 0"] < ln["\"LSTM, b_f = 1"] && ln["\"LSTM, b_f = 1"] < ln["\"LSTM, b_f = 5"]) }' \
    driven.csv || fail "driven"
[ "$(grep -c '^LSTM, b_f' driven)" = 3 ] || fail "no row per LSTM"
grep -q '^LSTM, b_f = 1 .* 0\.7311 sigmoid(b_f)$' driven || fail "the forget gate's theory"
narrow driven
[ "$(grep -c 's left$' err)" = 10 ] || fail "no progress"
run again curves --hidden 12 --steps 60 --csv again.csv --svg again.svg --quiet
[ ! -s err ] || fail "--quiet is not quiet"
cmp driven.csv again.csv && cmp driven.svg again.svg || fail "the same seed gives other numbers"
run other curves --hidden 12 --steps 60 --seed 2 --csv other.csv --svg none --quiet
cmp -s driven.csv other.csv && fail "another seed gives the same numbers"
[ "$(grep -c "<path class='curve s[1-9]' d='M[0-9.]* [0-9.]*L" driven.svg)" = 9 ] || fail "nine curves"
dark driven.svg
grep -q 'src=\|href=\|<script\|url(' driven.svg && fail "the picture does not stand alone"
well_formed driven.svg one.svg

# What it refuses, before anything is written.
outputs='vanishing_curves.csv vanishing_curves.svg new.csv'
usage 'say what to show: curves or wall'
usage '"slopes" is neither curves nor wall' slopes
usage 'there is no option --hiden' curves --hiden 3
usage '"x.csv" is not an option' curves x.csv
usage '--hidden takes a value: N' curves --hidden
usage '--hidden takes a whole number, not "3x"' curves --hidden 3x
usage '--hidden 0 is out of range: it must be from 1 to 128' curves --hidden=0
usage '--steps 1 is out of range: it must be from 2 to 2000' curves --steps 1
usage '--steps 99999999999999999999 is out of range: it must be from 2 to 2000' \
    curves --steps 99999999999999999999
usage '--drive takes a number, not "nan"' curves --drive nan
usage '--drive -1 is out of range: it must be from 0 to 1000000' curves --drive -1
usage '--quiet takes no value' curves --quiet=yes
usage '--csv takes FILE, not an empty string' curves --csv ''
usage 'two outputs go to the same file, new.csv' curves --csv new.csv --svg new.csv
usage 'there is no option --rate' curves --rate 1
mkdir folder
refuses 1 'cannot write folder: it is a directory' curves --svg folder
refuses 1 'cannot write nowhere/x.svg: No such file or directory' curves --csv new.csv --svg nowhere/x.svg
echo kept >old.csv
refuses 1 'cannot write folder: it is a directory' curves --csv old.csv --svg folder
[ "$(cat old.csv)" = kept ] || fail "an old output was touched"
full_stdout curves --hidden 2 --steps 4 --csv none --svg none
full_file curves --hidden 2 --steps 4 --csv /dev/full --svg none

tells_of hidden steps drive seed csv svg quiet help w b rate clip updates
exit $failed
