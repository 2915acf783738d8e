#!/bin/sh
# music: the chorales against their rules, baselines recomputed from the file, the MIDI file read byte by
# byte, sums of the scores.
. "$(dirname "$0")/../support/tutorial.sh"

# PART SONG FRAME NOTE NOTE ..., a line per frame, from a file of note lists laid out in any way.
flatten() {
    tr -d ' \n\t' <"$1" | sed 's/"\([a-z]*\)":\[/\n\1 /g; s/\],\[/\n/g' | awk '
        { gsub(/[{}]/, "") }
        /^[a-z]/ { part = $1; song = 0; $0 = $2 }
        { if (/\[\[/ || /^\[/) { song++; frame = 0 } gsub(/[\[\]]/, ""); gsub(/,/, " "); sub(/ +$/, ""); if (part != "") print part, song, ++frame, $0 }'
}

# As many bars in a picture as notes that begin, and none goes over the border.
bars() { # CSV SVG
    awk -F, 'NR > 1 { split("", now); n = split($3, k, " "); for (i = 1; i <= n; i++) now[k[i]] = 1
            for (i in now) bars[$2] += !((i in last) && $2 == from)
            from = $2; split("", last); for (i in now) last[i] = 1 }
        END { print bars["given"], bars["drawn"] }' "$1" >want
    echo "$(grep -c "class='given'" "$2") $(grep -c "class='note'" "$2")" >got
    cmp want got || fail "bars in $2: $(cat want got)"
}

# ---- The chorales -------------------------------------------------------------------------------

run out chorales --train 30 --valid 5 --test 6 --out small.json
flatten small.json >small.flat
awk '{ n[$1] = $2 } END { exit !(n["train"] == 30 && n["valid"] == 5 && n["test"] == 6) }' small.flat || fail "songs in the parts"
# Four voices in their ranges in every frame; from chord to chord, every other frame, no two voices that
# move stay a fifth or an octave apart, and no upper voice leaps more than a fifth.
awk '{
        if (NF != 7) { print "not four voices: " $0; exit bad = 1 }
        split("41 48 55 60", low, " "); split("60 67 74 79", high, " ")
        for (v = 1; v <= 4; v++) if ($(v + 3) < low[v] - 2 || $(v + 3) > high[v] + 2) { print "range: " $0; exit bad = 1 }
        if ($3 == 1) { for (v = 1; v <= 4; v++) last[v] = $(v + 3); next }
        if ($3 % 2 == 0) next
        for (v = 1; v <= 4; v++) {
            leap = $(v + 3) - last[v]
            if (v > 1 && (leap > 7 || leap < -7)) { print "leap: " $0; exit bad = 1 }
            for (u = v + 1; u <= 4; u++) {
                now = $(u + 3) - $(v + 3); before = last[u] - last[v]
                if (leap && (before % 12 == 0 || before % 12 == 7) && now % 12 == before % 12) { print "parallel: " $0; exit bad = 1 }
            }
        }
        for (v = 1; v <= 4; v++) last[v] = $(v + 3)
        chords++
    }
    END { exit bad || chords < 400 }' small.flat || fail "the rules of harmony"
# A song ends on its tonic, for four frames: bass and one more voice have it, the third is there.
awk '$1 " " $2 != song && NR > 1 { if (!ok) { print "no end: " song; exit bad = 1 } }
    { song = $1 " " $2; held = $0; sub(/^[a-z]+ [0-9]+ [0-9]+ /, "", held); run = held == before ? run + 1 : 1; before = held
      third = 0; for (v = 5; v <= 7; v++) { d = ($v - $4) % 12; if (d == 3 || d == 4) third = 1 } ok = run >= 4 && third }
    END { exit bad }' small.flat || fail "how songs end"
# The leading note of V and VII goes up to the tonic, which is the last bass, where I follows.
awk 'function has(d) { return d in before } function is(d) { return d in now }
    NR == FNR { tonic[$1, $2] = $4 % 12; next }
    $3 % 2 == 0 { next }
    {
        split("", now); split("", note)
        for (v = 4; v <= 7; v++) { d = ($v + 12 - tonic[$1, $2]) % 12; now[d] = 1; note[v] = $v; which[v] = d }
        if ($3 > 1 && has(11) && has(2) && is(0) && is(7) && (is(3) || is(4)))
            for (v = 4; v <= 7; v++) if (old[v] == 11) { n++; if (note[v] - was[v] != 1) { print "leading note: " $0; exit bad = 1 } }
        split("", before); for (d in now) before[d] = 1
        for (v = 4; v <= 7; v++) { old[v] = which[v]; was[v] = note[v] }
    }
    END { exit bad || n < 60 }' small.flat small.flat || fail "the leading note"
run out chorales --train 30 --valid 5 --test 6 --out again.json
cmp small.json again.json || fail "the same seed makes other chorales"
run out chorales --train 30 --valid 5 --test 6 --out other.json --seed 2
cmp -s small.json other.json && fail "another seed makes the same chorales"

# ---- Training: baselines by their formulas ------------------------------------------------------

run out train --data small.json --epochs 6 --hidden 24 --rate 0.02 --quiet --save net.st --csv test.csv
[ ! -s err ] || fail "--quiet is not quiet: $(cat err)"
awk '{
        part = $1; split("", now); for (i = 4; i <= NF; i++) now[$i] = 1
        for (k = 21; k <= 108; k++) {
            d = k in now; b = k in last
            if ($3 > 1 && part == "train") { n[k]++; on[k] += d; all[b]++; allon[b] += d; kn[k, b]++; kon[k, b] += d }
            if ($3 > 1 && part == "test") {
                p = (on[k] + .5) / (n[k] + 1); f -= log(d ? p : 1 - p)
                p = (allon[b] + .5) / (all[b] + 1); r -= log(d ? p : 1 - p)
                p = (kon[k, b] + .5) / (kn[k, b] + 1); c -= log(d ? p : 1 - p)
            }
        }
        frames += $3 > 1 && part == "test"
        split("", last); for (i in now) last[i] = 1
    }
    END { printf "%.3f\n%.3f\n%.3f\n", f / frames, r / frames, c / frames }' small.flat >want
