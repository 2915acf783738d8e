#!/bin/sh
# seq2seq_dates: what it learns from and is tested on against the system's own date, the split, the
# scores against the list of what was written, the map, a save and its load.
. "$(dirname "$0")/../support/tutorial.sh"
skip_sanitized

# A small network learns in a second or two what it is to learn, on days that it has never seen.
run_silent out --hidden 32 --updates 240 --rate 0.01 --test 700 --save net.st --csv net.csv --svg net.svg --quiet
[ "$(wc -l <net.csv)" = 701 ] || fail "the list has $(wc -l <net.csv) lines"
awk '$1 == "all" { found = 1; exit !($2 == 700 && $3 + 0 >= 99 && $4 + 0 >= 99) } END { exit !found }' out ||
    fail "the bar: $(grep '^  all' out)"

# The table is what the list says.
sed 1d net.csv | awk -F'",|,' '{ n++ } { k = NF; greedy += $(k - 1) == $(k - 2); beam += $k == $(k - 2) }
    END { printf "  %-20s %6d %8.2f%% %8.2f%%\n", "all", n, 100 * greedy / n, 100 * beam / n }' >counted
grep '^  all' out | cmp -s - counted || fail "the table: $(grep '^  all' out), counted: $(cat counted)"

# Every text means the day beside it, says the system's date, in test and training.
run examples --examples 4000
sed -n 's/^"\(.*\)",\([0-9-]*\),.*/\1|\2/p' net.csv >pairs
sed 's/  *\([0-9-]*\)$/|\1/' examples >>pairs
[ "$(wc -l <pairs)" = 4700 ] || fail "pairs: $(wc -l <pairs)"
if date -u -d '3 march 2021' +%F 2>/dev/null | grep -q 2021-03-03; then
    cut -d'|' -f1 pairs | sed -E 's/([0-9])(st|nd|rd|th)/\1/; s/ of / /; s/^([0-9]+)\.([0-9]+)\.([0-9]+)$/\3-\2-\1/' |
        TZ=UTC LC_ALL=C date -u -f - +%F >dated || fail "the system's date refuses a text"
    cut -d'|' -f2 pairs | cmp - dated || fail "a text means another day"
fi
# An ordinal's ending is the one that belongs to its number.
awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+[a-z]/) { n = $i + 0; e = substr($i, length(n "") + 1, 2)
        want = n > 10 && n < 20 ? "th" : n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th"
        seen++; if (e != want) { print; exit bad = 1 } } } END { exit bad || seen < 500 }' examples || fail "ordinals"

# No day is in both, and the training knows all forms and years of both centuries.
sed 's/.* //' examples | sort -u >learned
sed -n 's/^".*",\([0-9-]*\),.*/\1/p' net.csv | sort >tested
[ "$(sort -u tested | wc -l)" = 700 ] || fail "a day is tested twice"
[ -z "$(comm -12 learned tested)" ] || fail "learned and tested: $(comm -12 learned tested | head -3)"
[ "$(wc -l <learned)" -gt 3700 ] || fail "few days: $(wc -l <learned)"

# The map: a row for every character, shares of attention that add up to one; a picture.
[ "$(sed -n '/^     /,$p' out | grep -c '[.+#@]')" -ge 9 ] || fail "the map"
ascii out || fail "a pipe gets more than ASCII"
draws '░▒▓█' '--load net.st --input "3 march 2021" --svg none --csv none'
grep -q '^  [0-9-]* *p = 0\.[0-9]*$' out || fail "the beams"
awk '!/wrote/ && length > 100 { exit 1 }' out || fail "wide lines"
well_formed net.svg
sed -n "s/.*<title>\(.*\)<\/title><\/rect>/\1/p" net.svg |
    awk '{ sum += $1 } END { exit !(NR == 120 && sum > 9.95 && sum < 10.05) }' || fail "attention does not add up"

# What was kept writes the same, without learning; capitals do not matter; threads change no bit.
run_silent again --load net.st --test 700 --csv again.csv --svg none --quiet
cmp net.csv again.csv || fail "a loaded network writes something else"
run_silent one --load net.st --input 'MARCH 3, 2021' --svg one.svg --quiet
grep -q '^  2021-03-03   p = 0\.[0-9]*$' one || fail "one: $(cat one)"
grep -q learned one && fail "--load learns"
for n in 1 3; do
    run_silent threads --hidden 24 --updates 12 --test 50 --threads $n --svg none --csv $n.csv --save $n.st --quiet
done
cmp 1.st 3.st && cmp 1.csv 3.csv || fail "--threads"

# Every kind of attention, and scheduled sampling, run and get better.
for kind in 'dot' 'scaled' 'additive --sampling 0.5'; do
    run_silent kind --hidden 24 --updates 120 --rate 0.02 --test 70 --svg none --attention $kind --quiet
    awk '$1 == "all" { exit !($4 + 0 > 30) }' kind || fail "$kind: $(grep '^  all' kind)"
done
exit $failed
