/* io_load.c -- reading safetensors: nothing is believed that the file's own size does not bear.
 *
 *     size of the file -> length of the header -> names, types, shapes, offsets -> values
 *
 * The header is read into memory once and its strings are decoded there; entries point into it.
 * Only when all of it has been found right is room for values asked for, which together are as
 * large as the rest of the file, and filled in the order they lie. Duplicates and gaps are found
 * by sorting, so a header of millions of entries takes no time either. The first thing that is
 * wrong is posted; functions return false behind it. */
#include "core/io_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 };

/* What the header says of one tensor; the name points into it. */
typedef struct entry {
    sq_tensor tensor;
    int64_t begin, end; /* bytes of the data */
} entry;

typedef struct list {
    void *items;
    int64_t n, room;
} list;

typedef struct loader {
    sq_bundle *bundle;
    sqi_source source;
    int64_t data_bytes; /* what follows the header */
    sqi_json json;
    list entries, texts; /* of entry; of sqi_text pointing into the header */
    bool has_texts;
} loader;

/* ---- The header -------------------------------------------------------------------------- */

/* Reads length and header; the caller frees the text. */
static bool read_header(loader *l)
{
    unsigned char bytes[LENGTH_BYTES];
    if (l->source.left < LENGTH_BYTES)
        return sqi_source_fail(&l->source, SQ_EFILE,
                               "is no safetensors file: it has %" PRId64 " bytes only",
                               l->source.left);
    if (!sqi_source_read(&l->source, bytes, LENGTH_BYTES)) return false;
    uint64_t n = sqi_little_endian(bytes, LENGTH_BYTES);
    int64_t rest = l->source.left;
    const char *wrong = n > SQI_HEADER_MAX   ? "above the format's 100 MB"
                        : n > (uint64_t)rest ? "longer than the rest of the file"
                        : n < 2              ? "too short for {}"
                                             : NULL;
    if (wrong) {
        sqi_bundle_fail(l->bundle, SQ_EFILE,
                        "is no safetensors file: its header would have %" PRIu64 " bytes, %s",
                        n, wrong);
        return false;
    }
    char *text = malloc((size_t)n);
    l->json = (sqi_json){ text, text, text ? text + n : NULL, NULL };
    l->data_bytes = rest - (int64_t)n;
    if (!text)
        sqi_bundle_fail(l->bundle, SQ_ENOMEM, "no memory for its header of %" PRIu64 " bytes",
                        n);
    return text && sqi_source_read(&l->source, text, (int64_t)n);
}

/* Room for one more in a list; NULL after posting. */
static void *new_item(loader *l, list *in, size_t size)
{
    if (in->n == in->room) {
        int64_t room = in->room ? 2 * in->room : 32;
        void *items = realloc(in->items, (size_t)room * size);
        if (!items) {
            sqi_bundle_fail(l->bundle, SQ_ENOMEM, "no memory for what its header lists");
            return NULL;
        }
        in->items = items;
        in->room = room;
    }
    return (char *)in->items + (size_t)in->n++ * size;
}

static bool tensor_fails(loader *l, const entry *e, const char *why)
{
    char shown[SQI_SHOWN];
    sqi_bundle_fail(l->bundle, SQ_EFILE, "tensor \"%s\" %s", sqi_shown(e->tensor.name, shown),
                    why);
    return false;
}

static bool read_dtype(loader *l, entry *e)
{
    char *name, shown[SQI_SHOWN], tensor[SQI_SHOWN];
    if (!sqi_json_string(&l->json, &name)) return false;
    e->tensor.stored = sqi_stored_by_name(name);
    if (e->tensor.stored) {
        e->tensor.type = sqi_stored_held(e->tensor.stored);
        return true;
    }
    sqi_bundle_fail(
        l->bundle, SQ_EFILE,
        "tensor \"%s\" has dtype \"%s\"; F16, BF16, F32, F64, BOOL, I8 to I64 and U8 "
        "to U32 can be read",
        sqi_shown(e->tensor.name, tensor), sqi_shown(name, shown));
    return false;
}

static bool read_shape(loader *l, entry *e)
{
    if (!sqi_json_take(&l->json, '[')) return false;
    if (sqi_json_next_is(&l->json, ']')) return true;
    do {
        int64_t n;
        if (!sqi_json_count(&l->json, &n)) return false;
        if (e->tensor.rank == SQ_TENSOR_MAX_RANK)
            return tensor_fails(l, e, "has more than 8 axes");
        e->tensor.dim[e->tensor.rank++] = n;
    } while (sqi_json_next_is(&l->json, ','));
    return sqi_json_take(&l->json, ']');
}

static bool read_offsets(loader *l, entry *e)
{
    sqi_json *j = &l->json;
    return sqi_json_take(j, '[') && sqi_json_count(j, &e->begin) && sqi_json_take(j, ',') &&
           sqi_json_count(j, &e->end) && sqi_json_take(j, ']');
}

