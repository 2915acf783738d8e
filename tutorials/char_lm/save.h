/* save.h -- a training in a file, to be gone on with or sampled from.
 *
 * A safetensors file (core/io.h), which other programs can read:
 *     texts     program; every setting the table in options.c keeps, by its option's name
 *     I64       vocabulary [C]           the bytes that occur
 *               text [2]                 length and hash of the text
 *     F32       model.*  optim.*         weights and what Adam carries from update to update
 *     all       stream.*                 where the stream stands (graph/truncate.h): place, states,
 *                                        random numbers, what the next window reaches back to
 * A training that goes on from it does to the last bit what it would have done uninterrupted. */
#ifndef SAVE_H
#define SAVE_H

#include "train.h"

enum { SAVE_WHY = 512 };

/* Dies unless path can be written and is not the text. Leaves no trace. */
void save_check(const char *path, const text *s);

/* Writes the training to r->o->save; false with a sentence in `why`. */
bool save_write(const training *r, char why[SAVE_WHY]);

/* ---- Reading: every function dies with a sentence that names the file --------------------- */

/* Opens a save, and takes its settings as far as the command line leaves them open. */
sq_bundle *save_open(const char *path, options *o);

/* Dies unless the training at `path` was one on this text. */
void save_check_text(sq_bundle *b, const char *path, const text *s);

vocabulary save_vocabulary(sq_bundle *b, const char *path);
void save_read_model(sq_bundle *b, model *m);

/* Puts a new training where the saved one was. */
void save_read_training(sq_bundle *b, training *r);

#endif
