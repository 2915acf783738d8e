/* io.c -- bundles: named tensors and texts in two lists, filled and asked.
 *
 * Whatever can fail is done before a list changes, so a failed call leaves the bundle as it was.
 * Names are looked for one by one: a bundle holds as many tensors as a network has weights. */
#include "core/io_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sentences --------------------------------------------------------------------------- */

sq_status sqi_bundle_fail(sq_bundle *b, sq_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sq_status s = sqi_file_vfail(&b->error, b->path, status, fmt, args);
    va_end(args);
    return s;
}

sq_status sq_bundle_status(const sq_bundle *b) { return b ? b->error.status : SQ_ENOMEM; }

const char *sq_bundle_message(const sq_bundle *b)
{
    return b ? b->error.text : sq_status_text(SQ_ENOMEM);
}

void sq_bundle_clear_error(sq_bundle *b)
{
    if (b) sqi_error_clear(&b->error);
}

bool sq_bundle_post(sq_bundle *b, sq_status status, const char *fmt, ...)
{
    if (!b) return false;
    va_list args;
    va_start(args, fmt);
    (void)sqi_file_vfail(&b->error, b->path, status ? status : SQ_EVALUE, fmt, args);
    va_end(args);
    return false;
}

/* ---- Making and ending ------------------------------------------------------------------- */

sq_bundle *sq_bundle_new(void) { return calloc(1, sizeof(sq_bundle)); }

void sqi_bundle_truncate(sq_bundle *b, int64_t n)
{
    while (b->n_tensors > n) {
        const sqi_tensor *t = &b->tensors[--b->n_tensors];
        free(t->name);
        free(t->values);
    }
}

static void forget_texts(sq_bundle *b)
{
    while (b->n_texts > 0) {
        const sqi_text *t = &b->texts[--b->n_texts];
        free(t->key);
        free(t->value);
    }
}

void sqi_bundle_empty(sq_bundle *b)
{
    sqi_bundle_truncate(b, 0);
    forget_texts(b);
}

void sq_bundle_free(sq_bundle *b)
{
    if (!b) return;
    sqi_bundle_empty(b);
    free(b->tensors);
    free(b->texts);
    free(b->path);
    free(b);
}

/* ---- Filling ----------------------------------------------------------------------------- */

/* Room for one more element in a list; the list stays on failure. */
static bool reserve(void **list, int64_t n, int64_t *room, size_t size)
{
    if (n < *room) return true;
    int64_t more = *room ? 2 * *room : 16;
    void *at =
        (uint64_t)more < SIZE_MAX / 2 / size ? realloc(*list, (size_t)more * size) : NULL;
    if (!at) return false;
    *list = at;
    *room = more;
    return true;
}

sqi_tensor *sqi_bundle_append(sq_bundle *b, const sq_tensor *like)
{
    void *list = b->tensors;
    bool ok = reserve(&list, b->n_tensors, &b->tensor_room, sizeof *b->tensors);
    b->tensors = list;
    if (!ok) return NULL;
    size_t bytes = (size_t)like->count * sqi_tensor_size(like->type);
    char *name = sqi_copy(like->name);
    void *values = name ? malloc(bytes > 0 ? bytes : 1) : NULL;
    if (!values) {
        free(name);
        return NULL;
    }
    sqi_tensor *t = &b->tensors[b->n_tensors++];
    *t = (sqi_tensor){ *like, name, values };
    t->shown.name = name;
    t->shown.values = values;
    return t;
}

bool sqi_bundle_append_text(sq_bundle *b, const char *key, const char *value)
{
    void *list = b->texts;
    bool ok = reserve(&list, b->n_texts, &b->text_room, sizeof *b->texts);
    b->texts = list;
    char *k = ok ? sqi_copy(key) : NULL, *v = k ? sqi_copy(value) : NULL;
    if (!v) {
        free(k);
        return false;
    }
    b->texts[b->n_texts++] = (sqi_text){ k, v };
    return true;
}

bool sqi_bundle_name_fits(sq_bundle *b, const char *name)
{
    char shown[SQI_SHOWN];
    if (!name) sqi_bundle_fail(b, SQ_EVALUE, "add: a tensor needs a name");
    else if (!sqi_utf8(name, strlen(name)))
        sqi_bundle_fail(b, SQ_EVALUE, "add: the name of a tensor is not UTF-8");
    else if (strcmp(name, SQI_METADATA) == 0)
        sqi_bundle_fail(b, SQ_EVALUE, "add: the name " SQI_METADATA " is the format's own");
    else if (sq_bundle_find(b, name))
        sqi_bundle_fail(b, SQ_EVALUE, "add: there is a tensor \"%s\" already",
                        sqi_shown(name, shown));
    return !b->error.status;
}

