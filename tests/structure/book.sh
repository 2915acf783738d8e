#!/bin/sh
# book.sh ROOT PROGRAMS SCRATCH -- what README.md and tutorials/README.md claim is true: book.awk looks up
# fragments, links, files, commands and flags; here what a program is said to print is compared.
#
# A block under  <!-- prints: build/demo/tutorials/NAME ... -->  is exactly what NAME in PROGRAMS prints.
set -eu
root=$1 programs=$2 said=$3
here=$(cd "$(dirname "$0")" && pwd)
cd "$root"
bad=0
awk -v root=. -v programs="$programs" -f "$here/book.awk" README.md tutorials/README.md || bad=1

# The block of each command, beside what the command prints.
for readme in README.md tutorials/README.md; do
    sed -n 's/^<!-- prints: build\/[a-z]*\/tutorials\/\(.*\) -->$/\1/p' "$readme" | sort -u | while read -r command; do
        awk -v command="$command" '
            /^<!-- prints: / { mine = index($0, "/tutorials/" command " -->") }
            /^```/ && mine   { if (inside) mine = inside = 0; else inside = 1; next }
            inside           { print }' "$readme" >"$said"
        # shellcheck disable=SC2086
        "$programs/"$command | diff "$said" - ||
            { echo "$readme: $command prints something else"; exit 1; }
        echo "$command prints what the book says"
    done || bad=1
done
exit $bad
