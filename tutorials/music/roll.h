/* roll.h -- a piano roll: which of the 88 keys are down, frame by frame.
 *
 * A corpus is songs in three parts: what is learned from, what tells when to stop, and what nothing
 * is chosen by. */
#ifndef ROLL_H
#define ROLL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Key k is the MIDI number LOWEST + k; 60 is the middle C. */
enum { LOWEST = 21, HIGHEST = 108, KEYS = 88 };

typedef struct frame {
    bool down[KEYS];
} frame;

typedef struct song {
    int64_t n, room;
    frame *frame; /* [n] */
} song;

typedef struct songs {
    int64_t n, room;
    song *song;
} songs;

enum { TRAIN, VALID, TEST, N_PARTS };
extern const char *const part_names[N_PARTS]; /* "train", "valid", "test" */

typedef struct corpus {
    songs part[N_PARTS];
} corpus;

/* A new frame or song at the end, empty. Valid until the next is added. */
frame *song_add(song *s);
song *songs_add(songs *s);

/* Frames that have one before them: those that can be foretold. */
int64_t songs_foretold(const songs *s);
int64_t songs_longest(const songs *s);

void song_free(song *s);
void corpus_free(corpus *c);

/* The form that the field keeps its chorales in:
 *     {"train": [[[60,64,67],[60,65,69],...],...], "valid": [...], "test": [...]}
 * songs of frames of MIDI numbers, 21 to 108. A frame may be empty, and -1 is a voice that is silent.
 * Reading is strict; dies with a sentence that tells file, line and column. Every part must be there
 * and have a song, and every song two frames. */
corpus corpus_read(const char *path);
void corpus_write(const corpus *c, FILE *out);

#endif
