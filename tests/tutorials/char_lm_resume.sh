#!/bin/sh
# char_lm interrupted: a training that goes on from a save ends in the same file, byte for byte, as
# one that was never interrupted; Ctrl-C saves; a full disk loses neither training nor old save.
. "$(dirname "$0")/../support/tutorial.sh"

# 900 bytes to train on in 4 streams of 225: 14 updates of 16 steps a pass.
awk 'BEGIN { for (i = 0; i < 1000; i++) printf "%c", 97 + i * i % 23 }' >squares.txt
for settings in '' '--embed 0 --cell gru --layers 2 --k2 5' '--cell lnlstm --dropout 0.4 --clip 0.1' \
    '--k2 50 --dropout 0.2' '--k1 5 --k2 23 --layers 2 --budget 60000' \
    '--hidden 64 --batch 16 --k1 12 --k2 30 --dropout 0.2 --threads 3'; do
    first="train squares.txt --hidden 8 --embed 4 --batch 4 --k1 16 --quiet $settings"
    run out $first --updates 40 --save whole.st
    for stop in 1 9 14 33; do # in the first pass, at its end, in the third
        run out $first --updates $stop --save part.st
        run out train squares.txt --quiet --resume part.st --updates 40 --threads $((1 + stop % 3))
        cmp whole.st part.st || fail "$settings stopped at $stop"
    done
done

# Settings that may change do so, and a save goes where --save says.
run out train squares.txt --quiet --resume part.st --updates 41 --rate 0.01 --save faster.st
cmp -s whole.st faster.st && fail "nothing changed"
[ "$("$program" sample faster.st --quiet --length 9 | wc -c)" = 10 ] || fail "faster.st"

# Ctrl-C after the first validation. A pipe to read it from; what follows must be read too.
mkfifo told
interrupted="train squares.txt --hidden 8 --embed 4 --batch 4 --k1 16 --save stopped.st"
for signal in 2 15; do # INT TERM
    rm -f stopped.st
    "$program" $interrupted --updates 1000000 --validate 1 >told 2>err &
    pid=$!
    exec 3<told
    while read -r line <&3; do
        case $line in validation*) break ;; esac
    done
    kill -$signal $pid
    cat <&3 >out
    exec 3<&-
    wait $pid
    status=$?
    [ $status = $((128 + signal)) ] || fail "signal $signal: status $status"
    n=$(sed -n 's/^stopped after update \([0-9]*\); saved to stopped.st; go on with --resume stopped.st$/\1/p' out)
    [ -n "$n" ] || { fail "signal $signal: says nothing"; cat out err; n=1; }
    run out train squares.txt --resume stopped.st --updates $((n + 3)) --quiet
    run out $interrupted --updates $((n + 3)) --quiet --save whole.st
    cmp whole.st stopped.st || fail "signal $signal: stopped at $n"
done

# Killed at some moment after a save, again and again.
rm -f killed.st
first="train squares.txt --hidden 8 --embed 4 --batch 4 --k1 4 --k2 11 --dropout 0.3"
for turn in 1 2 3 4; do
    go_on="train squares.txt --resume killed.st"
    [ -e killed.st ] || go_on="$first --save killed.st"
    "$program" $go_on --updates 1000000 --validate 1 >told 2>err &
    pid=$!
    exec 3<told
    for validation in 1 2; do # what the first one told of is saved before the second
        while read -r line <&3; do
            case $line in validation*) break ;; esac
        done
    done
    kill -9 $pid
    exec 3<&-
    wait $pid 2>/dev/null
    [ $? = 137 ] || { fail "killed, turn $turn"; cat err; }
done
n=$("$program" train squares.txt --resume killed.st --updates 1 2>&1 | sed -n 's/.* has made its \([0-9]*\) updates.*/\1/p')
[ -n "$n" ] || { fail "killed: it does not say when"; n=1; }
run out train squares.txt --resume killed.st --updates $((n + 3)) --quiet
run out $first --updates $((n + 3)) --quiet --save whole.st
cmp whole.st killed.st || fail "killed, after $n updates"
ls ./*.tmp 2>/dev/null && fail "killed: leftovers"

# What a process of the same number left behind, as the first of a container is killed and started again.
sh -c ': >again.st.$$-0.tmp && exec "$0" "$@"' "$program" train squares.txt --hidden 8 --batch 4 --updates 1 \
    --quiet --save again.st >out 2>err || { fail "the number of a process that was killed"; cat err; }
ls ./*.tmp 2>/dev/null && fail "the number of a process that was killed: leftovers"

# A disk without room, by a limit on the size of files: the old save stays whole.
cp stopped.st before.st
(
    trap '' XFSZ
    ulimit -f 4
    "$program" $interrupted --updates 8 --validate 4 >out 2>err
)
status=$?
[ $status = 1 ] || fail "a full disk: status $status"
grep -q '^char_lm: .*stopped.st.*; the training goes on$' err || { fail "a full disk on the way"; cat err; }
tail -1 err | grep -q '^char_lm: .*stopped.st' || { fail "a full disk at the end"; cat err; }
cmp before.st stopped.st || fail "a full disk: the old save"
ls ./*.tmp 2>/dev/null && fail "a full disk: leftovers"

exit $failed
