/* io_replace.c -- files that are always wholly the old or wholly the new.
 *
 *     temporary beside the target, locked -> write -> fsync -> rename over the target -> close
 *     -> fsync of the directory
 *
 * A crash leaves its temporary behind. Whether its maker still lives is asked of the lock, which
 * ends with the process that holds it, on this host or another: a process number can have been
 * given anew, and means nothing on another machine or in another container. The invariant:
 * whoever renames or removes a temporary holds its lock, and has looked, holding it, that the
 * name still belongs to what is locked. Where a file system has no locks, nothing is removed. */
#define _POSIX_C_SOURCE 200809L /* open, write, fsync, fdopendir */
#include "core/io_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_TRIES = 1000, MODE = 0666 /* less the umask */ };

static const char ending[] = ".tmp";

/* ---- Sentences --------------------------------------------------------------------------- */

bool sqi_replace_refuse(const sqi_replace *r, sq_status status, const char *why)
{
    char shown[SQI_SHOWN];
    sqi_error_post(r->error, status, "save \"%s\": %s", sqi_shown(r->path, shown), why);
    return false;
}

/* By what the system said last. */
static bool refuse_errno(const sqi_replace *r, const char *what)
{
    char reason[SQI_REASON], why[SQI_REASON + 64];
    (void)sqi_reason(errno, reason);
    (void)snprintf(why, sizeof why, "%s: %s", what, reason);
    return sqi_replace_refuse(r, SQ_EFILE, why);
}

/* ---- What crashes left behind --------------------------------------------------------------- */

/* Room that holds every name; the temporary's own comes into it later. */
static const char *folder_of(const sqi_replace *r)
{
    char *slash = strrchr(strcpy(r->temporary, r->path), '/');
    if (!slash) (void)strcpy(r->temporary, ".");
    else slash[slash == r->temporary] = '\0';
    return r->temporary;
}

static const char *digits(const char *at)
{
    const char *from = at;
    while (*at >= '0' && *at <= '9') at++;
    return at > from ? at : NULL;
}

/* "base.PID-N.tmp" */
static bool is_temporary(const char *name, const char *base)
{
    size_t n = strlen(base);
    if (strncmp(name, base, n) != 0 || name[n] != '.') return false;
    const char *at = digits(name + n + 1);
    at = at && *at == '-' ? digits(at + 1) : NULL;
    return at && strcmp(at, ending) == 0;
}

/* The lock is free, and the name is that of the file locked. */
static bool is_ours_alone(int folder, const char *name, int fd)
{
    struct stat locked, named;
    return fstat(fd, &locked) == 0 && S_ISREG(locked.st_mode) &&
           flock(fd, LOCK_EX | LOCK_NB) == 0 &&
           fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == locked.st_ino && named.st_dev == locked.st_dev;
}

static void remove_if_dead(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return;
    if (is_ours_alone(folder, name, fd)) (void)unlinkat(folder, name, 0);
    (void)close(fd);
}

/* Before anything is written: what is left behind may be what fills the disk. */
static void remove_dead(const sqi_replace *r)
{
    const char *slash = strrchr(r->path, '/'), *base = slash ? slash + 1 : r->path;
    DIR *folder = opendir(folder_of(r));
    if (!folder) return;
    for (struct dirent *e; (e = readdir(folder)) != NULL;)
        if (is_temporary(e->d_name, base)) remove_if_dead(dirfd(folder), e->d_name);
    (void)closedir(folder);
}

/* ---- The exchange ------------------------------------------------------------------------ */

/* A device or a directory would be replaced by the rename, or fail it at the very end. */
static bool target_fits(const sqi_replace *r)
{
    struct stat there;
    if (stat(r->path, &there) != 0 || S_ISREG(there.st_mode)) return true;
    return sqi_replace_refuse(
        r, SQ_EFILE, S_ISDIR(there.st_mode) ? "is a directory" : "is not a regular file");
}

/* False when another process, taking the new file for one left behind, was faster: it holds the
 * lock, or has removed the name. */
