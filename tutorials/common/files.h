/* files.h -- output files, checked before the work whose result they are to hold.
 *
 * "none" stands for no file. All of them die with a sentence that says what cannot be written,
 * and why. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stdio.h>

bool file_wanted(const char *path);

/* Can it be written? What is there already stays as it is. */
void file_check(const char *path);

/* The same of several, ended by NULL, no two of which may be the same file. */
void file_check_all(const char *const *paths);

FILE *file_open(const char *path);
void file_close(FILE *f, const char *path);

/* A text, whole. */
void file_write(const char *path, const char *text);

/* "  wrote  /whole/path"; nothing for "none". */
void file_tell(const char *path);

/* Standard output, at the end of a program: all of it must have been written. */
void file_end_stdout(void);

#endif
