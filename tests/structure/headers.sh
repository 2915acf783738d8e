#!/bin/sh
# headers.sh INCLUDE CC CXX -- every public header compiles alone, as C11 and, when CXX is not
# empty, as C++11, without a warning; twice in one file, and through the installed spelling.
set -u
include=$1 cc=$2 cxx=$3
strict="-Wall -Wextra -Wpedantic -Wshadow -Wundef -Werror -fsyntax-only"
bad=0 n=0

cd "$include" || exit 1
for header in $(find -L seqgrad -name '*.h' | sort); do
    n=$((n + 1))
    source="#include <$header>
#include <$header>
extern int nothing;"
    printf '%s\n' "$source" | "$cc" -std=c11 -x c $strict -I "$include" - ||
        { echo "$header does not stand alone as C11"; bad=1; }
    [ -z "$cxx" ] || printf '%s\n' "$source" | "$cxx" -std=c++11 -x c++ $strict -I "$include" - ||
        { echo "$header does not stand alone as C++11"; bad=1; }
done
[ -n "$cxx" ] || echo "no C++ compiler here: C11 only"
echo "$n headers"
[ "$n" -gt 0 ] && exit $bad
