/* say.c -- one sentence, then the end.
 *
 * A program may do this; a library may not, which is why seqgrad posts its errors on the tape
 * and leaves the dying to its callers. Only the main thread says anything: other threads leave
 * their mistakes on their tapes, which keep the first one until it is asked for. The build tells
 * the program's name as PROGRAM. */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void __attribute__((format(printf, 1, 0))) sentence(const char *fmt, va_list args)
{
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, fmt, args);
}

void die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sentence(fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_PROBLEM);
}

void die_usage(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sentence(fmt, args);
    va_end(args);
    fputs(" (see --help)\n", stderr);
    exit(EXIT_USAGE);
}

void *take(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) die("out of memory");
    return p;
}
