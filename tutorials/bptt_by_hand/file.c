/* file.c -- opened for appending to see whether it may be written, then written in one go. */
#include "file.h"

#include "../common/say.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void file_check(const char *path)
{
    FILE *there = fopen(path, "r"), *f;
    if (there) fclose(there);
    f = fopen(path, "a");
    if (!f) die("cannot write %s: %s", path, strerror(errno));
    fclose(f);
    if (!there) remove(path);
}

void file_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (!f) die("cannot write %s: %s", path, strerror(errno));
    bool failed = fputs(text, f) < 0;
    if (fclose(f) || failed) die("cannot write all of %s: %s", path, strerror(errno));
}
