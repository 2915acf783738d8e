#!/bin/sh
# symbols.sh SHARED ARCHIVE NM ROOT -- what the library gives and what it takes.
#
# Gives: every symbol the shared library exports begins with sq_. Inside the archive every
# external name begins with sq_ or sqi_, so that a static link cannot clash with a user's names.
# Takes: memory through malloc, calloc, realloc, aligned_alloc and free alone (the tests wrap
# these); it never prints, exits or aborts. snprintf writes to memory and is fine; assertions may
# abort through their own function. Files are touched by core/io_load.c and core/io_save.c alone,
# through the system's calls: stdio is forbidden there as everywhere.
set -eu
shared=$1 archive=$2 nm=$3

exported=$("$nm" -D --defined-only "$shared" | awk '{ print $NF }' | sed 's/@.*//' | sort -u)
[ -n "$exported" ] || { echo "$shared exports nothing"; exit 1; }
bad=$(echo "$exported" | grep -v '^sq_' || true)
[ -z "$bad" ] || { echo "exported without sq_ in front:"; echo "$bad"; exit 1; }

bad=$("$nm" -A -g --defined-only "$archive" | awk '$NF !~ /^sqi?_/ && NF >= 3' | grep -v '__odr_asan' || true)
[ -z "$bad" ] || { echo "external names without sq_ or sqi_ in front:"; echo "$bad"; exit 1; }

forbidden='abort|exit|_exit|_Exit|quick_exit|raise|printf|fprintf|vprintf|vfprintf|dprintf|puts|fputs|'
forbidden=$forbidden'putchar|putc|fputc|fwrite|perror|stdout|stderr|stdin|sprintf|vsprintf|gets|'
forbidden=$forbidden'posix_memalign|memalign|valloc|pvalloc|reallocarray|strdup|strndup|asprintf|vasprintf|'
forbidden=$forbidden'mmap|sbrk|brk|rand|srand|random|drand48|strtok|setlocale|time|clock'
bad=$("$nm" -A -u "$archive" | awk '{ print $1, $NF }' |
      grep -E " (__)?($forbidden)(_chk)?(@.*)?\$" || true)
[ -z "$bad" ] || { echo "the library calls what it must not:"; echo "$bad"; exit 1; }

files='open|openat|creat|read|pread|readv|write|pwrite|writev|lseek|close|fsync|fdatasync|ftruncate|'
files=$files'truncate|rename|renameat|unlink|unlinkat|remove|link|symlink|mkdir|rmdir|stat|fstat|lstat|'
files=$files'fopen|fdopen|freopen|fclose|fread|fscanf|fgets|fgetc|getc|tmpfile|mkstemp|mkdtemp|opendir|fstatat|flock'
bad=$("$nm" -A -u "$archive" | awk '{ print $1, $NF }' |
      grep -E " (__)?($files)(64)?(_2|_chk)?(@.*)?\$" | grep -vE ':io_(file|replace)\.[^:]*: ' || true)
[ -z "$bad" ] || { echo "only core/io_file.c and core/io_replace.c may touch files:"; echo "$bad"; exit 1; }
streams='fopen|fdopen|freopen|fclose|fread|fscanf|fgets|fgetc|getc|tmpfile'
bad=$("$nm" -A -u "$archive" | awk '{ print $1, $NF }' | grep -E " ($streams)(64)?(@.*)?\$" || true)
[ -z "$bad" ] || { echo "the library uses stdio's files:"; echo "$bad"; exit 1; }

echo "$(echo "$exported" | wc -l) symbols exported"
