#!/bin/sh
# What the main job refuses: the sentence, the exit status, and that nothing was written.
. "$(dirname "$0")/../support/tutorial.sh"
outputs='gradient_flow.csv gradient_flow.html new.csv'

usage 'there is no option --hiden' --hiden 16
usage 'there is no option -h' -h
usage '"data.csv" is not an option' data.csv
usage '--hidden takes a value: N' --hidden
usage '--hidden takes a whole number, not ""' --hidden=
usage '--hidden takes a whole number, not "16x"' --hidden 16x
usage '--hidden takes a whole number, not "1.5"' --hidden 1.5
usage '--hidden takes a whole number, not "+-3"' --hidden +-3
usage '--hidden 0 is out of range: it must be from 1 to 1024' --hidden 0
usage '--hidden -4 is out of range: it must be from 1 to 1024' --hidden -4
usage '--steps 1 is out of range: it must be from 2 to 100000' --steps 1
usage '--window 10001 is out of range: it must be from 2 to 10000' --window 10001
usage '--updates 99999999999999999999 is out of range: it must be from 1 to 10000000' \
    --updates 99999999999999999999
usage '--seeds 0 is out of range: it must be from 1 to 1000' --seeds 0
usage '--rate takes a number, not "nan"' --rate nan
usage '--rate 0 is out of range: it must be from 1e-09 to 10' --rate 0
usage '--rate 1e999 is out of range: it must be from 1e-09 to 10' --rate 1e999
usage '--rate takes a number, not "0.1.2"' --rate 0.1.2
usage '--quiet takes no value' --quiet=yes
usage '--csv takes FILE, not an empty string' --csv ''
usage '--cell takes rnn, gru, lstm or all, not "mlp"' --cell mlp
usage '--csv and --html name the same file, new.csv' --csv new.csv --html new.csv

refuses 1 'cannot read missing.csv: No such file or directory' --data missing.csv
refuses 1 'cannot read .: Is a directory' --data .
: >empty.csv
refuses 1 'empty.csv is empty' --data empty.csv
printf '\n \n\r\n' >blank.csv
refuses 1 'blank.csv is empty' --data blank.csv
printf 'year,spots\n' >header.csv
refuses 1 'header.csv has a header and no values' --data header.csv
printf 'year,spots\n1,2\n3\n' >ragged.csv
refuses 1 'ragged.csv: line 3 has 1 column, but the first has 2' --data ragged.csv
printf 'year,spots\n\n1,2\n3,4,5\n' >wide.csv
refuses 1 'wide.csv: line 4 has 3 columns, but the first has 2' --data wide.csv
printf 'year,spots\n1,2\n2,\n' >hole.csv
refuses 1 'hole.csv: line 3, column 2 (spots) is empty' --data hole.csv
printf 'year,spots\n1,2\n2,3x\n' >word.csv
refuses 1 'word.csv: line 3, column 2 (spots): "3x" is not a number' --data word.csv
printf 'year,spots\n1,2\n2,0x10\n' >hex.csv
refuses 1 'hex.csv: line 3, column 2 (spots): "0x10" is not a number' --data hex.csv
printf 'year,spots\n1,2\nMay,3\n' >may.csv
refuses 1 'may.csv: line 3, column 1 (year): "May" is not a number' --data may.csv
for odd in nan -inf 1e999; do
    printf 'year,spots\n1,2\n2,%s\n' "$odd" >odd.csv
    refuses 1 "odd.csv: line 3, column 2 (spots): \"$odd\" is not a finite number" --data odd.csv
done
printf 'year,spots\n1,"2\n2,3\n' >quote.csv
refuses 1 'quote.csv: line 2, column 2: a quote is never closed' --data quote.csv
printf 'year,spots\n1,"2"3\n' >behind.csv
refuses 1 'behind.csv: line 2, column 2: text follows a closing quote' --data behind.csv
printf 'year,spots\n1,\0002\n' >zero.csv
refuses 1 'zero.csv is not a text file: it holds a zero byte' --data zero.csv
refuses 1 'word.csv has no column called "moons"; its columns are: year, spots' \
    --data word.csv --column moons
refuses 1 'word.csv has no column 3: it has 2' --data word.csv --column 3
refuses 1 'word.csv has no column 0: it has 2' --data word.csv --column 0

column() { awk "BEGIN { print \"v\"; for (i = 0; i < $1; i++) print $2 }"; }
column 60 'i % 7' >short.csv
refuses 1 'short.csv has 60 values of v: too short for training windows of 22 steps and 50 held-out values, which need 73' \
    --data short.csv
column 90 'i % 7' >short.csv
refuses 1 'short.csv has 90 values of v: too short for a window of 100 steps and the value after it' \
    --data short.csv
column 150 5 >flat.csv
refuses 1 'flat.csv: the 100 training values of v are all 5: there is nothing to learn' --data flat.csv
column 150 'i % 2 ? "1e308" : "-1e308"' >huge.csv
refuses 1 'huge.csv: the numbers of v are too large to scale' --data huge.csv

mkdir folder
refuses 1 'cannot write nowhere/new.csv: No such file or directory' --csv nowhere/new.csv
refuses 1 'cannot write folder: it is a directory' --html folder
column 150 'i % 7' >series.csv
refuses 1 'cannot write series.csv: it is the file with the data' --data series.csv --csv series.csv
[ "$(wc -l <series.csv)" = 151 ] || fail "the data was overwritten"

# What exists already is left as it is when the other output is refused.
echo kept >old.csv
refuses 1 'cannot write folder: it is a directory' --csv old.csv --html folder
[ "$(cat old.csv)" = kept ] || fail "an old output was touched"

full_stdout --cell rnn --updates 1 --quiet --csv none --html none
full_file --cell rnn --updates 1 --quiet --csv /dev/full --html none

tells_of data column cell hidden steps updates seed seeds csv html quiet help

exit $failed
