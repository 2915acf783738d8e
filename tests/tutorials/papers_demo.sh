#!/bin/sh
# papers: rows run small against what can be told beforehand; influence balancing against its recurrence;
# what the program refuses.
. "$(dirname "$0")/../support/tutorial.sh"
skip_sanitized

field() { # FILE ROW COLUMN: of the first training of a row
    awk -F, -v row="$2" -v name="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i }
        $1 == row { print $c; exit }' "$1"
}
within() { # WHAT VALUE LO HI
    awk -v v="$2" -v lo="$3" -v hi="$4" 'BEGIN { exit !(v != "" && v + 0 >= lo && v + 0 <= hi) }' ||
        fail "$1: $2 is not in $3 .. $4"
}

# ---- What is known of networks that have learnt nothing -------------------------------------------

# The sum of two numbers in [-1,1] has mean square 2/3; of four classes a guess is right once in four times;
# one symbol of 11 costs about ln 11 = 2.4, eight kinds and blank ln 9 = 2.2.
run none run adding100 order100 lag100 copy --quick --updates 1 --rate 1e-9 --quiet --svg none --csv none.csv
[ ! -s err ] || fail "--quiet is not quiet"
within "adding, untrained" "$(field none.csv adding100 loss)" .4 1.3
within "order, untrained" "$(field none.csv order100 wrong)" 140 256
within "order, untrained" "$(field none.csv order100 loss)" 1.2 1.8
within "lag, untrained" "$(field none.csv lag100 loss)" 2.1 2.9
within "copy, untrained" "$(field none.csv copy loss)" 1.9 2.6
[ "$(field none.csv lag100 wrong)" = 16 ] || fail "untrained networks know the long lag"
[ "$(grep -c 'here     0 of 1 solved' none)" = 4 ] || fail "untrained networks have solved something"

# Weights, by hand. LSTM of 1997: 3 (I H + H + H H), readout H O + O, the shortcut I O.
[ "$(field none.csv adding100 weights)" = $((3 * (2 * 8 + 8 + 64) + 8 + 1)) ] || fail "weights of adding"
[ "$(field none.csv lag100 weights)" = $((3 * (11 * 16 + 16 + 256) + 16 * 11 + 11 + 121)) ] || fail "weights of lag"
run sizes run order50 --quick --updates 1 --cell gru --hidden 3 --batch 5 --quiet --svg none --csv sizes.csv
[ "$(field sizes.csv order50 weights)" = $((3 * (8 * 3 + 3 + 9) + 3 + 3 * 4 + 4)) ] || fail "weights of a GRU"
[ "$(field sizes.csv order50 sequences)" = 5 ] || fail "--batch"

# ---- Rows that arrive ---------------------------------------------------------------------------------

run quick run order100 reber lag50 anbn copy_chrono --quick
grep -q 's left$' err || fail "no progress"
for row in order100 reber lag50 anbn; do
    [ "$(field papers.csv $row solved)" = 1 ] || fail "$row is not solved"
    [ "$(field papers.csv $row wrong)" = 0 ] || fail "$row: $(field papers.csv $row wrong) wrong"
done
[ "$(field papers.csv anbn reach)" = 10 ] || fail "a^n b^n does not reach 10"
within "copying, 200 updates" "$(field papers.csv copy_chrono loss)" .5 1.6
[ "$(wc -l <papers.csv)" = 6 ] || fail "$(wc -l <papers.csv) lines of CSV"
[ "$(grep -c '^  paper ' quick)" = 5 ] || fail "a row without its paper"
[ "$(grep -c "class='dot'" papers.svg)" = 4 ] || fail "dots"
[ "$(grep -c "class='not'" papers.svg)" = 1 ] || fail "empty dots"
dark papers.svg
narrow quick
narrow none
well_formed papers.svg

# --whole changes nothing about when a row is solved, and goes on from there to a smaller loss.
run whole run order50 --quick --whole --quiet --svg none --csv whole.csv
run stopped run order50 --quick --quiet --svg none --csv stopped.csv
[ "$(field whole.csv order50 updates)" = "$(field stopped.csv order50 updates)" ] || fail "--whole"
within "loss after --whole" "$(field whole.csv order50 loss)" 0 "$(field stopped.csv order50 loss)"

