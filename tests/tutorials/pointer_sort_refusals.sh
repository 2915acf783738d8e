#!/bin/sh
# What pointer_sort refuses: the sentence, the exit status, and nothing printed or written before.
. "$(dirname "$0")/../support/tutorial.sh"
outputs=pointer_sort.svg

usage '"sort" is not an option' sort
usage 'there is no option --length' --length 3
usage '--longest 0 is out of range: it must be from 1 to 100' --longest 0
usage '--shortest 11 is above --longest 10' --shortest 11
usage '--updates takes a whole number, not "1e3"' --updates 1e3
usage '--rate 11 is out of range: it must be from 1e-09 to 10' --rate 11
usage '--chosen takes masked or free, not "never"' --chosen never
usage '--input takes NUMBERS, not an empty string' --input ''
usage 'two outputs go to the same file, x' --save x --csv x
usage '--updates is of a training, and --load goes without' --load x --updates 3
usage '--save is of a training, and --load goes without' --load x --save y
refuses 1 '--input: there is no number in it' --input ' , '
refuses 1 '--input: "0.5x" is no number' --input '0.1 0.5x'
refuses 1 '--input: "three" is no number' --input three
refuses 1 '--input: 1 is not in [0,1)' --input '0.5 1'
refuses 1 '--input: 0.99999999999 is not in [0,1)' --input '0.5 0.99999999999'
refuses 1 '--input: -0.1 is not in [0,1)' --input '-0.1,0.5'
refuses 1 '--input: nan is not in [0,1)' --input 'nan'
refuses 1 '--input: more than 64 numbers' --input "$(printf '0.%d ' $(seq 10 80))"
refuses 1 'cannot write nowhere/x: No such file or directory' --svg nowhere/x
mkdir folder
refuses 1 'cannot write folder: it is a directory' --save folder

small='--hidden 5 --updates 2 --batch 3 --longest 5 --test 2 --quiet --svg none'
run out $small --save net.st
refuses 1 'net.st was trained with --hidden 5: it cannot serve --hidden 6' --load net.st --hidden 6
refuses 1 'net.st was trained with --chosen masked: it cannot serve --chosen free' --load net.st --chosen free
sed 's/"hidden":"5"/"hidden":"0"/' net.st >none.st
sed 's/"chosen":"masked"/"chosen":"maskes"/' net.st >how.st
sed 's/"program":"pointer_sort"/"program":"pointer_dorf"/' net.st >other.st
refuses 1 'none.st is damaged: its hidden is "0"' --load none.st
refuses 1 'how.st is damaged: it says --chosen "maskes"' --load how.st
refuses 1 'other.st was not written by pointer_sort' --load other.st
head -c 300 net.st >cut.st
sed 's/"hidden":"5"/"hidden":"6"/' net.st >wider.st
for file in wider.st cut.st missing.st folder; do unreadable $file --load $file; done
full_stdout $small
tells_of input chosen shortest longest hidden updates batch rate test seed threads save load csv svg quiet help
narrow out
exit $failed