static const struct field {
    const char *name, *missing, *twice;
    bool (*read)(loader *l, entry *e);
} fields[] = {
    { "dtype", "has no dtype", "has two dtypes", read_dtype },
    { "shape", "has no shape", "has two shapes", read_shape },
    { "data_offsets", "has no data_offsets", "has data_offsets twice", read_offsets },
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static bool read_field(loader *l, entry *e, bool *seen)
{
    char *name;
    if (!sqi_json_string(&l->json, &name)) return false;
    for (int i = 0; i < N_FIELDS; i++)
        if (strcmp(name, fields[i].name) == 0) {
            if (seen[i]) return tensor_fails(l, e, fields[i].twice);
            seen[i] = true;
            return sqi_json_take(&l->json, ':') && fields[i].read(l, e);
        }
    return tensor_fails(l, e, "has a field that is none of dtype, shape, data_offsets");
}

/* Type, shape and offsets of one tensor agree with each other and with the file. */
static bool sizes_agree(loader *l, entry *e)
{
    char shown[SQI_SHOWN], dims[SQI_DIMS_TEXT];
    sq_tensor *t = &e->tensor;
    if (!sqi_tensor_count(t)) return tensor_fails(l, e, "has a shape too large for any memory");
    int64_t bytes = t->count * (int64_t)sqi_stored_size(t->stored);
    if (e->begin > e->end) return tensor_fails(l, e, "ends before it begins");
    if (e->end > l->data_bytes) return tensor_fails(l, e, "lies beyond the end of the file");
    if (e->end - e->begin == bytes) return true;
    sqi_bundle_fail(l->bundle, SQ_EFILE,
                    "tensor \"%s\" has %" PRId64 " bytes, but %s %s takes %" PRId64,
                    sqi_shown(t->name, shown), e->end - e->begin, sq_stored_name(t->stored),
                    sqi_dims_text(t, dims), bytes);
    return false;
}

static bool read_tensor(loader *l, char *name)
{
    entry *e = new_item(l, &l->entries, sizeof *e);
    if (!e) return false;
    *e = (entry){ .tensor.name = name };
    bool seen[N_FIELDS] = { false };
    if (!sqi_json_take(&l->json, '{')) return false;
    if (!sqi_json_next_is(&l->json, '}')) {
        do
            if (!read_field(l, e, seen)) return false;
        while (sqi_json_next_is(&l->json, ','));
        if (!sqi_json_take(&l->json, '}')) return false;
    }
    for (int i = 0; i < N_FIELDS; i++)
        if (!seen[i]) return tensor_fails(l, e, fields[i].missing);
    return sizes_agree(l, e);
}

static bool read_texts(loader *l)
{
    sqi_json *j = &l->json;
    if (l->has_texts) return sqi_json_fail(j, SQI_METADATA " stands here for the second time");
    l->has_texts = true;
    if (!sqi_json_take(j, '{')) return false;
    if (sqi_json_next_is(j, '}')) return true;
    do {
        sqi_text *t = new_item(l, &l->texts, sizeof *t);
        if (!t || !sqi_json_string(j, &t->key) || !sqi_json_take(j, ':')) return false;
        if (!sqi_json_string(j, &t->value)) return false;
    } while (sqi_json_next_is(j, ','));
    return sqi_json_take(j, '}');
}

/* By the format the header begins with { and only spaces follow it. */
static bool read_entries(loader *l)
{
    sqi_json *j = &l->json;
    if (*j->at != '{') return sqi_json_fail(j, "{ is missing");
    j->at++;
    if (sqi_json_next_is(j, '}')) return true;
    do {
        char *name;
        if (!sqi_json_string(j, &name) || !sqi_json_take(j, ':')) return false;
        if (!(strcmp(name, SQI_METADATA) == 0 ? read_texts(l) : read_tensor(l, name)))
            return false;
    } while (sqi_json_next_is(j, ','));
    return sqi_json_take(j, '}');
}

static bool parse_header(loader *l)
{
    sqi_json *j = &l->json;
    if (!sqi_utf8(j->text, (size_t)(j->end - j->text))) {
        sqi_bundle_fail(l->bundle, SQ_EFILE, "header: not UTF-8");
        return false;
    }
    bool ok = read_entries(l);
    while (ok && j->at < j->end && *j->at == ' ') j->at++;
    if (ok && j->at < j->end) ok = sqi_json_fail(j, "something follows the end");
    if (!ok)
        sqi_bundle_fail(l->bundle, SQ_EFILE, "header, byte %" PRId64 ": %s",
                        (int64_t)(j->at - j->text), j->problem ? j->problem : "");
    return ok;
}

/* ---- The whole --------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return strcmp(x->tensor.name, y->tensor.name);
}

static int by_key(const void *a, const void *b)
{
    const sqi_text *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int by_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return by_name(a, b);
}

static void sort(list *of, size_t size, int (*order)(const void *, const void *))
{
    if (of->n > 0) qsort(of->items, (size_t)of->n, size, order);
}

static bool names_differ(loader *l)
{
    char shown[SQI_SHOWN];
    sort(&l->entries, sizeof(entry), by_name);
    sort(&l->texts, sizeof(sqi_text), by_key);
    const entry *e = l->entries.items;
    for (int64_t i = 1; i < l->entries.n; i++)
        if (by_name(&e[i - 1], &e[i]) == 0) return tensor_fails(l, &e[i], "occurs twice");
    const sqi_text *t = l->texts.items;
    for (int64_t i = 1; i < l->texts.n; i++)
        if (by_key(&t[i - 1], &t[i]) == 0) {
            sqi_bundle_fail(l->bundle, SQ_EFILE, "text \"%s\" occurs twice",
                            sqi_shown(t[i].key, shown));
            return false;
        }
    return true;
}

/* Every byte of the data belongs to exactly one tensor. */
static bool data_is_covered(loader *l)
{
    char one[SQI_SHOWN], other[SQI_SHOWN];
    sort(&l->entries, sizeof(entry), by_place);
    const entry *e = l->entries.items;
    int64_t covered = 0;
    for (int64_t i = 0; i < l->entries.n; covered = e[i++].end)
        if (e[i].begin < covered)
            sqi_bundle_fail(l->bundle, SQ_EFILE, "tensors \"%s\" and \"%s\" overlap",
                            sqi_shown(e[i - 1].tensor.name, one),
                            sqi_shown(e[i].tensor.name, other));
        else if (e[i].begin > covered)
            sqi_bundle_fail(l->bundle, SQ_EFILE,
                            "%" PRId64 " bytes before tensor \"%s\" belong to none",
                            e[i].begin - covered, sqi_shown(e[i].tensor.name, one));
    if (covered < l->data_bytes)
        sqi_bundle_fail(l->bundle, SQ_EFILE, "%" PRId64 " bytes at the end belong to no tensor",
                        l->data_bytes - covered);
    return !l->bundle->error.status;
}

static bool read_values(loader *l)
{
    const entry *e = l->entries.items;
    for (int64_t i = 0; i < l->entries.n; i++) {
        const sqi_tensor *t = sqi_bundle_append(l->bundle, &e[i].tensor);
        if (!t) {
            char shown[SQI_SHOWN];
            sqi_bundle_fail(l->bundle, SQ_ENOMEM,
                            "no memory for tensor \"%s\" of %" PRId64 " elements",
                            sqi_shown(e[i].tensor.name, shown), e[i].tensor.count);
            return false;
        }
        if (!sqi_source_numbers(&l->source, &t->shown, false, t->shown.count, t->values))
            return false;
    }
    return true;
}

static bool keep_texts(loader *l)
{
    const sqi_text *t = l->texts.items;
    for (int64_t i = 0; i < l->texts.n; i++)
        if (!sqi_bundle_append_text(l->bundle, t[i].key, t[i].value)) {
            sqi_bundle_fail(l->bundle, SQ_ENOMEM, "no memory for its texts");
            return false;
        }
    return true;
}

/* Of a bundle that is new and a source that has been opened, or not. */
static void load(sq_bundle *b, sqi_source *source, bool open)
{
    loader l = { .bundle = b, .source = *source };
    bool ok = open && read_header(&l) && parse_header(&l) && names_differ(&l) &&
              data_is_covered(&l) && keep_texts(&l) && read_values(&l);
    if (!ok) sqi_bundle_empty(b);
    sqi_source_close(source);
    free(l.json.text);
    free(l.entries.items);
    free(l.texts.items);
}

/* An empty bundle whose sentences begin with the path. */
static sq_bundle *bundle_of(const char *path)
{
    sq_bundle *b = sq_bundle_new();
    if (!b) return NULL;
    if (!path) sqi_bundle_fail(b, SQ_EVALUE, "load: there is no path");
    else if ((b->path = sqi_copy(path)) == NULL)
        sqi_bundle_fail(b, SQ_ENOMEM, "load: out of memory");
    return b;
}

sq_bundle *sq_bundle_load(const char *path)
{
    sqi_source source;
    sq_bundle *b = bundle_of(path);
    if (sq_bundle_status(b)) return b;
    load(b, &source, sqi_source_open(&source, &b->error, b->path));
    return b;
}

sq_bundle *sq_bundle_load_bytes(const void *bytes, size_t n)
{
    sqi_source source;
    sq_bundle *b = bundle_of(SQI_MEMORY);
    if (sq_bundle_status(b)) return b;
    load(b, &source, sqi_source_memory(&source, &b->error, bytes, n));
    return b;
}
