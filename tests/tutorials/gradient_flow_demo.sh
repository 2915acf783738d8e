#!/bin/sh
# The main job, run small: its stated numbers, its table, its CSV and its page.
#
# The errors of the baselines are those of the sunspot series itself: no network is involved.
# Series made here have baselines that can be told by hand.
. "$(dirname "$0")/../support/tutorial.sh"

has() { grep -q -- "$2" "$1"; }
lacks() { ! grep -q -- "$2" "$1"; }
# rmse FILE NAME: the number behind a name in the report
rmse() { sed -n "s/^  $2  *\([0-9.]*\).*/\1/p" "$1"; }
below() { awk "BEGIN { exit !($1 + 0 < $2 && \"$1\" != \"\") }"; }

run out --updates 30
check "same as last year" test "$(rmse out 'same as last year')" = 30.35
check "same as 11 years ago" test "$(rmse out 'same as 11 years ago')" = 34.26
check "AR(2)" test "$(rmse out 'AR(2), least squares')" = 19.90
check "held-out years" has out 'held out: 1959 to 2008'
check "a row of bars per step" test "$(grep -c '^ *[0-9]* *[12][0-9][0-9][0-9]  .*#' out)" = 100
check "ASCII where stdout is no terminal" ascii out
narrow out
check "no bar is drawn on what is no terminal" lacks err '\['"$(printf '\033')"
check "progress as lines" has err '30/30  loss'

# 4 states (h h h c), 100 steps, before and after training, and the header.
check "rows of the CSV" test "$(wc -l <gradient_flow.csv)" = 801
check "its header" test "$(head -1 gradient_flow.csv)" = \
    'step,year,years_back,cell,state,weights,total,immediate'
check "the loss looks at the last step alone" awk -F, '
    NR > 1 && $3 > 0 && $8 != 0 { exit 1 }
    NR > 1 && $3 == 0 && $5 == "h" && ($7 <= 0 || $7 != $8) { exit 1 }
    NR > 1 && ($1 + $3 != 99 || $2 != 1908 + $1) { exit 1 }' gradient_flow.csv
check "the page stands alone" lacks gradient_flow.html 'src=\|href=\|<script\|url('
check "the page is dark where that is wanted" has gradient_flow.html 'prefers-color-scheme: dark'
check "one plot after training, one before, one of forecasts" \
    test "$(grep -c '^<svg' gradient_flow.html)" = 3
well_formed gradient_flow.html

# It learns: 150 updates of the smallest good network already beat AR(2)'s 19.90.
run gru --cell gru --updates 150 --quiet --csv gru.csv --html none
check "the GRU beats AR(2)" below "$(rmse gru GRU)" 19.90
check "--quiet is quiet" test ! -s err
check "--quiet draws no bars" lacks gru '####'
check "one cell alone" test "$(wc -l <gru.csv)" = 201
check "--html none" test "$(ls ./*.html)" = ./gradient_flow.html
run again --cell gru --updates 150 --quiet --csv again.csv --html none
check "the same seed gives the same numbers" cmp gru.csv again.csv
run a --cell gru --updates 5 --quiet --csv a.csv --html none --seed 7
run b --cell gru --updates 5 --quiet --csv b.csv --html none --seed 8
check "another seed gives others" test "$(cmp -s a.csv b.csv; echo $?)" = 1

run seeds --cell rnn --updates 5 --quiet --csv none --html none --seeds 5
check "every seed and the median" awk '/median of 5/ {
    median = $5; n = NF
    for (i = n - 4; i <= n; i++) { low += $i < median; high += $i > median; same += $i == median }
    exit !(low == 2 && high == 2 && same == 1) }' seeds

# y = 1, 2, 3, ...: last value off by 1, eleven back by 11, and AR(2) fits a line exactly.
awk 'BEGIN { printf "\357\273\277name,\"the, \"\"ramp\"\"\"\r\n"
             for (i = 1; i <= 120; i++) printf "\"row %d\", %d \r\n", i, i }' >ramp.csv
run ramp --data ramp.csv --column 'the, "ramp"' --steps 20 --updates 2 --quiet \
    --csv ramp.out --html ramp.html --cell rnn
check "ramp: last" test "$(rmse ramp 'same as last step')" = 1.00
check "ramp: eleven back" test "$(rmse ramp 'same as 11 steps ago')" = 11.00
check "ramp: AR(2)" test "$(rmse ramp 'AR(2), least squares')" = 0.00
check "rows are numbered where there are no years" \
    test "$(head -1 ramp.out)" = 'step,row,steps_back,cell,state,weights,total,immediate'
check "names are escaped" has ramp.html 'the, &quot;ramp&quot;'

# A period of 11 without a header, by number.
awk 'BEGIN { for (i = 0; i < 130; i++) print "x," (i % 11) * (i % 11) ",y" }' >eleven.csv
run eleven --data eleven.csv --column 2 --steps 2 --updates 2 --quiet --csv none --html none \
    --cell rnn
check "eleven: all 130 values" has eleven '^column 2: 130 values'
check "eleven: eleven back" test "$(rmse eleven 'same as 11 steps ago')" = 0.00

exit $failed
