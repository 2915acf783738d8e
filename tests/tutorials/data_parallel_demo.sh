#!/bin/sh
# data_parallel run small: the same bits on any number of threads, other bits for other seeds and
# shards, a forecast that beats AR(2), and what is refused, by whole sentences.
. "$(dirname "$0")/../support/tutorial.sh"

# 5 shards are unequal: 128 windows do not divide by 5.
for shards in 8 5; do
    for threads in 1 2 3; do
        run_silent out$threads --updates 2 --quiet --shards $shards --threads $threads
        cmp out1 out$threads || fail "$shards shards on 1 thread and on $threads"
    done
done
grep -Eq '^fingerprint of the weights: [0-9a-f]{16},' out1 || fail "the fingerprint"
run_silent out_8 --updates 2 --quiet --threads 1
cmp -s out1 out_8 && fail "5 and 8 shards round alike"
run_silent out_seed --updates 2 --quiet --seed 2
cmp -s out_8 out_seed && fail "another seed gives the same"

run_silent out_told --updates 10 --threads 2
[ "$(grep -c '^  update  *[0-9]*  loss [0-9.]*$' out_told)" = 10 ] || fail "a loss per update"
grep -q '^one gradient: .* ms on 1 thread, .* ms on 2: .* times as fast$' out_told ||
    fail "the speed-up"
awk 'length > 79 { exit 1 }' out_told || fail "80 columns"

run_silent out_learned --updates 50 --quiet
score() { sed -n "s/^  $1  *\([0-9.]*\)$/\1/p" out_learned; }
[ "$(score 'same as last year')" = 30.35 ] || fail "same as last year"
awk "BEGIN { exit !($(score LSTM) < $(score 'AR(2), least squares')) }" || fail "AR(2) is not beaten"

usage 'there is no option --thread' --thread 2
usage 'there is no option -h' -h
usage '"2" is not an option' 2
usage '--threads takes a value: N' --threads
usage '--threads takes a whole number, not ""' --threads=
usage '--threads takes a whole number, not "2x"' --threads 2x
usage '--threads takes a whole number, not "two"' --threads two
usage '--updates takes a whole number, not "1e3"' --updates 1e3
usage '--threads 0 is out of range: it must be from 1 to 128' --threads 0
usage '--threads -1 is out of range: it must be from 1 to 128' --threads -1
usage '--shards 129 is out of range: it must be from 1 to 128' --shards 129
usage '--updates 0 is out of range: it must be from 1 to 10000000' --updates 0
usage '--seed 99999999999999999999 is out of range: it must be from 0 to 9000000000000000' \
    --seed 99999999999999999999
usage '--threads 9 is more than --shards 8: a thread needs a shard' --threads 9
usage '--threads 3 is more than --shards 2: a thread needs a shard' \
    --threads=3 --shards=2
usage '--quiet takes no value' --quiet=yes

full_stdout --updates 1 --quiet
tells_of threads shards updates seed quiet help

exit $failed
