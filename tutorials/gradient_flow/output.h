/* output.h -- files that are checked before the work and written after it.
 *
 *     output_check(path, data);   ... the work ...   f = output_open(path);
 *
 * Every function dies with a sentence that names the file. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

/* False for the name "none", which means: no such file. */
bool output_wanted(const char *path);

/* Dies unless path can be written and is not the file that is read. Leaves no trace. */
void output_check(const char *path, const char *input);

/* A file that is to be written, and the option that says so; path NULL: none. */
typedef struct output {
    const char *option;
    char *path;
} output;

/* "folder/name" + suffix: the file beside `path`, which may end in a dot and an extension. The name is
 * the caller's. */
char *output_beside(const char *path, const char *suffix);

/* Dies when two of n outputs are one file. */
void output_check_distinct(const output *o, int n);

FILE *output_open(const char *path);
/* Closes; dies when anything could not be written. */
void output_close(FILE *f, const char *path);

/* "  wrote  /whole/path/of/the.file" */
void output_tell(const char *path);

#endif
