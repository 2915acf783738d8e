/* output.c -- a minute of training must not be lost to a folder that does not exist.
 *
 * An output that is not there yet is made and removed again, the only test that answers for
 * every file system; one that is there is asked for permission and left as it is. */
#define _XOPEN_SOURCE 700 /* realpath, access, stat */

#include "output.h"

#include "../common/say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool output_wanted(const char *path) { return strcmp(path, "none") != 0; }

static bool same_file(const struct stat *a, const char *path)
{
    struct stat b;
    return !stat(path, &b) && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

void output_check(const char *path, const char *input)
{
    struct stat s;
    if (!stat(path, &s)) {
        if (S_ISDIR(s.st_mode)) die("cannot write %s: it is a directory", path);
        if (same_file(&s, input)) die("cannot write %s: it is the file with the data", path);
        if (access(path, W_OK)) die("cannot write %s: %s", path, strerror(errno));
        return;
    }
    FILE *f = fopen(path, "a");
    if (!f) die("cannot write %s: %s", path, strerror(errno));
    fclose(f);
    remove(path);
}

static void check_pair(const output *a, const output *b)
{
    struct stat s;
    bool same = !strcmp(a->path, b->path) ||
                (!stat(a->path, &s) && S_ISREG(s.st_mode) && same_file(&s, b->path));
    if (same) die_usage("%s and %s name the same file, %s", a->option, b->option, b->path);
}

void output_check_distinct(const output *o, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++)
            if (o[i].path && o[k].path) check_pair(&o[i], &o[k]);
}

char *output_beside(const char *path, const char *suffix)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path,
               *dot = strrchr(name, '.');
    size_t stem = dot && dot > name ? (size_t)(dot - path) : strlen(path);
    char *beside = take(stem + strlen(suffix) + 1, 1);
    memcpy(beside, path, stem);
    return strcat(beside, suffix);
}

FILE *output_open(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) die("cannot write %s: %s", path, strerror(errno));
    return f;
}

void output_close(FILE *f, const char *path)
{
    bool failed = ferror(f);
    if (fclose(f) || failed) die("cannot write all of %s: %s", path, strerror(errno));
}

void output_tell(const char *path)
{
    char *whole = realpath(path, NULL);
    printf("  wrote  %s\n", whole ? whole : path);
    free(whole);
}