sed -n "s/^  \(each key.*\|the frame.*[^s]\)  *\([0-9.]*\)$/\2/p" out >got
cmp want got || { fail "baselines"; cat want out; }
# The network's line is the mean of its songs; it has learned something.
awk -F, 'NR > 1 { n += $2; sum += $3 } END { printf "%.3f\n", sum / n }' test.csv >want
sed -n 's/^  LSTM  *//p' out >got
cmp want got || fail "the network's NLL: $(cat want got)"
awk 'NR == FNR { net = $1; next } /own frequency/ { exit !(net < $NF) }' got out || fail "it learns nothing: $(grep LSTM out)"
awk '$1 == "test"' small.flat | awk '{ n[$2] = $3 - 1 } END { for (i = 1; i <= 6; i++) print i "," n[i] }' >want
cut -d, -f1,2 test.csv | tail -n +2 >got
cmp want got || fail "frames of the songs"
narrow out

# Songs of several lengths scored together are scored as in smaller batches.
run out chorales --train 2 --valid 2 --test 6 --out two.json
run out train --data two.json --epochs 3 --hidden 8 --quiet --save none --csv by2.csv --batch 2
run out train --data two.json --epochs 3 --hidden 8 --quiet --save none --csv by6.csv --batch 6
[ "$(cut -d, -f2 by2.csv | sort -u | wc -l)" -gt 3 ] || fail "songs of one length"
paste -d, by2.csv by6.csv | awk -F, 'NR > 1 { d = $3 - $6; if (d > 1e-5 * $3 || d < -1e-5 * $3) exit bad = 1 } END { exit bad || NR != 7 }' ||
    fail "a ragged batch"
# What it learns is the *next* frame: three chords in a ring are continued.
awk 'BEGIN {
    split("[60,64] [60,62] [65,69,72]", chord, " "); split("train valid test", name, " ")
    for (p = 1; p <= 3; p++) {
        printf("%s\"%s\":[", (p > 1 ? "," : "{"), name[p])
        for (i = 0; i < 6; i++) {
            printf("%s[", (i ? "," : ""))
            for (t = 0; t < 8 + i; t++) printf("%s%s", (t ? "," : ""), chord[1 + (i + t) % 3])
            printf("]")
        }
        printf("]")
    }
    print "}" }' >ring.json
run out train --data ring.json --epochs 60 --hidden 12 --rate 0.05 --dropout 0 --quiet --save ring.st
run out sample --model ring.st --data ring.json --prime 4 --length 8 --temperature 0.05 --svg ring.svg --midi none --csv ring.csv
ring='60 64,60 62,65 69 72,'
[ "$(tail -n +2 ring.csv | cut -d, -f3 | tr '\n' ',')" = "$ring$ring$ring$ring" ] || fail "the ring: $(cat ring.csv)"
bars ring.csv ring.svg # a note is held over the border
run out train --data small.json --epochs 1 --hidden 8 --quiet --save a.st --cell gru
run out train --data small.json --epochs 1 --hidden 8 --quiet --save b.st --cell gru
cmp a.st b.st || fail "the same seed gives other weights"
# Blanks, order of the parts, doubled notes, silent voices and empty frames do not matter.
sed 's/\[\[/[ [ /g; s/,/ ,\n/g' small.json >spread.json
flatten spread.json >spread.flat
cmp small.flat spread.flat || fail "the test reads its own file wrongly"
run out train --data spread.json --epochs 1 --hidden 8 --quiet --save c.st --cell gru
cmp a.st c.st || fail "blanks in the file matter"
printf '{"test":[[[60,60,-1],[],[61]]],"train":[[[21],[108]],[[],[]]],"valid":[[[-1],[60]]]}' >odd.json
run out train --data odd.json --epochs 2 --hidden 4 --quiet --save odd.st
grep -q '^  train      2 songs,       2 frames to foretell, the longest song has 2$' out || fail "the odd file: $(cat out)"

