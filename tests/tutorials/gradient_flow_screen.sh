#!/bin/sh
# gradient_flow --terminal: blocks where a terminal shows them, ASCII everywhere else and for who asks.
# A terminal is made by script(1); without it that half is left out, and the test says so.
#
#     sh gradient_flow_screen.sh PROGRAM SCRATCH-DIR
program=$1
mkdir -p "$2" && cd "$2" || exit 1
rm -rf ./*
export PROGRAM="$program" RUN='--cell lstm --hidden 4 --steps 30 --updates 2 --csv none --html none'

failed=0
fail() { echo "FAILED: $1"; failed=1; }
ascii() { LC_ALL=C awk '/[^ -~]/ { exit 1 }' "$1"; }

LC_ALL=C.UTF-8 "$program" $RUN --terminal >piped 2>err || { cat err; fail "piped"; }
ascii piped || fail "a pipe gets more than ASCII"
for panel in states units reach weights gates jacobian; do
    grep -q "^$panel\$" piped || fail "no $panel"
done
grep -q '^LSTM, trained: gradients through time$' piped || fail "no heading"
awk '/^SUNACTIVITY: every/ { next } length > 80 { print; exit 1 }' piped || fail "80 columns"
grep -q '#' piped || fail "no bars"
"$program" $RUN >without 2>err || fail "without"
grep -q '^states$' without && fail "a report that nobody asked for"

if ! SHELL=/bin/sh script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    echo "left out: no script(1) to make a terminal"
    exit $failed
fi
# FILE LOCALE TERM OPTIONS...: what a terminal is sent.
terminal() {
    file=$1 locale=$2 term=$3
    shift 3
    MORE="$*" LC_ALL=$locale TERM=$term SHELL=/bin/sh script -qec '"$PROGRAM" $RUN $MORE --quiet' /dev/null \
        </dev/null >"$file.raw" || fail "$file"
    tr -d '\r' <"$file.raw" >"$file"
}
unset NO_COLOR
escape=$(printf '\033')
terminal plain C.UTF-8 dumb --terminal
grep -q '█' plain && grep -q '▒' plain || fail "a terminal with UTF-8 gets no blocks"
grep -q "$escape" plain && fail "colours in a dumb terminal"
terminal colour C.UTF-8 xterm-256color --terminal
grep -q "$escape\[38;5;" colour || fail "no colours"
sed "s/$escape\[[0-9;]*m//g" colour | cmp - plain || fail "colours change what is told"
NO_COLOR=1 terminal objected C.UTF-8 xterm-256color --terminal
cmp objected plain || fail "NO_COLOR"
terminal asked C.UTF-8 xterm-256color --terminal --ascii
ascii asked || fail "--ascii"
terminal foreign C xterm-256color --terminal
ascii foreign || fail "a terminal without UTF-8"
cmp asked foreign || fail "--ascii and no UTF-8 differ"
tail -n +2 asked | grep -v '^  LSTM  ' >a
sed '/^$/d' piped | sed -n '/^states$/,$p' >b
sed '/^$/d' a | sed -n '/^states$/,$p' | cmp - b || fail "a terminal's ASCII is not a pipe's"
MORE= LC_ALL=C.UTF-8 TERM=dumb SHELL=/bin/sh script -qec '"$PROGRAM" $RUN' /dev/null </dev/null >bars || fail "bars"
grep -q '[▏▎▍▌▋▊▉█]' bars || fail "bars of blocks"
exit $failed
