#!/bin/sh
# gradient_flow --jacobian --lyapunov --gates --report, run small. What must hold whatever the weights:
#     determinants multiply    sum_i ln sigma_i(dh_T/dh_k) = sum_(t>k) sum_i ln sigma_i(J_t)
#     norms do at most         ln sigma_1(dh_T/dh_k) <= sum_(t>k) ln sigma_1(J_t)
#     one unit of tanh         |J_t| = |U| (1 - h_t^2),  |dL/dh_k| = |dL/dh_T| |J_T ... J_(k+1)|,
#                              and the exponent is the mean of ln |J_t|
. "$(dirname "$0")/../support/tutorial.sh"

# ---- Every cell --------------------------------------------------------------------------------

run out --hidden 5 --steps 40 --updates 20 --jacobian --lyapunov --gates --report page.html
narrow out
check "ASCII" ascii out
for word in 'Step Jacobians' 'The product dh_T/dh_k' 'Lyapunov exponents' 'Gates over the 40 years' 'half-life'; do
    check "the report has: $word" grep -q "$word" out
done
check "no NaN, no infinity" awk '/nan|inf/ { exit 1 }' out
command='gradient_flow --hidden 5 --steps 40 --window 22 --updates 20 --rate 0.01 --seed 1\.'
check "the page says what made it" grep -q -- "$command" page_gru.html

# h of 5, h of 5, h and c of 10; two moments.
check "Jacobians: rows" test "$(wc -l <gradient_flow_jacobian.csv)" = $((1 + 2 * (40 + 20) * (5 + 5 + 10)))
check "Jacobians: header" test "$(head -1 gradient_flow_jacobian.csv)" = 'cell,weights,matrix,step,back,index,ln_singular'
check "exponents: rows" test "$(wc -l <gradient_flow_lyapunov.csv)" = $((1 + 2 * 289 * 20))
check "gates: rows" test "$(wc -l <gradient_flow_gates.csv)" = $((1 + 2 * 40 * (1 + 4 + 6)))
check "determinants multiply, norms at most, and values descend" awk -F, '
    function near(a, b) { d = a - b; return (d < 0 ? -d : d) <= 1e-6 * (1 + (b < 0 ? -b : b)) }
    NR == 1 { next }
    { key = $1 "," $2 }
    key != before { split("", det); split("", norm) }
    { before = key }
    $6 > 0 && $7 > last + 1e-9 { print "ascends: " $0; bad = 1 }
    { last = $7 }
    $3 == "step" { det[$4] += $7; if ($6 == 0) norm[$4] = $7; top = $4; if ($4 == 39) newest[$6] = $7 }
    $3 == "product" {
        if ($6 == 0) { sum = bound = own = 0; for (t = top; t > top - $5; t--) { sum += det[t]; bound += norm[t] } }
        own += $7
        if ($6 == 0 && $7 > bound + 1e-6) { print "too large: " $0; bad = 1 }
        if ($5 == 0 && !near($7, 0)) { print "no identity: " $0; bad = 1 }
        if ($5 == 1 && !near($7, newest[$6])) { print "not the last step: " $0; bad = 1 }
        if ($6 == ($1 == "LSTM" ? 9 : 4)) { n++; if (!near(own, sum)) { print $0 ": " own ", not " sum; bad = 1 } }
    }
    END { exit bad || n != 2 * 3 * 20 }' gradient_flow_jacobian.csv
check "gates are where gates are" awk -F, '
    NR > 1 && $3 ~ /^[ifozr]$/ && ($5 <= 0 || $5 >= 1 || $7 < 0 || $7 > 1) { exit 1 }
    NR > 1 && $3 ~ /^[gn]$/ && ($5 <= -1 || $5 >= 1) { exit 1 }' gradient_flow_gates.csv
# The table is the mean over the steps of the file.
want=$(awk -F, '$1 == "LSTM" && $2 == "trained" && $3 == "f" { s += $5 } END { printf "%.3f", s / 40 }' gradient_flow_gates.csv)
check "the table of gates" awk -v want="$want" '/^Gates/ { on = 1 } on && $1 == "f" { good = $7 == want } END { exit !good }' out
want=$(awk -F, '$1 == "GRU" && $2 == "trained" && $3 == 289 && $4 == 0 { printf "%.3f", $5 }' gradient_flow_lyapunov.csv)
check "the table of exponents" awk -v want="$want" '/^Lyapunov/ { on = 1 } on && /after training/ { after = 1 } after && $1 == "GRU" { good = $3 == want; exit } END { exit !good }' out

# ---- Pages -------------------------------------------------------------------------------------

for cell in rnn gru lstm; do
    check "a page of $cell" test -s page_$cell.html
    check "the page of $cell stands alone" awk '/src=|<link rel=.stylesheet/ { exit 1 }' page_$cell.html
    for panel in states units reach weights gates jacobian; do
        check "$cell: $panel" grep -q "\"panel\":\"$panel\"" page_$cell.html
        check "$cell: $panel in the numbers" grep -q "^$panel," page_$cell.csv
    done
