/* io_file.c -- where the bytes of a load come from: a file or memory, whose size is known before
 * anything is read. Nothing here maps files: a file that another program cuts short is an error
 * that is told, not a signal. */
#define _POSIX_C_SOURCE 200809L /* open, fstat, read */
#include "core/io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

sq_status sqi_file_vfail(sqi_error *error, const char *path, sq_status status, const char *fmt,
                         va_list args)
{
    char shown[SQI_SHOWN], prefix[SQI_SHOWN + 8] = "";
    if (path) (void)snprintf(prefix, sizeof prefix, "\"%s\": ", sqi_shown(path, shown));
    return sqi_error_vpost(error, status, prefix, fmt, args);
}

bool sqi_source_fail(const sqi_source *s, sq_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)sqi_file_vfail(s->error, s->path, status, fmt, args);
    va_end(args);
    return false;
}

/* O_NONBLOCK below lets a fifo without a writer be opened, to be refused here. */
static bool size_of_file(sqi_source *s)
{
    char reason[SQI_REASON];
    struct stat is;
    if (fstat(s->fd, &is) != 0)
        return sqi_source_fail(s, SQ_EFILE, "cannot be examined: %s",
                               sqi_reason(errno, reason));
    if (S_ISDIR(is.st_mode)) return sqi_source_fail(s, SQ_EFILE, "is a directory");
    if (!S_ISREG(is.st_mode)) return sqi_source_fail(s, SQ_EFILE, "is not a regular file");
    s->left = (int64_t)is.st_size;
    return true;
}

static bool open_file(sqi_source *s)
{
    char reason[SQI_REASON];
    do s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (s->fd < 0 && errno == EINTR);
    if (s->fd >= 0) return size_of_file(s);
    return sqi_source_fail(s, SQ_EFILE, "cannot be opened: %s", sqi_reason(errno, reason));
}

bool sqi_source_open(sqi_source *s, sqi_error *error, const char *path)
{
    *s = (sqi_source){ .error = error, .path = path, .fd = -1 };
    if (!open_file(s)) return false;
    return s->left > 0 || sqi_source_fail(s, SQ_EFILE, "is empty");
}

bool sqi_source_memory(sqi_source *s, sqi_error *error, const void *bytes, size_t n)
{
    *s = (sqi_source){ .error = error, .path = SQI_MEMORY, .fd = -1, .bytes = bytes };
    if (!bytes && n > 0) return sqi_source_fail(s, SQ_EVALUE, "there are no bytes");
    if (n > PTRDIFF_MAX) return sqi_source_fail(s, SQ_EVALUE, "is larger than any memory");
    s->left = (int64_t)n;
    return n > 0 || sqi_source_fail(s, SQ_EFILE, "is empty");
}

void sqi_source_close(sqi_source *s)
{
    if (s->fd >= 0) (void)close(s->fd);
    s->fd = -1;
}

static bool read_file(sqi_source *s, char *to, int64_t n)
{
    const int64_t most = 1 << 30; /* in one call */
    char reason[SQI_REASON];
    while (n > 0) {
        ssize_t got = read(s->fd, to, (size_t)(n < most ? n : most));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return sqi_source_fail(s, SQ_EFILE, "cannot be read: %s",
                                   got < 0 ? sqi_reason(errno, reason) : "it became shorter");
        to += got;
        n -= got;
    }
    return true;
}

bool sqi_source_read(sqi_source *s, void *to, int64_t n)
{
    if (n <= 0) return true;
    s->left -= n;
    if (s->fd >= 0) return read_file(s, to, n);
    memcpy(to, s->bytes, (size_t)n);
    s->bytes += n;
    return true;
}

bool sqi_source_numbers(sqi_source *s, const sq_tensor *t, bool swapped, int64_t n, void *to)
{
    unsigned char chunk[SQI_CHUNK];
    char *at = to, shown[SQI_SHOWN];
    size_t size = sqi_stored_size(t->stored), held = sqi_tensor_size(t->type);
    int64_t most = (int64_t)(SQI_CHUNK / size), now;
    for (; n > 0; n -= now, at += (size_t)now * held) {
        now = n < most ? n : most;
        if (!sqi_source_read(s, chunk, now * (int64_t)size)) return false;
        if (swapped) sqi_swap_bytes(chunk, now, size);
        if (!sqi_unpack(t->stored, at, chunk, now))
            return sqi_source_fail(s, SQ_EFILE, "tensor \"%s\" holds a %s that is none",
                                   sqi_shown(t->name, shown), sq_stored_name(t->stored));
    }
    return true;
}
