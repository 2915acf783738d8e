#!/bin/sh
# What seq2seq_dates refuses: the sentence, the exit status, and nothing printed or written before.
. "$(dirname "$0")/../support/tutorial.sh"
outputs=seq2seq_dates.svg

usage '"learn" is not an option' learn
usage 'there is no option --hiden' --hiden 3
usage '--hidden 0 is out of range: it must be from 1 to 1024' --hidden 0
usage '--updates takes a whole number, not "many"' --updates many
usage '--sampling 1.5 is out of range: it must be from 0 to 1' --sampling 1.5
usage '--beam 65 is out of range: it must be from 1 to 64' --beam 65
usage '--attention takes additive, dot or scaled, not "cosine"' --attention cosine
usage '--input takes TEXT, not an empty string' --input ''
usage '--rate takes a number, not "nan"' --rate nan
usage '--quiet takes no value' --quiet=1
usage 'two outputs go to the same file, x' --csv x --svg x
usage '--updates is of a training, and --load goes without' --load x --updates 3
usage '--save is of a training, and --load goes without' --load x --save y
refuses 1 '--input is blank' --input '   '
refuses 1 "--input: '/' occurs in no form of date that was learned" --input 03/03/2021
refuses 1 "--input: 'k' occurs in no form of date that was learned" --input 'kalends of march'
refuses 1 '--input: byte 195 occurs in no form of date that was learned' --input '3 März 2021'
refuses 1 '--input has 70 characters: a date of at most 63 is taken' --input "$(printf '%070d' 3)"
refuses 1 'cannot write nowhere/x: No such file or directory' --svg nowhere/x
refuses 1 'cannot write nowhere/x: No such file or directory' --save nowhere/x
mkdir folder
refuses 1 'cannot write folder: it is a directory' --csv folder
if [ "$(id -u)" != 0 ]; then
    chmod a-w folder
    refuses 1 'cannot write folder/x: Permission denied' --svg folder/x
fi

small='--hidden 5 --updates 2 --batch 3 --test 2 --quiet --svg none'
run out $small --save net.st
refuses 1 'net.st was trained with --hidden 5: it cannot serve --hidden 6' --load net.st --hidden 6
refuses 1 'net.st was trained with --attention additive: it cannot serve --attention dot' --load net.st --attention dot
run out --load net.st --hidden 5 --attention additive --test 2 --quiet --svg none
sed 's/"hidden":"5"/"hidden":"6"/' net.st >wider.st
sed 's/"hidden":"5"/"hidden":"x"/' net.st >none.st
sed 's/"attention":"additive"/"attention":"additlve"/' net.st >kind.st
head -c 300 net.st >cut.st
printf '\031\0\0\0\0\0\0\0{"__metadata__":{"a":""}}' >other.st
refuses 1 'none.st is damaged: its hidden is "x"' --load none.st
refuses 1 'kind.st is damaged: there is no attention "additlve"' --load kind.st
refuses 1 'other.st was not written by seq2seq_dates' --load other.st
for file in wider.st cut.st missing.st folder; do unreadable $file --load $file; done
"$program" $small --svg none --rate 9 --updates 30 >out 2>err || grep -q '^seq2seq_dates: update' err || fail "a rate too high: $(cat err)"
full_stdout $small
tells_of input examples attention hidden updates batch rate sampling test beam seed threads save load csv svg quiet help
narrow out
exit $failed
