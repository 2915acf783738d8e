/* save.c -- what a training is made of, by name, into a bundle and out of it. */
#define _POSIX_C_SOURCE 200809L /* stat, getpid */

#include "save.h"

#include "../common/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Before the work --------------------------------------------------------------------- */

/* A save is written beside its path and renamed, so the folder must let a file be made. It is called as a
 * save under way is, so that the next one removes it should this process be killed just here; one that
 * was left behind says as much. */
void save_check(const char *path, const text *s)
{
    struct stat there, input;
    size_t room = strlen(path) + 32;
    char *probe = take(room, 1);
    if (!stat(path, &there)) {
        if (S_ISDIR(there.st_mode)) die("cannot write %s: it is a directory", path);
        if (!S_ISREG(there.st_mode)) die("cannot write %s: it is not a regular file", path);
        if (!stat(s->path, &input) && there.st_dev == input.st_dev &&
            there.st_ino == input.st_ino)
            die("cannot write %s: it is the text", path);
    }
    snprintf(probe, room, "%s.%ld-0.tmp", path, (long)getpid());
    int fd = open(probe, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 && errno != EEXIST) die("cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(probe);
    }
    free(probe);
}

/* ---- Writing ----------------------------------------------------------------------------- */

static void put_settings(sq_bundle *b, const options *o)
{
    setting s;
    sq_bundle_set_text(b, "program", PROGRAM);
    for (int i = 0; options_setting(o, i, &s); i++) sq_bundle_set_text(b, s.name, s.value);
}

bool save_write(const training *r, char why[SAVE_WHY])
{
    const text *s = r->text;
    int64_t which[2];
    which[0] = s->n;
    memcpy(&which[1], &s->hash, sizeof s->hash);
    sq_bundle *b = sq_bundle_new();
    if (!b) die("out of memory");
    put_settings(b, r->o);
    sq_bundle_add_i64(b, "vocabulary", sq_vec(s->known.n), s->known.chars);
    sq_bundle_add_i64(b, "text", sq_vec(2), which);
    sq_bundle_add_params(b, "model", r->model->params);
    sq_bundle_add_optim(b, "optim", r->optim);
    bool saved = !sq_tbptt_save(r->stream, b, "stream") && !sq_bundle_save(b, r->o->save);
    snprintf(why, SAVE_WHY, "%s", sq_bundle_message(b));
    sq_bundle_free(b);
    return saved;
}

/* ---- Reading ----------------------------------------------------------------------------- */

static void check(sq_bundle *b)
{
    if (sq_bundle_status(b)) die("%s", sq_bundle_message(b));
}

/* Before memory is asked for what the settings say: a layer has at least a matrix of width * width, and the
 * first another one for what enters. */
static void check_size(const sq_bundle *b, const char *path, const options *o)
{
    int64_t n = 0;
    for (int64_t i = 0; i < sq_bundle_count(b); i++) n += sq_bundle_at(b, i)->count;
    if (o->hidden * (o->hidden * o->layers + o->embed) > n)
        die("%s is damaged: it has too few numbers for %lld layer%s of width %lld", path,
            (long long)o->layers, o->layers > 1 ? "s" : "", (long long)o->hidden);
}

sq_bundle *save_open(const char *path, options *o)
{
    sq_bundle *b = sq_bundle_load(path);
    if (!b) die("out of memory");
    check(b);
    const char *program = sq_bundle_text(b, "program");
    if (!program || strcmp(program, PROGRAM) != 0)
        die("%s was not written by %s", path, PROGRAM);
    setting s;
    for (int i = 0; options_setting(o, i, &s); i++) {
        const char *value = sq_bundle_text(b, s.name);
        if (!value) die("%s is damaged: it does not say its %s", path, s.name);
        options_adopt(o, s.name, value, path);
    }
    check_size(b, path, o);
    return b;
}

void save_check_text(sq_bundle *b, const char *path, const text *s)
{
    int64_t which[2];
    sq_bundle_get_i64(b, "text", 2, which);
    check(b);
    if (which[0] != s->n)
        die("%s was trained on a text of %lld characters: it cannot go on with %s, which has "
            "%lld",
            path, (long long)which[0], s->path, (long long)s->n);
    if (memcmp(&which[1], &s->hash, sizeof s->hash) != 0)
        die("%s was trained on another text: it cannot go on with %s", path, s->path);
}

vocabulary save_vocabulary(sq_bundle *b, const char *path)
{
    const sq_tensor *found = sq_bundle_find(b, "vocabulary");
    int64_t chars[256], n = found ? found->count : 0;
    if (n < 1 || n > 256) die("%s is damaged: it has no vocabulary of 1 to 256 bytes", path);
    sq_bundle_get_i64(b, "vocabulary", n, chars);
    check(b);
    for (int64_t i = 0; i < n; i++)
        if (chars[i] < 0 || chars[i] > 255 || (i && chars[i] <= chars[i - 1]))
            die("%s is damaged: its vocabulary is no ascending list of bytes", path);
    return vocabulary_of(chars, n);
}

void save_read_model(sq_bundle *b, model *m)
{
    sq_bundle_get_params(b, "model", m->params);
    check(b);
}

/* The text's end: input and loss refuse steps beyond it, so a stream that lies elsewhere is told. */
void save_read_training(sq_bundle *b, training *r)
{
    save_read_model(b, r->model);
    sq_bundle_get_optim(b, "optim", r->optim);
    sq_tbptt_load(r->stream, b, "stream");
    check(b);
    if (sq_optim_set_rate(r->optim, r->o->rate)) die("%s", sq_params_message(r->model->params));
    if (!training_take_place(r))
        die("%s is damaged: its stream stands where no update ends", r->o->resume);
}
