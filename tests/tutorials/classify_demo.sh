#!/bin/sh
# classify: parts and naive Bayes recomputed from the files, the table of what was taken for what from the
# CSV, leads without a character by guessing what is left; what it refuses.
. "$(dirname "$0")/../support/tutorial.sh"

# Three "languages" of their own syllables, a line a piece, of different lengths; numbers from a simple
# generator, so that no line depends on the machine.
make_class() { # NAME SYLLABLES SEED
    awk -v s="$2" -v x="$3" 'function next_number(n) { x = (x * 16807) % 2147483647; return int(x / 65536) % n }
        BEGIN {
            n = split(s, syllable, " ")
            for (i = 0; i < 60; i++) {
                line = ""
                for (k = 2 + next_number(8); k > 0; k--) line = line syllable[1 + next_number(n)] (next_number(3) ? "" : " ")
                sub(/ +$/, "", line)
                print line
            }
        }' >"$1.txt"
}
make_class north "ta ke ri no su ha" 11
make_class south "at ek ri on us ha" 22
make_class west "tan ker lin nos sul har" 33

# ---- Parts, naive Bayes, the table --------------------------------------------------------------

run out train north.txt south.txt west.txt --epochs 12 --hidden 16 --rate 0.02 --quiet --save net.st --csv held.csv
[ ! -s err ] || fail "--quiet is not quiet: $(cat err)"
awk -F, 'FNR == 1 { class++; n[class] = 0 } { line[class, n[class]++] = $0 }
    END {
        for (c = 1; c <= 3; c++) for (i = 0; i < n[c]; i++) if (10 * i < 7 * n[c]) train[line[c, i]] = 1
        for (c = 1; c <= 3; c++) for (i = 0; i < n[c]; i++) if (10 * i >= 8 * n[c] && !(line[c, i] in train)) print c "," line[c, i]
    }' north.txt south.txt west.txt >want
awk -F, 'NR > 1 { print $1 "," $5 }' held.csv >got
cmp want got || fail "what is held out"

# Naive Bayes by its formula, single letters and pairs; near ties may fall either way.
bayes() { # WIDTH COLUMN
    awk -F, -v w="$1" -v column="$2" '
    FILENAME != "held.csv" {
        if (FNR == 1) class++
        if (FNR > 42) next
        pieces[class]++
        for (i = 1; i + w - 1 <= length($0); i++) {
            u = substr($0, i, w); count[class, u]++; total[class]++
            if (!(u in all)) { all[u] = 1; v++ }
        }
        next
    }
    FNR > 1 {
        for (c = 1; c <= 3; c++) {
            z[c] = log(pieces[c])
            for (i = 1; i + w - 1 <= length($5); i++) z[c] += log((count[c, substr($5, i, w)] + 1) / (total[c] + v + 1))
        }
        best = 1
        for (c = 2; c <= 3; c++) if (z[c] > z[best]) best = c
        if ($column != best && z[best] - z[$column] > 1e-9) { print "not " best ": " $0; bad = 1 }
        rows++
    }
    END { exit bad || rows < 20 }' north.txt south.txt west.txt held.csv
}
bayes 1 3 || fail "a bag of letters"
bayes 2 4 || fail "pairs of neighbours"

# By hand: of 4 different letters, any other counted, P(x | p) = 2/(30 + 4) is more than P(x | q) = 1/(14 + 4);
# with two more instead of one, 3/38 and 2/22, it would be less.
{ for i in 1 2 3 4 5 6; do echo abab; done; printf 'ababax\nba\nx\nxx\n'; } >p.txt
{ for i in 1 2 3 4 5 6 7; do echo ab; done; printf 'bab\nbb\nbbb\n'; } >q.txt
run hand train p.txt q.txt --epochs 1 --hidden 2 --quiet --save none --csv hand.csv
[ "$(awk -F, 'NR > 1 { printf "%s:%s ", $5, $3 }' hand.csv)" = 'x:1 xx:1 bb:2 bbb:2 ' ] || fail "by hand: $(cat hand.csv)"

