/* data.h -- pieces of text with a class each, in three parts. */
#ifndef DATA_H
#define DATA_H

#include "options.h"

#include <stddef.h>

typedef struct piece {
    char *text;
    int64_t n; /* bytes, at least 1 */
    int32_t label;
} piece;

typedef struct pieces {
    piece *piece;
    int64_t n, room;
} pieces;

enum { TRAIN, VALID, TEST, N_PARTS };

typedef struct data {
    int32_t n_classes;
    char *name[MAX_CLASSES];
    pieces part[N_PARTS];
    int64_t seen; /* pieces of VALID and TEST left out because TRAIN has the same */
} data;

/* A file per class, or the words of the bundled text. Of every class the last fifth becomes TEST, the tenth
 * before it VALID. Dies with a sentence about a file that cannot be read or is too short. */
data data_read(const train_options *o);
void data_free(data *d);

/* Shares the pieces of one class out to the parts; frees them. */
void data_deal(data *d, pieces *of_class);

/* Cuts a text into pieces, one a line, lines longer than `longest` at blanks; adds them with the label. */
void pieces_cut(pieces *into, const char *text, size_t n, int64_t longest, int32_t label);
/* Adds a copy of n bytes. */
void pieces_add(pieces *p, const char *text, int64_t n, int32_t label);
void pieces_free(pieces *p);

int64_t pieces_longest(const pieces *p);

#endif
