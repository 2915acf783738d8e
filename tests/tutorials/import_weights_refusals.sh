#!/bin/sh
# What import_weights refuses: the sentence, the exit status, and that nothing was written.
#
#     sh import_weights_refusals.sh PROGRAM SCRATCH-DIR
program=$1
given=$(cd "$(dirname "$0")/../golden" && pwd)/layouts_lstm.safetensors
mkdir -p "$2" && cd "$2" || exit 1
rm -rf refusals && mkdir refusals && cd refusals || exit 1
cp "$given" net.st

failed=0
# refuses STATUS SENTENCE OPTIONS...: exactly this one line on stderr
refuses() {
    status=$1
    sentence=$2
    shift 2
    "$program" "$@" >out 2>err
    got=$?
    text=$(cat err)
    [ $got = "$status" ] || { echo "FAILED: $*: status $got, not $status"; failed=1; }
    [ "$text" = "import_weights: $sentence" ] || {
        echo "FAILED: $*"
        echo "   said: $text"
        echo "   not:  import_weights: $sentence"
        failed=1
    }
    [ ! -e new ] || { echo "FAILED: $*: left a file"; failed=1; rm new; }
}
usage() { sentence=$1; shift; refuses 2 "$sentence (see --help)" "$@"; }

usage 'which file?'
usage 'which file?' --to keras
usage '"more" is not an option' net.st more
usage 'there is no option --form' net.st --form keras
usage '--from takes a layout, and "Keras" is none' net.st --from Keras
usage '--to takes a layout, and "torch" is none' net.st --to torch
usage '--cell takes rnn, lstm, lstm-projected, gru or gru-before, not "LSTM"' net.st --cell LSTM
usage '--store takes F64, F32, F16 or BF16, not "I8"' net.st --to keras --out new --store I8
usage '--out needs a layout to write: --to' net.st --out new
usage '--store needs a file to write: --out' net.st --to keras --store F16
usage '--to-prefix needs a layout: --to' net.st --to-prefix x
usage '--from-prefix needs a layout: --from' net.st --from-prefix x

refuses 1 '"missing.st": cannot be opened: No such file or directory' missing.st
head -c 300 net.st >cut.st
"$program" cut.st >out 2>err
[ $? = 1 ] && grep -q '^import_weights: .*cut.st' err || { echo "FAILED: a file that was cut"; failed=1; }

refuses 1 '"net.st": there is no tensor "layer0/forward/kernel"' net.st --from keras
refuses 1 '"net.st": tensor "weight_ih_l0" is [8,3]: 8 is no multiple of 3' net.st --from pytorch --cell gru
refuses 1 '"net.st": layout pytorch has no cell "gru, reset before"' net.st --from pytorch --cell gru-before
refuses 1 '"net.st": prefix "{n}": what is in { } must be {l} or {FORWARD|BACKWARD}' \
    net.st --from pytorch --from-prefix '{n}'
refuses 1 'onednn has all layers in one tensor: they must take equally many inputs, not 3 and 4' \
    net.st --to onednn --out new
refuses 1 'prefix "x" names one layer only: it needs {l}' net.st --to keras --to-prefix x --out new

"$program" net.st --to dynet --out dynet.st >out || failed=1
usage 'dynet.st fits dynet and dynet-0: say --from' dynet.st
"$program" net.st --to keras --to-prefix 'a{l}{f|b}' --out names.st >out || failed=1
usage 'names.st has the names of no layout: say --from, and --from-prefix' names.st
grep -q '^  a0fkernel  *F64   \[3,8\]  *-$' out || { echo "FAILED: does not show unknown tensors"; cat out; failed=1; }
"$program" net.st --to keras --out nowhere/new >out 2>err
[ $? = 1 ] && grep -q 'nowhere/new.*No such file' err || { echo "FAILED: no such folder"; cat err; failed=1; }

# Names that would move a terminal's cursor: an escape, and U+009B, the same in one character.
header='{"a\u001b[2J\u009b2J":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
printf "\\$(printf %03o ${#header})"'\0\0\0\0\0\0\0%s' "$header" >clears.st
"$program" clears.st >out 2>err
grep -q '^  a?\[2J?2J  U8 ' out || { echo "FAILED: a name with controls"; od -c out; failed=1; }

if [ -w /dev/full ]; then
    "$program" net.st >/dev/full 2>err
    status=$?
    [ $status = 1 ] && grep -q 'cannot write to standard output' err ||
        { echo "FAILED: a full disk behind stdout: status $status"; cat err; failed=1; }
fi

"$program" --help >out 2>err || { echo "FAILED: --help"; failed=1; }
for option in from from-prefix cell to to-prefix out store help; do
    grep -q -- "^  --$option " out || { echo "FAILED: --help is silent on --$option"; failed=1; }
done
awk 'length > 90 || /[^ -~]/ { exit 1 }' out || { echo "FAILED: --help has long lines"; failed=1; }

exit $failed
