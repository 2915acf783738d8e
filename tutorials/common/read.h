/* read.h -- a file, whole, in memory. */
#ifndef READ_H
#define READ_H

#include <stddef.h>

/* Its bytes and, behind them, a 0 that *n does not count; the caller frees them. Dies with a sentence
 * when the file cannot be read or is larger than 1 GB. */
char *file_read(const char *path, size_t *n);

/* Where a file of tutorials/data lies: where the build found it, or, when the program was moved,
 * below the present folder. The caller frees it. */
char *file_bundled(const char *name);

#endif
