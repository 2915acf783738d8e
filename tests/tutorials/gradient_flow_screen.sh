#!/bin/sh
# gradient_flow --terminal: blocks where a terminal shows them, ASCII everywhere else and for who asks.
# A terminal is made by script(1); without it that half is left out, and the test says so.
. "$(dirname "$0")/../support/tutorial.sh"
options='--cell lstm --hidden 4 --steps 30 --updates 2 --csv none --html none'

LC_ALL=C.UTF-8
run piped $options --terminal
LC_ALL=C
ascii piped || fail "a pipe gets more than ASCII"
for panel in states units reach weights gates jacobian; do
    grep -q "^$panel\$" piped || fail "no $panel"
done
grep -q '^LSTM, trained: gradients through time$' piped || fail "no heading"
awk '/^SUNACTIVITY: every/ { next } length > 80 { print; exit 1 }' piped || fail "80 columns"
grep -q '#' piped || fail "no bars"
run without $options
grep -q '^states$' without && fail "a report that nobody asked for"

if ! has_terminal; then
    echo "left out: no script(1) to make a terminal"
    exit $failed
fi
# shown FILE SETTINGS OPTIONS: what a terminal of these settings is sent
shown() {
    on_terminal "$1.raw" "$2 \"\$program\" $options --terminal --quiet $3"
    tr -d '\r' <"$1.raw" >"$1"
}
unset NO_COLOR
escape=$(printf '\033')
shown plain TERM=dumb
grep -q '█' plain && grep -q '▒' plain || fail "a terminal with UTF-8 gets no blocks"
grep -q "$escape" plain && fail "colours in a dumb terminal"
shown colour TERM=xterm-256color
grep -q "$escape\[38;5;" colour || fail "no colours"
sed "s/$escape\[[0-9;]*m//g" colour | cmp - plain || fail "colours change what is told"
shown objected 'NO_COLOR=1 TERM=xterm-256color'
cmp objected plain || fail "NO_COLOR"
shown asked TERM=xterm-256color --ascii
ascii asked || fail "--ascii"
shown foreign 'LC_ALL=C TERM=xterm-256color'
ascii foreign || fail "a terminal without UTF-8"
cmp asked foreign || fail "--ascii and no UTF-8 differ"
tail -n +2 asked | grep -v '^  LSTM  ' >a
sed '/^$/d' piped | sed -n '/^states$/,$p' >b
sed '/^$/d' a | sed -n '/^states$/,$p' | cmp - b || fail "a terminal's ASCII is not a pipe's"
on_terminal bars "TERM=dumb \"\$program\" $options"
grep -q '[▏▎▍▌▋▊▉█]' bars || fail "bars of blocks"
exit $failed
