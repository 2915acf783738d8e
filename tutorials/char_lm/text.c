/* text.c -- a file read whole, cut into streams.
 *
 * The batch is B places in one text, far apart, each read on from where the last update left
 * off: so the state that is carried from window to window stays the right one. */
#include "text.h"

#include "../common/say.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t largest = (size_t)1 << 31;

static void read_all(text *s)
{
    FILE *f = fopen(s->path, "rb");
    if (!f) die("cannot read %s: %s", s->path, strerror(errno));
    size_t room = 1 << 16, n = 0, got;
    s->byte = take(room, 1);
    while ((got = fread(s->byte + n, 1, room - n, f)) > 0) {
        n += got;
        if (n < room) continue;
        if (n >= largest) die("%s is too large: more than 2 GB", s->path);
        unsigned char *more = realloc(s->byte, room *= 2);
        if (!more) die("out of memory for %s", s->path);
        s->byte = more;
    }
    if (ferror(f)) die("cannot read %s: %s", s->path, strerror(errno));
    fclose(f);
    s->n = (int64_t)n;
}

vocabulary vocabulary_of(const int64_t *chars, int64_t n)
{
    vocabulary v = { .n = n };
    for (int c = 0; c < 256; c++) v.number[c] = -1;
    for (int64_t i = 0; i < n; i++) {
        v.chars[i] = chars[i];
        v.number[chars[i]] = (int32_t)i;
    }
    return v;
}

static vocabulary find_characters(const text *s)
{
    bool occurs[256] = { false };
    int64_t chars[256], n = 0;
    for (int64_t i = 0; i < s->n; i++) occurs[s->byte[i]] = true;
    for (int c = 0; c < 256; c++)
        if (occurs[c]) chars[n++] = c;
    return vocabulary_of(chars, n);
}

/* Two characters in every stream, one to see and one to foretell, and two held out. */
static void check_length(const text *s, int64_t batch)
{
    int64_t needed = (2 * batch * 10 + 8) / 9;
    if (needed < 11) needed = 11;
    if (s->n == 0) die("%s is empty", s->path);
    if (s->n < needed)
        die("%s has %lld character%s: too short for %lld stream%s, which need%s %lld", s->path,
            (long long)s->n, s->n == 1 ? "" : "s", (long long)batch, batch == 1 ? "" : "s",
            batch == 1 ? "s" : "", (long long)needed);
    if (s->known.n == 1)
        die("%s repeats one character, byte %lld: there is nothing to learn", s->path,
            (long long)s->known.chars[0]);
}

text text_read(const char *path, int64_t batch)
{
    text s = { .path = path, .hash = 14695981039346656037u };
    read_all(&s);
    for (int64_t i = 0; i < s.n; i++) s.hash = (s.hash ^ s.byte[i]) * 1099511628211u;
    s.known = find_characters(&s);
    s.n_train = s.n * 9 / 10;
    check_length(&s, batch);
    return s;
}

void text_free(text *s) { free(s->byte); }

int64_t text_stream_length(const text *s, int64_t batch) { return s->n_train / batch; }

void text_streams(const text *s, int64_t batch, int64_t at, int64_t steps, int32_t *ids)
{
    int64_t length = text_stream_length(s, batch);
    for (int64_t b = 0; b < batch; b++) {
        const unsigned char *stream = s->byte + b * length + at;
        for (int64_t i = 0; i < steps; i++) ids[i * batch + b] = s->known.number[stream[i]];
    }
}

void text_part(const text *s, int64_t at, int64_t n, int32_t *ids)
{
    for (int64_t i = 0; i < n; i++) ids[i] = s->known.number[s->byte[at + i]];
}
