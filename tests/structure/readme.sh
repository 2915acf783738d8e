#!/bin/sh
# The programs of README.md are compiled, run, and must succeed.
#
# A code block under the comment  <!-- file: NAME -->  belongs to the file NAME; blocks of one
# name follow each other in it. NAME.c is compiled with warnings as errors and run; where the
# README also shows NAME.out, that is exactly what it must print.
#
#   readme.sh README INCLUDE-FOLDER LIBRARY SCRATCH-FOLDER [C compiler [flags ...]]
set -eu
readme=$1 include=$2 library=$3 scratch=$4
shift 4
[ $# -gt 0 ] || set -- cc
rm -rf "$scratch"
mkdir -p "$scratch"
awk -v dir="$scratch" '
    /^<!-- file: .* -->$/ { name = $3; next }
    /^```/                { if (inside) { inside = 0; name = "" } else if (name != "") inside = 1; next }
    inside                { print > (dir "/" name) }' "$readme"
count=0
for source in "$scratch"/*.c; do
    [ -e "$source" ] || break
    name=$(basename "$source" .c)
    "$@" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$include" "$source" "$library" -lm -lpthread -o "$scratch/$name"
    "$scratch/$name" >"$scratch/$name.printed" || { cat "$scratch/$name.printed"; echo "$name failed"; exit 1; }
    if [ -e "$scratch/$name.out" ]; then diff "$scratch/$name.out" "$scratch/$name.printed"; fi
    count=$((count + 1))
done
echo "$count programs of the README compiled and run"
[ "$count" -ge 2 ]
