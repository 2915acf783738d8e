/* weights.c -- a bundle with the program's name, its settings, and the weights under "model". */
#include "weights.h"

#include "files.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>

static void check(const sq_bundle *b)
{
    if (!b) die("out of memory");
    if (sq_bundle_status(b)) die("%s", sq_bundle_message(b));
}

void weights_save(const char *path, const sq_params *p, const weights_setting *settings)
{
    if (!file_wanted(path)) return;
    sq_bundle *b = sq_bundle_new();
    check(b);
    sq_bundle_set_text(b, "program", PROGRAM);
    for (const weights_setting *s = settings; s->name; s++)
        sq_bundle_set_text(b, s->name, s->value);
    sq_bundle_add_params(b, "model", p);
    if (sq_bundle_save(b, path)) die("%s", sq_bundle_message(b));
    sq_bundle_free(b);
}

sq_bundle *weights_open(const char *path)
{
    sq_bundle *b = sq_bundle_load(path);
    check(b);
    const char *program = sq_bundle_text(b, "program");
    if (!program || strcmp(program, PROGRAM) != 0)
        die("%s was not written by %s", path, PROGRAM);
    return b;
}

const char *weights_text(const sq_bundle *b, const char *path, const char *name)
{
    const char *text = sq_bundle_text(b, name);
    if (!text) die("%s is damaged: it does not say its %s", path, name);
    return text;
}

int64_t weights_count(const sq_bundle *b, const char *path, const char *name, int64_t lo,
                      int64_t hi)
{
    const char *text = weights_text(b, path, name);
    char *end;
    long long n = strtoll(text, &end, 10);
    if (!*text || *end || n < lo || n > hi)
        die("%s is damaged: its %s is \"%s\"", path, name, text);
    return n;
}

void weights_take(sq_bundle *b, sq_params *p)
{
    sq_bundle_get_params(b, "model", p);
    check(b);
    sq_bundle_free(b);
}
