#!/bin/sh
# pointer_sort: its scores counted anew with sort(1), new numbers sorted, a save and its load.
. "$(dirname "$0")/../support/tutorial.sh"
skip_sanitized
small='--hidden 32 --updates 200 --rate 0.01 --shortest 2 --longest 5 --test 200'

# The true order by sort(1): of the lines "sequence number place" the places in the order of numbers.
# Then the table, anew: sequences, all right, places right, each once.
count() { # CSV
    sed 1d "$1" | awk -F, '{ n = split($2, x, " "); for (i = 1; i <= n; i++) print NR, x[i], i }' |
        sort -k1,1n -k2,2g | awk '{ o[$1] = o[$1] $3 " " } END { for (i = 1; i <= NR && i in o; i++) print o[i] }' >order
    sed 1d "$1" | paste -d, - order | awk -F, '{
        n = split($3, p, " "); split($4, o, " "); right = 0; twice = 0; split("", seen)
        for (i = 1; i <= n; i++) { right += p[i] == o[i]; twice += seen[p[i]]++ > 0 }
        if (n != $1) print "length"
        all[n]++; exact[n] += right == n; places[n] += right; once[n] += !twice }
        END { for (n in all) printf "%d %d %.2f%% %.2f%% %.2f%%\n", n, all[n], 100 * exact[n] / all[n],
            100 * places[n] / all[n] / n, 100 * once[n] / all[n] }' | sort -n
}
table() { awk '/^ +[0-9]+ +[0-9]+ +[0-9.]+% / { print $1, $2, $3, $4, $5 }' "$1"; }

run_silent out $small --save net.st --csv net.csv --svg net.svg --quiet
count net.csv >counted
table out | cmp - counted || { fail "the table"; table out; cat counted; }
[ "$(cut -d' ' -f1 counted | tr '\n' ' ')" = '2 3 4 5 8 10 ' ] || fail "lengths: $(cut -d' ' -f1 counted)"
[ "$(grep -c 'never trained' out)" = 2 ] || fail "which lengths were trained"
awk '$1 <= 5 && $3 + 0 < 85 || $1 > 5 && $4 + 0 < 70 || $5 != "100.00%" { print; exit 1 }' counted || fail "it has not learned"

# Masked, it cannot point twice; free, it does, and is worse for it.
run_silent free $small --chosen free --csv free.csv --svg none --quiet
count free.csv >counted_free
table free | cmp - counted_free || fail "the table, free"
awk '$1 == 10 { exit !($5 + 0 < 50) }' counted_free || fail "free: $(tail -1 counted_free)"

# Numbers far apart, in the order of sort(1), also more of them than were trained.
for numbers in '0.9 0.1' '0.35 0.8 0.05 0.6' '0.5,0.2,0.95,0.05,0.75'; do
    run_silent one --load net.st --input "$numbers" --svg none --quiet
    want=$(echo "$numbers" | tr ', ' '\n\n' | sort -g | tr '\n' ' ')
    [ "$(sed -n 's/^sorted: \(.*\)  right$/\1/p' one)" = "$want" ] || fail "$numbers: $(head -1 one)"
done
run_silent single --load net.st --input 0.5 --svg none --quiet
grep -q '^sorted: 0.5   right$' single || fail "one number"

# The map in the terminal.
ascii single || fail "a pipe gets more than ASCII"
grep -q '^  0.50  @@*$' single || fail "the map of one number: $(cat single)"
draws '░▒▓█' '--load net.st --input 0.5 --svg none'

# The picture: probabilities of a step add up to one.
well_formed net.svg
sed -n "s/.*<title>\(.*\)<\/title><\/rect>/\1/p" net.svg |
    awk '{ sum += $1 } END { exit !(NR == 25 && sum > 4.95 && sum < 5.05) }' || fail "probabilities"
awk '!/wrote/ && length > 100 { exit 1 }' out || fail "wide lines"

# What was kept points the same; threads change no bit.
run_silent again --load net.st --shortest 2 --longest 5 --test 200 --csv again.csv --svg none --quiet
cmp net.csv again.csv || fail "a loaded network points elsewhere"
run_silent longer --load net.st --shortest 5 --longest 7 --test 20 --csv none --svg none --quiet
[ "$(awk '/never trained/ { print $1 }' longer | tr '\n' ' ')" = '6 7 11 14 ' ] || fail "what the saved one was trained on"
run_silent threads $small --threads 2 --save threads.st --svg none --quiet
cmp net.st threads.st || fail "--threads"
exit $failed
