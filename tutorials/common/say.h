/* say.h -- how a tutorial fails: one clear sentence on stderr, and an exit status.
 *
 * 1 is a problem with data, files or memory; 2 is a command line that makes no sense. */
#ifndef SAY_H
#define SAY_H

#include <stddef.h>

enum { EXIT_PROBLEM = 1, EXIT_USAGE = 2 };

/* "program: <sentence>" and exit with 1. */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same with "(see --help)" and exit status 2. */
_Noreturn void die_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* calloc that cannot fail: dies with a sentence instead. */
void *take(size_t n, size_t size);

#endif