# The shares printed, and the table, are those of the CSV.
awk -F, 'NR > 1 { n++; net += $1 == $2; bag += $1 == $3; pairs += $1 == $4; t[$1, $2]++ }
    END {
        printf "%d of %d\n%d of %d\n%d of %d\n", bag, n, pairs, n, net, n
        for (i = 1; i <= 3; i++) print t[i, 1] + 0, t[i, 2] + 0, t[i, 3] + 0
    }' held.csv >want
{ sed -n 's/^.*%   //p' out | tail -3; sed -n 's/^   [123] [a-z]* *\(.*\)$/\1/p' out | awk '{ print $1, $2, $3 }'; } >got
cmp want got || { fail "shares or table"; cat out; }
awk -F, 'NR > 1 { n++; net += $1 == $2 } END { exit !(net > .8 * n) }' held.csv || fail "it learns nothing: $(grep LSTM out)"
narrow out

# The words that it brings along: no bag of letters can tell them apart, all forms have the same letters.
run words train --epochs 1 --hidden 8 --quiet --save none --csv words.csv
grep -q 'a bag of letters        *33\.33 %' words || fail "a bag of letters tells shuffled words: $(grep bag words)"
awk -F, 'function letters(s,   i, n, r) { for (i = 1; i <= length(s); i++) n[substr(s, i, 1)]++; for (i = 97; i < 123; i++) r = r " " n[sprintf("%c", i)] + 0; return r }
    NR > 1 { list[$1, ++n[$1]] = $5 }
    END {
        for (i = 1; i <= n[1]; i++) {
            w = list[1, i]; b = ""
            for (k = length(w); k > 0; k--) b = b substr(w, k, 1)
            j = list[3, i]
            if (list[2, i] != b || j == w || j == b || letters(j) != letters(w)) { print w, list[2, i], j; exit bad = 1 }
        }
        exit bad || n[1] < 100 || n[1] != n[2] || n[1] != n[3]
    }' words.csv || fail "the three forms of a word"

# Every choice trains; the same seed gives the same, another seed another.
small="train north.txt south.txt --epochs 2 --hidden 8 --quiet"
run one $small --save one.st
run two $small --save two.st
cmp one.st two.st || fail "the same seed gives other weights"
run three $small --save three.st --seed 2
cmp -s one.st three.st && fail "another seed gives the same weights"
for choice in "--cell gru" "--direction forward" "--pool mean" "--loss hinge" "--direction forward --pool mean --cell gru"; do
    run choice $small $choice --save choice.st
    cmp -s one.st choice.st && fail "$choice changes nothing"
    run choice guess --text "take at" --model choice.st --svg none
    grep -q '^ *[0-9.]* %  \(north\|south\)$' choice || fail "$choice: $(cat choice)"
done

# ---- Guesses ------------------------------------------------------------------------------------

text="taker sul"
run out guess --text "$text" --model net.st --csv all.csv
[ "$(awk -F, 'NR > 1 { printf "%c", $3 }' all.csv)" = "$text" ] || fail "the bytes of the text"
grep -q "^  $text\$" out || fail "the text is not shown"
# Without character k: the lead of the same two classes when that is all there is.
for k in 1 5 6 9; do
    rest=$(printf %s "$text" | awk -v k=$k '{ print substr($0, 1, k - 1) substr($0, k + 1) }')
    run part guess --text "$rest" --model net.st --svg none --csv part.csv
    awk -F, -v k=$k 'FNR == 1 { file++ } FNR == 1 + k && file == 1 { want = $6 } FNR == 2 && file == 2 { got = $5 }
        END { if (want < 0) want = -want; d = want - got; exit !(d < 1e-4 && d > -1e-4) }' all.csv part.csv ||
        fail "without character $k: $(sed -n $((k + 1))p all.csv); $(sed -n 2p part.csv)"
