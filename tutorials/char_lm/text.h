/* text.h -- the text: its characters, its streams and its held-out end.
 *
 *     |  stream 0  |  stream 1  | ... |  stream B-1  | rest |  validation, the last 10 %  |
 *
 * A character is a byte; the vocabulary is the sorted set of those that occur. */
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

typedef struct vocabulary {
    int64_t n;
    int64_t chars[256];  /* [n] the bytes, ascending */
    int32_t number[256]; /* of a byte; -1: it does not occur */
} vocabulary;

/* Of the n bytes given. */
vocabulary vocabulary_of(const int64_t *chars, int64_t n);

typedef struct text {
    const char *path;
    unsigned char *byte;
    int64_t n, n_train; /* bytes; of these, what is trained on */
    uint64_t hash;      /* FNV-1a of all bytes: tells one text from another */
    vocabulary known;
} text;

/* Reads a file. Dies when it cannot be read, or is too short for so many streams. */
text text_read(const char *path, int64_t batch);
void text_free(text *s);

/* Characters of one of `batch` streams, all of equal length. */
int64_t text_stream_length(const text *s, int64_t batch);

/* ids[i * batch + b] = the number of character at + i of stream b, for i < steps. */
void text_streams(const text *s, int64_t batch, int64_t at, int64_t steps, int32_t *ids);

/* ids[i] = the number of byte at + i of the whole text. */
void text_part(const text *s, int64_t at, int64_t n, int32_t *ids);

#endif
