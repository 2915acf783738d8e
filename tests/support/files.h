/* files.h -- a folder of its own for every test that writes files, and bytes in and out of it. The
 * including file defines _POSIX_C_SOURCE. */
#ifndef SQT_FILES_H
#define SQT_FILES_H

#include "tests/support/support.h"

#include <dirent.h>
#include <unistd.h>

/* In memory where there is such a file system: saves wait for the disk. */
static const char *folder;

static inline void enter(void)
{
    static char in_memory[] = "/dev/shm/sq_io_XXXXXX", on_disk[] = "/tmp/sq_io_XXXXXX";
    folder = mkdtemp(in_memory);
    if (!folder) folder = mkdtemp(on_disk);
    cr_assert(folder != NULL);
    cr_assert(chdir(folder) == 0);
}

static inline int files_here(void)
{
    int n = 0;
    DIR *d = opendir(".");
    cr_assert(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static inline void leave(void)
{
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (unlink(e->d_name) != 0) (void)rmdir(e->d_name);
    closedir(d);
    cr_expect(chdir("/") == 0 && rmdir(folder) == 0, "something was left in %s", folder);
}

static inline void put(const char *path, const void *bytes, size_t n)
{
    (void)remove(path); /* a file cut short in place may be flushed at once, which takes time */
    FILE *f = fopen(path, "wb");
    cr_assert(f != NULL);
    cr_assert(fwrite(bytes, 1, n, f) == n);
    cr_assert(fclose(f) == 0);
}

static inline size_t take(const char *path, unsigned char *bytes, size_t room)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "no file %s", path);
    size_t n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

/* A file of that header and `data` bytes of zeros. */
static inline void put_header(const char *path, const char *header, size_t data)
{
    unsigned char bytes[4096] = { 0 };
    size_t n = strlen(header);
    cr_assert(8 + n + data <= sizeof bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> (8 * i));
    memcpy(bytes + 8, header, n);
    put(path, bytes, 8 + n + data);
}

#define EXPECT_BUNDLE_ERROR(b, want, part)                                               \
    do {                                                                                 \
        cr_expect(sq_bundle_status(b) == (want), "status %d", (int)sq_bundle_status(b)); \
        EXPECT_CONTAINS(sq_bundle_message(b), part);                                     \
        sq_bundle_clear_error(b);                                                        \
        cr_expect(sq_bundle_status(b) == SQ_OK);                                         \
        EXPECT_TEXT(sq_bundle_message(b), "");                                           \
    } while (0)

#define ASSERT_BUNDLE(b) cr_assert(sq_bundle_status(b) == SQ_OK, "%s", sq_bundle_message(b))
#define SAVE(b, path) cr_assert(sq_bundle_save(b, path) == SQ_OK, "%s", sq_bundle_message(b))

#endif
