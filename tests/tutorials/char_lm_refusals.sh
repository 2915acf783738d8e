#!/bin/sh
# What char_lm refuses: the sentence, the exit status, and that nothing was written or trained.
. "$(dirname "$0")/../support/tutorial.sh"
outputs='char_lm.safetensors* new.st*'

usage '"learn" is neither train nor sample' learn
usage 'there is no option --hiden' train --hiden 16
usage 'there is no option -h' train -h
usage '--temperature belongs to `sample`' train --temperature 1
usage '--hidden belongs to `train`' sample --hidden=3
usage '"b.txt" is one file too many' train a.txt b.txt
usage 'a file has no empty name' train ''
usage '--hidden takes a value: N' train --hidden
usage '--hidden takes a whole number, not ""' train --hidden=
usage '--hidden takes a whole number, not "16x"' train --hidden 16x
usage '--hidden takes a whole number, not "1.5"' train --hidden 1.5
usage '--hidden 0 is out of range: it must be from 1 to 4096' train --hidden 0
usage '--updates 99999999999999999999 is out of range: it must be from 1 to 1000000000' \
    train --updates 99999999999999999999
usage '--k2 -1 is out of range: it must be from 1 to 1000000' train --k2 -1
usage '--rate takes a number, not "nan"' train --rate nan
usage '--dropout 1 is out of range: it must be from 0 to 0.95' train --dropout 1
usage '--budget takes a number of bytes such as 500KB, not "8 MB"' train --budget '8 MB'
usage '--budget takes a number of bytes such as 500KB, not "KB"' train --budget KB
usage '--budget 9999999GB is out of range: it must be from 0 to 1e+15' train --budget 9999999GB
usage '--cell takes rnn, gru, lstm, mgu, peephole, lnlstm, lngru or cifg, not "LSTM"' train --cell LSTM
usage '--quiet takes no value' train --quiet=yes
usage '--save takes PATH, not an empty string' train --save ''
usage '--updates and --epochs both say when to end' train --updates 3 --epochs 1
usage '--temperature -1 is out of range: it must be from 0 to 100' sample --temperature -1

refuses 1 'cannot read missing.txt: No such file or directory' train missing.txt
refuses 1 'cannot read .: Is a directory' train .
: >empty.txt
refuses 1 'empty.txt is empty' train empty.txt
printf x >one.txt
refuses 1 'one.txt has 1 character: too short for 32 streams, which need 72' train one.txt
refuses 1 'one.txt has 1 character: too short for 1 stream, which needs 11' train one.txt --batch 1
awk 'BEGIN { for (i = 0; i < 200; i++) printf "x" }' >same.txt
refuses 1 'same.txt repeats one character, byte 120: there is nothing to learn' train same.txt
awk 'BEGIN { for (i = 0; i < 71; i++) printf "%d", i % 10 }' >short.txt
refuses 1 'short.txt has 71 characters: too short for 32 streams, which need 72' train short.txt

awk 'BEGIN { for (i = 0; i < 300; i++) printf "%d", i * i % 7 }' >digits.txt
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "%d", i * i % 7 }' >long.txt
refuses 1 '--epochs 1000000, with 1799 updates each, is out of range: 1000000000 updates at most' \
    train long.txt --batch 1 --k1 1 --epochs 1000000
mkdir folder
refuses 1 'cannot write nowhere/new.st: No such file or directory' train digits.txt --save nowhere/new.st
refuses 1 'cannot write folder: it is a directory' train digits.txt --save folder
refuses 1 'cannot write digits.txt: it is the text' train digits.txt --save digits.txt
refuses 1 'cannot write /dev/null: it is not a regular file' train digits.txt --save /dev/null
if [ "$(id -u)" != 0 ]; then
    chmod a-w folder
    refuses 1 'cannot write folder/new.st: Permission denied' train digits.txt --save folder/new.st
fi

small='train digits.txt --hidden 4 --embed 3 --batch 4 --k1 8'
run out $small --updates 2 --quiet --save save.st
cp save.st kept.st
other() { # OPTION VALUE THERE: what the save was trained with cannot be changed
    refuses 1 "save.st was trained with $1 $3: it cannot go on with $2" train digits.txt --resume save.st "$1" "$2"
}
other --cell gru lstm
other --hidden 5 4
other --layers 2 1
other --embed 0 3
other --batch 2 4
other --k1 16 8
other --k2 16 8
other --dropout 0.1 0
other --seed 3 1
refuses 1 'save.st has made its 2 updates: ask for more with --updates' train digits.txt --resume save.st
cat digits.txt digits.txt >longer.txt
refuses 1 'save.st was trained on a text of 300 characters: it cannot go on with longer.txt, which has 600' \
    train longer.txt --resume save.st --updates 4
tr 01 10 <digits.txt >swapped.txt
refuses 1 'save.st was trained on another text: it cannot go on with swapped.txt' \
    train swapped.txt --resume save.st --updates 4
refuses 1 "--prime: byte 120 'x' does not occur in the text" sample save.st --prime 2x
refuses 1 '--prime: byte 10 does not occur in the text' sample save.st --prime '2
'
cmp save.st kept.st || fail "a refusal changed the save"

# Files that are no saves: the first words are ours, the reason the library's.
head -c 200 save.st >cut.st
head -c -4 save.st >shorter.st
sed 's/"hidden":"4"/"hidden":"5"/' save.st >wrong.st
sed 's/"cell":"lstm"/"cell":"mist"/' save.st >mist.st
sed 's/"k1":"8"/"kl":"8"/' save.st >nok1.st
for file in cut.st shorter.st wrong.st mist.st nok1.st digits.txt missing.st folder; do
    unreadable $file sample $file
    unreadable $file train digits.txt --save none --updates 4 --resume $file
done

# A small file that speaks of a large network: refused before there is one.
sed 's/"hidden":"4"/"hidden":"4096"/; s/"layers":"1"/"layers":"16"/; s/"rate":"0.002"/"rate":"1"/' save.st >wide.st
wide='wide.st is damaged: it has too few numbers for 16 layers of width 4096'
refuses 1 "$wide" sample wide.st
refuses 1 "$wide" train digits.txt --save none --updates 4 --resume wide.st

printf '\031\0\0\0\0\0\0\0{"__metadata__":{"a":""}}' >other.st
refuses 1 'other.st was not written by char_lm' sample other.st

# A state that is no number makes the loss none; the old save stays. A window of one step leaves nothing
# but the states to be saved, and of these the last lies last.
run out $small --k2 1 --updates 2 --quiet --save state.st
head -c -4 state.st >nan.st
printf '\0\0\300\177' >>nan.st
cp nan.st kept.st
refuses 1 'update 3: the loss is not a number; try a --rate below 0.002' \
    train digits.txt --resume nan.st --updates 9 --validate 1 --quiet
cmp nan.st kept.st || fail "no number: the old save"

full_stdout $small --updates 2 --quiet --save none

tells_of cell hidden layers embed k1 k2 batch dropout seed updates epochs rate clip budget \
    validate save resume temperature length prime threads quiet help
narrow out

exit $failed
