#!/bin/sh
# reber: the grammar against a regular expression and numbers told by hand; the training run small; what
# it refuses.
. "$(dirname "$0")/../support/tutorial.sh"

# ---- The grammar --------------------------------------------------------------------------------

# An acceptor that shares nothing with the program. From the node behind T S* X a string goes round
# (X T* V P)* before it leaves; behind P T* V it leaves by V or goes over to that node by P.
round='(XT*VP)*(S|XT*VV)'
inner="B(TS*X$round|PT*V(V|P$round))E"
run strings strings --count 20000
[ "$(wc -l <strings)" = 20000 ] || fail "$(wc -l <strings) strings"
grep -Evx "BT${inner}TE|BP${inner}PE" strings >wrong && fail "not of the grammar: $(head -1 wrong)"

# Every node lets two equally likely symbols follow: with the numbers of symbols still to come
# e6 = 1 + (e5 + 1)/2, e5 = 1 + (e5 + e7)/2, e7 = 1 + (e6 + 1)/2 the mean length is 12; half the strings
# agree in T, and half of the inner ones begin with T. Six deviations: 0.15 of length, 0.021 of halves.
awk 'function far(a, b, tol) { return a - b > tol || b - a > tol }
    { sum += length($0); t += substr($0, 2, 1) == "T"; inner += substr($0, 4, 1) == "T" }
    END { exit far(sum / NR, 12, .15) || far(t / NR, .5, .0213) || far(inner / NR, .5, .0213) }' strings ||
    fail "lengths or halves"
[ "$(sort -u strings | wc -l)" -gt 1000 ] || fail "few different strings"
run again strings --count 20000
cmp strings again || fail "the same seed writes others"
run other strings --count 20000 --seed 2
cmp -s strings other && fail "another seed writes the same"

# What may follow, by hand, over the border between two strings.
run next next BTBTSXXVVETEBPBPV
cat >want <<'END'
 -> B
B -> T P
BT -> B
BTB -> T P
BTBT -> S X
BTBTS -> S X
BTBTSX -> S X
BTBTSXX -> T V
BTBTSXXV -> P V
BTBTSXXVV -> E
BTBTSXXVVE -> T
BTBTSXXVVET -> E
BTBTSXXVVETE -> B
BTBTSXXVVETEB -> T P
BTBTSXXVVETEBP -> B
BTBTSXXVVETEBPB -> T P
BTBTSXXVVETEBPBP -> T V
BTBTSXXVVETEBPBPV -> P V
END
# The program lists symbols in its own order: T S X P V E behind B.
awk '{ for (i = 1; i <= NF && $i != "->"; i++); a = $(i + 1); b = $(i + 2); print NR, (a < b || b == "" ? a " " b : b " " a) }' next >got
awk '{ for (i = 1; i <= NF && $i != "->"; i++); a = $(i + 1); b = $(i + 2); print NR, (a < b || b == "" ? a " " b : b " " a) }' want >told
cmp got told || fail "what may follow"
complains 1 'P may not stand there' next BTBTSXXVVEP
complains 1 'there is no symbol "Q" in the grammar' next BQ

# ---- The training -------------------------------------------------------------------------------

# Untrained, no prediction is right. 4000 updates later most are, with a forget gate; without one that
# is a matter of luck, but the memory has grown in step with the stream, ten times as long ten times as
# much.
run none train --seeds 1 --updates 1 --rate 1e-9 --test 500 --quiet --csv none --svg none
[ ! -s err ] || fail "--quiet is not quiet"
awk '/%/ { if ($(NF - 5) != 0 || $(NF - 4) != "0/10" || $(NF - 3) != "0.000%") bad = 1; n++ } END { exit bad || n != 2 }' none ||
    fail "untrained networks are right"
run trained train --seeds 1 --updates 4000 --test 5000 --streams 4
[ "$(grep -c 's left$' err)" -ge 20 ] || fail "no progress"
awk '/%/ { sub(/%/, "", $(NF - 3)); if ($1 $2 == "LSTM1" && $(NF - 3) < 85) bad = 1; n++ } END { exit bad || n != 2 }' trained ||
    fail "it learns nothing"
awk -F, 'NR == 1 { bad = $0 != "cell,seed,symbols,norm_c" }
    { norm[$1, $3] = $4; last[$1] = $3 }
    END { old = norm["LSTM of 1997", 5000] / norm["LSTM of 1997", 500]
        new = norm["LSTM", 5000] / norm["LSTM", 500]
        exit bad || !(last["LSTM"] == 5000 && old > 8 && old < 12 && new < 5) }' reber.csv || fail "the memories"
[ "$(wc -l <reber.csv)" = 25 ] || fail "$(wc -l <reber.csv) rows"
[ "$(grep -c "<path class='curve s[17]' d='M[0-9.]* [0-9.]*L" reber.svg)" = 2 ] || fail "two curves"
dark reber.svg
narrow trained
well_formed reber.svg
small="train --updates 200 --test 300 --quiet --svg none --seeds 2"
run out $small --csv one.csv
run out $small --csv two.csv
run out $small --csv three.csv --seed 3
cmp one.csv two.csv || fail "the same seeds give other numbers"
cmp -s one.csv three.csv && fail "other seeds give the same numbers"
grep -q 'of 2 networks$' out || fail "no summary"
run out $small --csv none --adam --updates 100
grep -q '100 updates by Adam, one after every 20 symbols;$' out || fail "--adam"

# ---- What it refuses ----------------------------------------------------------------------------

outputs='reber.csv reber.svg'
rm -f $outputs
usage 'say what to do: train, strings or next'
usage '"learn" is none of train, strings and next' learn
usage 'next takes a string, BTB say' next
usage '"BT" is one string too many' next B BT
usage '--count takes a whole number, not "many"' strings --count many
usage 'there is no option --updates' strings --updates 3
usage '--updates 0 is out of range: it must be from 1 to 1000000000' train --updates 0
usage '--hidden 1025 is out of range: it must be from 1 to 1024' train --hidden 1025
usage '--k1 takes a value: N' train --k1
usage '--rate takes a number, not "inf"' train --rate inf
usage '--adam takes no value' train --adam=1
usage 'two outputs go to the same file, x' train --csv x --svg x
refuses 1 'cannot write nowhere/x: No such file or directory' train --csv nowhere/x
mkdir folder
refuses 1 'cannot write folder: it is a directory' train --svg folder
full_stdout strings
tells_of full adam seeds seed updates hidden batch k1 k2 rate clip test streams csv svg quiet help count
exit $failed
