/* files.c -- a minute of work must not be lost to a folder that does not exist.
 *
 * An output that is not there yet is made and removed again, the only test that answers for
 * every file system; one that is there is asked for permission and left as it is. */
#define _XOPEN_SOURCE 700 /* realpath, access, stat */

#include "files.h"

#include "say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_wanted(const char *path) { return strcmp(path, "none") != 0; }

void file_check(const char *path)
{
    struct stat s;
    if (!file_wanted(path)) return;
    if (!stat(path, &s)) {
        if (S_ISDIR(s.st_mode)) die("cannot write %s: it is a directory", path);
        if (access(path, W_OK)) die("cannot write %s: %s", path, strerror(errno));
        return;
    }
    FILE *f = fopen(path, "a");
    if (!f) die("cannot write %s: %s", path, strerror(errno));
    fclose(f);
    remove(path);
}

static bool same_file(const char *a, const char *b)
{
    struct stat s, t;
    if (!strcmp(a, b)) return true;
    return !stat(a, &s) && !stat(b, &t) && S_ISREG(s.st_mode) && s.st_dev == t.st_dev &&
           s.st_ino == t.st_ino;
}

void file_check_all(const char *const *paths)
{
    for (int i = 0; paths[i]; i++)
        for (int k = 0; k < i; k++)
            if (file_wanted(paths[i]) && file_wanted(paths[k]) && same_file(paths[i], paths[k]))
                die_usage("two outputs go to the same file, %s", paths[i]);
    for (int i = 0; paths[i]; i++) file_check(paths[i]);
}

FILE *file_open(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) die("cannot write %s: %s", path, strerror(errno));
    return f;
}

void file_close(FILE *f, const char *path)
{
    bool failed = ferror(f);
    if (fclose(f) || failed) die("cannot write all of %s: %s", path, strerror(errno));
}

void file_write(const char *path, const char *text)
{
    FILE *f = file_open(path);
    fputs(text, f);
    file_close(f, path);
}

void file_tell(const char *path)
{
    if (!file_wanted(path)) return;
    char *whole = realpath(path, NULL);
    printf("  wrote  %s\n", whole ? whole : path);
    free(whole);
}

void file_end_stdout(void)
{
    if (fflush(stdout) || ferror(stdout))
        die("cannot write to standard output: %s", strerror(errno));
}
