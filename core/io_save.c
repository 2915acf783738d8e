/* io_save.c -- writing safetensors. Everything the file says depends on the contents alone: texts
 * are sorted by key, tensors by form and name, numbers go out byte by byte with the lowest first. */
#include "core/io_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 8 };

typedef struct saver {
    sq_bundle *bundle;
    sqi_replace file;
    const sq_tensor **order; /* as the tensors lie in the file */
    const sqi_text **texts;
    sqi_buffer header;
} saver;

static bool refuse(const saver *s, sq_status status, const char *why)
{
    return sqi_replace_refuse(&s->file, status, why);
}

/* ---- Header ------------------------------------------------------------------------------ */

/* I64, F64, F32 ...: the larger forms first, as the reference implementation of the format does. */
static int in_file_order(const void *a, const void *b)
{
    const sq_tensor *x = *(const sq_tensor *const *)a, *y = *(const sq_tensor *const *)b;
    if (x->stored != y->stored) return x->stored > y->stored ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b)
{
    const sqi_text *x = *(const sqi_text *const *)a, *y = *(const sqi_text *const *)b;
    return strcmp(x->key, y->key);
}

static bool sort_contents(saver *s)
{
    const sq_bundle *b = s->bundle;
    s->order = calloc((size_t)b->n_tensors + 1, sizeof *s->order);
    s->texts = calloc((size_t)b->n_texts + 1, sizeof *s->texts);
    if (!s->order || !s->texts) return refuse(s, SQ_ENOMEM, "out of memory");
    for (int64_t i = 0; i < b->n_tensors; i++) s->order[i] = &b->tensors[i].shown;
    for (int64_t i = 0; i < b->n_texts; i++) s->texts[i] = &b->texts[i];
    qsort(s->order, (size_t)b->n_tensors, sizeof *s->order, in_file_order);
    qsort(s->texts, (size_t)b->n_texts, sizeof *s->texts, by_key);
    return true;
}

static void put_texts(saver *s)
{
    if (s->bundle->n_texts == 0) return;
    sqi_buffer_print(&s->header, "\"" SQI_METADATA "\":");
    for (int64_t i = 0; i < s->bundle->n_texts; i++) {
        sqi_buffer_print(&s->header, i ? "," : "{");
        sqi_buffer_string(&s->header, s->texts[i]->key);
        sqi_buffer_print(&s->header, ":");
        sqi_buffer_string(&s->header, s->texts[i]->value);
    }
    sqi_buffer_print(&s->header, s->bundle->n_tensors ? "}," : "}");
}

static int64_t bytes_of(const sq_tensor *t)
{
    return t->count * (int64_t)sqi_stored_size(t->stored);
}

static void put_tensor(sqi_buffer *to, const sq_tensor *t, int64_t begin)
{
    sqi_buffer_string(to, t->name);
    sqi_buffer_print(to, ":{\"dtype\":\"%s\",\"shape\":[", sq_stored_name(t->stored));
    for (int32_t i = 0; i < t->rank; i++)
        sqi_buffer_print(to, "%s%" PRId64, i ? "," : "", t->dim[i]);
    sqi_buffer_print(to, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", begin,
                     begin + bytes_of(t));
}

static bool write_header_text(saver *s)
{
    int64_t at = 0;
    sqi_buffer_print(&s->header, "{");
    put_texts(s);
    for (int64_t i = 0; i < s->bundle->n_tensors; at += bytes_of(s->order[i++])) {
        if (i) sqi_buffer_print(&s->header, ",");
        put_tensor(&s->header, s->order[i], at);
    }
    sqi_buffer_print(&s->header, "}");
    while (!s->header.failed && s->header.n % ALIGN) sqi_buffer_add(&s->header, " ", 1);
    if (s->header.failed) return refuse(s, SQ_ENOMEM, "no memory for its header");
    if (s->header.n > SQI_HEADER_MAX)
        return refuse(s, SQ_EVALUE, "its header would be above the format's 100 MB");
    return true;
}

/* ---- The whole ---------------------------------------------------------------------------- */

static bool write_file(saver *s)
{
    unsigned char length[8];
    sqi_put_little_endian(length, s->header.n, sizeof length);
    bool ok = sqi_replace_write(&s->file, length, sizeof length) &&
              sqi_replace_write(&s->file, s->header.data, s->header.n);
    for (int64_t i = 0; ok && i < s->bundle->n_tensors; i++)
        ok = sqi_replace_numbers(&s->file, s->order[i]);
    return ok;
}

sq_status sq_bundle_save(sq_bundle *b, const char *path)
{
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    saver s = { .bundle = b };
    bool ok = sqi_replace_begin(&s.file, &b->error, path) && sort_contents(&s) &&
              write_header_text(&s) && write_file(&s);
    (void)sqi_replace_end(&s.file, ok);
    free(s.order);
    free(s.texts);
    free(s.header.data);
    return b->error.status;
}
