/* npy.c -- NumPy's arrays in files, read and written.
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }
 *
 * The text is a Python dict. Of Python's literals exactly those are read that can stand there:
 * strings without escapes, True, False, tuples of whole numbers; the keys in any order, each once.
 * Its cursor is the one of JSON (io_json.c): no tree, no recursion. */
#include "core/io_impl.h"
#include "core/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 6, VERSION = 2, ALIGN = 64, TEXT_MOST = 65536 };
static const unsigned char magic[MAGIC] = { 0x93, 'N', 'U', 'M', 'P', 'Y' };

/* ---- Python's literals ------------------------------------------------------------------------ */

typedef struct reader {
    sqi_source source;
    sqi_json text;
    sq_tensor tensor;
    bool swapped, columns_first;
} reader;

/* '...' or "..." of printable ASCII, ended by 0 in place; *out points into the text. */
static bool take_string(sqi_json *j, char **out)
{
    char quote = sqi_json_next_is(j, '\'') ? '\'' : '"';
    if (quote == '"' && !sqi_json_next_is(j, '"'))
        return sqi_json_fail(j, "a string is missing");
    for (*out = j->at; j->at < j->end && *j->at != quote; j->at++)
        if (*j->at < 0x20 || *j->at > 0x7E || *j->at == '\\')
            return sqi_json_fail(j, "a string holds an escape or what is not ASCII");
    if (j->at == j->end) return sqi_json_fail(j, "a string does not end");
    *j->at++ = '\0';
    return true;
}

static bool take_word(sqi_json *j, const char *word)
{
    size_t n = strlen(word);
    sqi_json_skip_space(j);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0) return false;
    j->at += n;
    return true;
}

/* '<f4': the byte order, then the type and its bytes; one byte has no order, '|'. */
static bool read_descr(reader *r)
{
    char *descr, shown[SQI_SHOWN];
    if (sqi_json_next_is(&r->text, '['))
        return sqi_json_fail(&r->text, "fields (structured arrays) cannot be read");
    if (!take_string(&r->text, &descr)) return false;
    sq_stored stored = *descr ? sqi_stored_by_npy(descr + 1) : SQ_STORED_AS_HELD;
    bool single = stored && sqi_stored_size(stored) == 1;
    if (!stored || (single ? *descr != '|' : *descr != '<' && *descr != '>'))
        return sqi_source_fail(
            &r->source, SQ_EFILE,
            "has descr '%s'; b1, i1 to i8, u1 to u4 and f2 to f8 behind < or >, "
            "of single bytes behind |, can be read",
            sqi_shown(descr, shown));
    r->swapped = *descr == '>';
    r->tensor.stored = stored;
    r->tensor.type = sqi_stored_held(stored);
    return true;
}

static bool read_order(reader *r)
{
    r->columns_first = take_word(&r->text, "True");
    return r->columns_first || take_word(&r->text, "False") ||
           sqi_json_fail(&r->text, "fortran_order is neither True nor False");
}

/* () or (3,) or (3, 2) or (3, 2,): one number alone needs its comma. */
static bool read_shape(reader *r)
{
    sqi_json *j = &r->text;
    sq_tensor *t = &r->tensor;
    bool comma = true;
    if (!sqi_json_next_is(j, '(')) return sqi_json_fail(j, "shape is no tuple");
    while (!sqi_json_next_is(j, ')')) {
        if (!comma) return sqi_json_fail(j, ") or , is missing");
        if (t->rank == SQ_TENSOR_MAX_RANK) return sqi_json_fail(j, "more than 8 axes");
        if (!sqi_json_count(j, &t->dim[t->rank])) return false;
        t->rank++;
        comma = sqi_json_next_is(j, ',');
    }
    return t->rank != 1 || comma || sqi_json_fail(j, "shape is no tuple: a comma is missing");
}