static bool lock_new(int fd)
{
    struct stat is;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    return fstat(fd, &is) != 0 || is.st_nlink > 0;
}

/* A name that is taken is passed over. */
static bool open_temporary(sqi_replace *r, size_t room)
{
    for (int i = 0; r->fd < 0 && i < MOST_TRIES; i++) {
        (void)snprintf(r->temporary, room, "%s.%ld-%d%s", r->path, (long)getpid(), i, ending);
        do r->fd = open(r->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
        while (r->fd < 0 && errno == EINTR);
        if (r->fd < 0 && errno != EEXIST) break;
        if (r->fd >= 0 && !lock_new(r->fd)) {
            (void)close(r->fd);
            r->fd = -1;
        }
    }
    return r->fd >= 0 || refuse_errno(r, "cannot be written");
}

bool sqi_replace_begin(sqi_replace *r, sqi_error *error, const char *path)
{
    *r = (sqi_replace){ .error = error, .path = path, .fd = -1 };
    if (!path || !*path) {
        sqi_error_post(error, SQ_EVALUE, "save: there is no path");
        return false;
    }
    if (!target_fits(r)) return false;
    size_t room = strlen(path) + 48;
    r->temporary = malloc(room);
    if (!r->temporary) return sqi_replace_refuse(r, SQ_ENOMEM, "out of memory");
    remove_dead(r);
    return open_temporary(r, room);
}

bool sqi_replace_write(sqi_replace *r, const void *from, size_t n)
{
    const char *at = from;
    while (n > 0) {
        ssize_t put = write(r->fd, at, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return refuse_errno(r, "cannot be written");
        at += put;
        n -= (size_t)put;
    }
    return true;
}

bool sqi_replace_numbers(sqi_replace *r, const sq_tensor *t)
{
    unsigned char chunk[SQI_CHUNK];
    char shown[SQI_SHOWN], misfit[SQI_MISFIT], why[SQI_SHOWN + SQI_MISFIT + 16];
    int64_t size = (int64_t)sqi_stored_size(t->stored), most = SQI_CHUNK / size, now;
    for (int64_t i = 0; i < t->count; i += now) {
        now = t->count - i < most ? t->count - i : most;
        int64_t done = sqi_pack(t, i, now, chunk);
        if (done < now) {
            (void)snprintf(why, sizeof why, "tensor \"%s\" %s", sqi_shown(t->name, shown),
                           sqi_misfit_text(t, i + done, misfit));
            return sqi_replace_refuse(r, SQ_EVALUE, why);
        }
        if (!sqi_replace_write(r, chunk, (size_t)(now * size))) return false;
    }
    return true;
}

static int flush(int fd)
{
    int failed;
    do failed = fsync(fd);
    while (failed && errno == EINTR);
    return failed;
}

/* After it the new name survives a power failure. Not every directory can be opened for reading
 * and not every file system knows the request: then this is all there is to do. */
static bool flush_directory(const sqi_replace *r)
{
    int fd = open(folder_of(r), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return true;
    bool ok = flush(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    if (!ok) (void)refuse_errno(r, "is written, but its directory cannot be flushed");
    (void)close(fd);
    return ok;
}

/* Closing gives the lock up, so it comes after the rename; what network file systems have to say
 * late, fsync has asked for before. */
static bool replace_target(sqi_replace *r)
{
    if (flush(r->fd) != 0) return refuse_errno(r, "cannot be flushed");
    if (rename(r->temporary, r->path) != 0) return refuse_errno(r, "cannot be replaced");
    return true;
}

bool sqi_replace_end(sqi_replace *r, bool ok)
{
    if (r->fd >= 0) {
        ok = ok && replace_target(r);
        if (!ok) (void)unlink(r->temporary);
        if (close(r->fd) != 0 && errno != EINTR && ok)
            ok = refuse_errno(r, "is written, but cannot be closed");
        ok = ok && flush_directory(r);
    }
    free(r->temporary);
    return ok;
}
