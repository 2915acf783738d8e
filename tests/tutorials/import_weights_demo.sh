#!/bin/sh
# import_weights: a state dict of torch.nn.LSTM (golden/layouts.py) told, written in every layout that can
# hold it, and brought back to the byte; one number of it followed by hand.
. "$(dirname "$0")/../support/tutorial.sh"
given=$tests/golden/layouts_lstm.safetensors

run told "$given"
head -1 told | grep -qx 'pytorch: lstm, 2 layers, both directions, 3 inputs, 2 units' || fail "the network: $(head -1 told)"
[ "$(wc -l <told)" = 19 ] || fail "$(wc -l <told) lines about 16 tensors"
grep -Eqx '  weight_hh_l1_reverse  F64   \[8,2\] +layer 1 backward: recurrent weights, gates i f g o' told ||
    fail "weight_hh_l1_reverse"

# Two biases become one; what is written then comes back as it was.
run out "$given" --to pytorch --out first.safetensors
grep -q '^  wrote  /.*/first.safetensors$' out || fail "does not say where the file is"
for layout in seqgrad keras onnx chainer dynet-0 kann flux; do
    run out "$given" --to $layout --out $layout.safetensors
    run back $layout.safetensors --from $layout --to pytorch --out back.safetensors
    cmp first.safetensors back.safetensors || fail "$layout and back"
done
run out "$given" --to dynet --out dynet.safetensors
run back dynet.safetensors --from dynet --to dynet-0 --out x.safetensors

# Names of one's own, there and back.
names='net/{up|down}{l}/'
run out keras.safetensors --to keras --to-prefix "$names" --out names.safetensors
grep -Eq '^  net/down1/recurrent_kernel  F64   \[2,8\] +layer 1 backward: recurrent weights' out || fail "names of one's own"
run back names.safetensors --from keras --from-prefix "$names" --to pytorch --out back.safetensors
cmp first.safetensors back.safetensors || fail "names of one's own and back"

# Tensors in a file lie by type and name: here the double of weight_ih_l0 in row 5, column 1 (gate g, unit
# 1) of the file that PyTorch's writer made first, and the one of the kernel [3,8] in row 1, column 5.
double() { # FILE TENSOR NUMBER
    n=$(od -An -v -tu8 -N8 "$1" | tr -d ' ')
    begin=$(tail -c +9 "$1" | head -c "$n" | tr '{' '\n' | grep -A1 "\"$2\": *$" | tail -1 |
        sed 's/.*"data_offsets": *\[\([0-9]*\).*/\1/')
    od -An -v -tx8 -j $((8 + n + begin + 8 * $3)) -N8 "$1"
}
one=$(double "$given" weight_ih_l0 $((5 * 3 + 1)))
other=$(double keras.safetensors layer0/forward/kernel $((1 * 8 + 5)))
[ -n "$one" ] && [ "$one" = "$other" ] || fail "row 5, column 1 is '$one' and '$other'"

# Single and half precision: forms of the file.
run out "$given" --to keras --store F16 --out half.safetensors
run out half.safetensors
grep -q 'F16   \[3,8\]' out || fail "half precision"
[ "$(wc -c <half.safetensors)" -lt "$(wc -c <keras.safetensors)" ] || fail "half precision is not smaller"

exit $failed
