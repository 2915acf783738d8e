#!/bin/sh
# layering.sh ROOT -- which room may know which, read off the #include lines:
#
#     tests    tutorials (public headers only: <seqgrad/seqgrad.h>, their own folder and common, libc)
#        cells     graph     siblings: they never include each other
#            ops
#            core            knows no op
#            libc            nothing else, ever
#
# Public headers include public headers only, relative to themselves; nobody in the library
# includes the umbrella seqgrad.h.
set -eu
cd "$1"

files=$(find core ops cells graph tutorials -name '*.[ch]' -o -name '*.def' | sort)
[ -n "$files" ] || { echo "no sources under $1"; exit 1; }

awk '
BEGIN {
    allowed["core"] = " core "
    allowed["ops"] = " ops core "
    allowed["cells"] = " cells ops core "
    allowed["graph"] = " graph ops core "
    n = split("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp " \
              "signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn " \
              "string tgmath time uchar wchar wctype " \
              "dirent fcntl langinfo pthread strings sys/file sys/ioctl sys/stat sys/types unistd", names, " ")
    for (i = 1; i <= n; i++) libc[names[i] ".h"] = 1
}
function dirname(path) { return match(path, /.*\//) ? substr(path, 1, RLENGTH - 1) : "" }
function exists(path,    line, known) {
    known = (getline line < path) >= 0
    close(path)
    return known
}
function is_private(path) { return path ~ /_(impl|tmpl|kernels)\.h$/ || path ~ /\/kernels\// }
function is_public(path) { return path ~ /\.h$/ && !is_private(path) }
# "core/../ops/ops.h" -> "ops/ops.h"
function straighten(path) {
    while (match(path, /[^\/]+\/\.\.\//))
        path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    return path
}
function forbid(why) { printf "%s:%d: %s\n    %s\n", FILENAME, FNR, why, $0; bad = 1 }

function angle(name) {
    if (name in libc) return
    if (room != "tutorials") forbid("the library includes nothing but its own files and libc")
    else if (name != "seqgrad/seqgrad.h") forbid("a tutorial includes <seqgrad/seqgrad.h>, its own files and libc")
}
function quoted(name,    here, target, there) {
    here = dirname(FILENAME)
    target = straighten(here "/" name)
    if (!exists(target)) {
        if (is_public(FILENAME) && room != "tutorials")
            forbid("a public header includes relative to itself")
        target = name
        if (!exists(target)) { forbid("no such file"); return }
    }
    there = dirname(target)
    if (room == "tutorials") {
        if (there != here && there != "tutorials/common") forbid("a tutorial includes <seqgrad/seqgrad.h>, its own files and libc")
        return
    }
    sub(/\/.*/, "", there)
    if (index(allowed[room], " " there " ") == 0)
        forbid(room " must not know " (there == "" ? "the umbrella" : there))
    else if (is_public(FILENAME) && is_private(target))
        forbid("a public header must not need a private one")
    else if (room == "cells" && (there == "ops" || target ~ /\/kernels\//) && is_private(target))
        forbid("cells are written with public ops only")
}

{ room = FILENAME; sub(/\/.*/, "", room) }
# A file name held by a macro for a later #include counts where it is defined.
/^[ \t]*#[ \t]*include[ \t]*[<"]/ || /^[ \t]*#[ \t]*define[ \t]+[A-Za-z0-9_]+[ \t]+"[^"]*\.(h|def)"/ {
    includes++
    name = $0
    sub(/^[^<"]*[<"]/, "", name)
    sub(/[>"].*/, "", name)
    if ($0 ~ /^[^"]*</) angle(name); else quoted(name)
}
END {
    printf "%d includes read\n", includes
    exit bad || includes == 0
}' $files
