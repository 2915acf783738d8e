/* read.c -- room that doubles until a file fits, so that a pipe is read like a file. */
#define _POSIX_C_SOURCE 200809L /* access */

#include "read.h"

#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t largest = (size_t)1 << 30;

char *file_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) die("cannot read %s: %s", path, strerror(errno));
    size_t room = 1 << 16, got;
    char *bytes = take(room, 1);
    *n = 0;
    while ((got = fread(bytes + *n, 1, room - 1 - *n, f)) > 0) {
        *n += got;
        if (*n < room - 1) continue;
        if (*n >= largest) die("%s is too large: more than 1 GB", path);
        char *more = realloc(bytes, room *= 2);
        if (!more) die("out of memory for %s", path);
        bytes = more;
    }
    if (ferror(f)) die("cannot read %s: %s", path, strerror(errno));
    fclose(f);
    bytes[*n] = 0;
    return bytes;
}

static char *joined(const char *folder, const char *name)
{
    size_t room = strlen(folder) + strlen(name) + 2;
    char *path = take(room, 1);
    snprintf(path, room, "%s/%s", folder, name);
    return path;
}

char *file_bundled(const char *name)
{
    char *built = joined(SEQGRAD_DATA, name);
    if (!access(built, R_OK)) return built;
    free(built);
    return joined("tutorials/data", name);
}
