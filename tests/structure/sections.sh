#!/bin/sh
# sections.sh ARCHIVE SIZE NM -- no mutable static data: N threads are N tapes. The sections .data,
# .bss and their thread-local sisters are empty in every object, and no symbol is common. Tables
# of addresses lie in .data.rel.ro, which the loader makes read-only, and are fine.
set -eu
archive=$1 size=$2 nm=$3

"$size" -A "$archive" | awk '
/:$/ { object = $1 }
$1 ~ /^\./ { seen++ }
$1 ~ /^\.(data|bss|tdata|tbss|sdata|sbss|ldata|lbss)(\.|$)/ && $1 !~ /^\.data\.rel\.ro/ {
    if ($2 > 0) { printf "%s: %d bytes in %s\n", object, $2, $1; bad = 1 }
}
END { printf "%d sections looked at\n", seen; exit bad || seen == 0 }'

if "$nm" -A "$archive" | grep ' C '; then
    echo "common symbols in $archive"
    exit 1
fi