# ---- Samples: picture, table and MIDI file tell the same -----------------------------------------

run out sample --model net.st --data small.json --song 2 --prime 9 --length 30 --csv roll.csv --speed 120 --temperature 0.6
[ "$(wc -l <roll.csv)" = 40 ] || fail "$(wc -l <roll.csv) lines of frames"
awk '$1 == "test" && $2 == 2 && $3 <= 9 { printf "%d,given,", $3; for (i = 4; i <= NF; i++) printf "%s%s", $i, i < NF ? " " : "\n" }' small.flat >want
sed -n 2,10p roll.csv >got
cmp want got || fail "the given frames are not those of the song"
[ "$(grep -c ,drawn, roll.csv)" = 30 ] || fail "drawn frames"
awk 'length > 79 { exit 1 }' out || fail "80 columns"
ascii out || fail "a pipe gets more than ASCII"
[ "$(grep -c "^[A-G#0-9 ]* .*[.':]" out)" -gt 3 ] || fail "the roll"
draws '▄▀█' 'sample --model net.st --data small.json --svg none --midi none --csv none'

# Read byte by byte: header, tempo, organ, every key that goes down and comes up, the end.
od -An -v -tu1 music.mid | tr -s ' ' '\n' | sed '/^$/d' | awk '
    function number(n,   v) { for (v = 0; n > 0; n--) v = 256 * v + byte[++at]; return v }
    function ticks(   v) { v = 0; do { v = 128 * v + byte[++at] % 128 } while (byte[at] > 127); return v }
    { byte[NR] = $1 }
    END {
        if (number(4) != 1297377380 || number(4) != 6 || number(2) != 0 || number(2) != 1) { print "header"; exit 1 }
        quarter = number(2)
        if (number(4) != 1297379947) { print "track"; exit 1 }
        if (number(4) != NR - at) { print "length of the track"; exit 1 }
        while (at < NR) {
            t += ticks(); e = byte[++at]
            if (e == 255) {
                kind = byte[++at]; n = byte[++at]
                if (kind == 81) { if (n != 3 || number(3) != 500000) { print "tempo"; exit 1 } tempo = 1 }
                else if (kind == 47) { ended = n == 0 && at == NR; last = t }
                else { print "event " kind; exit 1 }
            } else if (e == 192) { if (byte[++at] != 19) { print "program"; exit 1 } program = 1 }
            else if (e == 144 || e == 128) {
                key = byte[++at]; velocity = byte[++at]
                if (t % quarter || (e == 144) == (key in on)) { print "key " key " at " t; exit 1 }
                if (e == 144 && !velocity) { print "silent"; exit 1 }
                if (e == 144) on[key] = t
                else { for (i = on[key] / quarter; i < t / quarter; i++) down[i, key] = 1; delete on[key] }
            } else { print "byte " e; exit 1 }
        }
        for (key in on) { print "hangs: " key; exit 1 }
        if (!ended || !tempo || !program) { print "incomplete"; exit 1 }
        for (i = 0; i < last / quarter; i++) {
            line = ""
            for (key = 21; key <= 108; key++) if ((i, key) in down) line = line (line == "" ? "" : " ") key
            print line
        }
    }' >got || fail "the MIDI file: $(cat got)"
tail -n +2 roll.csv | cut -d, -f3 >want
cmp want got || fail "the MIDI file and the frames differ"
bars roll.csv music.svg
dark music.svg
well_formed music.svg

few="sample --model net.st --data small.json --svg none --midi none --quiet"
run out $few --csv x.csv
run out $few --csv y.csv
cmp x.csv y.csv || fail "the same seed draws others"
run out $few --csv z.csv --seed 2
cmp -s x.csv z.csv && fail "another seed draws the same"
run out $few --prime 1000000 --length 0 --csv whole.csv
[ "$(wc -l <whole.csv)" = "$(awk '$1 == "test" && $2 == 1 { n = $3 } END { print n + 1 }' small.flat)" ] || fail "a whole song"
# At a low temperature a key is down when it is likelier down than not: seeds do not matter.
run out $few --temperature 0.01 --prime 8 --length 1 --csv cold.csv
run out $few --temperature 0.01 --prime 8 --length 1 --csv colder.csv --seed 9
cmp cold.csv colder.csv || fail "the cold is not certain"
exit $failed