done
awk -F, 'NR > 1 && !($4 > 0) { exit 1 }' all.csv || fail "a character without gradient"
dark classify.svg
[ "$(grep -c "class='letter'" classify.svg)" = 9 ] || fail "letters in the picture"
well_formed classify.svg
ascii out || fail "a pipe gets more than ASCII"
grep -q '@' out || fail "the largest of a piece"
draws '▁▂▃▄▅▆▇█' 'guess --text "taker sul" --model net.st --svg none'
# A file: a piece per line, lines cut at blanks; a stray byte, a character of two bytes, markup.
printf 'take ri\n\nna\303\257ve <b>&\nx\377y\nq\303w\n' >some.txt
run out guess some.txt --model net.st --heat 9
[ "$(grep -c ' %  ' out)" = 4 ] || fail "four pieces: $(cat out)"
grep -q 'x?y' out && grep -q 'q?w' out || fail "a stray byte"
well_formed classify.svg
rm -f classify.svg
run out guess some.txt --model net.st --heat 0
grep -q 'take ri$' out || fail "pieces without heat are shown beside their class"
[ ! -e classify.svg ] || fail "a picture of nothing"
# What a terminal or an XML reader would not take: controls (ESC, C1), half of a surrogate pair, a character
# in more bytes than it needs, one beyond the last, U+FFFF.
printf 'a\033[31mb\tc\302\233d\355\240\200e\340\200\257f\364\220\200\200g\357\277\277h\360\237\216\265\n' >odd.txt
for heat in 0 1; do
    run out guess odd.txt --model net.st --heat $heat
    grep -q 'a?\[31mb?c?d???e???f????g?h.*$' out || fail "odd bytes, --heat $heat: $(cat -v out)"
    grep -q "$(printf '\360\237\216\265')" out || fail "a character of four bytes, --heat $heat"
done
well_formed classify.svg
# Commas and quotes in a table.
awk 'BEGIN { for (i = 0; i < 20; i++) printf "say \"%d\", friend\n", i }' >quotes.txt
awk 'BEGIN { for (i = 0; i < 20; i++) print "plain", i }' >plain.txt
run out train quotes.txt plain.txt --epochs 1 --hidden 2 --quiet --save none --csv quoted.csv
grep -q '^1,[12],[12],[12],"say ""19"", friend"$' quoted.csv || fail "quotes: $(cat quoted.csv)"
grep -q '^2,[12],[12],[12],plain 19$' quoted.csv || fail "no quotes where none are needed"

# ---- What it refuses ----------------------------------------------------------------------------

outputs='classify.svg classify.safetensors'
rm -f $outputs
usage 'say what to do: train or guess'
usage '"learn" is neither train nor guess' learn
usage 'one file is one class: train takes two or more, or none' train north.txt
usage 'a file has no empty name' train ''
usage '"c" is one file too many' guess b c
usage '"c" is not an option' train --quiet c
usage '--cell is lstm or gru, not "rnn"' train --cell rnn
usage '--loss is entropy or hinge, not "x"' train --loss x
usage '--pool takes a value: HOW' train --pool
usage '--hidden takes a whole number, not "many"' train --hidden many
usage '--piece 1 is out of range: it must be from 2 to 1000' train --piece 1
usage 'there is no option --heat' train --heat 3
usage 'guess takes a file or --text, one of the two' guess
usage 'guess takes a file or --text, one of the two' guess x --text y
usage '--text takes TEXT, not an empty string' guess --text ''
usage 'two outputs go to the same file, x' train --save x --csv x
refuses 1 'cannot read no.txt: No such file or directory' train north.txt no.txt
: >empty.txt
refuses 1 'empty.txt is empty' train north.txt empty.txt
printf '\n \n' >blank.txt
refuses 1 'blank.txt has 0 pieces of text: at least 10 are needed' train north.txt blank.txt
mkdir -p more
cp south.txt more/north.txt
refuses 1 'two files are called "north"' train north.txt more/north.txt
cp north.txt same.txt
yes again | head -40 >a.txt
yes again | head -50 >b.txt
refuses 1 'nothing is left to hold out: what is at the end of the files is at their begin, too' train a.txt b.txt
refuses 1 'empty.txt is empty' guess empty.txt --model net.st
refuses 1 'the text is empty' guess --text '  ' --model net.st
refuses 1 'cannot write nowhere/x: No such file or directory' train --save nowhere/x
mkdir -p folder
refuses 1 'cannot write folder: it is a directory' guess --text a --svg folder
breaks out '^classify: "north.txt": is no safetensors file' guess --text a --model north.txt
full_stdout guess --text "$text" --model net.st --svg none
tells_of piece cell direction pool loss hidden embed dropout epochs batch rate clip seed save csv quiet text model heat svg
exit $failed
