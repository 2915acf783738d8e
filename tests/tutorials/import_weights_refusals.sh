#!/bin/sh
# What import_weights refuses: the sentence, the exit status, and that nothing was written.
. "$(dirname "$0")/../support/tutorial.sh"
outputs=new
cp "$tests/golden/layouts_lstm.safetensors" net.st

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
unreadable cut.st cut.st

# From here on the tensors are told first.
complains 1 '"net.st": there is no tensor "layer0/forward/kernel"' net.st --from keras
complains 1 '"net.st": tensor "weight_ih_l0" is [8,3]: 8 is no multiple of 3' net.st --from pytorch --cell gru
complains 1 '"net.st": layout pytorch has no cell "gru, reset before"' net.st --from pytorch --cell gru-before
complains 1 '"net.st": prefix "{n}": what is in { } must be {l} or {FORWARD|BACKWARD}' \
    net.st --from pytorch --from-prefix '{n}'
complains 1 'onednn has all layers in one tensor: they must take equally many inputs, not 3 and 4' \
    net.st --to onednn --out new
complains 1 'prefix "x" names one layer only: it needs {l}' net.st --to keras --to-prefix x --out new

run out net.st --to dynet --out dynet.st
usage 'dynet.st fits dynet and dynet-0: say --from' dynet.st
run out net.st --to keras --to-prefix 'a{l}{f|b}' --out names.st
complains 2 'names.st has the names of no layout: say --from, and --from-prefix (see --help)' names.st
grep -q '^  a0fkernel  *F64   \[3,8\]  *-$' out || { fail "does not show unknown tensors"; cat out; }
breaks out 'nowhere/new.*No such file' net.st --to keras --out nowhere/new

# Names that would move a terminal's cursor: an escape, and U+009B, the same in one character.
header='{"a\u001b[2J\u009b2J":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
printf "\\$(printf %03o ${#header})"'\0\0\0\0\0\0\0%s' "$header" >clears.st
"$program" clears.st >out 2>err
grep -q '^  a?\[2J?2J  U8 ' out || { fail "a name with controls"; od -c out; }

full_stdout net.st

tells_of from from-prefix cell to to-prefix out store help
awk 'length > 90 || /[^ -~]/ { exit 1 }' out || fail "--help has long lines"

exit $failed