done
check "no page of all" test ! -e page.html
check "singular values are those of the other file" awk -F, '
    FNR == NR { if ($1 == "LSTM" && $2 == "trained" && $3 == "step") want[$6 "," $4] = exp($7); next }
    $1 == "jacobian" && $3 == "singular" {
        n++; d = $6 - want[$4 "," $5]; if (d < 0) d = -d
        if (d > 1e-5 * want[$4 "," $5]) { print; exit 1 }
    }
    END { if (n != 400) exit 1 }' gradient_flow_jacobian.csv page_lstm.csv
check "40 losses reach 40 steps" test "$(grep -c '^reach,h,' page_rnn.csv)" = 820
check "figures on the page that compares" test "$(grep -c '^<svg' gradient_flow.html)" = 7
well_formed gradient_flow.html

# ---- One unit: everything by hand --------------------------------------------------------------

awk 'BEGIN { print "v"; for (i = 0; i < 90; i++) print (i * i) % 17 }' >v.csv
run one --data v.csv --cell rnn --hidden 1 --steps 89 --updates 20 --quiet --csv one.csv --html none \
    --jacobian --lyapunov --gates --report own.html
check "--quiet is quiet" test ! -s err
check "one cell, one page, with its own name" test -s own.html -a -s own.csv
grep ',trained,' one_jacobian.csv >jacobian
grep ',trained,' one_gates.csv >gates
grep ',trained,' one_lyapunov.csv >lyapunov
grep ',trained,' one.csv >flow
check "|J_t| = |U| (1 - h_t^2)" awk -F, '
    FNR == NR { h[$4] = $5; next }
    $3 == "step" { u = exp($7) / (1 - h[$4] ^ 2); if (n++ && (u / first - 1) ^ 2 > 1e-14) { print u, first; exit 1 }; first = u }
    END { if (n != 89) exit 1 }' gates jacobian
check "|dL/dh_k| = |dL/dh_T| |J_T| ... |J_(k+1)|" awk -F, '
    FNR == NR { if ($3 == "step") j[$4] = $7; next }
    { total[$1] = $7 }
    END {
        for (t = 88; t > 0; t--) {
            sum += j[t]
            q = total[t - 1] / total[88] / exp(sum)
            if (sum > -600 && (q - 1) ^ 2 > 1e-14) { print t, q; exit 1 }
        }
    }' jacobian flow
# Both runs start at the first value; 20 steps are not counted, and the window has one step less.
check "the exponent is the mean of ln |J_t|" awk -F, '
    FNR == NR { if ($3 == "step" && $4 >= 20) { sum += $7; n++; mean[n] = sum / n }; next }
    $4 == 0 && ($3 in mean) { m++; if (($5 - mean[$3]) ^ 2 > 1e-14) { print $0 ", not " mean[$3]; exit 1 } }
    END { if (m != 69) exit 1 }' jacobian lyapunov

# Neither an option alone nor without files does more than it should.
run none --cell gru --steps 2 --updates 2 --quiet --csv none --html none --jacobian --lyapunov --gates
check "no files" test "$(grep -c wrote none)" = 0
run few --cell gru --steps 5 --updates 2 --quiet --csv few.csv --html none --gates
check "gates alone" test "$(ls few*)" = "$(printf 'few\nfew.csv\nfew_gates.csv')"

# ---- Refusals ----------------------------------------------------------------------------------

usage '--jacobian takes networks of width 128 at most, not --hidden 129' --jacobian --hidden 129
usage '--lyapunov takes networks of width 128 at most, not --hidden 200' --lyapunov --hidden 200
usage '--report takes networks of width 128 at most, not --hidden 200' --report x.html --hidden 200
usage '--report takes 1000 steps at most, not --steps 1001' --report x.html --steps 1001
usage '--jacobian takes no value' --jacobian=3
usage '--html and --report name the same file, x.html' --html x.html --report x.html --cell rnn
usage '--csv and the numbers of --report name the same file, x.csv' --csv x.csv --report x.html --cell rnn
usage '--html and --report name the same file, x_gru.html' --html x_gru.html --report x.html
refuses 1 'cannot write nowhere/x.html: No such file or directory' --report nowhere/x.html --cell gru
refuses 1 'cannot write nowhere/x_rnn.html: No such file or directory' --report nowhere/x.html
mkdir x_jacobian.csv
refuses 1 'cannot write x_jacobian.csv: it is a directory' --csv x.csv --html none --jacobian
check "nothing was left behind" test "$(ls -d x*)" = x_jacobian.csv
if [ -w /dev/full ]; then
    ln -s /dev/full full_gates.csv
    breaks out 'cannot write all of full_gates.csv' --cell rnn --updates 1 --quiet --csv full.csv --html none --gates
fi
tells_of report jacobian lyapunov gates

exit $failed
