#!/bin/sh
# char_lm run small: it learns what can be known beforehand, writes what it learned, and no bit
# depends on threads or on a budget.
. "$(dirname "$0")/../support/tutorial.sh"

nats() { sed -n 's/^validation after [0-9]* updates: \([0-9.]*\) nats, .*/\1/p' "$1" | tail -1; }
below() { awk "BEGIN { exit !($1 < $2) }"; }

# A text of period 8 can be known for certain, and greedily continued without end.
awk 'BEGIN { for (i = 0; i < 500; i++) printf "abcdefg\n" }' >period.txt
run out_period train period.txt --hidden 16 --embed 8 --batch 4 --k1 16 --rate 0.02 \
    --updates 150 --save period.st
[ "$(grep -c '^validation after' out_period)" = 4 ] || fail "four validations"
[ "$(grep -c ' nats  [0-9.]* bits  [0-9]* characters/s  [0-9.]* s left$' err)" = 10 ] ||
    fail "ten lines of progress"
below "$(nats out_period)" 0.05 || fail "period: $(nats out_period) nats"
run out sample period.st --temperature 0 --prime abc --length 13 --quiet
printf 'abcdefg\nabcdefg\n\n' | cmp - out || fail "period: continued otherwise"
run drawn sample period.st --temperature 0.2 --prime abc --length 13 --quiet # others: below 1e-5
cmp drawn out || fail "period: drawn otherwise"
[ ! -s err ] || fail "--quiet is not quiet"
run out sample period.st --temperature 0 --length 8
[ "$(wc -c <out)" = 9 ] || fail "period: a sample of another length"
grep -Eq '^[0-9]+ ns per character$' err || fail "no time per character"

# The bundled text is what it reads when told nothing else.
run out train --hidden 4 --embed 0 --batch 2 --k1 8 --updates 1 --save none
grep -q '^harbour_letters.txt: 28596 characters, 56 different ones; the last 2860 are held out$' out ||
    fail "the bundled text"

# A part of it: better foretold than by the frequencies of single letters, with every cell.
head -c 9000 "$tests/../tutorials/data/harbour_letters.txt" >letters.txt
od -An -v -tu1 -w1 letters.txt | awk '{ c[NR] = $1 } END {
    for (i = 1; i <= int(NR * .9); i++) n[c[i]]++
    for (; i <= NR; i++) { sum -= log((n[c[i]] + 1) / (NR * .9 + 256)); m++ }
    print sum / m }' >single
run out_english train letters.txt --hidden 24 --embed 12 --batch 8 --k1 32 --rate 0.01 --updates 90 \
    --save english.st
below "$(nats out_english)" "$(cat single) - .3" ||
    fail "english: $(nats out_english) nats, single letters $(cat single)"
sed '/^sample /,$d' out_english | awk 'length > 79 { exit 1 }' || fail "80 columns"
for cell in rnn gru mgu peephole lnlstm lngru cifg; do
    run out train letters.txt --cell $cell --hidden 12 --embed 0 --batch 8 --k1 12 --rate 0.02 \
        --updates 50 --save none --quiet
    below "$(nats out)" "$(cat single)" || fail "$cell: $(nats out) nats"
done

# Samples: a function of seed and temperature, of known characters only.
run out1 sample english.st --length 300
run out2 sample english.st --length 300
run out3 sample english.st --length 300 --seed 2
run out4 sample english.st --length 300 --temperature 5
cmp out1 out2 || fail "the same sample twice"
cmp -s out1 out3 && fail "another seed writes the same"
cmp -s out1 out4 && fail "another temperature writes the same"
run out5 sample english.st --temperature 1 --length 2000
spaces=$(tr -cd ' ' <out5 | wc -c)
[ "$spaces" -gt 200 ] && [ "$spaces" -lt 600 ] || fail "$spaces of 2000 characters are spaces"
[ "$(wc -c <out1)" = 301 ] || fail "a sample of another length"
[ "$(cat out1 out4 | tr -d "$(tr -d '\n-' <letters.txt)\n-" | wc -c)" = 0 ] || fail "unknown characters"

# The same bits on two threads and under a budget; other bits from another seed.
small="train letters.txt --hidden 8 --layers 2 --embed 8 --batch 8 --k1 64 --updates 12 --quiet --dropout 0.3"
run out $small --save one.st
run out $small --save two.st --threads 2
run out $small --save budget.st --budget 60KB
run out $small --save seed.st --seed 2
cmp one.st two.st || fail "two threads"
cmp one.st budget.st || fail "a budget"
cmp -s one.st seed.st && fail "another seed gives the same"

# Windows shorter and longer than the time between updates.
for k2 in 4 40; do
    run out train letters.txt --hidden 12 --embed 8 --batch 8 --k1 16 --k2 $k2 --rate 0.02 --epochs 1 \
        --save none --quiet
    grep -q '^validation after 63 updates' out || fail "a pass is not 63 updates"
    below "$(nats out)" "$(cat single)" || fail "k2 = $k2: $(nats out) nats"
done

exit $failed
