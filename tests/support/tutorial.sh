# tutorial.sh -- what the scripts of tests/tutorials share: each runs a tutorial small and checks what it says.
#
#     sh PROGRAM_topic.sh PROGRAM SCRATCH-FOLDER
#
# A script begins with
#     . "$(dirname "$0")/../support/tutorial.sh"
# which empties the scratch folder and goes there; it ends with `exit $failed`. A check that fails says so
# and the next one follows. ctest takes status 77 for "skipped".
#
#     $program   the tutorial; exported, for command lines on a terminal
#     $tutorial  its name, which it begins its complaints with
#     $tests     the folder tests
#     $outputs   what a refusal must not leave, file names and patterns; a script sets it
program=$1
tutorial=${program##*/}
tests=$(cd "$(dirname "$0")/.." && pwd) || exit 1
outputs=
failed=0
LC_ALL=C
export program LC_ALL
mkdir -p "$2" && cd "$2" || exit 1
rm -rf ./*

# ---- Checks ----------------------------------------------------------------------------------

# fail WHAT: says so; the script goes on and ends with status 1
fail() { echo "FAILED: $1"; failed=1; }

# skip WHY: ends the script, which counts as neither passed nor failed
skip() { echo "skipped: $1"; exit 77; }

# skip_sanitized: for scripts that train too long for an instrumented build
skip_sanitized() { [ -z "$SQ_SANITIZED" ] || skip "under sanitizers it trains for minutes"; }

# check WHAT COMMAND...: the command must succeed
check() {
    what=$1
    shift
    "$@" || fail "$what"
}

# ---- Runs that succeed -----------------------------------------------------------------------

# run FILE ARGUMENTS...: stdout into FILE, stderr into err, status 0
run() {
    into=$1
    shift
    "$program" "$@" >"$into" 2>err || { fail "$*: status $?"; cat err; }
}

# run_silent FILE ARGUMENTS...: the same, and nothing on stderr
run_silent() {
    run "$@"
    [ ! -s err ] || { fail "$*: complains"; cat err; }
}

# tells_of OPTIONS...: --help, left in out, has a line for each
tells_of() {
    run out --help
    for option; do
        grep -q -- "^  --$option " out || fail "--help is silent on --$option"
    done
}

# ---- Runs that do not ------------------------------------------------------------------------

# complains STATUS SENTENCE ARGUMENTS...: exactly this one line on stderr, and none of $outputs; stdout into out
complains() {
    want=$1 sentence="$tutorial: $2"
    shift 2
    "$program" "$@" >out 2>err
    status=$?
    [ $status = "$want" ] || fail "$*: status $status, not $want"
    [ "$(cat err)" = "$sentence" ] || { fail "$*"; echo "   said: $(cat err)"; echo "   not:  $sentence"; }
    for left in $outputs; do
        [ ! -e "$left" ] || { fail "$*: wrote $left"; rm "$left"; }
    done
}

# refuses STATUS SENTENCE ARGUMENTS...: the same, and nothing on stdout
refuses() {
    complains "$@"
    shift 2
    [ ! -s out ] || fail "$*: printed before it refused"
}

# usage SENTENCE ARGUMENTS...: a command line that is refused, with status 2 and a word about --help
usage() {
    sentence=$1
    shift
    refuses 2 "$sentence (see --help)" "$@"
}

# breaks OUT PATTERN ARGUMENTS...: stdout into OUT, status 1, and PATTERN on stderr
breaks() {
    into=$1 pattern=$2
    shift 2
    "$program" "$@" >"$into" 2>err
    status=$?
    [ $status = 1 ] && grep -q -- "$pattern" err || { fail "$*: status $status; not: $pattern"; cat err; }
}

# unreadable FILE ARGUMENTS...: status 1, nothing on stdout, and one line on stderr, which has FILE in it
unreadable() {
    bad=$1
    shift
    breaks out "^$tutorial: .*$bad" "$@"
    [ "$(wc -l <err)" = 1 ] && [ ! -s out ] || { fail "$*: more than one line, or printed"; cat err out; }
}

# full_stdout ARGUMENTS...: a full disk behind stdout is told of
full_stdout() { [ ! -w /dev/full ] || breaks /dev/full 'cannot write to standard output' "$@"; }

# full_file ARGUMENTS...: and one behind a file, /dev/full among the arguments
full_file() { [ ! -w /dev/full ] || breaks /dev/null 'cannot write all of /dev/full' "$@"; }

# ---- What was printed and drawn --------------------------------------------------------------

# ascii FILE: it has nothing else
ascii() { LC_ALL=C awk '/[^ -~]/ { exit 1 }' "$1"; }

# narrow FILE: no line has more than 79 columns, but those that tell where a file was written
narrow() { awk 'length > 79 && !/^ *wrote/ { print; bad = 1 } END { exit bad }' "$1" || fail "$1: 80 columns"; }

# well_formed FILE...: says xmllint, where it is installed
well_formed() {
    if command -v xmllint >/dev/null; then xmllint --noout "$@" || fail "not well-formed: $*"; fi
}

# dark FILE: a picture has colours for a dark page
dark() { grep -q 'prefers-color-scheme:dark' "$1" || fail "$1 is not dark where that is wanted"; }

# has_terminal: script(1) can make one here
has_terminal() { SHELL=/bin/sh script -qec true /dev/null </dev/null >/dev/null 2>&1; }

# on_terminal FILE COMMAND: what a line of shell, "$program" say, sends to a terminal with UTF-8
on_terminal() {
    LC_ALL=C.UTF-8 SHELL=/bin/sh script -qec "$2" /dev/null </dev/null >"$1" || fail "on a terminal: $2"
}

# draws SIGNS ARGUMENTS: on a terminal, arguments as a line of shell, it draws with the signs, but not with --ascii
draws() {
    has_terminal || return 0
    on_terminal terminal "\"\$program\" $2"
    grep -q "[$1]" terminal || fail "a terminal gets no blocks"
    on_terminal terminal "\"\$program\" $2 --ascii"
    ! grep -q "[$1]" terminal || fail "--ascii"
}