/* The word for what a type or a form holds. */
static const char *kind_of(sq_tensor_type type)
{
    return type == SQ_TENSOR_I64 ? "whole numbers" : "floats";
}

bool sqi_bundle_tensor_fits(sq_bundle *b, sq_tensor *t)
{
    char shown[SQI_SHOWN], dims[SQI_DIMS_TEXT];
    (void)sqi_shown(t->name, shown);
    if (!sqi_tensor_size(t->type))
        sqi_bundle_fail(b, SQ_EVALUE, "add: tensor \"%s\" has the unknown type %d", shown,
                        (int)t->type);
    else if (t->rank < 0 || t->rank > SQ_TENSOR_MAX_RANK)
        sqi_bundle_fail(b, SQ_ESHAPE, "add: tensor \"%s\" has %" PRId32 " axes, not 0..%d",
                        shown, t->rank, SQ_TENSOR_MAX_RANK);
    else if (!sqi_tensor_count(t))
        sqi_bundle_fail(b, SQ_ESHAPE, "add: tensor \"%s\" has the impossible shape %s", shown,
                        sqi_dims_text(t, dims));
    else if (t->stored && !sq_stored_name(t->stored))
        sqi_bundle_fail(b, SQ_EVALUE, "add: tensor \"%s\" has the unknown form %d", shown,
                        (int)t->stored);
    else if (t->stored && !sqi_stored_fits(t->stored, t->type))
        sqi_bundle_fail(b, SQ_EVALUE, "add: tensor \"%s\" holds %s, which %s is not for", shown,
                        kind_of(t->type), sq_stored_name(t->stored));
    if (b->error.status) return false;
    if (!t->stored) t->stored = sqi_stored_as_held(t->type);
    for (int32_t i = t->rank; i < SQ_TENSOR_MAX_RANK; i++) t->dim[i] = 0;
    return true;
}

sq_status sq_bundle_add(sq_bundle *b, const sq_tensor *tensor)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (!tensor) return sqi_bundle_fail(b, SQ_EVALUE, "add: there is no tensor");
    sq_tensor t = *tensor;
    if (!sqi_bundle_name_fits(b, t.name) || !sqi_bundle_tensor_fits(b, &t))
        return b->error.status;
    if (!t.values && t.count > 0) {
        char shown[SQI_SHOWN];
        return sqi_bundle_fail(b, SQ_EVALUE, "add: no values for tensor \"%s\"",
                               sqi_shown(t.name, shown));
    }
    const sqi_tensor *added = sqi_bundle_append(b, &t);
    if (!added) {
        char shown[SQI_SHOWN];
        return sqi_bundle_fail(b, SQ_ENOMEM,
                               "add: no memory for tensor \"%s\" of %" PRId64 " elements",
                               sqi_shown(t.name, shown), t.count);
    }
    size_t bytes = (size_t)t.count * sqi_tensor_size(t.type);
    if (bytes > 0) memcpy(added->values, t.values, bytes);
    return SQ_OK;
}

static sq_status add_shape(sq_bundle *b, const char *name, sq_tensor_type type, sq_shape shape,
                           const void *values)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (shape.rank > SQ_MAX_RANK)
        return sqi_bundle_fail(b, SQ_ESHAPE, "add: a shape has %" PRId32 " axes, not 0..%d",
                               shape.rank, SQ_MAX_RANK);
    sq_tensor t = sqi_tensor_of(name, type, shape, values);
    return sq_bundle_add(b, &t);
}

sq_status sq_bundle_add_f32(sq_bundle *b, const char *name, sq_shape shape, const float *values)
{
    return add_shape(b, name, SQ_TENSOR_F32, shape, values);
}

sq_status sq_bundle_add_f64(sq_bundle *b, const char *name, sq_shape shape,
                            const double *values)
{
    return add_shape(b, name, SQ_TENSOR_F64, shape, values);
}

sq_status sq_bundle_add_i64(sq_bundle *b, const char *name, sq_shape shape,
                            const int64_t *values)
{
    return add_shape(b, name, SQ_TENSOR_I64, shape, values);
}

/* The name itself, or what follows it and a dot; everything where there is no prefix. */
static bool is_under(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return n == 0 || (strncmp(name, prefix, n) == 0 && (name[n] == '.' || name[n] == '\0'));
}