static const struct field {
    const char *name, *missing;
    bool (*read)(reader *r);
} fields[] = {
    { "descr", "descr is missing", read_descr },
    { "fortran_order", "fortran_order is missing", read_order },
    { "shape", "shape is missing", read_shape },
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static bool read_field(reader *r, bool *seen)
{
    char *name;
    if (!take_string(&r->text, &name)) return false;
    for (int i = 0; i < N_FIELDS; i++)
        if (strcmp(name, fields[i].name) == 0) {
            if (seen[i])
                return sqi_json_fail(&r->text, "a key stands here for the second time");
            seen[i] = true;
            return sqi_json_take(&r->text, ':') && fields[i].read(r);
        }
    return sqi_json_fail(&r->text, "a key that is none of descr, fortran_order, shape");
}

/* { key: value, ... } then spaces and one line end. */
static bool read_fields(reader *r)
{
    sqi_json *j = &r->text;
    bool seen[N_FIELDS] = { false }, comma = true;
    if (!sqi_json_take(j, '{')) return false;
    while (!sqi_json_next_is(j, '}')) {
        if (!comma) return sqi_json_fail(j, "} or , is missing");
        if (!read_field(r, seen)) return false;
        comma = sqi_json_next_is(j, ',');
    }
    for (int i = 0; i < N_FIELDS; i++)
        if (!seen[i]) return sqi_json_fail(j, fields[i].missing);
    while (j->at < j->end && *j->at == ' ') j->at++;
    if (j->end - j->at == 1 && *j->at == '\n') return true;
    return sqi_json_fail(j, "it does not end with spaces and a line end");
}

/* ---- Reading ---------------------------------------------------------------------------------- */

/* Magic, version, length of the text. */
static bool read_length(reader *r, int64_t *length)
{
    unsigned char bytes[MAGIC + VERSION + 4];
    sqi_source *s = &r->source;
    if (s->left < MAGIC + VERSION + 2)
        return sqi_source_fail(s, SQ_EFILE, "is no .npy file: it has %" PRId64 " bytes only",
                               s->left);
    if (!sqi_source_read(s, bytes, MAGIC + VERSION)) return false;
    if (memcmp(bytes, magic, MAGIC) != 0)
        return sqi_source_fail(s, SQ_EFILE, "is no .npy file: it begins otherwise");
    int major = bytes[MAGIC], minor = bytes[MAGIC + 1], n = major == 1 ? 2 : 4;
    if (major < 1 || major > 3 || minor != 0)
        return sqi_source_fail(s, SQ_EFILE, "is of version %d.%d; 1.0 to 3.0 can be read",
                               major, minor);
    if (s->left < n) return sqi_source_fail(s, SQ_EFILE, "ends before its text");
    if (!sqi_source_read(s, bytes, n)) return false;
    *length = (int64_t)sqi_little_endian(bytes, (size_t)n);
    if (*length <= s->left && *length <= TEXT_MOST) return true;
    return sqi_source_fail(s, SQ_EFILE, "would have a text of %" PRId64 " bytes, %s", *length,
                           *length > s->left ? "longer than the rest" : "above 65536");
}

static bool parse_text(reader *r)
{
    sqi_json *j = &r->text;
    if (read_fields(r)) return true;
    return sqi_source_fail(&r->source, SQ_EFILE, "text, byte %" PRId64 ": %s",
                           (int64_t)(j->at - j->text), j->problem ? j->problem : "");
}

static bool read_text(reader *r)
{
    int64_t length = 0;
    if (!read_length(r, &length)) return false;
    char *text = malloc((size_t)length + 1);
    if (!text) return sqi_source_fail(&r->source, SQ_ENOMEM, "no memory for its text");
    r->text = (sqi_json){ text, text, text + length, NULL };
    bool ok = sqi_source_read(&r->source, text, length) && parse_text(r);
    free(text);
    return ok;
}

static bool sizes_agree(reader *r)
{
    char dims[SQI_DIMS_TEXT];
    sq_tensor *t = &r->tensor;
    (void)sqi_dims_text(t, dims);
    if (!sqi_tensor_count(t))
        return sqi_source_fail(&r->source, SQ_EFILE, "shape %s is too large for any memory",
                               dims);
    int64_t bytes = t->count * (int64_t)sqi_stored_size(t->stored);
    if (bytes == r->source.left) return true;
    return sqi_source_fail(&r->source, SQ_EFILE,
                           "has %" PRId64 " bytes of values, but %s of %s takes %" PRId64,
                           r->source.left, dims, sqi_stored_npy(t->stored), bytes);
}

/* The next element in the order of the file, where the first axis runs fastest; returns its place
 * in row-major order. */
static int64_t next_in_columns(const sq_tensor *t, const int64_t *stride, int64_t *index,
                               int64_t place)
{
    for (int32_t i = 0; i < t->rank; i++) {
        place += stride[i];
        if (++index[i] < t->dim[i]) break;
        place -= stride[i] * index[i];
        index[i] = 0;
    }
    return place;
}

static bool read_columns(reader *r, unsigned char *values)
{
    enum { AT_ONCE = 1024 };
    const sq_tensor *t = &r->tensor;
    uint64_t some[AT_ONCE];
    int64_t stride[SQ_TENSOR_MAX_RANK], index[SQ_TENSOR_MAX_RANK] = { 0 }, place = 0, now;
    size_t size = sqi_tensor_size(t->type);
    for (int32_t i = t->rank; i-- > 0;)
        stride[i] = i == t->rank - 1 ? 1 : stride[i + 1] * t->dim[i + 1];
    for (int64_t done = 0; done < t->count; done += now) {
        now = t->count - done < AT_ONCE ? t->count - done : AT_ONCE;
        if (!sqi_source_numbers(&r->source, t, r->swapped, now, some)) return false;
        for (int64_t k = 0; k < now; k++) {
            memcpy(values + (size_t)place * size, (unsigned char *)some + (size_t)k * size,
                   size);
            place = next_in_columns(t, stride, index, place);
        }
    }
    return true;
}

static bool read_values(reader *r, void *values)
{
    if (r->columns_first && r->tensor.rank > 1 && r->tensor.count > 0)
        return read_columns(r, values);
    return sqi_source_numbers(&r->source, &r->tensor, r->swapped, r->tensor.count, values);
}

/* From a source that has been opened, or not. */
static sq_status add(sq_bundle *b, const char *name, reader *r, bool open)
{
    r->tensor.name = name;
    if (open && read_text(r) && sizes_agree(r)) {
        int64_t before = b->n_tensors;
        const sqi_tensor *t = sqi_bundle_append(b, &r->tensor);
        if (!t)
            (void)sqi_source_fail(&r->source, SQ_ENOMEM, "no memory for %" PRId64 " elements",
                                  r->tensor.count);
        else if (!read_values(r, t->values)) sqi_bundle_truncate(b, before);
    }
    sqi_source_close(&r->source);
    return b->error.status;
}

sq_status sq_bundle_add_npy(sq_bundle *b, const char *name, const char *path)
{
    reader r = { .swapped = false };
    if (sq_bundle_status(b) || !sqi_bundle_name_fits(b, name)) return sq_bundle_status(b);
    if (!path) return sqi_bundle_fail(b, SQ_EVALUE, "add_npy: there is no path");
    return add(b, name, &r, sqi_source_open(&r.source, &b->error, path));
}

sq_status sq_bundle_add_npy_bytes(sq_bundle *b, const char *name, const void *bytes, size_t n)
{
    reader r = { .swapped = false };
    if (sq_bundle_status(b) || !sqi_bundle_name_fits(b, name)) return sq_bundle_status(b);
    return add(b, name, &r, sqi_source_memory(&r.source, &b->error, bytes, n));
}

/* ---- Writing ---------------------------------------------------------------------------------- */

/* Magic to line end, filled with spaces. */
size_t sqi_npy_head(const sq_tensor *t, char head[SQI_NPY_HEAD])
{
    const char *order = sqi_stored_size(t->stored) == 1 ? "|" : "<";
    size_t before = MAGIC + VERSION + 2;
    memset(head, ' ', SQI_NPY_HEAD);
    size_t n = before;
    n += (size_t)snprintf(head + n, SQI_NPY_HEAD - n,
                          "{'descr': '%s%s', 'fortran_order': False, 'shape': (", order,
                          sqi_stored_npy(t->stored));
    for (int32_t i = 0; i < t->rank; i++)
        n += (size_t)snprintf(head + n, SQI_NPY_HEAD - n, "%s%" PRId64, i ? ", " : "",
                              t->dim[i]);
    n += (size_t)snprintf(head + n, SQI_NPY_HEAD - n, "%s), }", t->rank == 1 ? "," : "");
    head[n] = ' ';
    n = (n + ALIGN) / ALIGN * ALIGN;
    head[n - 1] = '\n';
    memcpy(head, magic, MAGIC);
    head[MAGIC] = 1;
    head[MAGIC + 1] = 0;
    sqi_put_little_endian((unsigned char *)head + MAGIC + VERSION, n - before, 2);
    return n;
}

sq_status sq_bundle_save_npy(sq_bundle *b, const char *name, const char *path)
{
    char shown[SQI_SHOWN], head[SQI_NPY_HEAD];
    sqi_replace file;
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    const sq_tensor *t = sq_bundle_find(b, name);
    (void)sqi_shown(name ? name : "", shown);
    if (!t) return sqi_bundle_fail(b, SQ_EFILE, "there is no tensor \"%s\"", shown);
    if (!sqi_stored_npy(t->stored))
        return sqi_bundle_fail(b, SQ_EVALUE,
                               "save_npy: tensor \"%s\" is to be stored as %s, which "
                               ".npy has not",
                               shown, sq_stored_name(t->stored));
    bool ok = sqi_replace_begin(&file, &b->error, path) &&
              sqi_replace_write(&file, head, sqi_npy_head(t, head)) &&
              sqi_replace_numbers(&file, t);
    (void)sqi_replace_end(&file, ok);
    return b->error.status;
}

/* Appends what there is room for; returns the length so far. */
static size_t append(void *buf, size_t n, size_t at, const void *from, size_t bytes)
{
    if (at < n) memcpy((char *)buf + at, from, bytes < n - at ? bytes : n - at);
    return at + bytes;
}

size_t sq_npy(const sq_tensor *tensor, void *buf, size_t n)
{
    char head[SQI_NPY_HEAD];
    unsigned char chunk[SQI_CHUNK];
    sq_bundle judge = { .path = NULL };
    if (!tensor) return 0;
    sq_tensor t = *tensor;
    t.name = "";
    bool fits = sqi_bundle_tensor_fits(&judge, &t) && (t.values || t.count == 0);
    if (!fits || !sqi_stored_npy(t.stored)) return 0;
    int64_t size = (int64_t)sqi_stored_size(t.stored), most = SQI_CHUNK / size, now;
    size_t length = append(buf, buf ? n : 0, 0, head, sqi_npy_head(&t, head));
    for (int64_t i = 0; i < t.count; i += now) {
        now = t.count - i < most ? t.count - i : most;
        if (sqi_pack(&t, i, now, chunk) < now) return 0;
        length = append(buf, buf ? n : 0, length, chunk, (size_t)(now * size));
    }
    return length;
}
