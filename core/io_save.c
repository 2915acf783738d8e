/* io_save.c -- writing safetensors, so that a file is always wholly the old or wholly the new.
 *
 *     temporary beside the target -> write -> fsync -> rename over the target -> fsync of the
 *     directory
 *
 * Everything the file says depends on the contents alone: texts are sorted by key, tensors by
 * type and name, numbers go out byte by byte with the lowest first. */
#define _POSIX_C_SOURCE 200809L /* open, write, fsync */
#include "core/io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN = 8, CHUNK = 16384, MOST_TRIES = 1000, MODE = 0666 /* less the umask */ };

typedef struct saver {
    sq_bundle *bundle;
    const char *path;
    char *temporary;
    int fd;
    const sq_tensor **order; /* as the tensors lie in the file */
    const sqi_text **texts;
    sqi_buffer header;
} saver;

/* ---- Sentences --------------------------------------------------------------------------- */

static bool refuse(const saver *s, sq_status status, const char *why)
{
    char shown[SQI_SHOWN];
    sqi_error_post(&s->bundle->error, status, "save \"%s\": %s", sqi_shown(s->path, shown),
                   why);
    return false;
}

/* By what the system said last. */
static bool refuse_errno(const saver *s, const char *what)
{
    char reason[SQI_REASON], why[SQI_REASON + 64];
    (void)sqi_reason(errno, reason);
    (void)snprintf(why, sizeof why, "%s: %s", what, reason);
    return refuse(s, SQ_EFILE, why);
}

/* ---- Header ------------------------------------------------------------------------------ */

/* I64, F64, F32: the larger types first, as the reference implementation of the format does. */
static int in_file_order(const void *a, const void *b)
{
    const sq_tensor *x = *(const sq_tensor *const *)a, *y = *(const sq_tensor *const *)b;
    if (x->type != y->type) return x->type > y->type ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b)
{
    const sqi_text *x = *(const sqi_text *const *)a, *y = *(const sqi_text *const *)b;
    return strcmp(x->key, y->key);
}

static bool sort_contents(saver *s)
{
    const sq_bundle *b = s->bundle;
    s->order = calloc((size_t)b->n_tensors + 1, sizeof *s->order);
    s->texts = calloc((size_t)b->n_texts + 1, sizeof *s->texts);
    if (!s->order || !s->texts) return refuse(s, SQ_ENOMEM, "out of memory");
    for (int64_t i = 0; i < b->n_tensors; i++) s->order[i] = &b->tensors[i].shown;
    for (int64_t i = 0; i < b->n_texts; i++) s->texts[i] = &b->texts[i];
    qsort(s->order, (size_t)b->n_tensors, sizeof *s->order, in_file_order);
    qsort(s->texts, (size_t)b->n_texts, sizeof *s->texts, by_key);
    return true;
}

static void put_texts(saver *s)
{
    if (s->bundle->n_texts == 0) return;
    sqi_buffer_print(&s->header, "\"" SQI_METADATA "\":");
    for (int64_t i = 0; i < s->bundle->n_texts; i++) {
        sqi_buffer_print(&s->header, i ? "," : "{");
        sqi_buffer_string(&s->header, s->texts[i]->key);
        sqi_buffer_print(&s->header, ":");
        sqi_buffer_string(&s->header, s->texts[i]->value);
    }
    sqi_buffer_print(&s->header, s->bundle->n_tensors ? "}," : "}");
}

static int64_t bytes_of(const sq_tensor *t)
{
    return t->count * (int64_t)sqi_tensor_size(t->type);
}

static void put_tensor(sqi_buffer *to, const sq_tensor *t, int64_t begin)
{
    sqi_buffer_string(to, t->name);
    sqi_buffer_print(to, ":{\"dtype\":\"%s\",\"shape\":[", sqi_tensor_type_name(t->type));
    for (int32_t i = 0; i < t->rank; i++)
        sqi_buffer_print(to, "%s%" PRId64, i ? "," : "", t->dim[i]);
    sqi_buffer_print(to, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", begin,
                     begin + bytes_of(t));
}

static bool write_header_text(saver *s)
{
    int64_t at = 0;
    sqi_buffer_print(&s->header, "{");
    put_texts(s);
    for (int64_t i = 0; i < s->bundle->n_tensors; at += bytes_of(s->order[i++])) {
        if (i) sqi_buffer_print(&s->header, ",");
        put_tensor(&s->header, s->order[i], at);
    }
    sqi_buffer_print(&s->header, "}");
    while (!s->header.failed && s->header.n % ALIGN) sqi_buffer_add(&s->header, " ", 1);
    if (s->header.failed) return refuse(s, SQ_ENOMEM, "no memory for its header");
    if (s->header.n > SQI_HEADER_MAX)
        return refuse(s, SQ_EVALUE, "its header would be above the format's 100 MB");
    return true;
}

