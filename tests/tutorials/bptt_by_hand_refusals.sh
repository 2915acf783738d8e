#!/bin/sh
# What bptt_by_hand refuses: the sentence, the exit status, and that nothing was written.
#
#     sh bptt_by_hand_refusals.sh PROGRAM SCRATCH-DIR
program=$1
mkdir -p "$2" && cd "$2" || exit 1
rm -rf refusals && mkdir refusals && cd refusals || exit 1

failed=0
# refuses STATUS SENTENCE OPTIONS...: exactly this one line on stderr, nothing on stdout
refuses() {
    status=$1
    sentence=$2
    shift 2
    "$program" "$@" >out 2>err
    got=$?
    text=$(cat err)
    [ $got = "$status" ] || { echo "FAILED: $*: status $got, not $status"; failed=1; }
    [ "$text" = "bptt_by_hand: $sentence" ] || {
        echo "FAILED: $*"
        echo "   said: $text"
        echo "   not:  bptt_by_hand: $sentence"
        failed=1
    }
    [ ! -s out ] || { echo "FAILED: $*: printed before it refused"; failed=1; }
    [ ! -e new ] || { echo "FAILED: $*: left a file"; failed=1; rm new; }
}
usage() { sentence=$1; shift; refuses 2 "$sentence (see --help)" "$@"; }

usage 'there is no option --step' --step 3
usage '"3" is not an option' 3
usage '--steps takes a value: N' --steps
usage '--steps takes a whole number, not "3x"' --steps 3x
usage '--steps 0 is out of range: it must be from 1 to 6' --steps 0
usage '--steps 7 is out of range: it must be from 1 to 6' --steps=7
usage '--steps 99999999999999999999 is out of range: it must be from 1 to 6' --steps 99999999999999999999
usage '--units 3 is out of range: it must be from 1 to 2' --units 3
usage '--w takes LIST, not an empty string' --w ''
usage '--w takes numbers with commas between them, not "a"' --w a
usage '--w takes numbers with commas between them, not "1,"' --w 1,
usage '--w takes numbers with commas between them, not "1 2"' --w '1 2'
usage '--w takes numbers with commas between them, not "nan"' --w nan
usage '--x: 1e+06 is out of range: it must be from -10 to 10' --x 1e6
usage '--w takes at most 12 numbers' --w 1,1,1,1,1,1,1,1,1,1,1,1,1
usage '--w has 2 numbers; 2 units and 3 steps need 4' --w 1,2
usage '--w has 4 numbers; 1 unit and 3 steps need 1' --w 1,2,3,4 --units 1
usage '--b has 1 number; 2 units and 3 steps need 2' --w 1,2,3,4 --b 1
usage '--x has 2 numbers; 1 unit and 3 steps need 3' --x 1,2 --steps 3
usage '--x takes at most 6 numbers, one a step' --x 1,2,3,4,5,6,7
usage '--y has 3 numbers; 2 units and 3 steps need 6' --y 1,2,3 --units 2 --steps 3
usage '--mistake takes none, slope, transpose or immediate, not "sign"' --mistake sign
usage '--plain takes no value' --plain=yes
usage '--dot and --html name the same file, new' --dot new --html new

refuses 1 'cannot write nowhere/new: No such file or directory' --dot nowhere/new
refuses 1 'cannot write .: it is a directory' --html .
refuses 1 'cannot write .: it is a directory' --dot new --html .
echo kept >old
refuses 1 'cannot write nowhere/x: No such file or directory' --dot old --html nowhere/x
[ "$(cat old)" = kept ] || { echo "FAILED: an old output was touched"; failed=1; }

if [ -w /dev/full ]; then
    for what in --dot --html; do
        "$program" --units 1 $what /dev/full >/dev/null 2>err
        status=$?
        [ $status = 1 ] && grep -q 'cannot write all of /dev/full' err ||
            { echo "FAILED: a full disk behind $what: status $status"; cat err; failed=1; }
    done
    "$program" >/dev/full 2>err
    status=$?
    [ $status = 1 ] && grep -q 'cannot write to standard output' err ||
        { echo "FAILED: a full disk behind stdout: status $status"; cat err; failed=1; }
fi

"$program" --help >out 2>err || { echo "FAILED: --help"; failed=1; }
for option in units steps w wx b h0 x y mistake dot html plain help; do
    grep -q -- "^  --$option " out || { echo "FAILED: --help is silent on --$option"; failed=1; }
done
awk 'length > 90 || /[^ -~]/ { exit 1 }' out || { echo "FAILED: --help has long lines"; failed=1; }

exit $failed