sq_status sq_bundle_store_as(sq_bundle *b, const char *prefix, sq_stored stored)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (stored && !sq_stored_name(stored))
        return sqi_bundle_fail(b, SQ_EVALUE, "store_as: %d is no form", (int)stored);
    int64_t found = 0;
    for (int64_t i = 0; i < b->n_tensors; i++) {
        sq_tensor *t = &b->tensors[i].shown;
        sq_stored form = stored ? stored : sqi_stored_as_held(t->type);
        if (!is_under(t->name, prefix ? prefix : "") || !sqi_stored_fits(form, t->type))
            continue;
        t->stored = form;
        found++;
    }
    if (found) return SQ_OK;
    char shown[SQI_SHOWN];
    return sqi_bundle_fail(b, SQ_EFILE, "store_as: nothing under \"%s\" can be stored as %s",
                           sqi_shown(prefix ? prefix : "", shown),
                           stored ? sq_stored_name(stored) : "it is held");
}

static sqi_text *text_of(const sq_bundle *b, const char *key)
{
    for (int64_t i = 0; b && key && i < b->n_texts; i++)
        if (strcmp(b->texts[i].key, key) == 0) return &b->texts[i];
    return NULL;
}

sq_status sq_bundle_set_text(sq_bundle *b, const char *key, const char *value)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (!key || !value) return sqi_bundle_fail(b, SQ_EVALUE, "set_text: no key or no text");
    if (!sqi_utf8(key, strlen(key)) || !sqi_utf8(value, strlen(value)))
        return sqi_bundle_fail(b, SQ_EVALUE, "set_text: key or text is not UTF-8");
    sqi_text *old = text_of(b, key);
    char *copy = old ? sqi_copy(value) : NULL;
    if (old ? !copy : !sqi_bundle_append_text(b, key, value))
        return sqi_bundle_fail(b, SQ_ENOMEM, "set_text: out of memory");
    if (old) {
        free(old->value);
        old->value = copy;
    }
    return SQ_OK;
}

/* ---- Asking ------------------------------------------------------------------------------ */

int64_t sq_bundle_count(const sq_bundle *b) { return b ? b->n_tensors : 0; }
int64_t sq_bundle_text_count(const sq_bundle *b) { return b ? b->n_texts : 0; }

const sq_tensor *sq_bundle_at(const sq_bundle *b, int64_t i)
{
    return i >= 0 && i < sq_bundle_count(b) ? &b->tensors[i].shown : NULL;
}

const sq_tensor *sq_bundle_find(const sq_bundle *b, const char *name)
{
    for (int64_t i = 0; name && i < sq_bundle_count(b); i++)
        if (strcmp(b->tensors[i].name, name) == 0) return &b->tensors[i].shown;
    return NULL;
}

const char *sq_bundle_text(const sq_bundle *b, const char *key)
{
    const sqi_text *t = text_of(b, key);
    return t ? t->value : NULL;
}

bool sq_bundle_text_at(const sq_bundle *b, int64_t i, const char **key, const char **value)
{
    if (i < 0 || i >= sq_bundle_text_count(b)) return false;
    if (key) *key = b->texts[i].key;
    if (value) *value = b->texts[i].value;
    return true;
}

static sq_status get(sq_bundle *b, const char *name, int64_t n, sq_tensor_type type,
                     void *values)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    char shown[SQI_SHOWN];
    (void)sqi_shown(name ? name : "", shown);
    const sq_tensor *t = sq_bundle_find(b, name);
    if (!t) return sqi_bundle_fail(b, SQ_EFILE, "there is no tensor \"%s\"", shown);
    if (t->count != n)
        return sqi_bundle_fail(b, SQ_EFILE,
                               "tensor \"%s\" has %" PRId64 " elements, not %" PRId64, shown,
                               t->count, n);
    if (!values && n > 0)
        return sqi_bundle_fail(b, SQ_EVALUE, "get: no place for tensor \"%s\"", shown);
    if (n > 0 && !sqi_tensor_convert(type, values, t))
        return sqi_bundle_fail(b, SQ_EVALUE,
                               "tensor \"%s\" holds a number that is no 64-bit integer", shown);
    return SQ_OK;
}

sq_status sq_bundle_get_f32(sq_bundle *b, const char *name, int64_t n, float *values)
{
    return get(b, name, n, SQ_TENSOR_F32, values);
}

sq_status sq_bundle_get_f64(sq_bundle *b, const char *name, int64_t n, double *values)
{
    return get(b, name, n, SQ_TENSOR_F64, values);
}

sq_status sq_bundle_get_i64(sq_bundle *b, const char *name, int64_t n, int64_t *values)
{
    return get(b, name, n, SQ_TENSOR_I64, values);
}