# The same numbers again and on two threads, other ones for other seeds.
same="run order50 --quick --updates 60 --seeds 2 --quiet --svg none"
run out $same --csv one.csv
run out $same --csv two.csv --threads 2
run out $same --csv three.csv --seed 5
for f in one two three; do cut -d, -f3-14 $f.csv >$f; done
cmp one two || fail "two threads give other numbers"
cmp -s one three && fail "other seeds give the same numbers"

# ---- Influence balancing --------------------------------------------------------------------------------

# theta -= 1e-4 (s_1 - 1) d, with d = sum of (A^k e)_1, k < K, once in K steps.
run balance run balance --updates 500 --quiet --svg none --csv balance.csv
awk 'function turn(v, theta,   i) { for (i = 1; i <= 23; i++) v[i] = (v[i] + v[i + 1]) / 2 + theta * (i <= 10 ? 1 : -1) }
    BEGIN { split("1 10 20 30 50 100", windows)
        for (w = 1; w <= 6; w++) { K = windows[w]
            for (i = 1; i <= 24; i++) d[i] = s[i] = 0
            for (k = 0; k < K; k++) turn(d, 1)
            theta = .5
            for (n = 0; n < 500; n++) { for (k = 0; k < K; k++) turn(s, theta); theta -= 1e-4 * (s[1] - 1) * d[1] }
            printf "%d %.9g\n", K, theta } }' >want
awk -F, 'NR > 1 { sub(/window /, "", $3); print $3, $14 }' balance.csv >got
paste -d' ' want got | awk 'function abs(x) { return x < 0 ? -x : x }
    $1 != $3 || abs($2 - $4) > 1e-7 * abs($2) { bad = 1 } END { exit bad || NR != 6 }' ||
    { fail "influence balancing"; paste want got; }
run balance run balance --quiet --svg none --csv balance.csv
narrow balance
[ "$(grep -c arrives balance)" = 2 ] || fail "$(grep -c arrives balance) windows arrive"
grep -q '^  window 100 .*arrives' balance || fail "the longest window does not arrive"

# ---- What it refuses --------------------------------------------------------------------------------------

# What was published of another size is not set beside.
run sizes run order100 reber --quick --updates 1 --quiet --svg sizes.svg --csv sizes.csv
grep -q '^order100 .* 0 of 1  *-  *-  *[0-9]' sizes || fail "a published number beside another size: $(tail -3 sizes)"
grep -q '^reber .* 0 of 1  *-  *8440  *[0-9]' sizes || fail "no published number: $(tail -3 sizes)"
[ "$(grep -c "class='told'" sizes.svg)" = 1 ] || fail "bars of another size"
[ "$(field sizes.csv order100 published_sequences)" = 0 ] || fail "the table has it"
grep -A1 '^  paper    of another size:$' sizes | grep -q '20 of 20' || fail "the paper's line"
run plain run lag50 --cell rnn --quick --updates 1 --quiet --svg none --csv none
grep -q 'gates' plain && fail "a plain network is said to have gates"
outputs='papers.csv papers.svg'
rm -f $outputs
usage 'say what to do: list, run or data'
usage '"learn" is none of list, run and data' learn
usage 'list takes nothing more' list all
usage 'run takes names of rows, or all' run
usage 'run takes names of rows, or all' run --quick
usage 'data takes the name of a row' data
usage 'there is no row "adding": see papers list' run adding
usage 'balance has no data' data balance
usage 'balance has no --size, --hidden, --batch, --cell, --rate or --chrono' run balance --size 3
usage 'there is no cell "elman": lstm lstm97 peephole cifg gru rnn' run reber --cell elman
usage '--size of adding100 must be at least 20' run adding100 --size 19
usage '--chrono must be 0 or at least 2' run reber --chrono 1.5
usage 'rnn has no gates, so no --chrono' run reber --cell rnn --chrono 20
usage 'there is no option --speed' run reber --speed 3
usage '--updates 0 is out of range: it must be from 1 to 1000000000' run reber --updates 0
usage '--seeds takes a whole number, not "many"' run reber --seeds many
usage '--quick takes no value' run reber --quick=1
usage '"reber" is not an option' run lag50 --quick reber
usage 'two outputs go to the same file, x' run reber --csv x --svg x
refuses 1 'cannot write nowhere/x: No such file or directory' run reber --csv nowhere/x
full_stdout list
run rows list
[ "$(wc -l <rows)" = 11 ] || fail "$(wc -l <rows) rows"
tells_of quick whole seeds seed updates size cell hidden batch rate chrono threads csv svg count quiet help
exit $failed
