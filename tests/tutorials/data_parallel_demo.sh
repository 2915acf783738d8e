#!/bin/sh
# data_parallel run small: the same bits on any number of threads, other bits for other seeds and
# shards, a forecast that beats AR(2), and what is refused, by whole sentences.
#
#     sh data_parallel_demo.sh PROGRAM SCRATCH-DIR
program=$1
mkdir -p "$2" && cd "$2" || exit 1
rm -f out* err

failed=0
fail() { echo "FAILED: $1"; failed=1; }
run() { # FILE OPTIONS...: stdout into FILE; stderr must stay empty
    file=$1
    shift
    "$program" "$@" >"$file" 2>err || fail "$*: status $?"
    [ ! -s err ] || { fail "$* complains"; cat err; }
}

# 5 shards are unequal: 128 windows do not divide by 5.
for shards in 8 5; do
    for threads in 1 2 3; do
        run out$threads --updates 2 --quiet --shards $shards --threads $threads
        cmp out1 out$threads || fail "$shards shards on 1 thread and on $threads"
    done
done
grep -Eq '^fingerprint of the weights: [0-9a-f]{16},' out1 || fail "the fingerprint"
run out_8 --updates 2 --quiet --threads 1
cmp -s out1 out_8 && fail "5 and 8 shards round alike"
run out_seed --updates 2 --quiet --seed 2
cmp -s out_8 out_seed && fail "another seed gives the same"

run out_told --updates 10 --threads 2
[ "$(grep -c '^  update  *[0-9]*  loss [0-9.]*$' out_told)" = 10 ] || fail "a loss per update"
grep -q '^one gradient: .* ms on 1 thread, .* ms on 2: .* times as fast$' out_told ||
    fail "the speed-up"
awk 'length > 79 { exit 1 }' out_told || fail "80 columns"

run out_learned --updates 50 --quiet
score() { sed -n "s/^  $1  *\([0-9.]*\)$/\1/p" out_learned; }
[ "$(score 'same as last year')" = 30.35 ] || fail "same as last year"
awk "BEGIN { exit !($(score LSTM) < $(score 'AR(2), least squares')) }" || fail "AR(2) is not beaten"

# refuses SENTENCE OPTIONS...: exactly this one line on stderr, nothing on stdout, status 2
refuses() {
    sentence="data_parallel: $1 (see --help)"
    shift
    "$program" "$@" >out 2>err
    [ $? = 2 ] || fail "$*: the status is not 2"
    [ "$(cat err)" = "$sentence" ] || { fail "$*"; echo "   said: $(cat err)"; echo "   not:  $sentence"; }
    [ ! -s out ] || fail "$*: printed before it refused"
}
refuses 'there is no option --thread' --thread 2
refuses 'there is no option -h' -h
refuses '"2" is not an option' 2
refuses '--threads takes a value: N' --threads
refuses '--threads takes a whole number, not ""' --threads=
refuses '--threads takes a whole number, not "2x"' --threads 2x
refuses '--threads takes a whole number, not "two"' --threads two
refuses '--updates takes a whole number, not "1e3"' --updates 1e3
refuses '--threads 0 is out of range: it must be from 1 to 128' --threads 0
refuses '--threads -1 is out of range: it must be from 1 to 128' --threads -1
refuses '--shards 129 is out of range: it must be from 1 to 128' --shards 129
refuses '--updates 0 is out of range: it must be from 1 to 10000000' --updates 0
refuses '--seed 99999999999999999999 is out of range: it must be from 0 to 9000000000000000' \
    --seed 99999999999999999999
refuses '--threads 9 is more than --shards 8: a thread needs a shard' --threads 9
refuses '--threads 3 is more than --shards 2: a thread needs a shard' \
    --threads=3 --shards=2
refuses '--quiet takes no value' --quiet=yes

if [ -w /dev/full ]; then
    "$program" --updates 1 --quiet >/dev/full 2>err
    [ $? = 1 ] && grep -q 'cannot write to standard output' err || fail "a full disk behind stdout"
fi
"$program" --help >out 2>err || fail "--help"
for option in threads shards updates seed quiet help; do
    grep -q -- "^  --$option " out || fail "--help is silent on --$option"
done

exit $failed
