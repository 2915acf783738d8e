#!/bin/sh
# papers: the sequences of every task against what the papers say of them, by programs that share nothing
# with it.
. "$(dirname "$0")/../support/tutorial.sh"

# ---- Adding: sequence, step, value, mark, target -------------------------------------------------

# Two marks, one of them among the first ten, the other before T/2; -1 at the ends; the target, at the end
# alone, is the sum of what is marked. Lengths run from 100 to 110, values from -1 to 1 with mean 0 and
# mean square 1/3 (six deviations of 105000 of them: 0.011 and 0.006).
run adding data adding100 --count 1000
awk 'function end() {
        if (n < 100 || n > 110 || marks != 2 || first > 9 || last >= 49) bad = 1
        if (target == "-" || sum - target > 2e-6 || target - sum > 2e-6) bad = 1
        seen[n]++
    }
    function abs(x) { return x < 0 ? -x : x }
    $2 == 0 && NR > 1 { end() }
    $2 == 0 { n = marks = sum = 0; first = last = -1 }
    $2 != n++ || $3 < -1 || $3 > 1 { bad = 1 }
    n > 1 && before != "-" { if ($2 > 0) bad = 1 }
    { target = before = $5; total += $3; squares += $3 * $3 }
    $4 == 1 { marks++; sum += $3; if (first < 0) first = $2; last = $2; if ($2 == 0 && $3 != 0) bad = 1 }
    $4 == -1 { if ($2 != 0 && $5 == "-") bad = 1 }
    $4 == 0 { if ($2 == 0 || $5 != "-") bad = 1 }
    END { end(); for (k in seen) lengths++
        exit bad || lengths != 11 || abs(total / NR) > .011 || abs(squares / NR - 1 / 3) > .006 }' adding ||
    fail "the adding problem"

# ---- Temporal order: sequence, step, symbol, class -----------------------------------------------

# Classes Q R S U are XX XY YX YY; each is as likely as the others (2000: six deviations are 116).
run order data order100 --count 2000
awk 'function end() {
        if (n < 100 || n > 110 || length(symbols) != 2 || $0 == "") bad = 1
        if (p < 10 || p > 20 || q < 50 || q > 60) bad = 1
        if (class != (symbols == "XX" ? "Q" : symbols == "XY" ? "R" : symbols == "YX" ? "S" : "U")) bad = 1
        if (symbol != "B") bad = 1
        seen[class]++
    }
    $2 == 0 && NR > 1 { end() }
    $2 == 0 { n = 0; symbols = ""; if ($3 != "E") bad = 1 }
    $2 > 0 && class != "-" && n > 0 { bad = 1 }
    $2 != n++ { bad = 1 }
    { symbol = $3; class = $4 }
    $3 == "X" || $3 == "Y" { if (symbols == "") p = $2; else q = $2; symbols = symbols $3 }
    $2 > 0 && $3 !~ /^[abcdXYB]$/ { bad = 1 }
    END { end(); for (k in seen) { classes++; if (seen[k] < 384 || seen[k] > 616) bad = 1 }
        exit bad || classes != 4 }' order || fail "temporal order"

# ---- The embedded Reber grammar: sequence, step, symbol, what may follow --------------------------

# Strings by a regular expression (the last symbol, E, is only asked for), and the next one is always
# among those that may follow.
run reber data reber --count 3000
round='(XT*VP)*(S|XT*VV)'
inner="B(TS*X$round|PT*V(V|P$round))E"
awk '$2 == 0 && NR > 1 { print s "E" } $2 == 0 { s = "" } { s = s $3 } END { print s "E" }' reber >strings
[ "$(wc -l <strings)" = 3000 ] || fail "$(wc -l <strings) strings"
grep -Evx "BT${inner}TE|BP${inner}PE" strings >wrong && fail "not of the grammar: $(head -1 wrong)"
awk '$2 > 0 && index(may, $3) == 0 { exit 1 }
    $2 == 0 && NR > 1 && may != "E" { exit 1 }
    length($4) > 2 { exit 1 }
    { may = $4 }' reber || fail "what may follow in the grammar"

# ---- Long lags without noise ----------------------------------------------------------------------

# 1 or 0, then 2 .. 99, each naming the next; the last one names the first again.
run lag data lag100 --count 40
awk '$2 == 0 { first = $3; n = 0; count[first]++ }
    $2 != n++ || n > 100 { bad = 1 }
    $2 > 0 && $3 != $2 + 1 { bad = 1 }
    $4 != ($2 == 99 ? first : $2 + 2) { bad = 1 }
    END { exit bad || count[0] != 20 || count[1] != 20 || NR != 4000 }' lag || fail "the long lag"

# ---- a^n b^n ----------------------------------------------------------------------------------------

awk 'BEGIN { for (i = 0; i < 25; i++) { k = i % 10 + 1
        print i, 0, "S", "a"
        for (t = 1; t <= k; t++) print i, t, "a", "ab"
        for (t = 1; t <= k; t++) print i, k + t, "b", t < k ? "b" : "T" } }' >want
run counting data anbn --count 25
cmp counting want || fail "a^n b^n"

# ---- Copying ----------------------------------------------------------------------------------------

# Ten symbols, 99 blanks, the mark, ten blanks; the answer is blank until the ten come again.
run copy data copy --count 500
awk '$2 == 0 { n = 0; word = "" }
    $2 != n++ { bad = 1 }
    $2 < 10 { word = word $3; seen[$3]++; if ($3 !~ /^[0-7]$/) bad = 1 }
    $2 >= 10 && $3 != ($2 == 109 ? "#" : "-") { bad = 1 }
    $4 != ($2 < 110 ? "-" : substr(word, $2 - 109, 1)) { bad = 1 }
    END { for (k in seen) { kinds++; if (seen[k] < 480 || seen[k] > 770) bad = 1 }
        exit bad || kinds != 8 || NR != 500 * 120 }' copy || fail "copying"
run chrono data copy_chrono --count 500
cmp copy chrono || fail "the copy rows have different data"

# ---- Seeds --------------------------------------------------------------------------------------------

run again data order100 --count 2000
cmp order again || fail "the same seed gives others"
run few data order100 --count 20
head -n "$(wc -l <few)" order | cmp - few || fail "sequences depend on how many are made"
run other data order100 --count 2000 --seed 2
cmp -s order other && fail "another seed gives the same"
exit $failed
