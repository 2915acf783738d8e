/* weights.h -- a trained network in a safetensors file: its weights, and the settings without which
 * nobody could rebuild it. All of them die with a sentence. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include <seqgrad/seqgrad.h>

/* A setting by name; a list of them ends with a name that is NULL. */
typedef struct weights_setting {
    const char *name;
    char value[32];
} weights_setting;

/* Nothing for "none". */
void weights_save(const char *path, const sq_params *p, const weights_setting *settings);

/* A file that this very program wrote. */
sq_bundle *weights_open(const char *path);

/* A setting of it: as text, or as a whole number of lo to hi. */
const char *weights_text(const sq_bundle *b, const char *path, const char *name);
int64_t weights_count(const sq_bundle *b, const char *path, const char *name, int64_t lo,
                      int64_t hi);

/* Its weights, all of them; the bundle is freed. */
void weights_take(sq_bundle *b, sq_params *p);

#endif