/* ---- Bytes ------------------------------------------------------------------------------- */

static bool write_all(saver *s, const void *from, size_t n)
{
    const char *at = from;
    while (n > 0) {
        ssize_t put = write(s->fd, at, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return refuse_errno(s, "cannot be written");
        at += put;
        n -= (size_t)put;
    }
    return true;
}

/* The lowest byte first, whatever the machine's own order. */
static void little_endian(unsigned char *to, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (unsigned char)(value >> (8 * i));
}

static void encode(unsigned char *to, const unsigned char *from, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++, to += size, from += size) {
        uint64_t wide = 0;
        uint32_t narrow = 0;
        memcpy(size == sizeof narrow ? (void *)&narrow : (void *)&wide, from, size);
        little_endian(to, size == sizeof narrow ? narrow : wide, size);
    }
}

static bool write_values(saver *s, const sq_tensor *t)
{
    unsigned char chunk[CHUNK];
    const unsigned char *from = t->values;
    size_t size = sqi_tensor_size(t->type), left = (size_t)t->count, n;
    for (; left > 0; left -= n, from += n * size) {
        n = left < CHUNK / size ? left : CHUNK / size;
        encode(chunk, from, n, size);
        if (!write_all(s, chunk, n * size)) return false;
    }
    return true;
}

static bool write_file(saver *s)
{
    unsigned char length[8];
    little_endian(length, s->header.n, sizeof length);
    if (!write_all(s, length, sizeof length) || !write_all(s, s->header.data, s->header.n))
        return false;
    for (int64_t i = 0; i < s->bundle->n_tensors; i++)
        if (!write_values(s, s->order[i])) return false;
    return true;
}

/* ---- The exchange ------------------------------------------------------------------------ */

/* A device or a directory would be replaced by the rename, or fail it at the very end. */
static bool target_fits(const saver *s)
{
    struct stat there;
    if (stat(s->path, &there) != 0 || S_ISREG(there.st_mode)) return true;
    return refuse(s, SQ_EFILE,
                  S_ISDIR(there.st_mode) ? "is a directory" : "is not a regular file");
}

/* A name left behind by a crash, or taken by another thread, is passed over. */
static bool open_temporary(saver *s)
{
    size_t room = strlen(s->path) + 48;
    s->temporary = malloc(room);
    if (!s->temporary) return refuse(s, SQ_ENOMEM, "out of memory");
    for (int i = 0; s->fd < 0 && i < MOST_TRIES; i++) {
        (void)snprintf(s->temporary, room, "%s.%ld-%d.tmp", s->path, (long)getpid(), i);
        do s->fd = open(s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
        while (s->fd < 0 && errno == EINTR);
        if (s->fd < 0 && errno != EEXIST) break;
    }
    return s->fd >= 0 || refuse_errno(s, "cannot be written");
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
static bool flush_directory(const saver *s)
{
    char *slash = strrchr(strcpy(s->temporary, s->path), '/');
    if (!slash) (void)strcpy(s->temporary, ".");
    else slash[slash == s->temporary] = '\0';
    int fd = open(s->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return true;
    bool ok = flush(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    if (!ok) (void)refuse_errno(s, "is written, but its directory cannot be flushed");
    (void)close(fd);
    return ok;
}

/* close tells late errors of network file systems. */
static bool replace_target(saver *s)
{
    bool ok = write_file(s);
    if (ok && flush(s->fd) != 0) ok = refuse_errno(s, "cannot be flushed");
    if (close(s->fd) != 0 && errno != EINTR && ok) ok = refuse_errno(s, "cannot be closed");
    if (ok && rename(s->temporary, s->path) != 0) ok = refuse_errno(s, "cannot be replaced");
    if (ok) return flush_directory(s);
    (void)unlink(s->temporary);
    return false;
}

sq_status sq_bundle_save(sq_bundle *b, const char *path)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (!path || !*path) return sqi_error_post(&b->error, SQ_EVALUE, "save: there is no path");
    saver s = { .bundle = b, .path = path, .fd = -1 };
    if (target_fits(&s) && sort_contents(&s) && write_header_text(&s) && open_temporary(&s))
        (void)replace_target(&s);
    free(s.temporary);
    free(s.order);
    free(s.texts);
    free(s.header.data);
    return b->error.status;
}
